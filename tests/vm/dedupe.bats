#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small_begin sets images, system, user, vms; start uses system
# Guests on layers whose files share blocks, and lie in the order of a profile: to the kernel's ext4 they are read-only file systems like
# any other, and an index points several files at the same blocks.

load ../lib/common

setup_file() {
	load ../lib/small
	small_make "$BATS_FILE_TMPDIR"
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p tree/usr/share/twins soft/srv/twins
	head -c 300000 /dev/urandom | tee tree/usr/share/twins/{a,b} soft/srv/twins/c >/dev/null
	head -c 700000 /dev/urandom | tee soft/srv/twins/{d,e} >/dev/null
	head -c 5000 /dev/urandom >tree/usr/share/twins/last
	printf '%s\n' usr/share/twins/last bin/busybox >profile
	mlimg-mkfs --quiet --kind system --name small --version 3 --dedupe --profile profile tree 3.img
	mlimg-mkfs --quiet --kind software --name soft --version 1 --dedupe soft soft.img
}

setup() {
	load ../lib/small
	small_begin
	system=$images/3.img
}

teardown() {
	vm_kill
}

# shares IMAGE FILE FILE: it is what it is thought to be
shares() {
	local blocks
	blocks=$(debugfs -R "blocks /rootfs/$2" "$1" 2>/dev/null)
	[ -n "${blocks// /}" ] && same "blocks of $2 and $3" "$blocks" "$(debugfs -R "blocks /rootfs/$3" "$1" 2>/dev/null)"
}

reads_twins() {
	shares "$images/3.img" usr/share/twins/a usr/share/twins/b
	shares "$images/soft.img" srv/twins/d srv/twins/e
	start --software "$images/soft.img"
	vm_up t
	status_fits t first "$images"/{3,soft}.img
	same "contents" "$(cd "$images" && sha256sum tree/usr/share/twins/* soft/srv/twins/* | sed 's:  [^/]*:  :')" \
		"$(vm_do t 'sha256sum /usr/share/twins/* /srv/twins/*')"
	# A change to one of them is none to the other, which a copy in the user layer shares no blocks with.
	vm_do t 'echo more >>/usr/share/twins/a && echo more >>/srv/twins/d && sync && echo 3 >/proc/sys/vm/drop_caches'
	same "the others" "$(cd "$images" && sha256sum tree/usr/share/twins/b soft/srv/twins/e | sed 's:  [^/]*:  :')" \
		"$(vm_do t 'sha256sum /usr/share/twins/b /srv/twins/e')"
	same "sizes" $'300005\n700005' "$(vm_do t 'stat -c %s /usr/share/twins/a /srv/twins/d')"
	vm_stop t
	vm_clean "$user"
}

@test "shared blocks, with overlayfs" {
	vm_union=overlay reads_twins
}

@test "shared blocks, with an index" {
	vm_union=index reads_twins
}
