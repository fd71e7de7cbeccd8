#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # small_begin sets images, system, user, vms
# The user layer at boot: each test is one user layer, and what becomes of it in a few boots of a small system.

load ../lib/common

setup_file() {
	load ../lib/small
	small_make "$BATS_FILE_TMPDIR"
}

setup() {
	load ../lib/small
	small_begin
}

teardown() {
	vm_kill
}

# boot FILTER: out of what the agent says of the boot.
boot() {
	vm_status t | jq -rc ".boot | $1"
}

# says LINE: the console has this line.
says() {
	tr -d '\r' <"$vms/t/console.log" | grep -qxF "mlimg: $1" || vm_tell t
}

@test "user: volatile, readonly and rescue leave the layer as it was; a factory reset sets it aside" {
	local before
	start
	vm_up t
	same "mode" normal "$(boot .mode)"
	vm_do t 'echo mine >/srv/mine; echo mine >/srv/version; rm /usr/share/deleted; mv /usr/share /usr/moved'
	vm_stop t
	vm_clean "$user"
	before=$(sha256sum <"$user")

	start --mode volatile
	vm_up t
	same "mode" volatile "$(boot .mode)"
	grep -q ', mode volatile, default target' "$vms/t.out"
	says "volatile: changes are kept in memory, and lost at the end of this boot"
	same "the user's files" $'mine\nmine\n1' "$(vm_do t 'cat /srv/mine /srv/version /usr/moved/kept')"
	fails 1 "" vm_do t 'test -e /usr/moved/deleted -o -e /usr/share'
	vm_do t 'echo lost >/srv/lost; rm /srv/mine; mv /usr/moved /usr/again; reboot'
	vm_rebooted t 'test -e /srv/mine'
	fails 1 "" vm_do t 'test -e /srv/lost -o -e /usr/again'
	vm_stop t
	same "user layer" "$before" "$(sha256sum <"$user")"

	start --mode readonly
	vm_up t
	same "mode, root" "readonly ro" "$(boot .mode) $(vm_do t "awk '\$2 == \"/\" { print substr(\$4, 1, 2) }' /proc/mounts")"
	same "the user's files" $'mine\nmine\n1' "$(vm_do t 'cat /srv/mine /srv/version /usr/moved/kept')"
	fails 1 "" vm_do t 'test -e /usr/moved/deleted || : 2>/dev/null >/srv/new'
	# As it is without the parameter, on a disk that the host attached read-only.
	same "the disk" 1 "$(vm_do t 'for d in /sys/block/vd*; do [ "$(cat $d/serial)" != '"$(short "$user")"' ] || cat $d/ro; done')"
	vm_stop t
	same "user layer" "$before" "$(sha256sum <"$user")"

	start --mode rescue
	vm_up t
	same "mode, user layer" "rescue tenant" "$(boot '"\(.mode) \(.user.name)"')"
	same "the system's files" $'1\n1' "$(vm_do t 'cat /srv/version /usr/share/deleted')"
	same "the user's, beside" mine "$(vm_do t 'cat /run/mlimg/user/upper/srv/mine')"
	vm_do t 'echo lost >/srv/lost'
	vm_stop t
	same "user layer" "$before" "$(sha256sum <"$user")"

	start --mode reset
	vm_up t
	same "the system's files" $'1\n1' "$(vm_do t 'cat /srv/version /usr/share/deleted')"
	same "set aside" mine "$(vm_do t "cat $(boot .user.reset.aside)/upper/srv/mine")"
	vm_do t 'echo new >/srv/new; reboot'
	vm_rebooted t 'test -e /srv/new'
	same "the second boot with the same parameter" null "$(boot .user.reset)"
	vm_stop t
	vm_clean "$user"
}

@test "user: a disk that cannot be written, or is not there" {
	start --mode readonly -- -append "$(command_line)"
	stops "the user layer $(short "$user") on /dev/vdX is read-only: attach it writable, or boot with mlimg.readonly or mlimg.volatile"
	mlimg-mkfs --quiet --kind user --name other --size 16M "$BATS_TEST_TMPDIR/other.img"
	start -- -append "$(command_line | sed "s/mlimg.user=[0-9a-f]*/mlimg.user=$(short "$BATS_TEST_TMPDIR/other.img") mlimg.rescue/")"
	stops "/dev/vdX (serial $(short "$user")) holds a user layer, UUID $(uuid "$user"), \
which is not in the stack: detach it, or add it to the kernel parameters"
}
