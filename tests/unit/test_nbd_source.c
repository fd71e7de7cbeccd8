/* SPDX-License-Identifier: MIT */
/* Images in qcow2: the same bytes as a raw one's, and what is said of one that cannot be read. */
#include "tools/nbd-source.h"

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/lib/ext4-base.h"
#include "tests/lib/test.h"
#include "tools/disk-quiet.h"
#include "tools/qemu-img.h"

#define DISK "a,b:c.qcow2" /* a list of options would end, a protocol begin */

static struct mlimg_err err;

static void enter_directory(void)
{
	ASSERT_EQ(chdir(test_tmpdir()), 0);
}

static void qemu_img(const char *const *args)
{
	ASSERT_OK(mlimg_qemu_img(args, NULL, &err), err);
}

static void shell(const char *command)
{
	ASSERT_EQ(system(command), 0);
}

/* ---- a disk beneath the cache ---- */

struct counted {
	struct mlimg_block_source source;
	const uint8_t *data;
	size_t n_reads;
};

static int read_counted(struct mlimg_block_source *source, uint64_t offset, void *data, size_t size,
	struct mlimg_err *ret_err)
{
	struct counted *c = (struct counted *)source;

	ASSERT(offset + size <= source->size_bytes);
	memcpy(data, c->data + offset, size);
	c->n_reads++;
	return 0;
}

static void close_counted(struct mlimg_block_source *source)
{
	source->size_bytes = 0;
}

TEST(a_cache_has_the_same_bytes)
{
	const size_t size = 20 * MLIMG_BLOCK_CHUNK * 5 + 777;
	uint8_t *data = malloc(size), *found = malloc(3 * MLIMG_BLOCK_CHUNK);
	struct counted c = {{size, read_counted, close_counted}, data, 0};
	struct mlimg_block_source *cache;

	ASSERT(data && found);
	test_seed();
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	ASSERT_OK(mlimg_block_cache(&c.source, &cache, &err), err);
	for (int round = 0; round < 3000; round++) {
		size_t n = 1 + test_random(round % 10 ? 9000 : 3 * MLIMG_BLOCK_CHUNK - 1);
		size_t offset = test_random(size - n + 1);

		ASSERT_OK(mlimg_block_read(cache, offset, found, n, &err), err);
		ASSERT_MEM(found, data + offset, n);
	}
	c.n_reads = 0;
	for (size_t at = 0; at < 40 * MLIMG_BLOCK_CHUNK; at += 4096)
		ASSERT_OK(mlimg_block_read(cache, at, found, 4096, &err), err);
	ASSERT(c.n_reads <= 40);
	for (size_t at = 0; at < 40 * MLIMG_BLOCK_CHUNK; at += 4096)
		ASSERT_OK(mlimg_block_read(cache, at, found, 4096, &err), err);
	ASSERT(c.n_reads <= 40);
	ASSERT_FAILS(mlimg_block_read(cache, size - 1, found, 2, &err), err, -EUCLEAN,
		"2 bytes at 13107976 lie beyond the end of the disk");
	mlimg_block_source_close(cache);
	ASSERT_EQ(c.source.size_bytes, 0);
	free(data);
	free(found);
}

/* ---- images ---- */

static int list(const struct mlimg_entry *entry, const struct mlimg_ext4_inode *inode, void *ctx,
	struct mlimg_err *ret_err)
{
	fprintf(ctx, "%s %u %o %u %llu %lld\n", entry->path, entry->type, entry->mode, entry->uid,
		(unsigned long long)entry->size_bytes, (long long)entry->mtime_s);
	if (entry->has_digest)
		fwrite(entry->digest, 1, sizeof(entry->digest), ctx);
	return 0;
}

/* All that a walk tells. */
static char *walk(struct mlimg_ext4 *fs, size_t *ret_size)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_size);

	ASSERT(f);
	ASSERT_OK(mlimg_ext4_manifest_walk(fs, 1 << 24, 1 << 24, list, f, &err), err);
	ASSERT_EQ(fclose(f), 0);
	mlimg_ext4_close(fs);
	return text;
}

static void make_image(void)
{
	static const char *const convert[] = {
		"convert", "-f", "raw", "-O", "qcow2", "image.raw", "./" DISK, NULL};
	char full[600];

	snprintf(full, sizeof(full), "%s/image.XXXXXX", test_tmpdir());
	base_run(user_script, full, "metadata_csum");
	enter_directory();
	ASSERT_EQ(rename(full, "image.raw"), 0);
	qemu_img(convert);
}

TEST(a_layer_in_qcow2_is_read_as_a_raw_one)
{
	struct mlimg_block_source *source;
	struct mlimg_ext4 *fs;
	size_t size, raw_size;
	char *text, *raw;

	make_image();
	ASSERT_OK(mlimg_ext4_open("image.raw", &fs, &err), err);
	raw = walk(fs, &raw_size);
	ASSERT_OK(mlimg_nbd_source_open("./" DISK, NULL, &source, &err), err);
	ASSERT_OK(mlimg_ext4_open_source(source, "alice", &fs, &err), err);
	ASSERT_STR(mlimg_ext4_name(fs), "alice");
	text = walk(fs, &size);
	ASSERT(raw_size > 100);
	ASSERT_EQ(size, raw_size);
	ASSERT_MEM(text, raw, size);
	free(text);
	free(raw);
}

static void check_byte(const char *snapshot, uint8_t wanted)
{
	struct mlimg_block_source *source;
	uint8_t byte;

	ASSERT_OK(mlimg_nbd_source_open("s.qcow2", snapshot, &source, &err), err);
	ASSERT_EQ(source->size_bytes, 8 << 20);
	ASSERT_OK(mlimg_block_read(source, 70000, &byte, 1, &err), err);
	ASSERT_EQ(byte, wanted);
	mlimg_block_source_close(source);
}

TEST(a_snapshot_is_read_while_somebody_writes)
{
	struct mlimg_block_source *source;

	enter_directory();
	shell("qemu-img create -q -f qcow2 s.qcow2 8M && "
	      "qemu-io -f qcow2 -c 'write -P 1 0 1M' s.qcow2 >io && "
	      "qemu-img snapshot -c 'a,b c' s.qcow2 && "
	      "qemu-io -f qcow2 -c 'write -P 2 0 1M' s.qcow2 >io");
	check_byte(NULL, 2);
	check_byte("a,b c", 1);
	/* Its parent ends when it serves. To look in its place would be to have the lock that it needs. */
	shell("qemu-nbd -f qcow2 -t -k $PWD/socket --fork --pid-file=$PWD/writer s.qcow2 >out "
	      "2>&1");
	ASSERT_FAILS(mlimg_nbd_source_open("s.qcow2", NULL, &source, &err), err, -EBUSY,
		"s.qcow2: it is being written to: Device or resource busy");
	check_byte("a,b c", 1);
	ASSERT_FAILS(mlimg_nbd_source_open("s.qcow2", "none", &source, &err), err, -EIO,
		"s.qcow2: qemu-nbd: Failed to load snapshot: Can't find snapshot");
	shell("kill $(cat writer)");
}

TEST(one_that_is_shared_keeps_nobody_from_writing)
{
	struct mlimg_block_source *source;
	struct mlimg_disk_look before, now;

	enter_directory();
	shell("qemu-img create -q -f qcow2 s.qcow2 8M");
	ASSERT_OK(mlimg_disk_look("s.qcow2", &before, &err), err);
	ASSERT(!before.is_written);
	ASSERT_OK(mlimg_nbd_source_open_shared("s.qcow2", &source, &err), err);
	ASSERT_OK(mlimg_disk_look("s.qcow2", &now, &err), err);
	ASSERT(mlimg_disk_is_quiet(&before, &now));
	shell("qemu-io -f qcow2 -c 'write -P 1 0 1M' s.qcow2 >io && qemu-img resize -q -f qcow2 "
	      "s.qcow2 9M");
	mlimg_block_source_close(source);
	ASSERT_OK(mlimg_disk_look("s.qcow2", &now, &err), err);
	ASSERT(!now.is_written && !mlimg_disk_is_quiet(&before, &now));
	shell("qemu-nbd -f qcow2 -t -k $PWD/socket --fork --pid-file=$PWD/writer s.qcow2 >out "
	      "2>&1");
	ASSERT_OK(mlimg_disk_look("s.qcow2", &now, &err), err);
	ASSERT(now.is_written && !mlimg_disk_is_quiet(&now, &now));
	shell("kill $(cat writer)");
	ASSERT_FAILS(mlimg_disk_look("none", &now, &err), err, -ENOENT,
		"open image 'none': No such file or directory");
}

TEST(what_is_none_is_said_and_nothing_stays)
{
	struct mlimg_block_source *source;

	enter_directory();
	shell("head -c 100000 /dev/zero >zero.qcow2");
	ASSERT_FAILS(mlimg_nbd_source_open("none.qcow2", NULL, &source, &err), err, -ENOENT,
		"open image 'none.qcow2': No such file or directory");
	ASSERT_FAILS(mlimg_nbd_source_open("zero.qcow2", NULL, &source, &err), err, -EIO,
		"zero.qcow2: qemu-nbd: Failed to blk_new_open 'driver=qcow2,file.driver=file,"
		"file.filename=zero.qcow2': Image is not in qcow2 format");
	setenv("PATH", test_tmpdir(), 1);
	ASSERT_FAILS(mlimg_nbd_source_open("zero.qcow2", NULL, &source, &err), err, -ENOENT,
		"zero.qcow2: run 'qemu-nbd': No such file or directory");
	ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1);
	ASSERT_EQ(errno, ECHILD);
}

/* A program in its place. */
static void fake(const char *script)
{
	char path[4096];
	FILE *f = fopen("qemu-nbd", "w");

	ASSERT(f && fprintf(f, "#!/bin/sh\n%s\n", script) > 0 && fclose(f) == 0);
	ASSERT_EQ(chmod("qemu-nbd", 0755), 0);
	snprintf(path, sizeof(path), "%s:%s", test_tmpdir(), getenv("PATH"));
	setenv("PATH", path, 1);
}

TEST(a_server_that_does_not_answer_is_not_waited_for)
{
	struct mlimg_block_source *source;

	enter_directory();
	shell(": >a.qcow2");
	fake("exec sleep 100");
	mlimg_nbd_wait_ms = 1000;
	ASSERT_FAILS(mlimg_nbd_source_open("a.qcow2", NULL, &source, &err), err, -ETIMEDOUT,
		"a.qcow2: qemu-nbd: no answer within 1 s: Connection timed out");
	ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

/* What a server may do that was led astray. */
TEST(a_server_writes_nothing)
{
	struct mlimg_block_source *source;

	enter_directory();
	shell("mkdir d; echo old >d/old; : >a.qcow2");
	fake("(echo more >>d/old; true >d/new; mkdir d/dir; rm -f d/old) 2>&-; echo tried >&2");
	ASSERT_FAILS(mlimg_nbd_source_open("a.qcow2", NULL, &source, &err), err, -EIO,
		"a.qcow2: qemu-nbd: tried");
	shell("[ \"$(cat d/old)\" = old ]");
	shell("[ \"$(ls d | tr '\\n' ' ')\" = 'old ' ] || ! grep -q landlock "
	      "/sys/kernel/security/lsm");
}

TEST(a_server_that_ends_is_an_error)
{
	struct mlimg_block_source *source;
	uint8_t byte;

	enter_directory();
	shell("qemu-img create -q -f qcow2 s.qcow2 8M");
	ASSERT_OK(mlimg_nbd_source_open("s.qcow2", NULL, &source, &err), err);
	shell("kill -9 $(cat /proc/$PPID/task/$PPID/children | tr ' ' '\\n' | grep -vx $$)");
	ASSERT(mlimg_block_read(source, 0, &byte, 1, &err) < 0);
	ASSERT(strncmp(err.text, "qemu-nbd: ", 10) == 0);
	mlimg_block_source_close(source);
}
