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
		sed -n '/^ExecStartPost=-sync /,$p' "$unit" | grep -q "/etc/ssh/ssh_host_${key}_key "
	done
	# Every boot until all are made and synced; then only where none is left.
	same "conditions" "ConditionPathExists=|!/etc/ssh/.mlimg-host-keys ConditionPathExistsGlob=|!/etc/ssh/ssh_host_*_key" \
		"$(grep '^Condition.*=|' "$unit" | xargs)"
	same "last command" "ExecStartPost=/usr/bin/touch /etc/ssh/.mlimg-host-keys" "$(grep '^Exec' "$unit" | tail -n 1)"
	# As a power cut leaves them.
	: >"$ssh/ssh_host_rsa_key"
	rm "$ssh/ssh_host_ecdsa_key"
	cp "$ssh/ssh_host_ed25519_key" "$BATS_TEST_TMPDIR/kept"
	works ssh-keygen -A -f "$BATS_TEST_TMPDIR"
	[ -s "$ssh/ssh_host_rsa_key" ] && [ -s "$ssh/ssh_host_ecdsa_key" ]
	cmp "$BATS_TEST_TMPDIR/kept" "$ssh/ssh_host_ed25519_key"
}

@test "units: host keys come before the server's socket, and systemd finds no cycle" {
	local dir=$BATS_TEST_TMPDIR/units
	need command systemd-analyze
	mkdir -p "$dir/ssh.socket.wants" "$dir/sockets.target.wants"
	cp "$MLIMG_TOP/guest-agent/mlimg-host-keys.service" "$dir"
	printf '[Socket]\nListenStream=22\nAccept=yes\n' >"$dir/ssh.socket"
	printf '[Service]\nExecStart=/bin/true\n' >"$dir/ssh@.service"
	ln -s ../mlimg-host-keys.service "$dir/ssh.socket.wants/"
	ln -s ../ssh.socket "$dir/sockets.target.wants/"
	SYSTEMD_UNIT_PATH=$dir: run systemd-analyze verify --man=no basic.target ssh.socket mlimg-host-keys.service
	same "what systemd says of it" "" "$(grep -e cycle -e 'not found' -e mlimg-host-keys <<<"$output" || :)"
}
