#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent daemon as it is installed: what it costs, its commands for the host, and how it ends.
# shellcheck disable=SC2030,SC2031 # each test has its own daemon

load ../lib/common

setup() {
	DIR=$BATS_TEST_TMPDIR
	mkdir -p "$DIR/run/mlimg" "$DIR/health"
}

teardown() {
	[ -z "${DAEMON:-}" ] || kill "$DAEMON" || true
	[ -z "${INIT:-}" ] || kill -KILL "$INIT" || true
}

# daemon OPTION…: started, and listening when this returns.
daemon() {
	local _
	mlimg-agent daemon --port "unix:$DIR/host" --run "$DIR/run" --health "$DIR/health" "$@" 3>&- &
	DAEMON=$!
	for _ in $(seq 600); do
		[ -S "$DIR/run/mlimg-agent.sock" ] && return 0
		sleep 0.1
	done
	return 1
}

# systemd ANSWERS: as if it ran, with a systemctl whose case branches are given.
systemd() {
	mkdir -p "$DIR/run/systemd/system" "$DIR/bin"
	printf '#!/bin/sh\ncase "$*" in\n%s\nesac\n' "$1" >"$DIR/bin/systemctl"
	chmod +x "$DIR/bin/systemctl"
	PATH=$DIR/bin:$PATH
}

# host REQUEST…: what the host hears, but for the announcement; user REQUEST…: what a user does.
host() {
	printf '%s\n' "$@" | timeout 60 socat -t 60 - "UNIX-CONNECT:$DIR/host" | grep -v '^{"event"'
}

user() {
	printf '%s\n' "$@" | timeout 60 socat -t 60 - "UNIX-CONNECT:$DIR/run/mlimg-agent.sock"
}

# nobody REQUEST…: what a user does who is not root.
nobody() {
	local as=()
	[ "$(id -u)" -ne 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$DIR" "$DIR/run"
	printf '%s\n' "$@" | timeout 60 "${as[@]}" socat -t 60 - "UNIX-CONNECT:$DIR/run/mlimg-agent.sock"
}

# check NAME SCRIPT
check() {
	printf '#!/bin/sh\n%s\n' "$2" >"$DIR/health/$1"
	chmod +x "$DIR/health/$1"
}

# init: a process that says which signals it gets; sets $INIT.
init() {
	bash -c 'for s in USR1 USR2 TERM RTMIN+3 RTMIN+4 RTMIN+5; do trap "echo $s >>$1" "$s"; done
		: >"$1"
		while :; do sleep 0.1; done' init "$DIR/told" 3>&- &
	INIT=$!
	until [ -e "$DIR/told" ]; do sleep 0.1; done
}

# told WORD: waits until init was told something, and what.
told() {
	until [ -s "$DIR/told" ]; do sleep 0.1; done
	same "what init was told" "$1" "$(cat "$DIR/told")"
	: >"$DIR/told"
}

@test "daemon: the program is not larger, stripped, than the README says" {
	case $MLIMG_BUILD in *san-*) skip "sanitizers are larger" ;; esac
	same "bound of the README" "1,500,000" "$(grep -o 'at most [0-9,]* bytes when stripped' "$MLIMG_TOP/guest-agent/README.md" | grep -o '[0-9,]*' | xargs)"
	strip -o "$DIR/stripped" "$MLIMG_BUILD/bin/mlimg-agent"
	echo "$(stat -c %s "$DIR/stripped") bytes"
	[ "$(stat -c %s "$DIR/stripped")" -le 1500000 ]
}

@test "daemon: nothing wakes it while nobody asks, and it takes at most 4 MB" {
	case $MLIMG_BUILD in *san-*) skip "sanitizers take more" ;; esac
	local before _
	daemon
	for _ in 1 2 3 4 5 6 7 8; do
		# Each leaves a line of 60,000 bytes unfinished, and stays.
		{ head -c 60000 /dev/zero | tr '\0' x && until [ -e "$DIR/end" ]; do sleep 0.3; done; } |
			socat - "UNIX-CONNECT:$DIR/run/mlimg-agent.sock" 3>&- &
	done
	for _ in 1 2 3; do
		head -c 3000000 /dev/urandom | socat -t 1 - "UNIX-CONNECT:$DIR/host" >/dev/null
		user '{"execute":"guest-info"}' '{"execute":"guest-status"}' >/dev/null
	done
	grep VmHWM "/proc/$DAEMON/status"
	[ "$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$DAEMON/status")" -le 4096 ]
	# Until it sleeps: the same twice, a second between.
	for _ in $(seq 60); do
		before=$(grep ctxt_switches "/proc/$DAEMON/status")
		sleep 1
		[ "$before" != "$(grep ctxt_switches "/proc/$DAEMON/status")" ] || break
	done
	sleep 3
	same "wakings of the idle daemon" "$before" "$(grep ctxt_switches "/proc/$DAEMON/status")"
	: >"$DIR/end"
}

@test "daemon: SIGTERM ends it, with 0" {
	daemon
	kill "$DAEMON"
	wait "$DAEMON"
	DAEMON=
}

@test "daemon: the socket is for everybody, an old one is replaced" {
	daemon
	same mode "666 socket" "$(stat -c '%a %F' "$DIR/run/mlimg-agent.sock")"
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	rm "$DIR/host"
	mlimg-agent daemon --port "unix:$DIR/host" --run "$DIR/run" 3>&- &
	DAEMON=$!
	until [ -S "$DIR/host" ]; do sleep 0.1; done
	same response '{"return":{}}' "$(user '{"execute":"guest-ping"}')"
}

@test "daemon: a socket that systemd passes, and no port: it ends when the last client has gone" {
	if grep -qsx org.mlimg.agent.0 /sys/class/virtio-ports/*/name; then skip "this machine has the port"; fi
	need command systemd-socket-activate
	systemd-socket-activate --listen="$DIR/passed" "$MLIMG_BUILD/bin/mlimg-agent" daemon --run "$DIR/run" 3>&- 2>"$DIR/log" &
	local pid=$!
	until [ -S "$DIR/passed" ]; do sleep 0.1; done
	same response '{"return":{},"id":1}' "$(echo '{"execute":"guest-ping","id":1}' | timeout 60 socat -t 60 - "UNIX-CONNECT:$DIR/passed")"
	wait "$pid"
	[ ! -e "$DIR/run/mlimg-agent.sock" ]
}

@test "daemon: guest-info says who may, and what commands take" {
	daemon
	same "not for the guest" 'guest-set-time guest-shutdown' \
		"$(host '{"execute":"guest-info"}' | jq -r '.return.supported_commands[] | select(.may == ["host"]).name' | xargs)"
	same "freeze" '{"name":"guest-fsfreeze-freeze","enabled":true,"success-response":true,"may":["host","root"],"arguments":[{"name":"timeout-ms","type":"integer","optional":true}]}' \
		"$(host '{"execute":"guest-info"}' | jq -c '.return.supported_commands[] | select(.name == "guest-fsfreeze-freeze")')"
	same "shutdown" '[{"name":"mode","type":"powerdown reboot halt","optional":true}]' \
		"$(host '{"execute":"guest-info"}' | jq -c '.return.supported_commands[] | select(.name == "guest-shutdown").arguments')"
	same "shutdown in the guest" false "$(user '{"execute":"guest-info"}' | jq '.return.supported_commands[] | select(.name == "guest-shutdown").enabled')"
}

# members COMMAND: those that the page's object behind the line about this command has, sorted.
members() {
	# shellcheck disable=SC2016 # the backticks are the page's
	awk -v begin="^\`$1\` (returns|runs)" '$0 ~ begin { is_in = 1 } is_in && /^    \{/ { is_object = 1 } is_object && /^$/ { exit } is_object' \
		"$MLIMG_TOP/guest-agent/PROTOCOL.md" | grep -o '"[a-z_]*":' | tr -d '":' | sort -u
}

@test "daemon: PROTOCOL.md names the members of responses, the stages and the directories that there are" {
	local page=$MLIMG_TOP/guest-agent/PROTOCOL.md stages
	mkdir -p "$DIR/run/mlimg/user/mlimg"
	printf 'mlimg-queue 1\nreset x\n' >"$DIR/run/mlimg/user/mlimg/queue"
	check web 'exit 1'
	daemon
	same "guest-status" "$(members guest-status)" "$(host '{"execute":"guest-status"}' | jq -r '.return | keys[], (.pending[] | keys[])' | sort -u)"
	same "mlimg-health" "$(members mlimg-health)" "$(host '{"execute":"mlimg-health"}' | jq -r '.return | keys[], (.checks[] | keys[])' | sort -u)"
	stages=$(sed -n '/^static const char \*const stages/,/;/p' "$MLIMG_TOP/guest-agent/stage.c" | grep -o '"[a-z-]*"' | tr -d '"' | xargs)
	[ "$(wc -w <<<"$stages")" -gt 5 ]
	# shellcheck disable=SC2016
	same "stages" "$stages" "$(sed -n '/^`stage` is one of/s/(.*//p' "$page" | grep -o '`[a-z-]*`' | tail -n +2 | tr -d '\140' | xargs)"
	same "stages in the manual page" "$stages" "$(sed -n '/^\.It Cm stage/,/^Succeeds/s/^\.Li //p' "$MLIMG_TOP/guest-agent/mlimg-agent.8" | tr -d '.,' | xargs)"
	same "stages in the completion" "$stages" "$(sed -n "s/.*stage) words='--port --help \(.*\)' ;;/\1/p" "$MLIMG_TOP/guest-agent/completion/mlimg-agent")"
	# shellcheck disable=SC2016
	same "directories" "$(grep -o '"[a-z]*/*[a-z]*/*%*u*[a-z/]*"' "$MLIMG_TOP/guest-agent/view-fds.c" | grep -xE '"(volatile/upper|[a-z]+/upper|[a-z]+/rootfs|system|layers/%u/rootfs)"' | tr -d '"' | sed 's/%u/N/' | xargs)" \
		"$(sed -n '/^\*\*Looking\.\*\*/,/below it/p' "$page" | xargs -d '\n' | sed 's/.*those of //; s/below it.*//' | grep -o '`[A-Za-z/]*`' | tr -d '\140' | xargs)"
}

@test "daemon: what is queued is told to host and root, to users how much it is" {
	local all='[1,[{"operation":"reset","path":"home/bob/secret"}]]'
	mkdir -p "$DIR/run/mlimg/user/mlimg"
	printf 'mlimg-queue 1\nreset home/bob/secret\n' >"$DIR/run/mlimg/user/mlimg/queue"
	daemon
	same "host" "$all" "$(host '{"execute":"guest-status"}' | jq -c '.return | [.pending_operations, .pending]')"
	same "user" '[1,false]' "$(nobody '{"execute":"guest-status"}' | jq -c '.return | [.pending_operations, has("pending")]')"
	[ "$(id -u)" -ne 0 ] || same "root" "$all" "$(user '{"execute":"guest-status"}' | jq -c '.return | [.pending_operations, .pending]')"
	echo nonsense >"$DIR/run/mlimg/user/mlimg/queue"
	same "damaged" '[null,null]' "$(host '{"execute":"guest-status"}' | jq -c '.return | [.pending_operations, .pending]')"
}

@test "daemon: shutdown answers, then tells systemd by signals" {
	systemd '*) exit 1 ;;'
	init
	daemon --init "$INIT"
	same response '{"return":{},"id":1}' "$(host '{"execute":"guest-shutdown","id":1}')"
	told RTMIN+4
	same response '{"return":{}}' "$(host '{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}')"
	told RTMIN+5
	same response '{"return":{}}' "$(host '{"execute":"guest-shutdown","arguments":{"mode":"halt"}}')"
	told RTMIN+3
	# Whoever does not wait for the answer is heard, too.
	printf '{"execute":"guest-shutdown"}\n' | socat -u - "UNIX-CONNECT:$DIR/host"
	told RTMIN+4
}

@test "daemon: shutdown tells busybox' init by its signals, others by their programs" {
	mkdir "$DIR/bin"
	cp /bin/busybox "$DIR/bin/busybox"
	# shellcheck disable=SC2016 # for the inner shell
	"$DIR/bin/busybox" ash -c 'for s in USR1 USR2 TERM; do trap "echo $s >>$1" "$s"; done
		: >"$1"
		while :; do sleep 0.1; done' init "$DIR/told" 3>&- &
	INIT=$!
	until [ -e "$DIR/told" ]; do sleep 0.1; done
	daemon --init "$INIT"
	host '{"execute":"guest-shutdown"}'
	told USR2
	host '{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}'
	told TERM
	host '{"execute":"guest-shutdown","arguments":{"mode":"halt"}}'
	told USR1
	kill -KILL "$INIT" "$DAEMON"
	wait "$DAEMON" || true
	rm "$DIR/run/mlimg-agent.sock"
	init
	for program in halt poweroff reboot; do
		printf '#!/bin/sh\necho "%s" >>"%s"\n' "$program" "$DIR/told" >"$DIR/bin/$program"
		chmod +x "$DIR/bin/$program"
	done
	PATH=$DIR/bin:$PATH
	daemon --init "$INIT"
	host '{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}'
	told reboot
}

@test "daemon: nobody is told to shut down by a daemon of another directory" {
	daemon
	same response '{"error":{"class":"Unsupported","desc":"no init to tell"}}' "$(host '{"execute":"guest-shutdown"}')"
}

@test "daemon: checks of health, each bounded" {
	check 10-good 'exit 0'
	check 20_web 'echo down; printf "\303\244\001" ; exit 7'
	check 30-killed 'kill -SEGV $$'
	check 40-long 'head -c 5000 /dev/zero | tr "\0" x'
	check passed.over 'exit 1'
	check passed~ 'exit 1'
	echo 'not executable' >"$DIR/health/50-text"
	# The directory is there where mlimg has booted the guest.
	rmdir "$DIR/run/mlimg"
	daemon
	same "before" good "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	run host '{"execute":"mlimg-health","id":1}'
	same "without the long one" '{"is_healthy":false,"checks":[{"name":"10-good","status":0,"output":""},{"name":"20_web","status":7,"output":"down\n???"},{"name":"30-killed","status":139,"output":""}],"init":"other","system_state":"unknown","default_target_reached":true,"failed_units":[]}' \
		"$(jq -c '.return | del(.checks[3])' <<<"$output")"
	same "the long one" "40-long 0 1023" "$(jq -r '.return.checks[3] | "\(.name) \(.status) \(.output | length)"' <<<"$output")"
	rm "$DIR"/health/[234]*
	touch "$DIR/health/x"{101..199}
	same "too many" '{"name":"x199","status":null,"output":"not run, nor what follows: too many"} false' \
		"$(host '{"execute":"mlimg-health"}' | jq -c '.return.checks[-1], .return.is_healthy' | xargs -d '\n')"
	rm "$DIR"/health/x*
	same "after" bad "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	same "healthy" true "$(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
	same "after" good "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	same "who may read it" "700 600" "$(stat -c %a "$DIR/run/mlimg" "$DIR/run/mlimg/health.json" | xargs)"
	ln -s gone "$DIR/health/web"
	same "leads nowhere" '{"is_healthy":false,"checks":[{"name":"10-good","status":0,"output":""},{"name":"web","status":null,"output":"No such file or directory"}]}' \
		"$(host '{"execute":"mlimg-health"}' | jq -c '.return | {is_healthy, checks}')"
	mv "$DIR/health" "$DIR/off"
	: >"$DIR/health"
	same "no directory" "{\"error\":{\"class\":\"GenericError\",\"desc\":\"read '$DIR/health': Not a directory\"}}" "$(host '{"execute":"mlimg-health"}')"
	rm "$DIR/health"
	same "none" true "$(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
	echo '{' >"$DIR/run/mlimg/health.json"
	same "damaged" bad "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	rm -r "$DIR/run/mlimg"
	: >"$DIR/run/mlimg"
	same "cannot be written" "{\"error\":{\"class\":\"GenericError\",\"desc\":\"open the directory of '$DIR/run/mlimg/health.json': Not a directory\"}}" "$(host '{"execute":"mlimg-health"}')"
}

@test "daemon: a check that hangs is ended after 10 s, with all that it has started" {
	check 10-hangs "sleep 1000 & echo \$! >$DIR/pid; wait"
	check 20-good 'exit 0'
	daemon
	run host '{"execute":"mlimg-health"}'
	same "checks" '[{"name":"10-hangs","status":null,"output":""},{"name":"20-good","status":0,"output":""}]' "$(jq -c .return.checks <<<"$output")"
	# It may still be waiting for somebody to take note of its end.
	[ ! -d "/proc/$(cat "$DIR/pid")" ] || grep -q '^State:.*Z' "/proc/$(cat "$DIR/pid")/status"
}

# mid_command: somebody asks for a check that goes on until it is ended; sets $asker, who writes what he hears into heard, and $checks, the check.
mid_command() {
	rm -f "$DIR/pid"
	host '{"execute":"mlimg-health","id":"long"}' '{"execute":"guest-ping","id":"next"}' >"$DIR/heard" 3>&- &
	asker=$!
	until [ -s "$DIR/pid" ]; do
		kill -0 "$asker"
		sleep 0.1
	done
	checks=$(cat "$DIR/pid")
}

# check_ends: before its own time of 10 s is over.
check_ends() {
	local _
	for _ in $(seq 70); do
		[ -d "/proc/$checks" ] && [ "$(ps -o state= -p "$checks")" != Z ] || return 0
		sleep 0.1
	done
	echo "the check runs on" >&2
	return 1
}

@test "daemon: killed in mid-command: what runs ends with it, nothing is answered, and the next one serves" {
	check long "trap '' TERM; echo \$\$ >$DIR/pid.new; mv $DIR/pid.new $DIR/pid; exec sleep 1000"
	daemon
	mid_command
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	check_ends
	wait "$asker" || true
	same "what the client hears" "" "$(cat "$DIR/heard")"
	rm "$DIR/host" "$DIR/run/mlimg-agent.sock" "$DIR/health/long"
	daemon
	same "the next one" '{"return":{}}' "$(host '{"execute":"guest-ping"}')"
	same "health" true "$(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
}

@test "daemon: a command whose process is killed is answered with an error, and the next request as ever" {
	check long "echo \$\$ >$DIR/pid.new; mv $DIR/pid.new $DIR/pid; exec sleep 1000"
	daemon
	mid_command
	kill -KILL "$(pgrep -P "$DAEMON")"
	wait "$asker"
	kill -KILL "$checks" || true
	same "what the client hears" '{"error":{"class":"Timeout","desc":"mlimg-health: no answer from its process"},"id":"long"}
{"return":{},"id":"next"}' "$(cat "$DIR/heard")"
}

@test "daemon: under systemd checks run in their unit, and guest-status tells in a word" {
	check web 'exit 1'
	systemd 'start\ mlimg-health.service) '"$MLIMG_BUILD/bin/mlimg-agent health --dir $DIR/health --run $DIR/run || :"' ;;
is-system-running) echo running ;;
"is-active default.target") echo active ;;
list-units*) ;;'
	daemon
	same "before" good "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	same "health" '{"is_healthy":false,"checks":[{"name":"web","status":1,"output":""}],"init":"systemd","system_state":"running","default_target_reached":true,"failed_units":[]}' \
		"$(host '{"execute":"mlimg-health"}' | jq -c .return)"
	same "after" bad "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	check web 'exit 0'
	same "healthy" true "$(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
	same "after" good "$(user '{"execute":"guest-status"}' | jq -r .return.health)"
	# 1 says to systemd that a check has failed, or all of it: what was found before is not told again.
	check web 'exit 1'
	systemd 'start*) trap "" XFSZ; ulimit -f 0; '"$MLIMG_BUILD/bin/mlimg-agent health --dir $DIR/health --run $DIR/run"' || [ $? = 1 ] || exit 7 ;;'
	same "cannot be written" "{\"error\":{\"class\":\"GenericError\",\"desc\":\"open '$DIR/run/mlimg/health.json': No such file or directory\"}}" "$(host '{"execute":"mlimg-health"}')"
	systemd 'start*) exit 5 ;;'
	same "no unit" '{"error":{"class":"GenericError","desc":"systemctl start mlimg-health.service ended with 5"}}' "$(host '{"execute":"mlimg-health"}')"
}

@test "daemon: a guest that is not up or has failed units is not healthy" {
	systemd 'start*) '"$MLIMG_BUILD/bin/mlimg-agent health --dir $DIR/health --run $DIR/run"' ;;
"is-active default.target") echo activating ;;'
	daemon
	same "not up" "starting false" "$(user '{"execute":"guest-status"}' | jq -r .return.health) $(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
	systemd 'start*) '"$MLIMG_BUILD/bin/mlimg-agent health --dir $DIR/health --run $DIR/run"' ;;
"is-active default.target") echo active ;;
list-units*) echo a.service loaded failed failed ;;'
	same "failed" "bad false" "$(user '{"execute":"guest-status"}' | jq -r .return.health) $(host '{"execute":"mlimg-health"}' | jq .return.is_healthy)"
}

@test "daemon: the last report, and another, cut to so many entries" {
	local reports=$DIR/run/mlimg/user/mlimg/reports
	daemon
	same "none" '{"return":null}' "$(host '{"execute":"mlimg-report"}')"
	same "one of none" '{"error":{"class":"GenericError","desc":"this guest has no reports"}}' "$(host '{"execute":"mlimg-report","arguments":{"generation":2}}')"
	mkdir -p "$reports"
	same "none" '{"return":null}' "$(host '{"execute":"mlimg-report"}')"
	for n in 2 9 10; do
		jq -nc --argjson n $n '{format: 1, generation: $n, entries: [range(3 * $n) | {path: "etc/\(.)"}], databases: []}' >"$reports/$n.json"
	done
	: >"$reports/10.txt"
	: >"$reports/queue-77.json"
	same "last" '{"generation":10,"entries_listed":30,"report":{"format":1,"generation":10,"entries":[{"path":"etc/0"},{"path":"etc/1"}],"databases":[]}}' \
		"$(host '{"execute":"mlimg-report","arguments":{"entries":2}}' | jq -c .return)"
	same "another" '2 6 6' "$(host '{"execute":"mlimg-report","arguments":{"generation":2}}' | jq -r '.return | "\(.generation) \(.entries_listed) \(.report.entries | length)"')"
	same "not there" "{\"error\":{\"class\":\"GenericError\",\"desc\":\"report of generation 3: No such file or directory\"}}" "$(host '{"execute":"mlimg-report","arguments":{"generation":3}}')"
	# More than a response may have.
	jq -nc '{format: 1, generation: 11, entries: [range(1000) | {path: ("x" * 5000)}], databases: []}' >"$reports/11.json"
	same "long" '{"error":{"class":"GenericError","desc":"the response is longer than 4194304 bytes"}}' "$(host '{"execute":"mlimg-report","arguments":{"entries":1000}}')"
	same "less of it" 800 "$(host '{"execute":"mlimg-report","arguments":{"entries":800}}' | jq '.return.report.entries | length')"
	rm "$reports/11.json"
	ln -s /etc/passwd "$reports/11.json"
	same "a link" "GenericError" "$(host '{"execute":"mlimg-report"}' | jq -r .error.class)"
}

@test "daemon: no user file system, nothing to freeze" {
	mkdir -p "$DIR/run/mlimg/user"
	daemon
	same "status" '{"return":"thawed"}' "$(host '{"execute":"guest-fsfreeze-status"}')"
	same "freeze" "{\"error\":{\"class\":\"Unsupported\",\"desc\":\"no user file system is mounted on $DIR/run/mlimg/user\"},\"id\":1}" \
		"$(host '{"execute":"guest-fsfreeze-freeze","id":1}')"
	same "thaw" '{"return":0,"id":2}' "$(host '{"execute":"guest-fsfreeze-thaw","id":2}')"
	same "status" '{"return":"thawed"}' "$(host '{"execute":"guest-fsfreeze-status"}')"
}

@test "daemon: before Linux 5.3 programs are run and watched all the same" {
	local case
	for case in $("$MLIMG_BUILD/tests/test_child" --list); do
		works without-calls pidfd_open "$MLIMG_BUILD/tests/test_child" "$case"
	done
	[ -n "$case" ]
}
