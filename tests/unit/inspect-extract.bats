# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect extract: what comes out is what went in, nothing is written elsewhere, nothing is half there.

load ../lib/common
load ../lib/images

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree
	mkdir -p "$t"/{bin,etc/deep,srv}
	printf 'hello\n' >"$t/etc/motd"
	ln "$t/etc/motd" "$t/srv/same"
	printf 'suid\n' >"$t/bin/su"
	chmod 6755 "$t/bin/su"
	ln -s ../etc "$t/srv/link"
	truncate -s 3M "$t/srv/holes"
	printf x | dd of="$t/srv/holes" bs=1 seek=1000000 conv=notrunc status=none
	truncate -s 1M "$t/srv/hole"
	mkfifo "$t/srv/pipe"
	: >"$t/srv/"$'odd\xff\n name'
	printf x >"$t/etc/deep/file"
	setfattr -n user.colour -v blue "$t/etc/deep/file"
	chmod 0555 "$t/etc/deep"
	find "$t" -exec touch -h -d '2020-09-13 12:26:40.123456789 UTC' {} +
	(cd "$BATS_FILE_TMPDIR" && mlimg-mkfs --quiet --kind system --name x tree x.img)
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	rm -rf out victim
}

teardown_file() {
	chmod -R u+w "$BATS_FILE_TMPDIR"
}

ROOT_ONLY="not root: owners, set-ID bits, and attributes in trusted.* and security.* are left out"

# extracts ARGUMENT…: ends with 0 and says no more than that it is not run by root.
extracts() {
	run --separate-stderr mlimg-inspect "$@"
	# shellcheck disable=SC2154
	same "exit code of: $*" 0 "$status" &&
		same "stderr of: $*" "$([ "$(id -u)" -eq 0 ] || echo "mlimg-inspect: warning: $ROOT_ONLY")" "$stderr"
}

# A manifest without attributes whose names are not plain ASCII, or have "%" or "=".
without_odd() {
	sed -E 's/ tags=/ ,/; s/,xattr:[^:,]*(%|\\[0-7]{3})[^:,]*:[^,]*//g; s/ ,?$//'
}

# Nothing but whole files: no temporary one is left anywhere.
left_nothing() {
	same "temporary files" "" "$(find . -name '.mlimg*')"
}

@test "random trees: extracted and made into an image again, by directory, by tar, by GNU tar: the same build id" {
	need root
	local seed=${MLIMG_SEED:-$(date +%N)} n id
	echo "MLIMG_SEED=$seed"
	cd "$BATS_TEST_TMPDIR"
	# No loop over i: `run` of bats 1.8 uses it.
	for ((n = 0; n < ${MLIMG_TREES:-3}; n++)); do
		randtree $((10#$seed + n)) $((40 + 80 * n)) tree
		find tree -type s -delete # no tar holds one
		find tree ! -newermt '1970-01-01 00:00:00 UTC' -exec touch -h -d @-1000 {} +
		mlimg-mkfs --quiet --force --kind system --name random tree x.img
		id=$(image_id x.img)
		works mlimg-inspect x.img extract -C out
		mlimg-mkfs --quiet --force --kind system --name random out y.img
		same "build id by directory" "$id" "$(image_id y.img)"
		# A tar cannot hold every name of an attribute, and says so.
		mlimg-inspect x.img extract --tar 2>said >x.tar || [ $? -eq 1 ]
		same "what the tar does not hold" "" "$(grep -Ev ': a tar cannot hold its attribute |: not everything was extracted: ' said)"
		mlimg-mkfs --quiet --force --kind system --name random x.tar y.img
		diff <(mlimg-inspect x.img manifest | without_odd) <(mlimg-inspect y.img manifest | without_odd)
		mkdir unpacked
		tar --xattrs --xattrs-include='*' --numeric-owner --warning=no-unknown-keyword --warning=no-timestamp \
			-C unpacked -xpf x.tar
		diff <(treelist tree | without_odd) <(treelist unpacked | without_odd)
		find . -type d -exec chmod u+rwx {} +
		rm -rf tree out unpacked
	done
}

@test "sockets are extracted, and a tar says that it cannot hold them" {
	mkdir -p "$BATS_TEST_TMPDIR/s"
	cd "$BATS_TEST_TMPDIR"
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "s/socket", Listen => 1) or die'
	mlimg-mkfs --quiet --kind system --name s s s.img
	extracts s.img extract -C out
	[ -S out/socket ]
	fails 1 "mlimg-inspect: socket: a tar cannot hold a socket: Operation not supported
mlimg-inspect: s.img: not everything was extracted: 1 failure" bash -c 'mlimg-inspect s.img extract --tar >s.tar'
	same "the rest" ./ "$(tar -tf s.tar)"
}

@test "everything is there: contents, holes, links, modes, times, attributes" {
	extracts x.img extract -C out
	diff -r --no-dereference -x pipe tree out
	same "hard link" "$(stat -c %i out/etc/motd)" "$(stat -c %i out/srv/same)"
	same "mode of a directory" 555 "$(stat -c %a out/etc/deep)"
	same "holes" "$(stat -c %b tree/srv/holes)" "$(stat -c %b out/srv/holes)"
	same "nothing but a hole" "1048576 0" "$(stat -c '%s %b' out/srv/hole)"
	same times "$(cd tree && find . -printf '%p %T@\n' | sort)" "$(cd out && find . -printf '%p %T@\n' | sort)"
	same attribute blue "$(getfattr --only-values -n user.colour out/etc/deep/file)"
	left_nothing
}

@test "single paths, with the directories that lead to them" {
	extracts x.img extract -C out /etc//motd ./srv/same bin/
	same "what is there" "$(printf '%s\n' . ./bin ./bin/su ./etc ./etc/motd ./srv ./srv/same)" "$(cd out && find . | sort)"
	same "hard link" "$(stat -c %i out/etc/motd)" "$(stat -c %i out/srv/same)"
	same "time of a leading directory" "$(stat -c %y tree/etc)" "$(stat -c %y out/etc)"
	extracts x.img extract -C out etc/deep
	same "added" x "$(cat out/etc/deep/file)"
	extracts x.img extract -C out/root /
	diff <(mlimg-inspect x.img ls -R | wc -l) <(find out/root -mindepth 1 -printf 'x\n' | wc -l)
}

@test "what is not there, and what lies behind a link" {
	run --separate-stderr mlimg-inspect x.img extract -C out missing srv/link/motd etc/motd
	same "exit code" 1 "$status"
	same stderr "mlimg-inspect: missing: find (links are not followed): No such file or directory
mlimg-inspect: srv/link/motd: find (links are not followed): No such file or directory
mlimg-inspect: x.img: not everything was extracted: 2 failures" "$(grep -v warning <<<"$stderr")"
	same "the other one" hello "$(cat out/etc/motd)"
}

@test "wrong usage: exact messages" {
	wrong() {
		fails 2 "mlimg-inspect: $1
Try 'mlimg-inspect --help' for more information." mlimg-inspect "${@:2}"
	}
	wrong "'..' in a path to be extracted" x.img extract etc/../../x
	wrong "options '--tar' and '--directory' exclude each other" x.img extract --tar -C out
	wrong "options '--tar' and '--force' exclude each other" x.img extract --tar --force
	wrong "options '--tar' and '--json' exclude each other" x.img extract --tar --json
	wrong "option '--tar' is not for 'ls'" x.img ls --tar
	fails 1 "mlimg-inspect: make the directory 'none/out': No such file or directory" mlimg-inspect x.img extract --no-same-owner -C none/out
	fails 1 "mlimg-inspect: open the directory 'x.img': Not a directory" mlimg-inspect x.img extract --no-same-owner -C x.img
	if [ -e out ]; then return 1; fi
}

@test "what is there is not replaced, unless --force says so" {
	local target
	extracts x.img extract -C out
	printf mine >out/etc/motd
	run --separate-stderr mlimg-inspect x.img extract --no-same-owner -C out
	same "exit code" 1 "$status"
	same stderr "mlimg-inspect: bin: not replaced without --force: File exists
mlimg-inspect: etc: not replaced without --force: File exists
mlimg-inspect: srv: not replaced without --force: File exists
mlimg-inspect: x.img: not everything was extracted: 3 failures" "$stderr"
	run --separate-stderr mlimg-inspect x.img extract --no-same-owner -C out etc/motd
	same stderr "mlimg-inspect: etc/motd: not replaced without --force: File exists
mlimg-inspect: x.img: not everything was extracted: 1 failure" "$stderr"
	same "my file" mine "$(cat out/etc/motd)"
	works mlimg-inspect x.img extract --force --no-same-owner -C out
	diff -r --no-dereference -x pipe tree out
	same "hard link" "$(stat -c %i out/etc/motd)" "$(stat -c %i out/srv/same)"
	left_nothing
	# A file where a directory is to be makes way; a directory never does.
	rm -r out/srv out/etc/motd
	printf x >out/srv
	mkdir out/etc/motd
	run --separate-stderr mlimg-inspect x.img extract --force --no-same-owner -C out
	same stderr "mlimg-inspect: etc/motd: put in place: Is a directory
mlimg-inspect: x.img: not everything was extracted: 1 failure" "$stderr"
	for target in holes same link; do [ -e "out/srv/$target" ]; done
	left_nothing
}

@test "links that lie in the directory are not followed, with openat2 and without" {
	local no
	for no in "" 1; do
		rm -rf out victim
		mkdir -p out victim
		printf precious >victim/motd
		ln -s ../victim out/etc
		ln -s ../victim/motd out/bin
		run --separate-stderr env ${no:+MLIMG_NO_OPENAT2=1} mlimg-inspect x.img extract --no-same-owner -C out etc/motd
		same stderr "mlimg-inspect: etc: not replaced without --force: File exists
mlimg-inspect: etc/motd: find (links are not followed): No such file or directory
mlimg-inspect: x.img: not everything was extracted: 2 failures" "$stderr"
		works env ${no:+MLIMG_NO_OPENAT2=1} mlimg-inspect x.img extract --force --no-same-owner -C out
		same "what the links led to" "motd precious" "$(ls victim) $(cat victim/motd)"
		[ ! -L out/etc ] && [ ! -L out/bin ]
		diff -r --no-dereference -x pipe tree out
	done
}

@test "--no-same-owner: no set-ID bits, no owners, no attributes that give power" {
	need root
	mkdir "$BATS_TEST_TMPDIR/t"
	cd "$BATS_TEST_TMPDIR"
	printf x >t/su
	printf x >t/caps
	chown 1234:1234 t/su t/caps
	chmod 7755 t/su
	setcap cap_net_raw+ep t/caps
	setfattr -n trusted.x -v 1 t/caps
	setfattr -n user.x -v 1 t/caps
	setfacl -m u:55:rw t/caps
	mlimg-mkfs --quiet --kind system --name x t x.img
	works mlimg-inspect x.img extract -C with
	same "with owners" "7755 1234 1234" "$(stat -c '%a %u %g' with/su)"
	same "attributes" $'security.capability\nsystem.posix_acl_access\ntrusted.x\nuser.x' "$(getfattr -m - with/caps 2>/dev/null | sed '1d; /^$/d')"
	works mlimg-inspect x.img extract --no-same-owner -C without
	same "without owners" "1755 0 0" "$(stat -c '%a %u %g' without/su)"
	same "attributes" $'system.posix_acl_access\nuser.x' "$(getfattr -m - without/caps 2>/dev/null | sed '1d; /^$/d')"
}

@test "an ordinary user extracts what he may, and is told the rest" {
	need root
	need command setpriv
	mkdir -p "$BATS_TEST_TMPDIR/t"
	cd "$BATS_TEST_TMPDIR"
	printf x >t/file
	chown 1:1 t/file
	mkdir -m 0555 t/closed
	printf y >t/closed/file
	mknod t/null c 1 3
	mknod t/gone c 0 0
	mlimg-mkfs --quiet --kind software --name x t x.img
	mkdir -m 0777 out
	cp "$(command -v mlimg-inspect)" .
	chmod 0755 . "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" && chmod 0644 x.img
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups ./mlimg-inspect x.img extract -C out
	same stderr "mlimg-inspect: warning: $ROOT_ONLY
mlimg-inspect: null: make a char: Operation not permitted
mlimg-inspect: x.img: not everything was extracted: 1 failure" "$stderr"
	same "exit code" 1 "$status"
	same "the rest" "closed closed/file file gone" "$(cd out && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	same "owner and mode" "65534 555" "$(stat -c '%u %a' out/closed)"
}

@test "attributes of overlayfs: the mark of an opaque directory alone is extracted" {
	need root
	mkdir -p "$BATS_TEST_TMPDIR/t/dir"
	cd "$BATS_TEST_TMPDIR"
	handmade-layer -k user t u.img
	printf 'cd /upper\nea_set dir trusted.overlay.opaque y\nea_set dir trusted.overlay.origin xyz\nea_set dir user.overlay.redirect /etc\n' |
		debugfs -w -f - u.img >/dev/null 2>&1
	run --separate-stderr mlimg-inspect u.img extract -C out
	same "exit code" 0 "$status"
	same stderr "mlimg-inspect: warning: 2 attributes that overlayfs made for itself are left out" "$stderr"
	same attributes trusted.overlay.opaque "$(getfattr -m - out/dir 2>/dev/null | sed '1d; /^$/d')"
}

@test "a file of a patch whose contents lie beneath is not written as zeros" {
	need root
	mkdir "$BATS_TEST_TMPDIR"/{old,new}
	cd "$BATS_TEST_TMPDIR"
	head -c 100000 /dev/urandom >old/here
	cp old/here new/there
	printf x >new/own
	mlimg-mkfs --quiet --kind system --name x --version 1 old old.img
	mlimg-mkfs --quiet --name x --version 2 --base old.img new patch.img
	same "tree" $'|-- here (whiteout)\n|-- own\n`-- there (contents beneath)' "$(mlimg-inspect patch.img tree | sed -n 2,4p)"
	fails 1 "mlimg-inspect: there: its contents lie beneath this patch, at 'here'
mlimg-inspect: patch.img: not everything was extracted: 1 failure" mlimg-inspect patch.img extract -C out
	same "the others" $'here\nown' "$(ls out)"
}

@test "the report as JSON" {
	run --separate-stderr mlimg-inspect --json x.img extract --no-same-owner -C out bin none
	same "exit code" 1 "$status"
	same report '{"entries":2,"bytes":5,"n_overlay_xattrs":0,"n_failed":1,"failures":[{"path":"none","reason":true}]}' \
		"$(jq -c '.failures[0].reason |= startswith("find")' <<<"$output")"
}

@test "more failures than can be read are counted" {
	mkdir -p out/{a..z} "$BATS_TEST_TMPDIR"/t/{a..z}
	mlimg-mkfs --quiet --kind system --name t "$BATS_TEST_TMPDIR/t" "$BATS_TEST_TMPDIR/t.img"
	run --separate-stderr mlimg-inspect "$BATS_TEST_TMPDIR/t.img" extract --no-same-owner -C out
	# shellcheck disable=SC2154 # run sets it
	same "lines" 22 "${#stderr_lines[@]}"
	same "the last but one" "mlimg-inspect: and 6 more" "${stderr_lines[20]}"
}

@test "a damaged file is named and is not there; the others are; exit code 3" {
	cp tree/etc/motd plain
	handmade-layer tree damaged.img
	printf 'cd /rootfs\nsif bin/su block[0] 0\n' | debugfs -w -f - damaged.img >/dev/null 2>&1
	run --separate-stderr mlimg-inspect damaged.img extract --no-same-owner -C out
	same "exit code" 3 "$status"
	[[ $stderr == "mlimg-inspect: bin/su: damaged.img: ./bin/su: inode "*": node of the extent tree is damaged
mlimg-inspect: damaged.img: not everything was extracted: 1 failure" ]]
	[ ! -e out/bin/su ]
	cmp out/etc/motd plain
	left_nothing
	run --separate-stderr bash -c 'mlimg-inspect damaged.img extract --tar >t.tar'
	same "exit code" 3 "$status"
	same "the others in a tar" "$(cd out && find . -type f ! -name 'odd*' | sort)" "$(bsdtar -tf t.tar | grep -av -e '/$' -e /link -e /pipe -e /odd | sort)"
}

@test "a full disk ends it, and leaves no half file" {
	need userns
	run --separate-stderr unshare -rm bash -c 'mkdir -p full && mount -t tmpfs -o size=2m none full &&
		mlimg-inspect x.img extract --no-same-owner -C full/out; code=$?
		find full -name ".mlimg*" -o -name holes; exit $code'
	same "with room enough" 0 "$status"
	same "whole file" full/out/srv/holes "$output"
	truncate -s 4M big && dd if=/dev/urandom of=big bs=1M count=4 status=none
	mkdir -p tree2 && mv big tree2/
	mlimg-mkfs --quiet --force --kind system --name x tree2 big.img
	run --separate-stderr unshare -rm bash -c 'mkdir -p full && mount -t tmpfs -o size=2m none full &&
		mlimg-inspect big.img extract --no-same-owner -C full/out; code=$?
		find full -type f; exit $code'
	same "exit code" 1 "$status"
	same stderr "mlimg-inspect: big: write: No space left on device" "$stderr"
	same "files" "" "$output"
}

@test "a signal leaves no temporary file" {
	mkdir -p "$BATS_TEST_TMPDIR/t"
	cd "$BATS_TEST_TMPDIR"
	dd if=/dev/urandom of=t/data bs=1M count=100 status=none
	mlimg-mkfs --quiet --kind system --name x t y.img
	mkdir out
	mlimg-inspect y.img extract --no-same-owner -C out &
	local pid=$! n
	for ((n = 0; n < 2000; n++)); do
		[ -z "$(find out -name '.mlimg*' 2>/dev/null)" ] || break
	done
	kill "$pid" 2>/dev/null || true
	wait "$pid" || true # not by run, which would do so in a shell that it is no child of
	left_nothing
}

@test "a tar to a terminal is wrong usage; into a closed pipe it ends" {
	need command script
	run script -qec 'mlimg-inspect x.img extract --tar' /dev/null
	same "exit code" 2 "$status"
	[[ $output == *"'--tar' writes to standard output, which is a terminal"* ]]
	run bash -c 'mlimg-inspect x.img extract --tar | true; exit ${PIPESTATUS[0]}'
	[ "$status" -eq 141 ] || [ "$status" -eq 0 ]
	run --separate-stderr bash -c 'mlimg-inspect x.img extract --tar >/dev/full'
	same "exit code" 1 "$status"
	[[ $stderr == *"No space left on device"* ]]
}

@test "bsdtar and GNU tar take the tar, holes and odd names too" {
	need command bsdtar tar
	mlimg-inspect x.img extract --tar >x.tar
	mkdir -p b g
	bsdtar -C b -xpf x.tar
	tar --warning=no-unknown-keyword -C g -xpf x.tar
	diff -r --no-dereference -x pipe tree b
	diff -r --no-dereference -x pipe tree g
	same "holes by GNU tar" "$(stat -c %b tree/srv/holes)" "$(stat -c %b g/srv/holes)"
	[ "$(stat -c %s x.tar)" -lt 200000 ]
	chmod -R u+w b g && rm -rf b g
}
