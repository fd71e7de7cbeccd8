/* SPDX-License-Identifier: MIT */
#include "libmlimg/queue.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"
#include "libmlimg/text.h"
#include "tests/lib/test.h"

static struct mlimg_err err = MLIMG_ERR_INIT;

#define RESET MLIMG_QUEUE_RESET
#define RESTORE MLIMG_QUEUE_RESTORE
#define TRANSPARENT MLIMG_QUEUE_TRANSPARENT

static int open_tmp(void)
{
	int fd = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT(fd >= 0);
	return fd;
}

static void check_file(int fd, const char *wanted)
{
	mlimg_autofree char *text = NULL;
	struct stat st;
	size_t size;

	ASSERT_OK(mlimg_read_file(fd, "queue", MLIMG_QUEUE_MAX, &text, &size, &err), err);
	ASSERT_STR(text, wanted);
	ASSERT_EQ(fstatat(fd, "queue", &st, 0), 0);
	ASSERT_EQ(st.st_mode & 07777, 0600);
}

static void write_file(int fd, const char *text)
{
	ASSERT_OK(mlimg_replace_file(fd, "queue", text, strlen(text), 0600, &err), err);
}

static void add(int fd, enum mlimg_queue_verb verb, const char *path)
{
	const struct mlimg_queue_op op = {verb, path};

	ASSERT_OK(mlimg_queue_add(fd, &op, 1, &err), err);
}

TEST(what_was_added_stands_in_order_once_and_escaped)
{
	const struct mlimg_queue_op ops[] = {{RESTORE, "usr/bin/x"}, {RESET, "etc/b c\nd"},
		{RESET, "etc/twice"}, {TRANSPARENT, "etc/twice"}, {RESET, "etc-old"},
		{MLIMG_QUEUE_RESET_ALL, "srv"}};
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *queue;

	ASSERT_OK(mlimg_queue_add(fd, ops, 6, &err), err);
	add(fd, TRANSPARENT, "etc");
	add(fd, RESTORE, "usr/bin/x");
	add(fd, RESTORE, "etc-old");
	check_file(fd,
		"mlimg-queue 1\ntransparent etc\nreset etc/b\\040c\\012d\n"
		"transparent etc/twice\nrestore etc-old\nreset-all srv\nrestore usr/bin/x\n");
	ASSERT_OK(mlimg_queue_read(fd, &queue, &err), err);
	ASSERT_EQ(queue->n, 6);
	ASSERT_STR(queue->ops[1].path, "etc/b c\nd");
	ASSERT_EQ(queue->ops[1].verb, RESET);
	for (size_t i = 0; i < queue->n; i++)
		ASSERT(mlimg_queue_find(queue, queue->ops[i].path) == &queue->ops[i]);
	ASSERT(!mlimg_queue_find(queue, "etc/b") && !mlimg_queue_find(queue, "a") &&
		!mlimg_queue_find(queue, "z"));
	mlimg_queue_free(queue);
}

TEST(what_is_cancelled_is_gone_and_with_the_last_one_the_file)
{
	const char *const some[] = {"z", "b", "nobody", "b/c"}, *const rest[] = {"b/d"};
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *queue;
	uint32_t n = 77;

	ASSERT_OK(mlimg_queue_cancel(fd, rest, 1, &n, &err), err);
	ASSERT_EQ(n, 0);
	add(fd, RESET, "b");
	add(fd, RESTORE, "b/c");
	add(fd, RESET, "b/d");
	add(fd, TRANSPARENT, "z");
	ASSERT_OK(mlimg_queue_cancel(fd, some, 4, &n, &err), err);
	ASSERT_EQ(n, 3);
	check_file(fd, "mlimg-queue 1\nreset b/d\n");
	ASSERT_OK(mlimg_queue_cancel(fd, rest, 1, &n, &err), err);
	ASSERT_EQ(n, 1);
	ASSERT(faccessat(fd, "queue", F_OK, 0) < 0);
	ASSERT_OK(mlimg_queue_read(fd, &queue, &err), err);
	ASSERT_EQ(queue->n, 0);
	mlimg_queue_free(queue);
}

TEST(what_was_done_leaves_what_came_meanwhile)
{
	static const char done_text[] = "mlimg-queue 1\nreset a\nreset b\nrestore c\n";
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *done;

	ASSERT_OK(mlimg_queue_parse(done_text, strlen(done_text), &done, &err), err);
	ASSERT_OK(mlimg_queue_remove(fd, done, &err), err);
	write_file(fd, "mlimg-queue 1\nreset a\nreset aa\nrestore b\nrestore c\nreset d\n");
	ASSERT_OK(mlimg_queue_remove(fd, done, &err), err);
	check_file(fd, "mlimg-queue 1\nreset aa\nrestore b\nreset d\n");
	write_file(fd, done_text);
	ASSERT_OK(mlimg_queue_remove(fd, done, &err), err);
	ASSERT(faccessat(fd, "queue", F_OK, 0) < 0);
	mlimg_queue_free(done);
}

static void refused(const char *text, const char *message)
{
	struct mlimg_queue *queue;

	ASSERT_FAILS(mlimg_queue_parse(text, strlen(text), &queue, &err), err, -EUCLEAN, message);
}

TEST(what_is_refused)
{
	refused("", "queue: there is nothing in it");
	refused("mlimg-queue 1\n", "queue: there is nothing in it");
	refused("mlimg-queue 2\nreset a\n", "queue: line 1: not of a known format");
	refused("mlimg-queue 1\nreset a\nreset b", "queue: line 3: it is cut off");
	refused("mlimg-queue 1\ndrop a\n", "queue: line 2: no operation of a known kind");
	refused("mlimg-queue 1\n\n", "queue: line 2: no operation of a known kind");
	refused("mlimg-queue 1\nreset \n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset /a\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset a/\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset a/../b\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset a b\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset \\141\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset a\\000b\n", "queue: line 2: malformed path");
	refused("mlimg-queue 1\nreset b\nreset a\n", "queue: line 3: out of order");
	refused("mlimg-queue 1\nreset a\nrestore a\n", "queue: line 3: out of order");
}

TEST(a_damaged_file_is_not_added_to)
{
	const struct mlimg_queue_op op = {RESET, "a"};
	mlimg_autoclose int fd = open_tmp();
	const char *const paths[] = {"a"};
	uint32_t n;

	write_file(fd, "rubbish\n");
	ASSERT_FAILS(mlimg_queue_add(fd, &op, 1, &err), err, -EUCLEAN,
		"queue: line 1: not of a known format");
	ASSERT_FAILS(mlimg_queue_cancel(fd, paths, 1, &n, &err), err, -EUCLEAN,
		"queue: line 1: not of a known format");
	check_file(fd, "rubbish\n");
}

TEST(what_is_no_file_is_damaged)
{
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *queue;

	ASSERT_EQ(mkdirat(fd, "queue", 0755), 0);
	ASSERT_EQ(mlimg_queue_read(fd, &queue, &err), -EUCLEAN);
	ASSERT_EQ(unlinkat(fd, "queue", AT_REMOVEDIR), 0);
	ASSERT_EQ(symlinkat("/etc/passwd", fd, "queue"), 0);
	ASSERT_EQ(mlimg_queue_read(fd, &queue, &err), -EUCLEAN);
	ASSERT_EQ(unlinkat(fd, "queue", 0), 0);
	ASSERT_EQ(mkfifoat(fd, "queue", 0600), 0);
	ASSERT_EQ(mlimg_queue_read(fd, &queue, &err), -EUCLEAN);
}

TEST(what_can_be_no_path_is_not_queued)
{
	const struct mlimg_queue_op none[] = {{RESET, "good"}, {RESET, ""}}, up = {RESET, "../x"};
	mlimg_autoclose int fd = open_tmp();

	ASSERT_FAILS(
		mlimg_queue_add(fd, none, 2, &err), err, -EINVAL, "queue '/': Invalid argument");
	ASSERT_FAILS(
		mlimg_queue_add(fd, &up, 1, &err), err, -EINVAL, "queue '/../x': Invalid argument");
	ASSERT(faccessat(fd, "queue", F_OK, 0) < 0);
}

TEST(more_than_fits_leaves_what_there_is)
{
	struct mlimg_queue_op *ops = calloc(MLIMG_QUEUE_OPS_MAX, sizeof(*ops));
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *queue;

	for (size_t i = 0; i < MLIMG_QUEUE_OPS_MAX; i++) {
		char *path;

		ASSERT(asprintf(&path, "f%zu", i) > 0);
		ops[i] = (struct mlimg_queue_op){RESET, path};
	}
	add(fd, RESET, "first");
	ASSERT_EQ(mlimg_queue_add(fd, ops, MLIMG_QUEUE_OPS_MAX, &err), -E2BIG);
	check_file(fd, "mlimg-queue 1\nreset first\n");
	ASSERT_OK(mlimg_queue_add(fd, ops, MLIMG_QUEUE_OPS_MAX - 1, &err), err);
	ASSERT_OK(mlimg_queue_read(fd, &queue, &err), err);
	ASSERT_EQ(queue->n, MLIMG_QUEUE_OPS_MAX);
	mlimg_queue_free(queue);
	for (size_t i = 0; i < MLIMG_QUEUE_OPS_MAX; i++)
		free((char *)ops[i].path);
	free(ops);
}

TEST(two_who_add_at_a_time_lose_nothing)
{
	mlimg_autoclose int fd = open_tmp();
	struct mlimg_queue *queue;
	int status;

	for (int who = 0; who < 4; who++)
		if (fork() == 0) {
			for (int i = 0; i < 10; i++) {
				char path[32];

				snprintf(path, sizeof(path), "%d/%d", who, i);
				add(fd, RESET, path);
			}
			_exit(0);
		}
	for (int who = 0; who < 4; who++) {
		ASSERT(wait(&status) > 0);
		ASSERT_EQ(status, 0);
	}
	ASSERT_OK(mlimg_queue_read(fd, &queue, &err), err);
	ASSERT_EQ(queue->n, 40);
	mlimg_queue_free(queue);
}

static void check_json(const struct mlimg_queue *queue, const char *wanted)
{
	mlimg_autojson json_t *list = mlimg_queue_to_json(queue, 2);
	mlimg_autofree char *text = json_dumps(list, JSON_COMPACT);

	ASSERT_STR(text, wanted);
}

TEST(told_as_json)
{
	static const char text[] = "mlimg-queue 1\nreset a\\040b\nrestore c\ntransparent d\n";
	struct mlimg_queue *queue;

	ASSERT_OK(mlimg_queue_parse(text, strlen(text), &queue, &err), err);
	check_json(queue,
		"[{\"operation\":\"reset\",\"path\":\"a\\\\040b\"},"
		"{\"operation\":\"restore\",\"path\":\"c\"}]");
	check_json(NULL, "[]");
	mlimg_queue_free(queue);
}
