#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # scripts for other shells
# The adapters: what initramfs-tools' script, dracut's hooks and the stand-alone init make of a boot that fails, is tried again, or wants a
# reboot. The boot itself is a fake here: mlimg_boot fails as often as $T/fails says.

load ../lib/common
load ../lib/boot

why='the line that says why'

machine() {
	echo 0 >"$T/fails"
	echo "root=/dev/x mlimg.system=1" >"$T/proc/cmdline"
}

# A failing boot, as often as $T/fails says; then it works. What adapters call beside it goes into the log.
fakes='
export MLIMG_CONSOLE="$T/console" MLIMG_ETC="$T/etc"
fake_boot() {
	mlimg_boot() {
		local n
		echo "boot $*" >>"$T/log"
		read -r n <"$T/fails"
		MLIMG_INIT=$wanted_init MLIMG_REBOOT=
		[ "$n" -gt 0 ] || return 0
		echo $((n - 1)) >"$T/fails"
		MLIMG_REBOOT=$wants_reboot
		mlimg_fail "the line that says why"
	}
	mlimg_undo() { echo "undo $*" >>"$T/log"; }
}
reboot() {
	echo "reboot $*" >>"$T/log"
	exit 9
}
sleep() { echo "sleep $*" >>"$T/log"; }
modprobe() { echo "modprobe $*" >>"$T/log"; }
udevadm() { echo "udevadm $*" >>"$T/log"; }
systemctl() { echo "systemctl $*" >>"$T/log"; }
wants_reboot= wanted_init=
'

log() {
	sed "s|$T|T|g" "$T/log"
}

# adapts STATUS STDOUT LOG SCRIPT: in every shell.
adapts() {
	in_all() {
		local shell
		for shell in "${boot_shells[@]}"; do
			boot_shells=("$shell")
			in_both "$1" "$2" "" "$fakes$4" && same "log in $shell" "$3" "$(log)" || return
		done
	}
	local shells=("${boot_shells[@]}")
	in_all "$@"
	boot_shells=("${shells[@]}")
}

# --- initramfs-tools ---

# Its panic reboots or starts a shell; from this one somebody returns.
debian='. "$MLIMG_LIB/mlimg-functions"; fake_boot
panic() { echo "panic $*" >>"$T/log"; [ -z "$panic" ] || exit 8; }
wait_for_udev() { echo "wait $*" >>"$T/log"; }
rootmnt=/root init=/sbin/init panic=
eval "$(sed -n "/^mountroot() {/,/^}/p" "$MLIMG_LIB/../initramfs-tools/boot" | sed -e "s|/proc/cmdline|$T/proc/cmdline|" -e "s|/run/mlimg-failure|$T/failure|")"
'

@test "initramfs-tools: the boot's init is the one that a parameter names" {
	adapts 0 "/sbin/init /bin/other" "wait 10
boot root=/dev/x mlimg.system=1 /root /sbin/init
wait 10
boot root=/dev/x mlimg.system=1 /root /sbin/init" "$debian mountroot; printf '%s ' \"\$init\"; wanted_init=/bin/other; mountroot; echo \"\$init\""
}

@test "initramfs-tools: a failure is told on the console and to the host; a shell that is left tries again" {
	adapts 0 "mlimg: $why
mlimg: $why" "wait 10
boot root=/dev/x mlimg.system=1 /root /sbin/init
agent stage failed $why
panic mlimg: $why
boot root=/dev/x mlimg.system=1 /root /sbin/init
agent stage failed $why
panic mlimg: $why
boot root=/dev/x mlimg.system=1 /root /sbin/init" "$debian echo 2 >\"\$T/fails\"; mountroot"
}

@test "initramfs-tools: with panic= nothing is left mounted; where e2fsck asks for a reboot nobody is asked" {
	adapts 8 "mlimg: $why" "wait 10
boot root=/dev/x mlimg.system=1 /root /sbin/init
agent stage failed $why
undo /root
panic mlimg: $why" "$debian echo 9 >\"\$T/fails\"; panic=5; mountroot"
	adapts 9 "mlimg: $why" "wait 10
boot root=/dev/x mlimg.system=1 /root /sbin/init
agent stage failed $why
undo /root
reboot -f" "$debian echo 9 >\"\$T/fails\"; wants_reboot=y; mountroot"
}

# --- dracut ---

dracut='
getarg() {
	local word found=1
	for word in $arguments; do
		case $word in
			"$1"*) found=0; value=${word#"$1"} ;;
		esac
	done
	[ "$found" = 0 ] && echo "$value"
	return "$found"
}
ismounted() { [ -e "$T/mounted" ]; }
emergency_shell() { echo "shell $*" >>"$T/log"; }
arguments="boot=mlimg" NEWROOT=/sysroot DRACUT_SYSTEMD=
cp "$MLIMG_LIB"/mlimg-* "$T/"
echo fake_boot >>"$T/mlimg-functions"
hook() { ( export MLIMG_LIB="$T"; . "$HOOKS/$1" ); }
HOOKS=$MLIMG_LIB/../dracut/90mlimg
'

@test "dracut: boot=mlimg needs no root=, and loads modules; anything else is left alone" {
	adapts 0 "mlimg 1" "modprobe -qa virtio_pci virtio_blk virtio_console ext4 overlay" \
		"$dracut . \"\$HOOKS/mlimg-root.sh\"; echo \"\$root \$rootok\""
	adapts 0 "" "modprobe -qa virtio_pci virtio_blk virtio_console ext4 overlay erofs" \
		"$dracut arguments='boot=mlimg mlimg.union=index' hook mlimg-root.sh"
	adapts 0 "" "modprobe -qa virtio_pci virtio_blk virtio_console ext4 overlay fuse" \
		"$dracut arguments='boot=mlimg mlimg.union=unionfs' hook mlimg-root.sh"
	adapts 0 "" "modprobe -qa virtio_pci virtio_blk virtio_console ext4 overlay erofs dm-verity dm-zero" \
		"$dracut arguments='boot=mlimg mlimg.union=index mlimg.verity=x' hook mlimg-root.sh"
	adapts 0 "x" "-" "$dracut echo - >\"\$T/log\"; root=x rootok= arguments=boot=live; . \"\$HOOKS/mlimg-root.sh\"; . \"\$HOOKS/mlimg-mount.sh\"; echo \"\$root\$rootok\""
}

@test "dracut: the boot, and an init that a parameter names" {
	adapts 0 "" "udevadm settle --timeout=10
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init" "$dracut hook mlimg-mount.sh"
	adapts 0 "real_init=/bin/other" "udevadm settle --timeout=10
boot root=/dev/x mlimg.system=1 /sysroot /bin/this" \
		"$dracut arguments='boot=mlimg init=/bin/this' wanted_init=/bin/other; hook mlimg-mount.sh; cat \"\$T/etc/cmdline.d/99-mlimg.conf\""
	adapts 0 '[Service]
Environment="MLIMG_INIT=/bin/other"
ExecStart=
ExecStart=systemctl --no-block switch-root /sysroot ${MLIMG_INIT}' "udevadm settle --timeout=10
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init
systemctl daemon-reload" "$dracut DRACUT_SYSTEMD=1 wanted_init=/bin/other; hook mlimg-mount.sh; cat \"\$T/run/systemd/system/initrd-switch-root.service.d/mlimg.conf\""
	adapts 0 "" "-" "$dracut echo - >\"\$T/log\"; : >\"\$T/mounted\"; hook mlimg-mount.sh"
}

@test "dracut: the rule of udev that hides layers' disks is in the initramfs, as in initramfs-tools'" {
	adapts 0 "" "rules 59-mlimg-layers.rules" 'for f in inst_hook inst_simple inst_script inst_multiple; do eval "$f() { :; }"; done
		inst_rules() { echo "rules $*" >>"$T/log"; }
		mkdir -p "$T/usr/lib/mlimg"; cp "$MLIMG_LIB/mlimg-unions" "$T/usr/lib/mlimg/"; dracutsysrootdir=$T moddir=x
		. "$MLIMG_LIB/../dracut/90mlimg/module-setup.sh"; install'
}

@test "dracut: a failure is told on the console and to the host; a shell that is left tries again" {
	adapts 0 "mlimg: $why" "udevadm settle --timeout=10
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init
agent stage failed $why
shell mlimg: $why
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init
agent stage failed $why
shell mlimg: $why
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init" "$dracut echo 2 >\"\$T/fails\"; arguments='boot=mlimg panic=0'; hook mlimg-mount.sh; cat \"\$T/console\""
}

@test "dracut: panic= reboots, at once or later, with nothing left mounted; e2fsck's wish does too" {
	local failed="udevadm settle --timeout=10
boot root=/dev/x mlimg.system=1 /sysroot /sbin/init
agent stage failed $why
undo /sysroot
reboot -f -f"
	adapts 9 "" "$failed" "$dracut echo 9 >\"\$T/fails\"; arguments='boot=mlimg panic=-1'; hook mlimg-mount.sh"
	adapts 9 "" "${failed/undo/sleep 6$'\n'undo}" "$dracut echo 9 >\"\$T/fails\"; arguments='boot=mlimg panic=-1 panic=6'; hook mlimg-mount.sh"
	adapts 9 "" "$failed" "$dracut echo 9 >\"\$T/fails\"; wants_reboot=y; hook mlimg-mount.sh"
}

@test "dracut: run-init follows links below the root" {
	local root=$BATS_TEST_TMPDIR/root run=$MLIMG_TOP/initramfs/dracut/90mlimg/run-init.sh shell
	mkdir -p "$root/lib" "$root/sbin" "$root/dir"
	printf '#!/bin/sh\n' >"$root/lib/mlimg-test-init"
	cp "$root/lib/mlimg-test-init" "$root/lib/plain"
	chmod 0755 "$root/lib/mlimg-test-init"
	ln -s /lib/mlimg-test-init "$root/sbin/absolute"
	ln -s ../lib/mlimg-test-init "$root/sbin/relative"
	ln -s relative "$root/sbin/twice"
	ln -s loop "$root/sbin/loop"
	ln -s /bin/sh "$root/sbin/outside"
	for shell in "${boot_shells[@]}"; do
		for init in lib/mlimg-test-init sbin/absolute sbin/relative sbin/twice; do
			# shellcheck disable=SC2086 # words
			works $shell "$run" -n "$root" "/$init"
		done
		for init in lib/plain dir nothing sbin/loop sbin/outside; do
			# shellcheck disable=SC2086 # words
			fails 1 "" $shell "$run" -n "$root" "/$init"
		done
	done
}

# --- stand-alone ---

init='. "$MLIMG_LIB/mlimg-functions"; fake_boot
setsid() { echo "shell" >>"$T/log"; }
console=y panic= MLIMG_FAILURE=$T/failure
for name in parse_own leave stop; do
	eval "$(sed -n "/^$name() {/,/^}/p" "$MLIMG_LIB/../init")"
done
boot() {
	until mlimg_boot "$1" /newroot "$init"; do stop; done
}
'

@test "stand-alone: init= and panic=: the last one counts, and what follows -- is init's" {
	adapts 0 "/sbin/init,
/bin/b,-1
/bin/a,5" "" "$init : >\"\$T/log\"
		for line in 'quiet *' 'init=/bin/a panic=5 init=/bin/b panic=-1 init=c' 'init=/bin/a panic=5 -- init=/bin/b panic=7'; do
			parse_own \"\$line\"; echo \"\$init,\$panic\"
		done"
}

@test "stand-alone: a failure is told on the console and to the host; a shell that is left tries again" {
	local panic
	for panic in '' 0 x 5-; do
		adapts 0 "mlimg: $why
mlimg: here is a shell; leave it with 'exit' to try again" "boot x /newroot /sbin/init
agent stage failed $why
shell
sleep 1
boot x /newroot /sbin/init" "$init echo 1 >\"\$T/fails\"; init=/sbin/init panic='$panic'; boot x"
	done
}

@test "stand-alone: panic= reboots, at once or later, with nothing left mounted; e2fsck's wish does too" {
	local failed="boot x /newroot /sbin/init
agent stage failed $why
undo /newroot
reboot -f"
	adapts 9 "mlimg: $why
mlimg: reboot in 6 s" "${failed/undo/sleep 6$'\n'undo}" "$init echo 9 >\"\$T/fails\"; init=/sbin/init panic=6; boot x"
	adapts 9 "mlimg: $why
mlimg: reboot in 0 s" "${failed/undo/sleep 0$'\n'undo}" "$init echo 9 >\"\$T/fails\"; init=/sbin/init panic=-1; boot x"
	adapts 9 "mlimg: $why
mlimg: reboot in 0 s" "${failed/undo/sleep 0$'\n'undo}" "$init echo 9 >\"\$T/fails\"; init=/sbin/init wants_reboot=y; boot x"
}
