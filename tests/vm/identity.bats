#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A real Debian on a blank disk: what each user layer gets of its own, and what Debian's initramfs does with the disk.

load ../lib/common

setup_file() {
	local images=$BATS_FILE_TMPDIR tree library
	need command ssh-keygen
	load ../lib/debian
	tree=$(debian-tree v1)
	mlimg-mkfs --quiet --kind system --name debian --version 12 "$tree" "$images/system.img"
	# An ssh server as far as host keys need one: its unit, and ssh-keygen.
	mkdir -p "$images/ssh"/{etc/ssh,etc/systemd/system/multi-user.target.wants,usr/bin,usr/lib/systemd/system}
	cp "$(command -v ssh-keygen)" "$images/ssh/usr/bin/"
	ldd "$(command -v ssh-keygen)" | grep -o '/[^ ]*' | while read -r library; do
		[ ! -e "$tree/$library" ] || continue
		mkdir -p "$images/ssh/usr/lib/${library%/*}"
		cp -L "$library" "$images/ssh/usr/lib/${library#/lib/}"
	done
	printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/ls /etc/ssh/ssh_host_ed25519_key\n' \
		>"$images/ssh/usr/lib/systemd/system/ssh.service"
	ln -s /usr/lib/systemd/system/ssh.service "$images/ssh/etc/systemd/system/multi-user.target.wants/"
	mlimg-mkfs --quiet --kind software --name ssh --version 1 "$images/ssh" "$images/ssh.img"
}

setup() {
	load ../lib/debian
	images=$BATS_FILE_TMPDIR
}

teardown() {
	vm_kill
}

# The machine id, and a digest of the host keys.
identity() {
	vm_do t 'cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub | cut -d " " -f 1,2 | sha256sum'
}

@test "identity: machine id and host keys are the user layer's own, on a disk that was blank" {
	local user=$BATS_TEST_TMPDIR/user.img before
	truncate -s 400M "$user"
	vm_start t --system "$images/system.img" --software "$images/ssh.img" --user "$user" --format-user tenant
	vm_up t
	debian_runs
	same "user layer" "true 0 419430400" "$(boot '.user | "\(.formatted) \(.fsck.status) \(.grown.to_bytes)"')"
	before=$(identity)
	[[ "$before" =~ ^[0-9a-f]{32}$'\n'[0-9a-f]{64} ]]
	same "host keys" "ecdsa ed25519 rsa" "$(vm_do t 'ls /etc/ssh' | sed -n 's/^ssh_host_\(.*\)_key$/\1/p' | xargs)"
	same "where they are" "/run/mlimg/user/upper/etc/machine-id" "$(vm_do t 'ls /run/mlimg/user/upper/etc/machine-id')"
	same "who is not root may read" "normal" "$(vm_do t 'su -s /bin/sh nobody -c "cat /run/mlimg-boot.json"' | jq -r .mode)"
	same "and no more" 1 "$(vm_do t 'su -s /bin/sh nobody -c "ls /run/mlimg" 2>&1 | grep -c "Permission denied"')"
	vm_do t 'echo $(cat /proc/sys/kernel/random/boot_id) >/root/boot; reboot'
	vm_rebooted t 'test "$(cat /root/boot)" != "$(cat /proc/sys/kernel/random/boot_id)"'
	same "after a reboot" "$before" "$(identity)"
	same "user layer" "false 0 null" "$(boot '.user | "\(.formatted) \(.fsck.status) \(.grown)"')"
	vm_stop t
	vm_clean "$user"
}
