#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg resolve, and queue of what it has queued, over directories in place of mounted layers; with the kernel's overlay and what a boot does
# then: ../root/user-undo.bats.
load ../lib/common
load ../lib/mlimg
load ../lib/undo

setup() {
	undo_setup
}

# in_conflict: what the user has, and another system: conf can be merged but for one line, touching not, tool was set aside.
in_conflict() {
	mlimg_boot
	mkdir -p "$UPPER/etc" "$UPPER/usr/bin"
	sed '3s/$/ mine/; 7s/$/ mine/' "$DIR/system/etc/conf" >"$UPPER/etc/conf"
	sed '3s/$/ mine/' "$DIR/system/etc/touching" >"$UPPER/etc/touching"
	chmod 0640 "$UPPER/etc/touching"
	echo my tool >"$UPPER/usr/bin/tool"
	chmod 0711 "$UPPER/usr/bin/tool"
	touch -d @1500000000 "$UPPER/usr/bin/tool"
	sed -i '7s/$/ theirs/' "$DIR/system/etc/conf"
	sed -i '3s/$/ theirs/; 9s/$/ theirs/' "$DIR/system/etc/touching"
	echo new tool >"$DIR/system/usr/bin/tool"
	SYSTEM_VERSION=12.2 mlimg_boot
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	ASIDE=$RUN/user/mlimg/aside
}

# open_conflicts: their paths
open_conflicts() {
	"${MLIMG[@]}" --json conflicts | jq -r .path | xargs
}

@test "mlimg resolve: mine" {
	in_conflict
	same "conflicts" "etc/conf etc/touching usr/bin/tool" "$(open_conflicts)"
	works "${MLIMG[@]}" resolve --keep mine --dry-run /etc/conf /usr/bin/tool
	same "dry run" "/etc/conf: yours stays; /etc/conf.mlimg-new is gone
/usr/bin/tool: yours is back
Nothing was done: --dry-run." "$output"
	same "conflicts" "etc/conf etc/touching usr/bin/tool" "$(open_conflicts)"
	echo edited >>"$UPPER/etc/touching.mlimg-new"
	works "${MLIMG[@]}" resolve --keep mine /etc/conf /etc/touching.mlimg-new /usr/bin/tool
	same "resolved" "/etc/conf: yours stays; /etc/conf.mlimg-new is gone
/etc/touching: yours stays; /etc/touching.mlimg-new is gone; what was /etc/touching.mlimg-new is in $ASIDE/resolved-1/etc/touching.mlimg-new
/usr/bin/tool: yours is back" "$output"
	same "what is there" "etc/conf etc/touching usr/bin/tool" "$(cd "$UPPER" && find . -type f -printf '%P\n' | sort | xargs)"
	same "what was put back" "my tool 711 1500000000" "$(cat "$UPPER/usr/bin/tool") $(stat -c '%a %Y' "$UPPER/usr/bin/tool")"
	same "what was edited" edited "$(tail -n 1 "$ASIDE/resolved-1/etc/touching.mlimg-new")"
	works "${MLIMG[@]}" conflicts
	same "conflicts" "There are no conflicts." "$output"
	works "${MLIMG[@]}" conflicts --all
	same "all" "beside /etc/conf  (the system's: /etc/conf.mlimg-new, gone; generation 2; resolved: mine)
beside /etc/touching  (the system's: /etc/touching.mlimg-new, gone; generation 2; resolved: mine)
aside  /usr/bin/tool  (yours: $ASIDE/2/usr/bin/tool, gone; generation 2; resolved: mine)" "$output"
	works "${MLIMG[@]}" --json conflicts --all
	same "JSON" "mine mine mine" "$(jq -r .resolved <<<"$output" | xargs)"
	same "the file" "mlimg-resolved 1
2 mine etc/conf
2 mine etc/touching
2 mine usr/bin/tool" "$(cat "$USER_DIR/mlimg/resolved")"
	fails 1 "mlimg: '/usr/bin/tool': yours is no longer in 'mlimg/aside/2/usr/bin/tool'" "${MLIMG[@]}" resolve --keep mine /usr/bin/tool
}

@test "mlimg resolve: one path in conflict in two generations, or three" {
	in_conflict
	local version
	for version in 12.3 12.4; do
		mkdir -p "$UPPER/usr/bin"
		echo "my tool before $version" >"$UPPER/usr/bin/tool"
		echo "tool of $version" >"$DIR/system/usr/bin/tool"
		SYSTEM_VERSION=$version mlimg_boot
	done
	works "${MLIMG[@]}" resolve --keep mine /usr/bin/tool usr/bin/tool /usr/bin/tool
	same "resolved" "/usr/bin/tool: yours is back
/usr/bin/tool: yours is back; what was /usr/bin/tool is in $ASIDE/resolved-1/usr/bin/tool
/usr/bin/tool: yours is back; what was /usr/bin/tool is in $ASIDE/resolved-2/usr/bin/tool" "$output"
	same "all that was mine" "my tool my tool before 12.4 my tool before 12.3" \
		"$(cat "$UPPER/usr/bin/tool" "$ASIDE"/resolved-[12]/usr/bin/tool | xargs)"
}

@test "mlimg resolve: theirs" {
	in_conflict
	works "${MLIMG[@]}" resolve --keep theirs /etc/conf /usr/bin/tool
	same "resolved" "/etc/conf: at the next boot yours is set aside (73 B), and what system debian 12.2 has shows; /etc/conf.mlimg-new goes then
/usr/bin/tool: the system's stays; yours stays in $ASIDE/2/usr/bin/tool
$END" "$output"
	queued "reset       /etc/conf
reset       /etc/conf.mlimg-new"
	same "yours" "my tool" "$(cat "$ASIDE/2/usr/bin/tool")"
	same "conflicts" "etc/touching" "$(open_conflicts)"
	works "${MLIMG[@]}" --json resolve --keep theirs /etc/touching
	same "JSON" '{"path":"etc/touching","keep":"theirs","generation":2,"resolved":true,"dry_run":false,"when":"next-boot","conflicts":0,"merged":null,"aside":null,"kept":[],"sockets":0}' "$output"
	queued "reset       /etc/conf
reset       /etc/conf.mlimg-new
reset       /etc/touching
reset       /etc/touching.mlimg-new"
	SYSTEM_VERSION=12.2 mlimg_boot
	queued "Nothing waits for the next boot."
	same "what is there" "" "$(cd "$UPPER" && find . -type f -printf '%P\n')"
	same "aside" "etc/conf etc/conf.mlimg-new etc/touching etc/touching.mlimg-new" "$(cd "$ASIDE/queue-1" && find . -type f -printf '%P\n' | sort | xargs)"
	same "yours" "line 3 mine" "$(sed -n 3p "$ASIDE/queue-1/etc/conf")"
	# Cancelling something else later makes no conflict of what is done.
	mkdir -p "$UPPER/etc"
	echo mine >"$UPPER/etc/conf"
	works "${MLIMG[@]}" reset /etc/conf
	works "${MLIMG[@]}" queue --cancel /etc/conf
	same "cancelled" "/etc/conf: no longer waits for the next boot: it stays as it is" "$output"
	same "the file" "mlimg-resolved 1
2 theirs etc/conf
2 theirs etc/touching
2 theirs usr/bin/tool" "$(cat "$USER_DIR/mlimg/resolved")"
}

@test "mlimg resolve: theirs, taken back while it waits: it is in conflict again" {
	in_conflict
	works "${MLIMG[@]}" resolve --keep theirs /etc/conf /etc/touching /usr/bin/tool
	same "conflicts" "" "$(open_conflicts)"
	works "${MLIMG[@]}" queue --cancel /etc/conf /etc/conf.mlimg-new
	same "cancelled" "/etc/conf: no longer waits for the next boot: it stays as it is, and in conflict" "$output"
	works "${MLIMG[@]}" conflicts
	same "conflicts" "beside /etc/conf  (the system's: /etc/conf.mlimg-new; generation 2)" "$output"
	same "the file" "mlimg-resolved 1
2 theirs etc/touching
2 theirs usr/bin/tool" "$(cat "$USER_DIR/mlimg/resolved")"
	# What lies beside is another name of it.
	works "${MLIMG[@]}" --json queue --cancel /etc/touching.mlimg-new
	same "JSON" '{"path":"etc/touching","cancelled":true,"reopened":true}' "$output"
	queued "Nothing waits for the next boot."
	same "conflicts" "etc/conf etc/touching" "$(open_conflicts)"
	works "${MLIMG[@]}" resolve --keep mine /etc/conf
	same "resolved" "/etc/conf: yours stays; /etc/conf.mlimg-new is gone" "$output"
	# Without the list of them what waits can be taken back as well.
	works "${MLIMG[@]}" resolve --keep theirs /etc/touching
	echo nonsense >"$USER_DIR/mlimg/resolved"
	run --separate-stderr "${MLIMG[@]}" queue --cancel /etc/touching
	# shellcheck disable=SC2154 # run sets it
	same "stderr" "mlimg: warning: conflicts are not looked at: resolved: line 1: not 'mlimg-resolved 1'" "$stderr"
	same "cancelled" "/etc/touching: no longer waits for the next boot: it stays as it is" "$output"
}

@test "mlimg resolve: another way said before the boot counts" {
	in_conflict
	works "${MLIMG[@]}" resolve --keep theirs /etc/conf /etc/touching
	works "${MLIMG[@]}" resolve --keep mine /etc/conf
	same "mine" "/etc/conf: yours stays; /etc/conf.mlimg-new is gone; what waited there for the next boot is taken back" "$output"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/touching
	queued "reset       /etc/touching
reset       /etc/touching.mlimg-new"
	echo both >"$UPPER/etc/touching.mlimg-merged"
	works "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "merged" "/etc/touching: what was merged is there; /etc/touching.mlimg-new is gone; what waited there for the next boot is taken back; what was /etc/touching is in $ASIDE/resolved-1/etc/touching" "$output"
	queued "Nothing waits for the next boot."
	same "the file" "mlimg-resolved 1
2 mine etc/conf
2 merged etc/touching" "$(cat "$USER_DIR/mlimg/resolved")"
	# What was to be reset is put back, and stays.
	mkdir -p "$UPPER/usr/bin"
	echo other >"$UPPER/usr/bin/tool"
	works "${MLIMG[@]}" reset /usr/bin/tool
	works "${MLIMG[@]}" resolve --keep mine /usr/bin/tool
	SYSTEM_VERSION=12.2 mlimg_boot
	same "after the boot" "line 3 mine both my tool" "$(sed -n 3p "$UPPER/etc/conf" | cat - "$UPPER/etc/touching" "$UPPER/usr/bin/tool" | xargs)"
}

@test "mlimg resolve: merged, where the changes touch each other" {
	in_conflict
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "what is left" "/etc/touching: 1 conflict is left: edit /etc/touching.mlimg-merged, where each is marked, and say the same again" "$output"
	same "marks" "line 1
line 2
<<<<<<< yours
line 3 mine
=======
line 3 theirs
>>>>>>> system debian 12.2
line 4
line 5
line 6
line 7
line 8
line 9 theirs" "$(cat "$UPPER/etc/touching.mlimg-merged")"
	same "its mode" 640 "$(stat -c %a "$UPPER/etc/touching.mlimg-merged")"
	fails 1 "mlimg: '/etc/touching.mlimg-merged', line 3: a conflict is still marked: edit it, or remove the file to merge again" \
		"${MLIMG[@]}" resolve --keep merged /etc/touching
	same "conflicts" "etc/conf etc/touching usr/bin/tool" "$(open_conflicts)"
	sed -i '/^[<=>]/d' "$UPPER/etc/touching.mlimg-merged"
	works "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "resolved" "/etc/touching: what was merged is there; /etc/touching.mlimg-new is gone; what was /etc/touching is in $ASIDE/resolved-1/etc/touching" "$output"
	same "merged" "line 3 mine line 3 theirs" "$(sed -n '3,4p' "$UPPER/etc/touching" | xargs)"
	same "its mode" 640 "$(stat -c %a "$UPPER/etc/touching")"
	same "what was" "line 3 mine" "$(sed -n 3p "$ASIDE/resolved-1/etc/touching")"
	same "what is there" "etc/conf etc/conf.mlimg-new etc/touching" "$(cd "$UPPER" && find . -type f -printf '%P\n' | sort | xargs)"
	same "conflicts" "etc/conf usr/bin/tool" "$(open_conflicts)"
}

@test "mlimg resolve: where programs read every name of a directory" {
	mkdir "$DIR/system/etc/logrotate.d"
	cp "$DIR/system/etc/touching" "$DIR/system/etc/logrotate.d/app"
	mlimg_boot
	mkdir -p "$UPPER/etc/logrotate.d"
	sed '3s/$/ mine/' "$DIR/system/etc/touching" >"$UPPER/etc/logrotate.d/app"
	sed -i '3s/$/ theirs/' "$DIR/system/etc/logrotate.d/app"
	SYSTEM_VERSION=12.2 mlimg_boot
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	works "${MLIMG[@]}" conflicts
	same "conflicts" "beside /etc/logrotate.d/app  (the system's: /etc/logrotate.d/app.mlimg-new.dpkg-dist; generation 2)" "$output"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/logrotate.d/app.mlimg-new.dpkg-dist
	same "what is left" "/etc/logrotate.d/app: 1 conflict is left: edit /etc/logrotate.d/app.mlimg-merged.dpkg-dist, where each is marked, and say the same again" "$output"
	same "in force" app "$(cd "$UPPER/etc/logrotate.d" && find . -type f ! -name '*.dpkg-dist' -printf '%P\n')"
	sed -i '/^[<=>]/d' "$UPPER/etc/logrotate.d/app.mlimg-merged.dpkg-dist"
	works "${MLIMG[@]}" resolve --keep merged /etc/logrotate.d/app
	same "what is there" app "$(ls -A "$UPPER/etc/logrotate.d")"
	same "merged" "line 3 mine line 3 theirs" "$(sed -n '3,4p' "$UPPER/etc/logrotate.d/app" | xargs)"
}

@test "mlimg resolve: what was marked before another system came is not taken for both" {
	in_conflict
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/touching
	sed -i '/^[<=>]/d; 1s/$/ by hand/' "$UPPER/etc/touching.mlimg-merged"
	sed -i '3s/$/ more/' "$DIR/system/etc/touching"
	SYSTEM_VERSION=12.3 mlimg_boot
	same "set aside" "line 1 by hand" "$(head -n 1 "$ASIDE/3/etc/touching.mlimg-merged")"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "marks" "<<<<<<< yours
line 3 mine
=======
line 3 theirs more
>>>>>>> system debian 12.3" "$(sed -n 3,7p "$UPPER/etc/touching.mlimg-merged")"
}

@test "mlimg resolve: what was set aside where programs read every name, merged" {
	local name
	mkdir -p "$DIR/system/etc/logrotate.d" "$DIR/system/etc/nginx/sites-enabled"
	cp "$DIR/system/etc/touching" "$DIR/system/etc/logrotate.d/app"
	cp "$DIR/system/etc/touching" "$DIR/system/etc/nginx/sites-enabled/site"
	mlimg_boot
	mkdir -p "$UPPER/etc/mlimg/reconcile.d" "$UPPER/etc/logrotate.d" "$UPPER/etc/nginx/sites-enabled"
	printf '/etc/%s owned\n' logrotate.d/app nginx/sites-enabled/site >"$UPPER/etc/mlimg/reconcile.d/own.conf"
	for name in logrotate.d/app nginx/sites-enabled/site; do
		sed '3s/$/ mine/' "$DIR/system/etc/touching" >"$UPPER/etc/$name"
		sed -i '3s/$/ theirs/' "$DIR/system/etc/$name"
	done
	SYSTEM_VERSION=12.2 mlimg_boot
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	ASIDE=$RUN/user/mlimg/aside
	same "conflicts" "etc/logrotate.d/app etc/nginx/sites-enabled/site" "$(open_conflicts)"
	cp -a "$DIR/system/etc/logrotate.d" "$DIR/system/etc/nginx" "$UPPER/etc"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/logrotate.d/app
	same "what is left" "/etc/logrotate.d/app: 1 conflict is left: edit /etc/logrotate.d/app.mlimg-merged.dpkg-dist, where each is marked, and say the same again" "$output"
	sed -i '/^[<=>]/d' "$UPPER/etc/logrotate.d/app.mlimg-merged.dpkg-dist"
	works "${MLIMG[@]}" resolve --keep merged /etc/logrotate.d/app
	same "what is there" app "$(ls -A "$UPPER/etc/logrotate.d")"
	same "merged" "line 3 mine line 3 theirs" "$(sed -n '3,4p' "$UPPER/etc/logrotate.d/app" | xargs)"
	# Nothing at all may lie there.
	fails 1 "mlimg: '/etc/nginx/sites-enabled/site': changes touch each other, and a file with marks beside it would be in force: edit it by hand, with yours in '$ASIDE/2/etc/nginx/sites-enabled/site', and keep theirs" \
		"${MLIMG[@]}" resolve --keep merged /etc/nginx/sites-enabled/site
	same "what is there" site "$(ls -A "$UPPER/etc/nginx/sites-enabled")"
	sed 's/mine//' "$UPPER/etc/nginx/sites-enabled/site" >"$ASIDE/2/etc/nginx/sites-enabled/site"
	works "${MLIMG[@]}" resolve --keep merged /etc/nginx/sites-enabled/site
	same "conflicts" "" "$(open_conflicts)"
}

@test "mlimg resolve: merged, where only the former system's text tells who changed what" {
	in_conflict
	# The user takes back the line that both had changed.
	sed -i '7s/ mine//' "$UPPER/etc/conf"
	works "${MLIMG[@]}" resolve --keep merged /etc/conf
	same "resolved" "/etc/conf: what was merged is there; /etc/conf.mlimg-new is gone; what was /etc/conf is in $ASIDE/resolved-1/etc/conf" "$output"
	same "merged" "line 3 mine
line 7 theirs" "$(grep -E 'mine|theirs' "$UPPER/etc/conf")"
	rm -r "$USER_DIR/mlimg/undo"
	sed -i 's/ mine//' "$UPPER/etc/touching"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "without it" "/etc/touching: 2 conflicts are left: edit /etc/touching.mlimg-merged, where each is marked (all that differs: the former system's text is not known), and say the same again" "$output"
}

@test "mlimg resolve: what was set aside, merged" {
	in_conflict
	mkdir -p "$UPPER/usr/bin"
	cp "$DIR/system/usr/bin/tool" "$UPPER/usr/bin/tool"
	fails 1 "" "${MLIMG[@]}" resolve --keep merged /usr/bin/tool
	[[ $output == "/usr/bin/tool: 1 conflict is left: edit /usr/bin/tool.mlimg-merged, where each is marked"* ]]
	echo both >"$UPPER/usr/bin/tool.mlimg-merged"
	works "${MLIMG[@]}" resolve --keep merged /usr/bin/tool
	same "merged" "both 711" "$(cat "$UPPER/usr/bin/tool") $(stat -c %a "$UPPER/usr/bin/tool")"
	same "yours" "my tool" "$(cat "$ASIDE/2/usr/bin/tool")"
	same "conflicts" "etc/conf etc/touching" "$(open_conflicts)"
	# What is no text is not merged.
	printf 'a\0b' >"$UPPER/etc/conf"
	fails 1 "mlimg: merge '/etc/conf': these are no texts" "${MLIMG[@]}" resolve --keep merged /etc/conf
	rm "$UPPER/etc/conf"
	fails 1 "mlimg: '/etc/conf' is no file that could be merged" "${MLIMG[@]}" resolve --keep merged /etc/conf
}

@test "mlimg resolve: a directory in the place of yours is not set aside unasked; what differs too much is not merged" {
	in_conflict
	rm "$UPPER/etc/conf"
	mkdir "$UPPER/etc/conf"
	echo mine >"$UPPER/etc/conf/own"
	fails 1 "mlimg: '/etc/conf' is a directory with what is yours in it: 'mlimg reset --recursive' sets it aside" "${MLIMG[@]}" resolve --keep theirs /etc/conf
	same "yours" mine "$(cat "$UPPER/etc/conf/own")"
	seq 9000 >"$UPPER/etc/touching"
	seq 9000 -1 1 >"$UPPER/etc/touching.mlimg-new"
	fails 1 "mlimg: merge '/etc/touching': too much differs" "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "conflicts" "etc/conf etc/touching usr/bin/tool" "$(open_conflicts)"
}

# writes_meanwhile FILE OPERAND…: at each point of mlimg with these, somebody writes FILE, which is nowhere lost; and once at least he is told of.
writes_meanwhile() {
	local file=$1 at calls=1 n_told=0 status
	for ((at = 0; at < calls; at++)); do
		rm -rf "$USER_DIR"
		cp -a "$DIR/start" "$USER_DIR"
		status=0
		calls=$(meanwhile "$at" "echo newer >'$file'" "${MLIMG[@]}" "${@:2}" 3>&1 >"$DIR/said" 2>"$DIR/complaint") || status=$?
		grep -rqx newer "$UPPER" "$USER_DIR/mlimg/aside" || same "what was written before call $at" newer ""
		if grep -qx "mlimg: '/[a-z/.-]*' has changed meanwhile: say it again" "$DIR/complaint"; then
			same "exit code at call $at" 1 "$status"
			same "what is there, at call $at" newer "$(cat "$file")"
			n_told=$((n_told + 1))
		elif [ "$status" -ne 0 ]; then
			# It came early enough to be looked at.
			grep -E "conflicts? (is|are) left" "$DIR/said"
		fi
	done
	echo "told $n_told times of $calls"
	[ "$calls" -gt 3 ]
	[ "$n_told" -gt 0 ]
}

@test "mlimg resolve: what is written meanwhile is told and stays" {
	in_conflict
	sed -i '7s/ mine//' "$UPPER/etc/conf"
	cp -a "$USER_DIR" "$DIR/start"
	writes_meanwhile "$UPPER/etc/conf" resolve --keep merged /etc/conf
	mkdir -p "$DIR/start/upper/usr/bin"
	writes_meanwhile "$UPPER/usr/bin/tool" resolve --keep mine /usr/bin/tool
}

@test "mlimg resolve: what is written meanwhile into the system's file beside is told and stays" {
	in_conflict
	cp -a "$USER_DIR" "$DIR/start"
	writes_meanwhile "$UPPER/etc/conf.mlimg-new" resolve --keep mine /etc/conf
}

@test "mlimg resolve: what is written meanwhile into the file that had the marks is told and stays" {
	in_conflict
	echo both >"$UPPER/etc/touching.mlimg-merged"
	cp -a "$USER_DIR" "$DIR/start"
	writes_meanwhile "$UPPER/etc/touching.mlimg-merged" resolve --keep merged /etc/touching
	# Said again, as the message has it, what has come is taken.
	works "${MLIMG[@]}" resolve --keep merged /etc/touching
	same "merged" newer "$(cat "$UPPER/etc/touching")"
	same "conflicts" "etc/conf usr/bin/tool" "$(open_conflicts)"
}

@test "mlimg resolve: wrong usage, no conflict, a damaged list" {
	in_conflict
	fails 2 "mlimg: 'resolve' needs --keep mine, theirs or merged
Try 'mlimg --help' for more information." "${MLIMG[@]}" resolve /etc/conf
	fails 2 "mlimg: --keep 'his': neither mine, theirs nor merged
Try 'mlimg --help' for more information." "${MLIMG[@]}" resolve --keep his /etc/conf
	fails 1 "mlimg: '/etc/hosts': no change of the stack has left a conflict there" "${MLIMG[@]}" resolve --keep mine /etc/hosts
	echo 'mlimg-resolved 2' >"$USER_DIR/mlimg/resolved"
	fails 3 "mlimg: resolved: line 1: not 'mlimg-resolved 1'" "${MLIMG[@]}" conflicts
	fails 3 "mlimg: resolved: line 1: not 'mlimg-resolved 1'" "${MLIMG[@]}" resolve --keep mine /etc/conf
}

@test "mlimg resolve: with unionfs-fuse what was set aside goes when what was put back is on stable storage" {
	UNION=unionfs in_conflict
	fails 1 "mlimg: put back '/usr/bin/tool': Function not implemented" without-calls syncfs "${MLIMG[@]}" resolve --keep mine /usr/bin/tool
	same "yours" "my tool" "$(cat "$ASIDE/2/usr/bin/tool")"
	same "conflicts" "etc/conf etc/touching usr/bin/tool" "$(open_conflicts)"
	works "${MLIMG[@]}" resolve --keep mine /usr/bin/tool
	same "yours" "my tool" "$(cat "$UPPER/usr/bin/tool")"
	[ ! -e "$ASIDE/2/usr/bin/tool" ]
}

# decided: three conflicts, of which two wait as the system's; and things of the user's own that only he has. FULL is what may be said on a full disk.
decided() {
	in_conflict
	mkdir -p "$UPPER/usr/bin"
	echo other >"$UPPER/usr/bin/tool"
	works "${MLIMG[@]}" resolve --keep theirs /etc/conf /etc/touching
	works "${MLIMG[@]}" reset /usr/bin/tool /etc/hosts
	echo edited >>"$UPPER/etc/conf.mlimg-new"
	echo both >"$UPPER/etc/touching.mlimg-merged"
	cp -a "$USER_DIR" "$DIR/start"
	OWN=$(cd "$DIR/start" && sha256sum upper/etc/conf upper/etc/conf.mlimg-new upper/etc/touching upper/etc/touching.mlimg-merged upper/usr/bin/tool \
		mlimg/aside/2/usr/bin/tool | cut -d " " -f 1)
	FULL="((what waits for the next boot at '/[^']*' is not taken back|note that '/[^']*' is resolved): )?(create a temporary file beside|write) '(queue|resolved)'|set '/[^']*' aside|put back '/[^']*'|write what was merged of '/[^']*'"
}

# left: what the user has, what waits and which conflicts are resolved, but for copies that were set aside meanwhile.
left() {
	(cd "$USER_DIR" && find upper mlimg/aside/[0-9]* mlimg/queue mlimg/resolved -type f -not -name '.mlimg-*' -printf '%m ' -exec sha256sum {} + | sort)
}

# has_own AT: nothing of the user's own is lost; only a copy of it may be gone.
has_own() {
	local sum found
	found=$(find "$UPPER" "$ASIDE" -type f -exec sha256sum {} +)
	for sum in $OWN; do
		[[ $found == *"$sum"* ]] || { same "what is the user's, cut off at call $1" "$(cd "$DIR/start" && find . -type f -exec sha256sum {} + | grep "$sum")" ""; }
	done
}

# each full-at|stop-at OPERAND…: mlimg with these on a disk that is full from its Nth call on, or killed at it, for each N, each time from the same
# start; and once more, with room. What it comes to then is what it comes to undisturbed.
each() {
	local how=$1 at calls status wanted
	shift
	decided
	calls=$("$how" - "${MLIMG[@]}" "$@" 3>&1 >/dev/null)
	[ "$calls" -ge 4 ]
	wanted=$(left)
	for ((at = 0; at < calls; at++)); do
		rm -rf "$USER_DIR"
		cp -a "$DIR/start" "$USER_DIR"
		status=0
		"$how" "$at" "${MLIMG[@]}" "$@" 3>/dev/null >"$DIR/said" 2>"$DIR/complaint" || status=$?
		cat "$DIR/complaint"
		has_own "$at"
		if [ "$how" = full-at ]; then
			same "exit code, full at call $at" 1 "$status"
			grep -Eqx "mlimg: ($FULL): No space left on device" "$DIR/complaint"
			works "${MLIMG[@]}" "$@"
		else
			same "exit code, killed at call $at" 137 "$status"
			# Unless all was done, and only not told.
			[ "$wanted" = "$(left)" ] || works "${MLIMG[@]}" "$@"
		fi
		has_own "$at"
		same "what is left, cut off at call $at" "$wanted" "$(left)"
	done
}

@test "mlimg resolve: mine after theirs, on a full disk: nothing is lost, and done again it works" {
	each full-at resolve --keep mine /etc/conf
}

@test "mlimg resolve: mine after theirs, killed anywhere" {
	each stop-at resolve --keep mine /etc/conf
}

@test "mlimg resolve: what was set aside put back in place of what was to be reset, on a full disk" {
	each full-at resolve --keep mine /usr/bin/tool
}

@test "mlimg resolve: what was set aside put back in place of what was to be reset, killed anywhere" {
	each stop-at resolve --keep mine /usr/bin/tool
}

@test "mlimg resolve: merged by hand after theirs, on a full disk" {
	each full-at resolve --keep merged /etc/touching
}

@test "mlimg resolve: merged by hand after theirs, killed anywhere" {
	each stop-at resolve --keep merged /etc/touching
}

@test "mlimg queue --cancel: a decision taken back on a full disk" {
	each full-at queue --cancel /etc/conf
}

@test "mlimg queue --cancel: a decision taken back on a full disk, by the name of what lies beside" {
	each full-at queue --cancel /etc/touching.mlimg-new
}

@test "mlimg queue --cancel: a decision taken back, killed anywhere" {
	each stop-at queue --cancel /etc/conf
}
