#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# mlimg-mkfs: container images as sources. Random stacks of layers: test_source_merge.c.

load ../lib/common
load ../lib/images
load ../lib/oci

setup() {
	mkdir "$BATS_TEST_TMPDIR/files" && cd "$BATS_TEST_TMPDIR/files" || return
	unset SOURCE_DATE_EPOCH
}

# layer FILE SPEC…: a tar of these entries: "d/" a directory, "f=text" a file, "l->target" a link, "l=>target" a hard link
layer() {
	local file=$1 spec
	shift
	rm -rf layer.d && mkdir layer.d
	for spec; do
		case $spec in
			*'->'*) ln -s "${spec#*->}" "layer.d/${spec%->*}" ;;
			*'=>'*) ln "layer.d/${spec#*=>}" "layer.d/${spec%=>*}" ;;
			*=*)
				mkdir -p "layer.d/$(dirname "${spec%%=*}")"
				echo "${spec#*=}" >"layer.d/${spec%%=*}"
				;;
			*/) mkdir -p "layer.d/$spec" ;;
		esac
	done
	find layer.d -exec touch -h -d @1600000000 {} +
	(cd layer.d && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | tar --no-recursion --numeric-owner --owner=0 --group=0 -caf "../$file" -T -)
}

# made SOURCE [OPTION]…: x.img of it, as a system layer
made() {
	works mlimg-mkfs --quiet --force --kind system --name image "${@:2}" "$1" x.img
	fsck_clean x.img
}

# tree IMAGE: paths, and contents of files
tree() {
	local path type
	mlimg-inspect "$1" manifest | sed -n 's,^\./\([^ ]*\) type=\([^ ]*\).*,\1 \2,p' | while read -r path type; do
		[ "$type" = file ] && echo "$path=$(mlimg-inspect "$1" cat "$path")" && continue
		echo "$path $type"
	done
}

# refused MESSAGE SOURCE [OPTION]…: exit code 3, nothing left
refused() {
	local message=$1 before
	rm -f x.img
	before=$(find . | sort)
	fails 3 "mlimg-mkfs: $message" mlimg-mkfs --kind system --name bad "${@:3}" "$2" x.img || return
	same "files after: $*" "$before" "$(find . | sort)"
}

# three: the layers a.tar, b.tar.gz, c.tar.zst, and what they amount to in "wanted"
three() {
	layer a.tar bin/sh=one 'bin/dash=>bin/sh' etc/a=1 etc/d/x=1 gone/x=1 'link->bin/sh'
	layer b.tar.gz bin/sh=two etc/.wh.a= etc/d/.wh..wh..opq= etc/d/y=2 .wh.gone=
	layer c.tar.zst etc/d/z=3 'gone->etc' .wh.nothing=
	cat >wanted <<-'END'
		bin dir
		bin/dash=one
		bin/sh=two
		etc dir
		etc/d dir
		etc/d/y=2
		etc/d/z=3
		gone link
		link link
	END
}

@test "mkfs: an OCI layout: layers in order, whiteouts, opaque directories, each compression" {
	three
	oci_layout image a.tar b.tar.gz c.tar.zst
	made image
	same tree "$(cat wanted)" "$(tree x.img)"
	same "whiteouts in a system layer" 0 "$(mlimg-inspect x.img manifest | grep -c 'type=char')"
	works mlimg-mkfs --quiet --force --kind software image x.img
	same "whiteouts of a software layer" $'./etc/a\n./nothing' "$(mlimg-inspect x.img manifest | sed -n 's/ type=char.*//p')"
	same "opaque directories" ./etc/d "$(mlimg-inspect x.img manifest | sed -n 's/ .*xattr:trusted.overlay.opaque:eQ.*//p')"
}

@test "mkfs: a layout, archives of it, docker save's archive: the same layer" {
	local wanted archive
	three
	oci_layout image a.tar b.tar.gz c.tar.zst
	made image && wanted=$(image_id x.img)
	tar -C image -cf dots.tar .
	tar -C image -cf names.tar blobs index.json oci-layout
	tar -C image -cf late.tar blobs index.json && tar -C image -rf late.tar oci-layout
	gzip -k late.tar && zstd -q late.tar
	gzip -d b.tar.gz && zstd -qd c.tar.zst
	oci_saved saved a.tar b.tar c.tar
	tar -C saved --format=posix -cf saved.tar .
	gzip -k saved.tar
	for archive in dots.tar names.tar late.tar late.tar.gz late.tar.zst saved.tar saved.tar.gz; do
		made $archive
		same "build id of $archive" "$wanted" "$(image_id x.img)"
	done
	works mlimg-mkfs --quiet --force --kind system --name image --form oci - x.img <late.tar.gz
	same "build id of a file on standard input" "$wanted" "$(image_id x.img)"
	works mlimg-mkfs --quiet --force --kind system --name image --form oci - x.img < <(cat saved.tar)
	same "build id of a pipe" "$wanted" "$(image_id x.img)"
	# Told to be a tar, it is one.
	made saved.tar --form tar
	[[ $(tree x.img) == *manifest.json=* ]]
	made image --form dir
	[[ $(tree x.img) == *oci-layout=* ]]
}

@test "mkfs: docker save's links from layer to layer" {
	local b
	layer a.tar f=a
	layer b.tar g=b
	oci_saved saved a.tar b.tar
	b=$(sha256sum b.tar | cut -c1-64)
	mv "saved/$b/layer.tar" "saved/$b.tar"
	ln -s "../$b.tar" "saved/$b/layer.tar"
	tar -C saved -cf saved.tar .
	made saved.tar
	same tree $'f=a\ng=b' "$(tree x.img)"
	ln -sf "../../$b.tar" "saved/$b/layer.tar"
	tar -C saved -cf saved.tar .
	refused "'saved.tar': '$b/layer.tar' is not there" saved.tar
	ln -sf "../$b/layer.tar" "saved/$b/layer.tar"
	tar -C saved -cf saved.tar .
	refused "'saved.tar': '$b/layer.tar' is not there" saved.tar
	mv "saved/$b.tar" elsewhere && ln -sf ../../elsewhere "saved/$b/layer.tar"
	refused "'saved': '$b/layer.tar' leads out of the directory" saved --form oci
}

@test "mkfs: which of several images" {
	local first second arm
	layer a.tar f=first
	layer b.tar f=second
	layer c.tar f=arm
	first=$(oci_manifest image a.tar) second=$(oci_manifest image b.tar) arm=$(OCI_ARCH=arm64 oci_manifest image c.tar)
	printf '%s\n' "$first" "$arm" | oci_index image
	made image
	same tree f=first "$(tree x.img)"
	made image --platform arm64
	same tree f=arm "$(tree x.img)"
	made image --platform linux/arm64/v8
	refused "'image': no image for linux/s390x (there are: linux/amd64, linux/arm64)" image --platform s390x
	printf '%s\n' "$first" "$second" | oci_index image
	refused "'image': 2 images for linux/amd64; --ref chooses one" image
	printf '%s\n' "$first" "$first" | oci_index image
	made image
	{
		jq -c '.annotations["org.opencontainers.image.ref.name"] = "1"' <<<"$first"
		jq -c '.annotations["org.opencontainers.image.ref.name"] = "2" | .annotations["io.containerd.image.name"] = "some/image:2"' <<<"$second"
	} | oci_index image
	made image --ref 1
	same tree f=first "$(tree x.img)"
	made image --ref some/image:2
	same tree f=second "$(tree x.img)"
	refused "'image': no image '3' for linux/amd64 (there are: 1, some/image:2)" image --ref 3
	# An index within the index, which tells platforms.
	{
		jq -c '.platform = {os: "linux", architecture: "amd64"}' <<<"$first"
		jq -c '.platform = {os: "linux", architecture: "arm64", variant: "v8"}' <<<"$arm"
		jq -c '.platform = {os: "unknown", architecture: "unknown"} | .mediaType = "application/vnd.in-toto+json"' <<<"$second"
	} | jq -sc '{schemaVersion: 2, manifests: .}' >inner
	oci_blob image inner application/vnd.oci.image.index.v1+json | oci_index image
	made image --platform linux/arm64/v8
	same tree f=arm "$(tree x.img)"
	made image
	same tree f=first "$(tree x.img)"
	refused "'image': no image for linux/arm64/v7 (there are: linux/amd64, linux/arm64/v8)" image --platform linux/arm64/v7
	oci_saved saved a.tar
	made saved --form oci --ref some/image:1
	refused "'saved': no image 'other' for linux/amd64 (there are: some/image:1)" saved --form oci --ref other
	fails 2 $'mlimg-mkfs: \'a//\' is no platform such as linux/amd64\nTry \'mlimg-mkfs --help\' for more information.' \
		mlimg-mkfs --kind system --platform a// image x.img
	fails 2 $'mlimg-mkfs: \'x\' is no form: auto, dir, tar, oci, layer, user, upper, upper-userxattr or unionfs\nTry \'mlimg-mkfs --help\' for more information.' \
		mlimg-mkfs --kind system --form x image x.img
}

@test "mkfs: every digest of an image is checked" {
	local manifest config blob other
	layer a.tar.gz f=a
	layer b.tar.gz g=b
	layer other.tar h=c
	oci_layout image a.tar.gz b.tar.gz
	manifest=$(jq -r '.manifests[0].digest' image/index.json) && config=$(jq -r .config.digest "image/blobs/sha256/${manifest#*:}")
	blob=$(jq -r '.layers[1].digest' "image/blobs/sha256/${manifest#*:}")
	cp -r image good
	for other in $manifest $config; do
		rm -rf image && cp -r good image
		sed -i 's/linux/Linux/;s/schemaVersion"/schemaversion"/' "image/blobs/sha256/${other#*:}"
		refused "'image': blob $other has another digest" image
		rm "image/blobs/sha256/${other#*:}"
		refused "'image': 'blobs/sha256/${other#*:}' is not there" image
	done
	rm -rf image && cp -r good image
	jq -c '.manifests[0].size = 7' good/index.json >image/index.json
	refused "'image': blob $manifest has another size" image
	# A layer of the same size, sound by itself and not: what is said is that it is another one.
	rm -rf image && cp -r good image
	printf x | dd of="image/blobs/sha256/${blob#*:}" bs=1 seek=30 conv=notrunc status=none
	other=$(sha256sum "image/blobs/sha256/${blob#*:}" | cut -c1-64)
	refused "'image, layer 2 of 2': digest is sha256:$other, not $blob" image
	cp a.tar.gz "image/blobs/sha256/${blob#*:}"
	truncate -s "$(stat -c %s b.tar.gz)" "image/blobs/sha256/${blob#*:}"
	other=$(sha256sum "image/blobs/sha256/${blob#*:}" | cut -c1-64)
	refused "'image, layer 2 of 2': digest is sha256:$other, not $blob" image
	truncate -s 7 "image/blobs/sha256/${blob#*:}"
	refused "'image, layer 2 of 2': has 7 bytes, not $(stat -c %s b.tar.gz)" image
	rm "image/blobs/sha256/${blob#*:}"
	refused "'image': 'blobs/sha256/${blob#*:}' is not there" image
	# The configuration names another tar than the layer unpacks to.
	rm -rf image && mkdir image
	cp a.tar.gz liar.gz
	# shellcheck disable=SC2317 # oci_manifest calls it
	oci_unpacked() { cat other.tar; }
	oci_layout image liar.gz
	refused "'image, layer 1 of 1': unpacked, its digest is sha256:$(gzip -dc a.tar.gz | sha256sum | cut -c1-64), not sha256:$(sha256sum other.tar | cut -c1-64)" image
	gzip -d b.tar.gz
	oci_saved saved b.tar
	echo ' ' >>"$(echo saved/*.json | tr ' ' '\n' | grep -v manifest)"
	refused "'saved': '$(basename "$(echo saved/*.json | tr ' ' '\n' | grep -v manifest)")' has another digest than its name says" saved --form oci
	oci_saved saved b.tar && cp other.tar saved/*/layer.tar
	refused "'saved, layer 1 of 1': unpacked, its digest is sha256:$(sha256sum other.tar | cut -c1-64), not sha256:$(sha256sum b.tar | cut -c1-64)" saved --form oci
}

# index_of JQ-FILTER: "image" once more, its index.json changed
index_of() {
	rm -rf image && cp -r good image
	jq -c "$1" good/index.json >image/index.json
}

# manifest_of JQ-FILTER: "image" with another manifest
manifest_of() {
	local old
	rm -rf image && cp -r good image
	old=$(jq -r '.manifests[0].digest' good/index.json)
	jq -c "$1" "good/blobs/sha256/${old#*:}" >changed
	manifest=sha256:$(sha256sum changed | cut -c1-64)
	oci_blob image changed application/vnd.oci.image.manifest.v1+json | oci_index image
}

@test "mkfs: documents of an image that are not what they should be" {
	local manifest i
	layer a.tar f=a
	oci_layout good a.tar
	index_of . && echo '{"imageLayoutVersion":"2.0.0"}' >image/oci-layout
	refused "'image': oci-layout: version '2.0.0', not 1.0.0" image
	rm image/oci-layout
	refused "'image': no image: it has neither 'oci-layout' nor 'manifest.json'" image --form oci
	index_of . && rm image/index.json
	refused "'image': 'index.json' is not there" image
	mkdir image/index.json
	refused "'image': 'index.json' is no regular file" image
	rmdir image/index.json && ln -s ../good/index.json image/index.json
	refused "'image': 'index.json' leads out of the directory" image
	rm image/index.json && truncate -s 4194305 image/index.json
	refused "'image': 'index.json' is longer than 4194304 bytes" image
	echo '{' >image/index.json
	refused "'image': index.json: line 2: string or '}' expected near end of file" image
	index_of '.schemaVersion = 1'
	refused "'image': index.json: schemaVersion 1 is unknown" image
	index_of '.manifests = []'
	refused "'image': no image for linux/amd64" image
	index_of '.layers = []'
	refused "'image': index.json: both an index and a manifest" image
	index_of '.mediaType = "application/vnd.oci.image.manifest.v1+json"'
	refused "'image': index.json: media type 'application/vnd.oci.image.manifest.v1+json' is not an index's" image
	index_of '.manifests[0].digest = "sha512:12"'
	refused "'image': index.json: 'sha512:12' is no SHA-256 digest" image
	index_of '.manifests[0].digest = "sha256:../../../../../../etc/passwd"'
	refused "'image': index.json: 'sha256:../../../../../../etc/passwd' is no SHA-256 digest" image
	index_of '.manifests[0].size = -1'
	refused "'image': index.json: 'size' is -1" image
	index_of '.manifests[0].mediaType = "application/vnd.unheard-of"'
	refused "'image': no image for linux/amd64" image
	manifest_of '.layers[0].mediaType = "application/vnd.unheard-of"'
	refused "'image': $manifest: layer 1: media type 'application/vnd.unheard-of' is not a layer's" image
	manifest_of '.config.mediaType = "application/vnd.oci.empty.v1+json"'
	refused "'image': $manifest: its configuration has media type 'application/vnd.oci.empty.v1+json': no container image" image
	manifest_of '.manifests = []'
	refused "'image': $manifest: both an index and a manifest" image
	manifest_of '.layers += .layers'
	refused "'image': 2 layers, but digests of 1" image
	manifest_of '.layers = []'
	refused "'image': 0 layers, but digests of 1" image
	manifest_of '.layers = [range(513)]'
	refused "'image': $manifest: more than 512 'layers'" image
	# Indexes of indexes, each named four times: a few files, but many ways through them.
	echo '{"schemaVersion":2,"manifests":[]}' >index.0
	for i in 0 1 2 3; do
		oci_blob image index.$i application/vnd.oci.image.index.v1+json |
			jq -c '{schemaVersion: 2, manifests: [., ., ., .]}' >index.$((i + 1))
	done
	oci_blob image index.4 application/vnd.oci.image.index.v1+json | oci_index image
	refused "'image': more than 64 indexes" image
	oci_saved saved a.tar
	jq -c '.[0].Layers = ["../a.tar"]' saved/manifest.json >m && cp m saved/manifest.json
	refused "'saved': '../a.tar' leads out of the directory" saved --form oci
	jq -c '.[0].Layers = null' saved/manifest.json >m && cp m saved/manifest.json
	refused "'saved': 0 layers, but digests of 1" saved --form oci
	echo '{}' >saved/manifest.json
	refused "'saved': manifest.json: no array" saved --form oci
}

@test "mkfs: layers of an image that nobody can mean" {
	local long
	long=$(printf 'n%.0s' {1..251})
	layer a.tar .wh...=
	oci_layout image a.tar
	refused "'image, layer 1 of 1': whiteout '.wh...' of what cannot be a name" image
	layer a.tar d/.wh.=
	oci_layout image a.tar
	refused "'image, layer 1 of 1': whiteout 'd/.wh.' of what cannot be a name" image
	layer a.tar .wh..=
	oci_layout image a.tar
	refused "'image, layer 1 of 1': whiteout '.wh..' of what cannot be a name" image
	layer a.tar .wh..wh.plnk=
	oci_layout image a.tar
	refused "'image, layer 1 of 1': whiteout '.wh..wh.plnk' of what cannot be a name" image
	layer a.tar .wh.d/f=
	oci_layout image a.tar
	refused "'image, layer 1 of 1': entry '.wh.d/f' lies below a whiteout" image
	layer a.tar ".wh.$long=" && oci_layout image a.tar
	made image
	layer a.tar f=a
	tar -C layer.d -P -cf a.tar --transform 's,f,../f,' f && oci_layout image a.tar
	refused "'image, layer 1 of 1': entry '../f' leads out of the tree" image
	tar -C layer.d -P -cf a.tar --transform 's,f,../.wh.f,' f && oci_layout image a.tar
	refused "'image, layer 1 of 1': entry '../.wh.f' leads out of the tree" image
	tar -C layer.d -P -cf a.tar --transform 's,f,/etc/f,' f && oci_layout image a.tar
	refused "'image, layer 1 of 1': entry '/etc/f' has an absolute path" image
	# What lies beneath is a link out of the tree; it is not followed.
	layer a.tar 'd->/etc'
	layer b.tar d/f=b && tar -C layer.d -cf b.tar d/f
	oci_layout image a.tar b.tar
	refused "'d' is not a directory, but a source above has entries in it" image
	layer b.tar d/f=b && oci_layout image a.tar b.tar
	made image
	same tree $'d dir\nd/f=b' "$(tree x.img)"
	printf '#mtree\n./gone type=char device=native,0,0 mode=0 uid=0 gid=0 time=1.0\n' | bsdtar --format=pax -cf a.tar @-
	oci_layout image a.tar
	refused "'image, layer 1 of 1': 'gone' is a device 0,0, which no layer of an OCI image may have" image
	mkdir marked && tar --format=posix --pax-option='SCHILY.xattr.trusted.overlay.opaque:=y' -cf a.tar marked
	oci_layout image a.tar
	refused "'image, layer 1 of 1': 'marked' has trusted.overlay.opaque, which no layer of an OCI image may have" image
	layer a.tar.gz f=a && cp a.tar.gz b.tar && gzip -kf b.tar && oci_layout image b.tar.gz
	refused "'image, layer 1 of 1': compressed more than once" image
	echo text >a.tar && oci_layout image a.tar
	refused "'image, layer 1 of 1': not a tar archive" image
	: >a.tar && oci_layout image a.tar
	refused "'image, layer 1 of 1': not a tar archive" image
	layer a.tar f=a && xz a.tar && mv a.tar.xz a.tar && oci_layout image a.tar
	refused "'image, layer 1 of 1': not a tar archive" image
	head -c 300000 /dev/urandom >random && tar -cf a.tar random && gzip -f a.tar && head -c 200000 a.tar.gz >b.tar.gz
	# shellcheck disable=SC2317 # oci_manifest calls it
	oci_unpacked() { :; }
	oci_layout image b.tar.gz
	refused "'image, layer 1 of 1': damaged archive: truncated gzip input" image
}

@test "mkfs: how much the layers of an image may hold" {
	head -c 5000000 /dev/zero >zeros && tar -czf a.tar.gz zeros
	oci_layout image a.tar.gz a.tar.gz
	made image --limit 10001024
	refused "'image, layer 1 of 2': unpacked, the sources hold more than 10001023 bytes; --limit allows more" image --limit 10001023
	refused "'image, layer 2 of 2': unpacked, the sources hold more than 5000511 bytes; --limit allows more" image --limit 5000511
	tar -cf b.tar zeros && { cat b.tar && head -c 3000000 /dev/zero; } >c.tar && gzip c.tar
	oci_layout image c.tar.gz
	refused "'image, layer 1 of 1': unpacks to more than 6291456 bytes; --limit allows more" image --limit 6M
	oci_saved saved b.tar && tar -C saved -czf saved.tar.gz .
	refused "'saved.tar.gz': unpacked, the sources hold more than 1048576 bytes; --limit allows more" saved.tar.gz --limit 1M
}

@test "mkfs: archives of images that are damaged or ambiguous" {
	layer a.tar f=a
	oci_layout image a.tar
	tar -C image -cf twice.tar . && tar -C image -rf twice.tar ./index.json
	refused "'twice.tar': 'index.json' is there twice" twice.tar
	tar -C image -cf cut.tar oci-layout index.json blobs && truncate -s -6000 cut.tar
	run mlimg-mkfs --kind system cut.tar x.img
	same status 3 "$status"
	[ ! -e x.img ]
	tar -C image -P --transform 's,index,../index,' -cf climb.tar oci-layout index.json
	refused "'climb.tar': entry '../index.json' leads out of the tree" climb.tar
	rm image/index.json && truncate -s 8192 image/index.json
	tar -C image --sparse -cf sparse.tar .
	refused "'sparse.tar': 'index.json' is no regular file" sparse.tar
	fails 3 "mlimg-mkfs: 'standard input': not a tar archive" mlimg-mkfs --kind system --name x --form oci - x.img <<<text
	fails 3 "mlimg-mkfs: 'standard input': not a tar archive" mlimg-mkfs --kind system --name x --form oci - x.img </dev/null
}

@test "mkfs: a container image beneath and above other sources" {
	layer a.tar etc/a=1 etc/b=1
	layer b.tar etc/.wh.a=
	oci_layout image a.tar b.tar
	mkdir -p top/etc bottom/etc && echo top >top/etc/b && echo bottom | tee bottom/etc/a bottom/etc/c >/dev/null
	works mlimg-mkfs --quiet --kind system --name x bottom image top x.img
	same tree $'etc dir\netc/b=top\netc/c=bottom' "$(tree x.img)"
}
