#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What systemd units of a guest do, without a systemd.

load ../lib/common

# remount SHELL: the drop-in's command, with what is in /run and /etc in the test's directory
remount() {
	local line=
	line=$(sed -n "s|^ExecStartPre=-/bin/sh -c '\(.*\)'\$|\1|p" "$MLIMG_TOP/initramfs/systemd/systemd-remount-fs.service.d/50-mlimg.conf")
	line=${line//\$\$/\$}
	line=${line//%%/%}
	line=${line//\\\\/\\}
	line=${line//\/run\//$BATS_TEST_TMPDIR\/}
	# shellcheck disable=SC2086 # a shell and its applet
	works $1 -c "${line//\/etc\/fstab/$BATS_TEST_TMPDIR\/fstab}"
}

@test "units: a fstab without its root's line, where mlimg has booted" {
	local shell
	cd "$BATS_TEST_TMPDIR"
	printf '# x\nUUID=1 / ext4 defaults 0 1\nUUID=2 /srv ext4 ro 0 2\n/swap none swap sw' >fstab
	for shell in dash 'busybox ash'; do
		rm -f mlimg-fstab*
		remount "$shell"
		[ ! -e mlimg-fstab ] && [ ! -e mlimg-fstab.env ]
		: >mlimg-boot.json
		remount "$shell"
		same "fstab" '# x 
UUID=2 /srv ext4 ro 0 2
/swap none swap sw' "$(cat mlimg-fstab)"
		same "environment" "SYSTEMD_FSTAB=$BATS_TEST_TMPDIR/mlimg-fstab" "$(cat mlimg-fstab.env)"
		rm mlimg-boot.json
	done
	grep -qx 'EnvironmentFile=-/run/mlimg-fstab.env' "$MLIMG_TOP/initramfs/systemd/systemd-remount-fs.service.d/50-mlimg.conf"
}

@test "units: host keys that are missing or empty are made, and synced" {
	local unit=$MLIMG_TOP/guest-agent/mlimg-host-keys.service key ssh=$BATS_TEST_TMPDIR/etc/ssh
	need command ssh-keygen
	mkdir -p "$ssh"
	same "command" "/usr/bin/ssh-keygen -A" "$(sed -n 's/^ExecStart=//p' "$unit")"
	works ssh-keygen -A -f "$BATS_TEST_TMPDIR"
	for key in rsa ecdsa ed25519; do
		[ -s "$ssh/ssh_host_${key}_key" ]
		grep -qx "ConditionFileNotEmpty=|!/etc/ssh/ssh_host_${key}_key" "$unit"
		sed -n '/^ExecStartPost=-sync /,$p' "$unit" | grep -q "/etc/ssh/ssh_host_${key}_key "
	done
	# As a power cut leaves them.
	: >"$ssh/ssh_host_rsa_key"
	rm "$ssh/ssh_host_ecdsa_key"
	cp "$ssh/ssh_host_ed25519_key" "$BATS_TEST_TMPDIR/kept"
	works ssh-keygen -A -f "$BATS_TEST_TMPDIR"
	[ -s "$ssh/ssh_host_rsa_key" ] && [ -s "$ssh/ssh_host_ecdsa_key" ]
	cmp "$BATS_TEST_TMPDIR/kept" "$ssh/ssh_host_ed25519_key"
}
