/* SPDX-License-Identifier: MIT */
/**
 * @file disk-check.h
 * What cases of disk-cases.h are checked for.
 */
#ifndef MLIMG_TEST_DISK_CHECK_H
#define MLIMG_TEST_DISK_CHECK_H

#include "tests/lib/disk-cases.h"

TEST_UNUSED static void fail_unless(bool is_right, const char *what)
{
	if (!is_right)
		FAIL("%s", what);
}

static bool has_line(const char *text, const char *line, size_t size)
{
	for (; *text; text = strchr(text, '\n') + 1)
		if (strncmp(text, line, size) == 0)
			return true;
	return false;
}

/* What a change leaves that was killed when all was done but cleaning up; it means nothing, and the next change removes it. */
static bool is_leftover(const char *line)
{
	static const char *const names[] = {
		"./reconcile.new", "./undo", "./base.manifest.", "./base.texts."};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* @return whether both have the same lines, but for leftovers; those that they have not are told */
TEST_UNUSED static bool is_same_text(const char *wanted, const char *found)
{
	bool is_same = true;

	for (int turn = 0; turn < 2; turn++) {
		const char *text = turn ? found : wanted, *other = turn ? wanted : found;

		for (const char *end; *text; text = end) {
			end = strchr(text, '\n') + 1;
			if (has_line(other, text, (size_t)(end - text)) ||
				(turn && is_leftover(text)))
				continue;
			fprintf(stderr, "%s: %.*s", turn ? "found" : "wanted", (int)(end - text),
				text);
			is_same = false;
		}
	}
	return is_same;
}

TEST_UNUSED static void check_oracle(struct disk *d)
{
	struct oracle *o = calloc(1, sizeof(*o));

	*o = (struct oracle){.base = &d->old.view,
		.next = &d->next.view,
		.upper = &d->upper,
		.seen = &d->wanted,
		.beside = &d->beside,
		.aside = &d->wanted_aside};
	d->wanted.n = d->beside.n = d->wanted_aside.n = 0;
	ask_oracle(o);
	fail_unless(is_same_tree("what the user sees", &d->wanted, &d->seen), "the view");
	free(o);
}

#endif
