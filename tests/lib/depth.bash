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
have just been mounted, whose images are in the memory of who provides the device; *warm* is the same once more. Figures are medians; *last / first* and the
goals are medians of each round's ratio.

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

# depth_ratio RESULTS UNION DEPTH OPERATION COLD-OR-WARM UNION DEPTH: of the first to the second, the median of the rounds' own ratios. What else the machine
# does changes from round to round more than what is compared differs.
depth_ratio() {
	awk -F '\t' -v key="$2 $3 $4" -v reference="$6 $7 $4" -v column="$([ "$5" = cold ] && echo 5 || echo 6)" '
		{ k = $1 " " $2 " " $3 }
		k == key { value[$4] = $column }
		k == reference { of[$4] = $column }
		END { for (i in value) print value[i] / of[i] }' "$1" | sort -g | awk '
		{ ratio[NR] = $1 }
		END { printf "%.2f\n", NR % 2 ? ratio[(NR + 1) / 2] : (ratio[NR / 2] + ratio[NR / 2 + 1]) / 2 }'
}

# depth_table RESULTS MEDIANS OPERATION COLD-OR-WARM: a row for each union.
depth_table() {
	local union depth
	printf '\n| %s, %s | %s | last / first |\n| --- |%s --: |\n' "$3" "$4" "$(printf '%s | ' "${depths[@]}" | sed 's/ | $//')" \
		"$(printf ' --: |%.0s' "${depths[@]}")"
	for union in $unions; do
		printf '| %s ' "$union"
		for depth in "${depths[@]}"; do
			# There is one flat image, however many layers there are elsewhere.
			if [ "$union" = flat ] && [ "$depth" -gt 1 ]; then
				printf '| '
			else
				printf '| %s ' "$(depth_value "$2" "$union" "$depth" "$3" "$4")"
			fi
		done
		[ "$union" != flat ] || { printf '| |\n' && continue; }
		printf '| %s |\n' "$(depth_ratio "$1" "$union" "${depths[-1]}" "$3" "$4" "$union" 1)"
	done
}

# depth_goals RESULTS
depth_goals() {
	local operation
	for operation in stat missing list read; do
		bench_goal "cold $operation, index over ${depths[-1]} layers, of the index over 1" \
			"$(depth_ratio "$1" index "${depths[-1]}" "$operation" cold index 1)" 1.1
		bench_goal "cold $operation, index over ${depths[-1]} layers, of flat ext4" \
			"$(depth_ratio "$1" index "${depths[-1]}" "$operation" cold flat 1)" 1
	done
}

# depth_plot MEDIANS NAME TITLE: NAME.svg and NAME.png, cold operations over depth.
depth_plot() {
	local format
	for format in "svg size 1120,330 dynamic background 'white' font 'sans-serif,12'" "png size 1680,500 font ',13'"; do
		gnuplot <<-END
			set terminal $format
			set output '$2.${format%% *}'
			set multiplot layout 1,4 title '$3' margins 0.05,0.99,0.26,0.83 spacing 0.045
			set logscale x 2
			set logscale y
			set xtics nomirror ($(printf '%s,' "${depths[@]}" | sed 's/,$//'))
			set ytics nomirror
			set border 3
			set grid y
			set format y '%g'
			set xlabel 'layers'
			set ylabel 'µs'
			set xrange [0.9:1.1 * ${depths[-1]}]
			unset key
			# gnuplot lays no key of one plot beneath four.
			set label 1 'overlayfs over ext4' at screen 0.12,0.05 point pt 7 lc rgb '#d55e00' offset 1
			set label 2 'overlayfs over EROFS' at screen 0.30,0.05 point pt 5 lc rgb '#e69f00' offset 1
			set label 3 'index + upper' at screen 0.49,0.05 point pt 9 lc rgb '#56b4e9' offset 1
			set label 4 'index' at screen 0.63,0.05 point pt 11 lc rgb '#0072b2' offset 1
			set label 5 'one flat ext4: the line without points' at screen 0.72,0.05
			at(union, operation) = sprintf("<awk '\$1 == \"%s\" && \$3 == \"%s\" { print \$2, \$4 }' $1 | sort -n", union, operation)
			do for [operation in "stat missing list read"] {
				set title operation
				stats at('flat', operation) using 2 nooutput name 'flat'
				plot at('overlay-ext4', operation) with linespoints lw 2 pt 7 lc rgb '#d55e00', \\
					at('overlay-erofs', operation) with linespoints lw 2 pt 5 lc rgb '#e69f00', \\
					at('index+upper', operation) with linespoints lw 2 pt 9 lc rgb '#56b4e9', \\
					at('index', operation) with linespoints lw 2 pt 11 lc rgb '#0072b2', \\
					flat_median lw 1 dt 2 lc rgb '#000000'
				unset ylabel
				unset for [i = 1:5] label i
			}
		END
	done
}

# depth_report RESULTS NAME TITLE
depth_report() {
	local operation
	depth_medians "$1" >medians
	for operation in stat missing list read; do
		depth_table "$1" medians "$operation" cold
	done
	for operation in stat missing list read; do
		depth_table "$1" medians "$operation" warm
	done
	depth_goals "$1"
	depth_plot medians "$2" "$3"
}
