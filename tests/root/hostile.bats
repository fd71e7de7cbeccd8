#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Uppers of somebody who wants a reconcile to fail, to take all memory, or to lose something: each ends with a right plan, or is refused and
# told. In a directory, with all that the agent does to it, and planned for in an image.

load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	UPPER=$RUN/user/upper
	mkdir -p "$RUN/layers" "$RUN/user" "$DIR"/{v1,v2}/{etc,usr/share/many,var} "$DIR/empty"
	cd "$DIR" || return
	echo one >v1/etc/stale
	echo two >v2/etc/stale
	LOOP=
}

teardown() {
	umount -q "$RUN/user" || :
	[ -z "$LOOP" ] || losetup -d "$LOOP"
}

# user_layer MKFS_OPTION…: on a file system of its own, which may hold more than a user layer's.
user_layer() {
	truncate -s 4G user.img
	mkfs.ext4 -q -F -N 1500000 "$@" user.img
	LOOP=$(losetup --show -f user.img)
	mount "$LOOP" "$RUN/user"
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$RUN/user")
	mkdir "$UPPER" "$RUN/user/work"
}

# on VERSION OPTION…: prepare on that system, with no more than 300 MiB of memory for 100,000 entries.
on() {
	local id
	id=$(layerdir system debian "$1" "$DIR/$1" "$DIR/layer-$1")
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-$1" "$RUN/layers/0"
	ln -s "$DIR/$1" "$RUN/layers/0/rootfs"
	# shellcheck disable=SC2016 # for the shell that is limited
	works sh -c 'ulimit -v $1; shift; exec "$@"' sh "${memory:-300000}" peak "$DIR/cost" mlimg-agent prepare --root "$RUN" --union overlay --system "$id" --user "$TENANT" "${@:2}"
	works mlimg-agent commit --root "$RUN"
}

# boot FILTER: out of boot.json
boot() {
	jq -rc "$1" "$RUN/boot.json"
}

# there: all that there is, whatever its name and depth.
there() {
	find "$UPPER" -mindepth 1 -printf '%P\0%y %m %U %G %s %n %l %D\0' | sha256sum
}

# odd DIRECTORY: everything in it that a name or a type can make difficult.
odd() {
	perl -MIO::Socket::UNIX -e '
		chdir shift or die;
		mkdir "names" or die;
		for (1 .. 255) {
			next if $_ == ord "/";
			open F, ">", "names/" . chr($_) . "x" or die;
			mkdir "names/dir-" . chr($_) or die;
		}
		open F, ">", "names/" . ("n" x 255) or die;
		symlink ".", "loop" or die;
		symlink "self", "self" or die;
		symlink "x" x 4095, "long" or die;
		mkdir "links" or die;
		open F, ">", "links/0" or die;
		for (1 .. 5000) { link "links/0", "links/$_" or die }
		chdir "links" or die;
		IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die;
		rename "socket", "../socket" or die;
		chdir ".." or die;
		mkdir "deep" or die;
		chdir "deep" or die;
		for (1 .. 3000) { mkdir "d" or die; chdir "d" or die; }
		open F, ">", "bottom" or die;
	' "$1"
	mkfifo "$1/fifo"
	mknod "$1/device" c 1 3
	mknod "$1/disk" b 7 99
	truncate -s 15T "$1/sparse"
}

@test "names, types, loops, links and depths" {
	local before
	user_layer
	on v1
	mkdir "$UPPER/etc" "$UPPER/srv"
	cp -a v1/etc/stale "$UPPER/etc"
	odd "$UPPER/srv"
	odd "$UPPER/etc"
	before=$(there)
	on v2
	same "done" '["changed","reconciled"]' "$(boot '[.change, .reconcile.done]')"
	[ ! -e "$UPPER/etc/stale" ]
	same "what was not looked at" 2 "$(boot '.notes[]' | grep -c '^not compared, and kept: user/upper/.*: File name too long$')"
	cp -a v1/etc/stale "$UPPER/etc"
	same "upper" "$before" "$(there)"
	on v1
	same "done" rolled-back "$(boot .reconcile.done)"
	same "upper, back" "$before" "$(there)"
}

@test "the same in an image: all is planned for alike, and what is deeper than a path is long is passed over" {
	local told
	mlimg-mkfs --quiet --kind user --name alice --size 64M user.img
	LOOP=$(losetup --show -f user.img)
	mount "$LOOP" "$RUN/user"
	mkdir -p "$UPPER/etc" "$UPPER/srv"
	cp -a v1/etc/stale "$UPPER/etc"
	odd "$UPPER/srv"
	treelist v1 >base
	treelist v2 >next
	run --separate-stderr reconcile-plan -s -o plan base next "$UPPER"
	same "exit code" 0 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == "not compared: srv/deep/d/"*"/d: File name too long" ]]
	told=$stderr
	umount "$RUN/user"
	fails 0 "$told" reconcile-plan -s -o image-plan base next user.img
	cmp plan image-plan
	same "drops" 1 "$(tr '\0' '\n' <plan | grep -a -c '^d ')"
	run --separate-stderr reconcile-plan base next user.img
	same "exit code" 3 "$status"
	[[ $stderr == "reconcile-plan: user.img: ./srv/deep/d/"*": a path is longer than 4095 bytes" ]]
}

@test "files that are merged, and are terabytes" {
	user_layer
	echo root:x:0:0::/:/bin/sh | tee v1/etc/passwd >v2/etc/passwd
	echo more:x:105:105::/:/bin/sh >>v2/etc/passwd
	mkdir -p v1/var/lib/dpkg v2/var/lib/dpkg
	printf 'Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n' >v1/var/lib/dpkg/status
	printf 'Package: a\nStatus: install ok installed\nVersion: 2\nArchitecture: all\n' >v2/var/lib/dpkg/status
	on v1
	mkdir -p "$UPPER/etc/mlimg/reconcile.d" "$UPPER/var/lib/dpkg"
	truncate -s 15T "$UPPER"/etc/{passwd,stale} "$UPPER/var/lib/dpkg/status" "$UPPER/etc/mlimg/reconcile.d/x.conf"
	on v2
	same "done" reconciled "$(boot .reconcile.done)"
	same "sizes" 16492674416640 "$(stat -c %s "$UPPER"/etc/{passwd,stale} "$UPPER/var/lib/dpkg/status" | sort -u)"
	same "beside" two "$(cat "$UPPER/etc/stale.mlimg-new")"
	same "notes" "left out: etc/mlimg/reconcile.d/x.conf: File too large
accounts: not merged: /etc/passwd of the user: File too large; and 1 more in the report" "$(boot '.notes[]')"
}

@test "extended attributes of 64 KiB, and more than anybody has" {
	local before i
	user_layer -O ea_inode
	on v1
	mkdir -p "$UPPER/srv/dir" "$UPPER/srv/other" "$UPPER/etc"
	cp -a v1/etc/stale "$UPPER/etc"
	head -c 65000 /dev/zero | tr '\0' x >value
	for i in $(seq 30); do
		: >"$UPPER/srv/$i"
		setfattr -n user.a -v "$(cat value)" "$UPPER/srv/$i"
	done
	setfattr -n user.a -v "$(cat value)" "$UPPER/srv/dir"
	: >"$UPPER/srv/dir/within"
	for i in $(seq 100); do
		setfattr -n "user.attribute.$i" -v "$i" "$UPPER/srv/other"
	done
	before=$(getfattr -R -d "$UPPER/srv" 2>/dev/null | sha256sum)
	on v2
	same "done" reconciled "$(boot .reconcile.done)"
	same "notes" 'not compared, and kept: user/upper/srv/1: Argument list too long
not compared, and kept: user/upper/srv/10: Argument list too long
not compared, and kept: user/upper/srv/11: Argument list too long
not compared, and kept: 28 more' "$(boot '.notes[]')"
	[ ! -e "$UPPER/etc" ]
	same "attributes" "$before" "$(getfattr -R -d "$UPPER/srv" 2>/dev/null | sha256sum)"
	[ -e "$UPPER/srv/dir/within" ]
}

@test "as many entries as MLIMG_HOSTILE_ENTRIES says" {
	local third=$((${MLIMG_HOSTILE_ENTRIES:-20000} / 3)) memory listed there
	user_layer
	memory=$((300000 + third * 6))
	# A third stale, a third whiteouts of what is gone, a third to be set aside. A report lists 100,000.
	seq -f "v1/usr/share/many/%.0f" $third | xargs -n 2000 touch
	seq -f "v1/usr/share/many/aside-%.0f" $third | xargs -n 2000 touch
	on v1
	mkdir -p "$UPPER/usr/share"
	cp -a v1/usr/share/many "$UPPER/usr/share/many"
	perl -e 'chdir shift or die; for (1 .. shift) { syscall(133, my $name = "gone-$_", 0020000, 0) == 0 or die }' "$UPPER/usr/share/many" $third
	seq -f "$UPPER/usr/share/many/aside-%.0f" $third | xargs -n 2000 chmod 600
	rm -r v2/usr/share/many
	on v2
	there=$(cat cost)
	same "done" "$((third * 2 + 3)) dropped, $third aside" "$(boot '"\(.reconcile.dropped) dropped, \(.reconcile.aside) aside"')"
	listed=$((third * 3 + 3))
	same "listed, and the rest counted" "$((listed > 100000 ? 100000 : listed)) $([ $listed -gt 100000 ] && echo true || echo false)" "$(jq -r '"\(.entries | length) \(.truncated)"' "$RUN/user/mlimg/reports/2.json")"
	same "aside" $third "$(find "$RUN/user/mlimg/aside/2" -type f | wc -l)"
	same "upper" "" "$(ls -A "$UPPER")"
	on v1
	same "done" rolled-back "$(boot .reconcile.done)"
	same "upper" $((third * 3)) "$(find "$UPPER/usr/share/many" -mindepth 1 | wc -l)"
	mkdir -p "$MLIMG_BUILD/test-results"
	echo "$((third * 3)) entries, a third dropped, a third whiteouts of nothing, a third set aside: there $there, back $(cat cost)" >"$MLIMG_BUILD/test-results/hostile"
}

# merged VERSION COMMANDS: what a user does in the merged tree.
merged() {
	mkdir -p m
	unshare -m sh -euc "mount -t overlay overlay -o lowerdir=$DIR/$1,upperdir=$UPPER,workdir=$RUN/user/work,redirect_dir=on,index=off,metacopy=off m; cd m; $2"
}

# attempts: what the user can and cannot change on the new system.
attempts() {
	# shellcheck disable=SC2016 # for that shell
	merged v2 'for i in etc/marked etc/real usr/real/more; do ! echo x 2>/dev/null >$i || echo $i; done
		echo x >>var/log/more; ! rm 2>/dev/null var/log/more || echo var/log/more'
}

@test "what is immutable or append-only stays so, by overlayfs mark or by a flag of the file system" {
	local i before
	mkdir -p v1/{usr/real,var/log} v2/{usr/real,var/log}
	for i in 1 2; do
		echo $i | tee v$i/etc/marked v$i/etc/real v$i/usr/real/in v$i/usr/real/stale v$i/etc/plain >v$i/top
	done
	user_layer
	on v1
	merged v1 'echo mine >etc/marked; chattr +i etc/marked; chmod 755 var/log; chattr +a var/log; touch etc/plain top'
	# As the overlayfs of kernels before 5.15 does, or whoever mounts the upper by itself.
	mkdir -p "$UPPER/usr/real"
	cp -a v1/etc/real "$UPPER/etc/real"
	cp -a v1/usr/real/stale "$UPPER/usr/real/stale"
	chattr +i "$UPPER/etc/real" "$UPPER/usr/real" "$UPPER"
	before=$(treelist "$UPPER" | sed 's/ time=.*sha256/ sha256/; s/ time=.*//; s/ tags=.*//')
	on v2
	same "done" '["reconciled",["3 files or directories that were immutable or append-only for the file system are so for overlayfs now"]]' "$(boot '[.reconcile.done, .notes]')"
	same "marks" ". i
etc/marked i
etc/real i
usr/real i
var/log a" "$(cd "$UPPER" && getfattr -R --absolute-names -n trusted.overlay.protattr . 2>/dev/null | sed -n 's/^# file: \(\.\/\)*//p; s/.*protattr="\(.*\)"/\1/p' | paste -d' ' - - | sort)"
	same "told" '["conflict","stays","immutable or append-only, as the user has made it"]' \
		"$(jq -c '.entries[] | select(.path == "etc/real") | [.verdict, .done, .why]' "$RUN/user/mlimg/reports/2.json")"
	same "contents" "mine 1 2 2 2" "$(merged v2 'cat etc/marked etc/real usr/real/stale etc/plain top' | xargs)"
	same "what can be changed" "" "$(attempts)"
	rm "$UPPER/var/log/more"
	on v1
	same "done" rolled-back "$(boot .reconcile.done)"
	same "upper, back" "$before" "$(treelist "$UPPER" | sed 's/ time=.*sha256/ sha256/; s/ time=.*//; s/ tags=.*//')"
	# Set aside whole.
	chattr +a "$UPPER"
	on v1 --reset now
	same "upper, reset" "" "$(ls -A "$UPPER")"
	same "aside" mine "$(cat "$RUN/user/mlimg/aside/reset-now/upper/etc/marked")"
}
