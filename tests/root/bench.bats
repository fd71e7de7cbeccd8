# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Every benchmark works, and prints its table. How fast anything is, is no test.

load ../lib/common

setup() {
	load ../lib/bench
}

@test "benchmark mkfs" {
	bench mkfs
	in_table mlimg-mkfs mke2fs mkfs.erofs mksquashfs genext2fs tar
	[[ $output == *"Goal: mlimg-mkfs, of mke2fs -d at most 0.45. Measured: "*"Goal: mlimg-mkfs, of mkfs.erofs at most 1. Measured: "* ]]
}

@test "benchmark entries" {
	bench entries
	in_table few many
	[[ $output == *"An entry takes "*" us of time among 300, "*" us among 4000."* ]]
}

@test "benchmark plan" {
	bench plan
	[[ $output == *"4 tenants: 4 to change; "* ]]
	in_table one all json
	same "goals" 2 "$(grep -c "^Goal: " <<<"$output")"
}

@test "benchmark index" {
	bench index
	in_table few deep many
	grep -Eqx '\| many \| 5000 \| 1 \| [.0-9]+ s \| [.0-9]+ MB \| [0-9]+ \| [.0-9]+ MB \| [0-9]+ \|' <<<"$output"
	same "goals" 5 "$(grep -c '^Goal: ' <<<"$output")"
}

@test "benchmark depth" {
	bench depth
	depth_shown
	same "loop devices" "" "$(losetup --list --noheadings --output BACK-FILE | grep -F "$BATS_TEST_TMPDIR" || true)"
}

@test "benchmark dedupe" {
	bench dedupe
	in_table plain dedupe
	[[ $output == *"| mlimg-mkfs --dedupe | "*"Goal: size of an image, of its content at most 1.02. Measured: 1."* ]]
}

@test "benchmark rebuild" {
	bench rebuild
	in_table whole patch trusting
	[[ $output == *"Size of the patch: "*"Size of the patch with --trust-times: "*"Goal: a patch with --trust-times, of the whole image at most 0.25."* ]]
}

@test "every benchmark is tested and told in the README" {
	local name
	works "$MLIMG_TOP/tests/bench/run" --list
	for name in $output; do
		grep -qx "@test \"benchmark $name\" {" "$MLIMG_TOP"/tests/{root,vm}/bench.bats || same "tests" "$name" "no test"
		grep -q "^| \`$name\` |" "$MLIMG_TOP/tests/README.md" || same "README" "$name" "not told"
	done
}

@test "a benchmark whose command fails is a failure, and says which command" {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p bench build
	cp "$MLIMG_TOP"/tests/bench/{run,lib.bash} bench
	cat >bench/broken <<-'END'
		#!/bin/bash
		. "${BASH_SOURCE[0]%/*}/lib.bash"
		bench_time 1 good true bad "echo why >&2; false"
		echo after
	END
	chmod +x bench/broken
	need command hyperfine
	MLIMG_BUILD=$PWD/build BENCH_SIZE=small run --separate-stderr bench/run broken
	same "exit code" 1 "$status"
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"bench: this failed: echo why >&2; false"*"tests/bench/run: broken failed" ]]
	[[ $output != *after* ]]
}

@test "wrong usage of tests/bench/run" {
	local again="Try 'tests/bench/run --help' for more information."
	fails 2 $'tests/bench/run: there is no benchmark \'mkf\'\n'"$again" "$MLIMG_TOP/tests/bench/run" mkf
	fails 2 $'tests/bench/run: unknown option \'-x\'\n'"$again" "$MLIMG_TOP/tests/bench/run" -x
	BENCH_SIZE=huge fails 2 $'tests/bench/run: BENCH_SIZE is \'huge\', not full or small\n'"$again" "$MLIMG_TOP/tests/bench/run"
}
