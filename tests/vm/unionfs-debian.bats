#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # debian_begin sets images, user
# Real Debian with systemd on a root that unionfs-fuse makes, with Debian's own initramfs.
# lasts 130

load ../lib/common

setup_file() {
	load ../lib/debian
	load ../lib/probe
	debian_make unionfs whole
	probe_make "$BATS_FILE_TMPDIR" "$(debian-tree unionfs)"
}

setup() {
	load ../lib/debian
	load ../lib/probe
	debian_begin
}

teardown() {
	vm_kill
}

start() {
	vm_start t --system "$images/system.img" --software "$images/a.img" --software "$images/b.img" --software "$images/c.img" \
		--software "$images/probe.img" --user "$user" "$@"
	vm_up t
	debian_runs
}

@test "debian: systemd on unionfs-fuse: up, down and clean; then converted, and the same on the index" {
	local wanted
	export vm_union=unionfs
	# QEMU ends where the guest reboots, so that one can look at the disk in between.
	start -- -no-reboot
	status_fits t first "$images"/{system,a,b,c,probe}.img
	same "merged tree" "$(layers_abc)" "$(layers_show t)"
	same "a system file that a layer deletes" no "$(vm_do t 'test -e /usr/share/common-licenses/GPL-3 && echo yes || echo no')"
	same "root" "mlimg fuse.unionfs rw" "$(vm_do t "awk '\$2 == \"/\" { print \$1, \$3, substr(\$4, 1, 2) }' /proc/mounts")"
	same "its file system" "$(vm_do t 'df --output=size /run/mlimg/user | tail -n 1')" "$(vm_do t 'df --output=size / | tail -n 1')"
	probe_root=fuse.unionfs probe t remount trim sizes mounts packages npm
	vm_do t 'set -e
		echo mine >/srv/mine; rm /srv/override; rm -r /srv/merged; mkdir /srv/merged; echo new >/srv/merged/new
		apt-get --version >/dev/null; dpkg -l systemd >/dev/null
		sed -i s/^root:x:/root:x:/ /etc/passwd; systemctl mask fstrim.service >/dev/null 2>&1'
	wanted="/srv/again:c
/srv/file-a:a
/srv/file-b:b
/srv/file-c:c
/srv/merged/new:new
/srv/mine:mine
/srv/opaque/above:b"
	same "own changes" "$wanted" "$(layers_show t)"
	# Its end may come before the answer.
	vm_do t 'systemctl reboot' || same "exit code" 125 $?
	vm_end t || same "exit code" 1 $?
	same "how it ended" "t: QEMU was ended from outside (guest-reset)" "$(tail -n 1 "$vms/t.err")"
	vm_clean "$user"
	start
	status_fits t none "$images"/{system,a,b,c,probe}.img
	same "own changes" "$wanted" "$(layers_show t)"
	vm_stop t
	vm_clean "$user"
	vm_union=index start --convert
	vm_union=index status_fits t none "$images"/{system,a,b,c,probe}.img
	same "own changes" "$wanted" "$(layers_show t)"
	same "names of unionfs-fuse" "" "$(vm_do t 'ls -A / /run/mlimg/user/upper | grep unionfs || true')"
	vm_stop t
	vm_clean "$user"
}
