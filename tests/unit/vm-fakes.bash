# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Small layer images with chosen ids, and a program in QEMU's place, for tests of mlimg-vm that boot nothing.

# uuid_of BUILDID: what layer.h says a layer's UUID is.
uuid_of() {
	local id=$1 variant
	variant=$(printf %x $((8 + (0x${id:16:1} & 3))))
	echo "${id:0:8}-${id:8:4}-8${id:13:3}-$variant${id:17:3}-${id:20:12}"
}

# layer IMAGE KIND NAME VERSION DIGIT [TREE]: a layer whose build id is DIGIT 64 times, holding TREE.
layer() {
	local image=$1 kind=$2 name=$3 version=$4 id dir=$1.d
	id=$(printf "%64s" "" | tr ' ' "$5")
	mkdir -p "$dir/mlimg" "$dir/rootfs" "$dir/upper" "$dir/work"
	[ $# -lt 6 ] || cp -a "$6/." "$dir/rootfs"
	jq -n --arg kind "$kind" --arg name "$name" --arg version "$version" --arg id "$id" \
		'{format: 1, kind: $kind, name: $name, version: $version, build_id: $id}
		+ (if $kind == "user" then {instance: ($id[:32])} else {} end)
		+ {entries: 1, size_bytes: 0, time: 0}' >"$dir/mlimg/layer.json"
	mke2fs -q -t ext4 -b 4096 -O ^has_journal,^resize_inode,^dir_nlink,metadata_csum -L "mlimg-$kind" \
		-U "$(uuid_of "$id")" -d "$dir" "$image" 4M
	rm -r "$dir"
}

# A tree with a kernel and its initramfs.
boot_tree() {
	mkdir -p "$1/boot"
	echo kernel >"$1/boot/vmlinuz-6.1.0-1-test"
	echo initrd >"$1/boot/initrd.img-6.1.0-1-test"
}

# fake_make: in setup_file: the program (tests/lib/fake-qemu.c).
fake_make() {
	mkdir "$BATS_FILE_TMPDIR/bin"
	ln -s "$MLIMG_BUILD/tests/lib/fake-qemu" "$BATS_FILE_TMPDIR/bin/qemu-system-x86_64"
}

# fake_begin: before each test: what it does is told by the file $FAKE_QEMU. Sets $run, a runtime directory, to be removed in teardown.
fake_begin() {
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH FAKE_QEMU=$BATS_TEST_TMPDIR/steps
	# Short enough for the path of a socket, wherever bats has its directories.
	# shellcheck disable=SC2034 # the caller's
	run=$(mktemp -d /tmp/mlimg-vm.XXXXXX)
}

# fake_off: the same for tests in the directory of their file, where it does nothing. Sets $cache, for indexes, besides.
fake_off() {
	cd "$BATS_FILE_TMPDIR" || return
	fake_begin
	# shellcheck disable=SC2034 # the caller's
	cache=$BATS_TEST_TMPDIR/cache
	echo off >"$FAKE_QEMU"
}
