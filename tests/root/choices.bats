#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Groups of the real update-alternatives of which the system drops what it had in them.
load ../lib/common
load ../lib/agent
load ../lib/stacks

setup() {
	need root
	need command update-alternatives
	stacks_setup
	mkdir -p "$DIR"/v{1,2}/{etc/alternatives,var/lib/dpkg/alternatives,var/log}
	echo theirs >"$DIR/v1/usr/bin/theirs"
	echo ours | tee "$DIR/v1/usr/bin/ours" >"$DIR/v2/usr/bin/ours"
	alternatives "$DIR/v1" --install /usr/bin/command command /usr/bin/theirs 9
	layers
}

# alternatives ROOT ARGUMENT…
alternatives() {
	works update-alternatives --root "$1" --log /dev/null "${@:2}"
}

# group VERSION: what the user's command is, and how it was chosen
group() {
	# shellcheck disable=SC2016 # for the shell in there
	in_guest "$1" sh -c 'readlink usr/bin/command etc/alternatives/command; head -1 var/lib/dpkg/alternatives/command; cat "usr/bin/$(basename "$(readlink etc/alternatives/command)")"'
	xargs <<<"$output"
}

@test "a command is there as long as a choice of the user's is, and a choice that is gone is left" {
	local how
	for how in auto manual chosen; do
		user_anew
		on v1
		in_guest v1 update-alternatives --root . --log /dev/null --install /usr/bin/command command /usr/bin/ours 5
		[ $how = auto ] || in_guest v1 update-alternatives --root . --log /dev/null --set command \
			"/usr/bin/$([ $how = manual ] && echo ours || echo theirs)"
		on v2
		same "on v2 ($how)" "/etc/alternatives/command /usr/bin/ours $([ $how = manual ] && echo manual || echo auto) ours" "$(group v2)"
		same "told ($how)" "$([ $how != chosen ] || echo '/usr/bin/theirs, chosen here, is there no more; the choice is automatic again')" \
			"$(jq -r '.databases[]?.text' "$USER_DIR/mlimg/reports/2.json")"
		in_guest v2 update-alternatives --root . --log /dev/null --display command
		on v1
		same "back ($how)" "/etc/alternatives/command /usr/bin/$([ $how = manual ] && echo ours || echo theirs) $([ $how = auto ] && echo auto || echo manual) $([ $how = manual ] && echo ours || echo theirs)" "$(group v1)"
	done
}
