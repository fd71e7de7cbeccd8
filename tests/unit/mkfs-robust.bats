#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-mkfs where the machine or the source lets it down: a message, an exit code, and no half image. Sources that change while they are
# read: test_source_dir.c. Full disks: root/mkfs-mounts.bats.

load ../lib/common

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# refused STATUS MESSAGE ARGUMENT…
refused() {
	local wanted=$1 message=$2
	shift 2
	fails "$wanted" "mlimg-mkfs: $message" timeout 60 mlimg-mkfs --kind software --name x "$@" x.img || return
	nothing_left "$*"
}

nothing_left() {
	same "files after $1" "" "$(find . -name x.img -o -name '.mlimg*')"
}

# starved SOURCE: makes a layer of it in more and more memory, until there is enough
starved() {
	local limit n_failed=0
	for limit in $(seq 56000 3000 400000); do
		run bash -c "ulimit -v $limit && exec mlimg-mkfs --quiet --kind system --name x '$1' x.img 2>&1"
		[ "$status" -ne 0 ] || break
		[ "$status" -ne 127 ] || continue # not even its libraries
		same "exit code with $limit KiB, having said: $output" 1 "$status" || return
		[[ $output == *": Cannot allocate memory" || $output == *": Resource temporarily unavailable" ]] ||
			same "message with $limit KiB" "one about memory" "$output" || return
		nothing_left "$limit KiB" || return
		[[ $output != *": Cannot allocate memory" ]] || n_failed=$((n_failed + 1))
	done
	same "exit code with enough memory" 0 "$status"
	[ "$n_failed" -gt 0 ]
}

@test "mkfs: out of memory" {
	case $MLIMG_BUILD in *san-*) skip "sanitizers take all address space" ;; esac
	{
		echo '#mtree'
		seq -f './%.0f type=file mode=0644 uid=0 gid=0 time=1.0 size=0' 60000
	} | bsdtar --format=ustar -cf many.tar @-
	starved many.tar
	mv x.img many.img
	starved many.img
}

@test "mkfs: a hole of a tebibyte" {
	mkdir d
	truncate -s 1T d/hole || skip "needs a file system with such files"
	refused 3 "'hole': with its holes, the sources hold more than 68719476736 bytes; --limit allows more" d
	tar -C d --sparse -cf d.tar hole
	refused 3 "'d.tar': unpacked, the sources hold more than 68719476736 bytes; --limit allows more" d.tar
	truncate -s 3M d/hole
	works mlimg-mkfs --quiet --kind system --name a d a.img
	refused 3 "'hole': with its holes, the sources hold more than 2097152 bytes; --limit allows more" --limit 2M a.img
	works mlimg-mkfs --quiet --kind user --size 16M --name u d u.img
	refused 3 "'hole': with its holes, the sources hold more than 2097152 bytes; --limit allows more" --limit 2M u.img
	# Those of all sources together.
	truncate -s 1500K d/hole
	works mlimg-mkfs --quiet --kind software --name x --limit 2M d x.img
	rm x.img && mkdir e && truncate -s 1500K e/hole2
	refused 3 "'hole': with its holes, the sources hold more than 2097152 bytes; --limit allows more" --limit 2M d e
}

@test "mkfs: blocks that many files of a layer share cost no more than they hold" {
	mkdir d && head -c 1000000 /dev/urandom >d/1
	tee d/2 d/3 d/4 d/5 <d/1 >/dev/null
	mlimg-mkfs --quiet --dedupe --kind software --name x d x.img
	[ "$(stat -c %s x.img)" -lt 2000000 ] && mv x.img a.img
	refused 3 "'4': with its holes, the sources hold more than 2000000 bytes; --limit allows more" --limit 2000000 a.img
	works mlimg-mkfs --quiet --kind software --name x --limit 5M a.img x.img
}

@test "mkfs: who ends while a hole is hashed does not hash it to its end" {
	mkdir d
	truncate -s 1T d/hole || skip "needs a file system with such files"
	head -c 3000000 /dev/zero >d/more
	tar -C d --sparse -b 1 -cf d.tar hole more
	truncate -s -1024 d.tar
	refused 3 "'d.tar': damaged archive: the mark of its end is missing" --limit 2T d.tar
}

@test "mkfs: marks of overlayfs smuggled into each form" {
	local name=trusted.overlay.redirect
	mkdir d && touch d/file
	for key in SCHILY.xattr LIBARCHIVE.xattr; do
		value=/etc/shadow
		[ $key = SCHILY.xattr ] || value=$(base64 <<<"$value")
		tar --format=posix --pax-option="$key.$name:=$value" -C d -cf a.tar file
		refused 3 "'file': $name cannot be kept in a layer" a.tar
		refused 3 "'file': $name cannot be kept in a layer" --form tar - <a.tar
	done
	# A layer whose manifest has it, as no layer that mlimg-mkfs made.
	echo "ea_set /rootfs/file ${name%.*}.unheard-of /etc/shadow" >script
	handmade-layer -k software -d script d a.img
	refused 3 "'file': trusted.overlay.unheard-of cannot be kept in a layer" a.img
	handmade-layer -k software d a.img
	debugfs -w -R "ea_set /rootfs/file $name /etc/shadow" a.img 2>/dev/null
	refused 3 "a.img: './file' is not what its manifest says" a.img
	echo "ea_set /upper/file ${name%.*}.unheard-of /etc/shadow" >script
	handmade-layer -k user -s 16M -d script d u.img
	refused 3 "'file': trusted.overlay.unheard-of cannot be kept in a layer" u.img
	need root
	setfattr -n $name -v /etc/shadow d/file
	refused 3 "'file' has $name: an upper of overlayfs is read with --form upper" --form dir d
	refused 3 "'file' has $name, which is none of unionfs-fuse's" --form unionfs d
}

@test "mkfs: what is no source does not block" {
	mkfifo fifo
	for form in dir unionfs upper-userxattr; do
		refused 1 "open 'fifo': Not a directory" --form $form fifo
	done
	for form in layer user; do
		run --separate-stderr timeout 60 mlimg-mkfs --kind system --name x --form $form fifo x.img
		[[ $status == 1 || $status == 3 ]]
		nothing_left "--form $form fifo"
	done
}

@test "mkfs: sockets, FIFOs and devices in a directory" {
	need command socat
	mkdir d && mkfifo d/fifo && mknod d/whiteout c 0 0
	socat UNIX-LISTEN:d/socket,unlink-close=0 EXEC:true 3>&- &
	for _ in {1..3000}; do
		[ -S d/socket ] && break
		sleep 0.02
	done
	kill $!
	works timeout 60 mlimg-mkfs --quiet --kind software --name x d x.img
	same types $'dir\nfifo\nsocket\nchar' "$(mlimg-inspect x.img manifest | sed -n 's/^\..* type=\([a-z]*\).*/\1/p')"
}
