/* SPDX-License-Identifier: MIT */
/* The keywords of one entry: values, and which type has which. */
#include "libmlimg/manifest-parser.h"

#include <string.h>

#include "libmlimg/arena.h"

enum keyword { TYPE, MODE, UID, GID, SIZE, TIME, DIGEST, LINK, DEVICE, TAGS, N_KEYWORDS };

static const char *const keywords[N_KEYWORDS] = {
	"type", "mode", "uid", "gid", "size", "time", "sha256digest", "link", "device", "tags"};

static int parse_type(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	for (enum mlimg_type type = MLIMG_FILE; type <= MLIMG_SOCKET; type++) {
		if (mlimg_span_is(s, mlimg_type_name(type))) {
			e->type = type;
			return 0;
		}
	}
	return refuse(p, "unknown type");
}

static int parse_owner(
	struct mlimg_parser *p, struct mlimg_span s, const char *name, uint32_t *ret_id)
{
	uint64_t id;

	if (!mlimg_lex_number(s, UINT32_MAX - 1, &id))
		return refuse(p, "malformed %s", name);
	*ret_id = (uint32_t)id;
	return 0;
}

static int parse_time(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	bool is_negative = s.size > 0 && s.at[0] == '-';
	struct mlimg_span seconds;
	uint64_t n;

	if (is_negative)
		s.at++, s.size--;
	seconds = mlimg_span_cut(&s, '.');
	if (!mlimg_lex_number(seconds, (uint64_t)INT64_MAX + is_negative, &n) ||
		(is_negative && n == 0) || !mlimg_lex_digits(s, 9, 10, &e->mtime_ns))
		return refuse(p, "malformed time");
	e->mtime_s = is_negative ? (int64_t)-n : (int64_t)n;
	return 0;
}

static int parse_digest(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	char hex[MLIMG_SHA256_HEX_SIZE];

	if (s.size != sizeof(hex) - 1)
		return refuse(p, "malformed sha256digest");
	memcpy(hex, s.at, s.size);
	hex[s.size] = '\0';
	e->has_digest = mlimg_sha256_is_hex(hex, e->digest);
	return e->has_digest ? 0 : refuse(p, "malformed sha256digest");
}

static int parse_link(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	size_t size;

	if (s.size < 1 || !mlimg_lex_unescape(s, "", p->buf, MLIMG_LINK_MAX, &size))
		return refuse(p, "malformed link");
	e->link = mlimg_arena_strndup(p->m->arena, p->buf, size);
	return e->link ? 0 : no_memory(p);
}

static int parse_device(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	struct mlimg_span format = mlimg_span_cut(&s, ','), major = mlimg_span_cut(&s, ',');
	uint64_t a, b;

	if (!mlimg_span_is(format, "native") || !mlimg_lex_number(major, 0xfff, &a) ||
		!mlimg_lex_number(s, 0xfffff, &b))
		return refuse(p, "malformed device");
	e->dev_major = (uint32_t)a;
	e->dev_minor = (uint32_t)b;
	return 0;
}

static int parse_links(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	struct mlimg_span group = mlimg_span_cut(&s, ':');
	uint64_t k, n;

	if (!mlimg_lex_number(group, MLIMG_ENTRIES_MAX, &k) || k < 1 ||
		!mlimg_lex_number(s, UINT32_MAX, &n) || n < 2)
		return refuse(p, "malformed links");
	e->hardlink = (uint32_t)k;
	e->nlink = (uint32_t)n;
	return 0;
}

static int parse_xattr(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	struct mlimg_span name = mlimg_span_cut(&s, ':');
	bool has_value = name.at + name.size < s.at;
	struct mlimg_xattr *x;
	size_t size;

	if (e->n_xattrs >= MLIMG_XATTRS_MAX)
		return refuse(p, "more than %d xattrs", MLIMG_XATTRS_MAX);
	if (mlimg_buffer_reserve(
		    &p->xattrs, &p->xattrs_room, (e->n_xattrs + 1) * sizeof(*p->xattrs)) < 0)
		return no_memory(p);
	x = &p->xattrs[e->n_xattrs];
	if (!has_value || name.size < 1 ||
		!mlimg_lex_unescape(name, ",:", p->buf, MLIMG_NAME_MAX, &size))
		return refuse(p, "malformed name of an xattr");
	if (e->n_xattrs > 0 && strcmp(x[-1].name, p->buf) >= 0)
		return refuse(p, "xattr '%s' is out of order", p->buf);
	if (s.size > (MLIMG_XATTR_VALUE_MAX + 2) / 3 * 4)
		return refuse(p, "the value of xattr '%s' is too long", p->buf);
	x->name = mlimg_arena_strndup(p->m->arena, p->buf, size);
	x->value = (uint8_t *)mlimg_arena_strndup(p->m->arena, "", 0);
	if (s.size > 0)
		x->value = mlimg_arena_alloc(p->m->arena, mlimg_lex_base64_room(s));
	if (!x->name || !x->value)
		return no_memory(p);
	if (!mlimg_lex_base64(s, x->value, &x->size) || x->size > MLIMG_XATTR_VALUE_MAX)
		return refuse(p, "malformed value of xattr '%s'", x->name);
	e->n_xattrs++;
	return 0;
}

static int parse_tags(struct mlimg_parser *p, struct mlimg_span s, struct mlimg_entry *e)
{
	int r = 0;

	while (r == 0) {
		bool is_last = !memchr(s.at, ',', s.size);
		struct mlimg_span tag = mlimg_span_cut(&s, ',');
		struct mlimg_span kind = mlimg_span_cut(&tag, ':');

		if (mlimg_span_is(kind, "xattr"))
			r = parse_xattr(p, tag, e);
		else if (mlimg_span_is(kind, "links") && !e->hardlink && !e->n_xattrs)
			r = parse_links(p, tag, e);
		else
			return refuse(p, "malformed tags");
		if (is_last)
			break;
	}
	if (r < 0 || e->n_xattrs == 0)
		return r;
	e->xattrs = mlimg_arena_alloc(p->m->arena, e->n_xattrs * sizeof(*e->xattrs));
	if (!e->xattrs)
		return no_memory(p);
	memcpy(e->xattrs, p->xattrs, e->n_xattrs * sizeof(*e->xattrs));
	return 0;
}

static int parse_value(
	struct mlimg_parser *p, enum keyword keyword, struct mlimg_span s, struct mlimg_entry *e)
{
	uint32_t mode;

	switch (keyword) {
	case TYPE: return parse_type(p, s, e);
	case MODE:
		if (!mlimg_lex_digits(s, 4, 8, &mode))
			return refuse(p, "malformed mode");
		e->mode = (uint16_t)mode;
		return 0;
	case UID: return parse_owner(p, s, "uid", &e->uid);
	case GID: return parse_owner(p, s, "gid", &e->gid);
	case SIZE:
		if (!mlimg_lex_number(s, INT64_MAX, &e->size_bytes))
			return refuse(p, "malformed size");
		return 0;
	case TIME: return parse_time(p, s, e);
	case DIGEST: return parse_digest(p, s, e);
	case LINK: return parse_link(p, s, e);
	case DEVICE: return parse_device(p, s, e);
	default: return parse_tags(p, s, e);
	}
}

/* What an entry of a type must have, and what it may have beside. */
static int check_keywords(struct mlimg_parser *p, unsigned seen, const struct mlimg_entry *e)
{
	unsigned must = 1u << TYPE | 1u << MODE | 1u << UID | 1u << GID | 1u << TIME;
	unsigned may = 1u << TAGS;

	if (e->type == MLIMG_FILE) {
		must |= 1u << SIZE;
		may |= 1u << DIGEST;
	}
	if (e->type == MLIMG_LINK)
		must |= 1u << LINK;
	if (e->type == MLIMG_CHAR || e->type == MLIMG_BLOCK)
		must |= 1u << DEVICE;
	for (enum keyword k = TYPE; k < N_KEYWORDS; k++) {
		if (must & ~seen & 1u << k)
			return refuse(p, "'%s' is missing", keywords[k]);
		if (seen & ~must & ~may & 1u << k)
			return refuse(
				p, "'%s' with type=%s", keywords[k], mlimg_type_name(e->type));
	}
	if (!e->path[0] && e->type != MLIMG_DIR)
		return refuse(p, "the root is no directory");
	if (e->hardlink && e->type == MLIMG_DIR)
		return refuse(p, "a directory has no hard links");
	return 0;
}

/* They mostly come in the order of the list, so the search begins behind the last one. */
static enum keyword find_keyword(struct mlimg_span name, enum keyword begin)
{
	for (unsigned i = 0; i < N_KEYWORDS; i++) {
		enum keyword k = (begin + i) % N_KEYWORDS;

		if (mlimg_span_is(name, keywords[k]))
			return k;
	}
	return N_KEYWORDS;
}

int mlimg_parser_keywords(struct mlimg_parser *p, struct mlimg_span rest, struct mlimg_entry *e)
{
	const char *end = rest.at + rest.size;
	enum keyword k = N_KEYWORDS - 1;
	unsigned seen = 0;
	int r;

	while (rest.size > 0) {
		struct mlimg_span value = mlimg_span_cut(&rest, ' ');
		bool is_last = value.at + value.size == end;
		struct mlimg_span name = mlimg_span_cut(&value, '=');

		k = find_keyword(name, k + 1);
		if (k == N_KEYWORDS || (!is_last && rest.size == 0))
			return refuse(p, "unknown keyword");
		if (seen & 1u << k)
			return refuse(p, "'%s' is there twice", keywords[k]);
		seen |= 1u << k;
		r = parse_value(p, k, value, e);
		if (r < 0)
			return r;
	}
	return check_keywords(p, seen, e);
}
