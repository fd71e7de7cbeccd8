#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# lasts 100
# Checkpoints of tenants whose guests are on: a process in the guest counts in its memory and on its disk, and finds at once when the two are not of one moment.

load ../lib/common
load ../lib/tenants
load ../lib/moments

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq
	cd "$BATS_FILE_TMPDIR" || return
	local tree
	tree=$(debian-tree v1)
	small-root "$tree" tree
	install -m 0755 "$MLIMG_BUILD/tests/lib/counter" tree/usr/bin/counter
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	echo 2 >tree/etc/version
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
	tenant_channel
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	tenant_sockets
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/system.img "$BATS_FILE_TMPDIR"/system2.img >/dev/null
	vm create alice --system small:1 --size 256M --memory 256M --net none --accel tcg --append 'quiet cryptomgr.notests' >/dev/null
	disk=$(tenant_disk alice)
}

teardown() {
	local id
	id=$(tenant alice id)
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	! mountpoint -q "$BATS_TEST_TMPDIR/small" || umount "$BATS_TEST_TMPDIR/small" || true
	rm -rf "$TEST_SOCKETS" "/run/mlimg-vm/${id:?}"
}

# in_guest COMMAND
in_guest() {
	guestctl -t 60 "$TEST_SOCKETS/alice" "$1"
}

# begin: the guest is on, and counts.
begin() {
	vm start alice >/dev/null 2>&1
	in_guest 'setsid counter /root/count /run/count >/dev/null 2>&1 & until [ -s /run/count ]; do sleep 0.1; done'
}

# counts: how far it has counted. Fails where memory and disk did not agree once, or where it does not go on.
counts() {
	local n bad found later
	read -r n bad found < <(in_guest 'cat /run/count')
	same "disagreements of memory and disk ($found on disk, $n in memory)" 0 "$bad"
	later=$(in_guest "while read n _ </run/count && [ \"\$n\" -le $n ]; do sleep 0.05; done; echo \$n")
	[ "$later" -gt "$n" ]
	echo "$n"
}

# goes_back AT: back to 'one', where it had counted to AT: what came later is in memory and on the disk no more, and the first count read is smaller than
# before. Between the restore and who looks it counts, too: where it has overtaken, the same again with more in between.
goes_back() {
	local ahead after n
	for ahead in 300 900 2700; do
		in_guest 'echo later | tee /root/later >/run/later; sync'
		after=$(in_guest "while read n _ </run/count && [ \"\$n\" -lt $(($1 + ahead)) ]; do sleep 0.05; done; echo \$n")
		works vm restore alice one --discard
		same said "alice: restored memory and disk of 'one'" "$output"
		n=$(counts) || return
		same "later files" none "$(in_guest 'ls /root/later /run/later 2>/dev/null || echo none')"
		[ "$n" -ge "$after" ] || return 0
	done
	echo "it had counted to $after, is back where it had counted to $1, and now to $n" >&2
	return 1
}

# kill_within MS COMMAND…: begins it, and kills it at a moment less than MS away. One that has ended already has done what it was to do; the others are
# counted in $amid.
kill_within() {
	local victim code=0
	mlimg-vm "${@:2}" --store "$S" >/dev/null 2>&1 3>&- &
	victim=$!
	moment "$1"
	kill -KILL "$victim" 2>/dev/null || true
	wait "$victim" 2>/dev/null || code=$?
	[ "$code" -ne 137 ] || amid=$((amid + 1))
}

qemu_pid() {
	awk 'NR == 1 { print $2 }' "/run/mlimg-vm/$(tenant alice id)/state"
}

sound() {
	qemu-img check -q -f qcow2 "$disk"
}

# The tags, in order.
tags() {
	vm checkpoints alice --json | jq -r '.[] | "\(.tag):\(.kind)"' | xargs
}

@test "checkpoints: memory and disk go on from one moment, 20 times over" {
	local at round
	begin
	works vm checkpoint alice one
	[[ $output == "alice: checkpoint 'one': disk, and memory of "* ]]
	at=$(counts)
	in_guest 'date -s 2001-02-03 >/dev/null'
	for ((round = 0; round < 20; round++)); do
		goes_back "$at"
	done
	same "the guest's year" "$(date -u +%Y)" "$(in_guest 'date -u +%Y')"
	# It goes back when it is off, too: the guest is started for it.
	works vm stop alice
	run --separate-stderr vm restore alice one
	same "exit code" 0 "$status"
	[[ $output == "alice: restored memory and disk of 'one'; what was before is 'before-restore-"* ]]
	counts
	same "a later file" none "$(in_guest 'ls /root/later 2>/dev/null || echo none')"
	works vm stop alice
	sound
}

@test "checkpoints: what was before a restore is kept, with its memory" {
	local before
	begin
	works vm checkpoint alice one
	in_guest 'echo later >/root/later; echo later >/run/later; sync'
	works vm restore alice one
	before=${output##*what was before is \'}
	before=${before%\'}
	same "later files" none "$(in_guest 'ls /root/later /run/later 2>/dev/null || echo none')"
	works vm restore alice "$before" --discard
	same "later files" "later later" "$(in_guest 'cat /root/later /run/later' | xargs)"
	counts
	works vm delete alice one "$before"
	same tags "" "$(tags)"
	works vm stop alice
	sound
}

@test "checkpoints: the disk of a guest that is on, frozen by its agent" {
	begin
	in_guest 'echo 1 >/root/file'
	works vm checkpoint alice one --disk-only
	same said "alice: checkpoint 'one': disk" "$output"
	same "freeze" thawed "$(in_guest 'echo 2 >/root/file; sync; echo thawed')"
	counts
	fails 1 "mlimg-vm: 'alice' is up, and a disk can only be restored while the guest is off: 'mlimg-vm stop alice', then restore" vm restore alice one
	works vm stop alice
	works vm restore alice one
	vm start alice >/dev/null 2>&1
	# Not synced by the guest: the freeze has done it.
	same "file" 1 "$(in_guest 'cat /root/file')"
	works vm stop alice
	sound
}

@test "checkpoints: a plan for a guest that is on takes one, and leaves none" {
	local of
	begin
	in_guest 'echo mine >/etc/version'
	run --separate-stderr mlimg-upgrade plan --store "$S" --system small:2 --json
	same "without" "1 failed alice: its guest runs: ask with --checkpoint, or stop it" "$status $(jq -r '.tenants[] | .outcome, .why' <<<"$output" | xargs)"
	# What the guest has not written yet is in the plan: the freeze writes it.
	run --separate-stderr mlimg-upgrade plan --store "$S" --system small:2 --checkpoint --json
	of=$(jq -r '.tenants[] | .outcome, .checkpoint[:5], (.report.entries[] | select(.path == "etc/version") | .verdict)' <<<"$output" | xargs)
	# shellcheck disable=SC2154 # run sets it
	same "with" "0  changes plan- conflict" "$status $stderr $of"
	same tags "" "$(tags)"
	counts
	works vm stop alice
	same snapshots "" "$(qemu-img snapshot -l "$disk")"
	sound
}

@test "checkpoints: --keep, while the guest is on" {
	local last
	begin
	works vm checkpoint alice mine
	works vm checkpoint alice --disk-only
	works vm checkpoint alice
	works vm checkpoint alice --keep 1
	last=$(sed -n "1s/^alice: checkpoint '\(.*\)': disk, and memory of .*/\1/p" <<<"$output")
	[ "${#lines[@]}" -eq 2 ]
	same kinds "memory disk memory" "$(vm checkpoints alice --json | jq -r '.[].kind' | xargs)"
	same "the last" "$last" "$(vm checkpoints alice --json | jq -r '.[-1].tag')"
	counts
}

@test "checkpoints: another stack, another machine, joined disks: refused, with the way out" {
	begin
	works vm checkpoint alice one
	same "its index" "index=$(basename "$S"/indexes/*.erofs)" "$(sqlite3 "$S/store.db" "SELECT machine FROM checkpoint" | tr ' ' '\n' | grep ^index=)"
	works vm stop alice
	works vm set alice --system small:2
	fails 1 "mlimg-vm: checkpoint 'one' was taken on generation 1, and 'alice' starts with generation 2, which has other layers: 'mlimg-vm set alice --generation 1', then restore" \
		vm restore alice one
	works vm set alice --generation 1 --memory 320M
	fails 1 "mlimg-vm: checkpoint 'one' is of a machine with 256 MiB of memory and 1 CPUs, 'alice' has 320 and 1: 'mlimg-vm set alice --memory 256M --cpus 1', then restore" \
		vm restore alice one
	works vm set alice --memory 256M --cpus 1 --net user
	# The guest is started paused to be asked what it is; then it is off again, as it was.
	run --separate-stderr vm restore alice one
	same "exit code" 1 "$status"
	# shellcheck disable=SC2154 # run sets it
	same stderr "mlimg-vm: 'alice' is as it was before: checkpoint 'one' is of another machine than that of 'alice', which also has virtio-net-pci: make it the same, or restore the disk alone, with --disk-only" \
		"$(tail -n 1 <<<"$stderr")"
	same state off "$(vm list --json | jq -r '.[].state')"
	works vm set alice --net none --disks joined
	vm start alice >/dev/null 2>&1
	fails 1 "mlimg-vm: checkpoint 'two' of 'alice': QEMU does not save its memory (The vmdk format used by node 'index' does not support live migration): 'mlimg-vm set alice --disks separate' and a restart, or the disk alone, with --disk-only" \
		vm checkpoint alice two
	works vm checkpoint alice two --disk-only
	works vm stop alice
	works vm set alice --disks separate
	run --separate-stderr vm restore alice one
	same "exit code" 0 "$status"
	counts
	same tags "one:memory two:disk before-restore:disk" "$(tags | sed 's/-[0-9]*-[0-9]*:/:/')"
}

@test "checkpoints: QEMU is killed while it saves: the disk is sound, nothing is listed that is not whole" {
	local round saver code amid=0
	random_moments
	begin
	works vm checkpoint alice kept
	for round in 1 2; do
		in_guest "echo $round >/root/last; sync"
		mlimg-vm checkpoint alice "try$round" --store "$S" >/dev/null 2>&1 3>&- &
		saver=$!
		moment 300
		kill -KILL "$(qemu_pid)"
		code=0
		wait "$saver" || code=$?
		# It may have come in time.
		[ "$code" -le 1 ]
		amid=$((amid + code))
		until [[ $(vm list --json | jq -r '.[].state') == died ]]; do sleep 0.1; done
		unharmed "$disk"
		# What the kill has lost is freed, so that nothing is left in the disk that nobody refers to.
		works vm checkpoint alice "off$round"
		sound
		[[ $(tags) == *"off$round:disk" ]]
		same "rows that are not saved" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint WHERE state <> 'saved'")"
		vm start alice >/dev/null 2>&1
		same "what was synced" "$round" "$(in_guest 'cat /root/last')"
	done
	echo "# $amid of 2 kills came while it saved" >&3
	works vm restore alice kept --discard
	counts
}

@test "checkpoints: the command is killed while it saves, restores or deletes" {
	local command most tag amid=0
	random_moments
	begin
	works vm checkpoint alice kept
	for command in "checkpoint alice new" "restore alice kept" "delete alice goes"; do
		for most in 100 400; do
			vm checkpoint alice goes >/dev/null
			# shellcheck disable=SC2086 # words
			kill_within "$most" $command
			works vm checkpoint alice after
			same "rows that are not saved" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint WHERE state <> 'saved'")"
			# A guest that stood still in the middle of a restore was ended; it starts.
			[ "$(vm list --json | jq -r '.[].state')" = up ] || vm start alice >/dev/null 2>&1
			works vm restore alice kept --discard
			counts
			for tag in new goes after; do vm delete alice "$tag" >/dev/null 2>&1 || true; done
			for tag in $(tags | tr ' ' '\n' | sed -n 's/^\(before.*\):.*/\1/p'); do works vm delete alice "$tag"; done
			same tags kept:memory "$(tags)"
		done
	done
	echo "# $amid of 6 kills came before the command had ended" >&3
	works vm stop alice
	sound
}

@test "checkpoints: a restore is killed that has started the guest: it can be started again" {
	local most amid=0
	random_moments
	begin
	works vm checkpoint alice kept
	for most in 200 400 800; do
		works vm stop alice
		kill_within "$most" restore alice kept
		run --separate-stderr vm start alice
		[ "$status" -eq 0 ] || same stderr "mlimg-vm: tenant 'alice' is running already (up)" "$stderr"
		in_guest true
		same "rows that are not saved" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint WHERE state <> 'saved'")"
	done
	echo "# $amid of 3 kills came before the command had ended" >&3
}

@test "checkpoints: on a full disk it is refused, and the guest goes on" {
	mkdir small
	mount -t tmpfs -o size=150M tmpfs small
	cp -a "$S" small/store
	S=$PWD/small/store
	begin
	run --separate-stderr vm checkpoint alice one
	same "exit code" 1 "$status"
	[[ $stderr =~ ^"mlimg-vm: checkpoint 'one' of 'alice': its memory may take 320 MiB, and '$S/tenants/"[0-9a-f]*"' has "[0-9.]*" MiB left (the disk alone: --disk-only)"$ ]]
	same tags "" "$(tags)"
	counts
	works vm checkpoint alice one --disk-only
	counts
	works vm stop alice
}
