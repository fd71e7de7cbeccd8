# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Hooks that a system's successor brings along, in guests with a small root: a file for each thing that a hook may do, which both sides change. Guest "t" is on
# version 1, and what the user has there is changed; then it is on version 2.

hooks_table=usr/lib/mlimg/reconcile.d/hooked.conf hooks_dir=usr/lib/mlimg/merge.d

# hook TREE NAME: one for the file of its name; what it does is standard input.
hook() {
	mkdir -p "$1/$hooks_dir" "$1/${hooks_table%/*}"
	{ echo '#!/bin/sh' && cat; } >"$1/$hooks_dir/$2"
	chmod 0755 "$1/$hooks_dir/$2"
	echo "/etc/hooked/$2 merge:$2" >>"$1/$hooks_table"
}

# hooks_put TREE VERSION: the files of version 1 or 2. Hooks, and the table that names them, are in the second alone.
hooks_put() {
	local name
	rm -rf "${1:?}/${hooks_dir%/*}"
	mkdir -p "$1/etc/hooked"
	for name in fails floods hangs writes; do echo "$2" >"$1/etc/hooked/$name"; done
	if [ "$2" = 1 ]; then
		printf 'a=1\nb=1\nc=1\n' >"$1/etc/hooked/merges"
		return
	fi
	printf 'c=2\nb=1\na=1\nnew=2\n' >"$1/etc/hooked/merges"
	# The documentation's.
	sed -n '/^    #!\/bin\/sh$/,/dev\/fd\/5$/s/^    //p' "$MLIMG_TOP/initramfs/README.md" | tail -n +2 | hook "$1" merges
	printf 'echo half\nprintf "no such \\033[7mkey\\nmore\\n" >&2\nexit 3\n' | hook "$1" fails
	echo 'cat /dev/urandom' | hook "$1" floods
	echo 'echo half; echo waiting >&2; sleep 7654 & sleep 7654' | hook "$1" hangs
	hook "$1" writes <<-'END'
		for file in /etc/hooked/writes /srv/new /proc/self/fd/4 /proc/self/fd/5; do
			{ echo bad >$file; } 2>/dev/null && exit 5
		done
		mount -t tmpfs none /srv 2>/dev/null && exit 6
		echo "nothing is written" >&2
		exit 4
	END
}

# hooks_change NAME…: the user's changes.
hooks_change() {
	vm_do t "set -e; cd /etc/hooked
		for name in $*; do
			if [ \$name = merges ]; then printf 'c=1\nmine=1\nb=mine\na=1\n'; else echo mine; fi >\$name
		done"
}

# hooks_show NAME…: what is in these files, and in new ones beside them, a line each; and what a hook has left behind.
hooks_show() {
	vm_do t "cd /etc/hooked
		for name in $*; do echo \$name: \$(cat \$name \$name.mlimg-new 2>/dev/null); done
		ls -d /run/mlimg/hook 2>/dev/null; ps | grep '[s]leep 7654'; :"
}

# hooks_told: what the report says of these files, and then the notes.
hooks_told() {
	vm_do t "cat '$(boot .report.path)'" |
		jq -r '.entries[] | select(.path | startswith("etc/hooked/")) | "\(.path[11:]) \(.verdict) \(.class) \(.done)"'
	boot '.notes[] | select(startswith("hook "))'
}

# hooks_conflict NAME…: what hooks_show and hooks_told must say of files whose hooks have not merged them, but for the notes.
hooks_conflict() {
	local name
	for name in "$@"; do
		case $name in
			merges) echo "$name: c=1 mine=1 b=mine a=1 c=2 b=1 a=1 new=2" ;;
			*) echo "$name: mine 2" ;;
		esac
	done
	printf '%s conflict merge beside\n' "$@"
}

# hooks_ran NAME…: in the order of names, "merges" not the first, these files were changed, and the hooks were run.
hooks_ran() {
	local name
	same "hooked files, report and notes" "$(
		hooks_conflict "$@" | sed -e 's/^merges: .*/merges: c=2 mine=1 b=mine a=1 new=2/' -e 's/^merges .*/merges merged merge merged/'
		for name in "$@"; do
			case $name in
				fails) echo "hook fails for '/etc/hooked/fails': exit status 3: no such ?[7mkey" ;;
				floods) echo "hook floods for '/etc/hooked/floods': printed more than 262144 bytes" ;;
				hangs) echo "hook hangs for '/etc/hooked/hangs': did not end in its time: waiting" ;;
				writes) echo "hook writes for '/etc/hooked/writes': exit status 4: nothing is written" ;;
			esac
		done
	)" "$(hooks_show "$@" && hooks_told)"
}

# hooks_not_run NAME…: there is no overlayfs.
hooks_not_run() {
	same "hooked files, report and notes" "$(
		hooks_conflict "$@"
		for name in "$@"; do
			echo "hook $name for '/etc/hooked/$name': exit status 126: cannot mount the layers by overlayfs: No such device"
		done
	)" "$(hooks_show "$@" && hooks_told)"
}

# hooks_back NAME…: on version 1 again, the user's as they were, and nothing beside.
hooks_back() {
	same "hooked files after the way back" "$(hooks_conflict "$@" | sed -n -e 's/: mine 2$/: mine/p' -e 's/^\(merges: .*a=1\) c=2.*/\1/p')" "$(hooks_show "$@")"
}
