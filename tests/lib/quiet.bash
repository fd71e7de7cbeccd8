# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Debian guests of tests, and of benchmarks in small size, without what nobody looks for there.

# debian_quiet DIR [TREE]: in DIR what a Debian guest of these tests is the same without, to be laid over the system TREE: an initramfs and a kernel that must be
# unpacked (without TREE they are left as they are); a look at each of some 300 devices of which no test knows; units that mount, load and write down what nobody asks for. Of 30 s of the
# processor that a guest takes they are 9. The demo's guests (index), agent-debian.bats' (overlay) and unionfs-debian.bats' boot as Debian does, and one of flavours.bats'.
debian_quiet() {
	local units=$1/etc/systemd/system unit file
	mkdir -p "$units/systemd-udev-trigger.service.d" "$1/boot"
	for unit in modprobe@.service getty@.service serial-getty@.service kmod-static-nodes.service proc-sys-fs-binfmt_misc.automount \
		dev-{hugepages,mqueue}.mount sys-kernel-{config,debug,tracing}.mount systemd-update-utmp{,-runlevel}.service \
		systemd-{binfmt,pcrphase,pcrphase-sysinit,pstore,random-seed,repart}.service systemd-ask-password-{console,wall}.path \
		systemd-tmpfiles-clean.timer; do
		ln -s /dev/null "$units/$unit"
	done
	printf '%s\n' '[Service]' 'ExecStart=' \
		'ExecStart=udevadm trigger --action=add --subsystem-match=block --subsystem-match=mem --subsystem-match=net --subsystem-match=rtc --subsystem-match=virtio-ports' \
		>"$units/systemd-udev-trigger.service.d/50-tests.conf"
	[ $# -eq 1 ] || for file in "$2"/boot/{vmlinuz,initrd.img}-*; do
		unpacked "$file" >"$1/boot/${file##*/}"
	done
}
