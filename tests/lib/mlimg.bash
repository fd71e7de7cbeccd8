# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For tests of mlimg over directories in place of mounted layers. Sourced after common.

# mlimg_setup: in the directory $DIR the system debian 12.1 ($DIR/system) and the software nginx 1.0 ($DIR/software), and a user, alice.
mlimg_setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	USER_DIR=$RUN/user
	UPPER=$USER_DIR/upper
	# For the tests.
	# shellcheck disable=SC2034
	MLIMG=(mlimg --root "$RUN" --merged "$DIR/merged")
	mkdir -p "$RUN/layers" "$UPPER" "$USER_DIR/work" "$DIR"/{system,software,empty,merged}
}

# mlimg_boot [OPTION…]: prepare and commit over what is in these trees now; OPTIONs are prepare's.
mlimg_boot() {
	local ids
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	ids=("$(layerdir system debian "${SYSTEM_VERSION:-12.1}" "$DIR/system" "$RUN/layers/0")")
	ids+=("$(layerdir software nginx 1.0 "$DIR/software" "$RUN/layers/1" "${ids[0]}")")
	ln -s "$DIR/system" "$RUN/layers/0/rootfs"
	ln -s "$DIR/software" "$RUN/layers/1/rootfs"
	[ -n "${TENANT:-}" ] || TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
	works mlimg-agent prepare --root "$RUN" --union "${UNION:-overlay}" --system "${ids[0]}" --software "${ids[1]}" --user "$TENANT" "$@"
	works mlimg-agent commit --root "$RUN"
}

# mlimg_trees: mlimg_setup, and some of everything in the layers.
mlimg_trees() {
	local file
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/share/old/deep,usr/share/doc,usr/bin,var} "$DIR/software"/{etc,usr/share/old}
	for file in etc/hosts etc/mode etc/conf.d/part usr/share/old/x usr/share/old/deep/y usr/share/doc/doc usr/bin/tool; do
		echo "$file of system" >"$DIR/system/$file"
	done
	ln -s hosts "$DIR/system/etc/link"
	mkfifo "$DIR/system/var/fifo"
	echo "of software" >"$DIR/software/usr/share/old/z"
	echo "of software" >"$DIR/software/etc/hosts"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
}

# in_root COMMANDS: beside the merged root, with mlimg as the function m; what they print is left in $output.
# shellcheck disable=SC2016 # a script for another shell
in_root() {
	works unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=$1/software:$1/system,upperdir=$2/upper,workdir=$2/work,redirect_dir=on,index=off,metacopy=off" "$1/merged"
		cd "$1"
		root=$3
		m() { mlimg --root "$root" --merged "$PWD/merged" "$@"; }
		'"$1" sh "$DIR" "$USER_DIR" "$RUN"
}
