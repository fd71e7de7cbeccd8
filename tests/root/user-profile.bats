#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg profile over the kernel's overlayfs, with real reads.
load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_setup
	mkdir -p "$DIR/system"/{etc,usr/bin,usr/share/old,run/mlimg,proc} "$DIR/software/usr/bin"
	local file
	for file in etc/read etc/unread etc/mapped etc/opened etc/deleted etc/mine 'etc/odd name' usr/share/old/x usr/bin/tool; do
		echo "$file of system" >"$DIR/system/$file"
	done
	: >"$DIR/system/etc/empty"
	ln -s read "$DIR/system/etc/link"
	mkfifo "$DIR/system/etc/fifo"
	cp "$(command -v busybox)" "$DIR/software/usr/bin/busybox-app"
	mlimg_boot
}

# With mlimg_boot's layers as real directories below, so that a process whose root is the merged one finds them in /run/mlimg.
real_layers() {
	local i
	for i in 0 1; do rm "$RUN/layers/$i/rootfs"; done
	cp -a "$DIR/system" "$RUN/layers/0/rootfs"
	cp -a "$DIR/software" "$RUN/layers/1/rootfs"
}

# user COMMANDS: beside the merged root, with mlimg as the function m, and as r where it is to go on in the background; what they print is left in $output.
# `recording` waits until such a one, whose stderr goes to the file err, has begun.
user() {
	works unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=$3/layers/1/rootfs:$3/layers/0/rootfs,upperdir=$2/upper,workdir=$2/work,redirect_dir=on,index=off,metacopy=off" "$1/merged"
		cd "$1"
		root=$3
		m() { mlimg --root "$root" --merged "$PWD/merged" "$@"; }
		r() { exec mlimg --root "$root" --merged "$PWD/merged" "$@"; }
		pid=
		trap "kill \$pid 2>/dev/null || :" EXIT
		recording() { until grep -qs "^mlimg: recording" err; do kill -0 "$1"; sleep 0.05; done; }
		'"$1" sh "$DIR" "$USER_DIR" "$RUN"
}

# files LIST: without comments.
files() {
	grep -v '^#' "$1"
}

@test "mlimg profile: what is opened, in its order, and nothing else" {
	user 'echo mine >merged/etc/mine
		mv merged/usr/share/old merged/usr/share/new
		cat merged/etc/unread >/dev/null
		r profile list 2>err & pid=$!
		recording $pid
		cd merged
		cat etc/link "etc/odd name" etc/read usr/share/new/x etc/mine etc/empty usr/bin/tool >/dev/null
		cat etc/deleted >/dev/null; rm etc/deleted
		ls etc >/dev/null
		usr/bin/busybox-app true
		cd ..
		kill -INT $pid
		wait $pid'
	same "list" 'etc/read
etc/odd\040name
usr/share/old/x
usr/bin/tool
usr/bin/busybox-app' "$(files "$DIR/list")"
	same "layers" "# Made by 'mlimg profile', for mlimg-mkfs --profile, with
# system debian 12.1
# software nginx 1.0" "$(sed -n 's/^\(#.*\) [0-9a-f]*$/\1/p; /Made/p' "$DIR/list")"
	[[ $output == "list: 5 files of the layers, "*" KiB, without 1 of your own" || $output == "list: 5 files of the layers, "*" MiB, without 1 of your own" ]]
	works mlimg-mkfs --quiet --kind system --name x --profile "$DIR/list" "$DIR/system" "$DIR/x.img"
	# usr/bin/busybox-app is the other layer's.
	run mlimg-mkfs --force --kind system --name x --profile "$DIR/list" "$DIR/system" "$DIR/x.img"
	same "mkfs" "mlimg-mkfs: warning: 1 of 5 paths of '$DIR/list' is no regular file in the layer" "${lines[0]}"
}

@test "mlimg profile: what lies on other file systems is not the layers'" {
	user 'mkdir merged/tmp
		mount -t tmpfs none merged/tmp
		echo x >merged/tmp/file
		r --json profile list 2>err & pid=$!
		recording $pid
		cat merged/tmp/file "$PWD/system/etc/read" >/dev/null
		kill -TERM $pid
		wait $pid'
	same "list" "" "$(files "$DIR/list" || :)"
	same "JSON" '{"file":"list","files":0,"bytes":0,"own":0,"unread":0,"lost":false}' "$output"
}

@test "mlimg profile: what is opened by another way than the root cannot be named, and is told" {
	user 'mkdir elsewhere
		mount --bind merged/usr elsewhere
		r --json profile list 2>err & pid=$!
		recording $pid
		cat merged/etc/read elsewhere/bin/tool >/dev/null
		kill -TERM $pid
		wait $pid'
	same "list" "etc/read" "$(files "$DIR/list")"
	same "warning" "mlimg: warning: more was opened than could be recorded" "$(grep -v recording "$DIR/err")"
	same "JSON" '1 true' "$(jq -r '"\(.files) \(.lost)"' <<<"$output")"
}

@test "mlimg profile: a file whose name is no UTF-8" {
	user 'name=$(printf "\377")
		r --json profile "$name" 2>err & pid=$!
		recording $pid
		kill -TERM $pid
		wait $pid
		[ -f "$name" ]'
	same "JSON" '{"file":"\\377","files":0,"bytes":0,"own":0,"unread":0,"lost":false}' "$output"
}

@test "mlimg profile: a private mount namespace, as services have" {
	user 'r profile list 2>err & pid=$!
		recording $pid
		mkfifo end
		unshare -m sh -c "mount -o remount,bind,ro $PWD/merged; mount --bind merged/usr merged/usr; cat merged/etc/read merged/usr/bin/tool >/dev/null; : >did; cat end" & other=$!
		until [ -e did ]; do sleep 0.05; done
		kill -INT $pid
		wait $pid
		: >end
		wait $other'
	same "list" "etc/read usr/bin/tool" "$(files "$DIR/list" | xargs)"
}

@test "mlimg profile: ends by itself; a FIFO does not stop it" {
	user 'm profile --for 1 own 2>/dev/null
		r profile list 2>err & pid=$!
		recording $pid
		: <>merged/etc/fifo
		cat merged/etc/read >/dev/null
		kill -INT $pid
		wait $pid'
	[ -e "$DIR/own" ]
	same "list" "etc/read" "$(files "$DIR/list")"
}

@test "mlimg profile: what was opened and not read is left out, where that can be told" {
	local wanted="etc/read" said=", without 1 that was opened, but not read"
	user 'r profile list 2>err & pid=$!
		recording $pid
		exec 3<merged/etc/opened
		exec 3<merged/etc/read
		cat <&3 >/dev/null
		kill -INT $pid
		wait $pid'
	if ! grep -q '^pgsteal_file 0$' /proc/vmstat || ! grep -q '^drop_pagecache 0$' /proc/vmstat; then
		wanted="etc/opened etc/read" said=
	fi
	same "list" "$wanted" "$(files "$DIR/list" | xargs)"
	same "output" "list: " "${output%%[0-9]*}"
	[[ $output == *" B$said" ]]
}

@test "mlimg profile: the next boot, begun by the initramfs" {
	real_layers
	user 'm profile --next-boot /etc/boot.list
		m --json profile --next-boot --for 60 /etc/boot.list
		cat "$root/user/mlimg/profile"; echo
		mount -t tmpfs none /run
		mkdir /run/mlimg
		mount --bind "$root" /run/mlimg
		mount --bind "$root" merged/run/mlimg
		mount -t proc proc merged/proc
		cat merged/etc/unread >/dev/null
		mlimg --root /run/mlimg --merged "$PWD/merged" profile --begin
		[ ! -e "$root/user/mlimg/profile" ]
		chroot merged /usr/bin/busybox-app cat /etc/read /usr/bin/tool >/dev/null
		pid=$(pgrep -f "^@limg .*--begin")
		[ ! -e merged/etc/boot.list ]
		rm "$root/profiling"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done'
	same "output" "/etc/boot.list: will be written when the next boot has reached its default target, or after 600 s
{\"file\":\"etc/boot.list\",\"when\":\"next-boot\",\"seconds\":60}
60 /etc/boot.list
/etc/boot.list: 3 files of the layers" "${output%,*}"
	same "list" "usr/bin/busybox-app
etc/read
usr/bin/tool" "$(files "$UPPER/etc/boot.list")"
}

@test "mlimg profile: mistakes" {
	fails 2 "mlimg: 'profile' needs a file
Try 'mlimg --help' for more information." "${MLIMG[@]}" profile
	fails 2 "mlimg: profile --next-boot cannot write to standard output
Try 'mlimg --help' for more information." "${MLIMG[@]}" profile --next-boot -
	fails 2 "mlimg: profile --begin takes no file
Try 'mlimg --help' for more information." "${MLIMG[@]}" profile --begin x
	fails 2 "mlimg: '0' is not a number from 1 to 86400
Try 'mlimg --help' for more information." "${MLIMG[@]}" profile --for 0 x
	fails 1 "mlimg: write '$DIR/merged/none/list': No such file or directory" "${MLIMG[@]}" profile --next-boot /none/list
	: >"$DIR/merged/list"
	fails 1 "mlimg: write '$DIR/merged/list' without --force: File exists" "${MLIMG[@]}" profile --next-boot /list
	works "${MLIMG[@]}" --force profile --next-boot /list
	rm "$USER_DIR/mlimg/profile"
	fails 1 "mlimg: open 'user/mlimg/profile': No such file or directory" "${MLIMG[@]}" profile --begin
	echo "x /list" >"$USER_DIR/mlimg/profile"
	fails 3 "mlimg: 'user/mlimg/profile' does not say what to record" "${MLIMG[@]}" profile --begin
	[ ! -e "$USER_DIR/mlimg/profile" ]
	fails 1 "mlimg: record what is opened: Operation not permitted" setpriv --reuid 65534 --regid 65534 --clear-groups "$MLIMG_BUILD/bin/mlimg" profile x
}
