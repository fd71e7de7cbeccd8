#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # power.bash
# Power cuts of boots and of a write load. A kill of QEMU loses nothing that has reached the host's memory; so most cuts are made on the host, out of a log of
# what the guest wrote and flushed (powercut.c), where what was not flushed is lost, torn or reordered.

load ../lib/common

setup_file() {
	load ../lib/small
	load ../lib/power
	power_make "$BATS_FILE_TMPDIR"
}

setup() {
	load ../lib/small
	load ../lib/power
	images=$BATS_FILE_TMPDIR
	system=$images/system.img user=$BATS_TEST_TMPDIR/user.img
	seed=${MLIMG_SEED:-$RANDOM}
	cuts=${POWERCUTS:-50}
	echo "MLIMG_SEED=$seed POWERCUTS=$cuts"
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

# cut_all LOG BASE CUTS GENERATION [BOOTED]: that many cuts out of a log that began with the disk BASE. A guest that has promised something more has come so far that the user
# layer knows its stack, generation GENERATION; before that it knows this one or the former. The first cut of a blank disk, of a boot and of the load is booted, too,
# unless BOOTED is "all".
cut_all() {
	local log=$1 base=$2 n=$3 cut said state image=$BATS_TEST_TMPDIR/cut.img booted=${5:-} power_generation before
	before=$(power_promise "$base")
	for ((cut = 0; cut < n; cut++)); do
		cp --sparse=always "$base" "$image"
		said=$(powercut "$log" "$image" "$cut" "$n" "$seed")
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

@test "power cut: of a first boot that formats, and of a load; then of a boot with another system and driver, and of a factory reset" {
	local base=$BATS_TEST_TMPDIR/base.img log=$BATS_TEST_TMPDIR/log part=$((cuts * 8 / 25))
	power_disk "$user"
	cp "$user" "$base"
	vm_union=overlay power_log 100 "$log"
	# What QEMU has logged is what was written.
	cp --sparse=always "$base" "$base.all"
	powercut "$log" "$base.all" 0 0 0
	cmp "$base.all" "$user"
	vm_union=overlay cut_all "$log" "$base" $part 1

	cp --sparse=always "$user" "$base"
	system=$images/system2.img
	vm_union=index power_log 200 "$log"
	vm_union=index cut_all "$log" "$base" $part 2

	# All that is set aside is in one place, wherever that is. Nobody looks for it there but a person, so no guest either.
	cp --sparse=always "$user" "$base"
	vm_union=index power_log '' "$log" --mode reset
	vm_union=index cut_all "$log" "$base" $((cuts * 4 / 25)) 3 all
}

@test "power cut: QEMU killed at any moment of boots and of the load" {
	local cut n=$(((cuts + 4) / 5)) before=0 said # bats changes i
	RANDOM=$seed
	power_disk "$user"
	for ((cut = 0; cut <= n; cut++)); do
		vm_union=$([ $((cut % 2)) = 0 ] && echo overlay || echo index) power_start 100000
		if [ $cut = "$n" ]; then
			vm_up t
			power_promised checked
			break
		fi
		# Half of them before the guest says anything: a boot takes some seconds.
		if [ $((cut % 2)) = 1 ]; then
			sleep "$((RANDOM % 8)).$((RANDOM % 1000))"
		else
			power_promised checked
			power_promised promise $((RANDOM % 40))
		fi
		power_cut
		said=$(tail -n 1 "$vms/promises")
		echo "cut $cut of $n: $(wc -l <"$vms/promises") lines, the last '$said'"
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
