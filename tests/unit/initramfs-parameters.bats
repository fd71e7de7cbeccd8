#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2317,SC2086 # scripts for other shells; functions that in_both calls; plain words
# The kernel parameters of initramfs/README.md, in both shells.

load ../lib/common
load ../lib/boot

sys=0123456789abcdef0123
user=fedcba98765432100000

# parses CMDLINE WANTED: WANTED is "system|software|user|union|wait|init|debug"
parses() {
	in_both 0 "$2" "" "mlimg_parse '$1' && echo \"\$MLIMG_SYSTEM|\$MLIMG_SOFTWARE|\$MLIMG_USER|\$MLIMG_UNION|\$MLIMG_WAIT|\$MLIMG_INIT|\$MLIMG_DEBUG\""
}

# refuses CMDLINE MESSAGE
refuses() {
	in_both 1 "" "mlimg: $2" "mlimg_parse '$1'"
}

hex='20 to 64 hex digits (lower case) of an id'

@test "parameters: defaults" {
	parses "mlimg.system=$sys mlimg.user=$user" "$sys||$user|overlay|30||"
}

@test "parameters: all of them, among others" {
	parses "BOOT_IMAGE=/vmlinuz ro  quiet mlimg.debug mlimg.init=/bin/sh mlimg.wait=3600 mlimg.union=overlay mlimg.user=$user mlimg.software=11111111111111111111,2222222222222222222222 mlimg.system=$sys boot=mlimg	foo=*" \
		"$sys|11111111111111111111 2222222222222222222222|$user|overlay|3600|/bin/sh|y"
}

@test "parameters: an index" {
	local index=33333333333333333333
	in_both 0 "index $index system:$sys software:11111111111111111111 user:$user index:$index" "" \
		"mlimg_parse 'mlimg.index=$index mlimg.union=index mlimg.system=$sys mlimg.software=11111111111111111111 mlimg.user=$user' &&
		echo \"\$MLIMG_UNION \$MLIMG_INDEX \$MLIMG_WANTED\""
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.union=index" \
		'kernel parameter mlimg.index is missing: mlimg.union=index takes the id of the stack that the index is of'
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.index=$index" \
		'kernel parameter mlimg.index is only for mlimg.union=index: keep both or none'
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.union=overlay mlimg.index=$index" \
		'kernel parameter mlimg.index is only for mlimg.union=index: keep both or none'
	refuses "mlimg.index=xyz" "kernel parameter mlimg.index=xyz is malformed: mlimg.index takes $hex"
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.union=index mlimg.index=$sys" \
		"the kernel parameters name $sys twice: a layer has one place in a stack"
}

@test "parameters: unionfs, and converting" {
	in_both 0 "unionfs y" "" "mlimg_parse 'mlimg.union=unionfs mlimg.convert mlimg.system=$sys mlimg.user=$user' && echo \"\$MLIMG_UNION \$MLIMG_CONVERT\""
	in_both 0 "overlay " "" "mlimg_parse 'mlimg.system=$sys mlimg.user=$user' && echo \"\$MLIMG_UNION \$MLIMG_CONVERT\""
	refuses "mlimg.convert=y" 'kernel parameter mlimg.convert=y is malformed: mlimg.convert takes no value'
	refuses "mlimg.convert mlimg.volatile mlimg.system=$sys mlimg.user=$user" \
		'kernel parameters mlimg.convert and mlimg.volatile exclude each other: keep one'
	refuses "mlimg.union=unionfs mlimg.system=$sys mlimg.user=$user mlimg.patch=11111111111111111111" \
		"kernel parameter mlimg.patch is not for mlimg.union=unionfs: unionfs-fuse cannot follow a patch to the contents beneath it; attach the new system's own image"
	refuses "mlimg.union=unionfs mlimg.system=$sys mlimg.user=$user mlimg.index=11111111111111111111" \
		'kernel parameter mlimg.index is only for mlimg.union=index: keep both or none'
}

@test "parameters: an id of 64 digits" {
	parses "mlimg.system=$sys$sys${sys}abcd mlimg.user=$user" "$sys$sys${sys}abcd||$user|overlay|30||"
}

@test "parameters: what follows -- is init's" {
	parses "mlimg.system=$sys mlimg.user=$user -- mlimg.nonsense mlimg.user=x" "$sys||$user|overlay|30||"
}

@test "parameters: system missing" {
	refuses "boot=mlimg mlimg.user=$user" 'kernel parameter mlimg.system is missing: it takes the id of the system layer'
}

@test "parameters: user missing" {
	refuses "mlimg.system=$sys" 'kernel parameter mlimg.user is missing: it takes the id of the user layer'
}

@test "parameters: none at all" {
	refuses "" 'kernel parameter mlimg.system is missing: it takes the id of the system layer'
}

@test "parameters: twice" {
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.system=$sys" 'kernel parameter mlimg.system is given twice: keep one'
	refuses "mlimg.debug mlimg.debug mlimg.system=$sys mlimg.user=$user" 'kernel parameter mlimg.debug is given twice: keep one'
}

@test "parameters: unknown" {
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.softwear=$sys" 'kernel parameter mlimg.softwear is unknown: mlimg-boot(7) lists them all'
	refuses "mlimg.=1" 'kernel parameter mlimg. is unknown: mlimg-boot(7) lists them all'
}

@test "parameters: an id that is too short, too long, not hexadecimal, empty" {
	refuses "mlimg.system=0123456789abcdef012" "kernel parameter mlimg.system=0123456789abcdef012 is malformed: mlimg.system takes $hex"
	refuses "mlimg.system=$sys$sys${sys}abcde" "kernel parameter mlimg.system=$sys$sys${sys}abcde is malformed: mlimg.system takes $hex"
	refuses "mlimg.user=0123456789ABCDEF0123" "kernel parameter mlimg.user=0123456789ABCDEF0123 is malformed: mlimg.user takes $hex"
	refuses "mlimg.user=" "kernel parameter mlimg.user= is malformed: mlimg.user takes $hex"
	refuses "mlimg.user" "kernel parameter mlimg.user is malformed: mlimg.user takes $hex"
}

@test "parameters: a list of software with a hole, a wrong id, nothing" {
	refuses "mlimg.software=11111111111111111111,,22222222222222222222" "kernel parameter mlimg.software= is malformed: mlimg.software takes $hex"
	refuses "mlimg.software=11111111111111111111,xyz" "kernel parameter mlimg.software=xyz is malformed: mlimg.software takes $hex"
	refuses "mlimg.software=11111111111111111111," "kernel parameter mlimg.software= is malformed: mlimg.software takes $hex"
	refuses "mlimg.software=" "kernel parameter mlimg.software= is malformed: mlimg.software takes $hex"
}

# software N: a list of N different ids
software() {
	local i list=
	for ((i = 1; i <= $1; i++)); do
		list+=,$(printf '%020d' "$i")
	done
	echo "${list#,}"
}

@test "parameters: 64 software layers, and not one more" {
	parses "mlimg.system=$sys mlimg.user=$user mlimg.software=$(software 64)" "$sys|$(software 64 | tr , ' ')|$user|overlay|30||"
	refuses "mlimg.software=$(software 65)" 'kernel parameter mlimg.software names 65 layers: 64 is the most'
}

@test "parameters: patches lie between system and software; 16, and not one more" {
	in_both 0 "2 system:$sys patch:11111111111111111111 patch:2222222222222222222222 software:33333333333333333333 user:$user" "" \
		"mlimg_parse 'mlimg.software=33333333333333333333 mlimg.patch=11111111111111111111,2222222222222222222222 mlimg.system=$sys mlimg.user=$user' &&
		echo \"\$MLIMG_N_PATCHES \$MLIMG_WANTED\""
	in_both 0 "16 $(software 16 | tr , ' ')" "" "mlimg_parse 'mlimg.system=$sys mlimg.user=$user mlimg.patch=$(software 16)' && echo \"\$MLIMG_N_PATCHES \$MLIMG_PATCH\""
	in_both 0 "0 " "" "mlimg_parse 'mlimg.system=$sys mlimg.user=$user' && echo \"\$MLIMG_N_PATCHES \$MLIMG_PATCH\""
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.patch=$(software 17)" 'kernel parameter mlimg.patch names 17 patches: 16 is the most'
	refuses "mlimg.patch=11111111111111111111,xyz" "kernel parameter mlimg.patch=xyz is malformed: mlimg.patch takes $hex"
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.patch=$sys" "the kernel parameters name $sys twice: a layer has one place in a stack"
}

@test "parameters: one layer in two places" {
	refuses "mlimg.system=$sys mlimg.user=$sys" "the kernel parameters name $sys twice: a layer has one place in a stack"
	refuses "mlimg.system=$sys mlimg.user=$user mlimg.software=${sys}abcd" "the kernel parameters name $sys twice: a layer has one place in a stack"
}

@test "parameters: union, wait, init, debug malformed" {
	refuses "mlimg.union=aufs" "kernel parameter mlimg.union=aufs is malformed: mlimg.union takes 'index', 'overlay' or 'unionfs'"
	local wait
	for wait in 0 08 010 3601 99999 -1 1.5 ten ''; do
		refuses "mlimg.wait=$wait" "kernel parameter mlimg.wait=$wait is malformed: mlimg.wait takes seconds, 1 to 3600"
	done
	refuses "mlimg.init=bin/sh" 'kernel parameter mlimg.init=bin/sh is malformed: mlimg.init takes an absolute path'
	refuses "mlimg.debug=1" 'kernel parameter mlimg.debug=1 is malformed: mlimg.debug takes no value'
}

@test "parameters: a failure goes into the file that MLIMG_FAILURE names" {
	in_both 0 "1 kernel parameter mlimg.x is unknown: mlimg-boot(7) lists them all" "" \
		'MLIMG_FAILURE=$T/failure; mlimg_parse mlimg.x; echo "$? $(cat "$T/failure")"'
}

@test "parameters: README, manual page and code have the same" {
	local known readme page
	known=$(sed -n 's/^\t\t\(mlimg\.[a-z]*\)).*/\1/p' "$MLIMG_TOP/initramfs/lib/mlimg-decisions" | sort)
	readme=$(sed -n 's/^| `\(mlimg\.[a-z]*\)` |.*/\1/p' "$MLIMG_TOP/initramfs/README.md" | sort)
	page=$(sed -n 's/^\.It Cm \(mlimg\.[a-z]*\).*/\1/p' "$MLIMG_TOP/initramfs/mlimg-boot.7" | sort -u) # a parameter may have several forms
	[ "$(wc -w <<<"$known")" -ge 8 ]
	same "table of README.md" "$known" "$readme"
	same "list of mlimg-boot.7" "$known" "$page"
}

@test "parameters: those that an adapter looks at itself are in the code, under every flavour the same" {
	local known flavour
	known=$(sed -n 's/^\t\t\(mlimg\.[a-z]*\)).*/\1/p' "$MLIMG_TOP/initramfs/lib/mlimg-decisions" | sort)
	for flavour in initramfs-tools dracut init; do
		grep -rhoE 'mlimg\.[a-z]+=' "$MLIMG_TOP/initramfs/$flavour" | tr -d = | sort -u >"$BATS_TEST_TMPDIR/used"
		grep -qx mlimg.union "$BATS_TEST_TMPDIR/used"
		same "unknown ones in $flavour" "" "$(grep -vxF "$known" "$BATS_TEST_TMPDIR/used" || true)"
	done
}
