# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2154 # works sets output
# For tests of what takes changes back, over directories in place of mounted layers. Sourced after common and mlimg.

# undo_setup: files in the layers; END is what is said last where something waits.
undo_setup() {
	mlimg_setup
	mkdir -p "$DIR/system"/{etc/conf.d,usr/bin,usr/share/doc/deep,var/lib/dpkg} "$DIR/software/etc"
	seq -f 'line %g' 9 >"$DIR/system/etc/conf"
	seq -f 'line %g' 9 >"$DIR/system/etc/touching"
	echo hosts >"$DIR/system/etc/hosts"
	echo hosts of nginx >"$DIR/software/etc/hosts"
	echo part >"$DIR/system/etc/conf.d/part"
	echo tool >"$DIR/system/usr/bin/tool"
	echo doc >"$DIR/system/usr/share/doc/doc"
	echo deep >"$DIR/system/usr/share/doc/deep/deep"
	echo root:x:0:0::/root:/bin/sh >"$DIR/system/etc/passwd"
	find "$DIR/system" "$DIR/software" -exec touch -h -d @1600000000 {} +
	# shellcheck disable=SC2034 # for the tests
	END="Until then nothing changes there: 'mlimg queue' shows what waits, and takes it back."
}

# queued TEXT: what waits, as mlimg queue tells it.
queued() {
	works "${MLIMG[@]}" queue
	same "queue" "$1" "$output"
}
