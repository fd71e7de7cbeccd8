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
	grep -q "^aside    conflict         /usr/bin/program$" "$USER_DIR/mlimg/reports/2.txt"
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
	fails 3 "mlimg-agent: $RUN: end a change that was interrupted: user/mlimg/reconcile.plan is damaged, so that a change that was interrupted cannot be ended; boot with mlimg.rescue and restore it, or remove it to go on with what there is" \
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

@test "accounts: the user's and the system's, and what belongs to a number that moved" {
	echo d:x:105:105::/:/bin/false >"$DIR/v1/etc/passwd"
	printf '%s\n' d:x:106:105::/:/bin/false n:x:107:105::/:/bin/false >"$DIR/v2/etc/passwd"
	echo d >"$DIR/v1/var/d"
	cp "$DIR/v1/var/d" "$DIR/v2/var/d"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	on v1
	printf '%s\n' d:x:105:105::/:/bin/false me:x:1000:1000::/:/bin/sh >"$UPPER/etc/passwd"
	on v2
	same "accounts" "d:x:106:105::/:/bin/false
n:x:107:105::/:/bin/false
me:x:1000:1000::/:/bin/sh" "$(cat "$UPPER/etc/passwd")"
	same "verdict" '["etc/passwd","merged","accounts","merged"]' \
		"$(jq -c '.entries[] | select(.class == "accounts") | [.path, .verdict, .class, .done]' "$USER_DIR/mlimg/reports/2.json")"
	on v1
	same "accounts, back" "d:x:105:105::/:/bin/false
me:x:1000:1000::/:/bin/sh" "$(cat "$UPPER/etc/passwd")"
}

D5=d:x:105:105::/:/bin/false
D6=d:x:106:106::/:/bin/false
N7=n:x:107:107::/:/bin/false
ME=me:x:1000:1000::/:/bin/sh
LATER=later:x:1001:1001::/:/bin/sh

# accounts_of_stacks: d has another number in v2, which has n besides.
accounts_of_stacks() {
	echo $D5 >"$DIR/v1/etc/passwd"
	echo d:x:105: >"$DIR/v1/etc/group"
	printf '%s\n' $D6 $N7 >"$DIR/v2/etc/passwd"
	printf '%s\n' d:x:106: n:x:107: >"$DIR/v2/etc/group"
	layers
}

@test "taken back, an account that came since is in the former accounts" {
	need root
	accounts_of_stacks
	on v1
	mkdir "$UPPER/var"
	echo d >"$UPPER/var/before"
	chown 105:105 "$UPPER/var/before"
	on v2
	[ ! -e "$UPPER/etc/passwd" ]
	same "owner on v2" 106:106 "$(stat -c %u:%g "$UPPER/var/before")"
	# useradd on v2
	mkdir -p "$UPPER/etc"
	printf '%s\n' $D6 $N7 $LATER >"$UPPER/etc/passwd"
	printf '%s\n' d:x:106: n:x:107: later:x:1001: >"$UPPER/etc/group"
	chmod 640 "$UPPER/etc/group"
	echo later >"$UPPER/var/later"
	chown 1001:1001 "$UPPER/var/later"
	echo d >"$UPPER/var/since"
	chown 106:106 "$UPPER/var/since"
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "accounts" "$D5 $LATER" "$(xargs <"$UPPER/etc/passwd")"
	same "groups" "d:x:105: later:x:1001:" "$(xargs <"$UPPER/etc/group")"
	same "mode" 640 "$(stat -c %a "$UPPER/etc/group")"
	same "owners" "105:105 1001:1001 105:105" "$(stat -c %u:%g "$UPPER"/var/{before,later,since} | xargs)"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
	same "report" '[["etc/group","merged","accounts","merged"],["etc/passwd","merged","accounts","merged"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .class, .done]) | sort' "$USER_DIR/mlimg/reports/3.json")"
	on v1
	same "boot.json" '["none",null]' "$(boot '[.change, .reconcile]')"
	on v2
	same "forth again" "$D6 $N7 $LATER" "$(xargs <"$UPPER/etc/passwd")"
	same "owners" "106:106 1001:1001 106:106" "$(stat -c %u:%g "$UPPER"/var/{before,later,since} | xargs)"
}

# owners FILE…: of those in the upper
owners() {
	(cd "$UPPER" && stat -c %u:%g "$@" | xargs)
}

@test "taken back, whose things are is in the former numbers, though nobody has changed an account" {
	need root
	local before
	accounts_of_stacks
	on v1
	mkdir "$UPPER/var"
	touch "$UPPER"/var/{before,given,nobodys}
	chown 105:105 "$UPPER/var/before"
	chown 106:107 "$UPPER/var/nobodys"
	on v2
	same "owners on v2" "106:106 0:0 106:107" "$(owners var/before var/given var/nobodys)"
	touch "$UPPER/var/since"
	chown 106:106 "$UPPER"/var/{since,given}
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "owners" "105:105 105:105 105:105 106:107" "$(owners var/before var/given var/since var/nobodys)"
	[ ! -e "$UPPER/etc/passwd" ]
	# And when nothing at all was written.
	before=$(treelist "$UPPER")
	on v2
	on v1
	same "upper" "$before" "$(treelist "$UPPER")"
}

@test "taken back, an account of the newer stack stays when something has its number since" {
	need root
	accounts_of_stacks
	on v1
	on v2
	mkdir "$UPPER/var"
	touch "$UPPER/var/since"
	chown 107:107 "$UPPER/var/since"
	on v1
	same "accounts" "$D5 $N7" "$(xargs <"$UPPER/etc/passwd")"
	same "owner" 107:107 "$(owners var/since)"
}

@test "taken back, what had an account's number gets the one that it is left with" {
	need root
	accounts_of_stacks
	on v1
	mkdir "$UPPER/var"
	touch "$UPPER/var/before"
	chown 105:105 "$UPPER/var/before"
	on v2
	mkdir -p "$UPPER/etc"
	printf '%s\n' $D6 $N7 other:x:105:105::/:/bin/sh >"$UPPER/etc/passwd"
	printf '%s\n' d:x:106: n:x:107: other:x:105: >"$UPPER/etc/group"
	touch "$UPPER/var/others"
	chown 105:105 "$UPPER/var/others"
	on v1
	same "accounts" "d:x:106:106::/:/bin/false other:x:105:105::/:/bin/sh" "$(xargs <"$UPPER/etc/passwd")"
	same "owners" "106:106 105:105" "$(owners var/before var/others)"
}

@test "taken back, an account of the newer stack goes with the files that the change gave it, unless they are the user's since" {
	need root
	local how
	for how in untouched written attributes; do
		accounts_of_stacks
		echo new >"$DIR/v2/usr/bin/program"
		[ $how != attributes ] || cp "$DIR/v1/usr/bin/program" "$DIR/v2/usr/bin/"
		chown 107:107 "$DIR/v2/usr/bin/program"
		layers
		rm -rf "$USER_DIR"
		mkdir -p "$UPPER/usr/bin" "$USER_DIR/work"
		TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
		on v1
		cp "$DIR/v1/usr/bin/program" "$UPPER/usr/bin/"
		chmod 700 "$UPPER/usr/bin/program"
		[ $how != attributes ] || echo mine >"$UPPER/usr/bin/program"
		on v2
		same "owner on v2" 107:107 "$(stat -c %u:%g "$UPPER/usr/bin/program")"
		mkdir -p "$UPPER/etc"
		printf '%s\n' $D6 $N7 $LATER >"$UPPER/etc/passwd"
		[ $how != written ] || echo mine >>"$UPPER/usr/bin/program"
		on v1
		if [ $how != written ]; then
			same "accounts" "$D5 $LATER" "$(xargs <"$UPPER/etc/passwd")"
		else
			same "accounts" "$D5 $N7 $LATER" "$(xargs <"$UPPER/etc/passwd")"
		fi
	done
}

@test "taken back, accounts of before and since are both there, whatever the change had done to the file" {
	local how
	for how in merged alone; do
		echo $D5 >"$DIR/v1/etc/passwd"
		echo $D5 >"$DIR/v2/etc/passwd"
		[ $how = alone ] || printf '%s\n' $D6 $N7 >"$DIR/v2/etc/passwd"
		layers
		rm -rf "$USER_DIR"
		mkdir -p "$UPPER/etc" "$USER_DIR/work"
		TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
		on v1
		printf '%s\n' $D5 $ME >"$UPPER/etc/passwd"
		chmod 600 "$UPPER/etc/passwd"
		on v2
		if [ $how = merged ]; then
			same "forth" "$D6 $N7 $ME" "$(xargs <"$UPPER/etc/passwd")"
		else
			same "forth" "$D5 $ME" "$(xargs <"$UPPER/etc/passwd")"
		fi
		echo $LATER >>"$UPPER/etc/passwd"
		on v1
		same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
		same "back" "$D5 $ME $LATER" "$(xargs <"$UPPER/etc/passwd")"
		same "mode" 600 "$(stat -c %a "$UPPER/etc/passwd")"
		same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
	done
}

@test "taken back by hand, without the layers" {
	accounts_of_stacks
	on v1
	on v2
	mkdir -p "$UPPER/etc"
	printf '%s\n' $D6 $N7 $LATER >"$UPPER/etc/passwd"
	works mlimg-agent rollback "$USER_DIR"
	[[ $output == *"written since, and merged: /etc/passwd
"* ]]
	same "accounts" "$D5 $LATER" "$(xargs <"$UPPER/etc/passwd")"
	on v1
	same "boot.json" '["none",3,null]' "$(boot '[.change, .generation, .reconcile]')"
}

@test "taken back, a package that came since is in the former status, and one that was removed is not" {
	local dpkg=$UPPER/var/lib/dpkg
	packaged v1 1
	packaged v2 2
	mkdir -p "$DIR"/v{1,2}/usr/share/gone
	for i in 1 2; do
		stanza gone $i >>"$DIR/v$i/var/lib/dpkg/status"
		echo $i >"$DIR/v$i/usr/share/gone/file"
		printf '%s\n' /. /usr /usr/share /usr/share/gone /usr/share/gone/file >"$DIR/v$i/var/lib/dpkg/info/gone.list"
	done
	echo only in 1 >"$DIR/v1/usr/share/gone/old"
	echo /usr/share/gone/old >>"$DIR/v1/var/lib/dpkg/info/gone.list"
	layers
	on v1
	on v2
	mkdir -p "$dpkg/info" "$UPPER/usr/share"/{new,gone}
	{
		stanza tool 2
		stanza new 1
	} >"$dpkg/status"
	echo new >"$UPPER/usr/share/new/file"
	printf '%s\n' /. /usr /usr/share /usr/share/new /usr/share/new/file >"$dpkg/info/new.list"
	mknod "$UPPER/usr/share/gone/file" c 0 0
	mknod "$dpkg/info/gone.list" c 0 0
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "packages" "tool 1 new 1" "$(awk '/^(Package|Version)/ { print $2 }' "$dpkg/status" | xargs)"
	same "new" new "$(cat "$UPPER/usr/share/new/file")"
	same "hidden" "old file" "$(cd "$UPPER/usr/share/gone" && find . -type c -printf '%P\n' | sort -r | xargs)"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
}

@test "what only a former version of a package had is hidden no longer than there is something to hide" {
	local info=var/lib/dpkg/info
	packaged v1 1
	packaged v2 2
	echo exit >"$DIR/v1/$info/tool.prerm"
	layers
	on v1
	mkdir -p "$UPPER/$info" "$UPPER/usr/share/tool"
	stanza tool 3 >"$UPPER/var/lib/dpkg/status"
	cp "$DIR/v1/$info/tool.list" "$UPPER/$info"
	echo 3 >"$UPPER/usr/share/tool/version"
	mknod "$UPPER/$info/tool.prerm" c 0 0
	on v2
	same "info" tool.list "$(ls "$UPPER/$info")"
	same "told" '["whiteout-gone","dropped"]' "$(jq -c '.entries[] | select(.path | endswith("tool.prerm")) | [.verdict, .done]' "$USER_DIR/mlimg/reports/2.json")"
	same "version" 3 "$(cat "$UPPER/usr/share/tool/version")"
	on v1
	same "info, back" "tool.list tool.prerm" "$(cd "$UPPER/$info" && echo *)"
}

@test "a number that things in carve-outs have stays, whatever the new system says" {
	need root
	local mine=$UPPER/etc/passwd store=$USER_DIR/carve-outs/var/lib/d
	printf '%s\n' $D5 >"$DIR/v1/etc/passwd"
	printf '%s\n' $D6 n:x:105:105::/:/bin/false >"$DIR/v2/etc/passwd"
	echo d | tee "$DIR/v1/var/d" >"$DIR/v2/var/d"
	chown 105 "$DIR/v1/var/d"
	chown 106 "$DIR/v2/var/d"
	echo n >"$DIR/v2/var/n"
	chown 105 "$DIR/v2/var/n"
	layers
	on v1
	mkdir -p "$store/data"
	chown 105 "$store" "$store/data"
	on v2
	same "accounts" "d:x:105:106::/:/bin/false n:x:999:105::/:/bin/false" "$(xargs <"$mine")"
	same "owners" "d 105 n 999" "$(cd "$UPPER/var" && stat -c '%n %u' d n | xargs)"
	same "told" '["d: the system has id 106 for it; it stays 105, which files outside of the system have"]' \
		"$(jq -c '[.databases[] | select(.name == "d") | "\(.name): \(.text)"]' "$USER_DIR/mlimg/reports/2.json")"
	same "carve-out" 105 "$(stat -c %u "$store/data")"
	on v2
	same "again" '["none",null]' "$(boot '[.change, .reconcile]')"
	# And on the next one.
	echo more >"$DIR/v2/etc/more"
	layers
	on v2
	same "boot.json" '["changed","reconciled"]' "$(boot '[.change, .reconcile.done]')"
	same "accounts" "d:x:105:106::/:/bin/false n:x:999:105::/:/bin/false" "$(xargs <"$mine")"
	same "owners" "d 105 n 999" "$(cd "$UPPER/var" && stat -c '%n %u' d n | xargs)"
}

@test "taken back, a number that things in carve-outs have got since stays" {
	need root
	accounts_of_stacks
	on v1
	on v2
	mkdir -p "$USER_DIR/carve-outs/srv"
	chown 106 "$USER_DIR/carve-outs/srv"
	mkdir -p "$UPPER/etc"
	printf '%s\n' $D6 $N7 $LATER >"$UPPER/etc/passwd"
	on v1
	same "accounts" "d:x:106:105::/:/bin/false $LATER" "$(xargs <"$UPPER/etc/passwd")"
}

@test "taken back, such a number stays though nobody has changed an account" {
	need root
	accounts_of_stacks
	on v1
	on v2
	mkdir -p "$USER_DIR/carve-outs/srv"
	chown 106 "$USER_DIR/carve-outs/srv"
	on v1
	same "accounts" "d:x:106:105::/:/bin/false" "$(xargs <"$UPPER/etc/passwd")"
}

# update NAME VERSION: what dpkg notes of a package
update() {
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: %s\n' "$1" "$2"
}

# status_of NAME VERSION…: a status
status_of() {
	while [ $# -gt 0 ]; do
		update "$1" "$2" && echo
		shift 2
	done
}

# journal: another system, after the power has failed when b was changed and c installed.
journal() {
	local dir=var/lib/dpkg
	mkdir -p "$DIR"/v{1,2}/$dir/updates "$UPPER/$dir/updates"
	status_of a 1 b 1 >"$DIR/v1/$dir/status"
	status_of a 2 b 1 >"$DIR/v2/$dir/status"
	layers
	on v1
	update b 3 >"$UPPER/$dir/updates/0000"
	update c 1 >"$UPPER/$dir/updates/0001"
	on v2
}

@test "packages that were changed when the power failed are in dpkg's journal, and merged" {
	local dir=var/lib/dpkg
	journal
	same "status" "$(status_of a 2 b 3 c 1)" "$(cat "$UPPER/$dir/status")"
	[ ! -e "$UPPER/$dir/updates/0000" ] && [ ! -e "$UPPER/$dir/updates/0001" ]
	same "told" '["merged","dropped"]' "$(jq -c '.entries[] | select(.path == "var/lib/dpkg/updates/0000") | [.verdict, .done]' "$USER_DIR/mlimg/reports/2.json")"
	same "conflicts" 0 "$(boot .report.counts.conflict)"
	on v1
	same "journal, back" "$(update b 3)" "$(cat "$UPPER/$dir/updates/0000")"
	[ ! -e "$UPPER/$dir/status" ]
}

@test "taken back, a journal of dpkg's does not undo what packages have become since" {
	local dir=var/lib/dpkg
	journal
	# dpkg goes on, and the power fails again.
	mkdir -p "$UPPER/$dir/updates"
	status_of a 2 b 4 c 1 >"$UPPER/$dir/status"
	update d 1 >"$UPPER/$dir/updates/0000"
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "status" "$(status_of a 1 b 4 c 1 d 1)" "$(cat "$UPPER/$dir/status")"
	same "journal" "" "$(ls "$UPPER/$dir/updates")"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
}

@test "a journal of dpkg's that is none leaves packages as they are" {
	local dir=var/lib/dpkg
	mkdir -p "$DIR"/v{1,2}/$dir/updates "$UPPER/$dir/updates"
	status_of a 1 >"$DIR/v1/$dir/status"
	status_of a 2 >"$DIR/v2/$dir/status"
	layers
	on v1
	status_of a 1 b 1 >"$UPPER/$dir/status"
	echo torn >"$UPPER/$dir/updates/0000"
	on v2
	same "status" "$(status_of a 1 b 1)" "$(cat "$UPPER/$dir/status")"
	same "journal" torn "$(cat "$UPPER/$dir/updates/0000")"
	same "note" "packages: not merged: mine: var/lib/dpkg/updates/0000: line 1: not 'Field: value'" "$(boot '.notes[]')"
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
	echo cache of 2 and more >"$UPPER/etc/ld.so.cache"
	on v1
	[ ! -e "$UPPER/etc/ld.so.cache" ]
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
	same "to be made" etc/ld.so.cache "$(cat "$RUN/rebuild")"
	same "report" '[["etc/ld.so.cache","stale","derived","dropped"]]' \
		"$(jq -c '.entries | map([.path, .verdict, .class, .done])' "$USER_DIR/mlimg/reports/3.json")"
}

@test "a list of caches outlives a cut right after the change" {
	edit
	echo cache >"$UPPER/etc/ld.so.cache"
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

@test "what debconf knows is merged, of the user's answers and the new system's questions" {
	local dir=var/cache/debconf
	question() {
		printf 'Name: %s\nTemplate: %s\nValue: %s\nOwners: %s\n\n' "$1" "$1" "$2" "${1%%/*}"
	}
	mkdir -p "$DIR"/v{1,2}/$dir "$UPPER/$dir"
	question a/x 1 | tee "$DIR/v1/$dir/config.dat" >"$DIR/v1/$dir/config.dat-old"
	{ question a/x 2 && question b/y 2; } >"$DIR/v2/$dir/config.dat"
	printf 'Name: a/x\nDefault: 1\nType: string\nDescription-de.UTF-8: Frage?\\n Mehr.\n\n' | tee "$DIR"/v{1,2}/$dir/templates.dat >"$UPPER/$dir/templates.dat"
	printf 'Name: m/z\nType: note\n\n' >>"$UPPER/$dir/templates.dat"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	on v1
	{ question a/x 1 && question m/z 3; } >"$UPPER/$dir/config.dat"
	echo old >"$UPPER/$dir/config.dat-old"
	chmod 640 "$UPPER/$dir/config.dat"
	on v2
	same "config" "$(question a/x 2 && question m/z 3 && question b/y 2)" "$(cat "$UPPER/$dir/config.dat")"
	same "mode" 640 "$(stat -c %a "$UPPER/$dir/config.dat")"
	same "templates" "$(cat "$DIR/v2/$dir/templates.dat" && printf 'Name: m/z\nType: note\n\n')" "$(cat "$UPPER/$dir/templates.dat")"
	same "notes" "" "$(boot '.notes[]')"
	same "conflicts" 0 "$(jq '[.entries[] | select(.verdict == "conflict")] | length' "$USER_DIR/mlimg/reports/2.json")"
	question m/w 4 >>"$UPPER/$dir/config.dat"
	on v1
	same "config, back" "$(question a/x 1 && question m/z 3 && question m/w 4)" "$(cat "$UPPER/$dir/config.dat")"
}
