#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # power.bash
# Power cuts of a guest while it brings a user layer into agreement with another system. What the guest writes is logged once; disks as cuts would have
# left them (powercut.c) are made of the log, and what the next boot does is done to them on the host. In some boots QEMU is killed, and a guest boots next.
# lasts 90

load ../lib/common

setup() {
	need root
	load ../lib/small
	load ../lib/power
	load ../lib/kills
	images=$BATS_TEST_TMPDIR user=$BATS_TEST_TMPDIR/user.img
	cd "$images" || return
}

teardown() {
	vm_kill
	cd / || return
	[ -n "${BATS_TEST_COMPLETED:-}" ] || keep
	layers_down "$images" || :
}

keep() {
	local file dir=$MLIMG_BUILD/test-results/reconcile-cut
	mkdir -p "$dir"
	for file in "$images"/{log,base.img,cut.img,look.img,user.img,system2.img}; do
		[ ! -e "$file" ] || cp --sparse=always "$file" "$dir/" || :
	done
}

# changed: what the change has made of the user's things. Elsewhere the guest writes as well.
changed() {
	treelist run/user/upper | grep -E '^\./(etc/(data|conf\.d|passwd)|usr/data|var/(data|owned))'
	treelist run/user/mlimg/aside | sed 's/ time=[0-9.]*//'
	jq -r .generation run/user/mlimg/state.json
}

# cut_disk CUT CUTS SEED: cut.img is a disk as that power cut would have left it. Sets said, and stage to how far the change is there: 0 before or
# after, 1 while things are made ready or cleaned up, 2 decided and not ended.
cut_disk() {
	power_cut_of "$@" || return
	stage=$(grep -cxE 'reconcile\.(plan|new)' <<<"$names" || :)
}

# ends WANTED: the next boot ends what was cut.
ends() {
	echo "$said; stage $stage"
	layers_up cut.img system2.img "$tenant"
	same "what is there after the cut" "$1" "$(changed)"
	layers_down "$images"
	e2fsck -fn cut.img >fsck.log 2>&1
}

# cut_all WANTED CUTS SEED: two cuts at least, in the change and while it is made ready or cleaned up after.
cut_all() {
	local cut at flushes said names stage
	cp --sparse=always base.img cut.img
	powercut log cut.img 0 0 0
	cmp cut.img "$user"
	flushes=$(power_flushes log cut.img)
	for at in 2 1; do
		power_cut_in $at "$flushes" "$3"
		ends "$1"
	done
	for ((cut = 2; cut < $2; cut++)); do
		cut_disk "$cut" "$2" "$3"
		ends "$1"
	done
}

# begin SEED: two versions of a system, a user between them, and wanted, what the change to the second makes of his things.
begin() {
	small-root "$(debian-tree v1)" tree
	kills_v1 "$1" tree
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	kills_v2 "$1" tree
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
	mlimg-mkfs --quiet --kind user --name "${POWER_USER%:*}" --instance "${POWER_USER#*:}" --size 64M "$user"
	tenant=$(mlimg-inspect --json "$user" | jq -r .build_id)
	layers_up "$user" system.img "$tenant"
	kills_mount run/layers/0/rootfs run/user merged
	kills_user "$1" merged
	layers_down "$images"
	truncate -s +512 "$user" # where powercut has its mark
	cp --sparse=always "$user" base.img
	cp --sparse=always base.img cut.img
	layers_up cut.img system2.img "$tenant"
	wanted=$(changed)
	layers_down "$images"
	# shellcheck disable=SC2034 # power.bash
	system=$images/system2.img
}

@test "power cut: of a boot that reconciles; the next one ends it as if there had been none" {
	local seed=${MLIMG_SEED:-$RANDOM} cuts=${KILLS:-40} wanted tenant
	echo "MLIMG_SEED=$seed KILLS=$cuts"
	begin "$seed"
	for vm_union in overlay index; do
		echo "through $vm_union"
		cp --sparse=always base.img "$user"
		power_log '' log
		cut_all "$wanted" $((cuts / 2)) "$seed"
	done
}

# lasts_ms: how long guest "t" has reconciled.
lasts_ms() {
	sed -nE 's/^t: +([0-9]+)\.([0-9]) s  (reconcile|union).*/\1\2 \3/p' "$vms/t.out" |
		awk '!($2 in at) { at[$2] = $1 } END { print (at["union"] - at["reconcile"]) * 100 }'
}

# ended WANTED: guest "t" comes up, and what is in the user layer then is as it must be. What is looked at is a copy: a loop device that still has the
# disk from an earlier look would show what it keeps of that.
ended() {
	vm_up t
	vm_stop t
	vm_clean "$user"
	mkdir -p run/user
	rm -f look.img
	cp --sparse=always "$user" look.img
	mount -o loop,ro look.img run/user
	same "what is there" "$1" "$(changed)"
	layers_down "$images"
}

# decided: waits until guest "t" has decided the change: what reconcile.plan says is on the disk, a little before the file has its name; or until it has
# come further.
decided() {
	until grep -aqF 'mlimg change 1 2 1' "$user" || grep -Eq '^t: +[.0-9]+ s  union' "$vms/t.out"; do
		if ! kill -0 "${vm_pids[t]}" 2>/dev/null; then
			echo "the guest ends before a change is decided" >&2
			vm_tell t
			return 1
		fi
		sleep 0.01
	done
}

# kill_one KILL KILLS MS: QEMU is killed: in the first half of the kills as soon as the change is decided; in the others at moments that
# lie evenly in what a boot lasted that was not killed. Sets names to what is in the user layer's /mlimg then.
kill_one() {
	local half=$((($2 + 1) / 2))
	cp --sparse=always base.img "$user"
	power_start ''
	power_staged reconcile
	if [ "$1" -lt $half ]; then
		decided
	else
		sleep "$(jq -n "$((($3 * ($1 - half) * 2 + RANDOM % ($3 + 1)) / $2)) / 1000")"
	fi
	power_cut
	cp --sparse=always "$user" cut.img
	e2fsck -p cut.img >fsck.log 2>&1 || [ $? -eq 1 ]
	names=$(debugfs -R 'ls -p /mlimg' cut.img 2>/dev/null | cut -d / -f 6 | xargs)
	echo "kill $1 of $2, $vm_union: stages $(power_stages); in /mlimg: $names"
}

@test "power cut: QEMU killed while the guest reconciles; the guest that boots next has ended it" {
	local seed=${MLIMG_SEED:-$RANDOM} kills=${KILLS:-40} kill drivers=(overlay index) wanted tenant ms names within=0
	kills=$(((kills + 9) / 10))
	echo "MLIMG_SEED=$seed: $kills kills"
	begin "$seed"
	power_start ''
	ended "$wanted"
	ms=$(lasts_ms)
	RANDOM=$((seed % 32768))
	# How many fall into the change depends on the machine; cuts that do are made out of logs, above.
	for ((kill = 0; kill < kills; kill++)); do
		vm_union=${drivers[kill % 2]}
		kill_one "$kill" "$kills" "$ms"
		[[ " $names " != *" reconcile.plan "* ]] || within=$((within + 1))
		power_start ''
		ended "$wanted"
	done
	echo "$within of $kill kills when the change was decided and not ended"
}
