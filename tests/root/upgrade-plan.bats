#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What mlimg-upgrade plan foretells is what a boot then does: its report is the one that the agent writes, byte for byte.
load ../lib/common
load ../lib/images
load ../lib/tenants
load ../lib/tenant-disks
load ../lib/browser

setup() {
	need root
	need command qemu-img qemu-nbd jq virsh libvirtd unshare nsenter
	DIR=$BATS_TEST_TMPDIR
	S=$DIR/store
	cd "$DIR" || return
	SEED=${MLIMG_SEED:-$(date +%s)}
	echo "MLIMG_SEED=$SEED"
}

teardown() {
	local dir
	browser_close
	if [ -n "${hosts:-}" ]; then
		libvirt_end
		umount -q "$hosts/small" || :
		rm -rf "$hosts"
	fi
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
	same "what was queued" "$(jq -S . "$DIR/run/user/mlimg/reports/queue-1.json" 2>/dev/null || echo null)" "$(of "$name" .queue | jq -S .)"
	same "over protected paths" "$(jq -S '.protected | {n, paths: ((.paths // []) | sort)}' "$DIR/run/boot.json")" \
		"$(of "$name" .protected | jq -S '{n, paths: ((.paths // []) | sort)}')"
	same "not foretold" '[]' "$(of "$name" .not_foretold)"
	echo "$name: room $(((free - left) * 4096)) of $(of "$name" .needed_bytes)"
	[ $(((free - left) * 4096)) -le "$(of "$name" .needed_bytes)" ]
	same "free bytes" "$((free * 4096))" "$(of "$name" .free_bytes)"
	disk_release
	disk_out "$name"
}

# in_browser: the page of 200 tenants, in a real browser: it says what the plan says, sorts and opens when somebody clicks, is readable, light and dark, and as
# wide as a telephone. Pictures of it are kept.
in_browser() {
	local colours width i pictures=$MLIMG_BUILD/test-results/plan-page page=$DIR/many.html
	for i in $(seq 5 200); do vm clone "tenant$((i % 4 + 1))" "tenant$i" >/dev/null; done
	works mlimg-upgrade plan --store "$S" --system debian:12.2 --html "$page"
	plan
	mkdir -p "$pictures"
	browser_open
	for colours in light dark; do
		for width in 1280 400; do
			browser_show "$page" $colours $width
			same "rows" 200 "$(browser_js 'document.querySelectorAll("tbody")[0].rows.length')"
			same "wider than $width, $colours" 0 "$(browser_js 'document.documentElement.scrollWidth - document.documentElement.clientWidth')"
			[ "$(browser_js "$BROWSER_CONTRAST")" -ge 450 ]
			[ "$(browser_js 'Math.max(...[...document.querySelector("tbody").rows].map(r => r.offsetHeight))')" -le 40 ]
			browser_picture "$pictures/$colours-$width.png"
			browser_js 'document.querySelector("tbody a").click()' >/dev/null
			browser_until 'document.querySelector("details").open' true
			same "wider than $width, $colours, a tenant open" 0 "$(browser_js 'document.documentElement.scrollWidth - document.documentElement.clientWidth')"
			[ "$(browser_js "$BROWSER_CONTRAST")" -ge 450 ]
			[ "$(browser_js 'Math.min(...[...document.querySelectorAll("details[open] td:nth-child(2)")].map(c => c.offsetWidth))')" -ge 170 ]
			browser_js 'document.querySelector("details").scrollIntoView()' >/dev/null
			browser_picture "$pictures/$colours-$width-tenant.png"
			same "background is dark" "$([ $colours = dark ] && echo true || echo false)" \
				"$(browser_js 'getComputedStyle(document.body).backgroundColor.match(/\d+/g).every(v => v < 64)')"
		done
	done
	same "as the plan has it" "$(jq -r '.tenants[] | "\(.name) \(.outcome) \(.conflicts)"' plan.json | md5sum)" \
		"$(browser_js '[...document.querySelectorAll("tbody")[0].rows].map(r => [r.cells[0].textContent, r.cells[1].textContent, r.cells[5].dataset.v].join(" ")).join("\n")' | md5sum)"
	for i in 'a > b' 'a < b'; do
		browser_js 'document.querySelectorAll("thead button")[5].click()' >/dev/null
		same "out of order, where $i is" 0 "$(browser_js "[...document.querySelector('tbody').rows].map(r => Number(r.cells[5].dataset.v)).filter((b, i, all) => i && ((a, b) => !($i) && a !== b)(all[i - 1], b)).length")"
	done
	same "what the browser complains of" "" "$(grep -E '"level":"(error|warning)"|exceptionThrown' "$BROWSER/events" || :)"
	browser_close
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
		[ $i -lt 3 ] || upgrade_queue "$((SEED + i))"
		disk_release
		disk_out $name
	done
	before=$(find "$S/tenants" -type f -exec sha256sum {} + | sort)
	plan
	same "disks afterwards" "$before" "$(find "$S/tenants" -type f -exec sha256sum {} + | sort)"
	same "outcomes" "$(printf 'changes\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
	same "with a queue" "tenant3 tenant4" "$(jq -r '.tenants[] | select(.queue.counts.keep > 2).name' plan.json | xargs)"
	works mlimg-upgrade plan --store "$S" --system debian:12.2 --html plan.html
	same "pictures, of none" 0 "$(grep -c '<img' plan.html)"
	same "errors, of none" 0 "$(grep -c 'class="failed"' plan.html)"
	same "lines with the name" 4 "$(grep -c '<code>etc/&#60;img' plan.html)"
	same "caches" '["etc/ld.so.cache","dropped"] ["usr/share/info/dir","aside"]' \
		"$(of tenant1 '.report.entries[] | select(.class == "derived") | [.path, .done]' | sort | xargs -d '\n')"
	[ -z "${MLIMG_BROWSER:-}" ] || {
		in_browser
		for i in $(seq 5 200); do vm destroy --yes "tenant$i" >/dev/null; done
		plan
	}
	# There is something of each kind, or this would show little.
	same "kinds without an entry" "" "$(jq -r '.sum | to_entries[] | select(.value == 0 and (.key | IN("stale", "kept", "merged", "conflicts", "moved", "broken", "accounts", "protected"))) | .key' plan.json)"
	for i in 1 2 3 4; do
		name=tenant$i
		boots_as_planned $name v2.img
	done
	plan
	same "then" "$(printf 'same\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
	plan debian:12.1
	same "back" "$(printf 'back\n%.0s' 1 2 3 4)" "$(jq -r '.tenants[].outcome' plan.json)"
	same "not foretold of that" '["back"]' "$(of tenant1 .not_foretold)"
}

# user_unmerged: a power cut has emptied dpkg's status, and passwd is immutable. user_removed: a package.
user_unmerged() {
	: >var/lib/dpkg/status
	printf 'root:x:0:0::/:/bin/sh\nuser:x:102:102::/:/bin/sh\n' >etc/passwd
	mkdir -p etc/mlimg/reconcile.d
	echo '/etc/passwd keep' >etc/mlimg/reconcile.d/pins.conf
}

user_removed() {
	local dpkg=var/lib/dpkg
	sed -i '/^Package: gone$/,/^$/d' $dpkg/status
	rm $dpkg/info/gone.list usr/share/gone/file
}

@test "upgrade plan: it tells what is not merged, and what is hidden, as a boot does" {
	local name v
	upgrade_trees "$SEED"
	for v in 1 2; do
		mkdir -p v$v/usr/share/gone v$v/var/lib/dpkg/info
		printf 'Package: gone\nStatus: install ok installed\nArchitecture: all\nVersion: %s\nMaintainer: m\nDescription: d\n\n' $v >>v$v/var/lib/dpkg/status
		printf '%s\n' /. /usr /usr/share /usr/share/gone /usr/share/gone/file >v$v/var/lib/dpkg/info/gone.list
		echo $v >v$v/usr/share/gone/file
	done
	echo 2 >v2/usr/share/gone/more
	echo /usr/share/gone/more >>v2/var/lib/dpkg/info/gone.list
	for v in 1 2; do mlimg-mkfs --quiet --force --kind system --name debian --version 12.$v v$v v$v.img; done
	mlimg-store --store "$S" add v1.img v2.img >/dev/null
	for name in removed unmerged; do
		vm create $name --system debian:12.1 --size 128M >/dev/null
		disk_in $name
		disk_prepare v1.img
		disk_use user_$name
		disk_release
		disk_out $name
	done
	works mlimg-upgrade plan --store "$S" --system debian:12.2
	grep -q ', 1 of packages hidden' <<<"$output"
	grep -q ', 2 databases not merged' <<<"$output"
	grep -q 'accounts: not merged: /etc/passwd of the user is of class keep' <<<"$output"
	grep -q 'packages: not merged: /var/lib/dpkg/status of the user lists no package' <<<"$output"
	plan
	same "sums" "1 0 0 2" "$(jq '.tenants[] | .hidden, .unmerged' plan.json | xargs)"
	for name in removed unmerged; do boots_as_planned $name v2.img; done
}

# user_of_conf: what one does whose files a hook is asked to merge.
user_of_conf() {
	echo mine | tee etc/conf etc/both >etc/same
}

# moved: what is reset then would have to be compared with each directory that was renamed.
moved() {
	mv usr/share usr/moved
}

@test "upgrade plan: a user does not keep the host busy with what he has queued" {
	upgrade_trees "$SEED"
	mlimg-store --store "$S" add v1.img v2.img >/dev/null
	vm create much --system debian:12.1 --size 128M >/dev/null
	disk_in much
	disk_prepare v1.img
	disk_use moved
	{ echo 'mlimg-queue 1' && seq -f 'reset etc/q%05g' 65000; } >"$DIR/run/user/mlimg/queue"
	disk_release
	disk_out much
	run --separate-stderr mlimg-upgrade plan --store "$S" --system debian:12.2
	# shellcheck disable=SC2154 # run sets it
	same "exit code and stderr" "1 " "$status $stderr"
	same "what is told" "  failed: its user has queued so much (65000) that it is not foretold: the next boot does it" "$(sed -n 2p <<<"$output")"
}

@test "upgrade plan: what it cannot foretell it says" {
	local name
	upgrade_trees "$SEED"
	mkdir -p v2/usr/lib/mlimg/reconcile.d
	printf '%s merge:none\n' /etc/conf /etc/both >v2/usr/lib/mlimg/reconcile.d/test.conf
	mlimg-mkfs --quiet --kind system --name debian --version 12.3 v2 v3.img
	mlimg-store --store "$S" add v1.img v3.img >/dev/null
	for name in bad begun; do
		vm create $name --system debian:12.1 --size 128M >/dev/null
		disk_in $name
		disk_prepare v1.img
		disk_use user_of_conf
		if [ $name = bad ]; then echo garbage >"$DIR/run/user/mlimg/queue"; else mkdir "$DIR/run/user/mlimg/queue.run"; fi
		disk_release
		disk_out $name
	done
	works mlimg-upgrade plan --store "$S" --system debian:12.3
	same "notes" "    note        what the user has queued is damaged, and is not done: queue: line 1: not of a known format
    note        2 told as conflict that a hook of the layers is asked to merge in the boot: what it makes of them is not foretold
    note        what the user has queued was interrupted, and is ended before: that is not foretold
    note        2 told as conflict that a hook of the layers is asked to merge in the boot: what it makes of them is not foretold" \
		"$(grep '^    note' <<<"$output")"
	grep -q '2 conflicts.*, 2 left to hooks' <<<"$output"
	plan debian:12.3
	same "as words" '["hooks"] ["hooks","queue"]' "$(jq -c '.tenants[].not_foretold' plan.json | xargs -d '\n')"
	same "hooks" "2 2 4" "$(jq '.tenants[].hooks, .sum.hooks' plan.json | xargs)"
}

# away NAME: its disk is moved to host east as when it is started there; $disk is its file.
away() {
	disk=$hosts/pool/$(tenant "$1" id).qcow2
	mv "$(tenant_disk "$1")" "$disk"
}

# fails_as MESSAGE: the plan of carol, as JSON.
fails_as() {
	run --separate-stderr mlimg-upgrade plan --store "$S" --system debian:12.2 --json
	same "exit code and stderr" "1 " "$status $stderr"
	same "why" "$1" "$(jq -r '.tenants[0].why' <<<"$output")"
	same "what is left in the store" "" "$(ls -A "$S/incoming")"
}

# tells_of N WHAT SCRIPT: SCRIPT, in which @ becomes a number of its own, at some of the first half of a plan's N calls: from the one on that is looked for, it is told.
tells_of() {
	local low=0 high=$(($1 / 2)) at=$(($1 / 2)) status
	while [ $((high - low)) -gt 1 ]; do
		status=0
		meanwhile "$at" "${3//@/$at}" mlimg-upgrade plan --store "$S" --system debian:12.2 --json 3>/dev/null >said || status=$?
		if [ $status -eq 0 ]; then
			low=$at
		else
			same "why, at call $at" "1 tenant 'carol' on host 'east': $2 while its disk was read: ask again" "$status $(jq -r '.tenants[0].why' said)"
			high=$at
		fi
		at=$(((low + high) / 2))
	done
	[ $low -gt 0 ]
	[ $high -lt $(($1 / 2)) ]
}

@test "upgrade plan: of a disk on another host: what a boot reports; it stays as it is, and nothing of it stays here" {
	local disk before at n status n_left=0 whole=$DIR/store uri id foretold
	hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
	chmod 0711 "$hosts"
	load ../lib/libvirt
	libvirt_host east
	uri=$(libvirt_uri east)
	upgrade_trees "$SEED"
	mlimg-store --store "$S" add v1.img v2.img >/dev/null
	mkdir "$hosts/pool"
	works mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S"
	vm create carol --system debian:12.1 --size 128M --host east >/dev/null
	disk_in carol
	disk_prepare v1.img
	disk_use upgrade_user "$SEED"
	disk_release
	disk_out carol
	away carol
	before=$(stat -c '%y %s' "$disk" && sha256sum "$disk")
	plan
	same "disk afterwards" "$before" "$(stat -c '%y %s' "$disk" && sha256sum "$disk")"
	same "what is left in the store" "" "$(ls -A "$S/incoming")"
	same "outcome" changes "$(of carol .outcome | jq -r .)"

	# Killed at any call: nothing stays of it but for the next command.
	n=$(stop-at - mlimg-upgrade plan --store "$S" --system debian:12.2 3>&1 >/dev/null)
	echo "$n calls"
	for at in $(seq 1 $(((n + 4) / 5)) "$n"); do
		status=0
		stop-at "$at" mlimg-upgrade plan --store "$S" --system debian:12.2 3>/dev/null >/dev/null 2>&1 || status=$?
		[ $status -eq 137 ] || [ $status -eq 0 ]
		n_left=$((n_left + ($(find "$S/incoming" -size +0 | wc -l) > 0)))
		mlimg-vm list --store "$S" >/dev/null
		same "what is left in the store, killed at $at" "" "$(ls -A "$S/incoming")"
	done
	[ $n_left -gt 0 ]
	same "disk afterwards" "$before" "$(stat -c '%y %s' "$disk" && sha256sum "$disk")"

	# Somebody writes to it.
	tells_of "$n" "somebody wrote to it" "touch '$disk'"

	# A guest that runs: a checkpoint counts, whatever the disk is by now; and not when somebody changes the list of them meanwhile.
	cp "$disk" whole.qcow2
	id=$(tenant carol id | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')
	echo "<domain type='qemu'><name>carol</name><uuid>$id</uuid><memory>16384</memory><os><type arch='x86_64'>hvm</type></os></domain>" >domain.xml
	virsh -q -c "$uri" create --paused domain.xml
	fails_as "carol: its guest runs: ask with --checkpoint, or stop it"
	qemu-img snapshot -c mlimg-before "$disk"
	qemu-io -f qcow2 -c 'write -P 1 0 1M' "$disk" >/dev/null
	sqlite3 "$S/store.db" "INSERT INTO checkpoint (tenant_id, tag, state, kind, origin, generation, memory_bytes, cpus, machine, saved_bytes, created_s)
		SELECT id, 'before', 'saved', 'disk', 'named', current, 0, 0, '', 0, 1 FROM tenant"
	foretold=$(of carol .report)
	plan
	same "of a checkpoint" "$foretold" "$(of carol .report)"
	same "of which" before "$(of carol .checkpoint | jq -r .)"
	tells_of "$n" "a checkpoint was taken or deleted" "qemu-img snapshot -c more@ '$disk'"
	virsh -q -c "$uri" destroy carol
	cat whole.qcow2 >"$disk"

	# No room that tenants may need is taken.
	mkdir "$hosts/small"
	mount -t tmpfs -o size=60M tmpfs "$hosts/small"
	cp -a "$S" "$hosts/small"
	S=$hosts/small/store
	fails_as "tenant 'carol' on host 'east': there is no room here to read its user disk: $((($(stat -c %s "$disk") + 1048575) / 1048576)) MiB are needed, 0 can be had"
	S=$whole

	# It is the boot's.
	cp "$disk" "$(tenant_disk carol)"
	plan
	boots_as_planned carol v2.img
	rm "$(tenant_disk carol)"

	# What is there is not what it should be.
	qemu-img rebase -u -f qcow2 -F raw -b /etc/passwd "$disk"
	fails_as "carol: its disk on host 'east' lies over another, as none there does"
	head -c 200000 /dev/zero >"$disk"
	fails_as "carol: its disk on host 'east' is no qcow2 image"
	rm "$disk"
	fails_as "tenant 'carol' on host 'east': its user disk '${disk##*/}': No such file or directory"
}
