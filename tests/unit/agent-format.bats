#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent format: an empty user layer on a blank disk, of which e2fsck and mlimg-mkfs are the judges.
load ../lib/common

instance=00112233445566778899aabbccddeeff

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	SOURCE_DATE_EPOCH=0 mlimg-mkfs --quiet --kind user --name alice --instance $instance --size 64M wanted.img
	id=$(mlimg-inspect --json wanted.img | jq -r .build_id)
}

format() {
	mlimg-agent format --dev "$1" --user "$id" --as alice:$instance
}

# of IMAGE WHAT…: lines of dumpe2fs.
of() {
	dumpe2fs -h "$1" 2>/dev/null | grep -E "^(Filesystem (volume name|UUID|features|flags|state)|Errors behavior|Default mount options|Inode size|Inode count|\
Inodes per group|Blocks per group|Maximum mount count|First inode|Journal|Total journal size|Group descriptor size|Flex block group size)"
}

# entry IMAGE PATH: type, mode, flags, owner, size, links.
entry() {
	debugfs -R "stat $2" "$1" 2>/dev/null | sed -n -e 's/^Inode: [0-9]* *//p' -e '/^User/p' -e '/^Links/p'
}

@test "format: the layer that mlimg-mkfs makes" {
	local file
	truncate -s 64M disk
	works format disk
	e2fsck -fn disk
	same "superblock" "$(of wanted.img)" "$(of disk)"
	same "description" "$(mlimg-inspect --json wanted.img | jq -c 'del(.image_size_bytes)')" "$(mlimg-inspect --json disk | jq -c 'del(.image_size_bytes)')"
	for file in manifest layer.json; do
		cmp <(debugfs -R "cat /mlimg/$file" wanted.img 2>/dev/null) <(debugfs -R "cat /mlimg/$file" disk 2>/dev/null)
	done
	for file in / /upper /work /lost+found /mlimg /mlimg/manifest /mlimg/layer.json; do
		same "$file" "$(entry wanted.img $file)" "$(entry disk $file)"
	done
	same "first sector" "" "$(head -c 1024 disk | tr -d '\0')"
}

@test "format: disks of every size" {
	local size
	for size in 16777216 17000000 134217727 134217728 1G 20G; do
		rm -f disk
		truncate -s $size disk
		works format disk
		run e2fsck -fn disk
		same "e2fsck with $size" 0 "$status"
		same "state with $size" "layer user" "$(mlimg-agent identify disk | cut -f 2,3 | tr '\t' ' ')"
	done
	same "journal" "Total journal size:       64M" "$(dumpe2fs -h disk 2>/dev/null | grep '^Total journal size')"
}

# refused STATUS MESSAGE: the disk, which is not changed.
refused() {
	local before
	before=$(sha256sum <disk)
	fails "$1" "mlimg-agent: $2" format disk
	same "disk" "$before" "$(sha256sum <disk)"
}

# byte OFFSET: a blank disk of 20 MiB with a byte that is not zero.
byte() {
	rm -f disk
	truncate -s 20M disk
	printf 'x' | dd of=disk bs=1 seek="$1" conv=notrunc status=none
}

@test "format: not a disk on which anything is" {
	local offset
	for offset in 0 511 1024 131071 131072 4194304 8388607 $((12 * 1048576)) $((20 * 1048576 - 1)); do
		byte $offset
		refused 3 "disk is not blank: something is at byte $offset"
	done
	# Between the ends: 4096 bytes at each 256th part.
	byte $((10 * 1048576 + 4095))
	refused 3 "disk is not blank: something is at byte $((10 * 1048576 + 4095))"
	rm disk
	truncate -s 400M disk
	head -c 2M /dev/zero | tr '\0' x | dd of=disk bs=1M seek=100 conv=notrunc status=none
	refused 3 "disk is not blank: something is at byte $((100 * 1048576))"
	byte $((10 * 1048576 + 4096))
	works format disk
	refused 3 "disk is not blank: it is layer"
	rm disk
	mke2fs -q -t ext4 disk 64M
	refused 3 "disk is not blank: it is ext4"
	# Only a backup superblock is left.
	mke2fs -q -F -t ext4 -b 1024 disk 64M
	dd if=/dev/zero of=disk bs=4096 count=1024 conv=notrunc status=none
	refused 3 "disk is not blank: it is damaged"
	rm disk
	truncate -s 16777215 disk
	refused 3 "disk has 16777215 bytes: a user layer needs 16777216 at least"
	fails 1 "mlimg-agent: open none: No such file or directory" format none
}

@test "format: not another layer than the one that is wanted" {
	truncate -s 64M disk
	fails 3 "mlimg-agent: an empty user layer 'bob' with instance $instance has the id $(
		printf '#mtree\n# mlimg-format 1\n# mlimg-kind user\n# mlimg-name bob\n# mlimg-version 0\n# mlimg-instance %s\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n' \
			$instance | sha256sum | cut -c 1-20
	), and $id is wanted: correct mlimg.format or mlimg.user" mlimg-agent format --dev disk --user "$id" --as bob:$instance
	same "disk" "" "$(tr -d '\0' <disk | head -c 1)"
}

@test "format: cut off anywhere, the disk counts as blank, and formatting it anew makes the same" {
	local n total
	truncate -s 64M disk
	format disk
	total=0
	# The steps of guest-agent/ext4-new.h, one more each time, of a layer that is whole.
	for n in mark journal contents superblock; do
		rm -f cut
		truncate -s 64M cut
		printf 'mlimg: a user layer is being made on this disk\n' | dd of=cut conv=notrunc status=none
		[ $n = mark ] || dd if=disk of=cut bs=4096 skip=1000 seek=1000 conv=notrunc status=none
		[ $n = mark ] || [ $n = journal ] || dd if=disk of=cut bs=4096 skip=1 seek=1 conv=notrunc status=none
		if [ $n = superblock ]; then
			# Half of it.
			dd if=disk of=cut bs=512 skip=2 seek=2 count=1 conv=notrunc status=none
			same "state" "blank" "$(mlimg-agent identify cut | cut -f 2)"
			format cut
			cmp disk cut
			printf 'mlimg: a user layer is being made on this disk\n' | dd of=cut conv=notrunc status=none
			same "state of a whole one that still has the mark" "layer" "$(mlimg-agent identify cut | cut -f 2)"
			e2fsck -fn cut
		else
			same "state after $n" "blank formatting it was cut off" "$(mlimg-agent identify cut | cut -f 2,6 | tr '\t' ' ')"
			works format cut
			cmp disk cut
		fi
		total=$((total + 1))
	done
	same "steps" 4 $total
}

@test "format: wrong usage" {
	local hint="
Try 'mlimg-agent --help' for more information."
	fails 2 "mlimg-agent: format: --dev is missing$hint" mlimg-agent format
	fails 2 "mlimg-agent: format: --user is missing$hint" mlimg-agent format --dev x
	fails 2 "mlimg-agent: format: --as is missing$hint" mlimg-agent format --dev x --user "$id"
	fails 2 "mlimg-agent: format: 'abc' is no id (20 to 64 hex digits)$hint" mlimg-agent format --dev x --user abc --as a:b
	fails 2 "mlimg-agent: 'alice' is not NAME:INSTANCE$hint" mlimg-agent format --dev x --user "$id" --as alice
	fails 2 "mlimg-agent: '00' is no instance of a user layer: 32 lower-case hexadecimal digits are wanted$hint" \
		mlimg-agent format --dev x --user "$id" --as alice:00
	fails 2 "mlimg-agent: '-' cannot be the name of a user layer$hint" mlimg-agent format --dev x --user "$id" --as -:$instance
}
