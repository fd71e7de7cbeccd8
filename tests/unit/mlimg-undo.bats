#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg reset, undelete, queue and resolve over directories in place of mounted layers; with the kernel's overlay and what a boot does then:
# ../root/user-undo.bats.
load ../lib/common
load ../lib/mlimg

setup() {
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/bin,usr/share/doc/deep,var/lib/dpkg} "$DIR/software/etc"
	seq -f 'line %g' 9 >"$DIR/system/etc/conf"
	seq -f 'line %g' 9 >"$DIR/system/etc/touching"
	echo hosts >"$DIR/system/etc/hosts"
	echo hosts of nginx >"$DIR/software/etc/hosts"
	echo part >"$DIR/system/etc/conf.d/part"
	echo tool >"$DIR/system/usr/bin/tool"
	echo doc >"$DIR/system/usr/share/doc/doc"
	echo deep >"$DIR/system/usr/share/doc/deep/deep"
	echo root:x:0:0::/root:/bin/sh >"$DIR/system/etc/passwd"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
	END="Until then nothing changes there: 'mlimg queue' shows what waits, and takes it back."
}

# mine: what the user has in his upper.
mine() {
	mkdir -p "$UPPER"/{etc/conf.d,srv}
	echo mine >"$UPPER/etc/hosts"
	echo mine >"$UPPER/etc/conf.d/own"
	echo mine too >"$UPPER/etc/conf.d/part"
	echo mine >"$UPPER/srv/file"
	ln -s file "$UPPER/srv/link"
}

queued() {
	works "${MLIMG[@]}" queue
	same "queue" "$1" "$output"
}

@test "mlimg reset: what goes, how much, and what shows then" {
	mlimg_boot
	mine
	works "${MLIMG[@]}" reset --dry-run /etc/hosts
	same "dry run" "/etc/hosts: at the next boot yours is set aside (5 B), and what software nginx 1.0 has shows
Nothing was done: --dry-run." "$output"
	queued "Nothing waits for the next boot."
	works "${MLIMG[@]}" reset -r /srv /etc/conf.d /etc/hosts
	same "reset" "/srv: at the next boot yours is set aside (3 entries, 5 B), and nothing is there: no layer has it
/etc/conf.d: at the next boot yours is set aside (3 entries, 14 B; 1 of them in no layer), and what system debian 12.1 has shows
/etc/hosts: at the next boot yours is set aside (5 B), and what software nginx 1.0 has shows
$END" "$output"
	queued "reset       /etc/conf.d
reset       /etc/hosts
reset       /srv"
	works "${MLIMG[@]}" --json queue
	same "JSON" '[{"operation":"reset","path":"etc/conf.d"},{"operation":"reset","path":"etc/hosts"},{"operation":"reset","path":"srv"}]' "$(jq -c . <<<"$output")"
	works "${MLIMG[@]}" queue --cancel /etc/hosts /srv
	same "cancelled" "/etc/hosts: no longer waits for the next boot: it stays as it is
/srv: no longer waits for the next boot: it stays as it is" "$output"
	queued "reset       /etc/conf.d"
	fails 1 "mlimg: '/srv': nothing waits for the next boot there" "${MLIMG[@]}" queue --cancel /srv
	works "${MLIMG[@]}" --json queue --cancel /etc/conf.d
	same "JSON" '{"path":"etc/conf.d","cancelled":true,"reopened":false}' "$output"
	same "the file" "" "$(ls "$USER_DIR/mlimg/queue" 2>/dev/null)"
	# Nothing of it has touched the upper.
	same "the upper" "etc/conf.d/own etc/conf.d/part etc/hosts srv/file" "$(cd "$UPPER" && find . -type f -printf '%P\n' | sort | xargs)"
}

@test "mlimg reset: JSON" {
	mlimg_boot
	mine
	works "${MLIMG[@]}" --json reset -r /etc/conf.d /usr/bin/tool
	same "JSON" '{"path":"etc/conf.d","operation":"reset","when":"next-boot","dry_run":false,"entries":3,"own":1,"size_bytes":14,"shows":"debian"}
{"path":"usr/bin/tool","operation":null,"when":null,"dry_run":false,"entries":0,"own":0,"size_bytes":0,"shows":"debian"}' "$(jq -c '.shows = .shows.name' <<<"$output")"
	queued "reset       /etc/conf.d"
}

@test "mlimg reset: one that cannot be, and nothing is queued" {
	mlimg_boot
	mine
	cp "$DIR/system/etc/passwd" "$UPPER/etc/passwd"
	works "${MLIMG[@]}" reset /usr/bin/tool
	same "not changed" "/usr/bin/tool: nothing to do: what system debian 12.1 has shows" "$output"
	fails 1 "mlimg: '/none': No such file or directory" "${MLIMG[@]}" reset /etc/hosts /none
	fails 1 "mlimg: '/srv' is a directory, and 2 entries are of yours in it: --recursive" "${MLIMG[@]}" reset /srv
	fails 1 "mlimg: '/etc/passwd' goes only with --force: accounts that you have made would be gone, and their files nobody's" "${MLIMG[@]}" reset /etc/hosts /etc/passwd
	fails 1 "mlimg: '/etc/passwd' goes only with --force: accounts that you have made would be gone, and their files nobody's" "${MLIMG[@]}" reset -r /etc
	mkdir -p "$UPPER/var/lib/dpkg"
	echo mine >"$UPPER/var/lib/dpkg/status"
	fails 1 "mlimg: '/var/lib/dpkg/status' goes only with --force: packages that you have installed would be unknown, and their files would stay" \
		"${MLIMG[@]}" reset -r /var
	fails 1 "mlimg: the whole root: for that there is the factory reset, see mlimg-boot(7)" "${MLIMG[@]}" reset -r /
	fails 2 "mlimg: option '--keep' is not for 'reset'
Try 'mlimg --help' for more information." "${MLIMG[@]}" reset --keep mine /srv
	fails 2 "mlimg: 'queue --cancel' needs a path
Try 'mlimg --help' for more information." "${MLIMG[@]}" queue --cancel
	fails 2 "mlimg: queue: unexpected operand 'x'
Try 'mlimg --help' for more information." "${MLIMG[@]}" queue x
	queued "Nothing waits for the next boot."
	works "${MLIMG[@]}" reset --force /etc/passwd
	queued "reset       /etc/passwd"
	works "${MLIMG[@]}" reset -r --force /var
	queued "reset       /etc/passwd
reset-all   /var"
	echo nonsense >"$USER_DIR/mlimg/queue"
	fails 3 "mlimg: queue: line 1: not of a known format" "${MLIMG[@]}" reset /etc/hosts
}

@test "mlimg reset, undelete: this boot changes nothing of the user layer" {
	mlimg_boot
	mine
	mlimg_boot --mode readonly
	fails 1 "mlimg: this boot is 'readonly': nothing of the user layer can be changed in it" "${MLIMG[@]}" reset /etc/hosts
	fails 1 "mlimg: this boot is 'readonly': nothing of the user layer can be changed in it" "${MLIMG[@]}" undelete /etc/hosts
}

@test "mlimg undelete, reset: whiteouts, directories made anew, and what is above" {
	need root
	mlimg_boot
	mkdir -p "$UPPER"/{usr/bin,usr/share/doc,etc}
	mknod "$UPPER/usr/bin/tool" c 0 0
	mknod "$UPPER/etc/conf.d" c 0 0
	mknod "$UPPER/etc/none" c 0 0
	setfattr -n trusted.overlay.opaque -v y "$UPPER/usr/share/doc"
	echo mine >"$UPPER/usr/share/doc/own"
	works "${MLIMG[@]}" undelete /usr/bin/tool etc/conf.d /etc/conf /usr/share/doc/own
	same "undelete" "/usr/bin/tool: at the next boot it is there again, as system debian 12.1 has it
/etc/conf.d: at the next boot it is there again, as system debian 12.1 has it
/etc/conf: nothing to do: what system debian 12.1 has shows
/usr/share/doc/own: nothing to do: it is there, and yours
$END" "$output"
	queued "restore     /etc/conf.d
restore     /usr/bin/tool"
	works "${MLIMG[@]}" reset /usr/bin/tool /etc/none
	same "reset" "/usr/bin/tool: at the next boot it is there again, as system debian 12.1 has it
/etc/none: at the next boot what hides it goes, and no layer has anything there
$END" "$output"
	fails 1 "mlimg: '/etc/conf.d/part' was deleted with '/etc/conf.d': undelete that" "${MLIMG[@]}" undelete /etc/conf.d/part
	fails 1 "mlimg: '/etc/conf.d/part': '/etc/conf.d' is deleted, which hides it: reset that" "${MLIMG[@]}" reset /etc/conf.d/part
	fails 1 "mlimg: '/etc/none': no layer has it" "${MLIMG[@]}" undelete /etc/none
	fails 1 "mlimg: '/usr/share/doc/doc': '/usr/share/doc' shows nothing of what the layers have in it: 'mlimg undelete' brings it back" \
		"${MLIMG[@]}" reset /usr/share/doc/doc
	fails 1 "mlimg: '/usr/share/doc' is there, and shows nothing of what the layers have in it: --all brings all of that back" "${MLIMG[@]}" undelete /usr/share/doc
	fails 1 "mlimg: '/usr/share/doc/deep' is a directory in one that shows nothing of the layers: --all brings back all that they have in '/usr/share/doc'" \
		"${MLIMG[@]}" undelete /usr/share/doc/deep
	works "${MLIMG[@]}" queue --cancel /etc/conf.d /etc/none /usr/bin/tool
	works "${MLIMG[@]}" undelete --all /usr/share/doc/deep
	same "all" "/usr/share/doc/deep: at the next boot all shows again that the layers have in /usr/share/doc
$END" "$output"
	queued "transparent /usr/share/doc"
	# What is the user's own in there stays.
	works "${MLIMG[@]}" diff /usr/share/doc
	same "diff" "opaque     /usr/share/doc  (over system debian 12.1; queued: transparent)
added      /usr/share/doc/own" "$output"
	same "why" "next boot transparent /usr/share/doc" "$(waits /usr/share/doc/deep/deep)"
	# A file in there comes back at once, as a copy.
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	works "${MLIMG[@]}" undelete --dry-run /usr/share/doc/doc
	[ ! -e "$UPPER/usr/share/doc/doc" ]
	works "${MLIMG[@]}" undelete /usr/share/doc/doc
	same "copied" "/usr/share/doc/doc: a copy of what system debian 12.1 has is there" "$output"
	same "the copy" "doc 644 1600000000" "$(cat "$UPPER/usr/share/doc/doc") $(stat -c '%a %Y' "$UPPER/usr/share/doc/doc")"
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
	same "JSON" '{"path":"etc/touching","keep":"theirs","generation":2,"resolved":true,"dry_run":false,"when":"next-boot","conflicts":0,"merged":null,"aside":null,"kept":[]}' "$output"
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

# waits PATH: what why says of the next boot.
waits() {
	"${MLIMG[@]}" why "$1" | sed -n '/^next boot/,$p' || :
}

@test "mlimg why, diff: what waits for the next boot" {
	mlimg_boot
	mine
	works "${MLIMG[@]}" reset -r /etc/conf.d /etc/conf.d/part /etc/hosts
	same "the path" "next boot reset /etc/hosts" "$(waits /etc/hosts)"
	same "above it, too" "next boot reset /etc/conf.d
          reset /etc/conf.d/part" "$(waits /etc/conf.d/part)"
	same "nothing" "" "$(waits /usr/bin/tool)"
	works "${MLIMG[@]}" --json why /etc/conf.d/own
	same "JSON" '[{"operation":"reset","path":"etc/conf.d"}]' "$(jq -c .queue <<<"$output")"
	works "${MLIMG[@]}" --json why /usr/bin/tool
	same "JSON" '[]' "$(jq -c .queue <<<"$output")"
	works "${MLIMG[@]}" diff
	same "diff" "added      /etc/conf.d/own  (queued: reset)
changed    /etc/conf.d/part  (over system debian 12.1; queued: reset)
changed    /etc/hosts  (over software nginx 1.0; queued: reset)
added      /srv
added      /srv/file
added      /srv/link" "$output"
	works "${MLIMG[@]}" --json diff
	same "JSON" "etc/conf.d/own=reset etc/conf.d/part=reset etc/hosts=reset srv=null srv/file=null srv/link=null" "$(jq -r '"\(.path)=\(.queued)"' <<<"$output" | xargs)"
	echo nonsense >"$USER_DIR/mlimg/queue"
	fails 1 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" "${MLIMG[@]}" diff /etc/hosts
	same "diff" "changed    /etc/hosts  (over software nginx 1.0)" "$output"
	fails 1 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" "${MLIMG[@]}" --json why /etc/hosts
	same "JSON" null "$(jq -c .queue <<<"$output")"
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

@test "mlimg reset: with unionfs-fuse, begun and not ended: where what was begun is" {
	local plain=()
	UNION=unionfs mlimg_boot
	mine
	mkdir -p "$USER_DIR/mlimg/reports"
	chmod 0555 "$USER_DIR/mlimg/reports"
	# Root without the power to write where it may not.
	[ "$(id -u)" -ne 0 ] || plain=(setpriv --bounding-set -dac_override)
	fails 1 "mlimg: make 'user/mlimg/reports/queue-1.json': Permission denied: what was begun is '$RUN/user/mlimg/queue.bad' now" \
		"${plain[@]}" "${MLIMG[@]}" reset /etc/hosts
	chmod 0755 "$USER_DIR/mlimg/reports"
	same "yours" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/etc/hosts")"
	same "what was done" "etc/hosts aside" "$(jq -r '.entries[] | "\(.path) \(.done)"' "$USER_DIR/mlimg/queue.bad/report.json")"
	queued "Nothing waits for the next boot."
	works "${MLIMG[@]}" reset -r /srv
	same "what is there" "etc/conf.d/own etc/conf.d/part" "$(cd "$UPPER" && find . -type f -printf '%P\n' | sort | xargs)"
	same "yours" mine "$(cat "$USER_DIR/mlimg/aside/queue-2/srv/file")"
}
