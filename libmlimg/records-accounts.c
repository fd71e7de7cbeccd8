/* SPDX-License-Identifier: MIT */
/* Records of users and groups: lines whose lists of members differ by member. */
#include <stdint.h>
#include <string.h>

#include "libmlimg/records-parse.h"

#define LISTS_BEGIN_GROUP 3
#define LISTS_BEGIN_GSHADOW 2

/* A part of a line. */
struct span {
	const char *at;
	size_t size;
};

size_t mlimg_record_account_key(const char *line, size_t size, bool *ret_gone, const char **ret_key)
{
	const char *colon = memchr(line, ':', size);

	*ret_gone = colon == line;
	*ret_key = *ret_gone ? line + 1 : line;
	if (*ret_gone)
		return size - 1;
	return colon && !strchr("#+-", line[0]) ? (size_t)(colon - line) : size;
}

/* The number of the first field that is a list; all from there on are. */
static size_t lists_of(enum mlimg_records_form form)
{
	return form == MLIMG_RECORDS_GROUPS      ? LISTS_BEGIN_GROUP
		: form == MLIMG_RECORDS_GSHADOWS ? LISTS_BEGIN_GSHADOW
						 : SIZE_MAX;
}

/* The next part that ends with @c or with the whole. @return false when there is none */
static bool next_part(struct span *rest, char c, struct span *ret)
{
	const char *end;

	if (!rest->at)
		return false;
	end = memchr(rest->at, c, rest->size);
	*ret = (struct span){rest->at, end ? (size_t)(end - rest->at) : rest->size};
	*rest = end ? (struct span){end + 1, rest->size - ret->size - 1} : (struct span){NULL, 0};
	return true;
}

static struct span line_of(const struct mlimg_record *record)
{
	return record ? (struct span){record->text, record->size - 1} : (struct span){NULL, 0};
}

/* The field of that number; empty when there is none. */
static struct span field_of(const struct mlimg_record *record, size_t i)
{
	struct span rest = line_of(record), field = {"", 0};

	for (size_t k = 0; k <= i; k++)
		if (!next_part(&rest, ':', &field))
			return (struct span){"", 0};
	return field;
}

static bool is_sign(char c)
{
	return c == '+' || c == '-';
}

static struct span without_sign(struct span member)
{
	return member.size && is_sign(member.at[0]) ? (struct span){member.at + 1, member.size - 1}
						    : member;
}

/* @return the member of that name, whatever its sign, or one of no size */
static struct span find(struct span list, struct span name)
{
	struct span member;

	while (next_part(&list, ',', &member)) {
		struct span is = without_sign(member);

		if (member.size && is.size == name.size && memcmp(is.at, name.at, name.size) == 0)
			return member;
	}
	return (struct span){NULL, 0};
}

static void put_member(struct mlimg_text *out, const char *sign, struct span name, bool *is_first)
{
	if (!*is_first)
		mlimg_text_put(out, ",", 1);
	mlimg_text_put(out, sign, strlen(sign));
	mlimg_text_put(out, name.at, name.size);
	*is_first = false;
}

bool mlimg_record_has_signs(enum mlimg_records_form form, const struct mlimg_record *record)
{
	struct span rest = line_of(record), field, member;

	if (strchr("#+-", record->text[0]))
		return false;
	for (size_t i = 0; next_part(&rest, ':', &field); i++)
		while (i >= lists_of(form) && next_part(&field, ',', &member))
			if (member.size && is_sign(member.at[0]))
				return true;
	return false;
}

static void put_list_change(struct mlimg_text *out, struct span was, struct span now)
{
	struct span rest = now, member;
	bool is_first = true;

	while (next_part(&rest, ',', &member))
		if (member.size && !find(was, member).size)
			put_member(out, "+", member, &is_first);
	rest = was;
	while (next_part(&rest, ',', &member))
		if (member.size && !find(now, member).size)
			put_member(out, "-", member, &is_first);
}

static void put_list(struct mlimg_text *out, struct span was, struct span change)
{
	struct span rest = was, member;
	bool is_first = true;

	while (next_part(&rest, ',', &member)) {
		struct span changed = find(change, member);

		if (member.size && !(changed.size && changed.at[0] == '-'))
			put_member(out, "", member, &is_first);
	}
	rest = change;
	while (next_part(&rest, ',', &member)) {
		struct span name = without_sign(member);

		if (name.size && member.at[0] != '-' && !find(was, name).size)
			put_member(out, "", name, &is_first);
	}
}

/* A line that is no account has no fields. */
static bool is_whole(enum mlimg_records_form form, const struct mlimg_record *record)
{
	return lists_of(form) == SIZE_MAX || strchr("#+-", record->text[0]) ||
		!memchr(record->text, ':', record->size);
}

static void put_fields(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now, struct mlimg_text *out,
	void (*put)(struct mlimg_text *out, struct span was, struct span now))
{
	struct span rest = line_of(now), field;

	for (size_t i = 0; next_part(&rest, ':', &field); i++) {
		if (i)
			mlimg_text_put(out, ":", 1);
		if (i < lists_of(form))
			mlimg_text_put(out, field.at, field.size);
		else
			put(out, field_of(was, i), field);
	}
	mlimg_text_put(out, "\n", 1);
}

/* Whether all of @a's members are in @b. */
static bool has_all(struct span b, struct span a)
{
	struct span member;

	while (next_part(&a, ',', &member))
		if (member.size && !find(b, member).size)
			return false;
	return true;
}

/* Members in another order are the same. */
static bool is_same(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now)
{
	struct span a = line_of(was), b = line_of(now), x, y;

	for (size_t i = 0;; i++) {
		bool is_there = next_part(&a, ':', &x);

		if (next_part(&b, ':', &y) != is_there)
			return false;
		if (!is_there)
			return true;
		if (i < lists_of(form) ? x.size != y.size || memcmp(x.at, y.at, x.size) != 0
				       : !has_all(x, y) || !has_all(y, x))
			return false;
	}
}

bool mlimg_record_put_change(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now, struct mlimg_text *out)
{
	if (is_whole(form, now)) {
		mlimg_text_put(out, now->text, now->size);
		return true;
	}
	if (is_same(form, was, now))
		return false;
	put_fields(form, was, now, out, put_list_change);
	return true;
}

void mlimg_record_put_changed(enum mlimg_records_form form, const struct mlimg_record *was,
	const struct mlimg_record *now, struct mlimg_text *out)
{
	if (is_whole(form, now))
		mlimg_text_put(out, now->text, now->size);
	else
		put_fields(form, was, now, out, put_list);
}
