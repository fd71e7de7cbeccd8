/* SPDX-License-Identifier: MIT */
#include "guest-agent/skipped.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/manifest.h"

#define SHOWN_BEGINNING 30
#define SHOWN_END 60

/* Escaped as in manifests, since a note must be UTF-8. @return where the text ends */
static char *put_escaped(char *at, const char *path, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (mlimg_manifest_is_plain((unsigned char)path[i]))
			*at++ = path[i];
		else
			at += sprintf(at, "\\%03o", (unsigned char)path[i]);
	*at = '\0';
	return at;
}

static void put_shortened(char ret_text[MLIMG_ERR_TEXT_SIZE], const char *path)
{
	size_t size = strlen(path);

	if (size <= SHOWN_BEGINNING + SHOWN_END) {
		put_escaped(ret_text, path, size);
		return;
	}
	ret_text = put_escaped(ret_text, path, SHOWN_BEGINNING);
	ret_text = stpcpy(ret_text, "...");
	put_escaped(ret_text, path + size - SHOWN_END, SHOWN_END);
}

void mlimg_skipped_add(struct mlimg_skipped *skipped, const char *path, int error)
{
	char shown[MLIMG_ERR_TEXT_SIZE];
	uint64_t i = skipped->n++;

	if (i >= MLIMG_SKIPPED_NOTES)
		return;
	put_shortened(shown, path);
	snprintf(skipped->notes[i], MLIMG_ERR_TEXT_SIZE, "user/upper/%.400s: %s", shown,
		strerror(-error));
}

void mlimg_skipped_note(const struct mlimg_skipped *skipped, struct mlimg_boot *boot)
{
	for (size_t i = 0; i < MLIMG_SKIPPED_NOTES && i < skipped->n; i++)
		mlimg_boot_note(boot, "not compared, and kept: %.480s", skipped->notes[i]);
	if (skipped->n > MLIMG_SKIPPED_NOTES)
		mlimg_boot_note(boot, "not compared, and kept: %" PRIu64 " more",
			skipped->n - MLIMG_SKIPPED_NOTES);
}
