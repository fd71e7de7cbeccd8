# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Databases in an index: composed of what the layers have (libmlimg/compose.h). What a guest shows is in tests/root/compose.bats.

load ../lib/common

package() { # NAME VERSION: its stanza; three take more than a block
	printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nDescription: %02000d\n\n' "$1" "$2" 0
}

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p old/var/lib/dpkg/{info,triggers} old/usr/bin
	{
		package libc6 2.36
		package nano 7.2
	} >old/var/lib/dpkg/status
	echo amd64 >old/var/lib/dpkg/arch
	chmod 0640 old/var/lib/dpkg/status
	chmod 0750 old/var/lib/dpkg
	cp -a old a
	package nginx 1.22 >>a/var/lib/dpkg/status
	echo i386 >>a/var/lib/dpkg/arch
	echo /usr/share/nginx >a/var/lib/dpkg/triggers/nginx
	for i in {1..40}; do echo "$i" >"a/var/lib/dpkg/triggers/t$i"; done # /mlimg/composed takes more than a block
	: >a/usr/bin/nginx
	: >a/var/lib/dpkg/info/nginx.list
	cp -a old b
	{
		package libc6 2.37
		package jq 1.6
	} >b/var/lib/dpkg/status
	: >b/var/lib/dpkg/info/jq.list
	touch -d @1600000000 old/var/lib/dpkg old/var/lib/dpkg/status
	touch -d @1650000000 a/var/lib/dpkg
	touch -d @1640000000 b/var/lib/dpkg
	mlimg-mkfs --quiet --kind system --name s old s.img
	mlimg-mkfs --quiet --kind software --name a --over s.img --allow mass-deletion a a.img
	mlimg-mkfs --quiet --kind software --name b --over s.img --allow mass-deletion b b.img
	cp -a old plain
	: >plain/usr/bin/plain
	mlimg-mkfs --quiet --kind software --name plain --over s.img plain plain.img
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	ln -s "$BATS_FILE_TMPDIR"/*.img .
}

layers() { # IMAGE…: --layer for each
	printf -- '--layer\n%s\n' "$@"
}

@test "an index shows every layer's packages, once, as the highest layer has it" {
	mlimg-index -q -o x.img s.img a.img b.img
	mlimg-inspect x.img cat /var/lib/dpkg/status >status
	{
		package libc6 2.37
		package nginx 1.22
		package jq 1.6
	} | diff - status
	same "arch" "amd64 i386" "$(mlimg-inspect x.img cat /var/lib/dpkg/arch | paste -sd ' ')"
	same "trigger" /usr/share/nginx "$(mlimg-inspect x.img cat /var/lib/dpkg/triggers/nginx)"
	mlimg-inspect x.img manifest --layer s.img --layer a.img --layer b.img >listed
	# As the file was, at the newest time of what is in it; a new one is like any.
	grep -q '^\./var/lib/dpkg/status type=file mode=0640 .* time=1650000000\.' listed
	grep -q '^\./var/lib/dpkg type=dir mode=0750 .* time=1640000000\.' listed
	grep -q '^\./var/lib/dpkg/triggers/nginx type=file mode=0644 ' listed
	same "digest" "$(sha256sum <status | cut -d ' ' -f 1)" "$(sed -n 's|^\./var/lib/dpkg/status .*sha256digest=\([0-9a-f]*\).*|\1|p' listed)"
}

@test "it agrees with its layers; what is composed otherwise, or elsewhere, does not" {
	mlimg-index -q -o x.img s.img a.img b.img
	works mlimg-inspect x.img verify --layer s.img --layer a.img --layer b.img
	[[ $output == *": as in the layers' manifests"*"composed     43 files of no single layer" ]]
	cmp <(mlimg-inspect x.img manifest --layer s.img --layer a.img --layer b.img) \
		<(mlimg-inspect x.img manifest --computed --layer s.img --layer a.img --layer b.img)
	# A version in the composed text.
	cp x.img bad.img
	[ "$(grep -abo 'Version: 1.22' bad.img | wc -l)" -eq 1 ]
	printf 3 | dd of=bad.img bs=1 seek=$(($(grep -abo 'Version: 1.22' bad.img | cut -d : -f 1) + 12)) conv=notrunc status=none
	run --separate-stderr mlimg-inspect bad.img verify --layer s.img --layer a.img --layer b.img
	same "exit code" 3 "$status"
	# shellcheck disable=SC2154 # run sets it
	same "message" "mlimg-inspect: bad.img: its tree differs from its layers' in 1 entry" "$stderr"
	# And the digest of it in /mlimg/composed, which then is none of the layers' making.
	cp x.img bad.img
	at=$(grep -abo 'sha256digest=' bad.img | head -n 1 | cut -d : -f 1)
	printf 0123456789abcdef | dd of=bad.img bs=1 seek=$((at + 13)) conv=notrunc status=none
	fails 3 "mlimg-inspect: bad.img: /mlimg/composed is not what its layers' records make" \
		mlimg-inspect bad.img verify --layer s.img --layer a.img --layer b.img
}

@test "the same layers give the same index, joined ones too; without records nothing is composed" {
	mlimg-index -q -o x.img s.img a.img b.img
	mlimg-index -q -o y.img s.img a.img b.img
	cmp x.img y.img
	mlimg-index -q --joined -o j.img s.img a.img b.img
	for image in s a b; do
		truncate -s %4096 "$(readlink -f "$image.img")"
	done
	cat j.img s.img a.img b.img >disk.img
	cmp <(mlimg-inspect x.img cat /var/lib/dpkg/status) <(mlimg-inspect disk.img cat /var/lib/dpkg/status)
	works mlimg-inspect disk.img verify
	[[ $output == *"composed     43 files of no single layer" ]]
	mlimg-index -q -o plain-x.img s.img plain.img
	works mlimg-inspect plain-x.img verify --layer s.img --layer plain.img
	[[ $output == *": as in the layers' manifests" ]]
	fails 1 "" grep -q mlimg-composed plain-x.img
}

@test "records that are damaged make no index" {
	cp --remove-destination "$(readlink -f a.img)" a.img
	at=$(grep -abo '/usr/share/nginx' a.img | head -n 1 | cut -d : -f 1)
	printf X | dd of=a.img bs=1 seek="$at" conv=notrunc status=none
	run --separate-stderr mlimg-index -o x.img s.img a.img b.img
	same "exit code" 3 "$status"
	[[ $stderr == "mlimg-index: layer 'a': '/var/lib/dpkg/triggers/nginx': a.img: /mlimg/records/var/lib/dpkg/triggers/nginx has digest "* ]]
	[ ! -e x.img ]
}
