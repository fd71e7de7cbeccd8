# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The whole of what a guest with a small root shows, as lines "PATH KIND VALUE", and what it must show: a system's files, and over them what its user has
# made. Names have no spaces there. Load it behind common.

# For busybox in a guest or here, in the directory that is looked at: types, modes and owners; targets of links; digests; of the kernel and initramfs in
# /boot, which an emulated guest would take long to read, sizes. What is mounted is left out, and times.
# shellcheck disable=SC2016,SC2034 # busybox expands
VIEW='busybox find . -xdev -exec busybox stat -c "%n is %A:%u:%g" {} +
busybox find . -xdev -type l -exec busybox stat -c "%N link" {} +
busybox find . -xdev -type f ! -path "./boot/*" -exec busybox sha256sum {} +
busybox find ./boot -type f -exec busybox stat -c "%n size %s" {} +'

# view_lines: of what that prints, sorted.
view_lines() {
	awk '$2 == "->" { gsub(/\047/, ""); print $1, $4, $3; next }
		NF == 2 { print $2, "sha256", $1; next }
		{ print }' | grep -Ev '^\./(proc|sys|dev|run)[/ ]' | LC_ALL=C sort
}

# view_of DIRECTORY: of a tree here.
view_of() {
	(cd "$1" && sh -c "$VIEW") | view_lines
}

# view_own BEFORE SYSTEM: what a user has made, by the view of his guest and that of its system: lines of his; "- PATH KIND" of what he has removed.
view_own() {
	awk 'FILENAME == ARGV[1] { system_has[$1 " " $2] = $0; next }
		system_has[$1 " " $2] != $0 { print }
		{ delete system_has[$1 " " $2] }
		END { for (key in system_has) print "-", key }' "$2" "$1"
}

# view_expected SYSTEM OWN: a system's files, and over them what a user has made.
view_expected() {
	awk 'FILENAME == ARGV[1] && $1 == "-" { removed[$2 " " $3]; next }
		FILENAME == ARGV[1] { own[$1 " " $2] = $0; next }
		($1 " " $2) in removed || ($1 " " $2) in own { next }
		{ print }
		END { for (key in own) print own[key] }' "$2" "$1" | LC_ALL=C sort
}
