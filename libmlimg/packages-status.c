/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libmlimg/packages-impl.h"

static const char *const relation_names[] = {
	[MLIMG_DEPENDS] = "Depends",
	[MLIMG_PRE_DEPENDS] = "Pre-Depends",
	[MLIMG_BREAKS] = "Breaks",
	[MLIMG_CONFLICTS] = "Conflicts",
	[MLIMG_PROVIDES] = "Provides",
};

/* A field of a stanza: what is behind its colon, further lines with it. */
struct field {
	const char *name, *value, *end;
	size_t name_size;
};

/* @return false at the end. The text is one of records-parse.h's, where each field has its colon */
static bool next_field(const char **at, const char *end, struct field *ret)
{
	const char *newline;

	if (*at == end)
		return false;
	ret->name = *at;
	ret->value = (const char *)memchr(*at, ':', (size_t)(end - *at)) + 1;
	ret->name_size = (size_t)(ret->value - 1 - ret->name);
	newline = memchr(ret->value, '\n', (size_t)(end - ret->value));
	while (newline + 1 < end && (newline[1] == ' ' || newline[1] == '\t'))
		newline = memchr(newline + 1, '\n', (size_t)(end - newline - 1));
	ret->end = newline;
	*at = newline + 1;
	return true;
}

static bool is_named(const struct field *f, const char *name)
{
	return f->name_size == strlen(name) && strncasecmp(f->name, name, f->name_size) == 0;
}

static char *value_of(struct mlimg_arena *arena, const struct field *f)
{
	const char *at = f->value, *end = f->end;

	while (at < end && strchr(" \t\r\n", *at))
		at++;
	while (end > at && strchr(" \t\r\n", end[-1]))
		end--;
	return mlimg_arena_strndup(arena, at, (size_t)(end - at));
}

static enum mlimg_multi_arch multi_arch_of(const char *value)
{
	return strcmp(value, "same") == 0       ? MLIMG_MULTI_SAME
		: strcmp(value, "foreign") == 0 ? MLIMG_MULTI_FOREIGN
		: strcmp(value, "allowed") == 0 ? MLIMG_MULTI_ALLOWED
						: MLIMG_MULTI_NO;
}

/* "install ok installed" */
static void take_status(struct mlimg_stanza *s, char *value)
{
	char *space = strrchr(value, ' ');

	s->state = space ? space + 1 : value;
	value[strcspn(value, " ")] = '\0';
	s->want = value;
	s->is_present =
		strcmp(s->state, "not-installed") != 0 && strcmp(s->state, "config-files") != 0;
}

static int take_field(struct mlimg_arena *arena, struct mlimg_stanza *s, const struct field *f)
{
	static const char *const names[] = {"Package", "Version", "Architecture"};
	const char **const values[] = {&s->name, &s->version, &s->architecture};
	bool is_status = is_named(f, "Status"), is_multi = is_named(f, "Multi-Arch");
	char *value;

	for (size_t i = 0; i < 3; i++)
		if (is_named(f, names[i]))
			return (*values[i] = value_of(arena, f)) ? 0 : -ENOMEM;
	for (size_t i = 0; i < MLIMG_N_RELATIONS; i++)
		if (is_named(f, relation_names[i]))
			return (s->relations[i] = value_of(arena, f)) ? 0 : -ENOMEM;
	if (is_named(f, "Conffiles"))
		return (s->conffiles = value_of(arena, f)) ? 0 : -ENOMEM;
	if (!is_status && !is_multi)
		return 0;
	value = value_of(arena, f);
	if (!value)
		return -ENOMEM;
	if (is_status)
		take_status(s, value);
	else
		s->multi_arch = multi_arch_of(value);
	return 0;
}

int mlimg_stanzas_parse(
	struct mlimg_packages_job *job, enum mlimg_merge_side side, struct mlimg_records_text text)
{
	struct mlimg_stanzas *s = &job->sides[side];
	int r = mlimg_record_list_parse(MLIMG_RECORDS_STANZAS, text, false, &s->records, job->err);

	if (r < 0)
		return r;
	s->n = s->records.n;
	s->stanzas = calloc(s->n + 1, sizeof(*s->stanzas));
	if (!s->stanzas)
		return mlimg_packages_no_memory(job);
	for (size_t i = 0; i < s->n; i++) {
		const struct mlimg_record *record = &s->records.records[i];
		const char *at = record->text, *end = at + record->size;
		struct field f;

		s->stanzas[i] = (struct mlimg_stanza){.record = record,
			.name = "",
			.version = "",
			.architecture = "",
			.want = "unknown",
			.state = "not-installed"};
		while (next_field(&at, end, &f))
			if (take_field(job->arena, &s->stanzas[i], &f) < 0)
				return mlimg_packages_no_memory(job);
	}
	return 0;
}

void mlimg_stanzas_done(struct mlimg_stanzas *stanzas)
{
	free(stanzas->stanzas);
	mlimg_record_list_done(&stanzas->records);
}

bool mlimg_stanza_is_same_version(const struct mlimg_stanza *a, const struct mlimg_stanza *b)
{
	return a && b && a->is_present && b->is_present && strcmp(a->version, b->version) == 0 &&
		strcmp(a->architecture, b->architecture) == 0;
}

void mlimg_stanza_put(struct mlimg_text *out, const struct mlimg_stanza *stanza, const char *want)
{
	const char *at = stanza->record->text, *end = at + stanza->record->size;
	const char *from = at;
	struct field f;

	while (strcmp(want, stanza->want) != 0 && next_field(&at, end, &f)) {
		const char *value = f.value;

		if (!is_named(&f, "Status"))
			continue;
		while (value < f.end && strchr(" \t\r\n", *value))
			value++;
		mlimg_text_put(out, from, (size_t)(value - from));
		mlimg_text_put(out, want, strlen(want));
		from = value + strlen(stanza->want);
		break;
	}
	mlimg_text_put(out, from, (size_t)(end - from));
	mlimg_text_put(out, "\n", 1);
}
