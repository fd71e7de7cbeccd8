#!/usr/bin/env bats
# The script that loads modules before udev does: which ones, in one call, and only for boot=mlimg.

load ../lib/common

setup() {
	mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/proc"
	printf '#!/bin/sh\necho "$*" >>"%s/log"\nexit 1\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/modprobe"
	chmod 0755 "$BATS_TEST_TMPDIR/bin/modprobe"
}

# loads BOOT CMDLINE LOG: modprobe is called so; that it fails is no failure.
loads() {
	echo "$2" >"$BATS_TEST_TMPDIR/proc/cmdline"
	rm -f "$BATS_TEST_TMPDIR/log"
	# busybox would run its own modprobe.
	works env PATH="$BATS_TEST_TMPDIR/bin:$PATH" BOOT="$1" MLIMG_PROC="$BATS_TEST_TMPDIR/proc" \
		dash "$MLIMG_TOP/initramfs/initramfs-tools/modules"
	same "what modprobe is called with" "$3" "$(cat "$BATS_TEST_TMPDIR/log" 2>/dev/null)"
}

@test "modules: those of each union driver" {
	local all='-qa virtio_pci virtio_blk virtio_console ext4 overlay'
	loads mlimg "boot=mlimg mlimg.union=index mlimg.index=0" "$all erofs"
	loads mlimg "mlimg.union=unionfs boot=mlimg" "$all fuse"
	loads mlimg "boot=mlimg mlimg.union=overlay" "$all"
	loads mlimg "boot=mlimg" "$all"
	loads mlimg "boot=mlimg mlimg.verity=0 mlimg.union=index" "$all erofs dm-verity dm-zero"
}

@test "modules: none for another boot script" {
	loads local "root=/dev/vda mlimg.union=index" ""
}

@test "modules: the script comes before udev's in the order of initramfs-tools" {
	same "prerequisites" "" "$(sh "$MLIMG_TOP/initramfs/initramfs-tools/modules" prereqs)"
	make -s -C "$MLIMG_TOP" install-guest DESTDIR="$BATS_TEST_TMPDIR/root" >/dev/null 2>&1
	cd "$BATS_TEST_TMPDIR/root/usr/share/initramfs-tools/scripts/init-top"
	: >udev
	same "order" "mlimg udev" "$(echo *)"
}
