#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Caches that are to be made anew: what prepare lists, and mlimg-agent rebuild with programs that only note how they were called.
load ../lib/common

setup() {
	RUN=$BATS_TEST_TMPDIR/run
	mkdir -p "$RUN/user/mlimg" "$BATS_TEST_TMPDIR/bin" "$RUN/layers" "$BATS_TEST_TMPDIR"/{empty,soft}/etc "$RUN/user"/{upper,work}
	cd "$BATS_TEST_TMPDIR" || return
	for program in ldconfig mandb journalctl; do
		# The list is there as long as the program runs.
		printf '#!/bin/sh\necho "%s $*" >>%s/calls\n[ ! -e %s/fail-%s ]\n' "$program" "$PWD" "$PWD" "$program" >"bin/$program"
		chmod +x "bin/$program"
	done
	PATH=$PWD/bin:$PATH
}

# listed PATH…: what is to be made
listed() {
	printf '%s\n' "$@" | tee "$RUN/rebuild" >"$RUN/user/mlimg/rebuild"
}

# makes PROGRAM PATH: from now on, in the upper, as it does through the merged root
makes() {
	echo "mkdir -p '$RUN/user/upper/${2%/*}'; echo made >'$RUN/user/upper/$2'; exit 0" >>"bin/$1"
	sed -i "/^\[ ! -e/s/\$/ || exit/" "bin/$1"
}

# left PATH…: what is still to be made
left() {
	local file
	for file in "$RUN/rebuild" "$RUN/user/mlimg/rebuild"; do
		if [ $# -gt 0 ]; then
			same "$file" "$(printf '%s\n' "$@")" "$(cat "$file")"
		else
			[ ! -e "$file" ]
		fi
	done
}

@test "each program once; what has none, or no directory, is passed over" {
	listed etc/ld.so.cache var/cache/man nowhere/at/all usr/share/there-is-no-such-directory/mime.cache usr/share/icons/none/icon-theme.cache var/cache/ldconfig/aux-cache
	works mlimg-agent rebuild --root "$RUN"
	same "calls" "ldconfig 
mandb --quiet" "$(cat calls)"
	left
	# And then there is nothing to be done.
	works mlimg-agent rebuild --root "$RUN"
	same "output" "" "$output"
	same "calls" 2 "$(wc -l <calls)"
}

@test "--needed makes what programs need, and leaves the rest" {
	listed etc/ld.so.cache var/cache/man
	works mlimg-agent rebuild --root "$RUN" --needed
	same "calls" "ldconfig " "$(cat calls)"
	left var/cache/man
	works mlimg-agent rebuild --root "$RUN"
	same "calls" "ldconfig 
mandb --quiet" "$(cat calls)"
	left
}

@test "what fails stays listed, and is tried again" {
	: >fail-ldconfig
	listed etc/ld.so.cache var/cache/man
	fails 1 "mlimg-agent: '/etc/ld.so.cache' is not made anew: ldconfig failed with status 1" mlimg-agent rebuild --root "$RUN"
	left etc/ld.so.cache
	rm fail-ldconfig
	works mlimg-agent rebuild --root "$RUN"
	left
}

@test "wrong usage, and a place that is not there" {
	fails 2 "mlimg-agent: rebuild: unexpected argument 'x'
Try 'mlimg-agent --help' for more information." mlimg-agent rebuild x
	fails 1 "mlimg-agent: open '$PWD/none': No such file or directory" mlimg-agent rebuild --root "$PWD/none"
}

# stack REBUILD…: run/layers of a system and a software layer that lists these; asked: prepare's options
stack() {
	local id digest
	rm -rf "$RUN/layers" soft-layer
	mkdir "$RUN/layers"
	asked=(--system "$(layerdir system s 1 empty "$RUN/layers/0")")
	layerdir software soft "${#}" soft "$RUN/layers/1" >/dev/null
	mkdir "$RUN"/layers/{0,1}/rootfs
	{
		sed -n '/^#/p' "$RUN/layers/1/mlimg/manifest"
		[ $# -eq 0 ] || printf '# mlimg-rebuild %s\n' "$@"
		sed '/^#/d' "$RUN/layers/1/mlimg/manifest"
	} >manifest
	digest=$(sha256sum <manifest | cut -d ' ' -f 1)
	mv manifest "$RUN/layers/1/mlimg/manifest"
	id=$(jq -n '$ARGS.positional' --args "$@")
	jq --arg id "$digest" --argjson rebuild "$id" '.build_id = $id | if $rebuild == [] then . else .rebuild = $rebuild end' \
		"$RUN/layers/1/mlimg/layer.json" >layer.json
	mv layer.json "$RUN/layers/1/mlimg/layer.json"
	asked+=(--software "$digest")
}

prepare() { # CHANGE OPTION…
	works mlimg-agent prepare --root "$RUN" --union overlay "${asked[@]}" --user "$tenant" "${@:2}"
	same "change" "$1" "$(jq -r .change "$RUN/boot.json")"
}

@test "prepare lists what the layers do, in the first boot on a stack and until it is made" {
	tenant=$(layerdir user alice 1 empty "$RUN/user")
	stack etc/ld.so.cache var/cache/man
	prepare first
	left etc/ld.so.cache var/cache/man
	works mlimg-agent commit --root "$RUN"
	makes ldconfig etc/ld.so.cache
	works mlimg-agent rebuild --root "$RUN" --needed
	same "derived" "etc/ld.so.cache" "$(cat "$RUN/user/mlimg/derived")"
	prepare none
	left var/cache/man
	makes mandb var/cache/man/index.db
	works mlimg-agent rebuild --root "$RUN"
	same "derived" "etc/ld.so.cache var/cache/man" "$(xargs <"$RUN/user/mlimg/derived")"
	prepare none
	left
	stack etc/ld.so.cache
	prepare changed
	left etc/ld.so.cache var/cache/man
	[ ! -e "$RUN/user/mlimg/derived" ]
}

@test "what was made and is gone is made again; what the user has removed is not" {
	tenant=$(layerdir user alice 1 empty "$RUN/user")
	stack etc/ld.so.cache var/cache/man
	prepare first
	works mlimg-agent commit --root "$RUN"
	makes ldconfig etc/ld.so.cache
	makes mandb var/cache/man/index.db
	works mlimg-agent rebuild --root "$RUN"
	prepare none --reset again
	same "to be made" "etc/ld.so.cache var/cache/man" "$(xargs <"$RUN/rebuild")"
	# A boot that ends before it is made finds it again, and so does one that loses changes.
	prepare none --mode volatile
	same "to be made" "etc/ld.so.cache var/cache/man" "$(xargs <"$RUN/rebuild")"
	prepare none
	works mlimg-agent rebuild --root "$RUN" --needed
	prepare none
	same "to be made" var/cache/man "$(cat "$RUN/rebuild")"
	works mlimg-agent rebuild --root "$RUN"
	prepare none
	left
	rm -r "$RUN/user/upper/etc"
	: >"$RUN/user/upper/etc"
	prepare none
	left
}

@test "lists of a stranger's lead nowhere else, and name nothing but caches" {
	tenant=$(layerdir user alice 1 empty "$RUN/user")
	stack
	prepare first
	works mlimg-agent commit --root "$RUN"
	printf 'etc/ld.so.cache\netc/shadow\netc/ld.so.cache\n' | tee derived >"$RUN/user/mlimg/rebuild"
	prepare none
	same "to be made" etc/ld.so.cache "$(cat "$RUN/rebuild")"
	rm "$RUN/user/mlimg/rebuild"
	ln -s "$PWD/derived" "$RUN/user/mlimg/rebuild"
	ln -s "$PWD/derived" "$RUN/user/mlimg/derived"
	prepare none
	[ ! -e "$RUN/rebuild" ]
}

@test "a volatile boot lists for itself alone; the other modes nothing" {
	tenant=$(layerdir user alice 1 empty "$RUN/user")
	stack etc/ld.so.cache
	prepare first --mode volatile
	same "list" etc/ld.so.cache "$(cat "$RUN/rebuild")"
	[ ! -e "$RUN/user/mlimg/rebuild" ]
	works mlimg-agent rebuild --root "$RUN"
	[ ! -e "$RUN/rebuild" ]
	prepare first --mode readonly
	[ ! -e "$RUN/rebuild" ]
	prepare unknown --mode rescue
	[ ! -e "$RUN/rebuild" ]
}

@test "caches that another stack has dropped are listed, and those that came back with the former one" {
	tenant=$(layerdir user alice 1 empty "$RUN/user")
	stack
	prepare first
	left
	works mlimg-agent commit --root "$RUN"
	mkdir -p "$RUN/user/upper/etc"
	echo glibc-ld.so.cache1.1 of mine >"$RUN/user/upper/etc/ld.so.cache"
	stack var/cache/man
	prepare changed
	[ ! -e "$RUN/user/upper/etc/ld.so.cache" ]
	left var/cache/man etc/ld.so.cache
	works mlimg-agent rebuild --root "$RUN"
	left
	# What ldconfig has made there is not the former stack's, and not the user's.
	mkdir -p "$RUN/user/upper/etc"
	echo "glibc-ld.so.cache1.1 of the newer one" >"$RUN/user/upper/etc/ld.so.cache"
	stack
	prepare changed
	same "reconcile" rolled-back "$(jq -r .reconcile.done "$RUN/boot.json")"
	same "cache" "glibc-ld.so.cache1.1 of mine" "$(cat "$RUN/user/upper/etc/ld.so.cache")"
	[ ! -e "$RUN/user/mlimg/aside" ]
	# The user may have installed a library since: it is right when it is made anew.
	left etc/ld.so.cache
	works mlimg-agent rebuild --root "$RUN"
	left
}
