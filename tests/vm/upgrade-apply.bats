#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016,SC2034,SC2154 # the guest expands; vm.bash and libvirt.bash are told; run sets output and stderr
# Six tenants, four of QEMU's and two of a host's that libvirt looks after, are given a new system while they work: one whose check fails on it, one with
# conflicts, one whose disk is full. What becomes of them is what a plan of the running guests has foretold; all files of each are what they must be, and after
# a rollback, too. With MLIMG_UPGRADES=all one of each kind gets a patch besides, at its own next restart.
# lasts 300

load ../lib/common
load ../lib/guest-view

setup_file() {
	need root
	need command qemu-system-x86_64 mmdebstrap sqlite3 jq qemu-img virsh libvirtd unshare nsenter
	cd "$BATS_FILE_TMPDIR" || return
	small-root "$(debian-tree v1)" tree
	mkdir -p tree/srv
	echo system | tee tree/srv/gone tree/srv/stays >tree/etc/changed
	version 1
	mlimg-mkfs --quiet --kind system --name small --version 1 tree system1.img
	view_of tree >system1.view
	version 2
	mlimg-mkfs --quiet --kind system --name small --version 2 tree system2.img
	view_of tree >system2.view
	version 3
	mlimg-mkfs --quiet --base system1.img --name small --version 3 tree patch3.img
	view_of tree >system3.view
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
		inside "$name" "echo $name >/etc/theirs; echo mine >/root/mine; echo $name >/etc/changed; chmod 0600 /etc/changed; rm /srv/gone; rm -f /root/log
			(n=0; while :; do n=\$((n + 1)); echo \$n >>/root/log; sync; sleep 0.5; done) >/dev/null 2>&1 </dev/null &
			until [ -s /root/log ]; do sleep 0.1; done"
	done
}

# look WHEN NAME…: what each shows, into $hosts/NAME.WHEN, but for what is written meanwhile: its log, which must be whole, and acpid's.
look() {
	local name pids=()
	for name in "${@:2}"; do
		{
			inside "$name" "cd / && $VIEW" | view_lines | grep -Ev '^\./(root|var/log)/(acpid\.)?log ' >"$hosts/$name.$1"
			same "log of $name" "0 log" "$(inside "$name" 'awk "\$1 != NR" /root/log | wc -l; [ -s /root/log ] && echo log' | xargs)"
		} &
		pids+=($!)
	done
	for name in "${pids[@]}"; do wait "$name" || return; done
}

# shows WHEN NAME VERSION [LINE…]: all of it is the system's of that version, and what its user had made before, with these lines besides.
shows() {
	local systems=$BATS_FILE_TMPDIR
	view_own "$hosts/$2.before" "$systems/system1.view" >"$hosts/own"
	[ $# -eq 3 ] || printf '%s\n' "${@:4}" >>"$hosts/own"
	view_expected "$systems/system$3.view" "$hosts/own" >"$hosts/expected"
	same "what $2 shows, $1" "" "$(diff "$hosts/expected" "$hosts/$2.$1" || true)"
}

# beside VERSION FILE: the lines of the system's file, as it is set beside the user's.
beside() {
	sed -n "s,^\./$2 ,./$2.mlimg-new ,p" "$BATS_FILE_TMPDIR/system$1.view"
}

# a_file PATH TEXT: the lines of a file of root's with this text.
a_file() {
	printf '%s\n' "./$1 is -rw-r--r--:0:0" "./$1 sha256 $(echo "$2" | sha256sum | cut -d ' ' -f 1)"
}

# as_planned NAME: its boot has reported what the plan foretold.
as_planned() {
	same "report of $1" "$(jq -S ".tenants[] | select(.name == \"$1\").report" "$hosts/plan.json")" \
		"$(inside "$1" 'cat /run/mlimg/user/mlimg/reports/2.json' | jq -S .)"
}

# saved ROLLOUT NAME…: each has the checkpoint of that rollout, of its former generation; libvirt, too, knows it.
saved() {
	local name
	for name in "${@:2}"; do
		same "checkpoint of $name" "before-upgrade-$1 disk 1 false" \
			"$(mlimg-vm checkpoints "$name" --store "$S" --json | jq -r '.[] | "\(.tag) \(.kind) \(.generation) \(.is_lost)"' | xargs)"
		case $name in eve | fay)
			same "snapshot of $name" "mlimg-before-upgrade-$1" "$(virsh -q -c "$uri" snapshot-list --name "$name" | xargs)"
			;;
		esac
	done
}

upgrade() {
	timeout -k 5 1200 mlimg-upgrade "$1" --store "$S" "${@:2}"
}

outcomes() {
	upgrade status --json | jq -r '.tenants[] | "\(.name):\(.place)"' | xargs
}

@test "upgrade apply: six guests while they work, four of QEMU's, two of libvirt's; and back" {
	local name uri boot now=''
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
	inside dan 'yes dan >/root/full 2>/dev/null; yes mine | dd of=/root/full2 bs=512 2>/dev/null; sync; true'
	run --separate-stderr upgrade plan --system small:2 --checkpoint --json
	same "exit code and stderr of plan" "1 " "$status $stderr"
	cat >"$hosts/plan.json" <<<"$output"
	same "planned" "changes changes changes changes changes changes" "$(jq -r '.tenants[].outcome' "$hosts/plan.json" | xargs)"
	same "without the room" dan "$(jq -r '.tenants[] | select(.needed_bytes > .free_bytes).name' "$hosts/plan.json")"
	same "checkpoints of the plan, afterwards" "" "$(sqlite3 "$S/store.db" 'SELECT tag FROM checkpoint')$(virsh -q -c "$uri" snapshot-list --name eve | xargs)"
	same "copies of the plan, afterwards" "" "$(ls -A "$S/incoming")"
	look before ann bob cat dan eve fay
	run --separate-stderr upgrade apply --system small:2 --wave 2,100% --at-once 2 --max-failures 2 --health 10
	echo "$output $stderr"
	same "exit code" 1 "$status"
	same outcomes "ann:done bob:returned cat:done dan:returned eve:done fay:done" "$(outcomes)"
	same "why bob" "check web" "$(upgrade status --json | jq -r '.tenants[1].text')"
	[[ $(upgrade status --json | jq -r '.tenants[3].text') == "its user layer could not be changed: "* ]]
	saved 1 ann cat eve fay
	port eve
	port fay
	for name in ann cat eve fay; do as_planned $name; done
	look upgraded ann bob cat dan eve fay
	for name in ann eve fay; do shows upgraded $name 2 "$(beside 2 etc/theirs)"; done
	shows upgraded cat 2 "$(beside 2 etc/theirs)" "$(beside 2 etc/both)"
	shows upgraded bob 1 "$(grep '^./root/ran ' "$hosts/bob.upgraded")"
	same "what bob wrote on the new system" "2" "$(inside bob 'grep 2 /root/ran | sort -u')"
	shows upgraded dan 1
	inside ann 'echo since >/root/since; sync'
	run --separate-stderr upgrade rollback --wave 100% --at-once 2 --health 10
	echo "$output $stderr"
	same "exit code of rollback" 0 "$status"
	same outcomes "ann:done cat:done eve:done fay:done" "$(outcomes)"
	port eve
	port fay
	look again ann cat eve fay
	shows again ann 1 "$(a_file root/since since)"
	for name in cat eve fay; do shows again $name 1; done
	[ "${MLIMG_UPGRADES:-}" = all ] || return 0
	# A new system that is a patch; the guests restart themselves, and by then have their checkpoints.
	upgrade apply --system small:3 --tenants '[ae]*' --wave 100% --restart next --health 10 >"$hosts/said" 2>&1 &
	until [ "$(outcomes)" = "ann:hold eve:hold" ]; do
		kill -0 $!
		sleep 0.2
	done
	saved 3 ann eve
	# As if they had been up for longer than a boot may last.
	sqlite3 -cmd '.timeout 10000' "$S/store.db" "UPDATE tenant SET run_s = run_s - 1000"
	# Nobody looks while eve does it; somebody does again when she is up.
	boot=$(inside eve 'cat /proc/sys/kernel/random/boot_id')
	same "boot of eve, when she was saved" "$boot" "$(sqlite3 "$S/store.db" "SELECT boot FROM rollout_tenant WHERE name = 'eve' ORDER BY rollout DESC LIMIT 1")"
	kill -KILL "$(<"$S/upgrade.lock")"
	wait $! || true
	inside eve reboot || true
	until [ -n "$now" ] && [ "$now" != "$boot" ]; do
		sleep 0.5
		now=$(vm status eve --json | jq -r '.status.boot_id // empty')
	done
	upgrade resume >"$hosts/said" 2>&1 &
	until grep -q 'eve: done' "$hosts/said"; do
		kill -0 $!
		sleep 0.2
	done
	inside ann reboot || true
	wait $! || {
		cat "$hosts/said" >&2
		false
	}
	port eve
	look patched ann eve
	shows patched ann 3 "$(beside 3 etc/theirs)" "$(a_file root/since since)"
	shows patched eve 3 "$(beside 3 etc/theirs)"
}
