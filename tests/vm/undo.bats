#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A guest's user takes back what he has changed, across boots and another system: reset, undelete, pin, resolve each way; and gives what is his to another guest.
# With unionfs-fuse, where it is done at once, shorter: on one boot of each system. MLIMG_UNDO: the drivers of the union, instead of all.
# lasts 90
# shellcheck disable=SC2034,SC2154 # agent-host.bash

load ../lib/common

setup() {
	export vms=$BATS_TEST_TMPDIR
	load ../lib/vm
	load ../lib/agent-host
	agent=$vms/t/agent.sock
	small-root "$(debian-tree v1)" "$vms/tree" --unionfs "$(command -v unionfs)"
	mkdir -p "$vms/tree/usr/share/app/deep" "$vms/tree/etc/conf.d"
	seq -f 'line %g' 9 | tee "$vms/tree"/etc/{mine,theirs,merged,pinned} >"$vms/tree/etc/conf"
	echo tool 1 | tee "$vms/tree/usr/share/app/deep/file" "$vms/tree/etc/conf.d/part" >"$vms/tree/usr/share/app/tool"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$vms/tree" "$vms/v1.img"
	sed -i '3s/$/, theirs/; 9s/$/, theirs/' "$vms/tree"/etc/{mine,theirs,merged,pinned,conf}
	echo tool 2 | tee "$vms/tree/usr/share/app/deep/file" "$vms/tree/etc/conf.d/part" >"$vms/tree/usr/share/app/tool"
	mlimg-mkfs --quiet --kind system --name small --version 2 "$vms/tree" "$vms/v2.img"
	mlimg-mkfs --quiet --kind user --name tenant --size 64M "$vms/user.img"
}

teardown() {
	vm_kill
}

# does WHAT WANTED COMMAND: in the guest.
does() {
	local output
	output=$(vm_do t "$3" 2>&1) || output+="
exit $?"
	same "$1" "$2" "$output"
}

# on VERSION [OPTION…]: the guest on that system, with the user layer or what OPTIONs say.
on() {
	local version=$1
	shift
	[ $# -gt 0 ] || set -- --user "$vms/user.img"
	vm_start t --system "$vms/v$version.img" --memory 256M --net none "$@"
	vm_up t
}

# change: what the user does on the first system.
change() {
	vm_do t 'sed -i "3s/\$/, mine/" /etc/mine /etc/theirs /etc/merged /etc/pinned /etc/conf
		echo my tool >/usr/share/app/tool
		chmod 0711 /usr/share/app/tool
		rm -r /etc/conf.d
		rm /usr/share/app/deep/file
		mkdir /srv
		echo mine >/srv/file'
	does "pin" "/etc/pinned: pinned: when the stack changes it stays as it is" "mlimg pin /etc/pinned"
	does "diff" "changed    /etc/conf  (over system small 1)
deleted    /etc/conf.d  (of system small 1)" "mlimg diff | grep /etc/conf"
	does "why" "/etc/conf
  shows   yours
  hidden  system small 1" "mlimg why /etc/conf | sed -n '1,3s/  file.*//; 1,3p'"
}

# conflicts: what the other system has left of them.
conflicts() {
	does "pinned" "line 3, mine" "sed -n 3p /etc/pinned"
	does "conflicts" "beside /etc/merged  (the system's: /etc/merged.mlimg-new; generation 2)
beside /etc/mine  (the system's: /etc/mine.mlimg-new; generation 2)
beside /etc/theirs  (the system's: /etc/theirs.mlimg-new; generation 2)
aside  /usr/share/app/tool  (yours: /run/mlimg/user/mlimg/aside/2/usr/share/app/tool; generation 2)" "mlimg conflicts"
	does "resolve: mine" "/etc/mine: yours stays; /etc/mine.mlimg-new is gone
/usr/share/app/tool: yours is back
my tool
711" "mlimg resolve --keep mine /etc/mine /usr/share/app/tool && cat /usr/share/app/tool && stat -c %a /usr/share/app/tool"
	does "resolve: merged" "/etc/merged: 1 conflict is left: edit /etc/merged.mlimg-merged, where each is marked, and say the same again
exit 1" "mlimg resolve --keep merged /etc/merged"
	does "resolve: merged, edited" "/etc/merged: what was merged is there; /etc/merged.mlimg-new is gone; what was /etc/merged is in /run/mlimg/user/mlimg/aside/resolved-1/etc/merged
line 3, both
line 9, theirs" "sed -i '/^[<=]/d; /^line 3, theirs/d; /^>/d; s/, mine/, both/' /etc/merged.mlimg-merged
		mlimg resolve --keep merged /etc/merged && sed -n '3p; 9p' /etc/merged"
}

# reported: the host hears of the last reconcile what its file says.
reported() {
	local report
	vm_do t 'cat /run/mlimg/user/mlimg/reports/2.json' >"$vms/2.json"
	stay
	report=$(answer report '"execute":"mlimg-report","arguments":{"entries":1000}')
	same "generation" 2 "$(jq .return.generation <<<"$report")"
	same "report" "$(jq -S . "$vms/2.json")" "$(jq -S .return.report <<<"$report")"
	same "entries" "$(jq '.entries | length' "$vms/2.json")" "$(jq .return.entries_listed <<<"$report")"
	[ "$(jq .return.entries_listed <<<"$report")" -gt 3 ]
	kill "$stays"
}

# What of the root is in layers and upper, with modes, owners and contents.
files='cd / && find etc usr srv -type f | sort | while read -r file; do stat -c "%a %u:%g %n" "$file"; sha256sum <"$file"; done'

# taken_back: what was reset and deleted shows as the other system has it, and nothing is left to do.
taken_back() {
	does "what was reset, what was deleted" "line 3, theirs
tool 2
tool 2
line 3, mine
Nothing waits for the next boot." "sed -n 3p /etc/conf; cat /etc/conf.d/part /usr/share/app/deep/file
		sed -n 3p /run/mlimg/user/mlimg/aside/queue-1/etc/conf; mlimg queue"
}

queued() {
	on 1
	change
	does "reset, undelete" "/etc/conf: at the next boot yours is set aside (69 B), and what system small 1 has shows
Until then nothing changes there: 'mlimg queue' shows what waits, and takes it back.
/etc/conf.d: at the next boot it is there again, as system small 1 has it
/usr/share/app/deep/file: at the next boot it is there again, as system small 1 has it
Until then nothing changes there: 'mlimg queue' shows what waits, and takes it back.
line 3, mine" "mlimg reset /etc/conf && mlimg undelete /etc/conf.d /usr/share/app/deep/file && sed -n 3p /etc/conf && [ ! -e /etc/conf.d ]"
	does "queue" "/srv: at the next boot yours is set aside (2 entries, 5 B), and nothing is there: no layer has it
/srv: no longer waits for the next boot: it stays as it is
reset       /etc/conf
restore     /etc/conf.d
restore     /usr/share/app/deep/file" "mlimg reset -r /srv | head -n 1; mlimg queue --cancel /srv; mlimg queue"
	vm_stop t
	# The next boot does it, and then brings what is left into agreement with another system.
	on 2
	taken_back
	reported
	conflicts
	does "resolve: theirs" "/etc/theirs: at the next boot yours is set aside (69 B), and what system small 2 has shows; /etc/theirs.mlimg-new goes then" \
		"mlimg resolve --keep theirs /etc/theirs | head -n 1"
	vm_stop t
	on 2
	does "theirs, mine, merged" "line 3, theirs
line 3, mine
line 3, both
my tool" "for file in theirs mine merged; do sed -n 3p /etc/\$file; done; cat /usr/share/app/tool"
	does "conflicts" "There are no conflicts.
merged mine theirs mine" "mlimg conflicts; mlimg conflicts --all | sed 's/.*resolved: //; s/)//' | xargs"
	given
}

# given: another guest with what the user has exported as a software layer.
given() {
	vm_do t "mlimg export /mine.tar"
	vm_do t "$files" >"$vms/files"
	vm_stop t
	vm_clean "$vms/user.img"
	mkdir -p "$vms/mounted"
	mount -o loop,ro,noload "$vms/user.img" "$vms/mounted"
	cp "$vms/mounted/upper/mine.tar" "$vms/mine.tar"
	umount "$vms/mounted"
	mlimg-mkfs --quiet --force --kind software --name mine --over "$vms/v2.img" --partial "$vms/mine.tar" "$vms/mine.img"
	mlimg-mkfs --quiet --force --kind user --name another --size 64M "$vms/another.img"
	on 2 --software "$vms/mine.img" --user "$vms/another.img"
	vm_do t "$files" >"$vms/again"
	does "whose" "/etc/merged
  shows   software mine" "mlimg why /etc/merged | sed -n '1,2s/ [^ ]*  file.*//; 1,2p'"
	vm_stop t
	[ -s "$vms/files" ]
	diff "$vms/files" "$vms/again"
}

at_once() {
	on 1
	change
	does "reset, undelete" "/etc/conf: yours is set aside (69 B), and what system small 1 has shows
/etc/conf.d: it is there again, as system small 1 has it
/usr/share/app/deep/file: it is there again, as system small 1 has it
line 3
tool 1
tool 1
line 3, mine" "mlimg reset /etc/conf && mlimg undelete /etc/conf.d /usr/share/app/deep/file && sed -n 3p /etc/conf && cat /etc/conf.d/part /usr/share/app/deep/file
		sed -n 3p /run/mlimg/user/mlimg/aside/queue-1/etc/conf"
	vm_stop t
	on 2
	taken_back
	reported
	conflicts
	does "resolve: theirs" "/etc/theirs: yours is set aside (69 B), and what system small 2 has shows; /etc/theirs.mlimg-new is gone
line 3, theirs
There are no conflicts." "mlimg resolve --keep theirs /etc/theirs; sed -n 3p /etc/theirs; mlimg conflicts"
	given
}

@test "a guest's user takes back what he has changed" {
	for vm_union in ${MLIMG_UNDO:-index overlay unionfs}; do
		echo "# with the union driver $vm_union"
		mlimg-mkfs --quiet --force --kind user --name tenant --size 64M "$vms/user.img"
		if [ "$vm_union" = unionfs ]; then at_once; else queued; fi
	done
}
