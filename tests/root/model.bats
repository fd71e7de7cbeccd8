#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A change of the stack beneath uppers that the kernel's overlayfs has written: laws over random cases (lib/reconcile-disk.c, lib/reconcile-since.c, lib/reconcile-forms.c), and kills.

load ../lib/common

setup() {
	need root
	load ../lib/kills
	# mlimg-agent waits for the disk often: in memory there is none.
	dir=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d -p "$BATS_TEST_TMPDIR")
	export TMPDIR=$dir
	cd "$dir" || return
}

teardown() {
	cd / || return
	! mountpoint -q "$dir/merged" || umount "$dir/merged"
	rm -rf "$dir"
}

law() {
	c_case "$MLIMG_BUILD/tests/lib/$1" "$2"
}

@test "the user sees what the model says, nothing of his is lost, and twice is once" {
	law reconcile-disk the_user_sees_what_the_model_says_and_loses_nothing
}

@test "a stack that comes back shows nothing twice" {
	law reconcile-disk a_stack_that_comes_back_shows_nothing_twice
}

@test "killed at any call that writes and begun again it ends the same" {
	law reconcile-disk killed_anywhere_and_begun_again_it_ends_the_same
}

@test "taken back it is what it was, killed at any call too" {
	law reconcile-disk taken_back_it_is_what_it_was_killed_anywhere_too
}

@test "taken back it keeps what was written since" {
	law reconcile-since taken_back_it_keeps_what_was_written_since
}

@test "forth and back, things stay their owners" {
	law reconcile-since forth_and_back_things_stay_their_owners
}

@test "an image of the upper has the same plan" {
	law reconcile-forms an_image_of_the_upper_has_the_same_plan
}

@test "an index has the same plan" {
	law reconcile-forms an_index_has_the_same_plan
}

@test "no plan depends on the union driver" {
	law reconcile-forms no_plan_depends_on_the_union_driver
}

@test "with unionfs-fuse's markers killed at any call, there and back" {
	law reconcile-forms with_markers_too_it_ends_the_same_and_goes_back
}

# on VERSION COMMAND…: prepares, through COMMAND where there is one.
on() {
	local version=$1
	shift
	ln -sfn "$version" run/layers
	"$@" mlimg-agent prepare --root run --union overlay --system "$(cat "$version.id")" --user "$tenant" >/dev/null
}

# again: the user layer as it is in ./start.
again() {
	rm -rf run/user/upper run/user/work run/user/mlimg
	cp -a start/. run/user/
}

# killed VERSION KILLS: boots that version from ./start, each time killed at another call, and ended by the next boot.
killed() {
	local version=$1 kills=$2 kill calls at wanted status
	again
	calls=$(on "$version" stop-at - 3>&1)
	wanted=$(kills_state run/user)
	echo "$version: $calls calls that write"
	for ((kill = 0; kill < kills; kill++)); do
		again
		at=$(((RANDOM << 15 | RANDOM) % calls)) status=0
		on "$version" stop-at "$at" 3>/dev/null || status=$?
		same "exit code of what is killed at call $at" 137 "$status"
		on "$version"
		kills_same "user layer, killed at call $at" "$wanted" "$(kills_state run/user)"
	done
}

@test "mlimg-agent killed at 200 random calls of a change and of its way back: the next boot ends it" {
	local seed=${MLIMG_SEED:-$RANDOM} kills=${KILLS:-200} version
	echo "MLIMG_SEED=$seed KILLS=$kills"
	RANDOM=$((seed % 32768))
	mkdir -p run/{v1,v2}/0/rootfs run/user merged empty
	kills_v1 "$seed" run/v1/0/rootfs
	cp -a run/v1/0/rootfs run/v2/0/
	kills_v2 "$seed" run/v2/0/rootfs
	for version in v1 v2; do
		layerdir system debian "$version" "run/$version/0/rootfs" "run/$version/0" >"$version.id"
	done
	mkdir run/user/{upper,work}
	tenant=$(layerdir user alice 1 empty run/user)
	on v1
	mlimg-agent commit --root run
	kills_mount run/v1/0/rootfs run/user merged
	kills_user "$seed" merged
	umount merged
	cp -a run/user start
	killed v2 $(((kills + 1) / 2))
	rm -rf start
	cp -a run/user start
	killed v1 $((kills / 2))
}
