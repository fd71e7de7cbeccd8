# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Three readers of one image: the kernel (loop mount), mlimg-inspect, and the source tree. All must tell the same, xattrs included.

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

# What the kernel and what mlimg-inspect make of image $1 with tree $2
compare() {
	mount -t ext4 -o ro,noload,loop "$1" mnt
	treelist "mnt/$2" >kernel
	umount mnt
	mlimg-inspect "$1" manifest --computed | grep -v '^# mlimg-' >inspect
	diff kernel inspect
}

@test "random trees written by mlimg-mkfs: source, kernel and mlimg-inspect agree" {
	local seed=${MLIMG_SEED:-$(date +%N)} i
	echo "MLIMG_SEED=$seed"
	for ((i = 0; i < ${MLIMG_TREES:-8}; i++)); do
		randtree $((10#$seed + i)) $((40 + 100 * i)) tree
		mlimg-mkfs --quiet --force --kind system --name random tree x.img
		treelist tree >source
		compare x.img rootfs
		diff source kernel
		rm -rf tree
	done
}

@test "random trees written by mke2fs: kernel and mlimg-inspect agree" {
	local seed=${MLIMG_SEED:-$(date +%N)} i
	echo "MLIMG_SEED=$seed"
	for ((i = 0; i < ${MLIMG_TREES:-4}; i++)); do
		randtree $((10#$seed + i)) 300 tree
		handmade-layer -s 64M tree x.img
		compare x.img rootfs
		rm -rf tree
	done
}

@test "a user layer that the kernel wrote to: kernel and mlimg-inspect agree" {
	local seed=${MLIMG_SEED:-$(date +%N)}
	echo "MLIMG_SEED=$seed"
	mkdir tree
	handmade-layer -k user -s 64M tree x.img
	mount -t ext4 -o loop x.img mnt
	randtree "$((10#$seed))" 600 mnt/upper/random
	# What overlayfs leaves in an upper.
	mknod mnt/upper/whiteout c 0 0
	mkdir mnt/upper/opaque
	setfattr -n trusted.overlay.opaque -v y mnt/upper/opaque
	rm -rf mnt/upper/random/[a-m]*
	fallocate -l 1M mnt/upper/unwritten
	: >mnt/upper/beyond
	fallocate -n -l 1M mnt/upper/beyond
	umount mnt
	compare x.img upper
	grep -x './whiteout type=char .* device=native,0,0' inspect
	grep -x './opaque type=dir .*trusted.overlay.opaque:eQ==.*' inspect
	works mlimg-inspect x.img ls -l unwritten
	[[ $output == *" 1048576 "* ]]
}

@test "a directory of 20,000 names is a hash tree in which the kernel finds each of them, and no others" {
	mkdir -p tree/large
	(cd tree/large && seq -f 'file-%.0f.data' 20000 | xargs touch)
	mlimg-mkfs --quiet --kind system --name large tree x.img
	[[ $(debugfs -R 'htree_dump /rootfs/large' x.img 2>/dev/null) == "Root node dump:"* ]]
	mount -t ext4 -o ro,noload,loop x.img mnt
	# By name: listing a directory does not use the tree.
	same "names that are found" 20000 "$(cd mnt/rootfs/large && seq -f 'file-%.0f.data' 20000 | xargs stat -c %n | wc -l)"
	same "names that are not there" 0 "$(cd mnt/rootfs/large && seq -f 'file-%.0f.dat' 20000 | xargs stat -c %n 2>/dev/null | wc -l || :)"
	same "what is listed" 20000 "$(find mnt/rootfs/large -type f | wc -l)"
	umount mnt
	compare x.img rootfs
	treelist tree >source
	diff source kernel
}

@test "random trees: du counts what the kernel counts, by directory" {
	local seed=${MLIMG_SEED:-$(date +%N)} i
	echo "MLIMG_SEED=$seed"
	for ((i = 0; i < ${MLIMG_TREES:-3}; i++)); do
		randtree $((10#$seed + i)) $((40 + 80 * i)) tree
		mlimg-mkfs --quiet --force --kind system --name random tree x.img
		mount -t ext4 -o ro,noload,loop x.img mnt
		(cd mnt/rootfs && du -B1 -d 0 . && find . -type f -printf '%i %s\n' | sort -u | awk '{ n += $2 } END { print n + 0 }' &&
			find . -printf x | wc -c) | sed 's/[^0-9].*//' >kernel
		umount mnt
		mlimg-inspect --json x.img du --depth 0 | jq '.[0] | .used, .size, .entries' >inspect
		diff kernel inspect
		rm -rf tree
	done
}
