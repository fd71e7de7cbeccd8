# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # the caller sets images, system, user, vms
# Power cuts: guests with the load of powerload, and what is looked at on a disk afterwards.

POWER_USER=tenant:00112233445566778899aabbccddeeff
POWER_MIB=160 # more than the one group that formatting makes, so that the file system grows

# power_make DIR: small systems system.img and system2.img in DIR, whose guests begin the load as soon as they are up, where the kernel parameter
# powerload=STEPS asks for it.
power_make() {
	local images=$1 tree=$1/tree
	shift
	small-root "$(debian-tree v1)" "$tree" "$@"
	cp "$MLIMG_BUILD/tests/lib/powerload" "$tree/usr/lib/mlimg-test/"
	powerload make "$tree"
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
	local given=(${1:+--append "powerload=$1"})
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		given+=("$1")
		shift
	done
	[ $# -eq 0 ] || shift
	: >"$vms/promises"
	vm_start t --system "$system" --user "$user" --format-user "$POWER_USER" --memory 256M --net none \
		"${given[@]}" -- -chardev "file,id=promise,path=$vms/promises" \
		-device virtserialport,bus=virtio-serial0.0,nr=3,chardev=promise,name=org.mlimg.promise.0 "$@"
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
	until qemu=$(pgrep -P "${vm_pids[t]}"); do
		kill -0 "${vm_pids[t]}" || return
		sleep 0.05
	done
	kill -KILL "$qemu"
	vm_end t || :
}

# power_log STEPS LOG ARGUMENT-OF-mlimg-vm-run…: a guest that does so many steps and powers off; all that is written to its user disk is in LOG. Of what QEMU 7.2 cannot log the disk must
# know nothing: zeroes that are written as such (other writes take their place in the log; mended in QEMU 9), and requests merged into one of 1024 pieces (the log's
# entry would have more than a system call takes, and is missing).
power_log() {
	local steps=$1 log=$2
	shift 2
	: >"$log"
	power_start "$steps" "$@" -- -blockdev "driver=blklogwrites,node-name=logged,file=user,log.driver=file,log.filename=$log" \
		-set device.user.drive=logged -set device.user.write-zeroes=off \
		-set device.user.request-merging=off &&
		vm_up t && { [ -z "$steps" ] || power_promised "done $steps"; } && vm_stop t && vm_clean "$user"
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

# power_holds IMAGE SYSTEM: the user layer IMAGE mounts, e2fsck finds nothing that is not in its journal, and under the kernel's overlayfs the root
# has all that was promised. Sets power_generation. In a mount name space of the caller's own.
power_holds() {
	local image=$1 dir=$vms/host status=0 options
	e2fsck -p "$image" >"$vms/fsck.log" 2>&1 || status=$?
	if [ $status -gt 1 ] || ! e2fsck -fn "$image" >>"$vms/fsck.log" 2>&1; then
		echo "e2fsck -p ended with $status:" >&2
		cat "$vms/fsck.log" >&2
		return 1
	fi
	mkdir -p "$dir"/{user,system,root}
	mount -o loop,nosuid,nodev "$image" "$dir/user" || return
	options=index=off,metacopy=off,xino=auto,redirect_dir=on
	options+=,lowerdir=$dir/system/rootfs,upperdir=$(power_upper "$dir/user"),workdir=$dir/user/work
	mount -o loop,ro,noload "$2" "$dir/system" || return
	mount -t overlay -o "$options" overlay "$dir/root" || return
	powerload check "$dir/root" "$image" || status=2
	# shellcheck disable=SC2034 # for the caller
	power_generation=$(power_describes "$dir/user/mlimg") || status=2
	umount "$dir/root" "$dir/system" "$dir/user"
	[ $status -lt 2 ]
}
