# shellcheck shell=bash disable=SC2154 # works sets output
# SPDX-License-Identifier: MIT
# Layers of a few bytes, and a store of them, for tests of tenants whose guests need not boot. Load it behind common and images.

# tenant_images: into the current directory. old and new are debian 12.1 and 12.2, patch makes new of old; nginx 1.0 is there over each of the two,
# 1.1 over old; tools lies over nothing,
# other is another system.
tenant_images() {
	mkdir -p old/etc new/etc web/srv
	echo one >old/etc/one
	echo two >new/etc/one
	echo web >web/srv/web
	find . -exec touch -h -d @1600000000 {} +
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 old old.img
	mlimg-mkfs --quiet --kind system --name debian --version 12.2 new new.img
	mlimg-mkfs --quiet --kind system --name other --version 1 web other.img
	mlimg-mkfs --quiet --base old.img --name debian --version 12.2 new patch.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.0 --over old.img --partial web web.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.0 --over new.img --partial web web2.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.1 --over old.img --partial new web3.img
	mlimg-mkfs --quiet --kind software --name tools --version 1 web tools.img
}

# tenant_store IMAGE…: a store with these of the test file's images, in $S.
tenant_store() {
	cd "$BATS_FILE_TMPDIR" || return
	need command sqlite3 qemu-img jq
	S=$BATS_TEST_TMPDIR/store
	mlimg-store --store "$S" add "$@" >/dev/null
}

# tenant_small: into the current directory: system small, which boots in seconds, has a shell on its console, and powers off at once, also when it should reboot;
# software web.
tenant_small() {
	small-root "$(debian-tree v1)" tree
	echo poweroff >tree/etc/ends
	echo 'ttyS0::respawn:/bin/sh' >>tree/etc/inittab
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system.img
	mkdir -p web/srv
	echo web >web/srv/web
	mlimg-mkfs --quiet --kind software --name web --version 1 web web.img
}

# tenant_channel: in setup_file, in the file's directory: what tenant_sockets needs.
tenant_channel() {
	mkdir bin
	ln -s "$MLIMG_TOP/tests/lib/qemu-channel" bin/qemu-system-x86_64
}

# tenant_sockets: in setup: guests that mlimg-vm starts have the tests' port, with its socket in $TEST_SOCKETS, which the test removes.
tenant_sockets() {
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH
	TEST_SOCKETS=$(mktemp -d /tmp/mlimg-test.XXXXXX)
	export TEST_SOCKETS
}

# vm COMMAND ARGUMENT…: mlimg-vm on the store in $S.
vm() {
	local command=$1
	shift
	mlimg-vm "$command" --store "$S" "$@"
}

# tenant NAME COLUMN: what the database says.
tenant() {
	sqlite3 -cmd ".timeout 10000" "$S/store.db" "SELECT $2 FROM tenant WHERE name = '$1'"
}

# tenant_layers NAME NUMBER: the layers of a generation.
tenant_layers() {
	sqlite3 -separator : "$S/store.db" "SELECT l.name, l.version, substr(l.build_id, 1, 8) FROM tenant t JOIN generation_layer g ON t.id = tenant_id
		JOIN layer l ON l.build_id = g.build_id WHERE t.name = '$1' AND g.number = $2 ORDER BY position" | xargs
}

# layer_text IMAGE: name, version and the beginning of its build id, as tenant_layers has it.
layer_text() {
	mlimg-inspect --json "$1" | jq -r '"\(.name):\(.version):\(.build_id[:8])"'
}

# tenant_disk NAME: its user disk.
tenant_disk() {
	echo "$S/tenants/$(tenant "$1" id)/user.qcow2"
}

# both COMMAND A B ARGUMENT…: the command on two tenants at once, each with these arguments, in which @ is its name; both work. What they said is in
# $BATS_TEST_TMPDIR/A.said and B.said.
both() {
	local command=$1 a=$2 b=$3 code=0
	shift 3
	vm "$command" "$a" "${@//@/$a}" >"$BATS_TEST_TMPDIR/$a.said" 2>&1 3>&- &
	vm "$command" "$b" "${@//@/$b}" >"$BATS_TEST_TMPDIR/$b.said" 2>&1 || code=$?
	wait $! || code=$?
	[ "$code" -eq 0 ] || tail -v -n 20 "$BATS_TEST_TMPDIR"/{"$a","$b"}.said >&2
	return "$code"
}

# both_said A B: what both said, a line each, in that order.
both_said() {
	cat "$BATS_TEST_TMPDIR"/{"$1","$2"}.said
}

# unharmed DISK: nothing in it is damaged. Room may have leaked, as of one whose QEMU was killed and that nobody has used since.
unharmed() {
	local code=0
	qemu-img check -q -f qcow2 "$1" || code=$?
	[ "$code" -eq 0 ] || same "exit code of qemu-img check" 3 "$code"
}

# usage MESSAGE COMMAND ARGUMENT…: a mistake in a command line of mlimg-vm's.
usage() {
	fails 2 "mlimg-vm: $1
Try 'mlimg-vm --help' for more information." mlimg-vm "${@:2}"
}

# vm_documented COMMAND…: each has help, in 80 columns, whose options are in manual page and completion, too.
vm_documented() {
	local command page completion word missing
	page=$(man --encoding=UTF-8 -l "$MLIMG_TOP/tools/mlimg-vm.8" | col -b)
	completion=$(<"$MLIMG_TOP/tools/completion/mlimg-vm")
	for command; do
		works mlimg-vm "$command" --help
		[[ $output == "Usage: mlimg-vm $command "* ]] || return
		same "lines over 80 columns" "" "$(awk 'length > 80' <<<"$output")" || return
		missing=$(grep -oE -- '--[a-z-]+' <<<"$output" | while read -r word; do
			grep -qe "$word" <<<"$page" || echo "$word of $command: not in the manual page"
			grep -qe "$word" <<<"$completion" || echo "$word of $command: not in the completion"
		done)
		same "options of $command" "" "$missing" || return
	done
}
