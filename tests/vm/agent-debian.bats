#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034,SC2154 # vm.bash, agent-host.bash
# The agent in a Debian, as systemd runs it, beside qemu-guest-agent; the host is libvirt, which runs as a user of its own and is the test's alone.
# lasts 60

load ../lib/common

USER_ID=65534 # of libvirt and QEMU

setup() {
	export vms=$BATS_TEST_TMPDIR agent=$BATS_TEST_TMPDIR/agent
	load ../lib/vm
	load ../lib/layers
	load ../lib/agent-host
	need command virsh libvirtd
	# Of libvirt's user, whose files are all in $vms.
	as=(setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups env -i "PATH=$PATH" "HOME=$vms/l" "XDG_CONFIG_HOME=$vms/l" "XDG_CACHE_HOME=$vms/l"
		"XDG_RUNTIME_DIR=$vms/l" LIBVIRT_DEFAULT_URI=qemu:///session)
}

teardown() {
	libvirt virsh destroy t >/dev/null 2>&1 || true
	[ -z "${LIBVIRTD:-}" ] || kill "$LIBVIRTD" || true
}

# libvirt COMMAND…: as its user.
libvirt() {
	"${as[@]}" "$@"
}

# domain_disk FILE LETTER ELEMENT: of the domain
domain_disk() {
	echo "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$1'/><target dev='vd$2' bus='virtio'/><serial>$(short "$1")</serial>$3</disk>"
}

# domain_channel SOCKET NAME: the same
domain_channel() {
	echo "<channel type='unix'><source mode='bind' path='$1'/><target type='virtio' name='$2'/></channel>"
}

domain() {
	cat <<END
<domain type='qemu'>
<name>t</name><memory unit='MiB'>512</memory>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>$vms/vmlinuz</kernel><initrd>$vms/initrd</initrd>
<cmdline>console=ttyS0 quiet no_timer_check panic=-1 boot=mlimg mlimg.union=overlay mlimg.system=$(short "$vms/system.img") mlimg.software=$(short "$vms/qga.img") mlimg.user=$(short "$vms/user.img")</cmdline></os>
<features><acpi/></features>
<devices>
$(domain_disk "$vms/system.img" a '<readonly/>') $(domain_disk "$vms/qga.img" b '<readonly/>') $(domain_disk "$vms/user.img" c '')
$(domain_channel "$agent" org.mlimg.agent.0) $(domain_channel "$vms/t.test" org.mlimg.test.0)
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<serial type='file'><source path='$vms/console.log'/></serial>
<controller type='usb' model='none'/><memballoon model='none'/>
</devices>
</domain>
END
}

# make_images: these, and what boots, where libvirt's user can have them.
make_images() {
	local tree
	tree=$(debian-tree v1)
	mkdir -p "$vms/l/libvirt"
	# Else virtlogd must run, too.
	echo 'stdio_handler = "file"' >"$vms/l/libvirt/qemu.conf"
	mlimg-mkfs --quiet --kind system --name debian --version 12 "$tree" "$vms/system.img"
	mlimg-mkfs --quiet --form upper --kind software --name qga --version 1 --over "$vms/system.img" "$(debian-tree qga)" "$vms/qga.img"
	mlimg-mkfs --quiet --kind user --name tenant --size 256M "$vms/user.img"
	cp "$tree"/boot/vmlinuz-* "$vms/vmlinuz"
	cp "$tree"/boot/initrd.img-* "$vms/initrd"
	domain >"$vms/domain.xml"
	chown -R $USER_ID:$USER_ID "$vms"
	chmod 0711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$vms"
}

# qga VERB WORD N: virsh does so, and says so of N file systems.
qga() {
	works libvirt virsh "dom$1" t
	same "virsh dom$1" "$2 $3 filesystem(s)" "$output"
}

# writes: the user's file system takes what is written, and keeps it.
writes() {
	vm_do t 'echo written >/srv/file && sync /srv/file'
}

# daemon: its number
daemon() {
	vm_do t 'systemctl show -P MainPID mlimg-agent'
}

# health ID WANTED: mlimg-health, and how guest-status says it in a word.
health() {
	same "mlimg-health, $1" "$2" \
		"$(answer "$1" '"execute":"mlimg-health"' | jq -c '.return | [.is_healthy, (.checks | map([.name, .status, .output])), .init, .failed_units]')"
	same "guest-status, $1" "$3" "$(answer "$1-status" '"execute":"guest-status"' | jq -r .return.health)"
}

# healths: a check may do what the daemon's own sandbox allows nobody: the network, files of others, writing, new privileges.
healths() {
	vm_do t 'mkdir -p /etc/mlimg/health.d
		echo "of nobody" >/srv/private
		chown nobody /srv/private
		chmod 0600 /srv/private
		cat >/etc/mlimg/health.d/system <<"END"
#!/bin/bash
exec 3<>/dev/udp/127.0.0.1/9 && cat /srv/private && echo checked >/srv/checked && su -s /bin/sh nobody -c "id -un"
END
		chmod 0755 /etc/mlimg/health.d/system'
	health well '[true,[["system",0,"of nobody\nnobody\n"]],"systemd",[]]' good
	same "what the check has written" checked "$(vm_do t 'cat /srv/checked')"
	vm_do t 'systemd-run --quiet --wait --unit=broken false || [ "$(systemctl is-failed broken)" = failed ]'
	health unit '[false,[["system",0,"of nobody\nnobody\n"]],"systemd",["broken.service"]]' bad
	vm_do t 'systemctl reset-failed broken; echo "exit 3" >>/etc/mlimg/health.d/system'
	health check '[false,[["system",3,"of nobody\nnobody\n"]],"systemd",[]]' bad
	vm_do t 'rm /etc/mlimg/health.d/system'
	health none '[true,[],"systemd",[]]' good
}

# all_killed: the daemon and the process that keeps a freeze, as systemctl kills a unit. Which is killed first is not said: the other one may thaw before it is,
# else systemd does. That its line thaws: ../root/agent-freeze.bats.
all_killed() {
	local pid keeper
	pid=$(daemon)
	freezes killed
	keeper=$(vm_do t "cat /proc/$pid/task/$pid/children")
	vm_do t "systemctl kill --signal=KILL mlimg-agent && until [ ! -d /proc/$pid ] && [ ! -d /proc/${keeper:?} ]; do sleep 0.1; done"
	# A freeze that is left to itself lasts for ever.
	writes
	until [ "$(daemon)" != "$pid" ] && [ "$(daemon)" != 0 ]; do sleep 0.5; done
	asks '{"execute":"guest-fsfreeze-status","id":"after"}' '{"return":"thawed","id":"after"}'
	freezes again
	thaws again-thaw
}

@test "beside qemu-guest-agent, under systemd, in a domain of libvirt: both freeze and thaw, and each says what it knows" {
	local busy='"error":{"class":"Busy","desc":"the user file system is frozen by somebody else"}' n pid locked
	make_images
	# It waits until nobody has what it has killed as a zombie (lib/libvirt.bash).
	"${as[@]}" reaper "$vms/l/process" libvirtd >"$vms/libvirtd.log" 2>&1 3>&- 4>&- &
	LIBVIRTD=$!
	until libvirt virsh version >/dev/null 2>&1; do
		kill -0 $LIBVIRTD
		sleep 0.2
	done
	works libvirt virsh create "$vms/domain.xml"
	vm_seconds=$VM_BOOT_SECONDS
	same "system state" running "$(vm_do t "systemctl is-system-running --wait")" || {
		tail -n 25 "$vms/console.log" >&2
		return 1
	}
	until libvirt virsh qemu-agent-command t '{"execute":"guest-ping"}' >/dev/null 2>&1; do sleep 0.5; done
	pid=$(daemon)
	vm_do t 'mkdir -p /srv'
	stay
	# qemu-guest-agent alone: all file systems on disks.
	run libvirt virsh domfsfreeze t
	n=$(sed -n 's/^Froze \([0-9]*\) filesystem(s)$/\1/p' <<<"$output")
	[ "${n:-0}" -gt 1 ] || same "virsh domfsfreeze" "Froze some filesystem(s)" "$output"
	asks '{"execute":"guest-fsfreeze-freeze","id":1}' "{$busy,\"id\":1}"
	asks '{"execute":"guest-fsfreeze-status","id":2}' '{"return":"thawed","id":2}'
	thaws c 0
	qga fsthaw Thawed "$n"
	writes
	# Ours first: the other one leaves it what it has. Memory of the process that keeps it is locked, for which a unit needs leave.
	freezes d
	locked=$(vm_do t "for p in \$(cat /proc/$pid/task/$pid/children); do sed -n 's/^VmLck:[^0-9]*\([0-9]*\) kB/\1/p' /proc/\$p/status; done")
	[ "${locked:-0}" -gt 1000 ] || same "memory that is locked, in kB" "more than 1000" "$locked"
	qga fsfreeze Froze $((n - 1))
	thaws e
	qga fsthaw Thawed $((n - 1))
	writes
	# The other one thaws whatever is frozen, and ours says that it was.
	freezes f
	qga fsfreeze Froze $((n - 1))
	qga fsthaw Thawed "$n"
	thaws g 0
	writes
	# What else the unit must be allowed: the clock, views for users, to be started again, to tell systemd to shut down.
	asks '{"execute":"guest-set-time","arguments":{"time":1700000000000000000},"id":8}' '{"return":{},"id":8}'
	same "year of the guest" 2023 "$(vm_do t 'date -u +%Y')"
	asks '{"execute":"guest-set-time","id":9}' '{"return":{},"id":9}'
	same "year of the guest, by its clock chip" "$(date -u +%Y)" "$(vm_do t 'date -u +%Y')"
	same "who is not root" "added      /srv/file" "$(vm_do t 'su -s /bin/sh nobody -c "mlimg diff /srv/file" 2>/dev/null')"
	all_killed
	healths
	asks '{"execute":"guest-shutdown","id":10}' '{"return":{},"id":10}'
	while libvirt virsh domstate t >/dev/null 2>&1; do sleep 0.5; done
	vm_clean "$vms/user.img"
}
