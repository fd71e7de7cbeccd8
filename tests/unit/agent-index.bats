#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent with an index: check-index over images, prepare and commit over directories in place of a mounted index.
load ../lib/common
load ../lib/agent

setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run
	USER_DIR=$RUN/user
	mkdir -p "$USER_DIR/upper/etc" "$USER_DIR/work" "$DIR"/{v1,v2,nginx,empty}/etc
	echo one >"$DIR/v1/etc/version"
	echo two >"$DIR/v2/etc/version"
	echo nginx >"$DIR/nginx/etc/nginx.conf"
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
	NGINX=$(layerdir software nginx 1.22 "$DIR/nginx" "$DIR/layer-nginx" "$V1")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
}

# mount_index LAYER…: what an index of them has in its /mlimg.
mount_index() {
	local layer descriptions=() i=0
	rm -rf "$RUN/index"
	mkdir -p "$RUN/index/mlimg/manifests"
	ln -s "$DIR/$1" "$RUN/index/rootfs"
	for layer in "$@"; do
		descriptions+=("$DIR/layer-$layer/mlimg/layer.json")
		cp "$DIR/layer-$layer/mlimg/manifest" "$RUN/index/mlimg/manifests/$i"
		i=$((i + 1))
	done
	jq -s --arg id "$(jq -r .build_id "${descriptions[@]}" | sha256sum | cut -d' ' -f1)" \
		'{format: 1, stack_id: $id, stack: .}' "${descriptions[@]}" >"$RUN/index/mlimg/stack.json"
}

# prepare UNION SYSTEM
prepare() {
	mlimg-agent prepare --root "$RUN" --union "$1" --system "$2" --software "$NGINX" --user "$TENANT"
}

on_v1() {
	mount_index v1 nginx
	works prepare index "$V1"
}

# On v1 without an index.
on_overlay() {
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	cp -r "$DIR/layer-v1" "$RUN/layers/0"
	cp -r "$DIR/layer-nginx" "$RUN/layers/1"
	mkdir "$RUN"/layers/{0,1}/rootfs
	works prepare overlay "$V1"
}

# refused STATUS MESSAGE: on v1.
refused() {
	fails "$1" "mlimg-agent: $RUN: $2" prepare index "$V1"
	[ ! -e "$RUN/boot.json" ]
}

@test "first boot on an index" {
	on_v1
	same boot "{\"union\":\"index\",\"stack\":[[\"debian\",\"$V1\",null],[\"nginx\",\"$NGINX\",null]],\"user\":\"$RUN/user\",\"change\":\"first\"}" \
		"$(boot '{union, stack: (.stack | map([.name, .build_id, .mount])), user: .user.mount, change}')"
	same "has mount" true "$(boot '.stack | all(has("mount"))')"
	same "disks" separate "$(boot .disks)"
	mlimg-agent prepare --root "$RUN" --union index --disks joined --system "$V1" --software "$NGINX" --user "$TENANT"
	same "disks" joined "$(boot .disks)"
	fails 2 "mlimg-agent: prepare: --disks: 'one' is neither 'joined' nor 'separate'
Try 'mlimg-agent --help' for more information." mlimg-agent prepare --disks one
	commit
	same state '{"union":"index","versions":["12.1","1.22"]}' "$(state '{union, versions: (.stack | map(.version))}')"
	same "base manifest" ". ./etc ./etc/nginx.conf ./etc/version" "$(grep -o '^\.[^ ]*' "$USER_DIR/mlimg/base.manifest.1" | xargs)"
}

@test "from overlay to an index and back: the same stack, only the driver is recorded" {
	on_overlay
	commit
	same driver overlay "$(state .union)"
	local before
	before=$(state 'del(.union)')
	mount_index v1 nginx
	rm -r "$RUN/index/mlimg/manifests"
	works prepare index "$V1"
	same boot "index none 1 null" "$(boot '"\(.union) \(.change) \(.generation) \(.previous)"')"
	same "driver before commit" overlay "$(state .union)"
	commit
	same driver index "$(state .union)"
	same "the rest of the state" "$before" "$(state 'del(.union)')"
	on_overlay
	same change "overlay none 1" "$(boot '"\(.union) \(.change) \(.generation)"')"
	commit
	same driver overlay "$(state .union)"
	# And nothing more is written on the driver that is known already.
	before=$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")
	on_overlay
	commit
	same "state" "$before" "$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")"
}

@test "from overlay to an index of another system: reconciled and reported" {
	on_overlay
	commit
	echo mine >"$USER_DIR/upper/etc/version"
	mount_index v2 nginx
	works prepare index "$V2"
	same boot "index changed 2 overlay" "$(boot '"\(.union) \(.change) \(.generation) \(.previous.union)"')"
	same report '[["etc/version","conflict"]]' "$(jq -c '.entries | map([.path, .verdict])' "$USER_DIR/mlimg/reports/2.json")"
	commit
	same state "index 12.2" "$(state '"\(.union) \(.stack[0].version)"')"
}

@test "a user layer that yet another driver wrote" {
	on_v1
	commit
	local state
	state=$(jq '.union = "unionfs"' "$USER_DIR/mlimg/state.json")
	rm "$USER_DIR/mlimg/state.json" "$RUN/boot.json"
	echo "$state" >"$USER_DIR/mlimg/state.json"
	refused 3 "user: the user layer 'alice' was written by union driver 'unionfs', which 'index' would misread; boot with mlimg.union=unionfs, or with mlimg.convert, or run 'mlimg-agent convert --to index $RUN/user'"
}

@test "an index of another stack" {
	mount_index v2 nginx
	refused 3 "layer 0: index: id $V1 is wanted, this is 'debian' 12.2 with id $V2"
	mount_index v1
	refused 3 "index: 2 layers are wanted, this has 1"
	mount_index nginx v1
	refused 3 "index: stack.json: layer 0: software layer 'nginx' 1.22 (${NGINX:0:20}): no system layer beneath"
}

@test "a damaged index" {
	local json=$RUN/index/mlimg/stack.json
	mount_index v1 nginx
	jq '.stack_id |= (if .[:1] == "0" then "1" else "0" end) + .[1:]' "$json" >"$DIR/x"
	cp "$DIR/x" "$json"
	refused 3 "index: stack.json: its stack id is '$(jq -r .stack_id "$DIR/x")', but its layers' is $(printf '%s\n' "$V1" "$NGINX" | sha256sum | cut -d' ' -f1)"
	echo "{" >"$json"
	refused 3 "index: stack.json: line 2: string or '}' expected near end of file"
	rm "$json"
	refused 1 "open 'index/mlimg/stack.json': No such file or directory"
	rm -r "$RUN/index"
	refused 1 "open 'index': No such file or directory"
	mount_index v1 nginx
	truncate -s -1 "$RUN/index/mlimg/manifests/1"
	refused 3 "index: layer 'nginx' is damaged: its manifest's digest is $(sha256sum <"$RUN/index/mlimg/manifests/1" | cut -d' ' -f1), not its build id $NGINX"
	rm "$RUN/index/mlimg/manifests/1"
	refused 1 "open 'index/mlimg/manifests/1': No such file or directory"
}

@test "check-index: the layers that it was compiled from, and no others" {
	cd "$DIR"
	mlimg-mkfs --quiet --kind system --name s --version 1 v1 s.img
	mlimg-mkfs --quiet --kind software --name w --version 1 nginx w.img
	mlimg-mkfs --quiet --kind software --name x --version 1 v2 x.img
	mlimg-index --quiet -o i.img s.img w.img
	works mlimg-agent check-index --index i.img --layer s.img --layer w.img
	same stdout "" "$output"
	local uuid id
	uuid=$(dumpe2fs -h x.img 2>/dev/null | sed -n 's/^Filesystem UUID: *//p' | tr -d -)
	id=$(mlimg-inspect --json w.img | jq -r .build_id)
	fails 3 "mlimg-agent: x.img holds a layer with UUID $uuid, but layer 1 of the index on i.img is ${id:0:20}: compile the index from these layers, in this order" \
		mlimg-agent check-index --index i.img --layer s.img --layer x.img
	fails 3 "mlimg-agent: the index on i.img is over 2 layers, but there is 1: compile it from these" \
		mlimg-agent check-index --index i.img --layer s.img
	fails 3 "mlimg-agent: s.img: no index of mlimg-index" mlimg-agent check-index --index s.img --layer s.img --layer w.img
	fails 1 "mlimg-agent: open y.img: No such file or directory" mlimg-agent check-index --index i.img --layer s.img --layer y.img
	fails 1 "mlimg-agent: open j.img: No such file or directory" mlimg-agent check-index --index j.img --layer s.img
	fails 1 "mlimg-agent: the index cannot be read: read nginx: Block device required: compile it again with mlimg-index, or boot with mlimg.union=overlay and the layers' own disks" \
		mlimg-agent check-index --index nginx --layer s.img
}

@test "check-index: a directory and a tar of it are one layer, whose contents lie elsewhere" {
	cd "$DIR"
	local i
	for i in z y x; do head -c 5000 /dev/urandom >"v1/etc/$i"; done
	find v1 -exec touch -d @1600000000 {} +
	tar -C v1 --no-recursion --sort=none -cf v1.tar . ./etc ./etc/z ./etc/y ./etc/version ./etc/x
	export SOURCE_DATE_EPOCH=1
	mlimg-mkfs --quiet --kind system --name s --version 1 v1 s.img
	mlimg-mkfs --quiet --kind system --name s --version 1 v1.tar t.img
	local id
	id=$(mlimg-inspect --json s.img | jq -r .build_id)
	same "build id" "$id" "$(mlimg-inspect --json t.img | jq -r .build_id)"
	mlimg-index --quiet -o i.img s.img
	works mlimg-agent check-index --index i.img --layer s.img
	fails 3 "mlimg-agent: t.img holds the layer ${id:0:20}, but its contents lie elsewhere than in the image that the index on i.img was compiled from: compile it from this image" \
		mlimg-agent check-index --index i.img --layer t.img
}

@test "check-index: layers behind a joined index, on its disk" {
	cd "$DIR"
	mlimg-mkfs --quiet --kind system --name s --version 1 v1 s.img
	mlimg-mkfs --quiet --kind software --name w --version 1 nginx w.img
	mlimg-mkfs --quiet --kind software --name x --version 1 v2 x.img
	local index blocks id uuid at
	mlimg-index --json -o j.img --joined s.img w.img >made
	cat j.img s.img w.img >disk
	works mlimg-agent check-index --index disk
	same stdout "" "$output"
	works mlimg-agent check-index --index j.img --layer s.img --layer w.img
	id=$(mlimg-inspect --json w.img | jq -r .build_id) at=$(jq '.first_blocks[1]' made)
	uuid=$(dumpe2fs -h x.img 2>/dev/null | sed -n 's/^Filesystem UUID: *//p' | tr -d -)
	same "blocks" "$(($(stat -c %s disk) / 4096))" "$(jq .disk_blocks made)"
	cat j.img s.img x.img >foreign
	fails 3 "mlimg-agent: block $at of foreign holds a layer with UUID $uuid, but layer 1 of the index on foreign is ${id:0:20}: compile the index from these layers, in this order" \
		mlimg-agent check-index --index foreign
	cat j.img s.img s.img | head -c "$(stat -c %s disk)" >blank
	dd if=/dev/zero of=blank bs=4096 seek="$at" count=1 conv=notrunc status=none
	fails 3 "mlimg-agent: block $at of blank should hold the layer ${id:0:20}, but it holds no layer" mlimg-agent check-index --index blank
	blocks=$(jq '.disk_blocks - .first_blocks[1]' made)
	head -c -4096 disk >short
	fails 3 "mlimg-agent: block $at of short is where the layer ${id:0:20} of the joined index there begins, but only $((blocks - 1)) of its $blocks blocks are there: \
attach the index and all its layers as one disk" mlimg-agent check-index --index short
	id=$(mlimg-inspect --json s.img | jq -r .build_id) index=$(jq '.first_blocks[0]' made)
	fails 3 "mlimg-agent: block $index of j.img is where the layer ${id:0:20} of the joined index there begins, but only 0 of its $((at - index)) blocks are there: \
attach the index and all its layers as one disk" mlimg-agent check-index --index j.img
	truncate -s +8K s.img
	fails 3 "mlimg-agent: s.img has $((at - index + 2)) blocks of 4096 bytes, but the joined index on j.img has room for $((at - index)): compile it from this image" \
		mlimg-agent check-index --index j.img --layer s.img --layer w.img
	debugfs -w -R "set_super_value hash_seed 01234567-89ab-cdef-0123-456789abcdef" w.img 2>/dev/null
	truncate -s -8K s.img
	cat j.img s.img w.img >places
	id=$(mlimg-inspect --json w.img | jq -r .build_id)
	fails 3 "mlimg-agent: block $at of places holds the layer ${id:0:20}, but its contents lie elsewhere than in the image that the index on places was compiled from: \
compile it from this image" mlimg-agent check-index --index places
}

@test "check-index: wrong usage" {
	cd "$DIR"
	mlimg-mkfs --quiet --kind system --name s --version 1 v1 s.img
	mlimg-index --quiet -o i.img s.img
	local hint="
Try 'mlimg-agent --help' for more information."
	fails 2 "mlimg-agent: check-index: --index is missing$hint" mlimg-agent check-index --layer x
	fails 3 "mlimg-agent: the index on i.img is over 1 layer, but there are 0: compile it from these" mlimg-agent check-index --index i.img
	fails 2 "mlimg-agent: check-index: unexpected argument 'y'$hint" mlimg-agent check-index --index x --layer x y
	# shellcheck disable=SC2046 # words
	fails 2 "mlimg-agent: check-index: more than 81 layers$hint" mlimg-agent check-index $(printf -- '--layer %s ' {1..82})
}
