#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Power cuts of a boot that does what is queued. What it writes to the user layer is logged once; disks as cuts would have left them (powercut.c) are made of
# the log, and the next boot is done to each.

load ../lib/common

setup() {
	need root
	need command qemu-storage-daemon
	load ../lib/power
	load ../lib/kills
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p tree/{etc,usr/bin,usr/share/{app/deep,doc/deep,old/deep},srv}
	local file
	for file in etc/conf usr/bin/tool usr/share/{app,doc,old}/{file,deep/file}; do echo "$file of system" >"tree/$file"; done
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	mlimg-mkfs --quiet --kind user --name tenant --size 16M user.img
	tenant=$(mlimg-inspect --json user.img | jq -r .build_id)
}

teardown() {
	layers_down "$BATS_TEST_TMPDIR" || :
	power_log_end || :
	[ -n "${BATS_TEST_COMPLETED:-}" ] || keep
}

keep() {
	mkdir -p "$MLIMG_BUILD/test-results/queue-cut"
	cp --sparse=always log base.img system.img "$MLIMG_BUILD/test-results/queue-cut/" || :
}

# change: what the user does, and what he queues.
change() {
	(
		cd merged
		echo mine >etc/conf
		mkdir -p srv/dir/sub
		echo mine | tee srv/dir/file srv/dir/sub/file >srv/stays
		rm -r usr/bin/tool usr/share/app usr/share/doc
		mkdir usr/share/doc
		echo mine >usr/share/doc/own
		mv usr/share/old usr/share/new
		echo mine >usr/share/new/deep/file
	)
	mlimg --root run --merged merged reset -r /etc/conf /srv/dir /usr/share/new >/dev/null
	mlimg --root run --merged merged undelete /usr/bin/tool /usr/share/app >/dev/null
	mlimg --root run --merged merged undelete --all /usr/share/doc >/dev/null
}

# found: all of the user layer, but for times outside the upper.
found() {
	treelist run/user/upper
	treelist run/user/mlimg/aside | sed 's/ time=[0-9.]*//'
	find run/user/mlimg -printf '%P\n' | grep -v ^spare | sort
}

# cut_disk CUT CUTS SEED: cut.img, and stage: 1 while things are made ready or cleaned up, 2 while the steps are carried out, else 0.
cut_disk() {
	power_cut_of "$@" || return
	case $'\n'$names$'\n' in
		*$'\nqueue.run\n'*) stage=2 ;;
		*$'\nqueue.new\n'* | *$'\nqueue.old\n'*) stage=1 ;;
		*) stage=0 ;;
	esac
}

# ends WANTED: the next boot ends what was cut.
ends() {
	echo "$said; stage $stage"
	layers_up cut.img system.img "$tenant"
	same "what is there after the cut" "$1" "$(found)"
	layers_down "$BATS_TEST_TMPDIR"
	e2fsck -fn cut.img >fsck.log 2>&1
}

@test "power cut: of a boot that does what is queued; the next one ends it as if there had been none" {
	local seed=${MLIMG_SEED:-$RANDOM} cuts=${KILLS:-6} cut at wanted flushes said names stage
	echo "MLIMG_SEED=$seed KILLS=$cuts"
	layers_up user.img system.img "$tenant"
	kills_mount run/layers/0/rootfs run/user merged
	change
	layers_down "$BATS_TEST_TMPDIR"
	truncate -s +512 user.img # where powercut has its mark
	cp --sparse=always user.img base.img
	cp --sparse=always base.img cut.img
	layers_up cut.img system.img "$tenant"
	wanted=$(found)
	same "what is left of the user's" "srv srv/stays usr/share/doc/own" "$(cd run/user/upper && find srv ! -path srv/dir -o -type f | sort | xargs) $(cd run/user/upper && find usr -type f)"
	same "what is aside" "etc/conf srv/dir/file srv/dir/sub/file usr/share/new/deep/file" "$(cd run/user/mlimg/aside/queue-1 && find . -type f -printf '%P\n' | sort | xargs)"
	layers_down "$BATS_TEST_TMPDIR"

	power_log_begin user.img log logged
	layers_up logged system.img "$tenant"
	same "what is there" "$wanted" "$(found)"
	layers_down "$BATS_TEST_TMPDIR"
	power_log_end
	cp --sparse=always base.img cut.img
	powercut log cut.img 0 0 0
	cmp cut.img user.img
	flushes=$(power_flushes log cut.img)
	for at in 2 1; do
		power_cut_in $at "$flushes" "$seed"
		ends "$wanted"
	done
	for ((cut = 2; cut < cuts; cut++)); do
		cut_disk "$cut" "$cuts" "$seed"
		ends "$wanted"
	done
}
