# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Tenants of a store that have run on a system, without guests: mlimg-agent prepares their disks on loop devices. Load it behind common, images and
# tenants; as root. $S is the store, $DIR a directory of the test's own.

# What of a system is random: one part of each class that files may be of.
UPGRADE_PARTS=(srv etc/random usr/share/random)

# A name that a page would obey if it were put there as it is.
UPGRADE_HOSTILE='<img src=x onerror=alert(1)>&amp;'

# upgrade_trees SEED: v1 and v2 in the current directory: random trees with what systems have, v2 made of v1; and images of them.
upgrade_trees() {
	local v part
	mkdir -p v1/etc v1/usr/bin v1/usr/share v1/home v1/var/lib/dpkg/info v1/var/lib/dpkg/alternatives
	for part in "${UPGRADE_PARTS[@]}"; do randtree "$(($1 + ${#part}))" 50 "v1/$part"; done
	for v in conf both mine same "$UPGRADE_HOSTILE"; do printf '%s one\nb\nc\nd\ne\nf\ng\n' "$v" >"v1/etc/$v"; done
	echo one >v1/usr/bin/tool
	echo gone >v1/etc/gone
	printf 'root:x:0:0::/:/bin/sh\nold:x:101:101::/:/bin/false\n' >v1/etc/passwd
	printf 'root:x:0:\nold:x:101:\n' >v1/etc/group
	printf 'Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nMaintainer: m\nDescription: d\n\n' >v1/var/lib/dpkg/status
	printf '%s\n' /. /usr /usr/bin /usr/bin/tool >v1/var/lib/dpkg/info/tool.list
	echo old >v1/home/of-old
	chown 101:101 v1/home/of-old
	cp -a v1 v2
	for part in "${UPGRADE_PARTS[@]}"; do mutate-tree "$(($1 + 1))" "v2/$part"; done
	for v in conf both "$UPGRADE_HOSTILE"; do printf '%s two\nb\nc\nd\ne\nf\ng\n' "$v" >"v2/etc/$v"; done
	rm v2/etc/gone
	printf 'mine one\nb\nc\nd\ne\nf\nG\n' >v2/etc/mine
	echo two >v2/usr/bin/tool
	mkdir -p v2/etc/mlimg/protected.d v2/usr/lib/provider
	printf '%s\n' /etc/provider '/srv/[a-h]*' '/usr/share/random/*/[n-z]*' '/usr/lib/provider/*.so' >v2/etc/mlimg/protected.d/provider.conf
	echo provider | tee v2/etc/provider >v2/usr/lib/provider/lib.so
	echo old >v2/home/of-old
	chown 105:105 v2/home/of-old
	printf 'root:x:0:0::/:/bin/sh\nold:x:105:105::/:/bin/false\nnew:x:102:102::/:/bin/false\n' >v2/etc/passwd
	printf 'root:x:0:\nold:x:105:\nnew:x:102:\n' >v2/etc/group
	printf 'Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 2\nMaintainer: m\nDescription: d\n\n' >v2/var/lib/dpkg/status
	printf '%s\n' /. /usr /usr/bin /usr/bin/tool >v2/var/lib/dpkg/info/tool.list
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 v1 v1.img
	mlimg-mkfs --quiet --kind system --name debian --version 12.2 v2 v2.img
}

# upgrade_user: what a user does, in the merged root, the current directory.
upgrade_user() {
	local part
	for part in "${UPGRADE_PARTS[@]}"; do mutate-tree "$1" "$part"; done
	printf 'mine ONE\nb\nc\nd\ne\nf\ng\n' >etc/mine
	printf 'both THREE\nb\nc\nd\ne\nf\ng\n' >etc/both
	printf 'mine\n' >"etc/$UPGRADE_HOSTILE"
	touch etc/conf
	echo changed >etc/gone
	echo mine >usr/bin/tool
	mkdir -p usr/share/info
	echo "a list by hand" >usr/share/info/dir
	echo "glibc-ld.so.cache1.1 of a program" >etc/ld.so.cache
	mkdir -p usr/lib/provider
	echo mine | tee etc/provider usr/lib/provider/mine >usr/lib/provider/mine.so
	echo mine >home/file
	chown 102:102 home/file
	echo mine >home/as-old
	chown 101:101 home/as-old
	printf 'root:x:0:0::/:/bin/sh\nold:x:101:101::/:/bin/false\nuser:x:102:102::/:/bin/sh\n' >etc/passwd
	printf 'root:x:0:\nold:x:101:\nuser:x:102:\n' >etc/group
	printf 'Package: own\nStatus: install ok installed\nArchitecture: all\nDepends: tool (= 1)\nVersion: 1\nMaintainer: m\nDescription: d\n\n' >>var/lib/dpkg/status
	: >var/lib/dpkg/info/own.list
}

# upgrade_queue SEED: what that user, mounted at $DIR/run/user, has queued: a part of what his upper has, and things that there are not.
upgrade_queue() {
	local path
	RANDOM=$(($1 % 32768))
	while IFS= read -r -d '' path; do
		[ $((RANDOM % 6)) -ne 0 ] || printf '%s\0' "$path"
	done < <(cd "$DIR/run/user/upper" && find "${UPGRADE_PARTS[@]}" -print0 2>/dev/null | LC_ALL=C sort -z) >"$DIR/queued"
	printf '%s\0' etc/none etc/mine >>"$DIR/queued"
	mkqueue reset "$DIR/run/user/mlimg" <"$DIR/queued"
}

# disk_in NAME: its disk, mounted at $DIR/run/user. disk_out NAME: and back, as qcow2.
disk_in() {
	mkdir -p "$DIR/run/layers" "$DIR/run/user"
	qemu-img convert -f qcow2 -O raw "$(tenant_disk "$1")" "$DIR/$1.raw" && mount -o loop,nosuid,nodev "$DIR/$1.raw" "$DIR/run/user"
}

# Frozen, its journal is empty even where a name space of somebody else's has it mounted for another moment.
disk_out() {
	fsfreeze -f "$DIR/run/user" && qemu-img convert -f raw -O qcow2 "$DIR/$1.raw" "$DIR/$1.qcow2" || return
	fsfreeze -u "$DIR/run/user" && umount "$DIR/run/user" && cat "$DIR/$1.qcow2" >"$(tenant_disk "$1")" || return
	rm -f "$DIR/$1.raw" "$DIR/$1.qcow2"
}

# disk_prepare IMAGE [SOFTWARE-IMAGE…]: boots what is mounted on these layers, as far as the agent does.
disk_prepare() {
	local image i=0 options=()
	for image; do
		mkdir -p "$DIR/run/layers/$i"
		mount -o loop,ro,noload "$image" "$DIR/run/layers/$i" || return
		options+=("$([ $i = 0 ] && echo --system || echo --software)" "$(jq -r .build_id "$DIR/run/layers/$i/mlimg/layer.json")")
		i=$((i + 1))
	done
	mlimg-agent prepare --root "$DIR/run" --union overlay "${options[@]}" --user "$(jq -r .build_id "$DIR/run/user/mlimg/layer.json")" >"$DIR/said" &&
		mlimg-agent commit --root "$DIR/run"
}

# disk_release: the layers again.
disk_release() {
	local dir
	for dir in "$DIR"/run/layers/[0-9]; do
		[ ! -d "$dir" ] || { umount -q "$dir" && rmdir "$dir"; }
	done
	rm -f "$DIR/run/composed"
}

# disk_use COMMAND…: in the merged root of what is mounted, as overlayfs shows it on what was prepared.
disk_use() {
	local lower='' dir
	for dir in "$DIR"/run/layers/[0-9]; do lower=$dir/rootfs${lower:+:$lower}; done
	[ ! -e "$DIR/run/composed" ] || lower=$DIR/run/composed/rootfs:$lower
	mkdir -p "$DIR/merged"
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=$DIR/run/user/upper,workdir=$DIR/run/user/work,redirect_dir=on,index=off,metacopy=off,xino=auto" "$DIR/merged" || return
	(cd "$DIR/merged" && "$@")
	umount "$DIR/merged"
}
