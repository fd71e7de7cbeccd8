#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # debian_begin sets images, user, vms
# What of the makers of an initramfs the boot table (boot.table), whose systems are small, does not show.
# lasts 60

load ../lib/common

setup_file() {
	load ../lib/debian
	debian_make
}

setup() {
	load ../lib/debian
	debian_begin
}

teardown() {
	vm_kill
}

# A whole Debian, as dracut's systemd hands over to the root's. The tree is v1 with another initramfs, laid over it rather than copied.
@test "flavours: dracut with systemd: Debian, from an index" {
	local tree made system=$BATS_TEST_TMPDIR/debian.img
	tree=$(debian-tree v1)
	made=$(debian-tree dracut)
	vm_union=index
	mkdir "$BATS_TEST_TMPDIR/tree"
	unshare --mount sh -ec 'mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$3"; mlimg-mkfs --quiet --kind system --name debian "$3" "$4"' \
		sh "$made/systemd" "$tree" "$BATS_TEST_TMPDIR/tree" "$system"
	vm_start t --system "$system" --software "$images/a.img" --user "$user"
	vm_up t
	debian_runs
	status_fits t first "$system" "$images/a.img"
	same "merged tree" "$(layers_a)" "$(layers_show t)"
	vm_stop t
	vm_clean "$user"
}

@test "flavours: stand-alone: at most 4 MB with e2fsck, unionfs-fuse and all modules" {
	local size
	small-root "$(debian-tree v1)" "$BATS_TEST_TMPDIR/small" --compress zstd --unionfs "$(command -v unionfs)"
	size=$(stat -c %s "$BATS_TEST_TMPDIR"/small/boot/initrd.img-*)
	echo "$size bytes"
	[ "$size" -gt 1000000 ]
	[ "$size" -le 4000000 ]
}
