# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Software layers made over others, as the kernel sees them: overlayfs over the system and the layers shows the tree that they were made
# from, entry by entry, contents included. Times of directories do not count (tools/mkfs-over.h).

load ../lib/common

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
}

# shows OUT IMAGE…: what overlayfs shows of the layers, bottom first
shows() {
	overlay-view ro "${@:2}" | sed '/ type=dir /s/ time=[^ ]*//' >"$1"
}

@test "random trees over a system and a layer" {
	local seed=${MLIMG_SEED:-$(date +%s)} i
	echo "MLIMG_SEED=$seed"
	for ((i = seed; i < seed + ${MLIMG_TREES:-4}; i++)); do
		rm -rf tree
		randtree "$i" $((100 + i % 5 * 150)) tree
		mlimg-mkfs --quiet --force --kind system --name s tree s.img
		mutate-tree "$i" tree
		mlimg-mkfs --quiet --force --kind software --name a --over s.img --allow mass-deletion tree a.img
		mlimg-mkfs --quiet --force --kind system --name s tree whole.img
		shows found s.img a.img
		shows wanted whole.img
		diff wanted found
		mutate-tree $((i + 1)) tree
		mlimg-mkfs --quiet --force --kind software --name b --over s.img,a.img --allow mass-deletion tree b.img
		mlimg-mkfs --quiet --force --kind system --name s tree whole.img
		shows found s.img a.img b.img
		shows wanted whole.img
		diff wanted found
	done
}

@test "what an overlay shows is a whole tree too" {
	need userns
	randtree 7 300 tree
	mlimg-mkfs --quiet --kind system --name s tree s.img
	mkdir upper work
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m bash -euc '
		mkdir mnt view
		mount -t ext4 -o ro,noload,loop s.img mnt
		mount -t overlay -o lowerdir=mnt/rootfs,upperdir=upper,workdir=work overlay view
		mutate-tree 7 view
		mlimg-mkfs --quiet --kind software --name whole --allow mass-deletion --over s.img view whole.img
		umount view
		mlimg-mkfs --quiet --kind software --name whole --partial --over s.img upper upper.img'
	shows of-whole s.img whole.img
	shows of-upper s.img upper.img
	diff of-whole of-upper
}

@test "where another file system is mounted, all is as beneath" {
	mkdir -p old/proc old/dev old/opt
	mknod old/dev/null c 1 3
	chmod 555 old/proc
	seq 9 | sed 's|^|old/opt/|' | xargs touch
	mlimg-mkfs --quiet --kind system --name s old s.img
	cp -a old new
	mkdir new/new
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m bash -euc '
		mount -t proc proc new/proc
		mount -t tmpfs tmpfs new/dev
		mount -t tmpfs -o mode=700 tmpfs new/new
		touch new/dev/log new/new/file
		mlimg-mkfs --quiet --kind software --name a --over s.img new a.img'
	same "what is in the layer" './new type=dir mode=0700' "$(mlimg-inspect a.img manifest | sed -n 's|^\(\./[^ ]* type=[^ ]* mode=[0-7]*\) .*|\1|p')"
}
