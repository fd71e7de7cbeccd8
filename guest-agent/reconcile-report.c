/* SPDX-License-Identifier: MIT */
#include "guest-agent/reconcile-report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/change.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"

static int open_reports(int dir_fd, struct mlimg_err *err)
{
	int fd;

	if (mkdirat(dir_fd, "reports", 0755) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make user/mlimg/reports");
	fd = openat(dir_fd, "reports", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? mlimg_err_set(err, errno, "open user/mlimg/reports") : fd;
}

static void print_stack(const struct mlimg_boot_stack *stack, char *ret_text, size_t size)
{
	size_t at = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < stack->n_layers && at < size; i++)
		at += (size_t)snprintf(ret_text + at, size - at, "%s%s %s", i ? ", " : "",
			stack->layers[i].name, stack->layers[i].version);
}

/* Of a way back; the others do not come. */
static const char meanings_back[] =
	"\n"
	"dropped  the former system's shows: a cache, a copy that nobody has changed, or a mark "
	"of\n"
	"         what is not there any more, made since\n"
	"aside    yours lies in /run/mlimg/user/mlimg, at what the line says: what you had before, "
	"where\n"
	"         you have written since; or what you have written since, where it gave way\n"
	"merged   what you had in it before, and what has come since, are both in it\n\n";

static int write_text(const struct mlimg_reported *about, int reports, struct mlimg_report *report,
	struct mlimg_err *err)
{
	char title[2048], from[960], to[960], name[32];
	mlimg_autofree char *text = NULL;
	size_t size;
	int ret;

	print_stack(about->from, from, sizeof(from));
	print_stack(about->to, to, sizeof(to));
	snprintf(title, sizeof(title), "Generation %" PRIu64 "%s\nfrom %s\nto   %s",
		about->generation, about->is_rollback ? ": the last change taken back" : "", from,
		to);
	if (about->is_rollback)
		report->meanings = meanings_back;
	ret = mlimg_report_to_text(report, title, &text, &size, err);
	snprintf(name, sizeof(name), "%" PRIu64 ".txt", about->generation);
	return ret < 0 ? ret : mlimg_replace_file(reports, name, text, size, 0644, err);
}

int mlimg_reported_write(
	const struct mlimg_reported *about, struct mlimg_report *report, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int reports = open_reports(about->dir_fd, err);
	char name[32];
	size_t size;
	int ret;

	if (reports < 0)
		return reports;
	mlimg_base_remove_leftovers(reports, 0);
	ret = mlimg_report_to_json(report, about->generation, about->from->stack_id,
		about->to->stack_id, &text, &size, err);
	snprintf(name, sizeof(name), "%" PRIu64 ".json", about->generation);
	if (ret == 0)
		ret = mlimg_replace_file(reports, name, text, size, 0644, err);
	if (ret == 0)
		ret = write_text(about, reports, report, err);
	return ret < 0 ? mlimg_err_wrap(err, ret, "user/mlimg/reports") : 0;
}

void mlimg_reported_remove(int dir_fd, uint64_t generation)
{
	static const char *const endings[] = {"json", "txt"};
	char name[64];

	for (size_t i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "reports/%" PRIu64 ".%s", generation, endings[i]);
		unlinkat(dir_fd, name, 0);
	}
	unlinkat(dir_fd, "reports", AT_REMOVEDIR);
}

void mlimg_reported_count(struct mlimg_boot *boot, const struct mlimg_report *report)
{
	memcpy(boot->counts, report->counts, sizeof(boot->counts));
	memcpy(boot->done, report->done, sizeof(boot->done));
	boot->has_report = true;
}

void mlimg_reported_forget(struct mlimg_boot *boot)
{
	boot->reconciled = MLIMG_BOOT_NOT_RECONCILED;
	boot->steps = 0;
	memset(boot->counts, 0, sizeof(boot->counts));
	memset(boot->done, 0, sizeof(boot->done));
	boot->has_report = boot->is_report_lost = false;
}

#define NOTES_PATH MLIMG_CHANGE_NEW "/" MLIMG_CHANGE_NOTES

int mlimg_reported_keep_notes(int dir_fd, const struct mlimg_notes *notes, struct mlimg_err *err)
{
	struct mlimg_text text = {.data = NULL};
	int r = 0;

	if (notes->n) {
		mlimg_notes_put(notes, mlimg_text_put, &text);
		r = text.has_failed
			? mlimg_err_set(err, ENOMEM, "write '" NOTES_PATH "'")
			: mlimg_replace_file(dir_fd, NOTES_PATH, text.data, text.size, 0600, err);
	}
	free(text.data);
	return r;
}

int mlimg_reported_recall_notes(int dir_fd, struct mlimg_notes *notes)
{
	mlimg_autofree char *text = NULL;
	size_t size;
	int r = mlimg_read_beneath(dir_fd, NOTES_PATH, MLIMG_NOTES_SIZE_MAX, &text, &size, NULL);

	if (r == 0)
		r = mlimg_notes_parse(text, size, notes);
	return r == -ENOMEM ? r : 0;
}

/*
 * That somebody's account was moved is in the report; that something no longer fits together he
 * should not have to look for.
 */
void mlimg_reported_note(struct mlimg_boot *boot, const struct mlimg_notes *notes)
{
	const struct mlimg_note *first = NULL;
	size_t n = notes->n_more;

	for (size_t i = 0; i < notes->n; i++) {
		if (notes->notes[i].kind == MLIMG_NOTE_TOLD)
			continue;
		n++;
		if (!first)
			first = &notes->notes[i];
	}
	if (first && n > 1)
		mlimg_boot_note(boot, "%.100s: %.300s; and %zu more in the report", first->name,
			first->text, n - 1);
	else if (first)
		mlimg_boot_note(boot, "%.100s: %.300s", first->name, first->text);
}
