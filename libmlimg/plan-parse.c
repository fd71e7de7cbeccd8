/* SPDX-License-Identifier: MIT */
/* The reader of plans, which a stranger may have written. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/manifest-lex.h"
#include "libmlimg/path.h"
#include "libmlimg/plan.h"
#include "libmlimg/text.h"
#include "libmlimg/whiteout.h"

struct reader {
	struct mlimg_span rest;
	struct mlimg_plan *plan;
	struct mlimg_text again; /* an entry as it is written */
	uint64_t n_ops, n_blobs;
	struct mlimg_err *err;
};

/* What an operation has beside its path. */
enum fields { PATH_ONLY, ENTRY, BLOB_AND_ENTRY, UNKNOWN };

static enum fields fields_of(char verb)
{
	switch (verb) {
	case MLIMG_PLAN_DROP:
	case MLIMG_PLAN_SET_ASIDE:
	case MLIMG_PLAN_JOIN:
	case MLIMG_PLAN_CLOSE:
	case MLIMG_PLAN_HIDE: return PATH_ONLY;
	case MLIMG_PLAN_DROP_DIR:
	case MLIMG_PLAN_SET_ATTRS:
	case MLIMG_PLAN_TAKE_NEXT:
	case MLIMG_PLAN_PUT_BESIDE:
	case MLIMG_PLAN_MAKE_DIR: return ENTRY;
	case MLIMG_PLAN_PUT: return BLOB_AND_ENTRY;
	default: return UNKNOWN;
	}
}

static int refuse_op(const struct reader *rd, const char *what)
{
	return mlimg_err_refuse(rd->err, "operation %zu: %s", rd->plan->n_ops + 1, what);
}

static int no_memory(const struct reader *rd)
{
	return mlimg_err_set(rd->err, ENOMEM, "read it");
}

/* @return whether there is a field that ends with a NUL, and what is before that */
static bool take_field(struct reader *rd, struct mlimg_span *ret)
{
	if (!rd->rest.size || !memchr(rd->rest.at, '\0', rd->rest.size))
		return false;
	*ret = mlimg_span_cut(&rd->rest, '\0');
	return true;
}

/* The same where a space stands before it. */
static bool take_further(struct reader *rd, struct mlimg_span *ret)
{
	if (!take_field(rd, ret) || !ret->size || ret->at[0] != ' ')
		return false;
	ret->at++;
	ret->size--;
	return true;
}

static int take_path(struct reader *rd, struct mlimg_plan_op *op)
{
	struct mlimg_span s;

	if (!take_field(rd, &s) || s.size < 3 || s.at[1] != ' ')
		return refuse_op(rd, "malformed");
	op->verb = (uint8_t)s.at[0];
	if (fields_of((char)op->verb) == UNKNOWN)
		return refuse_op(rd, "an unknown letter");
	if (s.size - 2 > MLIMG_PATH_MAX || !mlimg_manifest_path_is_valid(s.at + 2))
		return refuse_op(rd, "malformed path");
	op->path = mlimg_arena_strndup(rd->plan->arena, s.at + 2, s.size - 2);
	return op->path ? 0 : no_memory(rd);
}

/* One spelling: the one that is written. */
static int check_spelling(struct reader *rd, struct mlimg_span s, const struct mlimg_entry *e)
{
	rd->again.size = 0;
	mlimg_manifest_put_entry(e, mlimg_text_put, &rd->again);
	if (rd->again.has_failed)
		return no_memory(rd);
	if (rd->again.size != s.size + 1 || memcmp(rd->again.data, s.at, s.size) != 0)
		return refuse_op(rd, "an entry that is not in canonical form");
	return 0;
}

static bool has_overlay_xattrs(const struct mlimg_entry *e)
{
	for (uint32_t i = 0; i < e->n_xattrs; i++)
		if (mlimg_xattr_is_overlay(e->xattrs[i].name))
			return true;
	return false;
}

/* @return why @op cannot have its entry, or NULL */
static const char *misfit(const struct mlimg_plan_op *op)
{
	const struct mlimg_entry *e = op->entry;
	bool takes_next = op->verb == MLIMG_PLAN_TAKE_NEXT || op->verb == MLIMG_PLAN_PUT_BESIDE;

	if (!e->path[0] || (!takes_next && strcmp(e->path, op->path) != 0))
		return "an entry of another path";
	if (e->hardlink)
		return "an entry with hard links";
	if (op->verb != MLIMG_PLAN_DROP_DIR && has_overlay_xattrs(e))
		return "an entry with overlayfs' own xattrs";
	if ((op->verb == MLIMG_PLAN_DROP_DIR || op->verb == MLIMG_PLAN_MAKE_DIR) !=
			(e->type == MLIMG_DIR) &&
		op->verb != MLIMG_PLAN_SET_ATTRS)
		return "an entry of another type";
	if ((op->verb == MLIMG_PLAN_PUT || op->verb == MLIMG_PLAN_PUT_BESIDE) &&
		e->type != MLIMG_FILE)
		return "an entry of another type";
	if (mlimg_entry_is_whiteout(e))
		return "an entry that is a whiteout";
	if (takes_next && e->type == MLIMG_FILE && !e->has_digest)
		return "a file without digest";
	return NULL;
}

static int take_entry(struct reader *rd, struct mlimg_plan_op *op)
{
	struct mlimg_span s;
	const char *why;
	int r;

	op->entry = mlimg_arena_alloc(rd->plan->arena, sizeof(*op->entry));
	if (!op->entry)
		return no_memory(rd);
	if (!take_further(rd, &s))
		return refuse_op(rd, "no entry");
	r = mlimg_manifest_parse_line(s.at, s.size, rd->plan->arena, op->entry, rd->err);
	if (r < 0)
		return mlimg_err_wrap(rd->err, r, "operation %zu", rd->plan->n_ops + 1);
	r = check_spelling(rd, s, op->entry);
	if (r < 0)
		return r;
	why = misfit(op);
	return why ? refuse_op(rd, why) : 0;
}

static int take_op(struct reader *rd)
{
	struct mlimg_plan *plan = rd->plan;
	struct mlimg_plan_op op = {.path = NULL};
	struct mlimg_span s;
	enum fields fields;
	uint64_t blob;
	int r = take_path(rd, &op);

	if (r < 0)
		return r;
	fields = fields_of((char)op.verb);
	if (fields == BLOB_AND_ENTRY) {
		if (!take_further(rd, &s) || !mlimg_lex_number(s, UINT32_MAX, &blob) ||
			blob >= rd->n_blobs)
			return refuse_op(rd, "a blob that is not there");
		op.blob = (uint32_t)blob;
	}
	if (fields != PATH_ONLY)
		r = take_entry(rd, &op);
	if (r < 0)
		return r;
	if (mlimg_buffer_reserve(
		    &plan->ops, &plan->ops_room, (plan->n_ops + 1) * sizeof(*plan->ops)) < 0)
		return no_memory(rd);
	plan->ops[plan->n_ops++] = op;
	return 0;
}

static int refuse_blob(const struct reader *rd, const char *what)
{
	return mlimg_err_refuse(rd->err, "blob %zu: %s", rd->plan->n_blobs, what);
}

static bool take_digest(struct mlimg_span s, uint8_t ret_digest[MLIMG_SHA256_SIZE])
{
	char hex[MLIMG_SHA256_HEX_SIZE], again[MLIMG_SHA256_HEX_SIZE];

	if (s.size != sizeof(hex) - 1)
		return false;
	memcpy(hex, s.at, s.size);
	hex[s.size] = '\0';
	if (!mlimg_sha256_is_hex(hex, ret_digest))
		return false;
	mlimg_sha256_hex(ret_digest, again);
	return strcmp(hex, again) == 0;
}

static int take_blob(struct reader *rd)
{
	struct mlimg_span line, size;
	uint8_t digest[MLIMG_SHA256_SIZE];
	uint64_t n;
	uint32_t i;
	int r;

	if (!rd->rest.size || !memchr(rd->rest.at, '\n', rd->rest.size))
		return refuse_blob(rd, "missing");
	line = mlimg_span_cut(&rd->rest, '\n');
	size = mlimg_span_cut(&line, ' ');
	if (!mlimg_lex_number(size, MLIMG_PLAN_BLOB_MAX, &n) || !take_digest(line, digest))
		return refuse_blob(rd, "malformed");
	if (n > rd->rest.size)
		return refuse_blob(rd, "cut off");
	r = mlimg_plan_add_blob(rd->plan, rd->rest.at, (size_t)n, &i, rd->err);
	if (r < 0)
		return r;
	if (memcmp(rd->plan->blobs[i].digest, digest, sizeof(digest)) != 0)
		return mlimg_err_refuse(rd->err, "blob %" PRIu32 ": another digest", i);
	rd->rest.at += n;
	rd->rest.size -= (size_t)n;
	return 0;
}

static bool take_id(struct mlimg_span s, char ret[MLIMG_SHA256_HEX_SIZE])
{
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (!take_digest(s, digest))
		return false;
	mlimg_sha256_hex(digest, ret);
	return true;
}

static int take_head(struct reader *rd)
{
	static const char magic[] = "mlimg reconcile 1 ";
	struct mlimg_span line = {NULL, 0}, generation, from, to, ops;

	if (rd->rest.size && memchr(rd->rest.at, '\n', rd->rest.size))
		line = mlimg_span_cut(&rd->rest, '\n');
	if (line.size < sizeof(magic) - 1 || memcmp(line.at, magic, sizeof(magic) - 1) != 0)
		return mlimg_err_refuse(rd->err, "not a plan of this version");
	line.at += sizeof(magic) - 1;
	line.size -= sizeof(magic) - 1;
	generation = mlimg_span_cut(&line, ' ');
	from = mlimg_span_cut(&line, ' ');
	to = mlimg_span_cut(&line, ' ');
	ops = mlimg_span_cut(&line, ' ');
	if (!mlimg_lex_number(generation, MLIMG_BOOT_GENERATION_MAX, &rd->plan->generation) ||
		rd->plan->generation == 0 || !take_id(from, rd->plan->from) ||
		!take_id(to, rd->plan->to) ||
		!mlimg_lex_number(ops, MLIMG_PLAN_OPS_MAX, &rd->n_ops) ||
		!mlimg_lex_number(line, MLIMG_PLAN_BLOBS_MAX, &rd->n_blobs))
		return mlimg_err_refuse(rd->err, "malformed first line");
	return 0;
}

static int take_all(struct reader *rd)
{
	int r = take_head(rd);

	while (r == 0 && rd->plan->n_ops < rd->n_ops)
		r = take_op(rd);
	while (r == 0 && rd->plan->n_blobs < rd->n_blobs)
		r = take_blob(rd);
	if (r == 0 && rd->rest.size)
		r = mlimg_err_refuse(rd->err, "something behind its end");
	return r;
}

int mlimg_plan_parse(
	const char *text, size_t size, struct mlimg_plan *ret_plan, struct mlimg_err *err)
{
	struct mlimg_plan plan;
	struct reader rd = {.rest = {text, size}, .plan = &plan, .err = err};
	int r = mlimg_plan_init(&plan, err);

	if (r == 0)
		r = take_all(&rd);
	free(rd.again.data);
	if (r < 0) {
		mlimg_plan_done(&plan);
		return mlimg_err_wrap(err, r, MLIMG_PLAN_FILE);
	}
	*ret_plan = plan;
	return 0;
}
