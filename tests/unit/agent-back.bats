#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The last change of the stack taken back, when the user has copied, removed or merged things since.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

# removed: what the user has removed in a directory before he replaced it, with unionfs-fuse: the marks below it say nothing
removed() {
	mkdir -p "$UPPER/.unionfs-fuse/usr/share/d/below" "$UPPER/.unionfs-fuse/usr/share/d_HIDDEN~" "$UPPER/usr/share/d/below"
	: >"$UPPER/.unionfs-fuse/usr/share/d/file_HIDDEN~"
	: >"$UPPER/.unionfs-fuse/usr/share/d/below/file_HIDDEN~"
	echo mine | tee "$UPPER/usr/share/d/own" >"$UPPER/usr/share/d/same"
}

# seen: the upper, but for the times of directories of marks, which nobody sees
seen() {
	treelist "$UPPER" | sed '/unionfs-fuse.* type=dir/s/ time=.*//'
}

@test "a directory that is joined with a new one of the stack hides nothing of it, with unionfs-fuse's marks neither; there and back" {
	need root
	local before
	mkdir -p "$DIR/v2/usr/share/d/below"
	echo 2 | tee "$DIR/v2/usr/share/d/file" >"$DIR/v2/usr/share/d/below/file"
	echo mine >"$DIR/v2/usr/share/d/same"
	layers
	OPTIONS=(--union unionfs)
	user_anew
	on v1
	removed
	before=$(seen)
	on v2
	same "joined" '["usr/share/d","joined"]' "$(jq -c '.entries[] | select(.path == "usr/share/d") | [.path, .done]' "$USER_DIR/mlimg/reports/2.json")"
	same "marks" "" "$(find "$UPPER/.unionfs-fuse" -name '*_HIDDEN~')"
	on v1
	same "upper, back" "$before" "$(seen)"
	same "boot.json" '["rolled-back",0,[]]' "$(boot '[.reconcile.done, .reconcile.aside, .notes]')"
	# Removed on the newer stack: then the marks of before hide nothing either.
	on v2
	rm -r "$UPPER/usr/share/d"
	on v1
	same "upper, of a directory that was removed" "usr usr/share" "$(upper)"
}

@test "a directory that is joined with another one of the stack has marks for what its user does not see alone; there and back" {
	need root
	local before
	mkdir -p "$DIR"/v{1,2}/usr/share/d/below
	echo 1 | tee "$DIR/v1/usr/share/d/file" >"$DIR/v1/usr/share/d/below/file"
	echo 2 | tee "$DIR"/v2/usr/share/d/{file,new} >"$DIR/v2/usr/share/d/below/file"
	echo mine | tee "$DIR/v1/usr/share/d/same" >"$DIR/v2/usr/share/d/same"
	layers
	OPTIONS=(--union unionfs)
	user_anew
	on v1
	removed
	before=$(seen)
	on v2
	same "marks" "usr/share/d/below/file_HIDDEN~ usr/share/d/file_HIDDEN~" "$(cd "$UPPER/.unionfs-fuse" && find . -name '*_HIDDEN~' -printf '%P\n' | sort | xargs)"
	same "upper" ".unionfs-fuse/usr/share/d/below/file_HIDDEN~ .unionfs-fuse/usr/share/d/file_HIDDEN~ usr usr/share usr/share/d usr/share/d/below usr/share/d/own" "$(upper)"
	on v1
	same "upper, back" "$before" "$(seen)"
	same "boot.json" '["rolled-back",0,[]]' "$(boot '[.reconcile.done, .reconcile.aside, .notes]')"
}

# What only v2 has: a directory with two files, and one in /etc; d is another directory in each.
copies_of_stacks() {
	mkdir -p "$DIR"/v{1,2}/usr/share/d "$DIR/v2/usr/share/new"
	echo new | tee "$DIR/v2/etc/new" "$DIR/v2/usr/share/new/a" >"$DIR/v2/usr/share/new/b"
	echo 1 >"$DIR/v1/usr/share/d/file"
	echo 2 >"$DIR/v2/usr/share/d/file"
	chmod 700 "$DIR/v1/usr/share/d"
	chmod 750 "$DIR/v2/usr/share/d"
	echo 127.0.0.1 >"$DIR/v1/etc/hostname"
	echo 127.0.0.2 >"$DIR/v2/etc/hostname"
	rm -rf "${UPPER:?}"/*
	layers
}

@test "taken back, copies of the newer stack that nobody changed do not stay" {
	need root
	local driver
	copies_of_stacks
	for driver in overlay unionfs; do
		OPTIONS=(--union "$driver")
		user_anew
		on v1
		on v2
		# Opened for writing; touched; in a directory that v1 has not; the same mode again; a name that stays the user's in any case.
		copy etc/conf etc/new usr/bin/program usr/share/new/a usr/share/d/file etc/hostname
		touch -d @5 "$UPPER/etc/conf"
		on v1
		same "upper on v1 ($driver)" "etc etc/hostname" "$(upper)"
		same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
		same "boot.json" '["rolled-back",5,[]]' "$(boot '[.reconcile.done, .reconcile.dropped, .notes]')"
		same "report" '[["etc/conf","stale","config","dropped"],["etc/new","stale","config","dropped"],["usr/bin/program","stale","owned","dropped"]]' \
			"$(jq -c '.entries | map([.path, .verdict, .class, .done]) | sort | [.[] | select(.[0] | startswith("usr/share") | not)]' "$USER_DIR/mlimg/reports/3.json")"
	done
}

@test "taken back, what the user wrote stays, and is on what the former stack has" {
	need root
	copies_of_stacks
	on v1
	on v2
	copy etc/conf usr/share/new/a usr/share/new/b usr/share/d/file
	echo mine >>"$UPPER/etc/conf"
	echo mine >"$UPPER/usr/share/new/b"
	echo mine >"$UPPER/usr/share/d/own"
	# v1's other contents with the mode that the user gave it; and the directory as v1 has it.
	copy usr/bin/program
	chmod 4711 "$UPPER/usr/bin/program"
	on v1
	same "upper on v1" "etc etc/conf usr usr/bin usr/bin/program usr/share usr/share/d usr/share/d/own usr/share/new usr/share/new/b" "$(upper)"
	same "contents" "mine mine mine program 1" "$(cd "$UPPER" && tail -qn 1 etc/conf usr/share/new/b usr/share/d/own usr/bin/program | xargs)"
	same "modes" "4711 700" "$(cd "$UPPER" && stat -c %a usr/bin/program usr/share/d | xargs)"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
	same "notes" "[]" "$(boot .notes)"
}

@test "taken back, what the change had set aside or dropped returns where there is but an unchanged copy" {
	local before
	on v1
	echo mine >"$UPPER/usr/bin/program"
	cp "$DIR/v1/etc/stale" "$UPPER/etc/stale"
	before=$(treelist "$UPPER")
	on v2
	same "aside on v2" mine "$(cat "$USER_DIR/mlimg/aside/2/usr/bin/program")"
	copy usr/bin/program etc/stale
	on v1
	same "upper" "$before" "$(treelist "$UPPER")"
	same "aside" "" "$(find "$USER_DIR/mlimg/aside/2" -type f)"
}

@test "taken back, what somebody has removed from aside is told once" {
	local lost='"taken back: things that were set aside and are no longer there: 1"'
	on v1
	mkdir -p "$UPPER/usr/bin"
	echo mine >"$UPPER/usr/bin/program"
	on v2
	rm -r "$USER_DIR/mlimg/aside/2"
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	same "notes" "[$lost]" "$(boot .notes)"
	same "report" "broken   mlimg/aside/2: taken back: things that were set aside and are no longer there: 1" \
		"$(grep ^broken "$USER_DIR/mlimg/reports/3.txt")"
	same "JSON" '["broken","mlimg/aside/2"]' "$(jq -c '.databases[] | [.kind, .path]' "$USER_DIR/mlimg/reports/3.json")"
	on v1
	same "notes of the next boot" "[]" "$(boot .notes)"
	# What the user has back already is none of them.
	again
	printf 'mlimg-resolved 1\n2 mine usr/bin/program\n' >"$USER_DIR/mlimg/resolved"
	on v1
	same "notes where it is resolved" "[]" "$(boot .notes)"
}

@test "taken back, whiteouts of what only the newer stack had go, others stay" {
	need root
	local driver hidden
	copies_of_stacks
	for driver in overlay unionfs; do
		OPTIONS=(--union "$driver")
		user_anew
		on v1
		on v2
		hide etc/new
		hide etc/conf
		on v1
		hidden="etc etc/conf"
		[ $driver = overlay ] || hidden=.unionfs-fuse/etc/conf_HIDDEN~
		same "upper on v1 ($driver)" "$hidden" "$(upper)"
	done
}

@test "taken back without a whole list of what the upper had, copies stay as they are" {
	local how
	for how in missing damaged; do
		user_anew
		on v1
		on v2
		copy etc/conf
		if [ $how = missing ]; then
			rm "$USER_DIR/mlimg/undo/2/paths"
		else
			printf x >>"$USER_DIR/mlimg/undo/2/paths"
		fi
		on v1
		same "upper, list $how" "etc etc/conf" "$(upper)"
		same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	done
}

@test "taken back, a database that the user had removed before and writes anew has what he wrote" {
	need root
	local driver
	printf '%s\n' d:1000:1 z:2000:1 >"$DIR/v1/etc/subuid"
	printf '%s\n' d:1000:1 e:3000:1 >"$DIR/v2/etc/subuid"
	layers
	for driver in overlay unionfs; do
		OPTIONS=(--union "$driver")
		user_anew etc
		on v1
		hide etc/subuid
		on v2
		# Without other accounts nothing would be merged.
		printf '%s\n' d:x:1000:1000::/:/bin/sh >"$UPPER/etc/passwd"
		rm -rf "$UPPER/etc/subuid" "$UPPER/.unionfs-fuse"
		echo my:5000:1 >"$UPPER/etc/subuid"
		on v1
		same "subuid ($driver)" my:5000:1 "$(xargs <"$UPPER/etc/subuid")"
		same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	done
}

@test "taken back, whiteouts of a package that gives way go, with whatever driver and beside renamed directories" {
	need root
	local how
	packaged v1 2
	packaged v2 3
	mkdir "$DIR"/v{1,2}/usr/share/other
	layers
	for how in overlay redirect unionfs; do
		# shellcheck disable=SC2034 # stacks.bash
		OPTIONS=(--union "${how/redirect/overlay}")
		user_anew
		on v1
		on v2
		# The user goes back to version 1 himself, and removes a file of it.
		mkdir -p "$UPPER/var/lib/dpkg/info"
		stanza tool 1 >"$UPPER/var/lib/dpkg/status"
		cp "$DIR/v1/var/lib/dpkg/info/tool.list" "$UPPER/var/lib/dpkg/info/"
		hide usr/share/tool/version
		if [ $how = redirect ]; then
			hide usr/share/other
			mkdir "$UPPER/usr/share/renamed"
			setfattr -n trusted.overlay.redirect -v other "$UPPER/usr/share/renamed"
		fi
		on v1
		same "package ($how)" "tool 2" "$(awk '/^(Package|Version)/ { print $2 }' "$(find "$UPPER" "$DIR/v1" -path '*/dpkg/status' | head -n 1)" | xargs)"
		same "whiteouts ($how)" "" "$(find "$UPPER" -path "*/usr/share/tool/version*")"
		[ $how != redirect ] || [ -c "$UPPER/usr/share/other" ]
	done
}

# documented V1 V2: the package tool in these versions on the two systems, in each with its own documentation.
documented() {
	local i
	packaged v1 "$1"
	packaged v2 "$2"
	for i in 1 2; do
		echo "doc $i" >"$DIR/v$i/usr/share/tool/doc"
		echo /usr/share/tool/doc >>"$DIR/v$i/var/lib/dpkg/info/tool.list"
	done
	layers
}

@test "taken back, a version of before that had been set aside returns, and the one installed since gives way to it" {
	local dpkg=$UPPER/var/lib/dpkg driver
	need root
	documented 2 4
	for driver in overlay unionfs; do
		# shellcheck disable=SC2034 # stacks.bash
		OPTIONS=(--union "$driver")
		user_anew
		on v1
		mkdir -p "$dpkg/info" "$UPPER/usr/share/tool"
		cp "$DIR/v1/var/lib/dpkg/info/tool.list" "$dpkg/info"
		stanza tool 3 >"$dpkg/status"
		echo 3 >"$UPPER/usr/share/tool/version"
		echo doc 3 >"$UPPER/usr/share/tool/doc"
		echo mine >"$dpkg/info/tool.postinst"
		on v2
		same "aside ($driver)" "doc 3 3 mine" "$(cd "$USER_DIR/mlimg/aside/2" && cat usr/share/tool/{doc,version} var/lib/dpkg/info/tool.postinst | xargs)"
		# Of version 1, which has no documentation.
		mkdir -p "$dpkg/info" "$UPPER/usr/share/tool"
		sed /doc/d "$DIR/v1/var/lib/dpkg/info/tool.list" >"$dpkg/info/tool.list"
		stanza tool 1 >"$dpkg/status"
		echo 1 >"$UPPER/usr/share/tool/version"
		chmod 600 "$UPPER/usr/share/tool/version"
		hide usr/share/tool/doc
		on v1
		same "boot.json ($driver)" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
		same "package ($driver)" "tool 3" "$(awk '/^(Package|Version)/ { print $2 }' "$dpkg/status" | xargs)"
		same "files ($driver)" "doc 3 3 644" "$(cat "$UPPER"/usr/share/tool/{doc,version} | xargs) $(stat -c %a "$UPPER/usr/share/tool/version")"
		same "list ($driver)" "$(cat "$DIR/v1/var/lib/dpkg/info/tool.list")" "$(cat "$dpkg/info/tool.list")"
		same "aside ($driver), back" "3/usr/share/tool/version 3/var/lib/dpkg/info/tool.list" "$(cd "$USER_DIR/mlimg/aside" && find . -type f -printf '%P\n' | sort | xargs)"
		same "told ($driver)" '["aside"]' "$(jq -c '[.entries[] | select(.path == "usr/share/tool/version") | .done]' "$USER_DIR/mlimg/reports/3.json")"
	done
}

@test "taken back, files of a package of the user's own stay, those that the newer stack has as well" {
	need root
	documented 1 2
	on v1
	on v2
	# Version 3 has the same documentation as 2.
	copy usr/share/tool/doc var/lib/dpkg/info/tool.list
	stanza tool 3 >"$UPPER/var/lib/dpkg/status"
	echo 3 >"$UPPER/usr/share/tool/version"
	on v1
	same "package" "tool 3" "$(awk '/^(Package|Version)/ { print $2 }' "$UPPER/var/lib/dpkg/status" | xargs)"
	same "files" "doc 2 3" "$(cat "$UPPER"/usr/share/tool/{doc,version} | xargs)"
	[ -e "$UPPER/var/lib/dpkg/info/tool.list" ]
}

@test "taken back, databases of which only the mode was changed since have the former stack's records, and that mode" {
	local dpkg=var/lib/dpkg/status i
	for i in 1 2; do
		packaged v$i $i
		printf 'root:x:0:0::/:/bin/sh\ns:x:10%s:10%s::/:/bin/sh\n' $i $i >"$DIR/v$i/etc/passwd"
		printf 'root:x:0:\ns:x:10%s:\n' $i >"$DIR/v$i/etc/group"
		printf 'root:*:19000:0:99999:7:::\ns:*:19000:0:99999:7:::\n' >"$DIR/v$i/etc/shadow"
	done
	layers
	on v1
	on v2
	copy etc/passwd etc/group $dpkg
	chmod 600 "$UPPER/etc/passwd" "$UPPER/$dpkg"
	chmod 640 "$UPPER/etc/group"
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	for i in etc/passwd etc/group $dpkg; do
		same "$i" "$(cat "$DIR/v1/$i")" "$(cat "$UPPER/$i")"
	done
	same "modes" "600 640 600" "$(cd "$UPPER" && stat -c %a etc/passwd etc/group $dpkg | xargs)"
	same "upper" "etc etc/group etc/passwd usr usr/bin var var/lib var/lib/dpkg var/lib/dpkg/status" "$(upper)"
}

@test "taken back, a directory made where one was renamed from does not show what that shows" {
	need root
	mkdir -p "$DIR/v1/usr/share/other" "$DIR/v2/usr/share"
	echo 1 >"$DIR/v1/usr/share/other/file"
	layers
	on v1
	# mv /usr/share/other /usr/share/renamed
	hide usr/share/other
	mkdir "$UPPER/usr/share/renamed"
	setfattr -n trusted.overlay.redirect -v other "$UPPER/usr/share/renamed"
	on v2
	# Made over the whiteout, removed, which leaves none where the stack has nothing, and made again.
	rm "$UPPER/usr/share/other"
	mkdir "$UPPER/usr/share/other"
	echo mine >"$UPPER/usr/share/other/own"
	on v1
	same "own" mine "$(cat "$UPPER/usr/share/other/own")"
	same "opaque" y "$(getfattr --only-values -n trusted.overlay.opaque "$UPPER/usr/share/other")"
	same "renamed" other "$(getfattr --only-values -n trusted.overlay.redirect "$UPPER/usr/share/renamed")"
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

# killed CALLS COMMAND…: stopped at that call that writes
killed() {
	local status=0
	stop-at "$1" "${@:2}" 3>/dev/null >/dev/null 2>&1 || status=$?
	[ "$status" -eq 137 ] || [ "$status" -eq 0 ]
}

@test "what merging has to tell is told by the boot that ends a change or its way back" {
	local wanted calls at n=0
	need root
	packages_of_stacks
	on v1
	on v2
	new_package
	# A package that the former stack cannot have.
	sed -i 's/^Package: new$/&\nDepends: tool (>= 2)/' "$UPPER/var/lib/dpkg/status"
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	wanted=$(boot '.notes[]')
	[[ $wanted == *tool* ]]
	again
	calls=$(stop-at - mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" 3>&1 >/dev/null)
	for at in $((calls / 2)) $((calls * 5 / 8)) $((calls * 3 / 4)) $((calls * 7 / 8)); do
		again
		killed "$at" mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT"
		[ -e "$USER_DIR/mlimg/reconcile.plan" ] || continue
		n=$((n + 1))
		on v1
		same "notes, stopped at call $at of $calls" "$wanted
the rollback to generation 3, which an earlier boot had begun, was ended" "$(boot '.notes[]')"
		grep -q "tool (>= 2)" "$USER_DIR/mlimg/reports/3.txt"
	done
	[ $n -gt 0 ]
}

@test "taken back, also when killed, a database has the owner and the mode from before the change" {
	local dpkg=$UPPER/var/lib/dpkg/status wanted calls at
	need root
	packaged v1 1
	packaged v2 1
	chgrp 1 "$DIR/v1/var/lib/dpkg/status"
	chmod 640 "$DIR/v2/var/lib/dpkg/status"
	layers
	on v1
	(cd "$DIR/v1" && cp -a --parents var/lib/dpkg/status "$UPPER")
	printf '\nPackage: mine\nStatus: install ok installed\nVersion: 1\n' >>"$dpkg"
	on v2
	same "on the newer stack" "640 0" "$(stat -c '%a %g' "$dpkg")"
	printf '\nPackage: since\nStatus: install ok installed\nVersion: 1\n' >>"$dpkg"
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	same "taken back" "644 1 3" "$(stat -c '%a %g' "$dpkg") $(grep -c ^Package "$dpkg")"
	wanted=$(treelist "$UPPER")
	again
	calls=$(stop-at - mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" 3>&1 >/dev/null)
	for ((at = calls * 5 / 8; at < calls; at += calls / 12)); do
		again
		killed "$at" mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT"
		on v1
		same "killed at call $at of $calls" "$wanted" "$(treelist "$UPPER")"
	done
}
