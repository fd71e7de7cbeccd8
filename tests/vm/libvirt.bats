#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small.bash, libvirt.bash
# Tenants that libvirt runs: guests with a small root, on another host, and on this one.
# lasts 300

load ../lib/common

setup_file() {
	need root
	need command virsh libvirtd unshare nsenter
	load ../lib/small
	mkdir -p "$BATS_FILE_TMPDIR/images"
	small_make "$BATS_FILE_TMPDIR/images"
}

setup() {
	need root
	need command virsh libvirtd unshare nsenter jq sqlite3
	# Short enough for the path of a socket, and open to QEMU's user.
	hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
	chmod 0711 "$hosts"
	load ../lib/vm
	load ../lib/layers
	load ../lib/libvirt
	load ../lib/tenants
	images=$BATS_FILE_TMPDIR/images
	S=$hosts/store
	mkdir -m 0777 "$hosts/ports"
	mlimg-store --store "$S" add "$images/system.img" "$images/a.img" >/dev/null
}

teardown() {
	libvirt_end
	rm -rf "$hosts"
}

# create NAME ARGUMENT…
create() {
	works vm create "$1" --system small:1 --size 64M --memory 256M --net none --append "$VM_APPEND" "${@:2}"
}

# port NAME: the tests' own port into a guest that runs, $hosts/ports/NAME: libvirt plugs it in.
port() {
	rm -f "$hosts/ports/$1"
	echo "<channel type='unix'><source mode='bind' path='$hosts/ports/$1'/><target type='virtio' name='org.mlimg.test.0'/></channel>" >"$hosts/port.xml"
	virsh -q -c "$uri" attach-device "$1" "$hosts/port.xml" --live >/dev/null
}

# inside NAME COMMAND: what it prints in the guest
inside() {
	guestctl -t 60 "$hosts/ports/$1" "$2"
}

# state NAME: as list tells it
state() {
	vm list --json | jq -r ".[] | select(.name == \"$1\") | .state"
}

# comes NAME STATE: waits for it. An agent may be slow to say how its guest is, on a busy machine.
comes() {
	local i
	for ((i = 0; i < 60; i++)); do
		[ "$(state "$1")" != "$2" ] || return 0
		sleep 0.5
	done
	same "state of $1" "$2" "$(state "$1")"
}

# begin NAME…: starts them at once, and waits until they are up; leaves what each said in $hosts/NAME.out and .err
begin() {
	local name pids=()
	for name in "$@"; do
		vm start "$name" >"$hosts/$name.out" 2>"$hosts/$name.err" &
		pids+=($!)
	done
	for name in "${pids[@]}"; do
		wait "$name" || {
			cat "$hosts"/*.err >&2
			return 1
		}
	done
}

# put_there NAME…: what these starts have sent to the host, in words
put_there() {
	local name
	for name in "$@"; do
		sed -n "s/^mlimg-vm: host '.*': \(.*\) was put there\$/\1/p" "$hosts/$name.err"
	done | sed 's/ (build id .*//' | sort | xargs
}

# qemu_of NAME: its process
qemu_of() {
	pgrep -f "^/usr/bin/qemu-system-x86_64 -name guest=$1,.* -uuid $(tenant "$1" id | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')"
}

@test "libvirt: two tenants on another host: each layer is sent once; libvirtd and QEMU are killed, their data stays" {
	local volume boot
	libvirt_host east
	uri=$(libvirt_uri east)
	works mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S"
	create alice --host east
	create bob --connect "$uri"
	begin alice bob
	same "sent" "index initramfs kernel layer small 1" "$(put_there alice bob)"
	same "domains" "alice bob" "$(virsh -c "$uri" list --name | sort | xargs)"
	same "how bob was started" "bob: up: index union, default target reached" "$(<"$hosts/bob.out")"
	until [ "$(vm status alice --json | jq -r '.status.union')" = index ]; do sleep 0.5; done
	port alice
	inside alice 'mkdir -p /srv && echo written >/srv/file && sync'
	boot=$(inside alice 'cat /proc/sys/kernel/random/boot_id')
	# Nobody of the host's is needed for a guest to go on.
	libvirt_kill east
	same "states" "unreachable unreachable" "$(state alice) $(state bob)"
	fails 1 "mlimg-vm: tenant 'alice': host '$uri': Failed to connect socket to '$hosts/east/libvirt-sock': Connection refused" vm stop alice
	libvirt_begin east
	comes alice up
	comes bob up
	same "boot of alice" "$boot" "$(inside alice 'cat /proc/sys/kernel/random/boot_id')"
	# One that is on for longer than a boot may last, and whose agent hangs, does not boot for ever.
	port bob
	works vm set bob --boot-timeout 1
	inside bob 'kill -STOP $(pidof mlimg-agent)'
	comes bob silent
	inside bob 'kill -CONT $(pidof mlimg-agent)'
	comes bob up
	works vm set bob --boot-timeout 300
	works vm resize bob 96M
	same "bytes of its disk" $((96 << 20)) "$(($(inside bob 'cat /sys/block/vd*/size' | sort -n | grep -cx $((96 << 11))) * (96 << 20)))"
	kill -KILL "$(qemu_of alice)"
	comes alice died
	same "state" "died: its QEMU crashed, or was killed" "$(vm list --json | jq -r '.[] | select(.name == "alice") | "\(.state): \(.why)"')"
	begin alice
	same "sent" "" "$(put_there alice)"
	port alice
	same "file of alice" written "$(inside alice 'cat /srv/file')"
	works vm stop alice
	works vm stop bob
	same "states" "off off" "$(state alice) $(state bob)"
	# It is set aside here, whole.
	volume=$hosts/pool/$(tenant alice id).qcow2
	[ -f "$volume" ]
	works vm destroy alice --yes
	[ ! -e "$volume" ]
	qemu-img check -q -f qcow2 "$S/removed/"*/user.qcow2
	same "domains" bob "$(virsh -c "$uri" list --all --name | xargs)"
	started_by_others
	fails 1 "mlimg-vm: the disk of tenant 'bob' is on host 'east', and can be resized only while it runs: 'mlimg-vm start bob' first" vm resize bob 128M
	fails 1 "mlimg-vm: the disk of tenant 'bob' is on host 'east', and cannot be copied from here: bring it home first ('mlimg-vm move bob')" vm clone bob carol
	# Home, also where somebody has undefined its domain.
	volume=$hosts/pool/$(tenant bob id).qcow2
	[ -f "$volume" ]
	virsh -q -c "$uri" undefine bob
	works vm move bob
	[ ! -e "$volume" ]
	same "its disk" $((96 << 20)) "$(qemu-img info -f qcow2 --output=json "$(tenant_disk bob)" | jq '."virtual-size"')"
	works vm clone bob carol
}

# started_by_others: bob, as virsh and a start that was killed may leave it.
started_by_others() {
	works vm set bob --software a
	virsh -q -c "$uri" start bob
	same "generation, and pending" "1 2" "$(vm status bob --json | jq -r '.generation, .pending' | xargs)"
	same "event" "by somebody else" "$(sqlite3 "$S/store.db" "SELECT text FROM event WHERE kind = 'started' ORDER BY id DESC LIMIT 1")"
	virsh -q -c "$uri" destroy bob
	same "state" off "$(state bob)"
	virsh -q -c "$uri" start bob --paused
	same "state" "paused: it is being started, or its start was interrupted" "$(vm list --json | jq -r '.[] | "\(.state): \(.why)"')"
	works vm stop bob
	same "said" "bob: is off" "$output"
	virsh -q -c "$uri" start bob --paused
	run --separate-stderr vm start bob --no-wait
	same "exit code" 0 "$status"
	[[ $stderr == *"mlimg-vm: warning: a start of tenant 'bob' was interrupted; it is started anew"* ]]
	same "generation" 2 "$(tenant bob current)"
	virsh -q -c "$uri" destroy bob
}

@test "libvirt: what is damaged on a host is noticed, by its build id, and sent again" {
	local id volume
	libvirt_host east
	uri=$(libvirt_uri east)
	works mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S"
	create alice --host east --software a
	id=$(image_id "$images/a.img")
	volume=$hosts/pool/$id.img
	works vm start alice --no-wait 2>/dev/null || [ "$status" -eq 0 ]
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	works mlimg-vm host check east --store "$S"
	same "said" "east: 5 volumes as put there" "$output"
	# Behind the back of all, with the same time.
	touch -r "$volume" "$hosts/time"
	printf x | dd of="$volume" bs=1 seek=300000 conv=notrunc status=none
	touch -r "$hosts/time" "$volume"
	fails 3 "mlimg-vm: warning: host 'east': '$id.img' is not what was put there
mlimg-vm: host 'east': 1 of 5 volumes are not as they were put there; the next start that needs them puts them there again" \
		mlimg-vm host check east --store "$S"
	# Its time is what it was: it is the check that the start goes by.
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr == *"mlimg-vm: warning: layer a 1 (build id $id) was damaged or lost on host 'east', and was put there again"* ]]
	cmp "$images/a.img" "$volume"
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	# An upload that was cut short: as long as it should be, and nobody has noted it.
	sqlite3 "$S/store.db" "DELETE FROM volume WHERE name = '$id.img'"
	printf y | dd of="$volume" bs=1 seek=300000 conv=notrunc status=none
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr == *"mlimg-vm: host 'east': layer a 1 (build id $id) was put there"* ]]
	cmp "$images/a.img" "$volume"
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	# One that is whole, and that nobody has noted, is not sent.
	sqlite3 "$S/store.db" "DELETE FROM volume"
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr != *"was put there"* ]]
	same "volumes" 5 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM volume WHERE name NOT LIKE '%.qcow2'")"
}

# here COMMAND…: on the host "here", whose libvirt is this machine's to it
here() {
	libvirt_inside here "$@"
}

@test "libvirt: tenants of this machine's libvirt open the store's own files; QEMU's user gets the disk alone; checkpoints" {
	local layer disk
	libvirt_host here
	uri=$(libvirt_uri here)
	create alice --connect qemu:///system
	layer=$S/layers/$(image_id "$images/system.img").img
	disk=$(tenant_disk alice)
	run --separate-stderr here mlimg-vm start alice --store "$S"
	same "exit code and stdout" "0: alice: up: index union, default target reached" "$status: $output" || same stderr "" "$stderr"
	same "owner of the layer, and of the disk" "0 64055" "$(stat -c %u "$layer" "$disk" | xargs)"
	same "QEMU's user" 64055 "$(stat -c %u "/proc/$(qemu_of alice)")"
	same "pools" "" "$(virsh -c "$uri" pool-list --all --name | xargs)"
	port alice
	# A counter in memory, and on disk.
	inside alice 'mkdir -p /srv; i=0; (while :; do i=$((i + 1)); echo $i >/srv/count; echo $i >/run/count; sleep 0.1; done) >/dev/null 2>&1 &'
	until [ "$(inside alice 'cat /run/count')" -gt 3 ] 2>/dev/null; do sleep 0.2; done
	works here mlimg-vm checkpoint alice one --store "$S"
	inside alice 'echo later >/srv/later; sync'
	works here mlimg-vm checkpoint alice two --disk-only --store "$S"
	same "said" "alice: checkpoint 'two': disk" "$output"
	same "written afterwards" 2 "$(inside alice 'echo 2 >/srv/file; sync; cat /srv/file')"
	run here mlimg-vm restore alice one --discard --store "$S"
	same "exit code" 0 "$status"
	same "later file, and whether the counters agree" "no yes" \
		"$(inside alice 'a=$(cat /srv/count); b=$(cat /run/count); [ -e /srv/later ] && echo yes || echo no; [ $((a - b)) -le 1 ] && [ $((b - a)) -le 1 ] && echo yes' | xargs)"
	works here mlimg-vm stop alice --store "$S"
	same "owner of the disk" 0 "$(stat -c %u "$disk")"
	works here mlimg-vm checkpoint alice off --disk-only --store "$S"
	same "checkpoints" "off one two" "$(here mlimg-vm checkpoints alice --json --store "$S" | jq -r '.[].tag' | sort | xargs)"
	works here mlimg-vm delete alice one two --store "$S"
	works here mlimg-vm rename alice carol --store "$S"
	run --separate-stderr here mlimg-vm start carol --no-wait --store "$S"
	same "exit code" 0 "$status"
	same "domains" carol "$(virsh -c "$uri" list --all --name | xargs)"
	here mlimg-vm stop carol --timeout 1 --store "$S" || true
	works here mlimg-vm destroy carol --yes --store "$S"
	same "domains" "" "$(virsh -c "$uri" list --all --name | xargs)"
	qemu-img check -q -f qcow2 "$S/removed/"*/user.qcow2
}
