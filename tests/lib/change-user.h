/* SPDX-License-Identifier: MIT */
/**
 * @file change-user.h
 * A user layer in a directory, a plan for it, and what a boot does with them: for tests of changes of the stack.
 */
#ifndef MLIMG_TEST_CHANGE_USER_H
#define MLIMG_TEST_CHANGE_USER_H

#include "guest-agent/change-stage.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"
#include "libmlimg/unionfs.h"
#include "libmlimg/walk.h"
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

TEST_UNUSED static bool is_unionfs;
TEST_UNUSED static struct mlimg_err err;

TEST_UNUSED __attribute__((format(printf, 1, 2))) static void shell(const char *fmt, ...)
{
	char *command;
	va_list ap;

	va_start(ap, fmt);
	ASSERT(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	if (system(command) != 0)
		FAIL("failed: %s", command);
	free(command);
}

TEST_UNUSED static bool can_trusted(void)
{
	return geteuid() == 0;
}

/* --- a user layer --- */

TEST_UNUSED static void hide(const char *upper, const char *path)
{
	if (is_unionfs)
		shell("cd %s && mkdir -p -m 0770 .unionfs-fuse/\"$(dirname %s)\" && "
		      ": >.unionfs-fuse/%s_HIDDEN~",
			upper, path, path);
	else
		shell("mknod %s/%s c 0 0", upper, path);
}

TEST_UNUSED static void make_opaque(const char *upper, const char *path)
{
	char name[1024];

	if (is_unionfs) {
		shell("mkdir -p %s/.unionfs-fuse/%s_HIDDEN~", upper, path);
		return;
	}
	snprintf(name, sizeof(name), "%s/%s", upper, path);
	if (can_trusted())
		ASSERT_EQ(setxattr(name, MLIMG_XATTR_OPAQUE, "y", 1, 0), 0);
}

TEST_UNUSED static struct mlimg_boot_state state_of(uint64_t generation)
{
	struct mlimg_boot_state state = {.generation = generation, .base_size_bytes = 5};

	strcpy(state.stack.union_driver, is_unionfs ? "unionfs" : "overlay");
	memset(state.stack.stack_id, generation == 5 ? 'a' : 'b', MLIMG_SHA256_HEX_SIZE - 1);
	memset(state.base_sha256, 'c', MLIMG_SHA256_HEX_SIZE - 1);
	state.stack.n_layers = 1;
	state.stack.layers[0].kind = MLIMG_SYSTEM;
	strcpy(state.stack.layers[0].name, "s");
	strcpy(state.stack.layers[0].version, "1");
	memset(state.stack.layers[0].build_id, 'd', MLIMG_SHA256_HEX_SIZE - 1);
	return state;
}

TEST_UNUSED static int open_dir(const char *dir, const char *name)
{
	char path[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		FAIL("open %s: %s", path, strerror(errno));
	return fd;
}

TEST_UNUSED static void write_state(const char *user, const struct mlimg_boot_state *state)
{
	mlimg_autoclose int fd = open_dir(user, "mlimg");
	mlimg_autofree char *text = NULL;

	ASSERT_OK(mlimg_boot_state_to_json(state, &text, &err), err);
	ASSERT_OK(mlimg_replace_file(fd, "state.json", text, strlen(text), 0644, &err), err);
}

/* In start/: a user layer of generation 5; in lower/: what the new stack has. */
TEST_UNUSED static void make_start(const char *dir)
{
	struct mlimg_boot_state state = state_of(5);
	char upper[512];

	shell("cd %s && mkdir -p start/upper/etc start/work start/mlimg lower/etc lower/srv/new && "
	      "cd lower && echo next >etc/asidefile && echo takes >etc/takes && "
	      "echo beside >etc/beside && echo new >srv/new/file",
		dir);
	snprintf(upper, sizeof(upper), "%s/start/upper", dir);
	shell("cd %s/etc && mkdir empties full again stays asidedir asidedir/below attrdir opaque "
	      "closed && "
	      "for f in stale empties/x full/x full/y again/x stays/x stays/y asidedir/a "
	      "asidedir/below/b asidefile attr "
	      "both takes beside beside.mlimg-new opaque/mine closed/mine other; do echo mine $f "
	      ">$f; done && "
	      "ln -s here link && chmod 0700 attr && ln other otherlink",
		upper);
	hide(upper, "etc/hidden");
	hide(upper, "etc/asidedir/gone");
	make_opaque(upper, "etc/opaque");
	shell("cd %s/start && find upper -exec touch -h -d @1000000000.5 {} + && "
	      "touch -d @1100000000.25 upper/etc upper/etc/full && "
	      "echo base >mlimg/base.manifest.5 && echo texts >mlimg/base.texts.5",
		dir);
	shell("mkdir %s/start/mlimg/undo %s/start/mlimg/undo/4 && "
	      "echo former >%s/start/mlimg/undo/4/x",
		dir, dir, dir);
	snprintf(upper, sizeof(upper), "%s/start", dir);
	write_state(upper, &state);
}

/* --- a plan --- */

TEST_UNUSED static struct mlimg_entry entry_of(const char *line)
{
	static struct mlimg_arena *arena;
	struct mlimg_entry entry;

	if (!arena)
		arena = mlimg_arena_new();
	ASSERT_OK(mlimg_manifest_parse_line(line, strlen(line), arena, &entry, &err), err);
	return entry;
}

TEST_UNUSED static void add(struct mlimg_plan *plan, char verb, const char *path, const char *line)
{
	struct mlimg_entry entry;
	char text[1024];

	if (line) {
		snprintf(text, sizeof(text), "./%s %s", path, line);
		entry = entry_of(text);
	}
	ASSERT_OK(mlimg_plan_add(
			  plan, (enum mlimg_plan_verb)verb, path, line ? &entry : NULL, 0, &err),
		err);
}

/* Of contents that end with a newline. */
TEST_UNUSED static void add_file(
	struct mlimg_plan *plan, char verb, const char *path, const char *content)
{
	char line[512], hex[MLIMG_SHA256_HEX_SIZE];
	uint8_t digest[MLIMG_SHA256_SIZE];

	mlimg_sha256_of(content, strlen(content), digest);
	mlimg_sha256_hex(digest, hex);
	snprintf(line, sizeof(line),
		"type=file mode=0640 uid=%u gid=%u size=%zu time=1200000000.000000001 "
		"sha256digest=%s",
		geteuid(), getegid(), strlen(content), hex);
	add(plan, verb, path, line);
}

/* @at: in the new stack, where @content is */
TEST_UNUSED static void add_beside(
	struct mlimg_plan *plan, const char *path, const char *at, const char *content)
{
	add_file(plan, 'n', at, content);
	plan->ops[plan->n_ops - 1].path = strdup(path);
}

TEST_UNUSED static void make_plan(struct mlimg_plan *plan)
{
	char dir[128];
	uint32_t blob;

	snprintf(dir, sizeof(dir), "type=dir mode=0750 uid=%u gid=%u time=1300000000.000000000",
		geteuid(), getegid());
	ASSERT_OK(mlimg_plan_init(plan, &err), err);
	plan->generation = 6;
	memset(plan->from, 'a', MLIMG_SHA256_HEX_SIZE - 1);
	memset(plan->to, 'b', MLIMG_SHA256_HEX_SIZE - 1);
	ASSERT_OK(mlimg_plan_add_blob(plan, "merged\n", 7, &blob, &err), err);
	add(plan, 'd', "etc/stale", NULL);
	add(plan, 'd', "etc/hidden", NULL);
	add(plan, 'd', "etc/empties/x", NULL);
	add(plan, 'D', "etc/empties", dir);
	add(plan, 'd', "etc/full/x", NULL);
	add(plan, 'D', "etc/full", dir);
	add(plan, 'd', "etc/again/x", NULL);
	add(plan, 'D', "etc/again", dir);
	add(plan, 'd', "etc/stays/x", NULL);
	add(plan, 'D', "etc/stays", dir);
	add(plan, 'a', "etc/asidedir", NULL);
	add(plan, 'a', "etc/asidefile", NULL);
	add_file(plan, 't', "etc/asidefile", "next\n");
	add(plan, 'h', "etc/newhidden", NULL);
	add_file(plan, 's', "etc/attr", "mine attr\n");
	add(plan, 's', "etc/attrdir", dir);
	add_file(plan, 'p', "etc/both", "merged\n");
	add_file(plan, 't', "etc/takes", "takes\n");
	add(plan, 't', "etc/link", "type=link mode=0777 uid=0 gid=0 time=5.000000000 link=there");
	add(plan, 'a', "etc/beside.mlimg-new", NULL);
	add_beside(plan, "etc/beside.mlimg-new", "etc/beside", "beside\n");
	add(plan, 'm', "etc/again", dir);
	add_file(plan, 'p', "etc/again/x", "merged\n");
	add(plan, 'm', "etc/stays", dir);
	add_file(plan, 'p', "etc/stays/x", "merged\n");
	add(plan, 'm', "srv", dir);
	add(plan, 'm', "srv/new", dir);
	add_file(plan, 't', "srv/new/file", "new\n");
	if (!is_unionfs && !can_trusted())
		return;
	add(plan, 'u', "etc/opaque", NULL);
	add(plan, 'c', "etc/closed", NULL);
}

/* --- carrying it out --- */

TEST_UNUSED static long steps_left; /* below 0: no end */
TEST_UNUSED static char told[1024];

TEST_UNUSED static int step(void *ctx)
{
	return steps_left >= 0 && steps_left-- == 0;
}

TEST_UNUSED static void tell(
	const char *path, enum mlimg_change_told what, bool is_file, uint64_t generation, void *ctx)
{
	size_t at = strlen(told);

	if (what == MLIMG_CHANGE_IS_ASIDE)
		snprintf(told + at, sizeof(told) - at, "aside/%" PRIu64 "/%s;", generation, path);
	else
		snprintf(told + at, sizeof(told) - at, "%s %s;",
			what == MLIMG_CHANGE_MERGED             ? "merged"
				: what == MLIMG_CHANGE_GAVE_WAY ? "gave way"
								: "dropped",
			path);
}

TEST_UNUSED static struct mlimg_boot_state read_state(int user_fd)
{
	struct mlimg_boot_state state;
	char *text;
	size_t size;

	ASSERT_OK(mlimg_read_file(
			  user_fd, "mlimg/state.json", MLIMG_BOOT_STATE_MAX, &text, &size, &err),
		err);
	ASSERT_OK(mlimg_boot_state_from_json(text, size, &state, &err), err);
	free(text);
	return state;
}

/* What a boot does: end what there is, then the change if it is still wanted. */
TEST_UNUSED static int change(const char *dir, const char *user, const struct mlimg_plan *plan)
{
	mlimg_autoclose int user_fd = open_dir(dir, user), lower_fd = open_dir(dir, "lower");
	struct mlimg_change_call call = {.user_fd = user_fd, .step = step, .told = tell};
	struct mlimg_lowers lowers = {.fds = {lower_fd}, .n = 1};
	struct mlimg_boot_state old, next = state_of(6);
	int r = mlimg_change_resume(&call, &err);

	if (r < 0)
		return r;
	old = read_state(user_fd);
	if (old.generation == 6)
		return 0;
	r = mlimg_change_stage(&call, plan, &lowers, is_unionfs, &old, &next, &err);
	return r < 0 ? r : mlimg_change_decide(&call, false, 6, 5, &err);
}

TEST_UNUSED static int back(const char *dir, const char *user)
{
	mlimg_autoclose int user_fd = open_dir(dir, user), own_fd = -1;
	struct mlimg_change_call call = {.user_fd = user_fd, .step = step, .told = tell};
	struct mlimg_boot_state now, former;
	int r = mlimg_change_resume(&call, &err);

	if (r < 0)
		return r;
	now = read_state(user_fd);
	if (now.generation == 7)
		return 0;
	own_fd = openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(mlimg_change_find_former(own_fd, &now, &former, &err), 1);
	ASSERT_EQ(former.generation, 5);
	return mlimg_change_roll_back(&call, &now, &former, &err);
}

/* --- looking at it --- */

/* Entries and contents of a tree, one line each. */
TEST_UNUSED static char *list(const char *dir, const char *name)
{
	mlimg_autoclose int fd = open_dir(dir, name);
	struct mlimg_text text = {0};
	struct mlimg_manifest *m;

	ASSERT_OK(mlimg_walk_manifest(fd, 0, true, &m, &err), err);
	mlimg_manifest_put(m, mlimg_text_put, &text);
	mlimg_manifest_free(m);
	ASSERT(!text.has_failed);
	return text.data;
}

/* unionfs-fuse's own directories have times that nobody sees; the user layer's too, but for the upper's. */
TEST_UNUSED static char *shown(const char *dir, const char *user)
{
	char *text, path[1024];

	shell("cd %s && rm -rf seen && cp -a %s seen && cd seen && "
	      "find mlimg work upper/.unionfs-fuse -type d -exec touch -d @0 {} + 2>/dev/null; "
	      "find mlimg -name '*.json' -exec touch -d @0 {} +; touch -d @0 .; "
	      "find mlimg/undo mlimg/reconcile.* -type f -exec touch -d @0 {} + 2>/dev/null; "
	      "find . -name '*_HIDDEN~' -exec touch -d @0 {} +; "
	      "find . -type c -exec touch -h -d @0 {} +",
		dir, user);
	snprintf(path, sizeof(path), "%s/seen", dir);
	text = list(path, ".");
	return text;
}

TEST_UNUSED static void assert_same(
	const char *what, long at, const char *wanted, const char *found)
{
	if (strcmp(wanted, found) != 0)
		FAIL("%s at step %ld:\n--- wanted\n%s--- found\n%s", what, at, wanted, found);
}

TEST_UNUSED static void again(const char *dir, const char *from, const char *to)
{
	shell("cd %s && rm -rf %s && cp -a %s %s", dir, to, from, to);
}

TEST_UNUSED static char *upper_of(const char *dir, const char *user)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/upper", user);
	/* Directories of marks that are left empty show nothing. */
	shell("cd %s/%s && ! [ -d .unionfs-fuse ] || "
	      "{ find .unionfs-fuse -mindepth 1 -type d ! -name '*_HIDDEN~' -empty -delete; "
	      "find .unionfs-fuse -exec touch -d @0 {} +; }",
		dir, path);
	return list(dir, path);
}

#endif
