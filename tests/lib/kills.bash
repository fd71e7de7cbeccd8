# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Changes of the stack that are cut short: two versions of a system, a user between them, and what must be there in the end, whatever happened on the
# way. In random trees below data, in configuration that merges and that does not, and in accounts.

KILLS_TOPS='etc usr var'

# kills_v1 SEED ROOT: what the first version has besides.
kills_v1() {
	local seed=$1 root=$2 top i
	for top in $KILLS_TOPS; do
		mkdir -p "$root/$top"
		seed=$((seed + 1))
		randtree "$seed" 30 "$root/$top/data"
	done
	mkdir -p "$root/etc/conf.d"
	for i in 1 2 3 4 5 6 7 8; do
		printf '%s one\nb\nc\nd\ne\n' $i >"$root/etc/conf.d/$i"
	done
	echo 'd:x:105:105::/:/bin/false' >>"$root/etc/passwd"
	echo d >"$root/var/owned"
	chown 105 "$root/var/owned"
}

# kills_v2 SEED ROOT: makes the second version of it.
kills_v2() {
	local seed=$1 root=$2 top
	for top in $KILLS_TOPS; do
		seed=$((seed + 1))
		mutate-tree "$seed" "$root/$top/data"
	done
	sed -i 's/one/two/' "$root"/etc/conf.d/*
	sed -i 's/105/106/' "$root/etc/passwd"
	echo 'n:x:107:107::/:/bin/false' >>"$root/etc/passwd"
	chown 106 "$root/var/owned"
}

# kills_user SEED ROOT: what a user does in the merged root.
kills_user() {
	local seed=$1 root=$2 top
	for top in $KILLS_TOPS; do
		seed=$((seed + 1))
		randops "$seed" 50 "$root/$top/data"
	done
	sed -i '$s/e/mine/' "$root"/etc/conf.d/[1357]
	sed -i '1s/.*/mine/' "$root"/etc/conf.d/[246]
	echo 'me:x:1000:1000::/:/bin/sh' >>"$root/etc/passwd"
	echo more >>"$root/var/owned"
}

# kills_mount LOWER USER ROOT: the union of one layer and the user layer.
kills_mount() {
	mount -t overlay -o "index=off,metacopy=off,xino=auto,redirect_dir=on,lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$3"
}

# kills_state USER: all of a user layer that a change makes, but for times outside the upper.
kills_state() {
	treelist "$1/upper" && treelist "$1/mlimg" | sed 's/ time=[-0-9.]*//'
}

# kills_same WHAT WANTED FOUND: two of these are the same, but for what a change leaves that was killed when all was done but cleaning up.
kills_same() {
	local differs
	differs=$(diff <(echo "$2") <(echo "$3") | grep -Ev '^([0-9]|> \./(reconcile\.new|undo|base\.(manifest|texts)\.))') || :
	[ -z "$differs" ] || {
		printf '%s is not as it must be:\n%.4000s\n' "$1" "$differs" >&2
		return 1
	}
}
