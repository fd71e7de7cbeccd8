#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg why, du, reports, conflicts, pin and unpin over directories in place of mounted layers; with the kernel's overlay: ../root/user-command.bats.
load ../lib/common
load ../lib/mlimg

setup() {
	export TZ=UTC
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/bin,usr/share/doc,usr/lib/mlimg/reconcile.d} "$DIR/software"/{etc,usr/share/doc}
	printf 'one\nb\nc\nd\ne\n' >"$DIR/system/etc/conf"
	echo tool >"$DIR/system/usr/bin/tool"
	echo doc >"$DIR/system/usr/share/doc/doc"
	echo hosts >"$DIR/system/etc/hosts"
	echo hosts of nginx >"$DIR/software/etc/hosts"
	printf '/srv/site keep\n/usr/share/doc merge:docs\n' >"$DIR/system/usr/lib/mlimg/reconcile.d/system.conf"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
}

# another: the system that the guest runs on next.
another() {
	printf 'one new\nb\nc\nd\ne\n' >"$DIR/system/etc/conf"
	echo new tool >"$DIR/system/usr/bin/tool"
	SYSTEM_VERSION=12.2 mlimg_boot
}

# in_conflict: the user's files, and another system.
in_conflict() {
	mlimg_boot
	mkdir -p "$UPPER/etc" "$UPPER/usr/bin"
	printf 'one mine\nb\nc\nd\ne\n' >"$UPPER/etc/conf"
	echo my tool >"$UPPER/usr/bin/tool"
	another
}

# since: output without what the clock says.
since() {
	# shellcheck disable=SC2001
	sed 's/[0-9]\{4\}-[0-9][0-9]-[0-9][0-9] [0-9:]\{8\}/TIME/' <<<"$output"
}

@test "mlimg why: a file that several layers have" {
	mlimg_boot
	works "${MLIMG[@]}" why /etc/hosts
	same "of layers" "/etc/hosts
  shows   software nginx 1.0  file 0644 0:0 15 B, 2020-09-13 12:26:40
  hidden  system debian 12.1  file 0644 0:0 6 B, 2020-09-13 12:26:40
class     config" "$output"
	mkdir "$UPPER/etc"
	echo mine >"$UPPER/etc/hosts"
	chmod 0600 "$UPPER/etc/hosts"
	touch -d @1700000000 "$UPPER/etc/hosts"
	works "${MLIMG[@]}" why /etc/hosts
	same "of the user" "/etc/hosts
  shows   yours  file 0600 0:0 5 B, 2023-11-14 22:13:20
  hidden  software nginx 1.0  file 0644 0:0 15 B, 2020-09-13 12:26:40
  hidden  system debian 12.1  file 0644 0:0 6 B, 2020-09-13 12:26:40
class     config
since     TIME, in generation 1" "$(sed '$s/ [0-9-]* [0-9:]*, in/ TIME, in/' <<<"$output")"
	works "${MLIMG[@]}" --json why /etc/hosts
	same "JSON" '["etc/hosts","upper",["shows","hidden","hidden"],"0600",5,"nginx","config",false,false,1,[]]' \
		"$(jq -c '[.path, .shows.kind, (.layers | map(.state)), .layers[0].mode, .layers[0].size_bytes, .layers[1].layer.name, .class, .composed, .pinned, .since.generation, .reports]' <<<"$output")"
}

@test "mlimg why: directories, and what nobody has" {
	mlimg_boot
	works "${MLIMG[@]}" why /usr/share/doc
	same "directory" "/usr/share/doc
  shows   software nginx 1.0  dir 0755 0:0, 2020-09-13 12:26:40
  merges  system debian 12.1  dir 0755 0:0, 2020-09-13 12:26:40
class     merge:docs" "$output"
	works "${MLIMG[@]}" why /
	same "root" "/
  shows   yours" "$(head -n 2 <<<"$output" | cut -c 1-15)"
	fails 1 "" "${MLIMG[@]}" why /srv/site/x
	same "nothing" "/srv/site/x  (nothing shows there)
class     keep" "$output"
	fails 1 "" "${MLIMG[@]}" --json why /usr/bin/tool/x
	same "below a file" '[null,["nothing","nothing","ends"],"usr/bin/tool"]' "$(jq -c '[.shows, (.layers | map(.state)), .layers[2].at]' <<<"$output")"
}

@test "mlimg why: what unionfs-fuse has hidden" {
	UNION=unionfs mlimg_boot
	mkdir -p "$UPPER/.unionfs-fuse/etc" "$UPPER/.unionfs-fuse/usr/share" "$UPPER/usr/share/doc"
	: >"$UPPER/.unionfs-fuse/etc/hosts_HIDDEN~"
	mkdir "$UPPER/.unionfs-fuse/usr/share/doc_HIDDEN~"
	fails 1 "" "${MLIMG[@]}" why /etc/hosts
	same "deleted" "/etc/hosts  (nothing shows there)
  deletes yours
  hidden  software nginx 1.0  file 0644 0:0 15 B, 2020-09-13 12:26:40
  hidden  system debian 12.1  file 0644 0:0 6 B, 2020-09-13 12:26:40
class     config" "$output"
	fails 1 "" "${MLIMG[@]}" why /usr/share/doc/doc
	same "in an opaque directory" "/usr/share/doc/doc  (nothing shows there)
  ends    yours  (/usr/share/doc)
  hidden  system debian 12.1  file 0644 0:0 4 B, 2020-09-13 12:26:40
class     merge:docs" "$output"
	works "${MLIMG[@]}" why /usr/share/doc
	same "the directory" "shows hidden hidden" "$(sed -n 's/^  \([a-z]*\) .*/\1/p' <<<"$output" | xargs)"
	[[ $output == *", opaque"* ]]
}

@test "mlimg why: classes as they are declared, and the user's own" {
	mlimg_boot
	mkdir -p "$UPPER/etc/mlimg/reconcile.d"
	echo '/etc/hosts data' >"$UPPER/etc/mlimg/reconcile.d/own.conf"
	works "${MLIMG[@]}" why /etc/hosts
	same "class" "class     data" "$(grep ^class <<<"$output")"
	echo 'nonsense' >"$UPPER/etc/mlimg/reconcile.d/own.conf"
	works "${MLIMG[@]}" why /etc/hosts
	same "class" "class     config" "$(grep ^class <<<"$output")"
}

@test "mlimg why, reports and conflicts after another stack" {
	in_conflict
	works "${MLIMG[@]}" why /etc/conf
	same "conf" "/etc/conf
  shows   yours  file 0644 0:0 17 B, TIME
  hidden  system debian 12.2  file 0644 0:0 16 B, TIME
class     config
since     TIME, in generation 1
reports   2: conflict, beside: /etc/conf.mlimg-new" "$(since)"
	works "${MLIMG[@]}" --json why /etc/conf.mlimg-new
	same "new" '[{"generation":2,"verdict":"conflict","done":"beside","at":"etc/conf.mlimg-new"}]' "$(jq -c .reports <<<"$output")"
	works "${MLIMG[@]}" reports
	same "reports" "2    TIME  2 dropped, 1 aside, 1 beside, 0 merged, 0 joined; 2 conflicts" "$(since)"
	works "${MLIMG[@]}" --json reports
	same "JSON" '[[2,2,1]]' "$(jq -c 'map([.generation, .counts.conflict, .done.aside])' <<<"$output")"
	works "${MLIMG[@]}" reports 2
	same "report" "$(cat "$USER_DIR/mlimg/reports/2.txt")" "$output"
	works "${MLIMG[@]}" reports --json 2
	same "JSON" "$(jq . "$USER_DIR/mlimg/reports/2.json")" "$(jq . <<<"$output")"
	fails 1 "mlimg: report of generation 3: No such file or directory" "${MLIMG[@]}" reports 3
	fails 2 "mlimg: 'x' is not a number from 1 to 999999999
Try 'mlimg --help' for more information." "${MLIMG[@]}" reports x
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	works "${MLIMG[@]}" conflicts
	same "conflicts" "beside /etc/conf  (the system's: /etc/conf.mlimg-new; generation 2)
aside  /usr/bin/tool  (yours: $RUN/user/mlimg/aside/2/usr/bin/tool; generation 2)" "$output"
	works "${MLIMG[@]}" --json conflicts
	same "JSON" '["etc/conf","beside","etc/conf.mlimg-new",2,"config"] ["usr/bin/tool","aside","aside/2/usr/bin/tool",2,"owned"]' \
		"$(jq -c '[.path, .done, .at, .generation, .class]' <<<"$output" | xargs -d '\n')"
	rm "$UPPER/etc/conf.mlimg-new" "$USER_DIR/mlimg/aside/2/usr/bin/tool"
	works "${MLIMG[@]}" conflicts
	same "conflicts" "There are no conflicts." "$output"
}

@test "mlimg why: since which generation" {
	in_conflict
	# A file is of a later generation than a report that is older than it.
	touch -d @1600000000 "$USER_DIR/mlimg/reports/2.json"
	echo later >"$UPPER/etc/later"
	works "${MLIMG[@]}" why /etc/later
	same "since" "since     TIME, in generation 2" "$(since | grep ^since)"
}

@test "mlimg why: a database that all layers make together" {
	mkdir -p "$DIR/system/etc"
	echo root:x:0: >"$DIR/system/etc/group"
	mlimg_boot
	mkdir -p "$RUN/composed/rootfs/etc"
	printf 'root:x:0:\nnginx:x:106:\n' >"$RUN/composed/rootfs/etc/group"
	works "${MLIMG[@]}" why /etc/group
	same "why" "/etc/group
  shows   all layers
  hidden  system debian 12.1
database  composed of the records of all layers" "$(sed 's/  file .*//; /^class/d' <<<"$output")"
	works "${MLIMG[@]}" --json why /etc/group
	same "JSON" 'true composed' "$(jq -r '"\(.composed) \(.shows.kind)"' <<<"$output")"
}

@test "mlimg reports: none, and one that is damaged" {
	mlimg_boot
	works "${MLIMG[@]}" reports
	same "none" "" "$output"
	mkdir -p "$USER_DIR/mlimg/reports"
	echo '{}' >"$USER_DIR/mlimg/reports/7.json"
	fails 3 "mlimg: report of generation 7 is damaged" "${MLIMG[@]}" reports
	fails 3 "mlimg: generation 7: report: no list 'entries'" "${MLIMG[@]}" conflicts
	echo '{"entries": [{"path": "a b", "verdict": "x"}]}' >"$USER_DIR/mlimg/reports/7.json"
	fails 3 "mlimg: generation 7: report: an entry that is none" "${MLIMG[@]}" conflicts
}

@test "mlimg du" {
	mlimg_boot
	mkdir -p "$UPPER/etc/own/deep/deeper" "$UPPER/usr/bin"
	head -c 100000 /dev/urandom >"$UPPER/etc/own/deep/deeper/new"
	ln "$UPPER/etc/own/deep/deeper/new" "$UPPER/etc/own/deep/other name"
	head -c 5000 /dev/urandom >"$UPPER/usr/bin/tool"
	mkdir -p "$USER_DIR/mlimg/aside/1" "$USER_DIR/carve-outs/srv"
	head -c 7000 /dev/urandom >"$USER_DIR/mlimg/aside/1/gone"
	head -c 9000 /dev/urandom >"$USER_DIR/carve-outs/srv/data"
	works "${MLIMG[@]}" --json du --depth 9
	same "directories" "etc/own/deep/deeper etc/own/deep etc/own etc usr/bin usr " "$(jq -r '.directories | map(.path) | join(" ")' <<<"$output")"
	same "new" "$(du -s --block-size=1 "$UPPER/etc/own" | cut -f 1)" "$(jq '.directories[] | select(.path == "etc/own").new_bytes' <<<"$output")"
	same "copies" "$(du -s --block-size=1 "$UPPER/usr" | cut -f 1)" "$(jq '.directories[] | select(.path == "usr").copies_bytes' <<<"$output")"
	same "all" "$(du -s --block-size=1 "$UPPER" | cut -f 1)" "$(jq '.directories[] | select(.path == "").used_bytes' <<<"$output")"
	same "aside" "$(du -s --block-size=1 "$USER_DIR/mlimg/aside" | cut -f 1)" "$(jq .aside_bytes <<<"$output")"
	same "carve-outs" "$(du -s --block-size=1 "$USER_DIR/carve-outs" | cut -f 1)" "$(jq .carve_outs_bytes <<<"$output")"
	works "${MLIMG[@]}" du --depth 1
	same "text" "used copies new
/etc
/usr
/
Beside these:
what was set aside: yours to remove
for taking back the last change of the stack
mlimg's own: what the stack was, reports
carve-outs" "$(sed 's/^ *used *copies *new$/used copies new/; s/^ *[0-9.]* [KM]*i*B  *[0-9.]* [KM]*i*B  *[0-9.]* [KM]*i*B  //; s/^ *[0-9.]* [KM]*i*B  //' <<<"$output" | grep .)"
	works "${MLIMG[@]}" du /usr/bin
	same "one" "/usr/bin" "$(tail -n +2 <<<"$output" | awk '{ print $NF }')"
	fails 2 "mlimg: 'x' is not a number from 0 to 4095
Try 'mlimg --help' for more information." "${MLIMG[@]}" du --depth x
}

@test "mlimg pin and unpin" {
	local file=$DIR/merged/etc/mlimg/reconcile.d/pins.conf
	mlimg_boot
	mkdir -p "$DIR/merged/etc"
	works "${MLIMG[@]}" pin
	same "none" "" "$output"
	works "${MLIMG[@]}" pin /etc/conf '/srv/my [site]'
	same "pinned" "/etc/conf: pinned: when the stack changes it stays as it is
/srv/my\040\133site]: pinned: when the stack changes it stays as it is" "$output"
	same "file" "# Made by 'mlimg pin'.
/etc/conf keep
/srv/my\\ \\[site\\] keep" "$(cat "$file")"
	works "${MLIMG[@]}" pin /etc/conf
	same "again" "/etc/conf: is pinned already" "$output"
	works "${MLIMG[@]}" pin
	same "all" "/etc/conf
/srv/my\040\133site]" "$output"
	echo "# a remark" >>"$file"
	fails 1 "mlimg: '/etc/other' is not pinned" "${MLIMG[@]}" unpin /etc/other
	fails 1 "mlimg: '/etc/conf/below' is pinned by '/etc/conf'" "${MLIMG[@]}" unpin /etc/conf/below
	works "${MLIMG[@]}" unpin --json /etc/conf
	same "unpinned" '{"path":"etc/conf","pinned":false,"changed":true}' "$output"
	works "${MLIMG[@]}" unpin '/srv/my [site]'
	same "what is not mlimg's stays" "# Made by 'mlimg pin'.
# a remark" "$(cat "$file")"
	sed -i '$d' "$file"
	works "${MLIMG[@]}" pin /a
	works "${MLIMG[@]}" unpin /a
	[ ! -e "$file" ]
}

@test "mlimg pin: one after the other" {
	mlimg_boot
	fails 124 "" flock "$RUN" timeout 1 "${MLIMG[@]}" pin /etc/conf
	works "${MLIMG[@]}" pin
	same "pins" "" "$output"
}

@test "mlimg pin: what cannot be pinned" {
	local i long
	mlimg_boot
	mkdir -p "$DIR/merged/etc/mlimg/reconcile.d"
	fails 1 "mlimg: the root cannot be pinned: Invalid argument" "${MLIMG[@]}" pin /
	fails 1 "mlimg: '/a...' cannot be pinned: a newline in a name: Invalid argument" "${MLIMG[@]}" pin $'/a\nb'
	long=$(printf '/%0200d' {1..10})
	fails 1 "mlimg: '${long:0:200}...' cannot be pinned: it is too long: Invalid argument" "${MLIMG[@]}" pin "$long"
	fails 2 "mlimg: 'unpin' needs a path
Try 'mlimg --help' for more information." "${MLIMG[@]}" unpin
	for i in $(seq 256); do echo "/x$i keep"; done >"$DIR/merged/etc/mlimg/reconcile.d/pins.conf"
	fails 3 "mlimg: /etc/mlimg/reconcile.d/pins.conf: line 257: more lines than all files may have" "${MLIMG[@]}" pin /a
	same "lines" 256 "$(wc -l <"$DIR/merged/etc/mlimg/reconcile.d/pins.conf")"
}

@test "mlimg pin: what is pinned stays as it is on another stack" {
	mlimg_boot
	mkdir -p "$UPPER/etc" "$UPPER/usr/bin"
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	works "${MLIMG[@]}" pin /etc/conf /usr/bin/tool
	printf 'one mine\nb\nc\nd\ne\n' >"$UPPER/etc/conf"
	echo my tool >"$UPPER/usr/bin/tool"
	works "${MLIMG[@]}" why /usr/bin/tool
	same "pinned" "class     keep
pinned    /usr/bin/tool" "$(grep -E '^(class|pinned)' <<<"$output")"
	another
	same "what is there" "etc/conf usr/bin/tool" "$(cd "$UPPER" && find . -type f -not -path './etc/mlimg/*' -printf '%P\n' | sort | xargs)"
	works "${MLIMG[@]}" conflicts
	same "conflicts" "There are no conflicts." "$output"
}

@test "mlimg why: what a program makes is a cache, what else lies there is not" {
	mlimg_boot
	mkdir -p "$UPPER/usr/share/info"
	echo made >"$UPPER/usr/share/info/dir"
	works "${MLIMG[@]}" why /usr/share/info/dir
	same "class" "class     derived" "$(grep ^class <<<"$output")"
	ln -sf mine "$UPPER/usr/share/info/dir"
	works "${MLIMG[@]}" why /usr/share/info/dir
	same "class" "class     owned" "$(grep ^class <<<"$output")"
	rm "$UPPER/usr/share/info/dir"
	fails 1 "" "${MLIMG[@]}" why /usr/share/info/dir
	same "class" "class     derived" "$(grep ^class <<<"$output")"
}
