#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # debian_begin sets images, user, vms
# What of the makers of an initramfs the boot table (boot.table), whose systems are small, does not show.
# lasts 130

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

# A whole Debian, as dracut's systemd hands over to the root's, and recorded from before that on. The tree is v1 with another initramfs, laid over it
# rather than copied.
@test "flavours: dracut with systemd: Debian, from an index" {
	local tree made system=$BATS_TEST_TMPDIR/debian.img
	tree=$(debian-tree v1)
	made=$(debian-tree dracut)
	vm_union=index
	mkdir "$BATS_TEST_TMPDIR/tree"
	unshare --mount sh -ec 'mount -t overlay -o "ro,lowerdir=$1:$2" overlay "$3"; mlimg-mkfs --quiet --kind system --name debian "$3" "$4"' \
		sh "$made/systemd" "$tree" "$BATS_TEST_TMPDIR/tree" "$system"
	# As 'mlimg profile --next-boot /root/list' leaves it.
	printf '600 /root/list' >"$BATS_TEST_TMPDIR/profile"
	debugfs -w -R "write $BATS_TEST_TMPDIR/profile mlimg/profile" "$user" 2>/dev/null
	vm_start t --system "$system" --software "$images/a.img" --user "$user"
	vm_up t
	debian_runs
	status_fits t first "$system" "$images/a.img"
	same "merged tree" "$(layers_a)" "$(layers_show t)"
	vm_do t 'until [ -e /root/list ]; do sleep 1; done; cat /root/list' >"$BATS_TEST_TMPDIR/list"
	same "what was recorded, in its order" "usr/lib/systemd/systemd usr/lib/systemd/systemd-journald" \
		"$(grep -x -e usr/lib/systemd/systemd -e usr/lib/systemd/systemd-journald "$BATS_TEST_TMPDIR/list" | xargs)"
	same "that the next boot is to be recorded" "" "$(vm_do t 'ls /run/mlimg/user/mlimg/profile 2>/dev/null || :')"
	vm_stop t
	vm_clean "$user"
}

# All that dracut takes by itself, and a root that has dracut, too: its service for the shutdown then runs there.
@test "flavours: dracut as it is by default: Debian with dracut, from an index, cold and after a reboot" {
	local tree made system=$BATS_TEST_TMPDIR/debian.img
	tree=$(debian-tree v1)
	made=$(debian-tree dracut)
	vm_union=index
	debian_quiet "$BATS_TEST_TMPDIR/quiet"
	mkdir "$BATS_TEST_TMPDIR/tree"
	unshare --mount sh -ec 'mount -t overlay -o "ro,lowerdir=$1:$2:$3:$4" overlay "$5"; mlimg-mkfs --quiet --kind system --name debian "$5" "$6"' \
		sh "$BATS_TEST_TMPDIR/quiet" "$made/default" "$tree" "$made.packages/upper" "$BATS_TEST_TMPDIR/tree" "$system"
	vm_start t --system "$system" --software "$images/a.img" --user "$user"
	vm_up t
	debian_runs
	status_fits t first "$system" "$images/a.img"
	same "merged tree" "$(layers_a)" "$(layers_show t)"
	same "dracut's shutdown" active "$(vm_do t 'systemctl is-active dracut-shutdown.service')"
	# What udev has found out in the initramfs the root's does not find out again.
	same "links to disks" $'mlimg-user\nvirtio-'"$(short "$user")" "$(vm_do t 'ls /dev/disk/by-label; ls /dev/disk/by-id')"
	vm_do t 'echo mine >/srv/mine; rm /srv/override; touch /run/first-boot; systemctl reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	debian_runs
	same "what became of its changes" "mine gone" "$(vm_do t 'cat /srv/mine; test -e /srv/override || echo gone' | xargs)"
	same "e2fsck's status, and whether there was a journal to replay" "0 false" "$(boot '.user.fsck | "\(.status) \(.said | test("recovering journal"))"')"
	vm_stop t
	vm_clean "$user"
}

# Of two archives: the one in front has what mlimg-vm looks for.
@test "flavours: what of mlimg is in an initramfs of dracut and of initramfs-tools" {
	local dracut made file initrd=$BATS_TEST_TMPDIR/initrd
	dracut=$(debian-tree dracut)
	for made in "$dracut/default" "$dracut/systemd" "$dracut/plain" "$(debian-tree unionfs)"; do
		unpacked "$made"/boot/initrd.img-* >"$initrd"
		{
			cpio -it --quiet
			cpio -it --quiet
		} <"$initrd" >"$BATS_TEST_TMPDIR/list"
		for file in mlimg-unions usr/lib/udev/rules.d/59-mlimg-layers.rules usr/sbin/mlimg-agent usr/bin/unionfs usr/sbin/e2fsck usr/lib/mlimg/mlimg-functions; do
			grep -qx "\(\./\)\?$file" "$BATS_TEST_TMPDIR/list" || same "what is in $made" "$file" ""
		done
	done
}

@test "flavours: stand-alone: at most 4 MB with e2fsck, unionfs-fuse and all modules" {
	local size
	# As it is installed.
	strip -o "$BATS_TEST_TMPDIR/agent" "$MLIMG_TOP/build/bin/mlimg-agent"
	small-root "$(debian-tree v1)" "$BATS_TEST_TMPDIR/small" --compress zstd --agent "$BATS_TEST_TMPDIR/agent" --unionfs "$(command -v unionfs)"
	size=$(stat -c %s "$BATS_TEST_TMPDIR"/small/boot/initrd.img-*)
	echo "$size bytes"
	[ "$size" -gt 1000000 ]
	[ "$size" -le 4000000 ]
}
