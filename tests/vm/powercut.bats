#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # power.bash
# Power cuts of boots and of a write load. A kill of QEMU loses nothing that has reached the host's memory; so others are made on the host, out of a log of
# what the guest wrote and flushed (powercut.c), where what was not flushed is lost, torn or reordered.
# lasts 300

load ../lib/common

setup_file() {
	load ../lib/small
	load ../lib/power
	power_make "$BATS_FILE_TMPDIR" --unionfs "$(command -v unionfs)"
}

setup() {
	load ../lib/small
	load ../lib/power
	images=$BATS_FILE_TMPDIR
	system=$images/system.img user=$BATS_TEST_TMPDIR/user.img
	seed=${MLIMG_SEED:-$RANDOM}
	kills=${POWERCUTS:-50}
	echo "MLIMG_SEED=$seed POWERCUTS=$kills"
}

teardown() {
	vm_kill
	[ -z "${BATS_TEST_COMPLETED:-}" ] && [ -e "$BATS_TEST_TMPDIR/log" ] || return 0
	mkdir -p "$MLIMG_BUILD/test-results/powercut"
	cp --sparse=always "$BATS_TEST_TMPDIR/log" "$BATS_TEST_TMPDIR/base.img" "$MLIMG_BUILD/test-results/powercut/"
}

# boots IMAGE: a guest with that user layer comes up, and finds what was promised.
boots() {
	local promised
	promised=$(power_promise "$1")
	user=$1 power_start "$((promised + 5))"
	vm_up t && power_promised "done $((promised + 5))" && same "what the guest found" "checked $promised" "$(head -n 1 "$vms/promises")"
	vm_kill
}

# cut_all LOG BASE CUTS GENERATION [BOOTED]: that many cuts out of a log that began with the disk BASE. A guest that has promised something more
# has come so far that the user layer knows its stack, generation GENERATION; before that it knows this one or the former. The first cut of a
# blank disk, of a boot and of the load is booted, too, unless BOOTED names it (blank-boot, layer-boot, layer-load) or is "all". With WHERE "load" no
# cut is in the boot.
cut_all() {
	local log=$1 base=$2 n=$3 cut said state image=$BATS_TEST_TMPDIR/cut.img booted=${5:-} power_generation before skipped=0
	[ "${6:-}" != load ] || skipped=$n
	before=$(power_promise "$base")
	for ((cut = 0; cut < n; cut++)); do
		cp --sparse=always "$base" "$image"
		said=$(powercut "$log" "$image" $((skipped + cut)) $((skipped + n)) "$seed")
		echo "cut $cut of $n: $said"
		state=$(mlimg-agent identify "$image" | cut -f 2)
		case $state in
			layer)
				cp --sparse=always "$image" "$image.booted"
				power_holds "$image" "$system"
				if [ "$(power_promise "$image")" -gt "$before" ] || [ "$power_generation" -ne $(($4 - 1)) ]; then
					same "generation" "$4" "$power_generation"
				fi
				;;
			# Formatting was cut off: nothing can have been promised.
			blank) same "promises" 0 "$(power_promise "$image")" ;;
			*) same "what the disk holds" "layer" "$state" ;;
		esac
		case $booted in
			*all* | *"$state-${said%%,*}"*) ;;
			*)
				[ "$state" = layer ] || mv "$image" "$image.booted"
				boots "$image.booted"
				booted+=" $state-${said%%,*}"
				;;
		esac
	done
	echo "booted:$booted"
}

# share N: so many for 50 kills, but one in any case.
share() {
	echo $((kills * $1 / 50 > 0 ? kills * $1 / 50 : 1))
}

@test "power cut: of a first boot that formats, and of a load; then of a boot with another system and driver, and of a factory reset" {
	local base=$BATS_TEST_TMPDIR/base.img log=$BATS_TEST_TMPDIR/log part
	part=$(share 12)
	power_disk "$user"
	cp "$user" "$base"
	vm_union=overlay power_log 100 "$log"
	# What QEMU has logged is what was written.
	cp --sparse=always "$base" "$base.all"
	powercut "$log" "$base.all" 0 0 0
	cmp "$base.all" "$user"
	vm_union=overlay cut_all "$log" "$base" "$part" 1

	cp --sparse=always "$user" "$base"
	system=$images/system2.img
	vm_union=index power_log 200 "$log"
	vm_union=index cut_all "$log" "$base" "$part" 2 layer-load

	# All that is set aside is in one place, wherever that is. Nobody looks for it there but a person, so no guest either.
	cp --sparse=always "$user" "$base"
	vm_union=index power_log '' "$log" --mode reset
	vm_union=index cut_all "$log" "$base" "$(share 4)" 3 all
}

# cut_conversion LOG BASE CUTS DRIVER WANTED MARKS: that many cuts out of a log of a boot that converts for DRIVER, in the middle third of it, where
# the conversion is. Done again, the conversion ends like the one that was not cut, with WANTED. One cut, from which it had something left to do
# if there is one, is booted, and the guest shows MARKS.
cut_conversion() {
	local log=$1 base=$2 n=$3 cut said how image=$BATS_TEST_TMPDIR/cut.img chosen=$BATS_TEST_TMPDIR/chosen.img
	rm -f "$chosen"
	# A few may all miss it: then more, until one does not.
	for ((cut = 0; cut < n || (under_way == 0 && cut < n + 100); cut++)); do
		cp --sparse=always "$base" "$image"
		said=$(powercut "$log" "$image" $((n + cut % n)) $((3 * n)) $((seed + cut / n)))
		cp --sparse=always "$image" "$image.booted"
		power_converts "$image" "$4" >"$BATS_TEST_TMPDIR/found" 2>"$BATS_TEST_TMPDIR/how"
		how=$(paste -sd , "$BATS_TEST_TMPDIR/how")
		echo "cut $cut of $n: $said: $how"
		same "what is there" "$5" "$(cat "$BATS_TEST_TMPDIR/found")"
		if [[ $how == *"under way"* ]]; then
			under_way=$((under_way + 1))
			mv "$image.booted" "$chosen"
		elif [ ! -e "$chosen" ]; then
			mv "$image.booted" "$chosen"
		fi
	done
	user=$chosen vm_union=$4 power_start '' --convert
	vm_up t
	same "what the guest shows" "$6" "$(power_marks)"
	vm_stop t
	vm_clean "$chosen"
}

@test "power cut: of a conversion for unionfs-fuse, and of the way back" {
	local base=$BATS_TEST_TMPDIR/base.img log=$BATS_TEST_TMPDIR/log driver wanted marks under_way
	power_disk "$user"
	vm_union=overlay power_start ''
	vm_up t
	vm_do t "$POWER_MARKS"
	marks=$(power_marks)
	vm_stop t
	for driver in unionfs overlay; do
		cp --sparse=always "$user" "$base"
		vm_union=$driver power_logged '' "$log" --convert
		vm_up t
		same "what the guest shows" "$marks" "$(power_marks)"
		vm_stop t
		vm_clean "$user"
		cp --sparse=always "$user" "$base.all"
		wanted=$(power_converts "$base.all" $driver)
		under_way=0
		cut_conversion "$log" "$base" "$(share 4)" $driver "$wanted" "$marks"
		echo "cuts in the middle of the conversion to $driver: $under_way"
		[ "$under_way" -gt 0 ]
	done
}

# How far a boot comes before QEMU is killed, in turns. So that there is something to do, "reconcile" begins with another system, "growth"
# with a larger disk, and "format" with one that is blank; what is before "fsck" has left a journal.
MOMENTS='format load fsck reconcile union load growth early layers switch-root'

# reaches MOMENT: guest "t" has come so far, and then some time has passed.
reaches() {
	case $1 in
		load) power_promised checked && power_promised promise $((RANDOM % 40)) ;;
		format) power_staged 'user: making the user layer' && sleep "0.$((RANDOM % 5))" ;;
		early) sleep "$((RANDOM % 3)).$((RANDOM % 10))" ;;
		fsck | growth) power_staged user && sleep "0.$((RANDOM % 8))" ;;
		*) power_staged "$1" && sleep "0.$((RANDOM % 4))$((RANDOM % 10))" ;;
	esac
}

# kill_at COUNT DRIVER…: QEMU is killed so many times, at all moments in turns, and each moment with another driver in the next turn. A guest that
# comes up after it finds all that was promised.
kill_at() {
	local cut n=$1 drivers=("${@:2}") before=0 said moment moments driver=''
	read -ra moments <<<"$MOMENTS"
	RANDOM=$seed
	for ((cut = 0; cut <= n; cut++)); do
		moment=${moments[cut % ${#moments[@]}]}
		if [ "$moment" = format ]; then
			# The disk that goes has its guest first.
			[ -z "$driver" ] || vm_union=$driver boots "$user"
			power_disk "$user"
			before=0
		fi
		[ "$moment" != reconcile ] || system=$images/system$([ "$system" != "$images/system.img" ] || echo 2).img
		[ "$moment" != growth ] || [ "$cut" -gt 100 ] || power_enlarge "$user" 128
		driver=${drivers[(cut + cut / ${#moments[@]}) % ${#drivers[@]}]}
		vm_union=$driver power_start 100000
		if [ $cut = "$n" ]; then
			vm_up t
			power_promised checked
			break
		fi
		reaches "$moment"
		power_cut
		said=$(tail -n 1 "$vms/promises")
		echo "cut $cut of $n, $moment: stages $(power_stages); $(wc -l <"$vms/promises") lines, the last '$said'"
		same "what the guest found broken" "" "$(grep broken "$vms/promises" || :)"
		case $said in
			promise*) before=${said#promise } ;;
		esac
		[ "$(power_promise "$user")" -ge "$before" ]
	done
	said=$(sed -n 's/^checked //p' "$vms/promises")
	echo "after all: $said steps, $before promised over the port"
	[ "$said" -ge "$before" ]
	power_cut
}

# Of 50 kills five are with unionfs, whose disks are no other driver's: what boots write is for the most part the same with each.
@test "power cut: QEMU killed at every stage of boots and in the load" {
	kill_at $((kills - $(share 5))) overlay index
}

@test "power cut: QEMU killed on unionfs-fuse" {
	kill_at "$(share 5)" unionfs
}

@test "power cut: of a load on unionfs-fuse" {
	local base=$BATS_TEST_TMPDIR/base.img log=$BATS_TEST_TMPDIR/log
	power_disk "$user"
	cp "$user" "$base"
	vm_union=unionfs power_log 100 "$log"
	vm_union=unionfs cut_all "$log" "$base" "$(share 4)" 1 '' load
}
