#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The way back where the directory in which something is to lie has given way since: to a whiteout, a link, a file, another directory.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	stacks_setup
	packages_of_stacks
	on v1
	on v2
}

# back: on v1 again, in one boot, and every later one works. What that has told is $notes.
back() {
	on v1
	same "boot.json" '["rolled-back",3]' "$(boot '[.reconcile.done, .generation]')"
	notes=$(boot '.notes[]?')
	[ ! -e "$USER_DIR/mlimg/reconcile.plan" ]
}

# onward: to the other system, and back once more
onward() {
	on v2
	same "onward" '["reconciled",4]' "$(boot '[.reconcile.done, .generation]')"
	on v1
	same "back again" '["rolled-back",5]' "$(boot '[.reconcile.done, .generation]')"
}

# versions: of packages that the upper's database lists
versions() {
	awk '/^(Package|Version)/ { print $2 }' "$UPPER/var/lib/dpkg/status" | xargs
}

@test "a package removed since with its directory, as overlayfs has it" {
	new_package
	rm -r "$UPPER/usr/share/gone"
	hide usr/share/gone
	back
	same "packages" "tool 1 new 1" "$(versions)"
	same "gone" "character special file" "$(stat -c %F "$UPPER/usr/share/gone")"
	same "notes" "" "$notes"
	onward
	same "packages at last" "tool 1 new 1" "$(versions)"
}

@test "a package removed since, and a link or a file in the place of its directory" {
	local kind
	new_package
	rm -r "$UPPER/usr/share/gone"
	cp -a "$USER_DIR" "$DIR/start"
	for kind in link file; do
		again
		case $kind in
			link) ln -s new "$UPPER/usr/share/gone" ;;
			file) echo mine >"$UPPER/usr/share/gone" ;;
		esac
		cp -a "$UPPER/usr/share/gone" "$DIR/was"
		back
		same "packages, $kind" "tool 1 new 1" "$(versions)"
		same "$kind" "$(stat -c '%F %N' "$DIR/was" | sed 's/.was//')" "$(stat -c '%F %N' "$UPPER/usr/share/gone" | sed "s,$UPPER/usr/share/gone,$DIR,")"
		same "notes, $kind" "" "$notes"
		rm "$DIR/was"
	done
}

@test "a package purged since, and a directory of the user's own in the place of its own: no marks in it" {
	new_package
	rm -r "$UPPER/usr/share/gone"
	mkdir "$UPPER/usr/share/gone"
	setfattr -n trusted.overlay.opaque -v y "$UPPER/usr/share/gone"
	echo me >"$UPPER/usr/share/gone/mine"
	back
	same "packages" "tool 1 new 1" "$(versions)"
	same "in it" mine "$(ls "$UPPER/usr/share/gone")"
	onward
	same "in it at last" mine "$(ls "$UPPER/usr/share/gone")"
}

# A database that cannot be reached is left alone, and that is told; so is what was taken away of it before.
@test "databases moved behind a link since: left where they are, and told" {
	local what file
	# The user's own package, so that the change has taken a database away and has put another.
	on v1
	new_package
	on v2
	rm -rf "$DIR/start"
	cp -a "$USER_DIR" "$DIR/start"
	for what in var var/lib var/lib/dpkg var/lib/dpkg/status var/lib/dpkg/info; do
		again
		mkdir -p "$UPPER/data"
		cp -a "$DIR/v2/$what" "$UPPER/data/"
		cp -a "$UPPER/$what" "$UPPER/data/"
		find "$UPPER/data" -type c -delete # what the kernel copies has none
		rm -r "${UPPER:?}/$what"
		ln -s /data/"${what##*/}" "$UPPER/$what"
		cp -a "$UPPER/data" "$DIR/data"
		on v1
		same "$what" '["rolled-back",5]' "$(boot '[.reconcile.done, .generation]')"
		file=var/lib/dpkg/status
		[[ $what != */info ]] || file=var/lib/dpkg/info
		same "notes, $what" "packages: not merged: /$file of the user is no file, or behind a symbolic link" "$(boot '.notes[]?')"
		same "link, $what" "/data/${what##*/}" "$(readlink "$UPPER/$what")"
		same "data, $what" "$(treelist "$DIR/data")" "$(treelist "$UPPER/data")"
		rm -r "$DIR/data"
		on v2
		on v1
	done
}

# stop_decided: the way back, stopped right after it was decided
stop_decided() {
	local calls at
	stack v1
	cp -a "$USER_DIR" "$DIR/start"
	calls=$(stop-at - mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" 3>&1 >/dev/null)
	for ((at = 1; at < calls; at++)); do
		again
		stop-at "$at" mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" 3>/dev/null >/dev/null 2>&1 || true
		[ ! -e "$USER_DIR/mlimg/reconcile.plan" ] || return 0
	done
	return 1
}

# As an agent left it that had not looked before.
@test "a way back that was decided, and has no place for what it is to put, ends all the same" {
	new_package
	stop_decided
	grep -q usr/share/gone "$USER_DIR/mlimg/reconcile.new/then/log"
	rm -r "$UPPER/usr/share/gone" "$UPPER/var/lib/dpkg"
	hide usr/share/gone
	ln -s /data "$UPPER/var/lib/dpkg"
	on v1
	same "boot.json" '["rolled-back",3]' "$(boot '[.reconcile.done, .generation]')"
	[[ $(boot '.notes[]') == *"/var/lib/dpkg/status is not put back: it has no place any more"* ]]
	grep -q "var/lib/dpkg/status" "$USER_DIR/mlimg/reports/3.txt"
	same "aside" "tool 1 new 1" "$(awk '/^(Package|Version)/ { print $2 }' "$USER_DIR/mlimg/aside/3/var/lib/dpkg/status" | xargs)"
	same "gone" "character special file" "$(stat -c %F "$UPPER/usr/share/gone")"
	on v2
	on v1
}
