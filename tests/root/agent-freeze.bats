#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the agent's daemon does with a real user file system: it freezes it, and gives views of it to users.

# shellcheck disable=SC2030,SC2031 # each test has its own daemon

load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	mkdir -p "$DIR/run/mlimg/user" "$DIR/run/mlimg/layers"/{0,1}/rootfs/etc
	truncate -s 32M "$DIR/user.img"
	mke2fs -q -t ext4 -F "$DIR/user.img"
	chmod 0755 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/test "$DIR" "$DIR/run" 2>/dev/null || true
	chmod 0700 "$DIR/run/mlimg"
	mount -o loop "$DIR/user.img" "$DIR/run/mlimg/user"
	mkdir -p "$DIR/run/mlimg/user"/{upper/etc,upper/root,mlimg}
	chmod 0700 "$DIR/run/mlimg/user/upper/root"
	mlimg-agent daemon --port "unix:$DIR/host" --run "$DIR/run" 2>"$DIR/complaint" 3>&- &
	DAEMON=$!
	until [ -S "$DIR/run/mlimg-agent.sock" ]; do sleep 0.1; done
}

teardown() {
	[ -z "${DAEMON:-}" ] || kill "$DAEMON" || true
	cat "$DIR/complaint" || true
	# Whatever went wrong: nothing can be unmounted, nor its disk detached, while it is frozen.
	fsfreeze -u "$DIR/run/mlimg/user" 2>/dev/null || true
	umount "$DIR/run/mlimg/user" || true
}

# ask REQUEST…: of the host; what it hears, but for the announcement.
ask() {
	printf '%s\n' "$@" | timeout 60 socat -t 60 - "UNIX-CONNECT:$DIR/host" | grep -v '^{"event"'
}

# stay: a client of the host that stays; asked by descriptor 7, what it hears is in heard. Sets $stays.
stay() {
	mkfifo "$DIR/asks"
	timeout 120 socat - "UNIX-CONNECT:$DIR/host" <"$DIR/asks" >"$DIR/heard" 3>&- &
	stays=$!
	exec 7>"$DIR/asks"
}

# hears LINE: waits for the last thing that it hears.
hears() {
	local _
	for _ in $(seq 300); do
		[ "$(tail -n 1 "$DIR/heard")" = "$1" ] && return
		sleep 0.1
	done
	same "what the client hears last" "$1" "$(tail -n 1 "$DIR/heard")"
}

# writes FILE: a writer in the background, which waits while the file system is frozen. Sets $writer.
writes() {
	sh -c 'echo written >"$1"' sh "$DIR/run/mlimg/user/$1" 3>&- 7>&- &
	writer=$!
}

is_frozen() {
	same "state" '{"return":"frozen"}' "$(ask '{"execute":"guest-fsfreeze-status"}')"
	writes "$1"
	sleep 0.5
	[ ! -s "$DIR/run/mlimg/user/$1" ]
	kill -0 "$writer"
}

# is_locked: all of the process that keeps the freeze is in memory.
is_locked() {
	case $MLIMG_BUILD in *san-*) return ;; esac
	[ "$(sed -n 's/^VmLck:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(xargs <"/proc/$DAEMON/task/$DAEMON/children")/status")" -gt 1000 ]
}

# writes_on: the writer ends before a freeze of 60 s could have ended by itself.
writes_on() {
	local _
	for _ in $(seq 400); do
		kill -0 "$writer" 2>/dev/null || break
		sleep 0.1
	done
	if kill -0 "$writer" 2>/dev/null; then
		echo "the writer still waits" >&2
		return 1
	fi
	wait "$writer"
}

# says_thawed: waits until the daemon does.
says_thawed() {
	local _
	for _ in $(seq 300); do
		[ "$(ask '{"execute":"guest-fsfreeze-status"}')" != '{"return":"thawed"}' ] || return 0
		sleep 0.1
	done
	echo "it still says that it is frozen" >&2
	return 1
}

is_thawed() {
	writes_on
	same "what was written" written "$(cat "$DIR/run/mlimg/user/$1")"
	says_thawed
}

# is_thawed_by PID FILE: a writer goes on though that process is still stopped, or is no more.
is_thawed_by() {
	local state
	writes "$2"
	is_thawed "$2"
	state=$(ps -o state= -p "$1" || :)
	[[ $state == "" || $state == T || $state == Z ]]
}

@test "freeze: writers wait, others are answered, and the disk is clean; thaw" {
	echo before >"$DIR/run/mlimg/user/before"
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000},"id":[1]}' >&7
	hears '{"return":1,"id":[1]}'
	is_frozen one
	is_locked
	cp "$DIR/user.img" "$DIR/copy.img"
	run e2fsck -fn "$DIR/copy.img"
	same "e2fsck, which said: $output" 0 "$status"
	same "needs recovery" "" "$(dumpe2fs -h "$DIR/copy.img" 2>/dev/null | grep -o needs_recovery || :)"
	same "what was written before" before "$(debugfs -R 'cat before' "$DIR/copy.img" 2>/dev/null)"
	same "again" '{"error":{"class":"Busy","desc":"the user file system is frozen already"},"id":2}' "$(ask '{"execute":"guest-fsfreeze-freeze","id":2}')"
	same "health" Busy "$(ask '{"execute":"mlimg-health"}' | jq -r .error.class)"
	same "status" other "$(ask '{"execute":"guest-status"}' | jq -r .return.init)"
	# Another client may thaw, too.
	same "thaw" '{"return":1,"id":{"x":3}}' "$(ask '{"execute":"guest-fsfreeze-thaw","id":{"x":3}}')"
	is_thawed one
	same "thaw again" '{"return":0}' "$(ask '{"execute":"guest-fsfreeze-thaw"}')"
	echo '{"execute":"guest-fsfreeze-freeze","id":4}' >&7
	hears '{"return":1,"id":4}'
	echo '{"execute":"guest-fsfreeze-thaw","id":5}' >&7
	hears '{"return":1,"id":5}'
	kill "$stays"
}

@test "freeze: it ends by itself when its time is over, and thaw says so" {
	stay
	# The answer says that it was frozen: how long that takes to be seen here is not known. That it is not too short: ../unit/test_freeze.c.
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":1000}}' >&7
	hears '{"return":1}'
	writes one
	is_thawed one
	echo '{"execute":"guest-fsfreeze-thaw"}' >&7
	hears '{"return":0}'
	kill "$stays"
}

@test "freeze: it ends when the client that asked for it has gone" {
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
	hears '{"return":1}'
	is_frozen one
	kill "$stays"
	is_thawed one
}

@test "freeze: it ends with the daemon, however that ends" {
	local signal
	for signal in TERM KILL; do
		rm -f "$DIR/asks"
		stay
		echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
		hears '{"return":1}'
		is_frozen "$signal"
		kill "-$signal" "$DAEMON"
		wait "$DAEMON" || true
		writes_on
		same "what was written" written "$(cat "$DIR/run/mlimg/user/$signal")"
		kill "$stays" || true
		rm -f "$DIR/run/mlimg-agent.sock" "$DIR/host"
		mlimg-agent daemon --port "unix:$DIR/host" --run "$DIR/run" 3>&- 7>&- &
		DAEMON=$!
		until [ -S "$DIR/run/mlimg-agent.sock" ]; do sleep 0.1; done
	done
}

@test "freeze: it ends when the process that keeps it is killed, though nobody asks" {
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
	hears '{"return":1}'
	is_frozen one
	kill -KILL "$(pgrep -P "$DAEMON")"
	is_thawed one
	kill "$stays"
	# It is said when it is done.
	for _ in $(seq 300); do
		[ ! -s "$DIR/complaint" ] || break
		sleep 0.1
	done
	same "what the daemon says" "mlimg-agent: what kept the freeze was killed: thawed" "$(cat "$DIR/complaint")"
}

@test "freeze: it ends when the process that keeps it is killed after it was told to thaw" {
	local how keeper
	for how in asked gone; do
		rm -f "$DIR/asks"
		stay
		echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
		hears '{"return":1}'
		is_frozen "$how"
		keeper=$(pgrep -P "$DAEMON")
		kill -STOP "$keeper"
		until [ "$(ps -o state= -p "$keeper")" = T ]; do sleep 0.1; done
		if [ $how = asked ]; then echo '{"execute":"guest-fsfreeze-thaw"}' >&7; else kill "$stays"; fi
		says_thawed
		same "freeze" '{"error":{"class":"Busy","desc":"the user file system is being thawed"}}' "$(ask '{"execute":"guest-fsfreeze-freeze"}')"
		kill -KILL "$keeper"
		is_thawed "$how"
		[ $how = gone ] || hears '{"return":0}'
		kill "$stays" 2>/dev/null || true
	done
	same "a freeze" '{"return":1}' "$(ask '{"execute":"guest-fsfreeze-freeze"}')"
}

# Its own bound is meant: nobody asks, and the client stays.
@test "freeze: it ends in time though the process that keeps it is stopped" {
	local keeper
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":1000}}' >&7
	hears '{"return":1}'
	keeper=$(pgrep -P "$DAEMON")
	kill -STOP "$keeper"
	is_thawed_by "$keeper" one
	echo '{"execute":"guest-fsfreeze-freeze","id":"again"}' >&7
	hears '{"return":1,"id":"again"}'
	kill "$stays"
}

@test "freeze: it ends with a daemon that is killed though the process that keeps it is stopped" {
	local keeper
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
	hears '{"return":1}'
	is_frozen one
	keeper=$(pgrep -P "$DAEMON")
	kill -STOP "$keeper"
	until [ "$(ps -o state= -p "$keeper")" = T ]; do sleep 0.1; done
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	DAEMON=
	writes_on
	same "what was written" written "$(cat "$DIR/run/mlimg/user/one")"
	kill "$stays" || true
}

# thawed_by_nobody_else: the process that keeps a freeze is killed as it thaws, and somebody else has frozen before anybody can look.
thawed_by_nobody_else() {
	local watch
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
	hears '{"return":1}'
	: >"$DIR/watch"
	killed-thawing "$(pgrep -P "$DAEMON")" fsfreeze -f "$DIR/run/mlimg/user" >"$DIR/watch" 3>&- 7>&- &
	watch=$!
	until grep -qx ready "$DIR/watch"; do kill -0 "$watch" && sleep 0.1; done
	echo '{"execute":"guest-fsfreeze-thaw","id":"thaw"}' >&7
	wait "$watch"
	hears '{"return":0,"id":"thaw"}'
	says_thawed
	fails 1 "fsfreeze: $DIR/run/mlimg/user: freeze failed: Device or resource busy" fsfreeze -f "$DIR/run/mlimg/user"
	fsfreeze -u "$DIR/run/mlimg/user"
	kill "$stays"
}

@test "freeze: what somebody else has frozen stays so, though the process that kept the agent's is killed as it thaws" {
	thawed_by_nobody_else
}

# another_daemon COMMAND…: it runs the daemon, in place of the first one.
another_daemon() {
	kill "$DAEMON"
	wait "$DAEMON"
	rm -f "$DIR/run/mlimg-agent.sock" "$DIR/host"
	"$@" mlimg-agent daemon --port "unix:$DIR/host" --run "$DIR/run" 3>&- &
	DAEMON=$!
	until [ -S "$DIR/run/mlimg-agent.sock" ]; do kill -0 "$DAEMON" && sleep 0.1; done
}

@test "freeze: the same where all that the agent sees is read-only, as its unit has it" {
	another_daemon unshare --mount sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null && exec "$@"' "$DIR/run/mlimg/user"
	thawed_by_nobody_else
}

@test "freeze: without what tells whether it is over it ends all the same" {
	another_daemon without-calls fremovexattr
	stay
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000}}' >&7
	hears '{"return":1}'
	is_frozen one
	echo '{"execute":"guest-fsfreeze-thaw","id":"thaw"}' >&7
	hears '{"return":1,"id":"thaw"}'
	is_thawed one
	echo '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000},"id":"again"}' >&7
	hears '{"return":1,"id":"again"}'
	is_frozen two
	kill -KILL "$(pgrep -P "$DAEMON")"
	is_thawed two
	kill "$stays"
}

@test "freeze: when all of the unit is killed, systemd thaws" {
	local line result
	line=$(sed -n 's/^ExecStopPost=-//p' "$BATS_TEST_DIRNAME/../../guest-agent/mlimg-agent.service")
	[ -n "$line" ]
	fsfreeze -f "$DIR/run/mlimg/user"
	for result in success signal; do
		works env SERVICE_RESULT=$result sh -c "${line//\/run\/mlimg/"$DIR/run/mlimg"}"
		if [ $result = success ]; then fails 1 "fsfreeze: $DIR/run/mlimg/user: freeze failed: Device or resource busy" fsfreeze -f "$DIR/run/mlimg/user"; fi
	done
	fsfreeze -f "$DIR/run/mlimg/user"
	fsfreeze -u "$DIR/run/mlimg/user"
}

@test "freeze: what somebody else has frozen is not taken, and not thawed" {
	fsfreeze -f "$DIR/run/mlimg/user"
	same "freeze" '{"error":{"class":"Busy","desc":"the user file system is frozen by somebody else"}}' "$(ask '{"execute":"guest-fsfreeze-freeze"}')"
	same "thaw" '{"return":0}' "$(ask '{"execute":"guest-fsfreeze-thaw"}')"
	fsfreeze -u "$DIR/run/mlimg/user"
	# And what somebody else has thawed was not frozen all the time.
	stay
	echo '{"execute":"guest-fsfreeze-freeze"}' >&7
	hears '{"return":1}'
	fsfreeze -u "$DIR/run/mlimg/user"
	echo '{"execute":"guest-fsfreeze-thaw"}' >&7
	hears '{"return":0}'
	# Nor, if somebody else has then frozen, thawed.
	echo '{"execute":"guest-fsfreeze-freeze","id":"again"}' >&7
	hears '{"return":1,"id":"again"}'
	same "state" '{"return":"frozen"}' "$(ask '{"execute":"guest-fsfreeze-status"}')"
	fsfreeze -u "$DIR/run/mlimg/user"
	same "state" '{"return":"thawed"}' "$(ask '{"execute":"guest-fsfreeze-status"}')"
	fsfreeze -f "$DIR/run/mlimg/user"
	echo '{"execute":"guest-fsfreeze-thaw","id":"thaw"}' >&7
	hears '{"return":0,"id":"thaw"}'
	fails 1 "fsfreeze: $DIR/run/mlimg/user: freeze failed: Device or resource busy" fsfreeze -f "$DIR/run/mlimg/user"
	fsfreeze -u "$DIR/run/mlimg/user"
	kill "$stays"
}

@test "view: a connection gets four" {
	local asked=()
	for _ in 1 2 3 4 5 6; do asked+=('{"execute":"mlimg-view"}'); done
	same "answers" "return return return return error error" \
		"$(printf '%s\n' "${asked[@]}" | socat -t 60 - "UNIX-CONNECT:$DIR/run/mlimg-agent.sock" | jq -r 'keys[0]' | xargs)"
}

@test "view: directories that cannot be left or written, for users and root" {
	local wanted="user/upper: etc root
layers/0/rootfs: etc
layers/1/rootfs: etc"
	works viewfds "$DIR/run/mlimg-agent.sock" 65534
	same "a user's view" "$wanted" "$output"
	works viewfds "$DIR/run/mlimg-agent.sock"
	same "root's view" "$wanted" "$output"
	# A directory that is not a user's to look into stays so.
	chmod 0700 "$DIR/run/mlimg/user/upper"
	works viewfds "$DIR/run/mlimg-agent.sock" 65534
	same "a user's view" "user/upper: Permission denied" "${lines[0]}"
	same "the daemon keeps none" "$(find "/proc/$DAEMON/fd" -type l | wc -l)" \
		"$(viewfds "$DIR/run/mlimg-agent.sock" >/dev/null && sleep 0.3 && find "/proc/$DAEMON/fd" -type l | wc -l)"
}
