# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Three small software layers that use every way in which a layer can act on those beneath it, and what a guest must show then.
# Needs root: whiteouts are device nodes, and trusted.* attributes.

load "$MLIMG_TOP/tests/lib/images"

# layers_make DIR SYSTEM-FILE: images a.img, b.img, c.img in DIR, bottom first; c hides SYSTEM-FILE of the system layer.
layers_make() {
	local dir=$1 hidden=$2 layer
	for layer in a b c; do
		mkdir -p "$dir/$layer/srv/merged"
		echo "$layer" >"$dir/$layer/srv/file-$layer"
		echo "$layer" >"$dir/$layer/srv/override"
		echo "$layer" >"$dir/$layer/srv/merged/$layer"
	done
	mkdir "$dir/a/srv/opaque" "$dir/b/srv/opaque"
	echo a | tee "$dir/a/srv/opaque/beneath" "$dir/a/srv/whiteout" "$dir/a/srv/again" >/dev/null
	echo b >"$dir/b/srv/opaque/above"
	setfattr -n trusted.overlay.opaque -v y "$dir/b/srv/opaque"
	mknod "$dir/b/srv/whiteout" c 0 0
	mknod "$dir/b/srv/again" c 0 0
	echo c >"$dir/c/srv/again"
	mkdir -p "$dir/c/${hidden%/*}"
	mknod "$dir/c/$hidden" c 0 0
	for layer in a b c; do
		mlimg-mkfs --quiet --kind software --name "$layer" --version 1 "$dir/$layer" "$dir/$layer.img" || return
	done
}

# What `layers_show` prints in a guest with all three.
layers_abc() {
	cat <<'END'
/srv/again:c
/srv/file-a:a
/srv/file-b:b
/srv/file-c:c
/srv/merged/a:a
/srv/merged/b:b
/srv/merged/c:c
/srv/opaque/above:b
/srv/override:c
END
}

# And with a alone.
layers_a() {
	cat <<'END'
/srv/again:a
/srv/file-a:a
/srv/merged/a:a
/srv/opaque/beneath:a
/srv/override:a
/srv/whiteout:a
END
}

# layers_show NAME: every file below /srv with its contents.
layers_show() {
	vm_do "$1" 'find /srv -type f | LC_ALL=C sort | xargs grep ""'
}

# layers_more DIR N: more1.img to moreN.img in DIR, each with a file of its own in one directory, and one that the topmost decides.
layers_more() {
	local dir=$1 i
	for ((i = 1; i <= $2; i++)); do
		mkdir -p "$dir/more/$i/srv/merged"
		echo "$i" | tee "$dir/more/$i/srv/merged/more-$i" >"$dir/more/$i/srv/last"
		mlimg-mkfs --quiet --kind software --name "more$i" --version 1 "$dir/more/$i" "$dir/more$i.img" || return
	done
}

# status_fits NAME CHANGE IMAGE…: the agent reports these read-only layers, bottom first, that change, and that all is well; and the
# union driver that vm_start was told, $vm_union (vm.bash).
status_fits() {
	local name=$1 change=$2 status ids='' image
	shift 2
	for image in "$@"; do
		ids+=$(image_id "$image")$'\n'
	done
	status=$(vm_status "$name") || return
	same "ids of $name" "${ids%$'\n'}" "$(jq -r '.boot.stack[].build_id' <<<"$status")" &&
		same "change" "$change" "$(jq -r .boot.change <<<"$status")" &&
		same "union, default target, failed units" "${vm_union:-index} true []" \
			"$(jq -r '"\(.boot.union) \(.default_target_reached) \(.failed_units)"' <<<"$status")"
}

# boot FILTER: out of what the agent of guest "t" says of the boot.
boot() {
	vm_status t | jq -rc ".boot | $1"
}

# stops MESSAGE: the boot must end with exactly this, which mlimg-vm heard from the guest, and with exit code 1. Which letter a disk
# has is the kernel's affair: /dev/vdX.
stops() {
	local status=0 said
	vm_end t || status=$?
	# shellcheck disable=SC2154 # vms is the caller's
	said=$(tail -n 1 "$vms/t.err" | sed 's:/dev/vd[a-z]*:/dev/vdX:g')
	if ! same "last line" "t: boot failed: $1; console log: $vms/t/console.log" "$said" ||
		! same "exit code" 1 "$status"; then
		vm_tell t
	fi
}

# The file system's UUID as messages show it.
uuid() {
	dumpe2fs -h "$1" 2>/dev/null | sed -n 's/^Filesystem UUID: *//p' | tr -d -
}

# short IMAGE: what a disk's serial holds.
short() {
	image_id "$1" | cut -c 1-20
}

# disk FILE SERIAL [NODE]: QEMU's arguments for a read-only disk of one's own making.
disk() {
	printf '%s\n' -blockdev "driver=file,filename=$1,node-name=${3:-extra},read-only=on" \
		-device "virtio-blk-pci,drive=${3:-extra},serial=$2"
}
