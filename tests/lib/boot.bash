# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # scripts for other shells
# For tests of the initramfs functions: each case runs in every shell that an initramfs has, against the fakes of boot-fakes.

# klibc's is that of initramfs-tools without busybox, bash may be dracut's.
boot_shells=(dash 'busybox ash' /usr/lib/klibc/bin/sh 'bash --posix')

# Prepares the machine that boot-fakes describes, in $T; called before each shell. A test adds to it by its own `machine`.
boot_machine() {
	rm -rf "$T"
	mkdir -p "$T/proc/self" "$T/run"
	echo '100.00 90.00' >"$T/proc/uptime"
	printf 'nodev\tproc\n\text4\nnodev\toverlay\n' >"$T/proc/filesystems"
	echo '1 1 0:1 / / rw - rootfs rootfs rw' >"$T/proc/self/mountinfo"
	: >"$T/disks"
	if declare -F machine >/dev/null; then machine; fi
}

# in_both STATUS STDOUT STDERR SCRIPT: the script ends so in all these shells.
in_both() {
	local shell
	export T=$BATS_TEST_TMPDIR/machine
	for shell in "${boot_shells[@]}"; do
		boot_machine
		# shellcheck disable=SC2086 # words
		run --separate-stderr env -i PATH="$PATH" T="$T" FAKES="$MLIMG_TOP/tests/lib/boot-fakes" \
			MLIMG_LIB="$MLIMG_TOP/initramfs/lib" MLIMG_PROC="$T/proc" MLIMG_SYS="$T/sys" MLIMG_RUN="$T/run/mlimg" MLIMG_KMSG="$T/kmsg.said" \
			$shell -c '. "$FAKES"; . "$MLIMG_LIB/mlimg-functions"; '"$4"
		# shellcheck disable=SC2154
		same "stderr in $shell" "$3" "$stderr" && same "stdout in $shell" "$2" "$output" &&
			same "exit code in $shell" "$1" "$status" || return
	done
}

# disk DEV STATE KIND UUIDHEX SERIAL DETAIL: a line as `mlimg-agent identify` prints it.
disk() {
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@"
}
