#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets output
# A host whose disk fills up beneath a guest that writes: QEMU stops the guest, which goes on when there is room.

load ../lib/common
load ../lib/tenants
load ../lib/life

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq qemu-img
	cd "$BATS_FILE_TMPDIR" || return
	small-root "$(debian-tree v1)" tree
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	tenant_channel
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	tenant_sockets
	# shellcheck disable=SC2034 # life_end removes it
	run=$TEST_SOCKETS/run
	mkdir host
	mount -t tmpfs -o size=400M tmpfs host
	S=$PWD/host/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR/system.img" >/dev/null
	vm create ann --system small --size 128M --memory 192M --net none --accel tcg --append 'quiet cryptomgr.notests' >/dev/null
}

teardown() {
	life_end
	umount "$BATS_TEST_TMPDIR/host"
	rm -rf "$TEST_SOCKETS"
}

# in_guest COMMAND
in_guest() {
	guestctl -t 120 "$TEST_SOCKETS/ann" "$1"
}

@test "full host: a guest that finds no room stands still, and when there is room it goes on with nothing lost" {
	local why="its disk cannot be written: no room on the host's disk; make room, then 'mlimg-vm start ann'"
	vm start ann >/dev/null 2>&1
	in_guest 'head -c $((24 << 20)) /dev/urandom >/run/data'
	fallocate -l $(($(stat -f -c '%a * %S' host) - (8 << 20))) host/other
	in_guest '{ dd if=/run/data of=/root/data bs=64k conv=fsync; echo $? >/run/done; } >/dev/null 2>&1 &'
	until [ "$(vm list --json | jq -r '.[].state')" = paused ]; do sleep 0.2; done
	until [[ $(vm list --json | jq -r '.[].why') == "$why" ]]; do sleep 0.2; done
	works vm status ann
	[[ $output == *"guest     paused: $why, started "* ]]
	rm host/other
	works vm start ann
	same "said" "ann: goes on, and has lost nothing" "$output"
	same "dd" 0 "$(in_guest 'until [ -s /run/done ]; do sleep 0.1; done; cat /run/done')"
	# As it is on the disk.
	in_guest 'echo 3 >/proc/sys/vm/drop_caches; cmp /run/data /root/data'
	works vm stop ann
	same "said" "ann: powered off by its agent" "$output"
	qemu-img check -q -f qcow2 "$(tenant_disk ann)"
	vm start ann >/dev/null 2>&1
	same "bytes after a boot" $((24 << 20)) "$(in_guest 'wc -c </root/data')"
}
