#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-mkfs --owner-map, and building as somebody who is not root.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# wrong MESSAGE MAP: wrong usage
wrong() {
	fails 2 "mlimg-mkfs: --owner-map: $1"$'\n'"Try 'mlimg-mkfs --help' for more information." \
		mlimg-mkfs --kind system --owner-map "$2" d x.img
}

# refused MESSAGE ARGUMENT…
refused() {
	local message=$1
	shift
	rm -f x.img
	fails 3 "mlimg-mkfs: $message" mlimg-mkfs --kind system --name x "$@" x.img || return
	same "files after: $*" "" "$(find . -name x.img -o -name '.mlimg*')"
}

# owners ARGUMENT…: paths and owners of x.img made of these
owners() {
	works mlimg-mkfs --quiet --force --kind system --name x "$@" x.img || return
	mlimg-inspect x.img manifest | sed -nE 's,^(\.[^ ]*) .* uid=([0-9]+) gid=([0-9]+) .*,\1 \2:\3,p'
}

# owned_tar: a.tar, whose root is 100000's and which has a file of 101000:102000
owned_tar() {
	spec_tar a.tar <<-'END'
		. type=dir mode=0755 uid=100000 gid=100000 time=1.0
		./a type=dir mode=0755 uid=100000 gid=100000 time=1.0
		./b type=dir mode=0755 uid=101000 gid=102000 time=1.0
	END
}

@test "mkfs: --owner-map that is none" {
	mkdir d
	local bad
	for bad in '' 1 1: :1 1:2: 1:2:0 1:2:3:4 x:1:2 u: u:1 'u:1:2,' ',1:2' 1:2:x -1:2 '1:2 ' 4294967295:0 0:4294967295 \
		1:2:4294967295 99999999999999999999:1 all all= all=1 all=1: all=1:2:3 all=-1:0 all=u:1 ALL=1:2; do
		wrong "'$(last_bad "$bad")' is neither [u:|g:|b:]FROM:TO[:COUNT] nor all=UID:GID" "$bad"
	done
	wrong "more than one all=" all=1:1,all=1:1
	wrong "more than 340 parts" "$(seq -s, -f '%.0f:0' 341)"
	fails 2 $'mlimg-mkfs: more than one --owner-map\nTry \'mlimg-mkfs --help\' for more information.' \
		mlimg-mkfs --kind system --owner-map 0:0 --owner-map 0:0 d x.img
}

# The part of a list that is wrong: the empty one, if there is one.
last_bad() {
	case $1 in
		*,* | '') ;;
		*) echo "$1" ;;
	esac
}

@test "mkfs: --owner-map: ranges, users and groups, the rest" {
	owned_tar
	same "both" $'. 0:0\n./a 0:0\n./b 1000:2000' "$(owners --owner-map 100000:0:65536 a.tar)"
	same "users and groups" $'. 0:5\n./a 0:5\n./b 1000:2005' \
		"$(owners --owner-map u:100000:0:65536,g:100000:5:65536 a.tar)"
	same "from the first part that knows it" $'. 0:0\n./a 0:0\n./b 7:2000' \
		"$(owners --owner-map u:101000:7,100000:0:65536,u:101000:8 a.tar)"
	same "single numbers" $'. 7:7\n./a 7:7\n./b 8:9' "$(owners --owner-map 100000:7,u:101000:8,g:102000:9 a.tar)"
	same "the rest" $'. 0:0\n./a 0:0\n./b 3:4' "$(owners --owner-map all=3:4,b:100000:0 a.tar)"
	same "all" $'. 0:0\n./a 0:0\n./b 0:0' "$(owners --owner-map all=0:0 a.tar)"
	same "the ends of a range" $'. 65535:65535\n./a 65535:65535\n./b 1:2' \
		"$(owners --owner-map 34465:0:65536,u:101000:1,g:102000:2 a.tar)"
	refused "'b': its owner is user 101000, which --owner-map does not have" --owner-map 100000:0 a.tar
	refused "'b': its owner is group 102000, which --owner-map does not have" --owner-map 100000:0,u:101000:0 a.tar
	refused "'.': its owner is user 100000, which --owner-map does not have" --owner-map 34464:0:65536 a.tar
}

@test "mkfs: --owner-map maps every kind of source" {
	local id
	owned_tar
	id=$(owners --owner-map 100000:0:65536 a.tar >/dev/null && mlimg-inspect x.img manifest | sha256sum)
	works mlimg-mkfs --quiet --kind system --name x a.tar layer.img
	works mlimg-mkfs --quiet --kind user --size 16M --name x a.tar user.img
	for source in layer.img user.img; do
		owners --owner-map 100000:0:65536 $source >/dev/null
		same "manifest from $source" "$id" "$(mlimg-inspect x.img manifest | sha256sum)"
	done
	need root
	mkdir d && tar -C d --numeric-owner -xpf a.tar
	for form in dir upper unionfs; do
		owners --form $form --owner-map 100000:0:65536 d >/dev/null
		same "manifest from a directory as $form" "$id" "$(mlimg-inspect x.img manifest | sha256sum)"
		refused "'b': its owner is user 101000, which --owner-map does not have" --form $form --owner-map 100000:0 d
	done
}

@test "mkfs: --owner-map: ACLs and file capabilities" {
	need root
	need command setfacl setcap
	mkdir d && touch d/file d/cap
	setfacl -m u:101000:rw,g:102000:r d/file
	cp "$(command -v true)" d/cap && setcap -n 100000 cap_net_raw+ep d/cap
	chown -R 100000:100000 d && setcap -n 100000 cap_net_raw+ep d/cap
	owners --owner-map 100000:0:65536 d >/dev/null
	# Version, user:: 6, user:1000 6, group:: 4, group:2000 4, mask 6, other 4; numbers are little-endian.
	same "ACL" 02000000 "$(acl_of file | cut -c 1-8)"
	[[ $(acl_of file) == *02000600e8030000*08000400d0070000* ]]
	# Version 2, effective, CAP_NET_RAW (13).
	same "capability" 0100000200200000000000000000000000000000 "$(xattr_of cap security.capability)"
	owners --owner-map 100000:5:65536 d >/dev/null
	same "capability of another root" 010000030020000000000000000000000000000005000000 "$(xattr_of cap security.capability)"
	setfacl -m u:99999:r d/file
	refused "'file': its ACL names user 99999, which --owner-map does not have" --owner-map 100000:0:65536 d
	setfacl -x u:99999 d/file && setfacl -m g:99999:r d/file
	refused "'file': its ACL names group 99999, which --owner-map does not have" --owner-map 100000:0:65536 d
	setfacl -b d/file && setcap -n 99999 cap_net_raw+ep d/cap
	refused "'cap': its file capability is for user 99999, which --owner-map does not have" --owner-map 100000:0:65536 d
}

# xattr_of PATH NAME: its value in x.img, in hexadecimal
xattr_of() {
	mlimg-inspect x.img manifest | sed -nE "s,^\./$1 .*xattr:$2:([^, ]*).*,\1,p" | base64 -d | od -An -tx1 -v | tr -d ' \n'
}

acl_of() {
	xattr_of "$1" system.posix_acl_access
}

# as_nobody COMMAND…: in a directory of its own
as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

@test "mkfs: as an ordinary user: the same layer as root would make" {
	need root
	need command setpriv
	mkdir d && echo hello >d/file && mkfifo d/fifo && ln -s file d/link && mkdir d/dir && touch -hd @1 d/* d
	works mlimg-mkfs --quiet --kind system --name x d root.img
	chown -hR 65534:65534 . && chmod 755 .
	cp "$(command -v mlimg-mkfs)" .
	works as_nobody ./mlimg-mkfs --quiet --kind system --name x --owner-map all=0:0 d x.img
	cmp root.img x.img
	works as_nobody ./mlimg-mkfs --quiet --force --kind system --name x --owner-map 65534:0 d x.img
	cmp root.img x.img
	rm x.img && touch d/secret && chmod 0600 d/secret
	fails 1 "mlimg-mkfs: open 'secret': Permission denied" \
		as_nobody ./mlimg-mkfs --kind system --owner-map all=0:0 d x.img
	same "images" ./root.img "$(find . -name '*.img' -o -name '.mlimg*')"
	chmod 0700 d/dir && chown 0:0 d/dir
	fails 1 "mlimg-mkfs: open directory 'dir': Permission denied" \
		as_nobody ./mlimg-mkfs --kind system --owner-map all=0:0 d x.img
	same "images" ./root.img "$(find . -name '*.img' -o -name '.mlimg*')"
}

@test "mkfs: under unshare -r" {
	need root
	need userns
	need command setpriv
	as_nobody unshare -r true 2>/dev/null || skip "needs unshare -r as an ordinary user"
	mkdir d && echo hello >d/file && touch -hd @1 d/* d
	works mlimg-mkfs --quiet --kind system --name x d root.img
	chown -hR 65534:65534 . && chmod 755 .
	cp "$(command -v mlimg-mkfs)" .
	works as_nobody unshare -r ./mlimg-mkfs --quiet --kind system --name x d x.img
	cmp root.img x.img
	# What belongs to others has no number there.
	rm x.img && chown 0:65534 d/file
	fails 3 "mlimg-mkfs: 'file': its owner or group has no number in this user name space: --owner-map gives it one" \
		as_nobody unshare -r ./mlimg-mkfs --kind system --name x d x.img
	chown 65534:0 d/file
	fails 3 "mlimg-mkfs: 'file': its owner or group has no number in this user name space: --owner-map gives it one" \
		as_nobody unshare -r ./mlimg-mkfs --kind system --name x d x.img
	same "images" ./root.img "$(find . -name '*.img' -o -name '.mlimg*')"
	works as_nobody unshare -r ./mlimg-mkfs --quiet --kind system --name x --owner-map all=0:0 d x.img
	cmp root.img x.img
}
