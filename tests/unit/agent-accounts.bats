#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Accounts on another stack: merged, and whose things are, there and back.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	stacks_setup
}

@test "accounts: the user's and the system's, and what belongs to a number that moved" {
	echo d:x:105:105::/:/bin/false >"$DIR/v1/etc/passwd"
	printf '%s\n' d:x:106:105::/:/bin/false n:x:107:105::/:/bin/false >"$DIR/v2/etc/passwd"
	echo d >"$DIR/v1/var/d"
	cp "$DIR/v1/var/d" "$DIR/v2/var/d"
	layers
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

@test "a service's account that both made keeps the user's number, there, further and back" {
	need root
	local mine=p:x:107:107::/:/bin/sh
	echo $D5 >"$DIR/v1/etc/passwd"
	echo d:x:105: >"$DIR/v1/etc/group"
	printf '%s\n' $D5 $N7 p:x:110:110::/:/bin/sh >"$DIR/v2/etc/passwd"
	printf '%s\n' d:x:105: n:x:107: p:x:110: >"$DIR/v2/etc/group"
	echo theirs >"$DIR/v2/var/p"
	echo n >"$DIR/v2/var/n"
	chown 110:110 "$DIR/v2/var/p"
	chown 107:107 "$DIR/v2/var/n"
	cp -a "$DIR/v2" "$DIR/v3"
	echo more >"$DIR/v3/var/more"
	chown 110:110 "$DIR/v3/var/more"
	layers
	local V3
	V3=$(layerdir system debian 12.3 "$DIR/v3" "$DIR/layer-v3")
	on v1
	mkdir -p "$UPPER/etc" "$UPPER/var"
	printf '%s\n' $D5 $mine >"$UPPER/etc/passwd"
	printf '%s\n' d:x:105: p:x:107: >"$UPPER/etc/group"
	echo mine >"$UPPER/var/mine"
	chown 107:107 "$UPPER/var/mine"
	on v2
	same "accounts" "$D5 n:x:999:999::/:/bin/false $mine" "$(xargs <"$UPPER/etc/passwd")"
	same "groups" "d:x:105: n:x:999: p:x:107:" "$(xargs <"$UPPER/etc/group")"
	same "owners" "mine 107:107 n 999:999 p 107:107" "$(cd "$UPPER/var" && stat -c '%n %u:%g' mine n p | xargs)"
	same "told" "p: the system has id 110 for it; it stays 107 n: id 107 is that of 'p' here; it has 999 instead" \
		"$(jq -r '.databases[] | select(.path == "etc/passwd") | .name + ": " + .text' "$USER_DIR/mlimg/reports/2.json" | tr '\n' ' ' | sed 's/ $//')"
	V2=$V3 on v3
	same "accounts, further" "$D5 n:x:999:999::/:/bin/false $mine" "$(xargs <"$UPPER/etc/passwd")"
	same "owners, further" "mine 107:107 more 107:107 n 999:999 p 107:107" "$(cd "$UPPER/var" && stat -c '%n %u:%g' mine more n p | xargs)"
	on v2
	same "owners, back" "mine 107:107 n 999:999 p 107:107" "$(cd "$UPPER/var" && stat -c '%n %u:%g' mine n p | xargs)"
}

@test "a service's account that both made, taken back" {
	need root
	local mine=p:x:107:107::/:/bin/sh
	echo $D5 >"$DIR/v1/etc/passwd"
	printf '%s\n' $D5 p:x:110:110::/:/bin/sh >"$DIR/v2/etc/passwd"
	echo theirs >"$DIR/v2/var/p"
	chown 110:110 "$DIR/v2/var/p"
	layers
	on v1
	mkdir -p "$UPPER/etc" "$UPPER/var"
	printf '%s\n' $D5 $mine >"$UPPER/etc/passwd"
	echo mine >"$UPPER/var/mine"
	chown 107:107 "$UPPER/var/mine"
	on v2
	echo since >"$UPPER/var/since"
	chown 107:107 "$UPPER/var/since"
	on v1
	same "accounts" "$D5 $mine" "$(xargs <"$UPPER/etc/passwd")"
	same "owners" "mine 107 since 107" "$(cd "$UPPER/var" && stat -c '%n %u' mine since | xargs)"
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

@test "taken back, an account of the newer stack stays when an ACL names it since" {
	need root
	accounts_of_stacks
	on v1
	on v2
	mkdir "$UPPER/var"
	touch "$UPPER/var/since"
	setfacl -m u:107:r "$UPPER/var/since"
	on v1
	# Else whoever has the number next could read it.
	same "accounts" "$D5 $N7" "$(xargs <"$UPPER/etc/passwd")"
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
		user_anew usr/bin
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
		user_anew etc
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

# carved ACCOUNT…: the user has things of d, 105, in a carve-out, which is $store, and comes from v1 to v2, that has these accounts, and n with this number.
carved() {
	printf '%s\n' $D5 >"$DIR/v1/etc/passwd"
	printf '%s\n' "$@" n:x:105:105::/:/bin/false >"$DIR/v2/etc/passwd"
	echo n >"$DIR/v2/var/n"
	chown 105 "$DIR/v2/var/n"
	layers
	on v1
	store=$USER_DIR/carve-outs/var/lib/d
	mkdir -p "$store/data"
	chown 105 "$store" "$store/data"
	on v2
}

@test "a number that things in carve-outs have stays, whatever the new system says" {
	need root
	local mine=$UPPER/etc/passwd store
	echo d | tee "$DIR/v1/var/d" >"$DIR/v2/var/d"
	chown 105 "$DIR/v1/var/d"
	chown 106 "$DIR/v2/var/d"
	carved $D6
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

@test "a number that things in carve-outs have stays, too, of an account that the new system has no more" {
	need root
	local store
	carved
	same "accounts" "d:x:105:105::/:/bin/false n:x:999:105::/:/bin/false" "$(xargs <"$UPPER/etc/passwd")"
	same "owners" "n 999 data 105" "$(stat -c '%n %u' "$UPPER/var/n" "$store/data" | sed 's,.*/,,' | xargs)"
	echo more >"$DIR/v2/etc/more"
	layers
	on v2
	same "accounts, on the next one" "d:x:105:105::/:/bin/false n:x:999:105::/:/bin/false" "$(xargs <"$UPPER/etc/passwd")"
	on v1
	same "owner, back" 105 "$(stat -c %u "$store/data")"
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

MY5=my:x:105:105::/:/bin/false

@test "taken back, files of an account that has to give way to the user's get its number" {
	need root
	echo $D5 >"$DIR/v1/etc/passwd"
	echo d:x:105: >"$DIR/v1/etc/group"
	: >"$DIR/v2/etc/passwd"
	: >"$DIR/v2/etc/group"
	mkdir -p "$DIR/v1/var/lib/d/below"
	echo d >"$DIR/v1/var/lib/d/below/file"
	ln -s file "$DIR/v1/var/lib/d/below/link"
	mkfifo "$DIR/v1/var/lib/d/below/fifo"
	chown -hR 105:105 "$DIR/v1/var/lib/d"
	layers
	on v1
	on v2
	mkdir -p "$UPPER/etc"
	echo $MY5 >"$UPPER/etc/passwd"
	echo my:x:105: >"$UPPER/etc/group"
	echo mine >"$UPPER/etc/own"
	chown 105:105 "$UPPER/etc/own"
	on v1
	same "accounts" "d:x:999:999::/:/bin/false $MY5" "$(sort "$UPPER/etc/passwd" | xargs)"
	same "owners" "105:105 999:999 999:999 999:999 999:999 999:999" \
		"$(cd "$UPPER" && stat -c %u:%g etc/own var/lib/d var/lib/d/below var/lib/d/below/{file,link,fifo} | xargs)"
	same "contents" "d file" "$(cat "$UPPER/var/lib/d/below/file") $(readlink "$UPPER/var/lib/d/below/link")"
	same "boot.json" '["rolled-back",[]]' "$(boot '[.reconcile.done, .notes]')"
}

# moved_number: the number of d is 105 in v1 and 106 in v2, where the user has given 105 to an account of his own since: d is left with 106.
moved_number() {
	echo $D5 >"$DIR/v1/etc/passwd"
	echo d:x:105: >"$DIR/v1/etc/group"
	echo 'd:!:19000:0:99999:7:::' >"$DIR/v1/etc/shadow"
	echo 'd:*:19000:0:99999:7:::' >"$DIR/v2/etc/shadow"
	echo "${D5//105/106}" >"$DIR/v2/etc/passwd"
	echo d:x:106: >"$DIR/v2/etc/group"
	chmod 640 "$DIR"/v{1,2}/etc/shadow
	mkdir -p "$DIR"/v{1,2}/usr/{share/both,share/copied,lib}
	echo 1 | tee "$DIR/v1/usr/bin/changed" "$DIR/v1/usr/share/both/file" >"$DIR/v1/usr/share/copied/file"
	echo 2 | tee "$DIR/v2/usr/bin/changed" "$DIR/v2/usr/share/both/file" "$DIR/v2/usr/share/copied/file" >"$DIR/v2/usr/lib/dir"
	chown -R 105:105 "$DIR"/v1/usr/{bin/changed,share/both,share/copied}
	chown -R 106:106 "$DIR"/v2/usr/{bin/changed,share/both,share/copied}
	chgrp 105 "$DIR/v1/etc/shadow"
	chgrp 106 "$DIR/v2/etc/shadow"
	layers
}

# my_account: what adduser does on v2
my_account() {
	mkdir -p "$UPPER/etc"
	printf '%s\n' "${D5//105/106}" $MY5 >"$UPPER/etc/passwd"
	printf '%s\n' d:x:106: my:x:105: >"$UPPER/etc/group"
	echo 'my:!:19000:0:99999:7:::' >>"$UPPER/etc/shadow"
}

@test "taken back, what returns whole has the number that its account is left with" {
	need root
	moved_number
	on v1
	# A copy in a copied directory, which both go; a program and a directory that are set aside; a database that is merged.
	mkdir -p "$UPPER/usr/share" "$UPPER/usr/lib/dir/below"
	cp -a "$DIR/v1/usr/share/copied" "$UPPER/usr/share/"
	cp -a "$DIR/v1/etc/shadow" "$UPPER/etc/shadow"
	echo 'mine:!:19000:0:99999:7:::' >>"$UPPER/etc/shadow"
	echo mine | tee "$UPPER/usr/bin/changed" >"$UPPER/usr/lib/dir/below/file"
	ln -s file "$UPPER/usr/lib/dir/below/link"
	chown -hR 105:105 "$UPPER/usr/bin/changed" "$UPPER/usr/lib/dir"
	chown 0 "$UPPER/usr/lib/dir/below"
	on v2
	same "owners on v2" 106 "$(stat -c %g "$UPPER/etc/shadow")"
	same "upper on v2" "etc etc/shadow" "$(upper)"
	my_account
	echo mine >"$UPPER/etc/own"
	chown 105:105 "$UPPER/etc/own"
	on v1
	same "accounts" "d:x:106:106::/:/bin/false $MY5" "$(sort "$UPPER/etc/passwd" | xargs)"
	same "owners" "105:105 0:106 106:106 106:106 0:106 106:106 106:106 106:106 106:106" \
		"$(cd "$UPPER" && stat -c %u:%g etc/own etc/shadow usr/bin/changed usr/lib/dir{,/below{,/file,/link}} usr/share/copied{,/file} | xargs)"
	same "shadow" "d mine my" "$(cut -d: -f1 "$UPPER/etc/shadow" | sort | xargs)"
	same "contents" "mine mine 1" "$(cat "$UPPER"/usr/{bin/changed,lib/dir/below/file,share/copied/file} | xargs)"
	same "boot.json" '["rolled-back",0,[]]' "$(boot '[.reconcile.done, .reconcile.aside, .notes]')"
}

@test "taken back, what the user has written in the place of what would return is nobody else's" {
	need root
	moved_number
	on v1
	echo mine >"$UPPER/usr/bin/changed"
	chown 105:105 "$UPPER/usr/bin/changed"
	on v2
	my_account
	copy usr/bin/changed
	echo newer >"$UPPER/usr/bin/changed"
	chown 0:0 "$UPPER/usr/bin/changed"
	chmod 600 "$UPPER/usr/bin/changed"
	on v1
	same "newer" "newer 0:0 600" "$(cat "$UPPER/usr/bin/changed") $(stat -c '%u:%g %a' "$UPPER/usr/bin/changed")"
}

@test "taken back, a number that the user has given since is not taken for the one of then" {
	need root
	moved_number
	on v1
	mkdir "$UPPER/var"
	echo mine >"$UPPER/var/file"
	chown 105:105 "$UPPER/var/file"
	on v2
	same "owner on v2" 106:106 "$(owners var/file)"
	my_account
	chgrp 105 "$UPPER/var/file"
	touch -d @1234567890 "$UPPER/var/file"
	on v1
	same "owner, time" "106:105 1234567890" "$(owners var/file) $(stat -c %Y "$UPPER/var/file")"
}

@test "taken back, a changed mode and a directory of the former stack's are whose they are left with" {
	need root
	moved_number
	on v1
	on v2
	my_account
	copy usr/bin/changed usr/share/both
	rm "$UPPER/usr/share/both/file"
	chmod 4711 "$UPPER/usr/bin/changed"
	echo mine >"$UPPER/usr/share/both/own"
	on v1
	same "contents" "1 mine" "$(cat "$UPPER/usr/bin/changed" "$UPPER/usr/share/both/own" | xargs)"
	same "owners" "106:106 4711 106:106 755" "$(cd "$UPPER" && stat -c '%u:%g %a' usr/bin/changed usr/share/both | xargs)"
}
