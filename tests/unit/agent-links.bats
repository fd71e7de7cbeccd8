#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Files with several names on another stack: whose they are, there and back.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

# numbers: d has another number in v2, and its old one is n's. Both have a copy of the same FIFO, d's.
numbers() {
	echo d:x:105:105::/:/bin/false >"$DIR/v1/etc/passwd"
	echo d:x:105: >"$DIR/v1/etc/group"
	printf '%s\n' d:x:106:106::/:/bin/false n:x:105:105::/:/bin/false >"$DIR/v2/etc/passwd"
	printf '%s\n' d:x:106: n:x:105: >"$DIR/v2/etc/group"
	mkfifo "$DIR/v1/var/fifo"
	chown 105:105 "$DIR/v1/var/fifo"
	rm -rf "${UPPER:?}"/*
	layers
}

# owners PATH…: in the upper
owners() {
	(cd "$UPPER" && stat -c %u:%g "$@" | xargs)
}

@test "a file with several names, one of which goes as nobody has changed it, is its owner's, there and back" {
	need root
	local before
	numbers
	on v1
	# ln /var/fifo /var/mine
	mkdir "$UPPER/var"
	cp -a "$DIR/v1/var/fifo" "$UPPER/var/fifo"
	ln "$UPPER/var/fifo" "$UPPER/var/mine"
	before=$(treelist "$UPPER")
	on v2
	same "upper on v2" "var var/mine" "$(upper)"
	same "owners on v2" 106:106 "$(owners var/mine)"
	on v1
	same "upper, back" "$before" "$(treelist "$UPPER")"
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

@test "taken back, a name that a file has got since is of the same owner, and so is the one that returns" {
	need root
	numbers
	on v1
	mkdir "$UPPER/var"
	cp -a "$DIR/v1/var/fifo" "$UPPER/var/fifo"
	ln "$UPPER/var/fifo" "$UPPER/var/mine"
	on v2
	ln "$UPPER/var/mine" "$UPPER/var/other"
	# A number for n, so that accounts are merged with what the user has.
	mkdir "$UPPER/etc"
	printf '%s\n' d:x:106:106::/:/bin/false n:x:105:105::/:/bin/false my:x:1000:1000::/:/bin/sh >"$UPPER/etc/passwd"
	on v1
	same "owners" "105:105 105:105 105:105" "$(owners var/fifo var/mine var/other)"
	same "one file" 3 "$(stat -c %h "$UPPER/var/other")"
	same "accounts" "d my" "$(cut -d: -f1 "$UPPER/etc/passwd" | sort | xargs)"
}
