#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The corpus of each fuzz target: tests/fuzz/corpus_NAME goes through tests/fuzz/fuzz_NAME.c, and random mutations of it do.

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

@test "every fuzz target takes random mutations of its corpus" {
	local seed=${MLIMG_SEED:-$RANDOM} all=${MLIMG_MUTATIONS:-1000} source name n files
	echo "MLIMG_SEED=$seed"
	for source in "$MLIMG_TOP"/tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_} name=${name%.c} n=$all
		# To copy or walk a whole image takes longer.
		case $name in erofs | ext4 | index_compile | tar | upper_image) n=$((all / 10)) ;; esac
		files=("$MLIMG_TOP/tests/fuzz/corpus_$name"/*)
		run "$MLIMG_BUILD/tests/fuzz/fuzz_$name" --seed "$seed" --mutations $((n / ${#files[@]} + 1)) "$MLIMG_TOP/tests/fuzz/corpus_$name"
		# How to get what crashed it again is the last line.
		same "exit code of fuzz_$name (output ends: ${lines[-1]})" 0 "$status"
	done
}

@test "a mutation that crashes a fuzz target is told, and is the same again" {
	local dir=$BATS_TEST_TMPDIR said flags=()
	cat >"$dir/fuzz.c" <<-'C'
		#include <stdint.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
		{
			fprintf(stderr, "%zu", size);
			for (size_t i = 0; i < size; i++)
				fprintf(stderr, " %02x", data[i]);
			fputc('\n', stderr);
			if (size && memchr(data, '%', size))
				abort();
			return 0;
		}
	C
	# With the sanitizers that the library has.
	[[ $MLIMG_BUILD != */san-* ]] || flags=(-fsanitize="$(sed 's,.*/san-,,; s/-/,/g' <<<"$MLIMG_BUILD")")
	cc "${flags[@]}" -o "$dir/fuzz" "$dir/fuzz.c" "$MLIMG_BUILD/tests/fuzz/run_corpus.o" "$MLIMG_BUILD/libmlimg.a" -lnettle -ljansson
	mkdir "$dir/corpus"
	echo a:1 >"$dir/corpus/one"
	echo b >"$dir/corpus/two"
	run "$dir/fuzz" --seed 7 --mutations 3000 "$dir/corpus"
	same "status" 134 "$status"
	[[ ${lines[-1]} =~ ^"signal 6: again: $dir/fuzz --seed 7 --first "([0-9]+)" --mutations 1, of '$dir/corpus/one'"$ ]]
	said=${lines[-2]}
	[[ $said == *" 25"* ]]
	run "$dir/fuzz" --seed 7 --first "${BASH_REMATCH[1]}" --mutations 1 "$dir/corpus"
	same "status, again" 134 "$status"
	same "input, again" "$said" "${lines[-2]}"
}

@test "run_corpus refuses to run nothing" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	fails 1 "run_corpus: no input" "$MLIMG_BUILD/tests/fuzz/fuzz_manifest" "$BATS_TEST_TMPDIR/empty"
	fails 1 "run_corpus: open '$BATS_TEST_TMPDIR/none': No such file or directory" \
		"$MLIMG_BUILD/tests/fuzz/fuzz_manifest" "$BATS_TEST_TMPDIR/none"
}
