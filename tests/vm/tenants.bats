#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2154 # the guest expands; run sets output and stderr
# lasts 200
# Three tenants as guests under QEMU, through every command that starts, stops and watches them, two at a time; and kill -9 of what runs them.

load ../lib/common
load ../lib/tenants
load ../lib/life
load ../lib/moments
load ../lib/numbers

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq qemu-img script
	cd "$BATS_FILE_TMPDIR" || return
	tenant_small
	tenant_channel
}

setup() {
	local name
	cd "$BATS_TEST_TMPDIR" || return
	tenant_sockets
	# shellcheck disable=SC2034 # life_end removes it
	run=$TEST_SOCKETS/run
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/{system,web}.img >/dev/null
	for name in ann ben cat; do
		vm create "$name" --system small --size 128M --memory 192M --net none --accel tcg --append 'quiet cryptomgr.notests' >/dev/null
	done
}

teardown() {
	life_end
	rm -rf "$TEST_SOCKETS"
}

# in_guest NAME COMMAND
in_guest() {
	guestctl -t 120 "$TEST_SOCKETS/$1" "$2"
}

# tell FILE: what a command said that failed.
tell() {
	cat "$1" >&2
	return 1
}

# up NAME: starts it.
up() {
	run --separate-stderr vm start "$1"
	[ "$status" -eq 0 ] || {
		printf '%s\n' "$output" "$stderr" >&2
		return 1
	}
	[[ $output == "$1: up after "*" s: small 1"*", index union, default target reached" ]]
}

# while_on A B: through what can be done with guests that are on, at once.
while_on() {
	local name
	both checkpoint "$1" "$2" one
	for name in "$1" "$2"; do in_guest "$name" 'echo later >/root/later; sync'; done
	both checkpoint "$1" "$2" two --disk-only
	same "said" "$1: checkpoint 'two': disk $2: checkpoint 'two': disk" "$(both_said "$1" "$2" | xargs -d '\n')"
	both restore "$1" "$2" one --discard
	same "later files" "none none" "$(for name in "$1" "$2"; do in_guest "$name" 'ls /root/later 2>/dev/null || echo none'; done | xargs)"
	both checkpoints "$1" "$2"
	same "checkpoints" "one two one two" "$(both_said "$1" "$2" | sed -nE 's/^(one|two) .*/\1/p' | xargs)"
	both delete "$1" "$2" one two
	both resize "$1" "$2" 160M
	both set "$1" "$2" --memory 208M
	both logs "$1" "$2"
	both status "$1" "$2"
	same "agents" 2 "$(both_said "$1" "$2" | grep -c 'union *index')"
}

# while_off A B: and with those that are off.
while_off() {
	both clone "$1" "$2" @.copy
	both rename "$1.copy" "$2.copy" @.2
	both destroy "$1.copy.2" "$2.copy.2" --yes
	same "tenants" "$1 $2" "$(vm list --json | jq -r '.[].name' | grep -xE "$1|$2|.*copy.*" | xargs)"
}

@test "tenants: three through start, status, set, restart, stop, two at a time" {
	up ann &
	up ben
	wait $!
	up cat
	same "list" "ann up ben up cat up" "$(vm list --json | jq -r '.[] | .name, .state' | xargs)"
	same "own disks" "ann ben cat" "$(for name in ann ben cat; do in_guest "$name" "echo $name >/root/name; sync; cat /root/name"; done | xargs)"
	while_on ann ben
	works vm set ann --add-software web
	works vm status ann
	[[ $output == *"generation 1, from the next start on 2"* ]]
	same "before" "none" "$(in_guest ann 'cat /srv/web 2>/dev/null || echo none')"
	vm restart ann >said.ann 2>&1 &
	vm restart ben >said.ben 2>&1 || tell said.ben
	wait $! || tell said.ann
	same "how" "ann: powered off by its agent ben: powered off by its agent" "$(grep -h off said.ann said.ben | xargs)"
	same "after" "web ann" "$(in_guest ann 'cat /srv/web /root/name' | xargs)"
	same "generation" "2|" "$(tenant ann 'current, pending')"
	same "status" '["up",2,"small","web"]' "$(vm status ann --json | jq -c '[.state, .generation, .status.boot.stack[].name]')"
	# Without its agent, the button; a tenant that cannot be asked at all is ended.
	in_guest ben 'killall -STOP mlimg-agent'
	works vm stop --timeout 40 ben
	same "how" "ben: powered off by its power button" "$output"
	in_guest cat 'killall -STOP mlimg-agent; killall acpid; sync'
	fails 1 "mlimg-vm: tenant 'cat' did not power off within 4 s, ended" vm stop --timeout 4 cat
	works vm stop ann
	same "states" "off off off" "$(vm list --json | jq -r '.[].state' | xargs)"
	while_off ann ben
	same "disks" "" "$(for name in ann ben cat; do qemu-img check -q -f qcow2 "$(tenant_disk "$name")" || echo "$name"; done)"
	up cat
	same "its data" cat "$(in_guest cat 'cat /root/name')"
}

@test "tenants: the console, both ways on a terminal, while it is logged" {
	up ann
	{
		until grep -q leaves typed 2>/dev/null; do sleep 0.1; done
		printf '\recho $((40 + 2))-by-console >/root/typed; cat /root/typed\r'
		until grep -q '^42-by-console' typed; do sleep 0.1; done
		printf '\035'
	} | timeout 100 script -qefc "mlimg-vm console --store '$S' ann" typed >/dev/null
	grep -q "ann: left, the guest goes on" typed
	same "in the guest" 42-by-console "$(in_guest ann 'cat /root/typed')"
	vm logs ann | grep -qxF 42-by-console
	same "state" up "$(state ann)"
}

# status_of PROCESS FIELD
status_of() {
	awk -v field="$2:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$1/status"
}

@test "tenants: QEMU as a user of its own, to whom the store is closed; a port below 1024" {
	local qemu
	# Where that user finds what stands in QEMU's place, and may make its socket.
	mkdir "$TEST_SOCKETS/bin"
	cp "$MLIMG_TOP/tests/lib/qemu-channel" "$TEST_SOCKETS/bin/qemu-system-x86_64"
	chmod 0777 "$TEST_SOCKETS"
	export PATH=$TEST_SOCKETS/bin:$PATH MLIMG_QEMU_USER=nobody
	up ann
	qemu=$(life_pid ann 2)
	same "users" "65534 65534 65534 65534" "$(status_of "$qemu" Uid)"
	same "rights" "0000000000000000 0000000000000000" "$(status_of "$qemu" CapPrm) $(status_of "$qemu" CapAmb)"
	same "groups of root" "" "$(status_of "$qemu" Groups | tr ' ' '\n' | grep -x 0 || true)"
	same "owner and mode of the disk" "0 600" "$(stat -c '%u %a' "$(tenant_disk ann)")"
	in_guest ann 'echo kept >/root/kept; sync'
	works vm checkpoint ann one
	in_guest ann 'rm /root/kept; sync'
	works vm checkpoint ann two --disk-only
	works vm resize ann 160M
	works vm restore ann one
	same "restored" kept "$(in_guest ann 'cat /root/kept')"
	# It ends with its supervisor all the same.
	kill -KILL "$(life_pid ann 1)"
	life_off ann
	unharmed "$(tenant_disk ann)"
	works vm set ann --net user --forward 979:80
	up ann
	same "rights" 0000000000000400 "$(status_of "$(life_pid ann 2)" CapEff)"
	same "its data" kept "$(in_guest ann 'cat /root/kept')"
	works vm stop ann
	qemu-img check -q -f qcow2 "$(tenant_disk ann)"
	MLIMG_QEMU_USER=no-such fails 1 "mlimg-vm: accel: tcg (emulation): asked for
mlimg-vm: union: index: the initramfs knows it
mlimg-vm: disks: separate: asked for
mlimg-vm: tenant 'ann': there is no user 'no-such' (MLIMG_QEMU_USER)" vm start ann
}

@test "tenants: a copy of one, larger: what was written is in both, and each goes on alone" {
	up ann
	in_guest ann 'echo both >/root/both; sync'
	works vm stop ann
	works vm clone ann dan
	works vm resize dan 256M
	works vm clone ann eve --linked
	up ann &
	up dan
	wait $!
	same "of both" "both both" "$(in_guest ann 'cat /root/both') $(in_guest dan 'cat /root/both')"
	[ "$(in_guest dan "df -k /root | awk 'NR == 2 { print \$2 }'")" -gt 150000 ]
	in_guest dan 'echo dan >/root/both; sync'
	# Larger while it runs: its file system is, after the next boot.
	works vm resize ann 256M
	vm restart ann >said.ann 2>&1 || tell said.ann
	[ "$(in_guest ann "df -k /root | awk 'NR == 2 { print \$2 }'")" -gt 150000 ]
	same "of ann" both "$(in_guest ann 'cat /root/both')"
	works vm stop dan
	up eve
	same "of eve" both "$(in_guest eve 'cat /root/both')"
	works vm stop eve
	same "disks" "" "$(for name in dan eve; do qemu-img check -q -f qcow2 "$(tenant_disk "$name")" || echo "$name"; done)"
	# Destroyed, and back.
	works vm destroy --yes dan
	works vm create dan --from-removed dan
	up dan
	same "of dan" dan "$(in_guest dan 'cat /root/both')"
}

@test "tenants: kill -9 of QEMU and of the supervisor at random moments of writes; each starts again with its data, the other goes on" {
	local promised others name other which amid=0
	random_moments
	up ann &
	up ben
	wait $!
	load_writes ann
	load_writes ben
	# The supervisor, then QEMU.
	for which in 1 2; do
		name=ann other=ben
		[ "$which" = 1 ] || name=ben other=ann
		promised=$(in_guest "$name" 'cat /run/promised')
		moment 1000
		kill -KILL "$(life_pid "$name" "$which")"
		life_off "$name"
		same "state" died "$(state "$name")"
		others=$(in_guest "$other" 'cat /run/promised')
		unharmed "$(tenant_disk "$name")"
		up "$name"
		has_kept "$name" "$promised"
		[ "$(in_guest "$name" 'wc -l </root/numbers')" -le "$promised" ] || amid=$((amid + 1))
		same "$other goes on" yes "$(in_guest "$other" "until [ \$(cat /run/promised) -gt $others ]; do sleep 0.1; done; echo yes")"
		in_guest "$name" 'rm /root/numbers; sync'
		load_writes "$name"
	done
	echo "# $amid of 2 kills came when more was written than was known of before" >&3
	same "deaths" "1 1" "$(for name in ann ben; do events "$name" | tr ' ' '\n' | grep -c died; done | xargs)"
	# What had leaked was freed when they were started again.
	works vm stop --all
	same "disks" "" "$(for name in ann ben; do qemu-img check -q -f qcow2 "$(tenant_disk "$name")" || echo "$name"; done)"
}

@test "tenants: the command killed at random moments of a real boot, while another goes on" {
	local said boot most code amid=0
	random_moments
	up ann
	boot=$(in_guest ann 'cat /proc/sys/kernel/random/boot_id')
	# Most is done early: half of the moments are.
	for most in 200 1000 200 4000; do
		mlimg-vm start --store "$S" ben >/dev/null 2>&1 &
		moment "$most"
		# One that has ended already has seen its guest up, or said why it is not.
		kill -KILL $! 2>/dev/null || true
		code=0
		wait $! 2>/dev/null || code=$?
		[ "$code" -ne 137 ] || amid=$((amid + 1))
		said=$(state ben)
		while [ "$said" = starting ]; do
			sleep 0.2
			said=$(state ben)
		done
		case $said in
			up) works vm stop ben ;;
			off) ;;
			*) same "state" "up or off" "$said" ;;
		esac
		life_off ben
	done
	echo "# $amid of 4 kills came before the command had ended" >&3
	same "boot of ann" "$boot" "$(in_guest ann 'cat /proc/sys/kernel/random/boot_id')"
	up ben
}

@test "tenants: another store's disk in one's place does not boot; one that is renamed while it runs goes on, and is found" {
	local disk id other
	disk=$(tenant_disk ann)
	mv "$disk" "$BATS_TEST_TMPDIR/disk"
	mlimg-store --store "$S.2" add "$BATS_FILE_TMPDIR/system.img" >/dev/null
	mlimg-vm create ann --store "$S.2" --system small --size 128M >/dev/null
	cp "$S.2"/tenants/*/user.qcow2 "$disk"
	other=$(sqlite3 "$S.2/store.db" "SELECT user_id FROM tenant")
	id=$(tenant ann user_id)
	run --separate-stderr vm start ann
	same "exit code" 1 "$status"
	[[ $stderr == *"mlimg-vm: tenant 'ann': boot failed: /dev/vd"?" (serial ${id:0:20}) should be the user layer ${id:0:20}, but holds a user layer, UUID ${other:0:12}"*": attach the right image"* ]] || {
		echo "$stderr" >&2
		return 1
	}
	same "state" died "$(state ann)"
	mv "$BATS_TEST_TMPDIR/disk" "$disk"
	up ann
	in_guest ann 'echo kept >/root/kept; sync'
	works vm rename ann dora
	same "state" up "$(state dora)"
	same "its data" kept "$(in_guest ann 'cat /root/kept')"
	works vm stop dora
	same "how" "dora: powered off by its agent" "$output"
	up dora
	same "its data" kept "$(in_guest dora 'cat /root/kept')"
}
