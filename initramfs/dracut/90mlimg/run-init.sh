#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: run-init -n ROOT INIT
# Whether ROOT has the program INIT, as klibc's run-init and busybox's answer; dracut has neither. Where INIT is a symbolic link,
# as with systemd, its target is looked for below ROOT.

root=$2 init=$3 n=0
while [ -h "$root$init" ]; do
	n=$((n + 1))
	[ "$n" -le 40 ] || exit 1
	target=$(readlink "$root$init") || exit 1
	case $target in
		/*) init=$target ;;
		*) init=${init%/*}/$target ;;
	esac
done
[ -f "$root$init" ] && [ -x "$root$init" ]
