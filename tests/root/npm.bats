#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What npm does to directories of a layer, call by call. npm itself needs a Debian tree: vm/npm.bats.

load ../lib/common

setup() {
	load ../lib/npm
}

teardown() {
	npm_down
}

@test "npm: its calls in a merged root do what they do in a plain directory" {
	need root
	need command perl
	works_on replayed
}
