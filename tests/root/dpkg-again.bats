#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The real dpkg purges packages on an overlay and installs them again, which leaves their directories opaque; then a new system comes, the former one, and
# the new one once more. What the user did not change follows the system all the same.
load ../lib/common
load ../lib/agent
load ../lib/stacks
load ../lib/debs

setup() {
	need root
	need command dpkg dpkg-deb getfattr
	stacks_setup
	debs_of_stacks
	on v1
}

is_opaque() { # PATH
	[ "$(getfattr --absolute-names --only-values -n trusted.overlay.opaque "$UPPER/$1")" = y ]
}

# there_and_back: all packages on both systems; on v2 nothing of v1's is left
there_and_back() {
	on v2
	same "boot.json" reconciled "$(boot .reconcile.done)"
	fine v2 "base 2 installed one 2 installed three 2 installed two 2 installed"
	in_guest v2 sh -c 'cat usr/share/one/version usr/share/one/deep/version && find usr/share/one -type f -printf "%P\n" | sort'
	same "files of one" "one 2 one 2 deep/version only-2/file version" "$(xargs <<<"$output")"
	on v1
	same "boot.json" rolled-back "$(boot .reconcile.done)"
}

@test "purged and installed again" {
	user_dpkg v1 -P one
	user_dpkg v1 -i "$DIR/one_1.deb"
	is_opaque usr/share/one
	is_opaque etc/one
	there_and_back
	is_opaque usr/share/one
	fine v1 "base 1 installed one 1 installed three 1 installed two 1 installed"
	there_and_back
}

@test "another version since, which gives way" {
	deb one 1.5
	user_dpkg v1 -P one
	user_dpkg v1 -i "$DIR/one_1.5.deb"
	is_opaque usr/share/one
	there_and_back
	fine v1 "base 1 installed one 1.5 installed three 1 installed two 1 installed"
}

@test "dpkg's database removed and put back" {
	in_guest v1 sh -c 'cd var/lib/dpkg && cp -a info info.new && rm -r info && mv info.new info'
	is_opaque var/lib/dpkg/info
	there_and_back
	fine v1 "base 1 installed one 1 installed three 1 installed two 1 installed"
	in_guest v1 sh -c 'cd var/lib && cp -a dpkg dpkg.new && rm -r dpkg && mv dpkg.new dpkg'
	is_opaque var/lib/dpkg
	there_and_back
	fine v1 "base 1 installed one 1 installed three 1 installed two 1 installed"
}

@test "what the user has removed and made in such a directory stays so" {
	user_dpkg v1 -P one
	user_dpkg v1 -i "$DIR/one_1.deb"
	in_guest v1 sh -c 'rm -r usr/share/one/deep; echo mine >usr/share/one/mine; echo mine >>etc/one/conf'
	on v2
	in_guest v2 sh -c 'ls usr/share/one; cat usr/share/one/mine usr/share/one/version etc/one/conf'
	same "on v2" "mine only-2 version mine one 2 one mine" "$(xargs <<<"$output")"
	[ -c "$UPPER/usr/share/one/deep" ]
	on v1
	in_guest v1 sh -c 'ls usr/share/one; cat usr/share/one/mine usr/share/one/version etc/one/conf'
	same "on v1" "mine only-1 version mine one 1 one mine" "$(xargs <<<"$output")"
}
