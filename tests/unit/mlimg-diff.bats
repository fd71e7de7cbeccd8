#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg diff over directories in place of mounted layers; with the kernel's overlay: ../root/user-command.bats.
load ../lib/common
load ../lib/mlimg

setup() {
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/bin,usr/share/doc/tool} "$DIR/software"/{etc,usr/share/nginx}
	printf 'one\ntwo\nthree\n' >"$DIR/system/etc/both"
	printf 'one\nTWO\nthree\n' >"$DIR/software/etc/both"
	echo system >"$DIR/system/etc/system"
	echo same >"$DIR/system/etc/same"
	echo mode >"$DIR/system/etc/mode"
	echo part >"$DIR/system/etc/conf.d/part"
	ln -s system "$DIR/system/etc/link"
	echo tool >"$DIR/system/usr/bin/tool"
	echo doc >"$DIR/system/usr/share/doc/tool/doc"
	echo nginx >"$DIR/software/usr/share/nginx/nginx"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
}

# mine: what the user has in his upper: copies with their times.
mine() {
	mkdir -p "$UPPER"/{etc,usr/share}
	cp -a "$DIR/system/etc/same" "$DIR/system/etc/mode" "$UPPER/etc"
	chmod 0600 "$UPPER/etc/mode"
	printf 'one\nTWO\nthree\nfour\n' >"$UPPER/etc/both"
	ln -s elsewhere "$UPPER/etc/link"
	echo new >"$UPPER/etc/new file"
	mkdir "$UPPER/etc/system"
	cp -a "$DIR/software/usr/share/nginx" "$UPPER/usr/share"
	touch -d @1700000000 "$UPPER/usr/share/nginx/nginx"
}

@test "mlimg diff" {
	mlimg_boot
	works "${MLIMG[@]}" diff
	same "nothing" "" "$output"
	mine
	works "${MLIMG[@]}" diff
	same "diff" "changed    /etc/both  (over software nginx 1.0)
changed    /etc/link  (over system debian 12.1)
attributes /etc/mode  (mode 0600, was 0644; over system debian 12.1)
added      /etc/new\040file
same       /etc/same  (over system debian 12.1)
replaced   /etc/system  (dir instead of file; over system debian 12.1)
attributes /usr/share/nginx/nginx  (time; over software nginx 1.0)" "$output"
	works "${MLIMG[@]}" diff --all /usr
	same "directories, too" "same       /usr  (over software nginx 1.0)
same       /usr/share  (over software nginx 1.0)
same       /usr/share/nginx  (over software nginx 1.0)
attributes /usr/share/nginx/nginx  (time; over software nginx 1.0)" "$output"
	works "${MLIMG[@]}" diff /etc/bot
	same "nothing of that name" "" "$output"
	works "${MLIMG[@]}" diff /etc/both/
	same "one" "changed    /etc/both  (over software nginx 1.0)" "$output"
}

@test "mlimg diff --text" {
	mine
	mlimg_boot
	works "${MLIMG[@]}" diff -u /etc/both
	same "text" "changed    /etc/both  (over software nginx 1.0)
--- /etc/both	software nginx 1.0
+++ /etc/both	yours
@@ -1,3 +1,4 @@
 one
 TWO
 three
+four" "$output"
	(cd "$DIR/software" && patch -s -p1 <<<"${output#*$'\n'}")
	same "what patch makes of it" "$(cat "$UPPER/etc/both")" "$(cat "$DIR/software/etc/both")"
	printf 'a\0b' >"$UPPER/etc/both"
	works "${MLIMG[@]}" diff --text /etc/both
	same "no text" "  (no texts, or too large to be shown)" "${lines[1]}"
	head -c 300000 /dev/zero | tr '\0' x >"$UPPER/etc/both"
	works "${MLIMG[@]}" diff --text /etc/both
	same "too large" "  (no texts, or too large to be shown)" "${lines[1]}"
}

@test "mlimg diff --json" {
	mine
	mlimg_boot
	works "${MLIMG[@]}" diff --json -u
	same "lines" 7 "${#lines[@]}"
	same "changed" '["etc/both","changed","file",["content"],"software","nginx","1.0",19,"@@ -1,3 +1,4 @@"]' \
		"$(jq -c '[.path, .change, .type, .changes, .covers.kind, .covers.name, .covers.version, .size_bytes, (.text | split("\n")[0])]' <<<"${lines[0]}")"
	same "attributes" '["attributes",["mode"],false]' "$(jq -c '[.change, .changes, has("text")]' <<<"${lines[2]}")"
	same "added" '{"path":"etc/new\\040file","change":"added","type":"file","changes":[],"covers":null,"size_bytes":4}' "${lines[3]}"
}

@test "mlimg diff: what unionfs-fuse has hidden" {
	UNION=unionfs mlimg_boot
	mkdir -p "$UPPER/.unionfs-fuse/etc" "$UPPER/.unionfs-fuse/usr/share/doc" "$UPPER/usr/share/doc" "$UPPER/etc"
	: >"$UPPER/.unionfs-fuse/etc/system_HIDDEN~"
	: >"$UPPER/.unionfs-fuse/etc/nothing_HIDDEN~"
	mkdir "$UPPER/.unionfs-fuse/usr/share/doc_HIDDEN~"
	echo mine >"$UPPER/usr/share/doc/mine"
	works "${MLIMG[@]}" diff
	same "diff" "deleted    /etc/nothing  (hides nothing)
deleted    /etc/system  (of system debian 12.1)
opaque     /usr/share/doc  (over system debian 12.1)
added      /usr/share/doc/mine" "$output"
	works "${MLIMG[@]}" --json diff /etc/system
	same "JSON" '["deleted","whiteout","system"]' "$(jq -c '[.change, .type, .covers.kind]' <<<"$output")"
}

@test "mlimg diff: what is above the path" {
	UNION=unionfs mlimg_boot
	mkdir -p "$UPPER/.unionfs-fuse"
	: >"$UPPER/.unionfs-fuse/usr_HIDDEN~"
	works "${MLIMG[@]}" diff /usr/share/doc/tool
	same "diff" "deleted    /usr  (of software nginx 1.0)" "$output"
}

@test "mlimg diff: in a boot that loses changes it is what was changed in it" {
	mlimg_boot
	mine
	mkdir -p "$RUN/volatile/upper/etc"
	cp -a "$UPPER/etc/both" "$RUN/volatile/upper/etc/both"
	echo other >"$RUN/volatile/upper/etc/new file"
	mlimg_boot --mode volatile
	works "${MLIMG[@]}" diff
	same "diff" "same       /etc/both  (over yours)
changed    /etc/new\040file  (over yours)" "$output"
}

@test "mlimg diff: not booted by mlimg, and who is not root" {
	fails 1 "mlimg: this system was not booted by mlimg" "${MLIMG[@]}" diff
	need root
	mlimg_boot
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$DIR" "$DIR/run"
	chmod 0700 "$RUN"
	cp "$MLIMG_BUILD/bin/mlimg" "$DIR/mlimg"
	cp "$RUN/boot.json" "$DIR/run/mlimg-boot.json"
	fails 1 "mlimg: only root can look at the layers itself; for others mlimg-agent must run: connect to '$DIR/run/mlimg-agent.sock': No such file or directory" \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/mlimg" --root "$RUN" diff
	fails 1 "mlimg: open '$RUN': this needs root: Permission denied" \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/mlimg" --root "$RUN" reports
}

# on_terminal COMMAND…: what it prints there.
on_terminal() {
	local line
	printf -v line '%q ' "$@"
	TERM=xterm script -qec "$line" /dev/null </dev/null | tr -d '\r'
}

@test "mlimg diff: colours on a terminal, which no file can steer" {
	local e=$'\033'
	mlimg_boot
	mine
	rm "$UPPER/etc/link"
	printf 'one\n%s]0;title\a\n' "$e" >"$UPPER/etc/both"
	same "on a terminal" "${e}[33mchanged   ${e}[0m /etc/both  (over software nginx 1.0)
${e}[1m--- /etc/both	software nginx 1.0
+++ /etc/both	yours
${e}[0m${e}[36m@@ -1,3 +1,2 @@${e}[0m
 one
${e}[31m-TWO${e}[0m
${e}[31m-three${e}[0m
${e}[32m+\\033]0;title\\007${e}[0m
${e}[33mattributes${e}[0m /etc/mode  (mode 0600, was 0644; over system debian 12.1)
${e}[32madded     ${e}[0m /etc/new\\040file
${e}[0msame      ${e}[0m /etc/same  (over system debian 12.1)" "$(on_terminal "${MLIMG[@]}" diff -u | grep -v -e /etc/system -e /nginx/)"
	same "with NO_COLOR" "attributes /etc/mode  (mode 0600, was 0644; over system debian 12.1)" "$(on_terminal env NO_COLOR=1 "${MLIMG[@]}" diff /etc/mode)"
	same "on a dumb one" "attributes /etc/mode  (mode 0600, was 0644; over system debian 12.1)" "$(on_terminal env TERM=dumb "${MLIMG[@]}" diff /etc/mode)"
	same "JSON" "$("${MLIMG[@]}" --json diff /etc/mode)" "$(on_terminal "${MLIMG[@]}" --json diff /etc/mode)"
	works "${MLIMG[@]}" diff -u /etc/both
	same "in a pipe" "+${e}]0;title"$'\a' "${lines[-1]}"
}

@test "mlimg diff: of what differs too much only that it does; owners" {
	need root
	seq 9000 >"$DIR/system/etc/numbers"
	mlimg_boot
	mkdir -p "$UPPER/etc"
	seq 9000 -1 1 >"$UPPER/etc/numbers"
	cp -a "$DIR/system/etc/same" "$UPPER/etc"
	chown 7:8 "$UPPER/etc/same"
	works "${MLIMG[@]}" diff -u
	same "diff" "changed    /etc/numbers  (over system debian 12.1)
  (too much differs to be shown)
attributes /etc/same  (owner 7:8, was 0:0; over system debian 12.1)" "$output"
	works "${MLIMG[@]}" --json diff -u /etc/numbers
	same "JSON" null "$(jq .text <<<"$output")"
}
