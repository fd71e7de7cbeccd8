# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs --dedupe: files with the same contents share blocks.

load ../lib/common
load ../lib/images

setup() {
	export SOURCE_DATE_EPOCH=1700000000
	cd "$BATS_TEST_TMPDIR" || return
}

mkfs() {
	works mlimg-mkfs --quiet --force --kind system --name t "$@"
}

# random SIZE FILE…: the same random bytes into each
random() {
	head -c "$1" /dev/urandom >"$2"
	local first=$2 file
	shift 2
	for file; do cp "$first" "$file"; done
}

blocks() {
	debugfs -R "blocks /rootfs/$2" "$1" 2>/dev/null
}

# share IMAGE FILE FILE…: all have the same blocks
share() {
	local image=$1 first=$2 file
	shift 2
	[ -n "$(blocks "$image" "$first" | tr -d ' ')" ] || return
	for file; do
		same "blocks of $first and $file" "$(blocks "$image" "$first")" "$(blocks "$image" "$file")"
	done
}

# The image $1 is sound, and holds what t.img, made in the ordinary way, holds.
sound() {
	works mlimg-inspect "$1" verify
	fsck_clean "$1"
	same "manifest" "$(mlimg-inspect t.img manifest)" "$(mlimg-inspect "$1" manifest)"
}

features() {
	dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Filesystem features: *//p'
}

@test "small and large files, and nothing else, share" {
	mkdir tree
	random 100 tree/{small-1,small-2,small-3}
	random 5000000 tree/{large-1,large-2}
	random 1048576 tree/{buffer-1,buffer-2}
	random 20000 tree/other
	touch tree/empty-1 tree/empty-2
	# Alike at the beginning, or in size.
	cp tree/large-1 tree/large-3 && printf x | dd of=tree/large-3 bs=1 seek=4999999 conv=notrunc status=none
	cp tree/other tree/other-2 && printf x | dd of=tree/other-2 bs=1 seek=19999 conv=notrunc status=none
	cp tree/other tree/other-3 && printf x >>tree/other-3
	mkfs tree t.img
	mkfs --dedupe tree d.img
	sound d.img
	share d.img small-1 small-2 small-3
	share d.img large-1 large-2
	share d.img buffer-1 buffer-2
	same "features" "$(features t.img) shared_blocks" "$(features d.img)"
	# Groups of blocks are multiples of 8.
	local saved=$((($(stat -c %s t.img) - $(stat -c %s d.img)) / 4096))
	[ $((saved - (2 + 1221 + 256))) -ge -8 ] && [ $((saved - (2 + 1221 + 256))) -le 8 ]
	mkfs --dedupe tree again.img
	cmp d.img again.img
}

@test "without such files the image is an ordinary one" {
	mkdir tree
	random 10000 tree/a
	random 10000 tree/b
	mkfs tree t.img
	mkfs --dedupe tree d.img
	cmp t.img d.img
}

@test "many files that begin alike" {
	mkdir tree
	random 4096 head
	local n
	for ((n = 0; n < 40; n++)); do
		cat head - <<<"$n-" >"tree/$((100 + n))"
	done
	cp tree/101 tree/copy-of-101
	mkfs tree t.img
	mkfs --dedupe tree d.img
	sound d.img
	share d.img 101 copy-of-101
}

@test "a tar in which the first of them is replaced later" {
	mkdir tree
	random 30000 tree/a tree/b tree/c
	random 3000000 tree/l tree/m
	tar -C tree -cf t.tar a b c l m
	random 30000 tree/a
	random 10 tree/l
	tar -C tree -rf t.tar a l
	mkfs t.tar t.img
	mkfs --dedupe t.tar d.img
	sound d.img
	share d.img b c
	# And where all of them are.
	random 10 tree/b tree/c tree/m
	tar -C tree -rf t.tar b c m
	mkfs t.tar t.img
	mkfs --dedupe t.tar d.img
	sound d.img
}

@test "a tar in which the second of them is replaced later is an ordinary image" {
	mkdir tree
	random 30000 tree/a
	cp tree/a tree/b
	tar -C tree -cf t.tar a b
	random 30000 tree/b
	tar -C tree -rf t.tar b
	mkfs t.tar t.img
	mkfs --dedupe t.tar d.img
	sound d.img
	run grep -c shared_blocks <<<"$(dumpe2fs -h d.img 2>/dev/null)"
	same "shared_blocks" 0 "$output"
}

@test "holes" {
	mkdir tree
	truncate -s 1M tree/sparse
	random 50000 end
	cat end >>tree/sparse
	cp --sparse=always tree/sparse tree/sparse-2
	truncate -s 1M tree/hole tree/hole-2
	mkfs tree t.img
	mkfs --dedupe tree d.img
	sound d.img
	share d.img sparse sparse-2
}

@test "hard links, several sources, another form" {
	mkdir -p tree above
	random 20000 tree/{a,b} above/c
	ln tree/b tree/b-2
	cp tree/a above/d
	mkfs tree above t.img
	mkfs --dedupe tree above d.img
	sound d.img
	share d.img a b b-2 d
	# An image with shared blocks is a source too.
	works mlimg-mkfs --quiet --kind system --name t d.img from.img
	same "manifest" "$(mlimg-inspect t.img manifest)" "$(mlimg-inspect from.img manifest)"
}

@test "with a profile, whose files have blocks of their own" {
	mkdir tree
	random 20000 tree/{a,b,c,d}
	printf 'c\nd\n' >list
	mkfs tree t.img
	mkfs --dedupe --profile list tree d.img
	sound d.img
	share d.img a b
	same "first blocks" "$(seq 64 73 | paste -sd' ')" "$(printf '%s %s' "$(blocks d.img c)" "$(blocks d.img d)" | xargs)"
}

@test "in a patch" {
	mkdir tree
	random 20000 tree/old
	mkfs tree old.img
	random 20000 tree/{a,b}
	cp tree/old tree/old-2
	works mlimg-mkfs --quiet --base old.img --name t --version 2 tree t.img
	works mlimg-mkfs --quiet --base old.img --name t --version 2 --dedupe tree d.img
	sound d.img
	share d.img a b
}

@test "an index points into shared blocks" {
	mkdir tree
	random 20000 tree/{a,b}
	mkfs --dedupe tree d.img
	works mlimg-index -o d.idx d.img
	works fsck.erofs --device=d.img d.idx
}

@test "not for user layers" {
	mkdir tree
	fails 2 "mlimg-mkfs: --dedupe is for read-only layers
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --kind user --dedupe tree d.img
	[ ! -e d.img ]
}

# Blocks of 4096 bytes that the files of which `size name` lines come, and the directories of tree, take.
content() {
	awk -v dirs="$(find tree -type d | wc -l)" '{ n += int(($1 + 4095) / 4096) } END { print (n + dirs) * 4096 }'
}

# The goal of the project: at most 1.02 of the contents, rounded to blocks.
@test "size of an image, with and without --dedupe" {
	benchtree -f 1500 -b 90000000 -d 200 -l 100 -s 300 tree
	mkfs tree t.img
	mkfs --dedupe tree d.img
	sound d.img
	local all distinct
	all=$(find tree -type f -printf '%s %p\n' | content)
	distinct=$(find tree -type f -exec sha256sum {} + | sort | awk '!seen[$1]++ { print $2 }' | xargs stat -c '%s %n' | content)
	[ "$distinct" -lt $((all * 9 / 10)) ]
	[ "$(stat -c %s t.img)" -le $((all * 102 / 100)) ] || same "size" "$all and 2%" "$(stat -c %s t.img)"
	[ "$(stat -c %s d.img)" -le $((distinct * 102 / 100)) ] || same "size with --dedupe" "$distinct and 2%" "$(stat -c %s d.img)"
}

@test "blocks that are shared otherwise are damage" {
	mkdir tree
	random 20000 tree/{a,b}
	mkfs --dedupe tree d.img
	local first
	first=$(blocks d.img a | awk '{ print $1 }')
	# In an image that does not say so;
	cp d.img x.img
	debugfs -w -R 'feature -shared_blocks' x.img >/dev/null 2>&1
	fails 3 "mlimg-inspect: x.img: block $first is used by inode 15 and by inode 16" mlimg-inspect x.img verify
	# and a part of a run.
	cp d.img x.img
	debugfs -w -R "sif /rootfs/b block[5] $((first + 1))" x.img >/dev/null 2>&1
	fails 3 "mlimg-inspect: x.img: block $((first + 1)) is used by inode 15 and by inode 16" mlimg-inspect x.img verify
}

@test "random trees, each twice in one image" {
	local seed=${MLIMG_SEED:-$(date +%N)} round
	echo "MLIMG_SEED=$seed"
	for ((round = 0; round < 4; round++)); do
		rm -rf tree && mkdir tree
		randtree $((10#$seed + round)) 200 tree/a
		cp -a tree/a tree/b
		mkfs tree t.img
		mkfs --dedupe tree d.img
		sound d.img
		tar -C tree --xattrs --xattrs-include='*' --acls -cf t.tar . 2>/dev/null || continue
		mkfs --dedupe t.tar d.img
		fsck_clean d.img
		works mlimg-inspect d.img verify
	done
}
