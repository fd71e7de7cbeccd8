# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Patch layers: what mlimg-mkfs --base makes, and every kind of base that it must refuse. That the kernel shows old and patch as the new system
# is in tests/root/patch.bats; random pairs of manifests are in test_patch.c.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# A system, 1.img of the directory old, and the directory new.
two_versions() {
	mkdir -p old/etc old/usr/bin old/usr/share
	echo one >old/etc/one
	echo two >old/etc/two
	head -c 100000 /dev/urandom >old/usr/bin/tool
	head -c 3000000 /dev/urandom >old/usr/share/large
	ln old/usr/bin/tool old/usr/bin/tool-1
	touch -d @1600000000 old/etc/one old/usr/share/large
	cp -a old new
	mlimg-mkfs --quiet --kind system --name s --version 1 old 1.img
}

# patch: 2.img of what has become of the directory new, with 1.img beneath
patch() {
	mlimg-mkfs --quiet --force --base 1.img --name s --version 2 new 2.img
}

# Old and patch are the new system, in entries, contents and ids; the patch is sound.
is_new_system() {
	mlimg-mkfs --quiet --force --kind system --name s --version 2 new whole.img &&
		merged -c whole.img >wanted && merged -c 1.img 2.img >found && diff wanted found &&
		same result "$(image_id whole.img)" "$(mlimg-inspect --json 2.img show | jq -r .result)" &&
		works mlimg-inspect 2.img verify && fsck_clean 2.img
}

# Path and references of what is in the patch
holds() {
	mlimg-inspect 2.img manifest | awk '!/^#/ && $1 != "." {
		sub("^./", "", $1)
		if (/device=native,0,0/) print $1, "gone"
		else if (/type=dir/) print $1, "dir"
		else if (/overlay.redirect/) print $1, "moved"
		else if (/overlay.metacopy/) print $1, "same"
		else print $1, "stored"
	}'
}

@test "mkfs: a patch holds what differs, and references" {
	two_versions
	chmod 600 new/usr/share/large
	mv new/etc/one new/etc/uno
	echo other >new/etc/two
	mkdir new/opt
	rm new/usr/bin/tool-1
	patch
	same "what is in the patch" 'etc dir
etc/one gone
etc/two stored
etc/uno moved
opt dir
usr dir
usr/bin dir
usr/bin/tool same
usr/bin/tool-1 gone
usr/share dir
usr/share/large same' "$(holds | grep -v '^usr/share dir' | sed '/^usr\/bin\/tool-1/a usr/share dir')"
	is_new_system
	[ "$(stat -c %s 2.img)" -lt 700000 ]
}

@test "mkfs: a patch says what it is for and what it makes" {
	two_versions
	echo x >new/x
	works mlimg-mkfs --base 1.img --name s --version 2 new 2.img
	[[ $output == "s 2: patch layer, build id "* ]]
	works mlimg-inspect 2.img show
	mlimg-mkfs --quiet --kind system --name s --version 2 new whole.img
	same "the description" "kind         patch
name         s
version      2
base         $(image_id 1.img)
result       $(image_id whole.img)" "$(grep -E '^(kind|name|version|base|result) ' <<<"$output")"
	same "the label" mlimg-patch "$(e2label 2.img)"
	mlimg-mkfs --quiet --kind patch --base 1.img --name s --version 2 new again.img
	cmp 2.img again.img
}

@test "mkfs: random pairs of versions; twice the same bytes" {
	local seed=${MLIMG_SEED:-$(date +%s)} version # bats uses i itself
	echo "MLIMG_SEED=$seed"
	for ((version = seed; version < seed + 4; version++)); do
		rm -rf new
		randtree "$version" $((50 + version % 7 * 60)) new
		mlimg-mkfs --quiet --force --kind system --name s --version 1 new 1.img
		mutate-tree "$version" new
		patch
		is_new_system
		mv 2.img first.img
		patch
		cmp first.img 2.img
	done
}

@test "mkfs: a patch from a tar leaves out what is known, small and large" {
	two_versions
	echo other >new/etc/two
	head -c 2500000 /dev/urandom >new/usr/share/other
	mv new/usr/share/large new/usr/share/renamed
	tar -C new -cf new.tar .
	mlimg-mkfs --quiet --kind system --name s --version 2 new.tar whole.img
	mlimg-mkfs --quiet --base 1.img --name s --version 2 - 2.img <new.tar
	merged -c whole.img >wanted
	merged -c 1.img 2.img >found
	diff wanted found
	works mlimg-inspect 2.img verify
	fsck_clean 2.img
	[ "$(stat -c %s 2.img)" -lt 3300000 ]
}

@test "mkfs: a large file behind files that take no room" {
	mkdir old
	touch old/a old/b
	head -c 3000000 /dev/urandom >old/c
	mlimg-mkfs --quiet --kind system --name s --version 1 old 1.img
	cp -a old new
	echo x >new/d
	patch
	is_new_system
	[ "$(stat -c %s 2.img)" -lt 600000 ]
}

@test "mkfs: what a reference cannot say is stored again" {
	local name
	two_versions
	name=$(printf 'n%.0s' {1..250})
	mkdir "old/$name"
	head -c 9000 /dev/urandom >"old/$name/$name"
	# A reference would need a block for its path, and the contents take no more.
	mkdir "old/${name:50}"
	head -c 4096 /dev/urandom >"old/${name:50}/block"
	head -c 4097 /dev/urandom >"old/${name:50}/more"
	# room for a reference's own attributes is taken
	head -c 4000 /dev/zero | tr '\0' v >value
	setfattr -n user.large -v "$(cat value)" old/etc/one || skip "no room for xattrs here"
	mlimg-mkfs --quiet --force --kind system --name s --version 1 old 1.img
	rm -rf new && cp -a old new
	mv "new/$name/$name" new/moved
	mv "new/${name:50}/"* new
	mv new/etc/one new/etc/uno
	patch
	same "what is in the patch" "block stored
etc/uno stored
more moved
moved stored" "$(holds | grep -e stored -e moved)"
	is_new_system
}

@test "mkfs: patches upon patches; on the new image it is the same" {
	two_versions
	mv new/usr/share/large new/large
	patch
	mlimg-mkfs --quiet --kind system --name s --version 2 new 2-whole.img
	mv new/large new/larger
	mv new/etc/two new/etc/deux
	mlimg-mkfs --quiet --base 1.img --base 2.img --name s --version 3 new 3.img
	mlimg-mkfs --quiet --base 2-whole.img --name s --version 3 new again.img
	cmp 3.img again.img
	mlimg-mkfs --quiet --kind system --name s --version 3 new whole.img
	merged -c whole.img >wanted
	merged -c 1.img 2.img 3.img >found
	diff wanted found
	merged -c 2-whole.img 3.img >found
	diff wanted found
}

@test "mkfs: diff of a system and a patch is that of the two systems" {
	two_versions
	mv new/etc/one new/etc/uno
	chmod 600 new/etc/two
	patch
	mlimg-mkfs --quiet --kind system --name s --version 2 new whole.img
	mlimg-inspect 1.img diff whole.img | grep -v '^new ' >wanted
	mlimg-inspect 1.img diff 2.img | grep -v '^new ' >found
	diff wanted found
	fails 2 "mlimg-inspect: 2.img: is a patch for another system than whole.img ($(image_id 1.img | cut -c 1-20))
Try 'mlimg-inspect --help' for more information." mlimg-inspect whole.img diff 2.img
	fails 2 "mlimg-inspect: 2.img: is a patch; only a system and a patch for it can be compared
Try 'mlimg-inspect --help' for more information." mlimg-inspect 2.img diff 2.img
}

@test "mkfs: contents that lie beneath a patch are not shown as zeros" {
	two_versions
	mv new/usr/share/large new/large
	patch
	fails 1 "mlimg-inspect: 2.img: the contents of 'large' lie beneath this patch, at 'usr/share/large'" mlimg-inspect 2.img cat large
}

@test "mkfs: --trust-times reads only what looks changed, and makes the same patch" {
	two_versions
	echo three >new/etc/three
	echo other >new/etc/two
	mv new/usr/share/large new/large
	chmod 700 new/usr/bin/tool
	patch
	mlimg-mkfs --quiet --trust-times --base 1.img --name s --version 2 new trusting.img
	cmp 2.img trusting.img
	# What it cannot see: the danger that the manual page tells of.
	printf 'two\n' >new/etc/two
	printf 'owt\n' >old/etc/two
	touch -r old/etc/two new/etc/two
	mlimg-mkfs --quiet --force --kind system --name s --version 1 old 1.img
	mlimg-mkfs --quiet --force --trust-times --base 1.img --name s --version 2 new trusting.img
	same "looks unchanged" "" "$(mlimg-inspect trusting.img manifest | grep etc/two || true)"
	patch
	mlimg-inspect 2.img manifest | grep -q etc/two
	# Times are compared to the nanosecond.
	touch -d "@$(stat -c %Y old/etc/two).5" new/etc/two
	mlimg-mkfs --quiet --force --trust-times --base 1.img --name s --version 2 new trusting.img
	mlimg-inspect trusting.img manifest | grep -q etc/two
	cmp <(mlimg-inspect trusting.img cat /etc/two) new/etc/two
}

@test "mkfs: many directories and new files, read by several threads: the same bytes each time" {
	benchtree -f 600 -b 8000000 -d 150 -l 20 old
	cp -a old new
	mlimg-mkfs --quiet --kind system --name s --version 1 old 1.img
	find new -type f | LC_ALL=C sort | awk 'NR % 20 == 5' | while read -r file; do echo "$file" >"$file"; done
	find new -type f | LC_ALL=C sort | awk 'NR % 20 == 7' | while read -r file; do printf x | dd of="$file" bs=1 conv=notrunc status=none; done
	patch
	is_new_system
	for _ in {1..3}; do
		works mlimg-mkfs --quiet --force --base 1.img --name s --version 2 new again.img
		cmp 2.img again.img
		works mlimg-mkfs --quiet --force --base 1.img --trust-times --name s --version 2 new again.img
		same "result" "$(mlimg-inspect --json 2.img | jq -r .build_id)" "$(mlimg-inspect --json again.img | jq -r .build_id)"
	done
}

@test "mkfs: wrong usage of --base" {
	local line="Try 'mlimg-mkfs --help' for more information." many=() i
	two_versions
	fails 2 "mlimg-mkfs: --base is missing"$'\n'"$line" mlimg-mkfs --kind patch new x.img
	fails 2 "mlimg-mkfs: --base makes a patch: give --kind patch, or none"$'\n'"$line" mlimg-mkfs --kind system --base 1.img new x.img
	fails 2 "mlimg-mkfs: '1.img' is both the base and the image"$'\n'"$line" mlimg-mkfs --force --base 1.img new 1.img
	fails 2 "mlimg-mkfs: --over is for software layers"$'\n'"$line" mlimg-mkfs --base 1.img --over "$(printf '%064d' 0)" new x.img
	for i in {1..18}; do many+=(--base "$i.img"); done
	fails 2 "mlimg-mkfs: more than 17 times --base"$'\n'"$line" mlimg-mkfs "${many[@]}" new x.img
	fails 2 "mlimg-mkfs: --trust-times is for patches"$'\n'"$line" mlimg-mkfs --kind system --trust-times new x.img
	fails 1 "mlimg-mkfs: open image 'none': No such file or directory" mlimg-mkfs --base none new x.img
	# The base is opened while the source is read, and is named first whatever becomes of that.
	for _ in {1..10}; do
		fails 1 "mlimg-mkfs: open image 'none': No such file or directory" mlimg-mkfs --base none --trust-times new x.img
		fails 1 "mlimg-mkfs: open image 'none': No such file or directory" mlimg-mkfs --base none missing x.img
		fails 1 "mlimg-mkfs: open 'missing': No such file or directory" mlimg-mkfs --name x --base 1.img missing x.img
	done
	same "files named x" "" "$(find . -name '*x.img*')"
}

# refused MESSAGE ARGUMENT…: nothing is left
refused() {
	local message=$1
	shift
	fails 3 "mlimg-mkfs: $message" mlimg-mkfs --name s --version 2 "$@" new x.img &&
		same "files named x" "" "$(find . -name '*x.img*')"
}

@test "mkfs: bases that make no system are refused" {
	local id
	two_versions
	echo x >new/x
	patch
	id=$(image_id 1.img | cut -c 1-20)
	mlimg-mkfs --quiet --kind software --name soft old soft.img
	mlimg-mkfs --quiet --kind user --size 16M user.img
	mlimg-mkfs --quiet --kind system --name other old other.img
	refused "'soft.img': software layer 'soft' 0 ($(image_id soft.img | cut -c 1-20)): no system layer beneath" --base soft.img
	refused "'soft.img' is a software layer: a patch stands on a system and its patches" --base 1.img --base soft.img
	refused "'user.img' is a user layer: nothing is built over one" --base user.img
	refused "'1.img': system layer 's' 1 ($id): a system layer can only be the lowest" --base 1.img --base 1.img
	refused "'2.img': patch layer 's' 2 ($(image_id 2.img | cut -c 1-20)): is in the stack twice" --base 1.img --base 2.img --base 2.img
	refused "'2.img': patch layer 's' 2 ($(image_id 2.img | cut -c 1-20)): no system layer beneath" --base 2.img
	refused "'2.img': patch layer 's' 2 ($(image_id 2.img | cut -c 1-20)): is a patch for system $id, and this one is $(
		image_id other.img | cut -c 1-20
	)" --base other.img --base 2.img
}

@test "mkfs: damaged bases are refused" {
	local block name
	two_versions
	cp 1.img cut.img
	truncate -s 100000 cut.img
	refused "cut.img: is truncated: the file system has $(stat -c %s 1.img) bytes, the image 100000" --base cut.img
	cp 1.img x-manifest.img
	block=$(debugfs -R 'blocks /mlimg/manifest' 1.img 2>/dev/null | cut -d ' ' -f 1)
	printf X | dd of=x-manifest.img bs=1 seek=$((block * 4096 + 500)) conv=notrunc status=none
	fails 3 "mlimg-mkfs: x-manifest.img: its manifest has digest $(debugfs -R 'cat /mlimg/manifest' x-manifest.img 2>/dev/null |
		sha256sum | cut -c 1-20), its build id is $(image_id 1.img | cut -c 1-20)" mlimg-mkfs --base x-manifest.img new x.img

	# Contents are only read where they have to be stored again.
	name=$(printf 'n%.0s' {1..150})
	mkdir "old/$name"
	head -c 9000 /dev/urandom >"old/$name/$name"
	mlimg-mkfs --quiet --force --kind system --name s --version 1 old 1.img
	cp -a "old/$name/$name" new/moved
	block=$(debugfs -R "blocks /rootfs/$name/$name" 1.img 2>/dev/null | cut -d ' ' -f 1)
	printf 'XXXX' | dd of=1.img bs=1 seek=$((block * 4096 + 500)) conv=notrunc status=none
	refused "'$name/$name': what lies beneath has not the contents that its manifest says" --base 1.img
}

@test "mkfs: a source that a system could not hold is refused" {
	two_versions
	bsdtar --format=pax -cf bad.tar @- <<<'#mtree
./dev type=char mode=0 device=native,0,0'
	fails 3 "mlimg-mkfs: 'dev': whiteout in a system layer, which has nothing beneath it" mlimg-mkfs --base 1.img bad.tar x.img
}

# hostile SCRIPT…: a patch made by hand, p.img, for what 1.img holds; debugfs runs the lines in /rootfs
hostile() {
	mkdir -p empty
	printf '%s\n' "cd /rootfs" "$@" >script
	handmade-layer -k patch -b "$(image_id 1.img)" -d script empty p.img
}

@test "mkfs: hostile patches are refused, with the path" {
	two_versions
	: >none
	printf /no/such >nothing
	printf /etc >directory
	hostile "write /dev/null f" "ea_set -f none f trusted.overlay.metacopy"
	refused "layer 2 of 2: 'f': refers to contents at 'f', where there is no file beneath" --base 1.img --base p.img
	hostile "write /dev/null f" "ea_set -f none f trusted.overlay.metacopy" "ea_set -f nothing f trusted.overlay.redirect"
	refused "layer 2 of 2: 'f': refers to contents at 'no/such', where there is no file beneath" --base 1.img --base p.img
	hostile "write /dev/null f" "ea_set -f none f trusted.overlay.metacopy" "ea_set -f directory f trusted.overlay.redirect"
	refused "layer 2 of 2: 'f': refers to contents at 'etc', where there is no file beneath" --base 1.img --base p.img
	hostile "write /dev/null one" "ea_set -f none one trusted.overlay.metacopy" "mkdir etc" "cd etc" "link /rootfs/one one"
	refused "layer 2 of 2: 'etc/one': refers to contents at 'etc/one', which are others" --base 1.img --base p.img
}

@test "mkfs: references outside of patches, and with contents, are found by verify" {
	two_versions
	: >none
	mkdir -p t
	echo contents >t/f
	printf '%s\n' "cd /rootfs" "ea_set -f none f trusted.overlay.metacopy" >script
	handmade-layer -k patch -b "$(image_id 1.img)" -d script t p.img
	fails 3 "mlimg-inspect: p.img: './f' refers to contents beneath, but has some of its own" mlimg-inspect p.img verify
	handmade-layer -k software -d script t s.img
	fails 3 "mlimg-inspect: s.img: './f' has an xattr that sends readers elsewhere, which only a patch layer may have" \
		mlimg-inspect s.img verify
}
