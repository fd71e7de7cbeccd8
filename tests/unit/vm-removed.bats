#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Tenants that were destroyed: the way back, and the end.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	tenant_store old.img web.img web3.img tools.img
}

# written NAME WORD: on its disk, which nobody else opens.
written() {
	qemu-io -f qcow2 -c "write -q -P $2 8M 64k" "$(tenant_disk "$1")"
}

# has NAME WORD
has() {
	qemu-io -f qcow2 -c "read -q -P $2 8M 64k" "$(tenant_disk "$1")" | grep -c "verification failed" || true
}

@test "tenants: one that was destroyed comes back, with its disk, its machine and its layers" {
	local id other
	need command qemu-io
	vm create alice --system debian --software nginx:1.0 --size 64M --memory 512M --cpus 2 --forward 8080:80 --append 'a  "b"' --accel tcg >/dev/null
	id=$(tenant alice id)
	written alice 7
	vm destroy --yes alice >/dev/null
	same "what it was" "alice $(tenant_settings)" "$(jq -r '.name, (.options[] | select(.[0] | test("system|software") | not) | join("=")) ' "$S/removed/$id/tenant.json" | xargs)"
	fails 1 "mlimg-vm: no tenant 'bob' has been destroyed" vm create bob --from-removed bob
	usage "--size and --from-removed exclude each other" create --store "$S" bob --from-removed alice --size 1G
	usage "--system is missing" create --store "$S" bob --from-removed alice --software tools
	# Of two of a name the one destroyed last; the other by its id.
	vm create alice --system debian --size 96M >/dev/null
	other=$(tenant alice id)
	vm destroy --yes alice >/dev/null
	jq '.destroyed += 60' "$S/removed/$other/tenant.json" >record && cat record >"$S/removed/$other/tenant.json"
	works vm create bob --from-removed alice
	same "said" "created bob: debian 12.1, disk of 96.0 MiB" "$output"
	works vm create alice --from-removed "$id" --cpus 3
	same "said" "created alice: debian 12.1 + nginx 1.0, disk of 64.0 MiB" "$output"
	same "its data" 0 "$(has alice 7)"
	same "its machine" "536870912|3|tcg|127.0.0.1:8080:80|a  \"b\"" "$(tenant alice 'memory_bytes, cpus, accel, forwards, append')"
	same "what is left" "" "$(ls -A "$S/removed")"
	works mlimg-store --store "$S" verify
}

tenant_settings() {
	echo memory=536870912 cpus=2 accel=tcg union=auto disks=separate verity=off net=user forward=127.0.0.1:8080:80 append=a b boot-timeout=300 autostart=no
}

@test "tenants: one that was destroyed comes back once; over its base; not without its layers" {
	local id
	vm create alice --system debian --software tools --size 64M >/dev/null
	vm clone alice bob --linked >/dev/null
	id=$(tenant bob id)
	vm destroy --yes bob >/dev/null
	# As a command that was killed after the new tenant counted.
	cp -al "$S/removed/$id" "$BATS_TEST_TMPDIR/was"
	fails 1 "mlimg-vm: '$S/removed/$id/user.qcow2' has been brought back already, as a tenant that has this disk" vm create bob --from-removed bob
	rm -r "$BATS_TEST_TMPDIR/was"
	flock "$S/removed/$id/lock" bash -c "mlimg-vm create --store '$S' bob --from-removed bob 2>'$BATS_TEST_TMPDIR/err' || true"
	same "while another is at it" "mlimg-vm: '$S/removed/$id' is in use" "$(<"$BATS_TEST_TMPDIR/err")"
	fails 1 "mlimg-vm: '$S/removed/$id/user.qcow2' lies over a base, which stays on this machine: bring it back here, then move a copy of it ('mlimg-vm clone')" \
		vm create bob --from-removed bob --connect test:///default
	same "hosts" 0 "$(vm host list --json | jq length)"
	works vm create bob --from-removed bob
	works mlimg-store --store "$S" gc
	qemu-img check -q -f qcow2 "$(tenant_disk bob)"
	same "users of the base" 2 "$(sqlite3 "$S/store.db" "SELECT count(*) FROM base_use")"
	vm destroy --yes bob >/dev/null
	vm destroy --yes alice >/dev/null
	mlimg-store --store "$S" remove tools >/dev/null
	run vm create bob --from-removed bob
	same "exit code" 1 "$status"
	[[ $output == *"$(image_id tools.img)"* ]]
	works vm create bob --from-removed bob --system debian
}

@test "tenants: checkpoints do not come back, and none that is taken later is mistaken for a former one" {
	local id
	need command qemu-io
	vm create alice --system debian --size 64M >/dev/null
	written alice 1
	vm checkpoint alice one >/dev/null
	vm checkpoint alice two >/dev/null
	written alice 2
	id=$(tenant alice id)
	vm destroy --yes alice >/dev/null
	# Of two of one name QEMU sees the first; what others have made is theirs.
	qemu-img snapshot -q -c mlimg-one "$S/removed/$id/user.qcow2"
	qemu-img snapshot -q -c mine "$S/removed/$id/user.qcow2"
	works vm create alice --from-removed alice
	same "said" "created alice: debian 12.1, disk of 64.0 MiB
removed 3 checkpoints from its disk: checkpoints do not come back" "$output"
	same "snapshots" mine "$(snapshots alice)"
	works vm checkpoint alice one
	written alice 3
	works vm restore alice one --discard
	same "as of" "0 1" "$(has alice 2) $(has alice 3)"
	works vm delete alice one
	fails 1 "mlimg-vm: the disk of tenant 'alice' has snapshots that are no checkpoints, and that a base cannot keep: remove them ('qemu-img snapshot -d' on '$(tenant_disk alice)'), or clone without --linked" \
		vm clone alice bob --linked
	qemu-img snapshot -d mine "$(tenant_disk alice)"
	works vm clone alice bob --linked
}

# snapshots NAME: in its disk.
snapshots() {
	qemu-img info -f qcow2 --output=json "$(tenant_disk "$1")" | jq -r '.snapshots // [] | .[].name' | xargs
}

@test "tenants: a checkpoint takes the place of a snapshot of its name that nobody knows" {
	need command qemu-io
	vm create alice --system debian --size 64M >/dev/null
	written alice 1
	qemu-img snapshot -c mlimg-one "$(tenant_disk alice)"
	qemu-img snapshot -c mlimg-one "$(tenant_disk alice)"
	written alice 2
	works vm checkpoint alice one
	same "snapshots" mlimg-one "$(snapshots alice)"
	written alice 3
	works vm restore alice one --discard
	same "as of" "0 1" "$(has alice 2) $(has alice 3)"
}

@test "tenants: what was destroyed goes for good when it is told to" {
	local id
	vm create alice --system debian --size 64M >/dev/null
	vm create bob --system debian --size 64M >/dev/null
	id=$(tenant alice id)
	vm destroy --yes alice >/dev/null
	vm destroy --yes bob >/dev/null
	jq '.destroyed -= 864001' "$S/removed/$id/tenant.json" >record && cat record >"$S/removed/$id/tenant.json"
	works mlimg-store --store "$S" gc
	same "there" 2 "$(find "$S/removed" -mindepth 1 -maxdepth 1 | wc -l)"
	works mlimg-store --store "$S" gc --removed 10 --dry-run
	[[ $output == *"would remove removed/$id, tenant alice, "* ]]
	works mlimg-store --store "$S" gc --removed 10
	[[ $output == *"removed removed/$id, tenant alice, "* ]]
	same "there" 1 "$(find "$S/removed" -mindepth 1 -maxdepth 1 | wc -l)"
	works mlimg-store --store "$S" gc --removed 0
	same "there" 0 "$(find "$S/removed" -mindepth 1 -maxdepth 1 | wc -l)"
	fails 1 "mlimg-vm: no tenant 'bob' has been destroyed" vm create bob --from-removed bob
	fails 2 "mlimg-store: --removed: 'x' is not a number from 0 to 36500
Try 'mlimg-store --help' for more information." mlimg-store --store "$S" gc --removed x
}

@test "tenants: gc --dry-run tells all that gc removes, what is beneath it included" {
	local id name would
	need command qemu-io
	vm create alice --system debian --size 64M >/dev/null
	written alice 1
	vm clone alice bob --linked >/dev/null
	written bob 2
	vm clone bob carol --linked >/dev/null
	vm create dora --system debian --size 64M >/dev/null
	id=$(tenant dora id)
	# As it would have run on two others before.
	sqlite3 "$S/store.db" "UPDATE tenant SET current = 3, pending = NULL WHERE id = '$id';
		INSERT INTO generation SELECT tenant_id, 2, system_id, added_s FROM generation WHERE tenant_id = '$id';
		INSERT INTO generation SELECT tenant_id, 3, system_id, added_s FROM generation WHERE tenant_id = '$id' AND number = 1"
	for name in alice bob carol; do vm destroy --yes $name >/dev/null; done
	same "bases" 2 "$(find "$S/bases" -name base.qcow2 | wc -l)"
	touch "$S/layers/$(printf '%064d' 0).img"
	works mlimg-store --store "$S" gc --all --removed 0 --former 0 --dry-run -v
	would=$output
	same "generations" "would remove 2 generations
would remove generation 1 of tenant 'dora'
would remove generation 2 of tenant 'dora'" "$(grep generation <<<"$output")"
	same "removed tenants, bases, orphans, and a sum" "3 2 1 1" "$(for what in ' removed/' ' bases/' ' layers/' ' in all$'; do grep -c "$what" <<<"$output"; done | xargs)"
	works mlimg-store --store "$S" gc --all --removed 0 --former 0 --dry-run --json
	same "as JSON" "former:$id:1 former:$id:2" "$(jq -r '.findings[] | select(.found == "former") | "\(.found):\(.tenant_id):\(.n)"' <<<"$output" | xargs)"
	same "as many" "$(grep -vc ' in all$' <<<"$would")" "$(jq '.findings | length' <<<"$output")"
	works mlimg-store --store "$S" gc --all --removed 0 --former 0 -v
	same "what went" "$(sed 's/^would remove/removed/; s/^would free/freed/' <<<"$would")" "$output"
	works mlimg-store --store "$S" gc --all --removed 0 --former 0 -v
	same "then" "nothing to remove" "$output"
}

# held: the layers, bases and removed tenants that are there as files, in number.
held() {
	find "$S/layers" "$S/bases" "$S/removed" -mindepth 1 -maxdepth 1 ! -name '*.json' | wc -l
}

@test "tenants: gc on a disk that becomes full tells of nothing that stays" {
	local calls at before gone told n_told=0 n_less=0
	vm create alice --system debian --size 64M >/dev/null
	vm clone alice bob --linked >/dev/null
	vm destroy --yes alice >/dev/null
	vm destroy --yes bob >/dev/null
	cp -a "$S" "$S.start"
	before=$(held)
	calls=$(full-at - mlimg-store --store "$S" gc --all --removed 0 3>&1 >/dev/null)
	for ((at = 0; at < calls; at += calls / 16 + 1)); do
		rm -rf "$S"
		cp -a "$S.start" "$S"
		full-at "$at" mlimg-store --store "$S" gc --all --removed 0 3>/dev/null >said 2>/dev/null || true
		gone=$((before - $(held)))
		told=$(grep -cE '^removed (system|software|bases|removed)[ /]' said || true)
		# The last one may be gone where it could not be written down.
		[ "$told" -le "$gone" ] || same "told of, on a disk that is full from call $at of $calls on" "$gone" "$told"
		n_told=$((n_told + (told > 0)))
		n_less=$((n_less + (gone < before)))
	done
	echo "$calls calls: something was told of $n_told times, something stayed $n_less times"
	[ "$n_told" -gt 0 ]
	[ "$n_less" -gt 0 ]
}

# gone PLACE: the message that PLACE is full, and nothing says what of.
gone() {
	echo "'$S': its database is gone, and '$1' has what it knew: put back a copy of 'store.db', or take what is there into a new store (mlimg-store(8), DIAGNOSTICS)"
}

@test "tenants: a store that has lost its database is no new one; its disks and layers come into another" {
	local alice bob old new
	need command qemu-io qemu-nbd
	vm create alice --system debian --software nginx:1.0 --size 64M >/dev/null
	written alice 7
	vm clone alice bob --linked >/dev/null
	alice=$(tenant alice id)
	bob=$(tenant bob id)
	rm "$S"/store.db*
	find "$S" ! -path "$S/lock" | sort >was
	fails 3 "mlimg-store: $(gone layers)" mlimg-store --store "$S" add new.img
	fails 3 "mlimg-store: $(gone layers)" mlimg-store --store "$S" gc
	fails 3 "mlimg-vm: $(gone layers)" vm list
	: >"$S/store.db"
	fails 3 "mlimg-store: $(gone layers)" mlimg-store --store "$S" add new.img
	rm "$S/store.db"
	same "what is there" "" "$(find "$S" ! -path "$S/lock" | sort | diff was - || true)"
	old=$S
	new=$BATS_TEST_TMPDIR/new
	# In the order of their build ids: what lies over what comes later is warned of.
	mlimg-store --store "$new" add "$old"/layers/*.img >/dev/null 2>&1
	mv "$old"/layers/* "$BATS_TEST_TMPDIR"
	fails 3 "mlimg-store: $(gone tenants)" mlimg-store --store "$S" gc
	mv "$old"/bases/* "$new/bases"
	mv "$old"/tenants/* "$new/removed"
	mlimg-store --store "$S" add new.img >/dev/null
	S=$new
	fails 1 "mlimg-vm: '$S/removed/$alice' does not tell on which layers it ran; its disk was made for 'alice': say --system, and its software" \
		vm create alice --from-removed "$alice"
	works vm create alice --from-removed "$alice" --system debian --software nginx:1.0
	works vm create bob --from-removed "$bob" --system debian --software nginx:1.0
	same "their data" "0 0" "$(has alice 7) $(has bob 7)"
	works mlimg-store --store "$S" gc
	same "their data" "0 0" "$(has alice 7) $(has bob 7)"
	same "user layer" "$(tenant bob user_id)" "$(tenant alice user_id)"
}

@test "tenants: a record that says nothing, or a disk without a user layer, brings nobody back" {
	local id
	need command qemu-nbd
	vm create alice --system debian --size 64M >/dev/null
	id=$(tenant alice id)
	vm destroy --yes alice >/dev/null
	echo '{' >"$S/removed/$id/tenant.json"
	fails 1 "mlimg-vm: '$S/removed/$id/tenant.json' does not tell what it was" vm create alice --from-removed "$id" --system debian
	rm "$S/removed/$id/tenant.json"
	qemu-img create -q -f qcow2 "$S/removed/$id/user.qcow2" 64M
	fails 3 "mlimg-vm: $S/removed/$id/user.qcow2: is no ext4 file system, or its superblock is destroyed" vm create alice --from-removed "$id" --system debian
}
