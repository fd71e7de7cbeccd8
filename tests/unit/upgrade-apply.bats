#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# mlimg-upgrade apply, and what belongs to it, with a program in QEMU's place (tests/lib/fake-qemu.c). Real guests are in vm/upgrade-apply.bats, a simulated fleet in
# test_rollout.c.

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load ../lib/rollout
load vm-fakes

setup_file() {
	need command faketime
	life_images
	rollout_make
}

setup() {
	life_begin
}

teardown() {
	life_end
}

# For a command that waits a minute for another one: its clock is quicker.
hastened=()

# upgrade COMMAND ARGUMENT…: on the store.
upgrade() {
	timeout -k 5 120 "${hastened[@]}" mlimg-upgrade "$1" --store "$S" "${@:2}"
}

# gives STATUS STDOUT STDERR COMMAND…
gives() {
	run --separate-stderr upgrade "${@:4}"
	same "stdout of: ${*:4}" "$2" "$output"
	same "stderr of: ${*:4}" "$3" "$stderr"
	same "exit code of: ${*:4}" "$1" "$status"
}

@test "apply: two tenants in two waves" {
	rollout_begin alice bob
	gives 0 "wave 1 of rollout 1: debian 12.2
alice: done
wave 2 of rollout 1: debian 12.2
bob: done
rollout 1: done: 2 done" "" apply --system debian:12.2
	same generations "alice:2: bob:2:" "$(generations alice bob)"
	same events "started up off started up" "$(events alice)"
	same checkpoints "before-upgrade-1 before-upgrade-1" "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT tag FROM checkpoint" | xargs)"
	gives 0 "nothing to do: all tenants have it" "" apply --system debian:12.2
}

@test "apply: one that is off has it from its next start on, and is not started" {
	rollout_begin alice
	gives 0 "wave 1 of rollout 1: debian 12.2
alice: done
wave 2 of rollout 1: debian 12.2
bob: off
rollout 1: done: 1 done, 1 off" "" apply --system debian:12.2
	same generations "alice:2: bob:1:2" "$(generations alice bob)"
	same "state of bob" off "$(state bob)"
	same "snapshots of bob" 1 "$(qemu-img snapshot -l "$(tenant_disk bob)" | grep -c mlimg-before-upgrade-1)"
	gives 0 "nothing to do: all tenants have it" "" apply --system debian:12.2
	same "rollouts" 1 "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT count(*) FROM rollout")"
	vm start bob --no-wait 2>/dev/null
	same "then" "bob:2:" "$(generations bob)"
}

@test "apply: one whose check fails comes back by itself, and no other is begun" {
	rollout_begin alice bob
	unhealthy >"$STEPS/alice.12.2"
	gives 1 "wave 1 of rollout 1: debian 12.2
alice: back: check web
alice: returned: check web
rollout 1: stopped: 1 waiting, 1 returned; 'mlimg-upgrade resume' goes on, 'mlimg-upgrade abort' ends it" "" apply --system debian:12.2 --health 1
	same generations "alice:1: bob:1:" "$(generations alice bob)"
	same events "started up off started up off started up" "$(events alice)"
	same "upgrade event" "rollout 1, generation 2: returned: check web" "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT text FROM event WHERE kind = 'upgrade'")"
	gives 1 "wave 2 of rollout 1: debian 12.2
bob: done
rollout 1: done: 1 done, 1 returned" "" resume
	same generations "alice:1: bob:2:" "$(generations alice bob)"
}

@test "apply: what was wrong before is none of the new system's" {
	rollout_begin
	unhealthy >"$STEPS/12.1"
	unhealthy >"$STEPS/12.2"
	rollout_begin alice
	gives 0 "wave 1 of rollout 1: debian 12.2
alice: done
rollout 1: done: 1 done" "" apply --system debian:12.2 --tenants 'al*' --health 1
}

@test "apply: a user layer that could not be changed" {
	rollout_begin alice
	healthy '' '{"change": "changed", "report": {"path": null, "counts": {}}, "reconcile": null, "notes": ["no room"]}' | sed 's/mlimg-health {"return": }/mlimg-health {"return": {"default_target_reached": true}}/' >"$STEPS/12.2"
	run --separate-stderr upgrade apply --system debian:12.2 --tenants alice --health 1
	same "exit code" 1 "$status"
	grep -qxF "alice: returned: its user layer could not be changed: no room" <<<"$output"
}

@test "apply: one that does not come up comes back" {
	rollout_begin alice
	printf 'agent {"event": "boot-stage", "data": {"stage": "failed", "detail": "no root"}}\nexit 1\n' >"$STEPS/12.2"
	run --separate-stderr upgrade apply --system debian:12.2 --tenants alice
	same "exit code" 1 "$status"
	same generations "alice:1:" "$(generations alice)"
	same state up "$(state alice)"
	same places alice:returned "$(places)"
}

@test "apply: one that comes up on neither has its disk put back; what it was is kept" {
	rollout_begin
	qemu-img snapshot -c mlimg-before-upgrade-1 "$(tenant_disk alice)"
	rollout_begin alice
	printf 'early exit 3\n' >"$STEPS/12.2"
	printf 'early exit 3\n' >"$STEPS/alice.12.1"
	# Its former generation runs until it is stopped.
	run --separate-stderr upgrade apply --system debian:12.2 --tenants alice
	same "exit code" 1 "$status"
	same "what is told" "alice: back: tenant 'alice': QEMU ended with status 3
alice: restore: tenant 'alice': QEMU ended with status 3; then: tenant 'alice': QEMU ended with status 3
alice: failed: tenant 'alice': QEMU ended with status 3; then: tenant 'alice': QEMU ended with status 3; then: tenant 'alice': QEMU ended with status 3" \
		"$(grep alice <<<"$output")"
	same generations "alice:1:" "$(generations alice)"
	same "origins of checkpoints" "upgrade restore" "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT origin FROM checkpoint ORDER BY number" | xargs)"
	same snapshots 2 "$(qemu-img snapshot -l "$(tenant_disk alice)" | grep -c mlimg-before)"
	rm "$STEPS/alice.12.1"
	vm start alice --no-wait 2>/dev/null
	same "then" "$(tenant alice current)" 1
}

# until_place PLACE: alice has come there, or further; whoever carries the rollout out is process $1.
until_place() {
	local place
	while kill -0 "$1" 2>/dev/null; do
		place=$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT place FROM rollout_tenant WHERE name = 'alice' ORDER BY rollout DESC LIMIT 1")
		[ "$place" != "$2" ] || return 0
	done
}

@test "apply: killed, with or without what it has begun, and resumed, wherever it was" {
	local place n=0 target controller begun
	rollout_begin alice bob
	for place in checkpoint switch hold restart check; do
		n=$((n + 1))
		target=12.$((n % 2 + 1))
		upgrade apply --system debian:$target --wave 100% >killed.out 2>&1 &
		until_place $! $place
		controller=$(<"$S/upgrade.lock")
		begun=$(pgrep -P "$controller" || true)
		kill -KILL "$controller" 2>/dev/null || true
		# With it and without it: what it has begun goes on then.
		[ $((n % 2)) -eq 0 ] || [ -z "$begun" ] || xargs kill -KILL <<<"$begun" 2>/dev/null || true
		wait $! || true
		if [ "$(upgrade status --json | jq -r .state)" = running ]; then
			[[ $(upgrade status) == *"running, but nobody carries it out: 'mlimg-upgrade resume'"* ]]
			run --separate-stderr upgrade resume
			same "$place: exit code of resume: $output $stderr" 0 "$status"
		fi
		same "$place: places" "alice:done bob:done" "$(places)"
		same "$place: states" "up up" "$(state alice) $(state bob)"
		same "$place: generation of alice" $((n % 2 + 1)) "$(tenant alice current)"
		same "$place: starts" $((n + 1)) "$(events alice | tr ' ' '\n' | grep -c started)"
	done
}

@test "apply: two at once; asked to pause, asked to abort" {
	rollout_begin alice bob
	unhealthy >"$STEPS/alice.12.2"
	upgrade apply --system debian:12.2 --health 30 >first.out 2>&1 &
	until_place $! check
	run --separate-stderr upgrade apply --system debian:12.2
	same "stderr of the second" "mlimg-upgrade: a rollout of '$S' is being carried out (process $(<"$S/upgrade.lock"))" "$stderr"
	same "exit code and stdout of the second" "1 " "$status $output"
	run --separate-stderr upgrade resume
	same "exit code and stdout of resume" "1 " "$status $output"
	same "stderr of resume" "mlimg-upgrade: a rollout of '$S' is being carried out (process $(<"$S/upgrade.lock"))" "$stderr"
	gives 0 "rollout 1: asked to pause; 'mlimg-upgrade status' tells when it does" "" pause
	[[ $(upgrade status) == *", asked to pause"* ]]
	gives 0 "rollout 1: asked to abort; 'mlimg-upgrade status' tells when it does" "" abort
	healthy >"$STEPS/alice.12.2"
	wait $! || true
	same "state" aborted "$(upgrade status --json | jq -r .state)"
	same places "alice:returned bob:waiting" "$(places)"
	same generations "alice:1: bob:1:" "$(generations alice bob)"
}

@test "apply: rollback, of some and of all; history; forget" {
	rollout_begin alice bob
	gives 1 "" "mlimg-upgrade: there has been no rollout" status
	gives 0 "" "" history
	works_quietly apply --system debian:12.2 --wave 100%
	gives 1 "" "mlimg-upgrade: no tenant of rollout 1 is named 'carol'" rollback --tenants carol
	gives 1 "" "mlimg-upgrade: no rollout 9" rollback 9
	gives 0 "wave 1 of rollout 2: back from debian 12.2
alice: done
rollout 2: done: 1 done" "" rollback --tenants 'a*'
	same generations "alice:1: bob:2:" "$(generations alice bob)"
	gives 0 "wave 1 of rollout 3: back from debian 12.2
bob: done
rollout 3: done: 1 done" "" rollback 1
	same generations "alice:1: bob:1:" "$(generations alice bob)"
	gives 0 "nothing to do: all tenants have it" "" rollback 1
	upgrade history | sed -E 's/ [-0-9]{10} [:0-9]{8}/ TIME/' >listed
	same history "3    TIME  done     back from debian 12.2: 1 done
2    TIME  done     back from debian 12.2: 1 done
1    TIME  done     debian 12.2: 2 done" "$(<listed)"
	same "as JSON" "3:1 2:1 1:null" "$(upgrade history --json | jq -r '.[] | "\(.rollout):\(.undoes)"' | xargs)"
	gives 0 "" "" forget 3
	gives 1 "" "mlimg-upgrade: no rollout 3" forget 3
	same "checkpoints" "before-upgrade-2" "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT tag FROM checkpoint" | xargs)"
}

works_quietly() {
	run --separate-stderr upgrade "$@"
	same "exit code and stderr of: $*" "0 " "$status $stderr"
}

@test "apply: status of one that has stopped" {
	rollout_begin alice bob
	unhealthy >"$STEPS/alice.12.2"
	upgrade apply --system debian:12.2 --health 1 --wave 1 >/dev/null 2>&1 || true
	upgrade status | sed -E 's/[-0-9]{10} [:0-9]{8}/TIME/' >said
	same said "rollout   1: debian 12.2, stopped
tenants   2: 1 waiting, 1 returned
how       waves 1, 4 at once, restart now, health within 1 s, 0 may fail
begun     TIME
TIME  alice: returned: check web" "$(<said)"
	same "as JSON" '{"rollout":1,"state":"stopped","process":null,"waves":"1","at_once":4,"restart":"now","health_s":1,"max_failures":0,"ended":null,"wave":2,"lost":false}' \
		"$(upgrade status --json | jq -c '{rollout, state, process, waves, at_once, restart, health_s, max_failures, ended, wave: .tenants[1].wave, lost: .tenants[1].lost}')"
	gives 1 "" "mlimg-upgrade: rollout 1 has not ended: 'mlimg-upgrade resume' or 'mlimg-upgrade abort' ends it" apply --system debian:12.2
	gives 1 "" "mlimg-upgrade: rollout 1 has not ended: 'mlimg-upgrade abort' ends it" rollback
	gives 1 "" "mlimg-upgrade: rollout 1 has not ended" forget 1
	gives 0 "rollout 1: stopped" "" pause
	gives 0 "rollout 1: aborted: 1 waiting, 1 returned" "" abort
	gives 1 "" "mlimg-upgrade: no rollout is under way: rollout 1 is aborted" abort
	gives 1 "" "mlimg-upgrade: no rollout is under way: rollout 1 is aborted" resume
}

@test "apply: what is not there, or cannot be" {
	local id at
	rollout_begin
	gives 1 "" "mlimg-upgrade: no tenant's name is 'carol'" apply --system debian:12.2 --tenants carol
	gives 1 "" "mlimg-upgrade: the store has no system 'debian:13'" apply --system debian:13
	gives 1 "" "mlimg-upgrade: the store has no software layer 'php'" apply --system debian:12.2 --software php
	gives 1 "" "mlimg-upgrade: '$PWD/none': no store is there; 'mlimg-store add' makes one" apply --store "$PWD/none" --system debian:12.2
	vm set bob --system debian:12.2 --add-software nginx >/dev/null
	id=$(image_id "$BATS_FILE_TMPDIR/s2.img")
	chmod u+w "$S/layers/$id.img"
	# A file's data, which nobody reads before a guest does.
	cp "$S/layers/$id.img" whole.img
	at=$(debugfs -R "blocks /rootfs/boot/version" whole.img 2>/dev/null | awk '{ print $1 }')
	printf x | dd of="$S/layers/$id.img" bs=4096 seek="$at" conv=notrunc status=none
	run --separate-stderr upgrade apply --system debian:12.2
	same "exit code with damaged data" 3 "$status"
	same "stderr with damaged data" "mlimg-upgrade: nothing has been begun: $S/layers/$id.img: its tree differs from its manifest in 1 entry" "$stderr"
	same "generations with damaged data" "alice:1: bob:1:2" "$(generations alice bob)"
	cat whole.img >"$S/layers/$id.img"
	printf 'x%.0s' {1..4096} | dd of="$S/layers/$id.img" bs=4096 seek=0 conv=notrunc status=none
	run --separate-stderr upgrade apply --system debian:12.2
	same "exit code with a damaged layer" 3 "$status"
	same "stderr with a damaged layer" "mlimg-upgrade: $S/layers/$id.img: is no ext4 file system, or its superblock is destroyed" "$stderr"
	same "rollouts" 0 "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT count(*) FROM rollout")"
}

@test "apply: one that somebody has given another generation, one that is destroyed meanwhile" {
	rollout_begin alice bob
	vm set bob --add-software nginx >/dev/null
	gives 1 "wave 1 of rollout 1: debian 12.2
alice: done
rollout 1: done: 1 done, 1 skipped" "" apply --system debian:12.2
	same text "generation 2 is to be its next one already" "$(upgrade status --json | jq -r '.tenants[1].text')"
	works_quietly rollback
	gives 1 "" "mlimg-upgrade: nothing has been begun: bob: generation 2 is to be its next one already" apply --system debian:12.2 --tenants bob
	vm stop bob >/dev/null
	vm set bob --system debian:12.1 --no-software >/dev/null
	unhealthy >"$STEPS/alice.12.2"
	upgrade apply --system debian:12.2 --health 1 >/dev/null 2>&1 || true
	vm destroy bob --yes >/dev/null
	gives 1 "wave 2 of rollout 3: debian 12.2
bob: skipped: there is no such tenant any more
rollout 3: done: 1 returned, 1 skipped" "" resume
}

@test "apply: software that was not built for the new system; --partial" {
	rollout_begin alice
	mkdir -p tree/srv
	mlimg-mkfs --quiet --kind software --name web --version 1 --over "$BATS_FILE_TMPDIR/s1.img" --partial tree web.img
	mlimg-store --store "$S" add web.img >/dev/null
	vm set bob --add-software web >/dev/null
	gives 3 "" "mlimg-upgrade: nothing has been begun ('mlimg-upgrade plan' tells more, --partial leaves such tenants out): bob: software layer 'web 1' was not built for 'debian 12.2'" \
		apply --system debian:12.2
	gives 0 "wave 1 of rollout 1: debian 12.2
alice: done
rollout 1: done: 1 done" "mlimg-upgrade: warning: 1 tenant is left out: 'mlimg-upgrade plan' tells why" apply --system debian:12.2 --partial
	gives 1 "nothing is begun: 1 tenant has it, 1 cannot have it" "mlimg-upgrade: warning: 1 tenant is left out: 'mlimg-upgrade plan' tells why" \
		apply --system debian:12.2 --partial
	vm stop alice >/dev/null
	vm destroy --yes alice >/dev/null
	vm destroy --yes bob >/dev/null
	gives 0 "nothing to do: there is no tenant" "" apply --system debian:12.2
}

@test "apply: what tenants that are off were to get is taken back" {
	rollout_begin
	vm create carol --system debian:12.1 --accel tcg --size 64M >/dev/null
	works_quietly apply --system debian:12.2
	same generations "alice:1:2 bob:1:2 carol:1:2" "$(generations alice bob carol)"
	vm set bob --add-software nginx:1 >/dev/null
	exec 8>>"$S/tenants/$(tenant carol id)/lock"
	flock 8
	hastened=(faketime -f '+0 x20')
	gives 1 "nothing is begun: 1 tenant stays as it is at its next start, 1 has another generation, or is to have one, 1 is busy" \
		"mlimg-upgrade: warning: 1 tenant is busy with another command, and left out: roll back once more" rollback
	same "generations then" "alice:1: bob:1:3 carol:1:2" "$(generations alice bob carol)"
	same "events" "set rollout 1: generation 1" "$(sqlite3 -separator ' ' "$S/store.db" "SELECT kind, text FROM event e WHERE text LIKE 'rollout%' AND object_id = '$(tenant alice id)' ORDER BY e.id DESC LIMIT 1")"
	exec 8>&-
	hastened=()
	run --separate-stderr upgrade rollback --json
	same "as JSON" '1 [null,1,0,1,1,0]' "$status $(jq -c '[.rollout, .have, .refused, .other, .taken_back, .busy]' <<<"$output")"
	same "generations at the end" "alice:1: bob:1:3 carol:1:" "$(generations alice bob carol)"
}

@test "apply: a patch, and then another version of software" {
	local base=$BATS_FILE_TMPDIR/s1.img
	mkdir -p new/boot
	cp -r "$BATS_FILE_TMPDIR/tree/boot/." new/boot
	echo 3 >new/boot/version
	mlimg-mkfs --quiet --base "$base" --name debian --version 12.3 new patch.img
	mlimg-mkfs --quiet --kind software --name nginx --version 2 new w2.img
	mlimg-store --store "$S" add patch.img w2.img >/dev/null
	vm set bob --add-software nginx:1 >/dev/null
	rollout_begin alice bob
	works_quietly apply --system debian:12.3 --wave 100%
	same generations "alice:2: bob:3:" "$(generations alice bob)"
	same "layers of alice" "$(layer_text "$base") $(layer_text patch.img)" "$(tenant_layers alice 2)"
	same "layers of bob" "$(layer_text "$base") $(layer_text patch.img) $(layer_text "$BATS_FILE_TMPDIR/w.img")" "$(tenant_layers bob 3)"
	gives 0 "wave 1 of rollout 2: debian 12.3
bob: done
rollout 2: done: 1 done" "" apply --system debian:12.3 --software nginx:2
	same "layers of bob then" "$(layer_text "$base") $(layer_text patch.img) $(layer_text w2.img)" "$(tenant_layers bob 4)"
	same generations "alice:2: bob:4:" "$(generations alice bob)"
}

@test "apply: a user disk that is garbage, and one that is gone" {
	local garbage gone
	rollout_begin
	vm create carol --system debian:12.1 --accel tcg --size 64M >/dev/null
	garbage=$(tenant_disk alice)
	gone=$(tenant_disk bob)
	head -c 200000 /dev/zero >"$garbage"
	rm "$gone"
	gives 1 "wave 1 of rollout 1: debian 12.2
alice: failed: '$garbage' is no qcow2 image
wave 2 of rollout 1: debian 12.2
bob: failed: tenant 'bob': its disk is not there ('$gone')
carol: off
rollout 1: done: 1 off, 2 failed" "" apply --system debian:12.2 --max-failures 2
	same generations "alice:1: bob:1: carol:1:2" "$(generations alice bob carol)"
	same "checkpoints" 1 "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT count(*) FROM checkpoint")"
	same "what alice's disk is" "$(head -c 200000 /dev/zero | sha256sum)" "$(sha256sum <"$garbage")"
}

@test "apply: one whose disk cannot be saved is let alone, whenever it would restart" {
	local when n=0
	rollout_begin
	healthy | sed 's/guest-fsfreeze-freeze .*/guest-fsfreeze-freeze {"error": {"class": "GenericError", "desc": "no"}}/' >"$STEPS/12.1"
	rollout_begin alice
	for when in now next; do
		n=$((n + 1))
		run --separate-stderr upgrade apply --system debian:12.2 --tenants alice --restart $when
		same "exit code" 1 "$status"
		same "what is told" "alice: failed: checkpoint 'before-upgrade-$n' of 'alice': freeze its file system (with memory, or when it is off, there is no need to): 'guest-fsfreeze-freeze' fails: no" \
			"$(grep ^alice <<<"$output")"
		same generations "alice:1:" "$(generations alice)"
		same "state" up "$(state alice)"
		works_quietly abort
		same "checkpoints" "" "$(sqlite3 -cmd '.timeout 10000' "$S/store.db" "SELECT tag FROM checkpoint")"
	done
}

@test "apply: at a guest's own next restart" {
	rollout_begin alice
	upgrade apply --system debian:12.2 --tenants alice --restart next >out 2>&1 &
	until_place $! hold
	same generations "alice:1:2" "$(generations alice)"
	upgrade status --follow >followed &
	until grep -q 'alice: hold$' followed; do sleep 0.1; done
	vm stop alice >/dev/null
	# Longer than it takes to see that it is off.
	sleep 2
	vm start alice >/dev/null 2>&1
	wait
	same out "wave 1 of rollout 1: debian 12.2
alice: done
rollout 1: done: 1 done" "$(<out)"
	same followed "TIME  alice: done
rollout 1: done" "$(tail -n 2 followed | sed -E 's/[-0-9]{10} [:0-9]{8}/TIME/')"
}

# boot [ID]: which one alice's was when she was saved; that it was ID.
boot() {
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "${1:+UPDATE rollout_tenant SET boot = '$1';} SELECT boot FROM rollout_tenant WHERE name = 'alice'"
}

@test "apply: a guest that has restarted itself while nobody looked is restarted" {
	rollout_begin alice
	upgrade apply --system debian:12.2 --tenants alice --restart next >out 2>&1 &
	until_place $! hold
	kill -KILL "$(<"$S/upgrade.lock")"
	wait $! || true
	same "boot" boot-1 "$(boot)"
	# Who goes on knows of none that was: the same one, as after its memory was restored.
	upgrade resume >out 2>&1 &
	# Longer than it takes to ask her.
	sleep 2
	same places alice:hold "$(places)"
	kill -KILL "$(<"$S/upgrade.lock")"
	wait $! || true
	boot boot-0 >/dev/null
	works_quietly resume
	same "what it did" "started up off started up" "$(events alice)"
	same generations "alice:2:" "$(generations alice)"
}

@test "apply: interrupted, it ends when what it has begun has ended" {
	rollout_begin alice bob
	upgrade apply --system debian:12.2 --restart next >out 2>&1 &
	until_place $! hold
	kill -TERM "$(<"$S/upgrade.lock")"
	wait $! || true
	same "last line" "rollout 1: paused: 1 waiting, 1 hold; 'mlimg-upgrade resume' goes on" "$(tail -n 1 out)"
	gives 0 "rollout 1: aborted: 2 waiting" "" abort
	same generations "alice:1: bob:1:" "$(generations alice bob)"
}

# layers: versions of systems that the store has.
layers() {
	mlimg-store --store "$S" list --json | jq -r '.[] | select(.kind == "system").version' | sort | xargs
}

@test "apply: gc removes a system when nobody runs or may return to it" {
	rollout_begin alice bob
	works_quietly apply --system debian:12.2 --wave 100%
	mlimg-store --store "$S" gc --former 0 >/dev/null
	same "while it can be rolled back" "12.1 12.2" "$(layers)"
	works_quietly forget 1
	same "by default one former generation stays" "nothing to remove" "$(mlimg-store --store "$S" gc)"
	same "what would go" "would remove 2 generations" "$(mlimg-store --store "$S" gc --former 0 --dry-run | head -n 1)"
	same "then" "12.1 12.2" "$(layers)"
	mlimg-store --store "$S" gc --former 0 | sed 's/ (.*//' >gone
	same gone "removed 2 generations
removed system debian 12.1" "$(<gone)"
	same "what stays" 12.2 "$(layers)"
	fails 1 "mlimg-upgrade: there has been no rollout" mlimg-upgrade rollback --store "$S"
}
