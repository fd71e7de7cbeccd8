# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Guests that are a whole Debian: what their files of tests share.

export vms=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}
load "$MLIMG_TOP/tests/lib/vm"
load "$MLIMG_TOP/tests/lib/layers"
load "$MLIMG_TOP/tests/lib/quiet"

# debian_make [TREE [whole]]: in setup_file: the images of layers_make, and system.img of what debian-tree calls TREE, quiet unless it is to be whole.
debian_make() {
	local tree trees
	[ $# -eq 0 ] || {
		tree=$(debian-tree "$1")
		trees=("$tree")
		[ $# -eq 2 ] || {
			debian_quiet "$BATS_FILE_TMPDIR/quiet" "$tree"
			trees+=("$BATS_FILE_TMPDIR/quiet")
		}
		mlimg-mkfs --quiet --kind system --name debian --version 12 "${trees[@]}" "$BATS_FILE_TMPDIR/system.img"
	}
	layers_make "$BATS_FILE_TMPDIR" usr/share/common-licenses/GPL-3
}

# debian_begin: before each test. Sets $images, and $user, an empty user layer.
debian_begin() {
	# shellcheck disable=SC2034 # the caller's
	images=$BATS_FILE_TMPDIR user=$BATS_TEST_TMPDIR/user.img
	mlimg-mkfs --quiet --kind user --name tenant --size 1G "$user"
}

# debian_runs: systemd in guest "t" says that all is well. The guest is up before its last units are.
debian_runs() {
	same "system state" running "$(vm_do t 'systemctl is-system-running --wait')" || {
		vm_do t 'systemctl --failed' >&2
		return 1
	}
}
