/* SPDX-License-Identifier: MIT */
/**
 * @file disk-packages.h
 * Files of packages for the model of reconcile on the disk (disk-databases.h): one for each package
 * that says its version, with another one that only odd versions have, and dpkg's list. Some
 * packages have a directory of their own for these files, which goes with the last one.
 */
#ifndef MLIMG_TEST_DISK_PACKAGES_H
#define MLIMG_TEST_DISK_PACKAGES_H

#include "tests/lib/disk-tree.h"
#include "tests/lib/disk-user.h"

/** A package. */
struct disk_package {
	char name[4];
	unsigned version;
	bool is_held;
};

static char *path_of(const char *root, const char *path, const char *suffix)
{
	char *whole;

	ASSERT(asprintf(&whole, "%s/%s%s", root, path, suffix) > 0);
	return whole;
}

/* A new file takes the place of the old one. */
static void put_text(const char *root, const char *name, const char *suffix, const char *text)
{
	mlimg_autofree char *path = path_of(root, name, suffix), *fresh = path_of(root, name, "+");

	user_put(fresh, O_CREAT | O_EXCL, text, strlen(text));
	MUST(rename(fresh, path));
}

#define FILE_DIR "usr/share/packages"
#define LIST_DIR "var/lib/dpkg/info"

/** @return whether a package has a directory of its own */
static bool has_dir(const char *name)
{
	return (name[1] - '0') % 2 == 0;
}

static char *dir_of(const char *root, const char *name, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/" FILE_DIR "/%s", root, name);
	return path;
}

static char *file_of(const char *root, const char *name, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/" FILE_DIR "/%s%s", root, name, has_dir(name) ? "/f" : "");
	return path;
}

/** The file that only odd versions have. */
static char *odd_file_of(const char *root, const char *name, char path[PATH_SIZE])
{
	snprintf(
		path, PATH_SIZE, "%s/" FILE_DIR "/%s%s-odd", root, name, has_dir(name) ? "/f" : "");
	return path;
}

static char *list_of(const char *root, const char *name, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/" LIST_DIR "/%s.list", root, name);
	return path;
}

/* What the user has put in its place gives way to a directory. */
static void make_dir_of(const char *root, const char *name)
{
	char path[PATH_SIZE];

	dir_of(root, name, path);
	if (user_type(path) && user_type(path) != S_IFDIR)
		MUST(unlink(path));
	if (!user_type(path))
		MUST(mkdir(path, 0755));
}

static void put_package(const char *root, const struct disk_package *p)
{
	char text[256], path[64], odd[PATH_SIZE];

	if (has_dir(p->name))
		make_dir_of(root, p->name);
	sprintf(path, FILE_DIR "/%s%s", p->name, has_dir(p->name) ? "/f" : "");
	sprintf(text, "%s %u\n", p->name, p->version);
	put_text(root, path, "", text);
	if (p->version % 2)
		put_text(root, path, "-odd", text);
	else
		unlink(odd_file_of(root, p->name, odd));
	strcpy(text, "/.\n/usr\n/usr/share\n/" FILE_DIR "\n");
	if (has_dir(p->name))
		sprintf(text + strlen(text), "/" FILE_DIR "/%s\n", p->name);
	sprintf(text + strlen(text), "/%s\n", path);
	if (p->version % 2)
		sprintf(text + strlen(text), "/%s-odd\n", path);
	sprintf(path, LIST_DIR "/%s", p->name);
	put_text(root, path, ".list", text);
}

/** whether the user puts something of his own where a directory of a package has gone */
static bool has_things_in_place;

/*
 * Only where the stack has such a directory, of which the upper then has a whiteout: what comes
 * there from another stack is not to be in his way.
 */
static void put_in_place(const char *root, const char *name)
{
	char path[PATH_SIZE], mine[PATH_SIZE + 8];

	dir_of("run/user/upper", name, path);
	if (!has_things_in_place || user_type(path) != S_IFCHR || one_in(2))
		return;
	dir_of(root, name, path);
	snprintf(mine, sizeof(mine), "%s/mine", path);
	switch (test_random(3)) {
	case 0: MUST(symlink("nowhere", path)); break;
	case 1: user_put(path, O_CREAT | O_EXCL, "mine\n", 5); break;
	default: MUST(mkdir(path, 0755)); user_put(mine, O_CREAT | O_EXCL, "mine\n", 5);
	}
}

/* As dpkg does it: the directory goes if nothing else is in it. */
static void remove_files_of(const char *root, const char *name)
{
	char path[PATH_SIZE];

	unlink(file_of(root, name, path));
	unlink(odd_file_of(root, name, path));
	unlink(list_of(root, name, path));
	if (has_dir(name) && rmdir(dir_of(root, name, path)) == 0)
		put_in_place(root, name);
}

#endif
