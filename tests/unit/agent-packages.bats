#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Databases of packages on another stack: merged, there and back.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

@test "taken back, a package that came since is in the former status, and one that was removed is not" {
	local dpkg=$UPPER/var/lib/dpkg
	packages_of_stacks
	on v1
	on v2
	new_package
	on v1
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "packages" "tool 1 new 1" "$(awk '/^(Package|Version)/ { print $2 }' "$dpkg/status" | xargs)"
	same "new" new "$(cat "$UPPER/usr/share/new/file")"
	same "hidden" "old file" "$(cd "$UPPER/usr/share/gone" && find . -type c -printf '%P\n' | sort -r | xargs)"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
}

@test "taken back, files of a version of before do not return without their package, which was removed since or is another version" {
	local dpkg=$UPPER/var/lib/dpkg info=var/lib/dpkg/info how
	packaged v1 1
	packaged v2 4
	stanza dpkg 1 | tee -a "$DIR/v1/var/lib/dpkg/status" >>"$DIR/v2/var/lib/dpkg/status"
	layers
	for how in removed newer; do
		user_anew
		on v1
		# Version 3 has a file more.
		mkdir -p "$dpkg/info" "$UPPER/usr/share/tool"
		{ stanza tool 3 && stanza dpkg 1; } >"$dpkg/status"
		echo 3 | tee "$UPPER/usr/share/tool/version" >"$UPPER/usr/share/tool/more"
		(cat "$DIR/v1/$info/tool.list" && echo /usr/share/tool/more) >"$dpkg/info/tool.list"
		on v2
		same "upper on v2 ($how)" "" "$(cd "$UPPER" && find . -path './usr/*' -type f)"
		mkdir -p "$dpkg/info" "$UPPER/usr/share/tool"
		if [ $how = removed ]; then
			stanza dpkg 1 >"$dpkg/status"
			mknod "$UPPER/usr/share/tool/version" c 0 0
			mknod "$dpkg/info/tool.list" c 0 0
		else
			{ stanza tool 5 && stanza dpkg 1; } >"$dpkg/status"
			echo 5 >"$UPPER/usr/share/tool/version"
			cp "$DIR/v2/$info/tool.list" "$dpkg/info/tool.list"
		fi
		on v1
		same "boot.json ($how)" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
		same "files ($how)" version "$(ls "$UPPER/usr/share/tool")"
		same "aside ($how)" "3/usr/share/tool/more" "$(cd "$USER_DIR/mlimg/aside" && find . -name more -printf '%P\n')"
	done
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
	layers
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
