#!/usr/bin/env bats
# The demo checks its own claims; here, that it came to its end and that its summary says so.
# lasts 150

load ../lib/common

@test "demo: runs to its end, and the summary has what it promises" {
	local word mounts
	mounts=$(grep -E ' - (proc|sysfs) ' /proc/self/mountinfo)
	run "$MLIMG_TOP/tests/demo/run"
	echo "$output"
	[ "$status" -eq 0 ]
	same "this machine's own proc and sysfs" "$mounts" "$(grep -E ' - (proc|sysfs) ' /proc/self/mountinfo)"
	summary=$MLIMG_TOP/build/demo/summary.txt
	same "the summary at the end" "$(cat "$summary")" "$(tail -n "$(wc -l <"$summary")" <<<"$output")"
	for word in 'two Debian system trees' 'nginx over v1' 'layer images in a store' 'the plan' 'two tenants on v1' 'two tenants on v2' \
		'^  v1 ' '^  v2 ' '^  shared: ' '^  two monolithic images' 'Nothing was lost\.$'; do
		grep -q -- "$word" "$summary" || {
			echo "the summary has no '$word'" >&2
			return 1
		}
	done
	# Shared images must take less than two monolithic ones.
	awk '/^  shared: / { shared = $NF } /^  two monolithic/ { two = $NF } END { exit !(shared > 0 && shared < two) }' "$summary"
}
