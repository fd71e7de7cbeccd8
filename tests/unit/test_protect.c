/* SPDX-License-Identifier: MIT */
#include "guest-agent/protect.h"

#include "tests/lib/test.h"

static struct mlimg_protect *parse(const char *text)
{
	static struct mlimg_protect protect;

	memset(&protect, 0, sizeof(protect));
	mlimg_protect_parse("x.conf", text, strlen(text), &protect);
	return &protect;
}

TEST(lines)
{
	struct mlimg_protect *p = parse("# first\n\n/etc/ld.so.preload\n/srv/*/x\n/srv/*/x\n/a");

	ASSERT_EQ(p->n_patterns, 3);
	ASSERT_STR(p->patterns[0], "etc/ld.so.preload");
	ASSERT_STR(p->patterns[1], "srv/*/x");
	ASSERT_STR(p->patterns[2], "a");
	ASSERT_STR(p->flaw, "");
	p = parse("/a \n/b\t\r\n \n\r\n/c\r");
	ASSERT_EQ(p->n_patterns, 3);
	ASSERT_STR(p->patterns[1], "b");
	ASSERT_STR(p->patterns[2], "c");
	ASSERT_STR(p->flaw, "");
	p = parse("/\nsrv\n/a//b\n/srv/\n/../x\n");
	ASSERT_EQ(p->n_patterns, 0);
	ASSERT_STR(p->flaw, "x.conf, line 1: '/' has empty parts, \".\" or \"..\"");
}

TEST(too_many)
{
	char text[(MLIMG_PROTECT_MAX + 2) * 8] = "";
	struct mlimg_protect *p;

	for (int i = 0; i <= MLIMG_PROTECT_MAX; i++)
		sprintf(text + strlen(text), "/%d\n", i);
	p = parse(text);
	ASSERT_EQ(p->n_patterns, MLIMG_PROTECT_MAX);
	ASSERT_STR(p->flaw, "x.conf, line 257: more than 256 protected paths");
}

TEST(what_a_mount_covers)
{
	struct mlimg_protect *p = parse("/etc/ssl/own-*.pem\n/usr/*/keep/[ab]\n");

	ASSERT(mlimg_protect_is_covered_by(p, "etc"));
	ASSERT(mlimg_protect_is_covered_by(p, "etc/ssl"));
	ASSERT(mlimg_protect_is_covered_by(p, "etc/ssl/own-1.pem"));
	ASSERT(mlimg_protect_is_covered_by(p, "etc/ssl/own-1.pem/below"));
	ASSERT(mlimg_protect_is_covered_by(p, "usr/x"));
	ASSERT(mlimg_protect_is_covered_by(p, "usr/x/keep/b"));
	ASSERT(!mlimg_protect_is_covered_by(p, "etc/ssl/other.pem"));
	ASSERT(!mlimg_protect_is_covered_by(p, "etc/ss"));
	ASSERT(!mlimg_protect_is_covered_by(p, "usr/x/keep/c"));
	ASSERT(!mlimg_protect_is_covered_by(p, "usr/x/y"));
	ASSERT(!mlimg_protect_is_covered_by(p, "home"));
	p = parse("");
	ASSERT(!mlimg_protect_is_covered_by(p, "etc"));
}
