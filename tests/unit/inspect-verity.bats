# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-inspect on images with a hash tree: what show and verify say, and that no bit of image, sidecar and signature can change unseen.

load ../lib/common
load ../lib/images

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p d/etc d/usr
	echo hello >d/etc/motd
	head -c 700000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >d/usr/large
	find d -exec touch -h -d @1600000000 {} +
	rsa key
	rsa other
	mkdir good
	mlimg-mkfs --quiet --kind system --name x --verity --sign key.key --cert key.pem d good/x.img
	mlimg-mkfs --quiet --kind system --name x d good/plain.img
	mlimg-mkfs --quiet --kind user --size 16M good/user.img
}

rsa() {
	openssl genrsa -out "$1.key" 2048 2>/dev/null
	openssl req -new -x509 -key "$1.key" -out "$1.pem" -days 3650 -subj "/O=Example/CN=layers of $1"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	cp "$BATS_FILE_TMPDIR"/*.pem .
	fresh
	root=$(jq -r .verity.root_hash x.img.layer.json)
	offset=$(jq .verity.hash_offset_bytes x.img.layer.json)
	blocks=$((offset / 4096))
}

fresh() {
	rm -rf ./x.img*
	cp -r "$BATS_FILE_TMPDIR"/good/x.img* .
}

# flip FILE OFFSET [BIT]
flip() {
	perl -e 'open F, "+<", $ARGV[0] or die; seek F, $ARGV[1], 0; read F, $b, 1 or die; seek F, $ARGV[1], 0; print F chr(ord($b) ^ 1 << ($ARGV[2] || 0))' "$@"
}

# refused MESSAGE [OPTION]…
refused() {
	fails 3 "mlimg-inspect: $1" mlimg-inspect "${@:2}" x.img verify
}

# block PATH: its first block in x.img
block() {
	debugfs -R "blocks $1" x.img 2>/dev/null | cut -d ' ' -f 1
}

@test "verity: what show and verify say" {
	works mlimg-inspect x.img
	same "end of show" "root hash    $root
signature    there is one; 'verify' checks it" "$(tail -n 2 <<<"$output")"
	works mlimg-inspect --json x.img
	same "verity of show" "$(jq -c '.verity | {root_hash, salt, data_blocks, hash_offset_bytes, is_signed: true}' x.img.layer.json)" "$(jq -c .verity <<<"$output")"
	works mlimg-inspect x.img verify
	same "end of verify" "hash tree    $blocks blocks read: as in the tree
root hash    $root
signature    not checked: '--cert' does" "$(tail -n 3 <<<"$output")"
	works mlimg-inspect --cert key.pem --root-hash "$root" x.img verify
	same signature "signature    good: CN=layers of key,O=Example" "${lines[-1]}"
	works mlimg-inspect --json --cert key.pem x.img verify
	same "verity of verify" "{\"root_hash\":\"$root\",\"is_root_hash_known\":true,\"data_blocks\":$blocks,\"n_bad_blocks\":0,\"bad_blocks\":[],\"is_signed\":true,\"signer\":\"CN=layers of key,O=Example\"}" \
		"$(jq -c .verity <<<"$output")"
	# Of an image without a hash tree nothing is said.
	works mlimg-inspect "$BATS_FILE_TMPDIR/good/plain.img" verify
	same "lines" 3 "${#lines[@]}"
	works mlimg-inspect --json "$BATS_FILE_TMPDIR/good/plain.img"
	same "verity" null "$(jq .verity <<<"$output")"
}

@test "verity: without a sidecar the root hash is computed" {
	rm x.img.*
	works mlimg-inspect x.img
	same "end of show" "root hash    not known: there is a hash tree, but no sidecar
signature    there is one; 'verify' checks it" "$(tail -n 2 <<<"$output")"
	works mlimg-inspect --json x.img
	same "verity of show" '{"root_hash":null,"is_signed":true}' "$(jq -c '.verity | {root_hash, is_signed}' <<<"$output")"
	works mlimg-inspect x.img verify
	same "root hash" "root hash    $root (as computed: nothing to compare it with)
signature    not checked: '--cert' does" "$(tail -n 2 <<<"$output")"
	works mlimg-inspect --root-hash "$root" x.img verify
	same "root hash" "root hash    $root" "${lines[-2]}"
	refused "x.img: its root hash is $root, not ${root/[0-9]/a}" --root-hash "${root/[0-9]/a}"
	works mlimg-inspect --cert key.pem x.img verify
	same signature "signature    good: CN=layers of key,O=Example" "${lines[-1]}"
	truncate -s -4096 x.img
	refused "x.img: is not signed" --cert key.pem
}

@test "verity: signatures that are not good" {
	refused "x.img: its signature is not good: signer certificate not found" --cert other.pem
	cat other.pem key.pem >both.pem
	works mlimg-inspect --cert both.pem x.img verify
	# A certificate of the same name and number with another key.
	openssl x509 -in key.pem -noout -serial | sed 's/serial=//' >serial
	openssl req -new -x509 -key "$BATS_FILE_TMPDIR/other.key" -set_serial "0x$(cat serial)" -subj "/O=Example/CN=layers of key" -out false.pem
	refused "x.img: its signature is not good: signature failure" --cert false.pem
	# Of another root hash.
	printf %s "${root/[0-9]/a}" >text
	openssl smime -sign -nocerts -noattr -binary -in text -inkey "$BATS_FILE_TMPDIR/key.key" -signer key.pem -outform der -out x.img.p7s
	replace_signature
	refused "x.img: its signature is not good: signature failure" --cert key.pem
	# A certificate that comes with the signature vouches for nothing, and content that does neither.
	printf %s "$root" >text
	openssl smime -sign -noattr -binary -in text -inkey "$BATS_FILE_TMPDIR/other.key" -signer other.pem -outform der -out x.img.p7s
	replace_signature
	refused "x.img: its signature is not good: signer certificate not found" --cert key.pem
	openssl smime -sign -nodetach -nocerts -noattr -binary -in text -inkey "$BATS_FILE_TMPDIR/key.key" -signer key.pem -outform der -out x.img.p7s
	replace_signature
	refused "x.img: its signature is not good: it is no detached PKCS#7 signature" --cert key.pem
	openssl rand 300 >x.img.p7s
	replace_signature
	refused "x.img: its signature is not good: it is no detached PKCS#7 signature" --cert key.pem
	# Something behind it.
	cp "$BATS_FILE_TMPDIR/good/x.img.p7s" . && printf x >>x.img.p7s
	replace_signature
	refused "x.img: its signature is not good: it is no detached PKCS#7 signature" --cert key.pem
	fails 1 "mlimg-inspect: open certificate 'none': No such file or directory" mlimg-inspect --cert none x.img verify
	fails 1 "mlimg-inspect: certificate 'x.img': none can be read from it (no start line)" mlimg-inspect --cert x.img x.img verify
}

# replace_signature: x.img.p7s is that of the image and of the sidecar too
replace_signature() {
	embed_signature x.img x.img.p7s
	jq --arg text "$(base64 -w0 x.img.p7s)" '.verity.signature = $text' x.img.layer.json >new
	mv new x.img.layer.json
}

@test "verity: a sidecar that is another's" {
	jq '.name = "y"' x.img.layer.json >new && cp new x.img.layer.json
	refused "x.img.layer.json: is another image's, or damaged"
	fails 3 "mlimg-inspect: x.img.layer.json: is another image's, or damaged" mlimg-inspect x.img
	fresh
	jq '.verity.salt = .verity.root_hash' x.img.layer.json >new && cp new x.img.layer.json
	refused "x.img.layer.json: is another hash tree's, or damaged"
	fresh
	jq --arg text "${root/[0-9]/a}" '.verity.root_hash = $text' x.img.layer.json >new && cp new x.img.layer.json
	refused "x.img: its root hash is $root, not ${root/[0-9]/a}"
	refused "x.img.layer.json: its root hash is ${root/[0-9]/a}, not $root" --root-hash "$root"
	fresh
	jq 'del(.verity.signature)' x.img.layer.json >new && cp new x.img.layer.json
	refused "x.img.p7s: is not the signature in 'x.img.layer.json'"
	rm x.img.p7s
	refused "x.img: the signature in it is not the one in 'x.img.layer.json'"
	truncate -s -4096 x.img
	works mlimg-inspect x.img verify
	fresh && rm x.img.p7s
	works mlimg-inspect --cert key.pem x.img verify
	echo '{' >x.img.layer.json
	refused "x.img.layer.json: layer.json: line 2: string or '}' expected near end of file"
	for image in plain user; do
		fresh && cp "$BATS_FILE_TMPDIR/good/$image.img" x.img
		refused "x.img: has no hash tree, but there is 'x.img.layer.json' or '.p7s'"
	done
	rm x.img.*
	refused "x.img: has no hash tree" --cert key.pem
	refused "x.img: has no hash tree" --root-hash "$root"
	# ls and cat have no use for it.
	fresh && echo '{' >x.img.layer.json
	works mlimg-inspect x.img cat etc/motd
}

@test "verity: wrong usage" {
	fails 2 "mlimg-inspect: --root-hash '${root^^}': 64 lower-case hexadecimal digits are wanted
Try 'mlimg-inspect --help' for more information." mlimg-inspect --root-hash "${root^^}" x.img verify
	fails 2 "mlimg-inspect: option '--cert' is not for 'show'
Try 'mlimg-inspect --help' for more information." mlimg-inspect --cert key.pem x.img
}

@test "verity: damage is found, and has a place" {
	local file
	# In a file: both checks find it.
	file=$(block /rootfs/usr/large)
	flip x.img $(((file + 3) * 4096 + 17))
	refused "x.img: its tree differs from its manifest in 1 entry"
	[[ $output == *"
  ./usr/large: content
hash tree    $blocks blocks read: 1 is not as in the tree
  block $((file + 3)): /rootfs/usr/large
"* ]]
	run --separate-stderr mlimg-inspect --json x.img verify
	same "JSON" "{\"is_sound\":false,\"n_bad_blocks\":1,\"bad_blocks\":[{\"block\":$((file + 3)),\"path\":\"/rootfs/usr/large\"}]}" \
		"$(jq -c '{is_sound, n_bad_blocks: .verity.n_bad_blocks, bad_blocks: .verity.bad_blocks}' <<<"$output")"
	# Behind the end of a file: the tree alone.
	fresh
	file=$(block /rootfs/etc/motd)
	flip x.img $((file * 4096 + 4095))
	refused "x.img: 1 of its blocks is not as in its hash tree"
	[[ $output == *"
  block $file: /rootfs/etc/motd
"* ]]
	# In a map of free blocks.
	fresh
	file=$(dumpe2fs x.img 2>/dev/null | sed -n 's/.*Inode bitmap at \([0-9]*\).*/\1/p' | head -n 1)
	flip x.img $((file * 4096 + 4000)) && flip x.img $((file * 4096 + 4001)) && flip x.img 100
	refused "x.img: 2 of its blocks are not as in its hash tree"
	[[ $output == *"
  block 0: the file system's own, or unused
  block $file: the file system's own, or unused
"* ]]
	# More than are named.
	fresh
	for i in {1..25}; do flip x.img $((($(block /rootfs/usr/large) + i) * 4096)); done
	refused "x.img: its tree differs from its manifest in 1 entry"
	[[ $output == *"25 are not as in the tree"*"  and 5 more"* ]]
	# In the tree: top, level 0.
	fresh && flip x.img $((offset + 4096 + 5)) && run --separate-stderr mlimg-inspect x.img verify
	# shellcheck disable=SC2154 # run sets it
	[[ $status == 3 && $stderr =~ ^"mlimg-inspect: x.img: its root hash is "[0-9a-f]{64}", not $root"$ ]]
	fresh && flip x.img $((offset + 2 * 4096 + 5))
	refused "x.img: its hash tree is damaged in block $((blocks + 2)) of the image"
	fresh && truncate -s -4096 x.img
	refused "x.img: the signature in it is not the one in 'x.img.layer.json'"
	truncate -s -4096 x.img
	refused "x.img: is truncated: its hash tree is not all there"
	fresh && flip x.img $(($(stat -c %s x.img) - 1))
	refused "x.img: bytes behind its signature where zeros are wanted"
	fresh && flip x.img $(($(stat -c %s x.img) - 4096))
	refused "x.img: what lies behind its hash tree is no signature"
	fresh && flip x.img $(($(stat -c %s x.img) - 4096 + 100))
	refused "x.img: the signature in it is not the one in 'x.img.layer.json'"
	fresh && truncate -s +4096 x.img
	refused "x.img: what lies behind its hash tree is no signature"
	fresh && truncate -s "$offset" x.img
	refused "x.img: has no hash tree, but there is 'x.img.layer.json' or '.p7s'"
	fresh && flip x.img "$offset"
	refused "x.img: what lies behind its file system is no hash tree"
	fresh && flip x.img $((offset + 4095))
	refused "x.img: superblock of the hash tree: bytes where zeros are wanted"
}

@test "verity: no bit can change unseen" {
	local seed=${MLIMG_SEED:-$(date +%s)} size file at bit
	echo "MLIMG_SEED=$seed"
	RANDOM=$seed
	size=$(stat -c %s x.img)
	for file in x.img{,,,,}{,,,,} x.img.layer.json{,,,,}{,,,,} x.img.p7s{,,,,}{,,,,} tree{,,,,}{,,,,}; do
		case $file in
			tree) file=x.img at=$((offset + RANDOM % (size - offset))) ;;
			*) at=$(((RANDOM << 15 | RANDOM) % $(stat -c %s "$file"))) ;;
		esac
		bit=$((RANDOM % 8))
		flip "$file" "$at" "$bit"
		run mlimg-inspect --cert key.pem x.img verify
		same "exit code with bit $bit of byte $at of $file changed" 3 "$status"
		flip "$file" "$at" "$bit"
	done
	works mlimg-inspect --cert key.pem x.img verify
}

@test "verity: what reads layers reads those with a hash tree" {
	works mlimg-inspect x.img ls -R
	works mlimg-inspect x.img diff "$BATS_FILE_TMPDIR/good/plain.img"
	same "what differs" "no differences" "${lines[-1]}"
	works mlimg-index --force -o with.idx x.img
	works mlimg-index --force -o without.idx "$BATS_FILE_TMPDIR/good/plain.img"
	cmp with.idx without.idx
	works mlimg-mkfs --quiet --kind system --name x x.img again.img
	same "manifest of a layer made of it" "$(mlimg-inspect x.img manifest)" "$(mlimg-inspect again.img manifest)"
	works mlimg-agent identify x.img
	[[ $output == *"	layer	system	"* ]]
}
