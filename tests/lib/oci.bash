# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Container images made by hand, so that each part of one can be wrong.

# oci_blob LAYOUT FILE MEDIATYPE: puts a copy of the file among the blobs and prints its descriptor.
oci_blob() {
	local digest
	digest=$(sha256sum "$2" | cut -c1-64)
	mkdir -p "$1/blobs/sha256"
	cp "$2" "$1/blobs/sha256/$digest"
	jq -nc --arg type "$3" --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$2")" \
		'{mediaType: $type, digest: $digest, size: $size}'
}

# oci_unpacked FILE: what is in it, unpacked
oci_unpacked() {
	case $1 in
		*.gz) gzip -dc "$1" ;;
		*.zst) zstd -qdc "$1" ;;
		*) cat "$1" ;;
	esac
}

# oci_layer_type FILE: its media type
oci_layer_type() {
	case $1 in
		*.gz) echo application/vnd.oci.image.layer.v1.tar+gzip ;;
		*.zst) echo application/vnd.oci.image.layer.v1.tar+zstd ;;
		*) echo application/vnd.oci.image.layer.v1.tar ;;
	esac
}

# oci_manifest LAYOUT LAYER…: an image of these tars, bottom first; prints its descriptor. OCI_ARCH is its architecture.
oci_manifest() {
	local layout=$1 layer layers='' diff_ids='' config arch=${OCI_ARCH:-amd64}
	shift
	for layer; do
		layers+=$(oci_blob "$layout" "$layer" "$(oci_layer_type "$layer")")$'\n' || return
		diff_ids+=sha256:$(oci_unpacked "$layer" | sha256sum | cut -c1-64)$'\n'
	done
	printf %s "$diff_ids" | jq -Rnc --arg arch "$arch" \
		'{os: "linux", architecture: $arch, config: {}, rootfs: {type: "layers", diff_ids: [inputs]}}' >oci.config
	config=$(oci_blob "$layout" oci.config application/vnd.oci.image.config.v1+json)
	printf %s "$layers" | jq -nc --argjson config "$config" \
		'{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [inputs]}' >oci.manifest
	oci_blob "$layout" oci.manifest application/vnd.oci.image.manifest.v1+json
	rm oci.config oci.manifest
}

# oci_index LAYOUT: index.json of the descriptors on stdin
oci_index() {
	mkdir -p "$1/blobs/sha256"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
	jq -sc '{schemaVersion: 2, manifests: .}' >"$1/index.json"
}

# oci_layout LAYOUT LAYER…: a new layout with one image
oci_layout() {
	rm -rf "$1"
	oci_manifest "$@" | oci_index "$1"
}

# oci_saved DIR LAYER…: what `docker save` writes of an image of these uncompressed tars, as a directory
oci_saved() {
	local dir=$1 layer id layers='' diff_ids='' config
	shift
	rm -rf "$dir"
	for layer; do
		id=$(sha256sum "$layer" | cut -c1-64)
		mkdir -p "$dir/$id"
		cp "$layer" "$dir/$id/layer.tar"
		layers+=$id/layer.tar$'\n' diff_ids+=sha256:$id$'\n'
	done
	printf %s "$diff_ids" | jq -Rnc '{os: "linux", architecture: "amd64", rootfs: {type: "layers", diff_ids: [inputs]}}' >"$dir/config"
	config=$(sha256sum "$dir/config" | cut -c1-64).json
	mv "$dir/config" "$dir/$config"
	printf %s "$layers" | jq -Rnc --arg config "$config" '[{Config: $config, RepoTags: ["some/image:1"], Layers: [inputs]}]' >"$dir/manifest.json"
}
