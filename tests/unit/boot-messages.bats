#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Whoever stands before a guest that did not come up finds the line on its console in mlimg-boot(7).

load ../lib/common

page=$MLIMG_TOP/initramfs/mlimg-boot.7
messages=$MLIMG_TOP/tests/lib/boot-messages

# What a boot runs: the functions of the initramfs, and of the agent what its calls there are for. Where these name a reason out of a library, it stands behind theirs.
# Of a change of the stack those parts that end one which was decided: what goes wrong before stops nothing, but is a note.
sources() {
	(cd "$MLIMG_TOP" && ls initramfs/init initramfs/initramfs-tools/boot initramfs/dracut/90mlimg/*.sh initramfs/lib/* libmlimg/{index,disk,verity-read}.c \
		guest-agent/{base,carve,check-index,commit,composed,convert,declared,dm,format,hidden,identify,lowers,mounted,prepare,protect,reset,trust,unionfs,verity}*.c \
		guest-agent/{change,change-{given-up,made,place,slot,steps,undo,undo-attrs},file-flags,origins,queue-{plan,ready,refuse,run},reconcile-back,rolling,undo-log}.c)
}

@test "boot messages: each one has an entry in mlimg-boot(7)" {
	cd "$MLIMG_TOP"
	local list=()
	mapfile -t list < <(sources)
	"$messages" "${list[@]}" >"$BATS_TEST_TMPDIR/all"
	# Of every file of the functions but those that refuse nothing.
	same "where they are" "initramfs/init initramfs/lib/mlimg-decisions initramfs/lib/mlimg-disks initramfs/lib/mlimg-functions initramfs/lib/mlimg-user initramfs/lib/mlimg-verity" \
		"$(sed -n 's/^\(initramfs[^:]*\):.*/\1/p' "$BATS_TEST_TMPDIR/all" | sort -u | xargs)"
	same "those without an entry" "" "$("$messages" --missing "$page" "${list[@]}")"
}

@test "boot messages: what is read of the sources" {
	cd "$BATS_TEST_TMPDIR"
	cat >functions <<'SH'
mlimg_a() {
	mlimg_fail "$1 cannot be had: $why"
}
mlimg_b() {
	mlimg_a "the first ${x%%"$NL"*} of $n" || mlimg_a "the second"
	[ -n "$x" ] || mlimg_fail "$MLIMG_NAME is gone:" \
		"look for it"
	mlimg_refuse "${is:-$meant}" 'is wrong'
	mlimg_fail "${line:-$1 did not say why}"
	echo "mlimg: reboot in $1 s"
}
SH
	cat >agent.c <<'C'
	return mlimg_err_refuse(err, "%s: it has %" PRIu64 " parts"
		" of %.*s", name, n);
	return mlimg_err_set(err, errno, "open '%s'", name);
	return mlimg_err_set(
		err, ENOMEM, "verity");
	return mlimg_err_set(err, 0, "the kernel has no dm-%s", type);
	return mlimg_err_refuse(err, PLAN ": it is cut off");
	return mlimg_err_set(err, errno, "%s", name);
C
	works "$messages" functions agent.c
	same "messages" "functions:2	the first X of X cannot be had: X
functions:2	the second cannot be had: X
functions:6	the KIND layer X is gone: look for it
functions:8	X (serial X) should be the KIND layer X, but is wrong
functions:9	X did not say why
functions:10	reboot in X s
agent.c:1	X: it has XX parts of X
agent.c:3	open 'X': REASON
agent.c:5	verity: Cannot allocate memory
agent.c:6	the kernel has no dm-X
agent.c:7	X: it is cut off" "$output"
}

@test "boot messages: what is an entry, and what is none" {
	cd "$BATS_TEST_TMPDIR"
	cat >page <<'MAN'
.Sh DIAGNOSTICS
.Bl -diag
.It kernel parameter NAME is missing|malformed
.It the user layer ID on DISK is damaged: ... | DISK is blank
.It the KIND layer ID cannot be verified: DISK: it is not signed
.El
.Bl -diag
.It a note
.El
MAN
	printf 'mlimg_fail "%s"\n' "kernel parameter \$1 is missing: give it" "kernel parameter \$1 is missed" "kernel parameter \$1 is given twice" \
		"\$MLIMG_NAME is damaged" "\$MLIMG_NAME on \$DEV is damaged: \$WHY" "\$DEV is blank" "\$DEV: it is not signed" "it is signed" "a note" >functions
	works "$messages" --missing page functions
	same "those without an entry" "functions:2	kernel parameter X is missed
functions:3	kernel parameter X is given twice
functions:4	the KIND layer X is damaged
functions:8	it is signed
functions:9	a note" "$output"
}
