#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent prepare and commit on a user layer without room, and on one with an entry that cannot be read.

load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run
	USER_DIR=$RUN/user
	mkdir -p "$RUN/layers" "$USER_DIR" "$DIR"/{v1,v2,empty}/etc
	mount -t tmpfs -o size=256k,mode=0755 tmpfs "$USER_DIR"
	mkdir -p "$USER_DIR/upper/etc" "$USER_DIR/work"
	echo one >"$DIR/v1/etc/version"
	echo two >"$DIR/v2/etc/version"
	# A base manifest of several blocks.
	(cd "$DIR/v1/etc" && touch file-{100..199} && cd "$DIR/v2/etc" && touch file-{100..199})
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
	echo mine >"$USER_DIR/upper/etc/version"
}

teardown() {
	! mountpoint -q "$DIR/merged" || umount "$DIR/merged"
	! mountpoint -q "$USER_DIR" || umount "$USER_DIR"
}

# on LAYER ID
on() {
	rm -rf "$RUN/layers/0"
	cp -r "$DIR/layer-$1" "$RUN/layers/0"
	ln -s "$DIR/$1" "$RUN/layers/0/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$2" --user "$TENANT"
}

commit() {
	works mlimg-agent commit --root "$RUN"
}

# full BLOCKS: of the user layer, these stay free.
full() {
	local free
	free=$(($(stat -f -c %a "$USER_DIR") - $1))
	head -c $((free * $(stat -f -c %S "$USER_DIR"))) /dev/zero >"$USER_DIR/upper/etc/ballast"
	same "free blocks" "$1" "$(stat -f -c %a "$USER_DIR")"
}

found() {
	jq -rc '"\(.change) \(.generation) \(.report)", .notes[]' "$RUN/boot.json"
}

in_mlimg() {
	(cd "$USER_DIR/mlimg" && find . -mindepth 1 -not -path './spare*' -printf '%P\n' | sort | xargs)
}

NO_ROOM="no room in the user layer for"
UNCHANGED="the user layer is not brought into agreement with this stack:"
AGAIN="the next boot tries again"

# report PATH KEEP: as in boot.json
report() {
	echo "{\"path\":$1,\"counts\":{\"keep\":$2,\"stale\":0,\"same\":0,\"conflict\":1,\"type-change\":0,\"whiteout-gone\":0,\"whiteout-changed\":0,\"merged\":0}}"
}

# With room again, the change is made.
then_with_room() {
	rm "$USER_DIR/upper/etc/ballast"
	on v2 "$V2"
	same "with room" "changed 2 $(report "\"$USER_DIR/mlimg/reports/2.json\"" 1)" "$(found)"
	same report '[["etc/version","conflict"]]' \
		"$(jq -c '.entries | map([.path, .verdict])' "$USER_DIR/mlimg/reports/2.json")"
	commit
	same state "2 12.2" "$(jq -r '"\(.generation) \(.stack[0].version)"' "$USER_DIR/mlimg/state.json")"
	same "put beside" two "$(cat "$USER_DIR/upper/etc/version.mlimg-new")"
	on v2 "$V2"
	same "after that" "none 2 null" "$(found)"
}

@test "another system, and no block free" {
	local state files i
	on v1 "$V1"
	commit
	full 0
	state=$(cat "$USER_DIR/mlimg/state.json")
	files=$(in_mlimg)
	for i in 1 2; do
		on v2 "$V2"
		same "boot $i" "changed 2 $(report null 2)
$UNCHANGED user/mlimg: write 'base.manifest.2': No space left on device; $AGAIN" "$(found)"
		commit
		same "state" "$state" "$(cat "$USER_DIR/mlimg/state.json")"
		same "what is left" "$files" "$(in_mlimg)"
	done
	then_with_room
}

@test "another system, and room for some of the change: all of it is made, or nothing" {
	local free before changed=0 unchanged=0
	on v1 "$V1"
	commit
	cp -a "$USER_DIR/." "$DIR/start"
	for free in 1 4 7 10 13 16 19 22 25 28 31 34; do
		find "$USER_DIR" -mindepth 1 -delete
		cp -a "$DIR/start/." "$USER_DIR"
		full "$free"
		before=$(
			treelist "$USER_DIR/upper"
			in_mlimg
			cat "$USER_DIR/mlimg/state.json"
		)
		on v2 "$V2"
		commit
		if [ "$(jq -r .reconcile.done "$RUN/boot.json")" = reconciled ]; then
			changed=$((changed + 1))
			same "put beside" two "$(cat "$USER_DIR/upper/etc/version.mlimg-new")"
			same state 2 "$(jq -r .generation "$USER_DIR/mlimg/state.json")"
		else
			unchanged=$((unchanged + 1))
			same "with $free blocks" "$before" "$(
				treelist "$USER_DIR/upper"
				in_mlimg
				cat "$USER_DIR/mlimg/state.json"
			)"
		fi
	done
	[ "$changed" -gt 1 ]
	[ "$unchanged" -gt 1 ]
}

upper_now() {
	treelist "$USER_DIR/upper" | sed 's/ time=[0-9.]*//'
}

# to_v2: a change that can be taken back, and a third system, V3
to_v2() {
	mount -o remount,size=1m "$USER_DIR"
	mkdir -p "$DIR/v3"
	cp -a "$DIR/v2/etc" "$DIR/v3"
	echo three >"$DIR/v3/etc/version"
	seq -f 'line %g' 9 | tee "$DIR/v1/etc/both" "$DIR/v3/etc/both" >"$DIR/v2/etc/both"
	sed -i 1s/^/two-/ "$DIR/v2/etc/both"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	V3=$(layerdir system debian 12.3 "$DIR/v3" "$DIR/layer-v3")
	{
		cat "$DIR/v1/etc/both"
		seq 9000
	} >"$USER_DIR/upper/etc/both"
	on v1 "$V1"
	commit
	upper=$(upper_now)
	on v2 "$V2"
	commit
	same "merged" "two-line 1" "$(head -n 1 "$USER_DIR/upper/etc/both")"
}

# then_back NOTES: V3 was not begun, and the former system takes the last change back.
then_back() {
	same "on v3" null "$(jq -rc .reconcile "$RUN/boot.json")"
	same "notes" "$1" "$(jq -r '.notes[]' "$RUN/boot.json")"
	commit
	rm "$USER_DIR/upper/etc/ballast"
	back
}

back() {
	on v1 "$V1"
	same "on v1" rolled-back "$(jq -r .reconcile.done "$RUN/boot.json")"
	same "upper" "$upper" "$(upper_now)"
}

@test "another system that finds no room, not even with that of the way back: the last change can be taken back" {
	local upper
	to_v2
	full 0
	on v3 "$V3"
	then_back "$UNCHANGED user/mlimg: write 'base.manifest.3': No space left on device; $AGAIN"
}

@test "another system that finds no room where there is some: the last change can be taken back" {
	local upper
	to_v2
	rm -rf "$RUN/layers/0"
	cp -r "$DIR/layer-v3" "$RUN/layers/0"
	ln -s "$DIR/v3" "$RUN/layers/0/rootfs"
	# Of which boot.json has none either.
	fails 1 "mlimg-agent: $RUN: create a temporary file beside 'boot.json': No space left on device" \
		full-at 3 mlimg-agent prepare --root "$RUN" --union overlay --system "$V3" --user "$TENANT" 3>/dev/null
	same "state" 2 "$(jq -r .generation "$USER_DIR/mlimg/state.json")"
	back
}

@test "another system that finds no room but with that of the way back: it is made" {
	local upper
	mount -o remount,size=4m "$USER_DIR"
	to_v2
	mount -o remount,size=4m "$USER_DIR"
	head -c 1M /dev/zero >"$USER_DIR/mlimg/undo/2/taken/ballast"
	full 8
	on v3 "$V3"
	same "done" '["reconciled",[]]' "$(jq -rc '[.reconcile.done, .notes]' "$RUN/boot.json")"
	same "undo" 3 "$(ls "$USER_DIR/mlimg/undo")"
}

@test "the former system again, and room for some of the way back: all of it is gone, or nothing" {
	local free before back=0 stays=0
	on v1 "$V1"
	commit
	on v2 "$V2"
	commit
	same "on v2" two "$(cat "$USER_DIR/upper/etc/version.mlimg-new")"
	# Written since, so that the former one has to go aside.
	echo since >"$USER_DIR/upper/etc/version.mlimg-new"
	cp -a "$USER_DIR/." "$DIR/start"
	for free in 0 2 5 8 11 14 17 20 24 28 34; do
		find "$USER_DIR" -mindepth 1 -delete
		cp -a "$DIR/start/." "$USER_DIR"
		full "$free"
		before=$(treelist "$USER_DIR/upper")
		on v1 "$V1"
		commit
		[ ! -e "$USER_DIR/mlimg/reconcile.plan" ]
		if [ "$(jq -r .reconcile.done "$RUN/boot.json")" = rolled-back ]; then
			back=$((back + 1))
			same state 3 "$(jq -r .generation "$USER_DIR/mlimg/state.json")"
		else
			stays=$((stays + 1))
			same "with $free blocks" "$before" "$(treelist "$USER_DIR/upper")"
			same state 2 "$(jq -r .generation "$USER_DIR/mlimg/state.json")"
		fi
	done
	[ "$back" -gt 1 ]
	[ "$stays" -gt 1 ]
}

@test "the former system again, and no more room than for what is new: the newer one's texts give theirs" {
	mount -o remount,size=1m "$USER_DIR"
	head -c 60000 /dev/zero | tr '\0' x | tee "$DIR/v1/etc/big" >"$DIR/v2/etc/big"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	on v1 "$V1"
	commit
	on v2 "$V2"
	commit
	full 6
	on v1 "$V1"
	same "done" '["rolled-back",[]]' "$(jq -rc '[.reconcile.done, .notes]' "$RUN/boot.json")"
	[ ! -e "$USER_DIR/upper/etc/version.mlimg-new" ]
	same "texts" base.texts.3 "$(cd "$USER_DIR/mlimg" && echo base.texts.*)"
}

@test "the first boot, and no block left for commit" {
	on v1 "$V1"
	full 0
	commit
	same boot "first 1 null
$NO_ROOM state.json: free some; the stack is recorded by the next boot" "$(found)"
	same "what is left" "layer.json manifest" "$(in_mlimg)"
	[ ! -e "$RUN/state.json" ]
}

@test "the first boot, and no block free" {
	full 0
	on v1 "$V1"
	same boot "first 1 null
$NO_ROOM the base manifest: free some; the stack is recorded by the next boot" "$(found)"
	commit
	same "what is left" "layer.json manifest" "$(in_mlimg)"
	rm "$USER_DIR/upper/etc/ballast"
	on v1 "$V1"
	commit
	same "what is left" "base.manifest.1 base.texts.1 layer.json manifest state.json" "$(in_mlimg)"
}

@test "an entry with more xattrs than a manifest can have" {
	need command setfattr
	on v1 "$V1"
	commit
	mount -o remount,size=16m "$USER_DIR"
	mkdir -p "$USER_DIR/upper/etc/$(printf 'x\377')/below"
	(cd "$USER_DIR/upper/etc" && {
		printf '# file: %s\n' "$(printf 'x\377')"
		printf 'trusted.%d="x"\n' {1..1025}
	} | setfattr --restore=-)
	on v2 "$V2"
	same boot "changed 2 $(report "\"$USER_DIR/mlimg/reports/2.json\"" 2)
not compared, and kept: user/upper/etc/x\\377: Argument list too long" "$(found)"
	same report '[["etc/version","conflict"]]' \
		"$(jq -c '.entries | map([.path, .verdict])' "$USER_DIR/mlimg/reports/2.json")"
}

# The union of the user layer and v1, as initramfs/lib mounts it; says whether it can be written to.
union() {
	mkdir -p "$DIR/merged"
	mount -t overlay -o "lowerdir=$DIR/v1,upperdir=$USER_DIR/upper,workdir=$USER_DIR/work,index=off,metacopy=off,xino=auto,redirect_dir=on" \
		overlay "$DIR/merged" || return
	awk -v at="$DIR/merged" '$5 == at { sub(/,.*/, "", $NF); print $NF }' /proc/self/mountinfo
}

# kept_back DEVICE: what ext4 keeps back, in blocks.
kept_back() {
	cat "/sys/fs/ext4/${1##*/}/reserved_clusters"
}

# A user layer in ext4 in the place of the one in memory, booted from once.
on_ext4() {
	umount "$USER_DIR"
	TENANT=$(mlimg-mkfs --json --quiet --kind user --name alice --size 16M "$DIR/user.img" | jq -r .build_id)
	mount -o loop "$DIR/user.img" "$USER_DIR"
	device=$(findmnt -no SOURCE "$USER_DIR")
	on v1 "$V1"
	same "the union" rw "$(union)"
	commit
	umount "$DIR/merged"
	same "spare inodes" "1 2 3 4" "$(cd "$USER_DIR/mlimg/spare" && echo *)"
}

# What a boot does with it: the union is there, and room can be made in it.
boots_and_makes_room() {
	local kept
	kept=$(kept_back "$device")
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT"
	same "the union" rw "$(union)"
	commit
	same "kept back" "$kept" "$(kept_back "$device")"
	same "spare inodes" "1 2 3 4" "$(cd "$USER_DIR/mlimg/spare" && echo *)"
	rm -r "$DIR/merged/full"
	echo more >"$DIR/merged/more"
	umount "$DIR/merged"
}

@test "no inode free: the union can be mounted, and room be made" {
	local device
	on_ext4
	mkdir "$USER_DIR/upper/full"
	(cd "$USER_DIR/upper/full" && seq 100000 | xargs touch 2>/dev/null) || :
	same "free inodes" 0 "$(stat -f -c %d "$USER_DIR")"
	boots_and_makes_room
}

@test "no block free but what ext4 keeps back: the union can be mounted, and room be made" {
	local device n
	on_ext4
	mkdir "$USER_DIR/upper/full"
	# What is held back for blocks not yet placed comes free when they are.
	for n in 1 2 3; do
		head -c 100M /dev/zero >>"$USER_DIR/upper/full/$n" 2>/dev/null || sync -f "$USER_DIR"
	done
	[ "$(stat -f -c %a "$USER_DIR")" -le 1 ] # the last one may be too few for a file's data and where they are
	# As after it has grown: the next mount keeps more back than is free.
	echo $(($(stat -f -c %f "$USER_DIR") + 20)) >"/sys/fs/ext4/${device##*/}/reserved_clusters"
	same "free blocks" 0 "$(stat -f -c %a "$USER_DIR")"
	boots_and_makes_room
}
