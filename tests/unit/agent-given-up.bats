#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A change or a rollback that was cut off and that nobody can end, or that somebody has given up: nothing of the user's is lost.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	stacks_setup
	on v1
	sed '$s/e/mine/' "$DIR/v1/etc/both" >"$UPPER/etc/both"
	echo mine >"$UPPER/etc/conf"
	echo my program >"$UPPER/usr/bin/program"
	echo own >"$UPPER/etc/own"
	start
}

# start: what it is that again brings back
start() {
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
	theirs=$(cd "$UPPER" && find . -type f -exec sha256sum {} + | cut -d' ' -f1 | sort -u)
}

# run_on VERSION: as on, without commit, in an array
run_on() {
	local id
	stack "$1"
	CALL=("${PREPARE[@]}" --root "$RUN" "${OPTIONS[@]}" --system "$id" --user "$TENANT")
}

# cut_at CALL
cut_at() {
	local status=0
	stop-at "$1" "${CALL[@]}" 3>/dev/null >/dev/null 2>&1 || status=$?
	same "exit code, killed at call $1" 137 "$status"
}

# all_there WHEN: what he had is in upper, in aside, or in what the last change can be taken back with
all_there() {
	local sum there
	there=$(find "$UPPER" "$USER_DIR/mlimg" -type f ! -path "$USER_DIR/mlimg/reconcile.new/*" -exec sha256sum {} +)
	for sum in $theirs; do
		[[ $there == *"$sum"* ]] || same "of the user's, $1" "$sum" "gone"
	done
}

# listed WHEN: of each thing that is kept in given-up-N LIST says where it had been, and what the user had there is in it
listed() {
	local dir slot path
	for dir in "$USER_DIR"/mlimg/aside/given-up-*; do
		[ -d "$dir" ] || continue
		same "what is listed, $1" "$(cd "$dir" && find . -path '*/taken/*' -prune -printf '%P\n' | LC_ALL=C sort)" \
			"$(cut -d ' ' -f 1 "$dir/LIST" | LC_ALL=C sort)"
		while read -r slot path; do
			[ ! -f "$dir/$slot" ] || cmp "$dir/$slot" "$DIR/start/upper/$path"
		done <"$dir/LIST"
	done
}

# given_up VERSION THEN [TEXT]: prepare on VERSION is cut off anywhere, the plan removed, and THEN booted; TEXT is there, too
given_up() {
	local n at times=0 noted=0
	again
	run_on "$1"
	n=$(stop-at - "${CALL[@]}" 3>&1 >/dev/null)
	for ((at = 1; at < n; at += 2)); do
		again
		run_on "$1"
		cut_at "$at"
		[ -e "$USER_DIR/mlimg/reconcile.plan" ] || continue
		times=$((times + 1))
		rm "$USER_DIR/mlimg/reconcile.plan"
		on "$2"
		all_there "killed at call $at"
		listed "killed at call $at"
		[ $# -lt 3 ] || grep -rqF "$3" "$UPPER/etc" "$USER_DIR/mlimg/aside" || same "of the user's, killed at call $at" "$3" gone
		! grep -q "was given up" "$RUN/boot.json" || noted=$((noted + 1))
	done
	echo "$times times under way, $noted times given up"
	[ "$times" -gt 5 ]
	[ "$noted" -gt 3 ]
}

@test "a change that was given up anywhere, and made again: what it had taken is aside" {
	given_up v2 v2
}

@test "a change that was given up anywhere, and the former stack: what it had taken is aside" {
	given_up v2 v1
	same "note" "the change to generation 2 was given up: what it had taken away is in user/mlimg/aside/given-up-2" "$(
		again
		until [ -e "$USER_DIR/mlimg/reconcile.plan" ] && [ ! -e "$UPPER/etc/both" ]; do
			at=$((${at:-0} + 1))
			again
			run_on v2
			cut_at "$at"
		done
		rm "$USER_DIR/mlimg/reconcile.plan"
		on v1
		boot '.notes[]'
	)"
}

@test "a rollback that was given up anywhere: what it had taken of what was written since is aside" {
	printf 'root:x:0:0::/root:/bin/sh\n' | tee "$DIR/v1/etc/passwd" >"$DIR/v2/etc/passwd"
	layers
	user_anew etc
	on v1
	printf 'root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n' >"$UPPER/etc/passwd"
	sed '$s/e/mine/' "$DIR/v1/etc/both" >"$UPPER/etc/both"
	on v2
	printf 'root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\nyou:x:1001:1001::/:/bin/sh\n' >"$UPPER/etc/passwd"
	echo since >"$UPPER/etc/since"
	start
	# What the change has put goes with it; of accounts that are merged the lines stay.
	theirs=$(sha256sum <"$UPPER/etc/since" | cut -d' ' -f1)
	given_up v1 v1 you:x:1001
}

# cut_in_change: on v2, killed when some of it is done
cut_in_change() {
	local at=0
	run_on v2
	until [ -e "$USER_DIR/mlimg/reconcile.plan" ] && [ ! -e "$UPPER/etc/both" ]; do
		at=$((at + 1))
		again
		cut_at "$at"
	done
}

@test "without reconcile.new what was begun is not ended, and nothing is done" {
	local before own=$USER_DIR/mlimg
	cut_in_change
	cp -a "$own/reconcile.new" "$DIR/new"
	rm -r "$own/reconcile.new"
	before=$(treelist "$USER_DIR")
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/reconcile.new is not whole, so that what was begun cannot be ended: copy the user layer's image, and restore the directory or remove user/mlimg/reconcile.plan as mlimg-boot(7) says" \
		"${CALL[@]}"
	same "user layer" "$before" "$(treelist "$USER_DIR")"
	# Restored, it is ended.
	cp -a "$DIR/new" "$own/reconcile.new"
	on v2
	same "boot.json" '[2,"reconciled"]' "$(boot '[.generation, .reconcile.done]')"
	same "merged" "both two mine" "$(sed -n '1p;$p' "$UPPER/etc/both" | xargs)"
}

@test "without what a step puts what was begun is not ended, and nothing after it is done" {
	local own=$USER_DIR/mlimg
	cut_in_change
	find "$own/reconcile.new" -name '[0-9]*' -delete
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/upper/etc/both: user/mlimg/reconcile.new is not whole, so that what was begun cannot be ended: copy the user layer's image, and restore the directory or remove user/mlimg/reconcile.plan as mlimg-boot(7) says" \
		"${CALL[@]}"
	same "state" 1 "$(state .generation)"
	rm "$own/reconcile.plan"
	on v2
	all_there "given up"
	same "boot.json" '[2,"reconciled"]' "$(boot '[.generation, .reconcile.done]')"
}
