/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent rebuild`: in the guest, when its root is there, make the caches anew that are
 * listed. What cannot be made stays listed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/base.h"
#include "guest-agent/calls.h"
#include "guest-agent/child.h"
#include "guest-agent/rebuild.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/text.h"
#include "tools/cli.h"

#define ROOT MLIMG_RUN_DIR "/mlimg"
#define ARGUMENTS_MAX 8
#define TIMEOUT_MS (30 * 60 * 1000) /* mandb takes minutes where everything is emulated */

struct rebuild {
	int root_fd;
	bool is_needed_only;
	struct mlimg_text left, done, made; /* paths; commands; paths; a line each */
	size_t n_failed;
};

static bool has_line(const struct mlimg_text *text, const char *line)
{
	size_t size = strlen(line);

	for (const char *at = text->data; at && *at; at = strchr(at, '\n') + 1)
		if (strncmp(at, line, size) == 0 && at[size] == '\n')
			return true;
	return false;
}

static void put_line(struct mlimg_text *text, const char *line)
{
	mlimg_text_put(text, line, strlen(line));
	mlimg_text_put(text, "\n", 1);
}

static bool is_program(const char *dir, size_t size, const char *name)
{
	char path[512];
	int n = snprintf(path, sizeof(path), "%.*s/%s", (int)size, dir, name);

	return n > 0 && (size_t)n < sizeof(path) && access(path, X_OK) == 0;
}

/* In /usr/lib/TRIPLET/glib-2.0, of several the first. @return NULL when there is none; free() it */
static char *find_in_glib(const char *name)
{
	mlimg_autoclosedir DIR *dir = mlimg_dir_open(AT_FDCWD, "/usr/lib");
	const struct dirent *entry;
	char *found = NULL;

	while (dir && (entry = readdir(dir))) {
		mlimg_autofree char *path = NULL;

		if (entry->d_name[0] == '.' ||
			asprintf(&path, "/usr/lib/%s/glib-2.0/%s", entry->d_name, name) < 0)
			continue;
		if (access(path, X_OK) == 0 && (!found || strcmp(path, found) < 0)) {
			free(found);
			found = mlimg_steal(&path);
		}
	}
	return found;
}

/* Where rebuild.h says. @return NULL when there is none; free() it */
static char *find_program(const char *name)
{
	const char *dir = getenv("PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? strdup(name) : NULL;
	for (; dir && *dir; dir += strcspn(dir, ":"), dir += *dir == ':')
		if (is_program(dir, strcspn(dir, ":"), name))
			return strdup(name);
	return find_in_glib(name);
}

/* Nobody misses a cache of what is not there. */
static bool has_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[MLIMG_LAYER_PATH_MAX + 2];
	struct stat st;

	snprintf(dir, sizeof(dir), "/%.*s", slash ? (int)(slash - path) : 0, path);
	return stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
}

static int run_program(const char *program, char *command, struct mlimg_err *err)
{
	const char *argv[ARGUMENTS_MAX + 1] = {NULL};
	char said[256], *rest = NULL;
	size_t n = 0;
	int status, r;

	for (char *word = strtok_r(command, " ", &rest); word && n < ARGUMENTS_MAX;
		word = strtok_r(NULL, " ", &rest))
		argv[n++] = word;
	argv[0] = program;
	r = mlimg_child_run(argv, TIMEOUT_MS, said, sizeof(said), &status, err);
	if (r == 0 && status)
		r = mlimg_err_set(err, 0, "%s failed with status %d", program, status);
	return r;
}

static void make(struct rebuild *b, const char *path)
{
	char command[MLIMG_REBUILD_COMMAND_MAX], words[MLIMG_REBUILD_COMMAND_MAX];
	struct mlimg_err err = MLIMG_ERR_INIT;
	mlimg_autofree char *program = NULL;

	if (!mlimg_rebuild_command(path, command) || has_line(&b->done, command) ||
		!has_directory(path))
		return;
	if (b->is_needed_only && !mlimg_rebuild_is_needed(path)) {
		put_line(&b->left, path);
		return;
	}
	put_line(&b->done, command);
	strcpy(words, command);
	words[strcspn(words, " ")] = '\0';
	program = find_program(words);
	if (!program) {
		printf("%s: not made, there is no %s\n", path, words);
		return;
	}
	printf("%s: %s\n", path, command);
	fflush(stdout);
	if (run_program(program, command, &err) == 0) {
		put_line(&b->made, path);
		return;
	}
	fprintf(stderr, MLIMG_AGENT_PROG ": '/%s' is not made anew: %s\n", path, err.text);
	put_line(&b->left, path);
	b->n_failed++;
}

/* In a user layer that is not to be written to, the list stays. */
static int put_list(
	int dirfd, const char *name, const struct mlimg_text *list, struct mlimg_err *err)
{
	int r = 0;

	if (list->size)
		r = mlimg_replace_file(dirfd, name, list->data, list->size, 0644, err);
	else if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		r = mlimg_err_set(err, errno, "remove '%s'", name);
	return r == -EROFS || r == -ENOENT || mlimg_is_no_room(r) ? 0 : r;
}

/* What of it is in the upper is known from now on as no work of the user's. */
static int note_made(struct rebuild *b, int user, struct mlimg_err *err)
{
	mlimg_autoclose int upper =
		mlimg_open_beneath_strict(b->root_fd, "user/upper", O_RDONLY | O_DIRECTORY);
	mlimg_autofree char *text = NULL;
	struct mlimg_text all = {.data = NULL};
	char *rest = NULL;
	size_t size;
	int r;

	if (upper < 0 || !b->made.size)
		return 0;
	r = mlimg_read_beneath(
		user, MLIMG_REBUILD_DERIVED, MLIMG_REBUILD_LIST_MAX, &text, &size, NULL);
	for (char *path = r == 0 ? strtok_r(text, "\n", &rest) : NULL; path;
		path = strtok_r(NULL, "\n", &rest))
		put_line(&all, path);
	for (char *path = strtok_r(b->made.data, "\n", &rest); path;
		path = strtok_r(NULL, "\n", &rest)) {
		mlimg_autoclose int fd =
			mlimg_open_beneath_strict(upper, path, O_PATH | O_NOFOLLOW);

		if (fd >= 0 && !has_line(&all, path))
			put_line(&all, path);
	}
	r = all.has_failed ? mlimg_err_set(err, ENOMEM, "rebuild")
			   : put_list(user, MLIMG_REBUILD_DERIVED, &all, err);
	free(all.data);
	return r;
}

static int rebuild(struct rebuild *b, struct mlimg_err *err)
{
	mlimg_autofree char *text = NULL;
	mlimg_autoclose int user = -1;
	char *rest = NULL;
	size_t size;
	int r = mlimg_read_beneath(
		b->root_fd, MLIMG_REBUILD_FILE, MLIMG_REBUILD_LIST_MAX, &text, &size, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	for (char *path = strtok_r(text, "\n", &rest); path; path = strtok_r(NULL, "\n", &rest))
		make(b, path);
	if (b->left.has_failed || b->done.has_failed || b->made.has_failed)
		return mlimg_err_set(err, ENOMEM, "rebuild");
	user = mlimg_open_beneath(b->root_fd, "user/mlimg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (user >= 0)
		r = note_made(b, user, err);
	if (r == 0 && user >= 0 &&
		faccessat(user, MLIMG_REBUILD_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = put_list(user, MLIMG_REBUILD_FILE, &b->left, err);
	return r < 0 ? r : put_list(b->root_fd, MLIMG_REBUILD_FILE, &b->left, err);
}

static int run(const char *root, bool is_needed_only)
{
	struct rebuild b = {.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.is_needed_only = is_needed_only};
	struct mlimg_err err = MLIMG_ERR_INIT;
	int r = b.root_fd < 0 ? mlimg_err_set(&err, errno, "open '%s'", root) : rebuild(&b, &err);

	free(b.left.data);
	free(b.done.data);
	free(b.made.data);
	if (b.root_fd >= 0)
		close(b.root_fd);
	if (r < 0)
		return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
	return b.n_failed ? MLIMG_EXIT_FAILED : MLIMG_EXIT_DONE;
}

int mlimg_call_rebuild(int argc, char **argv)
{
	static const struct option options[] = {{"root", required_argument, NULL, 'r'},
		{"needed", no_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool is_needed_only = false;
	const char *root = ROOT;
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'r': root = optarg; break;
		case 'n': is_needed_only = true; break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind < argc)
		return mlimg_cli_usage(
			MLIMG_AGENT_PROG, "rebuild: unexpected argument '%s'", argv[optind]);
	return run(root, is_needed_only);
}
