/* SPDX-License-Identifier: MIT */
/* The file in which a supervisor says what its guest does: a line of facts, a line of reasons. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/vm-runtime.h"

int mlimg_runtime_state_put(
	const char *dir, const struct mlimg_runtime_state *state, struct mlimg_err *err)
{
	mlimg_autofree char *path = mlimg_runtime_file(dir, "state");
	char text[MLIMG_GUEST_WHY_SIZE + 96];
	int n = snprintf(text, sizeof(text), "%d %d %s %s\n%s\n", (int)state->supervisor,
		(int)state->qemu, mlimg_guest_state_name(state->state),
		state->hears ? "hears" : "deaf", state->why);

	if (!path)
		return mlimg_err_set(err, ENOMEM, "'%s'", dir);
	return mlimg_replace_file(AT_FDCWD, path, text, (size_t)n, 0600, err);
}

bool mlimg_runtime_state_get(const char *dir, struct mlimg_runtime_state *ret_state)
{
	mlimg_autofree char *path = mlimg_runtime_file(dir, "state");
	mlimg_autofclose FILE *f = path ? fopen(path, "re") : NULL;
	struct mlimg_runtime_state s = {.supervisor = 0};
	char facts[64], state[16], hears[8];
	int supervisor, qemu;

	if (!f || !fgets(facts, sizeof(facts), f) ||
		sscanf(facts, "%d %d %15s %7s", &supervisor, &qemu, state, hears) != 4 ||
		!mlimg_guest_state_of(state, &s.state))
		return false;
	if (fgets(s.why, sizeof(s.why), f))
		s.why[strcspn(s.why, "\n")] = '\0';
	s.supervisor = supervisor;
	s.qemu = qemu;
	s.hears = strcmp(hears, "hears") == 0;
	*ret_state = s;
	return true;
}
