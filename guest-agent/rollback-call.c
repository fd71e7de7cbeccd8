/* SPDX-License-Identifier: MIT */
/* `mlimg-agent rollback`: takes the last change of a user layer back, on a file system that is mounted without a union. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/calls.h"
#include "guest-agent/change.h"
#include "guest-agent/convert.h"
#include "guest-agent/lowers.h"
#include "guest-agent/misplaced.h"
#include "guest-agent/queue-run.h"
#include "guest-agent/mounted.h"
#include "guest-agent/rebuild.h"
#include "guest-agent/reconcile-report.h"
#include "guest-agent/reset.h"
#include "guest-agent/rolling.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/rebuild.h"
#include "tools/cli.h"

struct rollback {
	const char *root; /* beneath which the former stack's layers are mounted, or NULL */
	struct mlimg_mounted user, layers[MLIMG_BOOT_LAYERS_MAX];
	size_t n_layers;
	struct mlimg_lowers lowers;
	struct mlimg_boot_state state, former;
	struct mlimg_rolling rolling;
	struct mlimg_boot boot; /* its notes alone */
	int own_fd;             /* the user layer's /mlimg */
};

static void tell(
	const char *path, enum mlimg_change_told what, bool is_file, uint64_t generation, void *ctx)
{
	struct rollback *b = ctx;
	char listed[MLIMG_LAYER_PATH_MAX + 1];

	mlimg_rolling_tell(&b->rolling, path, what, is_file, generation);
	if (what == MLIMG_CHANGE_IS_ASIDE)
		printf("written since, so the older one is in mlimg/" MLIMG_CHANGE_ASIDE "/%" PRIu64
		       ": /",
			generation);
	else if (what == MLIMG_CHANGE_GAVE_WAY)
		printf("what was there before shows again; yours of since is in "
		       "mlimg/" MLIMG_CHANGE_ASIDE "/%" PRIu64 ": /",
			generation);
	else if (what == MLIMG_CHANGE_MERGED)
		fputs("written since, and merged: /", stdout);
	else
		fputs(is_file && mlimg_rebuild_is_cache(path, listed)
				? "a cache, to be made anew: /"
				: "of the newer stack and not changed, dropped: /",
			stdout);
	mlimg_cli_put_safe(stdout, path);
	putchar('\n');
}

static void tell_notes(const struct mlimg_notes *notes)
{
	for (size_t i = 0; i < notes->n; i++) {
		printf("%s: ", mlimg_note_kind_name(notes->notes[i].kind));
		mlimg_cli_put_safe(stdout, notes->notes[i].name);
		fputs(": ", stdout);
		mlimg_cli_put_safe(stdout, notes->notes[i].text);
		putchar('\n');
	}
}

static int read_state(struct rollback *b, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_mounted_read(
		&b->user, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, err);

	return r < 0 ? r : mlimg_boot_state_from_json(text, size, &b->state, err);
}

/* --- layers of the former stack --- */

static int open_mounted(struct rollback *b, int root_fd, const struct mlimg_expected *expected,
	struct mlimg_err *err)
{
	size_t n = b->former.stack.n_layers;
	int r;

	if (strcmp(b->former.stack.union_driver, MLIMG_UNION_INDEX) == 0) {
		r = mlimg_mounted_open_index(root_fd, expected, n, b->layers, err);
		b->n_layers = r < 0 ? 0 : n;
		return r;
	}
	for (; b->n_layers < n; b->n_layers++) {
		char where[32];

		snprintf(where, sizeof(where), "layers/%zu", b->n_layers);
		r = mlimg_mounted_open(
			root_fd, where, &expected[b->n_layers], &b->layers[b->n_layers], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_layers(struct rollback *b, struct mlimg_err *err)
{
	const struct mlimg_boot_stack *stack = &b->former.stack;
	struct mlimg_expected expected[MLIMG_BOOT_LAYERS_MAX];
	mlimg_autoclose int root_fd = open(b->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", b->root);
	for (size_t i = 0; i < stack->n_layers; i++)
		expected[i] = (struct mlimg_expected){
			.kind = stack->layers[i].kind, .id = stack->layers[i].build_id};
	r = open_mounted(b, root_fd, expected, err);
	if (r == 0)
		r = mlimg_lowers_open(root_fd, strcmp(stack->union_driver, MLIMG_UNION_INDEX) == 0,
			b->layers, b->n_layers, &b->lowers, err);
	return r < 0 ? mlimg_err_wrap(err, r, "%s", b->root) : 0;
}

/* --- the way back --- */

static int make_ready(struct mlimg_change_call *call, int new_fd, struct mlimg_err *err)
{
	struct rollback *b = call->ctx;

	b->rolling.layers = b->layers;
	b->rolling.n_layers = b->n_layers;
	return mlimg_rolling_make_ready(&b->rolling, new_fd, err);
}

static int report(struct mlimg_change_call *call, const struct mlimg_boot_state *from,
	const struct mlimg_boot_state *to, struct mlimg_err *err)
{
	struct rollback *b = call->ctx;

	mlimg_rolling_report(&b->rolling, call->generation, from, to);
	return 0;
}

static int open_user(struct rollback *b, const char *dir, struct mlimg_err *err)
{
	b->user.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->user.fd < 0)
		return mlimg_err_set(err, errno, "open");
	snprintf(b->user.where, sizeof(b->user.where), ".");
	b->own_fd = openat(b->user.fd, "mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return b->own_fd < 0 ? mlimg_err_set(err, errno, "open 'mlimg'") : 0;
}

/*
 * What else is under way has steps, or a state, of the upper that is there now. Afterwards there
 * may be nothing to take back, so whoever asked for that decides.
 */
static int check_settled(const struct rollback *b, struct mlimg_err *err)
{
	if (mlimg_convert_is_pending(b->own_fd))
		return mlimg_err_refuse(err,
			"a conversion for another union driver was interrupted: end it first, with "
			"'mlimg-agent convert' or by a boot with mlimg.convert");
	if (mlimg_queue_is_pending(b->own_fd))
		return mlimg_err_refuse(
			err, "what was queued was interrupted, which the next boot ends");
	if (mlimg_reset_is_pending(b->own_fd))
		return mlimg_err_refuse(err,
			"a factory reset was interrupted, which the next boot ends: then there is "
			"no change to take back");
	return 0;
}

static int find_former(struct rollback *b, struct mlimg_err *err)
{
	int r = read_state(b, err);

	if (r == 0)
		r = mlimg_misplaced_set_aside_of(b->own_fd, b->state.generation + 1, &b->boot, err);
	if (r == 0)
		r = mlimg_change_find_former(b->own_fd, &b->state, &b->former, err);
	if (r < 0)
		return r;
	if (r == 0)
		return mlimg_err_set(err, 0,
			"there is no change to take back: the last one was taken back already, "
			"or was none of a stack, or the union driver is another one since");
	return b->root ? open_layers(b, err) : 0;
}

static void tell_end(const struct rollback *b)
{
	tell_notes(&b->rolling.report.notes);
	if (b->rolling.is_report_lost)
		puts("the report of this could not be written");
}

/* What a boot or a call had begun comes first, with a report of its own. */
static int resume(struct rollback *b, struct mlimg_change_call *call, struct mlimg_err *err)
{
	int r;

	if (!mlimg_change_is_pending(b->own_fd))
		return mlimg_change_keep_given_up(b->own_fd, &b->boot, err);
	r = mlimg_reported_recall_notes(b->own_fd, call->notes);
	if (r < 0)
		return mlimg_err_set(err, r, "read what is to be told");
	r = mlimg_change_resume(call, err);
	if (r == 0 && call->is_done)
		tell_end(b);
	mlimg_rolling_done(&b->rolling);
	return r < 0 ? r : mlimg_rolling_init(&b->rolling, err);
}

static int open_all(struct rollback *b, const char *dir, struct mlimg_err *err)
{
	int r = open_user(b, dir, err);

	b->rolling.dir_fd = b->own_fd;
	if (r == 0)
		r = check_settled(b, err);
	if (r == 0)
		r = mlimg_misplaced_set_aside(b->own_fd, &b->boot, err);
	return r < 0 ? r : mlimg_rolling_init(&b->rolling, err);
}

static int roll_back(struct rollback *b, const char *dir, struct mlimg_err *err)
{
	struct mlimg_change_call call = {.told = tell,
		.ready = make_ready,
		.report = report,
		.ctx = b,
		.notes = &b->rolling.report.notes};
	int r = open_all(b, dir, err);

	call.user_fd = b->user.fd;
	if (r == 0)
		r = resume(b, &call, err);
	if (r == 0)
		r = find_former(b, err);
	for (size_t i = 0; i < b->boot.n_notes; i++)
		puts(b->boot.notes[i]);
	if (r < 0)
		return r;
	call.lowers = b->root ? &b->lowers : NULL;
	r = mlimg_change_roll_back(&call, &b->state, &b->former, err);
	if (r < 0)
		return r;
	tell_end(b);
	printf("%s: generation %" PRIu64 ", the stack of generation %" PRIu64
	       "; steps taken back: %" PRIu64 "\n",
		dir, call.generation, b->former.generation, call.n_steps);
	return 0;
}

static void rollback_done(struct rollback *b)
{
	mlimg_lowers_close(&b->lowers);
	while (b->n_layers > 0)
		mlimg_mounted_close(&b->layers[--b->n_layers]);
	mlimg_mounted_close(&b->user);
	mlimg_cleanup_close(&b->own_fd);
	mlimg_rolling_done(&b->rolling);
}

static int run(const char *dir, const char *root)
{
	mlimg_autofree struct rollback *b = calloc(1, sizeof(*b));
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r;

	if (!b) {
		r = mlimg_err_set(&err, ENOMEM, "rollback");
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	b->root = root;
	b->user.fd = b->own_fd = -1;
	r = roll_back(b, dir, &err);
	rollback_done(b);
	if (r < 0) {
		(void)!mlimg_err_wrap(&err, r, "%s", dir);
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	}
	return mlimg_cli_close_stdout(MLIMG_AGENT_PROG);
}

int mlimg_call_rollback(int argc, char **argv)
{
	static const struct option options[] = {{"root", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *root = NULL;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'r': root = optarg; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (argc - optind != 1)
		return mlimg_cli_usage(MLIMG_AGENT_PROG,
			"rollback: the directory of one mounted user layer is wanted");
	return run(argv[optind], root);
}
