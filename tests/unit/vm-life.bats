#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# Tenants started, stopped and watched, with a program in QEMU's place (tests/lib/fake-qemu.c) that does what a case tells it.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	need command script
	life_images
}

setup() {
	life_begin
	lives
}

teardown() {
	life_end
}

NOTES="mlimg-vm: accel: tcg (emulation): asked for
mlimg-vm: union: overlay: the initramfs does not say that it knows the index"
UP="up after T: debian 12.1, overlay union, default target reached"

# does STDOUT COMMAND…: ends with 0; times are shown as T.
does() {
	run --separate-stderr timeout -k 5 60 mlimg-vm "$2" --store "$S" "${@:3}"
	same "stdout of: ${*:2}" "$1" "$(sed -E 's/ +[0-9]+\.[0-9] s/ T/' <<<"$output")"
	same "exit code of: ${*:2}" 0 "$status"
}

# refuses MESSAGE COMMAND…: fails with it, after the notes on what was chosen.
refuses() {
	run --separate-stderr timeout -k 5 60 mlimg-vm "$2" --store "$S" "${@:3}"
	same "stderr of: ${*:2}" "mlimg-vm: $1" "$(grep -vxF "$NOTES" <<<"$stderr")"
	same "exit code of: ${*:2}" 1 "$status"
}

@test "life: help of each command, in 80 columns; every option in manual page and completion" {
	vm_documented start stop restart status console logs
}

@test "life: wrong usage, unknown names" {
	local try="Try 'mlimg-vm --help' for more information." command
	for command in start stop restart status console logs; do
		fails 2 "mlimg-vm: the name of a guest is missing
$try" mlimg-vm "$command"
		fails 2 "mlimg-vm: unexpected argument 'b'
$try" mlimg-vm "$command" a b
		fails 1 "mlimg-vm: no tenant 'carol'" mlimg-vm "$command" --store "$S" carol
		fails 1 "mlimg-vm: '$PWD/none': no store is there; 'mlimg-store add' makes one" mlimg-vm "$command" --store "$PWD/none" carol
	done
	fails 2 "mlimg-vm: --store and --runtime-dir exclude each other
$try" mlimg-vm status --store "$S" --runtime-dir / alice
}

@test "life: start, status, stop" {
	does "alice: $UP" start alice
	same "notes" "$NOTES" "$stderr"
	same "state" up "$(state alice)"
	same "state of another" off "$(state bob)"
	does "alice: powered off by its agent" stop alice
	same "state" off "$(state alice)"
	same "events" "started up off" "$(events alice)"
	same "last event" "off: powered off" "$(last_event alice)"
	same "what stays" "console.log lock qemu.log state" "$(find "$(life_dir alice)" -type f -printf '%f\n' | sort | xargs)"
	does "alice: is off" stop alice
}

@test "life: status of a tenant as text and JSON" {
	does "tenant    alice
guest     off
next      generation 1
system    debian 12.1  $(image_id "$BATS_FILE_TMPDIR/s1.img" | cut -c -20)
$(sed -n 's/^last/&/p' <<<"$(vm status alice)")" status alice
	grep -qE '^last      [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} created: alice$' <<<"$output"
	vm start alice 2>/dev/null
	vm set alice --system debian:12.2
	vm status alice >said
	same "text" "tenant    alice
guest     up, started TIME
runs      generation 1, from the next start on 2
state     running, default target reached, up 1 s
system    debian 12.1  $(image_id "$BATS_FILE_TMPDIR/s1.img" | cut -c -20)
union     overlay
boot      generation 1, change: none" "$(sed -E 's/[0-9-]{10} [0-9:]{8}/TIME/' said)"
	same "JSON" '["alice","up",1,2,"debian","running"]' \
		"$(vm status alice --json | jq -c '[.name, .state, .generation, .pending, .layers[0].name, .status.system_state]')"
}

@test "life: a pending generation is the current one as soon as QEMU runs with it" {
	vm set alice --system debian:12.2 --add-software nginx >/dev/null
	same "before" "1|2" "$(tenant alice 'current, pending')"
	echo "early exit 3" >"$FAKE_QEMU"
	refuses "tenant 'alice': QEMU ended with status 3" start alice
	same "when it did not run" "1|2|" "$(tenant alice 'current, pending, run_s')"
	printf 'stage disks\nlive x\n' >"$FAKE_QEMU"
	does "alice: starting" start --no-wait alice
	same "when it runs" "2|" "$(tenant alice 'current, pending')"
	same "disks" "system software0 user" "$(tr '\0' '\n' <"/proc/$(life_pid alice 2)/cmdline" | sed -n 's/^driver=[a-z0-9]*,node-name=\([a-z0-9]*\),.*/\1/p' | xargs)"
	same "state" starting "$(state alice)"
	does "alice: ended, its root was not there yet" stop alice
	same "events" "started off" "$(events alice)"
}

@test "life: started twice" {
	vm start alice 2>/dev/null
	fails 1 "mlimg-vm: tenant 'alice' is running already (up)" vm start alice
	vm stop alice
	printf 'stage disks\nlive x\n' >"$FAKE_QEMU"
	vm start --no-wait alice 2>/dev/null
	fails 1 "mlimg-vm: tenant 'alice' is running already (starting)" vm start alice
}

@test "life: two starts at once: one wins, the other says why" {
	local i won
	for i in 1 2 3 4; do
		vm start alice >out.1 2>err.1 &
		vm start alice >out.2 2>err.2 || true
		wait $! || true
		won=$(cat out.1 out.2 | sed -E 's/ +[0-9]+\.[0-9] s/ T/')
		same "who won" "alice: $UP" "$won"
		same "who did not" "mlimg-vm: tenant 'alice' is running already (up)" \
			"$(cat err.1 err.2 | grep -vxF "$NOTES" | sed 's/(starting)/(up)/')"
		vm stop alice >/dev/null
	done
}

@test "life: stop by agent, by button, by force; each is said" {
	lives ab
	vm start alice 2>/dev/null
	does "alice: powered off by its agent" stop alice
	lives b
	vm start alice 2>/dev/null
	does "alice: powered off by its power button" stop --timeout 2 alice
	lives x
	vm start alice 2>/dev/null
	refuses "tenant 'alice' did not power off within 1 s, ended" stop --timeout 1 alice
	same "state" off "$(state alice)"
	same "last event" "off: ended by force" "$(last_event alice)"
	# A monitor that does not answer, either.
	lives px
	vm start alice 2>/dev/null
	refuses "tenant 'alice' did not power off within 1 s, ended" stop --timeout 1 alice
	same "state" off "$(state alice)"
}

@test "life: restart" {
	does "bob: is off
bob: $UP" restart bob
	does "alice: $UP" start alice
	vm set alice --memory 512M >/dev/null
	does "alice: powered off by its agent
alice: $UP" restart alice
	same "memory" 512M "$(tr '\0' '\n' <"/proc/$(life_pid alice 2)/cmdline" | grep -x 512M)"
	same "events" "started up off started up" "$(events alice)"
	lives x
	vm restart alice >/dev/null 2>&1
	run --separate-stderr vm restart --timeout 1 alice
	same "warned" "mlimg-vm: warning: tenant 'alice' did not power off within 1 s, ended" "$(grep -vxF "$NOTES" <<<"$stderr")"
	same "exit code" 0 "$status"
}

@test "life: a QEMU that was killed is noticed at once, and it starts again" {
	vm start alice 2>/dev/null
	kill -KILL "$(life_pid alice 2)"
	life_off alice
	same "events" "started up died" "$(events alice)"
	same "row" "" "$(tenant alice run_s)"
	same "state" died "$(state alice)"
	same "status" "guest     died: QEMU was killed by signal 9" "$(vm status alice | grep ^guest)"
	same "last" "died: QEMU was killed by signal 9" "$(vm status alice | sed -n 's/^last .\{21\} *//p' | grep -o 'died.*')"
	does "alice: is off, it died: QEMU was killed by signal 9" stop alice
	# What the host forgets when it starts, the store does not.
	rm -r "$(life_dir alice)"
	same "status" "guest     died: QEMU was killed by signal 9" "$(vm status alice | grep ^guest)"
	does "alice: $UP" start alice
	same "state" up "$(state alice)"
}

@test "life: a supervisor that was killed is noticed by who looks next, once" {
	local qemu
	vm start alice 2>/dev/null
	qemu=$(life_pid alice 2)
	kill -KILL "$(life_pid alice 1)"
	life_off alice
	same "QEMU" "" "$(readlink "/proc/$qemu/exe" || true)"
	same "events before anybody looks" "started up" "$(events alice)"
	same "state" died "$(state alice)"
	vm status alice >/dev/null
	same "events" "started up died" "$(events alice)"
	same "last event" "died: its supervisor was killed, and QEMU with it" "$(last_event alice)"
	does "alice: $UP" start alice
	# And the host's going down.
	kill -KILL "$(life_pid alice 1)"
	life_off alice
	rm -r "$(life_dir alice)"
	same "status" "guest     died: the host went down while it was on" "$(vm status alice | grep ^guest)"
	does "alice: $UP" start alice
}

@test "life: a runtime directory under two names" {
	local id as=()
	need command unshare
	# Root's is always in the same place; this makes one nobody, who keeps what is root's.
	[ "$(id -u)" -ne 0 ] || as=(unshare -U)
	id=$(tenant alice id)
	lives x
	ln -s "$XDG_RUNTIME_DIR" other
	# shellcheck disable=SC2016
	fails 1 "mlimg-vm: tenant 'alice' did not power off within 1 s, ended" "${as[@]}" bash -c 'mlimg-vm start --store "$1" alice >/dev/null 2>&1 || exit 10
		# It writes into the store no more, which would be locked for as long as it stands still.
		until sqlite3 "$1/store.db" "SELECT kind FROM event" | grep -qx up; do sleep 0.1; done
		kill -STOP "$(awk "NR == 1 { print \$1 }" "$XDG_RUNTIME_DIR/mlimg-vm/$2/state")"
		XDG_RUNTIME_DIR=$PWD/other mlimg-vm stop --timeout 1 --store "$1" alice' bash "$S" "$id"
}

@test "life: a supervisor that is stopped does not keep a guest on" {
	lives x
	vm start alice 2>/dev/null
	until [[ $(events alice) == *up ]]; do sleep 0.1; done
	kill -STOP "$(life_pid alice 1)"
	refuses "tenant 'alice' did not power off within 1 s, ended" stop --timeout 1 alice
	same "state" off "$(state alice)"
}

@test "life: the command killed at any moment: what is said is so, and it starts again" {
	local i said
	for ((i = 0; i < 12; i++)); do
		# Itself, not a shell around it.
		mlimg-vm start --store "$S" alice >/dev/null 2>&1 &
		sleep "0.0$((RANDOM % 10))"
		kill -KILL $! 2>/dev/null || true
		wait $! 2>/dev/null || true
		# It goes on without the command, or is not gone on with.
		said=$(state alice) || return
		while [ "$said" = starting ]; do
			said=$(state alice) || return
		done
		case $said in
			up) does "alice: powered off by its agent" stop alice ;;
			off) same "row" "" "$(tenant alice run_s)" ;;
			*) same "state" "up or off" "$said" ;;
		esac
		life_off alice
		same "processes" "" "$(pgrep -fx ".*guest=alice .*$(tenant alice id).*" || true)"
	done
	does "alice: $UP" start alice
}

@test "life: a command that was killed early: the next one waits until nothing is left of what it began" {
	printf 'early until %s\n' "$PWD/go" | cat - "$FAKE_QEMU" >steps.later
	cp steps.later "$FAKE_QEMU"
	mlimg-vm start --store "$S" alice >/dev/null 2>&1 &
	until pgrep -fx ".*guest=alice .*$(tenant alice id).*" >first; do sleep 0.02; done
	kill -KILL $!
	wait $! 2>/dev/null || true
	vm start alice >out 2>err &
	sleep 0.5
	same "said meanwhile" "" "$(cat out err)"
	touch go
	wait $! || cat err >&2
	same "out" "alice: $UP" "$(sed -E 's/ +[0-9]+\.[0-9] s/ T/' out)"
	same "first QEMU" "" "$(ps -o pid= -p "$(<first)" || true)"
	same "events" "started up" "$(events alice)"
}

@test "life: boots that fail" {
	local log
	log="; console log: $(life_dir alice)/console.log"
	printf 'stage initramfs\nstage failed disk is not there\nserve\n' >"$FAKE_QEMU"
	refuses "tenant 'alice': boot failed: disk is not there$log" start alice
	same "status" "guest     died: boot failed: disk is not there$log" "$(vm status alice | grep ^guest)"
	same "events" "started died" "$(events alice)"
	printf 'stage disks waiting for 1 of 3 disks\nserve\n' >"$FAKE_QEMU"
	vm set alice --boot-timeout 1 >/dev/null
	refuses "tenant 'alice': not up after 1 s: it came as far as stage 'disks' (waiting for 1 of 3 disks)$log" start alice
	printf 'stage disks\noff\n' >"$FAKE_QEMU"
	refuses "tenant 'alice': powered off before it was up: it came as far as stage 'disks'$log" start alice
	# The guest's words cannot steer a terminal.
	printf 'stage failed \\u001b[31mred\nserve\n' >"$FAKE_QEMU"
	refuses "tenant 'alice': boot failed: ?[31mred$log" start alice
}

@test "life: QEMU that is not there, that ends at once, images that are gone" {
	mkdir bin
	ln -s "$(command -v bash)" bin/
	fails 1 "$NOTES
mlimg-vm: tenant 'alice': 'qemu-system-x86_64' is not installed (Debian package qemu-system-x86)" \
		env PATH="$PWD/bin" "$(command -v mlimg-vm)" start --store "$S" alice
	printf 'early warn hostfwd: no\nearly exit 1\n' >"$FAKE_QEMU"
	refuses "tenant 'alice': QEMU ended with status 1: hostfwd: no" start alice
	same "events" "" "$(events alice)"
	same "row" "" "$(tenant alice run_s)"
	mv "$S/layers" "$S/away"
	mkdir "$S/layers"
	run --separate-stderr vm start alice
	same "exit code" 1 "$status"
	[[ $stderr == "mlimg-vm: tenant 'alice': open "*"No such file or directory" ]]
	rmdir "$S/layers"
	mv "$S/away" "$S/layers"
	lives
	does "alice: $UP" start alice
}

@test "life: paused by a monitor, and let go again" {
	vm start alice 2>/dev/null
	qmp alice '{"execute": "stop"}'
	until [ "$(state alice)" = paused ]; do sleep 0.05; done
	qmp alice '{"execute": "cont"}'
	until [ "$(state alice)" = up ]; do sleep 0.05; done
	same "events" "started up" "$(events alice)"
}

# qmp NAME COMMAND: on its monitor that is free for use.
qmp() {
	printf '%s\n' '{"execute": "qmp_capabilities"}' "$2" | socat -t 1 - "UNIX-CONNECT:$(life_dir "$1")/monitor.sock" >/dev/null
}

@test "life: SIGTERM to the supervisor powers the guest off" {
	vm start alice 2>/dev/null
	kill -TERM "$(life_pid alice 1)"
	life_off alice
	same "last event" "off: powered off" "$(last_event alice)"
}

@test "life: console: both ways on a terminal, Ctrl-] leaves, the log is kept" {
	vm start alice 2>/dev/null
	{
		until grep -q 'leaves' typed 2>/dev/null; do sleep 0.05; done
		printf 'hello guest\r'
		until grep -q 'hello guest' typed; do sleep 0.05; done
		printf '\035never'
	} | timeout 30 script -qefc "mlimg-vm console --store '$S' alice" typed >/dev/null
	same "on the terminal" "hello guest" "$(tr -d '\r' <typed | grep -oF 'hello guest' | head -n 1)"
	grep -q "alice: left, the guest goes on" typed
	same "never typed" "" "$(grep -F never "$(life_dir alice)/console.log" || true)"
	same "log" "first line
hello guest" "$(tr '\r' '\n' <"$(life_dir alice)/console.log" | sed '/^$/d')"
	same "state" up "$(state alice)"
}

@test "life: console: two at a time, stdin that is no terminal, and the guest's end" {
	vm start alice 2>/dev/null
	vm console alice </dev/null >one 2>one.err &
	mkfifo typed
	vm console alice <typed >two 2>two.err &
	exec 5>typed
	# Who connects late has not seen what was typed before.
	until [ -s one ] && [ -s two ]; do
		echo "to both" >&5
		sleep 0.05
	done
	exec 5>&-
	vm stop alice >/dev/null
	wait
	same "first" "to both" "$(head -n 1 one)"
	same "second" "to both" "$(head -n 1 two)"
	same "said" "alice: the guest is off" "$(<one.err)"
	fails 1 "mlimg-vm: tenant 'alice' is off" vm console alice
}

@test "life: logs" {
	local log
	fails 1 "mlimg-vm: no log of 'alice': it was not started since the host was" vm logs alice
	printf '%s\n' $'print \e[31mred\r' 'warn of QEMU' 'live x' >"$FAKE_QEMU"
	vm start --no-wait alice 2>/dev/null
	log=$(life_dir alice)/console.log
	until grep -q red "$log"; do sleep 0.05; done
	works vm logs alice
	same "escaped" '\033[31mred' "$output"
	works vm logs --qemu alice
	same "QEMU's" "of QEMU" "$output"
	# A NUL, and a line without an end, behind the log that was full before.
	printf 'old\r\n' >"$log.1"
	printf 'a\0b\r\nno end' >>"$log"
	works vm logs alice
	same "all" 'old
\033[31mred
a\000b
no end' "$output"
}

@test "life: logs -f goes on until the guest is off" {
	vm start alice 2>/dev/null
	vm logs -f alice >followed &
	until grep -q first followed; do sleep 0.05; done
	vm console alice <<<"typed later" >/dev/null 2>&1 &
	until grep -q later followed; do sleep 0.05; done
	vm stop alice >/dev/null
	wait
	same "followed" "first line
typed later" "$(<followed)"
}

@test "life: guests of 'run' are found by their names, behind tenants" {
	mlimg-mkfs --quiet --kind user --name carol --size 64M u.img
	mlimg-vm run --system "$BATS_FILE_TMPDIR/s1.img" --user u.img --accel tcg >/dev/null 2>&1 &
	until timeout 5 mlimg-vm status --runtime-dir "$(dirname "$(life_dir alice)")" carol >said 2>/dev/null; do sleep 0.1; done
	same "by its directory" "guest     carol" "$(head -n 1 said)"
	export XDG_STATE_HOME=$PWD/state HOME=$PWD
	fails 1 "mlimg-vm: no tenant 'carol'" vm status carol
	mlimg-vm logs --runtime-dir "$(dirname "$(life_dir alice)")" carol >said
	same "log" "first line" "$(<said)"
	works mlimg-vm stop --runtime-dir "$(dirname "$(life_dir alice)")" carol
	same "stop" "carol: powered off" "$output"
	wait
	rm -r "$(dirname "$(life_dir alice)")/carol"
}

@test "life: root hashes of a tenant's layers are those of the store" {
	mlimg-mkfs --quiet --kind system --name verified --version 1 --verity "$BATS_FILE_TMPDIR/tree" v.img
	mlimg-store --store "$S" add v.img >/dev/null
	vm create vera --system verified --accel tcg --size 64M --verity hash --union overlay >/dev/null
	printf 'stage disks\nlive x\n' >"$FAKE_QEMU"
	works vm start --no-wait vera || [[ $stderr == *"union: overlay"* ]]
	tr '\0' '\n' <"/proc/$(life_pid vera 2)/cmdline" | grep -qE 'mlimg.verity=stack:[0-9a-f]{64}'
	vm stop vera >/dev/null
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "UPDATE layer SET root_hash = '$(printf '%064d' 7)' WHERE name = 'verified'"
	run --separate-stderr vm start vera
	same "exit code" 3 "$status"
	[[ $stderr == *"its root hash is "*", not $(printf '%064d' 7) as in the store" ]]
}

@test "life: a start that the store cannot note does not run" {
	vm set alice --system debian:12.2 >/dev/null
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "CREATE TRIGGER full BEFORE UPDATE OF run_s ON tenant BEGIN SELECT RAISE(ABORT, 'full'); END"
	run --separate-stderr vm start alice
	same "exit code" 1 "$status"
	[[ $stderr == *"full"* ]]
	life_off alice
	same "row" "1|2|" "$(tenant alice 'current, pending, run_s')"
	same "events" "" "$(events alice)"
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "DROP TRIGGER full"
	does "alice: up after T: debian 12.2, overlay union, default target reached" start alice
	same "row" "2|" "$(tenant alice 'current, pending')"
}

@test "life: an end that the store cannot note is noted by who looks next" {
	vm start alice 2>/dev/null
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "CREATE TRIGGER full BEFORE UPDATE OF run_s ON tenant BEGIN SELECT RAISE(ABORT, 'full'); END"
	kill -KILL "$(life_pid alice 2)"
	life_off alice
	same "events" "started up" "$(events alice)"
	same "state" died "$(state alice)"
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "DROP TRIGGER full"
	same "state" died "$(state alice)"
	same "events" "started up died" "$(events alice)"
	same "last event" "died: QEMU was killed by signal 9" "$(last_event alice)"
}
