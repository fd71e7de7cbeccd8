/* SPDX-License-Identifier: MIT */
#include "libmlimg/notes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mlimg_note_kind_name(enum mlimg_note_kind kind)
{
	static const char *const names[] = {
		[MLIMG_NOTE_TOLD] = "told",
		[MLIMG_NOTE_CONFLICT] = "conflict",
		[MLIMG_NOTE_BROKEN] = "broken",
	};

	return names[kind];
}

static char *clean_copy(struct mlimg_arena *arena, const char *text)
{
	char *copy = mlimg_arena_strndup(arena, text, strlen(text));

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return copy;
}

int mlimg_notes_add(struct mlimg_notes *notes, enum mlimg_note_kind kind, const char *path,
	const char *name, const char *fmt, ...)
{
	char text[MLIMG_ERR_TEXT_SIZE];
	struct mlimg_note note;
	va_list args;

	if (!notes)
		return 0;
	if (notes->n == MLIMG_NOTES_MAX) {
		notes->n_more++;
		return 0;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!notes->arena && !(notes->arena = mlimg_arena_new()))
		return -ENOMEM;
	note = (struct mlimg_note){.kind = kind,
		.path = clean_copy(notes->arena, path),
		.name = clean_copy(notes->arena, name),
		.text = clean_copy(notes->arena, text)};
	if (!note.path || !note.name || !note.text ||
		mlimg_buffer_reserve(
			&notes->notes, &notes->room, (notes->n + 1) * sizeof(*notes->notes)) < 0)
		return -ENOMEM;
	notes->notes[notes->n++] = note;
	return 0;
}

void mlimg_notes_done(struct mlimg_notes *notes)
{
	free(notes->notes);
	mlimg_arena_free(notes->arena);
	*notes = (struct mlimg_notes){.n = 0};
}
