# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # the caller's
# Tenants that libvirt runs, as guests with a small root. The caller sets S, the store, and uri, the host's. Load it behind tenants.

# Short enough for the path of a socket, and open to QEMU's user.
hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
chmod 0711 "$hosts"
mkdir -m 0777 "$hosts/ports"
load "$MLIMG_TOP/tests/lib/libvirt"

# libvirt_done: for teardown.
libvirt_done() {
	libvirt_end
	rm -rf "$hosts"
}

# port NAME: the tests' own port into a guest that runs, $hosts/ports/NAME: libvirt plugs it in.
port() {
	rm -f "$hosts/ports/$1"
	echo "<channel type='unix'><source mode='bind' path='$hosts/ports/$1'/><target type='virtio' name='org.mlimg.test.0'/></channel>" >"$hosts/port.$1.xml"
	virsh -q -c "$uri" attach-device "$1" "$hosts/port.$1.xml" --live >/dev/null
}

# in_guest NAME COMMAND: what it prints there
in_guest() {
	guestctl -t 60 "$hosts/ports/$1" "$2"
}

# state NAME: as list tells it
state() {
	vm list --json | jq -r ".[] | select(.name == \"$1\") | .state"
}

# comes NAME STATE: waits for it. An agent may be slow to say how its guest is, on a busy machine.
comes() {
	local i
	for ((i = 0; i < 60; i++)); do
		[ "$(state "$1")" != "$2" ] || return 0
		sleep 0.5
	done
	same "state of $1" "$2" "$(state "$1")"
}

# begin NAME…: starts them at once, and waits until they are up; leaves what each said in $hosts/NAME.out and .err
begin() {
	local name pids=()
	for name in "$@"; do
		vm start "$name" >"$hosts/$name.out" 2>"$hosts/$name.err" &
		pids+=($!)
	done
	for name in "${pids[@]}"; do
		wait "$name" || {
			cat "$hosts"/*.err >&2
			return 1
		}
	done
}

# qemu_of NAME: its process
qemu_of() {
	pgrep -f "^/usr/bin/qemu-system-x86_64 -name guest=$1,.* -uuid $(tenant "$1" id | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')"
}
