#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The corpus of each fuzz target: tests/fuzz/corpus_NAME goes through tests/fuzz/fuzz_NAME.c.

load ../lib/common

@test "every fuzz target takes its corpus" {
	local source name n=0
	for source in "$MLIMG_TOP"/tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_} name=${name%.c}
		run timeout 60 "$MLIMG_BUILD/tests/fuzz/fuzz_$name" "$MLIMG_TOP/tests/fuzz/corpus_$name"
		# The file that crashed it is the last line.
		same "exit code of fuzz_$name (output ends: ${lines[-1]})" 0 "$status"
		n=$((n + 1))
	done
	[ "$n" -gt 1 ]
}

@test "run_corpus refuses to run nothing" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	fails 1 "run_corpus: no input" "$MLIMG_BUILD/tests/fuzz/fuzz_manifest" "$BATS_TEST_TMPDIR/empty"
	fails 1 "run_corpus: open '$BATS_TEST_TMPDIR/none': No such file or directory" \
		"$MLIMG_BUILD/tests/fuzz/fuzz_manifest" "$BATS_TEST_TMPDIR/none"
}
