/* SPDX-License-Identifier: MIT */
/* `mlimg-agent prepare`: what the user has queued for this boot. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/prepare-impl.h"
#include "guest-agent/queue-run.h"
#include "tools/cli.h"

/* In a rescue there may be no user layer. */
static void tell_waiting(struct mlimg_prepare *p)
{
	struct stat st;

	if (p->dir_fd < 0)
		return;
	if (mlimg_queue_is_pending(p->dir_fd))
		mlimg_boot_note(&p->boot,
			"what was queued was interrupted, and is done in part: the next boot that "
			"keeps changes ends it");
	else if (fstatat(p->dir_fd, MLIMG_QUEUE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		mlimg_boot_note(
			&p->boot, "what was queued waits for the next boot that keeps changes");
}

/* On the console as well as in boot.json: whoever misses his file looks there. */
static void tell_done(struct mlimg_prepare *p, const struct mlimg_queue_run *run)
{
	p->boot.queue = (struct mlimg_boot_queue){run->number, run->n_done, run->n_left};
	printf("queued by the user: %" PRIu64 " %s done, %" PRIu64
	       " had nothing to do any more: see %s/user/mlimg/reports/" MLIMG_QUEUE_NAME "%" PRIu64
	       ".txt\n",
		run->n_done, mlimg_cli_noun(run->n_done, "operation", "operations"), run->n_left,
		p->wanted->root, run->number);
	fflush(stdout);
}

static void tell_bad(struct mlimg_prepare *p, const struct mlimg_queue_run *run)
{
	char text[MLIMG_ERR_TEXT_SIZE];

	snprintf(text, sizeof(text), "what was queued %s, it is user/mlimg/%s now: %.300s",
		run->is_bad_begun ? "could not be ended: some of it may be done, and what that set "
				    "aside is kept"
				  : "is damaged and was not done",
		run->bad_name, run->bad);
	mlimg_boot_note(&p->boot, "%s", text);
	puts(text);
	fflush(stdout);
}

int mlimg_prepare_queue(struct mlimg_prepare *p, struct mlimg_err *err)
{
	struct mlimg_queue_run run = {.user_fd = p->user.fd,
		.is_unionfs = mlimg_prepare_is_unionfs(p),
		.upper_memory_max = p->wanted->upper_memory_max};
	int r;

	if (p->wanted->mode != MLIMG_BOOT_NORMAL) {
		tell_waiting(p);
		return 0;
	}
	r = mlimg_queue_run(&run, err);
	if (run.bad[0])
		tell_bad(p, &run);
	if (r < 0)
		return mlimg_err_wrap(err, r, "do what is queued");
	if (r == 1)
		mlimg_boot_note(&p->boot,
			"what is queued is not done: %.300s; the next boot tries again", err->text);
	if (run.number)
		tell_done(p, &run);
	return 0;
}
