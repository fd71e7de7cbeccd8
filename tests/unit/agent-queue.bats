#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # said: lib/stacks
# What is queued in a user layer, done by mlimg-agent prepare: beside changes of the stack, in other modes, damaged. What each operation does is in test_queue_run.c.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
	QUEUE=$USER_DIR/mlimg/queue
}

# queue LINE…: waits for the next boot
queue() {
	printf '%s\n' 'mlimg-queue 1' "$@" >"$QUEUE"
}

# report N FILTER: out of queue-N.json
report() {
	jq -rc "$2" "$USER_DIR/mlimg/reports/queue-$1.json"
}

@test "what is queued is done before the stack is compared, and told" {
	on v1
	same "queue" null "$(boot .queue)"
	echo mine >"$UPPER/etc/both"
	echo mine >"$UPPER/usr/bin/program"
	queue 'reset etc/both' 'restore etc/none'
	on v2
	grep -qx 'aside .* /etc/both  at: aside/queue-1/etc/both' "$USER_DIR/mlimg/reports/queue-1.txt"
	same "standard output" "queued by the user: 1 operation done, 1 had nothing to do any more: see $RUN/user/mlimg/reports/queue-1.txt" \
		"$(head -n 1 <<<"$said")"
	same "boot.json" "{\"report\":\"$RUN/user/mlimg/reports/queue-1.json\",\"done\":1,\"left\":1}" "$(boot .queue)"
	same "notes" "[]" "$(boot .notes)"
	same "generation of the report" 1 "$(report 1 .generation)"
	# What was reset is no conflict with the new stack.
	same "conflicts" '["usr/bin/program"]' "$(jq -c '[.entries[] | select(.verdict == "conflict") | .path]' "$USER_DIR/mlimg/reports/2.json")"
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/etc/both")"
	[ ! -e "$UPPER/etc/both" ]
	[ ! -e "$QUEUE" ]
	on v2
	same "queue" null "$(boot .queue)"
	same "standard output" "" "$said"
}

@test "the stack before is to be had again after what was queued, and what was reset stays so" {
	on v1
	echo mine >"$UPPER/usr/bin/program"
	echo mine >"$UPPER/etc/both"
	cp -a "$DIR/v1/etc/stale" "$UPPER/etc/stale"
	on v2
	queue 'reset etc/both'
	on v2
	same "done" 1 "$(boot .queue.done)"
	same "generation" "2 none" "$(boot '"\(.generation) \(.change)"')"
	on v1
	same "reconcile" rolled-back "$(boot .reconcile.done)"
	same "upper" "etc/stale usr/bin/program" "$(cd "$UPPER" && find . -type f -printf '%P\n' | sort | xargs)"
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/etc/both")"
}

@test "in the modes that keep nothing the queue waits" {
	local mode
	on v1
	echo mine >"$UPPER/etc/both"
	queue 'reset etc/both'
	for mode in volatile readonly rescue; do
		on v1 --mode $mode
		same "notes in mode $mode" '["what was queued waits for the next boot that keeps changes"]' "$(boot .notes)"
		same "queue" null "$(boot .queue)"
		[ -f "$UPPER/etc/both" ]
	done
	mv "$QUEUE" "$USER_DIR/mlimg/queue.run"
	on v1 --mode readonly
	same "notes" '["what was queued was interrupted, and is done in part: the next boot that keeps changes ends it"]' "$(boot .notes)"
}

@test "a damaged queue does not stop the boot" {
	on v1
	echo mine >"$UPPER/etc/both"
	queue 'drop etc/both'
	on v1
	same "notes" '["what was queued is damaged and was not done, it is user/mlimg/queue.bad now: queue: line 2: no operation of a known kind"]' "$(boot .notes)"
	same "standard output" "what was queued is damaged and was not done, it is user/mlimg/queue.bad now: queue: line 2: no operation of a known kind" "$said"
	same "queue.bad" 'mlimg-queue 1 drop etc/both' "$(xargs <"$USER_DIR/mlimg/queue.bad")"
	[ -f "$UPPER/etc/both" ]
	mkdir "$QUEUE"
	on v1
	[[ $(boot '.notes[0]') == "what was queued is damaged"*"which is no regular file"* ]]
	[ -d "$USER_DIR/mlimg/queue.bad-2" ]
	on v1
	same "notes" '[]' "$(boot .notes)"
}

@test "a change that was interrupted is ended first, and a factory reset comes after" {
	on v1
	echo mine >"$UPPER/etc/both"
	printf 'mlimg change 1 2 1\n' >"$USER_DIR/mlimg/reconcile.plan"
	queue 'reset etc/both'
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/reconcile.new is not whole, so that what was begun cannot be ended: copy the user layer's image, and restore the directory or remove user/mlimg/reconcile.plan as mlimg-boot(7) says" \
		mlimg-agent prepare --root "$RUN" "${OPTIONS[@]}" --system "$V1" --user "$TENANT"
	[ -f "$QUEUE" ]
	rm "$USER_DIR/mlimg/reconcile.plan"
	on v1 --reset again
	same "queue, reset" "1 again" "$(boot '"\(.queue.done) \(.user.reset.request)"')"
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/etc/both")"
}

@test "what was reset of a database shows as the layers have it" {
	need root
	packaged v1 1.0
	layers
	on v1
	mkdir -p "$UPPER/var/lib/dpkg"
	{
		cat "$DIR/v1/var/lib/dpkg/status"
		stanza own 1
	} >"$UPPER/var/lib/dpkg/status"
	queue 'reset var/lib/dpkg/status'
	on v1
	same "report" '["aside","records of your own are in it"]' "$(report 1 '[.entries[0].done, .entries[0].why]')"
	same "aside" 2 "$(grep -c ^Package: "$USER_DIR/mlimg/aside/queue-1/var/lib/dpkg/status")"
}

# Whoever queued it was not asked: the account was made later.
@test "a directory that has got records of accounts by the boot stays, unless it was to go with them" {
	on v1
	echo mine >"$UPPER/etc/both"
	echo me:x:1000:1000::/:/bin/sh >"$UPPER/etc/passwd"
	queue 'reset etc'
	on v1
	same "queue" "0 1" "$(boot '"\(.queue.done) \(.queue.left)"')"
	same "report" '["stays","records of accounts or packages of your own are in it: only with --force"]' "$(report 1 '[.entries[0].done, .entries[0].why]')"
	[ -f "$UPPER/etc/passwd" ] && [ -f "$UPPER/etc/both" ] && [ ! -e "$QUEUE" ]
	queue 'reset-all etc'
	on v1
	same "report" '["aside","records of your own are in it"]' "$(report 2 '[.entries[0].done, .entries[0].why]')"
	same "aside" me:x:1000:1000::/:/bin/sh "$(cat "$USER_DIR/mlimg/aside/queue-2/etc/passwd")"
	[ ! -e "$UPPER/etc" ]
	mkdir "$UPPER/etc"
	echo me:x:1000:1000::/:/bin/sh >"$UPPER/etc/passwd"
	queue 'reset etc/passwd'
	on v1
	same "one that is named" aside "$(report 3 '.entries[0].done')"
}

@test "mlimg tells what waits and what was done" {
	on v1
	echo mine >"$UPPER/etc/both"
	queue 'reset etc/both' 'restore etc/no\040name'
	works mlimg --root "$RUN" status
	same "next boot" "next boot   2 operations wait for it
            reset /etc/both
            restore /etc/no\\040name" "$(grep -A 2 '^next boot' <<<"$output")"
	works mlimg --root "$RUN" --json status
	same "JSON" '[2,[{"operation":"reset","path":"etc/both"},{"operation":"restore","path":"etc/no\\040name"}]]' "$(jq -c '[.pending, .queue]' <<<"$output")"
	on v1
	works mlimg --root "$RUN" status
	same "queued" "queued      1 done, 1 had nothing to do any more; see 'mlimg reports queue-1'" "$(grep '^queued' <<<"$output")"
	echo mine >"$UPPER/usr/bin/program"
	on v2
	works mlimg --root "$RUN" reports
	same "reports" "2 3 dropped, 1 aside, 0 beside, 0 merged, 0 joined; 1 conflict
queue-1 0 dropped, 1 aside, 0 joined; 1 had nothing to do any more" "$(sed -E 's/ +[0-9-]+ [0-9:]+  / /' <<<"$output")"
	works mlimg --root "$RUN" --json reports
	same "JSON" '[[2,null,1],[null,1,1]]' "$(jq -c '[.[] | [.generation, .queue, .done.aside]]' <<<"$output")"
	works mlimg --root "$RUN" reports queue-1
	same "report" "What was queued: queue-1" "$(head -n 1 <<<"$output")"
	works mlimg --root "$RUN" --json reports queue-1
	same "report" '["etc/both","etc/no\\040name"]' "$(jq -c '[.entries[].path]' <<<"$output")"
	fails 1 "mlimg: report queue-7: No such file or directory" mlimg --root "$RUN" reports queue-7
	same "conflicts" 1 "$(mlimg --root "$RUN" conflicts | wc -l)"
	echo rubbish >"$QUEUE"
	fails 3 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" mlimg --root "$RUN" status
	same "next boot" "next boot   not known" "$(grep '^next boot' <<<"$output")"
	fails 3 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" mlimg --root "$RUN" --json status
	same "JSON" '[null,null]' "$(jq -c '[.pending, .queue]' <<<"$output")"
}

@test "what was begun is ended before the upper gets another form, and before it is taken back" {
	need root
	on v1
	echo mine >"$UPPER/etc/both"
	mkdir -p "$USER_DIR/mlimg"/{queue.run/{taken,aside/etc},reports,aside}
	cd "$USER_DIR/mlimg/queue.run"
	echo 1 >number
	printf 'mlimg undo 1 overlay\na m etc/both\0' >log
	printf 'mlimg-queue 1\nreset etc/both\n' | tee operations >"$QUEUE"
	fails 3 "mlimg-agent: $USER_DIR: what was queued was interrupted, which the next boot ends" mlimg-agent rollback "$USER_DIR"
	works mlimg-agent convert --to unionfs "$USER_DIR"
	[[ $output == *"what was queued, which an earlier boot had begun, was ended: see user/mlimg/reports/queue-1.txt"* ]]
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/etc/both")"
	[ ! -e "$QUEUE" ]
	[ ! -e "$USER_DIR/mlimg/queue.run" ]
	[ ! -e "$UPPER/etc/both" ]
}
