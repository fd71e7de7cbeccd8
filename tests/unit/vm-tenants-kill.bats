# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Commands on tenants, killed before one of the calls by which they, or qemu-img, change anything: afterwards a tenant is what it was before or what
# it was to become, nothing is left over, and the same command goes through. By default every few calls, from a random one on; MLIMG_CASES says how many.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	need command sqlite3 qemu-img
	# Syncing takes no time there, and what a kill leaves is the same.
	S=$(mktemp -d /dev/shm/mlimg-tenants.XXXXXX 2>/dev/null || mktemp -d)
	mlimg-store --store "$S" add old.img tools.img >/dev/null
	vm create alice --system debian --size 64M >/dev/null
	qemu-io -f qcow2 -c 'write -P 7 1M 1M' "$(tenant_disk alice)" >/dev/null
	cp -a "$S" "$S.start"
}

teardown() {
	rm -rf "$S" "$S.start"
}

restore() {
	rm -rf "$S"
	cp -a "$S.start" "$S"
}

# state: what there is, in words. Sound disks without anything lost in them, nothing under way, no file too many.
state() {
	local name disk
	mlimg-store --store "$S" verify >/dev/null || return
	[ -z "$(ls -A "$S/incoming")" ] || {
		echo "left: $(find "$S/incoming")" >&2
		return 1
	}
	while IFS='|' read -r name memory current pending identity; do
		disk=$(tenant_disk "$name")
		# What it was is written down before it is destroyed.
		[ "$(cd "${disk%/*}" && find . -type f ! -name lock ! -name tenant.json)" = ./user.qcow2 ] || {
			echo "files of $name: $(ls -A "${disk%/*}")" >&2
			return 1
		}
		qemu-img check -q -f qcow2 "$disk" || return
		[[ $name == new* ]] || qemu-io -f qcow2 -r -c 'read -P 7 1M 1M' "$disk" | grep -q '^read 1048576/1048576' || return
		echo "$name $memory $current $pending ${identity:+copy} $(qemu-img info -f qcow2 --output=json "$disk" | jq '."virtual-size"')"
	done < <(sqlite3 "$S/store.db" "SELECT name, memory_bytes, current, pending, identity FROM tenant ORDER BY name")
	# One that has two names is a tenant's again.
	find "$S/removed" -mindepth 1 -name '*.qcow2' -links 1 | wc -l
}

# killed COMMAND…: at calls one after the other.
killed() {
	local before after calls step at status found n_after=0 n_before=0
	before=$(state)
	calls=$(stop-at - mlimg-vm "$@" --store "$S" 3>&1 >/dev/null)
	after=$(state)
	[ "$before" != "$after" ]
	step=$((calls / ${MLIMG_CASES:-8}))
	[ "$step" -gt 0 ] || step=1
	RANDOM=${MLIMG_SEED:-$$}
	for ((at = RANDOM % step; at < calls; at += step)); do
		restore
		status=0
		stop-at "$at" mlimg-vm "$@" --store "$S" 3>/dev/null >/dev/null 2>&1 || status=$?
		# One that waits for nobody may save itself a call.
		[ "$status" = 137 ] || [ "$status" = 0 ]
		mlimg-vm list --store "$S" >/dev/null
		found=$(state) || return
		case $found in
			"$after")
				n_after=$((n_after + 1))
				continue
				;;
			"$before") n_before=$((n_before + 1)) ;;
			*) same "what there is, killed at call $at of $calls" "$before" "$found" || return ;;
		esac
		works mlimg-vm "$@" --store "$S"
		same "what there is after $at of $calls and the command again" "$after" "$(state)" || return
	done
	echo "$calls calls; killed before it was done: $n_before, after: $n_after"
	[ "$n_before" -gt 0 ]
}

@test "killed: create" {
	killed create new --system debian --software tools --size 64M --memory 512M
}

@test "killed: set" {
	killed set alice --memory 512M --software tools
}

@test "killed: resize" {
	killed resize alice 128M
}

@test "killed: clone" {
	vm set alice --software tools >/dev/null
	rm -rf "$S.start"
	cp -a "$S" "$S.start"
	killed clone alice bob
}

@test "killed: clone --linked" {
	killed clone alice bob --linked
}

@test "killed: rename" {
	killed rename alice bob
}

@test "killed: destroy" {
	killed destroy alice --yes
}

# aside ID: whether its directory is no tenant's any more, and not set aside yet.
aside() {
	[ -z "$(tenant bob id)" ] && [ -d "$S/tenants/$1" ]
}

@test "killed: destroy, and what its disk lies over is not collected before it is set aside" {
	local id calls at
	need command flock
	vm clone alice bob --linked >/dev/null
	id=$(tenant bob id)
	# Nobody else needs the base.
	vm destroy alice --yes >/dev/null
	mlimg-store --store "$S" gc --removed 0 >/dev/null
	rm -rf "$S.start"
	cp -a "$S" "$S.start"
	calls=$(stop-at - mlimg-vm destroy bob --yes --store "$S" 3>&1 >/dev/null)
	for ((at = calls - 1; at >= 0; at--)); do
		restore
		stop-at "$at" mlimg-vm destroy bob --yes --store "$S" 3>/dev/null >/dev/null 2>&1 || true
		! aside "$id" || break
	done
	[ "$at" -ge 0 ]
	# As if it lived: whoever holds its lock is let alone.
	flock -n "$S"/incoming/*.lock mlimg-store --store "$S" gc >said
	same "said" "nothing to remove" "$(<said)"
	works vm create bob --from-removed bob
	same "its data" "" "$(qemu-io -f qcow2 -r -c 'read -P 7 1M 1M' "$(tenant_disk bob)" | grep failed || true)"
	works mlimg-store --store "$S" gc
	works mlimg-store --store "$S" verify
}

@test "killed: create --from-removed" {
	vm destroy alice --yes >/dev/null
	rm -rf "$S.start"
	cp -a "$S" "$S.start"
	killed create alice --from-removed alice
}
