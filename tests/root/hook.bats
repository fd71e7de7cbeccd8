#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Hooks that merge a file when both sides have changed it: what they are given, what they see, and what becomes of those that fail.

load ../lib/common

setup() {
	need root
	need command busybox
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	UPPER=$RUN/user/upper
	mkdir -p "$RUN/layers" "$UPPER/srv" "$RUN/user/work" "$DIR"/{v1,v2}/{srv,etc/mlimg/reconcile.d,usr/lib/mlimg/merge.d} "$DIR/empty" \
		"$DIR"/v2/{bin,proc,dev,tmp}
	echo "/srv merge:hook" | tee "$DIR/v1/etc/mlimg/reconcile.d/srv.conf" >"$DIR/v2/etc/mlimg/reconcile.d/srv.conf"
	cp "$(command -v busybox)" "$DIR/v2/bin/busybox"
	for name in sh awk cat id ls sleep readlink; do
		ln -s busybox "$DIR/v2/bin/$name"
	done
	echo old >"$DIR/v1/srv/f"
	echo new >"$DIR/v2/srv/f"
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$RUN/user")
	SOFTWARE=()
}

# hook: that of v2, out of standard input.
hook() {
	{
		echo '#!/bin/sh'
		cat
	} >"$DIR/v2/usr/lib/mlimg/merge.d/hook"
	chmod 755 "$DIR/v2/usr/lib/mlimg/merge.d/hook"
}

# prepare VERSION: on that system, and the software that is set.
prepare() {
	local id i=0 name
	id=$(layerdir system debian "$1" "$DIR/$1" "$DIR/layer-$1")
	set -- "$1" --system "$id"
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	for name in "$1" "${SOFTWARE[@]}"; do
		[ "$i" = 0 ] || set -- "$@" --software "$(layerdir software "$name" 1 "$DIR/$name" "$DIR/layer-$name")"
		cp -r "$DIR/layer-$name" "$RUN/layers/$i"
		ln -s "$DIR/$name" "$RUN/layers/$i/rootfs"
		i=$((i + 1))
	done
	shift
	works mlimg-agent prepare --root "$RUN" --union overlay --user "$TENANT" "$@"
	works mlimg-agent commit --root "$RUN"
	[ ! -e "$RUN/hook" ]
}

# changes: both sides change srv/f, and what becomes of it is $found, with the new one beside, and notes.
changes() {
	local beside=
	prepare v1
	echo mine >"$UPPER/srv/f"
	prepare v2
	[ ! -e "$UPPER/srv/f.mlimg-new" ] || beside=" beside $(cat "$UPPER/srv/f.mlimg-new")"
	found="$(cat "$UPPER/srv/f")$beside$(jq -r '.notes[] | "\n" + .' "$RUN/boot.json")"
}

@test "what a hook is given, what it sees, and what it may do" {
	mkdir -p "$UPPER/usr/lib/mlimg/merge.d" "$UPPER/secret"
	echo "#!/bin/sh" >"$UPPER/usr/lib/mlimg/merge.d/hook"
	chmod 755 "$UPPER/usr/lib/mlimg/merge.d/hook"
	echo kept >"$DIR/v2/srv/private"
	chown 1234 "$DIR/v2/srv/private"
	chmod 600 "$DIR/v2/srv/private"
	hook <<-'EOF'
		echo "arguments: $*"
		echo "texts: $(cat <&3) $(cat /dev/fd/4) $(cat <&5)"
		echo "input: $(cat)"
		echo "environment: $(set | /bin/busybox grep -e ^MLIMG_ -e ^PATH= -e ^LC_ALL= | /bin/busybox sort | /bin/busybox tr '\n' ' ')"
		echo "directory: $(readlink /proc/self/cwd)"
		for n in 0 1 2 3 4 5 6 7 8 9; do
			[ ! -e /proc/$$/fd/$n ] || descriptors="$descriptors $n"
		done
		echo "descriptors:$descriptors"
		echo "top:" $(ls /)
		echo "user: $(id -u) $(id -G)"
		echo "capabilities:" $(/bin/busybox grep -e CapPrm -e CapEff -e CapBnd /proc/self/status | /bin/busybox sort -u)
		[ "$(ls /proc | /bin/busybox grep -c '^[0-9]')" -lt 10 ] && echo "process $$, and no other program's"
		echo "network: $(/bin/busybox tail -n +3 /proc/net/dev | /bin/busybox cut -d: -f1)"
		echo "private: $(cat /srv/private)"
		echo "devices:" $(ls /dev)
		for file in /x /srv/f /proc/self/fd/4; do
			{ echo bad >$file; } 2>/dev/null && echo "written: $file"
		done
		/bin/busybox mount -t tmpfs none /srv 2>/dev/null && echo mounted
		/bin/busybox mknod /tmp/null c 1 3 2>/dev/null && echo "device made"
		echo temporary >/tmp/x && cat /tmp/x
	EOF
	changes
	same "found" "arguments: /srv/f
texts: old mine new
input: 
environment: LC_ALL='C' MLIMG_BASE='present' PATH='/usr/sbin:/usr/bin:/sbin:/bin' 
directory: /
descriptors: 0 1 2 3 4 5
top: bin dev etc proc srv tmp usr
user: 0 0
capabilities: CapBnd: 0000000000000004 CapEff: 0000000000000004 CapPrm: 0000000000000004
process 2, and no other program's
network:     lo
private: kept
devices: fd null random urandom zero
temporary" "$found"
}

@test "no former file, and layers that show together" {
	mkdir -p "$DIR/more/usr/lib/mlimg/merge.d" "$DIR/more/etc"
	mv "$DIR/v2/srv/f" "$DIR/more/etc/word"
	mkdir "$DIR/more/srv"
	echo new >"$DIR/more/srv/f"
	rm "$DIR/v1/srv/f"
	printf '#!/bin/sh\necho "$MLIMG_BASE:$(cat <&3)" "$(cat <&4)" "$(cat <&5)" "$(cat /etc/word)"\nls /bin/awk\n' >"$DIR/more/usr/lib/mlimg/merge.d/hook"
	chmod 755 "$DIR/more/usr/lib/mlimg/merge.d/hook"
	echo 'echo beneath' | hook
	prepare v1
	echo mine >"$UPPER/srv/f"
	SOFTWARE=(more)
	prepare v2
	found=$(cat "$UPPER/srv/f")
	same "found" "absent: mine new new
/bin/awk" "$found"
}

@test "the hook of the documentation" {
	sed -n '/^    #!\/bin\/sh$/,/dev\/fd\/5$/s/^    //p' "$MLIMG_TOP/initramfs/README.md" >"$DIR/v2/usr/lib/mlimg/merge.d/hook"
	chmod 755 "$DIR/v2/usr/lib/mlimg/merge.d/hook"
	printf 'a=1\nb=1\nc=1\nd=1\ne=1\n' >"$DIR/v1/srv/f"
	prepare v1
	printf 'e=1\nc=mine\na=1\nown=1\nb=1\n' >"$UPPER/srv/f"
	printf 'd=1\nc=1\nb=2\nnew=1\na=1\n' >"$DIR/v2/srv/f"
	prepare v2
	# e is gone there, d here.
	same "merged" "c=mine
a=1
own=1
b=2
new=1" "$(cat "$UPPER/srv/f")"
	same "report" '[["srv/f","merged","merge","merged"]]' "$(jq -c '.entries | map([.path, .verdict, .class, .done])' "$RUN/user/mlimg/reports/2.json")"
	cp -r "$DIR/v2" "$DIR/v3"
	printf 'd=1\nc=2\nb=2\nnew=1\na=1\n' >"$DIR/v3/srv/f"
	prepare v3
	same "a conflict" "c=2" "$(grep ^c "$UPPER/srv/f.mlimg-new")"
	same "mine" "c=mine" "$(grep ^c "$UPPER/srv/f")"
	same "notes" '[]' "$(jq -c .notes "$RUN/boot.json")"
}

@test "a conflict" {
	echo 'echo half; exit 1' | hook
	changes
	same "1" "mine beside new" "$found"
}

@test "another exit status" {
	hook <<-'EOF'
		echo half
		printf "no such \033key\nmore\n" >&2
		exit 3
	EOF
	changes
	same "3" "mine beside new
hook hook for '/srv/f': exit status 3: no such ?key" "$found"
}

@test "many that fail leave room for other notes" {
	local name
	echo 'exit 3' | hook
	for name in a b c d e g h i j; do
		echo old >"$DIR/v1/srv/$name"
		echo new >"$DIR/v2/srv/$name"
	done
	prepare v1
	for name in a b c d e f g h i j; do echo mine >"$UPPER/srv/$name"; done
	prepare v2
	same "notes" "$(printf "hook hook for '/srv/%s': exit status 3\n" a b c d e f g)
more hooks failed: the report has their files, as conflicts (hook)" "$(jq -r '.notes[]' "$RUN/boot.json")"
	same "report" 10 "$(grep -c '^beside  *conflict  */srv/\(.\)  the new one: /srv/\1.mlimg-new  (hook)$' "$RUN/user/mlimg/reports/2.txt")"
}

@test "a signal" {
	echo 'exec /bin/busybox dd if=/dev/zero of=/tmp/x bs=1M count=17' | hook
	changes
	same "signal" "mine beside new
hook hook for '/srv/f': ended by signal 25" "$found"
}

@test "too much output" {
	echo 'exec cat /dev/zero' | hook
	changes
	same "too much" "mine beside new
hook hook for '/srv/f': printed more than 262144 bytes" "$found"
}

@test "one that does not end, and what one leaves behind" {
	echo 'sleep 7654 & echo waiting >&2; sleep 7654' | hook
	changes
	same "late" "mine beside new
hook hook for '/srv/f': did not end in its time: waiting" "$found"
	same "processes" "" "$(pgrep -f 'sleep 7654' || :)"
	rm -r "${UPPER:?}/srv" "$RUN/user/mlimg/state.json"
	mkdir "$UPPER/srv"
	echo 'sleep 7654 & echo merged' | hook
	changes
	same "left behind" merged "$found"
	same "processes" "" "$(pgrep -f 'sleep 7654' || :)"
}

@test "no such hook" {
	changes
	same "none" "mine beside new
hook hook for '/srv/f': exit status 126: cannot be run: No such file or directory" "$found"
}

@test "a link that would lead out of the layers" {
	printf '#!/bin/sh\necho out\n' >"$DIR/out"
	chmod 755 "$DIR/out"
	ln -s "$DIR/out" "$DIR/v2/usr/lib/mlimg/merge.d/hook"
	changes
	same "none" "mine beside new
hook hook for '/srv/f': exit status 126: cannot be run: No such file or directory" "$found"
}

@test "modes that keep nothing ask, and write nothing" {
	local before id
	echo 'echo merged' | hook
	prepare v1
	echo mine >"$UPPER/srv/f"
	before=$(tar -C "$RUN/user" --mtime=@0 -cf - --sort=name . | sha256sum)
	id=$(layerdir system debian v2 "$DIR/v2" "$DIR/layer-v2")
	rm -rf "$RUN/layers/0"
	cp -r "$DIR/layer-v2" "$RUN/layers/0"
	ln -s "$DIR/v2" "$RUN/layers/0/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --user "$TENANT" --mode volatile --system "$id"
	same "counts" '[1,0]' "$(jq -c '[.report.counts.merged, .report.counts.conflict]' "$RUN/boot.json")"
	same "user layer" "$before" "$(tar -C "$RUN/user" --mtime=@0 -cf - --sort=name . | sha256sum)"
}
