/* SPDX-License-Identifier: MIT */
#include "guest-agent/protect.h"

#include "tests/lib/test.h"

static struct mlimg_protect protect;

static struct mlimg_protected *parse(const char *text)
{
	memset(&protect, 0, sizeof(protect));
	mlimg_protected_parse("x.conf", text, strlen(text), &protect.declared);
	return &protect.declared;
}

TEST(lines)
{
	struct mlimg_protected *p = parse("# first\n\n/etc/ld.so.preload\n/srv/*/x\n/srv/*/x\n/a");

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
	char text[(MLIMG_PROTECTED_MAX + 2) * 8] = "";
	struct mlimg_protected *p;

	for (int i = 0; i <= MLIMG_PROTECTED_MAX; i++)
		sprintf(text + strlen(text), "/%d\n", i);
	p = parse(text);
	ASSERT_EQ(p->n_patterns, MLIMG_PROTECTED_MAX);
	ASSERT_STR(p->flaw, "x.conf, line 257: more than 256 protected paths");
}

TEST(what_a_mount_covers)
{
	parse("/etc/ssl/own-*.pem\n/usr/*/keep/[ab]\n");

	ASSERT(mlimg_protect_is_covered_by(&protect, "etc"));
	ASSERT(mlimg_protect_is_covered_by(&protect, "etc/ssl"));
	ASSERT(mlimg_protect_is_covered_by(&protect, "etc/ssl/own-1.pem"));
	ASSERT(mlimg_protect_is_covered_by(&protect, "etc/ssl/own-1.pem/below"));
	ASSERT(mlimg_protect_is_covered_by(&protect, "usr/x"));
	ASSERT(mlimg_protect_is_covered_by(&protect, "usr/x/keep/b"));
	ASSERT(!mlimg_protect_is_covered_by(&protect, "etc/ssl/other.pem"));
	ASSERT(!mlimg_protect_is_covered_by(&protect, "etc/ss"));
	ASSERT(!mlimg_protect_is_covered_by(&protect, "usr/x/keep/c"));
	ASSERT(!mlimg_protect_is_covered_by(&protect, "usr/x/y"));
	ASSERT(!mlimg_protect_is_covered_by(&protect, "home"));
	parse("");
	ASSERT(!mlimg_protect_is_covered_by(&protect, "etc"));
}
