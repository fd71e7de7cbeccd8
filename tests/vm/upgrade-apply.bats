#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2034,SC2154 # the guest expands; vm.bash and libvirt.bash are told; run sets output and stderr
# Six tenants, four of QEMU's and two of a host's that libvirt looks after, are given a new system while they work: one whose check fails on it, one with
# conflicts, one whose disk is full. Each one's files are what they must be, and after a rollback, too. With MLIMG_UPGRADES=all one gets a patch besides, at its
# own next restart.
# lasts 300

load ../lib/common

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq qemu-img virsh libvirtd unshare nsenter
	cd "$BATS_FILE_TMPDIR" || return
	small-root "$(debian-tree v1)" tree
	mkdir -p tree/srv
	version 1
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system1.img
	version 2
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
	echo 3 >tree/srv/version
	mlimg-mkfs --quiet --base system1.img --name small --version 3 tree patch3.img
	mkdir bin
	ln -s "$MLIMG_TOP/tests/lib/qemu-channel" bin/qemu-system-x86_64
}

# version N: what is another in each.
version() {
	local file
	for file in srv/version etc/both etc/theirs; do echo "$1" >"tree/$file"; done
	find tree -exec touch -h -d @1600000000 {} +
}

setup() {
	local name
	cd "$BATS_TEST_TMPDIR" || return
	load ../lib/tenants
	load ../lib/life
	# Short enough for the path of a socket, and open to QEMU's user.
	hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
	chmod 0711 "$hosts"
	mkdir -m 0777 "$hosts/ports"
	load ../lib/libvirt
	export TEST_SOCKETS=$hosts/ports
	run=$hosts/run
	S=$hosts/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/{system1,system2,patch3}.img >/dev/null
}

teardown() {
	PATH=$BATS_FILE_TMPDIR/bin:$PATH life_end
	libvirt_end
	rm -rf "$hosts"
}

# create NAME ARGUMENT…
create() {
	works vm create "$1" --system small:1 --size 64M --memory 192M --net none --append 'quiet cryptomgr.notests' "${@:2}"
}

# begin NAME…: starts them, two at a time.
begin() {
	local name
	for name; do
		vm start "$name" >"$hosts/$name.said" 2>&1 || {
			cat "$hosts/$name.said" >&2
			return 1
		}
	done
}

# inside NAME COMMAND: what it prints in the guest.
inside() {
	guestctl -t 120 "$hosts/ports/$1" "$2"
}

# port NAME: the tests' own port into a guest of libvirt's: libvirt plugs it in.
port() {
	rm -f "$hosts/ports/$1"
	echo "<channel type='unix'><source mode='bind' path='$hosts/ports/$1'/><target type='virtio' name='org.mlimg.test.0'/></channel>" >"$hosts/port.xml"
	virsh -q -c "$uri" attach-device "$1" "$hosts/port.xml" --live >/dev/null
}

# works_on NAME…: each writes a number after the other, and has files of its own.
works_on() {
	local name
	for name; do
		inside "$name" "echo $name >/etc/theirs; echo mine >/root/mine; rm -f /root/log
			(n=0; while :; do n=\$((n + 1)); echo \$n >>/root/log; sync; sleep 0.5; done) >/dev/null 2>&1 </dev/null &
			until [ -s /root/log ]; do sleep 0.1; done"
	done
}

# files NAME: what must be so of it, in a line.
files() {
	inside "$1" 'echo "$(cat /srv/version) $(cat /etc/theirs) $(cat /root/mine) $(awk "\$1 != NR" /root/log | wc -l) $([ -s /root/log ] && echo log)" \
		"$(cat /etc/both) $(cat /etc/both.mlimg-new 2>/dev/null)"' | sed 's/ *$//'
}

upgrade() {
	timeout -k 5 1200 mlimg-upgrade "$1" --store "$S" "${@:2}"
}

outcomes() {
	upgrade status --json | jq -r '.tenants[] | "\(.name):\(.place)"' | xargs
}

@test "upgrade apply: six guests while they work, four of QEMU's, two of libvirt's; and back" {
	local name uri
	libvirt_host east
	uri=$(libvirt_uri east)
	works mlimg-vm host add east "$uri" --pool-path "$hosts/pool" --store "$S"
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH
	for name in ann bob cat dan; do create $name --accel tcg; done
	for name in eve fay; do create $name --host east; done
	begin ann cat eve &
	begin bob dan fay
	wait $!
	port eve
	port fay
	works_on ann bob cat eve fay
	# A line that is cut short on a full disk is none of ours.
	inside dan 'echo dan >/etc/theirs; echo mine >/root/mine; echo 1 >/root/log; sync'
	inside cat 'echo user >/etc/both'
	# What it writes on the new system is the user's, and stays when it goes back.
	inside bob 'mkdir -p /etc/mlimg/health.d; printf "#!/bin/sh\ncat /srv/version >>/root/ran; sync; grep -q 1 /srv/version\n" >/etc/mlimg/health.d/web
		chmod 0755 /etc/mlimg/health.d/web'
	inside dan 'dd if=/dev/zero of=/root/full bs=64k 2>/dev/null; dd if=/dev/zero of=/root/full2 bs=512 2>/dev/null; sync; true'
	run --separate-stderr upgrade apply --system small:2 --wave 2,100% --at-once 2 --max-failures 2 --health 10
	echo "$output $stderr"
	same "exit code" 1 "$status"
	same outcomes "ann:done bob:returned cat:done dan:returned eve:done fay:done" "$(outcomes)"
	same "why bob" "check web" "$(upgrade status --json | jq -r '.tenants[1].text')"
	[[ $(upgrade status --json | jq -r '.tenants[3].text') == "its user layer could not be changed: "* ]]
	port eve
	port fay
	same ann "2 ann mine 0 log 2" "$(files ann)"
	same bob "1 bob mine 0 log 1" "$(files bob)"
	same "what bob wrote on the new system" "2" "$(inside bob 'grep 2 /root/ran | sort -u')"
	same cat "2 cat mine 0 log user 2" "$(files cat)"
	same dan "1 dan mine 0 log 1" "$(files dan)"
	same eve "2 eve mine 0 log 2" "$(files eve)"
	same fay "2 fay mine 0 log 2" "$(files fay)"
	inside ann 'echo since >/root/since; sync'
	run --separate-stderr upgrade rollback --wave 100% --at-once 2 --health 10
	echo "$output $stderr"
	same "exit code of rollback" 0 "$status"
	same outcomes "ann:done cat:done eve:done fay:done" "$(outcomes)"
	port eve
	port fay
	same "ann again" "1 ann mine 0 log 1" "$(files ann)"
	same "what ann wrote since" since "$(inside ann 'cat /root/since')"
	same "cat again" "1 cat mine 0 log user" "$(files cat)"
	same "eve again" "1 eve mine 0 log 1" "$(files eve)"
	same "fay again" "1 fay mine 0 log 1" "$(files fay)"
	[ "${MLIMG_UPGRADES:-}" = all ] || return 0
	# A new system that is a patch; the guest restarts itself.
	upgrade apply --system small:3 --tenants ann --restart next --health 10 >"$hosts/said" 2>&1 &
	until [ "$(outcomes)" = ann:hold ]; do
		kill -0 $!
		sleep 0.2
	done
	inside ann reboot || true
	wait $! || {
		cat "$hosts/said" >&2
		false
	}
	same "ann on the patch" "3 ann mine 0 log 1" "$(files ann)"
}
