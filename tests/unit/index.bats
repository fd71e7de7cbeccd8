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
	[[ $output == "Usage: mlimg-index -o INDEX [OPTION]... SYSTEM [SOFTWARE]..."* ]]
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

@test "wrong usage: exact messages" {
	local try=$'\n'"Try 'mlimg-index --help' for more information."
	fails 2 "mlimg-index: no --output given$try" mlimg-index system.img
	fails 2 "mlimg-index: no layers given$try" mlimg-index -o x.img
	fails 2 "mlimg-index: unknown option '--nonsense'$try" mlimg-index --nonsense
	# shellcheck disable=SC2046 # words
	fails 2 "mlimg-index: an index has one system layer and at most 64 software layers$try" \
		mlimg-index -o x.img $(printf 'system.img %.0s' {1..66})
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
	fails 1 "mlimg-index: write 'x.img': File exists" mlimg-index -o x.img system.img
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
