#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg over what the kernel's overlayfs has written, and on the merged root.
load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_trees
	mlimg_boot
}

teardown() {
	[ -z "${umount_later:-}" ] || umount "$umount_later"
}

@test "mlimg diff: what overlayfs writes" {
	in_root 'cd merged
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
	run "${MLIMG[@]}" why "$1"
	sed 's/  \(file\|dir\|link\|fifo\) [0-7]* [0-9:]* *[0-9.]* *K*i*B*, [0-9-]* [0-9:]*//; /^since\|^class/d' <<<"$output"
}

@test "mlimg why: what overlayfs writes" {
	in_root 'cd merged
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
	in_root 'ln -s etc merged/conf; m why /conf/hosts | head -n 1; m why conf/../etc/./link/ | head -n 1'
	same "paths" "/etc/hosts
/etc/link" "$output"
}

@test "mlimg pin in the merged root" {
	in_root 'm pin /etc/hosts; m pin; m unpin /etc/hosts; ls -A merged/etc/mlimg/reconcile.d'
	same "output" "/etc/hosts: pinned: when the stack changes it stays as it is
/etc/hosts
/etc/hosts: no longer pinned: the next change of the stack treats it like any other" "$output"
}

@test "mlimg copy-up" {
	in_root 'exec 3<merged/usr/bin/tool
		m copy-up /etc/hosts etc/link /var/fifo
		m copy-up /etc/hosts
		m --json copy-up -r usr/share
		m copy-up etc/conf.d
		cmp merged/etc/hosts software/etc/hosts
		[ "$(stat -c %Y merged/etc/hosts)" = 1600000000 ]'
	same "output" '/etc/hosts: 1 copied up (12 B)
/etc/link: 1 copied up (0 B)
/var/fifo: 1 copied up (0 B)
/etc/hosts: 0 copied up (0 B), 1 yours already
{"path":"usr/share","copied":8,"bytes":97,"already":0,"elsewhere":0}
/etc/conf.d: 1 copied up (0 B)' "$output"
	same "what is in the upper" "etc etc/conf.d etc/hosts etc/link usr usr/share usr/share/doc usr/share/doc/doc usr/share/old usr/share/old/deep usr/share/old/deep/y usr/share/old/x usr/share/old/z var var/fifo" \
		"$(cd "$UPPER" && find . -mindepth 1 -printf '%P\n' | sort | xargs)"
	works "${MLIMG[@]}" diff
	same "kinds" "same" "$(cut -d' ' -f1 <<<"$output" | sort -u)"
}

# Nothing moves while the user file system is frozen, so that the work lasts over a second on every machine.
@test "mlimg copy-up: a progress bar on a terminal, and nowhere else" {
	local n slowly
	umount_later=$USER_DIR
	truncate -s 64M "$DIR/user.img"
	mke2fs -q -t ext4 -d "$USER_DIR" -F "$DIR/user.img"
	mount -o loop "$DIR/user.img" "$USER_DIR"
	mkdir "$DIR"/system/usr/share/{one,two}
	for n in 3 4 5; do head -c "${n}M" /dev/urandom | tee "$DIR/system/usr/share/one/$n" >"$DIR/system/usr/share/two/$n"; done
	mlimg_boot
	mkdir -p "$UPPER"/usr/share/{one,two}
	slowly='slowly() {
		command="mlimg --root $root --merged $PWD/merged copy-up -r /usr/share/$1"
		fsfreeze -f run/mlimg/user
		"$2" &
		until pid=$(pgrep -fx "$command") && [ "$(ps -o state= -p "$pid")" = D ]; do sleep 0.1; done
		sleep 1.2
		fsfreeze -u run/mlimg/user
		wait $!
	}
	in_terminal() { SHELL=/bin/sh script -qefc "exec $command >told" terminal </dev/null >/dev/null; }
	in_file() { $command 2>complaint; }
	'
	in_root "${slowly}slowly one in_terminal; cat told"
	same "told" "/usr/share/one: 3 copied up (12.0 MiB), 1 yours already" "$output"
	cat -v "$DIR/terminal"
	# The first file is drawn at once; how many more are, the machine decides. In the end nothing of it is left.
	tr '\r' '\n' <"$DIR/terminal" | grep -Eqx $'\033\\[Kcopying up: 3\\.0 MiB, [0-9.]+ [KM]iB/s'
	same "how it ends" $'\033[K' "$(sed '1d; /^Script done/,$d' "$DIR/terminal" | tr '\r' '\n' | sed '/^$/d' | tail -n 1)"
	in_root "${slowly}slowly two in_file; cat complaint"
	same "without a terminal" "/usr/share/two: 3 copied up (12.0 MiB), 1 yours already" "$output"
}

@test "mlimg copy-up: a program that runs" {
	install "$(command -v sleep)" "$DIR/system/usr/bin/tool"
	in_root 'merged/usr/bin/tool 60 & pid=$!
		until read -r name </proc/$pid/comm && [ "$name" = tool ]; do sleep 0.01; done
		m copy-up usr/bin/tool
		kill $pid'
	[[ $output == "/usr/bin/tool: 1 copied up ("* ]]
	cmp "$DIR/system/usr/bin/tool" "$UPPER/usr/bin/tool"
}

@test "mlimg copy-up: other file systems, and what is not there" {
	in_root 'mkdir merged/mnt merged/mnt/fs
		mount -t tmpfs none merged/mnt/fs
		echo x >merged/mnt/fs/file
		m copy-up -r /mnt || echo "exit $?"
		m copy-up /mnt/fs/file || echo "exit $?"
		m copy-up /mnt/none 2>&1 || echo "exit $?"'
	same "output" "/mnt: 0 copied up (0 B), 1 yours already, 1 on another file system
exit 1
/mnt/fs/file: 0 copied up (0 B), 1 on another file system
exit 1
mlimg: copy up '/mnt/none': No such file or directory
exit 1" "$output"
}

@test "mlimg copy-up: what is refused, and what is lost at the end of this boot" {
	fails 1 "mlimg: the whole root: name what is to be copied up" "${MLIMG[@]}" copy-up /
	fails 1 "mlimg: the whole root: name what is to be copied up" "${MLIMG[@]}" copy-up -r /
	mkdir -p "$RUN/volatile"/{upper,work}
	mlimg_boot --mode volatile
	works unshare -m sh -euc 'mount -t overlay overlay -o "lowerdir=$1/user/upper:$2/software:$2/system,upperdir=$1/volatile/upper,workdir=$1/volatile/work" "$2/merged"
		mlimg --root "$1" --merged "$2/merged" copy-up /etc/hosts' sh "$RUN" "$DIR"
	same "volatile" "/etc/hosts: 1 copied up (12 B); it is lost at the end of this boot" "$output"
	same "copy" "of software" "$(cat "$RUN/volatile/upper/etc/hosts")"
	[ ! -e "$UPPER/etc/hosts" ]
	mlimg_boot --mode readonly
	fails 1 "mlimg: nothing can be changed in this boot" "${MLIMG[@]}" copy-up /etc/hosts
	rm -rf "$USER_DIR"
	mkdir -p "$UPPER" "$USER_DIR/work"
	TENANT=
	UNION=unionfs mlimg_boot
	mkdir "$DIR/merged/etc"
	fails 1 "mlimg: '/etc' is a directory, which unionfs-fuse cannot copy alone: --recursive copies what is in it" "${MLIMG[@]}" copy-up /etc
}

@test "mlimg with an index: whose something is say the layers' manifests" {
	local ids=()
	rm -rf "$RUN" "$USER_DIR" && mkdir -p "$RUN/index" "$UPPER/etc" "$USER_DIR/work"
	cd "$DIR"
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 system system.img
	mlimg-mkfs --quiet --kind software --name nginx --version 1.0 --over system.img --partial software software.img
	mlimg-index -q -o x.idx system.img software.img
	ids=("$(mlimg-inspect --json system.img | jq -r .build_id)" "$(mlimg-inspect --json software.img | jq -r .build_id)")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
	mount-index x.idx "$RUN/index" system.img software.img
	works mlimg-agent prepare --root "$RUN" --union index --system "${ids[0]}" --software "${ids[1]}" --user "$TENANT"
	works mlimg-agent commit --root "$RUN"
	echo mine >"$UPPER/etc/hosts"
	echo mine >"$UPPER/etc/mode"
	mknod "$UPPER/etc/link" c 0 0
	run "${MLIMG[@]}" diff
	diff=$output
	run "${MLIMG[@]}" why /etc/hosts
	why=$(sed 's/  file.*//; /^since\|^class/d' <<<"$output")
	run "${MLIMG[@]}" why /usr/share/old/z
	z=$(sed 's/  file.*//; /^class/d' <<<"$output")
	umount "$RUN/index"
	same "diff" "changed    /etc/hosts  (over software nginx 1.0)
deleted    /etc/link  (of system debian 12.1)
changed    /etc/mode  (over system debian 12.1)" "$diff"
	same "why" "/etc/hosts
  shows   yours
  hidden  software nginx 1.0
  hidden  system debian 12.1" "$why"
	same "of a layer" "/usr/share/old/z
  shows   software nginx 1.0" "$z"
}

@test "mlimg: who is not root looks through the daemon, and sees what he may" {
	local i
	for i in 0 1; do rm "$RUN/layers/$i/rootfs"; done
	mkdir -m 0700 "$DIR/system/root"
	echo secret >"$DIR/system/root/file"
	cp -a "$DIR/system" "$RUN/layers/0/rootfs"
	cp -a "$DIR/software" "$RUN/layers/1/rootfs"
	in_root 'echo mine >merged/etc/hosts
		echo mine >merged/root/file
		rm merged/usr/bin/tool'
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$DIR" "$DIR/run"
	chmod 0700 "$RUN"
	cp "$MLIMG_BUILD/bin/mlimg" "$DIR/mlimg"
	cp "$RUN/boot.json" "$DIR/run/mlimg-boot.json"
	mlimg-agent daemon --port "unix:$DIR/port" --run "$DIR/run" 3>&- &
	for _ in $(seq 600); do
		[ ! -S "$DIR/run/mlimg-agent.sock" ] || break
		sleep 0.1
	done
	fails 1 "mlimg: warning: not looked at: '/root': Permission denied
mlimg: make a directory with owners and devices: Operation not permitted" \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/mlimg" --root "$RUN" --merged "$DIR/merged" export --dir "$DIR/out"
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups "$DIR/mlimg" --root "$RUN" --merged "$DIR/merged" diff -u
	kill $!
	# shellcheck disable=SC2154 # run sets it
	same "stderr" "mlimg: warning: not looked at: '/root': Permission denied" "$stderr"
	same "diff" "0
changed    /etc/hosts  (over software nginx 1.0)
--- /etc/hosts	software nginx 1.0
+++ /etc/hosts	yours
@@ -1 +1 @@
-of software
+mine
deleted    /usr/bin/tool  (of system debian 12.1)" "$status
$output"
}
