#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2030,SC2031,SC2154 # each row has its driver; small_begin sets images, system, user, vms
# Guests whose layers are read through their hash trees, set up by the initramfs from the kernel's command line.

load ../lib/common

setup_file() {
	load ../lib/small
	local images=$BATS_FILE_TMPDIR
	small-root "$(debian-tree v1)" "$images/tree"
	mlimg-mkfs --quiet --kind system --name small --verity "$images/tree" "$images/system.img"
	mkdir -p "$images/d/srv"
	head -c 3000000 /dev/urandom >"$images/d/srv/large"
	echo hello >"$images/d/srv/small"
	mlimg-mkfs --quiet --kind software --name x --verity "$images/d" "$images/x.img"
	cp "$images/x.img" "$images/bad.img"
	printf J | dd of="$images/bad.img" bs=1 conv=notrunc status=none \
		seek=$(($(debugfs -R 'blocks /rootfs/srv/large' "$images/x.img" 2>/dev/null | cut -d ' ' -f 1) * 4096))
}

setup() {
	load ../lib/small
	small_begin
}

teardown() {
	vm_kill
}

# root_hash IMAGE
root_hash() {
	jq -r .verity.root_hash "$images/$1.img.layer.json"
}

# verified SYSTEM-HASH SOFTWARE-HASH: the kernel parameter
verified() {
	echo "mlimg.verity=$(short "$images/system.img"):$1,$(short "$images/x.img"):$2"
}

# reads_what_is_sound: in guest "t", whose software layer has one changed byte in /srv/large.
reads_what_is_sound() {
	vm_up t
	same "boot.json" true "$(vm_do t 'cat /run/mlimg-boot.json' | jq .verity)"
	same "devices" $'mlimg-0\nmlimg-1' "$(vm_do t 'cat /sys/block/dm-*/dm/name')"
	same "what is whole" hello "$(vm_do t 'cat /srv/small')"
	run vm_do t 'cat /srv/large 2>&1 >/dev/null'
	[[ $status -eq 1 && $output == *"Input/output error"* ]]
	# Not one byte of the changed block is seen.
	same "bytes read" "" "$(vm_do t 'head -c 4096 /srv/large 2>/dev/null || true')"
	vm_stop t
	vm_clean "$user"
}

@test "verity: overlay over verified layers; a changed byte is a read error" {
	export vm_union=overlay
	start --software "$images/bad.img" --append "$(verified "$(root_hash system)" "$(root_hash x)")"
	reads_what_is_sound
}

@test "verity: an index over verified layers; a changed byte is a read error" {
	start --software "$images/bad.img" --disks separate --append "$(verified "$(root_hash system)" "$(root_hash x)")"
	reads_what_is_sound
}

@test "verity: another root hash stops the boot, with the layer's name" {
	export vm_union=overlay
	start --software "$images/x.img" --append "$(verified "$(root_hash system)" "$(root_hash system)")"
	stops "the software layer $(short "$images/x.img") cannot be verified: /dev/vdX: \
its root hash is $(root_hash x), not $(root_hash system)"
}
