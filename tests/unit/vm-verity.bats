#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # fake_off sets run, cache
# shellcheck disable=SC2030,SC2031 # run sets status
# mlimg-vm --verity: what it puts on the kernel's command line, and what it finds wrong before a guest is started. QEMU is a program of the tests.

load ../lib/common
load vm-fakes
load ../lib/images

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p tree/boot soft/opt early
	echo kernel >tree/boot/vmlinuz-6.1.0-1-test
	echo "overlay index joined" >early/mlimg-unions
	(cd early && echo mlimg-unions | cpio -o -H newc --quiet) >tree/boot/initrd.img-6.1.0-1-test
	echo 'the rest' | gzip >>tree/boot/initrd.img-6.1.0-1-test
	head -c 100000 /dev/urandom >soft/opt/soft
	openssl req -new -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 30 -subj /CN=x 2>/dev/null
	mlimg-mkfs --quiet --kind system --name s --verity --sign key --cert cert tree s.img
	mlimg-mkfs --quiet --kind software --name w --verity --sign key --cert cert soft w.img
	mlimg-mkfs --quiet --kind software --name w --verity soft unsigned.img
	mlimg-mkfs --quiet --kind software --name w soft plain.img
	mlimg-mkfs --quiet --kind user --name alice --size 16M u.img
	fake_make
}

setup() {
	fake_off
}

teardown() {
	rm -rf "$run"
}

vm() {
	mlimg-vm run --user u.img --system s.img --accel tcg --cache-dir "$cache" --runtime-dir "$run" "$@"
}

# says [OPTION]…: the value of mlimg.verity, in a dry run
says() {
	run --separate-stderr vm --dry-run "$@"
	same "exit code" 0 "$status" || return
	sed -n 's/.* mlimg\.verity=\([^ ]*\) .*/\1/p' <<<"$output"
}

# hash_of_stack IMAGE=ROOT-HASH…: as libmlimg/verity.h says
hash_of_stack() {
	local each
	{
		echo 'mlimg-verity-stack 1'
		for each in "$@"; do
			echo "$(blkid -p -o value -s UUID "${each%=*}" | tr -d -) ${each##*=}"
		done
	} | sha256sum | cut -c1-64
}

root_hash() {
	jq -r .verity.root_hash "$1.layer.json"
}

@test "vm --verity: off unless asked for" {
	same "by default" "" "$(says)"
	same "off" "" "$(says --verity off)"
	fails 2 "mlimg-vm: --verity: 'on' is none of 'off', 'hash' and 'require'
Try 'mlimg-vm --help' for more information." vm --verity on
}

@test "vm --verity: one hash of the root hashes beside the images" {
	same "overlay" "stack:$(hash_of_stack "s.img=$(root_hash s.img)" "w.img=$(root_hash w.img)")" "$(says --verity hash --union overlay --software w.img)"
	# Nothing is compiled in a dry run.
	same "an index that is not there" "stack:HASH" "$(says --verity hash --software w.img)"
	mlimg-index --quiet --force -o plain.idx s.img w.img
	mlimg-index --json --force --verity -o i.idx s.img w.img >i.json
	same "an index" "stack:$(hash_of_stack "s.img=$(root_hash s.img)" "w.img=$(root_hash w.img)" "i.idx=$(jq -r .root_hash i.json)")" \
		"$(says --verity hash --software w.img --index i.idx)"
	fails 3 "mlimg-vm: accel: tcg (emulation): asked for
mlimg-vm: union: index: --index was given
mlimg-vm: disks: separate: as the index was made
mlimg-vm: --verity hash: 'plain.idx': it has no hash tree" vm --dry-run --verity hash --software w.img --index plain.idx
}

@test "vm --verity: signatures, and the root hash of the index" {
	same "overlay" "require" "$(says --verity require --union overlay --software w.img)"
	mlimg-index --json --force --verity --joined -o j.idx s.img w.img >j.json
	same "an index" "require,$(jq -r .stack_id j.json | cut -c1-20):$(jq -r .root_hash j.json)" "$(says --verity require --software w.img --index j.idx)"
}

# refused HOW WHAT IMAGE
refused() {
	fails 3 "mlimg-vm: accel: tcg (emulation): asked for
mlimg-vm: union: overlay: asked for
mlimg-vm: --verity $1: $2" vm --dry-run --verity "$1" --union overlay --software "$3"
}

@test "vm --verity: images that a guest would refuse" {
	refused hash "'plain.img': it has no hash tree" plain.img
	refused require "'plain.img': it has no hash tree" plain.img
	refused require "'unsigned.img': it is not signed" unsigned.img
	cp w.img alone.img
	refused hash "'alone.img': no file beside it says its root hash: 'alone.img.layer.json'" alone.img
	cp unsigned.img.layer.json alone.img.layer.json
	jq --arg text "$(root_hash s.img)" '.verity.root_hash = $text' unsigned.img.layer.json >alone.img.layer.json
	refused hash "'alone.img': its root hash is $(root_hash w.img), not $(root_hash s.img)" alone.img
}

# boots [OPTION]…: the program in QEMU's place ends before a guest is up.
boots() {
	run --separate-stderr vm --software w.img "$@"
	same "exit code" 1 "$status"
}

@test "vm --verity: the index that is compiled has a hash tree, and is kept beside the one without" {
	local each with
	boots
	boots --verity hash
	boots --verity require
	same "indexes" 2 "$(find "$cache" -type f | wc -l)"
	for each in "$cache"/*; do
		run mlimg-vm run --user u.img --system s.img --accel tcg --runtime-dir "$run" --dry-run --software w.img --verity hash --index "$each"
		[ "$status" -ne 0 ] || with=$each
	done
	# One whose tree is gone is compiled again.
	truncate -s $(($(stat -c %s "$with") - 4096)) "$with"
	boots --verity hash
	[[ $(says --software w.img --verity hash --index "$with") == stack:????????????????* ]]
}
