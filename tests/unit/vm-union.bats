#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-vm's choice of the union driver, and the indexes that it compiles and keeps. QEMU is a program of the tests.

load ../lib/common

ACCEL="mlimg-vm: accel: tcg (emulation): asked for"
KNOWN="mlimg-vm: union: index: the initramfs knows it"

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
	mkdir -p tree/boot soft/opt bin
	echo kernel >tree/boot/vmlinuz-6.1.0-1-test
	echo soft >soft/opt/soft
	initrd tree/boot/initrd.img-6.1.0-1-test
	mlimg-mkfs --quiet --kind system --name plain --version 1 tree plain.img
	initrd tree/boot/initrd.img-6.1.0-1-test "overlay"
	mlimg-mkfs --quiet --kind system --name old --version 1 tree old.img
	initrd tree/boot/initrd.img-6.1.0-1-test "overlay index"
	mlimg-mkfs --quiet --kind system --name debian --version 1 tree s.img
	mlimg-mkfs --quiet --kind software --name soft --version 1 soft w.img
	mlimg-mkfs --quiet --kind user --name alice --size 16M u.img
	mlimg-index --quiet -o sw.idx s.img w.img
	mlimg-index --quiet -o s.idx s.img
	ln -s "$MLIMG_BUILD/tests/lib/fake-qemu" bin/qemu-system-x86_64
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH FAKE_QEMU=$BATS_TEST_TMPDIR/steps
	cache=$BATS_TEST_TMPDIR/cache
	# Short enough for the path of a socket, wherever bats has its directories.
	run=$(mktemp -d /tmp/mlimg-vm.XXXXXX)
	echo off >"$FAKE_QEMU"
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

# chooses LINE OPTION…: a dry run that says LINE.
chooses() {
	local line=$1
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
	fails 2 "mlimg-vm: --union: 'aufs' is none of 'auto', 'index' and 'overlay'$hint" dry --union aufs
	fails 2 "mlimg-vm: --index and --union overlay exclude each other$hint" dry --system s.img --union overlay --index s.idx
}

@test "an index that is given" {
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
	same "said" 4 "$(cat "$BATS_TEST_TMPDIR"/err? | grep -cFx "$KNOWN")"
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
