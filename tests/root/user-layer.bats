#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The user layer on a real file system: growing, and what a former system beneath it has left in it.
load ../lib/common

setup() {
	need root
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run/mlimg
	mkdir -p "$RUN/layers" "$RUN/user" "$DIR"/{v1,v2}/etc
	echo one >"$DIR/v1/etc/version"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	LOOP=
}

teardown() {
	local dir
	for dir in "$DIR/root" "$DIR/base" "$RUN/user"; do
		umount -q -R "$dir" || :
	done
	[ -z "$LOOP" ] || losetup -d "$LOOP"
}

# user_layer SIZE: an image on a loop device, $LOOP, mounted as the initramfs does.
user_layer() {
	mlimg-mkfs --quiet --kind user --name alice --size "$1" "$DIR/user.img"
	LOOP=$(losetup --show -f "$DIR/user.img")
	mount -t ext4 -o nosuid,nodev "$LOOP" "$RUN/user"
	TENANT=$(jq -r .build_id "$RUN/user/mlimg/layer.json")
}

prepare() {
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-v1" "$RUN/layers/0"
	mkdir "$RUN/layers/0/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" "$@"
}

# grown: what boot.json says.
grown() {
	jq -rc '.user.grown | if . then "\(.from_bytes) \(.to_bytes)" else . end' "$RUN/boot.json"
}

@test "grow: what the kernel refuses is a note" {
	user_layer 20M
	prepare --user-dev "$LOOP"
	same "on a disk of its size" "null []" "$(grown) $(jq -c .notes "$RUN/boot.json")"
	works mlimg-agent commit --root "$RUN"
	truncate -s 100M "$DIR/user.img"
	losetup -c "$LOOP"
	mount -o remount,ro "$RUN/user"
	prepare --user-dev "$LOOP"
	same "grown" null "$(grown)"
	# Without CAP_SYS_RESOURCE the kernel does not even look.
	same "notes" "[\"the user layer did not grow: resize the file system on $LOOP to 25600 blocks: Read-only file system\"]" \
		"$(jq -c .notes "$RUN/boot.json" | sed 's/Operation not permitted/Read-only file system/')"
}

# merged: a merged root with carve-outs, over a directory as lower. Declarations are in $DIR/lower/etc/mlimg/carve-outs.d.
merged() {
	mkdir -p "$DIR/root" "$DIR/lower/etc/mlimg/carve-outs.d"
	mount -t overlay -o "lowerdir=$DIR/lower,upperdir=$RUN/user/upper,workdir=$RUN/user/work,index=off,metacopy=off,redirect_dir=on" overlay "$DIR/root"
}

# carve MODE: what commit mounts; prints carve-outs and notes.
carve() {
	prepare --mode "$1"
	works mlimg-agent commit --root "$RUN" --merged "$DIR/root" --mode "$1"
	jq -r '.carve_outs[], .notes[]' "$RUN/boot.json"
	printf '%s' "$output" >"$DIR/said"
}

# What commit has said to the console.
said() {
	cat "$DIR/said"
}

@test "carve-outs: made like the directory in the merged root, or made there; symbolic links and files are left alone" {
	user_layer 20M
	mkdir -p "$DIR/lower/etc/mlimg/carve-outs.d" "$DIR/lower/srv/data" "$DIR/lower/var/real"
	cd "$DIR/lower"
	chown 12:34 srv/data
	chmod 2775 srv/data
	ln -s real var/link
	: >var/file
	printf '/srv/data\n/var/link\n/var/link/x\n/var/file\n/new/dir\n' >etc/mlimg/carve-outs.d/a.conf
	echo /var/real >etc/mlimg/carve-outs.d/not-conf
	echo /var/real >etc/mlimg/carve-outs.d/.hidden.conf
	mkfifo etc/mlimg/carve-outs.d/fifo.conf
	merged
	same "carve-outs and notes" "/srv/data
/new/dir
a.conf, line 3: '/var/link/x' and '/var/link' lie in each other
carve-outs.d/fifo.conf is no file that can be read
the carve-out '/var/link' is no directory, or lies behind a symbolic link: Too many levels of symbolic links
the carve-out '/var/file' is no directory, or lies behind a symbolic link: Not a directory" "$(carve normal)"
	same "owners and modes" "12:34 2775 0:0 755" "$(stat -c '%u:%g %a' "$DIR"/root/{srv/data,new/dir} | xargs)"
	cp /bin/true "$DIR/root/srv/data/program"
	chmod 4755 "$DIR/root/srv/data/program"
	mknod "$DIR/root/srv/data/null" c 1 3
	: >"$DIR/root/srv/data/null"
	same "where it lies" "null program" "$(find "$RUN/user/carve-outs/srv/data" -mindepth 1 -printf '%f\n' | sort | xargs)"
	same "in upper" "" "$(find "$RUN/user/upper" -type f)"
	same "options of the user layer's own mount" "nosuid,nodev" "$(findmnt -no OPTIONS "$RUN/user" | grep -o nosuid,nodev)"
	same "options" "0" "$(findmnt -no OPTIONS "$DIR/root/srv/data" | grep -c -e nosuid -e nodev || :)"
	umount "$DIR/root/srv/data" "$DIR/root/new/dir"
	same "readonly: those that are there" "/srv/data
/new/dir" "$(carve readonly | head -n 2)"
	run touch "$DIR/root/srv/data/x"
	[[ $status -eq 1 && $output == *"Read-only file system" ]]
	umount "$DIR/root/srv/data" "$DIR/root/new/dir"
	mkdir "$RUN/volatile"
	carve volatile >/dev/null
	same "volatile: empty" "" "$(ls -A "$DIR/root/srv/data")"
	same "volatile: where it lies" "12:34" "$(stat -c %u:%g "$RUN/volatile/carve-outs/srv/data")"
	umount "$DIR/root/srv/data" "$DIR/root/new/dir"
}

@test "carve-outs: a user layer whose carve-outs lead elsewhere, or that has no room" {
	user_layer 16M
	mkdir -p "$DIR/lower/srv" "$DIR/lower/var/real" "$DIR/elsewhere"
	mkdir -p "$DIR/lower/etc/mlimg/carve-outs.d" "$RUN/user/carve-outs"
	printf '/srv\n/var/real\n' >"$DIR/lower/etc/mlimg/carve-outs.d/a.conf"
	ln -s "$DIR/elsewhere" "$RUN/user/carve-outs/srv"
	merged
	same "carve-outs and notes" "/var/real
the carve-out '/srv' has no place in the user layer: Too many levels of symbolic links" "$(carve normal)"
	umount "$DIR/root/var/real"
	rm -r "$RUN/user/carve-outs"
	ln -s "$DIR/elsewhere" "$RUN/user/carve-outs"
	same "carve-outs and notes" "no carve-outs: open 'user/carve-outs': Too many levels of symbolic links" "$(carve normal)"
	rm "$RUN/user/carve-outs"
	dd if=/dev/zero of="$RUN/user/fill" bs=1M 2>/dev/null || :
	sync -f "$RUN/user"
	dd if=/dev/zero of="$RUN/user/more" bs=4k 2>/dev/null || :
	same "carve-outs and notes" "no carve-outs: make 'user/carve-outs': No space left on device" "$(carve normal | grep carve)"
	same "elsewhere" "" "$(ls -A "$DIR/elsewhere")"
}

# begins [PATH…]: a boot with these declared, on the merged root $DIR/root; carving that, and ends.
begins() {
	ends
	mkdir -p "$DIR/lower/etc/mlimg/carve-outs.d"
	printf '/%s\n' "$@" >"$DIR/lower/etc/mlimg/carve-outs.d/a.conf"
	[ $# -gt 0 ] || : >"$DIR/lower/etc/mlimg/carve-outs.d/a.conf"
	merged
}

ends() {
	umount -q -R "$DIR/root" || :
}

@test "carve-outs: one that would hide the user's own files is left out, at each boot until they are elsewhere" {
	local mode said="the carve-out '/srv/data' is left out, for the user layer has files there: move them elsewhere, boot again, and move them back"
	user_layer 20M
	mkdir -p "$DIR/lower/srv/data"
	echo layer | tee "$DIR/lower/srv/data/a" >"$DIR/lower/srv/data/b"
	begins
	echo mine >"$DIR/root/srv/data/mine"
	for mode in normal normal readonly volatile; do
		mkdir -p "$RUN/volatile"
		begins srv/data
		same "carve-outs and notes, $mode" "$said" "$(carve $mode)"
		same "on the console, $mode" "$said" "$(said)"
		same "in view, $mode" "a b mine" "$(find "$DIR/root/srv/data" -type f -printf '%f\n' | sort | xargs)"
	done
	[ ! -e "$RUN/user/carve-outs/srv/data" ]
	# A rescue shows nothing of the user's. (Its upper would be another.)
	same "rescue" "/srv/data
the carve-out '/srv/data' hides what the layers have there" "$(carve rescue)"
	rm -r "$RUN/volatile"
	# Whiteouts and empty directories are no files.
	begins srv/data
	mv "$DIR/root/srv/data/mine" "$DIR/root/srv/mine"
	rm "$DIR/root/srv/data/a"
	mkdir "$DIR/root/srv/data/empty"
	same "when they are elsewhere" "/srv/data
the carve-out '/srv/data' hides what the layers have there" "$(carve normal)"
	same "on the console" "" "$(said)"
	mv "$DIR/root/srv/mine" "$DIR/root/srv/data/mine"
	begins srv/data
	same "from then on" "/srv/data" "$(carve normal)"
	same "in view" mine "$(cat "$DIR/root/srv/data/mine")"
}

@test "carve-outs: a directory of the layers that the user has renamed has files of the user's" {
	local dir
	user_layer 20M
	mkdir -p "$DIR/lower/srv/old/sub" "$DIR/lower/opt/x/y" "$DIR/lower/home/z"
	touch "$DIR/lower/srv/old/sub/file" "$DIR/lower/opt/x/y/file" "$DIR/lower/home/z/file"
	begins
	mv "$DIR/root/srv/old" "$DIR/root/srv/data"
	mv "$DIR/root/opt/x" "$DIR/root/opt/moved"
	mkdir "$DIR/root/home/new"
	mv "$DIR/root/home/z" "$DIR/root/home/new/z"
	begins srv/data opt/moved/y home/new
	same "left out" "$(printf "the carve-out '/%s' is left out, for the user layer has files there: move them elsewhere, boot again, and move them back\n" srv/data opt/moved/y home/new)" "$(carve normal)"
}

@test "carve-outs: one that could not be made for want of room is left out when the user has files there by then" {
	local mib
	user_layer 16M
	mkdir -p "$DIR/lower/srv/data"
	begins srv/data
	for mib in M k; do dd if=/dev/zero of="$RUN/user/fill$mib" bs=1$mib 2>/dev/null || :; done
	same "carve-outs" 0 "$(carve normal | grep -c '^/' || :)"
	rm "$RUN/user/fillM" "$RUN/user/fillk"
	begins
	echo mine >"$DIR/root/srv/data/mine"
	begins srv/data
	[[ "$(carve normal)" == *"the carve-out '/srv/data' is left out, for the user layer has files there"* ]]
	same "in view" mine "$(cat "$DIR/root/srv/data/mine")"
}

@test "carve-outs: one that is no longer declared stays as long as it has files" {
	local said="the carve-out '/srv/data' is no longer declared, and stays for the files in it: move them elsewhere, and the next boot leaves it out" mode
	user_layer 20M
	mkdir -p "$DIR/lower/srv/data"
	echo layer >"$DIR/lower/srv/data/a"
	begins srv/data srv/empty
	carve normal >/dev/null
	same "recorded" "/srv/data /srv/empty" "$(grep -v '^#' "$RUN/user/mlimg/carve-outs" | xargs)"
	echo mine >"$DIR/root/srv/data/mine"
	for mode in normal normal readonly; do
		begins
		same "carve-outs and notes, $mode" "/srv/data
$said" "$(carve $mode)"
		same "in view, $mode" "mine" "$(ls "$DIR/root/srv/data")"
	done
	[ ! -e "$RUN/user/carve-outs/srv/empty" ]
	mv "$RUN/user/carve-outs/srv/data/mine" "$DIR/mine"
	begins
	same "when it is empty" "" "$(carve normal)"
	same "in view" a "$(ls "$DIR/root/srv/data")"
	same "recorded" "" "$(grep -v '^#' "$RUN/user/mlimg/carve-outs" || :)"
	[ ! -e "$RUN/user/carve-outs/srv/data" ]
}

@test "carve-outs: above or below one that is no longer declared" {
	user_layer 20M
	mkdir -p "$DIR/lower/srv"
	begins srv/data
	carve normal >/dev/null
	echo mine >"$DIR/root/srv/data/mine"
	# All of it is one then.
	begins srv
	same "above" "/srv" "$(carve normal)"
	same "in view" mine "$(cat "$DIR/root/srv/data/mine")"
	begins srv/data/deep
	same "below" "/srv
the carve-out '/srv/data/deep' lies in '/srv', which is no longer declared and has files
the carve-out '/srv' is no longer declared, and stays for the files in it: move them elsewhere, and the next boot leaves it out" "$(carve normal)"
	same "in view" mine "$(cat "$DIR/root/srv/data/mine")"
	# A directory on the way to another is not one that was made.
	begins srv/data
	ends
	rm -r "$RUN/user/carve-outs/srv" "$RUN/user/mlimg/carve-outs"
	begins srv/data
	carve normal >/dev/null
	echo mine >"$DIR/root/srv/data/mine"
	echo mine >"$DIR/root/srv/beside"
	begins srv
	same "above, with files of the user's" "/srv/data
the carve-out '/srv' is left out, for the user layer has files there: move them elsewhere, boot again, and move them back
the carve-out '/srv/data' is no longer declared, and stays for the files in it: move them elsewhere, and the next boot leaves it out" "$(carve normal)"
	same "in view" "mine mine" "$(cat "$DIR/root/srv/data/mine" "$DIR/root/srv/beside" | xargs)"
}

@test "carve-outs: files of one that cannot be mounted any more: it is said where they are" {
	local where="the carve-out '/srv/data' is not mounted: its files are in /run/mlimg/user/carve-outs/srv/data"
	user_layer 20M
	mkdir -p "$DIR/lower/srv"
	begins srv/data
	carve normal >/dev/null
	echo mine >"$DIR/root/srv/data/mine"
	begins
	rmdir "$DIR/root/srv/data"
	ends
	ln -s / "$DIR/lower/srv/data"
	begins
	same "no longer declared" "$where
the carve-out '/srv/data' is no directory, or lies behind a symbolic link: Too many levels of symbolic links" "$(carve normal)"
	same "on the console" "$where" "$(said)"
	begins srv/data
	same "declared" "$where
the carve-out '/srv/data' is no directory, or lies behind a symbolic link: Too many levels of symbolic links" "$(carve normal)"
	rm "$DIR/lower/srv/data"
	begins
	same "when it can be" "mine" "$(carve normal >/dev/null && cat "$DIR/root/srv/data/mine")"
	# What cannot be recorded or read stops nothing.
	ends
	echo 'no path' >"$RUN/user/mlimg/carve-outs"
	begins srv/data
	same "a record of nonsense" "/srv/data" "$(carve normal)"
	same "recorded" "/srv/data" "$(grep -v '^#' "$RUN/user/mlimg/carve-outs")"
	begins srv/data
	rm "$RUN/user/mlimg/carve-outs"
	mkdir "$RUN/user/mlimg/carve-outs"
	same "something else in its place" "/srv/data
user/mlimg/carve-outs was no file: set aside as user/mlimg/carve-outs.misplaced" "$(carve normal)"
}

# The kernel notes in what is copied up where it came from (trusted.overlay.origin). On another file system beneath, such a note must not
# be taken for a file that happens to have the same number there.
@test "a former system beneath: what came from it shows as it is, and inode numbers are steady" {
	local n names root=$DIR/root
	user_layer 40M
	for n in 1 2; do
		mkdir -p "$DIR/s$n/dir/sub"
		seq 50 | while read -r i; do echo "$n.$i" >"$DIR/s$n/dir/f$i"; done
		echo "$n" >"$DIR/s$n/dir/sub/deep"
		# The same places, and so the same numbers, with other contents; the same UUID is what makes origins seem right.
		SOURCE_DATE_EPOCH=1 mlimg-mkfs --quiet --kind system --name s --version "$n" "$DIR/s$n" "$DIR/s$n.img"
	done
	tune2fs -f -U "$(dumpe2fs -h "$DIR/s1.img" 2>/dev/null | sed -n 's/^Filesystem UUID: *//p')" "$DIR/s2.img" >/dev/null 2>&1
	mkdir "$DIR/base" "$root"
	on() {
		mount -t ext4 -o ro,noload,loop "$DIR/s$1.img" "$DIR/base"
		mount -t overlay -o "lowerdir=$DIR/base/rootfs,upperdir=$RUN/user/upper,workdir=$RUN/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on" overlay "$root"
	}
	off() {
		umount "$root"
		umount "$DIR/base"
	}
	on 1
	for n in 1 2 3 4 5; do echo mine >>"$root/dir/f$n"; done
	chmod 0700 "$root/dir/f6"
	ln "$root/dir/f7" "$root/dir/link"
	rm "$root/dir/f8"
	mv "$root/dir/sub" "$root/dir/moved"
	mv "$root/dir" "$root/away"
	off
	on 2
	same "renamed directory" "1.1 mine 1.6 1.7 2.9 2" "$(cat "$root"/away/{f1,f6,f7,f9,moved/deep} | xargs)"
	[ ! -e "$root/dir" ]
	[ ! -e "$root/away/f8" ]
	same "hard link" 2 "$(stat -c %h "$root/away/link")"
	names=$(find "$root" -mindepth 1 -printf '%P %i %D\n' | LC_ALL=C sort)
	same "numbers in a listing and by stat" "" "$(
		find "$root" -type f | while read -r name; do
			[ "$(stat -c %i "$name")" = "$(find "${name%/*}" -maxdepth 1 -path "$name" -printf '%i\n')" ] || echo "$name"
		done
	)"
	same "two files with one number" "" "$(awk '$1 != "away/link" && $1 != "away/f7" { print $2, $3 }' <<<"$names" | sort | uniq -d)"
	echo more >>"$root/away/f1"
	echo new >>"$root/away/f9"
	mv "$root/away/moved" "$root/back"
	rm "$root/away/f2"
	off
	on 2
	same "after a remount" "1.1 mine more 2.9 new 2" "$(cat "$root"/away/{f1,f9} "$root/back/deep" | xargs)"
	same "numbers" "" "$(join <(sort <<<"$names") <(find "$root" -mindepth 1 -printf '%P %i\n' | sort) | awk '$1 !~ /f1$|f9$|moved/ && $2 != $4')"
	off
	on 1
	same "back on the first" "1.1 mine more 2.9 new 1.10 1" "$(cat "$root"/away/{f1,f9,f10} "$root/back/deep" | xargs)"
	off
}

# agrees VERSION: prepare and commit on that system, whose tree is $DIR/VERSION.
agrees() {
	local id=$V1
	[ "$1" = v1 ] || id=$V2
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-$1" "$RUN/layers/0"
	ln -s "$DIR/$1" "$RUN/layers/0/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$id" --user "$TENANT"
	works mlimg-agent commit --root "$RUN"
}

# What the user sees and what is kept, with times.
all_of_it() {
	(
		cd "$RUN/user" || exit
		treelist upper
		find mlimg -not -path 'mlimg/reports*' -printf '%p %y %s\n' | grep -v '^mlimg d ' | sort
		cat mlimg/state.json
	)
}

# What was renamed is a copy of the layer's file as long as it says so; that one shows again when what is in its place is the same, and goes.
@test "a log that was renamed, and an empty one in its place, stay two files on another stack" {
	local root=$DIR/root tools
	user_layer 16M
	mkdir -p "$DIR/v1/var/log" "$DIR/tools/srv" "$root"
	install -m 0660 /dev/null "$DIR/v1/var/log/btmp"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	tools=$(layerdir software tools 1 "$DIR/tools" "$DIR/layer-tools")
	on() {
		mount -t overlay -o "lowerdir=$1,upperdir=$RUN/user/upper,workdir=$RUN/user/work,index=off,metacopy=off,xino=auto,redirect_dir=on" overlay "$root"
	}
	agrees v1
	on "$DIR/v1"
	echo login >>"$root/var/log/btmp"
	mv "$root/var/log/btmp" "$root/var/log/btmp.1"
	install -m 0660 /dev/null "$root/var/log/btmp"
	umount "$root"
	getfattr --absolute-names -n trusted.overlay.origin "$RUN/user/upper/var/log/btmp.1" >/dev/null
	cp -r "$DIR/layer-tools" "$RUN/layers/1"
	ln -s "$DIR/tools" "$RUN/layers/1/rootfs"
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --software "$tools" --user "$TENANT"
	[ ! -e "$RUN/user/upper/var/log/btmp" ]
	on "$DIR/tools:$DIR/v1"
	same "logs, the renamed one first" login "$(cat "$root"/var/log/{btmp.1,btmp})"
	echo new >>"$root/var/log/btmp"
	same "written to" "new login" "$(cat "$root"/var/log/{btmp,btmp.1} | xargs)"
	same "numbers" 2 "$(stat -c %i "$root"/var/log/{btmp,btmp.1} | sort -u | wc -l)"
}

@test "another system on a file system that is nearly full: all of the change is made, or nothing; and it is taken back where there is room" {
	local i blocks before changed=0 unchanged=0 back=0
	user_layer 16M
	mkdir -p "$DIR"/v{1,2}/{etc/many,usr/lib}
	for i in $(seq 150); do
		echo "one $i" >"$DIR/v1/etc/many/file-$i"
		echo "two $i" >"$DIR/v2/etc/many/file-$i"
		echo "one $i" >"$DIR/v1/usr/lib/a-long-name-of-a-library-so-that-directories-take-blocks-$i"
		echo "two $i" >"$DIR/v2/usr/lib/a-long-name-of-a-library-so-that-directories-take-blocks-$i"
	done
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	agrees v1
	# Stale copies, files to be set aside, files with a new one beside.
	cp -a "$DIR/v1/etc" "$DIR/v1/usr" "$RUN/user/upper"
	for i in $(seq 150); do
		echo mine >"$RUN/user/upper/usr/lib/a-long-name-of-a-library-so-that-directories-take-blocks-$i"
		[ "$i" -gt 40 ] || echo mine >"$RUN/user/upper/etc/many/file-$i"
	done
	before=$(all_of_it)
	sync -f "$RUN/user"
	umount "$RUN/user"
	cp --sparse=always "$DIR/user.img" "$DIR/start.img"
	for blocks in 5 30 60 90 120 150 240; do
		cp --sparse=always "$DIR/start.img" "$DIR/user.img"
		losetup -c "$LOOP"
		blockdev --flushbufs "$LOOP"
		mount -t ext4 -o nosuid,nodev "$LOOP" "$RUN/user"
		fallocate -l $((($(stat -f -c %a "$RUN/user") - blocks) * 4096)) "$RUN/user/ballast"
		agrees v2
		if [ "$(jq -r .reconcile.done "$RUN/boot.json")" = reconciled ]; then
			changed=$((changed + 1))
			same "set aside" 150 "$(find "$RUN/user/mlimg/aside/2/usr/lib" -type f | wc -l)"
			same "beside" 40 "$(find "$RUN/user/upper/etc/many" -name '*.mlimg-new' | wc -l)"
			same "in upper" 80 "$(find "$RUN/user/upper" -type f | wc -l)"
			agrees v1
			if [ "$(jq -r .reconcile.done "$RUN/boot.json")" = rolled-back ]; then
				back=$((back + 1))
				same "upper after all" "$(grep '^\./' <<<"$before")" "$(all_of_it | grep '^\./')"
			else
				# The way back wants room of its own; the former stack is then any other stack.
				jq -r '.notes[]' "$RUN/boot.json" |
					grep -Eqx 'the last change is not taken back: user/mlimg: [0-9]+ blocks are wanted, and [0-9]+ are free: No space left on device'
			fi
		else
			unchanged=$((unchanged + 1))
			same "with $blocks blocks" "$before" "$(all_of_it)"
		fi
		umount "$RUN/user"
		e2fsck -fn "$LOOP" >/dev/null 2>&1
	done
	echo "changed $changed, $back of them taken back, unchanged $unchanged"
	[ "$changed" -gt 1 ]
	[ "$back" -gt 1 ]
	[ "$unchanged" -gt 1 ]
}
