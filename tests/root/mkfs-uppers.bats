#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Uppers that the kernel's overlayfs wrote, and branches that unionfs-fuse wrote, as sources: a layer made of one shows over the same
# lower what the union showed.

load ../lib/common
load ../lib/images

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
	mkdir lower top merged work again
	unset SOURCE_DATE_EPOCH
	without='/ type=dir /s/ time=[^ ]*//; s/links:[0-9]+:[0-9]+,?//; s/ tags=$//'
}

teardown() {
	local d
	for d in again merged layer top lower; do
		if mountpoint -q "$BATS_TEST_TMPDIR/$d"; then
			umount "$BATS_TEST_TMPDIR/$d"
		fi
	done
}

# shown DIRECTORY: what it shows. Not compared: how many names a file has, since names of which only some were copied up are another
# file; and times of directories, for which alone --over keeps none.
shown() {
	treelist "$1" | sed -E "$without"
}

# base SEED: lower.img of a random tree and directories with entries below them, mounted at lower
base() {
	randtree "$1" 150 tree
	mkdir -m 0711 tree/etcetera
	mkdir -p tree/first/second/third/fourth tree/etcetera/conf.d tree/ussr/share/doc
	echo deep >tree/first/second/third/fourth/file && ln tree/first/second/third/fourth/file tree/first/linked
	seq 3000 | tee tree/etcetera/conf.d/one tree/ussr/share/doc/two >tree/first/three
	truncate -s 1M tree/first/hole && echo end >>tree/first/hole
	works mlimg-mkfs --quiet --force --kind system --name lower tree lower.img
	mount -t ext4 -o ro,noload,loop lower.img lower
}

# plain_overlay UPPERMOST…: what these over the lower show without anything that only some kernels do
plain_overlay() {
	mount -t overlay -o "ro,redirect_dir=nofollow,metacopy=off,index=off,lowerdir=$1:lower/rootfs" none again
	shown again >again.list
	umount again
}

# layer_shows SOURCE…: the layer made of it over lower.img is sound and shows what merged.list says
layer_shows() {
	works mlimg-mkfs --quiet --force --kind software --name x --over lower.img "$@" x.img || return
	fsck_clean x.img || return
	works mlimg-inspect x.img verify || return
	mkdir -p layer
	mount -t ext4 -o ro,noload,loop x.img layer
	plain_overlay layer/rootfs
	run grep -E 'overlay\.(redirect|metacopy|origin|impure)' <(mlimg-inspect x.img manifest)
	umount layer
	same "marks left" "" "$output" && diff merged.list again.list
}

# overlay OPTIONS: user.img, whose upper is written to through merged
overlay() {
	works mlimg-mkfs --quiet --force --kind user --size 64M --name u user.img
	mount -t ext4 -o loop user.img top
	mount -t overlay -o "lowerdir=lower/rootfs,upperdir=top/upper,workdir=top/work,$1" none merged
}

# finish: the union has been written to
finish() {
	shown merged >merged.list
	umount merged
}

@test "uppers: random changes, with redirects and metacopies" {
	local seed=${MLIMG_SEED:-$(date +%N)} round options id marks=
	echo "MLIMG_SEED=$seed"
	for ((round = 0; round < ${MLIMG_TREES:-6}; round++)); do
		options=redirect_dir=on,metacopy=on,index=off
		((round % 3 < 2)) || options=redirect_dir=on,metacopy=off,index=off
		echo "round $round: $options"
		base $((10#$seed + round))
		overlay "$options"
		randops $((10#$seed + round)) 60 merged
		finish
		marks=$marks$(getfattr -hdR -m overlay --absolute-names top/upper 2>/dev/null | grep -oE 'overlay\.(redirect|metacopy)')
		layer_shows --form upper top/upper
		id=$(sha256sum <x.img)
		# Whoever has copied the mounts meanwhile keeps it mounted.
		sync -f top && umount top
		e2fsck -p user.img >/dev/null || [ $? -lt 4 ]
		layer_shows user.img
		same "image from the directory and from the user layer" "$id" "$(sha256sum <x.img)"
		umount lower
		rm -rf tree
	done
	[[ $marks == *redirect* && $marks == *metacopy* ]]
}

@test "uppers: directories renamed into, over and out of each other" {
	base 1
	overlay redirect_dir=on,metacopy=on,index=off
	# In the place of one that was there: nothing of that shows.
	rm -r merged/ussr && mv merged/first merged/ussr
	# Within the renamed one: another takes the place of one that moved on, and one is only renamed.
	mv merged/ussr/second/third merged/moved
	mv merged/etcetera merged/ussr/second/third
	mv merged/ussr/second merged/ussr/renamed
	# Removed, and made again, in a renamed one.
	rm -r merged/moved/fourth && mkdir merged/moved/fourth && touch merged/moved/fourth/new
	rm merged/ussr/three
	# Back where it was.
	mv merged/ussr/renamed/third/conf.d merged/away && mv merged/away merged/ussr/renamed/third/conf.d
	chmod 0600 merged/ussr/hole && mv merged/ussr/hole merged/moved/hole
	finish
	same "redirects in the upper" $'/etcetera\n/etcetera/conf.d\n/first/hole\n/first/second/third\nfirst\nsecond' "$(getfattr -hdR -m overlay.redirect --absolute-names top/upper |
		sed -n 's/^trusted.overlay.redirect="\(.*\)"/\1/p' | sort)"
	layer_shows --form upper top/upper
	works mlimg-inspect x.img ls -R
	[[ $output == *ussr/renamed/third/conf.d/one* && $output == *moved/fourth/new* && $output != *moved/fourth/file* ]]
	# Above another source that has entries in it.
	mkdir -p above/ussr/renamed && touch above/ussr/renamed/own
	works mlimg-mkfs --quiet --force --kind software --name x --over lower.img --partial above y.img
	mkdir -p layer
	works mlimg-mkfs --quiet --force --kind software --name z --over lower.img --partial x.img y.img z.img
	mount -t ext4 -o ro,noload,loop z.img layer
	plain_overlay layer/rootfs
	umount layer
	same "what is added" 1 "$(diff merged.list again.list | grep -c '^> ./ussr/renamed/own ')"
}

@test "uppers: a user layer keeps renamed directories" {
	local source
	base 1
	overlay redirect_dir=on,metacopy=off,index=off
	rm -r merged/ussr && mv merged/first merged/ussr
	mv merged/ussr/second/third merged/moved
	mv merged/etcetera merged/ussr/second/third
	rm -r merged/moved/fourth && mkdir merged/moved/fourth && touch merged/moved/fourth/new
	rm merged/ussr/three
	mv merged/ussr/second/third/conf.d merged/away && mv merged/away merged/ussr/second/third/conf.d
	finish
	[[ $(getfattr -hdR -m overlay.redirect --absolute-names top/upper) == *redirect* ]]
	works mlimg-mkfs --quiet --kind user --size 64M --name u --form upper top/upper directory.img
	sync -f top && umount top
	e2fsck -p user.img >/dev/null || [ $? -lt 4 ]
	works mlimg-mkfs --quiet --kind user --size 64M --name u user.img layer.img
	for source in directory.img layer.img; do
		fsck_clean "$source"
		mount -t ext4 -o loop "$source" top
		mount -t overlay -o "lowerdir=lower/rootfs,upperdir=top/upper,workdir=top/work,redirect_dir=on,metacopy=off,index=off" none again
		shown again >again.list
		umount again
		umount top
		diff merged.list again.list
	done
}

@test "uppers: a branch that unionfs-fuse wrote" {
	need command unionfs-fuse
	[ -c /dev/fuse ] || skip "needs /dev/fuse"
	without='/ type=dir /s/ time=[^ ]*//; s/ tags=.*//' # it shows no xattrs
	local seed=${MLIMG_SEED:-$(date +%N)} round
	echo "MLIMG_SEED=$seed"
	base 1
	mkdir branch
	unionfs-fuse -o cow,hide_meta_files branch=RW:lower/rootfs=RO merged
	rm merged/etcetera/conf.d/one merged/first/three
	[ ! -e branch/etcetera ] # so the layer takes its attributes from beneath
	rm -r merged/ussr && mkdir merged/ussr
	finish
	layer_shows branch
	umount lower
	rm -rf tree branch
	for ((round = 0; round < ${MLIMG_TREES:-3}; round++)); do
		base $((10#$seed + round))
		mkdir branch
		unionfs-fuse -o cow,hide_meta_files branch=RW:lower/rootfs=RO merged
		randops $((10#$seed + round)) 60 merged 2>/dev/null # it cannot do everything
		umount merged
		unionfs-fuse -o cow,hide_meta_files branch=RW:lower/rootfs=RO merged # it shows what is there, not what it remembers
		finish
		layer_shows branch
		umount lower
		rm -rf tree branch
	done
}
