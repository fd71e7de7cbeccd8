/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include <signal.h>

#include "tools/vm-runtime.h"

static char dir[300];

static const char *guest_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/guest", test_tmpdir());
	return dir;
}

TEST(owner_while_the_lock_is_held)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char message[100];
	int lock, second;

	ASSERT_EQ(mlimg_runtime_owner(guest_dir()), 0);
	ASSERT_OK(mlimg_runtime_lock(dir, &lock, &err), err);
	ASSERT_EQ(mlimg_runtime_owner(dir), getpid());
	snprintf(message, sizeof(message), "guest 'guest' is already running (process %d)",
		(int)getpid());
	ASSERT_FAILS(mlimg_runtime_lock(dir, &second, &err), err, -EIO, message);
	close(lock);
	ASSERT_EQ(mlimg_runtime_owner(dir), 0);
}

/* Somebody who looks without pause never keeps the lock from who takes it. */
TEST(looking_does_not_take_the_lock)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	int lock, status;
	pid_t pid;

	ASSERT_OK(mlimg_runtime_lock(guest_dir(), &lock, &err), err);
	close(lock);
	pid = fork();
	if (pid == 0)
		for (;;)
			if (mlimg_runtime_owner(dir) < 0)
				_exit(1);
	for (int i = 0; i < 5000; i++) {
		int ret = mlimg_runtime_lock(dir, &lock, &err);

		if (ret < 0)
			kill(pid, SIGKILL);
		ASSERT_OK(ret, err);
		close(lock);
	}
	kill(pid, SIGKILL);
	ASSERT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

/* Who has just taken it has not written his number yet. */
TEST(an_owner_without_a_number_is_no_free_guest)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char path[400];
	int lock, status;
	pid_t pid;

	ASSERT_OK(mlimg_runtime_lock(guest_dir(), &lock, &err), err);
	snprintf(path, sizeof(path), "%s/lock", dir);
	ASSERT_EQ(truncate(path, 0), 0);
	ASSERT_EQ(mlimg_runtime_owner(dir), -EBUSY);
	pid = fork();
	if (pid == 0)
		_exit(mlimg_runtime_owner(dir) != getppid());
	usleep(50000);
	ASSERT_EQ(lseek(lock, 0, SEEK_SET), 0);
	ASSERT(dprintf(lock, "%d\n", (int)getpid()) > 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	close(lock);
	ASSERT_EQ(mlimg_runtime_owner(dir), 0);
}
