/* SPDX-License-Identifier: MIT */
/*
 * `mlimg-agent unionfs`: become the unionfs-fuse that makes one tree of the mounted layers. It
 * serves the root for as long as the guest runs, so what it is called, where it looks and what it
 * may use up is decided here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/composed.h"
#include "guest-agent/hidden.h"
#include "libmlimg/cleanup.h"
#include "tools/cli.h"

#define PROGRAM "unionfs"
#define OPEN_FILES \
	1048576 /* of the whole guest, each a descriptor of unionfs-fuse; what kernels allow at most */

/*
 * With the '@' systemd lets a process live to the very end of a shutdown (systemd.io, "Storage
 * Daemons for the Root File System").
 */
#define ARGV0 "@" PROGRAM

/*
 * -s: one thread, since copy_file() of unionfs-fuse 1.0 (src/cow_utils.c) has one static buffer for
 * all threads: files copied up at a time would be mixed. And of libfuse's options:
 *
 * - What it shows is changed through this mount only, so the kernel may remember names and
 *   attributes for long. It must: systemd-shutdown stops all processes while it looks for those to
 *   kill, and would wait for ever if reading /proc asked for the attributes of the root. What this
 *   costs is that names of one file, which are different files to the kernel, do not show each
 *   other's changes while they are remembered.
 * - auto_cache keeps a file's pages beyond its closing unless size or time say that it was changed,
 *   asked at each opening (ac_attr_timeout).
 * - Not use_ino: numbers of different branches are the same. cp and mv would take different files
 *   for one, find and rm see loops.
 * - hide_meta_files: the directory with the marks does not show in the root.
 * - statfs_omit_ro: df tells of the user layer alone, as with overlayfs.
 */
static const char options_text[] =
	"cow,allow_other,suid,dev,fsname=mlimg,subtype=" PROGRAM ",hide_meta_files,statfs_omit_ro,"
	"entry_timeout=86400,negative_timeout=86400,attr_timeout=86400,"
	"auto_cache,ac_attr_timeout=0,readdir_ino";

struct call {
	const char *root, *at, *mount_point;
	enum mlimg_boot_mode mode;
};

/* What is of the user's, or takes its place. */
static void put_upper(const struct call *c, FILE *f)
{
	if (c->mode == MLIMG_BOOT_VOLATILE || c->mode == MLIMG_BOOT_RESCUE)
		fprintf(f, "%s/volatile/upper=RW%s", c->at,
			c->mode == MLIMG_BOOT_VOLATILE ? ":" : "");
	if (c->mode != MLIMG_BOOT_RESCUE)
		fprintf(f, "%s/user/upper=%s", c->at, c->mode == MLIMG_BOOT_NORMAL ? "RW" : "RO");
}

/*
 * The branches, topmost first: the upper, what is composed, then each layer with what hides of it
 * and beneath. @return NULL when there is no memory
 */
static char *list_branches(const struct call *c, int root_fd)
{
	char *text = NULL, path[64];
	size_t size, n = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_upper(c, f);
	if (faccessat(root_fd, MLIMG_COMPOSED_DIR "/rootfs", F_OK, 0) == 0)
		fprintf(f, ":%s/" MLIMG_COMPOSED_DIR "/rootfs=RO", c->at);
	do
		snprintf(path, sizeof(path), "layers/%zu/rootfs", n);
	while (faccessat(root_fd, path, F_OK, 0) == 0 && ++n);
	while (n-- > 0) {
		snprintf(path, sizeof(path), MLIMG_HIDDEN_DIR "/%zu", n);
		if (faccessat(root_fd, path, F_OK, 0) == 0)
			fprintf(f, ":%s/%s=RO", c->at, path);
		fprintf(f, ":%s/layers/%zu/rootfs=RO", c->at, n);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* All that is mounted beneath @c->root, under a path that stays when /run moves to the new root. */
static int bind(const struct call *c, struct mlimg_err *err)
{
	if (strcmp(c->at, c->root) == 0)
		return 0;
	if (mkdir(c->at, 0700) < 0 && errno != EEXIST)
		return mlimg_err_set(err, errno, "make '%s'", c->at);
	if (mount(c->root, c->at, NULL, MS_BIND | MS_REC, NULL) < 0)
		return mlimg_err_set(err, errno, "bind '%s' to '%s'", c->root, c->at);
	return 0;
}

/*
 * Where more is not allowed, what is allowed must do; and out of memory, anything else ends before
 * the root does.
 */
static void set_limits(void)
{
	struct rlimit limit = {.rlim_cur = OPEN_FILES, .rlim_max = OPEN_FILES};
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)!setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (fd < 0)
		return;
	(void)!write(fd, "-1000", 5);
	close(fd);
}

static int become(const struct call *c, struct mlimg_err *err)
{
	mlimg_autoclose int root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mlimg_autofree char *branches = NULL, *options = NULL;
	int r;

	if (root_fd < 0)
		return mlimg_err_set(err, errno, "open '%s'", c->root);
	r = bind(c, err);
	if (r < 0)
		return r;
	branches = list_branches(c, root_fd);
	if (!branches ||
		asprintf(&options, "%s%s", options_text,
			c->mode == MLIMG_BOOT_READONLY ? ",ro" : "") < 0)
		return mlimg_err_set(err, ENOMEM, "list the branches");
	set_limits();
	execlp(PROGRAM, ARGV0, "-s", "-o", options, branches, c->mount_point, NULL);
	return mlimg_err_set(err, errno, "run the program " PROGRAM " of the package unionfs-fuse");
}

int mlimg_call_unionfs(int argc, char **argv)
{
	static const struct option options[] = {{"root", required_argument, NULL, 'r'},
		{"at", required_argument, NULL, 'a'}, {"mode", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct call c = {.mode = MLIMG_BOOT_NORMAL};
	int opt;

	while ((opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'r': c.root = optarg; break;
		case 'a': c.at = optarg; break;
		case 'm':
			if (mlimg_boot_mode_of(optarg, &c.mode))
				break;
			return mlimg_cli_usage(MLIMG_AGENT_PROG,
				"unionfs: no mode '%s' (there are: normal, volatile, readonly, "
				"rescue)",
				optarg);
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	c.mount_point = argv[optind];
	if (!c.root)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "unionfs: --root is missing");
	if (argc - optind != 1)
		return mlimg_cli_usage(MLIMG_AGENT_PROG, "unionfs: one mount point is wanted");
	c.at = c.at ? c.at : c.root;
	(void)become(&c, &err);
	return mlimg_cli_fail(MLIMG_AGENT_PROG, &err);
}
