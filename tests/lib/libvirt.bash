# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Hosts that libvirt looks after, for tests: each a libvirtd of its own, in a mount name space of its own, which begins with nothing: so it touches
# nothing of this machine's libvirt, and several are as several hosts. QEMU runs as a user of its own there, as Debian has it.
# The caller sets hosts, a directory that this user can get through to; needs root.

: "${hosts:?}"
declare -gA libvirtd_pids

# What is the host's own: where it is kept below its directory, and where libvirtd has it.
libvirt_places='etc:/etc/libvirt run:/run/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt
	passwd:/etc/passwd group:/etc/group'

# libvirt_host NAME: makes it, and starts it.
libvirt_host() {
	local dir=$hosts/$1
	mkdir -p "$dir"/{etc,run,lib,cache,log} /etc/libvirt /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
	# Else virtlogd and a cgroup manager must run, too.
	printf '%s\n' 'stdio_handler = "file"' 'cgroup_controllers = []' >"$dir/etc/qemu.conf"
	echo "unix_sock_dir = \"$dir\"" >"$dir/etc/libvirtd.conf"
	# What Debian's libvirt-daemon-system makes.
	{ grep -v '^libvirt-qemu:' /etc/passwd && echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin'; } >"$dir/passwd"
	{ grep -Ev '^(libvirt-qemu|kvm):' /etc/group && echo libvirt-qemu:x:64055: && echo kvm:x:64056:; } >"$dir/group"
	# What QEMU can is found out once, which takes longer than a guest's boot.
	[ ! -d "$BATS_FILE_TMPDIR/libvirt-cache" ] || cp -a "$BATS_FILE_TMPDIR/libvirt-cache/." "$dir/cache"
	# Where the host itself looks for it.
	ln -sfn "$dir/libvirt-sock" "$dir/run/libvirt-sock"
	libvirt_begin "$1"
}

# libvirt_uri NAME: where others reach it.
libvirt_uri() {
	echo "qemu+unix:///system?socket=$hosts/$1/libvirt-sock"
}

# libvirt_begin NAME: starts its libvirtd, which goes on with what runs there.
libvirt_begin() {
	local dir=$hosts/$1
	rm -f "$dir/process"
	# libvirtd waits until nobody has what it has killed as a zombie, guests and each QEMU that it asks what it can.
	# /dev/kvm goes: where it is there and does not work, libvirtd asks each QEMU anew what it can, which takes seconds each time.
	# shellcheck disable=SC2016
	reaper "$dir/process" unshare -m --propagation private sh -c '
		for place in $2; do
			mount --bind "$1/${place%%:*}" "${place#*:}" || exit
		done
		[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm || exit
		exec libvirtd -f /etc/libvirt/libvirtd.conf -p "$1/pid"' sh "$dir" "$libvirt_places" >>"$dir/libvirtd.log" 2>&1 </dev/null 3>&- 4>&- 9>&- &
	until [ -s "$dir/process" ]; do
		kill -0 $! || return
		sleep 0.05
	done
	libvirtd_pids[$1]=$(<"$dir/process")
	until virsh -c "$(libvirt_uri "$1")" version >/dev/null 2>&1; do
		kill -0 "${libvirtd_pids[$1]}" || {
			tail "$dir/libvirtd.log" >&2
			return 1
		}
		sleep 0.2
	done
}

# libvirt_ends NAME: waits for its end.
libvirt_ends() {
	while kill -0 "${libvirtd_pids[$1]}" 2>/dev/null; do sleep 0.05; done
}

# libvirt_kill NAME: as if it had crashed; its guests go on.
libvirt_kill() {
	kill -KILL "${libvirtd_pids[$1]}"
	libvirt_ends "$1"
	rm -f "$hosts/$1/pid"
}

# libvirt_inside NAME COMMAND…: on that host, as its administrator.
libvirt_inside() {
	nsenter -t "${libvirtd_pids[$1]}" -m -- "${@:2}"
}

# libvirt_end: for teardown: all guests and all hosts.
libvirt_end() {
	local name domain
	for name in "${!libvirtd_pids[@]}"; do
		kill -0 "${libvirtd_pids[$name]}" 2>/dev/null || libvirt_begin "$name" || continue
		for domain in $(virsh -c "$(libvirt_uri "$name")" list --name); do
			virsh -c "$(libvirt_uri "$name")" destroy "$domain" >/dev/null || true
		done
		[ -d "$BATS_FILE_TMPDIR/libvirt-cache" ] || cp -a "$hosts/$name/cache" "$BATS_FILE_TMPDIR/libvirt-cache"
		kill "${libvirtd_pids[$name]}"
		libvirt_ends "$name"
	done
	libvirtd_pids=()
}
