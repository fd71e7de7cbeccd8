/* SPDX-License-Identifier: MIT */
/*
 * From the top to the bottom, as overlayfs goes. view-find.c does the same for many paths at once, but
 * does not tell who hides what.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/why-impl.h"
#include "libmlimg/upper-view.h"
#include "libmlimg/whiteout.h"

/* A redirect of the directory that is the first bytes of @w->next: the others follow it. */
static void redirect(struct why *w, const struct mlimg_xattr *x)
{
	char own[MLIMG_PATH_MAX + 1], lower[MLIMG_PATH_MAX + 1];
	mlimg_autofree char *rest = strdup(w->next + w->next_end);

	snprintf(own, sizeof(own), "%.*s", (int)w->next_end, w->next);
	if (!rest || !mlimg_redirect_follow(x, own, lower) ||
		strlen(lower) + strlen(rest) > MLIMG_PATH_MAX) {
		w->is_ended = true;
		return;
	}
	stpcpy(stpcpy(w->next, lower), rest);
	w->next_end = strlen(lower);
}

/* What the tree has at one of the directories above. @return whether to go on down in it */
static bool pass(struct why *w, struct why_row *row, const struct mlimg_entry *e)
{
	const struct mlimg_xattr *x;

	if (e->type != MLIMG_DIR) {
		row->state = w->is_ended             ? WHY_NOTHING
			: mlimg_entry_is_whiteout(e) ? WHY_DELETES
						     : WHY_ENDS;
		row->at = strdup(e->path);
		w->is_ended = true;
		return false;
	}
	if (mlimg_entry_is_opaque(e)) {
		if (!w->is_ended)
			row->state = WHY_ENDS;
		free(row->at);
		row->at = strdup(e->path);
		w->is_ended = true;
	}
	x = mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);
	if (x && !w->is_ended)
		redirect(w, x);
	return true;
}

/* One component more of where the path lies beneath. */
static void go_down(struct why *w)
{
	w->next_end += w->next_end > 0;
	w->next_end += strcspn(w->next + w->next_end, "/");
}

/* @return 1 to go on, 0 when the tree ends the way, -errno */
static int pass_above(struct why *w, const struct mlimg_view_tree *tree, struct why_row *row)
{
	w->next_end = 0;
	for (const char *slash = w->at; (slash = strchr(slash, '/')); slash++) {
		char path[MLIMG_PATH_MAX + 1];
		struct mlimg_entry e;
		int r;

		snprintf(path, sizeof(path), "%.*s", (int)(slash - w->at), w->at);
		go_down(w);
		r = mlimg_view_at(tree, &w->reader, path, &e);
		if (r < 0)
			return r;
		/* What unionfs-fuse hides may be in a directory that its branch lacks. */
		if (r > 0 && !pass(w, row, &e))
			return 0;
	}
	return 1;
}

/* The tree has something there. @was_ended: before it was looked at */
static void take(struct why *w, struct why_row *row, const struct mlimg_entry *e, bool was_ended)
{
	const struct mlimg_xattr *x = mlimg_entry_xattr(e, MLIMG_XATTR_REDIRECT);

	free(row->at);
	row->at = strdup(w->at);
	if (mlimg_entry_is_whiteout(e)) {
		row->state = was_ended ? WHY_HIDDEN : WHY_DELETES;
		w->is_ended = true;
		return;
	}
	row->entry = *e;
	row->is_there = true;
	row->is_opaque = e->type == MLIMG_DIR && mlimg_entry_is_opaque(e);
	/* A directory shows together with others, anything else alone. */
	row->state = was_ended || (w->shown && e->type != MLIMG_DIR) ? WHY_HIDDEN
		: w->shown                                           ? WHY_MERGES
								     : WHY_SHOWS;
	if (row->state == WHY_SHOWS)
		w->shown = row;
	if (e->type != MLIMG_DIR || row->is_opaque)
		w->is_ended = true;
	else if (x && !w->is_ended)
		redirect(w, x);
}

static int look_at(struct why *w, const struct mlimg_view_tree *tree, struct mlimg_err *err)
{
	struct why_row *row = &w->rows[w->n++];
	bool was_ended = w->is_ended;
	struct mlimg_entry e;
	int r;

	row->tree = tree;
	strcpy(w->at, w->next);
	r = pass_above(w, tree, row);
	if (r == 1) {
		w->next_end = strlen(w->next);
		r = mlimg_view_at(tree, &w->reader, w->at, &e);
	}
	if (r == 1)
		take(w, row, &e, was_ended);
	if (r < 0)
		return mlimg_err_set(err, r, "look for '/%s' in %s", w->path, tree->label);
	/* What the entry points to is the reader's. */
	row->entry.path = row->entry.link = NULL;
	row->entry.xattrs = NULL;
	return 0;
}

int why_look(struct why *w, struct mlimg_err *err)
{
	const struct mlimg_view_tree *trees;
	int n = mlimg_view_layers(w->cmd->view, &trees, err), r;

	if (n < 0)
		return n;
	w->rows = calloc((size_t)n + 1, sizeof(*w->rows));
	if (!w->rows)
		return mlimg_err_set(err, ENOMEM, "look for '/%s'", w->path);
	strcpy(w->next, w->path);
	r = look_at(w, &w->cmd->view->trees[0], err);
	for (int i = 0; i < n && r == 0; i++)
		r = look_at(w, &trees[i], err);
	return r;
}

void why_done(struct why *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->rows[i].at);
	free(w->rows);
	mlimg_entry_reader_done(&w->reader);
}
