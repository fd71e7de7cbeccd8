#!/usr/bin/env bats
# What `make install` puts where, and that every program comes with its manual page and completion.

load ../lib/common

# installed TARGET: what it installs, one line each: mode and path.
installed() {
	make -s -C "$MLIMG_TOP" "$1" DESTDIR="$BATS_TEST_TMPDIR/root" >"$BATS_TEST_TMPDIR/log" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/log" >&2
		return 1
	}
	(cd "$BATS_TEST_TMPDIR/root" && find . -type f -printf '%m %P\n' | LC_ALL=C sort)
}

@test "install: guest part" {
	same "files" "644 usr/lib/mlimg/mlimg-decisions
644 usr/lib/mlimg/mlimg-disks
644 usr/lib/mlimg/mlimg-functions
644 usr/lib/mlimg/mlimg-unions
644 usr/lib/mlimg/mlimg-user
644 usr/lib/mlimg/mlimg-verity
644 usr/lib/systemd/system/fstrim.service.d/50-mlimg.conf
644 usr/lib/systemd/system/mlimg-agent.service
644 usr/lib/systemd/system/mlimg-agent.socket
644 usr/lib/systemd/system/mlimg-default-target.service
644 usr/lib/systemd/system/mlimg-health.service
644 usr/lib/systemd/system/mlimg-host-keys.service
644 usr/lib/systemd/system/mlimg-profile.service
644 usr/lib/systemd/system/mlimg-rebuild-rest.service
644 usr/lib/systemd/system/mlimg-rebuild.service
644 usr/lib/systemd/system/run-mlimg-.mount.d/50-mlimg.conf
644 usr/lib/systemd/system/systemd-remount-fs.service.d/50-mlimg.conf
644 usr/lib/udev/rules.d/59-mlimg-layers.rules
644 usr/lib/udev/rules.d/60-mlimg-agent.rules
644 usr/share/bash-completion/completions/mlimg
644 usr/share/bash-completion/completions/mlimg-agent
644 usr/share/man/man1/mlimg.1
644 usr/share/man/man7/mlimg-boot.7
644 usr/share/man/man8/mlimg-agent.8
755 usr/bin/mlimg
755 usr/lib/dracut/modules.d/90mlimg/mlimg-mount.sh
755 usr/lib/dracut/modules.d/90mlimg/mlimg-root.sh
755 usr/lib/dracut/modules.d/90mlimg/module-setup.sh
755 usr/lib/dracut/modules.d/90mlimg/run-init.sh
755 usr/sbin/mlimg-agent
755 usr/share/initramfs-tools/hooks/mlimg
755 usr/share/initramfs-tools/scripts/init-top/mlimg
755 usr/share/initramfs-tools/scripts/mlimg" "$(installed install-guest)"
	same "symbolic links" "multi-user.target.wants/mlimg-profile.service multi-user.target.wants/mlimg-rebuild-rest.service sockets.target.wants/mlimg-agent.socket ssh.service.wants/mlimg-host-keys.service ssh.socket.wants/mlimg-host-keys.service sshd.service.wants/mlimg-host-keys.service sysinit.target.wants/mlimg-rebuild.service" \
		"$(cd "$BATS_TEST_TMPDIR/root/usr/lib/systemd/system" && find . -type l -printf '%P\n' | LC_ALL=C sort | xargs)"
}

@test "install: every program has a manual page, a completion and --help" {
	local program name
	installed install >/dev/null
	for program in "$BATS_TEST_TMPDIR"/root/usr/*bin/*; do
		name=${program##*/}
		[ -e "$BATS_TEST_TMPDIR/root/usr/share/man/man8/$name.8" ] || [ -e "$BATS_TEST_TMPDIR/root/usr/share/man/man1/$name.1" ] || echo "$name: no manual page"
		[ -e "$BATS_TEST_TMPDIR/root/usr/share/bash-completion/completions/$name" ] || echo "$name: no completion"
		"$program" --help >"$BATS_TEST_TMPDIR/help" 2>"$BATS_TEST_TMPDIR/err" || echo "$name: --help ends with $?"
		[ ! -s "$BATS_TEST_TMPDIR/err" ] || echo "$name: --help says something on stderr"
		awk -v name="$name" 'length > 80 { print name ": --help is wider than 80 columns: " $0 }' "$BATS_TEST_TMPDIR/help"
		[ -s "$BATS_TEST_TMPDIR/help" ] || echo "$name: --help is empty"
	done >"$BATS_TEST_TMPDIR/missing"
	same "what programs lack" "" "$(cat "$BATS_TEST_TMPDIR/missing")"
}

@test "install: a host gets the user of QEMU's, and the unit that stops tenants" {
	make -s -C "$MLIMG_TOP" install-host DESTDIR="$BATS_TEST_TMPDIR/host" PREFIX=/usr >/dev/null
	grep -qx 'u mlimg-qemu - "QEMU of mlimg" /nonexistent' "$BATS_TEST_TMPDIR/host/usr/lib/sysusers.d/mlimg.conf"
	grep -qx 'ExecStart=-mlimg-vm start --autostart' "$BATS_TEST_TMPDIR/host/usr/lib/systemd/system/mlimg-tenants.service"
	grep -qx 'ExecStop=mlimg-vm stop --all' "$BATS_TEST_TMPDIR/host/usr/lib/systemd/system/mlimg-tenants.service"
}

@test "install: without the libraries' headers make names the way out" {
	run make -s -C "$MLIMG_TOP" B="$BATS_TEST_TMPDIR/build" HEADERS='stdio.h no-such-header.h' "$BATS_TEST_TMPDIR/build/libmlimg/err.o"
	[ "$status" -eq 2 ]
	same "message" "cc does not find <no-such-header.h>: run 'make deps' as root first" "${lines[0]}"
}
