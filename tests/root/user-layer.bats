#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The user layer on a real file system: growing, and what a former system beneath it has left in it.
load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	mkdir -p "$RUN/layers" "$RUN/user" "$DIR"/{v1,v2}/etc
	echo one >"$DIR/v1/etc/version"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	LOOP=
}

teardown() {
	umount -q -R "$DIR/root" "$DIR/root/srv" "$RUN/user" || :
	[ -z "$LOOP" ] || losetup -d "$LOOP"
}

# user_layer SIZE: an image on a loop device, $LOOP, mounted as the initramfs does.
user_layer() {
	mlimg-mkfs --quiet --kind user --name alice --size "$1" "$DIR/user.img"
	LOOP=$(losetup --show -f "$DIR/user.img")
	mount -t ext4 -o nosuid,nodev "$LOOP" "$RUN/user"
	TENANT=$(jq -r .build_id "$RUN/user/mlimg/layer.json")
}

prepare() {
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-v1" "$RUN/layers/0"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" "$@"
}

# grown: what boot.json says.
grown() {
	jq -rc '.user.grown | if . then "\(.from_bytes) \(.to_bytes)" else . end' "$RUN/boot.json"
}

@test "grow: what the kernel refuses is a note" {
	user_layer 20M
	prepare --user-dev "$LOOP"
	same "on a disk of its size" "null []" "$(grown) $(jq -c .notes "$RUN/boot.json")"
	works mlimg-agent commit --root "$RUN"
	truncate -s 100M "$DIR/user.img"
	losetup -c "$LOOP"
	mount -o remount,ro "$RUN/user"
	prepare --user-dev "$LOOP"
	same "grown" null "$(grown)"
	# Without CAP_SYS_RESOURCE the kernel does not even look.
	same "notes" "[\"the user layer did not grow: resize the file system on $LOOP to 25600 blocks: Read-only file system\"]" \
		"$(jq -c .notes "$RUN/boot.json" | sed 's/Operation not permitted/Read-only file system/')"
}
