# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Tenants in the store: what mlimg-vm's commands that need no guest do, say and refuse.

load ../lib/common
load ../lib/images
load ../lib/tenants

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	tenant_images
}

setup() {
	tenant_store old.img web.img web3.img tools.img
}

# The layer of an image whose build id is misfitting, as warnings name it.
short_id() {
	image_id "$1" | cut -c -20
}

@test "tenants: help of each command, in 80 columns; every option in manual page and completion" {
	vm_documented create set list resize clone rename destroy
}

@test "tenants: create: a thin disk, layers, settings" {
	local disk
	works vm create alice --system debian:12.1 --software nginx:1.0 --software tools --size 1G --memory 512M --cpus 2 --forward 8080:80 \
		--forward 0.0.0.0:2222:22 --append 'quiet x=1' --union overlay --accel tcg --verity hash --boot-timeout 60 --autostart yes
	same "said" "created alice: debian 12.1 + nginx 1.0 + tools 1, disk of 1.0 GiB" "$output"
	same "layers" "$(layer_text old.img) $(layer_text web.img) $(layer_text tools.img)" "$(tenant_layers alice 1)"
	same "generations" "1|" "$(tenant alice 'current, pending')"
	same "settings" "536870912|2|tcg|overlay|separate|hash|user|127.0.0.1:8080:80 0.0.0.0:2222:22|quiet x=1|60|yes" \
		"$(tenant alice 'memory_bytes, cpus, accel, union_driver, disks, verity, net, forwards, append, boot_timeout_s, autostart')"
	disk=$(tenant_disk alice)
	same "mode" "600 700" "$(stat -c %a "$disk" "${disk%/*}" | xargs)"
	same "files" user.qcow2 "$(ls -A "${disk%/*}")"
	same "disk" "qcow2 1073741824 false" "$(qemu-img info --output=json -f qcow2 "$disk" | jq -r '.format, ."virtual-size", ."dirty-flag"' | xargs)"
	[ "$(stat -c %s "$disk")" -lt 4000000 ]
	# What is in it is the layer that the row tells of, and a sound file system.
	qemu-img convert -f qcow2 -O raw "$disk" "$BATS_TEST_TMPDIR/raw"
	same "layer" "user alice $(tenant alice user_id)" "$(mlimg-inspect --json "$BATS_TEST_TMPDIR/raw" | jq -r '.kind, .name, .build_id' | xargs)"
	fsck_clean "$BATS_TEST_TMPDIR/raw"
	same "size" 1073741824 "$(stat -c %s "$BATS_TEST_TMPDIR/raw")"
	works vm create bob --system debian:12.1
	same "said" "created bob: debian 12.1, disk of 20.0 GiB" "$output"
	same "settings" "1073741824|1|auto|auto|separate|off|user||300|no" \
		"$(tenant bob 'memory_bytes, cpus, accel, union_driver, disks, verity, net, forwards || append, boot_timeout_s, autostart')"
	[ "$(tenant alice user_id)" != "$(tenant bob user_id)" ]
	works mlimg-store --store "$S" verify
}

@test "tenants: create: which layers are meant" {
	mlimg-store --store "$S" add web2.img >/dev/null 2>&1
	# The newest of that name was built for another system.
	works vm create a --system debian:12.1 --software nginx:1.0 --size 64M
	same "layers" "$(layer_text old.img) $(layer_text web.img)" "$(tenant_layers a 1)"
	works vm create b --system debian --software nginx --size 64M
	same "layers" "$(layer_text old.img) $(layer_text web3.img)" "$(tenant_layers b 1)"
	# A system that is there as a patch brings what the patch lies over.
	works mlimg-store --store "$S" add patch.img
	works vm create c --system debian:12.2 --software nginx --size 64M
	same "said" "created c: debian 12.2 + nginx 1.0, disk of 64.0 MiB" "$output"
	same "layers" "$(layer_text old.img) $(layer_text patch.img) $(layer_text web2.img)" "$(tenant_layers c 1)"
	works vm create d --system debian --size 64M
	same "layers" "$(layer_text old.img) $(layer_text patch.img)" "$(tenant_layers d 1)"
	works vm create e --system debian:12.1 --patch debian --size 64M
	same "layers" "$(layer_text old.img) $(layer_text patch.img)" "$(tenant_layers e 1)"
	# As an image and as a patch it is one system: the image costs fewer disks.
	works mlimg-store --store "$S" add new.img
	works vm create f --system debian:12.2 --size 64M
	same "layers" "$(layer_text new.img)" "$(tenant_layers f 1)"
	works vm create g --system "$(image_id patch.img)" --size 64M
	same "layers" "$(layer_text old.img) $(layer_text patch.img)" "$(tenant_layers g 1)"
	# What does not fit is taken where nothing else is meant, and told.
	run --separate-stderr vm create h --system debian:12.2 --software nginx:1.1 --size 64M
	# shellcheck disable=SC2154 # run sets it
	same "warning" "0 mlimg-vm: warning: software layer 'nginx 1.1' was built over a layer that is not beneath it ($(short_id old.img))" "$status $stderr"
}

@test "tenants: create: what is refused, and leaves nothing" {
	local files
	vm create there --system debian --size 64M >/dev/null
	files=$(cd "$S" && find tenants layers incoming removed | sort)
	fails 1 "mlimg-vm: there is a tenant 'there' already" vm create there --system debian
	fails 1 "mlimg-vm: the store has no system 'debian:13'" vm create a --system debian:13
	fails 1 "mlimg-vm: the store has no system 'nginx'" vm create a --system nginx
	fails 1 "mlimg-vm: the store has no software layer 'debian'" vm create a --system debian --software debian
	fails 1 "mlimg-vm: the store has no patch 'debian'" vm create a --system debian --patch debian
	{
		mlimg-store --store "$S" add other.img patch.img web2.img >/dev/null
		files=$(cd "$S" && find tenants layers incoming removed | sort)
	} 2>/dev/null
	fails 1 "mlimg-vm: 'nginx:1.0' may be software nginx 1.0 ($(short_id web2.img)), software nginx 1.0 ($(short_id web.img))" \
		vm create a --system other --software nginx:1.0
	fails 3 "mlimg-vm: patch layer 'debian' 12.2 ($(short_id patch.img)): is a patch for system $(short_id old.img), and this one is $(short_id other.img)" \
		vm create a --system other --patch debian:12.2
	usage "--system is missing" create a --store "$S"
	usage "the name of a tenant is missing" create --store "$S" --system debian
	usage "unexpected operand 'b'" create a b --store "$S" --system debian
	usage "'-a' cannot be a tenant's name (1 to 63 letters, digits and ._-, the first a letter or digit)" create --store "$S" --system debian -- -a
	usage "--size: '63M' is not from 64M to 8T" create a --store "$S" --system debian --size 63M
	usage "--size: '65537K' is not a whole number of MiB" create a --store "$S" --system debian --size 65537K
	usage "--size: '1X' is not a size (a whole number, then K, M, G or T if wanted)" create a --store "$S" --system debian --size 1X
	usage "--memory: '1M' is not from 64M to 4T" create a --store "$S" --system debian --memory 1M
	usage "--cpus: '0' is not a number from 1 to 255" create a --store "$S" --system debian --cpus 0
	usage "--forward needs --net user" create a --store "$S" --system debian --net none --forward 1:1
	usage "--forward: port 80 of 127.0.0.1 is given twice" create a --store "$S" --system debian --forward 80:1 --forward 80:2
	usage "--software: 'tools' is given twice" create a --store "$S" --system debian --software tools --software tools
	usage "--disks joined and --union overlay exclude each other" create a --store "$S" --system debian --disks joined --union overlay
	usage "--store: no directory given" create a --store '' --system debian
	usage "unknown option '--user'" create a --user x
	fails 1 "mlimg-vm: '$S.none': no store is there; 'mlimg-store add' makes one" mlimg-vm create a --store "$S.none" --system debian
	same "files" "$files" "$(cd "$S" && find tenants layers incoming removed | sort)"
}

@test "tenants: set: the machine" {
	local before
	vm create alice --system debian --size 64M --forward 80:80 --append quiet >/dev/null
	works vm set alice --memory 2G --cpus 2 --accel tcg --union index --disks joined --verity require --boot-timeout 9 --autostart yes
	same "said" "alice: memory 2.0 GiB, was 1.0 GiB
alice: cpus 2, was 1
alice: accel tcg, was auto
alice: union index, was auto
alice: disks joined, was separate
alice: verity require, was off
alice: boot-timeout 9 s, was 300 s
alice: autostart yes, was no" "$output"
	same "settings" "2147483648|2|tcg|index|joined|require|user|127.0.0.1:80:80|quiet|9|yes" \
		"$(tenant alice 'memory_bytes, cpus, accel, union_driver, disks, verity, net, forwards, append, boot_timeout_s, autostart')"
	works vm set alice --forward 81:81 --forward 0.0.0.0:82:82 --append ''
	same "said" "alice: forward 127.0.0.1:81:81 0.0.0.0:82:82, was 127.0.0.1:80:80
alice: append none, was quiet" "$output"
	fails 2 "mlimg-vm: --forward needs --net user
Try 'mlimg-vm --help' for more information." vm set alice --net none
	works vm set alice --net none --no-forward
	same "said" "alice: net none, was user
alice: forward none, was 127.0.0.1:81:81 0.0.0.0:82:82" "$output"
	before=$(sqlite3 "$S/store.db" .dump)
	works vm set alice --memory 2G --net none
	same "said" "alice: nothing changes" "$output"
	same "database" "$before" "$(sqlite3 "$S/store.db" .dump)"
	same "events" "set|net none, forward none
set|forward 127.0.0.1:81:81 0.0.0.0:82:82, append none" \
		"$(sqlite3 "$S/store.db" "SELECT kind, text FROM event WHERE object = 'tenant' ORDER BY id DESC LIMIT 2")"
}

@test "tenants: set: layers make a generation that is pending" {
	vm create alice --system debian:12.1 --software nginx:1.0 --size 64M >/dev/null
	works vm set alice --add-software tools
	same "said" "alice: generation 2: debian 12.1 + nginx 1.0 + tools 1" "$output"
	same "generations" "1|2" "$(tenant alice 'current, pending')"
	# In its place, not above; and upon what is pending already.
	works vm set alice --add-software nginx:1.1 --memory 64M
	same "said" "alice: memory 64.0 MiB, was 1.0 GiB
alice: generation 3: debian 12.1 + nginx 1.1 + tools 1" "$output"
	same "layers" "$(layer_text old.img) $(layer_text web3.img) $(layer_text tools.img)" "$(tenant_layers alice 3)"
	works vm set alice --remove-software tools --remove-software nginx:1.1
	same "said" "alice: generation 4: debian 12.1" "$output"
	works vm set alice --no-software
	same "said" "alice: nothing changes" "$output"
	# A generation is not there twice: back to what it runs on is no change any more.
	works vm set alice --software nginx:1.0
	same "said" "alice: generation 1: debian 12.1 + nginx 1.0" "$output"
	same "generations" "1|" "$(tenant alice 'current, pending')"
	works vm set alice --generation 3
	same "said" "alice: generation 3: debian 12.1 + nginx 1.1 + tools 1" "$output"
	same "generations" "1|3" "$(tenant alice 'current, pending')"
	works vm set alice --generation 3
	same "said" "alice: nothing changes" "$output"
	same "number" 4 "$(tenant alice last_number)"
	# A new system takes the software along, as it was built for it.
	vm set alice --software nginx:1.0 --add-software tools >/dev/null
	mlimg-store --store "$S" add patch.img web2.img >/dev/null
	works vm set alice --system debian:12.2
	same "said" "alice: generation 5: debian 12.2 + nginx 1.0 + tools 1" "$output"
	same "layers" "$(layer_text old.img) $(layer_text patch.img) $(layer_text web2.img) $(layer_text tools.img)" "$(tenant_layers alice 5)"
	works vm set alice --system debian:12.1 --patch debian:12.2
	same "said" "alice: nothing changes" "$output"
	works mlimg-store --store "$S" verify
}

@test "tenants: set: what is refused, and changes nothing" {
	local before
	vm create alice --system debian --software tools --size 64M >/dev/null
	before=$(sqlite3 "$S/store.db" .dump)
	fails 1 "mlimg-vm: no tenant 'bob'" vm set bob --memory 2G
	fails 1 "mlimg-vm: tenant 'alice' has no generation 2" vm set alice --generation 2
	fails 1 "mlimg-vm: tenant 'alice' has no software layer 'nginx'" vm set alice --remove-software nginx
	fails 1 "mlimg-vm: the store has no software layer 'none'" vm set alice --add-software none --memory 2G
	fails 1 "mlimg-vm: the store has no system 'none'" vm set alice --system none
	usage "the name of a tenant is missing" set --memory 2G
	usage "what shall be set is missing" set alice
	usage "--generation and layers exclude each other" set alice --generation 1 --system debian
	usage "--no-software and --software exclude each other" set alice --no-software --software tools
	usage "--remove-software is of what the tenant has: not with --software or --no-software" set alice --no-software --remove-software tools
	usage "--no-forward and --forward exclude each other" set alice --no-forward --forward 1:1
	usage "--generation: '0' is not a number from 1 to 4294967295" set alice --generation 0
	same "database" "$before" "$(sqlite3 "$S/store.db" .dump)"
}

@test "tenants: rename" {
	local disk
	vm create alice --system debian --size 64M >/dev/null
	vm create bob --system debian --size 64M >/dev/null
	disk=$(tenant_disk alice)
	works vm rename alice carol
	same "said" "alice is carol now" "$output"
	same "disk" "$disk" "$(tenant_disk carol)"
	fails 1 "mlimg-vm: no tenant 'alice'" vm rename alice dave
	fails 1 "mlimg-vm: there is a tenant 'bob' already" vm rename carol bob
	fails 2 "mlimg-vm: 'a b' cannot be a tenant's name (1 to 63 letters, digits and ._-, the first a letter or digit)
Try 'mlimg-vm --help' for more information." vm rename carol 'a b'
	usage "its new name is missing" rename carol
}

# In a file system of so many KiB; what is lacking shows in other places each time.
@test "tenants: create on a full disk leaves nothing, and works when there is room" {
	need userns
	works timeout 120 unshare -rm bash -c '
		set -e
		mkdir -p full && mount -t tmpfs -o size=3m none full
		failed=0
		mlimg-store --store full/store add old.img >/dev/null
		for left in 0 8 40 80 160 320 480 640 700 720 760 1400; do
			rm -f full/filler
			room=$(df --output=avail -k full | tail -n 1)
			head -c $(((room - left) * 1024)) /dev/zero >full/filler
			if ! mlimg-vm create a --store full/store --system debian --size 64M >said 2>&1; then
				failed=$((failed + 1))
				grep -qx "mlimg-vm: .*No space left on device" said || { echo "with $left KiB:"; cat said; exit 1; }
			else
				break
			fi
			rm -f full/filler
			mlimg-store --store full/store verify >/dev/null
			[ "$(sqlite3 full/store/store.db "SELECT count(*) FROM tenant")" = 0 ]
			[ -z "$(find full/store/incoming full/store/tenants -mindepth 1)" ] || { find full/store; exit 1; }
		done
		rm -f full/filler
		[ "$failed" -gt 3 ] || { echo "only $failed failed"; exit 1; }
		mlimg-vm create b --store full/store --system debian --size 64M >/dev/null
		mlimg-store --store full/store verify >/dev/null'
}

@test "tenants: list" {
	works vm list
	same "no tenants" "" "$output"
	works vm list --json
	same "no tenants" "[]" "$output"
	vm create bob --system debian:12.1 --size 64M >/dev/null
	vm create alice --system debian:12.1 --software nginx:1.0 --size 1G >/dev/null
	vm set alice --add-software tools >/dev/null
	works vm list
	same "list" "NAME STATE GENERATION PENDING DISK LAYERS HEALTH
alice off 1 2 SIZE of 1.0 GiB debian 12.1 + nginx 1.0 -
bob off 1 - SIZE of 64.0 MiB debian 12.1 -" "$(sed -E 's/[0-9.]+ [KM]iB of/SIZE of/; s/ +/ /g' <<<"$output")"
	same "columns" 1 "$(awk '{ print index($0, NR == 1 ? "LAYERS" : "debian") }' <<<"$output" | sort -u | wc -l)"
}

@test "tenants: list: JSON, and one that died with its host" {
	local disk
	vm create alice --system debian:12.1 --software nginx:1.0 --size 64M --forward 80:80 >/dev/null
	vm set alice --add-software tools >/dev/null
	disk=$(tenant_disk alice)
	works vm list --json
	same "alice" '[{"name":"alice","host":null,"state":"off","why":"","health":null,"generation":{"number":1,"layers":["debian","nginx"]},"pending":{"number":2,"layers":["debian","nginx","tools"]}}]' \
		"$(jq -c '[.[] | {name, host, state, why, health, generation, pending} | .generation.layers[] |= .name | .pending.layers[] |= .name]' <<<"$output")"
	same "settings" '{"memory_bytes":1073741824,"cpus":1,"accel":"auto","union":"auto","disks":"separate","verity":"off","net":"user","forwards":["127.0.0.1:80:80"],"append":"","boot_timeout_s":300,"autostart":false}' \
		"$(jq -c '.[0].settings' <<<"$output")"
	same "disk" "$disk 67108864 $(($(stat -c %b "$disk") * 512))" "$(jq -r '.[0].disk | .path, .size_bytes, .used_bytes' <<<"$output" | xargs)"
	same "id" "$(tenant alice id)" "$(jq -r '.[0].id' <<<"$output")"
	# The store says that it runs, and nobody runs it.
	sqlite3 "$S/store.db" "UPDATE tenant SET run_s = 1700000000"
	works vm list --json
	same "state" "died: the host went down while it was on" "$(jq -r '.[0] | "\(.state): \(.why)"' <<<"$output")"
	# A disk that is lost is no reason not to tell of the others.
	rm "$disk"
	works vm list
	same "disk" "-" "$(awk 'NR == 2 { print $5 }' <<<"$output")"
	usage "unexpected operand 'x'" list x
}

@test "tenants: destroy: asks, sets aside" {
	local id
	vm create alice --system debian --size 64M >/dev/null
	id=$(tenant alice id)
	usage "'destroy' needs --yes where nobody can be asked" destroy alice --store "$S" </dev/null
	fails 1 "mlimg-vm: no tenant 'bob'" vm destroy bob --yes
	for answer in '' n no Yess; do
		run script -qec "mlimg-vm destroy alice --store '$S'" /dev/null <<<"$answer"
		# shellcheck disable=SC2154 # run sets it
		same "exit code" 1 "$status"
		[[ $output == *"Destroy tenant 'alice' and set its disk ("*") aside? [y/N] "*"mlimg-vm: tenant 'alice' stays"* ]]
	done
	same "there" "$id" "$(tenant alice id)"
	run script -qec "mlimg-vm destroy alice --store '$S'" /dev/null <<<y
	same "exit code" 0 "$status"
	[[ $output == *"destroyed alice; its disk is in '$S/removed/$id'"* ]]
	[ -e "$S/removed/$id/user.qcow2" ]
	works vm list
	same "left" "" "$output"
	# The name is free, the layers too.
	vm create alice --system debian --size 64M >/dev/null
	id=$(tenant alice id)
	works vm destroy --yes alice
	same "said" "destroyed alice; its disk is in '$S/removed/$id'" "$output"
	works mlimg-store --store "$S" remove nginx:1.0 nginx:1.1 debian
}

@test "tenants: resize: grows, and never shrinks" {
	local disk
	vm create alice --system debian --size 64M >/dev/null
	disk=$(tenant_disk alice)
	works vm resize alice 1G
	same "said" "alice: disk of 1.0 GiB; its file system grows at the next boot" "$output"
	same "size" 1073741824 "$(qemu-img info --output=json -f qcow2 "$disk" | jq '."virtual-size"')"
	works vm resize alice 1024M
	same "said" "alice: its disk has 1.0 GiB already" "$output"
	fails 1 "mlimg-vm: the disk of tenant 'alice' has 1.0 GiB: it can only become larger, what is in it would be cut off" vm resize alice 512M
	usage "'0' is not from 64M to 8T" resize alice 0
	usage "a size is missing" resize alice
	fails 1 "mlimg-vm: no tenant 'bob'" vm resize bob 1G
	same "events" "resized|1.0 GiB" "$(sqlite3 "$S/store.db" "SELECT kind, text FROM event ORDER BY id DESC LIMIT 1")"
	qemu-img check -q -f qcow2 "$disk"
	echo >"$disk"
	fails 3 "mlimg-vm: '$disk' is no qcow2 image" vm resize alice 2G
}

# contents DISK: a digest of what a guest sees in it.
contents() {
	qemu-img convert -f qcow2 -O raw "$1" "$BATS_TEST_TMPDIR/contents" && sha256sum <"$BATS_TEST_TMPDIR/contents"
}

@test "tenants: clone: disk, layers, settings, an identity of its own" {
	local disk
	vm create alice --system debian --software nginx:1.0 --size 64M --memory 512M --forward 80:80 --append quiet >/dev/null
	vm set alice --add-software tools >/dev/null
	disk=$(tenant_disk alice)
	qemu-io -f qcow2 -c 'write -P 7 1M 1M' "$disk" >/dev/null
	works vm clone alice bob
	[[ ${lines[0]} =~ ^"bob is a copy of alice"(", with which it shares blocks")?$ ]]
	same "said" "ports are not forwarded to it: they are alice's" "${lines[1]}"
	same "contents" "$(contents "$disk")" "$(contents "$(tenant_disk bob)")"
	same "mode" 600 "$(stat -c %a "$(tenant_disk bob)")"
	same "layers" "$(tenant_layers alice 1)" "$(tenant_layers bob 1)"
	same "pending layers" "$(tenant_layers alice 2)" "$(tenant_layers bob 2)"
	same "generations" "1|2" "$(tenant bob 'current, pending')"
	same "settings" "536870912|quiet||$(tenant alice user_id)" "$(tenant bob 'memory_bytes, append, forwards, user_id')"
	same "identities" "|$(tenant bob id)" "$(tenant alice identity)|$(tenant bob identity)"
	# They are two from here on.
	qemu-io -f qcow2 -c 'write -P 8 1M 1M' "$(tenant_disk bob)" >/dev/null
	qemu-io -f qcow2 -c 'read -P 7 1M 1M' "$disk" | grep -q '^read 1048576/1048576'
	works vm clone bob carol
	same "identity" "$(tenant carol id)" "$(tenant carol identity)"
	works vm destroy --yes alice
	works mlimg-store --store "$S" verify
}

@test "tenants: clone: what is refused, and leaves nothing" {
	local files
	vm create alice --system debian --size 64M >/dev/null
	vm create bob --system debian --size 64M >/dev/null
	files=$(cd "$S" && find tenants incoming | sort)
	fails 1 "mlimg-vm: no tenant 'none'" vm clone none carol
	fails 1 "mlimg-vm: there is a tenant 'bob' already" vm clone alice bob
	fails 2 "mlimg-vm: 'a b' cannot be a tenant's name (1 to 63 letters, digits and ._-, the first a letter or digit)
Try 'mlimg-vm --help' for more information." vm clone alice 'a b'
	fails 1 "mlimg-vm: tenant 'alice': no checkpoint 'one'" vm clone alice carol --from one
	usage "the name of the copy is missing" clone alice
	echo >"$(tenant_disk bob)"
	fails 1 "mlimg-vm: qemu-img convert: Could not open '$(tenant_disk bob)': Image is not in qcow2 format" vm clone bob carol
	same "files" "$files" "$(cd "$S" && find tenants incoming | grep -v '/lock$' | sort)"
}

@test "tenants: clone: of a checkpoint, whose layers it has too, and none of the others' checkpoints" {
	local disk
	vm create alice --system debian --size 64M >/dev/null
	disk=$(tenant_disk alice)
	qemu-io -f qcow2 -c 'write -P 7 1M 1M' "$disk" >/dev/null
	works vm checkpoint alice one
	qemu-io -f qcow2 -c 'write -P 8 1M 1M' "$disk" >/dev/null
	vm set alice --add-software tools >/dev/null
	works vm clone alice bob --from one
	same "said" "bob is a copy of alice as of checkpoint one" "$output"
	qemu-io -f qcow2 -c 'read -P 7 1M 1M' "$(tenant_disk bob)" | grep -q '^read 1048576/1048576'
	same "generations" "1|" "$(tenant bob 'current, pending')"
	works vm clone alice carol
	qemu-io -f qcow2 -c 'read -P 8 1M 1M' "$(tenant_disk carol)" | grep -q '^read 1048576/1048576'
	for name in bob carol; do
		same "checkpoints" null "$(qemu-img info --output=json -f qcow2 "$(tenant_disk $name)" | jq .snapshots)"
	done
	same "checkpoints" one "$(vm checkpoints alice --json | jq -r '.[].tag')"
}

# pattern NAME OFFSET BYTE: whether that is what a tenant's guest sees there.
pattern() {
	qemu-io -f qcow2 -r -c "read -P $3 $2 1M" "$(tenant_disk "$1")" | grep -q '^read 1048576/1048576'
}

@test "tenants: clone --linked: both lie over a base, which goes when nobody needs it" {
	local base bases
	vm create alice --system debian --size 64M --forward 1:1 >/dev/null
	qemu-io -f qcow2 -c 'write -P 7 1M 1M' "$(tenant_disk alice)" >/dev/null
	works vm clone alice bob --linked
	same "said" "bob is a copy of alice; both lie over a base" "${lines[0]}"
	same "bases" 1 "$(find "$S/bases" -type f | wc -l)"
	base=$(find "$S/bases" -type f)
	for name in alice bob; do
		same "backing file of $name" "../..${base#"$S"} qcow2" \
			"$(qemu-img info --output=json -f qcow2 "$(tenant_disk $name)" | jq -r '."backing-filename", ."backing-filename-format"' | xargs)"
		same "mode" 600 "$(stat -c %a "$(tenant_disk $name)")"
		pattern $name 1M 7
	done
	same "identities" "|$(tenant bob id)" "$(tenant alice identity)|$(tenant bob identity)"
	# As long as nothing is written, one base is enough.
	works vm clone alice carol --linked
	same "bases" 1 "$(find "$S/bases" -type f | wc -l)"
	# To discard is to write.
	works vm clone carol zoe --linked
	qemu-io -f qcow2 -c 'write -z 1M 1M' "$(tenant_disk zoe)" >/dev/null
	works vm clone zoe zara --linked
	same "bases" 2 "$(find "$S/bases" -type f | wc -l)"
	pattern zoe 1M 0 && pattern zara 1M 0 && pattern carol 1M 7
	for name in zoe zara; do
		base=$(tenant $name id)
		works vm destroy --yes $name
		rm -r "$S/removed/$base"
	done
	works mlimg-store --store "$S" gc
	same "bases" 1 "$(find "$S/bases" -type f | wc -l)"
	qemu-io -f qcow2 -c 'write -P 8 1M 1M' "$(tenant_disk bob)" >/dev/null
	works vm clone bob dave --linked
	same "bases" 2 "$(find "$S/bases" -type f | wc -l)"
	pattern alice 1M 7 && pattern bob 1M 8 && pattern carol 1M 7 && pattern dave 1M 8
	works vm resize dave 128M
	pattern dave 1M 8
	# One that is copied whole needs none.
	works vm clone dave erin
	same "backing file" null "$(qemu-img info --output=json -f qcow2 "$(tenant_disk erin)" | jq '."backing-filename"')"
	pattern erin 1M 8
	works mlimg-store --store "$S" verify
	# A removed tenant's disk is whole as long as it is there.
	for name in alice bob carol dave; do
		bases=$(tenant $name id)
		works vm destroy --yes $name
		qemu-img check -q -f qcow2 "$S/removed/$bases/user.qcow2"
	done
	works mlimg-store --store "$S" gc
	same "bases" 2 "$(find "$S/bases" -type f | wc -l)"
	rm -r "$S/removed/$bases"
	works mlimg-store --store "$S" gc
	same "bases" 2 "$(find "$S/bases" -type f | wc -l)"
	rm -r "$S"/removed/*
	works mlimg-store --store "$S" gc --dry-run
	same "bases" 2 "$(find "$S/bases" -type f | wc -l)"
	works mlimg-store --store "$S" gc
	same "bases removed" 2 "$(grep -c '^removed bases/[0-9a-f]*, ' <<<"$output")"
	same "bases" 0 "$(find "$S/bases" -type f | wc -l)"
	works mlimg-store --store "$S" verify
}

@test "tenants: clone --linked: what is refused; a base that is lost is told" {
	local disk
	vm create alice --system debian --size 64M >/dev/null
	vm create bob --system debian --size 64M >/dev/null
	fails 1 "mlimg-vm: there is a tenant 'bob' already" vm clone alice bob --linked
	fails 2 "mlimg-vm: 'a b' cannot be a tenant's name (1 to 63 letters, digits and ._-, the first a letter or digit)
Try 'mlimg-vm --help' for more information." vm clone alice 'a b' --linked
	usage "--linked and --from exclude each other" clone alice carol --linked --from x
	vm checkpoint alice one >/dev/null
	fails 1 "mlimg-vm: the disk of tenant 'alice' has checkpoints, which a base cannot keep: delete them, or clone without --linked" \
		vm clone alice carol --linked
	same "bases" 0 "$(find "$S/bases" -type f | wc -l)"
	vm delete alice one >/dev/null
	works vm clone alice carol --linked
	disk=$(ls "$S/bases")
	echo x >"$S/bases/mine"
	mv "$S/bases/$disk" "$BATS_TEST_TMPDIR"
	fails 3 "mlimg-store: database and directory of '$S' do not agree" mlimg-store --store "$S" verify
	grep -qx "lost     bases/$disk/base.qcow2" <<<"$output"
	grep -qx "foreign  bases/mine" <<<"$output"
}
