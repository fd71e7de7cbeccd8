#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-vm's command line, the images it looks into, and the command it would run. Nothing is started.

load ../lib/common
load vm-fakes

ACCEL="mlimg-vm: accel: tcg (emulation): asked for"
UNION="mlimg-vm: union: overlay: the initramfs does not say that it knows the index"
TRY="Try 'mlimg-vm --help' for more information."

setup_file() {
	need command mke2fs jq
	cd "$BATS_FILE_TMPDIR" || return
	boot_tree tree
	layer s.img system debian 12.1 a tree
	layer w.img software nginx 1.22 b
	layer x.img software redis 7 d
	layer u.img user alice 1 c
	layer bare.img system empty 1 e
}

setup() {
	cd "$BATS_FILE_TMPDIR" || return
	export XDG_RUNTIME_DIR=$BATS_FILE_TMPDIR
}

# dry OPTION…: a dry run with the usual images.
dry() {
	mlimg-vm run --system s.img --user u.img --accel tcg --runtime-dir /r --dry-run "$@"
}

usage() {
	local message=$1
	shift
	fails 2 "mlimg-vm: $message
$TRY" "$@"
}

@test "dry run: the whole command" {
	run --separate-stderr dry --software w.img --forward 8080:80 --forward 0.0.0.0:2222:22 \
		--memory 512M --cpus 2 --append 'quiet mlimg.debug'
	# shellcheck disable=SC2154 # run sets it
	same stderr "$ACCEL
$UNION" "$stderr"
	same command "$(
		cat <<'END'
qemu-system-x86_64 \
	-name guest=alice \
	-nodefaults \
	-no-user-config \
	-display none \
	-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
	-machine q35 \
	-accel tcg \
	-cpu max,erms=off \
	-smp 2 \
	-m 512M \
	-kernel /r/alice/kernel \
	-initrd /r/alice/initrd \
	-append 'boot=mlimg mlimg.system=aaaaaaaaaaaaaaaaaaaa mlimg.software=bbbbbbbbbbbbbbbbbbbb mlimg.user=cccccccccccccccccccc console=ttyS0 no_timer_check panic=-1 quiet mlimg.debug' \
	-chardev socket,id=qmp,path=/r/alice/qmp.sock,server=on,wait=off \
	-mon chardev=qmp,mode=control \
	-chardev socket,id=monitor,path=/r/alice/monitor.sock,server=on,wait=off \
	-mon chardev=monitor,mode=control \
	-chardev socket,id=console,path=/r/alice/console.sock,server=on,wait=on \
	-serial chardev:console \
	-chardev socket,id=agent,path=/r/alice/agent.sock,server=on,wait=off \
	-device virtio-serial-pci,id=virtio-serial0,addr=0x2 \
	-device virtserialport,bus=virtio-serial0.0,nr=1,chardev=agent,name=org.mlimg.agent.0 \
	-object rng-builtin,id=rng0 \
	-device virtio-rng-pci,rng=rng0,addr=0x3 \
	-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:0.0.0.0:2222-:22 \
	-device virtio-net-pci,netdev=net0,romfile=,addr=0x4 \
	-blockdev driver=raw,node-name=system,read-only=on,file.driver=file,file.filename=s.img \
	-device virtio-blk-pci,id=system,drive=system,serial=aaaaaaaaaaaaaaaaaaaa,addr=0x8.0,multifunction=on,disable-legacy=on \
	-blockdev driver=raw,node-name=software0,read-only=on,file.driver=file,file.filename=w.img \
	-device virtio-blk-pci,id=software0,drive=software0,serial=bbbbbbbbbbbbbbbbbbbb,addr=0x8.1,multifunction=on,disable-legacy=on \
	-blockdev driver=raw,node-name=user,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=u.img \
	-device virtio-blk-pci,id=user,drive=user,serial=cccccccccccccccccccc,addr=0x8.2,multifunction=on,disable-legacy=on
END
	)" "$output"
	[ "$status" -eq 0 ]
	[ ! -e /r ]
}

@test "dry run: the default runtime directory of root and of others" {
	run --separate-stderr mlimg-vm run --system s.img --user u.img --accel tcg --dry-run
	if [ "$(id -u)" -eq 0 ]; then
		[[ $output == *"-kernel /run/mlimg-vm/alice/kernel "* ]]
	else
		[[ $output == *"-kernel $XDG_RUNTIME_DIR/mlimg-vm/alice/kernel "* ]]
	fi
}

@test "dry run: no network, no console, own kernel, QEMU's arguments last" {
	run --separate-stderr dry --net none --console none --kernel tree/boot/vmlinuz-6.1.0-1-test \
		--initrd tree/boot/initrd.img-6.1.0-1-test -- -snapshot -device 'a b,c'
	[ "$status" -eq 0 ]
	same "no network and console" "" "$(grep -e -netdev -e '-serial ' -e id=console -e console=tty <<<"$output")"
	grep -q -e "-kernel tree/boot/vmlinuz-6.1.0-1-test " <<<"$(dry --net none --kernel tree/boot/vmlinuz-6.1.0-1-test \
		--initrd tree/boot/initrd.img-6.1.0-1-test 2>/dev/null)"
	same "last lines" "	-snapshot \\
	-device 'a b,c'" "$(dry -- -snapshot -device 'a b,c' 2>/dev/null | tail -n 2)"
}

@test "dry run: modes, and a word of its own for each factory reset" {
	local mode first
	for mode in volatile rescue readonly; do
		dry --mode $mode 2>/dev/null | grep -q " mlimg.user=cccccccccccccccccccc mlimg.$mode console="
	done
	same "user disk of a volatile guest" 1 "$(dry --mode volatile 2>/dev/null | grep -c 'node-name=user,discard=unmap,')"
	same "user disk of a readonly guest" 1 "$(dry --mode readonly 2>/dev/null | grep -c 'node-name=user,read-only=on,')"
	same "modes" "" "$(dry --mode normal 2>/dev/null | grep -o -e 'mlimg\.[rv][a-z]*' || :)"
	first=$(dry --mode reset 2>/dev/null | grep -oE ' mlimg\.reset=vm-[0-9a-f]{16} ')
	[ -n "$first" ]
	[ "$first" != "$(dry --mode reset 2>/dev/null | grep -oE ' mlimg\.reset=vm-[0-9a-f]{16} ')" ]
	usage "--mode: 'persistent' is not normal, volatile, readonly, rescue or reset" dry --mode persistent
}

@test "dry run: a user layer that the guest makes on a blank disk" {
	local i=00112233445566778899aabbccddeeff id
	id=$(printf '#mtree\n# mlimg-format 1\n# mlimg-kind user\n# mlimg-name bob\n# mlimg-version 0\n# mlimg-instance %s\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n' \
		$i | sha256sum | cut -c 1-20)
	truncate -s 64M blank.img
	blank() {
		mlimg-vm run --system s.img --accel tcg --runtime-dir /r --dry-run --user blank.img "$@" 2>/dev/null
	}
	blank --format-user bob:$i | grep " mlimg.user=$id mlimg.format=bob:$i "
	blank --format-user bob:$i | grep "serial=$id,"
	same "name" "	-name guest=bob \\" "$(blank --format-user bob:$i | sed -n 2p)"
	same "instance" 1 "$(blank --format-user bob | grep -cE ' mlimg.format=bob:[0-9a-f]{32} ')"
	same "one that is there" "" "$(dry --format-user bob:$i 2>/dev/null | grep format= || :)"
	same "qcow2" 1 "$(blank --user-format qcow2 --format-user bob:$i | grep -c " mlimg.user=$id mlimg.format=bob:$i ")"
	usage "a qcow2 user layer is not looked into: --format-user must be given as NAME:INSTANCE" blank_usage --user-format qcow2 --format-user bob
	usage "--user-id and --format-user exclude each other: the id follows from the latter" blank_usage --user-format qcow2 --user-id "$id" --format-user bob:$i
	usage "--format-user needs --mode normal" blank_usage --mode rescue --format-user bob
	usage "--format-user: '/x' cannot be the name of a user layer" blank_usage --format-user /x
	usage "--format-user is given twice" blank_usage --format-user a --format-user b
}

blank_usage() {
	mlimg-vm run --system s.img --accel tcg --runtime-dir /r --dry-run --user blank.img "$@"
}

@test "dry run: console on the terminal" {
	run --separate-stderr dry --console stdio
	grep -q -e "-chardev stdio,id=console,mux=on,signal=off" <<<"$output"
	grep -q -e "-serial chardev:console" <<<"$output"
}

@test "dry run: a qcow2 user layer, by its name and by --user-format" {
	cp u.img v.qcow2
	run --separate-stderr mlimg-vm run --system s.img --user v.qcow2 --user-id 0123456789abcdef0123 --name bob --accel tcg \
		--runtime-dir /r --dry-run
	grep -q -e "-blockdev driver=qcow2,node-name=user,discard=unmap,detect-zeroes=unmap,.*filename=v.qcow2 " <<<"$output"
	grep -q -e "mlimg.user=0123456789abcdef0123 " <<<"$output"
	run --separate-stderr mlimg-vm run --system s.img --user u.img --user-format qcow2 --user-id 0123456789abcdef0123 \
		--name bob --accel tcg --runtime-dir /r --dry-run
	grep -q -e "-blockdev driver=qcow2,node-name=user,.*filename=u.img " <<<"$output"
	run --separate-stderr mlimg-vm run --system s.img --user v.qcow2 --user-format raw --accel tcg --runtime-dir /r --dry-run
	grep -q -e "-blockdev driver=raw,node-name=user,.*filename=v.qcow2 " <<<"$output"
}

@test "images: the header of another format in a raw user layer is not followed" {
	cp u.img evil.img
	printf 'QFI\xfb\0\0\0\3' | dd of=evil.img conv=notrunc status=none
	fails 3 "mlimg-vm: evil.img: is a qcow2 image; only raw images can be read" \
		mlimg-vm run --system s.img --user evil.img --dry-run
}

@test "dry run: commas in file names are doubled, quotes are quoted" {
	cp s.img "a,b'c.img"
	run --separate-stderr mlimg-vm run --system "a,b'c.img" --user u.img --accel tcg --runtime-dir /r --dry-run
	grep -qF "'driver=raw,node-name=system,read-only=on,file.driver=file,file.filename=a,,b'\\''c.img'" <<<"$output"
}

# Serials in the order of the addresses.
order() {
	dry --software w.img --software x.img "$@" 2>/dev/null | sed -n 's/.*serial=\(.\).*addr=\([^,]*\),.*/\2 \1/p' | sort | cut -d ' ' -f 2 | tr -d '\n'
}

@test "shuffle: all disks, in another order, the same for the same seed" {
	same "order without" abdc "$(order)"
	for seed in 1 2 3 4 5 6 7 8; do
		same "disks of seed $seed" abcd "$(order --shuffle $seed | fold -w 1 | sort | tr -d '\n')"
		same "seed $seed again" "$(order --shuffle $seed)" "$(order --shuffle $seed)"
		order --shuffle $seed
		echo
	done | sort -u >orders
	[ "$(wc -l <orders)" -gt 2 ]
}

# patched_boot: systems 1 and 2 with other kernels, and p.img from the one to the other, which also moves 1's; w2.img is over 2.
patched_boot() {
	mkdir -p v1/boot v1/etc
	echo one | tee v1/boot/vmlinuz-6.1.0-1-test v1/boot/initrd.img-6.1.0-1-test >/dev/null
	ln -s boot/vmlinuz-6.1.0-1-test v1/vmlinuz
	head -c 20000 /dev/urandom >v1/boot/vmlinuz-6.1.0-2-test
	head -c 30000 /dev/urandom >v1/etc/initrd
	mlimg-mkfs --quiet --kind system --name debian --version 1 v1 1.img
	cp -a v1 v2
	mv v2/etc/initrd v2/boot/initrd.img-6.1.0-2-test
	touch -d @1600000000 v2/boot/vmlinuz-6.1.0-2-test
	rm v2/vmlinuz
	ln -s boot/vmlinuz-6.1.0-2-test v2/vmlinuz
	rm v2/boot/initrd.img-6.1.0-1-test
	mlimg-mkfs --quiet --base 1.img --name debian --version 2 v2 p.img
	mlimg-mkfs --quiet --kind system --name debian --version 2 v2 2.img
	# Nothing of the new kernel lies in the patch.
	[ "$(mlimg-inspect p.img manifest | grep -c metacopy)" -eq 2 ]
}

# vm_id IMAGE: as kernel parameters have it.
vm_id() {
	mlimg-inspect --json "$1" show | jq -r '.build_id[:20]'
}

@test "a patch: its disk, its parameter, and the kernel of the system that it shows" {
	cd "$BATS_TEST_TMPDIR" || return
	patched_boot
	mlimg-mkfs --quiet --kind user --name alice --size 16M u.img
	mkdir soft
	mlimg-mkfs --quiet --kind software --name soft soft w.img
	run --separate-stderr mlimg-vm run --system 1.img --patch p.img --software w.img --user u.img --accel tcg --runtime-dir /r --dry-run
	same stderr "$ACCEL
$UNION" "$stderr"
	same parameters "boot=mlimg mlimg.system=$(vm_id 1.img) mlimg.patch=$(vm_id p.img) mlimg.software=$(vm_id w.img) mlimg.user=$(vm_id u.img) console=ttyS0 no_timer_check panic=-1" \
		"$(sed -n "s/.*-append '\(.*\)'.*/\1/p" <<<"$output")"
	same disks "system,read-only=on,file.driver=file,file.filename=1.img
patch0,read-only=on,file.driver=file,file.filename=p.img
software0,read-only=on,file.driver=file,file.filename=w.img
user,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=u.img" "$(sed -n 's/.*node-name=\([^ ]*\).*/\1/p' <<<"$output")"

	# The program in QEMU's place leaves the files where they can be looked at.
	local system run
	run=$(mktemp -d /tmp/mlimg-vm.XXXXXX)
	mkdir bin
	printf '#!/bin/sh\n[ "$1" != -sandbox ] || exit 0\ncp "%s"/alice/kernel "%s"/alice/initrd .\nexit 1\n' "$run" "$run" >bin/qemu-system-x86_64
	chmod +x bin/qemu-system-x86_64
	for system in "1.img --patch p.img" 2.img; do
		rm -f kernel initrd
		# shellcheck disable=SC2086
		PATH=$PWD/bin:$PATH run mlimg-vm run --system $system --user u.img --accel tcg --runtime-dir "$run"
		cmp kernel v2/boot/vmlinuz-6.1.0-2-test
		cmp initrd v2/boot/initrd.img-6.1.0-2-test
	done
	PATH=$PWD/bin:$PATH run mlimg-vm run --system 1.img --user u.img --accel tcg --runtime-dir "$run"
	same "the old kernel" one "$(cat kernel)"
	rm -rf "$run"
}

@test "patches that do not fit" {
	cd "$BATS_TEST_TMPDIR" || return
	patched_boot
	mlimg-mkfs --quiet --kind user --name alice --size 16M u.img
	fails 3 "mlimg-vm: 'p.img': patch layer 'debian' 2 ($(vm_id p.img)): is a patch for system $(vm_id 1.img), and this one is $(vm_id 2.img)" \
		mlimg-vm run --system 2.img --patch p.img --user u.img --dry-run
	fails 3 "mlimg-vm: 'p.img': patch layer 'debian' 2 ($(vm_id p.img)): is in the stack twice" \
		mlimg-vm run --system 1.img --patch p.img --patch p.img --user u.img --dry-run
	fails 3 "mlimg-vm: '1.img' is a system layer, but --patch wants a patch layer" mlimg-vm run --system 1.img --patch 1.img --user u.img --dry-run
	fails 3 "mlimg-vm: 'p.img' is a patch layer, but --software wants a software layer" \
		mlimg-vm run --system 1.img --software p.img --user u.img --dry-run
	local args=() i
	for i in $(seq 17); do args+=(--patch "$i"); done
	usage "more than 16 patches" mlimg-vm run --system 1.img --user u.img "${args[@]}"
}

@test "64 software layers: nine slots of disks, and one more is refused" {
	local args=() i
	mkdir -p many
	for i in $(seq 64); do
		cp w.img "many/$i"
		args+=(--software "many/$i")
	done
	usage "more than 64 software layers" dry "${args[@]}" --software x.img
}

@test "help: on stdout, 80 columns, exit 0" {
	for command in "" run status stop; do
		# shellcheck disable=SC2086
		works mlimg-vm $command --help
		[[ $output == "Usage: mlimg-vm"* ]]
		same "longest line of $command" "" "$(awk 'length > 80' <<<"$output")"
	done
}

@test "wrong usage: commands and options" {
	usage "a command is missing" mlimg-vm
	usage "unknown command 'begin'" mlimg-vm begin
	usage "unknown option '--foo'" mlimg-vm --foo
	usage "unknown option '--foo'" dry --foo
	usage "option '--memory' needs an argument" dry --memory
	usage "unexpected argument 'u.img' (arguments for QEMU come after '--')" dry u.img
	usage "--system is missing" mlimg-vm run --user u.img
	usage "--user is missing" mlimg-vm run --system s.img
	usage "--system is given twice" dry --system s.img
	usage "--user is given twice" dry --user u.img
	usage "the name of a guest is missing" mlimg-vm status
	usage "unexpected argument 'b'" mlimg-vm stop a b
	usage "unknown option '--json'" mlimg-vm stop --json a
	usage "--timeout: '0' is not a number from 1 to 86400" mlimg-vm stop --timeout 0 a
}

@test "wrong usage: values" {
	usage "--memory: '1X' is not a size (a whole number, then K, M, G or T if wanted)" dry --memory 1X
	usage "--memory: '512' is not from 64M to 4T" dry --memory 512
	usage "--memory: '65537K' is not a whole number of MiB" dry --memory 65537K
	usage "--cpus: '0' is not a number from 1 to 255" dry --cpus 0
	usage "--accel: 'hvf' is not an accelerator (auto, kvm, tcg)" dry --accel hvf
	usage "--net: 'bridge' is neither 'user' nor 'none'" dry --net bridge
	usage "--forward: '80' is not [ADDRESS:]HOSTPORT:GUESTPORT" dry --forward 80
	usage "--forward: '1:2:3:4' is not [ADDRESS:]HOSTPORT:GUESTPORT" dry --forward 1:2:3:4
	usage "--forward: '8080:80,x=y' is not [ADDRESS:]HOSTPORT:GUESTPORT" dry --forward 8080:80,x=y
	usage "--forward: '1.2.3' is no IPv4 address" dry --forward 1.2.3:80:80
	usage "--forward: '65536' is not a number from 1 to 65535" dry --forward 65536:80
	usage "--forward needs --net user" dry --net none --forward 80:80
	usage "--shuffle: 'x' is not a number from 0 to 18446744073709551615" dry --shuffle x
	usage "--boot-timeout: '0' is not a number from 1 to 86400" dry --boot-timeout 0
	usage "--console: a file, 'stdio' or 'none' is wanted" dry --console ''
	usage "--kernel and --initrd go together" dry --kernel k
	usage "--user-format: 'vmdk' is neither 'qcow2' nor 'raw'" dry --user-format vmdk
	usage "a qcow2 user layer is not looked into: --user-id and --name must be given" dry --user-format qcow2
	usage "--user-id: 'xyz' is not an id (20 to 64 lower-case hex digits)" dry --user-id xyz
	usage "--user-id is for qcow2 user layers; a raw one holds its id itself" dry --user-id 0123456789abcdef0123
	usage "'a/b' cannot be a guest's name (1 to 64 letters, digits and ._+~:-, the first a letter or digit)" dry --name a/b
	usage "'..' cannot be a guest's name (1 to 64 letters, digits and ._+~:-, the first a letter or digit)" mlimg-vm status ..
}

@test "wrong usage: a runtime directory that is too long for a socket" {
	local long
	long=/$(printf '%0100d' 0)
	usage "runtime directory '$long/alice' is too long for a socket's path: at most 94 bytes" \
		mlimg-vm run --system s.img --user u.img --dry-run --runtime-dir "$long"
}

@test "wrong usage: a kernel command line that the kernel would cut" {
	local base fits
	base=$(dry --append '' 2>/dev/null | sed -n "s/.*-append '\(.*\)'.*/\1/p")
	fits=$(printf "%0$((2047 - ${#base}))d" 0)
	dry --append "$fits" >/dev/null 2>&1
	usage_after_accel "the kernel command line has 2048 bytes, but the kernel reads only 2047; shorten --append or merge software layers" \
		dry --append "0$fits"
}

usage_after_accel() {
	local message=$1
	shift
	fails 2 "$ACCEL
$UNION
mlimg-vm: $message
$TRY" "$@"
}

@test "images: missing, of another kind, no layer" {
	fails 1 "mlimg-vm: open image 'none.img': No such file or directory" mlimg-vm run --system none.img --user u.img --dry-run
	fails 3 "mlimg-vm: 'w.img' is a software layer, but --system wants a system layer" \
		mlimg-vm run --system w.img --user u.img --dry-run
	fails 3 "mlimg-vm: 's.img' is a system layer, but --software wants a software layer" dry --software s.img
	fails 3 "mlimg-vm: 'w.img' is a software layer, but --user wants a user layer" \
		mlimg-vm run --system s.img --user w.img --dry-run
	head -c 1M /dev/zero >zero.img
	run --separate-stderr mlimg-vm run --system zero.img --user u.img --dry-run
	[ "$status" -eq 3 ]
	[[ $stderr == *zero.img* ]]
}

@test "images: a user layer that cannot be written" {
	[ "$(id -u)" -ne 0 ] || need command setpriv
	cp u.img readonly.img
	chmod 444 readonly.img
	local drop=()
	[ "$(id -u)" -ne 0 ] || drop=(setpriv --bounding-set -dac_override --inh-caps -dac_override)
	chattr +i readonly.img 2>/dev/null || [ "$(id -u)" -ne 0 ] || skip "cannot make a file immutable here"
	run --separate-stderr "${drop[@]}" "$(command -v mlimg-vm)" run --system s.img --user readonly.img --accel tcg --runtime-dir /r --dry-run
	chattr -i readonly.img 2>/dev/null || true
	[ "$status" -eq 1 ]
	[[ $stderr == *"mlimg-vm: open user layer 'readonly.img' for writing: "* ]]
}

@test "images: the same layer twice" {
	run --separate-stderr dry --software w.img --software w.img
	[ "$status" -eq 3 ]
	[[ $stderr == "mlimg-vm: 'w.img': "* ]]
}

@test "images: a system layer without a kernel" {
	run --separate-stderr mlimg-vm run --system bare.img --user u.img --accel tcg --runtime-dir /r --dry-run
	[ "$status" -eq 3 ]
	[[ $stderr == "$ACCEL
mlimg-vm: "*bare.img*/boot* ]]
}

@test "images: another kernel that is not there" {
	fails 1 "$ACCEL
mlimg-vm: open 'k': No such file or directory" dry --kernel k --initrd k
}

@test "accel: says what it took and why; kvm is refused where it cannot run" {
	run --separate-stderr mlimg-vm run --system s.img --user u.img --runtime-dir /r --dry-run
	stderr=${stderr%$'\n'"$UNION"}
	[[ $stderr == "mlimg-vm: accel: tcg (emulation): "* ]] || [ "$stderr" = "mlimg-vm: accel: kvm: a test guest ran" ]
	if ! grep -qwE '^flags.*(vmx|svm)' /proc/cpuinfo; then
		same stderr "mlimg-vm: accel: tcg (emulation): the CPU shows neither vmx nor svm" "$stderr"
		fails 1 "mlimg-vm: --accel kvm: KVM cannot be used: the CPU shows neither vmx nor svm" dry --accel kvm
	fi
}
