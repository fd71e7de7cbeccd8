#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small_begin sets images, system, user, vms; start uses system
# Guests whose root unionfs-fuse makes, with a small root; tests/vm/debian.bats has one with systemd.

load ../lib/common

setup_file() {
	load ../lib/small
	small_make "$BATS_FILE_TMPDIR" --unionfs "$(command -v unionfs)"
}

setup() {
	load ../lib/small
	small_begin
	export vm_union=unionfs
}

teardown() {
	vm_kill
}

@test "unionfs: whiteouts and opaque directories of layers; writes, removals and renames survive a reboot and a new system" {
	start --software "$images/a.img" --software "$images/b.img" --software "$images/c.img"
	vm_up t
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	same "a system file that a layer deletes" "" "$(vm_do t 'ls -A /usr/share | grep hidden || true')"
	same "root" "mlimg fuse.unionfs rw" "$(vm_do t "awk '\$2 == \"/\" { print \$1, \$3, substr(\$4, 1, 2) }' /proc/mounts")"
	same "names in the root" "" "$(vm_do t 'ls -A / | grep -i union || true')"
	same "the daemon's name" "@unionfs" "$(vm_do t 'for p in /proc/[0-9]*; do tr "\0" "\n" <$p/cmdline | head -n 1; done 2>/dev/null | grep unionfs')"
	status_fits t first "$images"/{system,a,b,c}.img
	# As systemd-shutdown does: it stops all processes, and then reads /proc. Should that wait, the guest is freed after a while.
	same "what reads /proc while unionfs-fuse is stopped" "does not wait" "$(vm_do t 'pid=$(pidof unionfs)
		(sleep 30; echo >/run/late; kill -CONT $pid) & freeing=$!
		sleep 3
		kill -STOP $pid; read -r line </proc/1/stat; kill -CONT $pid
		kill $freeing; test -e /run/late && echo waits || echo does not wait')"
	vm_do t 'set -e
		echo mine >/srv/mine; rm /srv/override; mv /srv/again /srv/merged/renamed; rm -r /srv/opaque; mkdir /srv/opaque; echo mine >>/usr/share/changed
		rm /usr/share/deleted; ln /srv/mine /srv/linked; chmod 0600 /srv/file-a; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	wanted="/srv/file-a:a
/srv/file-b:b
/srv/file-c:c
/srv/linked:mine
/srv/merged/a:a
/srv/merged/b:b
/srv/merged/c:c
/srv/merged/renamed:c
/srv/mine:mine
/srv/version:"
	same "merged tree" "${wanted}1" "$(layers_show t)"
	same "attributes" "600 2" "$(vm_do t 'echo $(stat -c %a /srv/file-a) $(stat -c %h /srv/linked)')"
	status_fits t none "$images"/{system,a,b,c}.img
	vm_stop t
	vm_clean "$user"
	system=$images/system2.img start --software "$images/a.img" --software "$images/b.img" --software "$images/c.img"
	vm_up t
	same "merged tree" "${wanted}2" "$(layers_show t)"
	status_fits t changed "$images"/{system2,a,b,c}.img
	vm_status t >"$vms/status"
	same "report" $'usr/share/changed conflict\nusr/share/deleted whiteout-changed' "$(
		vm_do t "cat '$(jq -r .boot.report.path "$vms/status")'" | jq -r '.entries[] | select(.path | startswith("usr/share")) | "\(.path) \(.verdict)"'
	)"
	vm_stop t
	vm_clean "$user"
}
