#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Commands on tenants where the disk is full, or almost: what they say, that nothing is lost or left over, and that they go through when there is room.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

# shellcheck disable=SC2016
# full COMMAND…: in a file system with so many KiB left; what is lacking shows in other places each time. Its tenant is alice, with 1 MiB on her disk.
# $least: how often, at least, it has to fail.
full() {
	need userns
	need command sqlite3 qemu-img qemu-io
	cd "$BATS_FILE_TMPDIR" || return
	works timeout 120 unshare -rm bash -c '
		set -e
		mkdir -p full && mount -t tmpfs -o size=6m none full
		failed=0
		mlimg-store --store full/store add old.img >/dev/null
		mlimg-vm create alice --store full/store --system debian --size 64M >/dev/null
		disk=$(find full/store/tenants -name user.qcow2)
		qemu-io -f qcow2 -c "write -P 7 1M 1M" "$disk" >/dev/null
		before=$(sqlite3 full/store/store.db "SELECT name, current FROM tenant")
		for left in 0 8 40 80 160 320 640 1000 1200 2400; do
			rm -f full/filler
			room=$(df --output=avail -k full | tail -n 1)
			head -c $(((room - left) * 1024)) /dev/zero >full/filler
			if mlimg-vm "$@" --store full/store >said 2>&1; then break; fi
			failed=$((failed + 1))
			grep -q -e "No space left on device" -e "its tables may take 1.0 MiB, and .* left$" said || { echo "with $left KiB:"; cat said; exit 1; }
			rm -f full/filler
			mlimg-store --store full/store verify >/dev/null
			[ "$(sqlite3 full/store/store.db "SELECT name, current FROM tenant")" = "$before" ]
			[ -z "$(ls -A full/store/incoming)" ] || { find full/store; exit 1; }
			qemu-img check -q -f qcow2 "$disk"
			qemu-io -f qcow2 -r -c "read -P 7 1M 1M" "$disk" | grep -q "^read 1048576/1048576"
		done
		rm -f full/filler
		echo "failed $failed times"
		[ "$failed" -ge "${least:-1}" ]
		mlimg-store --store full/store verify >/dev/null
		! qemu-io -f qcow2 -r -c "read -P 7 1M 1M" "$disk" 2>&1 | grep -q "verification failed" || exit 1' bash "$@"
}

@test "full disk: clone" {
	full clone alice bob
}

@test "full disk: clone --linked" {
	full clone alice bob --linked
}

@test "full disk: resize" {
	# It is written where the disk says its size, which is there.
	least=0 full resize alice 128M
}

@test "full disk: set" {
	full set alice --memory 512M
}

@test "full disk: rename" {
	full rename alice bob
}

@test "full disk: checkpoint" {
	full checkpoint alice one
}

# there_is: the tenants, in words: with disks that are whole.
there_is() {
	local id line
	sqlite3 "$S/store.db" "SELECT id, name, current, memory_bytes FROM tenant ORDER BY name" | while IFS='|' read -r id line; do
		echo "$line $(qemu-img info -f qcow2 --output=json "$S/tenants/$id/user.qcow2" | jq '."virtual-size"')" || return
	done
}

# truthful COMMAND…: with a disk that is full from one of its calls on: it ends with 0 exactly where it is done, and what is left undone then is done by
# the next command.
truthful() {
	local before after calls at step status
	need command sqlite3 qemu-img jq
	cd "$BATS_FILE_TMPDIR" || return
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add old.img >/dev/null
	vm create alice --system debian --size 64M >/dev/null
	cp -a "$S" "$S.start"
	before=$(there_is)
	calls=$(full-at - mlimg-vm "$@" --store "$S" 3>&1 >/dev/null)
	after=$(there_is)
	[ "$before" != "$after" ]
	step=$((calls / 24 + 1))
	RANDOM=$((${MLIMG_SEED:-$$} % 32768))
	for ((at = RANDOM % step; at < calls; at += step)); do
		rm -rf "$S"
		cp -a "$S.start" "$S"
		status=0
		full-at "$at" mlimg-vm "$@" --store "$S" 3>/dev/null >said 2>err || status=$?
		if [ "$status" -eq 0 ]; then
			same "what there is, full from call $at of $calls" "$after" "$(there_is)" || return
			grep . said
		else
			same "exit code, full from call $at of $calls" 1 "$status" || return
			same "what there is, full from call $at of $calls" "$before" "$(there_is)" || return
			# Where SQLite cannot make a file beside the database it looks for one in vain; libext2fs does not say why it could not write.
			grep -qE "No space left on device|Can't write an? (block|inode) bitmap|database '.*/store.db': No such file or directory" err || {
				cat err >&2
				return 1
			}
		fi
		[ -z "$(named)" ] || [ -e "$(named)/user.qcow2" ]
		mlimg-store --store "$S" verify >/dev/null
		same "what is left" "" "$(ls -A "$S/incoming")" || return
		same "directories without a tenant" "$(sqlite3 "$S/store.db" "SELECT count(*) FROM tenant")" "$(find "$S/tenants" -mindepth 1 -maxdepth 1 | wc -l)" || return
	done
}

# named: where destroy has said that the disk is.
named() {
	sed -n "s/.*its disk is in '\(.*\)'$/\1/p" said
}

@test "full disk: what is said is so: destroy" {
	truthful destroy alice --yes
}

@test "full disk: what is said is so: create, clone" {
	truthful create bob --system debian --size 64M
	rm -rf "$S" "$S.start"
	truthful clone alice bob
}

@test "full disk: what is said is so: set, rename, resize" {
	truthful set alice --memory 512M
	rm -rf "$S" "$S.start"
	truthful rename alice bob
	rm -rf "$S" "$S.start"
	truthful resize alice 128M
}
