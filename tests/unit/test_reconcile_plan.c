/* SPDX-License-Identifier: MIT */
/* What is planned for entries that are no directories. */
#include "tests/lib/plan-words.h"

TEST(what_one_side_changed)
{
	check("etc/a=A", "etc/a=A", "etc/a=B", "", "");
	check("etc/a=A", "etc/a=B", "etc/a=A", "d etc/a; D etc=d",
		TOLD("stale", "config", "dropped"));
	check("etc/a=A", "etc/a=B", "etc/a=B", "d etc/a; D etc=d",
		TOLD("same", "config", "dropped"));
	check("etc/a=A", "", "etc/a=A", "d etc/a; D etc=d", TOLD("stale", "config", "dropped"));
	check("", "", "etc/a=A", "", "");
	check("etc=d", "etc=d", "etc/a=A home/me/b=B", "", "");
	check("etc/a=A", "etc/a=A", "etc/a=W", "", "");
	check("etc/a=A", "", "etc/a=W", "d etc/a; D etc=d",
		TOLD("whiteout-gone", "config", "dropped"));
	check("etc/a=A", "etc/a=B", "etc/a=W", "", TOLD("whiteout-changed", "config", "stays"));
}

TEST(both_changed_the_same_of_it)
{
	check("etc/a=A", "etc/a=B", "etc/a=C", "n etc/a.mlimg-new=B",
		TOLD("conflict", "config", "beside"));
	check("usr/a=A", "usr/a=B", "usr/a=C", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check("var/a=A", "var/a=B", "var/a=C", "", TOLD("conflict", "data", "stays"));
	check("etc/passwd=A", "etc/passwd=B", "etc/passwd=C", "",
		TOLD("conflict", "accounts", "stays"));
	check("var/lib/dpkg/status=A", "var/lib/dpkg/status=B", "var/lib/dpkg/status=C", "",
		TOLD("conflict", "packages", "stays"));
	check("etc/fstab=A", "etc/fstab=B", "etc/fstab=C", "", "");
	check("etc/fstab=A", "etc/fstab=B", "etc/fstab=A", "", "");
	check("etc/fstab=A", "", "etc/fstab=W", "", "");
	/* Both made it. */
	check("etc=d", "etc/a=B", "etc/a=C", "n etc/a.mlimg-new=B",
		TOLD("conflict", "config", "beside"));
	/* It is gone from the new stack. */
	check("etc/a=A", "etc=d", "etc/a=C", "", TOLD("conflict", "config", "stays"));
	check("usr/a=A", "usr=d", "usr/a=C", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
	check("var/a=A", "var=d", "var/a=C", "", TOLD("conflict", "data", "stays"));
	/* Links are told only. */
	check("etc/a=>x", "etc/a=>y", "etc/a=>z", "", TOLD("conflict", "config", "stays"));
}

#define LD_CACHE "etc/ld.so.cache=T:glibc-ld.so.cache1.1"
#define TAG "var/cache/man/CACHEDIR.TAG"

TEST(caches_are_dropped)
{
	struct mlimg_report report;
	struct mlimg_plan plan;

	check("etc/ld.so.cache=A", "etc/ld.so.cache=A", LD_CACHE, "d etc/ld.so.cache; D etc=d",
		TOLD("stale", "derived", "dropped"));
	check("etc=d", "etc=d", LD_CACHE, "d etc/ld.so.cache; D etc=d",
		TOLD("stale", "derived", "dropped"));
	check("var=d", "var=d", TAG "=T:Signature:_8a477f597d28d172789f06886806bc55", "d " TAG,
		TOLD("stale", "derived", "dropped"));
	plan_with((struct mlimg_reconcile_input){.base = NULL}, "", "",
		"etc/ld.so.cache=W var/cache/man/index.db=A var/cache/man/de/index.db=A", &report,
		&plan);
	ASSERT_EQ(report.n_rebuild, 2);
	ASSERT_STR(report.rebuild[0], "etc/ld.so.cache");
	ASSERT_STR(report.rebuild[1], "var/cache/man");
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
}

/* The program would replace it, and so would mlimg-agent rebuild. */
TEST(what_a_user_wrote_in_the_place_of_a_cache_is_set_aside)
{
	struct mlimg_report report;
	struct mlimg_plan plan;

	check("etc=d", "etc=d", "etc/ld.so.cache=B", "a etc/ld.so.cache; D etc=d",
		TOLD("conflict", "derived", "aside") ", \"at\": \"aside/2/etc/ld.so.cache\", "
						     "\"why\": \"not what the program writes that "
						     "has its cache there\"");
	check(LD_CACHE, LD_CACHE, "etc/ld.so.cache=B", "a etc/ld.so.cache; D etc=d",
		TOLD("conflict", "derived", "aside"));
	check("var=d", "var=d", TAG "=T:Signature", "a " TAG, NULL);
	/* The stack has it so. */
	check("etc/ld.so.cache=A", LD_CACHE, "etc/ld.so.cache=A", "d etc/ld.so.cache; D etc=d",
		TOLD("stale", "derived", "dropped"));
	check("etc/ld.so.cache=A", "etc/ld.so.cache=B", "etc/ld.so.cache=B",
		"d etc/ld.so.cache; D etc=d", TOLD("same", "derived", "dropped"));
	/* It is made anew all the same. */
	plan_with((struct mlimg_reconcile_input){.base = NULL}, "", "", "etc/ld.so.cache=B",
		&report, &plan);
	ASSERT_EQ(report.n_rebuild, 1);
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
	/* A link is none, whatever is declared. */
	more_classes = "etc/ld.so.cache derived\n";
	check("etc=d", "etc=d", "etc/ld.so.cache=>x", "a etc/ld.so.cache; D etc=d",
		TOLD("conflict", "derived", "aside"));
	more_classes = NULL;
}

/* Nobody knows how to make them anew, nor who wrote them. */
TEST(what_is_declared_as_derived)
{
	more_classes = "var/c derived\n";
	check("var/c/a=A", "var/c/a=B", "var/c/a=A", "d var/c/a; D var/c=d; D var=d",
		TOLD("stale", "derived", "dropped"));
	check("var/c/a=A", "var/c/a=B", "var/c/a=W", "d var/c/a; D var/c=d; D var=d",
		TOLD("stale", "derived", "dropped"));
	check("var/c/a=A", "var/c/a=A", "var/c/a=C", "a var/c/a; D var/c=d; D var=d",
		TOLD("conflict", "derived", "aside"));
	check("var/c=d", "var/c=d", "var/c/a=>x", "a var/c/a; D var/c=d; D var=d",
		TOLD("conflict", "derived", "aside"));
	more_classes = NULL;
}

/* What only lies where caches do is the user's. */
TEST(what_is_beside_caches_stays)
{
	check("usr/share/info/dir=A", "usr/share/info/dir=A", "usr/share/info/dir=>mine", "", "");
	check("usr/share/info/dir=A", "usr/share/info/dir=B", "usr/share/info/dir=>mine",
		"a usr/share/info/dir; D usr/share/info=d; D usr/share=d; D usr=d",
		TOLD("type-change", "owned", "aside"));
	check("usr/share/mime/globs=A", "usr/share/mime/globs=B",
		"usr/share/mime/globs=A usr/share/mime/mine.txt=C", "d usr/share/mime/globs", NULL);
	check("", "", "lib/modules/6-mine/modules.alias.mine=C", "", "");
	check("etc/mailcap=T:1/2/3", "etc/mailcap=T:1/2/x", "etc/mailcap=T:y/2/3",
		"p etc/mailcap=T:y/2/x", TOLD("merged", "config", "merged"));
}

TEST(merged_by_component)
{
	check("etc/a=A", "etc/a=B", "etc/a=A,m600", "t etc/a=B,m600",
		TOLD("merged", "config", "merged"));
	check("etc/a=A", "etc/a=A,m600", "etc/a=B", "s etc/a=f,m600",
		TOLD("merged", "config", "merged"));
	check("usr/a=A,m4755", "usr/a=B,m755", "usr/a=A,m4755,u5,x=1", "t usr/a=B,m755,u5,x=1",
		TOLD("merged", "owned", "merged"));
	check("var/a=A,x=1", "var/a=A,x=2", "var/a=A,x=1,g7", "s var/a=f,g7,x=2",
		TOLD("merged", "data", "merged"));
	check("etc/a=>x", "etc/a=>y", "etc/a=>x,u5", "t etc/a=>y,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=n", "etc/a=n,m600", "etc/a=n,u5", "s etc/a=n,m600,u5",
		TOLD("merged", "config", "merged"));
	/* The same mode on both sides, and what one side did besides. */
	check("etc/a=A", "etc/a=B,m600", "etc/a=A,m600", "d etc/a; D etc=d", NULL);
	check("etc/a=A", "etc/a=A,m600,u5", "etc/a=A,m600", "d etc/a; D etc=d",
		TOLD("merged", "config", "dropped"));
	check("var/a=d", "var/a=d,m700,u5", "var/a=d,m700", "D var/a=d,m700; D var=d",
		TOLD("merged", "data", "dropped"));
	/*
	 * What both changed is mine, and the rest is merged all the same; where the new one wins,
	 * mine is set aside.
	 */
	check("etc/a=A", "etc/a=B,m600", "etc/a=A,m640", "t etc/a=B,m640",
		TOLD("conflict", "config", "merged"));
	check("var/a=A", "var/a=B,m600", "var/a=C", "s var/a=f,m600",
		TOLD("conflict", "data", "merged"));
	check("etc/a=A", "etc/a=B,m600", "etc/a=C", "n etc/a.mlimg-new=B,m600; s etc/a=f,m600",
		TOLD("conflict", "config", "beside"));
	check("usr/a=A", "usr/a=B,m600", "usr/a=A,m640", "a usr/a; D usr=d",
		TOLD("conflict", "owned", "aside"));
}

TEST(merged_by_lines)
{
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "p etc/a=T:y/2/x",
		TOLD("merged", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x,m600", "etc/a=T:y/2/3,u5", "p etc/a=T:y/2/x,m600,u5",
		TOLD("merged", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x,m600", "etc/a=T:y/2/3,m640", "p etc/a=T:y/2/x,m640",
		TOLD("conflict", "config", "merged"));
	check("etc/a=T:1/2/3", "etc/a=T:1/x/3", "etc/a=T:y/2/3", "n etc/a.mlimg-new=T:1/x/3",
		TOLD("conflict", "config", "beside"));
	/* One has all that the other has. */
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/x", "", "");
	check("etc/a=T:1/2/3", "etc/a=T:y/2/x", "etc/a=T:1/2/x", "d etc/a; D etc=d",
		TOLD("same", "config", "dropped"));
	check("etc/a=T:1/2/3", "etc/a=T:y/2/x", "etc/a=T:1/2/x,m600", "p etc/a=T:y/2/x,m600", NULL);
	/* Of no other class. */
	check("var/a=T:1/2/3", "var/a=T:1/2/x", "var/a=T:y/2/3", "",
		TOLD("conflict", "data", "stays"));
	/* Without one of the texts. */
	given.lacks_base = true;
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "n etc/a.mlimg-new=T:1/2/x",
		TOLD("conflict", "config", "beside"));
	given.lacks_base = false;
	given.lacks_next = true;
	check("etc/a=T:1/2/3", "etc/a=T:1/2/x", "etc/a=T:y/2/3", "n etc/a.mlimg-new=T:1/2/x",
		TOLD("conflict", "config", "beside"));
	given.lacks_next = false;
}

/* --- hooks --- */

/* @ctx: how often it was asked. */
static int hook(const struct mlimg_reconcile_hook *h, void *ctx, char **ret_text, size_t *ret_size)
{
	++*(int *)ctx;
	ASSERT_STR(h->path, strcmp(h->name, "own") == 0 ? "srv/own" : "srv/a");
	ASSERT(h->mine.size == 2 && memcmp(h->mine.data, "C\n", 2) == 0);
	ASSERT(h->next.size == 2 && memcmp(h->next.data, "B\n", 2) == 0);
	if (strcmp(h->name, "own") == 0)
		ASSERT(!h->base.data && h->base.size == 0);
	else
		ASSERT(h->base.size == 2 && memcmp(h->base.data, "A\n", 2) == 0);
	if (strcmp(h->name, "conflict") == 0)
		return 0;
	*ret_text = strdup(strcmp(h->name, "next") == 0 ? "B\n" : "H\n");
	*ret_size = 2;
	return 1;
}

TEST(merged_by_a_hook)
{
	int asked = 0;
	const struct mlimg_reconcile_input in = {.hook = hook, .hook_ctx = &asked};

	more_classes = "srv merge:x\nsrv/own merge:own\n";
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=C", "p srv/a=H",
		TOLD("merged", "merge", "merged"));
	check_with(in, "srv/a=A", "srv/a=B,m600", "srv/a=C,u5", "p srv/a=H,m600,u5",
		TOLD("merged", "merge", "merged"));
	check_with(in, "srv/a=A", "srv/a=B,m600", "srv/a=C,m640", "p srv/a=H,m640",
		TOLD("conflict", "merge", "merged"));
	/* The old stack had none, or its contents are not known. */
	check_with(in, "srv=d", "srv/own=B", "srv/own=C", "p srv/own=H", NULL);
	given.lacks_base = true;
	check_with(in, "srv/own=A", "srv/own=B", "srv/own=C", "p srv/own=H", NULL);
	given.lacks_base = false;
	more_classes = "srv merge:next\n";
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=C", "d srv/a; D srv=d",
		TOLD("same", "merge", "dropped"));
	more_classes = "srv merge:conflict\n";
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=C", "n srv/a.mlimg-new=B",
		TOLD("conflict", "merge", "beside"));
	ASSERT_EQ(asked, 7);
	/* Nobody is asked where there is nothing to decide, or no file. */
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=A", "d srv/a; D srv=d", NULL);
	check_with(in, "srv/a=A", "srv/a=A", "srv/a=C", "", "");
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=A,m600", "t srv/a=B,m600", NULL);
	check_with(in, "srv/a=A", "srv=d", "srv/a=C", "", TOLD("conflict", "merge", "stays"));
	check_with(in, "srv/a=A", "srv/a=>x", "srv/a=C", "", NULL);
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=>x", "n srv/a.mlimg-new=B", NULL);
	given.lacks_next = true;
	check_with(in, "srv/a=A", "srv/a=B", "srv/a=C", "n srv/a.mlimg-new=B", NULL);
	given.lacks_next = false;
	ASSERT_EQ(asked, 7);
	/* Where no program is run. */
	check("srv/a=A", "srv/a=B", "srv/a=C", "n srv/a.mlimg-new=B", "\"why\": \"hook\"");
	more_classes = NULL;
}

TEST(what_lies_beside_already)
{
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=B", "",
		TOLD("conflict", "config", "beside"));
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=W",
		"d etc/a.mlimg-new; n etc/a.mlimg-new=B", TOLD("conflict", "config", "beside"));
	/* What an earlier change has put is the old stack's. */
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=A",
		"d etc/a.mlimg-new; n etc/a.mlimg-new=B", TOLD("stale", "config", "dropped"));
}

/* What the user has written there is his. */
TEST(what_lies_beside_and_is_the_users)
{
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=D",
		"a etc/a.mlimg-new; n etc/a.mlimg-new=B",
		TOLD("conflict", "config", "aside") ", \"at\": \"aside/2/etc/a.mlimg-new\", "
						    "\"why\": \"the new stack's file takes "
						    "this name\"");
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=>x",
		"a etc/a.mlimg-new; n etc/a.mlimg-new=B", TOLD("conflict", "config", "aside"));
	given.unread = "etc/a.mlimg-new";
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=A",
		"a etc/a.mlimg-new; n etc/a.mlimg-new=B", TOLD("conflict", "config", "aside"));
	given.unread = NULL;
	/* In other names of the file nothing changes. */
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=D,#1 etc/b=D,#1",
		"a etc/a.mlimg-new; n etc/a.mlimg-new=B", NULL);
}

TEST(what_lies_beside_and_stays)
{
	/* A directory, what the user pinned, what the new stack has there. */
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new/x=D", "n etc/a.mlimg-new.1=B",
		TOLD("conflict", "config", "beside") ", \"at\": \"etc/a.mlimg-new.1\"");
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=o etc/a.mlimg-new.1=A",
		"d etc/a.mlimg-new.1; n etc/a.mlimg-new.1=B", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=o etc/a.mlimg-new.1=B", "",
		TOLD("conflict", "config", "beside") ", \"at\": \"etc/a.mlimg-new.1\"");
	check("etc/a=A", "etc/a=B etc/a.mlimg-new=F", "etc/a=C", "n etc/a.mlimg-new.1=B", NULL);
	more_classes = "etc/*.mlimg-new keep\n";
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=D", "n etc/a.mlimg-new.1=B", NULL);
	more_classes = NULL;
}

/* What mlimg resolve has marked was of the former system's file. */
TEST(what_was_marked_before_another_lies_beside)
{
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-merged=D",
		"a etc/a.mlimg-merged; n etc/a.mlimg-new=B", TOLD("conflict", "config", "aside"));
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-merged=D etc/a.mlimg-new=B", "", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-merged/x=D", "n etc/a.mlimg-new=B", NULL);
	check("etc/grub.d/a=A", "etc/grub.d/a=B",
		"etc/grub.d/a=C etc/grub.d/a.mlimg-merged.dpkg-dist=D",
		"a etc/grub.d/a.mlimg-merged.dpkg-dist; n etc/grub.d/a.mlimg-new.dpkg-dist=B",
		NULL);
	more_classes = "etc/*.mlimg-merged keep\n";
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-merged=D", "n etc/a.mlimg-new=B", NULL);
	more_classes = NULL;
}

/* dpkg's name for what is not in force, where a NAME.mlimg-new would be. */
TEST(what_lies_beside_where_every_name_is_read)
{
	check("etc/grub.d/a=A", "etc/grub.d/a=B", "etc/grub.d/a=C",
		"n etc/grub.d/a.mlimg-new.dpkg-dist=B",
		TOLD("conflict", "config",
			"beside") ", \"at\": \"etc/grub.d/a.mlimg-new.dpkg-dist\"");
	check("etc/grub.d/a=A", "etc/grub.d/a=B",
		"etc/grub.d/a=C etc/grub.d/a.mlimg-new.dpkg-dist=A",
		"d etc/grub.d/a.mlimg-new.dpkg-dist; n etc/grub.d/a.mlimg-new.dpkg-dist=B",
		TOLD("stale", "config", "dropped"));
	check("etc/grub.d/a=A", "etc/grub.d/a=B",
		"etc/grub.d/a=C etc/grub.d/a.mlimg-new.dpkg-dist=B", "",
		TOLD("conflict", "config", "beside"));
	check("etc/grub.d/a=A", "etc/grub.d/a=B",
		"etc/grub.d/a=C etc/grub.d/a.mlimg-new.dpkg-dist=D",
		"a etc/grub.d/a.mlimg-new.dpkg-dist; n etc/grub.d/a.mlimg-new.dpkg-dist=B",
		TOLD("conflict", "config", "aside"));
	check("etc/grub.d/a=A", "etc/grub.d/a=B",
		"etc/grub.d/a=C etc/grub.d/a.mlimg-new.dpkg-dist=o",
		"n etc/grub.d/a.mlimg-new.1.dpkg-dist=B", NULL);
	check("etc/grub.d/a=A", "etc/grub.d/a=B", "etc/grub.d/a=>x",
		"n etc/grub.d/a.mlimg-new.dpkg-dist=B", TOLD("type-change", "config", "beside"));
	/* Lines that do not touch are merged as ever. */
	check("etc/grub.d/a=T:1/2/3/4/5", "etc/grub.d/a=T:1/2/3/4/y", "etc/grub.d/a=T:x/2/3/4/5",
		"p etc/grub.d/a=T:x/2/3/4/y", TOLD("merged", "config", "merged"));
	more_classes = "srv merge:x\nsrv/parts config:dpkg-dist\nsrv/parts/a merge:x\n";
	check("srv/parts/a=A", "srv/parts/a=B", "srv/parts/a=C",
		"n srv/parts/a.mlimg-new.dpkg-dist=B", TOLD("conflict", "merge", "beside"));
	more_classes = NULL;
}

TEST(where_nothing_may_lie_beside)
{
	check("etc/network/interfaces.d/a=A", "etc/network/interfaces.d/a=B",
		"etc/network/interfaces.d/a=C", "", TOLD("conflict", "config", "stays"));
	check("etc/network/interfaces.d/a=A", "etc/network/interfaces.d/a=B",
		"etc/network/interfaces.d/a=>x", "", TOLD("type-change", "config", "stays"));
	check("etc/nginx/sites-enabled/a=T:1/2/3/4/5", "etc/nginx/sites-enabled/a=T:1/2/3/4/y",
		"etc/nginx/sites-enabled/a=T:x/2/3/4/5", "p etc/nginx/sites-enabled/a=T:x/2/3/4/y",
		TOLD("merged", "config", "merged"));
}

/* 245 bytes and ".mlimg-new" make a name that is just long enough. */
TEST(names_that_leave_no_room_beside_them)
{
	char name[300], base[512], next[512], mine[1024], wanted[1024];

	for (int n = 243; n <= 246; n++) {
		snprintf(name, sizeof(name), "etc/%0*d", n, 0);
		snprintf(base, sizeof(base), "%s=A", name);
		snprintf(next, sizeof(next), "%s=B", name);
		snprintf(mine, sizeof(mine), "%s=C", name);
		snprintf(wanted, sizeof(wanted), "n %s.mlimg-new=B", name);
		check(base, next, mine, n < 246 ? wanted : "",
			n < 246 ? TOLD("conflict", "config", "beside")
				: TOLD("conflict", "config", "stays"));
		if (n > 245)
			continue;
		/* With that name taken: two bytes more. */
		snprintf(mine, sizeof(mine), "%s=C %s.mlimg-new=o", name, name);
		snprintf(wanted, sizeof(wanted), "n %s.mlimg-new.1=B", name);
		check(base, next, mine, n < 244 ? wanted : "", NULL);
	}
	/* ".mlimg-new.dpkg-dist" are ten more. */
	for (int n = 234; n <= 236; n++) {
		snprintf(name, sizeof(name), "etc/grub.d/%0*d", n, 0);
		snprintf(base, sizeof(base), "%s=A", name);
		snprintf(next, sizeof(next), "%s=B", name);
		snprintf(mine, sizeof(mine), "%s=C", name);
		snprintf(wanted, sizeof(wanted), "n %s.mlimg-new.dpkg-dist=B", name);
		check(base, next, mine, n < 236 ? wanted : "", NULL);
	}
}

TEST(types)
{
	check("etc/a=A", "etc/a=>x", "etc/a=B", "", TOLD("type-change", "config", "stays"));
	check("etc/a=>x", "etc/a=B", "etc/a=>y", "n etc/a.mlimg-new=B",
		TOLD("type-change", "config", "beside"));
	check("etc/a=>x", "etc/a=A", "etc/a=B", "n etc/a.mlimg-new=A",
		TOLD("conflict", "config", "beside"));
	check("etc/a=A", "etc/a=B", "etc/a=>x", "n etc/a.mlimg-new=B",
		TOLD("type-change", "config", "beside"));
	check("usr/a=A", "usr/a=>x", "usr/a=B", "a usr/a; D usr=d",
		TOLD("type-change", "owned", "aside"));
	check("var/a=A", "var/a=>x", "var/a=B", "", TOLD("type-change", "data", "stays"));
	/* What was a file is a directory, and the other way round; with all below. */
	check("etc/a=A", "etc/a/b=A", "etc/a=B", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	check("var/a/b=A", "var/a=A", "var/a/b=B var/a/c=C", "a var/a; D var=d",
		TOLD("type-change", "data", "aside"));
	check("var/a=d", "var/a=>b", "var/a/b=B", "a var/a; D var=d", NULL);
	/* Attributes alone of the other type. */
	check("srv=d", "srv=d,m700", "srv=>home", "", "");
	check("etc/a=A", "etc/a=A,m600", "etc/a=>x", "", "");
	/* A copy that was not changed. */
	check("etc/a=A", "etc/a/b=A", "etc/a=A", "d etc/a; D etc=d",
		TOLD("stale", "config", "dropped"));
}

TEST(hard_links)
{
	/* Each name alone. */
	check("usr/a=A usr/b=A", "usr/a=B usr/b=A", "usr/a=A,#1 usr/b=A,#1",
		"d usr/a; d usr/b; D usr=d", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=A,#1 etc/b=A,#1", "d etc/a", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=A,m600,#1 etc/b=A,m600,#1", "t etc/a=B,m600", NULL);
	/* Attributes only when it is right for all. */
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A,m600", "var/a=B,#1 var/b=B,#1",
		"s var/a=f,m600; s var/b=f,m600", TOLD("merged", "data", "merged"));
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A", "var/a=B,#1 var/b=B,#1", "",
		"has other names");
	check("var/a=A var/b=A", "var/a=A,m600 var/b=A,m640", "var/a=B,#1 var/b=B,#1", "",
		"has other names");
	/* What is put beside is told as that, whatever becomes of the attributes. */
	check("etc/a=A etc/b=A", "etc/a=D,m600 etc/b=D,m600", "etc/a=B,#1 etc/b=B,#1",
		"n etc/a.mlimg-new=D,m600; n etc/b.mlimg-new=D,m600; s etc/a=f,m600; s "
		"etc/b=f,m600",
		TOLD("conflict", "config", "beside") ", \"at\": \"etc/a.mlimg-new\"");
	check("etc/a=A", "etc/a=D,m600", "etc/a=B,#1 etc/b=B,#1", "n etc/a.mlimg-new=D,m600",
		TOLD("conflict", "config",
			"beside") ", \"at\": \"etc/a.mlimg-new\", \"why\": \"has other names");
}

TEST(what_the_user_has_made_immutable_stays)
{
	static const char why[] = "immutable or append-only, as the user has made it";
	static const struct mlimg_reconcile_text texts[] = {{"etc/passwd", "N\n", 2}};
	const struct mlimg_reconcile_input in = {.texts = texts, .n_texts = 1};

	check("usr/a=A", "usr/a=B", "usr/a=C,p", "", why);
	check("usr/a=A", "usr/a=B", "usr/a=C,p", "", TOLD("conflict", "keep", "stays"));
	check("etc/a=A", "etc/a=B", "etc/a=A,p", "", TOLD("conflict", "keep", "stays"));
	check("etc/a=T:1/2/x", "etc/a=T:1/2/y", "etc/a=T:0/2/x,p", "", why);
	check("etc/a=A", "etc/a=B,m600", "etc/a=A,m640,p", "", why);
	check("usr/a=A", "usr=d", "usr/a=C,p", "", why);
	check("usr/a=A", "usr/a=>x", "usr/a=C,p", "", TOLD("type-change", "keep", "stays"));
	check_with(in, "etc/passwd=A", "etc/passwd=B", "etc/passwd=C,p", "", why);
	/* Nothing to tell. */
	check("usr/a=A", "usr/a=A", "usr/a=C,p", "", "");
	check("usr/a=A", "usr/a=B", "usr/a=B,p", "", "");
	/* What lies beside has another name then. */
	check("etc/a=A", "etc/a=B", "etc/a=C etc/a.mlimg-new=D,p", "n etc/a.mlimg-new.1=B", NULL);
	/* A directory, and what is in it. */
	check("usr/a=d", "usr/a=d,m700", "usr/a=d,p usr/a/b=A", "", why);
	check("usr/a=d", "usr/a=A", "usr/a=d,p", "", TOLD("type-change", "keep", "stays"));
	check("usr/a/b=A", "usr/a/b=B", "usr/a=d,p usr/a/b=A", "d usr/a/b", NULL);
}

TEST(what_cannot_be_read_stays)
{
	given.unread = "etc/a";
	check("etc/a=A", "etc/a=B", "etc/a=A", "", "");
	ASSERT_EQ(given.n_skipped, 1);
	given.unread = "etc/ld.so.cache";
	check("etc=d", "etc=d", LD_CACHE, "", "");
	ASSERT_EQ(given.n_skipped, 2);
	given.unread = NULL;
}

TEST(classes_of_the_users)
{
	more_classes = "etc/a owned\nusr/share/me keep\n";
	check("etc/a=A", "etc/a=B", "etc/a=C", "a etc/a; D etc=d", NULL);
	check("usr/share/me/x=A", "usr/share/me/x=B", "usr/share/me/x=A", "", "");
	check("usr=d", "usr/share/me/x=B", "usr/share/me=o usr/share/me/x=A usr/share/me/y=W", "",
		"");
	more_classes = NULL;
}

TEST(classes_that_are_declared)
{
	const struct mlimg_reconcile_input in = {.reads_classes = true};
	static const char declared[] = "etc/mlimg/reconcile.d/a.conf=T:srv_owned srv/a=B";

	check("srv/a=A", declared, "srv/a=C", "", TOLD("conflict", "data", "stays"));
	check_with(in, "srv/a=A", declared, "srv/a=C", "a srv/a; D srv=d",
		TOLD("conflict", "owned", "aside"));
	check_with(
		in, "srv/a=A", declared, "srv/a=C etc/mlimg/reconcile.d/0.conf=T:srv_keep", "", "");
}

/* What comes of a plan that was carried out: base is what next was. */
TEST(twice_is_once)
{
	check("etc/a=B", "etc/a=B", "etc/a=C etc/a.mlimg-new=B", "", "");
	check("etc/a=B", "etc/a=B", "etc/a=B,m600", "", "");
	check("etc/a=T:1/2/x", "etc/a=T:1/2/x", "etc/a=T:y/2/x", "", "");
	check("usr/a/b=B", "usr/a/b=B", "usr/a/d=D", "", "");
}
