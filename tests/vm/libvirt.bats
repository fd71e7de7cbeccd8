#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small.bash, libvirt.bash
# Tenants that libvirt runs: guests with a small root, on another host, and on this one.
# lasts 300

load ../lib/common

load ../lib/images
load ../lib/tenants

setup_file() {
	need root
	need command virsh libvirtd unshare nsenter
	cd "$BATS_FILE_TMPDIR" || return
	tenant_small
}

setup() {
	need root
	need command virsh libvirtd unshare nsenter jq sqlite3 script dumpe2fs
	load ../lib/libvirt-tenants
	images=$BATS_FILE_TMPDIR
	S=$hosts/store
	mlimg-store --store "$S" add "$images"/{system,web}.img >/dev/null
}

teardown() {
	libvirt_done
}

# create NAME ARGUMENT…
create() {
	works vm create "$1" --system small:1 --size 64M --memory 192M --net none --append 'quiet cryptomgr.notests' "${@:2}"
}

# put_there NAME…: what these starts have sent to the host, in words
put_there() {
	local name
	for name in "$@"; do
		sed -n "s/^mlimg-vm: host '.*': \(.*\) was put there\$/\1/p" "$hosts/$name.err"
	done | sed 's/ (build id .*//' | sort | xargs
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
	in_guest alice 'mkdir -p /srv && echo written >/srv/file && sync'
	boot=$(in_guest alice 'cat /proc/sys/kernel/random/boot_id')
	on_console
	two_at_once
	# Nobody of the host's is needed for a guest to go on.
	libvirt_kill east
	same "states" "unreachable unreachable" "$(state alice) $(state bob)"
	fails 1 "mlimg-vm: tenant 'alice': host '$uri': Failed to connect socket to '$hosts/east/libvirt-sock': Connection refused" vm stop alice
	libvirt_begin east
	comes alice up
	comes bob up
	same "boot of alice" "$boot" "$(in_guest alice 'cat /proc/sys/kernel/random/boot_id')"
	# One that is on for longer than a boot may last, and whose agent hangs, does not boot for ever.
	works vm set bob --boot-timeout 1
	in_guest bob 'kill -STOP $(pidof mlimg-agent)'
	comes bob silent
	in_guest bob 'kill -CONT $(pidof mlimg-agent)'
	comes bob up
	works vm set bob --boot-timeout 300
	works vm resize bob 96M
	same "bytes of its disk" $((96 << 20)) "$(($(in_guest bob 'cat /sys/block/vd*/size' | sort -n | grep -cx $((96 << 11))) * (96 << 20)))"
	kill -KILL "$(qemu_of alice)"
	comes alice died
	same "state" "died: its QEMU crashed, or was killed" "$(vm list --json | jq -r '.[] | select(.name == "alice") | "\(.state): \(.why)"')"
	begin alice
	same "sent" "" "$(put_there alice)"
	port alice
	same "file of alice" written "$(in_guest alice 'cat /srv/file')"
	same "autostart" disable "$(autostart alice)"
	works vm set alice --autostart yes
	same "autostart" enable "$(autostart alice)"
	works vm stop alice
	works vm stop bob
	same "states" "off off" "$(state alice) $(state bob)"
	# It is set aside here, whole.
	volume=$hosts/pool/$(tenant alice id).qcow2
	[ -f "$volume" ]
	works vm destroy alice --yes
	[ ! -e "$volume" ]
	unharmed "$S/removed/"*/user.qcow2
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

# disks_of: layers and user disks that a domain has, without their places.
disks_of() {
	grep -oE '[0-9a-f]+\.(img|qcow2)' | sort
}

# two_at_once: alice and bob, through what can be done with guests that are on.
two_at_once() {
	local name
	both checkpoint alice bob one
	for name in alice bob; do in_guest "$name" 'echo later >/root/later; sync'; done
	both checkpoint alice bob two --disk-only
	both restore alice bob one --discard
	same "later files" "none none" "$(for name in alice bob; do in_guest "$name" 'ls /root/later 2>/dev/null || echo none'; done | xargs)"
	both checkpoints alice bob
	same "checkpoints" "one two one two" "$(both_said alice bob | sed -nE 's/^(one|two) .*/\1/p' | xargs)"
	both delete alice bob one two
	both status alice bob
	same "agents" 2 "$(both_said alice bob | grep -c 'union *index')"
	# What it prints is what runs.
	both xml alice bob
	for name in alice bob; do
		same "disks of $name" "$(virsh -c "$uri" dumpxml --inactive "$name" | disks_of)" "$(disks_of <"$BATS_TEST_TMPDIR/$name.said")"
		fails 1 "mlimg-vm: tenant '$name' is run by libvirt on host 'east', which keeps no log of its console ('mlimg-vm console $name' shows it while it runs; QEMU's messages are in /var/log/libvirt/qemu/$name.log there)" \
			vm logs "$name"
	done
}

# on_console: both ways, on a terminal.
on_console() {
	local typed=$hosts/typed
	{
		until grep -q leaves "$typed" 2>/dev/null; do sleep 0.1; done
		printf '\recho $((40 + 2))-by-console >/root/typed; cat /root/typed\r'
		until grep -q '^42-by-console' "$typed"; do sleep 0.1; done
		printf '\035'
	} | timeout 100 script -qefc "mlimg-vm console --store '$S' bob" "$typed" >/dev/null
	grep -q "bob: left, the guest goes on" "$typed"
	port bob
	same "in the guest" 42-by-console "$(in_guest bob 'cat /root/typed')"
}

# autostart NAME: whether libvirt does it.
autostart() {
	virsh -c "$uri" dominfo "$1" | awk '$1 == "Autostart:" { print $2 }'
}

# started_by_others: bob, as virsh and a start that was killed may leave it.
started_by_others() {
	works vm set bob --software web
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
	create alice --host east --software web
	id=$(image_id "$images/web.img")
	volume=$hosts/pool/$id.img
	works vm start alice --no-wait 2>/dev/null || [ "$status" -eq 0 ]
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	works mlimg-vm host check east --store "$S"
	same "said" "east: 5 volumes as put there" "$output"
	# Behind the back of all, with the same time.
	touch -r "$volume" "$hosts/time"
	printf x | dd of="$volume" bs=1 seek=20000 conv=notrunc status=none
	touch -r "$hosts/time" "$volume"
	fails 3 "mlimg-vm: warning: host 'east': '$id.img' is not what was put there
mlimg-vm: host 'east': 1 of 5 volumes are not as they were put there; the next start that needs them puts them there again" \
		mlimg-vm host check east --store "$S"
	# Its time is what it was: it is the check that the start goes by.
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr == *"mlimg-vm: warning: layer web 1 (build id $id) was damaged or lost on host 'east', and was put there again"* ]]
	cmp "$images/web.img" "$volume"
	run --separate-stderr vm restart alice --no-wait --timeout 1
	same "exit code and stdout" "0: alice: starting" "$status: $output"
	[[ $stderr == *"mlimg-vm: warning: tenant 'alice' did not power off within 1 s, ended"* ]]
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	# An upload that was cut short: as long as it should be, and nobody has noted it.
	sqlite3 "$S/store.db" "DELETE FROM volume WHERE name = '$id.img'"
	printf y | dd of="$volume" bs=1 seek=20000 conv=notrunc status=none
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr == *"mlimg-vm: host 'east': layer web 1 (build id $id) was put there"* ]]
	cmp "$images/web.img" "$volume"
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	# One that is whole, and that nobody has noted, is not sent.
	sqlite3 "$S/store.db" "DELETE FROM volume"
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	[[ $stderr != *"was put there"* ]]
	same "volumes" 5 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM volume WHERE name NOT LIKE '%.qcow2'")"
	nobody_uses "$id.img"
}

# nobody_uses LAYER: alice runs on it no more; it goes when she cannot return to it either, and what runs stays.
nobody_uses() {
	local index
	works mlimg-vm host gc east --store "$S"
	same "said while all is used" "east: nothing to remove" "$output"
	vm stop alice --timeout 1 >/dev/null 2>&1 || true
	index=$(cd "$hosts/pool" && echo *.index)
	works vm set alice --no-software
	vm start alice --no-wait >/dev/null 2>&1
	works mlimg-vm host gc east --dry-run --store "$S"
	[[ $output == "east: would remove $index, "* ]]
	same "indexes" 2 "$(find "$hosts/pool" -name '*.index' | wc -l)"
	works mlimg-vm host gc east --store "$S"
	[[ ${#lines[@]} -eq 1 && $output == "east: removed $index, "* ]]
	[ ! -e "$hosts/pool/$index" ]
	works mlimg-store --store "$S" gc --former 0 --all
	echo other >"$hosts/pool/other.img"
	works mlimg-vm host gc east --store "$S"
	[[ ${#lines[@]} -eq 1 && $output == "east: removed $1, "* ]]
	same "what is left there" "1 index 1 initrd 1 kernel 2 img 1 qcow2" \
		"$(for suffix in index initrd kernel img qcow2; do
			find "$hosts/pool" -name "*.$suffix" | wc -l
			echo "$suffix"
		done | xargs)"
	works mlimg-vm host check east --store "$S"
	same "said" "east: 4 volumes as put there" "$output"
	virsh -q -c "$uri" domstate alice | grep -qx running
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
	in_guest alice 'mkdir -p /srv; i=0; (while :; do i=$((i + 1)); echo $i >/srv/count; echo $i >/run/next; mv /run/next /run/count; sleep 0.1; done) >/dev/null 2>&1 &'
	until [ "$(in_guest alice 'cat /run/count')" -gt 3 ] 2>/dev/null; do sleep 0.2; done
	works here mlimg-vm checkpoint alice one --store "$S"
	in_guest alice 'echo later >/srv/later; sync'
	run here mlimg-vm restore alice one --discard --store "$S"
	same "exit code" 0 "$status"
	same "later file, and whether the counters agree" "no yes" \
		"$(in_guest alice 'until a=$(cat /srv/count) && [ "$a" ]; do :; done; b=$(cat /run/count); [ -e /srv/later ] && echo yes || echo no; [ $((a - b)) -le 1 ] && [ $((b - a)) -le 1 ] && echo yes' | xargs)"
	there_and_back
	frozen
	fails 1 "mlimg-vm: 'alice' is up, and a disk can only be restored while the guest is off: 'mlimg-vm stop alice', then restore" \
		here mlimg-vm restore alice two --store "$S"
	works here mlimg-vm stop alice --store "$S"
	same "owner of the disk" 0 "$(stat -c %u "$disk")"
	works here mlimg-vm checkpoint alice off --disk-only --store "$S"
	works here mlimg-vm restore alice two --discard --store "$S"
	same "file systems in the checkpoints" "two: clean one: needs_recovery" "$(for tag in two one; do recovery $tag; done | xargs)"
	here mlimg-vm start alice --store "$S" >/dev/null 2>&1
	port alice
	# Not synced by the guest: the freeze has done it.
	same "files" "1 none" "$(in_guest alice 'cat /srv/file; ls /srv/later 2>/dev/null || echo none' | xargs)"
	# Saved while it was on, and while it was off: removed while it is on.
	works here mlimg-vm delete alice two off --store "$S"
	same "snapshots" mlimg-one "$(qemu-img info -U -f qcow2 --output=json "$disk" | jq -r '.snapshots[].name' | xargs)"
	works here mlimg-vm stop alice --store "$S"
	works here mlimg-vm restore alice one --disk-only --discard --store "$S"
	same "said, and what the domain does" "alice: restored the disk of 'one' shut off" "$output $(virsh -c "$uri" domstate alice | xargs)"
	works here mlimg-vm rename alice carol --store "$S"
	here mlimg-vm start carol --store "$S" >/dev/null 2>&1
	same "domains" carol "$(virsh -c "$uri" list --all --name | xargs)"
	port carol
	same "files" "none none" "$(in_guest carol 'for f in file later; do ls /srv/$f 2>/dev/null || echo none; done' | xargs)"
	works here mlimg-vm stop carol --store "$S"
	works here mlimg-vm destroy carol --yes --store "$S"
	same "domains" "" "$(virsh -c "$uri" list --all --name | xargs)"
	qemu-img check -q -f qcow2 "$S/removed/"*/user.qcow2
}

# goes_on: alice's counter does; prints what /srv has besides.
goes_on() {
	in_guest alice 'n=$(cat /run/count); until [ "$(cat /run/count)" -gt $((n + 1)) ]; do sleep 0.1; done; ls /srv | grep -vx count || echo none'
}

# restored: alice, to "one", while she does what she does; what she was is a checkpoint, whose tag is in $before.
restored() {
	run --separate-stderr here mlimg-vm restore alice one --store "$S"
	# Of one that is off also how it is started.
	same "exit code and stderr of a restore" "0 " "$status $(grep -vE '^mlimg-vm: (union|disks|accel): ' <<<"$stderr")"
	[[ $output =~ ^"alice: restored memory and disk of 'one'; what was before is '"(before-restore-[0-9.-]+)"'"$ ]]
	before=${BASH_REMATCH[1]}
}

# there_and_back: a guest that runs, one that is off, and what it was.
there_and_back() {
	local before boot kept
	boot=$(in_guest alice 'cat /proc/sys/kernel/random/boot_id')
	in_guest alice 'echo 2 >/srv/second; sync'
	restored
	same "files" none "$(goes_on)"
	kept=$before
	# The tests' port comes back with what it was plugged into.
	virsh -q -c "$uri" destroy alice
	restored
	same "files" none "$(goes_on)"
	works here mlimg-vm delete alice "$before" --store "$S"
	run --separate-stderr here mlimg-vm restore alice "$kept" --discard --store "$S"
	same "exit code and stderr of a restore" "0 " "$status $stderr"
	same "files" second "$(goes_on)"
	same "boot" "$boot" "$(in_guest alice 'cat /proc/sys/kernel/random/boot_id')"
	in_guest alice 'rm /srv/second; sync'
	works here mlimg-vm delete alice "$kept" --store "$S"
}

# frozen: the disk alone of a guest that runs and writes.
frozen() {
	in_guest alice 'echo 1 >/srv/file'
	works here mlimg-vm checkpoint alice two --disk-only --store "$S"
	same "said" "alice: checkpoint 'two': disk" "$output"
	in_guest alice 'n=$(cat /run/count); echo 2 >/srv/file; sync; until [ "$(cat /run/count)" -gt $((n + 1)) ]; do sleep 0.1; done'
	same "checkpoints" "one:memory two:disk" "$(here mlimg-vm checkpoints alice --json --store "$S" | jq -r '.[] | "\(.tag):\(.kind)"' | xargs)"
	# libvirt lists it, too.
	same "its snapshots" "mlimg-one mlimg-two" "$(virsh -c "$uri" snapshot-list alice --name | sort | xargs)"
}

# recovery TAG: whether the file system in that checkpoint has to be recovered, as after a power cut.
recovery() {
	qemu-img convert -U -f qcow2 -l "snapshot.name=mlimg-$1" -O raw "$disk" "$hosts/disk.raw"
	echo "$1: $(dumpe2fs -h "$hosts/disk.raw" 2>/dev/null | grep -o needs_recovery || echo clean)"
}
