#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg: its command line and `status`, over directories in place of mounted layers.
load ../lib/common
load ../lib/mlimg

setup() {
	mlimg_setup
}

usage() {
	fails 2 "mlimg: $1
Try 'mlimg --help' for more information." mlimg "${@:2}"
}

@test "mlimg: help and version" {
	works mlimg --help
	same "first line" "Usage: mlimg [OPTION]... COMMAND [OPERAND]..." "${lines[0]}"
	same "long lines" "" "$(awk 'length > 80' <<<"$output")"
	works mlimg --version
	[[ $output =~ ^mlimg\ \(mlimg\)\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "mlimg: wrong usage is named" {
	usage "what is to be done?"
	usage "no command 'dance'" dance
	usage "unknown option '--dance'" status --dance
	usage "status: unexpected operand 'x'" status x
}

@test "mlimg status: a system that mlimg has not booted" {
	fails 1 "" "${MLIMG[@]}" status
	same "status" "This system was not booted by mlimg." "$output"
	fails 1 "" "${MLIMG[@]}" --json status
	same "status" '{"booted_by_mlimg":false,"boot":null,"pending":null,"queue":null,"room":null}' "$(jq -c . <<<"$output")"
}

@test "mlimg status" {
	mlimg_boot
	works "${MLIMG[@]}" status
	same "status" "mode        normal: changes are kept in the user layer
generation  1
layers      user      alice
            software  nginx 1.0  $(jq -r '.stack[1].build_id[:20]' "$RUN/boot.json")
            system    debian 12.1  $(jq -r '.stack[0].build_id[:20]' "$RUN/boot.json")
union       overlay
last boot   the first one of this user layer
next boot   nothing waits for it" "$(grep -v '^room' <<<"$output")"
	[[ $output =~ room\ {8}[0-9.]+\ [KMGT]?i?B\ used,\ [0-9.]+\ [KMGT]?i?B\ free\ of\ [0-9.]+\ [KMGT]?i?B$ ]]
	works "${MLIMG[@]}" --json status
	same "JSON" '[true,0,true,["free_bytes","size_bytes","used_bytes"]]' \
		"$(jq -c --slurpfile boot "$RUN/boot.json" '[.booted_by_mlimg, .pending, .boot == $boot[0], (.room | keys)]' <<<"$output")"
}

@test "mlimg status: after another stack, with something that waits, and a note" {
	echo old >"$DIR/system/file"
	mlimg_boot
	echo mine >"$UPPER/file"
	echo new >"$DIR/system/file"
	SYSTEM_VERSION=12.2 mlimg_boot --note "a note"
	printf 'mlimg-queue 1\nreset a\nreset b\n' >"$USER_DIR/mlimg/queue"
	works "${MLIMG[@]}" status
	same "status" "generation  2
last boot   another stack: 0 dropped, 0 set aside, 0 beside, 0 merged, 0 joined; see 'mlimg reports 2'
next boot   2 operations wait for it
notes       a note" "$(grep -E '^(generation|last|next|notes)' <<<"$output")"
	works "${MLIMG[@]}" --json status
	same "pending" 2 "$(jq .pending <<<"$output")"
}

@test "mlimg status: of what waits, 20 are named" {
	mlimg_boot
	{
		echo 'mlimg-queue 1'
		seq -f 'reset a%02g' 20
	} >"$USER_DIR/mlimg/queue"
	works "${MLIMG[@]}" status
	same "next boot" "next boot   20 operations wait for it
$(seq -f '            reset /a%02g' 20)" "$(sed -n '/^next/,/^room/{/^room/!p}' <<<"$output")"
	seq -f 'reset b%02g' 3 >>"$USER_DIR/mlimg/queue"
	works "${MLIMG[@]}" status
	same "next boot" "next boot   23 operations wait for it
$(seq -f '            reset /a%02g' 20)
            ... and 3 more" "$(sed -n '/^next/,/^room/{/^room/!p}' <<<"$output")"
	works "${MLIMG[@]}" --json status
	same "JSON names all" '23 23 "b03"' "$(jq -r '"\(.pending) \(.queue | length) \(.queue[-1].path | tojson)"' <<<"$output")"
}

# last: what the last boot is said to have done.
last() {
	works "${MLIMG[@]}" status
	sed -n 's/^last boot *//p' <<<"$output"
}

# boot VERSION [OPTION…]: of the system; each has its own file.
boot() {
	echo "$1" >"$DIR/system/version"
	find "$DIR/system" -exec touch -h -d @1600000000 {} +
	SYSTEM_VERSION=$1 mlimg_boot "${@:2}"
}

@test "mlimg status: what the last boot did" {
	boot 12.1
	boot 12.1
	same "again" "the same stack as before" "$(last)"
	mkdir -p "$UPPER/etc"
	echo mine >"$UPPER/etc/own"
	boot 12.1 --mode volatile
	same "volatile" "the same stack as before" "$(last)"
	boot 12.2
	boot 12.1
	same "back" "the former stack again: the last change was taken back (0 steps)" "$(last)"
	rm "$USER_DIR"/mlimg/base.manifest.*
	boot 12.3
	same "without what it was" "another stack, with which your changes were not brought into agreement" "$(last)"
	printf 'mlimg-queue 1\nreset a\n' >"$USER_DIR/mlimg/queue"
	same "queue" "next boot   1 operation waits for it" "$("${MLIMG[@]}" status | grep '^next')"
	boot 12.3 --mode rescue
	same "rescue" "nobody has looked at the user layer" "$(last)"
}

@test "mlimg status: boot.json that is damaged" {
	mkdir -p "$RUN"
	echo '{"mode": "sideways"}' >"$RUN/boot.json"
	fails 3 "mlimg: boot.json: 'mode' is 'sideways'" "${MLIMG[@]}" status
	echo '{' >"$RUN/boot.json"
	fails 3 "mlimg: boot.json: line 2: string or '}' expected near end of file" "${MLIMG[@]}" status
}

@test "mlimg status: who is not root reads the copy for everybody" {
	need root
	mlimg_boot
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$DIR" "$DIR/run"
	chmod 0700 "$RUN"
	cp "$MLIMG_BUILD/bin/mlimg" "$DIR/mlimg"
	works setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/mlimg" --root "$RUN" status
	same "next boot" "next boot   not known: this needs root" "$(grep '^next' <<<"$output")"
}
