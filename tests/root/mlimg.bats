#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg over what the kernel's overlayfs has written, and on the merged root.
load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/share/old/deep,usr/share/doc,usr/bin,var} "$DIR/software"/{etc,usr/share/old}
	local file
	for file in etc/hosts etc/mode etc/conf.d/part usr/share/old/x usr/share/old/deep/y usr/share/doc/doc usr/bin/tool; do
		echo "$file of system" >"$DIR/system/$file"
	done
	ln -s hosts "$DIR/system/etc/link"
	mkfifo "$DIR/system/var/fifo"
	echo "of software" >"$DIR/software/usr/share/old/z"
	echo "of software" >"$DIR/software/etc/hosts"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
	mlimg_boot
}

# user COMMANDS: beside the merged root, with mlimg as the function m; what they print is left in $output.
user() {
	works unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=$1/software:$1/system,upperdir=$2/upper,workdir=$2/work,redirect_dir=on,index=off,metacopy=off" "$1/merged"
		cd "$1"
		root=$3
		m() { mlimg --root "$root" --merged "$PWD/merged" "$@"; }
		'"$1" sh "$DIR" "$USER_DIR" "$RUN"
}

@test "mlimg diff: what overlayfs writes" {
	user 'cd merged
		echo mine >etc/hosts
		chmod 0600 etc/mode
		: >>etc/conf.d/part
		rm usr/bin/tool
		mv usr/share/old usr/share/moved
		echo mine >usr/share/moved/x
		echo mine >usr/share/moved/own
		mv usr/share/moved/deep usr/share/moved/deeper
		echo mine >usr/share/moved/deeper/y
		rm -r usr/share/doc
		mkdir usr/share/doc usr/share/doc/fresh
		rm etc/link
		ln -s conf.d etc/link'
	works "${MLIMG[@]}" diff
	same "diff" "same       /etc/conf.d/part  (over system debian 12.1)
changed    /etc/hosts  (over software nginx 1.0)
changed    /etc/link  (over system debian 12.1)
attributes /etc/mode  (mode 0600, was 0644; over system debian 12.1)
deleted    /usr/bin/tool  (of system debian 12.1)
opaque     /usr/share/doc  (over system debian 12.1)
added      /usr/share/doc/fresh
renamed    /usr/share/moved  (from /usr/share/old)
deleted    /usr/share/moved/deep  (of system debian 12.1)
renamed    /usr/share/moved/deeper  (from /usr/share/old/deep)
changed    /usr/share/moved/deeper/y  (over system debian 12.1)
added      /usr/share/moved/own
changed    /usr/share/moved/x  (over system debian 12.1)
deleted    /usr/share/old  (of software nginx 1.0)" "$output"
	works "${MLIMG[@]}" diff -u /usr/share/moved/deeper
	same "text" "changed    /usr/share/moved/deeper/y  (over system debian 12.1)
--- /usr/share/old/deep/y	system debian 12.1
+++ /usr/share/moved/deeper/y	yours
@@ -1 +1 @@
-usr/share/old/deep/y of system
+mine" "$(tail -n +2 <<<"$output")"
}
