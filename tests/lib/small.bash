# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Rows of a boot table: guests with a small root.

export vms=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}
load "$MLIMG_TOP/tests/lib/vm"
load "$MLIMG_TOP/tests/lib/layers"
load "$MLIMG_TOP/tests/lib/hooks"

# small_flavour DIR FLAVOUR: the small system in DIR boots with this one's initramfs: stand-alone, which small-root has made, initramfs-tools,
# dracut, or dracut-systemd, which has systemd in it. All know unionfs-fuse.
small_flavour() {
	local made
	case $2 in
		stand-alone) return ;;
		initramfs-tools) made=$(debian-tree unionfs) ;;
		dracut) made=$(debian-tree dracut)/plain ;;
		dracut-systemd) made=$(debian-tree dracut)/systemd ;;
		*)
			echo "MLIMG_FLAVOUR: what is '$2'? stand-alone, initramfs-tools, dracut or dracut-systemd" >&2
			return 1
			;;
	esac
	made=$(echo "$made"/boot/initrd.img-*)
	unpacked "$made" >"$1/boot/${made##*/}"
}

# small_make DIR [OPTION-OF-mlimg-mkinitramfs…]: the images that all rows of a file share: system.img, system2.img, and those of layers_make.
small_make() {
	local images=$1 tree
	shift
	tree=$(debian-tree v1)
	small-root "$tree" "$images/tree" "$@"
	small_flavour "$images/tree" "${MLIMG_FLAVOUR:-stand-alone}"
	mkdir -p "$images/tree/srv" "$images/tree/usr/share"
	printf '#!/bin/sh\n: >/run/other-init\nexec /sbin/init\n' >"$images/tree/sbin/other"
	chmod 0755 "$images/tree/sbin/other"
	echo 1 | tee "$images/tree/srv/version" "$images/tree/usr/share/hidden" "$images/tree/usr/share/kept" \
		"$images/tree/usr/share/changed" "$images/tree/usr/share/deleted" >/dev/null
	hooks_put "$images/tree" 1
	mlimg-mkfs --quiet --kind system --name small --version 1 "$images/tree" "$images/system.img"
	echo 2 | tee "$images/tree/srv/version" "$images/tree/usr/share/changed" "$images/tree/usr/share/deleted" >/dev/null
	hooks_put "$images/tree" 2
	mlimg-mkfs --quiet --kind system --name small --version 2 "$images/tree" "$images/system2.img"
	layers_make "$images" usr/share/hidden
}

# small_begin: before each row. Sets $images, $system and $user, an empty user layer.
small_begin() {
	images=$BATS_FILE_TMPDIR
	system=$images/system.img user=$BATS_TEST_TMPDIR/user.img
	mlimg-mkfs --quiet --kind user --name tenant --size 64M "$user"
}

# start ARGUMENT…: guest "t" with the small system $system and the user layer $user.
start() {
	vm_start t --system "$system" --user "$user" --memory 256M --net none "$@"
}

# with_version LIST: a list of layers.bash and the one file of the system layer in the same place.
with_version() {
	{ "$1" && echo /srv/version:1; } | LC_ALL=C sort
}

# command_line SOFTWARE…: kernel parameters for the small system, these software layers and $user. Of those that mlimg-vm gives itself, no_timer_check is
# needed here too (tools/vm-cmd.c).
command_line() {
	local software='' image
	for image in "$@"; do
		software+=${software:+,}$(short "$image")
	done
	echo "console=ttyS0 no_timer_check $VM_APPEND boot=mlimg mlimg.wait=5 mlimg.system=$(short "$system")" \
		"${software:+mlimg.software=$software} mlimg.user=$(short "$user")"
}

# says LINE: the console has this line.
says() {
	tr -d '\r' <"$vms/t/console.log" | grep -xF "mlimg: $1" >/dev/null || vm_tell t
}

# reads_what_is_sound FORM DEVICES: guest "t" runs on verified layers, and a software layer has one changed byte in /srv/large.
reads_what_is_sound() {
	same "boot.json" "$1" "$(boot .verity)"
	same "devices" "$2" "$(vm_do t 'cat /sys/block/dm-*/dm/name' | sort | xargs)"
	same "what is whole" hello "$(vm_do t 'cat /srv/small')"
	run vm_do t 'cat /srv/large 2>&1 >/dev/null'
	# shellcheck disable=SC2154 # run sets status and output
	[[ $status -eq 1 && $output == *"Input/output error"* ]]
	# Not one byte of the changed block is seen.
	same "bytes read" "" "$(vm_do t 'head -c 4096 /srv/large 2>/dev/null || true')"
}
