#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The command lines of mlimg and mlimg-agent: each command, and each option of each, is the same in the program, in its help, in the manual page and in the completion.

load ../lib/common

# What only mlimg's own parts say: it is in the manual page's list of options, and nowhere else.
INTERNAL='profile --begin'

setup() {
	AGENT=$MLIMG_TOP/guest-agent
	cd "$BATS_TEST_TMPDIR"
}

# options_of FILE…: all that the program knows, out of its tables.
options_of() {
	grep -ohE '\{"[a-z-]+", (no|required)_argument' "$@" | sed 's/^{"/--/; s/",.*//' | sort -u | grep -vxE -- '--(help|version)'
}

# completes PROGRAM WORD…: what is offered for the last word; nothing is a file here.
completes() {
	local COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	# shellcheck source=/dev/null
	. "$AGENT/completion/$1"
	"_${1//-/_}"
	printf '%s\n' "${COMPREPLY[@]}"
}

# long: options without those that are letters, those that all have, and those that nobody but mlimg says; sorted.
long() {
	grep -vE -- ' (-.|--help|--version)$' | grep -vxF "$INTERNAL" | LC_ALL=C sort -u
}

# --- mlimg ---

commands() {
	sed -n 's/^\t{"\([a-z-]*\)", mlimg_cmd_.*/\1/p' "$AGENT/mlimg.c"
}

# takes: "COMMAND OPTION" of all that the program does not refuse.
takes() {
	local command option operand said
	for command in $(commands); do
		operand=()
		[[ $(mlimg --root none "$command" 2>&1) != *"'$command' needs a "* ]] || operand=(x)
		for option in $(options_of "$AGENT/mlimg.c"); do
			said=$(mlimg --root none --merged none "$command" "${operand[@]}" "$option" 2>&1) || true
			[[ $said != *"option '$option' needs "* ]] || said=$(mlimg --root none --merged none "$command" "${operand[@]}" "$option" 1 2>&1) || true
			[[ $said == *"option '$option' is not for '$command'"* ]] || echo "$command $option"
		done
	done
}

# Options behind the commands that are named before a colon; behind all of them where none is.
help_takes() {
	mlimg --help | awk -v all="$(commands | xargs)" '
		/^Options:/ { is_in = 1; next }
		/^$/ { is_in = 0 }
		is_in && match($0, /--[a-z-]+/) && RSTART < 8 { option = substr($0, RSTART, RLENGTH) }
		is_in { text[option] = text[option] " " $0 }
		END {
			n = split(all, names, " ")
			for (i = 1; i <= n; i++) known[names[i]] = 1
			for (option in text) {
				found = 0
				rest = text[option]
				while (match(rest, /[a-z-]+(, [a-z-]+)*:/)) {
					m = split(substr(rest, RSTART, RLENGTH - 1), of, ", ")
					for (i = 1; i <= m; i++) if (of[i] in known) { print of[i], option; found = 1 }
					rest = substr(rest, RSTART + RLENGTH)
				}
				if (!found) for (i = 1; i <= n; i++) print names[i], option
			}
		}'
}

# The same of the list in the manual page.
page_takes() {
	awk -v all="$(commands | xargs)" '
		function end() { if (option && !found) for (i = 1; i <= n; i++) print names[i], option }
		BEGIN { n = split(all, names, " ") }
		/^\.Sh/ { end(); option = ""; is_in = $2 == "OPTIONS" }
		is_in && /^\.It Fl/ { end(); option = "-" $NF; for (i = NF; i > 2; i--) if ($i ~ /^-/) option = "-" $i; found = 0 }
		is_in && /^\.Cm .*:$/ { for (i = 2; i < NF; i++) if ($i ~ /^[a-z]/) { print $i, option; found = 1 } }
		' "$AGENT/mlimg.1"
}

# And of its synopsis, which leaves out what all take but --json.
synopsis_takes() {
	local command option line
	mandoc -T ascii -O width=1000 "$AGENT/mlimg.1" | col -bx | sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' | grep '^ ' | while read -r line; do
		for command in $(commands); do [[ " $line " != *" $command "* ]] || break; done
		grep -oE -- '(^|[[ ])--?[a-z-]+' <<<"$line" | tr -d ' [' | sed 's/^-u$/--text/; s/^-r$/--recursive/; s/^/'"$command"' /'
	done
}

completion_takes() {
	local command
	for command in $(commands); do completes mlimg "$command" - | sed "s/^/$command /"; done
}

@test "mlimg: the same commands everywhere" {
	local all
	all=$(commands | sort)
	[ "$(wc -l <<<"$all")" -gt 10 ]
	same "help" "$all" "$(mlimg --help | sed -n '/^Commands/,/^Options/s/^  \([a-z][a-z-]*\) .*/\1/p' | sort)"
	same "synopsis" "$all" "$(awk '/^\.Sh/ { is_in = $2 == "SYNOPSIS" } is_in && /^\.Cm/ { print $2 }' "$AGENT/mlimg.1" | sort)"
	same "description" "$all" "$(awk '/^\.Sh/ { is_in = $2 == "DESCRIPTION" } is_in && /^\.It Cm/ { print $3 }' "$AGENT/mlimg.1" | sort)"
	same "completion" "$all" "$(completes mlimg '' | sort)"
}

@test "mlimg: the same options of each command everywhere" {
	local all
	all=$(takes | long)
	[ "$(wc -l <<<"$all")" -gt 40 ]
	same "help" "$all" "$(help_takes | long)"
	same "manual page" "$all" "$(page_takes | long)"
	same "synopsis" "$(grep -vE -- '--(root|merged)$' <<<"$all")" "$(synopsis_takes | long)"
	same "completion" "$all" "$(completion_takes | long)"
	page_takes | grep -xF "$INTERNAL"
}

@test "mlimg: letters stand for the same options everywhere, and values are completed" {
	local all='-h --help
-r --recursive
-u --text'
	same "help" "$all" "$(mlimg --help | sed -n 's/^  \(-[a-z]\), \(--[a-z]*\).*/\1 \2/p' | sort)"
	same "manual page" "$all" "$(sed -n 's/^\.It Fl \([a-z]\) , \(-[a-z-]*\)$/-\1 -\2/p' "$AGENT/mlimg.1" | sort)"
	same "ways" "mine theirs merged" "$(completes mlimg resolve --keep '' | xargs)"
	same "a number" "" "$(completes mlimg du --depth '')"
}

# --- mlimg-agent ---

calls() {
	sed -n 's/^\t{"\([a-z-]*\)", mlimg_call_.*/\1/p' "$AGENT/mlimg-agent.c"
}

# agent_takes: "CALL OPTION" of all that the program knows: what is unknown is told before what follows.
agent_takes() {
	local call option options
	options=$(find "$AGENT" -name '*.c' -not -name mlimg.c -print0 | xargs -0 cat | options_of)
	for call in $(calls); do
		for option in $options; do
			[[ $(mlimg-agent "$call" "$option" x --dance 2>&1) == *"unknown option '$option'"* ]] || echo "$call $option"
		done
	done
}

agent_help_takes() {
	mlimg-agent --help | awk '/^[a-z][a-z-]*  / { call = $1 } /^$/ { if (call) exit }
		call && /^  -/ { for (i = 1; i <= NF && $i !~ /^[a-z]/; i++) if ($i ~ /^--/) { sub(",$", "", $i); print call, $i } }'
}

agent_page_takes() {
	awk '/^\.Sh/ { is_in = $2 == "DESCRIPTION" } is_in && /^\.It Cm/ { call = $3 }
		is_in && call && /^\.It Fl/ { for (i = 2; i < NF; i++) if ($i == "Fl") print call, "-" $(i + 1) }' "$AGENT/mlimg-agent.8"
}

# The synopsis has some of those of prepare only.
agent_synopsis_takes() {
	awk '/^\.Sh/ { is_in = $2 == "SYNOPSIS" } is_in && /^\.Cm/ { call = $2 }
		is_in && call && call != "prepare" { for (i = 1; i < NF; i++) if ($i ~ /^\.?Fl$/) print call, "-" $(i + 1) }' "$AGENT/mlimg-agent.8"
}

agent_completion_takes() {
	local call
	for call in $(calls); do completes mlimg-agent "$call" -- | sed "s/^/$call /"; done
}

@test "mlimg-agent: the same calls everywhere" {
	local all
	all=$(calls | sort)
	[ "$(wc -l <<<"$all")" -gt 10 ]
	same "help" "$all" "$(mlimg-agent --help | sed -n 's/^\([a-z][a-z-]*\)  .*/\1/p' | sort)"
	same "usage" "$all" "$(mlimg-agent --help | sed -n 's/^\(Usage:\|      \) mlimg-agent \([a-z-]*\).*/\2/p' | sort)"
	same "synopsis" "$all" "$(awk '/^\.Sh/ { is_in = $2 == "SYNOPSIS" } is_in && /^\.Cm/ { print $2 }' "$AGENT/mlimg-agent.8" | sort)"
	same "description" "$all" "$(awk '/^\.Sh/ { is_in = $2 == "DESCRIPTION" } is_in && /^\.It Cm/ { print $3 }' "$AGENT/mlimg-agent.8" | sort)"
	same "PROTOCOL.md" "$all" "$(sed -n 's/^| `mlimg-agent \([a-z-]*\).*/\1/p' "$AGENT/PROTOCOL.md" | sort)"
	same "completion" "$all" "$(completes mlimg-agent '' | grep -v '^-' | sort)"
}

@test "mlimg-agent: the same options of each call everywhere" {
	local all
	all=$(agent_takes | long)
	[ "$(wc -l <<<"$all")" -gt 30 ]
	same "help" "$all" "$(agent_help_takes | long)"
	same "manual page" "$all" "$(agent_page_takes | long)"
	same "synopsis" "$(grep -v '^prepare ' <<<"$all")" "$(agent_synopsis_takes | long)"
	same "completion" "$all" "$(agent_completion_takes | long)"
}
