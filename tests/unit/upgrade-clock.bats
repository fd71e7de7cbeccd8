#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # life_begin sets what is used
# Whose checkpoints a rollout deletes, whatever they are called and whatever the clock says: those that rollouts have taken, and no others. And windows, which are of the
# time of the day.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load ../lib/rollout
load vm-fakes

setup_file() {
	need command faketime
	life_images
	rollout_make
}

setup() {
	life_begin
}

teardown() {
	life_end
}

# told STATUS STDOUT COMMAND…: mlimg-upgrade on the store, silent on stderr.
told() {
	run --separate-stderr mlimg-upgrade "$3" --store "$S" "${@:4}"
	same "exit code, stdout and stderr of: ${*:3}" "$1 $2 " "$status $output $stderr"
}

# saved: "NAME:TAG:ORIGIN" of all checkpoints.
saved() {
	sqlite3 "$S/store.db" "SELECT t.name || ':' || c.tag || ':' || c.origin FROM checkpoint c JOIN tenant t ON t.id = c.tenant_id ORDER BY t.name, c.number" | xargs
}

# One that is done, as it was before.
fresh() {
	rm -rf "$S"
	cp -a before "$S"
}

@test "upgrade clock: a checkpoint that somebody else has called so is his" {
	rollout_begin alice
	unhealthy >"$STEPS/alice.12.2"
	run mlimg-upgrade apply --store "$S" --system debian:12.2 --health 1
	same "exit code" 1 "$status"
	works vm checkpoint bob before-upgrade-1 --disk-only
	told 1 "wave 2 of rollout 1: debian 12.2
bob: failed: checkpoint 'before-upgrade-1' of 'bob': there is a checkpoint 'before-upgrade-1' already
rollout 1: done: 1 returned, 1 failed" resume --max-failures 1
	same "checkpoints" "alice:before-upgrade-1:upgrade bob:before-upgrade-1:named" "$(saved)"
	told 0 "" forget 1
	same "checkpoints when it is forgotten" "bob:before-upgrade-1:named" "$(saved)"
	same "snapshots of bob" 1 "$(qemu-img snapshot -l "$(tenant_disk bob)" | grep -c mlimg-before-upgrade-1)"
	# Nor does the next one take it for one of its own.
	works mlimg-upgrade apply --store "$S" --system debian:12.2 --tenants bob
	same "checkpoints then" "bob:before-upgrade-1:named bob:before-upgrade-2:upgrade" "$(saved)"
	same "as JSON" "before-upgrade-1:named before-upgrade-2:upgrade" "$(vm checkpoints bob --json | jq -r '.[] | "\(.tag):\(.origin)"' | xargs)"
}

@test "upgrade clock: the disk is not made what somebody else has saved under its name" {
	rollout_begin alice
	unhealthy >"$STEPS/12.2"
	printf 'early exit 3\n' >"$STEPS/alice.12.1"
	mlimg-upgrade apply --store "$S" --system debian:12.2 --tenants alice --health 10 >out 2>&1 &
	until [ "$(places 2>/dev/null)" = alice:check ] || ! kill -0 $!; do sleep 0.1; done
	# As when it was deleted, and another one taken.
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "UPDATE checkpoint SET origin = 'named'"
	wait $! || true
	same "what is told" "alice: failed: check web; then: tenant 'alice': QEMU ended with status 3; then: checkpoint 'before-upgrade-1' of 'alice' is not the rollout's" \
		"$(grep '^alice: failed' out)"
	same "checkpoints" "alice:before-upgrade-1:named" "$(saved)"
}

@test "upgrade clock: begun with a clock that was ahead, killed anywhere, and gone on with" {
	local n at status
	cp -a "$S" before
	n=$(faketime -f +1h stop-at - mlimg-upgrade apply --store "$S" --system debian:12.2 3>&1 >/dev/null)
	for at in $(seq $((n / 4)) $((n / 4)) $((n - 1))); do
		fresh
		status=0
		faketime -f +1h stop-at "$at" mlimg-upgrade apply --store "$S" --system debian:12.2 3>/dev/null >/dev/null 2>&1 || status=$?
		[ $status -eq 137 ] || [ $status -eq 0 ]
		case $(sqlite3 "$S/store.db" "SELECT state FROM rollout") in
			'') works mlimg-upgrade apply --store "$S" --system debian:12.2 ;;
			done) ;;
			*) works mlimg-upgrade resume --store "$S" ;;
		esac
		same "killed at $at of $n: checkpoints" "alice:before-upgrade-1:upgrade bob:before-upgrade-1:upgrade" "$(saved)"
		works mlimg-upgrade forget 1 --store "$S"
		same "killed at $at of $n: when it is forgotten" "" "$(saved)"
		same "killed at $at of $n: snapshots" "" "$(qemu-img snapshot -l "$(tenant_disk alice)" && qemu-img snapshot -l "$(tenant_disk bob)")"
	done
}

@test "upgrade clock: restarted in the window, and not before" {
	local window
	rollout_begin alice
	window=$(date -u -d '+1 hour' +%H:%M)-$(date -u -d '+3 hours' +%H:%M)
	TZ=UTC mlimg-upgrade apply --store "$S" --system debian:12.2 --tenants alice --restart "$window" >out 2>&1 &
	until [ "$(places 2>/dev/null)" = alice:hold ] || ! kill -0 $!; do sleep 0.1; done
	# Longer than between two looks.
	sleep 3
	same "before" "alice:hold alice:1:2 up" "$(places) $(generations alice) $(state alice)"
	same "events" "started up" "$(events alice)"
	kill -TERM "$(<"$S/upgrade.lock")"
	wait $! || true
	same "last line" "rollout 1: paused: 1 hold; 'mlimg-upgrade resume' goes on" "$(tail -n 1 out)"
	# Where it is two hours later.
	TZ=ABC-2 mlimg-upgrade resume --store "$S" >out 2>&1
	same "last lines" "alice: done
rollout 1: done: 1 done" "$(tail -n 2 out)"
	same "in the window" "alice:done alice:2: up" "$(places) $(generations alice) $(state alice)"
}
