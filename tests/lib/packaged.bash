# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Software layers of Debian's own packages, installed by apt, each with a user of its own; and what a guest on them must say.

# packaged_make DIR TREE PACKAGE ID: an image of what apt has installed over the system, and of a user and a group with that id. TREE is the system's,
# DIR/system.img its image.
packaged_make() {
	local work=$1/$3 file
	cp -a "$(debian-tree "$3")" "$work"
	for file in passwd group; do
		cp -a "$2/etc/$file" "$work/etc/$file"
	done
	echo "$3-test:x:$4:$4::/nonexistent:/usr/sbin/nologin" >>"$work/etc/passwd"
	echo "$3-test:x:$4:" >>"$work/etc/group"
	mlimg-mkfs --quiet --form upper --kind software --name "$3" --version 1 --over "$1/system.img" "$work" "$1/$3.img"
	rm -r "${work:?}"
}

# packaged_fits NAME: packages and users of nginx (id 991) and jq (992), and what goes with them.
packaged_fits() {
	same "packages" "ii jq ii libc6 ii libjq1 ii nginx" \
		"$(vm_do "$1" "dpkg-query -W -f '\${db:Status-Abbrev} \${Package}\\n' jq libc6 libjq1 nginx | xargs")"
	same "what dpkg finds" "" "$(vm_do "$1" 'dpkg --audit; dpkg -V jq libjq1 libonig5 nginx nginx-common')"
	same "installed by hand" "jq nginx" "$(vm_do "$1" 'apt-mark showmanual jq libjq1 libonig5 nginx nginx-common 2>/dev/null | sort | xargs')"
	same "users" "jq-test:992 nginx-test:991" "$(vm_do "$1" 'getent passwd jq-test nginx-test | cut -d : -f 1,4 | sort | xargs')"
	same "groups" "jq-test:992 nginx-test:991 root:0" "$(vm_do "$1" 'getent group jq-test nginx-test root | cut -d : -f 1,3 | sort | xargs')"
	# The cache of libraries is the user layer's own.
	same "libraries" 1 "$(vm_do "$1" 'ldconfig -p | grep -c "libjq\.so\.1 "')"
	vm_do "$1" 'test -e /run/mlimg/user/upper/etc/ld.so.cache && test ! -e /run/mlimg/rebuild && test ! -e /run/mlimg/user/mlimg/rebuild'
}
