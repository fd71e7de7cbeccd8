#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# The whole order of a boot, its mounts and how each step fails, in both shells against a machine of fakes.

load ../lib/common
load ../lib/boot

checked="--user-dev /dev/vda --fsck 0 --fsck-said mlimg-user: clean"
sys=0123456789abcdef0123 sw=aaaaaaaaaaaaaaaaaaaa sw2=bbbbbbbbbbbbbbbbbbbb user=fedcba98765432100000
cmdline="boot=mlimg mlimg.system=$sys mlimg.software=$sw,$sw2 mlimg.user=$user mlimg.wait=5"

# What every boot here finds: a system, two software layers, a user layer; a merged root with an init. Called by `machine`.
three_layers() {
	local n
	{
		disk /dev/vdd layer system 0123456789ab8def8123ffffffffffff $sys ext4
		disk /dev/vdc layer software aaaaaaaaaaaa8aaaaaaaffffffffffff $sw ext4
		disk /dev/vdb layer software bbbbbbbbbbbb8bbbbbbbffffffffffff $sw2 ext4
		disk /dev/vda layer user fedcba9876548210b000ffffffffffff $user ext4
	} >"$T/disks"
	for n in 0 1 2; do mkdir -p "$T/content$T/run/mlimg/layers/$n/rootfs"; done
	mkdir -p "$T/content$T/run/mlimg/user/upper" "$T/content$T/run/mlimg/user/work"
	mkdir -p "$T/root" "$T/content$T/root/sbin"
	: >"$T/content$T/root/sbin/init"
}

machine() {
	three_layers
}

# boots CMDLINE: in both shells. stops MESSAGE: it ends with this line, in both shells.
boots() {
	in_both 0 "" "" "mlimg_boot '$1' \"\$T/root\" /sbin/init"
}

stops() {
	in_both 1 "" "mlimg: $1" "mlimg_boot '${2:-$cmdline}' \"\$T/root\" /sbin/init"
}

log() {
	sed "s|$T|T|g" "$T/log"
}

@test "boot: every step, in order" {
	boots "$cmdline"
	same "what was done" "agent stage initramfs
agent stage disks
agent stage layers
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdd T/run/mlimg/layers/0
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdc T/run/mlimg/layers/1
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdb T/run/mlimg/layers/2
agent stage user
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
agent stage reconcile
agent prepare --root T/run/mlimg --union overlay --system $sys --software $sw --software $sw2 --user $user $checked
agent stage union
mount -t overlay -o lowerdir=T/run/mlimg/layers/2/rootfs:T/run/mlimg/layers/1/rootfs:T/run/mlimg/layers/0/rootfs,upperdir=T/run/mlimg/user/upper,workdir=T/run/mlimg/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root
run-init -n T/root /sbin/init
agent stage switch-root
agent commit --root T/run/mlimg --merged T/root" "$(log)"
	same "mode of /run/mlimg" 700 "$(stat -c %a "$T/run/mlimg")"
}

# The same disks and an index.
index=33333333333333333333
on_index="boot=mlimg mlimg.system=$sys mlimg.software=$sw,$sw2 mlimg.user=$user mlimg.union=index mlimg.index=$index mlimg.wait=5"
with_index() {
	three_layers
	disk /dev/vde layer index 333333333333833383330000000000ff $index EROFS >>"$T/disks"
	mkdir -p "$T/content$T/run/mlimg/index/rootfs"
	printf '\terofs\n' >>"$T/proc/filesystems"
}

@test "boot: every step with an index, in order" {
	machine() {
		with_index
	}
	boots "$on_index"
	same "what was done" "agent stage initramfs
agent stage disks
agent stage layers
agent check-index --index /dev/vde --layer /dev/vdd --layer /dev/vdc --layer /dev/vdb
mount -t erofs -o ro,nosuid,nodev,device=/dev/vdd,device=/dev/vdc,device=/dev/vdb /dev/vde T/run/mlimg/index
agent stage user
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
agent stage reconcile
agent prepare --root T/run/mlimg --union index --system $sys --software $sw --software $sw2 --user $user $checked
agent stage union
mount -t overlay -o lowerdir=T/run/mlimg/index/rootfs,upperdir=T/run/mlimg/user/upper,workdir=T/run/mlimg/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root
run-init -n T/root /sbin/init
agent stage switch-root
agent commit --root T/run/mlimg --merged T/root" "$(log)"
}

@test "boot: a joined index: no other disk but the user's is waited for or mounted" {
	machine() {
		with_index
		disk /dev/vda layer user fedcba9876548210b000ffffffffffff $user ext4 >"$T/disks"
		disk /dev/vde layer joined 333333333333833383330000000000ff $index EROFS >>"$T/disks"
	}
	boots "$on_index"
	same "what was done" "agent check-index --index /dev/vde
mount -t erofs -o ro,nosuid,nodev /dev/vde T/run/mlimg/index
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
agent prepare --root T/run/mlimg --union index --disks joined --system $sys --software $sw --software $sw2 --user $user $checked
mount -t overlay -o lowerdir=T/run/mlimg/index/rootfs,upperdir=T/run/mlimg/user/upper,workdir=T/run/mlimg/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root" \
		"$(log | grep -v -e stage -e run-init -e commit)"
	machine() {
		with_index
		disk /dev/vda layer user fedcba9876548210b000ffffffffffff $user ext4 >"$T/disks"
		disk /dev/vde layer joined 333333333333833383330000000000ff $index EROFS >>"$T/disks"
		echo 3 >"$T/check-index.status"
		echo "mlimg-agent: block 12 of /dev/vde (serial $index) holds something else" >"$T/check-index.err"
	}
	stops "block 12 of /dev/vde (serial $index) holds something else" "$on_index"
	same "mounts" "" "$(log | grep '^mount' || :)"
}

with_fuse() {
	three_layers
	printf 'nodev\tfuse\n' >>"$T/proc/filesystems"
	sed -i /overlay/d "$T/proc/filesystems"
}

@test "boot: every step with unionfs, in order; converted before where that is asked for" {
	machine() {
		with_fuse
	}
	boots "$cmdline mlimg.union=unionfs"
	same "what was done" "agent stage reconcile
agent prepare --root T/run/mlimg --union unionfs --system $sys --software $sw --software $sw2 --user $user --user-dev /dev/vda --fsck 0 --fsck-said mlimg-user: clean
agent stage union
agent unionfs --root T/run/mlimg --at /mlimg --mode normal T/root
run-init -n T/root /sbin/init
agent stage switch-root
agent commit --root T/run/mlimg --merged T/root" "$(log | sed -n '/reconcile/,$p')"
	same "mounts" "layers/0 layers/1 layers/2 user" "$(log | sed -n 's|^mount.*T/run/mlimg/||p' | xargs)"
	same "the user layer" "mount -t ext4 -o rw,nosuid,nodev,nodelalloc /dev/vda T/run/mlimg/user" "$(log | grep 'mlimg/user$' | head -n 1)"
	boots "$cmdline mlimg.union=unionfs mlimg.convert"
	same "what was done" "agent stage reconcile
agent convert --to unionfs T/run/mlimg/user
agent prepare --root T/run/mlimg --union unionfs --system $sys --software $sw --software $sw2 --user $user --user-dev /dev/vda --fsck 0 --fsck-said mlimg-user: clean" "$(log | sed -n '/reconcile/,/prepare/p')"
}

@test "boot: what a conversion ends besides is on the console and in boot.json" {
	machine() {
		with_fuse
		printf '%s\n' "the change was ended" "1 set aside" "converted" >"$T/convert.out"
	}
	in_both 0 "" "mlimg: the change was ended
mlimg: 1 set aside
mlimg: converted" "mlimg_boot '$cmdline mlimg.union=unionfs mlimg.convert' \"\$T/root\" /sbin/init"
	same "what was done" "agent stage reconcile
agent convert --to unionfs T/run/mlimg/user
agent stage reconcile the change was ended
agent stage reconcile 1 set aside
agent stage reconcile converted
agent prepare --root T/run/mlimg --union unionfs --system $sys --software $sw --software $sw2 --user $user --user-dev /dev/vda --fsck 0 --fsck-said mlimg-user: clean --note the change was ended; 1 set aside" \
		"$(log | sed -n '/reconcile/,/prepare/p')"
}

@test "boot: unionfs in the modes that keep no changes" {
	machine() {
		with_fuse
	}
	in_both 0 "" "mlimg: volatile: changes are kept in memory, and lost at the end of this boot" \
		"mlimg_boot '$cmdline mlimg.union=unionfs mlimg.volatile' \"\$T/root\" /sbin/init"
	same "union" "mount -t tmpfs -o rw,nosuid,nodev,mode=0755 tmpfs T/run/mlimg/volatile
agent unionfs --root T/run/mlimg --at /mlimg --mode volatile T/root" "$(log | grep -e tmpfs -e 'agent unionfs')"
	in_both 0 "" "mlimg: readonly: nothing can be changed in this root" \
		"mlimg_boot '$cmdline mlimg.union=unionfs mlimg.readonly' \"\$T/root\" /sbin/init"
	log | grep -qx "agent unionfs --root T/run/mlimg --at /mlimg --mode readonly T/root"
}

@test "boot: unionfs-fuse cannot mount the union, or says that it did" {
	local what="the union of 3 read-only layers and the user's cannot be mounted by unionfs-fuse"
	machine() {
		with_fuse
		echo 1 >"$T/unionfs.status"
		printf '\n%s\n' 'Failed to open /mlimg/layers/0: No such file or directory. Aborting!' >"$T/unionfs.err"
	}
	stops "$what: it says 'Failed to open /mlimg/layers/0: No such file or directory. Aborting!'" "$cmdline mlimg.union=unionfs"
	machine() {
		with_fuse
		echo 1 >"$T/unionfs.status"
		echo "mlimg-agent: run the program unionfs of the package unionfs-fuse: No such file or directory" >"$T/unionfs.err"
	}
	stops "$what: it says 'run the program unionfs of the package unionfs-fuse: No such file or directory'" "$cmdline mlimg.union=unionfs"
	machine() {
		with_fuse
		echo 1 >"$T/unionfs.status"
	}
	stops "$what: it does not say why" "$cmdline mlimg.union=unionfs"
	machine() {
		with_fuse
		echo '*no mount*' >"$T/mount.lies"
	}
	stops "$what: it is not rw on $BATS_TEST_TMPDIR/machine/root" "$cmdline mlimg.union=unionfs"
	same "commits" "" "$(log | grep commit || :)"
}

# A user layer that asks for a record of this boot, and a merged root with the program that makes it; it ends with the code $1.
with_profile() {
	local program=$T/content$T/root/usr/bin/mlimg
	three_layers
	mkdir -p "$T/content$T/run/mlimg/user/mlimg" "${program%/*}"
	: >"$T/content$T/run/mlimg/user/mlimg/profile"
	printf '#!/bin/sh\necho "mlimg $*" >>%s\necho printed\necho said >&2\nexit %s\n' "$T/log" "$1" >"$program"
	chmod 0755 "$program"
}

@test "boot: it is recorded where the user layer asks for it, in a boot that keeps changes; nothing depends on it" {
	local status
	for status in 0 1; do
		eval "machine() { with_profile $status; }"
		boots "$cmdline"
		same "what was done" "agent commit --root T/run/mlimg --merged T/root
mlimg --root T/run/mlimg --merged T/root profile --begin" "$(log | tail -n 2)"
		same "kernel's log" said "$(cat "$T/kmsg.said")"
	done
	in_both 0 "" "mlimg: readonly: nothing can be changed in this root" "mlimg_boot '$cmdline mlimg.readonly' \"\$T/root\" /sbin/init"
	same "last" "agent commit --root T/run/mlimg --merged T/root --mode readonly" "$(log | tail -n 1)"
	machine() {
		with_profile 0
		rm "$T/content$T/root/usr/bin/mlimg"
	}
	boots "$cmdline"
	[[ $(cat "$T/kmsg.said") == *mlimg*"not found"* || $(cat "$T/kmsg.said") == *mlimg*"No such file"* ]]
}

@test "boot: a user layer that cannot be converted stops it before anything is compared" {
	machine() {
		with_fuse
		echo 3 >"$T/convert.status"
		echo "mlimg-agent: /run/mlimg/user: '/x' has y, for which unionfs-fuse has no form" >"$T/convert.err"
	}
	stops "/run/mlimg/user: '/x' has y, for which unionfs-fuse has no form" "$cmdline mlimg.union=unionfs mlimg.convert"
	same "prepared" "" "$(log | grep prepare || :)"
}

# The same disks and two patches of the system.
patch=cccccccccccccccccccc patch2=dddddddddddddddddddd
patched="${cmdline/ mlimg.user/ mlimg.patch=$patch,$patch2 mlimg.user}"
with_patches() {
	local n
	three_layers
	{
		disk /dev/vdf layer patch cccccccccccc8ccccccc0000000000ff $patch ext4
		disk /dev/vdg layer patch dddddddddddd8ddddddd0000000000ff $patch2 ext4
	} >>"$T/disks"
	for n in 3 4; do mkdir -p "$T/content$T/run/mlimg/layers/$n/rootfs"; done
}

@test "boot: every step with patches, in order" {
	machine() {
		with_patches
	}
	boots "$patched"
	same "what was done" "agent stage initramfs
agent stage disks
agent stage layers
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdd T/run/mlimg/layers/0
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdf T/run/mlimg/layers/1
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdg T/run/mlimg/layers/2
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdc T/run/mlimg/layers/3
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vdb T/run/mlimg/layers/4
mount -t overlay -o ro,nosuid,nodev,lowerdir=T/run/mlimg/layers/2/rootfs:T/run/mlimg/layers/1/rootfs:T/run/mlimg/layers/0/rootfs,index=off,metacopy=on,xino=auto,redirect_dir=follow overlay T/run/mlimg/system
agent stage user
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
agent stage reconcile
agent prepare --root T/run/mlimg --union overlay --system $sys --patch $patch --patch $patch2 --software $sw --software $sw2 --user $user $checked
agent stage union
mount -t overlay -o lowerdir=T/run/mlimg/layers/4/rootfs:T/run/mlimg/layers/3/rootfs:T/run/mlimg/system,upperdir=T/run/mlimg/user/upper,workdir=T/run/mlimg/user/work,index=off,metacopy=off,xino=on,redirect_dir=on overlay T/root
run-init -n T/root /sbin/init
agent stage switch-root
agent commit --root T/run/mlimg --merged T/root" "$(log)"
}

@test "boot: patches without software" {
	machine() {
		with_patches
		sed -i '2,3d;6d' "$T/disks"
	}
	boots "mlimg.system=$sys mlimg.patch=$patch mlimg.user=$user"
	log | grep -q -- '-o lowerdir=T/run/mlimg/system,upperdir='
	log | grep -q -- ',lowerdir=T/run/mlimg/layers/1/rootfs:T/run/mlimg/layers/0/rootfs,index=off'
	log | grep -qx "agent prepare --root T/run/mlimg --union overlay --system $sys --patch $patch --user $user $checked"
}

@test "boot: patches and an index: they are devices of it as all layers" {
	machine() {
		with_patches
		sed -i '/ddddd/d' "$T/disks"
		disk /dev/vde layer index 333333333333833383330000000000ff $index EROFS >>"$T/disks"
		mkdir -p "$T/content$T/run/mlimg/index/rootfs"
		printf '\terofs\n' >>"$T/proc/filesystems"
	}
	boots "mlimg.patch=$patch $on_index"
	same "what was done" "agent check-index --index /dev/vde --layer /dev/vdd --layer /dev/vdf --layer /dev/vdc --layer /dev/vdb
mount -t erofs -o ro,nosuid,nodev,device=/dev/vdd,device=/dev/vdf,device=/dev/vdc,device=/dev/vdb /dev/vde T/run/mlimg/index
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
agent prepare --root T/run/mlimg --union index --system $sys --patch $patch --software $sw --software $sw2 --user $user $checked
mount -t overlay -o lowerdir=T/run/mlimg/index/rootfs,upperdir=T/run/mlimg/user/upper,workdir=T/run/mlimg/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root" \
		"$(log | grep -v -e stage -e run-init -e commit)"
}

@test "boot: the system with its patches cannot be mounted, or is not mounted read-only" {
	machine() {
		with_patches
		echo '*mlimg/system|mount: mounting overlay on /s failed: Invalid argument' >"$T/mount.err"
		echo "[    4.000000] overlayfs: unrecognized mount option \"metacopy=on\" or missing value" >"$T/kmsg"
	}
	local options
	options=ro,nosuid,nodev,lowerdir=$(
		printf "$BATS_TEST_TMPDIR/machine/run/mlimg/layers/%s/rootfs\n" 2 1 0 | paste -sd :
	),index=off,metacopy=on,xino=auto,redirect_dir=follow
	stops "the system layer with 2 patches cannot be mounted: mount says 'mount: mounting overlay on /s failed: Invalid argument', the kernel 'overlayfs: unrecognized mount option \"metacopy=on\" or missing value'; the options were $options" \
		"$patched"
	same "further mounts" "" "$(log | grep '^mount' | grep -v /layers/ || :)"
	machine() {
		with_patches
		echo "*mlimg/system" >"$T/mount.lies"
	}
	stops "the system layer with 2 patches cannot be mounted: it is not ro on $BATS_TEST_TMPDIR/machine/run/mlimg/system; the options were $options" \
		"$patched"
}

@test "boot: an index of other layers is not mounted" {
	machine() {
		with_index
		echo 3 >"$T/check-index.status"
		echo "mlimg-agent: /dev/vdc (serial $sw) holds something else" >"$T/check-index.err"
	}
	stops "/dev/vdc (serial $sw) holds something else" "$on_index"
	same "mounts" "" "$(log | grep '^mount' || :)"
}

@test "boot: an index that cannot be mounted, or is none" {
	machine() {
		with_index
		echo '*/dev/vde*|mount: mounting /dev/vde on x failed: Invalid argument' >"$T/mount.err"
		printf '%s\n' '[    2.0] erofs: (device vde): erofs_read_superblock: invalid checksum 0x1' '[    3.0] erofs: (device vdf): x' >"$T/kmsg"
	}
	stops "the index $index on /dev/vde cannot be mounted: mount says 'mount: mounting /dev/vde on x failed: Invalid argument', the kernel 'erofs: (device vde): erofs_read_superblock: invalid checksum 0x1': compile it again with mlimg-index" \
		"$on_index"
	machine() {
		with_index
		rmdir "$T/content$T/run/mlimg/index/rootfs"
	}
	stops "the index $index on /dev/vde has no directory /rootfs: look into the image with mlimg-inspect" "$on_index"
}

@test "boot: without software layers" {
	machine() {
		three_layers
		sed -i '2,3d' "$T/disks"
	}
	boots "mlimg.system=$sys mlimg.user=$user"
	log | grep -q -- '-o lowerdir=T/run/mlimg/layers/0/rootfs,upperdir='
	log | grep -qx "agent prepare --root T/run/mlimg --union overlay --system $sys --user $user $checked"
}

@test "boot: mlimg.init is looked for instead" {
	local why="the merged root has no program /bin/other: look for it with mlimg-inspect, or correct init= or mlimg.init="
	stops "$why; where the user layer hides it, mlimg.rescue boots without that, and mlimg.reset sets aside what it has" \
		"$cmdline mlimg.init=/bin/other"
	stops "$why" "$cmdline mlimg.init=/bin/other mlimg.rescue"
	same "commits" "" "$(log | grep commit || :)"
}

@test "boot: mlimg.debug tells every step" {
	in_both 0 10 "" "mlimg_boot '$cmdline mlimg.debug' \"\$T/root\" /sbin/init 2>\"\$T/said\"; grep -c '^mlimg: ' \"\$T/said\" | tr -d ' '"
}

@test "boot: a second attempt unmounts what the first one left, the topmost first" {
	machine() {
		three_layers
		printf '%s\n' "20 1 254:0 / $T/run/mlimg/layers/0 ro - ext4 /dev/vdd ro" \
			"21 1 254:1 / $T/run/mlimg/user rw - ext4 /dev/vda rw" \
			"24 1 0:19 /mlimg /mlimg rw - tmpfs tmpfs rw" "25 1 254:1 / /mlimg/user rw - ext4 /dev/vda rw" \
			"22 1 0:30 / $T/root rw - overlay overlay rw" "23 1 0:31 / /run/other rw - tmpfs tmpfs rw" >>"$T/proc/self/mountinfo"
	}
	boots "$cmdline"
	same "unmounted" "umount T/root
umount /mlimg/user
umount /mlimg
umount T/run/mlimg/user
umount T/run/mlimg/layers/0" "$(log | head -n 5)"
	same "unmounted in all" 5 "$(log | grep -c umount)"
}

@test "boot: a kernel without overlay, without ext4" {
	machine() {
		printf 'nodev\tproc\n\text4\n' >"$T/proc/filesystems"
	}
	stops "the kernel has no overlay, which mlimg.union=overlay needs: the initramfs lacks the module, or was made for another kernel; make it again, \
or choose another mlimg.union"
	machine() {
		printf 'nodev\tproc\n\text3\nnodev\toverlay\n' >"$T/proc/filesystems"
	}
	stops "the kernel has no ext4: the initramfs lacks the module, or was made for another kernel; make it again"
	machine() {
		with_index
		sed -i /erofs/d "$T/proc/filesystems"
	}
	stops "the kernel has no fuse, which mlimg.union=unionfs needs: the initramfs lacks the module, or was made for another kernel; make it again, \
or choose another mlimg.union" "$cmdline mlimg.union=unionfs"
	stops "the kernel has no erofs, which mlimg.union=index needs: the initramfs lacks the module, or was made for another kernel; make it again, \
or choose another mlimg.union" "$on_index"
}

@test "boot: a layer that cannot be mounted" {
	machine() {
		three_layers
		echo '*/dev/vdc*|mount: mounting /dev/vdc on x failed: Structure needs cleaning' >"$T/mount.err"
		printf '%s\n' '[    1.000000] EXT4-fs (vdc): an older line' '[    2.000000] EXT4-fs error (device vdc): bad inode' \
			'[    2.100000] EXT4-fs (vdc): no journal found' '[    3.000000] EXT4-fs (vdd): another disk' >"$T/kmsg"
	}
	stops "the software layer $sw on /dev/vdc cannot be mounted: mount says 'mount: mounting /dev/vdc on x failed: Structure needs cleaning', the kernel 'EXT4-fs (vdc): no journal found': check the image with 'e2fsck -fn'"
}

@test "boot: a mount that says it worked, and did not" {
	machine() {
		three_layers
		echo '*' >"$T/mount.lies"
	}
	stops "the system layer $sys on /dev/vdd cannot be mounted: it is not ro on $BATS_TEST_TMPDIR/machine/run/mlimg/layers/0: see how the host attaches the disk"
}

@test "boot: a user disk that is attached read-only" {
	machine() {
		three_layers
		echo "*/user|mount: /dev/vda is write-protected" >"$T/mount.err"
	}
	stops "the user layer $user on /dev/vda cannot be mounted: mount says 'mount: /dev/vda is write-protected', the kernel 'nothing': check the image with 'e2fsck -fn'"
}

@test "boot: an image without /rootfs" {
	machine() {
		three_layers
		rmdir "$T/content$T/run/mlimg/layers/1/rootfs"
	}
	stops "the software layer $sw on /dev/vdc has no directory /rootfs: look into the image with mlimg-inspect"
}

@test "boot: a user layer whose upper is a symbolic link, whose work is a file" {
	machine() {
		three_layers
		rmdir "$T/content$T/run/mlimg/user/upper"
		ln -s /etc "$T/content$T/run/mlimg/user/upper"
	}
	stops "the user layer $user on /dev/vda has no directory /upper: look into the image with mlimg-inspect"
	machine() {
		three_layers
		rmdir "$T/content$T/run/mlimg/user/work"
		: >"$T/content$T/run/mlimg/user/work"
	}
	stops "the user layer $user on /dev/vda has no directory /work: look into the image with mlimg-inspect"
}

@test "boot: the agent refuses the stack" {
	machine() {
		three_layers
		echo 3 >"$T/prepare.status"
		printf '%s\n' "mlimg-agent: layer 2 of 3 is 'x'" 'a second line' >"$T/prepare.err"
	}
	stops "layer 2 of 3 is 'x'"
	same "overlay mounts" "" "$(log | grep 'mount -t overlay' || :)"
}

@test "boot: the union cannot be mounted" {
	machine() {
		three_layers
		echo '*overlay*|mount: mounting overlay on /root failed: Stale file handle' >"$T/mount.err"
		echo '[    4.000000] overlayfs: failed to verify upper root origin' >"$T/kmsg"
	}
	local options what="the union of 3 read-only layers and the user's cannot be mounted"
	options=lowerdir=$(
		printf "$BATS_TEST_TMPDIR/machine/run/mlimg/layers/%s/rootfs\n" 2 1 0 | paste -sd :
	),upperdir=$BATS_TEST_TMPDIR/machine/run/mlimg/user/upper,workdir=$BATS_TEST_TMPDIR/machine/run/mlimg/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on
	stops "$what: mount says 'mount: mounting overlay on /root failed: Stale file handle', the kernel 'overlayfs: failed to verify upper root origin'; the options were $options"
	machine() {
		three_layers
		echo '*overlay*' >"$T/mount.readonly"
		echo '[    4.000000] overlayfs: failed to create directory /run/mlimg/user/work/work (errno: 28); mounting read-only' >"$T/kmsg"
		echo '[    4.000001] overlayfs: "xino" feature enabled using 32 upper inode bits.' >>"$T/kmsg"
	}
	stops "$what: it is not rw on $BATS_TEST_TMPDIR/machine/root, the kernel says 'overlayfs: failed to create directory /run/mlimg/user/work/work (errno: 28); mounting read-only'; is the user layer full?; the options were $options"
}

@test "boot: the stack cannot be recorded" {
	machine() {
		three_layers
		echo 1 >"$T/commit.status"
		echo 'mlimg-agent: write /mlimg/state.json: No space left on device' >"$T/commit.err"
	}
	stops "write /mlimg/state.json: No space left on device"
}

@test "boot: a tree that prepare has left is the topmost of the read-only layers" {
	machine() {
		three_layers
		mkdir -p "$T/run/mlimg/composed/rootfs"
	}
	boots "$cmdline"
	log | grep -q -- '-o lowerdir=T/run/mlimg/composed/rootfs:T/run/mlimg/layers/2/rootfs:T/run/mlimg/layers/1/rootfs:T/run/mlimg/layers/0/rootfs,upperdir='
}

@test "boot: what prepare says of the user's files is on the console and told to the host" {
	machine() {
		three_layers
		echo "user's files on another stack: 1 set aside" >"$T/prepare.out"
		mkdir -p "$T/run/mlimg/composed/rootfs"
	}
	in_both 0 "" "mlimg: user's files on another stack: 1 set aside" "mlimg_boot '$cmdline' \"\$T/root\" /sbin/init"
	log | grep -qx "agent stage reconcile user's files on another stack: 1 set aside"
	log | grep -q -- '-o lowerdir=T/run/mlimg/composed/rootfs:'
}

@test "boot: what commit says of the user's files is on the console and told to the host" {
	machine() {
		three_layers
		printf '%s\n' "the carve-out '/a' is left out" "the carve-out '/b' is left out" >"$T/commit.out"
	}
	in_both 0 "" "mlimg: the carve-out '/a' is left out
mlimg: the carve-out '/b' is left out" "mlimg_boot '$cmdline' \"\$T/root\" /sbin/init"
	log | grep -qx "agent stage switch-root the carve-out '/b' is left out"
}

@test "boot: a host that does not listen is no failure" {
	machine() {
		three_layers
		echo 1 >"$T/stage.status"
	}
	boots "$cmdline"
}

@test "overlay options: comma, colon and backslash are escaped" {
	in_both 0 'lowerdir=/a\,b\:c\\d e/layers/0/rootfs,upperdir=/a\,b\:c\\d e/user/upper,workdir=/a\,b\:c\\d e/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on' "" \
		'MLIMG_RUN="/a,b:c\\d e"; mlimg_overlay_options 1'
}

@test "overlay options: comma, colon and backslash are escaped for the system too" {
	in_both 0 'ro,nosuid,nodev,lowerdir=/a\,b\:c\\d e/layers/1/rootfs:/a\,b\:c\\d e/layers/0/rootfs,index=off,metacopy=on,xino=auto,redirect_dir=follow' "" \
		'MLIMG_RUN="/a,b:c\\d e" MLIMG_N_PATCHES=1; mlimg_system_options'
}

@test "overlay options: what is composed lies right below the user layer, above a patched system too, and not above an index" {
	in_both 0 "/r/composed/rootfs:/r/layers/1/rootfs:/r/layers/0/rootfs
/r/user/upper:/r/composed/rootfs:/r/layers/1/rootfs:/r/layers/0/rootfs
/r/composed/rootfs:/r/layers/2/rootfs:/r/system
/r/index/rootfs" "" '
		MLIMG_RUN=/r MLIMG_COMPOSED=y
		lowers() { x=$(mlimg_overlay_options "$1") && x=${x#*lowerdir=} && echo "${x%%,*}"; }
		lowers 2; (MLIMG_MODE=volatile; lowers 2); (MLIMG_PATCH=1 MLIMG_N_PATCHES=1; lowers 3); MLIMG_UNION=index MLIMG_COMPOSED=; lowers 2'
}

@test "overlay options: 65 layers and what is composed fit into what mount(2) passes" {
	in_both 0 "fits, 65 lowers" "" '
		MLIMG_RUN=/run/mlimg MLIMG_COMPOSED=y
		x=$(mlimg_overlay_options 65)
		[ ${#x} -le 4095 ] && echo "fits, $(echo "${x%%,*}" | tr : "\n" | grep -c "/layers/[0-9]*/rootfs") lowers"'
}

@test "overlay: 65 layers, with a mount that would hand over each option by itself" {
	in_both 0 "mounted" "" '
		mkdir -p "$T/union"
		mlimg_mount_overlay "the union" "$T/union" rw "$(mlimg_overlay_options 65)" && echo mounted'
	in_both 1 "" "" 'mount -t overlay -o "$(mlimg_overlay_options 65)" overlay "$T/union" 2>/dev/null'
}

@test "mountinfo: the topmost mount counts; optional fields, another type, another mode" {
	in_both 0 "yes no no no no yes no yes" "" '
		info="36 35 98:0 / /m rw,noatime master:1 shared:2 - ext4 /dev/a rw,errors=continue
37 36 98:1 / /n rw - ext4 /dev/a rw
38 37 98:2 / /n ro,nodev - ext4 /dev/b ro
39 37 98:2 / /o rw - overlay overlay rw
40 37 0:40 / /p rw,relatime - overlay overlay ro,lowerdir=/l
41 37 0:41 / /q rw - overlay overlay rw,lowerdir=/l"
		for ask in "/m ext4 /dev/a rw" "/m ext4 /dev/a ro" "/n ext4 /dev/a rw" "/m xfs /dev/a rw" "/x ext4 /dev/a rw" "/n ext4 /dev/b ro" \
			"/p overlay overlay rw" "/q overlay overlay rw"; do
			if echo "$info" | mlimg_mounted $ask; then echo yes; else echo no; fi
		done | paste -sd " "'
}
