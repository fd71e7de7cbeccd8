#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg reset, undelete and queue over directories in place of mounted layers; with the kernel's overlay and what a boot does then:
# ../root/user-undo.bats. resolve: mlimg-resolve.bats.
load ../lib/common
load ../lib/mlimg
load ../lib/undo

setup() {
	undo_setup
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

@test "mlimg: in boots that keep no changes, what is to be kept is refused, and all can be looked at" {
	local mode command
	mlimg_boot
	mine
	works "${MLIMG[@]}" pin /srv
	works "${MLIMG[@]}" reset /etc/hosts
	mkdir -p "$RUN/volatile/upper"
	for mode in readonly volatile; do
		mlimg_boot --mode $mode
		for command in "reset /srv/file" "undelete /etc/hosts" "resolve --keep mine /etc/hosts" "queue --cancel /etc/hosts" "pin /etc" "unpin /srv" "profile --next-boot /list"; do
			# shellcheck disable=SC2086 # words
			fails 1 "mlimg: this boot is '$mode': nothing of the user layer can be changed in it" "${MLIMG[@]}" $command
		done
		queued "reset       /etc/hosts"
		works "${MLIMG[@]}" pin
		same "pins" /srv "$output"
		works "${MLIMG[@]}" status
		same "next boot" "next boot   1 operation waits for it" "$(grep '^next' <<<"$output")"
	done
	mv "$USER_DIR" "$DIR/elsewhere"
	mlimg_boot --mode rescue
	for command in "reset /srv/file" queue "resolve --keep mine /etc/hosts" "copy-up /etc/hosts" reports conflicts "profile --next-boot /list"; do
		# shellcheck disable=SC2086 # words
		fails 1 "mlimg: this boot is without the user layer" "${MLIMG[@]}" $command
	done
	fails 1 "mlimg: this boot is 'rescue': nothing of the user layer can be changed in it" "${MLIMG[@]}" pin /etc
}

@test "mlimg queue: more than it takes" {
	mlimg_boot
	mine
	{ echo 'mlimg-queue 1' && seq -f 'reset a/%05g' 65536; } >"$USER_DIR/mlimg/queue"
	fails 1 "mlimg: more than 65536 operations would wait, or 8388608 bytes of them: Argument list too long" "${MLIMG[@]}" reset /etc/hosts
	same "queue" 65536 "$("${MLIMG[@]}" queue | wc -l)"
	head -c 8388609 /dev/zero >"$USER_DIR/mlimg/queue"
	fails 3 "mlimg: read 'queue': more than 8388608 bytes: File too large" "${MLIMG[@]}" queue
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
	rm "$UPPER/etc/conf.d"
	echo no directory >"$UPPER/etc/conf.d"
	fails 1 "mlimg: '/etc/conf.d/part': '/etc/conf.d' is no directory now: reset that" "${MLIMG[@]}" undelete /etc/conf.d/part
	fails 1 "mlimg: '/etc/conf.d/part': '/etc/conf.d' is no directory, which hides it: reset that" "${MLIMG[@]}" reset /etc/conf.d/part
	fails 1 "mlimg: '/usr/share/doc' is a directory, and 1 entry is of yours in it: --recursive" "${MLIMG[@]}" reset /usr/share/doc
	echo mine >"$UPPER/usr/share/doc/more"
	fails 1 "mlimg: '/usr/share/doc' is a directory, and 2 entries are of yours in it: --recursive" "${MLIMG[@]}" reset /usr/share/doc
	rm "$UPPER/usr/share/doc/more"
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
	fails 3 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" "${MLIMG[@]}" diff /etc/hosts
	same "diff" "changed    /etc/hosts  (over software nginx 1.0)" "$output"
	fails 3 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" "${MLIMG[@]}" --json why /etc/hosts
	same "JSON" null "$(jq -c .queue <<<"$output")"
	# That it is damaged counts for more than that nothing is there.
	fails 3 "mlimg: warning: what waits for the next boot: queue: line 1: not of a known format" "${MLIMG[@]}" why /none
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

@test "mlimg reset: with unionfs-fuse, what cannot be begun waits for the next boot" {
	UNION=unionfs mlimg_boot
	mine
	rm -rf "$USER_DIR/mlimg/reports"
	echo no directory >"$USER_DIR/mlimg/reports"
	# Of a full disk the reason is another one.
	fails 1 "mlimg: this waits for the next boot: count the reports: Not a directory" "${MLIMG[@]}" reset /etc/hosts
	queued "reset       /etc/hosts"
	same "yours" mine "$(cat "$UPPER/etc/hosts")"
}
