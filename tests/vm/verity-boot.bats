#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2030,SC2031,SC2154 # each row has its driver; small_begin sets images, system, user, vms
# Guests whose layers are read through their hash trees, set up by the initramfs from the kernel's command line.
# lasts 60

load ../lib/common

setup_file() {
	load ../lib/small
	local images=$BATS_FILE_TMPDIR name
	mkdir "$images/certs" "$images/d"
	for name in mine other; do
		openssl req -new -x509 -newkey rsa:2048 -nodes -keyout "$images/$name.key" -out "$images/$name.pem" -days 30 -subj "/CN=$name" 2>/dev/null
	done
	cp "$images/mine.pem" "$images/certs/"
	small-root "$(debian-tree v1)" "$images/tree" --certs "$images/certs"
	# What the rows have to show of protected paths.
	mkdir -p "$images/tree/etc/mlimg/protected.d" "$images/tree/usr/lib/provider"
	printf '%s\n' /usr/lib/provider /etc/preload >"$images/tree/etc/mlimg/protected.d/provider.conf"
	echo own >"$images/tree/usr/lib/provider/file"
	made mine system small "$images/tree"
	mkdir -p "$images/d/srv"
	{ echo && head -c 3000000 /dev/urandom; } >"$images/d/srv/large"
	echo hello >"$images/d/srv/small"
	made mine x x "$images/d"
	# One byte changed: of a file's contents, which nothing but reading it will find.
	cp "$images/x.img" "$images/bad.img"
	cp "$images/x.img.layer.json" "$images/bad.img.layer.json"
	cp "$images/x.img.p7s" "$images/bad.img.p7s"
	printf J | dd of="$images/bad.img" bs=1 conv=notrunc status=none \
		seek=$(($(debugfs -R 'blocks /rootfs/srv/large' "$images/x.img" 2>/dev/null | cut -d ' ' -f 1) * 4096))
	made other foreign x "$images/d"
	# The same length, another root hash, and the signature of the first.
	echo hellp >"$images/d/srv/small"
	made mine swapped y "$images/d"
	dd if="$images/x.img" of="$images/swapped.img" bs=4096 conv=notrunc status=none \
		skip=$(($(stat -c %s "$images/x.img") / 4096 - 1)) seek=$(($(stat -c %s "$images/swapped.img") / 4096 - 1))
	mlimg-mkfs --quiet --kind software --name z --verity "$images/d" "$images/unsigned.img"
}

# made KEY IMAGE NAME TREE: signed; the system layer or a software layer
made() {
	local images=$BATS_FILE_TMPDIR kind=software
	[ "$2" != system ] || kind=system
	mlimg-mkfs --quiet --kind $kind --name "$3" --verity --sign "$images/$1.key" --cert "$images/$1.pem" "$4" "$images/$2.img"
}

setup() {
	load ../lib/small
	small_begin
}

teardown() {
	vm_kill
}

# root_hash IMAGE
root_hash() {
	jq -r .verity.root_hash "$images/$1.img.layer.json"
}

# verified SYSTEM-HASH SOFTWARE-HASH: the kernel parameter
verified() {
	echo "mlimg.verity=$(short "$images/system.img"):$1,$(short "$images/x.img"):$2"
}

# Its value with the right hashes.
root_hashes() {
	verified "$(root_hash system)" "$(root_hash x)" | cut -d = -f 2
}

# in_use: the devices that the root lies on cannot be made a second time, and stay as they are.
in_use() {
	run vm_do t "at() { for disk in /sys/block/vd*; do [ \"\$(cat \$disk/serial)\" != \$1 ] || echo /dev/\${disk##*/}; done; }
		mlimg-agent verity --trust $(root_hashes) \
			--layer system:$(short "$images/system.img")=\$(at $(short "$images/system.img")) --layer software:$(short "$images/x.img")=\$(at $(short "$images/x.img"))"
	same "a second attempt" "1 mlimg-agent: remove the device mlimg-0 of an earlier attempt: Device or resource busy" "$status $output"
	same "what is whole" hello "$(vm_do t 'cat /srv/small')"
}

ends() {
	vm_stop t
	vm_clean "$user"
}

@test "verity: overlay over layers with root hashes; a changed byte is a read error" {
	export vm_union=overlay
	start --software "$images/bad.img" --append "mlimg.verity=$(root_hashes)"
	vm_up t
	reads_what_is_sound hash "mlimg-0 mlimg-1"
	in_use
	ends
}

@test "verity: an index over signed layers; a changed byte is a read error; protected paths" {
	start --software "$images/bad.img" --disks separate --verity require
	vm_up t
	reads_what_is_sound require "mlimg-0 mlimg-1 mlimg-index"
	# Until the next boot root may do what he wants.
	vm_do t 'rm /usr/lib/provider/file; echo mine | tee /usr/lib/provider/mine /etc/preload /etc/mine >/dev/null; sync; reboot' || true
	vm_rebooted t '[ -e /usr/lib/provider/file ]'
	same "the system's and the user's" "own mine" "$(vm_do t 'cat /usr/lib/provider/file /etc/mine' | xargs)"
	vm_do t '[ ! -e /usr/lib/provider/mine ] && [ ! -e /etc/preload ]'
	same "boot.json" '{"aside":"/run/mlimg/user/mlimg/aside/protected-1","n":2,"paths":["/usr/lib/provider","/etc/preload"]}' \
		"$(vm_do t 'cat /run/mlimg-boot.json' | jq -c .protected)"
	same "set aside" "mine mine" "$(vm_do t 'cd /run/mlimg/user/mlimg/aside/protected-1 && cat usr/lib/provider/mine etc/preload' | xargs)"
	says "the user layer covered /usr/lib/provider and 1 more, which are protected: set aside in /run/mlimg/user/mlimg/aside/protected-1"
	ends
}

# behind_index DISK: the six bytes that the superblock of its hash tree begins with
behind_index() {
	vm_do t "own=\$(cat /sys/block/\$(basename \$(readlink /dev/mapper/mlimg-own))/size)
		for disk in $1; do
			dd if=\$disk bs=512 skip=\$own count=1 2>/dev/null | head -c 6 | tr -d '\0' | grep '^[a-z]*$'
		done; true"
}

@test "verity: a joined index with the hash of the stack; a changed byte is a read error" {
	start --software "$images/bad.img" --disks joined --verity hash
	vm_up t
	reads_what_is_sound stack "mlimg-0 mlimg-1 mlimg-index mlimg-own mlimg-part-0 mlimg-part-1"
	# What nobody vouches for is not there: the hash tree of the index is the first of it.
	same "behind the index" "verity" "$(behind_index "/dev/vd?")"
	same "behind the verified index" "" "$(behind_index /dev/mapper/mlimg-index)"
	ends
}

@test "verity: a joined index over signed layers; a changed byte is a read error" {
	start --software "$images/bad.img" --disks joined --verity require
	vm_up t
	reads_what_is_sound require "mlimg-0 mlimg-1 mlimg-index mlimg-own mlimg-part-0 mlimg-part-1"
	ends
}

@test "verity: another root hash stops the boot, with the layer's name" {
	export vm_union=overlay
	start --software "$images/x.img" --append "$(verified "$(root_hash system)" "$(root_hash system)")"
	stops "the software layer $(short "$images/x.img") cannot be verified: /dev/vdX: \
its root hash is $(root_hash x), not $(root_hash system)"
}

# not_taken DRIVER IMAGE WHY: with mlimg.verity=require. Of an image that mlimg-inspect and mlimg-vm would refuse as well; so the index is attached here.
not_taken() {
	local driver=$1 image=$images/$2.img why=$3 qemu=()
	# Another one would make an index of its own.
	export vm_union=overlay
	[ "$driver" = overlay ] || over_index "$image"
	start --software "$image" --append mlimg.verity=require -- "${qemu[@]}"
	stops "the software layer $(layer_id "$image") cannot be verified: /dev/vdX: $why"
}

# layer_id IMAGE: what a serial holds of its id, also of an image that mlimg-inspect refuses
layer_id() {
	jq -r .build_id "$1.layer.json" | cut -c 1-20
}

# over_index IMAGE [HASH]: sets qemu to what gives the guest an index over the system and IMAGE, with its own root hash or HASH on the command line.
over_index() {
	local index=$BATS_TEST_TMPDIR/own.idx stack
	mlimg-index --verity --json -o "$index" "$system" "$1" >"$index.json"
	stack=$(jq -r .stack_id "$index.json" | cut -c 1-20)
	mapfile -t qemu < <(disk "$index" "$stack" index)
	qemu+=(-append "$(command_line) mlimg.software=$(layer_id "$1") mlimg.union=index mlimg.index=$stack \
mlimg.verity=require,$stack:${2:-$(jq -r .root_hash "$index.json")}")
}

serial() {
	openssl x509 -in "$images/$1.pem" -noout -serial | cut -d = -f 2
}

for_both() {
	not_taken overlay "$@"
	not_taken index "$@"
}

@test "verity: a layer that is not signed stops the boot, beneath an index too" {
	for_both unsigned "it is not signed"
}

@test "verity: a layer that somebody else has signed stops the boot, beneath an index too" {
	for_both foreign "its signer's certificate, with serial number $(serial other), is not in /etc/mlimg/trusted.d of the initramfs"
}

@test "verity: a layer with another one's signature stops the boot, beneath an index too" {
	for_both swapped "its signature is not one of its root hash $(root_hash swapped) by the certificate with serial number $(serial mine)"
}

@test "verity: an index with another root hash over signed layers stops the boot" {
	local qemu json=$BATS_TEST_TMPDIR/own.idx.json
	export vm_union=overlay
	over_index "$images/x.img" "$(root_hash x)"
	start --software "$images/x.img" --append mlimg.verity=require -- "${qemu[@]}"
	stops "the index $(jq -r .stack_id "$json" | cut -c 1-20) cannot be verified: /dev/vdX: its root hash is $(jq -r .root_hash "$json"), not $(root_hash x)"
}
