#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2034,SC2154 # the guest expands; life.bash is told; run sets output and stderr
# Four tenants are given a new system while they work: one whose check fails on it, one with conflicts, one whose disk is full.
# lasts 250

load ../lib/common

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq qemu-img
	cd "$BATS_FILE_TMPDIR" || return
	small-root "$(debian-tree v1)" tree
	mkdir -p tree/srv
	version 1
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system1.img
	version 2
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
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
	# Short enough for the path of a socket.
	hosts=$(mktemp -d /tmp/mlimg-hosts.XXXXXX)
	chmod 0711 "$hosts"
	mkdir -m 0777 "$hosts/ports"
	export TEST_SOCKETS=$hosts/ports
	run=$hosts/run
	S=$hosts/store
	mlimg-store --store "$S" add "$BATS_FILE_TMPDIR"/{system1,system2}.img >/dev/null
}

teardown() {
	PATH=$BATS_FILE_TMPDIR/bin:$PATH life_end
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

# works_on NAME…: each writes a number after the other, and has files of its own.
works_on() {
	local name
	for name; do
		inside "$name" "echo $name >/etc/theirs; echo mine >/root/mine; rm -f /root/log
			(n=0; while :; do n=\$((n + 1)); echo \$n >>/root/log; sync; sleep 0.2; done) >/dev/null 2>&1 </dev/null &
			until [ -s /root/log ]; do sleep 0.1; done"
	done
}

upgrade() {
	timeout -k 5 1200 mlimg-upgrade "$1" --store "$S" "${@:2}"
}

outcomes() {
	upgrade status --json | jq -r '.tenants[] | "\(.name):\(.place)"' | xargs
}

@test "upgrade apply: four guests while they work: one has a check that fails, one a conflict, one a full disk" {
	local name
	export PATH=$BATS_FILE_TMPDIR/bin:$PATH
	for name in ann bob cat dan; do create $name --accel tcg; done
	begin ann cat &
	begin bob dan
	wait $!
	works_on ann bob cat dan
	inside cat 'echo user >/etc/both'
	# What it writes on the new system is the user's, and stays when it goes back.
	inside bob 'mkdir -p /etc/mlimg/health.d; printf "#!/bin/sh\ncat /srv/version >>/root/ran; sync; grep -q 1 /srv/version\n" >/etc/mlimg/health.d/web
		chmod 0755 /etc/mlimg/health.d/web'
	inside dan 'dd if=/dev/zero of=/root/full bs=64k 2>/dev/null; dd if=/dev/zero of=/root/full2 bs=1 2>/dev/null; sync; true'
	run --separate-stderr upgrade apply --system small:2 --wave 2,100% --at-once 2 --max-failures 2 --health 10
	echo "$output $stderr"
	same "exit code" 1 "$status"
	same outcomes "ann:done bob:returned cat:done dan:returned" "$(outcomes)"
	same "why bob" "check web" "$(upgrade status --json | jq -r '.tenants[1].text')"
	[[ $(upgrade status --json | jq -r '.tenants[3].text') == "its user layer could not be changed: "* ]]
	same "systems" "2 1 2 1" "$(for name in ann bob cat dan; do inside $name 'cat /srv/version'; done | xargs)"
	same "what they wrote" "ann bob cat dan" "$(for name in ann bob cat dan; do inside $name 'cat /etc/theirs'; done | xargs)"
	same "what cat wrote, and the new system has" "user 2" "$(inside cat 'cat /etc/both /etc/both.mlimg-new' | xargs)"
	same "what bob wrote on the new system" 2 "$(inside bob 'grep 2 /root/ran | sort -u')"
}
