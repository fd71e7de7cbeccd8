# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What tests run with, in bats or not. The caller sets MLIMG_TOP.

MLIMG_BUILD=${MLIMG_BUILD:-$MLIMG_TOP/build}
export MLIMG_TOP MLIMG_BUILD
case ":$PATH:" in
	*":$MLIMG_BUILD/bin:"*) ;;
	*) PATH=$MLIMG_BUILD/bin:$MLIMG_BUILD/tests/lib:$MLIMG_TOP/tests/lib:$PATH:/usr/sbin:/sbin ;;
esac

# A sanitizer's finding must not look like the ordinary exit code 1. faketime's library comes before the sanitizer's.
export ASAN_OPTIONS=${ASAN_OPTIONS:-exitcode=199:verify_asan_link_order=0} UBSAN_OPTIONS=${UBSAN_OPTIONS:-exitcode=199:print_stacktrace=1}

# c_case PROGRAM NAME: one case of a C test program. Whatever hangs is ended, so that the rest is still run.
c_case() {
	timeout -k 5 "${MLIMG_CASE_TIMEOUT:-300}" "$1" "$2"
}
