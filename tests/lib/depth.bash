# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the benchmarks depth and depth-guest share: the images, the tables, the plot. Sourced after lib.bash. The tree and the operations are fsprobe's, the
# unions depth-probe's. $rounds is the benchmark's.
# shellcheck disable=SC2154

files=$(pick 20000 400) count=$(pick 5000 200)
read -ra depths <<<"$(pick '1 4 16 64' '1 4')"
unions='flat index index+upper overlay-ext4 overlay-erofs'

# depth_title TITLE TEXT…
depth_title() {
	local title=$1
	shift
	bench_title "$title" "$@" \
		"A tree of $files small files, 50 in a directory, is spread at random over 1 to ${depths[-1]} layers; every layer has every directory, and the merged tree
is the same at each depth. Microseconds for one operation, each done $count times at most, in random order; rounds: $rounds. *Cold* is on file systems that
have just been mounted, whose images are in the memory of who provides the device; *warm* is the same once more.

- **flat**: one ext4 image of the whole tree, made by mke2fs
- **index**: the layers' ext4 images beneath what mlimg-index made of them
- **index+upper**: overlayfs over that, with an empty upper, as a guest mounts it
- **overlay-ext4**: overlayfs over each layer's ext4 image, with an empty upper
- **overlay-erofs**: the same over EROFS images of the layers, made by mkfs.erofs" \
		"A *missing* name is one that no layer has; *list* reads a directory to its end; *read* opens a file of 4 KiB on average, reads it and closes it."
}

# depth_make NAME COMMAND…: an image, which is put behind the others in the file `all`; the table tells where.
depth_make() {
	local at
	at=$(stat -c %s all)
	"${@:2}" >/dev/null
	printf '%s %s %s\n' "$1" "$at" "$(stat -c %s "$1")" >>table
	dd if="$1" of=all bs=1M oflag=seek_bytes seek="$at" conv=sparse,notrunc status=none
	truncate -s $((at + ($(stat -c %s "$1") + 1048575) / 1048576 * 1048576)) all
}

# depth_layer DEPTH I: one layer, as ext4 and as EROFS.
depth_layer() {
	local kind=software
	[ "$2" -gt 0 ] || kind=system
	mkdir tree
	fsprobe tree tree "$files" "$1" "$2"
	depth_make "ext4-$1-$2" mlimg-mkfs --quiet --kind $kind --name "layer$2" --version 1 tree "ext4-$1-$2"
	depth_make "erofs-$1-$2" mkfs.erofs --quiet "erofs-$1-$2" tree
	rm -r tree "erofs-$1-$2"
}

# depth_images: all images, in the file `all`.
depth_images() {
	local depth i
	: >all
	: >table
	mkdir -p flat.tree up/upper up/work
	fsprobe tree flat.tree "$files" 1 0
	depth_make flat mke2fs -q -t ext4 -b 4096 -m 0 -d flat.tree flat $(($(du -sk flat.tree | cut -f 1) * 13 / 10 + 16384))k
	depth_make upper mke2fs -q -t ext4 -b 4096 -d up upper 64M
	rm -r flat.tree up flat upper
	for depth in "${depths[@]}"; do
		for ((i = 0; i < depth; i++)); do
			depth_layer "$depth" "$i"
		done
		# shellcheck disable=SC2046 # names without blanks
		depth_make "index-$depth" mlimg-index --quiet -o "index-$depth" $(seq -f "ext4-$depth-%g" 0 $((depth - 1)))
		rm "ext4-$depth-"* "index-$depth"
	done
	sync all # writing back would disturb what is measured
}

# depth_medians RESULTS: lines "UNION DEPTH OPERATION COLD WARM", medians in microseconds.
depth_medians() {
	sort -t $'\t' -k 1,3 "$1" | awk -F '\t' '
		function median(list, n, i, j, x) {
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && list[j] < list[j - 1]; j--) { x = list[j]; list[j] = list[j - 1]; list[j - 1] = x }
			return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
		}
		function put() { if (n) printf "%s %.2f %.2f\n", last, median(cold, n) / 1000, median(warm, n) / 1000; n = 0 }
		{ key = $1 " " $2 " " $3; if (key != last) { put(); last = key } cold[++n] = $5; warm[n] = $6 }
		END { put() }'
}

# depth_value MEDIANS UNION DEPTH OPERATION COLD-OR-WARM
depth_value() {
	awk -v key="$2 $3 $4" -v column="$([ "$5" = cold ] && echo 4 || echo 5)" '$1 " " $2 " " $3 == key { print $column; found = 1 }
		END { exit !found }' "$1"
}

# depth_table MEDIANS OPERATION COLD-OR-WARM: a row for each union.
depth_table() {
	local union depth first
	printf '\n| %s, %s | %s | last / first |\n| --- |%s --: |\n' "$2" "$3" "$(printf '%s | ' "${depths[@]}" | sed 's/ | $//')" \
		"$(printf ' --: |%.0s' "${depths[@]}")"
	for union in $unions; do
		first=$(depth_value "$1" "$union" 1 "$2" "$3")
		printf '| %s | %s ' "$union" "$first"
		for depth in "${depths[@]:1}"; do
			[ "$union" != flat ] || { printf '| ' && continue; }
			printf '| %s ' "$(depth_value "$1" "$union" "$depth" "$2" "$3")"
		done
		[ "$union" != flat ] || { printf '| |\n' && continue; }
		awk -v a="$(depth_value "$1" "$union" "${depths[-1]}" "$2" "$3")" -v b="$first" 'BEGIN { printf "| %.2f |\n", a / b }'
	done
}

# depth_goals MEDIANS
depth_goals() {
	local operation last
	for operation in stat missing list read; do
		last=$(depth_value "$1" index "${depths[-1]}" "$operation" cold)
		bench_goal "cold $operation, index over ${depths[-1]} layers, of the index over 1" \
			"$(awk -v a="$last" -v b="$(depth_value "$1" index 1 "$operation" cold)" 'BEGIN { printf "%.2f", a / b }')" 1.1
		bench_goal "cold $operation, index over ${depths[-1]} layers, of flat ext4" \
			"$(awk -v a="$last" -v b="$(depth_value "$1" flat 1 "$operation" cold)" 'BEGIN { printf "%.2f", a / b }')" 1
	done
}

# depth_plot MEDIANS NAME TITLE: NAME.svg and NAME.png, cold operations over depth.
depth_plot() {
	local format
	for format in "svg size 1120,330 dynamic background 'white' font 'sans-serif,12'" "png size 1680,500 font ',13'"; do
		gnuplot <<-END
			set terminal $format
			set output '$2.${format%% *}'
			set multiplot layout 1,4 title '$3'
			set logscale x 2
			set logscale y
			set xtics nomirror ($(printf '%s,' "${depths[@]}" | sed 's/,$//'))
			set ytics nomirror
			set border 3
			set grid y
			set format y '%g'
			set xlabel 'layers'
			set ylabel 'µs'
			set key left top samplen 1.5
			at(union, operation) = sprintf("<awk '\$1 == \"%s\" && \$3 == \"%s\" { print \$2, \$4 }' $1 | sort -n", union, operation)
			do for [operation in "stat missing list read"] {
				set title operation
				stats at('flat', operation) using 2 nooutput name 'flat'
				plot at('overlay-ext4', operation) with linespoints lw 2 pt 7 lc rgb '#d55e00' title 'overlayfs over ext4', \\
					at('overlay-erofs', operation) with linespoints lw 2 pt 5 lc rgb '#e69f00' title 'overlayfs over EROFS', \\
					at('index+upper', operation) with linespoints lw 2 pt 9 lc rgb '#56b4e9' title 'index + upper', \\
					at('index', operation) with linespoints lw 2 pt 11 lc rgb '#0072b2' title 'index', \\
					flat_median lw 1 dt 2 lc rgb '#000000' title 'one flat ext4'
				unset key
				unset ylabel
			}
		END
	done
}

# depth_report RESULTS NAME TITLE
depth_report() {
	local operation
	depth_medians "$1" >medians
	for operation in stat missing list read; do
		depth_table medians "$operation" cold
	done
	for operation in stat missing list read; do
		depth_table medians "$operation" warm
	done
	depth_goals medians
	depth_plot medians "$2" "$3"
}
