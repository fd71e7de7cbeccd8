# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # the caller sets images, system, user, vms
# Power cuts: guests with the load of powerload, and what is looked at on a disk afterwards.

POWER_USER=tenant:00112233445566778899aabbccddeeff
POWER_MIB=160 # more than the one group that formatting makes, so that the file system grows

# power_make DIR: small systems system.img and system2.img in DIR, whose guests begin the load as soon as they are up, where the kernel parameter
# powerload=STEPS asks for it.
power_make() {
	local images=$1 tree=$1/tree file
	shift
	small-root "$(debian-tree v1)" "$tree" "$@"
	cp "$MLIMG_BUILD/tests/lib/powerload" "$tree/usr/lib/mlimg-test/"
	powerload make "$tree"
	mkdir -p "$tree"/usr/share/many/d{0..9}
	for file in "$tree"/usr/share/many/d{0..9}/f{0..9}; do echo "${file##*/many}" >"$file"; done
	cat >>"$tree/etc/init.d/start" <<'END'
read -r cmdline </proc/cmdline
for word in $cmdline; do
	case $word in
		powerload=*) /usr/lib/mlimg-test/powerload run / "${word#*=}" >/dev/null 2>&1 & ;;
	esac
done
END
	mkdir -p "$tree/etc/mlimg"
	echo 1 >"$tree/etc/version"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$tree" "$images/system.img"
	echo 2 >"$tree/etc/version"
	mlimg-mkfs --quiet --kind system --name small --version 2 "$tree" "$images/system2.img"
}

# power_disk FILE: a blank disk with a last sector that is in no file system.
power_disk() {
	rm -f "$1"
	truncate -s $((POWER_MIB * 1048576 + 512)) "$1"
}

# power_start STEPS [ARGUMENT-OF-mlimg-vm-run… [-- QEMU-ARGUMENT…]]: guest "t" with $system and $user, and the load until so many steps are done; "" for none. What it
# promises goes to $vms/promises.
power_start() {
	local given more steps=$1
	vm_split "${@:2}"
	: >"$vms/promises"
	vm_start t --system "$system" --user "$user" --format-user "$POWER_USER" --memory 256M --net none --verbose \
		${steps:+--append "powerload=$steps"} "${given[@]}" -- -chardev "file,id=promise,path=$vms/promises" \
		-device virtserialport,bus=virtio-serial0.0,nr=3,chardev=promise,name=org.mlimg.promise.0 "${more[@]}"
}

# power_staged STAGE: waits until the boot has come so far. STAGE may have what the stage's detail begins with, behind ": ".
power_staged() {
	until grep -Eq "^t: +[.0-9]+ s  $1" "$vms/t.out"; do
		if ! kill -0 "${vm_pids[t]}" 2>/dev/null; then
			echo "the guest does not come to stage '$1'" >&2
			vm_tell t
			return 1
		fi
		sleep 0.02
	done
}

# The stages that there were, in one line.
power_stages() {
	sed -nE 's/^t: +[.0-9]+ s  ([a-z-]+).*/\1/p' "$vms/t.out" | uniq | paste -sd ' '
}

# power_enlarge IMAGE MIB: its disk, by so much; the promises stay in its last sector.
power_enlarge() {
	local promised size
	promised=$(power_promise "$1")
	size=$(($(stat -c %s "$1") - 512))
	truncate -s $size "$1"
	truncate -s $((size + $2 * 1048576 + 512)) "$1"
	printf 'mlimg-power %s\n' "$promised" | dd of="$1" bs=512 seek=$(((size + $2 * 1048576) / 512)) conv=notrunc status=none
}

# power_promised WORD [TIMES]: waits until the guest has said so.
power_promised() {
	while [ "$(grep -c "^$1" "$vms/promises")" -lt "${2:-1}" ]; do
		if grep '^broken' "$vms/promises" >&2 || ! kill -0 "${vm_pids[t]}" 2>/dev/null; then
			echo "the guest does not say '$1'" >&2
			vm_tell t
			return 1
		fi
		sleep 0.05
	done
}

# power_cut: QEMU is killed, as soon as there is one.
power_cut() {
	local qemu
	# mlimg-vm runs QEMU before, too, to see what it can do: that has no guest.
	until qemu=$(pgrep -P "${vm_pids[t]}" -f -- 'guest=t') && kill -KILL "$qemu"; do
		kill -0 "${vm_pids[t]}" || return
		sleep 0.05
	done
	vm_end t || :
}

# power_logging LOG: sets logging, the caller's, to arguments for QEMU with which all that is written to the user disk is in LOG. Of what QEMU 7.2
# cannot log the disk must know nothing: zeroes that are written as such (other writes take their place in the log; mended in QEMU 9), and
# requests merged into one of 1024 pieces (the log's entry would have more than a system call takes, and is missing).
power_logging() {
	: >"$1"
	# shellcheck disable=SC2034
	logging=(-blockdev "driver=blklogwrites,node-name=logged,file=user,log.driver=file,log.filename=$1"
		-set device.user.drive=logged -set device.user.write-zeroes=off -set device.user.request-merging=off)
}

# power_logged STEPS LOG ARGUMENT-OF-mlimg-vm-run…: power_start, logged.
power_logged() {
	local logging
	power_logging "$2"
	power_start "$1" "${@:3}" -- "${logging[@]}"
}

# power_flushes LOG IMAGE: between how many flushes something was written, the number of cuts that powercut can make one by one. IMAGE is a disk that
# may be written to.
power_flushes() {
	powercut "$1" "$2" 0 1 0 | sed -n 's/.*, flush [0-9]* of \([0-9]*\), .*/\1/p' | grep .
}

# power_log_begin IMAGE LOG FILE: in a host: FILE is the disk IMAGE, and what is written to it is in LOG, until power_log_end.
power_log_begin() {
	: >"$2"
	: >"$3"
	logger=$3.pid
	qemu-storage-daemon --blockdev "driver=file,node-name=image,filename=$1" \
		--blockdev "driver=blklogwrites,node-name=logged,file=image,log.driver=file,log.filename=$2" \
		--export "type=fuse,id=disk,node-name=logged,mountpoint=$3,writable=on" --pidfile "$PWD/$logger" --daemonize 3>&- 4>&-
}

power_log_end() {
	local pid i
	[ -z "${logger:-}" ] || [ ! -e "$logger" ] || {
		pid=$(cat "$logger")
		# It leaves its mount behind; a loop device over it may be let go of late.
		for ((i = 0; i < 600; i++)); do
			! umount "${logger%.pid}" || break
			sleep 0.1
		done
		kill "$pid"
		for ((i = 0; i < 600; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
		rm -f "$logger"
	}
}

# power_cut_of CUT CUTS SEED: cut.img is base.img as that power cut would have left it, of log. Sets said, and names to what is in the user layer's /mlimg.
# shellcheck disable=SC2034 # for the caller
power_cut_of() {
	cp --sparse=always base.img cut.img
	said=$(powercut log cut.img "$@")
	e2fsck -p cut.img >fsck.log 2>&1 || [ $? -eq 1 ] || return
	names=$(debugfs -R 'ls -p /mlimg' cut.img 2>/dev/null | cut -d / -f 6)
}

# power_cut_in STAGE FLUSHES SEED: the caller's cut_disk, which sets stage, somewhere in that stage.
power_cut_in() {
	local i
	for ((i = 0; i < $2; i++)); do
		cut_disk $((($3 + i) % $2)) "$2" "$3"
		[ "$stage" -ne "$1" ] || return 0
	done
	echo "no cut between any of $2 flushes is in stage $1" >&2
	return 1
}

# power_log STEPS LOG ARGUMENT-OF-mlimg-vm-run…: a guest that is logged, does so many steps and powers off.
power_log() {
	power_logged "$@" && vm_up t && { [ -z "$1" ] || power_promised "done $1"; } && vm_stop t && vm_clean "$user"
}

# power_promise IMAGE: how many steps were promised.
power_promise() {
	tail -c 512 "$1" | tr -d '\0' | sed -n 's/^mlimg-power //p' | grep . || echo 0
}

# power_describes DIR: what is in a user layer's /mlimg fits: the state names a base manifest that is there, whole. Prints the stack's generation; 0
# where no boot has come so far.
power_describes() {
	local state=$1/state.json generation base
	[ -e "$state" ] || {
		echo 0
		return
	}
	# An empty file is no error to jq.
	generation=$(jq -r .generation "$state") || return
	[[ $generation =~ ^[1-9][0-9]*$ ]] || {
		echo "$state has no generation" >&2
		return 1
	}
	base=$1/base.manifest.$generation
	same "size of $base" "$(jq -r .base_size_bytes "$state")" "$(stat -c %s "$base")" &&
		same "digest of $base" "$(jq -r .base_sha256 "$state")" "$(sha256sum <"$base" | cut -d ' ' -f 1)" &&
		echo "$generation"
}

# power_upper DIR: where the changes are in the user layer that is mounted there: in its upper, or on the way aside, or there.
power_upper() {
	local upper
	for upper in "$1"/mlimg/aside/reset-*/upper "$1/mlimg/reset-new/upper" "$1/upper"; do
		[ ! -d "$upper/usr" ] || break
	done
	echo "$upper"
}

# power_fsck IMAGE: the journal is replayed, and beside that e2fsck finds nothing.
power_fsck() {
	local status=0
	e2fsck -p "$1" >"$vms/fsck.log" 2>&1 || status=$?
	if [ $status -gt 1 ] || ! e2fsck -fn "$1" >>"$vms/fsck.log" 2>&1; then
		echo "e2fsck -p ended with $status:" >&2
		cat "$vms/fsck.log" >&2
		return 1
	fi
}

# power_union DIR: on DIR/root what the guest had of DIR/layers/0 and DIR/user, with its driver.
power_union() {
	local options=index=off,metacopy=off,xino=auto,redirect_dir=on
	if [ "$vm_union" = unionfs ]; then
		mlimg-agent unionfs --root "$1" --mode normal "$1/root" 3>&- 4>&-
	else
		options+=,lowerdir=$1/layers/0/rootfs,upperdir=$(power_upper "$1/user"),workdir=$1/user/work
		mount -t overlay -o "$options" overlay "$1/root"
	fi
}

# power_apart DIR: unmounts all of it.
power_apart() {
	local tries=0
	umount "$1/root" || return
	# unionfs-fuse ends when its mount is gone, but not at once.
	until umount "$1/user" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 50 ] || return
		sleep 0.1
	done
	umount "$1/layers/0"
}

# power_holds IMAGE SYSTEM: the user layer IMAGE mounts, e2fsck finds nothing that is not in its journal, and the root that is made of it has all that
# was promised. Sets power_generation. In a mount name space of the caller's own.
power_holds() {
	local image=$1 dir=$vms/host status=0
	power_fsck "$image" || return
	mkdir -p "$dir"/{user,layers/0,root}
	mount -o loop,nosuid,nodev "$image" "$dir/user" && mount -o loop,ro,noload "$2" "$dir/layers/0" && power_union "$dir" || return
	powerload check "$dir/root" "$image" || status=2
	# shellcheck disable=SC2034 # for the caller
	power_generation=$(power_describes "$dir/user/mlimg") || status=2
	power_apart "$dir" || return
	[ $status -lt 2 ]
}

# What of a user layer is converted, in a guest: files of the system removed, changed, and in directories made anew; and files of the user's.
# shellcheck disable=SC2034 # for a test
POWER_MARKS='set -e
	cd /usr/share/many
	rm d[0-4]/f[0-7]
	rm -r d5 d6
	mkdir d6
	echo mine | tee d6/f0 d7/f1 d8/new >/dev/null
	rm -r d9
	echo mine >d9
	mkdir -p own/dir
	echo mine >own/dir/file
	sync'

# What guest "t" shows of that.
power_marks() {
	vm_do t 'cd /usr/share/many; find . -exec stat -c "%n %F %a %u %g" {} + | LC_ALL=C sort; find . -type f | LC_ALL=C sort | xargs md5sum'
}

# power_converts IMAGE DRIVER: the user layer IMAGE mounts, e2fsck finds nothing, and its conversion is done, or done again, for this driver.
# Prints the marks and whatever else is in the upper where POWER_MARKS has been, without the times of the marks themselves and what overlayfs notes
# of copies; on stderr how far the conversion was.
power_converts() {
	local dir=$vms/host said status=0
	power_fsck "$1" || return
	mkdir -p "$dir/user"
	mount -o loop,nosuid,nodev "$1" "$dir/user" || return
	[ ! -e "$dir/user/mlimg/convert.plan" ] || echo "the conversion was under way" >&2
	if said=$(mlimg-agent convert --to "$2" "$dir/user" 2>&1); then
		echo "${said##*; }" >&2
		power_describes "$dir/user/mlimg" >/dev/null && treelist "$dir/user/upper" >"$vms/upper" || status=$?
	else
		echo "$said" >&2
		status=1
	fi
	umount "$dir/user" && e2fsck -fn "$1" >"$vms/fsck.log" 2>&1 || status=1
	[ "$status" = 0 ] && grep -E '^(\./)?(\.unionfs-fuse/)?usr/share/many' "$vms/upper" | sed -E '/unionfs-fuse|type=char/s/ time=[^ ]*//
		s/xattr:trusted\.overlay\.(origin|impure|uuid):[^ ,]*,?//g; s/,?( tags=)?$//'
}

# layers_up IMAGE SYSTEM USER: what a boot of that system does to the user layer with that id before the union is mounted.
layers_up() {
	mkdir -p run/user run/layers/0 merged
	mount -o loop "$1" run/user && mount -o loop,ro,noload "$2" run/layers/0 &&
		mlimg-agent prepare --root run --union overlay --system "$(mlimg-inspect --json "$2" | jq -r .build_id)" --user "$3" >/dev/null &&
		mlimg-agent commit --root run
}

# layers_down DIR: what layers_up has mounted in DIR, and the union over it.
layers_down() {
	local dir
	for dir in merged run/layers/0 run/user; do
		! mountpoint -q "$1/$dir" || umount "$1/$dir" || return
	done
}
