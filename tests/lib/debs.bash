# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Small packages that the real dpkg installs in both systems of stacks.bash, and in the root that the user sees. With agent.bash.
# shellcheck disable=SC2016 # formats of dpkg-query
# shellcheck disable=SC2154 # in_guest sets $output

DPKG=(--force-unsafe-io --force-bad-path --force-confold --log=/dev/null)

dpkg_in() { # ROOT ARGUMENT…
	works dpkg --root="$1" "${DPKG[@]}" "${@:2}"
}

# deb NAME VERSION: with directories of its own, and one that only this version has
deb() {
	local tree=$DIR/deb/$1
	rm -rf "$tree"
	mkdir -p "$tree"/{DEBIAN,"usr/share/$1/deep","usr/share/$1/only-$2","etc/$1"}
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' "$1" "$2" >"$tree/DEBIAN/control"
	echo "/etc/$1/conf" >"$tree/DEBIAN/conffiles"
	echo "$1" >"$tree/etc/$1/conf"
	echo "$1 $2" | tee "$tree/usr/share/$1/version" "$tree/usr/share/$1/deep/version" >"$tree/usr/share/$1/only-$2/file"
	(cd "$tree" && md5sum usr/share/*/* usr/share/*/*/* 2>/dev/null >DEBIAN/md5sums) || true
	dpkg-deb --build --root-owner-group -Znone "$tree" "$DIR/$1_$2.deb" >/dev/null
}

user_dpkg() { # VERSION ARGUMENT…
	in_guest "$1" dpkg --root=. "${DPKG[@]}" "${@:2}"
}

# fine VERSION PACKAGES: these are listed and whole; nothing is in a directory that cannot be looked at
fine() {
	in_guest "$1" dpkg-query --admindir=var/lib/dpkg -W -f '${Package} ${Version} ${db:Status-Status}\n'
	same "packages on $1" "$2" "$(sort <<<"$output" | xargs)"
	in_guest "$1" dpkg --root=. --audit
	same "audit on $1" "" "$output"
	in_guest "$1" sh -c 'dpkg --root=. -V; find usr etc -exec stat {} + >/dev/null'
	same "verify on $1" "" "$output"
}

# debs_of_stacks: base, one, two and three, in v1 at version 1 and in v2 at 2; own is in none
debs_of_stacks() {
	local name version
	for version in 1 2; do
		for name in base one two three; do
			deb $name $version
		done
		mkdir -p "$DIR"/v$version/{tmp,var/lib/dpkg/{info,updates,triggers}}
		: >"$DIR/v$version/var/lib/dpkg/status"
		dpkg_in "$DIR/v$version" -i "$DIR"/{base,one,two,three}_$version.deb
	done
	deb own 1
	layers
}
