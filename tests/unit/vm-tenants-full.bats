#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Commands on tenants where the disk is full, or almost: what they say, that nothing is lost or left over, and that they go through when there is room.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

# shellcheck disable=SC2016
# full COMMAND…: in a file system with so many KiB left; what is lacking shows in other places each time. Its tenant is alice, with 1 MiB on her disk.
full() {
	need userns
	need command sqlite3 qemu-img qemu-io
	cd "$BATS_FILE_TMPDIR" || return
	works timeout 120 unshare -rm bash -c '
		set -e
		mkdir -p full && mount -t tmpfs -o size=6m none full
		failed=0
		mlimg-store --store full/store add old.img >/dev/null
		mlimg-vm create alice --store full/store --system debian --size 64M >/dev/null
		disk=$(find full/store/tenants -name user.qcow2)
		qemu-io -f qcow2 -c "write -P 7 1M 1M" "$disk" >/dev/null
		before=$(sqlite3 full/store/store.db "SELECT name, current FROM tenant")
		for left in 0 8 40 80 160 320 640 1000 1200 2400; do
			rm -f full/filler
			room=$(df --output=avail -k full | tail -n 1)
			head -c $(((room - left) * 1024)) /dev/zero >full/filler
			if mlimg-vm "$@" --store full/store >said 2>&1; then break; fi
			failed=$((failed + 1))
			grep -q "No space left on device" said || { echo "with $left KiB:"; cat said; exit 1; }
			rm -f full/filler
			mlimg-store --store full/store verify >/dev/null
			[ "$(sqlite3 full/store/store.db "SELECT name, current FROM tenant")" = "$before" ]
			[ -z "$(ls -A full/store/incoming)" ] || { find full/store; exit 1; }
			qemu-img check -q -f qcow2 "$disk"
			qemu-io -f qcow2 -r -c "read -P 7 1M 1M" "$disk" | grep -q "^read 1048576/1048576"
		done
		rm -f full/filler
		echo "failed $failed times"
		[ "$failed" -gt 0 ]
		mlimg-store --store full/store verify >/dev/null
		! qemu-io -f qcow2 -r -c "read -P 7 1M 1M" "$disk" 2>&1 | grep -q "verification failed" || exit 1' bash "$@"
}

@test "full disk: clone" {
	full clone alice bob
}

@test "full disk: clone --linked" {
	full clone alice bob --linked
}

@test "full disk: resize" {
	full resize alice 128M
}

@test "full disk: set" {
	full set alice --memory 512M
}

@test "full disk: rename" {
	full rename alice bob
}

@test "full disk: checkpoint" {
	full checkpoint alice one
}
