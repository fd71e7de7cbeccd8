#!/bin/sh
# SPDX-License-Identifier: MIT
# Hook of dracut's stage mount, sourced: by its init, or in an initramfs with systemd by dracut-mount. When it returns, the
# merged root lies on $NEWROOT; the rest is dracut's.

# shellcheck disable=SC2154 # NEWROOT, what MLIMG_* the functions set
# shellcheck source=/dev/null
type getarg >/dev/null 2>&1 || . /lib/dracut-lib.sh

# For tests, as MLIMG_RUN and others in mlimg-functions.
MLIMG_ETC=${MLIMG_ETC:-/etc} MLIMG_CONSOLE=${MLIMG_CONSOLE:-/dev/console}

# One line on the console and to the host. Then what panic= says, as the kernel has it, else dracut's shell, which heeds
# rd.shell= and rd.emergency=. Returns when somebody leaves it, to try again.
mlimg_dracut_stop() {
	local line='' seconds

	read -r line <"$MLIMG_FAILURE"
	# First: the host may end the guest as soon as it hears of it. In an initramfs with systemd stdout is the journal.
	echo "mlimg: $line" >"$MLIMG_CONSOLE"
	mlimg-agent stage failed "$line"
	seconds=$(getarg panic=)
	[ -z "$MLIMG_REBOOT" ] || seconds=-1
	case $seconds in
		'' | 0 | *[!0-9-]* | ?*-*)
			emergency_shell "mlimg: $line"
			return
			;;
		-*) ;;
		*) sleep "$seconds" ;;
	esac
	mlimg_undo "$NEWROOT"
	# Twice: without asking systemd, which may not be there.
	reboot -f -f
}

# mlimg_dracut_init INIT: what runs in the new root, where mlimg.init= names another program than init=. systemd knows only the latter.
mlimg_dracut_init() {
	local dir="${MLIMG_RUN%/*}/systemd/system/initrd-switch-root.service.d"

	if [ -z "$DRACUT_SYSTEMD" ]; then
		mkdir -p "$MLIMG_ETC/cmdline.d"
		echo "real_init=$1" >"$MLIMG_ETC/cmdline.d/99-mlimg.conf"
		return
	fi
	mkdir -p "$dir"
	# shellcheck disable=SC2016 # for systemd
	printf '[Service]\nEnvironment="MLIMG_INIT=%s"\nExecStart=\n%s\n' "$1" \
		'ExecStart=systemctl --no-block switch-root /sysroot ${MLIMG_INIT}' >"$dir/mlimg.conf"
	systemctl daemon-reload
}

mlimg_dracut_mount() {
	local cmdline init

	# shellcheck source=/dev/null
	. "${MLIMG_LIB:-/usr/lib/mlimg}/mlimg-functions"
	udevadm settle --timeout=10
	read -r cmdline <"$MLIMG_PROC/cmdline"
	init=$(getarg init=)
	MLIMG_FAILURE=${MLIMG_RUN%/*}/mlimg-failure
	until mlimg_boot "$cmdline" "$NEWROOT" "${init:-/sbin/init}"; do
		mlimg_dracut_stop
	done
	[ -z "$MLIMG_INIT" ] || mlimg_dracut_init "$MLIMG_INIT"
}

if [ "$(getarg boot=)" = mlimg ] && ! ismounted "$NEWROOT"; then
	mlimg_dracut_mount
fi
