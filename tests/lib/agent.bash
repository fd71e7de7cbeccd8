# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# For tests of mlimg-agent over directories in place of mounted layers: $RUN is its --root, $USER_DIR the user layer's in there.

# commit: what `mlimg-agent prepare` has prepared.
commit() {
	works mlimg-agent commit --root "$RUN"
}

# boot FILTER: out of boot.json
boot() {
	jq -rc "$1" "$RUN/boot.json"
}

# state FILTER: out of the user layer's state
state() {
	jq -rc "$1" "$USER_DIR/mlimg/state.json"
}
