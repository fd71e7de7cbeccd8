#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Databases composed at boot: what a root shows of them through each union driver, and where they lie meanwhile.

load ../lib/common

setup() {
	need root
	cd "$BATS_TEST_TMPDIR" || return
	run=$BATS_TEST_TMPDIR/run root=$BATS_TEST_TMPDIR/root
	mkdir -p "$run/user" "$root"
}

teardown() {
	local dir
	for dir in "$root" "$run"/layers/* "$run/index" "$run/system" "$run/user"; do
		! mountpoint -q "$dir" || umount "$dir" || umount -l "$dir"
	done
}

# package NAME VERSION: its stanza
package() {
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nDescription: x\n\n' "$1" "$2"
}

# databases TREE: random ones, out of few records, so that layers often have the same.
databases() {
	local i
	mkdir -p "$1"/var/lib/{dpkg/{info,triggers},apt} "$1/usr/bin"
	for i in {a..h}; do
		[ $((RANDOM % 3)) -eq 0 ] || package "$i" "1.$((RANDOM % 3))"
	done >"$1/var/lib/dpkg/status"
	for i in {a..h}; do
		[ $((RANDOM % 2)) -eq 0 ] || printf 'Package: %s\nArchitecture: amd64\nAuto-Installed: %s\n\n' "$i" $((RANDOM % 2))
	done >"$1/var/lib/apt/extended_states"
	for i in i386 arm64 riscv64; do
		[ $((RANDOM % 2)) -eq 0 ] || echo "$i"
	done >"$1/var/lib/dpkg/arch"
	for n in 1 2 3; do
		rm -f "$1/var/lib/dpkg/triggers/t$i"
		[ $((RANDOM % 3)) -eq 0 ] || echo "$i$RANDOM" >"$1/var/lib/dpkg/triggers/t$i"
	done
	rm -rf "${1:?}/var/lib/dpkg/info"
	mkdir "$1/var/lib/dpkg/info"
	: >"$1/var/lib/dpkg/info/$RANDOM.list"
	[ $((RANDOM % 4)) -gt 0 ] || chmod "7$((RANDOM % 8))5" "$1/var/lib/dpkg"
	[ $((RANDOM % 4)) -gt 0 ] || setfacl -d -m "u:$((RANDOM % 9)):rx" "$1/var/lib/apt"
}

# images N [SEED]: system 0.img and N software layers, each made over all beneath it; asked: what a boot is told of them.
images() {
	local i beneath=0.img
	RANDOM=${2:-7}
	databases 0
	chmod 0640 0/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind system --name l0 --version 1 0 0.img
	asked=(--system "$(mlimg-inspect --json 0.img | jq -r .build_id)")
	for ((i = 1; i <= $1; i++)); do
		cp -a "$((i - 1))" "$i"
		databases "$i"
		mlimg-mkfs --quiet --kind software --name "l$i" --version 1 --over "$beneath" --allow mass-deletion --allow older-library "$i" "$i.img"
		asked+=(--software "$(mlimg-inspect --json "$i.img" | jq -r .build_id)")
		beneath=$beneath,$i.img
	done
	n=$1
}

# user_layer SIZE
user_layer() {
	mlimg-mkfs --quiet --force --kind user --name alice --size "$1" user.img
	tenant=$(mlimg-inspect --json user.img | jq -r .build_id)
	mount -o loop user.img "$run/user"
}

mount_layers() {
	local i
	for ((i = 0; i <= n; i++)); do
		mkdir -p "$run/layers/$i"
		mount -o ro,noload,loop "$i.img" "$run/layers/$i"
	done
}

prepare() { # DRIVER OPTION…
	works mlimg-agent prepare --root "$run" --union "$1" "${asked[@]}" --user "$tenant" "${@:2}"
	same "notes" "${notes:-[]}" "$(jq -c .notes "$run/boot.json")"
}

# up [MODE]: the root through overlay, with the options that a boot gives
up() {
	local options
	mkdir -p "$run/volatile"/{upper,work}
	options=$(MLIMG_LIB=$MLIMG_TOP/initramfs/lib MLIMG_RUN=$run dash -c \
		". \$MLIMG_LIB/mlimg-functions; MLIMG_MODE=${1:-normal} MLIMG_COMPOSED=y MLIMG_PATCH= MLIMG_UNION=overlay; mlimg_overlay_options $((n + 1))")
	mount -t overlay -o "$options" overlay "$root"
}

# shown: what the root shows but for its own entry, which is the upper's.
shown() {
	treelist "$root" | sed '/^\. /d'
}

@test "index and overlay show the same databases of random layers, and keep the same manifest" {
	local round seed=${MLIMG_SEED:-$(date +%s)}
	echo "MLIMG_SEED=$seed"
	for round in 1 2 3; do
		rm -rf [0-9] [0-9].img "$run"
		mkdir -p "$run/user" "$run/index"
		images 3 $(((seed + round) % 32768))
		user_layer 16M
		mount_layers
		prepare overlay
		up
		shown >overlay.list
		# The last layer was made of a tree that shows them all.
		for file in dpkg/status dpkg/arch apt/extended_states; do
			same "$file" "$(sort "3/var/lib/$file")" "$(sort "$root/var/lib/$file")"
		done
		mlimg-agent commit --root "$run"
		umount "$root" "$run"/layers/*
		cp "$run/user/mlimg/base.manifest.1" manifest
		umount "$run/user"
		user_layer 16M
		mlimg-index -q --force -o x.img [0-3].img
		mount-index x.img "$run/index" [0-3].img
		prepare index
		[ ! -e "$run/composed" ]
		diff manifest "$run/user/mlimg/base.manifest.1"
		mount -t overlay -o "ro,lowerdir=$run/user/upper:$run/index/rootfs" overlay "$root"
		shown | diff overlay.list -
		umount "$root" "$run/index" "$run/user"
	done
	grep -q '^\./var/lib/dpkg/status type=file mode=0640' overlay.list
	[ "$(jq -r '.composed | length' "$run/boot.json")" -eq 64 ]
}

@test "they are composed once for a stack, and stay in the user layer" {
	images 2
	user_layer 16M
	mount_layers
	prepare overlay
	same "change" first "$(jq -r .change "$run/boot.json")"
	name=$(cd "$run/user/mlimg" && echo composed.*)
	same "link" "user/mlimg/$name" "$(readlink "$run/composed")"
	mlimg-agent commit --root "$run"
	find "$run/user/mlimg" -printf '%p %i %T@ %C@\n' >before
	prepare overlay
	same "change" none "$(jq -r .change "$run/boot.json")"
	find "$run/user/mlimg" -printf '%p %i %T@ %C@\n' | diff before -
	# One that is not whole is made again; and what an interrupted boot has left goes.
	rm "$run/user/mlimg/$name/manifest"
	mkdir -p "$run/user/mlimg/composed.new/x" "$run/user/mlimg/composed.0123-2"
	prepare overlay
	same "change" none "$(jq -r .change "$run/boot.json")"
	same "names" "$name" "$(cd "$run/user/mlimg" && echo composed.*)"
	# Another stack has another.
	umount "$run/layers/2"
	rmdir "$run/layers/2"
	n=1 asked=("${asked[@]:0:4}")
	prepare overlay
	same "change" changed "$(jq -r .change "$run/boot.json")"
	same "number" 1 "$(find "$run/user/mlimg" -maxdepth 1 -name 'composed*' | wc -l)"
	fails 1 "" test -e "$run/user/mlimg/$name"
	# And the system alone has none.
	umount "$run/layers/1"
	rmdir "$run/layers/1"
	n=0 asked=("${asked[@]:0:2}")
	prepare overlay
	same "composed" null "$(jq -r .composed "$run/boot.json")"
	[ ! -e "$run/composed" ] && [ ! -h "$run/composed" ]
}

@test "modes that leave the user layer alone take what it has, or memory" {
	images 2
	user_layer 16M
	mount_layers
	for mode in volatile readonly rescue; do
		prepare overlay --mode "$mode"
		[ -d "$run/composed/rootfs" ] && [ ! -h "$run/composed" ]
		same "in the user layer" "layer.json manifest" "$(cd "$run/user/mlimg" && echo *)"
		up "$mode"
		same "status" "$(sort 2/var/lib/dpkg/status)" "$(sort "$root/var/lib/dpkg/status")"
		umount "$root"
	done
	prepare overlay
	prepare overlay --mode volatile
	[ -h "$run/composed" ]
}

# forged: a tree in the user layer as a boot would leave it, with a program of the user's
forged() {
	local name
	name=composed.$(jq -r .stack_id "$run/boot.json" | cut -c 1-20)-2
	rm -rf tree
	cp -rL "$run/composed" tree
	rm -rf "$run/user/mlimg/$name"
	mv tree "$run/user/mlimg/$name"
	echo forged >"$run/user/mlimg/$name/rootfs/forged"
}

@test "where the layers protect paths, or something vouches for them, the user layer's tree is not taken" {
	mkdir -p 0/etc/mlimg/protected.d
	echo /usr/bin >0/etc/mlimg/protected.d/x.conf
	images 1
	user_layer 16M
	mount_layers
	prepare overlay
	forged
	prepare overlay
	[ -d "$run/composed/rootfs" ] && [ ! -h "$run/composed" ] && [ ! -e "$run/composed/rootfs/forged" ]
	umount "$run"/layers/* "$run/user"
	rm -r 0 1 [01].img
	images 1
	user_layer 16M
	mount_layers
	prepare overlay
	[ -h "$run/composed" ]
	forged
	prepare overlay
	[ -e "$run/composed/rootfs/forged" ]
	prepare overlay --verity stack
	[ -d "$run/composed/rootfs" ] && [ ! -h "$run/composed" ] && [ ! -e "$run/composed/rootfs/forged" ]
}

@test "without room in the user layer they take memory, and a note says so" {
	local n
	images 1
	user_layer 16M
	mount_layers
	# What is held back for blocks not yet placed comes free when they are.
	for n in 1 2 3; do
		head -c 100M /dev/zero >>"$run/user/upper/full" 2>/dev/null || sync -f "$run/user"
	done
	[ "$(stat -f -c %a "$run/user")" -eq 0 ]
	works mlimg-agent prepare --root "$run" --union overlay "${asked[@]}" --user "$tenant"
	same "note" "the user layer has no room for the composed databases: they take memory" "$(jq -r '.notes[0]' "$run/boot.json")"
	[ -d "$run/composed/rootfs" ] && [ ! -h "$run/composed" ]
	same "left" "" "$(find "$run/user/mlimg" -name 'composed*')"
	cmp <(sort 1/var/lib/dpkg/status) <(sort "$run/composed/rootfs/var/lib/dpkg/status")
}

@test "unionfs-fuse shows what overlay shows of them" {
	images 2
	user_layer 16M
	mount_layers
	prepare overlay
	up
	shown | sed -E 's/ tags=.*//' >overlay.list
	umount "$root"
	prepare unionfs --mode volatile
	mlimg-agent unionfs --root "$run" --mode volatile "$root"
	shown | sed -E 's/ tags=.*//' | diff overlay.list -
	echo 'more' >>"$root/var/lib/dpkg/arch"
	same "changed" more "$(tail -n 1 "$root/var/lib/dpkg/arch")"
}

@test "a patched system's databases are composed as the new system's" {
	images 1
	cp -a 0 new
	package zz 9 >>new/var/lib/dpkg/status
	mv new/var/lib/dpkg/arch new/var/lib/dpkg/triggers/t1
	echo s390x >new/var/lib/dpkg/arch
	mlimg-mkfs --quiet --kind system --name l0 --version 2 new new.img
	mlimg-mkfs --quiet --kind patch --base 0.img new.img patch.img
	user_layer 16M
	mount_layers
	umount "$run/layers/0"
	mount -o ro,noload,loop new.img "$run/layers/0"
	mlimg-agent prepare --root "$run" --union overlay --system "$(mlimg-inspect --json new.img | jq -r .build_id)" "${asked[@]:2}" --user "$tenant"
	treelist "$run/composed/rootfs" >new.list
	grep -q zz "$run/composed/rootfs/var/lib/dpkg/status"
	mv "$run/layers/1" "$run/layers/2" 2>/dev/null || {
		umount "$run/layers/1" && mkdir "$run/layers/2" && mount -o ro,noload,loop 1.img "$run/layers/2"
	}
	umount "$run/layers/0"
	mount -o ro,noload,loop 0.img "$run/layers/0"
	mount -o ro,noload,loop patch.img "$run/layers/1"
	mkdir -p "$run/system"
	mount -t overlay -o "ro,metacopy=on,redirect_dir=follow,lowerdir=$run/layers/1/rootfs:$run/layers/0/rootfs" overlay "$run/system"
	rm -r "$run/user/mlimg"/composed.*
	mlimg-agent prepare --root "$run" --union overlay "${asked[@]:0:2}" --patch "$(mlimg-inspect --json patch.img | jq -r .build_id)" "${asked[@]:2}" \
		--user "$tenant" --mode volatile
	treelist "$run/composed/rootfs" | diff new.list -
}

# editor TREE NAME PRIORITY: a package with one more choice
editor() {
	package "$2" 1 >>"$1/var/lib/dpkg/status"
	: >"$1/usr/bin/$2"
	update-alternatives --quiet --root "$PWD/$1" --log /dev/null --install /usr/bin/editor editor "/usr/bin/$2" "$3"
}

@test "groups of alternatives have the choices of all layers, and the best one's link, through each driver" {
	local driver
	need command update-alternatives
	mkdir -p 0/usr/bin 0/etc/alternatives 0/var/lib/dpkg/alternatives
	editor 0 nano 40
	cp -a 0 1
	cp -a 0 2
	mlimg-mkfs --quiet --kind system --name l0 --version 1 0 0.img
	editor 1 emacs 60
	editor 2 vim 50
	mlimg-mkfs --quiet --kind software --name l1 --version 1 --over 0.img 1 1.img
	mlimg-mkfs --quiet --kind software --name l2 --version 1 --over 0.img 2 2.img
	editor 1 vim 50
	for i in 0 1 2; do asked+=("$([ $i = 0 ] && echo --system || echo --software)" "$(mlimg-inspect --json "$i.img" | jq -r .build_id)"); done
	n=2
	mlimg-index -q -o x.img [0-2].img
	mkdir "$run/index"
	for driver in overlay index unionfs; do
		user_layer 16M
		if [ $driver = index ]; then mount-index x.img "$run/index" [0-2].img; else mount_layers; fi
		prepare $driver
		case $driver in
			overlay) up ;;
			index) mount -t overlay -o "ro,lowerdir=$run/user/upper:$run/index/rootfs" overlay "$root" ;;
			unionfs) mlimg-agent unionfs --root "$run" --mode normal "$root" ;;
		esac
		cmp 1/var/lib/dpkg/alternatives/editor "$root/var/lib/dpkg/alternatives/editor"
		same "link, $driver" /usr/bin/emacs "$(readlink "$root/etc/alternatives/editor")"
		umount "$root"
		umount "$run"/layers/* "$run/index" 2>/dev/null || true
		umount "$run/user"
	done
}

# account LAYER NAME ID: a user with a group and files of its own
account() {
	local long=$1/var/lib/$2/$2-of-a-name-that-is-longer-than-those-of-databases/$2-of-a-name-that-is-longer-than-those-of-databases
	echo "$2:x:$3:$3::/var/lib/$2:/usr/sbin/nologin" >>"$1/etc/passwd"
	echo "$2:!:19000::::::" >>"$1/etc/shadow"
	echo "$2:x:$3:" >>"$1/etc/group"
	sed -i "s/^ssl:.*/&,$2/; s/:,/:/" "$1/etc/group"
	mkdir -p "$long" "$1/var/lib/$2/shared"
	echo "$2" >"$long/file"
	echo root >"$1/var/lib/$2/root"
	ln -s file "$long/link"
	chown -hR "$3:$3" "$1/var/lib/$2"
	setfacl -m "u:$3:rw" "$long/file"
	chown 0:0 "$1/var/lib/$2/root"
	touch -h -d @1600000000 "$long/file" "$long"
}

@test "two layers that gave one id to different users show both, each with its own files" {
	local driver
	mkdir -p 0/etc 0/usr 0/var/lib
	echo root:x:0:0::/root:/bin/sh >0/etc/passwd
	echo 'root:*:19000::::::' >0/etc/shadow
	printf 'root:x:0:\nssl:x:9:\n' >0/etc/group
	seq 30 | sed 's|^|0/usr/|' | xargs touch
	mlimg-mkfs --quiet --kind system --name l0 --version 1 0 0.img
	asked=(--system "$(mlimg-inspect --json 0.img | jq -r .build_id)")
	for i in 1 2 3; do cp -a 0 "$i"; done
	account 1 db 105
	account 2 web 105
	mlimg-mkfs --quiet --kind software --name l1 --version 1 --over 0.img 1 1.img
	mlimg-mkfs --quiet --kind software --name l2 --version 1 --over 0.img 2 2.img
	# The third knows the second, and has more files of that user.
	rm -r 3 && cp -a 2 3
	account 3 more 106
	echo own >3/var/lib/web/own
	chown 105:105 3/var/lib/web/own
	mlimg-mkfs --quiet --kind software --name l3 --version 1 --over 0.img,2.img 3 3.img
	for i in 1 2 3; do asked+=(--software "$(mlimg-inspect --json "$i.img" | jq -r .build_id)"); done
	n=3
	fails 3 "mlimg-mkfs: 'etc/group' cannot be kept as records (rule accounts): layer 'l2': its user id 105 is another one's in a layer beneath that it was not made over" \
		mlimg-mkfs --kind software --name x --over 0.img,1.img,2.img --partial 3 x.img
	mlimg-index -q -o x.img [0-3].img
	mkdir "$run/index"
	for driver in overlay index unionfs; do
		user_layer 16M
		case $driver in
			index)
				mount-index x.img "$run/index" [0-3].img
				mount -t overlay -o "ro,lowerdir=$run/user/upper:$run/index/rootfs" overlay "$root"
				;;
			*)
				mount_layers
				prepare "$driver"
				if [ "$driver" = overlay ]; then up; else mlimg-agent unionfs --root "$run" --mode normal "$root"; fi
				;;
		esac
		same "$driver: users" 'root 0 0
db 105 105
web 999 999
more 106 106' "$(awk -F: '{ print $1, $3, $4 }' "$root/etc/passwd")"
		same "$driver: groups" $'root:x:0:\nssl:x:9:db,web,more\ndb:x:105:\nweb:x:999:\nmore:x:106:' "$(cat "$root/etc/group")"
		same "$driver: passwords" "root db web more" "$(cut -d: -f1 "$root/etc/shadow" | xargs)"
		for i in db:105 web:999 more:106; do
			same "$driver: whose are the files of $i" "${i#*:} ${i#*:}" \
				"$(find "$root/var/lib/${i%:*}" ! -name root ! -type l -printf '%U %G\n' | sort -u)"
			same "$driver: root's" "0 0" "$(stat -c '%u %g' "$root/var/lib/${i%:*}/root")"
			file=$(find "$root/var/lib/${i%:*}" -name file)
			same "$driver: contents" "${i%:*}" "$(cat "$file")"
			same "$driver: times" "1600000000 1600000000" "$(stat -c %Y "$file" "$(dirname "$file")" | xargs)"
			[ "$driver" = unionfs ] || same "$driver: ACL" "user:${i#*:}:rw-" "$(getfacl -nc "$file" 2>/dev/null | grep 'user:[0-9]')"
		done
		umount "$root"
		umount "$run"/layers/* "$run/index" 2>/dev/null || :
		umount "$run/user" || umount -l "$run/user"
	done
}
