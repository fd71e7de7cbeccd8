#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent prepare and commit: modes, factory reset, and what was done to the user layer; over directories in place of mounted layers.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	USER_DIR=$RUN/user
	mkdir -p "$RUN/layers" "$USER_DIR/upper/etc" "$USER_DIR/work" "$DIR"/{v1,v2,empty}/etc
	echo one >"$DIR/v1/etc/version"
	echo two >"$DIR/v2/etc/version"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	# shellcheck disable=SC2034 # stack of stacks.bash reads it
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
}

# on VERSION ARGUMENT…: prepare on that system.
on() {
	local id
	stack "$1"
	shift
	run --separate-stderr mlimg-agent prepare --root "$RUN" --union overlay --system "$id" --user "$TENANT" "$@"
}

# went_on VERSION ARGUMENT…: as on, and it must work.
went_on() {
	on "$@"
	# shellcheck disable=SC2154
	same "stderr" "" "$stderr" && same "exit code" 0 "$status"
}

# All of the user layer: names, modes, contents.
user_layer() {
	tar -C "$USER_DIR" --mtime=@0 -cf - --sort=name . | sha256sum
}

@test "modes: nothing is written into the user layer, and what a new stack means is counted" {
	local before mode
	went_on v1
	works mlimg-agent commit --root "$RUN"
	echo mine >"$USER_DIR/upper/etc/version"
	before=$(user_layer)
	for mode in volatile readonly; do
		went_on v2 --mode $mode --note $'a \377 note'
		same "mode, change, report" "$mode changed 2 null 1" "$(boot '"\(.mode) \(.change) \(.generation) \(.report.path) \(.report.counts.conflict)"')"
		same "notes" '["a ? note"]' "$(boot .notes)"
		[ ! -e "$RUN/state.json" ]
		works mlimg-agent commit --root "$RUN" --mode $mode
		same "user layer" "$before" "$(user_layer)"
		went_on v1 --mode $mode
		same "mode, change, report" "$mode none 1 null" "$(boot '"\(.mode) \(.change) \(.generation) \(.report)"')"
	done
	rm "$USER_DIR/mlimg/state.json"
	before=$(user_layer)
	went_on v1 --mode volatile
	same "change" "first 1" "$(boot '"\(.change) \(.generation)"')"
	works mlimg-agent commit --root "$RUN" --mode volatile
	same "user layer" "$before" "$(user_layer)"
}

@test "modes: a rescue does not look at the state, and may be without a user layer" {
	local before
	echo nonsense >"$USER_DIR/mlimg/state.json"
	before=$(user_layer)
	on v1 --mode volatile
	same "exit code with a damaged state" 3 "$status"
	went_on v1 --mode rescue
	same "boot.json" "rescue unknown 0 alice null []" "$(boot '"\(.mode) \(.change) \(.generation) \(.user.name) \(.previous) \(.notes)"')"
	works mlimg-agent commit --root "$RUN" --mode rescue
	same "user layer" "$before" "$(user_layer)"
	rm -r "$USER_DIR/mlimg"
	went_on v1 --mode rescue
	same "boot.json" "null [\"no user layer: open 'user/mlimg/layer.json': No such file or directory\"]" "$(boot '"\(.user) \(.notes)"')"
	rm -r "$USER_DIR"
	went_on v1 --mode rescue --note "the user layer is not there"
	same "user" "null" "$(boot .user)"
	works mlimg-agent commit --root "$RUN" --mode rescue
}

@test "boot.json tells what was done to the user layer, and a copy is for everybody" {
	went_on v1
	same "user" '{"formatted":false,"fsck":null,"grown":null,"reset":null}' "$(boot '.user | del(.name, .build_id, .mount)')"
	went_on v1 --formatted --fsck 1 --fsck-said $'mlimg-user: recovering journal\n\303\244'
	same "user" '{"name":"alice","formatted":true,"fsck":{"status":1,"said":"mlimg-user: recovering journal???"}}' \
		"$(boot '.user | del(.build_id, .mount, .grown, .reset)')"
	same "carve-outs" '[]' "$(boot .carve_outs)"
	works mlimg-agent commit --root "$RUN"
	cmp "$RUN/boot.json" "$DIR/run/mlimg-boot.json"
	same "mode" 644 "$(stat -c %a "$DIR/run/mlimg-boot.json")"
}

@test "reset: the upper and the carve-outs are set aside, once for each word" {
	went_on v1
	works mlimg-agent commit --root "$RUN"
	echo mine >"$USER_DIR/upper/etc/mine"
	mkdir -p "$USER_DIR/carve-outs/var/lib/docker"
	echo image >"$USER_DIR/carve-outs/var/lib/docker/image"
	went_on v1 --reset one
	same "told" "{\"request\":\"one\",\"aside\":\"$RUN/user/mlimg/aside/reset-one\"}" "$(boot .user.reset)"
	same "in upper, in carve-outs" "" "$(find "$USER_DIR/upper" "$USER_DIR/carve-outs" -mindepth 1)"
	same "modes" "755 700 700 700" "$(cd "$USER_DIR" && stat -c %a upper carve-outs mlimg/aside mlimg/aside/reset-one | xargs)"
	same "set aside" "mine image 1" "$(cd "$USER_DIR/mlimg/aside/reset-one" && cat upper/etc/mine carve-outs/var/lib/docker/image | xargs)\
 $(jq .generation "$USER_DIR/mlimg/aside/reset-one/state.json")"
	[ ! -e "$USER_DIR/mlimg/reset-new" ]
	# The parameter is still there at the next boot.
	echo again >"$USER_DIR/upper/again"
	went_on v1 --reset one
	same "told" null "$(boot .user.reset)"
	same "upper" again "$(cat "$USER_DIR/upper/again")"
	# Also when what was set aside has been removed for its room.
	rm -r "$USER_DIR/mlimg/aside"
	went_on v1 --reset one
	same "upper" again "$(cat "$USER_DIR/upper/again")"
	went_on v1 --reset two
	same "upper" "" "$(ls -A "$USER_DIR/upper")"
	same "set aside" again "$(cat "$USER_DIR/mlimg/aside/reset-two/upper/again")"
	same "state" "none 1" "$(boot '"\(.change) \(.generation)"')"
}

@test "what root in the guest has put in the place of the agent's own files is set aside" {
	went_on v1
	works mlimg-agent commit --root "$RUN"
	mkdir -p "$USER_DIR/mlimg/"{reset,reset-begun,rebuild,derived}/mine
	echo mine | tee "$USER_DIR/mlimg/"{aside,undo,reports,reset-new} >/dev/null
	rm -r "$USER_DIR/mlimg/spare"
	ln -s /etc "$USER_DIR/mlimg/spare"
	mkdir "$USER_DIR/mlimg/reset.misplaced"
	echo mine >"$USER_DIR/upper/etc/mine"
	went_on v1 --mode volatile
	same "told" "[]" "$(boot .notes)"
	went_on v1 --reset one
	same "told" "user/mlimg/aside was no directory: set aside as user/mlimg/aside.misplaced
user/mlimg/derived was no file: set aside as user/mlimg/derived.misplaced
user/mlimg/rebuild was no file: set aside as user/mlimg/rebuild.misplaced
user/mlimg/reports was no directory: set aside as user/mlimg/reports.misplaced
user/mlimg/reset was no file: set aside as user/mlimg/reset.misplaced-2
user/mlimg/reset-begun was no file: set aside as user/mlimg/reset-begun.misplaced
user/mlimg/reset-new was no directory: set aside as user/mlimg/reset-new.misplaced
user/mlimg/spare was no directory: set aside as user/mlimg/spare.misplaced
user/mlimg/undo was no directory: set aside as user/mlimg/undo.misplaced" "$(boot '.notes[]' -r)"
	same "reset" "mine one" "$(cat "$USER_DIR/mlimg/aside/reset-one/upper/etc/mine" "$USER_DIR/mlimg/reset" | xargs)"
	[ -d "$USER_DIR/mlimg/reset.misplaced-2/mine" ]
	works mlimg-agent commit --root "$RUN"
	went_on v1 --reset one
	same "told" "[]" "$(boot .notes)"
}

# What generation N is about to get: in the way are directories.
in_the_way() {
	mkdir -p "$USER_DIR/mlimg/base.manifest.$1/mine" "$USER_DIR/mlimg/base.texts.$1" "$USER_DIR/mlimg/reports/$1".{json,txt}
}

# told_in_the_way N: what boot.json says of that
told_in_the_way() {
	printf 'user/mlimg/%s was no file: set aside as user/mlimg/%s.misplaced\n' "base.manifest.$1"{,} "base.texts.$1"{,} "reports/$1.json"{,} "reports/$1.txt"{,}
}

@test "what root in the guest has put in the place of the next generation's files is set aside: a change, its way back, the first stack" {
	local mlimg=$USER_DIR/mlimg
	went_on v1
	works mlimg-agent commit --root "$RUN"
	echo mine >"$USER_DIR/upper/etc/version"
	in_the_way 2
	went_on v2 --mode volatile
	same "told" "[]" "$(boot .notes)"
	went_on v2
	same "told of the change" "$(told_in_the_way 2)" "$(boot '.notes[]' -r)"
	same "done" '["changed",2,"reconciled"]' "$(boot '[.change, .generation, .reconcile.done]')"
	same "what is there" "2.json 2.json.misplaced 2.txt 2.txt.misplaced" "$(cd "$mlimg/reports" && find . -name '2*' -printf '%P\n' | sort | xargs)"
	[[ -f $mlimg/base.manifest.2 && -f $mlimg/base.texts.2 && -f $mlimg/reports/2.json && -d $mlimg/base.manifest.2.misplaced/mine ]]
	in_the_way 3
	went_on v1
	same "told of the way back" "$(told_in_the_way 3)" "$(boot '.notes[]' -r)"
	same "done" '["changed",3,"rolled-back"]' "$(boot '[.change, .generation, .reconcile.done]')"
	[[ -f $mlimg/base.manifest.3 && -f $mlimg/reports/3.txt ]]
	went_on v1
	same "done" '["none",3,null,[]]' "$(boot '[.change, .generation, .reconcile, .notes]')"
	# The present one's, which a boot on the same stack writes anew; and the first one's.
	rm "$mlimg/base.manifest.3"
	mkdir "$mlimg/base.manifest.3"
	went_on v1
	same "told" "user/mlimg/base.manifest.3 was no file: set aside as user/mlimg/base.manifest.3.misplaced-2" "$(boot '.notes[]' -r)"
	[ -f "$mlimg/base.manifest.3" ]
	rm "$mlimg/state.json"
	mkdir "$mlimg/base.manifest.1"
	went_on v1
	works mlimg-agent commit --root "$RUN"
	same "done" '["first",1]' "$(boot '[.change, .generation]')"
}

# state_of_reset: what a reader of the user layer would find.
state_of_reset() {
	(cd "$USER_DIR" && find upper carve-outs mlimg/aside mlimg/reset -printf '%p %m %y\n' | LC_ALL=C sort)
}

# cut_off STEP: a user layer in which a reset with the word w has come so far.
cut_off() {
	rm -rf "$USER_DIR"
	cp -a "$DIR/kept" "$USER_DIR"
	cd "$USER_DIR"
	echo w >mlimg/reset-begun
	[ "$1" -lt 2 ] || mkdir mlimg/reset-new
	[ "$1" -lt 3 ] || mkdir mlimg/reset-new/upper
	if [ "$1" -ge 4 ]; then
		mv upper x && mv mlimg/reset-new/upper upper && mv x mlimg/reset-new/upper
		chmod 755 upper
	fi
	[ "$1" -lt 5 ] || mkdir mlimg/reset-new/carve-outs
	if [ "$1" -ge 6 ]; then
		mv carve-outs x && mv mlimg/reset-new/carve-outs carve-outs && mv x mlimg/reset-new/carve-outs
		chmod 700 carve-outs
	fi
	if [ "$1" -ge 7 ]; then
		mkdir -m 700 mlimg/aside
		chmod 700 mlimg/reset-new
		mv mlimg/reset-new mlimg/aside/reset-w
	fi
	[ "$1" -lt 8 ] || echo w >mlimg/reset
	cd "$DIR"
}

@test "reset: cut off anywhere, the next boot ends it, whatever it asks for" {
	local wanted step
	mkdir -p "$USER_DIR/upper/etc" "$USER_DIR/carve-outs/srv"
	cp -a "$USER_DIR" "$DIR/kept"
	went_on v1 --reset w
	wanted=$(state_of_reset)
	for step in 1 2 3 4 5 6 7 8; do
		cut_off $step
		went_on v1 --reset w
		same "told, cut off at step $step" w "$(boot .user.reset.request)"
		same "cut off at step $step" "$wanted" "$(state_of_reset)"

		cut_off $step
		went_on v1
		same "told, cut off at step $step" w "$(boot .user.reset.request)"
		same "not asked for again, cut off at step $step" "$wanted" "$(state_of_reset)"
		[ ! -e "$USER_DIR/mlimg/reset-begun" ]
		echo since >"$USER_DIR/upper/since"
		went_on v1 --reset w
		same "told, once it is done" null "$(boot .user.reset)"
		went_on v1 --reset other
		same "set aside by the next one" since "$(cat "$USER_DIR/mlimg/aside/reset-other/upper/since")"
	done
	cut_off 4
	went_on v1 --reset other
	same "both" "other w" "$(cd "$USER_DIR/mlimg/aside" && echo reset-* | sed 's/reset-//g')"
	cut_off 4
	echo nonsense/ >"$USER_DIR/mlimg/reset-begun"
	went_on v1
	same "of a word that is none" null "$(boot .user.reset)"
}

@test "reset: a word that comes back after another one gets a directory of its own" {
	local word
	for word in a b a; do
		echo "$word" >>"$USER_DIR/upper/words"
		went_on v1 --reset $word
	done
	same "told" "a $RUN/user/mlimg/aside/reset-a-2" "$(boot '.user.reset | "\(.request) \(.aside)"')"
	same "in upper" "" "$(ls "$USER_DIR/upper")"
	same "set aside" "a b a" "$(cd "$USER_DIR/mlimg/aside" && cat reset-a/upper/words reset-b/upper/words reset-a-2/upper/words | xargs)"
	# Cut off, with only the last lines to be written.
	printf 'a\nreset-a-2\n' >"$USER_DIR/mlimg/reset-begun"
	echo since >"$USER_DIR/upper/since"
	went_on v1
	same "told" "$RUN/user/mlimg/aside/reset-a-2" "$(boot .user.reset.aside)"
	same "in upper" since "$(ls "$USER_DIR/upper")"
	# Cut off before anything was done.
	printf 'c\nreset-c-3\n' >"$USER_DIR/mlimg/reset-begun"
	went_on v1
	same "set aside" since "$(cat "$USER_DIR/mlimg/aside/reset-c-3/upper/since")"
}

@test "reset: another driver's user layer is refused before anything is touched" {
	local before
	went_on v1
	works mlimg-agent commit --root "$RUN"
	echo mine >"$USER_DIR/upper/etc/mine"
	before=$(user_layer)
	fails 3 "mlimg-agent: $RUN: user: the user layer 'alice' was written by union driver 'overlay', which 'unionfs' would misread; boot with mlimg.union=overlay, or with mlimg.convert, or run 'mlimg-agent convert --to unionfs $RUN/user'" \
		mlimg-agent prepare --root "$RUN" --union unionfs --system "$V1" --user "$TENANT" --reset w
	same "user layer" "$before" "$(user_layer)"
	echo nonsense >"$USER_DIR/mlimg/state.json"
	before=$(user_layer)
	on v1 --reset w
	same "exit code with a damaged state" 3 "$status"
	same "user layer" "$before" "$(user_layer)"
}

@test "modes: another driver's user layer, or one that is half converted: the way out is not what the mode excludes" {
	local mode
	went_on v1
	works mlimg-agent commit --root "$RUN"
	in_mode() {
		mlimg-agent prepare --root "$RUN" --union unionfs --system "$V1" --user "$TENANT" --mode "$1"
	}
	for mode in volatile readonly; do
		fails 3 "mlimg-agent: $RUN: user: the user layer 'alice' was written by union driver 'overlay', which 'unionfs' would misread; boot with mlimg.union=overlay, or with mlimg.convert and without mlimg.$mode" \
			in_mode $mode
	done
	: >"$USER_DIR/mlimg/convert.plan"
	fails 3 "mlimg-agent: $RUN: user: a conversion of the user layer 'alice' for another union driver was interrupted; boot with mlimg.convert and without mlimg.readonly, which ends it" \
		in_mode readonly
}

@test "reset: one that was cut off shows in part in modes that do not write, and that is said" {
	local mode
	echo w >"$USER_DIR/mlimg/reset-begun"
	for mode in volatile readonly; do
		went_on v1 --mode $mode
		same "notes" '["a factory reset was interrupted, and shows in part: the next boot that keeps changes ends it"]' "$(boot .notes)"
	done
	[ -e "$USER_DIR/mlimg/reset-begun" ]
	went_on v1
	same "notes" '[]' "$(boot .notes)"
	went_on v1 --mode volatile
	same "notes" '[]' "$(boot .notes)"
}

@test "reset: nothing is read but the user layer's own files" {
	echo w >"$DIR/word"
	ln -s "$DIR/word" "$USER_DIR/mlimg/reset-begun"
	ln -s "$DIR/word" "$USER_DIR/mlimg/reset"
	went_on v1
	same "told" null "$(boot .user.reset)"
	went_on v1 --reset w
	same "told" w "$(boot .user.reset.request)"
}

@test "reset: what cannot be set aside stops the boot, and the last change can still be taken back" {
	mkdir -p "$USER_DIR/mlimg/undo/1" "$USER_DIR/mlimg/reset-new"
	: >"$USER_DIR/mlimg/reset-new/upper"
	on v1 --reset w
	same "stderr" "mlimg-agent: $RUN: factory reset: read 'upper': Not a directory" "$stderr"
	same "exit code" 1 "$status"
	[ -d "$USER_DIR/upper" ] && [ -d "$USER_DIR/mlimg/undo/1" ]
	rm -r "$USER_DIR/mlimg/reset-new"
	went_on v1 --reset w
	[ ! -e "$USER_DIR/mlimg/undo" ]
}

@test "wrong usage" {
	local hint="
Try 'mlimg-agent --help' for more information."
	on v1 --mode dance
	same "stderr" "mlimg-agent: prepare: no mode 'dance' (there are: normal, volatile, readonly, rescue)$hint" "$stderr"
	same "exit code" 2 "$status"
	on v1 --reset a/b
	same "stderr" "mlimg-agent: prepare: --reset: 'a/b' is no word$hint" "$stderr"
	on v1 --fsck 256
	same "stderr" "mlimg-agent: prepare: --fsck: '256' is no exit status$hint" "$stderr"
	on v1 --mode rescue --reset a
	same "stderr" "mlimg-agent: prepare: with --mode rescue the user layer is not written to$hint" "$stderr"
	same "exit code" 2 "$status"
	fails 2 "mlimg-agent: commit: no mode 'dance'$hint" mlimg-agent commit --root "$RUN" --mode dance
}
