#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # scripts for other shells
# What is planned for uppers that the kernel's overlayfs has written. The rules are tried in unit/test_reconcile_*.c; here it is that the kernel
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
	same "plan" "$1" "$(tr '\0' '\n' <plan | grep '^[a-zA-Z] ')"
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
	planned 'u usr/share/old
a usr/share/old/x
h usr/share/old/deep
d var/data/d
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

# mounted LOWER: what the user sees when the plan was carried out on that stack; inode numbers are compared
mounted() {
	rm -rf work2
	mkdir work2
	unshare -m sh -euc "mount -t overlay overlay -o lowerdir=$1,upperdir=upper,workdir=work2,redirect_dir=on,index=off,metacopy=off,xino=auto merged; cd merged; $2"
}

# prepared V: mlimg-agent's prepare on a layer of that tree, whose upper is this one's
prepared() {
	local run=$PWD/run id
	rm -rf run/layers
	mkdir -p run/layers run/user empty
	[ -e run/user/mlimg ] || {
		tenant=$(layerdir user alice 1 empty run/user)
		rm -rf run/user/upper
		mv upper run/user/upper
		ln -s run/user/upper upper
		mkdir -p run/user/work
	}
	id=$(layerdir system debian "$1" "$1" "run/layer-$1")
	cp -r "run/layer-$1" run/layers/0
	rm -rf run/layers/0/rootfs
	ln -s "$PWD/$1" run/layers/0/rootfs
	works mlimg-agent prepare --root "$run" --union overlay --system "$id" --user "$tenant"
	works mlimg-agent commit --root "$run"
}

@test "a directory that was renamed shows in one place, also when its own was gone for one stack" {
	cp -a v1 v3
	rm -r v2/usr/share/old
	echo three >v3/usr/share/old/x
	prepared v1
	mounted v1 'mv usr/share/old usr/share/moved; echo mine >usr/share/moved/z'
	prepared v2
	[ -c upper/usr/share/old ]
	prepared v3
	mounted v3 '
		[ ! -e usr/share/old ]
		[ "$(cat usr/share/moved/x usr/share/moved/z)" = "three
mine" ]
		# One directory, written through its name alone.
		echo more >>usr/share/moved/deep/y
		mv usr/share/moved/deep usr/share/deeper
		ln usr/share/deeper/y usr/share/y
		echo again >>usr/share/y
		[ "$(tail -n 1 usr/share/deeper/y)" = again ]
		find . -xdev -type f -links 1 -printf "%i\n" | sort | uniq -d | { ! grep .; }'
	# And on an index of the same stack.
	works mlimg-mkfs --kind system --name debian --version 3 v3 v3.img
	works mlimg-index -o v3.idx v3.img
	mkdir -p index
	unshare -m sh -euc '
		mount-index v3.idx index v3.img
		rm -rf work2
		mkdir work2
		mount -t overlay overlay -o lowerdir=index/rootfs,upperdir=upper,workdir=work2,redirect_dir=on,index=off,metacopy=off,xino=auto merged
		[ ! -e merged/usr/share/old ]
		[ "$(cat merged/usr/share/moved/x merged/usr/share/moved/z)" = "three
mine" ]
		[ "$(tail -n 1 merged/usr/share/deeper/y)" = again ]
		umount merged; umount index'
}

# left_bare: renamed on v1; on v2, which lacks it, something came in its place and went.
left_bare() {
	rm -r v2/usr/share/old
	prepared v1
	mounted v1 'mv usr/share/old usr/share/moved'
	prepared v2
	mounted v2 'mkdir usr/share/old; rmdir usr/share/old'
	[ ! -e upper/usr/share/old ]
}

# shows_once VERSION
shows_once() {
	[ -c upper/usr/share/old ]
	mounted "$1" '
		[ ! -e usr/share/old ]
		ls usr/share >/dev/null
		[ "$(cat usr/share/moved/deep/y)" = "usr/share/old/deep/y one" ]
		echo more >>usr/share/moved/deep/y'
}

@test "a directory that was renamed shows in one place where nothing hid its own any more" {
	cp -a v1 v3
	echo three >v3/usr/share/old/x
	left_bare
	prepared v3
	shows_once v3
}

@test "a directory that was renamed shows in one place on the way back, too" {
	left_bare
	prepared v1
	same "what was done" rolled-back "$(jq -r .reconcile.done run/boot.json)"
	shows_once v1
}

@test "numbers that things in carve-outs have stay, in an image too" {
	local way
	echo d:x:105:105::/:/bin/false >v1/etc/passwd
	printf '%s\n' d:x:106:105::/:/bin/false n:x:105:105::/:/bin/false >v2/etc/passwd
	echo more | tee v1/var/data/n >v2/var/data/n
	chown 105 v1/var/data/d v2/var/data/n
	chown 106 v2/var/data/d
	treelist v1 >base
	treelist v2 >next
	for way in none owner acl; do
		rm -rf user && mkdir -p user/upper user/carve-outs/srv
		: >user/carve-outs/srv/file
		{
			echo 'mkdir /carve-outs' && echo 'mkdir /carve-outs/srv' && echo 'write v1/var/data/n /carve-outs/srv/file'
		} >script
		case $way in
			none) ;;
			owner)
				chown 105 user/carve-outs/srv/file
				echo 'set_inode_field /carve-outs/srv/file uid 105' >>script
				;;
			acl)
				setfacl -m u:105:r user/carve-outs/srv/file
				getfattr --only-values -n system.posix_acl_access user/carve-outs/srv/file >acl
				echo 'ea_set -f acl /carve-outs/srv/file system.posix_acl_access' >>script
				;;
		esac
		works reconcile-plan -t v1 -T v2 -o plan base next user/upper
		works handmade-layer -k user -d script user/upper user.img
		works reconcile-plan -t v1 -T v2 -o image-plan base next user.img
		cmp plan image-plan
		if [ $way = none ]; then
			same "plan, $way" "" "$(tr '\0' '\n' <plan | grep '^[a-zA-Z] ' || :)"
		else
			same "plan, $way" "m etc p etc/passwd m var m var/data t var/data/d t var/data/n" "$(tr '\0' '\n' <plan | grep '^[a-zA-Z] ' | xargs)"
		fi
	done
}
