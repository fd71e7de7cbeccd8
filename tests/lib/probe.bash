# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A software layer for a Debian guest in which guest-probe finds what it tries: an installed package and a newer one, directories as npm keeps them, carve-outs.

# probe_deb DIR VERSION: the package probe in DIR/VERSION.deb; version 2 makes a symbolic link of a directory, which version 1 has.
probe_deb() {
	local tree=$1/deb-$2 script
	mkdir -p "$tree/DEBIAN" "$tree/usr/share/probe/data" "$tree/etc"
	printf 'Package: probe\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: test\n' "$2" >"$tree/DEBIAN/control"
	echo /etc/probe.conf >"$tree/DEBIAN/conffiles"
	echo kept >"$tree/etc/probe.conf"
	if [ "$2" = 1 ]; then
		mkdir "$tree/usr/share/probe/turned"
		echo 1 | tee "$tree/usr/share/probe/turned/old" >"$tree/usr/share/probe/data/old"
	else
		echo 2 >"$tree/usr/share/probe/data/new"
		ln -s data "$tree/usr/share/probe/turned"
		for script in preinst postinst postrm; do
			# shellcheck disable=SC2016 # dpkg's $
			printf '#!/bin/sh\nset -e\ndpkg-maintscript-helper dir_to_symlink /usr/share/probe/turned data 2~ probe -- "$@"\n' >"$tree/DEBIAN/$script"
			chmod 0755 "$tree/DEBIAN/$script"
		done
	fi
	dpkg-deb --root-owner-group --build "$tree" "$1/$2.deb" >/dev/null
}

# probe_make DIR TREE: DIR/probe.img, for a system layer of the directory TREE. In a mount name space of its own.
probe_make() {
	local dir=$1 upper=$1/probe/upper
	mkdir -p "$upper" "$dir/probe/work" "$dir/probe/root"
	probe_deb "$dir/probe" 1
	probe_deb "$dir/probe" 2
	# redirect_dir=off: a layer's directories are whole.
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount sh -ec 'mount -t overlay -o "index=off,metacopy=off,redirect_dir=off,lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
		cp "$1/1.deb" "$1/root/tmp/probe.deb"
		chroot "$1/root" dpkg -i /tmp/probe.deb
		rm "$1/root/tmp/probe.deb"' sh "$dir/probe" "$2" >"$dir/probe.log" 2>&1 3>&- 4>&- || {
		cat "$dir/probe.log" >&2
		return 1
	}
	mkdir -p "$upper"/usr/lib/{mlimg-test,node_modules/{@scope/one,two,three/lib}} "$upper/var/lib/docker" \
		"$upper/usr/share/probe-lower" "$upper/etc/mlimg/carve-outs.d"
	cp "$MLIMG_TOP/tests/lib/guest-probe" "$upper/usr/lib/mlimg-test/"
	cp "$dir/probe/2.deb" "$upper/usr/lib/mlimg-test/probe.deb"
	echo one >"$upper/usr/lib/node_modules/@scope/one/index.js"
	echo two | tee "$upper/usr/lib/node_modules/two/index.js" >"$upper/usr/lib/node_modules/two/package.json"
	echo three >"$upper/usr/lib/node_modules/three/index.js"
	echo deep >"$upper/usr/lib/node_modules/three/lib/deep.js"
	echo here >"$upper/usr/share/probe-lower/here"
	printf '%s\n' /var/lib/docker /var/swap >"$upper/etc/mlimg/carve-outs.d/probe.conf"
	mlimg-mkfs --quiet --kind software --name probe "$upper" "$dir/probe.img"
}

# probe NAME [again | SUBJECT…]: guest-probe in the guest; all must be well. $probe_root: the type of its root (default: overlay).
probe() {
	local said
	said=$(vm_do "$1" "PROBE_ROOT=${probe_root:-overlay} /usr/lib/mlimg-test/guest-probe ${*:2}") || return
	same "what the guest sees, of: $said" "" "$(grep -v ': ok$' <<<"$said" || :)" && [ -n "$said" ]
}

# probe_ssh DIR TREE: DIR/ssh.img, an ssh server as far as host keys need one, for the same system: its unit, and this machine's ssh-keygen.
probe_ssh() {
	local dir=$1/ssh program library
	program=$(command -v ssh-keygen)
	mkdir -p "$dir"/{etc/ssh,etc/systemd/system/multi-user.target.wants,usr/bin,usr/lib/systemd/system}
	cp "$program" "$dir/usr/bin/"
	ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
		[ ! -e "$2/$library" ] || continue
		mkdir -p "$dir/usr/lib/${library%/*}"
		cp -L "$library" "$dir/usr/lib/${library#/lib/}"
	done
	printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/ls /etc/ssh/ssh_host_ed25519_key\n' \
		>"$dir/usr/lib/systemd/system/ssh.service"
	ln -s /usr/lib/systemd/system/ssh.service "$dir/etc/systemd/system/multi-user.target.wants/"
	mlimg-mkfs --quiet --kind software --name ssh --version 1 "$dir" "$1/ssh.img"
}
