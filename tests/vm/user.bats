#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # small_begin sets images, system, user, vms
# The user layer at boot: each test is one user layer, and what becomes of it in a few boots of a small system.

load ../lib/common

setup_file() {
	load ../lib/small
	local images=$BATS_FILE_TMPDIR
	small_make "$images"
	# A system that declares carve-outs.
	mkdir -p "$images/tree/etc/mlimg/carve-outs.d" "$images/tree/var/lib/docker"
	printf '# for container engines\n\n/var/lib/docker\n' >"$images/tree/etc/mlimg/carve-outs.d/docker.conf"
	echo /var/swap >"$images/tree/etc/mlimg/carve-outs.d/swap.conf"
	echo hidden >"$images/tree/var/lib/docker/hidden"
	chown 7:7 "$images/tree/var/lib/docker"
	chmod 0750 "$images/tree/var/lib/docker"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$images/tree" "$images/carving.img"
	rm -r "$images/tree/etc/mlimg" "$images/tree/var/lib/docker"
}

setup() {
	load ../lib/small
	small_begin
	carving=$images/carving.img
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
	tr -d '\r' <"$vms/t/console.log" | grep -xF "mlimg: $1" >/dev/null || vm_tell t
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
	export vm_union=overlay
	start --mode readonly -- -append "$(command_line)"
	stops "the user layer $(short "$user") on /dev/vdX is read-only: attach it writable, or boot with mlimg.readonly or mlimg.volatile"
	mlimg-mkfs --quiet --kind user --name other --size 16M "$BATS_TEST_TMPDIR/other.img"
	start -- -append "$(command_line | sed "s/mlimg.user=[0-9a-f]*/mlimg.user=$(short "$BATS_TEST_TMPDIR/other.img") mlimg.rescue/")"
	stops "/dev/vdX (serial $(short "$user")) holds a user layer, UUID $(uuid "$user"), \
which is not in the stack: detach it, or add it to the kernel parameters"
}

@test "user: not unmounted, on a larger disk, and full" {
	local size
	start
	vm_up t
	same "on a clean layer" '0 null' "$(boot '"\(.user.fsck.status) \(.user.grown)"')"
	vm_do t 'echo promised >/srv/promised; sync'
	size=$(vm_do t "df -k / | awk 'END { print \$2 }'")
	vm_cut t
	dumpe2fs -h "$user" 2>/dev/null | grep needs_recovery

	truncate -s 300M "$user"
	start
	vm_up t
	same "fsck" "0 mlimg-user: recovering journal" "$(boot '"\(.user.fsck.status) \(.user.fsck.said | split("; ")[0])"')"
	same "grown" '{"from_bytes":67108864,"to_bytes":314572800}' "$(boot .user.grown)"
	same "what was promised" promised "$(vm_do t 'cat /srv/promised')"
	[ "$(vm_do t "df -k / | awk 'END { print \$2 }'")" -gt $((size * 4)) ]
	fails 1 "" vm_do t 'dd if=/dev/zero of=/srv/fill bs=1M 2>/dev/null'
	vm_do t 'sync; dd if=/dev/zero of=/srv/more bs=4k 2>/dev/null || :'
	vm_stop t
	vm_clean "$user"

	system=$images/system2.img start
	vm_up t
	same "full" 0 "$(vm_do t "df -k / | awk 'END { print \$4 }'")"
	same "grown" null "$(boot .user.grown)"
	same "change" changed "$(boot .change)"
	boot '.notes[]' | grep '^no room in the user layer for '
	vm_stop t
	vm_clean "$user"
}

@test "user: errors that e2fsck repairs, and others" {
	debugfs -w -R 'set_inode_field /lost+found links_count 9' "$user" 2>/dev/null
	debugfs -w -R 'set_super_value state 2' "$user" 2>/dev/null
	start
	vm_up t
	same "fsck" "1 true" "$(boot '"\(.user.fsck.status) \(.user.fsck.said | test("ref count is 9, should be 2"))"')"
	vm_stop t
	vm_clean "$user"

	debugfs -w -R 'zap_block -p 0xff -f /upper 0' "$user" 2>/dev/null
	debugfs -w -R 'set_super_value state 2' "$user" 2>/dev/null
	start
	stops "the user layer $(short "$user") on /dev/vdX is damaged, and 'e2fsck -p' ended with 4: \
mlimg-user contains a file system with errors, check forced.; mlimg-user: Directory inode 13, block #0, offset 0: directory corrupted; \
mlimg-user: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.: \
copy the image, then repair it with 'e2fsck -f'; mlimg.rescue boots without it"

	start --mode rescue
	vm_up t
	same "mode" rescue "$(boot .mode)"
	vm_stop t
}

@test "user: a blank disk is formatted, one that is not blank is not; a carve-out lies outside the union" {
	local instance=00112233445566778899aabbccddeeff id
	rm "$user"
	truncate -s 300M "$user"
	printf x | dd of="$user" bs=1 seek=1000000 conv=notrunc status=none
	vm_start t --system "$carving" --user "$user" --format-user bob:$instance --memory 256M --net none
	stops "/dev/vdX is not blank: something is at byte 1000000"
	printf '\0' | dd of="$user" bs=1 seek=1000000 conv=notrunc status=none

	vm_start t --system "$carving" --user "$user" --format-user bob:$instance --memory 256M --net none
	vm_up t
	id=$(SOURCE_DATE_EPOCH=0 mlimg-mkfs --json --kind user --name bob --instance $instance --size 16M "$BATS_TEST_TMPDIR/same.img" | jq -r .build_id)
	same "the layer" "bob $id true 134217728 314572800" "$(boot '.user | "\(.name) \(.build_id) \(.formatted) \(.grown.from_bytes) \(.grown.to_bytes)"')"
	same "carve-outs, notes" '["/var/lib/docker","/var/swap"] ["the carve-out '"'/var/lib/docker'"' hides what the layers have there"]' "$(boot '"\(.carve_outs) \(.notes)"')"
	same "owner, mode, contents" "7 750" "$(vm_do t 'stat -c "%u %a" /var/lib/docker; ls -A /var/lib/docker' | xargs)"
	same "types" "ext2/ext3 ext2/ext3" "$(vm_do t 'stat -f -c %T /var/lib/docker /var/swap' | xargs)"
	same "options" "rw,relatime rw,relatime" "$(vm_do t "awk '\$2 ~ /^.var/ { print \$4 }' /proc/mounts" | xargs)"
	vm_do t 'echo kept >/var/lib/docker/file; echo mine >/srv/mine; reboot'
	vm_rebooted t 'test -e /srv/mine'
	same "after a reboot" "kept false null []" "$(vm_do t 'cat /var/lib/docker/file') $(boot '"\(.user.formatted) \(.user.grown) \(.notes)"')"
	same "in upper" "" "$(vm_do t 'find /run/mlimg/user/upper/var -type f | grep -e lib -e swap || :')"
	same "beside it" kept "$(vm_do t 'cat /run/mlimg/user/carve-outs/var/lib/docker/file')"
	same "who may read" "700 644" "$(vm_do t 'stat -c %a /run/mlimg /run/mlimg-boot.json' | xargs)"
	vm_stop t
	vm_clean "$user"

	vm_start t --system "$carving" --user "$user" --mode volatile --memory 256M --net none
	vm_up t
	same "a carve-out of a volatile boot" "tmpfs" "$(vm_do t 'stat -f -c %T /var/lib/docker; ls -A /var/lib/docker' | xargs)"
	vm_stop t

	vm_start t --system "$carving" --user "$user" --mode readonly --memory 256M --net none
	vm_up t
	same "a carve-out of a readonly boot" kept "$(vm_do t 'cat /var/lib/docker/file')"
	fails 1 "" vm_do t '{ : >/var/lib/docker/new; } 2>/dev/null'
	vm_stop t
}

@test "user: two user disks" {
	export vm_union=overlay
	cp "$user" "$BATS_TEST_TMPDIR/copy.img"
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/copy.img" copy)
	start -- "${extra[@]}"
	local said
	vm_end t || same "exit code" 1 $?
	said=$(tail -n 1 "$vms/t.err" | sed -E 's:/dev/vd[a-z]*( .serial [a-z0-9]*.)?:DISK:g')
	same "last line" "t: boot failed: DISK and DISK both hold the user layer $(short "$user"): detach one of them; console log: $vms/t/console.log" "$said"
}
