#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The compiled stack, mounted.

load ../lib/common

@test "an index shows what overlayfs shows of the same random layers, entry by entry" {
	need root
	c_case "$MLIMG_BUILD/tests/lib/overlay-model" index_equals_overlayfs
}
