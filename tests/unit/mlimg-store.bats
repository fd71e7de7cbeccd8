# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-store: what it says, its exit codes, and stores on disks that are full or cannot be written. What is in a store when a program
# that changes it is killed: test_store_kill.c.

load ../lib/common
load ../lib/images

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p old/etc new/etc web/srv
	echo one >old/etc/one
	echo two >new/etc/one
	echo web >web/srv/web
	find . -exec touch -h -d @1600000000 {} +
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 --verity old old.img
	mlimg-mkfs --quiet --kind system --name debian --version 12.2 new new.img
	mlimg-mkfs --quiet --base old.img --name debian --version 12.2 new patch.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.0 --over old.img --partial web web.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.1 --over old.img --partial new web2.img
	mlimg-mkfs --quiet --kind user --name u --size 32M user.img
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	S=$BATS_TEST_TMPDIR/store
}

store() {
	mlimg-store --store "$S" "$@"
}

# text KIND NAME VERSION IMAGE: as messages name it
text() {
	local id
	id=$(image_id "$4")
	echo "$1 $2 $3 (${id:0:20})"
}

usage() {
	fails 2 "mlimg-store: $1
Try 'mlimg-store --help' for more information." mlimg-store "${@:2}"
}

@test "store: --help fits into 80 columns; wrong usage is told" {
	works mlimg-store --help
	[[ $output == "Usage: mlimg-store "* ]]
	run awk 'length > 80' <<<"$output"
	same "lines over 80 columns" "" "$output"
	works mlimg-store --version
	[[ $output =~ ^"mlimg-store (mlimg) "[0-9.]+$ ]]
	usage "no command given"
	usage "unknown command 'ls'" ls
	usage "'add' needs an image" add
	usage "'show' needs a layer" show --json
	usage "unexpected operand 'b'" show a b
	usage "unexpected operand 'x'" gc x
	usage "option '--move' is not for 'list'" list --move
	usage "option '--json' is not for 'add'" add --json old.img
	usage "--kind: 'user' is none of 'system', 'software' and 'patch'" list --kind user
	usage "--keep: '-1' is not a number from 0 to 2147483647" gc --keep=-1
	usage "--store: no directory given" --store '' list
	usage "unknown option '--stores'" --stores x list
}

@test "store: add, list, show, verify, remove, gc" {
	local old patch web id
	old=$(text system debian 12.1 old.img) patch=$(text patch debian 12.2 patch.img) web=$(text software nginx 1.0 web.img)
	works store add old.img web.img
	same "added" "added $old, $(($(stat -c %s old.img) / 1024)) KiB
added $web, $(($(stat -c %s web.img) / 1024)) KiB" "$output"
	works store add old.img
	same "added again" "$old is there already" "$output"
	cp patch.img moved.img
	works store add --move moved.img
	[ ! -e moved.img ]
	cp patch.img moved.img
	works store add --move moved.img
	same "moved again" "$patch is there already; its image is left" "$output"
	works store list
	same "layers" "KIND NAME VERSION BUILD
system debian 12.1 $(image_id old.img | cut -c -20)
patch debian 12.2 $(image_id patch.img | cut -c -20)
software nginx 1.0 $(image_id web.img | cut -c -20)" "$(awk '{ print $1, $2, $3, $4 }' <<<"$output")"
	works store list --kind patch
	same "lines" 2 "${#lines[@]}"
	works store show debian
	same "what debian is" "patch     debian 12.2
          the newest added of 2" "$(head -n 2 <<<"$output")"
	works store show debian:12.1
	[[ $output == *"
root hash $(jq -r .verity.root_hash old.img.layer.json)
"* ]]
	same "last lines" "used by   $patch
          $web" "$(tail -n 2 <<<"$output")"
	works store verify
	same "verified" "sound    $old
sound    $patch
sound    $web" "$output"
	fails 1 "mlimg-store: $old is used by $patch and 1 more" mlimg-store --store "$S" remove debian:12.1
	id=$(image_id patch.img)
	works store remove "${id:0:8}"
	same "removed" "removed $patch" "$output"
	works store gc --dry-run --all
	same "would be removed" "would remove $web, would remove $old," "$(awk '{ NF -= 2 } 1' <<<"$output" | xargs)"
	works store gc
	same "nothing" "nothing to remove" "$output"
	works store gc --all --keep 1
	same "removed" "removed $web, removed $old, removed 5" "$(awk '/event/ { NF -= 1; print; next } { NF -= 2 } 1' <<<"$output" | xargs)"
	same "images left" "" "$(ls "$S/layers")"
	works store list
	same "layers" "" "$output"
}

@test "store: JSON" {
	works store add old.img web.img
	works store list --json
	same "kinds" "system software" "$(jq -r '.[].kind' <<<"$output" | xargs)"
	works store show --json nginx
	same "over" "$(image_id old.img)" "$(jq -r '.over[0]' <<<"$output")"
	cmp "$(jq -r .path <<<"$output")" web.img
	same "root hash" null "$(jq .root_hash <<<"$output")"
	works store show --json debian
	same "root hash" "$(jq .verity.root_hash old.img.layer.json)" "$(jq .root_hash <<<"$output")"
	same "users" "[\"$(text software nginx 1.0 web.img)\"]" "$(jq -c .used_by <<<"$output")"
	works store verify --json
	same "sound" "true true true" "$(jq '.is_sound, .layers[].is_sound' <<<"$output" | xargs)"
	works store gc --json --all --dry-run
	same "found" "true unused unused" "$(jq -r '.is_dry, .findings[].found' <<<"$output" | xargs)"
}

@test "store: what is missing beneath is told, what is ambiguous refused" {
	local id
	id=$(image_id old.img)
	run --separate-stderr store add web.img
	# shellcheck disable=SC2154 # run sets it
	same "exit code and warning" "0 mlimg-store: warning: $(text software nginx 1.0 web.img) lies over build ${id:0:20}, which the store does not have" \
		"$status $stderr"
	works store add old.img patch.img new.img
	fails 1 "mlimg-store: 'debian:12.2' may be $(text system debian 12.2 new.img), $(text patch debian 12.2 patch.img)" store show debian:12.2
	fails 1 "mlimg-store: no layer 'apache'" store remove nginx apache
	fails 1 "mlimg-store: 'nginx:1.0' is given twice" store remove nginx nginx:1.0
	works store list --kind software
	same "lines" 2 "${#lines[@]}"
}

@test "store: images that are refused" {
	works store add old.img
	fails 3 "mlimg-store: 'user.img' is a user layer: the store has layers that several can share" store add user.img
	fails 1 "mlimg-store: open 'none.img': No such file or directory" store add none.img
	mkdir -p again/etc
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 again again.img
	fails 1 "mlimg-store: 'again.img' is build $(image_id again.img | cut -c -20) of system debian 12.1, and the store has build $(image_id old.img | cut -c -20) of it" \
		store add again.img
	# Damaged where only its manifest, and where only its hash tree tells.
	LC_ALL=C sed -z 's/^web\n$/bad\n/' web.img >bad.img
	fails 3 "mlimg-store: bad.img: its tree differs from its manifest in 1 entry" store add bad.img
	cp old.img bad.img
	jq '.verity.root_hash = (.verity.root_hash | sub("^."; "g") | sub("g"; "0") | sub("....$"; "0000"))' old.img.layer.json >bad.img.layer.json
	fails 3 "mlimg-store: bad.img: its root hash is $(jq -r .verity.root_hash old.img.layer.json), not $(jq -r .verity.root_hash bad.img.layer.json)" \
		mlimg-store --store "$S.2" add bad.img
	rm bad.img*
	same "images" "$(image_id old.img).img" "$(ls "$S/layers")"
	same "left behind" "" "$(find "$S/incoming" "$S.2/incoming" "$S.2/layers" -type f)"
}

@test "store: what is damaged is named, and nothing is changed" {
	local web
	web=$S/layers/$(image_id web.img).img
	works store add old.img web.img web2.img
	chmod u+w "$web"
	LC_ALL=C sed -zi 's/^web\n$/bad\n/' "$web"
	cp -a "$S" "$S.before"
	fails 3 "mlimg-store: 1 of 3 layers are not sound" store verify
	same "verified" "sound    $(text system debian 12.1 old.img)
DAMAGED  $(text software nginx 1.0 web.img)
         $(printf %.200s "$web"): its tree differs from its manifest in 1 entry
sound    $(text software nginx 1.1 web2.img)" "$output"
	works store verify nginx:1.1
	diff -r "$S/layers" "$S.before/layers"
	fails 3 "mlimg-store: 1 of 1 layer is not sound" store verify --json nginx:1.0
	same "said" "false $(printf %.200s "$web"): its tree differs from its manifest in 1 entry" "$(jq -r '.is_sound, .layers[0].message' <<<"$output" | xargs)"
	rm "$web"
	echo >"$S/layers/mine"
	fails 3 "mlimg-store: 1 of 3 layers are not sound" store verify
	[[ $output == *"$web: is not there"* && $output == "foreign  layers/mine"* ]]
	works store add web.img
	works store verify
	works store gc --dry-run
	same "left" "left layers/mine, which is not the store's" "${lines[-1]}"
}

@test "store: where it is, and what is none" {
	fails 1 "mlimg-store: '$S': no store is there; 'mlimg-store add' makes one" store list
	[ ! -e "$S" ]
	mkdir "$S"
	echo >"$S/letter"
	fails 3 "mlimg-store: '$S' is no store, and not empty" store add old.img
	same "files" letter "$(ls -A "$S")"
	cd "$BATS_TEST_TMPDIR"
	fails 1 "mlimg-store: '$PWD/none': no store is there; 'mlimg-store add' makes one" mlimg-store --store none list
	need userns
	XDG_STATE_HOME=$PWD/state fails 1 "mlimg-store: '$PWD/state/mlimg': no store is there; 'mlimg-store add' makes one" unshare -U mlimg-store list
	HOME=$PWD XDG_STATE_HOME='' fails 1 "mlimg-store: '$PWD/.local/state/mlimg': no store is there; 'mlimg-store add' makes one" \
		unshare -U mlimg-store list
	XDG_STATE_HOME=$PWD/state works unshare -U mlimg-store add "$BATS_FILE_TMPDIR/old.img"
	same "modes" "700 700" "$(stat -c %a state state/mlimg | xargs)"
}

@test "store: a damaged database is refused, the images stay" {
	works store add old.img web.img
	cp "$S/store.db" good.db
	printf 'x%.0s' {1..4000} | dd of="$S/store.db" bs=1 seek=100 conv=notrunc status=none
	for command in list 'add new.img' verify gc 'remove nginx'; do
		# shellcheck disable=SC2086 # words
		fails 3 "mlimg-store: database '$S/store.db' is damaged: database disk image is malformed" store $command
	done
	same "images" 2 "$(find "$S/layers" -type f | wc -l)"
	cp good.db "$S/store.db"
	works store verify
}

@test "store: two at a time add the same, and one is told so" {
	local i
	for i in 1 2 3 4; do
		store add old.img web.img patch.img >"$BATS_TEST_TMPDIR/said.$i" 2>&1 &
	done
	wait
	same "added" "3" "$(cat "$BATS_TEST_TMPDIR"/said.* | grep -c ^added)"
	same "there already" "9" "$(cat "$BATS_TEST_TMPDIR"/said.* | grep -c 'is there already$')"
	works store verify
	same "lines" 3 "${#lines[@]}"
}

# In a file system of 1.5 MiB of which only so many KiB are left; what is lacking shows in other places each time.
@test "store: a full disk loses nothing" {
	need userns
	works timeout 120 unshare -rm bash -c '
		set -e
		mkdir -p full && mount -t tmpfs -o size=1536k none full
		store() { mlimg-store --store full/store "$@"; }
		failed=0
		store add new.img >/dev/null
		for left in 0 4 8 24 40 56 72 100 200 400 700; do
			rm -f full/filler
			room=$(df --output=avail -k full | tail -n 1)
			head -c $(((room - left) * 1024)) /dev/zero >full/filler
			if store add old.img >said 2>&1; then
				store remove debian:12.1 >/dev/null 2>said2 || { cat said2; [ "$(cut -d : -f 3 said2)" = " No space left on device" ]; }
			else
				failed=$((failed + 1))
				grep -qx "mlimg-store: .*: No space left on device" said || { echo "with $left KiB:"; cat said; exit 1; }
			fi
			rm -f full/filler
			store verify >said
			[ "$(grep -c sound said)" -ge 1 ] || exit 1
			[ -z "$(ls -A full/store/incoming)" ] || exit 1
		done
		store add old.img >/dev/null
		store verify
		[ $failed -ge 3 ]'
	same "layers" 2 "${#lines[@]}"
}

@test "store: where nothing can be written it is read all the same" {
	need userns
	run --separate-stderr unshare -rm bash -c '
		set -e
		mkdir -p ro && mount -t tmpfs none ro
		mlimg-store --store ro/store add old.img >/dev/null
		mount -o remount,ro ro
		mlimg-store --store ro/store list
		mlimg-store --store ro/store verify >/dev/null
		mlimg-store --store ro/store remove debian && exit 1
		mlimg-store --store ro/store add web.img && exit 1
		mlimg-store --store ro/none add web.img && exit 1
		exit 0'
	same "exit code" 0 "$status"
	same "said" "mlimg-store: lock '$PWD/ro/store/incoming/X': Read-only file system
mlimg-store: lock '$PWD/ro/store/incoming/X': Read-only file system
mlimg-store: make '$PWD/ro/none': Read-only file system" \
		"$(sed 's:incoming/[0-9a-f]*:incoming/X:; s:make .ro/:make '"'$PWD"'/ro/:' <<<"$stderr")"
	same "lines of the list" 2 "${#lines[@]}"
}

# Without a user's name of its own, root has no power over modes, but is still the owner.
@test "store: a directory that may not be written" {
	need userns
	works store add old.img
	chmod a-w "$S"
	fails 1 "mlimg-store: write database '$S/store.db': Permission denied" unshare -U mlimg-store --store "$S" list
	chmod u+w "$S"
	chmod a-w "$S/incoming"
	works unshare -U mlimg-store --store "$S" list
	run --separate-stderr unshare -U mlimg-store --store "$S" add web.img
	same "said" "1 mlimg-store: lock '$S/incoming/X': Permission denied" "$status ${stderr/incoming\/[0-9a-f]*\'/incoming/X\'}"
	works store verify
}
