#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # fake_off sets run, cache
# mlimg-vm's choice of the union driver, and the indexes that it compiles and keeps. QEMU is a program of the tests.

load ../lib/common
load vm-fakes

ACCEL="mlimg-vm: accel: tcg (emulation): asked for"
KNOWN="mlimg-vm: union: index: the initramfs knows it
mlimg-vm: disks: separate: the initramfs does not say that it knows joined ones"

# initrd FILE [LINE]: an initramfs that says LINE of itself.
initrd() {
	rm -rf early
	mkdir early
	: >"$1"
	[ $# -eq 1 ] || echo "$2" >early/mlimg-unions
	[ $# -eq 1 ] || (cd early && echo mlimg-unions | cpio -o -H newc --quiet) >"$1"
	echo 'the rest' | gzip >>"$1"
}

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p tree/boot soft/opt
	echo kernel >tree/boot/vmlinuz-6.1.0-1-test
	echo soft >soft/opt/soft
	initrd tree/boot/initrd.img-6.1.0-1-test
	mlimg-mkfs --quiet --kind system --name plain --version 1 tree plain.img
	initrd tree/boot/initrd.img-6.1.0-1-test "overlay"
	mlimg-mkfs --quiet --kind system --name old --version 1 tree old.img
	initrd tree/boot/initrd.img-6.1.0-1-test "overlay index"
	mlimg-mkfs --quiet --kind system --name debian --version 1 tree s.img
	initrd tree/boot/initrd.img-6.1.0-1-test "overlay index joined"
	mlimg-mkfs --quiet --kind system --name new --version 1 tree n.img
	mlimg-mkfs --quiet --kind software --name soft --version 1 soft w.img
	mlimg-mkfs --quiet --kind user --name alice --size 16M u.img
	mlimg-index --quiet -o sw.idx s.img w.img
	mlimg-index --quiet -o s.idx s.img
	fake_make
}

setup() {
	fake_off
}

teardown() {
	rm -rf "$run"
}

vm() {
	mlimg-vm run --user u.img --accel tcg --cache-dir "$cache" --runtime-dir "$run" "$@"
}

dry() {
	vm --dry-run "$@"
}

# chooses LINE OPTION…: a dry run that says LINE, and with an index $disks.
chooses() {
	local line=$1
	[[ $1 != index* ]] || line+=$'\n'"mlimg-vm: disks: ${disks:-separate: the initramfs does not say that it knows joined ones}"
	shift
	run --separate-stderr dry "$@"
	# shellcheck disable=SC2154 # run sets it
	same stderr "$ACCEL
mlimg-vm: union: $line" "$stderr"
	same "exit code" 0 "$status"
}

# boots SOFTWARE: the program in QEMU's place ends before a guest is up. What was said before is in $stderr.
boots() {
	run --separate-stderr vm --system s.img --software "$1"
	same "exit code" 1 "$status"
}

# The index that is kept of these images.
kept_of() {
	echo "$cache/$(mlimg-index --json -q --force -o "$BATS_TEST_TMPDIR/x" "$@" | jq -r .stack_id | cut -c 1-20)"-*.erofs | cut -d ' ' -f 1
}

# The one index that is kept.
kept() {
	local files=("$cache"/*)
	same "number of files that are kept" 1 "${#files[@]}" && echo "${files[0]}"
}

@test "auto: an index where the initramfs knows it" {
	chooses "index: the initramfs knows it" --system s.img --software w.img
	local stack path
	stack=$(mlimg-index --json -o "$BATS_TEST_TMPDIR/x" s.img w.img | jq -r .stack_id | cut -c 1-20)
	path=$(sed -n "s:.*node-name=index,read-only=on,file.driver=file,file.filename=\($cache/$stack-[0-9a-f]\{20\}\.erofs\) .*:\1:p" <<<"$output")
	[ -n "$path" ]
	[ ! -e "$cache" ]
	grep -q " mlimg.union=index mlimg.index=$stack console=" <<<"$output"
	grep -q -- "-device virtio-blk-pci,id=index,drive=index,serial=$stack,addr=0x8.3," <<<"$output"
}

@test "auto: overlay where the initramfs knows no index, or says nothing" {
	chooses "overlay: the initramfs knows no index: its kernel has no EROFS that could mount it" --system old.img
	same "index" "" "$(grep -e index <<<"$output")"
	chooses "overlay: the initramfs does not say that it knows the index" --system plain.img
	same "index" "" "$(grep -e index <<<"$output")"
}

@test "auto: an initramfs that is given is asked instead" {
	initrd given "index"
	chooses "index: the initramfs knows it" --system plain.img --kernel given --initrd given
	initrd given
	chooses "overlay: the initramfs does not say that it knows the index" --system s.img --kernel given --initrd given
}

@test "what is asked for is taken" {
	chooses "overlay: asked for" --system s.img --union overlay
	same "index" "" "$(grep -e index <<<"$output")"
	chooses "index: asked for" --system plain.img --union index
	grep -q "mlimg.union=index" <<<"$output"
	chooses "index: the initramfs knows it" --system s.img --union auto
	local hint="
Try 'mlimg-vm --help' for more information."
	fails 2 "mlimg-vm: --union: 'aufs' is none of 'auto', 'index', 'overlay' and 'unionfs'$hint" dry --union aufs
	fails 2 "mlimg-vm: --index and --union overlay exclude each other$hint" dry --system s.img --union overlay --index s.idx
}

@test "unionfs: asked for, or where the initramfs knows no other; and converting" {
	local hint="
Try 'mlimg-vm --help' for more information."
	chooses "unionfs: asked for" --system s.img --union unionfs
	grep -q " mlimg.union=unionfs console=" <<<"$output"
	same "index" "" "$(grep -e index <<<"$output")"
	chooses "unionfs: asked for" --system s.img --union unionfs --convert
	grep -q " mlimg.union=unionfs mlimg.convert console=" <<<"$output"
	chooses "overlay: asked for" --system s.img --union overlay --convert
	grep -q " mlimg.user=[0-9a-f]* mlimg.convert console=" <<<"$output"
	initrd given unionfs
	chooses "unionfs: the initramfs knows no other: its kernel has neither EROFS nor overlayfs" --system s.img --kernel given --initrd given
	initrd given "overlay unionfs"
	chooses "overlay: the initramfs knows no index: its kernel has no EROFS that could mount it" --system s.img --kernel given --initrd given
	fails 2 "mlimg-vm: --index and --union unionfs exclude each other$hint" dry --system s.img --union unionfs --index s.idx
	fails 2 "mlimg-vm: --patch and --union unionfs exclude each other: unionfs-fuse cannot follow a patch to the contents beneath it$hint" \
		dry --system s.img --union unionfs --patch p.img
	cp -r tree "$BATS_TEST_TMPDIR/next"
	echo new >"$BATS_TEST_TMPDIR/next/new"
	mlimg-mkfs --quiet --base s.img --name debian --version 2 "$BATS_TEST_TMPDIR/next" "$BATS_TEST_TMPDIR/patch.img"
	initrd given unionfs
	fails 3 "$ACCEL
mlimg-vm: the initramfs knows only unionfs, which cannot follow a patch to the contents beneath it: take the new system's own image" \
		dry --system s.img --patch "$BATS_TEST_TMPDIR/patch.img" --kernel given --initrd given
}

@test "an index that is given" {
	local disks="separate: as the index was made"
	chooses "index: --index was given" --system s.img --software w.img --index sw.idx
	grep -q "file.filename=sw.idx " <<<"$output"
	fails 3 "$ACCEL
mlimg-vm: the index on 's.idx' is over 1 layer, but there are 2: compile it from these" dry --system s.img --software w.img --index s.idx
	fails 3 "$ACCEL
mlimg-vm: 'plain.img' holds a layer with UUID $(dumpe2fs -h plain.img 2>/dev/null | sed -n 's/^Filesystem UUID: *//p' | tr -d -), \
but layer 0 of the index on 's.idx' is $(mlimg-inspect --json s.img | jq -r '.build_id[:20]'): compile the index from these layers, in this order" \
		dry --system plain.img --index s.idx
	fails 3 "$ACCEL
mlimg-vm: 'w.img': no index of mlimg-index" dry --system s.img --index w.img
	fails 1 "$ACCEL
mlimg-vm: open image 'none': No such file or directory" dry --system s.img --index none
}

@test "an index is compiled once, and again when it is damaged" {
	boots w.img
	[[ $stderr == "$ACCEL
$KNOWN
"* ]]
	local index first
	index=$(kept)
	cmp sw.idx "$index"
	same "mode of the directory" 700 "$(stat -c %a "$cache")"
	first=$(stat -c '%i %y' "$index")
	boots w.img
	same "the file that is kept" "$first" "$(stat -c '%i %y' "$(kept)")"
	printf '\377' | dd of="$index" bs=1 seek=1100 conv=notrunc status=none
	boots w.img
	cmp sw.idx "$(kept)"
	truncate -s 1000 "$index"
	boots w.img
	cmp sw.idx "$(kept)"
}

@test "an image of the same layer whose contents lie elsewhere has an index of its own" {
	boots w.img
	cp w.img "$BATS_TEST_TMPDIR/w.img"
	debugfs -w -R "set_super_value hash_seed 01234567-89ab-cdef-0123-456789abcdef" "$BATS_TEST_TMPDIR/w.img" 2>/dev/null
	boots "$BATS_TEST_TMPDIR/w.img"
	same "indexes" 2 "$(find "$cache" -type f | wc -l)"
	boots w.img
	same "indexes" 2 "$(find "$cache" -type f | wc -l)"
}

@test "an index that no guest was started with for 30 days goes when another one is compiled" {
	local old=$cache/00000000000000000000-11111111111111111111.erofs dir=$cache/30000000000000000000-11111111111111111111.erofs mine
	boots w.img
	mine=$(kept)
	touch -a -d "29 days ago" "$mine"
	touch "$cache/other.erofs" "$old" "$old.x" "$cache/2222222222222222222g-11111111111111111111.erofs"
	mkdir "$dir"
	touch -a -d "31 days ago" "$cache"/[02o]* "$dir"
	# Nothing is compiled, nothing goes; but the index is in use now.
	boots w.img
	[ -e "$old" ]
	[ "$(stat -c %X "$mine")" -gt $(($(date +%s) - 86400)) ]
	rm "$mine"
	boots w.img
	[ ! -e "$old" ]
	same "what is there" "$(printf '%s\n' "$mine" "$old.x" "$cache/2222222222222222222g-11111111111111111111.erofs" "$dir" "$cache/other.erofs" | sort)" \
		"$(printf '%s\n' "$cache"/* | sort)"
	touch -a -d "29 days ago" "$mine"
	printf '\377' | dd of="$mine" bs=1 seek=1100 conv=notrunc status=none
	boots w.img
	[ -e "$mine" ]
}

@test "several at a time have the same index" {
	local i pids=()
	for i in 1 2 3 4; do
		vm --system s.img --software w.img --name "g$i" >/dev/null 2>"$BATS_TEST_TMPDIR/err$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || [ $? -eq 1 ]
	done
	cmp sw.idx "$(kept)"
	same "said" 8 "$(cat "$BATS_TEST_TMPDIR"/err? | grep -cFx "$KNOWN")"
}

@test "joined: index and layers are one disk, described where the guest's sockets are" {
	local disks="joined: the initramfs knows it" stack
	chooses "index: the initramfs knows it" --system n.img --software w.img
	stack=$(mlimg-index --json -o "$BATS_TEST_TMPDIR/x" n.img w.img | jq -r .stack_id | cut -c 1-20)
	same disks "driver=raw,node-name=user,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=u.img
driver=vmdk,node-name=index,read-only=on,file.driver=file,file.filename=$run/alice/disk.vmdk" "$(grep -o 'driver=[^ ]*,node-name=[^ ]*' <<<"$output")"
	grep -q -- "-device virtio-blk-pci,id=index,drive=index,serial=$stack,addr=0x8.1," <<<"$output"
	grep -q " mlimg.software=$(mlimg-inspect --json w.img | jq -r '.build_id[:20]') .* mlimg.union=index mlimg.index=$stack console=" <<<"$output"
	[ ! -e "$cache" ] && [ ! -e "$run/alice" ]
	disks="separate: asked for"
	chooses "index: --disks was given" --system n.img --disks separate
	same "disks" 3 "$(grep -c 'driver=raw' <<<"$output")"
	disks="joined: asked for"
	chooses "index: --disks was given" --system s.img --disks joined
	same "disks" 1 "$(grep -c 'driver=vmdk' <<<"$output")"
	chooses "index: asked for" --system s.img --disks joined --union index
}

@test "joined: what QEMU gets is the files, one behind the other, and a file that has changed since is noticed" {
	# QEMU's place is taken by something that looks at the disk.
	mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/a, 'b'"
	cp w.img "$BATS_TEST_TMPDIR/a, 'b'/w ü.img"
	printf '%s\n' '#!/bin/sh' "cp $run/alice/disk.vmdk $BATS_TEST_TMPDIR/seen" "qemu-img convert -f vmdk -O raw $run/alice/disk.vmdk $BATS_TEST_TMPDIR/raw" \
		>"$BATS_TEST_TMPDIR/bin/qemu-system-x86_64"
	chmod +x "$BATS_TEST_TMPDIR/bin/qemu-system-x86_64"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run --separate-stderr vm --system n.img --software "$BATS_TEST_TMPDIR/a, 'b'/w ü.img"
	cat "$(kept)" n.img w.img | cmp - "$BATS_TEST_TMPDIR/raw"
	mlimg-agent check-index --index "$BATS_TEST_TMPDIR/raw"
	grep -qx "RW $(($(stat -c %s n.img) / 512)) FLAT \"$PWD/n.img\" 0" "$BATS_TEST_TMPDIR/seen"
	[ ! -e "$run/alice/disk.vmdk" ]
	# What lies behind the file system counts too.
	cp w.img "$BATS_TEST_TMPDIR/w.img"
	truncate -s +4K "$BATS_TEST_TMPDIR/w.img"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run --separate-stderr vm --system n.img --software "$BATS_TEST_TMPDIR/w.img"
	same "indexes" 2 "$(find "$cache" -type f | wc -l)"
	mlimg-agent check-index --index "$BATS_TEST_TMPDIR/raw"
	same "size" "$(($(stat -c %s "$(kept_of n.img w.img)") + $(stat -c %s n.img) + $(stat -c %s w.img) + 4096))" "$(stat -c %s "$BATS_TEST_TMPDIR/raw")"
}

@test "joined: a file whose name cannot be told is attached separately, unless joined was asked for" {
	local name disks
	mkdir "$BATS_TEST_TMPDIR/q\"q" "$BATS_TEST_TMPDIR/"$'new\nline' "$BATS_TEST_TMPDIR/parentFileNameHint"
	for name in 'q"q' $'new\nline' parentFileNameHint; do
		name=$BATS_TEST_TMPDIR/$name/w.img
		cp w.img "$name"
		run --separate-stderr dry --system n.img --software "$name"
		same "exit code" 0 "$status"
		[[ $stderr == *"mlimg-vm: disks: separate: a disk of several files cannot name '$BATS_TEST_TMPDIR/"*"': it has a"* ]]
		same "disks" 4 "$(grep -c 'driver=raw' <<<"$output")"
		run --separate-stderr dry --system n.img --software "$name" --disks joined
		same "exit code" 1 "$status"
		[[ $stderr == *"mlimg-vm: a disk of several files cannot name '"* ]]
	done
	name=$BATS_TEST_TMPDIR/$(printf '%0250d' 0)/$(printf '%0240d' 0)
	mkdir -p "$name"
	cp w.img "$name/w.img"
	disks="separate: a disk of several files cannot name '$(cut -c 1-200 <<<"$name")': it is longer than 511 bytes: Invalid argument"
	chooses "index: the initramfs knows it" --system n.img --software "$name/w.img"
}

@test "joined: an index that is given, and other images than it was compiled from" {
	local disks="joined: as the index was made"
	mlimg-index -q --joined -o "$BATS_TEST_TMPDIR/j.idx" n.img w.img
	mlimg-index -q -o "$BATS_TEST_TMPDIR/i.idx" n.img w.img
	chooses "index: --index was given" --system n.img --software w.img --index "$BATS_TEST_TMPDIR/j.idx"
	same "disks" 1 "$(grep -c 'driver=vmdk' <<<"$output")"
	fails 3 "$ACCEL
mlimg-vm: '$BATS_TEST_TMPDIR/j.idx' is an index over joined disks: --disks separate takes another one" \
		dry --system n.img --software w.img --index "$BATS_TEST_TMPDIR/j.idx" --disks separate
	fails 3 "$ACCEL
mlimg-vm: '$BATS_TEST_TMPDIR/i.idx' is an index over separate disks: --disks joined takes another one" \
		dry --system n.img --software w.img --index "$BATS_TEST_TMPDIR/i.idx" --disks joined
	cp w.img "$BATS_TEST_TMPDIR/w.img"
	truncate -s +4K "$BATS_TEST_TMPDIR/w.img"
	fails 3 "$ACCEL
mlimg-vm: '$BATS_TEST_TMPDIR/w.img' has $(($(stat -c %s w.img) / 4096 + 1)) blocks of 4096 bytes, but the joined index on '$BATS_TEST_TMPDIR/j.idx' has room for \
$(($(stat -c %s w.img) / 4096)): compile it from this image" dry --system n.img --software "$BATS_TEST_TMPDIR/w.img" --index "$BATS_TEST_TMPDIR/j.idx"
	local hint="
Try 'mlimg-vm --help' for more information."
	fails 2 "mlimg-vm: --disks: 'one' is neither 'joined' nor 'separate'$hint" dry --disks one
	fails 2 "mlimg-vm: --disks and --union overlay exclude each other$hint" dry --system n.img --union overlay --disks separate
}

@test "where no index can be made: overlay, unless an index was asked for" {
	mkdir -m 777 "$cache"
	local why="'$cache' belongs to, or can be written by, somebody else: Operation not permitted"
	boots w.img
	[[ $stderr == "$ACCEL
mlimg-vm: union: overlay: no index: $why
"* ]]
	fails 1 "$ACCEL
mlimg-vm: $why" vm --system s.img --union index
	rmdir "$cache"
	printf 'cd /rootfs\nea_set boot trusted.overlay.redirect /usr\n' >script
	handmade-layer -d script tree "$BATS_TEST_TMPDIR/redirect.img"
	why="layer 'handmade': '/boot': has the xattr trusted.overlay.redirect, which only an upper may have"
	run --separate-stderr vm --system "$BATS_TEST_TMPDIR/redirect.img"
	[[ $stderr == "$ACCEL
mlimg-vm: union: overlay: no index: $why
"* ]]
	fails 3 "$ACCEL
mlimg-vm: $why" vm --system "$BATS_TEST_TMPDIR/redirect.img" --union index
}

@test "the default directory for indexes" {
	local user=() vm=("$(command -v mlimg-vm)" run --user u.img --accel tcg --runtime-dir "$run" --system s.img --dry-run)
	if [ "$(id -u)" -eq 0 ]; then
		works bash -c '"$@" 2>/dev/null | grep "file.filename=/var/cache/mlimg/"' - "${vm[@]}"
		need userns
		# Without a mapping everybody is nobody to himself.
		user=(unshare -U --)
	fi
	works bash -c '"$@" 2>/dev/null | grep "file.filename=/x/mlimg/"' - "${user[@]}" env XDG_CACHE_HOME=/x "${vm[@]}"
	works bash -c '"$@" 2>/dev/null | grep "file.filename=/h/.cache/mlimg/"' - "${user[@]}" env -u XDG_CACHE_HOME HOME=/h "${vm[@]}"
	run --separate-stderr "${user[@]}" env -u XDG_CACHE_HOME -u HOME "${vm[@]}"
	same stderr "$ACCEL
mlimg-vm: union: overlay: no index: no directory for indexes: HOME is not set" "$stderr"
}
