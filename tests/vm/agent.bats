#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # power.bash
# What only a guest can show of mlimg-agent: a freeze of the disk that is its root, how a virtio-serial port tells of the host's coming and going, a
# busybox init, and what it costs there. Each union driver has its guest.
# lasts 110

load ../lib/common

setup_file() {
	export vms=$BATS_FILE_TMPDIR
	load ../lib/power
	power_make "$vms" --compress zstd --unionfs "$(command -v unionfs)"
}

setup() {
	export vms=$BATS_TEST_TMPDIR
	load ../lib/vm
	load ../lib/power
	load ../lib/agent-host
	agent=$vms/t/agent.sock
	system=$BATS_FILE_TMPDIR/system.img user=$vms/user.img
}

teardown() {
	vm_kill
}

# start DRIVER: guest "t" on an empty user layer.
start() {
	mlimg-mkfs --quiet --kind user --name tenant --size 64M "$user"
	vm_union=$1 vm_start t --system "$system" --user "$user" --memory 256M --net none
	vm_up t
}

# daemon COMMAND: in the guest, for its daemon, whose number is $p.
daemon() {
	vm_do t 'for p in $(pidof mlimg-agent); do '"$1"'; done'
}

# begin_again: its init has to start it, when it was killed.
begin_again() {
	local pid
	pid=$(daemon 'echo $p')
	vm_do t "kill -9 $pid; until [ -n \"\$(pidof mlimg-agent)\" ] && [ \"\$(pidof mlimg-agent)\" != $pid ]; do sleep 0.1; done"
}

# load_begin: somebody in the guest who writes files, each synced before he promises that it is there.
load_begin() {
	vm_do t 'cat >/run/load <<"END"
echo $$ >/run/load.pid
mkdir -p /srv/files
i=0
while :; do
	i=$((i + 1))
	echo "this is $i" | dd of=/srv/files/$i conv=fsync 2>/dev/null
	echo $i >/run/promised.new
	mv /run/promised.new /run/promised
done
END
sh /run/load >/dev/null 2>&1 </dev/null &
until [ -e /run/promised ]; do sleep 0.1; done'
}

# load_end: nobody writes any more.
load_end() {
	vm_do t 'for p in $(cat /run/load.pid 2>/dev/null) $(pidof powerload); do
	kill $p
	while kill -0 $p 2>/dev/null; do sleep 0.1; done
done'
}

# goes_on N [END]: more than N files are promised, before a freeze of 60 s could have ended by itself.
goes_on() {
	local n end=${2:-$((SECONDS + 45))}
	while [ $SECONDS -lt "$end" ]; do
		n=$(vm_seconds=$((end - SECONDS)) vm_do t 'cat /run/promised') || n=0
		[ "$n" -gt "$1" ] && return
		sleep 0.5
	done
	echo "nothing is written any more after $1 files" >&2
	return 1
}

# holds N: the snapshot's file system was unmounted, as it were: clean, with an empty journal; and has the files that were promised.
holds() {
	local i
	vm_clean "$vms/snapshot.img"
	mkdir "$vms/found"
	debugfs -R "rdump upper/srv/files $vms/found" "$vms/snapshot.img" 2>/dev/null
	for i in $(seq "$1"); do
		same "file $i of $1" "this is $i" "$(cat "$vms/found/files/$i")"
	done
}

# host_goes: the client is killed while it freezes; whoever writes goes on before the freeze's own time is over.
host_goes() {
	local n end=$((SECONDS + 45))
	freezes gone
	kill -KILL "$stays"
	# Of one file the promise may still be under way.
	n=$(vm_seconds=45 vm_do t 'cat /run/promised')
	goes_on "$((n + 1))" $end
}

# freeze_scenario: in guest "t", in which nothing has to stand still but who writes.
freeze_scenario() {
	local n
	load_begin
	stay
	freezes f
	cp --sparse=always "$user" "$vms/snapshot.img"
	n=$(vm_do t 'cat /run/promised')
	sleep 1
	same "files promised while frozen" "$n" "$(vm_do t 'cat /run/promised')"
	thaws t
	goes_on "$n"
	holds "$n"
	host_goes
}

@test "a snapshot of a frozen disk has all that was synced, and a host that is gone freezes nothing; the clock; reboot, halt" {
	power_disk "$user"
	vm_union=index power_start 1000000
	vm_up t
	power_promised promise 10
	freeze_scenario
	# The load for power cuts, which renames, replaces and appends, has written as well.
	[ "$(power_promise "$vms/snapshot.img")" -ge 10 ]
	vm_union=index power_holds "$vms/snapshot.img" "$system"
	# The next client finds an agent that answers, and that ends the guest.
	stay
	asks '{"execute":"guest-fsfreeze-status","id":"s"}' '{"return":"thawed","id":"s"}'
	asks '{"execute":"guest-set-time","arguments":{"time":1700000000000000000},"id":"c"}' '{"return":{},"id":"c"}'
	same "year of the guest" 2023 "$(vm_do t 'date -u +%Y')"
	asks '{"execute":"guest-set-time","id":"r"}' '{"return":{},"id":"r"}'
	same "year of the guest, by its clock chip" "$(date -u +%Y)" "$(vm_do t 'date -u +%Y')"
	load_end
	vm_do t 'touch /run/booted'
	asks '{"execute":"guest-shutdown","arguments":{"mode":"reboot"},"id":"b"}' '{"return":{},"id":"b"}'
	vm_rebooted t '[ ! -e /run/booted ]'
	power_promised checked 2
	load_end
	kill "$stays"
	stay
	asks '{"execute":"guest-shutdown","arguments":{"mode":"halt"},"id":"h"}' '{"return":{},"id":"h"}'
	# It stands still with its disk unmounted, and is still there.
	until vm_clean "$user" 2>/dev/null; do
		kill -0 "${vm_pids[t]}"
		sleep 0.2
	done
	kill -0 "${vm_pids[t]}"
}

# Its one thread waits with the first who writes, and so does whoever needs it: all of the guest but what is in memory.
@test "with unionfs, where a freeze stops all of the root, the agent answers and thaws; powerdown" {
	local n
	start unionfs
	load_begin
	# Of the agent's program as little as can be is in memory.
	begin_again
	vm_do t 'sync; echo 3 >/proc/sys/vm/drop_caches'
	n=$(vm_do t 'cat /run/promised')
	stay
	freezes f
	cp --sparse=always "$user" "$vms/snapshot.img"
	sleep 1
	asks '{"execute":"guest-fsfreeze-status","id":"s"}' '{"return":"frozen","id":"s"}'
	fails 125 "guestctl: the guest does not answer" guestctl -t 3 "$vms/t.test" 'cat /etc/hostname'
	printf '%s\n' '{"execute":"guest-info","id":"i"}' >&7
	asks '{"execute":"guest-nonsense","id":"n"}' '{"error":{"class":"CommandNotFound","desc":"no command '"'guest-nonsense'"'"},"id":"n"}'
	grep -aq '"supported_commands"' "$vms/heard"
	thaws t
	goes_on "$n"
	holds "$n"
	host_goes
	load_end
	stay
	asks '{"execute":"guest-shutdown","id":"d"}' '{"return":{},"id":"d"}'
	vm_end t
	vm_clean "$user"
}

# still WHEN: the daemon answers.
still() {
	same "what the guest is, $1" overlay "$(vm_status t | jq -r .union)"
}

# health: a check is asked for, under an init that knows no units.
health() {
	vm_do t 'mkdir -p /etc/mlimg/health.d && printf "#!/bin/sh\nhostname\nexit 4\n" >/etc/mlimg/health.d/web && chmod 0755 /etc/mlimg/health.d/web'
	stay
	same "mlimg-health" '[false,[["web",4]],"other","unknown",true]' \
		"$(answer h '"execute":"mlimg-health"' | jq -c '.return | [.is_healthy, (.checks | map([.name, .status])), .init, .system_state, .default_target_reached]')"
	kill "$stays"
}

@test "what a host does to the port harms nobody: it comes and goes, sends garbage, halves and floods; and between clients the daemon sleeps" {
	local flood before
	start overlay
	freeze_scenario
	load_end
	health
	works reconnect "$agent" 300
	same reconnect "300 of 300 answered" "$output"
	head -c 3000000 /dev/urandom | socat -u - "UNIX-CONNECT:$agent"
	still "after garbage"
	head -c 100000 /dev/zero | tr '\0' x | socat -u - "UNIX-CONNECT:$agent"
	printf '{"execute":"guest-pi' | socat -u - "UNIX-CONNECT:$agent"
	still "after halves"
	# Somebody who asks without end, and takes no answer. Others are served all the same.
	yes '{"execute":"guest-info"}' | socat -u - "UNIX-CONNECT:$agent" 3>&- 4>&- &
	flood=$!
	vm_do t 'echo user:x:1000:1000::/:/bin/sh >>/etc/passwd'
	same "who is no root, during a flood" "changed    /etc/passwd  (over system small 1)" "$(vm_do t "su user -c 'mlimg diff /etc/passwd'")"
	kill "$flood"
	# One that comes at once would wait for the answers to all that was asked.
	sleep 2
	still "after a flood"
	# Nobody is at the other end now: the port is "readable" all the time. A daemon that polled it would run all the time.
	before=$(daemon 'grep ctxt_switches /proc/$p/status')
	[ -n "$before" ]
	sleep 10
	same "wakings of the idle daemon" "$before" "$(daemon 'grep ctxt_switches /proc/$p/status')"
	daemon 'grep -E "^(VmHWM|VmRSS)" /proc/$p/status; grep ^Pss: /proc/$p/smaps_rollup'
	[ "$(daemon 'sed -n "s/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p" /proc/$p/status')" -le 4096 ]
	begin_again
	still "after its end"
	vm_stop t
	vm_clean "$user"
}
