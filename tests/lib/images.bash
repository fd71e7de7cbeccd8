# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of images share.

# image_id IMAGE: its build id.
image_id() {
	mlimg-inspect --json "$1" | jq -er .build_id
}

# fsck_clean IMAGE: e2fsck finds nothing in it. Some of what it would change ends with 0.
fsck_clean() {
	run e2fsck -fn "$1"
	# shellcheck disable=SC2154 # run sets status and output
	same "e2fsck's exit code, having said: $output" 0 "$status" &&
		same "what e2fsck would change" "" "$(grep -F '? no' <<<"$output" || :)"
}

# spec_tar FILE: a tar of the entries that mtree's words on standard input tell.
spec_tar() {
	{
		echo '#mtree'
		cat
	} | bsdtar --format=pax -cf "$1" @-
}

# mkfs_refused STATUS MESSAGE KIND ARGUMENT…: mlimg-mkfs makes no x.img of that kind, and leaves nothing behind.
mkfs_refused() {
	local wanted=$1 message=$2 kind=$3 before
	shift 3
	rm -f x.img
	before=$(find . | sort)
	fails "$wanted" "mlimg-mkfs: $message" mlimg-mkfs --kind "$kind" --name x "$@" x.img || return
	same "files after: $*" "$before" "$(find . | sort)"
}

# tree_end IMAGE: where its hash tree ends, of 256 to 16,384 blocks of data: superblock, top level, level 0.
tree_end() {
	local n
	n=$(jq .verity.data_blocks "$1.layer.json")
	echo $(((n + 2 + (n + 127) / 128) * 4096))
}

# embed_signature IMAGE FILE: this becomes the image's own, as libmlimg/verity.h says.
embed_signature() {
	local size
	size=$(stat -c %s "$2")
	truncate -s "$(tree_end "$1")" "$1"
	{
		printf 'mlimgsig\1\0\0\0'
		# shellcheck disable=SC2059 # bytes
		printf "$(printf '\\x%02x\\x%02x\\x%02x\\0' $((size & 255)) $((size >> 8 & 255)) $((size >> 16)))"
		cat "$2"
	} >>"$1"
	truncate -s %4096 "$1"
}
