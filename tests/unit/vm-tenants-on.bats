#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Commands on tenants that are on, with a program in QEMU's place (tests/lib/fake-qemu.c): what they do, and what they refuse.

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

@test "tenants on: list asks the agent, set is for the next start, rename goes on" {
	vm start alice >/dev/null 2>&1
	works vm list
	same "alice" "alice up debian 12.1 running" "$(awk 'NR == 2 { print $1, $2, $(NF - 2), $(NF - 1), $NF }' <<<"$output")"
	same "bob" "bob off debian 12.1 -" "$(awk 'NR == 3 { print $1, $2, $(NF - 2), $(NF - 1), $NF }' <<<"$output")"
	works vm list --json
	same "health" "running null" "$(jq -r '.[].health' <<<"$output" | xargs)"
	works vm set alice --memory 2G --software nginx
	same "said" "alice: memory 2.0 GiB, was 1.0 GiB
alice: generation 2: debian 12.1 + nginx 1
alice runs: it has this from its next start on" "$output"
	same "generations" "1|2" "$(tenant alice 'current, pending')"
	# Upon what is pending, not upon what runs.
	works vm set alice --no-software
	same "said" "alice: generation 1: debian 12.1
alice runs: it has this from its next start on" "$output"
	same "generations" "1|" "$(tenant alice 'current, pending')"
	works vm rename alice carol
	same "carol" up "$(vm list --json | jq -r '.[] | select(.name == "carol").state')"
	run vm stop carol
	# shellcheck disable=SC2154 # run sets it
	same "exit code" 0 "$status"
}

@test "tenants on: an agent that does not answer is no reason for list to wait" {
	lives be
	vm start alice >/dev/null 2>&1
	works timeout 60 mlimg-vm list --json --store "$S"
	same "alice" "up null" "$(jq -r '.[0] | "\(.state) \(.health)"' <<<"$output")"
}

@test "tenants on: destroy and clone are refused" {
	vm start alice >/dev/null 2>&1
	fails 1 "mlimg-vm: tenant 'alice' is up: stop it first" vm destroy --yes alice
	fails 1 "mlimg-vm: tenant 'alice' is up: stop it, or take a checkpoint of it ('mlimg-vm checkpoint alice TAG') and copy that one ('--from TAG')" \
		vm clone alice carol
	fails 1 "mlimg-vm: tenant 'alice' is up: stop it, or take a checkpoint of it ('mlimg-vm checkpoint alice TAG') and copy that one ('--from TAG')" \
		vm clone alice carol --linked
	same "tenants" "alice bob" "$(sqlite3 "$S/store.db" 'SELECT name FROM tenant ORDER BY name' | xargs)"
}

@test "tenants on: resize is for QEMU to do, and what it refuses is told" {
	local before
	sed -i 's/^live/says block_resize {"error": {"class": "GenericError", "desc": "no room"}}\nlive/' "$FAKE_QEMU"
	before=$(stat -c '%s %Y' "$(tenant_disk alice)")
	vm start alice >/dev/null 2>&1
	fails 1 "mlimg-vm: tenant 'alice': 'block_resize' fails: no room" vm resize alice 1G
	vm stop alice >/dev/null 2>&1
	sed -i 's/^says .*/says block_resize {"return": {}}/' "$FAKE_QEMU"
	vm start alice >/dev/null 2>&1
	works vm resize alice 1G
	same "said" "alice: disk of 1.0 GiB; its file system grows at the next boot" "$output"
	# Nobody else has touched the disk that it has open.
	same "disk" "$before" "$(stat -c '%s %Y' "$(tenant_disk alice)")"
}

@test "tenants on: a copy is started with a word of its own where its initramfs knows that" {
	vm clone alice carol >/dev/null
	run --separate-stderr vm start carol
	# shellcheck disable=SC2154 # run sets it
	grep -qxF "mlimg-vm: warning: carol is a copy, and its system's initramfs does not know mlimg.identity: it has the machine id and the host keys of the other" <<<"$stderr"
	same "parameter" "" "$(tr '\0' ' ' <"/proc/$(life_pid carol 2)/cmdline" | grep -o 'mlimg.identity=[0-9a-f]*' || :)"
	mkdir early
	echo overlay identity >early/mlimg-unions
	cp -a "$BATS_FILE_TMPDIR/tree" .
	(cd early && cpio --quiet -o -H newc <<<mlimg-unions) >tree/boot/initrd.img-6.1.0-1-test
	mlimg-mkfs --quiet --kind system --name debian --version 13 tree s3.img
	mlimg-store --store "$S" add s3.img >/dev/null
	vm stop carol >/dev/null
	vm set carol --system debian:13 >/dev/null
	run --separate-stderr vm start carol
	same "warnings" "" "$(grep warning <<<"$stderr" || :)"
	same "parameter" "mlimg.identity=$(tenant carol id)" "$(tr '\0' ' ' <"/proc/$(life_pid carol 2)/cmdline" | grep -o 'mlimg.identity=[0-9a-f]*')"
}
