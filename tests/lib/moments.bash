# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Random moments at which something is killed.

# random_moments: begins with the seed, and prints it.
random_moments() {
	local seed=${MLIMG_SEED:-$(date +%s)}
	echo "MLIMG_SEED=$seed"
	RANDOM=$((seed % 32768))
}

# moment MS: waits for one that is less than MS away, and prints it. Not in a subshell, which would draw the same again.
moment() {
	local ms=$((RANDOM % $1))
	echo "after $ms ms"
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}
