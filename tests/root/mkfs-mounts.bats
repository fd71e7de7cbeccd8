# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs where it takes mounts: a full disk, sources with other file systems in them.

load ../lib/common

setup() {
	need userns
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
}

# in_namespace SCRIPT: run by bash -eu as root of a name space with mounts of its own
in_namespace() {
	run --separate-stderr unshare -rm bash -euc "$1"
}

@test "mkfs: a full disk: message, exit code, nothing left" {
	mkdir d full && head -c 3000000 /dev/urandom >d/contents && for i in {1..2000}; do mkdir "d/$i"; done
	# Contents do not fit; then contents fit, but the directories do not.
	for size in 2 8; do
		in_namespace "
			mount -t tmpfs -o size=${size}M full full
			mlimg-mkfs --kind system d full/image || echo \$?
			ls full"
		same "exit code and files" 1 "$output"
		# shellcheck disable=SC2154 # run sets it
		same "message" "mlimg-mkfs: write 'full/image': No space left on device" "$stderr"
	done
}

@test "mkfs: of another file system in the source only the mount point is taken" {
	mkdir -p d/mnt d/before d/zzz && : >d/zzz/f
	in_namespace "
		mount -t tmpfs -o mode=0700 other d/mnt
		: >d/mnt/not-this
		mlimg-mkfs --quiet --kind system d image
		mlimg-inspect image ls -R"
	same "stderr" "" "$stderr"
	same "paths" "$(printf '%s\n' before mnt zzz zzz/f)" "$(sed 's,^\./,,;s,^/,,' <<<"$output" | sort)"
}

@test "mkfs: a profile's files come first also where nothing can be inserted into a file" {
	need userns
	mkdir d other && head -c 3000000 /dev/urandom >d/a && head -c 2000000 /dev/urandom >d/b && echo c >d/c
	printf 'c\nb\n' >list
	SOURCE_DATE_EPOCH=1 works mlimg-mkfs --quiet --kind system --profile list d image
	# shellcheck disable=SC2016 # for the inner shell
	SOURCE_DATE_EPOCH=1 works unshare -rm sh -c '
		mount -t tmpfs -o size=64M other other &&
			mlimg-mkfs --quiet --kind system --profile list d other/image && cmp other/image image'
	same "first block of c" 64 "$(debugfs -R 'blocks /rootfs/c' image 2>/dev/null | tr -d ' ')"
	works mlimg-inspect image verify
}
