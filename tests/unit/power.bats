# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The tools of vm/powercut.bats: the load and its checker, and what makes power cuts out of a log of writes.

load ../lib/common

# Every step syncs, for which a disk that others use takes long.
setup() {
	dir=$(mktemp -d -p /dev/shm mlimg-power.XXXXXX || mktemp -d)
	cd "$dir" || return
}

teardown() {
	rm -rf "$dir"
}

# A tree with the load, of which so many steps are done and promised.
load_tree() {
	mkdir tree
	truncate -s 4608 disk
	works powerload make tree
	works powerload run tree "$1" disk
}

@test "powerload: goes on where it was, and knows what it promised" {
	load_tree 60
	same "says" "checked 0
$(seq -f 'promise %g' 60)
done 60" "$output"
	works powerload check tree disk
	same "check" "checked 60" "$output"
	works powerload run tree 200 disk
	same "first line" "checked 60" "${lines[0]}"
	same "last line" "done 200" "${lines[-1]}"
	same "the last sector" "mlimg-power 200" "$(tail -c 512 disk | tr -d '\0')"
}

# promised N: as if so many steps were promised.
promised() {
	printf 'mlimg-power %s\n' "$1" | dd of=disk bs=512 seek=8 conv=notrunc,sync status=none
}

@test "powerload: a step that was not promised may be there, or not; one that was promised must be" {
	load_tree 149
	cp -a tree before
	works powerload run tree 150 disk
	promised 149
	works powerload check tree disk
	promised 148
	run powerload check tree disk
	same "status" 1 "$status"
	promised 150
	run powerload check before disk
	same "status" 1 "$status"
	[[ $output =~ 'is not as it was promised' ]]
}

# broken MESSAGE: the checker says so of the tree, which is then made whole.
broken() {
	fails 1 "powerload: $1, after 150 steps" powerload check tree disk
	rm -r tree
	cp -a whole tree
}

@test "powerload: finds what is lost, torn, and what has come back" {
	local file
	load_tree 150
	cp -a tree whole
	file=tree/$(cd tree && find usr/share/load srv/load -name 'file-*' | sort | head -n 1)
	rm "$file"
	run -1 powerload check tree disk
	[[ $output =~ "${file#tree/} ".*' is not as it was promised' ]]
	cp -a whole/. tree
	truncate -s -1 "$file"
	run -1 powerload check tree disk
	cp -a whole/. tree
	printf '\0' | dd of="$file" bs=1 seek=10 conv=notrunc status=none
	run -1 powerload check tree disk
	cp -a whole/. tree
	printf x | dd of=tree/usr/share/load/pages bs=1 seek=20000 conv=notrunc status=none
	run -1 powerload check tree disk
	[[ $output =~ 'page-4 4 is not as it was promised' ]]
	cp -a whole/. tree
	: >tree/usr/share/load/copy-7
	broken "usr/share/load/copy-7 has only 0 of the layer's bytes"
	printf '\0' | dd of=tree/usr/share/load/copy-63 bs=1 seek=4999 conv=notrunc status=none
	broken "usr/share/load/copy-63 has not the layer's bytes"
	touch tree/srv/load/came-back
	broken "srv/load/came-back is there"
	mkdir tree/srv/load/tree-0.new
	broken "srv/load/tree-0.new is there"
	works powerload check tree disk
}

le() { # N BYTES, which is 4 or 8
	perl -e 'print pack($ARGV[1] == 4 ? "V" : "Q<", $ARGV[0])' "$1" "$2"
}

zeros() { # BYTES
	head -c "$1" /dev/zero
}

# entry SECTOR SECTORS FLAGS: and for what is written the sectors, of standard input
entry() {
	perl -e 'print pack("Q<4 x480", @ARGV)' "$1" "$2" "$3" 0
	[ "$2" -eq 0 ] || cat
}

letters() { # LETTER SECTORS
	zeros $(($2 * 512)) | tr '\0' "$1"
}

# Blocks of 4096: A in 0 and 1; flush; B in 0, then C in 0 and 1; flush; a promise; D in 1; flush.
make_log() {
	{
		le $((0x6a736677736872)) 8
		le 1 8
		le 8 8
		le 512 4
		zeros 484
		letters A 16 | entry 0 16 0
		entry 0 0 1
		letters B 8 | entry 0 8 0
		letters C 16 | entry 0 16 0
		entry 0 0 1
		printf 'mlimg-power 7\n' | dd bs=512 conv=sync status=none | entry 16 1 0
		letters D 8 | entry 8 8 0
		entry 0 0 1
	} >log
}

# look IMAGE…: blocks 0 and 1 of each, a run of letters as one, and the promise
look() {
	perl -e 'for (@ARGV) {
		open(my $f, "<", $_) or die; read($f, my $all, 8704);
		$all =~ tr/\0/0/; my @parts = unpack("a4096 a4096 a*", $all);
		s/(.)\1*/$1/g for @parts[0, 1]; $parts[2] =~ s/0+$//; print "@parts[0, 1] $parts[2]\n" }' "$@" | sed '/^$/d; s/ *$//'
}

# all_of CUT CUTS [ATOM]: what comes of it, with any seed
all_of() {
	local seed
	rm -f image.*
	for seed in {1..150}; do
		truncate -s 8704 "image.$seed"
		powercut log "image.$seed" "$1" "$2" "$seed" ${3:+"$3"} >>said || return
	done
	look image.* | LC_ALL=C sort -u
}

@test "powercut: what was flushed is there, and of the rest anything that a disk may do" {
	make_log
	same "a cut of the boot" "0 0
0 A
A 0
A A
A C
B A
B C
C A
C C" "$(all_of 0 1)"
	same "a cut behind the first promise" "C C mlimg-power 7
C D mlimg-power 7" "$(all_of 1 2)"
	same "ways" 6 "$(sed 's/.*written: //; s/, [0-9]* bytes$//' said | sort -u | wc -l)"
	same "all of it" "C D mlimg-power 7" "$(all_of 2 2)"
}

@test "powercut: with atoms of a sector a block is torn" {
	make_log
	all_of 0 1 512 >found
	grep -q '^[0A]*0A0' found
	grep -q '^[ABC]*ABC' found
}

@test "powercut: a log that is none" {
	make_log
	truncate -s 8704 image
	fails 2 "usage: powercut LOG IMAGE CUT CUTS SEED [ATOM]" powercut log image
	fails 1 "powercut: no cut 3 of 2, or no disk writes 4096 bytes" powercut log image 3 2 1
	fails 1 "powercut: 'x' is no number" powercut log image x 2 1
	truncate -s 8192 image
	fails 1 "powercut: image has no sector for promises" powercut log image 0 1 1
	truncate -s 8704 image
	cp log whole
	printf 'x' | dd of=log bs=1 conv=notrunc status=none
	fails 1 "powercut: no log of writes" powercut log image 0 1 1
	head -c 9000 whole >log
	fails 1 "powercut: the log ends at byte 9216" powercut log image 0 1 1
	cp whole log
	printf '\xff' | dd of=log bs=1 seek=514 conv=notrunc status=none
	fails 1 "powercut: entry 0 of 8 is damaged" powercut log image 0 1 1
}
