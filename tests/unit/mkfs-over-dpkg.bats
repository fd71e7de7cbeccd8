# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The databases of dpkg and apt in software layers made over others: rule dpkg-status, and the part of older-library that looks at packages.

load ../lib/common
load ../lib/images

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# package NAME VERSION [STATE]: its stanza
package() {
	printf 'Package: %s\nStatus: install ok %s\nMaintainer: a <a@b>\nArchitecture: amd64\nVersion: %s\nDescription: x\n y\n\n' \
		"$1" "${3:-installed}" "$2"
}

# A system with three packages, s.img of the directory old, and the directory new.
system() {
	mkdir -p old/usr/lib old/var/lib/apt old/var/lib/dpkg/{info,triggers,alternatives}
	seq 20 | sed 's|^|old/usr/lib/|' | xargs touch
	{
		package libc6 2.36-9+deb12u10
		package bash 5.2
		package nano 7.2
	} >old/var/lib/dpkg/status
	touch old/var/lib/dpkg/info/libc6:amd64.shlibs
	printf 'Package: nano\nArchitecture: amd64\nAuto-Installed: 1\n\n' >old/var/lib/apt/extended_states
	printf '/bin/sh\n/bin/sh.distrib\ndash\n' >old/var/lib/dpkg/diversions
	echo 'root root 4755 /bin/x' >old/var/lib/dpkg/statoverride
	echo amd64 >old/var/lib/dpkg/arch
	echo '/usr/share/info install-info/noawait' >old/var/lib/dpkg/triggers/File
	echo auto >old/var/lib/dpkg/alternatives/editor
	find old -exec touch -h -d @1600000000 {} +
	cp -a old new
	mlimg-mkfs --quiet --kind system --name s old s.img
}

# over OPTION…: l.img of what differs in the directory new
over() {
	mlimg-mkfs --quiet --force --kind software --name s --over s.img "$@" new l.img
}

records() { # IMAGE PATH
	debugfs -R "cat /mlimg/records/$2" "$1" 2>/dev/null
}

holds() {
	mlimg-inspect "${1:-l.img}" manifest | awk '!/^#/ && !/type=dir/ { print $1, $2 }'
}

refused() { # MESSAGE OPTION…
	fails 3 "mlimg-mkfs: $1" mlimg-mkfs --force --kind software --name s --over s.img "${@:2}" new l.img
}

@test "each database is kept as records" {
	system
	{
		package libc6 2.36-9+deb12u10
		package nginx 1.22
		package bash 5.2.15
	} >new/var/lib/dpkg/status
	printf 'Package: libnginx\nArchitecture: amd64\nAuto-Installed: 1\n\n' >>new/var/lib/apt/extended_states
	printf '/bin/vi\n/bin/vi.x\nvim\n' >new/var/lib/dpkg/diversions
	echo 'root www-data 750 /var/log/nginx' >>new/var/lib/dpkg/statoverride
	echo i386 >>new/var/lib/dpkg/arch
	echo '/etc/ufw ufw' >>new/var/lib/dpkg/triggers/File
	echo nginx >new/var/lib/dpkg/triggers/nginx-reload
	echo manual >new/var/lib/dpkg/alternatives/editor
	works mlimg-mkfs --kind software --name s --over s.img new l.img
	same told 'records of var/lib/apt/extended_states: 1 new or changed, 0 gone
records of var/lib/dpkg/arch: 1 new or changed, 0 gone
records of var/lib/dpkg/diversions: 1 new or changed, 1 gone
records of var/lib/dpkg/statoverride: 1 new or changed, 0 gone
records of var/lib/dpkg/status: 2 new or changed, 1 gone
records of var/lib/dpkg/triggers/File: 1 new or changed, 0 gone
records of var/lib/dpkg/triggers/nginx-reload: 1 new or changed, 0 gone' "$(sed 1d <<<"$output")"
	same "files in the tree" './var/lib/dpkg/alternatives/editor type=file' "$(holds)"
	same "status" "$(
		package nginx 1.22
		package bash 5.2.15
		printf 'Package: nano\nStatus: unknown ok not-installed\nArchitecture: amd64'
	)" "$(records l.img var/lib/dpkg/status)"
	same "diversions" $'/bin/vi\n/bin/vi.x\nvim\n/bin/sh\n-\n-' "$(records l.img var/lib/dpkg/diversions)"
	same "extended_states" $'Package: libnginx\nArchitecture: amd64\nAuto-Installed: 1' "$(records l.img var/lib/apt/extended_states)"
	same "arch" i386 "$(records l.img var/lib/dpkg/arch)"
	same "trigger" nginx "$(records l.img var/lib/dpkg/triggers/nginx-reload)"
	works mlimg-inspect l.img verify
	grep -q '^databases    7 files of records, as in the manifest$' <<<"$output"
	fsck_clean l.img
	works mlimg-inspect l.img
	grep -q '^records      var/lib/apt/extended_states$' <<<"$output"
	same "paths in layer.json" 7 "$(mlimg-inspect --json l.img | jq '.records | length')"
	# The files themselves have never been in the image.
	run grep -ac 'libc6' l.img
	same "mentions of what is as beneath" 0 "$output"
	mv l.img first.img
	over
	cmp first.img l.img
}

@test "what only changed its time or order has no records" {
	system
	touch new/var/lib/dpkg/status new/var/lib/dpkg/triggers/File
	{
		package nano 7.2
		package bash 5.2
		package libc6 2.36-9+deb12u10
	} >new/var/lib/dpkg/status
	works mlimg-mkfs --kind software --name s --over s.img new l.img
	same lines 1 "$(wc -l <<<"$output")"
	same "what is in the layer" "" "$(holds)"
	same records null "$(mlimg-inspect --json l.img | jq .records)"
}

@test "a layer over a layer: records count from what both show" {
	system
	package nginx 1.22 >>new/var/lib/dpkg/status
	over
	mv l.img a.img
	sed -i '/^Package: nano$/,/^$/d' new/var/lib/dpkg/status
	package php 8.2 >>new/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind software --name b --over s.img,a.img new b.img
	same "records of the second" "$(
		package php 8.2
		printf 'Package: nano\nStatus: unknown ok not-installed\nArchitecture: amd64'
	)" "$(records b.img var/lib/dpkg/status)"
	# Taken back again, over both.
	cp old/var/lib/dpkg/status new/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind software --name c --over s.img,a.img,b.img new c.img
	same "records of the third" "$(
		package nano 7.2
		printf 'Package: nginx\nStatus: unknown ok not-installed\nArchitecture: amd64\n\n'
		printf 'Package: php\nStatus: unknown ok not-installed\nArchitecture: amd64'
	)" "$(records c.img var/lib/dpkg/status)"
}

@test "--allow dpkg-status keeps the file, which then is what shows" {
	system
	package nginx 1.22 >>new/var/lib/dpkg/status
	over --allow dpkg-status
	same "what is in the layer" './var/lib/dpkg/status type=file' "$(holds)"
	mlimg-inspect l.img cat /var/lib/dpkg/status | cmp - new/var/lib/dpkg/status
	mv l.img a.img
	package php 8.2 >>new/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind software --name b --over s.img,a.img new b.img
	same "records of the second" "$(package php 8.2)" "$(records b.img var/lib/dpkg/status)"
}

@test "a database that is gone, or was not there" {
	system
	rm new/var/lib/dpkg/status new/var/lib/dpkg/arch
	over
	same "what is in the layer" $'./var/lib/dpkg/arch type=char\n./var/lib/dpkg/status type=char' "$(holds)"
	mv l.img a.img
	package nginx 1.22 >new/var/lib/dpkg/status
	mlimg-mkfs --quiet --kind software --name b --over s.img,a.img new b.img
	same "records where no file shows" "$(package nginx 1.22)" "$(records b.img var/lib/dpkg/status)"
}

@test "records are checked by verify, and by who builds on them" {
	system
	package nginx 1.22 >>new/var/lib/dpkg/status
	over
	cp l.img bad.img
	package nginx 1.23 >other
	dd if=other of=bad.img bs=4096 seek="$(debugfs -R 'blocks /mlimg/records/var/lib/dpkg/status' bad.img 2>/dev/null | tr -d ' ')" \
		conv=notrunc status=none
	local wanted found
	wanted=$(mlimg-inspect --json l.img | jq -r '.records[0].sha256' | cut -c 1-20)
	found=$(sha256sum other | cut -c 1-20)
	fails 3 "mlimg-inspect: bad.img: /mlimg/records/var/lib/dpkg/status has digest $found, not $wanted" mlimg-inspect bad.img verify
	fails 3 "mlimg-mkfs: 'var/lib/dpkg/status' cannot be kept as records (rule dpkg-status): layer 's': '/var/lib/dpkg/status': bad.img: /mlimg/records/var/lib/dpkg/status has digest $found, not $wanted" \
		mlimg-mkfs --kind software --name b --over s.img,bad.img new b.img
	[ ! -e b.img ]
	cp l.img bad.img
	debugfs -w -R 'rm /mlimg/records/var/lib/dpkg/status' bad.img 2>/dev/null
	fails 3 "mlimg-inspect: bad.img: there is no /mlimg/records/var/lib/dpkg/status in it" mlimg-inspect bad.img verify
	# The description must name what the manifest does.
	cp l.img bad.img
	mlimg-inspect --json l.img >json
	debugfs -R 'cat /mlimg/layer.json' l.img 2>/dev/null | jq 'del(.records)' >json
	debugfs -w -R 'rm /mlimg/layer.json' bad.img 2>/dev/null
	debugfs -w -R 'write json /mlimg/layer.json' bad.img 2>/dev/null >&2
	fails 3 "mlimg-inspect: bad.img: its layer.json and its manifest differ in 'records' or 'rebuild'" mlimg-inspect bad.img
}

@test "an older package that has shared libraries" {
	system
	sed -i 's/2.36-9+deb12u10/2.36-9+deb12u9/' new/var/lib/dpkg/status
	refused "package libc6 is 2.36-9+deb12u9, but 2.36-9+deb12u10 beneath: its shared libraries would be older (rule older-library)"
	[ ! -e l.img ]
	over --allow older-library
	same "records" "$(package libc6 2.36-9+deb12u9)" "$(records l.img var/lib/dpkg/status)"
	# One without libraries may be older, and one that is not installed any more is none.
	cp old/var/lib/dpkg/status new/var/lib/dpkg/status
	sed -i 's/5\.2$/5.1/' new/var/lib/dpkg/status
	over
	{
		package libc6 2.36-9+deb12u9 config-files
		package bash 5.2
	} >new/var/lib/dpkg/status
	over
	# By its plain name, as of packages that are not Multi-Arch: same.
	mv old/var/lib/dpkg/info/libc6:amd64.shlibs old/var/lib/dpkg/info/libc6.shlibs
	mlimg-mkfs --quiet --force --kind system --name s old s.img
	rm -r new && cp -a old new
	sed -i 's/2.36-9+deb12u10/2.35/' new/var/lib/dpkg/status
	refused "package libc6 is 2.35, but 2.36-9+deb12u10 beneath: its shared libraries would be older (rule older-library)"
}

@test "what is no such database is refused, or kept as a file" {
	local file=new/var/lib/dpkg/status as="'var/lib/dpkg/status' cannot be kept as records (rule dpkg-status)"
	system
	printf 'Package: a' >$file
	refused "$as: no newline at the end"
	head -c 100000 /dev/urandom | tr -d '\n' >$file
	echo >>$file
	refused "$as: a NUL in it"
	printf 'Package: a\n\nPackage: a\n\n' >$file
	refused "$as: line 3: 'a' is there already"
	printf 'Version: 1\n\n' >$file
	refused "$as: line 1: a record without 'Package'"
	echo nonsense >$file
	refused "$as: line 1: not 'Field: value'"
	truncate -s 64M $file
	echo >>$file
	refused "$as: more than 67108864 bytes"
	tar -C new -cf new.tar .
	fails 3 "mlimg-mkfs: $as: more than 67108864 bytes" mlimg-mkfs --kind software --name s --over s.img new.tar l.img
	over --allow dpkg-status
	works mlimg-inspect l.img verify
	cp old/var/lib/dpkg/status $file
	ln $file new/var/lib/dpkg/other
	refused "$as: it has several names"
	rm new/var/lib/dpkg/other
	ln $file new/a
	refused "$as: it has several names"
	rm new/a
	# Beneath it may be broken too.
	echo nonsense >old/var/lib/dpkg/status
	mlimg-mkfs --quiet --force --kind system --name s old s.img
	refused "$as: beneath: line 1: not 'Field: value'"
	# A link is no file; it is taken as it is.
	rm $file
	ln -s /nowhere $file
	over
	same "what is in the layer" './var/lib/dpkg/status type=link' "$(holds)"
}

@test "without images beneath the file stays" {
	system
	mlimg-mkfs --quiet --kind software --name a --over "$(mlimg-inspect --json s.img | jq -r .build_id)" new a.img
	holds a.img | grep -qx './var/lib/dpkg/status type=file'
}

@test "a layer with records is no source: they would be lost" {
	system
	package nginx 1.22 >>new/var/lib/dpkg/status
	over
	fails 3 "mlimg-mkfs: 'l.img' keeps var/lib/dpkg/status and maybe others as records beside its tree, which a new layer would lose" \
		mlimg-mkfs --kind system --name a s.img l.img a.img
	[ ! -e a.img ]
}

# packages_of OLD NEW: what diff says of packages
packages_of() {
	mlimg-inspect --summary "$1" diff "$2" | sed -n '/^packages$/,/^$/p' | sed '1d;/^$/d'
}

@test "diff: packages of layers that have records of them, with both versions" {
	system
	package nginx 1.22 >>new/var/lib/dpkg/status
	package tool 1 >>new/var/lib/dpkg/status
	over --version 1 && mv l.img 1.img
	sed -i 's/^Version: 1.22/Version: 1.24/; s/^Package: tool/Package: other/' new/var/lib/dpkg/status
	# One of the system's that is gone is none of the layer's.
	sed -i '/^Package: nano/,/^$/d' new/var/lib/dpkg/status
	over --version 2 && mv l.img 2.img
	same "packages" '~ nginx:amd64 1.22 -> 1.24
+ other:amd64 1
- tool:amd64 1' "$(packages_of 1.img 2.img)"
	same "packages as JSON" '[{"package":"nginx","architecture":"amd64","old":"1.22","new":"1.24"},{"package":"other","architecture":"amd64","new":"1"},{"package":"tool","architecture":"amd64","old":"1"}]' \
		"$(mlimg-inspect --json 1.img diff 2.img | jq -c .packages)"
	# A version that brings no package.
	cp old/var/lib/dpkg/status new/var/lib/dpkg/status
	echo x >new/usr/lib/x
	over --version 0 && mv l.img 0.img
	same "packages of the first" $'+ nginx:amd64 1.22\n+ tool:amd64 1' "$(packages_of 0.img 1.img)"
	same "packages that are gone" $'- nginx:amd64 1.22\n- tool:amd64 1' "$(packages_of 1.img 0.img)"
	# All packages of a system are another thing.
	same "packages of a system and a layer" "" "$(packages_of s.img 1.img)"
}

@test "users and groups are kept as records" {
	mkdir -p old/etc
	seq 20 | sed 's|^|old/etc/|' | xargs touch
	printf 'root:x:0:0:root:/root:/bin/sh\n' >old/etc/passwd
	printf 'root:*:19000:0:99999:7:::\n' >old/etc/shadow
	printf 'root:x:0:\nssl:x:9:old\n' >old/etc/group
	chmod 640 old/etc/shadow
	find old -exec touch -h -d @1600000000 {} +
	cp -a old new
	mlimg-mkfs --quiet --kind system --name s old s.img
	echo 'www:x:33:33::/var/www:/bin/no' >>new/etc/passwd
	echo 'www:!:19100::::::' >>new/etc/shadow
	printf 'root:x:0:\nssl:x:9:old,www\nwww:x:33:\n' >new/etc/group
	echo 'www:100000:65536' >new/etc/subuid
	works mlimg-mkfs --kind software --name s --over s.img new l.img
	same told 'records of etc/group: 2 new or changed, 0 gone
records of etc/passwd: 1 new or changed, 0 gone
records of etc/shadow: 1 new or changed, 0 gone
records of etc/subuid: 1 new or changed, 0 gone' "$(sed 1d <<<"$output")"
	same "what is in the layer" "" "$(holds)"
	same "passwd" 'www:x:33:33::/var/www:/bin/no' "$(records l.img etc/passwd)"
	same "group" $'ssl:x:9:+www\nwww:x:33:' "$(records l.img etc/group)"
	# Guests see what is in their layers.
	same "who can read passwords" 0600 \
		"$(debugfs -R 'stat /mlimg/records/etc/shadow' l.img 2>/dev/null | sed -n 's/.*Mode: *\([0-7]*\).*/\1/p')"
	# Another one, which knows nothing of the first.
	cp -a old other
	echo 'db:x:34:34::/:/bin/no' >>other/etc/passwd
	printf 'root:x:0:\nssl:x:9:db\n' >other/etc/group
	mlimg-mkfs --quiet --kind software --name b --over s.img other b.img
	mlimg-mkfs --quiet --kind software --name c --partial --over s.img,l.img,b.img other c.img
	same "passwd of a third over both" ":www" "$(records c.img etc/passwd)"
	same "group of a third over both" $'ssl:x:9:-www\n:www' "$(records c.img etc/group)"
	over --allow accounts
	same "what is in the layer, as files" $'./etc/group type=file\n./etc/passwd type=file\n./etc/shadow type=file\n./etc/subuid type=file' "$(holds)"
	echo 'www:x:34:34::/:/bin/no' >>new/etc/passwd
	refused "'etc/passwd' cannot be kept as records (rule accounts): line 3: 'www' is there already"
}
