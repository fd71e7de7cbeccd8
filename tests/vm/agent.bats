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

# load_begin: somebody in the guest who writes files, each synced before he promises that it is there.
load_begin() {
	# shellcheck disable=SC2016 # the guest's $
	vm_do t 'cat >/run/load <<"END"
mkdir -p /srv/load
i=0
while :; do
	i=$((i + 1))
	echo "this is $i" | dd of=/srv/load/$i conv=fsync 2>/dev/null
	echo $i >/run/promised.new
	mv /run/promised.new /run/promised
done
END
sh /run/load >/dev/null 2>&1 </dev/null &
until [ -e /run/promised ]; do sleep 0.1; done'
}

# goes_on N: more than N files are promised, before a freeze of 60 s could have ended by itself.
goes_on() {
	local _
	for _ in $(seq 40); do
		[ "$(vm_do t 'cat /run/promised')" -gt "$1" ] && return
		sleep 1
	done
	echo "nothing is written any more after $1 files" >&2
	return 1
}

# stay: a client on the host that stays; asked by descriptor 7, what it hears is in heard. Sets $stays.
stay() {
	rm -f "$vms/asks"
	mkfifo "$vms/asks"
	socat - "UNIX-CONNECT:$vms/t/agent.sock" <"$vms/asks" >"$vms/heard" 3>&- 4>&- &
	stays=$!
	exec 7>"$vms/asks"
}

# hears LINE
hears() {
	local _
	for _ in $(seq 300); do
		grep -qaxF "$1" "$vms/heard" && return
		sleep 0.1
	done
	same "what the client hears" "$1" "$(cat "$vms/heard")"
}

@test "a snapshot of a frozen disk has all that was synced, and a host that is gone freezes nothing" {
	vm_start t --system "$vms/system.img" --user "$vms/user.img" --memory 256M --net none
	vm_up t
	load_begin
	stay
	printf '\377{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000},"id":"f"}\n' >&7
	hears '{"return":1,"id":"f"}'
	local n
	cp "$vms/user.img" "$vms/snapshot.img"
	n=$(vm_do t 'cat /run/promised')
	sleep 1
	same "files promised while frozen" "$n" "$(vm_do t 'cat /run/promised')"
	printf '{"execute":"guest-fsfreeze-thaw","id":"t"}\n' >&7
	hears '{"return":1,"id":"t"}'
	goes_on "$n"
	run e2fsck -fn "$vms/snapshot.img"
	same "e2fsck, which said: $output" 0 "$status"
	mkdir "$vms/found"
	debugfs -R "rdump upper/srv/load $vms/found" "$vms/snapshot.img" 2>/dev/null
	for i in $(seq "$n"); do
		same "file $i of $n" "this is $i" "$(cat "$vms/found/load/$i")"
	done
	# The host goes while it is frozen.
	printf '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000},"id":"g"}\n' >&7
	hears '{"return":1,"id":"g"}'
	n=$(vm_do t 'cat /run/promised')
	kill -KILL "$stays"
	goes_on "$((n + 1))"
	# And the next client finds an agent that answers, and that ends the guest.
	stay
	printf '\377{"execute":"guest-fsfreeze-status","id":"s"}\n{"execute":"guest-set-time","arguments":{"time":1700000000000000000}}\n' >&7
	hears '{"return":"thawed","id":"s"}'
	hears '{"return":{}}'
	same "year of the guest" 2023 "$(vm_do t 'date -u +%Y')"
	printf '{"execute":"guest-set-time","id":"r"}\n' >&7
	hears '{"return":{},"id":"r"}'
	same "year of the guest, by its clock chip" "$(date -u +%Y)" "$(vm_do t 'date -u +%Y')"
	printf '{"execute":"guest-shutdown","id":"d"}\n' >&7
	hears '{"return":{},"id":"d"}'
	vm_end t
	vm_clean "$vms/user.img"
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
