#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets status, output and stderr
# lasts 150
# Two tenants on a host of libvirt's: kill -9 of QEMU, of the command and of libvirtd at random moments, KILLS of them; each starts again with its data,
# and nothing of it disturbs the other.

load ../lib/common
load ../lib/tenants
load ../lib/moments
load ../lib/numbers

setup_file() {
	need root
	need command virsh libvirtd unshare nsenter
	cd "$BATS_FILE_TMPDIR" || return
	tenant_small
}

setup() {
	local name
	need root
	need command virsh libvirtd unshare nsenter jq sqlite3
	load ../lib/libvirt-tenants
	S=$hosts/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/{system,web}.img >/dev/null
	libvirt_host east
	uri=$(libvirt_uri east)
	mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S" >/dev/null
	for name in alice bob; do
		vm create "$name" --system small --size 64M --memory 192M --net none --append 'quiet cryptomgr.notests' --host east >/dev/null
	done
}

teardown() {
	libvirt_done
}

# counts NAME: it is up, has what it had promised, and goes on to count.
counts() {
	port "$1"
	has_kept "$1" "${had[$1]}"
	load_writes "$1"
	boot[$1]=$(boot_of "$1")
}

boot_of() {
	in_guest "$1" 'cat /proc/sys/kernel/random/boot_id'
}

# begins WORDS…: a command, in $command.
begins() {
	echo "$*"
	mlimg-vm "$@" --store "$S" >"$hosts/command" 2>&1 3>&- &
	command=$!
}

# ends: the command does, whatever it says; in a minute it does, or nobody knows for what it waits.
ends() {
	local i
	for ((i = 0; i < 600; i++)); do
		kill -0 "$command" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$command" 2>/dev/null && same "a command that does not end" "" "$(<"$hosts/command")"
	wait "$command" || true
}

# any_command NAME: begins one; sets had to what must be there whatever becomes of it.
any_command() {
	local commands=("restart $1" "stop $1" "checkpoint $1 tag" "checkpoint $1 tag --disk-only" "restore $1 first --discard" "delete $1 first" "set $1 --add-software web")
	local words=${commands[RANDOM % ${#commands[@]}]}
	[[ $words != restore* ]] || had[$1]=${first[$1]}
	# shellcheck disable=SC2086 # words
	begins $words
}

kill_qemu() {
	moment 1000
	kill -KILL "$(qemu_of "$1")"
	comes "$1" died
}

kill_command() {
	any_command "$1"
	moment 3000
	kill -KILL "$command" 2>/dev/null || true
	ends
}

# In the middle of a command, which may wait until it is there again.
kill_libvirtd() {
	any_command "$1"
	moment 3000
	libvirt_kill east
	libvirt_begin east
	ends
}

# kill_one KIND NAME OTHER
kill_one() {
	local tag
	for tag in tag first; do vm delete "$2" "$tag" >/dev/null 2>&1 || true; done
	works vm checkpoint "$2" first
	had[$2]=$(promised "$2")
	first[$2]=${had[$2]}
	echo "$1, $2"
	"kill_$1" "$2"
	# Whatever it does now.
	vm stop "$2" --timeout 30 || true
	begin "$2"
	counts "$2"
	same "boot of $3" "${boot[$3]}" "$(boot_of "$3")"
	same "what is not saved, nor gone" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint WHERE state <> 'saved'")"
}

# comes_home NAME: with nothing in its disk but the disk.
comes_home() {
	local tag
	works vm stop "$1"
	for tag in tag first; do vm delete "$1" "$tag" >/dev/null 2>&1 || true; done
	works vm move "$1"
	qemu-img check -q -f qcow2 "$(tenant_disk "$1")"
	same "snapshots of $1" "" "$(qemu-img snapshot -l "$(tenant_disk "$1")")"
}

@test "libvirt: kill -9 of QEMU, of the command, of libvirtd, at random moments: each tenant starts again with its data" {
	local -A had=([alice]=0 [bob]=0) boot=() first=()
	local kinds=(qemu command libvirtd) names=(alice bob) i command
	random_moments
	# When it is first started all that it needs is put there.
	begins start alice --no-wait
	moment 1500
	kill -KILL "$command" 2>/dev/null || true
	ends
	vm stop alice --timeout 1 || true
	begin alice bob
	counts alice
	counts bob
	for ((i = 0; i < ${KILLS:-3}; i++)); do
		kill_one "${kinds[i % 3]}" "${names[(i + i / 3) % 2]}" "${names[(i + i / 3 + 1) % 2]}"
	done
	works mlimg-vm host check east --store "$S"
	works mlimg-store --store "$S" verify
	comes_home alice
	comes_home bob
}
