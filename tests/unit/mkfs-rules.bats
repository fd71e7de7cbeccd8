# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What has no place in a layer that many guests share, rule by rule (tools/mkfs-rules.h).

load ../lib/common

bats_require_minimum_version 1.5.0

# Every path that a rule is about, by rule; in each file is SECRET and its rule.
rule_paths() {
	case $1 in
		caches)
			echo etc/ld.so.cache usr/share/icons/hicolor/icon-theme.cache usr/share/mime/mime.cache usr/share/mime/globs2 \
				var/cache/fontconfig/CACHEDIR.TAG var/cache/man/de/index.db usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache
			;;
		machine-id) echo etc/machine-id var/lib/dbus/machine-id ;;
		ssh-host-keys) echo etc/ssh/ssh_host_rsa_key etc/ssh/ssh_host_rsa_key.pub etc/dropbear/dropbear_rsa_host_key ;;
		random-seed)
			echo var/lib/systemd/random-seed var/lib/systemd/credential.secret var/lib/urandom/random-seed boot/efi/loader/random-seed
			;;
		logs) echo var/log/syslog var/log/nginx/access.log var/crash/a.crash var/lib/systemd/timers/stamp-apt-daily.timer ;;
		apt-lists) echo var/lib/apt/lists/mirror_Release var/cache/apt/pkgcache.bin var/cache/apt/archives/a.deb ;;
		backups) echo var/lib/dpkg/status-old var/cache/debconf/config.dat-old var/backups/dpkg.status.0 etc/passwd- etc/gshadow- ;;
	esac
}

rules='caches machine-id ssh-host-keys random-seed logs apt-lists backups'

# Paths that look like those, but are not.
kept='etc/ld.so.cache.d/x etc/ssh/ssh_config etc/ssh/ssh_known_hosts etc/machine-info var/lib/systemd/deb-systemd-helper-enabled/x var/logs/x
	var/lib/apt/extended_states var/cache/debconf/config.dat srv/var/log/x usr/lib/python3/__pycache__/x.pyc etc/passwd'

setup_file() {
	local t=$BATS_FILE_TMPDIR/tree rule path
	for rule in $rules; do
		for path in $(rule_paths "$rule"); do
			mkdir -p "$t/${path%/*}"
			printf '%s of rule %s, longer than a machine id\n' SECRET "$rule" >"$t/$path"
		done
	done
	for path in $kept; do
		mkdir -p "$t/${path%/*}"
		echo kept >"$t/$path"
	done
	ln -s ../../usr/share/doc/README "$t/var/log/README"
	find "$t" -exec touch -h -d @1600000000 {} +
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
}

teardown() {
	rm -rf "$BATS_FILE_TMPDIR"/*.img "$BATS_FILE_TMPDIR"/*.tar "$BATS_FILE_TMPDIR/t"
}

# The files in an image, sorted.
files() {
	mlimg-inspect "$1" manifest | sed -n 's|^\./\([^ ]*\) type=file .*|\1|p' | LC_ALL=C sort
}

# The files of the tree but those of the rules that are given.
files_but() {
	local rule
	(cd tree && find . -type f -printf '%P\n') | LC_ALL=C sort | grep -vxF "$(
		for rule in "$@" none; do
			rule_paths "$rule" | tr ' ' '\n'
			echo /
		done
	)"
}

@test "a software layer: all rules" {
	works mlimg-mkfs --kind software --name a tree a.img
	same output "rule caches: 7 files left out
rule machine-id: 2 files left out
rule ssh-host-keys: 3 files left out
rule random-seed: 4 files left out
rule logs: 4 files left out
rule apt-lists: 3 files left out
rule backups: 5 files left out
to be rebuilt: etc/ld.so.cache: ldconfig
to be rebuilt: usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache: /usr/lib/x86_64-linux-gnu/glib-2.0/gio-querymodules /usr/lib/x86_64-linux-gnu/gio/modules
to be rebuilt: usr/share/icons/hicolor/icon-theme.cache: update-icon-caches /usr/share/icons/hicolor
to be rebuilt: usr/share/mime/mime.cache: update-mime-database /usr/share/mime
to be rebuilt: var/cache/fontconfig: fc-cache --system-only
to be rebuilt: var/cache/man: mandb --quiet" "$(sed 1d <<<"$output")"
	# shellcheck disable=SC2086 # a list
	same files "$(files_but $rules)" "$(files a.img)"
	same "what left out files held" "" "$(grep -ac SECRET a.img | grep -v '^0$')"
	same rebuild 'etc/ld.so.cache
usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache
usr/share/icons/hicolor/icon-theme.cache
usr/share/mime/mime.cache
var/cache/fontconfig
var/cache/man' "$(mlimg-inspect --json a.img | jq -r '.rebuild[]')"
	works mlimg-inspect a.img verify
	works mlimg-inspect a.img
	[[ $output == *"
rebuild      etc/ld.so.cache: ldconfig
             usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache: "* ]]
}

@test "a system layer: no rules about caches and backups, and an empty machine-id" {
	works mlimg-mkfs --kind system --name a tree a.img
	same output "rule machine-id: etc/machine-id is empty in the layer
rule machine-id: 1 file left out
rule ssh-host-keys: 3 files left out
rule random-seed: 4 files left out
rule logs: 4 files left out
rule apt-lists: 3 files left out" "$(sed 1d <<<"$output")"
	same files "$({
		files_but machine-id ssh-host-keys random-seed logs apt-lists
		echo etc/machine-id
	} | LC_ALL=C sort)" "$(files a.img)"
	works mlimg-inspect a.img cat etc/machine-id
	same machine-id "" "$output"
	works mlimg-inspect a.img verify
	same rebuild null "$(mlimg-inspect --json a.img | jq -r .rebuild)"
	same "what left out files held" "" \
		"$(grep -ao 'SECRET of rule [a-z-]*' a.img | grep -v -e caches -e backups)"
}

@test "directories and links stay, and the same tree gives the same bytes" {
	mlimg-mkfs --quiet --kind software --name a tree a.img
	mlimg-mkfs --quiet --kind software --name a tree b.img
	cmp a.img b.img
	same "what is below var/log" 'var/log/README link
var/log/nginx dir' "$(mlimg-inspect a.img manifest | sed -n 's|^\./\(var/log/[^ ]*\) type=\([a-z]*\) .*|\1 \2|p')"
}

@test "--allow lifts one rule" {
	local rule others
	for rule in $rules; do
		others=$(tr ' ' '\n' <<<"$rules" | grep -vx "$rule")
		mlimg-mkfs --quiet --force --kind software --name a --allow "$rule" tree a.img
		# shellcheck disable=SC2086 # a list
		same "files with --allow $rule" "$(files_but $others)" "$(files a.img)"
	done
	# shellcheck disable=SC2046,SC2086 # lists
	works mlimg-mkfs --force --kind software --name a $(printf -- '--allow %s ' $rules) tree a.img
	same "files with all allowed" "$(files_but)" "$(files a.img)"
	same "lines" 1 "$(wc -l <<<"$output")"
	mlimg-mkfs --quiet --force --kind system --name a --allow machine-id tree a.img
	works mlimg-inspect a.img cat etc/machine-id
	same machine-id "SECRET of rule machine-id, longer than a machine id" "$output"
}

@test "a machine-id that is none stays as it is in a system layer" {
	local text
	mkdir -p t/etc
	for text in '' $'uninitialized\n' uninitialized; do
		printf '%s' "$text" >t/etc/machine-id
		works mlimg-mkfs --force --kind system --name a t a.img
		same lines 1 "$(wc -l <<<"$output")"
		mlimg-inspect a.img cat etc/machine-id >found
		printf '%s' "$text" | cmp - found
		tar -C t -c . | mlimg-mkfs --quiet --force --kind system --name a - b.img
		mlimg-inspect b.img cat etc/machine-id | cmp - found
	done
	# Without a newline, as some tools write it.
	printf '0123456789abcdef0123456789abcdef' >t/etc/machine-id
	find t -exec touch -d @1600000000 {} +
	works mlimg-mkfs --force --kind system --name a t a.img
	same told "rule machine-id: etc/machine-id is empty in the layer" "$(sed 1d <<<"$output")"
	same id "$(mlimg-inspect --json a.img | jq -r .build_id)" "$(tar -C t -c . | mlimg-mkfs --json --force --kind system --name a - b.img | jq -r .build_id)"
}

@test "a user layer has no rules" {
	works mlimg-mkfs --kind user --name a --size 32M tree a.img
	same files "$(files_but)" "$(files a.img)"
	fails 2 "mlimg-mkfs: --allow is not for user layers, which have no rules
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --kind user --allow logs a.img
}

@test "an unknown rule is wrong usage" {
	fails 2 "mlimg-mkfs: 'log' is no rule: caches, machine-id, ssh-host-keys, random-seed, logs, apt-lists, backups, dpkg-status, accounts, older-library or mass-deletion
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --kind system --allow log tree a.img
}

@test "a tar, and hard links between what is left out and what is not" {
	local sum
	mkdir -p t/etc/ssh t/var/log t/usr t/var/lib/dbus
	printf '%s' 'SECRET' >t/etc/ssh/ssh_host_a_key
	ln t/etc/ssh/ssh_host_a_key t/usr/key
	echo log >t/var/log/a
	ln t/var/log/a t/var/log/b
	printf '%033d' 0 >t/var/lib/dbus/machine-id
	ln t/var/lib/dbus/machine-id t/etc/machine-id
	find t -exec touch -h -d @1600000000 {} +
	# The link comes behind its target, and the other way round.
	tar -C t -cf a.tar etc/ssh/ssh_host_a_key usr/key var/log/a var/log/b var/lib/dbus/machine-id etc/machine-id
	tar -C t -cf b.tar usr/key etc/ssh/ssh_host_a_key var/log/b var/log/a etc/machine-id var/lib/dbus/machine-id
	for sum in a b; do
		mlimg-mkfs --quiet --kind system --name a $sum.tar $sum.img
		same "files of $sum" $'etc/machine-id\nusr/key' "$(files $sum.img)"
		same "size of the machine id of $sum" "0" "$(mlimg-inspect $sum.img cat etc/machine-id | wc -c)"
		same "the key by its other name in $sum" SECRET "$(mlimg-inspect $sum.img cat usr/key)"
		works mlimg-inspect $sum.img verify
	done
	mlimg-mkfs --quiet --kind system --name a t c.img
	same "files of the directory" $'etc/machine-id\nusr/key' "$(files c.img)"
	same "size of the machine id of the directory" "0" "$(mlimg-inspect c.img cat etc/machine-id | wc -c)"
	# shellcheck disable=SC2016 # for sh
	fails 3 "mlimg-mkfs: 'standard input': a hard link to what a rule leaves out, in a tar that cannot be read twice: give it as a file" \
		sh -c 'cat a.tar | mlimg-mkfs --kind system --name a - d.img'
	[ ! -e d.img ]
	mlimg-mkfs --quiet --kind system --name a - d.img <b.tar
	cmp b.img d.img
	# A link to what is not there at all is refused as ever.
	tar -C t -cf e.tar etc/ssh/ssh_host_a_key usr/key
	tar --delete -f e.tar etc/ssh/ssh_host_a_key
	fails 3 "mlimg-mkfs: 'e.tar': hard link 'usr/key' to 'etc/ssh/ssh_host_a_key', which is not there" \
		mlimg-mkfs --kind system --name a e.tar e.img
}

@test "of several sources, and of a layer" {
	mlimg-mkfs --quiet --kind software --name a --allow logs tree a.img
	mkdir t
	mlimg-mkfs --quiet --kind software --name a tree a.img t b.img
	# shellcheck disable=SC2086 # a list
	same files "$(files_but $rules)" "$(files b.img)"
}

@test "what a layer lists for rebuilding, a software layer made of it lists too" {
	mlimg-mkfs --quiet --kind software --name a tree a.img
	mlimg-mkfs --quiet --kind software --name a a.img b.img
	same "build id" "$(mlimg-inspect --json a.img | jq -r .build_id)" "$(mlimg-inspect --json b.img | jq -r .build_id)"
	fails 3 "mlimg-mkfs: 'a.img' lists etc/ld.so.cache and maybe others for rebuilding, which a system layer cannot: --allow caches makes it without" \
		mlimg-mkfs --quiet --kind system --name a a.img c.img
	fails 3 "mlimg-mkfs: 'a.img' lists etc/ld.so.cache and maybe others for rebuilding, which a user layer cannot: extract it, and make the new layer of that directory" \
		mlimg-mkfs --quiet --kind user --name a a.img u.img
	[ ! -e u.img ]
	mlimg-mkfs --quiet --kind system --name a --allow caches a.img c.img
	same rebuild null "$(mlimg-inspect --json c.img | jq -r .rebuild)"
}
