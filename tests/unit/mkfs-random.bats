# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs on random trees. Which seeds they had is printed; `MLIMG_SEED=N` gives the first one, `MLIMG_TREES=1000` makes so many of each sort.

load ../lib/common
load ../lib/images

ROUNDS=${MLIMG_TREES:-6}

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
	SEED=${MLIMG_SEED:-$(date +%s%N)}
}

# each_tree COMMAND: for several seeds, a new tree in "tree"
each_tree() {
	local seed
	for seed in $(seq "$SEED" $((SEED + ROUNDS - 1))); do
		echo "MLIMG_SEED=$seed"
		rm -rf tree
		randtree "$seed" $((seed % 7 * 100 + 20)) tree || return
		"$@" || return
	done
}

manifest() {
	mlimg-inspect "$1" manifest >"$2" && mlimg-inspect "$1" manifest --computed | cmp - "$2"
}

# shellcheck disable=SC2317 # called by each_tree
check_layer() {
	works mlimg-mkfs --quiet --force --kind system --name t tree 1.img && fsck_clean 1.img && manifest 1.img 1 &&
		works mlimg-mkfs --quiet --force --kind system --name t tree 2.img && cmp 1.img 2.img
}

# shellcheck disable=SC2317
check_user_layer() {
	works mlimg-mkfs --quiet --force --kind user --size 64M tree 1.img && fsck_clean 1.img && manifest 1.img 1
}

# What tar itself makes of its archive is the model: sockets are not in it, and some names of xattrs are changed.
# shellcheck disable=SC2317
check_tar() {
	# libarchive takes times before 1970 with a fraction for others (mlimg-mkfs(8), BUGS).
	find tree ! -newermt '1970-01-01 00:00:00 UTC' -exec touch -h -d @-1000 {} + || return
	tar --format=posix --sparse --xattrs --xattrs-include='*' -C tree -cf t.tar . 2>/dev/null
	rm -rf unpacked && mkdir unpacked
	tar --warning=no-timestamp --xattrs --xattrs-include='*' --numeric-owner -C unpacked -xpf t.tar || return
	works mlimg-mkfs --quiet --force --kind system --name t t.tar 1.img && fsck_clean 1.img && manifest 1.img 1 &&
		works mlimg-mkfs --quiet --force --kind system --name t unpacked 2.img && manifest 2.img 2 || return
	# GNU tar writes '%' and '=' in names of xattrs as %25 and %3D, which only it reads as such.
	sed -Ei 's/ tags=/ ,/; s/,xattr:[^:,]*(%|\\075)[^:,]*:[^,]*//g; s/ $//' 1 2
	cmp 1 2
}

@test "mkfs: random trees: e2fsck finds nothing, the reader finds all, twice the same bytes" {
	each_tree check_layer
}

@test "mkfs: random trees as user layers" {
	each_tree check_user_layer
}

@test "mkfs: random trees in a tar: the layer is what tar unpacks" {
	each_tree check_tar
}
