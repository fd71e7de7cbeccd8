# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets stderr
# Hosts of libvirt's, and tenants on them, as far as no daemon is needed: libvirt has a host for tests, test:///default, which lasts as long as
# whoever uses it.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
	mkdir -p boot/boot
	echo kernel >boot/boot/vmlinuz-6.1.0-1-test
	echo initrd >boot/boot/initrd.img-6.1.0-1-test
	mlimg-mkfs --quiet --kind system --name bootable --version 1 boot boot.img
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	need command sqlite3 qemu-img jq
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add boot.img tools.img >/dev/null
	SOCKET=$BATS_TEST_TMPDIR/nobody
	FAR="qemu+unix:///system?socket=$SOCKET"
}

# host WORD ARGUMENT…: of mlimg-vm host, on the store
host() {
	mlimg-vm host --store "$S" "$@"
}

@test "libvirt: help of each command, in 80 columns; every option in manual page and completion" {
	vm_documented host move xml create
}

@test "libvirt: hosts: added, listed, removed" {
	works host add east qemu+ssh://root@east.example.org/system --pool-path /srv/mlimg --network lan
	same "said" "added host east: qemu+ssh://root@east.example.org/system" "$output"
	works host add here qemu:///system
	works host list
	same "hosts" "NAME              TENANTS  URI
east                    0  qemu+ssh://root@east.example.org/system
here                    0  qemu:///system" "$output"
	works host list --json
	same "as JSON" '[{"name":"east","uri":"qemu+ssh://root@east.example.org/system","pool_path":"/srv/mlimg","network":"lan","tenants":0},{"name":"here","uri":"qemu:///system","tenants":0}]' \
		"$(jq -c . <<<"$output")"
	works host remove east
	same "said" "removed host east" "$output"
	fails 1 "mlimg-vm: no host 'east'" host remove east
	fails 1 "mlimg-vm: no host 'east'" host check east
	fails 1 "mlimg-vm: no host 'east'" host gc east
}

@test "libvirt: hosts that cannot be" {
	works host add here qemu:///system
	fails 1 "mlimg-vm: there is a host 'here' already: qemu:///system" host add here qemu:///session
	fails 1 "mlimg-vm: 'qemu:///system' is host 'here' already" host add there qemu:///system
	usage "'/run/x' is no URI of libvirt's (as 'qemu:///system' or 'qemu+ssh://root@example.org/system')" host --store "$S" add x /run/x
	usage "'-' cannot be a host's name (1 to 63 letters, digits and ._-, the first a letter or digit)" host --store "$S" add - qemu:///session
	usage "--pool-path: 'srv' does not begin with '/'" host --store "$S" add x qemu:///session --pool-path srv
	usage "unknown command 'host show'" host show x
	usage "the name of a host is missing" host add
	usage "the host's URI is missing" host add x
	usage "what to do (add, list, check, gc, remove) is missing" host
}

@test "libvirt: tenants are created on a host, by its name or its URI, which adds it" {
	works host add east "$FAR"
	works vm create alice --system bootable --host east
	works vm create bob --system bootable --connect "$FAR"
	works vm create carol --system bootable --connect qemu+ssh://root@west.example.org:22/system
	works vm create dave --system bootable --connect qemu:///session
	works vm create erin --system bootable --connect "qemu:///session?socket=/x"
	same "hosts" "east east west.example.org session session-2" "$(for t in alice bob carol dave erin; do tenant $t host; done | xargs)"
	fails 1 "mlimg-vm: no host 'nowhere'" vm create frank --system bootable --host nowhere
	same "tenant that was not created" "" "$(tenant frank name)"
	usage "--host and --connect say the same" create --store "$S" x --system bootable --host east --connect "$FAR"
	fails 1 "mlimg-vm: host 'east' runs tenant 'alice' and 1 more" host remove east
}

@test "libvirt: a host that does not answer: its tenants are unreachable, others are not" {
	works host add east "$FAR"
	works vm create alice --system bootable --host east
	works vm create bob --system bootable
	works vm list --json
	same "states" "unreachable off" "$(jq -r '.[].state' <<<"$output" | xargs)"
	fails 1 "mlimg-vm: host '$FAR': Failed to connect socket to '$SOCKET': No such file or directory" vm xml alice
	fails 1 "mlimg-vm: host '$FAR': Failed to connect socket to '$SOCKET': No such file or directory" host check east
	fails 1 "mlimg-vm: tenant 'bob' is run by QEMU itself, not by libvirt" vm xml bob
}

@test "libvirt: a host that takes the connection and says nothing is given up" {
	socat "UNIX-LISTEN:$SOCKET,fork" EXEC:'sleep 60' 3>&- 4>&- &
	LISTENER=$!
	until [ -S "$SOCKET" ]; do sleep 0.1; done
	works host add east "$FAR"
	works vm create alice --system bootable --host east
	works vm create bob --system bootable --host east
	run timeout 60 mlimg-vm list --store "$S" --json
	kill $LISTENER
	same "exit code" 0 "$status"
	same "states" "unreachable unreachable" "$(jq -r '.[].state' <<<"$output" | xargs)"
	[[ $output == *"host '$FAR' does not answer within 10 s"* ]]
}

# element PATH: of the domain in $output
element() {
	xmllint --xpath "string(/domain/$1)" - <<<"$output"
}

@test "libvirt: the domain of a tenant on this machine: the store's own files, as libvirt's schema wants it" {
	local id layers
	need command xmllint
	works vm create alice --system bootable --software tools --memory 512M --cpus 2 --append 'a="<&>"' --union overlay --connect test:///default
	id=$(tenant alice id)
	run --separate-stderr vm xml alice
	same "exit code" 0 "$status"
	layers=$S/layers
	same "name" alice "$(element name)"
	same "UUID" "$id" "$(element uuid | tr -d -)"
	same "description" "bootable 1 + tools 1" "$(element description)"
	same "memory and processors" "512 2" "$(element memory) $(element vcpu)"
	same "disks" "$layers/$(image_id boot.img).img $layers/$(image_id tools.img).img $(tenant_disk alice)" \
		"$(for i in 1 2 3; do element "devices/disk[$i]/source/@file"; done | xargs)"
	same "serials" "$(image_id boot.img | cut -c -20) $(image_id tools.img | cut -c -20) $(tenant alice user_id | cut -c -20)" \
		"$(for i in 1 2 3; do element "devices/disk[$i]/serial"; done | xargs)"
	same "read-only disks" 2 "$(xmllint --xpath 'count(//disk[readonly and shareable])' - <<<"$output")"
	same "kernel and initramfs" "$S/tenants/$id/kernel $S/tenants/$id/initrd" "$(element os/kernel) $(element os/initrd)"
	[[ $(element os/cmdline) == "boot=mlimg mlimg.system="*' console=ttyS0 '*'panic=-1 a="<&>"' ]]
	virt-xml-validate - domain <<<"$output"
	same "what was left in the tenant's directory" user.qcow2 "$(ls -A "$S/tenants/$id")"
}

@test "libvirt: a guest that starts has its files where QEMU finds them; its host forgets it: it died" {
	local id
	works vm create alice --system bootable --union overlay --connect test:///default
	id=$(tenant alice id)
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	same "said" "alice: starting" "$output"
	same "kernel and initramfs" "kernel initrd" "$(cat "$S/tenants/$id/kernel" "$S/tenants/$id/initrd" | xargs)"
	same "mode of its directory" 711 "$(stat -c %a "$S/tenants/$id")"
	same "generation" 1 "$(tenant alice current)"
	works vm list --json
	same "state" "died: its host has no such domain any more" "$(jq -r '.[] | "\(.state): \(.why)"' <<<"$output")"
	run --separate-stderr vm start alice --no-wait
	same "exit code" 0 "$status"
	works vm destroy alice --yes
}

@test "libvirt: a host that is told to start a guest with it, and cannot be asked" {
	works host add east "$FAR"
	works vm create alice --system bootable --host east
	fails 1 "mlimg-vm: host '$FAR': Failed to connect socket to '$SOCKET': No such file or directory" vm set alice --autostart yes --memory 512M
	same "settings" "no 1073741824" "$(tenant alice "autostart || ' ' || memory_bytes")"
	works vm set alice --memory 512M
}

# saved_on FILE: alice's domain, as virsh managedsave leaves it, on the tests' host FILE, which is of a file and forgets what becomes of it.
saved_on() {
	local id
	id=$(tenant alice id | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')
	cat >"$1" <<-END
		<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>alice</name><uuid>$id</uuid>
		<memory>65536</memory><os><type>hvm</type></os><test:runstate>5</test:runstate><test:hasmanagedsave>1</test:hasmanagedsave></domain></node>
	END
}

@test "libvirt: one whose memory somebody has saved goes on with it, or is let alone" {
	local out host=$BATS_TEST_TMPDIR/host.xml
	works vm create alice --system bootable --union overlay --connect "test://$host"
	saved_on "$host"
	works vm list --json
	same "state" "off: saved by libvirt, and goes on from there" "$(jq -r '.[] | "\(.state): \(.why)"' <<<"$output")"
	out="tenant 'alice' is saved, and goes on from there: let it ('virsh start alice') and shut it down, or give its memory up ('virsh managedsave-remove alice')"
	fails 1 "mlimg-vm: $out" vm clone alice bob
	fails 1 "mlimg-vm: $out" vm resize alice 30G
	fails 1 "mlimg-vm: $out" vm move alice
	fails 1 "mlimg-vm: $out" vm destroy alice --yes
	fails 1 "mlimg-vm: $out" vm checkpoint alice one
	# As it was, whatever is set for its next boot; its layers would be others than its memory has.
	works vm set alice --memory 2G
	works vm start alice --no-wait
	same "said" "alice: starting" "$output"
	same "event" "from its saved memory" "$(sqlite3 "$S/store.db" "SELECT text FROM event WHERE kind = 'started' ORDER BY id DESC LIMIT 1")"
	works vm set alice --software tools
	fails 1 "mlimg-vm: generation 2: $out" vm start alice --no-wait
	same "generations" "1 2" "$(tenant alice "current || ' ' || pending")"
	sed -i 's:<test\:hasmanagedsave>.*</test\:hasmanagedsave>::' "$host"
	works vm clone alice bob
	run --separate-stderr vm start alice --no-wait
	same "exit code and generation" "0 2" "$status $(tenant alice current)"
}

@test "libvirt: what it cannot is said before anything is started" {
	works vm create alice --system bootable --union overlay --forward 8080:80 --connect test:///default
	run --separate-stderr vm start alice --no-wait
	same "exit code" 2 "$status"
	[[ $stderr == *"mlimg-vm: libvirt forwards no ports to a guest: take a network of the host's
"* ]]
	works vm create bob --system bootable --union overlay --accel kvm --connect test:///default
	run --separate-stderr vm start bob --no-wait
	same "exit code" 1 "$status"
	[[ $stderr == *"mlimg-vm: --accel kvm: KVM cannot be used: "* ]]
}

@test "libvirt: a tenant moves to another host, and home; what is refused" {
	works host add here test:///default
	works vm create alice --system bootable --union overlay
	works vm move alice --host here
	same "said" "alice: starts on host here next" "$output"
	same "host" here "$(tenant alice host)"
	fails 1 "mlimg-vm: no host 'nowhere'" vm move alice --host nowhere
	fails 1 "mlimg-vm: checkpoint 'one' of 'alice': host 'here' has no domain of tenant 'alice', as before its first start there: start it once ('mlimg-vm start alice')" \
		vm checkpoint alice one
	works vm move alice --connect qemu+ssh://root@west.example.org/system
	same "host" west.example.org "$(tenant alice host)"
	fails 1 "mlimg-vm: no tenant 'bob'" vm move bob
	usage "--host and --connect say the same" move --store "$S" alice --host here --connect test:///default
	works vm create bob --system bootable --connect test:///default
	works vm resize bob 30G
	same "said" "bob: disk of 30.0 GiB; its file system grows at the next boot" "$output"
	works vm clone bob carol
	same "hosts" "here here" "$(tenant bob host) $(tenant carol host)"
	fails 1 "mlimg-vm: tenant 'bob' is run by libvirt, and bases are not for its disks: clone without --linked" vm clone bob dave --linked
	fails 1 "mlimg-vm: tenant 'bob' is run by libvirt on host 'here', which keeps no log of its console ('mlimg-vm console bob' shows it while it runs; QEMU's messages are in /var/log/libvirt/qemu/bob.log there)" \
		vm logs bob
	works vm move bob
	same "said" "bob: starts on this machine next" "$output"
	same "host" "" "$(tenant bob host)"
	works vm clone bob erin --linked
	fails 1 "mlimg-vm: the disk of tenant 'erin' lies over a base, which stays on this machine: move a copy of it ('mlimg-vm clone erin NEW-NAME')" \
		vm move erin --host here
	works vm move carol
	works vm checkpoint carol one
	fails 1 "mlimg-vm: tenant 'carol' has 1 checkpoint, which another host would not know: delete it first ('mlimg-vm delete carol TAG')" \
		vm move carol --host here
}
