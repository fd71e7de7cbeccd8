# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # the caller sets vms and agent, the socket, and has stays
# The host's end of the agent's port, as a client that stays.

# stay: a client that is there until it is killed; asked by descriptor 7, what it hears is in heard. Sets $stays.
stay() {
	rm -f "$vms/asks"
	mkfifo "$vms/asks"
	socat - "UNIX-CONNECT:$agent" <"$vms/asks" >"$vms/heard" 3>&- 4>&- &
	stays=$!
	exec 7>"$vms/asks"
	printf '\377' >&7
}

# asks REQUEST ANSWER: before the first answer there may be a 0xFF, where an announcement had nobody to take it.
asks() {
	local _
	printf '%s\n' "$1" >&7
	for _ in $(seq 300); do
		LC_ALL=C tr -d '\377' <"$vms/heard" | grep -xF "$2" >/dev/null && return
		sleep 0.1
	done
	same "what the client hears" "$2" "$(tail -n 20 "$vms/heard")"
}

# answer ID MEMBERS: what comes back when {MEMBERS} is asked.
answer() {
	local _
	printf '{%s,"id":"%s"}\n' "$2" "$1" >&7
	for _ in $(seq 600); do
		LC_ALL=C tr -d '\377' <"$vms/heard" | grep -F "\"id\":\"$1\"}" && return
		sleep 0.1
	done
	same "what the client hears" "an answer to $1" "$(tail -n 20 "$vms/heard")"
}

# freezes ID: for so long that nothing in a test waits for its end.
freezes() {
	asks '{"execute":"guest-fsfreeze-freeze","arguments":{"timeout-ms":60000},"id":"'"$1"'"}' '{"return":1,"id":"'"$1"'"}'
}

# thaws ID [N]: N, 1 by default, is how many file systems had been frozen all the time.
thaws() {
	asks '{"execute":"guest-fsfreeze-thaw","id":"'"$1"'"}' '{"return":'"${2:-1}"',"id":"'"$1"'"}'
}
