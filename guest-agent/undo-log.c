/* SPDX-License-Identifier: MIT */
#include "guest-agent/undo-log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/manifest-lex.h"

#define HEAD "mlimg undo 1 "
#define SCRATCH_RECORDS 1024 /* whose memory is kept before it is given back */

static const char part_letters[] = "mht";

/* --- writing --- */

static void put_text(mlimg_sink *sink, void *ctx, const char *text)
{
	sink(ctx, text, strlen(text));
}

/* The newline is the last byte of the last piece. */
struct line {
	mlimg_sink *sink;
	void *ctx;
};

static void put_piece(void *ctx, const char *data, size_t size)
{
	const struct line *line = ctx;

	line->sink(line->ctx, data, size - (size > 0 && data[size - 1] == '\n'));
}

static void put_entry(mlimg_sink *sink, void *ctx, const struct mlimg_entry *entry)
{
	struct line line = {sink, ctx};

	mlimg_manifest_put_entry(entry, put_piece, &line);
	sink(ctx, "", 1);
}

static void put_time(mlimg_sink *sink, void *ctx, const struct mlimg_undo_time *time)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRId64 ".%09" PRIu32 " ", time->s, time->ns);
	put_text(sink, ctx, text);
}

static void put_parts(mlimg_sink *sink, void *ctx, unsigned parts)
{
	for (size_t i = 0; part_letters[i]; i++)
		if (parts & (1u << i))
			sink(ctx, &part_letters[i], 1);
	sink(ctx, " ", 1);
}

void mlimg_undo_log_put_head(bool is_unionfs, mlimg_sink *sink, void *ctx)
{
	put_text(sink, ctx, is_unionfs ? HEAD "unionfs\n" : HEAD "overlay\n");
}

void mlimg_undo_log_put(const struct mlimg_undo_record *record, mlimg_sink *sink, void *ctx)
{
	const char op[] = {record->op, ' '};

	sink(ctx, op, sizeof(op));
	switch (record->op) {
	case 'e': put_parts(sink, ctx, record->parts); __attribute__((fallthrough));
	case 'i': put_entry(sink, ctx, &record->entry); return;
	case 's':
		put_entry(sink, ctx, &record->entry);
		put_entry(sink, ctx, &record->fresh);
		return;
	case 't':
		put_time(sink, ctx, &record->old_time);
		put_time(sink, ctx, &record->new_time);
		break;
	case 'u':
	case 'c': break;
	default: put_parts(sink, ctx, record->parts);
	}
	sink(ctx, record->path, strlen(record->path) + 1);
}

/* --- reading --- */

static bool parse_time(struct mlimg_span *rest, struct mlimg_undo_time *ret)
{
	struct mlimg_span ns = mlimg_span_cut(rest, ' '), s = mlimg_span_cut(&ns, '.');
	bool is_negative = s.size > 0 && s.at[0] == '-';
	uint64_t number;

	if (is_negative) {
		s.at++;
		s.size--;
	}
	if (!mlimg_lex_number(s, INT64_MAX, &number) || !mlimg_lex_digits(ns, 9, 10, &ret->ns) ||
		(is_negative && number == 0))
		return false;
	ret->s = is_negative ? -(int64_t)number : (int64_t)number;
	return true;
}

/* In their order, none twice. */
static bool parse_parts(struct mlimg_span s, unsigned *ret)
{
	size_t at = 0;

	*ret = 0;
	for (size_t i = 0; part_letters[i]; i++)
		if (at < s.size && s.at[at] == part_letters[i]) {
			*ret |= 1u << i;
			at++;
		}
	return s.size > 0 && at == s.size;
}

/* "" is the root. */
static bool is_path(const char *path, bool may_be_root)
{
	if (!*path)
		return may_be_root;
	return strlen(path) <= MLIMG_PATH_MAX && mlimg_manifest_path_is_valid(path);
}

static int parse_entry(struct mlimg_arena *memory, const char **text, struct mlimg_entry *ret,
	struct mlimg_err *err)
{
	size_t size = strlen(*text);
	int r = mlimg_manifest_parse_line(*text, size, memory, ret, err);

	*text += size + 1;
	return r;
}

static int parse_empty(struct mlimg_arena *memory, const char **text, struct mlimg_undo_record *ret,
	struct mlimg_err *err)
{
	size_t n = strcspn(*text, " ");

	if (!(*text)[n] || !parse_parts((struct mlimg_span){*text, n}, &ret->parts))
		return mlimg_err_refuse(err, "malformed");
	*text += n + 1;
	return parse_entry(memory, text, &ret->entry, err);
}

static int parse_two(struct mlimg_arena *memory, const char **text, struct mlimg_undo_record *ret,
	struct mlimg_err *err)
{
	int r = parse_entry(memory, text, &ret->entry, err);

	if (r == 0 && !**text)
		r = mlimg_err_refuse(err, "the second entry is missing");
	if (r == 0)
		r = parse_entry(memory, text, &ret->fresh, err);
	if (r == 0 &&
		(strcmp(ret->entry.path, ret->fresh.path) != 0 ||
			ret->entry.type != ret->fresh.type))
		r = mlimg_err_refuse(err, "two entries that are not of one thing");
	return r;
}

static int parse_plain(const char *text, struct mlimg_undo_record *ret, struct mlimg_err *err)
{
	struct mlimg_span rest = {text, strlen(text)};
	bool is_right;

	if (ret->op == 't')
		is_right = parse_time(&rest, &ret->old_time) && parse_time(&rest, &ret->new_time);
	else
		is_right = strchr("uc", ret->op) ||
			parse_parts(mlimg_span_cut(&rest, ' '), &ret->parts);
	if (!is_right || !is_path(rest.at, ret->op == 't'))
		return mlimg_err_refuse(err, "malformed");
	ret->path = rest.at;
	return 0;
}

/* @text: the record. @return 0 and where the next one begins */
static int parse_record(struct mlimg_arena *memory, const char *text, struct mlimg_undo_record *ret,
	const char **ret_next, struct mlimg_err *err)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!text[0] || !strchr("oaeisuct", text[0]) || text[1] != ' ')
		return mlimg_err_refuse(err, "no step of a known kind");
	ret->op = text[0];
	text += 2;
	switch (ret->op) {
	case 'e': r = parse_empty(memory, &text, ret, err); break;
	case 'i': r = parse_entry(memory, &text, &ret->entry, err); break;
	case 's': r = parse_two(memory, &text, ret, err); break;
	default: r = parse_plain(text, ret, err); text += strlen(text) + 1;
	}
	if (r < 0)
		return r;
	if (!ret->path)
		ret->path = ret->entry.path;
	if (!ret->path[0] && !strchr("st", ret->op))
		return mlimg_err_refuse(err, "the root is not moved");
	*ret_next = text;
	return 0;
}

/* Memory of records is given back from time to time. */
static int renew_scratch(struct mlimg_undo_log *log, struct mlimg_err *err)
{
	if (log->scratch && ++log->n_scratch < SCRATCH_RECORDS)
		return 0;
	mlimg_arena_free(log->scratch);
	log->n_scratch = 0;
	log->scratch = mlimg_arena_new();
	return log->scratch ? 0 : mlimg_err_set(err, ENOMEM, "undo log");
}

static int parse_all(
	struct mlimg_undo_log *log, const char *from, const char *end, struct mlimg_err *err)
{
	struct mlimg_undo_record record;
	size_t room = 0;
	int r = 0;

	while (from < end && r == 0) {
		r = renew_scratch(log, err);
		if (r == 0 &&
			mlimg_buffer_reserve(
				&log->at, &room, (log->n_records + 1) * sizeof(*log->at)) < 0)
			r = mlimg_err_set(err, ENOMEM, "undo log");
		if (r < 0)
			break;
		log->at[log->n_records] = (size_t)(from - log->text);
		r = parse_record(log->scratch, from, &record, &from, err);
		if (r < 0)
			return mlimg_err_wrap(err, r, "undo log: step %zu", log->n_records);
		log->n_records++;
	}
	return r;
}

int mlimg_undo_log_parse(
	char *text, size_t size, struct mlimg_undo_log *ret_log, struct mlimg_err *err)
{
	static const char *const heads[] = {HEAD "overlay\n", HEAD "unionfs\n"};
	struct mlimg_undo_log log = {.text = text};
	size_t head = 0;
	int r;

	for (size_t i = 0; i < 2; i++)
		if (strncmp(text, heads[i], strlen(heads[i])) == 0) {
			head = strlen(heads[i]);
			log.is_unionfs = i == 1;
		}
	if (!head)
		r = mlimg_err_refuse(err, "undo log: not of a known format");
	else if (size > head && text[size - 1] != '\0')
		r = mlimg_err_refuse(err, "undo log: it is cut off");
	else
		r = parse_all(&log, text + head, text + size, err);
	if (r < 0)
		mlimg_undo_log_done(&log);
	else
		*ret_log = log;
	return r;
}

int mlimg_undo_log_read(int dir_fd, struct mlimg_undo_log *ret_log, struct mlimg_err *err)
{
	char *text;
	size_t size;
	int r = mlimg_read_beneath(dir_fd, "log", MLIMG_UNDO_LOG_MAX, &text, &size, err);

	return r < 0 ? r : mlimg_undo_log_parse(text, size, ret_log, err);
}

int mlimg_undo_log_get(struct mlimg_undo_log *log, size_t n, struct mlimg_undo_record *ret_record,
	struct mlimg_err *err)
{
	const char *next;
	int r = renew_scratch(log, err);

	return r < 0 ? r
		     : parse_record(log->scratch, log->text + log->at[n], ret_record, &next, err);
}

void mlimg_undo_log_done(struct mlimg_undo_log *log)
{
	free(log->text);
	free(log->at);
	mlimg_arena_free(log->scratch);
	memset(log, 0, sizeof(*log));
}
