#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # debian_begin sets images, user, vms; power_logging sets logging
# Debian 12 is replaced by its successor beneath users who have changed it (lib/upgrade.bash, lib/guest-upgrade), and comes back: a did nothing, b edited configuration
# files, c installed, removed, held and purged packages, d added users and a service, e deleted, replaced and renamed what is the system's, f filled the disk.
# They share a guest, since none touches what another one does, and only from an index they go back in one; a has a user layer of his own, which goes both ways on the
# host, and to version 2 in a guest. With MLIMG_UPGRADES=all each has guests of his own, there and back.
# lasts 300

load ../lib/common

setup_file() {
	load ../lib/debian
	load ../lib/upgrade
	upgrade_make "$BATS_FILE_TMPDIR"
}

setup() {
	load ../lib/debian
	load ../lib/power
	images=$BATS_FILE_TMPDIR user=$BATS_TEST_TMPDIR/user.img
	seed=${MLIMG_SEED:-$RANDOM}
	RANDOM=$seed
}

teardown() {
	vm_kill
}

# on VERSION: guest "t" of $users on that system.
on() {
	echo "# $vm_union, $users: version $1"
	vm_start t --verbose --system "$images/v$1.img" --user "$user"
	vm_up t
	vm_do t 'cat /run/mlimg/boot.json' >"$vms/boot.json"
}

# booted FILTER: out of what the guest's agent has written down of the boot.
booted() {
	jq -rc "$1" "$vms/boot.json"
}

# fine STEP [USERS]: guest-upgrade finds nothing wrong.
fine() {
	same "$1 of ${2:-$users} through $vm_union" fine "$(vm_seconds=600 vm_do t "/usr/lib/mlimg-test/guest-upgrade $1 ${2:-$users}")"
}

off() {
	vm_stop t
	vm_clean "$user"
}

# with_user COMMAND…: with the user layer mounted at $vms/user.
with_user() {
	local status=0
	mkdir -p "$vms/user"
	mount -o "loop,ro,noload" "$user" "$vms/user" || return
	"$@" || status=$?
	umount "$vms/user"
	return $status
}

all() {
	[ "${MLIMG_UPGRADES:-}" = all ]
}

# prepared VERSION: the user layer as a boot on that version makes it before anything is started. On the host, where the same agent does it in no time.
prepared() {
	local root=$vms/host union=${vm_union/index/overlay}
	mkdir -p "$root"/layers/0 "$root/user"
	mount -o loop,ro,noload "$images/v$1.img" "$root/layers/0"
	mount -o loop "$user" "$root/user"
	mlimg-agent prepare --root "$root" --union "$union" --system "$(image_id "$images/v$1.img")" --user "$(image_id "$user")"
	mlimg-agent commit --root "$root"
	jq -r .reconcile.done "$root/boot.json" >"$vms/done"
	if [ "$(cat "$vms/done")" = null ]; then
		jq -r '.notes[]' "$root/boot.json" >"$vms/notes"
	else
		cp "$root/user/mlimg/reports/$(jq .generation "$root/boot.json").json" "$vms/report"
	fi
	umount "$root/layers/0" "$root/user"
}

# whole VERSION: dpkg finds nothing wrong with any of the packages that the guest shows. On the host: a guest would take a minute.
whole() {
	mkdir -p "$vms/system" "$vms/root"
	mount -o loop,ro,noload "$images/v$1.img" "$vms/system"
	mount -t overlay -o "ro,redirect_dir=follow,lowerdir=$vms/user/upper:$vms/system/rootfs" overlay "$vms/root"
	same "dpkg --audit" "" "$(dpkg --root="$vms/root" --audit)"
	# But for configuration files, for what user e has deleted, replaced and renamed, and for a directory that lib/debian-tree removes.
	same "dpkg --verify" "" "$(dpkg --root="$vms/root" --verify | grep -v -e ' c /etc/' -e ' /usr/share/up-files' -e ' /usr/share/doc/apt' \
		-e ' /var/lib/apt/lists/partial$' -e " $(cat "$images/deleted")" -e " $(cat "$images/replaced")")"
	umount "$vms/root" "$vms/system"
}

# What services write in each boot, and the databases, of which guest-upgrade looks at the records.
volatile='^\./(var/(log|tmp|cache|lib/(systemd|dpkg|apt|up-daemon))|etc/(ld\.so\.cache|\.pwd\.lock|machine-id|\.updated|(passwd|group|shadow|gshadow|subuid|subgid)-?))( |/|$)'

# upper: the manifest of what the users have, without what comes and goes.
upper() {
	treelist "$vms/user/upper" | grep -vE "$volatile"
}

# files_of DIR…: digest and path of each regular file
files_of() {
	local dir
	for dir in "$@"; do
		[ ! -d "$vms/user/$dir" ] || (cd "$vms/user/$dir" && find . -type f -exec sha256sum {} +)
	done
}

# worked: $user is a user layer in which $users have worked on version 1. What both drivers of overlayfs write is the same: one guest does for both.
worked() {
	local made=$images/worked-$users.img
	[ "$vm_union" != unionfs ] || made=$images/worked-$users-unionfs.img
	if [ ! -e "$made" ] || all; then
		rm -f "$user"
		mlimg-mkfs --quiet --kind user --name tenant --size 512M "$user"
		on 1
		fine work
		off
		cp --sparse=always "$user" "$made"
	fi
	cp --sparse=always "$made" "$user"
	with_user upper >"$vms/before"
	with_user files_of upper >"$vms/files"
}

# cut_user AT FLUSHES: $user is the user layer as a power cut between these two flushes would have left it.
cut_user() {
	cp --sparse=always "$vms/base.img" "$user"
	powercut "$vms/log" "$user" "$1" "$2" "$seed" >"$vms/cut"
}

# left_by_cut: how far the change to generation 2 has come in $user: "before" it was decided, "begun", or "ended".
left_by_cut() {
	e2fsck -p "$user" >"$vms/fsck.log" 2>&1 || [ $? -eq 1 ] || return
	if [ "$(debugfs -R 'cat /mlimg/reconcile.plan' "$user" 2>/dev/null)" ]; then
		echo begun
	elif [ "$(debugfs -R 'cat /mlimg/state.json' "$user" 2>/dev/null | jq .generation)" = 1 ]; then
		echo before
	else
		echo ended
	fi
}

# interrupt: the power goes off while the user layer is brought into agreement, when that is decided. The guest goes on until all is done; what it has
# written is logged, and between which flushes it was cut is a matter of the log (lib/powercut.c). At which writing call is reconcile-cut.bats' affair.
interrupt() {
	local logging flushes at left='' begun=()
	truncate -s +512 "$user" # where powercut has its mark
	cp --sparse=always "$user" "$vms/base.img"
	power_logging "$vms/log"
	vm_start t --verbose --system "$images/v2.img" --user "$user" -- "${logging[@]}"
	power_staged union
	vm_cut t
	flushes=$(power_flushes "$vms/log" "$user")
	for ((at = flushes - 1; at >= 0; at--)); do
		cut_user "$at" "$flushes"
		left=$(left_by_cut)
		echo "# cut before flush $((at + 1)) of $flushes: $left (MLIMG_SEED=$seed)"
		[ "$left" != before ] || break
		[ "$left" != begun ] || begun+=("$at")
	done
	same "what is there before it is decided" before "$left"
	cut_user "${begun[RANDOM % ${#begun[@]}]}" "$flushes"
	echo "# $(cat "$vms/cut")"
	truncate -s -512 "$user"
}

# told FILTER: out of the report
told() {
	jq -rc "$1" "$vms/report"
}

# entry PATH: what the report says of it.
entry() {
	told "[.entries[] | select(.path == \"$1\") | .verdict, .done] | join(\" \")"
}

# note NAME: the kind of what the report says of an account or a package.
note() {
	told "[.databases // [] | .[] | select(.name == \"$1\").kind] | unique | join(\" \")"
}

# said USER: what the report must have of him.
said() {
	local path
	case $1 in
		a)
			[ "$users" = a ] || return 0
			same "conflicts" "0 0 0 null" "$(told '"\(.counts.conflict) \(.counts["type-change"]) \(.counts["whiteout-changed"]) \(.databases)"')"
			# In directories like /var/tmp services have made one of theirs, perhaps, which a boot later is not there.
			same "entries that are told of" "" "$(told '.entries[] | "./" + .path' | grep -vE "$volatile")"
			;;
		b)
			same "what is told of etc/up" "apart merged merged
deleted whiteout-changed stays
gone conflict stays
linked type-change beside
mode merged merged
same same dropped
stale stale dropped
touching conflict beside" "$(told '.entries[] | select(.path | startswith("etc/up/")) | "\(.path[7:]) \(.verdict) \(.done)"' | sort)"
			;;
		c)
			same "what no longer fits together" broken "$(note up-exact)"
			same "what was held and is another version" conflict "$(note up-held)"
			same "what is held, and what gave way" "told told" "$(note up-kept) $(note up-older)"
			same "what holds" "" "$(note jq)$(note up-own)$(note up-newer)"
			;;
		d)
			same "who moved" told "$(note up-new)"
			;;
		e)
			path=usr/share/up-files
			same "what is told of $path" "becomes-dir type-change aside
becomes-file type-change aside
changed whiteout-changed stays
gone whiteout-gone dropped
hidden keep joined
replaced conflict aside" "$(told ".entries[] | select(.path | test(\"^$path/[^/]*\$\")) | \"\\(.path[19:]) \\(.verdict) \\(.done)\"" |
				grep -v -e '^moved' -e '^tree' | sort)"
			path=$(cut -c 2- "$images/deleted")
			same "$path" "whiteout-changed stays" "$(entry "$path")"
			path=$(cut -c 2- "$images/replaced")
			same "$path" "conflict aside" "$(entry "$path")"
			;;
	esac
}

# reported: what the guest's report says of $users.
reported() {
	local letter
	vm_do t "cat /run/mlimg/user/mlimg/reports/$(booted .generation).json" >"$vms/report"
	for letter in $(fold -w 1 <<<"$users"); do said "$letter"; done
}

# Files of Debian's that no user has touched are version 2's.
shows_new() {
	grep -E '^usr/(bin/apt|lib/apt/|lib/[^/]*/(lib|perl))' "$images/changed" | grep -vxF -f <(cut -c 2- "$images/deleted" "$images/replaced") |
		head -n 60 >"$vms/some"
	[ -s "$vms/some" ]
	vm_do t "cd / && sha256sum --quiet --strict -c <<'SUMS'
$(cd "$(debian-tree v2)" && xargs sha256sum <"$vms/some")
SUMS"
}

# shows_all VERSION: what shows through the user layer is that version, whole, but for what services write in each boot.
shows_all() {
	mkdir -p "$vms/system" "$vms/root"
	mount -o loop,ro,noload "$images/v$1.img" "$vms/system"
	mount -t overlay -o "ro,redirect_dir=follow,lowerdir=$vms/user/upper:$vms/system/rootfs" overlay "$vms/root"
	treelist "$vms/system/rootfs" | grep -vE "$volatile" | plain >"$vms/wanted"
	treelist "$vms/root" | grep -vE "$volatile" | plain >"$vms/shown"
	umount "$vms/root" "$vms/system"
	[ "$(wc -l <"$vms/wanted")" -gt 5000 ]
	same "what is other than version $1" "" "$(diff "$vms/wanted" "$vms/shown" | grep '^[<>]')"
	same "what is aside" "" "$(ls "$vms/user/mlimg/aside" 2>/dev/null)"
}

# What was written on version 2, and what users of packages wrote that are gone since.
late='^\./(srv/late|home|home/late.*|etc/up/(late|theirs)|usr/share/up-(late|exact|files/late|files/moved/late).*|etc/up-(late|exact).conf|etc/mlimg)( |$)'

# kept: every file that the users had written is in the user layer, wherever; or the report says that it was dropped or merged.
kept() {
	with_user files_of upper mlimg/aside | cut -d ' ' -f 1 | sort -u >"$vms/there"
	grep -vFf "$vms/there" "$vms/files" | cut -c 67- | grep -vE -e "$volatile" -e "$late" | cut -c 3- | sort >"$vms/missing" || :
	told '.entries[] | select(.done == "dropped" or .done == "merged").path' | sort >"$vms/accounted"
	same "files that are nowhere" "" "$(comm -23 "$vms/missing" "$vms/accounted")"
}

# was_before: what the users have is what they had on version 1, and what they wrote since. A directory's time is that of what was made in it since; of what a
# copy was made the upper has forgotten.
was_before() {
	with_user upper >"$vms/after"
	same "what is other than before" "" "$(diff <(plain <"$vms/before") <(plain <"$vms/after") | grep '^[<>]')"
}

plain() {
	grep -vE "$late" | sed -E -e '/ type=dir /s/ time=[^ ]*//' -e 's/xattr:trusted\.overlay\.(origin|impure):[^, ]*,?//g' -e 's/,$//' -e 's/ tags=$//'
}

# upgrade: $users, who have worked on version 1, go to version 2 and come back.
upgrade() {
	on 2
	# What was decided before the power went off is ended before the stacks are compared: then there is no change.
	[ -n "${interrupted:-}" ] || same "change" changed "$(booted .change)"
	same "what was done" reconciled "$(booted .reconcile.done)"
	reported
	shows_new
	fine look
	fine since
	off
	kept
	[ "$vm_union" = unionfs ] || with_user whole 2
	if [ "$vm_union" = index ] || all; then
		on 1
		same "what was done" rolled-back "$(booted .reconcile.done)"
		fine back
		off
	else
		prepared 1
		same "what was done" rolled-back "$(cat "$vms/done")"
	fi
	was_before
	[ "$vm_union" = unionfs ] || with_user whole 1
}

# each USERS: together, or each alone.
each() {
	local each=$1
	! all || each=$(fold -w 1 <<<"$1")
	for users in $each; do
		worked
		[ -z "${interrupted:-}" ] || interrupt
		upgrade
	done
}

@test "upgrade: through an index" {
	vm_union=index each abcde
}

@test "upgrade: through overlay; the power off while the user layer is brought into agreement, the next boot ends it" {
	interrupted=yes vm_union=overlay each abcde
}

@test "upgrade: who did nothing has the new system, and nothing is told; and comes back" {
	vm_union=index users=a
	mkdir -p "$vms"
	mlimg-mkfs --quiet --kind user --name tenant --size 512M "$user"
	prepared 1
	with_user upper >"$vms/before"
	with_user shows_all 1
	prepared 2
	same "what was done" reconciled "$(cat "$vms/done")"
	said a
	with_user shows_all 2
	with_user whole 2
	prepared 1
	same "what was done" rolled-back "$(cat "$vms/done")"
	with_user shows_all 1
	was_before
	# In guests, which write what a boot writes.
	if all; then
		for vm_union in index overlay; do each a; done
		return
	fi
	on 2
	same "what was done" reconciled "$(booted .reconcile.done)"
	reported
	fine look
	off
	prepared 1
	same "what was done" rolled-back "$(cat "$vms/done")"
}

@test "upgrade: through unionfs-fuse" {
	vm_union=unionfs each be
}

# fill: the user layer to its last block.
fill() {
	mkdir -p "$vms/full"
	mount -o loop "$user" "$vms/full"
	mkdir "$vms/full/upper/srv/full"
	fallocate -l "$(df --output=avail -B 1 "$vms/full" | tail -n 1)" "$vms/full/upper/srv/full/most" || :
	dd if=/dev/zero of="$vms/full/upper/srv/full/rest" bs=4k 2>/dev/null || :
	same "room" 0 "$(df --output=avail -B 4k "$vms/full" | tail -n 1 | xargs)"
	umount "$vms/full"
}

# refused_on_host: through overlay, on the host, no change of the full disk is begun, and nothing of what the user has is touched.
refused_on_host() {
	vm_union=overlay prepared 2
	same "what was done on the host" null "$(cat "$vms/done")"
	grep "$not_begun" "$vms/notes"
	with_user upper >"$vms/after"
	same "what is other than before" "" "$(diff "$1" "$vms/after")"
}

not_begun='^the user layer is not brought into agreement with this stack: .*; the next boot tries again$'

@test "upgrade: a disk that is full to the last block stays as it is, and follows once there is room" {
	local drivers=index letter
	! all || drivers="index overlay"
	for vm_union in $drivers; do
		users=abcde worked
		fill
		with_user upper >"$vms/filled"
		refused_on_host "$vms/filled"
		users=f on 2
		same "what was done" null "$(booted .reconcile.done)"
		booted '.notes[]' | grep "$not_begun"
		fine look f
		same "what the user has" "apart 15, mine" "$(vm_do t "sed -n 15p /etc/up/apart")"
		fine since f
		off
		if all; then
			users=abcde upgrade
			continue
		fi
		prepared 2
		same "what was done" reconciled "$(cat "$vms/done")"
		for letter in b c d e; do said $letter; done
		kept
		with_user whole 2
	done
}
