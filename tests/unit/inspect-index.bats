# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect on an index, with its layers and without. That it shows what the kernel shows is in root/index.bats.

load ../lib/common
load ../lib/images

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p one/{etc,usr/bin,var/lib/dpkg} soft/{etc,opt}
	printf 'one\n' >one/etc/one
	printf 'beneath\n' >one/etc/two
	printf 'same\n' >one/etc/same
	ln one/etc/one one/usr/bin/also-one
	ln -s etc/two one/link
	truncate -s 1M one/holes
	printf x | dd of=one/holes bs=1 seek=500000 conv=notrunc status=none
	printf 'Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n' >one/var/lib/dpkg/status
	printf 'above\n' >soft/etc/two
	printf x >soft/opt/x
	cp -a one two
	printf 'uno\n' >two/etc/one
	rm two/holes
	printf 'Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 2\n' >two/var/lib/dpkg/status
	find one two soft -exec touch -h -d @1600000000 {} +
	touch -d @1700000000 two/etc/one two/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind system --name sys --version 1 one one.img
	mlimg-mkfs --quiet --kind system --name sys --version 2 two two.img
	mlimg-mkfs --quiet --kind software --name soft --version 1 soft soft.img
	mlimg-index -q -o x.idx one.img soft.img
	mlimg-index -q -o y.idx two.img soft.img
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	rm -rf out
}

@test "show: which stack it is" {
	local id
	id=$(printf '%s\n' "$(image_id one.img)" "$(image_id soft.img)" | sha256sum | cut -d ' ' -f 1)
	works mlimg-inspect x.idx
	same "kind and stack id" $'kind         index\nstack id     '"$id" "$(head -n 2 <<<"$output")"
	same layers "layers       0 system sys 1 ($(image_id one.img | cut -c 1-20)), $(du_mib one.img)
             1 software soft 1 ($(image_id soft.img | cut -c 1-20)), $(du_mib soft.img)" "$(tail -n 2 <<<"$output")"
	works mlimg-inspect --json x.idx --layer soft.img
	same json "{\"kind\":\"index\",\"stack_id\":\"$id\",\"layers\":[[\"sys\",false],[\"soft\",true]]}" \
		"$(jq -c '{kind, stack_id, layers: [.layers[] | [.name, .is_given]]}' <<<"$output")"
	same inodes "$(($(find one soft | wc -l) - 3 + 5))" "$(jq .inodes <<<"$output")"
}

# The size of an image's file system as mlimg-inspect prints it.
du_mib() {
	mlimg-inspect "$1" | sed -n 's/^file system  \(.*\) (.*/\1/p'
}

@test "ls, tree, du, manifest: without any layer" {
	works mlimg-inspect x.idx ls -R
	same "names" "$( (
		cd one && find . -mindepth 1 -printf '%P\n'
		cd ../soft && find . -mindepth 1 -printf '%P\n'
	) | LC_ALL=C sort -u)" \
		"$(LC_ALL=C sort <<<"$output")"
	works mlimg-inspect x.idx ls -l etc/one
	[[ $output == -rw-r--r--*" 2 "*" 4 2020-09-13T12:26:40Z etc/one" ]]
	works mlimg-inspect x.idx tree --depth 1
	same tree $'./\n|-- etc/\n|-- holes\n|-- link -> etc/two\n|-- opt/\n|-- usr/\n`-- var/' "$(head -n 7 <<<"$output")"
	works mlimg-inspect --json x.idx du --depth 0
	same sums '{"used":24576,"size":1048661,"entries":16}' "$(jq -c '.[0] | {used, size, entries}' <<<"$output")"
	works mlimg-inspect x.idx manifest
	same "a file" "./etc/two type=file mode=0644 uid=$(id -u) gid=$(id -g) size=6 time=1600000000.000000000" "$(grep '^./etc/two' <<<"$output")"
	same "hard links" 2 "$(grep -c 'tags=links:1:2$' <<<"$output")"
}

@test "joined: an index alone takes its layers, the whole disk has them" {
	local command
	mlimg-index -q --force --joined -o j.idx one.img soft.img
	cat j.idx one.img soft.img >disk.raw
	for command in "ls -lR" "manifest" "tree"; do
		# shellcheck disable=SC2086 # words
		diff <(mlimg-inspect x.idx $command) <(mlimg-inspect j.idx $command)
	done
	fails 1 "mlimg-inspect: j.idx: contents lie in layer 0, sys 1 ($(image_id one.img | cut -c 1-20)): give its image with --layer" \
		mlimg-inspect j.idx cat etc/one
	same "with the layer" one "$(mlimg-inspect j.idx --layer one.img cat etc/one)"
	same "of the disk" one "$(mlimg-inspect disk.raw cat etc/one)"
	same "of the upper layer" above "$(mlimg-inspect disk.raw cat etc/two)"
	same "a hole" "$(sha256sum <one/holes)" "$(mlimg-inspect disk.raw cat holes | sha256sum)"
	works mlimg-inspect disk.raw verify
	[[ $output == *": as in the layers' manifests" ]]
	works mlimg-inspect x.idx diff j.idx
	[[ $output == *$'\n'"no differences" ]]
	same "show" "disk         joined with its layers: $(($(stat -c %s disk.raw) / 4096)) blocks" "$(mlimg-inspect j.idx | grep ^disk)"
	same "json" "true $(($(stat -c %s j.idx) / 4096)) false" "$(mlimg-inspect --json j.idx | jq -r '"\(.is_joined) \(.layers[0].first_block) \(.layers[1].is_given)"')"
	same "json of the disk" true "$(mlimg-inspect --json disk.raw | jq '.layers | all(.is_given)')"
	same "json of one that is not joined" "false null" "$(mlimg-inspect --json x.idx | jq -r '"\(.is_joined) \(.layers[0].first_block)"')"
	cat j.idx two.img soft.img >other.raw
	run --separate-stderr mlimg-inspect other.raw
	same "another layer behind it" 3 "$status"
	rm j.idx disk.raw other.raw
}

@test "contents take the layer that has them" {
	fails 1 "mlimg-inspect: x.idx: contents lie in layer 0, sys 1 ($(image_id one.img | cut -c 1-20)): give its image with --layer" \
		mlimg-inspect x.idx cat etc/one
	works mlimg-inspect x.idx cat etc/one --layer one.img
	same contents one "$output"
	works mlimg-inspect --layer soft.img x.idx cat link
	same "the upper one, through a link" above "$output"
	mlimg-inspect --layer one.img x.idx cat holes | cmp - one/holes
}

@test "extract: what a guest would see" {
	run --separate-stderr mlimg-inspect x.idx --layer one.img --layer soft.img extract -C out
	same "exit code" 0 "$status"
	cp -a one merged && cp -a soft/. merged
	diff -r --no-dereference merged out
	same "holes" "$(stat -c %b one/holes)" "$(stat -c %b out/holes)"
	same "hard link" "$(stat -c %i out/etc/one)" "$(stat -c %i out/usr/bin/also-one)"
	mlimg-inspect x.idx --layer soft.img --layer one.img extract --tar | tar -xf - -C merged
	diff -r --no-dereference merged out
	fails 1 "mlimg-inspect: etc/one: x.idx: contents lie in layer 0, sys 1 ($(image_id one.img | cut -c 1-20)): give its image with --layer" \
		mlimg-inspect x.idx --layer soft.img extract --no-same-owner -C out2
	rm -rf out2 merged
}

@test "manifest with the layers has digests: theirs, or computed" {
	works mlimg-inspect x.idx --layer one.img --layer soft.img manifest
	same digest "$(sha256sum <soft/etc/two | cut -d ' ' -f 1)" "$(sed -n 's,^./etc/two .*sha256digest=,,p' <<<"$output")"
	same computed "$output" "$(mlimg-inspect x.idx --layer one.img --layer soft.img manifest --computed)"
	same "as JSON" "$(sha256sum <soft/etc/two | cut -d ' ' -f 1)" \
		"$(mlimg-inspect --json x.idx --layer one.img --layer soft.img manifest | jq -r '.[] | select(.path == "etc/two").sha256')"
}

@test "verify: itself without layers, the tree with all of them" {
	works mlimg-inspect x.idx verify
	same report 'description  agrees in superblock, device table and stack.json
file system  sound: 21 names, 21 inodes
layers       0 of 2 given
tree         not compared with the layers: that takes all of them (--layer)' "$output"
	works mlimg-inspect x.idx verify --layer soft.img --layer one.img
	same report 'layers       2 of 2 given
tree         16 entries, 1.0 MiB read: as in the layers'"'"' manifests' "$(tail -n 2 <<<"$output")"
	works mlimg-inspect --json x.idx verify --layer soft.img --layer one.img
	same report '{"is_sound":true,"is_compared":true,"entries":16,"n_differences":0}' "$(jq -c '{is_sound, is_compared, entries, n_differences}' <<<"$output")"
}

# at TEXT: where TEXT lies in x.idx
at() {
	LC_ALL=C grep -obUaP -m 1 -- "$1" x.idx | head -n 1 | cut -d : -f 1
}

@test "verify finds other attributes and other contents than the layers'" {
	local at
	cp x.idx bad.idx
	# The link's target is in the index itself.
	at=$(at 'etc/two(?!\.)')
	printf 'etc/one' | dd of=bad.idx bs=1 seek="$at" conv=notrunc status=none
	checksum bad.idx
	fails 3 "mlimg-inspect: bad.idx: its tree differs from its layers' in 1 entry" mlimg-inspect bad.idx verify --layer soft.img --layer one.img
	same difference "  ./link: content" "$(tail -n 1 <<<"$output")"
	works mlimg-inspect bad.idx verify
	cp --sparse=always soft.img bad.img
	at=$(debugfs -R 'blocks /rootfs/opt/x' soft.img 2>/dev/null)
	printf y | dd of=bad.img bs=4096 seek="${at// /}" conv=notrunc status=none
	fails 3 "mlimg-inspect: x.idx: its tree differs from its layers' in 1 entry" mlimg-inspect x.idx verify --layer bad.img --layer one.img
	same difference "  ./opt/x: content" "$(tail -n 1 <<<"$output")"
}

# checksum INDEX: make the superblock's right again
checksum() {
	perl -e 'open F, "+<", $ARGV[0] or die; binmode F; seek F, 1024, 0; read F, $b, 3072; substr($b, 4, 4) = "\0" x 4; $c = 0xffffffff;
		for (unpack "C*", $b) { $c ^= $_; $c = $c & 1 ? $c >> 1 ^ 0x82f63b78 : $c >> 1 for 1 .. 8 } seek F, 1028, 0; print F pack "V", $c' "$1"
}

@test "damaged and foreign indexes are refused by name" {
	cp x.idx bad.idx
	printf x | dd of=bad.idx bs=1 seek=1072 conv=notrunc status=none
	fails 3 "mlimg-inspect: bad.idx: damaged index: superblock checksum is wrong" mlimg-inspect bad.idx
	checksum bad.idx
	fails 3 "mlimg-inspect: bad.idx: its UUID is not that of stack $(mlimg-inspect --json x.idx | jq -r .stack_id | cut -c 1-20)" mlimg-inspect bad.idx
	head -c 4096 x.idx >bad.idx
	fails 3 "mlimg-inspect: bad.idx: truncated index: it has $(stat -c %s x.idx) bytes, the disk only 4096" mlimg-inspect bad.idx ls
	cp x.idx bad.idx
	printf '%s' "$(image_id two.img)" | dd of=bad.idx bs=1 seek=1152 conv=notrunc status=none
	checksum bad.idx
	fails 3 "mlimg-inspect: bad.idx: layer 0 is $(image_id two.img | cut -c 1-20) by its device table, $(image_id one.img | cut -c 1-20) by its stack.json" \
		mlimg-inspect bad.idx
}

@test "layers that are none of it, or another image of one" {
	fails 3 "mlimg-inspect: two.img: is no layer of x.idx" mlimg-inspect x.idx --layer two.img
	tar -C one --sort=name -cf one.tar .
	mlimg-mkfs --quiet --kind system --name sys --version 1 --form dir one other.img
	dd if=/dev/zero of=other.img bs=1 count=1 seek=$(($(stat -c %s other.img) - 1)) conv=notrunc status=none
	debugfs -w -R 'ssv hash_seed 00000000-0000-0000-0000-000000000001' other.img >/dev/null 2>&1
	fails 3 "mlimg-inspect: other.img: its contents lie elsewhere than in the image that x.idx was compiled from" \
		mlimg-inspect x.idx --layer other.img
	fails 2 "mlimg-inspect: option '--layer' is for an index, and 'one.img' is none
Try 'mlimg-inspect --help' for more information." mlimg-inspect one.img --layer two.img
	fails 2 "mlimg-inspect: options '--root-hash' and '--cert' are for layers, and 'x.idx' is an index
Try 'mlimg-inspect --help' for more information." mlimg-inspect x.idx verify --cert one.tar
	fails 1 "mlimg-inspect: open image 'missing.img': No such file or directory" mlimg-inspect x.idx --layer missing.img
}

@test "diff of two stacks: without layers by places, size and time; with them by digests; packages" {
	local all
	works mlimg-inspect x.idx diff y.idx
	same differences '- ./holes
~ ./etc/one: content, time
~ ./usr/bin/also-one: content, time
~ ./var/lib/dpkg/status: content, time' "$(grep '^[-+~]' <<<"$output" | sort)"
	same "who" "old   index of 2 layers ($(mlimg-inspect --json x.idx | jq -r .stack_id | cut -c 1-20))" "$(head -n 1 <<<"$output")"
	all=(--layer one.img --layer two.img --layer soft.img)
	works mlimg-inspect x.idx diff y.idx "${all[@]}"
	same differences '- ./holes
~ ./etc/one: content, time
~ ./usr/bin/also-one: content, time
~ ./var/lib/dpkg/status: content, time
~ a:all 1 -> 2' "$(grep '^[-+~]' <<<"$output" | sort)"
	works mlimg-inspect --json x.idx diff y.idx
	same "no digest that is none" null "$(jq '.entries[] | select(.path == "etc/one").new.sha256' <<<"$output")"
	same "ends" '["index","index"]' "$(jq -c '[.old.kind, .new.kind]' <<<"$output")"
	works mlimg-inspect --json x.idx diff y.idx "${all[@]}"
	same digest "$(sha256sum <two/etc/one | cut -d ' ' -f 1)" "$(jq -r '.entries[] | select(.path == "etc/one").new.sha256' <<<"$output")"
	works mlimg-inspect x.idx diff x.idx
	same "the same" "no differences" "$(tail -n 1 <<<"$output")"
	fails 2 "mlimg-inspect: one of 'x.idx' and 'one.img' is an index, the other a layer
Try 'mlimg-inspect --help' for more information." mlimg-inspect x.idx diff one.img
	mlimg-mkfs --quiet --force --kind system --name other one three.img
	fails 3 "mlimg-inspect: three.img: is no layer of x.idx" mlimg-inspect x.idx --layer three.img diff y.idx
}

@test "a full disk is noticed" {
	local args
	for args in show "show --json" manifest verify "verify --json" "diff y.idx"; do
		# shellcheck disable=SC2086 # several words
		run bash -c 'exec mlimg-inspect "$@" >/dev/full' - x.idx $args
		same "exit code of $args" 1 "$status"
		[[ $output == "mlimg-inspect: "*": No space left on device" ]]
	done
}
