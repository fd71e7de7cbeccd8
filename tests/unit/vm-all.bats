#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run and life_begin set what is used
# Commands on all tenants of this machine: as it goes down, and as it comes up. A program stands in QEMU's place (tests/lib/fake-qemu.c).

load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/life
load vm-fakes

setup_file() {
	life_images
}

setup() {
	life_begin
	lives
}

teardown() {
	life_end
}

@test "life: stop --all: those that are on, at once" {
	fails 2 "mlimg-vm: --all takes neither the name of a guest nor --runtime-dir
Try 'mlimg-vm --help' for more information." mlimg-vm stop --store "$S" --all alice
	works vm stop --all
	same "said when all are off" "" "$output"
	vm create carol --system debian:12.1 --accel tcg --size 64M >/dev/null
	vm start alice 2>/dev/null
	vm start carol 2>/dev/null
	works vm stop --all
	same "said" "alice: powered off by its agent carol: powered off by its agent" "$(sort <<<"$output" | xargs)"
	same "states" "off off off" "$(vm list --json | jq -r '.[].state' | xargs)"
	lives x
	vm start alice 2>/dev/null
	fails 1 "mlimg-vm: tenant 'alice' did not power off within 1 s, ended" vm stop --all --timeout 1
}

@test "life: start --autostart: those that are set so and off; one that does not boot keeps no other on" {
	fails 2 "mlimg-vm: --autostart takes no name of a guest
Try 'mlimg-vm --help' for more information." mlimg-vm start --store "$S" --autostart alice
	fails 2 "mlimg-vm: --autostart: 'on' is neither 'yes' nor 'no'
Try 'mlimg-vm --help' for more information." vm set alice --autostart on
	works vm start --autostart
	same "said" "" "$output"
	same "states" "off off" "$(state alice) $(state bob)"
	works vm set bob --autostart yes
	run --separate-stderr vm start --autostart
	same "exit code and states" "0 off up" "$status $(state alice) $(state bob)"
	vm create carl --system debian:12.1 --accel tcg --size 64M --autostart yes >/dev/null
	mv "$(tenant_disk carl)" "$S/disk"
	works vm set alice --autostart yes
	run --separate-stderr vm start --autostart
	same "exit code and states" "1 up up off" "$status $(state alice) $(state bob) $(state carl)"
	[[ $stderr == *"mlimg-vm: tenant 'carl': its disk is not there ('"*"/user.qcow2')"* ]]
	[[ $stderr != *already* ]]
	mv "$S/disk" "$(tenant_disk carl)"
}
