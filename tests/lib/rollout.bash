# shellcheck shell=bash disable=SC2154 # works sets output, life_begin sets S
# SPDX-License-Identifier: MIT
# Tenants that are given a new system, with a program in QEMU's place (tests/lib/fake-qemu.c). Load it behind common, vm-fakes, tenants and life.

# rollout_make: in setup_file, behind life_images: a guest does what the file says that is there first of $STEPS/NAME.GENERATION, $STEPS/GENERATION, $FAKE_QEMU; NAME a
# tenant's, GENERATION the system's version.
rollout_make() {
	local id1 id2
	id1=$(image_id s1.img)
	id2=$(image_id s2.img)
	rm bin/qemu-system-x86_64
	cat >bin/qemu-system-x86_64 <<END
#!/bin/bash
# SPDX-License-Identifier: MIT
all=" \$* "
name=nobody version=none
[[ \$all != *$id1* ]] || version=12.1
[[ \$all != *$id2* ]] || version=12.2
for file in "\$STEPS"/ids/*; do
	[[ ! -e \$file || \$all != *"\${file##*/}"* ]] || name=\$(<"\$file")
done
for file in "\$STEPS/\$version" "\$STEPS/\$name.\$version"; do
	[ ! -e "\$file" ] || export FAKE_QEMU=\$file
done
exec "$MLIMG_BUILD/tests/lib/fake-qemu" "\$@"
END
	chmod +x bin/qemu-system-x86_64
}

# rollout_begin TENANT…: in setup, behind life_begin: tenants that are on, on debian 12.1.
rollout_begin() {
	local name
	export STEPS=$BATS_TEST_TMPDIR/guests
	mkdir -p "$STEPS/ids"
	healthy >"$FAKE_QEMU"
	for name; do
		[ -n "$(tenant "$name" id)" ] || vm create "$name" --system debian:12.1 --accel tcg --size 64M >/dev/null
		tenant "$name" name >"$STEPS/ids/$(tenant "$name" id)"
		vm start "$name" >/dev/null 2>&1
	done
}

# healthy [HEALTH [BOOT]]: what a guest does whose agent says HEALTH, and of its boot BOOT; JSON.
healthy() {
	local good='{"is_healthy": true, "checks": [], "default_target_reached": true, "failed_units": []}'
	local boot='{"change": "none", "report": null, "notes": []}' saved='' i
	# All that there may be.
	for i in 1 2 3 4 5; do saved+="${saved:+, }{\"name\": \"mlimg-before-upgrade-$i\", \"vm-state-size\": 0}"; done
	printf 'says %s\n' "mlimg-health {\"return\": ${1:-$good}}" "guest-status {\"return\": {\"boot_id\": \"boot-1\", \"default_target_reached\": true, \"failed_units\": [], \"boot\": ${2:-$boot}}}" \
		'guest-fsfreeze-freeze {"return": 1}' 'guest-fsfreeze-thaw {"return": 1}' 'query-status {"return": {"running": true, "status": "running"}}' \
		'query-jobs {"return": []}' 'query-named-block-nodes {"return": [{"node-name": "user", "image": {"snapshots": ['"$saved"']}}]}'
	echo 'agent {"event": "default-target", "data": {}}'
	echo 'live ab {}'
}

# unhealthy: the same of one whose check 'web' fails.
unhealthy() {
	healthy '{"is_healthy": false, "checks": [{"name": "web", "status": 7, "output": "down"}], "default_target_reached": true, "failed_units": []}'
}

# places: "NAME:PLACE" of all tenants of the newest rollout.
places() {
	mlimg-upgrade status --store "$S" --json | jq -r '.tenants[] | "\(.name):\(if .lost then "lost" else .place end)"' | xargs
}

# generations NAME…: "NAME:CURRENT:PENDING" each.
generations() {
	local name
	for name; do tenant "$name" "name || ':' || current || ':' || ifnull(pending, '')"; done | xargs
}
