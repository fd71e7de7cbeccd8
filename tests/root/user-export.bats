#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg export of what the kernel's overlayfs has written, as a tar and as a directory.
load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_trees
	mlimg_boot
}

@test "mlimg export: what goes meanwhile is told, of much how much; and a tar is nothing for a terminal" {
	local i
	mkdir "$UPPER/var"
	truncate -s 10M "$UPPER/var/large"
	for ((i = 100; i < 130; i++)); do : >"$UPPER/var/x$i"; done
	MLIMG=(mlimg --root "$RUN" --merged "$UPPER")
	# The pipe takes some of the first file until the others are gone.
	{ "${MLIMG[@]}" export - 2>"$DIR/err" || echo "exit $?" >>"$DIR/err"; } | { head -c 100000 >/dev/null && rm "$UPPER"/var/x* && cat >/dev/null; }
	same "what is told" "10 mlimg: warning: '/var/xN' is gone, or something else by now
1 mlimg: warning: 20 more changed or went while this ran" "$(sed 's/x[0-9]*/xN/' "$DIR/err" | uniq -c | sed 's/^ *//')"
	run script -qec "mlimg --root $RUN --merged $UPPER export -" /dev/null
	same "to a terminal" "mlimg: a tar is nothing for a terminal" "$(tr -d '\r' <<<"$output")"
}

@test "mlimg export: a layer of it shows the same" {
	setfattr -n user.x -v value "$DIR/system/usr/bin/tool"
	mkdir "$DIR/system/usr/share/old/names"
	echo names >"$DIR/system/usr/share/old/names/a"
	ln "$DIR/system/usr/share/old/names/a" "$DIR/system/usr/share/old/names/b"
	in_root 'cd merged
		echo mine >etc/hosts
		chmod 0600 etc/mode
		: >>etc/conf.d/part
		rm usr/bin/tool
		mv usr/share/old usr/share/moved
		echo mine >usr/share/moved/own
		mv usr/share/moved/deep usr/share/moved/deeper
		rm -r usr/share/doc
		mkdir usr/share/doc usr/share/fresh
		echo "a name" >"usr/share/fresh/$(printf "a name \303\244 \377")"
		echo names >etc/one
		ln etc/one etc/two
		ln etc/one usr/share/moved/three
		ln -s nowhere etc/dangling
		setfattr -n user.y -v mine etc/one
		mknod var/device b 7 200
		truncate -s 3M var/large
		echo end >>var/large
		head -c 2000000 /dev/zero >var/"$(printf %0200d 7)"
		cd ..
		m export x.tar
		m export - >y.tar
		m export --dir x.dir
		treelist merged >merged.list'
	same "output" "x.tar: 30 entries, 5.0 MiB
x.dir: 30 entries, 4.9 MiB" "$output"
	same "names" "./ etc/ etc/conf.d/ etc/dangling etc/hosts etc/mode etc/one etc/two usr/ usr/bin/ usr/bin/tool usr/share/ usr/share/doc/" \
		"$(tar -tf "$DIR/x.tar" | head -n 13 | xargs)"
	same "deleted" "c--------- 0,0 usr/bin/tool" "$(tar --numeric-owner -tvf "$DIR/x.tar" usr/bin/tool | awk '{ print $1, $3, $NF }')"
	cmp "$DIR/x.tar" "$DIR/y.tar"
	works mlimg-mkfs --quiet --kind software --name mine "$DIR/x.tar" "$DIR/mine.img"
	works mlimg-mkfs --quiet --kind software --name mine "$DIR/x.dir" "$DIR/dir.img"
	same "build id" "$(mlimg-inspect --json "$DIR/mine.img" | jq -r .build_id)" "$(mlimg-inspect --json "$DIR/dir.img" | jq -r .build_id)"
	same "names of files of the layers" "/usr/share/moved/names/a /usr/share/moved/names/b" "$(cd "$DIR/x.dir" && find . -inum "$(stat -c %i usr/share/moved/names/a)" -printf '/%P\n' | sort | xargs)"
	[ "$(stat -c %b "$DIR/x.dir/var/large")" -lt 100 ]
	mkdir "$DIR/mine" "$DIR/up" "$DIR/wk"
	works unshare -m sh -euc 'cd "$1"
		mount -t ext4 -o ro,noload,loop mine.img mine
		mount -t overlay overlay -o lowerdir=mine/rootfs:software:system,upperdir=up,workdir=wk merged
		treelist merged >again.list' sh "$DIR"
	# Directories have the times of who made them last.
	sed -i -E '/ type=dir /s/ time=[^ ]*//' "$DIR/merged.list" "$DIR/again.list"
	diff "$DIR/merged.list" "$DIR/again.list"
}

@test "mlimg export --dir: never into what is there; nothing is left of one that fails" {
	in_root 'head -c 3000000 /dev/urandom >merged/var/large
		mkdir there
		m export --dir there 2>&1 || echo "exit $?"
		m export --dir none/there 2>&1 || echo "exit $?"
		m --force export --dir new 2>&1 | head -n 1
		(ulimit -f 1000; m export --dir new 2>&1 || echo "exit $?")
		perl -MPOSIX -e "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); kill TERM => \$\$; exec @ARGV" \
			mlimg --root "$root" --merged "$PWD/merged" export --dir new 2>&1 || echo "exit $?"
		setpriv --reuid 65534 --regid 65534 --clear-groups mlimg --root "$root" --merged "$PWD/merged" export --dir new 2>/dev/null || echo "exit $?"
		ls -A there new 2>/dev/null || :
		ls -A | grep mlimg || :
		m export --dir new/
		ls -A new'
	same "output" "mlimg: make the directory 'there': File exists
exit 1
mlimg: make the directory 'none/there': No such file or directory
exit 1
mlimg: export --dir replaces nothing: without --force
mlimg: write into 'new': File too large
exit 1
mlimg: stopped: Interrupted system call
exit 1
exit 1
there:
new/: 3 entries, 2.9 MiB
.unionfs-fuse
var" "$output"
}

@test "mlimg export --dir: into a renamed directory, and names that unionfs-fuse could not hide" {
	local long
	long=$(printf %0250d 1)
	echo x >"$DIR/system/etc/$long"
	in_root 'cd merged/usr/share
		mv old moved
		n() { mlimg --root "$root" --merged "$1/merged" export $2; }
		n "$1" "--dir moved/x.dir"
		find moved/x.dir/usr | sort
		n "$1" moved/x.tar
		tar tf moved/x.tar | grep -c -e "\.mlimg" -e "x\.tar" || :
		rm -r moved/x.dir ../../etc/'"$long"'
		n "$1" "--dir x.dir" 2>&1 || echo "exit $?"
		n "$1" x.tar >/dev/null'
	same "output" "moved/x.dir: 9 entries, 69 B
moved/x.dir/usr
moved/x.dir/usr/share
moved/x.dir/usr/share/moved
moved/x.dir/usr/share/moved/deep
moved/x.dir/usr/share/moved/deep/y
moved/x.dir/usr/share/moved/x
moved/x.dir/usr/share/moved/z
moved/x.tar: 22 entries, 30.0 KiB
0
mlimg: that there is nothing at '/etc/$long' a tar can tell, but no directory
exit 1" "$output"
}

@test "mlimg export: what changes meanwhile is told, and the file itself is left out" {
	in_root 'truncate -s 100M merged/var/large
		mkdir merged/var/kept
		echo old >merged/out.tar
		{ m export - 2>err || echo "exit $?" >>err; } | { head -c 50000000 >/dev/null; echo more >>merged/var/large; cat >/dev/null; }
		cat err
		rm merged/var/large
		m export merged/out.tar 2>&1 || echo "exit $?"
		m --force --json export merged/out.tar
		m status | head -n 1 >merged/out.tar
		ls -A merged'
	same "output" "mlimg: warning: '/var/large' changes while it is read
mlimg: write 'merged/out.tar' without --force: File exists
exit 1
{\"file\":\"merged/out.tar\",\"entries\":4,\"bytes\":10240,\"changed\":0,\"gone\":0,\"sockets\":0}
etc
out.tar
usr
var" "$output"
}

@test "mlimg export: a file whose name is no UTF-8, and a long path, in JSON" {
	in_root 'name=$(printf "\377")
		m --json export "$name.tar"
		m --json export --dir "$name.dir"
		m --json export --dir ".$(head -c 20000 /dev/zero | tr "\0" /)long" | tr -s /
		[ -f "$name.tar" ] && [ -d "$name.dir" ] && [ -d long ]'
	same "output" '{"file":"\\377.tar","entries":1,"bytes":10240,"changed":0,"gone":0,"sockets":0}
{"file":"\\377.dir","entries":1,"bytes":0,"changed":0,"gone":0,"sockets":0}
{"file":"./long","entries":1,"bytes":0,"changed":0,"gone":0,"sockets":0}' "$output"
}
