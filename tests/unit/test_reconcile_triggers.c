/* SPDX-License-Identifier: MIT */
/* What is told of packages of the user's that watch paths of the system's. */
#include "tests/lib/plan-words.h"

#define FILE "var/lib/dpkg/triggers/File=T:#usr#share#d_sys/#usr#share#d_own#noawait"
#define STATUS "var/lib/dpkg/status=T:"
#define SYS "Package:_sys/Status:_install_ok_installed/Version:_1//"
#define OWN "Package:_own/Status:_install_ok_installed/Version:_1//"

static size_t told(const char *base, const char *next)
{
	struct mlimg_notes notes = {.notes = NULL};
	const struct mlimg_reconcile_input in = {.merges_databases = true, .notes = &notes};
	char base_words[512], next_words[512];
	struct mlimg_report report;
	struct mlimg_plan plan;
	size_t n;

	snprintf(base_words, sizeof(base_words), STATUS SYS " %s", base);
	snprintf(next_words, sizeof(next_words), STATUS SYS " %s", next);
	plan_with(in, base_words, next_words, STATUS SYS OWN " " FILE, &report, &plan);
	n = notes.n;
	if (n) {
		ASSERT_STR(notes.notes[0].name, "own");
		ASSERT_STR(notes.notes[0].text,
			"the system has changed /usr/share/d, which it watches; to have it look "
			"there: dpkg-trigger --no-await /usr/share/d, then dpkg --triggers-only "
			"-a");
	}
	mlimg_plan_done(&plan);
	mlimg_report_done(&report);
	mlimg_notes_done(&notes);
	return n;
}

TEST(paths_that_packages_of_the_user_watch)
{
	ASSERT_EQ(told("usr/share/d/a=A", "usr/share/d/a=B"), 1);
	ASSERT_EQ(told("usr/share/d/a=A", "usr/share/d/a=A usr/share/d/b=B"), 1);
	ASSERT_EQ(told("usr/share/d/a=A", "usr/share=d"), 1);
	ASSERT_EQ(told("usr/share/d/a=A", "usr/share/d/a=A usr/share/e=B"), 0);
}
