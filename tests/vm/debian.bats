#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # debian_begin sets images, user, vms
# Real Debian with systemd and Debian's own initramfs.
# lasts 180

load ../lib/common

setup_file() {
	load ../lib/debian
	load ../lib/packaged
	load ../lib/probe
	debian_make v1
	need command ssh-keygen
	probe_ssh "$BATS_FILE_TMPDIR" "$(debian-tree v1)"
	probe_make "$BATS_FILE_TMPDIR" "$(debian-tree v1)"
	layers_more "$BATS_FILE_TMPDIR" 28
	packaged_make "$BATS_FILE_TMPDIR" "$(debian-tree v1)" nginx 991
	packaged_make "$BATS_FILE_TMPDIR" "$(debian-tree v1)" jq 992
}

setup() {
	load ../lib/debian
	load ../lib/packaged
	load ../lib/probe
	debian_begin
}

teardown() {
	vm_kill
}

# sane CHANGE IMAGE…: what must be so after every boot.
sane() {
	debian_runs && status_fits t "$@" &&
		same "root" "overlay rw" "$(vm_do t "awk '\$2 == \"/\" { print \$3, substr(\$4, 1, 2) }' /proc/mounts")"
}

@test "debian: four software layers, two of them of packages, through overlay" {
	export vm_union=overlay
	vm_start t --system "$images/system.img" --software "$images/a.img" --software "$images/probe.img" \
		--software "$images/nginx.img" --software "$images/jq.img" --user "$user"
	vm_up t
	sane first "$images"/{system,a,probe,nginx,jq}.img
	packaged_fits t
	same "merged tree" "$(layers_a)" "$(layers_show t)"
	# What udev and systemd do not know of layers' disks takes no mount away from them.
	vm_do t 'systemctl daemon-reload; udevadm trigger --settle; systemctl daemon-reload'
	same "layers" "/run/mlimg/layers/0 /run/mlimg/layers/1 /run/mlimg/layers/2 /run/mlimg/layers/3 /run/mlimg/layers/4" \
		"$(vm_do t 'findmnt -nlo TARGET | grep ^/run/mlimg/layers/ | sort | paste -sd " "')"
	same "links to file systems" mlimg-user "$(vm_do t 'ls /dev/disk/by-label')"
	same "disks that systemd knows" 1 "$(vm_do t 'systemctl list-units --type device --plain --no-legend | grep -c "block-vd[a-z].device"')"
	# The agent's own view of everything is read-only, /proc and cgroups included: root needs no capabilities to write there.
	same "what the agent could write" "" "$(vm_do t 'agent=$(systemctl show -P MainPID mlimg-agent)
	nsenter -t "$agent" -m true || echo "no view"
	for file in /proc/sys/kernel/core_pattern /sys/fs/cgroup/cgroup.procs /etc/hostname /tmp/x /run/x; do
		nsenter -t "$agent" -m sh -c ": >>$file" 2>/dev/null && echo "$file"
	done; :')"
	probe t
	vm_stop t
	vm_clean "$user"
}

# with_more LIST: a list of layers.bash, and the files of 28 layers more.
with_more() {
	local i
	{
		"$1"
		for i in {1..28}; do echo "/srv/merged/more-$i:$i"; done
		echo /srv/last:28
	} | LC_ALL=C sort -t : -k 1,1
}

# The machine id, and a digest of the host keys but the one that a boot makes anew.
identity() {
	vm_do t 'cat /etc/machine-id; cd /etc/ssh && cut -d " " -f 1,2 ssh_host_ed25519_key.pub ssh_host_rsa_key.pub | sha256sum'
}

# keys_half_made IMAGE: a host key of the user layer as a power cut soon after the unit has begun leaves it.
keys_half_made() {
	local dir=$BATS_TEST_TMPDIR/user
	mkdir "$dir"
	mount -o loop "$1" "$dir"
	rm "$dir/upper/etc/ssh/.mlimg-host-keys"
	: >"$dir/upper/etc/ssh/ssh_host_ecdsa_key"
	umount "$dir"
}

# The key that was left empty is made anew, with its other half, and from now on none is.
keys_made_anew() {
	vm_do t 'cd /etc/ssh && test -s ssh_host_ecdsa_key && test -e .mlimg-host-keys' &&
		same "the public half" "$(vm_do t 'ssh-keygen -y -f /etc/ssh/ssh_host_ecdsa_key | cut -d " " -f 1,2')" \
			"$(vm_do t 'cut -d " " -f 1,2 /etc/ssh/ssh_host_ecdsa_key.pub')"
}

# On a disk that was blank: what the user layer has got of its own.
has_identity() {
	same "user layer" "true 0 $(stat -c %s "$user")" "$(boot '.user | "\(.formatted) \(.fsck.status) \(.grown.to_bytes)"')"
	[[ "$(identity)" =~ ^[0-9a-f]{32}$'\n'[0-9a-f]{64} ]]
	same "host keys" "ecdsa ed25519 rsa" "$(vm_do t 'ls /etc/ssh' | sed -n 's/^ssh_host_\(.*\)_key$/\1/p' | xargs)"
	same "where they are" "/run/mlimg/user/upper/etc/machine-id" "$(vm_do t 'ls /run/mlimg/user/upper/etc/machine-id')"
	same "who is not root may read" "normal" "$(vm_do t 'su -s /bin/sh nobody -c "cat /run/mlimg-boot.json"' | jq -r .mode)"
	same "and no more" 1 "$(vm_do t 'su -s /bin/sh nobody -c "ls /run/mlimg" 2>&1 | grep -c "Permission denied"')"
}

@test "debian: 35 software layers through an index, shuffled disks, a blank user disk; what is written survives a reboot, before which all is unmounted" {
	local layers=("$images"/{a,b,c,probe}.img "$images"/{nginx,jq,ssh}.img "$images"/more{1..28}.img) image before
	local arguments=(--format-user tenant:00112233445566778899aabbccddeeff)
	rm "$user"
	truncate -s 1000M "$user"
	for image in "${layers[@]}"; do arguments+=(--software "$image"); done
	# QEMU ends where the guest reboots, so that one can look at the disk in between.
	vm_start t --system "$images/system.img" "${arguments[@]}" --user "$user" --shuffle 7 -- -no-reboot
	vm_up t
	sane first "$images/system.img" "${layers[@]}"
	packaged_fits t
	same "merged tree" "$(with_more layers_abc)" "$(layers_show t)"
	fails 1 "" vm_do t 'test -e /usr/share/common-licenses/GPL-3'
	has_identity
	before=$(identity)
	probe t
	# A root in fstab, as a system made for a disk of its own has it: systemd remounts what is there with these options.
	vm_do t 'echo mine >/srv/last; echo mine >/srv/override; rm /srv/merged/b
		echo UUID=01234567-89ab-cdef-0123-456789abcdef / ext4 errors=remount-ro 0 1 >>/etc/fstab; reboot'
	vm_end t || same "exit code" 1 $?
	same "how it ended" "t: QEMU was ended from outside (guest-reset)" "$(tail -n 1 "$vms/t.err")"
	vm_clean "$user"
	keys_half_made "$user"
	vm_start t --system "$images/system.img" "${arguments[@]}" --user "$user" --shuffle 8
	vm_up t
	sane none "$images/system.img" "${layers[@]}"
	probe t again
	same "identity" "$before" "$(identity)"
	keys_made_anew
	same "user layer" "false 0 null" "$(boot '.user | "\(.formatted) \(.fsck.status) \(.grown)"')"
	same "systemd-remount-fs" "success active" "$(vm_do t 'systemctl show -P ActiveState -P Result systemd-remount-fs.service | xargs')"
	same "own changes" "$(sed -e '/merged.b/d' -e 's/override:c/override:mine/' -e 's/last:28/last:mine/' < <(with_more layers_abc))" \
		"$(layers_show t)"
	vm_stop t
	vm_clean "$user"
}
