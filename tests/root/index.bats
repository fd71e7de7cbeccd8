#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The compiled stack, mounted.

load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	local dir
	for dir in merged overlay one two three filled; do
		umount -q "$dir" 2>/dev/null || true
	done
}

# overlaid DIR…: overlayfs over these, topmost first, is on the directory overlay.
overlaid() {
	mkdir -p overlay
	mount -t overlay -o "ro,index=off,metacopy=off,xino=auto,lowerdir=$(printf '%s:' "$@" | sed 's/:$//')" overlay overlay
}

# as_overlaid: what is mounted on the directory merged is what is mounted on overlay, entry by entry.
as_overlaid() {
	treelist overlay >overlay.list
	treelist merged/rootfs >merged.list
	same "merged tree" "" "$(diff overlay.list merged.list)"
	[ "$(wc -l <merged.list)" -gt "$1" ]
}

@test "an index shows what overlayfs shows of the same random layers, entry by entry" {
	need root
	c_case "$MLIMG_BUILD/tests/lib/overlay-model" index_equals_overlayfs
}

@test "an index shows what overlayfs shows of random trees with everything a layer can hold" {
	need root
	local seed=${MLIMG_SEED:-$(date +%s)} i n=3 dirs=()
	echo "MLIMG_SEED=$seed"
	mkdir merged
	for ((i = 0; i < n; i++)); do
		randtree $((seed + i)) 400 "tree$i"
		# So that layers meet: a directory, and in it hard links, of which upper layers hide some.
		mkdir -p "tree$i/both/deep" "tree$i/both/deep/of-$i"
		echo "$i" >"tree$i/both/top"
		ln "tree$i/both/top" "tree$i/both/name-of-$((i % 2))"
		ln "tree$i/both/top" "tree$i/both/deep/name"
		setfattr -n trusted.overlay.opaque -v y "tree$i/both/deep/of-$i"
		[ "$i" -eq 0 ] || mknod "tree$i/both/deep/of-$((i - 1))" c 0 0
		dirs=("layer$i/rootfs" "${dirs[@]}")
	done
	setfattr -x trusted.overlay.opaque tree0/both/deep/of-0
	for ((i = 0; i < n; i++)); do
		mlimg-mkfs --quiet --kind "$([ "$i" -gt 0 ] && echo software || echo system)" --name "l$i" --version 1 "tree$i" "$i.img"
	done
	mlimg-index -q -o x.img 0.img 1.img 2.img
	mount-index x.img merged 0.img 1.img 2.img
	treelist merged/rootfs >merged.list
	umount merged
	# And as one disk, which no kernel is told the layers of.
	mlimg-index -q --joined -o joined.img 0.img 1.img 2.img
	cat joined.img 0.img 1.img 2.img >disk.raw
	mount -t erofs -o ro,loop disk.raw merged
	treelist merged/rootfs >joined.list
	cmp <(cat merged/mlimg/manifests/2) <(mlimg-inspect 2.img manifest)
	umount merged
	same "joined tree, seed $seed" "" "$(diff merged.list joined.list)"
	mkdir one two three
	mount -o ro,noload,loop 0.img one && mount -o ro,noload,loop 1.img two && mount -o ro,noload,loop 2.img three
	overlaid three/rootfs two/rootfs one/rootfs
	treelist overlay >overlay.list
	same "merged tree, seed $seed" "" "$(diff overlay.list merged.list)"
	[ "$(wc -l <merged.list)" -gt 600 ]
}

# filled IMAGE COMMANDS: a layer that the kernel has written to, as its owner may.
filled() {
	mkdir -p filled
	mount -o loop "$1" filled
	(cd filled/rootfs && eval "$2")
	umount filled
}

@test "an index shows what the kernel has written into layers: unwritten and sparse files, indexed directories, large numbers" {
	need root
	mkdir -p empty merged one two
	handmade-layer -s 64M empty 0.img -N 20000
	handmade-layer -k software empty 1.img
	filled 0.img '
		fallocate -l 1M unwritten; printf begin >>unwritten; printf end | dd of=unwritten bs=1 seek=500000 conv=notrunc status=none
		printf x >behind-the-end; fallocate -n -l 1M behind-the-end
		for i in $(seq 0 2 60); do printf "$i" | dd of=pieces bs=4096 seek="$i" conv=notrunc status=none; done
		fallocate -c -o 16384 -l 8192 pieces; fallocate -p -o 40960 -l 4096 pieces
		truncate -s 12345 hole; : >empty; printf x >short; head -c 4096 /dev/urandom >block; head -c 4097 /dev/urandom >block1
		mkdir many; (cd many && seq -f "a-name-that-fills-blocks-%06g-$(printf "%0180d" 0)" 3000 | xargs touch)
		mkdir names; touch "names/$(printf "%0255d" 0)" "names/$(printf "\377\376\n\001 x")" names/+ names/-x names/... names/.x
		ln -s fast fast; ln -s "$(printf "%0200d" 0)" slow; ln -s "$(printf "%04000d" 0)" longest
		chown 4000000000:3000000000 short; chown -h 70000:0 fast; touch -d "1950-01-01 00:00:00.123456789" block; touch -d "2200-05-05 01:02:03.9" hole
		mknod char c 4095 1048575; mknod blockdev b 300 70000; mkfifo fifo
		setfattr -n user.shared -v same block; setfattr -n user.shared -v same block1; setfattr -n user.shared -v same names
		setfattr -n security.other -v "$(printf "%01000d" 0)" block; setfattr -n trusted.x -v 0x00ff block
		setfacl -m u:1:r,g:70000:rwx block1; setfacl -d -m u:1:rwx names; setcap cap_net_raw=ep short
		ln short short2; mkdir deep; ln short deep/short3; ln block deep/hidden'
	filled 1.img 'mkdir deep many; mknod deep/hidden c 0 0; mknod short2 c 0 0; touch many/z; mknod "many/a-name-that-fills-blocks-000007-$(printf "%0180d" 0)" c 0 0
		setfattr -n user.shared -v same deep'
	# What is unwritten must not be read: its blocks do not hold zeros.
	debugfs -R "ex /rootfs/unwritten" 0.img 2>/dev/null | sed -n 's/.* \([0-9]*\) - *[0-9]* *\([0-9]*\) Uninit.*/\1 \2/p' >extents
	[ -s extents ]
	while read -r at n; do
		head -c $((n * 4096)) /dev/zero | tr '\0' U | dd of=0.img bs=4096 seek="$at" conv=notrunc status=none
	done <extents
	mlimg-index -q -o x.img 0.img 1.img
	works fsck.erofs --device=0.img --device=1.img x.img
	mount-index x.img merged 0.img 1.img
	list merged/rootfs >merged.list
	umount merged
	mount -o ro,loop 0.img one && mount -o ro,loop 1.img two
	overlaid two/rootfs one/rootfs
	list overlay >overlay.list
	same "merged tree" "" "$(diff overlay.list merged.list)"
	[ "$(wc -l <merged.list)" -gt 3020 ]
	# What a manifest does not say.
	grep -q 'short.* nlink=3' merged.list
}

# list DIRECTORY: its manifest and link counts.
list() {
	mkdir -p bound
	mount --bind "$1" bound
	treelist bound
	find bound -not -type d -printf '%P nlink=%n\n' | sort
	umount bound
}

@test "an index shows files of more than 4 GiB" {
	need root
	mkdir -p empty merged
	handmade-layer empty 0.img
	filled 0.img 'truncate -s 9G large; for at in 0 4095 4096 8191; do printf "at $at" | dd of=large bs=1M seek=$at conv=notrunc status=none; done'
	mlimg-index -q -o x.img 0.img
	mount-index x.img merged 0.img
	same "size" $((9 << 30)) "$(stat -c %s merged/rootfs/large)"
	for at in 0 4095 4096 8191; do
		same "at $at MiB" "at $at" "$(dd if=merged/rootfs/large bs=1M skip=$at count=1 status=none | tr -d '\0')"
		same "a MiB behind it" "$([ $at -ne 4095 ] || echo "at 4096")" "$(dd if=merged/rootfs/large bs=1M skip=$((at + 1)) count=1 status=none | tr -d '\0')"
	done
	umount merged
}

@test "composed entries show as one more layer of overlayfs does" {
	need root
	mkdir -p system/etc/gone system/var/lib/db system/opt/kept software/etc top/etc/gone top/var/lib/db top/var/new top/opt merged one two
	echo low | tee system/etc/file system/etc/gone/x system/var/lib/db/a system/var/lib/db/b system/opt/kept/x >/dev/null
	echo mid | tee software/etc/file software/etc/other >/dev/null
	echo top | tee top/etc/file top/var/lib/db/b top/var/new/c >/dev/null
	head -c 9000 /dev/urandom >top/var/new/large
	ln -s c top/var/new/link
	mknod top/etc/other c 0 0
	setfattr -n trusted.overlay.opaque -v y top/etc/gone
	setfattr -n user.x -v y top/var/new/c
	chmod 0700 top/var/lib/db
	touch -d @1 top software # the root itself cannot be composed
	mlimg-mkfs --quiet --kind system --name l0 --version 1 system 0.img
	mlimg-mkfs --quiet --kind software --name l1 --version 1 software 1.img
	compose-index x.img top 0.img 1.img
	mount-index x.img merged 0.img 1.img
	treelist merged/rootfs >merged.list
	umount merged
	mount -o ro,noload,loop 0.img one && mount -o ro,noload,loop 1.img two
	overlaid top two/rootfs one/rootfs
	treelist overlay >overlay.list
	same "merged tree" "" "$(diff overlay.list merged.list)"
	same "the composed directory hides" "" "$(grep -F etc/gone/x merged.list || true)"
	grep -q '^\./var/lib/db/a ' merged.list
}

@test "mlimg-inspect shows of an index what the kernel shows: entries, digests, contents, and it agrees with the layers" {
	need root
	local seed=${MLIMG_SEED:-$(date +%s)} n layers=() given=()
	echo "MLIMG_SEED=$seed"
	mkdir merged
	for ((n = 0; n < 4; n++)); do
		randtree $((seed + n)) 200 "tree$n"
		mkdir -p "tree$n/both/deep"
		echo "$n" >"tree$n/both/top"
		ln "tree$n/both/top" "tree$n/both/name-of-$((n % 2))"
		[ "$n" -eq 0 ] || mknod "tree$n/both/name-of-$((n % 2))-not" c 0 0
		mlimg-mkfs --quiet --kind "$([ "$n" -gt 0 ] && echo software || echo system)" --name "l$n" --version 1 "tree$n" "$n.img"
		layers+=("$n.img") given=(--layer "$n.img" "${given[@]}")
	done
	mlimg-index -q -o x.img "${layers[@]}"
	works mlimg-inspect x.img verify "${given[@]}"
	[[ $output == *": as in the layers' manifests" ]]
	mlimg-inspect x.img manifest --computed "${given[@]}" >computed
	mlimg-inspect x.img manifest "${given[@]}" | cmp - computed
	mount-index x.img merged "${layers[@]}"
	# Link counts, hidden names included, are the kernel's; treelist counts the names that it sees.
	treelist merged/rootfs | sed -E 's/links:[0-9]+:[0-9]+,?//; s/ tags=$//' >kernel
	sed -E 's/links:[0-9]+:[0-9]+,?//; s/ tags=$//' computed | diff kernel -
	mlimg-inspect x.img extract -C out "${given[@]}"
	diff <(treelist merged/rootfs) <(treelist out)
	same "contents" "$(find merged/rootfs -type f -printf '%i %s\n' | sort -u | awk '{ n += $2 } END { print n }')" \
		"$(mlimg-inspect --json x.img du --depth 0 | jq '.[0].size')"
	umount merged
}

@test "directories that have blocks in common, and so entries without end, are refused" {
	# Needs no root, but some seconds.
	local i start
	mkdir -p shared/big
	: >shared/big/f
	(cd shared/big && perl -e 'link("f", $_) or die foreach 1 .. 20000')
	handmade-layer -s 64M shared debugged.img -O ^metadata_csum -N 3000
	start=$(debugfs -R "blocks /rootfs/big" debugged.img 2>/dev/null | cut -d ' ' -f 2)
	# A block of its own, and 50 of the other's.
	for ((i = 0; i < 1500; i++)); do
		echo "mkdir /rootfs/$i"
		printf "set_inode_field /rootfs/$i %s\n" "block[0] 0x2f30a" "block[6] 1" "block[7] 50" "block[8] $start" "size 208896"
	done >script
	debugfs -w -f script debugged.img >/dev/null 2>&1
	run --separate-stderr mlimg-index -o x.img debugged.img
	same "exit code" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr =~ ^"mlimg-index: layer 'handmade': '/"[0-9]+"': with its entries the layer has more than the 16777216 that can be"$ ]]
	[ ! -e x.img ]
}
