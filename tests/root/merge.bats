#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The merged manifest beside what the kernel's overlayfs shows of the same layers.

load ../lib/common

@test "merged manifest equals overlayfs over random stacks, entry by entry" {
	need root
	c_case "$MLIMG_BUILD/tests/lib/overlay-model" merge_equals_overlayfs
}
