#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-agent prepare and commit, over directories in place of mounted layers.
load ../lib/common
load ../lib/agent

setup() {
	DIR=$BATS_TEST_TMPDIR
	RUN=$DIR/run
	USER_DIR=$RUN/user
	mkdir -p "$RUN/layers" "$USER_DIR/upper/etc" "$USER_DIR/work" "$DIR"/{v1,v2,nginx,empty}/etc
	echo one >"$DIR/v1/etc/version"
	echo two >"$DIR/v2/etc/version"
	echo hosts-1 >"$DIR/v1/etc/hosts"
	echo hosts-2 >"$DIR/v2/etc/hosts"
	echo motd | tee "$DIR/v1/etc/motd" >"$DIR/v2/etc/motd"
	echo gone >"$DIR/v1/etc/gone"
	echo nginx >"$DIR/nginx/etc/nginx.conf"
	systems
	NGINX=$(layerdir software nginx 1.22 "$DIR/nginx" "$DIR/layer-nginx" "$V1")
	TENANT=$(layerdir user alice 1 "$DIR/empty" "$USER_DIR")
}

systems() {
	V1=$(layerdir system debian 12.1 "$DIR/v1" "$DIR/layer-v1")
	V2=$(layerdir system debian 12.2 "$DIR/v2" "$DIR/layer-v2")
}

# mount_layers LAYER…: each lies in the place of N in turn.
mount_layers() {
	local i=0 layer
	rm -rf "$RUN/layers"
	mkdir "$RUN/layers"
	for layer in "$@"; do
		cp -r "$DIR/layer-$layer" "$RUN/layers/$i"
		ln -s "$DIR/${layer/#p/v}" "$RUN/layers/$i/rootfs" # of a patch: with what it refers to
		i=$((i + 1))
	done
	ln -sfn "$RUN/layers/0/rootfs" "$RUN/system" # as with patches, which are not references here
}

on_v1() {
	mount_layers v1 nginx
	works mlimg-agent prepare --root "$RUN" --union overlay --system "${V1:0:20}" --software "${NGINX:0:20}" --user "${TENANT:0:20}"
}

on_v2() {
	mount_layers v2 nginx
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V2" --software "$NGINX" --user "$TENANT"
}

# v2_fails STATUS MESSAGE: as on_v2, which must fail.
v2_fails() {
	mount_layers v2 nginx
	fails "$1" "mlimg-agent: $RUN: $2" mlimg-agent prepare --root "$RUN" --union overlay --system "$V2" --software "$NGINX" --user "$TENANT"
}

# v2_goes_on WHY: what there is to compare with cannot be had: the boot goes on, and nothing is changed or recorded.
v2_goes_on() {
	local before
	before=$(cd "$USER_DIR" && find . -type f -exec sha256sum {} + | sort)
	on_v2
	same boot.json "[\"changed\",2,null,null]" "$(boot '[.change, .generation, .reconcile, .report]')"
	same note "the user layer is not brought into agreement with this stack: $1; the next boot tries again" "$(boot '.notes[]' | grep agreement)"
	commit
	same "user layer" "$before" "$(cd "$USER_DIR" && find . -type f -exec sha256sum {} + | sort)"
}

# refused MESSAGE COMMAND…: on v1, once the command has spoilt something.
refused() {
	local message=$1
	shift
	mount_layers v1 nginx
	"$@"
	fails 3 "mlimg-agent: $RUN: $message" mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --software "$NGINX" --user "$TENANT"
	[ ! -e "$RUN/boot.json" ]
}

# fill FILE TEXT
fill() {
	rm -f "$1"
	printf '%s\n' "$2" >"$1"
}

# The user's files but for the /mlimg of the layer; nothing may change them.
user_files() {
	tar -C "$USER_DIR" -cf - --sort=name upper work | sha256sum
}

@test "layers read through hash trees are told" {
	mount_layers v1 nginx
	works mlimg-agent prepare --root "$RUN" --union overlay --verity require --system "$V1" --software "$NGINX" --user "$TENANT"
	same "verity" require "$(boot .verity)"
}

@test "first boot" {
	local before
	before=$(user_files)
	on_v1
	[ ! -e "$USER_DIR/mlimg/state.json" ]
	same boot "{\"format\":1,\"mode\":\"normal\",\"union\":\"overlay\",\"stack\":[[\"system\",\"debian\",\"12.1\",\"$V1\",\"$RUN/layers/0\"],[\"software\",\"nginx\",\"1.22\",\"$NGINX\",\"$RUN/layers/1\"]],\"disks\":\"separate\",\"verity\":\"off\",\"user\":{\"name\":\"alice\",\"build_id\":\"$TENANT\",\"mount\":\"$RUN/user\",\"formatted\":false,\"fsck\":null,\"grown\":null,\"reset\":null},\"carve_outs\":[],\"protected\":null,\"generation\":1,\"change\":\"first\",\"previous\":null,\"report\":null,\"reconcile\":null,\"queue\":null,\"notes\":[]}" \
		"$(boot 'del(.stack_id) | .stack |= map([.kind, .name, .version, .build_id, .mount])')"
	same "stack id" "$(printf '%s\n' "$V1" "$NGINX" | sha256sum | cut -d' ' -f1)" "$(boot .stack_id)"
	commit
	same state "{\"format\":1,\"generation\":1,\"union\":\"overlay\",\"stack_id\":\"$(boot .stack_id)\",\"stack\":[\"12.1\",\"1.22\"]}" \
		"$(state 'del(.base_sha256, .base_size_bytes, .texts_sha256, .texts_size_bytes) | .stack |= map(.version)')"
	same "base manifest's digest" "$(sha256sum <"$USER_DIR/mlimg/base.manifest.1" | cut -d' ' -f1)" "$(state .base_sha256)"
	same "base manifest" ". ./etc ./etc/gone ./etc/hosts ./etc/motd ./etc/nginx.conf ./etc/version" \
		"$(grep -o '^\.[^ ]*' "$USER_DIR/mlimg/base.manifest.1" | xargs)"
	same "files of the user" "$before" "$(user_files)"
}

@test "the same stack again: nothing is written into the user layer, and no manifest is read" {
	on_v1
	commit
	local before
	before=$(find "$USER_DIR" -type f -printf '%p %i %T@\n' | sort)
	mount_layers v1 nginx
	rm "$RUN"/layers/*/mlimg/manifest
	works mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --software "$NGINX" --user "$TENANT"
	same change "none 1 null" "$(boot '"\(.change) \(.generation) \(.report)"')"
	commit
	same "user layer" "$before" "$(find "$USER_DIR" -type f -printf '%p %i %T@\n' | sort)"
}

@test "another system: compared, reported and recorded" {
	on_v1
	commit
	cd "$USER_DIR/upper/etc"
	echo mine >own
	echo mine >hosts
	cp "$DIR/v1/etc/version" version
	echo motd >motd
	mkdir $'caf\303\251 "\\'
	echo x >"$(printf 'caf\303\251 "\\/x')"
	chmod 0700 motd
	mknod gone c 0 0
	local from
	from=$(state .stack_id)
	on_v2
	same change "changed 2 12.1 $RUN/user/mlimg/reports/2.json" \
		"$(boot '"\(.change) \(.generation) \(.previous.stack[0].version) \(.report.path)"')"
	same counts '{"keep":5,"stale":1,"same":0,"conflict":1,"type-change":0,"whiteout-gone":1,"whiteout-changed":0,"merged":0}' "$(boot .report.counts)"
	same note "[\"software layer 'nginx' was built over a layer that is not beneath it: $V1\"]" "$(boot .notes)"
	same report '[["etc/gone","whiteout-gone"],["etc/hosts","conflict"],["etc/version","stale"]]' \
		"$(jq -c '.entries | map([.path, .verdict])' "$USER_DIR/mlimg/reports/2.json")"
	same "report's head" "{\"format\":1,\"generation\":2,\"from\":\"$from\",\"to\":\"$(boot .stack_id)\",\"truncated\":false}" \
		"$(jq -c 'del(.entries, .counts, .done)' "$USER_DIR/mlimg/reports/2.json")"
	same "report's numbers" '{"stays":5,"dropped":2,"aside":0,"beside":1,"merged":0,"joined":0,"closed":0}' \
		"$(jq -c .done "$USER_DIR/mlimg/reports/2.json")"
	same "report's counts" "$(boot .report.counts)" "$(jq -c .counts "$USER_DIR/mlimg/reports/2.json")"
	same "state" "2 12.2" "$(state '"\(.generation) \(.stack[0].version)"')"
	[ ! -e "$RUN/state.json" ]
	commit
	same "manifests" "base.manifest.2 base.texts.2" "$(cd "$USER_DIR/mlimg" && echo base.*)"
	# The next boot tells nothing of it any more; back to the former system is a change as well.
	on_v2
	same change "none 2 null null" "$(boot '"\(.change) \(.generation) \(.report) \(.previous)"')"
	commit
	on_v1
	same change "changed 3" "$(boot '"\(.change) \(.generation)"')"
}

# Patches from 12.1 to 12.2 and from there to 12.3, and the whole of 12.2.
patches() {
	cd "$DIR"
	need command debugfs
	local image
	cp -a v2 v3
	echo three >v3/etc/version
	mlimg-mkfs --quiet --kind system --name debian --version 12.1 v1 v1.img
	mlimg-mkfs --quiet --kind system --name debian --version 12.2 v2 v2.img
	mlimg-mkfs --quiet --base v1.img --name debian --version 12.2 v2 p2.img
	mlimg-mkfs --quiet --base v1.img --base p2.img --name debian --version 12.3 v3 p3.img
	for image in v1 v2 p2 p3; do
		rm -rf "layer-$image"
		mkdir "layer-$image"
		debugfs -R "rdump /mlimg layer-$image" "$image.img" 2>/dev/null
	done
	V1=$(jq -r .build_id layer-v1/mlimg/layer.json)
	V2=$(jq -r .build_id layer-v2/mlimg/layer.json)
	P2=$(jq -r .build_id layer-p2/mlimg/layer.json)
	P3=$(jq -r .build_id layer-p3/mlimg/layer.json)
}

# on_patch: on 12.1 with the patch to 12.2.
on_patch() {
	mount_layers v1 p2 nginx
	works mlimg-agent prepare --root "$RUN" --union overlay --user "$TENANT" --software "$NGINX" --patch "${P2:0:20}" --system "$V1"
}

@test "a system with a patch is the new system; going over to that one's own image is no change" {
	patches
	on_v1
	commit
	echo mine >"$USER_DIR/upper/etc/hosts"
	cp "$DIR/v1/etc/version" "$USER_DIR/upper/etc/version"
	on_patch
	same change "changed 2" "$(boot '"\(.change) \(.generation)"')"
	same counts "1 1" "$(boot '.report.counts | "\(.conflict) \(.stale)"')"
	same "stack id" "$(printf '%s\n' "$V2" "$NGINX" | sha256sum | cut -d' ' -f1)" "$(boot .stack_id)"
	same stack "[[\"system\",\"12.1\",\"$V1\",null,\"$RUN/layers/0\"],[\"patch\",\"12.2\",\"$P2\",\"$V2\",\"$RUN/layers/1\"],[\"software\",\"1.22\",\"$NGINX\",null,\"$RUN/layers/2\"]]" \
		"$(boot '.stack | map([.kind, .version, .build_id, .result, .mount])')"
	commit
	same "layers in the state" "[[\"$V1\",null],[\"$P2\",\"$V2\"],[\"$NGINX\",null]]" "$(state '.stack | map([.build_id, .result])')"
	local base
	base=$(sha256sum "$USER_DIR/mlimg/base.manifest.2")

	on_v2
	same change "none 2 null" "$(boot '"\(.change) \(.generation) \(.report)"')"
	commit
	same "layers in the state" "[\"$V2\",\"$NGINX\"]" "$(state '.stack | map(.build_id)')"
	same "base manifest" "$base" "$(sha256sum "$USER_DIR/mlimg/base.manifest.2")"
	rm "$USER_DIR/mlimg/base.manifest.2"
	on_patch
	same change "none 2" "$(boot '"\(.change) \(.generation)"')"
	commit
	same "base manifest, made anew of system and patch" "$base" "$(sha256sum "$USER_DIR/mlimg/base.manifest.2")"
	same "layers in the state" "[\"$V1\",\"$P2\",\"$NGINX\"]" "$(state '.stack | map(.build_id)')"
	local before
	before=$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")
	on_patch
	commit
	same "state of the same layers" "$before" "$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")"
}

@test "software made over the new system lies rightly over the old one with its patch" {
	patches
	NGINX=$(layerdir software nginx 1.22 "$DIR/nginx" "$DIR/layer-nginx" "$V2")
	on_patch
	same notes "[]" "$(boot .notes)"
	on_v1
	same notes "[\"software layer 'nginx' was built over a layer that is not beneath it: $V2\"]" "$(boot .notes)"
}

@test "patches of another system, in another order, taken for something else" {
	patches
	mount_layers v1 p3 nginx
	fails 3 "mlimg-agent: $RUN: layers/1: patch layer 'debian' 12.3 (${P3:0:20}): is a patch for system ${V2:0:20}, and this one is ${V1:0:20}" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --patch "$P3" --software "$NGINX" --user "$TENANT"
	mount_layers v1 p3 p2 nginx
	fails 3 "mlimg-agent: $RUN: layers/1: patch layer 'debian' 12.3 (${P3:0:20}): is a patch for system ${V2:0:20}, and this one is ${V1:0:20}" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --patch "$P3" --patch "$P2" --software "$NGINX" --user "$TENANT"
	fails 3 "mlimg-agent: $RUN: layers/1: id $P2 is wanted, this is 'debian' 12.3 with id $P3" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --patch "$P2" --patch "$P3" --software "$NGINX" --user "$TENANT"
	mount_layers v1 p2 nginx
	fails 3 "mlimg-agent: $RUN: layers/1: a software layer is wanted, this is the patch layer 'debian'" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --software "$P2" --software "$NGINX" --user "$TENANT"
	fails 3 "mlimg-agent: $RUN: layers/2: a patch layer is wanted, this is the software layer 'nginx'" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --patch "$P2" --patch "$NGINX" --user "$TENANT"
	[ ! -e "$RUN/boot.json" ]
}

@test "names that are not UTF-8 are in the report as in manifests" {
	cd "$DIR"
	echo a >"v1/etc/$(printf 'q"b\\s\377 \001')"
	echo b >"v2/etc/$(printf 'q"b\\s\377 \001')"
	systems
	on_v1
	commit
	cp v1/etc/q* "$USER_DIR/upper/etc"
	on_v2
	same path 'etc/q"b\134s\377\040\001 stale' "$(jq -r '.entries[] | select(.path != "etc") | "\(.path) \(.verdict)"' "$USER_DIR/mlimg/reports/2.json")"
}

@test "what cannot be compared is kept, and does not stop the boot" {
	need command perl
	on_v1
	commit
	echo mine >"$USER_DIR/upper/etc/hosts"
	# No shell goes that deep by names; the seventeenth is over the limit.
	(cd "$USER_DIR/upper/etc" && perl -e '
		for (1..20) { mkdir "d" x 250 or die; chdir "d" x 250 or die }')
	for i in 1 2 3 4; do
		(cd "$USER_DIR/upper/etc" && perl -e '
			for (1..15) { chdir "d" x 250 or die }
			chdir "d" x 250 or die; mkdir "\377\"'"$i"'" . "e" x 250 or die')
	done
	on_v2
	same change "changed 2" "$(boot '"\(.change) \(.generation)"')"
	# upper/etc, 16 of the directories, and the five beneath the last of them
	same counts "22 1" "$(boot '.report.counts | "\(.keep) \(.conflict)"')"
	local where
	where="not compared, and kept: user/upper/etc/$(printf 'd%.0s' {1..26})...$(printf 'd%.0s' {1..60}): File name too long"
	same notes "$where
$where
$where
not compared, and kept: 2 more" "$(boot '.notes[1:][]')"
	commit
	on_v2
	same change "none 2" "$(boot '"\(.change) \(.generation)"')"
}

@test "stopped between prepare and commit: the change is recorded, and the system changed back is another one" {
	on_v1
	commit
	on_v2
	rm -f "$RUN"/*.json
	echo half >"$USER_DIR/mlimg/.mlimg-0123456789abcdef"
	on_v2
	same change "none 2" "$(boot '"\(.change) \(.generation)"')"
	rm -f "$RUN"/*.json
	on_v1
	same change "changed 3" "$(boot '"\(.change) \(.generation)"')"
	commit
	same "what is left" "base.manifest.3 base.texts.3 layer.json manifest reports spare state.json" \
		"$(cd "$USER_DIR/mlimg" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)"
	same state "3 12.1" "$(state '"\(.generation) \(.stack[0].version)"')"
}

@test "a manifest of an earlier stack that was left over" {
	on_v1
	commit
	cp "$USER_DIR/mlimg/base.manifest.1" "$DIR/base"
	on_v2
	commit
	cp "$DIR/base" "$USER_DIR/mlimg/base.manifest.1"
	on_v2
	same change "none 2" "$(boot '"\(.change) \(.generation)"')"
	commit
	on_v1
	same change "changed 3" "$(boot '"\(.change) \(.generation)"')"
	commit
	same manifests "base.manifest.3 base.texts.3" "$(cd "$USER_DIR/mlimg" && echo base.*)"
}

@test "commit twice, and commit without prepare" {
	on_v1
	commit
	local before
	before=$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")
	commit
	same "state" "$before" "$(stat -c '%i %Y' "$USER_DIR/mlimg/state.json")"
	rm "$RUN/boot.json"
	fails 1 "mlimg-agent: $RUN: boot.json, which prepare writes: No such file or directory" mlimg-agent commit --root "$RUN"
	fails 1 "mlimg-agent: open '$DIR/none': No such file or directory" mlimg-agent commit --root "$DIR/none"
}

@test "a lost base manifest is written anew on the stack it describes" {
	on_v1
	commit
	local digest
	digest=$(state .base_sha256)
	rm "$USER_DIR/mlimg/base.manifest.1"
	echo mine >"$USER_DIR/upper/etc/hosts"
	v2_goes_on "user/mlimg/base.manifest.1 is missing: boot once with the former stack, which writes it anew"
	on_v1
	same change "none 1" "$(boot '"\(.change) \(.generation)"')"
	commit
	same digest "$digest" "$(sha256sum <"$USER_DIR/mlimg/base.manifest.1" | cut -d' ' -f1)"
	echo >>"$USER_DIR/mlimg/base.manifest.1"
	v2_goes_on "user/mlimg/base.manifest.1 is damaged (state.json names another digest): remove it and boot once with the former stack, which writes it anew"
	on_v1
	commit
	on_v2
	same change "changed 2 reconciled" "$(boot '"\(.change) \(.generation) \(.reconcile.done)"')"
}

@test "a layer that is not the wanted one" {
	refused "layers/0: id $V1 is wanted, this is 'debian' 12.2 with id $V2" cp -rT "$DIR/layer-v2" "$RUN/layers/0"
	refused "layers/1: a software layer is wanted, this is the system layer 'debian'" cp -rT "$DIR/layer-v1" "$RUN/layers/1"
	refused "layers/0: a system layer is wanted, this is the user layer 'alice'" cp -rT "$USER_DIR" "$RUN/layers/0"
}

@test "a damaged layer" {
	local manifest=$RUN/layers/1/mlimg/manifest digest
	digest=$(head -c -1 "$DIR/layer-nginx/mlimg/manifest" | sha256sum | cut -d' ' -f1)
	refused "layers/1: layer 'nginx' is damaged: its manifest's digest is $digest, not its build id $NGINX" truncate -s -1 "$manifest"
	refused "layers/0: layer.json says system layer 'debian' 12.3, the manifest system layer 'debian' 12.1" \
		sed -i 's/"12\.1"/"12.3"/' "$RUN/layers/0/mlimg/layer.json"
	refused "layers/0: layer.json: line 2: string or '}' expected near end of file" fill "$RUN/layers/0/mlimg/layer.json" "{"
	rm "$RUN/layers/0/mlimg/layer.json"
	fails 1 "mlimg-agent: $RUN: open 'layers/0/mlimg/layer.json': No such file or directory" \
		mlimg-agent prepare --root "$RUN" --union overlay --system "$V1" --software "$NGINX" --user "$TENANT"
}

@test "a damaged state, and another driver's" {
	on_v1
	commit
	local state=$USER_DIR/mlimg/state.json good
	local then="; restore it, or remove it to boot as for the first time, without a comparison with the former stack"
	good=$(cat "$state")
	spoil() {
		fill "$state" "$(jq "$1" <<<"$good")"
	}
	refused "user/mlimg/state.json is damaged (state.json: no integer 'format')$then" fill "$state" "{}"
	refused "user/mlimg/state.json is damaged (state.json: format 2 is unknown)$then" spoil '.format = 2'
	refused "user/mlimg/state.json is damaged (state.json: 'stack' is no list of 1 to 81 layers)$then" spoil '.stack = []'
	refused "user/mlimg/state.json is damaged (state.json: 'generation' is 1000000000)$then" spoil '.generation = 1000000000'
	refused "user: the user layer 'alice' was written by union driver 'unionfs', which 'overlay' would misread; boot with mlimg.union=unionfs, or with mlimg.convert, or run 'mlimg-agent convert --to overlay $RUN/user'" \
		spoil '.union = "unionfs"'
	rm "$state"
	refused "user/mlimg/state.json is damaged ('user/mlimg/state.json' is no regular file)$then" mkfifo "$state"
}

@test "links that a stranger put into the user layer are not followed" {
	on_v1
	commit
	mkdir "$DIR/elsewhere"
	echo kept >"$DIR/elsewhere/file"
	mv "$USER_DIR/upper" "$DIR/elsewhere/upper"
	ln -s "$DIR/elsewhere/upper" "$USER_DIR/upper"
	v2_fails 1 "open user/upper: Not a directory"
	rm "$USER_DIR/upper" "$USER_DIR/mlimg/base.manifest.1"
	mkdir "$USER_DIR/upper"
	ln -s "$DIR/elsewhere/file" "$USER_DIR/mlimg/base.manifest.1"
	v2_goes_on "open 'user/mlimg/base.manifest.1': Too many levels of symbolic links"
	# On the old stack the link is no manifest, and replaced.
	on_v1
	commit
	same elsewhere kept "$(cat "$DIR/elsewhere/file")"
	[ ! -L "$USER_DIR/mlimg/base.manifest.1" ]
	rm -rf "$USER_DIR/mlimg/reports"
	ln -s "$DIR/elsewhere" "$USER_DIR/mlimg/reports"
	on_v2
	same "reports" "user/mlimg/reports was no directory: set aside as user/mlimg/reports.misplaced" "$(boot '.notes[0]')"
	same elsewhere "file upper" "$(cd "$DIR/elsewhere" && echo *)"
	[ -e "$USER_DIR/mlimg/reports/2.json" ] && [ ! -L "$USER_DIR/mlimg/reports" ]
}

@test "wrong usage" {
	local id=0123456789abcdef0123 hint="
Try 'mlimg-agent --help' for more information."
	fails 2 "mlimg-agent: prepare: --root is missing$hint" mlimg-agent prepare
	fails 2 "mlimg-agent: prepare: --union is missing$hint" mlimg-agent prepare --root "$RUN"
	fails 2 "mlimg-agent: prepare: --system is missing$hint" mlimg-agent prepare --root "$RUN" --union overlay
	fails 2 "mlimg-agent: prepare: --user is missing$hint" mlimg-agent prepare --root "$RUN" --union overlay --system $id
	fails 2 "mlimg-agent: prepare: no union driver 'aufs' (there are: index, overlay, unionfs)$hint" \
		mlimg-agent prepare --root "$RUN" --union aufs --system $id --user $id
	fails 2 "mlimg-agent: prepare: unionfs-fuse does not follow a patch's references$hint" \
		mlimg-agent prepare --root "$RUN" --union unionfs --system $id --user $id --patch $id
	fails 2 "mlimg-agent: prepare: 'abc' is no id (20 to 64 hex digits)$hint" mlimg-agent prepare --software abc
	fails 2 "mlimg-agent: prepare: unexpected argument 'x'$hint" mlimg-agent prepare x
	fails 2 "mlimg-agent: commit: --root is missing$hint" mlimg-agent commit
	local many=() i
	for i in $(seq 65); do many+=(--software "$id$i"); done
	fails 2 "mlimg-agent: prepare: more than 64 software layers$hint" mlimg-agent prepare "${many[@]}"
	many=()
	for i in $(seq 17); do many+=(--patch "$id$i"); done
	fails 2 "mlimg-agent: prepare: more than 16 patches$hint" mlimg-agent prepare "${many[@]}"
	fails 2 "mlimg-agent: prepare: 'abc' is no id (20 to 64 hex digits)$hint" mlimg-agent prepare --patch abc
	fails 1 "mlimg-agent: open '$DIR/none': No such file or directory" \
		mlimg-agent prepare --root "$DIR/none" --union overlay --system $id --user $id
}
