#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# Which disk is which: what `mlimg-agent identify` says, against the ids of the stack. Messages are exact.

load ../lib/common
load ../lib/boot

# Ids and the UUIDs of their file systems: the 13th and the 17th digit are not the id's (libmlimg/layer.h).
sys=0123456789abcdef0123 sys_uuid=0123456789ab8def8123ffffffffffff
sw=aaaaaaaaaaaaaaaaaaaa sw_uuid=aaaaaaaaaaaa8aaaaaaaffffffffffff
user=fedcba98765432100000 user_uuid=fedcba9876548210b000ffffffffffff
other_uuid=99999999999989999999999999999999

want='MLIMG_SYSTEM='$sys' MLIMG_SOFTWARE='$sw' MLIMG_USER='$user'; mlimg_want; '
show='echo "found$MLIMG_FOUND"; echo "missing $MLIMG_MISSING"; echo "refusal $MLIMG_REFUSAL"'

vda=$(disk /dev/vda layer system $sys_uuid $sys 'ext4, 64 MiB')
vdb=$(disk /dev/vdb layer software $sw_uuid $sw 'ext4, 1 MiB')
vdc=$(disk /dev/vdc layer user $user_uuid $user 'ext4, 1 GiB')

# matches TABLE FOUND MISSING REFUSAL
matches() {
	in_both 0 "found$2
missing $3
refusal $4" "" "$want mlimg_match \"$1\"; $show"
}

all=" system:$sys=/dev/vda software:$sw=/dev/vdb user:$user=/dev/vdc "

@test "disks: all there" {
	matches "$vda
$vdb
$vdc" "$all" "" ""
}

@test "disks: the order does not matter" {
	matches "$vdc
$vdb
$vda" " user:$user=/dev/vdc software:$sw=/dev/vdb system:$sys=/dev/vda " "" ""
}

@test "disks: without serials" {
	matches "${vda/$sys/-}
${vdb/$sw/-}
${vdc/$user/-}" "$all" "" ""
}

@test "disks: serials that are exchanged do not mislead" {
	matches "${vda/$sys/$sw}
${vdb/$sw/$sys}
$vdc" "$all" "" ""
}

@test "disks: other disks are none of our business" {
	matches "$(disk /dev/sda ext4 - 0000 - 'ext4, label home')
$vda
$(disk /dev/sdb blank - - QM00001 'zero')
$vdb
$(disk /dev/sdc other - - - 'no')
$vdc
$(disk /dev/sdd unreadable - - - 'Input/output error')
$(disk /dev/sde damaged - $other_uuid - 'ext4, but bad')
$(disk /dev/sdf truncated - $other_uuid - 'cut')" "$all" "" ""
}

@test "disks: missing" {
	matches "$vdb" " software:$sw=/dev/vdb " "the system layer $sys, the user layer $user" ""
}

@test "disks: an id of 64 digits is compared in all that a UUID holds" {
	local full=0123456789abcdef0123456789abcdef00000000000000000000000000000000
	in_both 0 "yes no no" "" '
		ask() { mlimg_uuid_matches "$1" '$full' && printf "yes " || printf "no "; }
		x=$(ask 0123456789ab8def8123456789abcdef; ask 0123456789ab8def8123456789abcdee; ask 1123456789ab8def8123456789abcdef)
		echo ${x% }'
}

@test "disks: an empty or short UUID matches nothing" {
	in_both 0 "none" "" 'mlimg_uuid_matches - '$sys' || mlimg_uuid_matches "" '$sys' || mlimg_uuid_matches 0123456789ab8def '$sys' || echo none'
}

@test "disks: a serial that is wanted on a disk that holds another layer" {
	matches "$vda
$vdb
$(disk /dev/vdc layer user $other_uuid $user 'ext4')" " system:$sys=/dev/vda software:$sw=/dev/vdb " "the user layer $user" \
		"/dev/vdc (serial $user) should be the user layer $user, but holds a user layer, UUID $other_uuid: attach the right image"
}

@test "disks: a serial that is wanted on a plain ext4" {
	matches "$vda
$vdb
$(disk /dev/vdc ext4 - $other_uuid $user 'ext4')" " system:$sys=/dev/vda software:$sw=/dev/vdb " "the user layer $user" \
		"/dev/vdc (serial $user) should be the user layer $user, but holds an ext4 that is no layer: attach the right image"
}

@test "disks: damaged, known by its serial" {
	matches "$vda
$vdb
$(disk /dev/vdc damaged - - $user 'the serial is wanted, but no ext4 superblock is there')" \
		" system:$sys=/dev/vda software:$sw=/dev/vdb " "the user layer $user" \
		"/dev/vdc (serial $user) should be the user layer $user, but is damaged (the serial is wanted, but no ext4 superblock is there): check the image with 'e2fsck -fn'"
}

@test "disks: damaged, known by its UUID" {
	matches "$(disk /dev/vda damaged system $sys_uuid - 'ext4, but wrong checksum')
$vdb
$vdc" " software:$sw=/dev/vdb user:$user=/dev/vdc " "the system layer $sys" \
		"/dev/vda (no serial) should be the system layer $sys, but is damaged (ext4, but wrong checksum): check the image with 'e2fsck -fn'"
}

@test "disks: truncated" {
	matches "$vda
$(disk /dev/vdb truncated software $sw_uuid $sw '9 bytes, the disk only 8')
$vdc" " system:$sys=/dev/vda user:$user=/dev/vdc " "the software layer $sw" \
		"/dev/vdb (serial $sw) should be the software layer $sw, but is truncated (9 bytes, the disk only 8): compare its size with the original's"
}

@test "disks: a layer too many" {
	matches "$vda
$vdb
$vdc
$(disk /dev/vdd layer software $other_uuid 99999999999999999999 'ext4')" "$all" "" \
		"/dev/vdd (serial 99999999999999999999) holds a software layer, UUID $other_uuid, which is not in the stack: detach it, or add it to the kernel parameters"
}

@test "disks: a wanted disk that is wrong is told before one too many" {
	matches "$(disk /dev/vda layer software $other_uuid 99999999999999999999 'ext4')
$vdb
$(disk /dev/vdc truncated user $user_uuid $user 'cut')" " software:$sw=/dev/vdb " "the system layer $sys, the user layer $user" \
		"/dev/vdc (serial $user) should be the user layer $user, but is truncated (cut): compare its size with the original's"
}

@test "disks: two with the same id" {
	matches "$vda
$vdb
$vdc
$(disk /dev/vdd layer user $user_uuid copy 'ext4')" "$all" "" \
		"/dev/vdc and /dev/vdd (serial copy) both hold the user layer $user: detach one of them"
}

@test "disks: a parameter of the wrong kind" {
	matches "${vda/system/software}
$vdb
$vdc" " software:$sw=/dev/vdb user:$user=/dev/vdc " "the system layer $sys" \
		"/dev/vda (serial $sys) holds a software layer, UUID $sys_uuid, but mlimg.system names it: correct the kernel parameters"
}

@test "disks: a patch that is there, missing, taken for software, attached without being named" {
	local patch=cccccccccccccccccccc patch_uuid=cccccccccccc8ccccccc0000000000ff
	local vdd want="MLIMG_PATCH=$patch $want"
	vdd=$(disk /dev/vdd layer patch $patch_uuid $patch 'ext4, 1 MiB')
	matches "$vda
$vdd
$vdb
$vdc" " system:$sys=/dev/vda patch:$patch=/dev/vdd software:$sw=/dev/vdb user:$user=/dev/vdc " "" ""
	matches "$vda
$vdb
$vdc" "$all" "the patch layer $patch" ""
	matches "$vda
${vdd/patch/software}
$vdb
$vdc" "$all" "the patch layer $patch" \
		"/dev/vdd (serial $patch) holds a software layer, UUID $patch_uuid, but mlimg.patch names it: correct the kernel parameters"
	matches "$vda
$(disk /dev/vdd layer patch $other_uuid $patch 'ext4, 1 MiB')
$vdb
$vdc" "$all" "the patch layer $patch" \
		"/dev/vdd (serial $patch) should be the patch layer $patch, but holds a patch layer, UUID $other_uuid: attach the right image"
	want=${want#* }
	matches "$vda
$vdd
$vdb
$vdc" "$all" "" "/dev/vdd (serial $patch) holds a patch layer, UUID $patch_uuid, which is not in the stack: \
detach it, or add it to the kernel parameters"
}

@test "disks: unreadable is not yet wrong" {
	matches "$vda
$vdb
$(disk /dev/vdc unreadable - - $user 'Input/output error')" " system:$sys=/dev/vda software:$sw=/dev/vdb " "the user layer $user" ""
}

# --- the index ---

idx=33333333333333333333 idx_uuid=33333333333383338333000000000000
vdd=$(disk /dev/vdd layer index $idx_uuid $idx 'EROFS, 4.0 KiB, over 2 layers')

# matches_index TABLE FOUND MISSING REFUSAL: as matches, where an index is wanted too.
matches_index() {
	want="MLIMG_INDEX=$idx; $want" matches "$@"
}

@test "disks: an index, wherever it is" {
	matches_index "$vdd
$vda
$vdb
$vdc" " index:$idx=/dev/vdd$all" "" ""
	matches_index "$vda
$vdb
$vdc" "$all" "the index $idx" ""
}

@test "disks: of an index' whole id its UUID has no more than the first digits" {
	local rest=44444444444444444444444444444444444444444444
	want="MLIMG_INDEX=$idx$rest; $want" matches "$vdd
$vda
$vdb
$vdc" " index:$idx$rest=/dev/vdd$all" "" ""
	# A layer's has all that there is room for.
	matches_whole() {
		want='MLIMG_SYSTEM='$sys$rest' MLIMG_SOFTWARE='$sw' MLIMG_USER='$user'; mlimg_want; ' matches "$@"
	}
	matches_whole "$vda
$vdb
$vdc" " software:$sw=/dev/vdb user:$user=/dev/vdc " "the system layer $sys" \
		"/dev/vda (serial $sys) should be the system layer $sys, but holds a system layer, UUID $sys_uuid: attach the right image"
}

@test "disks: a joined index stands for all layers, but not for the user's" {
	local joined=${vdd/layer$'\t'index/layer$'\t'joined}
	matches_index "$joined
$vdc" " index:$idx=/dev/vdd user:$user=/dev/vdc " "" ""
	matches_index "$joined" " index:$idx=/dev/vdd " "the user layer $user" ""
	matches_index "$vdc
$vda
$joined" " user:$user=/dev/vdc system:$sys=/dev/vda index:$idx=/dev/vdd " "" ""
	matches_index "${joined/$idx_uuid/$other_uuid}
$vdc" " user:$user=/dev/vdc " "the system layer $sys, the software layer $sw, the index $idx" \
		"/dev/vdd (serial $idx) should be the index $idx, but holds an index, UUID $other_uuid: attach the right image"
	matches_index "$vdc
${joined/layer$'\t'/truncated$'\t'}" " user:$user=/dev/vdc " "the system layer $sys, the software layer $sw, the index $idx" \
		"/dev/vdd (serial $idx) should be the index $idx, but is truncated (EROFS, 4.0 KiB, over 2 layers): compare its size with the original's"
}

@test "disks: an index that nobody asked for" {
	matches "$vda
$vdb
$vdc
$vdd" "$all" "" "/dev/vdd (serial $idx) holds an index, UUID $idx_uuid, which is not in the stack: detach it, or add it to the kernel parameters"
}

@test "disks: another index, a layer in the index's place, and an index in a layer's" {
	matches_index "$vda
$vdb
$vdc
${vdd/$idx_uuid/$other_uuid}" "$all" "the index $idx" \
		"/dev/vdd (serial $idx) should be the index $idx, but holds an index, UUID $other_uuid: attach the right image"
	matches_index "$vda
$vdb
$vdc
$(disk /dev/vdd layer software $other_uuid $idx 'ext4')" "$all" "the index $idx" \
		"/dev/vdd (serial $idx) should be the index $idx, but holds a software layer, UUID $other_uuid: attach the right image"
	matches_index "$vda
$(disk /dev/vdb layer index $sw_uuid - EROFS)
$vdc
$vdd" " system:$sys=/dev/vda user:$user=/dev/vdc index:$idx=/dev/vdd " "the software layer $sw" \
		"/dev/vdb (no serial) holds an index, UUID $sw_uuid, but mlimg.software names it: correct the kernel parameters"
}

@test "disks: an index that is damaged, truncated, there twice" {
	matches_index "$vda
$vdb
$vdc
$(disk /dev/vdd damaged index $idx_uuid - 'index, but superblock checksum is wrong')" "$all" "the index $idx" \
		"/dev/vdd (no serial) should be the index $idx, but is damaged (index, but superblock checksum is wrong): compile it again with mlimg-index"
	matches_index "$vda
$vdb
$vdc
$(disk /dev/vdd truncated index $idx_uuid $idx '9 bytes, the disk only 8')" "$all" "the index $idx" \
		"/dev/vdd (serial $idx) should be the index $idx, but is truncated (9 bytes, the disk only 8): compare its size with the original's"
	matches_index "$vda
$vdb
$vdc
$vdd
${vdd/vdd/vde}" "${all}index:$idx=/dev/vdd " "" "/dev/vdd and /dev/vde (serial $idx) both hold the index $idx: detach one of them"
}

# --- waiting ---

# finds STATUS STDERR LOG; the test's own function `machine` prepares what is seen when.
finds() {
	in_both "$1" "" "$2" "$want MLIMG_WAIT=5 MLIMG_UNION=overlay; mkdir \"\$MLIMG_RUN\"; mlimg_find_disks"
	same "what was called" "$3" "$(cat "$T/log" 2>/dev/null)"
}

@test "waiting: nothing to wait for" {
	machine() {
		printf '%s\n' "$vda" "$vdb" "$vdc" >"$T/disks"
	}
	finds 0 "" ""
	same "ids asked for" "--want $sys --want $sw --want $user" "$(cat "$T/identify.args")"
}

@test "waiting: disks appear one by one, the host is told once for each change" {
	machine() {
		: >"$T/disks"
		printf '%s\n' "$vdb" >"$T/disks.2"
		printf '%s\n' "$vdb" "$vdc" >"$T/disks.4"
		printf '%s\n' "$vda" "$vdb" "$vdc" >"$T/disks.5"
	}
	finds 0 "" "agent stage disks waiting up to 5 s for the system layer $sys, the software layer $sw, the user layer $user
agent stage disks waiting up to 5 s for the system layer $sys, the user layer $user
agent stage disks waiting up to 5 s for the system layer $sys"
}

@test "waiting: ends, and says what is missing and what is there" {
	machine() {
		printf '%s\n' "$vda" "$(disk /dev/vdb unreadable - - $sw 'Input/output error')" \
			"$(disk /dev/vdc blank - - - 'zero')" "$(disk /dev/vdd ext4 - 00 QM1 'ext4')" >"$T/disks"
	}
	finds 1 "mlimg: waited 5 s, still missing the software layer $sw, the user layer $user; there is /dev/vda (serial $sys) with a system layer, UUID $sys_uuid, /dev/vdb (serial $sw) with something unreadable (Input/output error), /dev/vdc (no serial) with nothing, /dev/vdd (serial QM1) with an ext4 that is no layer: attach what is missing, or correct the kernel parameters" \
		"agent stage disks waiting up to 5 s for the software layer $sw, the user layer $user"
}

@test "waiting: ends, and there is no disk" {
	finds 1 "mlimg: waited 5 s, still missing the system layer $sys, the software layer $sw, the user layer $user; there is no disk: attach what is missing, or correct the kernel parameters" \
		"agent stage disks waiting up to 5 s for the system layer $sys, the software layer $sw, the user layer $user"
}

@test "waiting: of many disks eight are named" {
	machine() {
		local i
		for i in 1 2 3 4 5 6 7 8 9 10; do disk "/dev/sd$i" blank - - - zero; done >"$T/disks"
	}
	in_both 1 "" "mlimg: waited 5 s, still missing the system layer $sys, the software layer $sw, the user layer $user; there is $(
		printf '/dev/sd%s (no serial) with nothing, ' 1 2 3 4 5 6 7 8
	)and 2 more: attach what is missing, or correct the kernel parameters" \
		"$want MLIMG_WAIT=5; mkdir \"\$MLIMG_RUN\"; mlimg_find_disks"
}

@test "waiting: a wrong disk ends it at the second look" {
	machine() {
		printf '%s\n' "$vda" "$vdb" "$(disk /dev/vdc truncated user $user_uuid $user 'cut')" >"$T/disks"
	}
	finds 1 "mlimg: /dev/vdc (serial $user) should be the user layer $user, but is truncated (cut): compare its size with the original's" \
		"agent stage disks waiting up to 5 s for the user layer $user"
	same "looks" 2 "$(wc -l <"$T/looks")"
}

@test "waiting: a wrong disk that is detached in time" {
	machine() {
		printf '%s\n' "$(disk /dev/vda layer system $other_uuid - 'ext4')" >"$T/disks"
		printf '%s\n' "$vda" "$vdb" "$vdc" >"$T/disks.2"
	}
	in_both 0 "" "" "$want MLIMG_WAIT=5; mkdir \"\$MLIMG_RUN\"; mlimg_find_disks"
}

@test "waiting: the agent's failure is the message" {
	machine() {
		echo 3 >"$T/identify.status"
		echo 'mlimg-agent: list /sys/block: No such file or directory' >"$T/identify.err"
	}
	finds 1 "mlimg: list /sys/block: No such file or directory" ""
}

@test "waiting: the agent fails without a word" {
	machine() {
		echo 1 >"$T/identify.status"
	}
	finds 1 "mlimg: mlimg-agent identify failed and did not say why" ""
}
