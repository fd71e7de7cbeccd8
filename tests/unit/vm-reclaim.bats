#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# Clusters of a user disk that are counted as used and that nobody refers to, as a QEMU leaves them that is killed. Here they are made by hand; in
# vm/checkpoints.bats a real one leaves some.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	need command mke2fs jq sqlite3 qemu-img qemu-io fuser
	cd "$BATS_FILE_TMPDIR" || return
	life_images
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	life_begin
	lives
	disk=$(tenant_disk alice)
}

teardown() {
	life_end
}

# number OFFSET: eight bytes of the disk, big-endian.
number() {
	echo $((16#$(od -An -v -tx1 -j "$1" -N 8 "$disk" | tr -d ' ')))
}

# count CLUSTER N: what the disk says of how often a cluster is used (QEMU's docs/interop/qcow2.txt): in the first block of counts, of 16 bits.
count() {
	local table block
	table=$(number 48)
	block=$(number "$table")
	printf '%b' "\\x00\\x0$2" | dd of="$disk" bs=1 seek=$((block + 2 * $1)) conv=notrunc status=none
}

# leaks N: N clusters more, at its end, that are counted and that nobody refers to.
leaks() {
	local first i
	first=$((($(stat -c %s "$disk") + 65535) / 65536))
	truncate -s $(((first + $1) * 65536)) "$disk"
	for ((i = 0; i < $1; i++)); do count $((first + i)) 1; done
	leaked "$1"
}

# damaged: a cluster is referred to, that of a table, and not counted.
damaged() {
	count $(($(number 40) / 65536)) 0
}

# leaked N: that so many have leaked, and nothing else is wrong.
leaked() {
	same "errors and leaks" "0 $1" "$(qemu-img check -f qcow2 --output=json "$disk" 2>/dev/null | jq -r '"\(.corruptions // 0) \(.leaks // 0)"')"
}

# dies: alice's QEMU does, while it is up.
dies() {
	vm start alice >/dev/null 2>&1
	kill -KILL "$(life_pid alice 2)"
	life_off alice
}

# starts NAME: and says on the way how.
starts() {
	run --separate-stderr vm start "$1"
	same "exit code" 0 "$status" || same stderr "" "$stderr"
}

reclaimed() {
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT text FROM event WHERE kind = 'reclaimed' ORDER BY id"
}

@test "reclaim: a start after a death frees what has leaked, and says so" {
	dies
	leaks 3
	starts alice
	leaked 0
	same "event" "192 KiB of its disk, lost when its QEMU died" "$(reclaimed)"
	works vm stop alice
	# Of one that has ended well the tables are not read.
	leaks 2
	starts alice
	leaked 2
	# A supervisor's death is its QEMU's, and so is the host's.
	kill -KILL "$(life_pid alice 1)"
	life_off alice
	rm -r "$(life_dir alice)"
	starts alice
	leaked 0
	same "events" "192 KiB of its disk, lost when its QEMU died
128 KiB of its disk, lost when its QEMU died" "$(reclaimed)"
}

@test "reclaim: before the disk is saved, gone back to or copied, too" {
	local command
	vm checkpoint alice one >/dev/null
	dies
	for command in "checkpoint alice two" "restore alice one --discard" "delete alice two" "clone alice carol"; do
		leaks 2
		# shellcheck disable=SC2086 # words
		works vm $command
		leaked 0
	done
	same "events" 4 "$(reclaimed | grep -cx "128 KiB of its disk, lost when its QEMU died")"
	disk=$(tenant_disk carol)
	leaked 0
}

@test "reclaim: one that was ended by force may have been killed" {
	lives x
	vm start alice >/dev/null 2>&1
	run vm stop --timeout 1 alice
	same "exit code" 1 "$status"
	leaks 1
	lives
	starts alice
	leaked 0
}

@test "reclaim: a disk that is damaged is refused, and not touched" {
	local before command
	vm checkpoint alice one >/dev/null
	dies
	leaks 2
	damaged
	before=$(sha256sum <"$disk")
	for command in "start alice" "start alice --no-wait" "checkpoint alice two" "restore alice one" "delete alice one" "clone alice carol"; do
		# shellcheck disable=SC2086 # words
		fails 3 "mlimg-vm: tenant 'alice': its disk is damaged, 1 error in the tables of '$disk': copy that file, then 'qemu-img check -r all' on it, which saves what can be saved" \
			vm $command
	done
	same "the disk" "$before" "$(sha256sum <"$disk")"
	same "events" "" "$(reclaimed)"
	# As it was told.
	qemu-img check -q -r all -f qcow2 "$disk" || true
	leaked 0
	starts alice
	same "state" up "$(state alice)"
}

@test "reclaim: a command that was killed has left a disk that is damaged" {
	vm checkpoint alice one >/dev/null
	damaged
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'deleting'"
	fails 3 "mlimg-vm: end what was begun with checkpoints of 'alice': tenant 'alice': its disk is damaged, 1 error in the tables of '$disk': copy that file, then 'qemu-img check -r all' on it, which saves what can be saved" \
		vm checkpoint alice two
}

@test "reclaim: of one that was destroyed, when it comes back; not of one that is damaged" {
	local aside
	dies
	leaks 2
	aside=$S/removed/$(tenant alice id)/user.qcow2
	vm destroy alice --yes >/dev/null
	cp "$aside" leaky
	disk=$aside
	damaged
	fails 3 "mlimg-vm: tenant 'dave': its disk is damaged, 1 error in the tables of '$aside': copy that file, then 'qemu-img check -r all' on it, which saves what can be saved" \
		vm create dave --from-removed alice
	cat leaky >"$aside"
	works vm create dave --from-removed alice
	disk=$(tenant_disk dave)
	leaked 0
	works vm status dave --json
	same "last event" "reclaimed 128 KiB of its disk, lost when its QEMU died" "$(jq -r '.last_event | "\(.kind) \(.text)"' <<<"$output")"
}

@test "reclaim: a disk that came home damaged is refused by each move" {
	local i
	vm move alice --connect test:///default >/dev/null
	leaks 2
	cp "$disk" leaky
	damaged
	for i in 1 2; do
		fails 3 "mlimg-vm: tenant 'alice': its disk is damaged, 1 error in the tables of '$disk': copy that file, then 'qemu-img check -r all' on it, which saves what can be saved" \
			vm move alice
	done
	cat leaky >"$disk"
	works vm move alice
	leaked 0
}

@test "reclaim: what was counted twice for a snapshot that found no room is no damage" {
	local table
	dies
	table=$(($(number $(($(number 40)))) & 0xfffffffffffe00))
	count $((table / 65536)) 2
	same "errors and leaks" "1 1" "$(qemu-img check -f qcow2 --output=json "$disk" 2>/dev/null | jq -r '"\(.corruptions // 0) \(.leaks // 0)"')"
	starts alice
	leaked 0
	same "event" "64.0 KiB of its disk, lost when its QEMU died" "$(reclaimed)"
}

# counted_twice SIZE BLOCK…: alice's disk is one of SIZE, written all over, of which all clusters that these blocks of counts count are counted once too often.
counted_twice() {
	local table block at
	qemu-img create -q -f qcow2 -o preallocation=metadata "$disk" "$1"
	printf '\0\2%.0s' {1..32768} >twice
	table=$(number 48)
	for block in "${@:2}"; do
		at=$(number $((table + 8 * block)))
		dd if=twice of="$disk" bs=65536 seek=$((at / 65536)) conv=notrunc status=none
	done
}

@test "reclaim: a large disk with a line or two of each cluster: more than would be kept" {
	vm checkpoint alice two >/dev/null
	counted_twice 12G 1 2 3 4 5
	qemu-img check -f qcow2 "$disk" >said 2>&1 || true
	[ "$(stat -c %s said)" -gt $((16 << 20)) ]
	grep -q "^ERROR OFLAG_COPIED data cluster" said
	# As a command leaves it that was killed while it saved.
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'saving'"
	works vm checkpoint alice two
	leaked 0
}

@test "reclaim: that it cannot be done is told, and keeps nothing from starting" {
	dies
	leaks 2
	mkdir bin
	cat >bin/qemu-img <<-END
		#!/bin/sh
		[ "\$1" != check ] || { echo "qemu-img: Check failed: Input/output error" >&2; exit 1; }
		exec $(command -v qemu-img) "\$@"
	END
	chmod +x bin/qemu-img
	PATH=$PWD/bin:$PATH starts alice
	leaked 2
	same "event" "nothing of its disk: qemu-img check: Check failed: Input/output error" "$(reclaimed)"
}
