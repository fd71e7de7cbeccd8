#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # run sets stderr
# mlimg-mkinitramfs: what is in the initramfs, in which order modules are loaded, and each way to fail.

load ../lib/common

pack=$MLIMG_TOP/initramfs/mlimg-mkinitramfs

# A system tree with one kernel: two module files in other forms than .ko, one driver built in.
setup() {
	more=() as=()
	cd "$BATS_TEST_TMPDIR" || return
	local kernel=tree/usr/lib/modules/6.1.0-x
	mkdir -p $kernel/kernel out
	printf '#!/bin/sh\n' | tee agent >e2fsck
	for module in virtio virtio_ring virtio_pci virtio-blk virtio_console other; do
		echo "code of $module" >$kernel/kernel/$module.ko
	done
	echo 'code of overlay' | xz >$kernel/kernel/overlay.ko.xz
	echo 'code of crc32c_generic' | gzip >$kernel/kernel/crc32c_generic.ko.gz
	echo 'code of virtio_console' | zstd -q >$kernel/kernel/virtio_console.ko.zst
	rm $kernel/kernel/virtio_console.ko
	cat >$kernel/modules.dep <<-'END'
		kernel/virtio.ko:
		kernel/virtio_ring.ko:
		kernel/other.ko: kernel/overlay.ko.xz
		kernel/overlay.ko.xz:
		kernel/crc32c_generic.ko.gz:
		kernel/virtio_pci.ko: kernel/virtio_ring.ko kernel/virtio.ko
		kernel/virtio-blk.ko: kernel/virtio_ring.ko kernel/virtio.ko
		kernel/virtio_console.ko.zst: kernel/virtio_ring.ko kernel/virtio.ko
	END
	echo kernel/fs/ext4/ext4.ko >$kernel/modules.builtin
}

# shellcheck disable=SC2317 # called by works
make_it() {
	"${as[@]}" "$pack" --modules-from tree --busybox /bin/busybox --agent agent --e2fsck e2fsck "${more[@]}" "$@"
}

# main FILE: what lies behind the archive of 512 bytes in front, in which there is only what mlimg-vm looks for.
main() {
	tail -c +513 "$1"
}

# in_it FILE: a file of the uncompressed archive out/i.
in_it() {
	cpio -i --quiet --to-stdout "$1" < <(main out/i)
}

# left: what lies in out/ after a failure.
left() {
	same "what is left" "${1:-}" "$(ls out)"
}

@test "pack: the whole content" {
	works make_it --compress none -o out/i
	same "list" "drwxr-xr-x 0 0 0 .
drwxr-xr-x 0 0 0 bin
-rwxr-xr-x 0 0 $(stat -c %s /bin/busybox) bin/busybox
-rwxr-xr-x 0 0 10 bin/e2fsck
-rwxr-xr-x 0 0 10 bin/mlimg-agent
drwxr-xr-x 0 0 0 dev
-rwxr-xr-x 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/init") init
drwxr-xr-x 0 0 0 lib
drwxr-xr-x 0 0 0 lib/mlimg
-rw-r--r-- 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/lib/mlimg-decisions") lib/mlimg/mlimg-decisions
-rw-r--r-- 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/lib/mlimg-disks") lib/mlimg/mlimg-disks
-rw-r--r-- 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/lib/mlimg-functions") lib/mlimg/mlimg-functions
-rw-r--r-- 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/lib/mlimg-user") lib/mlimg/mlimg-user
-rw-r--r-- 0 0 $(stat -c %s "$MLIMG_TOP/initramfs/lib/mlimg-verity") lib/mlimg/mlimg-verity
-rw-r--r-- 0 0 $(in_it lib/mlimg/modules | wc -c) lib/mlimg/modules
drwxr-xr-x 0 0 0 lib/modules
drwxr-xr-x 0 0 0 lib/modules/kernel
-rw-r--r-- 0 0 23 lib/modules/kernel/crc32c_generic.ko
-rw-r--r-- 0 0 16 lib/modules/kernel/overlay.ko
-rw-r--r-- 0 0 19 lib/modules/kernel/virtio-blk.ko
-rw-r--r-- 0 0 15 lib/modules/kernel/virtio.ko
-rw-r--r-- 0 0 23 lib/modules/kernel/virtio_console.ko
-rw-r--r-- 0 0 19 lib/modules/kernel/virtio_pci.ko
-rw-r--r-- 0 0 20 lib/modules/kernel/virtio_ring.ko
drwxr-xr-x 0 0 0 newroot
drwxr-xr-x 0 0 0 proc
drwxr-xr-x 0 0 0 run
drwxr-xr-x 0 0 0 sys
drwxr-xr-x 0 0 0 tmp" "$(main out/i | cpio -itvn --quiet | awk '{ print $1, $3, $4, $5, $9 }')"
	left i
}

@test "pack: modules in the order of their dependencies, unpacked, each once" {
	works make_it --compress none -o out/i
	same "order" "kernel/crc32c_generic.ko
kernel/virtio.ko
kernel/virtio_ring.ko
kernel/virtio_pci.ko
kernel/virtio-blk.ko
kernel/virtio_console.ko
kernel/overlay.ko" "$(in_it lib/mlimg/modules)"
	for module in crc32c_generic virtio_console overlay; do
		same "$module" "code of $module" "$(in_it lib/modules/kernel/$module.ko)"
	done
}

# unions WANTED: what the packed initramfs says of itself.
unions() {
	works make_it -o out/i
	same "entries in front" mlimg-unions "$(cpio -it --quiet <out/i)"
	same "union drivers" "$1" "$(cpio -i --quiet --to-stdout mlimg-unions <out/i)"
}

@test "pack: it says which union drivers it knows, and has erofs where there is one" {
	local kernel=tree/usr/lib/modules/6.1.0-x
	unions "overlay identity"
	echo kernel/fs/erofs/erofs.ko >>$kernel/modules.builtin
	unions "overlay index joined identity"
	sed -i /erofs/d $kernel/modules.builtin
	echo 'code of erofs' >$kernel/kernel/erofs.ko
	echo 'kernel/erofs.ko: kernel/crc32c_generic.ko.gz' >>$kernel/modules.dep
	unions "overlay index joined identity"
	works make_it --compress none -o out/i
	same "module" "code of erofs" "$(in_it lib/modules/kernel/erofs.ko)"
	same "order" $'kernel/crc32c_generic.ko\nkernel/erofs.ko' "$(in_it lib/mlimg/modules | head -n 2)"
	mkdir tree/boot
	printf 'CONFIG_EROFS_FS_%s=y\n' XATTR POSIX_ACL >tree/boot/config-6.1.0-x
	unions "overlay identity"
	echo CONFIG_EROFS_FS_SECURITY=y >>tree/boot/config-6.1.0-x
	unions "overlay index joined identity"
	mv $kernel tree/usr/lib/modules/5.10.0-x
	unions "overlay identity"
}

# A program for Linux with its libraries, and a kernel that has fuse.
with_unionfs() {
	local kernel=tree/usr/lib/modules/6.1.0-x
	need command unionfs
	echo 'code of fuse' >$kernel/kernel/fuse.ko
	echo 'kernel/fuse.ko:' >>$kernel/modules.dep
	more=(--unionfs "$(command -v unionfs)")
}

@test "pack: dm-verity and what it depends on, apart from the others" {
	local kernel=tree/usr/lib/modules/6.1.0-x
	works make_it --compress none -o out/i
	same "no list" "" "$(main out/i | cpio -it --quiet | grep verity | grep -v mlimg-verity || true)"
	echo 'code of dm-mod' | xz >$kernel/kernel/dm-mod.ko.xz
	echo 'code of dm-verity' >$kernel/kernel/dm-verity.ko
	printf '%s\n' 'kernel/dm-mod.ko.xz:' 'kernel/dm-verity.ko: kernel/dm-mod.ko.xz' >>$kernel/modules.dep
	works make_it --compress none -o out/i
	same "its modules" $'kernel/dm-mod.ko\nkernel/dm-verity.ko' "$(in_it lib/mlimg/modules.verity)"
	same "the others" "" "$(in_it lib/mlimg/modules | grep dm- || true)"
	same "code" "code of dm-mod" "$(in_it lib/modules/kernel/dm-mod.ko)"
	touch $kernel/kernel/dm-zero.ko
	echo 'kernel/dm-zero.ko: kernel/dm-mod.ko.xz' >>$kernel/modules.dep
	works make_it --compress none -o out/i
	same "its modules" $'kernel/dm-mod.ko\nkernel/dm-verity.ko\nkernel/dm-zero.ko' "$(in_it lib/mlimg/modules.verity)"
}

@test "pack: certificates, the tree's or others" {
	works make_it --compress none -o out/i
	fails 1 "" grep -q trusted.d out/i
	mkdir -p tree/etc/mlimg/trusted.d others
	echo one >tree/etc/mlimg/trusted.d/one.pem
	echo two >others/two.der
	echo no >others/README
	works make_it --compress none -o out/i
	same "the tree's" one "$(in_it etc/mlimg/trusted.d/one.pem)"
	works make_it --compress none --certs others -o out/i
	same "others" etc/mlimg/trusted.d/two.der "$(main out/i | cpio -it --quiet | grep '^etc/.*\.d/')"
	fails 1 "mlimg-mkinitramfs: no directory 'none'" make_it --compress none --certs none -o out/i
}

@test "pack: unionfs-fuse with its libraries; its module apart from the others" {
	with_unionfs
	unions "overlay unionfs identity"
	works make_it --compress none -o out/i
	same "modules" "kernel/overlay.ko" "$(in_it lib/mlimg/modules | grep -e fuse -e overlay)"
	same "its module" kernel/fuse.ko "$(in_it lib/mlimg/modules.unionfs)"
	mkdir it
	(cd it && cpio -i --quiet < <(main ../out/i))
	# It runs with what is packed and nothing else.
	local loader=(it/lib64/ld-linux-*.so.* --inhibit-cache --library-path it/lib)
	works "${loader[@]}" --list it/bin/unionfs
	same "libraries from elsewhere" "" "$(grep '=> /' <<<"$output" || true)"
	grep -q '=> it/lib/libfuse.so' <<<"$output"
	run --separate-stderr "${loader[@]}" it/bin/unionfs --version
	same "exit code" 0 "$status"
	grep -q '^unionfs-fuse version' <<<"$output"
	sed -i '/overlay.ko.xz:/d' tree/usr/lib/modules/6.1.0-x/modules.dep
	unions "unionfs identity"
	sed -i /fuse/d tree/usr/lib/modules/6.1.0-x/modules.dep
	fails 1 "mlimg-mkinitramfs: kernel 6.1.0-x in 'tree/usr/lib/modules' has no module overlay, nor is it built in" make_it -o out/x
}

@test "pack: the tree's unionfs is taken, with the tree's libraries; one that is not there is an error" {
	with_unionfs
	local file
	for file in $(ldd "$(command -v unionfs)" | grep -o '/[^ ]*'); do
		mkdir -p "tree/usr${file%/*}"
		cp -L "$file" "tree/usr$file"
	done
	ln -s usr/lib tree/lib
	ln -s usr/lib64 tree/lib64
	mkdir tree/usr/bin
	cp "$(command -v unionfs)" tree/usr/bin/unionfs
	make_it() {
		"$pack" --modules-from tree --busybox /bin/busybox --agent agent --e2fsck e2fsck "$@"
	}
	works make_it --compress none -o out/i
	same "library" "$(sha256sum <"$(echo tree/lib/*/libfuse.so.2)")" "$(in_it lib/libfuse.so.2 | sha256sum)"
	rm tree/lib/*/libfuse.so.2
	fails 1 "mlimg-mkinitramfs: cannot tell the libraries of 'tree/usr/bin/unionfs'" make_it -o out/x
	fails 1 "mlimg-mkinitramfs: no unionfs at 'none': install unionfs-fuse" make_it --unionfs none -o out/x
}

@test "pack: kernels that can mount an index" {
	local shell version can
	for shell in dash "busybox ash"; do
		can=
		for version in 4.19.0-27 5.9 5.15.158-cloud 5.16 5.16-rc1 5.16.0-x 6 6.1.0-42-cloud-amd64 10.0 x 6x.1 ''; do
			# shellcheck disable=SC2086,SC2016 # words; for the inner shell
			! $shell -uc '. "$1" && mlimg_can_index "$2" none' - "$MLIMG_TOP/initramfs/lib/mlimg-unions" "$version" 2>"$BATS_TEST_TMPDIR/err" ||
				can+=" $version"
			same "stderr" "" "$(cat "$BATS_TEST_TMPDIR/err")"
		done
		same "with $shell" " 5.16 5.16-rc1 5.16.0-x 6 6.1.0-42-cloud-amd64 10.0" "$can"
	done
}

@test "pack: twice the same bytes, whatever umask and times are" {
	works make_it -o out/a
	touch -d 2001-01-01 agent tree/usr/lib/modules/*/kernel/*
	chmod 0600 tree/usr/lib/modules/*/kernel/virtio.ko
	umask 077
	works make_it -o out/b
	cmp out/a out/b
	SOURCE_DATE_EPOCH=1000 works make_it -o out/c
	run cmp -s out/a out/c
	same "another time, the same bytes?" 1 "$status"
}

@test "pack: no root is needed: without any capability it packs the same bytes" {
	works make_it -o out/a
	[ "$(id -u)" -ne 0 ] || as=(setpriv --bounding-set=-all --inh-caps=-all)
	same "capabilities" 0000000000000000 "$("${as[@]}" sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
	works make_it -o out/b
	cmp out/a out/b
}

@test "pack: zstd, gzip, none hold the same" {
	works make_it -o out/z
	works make_it --compress=gzip --output=out/g
	works make_it --compress none -o out/n
	cmp <(main out/z | zstd -q -dc) <(main out/n)
	cmp <(main out/g | gzip -dc) <(main out/n)
	for i in z g n; do
		cmp -n 512 out/$i out/n
	done
}

@test "pack: replaces a file that is there" {
	echo old >out/i
	works make_it --compress none -o out/i
	same "module" "code of virtio" "$(in_it lib/modules/kernel/virtio.ko)"
}

@test "pack: --help" {
	works "$pack" --help
	[ "${lines[0]}" = "Usage: mlimg-mkinitramfs [OPTION]... -o OUT" ]
	same "longest line" "" "$(awk 'length > 80' <<<"$output")"
}

@test "pack: wrong usage" {
	local try="Try 'mlimg-mkinitramfs --help' for more information."
	fails 2 "mlimg-mkinitramfs: no output file: give -o OUT
$try" "$pack"
	fails 2 "mlimg-mkinitramfs: unknown option '--nonsense'
$try" "$pack" --nonsense
	fails 2 "mlimg-mkinitramfs: unknown option '--nonsense'
$try" "$pack" --nonsense=1
	fails 2 "mlimg-mkinitramfs: unexpected argument 'tree'
$try" "$pack" tree
	fails 2 "mlimg-mkinitramfs: option '--agent' needs a value
$try" "$pack" --agent
	fails 2 "mlimg-mkinitramfs: unknown compression 'lzma': zstd, gzip or none
$try" "$pack" --compress lzma -o out/i
}

@test "pack: no kernel, several kernels, a kernel that is not there" {
	mkdir -p tree/usr/lib/modules/6.2.0-y
	cp tree/usr/lib/modules/6.1.0-x/modules.dep tree/usr/lib/modules/6.2.0-y/
	fails 1 "mlimg-mkinitramfs: several kernels in 'tree/usr/lib/modules' (6.1.0-x, 6.2.0-y): give --kernel-version" make_it -o out/i
	fails 1 "mlimg-mkinitramfs: no modules.dep in 'tree/usr/lib/modules/7': wrong version, or run depmod" make_it --kernel-version 7 -o out/i
	works make_it --kernel-version 6.1.0-x -o out/i
	rm -r tree/usr out/i
	fails 1 "mlimg-mkinitramfs: no kernel in 'tree/lib/modules' (a directory with modules.dep)" make_it -o out/i
	left
}

@test "pack: a module that is needed and not there" {
	sed -i '/overlay.ko.xz:/d' tree/usr/lib/modules/6.1.0-x/modules.dep
	fails 1 "mlimg-mkinitramfs: kernel 6.1.0-x in 'tree/usr/lib/modules' has no module overlay, nor is it built in" make_it -o out/i
	left
}

@test "pack: a damaged module" {
	echo nonsense >tree/usr/lib/modules/6.1.0-x/kernel/overlay.ko.xz
	run --separate-stderr make_it -o out/i
	same "exit code" 1 "$status"
	[[ "$stderr" == *"mlimg-mkinitramfs: cannot copy module 'tree/usr/lib/modules/6.1.0-x/kernel/overlay.ko.xz'" ]]
	left
}

@test "pack: programs that are missing or linked dynamically" {
	fails 1 "mlimg-mkinitramfs: no mlimg-agent at 'nowhere'" make_it --agent nowhere -o out/i
	fails 1 "mlimg-mkinitramfs: no busybox at 'nowhere': install busybox-static" make_it --busybox nowhere -o out/i
	fails 1 "mlimg-mkinitramfs: '/bin/ls' is linked dynamically: install busybox-static" make_it --busybox /bin/ls -o out/i
	fails 1 "mlimg-mkinitramfs: '/bin/ls' is linked dynamically" make_it --agent /bin/ls -o out/i
	fails 1 "mlimg-mkinitramfs: no e2fsck at 'nowhere'" make_it --e2fsck nowhere -o out/i
	fails 1 "mlimg-mkinitramfs: '/bin/ls' is linked dynamically: install e2fsck-static" make_it --e2fsck /bin/ls -o out/i
	left
}

@test "pack: the tree's e2fsck comes first, and there need not be one" {
	mkdir tree/sbin
	echo "the tree's" >tree/sbin/e2fsck.static
	works make_it --e2fsck '' --compress none -o out/i
	same "e2fsck" "the tree's" "$(in_it bin/e2fsck)"
	works make_it --e2fsck none --compress none -o out/i
	same "list" "bin/busybox bin/mlimg-agent" "$(main out/i | cpio -it --quiet | grep bin/ | xargs)"
}

@test "pack: nowhere to write" {
	fails 1 "mlimg-mkinitramfs: cannot write beside 'missing/i'" make_it -o missing/i
	mkdir out/dir
	fails 1 "mlimg-mkinitramfs: 'out/dir' is a directory" make_it -o out/dir
	left dir
}

@test "pack: installed, it finds its parts" {
	install -D -t installed/usr/sbin "$pack"
	install -D -t installed/usr/lib/mlimg "$MLIMG_TOP/initramfs/init" "$MLIMG_TOP"/initramfs/lib/*
	works installed/usr/sbin/mlimg-mkinitramfs --modules-from tree --busybox /bin/busybox --agent agent --e2fsck none --compress none -o out/i
	same "init" "$(cat "$MLIMG_TOP/initramfs/init")" "$(in_it init)"
	rm installed/usr/lib/mlimg/mlimg-decisions
	fails 1 "mlimg-mkinitramfs: '$PWD/installed/usr/lib/mlimg/mlimg-decisions' is missing: install mlimg again" \
		installed/usr/sbin/mlimg-mkinitramfs --modules-from tree --agent agent --e2fsck none -o out/j
}
