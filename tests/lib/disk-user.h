/* SPDX-License-Identifier: MIT */
/**
 * @file disk-user.h
 * What a user does in a merged root: random operations on the few names of the model of reconcile
 * (model-random.h), so that they often meet what the stacks have. Each is what a program does:
 * writes in place, replaces as dpkg and editors do, renames, removes and makes anew. One that
 * cannot be done, for there is nothing, or something else, does nothing: so any of them can be left
 * out, and the others stay the same.
 */
#ifndef MLIMG_TEST_DISK_USER_H
#define MLIMG_TEST_DISK_USER_H

#include <sys/wait.h>

#include "libmlimg/remove-tree.h"
#include "tests/lib/disk-tree.h"
#include "tests/lib/model-oracle.h"
#include "tests/lib/model-random.h"

#define USER_ROOT "merged" /**< where he does it */
#define USER_OPS_MAX 48

enum user_verb {
	USER_WRITE,  /**< contents, from the beginning */
	USER_CHANGE, /**< one byte in place */
	USER_EMPTY,  /**< truncate */
	/** to what is empty; else opened for writing, no more: a copy, and the same */
	USER_APPEND,
	USER_REPLACE, /**< a new file is written and renamed over it, as dpkg does */
	USER_BACKUP,  /**< it is renamed, and a new one takes its place, as editors do */
	USER_MODE,
	USER_OWNER,
	USER_XATTR,
	USER_ACL,        /**< setfacl, or of a directory also its default */
	USER_CAPABILITY, /**< setcap */
	USER_TOUCH,
	USER_REMOVE, /**< with all that is below */
	USER_RENEW,  /**< a directory: removed and made again */
	USER_AGAIN,  /**< the same, with all that was in it, as when a package is installed again */
	USER_MKDIR,
	USER_RENAME,
	USER_EXCHANGE,
	USER_LINK,
	USER_SYMLINK,
	USER_NODE,
	USER_VERBS
};

struct user_op {
	enum user_verb verb;
	char path[12], other[12];
	unsigned n; /**< whatever the verb needs */
};

static unsigned user_ids[32]; /**< users and groups that he gives things to; 0, 1 and 2 without */
static size_t n_user_ids;

static unsigned user_id(unsigned n)
{
	return n_user_ids ? user_ids[n % n_user_ids] : n % 3;
}

/** A path of the model, MODEL_DEPTH deep at most; never a top. */
TEST_UNUSED static void user_path(char ret_path[12])
{
	unsigned depth = 1 + (unsigned)test_random(MODEL_DEPTH - 1);

	strcpy(ret_path, model_tops[test_random(3)]);
	for (unsigned i = 0; i < depth; i++)
		strcat(strcat(ret_path, "/"), model_names[test_random(MODEL_NAMES)]);
}

TEST_UNUSED static struct user_op user_random(void)
{
	struct user_op op = {.verb = (enum user_verb)test_random(USER_VERBS)};

	user_path(op.path);
	user_path(op.other);
	if (one_in(3)) /* what needs two names is rarely possible */
		op.verb = one_in(3) ? USER_REMOVE : one_in(4) ? USER_AGAIN : USER_RENAME;
	if (op.verb <= USER_REPLACE && op.verb != USER_WRITE && one_in(12))
		*strchr(op.path, '/') = '\0', op.verb = USER_MODE; /* of a top */
	op.n = (unsigned)test_random(1 << 20);
	return op;
}

TEST_UNUSED static const char *user_verb_name(enum user_verb verb)
{
	static const char *const names[] = {"write", "change", "empty", "append", "replace",
		"backup", "mode", "owner", "xattr", "acl", "capability", "touch", "remove", "renew",
		"again", "mkdir", "rename", "exchange", "link", "symlink", "node"};

	return names[verb];
}

TEST_UNUSED static void user_print(const struct user_op *op)
{
	fprintf(stderr, "  %s %s %s %u\n", user_verb_name(op->verb), op->path, op->other, op->n);
}

/** Remove what is at a path, if there is something. */
TEST_UNUSED static void remove_all(const char *path)
{
	mlimg_autoclose int fd = open(".", O_RDONLY | O_DIRECTORY);
	int r = mlimg_remove_tree(fd, path);

	/* overlayfs lists whiteouts of layers, though it denies them. */
	if ((r < 0 && r != -ENOENT) || faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		FAIL("remove '%s': %s", path, strerror(-r));
}

/** @return its exit status; a signal is a failure */
TEST_UNUSED static int run_program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/** @param has_denied  it may list what cannot be had, as remove_all() says: all else is copied */
TEST_UNUSED static void copy_listed(const char *from, const char *to, bool has_denied)
{
	const char *const argv[] = {"cp", "-a", from, to, NULL};
	int status;

	remove_all(to);
	status = run_program(argv);
	if (status > has_denied)
		FAIL("status %d of 'cp -a %s %s'", status, from, to);
}

TEST_UNUSED static void copy_dir(const char *from, const char *to)
{
	copy_listed(from, to, false);
}

/* --- one operation --- */

/* @return the type's bits, 0 where there is nothing */
TEST_UNUSED static mode_t user_type(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_mode & S_IFMT;
}

TEST_UNUSED static void user_put(const char *path, int flags, const void *data, size_t size)
{
	mlimg_autoclose int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags, 0644);

	if (fd >= 0)
		ASSERT_EQ(mlimg_write_all(fd, data, size), 0);
}

TEST_UNUSED static void user_write(const char *path, unsigned n, int flags)
{
	const struct model_content *c = &model_contents[n % CONTENTS];

	if (!user_type(path) || user_type(path) == S_IFREG)
		user_put(path, O_CREAT | O_TRUNC | flags, c->data, c->size);
}

/* One of a text's lines that may differ: all texts have the same size. */
TEST_UNUSED static void user_change(const char *path, unsigned n)
{
	const char digit = (char)('0' + n % 4);
	mlimg_autoclose int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_size != (off_t)model_contents[1].size)
		return;
	fd = open(path, O_WRONLY | O_NOFOLLOW);
	ASSERT(fd >= 0);
	ASSERT_EQ(pwrite(fd, &digit, 1, 2 + 6 * (n / 4 % 3)), 1);
}

TEST_UNUSED static void user_append(const char *path, unsigned n)
{
	const struct model_content *c = &model_contents[n % CONTENTS];
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
		user_put(path, O_APPEND, c->data, st.st_size ? 0 : c->size);
}

/* As dpkg: the new file has the old one's owner and mode before it takes its place. */
TEST_UNUSED static void user_replace(const char *path, unsigned n)
{
	char fresh[PATH_SIZE];
	struct stat st;

	if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return;
	snprintf(fresh, sizeof(fresh), "%.200s.dpkg-new", path);
	user_write(fresh, n, O_EXCL);
	MUST(lchown(fresh, st.st_uid, st.st_gid));
	if (S_ISREG(st.st_mode))
		MUST(chmod(fresh, st.st_mode & 07777));
	MUST(rename(fresh, path));
}

/** @param value  of an xattr, as text of model-trees.h */
TEST_UNUSED static void user_set_binary(const char *path, const char *name, const char *value)
{
	struct mlimg_entry e = {.path = NULL};

	set_xattr(&e, name, value);
	MUST(lsetxattr(path, name, e.xattrs->value, e.xattrs->size, 0));
}

/* Rights that owner and mode do not say; one of four times they are taken away. */
TEST_UNUSED static void user_set_rights(const struct user_op *op, const char *path, mode_t type)
{
	bool is_default = type == S_IFDIR && op->n % 2, is_acl = op->verb == USER_ACL;
	const char *name = is_default ? MODEL_DEFAULT_ACL : MODEL_ACL;
	struct stat st;

	if (type == S_IFLNK || (!is_acl && type != S_IFREG))
		return;
	if (!is_acl)
		name = model_xattrs[4];
	MUST(lstat(path, &st));
	if (op->n / 64 % 4 == 0)
		lremovexattr(path, name); /* it need not be there */
	else if (is_acl)
		user_set_binary(path, name,
			acl_text(st.st_mode ^ (op->n / 1024 % 2 ? 0020 : 0), user_id(op->n / 32),
				op->n / 256));
	else
		user_set_binary(path, name, capability_text(op->n));
}

TEST_UNUSED static void user_set(const struct user_op *op, const char *path)
{
	static const mode_t modes[] = {0644, 0600, 0755, 04755, 02755, 01777};
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1100000000 + op->n, .tv_nsec = op->n}};
	const char *name = model_xattrs[op->n % 2];
	mode_t type = user_type(path);

	if (!type)
		return;
	if (op->verb == USER_MODE && type != S_IFLNK)
		MUST(chmod(path, modes[op->n % (op->n / 16 % 4 ? 3 : 6)]));
	else if (op->verb == USER_OWNER)
		MUST(lchown(path, user_id(op->n), user_id(op->n / 32)));
	else if (op->verb == USER_XATTR && op->n / 2 % 3 == 0)
		lremovexattr(path, name); /* it need not be there */
	else if (op->verb == USER_XATTR)
		MUST(lsetxattr(path, name, op->n / 2 % 3 == 1 ? "1" : "2", 1, 0));
	else if (op->verb == USER_ACL || op->verb == USER_CAPABILITY)
		user_set_rights(op, path, type);
	else if (op->verb == USER_TOUCH)
		MUST(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

TEST_UNUSED static void user_renew(const char *path)
{
	if (user_type(path) != S_IFDIR)
		return;
	remove_all(path);
	MUST(mkdir(path, 0755));
}

TEST_UNUSED static void user_again(const char *path)
{
	char fresh[PATH_SIZE];

	if (user_type(path) != S_IFDIR)
		return;
	snprintf(fresh, sizeof(fresh), "%.200s.new", path);
	copy_listed(path, fresh, true);
	remove_all(path);
	MUST(rename(fresh, path));
}

TEST_UNUSED static void user_make(const struct user_op *op, const char *path)
{
	static const char *const targets[] = {"a", "b", "../c"};
	int r = op->verb == USER_MKDIR ? mkdir(path, 0755)
		: op->verb == USER_SYMLINK
		? symlink(targets[op->n % 3], path)
		: mknod(path, op->n % 2 ? S_IFIFO | 0644 : S_IFCHR | 0644,
			  op->n % 2 ? 0 : makedev(0, 1 + op->n / 2 % 2));

	if (r < 0 && errno != EEXIST)
		FAIL("%s: %s: %s", user_verb_name(op->verb), path, strerror(errno));
}

/*
 * @return whether the directory that holds it is one, and no link to one: the model's names do not
 * go through links
 */
TEST_UNUSED static bool user_has_place(const char *path)
{
	char dir[PATH_SIZE];

	snprintf(dir, sizeof(dir), "%.200s", path);
	for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (user_type(dir) != S_IFDIR)
			return false;
		*slash = '/';
	}
	return true;
}

/*
 * @return whether a directory would go deeper than the model's: its contents would have names that
 * it has not
 */
TEST_UNUSED static bool user_goes_deeper(const char *from, const char *to)
{
	return user_type(from) == S_IFDIR && depth_of(to) > depth_of(from);
}

TEST_UNUSED static void user_move(
	const struct user_op *op, const char *path, const char *other, bool has_redirects)
{
	bool is_dir = user_type(path) == S_IFDIR || user_type(other) == S_IFDIR;

	if (!user_has_place(other) || user_goes_deeper(path, other) ||
		(op->verb == USER_EXCHANGE && user_goes_deeper(other, path)) ||
		(is_dir && !has_redirects))
		return;
	/* What is in the way, or would hold itself, the kernel refuses. */
	if (op->verb == USER_LINK)
		(void)!linkat(AT_FDCWD, path, AT_FDCWD, other, 0);
	else
		renameat2(AT_FDCWD, path, AT_FDCWD, other,
			op->verb == USER_EXCHANGE ? RENAME_EXCHANGE : 0);
}

/**
 * Do it.
 *
 * @param op             what
 * @param has_redirects  whether directories may be renamed
 */
TEST_UNUSED static void user_do(const struct user_op *op, bool has_redirects)
{
	char path[PATH_SIZE], other[PATH_SIZE];

	/* Now and then where a change puts new files, or has put them. */
	snprintf(path, sizeof(path), USER_ROOT "/%s%s", op->path,
		op->n / 64 % 16 || !strchr(op->path, '/') ? "" : model_new_suffix(op->path));
	snprintf(other, sizeof(other), USER_ROOT "/%s", op->other);
	if (!user_has_place(path))
		return;
	switch (op->verb) {
	case USER_WRITE: user_write(path, op->n, 0); break;
	case USER_CHANGE: user_change(path, op->n); break;
	case USER_EMPTY: user_write(path, 0, 0); break;
	case USER_APPEND: user_append(path, op->n); break;
	case USER_REPLACE: user_replace(path, op->n); break;
	case USER_BACKUP:
		if (user_type(path) == S_IFREG && user_has_place(other))
			user_move(op, path, other, true);
		user_write(path, op->n, 0);
		break;
	case USER_REMOVE: remove_all(path); break;
	case USER_RENEW: user_renew(path); break;
	case USER_AGAIN: user_again(path); break;
	case USER_MKDIR:
		if (depth_of(op->path) < MODEL_DEPTH)
			user_make(op, path);
		break;
	case USER_SYMLINK:
	case USER_NODE: user_make(op, path); break;
	case USER_RENAME:
	case USER_EXCHANGE:
	case USER_LINK: user_move(op, path, other, has_redirects); break;
	default: user_set(op, path);
	}
}

#endif
