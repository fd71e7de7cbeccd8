/* SPDX-License-Identifier: MIT */
/* What is written is read back by libarchive. */
#include "guest-agent/tar-out.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>

#include "tests/lib/test.h"

#define S(literal) ((char *)(uintptr_t)(literal))

static char long_name[300];

struct reader {
	struct archive *archive;
	struct archive_entry *entry;
	int fd;
};

static void read_begin(struct reader *r, struct mlimg_tar_out *tar)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_tar_out_end(tar, &err), err);
	mlimg_tar_out_done(tar);
	ASSERT_EQ(tar->written % 10240, 0);
	ASSERT_EQ(lseek(tar->fd, 0, SEEK_END), tar->written);
	lseek(tar->fd, 0, SEEK_SET);
	setlocale(LC_CTYPE, "C.UTF-8");
	r->archive = archive_read_new();
	archive_read_support_format_tar(r->archive);
	ASSERT_EQ(archive_read_open_fd(r->archive, tar->fd, 10240), ARCHIVE_OK);
}

static void next(struct reader *r, const char *path)
{
	ASSERT_EQ(archive_read_next_header(r->archive, &r->entry), ARCHIVE_OK);
	ASSERT_STR(archive_entry_pathname(r->entry), path);
}

static void read_end(struct reader *r)
{
	ASSERT_EQ(archive_read_next_header(r->archive, &r->entry), ARCHIVE_EOF);
	archive_read_free(r->archive);
}

static void put(struct mlimg_tar_out *tar, struct mlimg_entry e, const char *link)
{
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_tar_out_entry(tar, &e, link, &err), err);
}

static struct mlimg_tar_out begin(void)
{
	return (struct mlimg_tar_out){.fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
}

TEST(all_types_with_their_attributes)
{
	struct mlimg_tar_out tar = begin();
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct reader r;
	char data[8] = "";

	put(&tar, (struct mlimg_entry){.path = S(""), .type = MLIMG_DIR, .mode = 0755}, NULL);
	put(&tar,
		(struct mlimg_entry){.path = S("file"),
			.type = MLIMG_FILE,
			.mode = 04711,
			.uid = 1,
			.gid = 2,
			.size_bytes = 6,
			.mtime_s = 1700000000},
		NULL);
	ASSERT_OK(mlimg_tar_out_data(&tar, "hello\n", 6, &err), err);
	ASSERT_OK(mlimg_tar_out_file_end(&tar, &err), err);
	put(&tar, (struct mlimg_entry){.path = S("link"), .type = MLIMG_LINK, .link = S("to")},
		NULL);
	put(&tar, (struct mlimg_entry){.path = S("gone"), .type = MLIMG_CHAR}, NULL);
	put(&tar,
		(struct mlimg_entry){.path = S("dev"),
			.type = MLIMG_BLOCK,
			.dev_major = 4095,
			.dev_minor = 1048575},
		NULL);
	put(&tar, (struct mlimg_entry){.path = S("fifo"), .type = MLIMG_FIFO}, NULL);
	put(&tar, (struct mlimg_entry){.path = S("name"), .type = MLIMG_FILE, .size_bytes = 6},
		"file");
	read_begin(&r, &tar);
	next(&r, "./");
	next(&r, "file");
	ASSERT_EQ(archive_entry_perm(r.entry), 04711);
	ASSERT_EQ(archive_entry_uid(r.entry), 1);
	ASSERT_EQ(archive_entry_gid(r.entry), 2);
	ASSERT_EQ(archive_entry_mtime(r.entry), 1700000000);
	ASSERT_EQ(archive_read_data(r.archive, data, sizeof(data)), 6);
	ASSERT_STR(data, "hello\n");
	next(&r, "link");
	ASSERT_STR(archive_entry_symlink(r.entry), "to");
	next(&r, "gone");
	ASSERT_EQ(archive_entry_filetype(r.entry), AE_IFCHR);
	ASSERT_EQ(archive_entry_rdev(r.entry), 0);
	next(&r, "dev");
	ASSERT_EQ(archive_entry_rdevmajor(r.entry), 4095);
	ASSERT_EQ(archive_entry_rdevminor(r.entry), 1048575);
	next(&r, "fifo");
	ASSERT_EQ(archive_entry_filetype(r.entry), AE_IFIFO);
	next(&r, "name");
	ASSERT_STR(archive_entry_hardlink(r.entry), "file");
	read_end(&r);
}

TEST(what_ustar_has_no_room_for)
{
	struct mlimg_xattr xattrs[] = {
		{S("security.x"), (uint8_t *)"a\0=\n", 4}, {S("user.empty"), NULL, 0}};
	struct mlimg_tar_out tar = begin();
	const char *name;
	const void *value;
	struct reader r;
	size_t size;

	memset(long_name, 'x', 250);
	put(&tar,
		(struct mlimg_entry){.path = long_name,
			.type = MLIMG_LINK,
			.link = long_name,
			.uid = 4294967295u,
			.gid = 2097152,
			.mtime_s = 1700000000,
			.mtime_ns = 123456789,
			.xattrs = xattrs,
			.n_xattrs = 2},
		NULL);
	put(&tar,
		(struct mlimg_entry){.path = S("\xc3\xa4"),
			.type = MLIMG_DIR,
			.mtime_s = -2,
			.mtime_ns = 250000000},
		NULL);
	put(&tar, (struct mlimg_entry){.path = S("a\xff"), .type = MLIMG_FIFO}, NULL);
	read_begin(&r, &tar);
	next(&r, long_name);
	ASSERT_STR(archive_entry_symlink(r.entry), long_name);
	ASSERT_EQ(archive_entry_uid(r.entry), 4294967295);
	ASSERT_EQ(archive_entry_gid(r.entry), 2097152);
	ASSERT_EQ(archive_entry_mtime(r.entry), 1700000000);
	ASSERT_EQ(archive_entry_mtime_nsec(r.entry), 123456789);
	ASSERT_EQ(archive_entry_xattr_reset(r.entry), 2);
	for (int i = 0; i < 2; i++) {
		bool is_empty;

		ASSERT_EQ(archive_entry_xattr_next(r.entry, &name, &value, &size), ARCHIVE_OK);
		is_empty = strcmp(name, "user.empty") == 0;
		ASSERT(is_empty || strcmp(name, "security.x") == 0);
		ASSERT_EQ(size, is_empty ? 0 : 4);
		ASSERT(is_empty || memcmp(value, "a\0=\n", 4) == 0);
	}
	next(&r, "\xc3\xa4/");
	ASSERT_EQ(archive_entry_mtime(r.entry), -2);
	ASSERT_EQ(archive_entry_mtime_nsec(r.entry), 0);
	next(&r, "a\xff");
	read_end(&r);
}

TEST(a_large_file_has_its_size)
{
	struct mlimg_tar_out tar = begin();
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct reader r;

	put(&tar,
		(struct mlimg_entry){
			.path = S("large"), .type = MLIMG_FILE, .size_bytes = UINT64_C(8) << 30},
		NULL);
	/* The header only: nobody reads on. */
	ASSERT_OK(mlimg_tar_out_file_end(&tar, &err), err);
	read_begin(&r, &tar);
	next(&r, "large");
	ASSERT_EQ(archive_entry_size(r.entry), INT64_C(8) << 30);
	archive_read_free(r.archive);
}

TEST(what_a_tar_cannot_hold)
{
	struct mlimg_xattr xattr = {S("user.a=b"), NULL, 0};
	struct mlimg_entry socket = {.path = S("s"), .type = MLIMG_SOCKET},
			   odd = {.path = S("f"),
				   .type = MLIMG_FIFO,
				   .xattrs = &xattr,
				   .n_xattrs = 1};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_tar_out tar = begin();

	ASSERT_EQ(mlimg_tar_out_entry(&tar, &socket, NULL, &err), -EOPNOTSUPP);
	ASSERT_STR(err.text, "'/s': a tar cannot hold a socket: Operation not supported");
	ASSERT_EQ(mlimg_tar_out_entry(&tar, &odd, NULL, &err), -EOPNOTSUPP);
	ASSERT_EQ(tar.written, 0);
	mlimg_tar_out_done(&tar);
}
