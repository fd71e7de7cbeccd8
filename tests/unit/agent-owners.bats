#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Whose things are when a change is taken back, where accounts have moved or gone.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
	rm -rf "${UPPER:?}"/*
}

# accounts VERSION [NAME ID]…: those of a system
accounts() {
	local dir=$DIR/$1/etc
	shift
	: >"$dir/passwd"
	: >"$dir/group"
	while [ $# -gt 0 ]; do
		echo "$1:x:$2:$2::/:/bin/false" >>"$dir/passwd"
		echo "$1:x:$2:" >>"$dir/group"
		shift 2
	done
}

# names: the accounts in the upper, with their numbers
names() {
	[ ! -e "$UPPER/etc/passwd" ] || awk -F : '{ print $1 "=" $3 }' "$UPPER/etc/passwd" | sort | xargs
}

@test "taken back, a directory that the change made for databases does not keep the account whose it is" {
	need root
	local before
	accounts v1 d 105
	accounts v2 n 107
	chown 107:107 "$DIR/v2/etc"
	layers
	on v1
	# For its sake d stays, so that databases go to /etc, of which the upper has nothing.
	mkdir "$UPPER/var"
	echo mine >"$UPPER/var/mine"
	chown 105:105 "$UPPER/var/mine"
	before=$(treelist "$UPPER")
	on v2
	same "accounts on v2" "d=105 n=107" "$(names)"
	same "owner of etc" 107:107 "$(stat -c %u:%g "$UPPER/etc")"
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	same "upper, back" "$before" "$(treelist "$UPPER")"
	# With something of the user's in it the directory stays, and so does n.
	rm -rf "$USER_DIR"
	cp -a "$DIR/start" "$USER_DIR"
	echo mine >"$UPPER/etc/own"
	on v1
	same "accounts, of a directory that stays" "d=105 n=107" "$(names)"
}

@test "taken back, what returns is of an account that the user has moved since, where the stacks do not agree on its number" {
	need root
	local number
	for number in 105 106; do
		accounts v1 d 105
		accounts v2 d $number
		layers
		rm -rf "$USER_DIR"
		mkdir -p "$UPPER/usr/bin" "$USER_DIR/work"
		# shellcheck disable=SC2034 # stacks.bash
		TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
		on v1
		echo mine >"$UPPER/usr/bin/program"
		chown 105:105 "$UPPER/usr/bin/program"
		on v2
		[ ! -e "$UPPER/usr/bin/program" ]
		# usermod -u 1234 d, and what it does to a home
		mkdir -p "$UPPER/etc" "$UPPER/var/home" "$UPPER/srv"
		echo "d:x:1234:$number::/:/bin/false" >"$UPPER/etc/passwd"
		echo d | tee "$UPPER/var/home/file" >"$UPPER/srv/file"
		chown 1234 "$UPPER/var/home/file"
		chown "$number" "$UPPER/srv/file"
		on v1
		same "accounts ($number)" "d=1234" "$(names)"
		if [ $number = 105 ]; then
			same "owners ($number)" "105 1234 105" "$(cd "$UPPER" && stat -c %u usr/bin/program var/home/file srv/file | xargs)"
		else
			same "owners ($number)" "1234 1234 106" "$(cd "$UPPER" && stat -c %u usr/bin/program var/home/file srv/file | xargs)"
		fi
	done
}

@test "taken back, what the former stack has below a directory that returns is of the account that has to give way" {
	need root
	accounts v1 d 105
	accounts v2 d 106
	mkdir -p "$DIR/v1/usr/lib/dir/below"
	echo d | tee "$DIR/v1/usr/lib/dir/file" "$DIR/v1/usr/lib/dir/hidden" >"$DIR/v1/usr/lib/dir/below/file"
	chown -R 105:105 "$DIR/v1/usr/lib/dir"
	mkdir -p "$DIR/v2/usr/lib"
	echo 2 >"$DIR/v2/usr/lib/dir"
	layers
	on v1
	mkdir -p "$UPPER/usr/lib/dir/below"
	echo mine >"$UPPER/usr/lib/dir/below/own"
	mknod "$UPPER/usr/lib/dir/hidden" c 0 0
	chown 105:105 "$UPPER"/usr/lib/dir{,/below{,/own}}
	touch -d @1234567890 "$UPPER"/usr/lib/dir{/below,}
	on v2
	same "aside on v2" dir "$(ls "$USER_DIR/mlimg/aside/2/usr/lib")"
	# adduser my, which takes the number
	mkdir -p "$UPPER/etc"
	printf '%s\n' d:x:106:106::/:/bin/false my:x:105:105::/:/bin/false >"$UPPER/etc/passwd"
	printf '%s\n' d:x:106: my:x:105: >"$UPPER/etc/group"
	on v1
	same "accounts" "d=106 my=105" "$(names)"
	same "below the directory" "below below/file below/own file hidden" "$(cd "$UPPER/usr/lib/dir" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	same "owners" "106:106 106:106 106:106 106:106 106:106" "$(cd "$UPPER/usr/lib" && stat -c %u:%g dir dir/file dir/below dir/below/file dir/below/own | xargs)"
	same "contents" "d d mine" "$(cd "$UPPER/usr/lib/dir" && cat file below/file below/own | xargs)"
	same "times" "1234567890 1234567890" "$(cd "$UPPER/usr/lib" && stat -c %Y dir dir/below | xargs)"
	[ -c "$UPPER/usr/lib/dir/hidden" ]
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

@test "taken back, what is hidden of a package that was removed is hidden whosever it is" {
	need root
	accounts v1 d 105
	accounts v2 d 106
	packaged v1 1
	packaged v2 2
	echo d >"$DIR/v1/usr/share/tool/old"
	chown 105:105 "$DIR/v1/usr/share/tool/old"
	echo /usr/share/tool/old >>"$DIR/v1/var/lib/dpkg/info/tool.list"
	layers
	on v1
	on v2
	# adduser my, which takes the number; dpkg --purge tool
	mkdir -p "$UPPER/etc" "$UPPER/var/lib/dpkg/info" "$UPPER/usr/share/tool"
	printf '%s\n' d:x:106:106::/:/bin/false my:x:105:105::/:/bin/false >"$UPPER/etc/passwd"
	printf '%s\n' d:x:106: my:x:105: >"$UPPER/etc/group"
	: >"$UPPER/var/lib/dpkg/status"
	mknod "$UPPER/usr/share/tool/version" c 0 0
	mknod "$UPPER/var/lib/dpkg/info/tool.list" c 0 0
	on v1
	same "accounts" "d=106 my=105" "$(names)"
	same "hidden" "old version" "$(cd "$UPPER/usr/share/tool" && find . -type c -printf '%P\n' | sort | xargs)"
}
