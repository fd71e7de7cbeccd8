#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # small_begin sets images, system, user, vms; start uses system
# Guests on a system and patches of it: what they show is the new system's own image, and to the user layer they are that system.
# lasts 120

load ../lib/common

# three_versions: systems 1 to 3, a patch from each to the next, and software made over 2. Version 2 changes, removes, moves and retypes, gives
# other attributes, and has another initramfs.
three_versions() {
	local version
	cd "$BATS_FILE_TMPDIR" || return
	version=$(cd tree/boot && echo vmlinuz-*)
	version=${version#vmlinuz-}
	head -c 300000 /dev/urandom | tee tree/usr/lib/moved tree/usr/lib/chmod tree/usr/lib/same >/dev/null
	mkdir -p tree/usr/lib/gone tree/usr/lib/retyped
	echo gone >tree/usr/lib/gone/file
	ln -s same tree/usr/lib/link
	touch -d @1600000000 tree/usr/lib/*
	hooks_put tree 1
	echo 1 | tee tree/srv/version tree/usr/share/changed tree/usr/share/deleted >/dev/null
	mlimg-mkfs --quiet --kind system --name small --version 1 tree 1.img
	mv tree/usr/lib/moved tree/srv/moved
	chmod 0640 tree/usr/lib/chmod
	ln tree/usr/lib/same tree/usr/lib/linked
	rm -r tree/usr/lib/gone tree/usr/lib/retyped
	ln -s ../../srv/moved tree/usr/lib/retyped
	hooks_put tree 2
	echo 2 | tee tree/srv/version tree/usr/share/changed tree/usr/share/deleted >/dev/null
	mkdir early
	(cd early && echo initramfs of version 2 >version && echo version | cpio -o -H newc --quiet) >>"tree/boot/initrd.img-$version"
	touch -d @0 "tree/boot/initrd.img-$version"
	mlimg-mkfs --quiet --kind system --name small --version 2 tree 2.img
	mlimg-mkfs --quiet --base 1.img --name small --version 2 tree 1to2.img
	echo 3 >tree/srv/version
	mv tree/srv/moved tree/srv/moved-again
	mlimg-mkfs --quiet --kind system --name small --version 3 tree 3.img
	mlimg-mkfs --quiet --base 1.img --base 1to2.img --name small --version 3 tree 2to3.img
	mkdir -p soft/srv/soft
	echo soft | tee soft/srv/soft/file soft/usr-file >/dev/null
	mlimg-mkfs --quiet --kind software --name soft --version 1 --over "$(image_id 2.img)" soft soft.img
}

setup_file() {
	load ../lib/small
	small_make "$BATS_FILE_TMPDIR"
	three_versions
}

setup() {
	load ../lib/small
	small_begin
	system=$images/1.img
}

teardown() {
	vm_kill
}

# What a guest shows, without what the kernel and acpid put there: "PATH TYPE MODE UID GID SIZE DIGEST-OR-TARGET".
guest_shows() {
	vm_do t 'cd / && find . -xdev \( -path ./dev -o -path ./proc -o -path ./run -o -path ./sys -o -path ./tmp \) -prune -o -type f -print0 |
			xargs -0 sha256sum
		find . -xdev \( -path ./dev -o -path ./proc -o -path ./run -o -path ./sys -o -path ./tmp \) -prune -o \
			\( -type f -o -type d -o -type l \) -print0 | xargs -0 stat -c "%n %F %a %u %g"
		find . -xdev -type l -print0 | xargs -0 -n 1 ls -ld | sed "s:.* \./:./:"' | grep -v ./var/log/acpid.log | LC_ALL=C sort
}

# image_shows IMAGE…: the same out of manifests.
image_shows() {
	local image
	for image in "$@"; do
		mlimg-inspect "$image" manifest | grep '^\.' | grep -v -E '^\./(dev|proc|run|sys|tmp)[/ ]'
	done | sed 's/\\133/[/g' | awk '
		{
			type = link = digest = ""
			for (i = 2; i <= NF; i++) {
				split($i, kv, "=")
				v[kv[1]] = substr($i, length(kv[1]) + 2)
			}
		}
		!seen[$1]++ {
			if (v["type"] == "file") {
				print v["sha256digest"] "  " $1
				print $1, (v["size"] ? "regular file" : "regular empty file"), v["mode"] + 0, v["uid"], v["gid"]
			} else if (v["type"] == "dir") {
				print $1, "directory", v["mode"] + 0, v["uid"], v["gid"]
			} else {
				print $1, "symbolic link", v["mode"] + 0, v["uid"], v["gid"]
				print $1, "->", v["link"]
			}
		}' | LC_ALL=C sort
}

# stack_id: what the agent says of t.
stack_id() {
	vm_status t | jq -r .boot.stack_id
}

# A tenant on version 1 is given the patch, then the new version's own image.
upgrades() {
	local software=(--software "$images/soft.img") wanted
	start
	vm_up t
	status_fits t first "$images/1.img"
	hooks_change merges
	vm_stop t
	start --patch "$images/1to2.img" "${software[@]}"
	vm_up t
	status_fits t changed "$images"/{1,1to2,soft}.img
	same "notes" "[]" "$(vm_status t | jq -c .boot.notes)"
	# By a hook that only the patch has.
	hooks_ran merges
	image_shows "$images/soft.img" "$images/2.img" | grep -v ./etc/hooked/merges >"$vms/wanted"
	guest_shows | grep -v ./etc/hooked/merges >"$vms/found"
	diff "$vms/wanted" "$vms/found"
	same "devices" 1 "$(vm_do t 'find / -xdev \( ! -type d -o -path "/[lsu]*" ! -path "/sys*" \) -print0 | xargs -0 stat -c %d | sort -u | wc -l')"
	same "names of one file" 2 "$(vm_do t 'stat -c %h /usr/lib/same')"
	# README.md says what becomes of inode numbers.
	same "inode number of a copy" "$([ "${vm_union:-index}" = index ] && echo the same || echo another)" "$(vm_do t 'before=$(stat -c %i /usr/share/kept)
		touch /usr/share/kept && sync && echo 3 >/proc/sys/vm/drop_caches
		[ "$(stat -c %i /usr/share/kept)" = "$before" ] && echo the same || echo another')"
	wanted=$(stack_id)
	same "stack id" "$(for image in "$images"/{2,soft}.img; do image_id "$image"; done | sha256sum | cut -d ' ' -f 1)" "$wanted"
	vm_do t 'set -e
		echo mine >>/srv/moved; echo mine >/srv/version; rm /usr/lib/chmod; mv /usr/lib/same /usr/lib/renamed; chmod 0600 /usr/lib/linked
		mkdir /usr/lib/gone; mv /srv/soft /srv/elsewhere'
	vm_stop t
	vm_clean "$user"
	system=$images/2.img start "${software[@]}"
	vm_up t
	status_fits t none "$images"/{2,soft}.img
	same "stack id" "$wanted" "$(stack_id)"
	shows_own_changes
	vm_stop t
	start --patch "$images/1to2.img" "${software[@]}"
	vm_up t
	status_fits t none "$images"/{1,1to2,soft}.img
	shows_own_changes
	[ "${vm_union:-index}" = index ] || shows_patched
	vm_stop t
	vm_clean "$user"
}

# With overlay the system and its patch are one of the root's lowers.
shows_patched() {
	same "mounts" '/ overlay rw
/run/mlimg/layers/0 ext4 ro
/run/mlimg/layers/1 ext4 ro
/run/mlimg/layers/2 ext4 ro
/run/mlimg/system overlay ro
/run/mlimg/user ext4 rw' "$(vm_do t "awk '\$2 == \"/\" || \$2 ~ /mlimg/ { print \$2, \$3, substr(\$4, 1, 2) }' /proc/mounts | sort")"
	# What README.md says that this costs.
	vm_do t 'mkdir /tmp/u /tmp/m && mount -t tmpfs tmpfs /tmp/u && mkdir /tmp/u/u /tmp/u/w
		if mount -t overlay -o lowerdir=/usr,upperdir=/tmp/u/u,workdir=/tmp/u/w overlay /tmp/m 2>/dev/null; then exit 1; fi
		dmesg | grep -q "maximum fs stacking depth exceeded"'
}

shows_own_changes() {
	same "own changes" "mine
300005 mine
600 300000
renamed
elsewhere/file" "$(vm_do t 'cat /srv/version; echo $(stat -c %s /srv/moved) $(tail -c 5 /srv/moved); stat -c "%a %s" /usr/lib/linked
		cd /usr/lib; ls -d renamed same chmod gone/* 2>/dev/null; cd /srv; ls elsewhere/file')"
	same "devices" 1 "$(vm_do t 'stat -c %d / /usr/lib/* /srv/* /bin/busybox | sort -u | wc -l')"
	same "content that was moved" "$(sha256sum <"$images/tree/usr/lib/same")" "$(vm_do t 'sha256sum </usr/lib/renamed; head -c 300000 /srv/moved | cmp - /usr/lib/renamed')"
}

@test "patch: index: a patched system is the new system" {
	upgrades
}

@test "patch: overlay: a patched system is the new system" {
	export vm_union=overlay
	upgrades
}

@test "patch: two of them, disks in any order, from old to new and back" {
	start --patch "$images/1to2.img" --patch "$images/2to3.img" --shuffle "${MLIMG_SEED:-3}"
	vm_up t
	status_fits t first "$images"/{1,1to2,2to3}.img
	image_shows "$images/3.img" >"$vms/wanted"
	guest_shows >"$vms/found"
	diff "$vms/wanted" "$vms/found"
	vm_do t 'echo mine >>/usr/share/changed; echo mine >/srv/version'
	vm_stop t
	vm_union=overlay start --patch "$images/1to2.img" --patch "$images/2to3.img" --shuffle "${MLIMG_SEED:-4}"
	vm_up t
	vm_union=overlay status_fits t none "$images"/{1,1to2,2to3}.img
	guest_shows | grep -v -e ./srv/version -e ./usr/share/changed >"$vms/found"
	diff <(grep -v -e ./srv/version -e ./usr/share/changed "$vms/wanted") "$vms/found"
	vm_stop t
	start
	vm_up t
	status_fits t changed "$images/1.img"
	vm_status t >"$vms/status"
	same "conflicts" 2 "$(jq -r .boot.report.counts.conflict "$vms/status")"
	same "previous stack" "$(image_id "$images/3.img")" "$(jq -r '.boot.previous.stack[-1].result' "$vms/status")"
	same "own changes" $'1\nmine' "$(vm_do t 'cat /usr/share/changed /srv/version')"
	same "set aside" $'2\nmine' "$(vm_do t 'cat /run/mlimg/user/mlimg/aside/2/usr/share/changed')"
	vm_stop t
	vm_clean "$user"
}

# parameters PATCH…: of version 1 with these patches.
parameters() {
	local patch ids=''
	for patch in "$@"; do ids+=${ids:+,}$(short "$patch"); done
	echo "$(command_line) mlimg.patch=$ids"
}

@test "patch: a missing disk stops the boot" {
	vm_union=overlay start -- -append "$(parameters "$images/1to2.img")"
	stops "waited 5 s, still missing the patch layer $(short "$images/1to2.img"); there is \
/dev/vdX (serial $(short "$images/1.img")) with a system layer, UUID $(uuid "$images/1.img"), \
/dev/vdX (serial $(short "$user")) with a user layer, UUID $(uuid "$user"): \
attach what is missing, or correct the kernel parameters"
}

@test "patch: a foreign disk in its place, and one that no parameter names, stop the boot" {
	mapfile -t extra < <(disk "$images/2to3.img" "$(short "$images/1to2.img")")
	vm_union=overlay start -- "${extra[@]}" -append "$(parameters "$images/1to2.img")"
	stops "/dev/vdX (serial $(short "$images/1to2.img")) should be the patch layer $(short "$images/1to2.img"), \
but holds a patch layer, UUID $(uuid "$images/2to3.img"): attach the right image"
	vm_union=overlay start --patch "$images/1to2.img" -- -append "$(command_line)"
	stops "/dev/vdX (serial $(short "$images/1to2.img")) holds a patch layer, UUID $(uuid "$images/1to2.img"), which is not in the stack: \
detach it, or add it to the kernel parameters"
}

@test "patch: two that are exchanged stop the boot" {
	local id both=(--patch "$images/1to2.img" --patch "$images/2to3.img")
	vm_union=overlay start "${both[@]}" -- -append "$(parameters "$images"/{2to3,1to2}.img)"
	stops "/run/mlimg: layers/1: patch layer 'small' 3 ($(short "$images/2to3.img")): is a patch for system $(short "$images/2.img"), \
and this one is $(short "$images/1.img")"
	id=$(image_id "$images/3.img" | sha256sum | cut -c 1-20)
	start "${both[@]}" -- -append "$(parameters "$images"/{2to3,1to2}.img) mlimg.union=index mlimg.index=$id"
	stops "/run/mlimg: layer 1: index: id $(short "$images/2to3.img") is wanted, this is 'small' 2 with id $(image_id "$images/1to2.img")"
	start "${both[@]}" --disks separate -- -append "$(parameters "$images"/{2to3,1to2}.img) mlimg.union=index mlimg.index=$id"
	stops "/dev/vdX (serial $(short "$images/2to3.img")) holds a layer with UUID $(uuid "$images/2to3.img"), but layer 1 of the index on \
/dev/vdX (serial $id) is $(short "$images/1to2.img"): compile the index from these layers, in this order"
}
