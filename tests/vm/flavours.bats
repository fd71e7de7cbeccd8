#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small_begin sets images, system, user, vms; start uses system
# A few rows of the boot table with the other makers of an initramfs; the table itself (boot.bats) has the stand-alone one, and any of them with
# MLIMG_FLAVOUR. What a row looks at is the same whoever made the initramfs.

load ../lib/common

setup_file() {
	load ../lib/small
	local images=$BATS_FILE_TMPDIR tree flavour
	tree=$(debian-tree v1)
	small-root "$tree" "$images/small" --unionfs "$(command -v unionfs)"
	mkdir -p "$images/small/srv" "$images/small/usr/share"
	echo 1 | tee "$images/small/srv/version" >"$images/small/usr/share/hidden"
	printf '#!/bin/sh\n: >/run/other-init\nexec /sbin/init\n' >"$images/small/sbin/other"
	chmod 0755 "$images/small/sbin/other"
	stat -c %s "$images"/small/boot/initrd.img-* >"$images/stand-alone.size"
	for flavour in initramfs-tools dracut; do
		small_flavour "$images/small" "$flavour"
		mlimg-mkfs --quiet --kind system --name small --version 1 "$images/small" "$images/$flavour.img"
	done
	layers_make "$images" usr/share/hidden
}

setup() {
	load ../lib/small
	small_begin
	export vm_union=overlay
}

teardown() {
	vm_kill
}

# boots FLAVOUR: three layers in any order, a reboot, and what was written before it.
boots() {
	system=$images/$1.img
	start --software "$images/a.img" --software "$images/b.img" --software "$images/c.img" --shuffle "${MLIMG_SEED:-5}"
	vm_up t
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	status_fits t first "$system" "$images"/{a,b,c}.img
	vm_do t 'echo mine >/srv/mine; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "written before" mine "$(vm_do t 'cat /srv/mine')"
	status_fits t none "$system" "$images"/{a,b,c}.img
	vm_stop t
	vm_clean "$user"
}

# refuses FLAVOUR: a disk too many; the console says the line at its beginning.
refuses() {
	system=$images/$1.img
	mapfile -t extra < <(disk "$images/a.img" foreign)
	start -- "${extra[@]}"
	stops "/dev/vdX (serial foreign) holds a software layer, UUID $(uuid "$images/a.img"), \
which is not in the stack: detach it, or add it to the kernel parameters"
	grep -q "^mlimg: /dev/vd. (serial foreign) holds a software layer" "$vms/t/console.log"
	vm_clean "$user"
}

@test "flavours: initramfs-tools: three layers, shuffled disks, reboot" {
	boots initramfs-tools
}

@test "flavours: initramfs-tools: a foreign disk stops it, and the console says why" {
	refuses initramfs-tools
}

@test "flavours: dracut: three layers, shuffled disks, reboot" {
	boots dracut
}

@test "flavours: dracut: a foreign disk stops it, and the console says why" {
	refuses dracut
}

@test "flavours: dracut: an index, and mlimg.init names another init" {
	system=$images/dracut.img vm_union=index
	start --software "$images/a.img" --append mlimg.init=/sbin/other
	vm_up t
	same "merged tree" "$(with_version layers_a)" "$(layers_show t)"
	vm_do t 'test -e /run/other-init'
	status_fits t first "$system" "$images/a.img"
	vm_stop t
	vm_clean "$user"
}

# A whole Debian, as dracut's systemd hands over to the root's. The tree is v1 with another initramfs, laid over it rather than copied.
@test "flavours: dracut with systemd: Debian, from an index" {
	local tree made
	tree=$(debian-tree v1)
	made=$(debian-tree dracut)
	system=$BATS_TEST_TMPDIR/debian.img vm_union=index
	mkdir "$BATS_TEST_TMPDIR/tree"
	unshare --mount sh -ec 'mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$3"; mlimg-mkfs --quiet --kind system --name debian "$3" "$4"' \
		sh "$made/systemd" "$tree" "$BATS_TEST_TMPDIR/tree" "$system"
	vm_start t --system "$system" --software "$images/a.img" --user "$user"
	vm_up t
	same "system state" running "$(vm_do t 'systemctl is-system-running --wait')"
	status_fits t first "$system" "$images/a.img"
	same "merged tree" "$(layers_a)" "$(layers_show t)"
	vm_stop t
	vm_clean "$user"
}

@test "flavours: stand-alone: at most 4 MB with e2fsck, unionfs-fuse and all modules" {
	local size
	size=$(cat "$images/stand-alone.size")
	echo "$size bytes"
	[ "$size" -gt 1000000 ]
	[ "$size" -le 4000000 ]
}
