# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect diff: what has changed from one layer to another.

load ../lib/common

# A tree with one of everything, and dpkg's database.
tree() {
	mkdir -p "$1"/{bin,etc,srv,var/lib/dpkg}
	printf 'one\n' >"$1/etc/content"
	printf x >"$1/etc/gone"
	printf x >"$1/etc/mode"
	printf x >"$1/etc/time"
	printf x >"$1/etc/type"
	printf x >"$1/etc/a"
	ln "$1/etc/a" "$1/etc/b"
	ln -s one "$1/link"
	printf x >"$1/srv/file"
	cat >"$1/var/lib/dpkg/status" <<-'END'
		Package: changed
		Status: install ok installed
		Architecture: amd64
		Version: 1.0-1
		Description: a package
		 Version: not this one

		Package: removed
		Status: deinstall ok config-files
		Architecture: amd64
		Version: 3

		Package: purged
		Status: hold ok installed
		Architecture: all
		Version: 4

		Package: same
		Status: install ok installed
		Architecture: amd64
		Version: 5
	END
}

make_image() {
	mlimg-mkfs --quiet --force --kind system --name x --version "$3" "$1" "$2"
}

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tree old
	tree new
	printf 'three\n' >new/etc/content
	rm new/etc/gone
	chmod 4711 new/etc/mode
	rm new/etc/type
	mkdir -m 644 new/etc/type
	rm new/etc/b
	printf x >new/etc/b
	ln -sf two new/link
	printf 'x' >"new/bin/"$'\xff\n'
	sed -i -e 's/1\.0-1/1.0-2/' -e '/^Package: purged/,/^$/d' new/var/lib/dpkg/status
	printf '\nPackage: odd\nVersion: 1\033[2J\nStatus: install ok half-configured\n' >>new/var/lib/dpkg/status
	find old new -exec touch -h -d @1600000000 {} +
	touch -d @1600000001 new/etc/time new/srv/file
	make_image old old.img 1
	make_image new new.img 2
	mlimg-mkfs --quiet --kind user --size 64M user.img
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

id() {
	mlimg-inspect --json "$1" | jq -r '.build_id[:20]'
}

@test "every kind of change has its line, then packages and sums" {
	works mlimg-inspect old.img diff new.img
	same output "old   system x 1 ($(id old.img))
new   system x 2 ($(id new.img))

+ ./bin/\\377\\012
~ ./etc/a: links
~ ./etc/b: links
~ ./etc/content: content 4 -> 6 bytes
- ./etc/gone
~ ./etc/mode: mode 0644 -> 4711
~ ./etc/type: type file -> dir
~ ./link: content
~ ./var/lib/dpkg/status: content 357 -> 349 bytes

packages
~ changed:amd64 1.0-1 -> 1.0-2
+ odd 1\\033\\1332J
- purged:all 4

   added  removed  changed     time        old        new
       0        0        1        0        0 B        0 B  .
       1        0        0        0        0 B        1 B  bin
       0        1        5        1        6 B        6 B  etc
       0        0        1        0      357 B      349 B  var
       1        1        7        2      363 B      356 B  total" "$output"
}

@test "--times and --summary" {
	works mlimg-inspect --times old.img diff new.img
	[[ $output == *"
~ ./etc/time: time
"*"
~ ./srv/file: time
"*"
       0        0        0        1        0 B        0 B  srv
"* ]]
	works mlimg-inspect --summary old.img diff new.img
	same "entries" "" "$(grep '[.]/' <<<"$output" || :)"
	same "lines" 12 "$(grep -c . <<<"$output")"
}

@test "JSON says all of it, and is valid" {
	works mlimg-inspect --json old.img diff new.img
	same entry '{"path":"etc/mode","changes":["mode"],"old":"0644","new":"4711"}' \
		"$(jq -c '.entries[] | select(.path == "etc/mode") | .old |= .mode | .new |= .mode' <<<"$output")"
	same "added has no old" '["changes","new","path"]' "$(jq -c '.entries[0] | keys' <<<"$output")"
	same entries 11 "$(jq '.entries | length' <<<"$output")"
	same "times too" '["time"]' "$(jq -c '.entries[] | select(.path == "srv/file").changes' <<<"$output")"
	same packages '[{"package":"changed","architecture":"amd64","old":"1.0-1","new":"1.0-2"},{"package":"odd","architecture":"","new":"1\\033\\1332J"},{"package":"purged","architecture":"all","old":"4"}]' \
		"$(jq -c .packages <<<"$output")"
	same sums '{"directory":"etc","added":0,"removed":1,"changed":5,"time":1,"old_bytes":6,"new_bytes":6}' \
		"$(jq -c '.directories[] | select(.directory == "etc")' <<<"$output")"
	same versions '["1","2"]' "$(jq -c '[.old.version, .new.version]' <<<"$output")"
	works mlimg-inspect --json --summary old.img diff new.img
	same keys '["directories","new","old","packages"]' "$(jq -c keys <<<"$output")"
}

@test "backwards, added and removed change places" {
	local swapped
	works mlimg-inspect --json old.img diff new.img
	swapped=$(jq -c '[.entries[] | {path, changes: (.changes | map(if . == "added" then "removed" elif . == "removed" then "added" else . end))}]' <<<"$output")
	works mlimg-inspect --json new.img diff old.img
	same changes "$swapped" "$(jq -c '[.entries[] | {path, changes}]' <<<"$output")"
}

@test "a layer and itself do not differ" {
	works mlimg-inspect old.img diff old.img
	same "last line" "no differences" "${lines[-1]}"
	works mlimg-inspect --json old.img diff old.img
	same lists '[[],[],[]]' "$(jq -c '[.entries, .packages, .directories]' <<<"$output")"
}

@test "without a database on both sides there are no packages" {
	mkdir -p "$BATS_TEST_TMPDIR/t"
	make_image "$BATS_TEST_TMPDIR/t" "$BATS_TEST_TMPDIR/x.img" 1
	works mlimg-inspect old.img diff "$BATS_TEST_TMPDIR/x.img"
	[[ $output != *packages* ]]
	works mlimg-inspect --json old.img diff "$BATS_TEST_TMPDIR/x.img"
	same packages null "$(jq .packages <<<"$output")"
}

@test "random trees: the lists of changes lead from one manifest to the other" {
	local seed=${MLIMG_SEED:-$(date +%N)} t=$BATS_TEST_TMPDIR
	seed=$((10#$seed % 32768))
	echo "MLIMG_SEED=$seed"
	randtree $seed 200 "$t/a"
	randtree $((seed + 1)) 200 "$t/b"
	make_image "$t/a" "$t/a.img" 1
	make_image "$t/b" "$t/b.img" 2
	mlimg-inspect --json "$t/a.img" diff "$t/b.img" >"$t/diff"
	# Numbers of groups of hard links change with what comes before them.
	entries() {
		mlimg-inspect --json "$1" manifest | jq -cS 'map(del(.hardlink)) | sort_by(.path)[]'
	}
	jq -cS -n --slurpfile d "$t/diff" --slurpfile a <(mlimg-inspect --json "$t/a.img" manifest) '
		($d[0].entries | map({key: .path, value: .new}) | from_entries) as $new
		| [$a[0][] | select(.path as $p | $new | has($p) | not)] + [$new[] | select(. != null)]
		| map(del(.hardlink)) | sort_by(.path)[]' >"$t/led"
	entries "$t/b.img" | cmp - "$t/led"
	find "$t" -type d -exec chmod u+rwx {} +
}

@test "images that cannot be compared" {
	fails 2 "mlimg-inspect: user.img: is a user layer; its manifest does not say what is in it now
Try 'mlimg-inspect --help' for more information." mlimg-inspect old.img diff user.img
	fails 1 "mlimg-inspect: open image 'missing': No such file or directory" mlimg-inspect old.img diff missing
	fails 3 "mlimg-inspect: old: is neither a file nor a block device" mlimg-inspect old.img diff old
	cp new.img x.img
	tune2fs -f -U 00112233-4455-6677-8899-aabbccddeeff x.img >/dev/null 2>&1
	fails 3 "mlimg-inspect: x.img: its UUID is not that of build id $(id new.img) in /mlimg/layer.json" mlimg-inspect old.img diff x.img
}

@test "wrong usage" {
	usage() {
		fails 2 "mlimg-inspect: $1
Try 'mlimg-inspect --help' for more information." mlimg-inspect "${@:2}"
	}
	usage "'diff' needs a second image" old.img diff
	usage "unexpected operand 'x'" old.img diff new.img x
	usage "option '--summary' is not for 'ls'" --summary old.img ls
	usage "option '--times' is not for 'show'" --times old.img
}

@test "a full disk is noticed" {
	local args
	for args in "" --json --summary; do
		# shellcheck disable=SC2086 # several words
		run bash -c 'exec mlimg-inspect "$@" >/dev/full' - $args old.img diff new.img
		same "exit code with '$args'" 1 "$status"
		[[ $output == "mlimg-inspect: "*": No space left on device" ]]
	done
}
