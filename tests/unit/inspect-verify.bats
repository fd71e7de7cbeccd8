# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect verify: what a sound image says, and that every kind of damage and of difference is found and named.

load ../lib/common

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree
	mkdir -p "$t"/{bin,etc}
	printf 'hello\n' >"$t/etc/motd"
	ln "$t/etc/motd" "$t/etc/same"
	printf 'other\n' >"$t/etc/other"
	printf 'third\n' >"$t/etc/third"
	for i in {01..30}; do printf x >"$t/bin/$i"; done
	ln -s etc/motd "$t/link"
	truncate -s 12M "$t/holes"
	perl -e 'open F, "+<", $ARGV[0] or die; for (0 .. 1499) { seek F, $_ * 8192, 0; print F $_ }' "$t/holes"
	find "$t" -exec touch -h -d @1600000000 {} +
	handmade-layer -s 40M "$t" "$BATS_FILE_TMPDIR/base.img"
	handmade-layer -s 40M -k user "$t" "$BATS_FILE_TMPDIR/user.img"
	mlimg-mkfs --quiet --kind system --name x "$t" "$BATS_FILE_TMPDIR/ours.img"
	mlimg-mkfs --quiet --kind user --size 64M "$BATS_FILE_TMPDIR/empty.img"
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

# An image with what debugfs does to it: edit COMMAND…
edit() {
	cp --sparse=always "${base:-base.img}" x.img
	printf '%s\n' "cd /rootfs" "$@" >script
	debugfs -w -f script x.img >/dev/null 2>&1
}

inode() {
	debugfs -R "stat $1" x.img 2>/dev/null | sed -n 's/^Inode: \([0-9]*\).*/\1/p'
}

block() {
	debugfs -R "blocks $1" "${2:-base.img}" 2>/dev/null | cut -d ' ' -f 1
}

refused() {
	fails 3 "mlimg-inspect: x.img: $1" mlimg-inspect x.img verify
}

# differs N LINE…: the tree differs in these entries and no others.
differs() {
	local n=$1 noun=entries
	shift
	[ "$n" != 1 ] || noun=entry
	refused "its tree differs from its manifest in $n $noun"
	same "differences" "$(printf '  %s\n' "$@")" "$(sed -n '4,$p' <<<"$output")"
}

@test "sound images; blocks in use are those that e2fsck counts" {
	local image used
	for image in base ours user empty; do
		works mlimg-inspect $image.img verify
		used=$(dumpe2fs -h $image.img 2>/dev/null | awk '/^Block count/ { b = $3 } /^Free blocks/ { f = $3 } END { print b - f }')
		[[ ${lines[1]} == "file system  sound: "*" names, $used blocks in use" ]]
	done
	same "a user layer's tree" "tree         a user layer's, which changes: not compared" "${lines[2]}"
	works mlimg-inspect base.img verify
	same report 'description  agrees in label, UUID, layer.json and manifest
tree         39 entries, 12.0 MiB read: as in the manifest' "$(grep -v ^file <<<"$output")"
}

@test "one of a thing is not many" {
	mkdir one
	run mlimg-mkfs --force --kind system --name one one one.img
	[[ $output == *", 1 entry, image of "* ]]
	works mlimg-inspect one.img verify
	[[ ${lines[2]} == "tree         1 entry, 0 B read: as in the manifest" ]]
	run mlimg-index --force -o one.idx one.img
	[[ $output == "one.idx: index over 1 layer, "* ]]
	works mlimg-inspect --layer one.img one.idx verify
	[[ ${lines[3]} == "tree         1 entry, 0 B read: "* ]]
	# A patch in which one file has its contents beneath.
	seq 2000 >one/file
	mlimg-mkfs --quiet --kind system --name one one beneath.img
	mv one/file one/moved
	mlimg-mkfs --quiet --base beneath.img --name one --version 2 one patch.img
	works mlimg-inspect patch.img verify
	same "references" "references   1 file has its contents beneath: not read" "$(grep ^references <<<"$output")"
	printf x >one/moved
	mlimg-mkfs --quiet --force --kind system --name one one one.img
	printf xy >one/moved
	mlimg-mkfs --quiet --force --kind system --name one one two.img
	[[ $(mlimg-inspect two.img diff one.img) == *" 2 -> 1 byte, time"* ]]
}

@test "the report as JSON" {
	works mlimg-inspect --json base.img verify
	same report '{"is_sound":true,"is_compared":true,"entries":39,"references":0,"n_differences":0,"differences":[]}' \
		"$(jq -c 'del(.names, .blocks, .bytes)' <<<"$output")"
	edit "sif etc/other mode 0100600" "sif etc/other uid 7"
	fails 3 "mlimg-inspect: x.img: its tree differs from its manifest in 1 entry" mlimg-inspect --json x.img verify
	same report '{"is_sound":false,"n_differences":1,"differences":[{"path":"etc/other","changes":["mode","owner"]}]}' \
		"$(jq -c '{is_sound, n_differences, differences}' <<<"$output")"
}

@test "every kind of difference is found" {
	local b
	edit "rm etc/other"
	differs 1 "./etc/other: removed"
	edit "mkdir bin/new"
	differs 1 "./bin/new: added"
	edit "sif etc/other gid 7"
	differs 1 "./etc/other: owner"
	edit "sif etc/other mode 0104644"
	differs 1 "./etc/other: mode"
	edit "sif etc/other mtime 1600000001"
	differs 1 "./etc/other: time"
	edit "ea_set etc/other user.colour blue"
	differs 1 "./etc/other: xattr"
	edit "sif etc/other size 5"
	differs 1 "./etc/other: content"
	edit "rm link" "symlink link etc/other" "sif link mtime 1600000000"
	[[ $(mlimg-inspect x.img verify 2>/dev/null) == *"./link: content"* ]]
	edit "rm etc/other" "mkdir etc/other" "sif etc/other mode 0040644" "sif etc/other mtime 1600000000"
	[[ $(mlimg-inspect x.img verify 2>/dev/null) == *"./etc/other: type"* ]]
	edit
	b=$(block /rootfs/etc/other)
	printf J | dd of=x.img bs=1 seek=$((b * 4096)) conv=notrunc status=none
	differs 1 "./etc/other: content"
}

@test "hard links that are not as in the manifest" {
	edit "unlink etc/same" "sif etc/motd links_count 1"
	differs 2 "./etc/motd: links" "./etc/same: removed"
	edit "unlink etc/third" "link etc/motd etc/third" "sif etc/motd links_count 3"
	differs 3 "./etc/motd: links" "./etc/same: links" "./etc/third: content links"
	edit "unlink etc/same" "link etc/motd etc/third2"
	differs 2 "./etc/same: removed" "./etc/third2: added"
}

@test "of many differences the first 20 are named" {
	local i commands=()
	for i in {01..25}; do commands+=("sif bin/$i uid 7"); done
	edit "${commands[@]}"
	refused "its tree differs from its manifest in 25 entries"
	same "lines" 24 "${#lines[@]}"
	same "first" "  ./bin/01: owner" "${lines[3]}"
	same "last named" "  ./bin/20: owner" "${lines[22]}"
	same "rest" "  and 5 more" "${lines[23]}"
}

@test "what show refuses is refused" {
	edit "rm /mlimg/manifest"
	refused "there is no /mlimg/manifest in it"
	mlimg-inspect base.img manifest | sed s/0644/4755/ >other
	edit "rm /mlimg/manifest" "write other /mlimg/manifest"
	refused "its manifest has digest $(sha256sum <other | head -c 20), its build id is $(mlimg-inspect --json base.img | jq -r '.build_id[:20]')"
	debugfs -R "dump /mlimg/layer.json layer.json" base.img 2>/dev/null
	sed 's/"version": "1"/"version": "2"/' layer.json >other.json
	edit "rm /mlimg/layer.json" "write other.json /mlimg/layer.json"
	refused "its layer.json says version '2', its manifest '1'"
}

@test "a block with two uses" {
	local b
	edit "sif etc/third block[5] $(block /rootfs/etc/other)"
	refused "block $(block /rootfs/etc/other) is used by inode $(inode /rootfs/etc/other) and by inode $(inode /rootfs/etc/third)"
	edit "sif etc/motd block[5] $(block /rootfs/etc/other)"
	run --separate-stderr mlimg-inspect x.img verify
	same "exit code" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"block $(block /rootfs/etc/other) is used by "* ]]
	edit "sif etc/third block[5] 1"
	refused "block 1 is used by the file system itself and by inode $(inode /rootfs/etc/third)"
	b=$(dumpe2fs base.img 2>/dev/null | sed -n 's/.*Inode table at \([0-9]*\)-.*/\1/p' | head -n 1)
	edit "sif etc/third block[5] $((b + 1))"
	refused "block $((b + 1)) is used by the file system itself and by inode $(inode /rootfs/etc/third)"
	b=$(debugfs -R 'blocks <8>' base.img 2>/dev/null | awk '{ print $3 }')
	edit "sif etc/third block[5] $b"
	refused "block $b is used by the journal and by inode $(inode /rootfs/etc/third)"
	# A node of another file's extent tree.
	b=$(debugfs -R 'stat /rootfs/holes' base.img 2>/dev/null | sed -n 's/.*(ETB0):\([0-9]*\).*/\1/p' | head -n 1)
	edit "sif etc/third block[5] $b"
	refused "block $b is used by inode $(inode /rootfs/etc/third) and by inode $(inode /rootfs/holes)"
}

@test "blocks of xattrs may be shared, but with nothing else" {
	local b
	head -c 1000 /dev/zero >value
	edit "ea_set -f value etc/other user.large"
	b=$(debugfs -R 'stat /rootfs/etc/other' x.img 2>/dev/null | sed -n 's/.*File ACL: \([0-9]*\).*/\1/p')
	debugfs -w -R "sif /rootfs/etc/third file_acl $b" x.img >/dev/null 2>&1
	differs 2 "./etc/other: xattr" "./etc/third: xattr"
	debugfs -w -R "sif /rootfs/etc/third block[5] $b" x.img >/dev/null 2>&1
	refused "block $b is used by xattrs and by inode $(inode /rootfs/etc/third)"
}

@test "numbers of names" {
	edit "sif etc/other links_count 2"
	refused "inode $(inode /rootfs/etc/other): its link count is 2, its names are 1"
	edit "link etc/other etc/zzz" "sif etc/other links_count 1"
	refused "inode $(inode /rootfs/etc/other): its link count is 1, its names are 2"
}

@test "damage outside the tree is found" {
	edit "mkdir /lost+found/dir" "sif /lost+found/dir size 100"
	refused "./lost+found/dir: inode $(inode /lost+found/dir): directory of 100 bytes"
}

@test "a journal that holds changes" {
	cp --sparse=always user.img x.img
	debugfs -w -R 'feature needs_recovery' x.img >/dev/null 2>&1
	fails 1 "mlimg-inspect: x.img: cannot be verified: its journal holds changes (a guest is using it, or stopped without unmounting it; then 'e2fsck -p' writes them): Device or resource busy" \
		mlimg-inspect x.img verify
}

@test "wrong usage" {
	fails 2 "mlimg-inspect: unexpected operand 'etc'
Try 'mlimg-inspect --help' for more information." mlimg-inspect base.img verify etc
}
