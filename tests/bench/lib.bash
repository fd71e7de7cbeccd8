# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Sourced by every benchmark tests/bench/NAME, which tests/bench/run has started in an empty directory. A benchmark makes what it works on,
# times commands with bench_time and shows tables. What is printed and kept is Markdown.
#
# Sizes: BENCH_SIZE=full is what figures are quoted from; small takes seconds and shows only that the benchmark works.

set -eu -o pipefail

# pick FULL SMALL: prints the one for BENCH_SIZE.
pick() {
	if [ "$BENCH_SIZE" = full ]; then echo "$1"; else echo "$2"; fi
}

# bench_title TITLE TEXT…: a heading and paragraphs.
bench_title() {
	printf '# %s\n' "$1"
	shift
	printf '\n%s\n' "$@"
	[ "$BENCH_SIZE" = full ] || printf '\nSmall size: the figures mean nothing.\n'
}

# bench_machine PACKAGE…: what it is measured on; versions of the packages that matter.
bench_machine() {
	local package
	printf '\nMeasured on: %s, %s cores, %s of memory; Linux %s; %s%s.\n' \
		"$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$(awk '$1 == "MemTotal:" { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" "$(uname -r | sed 's/-.*//')" \
		"$(findmnt -no FSTYPE -T .)" "$(grep -qw hypervisor /proc/cpuinfo && echo ', in a virtual machine')"
	[ $# -eq 0 ] || printf 'With %s.\n' "$(for package; do dpkg-query -W -f '${Package} ${Version}\n' "$package"; done | paste -sd, | sed 's/,/, /g')"
}

# bench_tree OPTION…: prints the path of a tree made by benchtree (tests/lib/benchtree.c) with these options. Trees are made once and kept,
# since making a large one takes longer than what is measured on it.
bench_tree() {
	local path
	path=$BENCH_TREES/$(printf %s "$*" | tr -c a-z0-9- _)
	if [ ! -d "$path" ]; then
		mkdir -p "$BENCH_TREES"
		rm -rf "$path.part"
		benchtree "$@" "$path.part"
		mv "$path.part" "$path"
		sync # what lies on disk already does not disturb what is measured next
	fi
	echo "$path"
}

# bench_usr_tree: the tree most benchmarks work on, in size and shape like the /usr of a server.
bench_usr_tree() {
	if [ "$BENCH_SIZE" = full ]; then
		bench_tree -f 30000 -b 840000000 -d 4500 -l 3000
	else
		bench_tree -f 300 -b 3000000 -d 45 -l 30
	fi
}

# bench_tree_text PATH: says what is in it.
bench_tree_text() {
	find "$1" -printf '%y %s\n' | awk '
		{ n++ } $1 == "f" { files++; bytes += $2 }
		END { printf "%d entries, among them %d regular files of %.1f MB\n", n, files, bytes / 1e6 }'
}

# bench_read PATH…: into the page cache.
bench_read() {
	tar cf - "$@" 2>/dev/null | cat >/dev/null
}

# bench_time ROUNDS [--prepare COMMAND] NAME COMMAND [NAME COMMAND]…
# Runs each COMMAND (a line for sh) once a round, the commands of one round one after the other, so that what slows the machine for a while slows
# all of them; one more round before, which is not counted. --prepare runs before each, unmeasured. Leaves NAME's times in times/NAME.json in
# hyperfine's form, all runs merged.
bench_time() {
	local rounds=$1 prepare=: round i list
	shift
	if [ "$1" = --prepare ]; then
		prepare=$2
		shift 2
	fi
	mkdir -p times
	for ((round = 0; round <= rounds; round++)); do
		list=("$@")
		for ((i = 0; i < ${#list[@]}; i += 2)); do
			[ -z "${BENCH_TRACE:-}" ] || echo "round $round: ${list[i]}" >&2
			bench_once "times/${list[i]}" "$round" "$prepare" "${list[i + 1]}"
		done
	done
}

# One run, appended to FILE.runs unless it is round 0; then FILE.json is made of them.
bench_once() {
	local file=$1 round=$2 prepare=$3 command=$4
	hyperfine --style none --runs 1 --prepare "$prepare" --export-json run.json "$command" >hyperfine.log 2>&1 || {
		cat hyperfine.log >&2
		echo "bench: this failed: $command" >&2
		return 1
	}
	if [ "$round" -eq 0 ]; then
		rm -f "$file.runs"
		return
	fi
	jq -c '.results[0] | {time: .times[0], user, system}' run.json >>"$file.runs"
	jq -s '{times: map(.time), user: (map(.user) | sort | .[length / 2 | floor]), system: (map(.system) | sort | .[length / 2 | floor])} |
		.median = (.times | sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end) |
		.min = (.times | min) | .max = (.times | max)' "$file.runs" >"$file.json"
}

# bench_median NAME: seconds.
bench_median() {
	jq .median "times/$1.json"
}

# bench_ratio NAME REFERENCE: of the medians, two digits behind the point.
bench_ratio() {
	awk -v a="$(bench_median "$1")" -v b="$(bench_median "$2")" 'BEGIN { printf "%.2f\n", a / b }'
}

# bench_table REFERENCE NAME…: a table of what bench_time left, with ratios to REFERENCE.
bench_table() {
	local reference=$1 name
	shift
	printf '\n| | median | least | most | user | system | of %s |\n| --- | --: | --: | --: | --: | --: | --: |\n' "$reference"
	for name; do
		jq -r --arg name "$name" --arg ratio "$(bench_ratio "$name" "$reference")" '
			def s: (. * 1000 | round) / 1000 | tostring;
			"| \($name) | \(.median | s) s | \(.min | s) | \(.max | s) | \(.user | s) | \(.system | s) | \($ratio) |"' "times/$name.json"
	done
}

# bench_goal TEXT VALUE LIMIT: says whether a value is at most LIMIT. Never fails: a machine may be busy.
bench_goal() {
	awk -v text="$1" -v value="$2" -v limit="$3" 'BEGIN {
		printf "\nGoal: %s at most %s. Measured: %s, %s.\n", text, limit, value, value + 0 <= limit + 0 ? "reached" : "missed" }'
}

# bench_memory COMMAND…: runs it, prints the most memory it took, in KiB.
bench_memory() {
	/usr/bin/time -f %M -o memory.txt "$@" >&2
	cat memory.txt
}
