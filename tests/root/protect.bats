#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Protected paths: what a user layer that overlayfs has written covers of them is set aside before the next boot.

load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	mkdir -p "$RUN/layers" "$RUN/user" "$DIR/root" "$DIR"/v1/etc/mlimg/protected.d
	cd "$DIR/v1" || return
	declare_paths a
	LOOP=
}

teardown() {
	local dir
	cd /
	for dir in "$DIR/root" "$RUN/user"; do
		umount -q -R "$dir" || :
	done
	[ -z "$LOOP" ] || losetup -d "$LOOP"
}

# declare_paths NAME PATH…: in the system
declare_paths() {
	printf '%s\n' "${@:2}" >"$DIR/v1/etc/mlimg/protected.d/$1.conf"
}

# files PATH…: in the system, each with its own name in it
files() {
	local path
	for path in "$@"; do
		mkdir -p "$DIR/v1/${path%/*}"
		echo "$path of the system" >"$DIR/v1/$path"
	done
}

# layers: the system, and $DIR/sw, if it is there, above it
layers() {
	local software
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$RUN/layers/0")
	cp -a "$DIR/v1" "$RUN/layers/0/rootfs"
	stack=(--system "$V1")
	[ ! -d "$DIR/sw" ] || {
		software=$(layerdir software x 1 "$DIR/sw" "$RUN/layers/1")
		cp -a "$DIR/sw" "$RUN/layers/1/rootfs"
		stack+=(--software "$software")
	}
	mlimg-mkfs --quiet --kind user --name alice --size 20M "$DIR/user.img"
	LOOP=$(losetup --show -f "$DIR/user.img")
	mount -t ext4 -o nosuid,nodev "$LOOP" "$RUN/user"
	stack+=(--user "$(jq -r .build_id "$RUN/user/mlimg/layer.json")")
	upper=$RUN/user/upper aside=$RUN/user/mlimg/aside
}

# union: the root of a guest, as the initramfs mounts it
union() {
	local lowers=$RUN/layers/0/rootfs
	[ ! -d "$RUN/layers/1" ] || lowers=$RUN/layers/1/rootfs:$lowers
	mount -t overlay -o "lowerdir=$lowers,upperdir=$upper,workdir=$RUN/user/work,index=off,metacopy=off,redirect_dir=on" overlay "$DIR/root"
}

# as_user COMMANDS: in a running guest
as_user() {
	union
	(cd "$DIR/root" && eval "$1")
	umount "$DIR/root"
}

prepare() {
	works mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}" "$@"
}

# set_aside [PATH…]: this boot.json says, in byte order
set_aside() {
	same "set aside" "$(printf '%s\n' "$@" | LC_ALL=C sort)" "$(jq -r '.protected.paths[]?' "$RUN/boot.json" | LC_ALL=C sort)"
	same "number" $# "$(jq '.protected.n // 0' "$RUN/boot.json")"
}

# shows [PATH…]: the system's own
shows() {
	local path
	union
	for path in "$@"; do
		same "$path" "$path of the system" "$(cat "$DIR/root/$path")"
	done
}

# The kernel looks at the first of both marks; overlayfs itself never sets both, but root of the guest can.
@test "protected: a directory that is opaque and renamed hides what is beneath" {
	files usr/lib/provider/a
	declare_paths a /usr/lib/provider
	layers
	as_user 'echo mine >usr/lib/mine'
	setfattr -n trusted.overlay.opaque -v y "$upper/usr/lib"
	setfattr -n trusted.overlay.redirect -v /usr/lib "$upper/usr/lib"
	prepare
	set_aside /usr/lib
	shows usr/lib/provider/a
}

@test "protected: whatever covers them is set aside, and nothing else" {
	files etc/ssl/own-1.pem etc/ssl/other.pem usr/lib/provider/{a,b/c} usr/lib/half/keep usr/lib/half/rest opt/app/bin/x \
		srv/dir/secret var/link/y usr/bin/sh hall/free
	ln -s usr/bin bin
	declare_paths a /etc/ssl/own-*.pem /etc/ld.so.preload /usr/lib/provider /usr/lib/half/keep
	declare_paths b '# more' '' /opt/app/bin /srv/dir/secret /var/link/y /bin/sh /not/there
	layers
	as_user '
		echo mine | tee etc/ssl/own-1.pem etc/ssl/own-2.pem etc/ssl/other.pem etc/ld.so.preload >/dev/null
		mv usr/lib/provider/b/c hall/c && ln etc/ssl/own-1.pem hall/hard
		rm usr/lib/provider/a && echo mine >usr/lib/provider/new
		rm -r usr/lib/half && mkdir usr/lib/half && echo mine >usr/lib/half/mine
		mv opt/app opt/app2 && mkdir opt/app
		rm -r srv/dir && echo mine >srv/dir
		rm -r var/link && ln -s /hall var/link
		rm bin && mkdir bin && echo mine >bin/sh
		rm hall/free && mkdir -p not/there2 hall/mine
	'
	prepare
	same "on the console" "the user layer covered /etc/ssl/own-1.pem and 9 more, which are protected: set aside in $aside/protected-1" "$output"
	set_aside /etc/ssl/own-1.pem /etc/ssl/own-2.pem /etc/ld.so.preload /usr/lib/provider /usr/lib/half /opt/app /opt/app2 /srv/dir /var/link /bin
	same "where" "$aside/protected-1" "$(jq -r .protected.aside "$RUN/boot.json")"
	same "mode" 700 "$(stat -c %a "$aside/protected-1")"
	same "what is there" "mine mine mine mine mine mine mine" \
		"$(cd "$aside/protected-1" && cat etc/ssl/own-[12].pem etc/ld.so.preload usr/lib/provider/new usr/lib/half/mine srv/dir bin/sh | xargs)"
	same "the whiteout" "character special file" "$(stat -c %F "$aside/protected-1/usr/lib/provider/a")"
	shows etc/ssl/own-1.pem usr/lib/provider/{a,b/c} usr/lib/half/{keep,rest} opt/app/bin/x srv/dir/secret var/link/y usr/bin/sh
	same "bin" usr/bin "$(readlink "$DIR/root/bin")"
	same "what the system does not have" "" "$(cd "$DIR/root" && ls etc/ssl/own-2.pem etc/ld.so.preload usr/lib/provider/new 2>/dev/null || true)"
	same "the user's own" "mine mine usr/lib/provider/b/c of the system" "$(cd "$DIR/root" && cat etc/ssl/other.pem hall/hard hall/c | xargs)"
	[ ! -e "$DIR/root/hall/free" ] && [ -d "$DIR/root/hall/mine" ]
	umount "$DIR/root"
	# Once more: nothing is left.
	prepare
	same "on the console" "" "$output"
	set_aside
	same "protected" null "$(jq .protected "$RUN/boot.json")"
	same "directories" protected-1 "$(ls "$aside")"
}

@test "protected: a renamed directory may not bring the layers' own things to a protected place" {
	files opt/p/evil opt/q/sub/evil srv/x
	declare_paths a /etc/conf.d/evil '/srv/*/*/evil'
	layers
	as_user 'mv opt/p etc/conf.d; mkdir srv/y; mv opt/q srv/y/deep; mv srv/x srv/z'
	prepare
	set_aside /etc/conf.d
	as_user 'mkdir srv/n; mv srv/y/deep/sub srv/n/sub'
	prepare
	set_aside /srv/n/sub
	same "directories" "protected-1 protected-2" "$(cd "$aside" && echo *)"
	shows
	[ -e "$DIR/root/srv/z" ] && [ -d "$DIR/root/srv/y/deep" ]
}

@test "protected: a power cut in between, and what is in the way" {
	files etc/a etc/b
	declare_paths a /etc/a /etc/b
	layers
	as_user 'echo mine | tee etc/a etc/b >/dev/null'
	# The first was set aside when the power went.
	mkdir -p "$aside/protected-1/etc"
	mv "$upper/etc/a" "$aside/protected-1/etc/a"
	: >"$aside/protected-2"
	prepare
	set_aside /etc/b
	same "what is there" "mine mine" "$(cat "$aside"/protected-1/etc/a "$aside"/protected-3/etc/b | xargs)"
	[ ! -e "$RUN/user/mlimg/protecting" ]
	# What remains must not be a copy of what shows again, nor a directory that shows twice.
	rm "$RUN"/layers/0/rootfs/etc/mlimg/protected.d/a.conf
	as_user 'mv etc/b copy; mv etc/mlimg moved'
	rm "$upper/etc/b" "$upper/etc/mlimg"
	: >"$RUN/user/mlimg/protecting"
	fails 3 "mlimg-agent: $RUN: setting aside what covers protected paths was cut off: boot once in the mode normal, which ends it" \
		mlimg-agent prepare --root "$RUN" --union overlay --mode volatile "${stack[@]}"
	prepare
	set_aside /moved
	[ ! -e "$RUN/user/mlimg/protecting" ]
	union
	same "both" "etc/b of the system etc/b of the system" "$(cat "$DIR/root/copy" "$DIR/root/etc/b" | xargs)"
	[ -d "$DIR/root/etc/mlimg" ]
	umount "$DIR/root"
	echo /etc/a >"$RUN"/layers/0/rootfs/etc/mlimg/protected.d/a.conf
	# A stranger's user layer leads nowhere else.
	as_user 'echo mine >etc/a'
	mv "$aside" "$DIR/away"
	mkdir "$DIR/elsewhere"
	ln -s "$DIR/elsewhere" "$aside"
	prepare
	set_aside /etc/a
	[ -L "$aside.misplaced" ] && [ ! -L "$aside" ]
	same "elsewhere" "" "$(ls "$DIR/elsewhere")"
}

@test "protected: modes that do not write" {
	local mode
	files etc/a
	declare_paths a /etc/a
	layers
	prepare
	as_user 'rm etc/a'
	for mode in volatile readonly; do
		fails 3 "mlimg-agent: $RUN: the user layer covers '/etc/a', which is protected: boot once in the mode normal, which sets that aside" \
			mlimg-agent prepare --root "$RUN" --union overlay --mode $mode "${stack[@]}"
	done
	prepare --mode rescue
	set_aside
	# A factory reset has nothing left to set aside.
	prepare --reset again
	set_aside
}

@test "protected: who declares what" {
	files etc/a etc/b etc/c etc/d
	declare_paths a /etc/a
	declare_paths b /etc/b
	mkdir -p "$DIR/sw/etc/mlimg/protected.d"
	echo /etc/c >"$DIR/sw/etc/mlimg/protected.d/sw.conf"
	mknod "$DIR/sw/etc/mlimg/protected.d/b.conf" c 0 0
	layers
	as_user 'echo /etc/d >etc/mlimg/protected.d/mine.conf; rm etc/mlimg/protected.d/a.conf; rm etc/[abcd]'
	prepare
	set_aside /etc/a /etc/c
	same "notes" "" "$(jq -r '.notes[]' "$RUN/boot.json")"
	# A layer above that hides all of it.
	umount "$RUN/user"
	losetup -d "$LOOP"
	rm -r "$DIR/user.img" "$RUN"/layers/*
	setfattr -n trusted.overlay.opaque -v y "$DIR/sw/etc/mlimg"
	layers
	as_user 'rm etc/[abcd]'
	prepare
	set_aside /etc/c
}

@test "protected: what cannot be read stops the boot" {
	files etc/a
	declare_paths a /etc/a
	layers
	cd "$RUN/layers/0/rootfs/etc/mlimg"
	mv protected.d x
	ln -s x protected.d
	fails 3 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: etc/mlimg/protected.d is no directory" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	rm protected.d
	mv x protected.d
	truncate -s 70000 protected.d/a.conf
	fails 1 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: read 'a.conf': more than 65536 bytes: File too large" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	echo 'etc/a' >protected.d/a.conf
	fails 3 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: a.conf, line 1: no absolute path of at most 255 plain characters" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	printf '%s\n' /etc/a '/etc/../c' >protected.d/a.conf
	fails 3 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: a.conf, line 2: '/etc/../c' has empty parts, \".\" or \"..\"" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	echo /etc/a >protected.d/a.conf
	mkfifo protected.d/fifo.conf
	fails 3 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: fifo.conf is no file that can be read" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	rm protected.d/fifo.conf
	ln -s a.conf protected.d/link.conf
	fails 3 "mlimg-agent: $RUN: /etc/mlimg/protected.d of the layers: link.conf is no file that can be read" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
	rm protected.d/link.conf
	cd "$DIR"
	prepare
	mv "$RUN/layers/0/rootfs" "$DIR/away"
	fails 1 "mlimg-agent: $RUN: open 'layers/0/rootfs': No such file or directory" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}"
}

@test "protected: caches that mlimg has made go, and are made again" {
	files etc/ld.so.cache usr/share/icons/x/index.theme usr/share/man/y
	declare_paths a /etc/ld.so.cache /usr/share/icons /usr/share/man
	layers
	prepare
	works mlimg-agent commit --root "$RUN"
	as_user '
		echo glibc-ld.so.cache1.1 >etc/ld.so.cache
		printf "\\0\\001\\0" >usr/share/icons/x/icon-theme.cache
		echo mine | tee usr/share/man/mine etc/own >/dev/null
	'
	printf '%s\n' etc/ld.so.cache usr/share/icons/x/icon-theme.cache >"$RUN/user/mlimg/derived"
	prepare
	set_aside /usr/share/man
	same "what is aside" usr/share/man/mine "$(cd "$aside/protected-1" && find . -type f | cut -c3-)"
	same "to be made" "etc/ld.so.cache usr/share/icons/x/icon-theme.cache" "$(xargs <"$RUN/rebuild")"
	same "upper" "etc/own" "$(cd "$upper" && find . -type f | cut -c3-)"
	[ ! -e "$upper/usr/share/icons" ] && [ ! -e "$RUN/user/mlimg/protecting" ]
	shows etc/ld.so.cache
	umount "$DIR/root"
	# Something of the user's beside it: all of that is set aside.
	as_user 'printf "\\0\\001\\0" >usr/share/icons/x/icon-theme.cache; echo mine >usr/share/icons/mine'
	prepare
	set_aside /usr/share/icons
	# Where nothing may be written it stays, and is told; what is beside it is refused.
	as_user 'echo glibc-ld.so.cache1.1 >etc/ld.so.cache'
	works mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}" --mode readonly
	same "notes" "a cache covers '/etc/ld.so.cache', which is protected: it stays in this mode" "$(jq -r '.notes[]' "$RUN/boot.json")"
	as_user 'echo mine >usr/share/man/mine'
	fails 3 "mlimg-agent: $RUN: the user layer covers '/usr/share/man', which is protected: boot once in the mode normal, which sets that aside" \
		mlimg-agent prepare --root "$RUN" --union overlay "${stack[@]}" --mode readonly
	prepare
	set_aside /usr/share/man
	# What the user himself has written in its place, or calls a cache of mlimg's, is none.
	as_user 'echo mine >etc/ld.so.cache'
	prepare
	set_aside /etc/ld.so.cache
	same "aside" mine "$(cat "$aside"/protected-*/etc/ld.so.cache)"
	as_user 'echo mine >usr/share/man/passwd'
	echo usr/share/man/passwd >"$RUN/user/mlimg/derived"
	prepare
	set_aside /usr/share/man
}

@test "protected: a directory in the place of the mark is set aside too" {
	files etc/a
	declare_paths a /etc/a
	layers
	mkdir -p "$RUN/user/mlimg/protecting/mine"
	prepare
	as_user 'echo mine >etc/a'
	prepare
	set_aside /etc/a
	[ -d "$aside/protected-1/.mlimg-protecting/mine" ] && [ ! -e "$RUN/user/mlimg/protecting" ]
	as_user 'echo mine >etc/a'
	mkfifo "$RUN/user/mlimg/protecting"
	prepare
	set_aside /etc/a
	[ -p "$aside/protected-2/.mlimg-protecting" ]
}

@test "protected: carve-outs do not cover them either" {
	files srv/keep/x var/lib/data/y etc/z
	declare_paths a /srv/keep/x '/var/*/data' /etc/z
	layers
	as_user 'mkdir -p etc/mlimg/carve-outs.d; printf "%s\n" /srv/keep /srv/other /var/lib/data/y /var/cache /var/lib/more >etc/mlimg/carve-outs.d/mine.conf'
	prepare
	union
	works mlimg-agent commit --root "$RUN" --merged "$DIR/root"
	same "carve-outs and notes" "/srv/other
/var/lib/more
the carve-out '/srv/keep' would cover a protected path
the carve-out '/var/lib/data/y' would cover a protected path
the carve-out '/var/cache' would cover a protected path" "$(jq -r '.carve_outs[], .notes[]' "$RUN/boot.json")"
}

@test "protected: unionfs-fuse's marks" {
	files etc/a etc/keep usr/lib/x/one usr/lib/y/two usr/lib/free srv/p/q
	declare_paths a /etc/a /usr/lib/?/one '/usr/lib/*/two' /srv/p/q
	layers
	cd "$upper"
	mkdir -p .unionfs-fuse/usr/lib/y_HIDDEN~ .unionfs-fuse/etc .unionfs-fuse/srv/p usr/lib/y usr/lib/x srv/p
	touch .unionfs-fuse/etc/{a,keep}_HIDDEN~ .unionfs-fuse/usr/lib/free_HIDDEN~ .unionfs-fuse/srv/p/q_HIDDEN~ usr/lib/x/mine srv/p/mine
	echo mine >usr/lib/y/mine
	works mlimg-agent prepare --root "$RUN" --union unionfs "${stack[@]}"
	set_aside /etc/a /usr/lib/y /usr/lib/y /srv/p/q
	same "what is left" ".unionfs-fuse/etc/keep_HIDDEN~ .unionfs-fuse/usr/lib/free_HIDDEN~ srv/p/mine usr/lib/x/mine" "$(find . -type f | cut -c3- | LC_ALL=C sort | xargs)"
	same "what is aside" ".unionfs-fuse/etc/a_HIDDEN~ .unionfs-fuse/srv/p/q_HIDDEN~ usr/lib/y/mine" \
		"$(cd "$aside/protected-1" && find . -type f | cut -c3- | LC_ALL=C sort | xargs)"
	[ -d "$aside/protected-1/.unionfs-fuse/usr/lib/y_HIDDEN~" ]
}

@test "protected: of a long chain of renamed directories all go" {
	local i
	for i in {100..220}; do
		files "srv/d$i/x"
	done
	declare_paths a /srv/d220/x
	layers
	# d101 is called d100 now, d102 d101, and so on: of each the place shows again when the next one has gone.
	# shellcheck disable=SC2016 # as_user expands it
	as_user 'mkdir hall; mv srv/d100 hall/away; for i in {101..220}; do mv srv/d$i srv/d$((i - 1)); done'
	prepare
	same "number" 122 "$(jq .protected.n "$RUN/boot.json")"
	same "upper" "hall srv" "$(cd "$upper" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
}

@test "protected: what was renamed from a place that shows again goes too" {
	files opt/a/b/x opt/a/c/x opt/free/x srv/y
	declare_paths a /opt/a/b/x
	layers
	as_user '
		mkdir hall; echo mine >opt/a/c/mine
		mv opt/a/c hall/c; mkdir hall/deep; mv hall/c/x hall/x
		mv opt/a/b hall/deep/b; mv opt/a hall/deep/a; mv opt/free hall/deep/free; mv hall/deep hall/deeper
	'
	prepare
	set_aside /opt/a /hall/deeper/a /hall/c /hall/deeper/b
	shows opt/a/b/x opt/a/c/x
	same "what stays" "opt/free/x of the system opt/a/c/x of the system" "$(cd "$DIR/root/hall" && cat deeper/free/x x | xargs)"
	same "its own" mine "$(cat "$aside/protected-1/hall/c/mine")"
}
