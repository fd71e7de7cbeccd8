# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs --profile: what a boot reads lies first in the image, in the order in which it reads.

load ../lib/common
load ../lib/images

setup() {
	export SOURCE_DATE_EPOCH=1700000000
	cd "$BATS_TEST_TMPDIR" || return
	mkdir tree tree/a tree/b 'tree/odd name'
	local i
	for i in a/1 a/2 b/3 b/4 'odd name/5'; do
		head -c $((9000 + RANDOM % 9000)) /dev/urandom >"tree/$i"
	done
	touch tree/b/empty
	ln -s 1 tree/a/link
	ln tree/b/4 tree/b/name-of-4
	truncate -s 1M tree/a/sparse
	printf middle | dd of=tree/a/sparse bs=1 seek=500000 conv=notrunc status=none
	printf end >>tree/a/sparse
	cat >list <<-'END'
		# what a boot reads
		./b/3
		/a/sparse
		odd\040name/5
		b/3
		b/empty
		a/1
	END
}

mkfs() {
	works mlimg-mkfs --quiet --force --kind system --name t "$@"
}

# Blocks of the files $2… of image $1, in this order.
blocks() {
	local image=$1 file
	shift
	for file; do
		debugfs -R "blocks \"/rootfs/$file\"" "$image" 2>/dev/null
	done | tr -s ' \n' '\n' | sed '/^$/d'
}

# The files $2… of image $1 are its first blocks, in this order.
first() {
	local n
	n=$(blocks "$@" | wc -l)
	[ "$n" -gt 0 ] || return
	same "blocks of ${*:2}" "$(seq 64 $((63 + n)))" "$(blocks "$@")"
}

# The image $1 is sound, and what it holds is what t.img, made without a profile, holds.
sound() {
	works mlimg-inspect "$1" verify
	fsck_clean "$1"
	same "manifest" "$(mlimg-inspect t.img manifest)" "$(mlimg-inspect "$1" manifest)"
}

# Digests of all that image $1 has beside its tree.
of_mlimg() {
	mkdir -p "$1.own" && debugfs -R "rdump /mlimg $1.own" "$1" 2>/dev/null
	(cd "$1.own" && find . -type f | LC_ALL=C sort | xargs sha256sum)
}

@test "files of a profile come first, in its order; the build id stays" {
	mkfs tree t.img
	mkfs --profile list tree p.img
	first p.img b/3 a/sparse 'odd name/5' a/1
	sound p.img
	run ! cmp -s t.img p.img
	mkfs --profile list tree again.img
	cmp p.img again.img
}

@test "whatever the form of the source" {
	mkfs tree t.img
	mkfs --profile list tree dir.img
	# In another order, and packed.
	tar -C tree -czf t.tar.gz --pax-option=delete=atime,delete=ctime --format=pax --sort=name 'odd name' b a .
	mkfs --profile list t.tar.gz tar.img
	first tar.img b/3 a/sparse 'odd name/5' a/1
	fsck_clean tar.img
	mkfs --profile list t.img layer.img
	first layer.img b/3 a/sparse 'odd name/5' a/1
	sound layer.img
	zcat t.tar.gz | mlimg-mkfs --quiet --kind system --name t --profile list - stdin.img
	cmp tar.img stdin.img
}

@test "a file of the profile that the source has first by another name" {
	echo b/name-of-4 >list
	mkfs tree t.img
	mkfs --profile list tree p.img
	first p.img b/4
	sound p.img
}

@test "all files, and no files" {
	mkfs tree t.img
	(cd tree && find . -type f) >list
	mkfs --profile list tree all.img
	sound all.img
	echo '# none' >list
	mkfs --profile list tree none.img
	cmp t.img none.img
}

@test "of several sources, what shows is placed" {
	mkdir above above/b
	head -c 20000 /dev/urandom >above/b/3
	mkfs tree above t.img
	mkfs --profile list tree above p.img
	first p.img b/3 a/sparse
	sound p.img
	same "contents" "$(sha256sum <above/b/3)" "$(mlimg-inspect p.img cat /b/3 | sha256sum)"
}

@test "a patch: what it has itself is placed, what lies beneath is known" {
	mkfs tree old.img
	head -c 30000 /dev/urandom >tree/a/1
	works mlimg-mkfs --quiet --base old.img --name t --version 2 tree t.img
	run --separate-stderr mlimg-mkfs --base old.img --name t --version 2 --profile list tree p.img
	same "exit code" 0 "$status"
	# shellcheck disable=SC2154 # run sets it
	same "warning" "" "$stderr"
	first p.img a/1
	sound p.img
}

@test "a software layer over a system: what is written beside its tree makes room as well" {
	mkdir -p tree/var/lib/dpkg
	printf 'Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n' >tree/var/lib/dpkg/status
	mkfs tree old.img
	printf 'Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n' >>tree/var/lib/dpkg/status
	head -c 30000 /dev/urandom >tree/a/1
	head -c 30000 /dev/urandom >tree/a/2
	works mlimg-mkfs --quiet --kind software --name t --over old.img tree t.img
	works mlimg-mkfs --quiet --kind software --name t --over old.img --profile list tree p.img
	first p.img a/1
	sound p.img
	same "what lies in /mlimg" "$(of_mlimg t.img)" "$(of_mlimg p.img)"
	[[ $(of_mlimg p.img) == *records/var/lib/dpkg/status* ]]
}

@test "unknown paths are counted" {
	printf 'a/1\na/link\na\nnot/there\na/1/x\n' >list
	run --separate-stderr mlimg-mkfs --kind system --name t --profile list tree p.img
	same "exit code" 0 "$status"
	# shellcheck disable=SC2154 # run sets it
	same "warning" "mlimg-mkfs: warning: 4 of 5 paths of 'list' are no regular files in the layer" "$stderr"
	mkfs --profile list tree p.img
	first p.img a/1
	echo not/there >list
	run --separate-stderr mlimg-mkfs --force --kind system --name t --profile list tree p.img
	same "warning about one" "mlimg-mkfs: warning: 1 of 1 path of 'list' is no regular file in the layer" "$stderr"
}

@test "profiles that are none" {
	printf 'a/1\n../x\n' >list
	fails 3 "mlimg-mkfs: 'list' line 2: no path in a tree" mlimg-mkfs --kind system --profile list tree p.img
	printf 'a/1\0\n' >list
	fails 3 "mlimg-mkfs: 'list' is no list of paths: it has a NUL" mlimg-mkfs --kind system --profile list tree p.img
	fails 1 "mlimg-mkfs: open 'none': No such file or directory" mlimg-mkfs --kind system --profile none tree p.img
	fails 2 "mlimg-mkfs: --profile is for read-only layers
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --kind user --profile list tree p.img
	[ ! -e p.img ]
}

@test "random trees and profiles" {
	local seed=${MLIMG_SEED:-$(date +%N)} round
	echo "MLIMG_SEED=$seed"
	for ((round = 0; round < 4; round++)); do
		rm -rf tree
		randtree $((10#$seed + round)) 300 tree
		(cd tree && find . -type f -print0 | sort -z) | MLIMG_SEED=$seed perl -0ne '
			BEGIN { srand $ENV{MLIMG_SEED} } chomp; push @all, $_;
			END { print map { s/([\\\n#])/sprintf "\\%03o", ord $1/ger . "\n" } sort { rand() <=> 0.5 } grep { rand() < 0.4 } @all }' >list
		mkfs tree t.img
		mkfs --profile list tree p.img
		sound p.img
	done
}
