#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # small_begin sets images, system, user, vms
# The boot table with a compiled index in place of the layers, as one disk with them and as disks of their own, and every way in which disks
# and index do not fit.

load ../lib/common

setup_file() {
	local images=$BATS_FILE_TMPDIR
	load ../lib/small
	small_make "$images"
	layers_more "$images" 30
	mlimg-index --quiet -o "$images/ab.idx" "$images"/{system,a,b}.img
	mlimg-index --quiet -o "$images/ba.idx" "$images"/{system,b,a}.img
}

setup() {
	load ../lib/small
	small_begin
}

teardown() {
	vm_kill
}

# image_stack IMAGE…: the stack id as a disk's serial holds it.
image_stack() {
	local image
	for image in "$@"; do image_id "$image"; done | sha256sum | cut -c 1-20
}

# The file system's UUID as messages show it.
index_uuid() {
	mlimg-agent identify "$1" | cut -f 4
}

# on_disks UNION-PARAMETERS ARGUMENT…: the small system with a and b beneath what is given, none of it looked at by mlimg-vm.
on_disks() {
	local parameters=$1
	shift
	vm_union=overlay start "$@" -append "$(command_line "$images"/{a,b}.img) $parameters"
}

# joined DISK LAYER…: a disk with an index of the small system with a and b, and behind it these images.
joined() {
	local disk=$1
	shift
	mlimg-index --quiet --joined -o "$BATS_TEST_TMPDIR/joined.idx" "$images"/{system,a,b}.img
	cat "$BATS_TEST_TMPDIR/joined.idx" "$@" >"$disk"
}

# first_block LAYER: where that layer lies on such a disk.
first_block() {
	mlimg-inspect --json "$BATS_TEST_TMPDIR/joined.idx" | jq ".layers[$1].first_block"
}

# disks_of NAME: how many disks the guest has, and what the agent says of them.
disks_of() {
	vm_do "$1" 'ls /sys/block | grep -c ^vd' && vm_status "$1" | jq -r .boot.disks
}

@test "index: one software layer, joined with index and system, disks in any order" {
	start --software "$images/a.img" --shuffle "${MLIMG_SEED:-3}"
	vm_up t
	same "merged tree" "$(with_version layers_a)" "$(layers_show t)"
	status_fits t first "$images/system.img" "$images/a.img"
	same "disks" $'2\njoined' "$(disks_of t)"
	mlimg-vm status --runtime-dir "$vms" t | grep -qx 'union     index, joined disks'
	same "mounts" '/ overlay
/run/mlimg/index erofs
/run/mlimg/user ext4' "$(vm_do t "awk '\$2 == \"/\" || \$2 ~ /mlimg/ { print \$2, \$3 }' /proc/mounts | sort")"
	vm_stop t
	vm_clean "$user"
}

@test "index: 32 software layers on disks of their own" {
	local layers=("$images"/{a,b}.img "$images"/more{1..30}.img) arguments=(--disks separate) image
	for image in "${layers[@]}"; do arguments+=(--software "$image"); done
	start "${arguments[@]}"
	vm_up t
	status_fits t first "$images/system.img" "${layers[@]}"
	same "disks" $'35\nseparate' "$(disks_of t)"
	same "the topmost layer's file" 30 "$(vm_do t 'cat /srv/last')"
	same "a merged directory" 32 "$(vm_do t 'ls /srv/merged | wc -l')"
	vm_do t 'for f in /srv/merged/more-*; do test "$f" = "/srv/merged/more-$(cat "$f")" || exit; done'
	vm_stop t
	# The same user's on one disk.
	arguments[1]=joined
	start "${arguments[@]}"
	vm_up t
	status_fits t none "$images/system.img" "${layers[@]}"
	same "disks" $'2\njoined' "$(disks_of t)"
	vm_stop t
	vm_clean "$user"
}

@test "index: 32 software layers, and the system replaced beneath own changes" {
	local layers=("$images"/{a,b}.img "$images"/more{1..30}.img) arguments=() image
	for image in "${layers[@]}"; do arguments+=(--software "$image"); done
	start "${arguments[@]}"
	vm_up t
	status_fits t first "$images/system.img" "${layers[@]}"
	same "disks" $'2\njoined' "$(disks_of t)"
	same "the topmost layer's file" 30 "$(vm_do t 'cat /srv/last')"
	same "a merged directory" 32 "$(vm_do t 'ls /srv/merged | wc -l')"
	same "an opaque directory" above "$(vm_do t 'ls /srv/opaque')"
	fails 1 "" vm_do t 'test -e /srv/whiteout'
	vm_do t 'for f in /srv/merged/more-*; do test "$f" = "/srv/merged/more-$(cat "$f")" || exit; done'
	vm_do t 'echo mine >/srv/last; echo mine >>/usr/share/changed; rm /srv/merged/more-7 /usr/share/deleted; mv /srv/opaque /srv/moved'
	vm_stop t
	system=$images/system2.img start "${arguments[@]}"
	vm_up t
	status_fits t changed "$images/system2.img" "${layers[@]}"
	same "new version" 2 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n1\nmine\nabove' "$(vm_do t 'cat /srv/last /usr/share/changed; ls /srv/moved')"
	same "a merged directory" 31 "$(vm_do t 'ls /srv/merged | wc -l')"
	fails 1 "" vm_do t 'ls /srv/opaque /usr/share/deleted 2>/dev/null'
	vm_stop t
	vm_clean "$user"
}

@test "index: writes and deletions survive a reboot, and a change to overlay and back" {
	local layers=("$images"/{a,b,c}.img) software=(--software "$images/a.img" --software "$images/b.img" --software "$images/c.img") shown
	start "${software[@]}"
	vm_up t
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	vm_do t 'echo mine >/srv/mine; echo mine >/srv/override; rm /srv/merged/b; mkdir /srv/dir; mv /srv/opaque /srv/dir/moved
		rm /usr/share/deleted; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	shown='/srv/again:c
/srv/dir/moved/above:b
/srv/file-a:a
/srv/file-b:b
/srv/file-c:c
/srv/merged/a:a
/srv/merged/c:c
/srv/mine:mine
/srv/override:mine
/srv/version:1'
	same "after a reboot" "$shown" "$(layers_show t)"
	status_fits t none "$images/system.img" "${layers[@]}"
	vm_stop t
	vm_clean "$user"
	export vm_union=overlay
	start "${software[@]}"
	vm_up t
	same "on overlay" "$shown" "$(layers_show t)"
	status_fits t none "$images/system.img" "${layers[@]}"
	vm_do t 'mv /srv/dir/moved /srv/again-moved; rm /srv/merged/a'
	vm_stop t
	vm_union=index
	start "${software[@]}"
	vm_up t
	same "back on the index" "$(sed -e '/merged.a/d' -e '/moved/d' -e '/srv.again:c/a /srv/again-moved/above:b' <<<"$shown")" "$(layers_show t)"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
	status_fits t none "$images/system.img" "${layers[@]}"
	vm_stop t
	vm_clean "$user"
}

@test "index: system replaced beneath own changes" {
	start --software "$images/a.img"
	vm_up t
	vm_do t 'echo mine >/srv/mine; echo mine >>/usr/share/kept; echo mine >>/usr/share/changed; rm /usr/share/deleted'
	vm_stop t
	system=$images/system2.img start --software "$images/a.img"
	vm_up t
	status_fits t changed "$images/system2.img" "$images/a.img"
	same "new version" 2 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n1\nmine\n1\nmine' "$(vm_do t 'cat /srv/mine /usr/share/kept /usr/share/changed')"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
	vm_status t >"$vms/status"
	same "counts" '1 1' "$(jq -r '.boot.report.counts | "\(.conflict) \(."whiteout-changed")"' "$vms/status")"
	vm_stop t
	vm_clean "$user"
}

@test "index: two layers that are exchanged stop the boot" {
	local id
	id=$(image_stack "$images"/{system,b,a}.img)
	mapfile -t extra < <(disk "$images/ba.idx" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" --software "$images/a.img" --software "$images/b.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $(short "$images/a.img")) holds a layer with UUID $(uuid "$images/a.img"), but layer 1 of the index on \
/dev/vdX (serial $id) is $(short "$images/b.img"): compile the index from these layers, in this order"
}

@test "joined: two layers that are exchanged stop the boot" {
	local id at
	joined "$BATS_TEST_TMPDIR/disk" "$images"/{system,b,a}.img
	id=$(image_stack "$images"/{system,a,b}.img) at=$(first_block 1)
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/disk" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" -- "${extra[@]}"
	stops "block $at of /dev/vdX (serial $id) holds a layer with UUID $(uuid "$images/b.img"), but layer 1 of the index on \
/dev/vdX (serial $id) is $(short "$images/a.img"): compile the index from these layers, in this order"
}

@test "joined: a foreign layer stops the boot" {
	local id at
	# As long as the right one, so that all others lie where they must.
	cp "$images/system.img" "$BATS_TEST_TMPDIR/foreign.img"
	tune2fs -U 01234567-89ab-4def-8123-456789abcdef "$BATS_TEST_TMPDIR/foreign.img" >/dev/null
	joined "$BATS_TEST_TMPDIR/disk" "$BATS_TEST_TMPDIR/foreign.img" "$images"/{a,b}.img
	id=$(image_stack "$images"/{system,a,b}.img) at=$(first_block 0)
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/disk" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" -- "${extra[@]}"
	stops "block $at of /dev/vdX (serial $id) holds a layer with UUID 0123456789ab4def8123456789abcdef, but layer 0 of the index on \
/dev/vdX (serial $id) is $(short "$images/system.img"): compile the index from these layers, in this order"
}

@test "joined: a truncated layer stops the boot" {
	local id at blocks
	joined "$BATS_TEST_TMPDIR/disk" "$images"/{system,a,b}.img
	truncate -s -64K "$BATS_TEST_TMPDIR/disk"
	id=$(image_stack "$images"/{system,a,b}.img) at=$(first_block 2) blocks=$(($(stat -c %s "$images/b.img") / 4096))
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/disk" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" -- "${extra[@]}"
	stops "block $at of /dev/vdX (serial $id) is where the layer $(short "$images/b.img") of the joined index there begins, but only \
$((blocks - 16)) of its $blocks blocks are there: attach the index and all its layers as one disk"
}

@test "index: one of a foreign stack stops the boot" {
	local id
	id=$(image_stack "$images"/{system,a,b}.img)
	mapfile -t extra < <(disk "$images/ba.idx" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" --software "$images/a.img" --software "$images/b.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $id) should be the index $id, but holds an index, UUID $(index_uuid "$images/ba.idx"): attach the right image"
}

@test "index: a truncated layer stops the boot" {
	cp "$images/b.img" "$BATS_TEST_TMPDIR/b.img"
	truncate -s -64K "$BATS_TEST_TMPDIR/b.img"
	local id
	id=$(image_stack "$images"/{system,a,b}.img)
	mapfile -t extra < <(disk "$images/ab.idx" "$id" && disk "$BATS_TEST_TMPDIR/b.img" "$(short "$images/b.img")" cut)
	on_disks "mlimg.union=index mlimg.index=$id" --software "$images/a.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $(short "$images/b.img")) should be the software layer $(short "$images/b.img"), but is truncated \
(the file system has $(stat -c %s "$images/b.img") bytes, the disk only $(stat -c %s "$BATS_TEST_TMPDIR/b.img")): \
compare its size with the original's"
}

@test "index: a truncated index stops the boot" {
	cp "$images/ab.idx" "$BATS_TEST_TMPDIR/cut.idx"
	truncate -s 8K "$BATS_TEST_TMPDIR/cut.idx"
	local id
	id=$(image_stack "$images"/{system,a,b}.img)
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/cut.idx" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" --software "$images/a.img" --software "$images/b.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $id) should be the index $id, but is truncated (the file system has $(stat -c %s "$images/ab.idx") bytes, \
the disk only 8192): compare its size with the original's"
}

@test "index: another image of the same layer, whose contents lie elsewhere, stops the boot" {
	cp "$images/b.img" "$BATS_TEST_TMPDIR/b.img"
	debugfs -w -R "set_super_value hash_seed 01234567-89ab-cdef-0123-456789abcdef" "$BATS_TEST_TMPDIR/b.img" 2>/dev/null
	local id
	id=$(image_stack "$images"/{system,a,b}.img)
	mapfile -t extra < <(disk "$images/ab.idx" "$id")
	on_disks "mlimg.union=index mlimg.index=$id" --software "$images/a.img" --software "$BATS_TEST_TMPDIR/b.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $(short "$images/b.img")) holds the layer $(short "$images/b.img"), but its contents lie elsewhere than in the \
image that the index on /dev/vdX (serial $id) was compiled from: compile it from this image"
}

@test "index: one that no parameter names stops the boot" {
	local id
	id=$(image_stack "$images"/{system,a,b}.img)
	mapfile -t extra < <(disk "$images/ab.idx" "$id")
	on_disks "" --software "$images/a.img" --software "$images/b.img" -- "${extra[@]}"
	stops "/dev/vdX (serial $id) holds an index, UUID $(index_uuid "$images/ab.idx"), which is not in the stack: \
detach it, or add it to the kernel parameters"
}
