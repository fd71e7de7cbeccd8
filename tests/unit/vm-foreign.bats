#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # life.bash sets run
# What is in a store's place and not the store's: images, disks and databases of another store, or of none; and what is not there.

load ../lib/common
load ../lib/images
load vm-fakes
load ../lib/tenants
load ../lib/life

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	life_images
	# As another store has it: the same name and version, and another tree.
	mkdir -p other/boot
	cp tree/boot/* other/boot/
	echo other >other/boot/version
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 other o1.img
}

setup() {
	need command sqlite3 jq qemu-img
	life_begin
	lives
	image=$S/layers/$(image_id "$BATS_FILE_TMPDIR/s1.img").img
	disk=$(tenant_disk alice)
}

teardown() {
	life_end
}

# refused MESSAGE: alice does not start, nor is anything begun.
refused() {
	fails 3 "mlimg-vm: tenant 'alice': $1" vm start alice
	same "state" off "$(state alice)"
	same "events" "" "$(events alice)"
}

# takes FILE: it lies in the place of the layer.
takes() {
	chmod u+w "$image"
	cat "$1" >"$image"
	chmod a-w "$image"
}

@test "foreign: an image of another store" {
	local other
	other=$(image_id "$BATS_FILE_TMPDIR/o1.img" | cut -c -20)
	takes "$BATS_FILE_TMPDIR/o1.img"
	refused "'$image' is another layer: debian 12.1, build $other ('mlimg-store verify')"
	fails 3 "mlimg-store: 1 of 3 layers are not sound" mlimg-store --store "$S" verify
	[[ $output == *"$(printf %.200s "$image"): is another layer: debian 12.1, build $other"* ]]
	# A software layer of another store in its place.
	takes "$BATS_FILE_TMPDIR/w.img"
	refused "'$image' is a software layer, but --system wants a system layer"
	rm -f "$image"
	fails 1 "mlimg-vm: tenant 'alice': open image '$image': No such file or directory" vm start alice
	works mlimg-store --store "$S" add "$BATS_FILE_TMPDIR/s1.img"
	works mlimg-store --store "$S" verify
	run --separate-stderr vm start alice
	same "exit code" 0 "$status"
}

@test "foreign: a disk that no tenant has written" {
	cp "$disk" "$BATS_TEST_TMPDIR/disk"
	cp "$BATS_FILE_TMPDIR/w.img" "$disk"
	refused "'$disk' is no qcow2 image"
	: >"$disk"
	refused "'$disk' is no qcow2 image"
	cp "$BATS_TEST_TMPDIR/disk" "$disk"
	run --separate-stderr vm start alice
	same "exit code" 0 "$status"
}

@test "foreign: a disk that is not there is told, and waits for nobody's checkpoint" {
	local gone id
	id=$(tenant alice id)
	mv "$disk" "$BATS_TEST_TMPDIR/disk"
	gone="mlimg-vm: tenant 'alice': its disk is not there ('$disk')"
	run --separate-stderr mlimg-store --store "$S" verify
	same "exit code" 3 "$status"
	same "found" "lost     tenants/$id/user.qcow2" "$(grep -v ^sound <<<"$output")"
	same "stderr" "mlimg-store: database and directory of '$S' do not agree" "$stderr"
	same "list" "off: its disk is not there" "$(vm list --json | jq -r '.[] | select(.name == "alice") | "\(.state): \(.why)"')"
	works vm status alice
	[[ $output == *"guest     off: its disk is not there"$'\n'* ]]
	fails 1 "$gone" vm start alice
	fails 1 "$gone" vm checkpoint alice one
	fails 1 "$gone" vm clone alice carol
	same "checkpoints" 0 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM checkpoint")"
	# Of one that is on another host nobody says so.
	works mlimg-vm host --store "$S" add east qemu+ssh://root@east.example.org/system
	sqlite3 "$S/store.db" "UPDATE tenant SET host = 'east' WHERE name = 'alice'"
	works mlimg-store --store "$S" verify
	sqlite3 "$S/store.db" "UPDATE tenant SET host = NULL WHERE name = 'alice'"
	mv "$BATS_TEST_TMPDIR/disk" "$disk"
	works mlimg-store --store "$S" verify
	works vm checkpoint alice one
	works vm clone alice carol
}

@test "foreign: a tenant whose disk, or whose directory, is lost can be destroyed" {
	local id
	rm "$disk"
	run script -qec "mlimg-vm destroy alice --store '$S'" /dev/null <<<n
	[[ $output == *"Destroy tenant 'alice', whose disk is not there? [y/N] "* ]]
	works vm destroy alice --yes
	same "said" "destroyed alice; its disk was not there" "$output"
	id=$(tenant bob id)
	rm -r "$S/tenants/$id"
	run --separate-stderr mlimg-store --store "$S" verify
	same "found" "lost     tenants/$id" "$(grep -v ^sound <<<"$output")"
	fails 1 "mlimg-vm: lock tenant 'bob': open '$S/tenants/$id/lock': No such file or directory" vm destroy bob --yes
	# As the manual says.
	mkdir -m 0700 "$S/tenants/$id"
	works vm destroy bob --yes
	same "said" "destroyed bob; its disk was not there" "$output"
	works mlimg-store --store "$S" verify
}

@test "foreign: a database of another program, and of a newer mlimg" {
	cp "$S/store.db" "$BATS_TEST_TMPDIR/store.db"
	rm -f "$S"/store.db*
	sqlite3 "$S/store.db" "CREATE TABLE x (y); PRAGMA application_id = 7; PRAGMA user_version = 1"
	fails 3 "mlimg-vm: '$S/store.db' is no store's database" vm list
	fails 3 "mlimg-store: '$S/store.db' is no store's database" mlimg-store --store "$S" gc
	cp "$BATS_TEST_TMPDIR/store.db" "$S/store.db"
	sqlite3 "$S/store.db" "PRAGMA user_version = 1000"
	run --separate-stderr vm start alice
	same "exit code" 3 "$status"
	[[ $stderr == "mlimg-vm: '$S/store.db' has schema 1000, this program knows "*": use a newer one" ]]
	rm -f "$S"/store.db*
	cp "$BATS_TEST_TMPDIR/store.db" "$S/store.db"
	works mlimg-store --store "$S" verify
}

@test "foreign: a tenant, a layer, a checkpoint that another store has" {
	works mlimg-store --store "$S.2" add "$BATS_FILE_TMPDIR/s2.img"
	fails 1 "mlimg-vm: no tenant 'alice'" mlimg-vm start alice --store "$S.2"
	fails 1 "mlimg-vm: the store has no system '$(image_id "$BATS_FILE_TMPDIR/s1.img")'" mlimg-vm create alice --store "$S.2" --system "$(image_id "$BATS_FILE_TMPDIR/s1.img")"
	works vm checkpoint bob one
	works mlimg-vm create bob --store "$S.2" --system debian --size 64M
	fails 1 "mlimg-vm: 'bob' has no checkpoint 'one'" mlimg-vm restore bob one --store "$S.2"
	works vm destroy bob --yes
	fails 1 "mlimg-vm: no tenant 'bob' has been destroyed" mlimg-vm create carl --store "$S.2" --from-removed bob
}
