# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs: command line, what it makes of small sources, and every kind of bad input with its message.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return # bats keeps files of its own beside it
	unset SOURCE_DATE_EPOCH
}

# sound IMAGE: e2fsck finds nothing, and the parts of the image agree.
sound() {
	fsck_clean "$1" || return
	works mlimg-inspect "$1" show
}

# wrong MESSAGE ARGUMENT…: wrong usage
wrong() {
	local message=$1
	shift
	fails 2 "mlimg-mkfs: $message"$'\n'"Try 'mlimg-mkfs --help' for more information." mlimg-mkfs "$@"
}

# refused STATUS MESSAGE ARGUMENT…: mlimg-mkfs --kind system ARGUMENT… image fails, and leaves nothing behind.
refused() {
	local status_wanted=$1 message=$2 before after
	shift 2
	before=$(find . | sort)
	fails "$status_wanted" "mlimg-mkfs: $message" mlimg-mkfs --kind "${kind:-system}" --name bad "$@" image || return
	after=$(find . | sort)
	same "files after: $*" "$before" "$after"
}

# tree_of IMAGE: lines of the manifest, without digests
tree_of() {
	mlimg-inspect "$1" manifest | sed -e '/^#/d' -e 's/ sha256digest=[0-9a-f]*//'
}

@test "mkfs: --help fits into 80 columns and goes to stdout" {
	works mlimg-mkfs --help
	[[ $output == "Usage: mlimg-mkfs --kind KIND [OPTION]... SOURCE... IMAGE"* ]]
	run awk 'length > 80' <<<"$output"
	same "lines over 80 columns" "" "$output"
}

@test "mkfs: help, manual page and completion know the same options" {
	local top=$MLIMG_TOP options
	options=$(mlimg-mkfs --help | grep -o '^  --[a-z-]*' | tr -d ' ' | sort)
	same "manual page" "$options" "$(sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p' "$top/tools/mlimg-mkfs.8" | sort)"
	same completion "$options" "$(grep -o "'--[a-z -]*'" "$top/tools/completion/mlimg-mkfs" | tr -d "'" | tr ' ' '\n' | sort)"
}

@test "mkfs: each wrong usage has its line" {
	mkdir d
	wrong "--kind is missing"
	wrong "unknown option '--foo'" --foo
	wrong "option '--kind' needs an argument" --kind
	wrong "'foo' is no kind: system, software, user or patch" --kind foo d x
	wrong "SOURCE and IMAGE are missing" --kind system
	wrong "IMAGE is missing" --kind system d
	wrong "--name is needed when there are several sources" --kind system d d x
	wrong "standard input is there only once" --kind system - - x
	wrong "'5X' is not a size (a whole number, then K, M, G or T if wanted)" --kind system --size 5X d x
	wrong "--size is 0" --kind system --size 0 d x
	wrong "an image has at most 17592186044416 bytes" --kind system --size 17T d x
	wrong "--name 'a b': 1 to 64 letters, digits or ._+~:- are wanted, the first one a letter or digit" --kind system --name 'a b' d x
	wrong "--version '': 1 to 64 letters, digits or ._+~:- are wanted, the first one a letter or digit" --kind system --version '' d x
	wrong "--over is for software layers" --kind system --over "$(printf '%064d' 0)" d x
	wrong "--instance is for user layers" --kind system --instance 12 d x
	wrong "--instance '12': 32 lower-case hexadecimal digits are wanted" --kind user --instance 12 x
	wrong "a user layer needs a size of at least 16777216 bytes" --kind user --size 16777215 x
	wrong "--name is needed when SOURCE is standard input" --kind system - x
	wrong "cannot name the layer after '.x': give --name" --kind system .x x
	SOURCE_DATE_EPOCH=-5 wrong "SOURCE_DATE_EPOCH is '-5', not a number of seconds" --kind system d x
	same "files" "d" "$(ls)"
}

@test "mkfs: the layer is named after its source, a user layer after its image" {
	mkdir debian-12.5 && tar -cf nginx-1.2.tar.gz -z debian-12.5
	name_of() {
		local args=("$@")
		works mlimg-mkfs --json --force "${args[@]}"
		jq -r .name <<<"$output"
	}
	same name debian-12.5 "$(name_of --kind system debian-12.5/ x.img)"
	same name nginx-1.2 "$(name_of --kind software ./nginx-1.2.tar.gz x.img)"
	same name alice "$(name_of --kind user --size 16M ./alice.img)"
	cd debian-12.5
	same name debian-12.5 "$(name_of --kind system . ../x.img)"
}

@test "mkfs: --json is layer.json; without it one line; with --quiet none" {
	mkdir d && echo hello >d/f && touch -d @1700000000 d/f d
	works mlimg-mkfs --kind software --version 1.2 --over "$(printf '%064d' 7)" --json d x.img
	same "layer.json" "$(debugfs -R 'cat /mlimg/layer.json' x.img 2>/dev/null)" "$output"
	same "description" '["software","d","1.2",["'"$(printf '%064d' 7)"'"],2,6,1700000000]' \
		"$(jq -c '[.kind,.name,.version,.over,.entries,.size_bytes,.time]' <<<"$output")"
	same "build id" "$(debugfs -R 'cat /mlimg/manifest' x.img 2>/dev/null | sha256sum | cut -c1-64)" "$(jq -r .build_id <<<"$output")"
	works mlimg-mkfs --kind system --version 1.2 --force d x.img
	[[ $output =~ ^"d 1.2: system layer, build id "[0-9a-f]{64}", 2 entries, image of 544 KiB"$ ]]
	works mlimg-mkfs --kind system --quiet --force d x.img
	same stdout "" "$output"
}

@test "mkfs: an image that exists is replaced only with --force" {
	mkdir d && echo old >image
	refused 1 "write 'image' without --force: File exists" d
	same content old "$(cat image)"
	works mlimg-mkfs --kind system --force d image
	sound image
}

@test "mkfs: all entries, from a directory and from a tar" {
	mkdir -p d/dir/empty
	printf 'hello\n' >d/file
	ln d/file d/dir/name2
	: >d/nothing
	ln -s target d/short
	ln -s "$(printf 'x%.0s' {1..59})" d/in-inode
	ln -s "$(printf 'y%.0s' {1..60})" d/in-block
	ln -s "$(printf 'z%.0s' {1..4095})" d/longest
	mkfifo d/fifo
	chmod 4711 d/file && chmod 1777 d/dir
	touch "d/$(printf 'n%.0s' {1..255})" d/$'\xff\n\\ odd#='
	setfattr -n user.colour -v blue d/file
	setfattr -n user.large -v "$(printf 'v%.0s' {1..3900})" d/dir
	setfacl -m u:12345:rw,g:70000:x d/file
	setfacl -d -m u:12345:rw d/dir/empty
	truncate -s 50M d/sparse
	printf middle | dd of=d/sparse bs=1 seek=39999999 conv=notrunc status=none
	find d -exec touch -h -d @1600000000.123456789 {} +
	touch -h -d @-86400 d/short
	touch -h -d @5000000000 d/fifo
	works mlimg-mkfs --kind system d dir.img
	sound dir.img
	works mlimg-inspect dir.img manifest
	[[ $output == *$'\n./file type=file mode=4771 '*tags=links:1:2,*$'\n'* ]]
	same "as the reader computes it" "$output" "$(mlimg-inspect dir.img manifest --computed)"
	tar --format=posix --sparse --xattrs --xattrs-include='*' -C d -cf d.tar .
	works mlimg-mkfs --kind system d.tar tar.img
	sound tar.img
	same "tree of the tar" "$(tree_of dir.img)" "$(tree_of tar.img)"
	[ "$(stat -c %b tar.img)" -lt 2000 ]
	bsdtar --format=pax --acls --xattrs -C d -cf - . 2>/dev/null | mlimg-mkfs --quiet --kind system --name d - bsdtar.img
	same "build id of bsdtar's" "$(mlimg-inspect --json dir.img show | jq .build_id)" "$(mlimg-inspect --json bsdtar.img show | jq .build_id)"
}

@test "mkfs: a file of more than 4 GiB that is mostly a hole" {
	mkdir d && truncate -s 4500000000 d/sparse
	printf middle | dd of=d/sparse bs=1 seek=4399999999 conv=notrunc status=none
	works mlimg-mkfs --kind system d x.img
	sound x.img
	[[ $(tree_of x.img) == *" size=4500000000 "* ]]
	[[ $(mlimg-inspect x.img manifest) == *sha256digest=3f7f457ca55beecef8b421d4626eecb8803585eba5a0cd1ad7a948e4087b72cc ]]
	run debugfs -R 'ex /rootfs/sparse' x.img
	[[ $output == *" 1074218 - 1074218 "* ]] # the block of the middle, and no other
	same "lines of extents" 2 "$(grep -vc debugfs <<<"$output")"
	[ "$(stat -c %b x.img)" -lt 400 ]
}

@test "mkfs: devices, owners and times that need no root to be in a tar" {
	spec_tar in.tar <<-'END'
		./dev type=dir mode=0755 uid=0 gid=0 time=1.0
		./dev/null type=char device=native,1,3 mode=0666 uid=0 gid=0 time=1.0
		./dev/big type=block device=native,4095,1048575 mode=0600 uid=4294967294 gid=65536 time=15032385535.0
		./dev/old type=char device=native,255,255 mode=0600 uid=65535 gid=4294967294 time=-2147483648.0
	END
	works mlimg-mkfs --kind system in.tar x.img
	sound x.img
	same tree '. type=dir mode=0755 uid=0 gid=0 time=15032385535.000000000
./dev type=dir mode=0755 uid=0 gid=0 time=1.000000000
./dev/big type=block mode=0600 uid=4294967294 gid=65536 time=15032385535.000000000 device=native,4095,1048575
./dev/null type=char mode=0666 uid=0 gid=0 time=1.000000000 device=native,1,3
./dev/old type=char mode=0600 uid=65535 gid=4294967294 time=-2147483648.000000000 device=native,255,255' "$(tree_of x.img)"
	same "as the reader computes it" "$(mlimg-inspect x.img manifest)" "$(mlimg-inspect x.img manifest --computed)"
}

@test "mkfs: a symbolic link has the mode that all of them have, whatever a tar says" {
	spec_tar in.tar <<<'./link type=link link=target mode=0644 uid=0 gid=0 time=1.0'
	same "what the tar says" 'lrw-r--r--' "$(bsdtar -tvf in.tar | cut -c1-10)"
	works mlimg-mkfs --quiet --kind system in.tar x.img
	same link './link type=link mode=0777 uid=0 gid=0 time=1.000000000 link=target' "$(tree_of x.img | tail -n 1)"
}

@test "mkfs: every compression" {
	mkdir d && echo hello >d/f && tar -cf d.tar d
	local c id
	id=$(mlimg-mkfs --json --kind system d.tar x.img | jq -r .build_id)
	for c in gzip bzip2 xz lzma zstd lz4; do
		bsdtar -cf "d.$c" "--$c" @d.tar
		same "build id with $c" "$id" "$(mlimg-mkfs --json --force --kind system --name d "d.$c" x.img | jq -r .build_id)"
	done
}

@test "mkfs: a tar in any order: later entries win, missing directories are made" {
	mkdir -p 1 2 && echo one >1/f && echo two >2/f && mkdir 1/g && echo three >2/g && touch -d @1000 1/f 1/g 2/f 2/g
	tar -C 1 -cf t.tar f g --transform 's,f,a/b/f,;s,g,./a//g/.,'
	tar -C 2 -rf t.tar f g --transform 's,f,a/b/f,;s,g,a/g,'
	tar -C 1 -rf t.tar f --transform 's,f,late,'
	works mlimg-mkfs --kind system t.tar x.img
	sound x.img
	same "the later file" two "$(mlimg-inspect x.img cat a/b/f)"
	same "a file in an empty directory's place" three "$(mlimg-inspect x.img cat a/g)"
	same "made directory" "./a type=dir mode=0755 uid=0 gid=0 time=1000.000000000" "$(tree_of x.img | grep '^./a ')"
	SOURCE_DATE_EPOCH=5 mlimg-mkfs --quiet --force --kind system t.tar x.img
	same "made directory" "./a type=dir mode=0755 uid=0 gid=0 time=5.000000000" "$(tree_of x.img | grep '^./a ')"
}

@test "mkfs: names in pax headers are not composed, not even in a UTF-8 locale" {
	mkdir d && touch d/$'e\xcc\x81' d/$'\xc3\xa9' && tar --format=posix --pax-option=globexthdr.name=x -C d -cf d.tar .
	LC_ALL=C.UTF-8 mlimg-mkfs --quiet --kind system d.tar x.img
	same names $'./e\\314\\201\n./\\303\\251' "$(tree_of x.img | sed -n '2,$s/ .*//p')"
}

@test "mkfs: bad archives" {
	mkdir d && echo hello >d/f && tar -cf good.tar d
	echo 'this is a text' >text.tar
	refused 3 "'text.tar': not a tar archive" text.tar
	: >empty.tar
	refused 3 "'empty.tar': not a tar archive" empty.tar
	head -c 700 good.tar >cut.tar
	refused 3 "'cut.tar': damaged archive: Truncated tar archive" cut.tar
	head -c 1030 good.tar >cut.tar
	refused 3 "'cut.tar': damaged archive: Truncated input file (needed 506 bytes, only 0 available)" cut.tar
	head -c 1536 good.tar >no-end.tar
	refused 3 "'no-end.tar': damaged archive: the mark of its end is missing" no-end.tar
	head -c 300000 /dev/urandom >random && tar -czf whole.tar.gz random && head -c 200000 whole.tar.gz >cut.tar.gz
	refused 3 "'cut.tar.gz': damaged archive: truncated gzip input" cut.tar.gz
	sed 's/ustar/uztar/' good.tar >sum.tar
	refused 3 "'sum.tar': not a tar archive" sum.tar
	refused 1 "open 'missing.tar': No such file or directory" missing.tar
	refused 3 "'standard input': not a tar archive" - <text.tar
	refused 1 "read 'standard input': Is a directory" - <d
}

@test "mkfs: bad paths in an archive" {
	mkdir d && echo hello >d/f && ln d/f d/g && ln -s f d/l
	tar -C d -P -cf a.tar --transform 's,f,../x,' f
	refused 3 "'a.tar': entry '../x' leads out of the tree" a.tar
	tar -C d -P -cf a.tar --transform 's,f,ok/../../x,' f
	refused 3 "'a.tar': entry 'ok/../../x' leads out of the tree" a.tar
	tar -P -cf a.tar --transform "s,.*,/etc/x," d/f
	refused 3 "'a.tar': entry '/etc/x' has an absolute path" a.tar
	tar -C d -cf a.tar f g && tar --delete -f a.tar f
	refused 3 "'a.tar': hard link 'g' to 'f', which is not there" a.tar
	tar -C d -P -cf a.tar f g --transform 's,^f,../f,RSh'
	refused 3 "'a.tar': hard link to '../f' leads out of the tree" a.tar
	tar -C d -cf a.tar --transform "s,f,$(printf 'n%.0s' {1..256})," f
	refused 3 "'a.tar': entry '$(printf 'n%.0s' {1..256})': name is longer than 255 bytes" a.tar
	tar -C d -cf a.tar f --transform 's,^l,f/l,' && tar -C d -rf a.tar --transform 's,^l,f/l,' l
	refused 3 "'a.tar': entry 'f/l' lies below 'f', which is not a directory" a.tar
	tar -C d -cf a.tar l && tar -C d -rf a.tar --transform 's,^f,l/f,' f
	refused 3 "'a.tar': entry 'l/f' lies below 'l', which is not a directory" a.tar
	tar -cf a.tar d && tar -C d -rf a.tar --transform 's,^f,d,' f
	refused 3 "'d': would replace a directory that is not empty" a.tar
	tar -C d -cf a.tar --transform 's,^f,.,' f
	refused 3 "'a.tar': the tree's root is not a directory" a.tar
	spec_tar a.tar <<<'./x type=file mode=0644 uid=4294967295 gid=0 time=0.0'
	refused 3 "'x': its owner or group is no valid number" a.tar
	spec_tar a.tar <<<'./x type=dir mode=0755 uid=0 gid=0 time=15032385536.0'
	refused 3 "'x': ext4 cannot hold its time" a.tar
	spec_tar a.tar <<<'./x type=char device=native,4096,0 mode=0644 uid=0 gid=0 time=0.0'
	refused 3 "'x': device 4096,0: number too large" a.tar
}

# with_xattr NAME VALUE [ENTRY]: a.tar whose only entry carries that xattr, which nobody may set on a real file.
with_xattr() {
	local entry=${3:-file}
	rm -rf carrier && mkdir carrier
	if [ "$entry" = dir ]; then mkdir carrier/dir; else : >"carrier/$entry"; fi
	tar --format=posix --pax-option="SCHILY.xattr.$1:=$2" -C carrier -cf a.tar "$entry"
}

# acl TAG RIGHTS…: a.tar whose only entry has this ACL; both as four hexadecimal digits of the bytes
acl() {
	local key=LIBARCHIVE.xattr.system.posix_acl_access bytes='\x02\x00\x00\x00'
	while [ $# -gt 0 ]; do
		bytes+="\\x${1:0:2}\\x${1:2}\\x${2:0:2}\\x${2:2}\\xff\\xff\\xff\\xff"
		shift 2
	done
	rm -rf carrier && mkdir carrier && : >carrier/file
	tar --format=posix --pax-option="$key:=$(printf '%b' "$bytes" | base64 -w 0)" -C carrier -cf a.tar file
}

@test "mkfs: xattrs that cannot be kept" {
	local wrong
	with_xattr system.data xyz
	refused 3 "'file': ext4 has no xattr system.data" a.tar
	with_xattr foreign.colour xyz
	refused 3 "'file': ext4 has no xattr foreign.colour" a.tar
	with_xattr system.posix_acl_access xyz
	refused 3 "'file': system.posix_acl_access is not a valid ACL" a.tar
	# An ACL in the order that the kernel wants, out of it, with a tag twice, with a right that there is not.
	acl 0100 0600 0400 0500 2000 0400
	works mlimg-mkfs --kind system --force a.tar x.img
	sound x.img
	for wrong in '0400 0500 0100 0600 2000 0400' '0100 0600 0400 0500 0400 0500 2000 0400' '0100 0800 0400 0500 2000 0400' '0100 0600 0400 0500'; do
		# shellcheck disable=SC2086 # words
		acl $wrong
		refused 3 "'file': system.posix_acl_access is not a valid ACL" a.tar
	done
	with_xattr user.large "$(printf 'v%.0s' {1..4041})"
	refused 3 "'file': xattr user.large of 4041 bytes is too large for ext4" a.tar
	with_xattr user.large "$(printf 'v%.0s' {1..4036})"
	works mlimg-mkfs --kind system --force a.tar x.img
	sound x.img
	with_xattr user.1 "$(printf 'v%.0s' {1..2000}),SCHILY.xattr.user.2:=$(printf 'w%.0s' {1..2200})"
	refused 3 "'file': xattrs of 4240 bytes are too large for ext4" a.tar
}

@test "mkfs: marks of overlayfs" {
	local kind
	with_xattr trusted.overlay.opaque y dir
	refused 3 "'dir': trusted.overlay.opaque in a system layer, which has nothing beneath it" a.tar
	works mlimg-mkfs --kind software --force a.tar x.img
	sound x.img
	[[ $(tree_of x.img) == *"tags=xattr:trusted.overlay.opaque:eQ"* ]]
	for kind in software user; do
		with_xattr trusted.overlay.opaque y file
		refused 3 "'file': trusted.overlay.opaque that is not \"y\" on a directory" a.tar
		with_xattr trusted.overlay.opaque x dir
		refused 3 "'dir': trusted.overlay.opaque that is not \"y\" on a directory" a.tar
		with_xattr trusted.overlay.redirect elsewhere dir
		refused 3 "'dir': trusted.overlay.redirect cannot be kept in a layer" a.tar
		with_xattr trusted.overlay.metacopy y file
		refused 3 "'file': trusted.overlay.metacopy cannot be kept in a layer" a.tar
		with_xattr trusted.overlay.unheard-of y file
		refused 3 "'file': trusted.overlay.unheard-of cannot be kept in a layer" a.tar
		with_xattr trusted.overlay.origin somewhere file
		works mlimg-mkfs --kind $kind --force --size 16M a.tar x.img
		run grep -c overlay <<<"$(tree_of x.img)"
		same "marks left" 0 "$output"
	done
	spec_tar a.tar <<<'./gone type=char device=native,0,0 mode=0000 uid=0 gid=0 time=0.0'
	kind=system
	refused 3 "'gone': whiteout in a system layer, which has nothing beneath it" a.tar
	works mlimg-mkfs --kind software --force a.tar x.img
	sound x.img
	[[ $(tree_of x.img) == *"./gone type=char mode=0000 uid=0 gid=0 time=0.000000000 device=native,0,0" ]]
}

@test "mkfs: bad targets" {
	mkdir d
	fails 1 "mlimg-mkfs: write 'nodir/x': No such file or directory" mlimg-mkfs --kind system d nodir/x
	# Nobody can make files there; which of the two is said depends on how sysfs is mounted.
	run --separate-stderr mlimg-mkfs --kind system d /sys/x
	# shellcheck disable=SC2154 # run sets it
	[[ $status == 1 && $stderr =~ ^"mlimg-mkfs: write '/sys/x': "("Permission denied"|"Read-only file system")$ ]]
	fails 1 "mlimg-mkfs: write 'd': Is a directory" mlimg-mkfs --kind system d d
	fails 1 "mlimg-mkfs: write '/dev/null', which is not a regular file: File exists" mlimg-mkfs --kind system --force d /dev/null
	fails 1 "mlimg-mkfs: the image would lie in its own source" mlimg-mkfs --kind system d d/x
	same "files" "d" "$(find . -mindepth 1 -printf '%P\n')"
	# As long as a name can be.
	local long
	long=$(printf 'x%.0s' {1..255})
	works mlimg-mkfs --quiet --kind system d "$long"
	sound "$long"
	tar -C d -cf self.tar .
	fails 2 "mlimg-mkfs: 'self.tar' is both the source and the image
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --force --kind system self.tar self.tar
	tar -tf self.tar >/dev/null
}

@test "mkfs: a directory that cannot be synced is refused before anything is made" {
	need command setpriv
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody else"
	mkdir d wx && chmod 777 . && chmod 0733 wx
	cp "$(command -v mlimg-mkfs)" . 2>/dev/null
	fails 1 "mlimg-mkfs: write 'wx/o.img': Permission denied" \
		setpriv --reuid 65534 --regid 65534 --clear-groups ./mlimg-mkfs --kind system d wx/o.img
	same "files" "" "$(find wx -mindepth 1)"
}

@test "mkfs: signals and limits leave nothing" {
	mkdir d
	local signal pid ended
	ulimit -c 0
	for signal in INT QUIT TERM HUP USR1 USR2 ALRM XCPU PIPE; do
		mkfifo "fifo$signal"
		# Opened for writing as well, so that the program waits for a tar that never comes. A shell lets what it starts with & ignore INT and QUIT.
		env --default-signal=INT,QUIT mlimg-mkfs --kind system --name x - x.img <>"fifo$signal" 2>/dev/null 3>&- &
		pid=$!
		for _ in {1..3000}; do
			compgen -G '.mlimg.*' >/dev/null && break
			sleep 0.02
		done
		same "temporary file" 1 "$(compgen -G '.mlimg.*' | wc -l)"
		kill -s "$signal" $pid
		ended=0
		wait $pid || ended=$?
		same "exit code after SIG$signal" $((128 + $(kill -l "$signal"))) $ended
		same "files after SIG$signal" "" "$(find . -name '*.img' -o -name '.mlimg*')"
	done
	head -c 3000000 /dev/urandom >d/f
	run --separate-stderr bash -c 'ulimit -f 1000; mlimg-mkfs --kind system d x.img'
	same status 1 "$status"
	same "files after a limit" "" "$(find . -name '*.img' -o -name '.mlimg*')"
}

@test "mkfs: the bytes do not depend on the clock" {
	mkdir d && touch -d @1900000000 d
	works faketime -f '2024-01-01 00:00:00' mlimg-mkfs --quiet --kind system d a.img
	works faketime -f '2033-01-01 00:00:00' mlimg-mkfs --quiet --kind system d b.img
	cmp a.img b.img
}

@test "mkfs: sources that cannot be read" {
	refused 1 "open 'missing': No such file or directory" missing
	# Files of sysfs say 4096 bytes and hold fewer, so they are shorter at the end than at the beginning.
	[ -d /sys/class/net/lo/statistics ] || skip "needs sysfs"
	refused 1 "'collisions' changed while it was read" /sys/class/net/lo/statistics
}

@test "mkfs: no room" {
	mkdir d && head -c 3000000 /dev/urandom >d/f
	local needed
	run bash -c 'ulimit -f 1000; mlimg-mkfs --kind system d image 2>&1'
	same message "mlimg-mkfs: write 'image': File too large" "$output"
	same "exit code" 1 "$status"
	same files "$(printf 'd\nd/f')" "$(find . -mindepth 1 -printf '%P\n' | sort)"
	run mlimg-mkfs --kind system --size 1M d image
	[[ $output =~ ^"mlimg-mkfs: 'image' needs at least "([0-9]+)" bytes, not 1048576"$ ]]
	needed=${BASH_REMATCH[1]}
	refused 1 "'image' needs at least $needed bytes, not $((needed - 4096))" --size $((needed - 4096)) d
	works mlimg-mkfs --kind system --size "$needed" d image
	sound image
	same "size of the image" "$needed" "$(stat -c %s image)"
	works mlimg-mkfs --kind system --size 700M --force d image
	sound image
	same "size of the image" $((700 << 20)) "$(stat -c %s image)"
	works mlimg-mkfs --kind system --size 700000000 --force d image
	sound image
	same "size of the image, and blocks in it" "$((700000000 / 4096 * 4096)) $((700000000 / 4096))" \
		"$(stat -c %s image) $(dumpe2fs -h image 2>/dev/null | sed -n 's/^Block count: *//p')"
	head -c 15000000 /dev/urandom >d/f
	rm image
	kind=user refused 1 "'image': 16777216 bytes are too small for the contents" --size 16M d
}

@test "mkfs: the same bytes again, whatever the environment says of the time" {
	mkdir d && echo hello >d/f && touch -d @1700000000 d/f d
	mlimg-mkfs --quiet --kind system d 1.img
	TZ=Asia/Tokyo E2FSPROGS_FAKE_TIME=12345 LC_ALL=C.UTF-8 mlimg-mkfs --quiet --kind system d 2.img
	cmp 1.img 2.img
	same "time of the file system" "Thu Jan  1 00:00:01 1970" "$(TZ=UTC dumpe2fs -h 1.img 2>/dev/null | sed -n 's/^Last write time: *//p')"
	SOURCE_DATE_EPOCH=1234567890 mlimg-mkfs --quiet --kind user --size 64M d 3.img
	sleep 1
	SOURCE_DATE_EPOCH=1234567890 mlimg-mkfs --quiet --kind user --name 3 --size 64M d 4.img
	cmp 3.img 4.img
	mlimg-mkfs --quiet --kind user --name 3 --size 64M d 5.img
	mlimg-mkfs --quiet --kind user --name 3 --size 64M d 6.img
	run cmp -s 5.img 6.img
	same "two user layers are two" 1 "$status"
}

@test "mkfs: a source from the future" {
	mkdir d && touch -d @4000000000 d/f
	works mlimg-mkfs --json --kind system d x.img
	same time 4000000000 "$(jq .time <<<"$output")"
	sound x.img
}

@test "mkfs: a user layer as mke2fs would make it" {
	works mlimg-mkfs --kind user --quiet alice.img
	sound alice.img
	same size $((2 << 30)) "$(stat -c %s alice.img)"
	[ "$(stat -c %b alice.img)" -lt 4000 ] # 512 bytes each: sparse on the host
	same directories "mlimg 40700, upper 40755, work 40700" "$(for d in mlimg upper work; do
		debugfs -R "stat /$d" alice.img 2>/dev/null | sed -n "s/.*Mode: *\([0-7]*\).*/$d 4\1/p"
	done | paste -sd, | sed 's/,/, /g')"
	run dumpe2fs -h alice.img
	[[ $output == *"has_journal"*"resize_inode"*"64bit"*"metadata_csum"* ]]
	[[ $output == *"Inode count:              131072"* ]]
	[[ $output == *"Total journal size:       64M"* ]]
}
