#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A user layer that was copied from another one: mlimg-agent prepare --identity, over directories in place of mounted layers.
load ../lib/common
load ../lib/agent

setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run
	USER_DIR=$RUN/user
	UPPER=$USER_DIR/upper
	mkdir -p "$RUN/layers" "$UPPER" "$USER_DIR/work" "$DIR"/{v1,empty}/etc
	: >"$DIR/v1/etc/machine-id"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
	cp -r "$DIR/layer-v1" "$RUN/layers/0"
	ln -s "$DIR/v1" "$RUN/layers/0/rootfs"
	ln -sfn "$RUN/layers/0/rootfs" "$RUN/system"
}

prepare() {
	mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" "$@"
}

# What a guest has after its first boot, and what its user made besides.
identity() {
	mkdir -p "$UPPER"/{etc/ssh,etc/dropbear,var/lib/{dbus,systemd,urandom}}
	echo 0123456789abcdef0123456789abcdef | tee "$UPPER/etc/machine-id" >"$UPPER/var/lib/dbus/machine-id"
	chmod 444 "$UPPER/etc/machine-id"
	for name in ssh_host_rsa_key ssh_host_rsa_key.pub ssh_host_ed25519_key ssh_host_ed25519_key-cert.pub; do
		echo "secret $name" >"$UPPER/etc/ssh/$name"
	done
	echo "secret dropbear" >"$UPPER/etc/dropbear/dropbear_rsa_host_key"
	echo seed | tee "$UPPER/var/lib/systemd/random-seed" >"$UPPER/var/lib/urandom/random-seed"
	echo alice >"$UPPER/etc/hostname"
	echo "Port 22" >"$UPPER/etc/ssh/sshd_config"
	: >"$UPPER/etc/ssh/.mlimg-host-keys"
	echo mine >"$UPPER/etc/ssh/my_host_key"
	echo x >"$UPPER/var/lib/systemd/credential.secret"
}

files() {
	(cd "$1" && find . -type f -printf '%P %s\n' | sort)
}

aside='etc-dropbear-dropbear_rsa_host_key 16
etc-machine-id 33
etc-ssh-ssh_host_ed25519_key 28
etc-ssh-ssh_host_ed25519_key-cert.pub 37
etc-ssh-ssh_host_rsa_key 24
etc-ssh-ssh_host_rsa_key.pub 28
var-lib-dbus-machine-id 33
var-lib-systemd-random-seed 5
var-lib-urandom-random-seed 5'
left='etc/hostname 6
etc/machine-id 0
etc/ssh/.mlimg-host-keys 0
etc/ssh/my_host_key 5
etc/ssh/sshd_config 8
var/lib/systemd/credential.secret 2'

@test "identity: what tells a guest from others is set aside, once for each word" {
	identity
	works prepare --identity one
	same "said" "the guest is a copy: what told it from others is set aside in $RUN/user/mlimg/aside/identity-one" "$output"
	same "aside" "$aside" "$(files "$USER_DIR/mlimg/aside/identity-one")"
	same "left" "$left" "$(files "$UPPER")"
	same "machine id" "444 0" "$(stat -c '%a %s' "$UPPER/etc/machine-id")"
	same "word" one "$(<"$USER_DIR/mlimg/identity")"
	same "notes" '[]' "$(jq -c .notes "$RUN/boot.json")"
	# The guest has got another one, which stays.
	echo fedcba9876543210fedcba9876543210 >"$UPPER/etc/machine-id"
	works prepare --identity one
	same "said" "" "$output"
	same "machine id" 33 "$(stat -c %s "$UPPER/etc/machine-id")"
	works prepare
	same "machine id" 33 "$(stat -c %s "$UPPER/etc/machine-id")"
	# A copy of the copy.
	works prepare --identity two
	same "aside" "etc-machine-id 33" "$(files "$USER_DIR/mlimg/aside/identity-two")"
	same "word" two "$(<"$USER_DIR/mlimg/identity")"
}

@test "identity: a user layer without one, and things in its places that are no such files" {
	works prepare --identity one
	same "said" "" "$output"
	same "word" one "$(<"$USER_DIR/mlimg/identity")"
	[ ! -e "$USER_DIR/mlimg/aside/identity-one" ]
	mkdir -p "$UPPER/etc/machine-id" "$UPPER/var/lib/systemd" "$DIR/elsewhere"
	ln -s "$DIR/elsewhere" "$UPPER/etc/ssh"
	mkfifo "$UPPER/var/lib/systemd/random-seed"
	echo key >"$DIR/elsewhere/ssh_host_rsa_key"
	works prepare --identity two
	same "said" "" "$output"
	same "elsewhere" ssh_host_rsa_key "$(ls "$DIR/elsewhere")"
	[ -d "$UPPER/etc/machine-id" ] && [ -p "$UPPER/var/lib/systemd/random-seed" ]
}

@test "identity: where it cannot be done a note says so, and the next boot does it" {
	identity
	mkdir "$USER_DIR/mlimg/aside"
	echo file >"$USER_DIR/mlimg/aside/identity-one"
	works prepare --identity one
	same "notes" "[\"this guest is a copy, and has the machine id or the host keys of the other: open 'aside/identity-one': Not a directory\"]" \
		"$(jq -c .notes "$RUN/boot.json")"
	rm "$USER_DIR/mlimg/aside/identity-one"
	works prepare --identity one
	same "left" "$left" "$(files "$UPPER")"
	same "notes" '[]' "$(jq -c .notes "$RUN/boot.json")"
}

@test "identity: killed before any of its calls that write, and done again" {
	local n at
	identity
	cp -a "$USER_DIR" "$DIR/start"
	n=$(stop-at - mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" --identity one 3>&1 >/dev/null)
	[ "$n" -gt 15 ]
	for ((at = 0; at < n; at++)); do
		rm -rf "$USER_DIR"
		cp -a "$DIR/start" "$USER_DIR"
		run stop-at "$at" mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --user "$TENANT" --identity one 3>/dev/null
		run --separate-stderr prepare --identity one
		# shellcheck disable=SC2154 # run sets it
		same "exit code after $at" "0 " "$status $stderr"
		same "aside after $at" "$aside" "$(files "$USER_DIR/mlimg/aside/identity-one")"
		same "left after $at" "$left" "$(files "$UPPER")"
		same "word after $at" one "$(<"$USER_DIR/mlimg/identity")"
	done
}

@test "identity: wrong usage" {
	fails 2 "mlimg-agent: prepare: --identity: 'a/b' is no word
Try 'mlimg-agent --help' for more information." prepare --identity a/b
	fails 2 "mlimg-agent: prepare: with --mode volatile the user layer is not written to
Try 'mlimg-agent --help' for more information." prepare --identity a --mode volatile
}
