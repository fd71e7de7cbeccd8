#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2086,SC2317 # plain words; functions that others call
# `mlimg-agent verity` over images: root hashes, the stack's hash, signatures. Files are too little for devices, so what is good ends there; vm/verity-boot.bats
# goes on.

load ../lib/common
load ../lib/images

sys=0123456789abcdef0123 index=cccccccccccccccccccc
hash1=1111111111111111111111111111111111111111111111111111111111111111

short() {
	image_id "$1" | cut -c1-20
}

usage() {
	fails 2 "mlimg-agent: $1
Try 'mlimg-agent --help' for more information." "${@:2}"
}

# checked STATUS MESSAGE TRUST [OPTION]…: the software layer v.img. What is good gets as far as making devices, which a file is too little for.
checked() {
	fails "$1" "mlimg-agent: the software layer $v cannot be verified: v.img: $2" \
		mlimg-agent verity --trust "$3" --certs trusted --layer "software:$v=v.img" "${@:4}"
}

# good TRUST [OPTION]…
good() {
	fails 1 "mlimg-agent: v.img: Block device required" mlimg-agent verity --trust "$1" --certs trusted --layer "software:$v=v.img" "${@:2}"
}

# key NAME ALGORITHM [OPTION]…: NAME.key and NAME.pem
key() {
	openssl req -new -x509 -newkey "${@:2}" -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "/O=layers/CN=$1" 2>/dev/null
}

# made [OPTION]…: v.img, with $v and $root
made() {
	mlimg-mkfs --quiet --force --kind software --name v --verity "$@" d v.img
	v=$(short v.img) root=$(jq -r .verity.root_hash v.img.layer.json)
}

begin() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir d trusted
	head -c 3000000 /dev/urandom >d/f
}

@test "agent verity: what is no layer with this root hash" {
	begin
	made
	mlimg-mkfs --quiet --kind software --name n d n.img
	local end
	good "$v:$root"
	checked 3 "its root hash is $root, not $hash1" "$v:$hash1"
	checked 3 "mlimg.verity has no root hash of it" "$sys:$root"
	fails 3 "mlimg-agent: the system layer $v cannot be verified: n.img: it has no hash tree" \
		mlimg-agent verity --trust "$v:$root" --layer "system:$v=n.img"
	fails 3 "mlimg-agent: the patch layer $v cannot be verified: d/f: no layer" mlimg-agent verity --trust "$v:$root" --layer "patch:$v=d/f"
	fails 1 "mlimg-agent: the patch layer $v cannot be verified: open none: No such file or directory" \
		mlimg-agent verity --trust "$v:$root" --layer "patch:$v=none"
	# The same in mlimg-inspect's words, after a change of the top level's block.
	end=$(($(jq .verity.hash_offset_bytes v.img.layer.json) + 4096))
	cp v.img t.img
	cp v.img.layer.json t.img.layer.json
	printf J | dd of=v.img bs=1 seek=$((end + 4)) conv=notrunc status=none
	run mlimg-inspect v.img verify
	local said=${output#*its root hash is }
	[[ ${said%%,*} =~ ^[0-9a-f]{64}$ ]]
	checked 3 "its root hash is ${said%%,*}, not $root" "$v:$root"
	cp t.img v.img
	truncate -s -4096 v.img
	checked 3 "it ends before its hash tree does" "$v:$root"
}

# hash_of_stack IMAGE…: as libmlimg/verity.h says
hash_of_stack() {
	local image
	{
		echo 'mlimg-verity-stack 1'
		for image in "$@"; do
			echo "$(blkid -p -o value -s UUID "$image" | tr -d -) $(root_of "$image")"
		done
	} | sha256sum | cut -c1-64
}

root_of() {
	[ "$1" != i.img ] || jq -r .root_hash i.json
	[ "$1" = i.img ] || jq -r .verity.root_hash "$1.layer.json"
}

@test "agent verity: one hash for all, an index included" {
	begin
	made
	mlimg-mkfs --quiet --kind system --name s --verity d s.img
	mlimg-index --verity --json -o i.img s.img v.img >i.json
	veritysetup verify i.img i.img "$(root_of i.img)" --hash-offset=$(($(jq .size_bytes i.json)))
	local all id
	all="system:$(short s.img)=s.img"
	id=$(jq -r .stack_id i.json)
	fails 1 "mlimg-agent: s.img: Block device required" mlimg-agent verity --trust "stack:$(hash_of_stack s.img v.img)" \
		--layer "$all" --layer "software:$v=v.img"
	fails 3 "mlimg-agent: the stack cannot be verified: its hash is $(hash_of_stack s.img v.img), and mlimg.verity has $(hash_of_stack v.img s.img)" \
		mlimg-agent verity --trust "stack:$(hash_of_stack v.img s.img)" --layer "$all" --layer "software:$v=v.img"
	fails 1 "mlimg-agent: i.img: Block device required" mlimg-agent verity --trust "stack:$(hash_of_stack s.img v.img i.img)" \
		--index "$id=i.img" --layer "$all" --layer "software:$v=v.img"
	fails 3 "mlimg-agent: the index ${id:0:20} cannot be verified: i.img: its root hash is $(root_of i.img), not $hash1" \
		mlimg-agent verity --trust "${id:0:20}:$hash1,$v:$root,$(short s.img):$(root_of s.img)" \
		--index "$id=i.img" --layer "$all" --layer "software:$v=v.img"
	fails 3 "mlimg-agent: the index ${id:0:20} cannot be verified: i.img: the index there is not joined" \
		mlimg-agent verity --trust "stack:$hash1" --joined --index "$id=i.img" --layer "system:$v"
}

@test "agent verity: an index and its layers on one disk" {
	begin
	made
	mlimg-mkfs --quiet --kind system --name s --verity d s.img
	mlimg-index --joined --verity --json -o i.img s.img v.img >i.json
	local id first n
	id=$(jq -r .stack_id i.json) first=$(jq '.first_blocks[0]' i.json)
	same "the index's own size" "$((first * 4096))" "$(stat -c %s i.img)"
	[ "$(jq .size_bytes i.json)" -lt $((first * 4096)) ]
	veritysetup verify i.img i.img "$(root_of i.img)" --hash-offset="$(jq .size_bytes i.json)"
	for n in i s v; do
		cat $n.img
		truncate -s %4096 $n.img
	done >joined.img
	same "the disk" $(($(jq .disk_blocks i.json) * 4096)) "$(stat -c %s joined.img)"
	works mlimg-agent check-index --index joined.img
	works mlimg-inspect joined.img verify
	joined() {
		fails "$1" "mlimg-agent: $2" mlimg-agent verity --trust "$3" --joined --index "$id=joined.img" --layer "system:$(short s.img)" --layer "software:$v"
	}
	joined 1 "joined.img: Block device required" "stack:$(hash_of_stack s.img v.img i.img)"
	joined 3 "the software layer $v cannot be verified: block $(jq '.first_blocks[1]' i.json) of joined.img: its root hash is $root, not $hash1" \
		"$id:$(root_of i.img),$(short s.img):$(root_of s.img),$v:$hash1"
	fails 3 "mlimg-agent: the index ${id:0:20} cannot be verified: joined.img: the index there is over 2 layers, not 1" \
		mlimg-agent verity --trust "stack:$hash1" --joined --index "$id=joined.img" --layer "system:$v"
}

@test "agent verity: signatures by keys of each kind" {
	begin
	local i
	# shellcheck disable=SC2054 # rsa:2048
	local -a kinds=("rsa:2048" "rsa:4096" "ec -pkeyopt ec_paramgen_curve:P-256" "ec -pkeyopt ec_paramgen_curve:P-384")
	for i in "${!kinds[@]}"; do
		key "k$i" ${kinds[i]}
	done
	cp k*.pem trusted/
	for i in "${!kinds[@]}"; do
		made --sign "k$i.key" --cert "k$i.pem"
		veritysetup verify v.img v.img "$root" --hash-offset="$(jq .verity.hash_offset_bytes v.img.layer.json)"
		works mlimg-inspect --cert "k$i.pem" v.img verify
		good require
	done
	# openssl's own, with another digest; in DER, and in one file with others.
	printf %s "$root" >root
	openssl smime -sign -md sha512 -nocerts -noattr -binary -in root -inkey k0.key -signer k0.pem -outform der -out v.p7s
	embed_signature v.img v.p7s
	good require
	rm trusted/*
	openssl x509 -in k0.pem -outform der -out trusted/k0.der
	good require
	rm trusted/*
	{ openssl x509 -in k1.pem -text && cat k3.pem k0.pem; } >trusted/all.pem
	good require
}

@test "agent verity: signatures that are not taken" {
	begin
	# One whose first bit is set, before which DER puts a zero byte, and one whose is not.
	key mine rsa:2048 -set_serial 0x70FFEE00
	key other rsa:2048 -set_serial 0x80C0FFEE00
	made
	fails 3 "mlimg-agent: mlimg.verity=require, but there is no certificate in trusted of the initramfs: \
put one into that directory of the system, and make the initramfs again" mlimg-agent verity --trust require --certs trusted --layer "software:$v=v.img"
	cp mine.pem trusted/
	checked 3 "it is not signed" require
	made --sign other.key --cert other.pem
	local serial
	serial=$(openssl x509 -in other.pem -noout -serial)
	checked 3 "its signer's certificate, with serial number ${serial#*=}, is not in trusted of the initramfs" require
	# The same name and number, another key.
	openssl req -new -x509 -key mine.key -out forged.pem -days 30 -subj "/O=layers/CN=other" -set_serial "0x${serial#*=}" 2>/dev/null
	cp forged.pem trusted/
	checked 3 "its signature is not one of its root hash $root by the certificate with serial number ${serial#*=}" require
	rm trusted/forged.pem
	key ed ed25519
	cp ed.pem trusted/a.pem
	checked 3 "its signer's certificate, with serial number ${serial#*=}, is not in trusted of the initramfs (a.pem: its key is neither RSA nor on a named curve)" require
	echo nothing >trusted/a.pem
	checked 3 "its signer's certificate, with serial number ${serial#*=}, is not in trusted of the initramfs (a.pem: it holds no certificate)" require
	# Another layer's.
	made --sign mine.key --cert mine.pem
	good require
	cp v.img.p7s first.p7s
	echo more >>d/f
	made --sign mine.key --cert mine.pem
	embed_signature v.img first.p7s
	serial=$(openssl x509 -in mine.pem -noout -serial)
	checked 3 "its signature is not one of its root hash $root by the certificate with serial number ${serial#*=}" require
	# Other forms.
	printf %s "$root" >root
	openssl smime -sign -noattr -binary -in root -inkey mine.key -signer mine.pem -outform der -out certs.p7s
	embed_signature v.img certs.p7s
	checked 3 "its signature is not taken: it holds certificates, or something else that is not wanted" require
	openssl smime -sign -nocerts -binary -in root -inkey mine.key -signer mine.pem -outform der -out attr.p7s
	embed_signature v.img attr.p7s
	checked 3 "its signature is not taken: it is a signature of attributes" require
	openssl smime -sign -nodetach -nocerts -noattr -binary -in root -inkey mine.key -signer mine.pem -outform der -out inside.p7s
	embed_signature v.img inside.p7s
	checked 3 "its signature is not taken: it is not detached" require
	openssl smime -sign -md sha1 -nocerts -noattr -binary -in root -inkey mine.key -signer mine.pem -outform der -out sha1.p7s
	embed_signature v.img sha1.p7s
	checked 3 "its signature is not taken: its digest is neither SHA-256 nor SHA-512" require
	head -c 20000 /dev/urandom >long.p7s
	embed_signature v.img long.p7s
	checked 3 "its signature is of another form, or damaged" require
	embed_signature v.img first.p7s
	truncate -s $(($(tree_end v.img) + 100)) v.img
	checked 3 "it ends before its signature does" require
}

@test "agent verity: wrong usage" {
	local layer=(--layer "system:$sys=x")
	usage "verity: --trust is missing" mlimg-agent verity "${layer[@]}"
	usage "verity: --layer is missing" mlimg-agent verity --trust require
	usage "verity: --joined needs --index" mlimg-agent verity --trust require --joined "${layer[@]}"
	usage "verity: --layer $sys: with --joined it has no disk of its own" \
		mlimg-agent verity --trust require --joined --index "$index=i" "${layer[@]}"
	usage "verity: --layer $sys: which disk?" mlimg-agent verity --trust require --layer "system:$sys"
	usage "verity: --trust: 'stack:1' is no value of mlimg.verity" mlimg-agent verity --trust stack:1 "${layer[@]}"
	usage "verity: --trust: 'require,$sys' is no value of mlimg.verity" mlimg-agent verity --trust "require,$sys" "${layer[@]}"
	usage "verity: --index: 'x=y' is not ID=DEV" mlimg-agent verity --trust require --index x=y "${layer[@]}"
	usage "verity: --layer: 'user:$sys=x' is not KIND:ID or KIND:ID=DEV" mlimg-agent verity --trust require --layer "user:$sys=x"
	usage "verity: unexpected argument 'x'" mlimg-agent verity --trust require "${layer[@]}" x
}
