/* SPDX-License-Identifier: MIT */
#include "tools/oci-archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "tools/oci-json.h"
#include "tools/oci-store.h"
#include "tools/source-tar.h"
#include "tools/spool.h"

#define READ_SIZE 65536
#define HEX_DIGITS 64 /* of a layer's or image's id, which old archives have as names */

static int failed(struct archive *a, const char *name, struct mlimg_err *err)
{
	int errnum = archive_errno(a);

	if (errnum == EIO || errnum == ENOMEM || errnum == EISDIR)
		return mlimg_err_set(err, errnum, "read '%s'", name);
	return mlimg_err_refuse(err, "'%s': damaged archive: %s", name, archive_error_string(a));
}

/* "raw" is whatever is inside the compression. */
static struct archive *open_raw(int fd)
{
	struct archive *a = archive_read_new();

	if (a && mlimg_tar_filters(a) && archive_read_support_format_raw(a) == ARCHIVE_OK &&
		archive_read_support_format_empty(a) == ARCHIVE_OK && lseek(fd, 0, SEEK_SET) == 0)
		archive_read_open_fd(a, fd, READ_SIZE);
	return a;
}

static int copy_unpacked(struct archive *a, int copy, const char *name,
	const struct mlimg_source_to *to, struct mlimg_err *err)
{
	const void *bytes;
	la_int64_t at;
	size_t n;
	int r;

	while ((r = archive_read_data_block(a, &bytes, &n, &at)) == ARCHIVE_OK) {
		int w = mlimg_source_spend(to, n, name, err);

		if (w == 0 && (w = mlimg_write_all(copy, bytes, n)) < 0)
			w = mlimg_err_set(err, w, "copy '%s' to '%s'", name, to->spool_dir);
		if (w < 0)
			return w;
	}
	return r == ARCHIVE_EOF ? 0 : failed(a, name, err);
}

int mlimg_oci_unpack(
	int *fd, const char *name, const struct mlimg_source_to *to, struct mlimg_err *err)
{
	struct archive *a = open_raw(*fd);
	struct archive_entry *entry;
	mlimg_autoclose int copy = -1;
	int r;

	if (!a)
		return mlimg_err_set(err, ENOMEM, "read '%s'", name);
	r = archive_read_next_header(a, &entry);
	if (r == ARCHIVE_EOF)
		r = mlimg_err_refuse(err, "'%s': not a tar archive", name);
	else if (r != ARCHIVE_OK)
		r = failed(a, name, err);
	else if (archive_filter_count(a) > 1) {
		copy = mlimg_spool_file(to->spool_dir, err);
		r = copy < 0 ? copy : copy_unpacked(a, copy, name, to, err);
	}
	archive_read_free(a);
	if (r == 0 && copy >= 0) {
		close(*fd);
		*fd = mlimg_steal_fd(&copy);
	}
	return r;
}

/* Where a symbolic link at @path leads, "" for out of the archive. */
static void resolve(const char *path, const char *target, char ret_path[MLIMG_PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	size_t used = slash ? (size_t)(slash - path) : 0;

	memcpy(ret_path, path, used);
	ret_path[used] = '\0';
	for (; *target; target += strspn(target, "/")) {
		size_t n = strcspn(target, "/");

		if (n == 2 && strncmp(target, "..", 2) == 0) {
			if (!used)
				break;
			while (used && ret_path[--used] != '/')
				;
		} else if (n && !(n == 1 && *target == '.')) {
			if (used + n + 1 > MLIMG_PATH_MAX)
				break;
			if (used)
				ret_path[used++] = '/';
			memcpy(ret_path + used, target, n);
			used += n;
		}
		ret_path[used] = '\0';
		target += n;
	}
	if (*target)
		ret_path[0] = '\0';
}

static int add_member(struct mlimg_oci_members *members, const char *name, const char *path,
	const char *link, struct mlimg_oci_member m, struct mlimg_err *err)
{
	if (members->n == MLIMG_OCI_MEMBERS_MAX)
		return mlimg_err_refuse(
			err, "'%s': more than %d members", name, MLIMG_OCI_MEMBERS_MAX);
	m.path = strdup(path);
	m.link = link ? strdup(link) : NULL;
	if (!m.path || (link && !m.link) ||
		mlimg_buffer_reserve(&members->list, &members->room,
			(members->n + 1) * sizeof(*members->list)) < 0) {
		free(m.path);
		free(m.link);
		return mlimg_err_set(err, ENOMEM, "read '%s'", name);
	}
	members->list[members->n++] = m;
	return 0;
}

static int list_entry(struct mlimg_oci_members *members, struct archive *a, const char *name,
	struct archive_entry *entry, struct mlimg_err *err)
{
	/* A header is consumed when it has been read, so here its member begins. */
	struct mlimg_oci_member m = {.offset = (uint64_t)archive_filter_bytes(a, 0),
		.size_bytes = (uint64_t)archive_entry_size(entry)};
	const char *hardlink = archive_entry_hardlink(entry);
	char path[MLIMG_PATH_MAX + 1], link[MLIMG_PATH_MAX + 1];
	bool is_link = hardlink;
	int r = mlimg_tar_normalise(name, archive_entry_pathname(entry), "entry", path, err);

	if (r == 0 && hardlink)
		r = mlimg_tar_normalise(name, hardlink, "hard link to", link, err);
	if (r < 0)
		return r;
	if (!hardlink && archive_entry_filetype(entry) == AE_IFLNK) {
		const char *target = archive_entry_symlink(entry);

		is_link = true;
		link[0] = '\0';
		if (target && target[0] != '/')
			resolve(path, target, link);
	}
	/* Nobody asks for the root; and for longer names nobody can. */
	if (!*path || strlen(path) >= MLIMG_OCI_TEXT_SIZE ||
		(is_link && strlen(link) >= MLIMG_OCI_TEXT_SIZE))
		return 0;
	m.is_file = !is_link && archive_entry_filetype(entry) == AE_IFREG &&
		archive_entry_sparse_count(entry) == 0 && archive_entry_size(entry) >= 0;
	return add_member(members, name, path, is_link ? link : NULL, m, err);
}

static int member_cmp(const void *a, const void *b)
{
	return strcmp(((const struct mlimg_oci_member *)a)->path,
		((const struct mlimg_oci_member *)b)->path);
}

int mlimg_oci_members_read(
	int fd, const char *name, struct mlimg_oci_members *ret_members, struct mlimg_err *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int r = 0, next;

	if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK) {
		archive_read_free(a);
		return mlimg_err_set(err, ENOMEM, "read '%s'", name);
	}
	if (lseek(fd, 0, SEEK_SET) < 0 || archive_read_open_fd(a, fd, READ_SIZE) != ARCHIVE_OK)
		r = mlimg_err_refuse(err, "'%s': not a tar archive", name);
	while (r == 0 && (next = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
		/* A warning is about a name that is not ASCII; an image has none. */
		if (next != ARCHIVE_OK && next != ARCHIVE_WARN)
			r = failed(a, name, err);
		else
			r = list_entry(ret_members, a, name, entry, err);
	}
	archive_read_free(a);
	if (r == 0 && ret_members->n)
		qsort(ret_members->list, ret_members->n, sizeof(*ret_members->list), member_cmp);
	return r;
}

const struct mlimg_oci_member *mlimg_oci_members_find(
	const struct mlimg_oci_members *members, const char *path)
{
	struct mlimg_oci_member key = {.path = (char *)path};

	return members->n ? bsearch(&key, members->list, members->n, sizeof(key), member_cmp)
			  : NULL;
}

bool mlimg_oci_members_has_two(
	const struct mlimg_oci_members *members, const struct mlimg_oci_member *member)
{
	const struct mlimg_oci_member *end = members->list + members->n;

	return (member > members->list && member_cmp(member - 1, member) == 0) ||
		(member + 1 < end && member_cmp(member, member + 1) == 0);
}

void mlimg_oci_members_done(struct mlimg_oci_members *members)
{
	for (size_t i = 0; i < members->n; i++) {
		free(members->list[i].path);
		free(members->list[i].link);
	}
	free(members->list);
	*members = (struct mlimg_oci_members){0};
}

/* @return 1: this name tells, 0: it may be, -1: no image has it */
static int judge(const char *path)
{
	static const char *const known[] = {"blobs", "index.json", "repositories"};
	size_t n;

	if (strcmp(path, "oci-layout") == 0 || strcmp(path, "manifest.json") == 0)
		return 1;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		n = strlen(known[i]);
		if (strncmp(path, known[i], n) == 0 && (!path[n] || path[n] == '/'))
			return 0;
	}
	n = strspn(path, "0123456789abcdef");
	return !*path || n == HEX_DIGITS ? 0 : -1;
}

bool mlimg_oci_is_archive(int fd)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char path[MLIMG_PATH_MAX + 1];
	int verdict = 0;

	if (a && mlimg_tar_filters(a) && archive_read_support_format_tar(a) == ARCHIVE_OK &&
		lseek(fd, 0, SEEK_SET) == 0 && archive_read_open_fd(a, fd, READ_SIZE) == ARCHIVE_OK)
		while (verdict == 0 && archive_read_next_header(a, &entry) == ARCHIVE_OK)
			verdict = mlimg_tar_normalise("", archive_entry_pathname(entry), "entry",
					  path, NULL) < 0
				? -1
				: judge(path);
	archive_read_free(a);
	return verdict > 0;
}
