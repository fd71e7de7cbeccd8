#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg for who is not root, who asks the daemon: on kernels that lack calls of newer ones, and with unionfs-fuse.

load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_setup
	mkdir -p "$DIR/system"/{etc,usr/bin} "$DIR/software/etc" "$UPPER/etc"
	echo "of system" | tee "$DIR/system/etc/hosts" "$DIR/system/usr/bin/tool" >/dev/null
	echo "of software" >"$DIR/software/etc/hosts"
}

teardown() {
	[ -z "${DAEMON:-}" ] || kill "$DAEMON" || true
}

# boot DRIVER: it, and what others than root need.
boot() {
	local i
	UNION=$1 mlimg_boot
	for i in 0 1; do rm "$RUN/layers/$i/rootfs"; done
	cp -a "$DIR/system" "$RUN/layers/0/rootfs"
	cp -a "$DIR/software" "$RUN/layers/1/rootfs"
	echo mine >"$UPPER/etc/hosts"
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$DIR" "$DIR/run"
	chmod 0700 "$RUN"
	cp "$MLIMG_BUILD/bin/mlimg" "$MLIMG_BUILD/tests/lib/without-calls" "$DIR/"
	cp "$RUN/boot.json" "$DIR/run/mlimg-boot.json"
}

# daemon COMMAND…: that runs it.
daemon() {
	"$@" --port "unix:$DIR/port" --run "$DIR/run" 3>&- &
	DAEMON=$!
	until [ -S "$DIR/run/mlimg-agent.sock" ]; do sleep 0.1; done
}

# user COMMAND… ARGUMENT…: mlimg by who is not root, begun by these words.
user() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@" --root "$RUN" --merged "$DIR/merged"
}

@test "before Linux 5.12 only root can look, and others are told so" {
	local call
	boot overlay
	for call in open_tree mount_setattr; do
		daemon without-calls "$call" mlimg-agent daemon
		fails 1 "mlimg: mlimg-agent: only root can look: for others Linux 5.12 is needed" user "$DIR/mlimg" diff
		works without-calls "$call" "${MLIMG[@]}" diff
		same "root's diff" "changed    /etc/hosts  (over software nginx 1.0)" "$output"
		kill "$DAEMON"
		wait "$DAEMON" || true
		rm "$DIR/run/mlimg-agent.sock" "$DIR/port"
		DAEMON=
	done
}

@test "before Linux 5.6 all is as it is after" {
	boot overlay
	mkdir "$UPPER/usr" "$UPPER/usr/bin"
	mknod "$UPPER/usr/bin/tool" c 0 0
	daemon without-calls openat2,pidfd_open,close_range mlimg-agent daemon
	works user "$DIR/without-calls" openat2 "$DIR/mlimg" diff -u
	same "a user's diff" "changed    /etc/hosts  (over software nginx 1.0)
--- /etc/hosts	software nginx 1.0
+++ /etc/hosts	yours
@@ -1 +1 @@
-of software
+mine
deleted    /usr/bin/tool  (of system debian 12.1)" "$output"
	# In the name that was typed links on the way are followed.
	mkdir "$DIR/etc"
	ln -s etc "$DIR/conf"
	run without-calls openat2 mlimg --root "$RUN" why "$DIR/conf/../conf/none"
	same "resolved" "$DIR/etc/none" "${lines[0]%  (*}"
}

@test "with unionfs-fuse, whose marks are root's alone, others are told that they do not see what was deleted" {
	boot unionfs
	mkdir -p "$UPPER/.unionfs-fuse/usr/bin"
	chmod 0700 "$UPPER/.unionfs-fuse"
	: >"$UPPER/.unionfs-fuse/usr/bin/tool_HIDDEN~"
	daemon mlimg-agent daemon
	run --separate-stderr user "$DIR/mlimg" diff
	# shellcheck disable=SC2154 # run sets it
	same "stderr" "mlimg: warning: not looked at: '/.unionfs-fuse', which has what was deleted: Permission denied" "$stderr"
	same "diff" "changed    /etc/hosts  (over software nginx 1.0)" "$output"
	works "${MLIMG[@]}" diff
	same "root's diff" "changed    /etc/hosts  (over software nginx 1.0)
deleted    /usr/bin/tool  (of system debian 12.1)" "$output"
}

@test "an agent that hangs up, or answers what makes no sense, is told of" {
	local answer
	boot overlay
	for answer in "" "{\"return\":{}}" "nonsense"; do
		printf '%s' "${answer:+$answer
}" >"$DIR/answer"
		socat "UNIX-LISTEN:$DIR/run/mlimg-agent.sock,mode=666" "SYSTEM:head -n 1 >/dev/null; cat $DIR/answer" 3>&- &
		DAEMON=$!
		until [ -S "$DIR/run/mlimg-agent.sock" ]; do sleep 0.1; done
		run --separate-stderr user "$DIR/mlimg" diff
		echo "$status: $stderr" >>"$DIR/said"
		wait "$DAEMON" || true
		DAEMON=
	done
	same "said" "1: mlimg: wait for mlimg-agent's answer: Connection reset by peer
1: mlimg: open '$RUN/user/upper': No such file or directory
3: mlimg: mlimg-agent's answer: line 1: '[' or '{' expected near 'nonsense'" "$(cat "$DIR/said")"
}
