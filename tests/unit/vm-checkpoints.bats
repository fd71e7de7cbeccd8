#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Checkpoints of tenants that are off: qcow2 images as qemu-img makes them. Those of guests that are on are vm/checkpoints.bats'.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	need command qemu-img qemu-io sqlite3 jq
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	need command qemu-img qemu-io sqlite3 jq
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add old.img new.img >/dev/null
	mlimg-vm create alice --store "$S" --system debian:12.1 --size 64M >/dev/null
	disk=$(tenant_disk alice)
}

# put BYTE: what the guest writes on its disk; is BYTE: what is there.
put() {
	qemu-io -f qcow2 -c "write -q -P $1 16M 64k" "$disk"
}
is() {
	qemu-io -f qcow2 -c "read -q -P $1 16M 64k" "$disk"
}

# The checkpoints, as TAG:KIND:ORIGIN; times as T.
listed() {
	mlimg-vm checkpoints alice --store "$S" --json | jq -r '.[] | "\(.tag):\(.kind):\(.origin)"' |
		sed -E 's/[0-9]{8}-[0-9]{6}(\.[0-9]+)?/T/' | xargs
}

# The snapshots in the disk.
snapshots() {
	qemu-img info -f qcow2 --output=json "$disk" | jq -r '.snapshots // [] | .[].name' | xargs
}

sound() {
	qemu-img check -q -f qcow2 "$disk"
}

@test "checkpoints: help of each command, in 80 columns; every option in manual page and completion" {
	vm_documented checkpoint checkpoints restore delete
}

@test "checkpoints: a disk there and back, and nothing is lost" {
	local before
	put 1
	works vm checkpoint alice one
	same said "alice: checkpoint 'one': disk" "$output"
	put 2
	works vm restore alice one
	before=$(sed -n "s/^alice: restored the disk of 'one'; what was before is '\(before-restore-[0-9-]*\)'$/\1/p" <<<"$output")
	[ -n "$before" ]
	is 1
	same listed "one:disk:named before-restore-T:disk:restore" "$(listed)"
	put 3
	works vm restore alice "$before" --discard
	same said "alice: restored the disk of '$before'" "$output"
	is 2
	same snapshots "mlimg-one mlimg-$before" "$(snapshots)"
	works vm delete alice one "$before"
	same said "alice: deleted checkpoint 'one'
alice: deleted checkpoint '$before'" "$output"
	same snapshots "" "$(snapshots)"
	works vm checkpoints alice
	same listed "" "$output"
	is 2
	sound
}

@test "checkpoints: a tag of digits is not taken for a snapshot's number" {
	put 1
	works vm checkpoint alice 2
	put 2
	works vm checkpoint alice other
	put 3
	works vm restore alice 2 --discard
	is 1
	works vm delete alice 2
	same snapshots mlimg-other "$(snapshots)"
}

@test "checkpoints: --keep deletes the oldest of those named by the time" {
	local last
	works vm checkpoint alice mine
	works vm checkpoint alice
	works vm checkpoint alice
	works vm restore alice mine
	same listed "mine:disk:named T:disk:timed T:disk:timed before-restore-T:disk:restore" "$(listed)"
	works vm checkpoint alice --keep 2
	[ "${#lines[@]}" -eq 2 ]
	last=$(sed -n "s/^alice: checkpoint '\(.*\)': disk$/\1/p" <<<"$output")
	works vm checkpoint alice --keep 1
	[ "${#lines[@]}" -eq 3 ]
	[[ ${lines[2]} == "alice: deleted checkpoint '$last'" ]]
	same listed "mine:disk:named before-restore-T:disk:restore T:disk:timed" "$(listed)"
	sound
}

@test "checkpoints: a disk that has grown since has its former size again, and back" {
	works vm checkpoint alice small
	works vm resize alice 128M
	works vm checkpoint alice large
	works vm restore alice small
	same size 67108864 "$(qemu-img info -f qcow2 --output=json "$disk" | jq '."virtual-size"')"
	works vm restore alice large
	same size 134217728 "$(qemu-img info -f qcow2 --output=json "$disk" | jq '."virtual-size"')"
	sound
}

@test "checkpoints: under other layers it is refused, with the way out" {
	put 1
	works vm checkpoint alice one
	put 2
	works vm set alice --system debian:12.2
	fails 1 "mlimg-vm: checkpoint 'one' was taken on generation 1, and 'alice' starts with generation 2, which has other layers: 'mlimg-vm set alice --generation 1', then restore" \
		vm restore alice one
	is 2
	[[ $(mlimg-vm checkpoints alice --store "$S" | tail -n 1) == "one "*"  other layers" ]]
	same "same layers" false "$(mlimg-vm checkpoints alice --store "$S" --json | jq .[0].has_same_layers)"
	works vm set alice --generation 1
	works vm restore alice one --discard
	is 1
}

@test "checkpoints: what is not there, and what cannot be" {
	local usage="
Try 'mlimg-vm --help' for more information."
	works vm checkpoint alice one
	fails 1 "mlimg-vm: no tenant 'bob'" vm checkpoint bob
	fails 1 "mlimg-vm: no tenant 'bob'" vm checkpoints bob
	fails 1 "mlimg-vm: 'alice' has no checkpoint 'two'" vm restore alice two
	fails 1 "mlimg-vm: 'alice' has no checkpoint 'two'" vm delete alice two
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': there is a checkpoint 'one' already" vm checkpoint alice one
	fails 2 "mlimg-vm: checkpoint '-x' of 'alice': '-x' cannot be a checkpoint's tag (1 to 63 letters, digits and ._-, the first a letter or digit)$usage" \
		vm checkpoint alice -- -x
	fails 2 "mlimg-vm: checkpoint 'a/b' of 'alice': 'a/b' cannot be a checkpoint's tag (1 to 63 letters, digits and ._-, the first a letter or digit)$usage" \
		vm checkpoint alice a/b
	fails 2 "mlimg-vm: the name of a tenant is missing$usage" vm checkpoint
	fails 2 "mlimg-vm: the tag of a checkpoint is missing$usage" vm restore alice
	fails 2 "mlimg-vm: the tag of a checkpoint is missing$usage" vm delete alice
	fails 2 "mlimg-vm: unexpected argument 'b'$usage" vm restore alice a b
	fails 2 "mlimg-vm: unexpected argument 'b'$usage" vm checkpoint alice a b
	fails 2 "mlimg-vm: --keep: '0' is not a number from 1 to 65536$usage" vm checkpoint alice --keep 0
	fails 2 "mlimg-vm: --keep is for checkpoints without a tag of their own$usage" vm checkpoint alice a --keep 2
	same listed one:disk:named "$(listed)"
}

@test "checkpoints: a disk that is no qcow2 image is refused, and is not touched" {
	local command before
	put 1
	works vm checkpoint alice one
	printf 'junk' | dd of="$disk" conv=notrunc status=none
	before=$(sha256sum <"$disk")
	for command in "checkpoint alice two" "checkpoint alice two --disk-only" "restore alice one" "restore alice one --discard" "delete alice one"; do
		# shellcheck disable=SC2086 # words
		fails 3 "mlimg-vm: '$disk' is no qcow2 image" vm $command
	done
	# Nor what a command that was killed has left to be put in order.
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'deleting'"
	fails 3 "mlimg-vm: '$disk' is no qcow2 image" vm checkpoint alice two
	same "the disk" "$before" "$(sha256sum <"$disk")"
	printf 'QFI\xfb' | dd of="$disk" conv=notrunc status=none
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'saved'"
	works vm restore alice one --discard
	is 1
}

@test "checkpoints: snapshots that somebody else has made stay, and one that he has removed is lost" {
	qemu-img snapshot -c mine "$disk"
	works vm checkpoint alice one
	works vm checkpoint alice two
	same listed "one:disk:named two:disk:named" "$(listed)"
	qemu-img snapshot -d mlimg-one "$disk"
	[[ $(mlimg-vm checkpoints alice --store "$S" | sed -n 2p) == "one "*"  lost" ]]
	fails 1 "mlimg-vm: checkpoint 'one' is lost: the user disk of 'alice' has it no more" vm restore alice one
	works vm delete alice one
	same snapshots "mine mlimg-two" "$(snapshots)"
}

@test "checkpoints: somebody else has the disk" {
	local holder code=0
	put 1
	works vm checkpoint alice one
	put 2
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	qemu-io -f qcow2 "$disk" <"$BATS_TEST_TMPDIR/fifo" >"$BATS_TEST_TMPDIR/out" 3>&- &
	holder=$!
	exec 8>"$BATS_TEST_TMPDIR/fifo"
	echo "read 0 512" >&8
	until grep -q "read 512/512" "$BATS_TEST_TMPDIR/out"; do sleep 0.05; done
	run --separate-stderr vm checkpoint alice two
	code=$status
	exec 8>&-
	wait "$holder"
	same "exit code" 1 "$code"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == "mlimg-vm: checkpoint 'two' of 'alice': qemu-img info: "* ]]
	works vm restore alice one
	is 1
	same listed "one:disk:named before-restore-T:disk:restore" "$(listed)"
	sound
}

# in_order: rows and snapshots agree, and are whole; the disk is what it was at one moment or another.
in_order() {
	same "rows that are not saved" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint WHERE state <> 'saved'")"
	same "rows and snapshots" "$(sqlite3 "$S/store.db" "SELECT 'mlimg-' || tag FROM checkpoint ORDER BY tag")" \
		"$(snapshots | tr ' ' '\n' | sort)"
	sound
	is 1 || is 2
}

# killer: a qemu-img first on PATH that kills who calls it at the call $KILL_AT of a command: before the real one has begun, with which it ends itself,
# or after it has done its work.
killer() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/qemu-img" <<-END
		#!/bin/sh
		n=\$(cat "$BATS_TEST_TMPDIR/calls")
		echo \$((n + 1)) >"$BATS_TEST_TMPDIR/calls"
		[ "\$((2 * n))" != "\$KILL_AT" ] || { kill -KILL \$PPID; sleep 1; }
		$(command -v qemu-img) "\$@" || exit
		[ "\$((2 * n + 1))" != "\$KILL_AT" ] || kill -KILL \$PPID
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/qemu-img"
	echo 0 >"$BATS_TEST_TMPDIR/calls"
}

@test "checkpoints: killed at any call of qemu-img, the next command puts it in order" {
	local command n calls
	put 1
	works vm checkpoint alice kept
	works vm checkpoint alice goes
	put 2
	cp -a "$S" "$BATS_TEST_TMPDIR/was"
	for command in "checkpoint alice new" "restore alice kept" "delete alice goes"; do
		killer
		# shellcheck disable=SC2086 # words
		PATH=$BATS_TEST_TMPDIR/bin:$PATH KILL_AT=none works vm $command
		calls=$(<"$BATS_TEST_TMPDIR/calls")
		[ "$calls" -ge 2 ]
		for ((n = 0; n < 2 * calls; n++)); do
			rm -rf "$S"
			cp -a "$BATS_TEST_TMPDIR/was" "$S"
			echo 0 >"$BATS_TEST_TMPDIR/calls"
			# shellcheck disable=SC2086
			PATH=$BATS_TEST_TMPDIR/bin:$PATH KILL_AT=$n run timeout -k 5 60 mlimg-vm $command --store "$S"
			same "exit code of: $command, killed at $n" 137 "$status"
			works vm checkpoint alice again
			in_order
		done
		rm -rf "$S"
		cp -a "$BATS_TEST_TMPDIR/was" "$S"
	done
}
