# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Block devices as images of mlimg-vm: QEMU refuses them where it is told that they are files.

load ../lib/common
load ../unit/vm-fakes

setup() {
	need root
	need command mke2fs jq
	cd "$BATS_TEST_TMPDIR" || return
	loops=()
}

teardown() {
	local dev
	for dev in "${loops[@]}"; do
		losetup -d "$dev"
	done
}

@test "a joined disk of files and block devices" {
	mkdir -p tree/etc
	head -c 100000 /dev/urandom >tree/etc/file
	mlimg-mkfs --quiet --kind system --name s --version 1 tree s.img
	mlimg-mkfs --quiet --kind software --name w --version 1 tree w.img
	local system
	system=$(losetup -r -f --show s.img)
	loops+=("$system")
	works mlimg-index -q --disk d.vmdk -o d.idx "$system" w.img
	grep -qxF "RW $(($(stat -c %s s.img) / 512)) FLAT \"$system\" 0" d.vmdk
	cat d.idx s.img w.img >disk.raw
	works qemu-img compare -f vmdk -F raw d.vmdk disk.raw
	works mlimg-inspect disk.raw verify
}

@test "layers and user image on block devices" {
	boot_tree tree
	layer s.img system debian 12.1 a tree
	layer w.img software nginx 1.22 b
	layer u.img user alice 1 c
	local system user
	system=$(losetup -r -f --show s.img)
	loops+=("$system")
	user=$(losetup -f --show u.img)
	loops+=("$user")
	run --separate-stderr mlimg-vm run --system "$system" --software w.img --user "$user" --accel tcg \
		--runtime-dir /r --dry-run
	same disks "file.driver=host_device,file.filename=$system
file.driver=file,file.filename=w.img
file.driver=host_device,file.filename=$user" "$(grep -o 'file\.driver=[^ ]*' <<<"$output")"
}
