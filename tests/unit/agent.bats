#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent: command line, and the protocol against the real daemon over a Unix socket.
load ../lib/common

setup() {
	DIR=$BATS_TEST_TMPDIR
	# With systemd, whose default target is not reached: a daemon that has nothing to announce.
	mkdir -p "$DIR/run/mlimg" "$DIR/run/systemd/system" "$DIR/bin"
}

teardown() {
	[ -z "${DAEMON:-}" ] || kill "$DAEMON"
}

# daemon: started, and listening when this returns.
daemon() {
	local _
	mlimg-agent daemon --port "unix:$DIR/port" --run "$DIR/run" 3>&- &
	DAEMON=$!
	for _ in $(seq 600); do
		[ -S "$DIR/port" ] && return 0
		sleep 0.1
	done
	return 1
}

# ask: standard input goes to the daemon, its responses come out. The end of the input is not passed on before the
# responses had time to come: the daemon gives up a client that is gone.
ask() {
	timeout 60 socat -t 30 - "UNIX-CONNECT:$DIR/port"
}

# first_client: one that stays until descriptor 7 is closed, and has been answered once. Sets $first, its process; what it hears is in first.out.
first_client() {
	mkfifo "$DIR/first"
	ask <"$DIR/first" >"$DIR/first.out" 3>&- &
	first=$!
	exec 7>"$DIR/first"
	printf '{"execute":"guest-ping","id":1}\n' >&7
	until [ -s "$DIR/first.out" ]; do sleep 0.1; done
}

# systemctl ANSWERS: a fake one on PATH; its case branches are given.
systemctl() {
	printf '#!/bin/sh\ncase "$*" in\n%s\nesac\n' "$1" >"$DIR/bin/systemctl"
	chmod +x "$DIR/bin/systemctl"
	PATH=$DIR/bin:$PATH
}

status() {
	printf '{"execute":"guest-status"}\n' | ask
}

usage() {
	fails 2 "mlimg-agent: $1
Try 'mlimg-agent --help' for more information." mlimg-agent "${@:2}"
}

@test "help and version" {
	works mlimg-agent --help
	[ "${lines[0]}" = "Usage: mlimg-agent daemon [--port PORT] [--socket PATH] [--run DIR] [OPTION]..." ]
	local help=$output line call
	while read -r line; do
		[ "${#line}" -le 80 ]
	done <<<"$help"
	for call in check-index daemon health identify stage; do
		works mlimg-agent "$call" --help
		same "help of $call" "$help" "$output"
	done
	works mlimg-agent --version
	[[ $output =~ ^mlimg-agent\ \(mlimg\)\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "wrong usage is named" {
	usage "what is to be done?"
	usage "no call 'dance'" dance
	usage "unknown option '--dance'" --dance
	usage "unknown option '--dance'" daemon --dance
	usage "daemon: unexpected argument 'x'" daemon x
	usage "daemon: --init takes a process id" daemon --init me
	usage "health: unexpected argument 'x'" health x
	usage "stage: which stage?" stage
	usage "stage: no stage 'party'" stage party
	usage "stage: more than a stage and a detail" stage disks a b
	usage "identify: 'xyz' is no id (20 to 64 hex digits)" identify --want xyz
	usage "identify: '0123456789abcdef012' is no id (20 to 64 hex digits)" identify --want 0123456789abcdef012
}

@test "the daemon fails without a port" {
	fails 1 "mlimg-agent: open $DIR/none: No such file or directory" mlimg-agent daemon --port "$DIR/none"
	fails 1 "mlimg-agent: listen on $DIR/none/s: No such file or directory" mlimg-agent daemon --port "unix:$DIR/none/s"
}

@test "two requests in one write, and one in two" {
	daemon
	run ask < <(
		printf '{"execute":"guest-ping","id":1}\n{"execute":"guest-ping","id":2}\n{"execute":'
		sleep 0.3
		printf '"guest-ping","id":3}\n'
	)
	same responses '{"return":{},"id":1}
{"return":{},"id":2}
{"return":{},"id":3}' "$output"
}

@test "guest-info lists every command of PROTOCOL.md, and no other" {
	daemon
	local listed documented
	listed=$(printf '{"execute":"guest-info"}\n' | ask | jq -r '.return.supported_commands[].name' | sort)
	# shellcheck disable=SC2016 # the backticks are the table's
	documented=$(sed -n 's/^| `\([gm][a-z]*-[a-z-]*\)` .*/\1/p' "$MLIMG_TOP/guest-agent/PROTOCOL.md" | sort)
	same commands "$documented" "$listed"
}

@test "PROTOCOL.md says who may what, what commands take, and which classes of errors there are, as the code does" {
	daemon
	local listed documented
	listed=$(printf '{"execute":"guest-info"}\n' | ask |
		jq -r '.return.supported_commands[] | [.name, (.may | if length == 3 then "all" else join(", ") end), (.arguments | map(.name) | join(" "))] | join("|")' | sort)
	# shellcheck disable=SC2016 # the backticks are the table's
	documented=$(sed -nE 's/^\| `([gm][a-z]*-[a-z-]*)` \| ([^|]*) \| ([^|]*) \|.*/\1|\2|\3/p' "$MLIMG_TOP/guest-agent/PROTOCOL.md" |
		awk -F'|' '{
			names = ""
			while (match($3, /`[a-z-]+`:/)) {
				names = names (names == "" ? "" : " ") substr($3, RSTART + 1, RLENGTH - 3)
				$3 = substr($3, RSTART + RLENGTH)
			}
			print $1 "|" $2 "|" names
		}' | sort)
	same "who may what, and arguments" "$listed" "$documented"
	same "classes" "$(sed -n '/^static const char \*class_name/,/^}/s/.*"\(.*\)".*/\1/p' "$MLIMG_TOP/guest-agent/protocol.c")" \
		"$(sed -n '/^- Error classes, closed list:/,/\.$/p' "$MLIMG_TOP/guest-agent/PROTOCOL.md" | grep -o '`[A-Za-z]*`' | tr -d '\140')"
	same "commands that the manual page misses" "" "$(cut -d '|' -f 1 <<<"$listed" | while read -r name; do
		grep -qw "^[^.].*$name\|^\.Ic.* $name" "$MLIMG_TOP/guest-agent/mlimg-agent.8" || echo "$name"
	done)"
}

@test "guest-sync-delimited: 0xFF, then the response" {
	daemon
	printf 'half a li\377{"execute":"guest-sync-delimited","arguments":{"id":99}}\n' | ask >"$DIR/out"
	printf '\377{"return":99}\n' | cmp - "$DIR/out"
}

@test "a client's unfinished line is not the next client's" {
	daemon
	printf '{"execute":"guest-ping"' | ask >"$DIR/out"
	[ ! -s "$DIR/out" ]
	run ask <<<'{"execute":"guest-ping","id":"second"}'
	same response '{"return":{},"id":"second"}' "$output"
}

@test "garbage, oversize and unknown commands leave the daemon working" {
	daemon
	run ask < <(
		head -c 100000 /dev/zero | tr '\0' x
		printf '\n\001\002\003\n{"execute":"guest-dance"}\n{"execute":"guest-ping"}\n'
	)
	same responses '{"error":{"class":"RequestTooLong","desc":"the request is longer than 65536 bytes"}}
{"error":{"class":"MalformedRequest","desc":"request: line 1: '"'[' or '{' expected near '?'"'"}}
{"error":{"class":"CommandNotFound","desc":"no command '"'guest-dance'"'"}}
{"return":{}}' "$output"
	head -c 3000000 /dev/urandom | tr -d '\n' | ask >"$DIR/out"
	[ ! -s "$DIR/out" ]
	run ask <<<'{"execute":"guest-ping"}'
	same response '{"return":{}}' "$output"
}

@test "guest-status without systemd: a default target is nothing to wait for" {
	rm -r "$DIR/run/systemd"
	daemon
	run status
	same announcement '{"event":"default-target","data":{}}' "${lines[0]}"
	output=${lines[1]}
	same status '{"agent_version":"0.1.0","union":null,"generation":null,"pending_operations":0,"pending":[],"boot":null,"health":"good","init":"other","system_state":"unknown","default_target_reached":true,"failed_units":[]}' \
		"$(jq -c '.return | del(.uptime_ms, .boot_id)' <<<"$output")"
	[ "$(jq '.return.uptime_ms > 0' <<<"$output")" = true ]
	same "which boot it is" "$(</proc/sys/kernel/random/boot_id)" "$(jq -r '.return.boot_id' <<<"$output")"
}

@test "the default target is announced once, when its mark appears, to whoever is there" {
	daemon
	first_client
	: >"$DIR/run/mlimg/boot.json"
	: >"$DIR/run/mlimg/default-target"
	until [ "$(wc -l <"$DIR/first.out")" -eq 2 ]; do sleep 0.1; done
	: >"$DIR/run/mlimg/another"
	printf '{"execute":"guest-ping","id":2}\n' >&7
	exec 7>&-
	wait "$first"
	same "what came" '{"return":{},"id":1}
{"event":"default-target","data":{}}
{"return":{},"id":2}' "$(cat "$DIR/first.out")"
	same "what the next one hears" '{"event":"default-target","data":{}}
{"return":{},"id":3}' "$(ask <<<'{"execute":"guest-ping","id":3}')"
}

@test "guest-status with systemd, and boot.json as it is" {
	systemctl 'is-system-running) echo degraded; exit 1 ;;
"is-active default.target") echo active ;;
"list-units --state=failed --plain --no-legend") echo "a.service loaded failed failed A"; echo "b.mount loaded failed failed" ;;
*) exit 99 ;;'
	echo '{"format":1,"union":"index","generation":3,"nested":{"a":[1,2]}}' >"$DIR/run/mlimg/boot.json"
	mkdir -p "$DIR/run/mlimg/user/mlimg"
	printf 'mlimg-queue 1\nreset etc/a\\040b\nrestore usr/x\n' >"$DIR/run/mlimg/user/mlimg/queue"
	daemon
	run status
	same status '{"agent_version":"0.1.0","union":"index","generation":3,"pending_operations":2,"pending":[{"operation":"reset","path":"etc/a\\040b"},{"operation":"restore","path":"usr/x"}],"boot":{"format":1,"union":"index","generation":3,"nested":{"a":[1,2]}},"health":"bad","init":"systemd","system_state":"degraded","default_target_reached":true,"failed_units":["a.service","b.mount"]}' \
		"$(jq -c '.return | del(.uptime_ms, .boot_id)' <<<"$output")"
}

@test "guest-status while the default target is not reached" {
	systemctl 'is-system-running) echo starting; exit 1 ;;
"is-active default.target") echo inactive; exit 3 ;;
list-units*) ;;'
	daemon
	run status
	same status '"starting" false []' \
		"$(jq -r '.return | "\(.system_state | tojson) \(.default_target_reached) \(.failed_units)"' <<<"$output")"
}

@test "guest-status where systemd tells no failed units: not known is not none" {
	local how
	for how in 'exit 1' 'exec sleep 1000'; do
		systemctl 'is-system-running) echo running ;;
"is-active default.target") echo active ;;
list-units*) '"$how"' ;;'
		daemon
		run status
		same "status, $how" 'bad null' "$(jq -r '.return | "\(.health) \(.failed_units)"' <<<"$output")"
		kill "$DAEMON"
		wait "$DAEMON" || true
		DAEMON=''
		rm -f "$DIR/port" "$DIR/run/mlimg-agent.sock"
	done
}

@test "guest-status with more failed units than it lists" {
	# shellcheck disable=SC2016 # the fake's own $
	systemctl 'is-system-running) echo running ;;
"is-active default.target") echo active ;;
list-units*) i=0; while [ $i -lt 150 ]; do echo "u$i.service loaded failed failed U"; i=$((i+1)); done ;;'
	daemon
	run status
	same status '"running" true 100 u99.service' \
		"$(jq -r '.return | "\(.system_state | tojson) \(.default_target_reached) \(.failed_units | length) \(.failed_units[99])"' <<<"$output")"
}

@test "guest-status with a systemctl that hangs: asked once" {
	systemctl '*) echo $$ >>'"$DIR"'/pids; exec sleep 1000 ;;'
	daemon
	run status
	same status '"unknown" false null' \
		"$(jq -r '.return | "\(.system_state | tojson) \(.default_target_reached) \(.failed_units)"' <<<"$output")"
	[ "$(wc -l <"$DIR/pids")" -eq 1 ]
	[ ! -d "/proc/$(cat "$DIR/pids")" ]
}

@test "guest-status with a damaged boot.json" {
	echo '{"format":' >"$DIR/run/mlimg/boot.json"
	daemon
	run status
	same response '{"error":{"class":"GenericError","desc":"'"$DIR"'/run/mlimg/boot.json: not a JSON object"}}' "$output"
	head -c 1048577 /dev/zero >"$DIR/run/mlimg/boot.json"
	run status
	same response '{"error":{"class":"GenericError","desc":"read '"'$DIR"'/run/mlimg/boot.json'"'"': more than 1048576 bytes: File too large"}}' "$output"
}

@test "stage writes one event, whose detail is one line" {
	mkfifo "$DIR/fifo"
	exec 7<>"$DIR/fifo"
	works mlimg-agent stage --port "$DIR/fifo" disks $'waiting for "vda"\nand\tmore'
	works mlimg-agent stage --port "$DIR/fifo" failed $'label \xff\xfe'
	works mlimg-agent stage --port "$DIR/fifo" switch-root
	local a b c
	IFS= read -r -u 7 a
	IFS= read -r -u 7 b
	IFS= read -r -u 7 c
	exec 7>&-
	same event '{"event":"boot-stage","data":{"stage":"disks","detail":"waiting for \"vda\"?and?more"}}' "$a"
	same event '{"event":"boot-stage","data":{"stage":"failed","detail":"label ??"}}' "$b"
	same event '{"event":"boot-stage","data":{"stage":"switch-root","detail":""}}' "$c"
}

@test "stage is quiet where nobody listens, and does not wait for a full pipe" {
	works mlimg-agent stage --port "$DIR/none" disks
	mkfifo "$DIR/fifo"
	works mlimg-agent stage --port "$DIR/fifo" disks
	exec 7<>"$DIR/fifo"
	dd if=/dev/zero of="$DIR/fifo" bs=4096 oflag=nonblock status=none || true
	works timeout 10 mlimg-agent stage --port "$DIR/fifo" disks
	exec 7>&-
}

@test "identify on files" {
	need command mke2fs
	truncate -s 8M "$DIR/blank"
	mke2fs -q -t ext4 -L mlimg-user -U 00112233-4455-8677-8899-aabbccddeeff -F "$DIR/user" 8M 2>/dev/null
	works mlimg-agent identify "$DIR/user" "$DIR/blank" "$DIR/none"
	same lines "$DIR/user	layer	user	00112233445586778899aabbccddeeff	-	ext4, 8.0 MiB
$DIR/blank	blank	-	-	-	the first 128 KiB are zero
$DIR/none	unreadable	-	-	-	No such file or directory" "$output"
}
