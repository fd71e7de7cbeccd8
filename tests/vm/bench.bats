#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Benchmarks that need guests work, and print their tables. How fast anything is, is no test.

load ../lib/common

setup() {
	load ../lib/bench
}

@test "benchmark depth-guest" {
	bench depth-guest
	depth_shown
}
