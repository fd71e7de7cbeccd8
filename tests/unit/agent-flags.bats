#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Things in an upper that chattr(1) has made immutable or append-only.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
	: >"$DIR/flagged"
	chattr +i "$DIR/flagged" 2>/dev/null && chattr -i "$DIR/flagged" || [ "$(id -u)" -ne 0 ] || skip "the file system knows no flags"
}

teardown() {
	[ ! -d "$UPPER" ] || chattr -R -i -a "$UPPER" 2>/dev/null || :
}

# marks: what has a mark in the place of flags
marks() {
	(cd "$UPPER" && getfattr -R -h -m trusted.overlay -d . 2>/dev/null | sed -n 's/^# file: //p; s/^trusted.overlay.//p' | xargs)
}

@test "convert: what is immutable or append-only stops nothing, and keeps a mark, there and back" {
	need root
	on v1
	mkdir -p "$UPPER/etc/opaque" "$UPPER/usr/share"
	echo mine >"$UPPER/etc/kept"
	mknod "$UPPER/etc/conf" c 0 0
	mknod "$UPPER/usr/share/gone" c 0 0
	setfattr -n trusted.overlay.opaque -v y "$UPPER/etc/opaque"
	setfattr -n trusted.overlay.origin -v x "$UPPER/etc/kept"
	chattr +i "$UPPER/etc/kept" "$UPPER/etc" "$UPPER/etc/opaque"
	chattr +a "$UPPER/usr/share"
	works mlimg-agent convert --to unionfs "$USER_DIR"
	same "said" "$USER_DIR: the user layer is in the form of 'unionfs'; marks converted: 3" "$output"
	same "whiteouts" "" "$(find "$UPPER" -type c)"
	same "marks" "etc protattr=i etc/kept protattr=i etc/opaque protattr=i usr/share protattr=a" "$(marks | tr -d \")"
	works mlimg-agent convert --to overlay "$USER_DIR"
	same "said, back" "$USER_DIR: the user layer is in the form of 'overlay'; marks converted: 3" "$output"
	[ -c "$UPPER/etc/conf" ] && [ -c "$UPPER/usr/share/gone" ]
	same "marks, back" "etc protattr=i etc/kept protattr=i etc/opaque opaque=y protattr=i usr/share protattr=a" "$(marks | tr -d \")"
	same "contents" mine "$(cat "$UPPER/etc/kept")"
}

@test "convert: what is refused changes no flags" {
	need root
	on v1
	echo mine >"$UPPER/etc/kept"
	mkdir "$UPPER/etc/renamed"
	setfattr -n trusted.overlay.redirect -v other "$UPPER/etc/renamed"
	chattr +i "$UPPER/etc/kept"
	run mlimg-agent convert --to unionfs "$USER_DIR"
	same "status" 3 "$status"
	[[ $output == *"'/etc/renamed' was renamed and shows what a layer has elsewhere"* ]]
	[[ $(lsattr "$UPPER/etc/kept") == ----i* ]]
	same "marks" "etc/renamed redirect=other" "$(marks | tr -d \")"
}
