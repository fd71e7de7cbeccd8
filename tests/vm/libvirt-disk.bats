#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # libvirt-tenants.bash sets hosts
# What needs a host of libvirt's and no guest: checkpoints of the disk of a domain that is on, whose QEMU stands still, with lib/play-agent as its agent (what
# they are to a guest is shown in libvirt.bats); what is removed from a host.
# lasts 50

load ../lib/common
load ../lib/tenants

setup_file() {
	need root
	need command virsh libvirtd unshare nsenter
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	need root
	need command virsh libvirtd unshare nsenter jq sqlite3 socat
	load ../lib/libvirt-tenants
	S=$hosts/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR/old.img" >/dev/null
	libvirt_host east
	uri=$(libvirt_uri east)
	mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S" >/dev/null
	vm create alice --system debian --size 64M --host east >/dev/null
	disk=$hosts/pool/user.qcow2
	mkdir -m 0755 "$hosts/pool"
	install -m 0666 "$(tenant_disk alice)" "$disk"
	truncate -s 1M "$hosts/pool/1.img" "$hosts/pool/2.img"
	agent 1
	domain 1
	virsh -q -c "$uri" start alice --paused
	sqlite3 "$S/store.db" "UPDATE tenant SET run_s = 1700000000"
}

teardown() {
	kill "$agent" 2>/dev/null || true
	! mountpoint -q "$hosts/full" || umount "$hosts/full"
	libvirt_done
}

# agent THAWED: it is played.
agent() {
	socat "UNIX-LISTEN:$hosts/ports/agent,fork,mode=777" "EXEC:play-agent $hosts/asked $1" 3>&- 4>&- &
	agent=$!
	until [ -S "$hosts/ports/agent" ]; do sleep 0.1; done
}

# no_agent
no_agent() {
	kill "$agent"
	wait "$agent" || true
	rm -f "$hosts/ports/agent"
}

# domain N: alice's, with N layers.
domain() {
	local i
	{
		echo "<domain type='qemu'><name>alice</name><uuid>$(tenant alice id | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')</uuid>
			<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='maximum'/>
			<devices><controller type='usb' model='none'/><controller type='virtio-serial' index='0'/>"
		for ((i = 1; i <= $1; i++)); do
			echo "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$hosts/pool/$i.img'/>
				<target dev='vd$(tr 1-9 a-i <<<"$i")' bus='virtio'/><readonly/><shareable/></disk>"
		done
		echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$disk'/>
			<target dev='vd$(tr 1-9 a-i <<<"$i")' bus='virtio'/></disk>
			<channel type='unix'><source mode='connect' path='$hosts/ports/agent'/><target type='virtio' name='org.mlimg.agent.0'/></channel>
			</devices></domain>"
	} >"$hosts/domain.xml"
	virsh -q -c "$uri" define "$hosts/domain.xml"
}

# has TAG…: these checkpoints, to libvirt and in the disk.
has() {
	same "checkpoints that libvirt knows" "$(printf 'mlimg-%s\n' "$@" | sort)" "$(virsh -q -c "$uri" snapshot-list alice --name | grep . | sort)"
	same "snapshots in the disk" "$(printf 'mlimg-%s\n' "$@" | sort)" "$(qemu-img info -U -f qcow2 --output=json "$disk" | jq -r '.snapshots[]?.name' | sort)"
	same "checkpoints, and what they are" "$(printf '%s saved\n' "$@" | sort)" "$(sqlite3 -separator ' ' "$S/store.db" "SELECT tag, state FROM checkpoint ORDER BY tag")"
}

@test "libvirt: a checkpoint of the disk of a domain that is on: frozen meanwhile; what fails leaves nothing" {
	works vm checkpoint alice one --disk-only
	same "said" "alice: checkpoint 'one': disk" "$output"
	same "asked of its agent" "guest-sync-delimited guest-fsfreeze-freeze guest-fsfreeze-thaw" "$(uniq "$hosts/asked" | xargs)"
	has one
	works vm checkpoint alice two
	has one two
	no_agent
	agent 0
	fails 1 "mlimg-vm: checkpoint 'bad' of 'alice': its file system has thawed before the disk was saved; try again" vm checkpoint alice bad --disk-only
	has one two
	no_agent
	run --separate-stderr vm checkpoint alice bad --disk-only
	same "exit code" 1 "$status"
	[[ $stderr == "mlimg-vm: checkpoint 'bad' of 'alice': freeze its file system (with memory, or when it is off, there is no need to): "* ]]
	has one two
	works vm delete alice one
	has two
	# The disk alone of one with memory: the domain is off afterwards.
	virsh -q -c "$uri" destroy alice
	agent 1
	works vm restore alice two --disk-only --discard
	same "state" "shut off" "$(virsh -c "$uri" domstate alice | xargs)"
	has two
}

@test "libvirt: what was saved when a domain had other layers, and what a libvirtd that was killed left, is removed while it is on" {
	local node
	virsh -q -c "$uri" destroy alice
	works vm checkpoint alice off --disk-only
	domain 2
	virsh -q -c "$uri" start alice --paused
	has off
	# By itself libvirt does not.
	run ! virsh -q -c "$uri" snapshot-delete alice mlimg-off
	works vm delete alice off
	same "snapshots in the disk" 0 "$(qemu-img info -U -f qcow2 --output=json "$disk" | jq '.snapshots | length')"
	# In the disk, and libvirt does not know it; the row says that it was being saved.
	node=$(virsh -c "$uri" qemu-monitor-command alice '{"execute":"query-block"}' | jq -r '.return[] | select(.qdev | test("/virtio-disk2/")) | .inserted."node-name"')
	virsh -q -c "$uri" qemu-monitor-command alice '{"execute":"blockdev-snapshot-internal-sync","arguments":{"device":"'"$node"'","name":"mlimg-lost"}}' >/dev/null
	sqlite3 "$S/store.db" "INSERT INTO checkpoint (tenant_id, tag, kind, origin, state, generation, memory_bytes, cpus, machine, saved_bytes, created_s)
		VALUES ('$(tenant alice id)', 'lost', 'disk', 'named', 'saving', 1, 0, 0, '', 0, 1700000000)"
	works vm checkpoint alice new --disk-only
	has new
	# The same of one that is off.
	virsh -q -c "$uri" destroy alice
	qemu-img snapshot -c mlimg-lost "$disk"
	sqlite3 "$S/store.db" "INSERT INTO checkpoint (tenant_id, tag, kind, origin, state, generation, memory_bytes, cpus, machine, saved_bytes, created_s)
		VALUES ('$(tenant alice id)', 'lost', 'disk', 'named', 'saving', 1, 0, 0, '', 0, 1700000000)"
	works vm checkpoint alice off --disk-only
	has new off
}

# left BYTES: the host's pool, of that size, in which alice's disk is, with which she runs.
left() {
	virsh -q -c "$uri" destroy alice
	mkdir -m 0711 "$hosts/small"
	libvirt_inside east mount -t tmpfs -o "size=$1,mode=711" tmpfs "$hosts/small"
	libvirt_inside east cp "$disk" "$hosts/small/user.qcow2"
	libvirt_inside east chmod 666 "$hosts/small/user.qcow2"
	disk=$hosts/small/user.qcow2
	virsh -q -c "$uri" pool-define-as mlimg dir --target "$hosts/small"
	virsh -q -c "$uri" pool-start mlimg
	rm "$(tenant_disk alice)"
	domain 1
	virsh -q -c "$uri" start alice
}

# refused MESSAGE ARGUMENT…: a checkpoint is; nobody has been asked for anything, and alice does what she did, $state.
refused() {
	run --separate-stderr vm checkpoint alice one "${@:2}"
	same "exit code and stdout" "1: " "$status: $output"
	[[ $stderr =~ $1 ]] || same "what is said" "$1" "$stderr"
	same "checkpoints" "0" "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint")"
	# Of one that has stood still it says "unpaused".
	same "alice" "$state" "$(virsh -c "$uri" domstate alice --reason | xargs)"
	[ ! -e "$hosts/asked" ] || ! grep fsfreeze "$hosts/asked"
	same "its snapshots" "" "$(virsh -q -c "$uri" snapshot-list alice --name | xargs)"
}

@test "libvirt: a checkpoint that has no room on its host's disk is refused before the guest stands still" {
	local store=$S state="paused (user)" memory="^mlimg-vm: checkpoint 'one' of 'alice': its memory may take 128 MiB, and"
	# One whose disk is in the store.
	mkdir "$hosts/full"
	mount -t tmpfs -o size=120M tmpfs "$hosts/full"
	cp -a "$S" "$hosts/full/store"
	S=$hosts/full/store
	refused "$memory '$S/tenants/[0-9a-f]*' has 1[0-9][0-9] MiB left \\(the disk alone: --disk-only\\)\$"
	S=$store
	left 120M
	state="running (booted)"
	refused "$memory storage pool 'mlimg' of host 'east' has 1[12][0-9] MiB left \\(the disk alone: --disk-only\\)\$"
	virsh -q -c "$uri" suspend alice
	state="paused (user)"
	libvirt_inside east fallocate -l "$(($(libvirt_inside east stat -f -c '%a * %S' "$hosts/small") - (512 << 10)))" "$hosts/small/other"
	refused "^mlimg-vm: checkpoint 'one' of 'alice': its tables may take 1.0 MiB, and storage pool 'mlimg' of host 'east' has [0-9]+ KiB left\$" --disk-only
	libvirt_inside east rm "$hosts/small/other"
	# It is asked anew each time.
	libvirt_inside east mount -o remount,size=400M "$hosts/small"
	works vm checkpoint alice one
	same "checkpoint" "one memory saved" "$(sqlite3 -separator ' ' "$S/store.db" "SELECT tag, kind, state FROM checkpoint")"
	# What is before a restore is one, too.
	libvirt_inside east mount -o remount,size=120M "$hosts/small"
	run --separate-stderr vm restore alice one
	same "exit code" 1 "$status"
	[[ $stderr == *"its memory may take 128 MiB, and storage pool 'mlimg' of host 'east' has "* ]]
}

# noted NAME: as if it had been put there.
noted() {
	sqlite3 "$S/store.db" "INSERT INTO volume (host, name, digest, size_bytes, mark, checked_s) VALUES ('east', '$1', printf('%064d', 0), 1048576, 'x', 1)"
}

@test "libvirt: host gc: what neither a generation nor a domain has goes, now and in a snapshot; what others have put there stays" {
	local layer
	layer=$(sqlite3 "$S/store.db" "SELECT build_id FROM layer").img
	truncate -s 1M "$hosts/pool/$layer" "$hosts/pool/other.img"
	noted 1.img
	noted 2.img
	noted "$layer"
	noted user.qcow2
	noted lost.kernel
	works mlimg-vm host gc east --dry-run --store "$S"
	same "said" "east: would remove 2.img, 1.0 MiB
east: would remove lost.kernel, 1.0 MiB" "$output"
	[ -e "$hosts/pool/2.img" ]
	works mlimg-vm host gc east --store "$S"
	same "said" "east: removed 2.img, 1.0 MiB
east: removed lost.kernel, 1.0 MiB" "$output"
	same "files" "$(printf '%s\n' 1.img "$layer" other.img user.qcow2 | sort)" "$(cd "$hosts/pool" && printf '%s\n' * | sort)"
	same "what is known" "$(printf '%s\n' 1.img "$layer" user.qcow2 | sort)" "$(sqlite3 "$S/store.db" "SELECT name FROM volume" | sort)"
	# It goes on over that disk when it is restored.
	works vm checkpoint alice one
	virsh -q -c "$uri" destroy alice
	domain 0
	works mlimg-vm host gc east --store "$S"
	same "said" "east: nothing to remove" "$output"
	works vm delete alice one
	works mlimg-vm host gc east --store "$S"
	same "said" "east: removed 1.img, 1.0 MiB" "$output"
	# Nobody uses the layer when the tenant is another host's.
	virsh -q -c "$uri" undefine alice
	sqlite3 "$S/store.db" "UPDATE tenant SET run_s = NULL, host = NULL"
	works mlimg-vm host gc east --store "$S"
	same "said" "east: removed $layer, 1.0 MiB" "$output"
	same "files" "other.img user.qcow2" "$(cd "$hosts/pool" && echo *)"
}
