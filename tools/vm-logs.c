/* SPDX-License-Identifier: MIT */
/* `mlimg-vm logs`: what a guest has printed on its console, or QEMU. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/vm-life.h"
#include "tools/vm-runtime.h"

#define FOLLOW_MS 200 /* pause between looks for more */

static const char help[] =
	"Usage: mlimg-vm logs [OPTION]... NAME\n"
	"\n"
	"Print what a guest printed on its serial console since it was started last, at\n"
	"most the last 16 MiB. What could steer a terminal is printed as backslash and\n"
	"three octal digits.\n"
	"\n"
	"  -f, --follow       go on as it prints more, until it is off\n"
	"  --qemu             what QEMU itself printed (default: the "
	"console)\n" MLIMG_LIFE_RUNTIME_HELP MLIMG_LIFE_STORE_HELP;

static const struct option options[] = {MLIMG_LIFE_FOLLOW, MLIMG_LIFE_QEMU, MLIMG_LIFE_RUNTIME_DIR,
	MLIMG_LIFE_STORE, MLIMG_LIFE_HELP, {NULL, 0, NULL, 0}};

/* A log that is being printed. */
struct reader {
	FILE *f;
	char *line;
	size_t n, size; /* of the line, and its room */
	ino_t inode;
};

/* The serial line ends its lines with "\r\n"; a NUL ends no text. */
static void put_line(struct reader *r, bool is_whole)
{
	size_t n = r->n;

	while (n > 0 && r->line[n - 1] == '\r')
		n--;
	r->line[n] = '\0';
	for (size_t i = 0; i < n; i += strlen(r->line + i) + 1) {
		if (i > 0)
			fputs("\\000", stdout);
		mlimg_cli_put_safe(stdout, r->line + i);
	}
	if (is_whole)
		putchar('\n');
	r->n = 0;
}

/* A line may be as long as the log. */
static int put_all(struct reader *r, struct mlimg_err *err)
{
	int c;

	clearerr(r->f);
	while ((c = getc(r->f)) != EOF) {
		if (c == '\n') {
			put_line(r, true);
			continue;
		}
		r->line[r->n++] = (char)c;
		if (r->n + 1 == r->size)
			put_line(r, false);
	}
	return ferror(r->f) ? mlimg_err_set(err, EIO, "read the log") : 0;
}

/* @return 1, 0 where there is none, -errno */
static int open_log(struct reader *r, const char *path, struct mlimg_err *err)
{
	FILE *f = fopen(path, "re");
	struct stat st;

	if (!f)
		return errno == ENOENT ? 0 : mlimg_err_set(err, errno, "open '%s'", path);
	if (r->f)
		fclose(r->f);
	r->f = f;
	if (fstat(fileno(f), &st) == 0)
		r->inode = st.st_ino;
	return 1;
}

/* It became the old one, and there is a new one. */
static bool is_another(const struct reader *r, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino != r->inode;
}

static int follow(struct reader *r, const char *path, const char *dir, struct mlimg_err *err)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000l};
	bool is_on = true;
	int ret = 0;

	while (ret >= 0 && is_on && !ferror(stdout)) {
		fflush(stdout);
		nanosleep(&pause, NULL);
		/* First whether it is off: what it printed before is there then. */
		is_on = mlimg_runtime_owner(dir) > 0;
		ret = r->f ? put_all(r, err) : 0;
		if (ret == 0 && is_another(r, path)) {
			ret = open_log(r, path, err);
			if (ret > 0)
				ret = put_all(r, err);
		}
	}
	return ret < 0 ? ret : 0;
}

static int print_logs(const struct mlimg_vm_life *life, const char *dir, struct mlimg_err *err)
{
	mlimg_autofree char *path =
		mlimg_runtime_file(dir, life->wants_qemu ? "qemu.log" : "console.log");
	mlimg_autofree char *old =
		mlimg_runtime_file(dir, life->wants_qemu ? "qemu.log.1" : "console.log.1");
	struct reader r = {.size = 65536};
	int has_old, ret;

	r.line = malloc(r.size);
	if (!path || !old || !r.line)
		return mlimg_err_set(err, ENOMEM, "log");
	has_old = open_log(&r, old, err);
	ret = has_old > 0 ? put_all(&r, err) : has_old;
	if (ret == 0)
		ret = open_log(&r, path, err);
	if (ret > 0)
		ret = put_all(&r, err);
	else if (ret == 0 && has_old == 0 && !life->follows)
		ret = mlimg_err_set(err, 0, "no log of '%s': it was not started since the host was",
			life->wanted.name);
	if (ret >= 0 && life->follows)
		ret = follow(&r, path, dir, err);
	if (r.n)
		put_line(&r, true);
	if (r.f)
		fclose(r.f);
	free(r.line);
	return ret < 0 ? ret : 0;
}

static int find_dir(const struct mlimg_vm_life *life, char **ret_dir, struct mlimg_err *err)
{
	mlimg_autofound struct mlimg_vm_found found = {.store = NULL};
	int ret = mlimg_vm_find_any(&life->wanted, &found, err);

	if (ret < 0)
		return ret;
	if (found.store && mlimg_backend_of(&found.tenant) != &mlimg_backend_qemu)
		return mlimg_err_set(err, 0,
			"tenant '%s' is run by libvirt on host '%s', which keeps no log of its "
			"console "
			"('mlimg-vm console %s' shows it while it runs; QEMU's messages are in "
			"/var/log/libvirt/qemu/%s.log there)",
			life->wanted.name, found.tenant.host, life->wanted.name, life->wanted.name);
	*ret_dir = mlimg_steal(&found.dir);
	return 0;
}

int mlimg_vm_cmd_logs(int argc, char **argv)
{
	struct mlimg_vm_life life = {.timeout_ms = 0};
	mlimg_autofree char *dir = NULL;
	struct mlimg_err err = MLIMG_ERR_INIT;
	int code = mlimg_vm_life_parse(argc, argv, help, "hf", options, &life);

	if (code >= 0)
		return code;
	if (find_dir(&life, &dir, &err) < 0 || print_logs(&life, dir, &err) < 0) {
		fflush(stdout);
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	}
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
