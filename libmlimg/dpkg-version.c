/* SPDX-License-Identifier: MIT */
#include "libmlimg/dpkg-version.h"

#include <stdbool.h>
#include <string.h>

/* Part of a version. */
struct part {
	const char *at, *end;
};

static bool is_digit(const struct part *p)
{
	return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

/*
 * '~' sorts before the end, the end before letters, these before all else. Digits end the text as
 * its end does.
 */
static int rank(const struct part *p)
{
	unsigned char c;

	if (p->at == p->end || is_digit(p))
		return 0;
	c = (unsigned char)*p->at;
	if (c == '~')
		return -1;
	if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return c;
	return c + 256;
}

static int compare_texts(struct part *a, struct part *b)
{
	for (;;) {
		int x = rank(a), y = rank(b);

		if (x != y)
			return x < y ? -1 : 1;
		if (x == 0)
			return 0;
		a->at++;
		b->at++;
	}
}

static struct part take_number(struct part *p)
{
	struct part number;

	while (p->at < p->end && *p->at == '0')
		p->at++;
	number.at = p->at;
	while (is_digit(p))
		p->at++;
	number.end = p->at;
	return number;
}

static int compare_numbers(struct part *a, struct part *b)
{
	struct part x = take_number(a), y = take_number(b);

	if (x.end - x.at != y.end - y.at)
		return x.end - x.at < y.end - y.at ? -1 : 1;
	return memcmp(x.at, y.at, (size_t)(x.end - x.at));
}

static int compare(struct part a, struct part b)
{
	while (a.at < a.end || b.at < b.end) {
		int order = compare_texts(&a, &b);

		if (order == 0)
			order = compare_numbers(&a, &b);
		if (order)
			return order;
	}
	return 0;
}

/*
 * The parts in the order in which they count. What is missing is empty, which is the same as "0".
 */
static void split(const char *version, struct part *parts)
{
	const char *end = version + strlen(version), *colon = strchr(version, ':');
	const char *start = colon ? colon + 1 : version, *hyphen = strrchr(start, '-');

	parts[0] = (struct part){version, colon ? colon : version};
	parts[1] = (struct part){start, hyphen ? hyphen : end};
	parts[2] = (struct part){hyphen ? hyphen + 1 : end, end};
}

int mlimg_dpkg_version_cmp(const char *a, const char *b)
{
	struct part x[3], y[3];
	int order = 0;

	split(a, x);
	split(b, y);
	for (int i = 0; i < 3 && order == 0; i++)
		order = compare(x[i], y[i]);
	return order;
}
