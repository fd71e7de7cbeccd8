# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect and files of which much is a hole: reading its zeros takes time, and it costs its maker nothing.

load ../lib/common

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir d
	truncate -s 3M d/a-hole d/b-hole
	printf x | dd of=d/b-hole bs=1 seek=5000 conv=notrunc status=none
	mlimg-mkfs --quiet --kind system --name d d d.img
	mlimg-mkfs --quiet --kind user --size 16M --name u d u.img
	mlimg-index -q -o d.idx d.img
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

# All but one block of 6 MiB are holes.
holes=$((6 * 1024 * 1024 - 4096))

@test "holes of a tebibyte are refused by name" {
	cp u.img tera.img
	debugfs -w -R 'sif /upper/a-hole size 1099511627776' tera.img >/dev/null 2>&1
	fails 3 "mlimg-inspect: tera.img: ./a-hole: with its holes, there are more than 68719476736 bytes of them in the tree; --limit allows more" \
		timeout 60 mlimg-inspect tera.img manifest --computed
	run --separate-stderr timeout 60 mlimg-inspect tera.img extract --tar
	same "exit code" 1 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"mlimg-inspect: a-hole: its holes have 1099511627776 bytes; --limit allows more"* ]]
	# Others that do not read them take it as it is.
	works timeout 60 mlimg-inspect tera.img verify
	works timeout 60 mlimg-inspect tera.img du
	works timeout 60 mlimg-inspect tera.img ls -l
	works timeout 60 mlimg-inspect tera.img show
}

@test "--limit: all holes together count, and nothing else" {
	local image
	for image in d.img u.img; do
		works mlimg-inspect --limit "$holes" "$image" manifest --computed
		fails 3 "mlimg-inspect: $image: ./b-hole: with its holes, there are more than $((holes - 1)) bytes of them in the tree; --limit allows more" \
			mlimg-inspect --limit $((holes - 1)) "$image" manifest --computed
	done
	works mlimg-inspect --limit "$holes" d.img verify
	fails 3 "mlimg-inspect: d.img: ./b-hole: with its holes, there are more than $((holes - 1)) bytes of them in the tree; --limit allows more" \
		mlimg-inspect --limit $((holes - 1)) d.img verify
	fails 3 "mlimg-inspect: d.img: ./a-hole: with its holes, there are more than 1048576 bytes of them in the tree; --limit allows more" \
		mlimg-inspect --limit 1M d.img verify
	mlimg-inspect --limit "$holes" d.img extract --tar | tar -tf - >/dev/null
	run --separate-stderr mlimg-inspect --limit $((holes - 1)) d.img extract --tar
	same "exit code" 1 "$status"
	[[ $stderr == *"b-hole: its holes have $((3 * 1024 * 1024 - 4096)) bytes; --limit allows more"* ]]
}

@test "of an index" {
	local command
	for command in 'manifest --computed' verify; do
		# shellcheck disable=SC2086 # words
		works mlimg-inspect --limit "$holes" --layer d.img d.idx $command
		# shellcheck disable=SC2086
		fails 3 "mlimg-inspect: d.idx: ./b-hole: with its holes, there are more than $((holes - 1)) bytes of them in the tree; --limit allows more" \
			mlimg-inspect --limit $((holes - 1)) --layer d.img d.idx $command
	done
}

@test "wrong usage" {
	local try="Try 'mlimg-inspect --help' for more information."
	fails 2 "mlimg-inspect: option '--limit' is not for 'ls'
$try" mlimg-inspect --limit 1M d.img ls
	fails 2 "mlimg-inspect: '--limit' is for '--tar': a directory keeps holes as they are
$try" mlimg-inspect --limit 1M d.img extract
	fails 2 "mlimg-inspect: --limit: 'x' is not a size (a whole number, then K, M, G or T if wanted)
$try" mlimg-inspect --limit x d.img verify
}
