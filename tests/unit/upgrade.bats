#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What mlimg-upgrade plan says and refuses, of tenants that need not boot. What it foretells is compared with boots in root/upgrade-plan.bats.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	need command qemu-nbd
	tenant_store old.img web.img tools.img
}

usage() {
	fails 2 "mlimg-upgrade: $1
Try 'mlimg-upgrade --help' for more information." mlimg-upgrade "${@:2}"
}

plan() {
	mlimg-upgrade plan --store "$S" "$@"
}

# of NAME FILTER: out of the plan in $output.
of() {
	jq -rc ".tenants[] | select(.name == \"$1\") | $2" <<<"$output"
}

@test "upgrade: help in 80 columns; every option in manual page and completion" {
	local page command commands
	page=$(man --encoding=UTF-8 -l "$MLIMG_TOP/tools/mlimg-upgrade.8" | col -b)
	works mlimg-upgrade --help
	[[ $output == "Usage: mlimg-upgrade COMMAND "* ]]
	same "lines over 80 columns" "" "$(awk 'length > 80' <<<"$output")"
	commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' <<<"$output" | grep -v mlimg)
	same "commands that are offered" "$(sort <<<"$commands")" "$(completes mlimg-upgrade '' | sort)"
	for command in $commands; do
		works mlimg-upgrade "$command" --help
		[[ $output == "Usage: mlimg-upgrade $command "* ]]
		same "lines over 80 columns" "" "$(awk 'length > 80' <<<"$output")"
		grep -oE -- '^ +(-h, )?--[a-z-]+' <<<"$output" | grep -oE -- '--[a-z-]+' | sort >said
		same "options of $command that are offered" "$(<said)" "$(completes mlimg-upgrade "$command" -- | grep -e -- | sort)"
		while read -r word; do
			grep -qe "$word" <<<"$page" || echo "$word of $command: not in the manual page"
		done <said >missing
		same "options of $command" "" "$(<missing)"
	done
}

# completes WORD…: what is offered for the last word.
completes() {
	local COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	# shellcheck source=/dev/null
	. "$MLIMG_TOP/tools/completion/mlimg-upgrade"
	_mlimg_upgrade
	printf '%s\n' "${COMPREPLY[@]}"
}

@test "upgrade: wrong usage" {
	usage "no command given"
	usage "unknown command 'frob'" frob
	usage "--system is missing" plan
	usage "unexpected operand 'x'" plan --system debian x
	usage "--store: no directory given" plan --system debian --store ''
	usage "--html: no file given" plan --system debian --html ''
	usage "--system is missing" apply
	usage "--wave: 'all' is not a list of waves (as 1,10%,100%)" apply --system debian --wave all
	usage "--at-once: '0' is not a number from 1 to 256" apply --system debian --at-once 0
	usage "--restart: 'soon' is not now, next or a window (as 02:00-04:30)" apply --system debian --restart soon
	usage "--health: '0' is not a number from 1 to 86400" rollback --health 0
	usage "--max-failures: 'x' is not a number from 0 to 4294967295" resume --max-failures x
	usage "'x' is not the number of a rollout" rollback x
	usage "unexpected operand '2'" status 1 2
	usage "--json and --follow exclude each other" status --json --follow
	usage "the number of a rollout is missing" forget
	usage "'step' is not a command of its own, but of 'apply'" step
}

@test "upgrade: plan: what is not there" {
	works vm create alice --system debian:12.1 --size 64M
	fails 1 "mlimg-upgrade: the store has no system 'debian:12.2'" plan --system debian:12.2
	fails 1 "mlimg-upgrade: no tenant's name is 'b*'" plan --system debian --tenants 'b*'
	fails 1 "mlimg-upgrade: '$BATS_TEST_TMPDIR/none': no store is there; 'mlimg-store add' makes one" mlimg-upgrade plan --system debian --store "$BATS_TEST_TMPDIR/none"
	mlimg-store --store "$BATS_TEST_TMPDIR/other" add old.img >/dev/null
	works mlimg-upgrade plan --system debian:12.1 --store "$BATS_TEST_TMPDIR/other"
	same "said" "no tenants" "$output"
}

@test "upgrade: plan: a tenant that has never run, one by its name, and a patch as the new system" {
	local before
	mlimg-store --store "$S" add patch.img >/dev/null
	works vm create alice --system debian:12.1 --size 64M
	works vm create bob --system debian:12.1 --software tools --size 64M
	before=$(
		find "$S/tenants" -type f -exec sha256sum {} + | sort
		sqlite3 "$S/store.db" .dump
	)
	works plan --system debian:12.2
	same "said" "alice: debian 12.1 -> debian 12.2
  has never run: nothing to change
bob: debian 12.1 + tools 1 -> debian 12.2 + tools 1
  has never run: nothing to change
2 tenants: 2 never run; 0 stale, 0 kept, 0 merged, 0 conflicts" "$output"
	works plan --system debian:12.2 --tenants 'b*' --json
	same "tenants" '["bob"]' "$(jq -c '[.tenants[].name]' <<<"$output")"
	same "system" "debian 12.2 $(image_id new.img)" "$(jq -r '.system | "\(.name) \(.version) \(.system_id)"' <<<"$output")"
	same "outcome" "first null []" "$(of bob '.outcome, .why, .way_out' | xargs)"
	same "store and disks afterwards" "$before" "$(
		find "$S/tenants" -type f -exec sha256sum {} + | sort
		sqlite3 "$S/store.db" .dump
	)"
}

@test "upgrade: plan: software that was not made for the new system is refused, with what makes it" {
	local system
	mlimg-store --store "$S" add new.img >/dev/null
	works vm create alice --system debian:12.1 --software nginx:1.0 --software tools --size 64M
	works vm create bob --system debian:12.1 --size 64M
	fails 1 "" plan --system debian:12.2
	system=$S/layers/$(image_id new.img).img
	same "said" "alice: debian 12.1 + nginx 1.0 + tools 1 -> debian 12.2 + nginx 1.0 + tools 1
  refused: software layer 'nginx 1.0' was not built for 'debian 12.2'
    mlimg-mkfs --kind software --name nginx --version 1.0 --over $system SOURCE nginx-1.0.img
    mlimg-store --store $S add nginx-1.0.img
bob: debian 12.1 -> debian 12.2
  has never run: nothing to change
2 tenants: 1 never run, 1 refused; 0 stale, 0 kept, 0 merged, 0 conflicts" "$output"
	# The commands do what they are there for.
	cp -r web "$BATS_TEST_TMPDIR/SOURCE"
	(cd "$BATS_TEST_TMPDIR" && cp -r "$BATS_FILE_TMPDIR/new/etc" SOURCE && grep -E '^    ' <<<"$output" | sh -eu >/dev/null)
	works plan --system debian:12.2 --json
	same "then" "first null" "$(of alice '.outcome, .why' | xargs)"
}

@test "upgrade: plan: another version of software, for those who have it" {
	works mlimg-mkfs --quiet --kind software --name nginx --version 2.0 --over new.img --partial web "$BATS_TEST_TMPDIR/web.img"
	mlimg-store --store "$S" add new.img "$BATS_TEST_TMPDIR/web.img" >/dev/null
	works vm create alice --system debian:12.1 --software nginx:1.0 --software tools --size 64M
	works vm create bob --system debian:12.1 --size 64M
	works plan --system debian:12.2 --software nginx:2.0
	same "said" "alice: debian 12.1 + nginx 1.0 + tools 1 -> debian 12.2 + nginx 2.0 + tools 1
  has never run: nothing to change
bob: debian 12.1 -> debian 12.2
  has never run: nothing to change
2 tenants: 2 never run; 0 stale, 0 kept, 0 merged, 0 conflicts" "$output"
	fails 1 "mlimg-upgrade: the store has no software layer 'nginx:3'" plan --system debian:12.2 --software nginx:3
}

@test "upgrade: plan: software over software that is built anew" {
	local system
	mkdir -p "$BATS_TEST_TMPDIR/app/opt"
	echo app >"$BATS_TEST_TMPDIR/app/opt/app"
	works mlimg-mkfs --quiet --kind software --name app --version 2 --over old.img,web.img --partial "$BATS_TEST_TMPDIR/app" "$BATS_TEST_TMPDIR/app.img"
	mlimg-store --store "$S" add "$BATS_TEST_TMPDIR/app.img" new.img >/dev/null
	works vm create alice --system debian:12.1 --software nginx:1.0 --software app --size 64M
	run --separate-stderr plan --system debian:12.2 --json
	system=$S/layers/$(image_id new.img).img
	same "commands" "mlimg-mkfs --kind software --name nginx --version 1.0 --over $system SOURCE nginx-1.0.img
mlimg-store --store $S add nginx-1.0.img
mlimg-mkfs --kind software --name app --version 2 --over $system,nginx-1.0.img SOURCE app-2.img
mlimg-store --store $S add app-2.img" "$(of alice '.way_out[]')"
}

@test "upgrade: plan: damaged disks are told by name, and the others are planned for" {
	local disk i name
	mlimg-store --store "$S" add new.img >/dev/null
	for name in garbage gone good other ext4; do works vm create $name --system debian:12.1 --size 64M; done
	head -c 200000 /dev/zero >"$(tenant_disk garbage)"
	rm "$(tenant_disk gone)"
	cp "$(tenant_disk good)" "$(tenant_disk other)"
	qemu-io -f qcow2 -c 'write -P 7 1k 1k' "$(tenant_disk ext4)" >/dev/null
	run --separate-stderr plan --system debian:12.2 --json
	# shellcheck disable=SC2154 # run sets it
	same "status and stderr" "1 " "$status $stderr"
	same "outcomes" "failed failed failed failed first" "$(for i in ext4 garbage gone other good; do of $i .outcome; done | xargs)"
	same "ext4" "ext4: is no ext4 file system, or its superblock is destroyed" "$(of ext4 .why)"
	disk=$(tenant_disk garbage)
	same "garbage" "$disk: qemu-nbd: Failed to blk_new_open 'driver=qcow2,force-share=on,file.driver=file,file.filename=$disk': Image is not in qcow2 format" "$(of garbage .why)"
	same "gone" "open image '$(tenant_disk gone)': No such file or directory" "$(of gone .why)"
	same "other" "other: its disk holds another layer than the store says" "$(of other .why)"
}

@test "upgrade: plan: a new system that is damaged is refused" {
	local image
	works vm create alice --system debian:12.1 --size 64M
	mlimg-store --store "$S" add new.img >/dev/null
	image=$S/layers/$(image_id new.img).img
	chmod u+w "$image"
	printf x | dd of="$image" bs=1 seek=1080 conv=notrunc status=none
	fails 3 "mlimg-upgrade: $image: is no ext4 file system, or its superblock is destroyed" plan --system debian:12.2
}

@test "upgrade: plan: a new system whose protected paths a boot would refuse" {
	mkdir -p "$BATS_TEST_TMPDIR/bad/etc/mlimg/protected.d"
	printf '# one\nrelative\n' >"$BATS_TEST_TMPDIR/bad/etc/mlimg/protected.d/x.conf"
	mlimg-mkfs --quiet --kind system --name debian --version 13 "$BATS_TEST_TMPDIR/bad" "$BATS_TEST_TMPDIR/bad.img"
	mlimg-store --store "$S" add "$BATS_TEST_TMPDIR/bad.img" >/dev/null
	works vm create alice --system debian:12.1 --size 64M
	fails 3 "mlimg-upgrade: /etc/mlimg/protected.d of the layers: x.conf, line 2: no absolute path of at most 255 plain characters" plan --system debian:13
}

@test "upgrade: plan: of a guest that runs, the newest checkpoint of its disk, or nothing" {
	local disk writer
	works vm create alice --system debian:12.1 --size 64M
	disk=$(tenant_disk alice)
	qemu-img snapshot -c mlimg-before "$disk"
	qemu-nbd -f qcow2 -t -k "$BATS_TEST_TMPDIR/socket" "$disk" &
	writer=$!
	for _ in $(seq 600); do
		qemu-img info "$disk" >/dev/null 2>&1 || break
		sleep 0.05
	done
	run --separate-stderr plan --system debian:12.1 --json
	same "why" "1 alice: its guest runs: ask with --checkpoint, or stop it" "$status $(of alice .why)"
	sqlite3 "$S/store.db" "INSERT INTO checkpoint (tenant_id, tag, state, kind, origin, generation, memory_bytes, cpus, machine, saved_bytes, created_s)
		SELECT id, 'before', 'saved', 'disk', 'named', 1, 0, 0, '', 0, 1 FROM tenant"
	run --separate-stderr plan --system debian:12.1 --json
	same "stderr" "0 " "$status $stderr"
	same "as of" "first before 1" "$(of alice '.outcome, .checkpoint, .checkpoint_s' | xargs)"
	works plan --system debian:12.1
	[[ $output == *"    it runs: as of its checkpoint 'before' of 1970-01-01 00:00:01
"* ]]
	# By then on another generation, of which the checkpoint knows nothing.
	works mlimg-store --store "$S" add new.img
	works vm set alice --system debian:12.2
	sqlite3 "$S/store.db" "UPDATE tenant SET current = 2, pending = NULL"
	run --separate-stderr plan --system debian:12.2 --json
	kill "$writer"
	same "why, of another generation" "1 alice: its guest runs: ask with --checkpoint, or stop it" "$status $(of alice .why)"
}

# plan_held: plan with $@, stopped when it has looked at alice's disk and is about to read it; sets planner and options, those by which it will open the disk.
# It goes on when there is a file named go.
plan_held() {
	local real reader
	real=$(command -v qemu-nbd)
	mkdir -p "$BATS_TEST_TMPDIR/held"
	printf '#!/bin/sh\nuntil [ -e "%s/go" ]; do sleep 0.05; done\nexec "%s" "$@"\n' "$BATS_TEST_TMPDIR" "$real" >"$BATS_TEST_TMPDIR/held/qemu-nbd"
	chmod +x "$BATS_TEST_TMPDIR/held/qemu-nbd"
	PATH=$BATS_TEST_TMPDIR/held:$PATH mlimg-upgrade plan --store "$S" --json "$@" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
	planner=$!
	until [[ $options == driver=qcow2,* ]]; do
		kill -0 "$planner"
		reader=$(pgrep -P "$planner" || true)
		[ -z "$reader" ] || options=$(tr '\0' '\n' <"/proc/$reader/cmdline" | tail -n 1) || true
	done
}

# plan_goes_on WHY: it fails, since alice has by that.
plan_goes_on() {
	local status=0
	touch "$BATS_TEST_TMPDIR/go"
	wait "$planner" || status=$?
	same "exit code and why" "1 $1" "$status $(jq -r '.tenants[] | select(.name == "alice").why' "$BATS_TEST_TMPDIR/said")"
}

@test "upgrade: plan: is in nobody's way, and what is written meanwhile is not taken for what was there" {
	local planner options='' holder
	works vm create alice --system debian:12.1 --size 64M
	plan_held --system debian:12.1
	# As it opens the disk, it does not keep anybody from writing to it.
	qemu-nbd --read-only -t -k "$BATS_TEST_TMPDIR/socket" --image-opts "$options" 3>&- &
	holder=$!
	until [ -S "$BATS_TEST_TMPDIR/socket" ]; do
		kill -0 "$holder"
		sleep 0.05
	done
	works vm resize alice 96M
	kill "$holder"
	plan_goes_on "alice: its disk was written to while it was read: ask again"
	works plan --system debian:12.1
}

@test "upgrade: plan: of a checkpoint that is deleted while it is read" {
	local planner options='' writer disk
	works vm create alice --system debian:12.1 --size 64M
	disk=$(tenant_disk alice)
	works vm checkpoint alice one
	qemu-nbd -f qcow2 -t -k "$BATS_TEST_TMPDIR/socket" "$disk" 3>&- &
	writer=$!
	until [ -S "$BATS_TEST_TMPDIR/socket" ]; do
		kill -0 "$writer"
		sleep 0.05
	done
	plan_held --system debian:12.1
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'deleting'"
	plan_goes_on "alice: its checkpoint 'one' was deleted while it was read: ask again"
	sqlite3 "$S/store.db" "UPDATE checkpoint SET state = 'saved'"
	works plan --system debian:12.1
	kill "$writer"
}

@test "upgrade: plan: of a disk that is on another host, which does not answer" {
	works vm create alice --system debian:12.1 --size 64M
	works mlimg-vm host add east "qemu+unix:///system?socket=$BATS_TEST_TMPDIR/nobody" --store "$S"
	sqlite3 "$S/store.db" "UPDATE tenant SET host = 'east'"
	rm "$(tenant_disk alice)"
	run --separate-stderr plan --system debian:12.1 --json
	same "status and stderr" "1 " "$status $stderr"
	same "why" "alice: its disk is on host 'east': host 'qemu+unix:///system?socket=$BATS_TEST_TMPDIR/nobody': Failed to connect socket to '$BATS_TEST_TMPDIR/nobody': No such file or directory" "$(of alice .why)"
}

# balanced FILE: each tag that is opened is closed.
balanced() {
	local tag
	for tag in html head body style script table thead tbody tr td th details summary p div b code pre span h1 a title; do
		same "$tag" "$(grep -oE "<${tag}[ >]" "$1" | wc -l)" "$(grep -oF "</$tag>" "$1" | wc -l)" || return
	done
}

@test "upgrade: plan: a page for a browser, that asks for nothing" {
	local page=$BATS_TEST_TMPDIR/page.html hash
	mlimg-store --store "$S" add new.img >/dev/null
	works vm create alice --system debian:12.1 --software nginx:1.0 --size 64M
	works vm create bob --system debian:12.1 --size 64M
	echo old >"$page"
	fails 1 "" plan --system debian:12.2 --html "$page"
	balanced "$page"
	same "what is elsewhere" "" "$(grep -oE '(src|href)="?[^#"]|url\(|@import|https?:' "$page" || :)"
	# The browser runs this script and no other.
	hash=$(sed -n '/^<script>/,/<\/script>/p' "$page" | sed 's/^<script>//' | perl -0pe 's/<\/script>\n$//' | openssl dgst -sha256 -binary | base64)
	grep -qF "script-src 'sha256-$hash'" "$page"
	same "tenants" "alice refused bob first" \
		"$(grep -oE '<tr><td><a href="#t[01]">[a-z]+</a></td><td class="[a-z]+">' "$page" | sed 's/.*">\([a-z]*\)<.*class="\([a-z]*\)".*/\1 \2/' | xargs)"
	grep -qF "software layer &#39;nginx 1.0&#39; was not built for &#39;debian 12.2&#39;" "$page"
	grep -qF "<pre>mlimg-mkfs --kind software --name nginx --version 1.0 --over $S/layers/" "$page"
	fails 1 "mlimg-upgrade: write '$BATS_TEST_TMPDIR/none/x.html': No such file or directory" plan --system debian:12.2 --html "$BATS_TEST_TMPDIR/none/x.html"
}
