# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Software layers made over others: what mlimg-mkfs --over keeps, and what it refuses. The rules that need nothing beneath are in
# mkfs-rules.bats, the kernel's view in tests/root/over.bats, records by themselves in test_records.c.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# A system, s.img of the directory old, and the directory new.
system() {
	mkdir -p old/etc old/usr/bin old/usr/lib old/usr/share/doc
	echo one >old/etc/one
	echo two >old/etc/two
	head -c 100000 /dev/urandom >old/usr/bin/tool
	head -c 3000000 /dev/urandom >old/usr/share/large
	ln old/usr/bin/tool old/usr/bin/tool-1
	ln -s one old/etc/link
	seq 40 | sed 's|^|old/usr/lib/|' | xargs touch
	seq 9 | sed 's|^|old/usr/share/doc/|' | xargs touch
	find old -exec touch -h -d @1600000000 {} +
	cp -a old new
	image_of old s.img --kind system
}

image_of() { # TREE IMAGE OPTION…
	mlimg-mkfs --quiet --force --name s "${@:3}" "$1" "$2"
}

# over OPTION…: l.img of what differs in the directory new
over() {
	image_of new l.img --kind software --over s.img "$@"
}

# A merged manifest without the times of directories, which do not count.
merged_of() {
	merged -c "$@" | sed '/ type=dir /s/ time=[^ ]*//'
}

# System and layers show the directory new.
is_new() {
	image_of new whole.img --kind system && merged_of whole.img >wanted && merged_of s.img "$@" >found &&
		diff wanted found && works mlimg-inspect "${@: -1}" verify && fsck_clean "${@: -1}"
}

# Path and what it is of all that is in the layer but directories and its root.
holds() {
	mlimg-inspect "${1:-l.img}" manifest | awk '!/^#/ && $1 != "." {
		sub("^./", "", $1)
		sub("type=", "", $2)
		if (/device=native,0,0/) $2 = "gone"
		if (/overlay.opaque/) $2 = "opaque"
		print $1, $2
	}'
}

@test "only what differs is kept" {
	system
	rm -r new/etc/two new/usr/share/doc
	echo other >new/etc/one
	chmod 700 new/usr/bin
	mkdir new/opt
	echo new >new/opt/new
	rm new/etc/link
	mkdir new/etc/link
	over
	same "what is in the layer" 'etc dir
etc/link dir
etc/one file
etc/two gone
opt dir
opt/new file
usr dir
usr/bin dir
usr/share dir
usr/share/doc gone' "$(holds)"
	is_new l.img
	[ "$(stat -c %s l.img)" -lt 600000 ]
}

@test "the same tree makes an empty layer, and again the same bytes" {
	system
	over
	same "what is in the layer" "" "$(holds)"
	is_new l.img
	mv l.img first.img
	over
	cmp first.img l.img
	# The contents need not come in the same order.
	tar -C new --sort=name -cf new.tar .
	mlimg-mkfs --quiet --kind software --name s --over s.img new.tar tar.img
	same "build id from a tar" "$(image_id l.img)" "$(image_id tar.img)"
}

@test "it is bound to what it is over, once or several times given" {
	system
	echo a >new/a
	works mlimg-mkfs --kind software --name a --over s.img new a.img
	[[ $output == "a 0: software layer, build id "* ]]
	same lines 1 "$(wc -l <<<"$output")"
	same over "$(image_id s.img)" "$(mlimg-inspect --json a.img | jq -r '.over[]')"
	echo b >new/b
	rm new/a
	mlimg-mkfs --quiet --kind software --name b --over s.img,a.img new b.img
	mlimg-mkfs --quiet --kind software --name b --over s.img --over a.img new again.img
	cmp b.img again.img
	same over "$(image_id s.img) $(image_id a.img)" "$(mlimg-inspect --json b.img | jq -r '.over | join(" ")')"
	same "what is in it" $'a gone\nb file' "$(holds b.img)"
	is_new a.img b.img
	# A patch counts as the system that it makes.
	cp -a old patched
	echo patched >patched/etc/one
	mlimg-mkfs --quiet --base s.img --name s --version 2 patched p.img
	echo patched >new/etc/one
	cp -p patched/etc/one new/etc/one
	mlimg-mkfs --quiet --kind software --name c --over s.img,p.img new c.img
	same over "$(mlimg-inspect --json p.img | jq -r .result)" "$(mlimg-inspect --json c.img | jq -r '.over[]')"
	same "what is in it" 'b file' "$(holds c.img)"
	is_new p.img c.img
}

@test "a build id is noted only" {
	system
	works mlimg-mkfs --kind software --name a --over "$(image_id s.img)" new a.img
	same over "$(image_id s.img)" "$(mlimg-inspect --json a.img | jq -r '.over[]')"
	mlimg-mkfs --quiet --kind software --name a new b.img
	same "what is in it" "$(holds b.img)" "$(holds a.img)"
}

usage() { # MESSAGE OPTION…
	fails 2 "mlimg-mkfs: $1
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs "${@:2}"
}

@test "wrong usage" {
	system
	usage "--over takes images or build ids, not both" --kind software --over "s.img,$(image_id s.img)" new l.img
	usage "--over takes images or build ids, not both" --kind software --over s.img --over "$(image_id s.img)" new l.img
	usage "--over is for software layers" --kind system --over s.img new l.img
	usage "--partial needs --over with images" --kind software --partial new l.img
	usage "--partial needs --over with images" --kind software --partial --over "$(image_id s.img)" new l.img
	usage "--over: an empty name" --kind software --over s.img, new l.img
	usage "'s.img' is both beneath and the image" --kind software --force --over s.img new s.img
	[ ! -e l.img ]
}

@test "what lies beneath must be layers that make a stack" {
	system
	image_of new a.img --kind software
	mlimg-mkfs --quiet --kind user --size 32M u.img
	fails 1 "mlimg-mkfs: open image 'none.img': No such file or directory" mlimg-mkfs --kind software --over none.img new l.img
	fails 3 "mlimg-mkfs: 'a.img': software layer 's' 0 ($(image_id a.img | cut -c 1-20)): no system layer beneath" \
		mlimg-mkfs --kind software --over a.img new l.img
	fails 3 "mlimg-mkfs: 'u.img' is a user layer: nothing is built over one" mlimg-mkfs --kind software --over s.img,u.img new l.img
	[ ! -e l.img ]
}

@test "times count, but not those of directories alone" {
	system
	touch -d @1650000000 new/etc/one new/usr/share
	touch -h -d @1650000000 new/etc/link
	over
	same "what is in the layer" $'etc dir\netc/link link\netc/one file' "$(holds)"
	same "times in it" '. 1600000000.000000000
./etc 1600000000.000000000
./etc/link 1650000000.000000000
./etc/one 1650000000.000000000' "$(mlimg-inspect l.img manifest | sed -n 's/^\(\.[^ ]*\) .* time=\([^ ]*\).*/\1 \2/p')"
	is_new l.img
}

@test "contents that are known beneath are not written, or fetched from there" {
	system
	# by another name, with another mode, and in a tar
	mv new/usr/share/large new/usr/share/moved
	chmod 600 new/etc/two
	over
	same "what is in the layer" 'etc dir
etc/two file
usr dir
usr/share dir
usr/share/large gone
usr/share/moved file' "$(holds)"
	is_new l.img
	find new -type d -exec touch -d @1650000000 {} +
	over
	tar -C new -cf - . | mlimg-mkfs --quiet --kind software --name s --over s.img - t.img
	same "build id" "$(image_id l.img)" "$(image_id t.img)"
	works mlimg-inspect t.img verify
}

@test "beneath, contents that are not what their manifest says" {
	system
	chmod 600 new/etc/two
	printf 'owt\n' >owt
	dd if=owt of=s.img bs=4096 seek="$(debugfs -R 'blocks /rootfs/etc/two' s.img 2>/dev/null | tr -d ' ')" conv=notrunc status=none
	fails 3 "mlimg-mkfs: 'etc/two': what lies beneath has not the contents that its manifest says" \
		mlimg-mkfs --kind software --over s.img new l.img
	[ ! -e l.img ]
}

@test "a file with several names is kept whole" {
	system
	ln new/usr/bin/tool new/usr/bin/tool-2
	over
	same "a third name" 'usr dir
usr/bin dir
usr/bin/tool file
usr/bin/tool-1 file
usr/bin/tool-2 file' "$(holds)"
	is_new l.img
	rm new/usr/bin/tool-[12]
	over
	same "one of two names" 'usr dir
usr/bin dir
usr/bin/tool file
usr/bin/tool-1 gone' "$(holds)"
	is_new l.img
	cp -p new/usr/bin/tool new/usr/bin/tool-1
	over
	same "two files" 'usr dir
usr/bin dir
usr/bin/tool file
usr/bin/tool-1 file' "$(holds)"
	is_new l.img
}

@test "--partial: what the source has not is not gone" {
	system
	mkdir -p add/etc
	echo three >add/etc/three
	chmod 700 add/etc
	fails 3 "mlimg-mkfs: 60 of the 61 entries beneath are not in the sources (rule mass-deletion): give --partial if they hold additions only" \
		mlimg-mkfs --kind software --over s.img add l.img
	[ ! -e l.img ]
	mlimg-mkfs --quiet --kind software --name s --over s.img --partial add l.img
	same "what is in the layer" $'etc dir\netc/three file' "$(holds)"
	# A directory that a tar has not itself is the one beneath.
	chmod 750 old/usr/bin
	image_of old s.img --kind system
	mkdir -p add/usr/bin
	echo x >add/usr/bin/x
	tar -C add -cf add.tar usr/bin/x
	mlimg-mkfs --quiet --force --kind software --name s --over s.img --partial add.tar l.img
	same "mode of usr/bin" 0750 "$(mlimg-inspect l.img manifest | sed -n 's|^\./usr/bin .* mode=\([0-7]*\) .*|\1|p')"
}

@test "mass-deletion: more than half of what lies beneath" {
	mkdir -p old/d
	seq 9 | sed 's|^|old/d/|' | xargs touch
	image_of old s.img --kind system
	cp -a old new
	rm new/d/[1-5]
	over
	same "whiteouts" 5 "$(holds | grep -c gone)"
	rm new/d/6
	fails 3 "mlimg-mkfs: 6 of the 10 entries beneath are not in the sources (rule mass-deletion): give --partial if they hold additions only" \
		mlimg-mkfs --force --kind software --over s.img new l.img
	over --allow mass-deletion
	same "whiteouts" 6 "$(holds | grep -c gone)"
	is_new l.img
	# What a file takes the place of is gone too.
	rm -r new/d
	: >new/d
	fails 3 "mlimg-mkfs: 9 of the 10 entries beneath are not in the sources (rule mass-deletion): give --partial if they hold additions only" \
		mlimg-mkfs --force --kind software --over s.img new l.img
	over --allow mass-deletion
	same "what is in the layer" "d file" "$(holds)"
}

@test "the image of a software layer holds additions only, that of a system layer a whole tree" {
	system
	mkdir -p upper/etc
	echo other >upper/etc/one
	mknod upper/etc/two c 0 0
	mlimg-mkfs --quiet --kind software --name a upper a.img
	mlimg-mkfs --quiet --kind software --name s --over s.img a.img l.img
	same "of a software layer" $'etc dir\netc/one file\netc/two gone' "$(holds)"
	same "what it is bound to" "$(image_id s.img)" "$(mlimg-inspect --json l.img | jq -r '.over[]')"
	# Merged with another one above.
	mkdir -p above/etc
	echo more >above/etc/more
	mlimg-mkfs --quiet --kind software --name b above b.img
	mlimg-mkfs --quiet --force --kind software --name s --over s.img a.img b.img l.img
	same "of two" $'etc dir\netc/more file\netc/one file\netc/two gone' "$(holds)"
	rm new/etc/two
	image_of new new.img --kind system
	mlimg-mkfs --quiet --force --kind software --name s --over s.img new.img l.img
	same "of a system layer" $'etc dir\netc/two gone' "$(holds)"
	mlimg-mkfs --quiet --force --kind software --name s --over s.img new.img b.img l.img
	same "of a system layer below" $'etc dir\netc/more file\netc/two gone' "$(holds)"
}

@test "uppers and branches hold additions only, and keep their whiteouts" {
	system
	mkdir -p upper/etc branch/.unionfs-fuse/etc branch/etc
	echo other >upper/etc/one
	cp upper/etc/one branch/etc/one
	mknod upper/etc/two c 0 0
	: >branch/.unionfs-fuse/etc/two_HIDDEN~
	mlimg-mkfs --quiet --kind software --name s --form upper-userxattr --over s.img upper l.img
	same "of an upper" $'etc dir\netc/one file\netc/two gone' "$(holds)"
	mlimg-mkfs --quiet --force --kind software --name s --over s.img branch l.img
	same "of a branch" $'etc dir\netc/one file\netc/two gone' "$(holds)"
	# As a directory they need to be told so, and whiteouts are kept, whatever is beneath.
	mknod upper/etc/nothing c 0 0
	mlimg-mkfs --quiet --force --kind software --name s --partial --over s.img upper l.img
	same "of a directory" $'etc dir\netc/nothing gone\netc/one file\netc/two gone' "$(holds)"
	# On top of a whole tree all of it counts.
	rm new/usr/share/large
	mlimg-mkfs --quiet --force --kind software --name s --over s.img new upper l.img
	same "of a tree and a directory" 'etc dir
etc/nothing gone
etc/one file
etc/two gone
usr dir
usr/share dir
usr/share/large gone' "$(holds)"
}

@test "an opaque directory is kept with all that is in it" {
	system
	cp -a new/etc upper
	mkdir image
	mlimg-mkfs --quiet --kind user --name u --size 32M u.img
	debugfs -w -R 'mkdir /upper/etc' u.img 2>/dev/null
	debugfs -w -R 'write upper/one /upper/etc/one' u.img 2>/dev/null >&2
	debugfs -w -R 'sif /upper/etc/one mtime @1600000000' u.img 2>/dev/null
	debugfs -w -R 'ea_set /upper/etc trusted.overlay.opaque y' u.img 2>/dev/null
	mlimg-mkfs --quiet --kind software --name s --over s.img u.img l.img
	same "what is in the layer" $'etc opaque\netc/one file' "$(holds)"
	merged -c s.img l.img >found
	same "what shows in etc" './etc/one' "$(grep -o '^\./etc/[^ ]*' found)"
	works mlimg-inspect l.img verify
}

@test "of a file that has one of its names in an opaque directory, all names are kept" {
	local opaque='SCHILY.xattr.trusted.overlay.opaque:=y'
	system
	ln old/usr/bin/tool old/usr/tool-2
	ln new/usr/bin/tool new/usr/tool-2
	touch -d @1600000000 old/usr new/usr
	image_of old s.img --kind system
	tar -C new --format=posix -cf new.tar .
	tar -C new --format=posix --pax-option="$opaque" --no-recursion -rf new.tar ./usr/bin
	image_of new.tar l.img --kind software --over s.img
	same "what is in the layer" 'usr dir
usr/bin opaque
usr/bin/tool file
usr/bin/tool-1 file
usr/tool-2 file' "$(holds)"
	is_new l.img
}

@test "what rules leave out is neither kept nor taken for gone" {
	system
	mkdir -p old/var/log old/var/cache/man old/etc/ssh old/etc/udev
	echo cache | tee old/etc/ld.so.cache old/var/cache/man/index.db old/etc/passwd- >old/etc/udev/hwdb.bin
	find old -exec touch -h -d @1600000000 {} +
	image_of old s.img --kind system
	rm -rf new
	cp -a old new
	rm new/etc/udev/hwdb.bin new/etc/passwd-
	echo new | tee new/etc/ld.so.cache new/var/log/syslog >new/etc/ssh/ssh_host_rsa_key
	works mlimg-mkfs --kind software --name s --over s.img new l.img
	# The manual pages' database is as beneath, so nobody has to make it anew.
	same told "rule caches: 1 file left out
rule ssh-host-keys: 1 file left out
rule logs: 1 file left out
to be rebuilt: etc/ld.so.cache: ldconfig" "$(sed 1d <<<"$output")"
	same "what is in the layer" "" "$(holds)"
	touch -d @1650000000 new/var/cache/man/index.db
	works mlimg-mkfs --force --kind software --name s --over s.img new l.img
	same rebuild $'etc/ld.so.cache\nvar/cache/man' "$(mlimg-inspect --json l.img | jq -r '.rebuild[]')"
	# Lifted, it is a file as any other.
	over --allow backups
	same "with backups" $'etc dir\netc/passwd- gone' "$(holds)"
}

@test "an older library: by its link" {
	mkdir -p old/usr/lib
	echo a >old/usr/lib/libfoo.so.1.2.10
	ln -s libfoo.so.1.2.10 old/usr/lib/libfoo.so.1
	image_of old s.img --kind system
	cp -a old new
	mv new/usr/lib/libfoo.so.1.2.10 new/usr/lib/libfoo.so.1.2.9
	ln -sf libfoo.so.1.2.9 new/usr/lib/libfoo.so.1
	fails 3 "mlimg-mkfs: 'usr/lib/libfoo.so.1' leads to libfoo.so.1.2.9, which is older than libfoo.so.1.2.10 beneath (rule older-library)" \
		mlimg-mkfs --kind software --over s.img new l.img
	[ ! -e l.img ]
	over --allow older-library
	is_new l.img
	# A newer one, another one, and none are no older ones.
	ln -sf libfoo.so.1.2.11 new/usr/lib/libfoo.so.1
	over
	ln -sf libfoo-ng.so.1.2.1 new/usr/lib/libfoo.so.1
	over
	ln -sf /elsewhere new/usr/lib/libfoo.so.1
	over
	rm new/usr/lib/libfoo.so.1
	over
}

@test "random pairs of trees" {
	local seed=${MLIMG_SEED:-$(date +%s)} version
	echo "MLIMG_SEED=$seed"
	for ((version = seed; version < seed + 2; version++)); do
		rm -rf new
		randtree "$version" $((50 + version % 7 * 40)) new
		image_of new s.img --kind system
		mutate-tree "$version" new
		over --allow mass-deletion
		is_new l.img
		mv l.img a.img
		mutate-tree $((version + 1)) new
		image_of new b.img --kind software --over s.img,a.img --allow mass-deletion
		is_new a.img b.img
		tar -C new --xattrs --format=posix -cf new.tar .
		mlimg-mkfs --quiet --force --kind software --name s --over s.img,a.img --allow mass-deletion new.tar c.img
		merged_of s.img a.img c.img >found
		mlimg-mkfs --quiet --force --kind system --name s new.tar whole.img
		merged_of whole.img >wanted
		diff wanted found
		# As additions, it hides by name what is beneath, and no more.
		image_of new d.img --kind software --over s.img --partial
		image_of new whole.img --kind software
		merged_of s.img whole.img >wanted
		merged_of s.img d.img >found
		diff wanted found
	done
}
