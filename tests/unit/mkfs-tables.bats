#!/usr/bin/env bats
# The inode table is written past libext2fs's cache, which must not bring an older block back.

load ../lib/common
load ../lib/images

# The cache holds eight blocks: only a directory among the last inodes, alone with its xattr, is still in it.
@test "mkfs: an xattr on the last directory, with every number of inodes in the table's last block" {
	local round tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree"/{100..199}
	for round in {200..215}; do
		mkdir "$tree/$round"
		setfattr -n user.round -v "$round" "$tree/$round"
		works mlimg-mkfs --quiet --force --kind system --name small "$tree" "$BATS_TEST_TMPDIR/image"
		fsck_clean "$BATS_TEST_TMPDIR/image"
		setfattr -x user.round "$tree/$round"
	done
}
