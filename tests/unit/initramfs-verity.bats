#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# Root hashes on the kernel's command line, in both shells against a machine of fakes; and the agent's part of it over images.

load ../lib/common
load ../lib/boot

sys=0123456789abcdef0123 sw=aaaaaaaaaaaaaaaaaaaa user=fedcba98765432100000 index=cccccccccccccccccccc
hash1=1111111111111111111111111111111111111111111111111111111111111111
hash2=2222222222222222222222222222222222222222222222222222222222222222
stack="mlimg.system=$sys mlimg.software=$sw mlimg.user=$user mlimg.wait=5"
cmdline="$stack mlimg.verity=${sw}bb:$hash2,$sys:$hash1"
malformed='is malformed: mlimg.verity takes ID:HASH, 20 to 64 hex digits (lower case) of an id and the 64 of its root hash'

machine() {
	local n
	{
		disk /dev/vdc layer system 0123456789ab8def8123ffffffffffff $sys ext4
		disk /dev/vdb layer software aaaaaaaaaaaa8aaaaaaaffffffffffff $sw ext4
		disk /dev/vda layer user fedcba9876548210b000ffffffffffff $user ext4
		[ -z "${with_index-}" ] || disk /dev/vdd layer "$with_index" cccccccccccc8cccccccffffffffffff $index erofs
	} >"$T/disks"
	printf 'nodev\tproc\n\text4\nnodev\toverlay\n\terofs\n' >"$T/proc/filesystems"
	for n in layers/0 layers/1 index; do mkdir -p "$T/content$T/run/mlimg/$n/rootfs"; done
	mkdir -p "$T/content$T/run/mlimg/user/upper" "$T/content$T/run/mlimg/user/work"
	mkdir -p "$T/root" "$T/content$T/root/sbin"
	: >"$T/content$T/root/sbin/init"
	[ -z "${refusal-}" ] || {
		echo "$refusal" >"$T/verity.err"
		echo 3 >"$T/verity.status"
	}
}

boots() {
	in_both 0 "" "" "mlimg_boot '$1' \"\$T/root\" /sbin/init"
}

# stops MESSAGE [CMDLINE]
stops() {
	in_both 1 "" "mlimg: $1" "mlimg_boot '${2:-$cmdline}' \"\$T/root\" /sbin/init"
}

# What was done with the layers.
log() {
	sed "s|$T|T|g" "$T/log" | sed -n '/stage layers/,/stage user/p' | grep -v stage
}

@test "verity at boot: the parameter" {
	in_both 0 "$sys:$hash1 $sw:$hash2" "" "mlimg_parse '$stack mlimg.verity=$sys:$hash1,$sw:$hash2' && echo \"\$MLIMG_VERITY\""
	in_both 0 "" "" "mlimg_parse '$stack' && echo \"\$MLIMG_VERITY\""
	local item
	for item in "" "$hash1" "$sys:" "$sys:1" "$sys:${hash1}1" "$sys:$hash1:" "${sys%3}:$hash1" "${sys^^}:$hash1" "$sys:${hash1/1/g}" ":$hash1"; do
		stops "kernel parameter mlimg.verity=$item $malformed" "$stack mlimg.verity=$item"
	done
	stops "kernel parameter mlimg.verity= $malformed" "$stack mlimg.verity=$sys:$hash1,,$sw:$hash2"
}

@test "verity at boot: one root hash for each read-only layer" {
	stops "kernel parameter mlimg.verity has no root hash of the software layer $sw: give that of each read-only layer, or none" \
		"$stack mlimg.verity=$sys:$hash1"
	stops "kernel parameter mlimg.verity has no root hash of the software layer $sw: give that of each read-only layer, or none" \
		"$stack mlimg.verity=$sys:$hash1,$user:$hash2"
	stops "kernel parameter mlimg.verity has 3 root hashes, and the stack 2 read-only layers: give one of each" \
		"$stack mlimg.verity=$sys:$hash1,$sw:$hash2,$user:$hash2"
	stops "kernel parameter mlimg.verity has 3 root hashes, and the stack 2 read-only layers: give one of each" \
		"$stack mlimg.verity=$sys:$hash1,$sw:$hash2,$sw:$hash1"
}

@test "verity at boot: overlay over the devices" {
	boots "$cmdline"
	same "what was done" "agent verity --dev /dev/vdc --root-hash $hash1 mlimg-0
agent verity --dev /dev/vdb --root-hash $hash2 mlimg-1
mount -t ext4 -o ro,noload,nosuid,nodev /dev/mapper/mlimg-0 T/run/mlimg/layers/0
mount -t ext4 -o ro,noload,nosuid,nodev /dev/mapper/mlimg-1 T/run/mlimg/layers/1" "$(log)"
	same "for boot.json" "agent prepare --root $T/run/mlimg --union overlay --verity --system $sys" \
		"$(grep -o "agent prepare .*--system $sys" "$T/log")"
	boots "$stack"
	fails 1 "" grep verity "$T/log"
}

@test "verity at boot: an index over the devices" {
	local with_index=index
	boots "$cmdline mlimg.union=index mlimg.index=$index"
	same "what was done" "agent verity --dev /dev/vdc --root-hash $hash1 mlimg-0
agent verity --dev /dev/vdb --root-hash $hash2 mlimg-1
agent check-index --index /dev/vdd --layer /dev/mapper/mlimg-0 --layer /dev/mapper/mlimg-1
mount -t erofs -o ro,nosuid,nodev,device=/dev/mapper/mlimg-0,device=/dev/mapper/mlimg-1 /dev/vdd T/run/mlimg/index" "$(log)"
}

@test "verity at boot: a joined index is refused" {
	local with_index=joined
	stops "kernel parameter mlimg.verity needs layers on disks of their own, and they are behind the index on /dev/vdd: \
attach them separately, with an index that is not joined" "$cmdline mlimg.union=index mlimg.index=$index"
	same "what was done" "" "$(log)"
}

@test "verity at boot: a layer that does not fit its root hash stops it" {
	local refusal="mlimg-agent: /dev/vdc: its root hash is $hash2, not $hash1"
	stops "the system layer $sys cannot be verified: /dev/vdc: its root hash is $hash2, not $hash1"
	same "what was done" "agent verity --dev /dev/vdc --root-hash $hash1 mlimg-0" "$(log)"
}

@test "verity at boot: the kernel's message about a device that cannot be mounted" {
	machine_more() {
		echo '*mlimg-1*|mount: Input/output error' >"$T/mount.err"
		printf '%s\n' 'EXT4-fs (vdb): other' 'EXT4-fs (dm-1): unable to read superblock' >"$T/kmsg"
	}
	eval "$(declare -f machine | sed '1s/machine/machine_base/')"
	machine() {
		machine_base
		machine_more
	}
	stops "the software layer $sw on /dev/mapper/mlimg-1 cannot be mounted: mount says 'mount: Input/output error', \
the kernel 'EXT4-fs (dm-1): unable to read superblock': check the image with 'e2fsck -fn'"
}

# --- the agent ---

usage() {
	fails 2 "mlimg-agent: $1
Try 'mlimg-agent --help' for more information." "${@:2}"
}

@test "agent verity: what is no layer with this root hash" {
	cd "$BATS_TEST_TMPDIR"
	mkdir d
	head -c 3000000 /dev/urandom >d/f
	mlimg-mkfs --quiet --kind software --name v --verity d v.img
	mlimg-mkfs --quiet --kind software --name n d n.img
	local root end
	root=$(jq -r .verity.root_hash v.img.layer.json)
	fails 1 "mlimg-agent: v.img: Block device required" mlimg-agent verity --dev v.img --root-hash "$root" mlimg-0
	fails 3 "mlimg-agent: v.img: its root hash is $root, not $hash1" mlimg-agent verity --dev v.img --root-hash "$hash1" mlimg-0
	fails 3 "mlimg-agent: n.img: it has no hash tree" mlimg-agent verity --dev n.img --root-hash "$root" mlimg-0
	fails 3 "mlimg-agent: d/f: no layer" mlimg-agent verity --dev d/f --root-hash "$root" mlimg-0
	fails 1 "mlimg-agent: open none: No such file or directory" mlimg-agent verity --dev none --root-hash "$root" mlimg-0
	# The same in mlimg-inspect's words, after a change of the top level's block.
	end=$(($(jq .verity.hash_offset_bytes v.img.layer.json) + 4096))
	cp v.img t.img
	cp v.img.layer.json t.img.layer.json
	printf J | dd of=t.img bs=1 seek=$((end + 4)) conv=notrunc status=none
	run mlimg-agent verity --dev t.img --root-hash "$root" mlimg-0
	local said=${output#*its root hash is }
	[[ ${said%%,*} =~ ^[0-9a-f]{64}$ ]]
	fails 3 "mlimg-inspect: t.img: its root hash is ${said%%,*}, not $root" mlimg-inspect t.img verify
	fails 3 "mlimg-agent: t.img: its root hash is ${said%%,*}, not $root" mlimg-agent verity --dev t.img --root-hash "$root" mlimg-0
	truncate -s -4096 v.img
	fails 3 "mlimg-agent: v.img: it ends before its hash tree does" mlimg-agent verity --dev v.img --root-hash "$root" mlimg-0
}

@test "agent verity: wrong usage" {
	usage "verity: --dev is missing" mlimg-agent verity --root-hash $hash1 n
	usage "verity: --root-hash is missing" mlimg-agent verity --dev x n
	usage "verity: which name? one is needed" mlimg-agent verity --dev x --root-hash $hash1
	usage "verity: '123' is no root hash (64 hex digits)" mlimg-agent verity --dev x --root-hash 123 n
	usage "verity: 'a/b' is no name (1 to 63 of a-z, 0-9 and -)" mlimg-agent verity --dev x --root-hash $hash1 a/b
}
