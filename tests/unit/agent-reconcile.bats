#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent prepare on another stack: the upper is brought into agreement, and back. Over directories in place of mounted layers.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
	said=
}

# A user's changes on v1: a copy of what is there, an edit that fits the new one, one that does not, a program replaced, and a file of his own.
edit() {
	on v1
	cp "$DIR/v1/etc/stale" "$UPPER/etc/stale"
	sed '$s/e/mine/' "$DIR/v1/etc/both" >"$UPPER/etc/both"
	echo mine >"$UPPER/etc/conf"
	echo mine >"$UPPER/usr/bin/program"
	echo own >"$UPPER/etc/own"
	find "$UPPER" -exec touch -h -d @1000000000 {} +
}

# What the user layer has, but for reports and spare inodes.
in_mlimg() {
	(cd "$USER_DIR/mlimg" && find . -mindepth 1 -not -path './reports*' -not -path './spare*' -not -path './undo/*/*' -printf '%P\n' | sort | xargs)
}

@test "the first boot keeps what may have to be merged" {
	on v1
	same "files" "base.manifest.1 base.texts.1 layer.json manifest state.json" "$(in_mlimg)"
	same "mode" 600 "$(stat -c %a "$USER_DIR/mlimg/base.texts.1")"
	same "digest and size" "$(sha256sum <"$USER_DIR/mlimg/base.texts.1" | cut -d' ' -f1) $(stat -c %s "$USER_DIR/mlimg/base.texts.1")" \
		"$(jq -r '"\(.texts_sha256) \(.texts_size_bytes)"' "$USER_DIR/mlimg/state.json")"
	same "texts" 4 "$(sed -n '1s/.* //p' "$USER_DIR/mlimg/base.texts.1")"
	same "done" null "$(boot .reconcile)"
}

@test "another system: the upper agrees with it, and the same boot again does nothing" {
	local before
	edit
	on v2
	same "contents" "both two
b
c
d
mine
mine
conf two
b
c
d
e
own" "$(cd "$UPPER/etc" && cat both conf conf.mlimg-new own)"
	same "what is there" "etc etc/both etc/conf etc/conf.mlimg-new etc/own" "$(cd "$UPPER" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/2/usr/bin/program")"
	same "times of directories" "1000000000 1000000000" "$(stat -c %Y "$UPPER" "$UPPER/etc" | xargs)"
	same "boot.json" '["changed",2,"reconciled",3,1,1,1,[]]' \
		"$(boot '[.change, .generation, (.reconcile | .done, .dropped, .aside, .beside, .merged), .notes]')"
	same "state" "2 12.2" "$(jq -r '"\(.generation) \(.stack[0].version)"' "$USER_DIR/mlimg/state.json")"
	same "files" "aside aside/2 aside/2/usr aside/2/usr/bin aside/2/usr/bin/program base.manifest.2 base.texts.2 layer.json manifest state.json undo undo/2" "$(in_mlimg)"
	same "reports" "2.json 2.txt" "$(cd "$USER_DIR/mlimg/reports" && echo *)"
	grep -q "^aside    conflict         /usr/bin/program  at: aside/2/usr/bin/program$" "$USER_DIR/mlimg/reports/2.txt"
	same "told" "user's files on another stack: 1 set aside, 1 with the new one beside it, 2 conflicts in all: see $RUN/user/mlimg/reports/2.txt" "$said"
	before=$(cd "$USER_DIR" && find . -printf '%p %i %T@\n' | sort)
	on v2
	same "boot.json" '["none",2,null,[]]' "$(boot '[.change, .generation, .reconcile, .notes]')"
	same "told" "" "$said"
	same "user layer" "$before" "$(cd "$USER_DIR" && find . -printf '%p %i %T@\n' | sort)"
}

@test "the former system again: the change is taken back" {
	local before
	edit
	before=$(treelist "$UPPER")
	on v2
	on v1
	same "upper" "$before" "$(treelist "$UPPER")"
	same "boot.json" '["changed",3,"12.2","rolled-back",[]]' "$(boot '[.change, .generation, .previous.stack[0].version, .reconcile.done, .notes]')"
	same "state" "3 12.1" "$(jq -r '"\(.generation) \(.stack[0].version)"' "$USER_DIR/mlimg/state.json")"
	same "files" "aside aside/2 aside/2/usr aside/2/usr/bin base.manifest.3 base.texts.3 layer.json manifest state.json" "$(in_mlimg)"
	on v1
	same "boot.json" '["none",3,null]' "$(boot '[.change, .generation, .reconcile]')"
	on v2
	same "once more" '["changed",4,"reconciled"]' "$(boot '[.change, .generation, .reconcile.done]')"
	same "aside" mine "$(cat "$USER_DIR/mlimg/aside/4/usr/bin/program")"
}

@test "taken back, what was written since stays and the older is aside" {
	edit
	on v2
	echo newer >"$UPPER/etc/both"
	on v1
	same "newer" newer "$(cat "$UPPER/etc/both")"
	same "older" mine "$(tail -n 1 "$USER_DIR/mlimg/aside/3/etc/both")"
	same "boot.json" '["rolled-back",1]' "$(boot '[.reconcile.done, .reconcile.aside]')"
	same "report" '[["etc/both","aside","written since"]]' "$(jq -c '.entries | map([.path, .done, .why])' "$USER_DIR/mlimg/reports/3.json")"
	same "its text" "Generation 3: the last change taken back
from debian 12.2
to   debian 12.1

       0 stays
       0 dropped
       1 aside
       0 beside
       0 merged
       0 joined
       0 closed

dropped  the former system's shows: a cache, a copy that nobody has changed, or a mark of
         what is not there any more, made since
aside    yours lies in /run/mlimg/user/mlimg, at what the line says: what you had before, where
         you have written since; or what you have written since, where it gave way
merged   what you had in it before, and what has come since, are both in it

aside    conflict         /etc/both  at: aside/3/etc/both  (written since)" "$(cat "$USER_DIR/mlimg/reports/3.txt")"
}

@test "taken back, a line for each thing that is not as it was" {
	echo d:x:105:105::/:/bin/false | tee "$DIR/v1/etc/passwd" >"$DIR/v2/etc/passwd"
	echo n:x:107:107::/:/bin/false >>"$DIR/v2/etc/passwd"
	layers
	edit
	on v1
	on v2
	cp -p "$DIR/v2/etc/stale" "$UPPER/etc/stale"
	cat "$DIR/v2/etc/passwd" - <<<later:x:1001:1001::/:/bin/sh >"$UPPER/etc/passwd"
	mkdir -p "$UPPER/usr/bin"
	echo since >"$UPPER/usr/bin/program"
	on v1
	same "lines" "aside    conflict         /usr/bin/program  at: aside/2/usr/bin/program  (written since)
dropped  stale            /etc/stale  (made since)
merged   merged           /etc/passwd  (written since)" \
		"$(sed -n '/are both in it$/,$p' "$USER_DIR/mlimg/reports/3.txt" | grep ' /[eu]' | sort)"
	same "program" "since mine" "$(xargs <"$UPPER/usr/bin/program") $(cat "$USER_DIR/mlimg/aside/2/usr/bin/program")"
}

@test "taken back, what gave way to the newer stack's and was removed since is aside" {
	echo new >"$DIR/v2/etc/new"
	layers
	on v1
	echo new >"$UPPER/etc/new"
	on v2
	[ ! -e "$UPPER/etc/new" ]
	mkdir -p "$UPPER/etc"
	mknod "$UPPER/etc/new" c 0 0
	on v1
	same "boot.json" '["rolled-back",1]' "$(boot '[.reconcile.done, .reconcile.aside]')"
	same "removed" "character special file" "$(stat -c %F "$UPPER/etc/new")"
	same "aside" new "$(cat "$USER_DIR/mlimg/aside/3/etc/new")"
}

@test "the console has a line for what is set aside or put beside, and for nothing else" {
	echo 1 >"$DIR/v1/var/data"
	echo 2 >"$DIR/v2/var/data"
	layers
	user_anew etc
	mkdir "$UPPER/var"
	on v1
	echo mine >"$UPPER/var/data"
	printf 'stale one\nb\nc\nd\ne\n' >"$UPPER/etc/stale"
	sed '$s/e/mine/' "$DIR/v1/etc/both" >"$UPPER/etc/both"
	echo own >"$UPPER/etc/own"
	on v2
	same "told of what is dropped, merged, and stays in a conflict" "" "$said"
	same "done" '["reconciled",true,1,0]' "$(boot '[.reconcile | .done, .dropped > 0, .merged, .aside]')"
	same "in the report" 1 "$(grep -c "^stays    conflict         /var/data$" "$USER_DIR/mlimg/reports/2.txt")"
	on v1
	same "told of the way back" "" "$said"
	echo mine >"$UPPER/etc/conf"
	on v2
	same "told" "user's files on another stack: 0 set aside, 1 with the new one beside it, 2 conflicts in all: see $RUN/user/mlimg/reports/4.txt" "$said"
}

@test "who may read what a change leaves" {
	edit
	on v2
	same "modes" "aside 700, aside/2 700, aside/2/usr/bin/program $(stat -c %a "$UPPER/etc/own"), base.manifest.2 644, base.texts.2 600, reports 755, reports/2.json 644, reports/2.txt 644, state.json 644, undo 700, undo/2 700, undo/2/base.texts 600, undo/2/log 600" \
		"$(cd "$USER_DIR/mlimg" && stat -c '%n %a,' aside aside/2 aside/2/usr/bin/program base.manifest.2 base.texts.2 reports reports/2.json reports/2.txt state.json undo undo/2 undo/2/base.texts undo/2/log | xargs | sed 's/,$//')"
}

@test "mlimg-agent rollback" {
	local before
	edit
	before=$(treelist "$UPPER")
	fails 1 "mlimg-agent: $USER_DIR: there is no change to take back: the last one was taken back already, or was none of a stack, or the union driver is another one since" \
		mlimg-agent rollback "$USER_DIR"
	on v2
	works mlimg-agent rollback "$USER_DIR"
	[[ $output == "$USER_DIR: generation 3, the stack of generation 1; steps taken back: "* ]]
	same "upper" "$before" "$(treelist "$UPPER")"
	on v1
	same "boot.json" '["none",3,null]' "$(boot '[.change, .generation, .reconcile]')"
	on v2
	same "boot.json" '["changed",4,"reconciled"]' "$(boot '[.change, .generation, .reconcile.done]')"
	fails 2 "mlimg-agent: rollback: the directory of one mounted user layer is wanted
Try 'mlimg-agent --help' for more information." mlimg-agent rollback
}

@test "modes that keep nothing compare and count, and write nothing" {
	local before mode
	edit
	before=$(tar -C "$USER_DIR" --mtime=@0 -cf - --sort=name . | sha256sum)
	for mode in volatile readonly; do
		on v2 --mode $mode
		same "$mode" '["changed",2,null,2,null]' "$(boot '[.change, .generation, .reconcile, .report.counts.conflict, .report.path]')"
		same "user layer" "$before" "$(tar -C "$USER_DIR" --mtime=@0 -cf - --sort=name . | sha256sum)"
	done
}

# stop: as it is when the last part of the change to v2 was not done: state and manifest of before, and the line that decides
stop() {
	cd "$USER_DIR/mlimg" || return
	mkdir reconcile.new
	mv state.json reconcile.new
	cp undo/2/state.json .
	mv undo/2/base.manifest base.manifest.1
	mv undo/2/base.texts base.texts.1
	rm "$UPPER/etc/conf.mlimg-new"
	cp "$DIR/v2/etc/conf" "reconcile.new/$(tr '\0' '\n' <undo/2/log | sed '1d' | grep -v '^t' | grep -n '^i .*conf.mlimg-new' | awk -F: '{ print $1 - 1 }')"
	echo "mlimg change 1 2 1" >reconcile.plan
}

@test "a change that was stopped is ended by the next boot, on whatever stack, and not in modes that keep nothing" {
	local half
	edit
	on v2
	stop
	half=$(tar -C "$USER_DIR" --mtime=@0 -cf - --sort=name . | sha256sum)
	on v1 --mode volatile
	same "notes" '["a change of the user layer was interrupted, and shows in part: the next boot that keeps changes ends it"]' "$(boot .notes)"
	same "user layer" "$half" "$(tar -C "$USER_DIR" --mtime=@0 -cf - --sort=name . | sha256sum)"
	on v2
	same "boot.json" '["none",2,"reconciled",["the change to generation 2, which an earlier boot had begun, was ended"]]' \
		"$(boot '[.change, .generation, .reconcile.done, .notes]')"
	cmp "$DIR/v2/etc/conf" "$UPPER/etc/conf.mlimg-new"
	same "told" "user's files on another stack: 1 set aside, 1 with the new one beside it, 2 conflicts in all: see $RUN/user/mlimg/reports/2.txt" "$said"
	same "files" "aside aside/2 aside/2/usr aside/2/usr/bin aside/2/usr/bin/program base.manifest.2 base.texts.2 layer.json manifest state.json undo undo/2" "$(in_mlimg)"
}

@test "a change that was stopped, and another one that is not begun: nothing was reconciled with that" {
	edit
	on v2
	stop
	echo "conf three" >"$DIR/v2/etc/conf"
	layers
	echo other >"$DIR/v2/etc/conf" # not what the manifest says
	on v2
	same "boot.json" '["changed",3,null,null]' "$(boot '[.change, .generation, .reconcile, .report.path]')"
	same "notes" "the change to generation 2, which an earlier boot had begun, was ended
the user layer is not brought into agreement with this stack: '/etc/conf' of the layers is not there with the contents that their manifests tell; the next boot tries again" \
		"$(boot '.notes[]')"
	same "told" "" "$said"
}

@test "a damaged line of decision stops the boot" {
	edit
	echo "mlimg change 1 2 9" >"$USER_DIR/mlimg/reconcile.plan"
	mkdir -p "$RUN/layers"
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/reconcile.plan is damaged, so that it is not known what was begun: copy the user layer's image, and write this line again or remove it as mlimg-boot(7) says" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT"
}

@test "contents that the layers do not have: nothing is changed, and the next boot tries again" {
	local before
	edit
	before=$(treelist "$UPPER")
	echo other >"$DIR/v2/etc/conf"
	on v2
	same "boot.json" '["changed",2,null,null]' "$(boot '[.change, .generation, .reconcile, .report.path]')"
	same "notes" "the user layer is not brought into agreement with this stack: '/etc/conf' of the layers is not there with the contents that their manifests tell; the next boot tries again" \
		"$(boot '.notes[]')"
	same "upper" "$before" "$(treelist "$UPPER")"
	same "files" "base.manifest.1 base.texts.1 layer.json manifest state.json" "$(in_mlimg)"
	printf 'conf two\nb\nc\nd\ne\n' >"$DIR/v2/etc/conf"
	on v2
	same "boot.json" '["changed",2,"reconciled"]' "$(boot '[.change, .generation, .reconcile.done]')"
}

@test "a factory reset leaves nothing to take back" {
	edit
	on v2
	on v2 --reset now
	[ ! -e "$USER_DIR/mlimg/undo" ]
	on v1
	same "boot.json" '["changed",3,"reconciled"]' "$(boot '[.change, .generation, .reconcile.done]')"
	same "upper" "" "$(ls -A "$UPPER")"
}

@test "taken back, caches of the newer stack do not stay" {
	echo cache 1 >"$DIR/v1/etc/ld.so.cache"
	echo cache 2 >"$DIR/v2/etc/ld.so.cache"
	layers
	on v1
	on v2
	[ ! -e "$RUN/rebuild" ]
	# As ldconfig makes it there.
	mkdir -p "$UPPER/etc"
	echo glibc-ld.so.cache1.1 of 2 and more >"$UPPER/etc/ld.so.cache"
	on v1
	[ ! -e "$UPPER/etc/ld.so.cache" ]
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
	same "to be made" etc/ld.so.cache "$(cat "$RUN/rebuild")"
	same "report" '[["etc/ld.so.cache","stale","derived","dropped"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .class, .done])' "$USER_DIR/mlimg/reports/3.json")"
}

@test "what is written by hand in the place of a cache is set aside, there and back" {
	local file
	mkdir -p "$DIR"/v{1,2}/usr/share/{info,mime}
	for file in usr/share/info/dir usr/share/mime/types etc/ld.so.cache; do
		echo "of 1" >"$DIR/v1/$file"
		echo "of 2" >"$DIR/v2/$file"
	done
	layers
	on v1
	mkdir -p "$UPPER/usr/share/info" "$UPPER/etc"
	printf 'File: dir,\tNode: Top\n\nmine\n' >"$UPPER/usr/share/info/dir"
	on v2
	same "aside" mine "$(sed -n 3p "$USER_DIR/mlimg/aside/2/usr/share/info/dir")"
	[ ! -e "$UPPER/usr/share/info" ]
	same "to be made" usr/share/info/dir "$(cat "$RUN/rebuild")"
	# And so is what he writes on the newer stack; a link in the place of one is no cache.
	mkdir -p "$UPPER/usr/share/mime"
	echo "a list of my own" >"$UPPER/usr/share/mime/types"
	mkdir -p "$UPPER/etc"
	ln -sf of-2 "$UPPER/etc/ld.so.cache"
	on v1
	same "back" mine "$(sed -n 3p "$UPPER/usr/share/info/dir")"
	same "aside" "a list of my own" "$(cat "$USER_DIR/mlimg/aside/3/usr/share/mime/types")"
	[ ! -e "$UPPER/usr/share/mime" ]
	same "link" of-2 "$(readlink "$UPPER/etc/ld.so.cache")"
	same "report" '[["usr/share/mime/types","conflict","derived","aside","what was there before is back, or is made anew"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .class, .done, .why])' "$USER_DIR/mlimg/reports/3.json")"
	same "to be made" "usr/share/info/dir usr/share/mime/mime.cache" "$(sort "$RUN/rebuild" | xargs)"
}

@test "what is declared to be kept in the place of a cache stays, there and back" {
	local version
	for version in v1 v2; do
		mkdir -p "$DIR/$version"/usr/{share/{info,mime},lib/mlimg/reconcile.d}
		echo "/usr/share/info/dir keep" >"$DIR/$version/usr/lib/mlimg/reconcile.d/info.conf"
		echo "of $version" | tee "$DIR/$version/usr/share/mime/types" >"$DIR/$version/usr/share/info/dir"
	done
	layers
	on v1
	mkdir -p "$UPPER/usr/share/info"
	echo mine >"$UPPER/usr/share/info/dir"
	on v2
	same "there" mine "$(cat "$UPPER/usr/share/info/dir")"
	echo mine since >"$UPPER/usr/share/info/dir"
	on v1
	same "back" "mine since" "$(cat "$UPPER/usr/share/info/dir")"
	same "report" "[]" "$(jq -c .entries "$USER_DIR/mlimg/reports/3.json")"
	[ ! -e "$RUN/rebuild" ]
}

@test "taken back, the newer layer's own in the place of a cache was not written by anybody" {
	mkdir -p "$DIR"/v{1,2}/usr/share/mime
	echo "of 1" >"$DIR/v1/usr/share/mime/types"
	echo "of 2" >"$DIR/v2/usr/share/mime/types"
	layers
	on v1
	on v2
	mkdir -p "$UPPER/usr/share/mime"
	cp -p "$DIR/v2/usr/share/mime/types" "$UPPER/usr/share/mime/types"
	on v1
	[ ! -e "$UPPER/usr/share/mime/types" ]
	[ ! -e "$USER_DIR/mlimg/aside" ]
	same "report" '[["usr/share/mime/types","stale","dropped","made since"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .done, .why])' "$USER_DIR/mlimg/reports/3.json")"
}

@test "taken back, a link in the place of a cache is told as what it is" {
	mkdir -p "$DIR"/v{1,2}/usr/share/info
	echo "of 1" >"$DIR/v1/usr/share/info/dir"
	echo "of 2" >"$DIR/v2/usr/share/info/dir"
	layers
	on v1
	mkdir -p "$UPPER/usr/share/info"
	ln -s mine "$UPPER/usr/share/info/dir"
	on v2
	same "aside" mine "$(readlink "$USER_DIR/mlimg/aside/2/usr/share/info/dir")"
	mkdir -p "$UPPER/usr/share/info"
	ln -s newer "$UPPER/usr/share/info/dir"
	on v1
	same "link" newer "$(readlink "$UPPER/usr/share/info/dir")"
	same "report" '[["usr/share/info/dir","conflict","owned","aside"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .class, .done])' "$USER_DIR/mlimg/reports/3.json")"
}

@test "a list of caches outlives a cut right after the change" {
	edit
	echo glibc-ld.so.cache1.1 >"$UPPER/etc/ld.so.cache"
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-v2" "$RUN/layers/0"
	ln -s "$DIR/v2" "$RUN/layers/0/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V2" --user "$TENANT"
	# The next boot finds the same stack, and a /run with nothing in it.
	rm -f "$RUN"/{rebuild,boot.json,state.json}
	on v2
	same "boot.json" '["none",null]' "$(boot '[.change, .reconcile]')"
	same "to be made" etc/ld.so.cache "$(cat "$RUN/rebuild")"
}

@test "a rollback that was stopped is ended, reported and told by the next boot" {
	local wanted
	edit
	on v2
	echo newer >"$UPPER/etc/both"
	cp -a "$USER_DIR" "$DIR/copy"
	on v1
	wanted=$(jq -c '[.from, .to, .done, .entries]' "$USER_DIR/mlimg/reports/3.json")
	same "told" "user's files on another stack: 1 set aside, 0 with the new one beside it, 1 conflicts in all: see $RUN/user/mlimg/reports/3.txt" "$said"
	# As it is when it was decided and nothing more: what is made ready is that of a rollback without anything of his since.
	rm -rf "$USER_DIR"
	cp -a "$DIR/copy" "$USER_DIR"
	mkdir -p "$USER_DIR/mlimg/reconcile.new" "$USER_DIR/mlimg/aside/3/etc"
	jq -c '.generation = 3' "$USER_DIR/mlimg/undo/2/state.json" >"$USER_DIR/mlimg/reconcile.new/state.json"
	echo "mlimg rollback 1 3 2" >"$USER_DIR/mlimg/reconcile.plan"
	on v1
	same "boot.json" '["none",3,"rolled-back",1,["the rollback to generation 3, which an earlier boot had begun, was ended"]]' \
		"$(boot '[.change, .generation, .reconcile.done, .reconcile.aside, .notes]')"
	same "told" "user's files on another stack: 1 set aside, 0 with the new one beside it, 1 conflicts in all: see $RUN/user/mlimg/reports/3.txt" "$said"
	same "report" "$wanted" "$(jq -c '[.from, .to, .done, .entries]' "$USER_DIR/mlimg/reports/3.json")"
	same "older" mine "$(tail -n 1 "$USER_DIR/mlimg/aside/3/etc/both")"
}

@test "a rollback that was stopped and is ended by a conversion is reported and told" {
	edit
	on v2
	echo newer >"$UPPER/etc/both"
	mkdir -p "$USER_DIR/mlimg/reconcile.new" "$USER_DIR/mlimg/aside/3/etc"
	jq -c '.generation = 3' "$USER_DIR/mlimg/undo/2/state.json" >"$USER_DIR/mlimg/reconcile.new/state.json"
	echo "mlimg rollback 1 3 2" >"$USER_DIR/mlimg/reconcile.plan"
	works mlimg-agent convert --to overlay "$USER_DIR"
	same "told" "$USER_DIR: the rollback to generation 3, which an earlier boot had begun, was ended
user's files on another stack: 1 set aside, 0 with the new one beside it, 1 conflicts in all: see $USER_DIR/mlimg/reports/3.txt
$USER_DIR: the user layer is in the form of 'overlay'; marks converted: 0" "$output"
	same "report" '[["etc/both","aside","written since"]]' "$(jq -c '.entries | map([.path, .done, .why])' "$USER_DIR/mlimg/reports/3.json")"
	works mlimg-agent convert --to overlay "$USER_DIR"
	same "told once" "$USER_DIR: the user layer is in the form of 'overlay'; marks converted: 0" "$output"
}

@test "an upper of more than can be compared: the boot goes on without, and nothing is changed" {
	local before
	edit
	before=$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort)
	PREPARE=(prepare-limited 1)
	on v2
	same "boot.json" '["changed",null]' "$(boot '[.change, .reconcile]')"
	same "note" "the user layer is not brought into agreement with this stack: compare the user's changes: names and attributes of more than 0 MiB: Argument list too long; the next boot tries again" \
		"$(boot '.notes[]')"
	same "upper" "$before" "$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort)"
	same "files" "base.manifest.1 base.texts.1 layer.json manifest state.json" "$(in_mlimg)"
	same "state" "1 12.1" "$(jq -r '"\(.generation) \(.stack[0].version)"' "$USER_DIR/mlimg/state.json")"
	# shellcheck disable=SC2034 # of stacks.bash
	PREPARE=(mlimg-agent prepare)
	on v2
	same "boot.json" '["changed","reconciled",3]' "$(boot '[.change, (.reconcile | .done, .dropped)]')"
}

@test "an upper of more than can be compared is not taken back either" {
	local before
	edit
	on v2
	before=$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort)
	PREPARE=(prepare-limited 1)
	on v1
	same "boot.json" '["changed",null]' "$(boot '[.change, .reconcile]')"
	same "notes" "the last change is not taken back: user/mlimg: names and attributes of more than 0 MiB: Argument list too long
the user layer is not brought into agreement with this stack: compare the user's changes: names and attributes of more than 0 MiB: Argument list too long; the next boot tries again" \
		"$(boot '.notes[]')"
	same "upper" "$before" "$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort)"
	same "state" "2 12.2" "$(jq -r '"\(.generation) \(.stack[0].version)"' "$USER_DIR/mlimg/state.json")"
	# shellcheck disable=SC2034 # stacks.bash
	PREPARE=(mlimg-agent prepare)
	on v1
	same "boot.json" '["changed","rolled-back"]' "$(boot '[.change, .reconcile.done]')"
}

@test "without memory for a report: the boot goes on, nothing is changed or taken back, and the next one tries again" {
	local before version
	edit
	for version in v2 v1; do
		before=$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort && jq .generation "$USER_DIR/mlimg/state.json")
		PREPARE=(prepare-limited none)
		on $version
		same "boot.json of $version" '["changed",null]' "$(boot '[.change, .reconcile]')"
		same "last note" "the user layer is not brought into agreement with this stack: write the report: Cannot allocate memory; the next boot tries again" \
			"$(boot '.notes[-1]')"
		same "upper and generation" "$before" "$(cd "$UPPER" && find . -printf '%p %i %s %T@\n' | sort && jq .generation "$USER_DIR/mlimg/state.json")"
		[ $version = v2 ] || same "notes" "the last change is not taken back: write the report: Cannot allocate memory" "$(boot '.notes[0]')"
		# shellcheck disable=SC2034 # stacks.bash
		PREPARE=(mlimg-agent prepare)
		on $version
	done
	same "boot.json" '["changed","rolled-back"]' "$(boot '[.change, .reconcile.done]')"
}
