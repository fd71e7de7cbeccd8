#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# Root hashes on the kernel's command line, in both shells against a machine of fakes.

load ../lib/common
load ../lib/boot

sys=0123456789abcdef0123 sw=aaaaaaaaaaaaaaaaaaaa user=fedcba98765432100000 index=cccccccccccccccccccc
hash1=1111111111111111111111111111111111111111111111111111111111111111
hash2=2222222222222222222222222222222222222222222222222222222222222222
stack="mlimg.system=$sys mlimg.software=$sw mlimg.user=$user mlimg.wait=5"
cmdline="$stack mlimg.verity=${sw}bb:$hash2,$sys:$hash1"
malformed='is malformed: mlimg.verity takes require, stack:HASH, or ID:HASH, 20 to 64 hex digits (lower case) of an id and the 64 of its root hash'
all='give those of all read-only layers and of the index, or none'
with_require='give with require that of the index, and no others'

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

# takes VALUE FORM HASHES
takes() {
	in_both 0 "$2|$3|$1" "" "mlimg_parse '$stack mlimg.verity=$1${4:+ $4}' && echo \"\$MLIMG_VERITY|\$MLIMG_HASHES|\$MLIMG_VERITY_SAYS\""
}

@test "verity at boot: the parameter" {
	takes "$sys:$hash1,$sw:$hash2" hash "$sys:$hash1 $sw:$hash2"
	takes "stack:$hash1" stack ""
	takes "require" require ""
	takes "require,$index:$hash1" require "$index:$hash1" "mlimg.union=index mlimg.index=$index"
	in_both 0 "" "" "mlimg_parse '$stack' && echo \"\$MLIMG_VERITY\$MLIMG_HASHES\""
	local item
	for item in "" "$hash1" "$sys:" "$sys:1" "$sys:${hash1}1" "$sys:$hash1:" "${sys%3}:$hash1" "${sys^^}:$hash1" "$sys:${hash1/1/g}" ":$hash1" \
		"stack:" "stack:1" "stack:${hash1/1/g}" requires; do
		stops "kernel parameter mlimg.verity=$item $malformed" "$stack mlimg.verity=$item"
	done
	stops "kernel parameter mlimg.verity= $malformed" "$stack mlimg.verity=$sys:$hash1,,$sw:$hash2"
	stops "kernel parameter mlimg.verity=1 $malformed" "$stack mlimg.verity=require,1"
	stops "kernel parameter mlimg.verity=stack:$hash1,$sys:$hash1 $malformed" "$stack mlimg.verity=stack:$hash1,$sys:$hash1"
}

@test "verity at boot: one root hash for each read-only layer, and for the index" {
	stops "kernel parameter mlimg.verity has no root hash of the software layer $sw: $all" "$stack mlimg.verity=$sys:$hash1"
	stops "kernel parameter mlimg.verity has no root hash of the software layer $sw: $all" \
		"$stack mlimg.verity=$sys:$hash1,$user:$hash2"
	stops "kernel parameter mlimg.verity has 3 root hashes, and 2 are wanted: $all" \
		"$stack mlimg.verity=$sys:$hash1,$sw:$hash2,$user:$hash2"
	stops "kernel parameter mlimg.verity has 3 root hashes, and 2 are wanted: $all" \
		"$stack mlimg.verity=$sys:$hash1,$sw:$hash2,$sw:$hash1"
	stops "kernel parameter mlimg.verity has no root hash of the index $index: $all" "$cmdline mlimg.union=index mlimg.index=$index"
	stops "kernel parameter mlimg.verity has no root hash of the index $index: $with_require" \
		"$stack mlimg.verity=require mlimg.union=index mlimg.index=$index"
	stops "kernel parameter mlimg.verity has 1 root hashes, and 0 are wanted: $with_require" "$stack mlimg.verity=require,$sys:$hash1"
}

@test "verity at boot: overlay over the devices" {
	boots "$cmdline"
	same "what was done" "agent verity --trust ${sw}bb:$hash2,$sys:$hash1 --layer system:$sys=/dev/vdc --layer software:$sw=/dev/vdb
mount -t ext4 -o ro,noload,nosuid,nodev /dev/mapper/mlimg-0 T/run/mlimg/layers/0
mount -t ext4 -o ro,noload,nosuid,nodev /dev/mapper/mlimg-1 T/run/mlimg/layers/1" "$(log)"
	same "for boot.json" "agent prepare --root $T/run/mlimg --union overlay --verity hash --system $sys" \
		"$(grep -o "agent prepare .*--system $sys" "$T/log")"
	boots "$stack mlimg.verity=require"
	same "for boot.json" "agent prepare --root $T/run/mlimg --union overlay --verity require --system $sys" \
		"$(grep -o "agent prepare .*--system $sys" "$T/log")"
	boots "$stack"
	fails 1 "" grep verity "$T/log"
}

@test "verity at boot: an index over the devices" {
	local with_index=index
	boots "$stack mlimg.verity=stack:$hash1 mlimg.union=index mlimg.index=$index"
	same "what was done" "agent verity --trust stack:$hash1 --index $index=/dev/vdd --layer system:$sys=/dev/vdc --layer software:$sw=/dev/vdb
agent check-index --index /dev/mapper/mlimg-index --layer /dev/mapper/mlimg-0 --layer /dev/mapper/mlimg-1
mount -t erofs -o ro,nosuid,nodev,device=/dev/mapper/mlimg-0,device=/dev/mapper/mlimg-1 /dev/mapper/mlimg-index T/run/mlimg/index" "$(log)"
}

@test "verity at boot: a joined index, whose device has the layers behind it" {
	local with_index=joined
	boots "$stack mlimg.verity=require,$index:$hash1 mlimg.union=index mlimg.index=$index"
	same "what was done" "agent verity --trust require,$index:$hash1 --joined --index $index=/dev/vdd --layer system:$sys --layer software:$sw
agent check-index --index /dev/mapper/mlimg-index
mount -t erofs -o ro,nosuid,nodev /dev/mapper/mlimg-index T/run/mlimg/index" "$(log)"
}

@test "verity at boot: what the agent does not let pass stops it" {
	local refusal="mlimg-agent: the system layer $sys cannot be verified: /dev/vdc: it is not signed"
	stops "${refusal#mlimg-agent: }" "$stack mlimg.verity=require"
	same "what was done" "agent verity --trust require --layer system:$sys=/dev/vdc --layer software:$sw=/dev/vdb" "$(log)"
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
