#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # life_begin sets what is used
# mlimg-upgrade apply of tenants that are off, killed at its calls, on a disk that is full from one of them on, on a store that nobody can write: what is there
# then can be gone on with, and nothing is lost.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	life_images
}

setup() {
	life_begin
	qemu-img snapshot -c mine "$(tenant_disk alice)"
	cp -a "$S" before
}

teardown() {
	umount -q "$S" || true
	life_end
}

# anew: the store as it was.
anew() {
	rm -rf "$S"
	cp -a before "$S"
}

# goes_on WHERE: whatever was left, a rollout goes on, or another one begins, and ends well; the store is sound, and both disks have one checkpoint of it.
goes_on() {
	case $(sqlite3 "$S/store.db" "SELECT state FROM rollout") in
		'') works mlimg-upgrade apply --store "$S" --system debian:12.2 ;;
		done) ;;
		*) works mlimg-upgrade resume --store "$S" ;;
	esac
	same "$1: generations" "alice:1:2 bob:1:2" "$(sqlite3 "$S/store.db" "SELECT name || ':' || current || ':' || pending FROM tenant ORDER BY name" | xargs)"
	same "$1: generations that there are" 4 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM generation")"
	same "$1: places" "off off" "$(mlimg-upgrade status --store "$S" --json | jq -r '.tenants[].place' | xargs)"
	same "$1: checkpoints" "1:before-upgrade-1:saved 1:before-upgrade-1:saved" \
		"$(sqlite3 "$S/store.db" "SELECT generation || ':' || tag || ':' || state FROM checkpoint" | xargs)"
	same "$1: snapshots of alice" "mine mlimg-before-upgrade-1" "$(qemu-img snapshot -l "$(tenant_disk alice)" | awk 'NR > 2 { print $2 }' | xargs)"
	same "$1: snapshots of bob" "mlimg-before-upgrade-1" "$(qemu-img snapshot -l "$(tenant_disk bob)" | awk 'NR > 2 { print $2 }' | xargs)"
	works mlimg-store --store "$S" verify
	same "$1: disk of alice" "No errors were found on the image." "$(qemu-img check "$(tenant_disk alice)" | head -n 1)"
}

# spread N MAX: at most MAX numbers from 1 to N.
spread() {
	seq 1 $((($1 + $2 - 1) / $2)) "$1"
}

@test "upgrade cut: killed at its calls, and what it runs with it" {
	local n at status
	n=$(stop-at - mlimg-upgrade apply --store "$S" --system debian:12.2 3>&1 >/dev/null)
	echo "$n calls"
	[ "$n" -gt 50 ]
	for at in $(spread "$n" 12); do
		anew
		status=0
		stop-at "$at" mlimg-upgrade apply --store "$S" --system debian:12.2 3>/dev/null >/dev/null 2>&1 || status=$?
		[ $status -eq 137 ] || [ $status -eq 0 ]
		goes_on "killed at $at"
	done
}

# tells_full WHERE: err says what could not be written, and the way on: of the store, or of a tenant's disk, which has no room for a checkpoint (also found before it is begun).
tells_full() {
	local way="rollout 1 is left as it is ('mlimg-upgrade resume' goes on): "
	same "$1: stderr" "mlimg-upgrade: write FILE: No space left on device" \
		"$(sed -E "s,^(mlimg-upgrade: )${way//[()]/\\&},\1,; s,(alice|bob): checkpoint 'before-upgrade-1' of '\1': ,,
			s,its tables may take 1.0 MiB\, and '$S/tenants/[0-9a-f]+' has [0-9.]+ (B|KiB) left$,write FILE: No space left on device,
			s,('$S/upgrade.lock'|database '$S/store.db'|'$S/tenants/[0-9a-f]+/user.qcow2'):,FILE:," err)"
}

@test "upgrade cut: a disk that is full in the middle" {
	local left status n_failed=0
	need root
	rm -rf "$S"
	mkdir "$S"
	mount -t tmpfs -o size=32M tmpfs "$S"
	for left in 0 16 64 128 192 256 384 512 1280 4096; do
		find "$S" -mindepth 1 -delete
		cp -a before/. "$S"
		dd if=/dev/zero of="$BATS_TEST_TMPDIR/rest" bs=1k count="$left" 2>/dev/null
		cp rest "$S/rest"
		dd if=/dev/zero of="$S/lost+found" bs=4k 2>/dev/null || true
		rm "$S/rest"
		status=0
		mlimg-upgrade apply --store "$S" --system debian:12.2 >out 2>err || status=$?
		[ $status -le 1 ]
		[ $status -eq 0 ] || tells_full "with $left KiB"
		[ "$left" -gt 0 ] || same "stderr without any room" "mlimg-upgrade: write '$S/upgrade.lock': No space left on device" "$(<err)"
		n_failed=$((n_failed + status))
		rm "$S/lost+found"
		goes_on "with $left KiB"
	done
	umount "$S"
	echo "$n_failed failed"
	[ $n_failed -gt 2 ]
}

@test "upgrade cut: without room for checkpoints it is paused, and can be aborted all the same" {
	need root
	rm -rf "$S"
	mkdir "$S"
	mount -t tmpfs -o size=32M tmpfs "$S"
	cp -a before/. "$S"
	dd if=/dev/zero of="$BATS_TEST_TMPDIR/rest" bs=1k count=900 2>/dev/null
	cp rest "$S/rest"
	dd if=/dev/zero of="$S/lost+found" bs=4k 2>/dev/null || true
	rm "$S/rest"
	run --separate-stderr mlimg-upgrade apply --store "$S" --system debian:12.2
	same "exit code" 1 "$status"
	same "stderr" "mlimg-upgrade: rollout 1 is left as it is ('mlimg-upgrade resume' goes on): NAME: checkpoint 'before-upgrade-1' of 'NAME': its tables may take 1.0 MiB, and 'DIR' has ROOM left" \
		"$(sed -E "s,(alice|bob),NAME,g; s,'$S/tenants/[0-9a-f]+' has [0-9.]+ KiB,'DIR' has ROOM," <<<"$stderr")"
	same "state and places" "paused waiting waiting" "$(mlimg-upgrade status --store "$S" --json | jq -r '.state, .tenants[].place' | xargs)"
	same "checkpoints" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint")"
	works mlimg-upgrade abort --store "$S"
	same "aborted" "aborted waiting waiting" "$(mlimg-upgrade status --store "$S" --json | jq -r '.state, .tenants[].place' | xargs)"
	same "generations" "alice:1: bob:1:" "$(sqlite3 "$S/store.db" "SELECT name || ':' || current || ':' || ifnull(pending, '') FROM tenant ORDER BY name" | xargs)"
	umount "$S"
}

@test "upgrade cut: a store that nobody can write" {
	need root
	mount --bind "$S" "$S"
	mount -o remount,bind,ro "$S"
	run --separate-stderr mlimg-upgrade apply --store "$S" --system debian:12.2
	umount "$S"
	same "exit code and stdout" "1 " "$status $output"
	same "stderr" "mlimg-upgrade: open '$S/upgrade.lock': Read-only file system" "$stderr"
	goes_on "then"
}
