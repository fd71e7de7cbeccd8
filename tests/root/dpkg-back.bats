#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The real dpkg removes, purges and installs packages on an overlay of a new system; then the former one comes back. With a package's last file dpkg
# removes its directories, of which the upper has whiteouts then.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	need command dpkg dpkg-deb
	stacks_setup
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
	on v1
	on v2
}

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

# back PACKAGES: the former system, in one boot; dpkg finds nothing wrong, nor does it after the next upgrade and its way back
back() {
	on v1
	same "boot.json" '["rolled-back",3]' "$(boot '[.reconcile.done, .generation]')"
	fine v1 "$1"
}

@test "removed and purged since with its directories, and another installed" {
	user_dpkg v2 -r one
	user_dpkg v2 -P two
	user_dpkg v2 -i "$DIR/own_1.deb"
	fine v2 "base 2 installed one 2 config-files own 1 installed three 2 installed"
	[ -c "$UPPER/usr/share/one" ] && [ -c "$UPPER/usr/share/two" ] && [ -c "$UPPER/etc/two" ]
	back "base 1 installed one 2 config-files own 1 installed three 1 installed"
	user_dpkg v1 -i "$DIR"/{one,two}_1.deb
	fine v1 "base 1 installed one 1 installed own 1 installed three 1 installed two 1 installed"
}

@test "purged since, and things of the user's in the place of its directories" {
	user_dpkg v2 -P one two three
	in_guest v2 sh -c 'mkdir usr/share/one && echo me >usr/share/one/mine; ln -s one usr/share/two; echo me >usr/share/three'
	back "base 1 installed"
	in_guest v1 sh -c 'cat usr/share/one/mine usr/share/two/mine usr/share/three && rm -r usr/share/one'
	same "the user's" "me me me" "$(xargs <<<"$output")"
}

@test "all of them removed since, upgraded again and taken back again" {
	user_dpkg v2 -P one two three
	back "base 1 installed"
	on v2
	same "onward" '["reconciled",4]' "$(boot '[.reconcile.done, .generation]')"
	fine v2 "base 2 installed"
	user_dpkg v2 -i "$DIR/one_2.deb"
	fine v2 "base 2 installed one 2 installed"
	on v1
	same "back again" '["rolled-back",5]' "$(boot '[.reconcile.done, .generation]')"
	fine v1 "base 1 installed one 2 installed"
}
