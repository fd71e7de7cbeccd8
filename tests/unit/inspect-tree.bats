# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect tree and du.

load ../lib/common

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree
	mkdir -p "$t"/a/{b/c,empty} "$t/d"
	head -c 100000 /dev/zero | tr '\0' x >"$t/a/b/c/large"
	printf x >"$t/a/first"
	ln "$t/a/first" "$t/d/second"
	ln -s ../a "$t/d/link"
	truncate -s 1M "$t/d/hole"
	printf 'cd /rootfs/a\nmknod gone c 0 0\nmknod null c 1 3\nmknod pipe p\nea_set b trusted.overlay.opaque y\n' >"$BATS_FILE_TMPDIR/script"
	handmade-layer -k software -d "$BATS_FILE_TMPDIR/script" "$t" "$BATS_FILE_TMPDIR/x.img"
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

@test "tree draws what is there, and what is hidden" {
	works mlimg-inspect x.img tree
	same output './
|-- a/
|   |-- b/ (opaque)
|   |   `-- c/
|   |       `-- large
|   |-- empty/
|   |-- first
|   |-- gone (whiteout)
|   |-- null (char 1, 3)
|   `-- pipe (fifo)
`-- d/
    |-- hole
    |-- link -> ../a
    `-- second

5 directories, 8 other entries' "$output"
}

@test "tree of a part, and to a depth" {
	works mlimg-inspect x.img tree --depth 1 /a
	same output '/a/
|-- b/ (opaque)
|-- empty/
|-- first
|-- gone (whiteout)
|-- null (char 1, 3)
`-- pipe (fifo)

2 directories, 4 other entries' "$output"
	works mlimg-inspect x.img tree --depth=0
	same output $'./\n\n0 directories, 0 other entries' "$output"
	works mlimg-inspect x.img tree d/link
	same output $'d/link -> ../a\n\n0 directories, 0 other entries' "$output"
}

@test "tree as JSON: the same entries as ls -R" {
	works mlimg-inspect --json x.img tree
	same paths "$(mlimg-inspect x.img ls -R)" \
		"$(jq -r 'def walk(p): (p + .name) as $q | $q, (.children[]? | walk($q + "/")); .children[] | walk("")' <<<"$output")"
	same "an entry" '{"type":"char","device":[1,3],"name":"null"}' \
		"$(jq -c '.children[0].children[] | select(.name == "null") | {type, device, name}' <<<"$output")"
	works mlimg-inspect --json x.img tree --depth 1
	same names 'a:0 d:0' "$(jq -r '.children | map("\(.name):\(.children | length)") | join(" ")' <<<"$output")"
	works mlimg-inspect --json x.img tree a/first
	same "a file" a/first "$(jq -r .name <<<"$output")"
}

@test "du: blocks, contents, entries; a hard link once" {
	works mlimg-inspect x.img du
	same output '    blocks   contents   entries
   104 KiB   97.7 KiB         2  a/b/c
   108 KiB   97.7 KiB         3  a/b
   4.0 KiB        0 B         1  a/empty
   120 KiB   97.7 KiB         9  a
   4.0 KiB    1.0 MiB         4  d
   128 KiB    1.1 MiB        14  .' "$output"
}

@test "du --sort and --depth, as JSON" {
	works mlimg-inspect --json x.img du --sort --depth 1
	same rows '[{"path":".","used":131072,"size":1148577,"entries":14},{"path":"a","used":122880,"size":100001,"entries":9},{"path":"d","used":4096,"size":1048576,"entries":4}]' \
		"$(jq -c . <<<"$output")"
	works mlimg-inspect x.img du --sort a/b
	same rows $'a/b\nc' "$(tail -n +2 <<<"$output" | awk '{ print $NF }')"
	works mlimg-inspect --json x.img du a/first
	same "a file" '[{"path":"a/first","used":4096,"size":1,"entries":1}]' "$(jq -c . <<<"$output")"
}

@test "wrong usage: exact messages" {
	wrong() {
		fails 2 "mlimg-inspect: $1
Try 'mlimg-inspect --help' for more information." mlimg-inspect "${@:2}"
	}
	wrong "--depth: '1k' is not a number from 0 to 4095" x.img du --depth 1k
	wrong "--depth: '' is not a number from 0 to 4095" x.img tree --depth=
	wrong "option '--depth' needs an argument" x.img tree --depth
	wrong "option '--sort' is not for 'tree'" x.img tree --sort
	wrong "unexpected operand 'd'" x.img du a d
	fails 1 "mlimg-inspect: x.img: look up 'none': No such file or directory" mlimg-inspect x.img tree none
}

@test "a full disk is noticed" {
	local args
	for args in tree "tree --json" du "du --json"; do
		# shellcheck disable=SC2086 # several words
		run bash -c 'exec mlimg-inspect "$@" >/dev/full' - x.img $args
		same "exit code of $args" 1 "$status"
		[[ $output == "mlimg-inspect: "*": No space left on device" ]]
	done
}
