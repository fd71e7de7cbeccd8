# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-index without mounting: what the command line does, what Debian's erofs tools make of its images, what is refused. That the view is
# overlayfs' is shown by tests/root/index.bats.

load ../lib/common

setup_file() {
	local t=$BATS_FILE_TMPDIR
	mkdir -p "$t"/system/{etc,usr/bin} "$t"/software/{etc,opt}
	printf 'one\n' >"$t/system/etc/one"
	printf 'hidden\n' >"$t/system/etc/two"
	ln "$t/system/etc/one" "$t/system/usr/bin/also-one"
	printf 'shown\n' >"$t/software/etc/two"
	find "$t/system" "$t/software" -exec touch -h -d @1600000000 {} +
	handmade-layer "$t/system" "$t/system.img"
	handmade-layer -k software "$t/software" "$t/software.img"
	handmade-layer -k user "$t/software" "$t/user.img"
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	rm -f x.img
}

# Nothing but what was there is there afterwards.
left_nothing() {
	same "files named x, temporary files" "" "$(find . -name '*x.img*' -o -name '.mlimg*')"
}

@test "--help fits into 80 columns and goes to stdout" {
	works mlimg-index --help
	[[ $output == "Usage: mlimg-index -o INDEX [OPTION]... SYSTEM [PATCH]... [SOFTWARE]..."* ]]
	run awk 'length > 80' <<<"$output"
	same "lines over 80 columns" "" "$output"
	works mlimg-index --version
	[[ $output =~ ^"mlimg-index (mlimg) "[0-9.]+$ ]]
}

@test "says what it made, as a line and as JSON; --quiet says nothing" {
	works mlimg-index -o x.img system.img software.img
	[[ $output == "x.img: index over 2 layers, "* ]]
	works mlimg-index --force --json -o x.img system.img software.img
	same "layers" 2 "$(jq .layers <<<"$output")"
	same "size" "$(stat -c %s x.img)" "$(jq .size_bytes <<<"$output")"
	local ids
	ids=$(for i in system software; do mlimg-inspect --json $i.img | jq -r .build_id; done)
	same "stack id" "$(sha256sum <<<"$ids" | cut -d' ' -f1)" "$(jq -r .stack_id <<<"$output")"
	works mlimg-index --force -q -o x.img system.img software.img
	same "output" "" "$output"
}

@test "the same layers give the same bytes" {
	works mlimg-index -o x.img system.img software.img
	mv x.img first
	works mlimg-index -o x.img system.img software.img
	cmp first x.img
	works mlimg-index --force -o x.img system.img
	run cmp -s first x.img
	same "cmp of different stacks" 1 "$status"
}

@test "fsck.erofs finds nothing, dump.erofs shows what is in it" {
	works mlimg-index -o x.img system.img software.img
	works fsck.erofs --device=system.img --device=software.img --extract=all x.img
	same "extracted from layer 0" one "$(cat all/rootfs/etc/one)"
	same "extracted from layer 1" shown "$(cat all/rootfs/etc/two)"
	cmp <(mlimg-inspect software.img manifest) all/mlimg/manifests/1
	run dump.erofs --device=system.img --device=software.img -s x.img
	[[ $output == *"Filesystem features:                          sb_csum mtime chunked_file device_table"* ]]
	run dump.erofs --device=system.img --device=software.img --path=/rootfs/etc/one x.img
	[[ $output =~ Links:\ 2 ]]
}

# raw DISK INDEX LAYER…: the files one behind the other, each filled up to whole blocks.
raw() {
	local disk=$1 file
	shift
	: >"$disk"
	for file in "$@"; do
		cat "$file" >>"$disk"
		truncate -s %4096 "$disk"
	done
}

@test "joined: one disk for fsck.erofs and dump.erofs, which know nothing of devices then" {
	works mlimg-index --joined -o x.img system.img software.img
	[[ $output == "x.img: joined index over 2 layers, "* ]]
	raw disk.raw x.img system.img software.img
	works fsck.erofs --extract=joined disk.raw
	mlimg-index -q --force -o separate.idx system.img software.img
	works fsck.erofs --device=system.img --device=software.img --extract=separate separate.idx
	diff -r joined separate
	cmp <(mlimg-inspect software.img manifest) joined/mlimg/manifests/1
	run dump.erofs -s disk.raw
	[[ $output == *"Filesystem features:                          sb_csum mtime chunked_file "* && $output != *device_table* ]]
	same "blocks" "$(($(stat -c %s disk.raw) / 4096))" "$(sed -n 's/^Filesystem blocks: *//p' <<<"$output")"
	# Chunks and sizes apart, both are the same bytes: nothing is placed otherwise.
	same "size" "$(stat -c %s separate.idx)" "$(stat -c %s x.img)"
	mlimg-index -q --force --joined -o again.idx system.img software.img
	cmp x.img again.idx
	rm -r joined separate disk.raw
}

@test "joined: slots say where the layers lie, and an image has room for all of its file" {
	cp system.img long.img
	head -c 5000 /dev/zero >>long.img
	works mlimg-index --json --joined -o x.img long.img software.img
	local n m size
	n=$(($(stat -c %s x.img) / 4096)) m=$(($(stat -c %s long.img) / 4096 + 1)) size=$(($(stat -c %s software.img) / 4096))
	same "JSON" "[$n,$((n + m))] $((n + m + size))" "$(jq -c '.first_blocks, .disk_blocks' <<<"$output" | xargs)"
	# Feature bits, devices and first slot; blocks of the disk.
	same "incompatible features" 4 "$(od -An -tu4 -j $((1024 + 80)) -N 4 x.img | tr -d ' ')"
	same "devices, slot" "2 9" "$(od -An -tu2 -j $((1024 + 86)) -N 4 x.img | xargs)"
	same "blocks" $((n + m + size)) "$(od -An -tu4 -j $((1024 + 36)) -N 4 x.img | tr -d ' ')"
	same "slot 0: blocks, first" "$(($(stat -c %s system.img) / 4096)) $n" "$(od -An -tu4 -j $((1152 + 64)) -N 8 x.img | xargs)"
	same "slot 1: blocks, first" "$size $((n + m))" "$(od -An -tu4 -j $((1280 + 64)) -N 8 x.img | xargs)"
	same "build id in slot 1" "$(mlimg-inspect --json software.img | jq -r .build_id)" "$(dd if=x.img bs=1 skip=1280 count=64 status=none)"
	rm long.img
}

@test "--disk: a VMDK descriptor that is the files one behind the other, one of an odd length included" {
	local name="with spaces, commas and 'quotes'.img"
	cp system.img "$name"
	head -c 1000 /dev/zero | tr '\0' x >>"$name"
	works mlimg-index -q --disk x.vmdk -o x.img "$name" software.img
	raw disk.raw x.img "$name" software.img
	works qemu-img compare -f vmdk -F raw x.vmdk disk.raw
	works mlimg-inspect disk.raw verify
	same "extents" "$(($(stat -c %s x.img) / 512))
$((($(stat -c %s "$name") / 4096 + 1) * 8))
$(($(stat -c %s software.img) / 512))" "$(sed -n 's/^RW \([0-9]*\) FLAT .*/\1/p' x.vmdk)"
	grep -qxF "RW $(($(stat -c %s software.img) / 512)) FLAT \"$PWD/software.img\" 0" x.vmdk
	rm -f "$name" disk.raw
	fails 1 "mlimg-index: write 'x.vmdk' without --force: File exists" mlimg-index -q --disk x.vmdk -o y.img system.img
	[ ! -e y.img ]
	works mlimg-index -q --force --disk x.vmdk -o x.img system.img
	same "extents" 2 "$(grep -c ^RW x.vmdk)"
	rm x.vmdk
}

@test "--disk: what cannot be described is an error before anything is written" {
	local name try=$'\n'"Try 'mlimg-index --help' for more information."
	for name in 'q"q.img' $'new\nline.img' parentFileNameHint.img; do
		cp system.img "$name"
		run --separate-stderr mlimg-index --disk x.vmdk -o x.img "$name"
		same "exit code" 1 "$status"
		# shellcheck disable=SC2154 # run sets it
		[[ $stderr == "mlimg-index: a disk of several files cannot name '$PWD/"*"': it has a"*": Invalid argument" ]]
		rm "$name"
	done
	fails 2 "mlimg-index: 'system.img' is both a layer and the disk$try" mlimg-index --force --disk system.img -o x.img system.img
	fails 2 "mlimg-index: 'x.img' is both the index and the disk$try" mlimg-index --disk x.img -o x.img system.img
	[ ! -e x.vmdk ]
	left_nothing
}

@test "wrong usage: exact messages" {
	local try=$'\n'"Try 'mlimg-index --help' for more information."
	fails 2 "mlimg-index: no --output given$try" mlimg-index system.img
	fails 2 "mlimg-index: no layers given$try" mlimg-index -o x.img
	fails 2 "mlimg-index: unknown option '--nonsense'$try" mlimg-index --nonsense
	# shellcheck disable=SC2046 # words
	fails 2 "mlimg-index: an index has one system layer, at most 16 patches and at most 64 software layers$try" \
		mlimg-index -o x.img $(printf 'system.img %.0s' {1..82})
	left_nothing
}

@test "what is no stack is refused: exact messages, nothing left behind" {
	fails 3 "mlimg-index: 'user.img' is a user layer: an index is made of read-only layers" \
		mlimg-index -o x.img system.img user.img
	run --separate-stderr mlimg-index -o x.img software.img
	same "software layer at the bottom" 3 "$status"
	run --separate-stderr mlimg-index -o x.img system.img system.img
	same "a layer twice" 3 "$status"
	fails 1 "mlimg-index: open image 'missing.img': No such file or directory" mlimg-index -o x.img missing.img
	head -c 100000 system.img >cut.img
	run --separate-stderr mlimg-index -o x.img cut.img
	same "a truncated layer" 3 "$status"
	left_nothing
}

@test "an existing file is replaced only with --force" {
	echo precious >x.img
	fails 1 "mlimg-index: write 'x.img' without --force: File exists" mlimg-index -o x.img system.img
	same "content" precious "$(cat x.img)"
	works mlimg-index --force -o x.img system.img
	run --separate-stderr mlimg-index -o nowhere/x.img system.img
	same "no such directory" 1 "$status"
}

@test "an xattr that only an upper may have is refused by name" {
	printf 'cd /rootfs\nea_set etc trusted.overlay.redirect /usr\n' >script
	handmade-layer -d script system redirect.img
	fails 3 "mlimg-index: layer 'handmade': '/etc': has the xattr trusted.overlay.redirect, which only an upper may have" \
		mlimg-index -o x.img redirect.img
	left_nothing
}

@test "a layer is not replaced by the index over it" {
	cp system.img x.img
	fails 2 "mlimg-index: 'x.img' is both a layer and the index
Try 'mlimg-index --help' for more information." mlimg-index --force -o x.img x.img software.img
	cmp system.img x.img
}

@test "a limit on the size of files leaves nothing" {
	run --separate-stderr bash -c 'ulimit -f 2; mlimg-index -o x.img system.img'
	# shellcheck disable=SC2154 # run sets it
	[[ $status == 1 && $stderr =~ ^"mlimg-index: index 'x.img': write an index of "[0-9]+" bytes: File too large"$ ]]
	left_nothing
}

# What an index cannot point at.

# has_feature NAME MKE2FS-ARGUMENT…: a file system with the label of a layer and that feature is refused for it.
has_feature() {
	local name=$1
	shift
	mke2fs -q -F -t ext4 -b 4096 -I 256 -L mlimg-system "$@" feature.img 16M >/dev/null
	fails 3 "mlimg-index: feature.img: its ext4 feature '$name' is none that layers have" mlimg-index -o x.img feature.img
	left_nothing
}

# debugged COMMAND…: debugged.img is system.img after these commands of debugfs, whose checksums are right.
debugged() {
	cp system.img debugged.img
	printf '%s\n' "$@" >script
	debugfs -w -f script debugged.img >/dev/null 2>&1
}

# ino_of PATH: its inode in debugged.img.
ino_of() {
	debugfs -R "stat $1" debugged.img 2>/dev/null | sed -n 's/^Inode: \([0-9]*\) .*/\1/p'
}

# refuses MESSAGE: debugged.img.
refuses() {
	fails 3 "mlimg-index: $1" mlimg-index -o x.img debugged.img
	left_nothing
}

@test "refused: inline data" {
	has_feature inline_data -O inline_data
	debugged "set_inode_field /rootfs/etc/two flags 0x10080000"
	refuses "layer 'handmade': '/etc/two': debugged.img: inode $(ino_of /rootfs/etc/two): flags 0x10000000 are not understood"
}

@test "refused: encryption" {
	has_feature encrypt -O encrypt
	debugged "set_inode_field /rootfs/etc/two flags 0x80800"
	refuses "layer 'handmade': '/etc/two': debugged.img: inode $(ino_of /rootfs/etc/two): flags 0x800 are not understood"
}

@test "refused: another block size" {
	mke2fs -q -F -t ext4 -b 1024 -L mlimg-system feature.img 16M >/dev/null
	fails 3 "mlimg-index: feature.img: its blocks are not 4096 bytes long" mlimg-index -o x.img feature.img
	left_nothing
}

@test "refused: bigalloc" {
	has_feature bigalloc -O bigalloc -C 65536
}

@test "refused: xattrs in inodes of their own" {
	has_feature ea_inode -O ea_inode
}

@test "refused: a file with a bad extent" {
	debugged "set_inode_field /rootfs/etc/two block[5] 99999999"
	refuses "layer 'handmade': '/etc/two': debugged.img: inode $(ino_of /rootfs/etc/two): extent at block 0 lies outside the image"
}

@test "refused: a journal with changes in it" {
	debugged "feature needs_recovery"
	refuses "'debugged.img' has changes in its journal: it was written to, and not unmounted since"
}

@test "refused: a layer without its tree, or without its manifest" {
	debugged "unlink /rootfs"
	refuses "layer 'handmade': has no directory /rootfs"
	debugged "unlink /mlimg/manifest" "cd /mlimg" "symlink manifest layer.json"
	refuses "layer 'handmade': has no file /mlimg/manifest"
}

@test "refused: a directory that is in two places" {
	debugged "link /rootfs/etc /rootfs/usr/etc"
	refuses "layer 'handmade': '/usr/etc': directory inode $(ino_of /rootfs/etc) is in two places"
}

@test "refused: a file in too many pieces" {
	debugged "set_inode_field /rootfs/etc/two size 70000000000"
	refuses "layer 'handmade': '/etc/two': is a file of 70000000000 bytes in too many pieces: 17089844 of equal size, where 16777216 can be"
}

@test "refused: a path that is longer than a path can be, whatever is at its end" {
	local i name
	name=$(printf '%0250d' 0)
	{
		echo cd /rootfs
		for ((i = 0; i < 60; i++)); do printf 'mkdir d%s\ncd d%s\n' "$name" "$name"; done
		printf 'write /dev/null f\nea_set -f none f trusted.overlay.metacopy\n'
	} >deep
	: >none
	mkdir -p empty
	handmade-layer -k patch -b "$(mlimg-inspect --json system.img show | jq -r .build_id)" empty patch.img
	debugfs -w -f deep patch.img >/dev/null 2>&1
	run --separate-stderr mlimg-index -o x.img system.img patch.img
	same "exit code" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == "mlimg-index: layer 'handmade': '/d000"*"000...: its path is longer than 4095 bytes" ]]
	left_nothing
}

@test "composed entries act as one layer more" {
	mkdir -p tree/etc tree/usr/share/new
	printf 'composed\n' >tree/etc/two
	head -c 10000 /dev/zero | tr '\0' x >tree/etc/three
	: >tree/etc/empty
	chmod 0640 tree/etc/three
	ln -s two tree/usr/link
	printf 'deep\n' >tree/usr/share/new/deep
	find tree -exec touch -h -d @1500000000 {} +
	works compose-index x.img tree system.img software.img
	works fsck.erofs --device=system.img --device=software.img --extract=composed x.img
	same "in place of a layer's" composed "$(cat composed/rootfs/etc/two)"
	same "beside a layer's" one "$(cat composed/rootfs/etc/one)"
	same "in new directories" deep "$(cat composed/rootfs/usr/share/new/deep)"
	same "target" two "$(readlink composed/rootfs/usr/link)"
	cmp tree/etc/three composed/rootfs/etc/three
	same "attributes" "640 10000 1500000000" "$(stat -c '%a %s %Y' composed/rootfs/etc/three)"
	same "names" "empty one three two" "$(find composed/rootfs/etc -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ' | sed 's/ $//')"
}

@test "a composed entry needs no directory that a layer has, and is an error where there is none" {
	mkdir -p lone/etc lone/usr/bin/also-one
	touch -d @0 lone/etc
	printf 'composed\n' >lone/etc/two
	works compose-index -f x.img lone system.img
	works fsck.erofs --device=system.img --extract=alone x.img
	same "in place of the layer's" composed "$(cat alone/rootfs/etc/two)"
	same "the layer's directory" 1600000000 "$(stat -c %Y alone/rootfs/etc)"
	printf x >lone/usr/bin/also-one/x
	fails 1 "compose-index: directory of the composed '/usr/bin/also-one/x': No such file or directory" \
		compose-index -f x.img lone system.img
	works compose-index x.img lone system.img
	rm -r alone && works fsck.erofs --device=system.img --extract=alone x.img
	same "a directory in place of a file" x "$(cat alone/rootfs/usr/bin/also-one/x)"
}

# The system with another name, mode and content, as 2.img, and as whole.img
patched() {
	cp -a system new
	mv new/etc/two new/moved
	chmod 600 new/usr/bin/also-one
	echo three >new/three
	rm -f 1.img 2.img whole.img
	mlimg-mkfs --quiet --kind system --name s --version 1 system 1.img
	mlimg-mkfs --quiet --base 1.img --name s --version 2 new 2.img
	mlimg-mkfs --quiet --kind system --name s --version 2 new whole.img
	rm -rf new
}

@test "a patch shares the blocks of what it only moves, and makes the stack of the new system" {
	local id
	patched
	works mlimg-index -o x.img 1.img 2.img
	works fsck.erofs --device=1.img --device=2.img --extract=patched x.img
	same "moved" hidden "$(cat patched/rootfs/moved)"
	same "of other attributes" "600 one" "$(stat -c %a patched/rootfs/etc/one) $(cat patched/rootfs/usr/bin/also-one)"
	same "new" three "$(cat patched/rootfs/three)"
	same "gone" "one" "$(ls patched/rootfs/etc)"
	run dump.erofs --device=1.img --device=2.img --path=/rootfs/moved x.img
	[[ $output =~ "Xattr size:"\ +0 ]] || echo "$output"
	id=$(mlimg-index --json --force -o x.img 1.img 2.img | jq -r .stack_id)
	same "stack id" "$(mlimg-index --json --force -o x.img whole.img | jq -r .stack_id)" "$id"
	mlimg-mkfs --quiet --force --kind software --name above --over "$(mlimg-inspect --json whole.img show | jq -r .build_id)" software above.img
	works mlimg-index --quiet --force -o x.img 1.img 2.img above.img
	rm -rf patched
}

@test "patches that do not fit are refused" {
	patched
	run --separate-stderr mlimg-index -o x.img whole.img 2.img
	same "another system" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"is a patch for system "*", and this one is "* ]]
	run --separate-stderr mlimg-index -o x.img 1.img software.img 2.img
	same "above software" 3 "$status"
	left_nothing
}

# hostile MESSAGE SCRIPT…: a patch for 1.img in which debugfs has run the lines is refused
hostile() {
	local message=$1
	shift
	printf '%s\n' "cd /rootfs" "$@" >script
	mkdir -p empty
	handmade-layer -k patch -b "$(mlimg-inspect --json 1.img show | jq -r .build_id)" -d script empty hostile.img
	fails 3 "mlimg-index: layer 'handmade': '/f': $message" mlimg-index -o x.img 1.img hostile.img
	left_nothing
}

@test "references that lead to nothing, or elsewhere, are refused by path" {
	local f=("write /dev/null f" "ea_set -f none f trusted.overlay.metacopy")
	patched
	: >none
	hostile "refers to contents at '/f', where there is no file beneath" "${f[@]}"
	printf /etc/two/x >to && hostile "refers to contents at '/etc/two/x', where there is no file beneath" "${f[@]}" \
		"ea_set -f to f trusted.overlay.redirect"
	printf /etc >to && hostile "refers to contents at '/etc', where there is no file beneath" "${f[@]}" "ea_set -f to f trusted.overlay.redirect"
	printf /etc/two >to && hostile "refers to contents at '/etc/two', which are others" "${f[@]}" "ea_set -f to f trusted.overlay.redirect"
	printf /../etc/two >to && hostile "'f': trusted.overlay.redirect is no path to a file" "${f[@]}" "ea_set -f to f trusted.overlay.redirect"
	printf etc/two >to && hostile "'f': trusted.overlay.redirect is no absolute path of at most 256 bytes" "${f[@]}" \
		"ea_set -f to f trusted.overlay.redirect"
	hostile "'f': trusted.overlay.metacopy is missing or not empty" "write /dev/null f" "ea_set -f to f trusted.overlay.redirect"
	rm -f none to hostile.img
}
