#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg in guests: what it says of changes that are made through a real root, by driver.

load ../lib/common

setup() {
	export vms=$BATS_TEST_TMPDIR
	load ../lib/vm
	small-root "$(debian-tree v1)" "$vms/tree" --unionfs "$(command -v unionfs)"
	mkdir -p "$vms/tree/etc/conf.d" "$vms/software/etc" "$vms/software/usr/share/app"
	printf 'one\ntwo\n' >"$vms/tree/etc/conf"
	echo part >"$vms/tree/etc/conf.d/part"
	echo 'user:x:1000:1000::/:/bin/sh' >>"$vms/tree/etc/passwd"
	echo 'user:x:1000:' >>"$vms/tree/etc/group"
	echo app >"$vms/software/usr/share/app/app"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$vms/tree" "$vms/system.img"
	mlimg-mkfs --quiet --kind software --name app --version 2 --over "$vms/system.img" --partial "$vms/software" "$vms/app.img"
}

teardown() {
	vm_kill
}

# does WHAT WANTED COMMAND: in the guest.
does() {
	local output
	output=$(vm_do t "$3") || output+="exit $?"
	same "$1" "$2" "$output"
}

# scenario DRIVER: one guest.
scenario() {
	vm_start t --union "$1" --system "$vms/system.img" --software "$vms/app.img" --user "$vms/user.img" --memory 256M --net none
	vm_up t
	does "status" "mode        normal: changes are kept in the user layer
generation  1
union       $1
last boot   the first one of this user layer
next boot   nothing waits for it" "mlimg status | grep -E '^(mode|gen|union|last|next)'"
	vm_do t 'echo three >>/etc/conf; rm /etc/conf.d/part; mkdir /srv; echo mine >/srv/file; rm -r /usr/share/app; chmod 0600 /etc/group'
	does "diff" "attributes /etc/group  (mode 0600, was 0644; over system small 1)
changed    /etc/conf  (over system small 1)
deleted    /etc/conf.d/part  (of system small 1)
added      /srv
added      /srv/file
deleted    /usr/share/app  (of software app 2)" "cd /etc; { mlimg diff group; mlimg diff ./conf; mlimg diff conf.d; mlimg diff /srv; mlimg diff /usr; }"
	does "why" "/usr/share/app/app  (nothing shows there)
  deletes yours  (/usr/share/app)
  hidden  software app 2" "mlimg why /usr/share/app/app | sed 's/  file.*//; /^class/d'"
	does "who is no root" "changed    /etc/conf  (over $2)" "su user -c 'mlimg diff /etc/conf' 2>/dev/null"
	does "copy-up" "/bin/busybox: 1 copied up
same       /bin/busybox  (over system small 1)" "mlimg copy-up /bin/busybox | sed 's/ (.*//'; mlimg diff /bin"
	does "export" "etc/conf
etc/conf.d/part
srv/file
usr/share/app" "mlimg export - | tar t | grep -x -e etc/conf -e etc/conf.d/part -e bin/busybox -e srv/file -e usr/share/app"
	does "pin" "/etc/conf: pinned: when the stack changes it stays as it is
class     keep
pinned    /etc/conf" "mlimg pin /etc/conf; mlimg why /etc/conf | grep -E '^(class|pinned)'"
	vm_stop t
}

@test "mlimg in guests" {
	local driver
	for driver in ${MLIMG_USER_COMMANDS:-index overlay unionfs}; do
		echo "with the union driver $driver"
		mlimg-mkfs --quiet --force --kind user --name tenant --size 64M "$vms/user.img"
		if [ "$driver" = index ]; then scenario index layers; else scenario "$driver" "system small 1"; fi
	done
}
