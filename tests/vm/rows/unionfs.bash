# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $ is for a guest; variables are the engine's, boot-table.bash
# SPDX-License-Identifier: MIT
# Rows of unionfs-fuse alone: each function looks at guest "t", which is up.

unionfs_keeps() {
	local wanted
	same "root" "mlimg fuse.unionfs rw" "$(vm_do t "awk '\$2 == \"/\" { print \$1, \$3, substr(\$4, 1, 2) }' /proc/mounts")"
	same "names in the root" "" "$(vm_do t 'ls -A / | grep -i union || true')"
	same "the daemon's name" "@unionfs" "$(vm_do t 'for p in /proc/[0-9]*; do tr "\0" "\n" <$p/cmdline | head -n 1; done 2>/dev/null | grep unionfs')"
	# As systemd-shutdown does: it stops all processes, and then reads /proc. Should that wait, the guest is freed after a while.
	same "what reads /proc while unionfs-fuse is stopped" "does not wait" "$(vm_do t 'pid=$(pidof unionfs)
		(sleep 30; echo >/run/late; kill -CONT $pid) & freeing=$!
		sleep 3
		kill -STOP $pid; read -r line </proc/1/stat; kill -CONT $pid
		kill $freeing; test -e /run/late && echo waits || echo does not wait')"
	vm_do t 'set -e
		echo mine >/srv/mine; rm /srv/override; mv /srv/again /srv/merged/renamed; rm -r /srv/opaque; mkdir /srv/opaque; echo mine >>/usr/share/changed
		rm /usr/share/deleted; ln /srv/mine /srv/linked; chmod 0600 /srv/file-a; touch /run/first-boot; reboot'
	vm_rebooted t 'test ! -e /run/first-boot'
	wanted="/srv/file-a:a
/srv/file-b:b
/srv/file-c:c
/srv/linked:mine
/srv/merged/a:a
/srv/merged/b:b
/srv/merged/c:c
/srv/merged/renamed:c
/srv/mine:mine
/srv/version:"
	same "merged tree" "${wanted}1" "$(layers_show t)"
	same "attributes" "600 2" "$(vm_do t 'echo $(stat -c %a /srv/file-a) $(stat -c %h /srv/linked)')"
	status_fits t none "$system" "$images"/{a,b,c}.img
	hooks_change fails merges
	vm_stop t
	vm_clean "$user"
	# A kernel that has no overlayfs, by which several layers are shown to hooks.
	field[append]=module_blacklist=overlay
	system=$images/system2.img row_start
	vm_up t
	hooks_not_run fails merges
	same "merged tree" "${wanted}2" "$(layers_show t)"
	status_fits t changed "$images"/{system2,a,b,c}.img
	report_says $'usr/share/changed conflict\nusr/share/deleted whiteout-changed' usr/share
}

# converts DRIVER: what unionfs-fuse wrote is refused by DRIVER until it is converted, and then shows the same; and back.
converts() {
	local layers=("$system" "$images"/{a,b,c}.img) wanted
	vm_do t 'set -e; echo mine >/srv/mine; rm /srv/override /srv/merged/b; rm -r /srv/opaque; mkdir /srv/opaque; echo new >/srv/opaque/new
		rm /usr/share/deleted; chmod 0600 /srv/file-a'
	wanted=$(abc_own -e /override/d -e s,opaque/above:b,opaque/new:new,)
	same "by unionfs-fuse" "$wanted" "$(layers_show t)"
	vm_stop t
	vm_clean "$user"
	vm_union=$1
	row_start
	row_stops "/run/mlimg: user: the user layer 'tenant' was written by union driver 'unionfs', which '$1' would misread; \
boot with mlimg.union=unionfs, or with mlimg.convert, or run 'mlimg-agent convert --to $1 /run/mlimg/user'"
	row_start --convert
	vm_up t
	same "by $1" "$wanted" "$(layers_show t)"
	same "mode" 600 "$(vm_do t 'stat -c %a /srv/file-a')"
	same "names of unionfs-fuse" "" "$(vm_do t 'ls -A / /run/mlimg/user/upper | grep unionfs || true')"
	status_fits t none "${layers[@]}"
	vm_do t 'set -e; rm -r /srv/opaque /srv/merged/a; mkdir /srv/opaque; echo kept >/usr/share/kept'
	vm_stop t
	vm_clean "$user"
	vm_union=unionfs
	row_start --convert
	vm_up t
	same "back by unionfs-fuse" "$(sed -e '/merged.a/d' -e '/opaque/d' <<<"$wanted")" "$(layers_show t)"
	same "an emptied directory, and below /usr/share" $'changed\nkept\nkept' "$(vm_do t 'ls -A /srv/opaque; ls /usr/share; cat /usr/share/kept')"
	status_fits t none "${layers[@]}"
}
