/* SPDX-License-Identifier: MIT */
#include "libmlimg/notes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/manifest-lex.h"

const char *mlimg_note_kind_name(enum mlimg_note_kind kind)
{
	static const char *const names[] = {
		[MLIMG_NOTE_TOLD] = "told",
		[MLIMG_NOTE_CONFLICT] = "conflict",
		[MLIMG_NOTE_BROKEN] = "broken",
	};

	return names[kind];
}

bool mlimg_note_is_unmerged(const struct mlimg_note *note)
{
	return strncmp(note->text, MLIMG_NOTE_UNMERGED, strlen(MLIMG_NOTE_UNMERGED)) == 0;
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

/* --- kept for another boot --- */

#define HEAD "mlimg notes 1 "

void mlimg_notes_put(const struct mlimg_notes *notes, mlimg_sink *sink, void *ctx)
{
	char line[sizeof(HEAD) + 24];

	snprintf(line, sizeof(line), HEAD "%zu\n", notes->n_more);
	sink(ctx, line, strlen(line));
	for (size_t i = 0; i < notes->n; i++) {
		const struct mlimg_note *note = &notes->notes[i];
		const char *const fields[] = {note->path, note->name, note->text};

		sink(ctx, mlimg_note_kind_name(note->kind), 1);
		sink(ctx, " ", 1);
		for (size_t k = 0; k < 3; k++)
			sink(ctx, fields[k], strlen(fields[k]) + 1);
	}
}

/* @return the kind, 0 for none */
static enum mlimg_note_kind kind_of(const char *text)
{
	for (enum mlimg_note_kind kind = MLIMG_NOTE_TOLD; kind <= MLIMG_NOTE_BROKEN; kind++)
		if (*text == *mlimg_note_kind_name(kind) && text[1] == ' ')
			return kind;
	return 0;
}

/* @return the NUL-terminated field at @at, which is moved behind it; NULL at the end */
static const char *cut_field(const char **at, const char *end)
{
	const char *field = *at;

	if (field >= end || !memchr(field, '\0', (size_t)(end - field)))
		return NULL;
	*at += strlen(field) + 1;
	return field;
}

static int parse_note(const char **at, const char *end, struct mlimg_notes *notes)
{
	enum mlimg_note_kind kind = end - *at > 2 ? kind_of(*at) : 0;
	const char *fields[3];

	*at += 2;
	for (size_t i = 0; i < 3 && kind; i++) {
		fields[i] = cut_field(at, end);
		if (!fields[i])
			kind = 0;
	}
	return kind ? mlimg_notes_add(notes, kind, fields[0], fields[1], "%s", fields[2])
		    : -EUCLEAN;
}

int mlimg_notes_parse(const char *text, size_t size, struct mlimg_notes *notes)
{
	const char *at = memchr(text, '\n', size), *end = text + size;
	struct mlimg_span number = {text + strlen(HEAD), 0};
	uint64_t n_more;
	int r = 0;

	if (!at || (size_t)(at - text) < strlen(HEAD) || memcmp(text, HEAD, strlen(HEAD)) != 0)
		return -EUCLEAN;
	number.size = (size_t)(at++ - number.at);
	if (!mlimg_lex_number(number, UINT32_MAX, &n_more))
		return -EUCLEAN;
	while (at < end && r == 0)
		r = parse_note(&at, end, notes);
	notes->n_more += n_more;
	return r;
}

void mlimg_notes_done(struct mlimg_notes *notes)
{
	free(notes->notes);
	mlimg_arena_free(notes->arena);
	*notes = (struct mlimg_notes){.n = 0};
}
