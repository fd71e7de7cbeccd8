#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A rollback, or a conversion for another union driver, of a user layer in which something else was cut off.
# shellcheck disable=SC2030,SC2031 # OPTIONS of one test
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	stacks_setup
	# For v2 the change makes a directory and, since the user has another file in there, hides what v2 has besides.
	mkdir -p "$DIR/v1/usr/share/d" "$DIR/v2/usr/share"
	echo 1 >"$DIR/v1/usr/share/d/file"
	layers
	mkdir -p "$UPPER/usr/share/d"
	mknod "$UPPER/etc/conf" c 0 0
	on v1
	on v2
	cp -a "$USER_DIR" "$DIR/start"
}

# again: the user layer on v2, and nothing under way
# calls COMMAND…: how many of its calls change a file system
calls() {
	stop-at - "$@" 3>&1 >/dev/null
}

# cut CALL COMMAND…: killed at that one
cut_at() {
	local status=0
	stop-at "$1" "${@:2}" 3>/dev/null >/dev/null 2>&1 || status=$?
	same "exit code, killed at call $1" 137 "$status"
}

# everything: all of the user layer, but for times
everything() {
	treelist "$USER_DIR" | sed 's/ time=[-0-9.]*//'
}

@test "a rollback waits for a conversion that was cut off" {
	local convert=(mlimg-agent convert --to unionfs "$USER_DIR") wanted before n at times=0
	n=$(calls "${convert[@]}")
	wanted=$(everything)
	same "driver" unionfs "$(state .union)"
	for ((at = 1; at < n; at += 2)); do
		again
		cut_at "$at" "${convert[@]}"
		[ -e "$USER_DIR/mlimg/convert.plan" ] || continue
		times=$((times + 1))
		before=$(everything)
		fails 3 "mlimg-agent: $USER_DIR: a conversion for another union driver was interrupted: end it first, with 'mlimg-agent convert' or by a boot with mlimg.convert" \
			mlimg-agent rollback "$USER_DIR"
		same "user layer, killed at call $at" "$before" "$(everything)"
		works "${convert[@]}"
		same "what is converted, killed at call $at" "$wanted" "$(everything | grep -v 'mlimg/\.mlimg-')"
	done
	echo "$times times under way"
	[ "$times" -gt 5 ]
}

@test "a rollback waits for a factory reset that was cut off, and a conversion ends it first" {
	local reset=("${PREPARE[@]}" --root "$RUN" "${OPTIONS[@]}" --system "$V2" --user "$TENANT" --reset w) before n at times=0
	n=$(calls "${reset[@]}")
	for ((at = 1; at < n; at += 2)); do
		again
		cut_at "$at" "${reset[@]}"
		[ -e "$USER_DIR/mlimg/reset-begun" ] || continue
		times=$((times + 1))
		before=$(everything)
		fails 3 "mlimg-agent: $USER_DIR: a factory reset was interrupted, which the next boot ends: then there is no change to take back" \
			mlimg-agent rollback "$USER_DIR"
		same "user layer, killed at call $at" "$before" "$(everything)"
		works mlimg-agent convert --to unionfs "$USER_DIR"
		same "told, killed at call $at" "$USER_DIR: a factory reset, which an earlier boot had begun, was ended: what it set aside is in user/mlimg/aside/reset-w
$USER_DIR: the user layer is in the form of 'unionfs'; marks converted: 0" "$output"
		same "what wrote the upper that is aside, killed at call $at" overlay "$(jq -r .union "$USER_DIR/mlimg/aside/reset-w/state.json")"
		[ -c "$USER_DIR/mlimg/aside/reset-w/upper/etc/conf" ]
		same "in upper" "" "$(ls -A "$UPPER")"
		same "driver" unionfs "$(state .union)"
		fails 1 "mlimg-agent: $USER_DIR: there is no change to take back: the last one was taken back already, or was none of a stack, or the union driver is another one since" \
			mlimg-agent rollback "$USER_DIR"
	done
	echo "$times times under way"
	[ "$times" -gt 5 ]
}

@test "what a conversion that was cut off has made is not taken away by a reset from before" {
	local at=0
	# A mark of a reset that an agent before this one could leave beside a plan.
	until [ -e "$USER_DIR/mlimg/convert.plan" ]; do
		again
		at=$((at + 1))
		cut_at "$at" mlimg-agent convert --to unionfs "$USER_DIR"
	done
	printf 'w\nreset-w\n' >"$USER_DIR/mlimg/reset-begun"
	works mlimg-agent convert --to unionfs "$USER_DIR"
	same "driver" unionfs "$(state .union)"
	[ -e "$UPPER/.unionfs-fuse/etc/conf_HIDDEN~" ]
	[ -e "$USER_DIR/mlimg/reset-begun" ]
	OPTIONS=(--union unionfs)
	on v2
	same "what wrote the upper that is aside" unionfs "$(jq -r .union "$USER_DIR/mlimg/aside/reset-w/state.json")"
	[ -e "$USER_DIR/mlimg/aside/reset-w/upper/.unionfs-fuse/etc/conf_HIDDEN~" ]
}

@test "a rollback sets aside what root in the guest has put in the place of the agent's own files" {
	mkdir -p "$USER_DIR/mlimg/"{rebuild,base.manifest.3,base.texts.3}/mine
	works mlimg-agent rollback "$USER_DIR"
	same "told" "user/mlimg/rebuild was no file: set aside as user/mlimg/rebuild.misplaced
user/mlimg/base.manifest.3 was no file: set aside as user/mlimg/base.manifest.3.misplaced
user/mlimg/base.texts.3 was no file: set aside as user/mlimg/base.texts.3.misplaced" "$(grep misplaced <<<"$output")"
	same "state" 3 "$(state .generation)"
	[ -f "$USER_DIR/mlimg/base.manifest.3" ]
	on v1
	same "boot.json" '["none",3,null,[]]' "$(boot '[.change, .generation, .reconcile, .notes]')"
}

# plan_again: what mlimg-boot(7) says of a plan that is damaged
plan_again() {
	local own=$USER_DIR/mlimg from=$USER_DIR/mlimg/reconcile.new/state.json n what=rollback
	[ -e "$from" ] || from=$own/state.json
	n=$(jq .generation "$from")
	[ ! -e "$own/undo/$n" ] || what=change
	echo "mlimg $what 1 $n $((n - 1))" >"$own/reconcile.plan"
}

# plan_damaged ID VERSION: prepare on that system from $DIR/start, cut off anywhere, the plan then damaged.
plan_damaged() {
	local call=("${PREPARE[@]}" --root "$RUN" "${OPTIONS[@]}" --system "$1" --user "$TENANT") wanted line at n times=0 kept
	again
	on "$2"
	wanted=$(everything | grep -v 'mlimg/\.mlimg-')
	again
	n=$(calls "${call[@]}")
	for ((at = n / 2; at < n; at += 4)); do
		again
		cut_at "$at" "${call[@]}"
		[ -e "$USER_DIR/mlimg/reconcile.plan" ] || continue
		times=$((times + 1))
		line=$(cat "$USER_DIR/mlimg/reconcile.plan")
		echo "what is this" >"$USER_DIR/mlimg/reconcile.plan"
		kept=$(everything)
		fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/reconcile.plan is damaged, so that it is not known what was begun: copy the user layer's image, and write this line again or remove it as mlimg-boot(7) says" \
			"${call[@]}"
		same "user layer, killed at call $at" "$kept" "$(everything)"
		plan_again
		same "the plan, killed at call $at" "$line" "$(cat "$USER_DIR/mlimg/reconcile.plan")"
		on "$2"
		same "what became of it, killed at call $at" "$wanted" "$(everything | grep -v 'mlimg/\.mlimg-')"
	done
	echo "$times times under way"
	[ "$times" -gt 2 ]
}

@test "a plan that is damaged can be written again out of what lies beside it" {
	plan_damaged "$V1" v1
	user_anew etc
	echo mine >"$UPPER/etc/both"
	on v1
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
	plan_damaged "$V2" v2
}

@test "a change whose log is damaged can be given up" {
	local call=("${PREPARE[@]}" --root "$RUN" "${OPTIONS[@]}" --system "$V2" --user "$TENANT") at=0 own=$USER_DIR/mlimg
	user_anew etc
	sed 's/^e$/mine/' "$DIR/v1/etc/both" >"$UPPER/etc/both"
	on v1
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
	on v2
	# Until the user's file is away, and what is made of it not yet there.
	until [ -e "$own/reconcile.plan" ] && [ ! -e "$UPPER/etc/both" ]; do
		again
		at=$((at + 1))
		cut_at "$at" "${call[@]}"
	done
	echo x >"$own/undo/2/log"
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/undo/2: undo log: not of a known format" "${call[@]}"
	same "what was taken away" mine "$(tail -n 1 "$own"/undo/2/taken/*)"
	rm "$own/reconcile.plan"
	on v2
	same "boot.json" '["changed","reconciled",["the change to generation 2 was given up: what it had taken away is in user/mlimg/aside/given-up-2"]]' "$(boot '[.change, .reconcile.done, .notes]')"
	same "state" 2 "$(state .generation)"
	[ ! -e "$UPPER/etc/both" ]
}

# page_does MESSAGE: the commands under this one in mlimg-boot(7), on $IMAGE
page_does() {
	local list
	list=$(sed -n "/^\.It .*$1/,/^\.Ed/p" "$MLIMG_TOP/initramfs/mlimg-boot.7" | sed -n '/^\.Bd/,/^\.Ed/{/^\./!p}' |
		sed -e "s|IMAGE|$IMAGE|; s|COPY|$IMAGE.copy|; s|DIRECTORY|$DIR/dump|; s|FILE|$2|; s|1 R Q|1 2 1|")
	[ -n "$list" ]
	(cd "$DIR" && mkdir -p dump && works sh -ec "exec 2>&1; $list")
}

@test "what mlimg-boot(7) says of damaged files can be done in an image" {
	local own=$USER_DIR/mlimg IMAGE=$DIR/alice.img
	mkdir -p "$own/reconcile.new"
	cp "$own/state.json" "$own/reconcile.new/state.json"
	echo damaged >"$own/reconcile.plan"
	mke2fs -q -t ext4 -d "$USER_DIR" "$IMAGE" 32M
	page_does 'reconcile.plan is damaged'
	same "the plan" "mlimg change 1 2 1" "$(debugfs -R 'cat mlimg/reconcile.plan' "$IMAGE" 2>/dev/null)"
	works sh -c "e2fsck -fn $IMAGE 2>&1"
	page_does 'undo log: not of a known format'
	same "the plan" "" "$(debugfs -R 'cat mlimg/reconcile.plan' "$IMAGE" 2>/dev/null)"
	works cmp "$own/undo/2/log" "$DIR/dump/undo/2/log"
	page_does 'user\/FILE is damaged' state.json
	same "the state" "" "$(debugfs -R 'cat mlimg/state.json' "$IMAGE" 2>/dev/null)"
	works sh -c "e2fsck -fn $IMAGE 2>&1"
}
