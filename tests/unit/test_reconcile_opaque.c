/* SPDX-License-Identifier: MIT */
/* What is planned for directories that are opaque. */
#include "tests/lib/plan-words.h"

TEST(opaque_directories)
{
	/* Of data nothing below is compared; what it hid stays hidden. */
	check("var/a/b=A", "var/a/b=B var/a/c=C", "var/a=o var/a/b=A var/a/c=D", "", "");
	check("var/a/b=A", "var/a=d,m700 var/a/b=B", "var/a=o", "s var/a=d,m700",
		TOLD("stale", "data", "merged"));
	check("var/a/b=A", "var=d", "var/a=o", "", "");
	check("etc/a/b=A", "etc/a=A", "etc/a=o etc/a/b=B", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	/* One that hid nothing is joined with what has come. */
	check("etc=d", "etc/a/b=B etc/a/c=C", "etc/a=o etc/a/b=A etc/a/d=D",
		"u etc/a; n etc/a/b.mlimg-new=B", TOLD("keep", "config", "joined"));
	check("usr=d", "usr/a/b=B", "usr/a=o usr/a/b=A usr/a/d=D", "u usr/a; a usr/a/b",
		TOLD("keep", "owned", "joined"));
	check("etc=d", "etc/a=d,m700", "etc/a=o", "u etc/a", TOLD("conflict", "config", "joined"));
	check("etc=d", "etc/a/b=A", "etc/a=o etc/a/b=A",
		"u etc/a; d etc/a/b; D etc/a=d,trusted.overlay.opaque=y; D etc=d", NULL);
	check("etc/a=A", "etc/a=B", "etc/a=o", "a etc/a; D etc=d",
		TOLD("type-change", "config", "aside"));
	check("etc/a=A", "etc=d", "etc/a=o etc/a/b=B", "", "");
	check("", "", "home/a=o home/a/b=o home/a/b/c=C", "", "");
}

/* What the user has made of it is what he sees on the old stack, not how it is marked. */
TEST(opaque_directories_that_are_compared)
{
	/* A package that was purged and installed again; one file is changed, and one removed. */
	check("usr/a/b=A usr/a/c=C", "usr/a/b=B usr/a/d=D", "usr/a=o usr/a/b=A usr/a/c=C",
		"u usr/a; d usr/a/b; d usr/a/c; D usr/a=d,trusted.overlay.opaque=y; D usr=d",
		TOLD("stale", "owned", "dropped"));
	check("etc/a/b=A etc/a/c=C", "etc/a/b=B etc/a/c=E", "etc/a=o etc/a/b=A etc/a/c=D",
		"u etc/a; d etc/a/b; n etc/a/c.mlimg-new=E", TOLD("keep", "config", "joined"));
	check("usr/a/b=A usr/a/c=C", "usr/a/b=B usr/a/c=C", "usr/a=o usr/a/b=A",
		"u usr/a; d usr/a/b; h usr/a/c", TOLD("stale", "owned", "dropped"));
	check("usr/a/b=A", "usr/a/b=B", "usr/a=o", "u usr/a; h usr/a/b",
		TOLD("whiteout-changed", "owned", "stays"));
	check("etc/a/b=A", "etc/a=d,m700 etc/a/b=B", "etc/a=o",
		"u etc/a; h etc/a/b; s etc/a=d,m700", TOLD("stale", "config", "joined"));
	/* Of what is lacked the topmost, and nothing that has gone, or comes with the new stack. */
	check("usr/a/b/x=A usr/a/b/y=A usr/a/c=C", "usr/a/b/x=B usr/a/b/z=B usr/a/d=D",
		"usr/a=o usr/a/e=E", "u usr/a; h usr/a/b", NULL);
	/* Directories in it were made where nothing was, so they are not marked. */
	check("usr/a/b/x=A usr/a/b/y=A", "usr/a/b/x=B usr/a/b/y=A usr/a/b/z=C",
		"usr/a=o usr/a/b=d usr/a/b/x=A", "u usr/a; d usr/a/b/x; h usr/a/b/y", NULL);
	check("usr/a/b/x=A usr/a/b/y=A", "usr/a/b/x=B usr/a/b/y=A usr/a/b/z=C",
		"usr/a=o usr/a/b=o usr/a/b/x=A", "u usr/a; u usr/a/b; d usr/a/b/x; h usr/a/b/y",
		NULL);
	check("usr/a/b/x=A usr/a/b/y=A usr/a/c=A", "usr/a/b/x=A usr/a/b/y=A usr/a/c=B",
		"usr/a=o usr/a/b=d usr/a/b/x=A usr/a/c=A", "u usr/a; c usr/a/b; d usr/a/c", NULL);
	/* A file of the old stack's in the place of a directory, and the other way round. */
	check("usr/a/b/x=A", "usr/a/b=B usr/a/d=D", "usr/a=o usr/a/b=C usr/a/e=E",
		"u usr/a; a usr/a/b", TOLD("conflict", "owned", "aside"));
	check("usr/a/b=A", "usr/a/b=B usr/a/d=D", "usr/a=o usr/a/b=d usr/a/b/x=C usr/a/e=E",
		"u usr/a; a usr/a/b", TOLD("type-change", "owned", "aside"));
}

TEST(opaque_directories_that_need_not_be_compared)
{
	/* Below it the stacks are the same. */
	check("usr/a/b=A usr/a/c=A usr/d=A", "usr/a/b=A usr/a/c=A usr/d=B",
		"usr/a=o usr/a/b=A usr/d=A", "d usr/d", NULL);
	check("usr/a/b=A", "usr/a=d,m700 usr/a/b=A", "usr/a=o", "s usr/a=d,m700",
		TOLD("stale", "owned", "merged"));
	/* But for what goes whatever the stacks are. */
	more_classes = "usr/a/c derived\n";
	check("usr/a/b=A usr/a/c=A", "usr/a/b=A usr/a/c=A", "usr/a=o usr/a/b=A usr/a/c=A",
		"u usr/a; d usr/a/b; d usr/a/c; D usr/a=d,trusted.overlay.opaque=y; D usr=d", NULL);
	more_classes = NULL;
}

/* The new stack has none: what the user has of it goes as any other copy. */
TEST(opaque_directories_that_are_gone)
{
	check("usr/a/b=A", "usr=d", "usr/a=o usr/a/b=A",
		"d usr/a/b; D usr/a=d,trusted.overlay.opaque=y; D usr=d",
		TOLD("stale", "owned", "dropped"));
	check("usr/a/b=A usr/a/d/x=A", "usr=d", "usr/a=o usr/a/b=B usr/a/c=C usr/a/d=d",
		"a usr/a/b; D usr/a/d=d", TOLD("conflict", "owned", "aside"));
	check("etc/a/b=A", "etc=d", "etc/a=o etc/a/b=B", "", TOLD("conflict", "config", "stays"));
}

TEST(opaque_directories_with_others_in_them)
{
	/* One of another class is as the user has made it. */
	more_classes = "usr/a/k keep\nusr/a/v data\n";
	check("usr/a/b=A usr/a/k/x=A usr/a/v/x=A", "usr/a/b=B usr/a/k/x=B usr/a/v/x=B",
		"usr/a=o usr/a/k=d usr/a/k/y=C usr/a/v=o usr/a/v/y=C",
		"u usr/a; c usr/a/k; h usr/a/b", TOLD("keep", "keep", "closed"));
	check("usr/a/b=A usr/a/k/x=A", "usr/a/b=B usr/a/k/x=B", "usr/a=o",
		"u usr/a; h usr/a/b; h usr/a/k", NULL);
	more_classes = NULL;
	/* One that was renamed shows what it did; one that was renamed away shows there alone. */
	check("usr/a/b/x=A usr/c/x=A", "usr/a/b=d,m700 usr/a/b/x=B usr/c/x=B",
		"usr/a=o usr/a/b=r:/usr/c usr/a/b/x=A usr/c=W", "u usr/a; d usr/a/b/x",
		"hides what the new stack has");
	check("usr/a/b/x=A usr/a/y=A", "usr/a/b/x=B usr/a/y=B",
		"usr/a=o usr/a/y=A usr/c=r:/usr/a/b usr/c/x=A", "d usr/c/x", NULL);
	/* Where it is in one that was renamed, it stays as it is. */
	check("usr/a/b/x=A", "usr/a/b/x=B", "usr/a=W usr/c=r:a usr/c/b=o usr/c/b/x=A", "", "");
	/* What cannot be changed stays. */
	check("usr/a/b=A usr/a/c=A", "usr/a/b=B usr/a/c=B", "usr/a=o usr/a/b=A,p usr/a/c=A",
		"u usr/a; d usr/a/c", TOLD("conflict", "keep", "stays"));
	check("usr/a/b=A", "usr/a/b=B", "usr/a=o,p usr/a/b=A", "", "");
	/* Of several names of one file one goes. */
	check("usr/a/b=A usr/a/c=A", "usr/a/b=B usr/a/c=A,m600",
		"usr/a=o usr/a/b=A,#1 usr/a/c=A,#1 ",
		"u usr/a; d usr/a/b; d usr/a/c; "
		"D usr/a=d,trusted.overlay.opaque=y; D usr=d",
		NULL);
}
