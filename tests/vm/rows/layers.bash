# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $ is for a guest; variables are the engine's, boot-table.bash
# SPDX-License-Identifier: MIT
# What guests show of their layers, whatever the driver: each function looks at guest "t", which is up.

# The guest's mounts, with the type of each.
mounts_of() {
	vm_do "$1" "awk '\$2 == \"/\" || \$2 ~ /mlimg/ { print \$2, \$3 }' /proc/mounts | sort"
}

# disks_of NAME: how many disks the guest has, and what the agent says of them.
disks_of() {
	vm_do "$1" 'ls /sys/block | grep -c ^vd' && vm_status "$1" | jq -r .boot.disks
}

one_layer() {
	local separate='3
separate'
	same "merged tree" "$(with_version layers_a)" "$(layers_show t)"
	same "mode of the root" 755 "$(vm_do t 'stat -c %a /')"
	status_fits t first "$system" "$images/a.img"
	case $vm_union in
		index)
			same "disks" $'2\njoined' "$(disks_of t)"
			mlimg-vm status --runtime-dir "$vms" t | grep -qx 'union     index, joined disks'
			same "mounts" $'/ overlay\n/run/mlimg/index erofs\n/run/mlimg/user ext4' "$(mounts_of t)"
			;;
		overlay)
			same "disks" "$separate" "$(disks_of t)"
			same "mounts" $'/ overlay\n/run/mlimg/layers/0 ext4\n/run/mlimg/layers/1 ext4\n/run/mlimg/user ext4' "$(mounts_of t)"
			;;
		unionfs)
			same "disks" "$separate" "$(disks_of t)"
			same "mounts" $'/ fuse.unionfs\n/run/mlimg/layers/0 ext4\n/run/mlimg/layers/1 ext4\n/run/mlimg/user ext4' "$(mounts_of t)"
			;;
	esac
}

# abc_own ARGUMENT-OF-sed…: what layers_show prints on all three layers with an own file, and one file deleted.
abc_own() {
	{ with_version layers_abc && echo /srv/mine:mine; } | sed -e /merged.b/d "$@" | LC_ALL=C sort
}

# Whiteouts, opaque directories, an override; and the same of the user's own. unionfs-fuse cannot rename directories of several layers.
three_layers() {
	local wanted
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	same "a system file that a layer deletes" "" "$(vm_do t 'ls -A /usr/share | grep hidden || true')"
	status_fits t first "$system" "$images"/{a,b,c}.img
	vm_do t 'set -e; echo mine >/srv/mine; echo mine >/srv/override; rm /srv/merged/b /usr/share/deleted; echo mine >>/usr/share/changed'
	wanted=$(abc_own -e s/override:c/override:mine/)
	if [ "$vm_union" != unionfs ]; then
		wanted=${wanted/opaque/moved}
		vm_do t 'mv /srv/opaque /srv/moved'
	fi
	vm_do t 'touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "after a reboot" "$wanted" "$(layers_show t)"
	same "below /usr/share" $'changed:1\nchanged:mine\nkept:1' "$(vm_do t 'cd /usr/share; grep "" changed kept; ls | grep deleted')"
	status_fits t none "$system" "$images"/{a,b,c}.img
}

# report_says ENTRIES [PREFIX]: the report of the change of system has these paths, of those that begin so, and verdicts.
report_says() {
	same "report" "$1" "$(vm_do t "cat '$(boot .report.path)'" |
		jq -r --arg prefix "${2:-}" '.entries[] | select(.path | startswith($prefix)) | "\(.path) \(.verdict)"')"
}

system_replaced() {
	status_fits t first "$system"
	vm_do t 'echo mine >/srv/mine; echo mine >>/usr/share/kept; echo mine >>/usr/share/changed; rm /usr/share/deleted'
	hooks_change fails floods hangs merges writes
	vm_stop t
	system=$images/system2.img row_start
	vm_up t
	status_fits t changed "$images/system2.img"
	hooks_ran fails floods hangs merges writes
	same "new version" 2 "$(vm_do t 'cat /srv/version')"
	same "own changes, and what the new system changed too" $'mine\n1\nmine\n2' "$(vm_do t 'cat /srv/mine /usr/share/kept /usr/share/changed')"
	same "set aside" $'1\nmine' "$(vm_do t 'cat /run/mlimg/user/mlimg/aside/2/usr/share/changed')"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
	same "counts" '5 1' "$(boot '.report.counts | "\(.conflict) \(."whiteout-changed")"')"
	report_says $'usr/share/changed conflict\nusr/share/deleted whiteout-changed' usr/share
	vm_stop t
	vm_clean "$user"
	# And back: the change is taken back.
	row_start
	vm_up t
	same "done" "rolled-back 3" "$(boot '"\(.reconcile.done) \(.generation)"')"
	same "old version" 1 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n1\nmine\n1\nmine' "$(vm_do t 'cat /srv/mine /usr/share/kept /usr/share/changed')"
	hooks_back fails floods hangs merges writes
}

# make_more DIR: more1.img to more64.img
make_more() {
	layers_more "$1" 64
}

sixty_four_layers() {
	same "merged directory" "$(seq -f more-%g 64 | sort)" "$(vm_do t 'ls /srv/merged' | sort)"
	same "the topmost's" 64 "$(vm_do t 'cat /srv/last')"
	[ "$vm_union" != overlay ] ||
		same "lowers" 65 "$(vm_do t "sed -n 's/.*lowerdir=\([^,]*\).*/\1/p' /proc/mounts | tr : '\n' | grep -c /run/mlimg/layers/")"
	status_fits t first "$system" "$images"/more{1..64}.img
}

separate_then_joined() {
	local layers=("$images"/{a,b}.img "$images"/more{1..30}.img)
	status_fits t first "$system" "${layers[@]}"
	same "disks" $'35\nseparate' "$(disks_of t)"
	same "the topmost layer's file" 30 "$(vm_do t 'cat /srv/last')"
	same "a merged directory" 32 "$(vm_do t 'ls /srv/merged | wc -l')"
	vm_do t 'for f in /srv/merged/more-*; do test "$f" = "/srv/merged/more-$(cat "$f")" || exit; done'
	vm_stop t
	# The same user's on one disk.
	field[options]='--disks joined'
	row_start
	vm_up t
	status_fits t none "$system" "${layers[@]}"
	same "disks" $'2\njoined' "$(disks_of t)"
}

replaced_beneath_32() {
	local layers=("$images"/{a,b}.img "$images"/more{1..30}.img)
	status_fits t first "$system" "${layers[@]}"
	same "disks" $'2\njoined' "$(disks_of t)"
	same "the topmost layer's file" 30 "$(vm_do t 'cat /srv/last')"
	same "a merged directory" 32 "$(vm_do t 'ls /srv/merged | wc -l')"
	same "an opaque directory" above "$(vm_do t 'ls /srv/opaque')"
	fails 1 "" vm_do t 'test -e /srv/whiteout'
	vm_do t 'for f in /srv/merged/more-*; do test "$f" = "/srv/merged/more-$(cat "$f")" || exit; done'
	vm_do t 'echo mine >/srv/last; echo mine >>/usr/share/changed; rm /srv/merged/more-7 /usr/share/deleted; mv /srv/opaque /srv/moved'
	# What waits for its end is in other rows.
	hooks_change fails floods merges writes
	vm_stop t
	system=$images/system2.img row_start
	vm_up t
	status_fits t changed "$images/system2.img" "${layers[@]}"
	hooks_ran fails floods merges writes
	same "new version" 2 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n2\nabove' "$(vm_do t 'cat /srv/last /usr/share/changed; ls /srv/moved')"
	same "a merged directory" 31 "$(vm_do t 'ls /srv/merged | wc -l')"
	fails 1 "" vm_do t 'ls /srv/opaque /usr/share/deleted 2>/dev/null'
}

# From an index; both drivers write the same form.
changes_to_overlay() {
	local layers=("$system" "$images"/{a,b,c}.img) wanted
	status_fits t first "${layers[@]}"
	vm_do t 'set -e; echo mine >/srv/mine; echo mine >/srv/override; rm /srv/merged/b; mkdir /srv/dir; mv /srv/opaque /srv/dir/moved
		rm /usr/share/deleted'
	vm_stop t
	vm_clean "$user"
	wanted=$(abc_own -e s/override:c/override:mine/ -e s:opaque:dir/moved:)
	vm_union=overlay
	row_start
	vm_up t
	same "on overlay" "$wanted" "$(layers_show t)"
	status_fits t none "${layers[@]}"
	vm_do t 'mv /srv/dir/moved /srv/again-moved; rm /srv/merged/a'
	vm_stop t
	vm_union=index
	row_start
	vm_up t
	same "back on the index" "$(sed -e '/merged.a/d' -e '/moved/d' -e '/srv.again:c/a /srv/again-moved/above:b' <<<"$wanted")" "$(layers_show t)"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
	status_fits t none "${layers[@]}"
}

another_init() {
	vm_do t 'test -e /run/other-init'
	same "merged tree" "$(with_version layers_a)" "$(layers_show t)"
	status_fits t first "$system" "$images/a.img"
}

# In a guest whose software layer has one changed byte in /srv/large.
reads_verified() {
	local devices='mlimg-0 mlimg-1'
	[ "$vm_union" != index ] || devices+=' mlimg-index mlimg-own mlimg-part-0 mlimg-part-1'
	reads_what_is_sound stack "$devices"
}

# In a guest whose index has one changed letter in a name of /srv/many.
index_reads_what_is_sound() {
	same "boot.json" hash "$(boot .verity)"
	same "what is whole" "hello 1" "$(vm_do t 'cat /srv/small; ls -d /srv/many/many-3999-which-fill-blocks-of-their-own | wc -l' | xargs)"
	run vm_do t 'stat /srv/many/many-2900-which-fill-blocks-of-their-own 2>&1'
	[[ $status -eq 1 && $output == *"Input/output error"* ]]
	same "names with the changed letter" "" "$(vm_do t 'ls /srv/many 2>&1 | grep Many || :')"
}
