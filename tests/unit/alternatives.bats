#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Groups of update-alternatives across layers: what an index shows is what update-alternatives makes of all packages in one tree.

load ../lib/common

setup() {
	need command update-alternatives jq
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p s/usr/bin s/etc/alternatives s/var/lib/dpkg/alternatives
	status s base
}

# status TREE PACKAGE: one more is installed.
status() {
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDescription: x\n\n' "$2" >>"$1/var/lib/dpkg/status"
}

# ua TREE ARGUMENT…
ua() {
	update-alternatives --quiet --root "$PWD/$1" --log /dev/null "${@:2}"
}

# brings TREE NAME PRIORITY [no-page]: a package with an editor, which may have a manual page.
brings() {
	local slave=(--slave /usr/bin/editor.1 editor.1 "/usr/bin/$2.1")
	[ "${4:-}" != no-page ] || slave=()
	status "$1" "$2"
	: >"$1/usr/bin/$2"
	: >"$1/usr/bin/$2.1"
	ua "$1" --install /usr/bin/editor editor "/usr/bin/$2" "$3" "${slave[@]}"
}

# layer NAME OVER TREE
layer() {
	mlimg-mkfs --quiet --kind software --name "$1" --version 1 --over "$2" --allow mass-deletion "$3" "$1.img"
}

# shown IMAGE…: what an index over them has of the group, and where the links lead.
shown() {
	local image layers=()
	for image; do layers+=(--layer "$image"); done
	mlimg-index --quiet --force -o index "$@" || return
	mlimg-inspect "${layers[@]}" index cat var/lib/dpkg/alternatives/editor || return
	mlimg-inspect index ls -l etc/alternatives | sed -n 's/^l.* \([^ ]*\) -> /\1 /p'
}

# made TREE: the same of a tree.
made() {
	local link
	cat "$1/var/lib/dpkg/alternatives/editor"
	for link in "$1"/etc/alternatives/*; do echo "${link##*/} $(readlink "$link")"; done
}

@test "alternatives: choices of layers beside each other; the link leads to the best" {
	brings s nano 40
	for name in emacs:60 vim:50; do
		cp -a s "${name%:*}"
		brings "${name%:*}" "${name%:*}" "${name#*:}"
		cp -a s "t-${name%:*}"
	done
	mlimg-mkfs --quiet --kind system --name s --version 1 s s.img
	layer emacs s.img emacs
	layer vim s.img vim
	brings s emacs 60
	brings s vim 50
	same "vim above" "$(made s)" "$(shown s.img emacs.img vim.img)"
	same "emacs above" "$(made s)" "$(shown s.img vim.img emacs.img)"
	# A layer over both was made of what they show together.
	brings s joe 70
	layer joe s.img,emacs.img,vim.img s
	same "one over both" "$(made s)" "$(shown s.img emacs.img vim.img joe.img)"
}

@test "alternatives: a layer that removes a package takes its choice alone" {
	brings s nano 40
	brings s ed 10
	cp -a s without
	mlimg-mkfs --quiet --kind system --name s --version 1 s s.img
	ua without --remove editor /usr/bin/nano
	layer without s.img without
	cp -a s vim
	brings vim vim 50
	layer vim s.img vim
	ua vim --remove editor /usr/bin/nano
	same "removed below" "$(made vim)" "$(shown s.img without.img vim.img)"
	same "removed above" "$(made vim)" "$(shown s.img vim.img without.img)"
	# All that the system had: the group is gone there, and is not where another layer has brought a choice.
	rm -r without
	cp -a s without
	ua without --remove editor /usr/bin/nano
	ua without --remove editor /usr/bin/ed
	layer none s.img without
	ua vim --remove editor /usr/bin/ed
	same "all removed above" "$(made vim)" "$(shown s.img vim.img none.img)"
}

@test "alternatives: what somebody has chosen by hand stays chosen" {
	brings s nano 40
	cp -a s vim
	cp -a s ed
	mlimg-mkfs --quiet --kind system --name s --version 1 s s.img
	brings vim vim 50
	brings ed ed 10
	ua ed --set editor /usr/bin/ed
	layer vim s.img vim
	layer ed s.img ed
	brings s vim 50
	brings s ed 10
	ua s --set editor /usr/bin/ed
	same "above" "$(made s)" "$(shown s.img vim.img ed.img)"
	same "below" "$(made s)" "$(shown s.img ed.img vim.img)"
}

@test "alternatives: a group that is not in its form, or of a layer over nothing, is its topmost layer's" {
	brings s nano 40
	cp -a s vim
	cp -a s bad
	mlimg-mkfs --quiet --kind system --name s --version 1 s s.img
	brings vim vim 50
	layer vim s.img vim
	echo mine >bad/var/lib/dpkg/alternatives/editor
	status bad bad
	layer bad s.img bad
	same "not in its form" mine "$(shown s.img vim.img bad.img | sed '/^editor/d')"
	brings s vim 50
	same "below" "$(made s)" "$(shown s.img bad.img vim.img)"
	mkdir -p alone/var/lib/dpkg/alternatives
	cp bad/var/lib/dpkg/alternatives/editor alone/var/lib/dpkg/alternatives/
	mlimg-mkfs --quiet --kind software --name alone --version 1 alone alone.img
	same "over nothing" mine "$(shown s.img vim.img alone.img | sed '/^editor/d')"
}
