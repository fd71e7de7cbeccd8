# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect on sound images. They are made by mke2fs and debugfs, so nothing here depends on mlimg-mkfs.

load ../lib/common

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree
	mkdir -p "$t"/{bin,etc/deep/er,fifty,usr/lib}
	printf 'hello\n' >"$t/etc/motd"
	ln "$t/etc/motd" "$t/etc/deep/motd2"
	ln -s /etc/motd "$t/absolute"
	ln -s ../../../../etc/deep "$t/etc/deep/climbs"
	ln -s loop2 "$t/loop1"
	ln -s loop1 "$t/loop2"
	ln -s "$(printf 'long%.0s' {1..50})" "$t/long"
	ln -s missing "$t/dangling"
	printf '%s' $'newline\n' >"$t/etc/"$'\xff\n\x1b[2J a=b#'
	: >"$t/empty"
	truncate -s 20M "$t/sparse"
	printf x | dd of="$t/sparse" bs=1 seek=9999999 conv=notrunc status=none
	chmod 4755 "$t/etc/motd"
	chmod 1777 "$t/fifty"
	find "$t" -exec touch -h -d @1600000000 {} +
	cat >"$BATS_FILE_TMPDIR/nodes" <<-'END'
		cd /rootfs
		mknod null c 1 3
		mknod big b 1 1
		sif big block[0] 0
		sif big block[1] 0x11110370
		mknod pipe p
		sif null uid 100000
		sif null gid 70000
		sif big mode 0060640
		sif null mtime 1600000000
		sif null mode 0020666
		sif big mtime 1600000000
		sif pipe mtime 1600000000
		sif pipe mode 0010600
		sif etc mtime @4102444800
		ea_set -f /dev/null etc user.empty
		ea_set etc user.colour blue
		ea_set /rootfs/bin security.capability 12345
	END
	handmade-layer -d "$BATS_FILE_TMPDIR/nodes" "$t" "$BATS_FILE_TMPDIR/system.img"
	handmade-layer -k user "$t" "$BATS_FILE_TMPDIR/user.img"
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

@test "--help fits into 80 columns and goes to stdout" {
	works mlimg-inspect --help
	[[ $output == "Usage: mlimg-inspect [OPTION]... IMAGE [COMMAND [OPERAND]]"* ]]
	run awk 'length > 80' <<<"$output"
	same "lines over 80 columns" "" "$output"
	works mlimg-inspect --version
	[[ $output =~ ^"mlimg-inspect (mlimg) "[0-9.]+$ ]]
}

@test "each wrong usage has its line" {
	local hint="Try 'mlimg-inspect --help' for more information."
	wrong() {
		local message=$1
		shift
		fails 2 "mlimg-inspect: $message"$'\n'"$hint" mlimg-inspect "$@"
		same stdout "" "$output"
	}
	wrong "no image given"
	wrong "unknown option '--nonsense'" --nonsense system.img
	wrong "unknown command 'nonsense'" system.img nonsense
	wrong "unexpected operand '/etc'" system.img show /etc
	wrong "unexpected operand '/b'" system.img ls /a /b
	wrong "unexpected operand '/etc'" system.img manifest /etc
	wrong "'cat' needs a path" system.img cat
	wrong "option '--long' is not for 'show'" -l system.img
	wrong "option '--recursive' is not for 'manifest'" system.img -R manifest
	wrong "option '--computed' is not for 'show'" --computed system.img
	wrong "option '--json' is not for 'cat'" --json system.img cat /etc/motd
	wrong "options '--long' and '--json' exclude each other" --json system.img ls -l
}

@test "show prints the description" {
	local id
	id=$(mlimg-inspect system.img manifest | sha256sum | cut -d ' ' -f 1)
	works mlimg-inspect system.img
	same output "kind         system
name         handmade
version      1
build id     $id
uuid         $(blkid -o value -s UUID system.img)
time         2023-11-14T22:13:20Z
entries      22
contents     20.0 MiB (20971534 bytes)
file system  16.0 MiB (16777216 bytes)" "$output"
	works mlimg-inspect system.img show
}

@test "show --json has layer.json's keys and more" {
	works mlimg-inspect --json system.img
	same output '{"build_id":true,"entries":22,"file_system_bytes":16777216,"format":1,"kind":"system","label":"mlimg-system","name":"handmade","needs_recovery":false,"size_bytes":20971534,"time":1700000000,"uuid":true,"version":"1"}' \
		"$(jq -cS '.build_id = (.build_id | test("^[0-9a-f]{64}$")) | .uuid = (.uuid | test("^[0-9a-f-]{36}$"))' <<<"$output")"
}

@test "show says that a user layer's journal was not replayed" {
	cp user.img dirty.img
	debugfs -w -R 'feature needs_recovery' dirty.img >/dev/null 2>&1
	works mlimg-inspect dirty.img
	same state "state        in use or not cleanly unmounted; its journal holds changes not seen here" "${lines[-1]}"
	same needs_recovery true "$(mlimg-inspect --json dirty.img | jq .needs_recovery)"
	works mlimg-inspect dirty.img cat /etc/motd
	same contents hello "$output"
}

@test "show says what a guest has begun in a user layer and not ended" {
	local name what
	works mlimg-inspect --json user.img
	same pending null "$(jq .pending <<<"$output")"
	while read -r name what; do
		cp user.img begun.img
		debugfs -w -R "symlink /mlimg/$name x" begun.img >/dev/null 2>&1
		works mlimg-inspect begun.img
		same state "state        $what was interrupted; the next boot ends it" "${lines[-1]}"
		same pending "$what" "$(mlimg-inspect --json begun.img | jq -r .pending)"
	done <<-'END'
		reconcile.plan a change of the stack
		convert.plan a conversion for another union driver
		reset-begun a factory reset
	END
	cp system.img begun.img
	debugfs -w -R "symlink /mlimg/reconcile.plan x" begun.img >/dev/null 2>&1
	same "not of a system" null "$(mlimg-inspect --json begun.img | jq .pending)"
}

@test "ls lists a directory, sorted and escaped" {
	works mlimg-inspect system.img ls
	same output "absolute
big
bin
dangling
empty
etc
fifty
long
loop1
loop2
null
pipe
sparse
usr" "$output"
	works mlimg-inspect system.img ls etc/
	same output 'deep
motd
\377\012\033\1332J\040a\075b\043' "$output"
	works mlimg-inspect system.img ls fifty
	same output "" "$output"
}

@test "ls -R lists everything below" {
	works mlimg-inspect system.img ls -R /etc
	same output 'deep
deep/climbs
deep/er
deep/motd2
motd
\377\012\033\1332J\040a\075b\043' "$output"
	run mlimg-inspect system.img ls -R
	same "number of entries" 21 "${#lines[@]}"
}

@test "ls -l shows attributes" {
	local me
	me=$(printf '%5u %5u' "$(id -u)" "$(id -g)")
	works mlimg-inspect -l system.img ls
	same "attributes" "lrwxrwxrwx    1 $me          0 2020-09-13T12:26:40Z absolute -> /etc/motd
brw-r-----    1     0     0 259, 70000 2020-09-13T12:26:40Z big
drwxr-xr-x+   2 $me          0 2020-09-13T12:26:40Z bin
lrwxrwxrwx    1 $me          0 2020-09-13T12:26:40Z dangling -> missing
-rw-r--r--    1 $me          0 2020-09-13T12:26:40Z empty
drwxr-xr-x+   3 $me          0 2100-01-01T00:00:00Z etc
drwxrwxrwt    2 $me          0 2020-09-13T12:26:40Z fifty
crw-rw-rw-    1 100000 70000       1, 3 2020-09-13T12:26:40Z null
prw-------    1     0     0          0 2020-09-13T12:26:40Z pipe
-rw-r--r--    1 $me   20971520 2020-09-13T12:26:40Z sparse
drwxr-xr-x    3 $me          0 2020-09-13T12:26:40Z usr" "$(grep -v ' lo' <<<"$output")"
	works mlimg-inspect system.img ls -l etc/motd
	same "hard link" "-rwsr-xr-x    2 $me          6 2020-09-13T12:26:40Z etc/motd" "$output"
}

@test "ls follows a link given as path, ls -l does not" {
	works mlimg-inspect system.img ls etc/deep/climbs
	same output $'climbs\ner\nmotd2' "$output"
	works mlimg-inspect system.img ls -l etc/deep/climbs
	[[ $output == l*"etc/deep/climbs -> ../../../../etc/deep" ]]
}

@test "ls --json is a list of objects" {
	works mlimg-inspect --json system.img ls
	jq -e 'length == 14' <<<"$output"
	same null '{"path":"null","type":"char","mode":"0666","uid":100000,"gid":70000,"mtime":"1600000000.000000000","device":[1,3]}' \
		"$(jq -c '.[] | select(.path == "null")' <<<"$output")"
	same etc '{"path":"etc","type":"dir","mode":"0755","mtime":"4102444800.000000000","xattrs":{"user.colour":"Ymx1ZQ==","user.empty":""}}' \
		"$(jq -c '.[] | select(.path == "etc") | del(.uid, .gid)' <<<"$output")"
	same link /etc/motd "$(jq -r '.[] | select(.path == "absolute").link' <<<"$output")"
	works mlimg-inspect --json system.img ls fifty
	same "empty list" "[]" "$output"
	works mlimg-inspect --json system.img ls etc
	same name '\377\012\033\1332J\040a\075b\043' "$(jq -r '.[2].path' <<<"$output")"
}

@test "cat writes contents; links stay within the tree" {
	local path
	for path in etc/motd /etc/motd etc//motd ./etc/../etc/motd absolute etc/deep/climbs/motd2 ../../etc/motd /absolute; do
		works mlimg-inspect system.img cat "$path"
		same "$path" hello "$output"
	done
	works mlimg-inspect system.img cat empty
	same empty "" "$output"
	works mlimg-inspect system.img cat etc/$'\xff\n\x1b[2J a=b#'
	same "odd name" newline "$output"
	mlimg-inspect system.img cat sparse | cmp - tree/sparse
}

@test "cat of what is not there or has no contents" {
	refused() {
		fails 1 "mlimg-inspect: system.img: $1" mlimg-inspect system.img cat "$2"
	}
	refused "look up 'missing': No such file or directory" missing
	refused "look up 'dangling': No such file or directory" dangling
	refused "look up 'etc/motd/x': Not a directory" etc/motd/x
	refused "look up 'etc/motd/': Not a directory" etc/motd/
	refused "look up 'loop1': Too many levels of symbolic links" loop1
	refused "'etc' is no regular file: Is a directory" etc
	refused "'pipe' is no regular file: Invalid argument" pipe
	refused "look up '/../mlimg/layer.json': No such file or directory" /../mlimg/layer.json
	refused "look up '$(printf 'a%.0s' {1..60})...': File name too long" "$(printf 'a%.0s' {1..4096})"
}

@test "the computed manifest equals the stored one" {
	local image
	for image in system.img user.img; do
		mlimg-inspect "$image" manifest >stored
		mlimg-inspect "$image" manifest --computed >computed
		cmp stored computed
	done
	grep -x './etc/motd type=file mode=4755 .* size=6 time=1600000000.000000000 sha256digest=5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 .*links:1:2.*' stored
}

@test "the manifest as JSON, stored or computed" {
	works mlimg-inspect --json system.img manifest
	same entries 22 "$(jq length <<<"$output")"
	same "root's path" "" "$(jq -r '.[0].path' <<<"$output")"
	same motd '{"size":6,"nlink":2,"hardlink":1,"sha256":"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}' \
		"$(jq -c '.[] | select(.path == "etc/motd") | {size, nlink, hardlink, sha256}' <<<"$output")"
	same "computed" "$output" "$(mlimg-inspect --json --computed system.img manifest)"
}

@test "a full disk is noticed" {
	local args
	for args in show ls "cat sparse" manifest "manifest --computed" "manifest --json" verify "verify --json" --help; do
		# shellcheck disable=SC2086 # several words
		run bash -c 'exec mlimg-inspect "$@" >/dev/full' - system.img $args
		same "exit code of $args" 1 "$status"
		[[ $output == "mlimg-inspect: "*": No space left on device" ]]
	done
}

@test "large directories, deep extent trees, long paths" {
	local t=$BATS_TEST_TMPDIR/tree path=
	mkdir -p "$t/many"
	(cd "$t/many" && touch "$(printf 'n%.0s' {1..255})" && seq -f 'a-rather-long-name-for-a-file-%05g' 3000 | xargs touch)
	for _ in {1..15}; do path=$path/$(printf 'd%.0s' {1..250}); done
	mkdir -p "$t$path"
	# Every other block is a hole: more extents than a leaf holds.
	truncate -s 12M "$t/holes"
	perl -e 'open F, "+<", $ARGV[0] or die; for (0 .. 1499) { seek F, $_ * 8192, 0; print F $_ }' "$t/holes"
	find "$t" -exec touch -h -d @1600000000 {} +
	handmade-layer -s 40M "$t" "$BATS_TEST_TMPDIR/big.img" -O dir_index
	e2fsck -fyD "$BATS_TEST_TMPDIR/big.img" >/dev/null 2>&1 || [ $? -eq 1 ]
	run debugfs -R 'stat /rootfs/holes' "$BATS_TEST_TMPDIR/big.img"
	[[ $output == *"(ETB"* ]]
	run debugfs -R 'htree_dump /rootfs/many' "$BATS_TEST_TMPDIR/big.img"
	[[ $output == *"Hash Version"* ]]
	mlimg-inspect "$BATS_TEST_TMPDIR/big.img" ls many | cmp - <(cd "$t/many" && printf '%s\n' *)
	mlimg-inspect "$BATS_TEST_TMPDIR/big.img" cat holes | cmp - "$t/holes"
	same "long path" "${path#/}" "$(mlimg-inspect "$BATS_TEST_TMPDIR/big.img" ls -R | awk 'length > m { m = length; p = $0 } END { print p }')"
}

@test "an image may be a FIFO's or a directory's name, but is refused" {
	mkfifo fifo
	fails 3 "mlimg-inspect: fifo: is neither a file nor a block device" timeout 20 mlimg-inspect fifo
	fails 3 "mlimg-inspect: tree: is neither a file nor a block device" mlimg-inspect tree
	fails 1 "mlimg-inspect: open image 'missing.img': No such file or directory" mlimg-inspect missing.img
}
