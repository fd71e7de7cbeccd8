#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets stderr
# Checkpoints of guests that are on, where QEMU or the agent says that something is wrong; a program in QEMU's place (tests/lib/fake-qemu.c) does.

load ../lib/common
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	need command sqlite3 qemu-img jq fuser
	cd "$BATS_FILE_TMPDIR" || return
	life_images
}

setup() {
	need command sqlite3 qemu-img jq fuser
	life_begin
}

teardown() {
	life_end
	! mountpoint -q "$BATS_TEST_TMPDIR/full" || umount "$BATS_TEST_TMPDIR/full"
}

# on SAYING…: alice is on; her QEMU and agent answer so. A machine is there, and nothing keeps its memory from being saved.
on() {
	printf 'says %s\n' 'query-memory-size-summary {"return": {"base-memory": 1048576}}' 'query-migrate {"return": {}}' \
		'qom-get {"return": "pc"}' 'query-kvm {"return": {"enabled": false}}' 'query-cpus-fast {"return": [{}]}' 'qom-list {"return": []}' \
		'query-status {"return": {"running": true}}' "$@" >steps
	echo 'agent {"event": "default-target", "data": {}}' >>steps
	echo 'live ab {"default_target_reached": true, "failed_units": []}' >>steps
	works_so_far vm start alice --no-wait
}

# Notes on stderr are life's.
works_so_far() {
	run --separate-stderr "$@"
	same "exit code of: $*" 0 "$status"
}

# job COMMAND MORE: what query-jobs says of it.
job() {
	echo "query-jobs {\"return\": [{\"id\": \"mlimg-$1\", $2}]}"
}

# disk TAG…: what QEMU says that is in the user disk.
disk() {
	local tag list=''
	for tag; do list+=${list:+,}"{\"name\": \"mlimg-$tag\", \"vm-state-size\": 5}"; done
	echo "query-named-block-nodes {\"return\": [{\"node-name\": \"user\", \"image\": {\"snapshots\": [$list]}}]}"
}

rows() {
	sqlite3 "$S/store.db" "SELECT tag || ':' || kind || ':' || state FROM checkpoint" | xargs
}

@test "checkpoints on: QEMU says how far it is, and that it is done" {
	on "$(job snapshot-save '"status": "created"')" "$(job snapshot-save '"status": "running"')" "$(job snapshot-save '"status": "concluded"')" \
		"$(disk one)"
	works vm checkpoint alice one
	same said "alice: checkpoint 'one': disk, and memory of 5 B" "$output"
	same rows one:memory:saved "$(rows)"
	same machine "1048576|1|pc tcg|5" "$(sqlite3 "$S/store.db" "SELECT memory_bytes, cpus, machine, saved_bytes FROM checkpoint")"
}

@test "checkpoints on: QEMU cannot write the memory: nothing is listed" {
	on "$(job snapshot-save '"status": "concluded", "error": "Error while writing VM state: No space left on device"')" "$(disk)"
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': 'snapshot-save' fails: Error while writing VM state: No space left on device" \
		vm checkpoint alice one
	same rows "" "$(rows)"
}

@test "checkpoints on: QEMU says that it is done, and the disk has it not" {
	on "$(job snapshot-save '"status": "concluded"')" "$(disk other)"
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': it is not in the user disk" vm checkpoint alice one
	same rows "" "$(rows)"
}

@test "checkpoints on: the file system had thawed: what was saved is removed" {
	on 'guest-fsfreeze-freeze {"return": 1}' 'guest-fsfreeze-thaw {"return": 0}' "$(job snapshot-delete '"status": "concluded"')" "$(disk)"
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': its file system has thawed before the disk was saved; try again" \
		vm checkpoint alice one --disk-only
	same rows "" "$(rows)"
}

# full_but KIB: the store is on a disk that has no more room than that; alice is on.
full_but() {
	mkdir full
	mount -t tmpfs -o size=48M tmpfs full
	cp -a "$S" full/store
	S=$PWD/full/store
	on 'guest-fsfreeze-freeze {"return": 1}' 'guest-fsfreeze-thaw {"return": 1}' \
		'blockdev-snapshot-internal-sync {"error": {"class": "GenericError", "desc": "Failed to create snapshot"}}' "$(disk)"
	dd if=/dev/zero of=full/rest bs=1k count="$1" status=none
	dd if=/dev/zero of=full/other bs=4k status=none 2>/dev/null || true
	rm full/rest
}

@test "checkpoints on: the host's disk is full: QEMU is not asked for one of the disk alone" {
	need root
	full_but 768
	run --separate-stderr vm checkpoint alice one --disk-only
	same "exit code and stdout" "1: " "$status: $output"
	[[ $stderr =~ ^"mlimg-vm: checkpoint 'one' of 'alice': its tables may take 1.0 MiB, and '$S/tenants/"[0-9a-f]*"' has "[0-9]*" KiB left"$ ]]
	same rows "" "$(rows)"
}

@test "checkpoints on: the host's disk is full: a rollout is left for resume, and no tenant has failed" {
	need root
	full_but 768
	run --separate-stderr mlimg-upgrade apply --store "$S" --system debian:12.2 --tenants alice
	same "exit code" 1 "$status"
	[[ $stderr =~ "mlimg-upgrade: rollout 1 is left as it is ('mlimg-upgrade resume' goes on): alice: checkpoint 'before-upgrade-1' of 'alice': its tables may take 1.0 MiB, and '$S/tenants/"[0-9a-f]*"' has "[0-9]*" KiB left"$ ]]
	same places waiting "$(mlimg-upgrade status --store "$S" --json | jq -r '.tenants[].place' | xargs)"
	same rows "" "$(rows)"
}

@test "checkpoints on: the agent does not freeze" {
	on 'guest-fsfreeze-freeze {"error": {"class": "Busy", "desc": "it is frozen already"}}' "$(disk)"
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': freeze its file system (with memory, or when it is off, there is no need to): 'guest-fsfreeze-freeze' fails: it is frozen already" \
		vm checkpoint alice one --disk-only
	same rows "" "$(rows)"
}

@test "checkpoints on: a plan that takes one: the agent does not freeze" {
	on 'guest-fsfreeze-freeze {"error": {"class": "Busy", "desc": "it is frozen already"}}' "$(disk)"
	run --separate-stderr mlimg-upgrade plan --store "$S" --system debian:12.2 --checkpoint --json
	# shellcheck disable=SC2154 # run sets it
	same "status and stderr" "1 " "$status $stderr"
	[[ $(jq -r '.tenants[0] | .outcome, .why' <<<"$output" | xargs -d '\n') =~ ^"failed checkpoint 'plan-"[-0-9]*"' of 'alice': freeze its file system (with memory, or when it is off, there is no need to): 'guest-fsfreeze-freeze' fails: it is frozen already" ]]
	same rows "" "$(rows)"
}

@test "checkpoints on: a memory that cannot be loaded: and nothing was kept: the guest is ended" {
	on "$(job snapshot-save '"status": "concluded"')" "$(disk one)"
	works vm checkpoint alice one
	vm stop alice >/dev/null
	on "$(job snapshot-save '"status": "concluded"')" "$(disk one before)" 'snapshot-load {"error": {"desc": "Section footer error"}}' 'snapshot-load {"return": {}}' \
		"$(job snapshot-load '"status": "concluded"')"
	fails 1 "mlimg-vm: 'alice' is off: 'snapshot-load' fails: Section footer error" vm restore alice one --discard
	same rows one:memory:saved "$(rows)"
}

@test "checkpoints on: a memory over another index is refused, before it is loaded" {
	local saved='{"node-name": "user", "image": {"snapshots": [{"name": "mlimg-one", "vm-state-size": 5}]}}'
	on "$(job snapshot-save '"status": "concluded"')" \
		"query-named-block-nodes {\"return\": [$saved, {\"node-name\": \"index\", \"file\": \"/x/0123-aa.erofs\"}]}"
	works vm checkpoint alice one
	same machine "pc tcg index=0123-aa.erofs" "$(sqlite3 "$S/store.db" "SELECT machine FROM checkpoint")"
	vm stop alice >/dev/null
	on "$(job snapshot-save '"status": "concluded"')" 'snapshot-load {"error": {"desc": "it was asked for"}}' \
		"query-named-block-nodes {\"return\": [$saved, {\"node-name\": \"index\", \"file\": \"/x/0123-bb.erofs\"}]}"
	fails 1 "mlimg-vm: checkpoint 'one' was taken over another index of the same layers than 'alice' has now, with --verity or as a newer mlimg makes it: restore the disk alone, with --disk-only" \
		vm restore alice one --discard
}

@test "checkpoints on: a restore that was interrupted is told until the next command ends it" {
	vm checkpoint alice one >/dev/null
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'restoring'"
	same "status" "guest     off: a restore of checkpoint 'one' is under way, or was interrupted" "$(vm status alice | grep ^guest)"
	same "list" "off: a restore of checkpoint 'one' is under way, or was interrupted" "$(vm list --json | jq -r '.[0] | "\(.state): \(.why)"')"
	vm checkpoint alice two >/dev/null
	same "status" "guest     off" "$(vm status alice | grep ^guest)"
	same rows "one:disk:saved two:disk:saved" "$(rows)"
}
