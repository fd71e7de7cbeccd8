#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# Guests that stand still since the disk of their host is full: QEMU keeps what it could not write. A program in QEMU's place (tests/lib/fake-qemu.c) says
# that it does; a real one is in vm/full-host.bats.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	need command socat
	life_images
}

setup() {
	life_begin
}

teardown() {
	life_end
}

WHY="its disk cannot be written: no room on the host's disk; make room, then 'mlimg-vm start alice'"

# stuck WHEN NOSPACE STATUS…: what the program does: a boot, and a write that fails, for want of room or not, behind the boot or (WHEN "boot") in it. Its status is
# asked by the supervisor first, then by commands; the last of STATUS lasts.
stuck() {
	local status step
	lives abe
	status=$(sed -n 's/^live abe //p' "$FAKE_QEMU")
	{
		for step in "${@:3}"; do
			printf 'says query-status {"return": {"status": "%s", "running": false}}\n' "$step"
		done
		echo 'stage switch-root'
		[ "$1" = boot ] || echo "answer $status"
		# The first is the guest's own to bear.
		echo 'qmp {"event": "BLOCK_IO_ERROR", "data": {"device": "", "operation": "write", "action": "report", "nospace": false}}'
		echo "qmp {\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"operation\": \"write\", \"action\": \"stop\", \"nospace\": $2}}"
		echo 'qmp {"event": "STOP", "data": {}}'
		echo "live abe $status"
	} >"$FAKE_QEMU"
}

# stands_still: alice's guest is on, and why it does nothing is told.
stands_still() {
	vm start --no-wait alice >/dev/null 2>&1
	until [[ $(vm list --json | jq -r '.[0] | "\(.state): \(.why)"') == "paused: ${1:-$WHY}" ]]; do sleep 0.05; done
}

@test "stuck: list and status say why, and what to do" {
	stuck up true io-error
	stands_still
	same "list" "$WHY" "$(vm list | sed -n '2s/.*\(its disk .*\)/\1/p')"
	same "status" "guest     paused: $WHY, started TIME" "$(vm status alice | sed -nE 's/[0-9-]{10} [0-9:]{8}/TIME/; /^guest/p')"
	same "as JSON" "paused $WHY" "$(vm status alice --json | jq -r '"\(.state) \(.why)"')"
}

@test "stuck: for another reason than room" {
	stuck up false io-error
	stands_still "its disk cannot be written: the host's disk failed; mend it, then 'mlimg-vm start alice'"
}

@test "stuck: start has it go on, where it was" {
	stuck up true io-error io-error running
	stands_still
	works vm start alice
	same "said" "alice: goes on, and has lost nothing" "$output$stderr"
	until [ "$(state alice)" = up ]; do sleep 0.05; done
	same "events" "started up" "$(events alice)"
	fails 1 "mlimg-vm: tenant 'alice' is running already (up)" vm start alice
	works vm stop alice
	same "said" "alice: powered off by its agent" "$output"
}

@test "stuck: without room, start says that it still stands still" {
	stuck up true io-error
	stands_still
	fails 1 "mlimg-vm: tenant 'alice' stands still: $WHY" vm start alice
	same "QEMU" "$(life_pid alice 2)" "$(pgrep -fx ".*guest=alice .*$(tenant alice id).*")"
}

@test "stuck: one that somebody has paused is let alone" {
	lives
	vm start alice >/dev/null 2>&1
	printf '%s\n' '{"execute": "qmp_capabilities"}' '{"execute": "stop"}' |
		socat -t 1 - "UNIX-CONNECT:$(life_dir alice)/monitor.sock" >/dev/null
	until [ "$(state alice)" = paused ]; do sleep 0.05; done
	same "why" "" "$(vm list --json | jq -r '.[0].why')"
	fails 1 "mlimg-vm: tenant 'alice' is running already (paused)" vm start alice
	same "state" paused "$(state alice)"
}

@test "stuck: a boot that stands still is not late, and goes on" {
	stuck boot true io-error io-error running
	works vm set alice --boot-timeout 5
	stands_still
	# Longer than its boot may take, which has its time again when it goes on.
	sleep 6
	same "state" paused "$(state alice)"
	works vm start alice
	same "said" "alice: goes on, and has lost nothing" "$output$stderr"
}

@test "stuck: stop says what is lost before it ends the guest; restart too" {
	stuck up true io-error
	# It cannot hear anything.
	sed -i 's/^live abe/live x/' "$FAKE_QEMU"
	stands_still
	fails 1 "mlimg-vm: warning: tenant 'alice' cannot power off: its disk cannot be written; without room on the host's disk within 2 s it is ended, and loses what it had to write
mlimg-vm: tenant 'alice' did not power off within 2 s, ended: what its disk had no room for is lost" vm stop --timeout 2 alice
	same "last event" "off: ended by force" "$(last_event alice)"
	stands_still
	run --separate-stderr vm restart --no-wait --timeout 1 alice
	same "exit code" 0 "$status"
	same "warned" "mlimg-vm: warning: tenant 'alice' cannot power off: its disk cannot be written; without room on the host's disk within 1 s it is ended, and loses what it had to write
mlimg-vm: warning: tenant 'alice' did not power off within 1 s, ended: what its disk had no room for is lost" "$(grep warning <<<"$stderr")"
}

@test "stuck: where room is made while it is stopped, it powers off" {
	# Asked by: the supervisor; stop, twice, with no room; and stop again.
	stuck up true io-error io-error io-error io-error running
	stands_still
	run --separate-stderr vm stop alice
	same "exit code" 0 "$status"
	same "said" "alice: powered off by its power button" "$output"
	same "warned" "mlimg-vm: warning: tenant 'alice' cannot power off: its disk cannot be written; without room on the host's disk within 90 s it is ended, and loses what it had to write" "$stderr"
}

@test "stuck: a guest of 'run' says it, and how it goes on" {
	mlimg-mkfs --quiet --kind user --name carol --size 64M u.img
	stuck up true io-error
	mlimg-vm run --system "$BATS_FILE_TMPDIR/s1.img" --user u.img --accel tcg --runtime-dir "$run" >/dev/null 2>err &
	until grep -q 'stands still' err; do sleep 0.05; done
	same "said" "carol: stands still: its disk cannot be written, there is no room on the host's; 'cont' on $run/carol/monitor.sock lets it go on" "$(grep stands err)"
	works mlimg-vm stop --runtime-dir "$run" carol
	wait
}
