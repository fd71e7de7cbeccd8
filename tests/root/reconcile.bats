#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What is planned for uppers that the kernel's overlayfs has written. The rules are tried in unit/test_reconcile_plan.c; here it is that the kernel
# writes what they are about. And that the same upper in an image is planned for alike.

load ../lib/common

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p v1/{etc/conf.d,usr/share/old/deep,usr/bin,var/data} upper work merged
	for i in etc/conf etc/mode etc/conf.d/a usr/share/old/x usr/share/old/deep/y usr/bin/tool usr/bin/other var/data/d; do
		echo "$i one" >v1/$i
	done
	ln v1/usr/bin/tool v1/usr/bin/tool2
	cp -a v1 v2
	for i in etc/conf etc/mode usr/share/old/x usr/share/old/deep/y usr/bin/tool; do
		echo "$i two" >v2/$i
	done
	treelist v1 >base
	treelist v2 >next
}

# user COMMANDS: what a user does in the merged tree.
user() {
	unshare -m sh -euc "mount -t overlay overlay -o lowerdir=v1,upperdir=upper,workdir=work,redirect_dir=on,index=off,metacopy=off merged; cd merged; $1"
}

# planned WANTED: the operations without their entries, from the directory and from an image of it.
planned() {
	# mke2fs takes no parts of seconds.
	find upper -exec touch -h -d @1600000000 {} +
	works reconcile-plan -o plan base next upper
	same "plan" "$1" "$(sed 1d plan | tr '\0' '\n' | grep '^[a-zA-Z] ')"
	works handmade-layer -k user upper user.img
	works reconcile-plan -o image-plan base next user.img
	cmp plan image-plan
}

@test "attributes alone" {
	user 'chmod 600 etc/mode; touch etc/conf; chmod 700 usr/share/old'
	planned 'd etc/conf
t etc/mode'
}

@test "new directories, and one that the new stack has, too" {
	mkdir v2/usr/share/new
	echo theirs >v2/usr/share/new/theirs
	treelist v2 >next
	user 'mkdir -p usr/share/new home/me; echo mine >usr/share/new/mine; echo mine >home/me/f'
	planned 'u usr/share/new'
}

@test "a directory that was renamed shows what is new in its old place" {
	user 'mv usr/share/old usr/share/moved; chmod 600 usr/share/moved/x; echo mine >usr/share/moved/deep/y; echo mine >usr/share/moved/z'
	planned 'a usr/share/moved/deep/y
D usr/share/moved/deep
t usr/share/moved/x'
}

@test "removed, and made again" {
	rm v2/var/data/d
	treelist v2 >next
	user 'rm usr/bin/other var/data/d; rm -r usr/share/old; mkdir usr/share/old; echo mine >usr/share/old/x'
	planned 'd var/data/d
D var/data
D var'
}

@test "names of one file" {
	user 'ln etc/conf etc/link; echo more >>usr/bin/tool2'
	planned 'd etc/conf
a usr/bin/tool2
D usr/bin
D usr'
}
