#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-mkfs: layer images, uppers of overlayfs and branches of unionfs-fuse as sources. With real mounts: root/mkfs-uppers.bats.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
	kind=software
}

# made ARGUMENT…: x.img of these is sound
made() {
	works mlimg-mkfs --quiet --force --kind "$kind" --name x "$@" x.img || return
	fsck_clean x.img || return
	works mlimg-inspect x.img verify
}

# refused STATUS MESSAGE ARGUMENT…: of a layer of $kind
refused() {
	mkfs_refused "$1" "$2" "$kind" "${@:3}"
}

# names IMAGE: types and paths, opaque directories marked
names() {
	mlimg-inspect "$1" manifest | sed -nE '/^#/d; s,^(\.[^ ]*) type=([a-z]+).*trusted.overlay.opaque:eQ.*,\2 \1 opaque,; s,^(\.[^ ]*) type=([a-z]+) .*,\2 \1,; p'
}

# debug IMAGE COMMAND…: debugfs commands, one an argument
debug() {
	local image=$1
	shift
	printf '%s\n' "$@" >script
	run debugfs -w -f script "$image"
	rm script
	run grep -v -e '^debugfs' -e 'Allocated inode' -e '^Filesystem features' <<<"$output"
	same "what debugfs says" "" "$output"
}

# pure_layer NAME TREE: a system layer of it
pure_layer() {
	works mlimg-mkfs --quiet --force --kind system --name "${1%.img}" --version 1 "$2" "$1"
}

@test "mkfs: a layer of a layer is the same layer" {
	mkdir -p d/sub
	echo hello >d/file && ln d/file d/sub/link && ln -s file d/symlink && mkfifo d/fifo
	setfattr -n user.colour -v blue d/file
	truncate -s 10M d/holes && echo end >>d/holes
	head -c 3000000 /dev/urandom >d/random
	pure_layer a.img d
	works mlimg-mkfs --quiet --kind system --name a --version 1 a.img b.img
	same "build id" "$(mlimg-inspect --json a.img show | jq -r .build_id)" "$(mlimg-inspect --json b.img show | jq -r .build_id)"
	cmp a.img b.img
	works mlimg-mkfs --quiet --kind system --name a --version 1 --form layer a.img c.img
	cmp a.img c.img
	[ "$(stat -c %b b.img)" -lt 8000 ] # 512 bytes each: the hole is one
}

@test "mkfs: layers are merged as sources, and make one" {
	mkdir -p base/dir base/gone top/dir
	touch base/dir/below base/gone/file top/dir/above
	mknod top/gone c 0 0
	pure_layer base.img base
	kind=software made top && mv x.img top.img
	same names $'dir .\ndir ./dir\nfile ./dir/above\nchar ./gone' "$(names top.img)"
	kind=system made base.img top.img
	same names $'dir .\ndir ./dir\nfile ./dir/above\nfile ./dir/below' "$(names x.img)"
	kind=system refused 3 "'gone': whiteout in a system layer, which has nothing beneath it" top.img
}

@test "mkfs: a layer that is not what its manifest says" {
	mkdir d && echo contents >d/file && echo other >d/file2 && pure_layer good.img d
	local block
	block=$(debugfs -R 'blocks /rootfs/file' good.img 2>/dev/null | tr -d ' \n')
	cp good.img a.img
	printf X | dd of=a.img bs=1 seek=$((block * 4096)) conv=notrunc status=none
	refused 3 "a.img: './file' has other contents than its manifest says" a.img
	cp good.img a.img && debug a.img 'set_inode_field /rootfs/file mode 0100600'
	refused 3 "a.img: './file' is not what its manifest says" a.img
	cp good.img a.img && debug a.img 'unlink /rootfs/file2'
	refused 3 "a.img: './file2' is not what its manifest says" a.img
	cp good.img a.img && debug a.img 'link /rootfs/file /rootfs/file3'
	refused 3 "a.img: './file3' is not what its manifest says" a.img
	cp good.img a.img && debug a.img 'ea_set /rootfs/file trusted.overlay.metacopy y'
	refused 3 "a.img: './file' is not what its manifest says" a.img
	cp good.img a.img && debug a.img 'ea_set /rootfs/file trusted.overlay.redirect /file2'
	refused 3 "a.img: './file' is not what its manifest says" a.img
	cp good.img a.img && truncate -s -4096 a.img
	run --separate-stderr mlimg-mkfs --kind system --name x a.img x.img
	same "exit code of a truncated layer" 3 "$status"
	mke2fs -q -t ext4 other.img 8M
	run --separate-stderr mlimg-mkfs --kind system --name x other.img x.img
	# shellcheck disable=SC2154 # run sets it
	[[ $status == 3 && $stderr == *"other.img"* ]]
}

@test "mkfs: which layers a form reads" {
	mkdir d && pure_layer a.img d
	works mlimg-mkfs --quiet --kind user --size 16M --name u u.img
	refused 3 "'a.img' is a system layer, which --form user does not read" --form user a.img
	refused 3 "'u.img' is a user layer, which --form layer does not read" --form layer u.img
	mkdir e
	refused 3 "'e': not a tar archive" --form tar e || refused 1 "read 'e': Is a directory" --form tar e
	refused 1 "open 'a.img': Not a directory" --form dir a.img
	refused 1 "open 'a.img': Not a directory" --form unionfs a.img
}

@test "mkfs: a user layer's upper" {
	mkdir -p d/dir
	echo hello >d/dir/file && ln d/dir/file d/link
	works mlimg-mkfs --quiet --kind user --size 16M --name u d u.img
	debug u.img 'cd /upper' 'mknod gone c 0 0' 'mkdir closed' 'ea_set closed trusted.overlay.opaque y' \
		'ea_set dir trusted.overlay.impure y' 'ea_set dir/file trusted.overlay.origin somewhere' 'mkdir /mlimg/state'
	made u.img
	same names $'dir .\ndir ./closed opaque\ndir ./dir\nfile ./dir/file\nchar ./gone\nfile ./link' "$(names x.img)"
	same "contents" hello "$(mlimg-inspect x.img cat link)"
	run grep -c -e impure -e origin <(mlimg-inspect x.img manifest)
	same "marks left" 0 "$output"
	made --form user u.img
	debug u.img 'ea_set /upper/dir trusted.overlay.redirect /elsewhere'
	refused 3 "'dir' was renamed from 'elsewhere' and has entries only beneath the upper: give the layers beneath with --over" u.img
	debug u.img 'feature +needs_recovery'
	refused 3 "u.img: its journal holds changes (a guest is using it, or stopped without unmounting it; then 'e2fsck -p' writes them)" u.img
}

@test "mkfs: a user layer that a guest was changing when it stopped" {
	local name what
	while read -r name what; do
		works mlimg-mkfs --quiet --force --kind user --size 16M --name u u.img
		debug u.img 'cd /mlimg' "mkdir $name"
		refused 3 "u.img: $what was interrupted, so that its upper shows it in part: boot a guest with it once, which ends that" u.img
	done <<-'END'
		reconcile.plan a change of the stack
		convert.plan a conversion for another union driver
		reset-begun a factory reset
	END
}

# upper: a directory that looks like the upper of an overlay mounted with userxattr, which needs no root
upper() {
	rm -rf u
	mkdir -p u/etc u/closed
	touch u/etc/file u/closed/file
	setfattr -n user.overlay.impure -v y u
	setfattr -n user.overlay.opaque -v y u/closed
	setfattr -n user.overlay.origin -v "" u/etc/file
	mknod u/gone c 0 0
}

@test "mkfs: an upper of an overlay mounted with userxattr" {
	upper
	made u
	same names $'dir .\ndir ./closed opaque\nfile ./closed/file\ndir ./etc\nfile ./etc/file\nchar ./gone' "$(names x.img)"
	run grep -c 'user.overlay' <(mlimg-inspect x.img manifest)
	same "marks left" 0 "$output"
	made --form upper-userxattr u
	mlimg-inspect x.img manifest | grep -q opaque
	# For another overlay they are ordinary xattrs, which a user may have set.
	made --form dir u
	same names $'dir .\ndir ./closed\nfile ./closed/file\ndir ./etc\nfile ./etc/file\nchar ./gone' "$(names x.img)"
	# Merged with what lies beneath.
	mkdir -p base/closed base/gone && touch base/closed/below
	kind=system made base u
	same names $'dir .\ndir ./closed\nfile ./closed/file\ndir ./etc\nfile ./etc/file' "$(names x.img)"
}

@test "mkfs: whiteouts that are files" {
	upper
	mkdir u/x && setfattr -n user.overlay.opaque -v x u/x
	touch u/x/removed u/x/kept && setfattr -n user.overlay.whiteout -v "" u/x/removed
	made u
	[[ $(names x.img) == *$'dir ./x\nfile ./x/kept\nchar ./x/removed' ]]
	echo data >u/x/removed
	refused 3 "'x/removed': user.overlay.whiteout on a file that is not empty" u
	: >u/x/removed
	setfattr -x user.overlay.opaque u/x
	refused 3 "'x/removed': user.overlay.whiteout in a directory whose user.overlay.opaque is not \"x\"" u
}

@test "mkfs: marks of an upper that nobody can mean" {
	local bad
	upper && setfattr -n user.overlay.opaque -v z u/etc
	refused 3 "'etc': user.overlay.opaque that is neither \"y\" nor \"x\" on a directory" u
	upper && setfattr -n user.overlay.opaque -v y u/etc/file
	refused 3 "'etc/file': user.overlay.opaque that is neither \"y\" nor \"x\" on a directory" u
	upper && setfattr -n user.overlay.unheard-of -v y u/etc/file
	refused 3 "'etc/file': user.overlay.unheard-of cannot be kept in a layer" u
	upper && setfattr -n user.overlay.metacopy u/etc
	refused 3 "'etc': user.overlay.metacopy on a directory" u
	upper && setfattr -n user.overlay.whiteout u/etc
	refused 3 "'etc': user.overlay.whiteout on a directory" u
	upper && setfattr -n user.overlay.metacopy u/etc/file
	refused 3 "'etc/file' has its contents only beneath the upper: give the layers beneath with --over" u
	# A redirect on a file that is no metacopy is left over.
	upper && setfattr -n user.overlay.redirect -v /x u/etc/file
	made u
	for bad in a/b / /a/ //a /a//b /.. /a/../b /a/. . ..; do
		upper && setfattr -n user.overlay.redirect -v "$bad" u/etc
		refused 3 "'etc': user.overlay.redirect is not a valid path" u
	done
	upper && setfattr -n user.overlay.redirect -v 0x2f6100 u/etc
	refused 3 "'etc': user.overlay.redirect is not a valid path" u
	# Renamed and back, or with nothing of the lower one left.
	upper && setfattr -n user.overlay.redirect -v /etc u/etc
	made u
	upper && setfattr -n user.overlay.redirect -v /etc u/closed
	made u
	upper && setfattr -n user.overlay.redirect -v old u/etc
	refused 3 "'etc' was renamed from 'old' and has entries only beneath the upper: give the layers beneath with --over" u
}

# over_base: base.img, a system layer that an upper with redirects lay over
over_base() {
	rm -rf base u
	mkdir -p base/old/sub base/other base/etc
	echo one >base/old/file && echo two >base/old/sub/deep && ln base/old/file base/old/link
	touch base/other/unrelated
	seq 2000 >base/etc/conf && chmod 0600 base/etc/conf
	pure_layer base.img base
	mkdir -p u/new && setfattr -n user.overlay.redirect -v /old u/new
}

@test "mkfs: renamed directories and metacopies take what lies beneath" {
	over_base
	made --form upper-userxattr --over base.img u
	same names $'dir .\ndir ./new opaque\nfile ./new/file\nfile ./new/link\ndir ./new/sub\nfile ./new/sub/deep' "$(names x.img)"
	same contents "one two" "$(mlimg-inspect x.img cat new/link) $(mlimg-inspect x.img cat new/sub/deep)"
	same "hard links" 2 "$(mlimg-inspect x.img manifest | grep -c links:1:2)"
	# What the upper has in it wins; what it removed is gone, without a whiteout.
	echo mine >u/new/file && mknod u/new/link c 0 0 && mkdir u/new/sub && setfattr -n user.overlay.opaque -v y u/new/sub
	made --form upper-userxattr --over base.img u
	same names $'dir .\ndir ./new opaque\nfile ./new/file\ndir ./new/sub opaque' "$(names x.img)"
	same contents mine "$(mlimg-inspect x.img cat new/file)"
	# A name in the parent; below a renamed one, in that one's.
	over_base && setfattr -n user.overlay.redirect -v old u/new
	mkdir u/new/renamed && setfattr -n user.overlay.redirect -v sub u/new/renamed && mknod u/new/sub c 0 0
	made --form upper-userxattr --over base.img u
	[[ $(names x.img) == $'dir .\ndir ./new opaque\nfile ./new/file\nfile ./new/link\ndir ./new/renamed'*$'\nfile ./new/renamed/deep' ]]
	# Contents only.
	over_base && mkdir u/etc && truncate -s "$(stat -c %s base/etc/conf)" u/etc/conf u/moved && chmod 0644 u/etc/conf
	setfattr -n user.overlay.metacopy u/etc/conf && setfattr -n user.overlay.metacopy u/moved
	setfattr -n user.overlay.redirect -v /etc/conf u/moved
	made --form upper-userxattr --over base.img u
	mlimg-inspect x.img cat etc/conf | cmp - base/etc/conf
	mlimg-inspect x.img cat moved | cmp - base/etc/conf
	mlimg-inspect x.img manifest | grep -q '^./etc/conf type=file mode=0644 '
}

@test "mkfs: a user layer keeps redirects, of one source, and has no metacopies" {
	local kind=user
	over_base && mknod u/new/gone c 0 0
	works mlimg-mkfs --quiet --force --kind user --size 16M --name x --form upper-userxattr u x.img
	fsck_clean x.img
	same "marks" './new trusted.overlay.redirect:L29sZA==' "$(mlimg-inspect x.img manifest | sed -n 's/^\([^ ]*\) .*xattr:\(.*redirect[^ ]*\)$/\1 \2/p')"
	same names $'dir .\ndir ./new\nchar ./new/gone' "$(names x.img)"
	refused 3 "'new' was renamed from 'old', which a user layer keeps when it is made of one source only" --size 16M --form upper-userxattr u u
	mkdir u/etc && truncate -s 9 u/etc/conf && setfattr -n user.overlay.metacopy u/etc/conf
	refused 3 "'etc/conf' has its contents only beneath the upper, which a user layer cannot have: ': >>FILE' in the mounted overlay copies them" \
		--size 16M --form upper-userxattr u
	# No other form passes marks on.
	mkdir -p x/d && setfattr -n trusted.overlay.redirect -v /old x/d 2>/dev/null || return 0
	tar --format=posix --xattrs --xattrs-include='*' -C x -cf bad.tar d
	refused 3 "'d': trusted.overlay.redirect cannot be kept in a layer" --size 16M bad.tar
}

@test "mkfs: redirects and metacopies that do not fit what lies beneath" {
	local block
	over_base && setfattr -n user.overlay.redirect -v /gone u/new
	refused 3 "'new' was renamed from 'gone', which is no directory in the layers of --over" --form upper-userxattr --over base.img u
	setfattr -n user.overlay.redirect -v /etc/conf u/new
	refused 3 "'new' was renamed from 'etc/conf', which is no directory in the layers of --over" --form upper-userxattr --over base.img u
	over_base && truncate -s 10 u/conf && setfattr -n user.overlay.metacopy u/conf
	refused 3 "'conf' has the contents of 'conf', which is no file of 10 bytes in the layers of --over" --form upper-userxattr --over base.img u
	setfattr -n user.overlay.redirect -v /etc/conf u/conf
	refused 3 "'conf' has the contents of 'etc/conf', which is no file of 10 bytes in the layers of --over" --form upper-userxattr --over base.img u
	over_base
	block=$(debugfs -R 'blocks /rootfs/old/sub/deep' base.img 2>/dev/null | tr -d ' \n')
	printf X | dd of=base.img bs=1 seek=$((block * 4096)) conv=notrunc status=none
	refused 3 "'old/sub/deep' in the layers beneath is not what their manifest says" --form upper-userxattr --over base.img u
}

@test "mkfs: marks of the other kind of upper" {
	need root
	upper && setfattr -n trusted.overlay.opaque -v y u/etc
	refused 3 "'etc': trusted.overlay.opaque in an upper whose marks are user.overlay.*" --form upper-userxattr u
	# Its root has both, so trusted ones count, and the others are a user's own.
	upper && setfattr -n trusted.overlay.impure -v y u
	made u
	[[ $(names x.img) == *$'dir ./closed\n'* ]]
	mlimg-inspect x.img manifest | grep -q '^./closed .*user.overlay.opaque'
	for mark in redirect metacopy whiteout; do
		rm -rf d && mkdir d && touch d/file && setfattr -n "trusted.overlay.$mark" -v y d/file
		refused 3 "'file' has trusted.overlay.$mark: an upper of overlayfs is read with --form upper" d
	done
}

@test "mkfs: an upper needs somebody who sees its marks" {
	need command setpriv
	[ "$(id -u)" -eq 0 ] || skip "needs root, to become somebody else"
	mkdir u && chmod 777 .
	cp "$(command -v mlimg-mkfs)" .
	fails 1 "mlimg-mkfs: read 'u': marks of overlayfs (trusted.overlay.*) show to root only: Operation not permitted" \
		setpriv --reuid 65534 --regid 65534 --clear-groups ./mlimg-mkfs --kind software --form upper u x.img
	works setpriv --reuid 65534 --regid 65534 --clear-groups ./mlimg-mkfs --quiet --kind software --form upper-userxattr u x.img
}

# branch: a branch of unionfs-fuse
branch() {
	rm -rf b
	mkdir -p b/.unionfs-fuse/etc b/etc
	touch b/etc/new
	touch b/.unionfs-fuse/file_HIDDEN~ b/.unionfs-fuse/etc/gone_HIDDEN~
	mkdir b/.unionfs-fuse/dir_HIDDEN~
}

@test "mkfs: a branch of unionfs-fuse" {
	branch
	touch b/etc/a_HIDDEN~ b/.unionfs-fuse/neither b/.unionfs-fuse/_HIDDEN~ b/.unionfs-fuse/.._HIDDEN~
	made b
	same names $'dir .\nchar ./dir\ndir ./etc\nfile ./etc/a_HIDDEN~\nchar ./etc/gone\nfile ./etc/new\nchar ./file' "$(names x.img)"
	made --form unionfs b
	# A directory is made again: what it had before stays hidden.
	mkdir b/dir && touch b/dir/new
	made b
	[[ $(names x.img) == *$'dir ./dir opaque\nfile ./dir/new\n'* ]]
	# Markers below what is hidden, or below what is no directory any more, mean nothing.
	branch
	mkdir b/.unionfs-fuse/dir b/.unionfs-fuse/was && touch b/.unionfs-fuse/dir/x_HIDDEN~ b/.unionfs-fuse/was/y_HIDDEN~ b/was
	made b
	same names $'dir .\nchar ./dir\ndir ./etc\nchar ./etc/gone\nfile ./etc/new\nchar ./file\nfile ./was' "$(names x.img)"
	# As a directory it is what it is.
	made --form dir b
	[[ $(names x.img) == *./.unionfs-fuse/dir_HIDDEN~* ]]
	# On top of what it was made over.
	mkdir -p base/etc base/dir base/was && touch base/etc/gone base/etc/kept base/dir/a base/was/x base/file
	kind=system made base b
	same names $'dir .\ndir ./etc\nfile ./etc/kept\nfile ./etc/new\nfile ./was' "$(names x.img)"
}

@test "mkfs: a branch of unionfs-fuse that hides something in a directory it does not have" {
	branch
	mkdir -p b/.unionfs-fuse/root/deep && touch b/.unionfs-fuse/root/deep/x_HIDDEN~
	refused 3 "'root': the branch hides something in it, but does not have the directory itself: give the layers beneath with --over" b
	# A source beneath tells what the directory is.
	mkdir base && mkdir -m 0700 base/root && mkdir -m 0711 base/root/deep && touch base/root/deep/x
	made base b
	same names $'dir .\nchar ./dir\ndir ./etc\nchar ./etc/gone\nfile ./etc/new\nchar ./file\ndir ./root\ndir ./root/deep\nchar ./root/deep/x' "$(names x.img)"
	mlimg-inspect x.img manifest | grep -q '^./root type=dir mode=0700 '
	mlimg-inspect x.img manifest | grep -q '^./root/deep type=dir mode=0711 '
}

@test "mkfs: what a branch of unionfs-fuse may not have" {
	branch && mknod b/device c 0 0
	refused 3 "'device' is a device 0,0, which in a layer would be a whiteout" b
	need root
	branch && setfattr -n trusted.overlay.opaque -v y b/etc
	refused 3 "'etc' has trusted.overlay.opaque, which is none of unionfs-fuse's" b
}
