#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The real dpkg removes, purges and installs packages on an overlay of a new system; then the former one comes back. With a package's last file dpkg
# removes its directories, of which the upper has whiteouts then.
load ../lib/common
load ../lib/agent
load ../lib/stacks
load ../lib/debs

setup() {
	need root
	need command dpkg dpkg-deb
	stacks_setup
	debs_of_stacks
	on v1
	on v2
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
