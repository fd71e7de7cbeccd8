#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# The user layer at boot: modes, and what is done before it is mounted, in both shells against a machine of fakes.

load ../lib/common
load ../lib/boot

sys=0123456789abcdef0123 sw=aaaaaaaaaaaaaaaaaaaa user=fedcba98765432100000
cmdline="boot=mlimg mlimg.system=$sys mlimg.software=$sw mlimg.user=$user mlimg.wait=5"

# A system, a software layer, a user layer; a merged root with an init.
two_layers() {
	local n
	{
		disk /dev/vdc layer system 0123456789ab8def8123ffffffffffff $sys ext4
		disk /dev/vdb layer software aaaaaaaaaaaa8aaaaaaaffffffffffff $sw ext4
		disk /dev/vda layer user fedcba9876548210b000ffffffffffff $user ext4
	} >"$T/disks"
	for n in 0 1; do mkdir -p "$T/content$T/run/mlimg/layers/$n/rootfs"; done
	mkdir -p "$T/content$T/run/mlimg/user/upper" "$T/content$T/run/mlimg/user/work"
	mkdir -p "$T/root" "$T/content$T/root/sbin"
	: >"$T/content$T/root/sbin/init"
}

machine() {
	two_layers
}

# boots CMDLINE [STDERR]: in both shells. stops MESSAGE [CMDLINE]: it ends with this line, in both shells.
boots() {
	in_both 0 "" "${2:-}" "mlimg_boot '$1' \"\$T/root\" /sbin/init"
}

stops() {
	in_both 1 "" "mlimg: $1" "mlimg_boot '${2:-$cmdline}' \"\$T/root\" /sbin/init"
}

# What was done from the mounting of the user layer on.
log() {
	sed "s|$T|T|g" "$T/log" | sed -n '/^agent stage user/,$p' | grep -v -e '^run-init' -e '^agent stage [a-z-]*$'
}

layers=T/run/mlimg/layers/1/rootfs:T/run/mlimg/layers/0/rootfs
prepare="agent prepare --root T/run/mlimg --union overlay --system $sys --software $sw --user $user"
volatile='volatile: changes are kept in memory, and lost at the end of this boot'
rescue="rescue: the user layer's changes are not in this root; changes are kept in memory, and lost"
readonly='readonly: nothing can be changed in this root'

@test "modes: volatile: the user's upper is a lower, and changes go to a tmpfs" {
	boots "$cmdline mlimg.volatile" "mlimg: $volatile"
	same "what was done" "e2fsck -p /dev/vda
mount -t ext4 -o ro,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --mode volatile --fsck 0 --fsck-said mlimg-user: clean
mount -t tmpfs -o rw,nosuid,nodev,mode=0755 tmpfs T/run/mlimg/volatile
mount -t overlay -o lowerdir=T/run/mlimg/user/upper:$layers,upperdir=T/run/mlimg/volatile/upper,workdir=T/run/mlimg/volatile/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root
agent stage union $volatile
agent commit --root T/run/mlimg --merged T/root --mode volatile" "$(log)"
	same "mode of upper" 755 "$(stat -c %a "$T/run/mlimg/volatile/upper")"
}

@test "modes: readonly: nothing is mounted writable" {
	boots "$cmdline mlimg.readonly" "mlimg: $readonly"
	same "what was done" "mount -t ext4 -o ro,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --mode readonly
mount -t overlay -o ro,lowerdir=T/run/mlimg/user/upper:$layers,index=off,metacopy=off,xino=auto,redirect_dir=follow overlay T/root
agent stage union $readonly
agent commit --root T/run/mlimg --merged T/root --mode readonly" "$(log)"
}

@test "modes: rescue: without the user's changes, and the user layer as it lies there" {
	boots "$cmdline mlimg.rescue" "mlimg: $rescue"
	same "what was done" "mount -t ext4 -o ro,noload,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --mode rescue
mount -t tmpfs -o rw,nosuid,nodev,mode=0755 tmpfs T/run/mlimg/volatile
mount -t overlay -o lowerdir=$layers,upperdir=T/run/mlimg/volatile/upper,workdir=T/run/mlimg/volatile/work,index=off,metacopy=off,xino=auto,redirect_dir=on overlay T/root
agent stage union $rescue
agent commit --root T/run/mlimg --merged T/root --mode rescue" "$(log)"
}

@test "modes: rescue without a user disk, with a damaged one, another one, one that cannot be mounted" {
	local note
	machine() {
		two_layers
		sed -i '/vda/d' "$T/disks"
	}
	note="the user layer $user is not there: no disk holds it"
	boots "$cmdline mlimg.rescue" "mlimg: $rescue
mlimg: $note"
	same "what was done" "$prepare --mode rescue --note $note" "$(log | grep prepare)"
	same "looks at the disks: the user's may be the last to appear" 2 "$(wc -l <"$T/looks")"
	machine() {
		two_layers
		sed -i '/vda/d' "$T/disks"
		disk /dev/vda damaged user - $user 'ext4, but superblock checksum is wrong' >>"$T/disks"
	}
	note="the user layer $user is not there: /dev/vda (serial $user) is damaged (ext4, but superblock checksum is wrong): check the image with 'e2fsck -fn'"
	boots "$cmdline mlimg.rescue" "mlimg: $rescue
mlimg: $note"
	machine() {
		two_layers
		sed -i '/vda/d' "$T/disks"
		disk /dev/vda other - - $user 'x' >>"$T/disks"
	}
	note="the user layer $user is not there: /dev/vda (serial $user) holds no layer: attach the right image"
	boots "$cmdline mlimg.rescue" "mlimg: $rescue
mlimg: $note"
	machine() {
		two_layers
		echo '*/user|mount: cannot' >"$T/mount.err"
	}
	note="the user layer $user on /dev/vda cannot be mounted: mount says 'mount: cannot', the kernel 'nothing': check the image with 'e2fsck -fn'"
	boots "$cmdline mlimg.rescue" "mlimg: $rescue
mlimg: $note"
	same "what was done" "$prepare --mode rescue --note $note" "$(log | grep prepare)"
}

@test "modes: a rescue needs the other layers" {
	machine() {
		two_layers
		sed -i '/vdb/d' "$T/disks"
	}
	stops "waited 5 s, still missing the software layer $sw; there is /dev/vdc (serial $sys) with a system layer, UUID 0123456789ab8def8123ffffffffffff, /dev/vda (serial $user) with a user layer, UUID fedcba9876548210b000ffffffffffff: attach what is missing, or correct the kernel parameters" \
		"$cmdline mlimg.rescue"
}

@test "modes: with an index the user's upper lies on it" {
	local index=33333333333333333333
	machine() {
		two_layers
		disk /dev/vde layer index 333333333333833383330000000000ff $index EROFS >>"$T/disks"
		mkdir -p "$T/content$T/run/mlimg/index/rootfs"
		printf '\terofs\n' >>"$T/proc/filesystems"
	}
	boots "$cmdline mlimg.union=index mlimg.index=$index mlimg.readonly" "mlimg: $readonly"
	log | grep -q -- '-o ro,lowerdir=T/run/mlimg/user/upper:T/run/mlimg/index/rootfs,index=off'
	boots "$cmdline mlimg.union=index mlimg.index=$index mlimg.rescue" "mlimg: $rescue"
	log | grep -q -- '-o lowerdir=T/run/mlimg/index/rootfs,upperdir=T/run/mlimg/volatile/upper,'
}

@test "modes: a tmpfs that cannot be mounted stops the boot" {
	machine() {
		two_layers
		echo '*tmpfs*|mount: no memory' >"$T/mount.err"
	}
	stops "no tmpfs could be mounted on $BATS_TEST_TMPDIR/machine/run/mlimg/volatile for the changes of this boot: mount says 'mount: no memory'" \
		"$cmdline mlimg.volatile"
}

# The host attached /dev/vda read-only.
write_protected() {
	mkdir -p "$T/sys/class/block/vda"
	echo 1 >"$T/sys/class/block/vda/ro"
}

@test "modes: a user disk that cannot be written stops the boot, and says what would not need it" {
	machine() {
		two_layers
		write_protected
	}
	in_both 1 "" "mlimg: the user layer $user on /dev/vda is read-only: attach it writable, or boot with mlimg.readonly or mlimg.volatile" \
		"mlimg_boot '$cmdline' \"\$T/root\" /sbin/init"
	same "mounts of it" "" "$(grep '/user$' "$T/log" || :)"
	in_both 0 "" "mlimg: $readonly" "mlimg_boot '$cmdline mlimg.readonly' \"\$T/root\" /sbin/init"
	same "mounts of it" "mount -t ext4 -o ro,nosuid,nodev /dev/vda T/run/mlimg/user" "$(log | grep '/user$')"
}

@test "modes: a journal on a disk that cannot be written" {
	local note="the user layer's journal is not replayed, for its disk is read-only: what was written last may be missing"
	machine() {
		two_layers
		write_protected
		echo '*ro,nosuid,nodev /dev/vda*|mount: cannot' >"$T/mount.err"
	}
	in_both 0 "" "mlimg: $readonly
mlimg: $note" "mlimg_boot '$cmdline mlimg.readonly' \"\$T/root\" /sbin/init"
	same "what was done" "mount -t ext4 -o ro,nosuid,nodev /dev/vda T/run/mlimg/user
mount -t ext4 -o ro,noload,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --mode readonly --note $note" "$(log | sed -n 1,3p)"
}

@test "modes: a user layer without upper or work, on a disk that cannot be written, is the one that is named" {
	local mode dir
	for mode in readonly volatile; do
		for dir in upper work; do
			machine() {
				two_layers
				write_protected
				rmdir "$T/content$T/run/mlimg/user/$dir"
			}
			stops "the user layer $user on /dev/vda has no directory /$dir: look into the image with mlimg-inspect" "$cmdline mlimg.$mode"
		done
	done
}

@test "modes: each excludes the others, and a value" {
	stops "kernel parameters mlimg.rescue and mlimg.volatile exclude each other: keep one" "$cmdline mlimg.rescue mlimg.volatile"
	stops "kernel parameters mlimg.volatile and mlimg.readonly exclude each other: keep one" "$cmdline mlimg.volatile mlimg.readonly"
	stops "kernel parameters mlimg.reset and mlimg.rescue exclude each other: keep one" "$cmdline mlimg.reset=a mlimg.rescue"
	stops "kernel parameter mlimg.readonly=1 is malformed: mlimg.readonly takes no value" "$cmdline mlimg.readonly=1"
}

@test "fsck: repaired: on with the boot, and it is told" {
	machine() {
		two_layers
		echo 1 >"$T/e2fsck.status"
		printf '%s\n' 'mlimg-user: recovering journal' '' $'\t(more)' 'mlimg-user: 12/64 files' >"$T/e2fsck.out"
	}
	boots "$cmdline"
	same "what was done" "e2fsck -p /dev/vda
agent stage user e2fsck ended with 1: mlimg-user: recovering journal; mlimg-user: 12/64 files
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --user-dev /dev/vda --fsck 1 --fsck-said mlimg-user: recovering journal; mlimg-user: 12/64 files" "$(log | sed -n 1,4p)"
	same "a reboot?" "" "$(in_both 0 "" "" "mlimg_boot '$cmdline' \"\$T/root\" /sbin/init; printf \"\$MLIMG_REBOOT\"")"
}

@test "fsck: what it cannot repair stops the boot, before the layer is mounted" {
	local code
	machine() {
		two_layers
		echo $code >"$T/e2fsck.status"
		echo 'mlimg-user: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.' >"$T/e2fsck.out"
	}
	for code in 4 5 8 12 127 139; do
		stops "the user layer $user on /dev/vda is damaged, and 'e2fsck -p' ended with $code: mlimg-user: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.: \
copy the image, then repair it with 'e2fsck -f'; mlimg.rescue boots without it"
		same "mounts" "" "$(log | grep ^mount || :)"
	done
	stops "the user layer $user on /dev/vda is damaged, and 'e2fsck -p' ended with 139: mlimg-user: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.: \
copy the image, then repair it with 'e2fsck -f'; mlimg.rescue boots without it" "$cmdline mlimg.volatile"
	boots "$cmdline mlimg.readonly" "mlimg: $readonly"
	boots "$cmdline mlimg.rescue" "mlimg: $rescue"
}

@test "fsck: of what it says at length the beginning and the end are told" {
	local text
	text=$(seq -f 'line %g' 3000)
	in_both 0 "line 1; line 2; line 3; line 4; line 5; line 6; line 7; (2992 lines more); line 3000" "" \
		"mlimg_join_lines '$text'; echo \"\$MLIMG_FSCK_SAID\""
	text=$(seq -f 'line %g' 8)
	in_both 0 "line 1; line 2; line 3; line 4; line 5; line 6; line 7; line 8" "" "mlimg_join_lines '$text'; echo \"\$MLIMG_FSCK_SAID\""
}

@test "fsck: it asks for a reboot" {
	local code
	machine() {
		two_layers
		echo $code >"$T/e2fsck.status"
		echo 'mlimg-user: REBOOT' >"$T/e2fsck.out"
	}
	for code in 2 3; do
		in_both 0 y "mlimg: e2fsck repaired the user layer $user on /dev/vda and asks for a reboot: mlimg-user: REBOOT" \
			"mlimg_boot '$cmdline' \"\$T/root\" /sbin/init || echo \$MLIMG_REBOOT"
	done
}

@test "fsck: an initramfs without it says so, and goes on" {
	local note="the user layer was not checked: no e2fsck in this initramfs; the kernel replays its journal"
	in_both 0 "" "" "command() { return 1; }; mlimg_boot '$cmdline' \"\$T/root\" /sbin/init"
	same "what was done" "agent stage user $note
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --user-dev /dev/vda --note $note" "$(log | sed -n 1,3p)"
}

@test "identity: the agent is told the word, in the normal mode only" {
	boots "$cmdline mlimg.identity=a1"
	same "what was done" "$prepare --user-dev /dev/vda --identity a1 --fsck 0 --fsck-said mlimg-user: clean" "$(log | grep prepare)"
	boots "$cmdline mlimg.identity=a1 mlimg.volatile" "mlimg: $volatile"
	same "what was done" "$prepare --mode volatile --fsck 0 --fsck-said mlimg-user: clean" "$(log | grep prepare)"
	stops "kernel parameter mlimg.identity=a/b is malformed: mlimg.identity takes a word for this request, which no earlier one had: 1 to 64 letters, digits, '.', '_', '-'" \
		"$cmdline mlimg.identity=a/b"
}

@test "reset: the agent is told the word, which can be a name of a directory" {
	local word
	for word in 1 again.2_b-C "$(printf '%064d' 1)"; do
		boots "$cmdline mlimg.reset=$word"
		same "what was done" "$prepare --user-dev /dev/vda --fsck 0 --fsck-said mlimg-user: clean --reset $word" "$(log | grep prepare)"
	done
	for word in '' . .. .x -x _x a/b 'ä' "$(printf '%065d' 1)"; do
		stops "kernel parameter mlimg.reset=$word is malformed: mlimg.reset takes a word for this request, which no earlier one had: 1 to 64 letters, digits, '.', '_', '-'" \
			"$cmdline mlimg.reset=$word"
	done
}

# The user's disk has nothing on it; so said the identify that was not told to want it.
blank() {
	two_layers
	sed -i '/vda/d' "$T/disks"
	disk /dev/vda blank - - $user 'the first 128 KiB are zero' >>"$T/disks"
}

format="mlimg.format=alice:00112233445566778899aabbccddeeff"

@test "format: a blank disk, where the command line says so" {
	machine() {
		blank
	}
	boots "$cmdline $format"
	same "what was done" "agent stage user making the user layer on /dev/vda, which is blank
agent format --dev /dev/vda --user $user --as alice:00112233445566778899aabbccddeeff
e2fsck -p /dev/vda
mount -t ext4 -o rw,nosuid,nodev /dev/vda T/run/mlimg/user
$prepare --user-dev /dev/vda --formatted --fsck 0 --fsck-said mlimg-user: clean" "$(log | sed -n 1,5p)"
	same "looks at the disks" 2 "$(wc -l <"$T/looks")"
	same "wanted" "--want $sys --want $sw" "$(cat "$T/identify.args")"
}

@test "format: one that is a layer already is left alone" {
	boots "$cmdline $format"
	same "what was done" "e2fsck -p /dev/vda" "$(log | sed -n 1p)"
	same "looks at the disks" 1 "$(wc -l <"$T/looks")"
}

@test "format: not without the parameter, nor in another mode, nor a disk of another serial" {
	machine() {
		blank
	}
	stops "/dev/vda (serial $user) should be the user layer $user, but holds nothing: attach the right image"
	stops "/dev/vda (serial $user) should be the user layer $user, but holds nothing: attach the right image" "$cmdline $format mlimg.volatile"
	boots "$cmdline $format mlimg.rescue" "mlimg: $rescue
mlimg: the user layer $user is not there: /dev/vda (serial $user) holds nothing: attach the right image"
	machine() {
		blank
		sed -i 's/\(vda.*\)'$user'/\1other/' "$T/disks"
	}
	stops "waited 5 s, still missing the user layer $user; there is /dev/vdc (serial $sys) with a system layer, UUID 0123456789ab8def8123ffffffffffff, \
/dev/vdb (serial $sw) with a software layer, UUID aaaaaaaaaaaa8aaaaaaaffffffffffff, /dev/vda (serial other) with nothing: \
attach what is missing, or correct the kernel parameters" "$cmdline $format"
	same "formatted" "" "$(grep 'agent format' "$T/log" || :)"
}

@test "format: something else on the disk, a second disk, and what the agent refuses" {
	machine() {
		blank
		sed -i 's/blank\(.*\)the first.*/other\1x/' "$T/disks"
	}
	stops "/dev/vda (serial $user) should be the user layer $user, but holds no layer: attach the right image" "$cmdline $format"
	machine() {
		two_layers
		disk /dev/vdd blank - - $user 'the first 128 KiB are zero' >>"$T/disks"
	}
	stops "/dev/vdd (serial $user) is blank, and there is another disk for the user layer $user: detach one of them" "$cmdline $format"
	machine() {
		blank
		echo 3 >"$T/format.status"
		echo 'mlimg-agent: /dev/vda is not blank: something is at byte 3000000' >"$T/format.err"
	}
	stops "/dev/vda is not blank: something is at byte 3000000" "$cmdline $format"
	same "mounts" "" "$(log | grep ^mount || :)"
}

@test "format: malformed" {
	local word
	for word in '' alice alice: alice:0011 alice:00112233445566778899AABBCCDDEEFF 00112233445566778899aabbccddeeff; do
		stops "kernel parameter mlimg.format=$word is malformed: mlimg.format takes NAME:INSTANCE, the name of a user layer and 32 hex digits (lower case)" \
			"$cmdline mlimg.format=$word"
	done
}
