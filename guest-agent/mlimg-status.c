/* SPDX-License-Identifier: MIT */
/* `mlimg status`: what this guest's root is made of, and how it came to be. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest-agent/mlimg-cmd.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/queue.h"
#include "tools/cli.h"

#define PENDING_SHOWN 20

MLIMG_DEFINE_CLEANUP(struct mlimg_queue, mlimg_queue_free)

/* Of the file system that takes changes. */
struct room {
	uint64_t size_bytes, free_bytes, used_bytes;
};

/* As root of the user layer's own; for everybody else the merged root's, which passes it on. */
static bool find_room(const struct mlimg_view *view, struct room *ret)
{
	struct statvfs st;

	if (fstatvfs(view->user_fd >= 0 ? view->user_fd : view->merged_fd, &st) < 0)
		return false;
	ret->size_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	ret->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	ret->used_bytes = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
	return true;
}

/* --- JSON --- */

static json_t *pack_room(const struct mlimg_view *view)
{
	struct room room;

	if (!find_room(view, &room))
		return json_null();
	return json_pack("{s:I,s:I,s:I}", "size_bytes", (json_int_t)room.size_bytes, "used_bytes",
		(json_int_t)room.used_bytes, "free_bytes", (json_int_t)room.free_bytes);
}

static int put_json(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	const struct mlimg_view *view = cmd->view;
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue =
		view->boot ? mlimg_cmd_queue_if_known(cmd) : NULL;

	return mlimg_cmd_put_json(
		json_pack("{s:b,s:O,s:o,s:o,s:o}", "booted_by_mlimg", view->boot != NULL, "boot",
			view->boot ? view->boot : json_null(), "pending",
			queue ? json_integer((json_int_t)queue->n) : json_null(), "queue",
			queue ? mlimg_queue_to_json(queue, MLIMG_QUEUE_OPS_MAX) : json_null(),
			"room", view->boot ? pack_room(view) : json_null()),
		JSON_INDENT(2), err);
}

/* --- text --- */

static void put_key(const char *key)
{
	printf("%-12s", key);
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static long long number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void put_mode(const struct mlimg_cmd *cmd)
{
	static const char *const meanings[] = {
		[MLIMG_BOOT_NORMAL] = "changes are kept in the user layer",
		[MLIMG_BOOT_VOLATILE] = "changes are lost at the end of this boot",
		[MLIMG_BOOT_READONLY] = "nothing can be changed",
		[MLIMG_BOOT_RESCUE] = "without what is in the user layer; changes are lost",
	};
	enum mlimg_boot_mode mode = cmd->view->mode;

	put_key("mode");
	mlimg_cmd_paint(cmd, mode == MLIMG_BOOT_NORMAL ? MLIMG_COLOR_GREEN : MLIMG_COLOR_YELLOW);
	fputs(mlimg_boot_mode_name(mode), stdout);
	mlimg_cmd_paint(cmd, MLIMG_COLOR_NONE);
	printf(": %s\n", meanings[mode]);
}

static void put_layers(const struct mlimg_view *view)
{
	const char *user = text_of(json_object_get(view->boot, "user"), "name");

	put_key("layers");
	if (*user) {
		fputs("user      ", stdout);
		mlimg_cli_put_safe(stdout, user);
		printf("\n%12s", "");
	}
	for (size_t i = view->stack.n_layers; i-- > 0;) {
		const struct mlimg_boot_layer *layer = &view->stack.layers[i];

		printf("%-9s ", mlimg_kind_name(layer->kind));
		mlimg_cli_put_safe(stdout, layer->name);
		putchar(' ');
		mlimg_cli_put_safe(stdout, layer->version);
		printf("  %.20s\n", layer->build_id);
		if (i > 0)
			printf("%12s", "");
	}
	put_key("union");
	mlimg_cli_put_safe(stdout, view->stack.union_driver);
	putchar('\n');
}

static void put_change(const struct mlimg_view *view)
{
	const json_t *done = json_object_get(view->boot, "reconcile");
	const char *change = text_of(view->boot, "change"), *how = text_of(done, "done");

	put_key("last boot");
	if (strcmp(how, "reconciled") == 0)
		printf("another stack: %lld dropped, %lld set aside, %lld beside, %lld merged, "
		       "%lld joined; see 'mlimg reports %" PRIu64 "'\n",
			number_of(done, "dropped"), number_of(done, "aside"),
			number_of(done, "beside"), number_of(done, "merged"),
			number_of(done, "joined"), view->generation);
	else if (strcmp(how, "rolled-back") == 0)
		printf("the former stack again: the last change was taken back (%lld steps)\n",
			number_of(done, "steps"));
	else if (strcmp(change, "first") == 0)
		puts("the first one of this user layer");
	else if (strcmp(change, "none") == 0)
		puts("the same stack as before");
	else if (strcmp(change, "changed") == 0)
		puts("another stack, with which your changes were not brought into agreement");
	else
		puts("nobody has looked at the user layer");
}

static void put_room(const struct mlimg_view *view)
{
	char used[MLIMG_CLI_SIZE_TEXT], left[MLIMG_CLI_SIZE_TEXT], size[MLIMG_CLI_SIZE_TEXT];
	struct room room;

	if (!find_room(view, &room))
		return;
	put_key("room");
	printf("%s used, %s free of %s\n", mlimg_cli_format_size(room.used_bytes, used),
		mlimg_cli_format_size(room.free_bytes, left),
		mlimg_cli_format_size(room.size_bytes, size));
}

static void put_pending(struct mlimg_cmd *cmd)
{
	mlimg_cleanup(mlimg_queue_free_cleanup) struct mlimg_queue *queue =
		mlimg_cmd_queue_if_known(cmd);

	put_key("next boot");
	if (!queue)
		puts(geteuid() == 0 ? "not known" : "not known: this needs root");
	else if (queue->n == 0)
		puts("nothing waits for it");
	else
		printf("%zu %s\n", queue->n,
			mlimg_cli_noun(
				queue->n, "operation waits for it", "operations wait for it"));
	for (size_t i = 0; queue && i < queue->n && i < PENDING_SHOWN; i++) {
		put_key("");
		printf("%s ", mlimg_queue_verb_name(queue->ops[i].verb));
		mlimg_cmd_put_path(queue->ops[i].path);
		putchar('\n');
	}
	if (queue && queue->n > PENDING_SHOWN) {
		put_key("");
		printf("... and %zu more\n", queue->n - PENDING_SHOWN);
	}
}

/* What was done of it in this boot. */
static void put_queue(const struct mlimg_view *view)
{
	const json_t *done = json_object_get(view->boot, "queue");
	const char *name = strrchr(text_of(done, "report"), '/');

	if (!name)
		return;
	put_key("queued");
	printf("%lld done, %lld had nothing to do any more; see 'mlimg reports %.*s'\n",
		number_of(done, "done"), number_of(done, "left"), (int)strcspn(name + 1, "."),
		name + 1);
}

static void put_notes(const struct mlimg_cmd *cmd)
{
	const json_t *notes = json_object_get(cmd->view->boot, "notes"), *note;
	size_t i;

	json_array_foreach(notes, i, note)
	{
		put_key(i == 0 ? "notes" : "");
		mlimg_cmd_paint(cmd, MLIMG_COLOR_YELLOW);
		mlimg_cli_put_safe(stdout, json_is_string(note) ? json_string_value(note) : "");
		mlimg_cmd_paint(cmd, MLIMG_COLOR_NONE);
		putchar('\n');
	}
}

int mlimg_cmd_status(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	const struct mlimg_view *view = cmd->view;

	cmd->has_failed = !view->boot;
	if (mlimg_cmd_has(cmd, MLIMG_CMD_JSON))
		return put_json(cmd, err);
	if (!view->boot) {
		puts("This system was not booted by mlimg.");
		return 0;
	}
	put_mode(cmd);
	put_key("generation");
	printf("%" PRIu64 "\n", view->generation);
	put_layers(view);
	put_change(view);
	put_queue(view);
	put_pending(cmd);
	put_room(view);
	put_notes(cmd);
	return 0;
}
