#!/usr/bin/env bats
# shellcheck disable=SC2154 # small_begin sets images, system, user, vms
# The boot table: each test is a guest with the stand-alone busybox init and a small root, its disks, and what must come of it.

load ../lib/common

setup_file() {
	load ../lib/small
	small_make "$BATS_FILE_TMPDIR"
}

setup() {
	load ../lib/small
	small_begin
	export vm_union=overlay
}

teardown() {
	vm_kill
}

@test "boot: one software layer" {
	start --software "$images/a.img"
	vm_up t
	same "merged tree" "$(with_version layers_a)" "$(layers_show t)"
	status_fits t first "$images/system.img" "$images/a.img"
	vm_stop t
	vm_clean "$user"
}

@test "boot: three software layers: whiteouts, opaque directory, override" {
	start --software "$images/a.img" --software "$images/b.img" --software "$images/c.img"
	vm_up t
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	same "a system file that a layer deletes" "" "$(vm_do t 'ls -A /usr/share | grep hidden || true')"
	status_fits t first "$images"/{system,a,b,c}.img
	vm_stop t
	vm_clean "$user"
}

@test "boot: 64 software layers" {
	local i software=() layers=()
	layers_more "$BATS_TEST_TMPDIR" 64
	for ((i = 1; i <= 64; i++)); do
		layers+=("$BATS_TEST_TMPDIR/more$i.img")
		software+=(--software "${layers[i - 1]}")
	done
	start "${software[@]}"
	vm_up t
	same "merged directory" "$(seq -f more-%g 64 | sort)" "$(vm_do t 'ls /srv/merged' | sort)"
	same "the topmost's" 64 "$(vm_do t 'cat /srv/last')"
	same "lowers" 65 "$(vm_do t "sed -n 's/.*lowerdir=\([^,]*\).*/\1/p' /proc/mounts | tr : '\n' | grep -c /run/mlimg/layers/")"
	status_fits t first "$images/system.img" "${layers[@]}"
	vm_stop t
	vm_clean "$user"
}

@test "boot: disks in any order" {
	start --software "$images/a.img" --software "$images/b.img" --software "$images/c.img" --shuffle "${MLIMG_SEED:-3}"
	vm_up t
	same "merged tree" "$(with_version layers_abc)" "$(layers_show t)"
	status_fits t first "$images"/{system,a,b,c}.img
	vm_stop t
}

@test "boot: writes and deletions survive a reboot" {
	start --software "$images/a.img"
	vm_up t
	vm_do t 'echo mine >/srv/mine; rm /srv/whiteout; mkdir /srv/dir; mv /srv/opaque /srv/dir/moved; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	same "merged tree" '/srv/again:a
/srv/dir/moved/beneath:a
/srv/file-a:a
/srv/merged/a:a
/srv/mine:mine
/srv/override:a
/srv/version:1' "$(layers_show t)"
	status_fits t none "$images/system.img" "$images/a.img"
	vm_stop t
	vm_clean "$user"
}

@test "boot: system replaced beneath own changes" {
	start
	vm_up t
	vm_do t 'echo mine >/srv/mine; echo mine >>/usr/share/kept; echo mine >>/usr/share/changed; rm /usr/share/deleted'
	vm_stop t
	system=$images/system2.img start
	vm_up t
	status_fits t changed "$images/system2.img"
	same "new version" 2 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n1\nmine\n1\nmine' "$(vm_do t 'cat /srv/mine /usr/share/kept /usr/share/changed')"
	fails 1 "" vm_do t 'test -e /usr/share/deleted'
	vm_status t >"$vms/status"
	same "counts" '1 1' "$(jq -r '.boot.report.counts | "\(.conflict) \(."whiteout-changed")"' "$vms/status")"
	same "report" $'usr/share/changed conflict\nusr/share/deleted whiteout-changed' "$(
		vm_do t "cat '$(jq -r .boot.report.path "$vms/status")'" | jq -r '.entries[] | "\(.path) \(.verdict)"'
	)"
	vm_stop t
	vm_clean "$user"
	# And back: the user's own changes are still his.
	start
	vm_up t
	same "old version" 1 "$(vm_do t 'cat /srv/version')"
	same "own changes" $'mine\n1\nmine\n1\nmine' "$(vm_do t 'cat /srv/mine /usr/share/kept /usr/share/changed')"
	vm_stop t
}

@test "boot: a missing disk stops it" {
	start -- -append "$(command_line "$images/a.img")"
	stops "waited 5 s, still missing the software layer $(short "$images/a.img"); there is \
/dev/vdX (serial $(short "$images/system.img")) with a system layer, UUID $(uuid "$images/system.img"), \
/dev/vdX (serial $(short "$user")) with a user layer, UUID $(uuid "$user"): \
attach what is missing, or correct the kernel parameters"
}

@test "boot: a foreign disk stops it" {
	mapfile -t extra < <(disk "$images/a.img" foreign)
	start -- "${extra[@]}"
	stops "/dev/vdX (serial foreign) holds a software layer, UUID $(uuid "$images/a.img"), \
which is not in the stack: detach it, or add it to the kernel parameters"
}

@test "boot: a software layer with a damaged superblock stops it" {
	cp "$images/a.img" "$BATS_TEST_TMPDIR/a.img"
	printf '\377' | dd of="$BATS_TEST_TMPDIR/a.img" bs=1 seek=$((1024 + 4)) conv=notrunc status=none
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/a.img" "$(short "$images/a.img")")
	start -- "${extra[@]}" -append "$(command_line "$images/a.img")"
	stops "/dev/vdX (serial $(short "$images/a.img")) should be the software layer $(short "$images/a.img"), \
but is damaged (ext4, but superblock checksum is wrong): check the image with 'e2fsck -fn'"
}

@test "boot: another layer in place of the wanted one stops it" {
	mapfile -t extra < <(disk "$images/b.img" "$(short "$images/a.img")")
	start -- "${extra[@]}" -append "$(command_line "$images/a.img")"
	stops "/dev/vdX (serial $(short "$images/a.img")) should be the software layer $(short "$images/a.img"), \
but holds a software layer, UUID $(uuid "$images/b.img"): attach the right image"
}

@test "boot: a user layer with a damaged superblock stops it" {
	cp "$user" "$BATS_TEST_TMPDIR/damaged.img"
	printf '\377' | dd of="$BATS_TEST_TMPDIR/damaged.img" bs=1 seek=$((1024 + 4)) conv=notrunc status=none
	mapfile -t extra < <(disk "$BATS_TEST_TMPDIR/damaged.img" "$(short "$user")")
	other=$BATS_TEST_TMPDIR/other.img
	mlimg-mkfs --quiet --kind user --name other --size 64M "$other"
	parameters=$(command_line)
	damaged=$(short "$user") user=$other
	start -- "${extra[@]}" -append "$parameters"
	stops "/dev/vdX (serial $damaged) should be the user layer $damaged, \
but is damaged (ext4, but superblock checksum is wrong): check the image with 'e2fsck -fn'"
}
