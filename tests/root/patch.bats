# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Patch layers as the kernel sees them: overlayfs over the old system and its patches shows what the new system's image shows, entry by
# entry, contents included.

load ../lib/common

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
}

# shows OUT IMAGE…: what overlayfs shows of the layers, bottom first
shows() {
	overlay-view ro,metacopy=on,redirect_dir=follow "${@:2}" >"$1"
}

# indexed OUT IMAGE…: what an index over the layers shows
# shellcheck disable=SC2016
indexed() {
	unshare -m bash -euc '
		out=$1
		shift
		mlimg-index --quiet --force -o index.img "$@"
		mkdir -p view
		mount-index index.img view "$@"
		treelist view/rootfs >"$out"' bash "$@"
}

@test "random pairs of systems, and patches on patches" {
	local seed=${MLIMG_SEED:-$(date +%s)} i
	echo "MLIMG_SEED=$seed"
	for ((i = seed; i < seed + ${MLIMG_TREES:-4}; i++)); do
		rm -rf tree
		randtree "$i" $((100 + i % 5 * 150)) tree
		mlimg-mkfs --quiet --force --kind system --name s --version 1 tree 1.img
		mutate-tree "$i" tree
		mlimg-mkfs --quiet --force --base 1.img --name s --version 2 tree 2.img
		mlimg-mkfs --quiet --force --kind system --name s --version 2 tree whole.img
		shows found 1.img 2.img
		shows wanted whole.img
		diff wanted found
		indexed found 1.img 2.img
		diff wanted found
		mutate-tree $((i + 1)) tree
		mlimg-mkfs --quiet --force --base 1.img --base 2.img --name s --version 3 tree 3.img
		mlimg-mkfs --quiet --force --kind system --name s --version 3 tree whole.img
		shows found 1.img 2.img 3.img
		shows wanted whole.img
		diff wanted found
		randtree $((i + 2)) 200 software
		mlimg-mkfs --quiet --force --kind software --name above software above.img
		rm -rf software
		indexed found 1.img 2.img 3.img above.img
		shows wanted whole.img above.img
		diff wanted found
	done
}

@test "what is referred to may be hidden, moved again, shared, and have a long path" {
	local long
	long=$(printf 'long%.0s' {1..30})
	mkdir -p old/a/b "old/$long/$long" "old/$long/$long$long"
	head -c 20000 /dev/urandom >old/a/b/file
	cp old/a/b/file old/a/twin
	head -c 30000 /dev/urandom >"old/$long/$long/${long:0:13}" # a redirect of 256 bytes
	head -c 40000 /dev/urandom >"old/$long/$long$long/x"       # and of more
	mlimg-mkfs --quiet --kind system --name s --version 1 old 1.img
	mkdir new
	mv old/a/b/file new/moved
	ln new/moved new/linked
	cp "old/$long/$long/${long:0:13}" new/reachable
	cp "old/$long/$long$long/x" new/stored
	: >new/a # a file where the directory was that it refers into
	mlimg-mkfs --quiet --base 1.img --name s --version 2 new 2.img
	mlimg-mkfs --quiet --kind system --name s --version 2 new whole.img
	shows found 1.img 2.img
	shows wanted whole.img
	diff wanted found
	indexed found 1.img 2.img
	diff wanted found
	same "kept contents" "stored" "$(mlimg-inspect 2.img manifest |
		awk '/type=file/ && !/metacopy/ && !/size=0/ { sub("./", "", $1); print $1 }')"

	# Software above is software above: its directory at the path that is referred to, and its whiteout.
	mkdir -p software/a/b
	echo above >software/a/b/file
	mlimg-mkfs --quiet --kind software --name above software above.img
	shows found 1.img 2.img above.img
	shows wanted whole.img above.img
	diff wanted found
	indexed found 1.img 2.img above.img
	diff wanted found
	grep -q '^\./a/b/file .*size=6 ' found
	grep -q '^\./moved .*size=20000 ' found

	# Through the patch to the system, where the patch itself hides it.
	mkdir -p third/a
	mv new/moved third/a/b
	mlimg-mkfs --quiet --base 1.img --base 2.img --name s --version 3 third 3.img
	mlimg-mkfs --quiet --force --kind system --name s --version 3 third whole.img
	shows found 1.img 2.img 3.img
	shows wanted whole.img
	diff wanted found
	indexed found 1.img 2.img 3.img
	diff wanted found
	[ "$(mlimg-inspect 3.img manifest | grep -c metacopy)" = 1 ]
}
