#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What mlimg-upgrade plan foretells is what a boot then does: its report is the one that the agent writes, byte for byte.
load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/tenant-disks

setup() {
	need root
	need command qemu-img qemu-nbd jq
	DIR=$BATS_TEST_TMPDIR
	S=$DIR/store
	cd "$DIR" || return
	SEED=${MLIMG_SEED:-$(date +%s)}
	echo "MLIMG_SEED=$SEED"
}

teardown() {
	local dir
	for dir in "$DIR/merged" "$DIR/run/user" "$DIR"/run/layers/[0-9]; do umount -q "$dir" 2>/dev/null || :; done
}

plan() {
	works mlimg-upgrade plan --store "$S" --system "${1:-debian:12.2}" --json
	jq . <<<"$output" >plan.json
}

# of NAME FILTER: out of the plan.
of() {
	jq -c ".tenants[] | select(.name == \"$1\") | $2" plan.json
}

# boots_as_planned NAME IMAGE…: on these layers the agent writes the report that the plan has, and takes no more room than was told.
boots_as_planned() {
	local name=$1 free left
	shift
	disk_in "$name"
	free=$(stat -f -c '%a' "$DIR/run/user")
	disk_prepare "$@"
	sync -f "$DIR/run/user"
	left=$(stat -f -c '%a' "$DIR/run/user")
	of "$name" .report | jq -S . >foretold
	jq -S . "$DIR/run/user/mlimg/reports/2.json" >written
	same "report" "$(<written)" "$(<foretold)"
	echo "$name: room $(((free - left) * 4096)) of $(of "$name" .needed_bytes)"
	[ $(((free - left) * 4096)) -le "$(of "$name" .needed_bytes)" ]
	same "free bytes" "$((free * 4096))" "$(of "$name" .free_bytes)"
	disk_release
	disk_out "$name"
}

@test "upgrade plan: what it foretells is what a boot reports, entry by entry" {
	local i name before
	upgrade_trees "$SEED"
	mlimg-store --store "$S" add v1.img v2.img >/dev/null
	for i in 1 2 3 4; do
		name=tenant$i
		vm create $name --system debian:12.1 --size 128M >/dev/null
		disk_in $name
		disk_prepare v1.img
		disk_use upgrade_user "$((SEED + 10 * i))"
		disk_release
		disk_out $name
	done
	before=$(find "$S/tenants" -type f -exec sha256sum {} + | sort)
	plan
	same "disks afterwards" "$before" "$(find "$S/tenants" -type f -exec sha256sum {} + | sort)"
	same "outcomes" "$(printf 'changes\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
	works mlimg-upgrade plan --store "$S" --system debian:12.2 --html plan.html
	same "pictures, of none" 0 "$(grep -c '<img' plan.html)"
	same "errors, of none" 0 "$(grep -c 'class="failed"' plan.html)"
	same "lines with the name" 4 "$(grep -c '<code>etc/&#60;img' plan.html)"
	# There is something of each kind, or this would show little.
	same "kinds without an entry" "" "$(jq -r '.sum | to_entries[] | select(.value == 0 and (.key | IN("stale", "kept", "merged", "conflicts", "moved", "broken", "accounts"))) | .key' plan.json)"
	for i in 1 2 3 4; do
		name=tenant$i
		boots_as_planned $name v2.img
	done
	plan
	same "then" "$(printf 'same\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
	plan debian:12.1
	same "back" "$(printf 'back\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
}
