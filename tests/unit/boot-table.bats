#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The boot table as data: which runs it makes, and which tables are refused. The rows themselves are guests, run with the vm tests.

load ../lib/common

setup() {
	table=$BATS_TEST_TMPDIR/t.table
	unset MLIMG_BOOT_TABLE
}

# row LINE…: adds a row.
row() {
	printf '%s\n' "$@" '' >>"$table"
}

two_rows() {
	row '# a comment' 'row: first' 'drivers: index overlay' 'default: stand-alone/* dracut/overlay' 'stops: a line' '	that goes on'
	row 'row: second of them' 'drivers: unionfs' 'checks: something'
}

# wrong MESSAGE
wrong() {
	fails 1 "boot-table: $1" boot-table "$table"
}

@test "boot table: the runs that a row says, all, or those under some flavours and drivers" {
	two_rows
	works boot-table "$table"
	same "runs" "stand-alone index first
stand-alone overlay first
dracut overlay first" "$output"
	MLIMG_BOOT_TABLE=full works boot-table "$table"
	same "all" "$(
		for flavour in stand-alone initramfs-tools dracut dracut-systemd; do printf '%s index first\n%s overlay first\n' $flavour $flavour; done
		for flavour in stand-alone initramfs-tools dracut dracut-systemd; do echo "$flavour unionfs second of them"; done
	)" "$output"
	MLIMG_BOOT_TABLE='*/unionfs dracut/index' works boot-table "$table"
	same "some" "dracut index first
stand-alone unionfs second of them
initramfs-tools unionfs second of them
dracut unionfs second of them
dracut-systemd unionfs second of them" "$output"
	MLIMG_BOOT_TABLE=dracut wrong "$table: MLIMG_BOOT_TABLE: what is 'dracut'? FLAVOUR/DRIVER, of: \
stand-alone initramfs-tools dracut dracut-systemd; index overlay unionfs"
}

@test "boot table: a file of tests for each flavour, and no other is left" {
	two_rows
	mkdir "$BATS_TEST_TMPDIR/out"
	touch "$BATS_TEST_TMPDIR/out/t-gone.bats"
	works boot-table "$table" "$BATS_TEST_TMPDIR/out"
	same "files" "$BATS_TEST_TMPDIR/out/t-stand-alone.bats
$BATS_TEST_TMPDIR/out/t-dracut.bats" "$output"
	same "what there is" $'t-dracut.bats\nt-stand-alone.bats' "$(ls "$BATS_TEST_TMPDIR/out")"
	same "tests" $'"stand-alone, index: first" {\n"stand-alone, overlay: first" {' \
		"$(sed -n 's/^@test //p' "$BATS_TEST_TMPDIR/out/t-stand-alone.bats")"
	MLIMG_BOOT_TABLE='dracut/*' works boot-table "$table" "$BATS_TEST_TMPDIR/out"
	same "files for some flavours and drivers" $'t-dracut-index.bats\nt-dracut-overlay.bats\nt-dracut-unionfs.bats' "$(ls "$BATS_TEST_TMPDIR/out")"
	run bats --count "$BATS_TEST_TMPDIR/out/t-dracut-index.bats"
	same "what bats finds" 1 "$output"
}

@test "boot table: what is no row" {
	: >"$table"
	wrong "$table: there is no row in it"
	row 'row: x' 'checks: y'
	wrong "$table: row 'x' has no drivers"
	: >"$table"
	row 'row: x' 'drivers: aufs' 'checks: y'
	wrong "$table: row 'x': what driver is 'aufs'? one of: index overlay unionfs"
	: >"$table"
	row 'row: x' 'drivers: index'
	wrong "$table: row 'x' needs either 'stops' or 'checks'"
	row 'stops: a' 'checks: b'
	wrong "$table: row 'x' needs either 'stops' or 'checks'"
	: >"$table"
	row 'row: x' 'drivers: index' 'checks: y' 'default: stand-alone/overlay'
	wrong "$table: row 'x': its default 'stand-alone/overlay' is none of its drivers: index"
	: >"$table"
	row 'row: x' 'drivers: index' 'checks: y' 'default: grub/index'
	wrong "$table: row 'x': what is 'grub/index'? FLAVOUR/DRIVER, of: stand-alone initramfs-tools dracut dracut-systemd; index overlay unionfs"
	: >"$table"
	row 'row: x' 'drivers: index' 'check: y'
	wrong "$table: row 'x': what is the line 'check: y'?"
	: >"$table"
	two_rows
	row 'row: first' 'drivers: index' 'checks: y'
	wrong "$table: two rows are called 'first'"
	: >"$table"
	row 'row: $x' 'drivers: index' 'checks: y'
	wrong "$table: row '\$x': its title cannot be that of a test"
}

@test "boot table: every row's functions, images and words are there" {
	local key name functions=()
	table=$MLIMG_TOP/tests/vm/boot.table
	mapfile -t functions < <(sed -nE 's/^([a-z_0-9]+)\(\) \{$/\1/p' "$MLIMG_TOP"/tests/vm/rows/*.bash)
	same "rows that no flavour runs by default" "" "$(comm -13 <(boot-table "$table" | cut -d ' ' -f 3- | sort -u) \
		<(MLIMG_BOOT_TABLE=full boot-table "$table" | cut -d ' ' -f 3- | sort -u))"
	same "flavours and drivers that no row reboots by default" "" "$(comm -13 <(boot-table "$table" | grep ' survive a reboot$' | cut -d ' ' -f 1-2 | sort -u) \
		<(MLIMG_BOOT_TABLE=full boot-table "$table" | cut -d ' ' -f 1-2 | sort -u))"
	for key in change checks needs; do
		while read -r name; do
			[ "$key" != needs ] || name=make_$name
			[[ " ${functions[*]} " == *" $name "* ]] || same "function of $key" "$name" none
		done < <(sed -nE "s/^$key: ([a-z_0-9]+).*/\1/p" "$table")
	done
}
