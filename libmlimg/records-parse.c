/* SPDX-License-Identifier: MIT */
#include "libmlimg/records-parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STATUS_GONE "unknown ok not-installed"

struct parser {
	enum mlimg_records_form form;
	const char *at, *end; /* what is left of the text */
	size_t line;          /* the one before @at */
	bool is_diff;
	struct mlimg_record_list *list;
	struct mlimg_err *err;
};

/* A line without its newline, or the value of a field. */
struct span {
	const char *at;
	size_t size;
};

static bool is_text(struct span s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

static struct span next_line(struct parser *p)
{
	const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
	struct span line = {p->at, (size_t)(newline - p->at)};

	p->at = newline + 1;
	p->line++;
	return line;
}

static int no_memory(const struct parser *p)
{
	return mlimg_err_set(p->err, ENOMEM, "records");
}

static int add(struct parser *p, const struct mlimg_record *record)
{
	struct mlimg_record_list *list = p->list;

	if (!record->key ||
		mlimg_buffer_reserve(
			&list->records, &list->room, (list->n + 1) * sizeof(*list->records)) < 0)
		return no_memory(p);
	list->records[list->n++] = *record;
	return 0;
}

static int refuse_mark(const struct parser *p, size_t line)
{
	return mlimg_err_refuse(p->err, "line %zu: a record that is gone", line);
}

/* What a stanza is known by. */
struct stanza {
	struct span package, architecture, status;
	const char *last; /* which of these the field is that was read last, or NULL */
};

static struct span trim(struct span s)
{
	while (s.size && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.size--;
	}
	while (s.size && strchr(" \t\r", s.at[s.size - 1]))
		s.size--;
	return s;
}

static const char *key_field(const struct parser *p)
{
	return p->form == MLIMG_RECORDS_QUESTIONS ? "Name" : "Package";
}

static int take_field(struct parser *p, struct span line, struct stanza *s)
{
	const char *const names[] = {key_field(p), "Architecture", "Status"};
	struct span *const values[] = {&s->package, &s->architecture, &s->status};
	size_t n = p->form == MLIMG_RECORDS_QUESTIONS ? 1 : sizeof(names) / sizeof(names[0]);
	const char *colon = memchr(line.at, ':', line.size);
	size_t size = colon ? (size_t)(colon - line.at) : 0;

	if (!size || memchr(line.at, ' ', size) || memchr(line.at, '\t', size))
		return mlimg_err_refuse(p->err, "line %zu: not 'Field: value'", p->line);
	s->last = NULL;
	for (size_t i = 0; i < n; i++) {
		if (size != strlen(names[i]) || strncasecmp(line.at, names[i], size) != 0)
			continue;
		if (values[i]->at)
			return mlimg_err_refuse(
				p->err, "line %zu: '%s' is there twice", p->line, names[i]);
		*values[i] = trim((struct span){colon + 1, line.size - size - 1});
		s->last = names[i];
	}
	return 0;
}

static const char *stanza_key(struct parser *p, const struct stanza *s)
{
	char *key = mlimg_arena_alloc(p->list->arena, s->package.size + s->architecture.size + 2);

	if (!key)
		return NULL;
	memcpy(key, s->package.at, s->package.size);
	key[s->package.size] = '\n';
	if (s->architecture.size)
		memcpy(key + s->package.size + 1, s->architecture.at, s->architecture.size);
	key[s->package.size + 1 + s->architecture.size] = '\0';
	return key;
}

static int parse_stanza(struct parser *p, struct span line)
{
	struct mlimg_record record = {.text = line.at, .line = p->line};
	struct stanza s = {.status = {NULL, 0}};
	bool is_first = true;
	int r = 0;

	while (r == 0 && line.size) {
		bool is_more = line.at[0] == ' ' || line.at[0] == '\t';

		if (is_more && (is_first || !trim(line).size))
			return mlimg_err_refuse(p->err, "line %zu: not 'Field: value'", p->line);
		/* Others would know the package by all of it, and dpkg takes none such. */
		if (is_more && s.last)
			return mlimg_err_refuse(
				p->err, "line %zu: '%s' has but one line", p->line, s.last);
		if (!is_more)
			r = take_field(p, line, &s);
		is_first = false;
		record.size = (size_t)(p->at - record.text);
		if (p->at == p->end)
			break;
		line = next_line(p);
	}
	if (r < 0)
		return r;
	if (!s.package.size)
		return mlimg_err_refuse(
			p->err, "line %zu: a record without '%s'", record.line, key_field(p));
	record.is_gone = is_text(s.status, STATUS_GONE);
	if (record.is_gone && !p->is_diff)
		return 0;
	record.key = stanza_key(p, &s);
	return add(p, &record);
}

static int parse_diversion(struct parser *p, struct span from)
{
	struct mlimg_record record = {.text = from.at, .line = p->line};
	struct span rest[2];

	for (size_t i = 0; i < 2; i++) {
		if (p->at == p->end)
			return mlimg_err_refuse(p->err,
				"line %zu: a diversion that is not three lines", record.line);
		rest[i] = next_line(p);
	}
	record.size = (size_t)(p->at - record.text);
	record.is_gone = is_text(rest[0], "-") && is_text(rest[1], "-");
	if (record.is_gone && !p->is_diff)
		return refuse_mark(p, record.line);
	if (!from.size || from.at[0] != '/' || !rest[1].size ||
		(!record.is_gone && (!rest[0].size || rest[0].at[0] != '/')))
		return mlimg_err_refuse(
			p->err, "line %zu: not a diversion's two paths and package", record.line);
	record.key = mlimg_arena_strndup(p->list->arena, from.at, from.size);
	return add(p, &record);
}

static int parse_override(struct parser *p, struct span line)
{
	struct mlimg_record record = {.text = line.at, .size = line.size + 1, .line = p->line};
	struct span rest = line;

	for (int i = 0; i < 3; i++) {
		const char *space = memchr(rest.at, ' ', rest.size);

		if (!space || space == rest.at)
			return mlimg_err_refuse(
				p->err, "line %zu: not 'USER GROUP MODE PATH'", p->line);
		rest.size -= (size_t)(space + 1 - rest.at);
		rest.at = space + 1;
	}
	record.is_gone = memcmp(line.at, "- - - ", 6) == 0;
	if (record.is_gone && !p->is_diff)
		return refuse_mark(p, p->line);
	if (!rest.size)
		return mlimg_err_refuse(p->err, "line %zu: not 'USER GROUP MODE PATH'", p->line);
	record.key = mlimg_arena_strndup(p->list->arena, rest.at, rest.size);
	return add(p, &record);
}

static int parse_single(struct parser *p, struct span line)
{
	struct mlimg_record record = {.text = line.at, .size = line.size + 1, .line = p->line};

	record.is_gone = line.at[0] == '-';
	if (record.is_gone && !p->is_diff)
		return refuse_mark(p, p->line);
	if (line.size == record.is_gone)
		return mlimg_err_refuse(p->err, "line %zu is empty", p->line);
	record.key = mlimg_arena_strndup(
		p->list->arena, line.at + record.is_gone, line.size - record.is_gone);
	return add(p, &record);
}

static int parse_account(struct parser *p, struct span line)
{
	struct mlimg_record record = {.text = line.at, .size = line.size + 1, .line = p->line};
	const char *key;
	size_t size = mlimg_record_account_key(line.at, line.size, &record.is_gone, &key);

	if (record.size > MLIMG_RECORDS_LINE_MAX)
		return mlimg_err_refuse(
			p->err, "line %zu: more than %d bytes", p->line, MLIMG_RECORDS_LINE_MAX);
	if (record.is_gone && !p->is_diff)
		return refuse_mark(p, p->line);
	if (!size)
		return mlimg_err_refuse(p->err, "line %zu: a mark of nothing", p->line);
	if (!p->is_diff && mlimg_record_has_signs(p->form, &record))
		return mlimg_err_refuse(
			p->err, "line %zu: a member that begins with '+' or '-'", p->line);
	record.key = mlimg_arena_strndup(p->list->arena, key, size);
	return add(p, &record);
}

static int parse_record(struct parser *p)
{
	struct span line = next_line(p);

	if (mlimg_records_is_accounts(p->form))
		return line.size ? parse_account(p, line) : 0;

	if (mlimg_records_is_stanzas(p->form))
		return line.size ? parse_stanza(p, line) : 0;
	if (p->form == MLIMG_RECORDS_DIVERSIONS)
		return parse_diversion(p, line);
	if (!line.size)
		return mlimg_err_refuse(p->err, "line %zu is empty", p->line);
	return p->form == MLIMG_RECORDS_OVERRIDES ? parse_override(p, line) : parse_single(p, line);
}

static int record_cmp(const void *a, const void *b)
{
	const struct mlimg_record *x = *(struct mlimg_record *const *)a,
				  *y = *(struct mlimg_record *const *)b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int sort(struct parser *p)
{
	struct mlimg_record_list *list = p->list;

	list->by_key = malloc((list->n ? list->n : 1) * sizeof(struct mlimg_record *));
	if (!list->by_key)
		return no_memory(p);
	for (size_t i = 0; i < list->n; i++)
		list->by_key[i] = &list->records[i];
	qsort(list->by_key, list->n, sizeof(struct mlimg_record *), record_cmp);
	for (size_t i = 1; i < list->n; i++) {
		const struct mlimg_record *a = list->by_key[i - 1], *b = list->by_key[i];

		if (strcmp(a->key, b->key) == 0)
			return mlimg_err_refuse(p->err, "line %zu: '%.*s' is there already",
				b->line, (int)strcspn(b->key, "\n"), b->key);
	}
	return 0;
}

static int check_text(struct mlimg_records_text text, struct mlimg_err *err)
{
	if (text.size > MLIMG_RECORDS_SIZE_MAX)
		return mlimg_err_refuse(err, "more than %u bytes", MLIMG_RECORDS_SIZE_MAX);
	if (text.size && text.text[text.size - 1] != '\n')
		return mlimg_err_refuse(err, "no newline at the end");
	if (text.size && memchr(text.text, '\0', text.size))
		return mlimg_err_refuse(err, "a NUL in it");
	return 0;
}

int mlimg_record_list_parse(enum mlimg_records_form form, struct mlimg_records_text text,
	bool is_diff, struct mlimg_record_list *ret_list, struct mlimg_err *err)
{
	struct parser p = {.form = form,
		.at = text.text,
		.end = text.size ? text.text + text.size : text.text,
		.is_diff = is_diff,
		.list = ret_list,
		.err = err};
	int r = check_text(text, err);

	*ret_list = (struct mlimg_record_list){.n = 0};
	if (r < 0)
		return r;
	ret_list->arena = mlimg_arena_new();
	if (!ret_list->arena)
		return no_memory(&p);
	while (r == 0 && p.at != p.end)
		r = parse_record(&p);
	return r < 0 ? r : sort(&p);
}

struct mlimg_record *mlimg_record_list_find(const struct mlimg_record_list *list, const char *key)
{
	const struct mlimg_record wanted = {.key = key};
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(list->by_key[middle]->key, wanted.key);

		if (order == 0)
			return list->by_key[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void mlimg_record_list_done(struct mlimg_record_list *list)
{
	free(list->records);
	free(list->by_key);
	mlimg_arena_free(list->arena);
	*list = (struct mlimg_record_list){.n = 0};
}

void mlimg_record_put_mark(enum mlimg_records_form form, const char *key,
	void (*put)(void *ctx, const char *text, size_t size), void *ctx)
{
	static const struct {
		const char *before, *behind;
	} marks[] = {
		[MLIMG_RECORDS_STANZAS] = {"Package: ", "\nStatus: " STATUS_GONE "\n"},
		[MLIMG_RECORDS_DIVERSIONS] = {"", "\n-\n-\n"},
		[MLIMG_RECORDS_OVERRIDES] = {"- - - ", "\n"},
		[MLIMG_RECORDS_LINES] = {"-", "\n"},
		[MLIMG_RECORDS_ACCOUNTS] = {":", "\n"},
		[MLIMG_RECORDS_GROUPS] = {":", "\n"},
		[MLIMG_RECORDS_GSHADOWS] = {":", "\n"},
	};
	bool is_stanza = form == MLIMG_RECORDS_STANZAS;
	size_t size = is_stanza ? strcspn(key, "\n") : strlen(key);

	put(ctx, marks[form].before, strlen(marks[form].before));
	put(ctx, key, size);
	put(ctx, marks[form].behind, strlen(marks[form].behind));
	if (is_stanza && key[size + 1]) {
		put(ctx, "Architecture: ", strlen("Architecture: "));
		put(ctx, key + size + 1, strlen(key + size + 1));
		put(ctx, "\n", 1);
	}
	if (is_stanza)
		put(ctx, "\n", 1);
}
