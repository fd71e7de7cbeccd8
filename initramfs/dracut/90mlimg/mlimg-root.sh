#!/bin/sh
# SPDX-License-Identifier: MIT
# Hook of dracut's stage cmdline, sourced. boot=mlimg says where the root comes from, so that no root= is wanted; and what it needs is
# loaded here, before udev's workers do it side by side (../../initramfs-tools/modules).

if [ "$(getarg boot=)" = mlimg ]; then
	# shellcheck disable=SC2034 # dracut's
	root=mlimg rootok=1
	mlimg_modules='virtio_pci virtio_blk virtio_console ext4 overlay'
	case $(getarg mlimg.union=) in
		index) mlimg_modules="$mlimg_modules erofs" ;;
		unionfs) mlimg_modules="$mlimg_modules fuse" ;;
	esac
	[ -z "$(getarg mlimg.verity=)" ] || mlimg_modules="$mlimg_modules dm-verity dm-zero"
	# Fails for one that is built in or not needed; mlimg_check_kernel sees what is missing.
	# shellcheck disable=SC2086 # words
	modprobe -qa $mlimg_modules
	unset mlimg_modules
fi
