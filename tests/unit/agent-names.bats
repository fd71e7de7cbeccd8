#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Names that are no UTF-8 in what mlimg-agent prepare tells: a boot whose change is done already must not fail for want of a note.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
	E=$(printf '\351') # an e with an accent in Latin-1
}

@test "a file of classes whose name and line are no UTF-8" {
	on v1
	mkdir -p "$UPPER/etc/mlimg/reconcile.d"
	printf '%s\n' "caf$E caf$E" >"$UPPER/etc/mlimg/reconcile.d/$E.conf"
	on v2
	same "done" '["changed","reconciled"]' "$(boot '[.change, .reconcile.done]')"
	same "notes" 1 "$(boot '.notes | length')"
	[[ $(boot '.notes[0]') == *'?.conf'* ]]
}

@test "a package whose name is no UTF-8" {
	packaged v1 1
	packaged v2 2
	layers
	on v1
	mkdir -p "$UPPER/var/lib/dpkg/info"
	{
		stanza tool 1
		stanza "caf$E" 1 | sed "s/^Maintainer/Depends: tool (= 1)\n&/"
	} >"$UPPER/var/lib/dpkg/status"
	on v2
	same "done" '["changed","reconciled"]' "$(boot '[.change, .reconcile.done]')"
	[[ $(boot '.notes[0]') == 'caf?: '* ]]
}

@test "a path whose name is no UTF-8, and one that is cut" {
	local name
	for name in "conf$E" "$(printf 'a\303\251%.0s' {1..80})" "$(printf '\303\251%.0s' {1..120})"; do
		printf 'one\nb\n' >"$DIR/v1/etc/$name"
		printf 'two\nb\n' >"$DIR/v2/etc/$name"
		layers
		rm -rf "$USER_DIR"
		mkdir -p "$UPPER/etc" "$USER_DIR/work"
		# shellcheck disable=SC2034 # for on
		TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
		on v1
		echo mine >"$UPPER/etc/$name"
		echo other >"$DIR/v2/etc/$name"
		on v2
		same "done" '["changed",null]' "$(boot '[.change, .reconcile]')"
		[[ $(boot '.notes[0]') == 'the user layer is not brought into agreement with this stack: '* ]]
		rm "$DIR"/v?/etc/"$name"
	done
}
