# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Guests for the vm tests and the demo: `vm_start` runs mlimg-vm in the background, with the tests' command channel beside the agent's port.
# The caller sets vms, a directory whose path leaves room for unix sockets. Every function says on stderr what went wrong.

: "${vms:?}"
VM_BOOT_SECONDS=${VM_BOOT_SECONDS:-300}
# What every guest's kernel is told. Some 300 lines that are no errors, each letter of which is a device's emulation: a small guest's boot takes a tenth less
# of the processor without. And the kernel's tests of its own ciphers, 0.9 of the 1.5 thousand million instructions until it runs its init.
VM_APPEND='quiet cryptomgr.notests'
# Sourced from a function by bats, so it must be said that it is global.
declare -gA vm_pids

# vm_split ARGUMENT…: sets given to what is before "--", and more to what is behind; both are the caller's.
vm_split() {
	given=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		given+=("$1")
		shift
	done
	more=("${@:2}")
}

# vm_append WORD…: adds them to the kernel's command line, behind what given has for it.
vm_append() {
	local i
	for i in "${!given[@]}"; do
		if [ "${given[i]}" = --append ]; then
			given[i + 1]+=" $*"
			return
		fi
	done
	given+=(--append "$*")
}

# vm_start NAME ARGUMENT-OF-mlimg-vm-run… [-- QEMU-ARGUMENT…]: with the union driver $vm_union; without, with the one that mlimg-vm
# chooses, which for the tests' systems is the index.
vm_start() {
	local name=$1 given more
	vm_split "${@:2}"
	# shellcheck disable=SC2086 # words
	vm_append $VM_APPEND
	mkdir -p "$vms"
	: >"$vms/$name.out"
	# Closed: descriptors of bats and of locks, which a guest must not hold.
	mlimg-vm run --name "$name" --runtime-dir "$vms" --cache-dir "$vms/indexes" \
		--union "${vm_union:-auto}" --boot-timeout "$VM_BOOT_SECONDS" "${given[@]}" -- "${more[@]}" \
		-chardev "socket,id=test,path=$vms/$name.test,server=on,wait=off" \
		-device virtserialport,bus=virtio-serial0.0,nr=2,chardev=test,name=org.mlimg.test.0 \
		>"$vms/$name.out" 2>"$vms/$name.err" </dev/null 3>&- 4>&- 9>&- &
	vm_pids[$name]=$!
}

# What is known of a guest that did not do what it should.
vm_tell() {
	local file
	for file in "$vms/$1.out" "$vms/$1.err" "$vms/$1/qemu.log" "$vms/$1/console.log"; do
		[ -s "$file" ] || continue
		echo "--- $1: ${file##*/}"
		tail -n 25 "$file" | tr -d '\r' | tr -c '[:print:]\n' '?'
	done >&2
	return 1
}

# vm_up NAME…: waits until each is up.
vm_up() {
	local name
	for name in "$@"; do
		until grep -q "^$name: up after" "$vms/$name.out"; do
			kill -0 "${vm_pids[$name]}" 2>/dev/null || {
				grep -q "^$name: up after" "$vms/$name.out" && break
				echo "$name ended before it was up" >&2
				vm_tell "$name"
				return 1
			}
			sleep 0.1
		done
	done
}

# vm_do NAME COMMAND: what the command in the guest prints; its exit code. It may last $vm_seconds, by default 120. One whose last word is poweroff or reboot is
# announced to a small root, which then waits for nothing (small-root).
vm_do() {
	local announced=''
	case $2 in
		*poweroff | *reboot) announced="echo ${2##*[[:space:];]} >/run/ends; " ;;
	esac
	guestctl -t "${vm_seconds:-120}" "$vms/$1.test" "$announced$2"
}

# vm_rebooted NAME COMMAND: waits until COMMAND ends with 0 in a guest that was told to reboot, as long as one boot may last.
vm_rebooted() {
	local end=$((SECONDS + VM_BOOT_SECONDS))
	until guestctl -t 5 "$vms/$1.test" "$2" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ] || ! kill -0 "${vm_pids[$1]}" 2>/dev/null; then
			echo "$1 did not come back from its reboot" >&2
			vm_tell "$1"
			return 1
		fi
		sleep 0.5
	done
}

# vm_status NAME: guest-status as JSON.
vm_status() {
	mlimg-vm status "$1" --runtime-dir "$vms" --json
}

# vm_stop NAME…: powers off as a user of the guest would, and waits; each mlimg-vm must end with 0.
vm_stop() {
	local name status=0
	for name in "$@"; do
		# The guest may be gone before it could answer.
		vm_do "$name" "poweroff" >/dev/null 2>&1 || true
	done
	for name in "$@"; do
		vm_end "$name" || {
			echo "$name: mlimg-vm ended with $?" >&2
			vm_tell "$name"
			status=1
		}
	done
	return $status
}

# vm_end NAME: waits for its mlimg-vm; its exit code.
vm_end() {
	local status=0
	wait "${vm_pids[$1]}" || status=$?
	unset "vm_pids[$1]"
	return $status
}

# vm_cut NAME: the power is cut. QEMU dies with its mlimg-vm; what the guest has flushed is in the image.
vm_cut() {
	local qemu
	qemu=$(pgrep -P "${vm_pids[$1]}")
	kill -KILL "${vm_pids[$1]}"
	wait "${vm_pids[$1]}" || true
	unset "vm_pids[$1]"
	while kill -0 "$qemu" 2>/dev/null; do
		sleep 0.1
	done
}

# Ends whatever still runs; for teardown.
vm_kill() {
	local name
	for name in "${!vm_pids[@]}"; do
		# The second signal ends QEMU at once.
		kill -TERM "${vm_pids[$name]}" 2>/dev/null || continue
		sleep 0.2
		kill -TERM "${vm_pids[$name]}" 2>/dev/null || true
		wait "${vm_pids[$name]}" || true
	done
	vm_pids=()
}

# vm_clean IMAGE: the user file system was unmounted properly and e2fsck finds nothing.
vm_clean() {
	local state
	state=$(dumpe2fs -h "$1" 2>/dev/null | grep -E '^Filesystem (state|features):')
	if grep -q needs_recovery <<<"$state" || ! grep -Eq '^Filesystem state: +clean$' <<<"$state"; then
		printf '%s: not clean after poweroff\n%s\n' "$1" "$state" >&2
		return 1
	fi
	e2fsck -fn "$1" >"$vms/fsck.log" 2>&1 || {
		cat "$vms/fsck.log" >&2
		return 1
	}
}
