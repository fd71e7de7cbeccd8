/* SPDX-License-Identifier: MIT */
/*
 * `mlimg profile`: which files of the layers are opened, in this order, for mlimg-mkfs --profile
 * (tools/profile.h). Now, or from the beginning of the next boot on: then the initramfs calls it
 * with --begin when the union is mounted, before its init runs, and it lives on until
 * mlimg-profile.service removes MLIMG_PROFILING.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/mlimg-cmd.h"
#include "guest-agent/profile-lines.h"
#include "guest-agent/record.h"
#include "libmlimg/io.h"
#include "tools/cli.h"
#include "tools/outfile.h"

#define MARK \
	"user/mlimg/profile"  /* "SECONDS PATH": the next boot is to be recorded, and to where */
#define PROFILING "profiling" /* is there while a boot is recorded */
#define SECONDS_DEFAULT 600
#define SECONDS_MAX 86400
#define NUMBER_SIZE 12

struct profiling {
	struct mlimg_cmd *cmd;
	const char *to; /* a path, "-" */
	uint64_t seconds;
	bool can_replace, is_boot;
	int proc_fd, stop_fd;
	struct mlimg_record *record;
};

/* --- the next boot --- */

static int read_mark(struct profiling *p, char **ret_text, struct mlimg_err *err)
{
	int root_fd = p->cmd->view->root_fd;
	char *path;
	size_t size;
	int r = mlimg_read_beneath(
		root_fd, MARK, MLIMG_PATH_MAX + NUMBER_SIZE, ret_text, &size, err);

	if (r < 0)
		return r;
	/* Once only, also when what follows fails. */
	if (unlinkat(root_fd, MARK, 0) < 0)
		return mlimg_err_set(err, errno, "remove '" MARK "'");
	p->seconds = strtoul(*ret_text, &path, 10);
	if (p->seconds < 1 || p->seconds > SECONDS_MAX || path[0] != ' ' || path[1] != '/' ||
		strlen(*ret_text) != size)
		return mlimg_err_refuse(err, "'" MARK "' does not say what to record");
	p->to = path + 1;
	p->can_replace = true;
	p->is_boot = true;
	return 0;
}

static int check_target(const char *path, bool can_replace, struct mlimg_err *err)
{
	mlimg_autofree char *dir = strndup(path, (size_t)(strrchr(path, '/') + 1 - path));
	struct stat st;

	if (!dir || stat(dir, &st) < 0)
		return mlimg_err_set(err, dir ? errno : ENOMEM, "write '%s'", path);
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : mlimg_err_set(err, errno, "write '%s'", path);
	if (!S_ISREG(st.st_mode))
		return mlimg_err_set(err, EEXIST, "write '%s', which is not a regular file", path);
	return can_replace ? 0 : mlimg_err_set(err, EEXIST, "write '%s' without --force", path);
}

static int put_mark(const struct profiling *p, struct mlimg_err *err)
{
	const struct mlimg_view *view = p->cmd->view;
	mlimg_autofree char *text = NULL, *path = NULL;
	char to[MLIMG_PATH_MAX + 1];
	int r = mlimg_view_need_user(view, err);

	if (r == 0)
		r = mlimg_cmd_need_kept(p->cmd, err);
	if (r == 0)
		r = mlimg_view_resolve(view, p->to, to, err);
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/%s", strcmp(view->merged, "/") == 0 ? "" : view->merged, to) < 0 ||
		asprintf(&text, "%" PRIu64 " /%s", p->seconds, to) < 0)
		return mlimg_err_set(err, ENOMEM, "write '" MARK "'");
	r = check_target(path, p->can_replace, err);
	if (r == 0)
		r = mlimg_replace_file(view->root_fd, MARK, text, strlen(text), 0600, err);
	if (r < 0)
		return r;
	if (mlimg_cmd_has(p->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:s,s:I}", "file", mlimg_cmd_json_path(to), "when",
				"next-boot", "seconds", (json_int_t)p->seconds),
			JSON_COMPACT, err);
	mlimg_cmd_put_path(to);
	printf(": will be written when the next boot has reached its default target, or after "
	       "%" PRIu64 " s\n",
		p->seconds);
	return 0;
}

/* --- what ends it --- */

/* What removes the file ends the recording. */
static int watch_file(struct profiling *p, struct mlimg_err *err)
{
	const struct mlimg_view *view = p->cmd->view;
	mlimg_autofree char *path = NULL;

	if (asprintf(&path, "%s/" PROFILING, view->root) < 0)
		return mlimg_err_set(err, ENOMEM, "record");
	if (mlimg_replace_file(view->root_fd, PROFILING, "", 0, 0600, err) < 0)
		return err->code;
	p->stop_fd = inotify_init1(IN_CLOEXEC);
	if (p->stop_fd < 0 || inotify_add_watch(p->stop_fd, path, IN_DELETE_SELF) < 0)
		return mlimg_err_set(err, errno, "watch '%s'", path);
	return 0;
}

static int catch_signals(struct profiling *p, struct mlimg_err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->stop_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return p->stop_fd < 0 ? mlimg_err_set(err, errno, "wait for signals") : 0;
}

/* --- the result --- */

static int write_text(
	const struct profiling *p, const struct mlimg_text *text, struct mlimg_err *err)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	int r;

	if (strcmp(p->to, "-") == 0) {
		fwrite(text->data, 1, text->size, stdout);
		return 0;
	}
	r = mlimg_outfile_open(&out, p->to, p->can_replace, err);
	if (r == 0)
		r = mlimg_write_all(out.fd, text->data, text->size);
	if (r < 0 && out.fd >= 0)
		r = mlimg_err_set(err, r, "write '%s'", p->to);
	if (r == 0)
		r = mlimg_outfile_commit(&out, err);
	mlimg_outfile_abort(&out);
	return r;
}

static int put_result(
	const struct profiling *p, const struct mlimg_profile_lines *lines, struct mlimg_err *err)
{
	bool has_lost = mlimg_record_has_lost(p->record);
	char size[MLIMG_CLI_SIZE_TEXT];

	if (has_lost)
		mlimg_cli_warn(MLIMG_CMD_PROG, "more was opened than could be recorded");
	if (strcmp(p->to, "-") == 0)
		return 0;
	if (mlimg_cmd_has(p->cmd, MLIMG_CMD_JSON))
		return mlimg_cmd_put_json(
			json_pack("{s:o,s:I,s:I,s:I,s:I,s:b}", "file", mlimg_cmd_json_path(p->to),
				"files", (json_int_t)lines->n, "bytes", (json_int_t)lines->bytes,
				"own", (json_int_t)lines->n_own, "unread",
				(json_int_t)lines->n_unread, "lost", has_lost),
			JSON_COMPACT, err);
	mlimg_cli_put_safe(stdout, p->to);
	printf(": %" PRIu64 " %s of the layers, %s", lines->n,
		mlimg_cli_noun(lines->n, "file", "files"),
		mlimg_cli_format_size(lines->bytes, size));
	if (lines->n_own)
		printf(", without %" PRIu64 " of your own", lines->n_own);
	if (lines->n_unread)
		printf(", without %" PRIu64 " that %s opened, but not read", lines->n_unread,
			mlimg_cli_noun(lines->n_unread, "was", "were"));
	putchar('\n');
	return 0;
}

static int finish(struct profiling *p, struct mlimg_err *err)
{
	struct mlimg_profile_lines lines = {.text = {0}};
	struct mlimg_view *view = p->cmd->view;
	int r = 0;

	/* The initramfs is gone, and this process' root is the merged one. */
	if (p->is_boot) {
		const char *root = view->root;

		mlimg_view_close(view);
		r = mlimg_view_open(root, "/", view, err);
	}
	if (r == 0)
		r = mlimg_view_load(view, err);
	if (r == 0)
		r = mlimg_profile_lines_make(
			view, mlimg_record_paths(p->record), p->proc_fd, &lines, err);
	if (r == 0)
		r = write_text(p, &lines.text, err);
	if (r == 0)
		r = put_result(p, &lines, err);
	free(lines.text.data);
	return r;
}

/* --- the recording --- */

static int record_now(struct profiling *p, struct mlimg_err *err)
{
	int r = catch_signals(p, err);

	if (r == 0)
		r = mlimg_record_begin(p->cmd->view->merged_fd, p->proc_fd, &p->record, err);
	if (r < 0)
		return r;
	fprintf(stderr, MLIMG_CMD_PROG ": recording for %" PRIu64 " s; SIGINT (Ctrl-C) ends it\n",
		p->seconds);
	r = mlimg_record_run(p->record, p->stop_fd, (unsigned)p->seconds, err);
	return r < 0 ? r : finish(p, err);
}

/*
 * Returns to the initramfs when the kernel records, and goes on in a process of its own. Its root is
 * the merged one, so that paths are told from there on, wherever the mount moves.
 */
static int record_boot(struct profiling *p, struct mlimg_err *err)
{
	struct mlimg_view *view = p->cmd->view;
	int r = watch_file(p, err);
	pid_t pid;

	if (r < 0)
		return r;
	if (fchdir(view->merged_fd) < 0 || chroot(".") < 0)
		return mlimg_err_set(err, errno, "go to '%s'", view->merged);
	r = mlimg_record_begin(view->merged_fd, p->proc_fd, &p->record, err);
	if (r < 0)
		return r;
	pid = fork();
	if (pid != 0)
		return pid < 0 ? mlimg_err_set(err, errno, "go on in the background") : 0;
	/*
	 * What leaves an initramfs kills what runs in it, but for this (systemd.io, "Storage Daemons
	 * for the Root File System"). A shutdown spares it too: nothing is written then.
	 */
	program_invocation_name[0] = '@';
	setsid();
	umask(022);
	r = mlimg_record_run(p->record, p->stop_fd, (unsigned)p->seconds, err);
	return r < 0 ? r : finish(p, err);
}

static int run(struct profiling *p, struct mlimg_err *err)
{
	mlimg_autofree char *mark = NULL;
	int r;

	if (!mlimg_cmd_has(p->cmd, MLIMG_CMD_BEGIN))
		return record_now(p, err);
	r = read_mark(p, &mark, err);
	return r < 0 ? r : record_boot(p, err);
}

static int check_options(struct profiling *p, struct mlimg_err *err)
{
	const char *seconds = p->cmd->values[MLIMG_CMD_FOR];
	bool is_begin = mlimg_cmd_has(p->cmd, MLIMG_CMD_BEGIN);

	if (is_begin != !p->to)
		return mlimg_err_usage(
			err, is_begin ? "profile --begin takes no file" : "'profile' needs a file");
	if (mlimg_cmd_has(p->cmd, MLIMG_CMD_NEXT_BOOT) && strcmp(p->to, "-") == 0)
		return mlimg_err_usage(err, "profile --next-boot cannot write to standard output");
	return seconds ? mlimg_cli_number(seconds, 1, SECONDS_MAX, &p->seconds, err) : 0;
}

int mlimg_cmd_profile(struct mlimg_cmd *cmd, struct mlimg_err *err)
{
	struct profiling p = {.cmd = cmd,
		.to = mlimg_cmd_operand(cmd, 0),
		.seconds = SECONDS_DEFAULT,
		.can_replace = mlimg_cmd_has(cmd, MLIMG_CMD_FORCE),
		.stop_fd = -1};
	int r = check_options(&p, err);

	if (r < 0)
		return r;
	if (geteuid() != 0)
		return mlimg_err_set(err, EPERM, "record what is opened");
	if (!cmd->view->boot)
		return mlimg_err_set(err, 0, "this system was not booted by mlimg");
	if (mlimg_cmd_has(cmd, MLIMG_CMD_NEXT_BOOT))
		return put_mark(&p, err);
	p.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = p.proc_fd < 0 ? mlimg_err_set(err, errno, "open '/proc'") : run(&p, err);
	if (p.proc_fd >= 0)
		close(p.proc_fd);
	if (p.stop_fd >= 0)
		close(p.stop_fd);
	mlimg_record_free(p.record);
	return r;
}
