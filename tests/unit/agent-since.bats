#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Taken back, when the user has done since what no program does: databases behind links, directories made anew, other modes of what the change has put.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

# each_driver FUNCTION ARGUMENT…: with a user layer of its own
each_driver() {
	local driver
	for driver in overlay unionfs; do
		# shellcheck disable=SC2034 # stacks.bash
		OPTIONS=(--union "$driver")
		user_anew
		"$@"
	done
}

# link PATH NAME: as the user makes one, to /srv/NAME
link() {
	mkdir -p "$UPPER/srv" "$UPPER/$(dirname "$1")"
	rm -rf "${UPPER:?}/$1"
	ln -s "/srv/$2" "$UPPER/$1"
}

# hidden: what the upper hides, in whatever form
hidden() {
	(cd "$UPPER" && find . \( -type c -o -name '*_HIDDEN~' \) -printf '%P\n' | sort | xargs)
}

NO_FILE="is no file, or behind a symbolic link"

# status_linked PATH NAME: to a copy of it
status_linked() {
	on v1
	on v2
	link "$1" "$2"
	cp -a "$DIR/v2/$1" "$UPPER/srv/$2"
	on v1
	same "notes ($driver, $1)" "packages: not merged: /var/lib/dpkg/status of the user $NO_FILE" "$(boot '.notes[]')"
	same "hidden ($driver, $1)" "" "$(hidden)"
	same "link ($driver, $1)" "/srv/$2" "$(readlink "$UPPER/$1")"
	same "what it leads to ($driver, $1)" "" "$(diff -r "$DIR/v2/$1" "$UPPER/srv/$2")"
}

@test "taken back, packages whose database is behind a link since are not taken for removed" {
	need root
	packages_of_stacks
	each_driver status_linked var/lib/dpkg/status status
	each_driver status_linked var/lib/dpkg dpkg
	each_driver status_linked var/lib lib
}

# accounts_of_stacks: v2 has another service's account in the place of that of v1.
accounts_of_stacks() {
	local i
	for i in 1 2; do
		printf 'root:x:0:0::/:/bin/sh\ns%s:x:107:107::/:/bin/false\n' $i >"$DIR/v$i/etc/passwd"
		printf 'root:x:0:\ns%s:x:107:\n' $i >"$DIR/v$i/etc/group"
		printf 'root:*:19000:0:99999:7:::\ns%s:!:19000::::::\n' $i >"$DIR/v$i/etc/shadow"
		echo "s$i:100000:65536" >"$DIR/v$i/etc/subuid"
	done
	layers
}

# accounts_linked FILE: since the change
accounts_linked() {
	local me=me:x:1000:1000::/:/bin/sh file
	on v1
	mkdir -p "$UPPER/etc"
	{
		cat "$DIR/v1/etc/passwd"
		echo $me
	} >"$UPPER/etc/passwd"
	on v2
	link "etc/$1" "$1"
	cp "$DIR/v2/etc/$1" "$UPPER/srv/$1"
	on v1
	same "notes ($driver, $1)" "accounts: not merged: /etc/$1 of the user $NO_FILE" "$(boot '.notes[]')"
	same "link ($driver, $1)" "/srv/$1" "$(readlink "$UPPER/etc/$1")"
	for file in passwd group shadow subuid; do
		[ $file != "$1" ] || continue
		if [ -e "$UPPER/etc/$file" ]; then cat "$UPPER/etc/$file"; else cat "$DIR/v1/etc/$file"; fi >"$DIR/found"
		same "$file ($driver, $1)" "" "$(diff "$DIR/v1/etc/$file" "$DIR/found" | grep -vx -e '[0-9].*' -e "> $me")"
	done
	same "hidden ($driver, $1)" "" "$(hidden)"
}

# accounts_linked_before FILE: and nothing written since
accounts_linked_before() {
	on v1
	link "etc/$1" "$1"
	echo mine >"$UPPER/srv/$1"
	upper >"$DIR/before"
	on v2
	same "notes on v2 ($driver, $1)" "accounts: not merged: /etc/$1 of the user $NO_FILE" "$(boot '.notes[]')"
	# The change has merged nothing, so there is nothing to tell of taking it back.
	on v1
	same "notes ($driver, $1)" "" "$(boot '.notes[]')"
	same "upper ($driver, $1)" "$(cat "$DIR/before")" "$(upper)"
	same "what it leads to ($driver, $1)" mine "$(cat "$UPPER/srv/$1")"
}

@test "taken back, accounts one of whose files is a link, since or before, are those of before" {
	need root
	local file
	accounts_of_stacks
	for file in passwd group shadow subuid; do
		each_driver accounts_linked $file
		each_driver accounts_linked_before $file
	done
}

# app_of_stacks: with four files, of which the user has three copies, and one of his own
app_of_stacks() {
	local i
	for i in 1 2; do
		mkdir -p "$DIR/v$i/etc/app" "$DIR/v$i/usr/lib/app"
		echo same >"$DIR/v$i/etc/app/stale"
		echo conf $i >"$DIR/v$i/etc/app/conf"
		echo program $i >"$DIR/v$i/usr/lib/app/program"
		echo library $i >"$DIR/v$i/usr/lib/app/library"
	done
	layers
}

# app_renewed: after `rm -r DIR; mkdir DIR`, of directories of which the change has taken all, or has left something
app_renewed() {
	local dir
	on v1
	mkdir -p "$UPPER"/{etc,usr/lib}/app
	(cd "$DIR/v1" && cp -a --parents etc/app/{stale,conf} usr/lib/app/library "$UPPER")
	echo mine >"$UPPER/usr/lib/app/program"
	echo kept >"$UPPER/usr/lib/app/kept"
	on v2
	same "upper on v2 ($driver)" "usr/lib/app/kept" "$(cd "$UPPER" && find . -type f ! -name '*_HIDDEN~' -printf '%P\n')"
	rm -rf "${UPPER:?}"/{etc,usr/lib}/app
	for dir in etc usr/lib; do
		mkdir -p "$UPPER/$dir/app"
		echo new >"$UPPER/$dir/app/new"
		opaque $dir/app
	done
	on v1
	same "upper ($driver)" "etc/app/new usr/lib/app/new" "$(cd "$UPPER" && find . -type f ! -name '*_HIDDEN~' -printf '%P\n' | sort | xargs)"
	same "aside ($driver)" "etc/app/conf etc/app/stale usr/lib/app/library usr/lib/app/program" \
		"$(cd "$USER_DIR/mlimg/aside" && find . -type f -printf '%P\n' | sed 's|^[0-9]*/||' | sort | xargs)"
	same "told ($driver)" "etc/app/conf etc/app/stale usr/lib/app/library usr/lib/app/program" \
		"$(jq -r '.entries[].path' "$USER_DIR/mlimg/reports/3.json" | sort | xargs)"
}

# opaque DIR: one that has others beneath, made anew, as the driver does it
opaque() {
	local file
	if [ "$driver" = overlay ]; then
		setfattr -n trusted.overlay.opaque -v y "$UPPER/$1"
		return
	fi
	# unionfs-fuse hides each file that rm has removed.
	for file in "$DIR/v2/$1"/*; do
		[ -e "$UPPER/$1/$(basename "$file")" ] || hide "$1/$(basename "$file")"
	done
}

@test "taken back, what the user has removed with its directory does not return into the one that he has made anew" {
	need root
	app_of_stacks
	each_driver app_renewed
}

# app_opaque: the directory was made anew before the change
app_opaque() {
	on v1
	mkdir -p "$UPPER"/usr/lib/app "$UPPER/etc/app"
	echo mine >"$UPPER/usr/lib/app/program"
	echo kept >"$UPPER/usr/lib/app/kept"
	cp -a "$DIR/v1/usr/lib/app/library" "$UPPER/usr/lib/app"
	opaque usr/lib/app
	(cd "$UPPER" && find . -type f -exec sha256sum {} + | sort) >"$DIR/before"
	on v2
	on v1
	same "upper ($driver)" "$(cat "$DIR/before")" "$(cd "$UPPER" && find . -type f -exec sha256sum {} + | sort)"
	same "aside ($driver)" "" "$(find "$USER_DIR/mlimg/aside" -type f 2>/dev/null)"
}

@test "taken back, what was in a directory that the user had made anew before returns" {
	need root
	app_of_stacks
	each_driver app_opaque
}

# attributes FILE…: contents and mode of what shows on v1
attributes() {
	local file
	for file; do
		if [ -e "$UPPER/$file" ]; then file=$UPPER/$file; else file=$DIR/v1/$file; fi
		echo "$(cat "$file") $(stat -c %a:%u "$file")"
	done
}

# modes_changed: before the change, and what the change has put since
modes_changed() {
	on v1
	mkdir -p "$UPPER"/{etc,usr/bin}
	(cd "$DIR/v1" && cp -a --parents usr/bin/{suid,owned,stale} etc/c "$UPPER")
	echo mine >"$UPPER/usr/bin/edited"
	chmod 755 "$UPPER/usr/bin/suid"
	chmod 600 "$UPPER/etc/c"
	chown 5 "$UPPER/usr/bin/owned"
	on v2
	same "on v2 ($driver)" "suid 2 755:0 owned 2 755:5 c 2 600:0" "$(attributes usr/bin/suid usr/bin/owned etc/c | xargs)"
	chmod 4755 "$UPPER/usr/bin/suid"
	chmod 640 "$UPPER/etc/c"
	chown 6 "$UPPER/usr/bin/owned"
	copy usr/bin/{stale,edited}
	chmod 700 "$UPPER"/usr/bin/{stale,edited}
	on v1
	same "on v1 ($driver)" "suid 1 4755:0 owned 1 755:6 c 1 640:0 stale 1 700:0 mine 700:0" \
		"$(attributes usr/bin/{suid,owned} etc/c usr/bin/{stale,edited} | xargs)"
	same "aside ($driver)" "" "$(find "$USER_DIR/mlimg/aside" -type f 2>/dev/null)"
	same "boot.json ($driver)" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

@test "taken back, what the change had put, or let show, gets the former contents where the user has changed its mode or owner alone" {
	need root
	local i
	for i in 1 2; do
		for file in suid owned stale edited; do
			echo $file $i >"$DIR/v$i/usr/bin/$file"
			chmod 755 "$DIR/v$i/usr/bin/$file"
		done
		chmod 4755 "$DIR/v$i/usr/bin/suid"
		echo c $i >"$DIR/v$i/etc/c"
	done
	layers
	each_driver modes_changed
}

# mode_of_moved: of what the change had put for the sake of its owner, where there was nothing before
mode_of_moved() {
	on v1
	mkdir -p "$UPPER/etc"
	printf '%s\n' d:x:105:105::/:/bin/false me:x:106:106::/:/bin/sh >"$UPPER/etc/passwd"
	on v2
	same "on v2 ($driver)" "owned 2 755" "$(cat "$UPPER/usr/bin/owned") $(stat -c %a "$UPPER/usr/bin/owned")"
	chmod 700 "$UPPER/usr/bin/owned"
	on v1
	same "on v1 ($driver)" "owned 1 700:105" "$(attributes usr/bin/owned)"
	same "aside ($driver)" "" "$(find "$USER_DIR/mlimg/aside" -type f 2>/dev/null)"
}

@test "taken back, what the change had put for the sake of an owner has the former stack's contents, and the mode of since" {
	need root
	local i
	for i in 1 2; do
		echo d:x:10$((i + 4)):10$((i + 4))::/:/bin/false >"$DIR/v$i/etc/passwd"
		echo owned $i >"$DIR/v$i/usr/bin/owned"
		chmod 755 "$DIR/v$i/usr/bin/owned"
		chown 10$((i + 4)) "$DIR/v$i/usr/bin/owned"
	done
	layers
	each_driver mode_of_moved
}
