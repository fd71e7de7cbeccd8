#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # fake_begin sets run
# mlimg-vm run, status and stop, with a program in QEMU's place (tests/lib/fake-qemu.c) that does what a case tells it.

load ../lib/common
load vm-fakes

setup_file() {
	need command mke2fs jq
	cd "$BATS_FILE_TMPDIR" || return
	boot_tree tree
	layer s.img system debian 12.1 a tree
	layer w.img software nginx 1.22 b
	layer u.img user alice 1 c
	fake_make
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	fake_begin
	background=
}

teardown() {
	[ -z "$background" ] || kill -KILL "$background" 2>/dev/null || true
	rm -rf "$run"
}

ACCEL="mlimg-vm: accel: tcg (emulation): asked for"
UNION="mlimg-vm: union: overlay: the initramfs does not say that it knows the index"
STATUS='{"agent_version": "0.1.0", "boot": {"union": "overlay", "generation": 2, "change": "changed", "stack":
 [{"kind": "system", "name": "debian", "version": "12.1", "build_id": "A"},
  {"kind": "software", "name": "nginx", "version": "1.22", "build_id": "B"}],
 "user": {"name": "alice", "build_id": "C"}, "report": {"counts": {"keep": 3, "conflict": 1}}},
 "init": "systemd", "system_state": "running", "default_target_reached": true, "failed_units": [], "uptime_ms": 12345}'
STATUS=$(jq -c --arg a "$(printf '%064d' 0 | tr 0 a)" '.boot.stack[0].build_id = $a
	| .boot.stack[1].build_id = ($a | gsub("a"; "b")) | .boot.user.build_id = ($a | gsub("a"; "c"))' <<<"$STATUS")

# steps LINE…: what the program in QEMU's place does.
steps() {
	printf '%s\n' "$@" >steps
}

vm() {
	timeout -k 5 60 mlimg-vm run --system "$BATS_FILE_TMPDIR/s.img" --software "$BATS_FILE_TMPDIR/w.img" \
		--user "$BATS_FILE_TMPDIR/u.img" --accel tcg --runtime-dir "$run" "$@"
}

# ends STATUS STDOUT STDERR OPTION…: as `vm OPTION…` must end. Times are shown as T.
ends() {
	local code=$1 out=$2 err=$3
	shift 3
	run --separate-stderr vm "$@"
	same stdout "$out" "$(sed -E 's/ +[0-9]+\.[0-9] s/ T/' <<<"$output")"
	# shellcheck disable=SC2154 # run sets it
	same stderr "$ACCEL
$UNION${err:+
$err}" "$stderr"
	same "exit code" "$code" "$status"
}

LOG() { echo "; console log: $run/alice/console.log"; }

UP="alice: up after T: debian 12.1 + nginx 1.22, overlay union, default target reached"

@test "a boot, and the guest powers off" {
	steps "print first line" "stage initramfs" "stage disks waiting for 1 of 3 disks" "stage switch-root" "answer $STATUS" off
	ends 0 "$UP
alice: powered off" ""
	same "console log" "first line" "$(cat "$run/alice/console.log")"
	same "what stays" "console.log lock qemu.log" "$(find "$run/alice" -type f -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
	same "mode" 700 "$(stat -c %a "$run/alice")"
}

@test "kernel and initramfs are the system layer's, and gone when QEMU has read them" {
	cat >qemu <<'END'
#!/bin/sh
[ "$3" != -version ] || exit 0
while [ $# -gt 0 ]; do
	case $1 in -kernel | -initrd) cat "$2" >>files ;; esac
	shift
done
echo "no more" >&2
exit 1
END
	chmod +x qemu
	mkdir bin
	mv qemu bin/qemu-system-x86_64
	PATH=$PWD/bin:$PATH ends 1 "" "alice: QEMU ended with status 1: no more"
	same files "kernel
initrd" "$(cat files)"
	[ ! -e "$run/alice/kernel" ] && [ ! -e "$run/alice/initrd" ]
}

@test "verbose: each stage as it is announced" {
	steps "stage initramfs" "stage disks waiting for 1 of 3 disks" "stage switch-root" "answer $STATUS" off
	ends 0 "alice: T  initramfs
alice: T  disks: waiting for 1 of 3 disks
alice: T  switch-root
$UP
alice: powered off" "" --verbose
}

@test "the guest says that its boot failed" {
	steps "print panic" "stage disks" "stage failed system layer aaaaaaaaaaaaaaaaaaaa: no such disk" serve
	ends 1 "" "alice: boot failed: system layer aaaaaaaaaaaaaaaaaaaa: no such disk$(LOG)"
}

@test "a boot that failed: what the console still has to say is in its log" {
	steps "print early" "stage failed x" "slowly 60"
	ends 1 "" "alice: boot failed: x$(LOG)"
	same "console log" "early $(seq -s ' ' 60)" "$(xargs <"$run/alice/console.log")"
}

@test "a boot that failed: a guest that goes on printing is ended" {
	steps "stage failed x" "slowly 1000000"
	ends 1 "" "alice: boot failed: x$(LOG)"
}

@test "a boot that failed: a guest that resets itself, or a signal, is waited for no longer" {
	steps "stage failed x" 'qmp {"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}' "slowly 400"
	ends 1 "" "alice: boot failed: x$(LOG)"
	same "last words" "" "$(grep -x 400 "$run/alice/console.log")"
	steps "stage failed x" "slowly 400"
	in_background
	await err "boot failed"
	kill "$(owner)"
	ended_with 1
	same err "alice: boot failed: x$(LOG)" "$(tail -n 1 err)"
	same "last words" "" "$(grep -x 400 "$run/alice/console.log")"
}

@test "a guest cannot steer the terminal" {
	steps 'agent {"event": "boot-stage", "data": {"stage": "failed", "detail": "\u001b[2Jcleared\nforged: line"}}' serve
	ends 1 "" "alice: boot failed: \\033[2Jcleared\\012forged: line$(LOG)"
}

@test "not up in time: nothing printed" {
	steps serve
	ends 1 "" "alice: not up after 1 s: the kernel printed nothing$(LOG)" --boot-timeout 1
}

# How far it came is told in the same words whatever ends a boot; a guest that powers off does it without waiting.
came_as_far_as() {
	ends 1 "" "alice: powered off before it was up: $1$(LOG)"
}

@test "how far a boot came: the kernel printed something" {
	steps "print Linux version" off
	came_as_far_as "it did not reach mlimg's part of the initramfs"
}

@test "how far a boot came: a stage" {
	steps "stage disks waiting for 1 of 3 disks" off
	came_as_far_as "it came as far as stage 'disks' (waiting for 1 of 3 disks)"
}

@test "how far a boot came: no agent in the new root" {
	steps "stage switch-root" off
	came_as_far_as "the root was switched to, but its agent does not answer"
}

@test "how far a boot came: the default target is not reached" {
	steps 'answer {"default_target_reached": false, "system_state": "starting", "failed_units": ["a.service"]}' off
	came_as_far_as "the default target is not reached (system state 'starting'; failed units: a.service)"
}

@test "a guest that resets itself before it was up" {
	steps "stage disks" 'qmp {"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}' serve
	ends 1 "" "alice: it reset itself before it was up, as a kernel that panics does: it came as far as stage 'disks'$(LOG)"
}

@test "garbage, half lines and a flood on the agent's port do not keep a boot from being seen" {
	steps "agent garbage" 'agent {"half": \xff{"event": "boot-stage", "data": {"stage": "disks", "detail": ""}}' "flood agent 9000000" "agent " \
		'agent {"event": "unknown", "data": [[[[]]]]}' "answer $STATUS" off
	ends 0 "alice: T  disks
$UP
alice: powered off" "" --verbose
}

@test "failed units are named, another stack is warned of" {
	steps "answer $(jq -c '.failed_units = ["a.service", "b.service"] | .boot.stack[0].build_id = "0"' <<<"$STATUS")" off
	ends 0 "$UP, failed units: a.service, b.service
alice: powered off" "alice: warning: the guest does not report the stack it was given"
}

@test "a reboot of the guest is told" {
	steps "answer $STATUS" 'qmp {"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}' \
		'qmp {"event": "RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}}' off
	ends 0 "$UP
alice: reboots
alice: powered off" ""
}

@test "QEMU is not installed" {
	mkdir bin
	ln -s "$(command -v timeout)" "$(command -v mlimg-vm)" bin
	PATH=$PWD/bin ends 1 "" "mlimg-vm: 'qemu-system-x86_64' is not installed (Debian package qemu-system-x86)" || {
		# sed and the like are gone as well
		same "message" "$ACCEL
$UNION
mlimg-vm: 'qemu-system-x86_64' is not installed (Debian package qemu-system-x86)" "$stderr"
		same "exit code" 1 "$status"
	}
}

@test "QEMU has no sandbox" {
	steps "answer $STATUS" off
	FAKE_QEMU_NO_SANDBOX=1 run --separate-stderr vm
	same stderr "mlimg-vm: warning: this qemu-system-x86_64 has no sandbox (seccomp)
$ACCEL
$UNION" "$stderr"
	same "exit code" 0 "$status"
	FAKE_QEMU_NO_SANDBOX=1 run --separate-stderr vm --dry-run
	same "sandbox" "" "$(grep -e -sandbox <<<"$output")"
}

@test "QEMU ends at once: its last line is shown" {
	steps "early warn qemu-system-x86_64: -foo: invalid option" "early exit 1"
	ends 1 "" "alice: QEMU ended with status 1: qemu-system-x86_64: -foo: invalid option"
}

@test "QEMU ends at once and says nothing" {
	steps "early exit 0"
	ends 1 "" "alice: QEMU ended with status 0"
}

@test "QEMU is ended from outside" {
	steps "answer $STATUS" 'qmp {"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-signal"}}' "exit 0"
	ends 1 "$UP" "alice: QEMU was ended from outside (host-signal)"
}

@test "the console log is bounded" {
	steps "flood console 17000000" "answer $STATUS" off
	ends 0 "$UP
alice: powered off" ""
	[ "$(stat -c %s "$run/alice/console.log")" -lt $((8 << 20)) ]
	[ "$(stat -c %s "$run/alice/console.log.1")" -lt $((9 << 20)) ]
}

@test "--console FILE" {
	steps "print to the file" "answer $STATUS" off
	ends 0 "$UP
alice: powered off" "" --console log
	same "console" "to the file" "$(cat log)"
	steps "stage failed x" serve
	ends 1 "" "alice: boot failed: x; console log: log" --console log
	fails 1 "$ACCEL
$UNION
mlimg-vm: log 'none/log': No such file or directory" vm --console none/log
}

@test "--console FIFO: one that is not read does not stop the loop" {
	mkfifo fifo
	fails 1 "$ACCEL
$UNION
mlimg-vm: log 'fifo' is a FIFO that nobody reads" vm --console fifo
	steps "flood console 1000000" serve
	exec 7<>fifo
	ends 1 "" "alice: not up after 1 s: it did not reach mlimg's part of the initramfs; console log: fifo" \
		--console fifo --boot-timeout 1
	exec 7>&-
}

@test "--console FIFO: what is read, and a reader that goes" {
	mkfifo fifo
	head -c 6 fifo >taken &
	steps "print to the fifo" "answer $STATUS" "flood console 1000000" off
	# Opened for writing it waits for the reader; held so while mlimg-vm opens it.
	exec 7>fifo
	ends 0 "$UP
alice: powered off" "" --console fifo
	exec 7>&-
	same "console" "to the" "$(cat taken)"
}

@test "messages to a pipe that is not read do not stop the loop" {
	mkfifo full
	exec 7<>full
	dd if=/dev/zero of=full bs=4096 oflag=nonblock 2>/dev/null || true
	steps "answer $STATUS" off
	local status=0
	vm >full || status=$?
	exec 7>&-
	same "exit code" 0 "$status"
}

# in_background OPTION…: runs a guest; its output is in `out` and `err`.
in_background() {
	vm "$@" >out 2>err &
	background=$!
}

# await FILE TEXT
await() {
	for _ in $(seq 600); do
		if grep -qF "$2" "$1" 2>/dev/null; then return 0; fi
		sleep 0.1
	done
	echo "'$2' does not come in $1:" >&2
	cat "$1" >&2
	return 1
}

# ended_with STATUS: what the guest in the background ended with.
ended_with() {
	local status=0
	wait "$background" || status=$?
	background=
	same "exit code of the guest" "$1" "$status"
}

# The process of mlimg-vm, which is a child of timeout.
owner() { cat "$run/alice/lock"; }

@test "status of a rescue without a user layer" {
	local rescue
	rescue=$(jq -c '.boot += {mode: "rescue", user: null, change: "unknown", generation: 0, report: null}' <<<"$STATUS")
	steps "answer $rescue" "again agent" "answer $rescue" "again monitor" press off
	in_background
	await out "up after"
	works mlimg-vm status --runtime-dir "$run" alice
	same status "guest     alice
state     running, default target reached, up 12 s
system    debian 12.1  aaaaaaaaaaaaaaaaaaaa
software  nginx 1.22  bbbbbbbbbbbbbbbbbbbb
union     overlay
boot      generation 0, change: unknown, mode: rescue" "$output"
	works mlimg-vm stop --runtime-dir "$run" alice
}

@test "a name is run once at a time, and status and stop find it" {
	steps "answer $STATUS" "again agent" "answer $STATUS" "again agent" "answer $STATUS" "again monitor" press off
	in_background
	await out "up after"
	fails 1 "$ACCEL
mlimg-vm: guest 'alice' is already running (process $(owner))" vm
	works mlimg-vm status --runtime-dir "$run" alice
	same status "guest     alice
state     running, default target reached, up 12 s
system    debian 12.1  aaaaaaaaaaaaaaaaaaaa
software  nginx 1.22  bbbbbbbbbbbbbbbbbbbb
user      alice  cccccccccccccccccccc
union     overlay
boot      generation 2, change: changed, keep 3, conflict 1" "$output"
	works mlimg-vm status --runtime-dir "$run" --json alice
	same "status as JSON" "$(jq -S . <<<"$STATUS")" "$(jq -S . <<<"$output")"
	works mlimg-vm stop --runtime-dir "$run" alice
	same stop "alice: powered off" "$output"
	ended_with 0
	same out "alice: powered off" "$(tail -n 1 out)"
	fails 1 "mlimg-vm: no guest 'alice' is running" mlimg-vm status --runtime-dir "$run" alice
	fails 1 "mlimg-vm: no guest 'alice' is running" mlimg-vm stop --runtime-dir "$run" alice
}

@test "status: an agent that does not answer" {
	steps "answer $STATUS" "again agent" "again monitor" press off
	in_background
	await out "up after"
	fails 1 "mlimg-vm: the agent of guest 'alice' does not answer within 1 s (is it still booting?)" \
		mlimg-vm status --runtime-dir "$run" --timeout 1 alice
	works mlimg-vm stop --runtime-dir "$run" alice
	ended_with 0
}

@test "stop: a guest that does not power off is ended" {
	steps "answer $STATUS" "again monitor" serve
	in_background
	await out "up after"
	fails 1 "mlimg-vm: guest 'alice' did not power off within 1 s, ended" mlimg-vm stop --runtime-dir "$run" --timeout 1 alice
	ended_with 1
	same err "alice: QEMU was ended from outside (host-qmp-quit)" "$(tail -n 1 err)"
}

@test "SIGTERM powers the guest off" {
	steps "answer $STATUS" press off
	in_background
	await out "up after"
	kill "$(owner)"
	ended_with 0
	same out "alice: powered off" "$(tail -n 1 out)"
	same err "alice: powering off (again to end it at once)" "$(tail -n 1 err)"
}

@test "a second signal ends it at once" {
	steps "answer $STATUS" press serve
	in_background
	await out "up after"
	kill "$(owner)"
	await err "powering off"
	kill -INT "$(owner)"
	ended_with 1
	same err "alice: ended" "$(tail -n 1 err)"
}

@test "a signal before the root is there ends it at once" {
	steps "stage disks" serve
	in_background --verbose
	await out disks
	kill "$(owner)"
	ended_with 1
	same err "alice: ended before it was up" "$(tail -n 1 err)"
}

@test "QEMU does not outlive mlimg-vm" {
	steps "answer $STATUS" serve
	in_background
	await out "up after"
	local qemu
	qemu=$(pgrep -P "$(owner)")
	[ -n "$qemu" ]
	kill -KILL "$(owner)"
	for _ in $(seq 600); do
		kill -0 "$qemu" 2>/dev/null || break
		sleep 0.1
	done
	# One that did outlive it must not hold up bats.
	if kill -KILL "$qemu" 2>/dev/null; then
		echo "QEMU outlives mlimg-vm" >&2
		return 1
	fi
	# And what it left does not keep a successor from running.
	steps "answer $STATUS" off
	ends 0 "$UP
alice: powered off" ""
}

@test "a user layer in use by a QEMU of somebody else" {
	need command qemu-io
	mkfifo hold
	qemu-io -f raw "$BATS_FILE_TMPDIR/u.img" <hold >/dev/null 2>&1 &
	local holder=$!
	exec 7>hold
	for _ in $(seq 600); do
		run --separate-stderr vm --dry-run
		[ "$status" -eq 0 ] || break
		sleep 0.1
	done
	exec 7>&-
	wait "$holder"
	same stderr "$ACCEL
mlimg-vm: user layer '$BATS_FILE_TMPDIR/u.img' is in use by another guest or tool" "$stderr"
	same "exit code" 1 "$status"
}

@test "a runtime directory that others can write to is refused" {
	mkdir -m 777 "$run/alice"
	fails 1 "$ACCEL
mlimg-vm: '$run/alice' belongs to, or can be written by, somebody else: Operation not permitted" vm
	rmdir "$run/alice"
	ln -s / "$run/alice"
	fails 1 "$ACCEL
mlimg-vm: '$run/alice': Not a directory" vm
}
