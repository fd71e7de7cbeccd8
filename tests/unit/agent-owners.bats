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

# renamed OWNER: the user has renamed a directory of the system's, and removed a file from it
renamed() {
	mkdir -p "$UPPER/usr/lib/other"
	mknod "$UPPER/usr/lib/dir" c 0 0
	mknod "$UPPER/usr/lib/other/hidden" c 0 0
	setfattr -n trusted.overlay.redirect -v dir "$UPPER/usr/lib/other"
	chown "$1:$1" "$UPPER/usr/lib/other"
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
	again
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
		user_anew usr/bin
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

@test "taken back, what shows in a renamed directory alone is of the account that has to give way, too" {
	need root
	local when
	accounts v1 d 105
	accounts v2 d 106
	mkdir -p "$DIR"/v{1,2}/usr/lib/dir/below
	echo d | tee "$DIR"/v{1,2}/usr/lib/dir/{file,hidden,below/file} >/dev/null
	chown -R 105:105 "$DIR/v1/usr/lib/dir"
	chown -R 106:106 "$DIR/v2/usr/lib/dir"
	layers
	cp -a "$USER_DIR" "$DIR/fresh"
	for when in before since; do
		rm -rf "$USER_DIR"
		cp -a "$DIR/fresh" "$USER_DIR"
		on v1
		[ $when = since ] || renamed 105
		on v2
		[ $when = before ] || renamed 106
		same "renamed, $when" 106 "$(stat -c %u "$UPPER/usr/lib/other")"
		mkdir -p "$UPPER/etc"
		printf '%s\n' d:x:106:106::/:/bin/false my:x:105:105::/:/bin/false >"$UPPER/etc/passwd"
		printf '%s\n' d:x:106: my:x:105: >"$UPPER/etc/group"
		on v1
		same "accounts, $when" "d=106 my=105" "$(names)"
		same "what is there, $when" "other other/below other/below/file other/file other/hidden" "$(cd "$UPPER/usr/lib" && find other -printf '%p\n' | sort | xargs)"
		same "owners, $when" "106:106 106:106 106:106 106:106" "$(cd "$UPPER/usr/lib/other" && stat -c %u:%g . below file below/file | xargs)"
		same "contents, $when" "d d" "$(cd "$UPPER/usr/lib/other" && cat file below/file | xargs)"
		[ -c "$UPPER/usr/lib/other/hidden" ] && [ -c "$UPPER/usr/lib/dir" ]
		same "boot.json, $when" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	done
}

@test "taken back, what is hidden of a package that was removed is hidden whosever it is" {
	need root
	accounts v1 d 105
	accounts v2 d 106
	packaged v1 1
	packaged v2 2
	stanza dpkg 1 | tee -a "$DIR/v1/var/lib/dpkg/status" >>"$DIR/v2/var/lib/dpkg/status"
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
	stanza dpkg 1 >"$UPPER/var/lib/dpkg/status"
	mknod "$UPPER/usr/share/tool/version" c 0 0
	mknod "$UPPER/var/lib/dpkg/info/tool.list" c 0 0
	on v1
	same "accounts" "d=106 my=105" "$(names)"
	same "hidden" "old version" "$(cd "$UPPER/usr/share/tool" && find . -type c -printf '%P\n' | sort | xargs)"
}

# rights FILE…: below srv of the upper: owner, mode, ACL, capabilities
rights() {
	local file
	for file; do
		(
			cd "$UPPER/srv"
			# shellcheck disable=SC2046 # words of one line
			echo "$file" $(stat -c %u:%g:%a "$file") $(getfacl -cns "$file" | grep -v '^other') $(getcap -n "$file" | cut -d ' ' -f 2-)
		)
	done
}

# rights_of_both: an account of another number on either stack, and things of it in srv, which are on v2 now
rights_of_both() {
	accounts v1 d 105
	accounts v2 d 106
	layers
	user_anew srv/dir
	on v1
	(
		cd "$UPPER/srv"
		touch setid group capable acl mask plain
		chown 105:105 dir setid group capable acl mask plain
		chmod 4755 setid
		chmod 2755 group
		chmod 640 acl mask plain
		setcap cap_net_raw=ep capable
		setfacl -m u:105:rw- acl mask
		setfacl -m d:u:105:rwx dir
	)
	before=$(treelist "$UPPER")
	on v2
	same "set-id on v2" "setid 106:106:4755" "$(rights setid)"
	same "capability on v2" "capable 106:106:644 cap_net_raw=ep" "$(rights capable)"
	same "ACL on v2" "acl 106:106:660 user::rw- user:106:rw- group::r-- mask::rw-" "$(rights acl)"
}

# taken FILE WANTED COMMAND…: what the command, in srv on v2, has taken away of its rights is not there when the change is taken back
taken() {
	local file=$1 wanted=$2
	need root
	rights_of_both
	(cd "$UPPER/srv" && "${@:3}" "$file")
	on v1
	same "rights, back" "$file $wanted" "$(rights "$file")"
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
	same "another thing" "plain 105:105:640" "$(rights plain)"
}

@test "taken back, owners, set-id bits, capabilities and ACLs are what they were" {
	need root
	rights_of_both
	on v1
	same "upper, back" "$before" "$(treelist "$UPPER")"
	on v2
	same "ACL, there again" "acl 106:106:660 user::rw- user:106:rw- group::r-- mask::rw-" "$(rights acl)"
	on v1
	same "upper, back again" "$before" "$(treelist "$UPPER")"
}

@test "taken back, a set-uid bit that the user has taken away since is gone" {
	taken setid 105:105:755 chmod u-s
}

@test "taken back, a set-gid bit that the user has taken away since is gone" {
	taken group 105:105:755 chmod g-s
}

@test "taken back, a capability that the user has taken away since is gone" {
	taken capable 105:105:644 setcap -r
}

@test "taken back, an ACL that the user has taken away since is gone" {
	taken acl 105:105:640 setfacl -b
}

@test "taken back, an entry of an ACL that the user has taken away since is gone" {
	taken acl "105:105:640 user::rw- group::r-- mask::r--" setfacl -x u:106
}

@test "taken back, the group bits of what has an ACL stay as the user has set them since" {
	taken mask "105:105:640 user::rw- user:105:rw- #effective:r-- group::r-- mask::r--" chmod g-w
}

@test "taken back, an ACL for new files that the user has taken away since is gone" {
	taken dir 105:105:755 setfacl -k
}

@test "taken back, an entry of an ACL that the user has added since names his account" {
	taken acl "105:105:660 user::rw- user:105:rw- user:1234:r-- group::r-- mask::rw-" setfacl -m u:1234:r
}

@test "taken back, a set-uid bit that the user has taken away since is gone where no number has moved" {
	local version
	need root
	for version in v1 v2; do
		echo tool >"$DIR/$version/etc/tool"
	done
	chmod 4755 "$DIR/v1/etc/tool"
	chmod 4751 "$DIR/v2/etc/tool"
	layers
	on v1
	mkdir -p "$UPPER/etc"
	echo mine >"$UPPER/etc/tool"
	chmod 4755 "$UPPER/etc/tool"
	on v2
	same "mode on v2" 4751 "$(stat -c %a "$UPPER/etc/tool")"
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	same "mode, back" 4755 "$(stat -c %a "$UPPER/etc/tool")"
	again
	chmod u-s "$UPPER/etc/tool"
	on v1
	same "mode, back after the user has changed it" 751 "$(stat -c %a "$UPPER/etc/tool")"
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

@test "taken back and stopped at any call, rights are what they are without a stop" {
	local before wanted calls at status n=0 args
	need root
	echo tool | tee "$DIR/v1/etc/tool" >"$DIR/v2/etc/tool"
	chmod 4755 "$DIR/v1/etc/tool"
	chmod 4751 "$DIR/v2/etc/tool"
	rights_of_both
	(
		cd "$UPPER/srv"
		mkdir taken
		cp -a setid group capable acl mask taken
	)
	on v1
	# Of root's, whose number is the same.
	mkdir -p "$UPPER/etc"
	echo mine >"$UPPER/etc/tool"
	chmod 4755 "$UPPER/etc/tool"
	on v2
	same "mode on v2" 4751 "$(stat -c %a "$UPPER/etc/tool")"
	chmod u-s "$UPPER/etc/tool"
	(
		cd "$UPPER/srv/taken"
		chmod u-s setid
		chmod g-s group
		setcap -r capable
		setfacl -x u:106 acl
		chmod g-w mask
	)
	cp -a "$USER_DIR" "$DIR/start"
	on v1
	wanted=$(treelist "$UPPER")
	same "mode" 751 "$(stat -c %a "$UPPER/etc/tool")"
	same "set-id" "setid 105:105:4755 taken/setid 105:105:755" "$(rights setid taken/setid | xargs)"
	args=(mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT")
	again
	calls=$(stop-at - "${args[@]}" 3>&1 >/dev/null)
	for ((at = 1; at <= calls; at++)); do
		again
		status=0
		stop-at "$at" "${args[@]}" 3>/dev/null >/dev/null 2>&1 || status=$?
		[ "$status" -eq 137 ] || [ "$status" -eq 0 ]
		[ -e "$USER_DIR/mlimg/reconcile.plan" ] || continue
		n=$((n + 1))
		on v1
		same "upper, stopped at call $at of $calls" "$wanted" "$(treelist "$UPPER")"
	done
	[ $n -gt 20 ]
}
