#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What mlimg changes is there whole or not at all, on a disk that becomes full anywhere and killed anywhere; and done again it works.
# resolve, and what it has queued: mlimg-resolve.bats.
load ../lib/common
load ../lib/mlimg
load ../lib/undo

setup() {
	undo_setup
	mlimg_boot
	mkdir -p "$UPPER"/{etc/conf.d,srv}
	echo mine | tee "$UPPER/etc/hosts" "$UPPER/etc/conf.d/own" >"$UPPER/srv/file"
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	works "${MLIMG[@]}" pin /srv
	works "${MLIMG[@]}" reset /etc/hosts
	OUT=$DIR/out
	mkdir "$OUT"
}

# there: all that was written, but for what a kill may leave; times are not told.
there() {
	(cd "$DIR" && find run/mlimg/user out \( -name '.mlimg[.-]*' -prune \) -o -type f -printf '%m ' -exec sha256sum {} + | sort)
}

# tar_there: the same, of a tar what is in it: the upper's directories, which are in it, get new times.
tar_there() {
	there | grep -v ' out/'
	[ ! -e "$OUT/x.tar" ] || tar tf "$OUT/x.tar"
}

# again: all is as it was at first.
again() {
	rm -rf "$USER_DIR" "$OUT"
	cp -a "$DIR/start" "$USER_DIR"
	mkdir "$OUT"
}

# cut_off MESSAGE LOOK OPERAND…: mlimg with these, cut off in both ways at each call; MESSAGE is what a full disk is told with.
cut_off() {
	local message=$1 look=$2 how at calls status before wanted
	shift 2
	before=$("$look")
	cp -a "$USER_DIR" "$DIR/start"
	for how in full-at stop-at; do
		again
		calls=$("$how" - "${MLIMG[@]}" "$@" 3>&1 >/dev/null)
		[ "$calls" -ge 2 ]
		wanted=$("$look")
		[ "$wanted" != "$before" ]
		# Of many calls some: all others are like their neighbours.
		for ((at = 0; at < calls; at += at < 8 ? 1 : 1 + calls / 8)); do
			again
			status=0
			"$how" "$at" "${MLIMG[@]}" "$@" 3>/dev/null >"$DIR/said" 2>"$DIR/complaint" || status=$?
			if [ "$how" = full-at ]; then
				cat "$DIR/complaint"
				same "exit code, full at call $at" 1 "$status"
				grep -Eqx "mlimg: ($message): No space left on device" "$DIR/complaint"
				same "what is there, full at call $at" "$before" "$("$look")"
				same "left over, full at call $at" "" "$(find "$USER_DIR" "$OUT" -name '.mlimg[.-]*')"
			else
				same "exit code, killed at call $at" 137 "$status"
				[ "$("$look")" = "$wanted" ] || same "what is there, killed at call $at" "$before" "$("$look")"
			fi
			[ "$("$look")" = "$wanted" ] || works "${MLIMG[@]}" "$@"
			same "what is there in the end, cut off at call $at" "$wanted" "$("$look")"
		done
	done
}

@test "mlimg reset: whole or not at all, cut off anywhere" {
	cut_off "(create a temporary file beside|write) 'queue'" there reset -r /etc/conf.d /srv
}

@test "mlimg undelete: a file that is put there at once, cut off anywhere" {
	need root
	mkdir -p "$UPPER/usr/share/doc"
	setfattr -n trusted.overlay.opaque -v y "$UPPER/usr/share/doc"
	cut_off "bring back '/usr/share/doc/doc'" there undelete /usr/share/doc/doc
}

@test "mlimg pin, unpin: whole or not at all, cut off anywhere" {
	cut_off "(make|write|create a temporary file beside) '[^']*'" there pin /etc/hosts
	again
	rm -rf "$DIR/start"
	cut_off "(make|write|create a temporary file beside) '[^']*'" there unpin /srv
}

@test "mlimg export: whole or not at all, cut off anywhere" {
	cut_off "write ('$OUT/x.tar'|the tar)" tar_there export "$OUT/x.tar"
}

@test "mlimg export --dir: whole or not at all, cut off anywhere" {
	cut_off "make the directory '$OUT/x'|write into '$OUT/x'|(make|write) '$OUT/x/[^']*'" there export --dir "$OUT/x"
}
