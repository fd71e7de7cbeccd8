# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What benchmarks share that run guests side by side or in turns. Sourced after lib.bash.
# shellcheck disable=SC2034 # for who sources it

# shellcheck source=tests/lib/quiet.bash
. "$MLIMG_TOP/tests/lib/quiet.bash"

accel=${BENCH_ACCEL:-tcg}
tree=$(debian-tree v1)
version=$(cd "$tree/lib/modules" && printf '%s\n' * | sort -V | tail -n 1)
kernel=$tree/boot/vmlinuz-$version
# In small size kernels are told what those of tests are (vm.bash).
quick=$(pick '' 'quiet cryptomgr.notests')

# guest_system TREE: sets debian to what a system layer of TREE is made of: in small size it is quiet, and its initramfs the one without udev.
guest_system() {
	debian=("$1")
	[ "$BENCH_SIZE" != full ] || return 0
	rm -rf quiet
	debian_quiet quiet "$1"
	"$MLIMG_TOP/initramfs/mlimg-mkinitramfs" --modules-from "$1" --compress none -o "quiet/boot/initrd.img-$version"
	debian+=(quiet)
}

# A port of the benchmark's own beside the agent's; its chardev is "bench".
bench_port=(-device "virtserialport,bus=virtio-serial0.0,nr=9,chardev=bench,name=org.mlimg.bench.0")

# guest_wrapper: a directory bin for PATH; $guest_arguments are more of QEMU's. When QEMU begins is told by who starts it, in the file $BENCH_BEGAN with
# its process id; what mlimg-vm does before is not the guest's. In small size the kernel is no longer packed then.
guest_wrapper() {
	mkdir -p bin run cache
	# shellcheck disable=SC2016 # for the wrapper
	printf '#!/bin/sh\necho $$ >"$BENCH_BEGAN"\nexec %s "$@" %s\n' "$(command -v qemu-system-x86_64)" "${guest_arguments:-}" >bin/qemu-system-x86_64
	chmod 0755 bin/qemu-system-x86_64
	PATH=$PWD/bin:$PATH
	[ "$BENCH_SIZE" != full ] || return 0
	unpacked "$kernel" >vmlinuz
	kernel=$PWD/vmlinuz
}

# guest_software DIR I: 30 files in the directories that a package of Debian would put them into, which the system has too.
guest_software() {
	local i dir
	for dir in usr/bin usr/lib/app$2 usr/share/app$2 usr/share/doc/app$2 usr/lib/x86_64-linux-gnu etc/app$2; do
		mkdir -p "$1/$dir"
		for ((i = 0; i < 5; i++)); do
			head -c $((1000 * (i + 1) * (i + 1))) /dev/urandom >"$1/$dir/app$2-file$i"
		done
	done
}

# guest_cpu SYSTEM USER: the processor that mlimg-vm shows to a guest.
guest_cpu() {
	if [ "$accel" = kvm ]; then
		echo host
		return
	fi
	mlimg-vm run --dry-run --runtime-dir run --cache-dir cache --name cpu --accel "$accel" --system "$1" --user "$2" 2>/dev/null |
		sed -n 's/^[[:space:]]*-cpu \([^ ]*\).*/\1/p'
}

# guest_flat_tree DIR INITRD: the system for one image. What differs from the others: mlimg's part of the initramfs, which is there in small size but not
# asked for; a root in fstab, as Debian's images have it, which its initramfs therefore checks.
guest_flat_tree() {
	local part
	guest_system "$tree"
	for part in "${debian[@]}"; do cp -aT --reflink=auto "$part" "$1"; done
	echo 'LABEL=flat / ext4 rw,errors=remount-ro 0 1' >"$1/etc/fstab"
	if [ "$BENCH_SIZE" != full ]; then
		unpacked "$tree/boot/initrd.img-$version" >"$2"
		return
	fi
	rm -rf "$1"/boot/initrd.img-* "$1"/usr/share/initramfs-tools/{hooks,scripts,scripts/init-top}/mlimg
	echo FSTYPE=ext4 >"$1/etc/initramfs-tools/conf.d/root"
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount sh -ec 'mount --bind /proc "$1/proc"; mount --bind /dev "$1/dev"; exec chroot "$1" update-initramfs -c -k "$2"' sh "$1" "$version" >initramfs.log 2>&1 || {
		tail -n 20 initramfs.log >&2
		return 1
	}
	mv "$1/boot/initrd.img-$version" "$2"
}

# guest_flat CPU DISK INITRD COMMAND-LINE QEMU-ARGUMENT…: becomes QEMU as mlimg-vm starts it, but for one disk and no agent's port.
guest_flat() {
	exec "$PWD/bin/qemu-system-x86_64" -name guest=flat -nodefaults -no-user-config -display none -machine q35 -accel "$accel" \
		-cpu "$1" -smp 1 -m 1024M -kernel "$kernel" -initrd "$3" -append "no_timer_check panic=-1 $4" \
		-device virtio-serial-pci,id=virtio-serial0,addr=0x2 -object rng-builtin,id=rng0 -device virtio-rng-pci,rng=rng0,addr=0x3 \
		-blockdev "driver=raw,node-name=user,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=$2" \
		-device virtio-blk-pci,drive=user,addr=0x8.0,disable-legacy=on "${@:5}"
}

# guest_processor FILE: seconds that the QEMU of the process id in FILE has used.
guest_processor() {
	awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f\n", ($14 + $15) / hz }' "/proc/$(cat "$1")/stat"
}

# guest_up PID SECONDS MESSAGE LOG…: waits until the guest of this process has said so, in the file up; else shows the logs and the message.
guest_up() {
	local end=$((SECONDS + $2))
	until [ -s up ]; do
		if ! kill -0 "$1" 2>/dev/null || [ $SECONDS -ge $end ]; then
			cat "${@:4}" >&2
			echo "$3" >&2
			return 1
		fi
		sleep 0.05
	done
}

# guest_stop PID: ends the guest of this mlimg-vm or QEMU; mlimg-vm asks it at the first signal, and ends it at the second.
guest_stop() {
	kill -TERM "$1" 2>/dev/null || true
	sleep 0.3
	kill -TERM "$1" 2>/dev/null || true
	wait "$1" || true
}

# guest_median: of the numbers on standard input, with three digits at least.
guest_median() {
	sort -g | awk '{ x[NR] = $1 } END { m = NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2; printf m < 100 ? "%.3g\n" : "%.0f\n", m }'
}
