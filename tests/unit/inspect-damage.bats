# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect on images that are damaged, foreign or made to deceive: each has its message and exit code 3. debugfs does the damage where
# checksums are to stay right, dd where they are not.

load ../lib/common

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree
	mkdir -p "$t"/{bin,etc}
	printf 'hello\n' >"$t/etc/motd"
	printf 'other\n' >"$t/etc/other"
	head -c 6000000 /dev/zero | tr '\0' x >"$t/large"
	printf 'x' >"$t/large2"
	printf 'x' >"$t/large3"
	printf 'x' >"$t/bin/prog"
	printf 'x' >"$t/bin/prop"
	ln -s etc/motd "$t/link"
	find "$t" -exec touch -h -d @1600000000 {} +
	handmade-layer "$t" "$BATS_FILE_TMPDIR/base.img"
	handmade-layer "$t" "$BATS_FILE_TMPDIR/plain.img" -O ^metadata_csum
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

# An image with what debugfs does to it: edit COMMAND…
edit() {
	cp --sparse=always "$BATS_FILE_TMPDIR/base.img" x.img
	printf '%s\n' "cd /rootfs" "$@" >script
	debugfs -w -f script x.img >said 2>&1
}

# Overwrite: poke IMAGE OFFSET BYTES (as printf takes them)
poke() {
	# shellcheck disable=SC2059 # that is what it is for
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

inode() {
	debugfs -R "stat $1" "${2:-x.img}" 2>/dev/null | sed -n 's/^Inode: \([0-9]*\).*/\1/p'
}

# Block of a directory or file in plain.img or another.
block() {
	debugfs -R "blocks $1" "$2" 2>/dev/null | cut -d ' ' -f 1
}

refused() {
	local message=$1
	shift
	fails 3 "mlimg-inspect: x.img: $message" mlimg-inspect x.img "$@"
}

@test "no file system" {
	: >x.img
	refused "is too short to hold a file system (0 bytes)"
	head -c 2047 /dev/zero >x.img
	refused "is too short to hold a file system (2047 bytes)"
	truncate -s 1M x.img
	refused "is no ext4 file system, or its superblock is destroyed"
	printf 'QFI\373' | dd of=x.img conv=notrunc status=none
	refused "is a qcow2 image; only raw images can be read"
}

@test "a damaged superblock" {
	edit
	poke x.img 1060 '\1'
	refused "superblock is damaged: its checksum is wrong"
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	poke x.img $((1024 + 32)) '\0\0\0\0'
	refused "superblock is damaged: its numbers make no sense"
	poke x.img $((1024 + 32)) '\10\0\0\0'
	run --separate-stderr mlimg-inspect x.img
	same "exit code" 3 "$status"
}

@test "a damaged group descriptor" {
	edit
	poke x.img $((4096 + 12)) '\7'
	refused "descriptor of block group 0 is damaged: its checksum is wrong"
}

@test "a truncated image" {
	edit
	truncate -s 8M x.img
	refused "is truncated: the file system has 16777216 bytes, the image 8388608"
}

@test "a foreign file system" {
	edit
	tune2fs -L data x.img >/dev/null
	refused "is no layer: its label 'data' is none of mlimg's"
	tune2fs -L mlimg-systemd x.img >/dev/null
	refused "is no layer: its label 'mlimg-systemd' is none of mlimg's"
}

@test "features and block sizes that layers do not have" {
	local feature
	for feature in bigalloc inline_data quota; do
		mke2fs -q -F -t ext4 -b 4096 -O $feature -L mlimg-system x.img 16M >/dev/null 2>&1
		refused "its ext4 feature '$feature' is none that layers have"
	done
	mke2fs -q -F -t ext4 -b 1024 -L mlimg-system x.img 16M >/dev/null 2>&1
	refused "its blocks are not 4096 bytes long"
	mke2fs -q -F -t ext2 -b 4096 -L mlimg-system x.img 16M >/dev/null 2>&1
	refused "it lacks the ext4 features 'extent' and 'filetype'"
}

@test "no description, or one that does not fit" {
	edit "rm /mlimg/layer.json"
	refused "is no layer: there is no /mlimg/layer.json in it"
	edit "rm /mlimg/layer.json" "symlink /mlimg/layer.json /rootfs/etc/motd"
	refused "'/mlimg/layer.json' is no regular file"
	truncate -s 65537 long.json
	edit "rm /mlimg/layer.json" "write long.json /mlimg/layer.json"
	refused "'/mlimg/layer.json' is too large (65537 bytes)"
	echo '{' >bad.json
	edit "rm /mlimg/layer.json" "write bad.json /mlimg/layer.json"
	run --separate-stderr mlimg-inspect x.img
	same "exit code" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == "mlimg-inspect: x.img: /mlimg/layer.json: "* ]]
	edit
	tune2fs -L mlimg-software x.img >/dev/null
	refused "its label says kind software, /mlimg/layer.json says system"
}

@test "parts that disagree" {
	local id
	id=$(mlimg-inspect --json "$BATS_FILE_TMPDIR/base.img" | jq -r .build_id)
	edit
	tune2fs -f -U 00112233-4455-6677-8899-aabbccddeeff x.img >/dev/null 2>&1
	refused "its UUID is not that of build id ${id:0:20} in /mlimg/layer.json"
	edit "rm /mlimg/manifest"
	refused "there is no /mlimg/manifest in it"
	mlimg-inspect "$BATS_FILE_TMPDIR/base.img" manifest | sed s/0644/4755/ >other
	edit "rm /mlimg/manifest" "write other /mlimg/manifest"
	refused "its manifest has digest $(sha256sum <other | head -c 20), its build id is ${id:0:20}"
	refused "its manifest has digest $(sha256sum <other | head -c 20), its build id is ${id:0:20}" manifest
	debugfs -R "dump /mlimg/layer.json layer.json" "$BATS_FILE_TMPDIR/base.img" 2>/dev/null
	sed 's/handmade/trusted!/; s/!/+/' layer.json >other.json
	edit "rm /mlimg/layer.json" "write other.json /mlimg/layer.json"
	refused "its layer.json says name 'trusted+', its manifest 'handmade'"
	sed 's/"version": "1"/"version": "2"/' layer.json >other.json
	edit "rm /mlimg/layer.json" "write other.json /mlimg/layer.json"
	refused "its layer.json says version '2', its manifest '1'"
	sed 's/"entries": 11/"entries": 12/' layer.json >other.json
	edit "rm /mlimg/layer.json" "write other.json /mlimg/layer.json"
	refused "its layer.json says 12 entries, its manifest has 11"
}

@test "a software layer that says it is over something else" {
	local over
	handmade-layer -k software "$BATS_FILE_TMPDIR/tree" x.img
	works mlimg-inspect x.img
	debugfs -R "dump /mlimg/layer.json layer.json" x.img 2>/dev/null
	over=$(printf '%064d' 7)
	sed 's/"entries"/"over": ["'"$over"'"], &/' layer.json >other.json
	printf '%s\n' "rm /mlimg/layer.json" "write other.json /mlimg/layer.json" >script
	debugfs -w -f script x.img >/dev/null 2>&1
	refused "its layer.json and its manifest differ in 'over'"
}

@test "no tree" {
	edit "cd /" "unlink /rootfs"
	refused "there is no directory '/rootfs' in it" ls
	edit "cd /" "unlink /rootfs" "symlink /rootfs /mlimg"
	refused "there is no directory '/rootfs' in it" ls
}

@test "inodes that cannot be" {
	local n
	n=$(inode /rootfs/etc/motd "$BATS_FILE_TMPDIR/base.img")
	edit "sif etc/motd links_count 0"
	refused "./etc/motd: inode $n is deleted" ls -R
	edit "sif etc/motd mode 0"
	refused "./etc/motd: inode $n has no type" ls -R
	edit "sif etc/motd mode 0010644"
	refused "./etc/motd: inode $n is not of the type that its directory says" ls -R
	edit "sif etc/motd flags 0x10080000"
	refused "./etc/motd: inode $n: flags 0x10000000 are not understood" ls -R
	edit "sif etc/motd uid 0xffffffff"
	refused "./etc/motd: inode $n: owner or time is out of range" ls -R
	edit "sif etc/motd mtime_extra 0xffffffff"
	refused "./etc/motd: inode $n: owner or time is out of range" ls -R
	edit "sif etc/motd size 0x7fffffffffffffff"
	refused "./etc/motd: inode $n: size is out of range" ls -R
	edit "sif etc/motd extra_isize 200"
	refused "./etc/motd: inode $n: extra size 200" ls -R
	n=$(inode /rootfs/link "$BATS_FILE_TMPDIR/base.img")
	edit "sif link size 0"
	refused "./link: inode $n: symbolic link of 0 bytes" ls -R
	edit "sif link size 4096"
	refused "./link: inode $n: symbolic link of 4096 bytes" ls -R
	edit "sif link size 30"
	refused "./link: inode $n: target of the symbolic link is damaged" ls -R
	edit "sif link size 70"
	refused "./link: inode $n has no extents" ls -R
}

@test "an inode whose checksum is wrong" {
	local n where
	edit
	n=$(inode /rootfs/etc/motd)
	where=$(debugfs -R "imap <$n>" x.img 2>/dev/null | sed -n 's/.*located at block \([0-9]*\), offset \(0x[0-9a-f]*\).*/\1*4096+\2/p')
	poke x.img $((where + 2)) '\1'
	refused "./etc/motd: inode $n: Inode checksum does not match inode" ls -R
}

@test "directories that contain themselves or are there twice" {
	local root etc
	root=$(inode /rootfs "$BATS_FILE_TMPDIR/base.img") etc=$(inode /rootfs/etc "$BATS_FILE_TMPDIR/base.img")
	edit "link etc etc/loop"
	refused "./etc/loop: directory inode $etc says that it is in inode $root, not in $etc" ls -R
	edit "link etc etc2"
	refused ".: inode $root: directory $etc is in there twice" ls -R
	edit "link etc bin/etc"
	refused "./bin/etc: directory inode $etc says that it is in inode $root, not in $(inode /rootfs/bin)" ls -R
	edit "link /rootfs bin/top"
	refused "./bin/top: directory inode $root contains itself" ls -R
	edit "cd /" "unlink /rootfs" "link / /rootfs"
	refused "./rootfs: directory inode 2 contains itself" ls -R
	edit "link / bin/top"
	refused "./bin/top: directory inode 2 says that it is in inode 2, not in $(inode /rootfs/bin)" ls -R
}

@test "a directory with a name twice" {
	local b at
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	b=$(block /rootfs/bin x.img)
	at=$(dd if=x.img bs=4096 skip="$b" count=1 status=none | grep -abo prop | cut -d : -f 1)
	poke x.img $((b * 4096 + at + 3)) g
	refused "./bin: inode $(inode /rootfs/bin): name 'prog' is in there twice" ls -R
}

@test "directories with impossible contents" {
	local n at
	n=$(inode /rootfs/bin "$BATS_FILE_TMPDIR/plain.img")
	at=$(($(block /rootfs/bin "$BATS_FILE_TMPDIR/plain.img") * 4096))
	broken() {
		cp "$BATS_FILE_TMPDIR/plain.img" x.img
		poke x.img $((at + $1)) "$2"
		refused "./bin: inode $n: directory block 0: $3" ls -R
	}
	broken 0 '\1' "it does not begin with '.' and '..'"
	broken 7 '\1' "it does not begin with '.' and '..'"
	broken 8 'x' "it does not begin with '.' and '..'"
	broken 20 '/' "it does not begin with '.' and '..'"
	broken 4 '\0' "an entry does not fit"
	broken 4 '\7' "an entry does not fit"
	broken 16 '\377\377' "an entry does not fit"
	broken 30 '\0' "a name is not valid"
	broken 31 '\0' "an entry has no type"
	broken 33 '/' "a name is not valid"
	broken 33 '\0' "a name is not valid"
	broken 30 '\2\1..' "a name is not valid"
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	poke x.img $((at + 24)) '\377\377\377\177'
	refused "./bin/prog: inode number 2147483647 is out of range" ls -R
	poke x.img $((at + 24)) '\10\0\0\0'
	refused "./bin/prog: inode number 8 is out of range" ls -R
	edit "sif bin size 100"
	refused "./bin: inode $n: directory of 100 bytes" ls -R
	edit "sif bin size 8192"
	refused "./bin: inode $n: directory has a hole at block 1" ls -R
	edit
	poke x.img $((at + 33)) 'P'
	refused "./bin: inode $n: directory block 0: its checksum is wrong" ls -R
}

@test "a directory that uses its block twice" {
	local n b
	edit
	n=$(inode /rootfs/bin) b=$(block /rootfs/bin x.img)
	edit "sif bin block[0] 0x0002f30a" "sif bin block[6] 1" "sif bin block[7] 1" "sif bin block[8] $b" "sif bin size 8192"
	refused "./bin: inode $n: directory uses block $b twice" ls -R
}

@test "extent trees that lead astray" {
	local n
	n=$(inode /rootfs/etc/motd "$BATS_FILE_TMPDIR/base.img")
	astray() {
		local message=$1
		shift
		edit "$@"
		refused "$message" cat etc/motd
	}
	astray "inode $n: node of the extent tree is damaged" "sif etc/motd block[0] 0"
	astray "inode $n: node of the extent tree is damaged" "sif etc/motd block[0] 0x0005f30a"
	astray "inode $n: node of the extent tree is damaged" "sif etc/motd block[1] 1000"
	astray "inode $n: root of the extent tree is damaged" "sif etc/motd block[1] 0x00060004"
	astray "inode $n: root of the extent tree is damaged" "sif etc/motd block[0] 0x0000f30a" "sif etc/motd block[1] 0x00010004"
	astray "inode $n: extent at block 0 is out of order" "sif etc/motd block[4] 0"
	astray "inode $n: extent at block 0 is out of order" "sif etc/motd block[0] 0x0002f30a" "sif etc/motd block[6] 0" "sif etc/motd block[7] 1" "sif etc/motd block[8] 9"
	astray "inode $n: extent at block 0 lies outside the image" "sif etc/motd block[5] 0x7fffffff"
	astray "inode $n: extent at block 0 lies outside the image" "sif etc/motd block[5] 0"
	astray "inode $n: extent at block 0 lies outside the image" "sif etc/motd block[5] 4090" "sif etc/motd block[4] 7"
	astray "block 4096 is not within the file system" "sif etc/motd block[1] 0x00010004" "sif etc/motd block[4] 4096" "sif etc/motd block[5] 0"
	astray "inode $n: node of the extent tree is damaged" "sif etc/motd block[1] 0x00010004" "sif etc/motd block[4] 5" "sif etc/motd block[5] 0"
	astray "inode $n has no extents" "sif etc/motd flags 0"
}

@test "an extent tree whose nodes point at themselves ends" {
	local n node
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	n=$(inode /rootfs/etc/motd) node=$(block /rootfs/etc/other x.img)
	# The block of another file becomes a node with two entries, both of which lead to itself.
	poke x.img $((node * 4096)) '\012\363\2\0\124\1\1\0\0\0\0\0'
	for i in 0 1; do
		poke x.img $((node * 4096 + 12 + 12 * i)) "$(printf '\\%03o' $i 0 0 0 $((node & 255)) $((node >> 8)) 0 0 0 0 0 0)"
	done
	printf '%s\n' "sif /rootfs/etc/motd block[1] 0x00020004" "sif /rootfs/etc/motd block[4] $node" "sif /rootfs/etc/motd block[5] 0" >script
	debugfs -w -f script x.img >/dev/null 2>&1
	refused "inode $n: node of the extent tree is damaged" cat etc/motd
}

@test "a leaf of an extent tree that begins before its index" {
	local n node data
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	n=$(inode /rootfs/etc/motd) node=$(block /rootfs/etc/other x.img) data=$(block /rootfs/etc/motd x.img)
	poke x.img $((node * 4096)) '\012\363\1\0\124\1\0\0\0\0\0\0'
	poke x.img $((node * 4096 + 12)) "$(printf '\\%03o' 0 0 0 0 1 0 0 0 $((data & 255)) $((data >> 8)) 0 0)"
	printf '%s\n' "sif /rootfs/etc/motd block[1] 0x00010004" "sif /rootfs/etc/motd block[3] 1" \
		"sif /rootfs/etc/motd block[4] $node" "sif /rootfs/etc/motd block[5] 0" >script
	debugfs -w -f script x.img >/dev/null 2>&1
	refused "inode $n: extent at block 0 is out of order" cat etc/motd
	debugfs -w -R "sif /rootfs/etc/motd block[3] 0" x.img >/dev/null 2>&1
	works mlimg-inspect x.img cat etc/motd
	same contents hello "$output"
}

@test "an unwritten extent reads as zeros, whatever is in its block" {
	edit "sif etc/motd block[4] 0x8001"
	mlimg-inspect x.img cat etc/motd | cmp - <(head -c 6 /dev/zero)
}

@test "xattrs that cannot be" {
	local n
	n=$(inode /rootfs/etc/motd "$BATS_FILE_TMPDIR/base.img")
	edit "sif etc/motd file_acl 99999"
	refused "./etc/motd: block 99999 is not within the file system" ls -R
	edit "sif etc/motd file_acl 3"
	refused "./etc/motd: inode $n: xattrs: their block is damaged" ls -R
	head -c 1000 /dev/zero >value
	edit "ea_set -f value etc/motd user.large" "ea_set etc/motd user.small 1"
	works mlimg-inspect x.img ls -R
	poke x.img $(($(debugfs -R "stat /rootfs/etc/motd" x.img 2>/dev/null | sed -n 's/.*File ACL: \([0-9]*\).*/\1/p') * 4096 + 40)) '\1'
	refused "./etc/motd: inode $n: xattrs: the checksum of their block is wrong" ls -R
}

@test "xattrs within an inode that cannot be" {
	local n where
	cp "$BATS_FILE_TMPDIR/plain.img" good.img
	debugfs -w -R 'ea_set /rootfs/etc/motd user.colour blue' good.img >/dev/null 2>&1
	n=$(inode /rootfs/etc/motd good.img)
	where=$(debugfs -R "imap <$n>" good.img 2>/dev/null | sed -n 's/.*located at block \([0-9]*\), offset \(0x[0-9a-f]*\).*/\1*4096+\2/p')
	where=$((where + 128 + 32 + 4))
	same "first xattr" '\006\001' "$(dd if=good.img bs=1 skip=$where count=2 status=none | od -An -to1 | sed 's/ /\\/g')"
	broken() {
		cp good.img x.img
		poke x.img $((where + $1)) "$2"
		refused "./etc/motd: inode $n: xattrs: $3" ls -R
	}
	broken 0 '\377' "an entry does not fit"
	broken 1 '\5' "a name has an unknown prefix"
	broken 1 '\2' "a name is not valid"
	broken 0 '\0\2' "an ACL is not valid"
	broken 2 '\377\377' "an entry does not fit"
	broken 8 '\377\377\377\377' "an entry does not fit"
	broken 4 '\17' "a value lies in an inode of its own"
	broken 17 '\0' "a name is not valid"
}

@test "files that claim each other's blocks" {
	local b
	b=$(block /rootfs/large "$BATS_FILE_TMPDIR/base.img")
	edit "sif large2 block[4] 1465" "sif large2 block[5] $b" \
		"sif large3 block[4] 1465" "sif large3 block[5] $b"
	refused "./large3: inode $(inode /rootfs/large3): its blocks belong to other files too" manifest --computed
}

@test "a file that claims to be larger than everything" {
	edit "sif large3 size 0x80000000000"
	refused "./large3: inode $(inode /rootfs/large3): there is more in the tree than there may be" manifest --computed
}

@test "a message with a hostile name cannot steer the terminal" {
	local n
	cp "$BATS_FILE_TMPDIR/plain.img" x.img
	n=$(inode /rootfs/bin/prog)
	poke x.img $(($(block /rootfs/bin x.img) * 4096 + 32)) '\233[2J'
	debugfs -w -R "sif <$n> mode 0" x.img >/dev/null 2>&1
	refused "./bin/\\233[2J: inode $n has no type" ls -R
}

@test "random damage: every command ends with 0, 1 or 3" {
	local seed=${MLIMG_SEED:-$(date +%N)} i j args meta sound=0
	seed=$((10#$seed % 32768))
	echo "MLIMG_SEED=$seed"
	RANDOM=$seed
	# Blocks of inodes, directories and of what describes the layer.
	mapfile -t meta < <(
		for i in / /rootfs /rootfs/etc /rootfs/bin /mlimg /mlimg/layer.json /mlimg/manifest; do
			block $i "$BATS_FILE_TMPDIR/plain.img"
		done
		debugfs -R "imap /rootfs/etc" "$BATS_FILE_TMPDIR/plain.img" 2>/dev/null | sed -n 's/.*located at block \([0-9]*\),.*/\1/p'
		echo 0
	)
	same "blocks" 9 "${#meta[@]}"
	for ((i = 0; i < 60; i++)); do
		cp --sparse=always "$BATS_FILE_TMPDIR/plain.img" x.img
		for ((j = 0; j < 8; j++)); do
			poke x.img $((meta[RANDOM % 9] * 4096 + RANDOM % 4096)) "\\$(printf %03o $((RANDOM % 256)))"
		done
		for args in show "show --json" "ls -lR" "ls -R --json" "manifest --json" "manifest --computed" verify "ls link"; do
			# shellcheck disable=SC2086 # several words
			run mlimg-inspect x.img $args
			[[ $status -eq 0 || $status -eq 1 || $status -eq 3 ]] || {
				echo "round $i: $args: exit code $status: $output"
				return 1
			}
			[ "$status" -ne 0 ] || sound=$((sound + 1))
		done
	done
	# Neither all nor nothing.
	echo "$sound of 420 ended with 0"
	[ $sound -gt 0 ] && [ $sound -lt 420 ]
}
