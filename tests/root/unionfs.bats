#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Layers and user layers under unionfs-fuse, beside what the kernel's overlayfs shows of them; and user layers that go from one to the other.

load ../lib/common

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	run=$BATS_TEST_TMPDIR/run root=$BATS_TEST_TMPDIR/root
}

teardown() {
	local dir
	for dir in "$root" "$run/user"; do
		! mountpoint -q "$dir" || umount "$dir" || umount -l "$dir"
	done
}

@test "unionfs-fuse shows what overlayfs shows of the same random layers, entry by entry" {
	need root
	c_case "$MLIMG_BUILD/tests/lib/overlay-model" unionfs_equals_overlayfs
}

# layers TREE…: run/layers of these, bottom first, and an empty user layer on a file system of its own at run/user; asked: prepare's options.
layers() {
	local tree n=0 kind=system
	asked=()
	mkdir -p "$run/user" "$root" empty
	for tree in "$@"; do
		mkdir -p "$run/layers/$n"
		ln -s "$PWD/$tree" "$run/layers/$n/rootfs"
		asked+=("--$kind" "$(layerdir "$kind" "l$n" 1 "$tree" "$run/layers/$n")")
		n=$((n + 1)) kind=software
	done
	mlimg-mkfs --quiet --kind user --name alice --size 64M user.img
	asked+=(--user "$(mlimg-inspect --json user.img | jq -r .build_id)")
	mount -o loop user.img "$run/user"
}

# up DRIVER [OPTION]: the union at root, as a boot makes it
up() {
	local n lowers=''
	mlimg-agent prepare --root "$run" --union "$1" "${asked[@]}"
	if [ "$1" = unionfs ]; then
		mlimg-agent unionfs --root "$run" "$root"
	else
		for n in "$run"/layers/*; do lowers=$n/rootfs${lowers:+:$lowers}; done
		mount -t overlay -o "index=off,metacopy=off,xino=auto,${2:-redirect_dir=on},lowerdir=$lowers,upperdir=$run/user/upper,workdir=$run/user/work" \
			overlay "$root"
	fi
	mlimg-agent commit --root "$run"
}

down() {
	local try
	umount "$root"
	# unionfs-fuse ends a moment after its mount.
	for ((try = 0; try < 50; try++)); do
		[ -n "$(pgrep -f "^@unionfs .* $root\$")" ] || return 0
		sleep 0.1
	done
}

# shown: what the root shows. What unionfs-fuse does not show, or shows otherwise, is left out: xattrs, and that names are of one file.
shown() {
	treelist "$root" | sed -E 's/ tags=.*//'
}

# upper: what lies in the user layer, times of marks left out: nobody sees them. unionfs-fuse's directory has none that anybody would see either.
upper() {
	treelist "$run/user" | grep -v -e '^\./lost+found' -e '^\./work' -e '^\./mlimg' |
		sed -E '/device=native,0,0|_HIDDEN~|\.unionfs-fuse/s/ time=[^ ]*//'
	jq -r .union "$run/user/mlimg/state.json"
	ls -A "$run/user/mlimg"
}

convert() {
	mlimg-agent convert --to "$1" "$run/user" >/dev/null
}

@test "names of different layers have different inode numbers, so that cp does not take them for one file" {
	need root
	mkdir one two three
	echo one >one/a
	echo two >two/b
	layers one two
	up unionfs
	cp "$root/a" "$root/b"
	same "copied" one "$(cat "$root/b")"
	same "numbers" "" "$(find "$root" -mindepth 1 -printf '%i\n' | sort | uniq -d)"
	down
}

@test "a directory over a symbolic link to one does not show what is in that" {
	need root
	mkdir -p one/dir one/real two/dir three/dir
	rmdir one/dir
	ln -s real one/dir
	echo x >one/real/x
	echo y >three/dir/y
	layers one two three
	up unionfs
	same "in the directory" y "$(ls "$root/dir")"
	fails 1 "cat: $root/dir/x: No such file or directory" cat "$root/dir/x"
	down
}

@test "what unionfs-fuse cannot hide, or would take for its own, is refused and named" {
	need root
	local long
	long=$(printf 'x%.0s' {1..248})
	mkdir -p one two
	touch "one/$long"
	mknod "two/$long" c 0 0
	layers one two
	fails 3 "mlimg-agent: $run: layers/1: '$long': unionfs-fuse cannot hide a name of more than 247 bytes" \
		mlimg-agent prepare --root "$run" --union unionfs "${asked[@]}"
	umount "$run/user"
	rm -r "$run" two user.img
	mkdir -p two/.unionfs-fuse
	layers one two
	fails 3 "mlimg-agent: $run: layers/1: layer 'l1' has /.unionfs-fuse, which unionfs-fuse would take for its own" \
		mlimg-agent prepare --root "$run" --union unionfs "${asked[@]}"
}

@test "random changes through overlayfs, converted, show under unionfs-fuse; and changes through that, converted back, under overlayfs" {
	need root
	local seed=${MLIMG_SEED:-$(date +%N)} round i
	echo "MLIMG_SEED=$seed"
	for ((round = 0; round < ${MLIMG_TREES:-3}; round++)); do
		for i in 0 1 2; do
			randtree $((10#$seed + 10 * round + i)) 120 "tree$i"
			mkdir -p "tree$i/both/deep" "tree$i/both/of-$i"
			echo "$i" | tee "tree$i/both/top" "tree$i/both/deep/$i" >/dev/null
			# Sockets cannot be copied up by unionfs-fuse, the longest names cannot be hidden.
			find "tree$i" -type s -delete
			LC_ALL=C find "tree$i" -depth -regextype posix-extended -regex '.*/[^/]{248,}' -exec rm -r {} +
		done
		layers tree0 tree1 tree2
		# Renamed directories of layers have no form there; without redirects they cannot be renamed.
		up overlay redirect_dir=nofollow
		randops $((10#$seed + round)) 80 "$root"
		rm -rf "$root/both/deep"
		mkdir "$root/both/deep"
		shown >wanted
		down
		convert unionfs
		same "union" unionfs "$(jq -r .union "$run/user/mlimg/state.json")"
		same "marks of overlayfs left" "" "$(
			find "$run/user/upper" -type c -exec stat -c '%t:%T %n' {} + | grep '^0:0 ' || true
			getfattr -hdR -m trusted.overlay --absolute-names "$run/user/upper"
		)"
		up unionfs
		shown >found
		diff wanted found
		randops $((10#$seed + round + 1000)) 60 "$root" 2>/dev/null
		rm -rf "$root/both/of-1"
		down
		up unionfs # attributes are remembered for a second
		shown >wanted
		down
		convert overlay
		same "marks of unionfs-fuse left" "" "$(find "$run/user/upper" -name '*_HIDDEN~' -o -name .unionfs-fuse)"
		up overlay
		shown >found
		diff wanted found
		down
		umount "$run/user"
		e2fsck -fn user.img >/dev/null
		rm -rf run tree? user.img
	done
}

# marked: a user layer with every kind of mark, written by overlayfs.
marked() {
	local i
	mkdir -p one/{a,b,c,d}/e/f two/a/e
	for i in a b c d; do echo $i | tee one/$i/1 one/$i/2 one/$i/e/3 one/$i/e/f/4 >/dev/null; done
	chmod 0700 one/c/e
	chown 12:34 one/c/e
	setfattr -n user.x -v y one/c/e
	touch -d @1000000000.5 one/*/* one/* two/* two
	layers one two
	up overlay
	(
		cd "$root"
		rm a/1 b/e/f/4 c/e/f/4
		rm -r b/e d && mkdir d && echo mine >d/mine
		echo mine >>a/2
		chmod 0711 a/e
		mkdir new && rm -r c/e/f
		ln a/2 new/linked
		touch -d @1100000000.25 a c/e d
	)
	shown >before
	down
}

# stopped_everywhere TO: stopped before each of its steps and begun again, the conversion ends as it does otherwise.
stopped_everywhere() {
	local n said
	umount "$run/user"
	cp user.img before.img
	mount -o loop user.img "$run/user"
	convert "$1"
	upper >wanted
	umount "$run/user"
	for ((n = 0; ; n++)); do
		cp before.img user.img
		mount -o loop user.img "$run/user"
		said=$(convert-model "$run/user" "$1" "$n")
		[ -z "$said" ] || break
		# But for the plan's first moment a boot is refused by either driver.
		if [ -e "$run/user/mlimg/convert.plan" ]; then
			fails 3 "mlimg-agent: $run: user: a conversion of the user layer 'alice' for another union driver was interrupted; boot with mlimg.convert, which ends it" \
				mlimg-agent prepare --root "$run" --union "$1" "${asked[@]}"
		fi
		convert "$1"
		upper >found
		diff wanted found || {
			echo "stopped before step $n" >&2
			return 1
		}
		umount "$run/user"
	done
	[ "$n" -gt 20 ]
	echo "$n steps"
}

@test "a conversion that is stopped at any step and begun again ends as one that is not" {
	need root
	marked
	stopped_everywhere unionfs
	up unionfs
	shown | diff before -
	(
		cd "$root"
		rm -r c/e && rm b/1 b/2 && rmdir b && echo file >b
		rm a/e/3
	)
	shown >before
	down
	stopped_everywhere overlay
	up overlay
	shown | diff before -
	down
}

@test "a conversion that cannot be is refused before anything is changed" {
	need root
	local now
	mkdir -p one/dir one/gone
	echo x | tee one/dir/x one/gone/y >/dev/null
	layers one
	works mlimg-agent convert --to unionfs "$run/user"
	same "output" "$run/user: the user layer is in the form of 'unionfs'; marks converted: 0" "$output"
	up overlay
	mv "$root/dir" "$root/renamed"
	rm "$root/gone/y"
	down
	now=$(upper)
	fails 3 "mlimg-agent: $run/user: '/renamed' was renamed and shows what a layer has elsewhere, for which unionfs-fuse has no form; replace it by a copy \
in the guest, and convert then: cp -a /renamed /renamed.new && rm -r /renamed && mv /renamed.new /renamed" mlimg-agent convert --to unionfs "$run/user"
	same "upper" "$now" "$(upper)"
	convert index
	same "upper" "$now" "$(upper)"
	# The way out that the message tells.
	up overlay
	(cd "$root" && cp -a renamed renamed.new && rm -r renamed && mv renamed.new renamed)
	down
	convert unionfs
	up unionfs
	same "renamed" x "$(cat "$root/renamed/x")"
	same "gone" "" "$(ls "$root/gone")"
	[ ! -e "$root/dir" ]
	mknod "$root/device" c 0 0
	down
	now=$(upper)
	fails 3 "mlimg-agent: $run/user: '/device' is a device 0,0, which overlayfs would take for a whiteout: remove it first" \
		mlimg-agent convert --to overlay "$run/user"
	same "upper" "$now" "$(upper)"
	umount "$run/user"
	fails 3 "mlimg-mkfs: '.unionfs-fuse': unionfs-fuse wrote this upper: convert the user layer (mlimg-agent convert), or take its upper with --form unionfs" \
		mlimg-mkfs --kind software --name x "$PWD/user.img" x.img
	mount -o loop user.img "$run/user"
	rm "$run/user/upper/device" "$run/user/mlimg/state.json"
	fails 3 "mlimg-agent: $run/user: mlimg/state.json is missing, which would tell what driver wrote upper; restore it, or boot once with that driver" \
		mlimg-agent convert --to overlay "$run/user"
	local hint="
Try 'mlimg-agent --help' for more information."
	fails 2 "mlimg-agent: convert: --to is missing$hint" mlimg-agent convert "$run/user"
	fails 2 "mlimg-agent: convert: no union driver 'aufs' (there are: index, overlay, unionfs)$hint" mlimg-agent convert --to aufs "$run/user"
	fails 2 "mlimg-agent: convert: the directory of one mounted user layer is wanted$hint" mlimg-agent convert --to overlay
	fails 3 "mlimg-agent: $run/layers/0: it is the system layer 'l0', not a user layer" mlimg-agent convert --to overlay "$run/layers/0"
	fails 2 "mlimg-agent: unionfs: --root is missing$hint" mlimg-agent unionfs "$root"
	fails 2 "mlimg-agent: unionfs: one mount point is wanted$hint" mlimg-agent unionfs --root "$run"
}

@test "what is queued is done at once beneath unionfs-fuse, and shows" {
	need root
	local name
	mkdir -p tree/etc/dir tree/etc/gone.d
	for name in conf gone dir/theirs gone.d/x; do
		echo "layer $name" >"tree/etc/$name"
	done
	layers tree
	up unionfs
	echo mine >"$root/etc/conf"
	rm -r "$root"/etc/{gone,gone.d,dir}
	mkdir "$root/etc/dir"
	echo mine >"$root/etc/dir/mine"
	# The kernel remembers what was looked up.
	[ "$(cat "$root/etc/conf")" = mine ]
	[ ! -e "$root/etc/gone" ]
	[ ! -e "$root/etc/gone.d/x" ]
	[ ! -e "$root/etc/dir/theirs" ]
	printf '%s\0' etc/gone etc/gone.d | mkqueue --live restore "$run/user"
	printf 'etc/dir\0' | mkqueue --live transparent "$run/user"
	printf 'etc/conf\0' | mkqueue --live reset "$run/user"
	same "what shows" "layer conf;layer gone;layer gone.d/x;layer dir/theirs;mine;" \
		"$(cd "$root/etc" && cat conf gone gone.d/x dir/theirs dir/mine | tr '\n' ';')"
	same "aside" mine "$(cat "$run/user/mlimg/aside/queue-3/etc/conf")"
	echo again >"$root/etc/conf"
	same "upper" again "$(cat "$run/user/upper/etc/conf")"
	down
}

# layer_id SOURCE: of the software layer that is made of it.
layer_id() {
	mlimg-mkfs --quiet --force --kind software --name mine "$1" mine.img && mlimg-inspect --json mine.img | jq -r .build_id
}

@test "mlimg export --dir into a root of unionfs-fuse gives the layer that a tar gives" {
	need root
	local wanted name
	mkdir -p tree/etc/{dir,gone.d,kept.d} tree/usr/bin
	for name in etc/{conf,gone,mode,dir/theirs,gone.d/x,kept.d/x,kept.d/y} usr/bin/tool; do
		echo "layer $name" >"tree/$name"
	done
	chmod 0750 tree/etc/kept.d
	layers tree
	up unionfs
	echo mine >"$root/etc/conf"
	chmod 0600 "$root/etc/mode"
	rm -r "$root"/etc/{gone,gone.d,dir} "$root/etc/kept.d/x" "$root/usr/bin/tool"
	mkdir -p "$root/etc/dir" "$root/srv/deep"
	echo mine | tee "$root/etc/dir/mine" "$root/srv/deep/a name" >/dev/null
	ln -s nowhere "$root/srv/link"
	truncate -s 3M "$root/srv/holes"
	mlimg --root "$run" --merged "$root" export out.tar
	mlimg --root "$run" --merged "$root" export --dir "$root/mine"
	wanted=$(layer_id out.tar)
	same "the layer of the directory, in the root" "$wanted" "$(layer_id "$root/mine")"
	same "what was deleted" "etc/dir_HIDDEN~ etc/gone.d_HIDDEN~ etc/gone_HIDDEN~ etc/kept.d/x_HIDDEN~ usr/bin/tool_HIDDEN~" \
		"$(cd "$root/mine/.unionfs-fuse" && find . -name '*_HIDDEN~' -printf '%P\n' | sort | xargs)"
	down
	same "the layer of the directory, in the upper" "$wanted" "$(layer_id "$run/user/upper/mine")"
	same "what is in it" "etc/conf etc/dir/mine etc/gone etc/gone.d etc/kept.d/x etc/mode srv/deep/a name srv/holes srv/link usr/bin/tool" \
		"$(tar -tf out.tar | grep -v '/$' | sort | xargs)"
	# The branch lacks it.
	same "a directory in which something was deleted" "drwxr-x---" "$(tar -tvf out.tar etc/kept.d | awk '$NF == "etc/kept.d/" { print $1 }')"
}
