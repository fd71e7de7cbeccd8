/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/convert-impl.h"
#include "libmlimg/cleanup.h"

#define HEAD "mlimg convert 1 "

/* @return bytes of the first line when it is that of a plan to @to, else 0 */
static size_t head_of(const char *text, size_t size, const char *to)
{
	char head[64];
	int n = snprintf(head, sizeof(head), HEAD "%s\n", to);

	return size >= (size_t)n && memcmp(text, head, (size_t)n) == 0 ? (size_t)n : 0;
}

const char *mlimg_convert_time(const char *text, struct timespec *ret)
{
	size_t digits;
	char *end;

	ret->tv_sec = strtoll(text, &end, 10);
	if (end == text || *end != '.')
		return NULL;
	digits = strspn(end + 1, "0123456789");
	if (digits < 1 || digits > 9 || end[1 + digits] != ' ')
		return NULL;
	ret->tv_nsec = strtol(end + 1, NULL, 10);
	return end + 1 + digits + 1;
}

/* The path of a record, which begins behind its letter and, with t, its numbers. */
static bool is_record(const char *record, bool to_unionfs)
{
	struct timespec time;

	if (!*record || !strchr(to_unionfs ? "worxt" : "dwomt", *record) || record[1] != ' ')
		return false;
	if (*record == 't')
		return mlimg_convert_time(record + 2, &time) != NULL;
	return strlen(record + 2) <= MLIMG_PATH_MAX;
}

int mlimg_convert_parse(
	const char *text, size_t size, struct mlimg_convert_plan *ret_plan, struct mlimg_err *err)
{
	size_t head = head_of(text, size, MLIMG_UNION_UNIONFS);
	struct mlimg_convert_plan plan = {.to_unionfs = head > 0};

	if (!head)
		head = head_of(text, size, MLIMG_UNION_OVERLAY);
	if (!head)
		return mlimg_err_refuse(err, MLIMG_CONVERT_PLAN ": no plan of a known format");
	plan.size = size - head;
	if (plan.size && text[size - 1] != '\0')
		return mlimg_err_refuse(err, MLIMG_CONVERT_PLAN ": it is cut off");
	for (size_t at = head; at < size; at += strlen(text + at) + 1) {
		if (!is_record(text + at, plan.to_unionfs))
			return mlimg_err_refuse(
				err, MLIMG_CONVERT_PLAN ": malformed record at byte %zu", at);
		plan.n_marks += text[at] == 'w' || text[at] == 'o';
	}
	plan.text = malloc(plan.size + 1);
	if (!plan.text)
		return mlimg_err_set(err, ENOMEM, "read " MLIMG_CONVERT_PLAN);
	memcpy(plan.text, text + head, plan.size);
	*ret_plan = plan;
	return 0;
}

int mlimg_convert_put(const struct mlimg_convert_plan *plan, char **ret_text, size_t *ret_size,
	struct mlimg_err *err)
{
	const char *to = plan->to_unionfs ? MLIMG_UNION_UNIONFS : MLIMG_UNION_OVERLAY;
	mlimg_autofree char *text = NULL;
	size_t head;

	if (plan->size > MLIMG_CONVERT_PLAN_MAX - sizeof(HEAD) - strlen(to))
		return mlimg_err_refuse(err,
			MLIMG_CONVERT_PLAN ": the user layer has too much to convert: more than "
					   "%d MiB of steps; nothing was changed",
			MLIMG_CONVERT_PLAN_MAX >> 20);
	text = malloc(sizeof(HEAD) + strlen(to) + 1 + plan->size);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "write " MLIMG_CONVERT_PLAN);
	head = (size_t)sprintf(text, HEAD "%s\n", to);
	memcpy(text + head, plan->text, plan->size);
	*ret_text = mlimg_steal(&text);
	*ret_size = head + plan->size;
	return 0;
}
