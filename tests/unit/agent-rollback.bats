#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent rollback: what it needs, and what it tells. What becomes of the upper is agent-back.bats' affair.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

# killed CALLS COMMAND…: stopped at that call that writes
killed() {
	local status=0
	stop-at "$1" "${@:2}" 3>/dev/null >/dev/null 2>&1 || status=$?
	[ "$status" -eq 137 ] || [ "$status" -eq 0 ]
}

@test "mlimg-agent rollback: what needs the former layers is refused without them, and done with them" {
	local before
	need root
	packages_of_stacks
	on v1
	on v2
	new_package
	before=$(treelist "$UPPER" && find "$USER_DIR/mlimg" | sort)
	fails 1 "mlimg-agent: $USER_DIR: user/mlimg: the former stack's layers are needed for what was written since: mount them beneath one directory, and name it with --root" \
		mlimg-agent rollback "$USER_DIR"
	same "user layer" "$before" "$(treelist "$UPPER" && find "$USER_DIR/mlimg" | sort)"
	fails 3 "mlimg-agent: $USER_DIR: $RUN: layers/0: id $V1 is wanted, this is 'debian' 12.2 with id $V2" \
		mlimg-agent rollback --root "$RUN" "$USER_DIR"
	rm -rf "$RUN/layers/0"
	cp -r "$DIR/layer-v1" "$RUN/layers/0"
	ln -s "$DIR/v1" "$RUN/layers/0/rootfs"
	works mlimg-agent rollback --root "$RUN" "$USER_DIR"
	[[ $output == *"written since, and merged: /var/lib/dpkg/status"* ]]
	same "packages" "tool 1 new 1" "$(awk '/^(Package|Version)/ { print $2 }' "$UPPER/var/lib/dpkg/status" | xargs)"
	same "hidden" "file old" "$(cd "$UPPER/usr/share/gone" && find . -type c -printf '%P\n' | sort | xargs)"
	on v1
	same "boot.json" '["none",3,null]' "$(boot '[.change, .generation, .reconcile]')"
}

# written_since: on v1 and v2, and on v2 the user writes where taking the change back has something.
written_since() {
	on v1
	printf 'stale one\nb\nc\nd\ne\n' >"$UPPER/etc/stale"
	echo mine >"$UPPER/usr/bin/program"
	on v2
	[ ! -e "$UPPER/etc/stale" ] && [ ! -e "$UPPER/usr/bin/program" ]
	mkdir -p "$UPPER/etc" "$UPPER/usr/bin"
	echo late | tee "$UPPER/etc/stale" >"$UPPER/usr/bin/program"
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
}

# again: as it is in ./start
@test "mlimg-agent rollback: tells in a report what a boot would" {
	local wanted
	written_since
	on v1
	same "boot.json" '["rolled-back",2,"'"$RUN/user/mlimg/reports/3.json"'"]' "$(boot '[.reconcile.done, .reconcile.aside, .report.path]')"
	wanted=$(cd "$USER_DIR/mlimg/reports" && tail -n +1 3.json 3.txt)
	again
	works mlimg-agent rollback "$USER_DIR"
	same "reports" "2.json 2.txt 3.json 3.txt" "$(cd "$USER_DIR/mlimg/reports" && echo *)"
	same "report" "$wanted" "$(cd "$USER_DIR/mlimg/reports" && tail -n +1 3.json 3.txt)"
	same "title" "Generation 3: the last change taken back" "$(head -n 1 "$USER_DIR/mlimg/reports/3.txt")"
	# What the change had set aside stays where it is.
	same "entries" "usr/bin/program conflict aside aside/2/usr/bin/program
etc/stale conflict aside aside/3/etc/stale" "$(jq -r '.entries[] | "\(.path) \(.verdict) \(.done) \(.at)"' "$USER_DIR/mlimg/reports/3.json")"
}

@test "mlimg-agent rollback: says which of two is aside, the older or the newer" {
	mkdir -p "$DIR"/v{1,2}/usr/share/info
	echo "of 1" >"$DIR/v1/usr/share/info/dir"
	echo "of 2" >"$DIR/v2/usr/share/info/dir"
	layers
	written_since
	mkdir -p "$UPPER/usr/share/info"
	echo "by hand" >"$UPPER/usr/share/info/dir"
	works mlimg-agent rollback "$USER_DIR"
	same "lines" "what was there before shows again; yours of since is in mlimg/aside/3: /usr/share/info/dir
written since, so the older one is in mlimg/aside/2: /usr/bin/program
written since, so the older one is in mlimg/aside/3: /etc/stale" "$(grep ' is in mlimg/aside/' <<<"$output" | sort)"
	same "newer" "by hand" "$(cat "$USER_DIR/mlimg/aside/3/usr/share/info/dir")"
	same "older" "mine stale one" "$(head -qn 1 "$USER_DIR"/mlimg/aside/{2/usr/bin/program,3/etc/stale} | xargs)"
}

@test "mlimg-agent rollback: killed at any call and begun again there is a report" {
	local n at status
	written_since
	rm -r "$USER_DIR/mlimg/aside/2" "$DIR/start/mlimg/aside/2"
	n=$(stop-at - mlimg-agent rollback "$USER_DIR" 3>&1 >/dev/null)
	for ((at = 0; at < n; at += 3)); do
		again
		killed "$at" mlimg-agent rollback "$USER_DIR"
		status=0
		mlimg-agent rollback "$USER_DIR" || status=$?
		# It may have been done, or all but done.
		[ $status -le 1 ]
		same "generation in state and report, killed at call $at" "3 3" "$(jq .generation "$USER_DIR"/mlimg/{state,reports/3}.json | xargs)"
		# Noted before it was decided.
		grep -qx 'broken   mlimg/aside/2: taken back: things that were set aside and are no longer there: 1' "$USER_DIR/mlimg/reports/3.txt"
	done
	[ "$at" -gt 9 ]
}

@test "mlimg-agent rollback: goes on without a report that cannot be written" {
	need root
	written_since
	chattr +i "$USER_DIR/mlimg/reports" || skip "the file system knows no flags"
	run mlimg-agent rollback "$USER_DIR"
	chattr -i "$USER_DIR/mlimg/reports"
	same "status" 0 "$status"
	same "told" "the report of this could not be written" "$(grep report <<<"$output")"
	same "state" 3 "$(jq .generation "$USER_DIR/mlimg/state.json")"
	[ ! -e "$USER_DIR/mlimg/reports/3.json" ]
}
