# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # the guest expands
# A guest that counts on its disk, for tests that kill it. The caller has in_guest NAME COMMAND.

# load_writes NAME [N]: numbers are written in it, one a line, each on its disk before the file /run/promised has it; waits for the first N.
load_writes() {
	in_guest "$1" 'i=$(wc -l 2>/dev/null </root/numbers || echo 0); while :; do i=$((i + 1)); echo $i >>/root/numbers; sync; echo $i >/run/promised; done >/dev/null 2>&1 &'
	until [ "$(promised "$1")" -ge "${2:-5}" ]; do sleep 0.2; done
}

# promised NAME: the last one that must be there whatever happens.
promised() {
	in_guest "$1" 'cat /run/promised 2>/dev/null || echo 0'
}

# has_kept NAME N: all numbers to N are there, each in its line.
has_kept() {
	same "numbers of $1" "$(seq "$2")" "$(in_guest "$1" "head -n $2 /root/numbers 2>/dev/null || true")"
}
