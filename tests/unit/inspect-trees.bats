# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Random trees: what mlimg-mkfs put into an image is what mlimg-inspect finds in it. The kernel's view is compared in root/image.bats.

load ../lib/common

@test "random tree, image, manifest: equal entry by entry" {
	local seed=${MLIMG_SEED:-$(date +%N)} i
	echo "MLIMG_SEED=$seed"
	cd "$BATS_TEST_TMPDIR"
	for ((i = 0; i < ${MLIMG_TREES:-6}; i++)); do
		randtree $((10#$seed + i)) $((40 + 80 * i)) tree
		mlimg-mkfs --quiet --force --kind system --name random tree x.img
		treelist tree >source
		mlimg-inspect x.img manifest >stored
		mlimg-inspect x.img manifest --computed >computed
		cmp stored computed
		diff source <(grep -v '^# mlimg-' stored)
		mlimg-inspect x.img verify >/dev/null
		same "number of names" "$(find tree -mindepth 1 -printf x | wc -c)" "$(mlimg-inspect x.img ls -R | wc -l)"
		find tree -type d -exec chmod u+rwx {} +
		rm -rf tree
	done
}
