# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# npm in a merged root whose layer holds an application with its node_modules: what it leaves there is what it leaves in a plain directory. Its calls as
# strace(1) shows them, and itself.
# shellcheck disable=SC2154 # npm_tools is the caller's

# application: tarballs and package.json in lower/app, and the directories for the rest
application() {
	mkdir -p lower/app/node_modules plain upper work merged
	package one 1.0.0
	package one 2.0.0
	package two 1.0.0 '"name": "@scope/two"'
	package three 1.0.0
	package three 2.0.0 '"name": "three", "scripts": {"install": "exit 7"}'
	echo '{"name": "app", "version": "1.0.0", "dependencies": {"one": "file:one-1.0.0.tgz", "@scope/two": "file:two-1.0.0.tgz", "three": "file:three-1.0.0.tgz"}}' \
		>lower/app/package.json
}

# package NAME VERSION [FIELDS]: lower/app/NAME-VERSION.tgz, as `npm pack` makes them
package() {
	mkdir -p package/lib/deep
	echo "{${3:-\"name\": \"$1\"}, \"version\": \"$2\"}" >package/package.json
	echo "$1 $2" | tee package/index.js >"package/lib/deep/$2.js"
	tar -czf "lower/app/$1-$2.tgz" package
	rm -r package
}

# unpack FILE PLACE
unpack() {
	mkdir -p "$2"
	tar -xzf "$1" -C "$2" --strip-components=1 --no-same-owner
}

# rename FROM TO: what mv would do by copying is a failure here.
rename() {
	perl -e 'rename($ARGV[0], $ARGV[1]) or die "rename $ARGV[0]: $!\n"' "$1" "$2"
}

# npm moves what it replaces aside, and back when that fails; `npm ci` removes everything first. These are its calls, as strace(1) shows them of npm 11.
replayed_ci() {
	local name
	find node_modules -mindepth 1 -maxdepth 1 -exec rm -r {} + || return
	for name in one @scope/two three; do unpack "${name#*/}-1.0.0.tgz" "node_modules/$name" || return; done
}

replayed_install() {
	rename node_modules/one node_modules/.one-Mx3Zp9vk && unpack one-2.0.0.tgz node_modules/one && rm -r node_modules/.one-Mx3Zp9vk
}

replayed_failure() {
	rename node_modules/three node_modules/.three-fQ81jZbW && unpack three-2.0.0.tgz node_modules/three && rm -r node_modules/three &&
		rename node_modules/.three-fQ81jZbW node_modules/three
}

# npm ARGUMENT…: that of Debian, in this directory. In the root $npm_tools, which nothing is written into.
npm() {
	# shellcheck disable=SC2016 # for the inner shell
	npm_tools=$npm_tools unshare --mount sh -ec '
		mount --bind . "$npm_tools/mnt"
		mount --bind /dev "$npm_tools/dev"
		mount --bind /proc "$npm_tools/proc"
		mount -t tmpfs tmpfs "$npm_tools/tmp"
		exec chroot "$npm_tools" env -i -C /mnt PATH=/usr/bin:/bin HOME=/tmp npm_config_offline=true npm_config_audit=false \
			npm_config_fund=false npm_config_update_notifier=false npm "$@"' sh "$@"
}

real_ci() {
	[ -e package-lock.json ] || npm install >/dev/null || return
	npm ci >/dev/null && npm ls --all | tail -n +2
}

real_install() {
	npm install ./one-2.0.0.tgz >/dev/null
}

real_failure() {
	local status=0
	npm install ./three-2.0.0.tgz >"$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
	same "exit code of npm, which said: $(cat "$BATS_TEST_TMPDIR/said")" 7 $status
}

# up: the merged root, as a boot makes it
up() {
	mount -t overlay -o index=off,metacopy=off,xino=auto,redirect_dir=on,lowerdir=lower,upperdir=upper,workdir=work overlay merged
}

# shown DIR: all that is in it, but for times
shown() {
	treelist "$1" | sed -E 's/ time=[^ ]*//'
}

# in_both COMMAND: in the application in the merged root and in a plain directory
in_both() {
	local place
	for place in plain merged; do
		(cd $place/app && "$1") >"$place.said" || return
	done
	diff plain.said merged.said
	diff <(shown plain) <(shown merged)
}

# works_on real|replayed: an application that is made with "ci".
works_on() {
	mkdir "$BATS_TEST_TMPDIR/$1"
	cd "$BATS_TEST_TMPDIR/$1" || return
	application
	(cd lower/app && "$1_ci")
	cp -a lower/app plain/
	up
	in_both "$1_failure"
	same "what moved away and back" three "$(getfattr --only-values -n trusted.overlay.redirect upper/app/node_modules/three)"
	same "in the layer" "$(shown plain)" "$(shown lower)"
	in_both "$1_install"
	same "the new one, and the others" $'one 2.0.0\nthree 1.0.0\ntwo 1.0.0' "$(cat merged/app/node_modules/{one,three,@scope/two}/index.js)"
	in_both "$1_ci"
	umount merged
	up
	diff <(shown plain) <(shown merged)
	umount merged
}

# npm_down: for teardown
npm_down() {
	local dir
	for dir in "$BATS_TEST_TMPDIR"/*/merged; do
		! mountpoint -q "$dir" || umount "$dir"
	done
}
