#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # scripts for other shells
# What is queued, done to uppers that the kernel's overlayfs has written: what shows then is what overlayfs shows without these entries, and nothing is lost.
load ../lib/common
load ../lib/agent

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
	mkdir merged
	RUN=$PWD/run
}

# overlay UPPER COMMANDS: in the merged tree of lower/ and that
overlay() {
	mkdir -p "$1.work"
	works unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=lower,upperdir=$1,workdir=$1.work,redirect_dir=on,index=off,metacopy=off,xino=auto" merged
		top=$PWD
		cd merged
		'"$2" sh "$1"
}

# made: the system of lower/, and a user layer that has run on it, in run/
made() {
	mkdir -p run/layers run/user/{upper,work} empty
	SYSTEM=$(layerdir system debian 12.1 lower run/layers/0)
	ln -s "$PWD/lower" run/layers/0/rootfs
	TENANT=$(layerdir user alice 1 empty run/user)
	prepared
}

prepared() {
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$SYSTEM" --user "$TENANT"
	commit
}

# asked LINE…: queued and done
asked() {
	printf '%s\n' 'mlimg-queue 1' "$@" >run/user/mlimg/queue
	prepared
	[ ! -e run/user/mlimg/queue ]
}

@test "renamed, replaced and deleted things show again where they were" {
	mkdir -p lower/opt/{old/sub,dir} lower/etc/conf.d lower/a/b
	for file in opt/old/f opt/old/sub/g opt/dir/h etc/conf etc/conf.d/x a/b/c; do
		echo "lower $file" >lower/$file
	done
	made
	overlay run/user/upper '
		mv opt/old opt/new; echo mine >opt/new/mine; echo mine >opt/new/sub/g
		rm -r opt/dir; mkdir opt/dir; echo mine >opt/dir/own
		rm etc/conf; rm -r etc/conf.d
		mv a/b a/c; mv a z'
	asked 'restore etc/conf' 'reset etc/conf.d' 'transparent opt/dir' 'reset opt/new' 'reset z/c'
	overlay run/user/upper '
		[ "$(find opt etc z -type f | sort | xargs)" = "etc/conf etc/conf.d/x opt/dir/h opt/dir/own opt/old/f opt/old/sub/g z/b/c" ]
		[ "$(cat opt/old/sub/g)" = "lower opt/old/sub/g" ]
		! [ -e a ]; ! [ -e opt/new ]
		[ "$(cd "$top/run/user/mlimg/aside/queue-1" && find . -type f | sort | xargs)" = "./opt/new/mine ./opt/new/sub/g" ]'
	asked 'reset z'
	overlay run/user/upper '[ "$(cat a/b/c)" = "lower a/b/c" ]; ! [ -e z ]'
}

# A copy of what shows again is a file of its own.
@test "a file that was renamed and what shows again in its place are two" {
	mkdir -p lower/var/log
	echo log >lower/var/log/log
	made
	overlay run/user/upper 'cp -a var/log/log "$top/kept"; mv var/log/log var/log/log.1; echo mine >>var/log/log.1'
	asked 'restore var/log/log'
	overlay run/user/upper '
		[ "$(cat var/log/log)" = log ]; [ "$(tail -n 1 var/log/log.1)" = mine ]
		[ "$(stat -c %i var/log/log)" != "$(stat -c %i var/log/log.1)" ]'
}

# contents DIRECTORY…: of all regular files in there, each once
contents() {
	find "$@" -type f ! -path '*/mlimg/reports/*' -exec sha256sum {} + | cut -d ' ' -f 1 | sort -u
}

# shown UPPER WORK: the merged tree of lower/ and that; the times of directories are those of changes in them
shown() {
	mkdir -p "$2"
	unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=lower,upperdir=$1,workdir=$2,redirect_dir=on,index=off,metacopy=off,xino=auto" merged
		treelist merged' sh "$1" "$2" | sed '/ type=dir /s/ time=[^ ]*//'
}

@test "whatever is reset of random uppers, overlayfs shows what it shows without it, and nothing is lost" {
	local seed=${MLIMG_SEED:-$RANDOM} round path
	echo "MLIMG_SEED=$seed"
	for ((round = 0; round < ${MLIMG_ROUNDS:-3}; round++)); do
		rm -rf lower run want want.work
		randtree $((seed + round)) 120 lower
		made
		overlay run/user/upper "randops $((seed + round)) 60 . 2>/dev/null || true"
		cp -a run/user/upper want
		contents run/user/upper >before
		# A quarter of what the upper has; what was renamed is the first case's.
		RANDOM=$((seed + round))
		while IFS= read -r -d '' path; do
			[ $((RANDOM % 4)) = 0 ] || continue
			getfattr -R -h --absolute-names -m trusted.overlay.redirect -- "want/$path" 2>/dev/null | grep -q . ||
				printf '%s\0' "$path"
		done < <(cd want && find . -mindepth 1 -printf '%P\0') >paths
		[ -s paths ]
		mkqueue reset run/user/mlimg <paths
		prepared
		[ ! -e run/user/mlimg/queue ]
		[ "$(boot .queue.done)" -gt 0 ]
		# What a renamed directory shows elsewhere is refused.
		jq -r '.entries[] | select(.done != "stays") | .path' run/user/mlimg/reports/queue-1.json >paths
		while IFS= read -r path; do
			printf -v path %b "${path//\\/\\0}"
			rm -rf -- "want/$path"
		done <paths
		# Copies of copies have lost what they are copies of.
		find want ! -type d -exec setfattr -h -x trusted.overlay.origin {} \; 2>/dev/null
		shown want want.work >wanted
		shown run/user/upper run/user/work >found
		diff wanted found
		contents run/user/upper run/user/mlimg/aside >after
		diff before after
	done
}
