# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# mlimg-mkfs --verity and --sign: what is made, judged by veritysetup and openssl, and that an image never has another's sidecar.

load ../lib/common
load ../lib/images

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	mkdir -p d/etc d/usr
	echo hello >d/etc/motd
	head -c 3000000 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >d/usr/large
	find d -exec touch -h -d @1600000000 {} +
	rsa key
	rsa other
	openssl ecparam -name prime256v1 -genkey -noout -out ec.key
	cert ec
}

# cert NAME [OPTION]…: NAME.pem of NAME.key
cert() {
	openssl req -new -x509 -key "$1.key" -out "$1.pem" -days 3650 -subj "/CN=layers of $1" "${@:2}"
}

rsa() {
	openssl genrsa -out "$1.key" 2048 2>/dev/null
	cert "$1"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	cp -a "$BATS_FILE_TMPDIR"/{d,*.key,*.pem} .
}

# key_of JQ-PATH: from x.img's sidecar
key_of() {
	jq -r ".$1" x.img.layer.json
}

# judged: veritysetup finds x.img's hash tree right, and e2fsck its file system
judged() {
	works veritysetup verify x.img x.img "$(key_of verity.root_hash)" --hash-offset="$(key_of verity.hash_offset_bytes)"
	fsck_clean x.img
}

# made [OPTION]…
made() {
	works mlimg-mkfs --quiet --kind system --verity --force "$@" d x.img
}

wrong() {
	fails 2 "mlimg-mkfs: $1
Try 'mlimg-mkfs --help' for more information." mlimg-mkfs --kind "${kind:-system}" "${@:2}"
}

# failing STATUS MESSAGE [OPTION]…: and nothing changes
failing() {
	local before
	before=$(digests)
	fails "$1" "mlimg-mkfs: $2" mlimg-mkfs --kind system "${@:3}" d x.img
	same files "$before" "$(digests)"
}

# bats keeps what went to stderr in a file here.
digests() {
	find . -type f ! -name 'separate-stderr-*' -exec sha256sum {} + | sort
}

@test "verity: a hash tree behind the file system, which stays as it is" {
	local id
	mlimg-mkfs --quiet --kind system --name x d plain.img
	works mlimg-mkfs --kind system --name x --verity d x.img
	[[ $output == "x 0: system layer, build id "*", 5 entries, image of "*", root hash $(key_of verity.root_hash)" ]]
	judged
	cmp -n "$(stat -c %s plain.img)" plain.img x.img
	same "where the tree begins" "$(stat -c %s plain.img)" "$(key_of verity.hash_offset_bytes)"
	id=$(key_of build_id)
	same salt "$(printf 'mlimg-verity-salt %s' "$id" | sha256sum | cut -c1-64)" "$(key_of verity.salt)"
	works veritysetup dump x.img --hash-offset="$(key_of verity.hash_offset_bytes)"
	[[ $output == *"$(key_of verity.salt)"* && ${output//-/} == *"$(dumpe2fs -h x.img 2>/dev/null | sed -n 's/^Filesystem UUID: *//p' | tr -d -)"* ]]
	same "the sidecar without verity" "$(debugfs -R 'cat /mlimg/layer.json' x.img 2>/dev/null)" "$(jq 'del(.verity)' x.img.layer.json)"
	same "verity's keys" 'root_hash salt hash_algorithm hash_type data_block_size hash_block_size data_blocks hash_offset_bytes' \
		"$(jq -r '.verity | keys_unsorted | join(" ")' x.img.layer.json)"
	same files "x.img x.img.layer.json" "$(echo x.img*)"
	printf J | dd of=x.img bs=1 seek=5000 conv=notrunc status=none
	run veritysetup verify x.img x.img "$(key_of verity.root_hash)" --hash-offset="$(key_of verity.hash_offset_bytes)"
	same "veritysetup's exit code for a damaged image" 2 "$status"
}

@test "verity: the same input, the same bytes and root hash" {
	made --name x && cp x.img 1.img && cp x.img.layer.json 1.json
	made --name x
	cmp x.img 1.img && cmp x.img.layer.json 1.json
	echo hellp >d/etc/motd && touch -d @1600000000 d/etc/motd
	made --name x
	[ "$(key_of verity.root_hash)" != "$(jq -r .verity.root_hash 1.json)" ]
	judged
}

@test "verity: sizes around the edges of a tree's levels" {
	local blocks
	for blocks in 255 256 257 1000 16383 16384 16385 16513; do
		works mlimg-mkfs --quiet --force --kind system --verity --size $((blocks * 4096)) d/etc x.img
		same "data blocks" "$blocks" "$(key_of verity.data_blocks)"
		judged
		works mlimg-inspect --root-hash "$(key_of verity.root_hash)" x.img verify
	done
}

@test "verity: --json prints the sidecar" {
	works mlimg-mkfs --json --kind software --name x --verity --sign key.key --cert key.pem d x.img
	same JSON "$(cat x.img.layer.json)" "$output"
}

@test "verity: signatures as openssl makes them" {
	made --sign key.key --cert key.pem
	printf %s "$(key_of verity.root_hash)" >root
	openssl smime -sign -nocerts -noattr -binary -in root -inkey key.key -signer key.pem -outform der -out wanted
	cmp wanted x.img.p7s
	same "signature in the sidecar" "$(base64 -w0 wanted)" "$(key_of verity.signature)"
	works mlimg-mkfs --force --kind system --verity --sign ec.key --cert ec.pem d x.img
	[[ $output == *", root hash $(cat root), signed" ]]
	cert=ec && judge_signature
	# From a pipe, as a vault would hand it out.
	works bash -c 'mlimg-mkfs --quiet --force --kind system --verity --sign <(cat key.key) --cert key.pem d x.img'
	cmp wanted x.img.p7s
}

# judge_signature: openssl takes x.img.p7s for one of the root hash by $cert, and of nothing else
judge_signature() {
	printf %s "$(key_of verity.root_hash)" >root
	openssl smime -verify -noverify -nointern -binary -inform der -in x.img.p7s -content root -certfile "$cert.pem" -out /dev/null 2>said || {
		cat said
		return 1
	}
	tr 0-9a-f 1-9a-f0 <root >not-root
	run openssl smime -verify -noverify -nointern -binary -inform der -in x.img.p7s -content not-root -certfile "$cert.pem" -out /dev/null
	same "openssl's exit code for another root hash" 4 "$status"
	run openssl smime -verify -noverify -nointern -binary -inform der -in x.img.p7s -content root -certfile other.pem -out /dev/null
	same "openssl's exit code for another certificate" 4 "$status"
}

@test "verity: a chain of trust that openssl checks" {
	openssl req -new -key other.key -subj "/CN=signer" -out csr 2>/dev/null
	openssl x509 -req -in csr -CA key.pem -CAkey key.key -CAcreateserial -days 30 -out issued.pem 2>/dev/null
	made --sign other.key --cert issued.pem
	printf %s "$(key_of verity.root_hash)" >root
	openssl smime -verify -CAfile key.pem -purpose any -binary -inform der -in x.img.p7s -content root -certfile issued.pem -out /dev/null
}

@test "verity: wrong usage" {
	wrong "--sign needs --cert" --verity --sign k d x.img
	wrong "--cert needs --sign" --verity --cert k d x.img
	wrong "--sign needs --verity" --sign k --cert c d x.img
	kind=user wrong "--verity is for layers that are only read" --verity x.img
}

@test "verity: keys and certificates that will not do are found before any work" {
	local kinds="is of a kind that guests do not verify: RSA of 2048 to 4096 bits, or EC on P-256 or P-384 is wanted"
	failing 1 "open key 'none': No such file or directory" --verity --sign none --cert key.pem
	failing 1 "open certificate 'none': No such file or directory" --verity --sign key.key --cert none
	failing 1 "key 'other.key' is not that of certificate 'key.pem'" --verity --sign other.key --cert key.pem
	failing 1 "key 'ec.key' is not that of certificate 'key.pem'" --verity --sign ec.key --cert key.pem
	failing 1 "certificate 'key.key': none can be read from it (no start line)" --verity --sign key.key --cert key.key
	failing 1 "key 'key.pem': no private key can be read from it (unsupported)" --verity --sign key.pem --cert key.pem
	openssl genpkey -algorithm ed25519 -out ed.key && cert ed
	failing 1 "key 'ed.key' $kinds" --verity --sign ed.key --cert ed.pem
	openssl ecparam -name secp521r1 -genkey -noout -out curve.key && cert curve
	failing 1 "key 'curve.key' $kinds" --verity --sign curve.key --cert curve.pem
	# A source that is not there is found later.
	fails 1 "mlimg-mkfs: key 'other.key' is not that of certificate 'key.pem'" \
		mlimg-mkfs --kind system --verity --sign other.key --cert key.pem none x.img
}

@test "verity: a certificate that is not valid now is worth a warning" {
	faketime '2020-01-01 00:00:00' openssl req -new -x509 -key key.key -out key.pem -days 3 -subj /CN=old
	run --separate-stderr mlimg-mkfs --kind system --verity --sign key.key --cert key.pem d x.img
	# shellcheck disable=SC2154 # run sets it
	same warning "mlimg-mkfs: warning: certificate 'key.pem' has expired" "$stderr"
	same "exit code" 0 "$status"
	made --sign key.key --cert key.pem
	works faketime '2020-01-02 00:00:00' mlimg-mkfs --force --kind system --verity --sign key.key --cert key.pem d x.img
	run --separate-stderr faketime '2019-01-02 00:00:00' mlimg-mkfs --force --kind system --verity --sign key.key --cert key.pem d x.img
	same warning "mlimg-mkfs: warning: certificate 'key.pem' is not valid yet" "$stderr"
}

@test "verity: a key with a passphrase" {
	need command script setsid
	openssl rsa -aes128 -passout pass:secret -in key.key -out locked.key 2>/dev/null
	cat >run <<-'END'
		#!/bin/sh
		exec mlimg-mkfs --quiet --kind system --verity --sign locked.key --cert key.pem d x.img
	END
	chmod +x run
	# Not from standard input, which may be a source.
	fails 1 "mlimg-mkfs: key 'locked.key' has a passphrase, and no terminal to ask for it" setsid -w ./run <<<secret
	run script -qec ./run /dev/null < <(sleep 2 && echo wrong)
	same "exit code" 1 "$status"
	[[ $output == *"Passphrase of 'locked.key': "*"mlimg-mkfs: key 'locked.key': no private key can be read from it ("* ]]
	run script -qec ./run /dev/null < <(sleep 2 && echo secret)
	same "exit code, having said: $output" 0 "$status"
	cert=key && judge_signature
}

@test "verity: what is there is not replaced, or all of it" {
	local each
	made --sign key.key --cert key.pem
	failing 1 "write 'x.img' without --force: File exists" --verity
	mv x.img gone
	for each in layer.json p7s; do
		failing 1 "'x.img.$each', which would be taken for the new image's: File exists" --verity
		failing 1 "'x.img.$each', which would be taken for the new image's: File exists"
		rm "x.img.$each"
	done
	made --sign key.key --cert key.pem
	made
	same "after an image that is not signed" "x.img x.img.layer.json" "$(echo x.img*)"
	made --sign key.key --cert key.pem
	works mlimg-mkfs --quiet --force --kind system d x.img
	same "after an image without a hash tree" "x.img" "$(echo x.img*)"
	made --sign key.key --cert key.pem
	works mlimg-mkfs --quiet --force --kind user --size 16M x.img
	same "after a user layer" "x.img" "$(echo x.img*)"
	mkdir x.img.p7s
	failing 1 "remove 'x.img.p7s': Is a directory" --force
}

@test "verity: names that leave no room for a sidecar's" {
	local long
	long=$(printf 'x%.0s' {1..250})
	works mlimg-mkfs --quiet --kind system --name x d "$long"
	works mlimg-mkfs --quiet --force --kind system --name x d "$long"
	works mlimg-inspect "$long" verify
	fails 1 "mlimg-mkfs: write '$long.layer.json': File name too long" mlimg-mkfs --quiet --force --kind system --name x --verity d "$long"
	same "files" "$long" "$(find . -name 'xx*' -printf '%P\n' -o -name '.mlimg*' -printf '%P\n')"
}

@test "verity: a full disk leaves what was there" {
	need userns
	mlimg-mkfs --quiet --kind system d plain.img
	cat >run <<-'END'
		set -e
		# Three small files, the file system, and not all of the tree.
		mount -t tmpfs -o size=$(($1 + 3 * 4 + 20))k tmpfs disk
		printf old >disk/x.img; printf old >disk/x.img.layer.json; printf old >disk/x.img.p7s
		mlimg-mkfs --quiet --kind system d disk/plain.img && rm disk/plain.img
		code=0
		mlimg-mkfs --quiet --force --kind system --verity --sign key.key --cert key.pem d disk/x.img || code=$?
		cat disk/*; ls -A disk
		exit $code
	END
	mkdir disk
	fails 1 "mlimg-mkfs: write 'disk/x.img': No space left on device" unshare -rm sh run "$(du -k plain.img | cut -f1)"
	same "files" "oldoldoldx.img
x.img.layer.json
x.img.p7s" "$output"
}

@test "verity: signals leave nothing" {
	local signal pid ended
	for signal in TERM HUP XCPU; do
		mkfifo "fifo$signal"
		# Opened for writing as well, so that the program waits for a tar that never comes.
		mlimg-mkfs --kind system --name x --verity --sign key.key --cert key.pem - x.img <>"fifo$signal" 2>/dev/null 3>&- &
		pid=$!
		for _ in {1..3000}; do
			[ "$(compgen -G '.mlimg.*' | wc -l)" -lt 3 ] || break
			sleep 0.02
		done
		same "temporary files" 3 "$(compgen -G '.mlimg.*' | wc -l)"
		kill -s "$signal" $pid
		ended=0
		wait $pid || ended=$?
		same "files after SIG$signal" "" "$(find . -name 'x.img*' -o -name '.mlimg*')"
		same "exit code after SIG$signal" $((128 + $(kill -l "$signal"))) $ended
	done
}

@test "verity: a limit on the size of files" {
	# shellcheck disable=SC2317 # fails calls it
	limited() { (ulimit -f 8200 && mlimg-mkfs --quiet --kind system --size 8M "$@" d x.img); }
	works limited
	rm x.img
	fails 1 "mlimg-mkfs: write 'x.img': File too large" limited --verity
	same "files" "" "$(find . -name 'x.img*' -o -name '.mlimg*')"
}
