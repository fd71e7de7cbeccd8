#!/bin/bash
# SPDX-License-Identifier: MIT
# Module of dracut(8): puts what boot=mlimg needs into the initramfs. Installed in /usr/lib/dracut/modules.d/90mlimg.
# Sourced by dracut, of which moddir, initdir, kernel and the inst functions are.

# shellcheck disable=SC2154 # dracut's variables
# shellcheck source=/dev/null
. "${dracutsysrootdir-}/usr/lib/mlimg/mlimg-unions"

check() {
	require_binaries mlimg-agent
}

depends() {
	echo base
}

install() {
	local file

	inst_hook cmdline 90 "$moddir/mlimg-root.sh"
	inst_hook mount 10 "$moddir/mlimg-mount.sh"
	for file in $MLIMG_FILES; do
		inst_simple "/usr/lib/mlimg/$file"
	done
	inst_script "$moddir/run-init.sh" /usr/sbin/run-init
	# udev's database goes from here to the root: what it finds here it must not take back there.
	inst_rules 59-mlimg-layers.rules
	inst_multiple mlimg-agent mount umount mkdir sleep dmesg modprobe udevadm reboot readlink
	# Whose signatures mlimg.verity=require takes.
	for file in "${dracutsysrootdir-}"/etc/mlimg/trusted.d/*.pem "${dracutsysrootdir-}"/etc/mlimg/trusted.d/*.der; do
		[ ! -f "$file" ] || inst_simple "${file#"${dracutsysrootdir-}"}"
	done
	# Without them this initramfs does not check the user layer, which the boot says, or does not know that driver.
	inst_multiple -o e2fsck unionfs
}

# dracut calls this after install, so the programs are there. hostonly: whoever makes the initramfs need not be the
# guest, and in it what a boot with another driver needs is not loaded.
installkernel() {
	hostonly='' instmods virtio_pci virtio_blk virtio_console ext4 overlay erofs dm-verity dm-zero
	[ ! -x "$initdir/usr/bin/unionfs" ] || hostonly='' instmods fuse
	mlimg_mark_unions
}

# mlimg_has_module NAME: it is in this initramfs, or built into the kernel.
mlimg_has_module() {
	[ -n "$(find "$initdir" -name "$1.ko*" -print -quit)" ] ||
		grep -qs "/$1\.ko" "${dracutsysrootdir-}/lib/modules/$kernel/modules.builtin"
}

# In front of the initramfs, never compressed, lies what mlimg-vm looks for: in the archive that dracut makes for microcode,
# which has no hook of its own. These variables are how dracut(8) keeps it.
mlimg_mark_unions() {
	local unions=''

	if mlimg_has_module overlay; then
		unions=overlay
		! mlimg_has_module erofs ||
			! mlimg_can_index "$kernel" "${dracutsysrootdir-}/boot/config-$kernel" ||
			unions="$unions index joined"
	fi
	[ ! -x "$initdir/usr/bin/unionfs" ] || ! mlimg_has_module fuse || unions="${unions:+$unions }unionfs"
	unions="${unions:+$unions }identity"
	[ -n "${early_cpio_dir-}" ] || early_cpio_dir=$DRACUT_TMPDIR/earlycpio
	if ! mkdir -p "$early_cpio_dir/d" || ! echo "$unions" >"$early_cpio_dir/d/mlimg-unions"; then
		dfatal "mlimg: cannot say which union drivers this initramfs knows"
		return 1
	fi
	# shellcheck disable=SC2034 # dracut's
	create_early_cpio=yes
}
