# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Tenants that are started, with the program in QEMU's place (tests/lib/fake-qemu.c). Load it behind common, vm-fakes and tenants.

# life_images: what a file of tests begins with. In its directory, which is the current one then: systems debian 12.1 and 12.2, and software nginx.
life_images() {
	need command mke2fs jq sqlite3 qemu-img fuser
	cd "$BATS_FILE_TMPDIR" || return
	boot_tree tree
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 tree s1.img
	echo 2 >tree/boot/version
	mlimg-mkfs --quiet --kind system --name debian --version 12.2 tree s2.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1 tree/boot w.img
	fake_make
}

# life_begin: what a test begins with. In its directory, a store $S with tenants alice and bob on debian 12.1, and $run, below which runtime directories are.
life_begin() {
	cd "$BATS_TEST_TMPDIR" || return
	fake_begin
	S=$BATS_TEST_TMPDIR/store
	# Root's are always in the same place.
	# shellcheck disable=SC2154 # fake_begin has set it
	export XDG_RUNTIME_DIR=$run
	rmdir "$run"
	mkdir -m 0700 "$run"
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/{s1,s2,w}.img >/dev/null
	vm create alice --system debian:12.1 --accel tcg --size 64M >/dev/null
	vm create bob --system debian:12.1 --accel tcg --size 64M >/dev/null
}

# life_end: whatever still runs is ended, and forgotten.
life_end() {
	local name dir
	# Those that have just been started write there.
	for name in $(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT name FROM tenant"); do
		kill -CONT "$(life_pid "$name" 1)" 2>/dev/null || true
		kill -USR1 "$(life_pid "$name" 1)" 2>/dev/null || true
		life_off "$name" || true
		dir=$(life_dir "$name") && rm -rf "$dir"
	done
	rm -rf "$run"
}

# life_dir NAME: its runtime directory.
life_dir() {
	local id base=/run/mlimg-vm
	id=$(tenant "$1" id)
	[ "$(id -u)" -eq 0 ] || base=$XDG_RUNTIME_DIR/mlimg-vm
	# Without an id this would be the directory of everybody's guests.
	[ -n "$id" ] && echo "$base/$id"
}

# life_pid NAME 1|2: its supervisor's process, or its QEMU's.
life_pid() {
	awk -v n="$2" 'NR == 1 { print $n }' "$(life_dir "$1")/state" 2>/dev/null
}

# life_off NAME: waits until nobody holds its lock.
life_off() {
	local lock i
	lock=$(life_dir "$1")/lock
	for ((i = 0; i < 400; i++)); do
		[ -e "$lock" ] && ! fuser "$lock" >/dev/null 2>&1 && return
		[ -e "$lock" ] || return 0
		sleep 0.05
	done
	echo "$1 is not off" >&2
	return 1
}

# events NAME: kinds of what happened to it since it was created, oldest first.
events() {
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT kind FROM event WHERE object_id = '$(tenant "$1" id)' AND kind IN ('started', 'up', 'off', 'died') ORDER BY id" | xargs
}

# last_event NAME: its text.
last_event() {
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT kind || ': ' || text FROM event WHERE object_id = '$(tenant "$1" id)' ORDER BY id DESC LIMIT 1"
}

# state NAME: as `list` and `status` say, one behind the other: it may become another between them.
state() {
	local listed said i
	for i in 1 2 3 4; do
		listed=$(vm list --json | jq -r --arg n "$1" '.[] | select(.name == $n).state') || return
		said=$(vm status --json --timeout 5 "$1" 2>/dev/null | jq -r .state)
		[ "$listed" != "$said" ] || break
	done
	same "status and list of $1" "$listed" "$said" && echo "$said"
}

# lives [HOW]: what the program in QEMU's place does: a boot, then HOW (fake-qemu.c), by default agent, button and echo.
lives() {
	local status
	status=$(jq -cn --arg id "$(image_id "$BATS_FILE_TMPDIR/s1.img")" '{boot: {union: "overlay", generation: 1, change: "none", stack:
		[{kind: "system", name: "debian", version: "12.1", build_id: $id}]}, system_state: "running",
		default_target_reached: true, failed_units: [], uptime_ms: 1000}')
	printf '%s\n' "print first line" "stage switch-root" "answer $status" "live ${1:-abe} $status" >"$FAKE_QEMU"
}
