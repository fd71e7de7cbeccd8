#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Databases that are not merged: what no program leaves, what is behind a link, pinned or immutable. Nothing is taken for removed, no number moves, and it is told; there and back.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

NOT="not merged"
LEFT="no program leaves it so: go back, restore it, and change again"
NEVER="dpkg never leaves it so: go back, restore it, from 'status-old' beside it say, and change again"

# with DRIVER: a new user layer
with() {
	# shellcheck disable=SC2034 # stacks.bash looks at it
	OPTIONS=(--union "$1")
	user_anew etc
}

# whiteouts: how many the upper has
whiteouts() {
	find "$UPPER" -type c -o -name '*_HIDDEN~' | wc -l
}

# accounts_of_pg: pg has another number in v2, and its old one is new's
accounts_of_pg() {
	printf '%s\n' root:x:0:0::/root:/bin/sh pg:x:107:107::/:/bin/false >"$DIR/v1/etc/passwd"
	printf '%s\n' root:x:0: pg:x:107: >"$DIR/v1/etc/group"
	printf '%s\n' root:x:0:0::/root:/bin/sh pg:x:110:110::/:/bin/false new:x:107:107::/:/bin/false >"$DIR/v2/etc/passwd"
	printf '%s\n' root:x:0: pg:x:110: new:x:107: >"$DIR/v2/etc/group"
	printf '%s\n' 'root:*:19000::::::' 'pg:*:19000::::::' | tee "$DIR/v1/etc/shadow" >"$DIR/v2/etc/shadow"
	layers
}

# my_accounts: useradd me, whose things are in var, and some of pg's
my_accounts() {
	{ cat "$DIR/v1/etc/passwd" && echo me:x:1000:1000::/:/bin/sh; } >"$UPPER/etc/passwd"
	{ cat "$DIR/v1/etc/group" && echo me:x:1000:; } >"$UPPER/etc/group"
	{ echo 'root:hash:19000::::::' && echo 'me:mine:19000::::::'; } >"$UPPER/etc/shadow"
	mkdir -p "$UPPER/var"
	touch "$UPPER/var"/{pg,me}
	chown 107:107 "$UPPER/var/pg"
	chown 1000:1000 "$UPPER/var/me"
}

# accounts_stay WHY: all of it is as it was on v1, on v2 and after the way back
accounts_stay() {
	local before
	before=$(treelist "$UPPER")
	on v2
	same "note ($driver, $1)" "accounts: $NOT: $1" "$(boot '.notes[]')"
	same "owners ($driver, $1)" "107:107 1000:1000" "$(stat -c %u:%g "$UPPER"/var/{pg,me} | xargs)"
	same "upper on v2 ($driver, $1)" "$before" "$(treelist "$UPPER")"
	same "told" '[["etc/passwd","accounts","broken"]]' "$(jq -c '.databases | map([.path, .name, .kind])' "$USER_DIR/mlimg/reports/2.json")"
	on v1
	same "back ($driver, $1)" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "upper, back ($driver, $1)" "$before" "$(treelist "$UPPER")"
}

@test "a passwd or group without records, or missing, is no wish to have none: nobody loses his password, no number moves" {
	need root
	local driver
	accounts_of_pg
	for driver in overlay unionfs; do
		with $driver
		on v1
		my_accounts
		: >"$UPPER/etc/passwd"
		accounts_stay "/etc/passwd of the user has no record, where there were 2; $LEFT"
		with $driver
		on v1
		my_accounts
		rm "$UPPER/etc/passwd"
		hide etc/passwd
		accounts_stay "/etc/passwd of the user is missing, where there were 2; $LEFT"
		with $driver
		on v1
		my_accounts
		: >"$UPPER/etc/group"
		accounts_stay "/etc/group of the user has no record, where there were 2; $LEFT"
	done
}

@test "with a passwd or group that is pinned no other file of accounts is merged, and no number moves" {
	need root
	local driver file
	accounts_of_pg
	for driver in overlay unionfs; do
		for file in passwd group; do
			with $driver
			on v1
			my_accounts
			mkdir -p "$UPPER/etc/mlimg/reconcile.d"
			echo "/etc/$file keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
			accounts_stay "/etc/$file of the user is of class keep, which a pin gives it: go back, unpin it (mlimg unpin), and change again"
		done
	done
}

@test "a shadow or subuid that cannot be merged stays, and numbers move by passwd and group, the user's or not" {
	need root
	local driver how own before shadow
	accounts_of_pg
	for driver in overlay unionfs; do
		for how in pinned linked subuid; do
			for own in '' passwd; do
				with $driver
				on v1
				my_accounts
				[ -n "$own" ] || rm "$UPPER"/etc/{passwd,group}
				case $how in
					pinned)
						mkdir -p "$UPPER/etc/mlimg/reconcile.d"
						echo "/etc/shadow keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
						;;
					linked)
						mkdir "$UPPER/srv"
						mv "$UPPER/etc/shadow" "$UPPER/srv"
						ln -s /srv/shadow "$UPPER/etc/shadow"
						;;
					subuid) ln -s /srv/subuid "$UPPER/etc/subuid" ;;
				esac
				before=$(treelist "$UPPER")
				shadow=$(cat "$UPPER"/etc/shadow "$UPPER"/srv/shadow 2>/dev/null || :)
				on v2
				same "note ($driver, $how)" "accounts: $NOT" "$(boot '.notes[]' | cut -d: -f 1,2)"
				same "owners ($driver, $how)" "110:110 1000:1000" "$(stat -c %u:%g "$UPPER"/var/{pg,me} | xargs)"
				[ -z "$own" ] || same "passwd ($driver, $how)" "me:1000 new:107 pg:110 root:0" "$(cut -d: -f 1,3 "$UPPER/etc/passwd" | sort | xargs)"
				[ $how = subuid ] || same "shadow ($driver, $how)" "$shadow" "$(cat "$UPPER"/etc/shadow "$UPPER"/srv/shadow 2>/dev/null || :)"
				# What is pg's on v2 is pg's on v1.
				touch -r "$UPPER/var" "$DIR/time"
				touch "$UPPER/var/since"
				chown 110:110 "$UPPER/var/since"
				on v1
				same "back ($driver, $how)" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
				same "owner of what was made since" 107:107 "$(stat -c %u:%g "$UPPER/var/since")"
				rm "$UPPER/var/since"
				touch -r "$DIR/time" "$UPPER/var"
				same "upper, back ($driver, $how)" "$before" "$(treelist "$UPPER")"
			done
		done
	done
}

@test "with a passwd that is immutable no other file of accounts is merged, and no number moves" {
	need root
	local driver=overlay
	accounts_of_pg
	with $driver
	on v1
	my_accounts
	setfattr -n trusted.overlay.protattr -v i "$UPPER/etc/passwd"
	accounts_stay "/etc/passwd of the user is immutable or append-only: go back, take that from it (chattr -ia), and change again"
}

@test "taken back, a passwd that was emptied or pinned since is not merged either" {
	need root
	local driver how why
	accounts_of_pg
	for driver in overlay unionfs; do
		for how in emptied pinned; do
			with $driver
			on v1
			my_accounts
			on v2
			same "owners on v2" "110:110 1000:1000" "$(stat -c %u:%g "$UPPER"/var/{pg,me} | xargs)"
			if [ $how = emptied ]; then
				: >"$UPPER/etc/passwd"
				why="has no record, where there were 4; $LEFT"
			else
				mkdir -p "$UPPER/etc/mlimg/reconcile.d"
				echo "/etc/passwd keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
				echo later:x:1001:1001::/:/bin/sh >>"$UPPER/etc/passwd"
				why="is of class keep, which a pin gives it: go back, unpin it (mlimg unpin), and change again"
			fi
			on v1
			same "note ($driver, $how)" "accounts: $NOT: /etc/passwd of the user $why" "$(boot '.notes[0]')"
			[[ $(cat "$UPPER/etc/shadow") == *"me:mine:"* ]]
			same "owners ($driver, $how)" "107:107 1000:1000" "$(stat -c %u:%g "$UPPER"/var/{pg,me} | xargs)"
		done
	done
}

@test "a change that has not merged accounts is taken back without merging them, mended or not" {
	need root
	local before
	accounts_of_pg
	with overlay
	on v1
	my_accounts
	: >"$UPPER/etc/passwd"
	before=$(treelist "$UPPER/var")
	on v2
	# What a program would write, with numbers of v1
	{ cat "$DIR/v1/etc/passwd" && echo me:x:1000:1000::/:/bin/sh; } >"$UPPER/etc/passwd"
	on v1
	same "note" "accounts: $NOT: the change that is taken back had not merged them either" "$(boot '.notes[]')"
	same "var" "$before" "$(treelist "$UPPER/var")"
}

# packages_to_hide: dpkg's database of three packages, whose files are others in v2
packages_to_hide() {
	local v
	packages_of_stacks
	for v in 1 2; do
		stanza dpkg 1 >>"$DIR/v$v/var/lib/dpkg/status"
		echo /. >"$DIR/v$v/var/lib/dpkg/info/dpkg.list"
	done
	layers
}

# packages_stay WHY: nothing is hidden, on v2 and after the way back
packages_stay() {
	local before n
	before=$(treelist "$UPPER")
	n=$(whiteouts)
	on v2
	same "note ($driver, $1)" "packages: $NOT: $1" "$(boot '.notes[]')"
	same "whiteouts ($driver, $1)" "$n" "$(whiteouts)"
	same "report" '["var/lib/dpkg/status","packages","broken"] null' \
		"$(jq -r '"\(.databases[0] | [.path, .name, .kind] | tojson) \(.hidden)"' "$USER_DIR/mlimg/reports/2.json")"
	on v1
	same "back ($driver, $1)" rolled-back "$(boot .reconcile.done)"
	same "upper, back ($driver, $1)" "$before" "$(treelist "$UPPER")"
}

@test "a status that is empty, missing, cut off or behind a link hides nothing, there and back" {
	need root
	local driver dpkg=$UPPER/var/lib/dpkg
	packages_to_hide
	for driver in overlay unionfs; do
		with $driver
		mkdir -p "$dpkg"
		on v1
		: >"$dpkg/status"
		packages_stay "/var/lib/dpkg/status of the user lists no package, where there were 3; $NEVER"
		with $driver
		on v1
		hide var/lib/dpkg/status
		packages_stay "/var/lib/dpkg/status of the user is missing, where there were 3; $NEVER"
		with $driver
		on v1
		hide var/lib/dpkg
		packages_stay "/var/lib/dpkg/status of the user is missing, where there were 3; $NEVER"
		with $driver
		mkdir -p "$dpkg"
		on v1
		{ stanza tool 1 && stanza gone 1; } >"$dpkg/status"
		packages_stay "/var/lib/dpkg/status of the user lacks 'dpkg', of which there is the list of files; $NEVER"
		with $driver
		mkdir -p "$UPPER"/{srv,var/lib}
		on v1
		cp -r "$DIR/v1/var/lib/dpkg" "$UPPER/srv"
		ln -s /srv/dpkg "$UPPER/var/lib/dpkg"
		packages_stay "/var/lib/dpkg/status of the user is no file, or behind a symbolic link"
		with $driver
		mkdir -p "$dpkg" "$UPPER/etc/mlimg/reconcile.d"
		on v1
		stanza tool 1 >"$dpkg/status"
		echo "/var/lib/dpkg keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
		packages_stay "/var/lib/dpkg/status of the user is of class keep, which a pin gives it: go back, unpin it (mlimg unpin), and change again"
	done
}

@test "taken back, a status that was emptied, removed, cut off or pinned since hides nothing" {
	need root
	local driver how dpkg=$UPPER/var/lib/dpkg why n
	packages_to_hide
	for driver in overlay unionfs; do
		for how in emptied removed cut pinned; do
			with $driver
			on v1
			on v2
			mkdir -p "$UPPER/var/lib"
			n=0
			case $how in
				emptied)
					mkdir "$dpkg"
					: >"$dpkg/status"
					why="lists no package, where there were 3; $NEVER"
					;;
				removed)
					hide var/lib/dpkg
					why="is missing, where there were 3; $NEVER"
					n=1
					;;
				cut)
					mkdir "$dpkg"
					{ stanza tool 2 && stanza gone 2; } >"$dpkg/status"
					why="lacks 'dpkg', of which there is the list of files; $NEVER"
					;;
				pinned)
					mkdir "$dpkg" "$dpkg/info"
					{ stanza tool 2 && stanza dpkg 1; } >"$dpkg/status"
					hide var/lib/dpkg/info/gone.list
					mkdir -p "$UPPER/etc/mlimg/reconcile.d"
					echo "/var/lib/dpkg/status keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
					why="is of class keep, which a pin gives it: go back, unpin it (mlimg unpin), and change again"
					n=1
					;;
			esac
			on v1
			same "note ($driver, $how)" "packages: $NOT: /var/lib/dpkg/status of the user $why" "$(boot '.notes[0]')"
			same "hidden ($driver, $how)" $n "$(whiteouts)"
		done
	done
}

@test "taken back, what is pinned of what apt has stays, while packages are merged" {
	need root
	local apt=var/lib/apt/extended_states
	packages_to_hide
	mkdir "$DIR"/v{1,2}/var/lib/apt
	printf 'Package: tool\nArchitecture: all\nAuto-Installed: 1\n\n' >"$DIR/v1/$apt"
	sed s/1/0/ "$DIR/v1/$apt" >"$DIR/v2/$apt"
	layers
	with overlay
	on v1
	on v2
	mkdir -p "$UPPER"/var/lib/{apt,dpkg/info} "$UPPER/etc/mlimg/reconcile.d"
	{ stanza tool 2 && stanza dpkg 1; } >"$UPPER/var/lib/dpkg/status"
	hide var/lib/dpkg/info/gone.list
	{ cat "$DIR/v2/$apt" && printf 'Package: dpkg\nArchitecture: all\nAuto-Installed: 0\n\n'; } >"$UPPER/$apt"
	echo "/var/lib/apt keep" >"$UPPER/etc/mlimg/reconcile.d/pins.conf"
	on v1
	same "packages" "dpkg 1 tool 1" "$(sed -n 's/^Package: //p; s/^Version: //p' "$UPPER/var/lib/dpkg/status" | paste -d' ' - - | sort | xargs)"
	same "apt" "0 0" "$(sed -n 's/^Auto-Installed: //p' "$UPPER/$apt" | xargs)"
}

@test "the report counts the files that are hidden of packages which the user has removed" {
	need root
	packages_of_stacks
	echo more >"$DIR/v2/usr/share/gone/more"
	echo /usr/share/gone/more >>"$DIR/v2/var/lib/dpkg/info/gone.list"
	layers
	on v1
	new_package
	on v2
	same "hidden" 1 "$(jq .hidden "$USER_DIR/mlimg/reports/2.json")"
	[[ $(cat "$USER_DIR/mlimg/reports/2.txt") == *"
       1 hidden
"* ]]
}
