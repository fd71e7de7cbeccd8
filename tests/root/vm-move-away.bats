#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets stderr
# The disk of a tenant on another host comes home whole or not at all, whatever is done there meanwhile by libvirt's own means.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	need root
	need command virsh libvirtd unshare nsenter qemu-system-x86_64
	tenant_store old.img
	hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
	chmod 0711 "$hosts"
	load ../lib/libvirt
	libvirt_host east
	uri=$(libvirt_uri east)
	mkdir "$hosts/pool"
	# As its first start there does.
	virsh -q -c "$uri" pool-define-as mlimg dir --target "$hosts/pool" >/dev/null
	works mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S"
	vm create carol --system debian --size 64M --host east >/dev/null
	id=$(tenant carol id)
	mv "$(tenant_disk carol)" "$BATS_TEST_TMPDIR/disk"
	cp -a "$S" "$S.start"
}

teardown() {
	libvirt_end
	rm -rf "$hosts"
}

# restore: the store, and carol's disk on east.
restore() {
	rm -rf "$S" "$hosts/pool/$id.qcow2"
	cp -a "$S.start" "$S"
	cp --sparse=always "$BATS_TEST_TMPDIR/disk" "$hosts/pool/$id.qcow2"
}

# stays: the disk where it was, and nothing here.
stays() {
	cmp "$BATS_TEST_TMPDIR/disk" "$hosts/pool/$id.qcow2"
	same "files here" "" "$(cd "$S/tenants/$id" && find . -name 'user*')"
	same "still a tenant there" east "$(tenant carol host)"
}

@test "vm move: what somebody does to a disk on another host while it is read is told, and it stays there" {
	local n at told=() status
	restore
	n=$(stop-at - mlimg-vm move carol --store "$S" 3>&1 >/dev/null)
	for ((at = 0; at < n; at += n / 8 + 1)); do
		restore
		status=0
		meanwhile "$at" "touch -c '$hosts/pool/$id.qcow2'" mlimg-vm move carol --store "$S" 3>/dev/null >/dev/null 2>err || status=$?
		[ "$status" != 0 ] || continue
		same "said" "1 mlimg-vm: tenant 'carol' on host 'east': somebody wrote to its disk while it was read: see that it is off, then try again" \
			"$status $(<err)"
		stays
		told+=("$at")
	done
	[ "${#told[@]}" -gt 0 ]

	restore
	printf "<domain type='qemu'><name>carol</name><uuid>%s</uuid><memory>65536</memory><os><type arch='x86_64'>hvm</type></os></domain>" \
		"$(sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/' <<<"$id")" >"$BATS_TEST_TMPDIR/domain.xml"
	status=0
	meanwhile "${told[${#told[@]} / 2]}" "virsh -q -c '$uri' create '$BATS_TEST_TMPDIR/domain.xml' --paused >/dev/null" \
		mlimg-vm destroy carol --yes --store "$S" 3>/dev/null >/dev/null 2>err || status=$?
	virsh -q -c "$uri" destroy carol
	same "said" "1 mlimg-vm: tenant 'carol' on host 'east': somebody has started it while its disk was read: see that it is off, then try again" \
		"$status $(<err)"
	stays
	works vm move carol
	same "its disk" "" "$(cmp "$BATS_TEST_TMPDIR/disk" "$(tenant_disk carol)")"
	same "there" "" "$(ls "$hosts/pool")"
}
