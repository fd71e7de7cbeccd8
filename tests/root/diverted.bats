#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A file of the system's that the user, or a package of his, has had the real dpkg divert, on an overlay: it follows the system, there and back.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	need command dpkg dpkg-deb dpkg-divert
	stacks_setup
	PROGRAM=usr/bin/program
	system v1 1
	system v2 2
	layers
	deb
}

# system DIR VERSION: a system with a package, tool, that has the program
system() {
	packaged "$1" "$2"
	echo "program $2" >"$DIR/$1/$PROGRAM"
	chmod 755 "$DIR/$1/$PROGRAM"
	mkdir -p "$DIR/$1"/{tmp,var/lib/dpkg/updates,var/lib/dpkg/triggers}
	echo 1 >"$DIR/$1/var/lib/dpkg/info/format"
	printf '%s\n' /usr/bin "/$PROGRAM" >>"$DIR/$1/var/lib/dpkg/info/tool.list"
}

# deb: a package of the user's with a program of its own at that path
deb() {
	mkdir -p "$DIR/deb/DEBIAN" "$DIR/deb/usr/bin"
	printf 'Package: guard\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' >"$DIR/deb/DEBIAN/control"
	echo guard >"$DIR/deb/$PROGRAM"
	dpkg-deb --build --root-owner-group -Znone "$DIR/deb" "$DIR/guard.deb" >/dev/null
}

# divert VERSION BY ARGUMENT…
divert() {
	in_guest "$1" dpkg-divert --root . "$2" --rename --divert "/$PROGRAM.real" "${@:3}" "/$PROGRAM"
}

# programs VERSION TEXT MESSAGE
programs() {
	in_guest "$1" grep -r "" usr/bin --include='program*'
	same "$3" "$2" "$(sort <<<"$output")"
}

install_guard() { # VERSION
	divert "$1" --package=guard --add
	in_guest "$1" dpkg --root=. --force-unsafe-io --force-bad-path --log=/dev/null -i "$DIR/guard.deb"
}

purge_guard() { # VERSION
	in_guest "$1" dpkg --root=. --force-unsafe-io --force-bad-path --log=/dev/null -P guard
	divert "$1" --package=guard --remove
}

both() { # TEXT OF-THE-SYSTEM
	printf 'usr/bin/program.real:program %s\nusr/bin/program:%s\n' "$2" "$1" | sort
}

@test "what a package of the user's diverts is the system's of each version, and comes back when it is purged" {
	on v1
	install_guard v1
	programs v1 "$(both guard 1)" "on v1"
	on v2
	programs v2 "$(both guard 2)" "on v2"
	same "told" '["merged","merged","the system'\''s file, which is diverted to here"]' \
		"$(jq -c '.entries[] | select(.path == "usr/bin/program.real") | [.verdict, .done, .why]' "$USER_DIR/mlimg/reports/2.json")"
	# A third system.
	system v1 3
	layers
	on v1
	programs v1 "$(both guard 3)" "on v3"
	purge_guard v1
	programs v1 "usr/bin/program:program 3" "purged"
	on v1
	programs v1 "usr/bin/program:program 3" "purged, the next boot"
	same "aside" "" "$(ls -A "$USER_DIR/mlimg/aside" 2>/dev/null)"
}

@test "a local diversion: the user's program stays at the path; a change of his to what was moved away is set aside" {
	on v1
	divert v1 --local --add
	programs v1 "usr/bin/program.real:program 1" "with nothing in its place"
	on v2
	programs v2 "usr/bin/program.real:program 2" "with nothing in its place, on v2"
	in_guest v2 sh -c 'echo mine >usr/bin/program && echo changed >usr/bin/program.real'
	system v1 3
	layers
	on v1
	programs v1 "$(both mine 3)" "on v3"
	same "aside" changed "$(cat "$USER_DIR"/mlimg/aside/3/usr/bin/program.real)"
}

@test "taken back, what is diverted is the former system's, also where the user has diverted it or purged the package since" {
	on v1
	install_guard v1
	on v2
	on v1
	programs v1 "$(both guard 1)" "back"
	on v2
	purge_guard v2
	programs v2 "usr/bin/program:program 2" "purged on v2"
	on v1
	programs v1 "usr/bin/program:program 1" "purged, back"
	user_anew
	on v1
	on v2
	install_guard v2
	on v1
	programs v1 "$(both guard 1)" "installed on v2, back"
	purge_guard v1
	programs v1 "usr/bin/program:program 1" "installed on v2, back, purged"
}

@test "what the system has anew where the user diverts is diverted, and a copy of its own is no work of his" {
	rm "$DIR/v1/$PROGRAM"
	layers
	on v1
	divert v1 --local --add
	on v2
	programs v2 "usr/bin/program.real:program 2" "on v2"
	divert v2 --local --remove
	programs v2 "usr/bin/program:program 2" "no more diverted"
	system v1 3
	layers
	on v1
	programs v1 "usr/bin/program:program 3" "on v3"
}
