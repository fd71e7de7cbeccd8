# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Loaded by every .bats file, at its top: `load ../lib/common`.
#
# What bats 1.8 would let pass in silence is guarded here and in tests/run: a pipe fails with any of its parts, and the number of tests that ran
# is compared with the number of those written. `! command` never fails a test; say `run ! command`, or `fails`.

bats_require_minimum_version 1.5.0
set -o pipefail

# bats 1.8 asks this at each `run` with an option, and counts with its caller's $i: a loop over i began again, or ended too early.
bats_warn_minimum_guaranteed_version() { :; }

MLIMG_TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
# shellcheck source=tests/lib/env.bash
. "$MLIMG_TOP/tests/lib/env.bash"

# need root: skips the test where that is not there; tests/run makes it a failure where MLIMG_MUST says so.
# need userns: mounts in a name space of one's own. need command NAME…
need() {
	local what=$1 c
	shift
	case $what in
		root) [ "$(id -u)" -eq 0 ] || skip "needs root" ;;
		userns) unshare -rm true 2>/dev/null || skip "needs unshare -rm" ;;
		command)
			for c in "$@"; do
				command -v "$c" >/dev/null || skip "needs $c"
			done
			;;
		*)
			echo "need: what is '$what'?" >&2
			return 1
			;;
	esac
}

# same WHAT WANTED FOUND
same() {
	[ "$2" = "$3" ] && return 0
	printf '%s is not as it must be\n--- wanted\n%s\n--- found\n%s\n---\n' "$1" "$2" "$3" >&2
	return 1
}

# works COMMAND…: ends with 0 and says nothing on stderr. Leaves $output and $stderr.
works() {
	run --separate-stderr "$@"
	# shellcheck disable=SC2154 # run sets status, output, stderr
	same "exit code and stderr of: $*" "0: " "$status: $stderr"
}

# fails STATUS MESSAGE COMMAND…: ends with exactly STATUS and says exactly MESSAGE on stderr. Leaves $output and $stderr.
fails() {
	local wanted=$1 message=$2
	shift 2
	run --separate-stderr "$@"
	# shellcheck disable=SC2154
	same "stderr of: $*" "$message" "$stderr" && same "exit code of: $*" "$wanted" "$status"
}
