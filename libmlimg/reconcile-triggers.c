/* SPDX-License-Identifier: MIT */
/*
 * Packages of the user's that watch paths of the system's (deb-triggers(5)): dpkg would have them
 * look again where it installs something there, but nobody runs it when the stack is another one.
 */
#include <stdlib.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/reconcile-impl.h"

#define WATCHED "var/lib/dpkg/triggers/File"
#define WATCHED_MAX 64 /* lines that are looked at, each of which may be of a whole tree */

/* @return whether one of them has something at @path, or below, that the other has otherwise */
static bool has_other(
	const struct mlimg_manifest *one, const struct mlimg_manifest *other, const char *path)
{
	for (size_t i = mlimg_manifest_first_from(one, path);
		i < one->n_entries && mlimg_path_is_within(one->entries[i].path, path); i++)
		if (!mlimg_reconcile_is_same(
			    &one->entries[i], mlimg_manifest_find(other, one->entries[i].path)))
			return true;
	return false;
}

static bool is_mine(const struct mlimg_packages_merged *merged, const char *name)
{
	for (size_t i = 0; i < merged->n_packages; i++)
		if (merged->packages[i].verdict == MLIMG_FILES_MINE &&
			strcmp(merged->packages[i].name, name) == 0)
			return true;
	return false;
}

/* "/PATH NAME" or "/PATH NAME/noawait" */
static int tell(struct planning *p, const struct mlimg_packages_merged *merged, char *line)
{
	char *name = strrchr(line, ' ');

	if (line[0] != '/' || !line[1] || !name)
		return 0;
	*name++ = '\0';
	name[strcspn(name, "/:")] = '\0';
	if (!is_mine(merged, name) ||
		(!has_other(p->in->next, p->in->base, line + 1) &&
			!has_other(p->in->base, p->in->next, line + 1)))
		return 0;
	return mlimg_notes_add(p->in->notes, MLIMG_NOTE_TOLD, WATCHED, name,
		       "the system has changed %.100s, which it watches; to have it look there: "
		       "dpkg-trigger --no-await %.100s, then dpkg --triggers-only -a",
		       line, line) < 0
		? no_memory(p, WATCHED)
		: 0;
}

int plan_tell_triggers(struct planning *p, const struct mlimg_packages_merged *merged)
{
	int r = 0;

	for (size_t i = 0; i < merged->n_files && r == 0; i++) {
		const struct mlimg_merged_text *text = &merged->files[i].text;
		char *at, *line;

		if (strcmp(merged->files[i].path, WATCHED) != 0 || !text->text)
			continue;
		at = mlimg_arena_strndup(p->arena, text->text, text->size);
		if (!at)
			return no_memory(p, WATCHED);
		for (size_t n = 0; n < WATCHED_MAX && r == 0 && (line = strsep(&at, "\n")); n++)
			r = tell(p, merged, line);
	}
	return r;
}
