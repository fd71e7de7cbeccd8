/* SPDX-License-Identifier: MIT */
/*
 * usage: randtree SEED ENTRIES DIRECTORY Fills a new directory with a random tree that has
 * everything a layer can hold: all types, odd names, hard links, holes, xattrs, ACLs, times before
 * 1970 and after 2038; for root also devices, owners and capabilities. The same seed makes the same
 * tree.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 7
#define LINKABLE_MAX 64

static uint64_t state;
static bool is_root;
static unsigned entries_left;
static char linkable[LINKABLE_MAX][4096]; /* where names for hard links are taken from */
static unsigned n_linkable;

/* splitmix64 (public domain, Vigna 2015) */
static uint64_t rnd(uint64_t below)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return z % below;
}

#define CHECK(call)                                                                    \
	do {                                                                           \
		if ((call) < 0) {                                                      \
			fprintf(stderr, "randtree: %s: %s\n", #call, strerror(errno)); \
			exit(1);                                                       \
		}                                                                      \
	} while (0)

static void random_name(char *name, size_t max)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABC0123456789._-";
	size_t length = rnd(40) ? 1 + rnd(24) : max;
	bool is_odd = rnd(8) == 0;

	for (size_t i = 0; i < length; i++) {
		name[i] = is_odd ? (char)(1 + rnd(255)) : plain[rnd(sizeof(plain) - 1)];
		if (name[i] == '/')
			name[i] = '\\';
	}
	name[length] = '\0';
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		name[0] = '_';
}

static void fill(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t v = rnd(UINT64_MAX);

		memcpy(data + i, &v, size - i < 8 ? size - i : 8);
	}
}

/* Data, holes, data; or next to nothing. Sizes around a block's are the likely mistakes. */
static void make_file(const char *path)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 100000};
	static uint8_t data[100000];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t size = sizes[rnd(sizeof(sizes) / sizeof(sizes[0]))];

	CHECK(fd);
	fill(data, size);
	CHECK(write(fd, data, size));
	if (rnd(10) == 0) {
		for (uint64_t n = 1 + rnd(12); n; n--)
			CHECK(pwrite(fd, data, 1 + rnd(5000), (off_t)rnd(3000000)));
		if (rnd(2))
			CHECK(ftruncate(fd, (off_t)(3000000 + rnd(100000))));
	}
	close(fd);
}

static void make_link(const char *path)
{
	static const size_t lengths[] = {1, 12, 58, 59, 60, 61, 300, 4095};
	char target[4096];
	size_t length = lengths[rnd(sizeof(lengths) / sizeof(lengths[0]))];

	for (size_t i = 0; i < length; i++)
		target[i] = rnd(10) ? (char)('a' + rnd(26)) : (char)(1 + rnd(255));
	target[length] = '\0';
	CHECK(symlink(target, path));
}

static void make_special(const char *path)
{
	static const unsigned majors[] = {1, 8, 255, 256, 4095};
	static const unsigned minors[] = {0, 3, 255, 256, 1048575};
	unsigned major = majors[rnd(5)], minor = minors[rnd(5)];
	mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};

	CHECK(mknod(path, types[rnd(is_root ? 4 : 2)] | 0600, makedev(major, minor)));
}

static void set_xattr(const char *path, const char *name, const void *value, size_t size)
{
	if (lsetxattr(path, name, value, size, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM) {
		fprintf(stderr, "randtree: %s: %s\n", name, strerror(errno));
		exit(1);
	}
}

/* linux/posix_acl_xattr.h: version, then (tag, permissions, id), sorted. */
static void set_acl(const char *path, const char *name)
{
	uint8_t acl[4 + 5 * 8] = {2}, *p = acl + 4;
	static const uint8_t tags[] = {1, 2, 4, 16, 32};

	for (size_t i = 0; i < 5; i++, p += 8) {
		p[0] = tags[i];
		/*
		 * The owner's entry becomes his permissions: whoever is not root must still get in.
		 */
		p[2] = (uint8_t)(tags[i] == 1 && !is_root ? 7 : rnd(8));
		memset(p + 4, tags[i] == 2 ? 0x11 : 0xff, 4);
	}
	set_xattr(path, name, acl, sizeof(acl));
}

static void set_xattrs(const char *path, mode_t type)
{
	uint8_t value[900];
	char name[128];

	for (uint64_t n = rnd(5) ? 0 : 1 + rnd(3); n; n--) {
		size_t size = rnd(3) ? rnd(20) : rnd(sizeof(value));

		fill(value, size);
		snprintf(name, sizeof(name), "%s", is_root && rnd(3) == 0 ? "trusted." : "user.");
		random_name(name + strlen(name), 60);
		if (type == S_IFREG || type == S_IFDIR)
			set_xattr(path, name, value, size);
	}
	if (type != S_IFLNK && rnd(12) == 0)
		set_acl(path, "system.posix_acl_access");
	if (type == S_IFDIR && rnd(12) == 0)
		set_acl(path, "system.posix_acl_default");
	if (type == S_IFREG && is_root && rnd(15) == 0) {
		struct vfs_cap_data cap = {
			.magic_etc = VFS_CAP_REVISION_2, .data = {{.permitted = 1u << rnd(32)}}};

		set_xattr(path, "security.capability", &cap, VFS_CAP_U32_2 * 8 + 4);
	}
}

static void set_times(const char *path)
{
	/* ext4 holds 34 bits of seconds, beginning at -2^31. */
	static const int64_t seconds[] = {
		0, -1, -2147483648ll, 2147483647ll, 2147483648ll, 4294967296ll, 15032385535ll};
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = rnd(3) ? (time_t)(1500000000 + rnd(100000000)) : (time_t)seconds[rnd(7)],
			.tv_nsec = (long)rnd(1000000000)}};

	CHECK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

/*
 * Changing the owner takes set-id bits and capabilities away, changing an ACL the permissions: so
 * in this order.
 */
static void set_attributes(const char *path, mode_t type)
{
	static const uid_t ids[] = {0, 1, 1000, 65535, 65536, 4294967294u};
	mode_t mode = (mode_t)rnd(010000);

	if (is_root && rnd(3) == 0)
		CHECK(lchown(path, ids[rnd(6)], ids[rnd(6)]));
	if (!is_root)
		mode |= type == S_IFDIR ? 0700 : 0600;
	if (type != S_IFLNK)
		CHECK(chmod(path, rnd(2) ? mode : type == S_IFDIR ? 0755 : 0644));
	set_xattrs(path, type);
	set_times(path);
}

static bool link_to_older(const char *path)
{
	return n_linkable && rnd(10) == 0 && link(linkable[rnd(n_linkable)], path) == 0;
}

static void make_dir(const char *path, unsigned depth);

static void make_entry(const char *path, unsigned depth)
{
	uint64_t kind = rnd(20);
	struct stat st;

	if (lstat(path, &st) == 0 || link_to_older(path))
		return;
	if (kind < 4 && depth < DEPTH_MAX) {
		make_dir(path, depth + 1);
		return;
	}
	if (kind < 14)
		make_file(path);
	else if (kind < 18)
		make_link(path);
	else
		make_special(path);
	CHECK(lstat(path, &st));
	set_attributes(path, st.st_mode & S_IFMT);
	if (strlen(path) < sizeof(linkable[0]))
		strcpy(linkable[n_linkable < LINKABLE_MAX ? n_linkable++ : rnd(LINKABLE_MAX)],
			path);
}

static void make_dir(const char *path, unsigned depth)
{
	uint64_t n = rnd(20) ? rnd(12) : rnd(300);
	char child[4096], name[256];

	CHECK(mkdir(path, 0700));
	if (depth == 0)
		n = entries_left;
	for (; n && entries_left; n--) {
		entries_left--;
		random_name(name, 255);
		if ((size_t)snprintf(child, sizeof(child), "%s/%s", path, name) < sizeof(child))
			make_entry(child, depth);
	}
	set_attributes(path, S_IFDIR);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: randtree SEED ENTRIES DIRECTORY\n");
		return 2;
	}
	umask(0);
	state = strtoull(argv[1], NULL, 0);
	entries_left = (unsigned)strtoul(argv[2], NULL, 0);
	is_root = geteuid() == 0;
	make_dir(argv[3], 0);
	return 0;
}
