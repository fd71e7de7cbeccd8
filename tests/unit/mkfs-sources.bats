#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-mkfs: several sources in one layer, and how much a packed one may hold. Random stacks: test_source_merge.c.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# sound IMAGE: e2fsck finds nothing, and the parts of the image agree.
sound() {
	fsck_clean "$1" || return
	works mlimg-inspect "$1" show
}

# merged KIND SOURCE…: x.img of these
merged() {
	local kind=$1
	shift
	works mlimg-mkfs --quiet --force --kind "$kind" --name merged "$@" x.img && sound x.img
}

# names IMAGE: types and paths, in order
names() {
	mlimg-inspect "$1" manifest | sed -n 's,^\./\([^ ]*\) type=\([^ ]*\).*,\2 \1,p'
}

@test "mkfs: later sources lie on top, whatever they are" {
	mkdir -p base/etc base/lib top/etc
	echo base | tee base/etc/both base/etc/kept base/lib/file >/dev/null
	echo top >top/etc/both
	chmod 0700 top/etc
	tar -C top -cf top.tar etc/both
	merged system base top
	same "the file of both" top "$(mlimg-inspect x.img cat etc/both)"
	same names $'dir etc\nfile etc/both\nfile etc/kept\ndir lib\nfile lib/file' "$(names x.img)"
	[[ $(mlimg-inspect x.img manifest) == *$'\n./etc type=dir mode=0700 '* ]]
	# The tar does not have the directory itself, so its attributes are the ones beneath.
	merged system base top.tar
	same "the file of both" top "$(mlimg-inspect x.img cat etc/both)"
	[[ $(mlimg-inspect x.img manifest) == *$'\n./etc type=dir mode=0755 '* ]]
	merged system top.tar base
	same "the file of both" base "$(mlimg-inspect x.img cat etc/both)"
	merged system base - <top.tar
	same "the file of both" top "$(mlimg-inspect x.img cat etc/both)"
}

@test "mkfs: what is hidden takes no room in the image" {
	mkdir -p base/dir top
	head -c 5000000 /dev/urandom >base/large
	cp base/large base/dir/large
	echo small >top/large
	echo none >top/dir
	merged system base top
	[ "$(stat -c %s x.img)" -lt 1000000 ]
}

@test "mkfs: whiteouts and opaque directories of a source act on those beneath it" {
	mkdir -p base/gone base/opaque base/again
	touch base/gone/a base/opaque/a base/again/a base/file
	spec_tar top.tar <<-'END'
		./again type=char device=native,0,0 mode=0 uid=0 gid=0 time=1.0
		./file type=char device=native,0,0 mode=0 uid=0 gid=0 time=1.0
		./gone type=char device=native,0,0 mode=0 uid=0 gid=0 time=1.0
		./never type=char device=native,0,0 mode=0 uid=0 gid=0 time=1.0
	END
	mkdir -p opaque/opaque third/again
	touch opaque/opaque/b third/again/b
	tar --format=posix --pax-option='SCHILY.xattr.trusted.overlay.opaque:=y' -C opaque -cf opaque.tar --no-recursion opaque
	tar -C opaque -rf opaque.tar opaque/b
	merged system base top.tar opaque.tar third
	same names $'dir again\nfile again/b\ndir opaque\nfile opaque/b' "$(names x.img)"
	run grep -c overlay <(mlimg-inspect x.img manifest)
	same "marks left in a system layer" 0 "$output"
	# In a software layer they stay, and what ended a directory of the sources ends it beneath the layer too.
	merged software base top.tar opaque.tar third
	same names $'dir again\nfile again/b\nchar file\nchar gone\nchar never\ndir opaque\nfile opaque/b' "$(names x.img)"
	same "opaque directories" $'./again\n./opaque' "$(mlimg-inspect x.img manifest | sed -n 's/ .*xattr:trusted.overlay.opaque:eQ.*//p')"
	mkfs_refused 3 "'again': whiteout in a system layer, which has nothing beneath it" system top.tar base
}

@test "mkfs: a hard link whose other name is hidden keeps its contents" {
	mkdir base top
	echo contents >base/a
	ln base/a base/b
	ln base/a base/c
	ln -s target base/link
	ln base/link base/link2
	echo other >top/a
	echo other >top/link
	tar -C base -cf base.tar a b c link link2
	for base in base base.tar base.tar.gz; do
		[ -e "$base" ] || gzip base.tar
		merged system "$base" top
		same "a of $base" other "$(mlimg-inspect x.img cat a)"
		same "b of $base" contents "$(mlimg-inspect x.img cat b)"
		same "links of $base" 2 "$(mlimg-inspect x.img manifest | grep -c 'tags=links:1:2')"
		[[ $(mlimg-inspect x.img manifest) == *$'\n./link2 type=link '*" link=target"* ]]
		[ "$base" != base ] || continue
	done
	# A pipe is read once, so a copy is kept until the end.
	merged system - top < <(gzip -dc base.tar.gz)
	same "b of a pipe" contents "$(mlimg-inspect x.img cat b)"
}

@test "mkfs: what does not fit together" {
	mkdir -p base/d top
	touch base/d/f base/f
	ln -s d base/link
	tar -C base -cf below.tar --transform 's,^f,link/f,' f
	mkfs_refused 3 "'link' is not a directory, but a source above has entries in it" system base below.tar
	tar -C base -cf below.tar --transform 's,^f,f/x,' f
	mkfs_refused 3 "'f' is not a directory, but a source above has entries in it" system base below.tar
	# A directory that the source has itself takes the link's place.
	mkdir top/link && touch top/link/f
	tar -C top -cf above.tar link
	merged system base above.tar
	same names $'dir d\nfile d/f\nfile f\ndir link\nfile link/f' "$(names x.img)"
	# A hard link to what is nowhere, though something above has the name.
	ln base/f base/g
	tar -C base -cf a.tar f g
	tar --delete -f a.tar f
	touch top/f
	mkfs_refused 3 "'a.tar': hard link 'g' to 'f', which is not there" system a.tar top
	# A hard link to a hard link; no tar writes such.
	ln base/f base/h
	tar -C base -cf a.tar f g && tar -C base -rf a.tar f h --transform 's,^f,g,RSh'
	merged system a.tar
	touch top/g
	mkfs_refused 3 "'a.tar': hard link 'h' to 'g', which is itself a hard link or a directory" system a.tar top
	mkfs_refused 1 "open 'missing': No such file or directory" system missing top
	local many
	mapfile -t many < <(yes base | head -n 65)
	fails 2 $'mlimg-mkfs: more than 64 sources\nTry \'mlimg-mkfs --help\' for more information.' \
		mlimg-mkfs --kind system --name x "${many[@]}" x.img
}

@test "mkfs: what archives may hold unpacked" {
	mkdir d && head -c 3000000 /dev/zero >d/zeros && truncate -s 9000000 d/hole
	tar -C d -czf zeros.tar.gz zeros
	tar -C d --sparse -cf hole.tar hole
	mkfs_refused 3 "'zeros.tar.gz': unpacked, the sources hold more than 2097152 bytes; --limit allows more" system --limit 2M zeros.tar.gz
	mkfs_refused 3 "'hole.tar': unpacked, the sources hold more than 2097152 bytes; --limit allows more" system --limit 2M hole.tar
	works mlimg-mkfs --quiet --kind system --limit 3000512 zeros.tar.gz x.img
	mkfs_refused 3 "'zeros.tar.gz': unpacked, the sources hold more than 3000511 bytes; --limit allows more" system --limit 3000511 zeros.tar.gz
	# Each is small enough, both together are not.
	mkfs_refused 3 "'zeros.tar.gz': unpacked, the sources hold more than 10485760 bytes; --limit allows more" system --limit 10M zeros.tar.gz hole.tar
	# Of a directory only the holes count.
	works mlimg-mkfs --quiet --kind system --force --limit 9000000 d x.img
	mkfs_refused 3 "'hole': with its holes, the sources hold more than 8999999 bytes; --limit allows more" system --limit 8999999 d
	fails 2 $'mlimg-mkfs: \'x\' is not a size (a whole number, then K, M, G or T if wanted)\nTry \'mlimg-mkfs --help\' for more information.' \
		mlimg-mkfs --kind system --limit x d x.img
}
