#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Benchmarks that need guests work, and print their tables. How fast anything is, is no test.
# lasts 350

load ../lib/common

setup() {
	load ../lib/bench
}

@test "benchmark depth-guest" {
	bench depth-guest v1
	depth_shown
}

@test "benchmark boot" {
	bench boot v1
	local time='[.0-9]+ s \| ([.0-9]+ \| ){3}[.0-9]+ s \| [.0-9]+ \| [.0-9]+ s'
	same "guests" "flat index-1" "$(grep -Ex "\| [^|]* \| $time \|" <<<"$output" | cut -d ' ' -f 2 | xargs)"
	same "goals of index" 2 "$(grep -c '^Goal: boot of index-1, .*of flat at most 1.03. Measured: ' <<<"$output")"
}

@test "benchmark checkpoints" {
	bench checkpoints v1
	local times='[.0-9]+ s \| ([.0-9]+ \| ){4}[.0-9]+ \|'
	same "times" "checkpoint, little;checkpoint, large;copy, little;copy, large" \
		"$(grep -Ex "\| [^|]* \| $times" <<<"$output" | sed -E 's/^\| ([^|]*) \|.*/\1/' | paste -sd ';')"
	same "reads" "none many chain" "$(grep -Ex '\| [a-z]+ \| [.0-9]*[1-9][.0-9]* µs \| [.0-9]*[1-9][.0-9]* \|' <<<"$output" | cut -d ' ' -f 2 | xargs)"
	same "goals" 2 "$(grep -c '^Goal: ' <<<"$output")"
}

@test "benchmark tenants" {
	bench tenants v1
	local mib='[1-9][0-9]*'
	grep -Eqx "\\| 1 (\\| $mib ){6}(\\| [01]\\.[0-9]{2} ){2}\\|" <<<"$output"
	grep -Eqx "What each further guest takes: images(: disk $mib\.. MiB, cache $mib\.. MiB, processes $mib\.. MiB(; tenants)?){2}\." <<<"$output"
}

# With systemd, where a boot that is recorded ends by itself.
@test "benchmark layout" {
	bench layout v1
	local row='[1-9][0-9]* \| [1-9][.0-9]* MB \| [0-9]+ % \| [0-9]+ KB \| [.0-9]+ GB \| [.0-9]*[1-9][.0-9]* s'
	grep -Eqx 'The profile: [1-9][0-9]{2,} files, [1-9][0-9]* MB of [1-9][0-9]* MB in the image\.' <<<"$output"
	grep -Eqx "\| index, plain \| $row \|" <<<"$output"
	grep -Eqx "\| index, profiled \| $row \|" <<<"$output"
	grep -Eqx '\| index, ratio (\| [.0-9]*[1-9][.0-9]* ){6}\|' <<<"$output"
	same "what mkfs said of the list" "" "$(cat "$MLIMG_BUILD/bench/layout/mkfs.log")"
}

@test "benchmark guest-io" {
	bench guest-io v1 bench
	same "rows with a time and a speed" 10 "$(grep -cE '^\| [a-z][^|]* \| [.0-9]*[1-9][.0-9]* s \| [.0-9]*[1-9][.0-9]* \| [.0-9]*[1-9][.0-9]* \|$' <<<"$output")"
	same "goals" 2 "$(grep -Ec '^Goal: speed of index-1 at least 0.95 of that of (flat|overlayfs), .* Measured: [.0-9]' <<<"$output")"
	grep -Eqx '\| 4KiB \| [.0-9]*[1-9][.0-9]* ms \| [.0-9]*[1-9][.0-9]* ms \|' <<<"$output"
	grep -Eqx '\| 64KiB \| [.0-9]*[1-9][.0-9]* ms \| [.0-9]*[1-9][.0-9]* ms \|' <<<"$output"
}

@test "benchmark agent" {
	bench agent v1
	local kib='[1-9][0-9]* KiB' row
	for row in "in a guest" "after a flood" "on a host" "after one there"; do
		grep -Eqx "\\| $row \\| $kib \\| $kib \\| $kib \\| [0-9]+ \\| [1-9][0-9]* us \\|" <<<"$output" || same "rows" "$row" "$output"
	done
	same "goals" 3 "$(grep -c '^Goal: ' <<<"$output")"
}

@test "benchmark initramfs" {
	bench initramfs v1 unionfs
	local time='[.0-9]*[1-9][.0-9]* s'
	grep -Eqx "\| stand-alone \| [1-9][.0-9]* MB \| $time \| $time \| $time \| $time \| $time \|" <<<"$output"
	grep -Eqx "\| initramfs-tools \| [1-9][.0-9]* MB \| $time \| $time \| $time \| $time \| $time \|" <<<"$output"
	grep -Eqx 'Goal: size of the stand-alone initramfs, MB at most 4. Measured: [1-9][.0-9]*, (reached|missed)\.' <<<"$output"
}

@test "benchmark upgrade" {
	bench upgrade v1
	local row='[.0-9]*[1-9][.0-9]* s \| [.0-9]+ MB \| [.0-9]*[1-9][.0-9]* MB \| [.0-9]+ \| [.0-9]+ \|'
	same "rows" "whole patch apt-get" "$(grep -Ex "\\| [a-z-]+ \\| $row" <<<"$output" | cut -d ' ' -f 2 | xargs)"
}

@test "benchmark reconcile" {
	bench reconcile v1
	in_table few many
	[[ $output == *"Of 2000 entries: keep 1335, stale 121, same 545, operations 666."* ]]
	grep -Eqx '\| index \| [.0-9]*[1-9][.0-9]* ms \| [.0-9]*[1-9][.0-9]* ms \| [.0-9]*[1-9][.0-9]* ms \|' <<<"$output"
	same "goals" 9 "$(grep -c '^Goal: ' <<<"$output")"
}
