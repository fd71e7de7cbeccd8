#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg profile in guests: a boot from its beginning, and an image made with what came of it. With systemd it is the benchmark
# layout that shows it.
# lasts 60

load ../lib/common

setup() {
	export vms=$BATS_TEST_TMPDIR
	load ../lib/vm
	small-root "$(debian-tree v1)" "$vms/tree" --unionfs "$(command -v unionfs)"
	mkdir -p "$vms/tree/srv" "$vms/software/srv"
	head -c 20000 /dev/urandom >"$vms/tree/srv/read"
	echo unread >"$vms/tree/srv/unread"
	echo opened >"$vms/tree/srv/opened"
	echo app >"$vms/software/srv/app"
	mlimg-mkfs --quiet --kind system --name small --version 1 "$vms/tree" "$vms/system.img"
	mlimg-mkfs --quiet --kind software --name app --version 2 --over "$vms/system.img" --partial "$vms/software" "$vms/app.img"
}

teardown() {
	vm_kill
}

start() {
	vm_start t --union "$1" --system "$vms/system.img" --software "$vms/app.img" --user "$vms/user.img" --memory 256M --net none
	vm_up t
}

# blocks FILE…: of the system's image, in this order.
blocks() {
	local file
	for file; do debugfs -R "blocks /rootfs/$file" "$vms/system.img" 2>/dev/null; done | tr -s ' \n' '\n' | sed '/^$/d'
}

# scenario DRIVER: a boot that is recorded, and one of an image that was made with the list.
scenario() {
	local n
	start "$1"
	vm_do t 'mlimg profile --next-boot /root/list'
	vm_stop t
	start "$1"
	vm_do t 'exec 3</srv/opened; cat /srv/read /srv/app >/dev/null; echo mine >/srv/mine; cat /srv/mine >/dev/null
		rm /run/mlimg/profiling; until [ -e /root/list ]; do sleep 0.1; done'
	vm_do t 'cat /root/list' >"$vms/list"
	grep -v '^#' "$vms/list" >"$vms/files"
	same "what was opened first" bin/busybox "$(head -n 1 "$vms/files")"
	same "in this order" "etc/inittab etc/init.d/start srv/read srv/app" \
		"$(grep -x -e etc/inittab -e etc/init.d/start -e 'srv/.*' "$vms/files" | xargs)"
	same "layers" "# system small 1
# software app 2" "$(sed -n 's/^\(# s.*\) [0-9a-f]*$/\1/p' "$vms/list")"
	vm_stop t
	works mlimg-mkfs --quiet --force --kind system --name small --version 1 --profile "$vms/list" "$vms/tree" "$vms/system.img"
	grep -vx srv/app "$vms/files" >"$vms/own"
	mapfile -t files <"$vms/own"
	n=$(blocks "${files[@]}" | wc -l)
	same "blocks" "$(seq 64 $((63 + n)))" "$(blocks "${files[@]}")"
	start "$1"
	same "it runs" mine "$(vm_do t 'cat /srv/mine')"
	vm_stop t
}

@test "mlimg profile in guests" {
	local driver
	for driver in ${MLIMG_USER_COMMANDS:-index overlay unionfs}; do
		echo "with the union driver $driver"
		mlimg-mkfs --quiet --force --kind user --name tenant --size 64M "$vms/user.img"
		scenario "$driver"
	done
}
