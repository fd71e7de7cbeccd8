# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A real system and its successor for guests whose users (guest-upgrade) have changed things: Debian 12's main suite, and with updates and security, each with
# mlimg's stand-alone initramfs, and with small packages of these tests, so that there is something of each kind:
#
#     package      1    2    the users'   version 2 has
#     ------------+----+----+------------+-------------------------------------------------------------------------------
#     up-conf      1    2    b            configuration files with another third line
#     up-files     1    2    e            files that are changed, gone, directories; directories that are changed, files
#     up-newer     1    2    c: 3         less than what he has installed
#     up-older     1    3    c: 2         more
#     up-equal     1    2    c: 2         the same
#     up-kept      1    3    c: 2, hold   more, but his is on hold
#     up-held      1    2    c: hold      what takes the place of what he has held, since that was the old system's
#     up-removed   1    2    c: removed
#     up-purged    1    2    c: purged
#     up-own                 c: 1
#     up-exact               c: 1         not the very version of a library that it depends on
#     up-late                c: 1, since
#
# and of users: up-moved, whose number is 901 and then 902, and up-new, new in version 2 with number 900, which user d has given to one of his own. User e
# deletes and replaces a real file that version 2 has changed.

# upgrade_deb NAME VERSION [FIELD…]: NAME_VERSION.deb here of what is in NAME_VERSION; what is below etc are its conffiles.
upgrade_deb() {
	local tree=$1_$2
	mkdir -p "$tree/DEBIAN"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n' "$1" "$2"
		[ $# -lt 3 ] || printf '%s\n' "${@:3}"
		echo 'Description: test'
	} >"$tree/DEBIAN/control"
	(cd "$tree" && find etc -type f -printf '/%p\n' 2>/dev/null) >"$tree/DEBIAN/conffiles" || :
	(cd "$tree" && find usr -type f -exec md5sum {} +) >"$tree/DEBIAN/md5sums"
	dpkg-deb --root-owner-group -Znone --build "$tree" "$1_$2.deb" >/dev/null
	rm -r "$tree"
}

# upgrade_small NAME VERSION [FIELD…]: with a file that says which version it is, one that only this one has, one that never changes, and a configuration file.
upgrade_small() {
	mkdir -p "$1_$2/usr/share/$1" "$1_$2/etc"
	echo "$2" | tee "$1_$2/usr/share/$1/version" >"$1_$2/usr/share/$1/only-$2"
	echo "$1" >"$1_$2/usr/share/$1/same"
	echo "option = $1" >"$1_$2/etc/$1.conf"
	upgrade_deb "$@"
}

# upgrade_conf VERSION
upgrade_conf() {
	local dir=up-conf_$1/etc/up name
	mkdir -p "$dir" "up-conf_$1/usr/share/up-conf"
	echo "$1" >"up-conf_$1/usr/share/up-conf/version"
	for name in apart touching theirs mine deleted mode stale same gone linked; do
		seq -f "$name %g" 20 >"$dir/$name"
		[ "$1" = 1 ] || [ $name = mine ] || sed -i '3s/$/, new in 2/' "$dir/$name"
	done
	[ "$1" = 1 ] || rm "$dir/gone"
	upgrade_deb up-conf "$1"
}

# upgrade_files VERSION
upgrade_files() {
	local dir=up-files_$1/usr/share/up-files file
	mkdir -p "$dir/tree/sub" "$dir/hidden"
	for file in kept replaced-kept tree/b; do echo "${file#*/} 1" >"$dir/$file"; done
	for file in changed replaced tree/a tree/sub/c hidden/x; do echo "${file##*/} $1" >"$dir/$file"; done
	if [ "$1" = 1 ]; then
		echo gone >"$dir/gone"
		echo file >"$dir/becomes-dir"
		mkdir "$dir/becomes-file"
		echo p >"$dir/becomes-file/p"
	else
		echo new | tee "$dir/tree/new" >"$dir/hidden/new"
		mkdir "$dir/becomes-dir"
		echo in >"$dir/becomes-dir/in"
		echo "becomes-file 2" >"$dir/becomes-file"
	fi
	upgrade_deb up-files "$1"
}

# A library's package that the two systems have at other versions, "NAME VERSION" of the first one.
upgrade_library() {
	comm -23 <(dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package} ${Version}\n' 'lib*' | LC_ALL=C sort) \
		<(dpkg-query --admindir="$2/var/lib/dpkg" -W -f '${Package} ${Version}\n' 'lib*' | LC_ALL=C sort) | head -n 1
}

# upgrade_debs DIR V1 V2: all packages, for systems of these trees.
upgrade_debs() {
	local name library
	mkdir -p "$1"
	cp "$(debian-tree debs)"/*.deb "$1"
	library=$(upgrade_library "$2" "$3")
	[ -n "$library" ] || {
		echo "all libraries are the same in both systems: the security suite has nothing newer" >&2
		return 1
	}
	(
		cd "$1" || exit
		for name in newer older equal kept held removed purged; do
			upgrade_small "up-$name" 1
			upgrade_small "up-$name" 2
		done
		for name in newer older kept; do upgrade_small "up-$name" 3; done
		upgrade_small up-own 1 "Depends: jq"
		upgrade_small up-exact 1 "Depends: ${library% *} (= ${library#* })"
		upgrade_small up-late 1 "Depends: up-own, jq (>= 1.6)"
		for name in 1 2; do
			upgrade_conf $name
			upgrade_files $name
		done
	)
}

# upgrade_tree DIR TREE VERSION PACKAGE…: the system TREE with these packages of DIR/debs, as DIR/vVERSION.img. In a mount name space of its own.
upgrade_tree() {
	local work=$1/system-$3
	mkdir -p "$work"/{upper,work,root}
	# redirect_dir=off: a layer's directories are whole.
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount bash -euc '
		dir=$1 tree=$2 version=$3 work=$1/system-$3 root=$1/system-$3/root
		mount -t overlay -o "index=off,metacopy=off,redirect_dir=off,lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" overlay "$root"
		mkdir -p "$root/usr/lib/mlimg-test/debs"
		cp "$dir/debs/"*.deb "$root/usr/lib/mlimg-test/debs/"
		cp "$MLIMG_TOP/tests/lib/guest-upgrade" "$dir/deleted" "$dir/replaced" "$root/usr/lib/mlimg-test/"
		chroot "$root" dpkg --force-unsafe-io -i $(printf "/usr/lib/mlimg-test/debs/%s.deb " "${@:4}")
		account() {
			echo "$1:x:$2:$2::/var/lib/$1:/usr/sbin/nologin" >>"$root/etc/passwd"
			echo "$1:x:$2:" >>"$root/etc/group"
			echo "$1:*:19000:0:99999:7:::" >>"$root/etc/shadow"
			echo "$1:*::" >>"$root/etc/gshadow"
			mkdir "$root/var/lib/$1"
			echo "$1" >"$root/var/lib/$1/file"
			chown -R "$2:$2" "$root/var/lib/$1"
		}
		account up-moved $((900 + version))
		[ "$version" = 1 ] || account up-new 900
		rm -f "$root"/etc/*-
		kernel=$(cd "$tree/lib/modules" && printf "%s\n" * | sort -V | tail -n 1)
		rm "$root"/boot/initrd.img-*
		"$MLIMG_TOP/initramfs/mlimg-mkinitramfs" --modules-from "$tree" --kernel-version "$kernel" --busybox /bin/busybox \
			--agent "$tree/usr/sbin/mlimg-agent" --unionfs "$(command -v unionfs)" --compress none -o "$root/boot/initrd.img-$kernel"
		mlimg-mkfs --quiet --kind system --name debian --version "$version" "$root" "$dir/v$version.img"' bash "$@" \
		>"$work.log" 2>&1 3>&- 4>&- || {
		cat "$work.log" >&2
		return 1
	}
	rm -r "$work"
}

# upgrade_make DIR: DIR/v1.img and DIR/v2.img, and DIR/changed, paths of programs and libraries of Debian's that have other contents in v2.
upgrade_make() {
	local dir=$1 v1 v2 part
	v1=$(debian-tree v1) && v2=$(debian-tree v2) && upgrade_debs "$dir/debs" "$v1" "$v2" || return
	for part in usr/bin usr/lib/apt usr/lib/x86_64-linux-gnu; do
		diff -rq --no-dereference "$v1/$part" "$v2/$part" || :
	done | sed -n 's|^Files .*/v2/\(.*\) differ$|\1|p' | LC_ALL=C sort >"$dir/changed"
	# Not of a package that user c removes or holds.
	grep '^usr/lib/[^/]*/perl/.*/CORE/' "$dir/changed" | sed -n '1s,^,/,p' >"$dir/deleted"
	grep '^usr/lib/[^/]*/perl/.*/CORE/' "$dir/changed" | sed -n '2s,^,/,p' >"$dir/replaced"
	[ -s "$dir/replaced" ] || {
		echo "perl is the same in both systems: no file for user e" >&2
		return 1
	}
	upgrade_tree "$dir" "$v1" 1 up-{conf,files,newer,older,equal,kept,held,removed,purged}_1 &&
		upgrade_tree "$dir" "$v2" 2 up-{conf,files,newer,equal,held,removed,purged}_2 up-{older,kept}_3
}
