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

# slow_start: guest "t", whose user disk takes WRITES writes a second and no more, so that a change lasts seconds on any machine.
WRITES=32
slow_start() {
	cp --sparse=always base.img "$user"
	power_start '' -- -object "{\"qom-type\": \"throttle-group\", \"id\": \"slow\", \"limits\": {\"iops-write\": $WRITES}}" \
		-blockdev driver=throttle,node-name=slow,throttle-group=slow,file=user -set device.user.drive=slow
	power_staged reconcile
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

# kill_one KILL MS: QEMU is killed: of each two kills once when the change is decided, with time for 4 to 40 of the 70 writes until it is ended; once at any
# moment of MS, what a reconcile lasted that was not killed. Leaves cut.img, what was on the disk then, and sets said and stage as cut_disk does.
kill_one() {
	local ms names
	slow_start
	if [ $(($1 % 2)) -eq 0 ]; then
		decided
		ms=$(((4 + RANDOM % 36) * 1000 / WRITES))
	else
		ms=$((RANDOM % $2))
	fi
	sleep "$(jq -n "$ms / 1000")"
	power_cut
	cp --sparse=always "$user" cut.img
	e2fsck -p cut.img >fsck.log 2>&1 || [ $? -eq 1 ]
	names=$(debugfs -R 'ls -p /mlimg' cut.img 2>/dev/null | cut -d / -f 6 | xargs)
	said="kill $1: $ms ms, stages $(power_stages); in /mlimg: $names"
	stage=$(grep -cxE 'reconcile\.(plan|new)' <<<"${names// /$'\n'}" || :)
}

@test "power cut: QEMU killed while the guest reconciles; what boots next has ended it" {
	local seed=${MLIMG_SEED:-$RANDOM} kills=${KILLS:-40} kill drivers=(overlay overlay index index) wanted tenant began ms said stage within=0
	kills=$(((kills + 9) / 10))
	echo "MLIMG_SEED=$seed: $kills kills"
	begin "$seed"
	slow_start
	began=${EPOCHREALTIME/./}
	power_staged union
	ms=$(((${EPOCHREALTIME/./} - began) / 1000))
	ended "$wanted"
	echo "it lasts $ms ms"
	RANDOM=$((seed % 32768))
	# One in the change at least, however the machine is at work.
	for ((kill = 0; kill < kills || (within == 0 && kill < kills + 20); kill++)); do
		vm_union=${drivers[kill % 4]}
		kill_one "$kill" "$ms"
		[ "$stage" -ne 2 ] || within=$((within + 1))
		# In a guest the first ones, and of many each tenth; the others on the host.
		if [ "$kill" -lt 4 ] || [ $((kill % 10)) -eq 0 ]; then
			echo "$said; stage $stage"
			power_start ''
			ended "$wanted"
		else
			ends "$wanted"
		fi
	done
	echo "$within of $kill kills when the change was decided and not ended"
	[ "$within" -gt 0 ]
}
