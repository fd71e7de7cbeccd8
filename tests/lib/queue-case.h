/* SPDX-License-Identifier: MIT */
/**
 * @file queue-case.h
 * A user layer in a directory, what its user has asked for, and doing it. Include once.
 */
#ifndef MLIMG_TEST_QUEUE_CASE_H
#define MLIMG_TEST_QUEUE_CASE_H

#include "guest-agent/queue-run.h"
#include "tests/lib/change-user.h"
#include "tests/lib/stop-at.h"

static inline void add_op(int user_fd, enum mlimg_queue_verb verb, const char *path)
{
	mlimg_autoclose int own_fd = openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct mlimg_queue_op op = {verb, path};

	ASSERT_OK(mlimg_queue_add(own_fd, &op, 1, &err), err);
}

#define ADD(user_fd, verb, path) add_op(user_fd, MLIMG_QUEUE_##verb, path)

static inline int run(const char *dir, const char *user, struct mlimg_queue_run *ret)
{
	mlimg_autoclose int user_fd = open_dir(dir, user);

	*ret = (struct mlimg_queue_run){.user_fd = user_fd, .is_unionfs = is_unionfs};
	return mlimg_queue_run(ret, &err);
}

static inline void set_xattr(const char *dir, const char *path, const char *name, const char *value)
{
	char at[1024];

	snprintf(at, sizeof(at), "%s/%s", dir, path);
	ASSERT_EQ(setxattr(at, name, value, strlen(value), 0), 0);
}

/* In start/: a user layer of generation 5, and what its user has asked for. */
static inline void make_user(const char *dir)
{
	mlimg_autoclose int user_fd = -1;
	struct mlimg_boot_state state;
	char upper[512];

	state = state_of(5);
	shell("cd %s && mkdir -p start/upper/etc/dir/b start/upper/srv start/upper/other "
	      "start/work start/mlimg && cd start/upper && "
	      "for f in etc/file etc/dir/a etc/dir/b/c etc/kept srv/mine other/hard; do "
	      "echo mine $f >$f; done && ln other/hard etc/hard && ln -s kept etc/link && "
	      "chmod 4750 etc/file && printf 'x\\n' >'etc/two\nlines'",
		dir);
	snprintf(upper, sizeof(upper), "%s/start/upper", dir);
	hide(upper, "etc/gone");
	hide(upper, "etc/hidden");
	hide(upper, "etc/dir/below");
	make_opaque(upper, "srv");
	if (is_unionfs)
		hide(upper, "srv/below");
	shell("cd %s/start && find upper -exec touch -h -d @1000000000.5 {} + && "
	      "touch -d @1100000000.25 upper/etc",
		dir);
	snprintf(upper, sizeof(upper), "%s/start", dir);
	write_state(upper, &state);
	user_fd = open_dir(dir, "start");
	ADD(user_fd, RESET, "etc/file");
	ADD(user_fd, RESET, "etc/dir");
	ADD(user_fd, RESET, "etc/dir/b/c");
	ADD(user_fd, RESTORE, "etc/gone");
	ADD(user_fd, RESET, "etc/hidden");
	ADD(user_fd, RESET, "etc/hard");
	ADD(user_fd, RESET, "etc/link");
	ADD(user_fd, RESET, "etc/two\nlines");
	ADD(user_fd, RESTORE, "etc/kept");
	ADD(user_fd, RESET, "not/there");
	ADD(user_fd, TRANSPARENT, "other");
	ADD(user_fd, TRANSPARENT, "srv");
}

static inline void check_done(const char *dir, const char *user)
{
	shell("cd %s/%s/upper && [ \"$(ls etc)\" = kept ] && "
	      "[ \"$(cat etc/kept srv/mine other/hard)\" = "
	      "'mine etc/kept\nmine srv/mine\nmine other/hard' ] && "
	      "[ \"$(stat -c %%.Y etc srv | xargs)\" = "
	      "'1100000000.250000000 1000000000.500000000' ] && "
	      "{ ! [ -d .unionfs-fuse ] || ! find .unionfs-fuse -name '*_HIDDEN~' | grep .; } && "
	      "! getfattr -dm trusted.overlay.opaque srv 2>/dev/null | grep . && "
	      "cd ../mlimg && [ \"$(ls)\" = 'aside\nreports\nstate.json' ] && "
	      "[ \"$(stat -c %%a aside aside/queue-1 | xargs)\" = '700 700' ] && "
	      "[ \"$(ls aside)\" = queue-1 ] && cd aside/queue-1 && "
	      "[ \"$(cat etc/file etc/dir/a etc/dir/b/c etc/hard)\" = 'mine etc/file\n"
	      "mine etc/dir/a\nmine etc/dir/b/c\nmine other/hard' ] && "
	      "[ \"$(stat -c '%%a %%.Y' etc/file)\" = '4750 1000000000.500000000' ] && "
	      "[ \"$(readlink etc/link)\" = kept ] && [ -f 'etc/two\nlines' ]",
		dir, user);
}

static inline void check_report(const char *dir, const char *user)
{
	shell("cd %s/%s/mlimg/reports && [ \"$(ls)\" = 'queue-1.json\nqueue-1.txt' ] && "
	      "[ \"$(jq -r '.entries[] | [.path, .verdict, .done, .at // \"-\", .why // \"-\"] | "
	      "join(\" | \")' queue-1.json)\" = '"
	      "etc/dir | keep | aside | aside/queue-1/etc/dir | -\n"
	      "etc/dir/b/c | keep | aside | aside/queue-1/etc/dir/b/c | "
	      "together with a directory above it\n"
	      "etc/file | keep | aside | aside/queue-1/etc/file | -\n"
	      "etc/gone | keep | dropped | - | what was deleted shows again\n"
	      "etc/hard | keep | aside | aside/queue-1/etc/hard | -\n"
	      "etc/hidden | keep | dropped | - | what was deleted shows again\n"
	      "etc/kept | keep | stays | - | it is not deleted\n"
	      "etc/link | keep | aside | aside/queue-1/etc/link | -\n"
	      "etc/two\\012lines | keep | aside | aside/queue-1/etc/two\\012lines | -\n"
	      "not/there | keep | stays | - | the user layer has nothing there\n"
	      "other | keep | stays | - | the directory hides nothing\n"
	      "srv | keep | joined | - | -' ] && "
	      "[ \"$(jq -c '[.format, .generation, .from == .to, .done, .truncated]' "
	      "queue-1.json)\" "
	      "= '[1,5,true,{\"stays\":3,\"dropped\":2,\"aside\":6,\"beside\":0,\"merged\":0,"
	      "\"joined\":1,\"closed\":0},false]' ] && "
	      "head -n 1 queue-1.txt | grep -qx 'What was queued: queue-1'",
		dir, user);
}

/* What is in it, without times that are this run's; those that nobody sees are changed. */
static inline char *look_at(const char *dir, const char *user)
{
	shell("cd %s/%s && find . \\( -path . -o -path './mlimg*' -type d -o -path "
	      "'./mlimg/reports/*' "
	      "-o -path './upper/.unionfs-fuse*' -o -type c \\) -exec touch -h -d @0 {} +",
		dir, user);
	return list(dir, user);
}

static inline int run_apart(void *ctx)
{
	struct mlimg_queue_run ret;

	return run(ctx, "try", &ret) == 0 ? 0 : 1;
}

/* The disk is waited for often: in memory there is none. */
static inline const char *in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return test_tmpdir();
}

/* Of the queue in "start", in "try": queue.run is there, and nothing more. */
static inline void stop_when_begun(const char *dir)
{
	char path[512];
	int status;

	snprintf(path, sizeof(path), "%s/try/mlimg/queue.run", dir);
	for (uint64_t at = 0; access(path, F_OK) < 0; at++) {
		again(dir, "start", "try");
		stop_at(at, run_apart, (void *)dir, &status);
		ASSERT(WIFSIGNALED(status));
	}
}

#endif
