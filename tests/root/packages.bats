# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Packages that a user installed, upgraded, removed, purged and held, on a system that changed: dpkg itself finds nothing wrong with what
# libmlimg/packages.h makes of it. Small packages, installed by the real dpkg into three trees (lib/merge-packages).

load ../lib/common

setup() {
	need root
	need command dpkg dpkg-deb apt-get
	# dpkg waits for the disk after each file: in memory there is none.
	dir=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d -p "$BATS_TEST_TMPDIR")
	cd "$dir" || return
	mkdir debs
}

teardown() {
	cd / && rm -rf "$dir"
}

# deb NAME VERSION [FIELD…]: debs/NAME_VERSION.deb, with a file that each version has anew, one of its own, one that is always the same, and a conffile.
deb() {
	local name=$1 version=$2 dir=debs/$1_$2
	mkdir -p "$dir/DEBIAN" "$dir/usr/share/$name" "$dir/usr/bin" "$dir/etc"
	echo "$version" >"$dir/usr/share/$name/version"
	echo "$name" >"$dir/usr/share/$name/same"
	echo "$version" >"$dir/usr/share/$name/only-$version"
	echo "$name $version" >"$dir/usr/bin/$name"
	echo "option = $name" >"$dir/etc/$name.conf"
	echo "/etc/$name.conf" >"$dir/DEBIAN/conffiles"
	printf 'interest-noawait /usr/share/%s\n' "$name" >"$dir/DEBIAN/triggers"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: a <a@b>\nDescription: x\n' "$name" "$version"
		[ $# -lt 3 ] || printf '%s\n' "${@:3}"
	} >"$dir/DEBIAN/control"
	(cd "$dir" && find usr etc -type f -printf '%P %p\n' | awk '{ print $2 }' | grep -v '^etc' | xargs md5sum >DEBIAN/md5sums)
	dpkg-deb --build --root-owner-group -Znone "$dir" "debs/$1_$2.deb" >/dev/null
}

# in_tree TREE ARGUMENT…: dpkg there
in_tree() {
	dpkg --root="$PWD/$1" --force-unsafe-io --force-confold --force-downgrade --force-bad-path --log=/dev/null "${@:2}" >dpkg.out 2>&1 || {
		cat dpkg.out
		return 1
	}
}

tree() { # an empty one
	mkdir -p "$1"/var/lib/dpkg/{info,updates,triggers,alternatives} "$1/usr/bin"
	ln -s usr/bin "$1/bin"
	: >"$1/var/lib/dpkg/status"
	echo 1 >"$1/var/lib/dpkg/info/format"
}

# merged: out of base, next and mine
merged() {
	rm -rf out
	cp -al next out
	works merge-packages base next mine out
	told=$output
}

listed() {
	dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\n' | sort
}

# fine TREE: dpkg and apt find nothing wrong, and each package's files are those of its version, no more and no less.
fine() {
	local name version state n
	same "dpkg --audit" "" "$(dpkg --admindir="$1/var/lib/dpkg" --audit)"
	# A changed conffile is none of dpkg's business.
	same "dpkg --verify" "" "$(dpkg --root="$PWD/$1" --verify | grep -v ' c /etc/')"
	while read -r name version _ state; do
		if [ "$state" = installed ]; then
			same "version of $name" "$version" "$(cat "$1/usr/share/$name/version")"
			same "files of $name" "only-$version same version" "$(find "$1/usr/share/$name" -type f -printf '%f\n' | sort | xargs)"
			same "program of $name" "$name $version" "$(cat "$1/usr/bin/$name")"
			same "configuration of $name" "option = $name" "$(cat "$1/etc/$name.conf")"
			same "files of $name in dpkg's info" "conffiles list md5sums triggers" \
				"$(find "$1/var/lib/dpkg/info" -name "$name.*" -printf '%f\n' | sed 's/.*\.//' | sort | xargs)"
		else
			same "files of $name, which is $state" "" "$(find "$1/usr" -path "*/$name/*" -o -path "*/bin/$name")"
		fi
	done < <(listed "$1")
	# What no package has is not there either.
	for name in "$1"/usr/share/*; do
		name=${name##*/}
		n=$(find "$1/usr/share/$name" -type f | wc -l)
		[ "$n" -eq 0 ] || listed "$1" | grep -q "^$name .* installed$" || same "files of $name, which is not listed" 0 "$n"
	done
	for name in $(find "$1/var/lib/dpkg/info" -name '*.*' -printf '%f\n' | sed 's/\..*//' | sort -u); do
		listed "$1" | grep -q "^$name " || same "files in dpkg's info" "" "$name"
	done
	same "who waits for which files" "$(listed "$1" | awk '$4 == "installed" { print "/usr/share/" $1, $1 "/noawait" }')" \
		"$(sort "$1/var/lib/dpkg/triggers/File" 2>/dev/null)"
}

@test "what users do to packages, case by case" {
	local n v
	for n in left upgraded newer removed purged held dropped own both; do
		for v in 1 2 3; do deb "$n" "$v"; done
	done
	tree base
	in_tree base -i debs/{left,upgraded,newer,removed,purged,held,dropped}_1.deb
	cp -al base next
	in_tree next -P dropped
	in_tree next -i debs/{left,upgraded,newer,removed,purged,held,both}_2.deb
	cp -al base mine
	in_tree mine -i debs/{upgraded_3,own_1,both_3,dropped_2}.deb
	in_tree mine -i debs/newer_2.deb
	in_tree mine -r removed
	in_tree mine -P purged
	echo held hold | in_tree mine --set-selections
	in_tree next -i debs/newer_3.deb
	merged
	fine out
	same "what is listed" 'both 3 install installed
dropped 2 install installed
held 2 hold installed
left 2 install installed
newer 3 install installed
own 1 install installed
removed 1 deinstall config-files
upgraded 3 install installed' "$(listed out)"
	same "what people are told" "told dropped: the system has it no more; 2, installed here, stays
conflict held: on hold at 1, but the system has 2, and the files are the system's
told newer: 2, installed here, gives way to the system's 3
both mine
dropped mine
newer next
own mine
purged removed
removed removed
upgraded mine" "$told"
	# And it goes on: dpkg installs and removes.
	deb more 1 'Depends: own, left (>= 2)'
	in_tree out -i debs/more_1.deb
	in_tree out -P removed
	in_tree out -r more both
	fine out
	# A stack that is the same: nothing happens.
	cp -al out again && rm -rf base && mv next base && cp -al base next && rm -rf mine && mv again mine
	merged
	find mine out -type d -empty -delete # lib/merge-packages leaves them
	diff -r mine out
}

# A state is "NAME=VERSION …". closed STATE: with what it depends on: versions 2 and 3 of p5 depend on a version of p3 that is not much older, and so on.
closed() {
	local -A at=()
	local one i version name
	for one in $1; do at[${one%=*}]=${one#*=}; done
	for i in 7 6 5 4 3 2; do
		version=${at[p$i]:-0} name=p$((i - 2))
		[ "$version" -lt 2 ] || [ "${at[$name]:-0}" -ge $((version - 1)) ] || at[$name]=$((version - 1))
	done
	for one in "${!at[@]}"; do echo "$one=${at[$one]}"; done | sort | xargs
}

# to_state TREE STATE: dpkg brings the tree there; what is not in the state is removed or purged.
to_state() {
	local one name wanted=" $2 " install=() gone=()
	for one in $2; do
		listed "$1" | grep -q "^${one%=*} ${one#*=} .* installed$" || install+=("debs/${one%=*}_${one#*=}.deb")
	done
	for name in $(listed "$1" | awk '$4 == "installed" { print $1 }'); do
		[[ $wanted == *" $name="* ]] || gone+=("$name")
	done
	[ ${#install[@]} -eq 0 ] || in_tree "$1" --force-depends -i "${install[@]}"
	[ ${#gone[@]} -eq 0 ] || in_tree "$1" --force-depends "$3" "${gone[@]}"
}

random_state() { # LIKE: some changed
	local i old
	for i in 0 1 2 3 4 5 6 7; do
		old=$(sed -n "s/.*\bp$i=\([0-9]\).*/\1/p" <<<"$1")
		[ $((RANDOM % 5)) -gt 2 ] && old=$((RANDOM % 4))
		[ "${old:-0}" -eq 0 ] || echo "p$i=$old"
	done | xargs
}

apt_finds() { # TREE: whether dependencies hold
	mkdir -p apt/lists/partial
	apt-get check -o Dir::State::status="$PWD/$1/var/lib/dpkg/status" -o Dir::State::lists="$PWD/apt/lists" \
		-o Dir::Cache=apt -o Dir::Etc=/dev/null -o APT::Architecture=amd64 -o Debug::NoLocking=1 >apt.out 2>&1
}

@test "random systems and users" {
	local seed=${MLIMG_SEED:-$((RANDOM * 32768 + RANDOM))} i v n base
	echo "MLIMG_SEED=$seed"
	for i in 0 1 2 3 4 5 6 7; do
		for v in 1 2 3; do
			if [ "$i" -ge 2 ] && [ "$v" -ge 2 ]; then deb "p$i" "$v" "Depends: p$((i - 2)) (>= $((v - 1)))"; else deb "p$i" "$v"; fi
		done
	done
	for ((n = 0; n < ${MLIMG_PACKAGE_ROUNDS:-3}; n++)); do
		RANDOM=$(((seed + n) % 32768))
		rm -rf base next mine
		tree base
		base=$(closed "$(random_state '')")
		to_state base "$base" -r
		cp -al base next && cp -al base mine
		to_state next "$(closed "$(random_state "$base")")" -P
		to_state mine "$(closed "$(random_state "$base")")" "$([ $((RANDOM % 2)) = 0 ] && echo -r || echo -P)"
		if [ $((RANDOM % 2)) = 0 ]; then
			listed mine | awk '$4 == "installed" && NR % 3 == 0 { print $1, "hold" }' | in_tree mine --set-selections
		fi
		echo "round $n: base $(listed base | xargs)"
		echo "next $(listed next | xargs)"
		echo "mine $(listed mine | xargs)"
		# No user removes all packages, dpkg itself among them.
		[ -s mine/var/lib/dpkg/status ] || continue
		merged
		echo "$told"
		fine out
		# What held in mine is told when it does no more.
		if apt_finds out; then
			same "dependencies" 0 "$(grep -c '^broken' <<<"$told")"
		else
			grep -q '^broken' <<<"$told" || same "dependencies of which nobody is told" "" "$(cat apt.out)"
		fi
	done
}
