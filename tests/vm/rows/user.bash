# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $ is for a guest; variables are the engine's, boot-table.bash
# SPDX-License-Identifier: MIT
# What becomes of a user layer in a few boots: each function begins with guest "t", which is up.

# What most modes must show, or leave alone.
changed() {
	same "mode" normal "$(boot .mode)"
	vm_do t 'set -e; echo mine >/srv/mine; echo mine >/srv/version; rm /usr/share/deleted'
	[ "$vm_union" = unionfs ] || vm_do t 'mv /usr/share /usr/moved; ln -s moved /usr/share'
}

# changed_and_down: own changes, and off. Sets $before, the layer's digest.
changed_and_down() {
	changed
	vm_stop t
	vm_clean "$user"
	before=$(sha256sum <"$user")
}

unchanged() {
	same "user layer" "$before" "$(sha256sum <"$user")"
}

# The user's own files, in a mode that shows them.
shows_own() {
	same "the user's files" $'mine\nmine\n1' "$(vm_do t 'cat /srv/mine /srv/version /usr/share/kept')"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
}

mode_volatile() {
	local before
	changed_and_down
	row_start --mode volatile
	vm_up t
	same "mode" volatile "$(boot .mode)"
	grep -q ', mode volatile, default target' "$vms/t.out"
	says "volatile: changes are kept in memory, and lost at the end of this boot"
	shows_own
	vm_do t 'echo lost >/srv/lost; echo lost >>/srv/version; rm /srv/mine /usr/share/kept; reboot'
	vm_rebooted t 'test -e /srv/mine'
	fails 1 "" vm_do t 'test -e /srv/lost'
	shows_own
	vm_stop t
	unchanged
}

mode_readonly() {
	local before
	changed_and_down
	row_start --mode readonly
	vm_up t
	same "mode, root" "readonly ro" "$(boot .mode) $(vm_do t "awk '\$2 == \"/\" { print substr(\$4, 1, 2) }' /proc/mounts")"
	shows_own
	fails 1 "" vm_do t '{ : >/srv/new; } 2>/dev/null'
	# As it is without the parameter, on a disk that the host attached read-only.
	same "the disk" 1 "$(vm_do t 'for d in /sys/block/vd*; do [ "$(cat $d/serial)" != '"$(short "$user")"' ] || cat $d/ro; done')"
	vm_stop t
	unchanged
}

# On a disk that was not unmounted.
readonly_unclean() {
	local before
	changed
	# A thawed file system has nothing in its journal: only what comes late is missing without it.
	vm_do t 'cd /run/mlimg/user && fsfreeze --freeze . && fsfreeze --unfreeze . && echo late >/srv/late && sync'
	vm_cut t
	dumpe2fs -h "$user" 2>/dev/null | grep needs_recovery
	before=$(sha256sum <"$user")
	row_start --mode readonly
	vm_up t
	same "mode, notes" "readonly [\"the user layer's journal is not replayed, for its disk is read-only: what was written last may be missing\"]" \
		"$(boot '"\(.mode) \(.notes)"')"
	shows_own
	vm_stop t
	unchanged
	row_start
	vm_up t
	same "what was synced" late "$(vm_do t 'cat /srv/late')"
	shows_own
	vm_stop t
	vm_clean "$user"
}

mode_rescue() {
	local before
	changed_and_down
	row_start --mode rescue
	vm_up t
	same "mode, user layer" "rescue tenant" "$(boot '"\(.mode) \(.user.name)"')"
	same "the system's files" $'1\n1' "$(vm_do t 'cat /srv/version /usr/share/deleted')"
	same "the user's, beside" mine "$(vm_do t 'cat /run/mlimg/user/upper/srv/mine')"
	vm_do t 'echo lost >/srv/lost'
	vm_stop t
	unchanged
}

mode_reset() {
	local before
	changed_and_down
	row_start --mode reset
	vm_up t
	same "the system's files" $'1\n1' "$(vm_do t 'cat /srv/version /usr/share/deleted')"
	same "set aside" mine "$(vm_do t "cat $(boot .user.reset.aside)/upper/srv/mine")"
	vm_do t 'echo new >/srv/new; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "the second boot with the same parameter" "null new" "$(boot .user.reset) $(vm_do t 'cat /srv/new')"
}

identity_renewed() {
	vm_do t 'mkdir -p /etc/ssh; echo 0123456789abcdef >/etc/machine-id; echo secret >/etc/ssh/ssh_host_rsa_key; echo mine >/etc/hostname'
	vm_stop t
	row_start --append mlimg.identity=copy-1
	vm_up t
	same "what it has" "machine-id 0
ssh 0
mine" "$(vm_do t 'echo machine-id $(wc -c </etc/machine-id); echo ssh $(ls /etc/ssh | wc -l); cat /etc/hostname')"
	same "set aside" "0123456789abcdef
secret" "$(vm_do t 'cd /run/mlimg/user/mlimg/aside/identity-copy-1 && cat etc-machine-id etc-ssh-ssh_host_rsa_key')"
	vm_do t 'echo new >/etc/machine-id; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "the second boot with the same parameter" new "$(vm_do t 'cat /etc/machine-id')"
}

# What ext4 keeps back of the user layer, in blocks.
kept_back() {
	local disk
	disk=$(vm_do t "awk '\$2 == \"/run/mlimg/user\" { print \$1 }' /proc/mounts") &&
		vm_do t "cat /sys/fs/ext4/${disk##*/}/reserved_clusters"
}

# Each file comes to more extents than its inode holds, so that ext4 takes of what it keeps back.
splits() {
	vm_do t 'for i in 1 2 3 4; do for at in 2 6 10; do
		dd if=/dev/zero of=/srv/split$i bs=4k seek=$at count=1 conv=notrunc 2>/dev/null || exit
	done; done; sync'
	[ "$(vm_do t 'stat -f -c %f /srv')" -lt "$(kept_back)" ]
}

unclean_larger_full() {
	local size vm_seconds=600 # to fill it
	same "on a clean layer" '0 null' "$(boot '"\(.user.fsck.status) \(.user.grown)"')"
	vm_do t 'echo promised >/srv/promised; sync'
	size=$(vm_do t "df -k / | awk 'END { print \$2 }'")
	vm_cut t
	dumpe2fs -h "$user" 2>/dev/null | grep needs_recovery

	truncate -s 300M "$user"
	row_start
	vm_up t
	same "fsck" "0 mlimg-user: recovering journal" "$(boot '"\(.user.fsck.status) \(.user.fsck.said | split("; ")[0])"')"
	same "grown" '{"from_bytes":67108864,"to_bytes":314572800}' "$(boot .user.grown)"
	same "what was promised" promised "$(vm_do t 'cat /srv/promised')"
	[ "$(vm_do t "df -k / | awk 'END { print \$2 }'")" -gt $((size * 4)) ]
	vm_do t 'for i in 1 2 3 4; do fallocate -l 64K /srv/split$i || exit; done'
	fails 1 "" vm_do t 'dd if=/dev/zero of=/srv/fill bs=1M 2>/dev/null'
	vm_do t 'sync; dd if=/dev/zero of=/srv/more bs=4k 2>/dev/null || :'
	# With unionfs, so without delayed allocation, ext4 fills such files with zeros instead.
	[ "$vm_union" = unionfs ] || splits
	vm_stop t
	vm_clean "$user"

	system=$images/system2.img row_start
	vm_up t
	same "full" 0 "$(vm_do t "df -k / | awk 'END { print \$4 }'")"
	same "grown" null "$(boot .user.grown)"
	same "change" changed "$(boot .change)"
	boot '.notes[]' | grep '^the user layer is not brought into agreement with this stack: .*No space left on device'
	[ "$(kept_back)" -gt 0 ]
	vm_do t 'rm /srv/fill && mkdir /srv/room && echo more >/srv/room/for'
	vm_stop t

	system=$images/system2.img row_start
	vm_up t
	same "with room" "changed reconciled" "$(boot '"\(.change) \(.reconcile.done)"')"
	same "what is the user's" "promised more" "$(vm_do t 'cat /srv/promised /srv/room/for | xargs')"
}

# The first errors are repaired, those in the upper directory are not.
broken() {
	same "fsck" "1 true" "$(boot '"\(.user.fsck.status) \(.user.fsck.said | test("ref count is 9, should be 2"))"')"
	vm_stop t
	vm_clean "$user"

	debugfs -w -R 'zap_block -p 0xff -f /upper 0' "$user" 2>/dev/null
	debugfs -w -R 'set_super_value state 2' "$user" 2>/dev/null
	row_start
	row_stops "the user layer $(short "$user") on /dev/vdX is damaged, and 'e2fsck -p' ended with 4: \
mlimg-user contains a file system with errors, check forced.; mlimg-user: Directory inode 13, block #0, offset 0: directory corrupted; \
mlimg-user: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.: \
copy the image, then repair it with 'e2fsck -f'; mlimg.rescue boots without it"

	row_start --mode rescue
	vm_up t
	same "mode" rescue "$(boot .mode)"
}

formatted() {
	local instance=00112233445566778899aabbccddeeff id
	id=$(SOURCE_DATE_EPOCH=0 mlimg-mkfs --json --kind user --name bob --instance $instance --size 16M "$images_of_row/same.img" | jq -r .build_id)
	same "the layer" "bob $id true 134217728 314572800" \
		"$(boot '.user | "\(.name) \(.build_id) \(.formatted) \(.grown.from_bytes) \(.grown.to_bytes)"')"
	vm_do t 'echo mine >/srv/mine; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "after a reboot" "mine false null []" "$(vm_do t 'cat /srv/mine') $(boot '"\(.user.formatted) \(.user.grown) \(.notes)"')"
}

carve_outs() {
	local also=''
	[ "$vm_union" != unionfs ] || also=,nodelalloc
	same "carve-outs, notes" '["/var/lib/docker","/var/swap"] ["the carve-out '"'/var/lib/docker'"' hides what the layers have there"]' \
		"$(boot '"\(.carve_outs) \(.notes)"')"
	same "owner, mode, contents" "7 750" "$(vm_do t 'stat -c "%u %a" /var/lib/docker; ls -A /var/lib/docker' | xargs)"
	same "types" "ext2/ext3 ext2/ext3" "$(vm_do t 'stat -f -c %T /var/lib/docker /var/swap' | xargs)"
	same "options" "rw,relatime$also rw,relatime$also" "$(vm_do t "awk '\$2 ~ /^.var/ { print \$4 }' /proc/mounts" | xargs)"
	vm_do t 'echo kept >/var/lib/docker/file; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "after a reboot" "kept []" "$(vm_do t 'cat /var/lib/docker/file') $(boot '"\(.notes)"')"
	vm_do t 'cd /var/swap && dd if=/dev/zero of=file bs=1M count=8 2>/dev/null && chmod 0600 file && mkswap file >/dev/null && swapon file'
	same "swap" "/var/swap/file file 8188" "$(vm_do t "awk 'NR > 1 { print \$1, \$2, \$3 }' /proc/swaps")"
	vm_do t 'swapoff /var/swap/file'
	same "in upper" "" "$(vm_do t 'find /run/mlimg/user/upper/var -type f | grep -e lib -e swap || :')"
	same "beside it" kept "$(vm_do t 'cat /run/mlimg/user/carve-outs/var/lib/docker/file')"
	same "who may read" "700 644" "$(vm_do t 'stat -c %a /run/mlimg /run/mlimg-boot.json' | xargs)"
	vm_stop t
	vm_clean "$user"

	row_start --mode volatile
	vm_up t
	same "a carve-out of a volatile boot" "tmpfs" "$(vm_do t 'stat -f -c %T /var/lib/docker; ls -A /var/lib/docker' | xargs)"
	vm_stop t

	row_start --mode readonly
	vm_up t
	same "a carve-out of a readonly boot" kept "$(vm_do t 'cat /var/lib/docker/file')"
	fails 1 "" vm_do t '{ : >/var/lib/docker/new; } 2>/dev/null'
}
