# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Layers with a hash tree behind their file system, mounted. That kernels take the tree and the form of the signature is shown in
# vm/verity.bats, since not every host's kernel has dm-verity.

load ../lib/common

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
	mkdir mnt
}

teardown() {
	if mountpoint -q "$BATS_TEST_TMPDIR/mnt"; then
		umount "$BATS_TEST_TMPDIR/mnt"
	fi
}

@test "a layer with a hash tree mounts as one without, and an index over it too" {
	local seed=${MLIMG_SEED:-$(date +%N)}
	echo "MLIMG_SEED=$seed"
	randtree "$((10#$seed))" 300 tree
	mkdir more && echo more >more/file
	mlimg-mkfs --quiet --kind system --name system --verity tree system.img
	mlimg-mkfs --quiet --kind software --name more --verity more more.img
	mount -t ext4 -o ro,noload,loop system.img mnt
	treelist mnt/rootfs >shown
	umount mnt
	treelist tree >source
	diff source shown
	mlimg-index --quiet -o stack.idx system.img more.img
	mount-index stack.idx mnt system.img more.img
	same "file of the second layer" more "$(cat mnt/rootfs/file)"
	# All but the root directory, which the second layer has too, and its file.
	treelist mnt/rootfs | grep -v -e '^\. ' -e '^\./file ' >shown
	diff <(grep -v '^\. ' source) shown
	umount mnt
}
