#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg reset, undelete and resolve on a root that the kernel's overlayfs makes, and what the next boot does then.
load ../lib/common
load ../lib/mlimg

setup() {
	need root
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/share/old/deep,usr/share/doc/deep,usr/bin,var} "$DIR/software"/{etc,usr/share/old}
	local file
	for file in etc/hosts etc/mode etc/conf.d/part usr/share/old/x usr/share/old/deep/y usr/share/doc/doc usr/share/doc/deep/z usr/bin/tool; do
		echo "$file of system" >"$DIR/system/$file"
	done
	seq -f 'line %g' 9 | tee "$DIR/system/etc/conf" "$DIR/system/etc/touching" >"$DIR/system/etc/theirs"
	ln -s hosts "$DIR/system/etc/link"
	setfattr -n user.x -v value "$DIR/system/usr/share/doc/doc"
	echo "of software" >"$DIR/software/usr/share/old/z"
	echo "of software" >"$DIR/software/etc/hosts"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
	mlimg_boot
	END="Until then nothing changes there: 'mlimg queue' shows what waits, and takes it back."
}

# layers_show: what the layers show without the user's: as treelist tells it, but for times of directories.
layers_show() {
	unshare -m sh -euc 'cd "$1"
		mount -t overlay overlay -o "ro,lowerdir=software:system" merged
		treelist merged' sh "$DIR" | sed -E '/ type=dir /s/ time=[^ ]*//'
}

@test "mlimg reset: after the next boot the root is the layers', and what was the user's lies aside" {
	layers_show >"$DIR/wanted"
	in_root 'cd merged
		echo mine >etc/hosts
		chmod 0600 etc/mode
		rm usr/bin/tool etc/link
		ln -s conf.d etc/link
		mv usr/share/old usr/share/moved
		echo mine >usr/share/moved/x
		echo mine >usr/share/moved/own
		mv usr/share/moved/deep usr/share/moved/deeper
		rm -r usr/share/doc
		mkdir usr/share/doc var/own
		echo mine >usr/share/doc/own
		echo mine >var/own/file
		cd ..
		treelist merged >before
		m reset -r /etc/hosts /etc/mode usr/bin/tool /etc/link /usr/share /var
		treelist merged >after
		cmp before after'
	same "told" "/etc/hosts: at the next boot yours is set aside (5 B), and what software nginx 1.0 has shows
/etc/mode: at the next boot yours is set aside (19 B), and what system debian 12.1 has shows
/usr/bin/tool: at the next boot it is there again, as system debian 12.1 has it
/etc/link: at the next boot yours is set aside (link), and what system debian 12.1 has shows
/usr/share: at the next boot yours is set aside (9 entries, 15 B; 5 of them in no layer), and what software nginx 1.0 has shows
/var: at the next boot yours is set aside (3 entries, 5 B; 2 of them in no layer), and what system debian 12.1 has shows
$END" "$output"
	mlimg_boot
	in_root 'treelist merged >after; m queue; m diff'
	same "what waits, what is changed" "Nothing waits for the next boot." "$output"
	diff <(sed -E '/ type=dir /s/ time=[^ ]*//' "$DIR/after") "$DIR/wanted"
	same "aside" "etc/hosts etc/mode usr/share/doc/own usr/share/moved/own usr/share/moved/x var/own/file" \
		"$(cd "$USER_DIR/mlimg/aside/queue-1" && find . -type f -printf '%P\n' | sort | xargs)"
	same "what was mine" mine "$(cat "$USER_DIR/mlimg/aside/queue-1/usr/share/moved/x")"
}

@test "mlimg reset: a renamed directory shows at its former name again" {
	in_root 'mv merged/usr/share/old merged/usr/share/moved
		echo mine >merged/usr/share/moved/own
		m reset -r usr/share/moved | head -n 1'
	same "told" "/usr/share/moved: at the next boot yours is set aside (2 entries, 5 B), and nothing is there: no layer has it; what it was renamed from shows again: /usr/share/old" \
		"$output"
	mlimg_boot
	in_root 'm diff; ls merged/usr/share merged/usr/share/old | xargs'
	same "what is there" "merged/usr/share: doc old merged/usr/share/old: deep x z" "$output"
}

@test "mlimg undelete: files, directories, and what is in one that was made anew" {
	layers_show >"$DIR/wanted"
	in_root 'cd merged
		rm -r etc/conf.d usr/bin/tool usr/share/doc
		mkdir usr/share/doc
		echo mine >usr/share/doc/own
		cd ..
		m undelete /etc/conf.d /usr/bin/tool
		m undelete /etc/conf.d/part 2>&1 || echo "exit $?"
		m undelete usr/share/doc/doc
		m diff usr/share/doc/doc
		getfattr --only-values -n user.x merged/usr/share/doc/doc; echo
		m undelete --all usr/share/doc'
	same "told" "/etc/conf.d: at the next boot it is there again, as system debian 12.1 has it
/usr/bin/tool: at the next boot it is there again, as system debian 12.1 has it
$END
mlimg: '/etc/conf.d/part' was deleted with '/etc/conf.d': undelete that
exit 1
/usr/share/doc/doc: a copy of what system debian 12.1 has is there
added      /usr/share/doc/doc
value
/usr/share/doc: at the next boot all shows again that the layers have in /usr/share/doc
$END" "$output"
	mlimg_boot
	in_root 'm diff; rm merged/usr/share/doc/own; treelist merged >after'
	same "what is changed" "same       /usr/share/doc/doc  (over system debian 12.1)
added      /usr/share/doc/own" "$output"
	diff <(sed -E '/ type=dir /s/ time=[^ ]*//' "$DIR/after") "$DIR/wanted"
}

# in_conflict: four conflicts by another system.
in_conflict() {
	in_root 'sed -i "3s/\$/ mine/" merged/etc/conf merged/etc/touching merged/etc/theirs
		chmod 0640 merged/etc/conf
		echo my tool >merged/usr/bin/tool
		setfattr -n user.mine -v yes merged/usr/bin/tool
		chown 7:8 merged/usr/bin/tool
		touch -d @1500000000 merged/usr/bin/tool'
	sed -i '3s/$/ theirs/; 8s/$/ theirs/' "$DIR/system"/etc/{conf,touching,theirs}
	echo new tool >"$DIR/system/usr/bin/tool"
	SYSTEM_VERSION=12.2 mlimg_boot
}

@test "mlimg resolve: each way, and the next boot" {
	in_conflict
	in_root 'm conflicts
		m resolve --keep mine /usr/bin/tool
		m resolve --keep theirs /etc/theirs
		m resolve --keep merged /etc/conf || echo "exit $?"
		sed -i "/^[<=>]/d; s/ theirs//" merged/etc/conf.mlimg-merged
		m resolve --keep merged /etc/conf
		m --json resolve --keep mine /etc/touching
		m conflicts'
	same "told" "beside /etc/conf  (the system's: /etc/conf.mlimg-new; generation 2)
beside /etc/theirs  (the system's: /etc/theirs.mlimg-new; generation 2)
beside /etc/touching  (the system's: /etc/touching.mlimg-new; generation 2)
aside  /usr/bin/tool  (yours: $RUN/user/mlimg/aside/2/usr/bin/tool; generation 2)
/usr/bin/tool: yours is back
/etc/theirs: at the next boot yours is set aside (68 B), and what system debian 12.2 has shows; /etc/theirs.mlimg-new goes then
$END
/etc/conf: 1 conflict is left: edit /etc/conf.mlimg-merged, where each is marked, and say the same again
exit 1
/etc/conf: what was merged is there; /etc/conf.mlimg-new is gone; what was /etc/conf is in $RUN/user/mlimg/aside/resolved-1/etc/conf
{\"path\":\"etc/touching\",\"keep\":\"mine\",\"generation\":2,\"resolved\":true,\"dry_run\":false,\"when\":\"now\",\"conflicts\":0,\"merged\":null,\"aside\":null,\"kept\":[],\"sockets\":0}
There are no conflicts." "$output"
	SYSTEM_VERSION=12.2 mlimg_boot
	in_root 'cd merged
		sha256sum etc/theirs ../system/etc/theirs | cut -c 1-64 | uniq | wc -l
		cat usr/bin/tool
		stat -c "%a %u:%g %Y" usr/bin/tool
		getfattr --only-values -n user.mine usr/bin/tool; echo
		sed -n 3,4p etc/conf
		stat -c %a etc/conf
		grep mine etc/touching
		ls etc
		cd ..
		m conflicts'
	same "after the next boot" "1
my tool
644 7:8 1500000000
yes
line 3 mine
line 3
640
line 3 mine
conf
conf.d
hosts
link
mode
theirs
touching
There are no conflicts." "$output"
	same "what was mine" "line 3 mine" "$(sed -n 3p "$USER_DIR/mlimg/aside/queue-1/etc/theirs")"
}

@test "mlimg resolve: directories" {
	in_root 'cd merged/usr/share
		mkdir -p kind/sub
		echo mine | tee kind/sub/file >other
		chmod 0750 kind
		setfattr -n user.x -v yes kind/sub
		ln -s sub/file kind/link
		ln kind/sub/file kind/again
		ln -P kind/link kind/sub/link
		mkfifo kind/fifo
		socat -u UNIX-LISTEN:kind/sub/socket,unlink-close=0 - </dev/null & pid=$!
		until [ -S kind/sub/socket ]; do kill -0 $pid; sleep 0.05; done
		kill $pid
		wait $pid || :
		touch -d @1500000000 kind/sub kind
		treelist kind | grep -v type=socket >../../../before
		cp -a kind more'
	grep -q "^./again .*tags=links:1:2" "$DIR/before"
	echo file | tee "$DIR/system/usr/share/kind" >"$DIR/system/usr/share/more"
	mkdir "$DIR/system/usr/share/other"
	SYSTEM_VERSION=12.2 mlimg_boot
	in_root 'cat merged/usr/share/kind
		m conflicts
		m resolve --keep mine /usr/share/kind
		treelist merged/usr/share/kind >after
		m diff /usr/share/kind | head -n 1
		m --json resolve --keep mine /usr/share/more
		m resolve --keep mine /usr/share/other 2>&1 || echo "exit $?"
		m resolve --keep theirs /usr/share/other
		m conflicts'
	same "told" "file
aside  /usr/share/kind  (yours: $RUN/user/mlimg/aside/2/usr/share/kind; generation 2)
aside  /usr/share/more  (yours: $RUN/user/mlimg/aside/2/usr/share/more; generation 2)
aside  /usr/share/other  (yours: $RUN/user/mlimg/aside/2/usr/share/other; generation 2)
/usr/share/kind: yours is back, without 1 socket
replaced   /usr/share/kind  (dir instead of file; over system debian 12.2)
{\"path\":\"usr/share/more\",\"keep\":\"mine\",\"generation\":2,\"resolved\":true,\"dry_run\":false,\"when\":\"now\",\"conflicts\":0,\"merged\":null,\"aside\":null,\"kept\":[],\"sockets\":1}
mlimg: '/usr/share/other' is a directory now: yours is not put in its place. Copy what you want of '$RUN/user/mlimg/aside/2/usr/share/other', and keep theirs
exit 1
/usr/share/other: the system's stays; yours stays in $RUN/user/mlimg/aside/2/usr/share/other
There are no conflicts." "$output"
	diff "$DIR/before" "$DIR/after"
	same "what was set aside" "" "$(ls "$USER_DIR/mlimg/aside/2/usr/share/kind" 2>/dev/null)"
}

@test "mlimg resolve: the change of the stack can be taken back after it" {
	in_conflict
	in_root 'm resolve --keep mine /usr/bin/tool /etc/touching
		m resolve --keep theirs /etc/theirs'
	for file in conf touching theirs; do seq -f 'line %g' 9 >"$DIR/system/etc/$file"; done
	echo "usr/bin/tool of system" >"$DIR/system/usr/bin/tool"
	find "$DIR/system" -exec touch -h -d @1600000000 {} +
	mlimg_boot
	same "what was done" rolled-back "$(jq -r .reconcile.done "$RUN/boot.json")"
	in_root 'cat merged/usr/bin/tool; sed -n 3p merged/etc/touching; sed -n 3p merged/etc/theirs'
	same "mine" "my tool
line 3 mine
line 3" "$output"
}
