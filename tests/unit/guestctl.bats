#!/usr/bin/env bats
# The tests' own command channel, both ends, over ptys in place of a virtio-serial port.

load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR"
	socat PTY,link=host,raw,echo=0 PTY,link=port,raw,echo=0 3>&- &
	pids=$!
	until [ -e host ] && [ -e port ]; do sleep 0.05; done
	socat UNIX-LISTEN:socket,fork,max-children=1 OPEN:host,raw,echo=0 3>&- &
	pids="$pids $!"
}

teardown() {
	# shellcheck disable=SC2086 # a list
	kill $pids
}

channel_works() {
	"$@" "$MLIMG_TOP/tests/lib/guest-shell" "$BATS_TEST_TMPDIR/port" 3>&- &
	pids="$pids $!"
	fails 7 "" guestctl socket 'echo out; echo err >&2; exit 7'
	same output $'out\nerr' "$output"
	same "long output" "$(seq 30000)" "$(guestctl socket seq 30000)"
	same "standard input" "" "$(guestctl socket cat)"
	fails 125 "guestctl: the command did not end in time" guestctl -t 1 socket 'sleep 1.5; echo late'
	# The late answer is not taken for the next one.
	same "next command" next "$(guestctl socket echo next)"
}

@test "guestctl: with dash in the guest" {
	channel_works dash
}

@test "guestctl: with busybox in the guest" {
	channel_works busybox ash
}

@test "guestctl: nobody in the guest" {
	fails 125 "guestctl: the guest does not answer" guestctl -t 1 socket true
}

@test "guestctl: no such socket" {
	fails 125 "guestctl: cannot connect to none: No such file or directory" guestctl -t 1 none true
}
