#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Debian's npm on an application that is in a layer: `npm install`, one that fails, `npm ci`. Without a guest; it is here for the sake of the Debian tree.

load ../lib/common

setup() {
	load ../lib/npm
}

teardown() {
	npm_down
	[ -z "${npm_tools:-}" ] || ! mountpoint -q "$npm_tools" || umount "$npm_tools"
}

@test "npm: install, an install that fails, and ci in a merged root do what they do in a plain directory" {
	need root
	debian-tree v1 >/dev/null
	npm_tools=$BATS_TEST_TMPDIR/tools
	mkdir "$npm_tools"
	mount -t overlay -o "ro,lowerdir=$(debian-tree npm):$MLIMG_TOP/build/trees/v1.base" overlay "$npm_tools"
	works_on real
}
