#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What only a guest's own virtio-serial port can show of mlimg-agent: how the port tells of the host's coming and going.

load ../lib/common

setup() {
	export vms=$BATS_TEST_TMPDIR
	load ../lib/vm
	# Packed as it is by default, which most guests' is not.
	small-root "$(debian-tree v1)" "$vms/tree" --compress zstd
	mlimg-mkfs --quiet --kind system --name small "$vms/tree" "$vms/system.img"
	mlimg-mkfs --quiet --kind user --name tenant --size 64M "$vms/user.img"
}

teardown() {
	vm_kill
}

# ticks: processor time of the guest's daemon so far.
ticks() {
	# shellcheck disable=SC2016 # the guest's $
	vm_do t 'for p in $(pidof mlimg-agent); do cut -d" " -f14,15 /proc/$p/stat; done'
}

@test "a client that comes as soon as the last one has gone is answered, and between clients the daemon sleeps" {
	vm_start t --system "$vms/system.img" --user "$vms/user.img" --memory 256M --net none
	vm_up t
	works reconnect "$vms/t/agent.sock" 300
	same reconnect "300 of 300 answered" "$output"
	# Nobody is at the other end now: the port is "readable" all the time. A daemon that polled it would take every tick there is.
	local before
	sleep 1
	before=$(ticks)
	[ -n "$before" ]
	sleep 3
	same "processor time while nobody asks" "$before" "$(ticks)"
	vm_stop t
}
