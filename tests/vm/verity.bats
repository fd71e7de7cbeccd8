#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # small_begin sets images, system, user, vms
# A guest's kernel on hash trees and signatures. Debian's kernels trust no key of ours, so what is shown of signatures is that the kernel
# understands them and misses the key; unit/mkfs-verity.bats shows that they are good.

load ../lib/common

setup_file() {
	load ../lib/small
	local images=$BATS_FILE_TMPDIR tree d=$BATS_FILE_TMPDIR/d library
	tree=$(debian-tree v1)
	small-root "$tree" "$images/small"
	mlimg-mkfs --quiet --kind system --name small "$images/small" "$images/system.img"
	# veritysetup with its libraries and modules: a software layer, which has a hash tree itself.
	mkdir -p "$images/tools/usr/sbin" "$images/tools/lib/verity"
	cp "$(command -v veritysetup)" "$images/tools/usr/sbin/"
	ldd "$(command -v veritysetup)" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$images/tools/${library%/*}"
		cp -L "$library" "$images/tools/$library"
	done
	find "$tree/lib/modules" \( -name dm-mod.ko -o -name dm-bufio.ko -o -name dm-verity.ko -o -name reed_solomon.ko -o -name loop.ko \) \
		-exec cp {} "$images/tools/lib/verity/" \;
	# What is checked: one sound image, and one with a byte changed.
	mkdir "$d"
	head -c 3000000 /dev/urandom >"$d/large"
	echo hello >"$d/small"
	openssl req -new -x509 -newkey rsa:2048 -nodes -keyout "$images/key" -out "$images/cert" -days 30 -subj /CN=x 2>/dev/null
	mlimg-mkfs --quiet --kind software --name x --verity --sign "$images/key" --cert "$images/cert" "$d" "$images/x.img"
	cp "$images/x.img" "$images/bad.img"
	printf J | dd of="$images/bad.img" bs=1 seek=$(($(debugfs -R 'blocks /rootfs/large' "$images/x.img" 2>/dev/null | cut -d ' ' -f 1) * 4096)) \
		conv=notrunc status=none
	# As files of that layer: a disk with a layer that is not in the stack would stop the boot.
	mv "$images/bad.img" "$images/tools/lib/verity/"
	cp "$images/x.img" "$images/tools/lib/verity/good.img"
	cp "$images/x.img.p7s" "$images/tools/lib/verity/good.p7s"
	openssl rand 400 >"$images/tools/lib/verity/garbage.p7s"
	mlimg-mkfs --quiet --kind software --name tools --verity "$images/tools" "$images/tools.img"
}

setup() {
	load ../lib/small
	small_begin
}

teardown() {
	vm_kill
}

# opened NAME [OPTION]…: veritysetup's open of NAME.img in the guest, as /dev/mapper/NAME
opened() {
	local name=$1
	shift
	vm_do t "cd /lib/verity && veritysetup open $name.img $name $name.img $(jq -r .verity.root_hash "$images/x.img.layer.json") \
		--hash-offset=$(jq .verity.hash_offset_bytes "$images/x.img.layer.json") $* 2>&1"
}

@test "verity: a guest's kernel takes the tree, finds a changed byte, and understands the signature" {
	start --software "$images/tools.img"
	vm_up t
	vm_do t 'cd /lib/verity && for m in loop dm-mod dm-bufio reed_solomon dm-verity; do [ ! -e $m.ko ] || insmod $m.ko || exit; done; mkdir /mnt'
	opened good
	same "content" "$(cat "$BATS_FILE_TMPDIR"/d/* | sha256sum)" \
		"$(vm_do t 'mount -t ext4 -o ro,noload /dev/mapper/good /mnt && cat /mnt/rootfs/* | sha256sum; umount /mnt')"
	vm_do t 'veritysetup status good' | grep -q 'status: *verified'
	vm_do t 'veritysetup close good'
	opened bad
	same "what is whole" hello "$(vm_do t 'mount -t ext4 -o ro,noload /dev/mapper/bad /mnt && cat /mnt/rootfs/small')"
	run vm_do t 'cat /mnt/rootfs/large 2>&1 >/dev/null'
	[[ $status -ne 0 && $output == *"Input/output error"* ]]
	vm_do t 'umount /mnt && veritysetup close bad'
	run opened good --root-hash-signature=/lib/verity/good.p7s
	[[ $status -ne 0 && $output == *"Required key not available"* ]]
	run opened good --root-hash-signature=/lib/verity/garbage.p7s
	[[ $status -ne 0 && $output == *"Bad message"* ]]
	vm_stop t
}
