#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # power.bash
# Power cuts of a guest while it brings a user layer into agreement with another system. What the guest writes is logged once; disks as cuts would have
# left them (powercut.c) are made of the log, and what the next boot does is done to them on the host.

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
	down || :
}

keep() {
	mkdir -p "$MLIMG_BUILD/test-results/reconcile-cut"
	cp --sparse=always "$images"/{log,base.img,system2.img} "$MLIMG_BUILD/test-results/reconcile-cut/" || :
}

# up IMAGE SYSTEM: what a boot of that system does to the user layer before the union is mounted.
up() {
	mkdir -p run/user run/layers/0 merged
	mount -o loop "$1" run/user && mount -o loop,ro,noload "$2" run/layers/0 &&
		mlimg-agent prepare --root run --union overlay --system "$(mlimg-inspect --json "$2" | jq -r .build_id)" --user "$tenant" >/dev/null &&
		mlimg-agent commit --root run
}

down() {
	local dir
	for dir in merged run/layers/0 run/user; do
		! mountpoint -q "$images/$dir" || umount "$images/$dir" || return
	done
}

# changed: what the change has made of the user's things. Elsewhere the guest writes as well.
changed() {
	treelist run/user/upper | grep -E '^\./(etc/(data|conf\.d|passwd)|usr/data|var/(data|owned))'
	treelist run/user/mlimg/aside | sed 's/ time=[0-9.]*//'
	jq -r .generation run/user/mlimg/state.json
}

# is_missed STAGES: 1 when no cut was in one of them.
is_missed() {
	if [[ $1 == *1* && $1 == *2* ]]; then echo 0; else echo 1; fi
}

@test "power cut: of a boot that reconciles; the next one ends it as if there had been none" {
	local seed=${MLIMG_SEED:-$RANDOM} cuts=${KILLS:-40} cut wanted before said stages=
	echo "MLIMG_SEED=$seed KILLS=$cuts"
	small-root "$(debian-tree v1)" tree
	kills_v1 "$seed" tree
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	kills_v2 "$seed" tree
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
	mlimg-mkfs --quiet --kind user --name "${POWER_USER%:*}" --instance "${POWER_USER#*:}" --size 64M "$user"
	tenant=$(mlimg-inspect --json "$user" | jq -r .build_id)
	up "$user" system.img
	kills_mount run/layers/0/rootfs run/user merged
	kills_user "$seed" merged
	down
	truncate -s +512 "$user" # where powercut has its mark
	cp --sparse=always "$user" base.img
	cp --sparse=always base.img cut.img
	up cut.img system2.img
	wanted=$(changed)
	down

	system=$images/system2.img vm_union=overlay power_log '' log
	cp --sparse=always base.img cut.img
	powercut log cut.img 0 0 0
	cmp cut.img "$user"
	# A few may all miss a stage: then more, until none is missed.
	for ((cut = 0; cut < cuts || (cut < 8 * cuts && cuts >= 24 && $(is_missed "$stages")); cut++)); do
		cp --sparse=always base.img cut.img
		said=$(powercut log cut.img $((cut % cuts)) "$cuts" $((seed + cut / cuts)))
		e2fsck -p cut.img >fsck.log 2>&1 || [ $? -eq 1 ]
		before=$(debugfs -R 'ls -p /mlimg' cut.img 2>/dev/null | grep -cE '/(reconcile\.plan|reconcile\.new)/' || :)
		stages+=$before
		echo "cut $cut of $cuts: $said; $before"
		up cut.img system2.img
		same "what is there after cut $cut" "$wanted" "$(changed)"
		down
		e2fsck -fn cut.img >fsck.log 2>&1
	done
	# 0: before or after; 1: while things were made ready, or cleaned up; 2: decided, and not ended. Some cut is in each.
	echo "stages: $stages"
	[ "$cuts" -lt 24 ] || [ "$(is_missed "$stages")" = 0 ]
}
