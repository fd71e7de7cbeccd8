# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Guests that are a whole Debian: what their files of tests share.

export vms=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}
load "$MLIMG_TOP/tests/lib/vm"
load "$MLIMG_TOP/tests/lib/layers"

# debian_quiet DIR [TREE]: in DIR what a Debian guest of these tests is the same without, to be laid over the system TREE: an initramfs and a kernel that must be
# unpacked (without TREE they are left as they are); a look at each of some 300 devices of which no test knows; units that mount, load and write down what nobody asks for. Of 30 s of the
# processor that a guest takes they are 9. The demo's guests (index), agent-debian.bats' (overlay), unionfs-debian.bats' and flavours.bats' boot as Debian does.
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

# debian_make [TREE [whole]]: in setup_file: the images of layers_make, and system.img of what debian-tree calls TREE, quiet unless it is to be whole.
debian_make() {
	local tree trees
	[ $# -eq 0 ] || {
		tree=$(debian-tree "$1")
		trees=("$tree")
		[ $# -eq 2 ] || {
			debian_quiet "$BATS_FILE_TMPDIR/quiet" "$tree"
			trees+=("$BATS_FILE_TMPDIR/quiet")
		}
		mlimg-mkfs --quiet --kind system --name debian --version 12 "${trees[@]}" "$BATS_FILE_TMPDIR/system.img"
	}
	layers_make "$BATS_FILE_TMPDIR" usr/share/common-licenses/GPL-3
}

# debian_begin: before each test. Sets $images, and $user, an empty user layer.
debian_begin() {
	# shellcheck disable=SC2034 # the caller's
	images=$BATS_FILE_TMPDIR user=$BATS_TEST_TMPDIR/user.img
	mlimg-mkfs --quiet --kind user --name tenant --size 1G "$user"
}

# debian_runs: systemd in guest "t" says that all is well. The guest is up before its last units are.
debian_runs() {
	same "system state" running "$(vm_do t 'systemctl is-system-running --wait')" || {
		vm_do t 'systemctl --failed' >&2
		return 1
	}
}
