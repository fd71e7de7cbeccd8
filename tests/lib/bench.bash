# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What tests of benchmarks share. Loaded after common.
# shellcheck disable=SC2154 # run sets output

# bench NAME [TREE…]: a benchmark in small size, kept out of the folder of the real figures. Leaves $output, its tables. What debian-tree
# calls TREE is made beforehand, since it says so.
bench() {
	local tree
	need root
	need command hyperfine mksquashfs genext2fs mkfs.erofs gnuplot
	[ -x /usr/bin/time ] || skip "needs GNU time"
	for tree in "${@:2}"; do
		debian-tree "$tree" >"$BATS_TEST_TMPDIR/tree" 2>&1 || same "debian-tree $tree" "" "$(cat "$BATS_TEST_TMPDIR/tree")" || return
	done
	export MLIMG_BUILD=$BATS_TEST_TMPDIR/build
	mkdir "$MLIMG_BUILD"
	BENCH_SIZE=small works "$MLIMG_TOP/tests/bench/run" "$1"
	[[ $output == "# "*"Small size: the figures mean nothing."* ]]
	same "what is kept" "$output" "$(cat "$MLIMG_BUILD/bench/$1/$1.md")"
}

# in_table ROW…: each is a row of the table, with seven columns and a time above 0.
in_table() {
	local row
	for row; do
		grep -E "^\| $row \| 0?[.0-9]*[1-9][.0-9]* s (\| [.0-9]+ ){5}\|$" <<<"$output" || same "rows" "$row" "$output"
	done
}

# depth_shown: $output has every table of depth or depth-guest, with times above 0 in every column; the plots are there.
depth_shown() {
	local operation state union time='0*[.0-9]*[1-9][.0-9]*'
	for operation in stat missing list read; do
		for state in cold warm; do
			grep -qxF "| $operation, $state | 1 | 4 | last / first |" <<<"$output" || same "tables" "$operation, $state" "$output"
		done
	done
	for union in index 'index\+upper' overlay-ext4 overlay-erofs; do
		same "rows of $union" 8 "$(grep -cEx "\| $union \| $time \| $time \| [.0-9]+ \|" <<<"$output")" || return
	done
	same "rows of flat" 8 "$(grep -cEx "\| flat \| $time \| \| \|" <<<"$output")" || return
	same "goals" 8 "$(grep -c '^Goal: cold .* Measured: ' <<<"$output")" || return
	grep -q '</svg>' "$MLIMG_BUILD"/bench/depth*/depth*.svg && [ "$(head -c 4 "$MLIMG_BUILD"/bench/depth*/depth*.png | tail -c 3)" = PNG ]
}
