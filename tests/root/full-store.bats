#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# A store on a disk without a byte left, as it is beneath a guest that has filled it: what is there can be read, and the guest goes on. A program is in
# QEMU's place (tests/lib/fake-qemu.c).

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load ../unit/vm-fakes

setup_file() {
	need root
	life_images
}

setup() {
	life_begin
	mkdir full
	mount -t tmpfs -o size=64M tmpfs full
	cp -a "$S" full/store
	S=$PWD/full/store
}

teardown() {
	life_end
	umount "$BATS_TEST_TMPDIR/full"
}

@test "full store: list, status and start of a guest that stands still, while not a byte is left" {
	local status step why="its disk cannot be written: no room on the host's disk; make room, then 'mlimg-vm start alice'"
	lives abe
	status=$(sed -n 's/^live abe //p' "$FAKE_QEMU")
	{
		# Asked by: the supervisor, and start, twice.
		for step in io-error io-error running; do
			printf 'says query-status {"return": {"status": "%s", "running": false}}\n' "$step"
		done
		printf '%s\n' 'stage switch-root' "answer $status" \
			'qmp {"event": "BLOCK_IO_ERROR", "data": {"operation": "write", "action": "stop", "nospace": true}}' \
			'qmp {"event": "STOP", "data": {}}' "live abe $status"
	} >"$FAKE_QEMU"
	vm start --no-wait alice >/dev/null 2>&1
	until [[ $(vm list --json | jq -r '.[0].why') == "$why" ]]; do sleep 0.05; done
	cat /dev/zero >full/other 2>/dev/null || true
	same "bytes left" 0 "$(stat -f -c %a full)"
	same "list" "paused: $why" "$(vm list --json | jq -r '.[0] | "\(.state): \(.why)"')"
	works vm status alice
	[[ $output == *"guest     paused: $why, started "* ]]
	works mlimg-store --store "$S" list
	# Two at once wait for each other.
	vm list >one &
	works vm list
	wait $!
	same "list" "$output" "$(<one)"
	works vm start alice
	same "said" "alice: goes on, and has lost nothing" "$output"
	rm full/other
	works vm stop alice
	sqlite3 "$S/store.db" 'PRAGMA integrity_check' | grep -qx ok
}
