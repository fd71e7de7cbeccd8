# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $ is for a guest; variables are the engine's, boot-table.bash
# SPDX-License-Identifier: MIT
# What is wrong with the disks of a row: each function is called before the guest starts, and leaves images in $images_of_row and words for messages.

# damage NAME: damaged.img, its superblock's checksum wrong
damage() {
	cp "$(image "$1")" "$images_of_row/damaged.img"
	printf '\377' | dd of="$images_of_row/damaged.img" bs=1 seek=$((1024 + 4)) conv=notrunc status=none
}

# cut_image NAME SIZE: cut.img, of which this is left
cut_image() {
	cp "$(image "$1")" "$images_of_row/cut.img"
	truncate -s "$2" "$images_of_row/cut.img"
}

# lay_elsewhere NAME: elsewhere.img, the same layer laid out otherwise
lay_elsewhere() {
	cp "$(image "$1")" "$images_of_row/elsewhere.img"
	debugfs -w -R "set_super_value hash_seed 01234567-89ab-cdef-0123-456789abcdef" "$images_of_row/elsewhere.img" 2>/dev/null
}

# no_module: what the row's driver needs of the kernel
no_module() {
	case $vm_union in
		index) words[module]=erofs ;;
		overlay) words[module]=overlay ;;
		unionfs) words[module]=fuse ;;
	esac
}

# make_indexes DIR: ab-index.img and ba-index.img, of both orders of two layers
make_indexes() {
	mlimg-index --quiet -o "$1/ab-index.img" "$1"/{system,a,b}.img
	mlimg-index --quiet -o "$1/ba-index.img" "$1"/{system,b,a}.img
}

# join NAME…: joined.img, an index of the system with a and b, and behind it these images; words block0 to block2, where the layers must lie
join() {
	local joined=$images_of_row/joined.img name n
	mlimg-index --quiet --joined -o "$joined" "$images"/{system,a,b}.img
	for n in 0 1 2; do
		words[block$n]=$(mlimg-inspect --json "$joined" | jq ".layers[$n].first_block")
	done
	for name in "$@"; do cat "$(image "$name")"; done >>"$joined"
}

# As long as the right one, so that all others lie where they must.
join_foreign() {
	cp "$images/system.img" "$images_of_row/foreign.img"
	tune2fs -U 01234567-89ab-4def-8123-456789abcdef "$images_of_row/foreign.img" >/dev/null
	join foreign a b
}

join_cut() {
	join system a b
	truncate -s -64K "$images_of_row/joined.img"
	words[blocks]=$(($(stat -c %s "$images/b.img") / 4096))
	words[left]=$((words[blocks] - 16))
}

# --- user layers ---

# another_user: the kernel's command line names a user layer that is not attached
another_user() {
	mlimg-mkfs --quiet --kind user --name other --size 16M "$images_of_row/other.img"
	wanted_user=$images_of_row/other.img
}

# another_user_damaged: the one that is named is damaged; the guest's own is another
another_user_damaged() {
	damage user
	wanted_user=$images_of_row/wanted.img
	mv "$user" "$wanted_user"
	mlimg-mkfs --quiet --kind user --name other --size 16M "$user"
	words[wanted]=$(short "$wanted_user")
}

copy_user() {
	cp "$user" "$images_of_row/copy.img"
}

blank() {
	rm "$user"
	truncate -s 300M "$user"
}

almost_blank() {
	blank
	printf x | dd of="$user" bs=1 seek=1000000 conv=notrunc status=none
}

# What e2fsck -p repairs.
break_repairably() {
	debugfs -w -R 'set_inode_field /lost+found links_count 9' "$user" 2>/dev/null
	debugfs -w -R 'set_super_value state 2' "$user" 2>/dev/null
}

# make_carving DIR: carving.img, a system that declares carve-outs
make_carving() {
	local tree=$1/tree
	mkdir -p "$tree/etc/mlimg/carve-outs.d" "$tree/var/lib/docker"
	printf '# for container engines\n\n/var/lib/docker\n' >"$tree/etc/mlimg/carve-outs.d/docker.conf"
	echo /var/swap >"$tree/etc/mlimg/carve-outs.d/swap.conf"
	echo hidden >"$tree/var/lib/docker/hidden"
	chown 7:7 "$tree/var/lib/docker"
	chmod 0750 "$tree/var/lib/docker"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$tree" "$1/carving.img"
	rm -r "$tree/etc/mlimg" "$tree/var/lib/docker"
}

carving() {
	system=$images/carving.img
}

# --- verified layers ---

# make_verified DIR: sealed.img, a system with a hash tree; x.img, a layer with one; bad.img, the same with one byte of a file changed;
# xindex.img, an index of both with one; and badindex.img, with one letter changed in a name, in a block that has only names of /srv/many
make_verified() {
	mlimg-mkfs --quiet --kind system --name small --verity "$1/tree" "$1/sealed.img"
	mkdir -p "$1/x/srv/many"
	(cd "$1/x/srv/many" && touch many-{1000..3999}-which-fill-blocks-of-their-own)
	{ echo && head -c 3000000 /dev/urandom; } >"$1/x/srv/large"
	echo hello >"$1/x/srv/small"
	mlimg-mkfs --quiet --kind software --name x --verity "$1/x" "$1/x.img"
	cp "$1/x.img" "$1/bad.img"
	cp "$1/x.img.layer.json" "$1/bad.img.layer.json"
	printf J | dd of="$1/bad.img" bs=1 conv=notrunc status=none \
		seek=$(($(debugfs -R 'blocks /rootfs/srv/large' "$1/x.img" 2>/dev/null | cut -d ' ' -f 1) * 4096))
	mlimg-index --verity --json -o "$1/xindex.img" "$1/sealed.img" "$1/x.img" >"$1/xindex.json"
	cp "$1/xindex.img" "$1/badindex.img"
	printf M | dd of="$1/badindex.img" bs=1 conv=notrunc status=none seek="$(name_in_index "$1/xindex.img")"
}

# name_in_index FILE: where the name of number 2900 in /srv/many is: in a block that no search for the last name looks into, behind what is
# read to learn what a disk is (libmlimg/disk.h). Where names follow one another, they are a directory's and not the manifest's.
name_in_index() {
	grep -abo 'which-fill-blocks-of-their-ownmany-2900-' "$1" | sed 's/:.*//' | awk '{ print $1 + 30 }'
}

# verified: on the system with a hash tree
verified() {
	system=$images/sealed.img
	words[x.root_hash]=$(jq -r .verity.root_hash "$images/x.img.layer.json")
	words[system.root_hash]=$(jq -r .verity.root_hash "$system.layer.json")
	words[xindex.root_hash]=$(jq -r .root_hash "$images/xindex.json")
	words[stack_hash]=$(stack_hash system x xindex)
}

# stack_hash NAME…: of the root hashes of these layers and, last, of their index, as libmlimg/verity.h says
stack_hash() {
	local name
	{
		echo 'mlimg-verity-stack 1'
		for name in "${@:1:$#-1}"; do echo "$(uuid "$(image "$name")") ${words[$name.root_hash]}"; done
		echo "$(index_uuid "$(image "${!#}")") ${words[${!#}.root_hash]}"
	} | sha256sum | cut -c 1-64
}
