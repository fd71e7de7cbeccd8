# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Two versions of a system as directories in place of mounted layers, and a user layer that mlimg-agent prepares on them. With agent.bash.

stacks_setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	USER_DIR=$RUN/user
	UPPER=$USER_DIR/upper
	PREPARE=(mlimg-agent prepare)
	OPTIONS=(--union overlay)
	mkdir -p "$RUN/layers" "$UPPER/etc" "$UPPER/usr/bin" "$USER_DIR/work" "$DIR"/{v1,v2}/{etc,usr/bin,var} "$DIR/empty"
	local file
	for file in stale conf both; do
		printf '%s one\nb\nc\nd\ne\n' $file >"$DIR/v1/etc/$file"
		printf '%s two\nb\nc\nd\ne\n' $file >"$DIR/v2/etc/$file"
	done
	echo program 1 >"$DIR/v1/usr/bin/program"
	echo program 2 >"$DIR/v2/usr/bin/program"
	echo gone >"$DIR/v1/etc/gone"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
}

# stack VERSION: what prepare finds mounted; its build id is $id.
stack() {
	id=$V1
	[ "$1" = v1 ] || id=$V2
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-$1" "$RUN/layers/0"
	ln -s "$DIR/$1" "$RUN/layers/0/rootfs"
}

# on VERSION OPTION…: prepare on that system; commit too.
on() {
	local id
	stack "$1"
	shift
	works "${PREPARE[@]}" --root "$RUN" "${OPTIONS[@]}" --system "$id" --user "$TENANT" "$@"
	# shellcheck disable=SC2154,SC2034 # works sets the one, and a test looks at the other
	said=$output
	commit
}

# layers: V1 and V2 of v1/ and v2/ as they are now
layers() {
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
}

# stanza NAME VERSION
stanza() {
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: %s\nMaintainer: m\nDescription: d\n\n' "$1" "$2"
}

# package VERSION: a system with dpkg's database of one package, tool
packaged() {
	local dir=$DIR/$1 info
	info=$dir/var/lib/dpkg/info
	mkdir -p "$info" "$dir/usr/share/tool"
	stanza tool "$2" >"$dir/var/lib/dpkg/status"
	echo "$2" >"$dir/usr/share/tool/version"
	printf '%s\n' /. /usr /usr/share /usr/share/tool /usr/share/tool/version >"$info/tool.list"
}

# again: alice's user layer as it was when it was copied to $DIR/start.
again() {
	rm -rf "$USER_DIR"
	cp -a "$DIR/start" "$USER_DIR"
}

# user_anew [PATH]: alice's user layer as it was before she first booted, with a directory PATH in its upper.
user_anew() {
	rm -rf "$USER_DIR"
	mkdir -p "$UPPER/${1:-}" "$USER_DIR/work"
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
}

# copy PATH…: of v2, into the upper, as overlayfs copies what is opened for writing
copy() {
	local path time
	time=$(stat -c %.Y "$UPPER")
	for path; do
		(cd "$DIR/v2" && cp -a --parents "$path" "$UPPER")
	done
	touch -d "@$time" "$UPPER"
}

# hide PATH: as the driver does it
hide() {
	if [ "${OPTIONS[1]}" = unionfs ]; then
		mkdir -p "$UPPER/.unionfs-fuse/$(dirname "$1")"
		: >"$UPPER/.unionfs-fuse/$1_HIDDEN~"
	else
		mkdir -p "$UPPER/$(dirname "$1")"
		mknod "$UPPER/$1" c 0 0
	fi
}

# upper: what is in it, but for directories of marks
upper() {
	(cd "$UPPER" && find . -mindepth 1 ! \( -path './.unionfs-fuse*' -type d \) -printf '%P\n' | sort | xargs)
}

# packages_of_stacks: both have a package, gone, besides
packages_of_stacks() {
	local i
	packaged v1 1
	packaged v2 2
	for i in 1 2; do
		mkdir -p "$DIR/v$i/usr/share/gone"
		stanza gone $i >>"$DIR/v$i/var/lib/dpkg/status"
		echo $i >"$DIR/v$i/usr/share/gone/file"
		printf '%s\n' /. /usr /usr/share /usr/share/gone /usr/share/gone/file >"$DIR/v$i/var/lib/dpkg/info/gone.list"
	done
	echo only in 1 >"$DIR/v1/usr/share/gone/old"
	echo /usr/share/gone/old >>"$DIR/v1/var/lib/dpkg/info/gone.list"
	layers
}

# new_package: on v2 the user installs a package and purges another
new_package() {
	local dpkg=$UPPER/var/lib/dpkg
	mkdir -p "$dpkg/info" "$UPPER/usr/share"/{new,gone}
	{
		stanza tool 2
		stanza new 1
	} >"$dpkg/status"
	echo new >"$UPPER/usr/share/new/file"
	printf '%s\n' /. /usr /usr/share /usr/share/new /usr/share/new/file >"$dpkg/info/new.list"
	mknod "$UPPER/usr/share/gone/file" c 0 0
	mknod "$dpkg/info/gone.list" c 0 0
}

# in_guest VERSION COMMAND…: in the root that the user sees on that system, an overlay
in_guest() {
	mkdir -p "$DIR/root" "$USER_DIR/work"
	# shellcheck disable=SC2016 # for the shell that mounts
	works unshare -m sh -c 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3,redirect_dir=on" "$4" || exit
		cd "$4" && shift 4 && "$@"' sh "$DIR/$1" "$UPPER" "$USER_DIR/work" "$DIR/root" "${@:2}"
	rm -rf "$USER_DIR/work"
	mkdir "$USER_DIR/work"
}
