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

# states PATH: what why tells of it, without attributes.
states() {
	run --separate-stderr "${MLIMG[@]}" why "$1"
	same "stderr" "" "$stderr"
	sed 's/  \(file\|dir\|link\|fifo\) [0-7]* [0-9:]* *[0-9.]* *K*i*B*, [0-9-]* [0-9:]*//; /^since\|^class/d' <<<"$output"
}

@test "mlimg why: what overlayfs writes" {
	user 'cd merged
		rm usr/bin/tool
		mv usr/share/old usr/share/moved
		echo mine >usr/share/moved/x
		mv usr/share/moved/deep usr/share/moved/deeper
		rm -r usr/share/doc
		mkdir usr/share/doc
		rm etc/link
		mkdir etc/link'
	same "deleted" "/usr/bin/tool  (nothing shows there)
  deletes yours
  hidden  system debian 12.1" "$(states /usr/bin/tool)"
	same "in a renamed directory" "/usr/share/moved/x
  shows   yours
  hidden  system debian 12.1  (/usr/share/old/x)" "$(states /usr/share/moved/x)"
	same "only beneath it" "/usr/share/moved/z
  shows   software nginx 1.0  (/usr/share/old/z)" "$(states /usr/share/moved/z)"
	same "in one that was renamed in it" "/usr/share/moved/deeper/y
  shows   system debian 12.1  (/usr/share/old/deep/y)" "$(states /usr/share/moved/deeper/y)"
	same "the renamed directory" "/usr/share/moved
  shows   yours
  merges  software nginx 1.0  (/usr/share/old)
  merges  system debian 12.1  (/usr/share/old)" "$(states /usr/share/moved)"
	same "where it was" "/usr/share/old/x  (nothing shows there)
  deletes yours  (/usr/share/old)
  hidden  system debian 12.1" "$(states /usr/share/old/x)"
	same "opaque" "/usr/share/doc/doc  (nothing shows there)
  ends    yours  (/usr/share/doc)
  hidden  system debian 12.1" "$(states /usr/share/doc/doc)"
	same "replaced" "/etc/link
  shows   yours, opaque
  hidden  system debian 12.1" "$(states /etc/link)"
}

@test "mlimg why: links on the way are followed, the last is not" {
	user 'ln -s etc merged/conf; m why /conf/hosts | head -n 1; m why conf/../etc/./link/ | head -n 1'
	same "paths" "/etc/hosts
/etc/link" "$output"
}

@test "mlimg pin in the merged root" {
	user 'm pin /etc/hosts; m pin; m unpin /etc/hosts; ls -A merged/etc/mlimg/reconcile.d'
	same "output" "/etc/hosts: pinned: when the stack changes it stays as it is
/etc/hosts
/etc/hosts: no longer pinned: the next change of the stack treats it like any other" "$output"
}
