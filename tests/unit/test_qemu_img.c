/* SPDX-License-Identifier: MIT */
/* Running qemu-img: what it prints, and what is said when it fails. */
#include "tools/qemu-img.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/lib/test.h"

static struct mlimg_err err;

/* A program in its place. */
static void fake(const char *script)
{
	char path[4096];
	FILE *f;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	f = fopen("qemu-img", "w");
	ASSERT(f && fprintf(f, "#!/bin/sh\n%s\n", script) > 0 && fclose(f) == 0);
	ASSERT_EQ(chmod("qemu-img", 0755), 0);
	snprintf(path, sizeof(path), "%s:%s", test_tmpdir(), getenv("PATH"));
	setenv("PATH", path, 1);
}

TEST(an_image_is_made_and_looked_at)
{
	static const char *const create[] = {"create", "-q", "-f", "qcow2", "a.qcow2", "16M", NULL};
	static const char *const info[] = {"info", "--output=json", "-f", "qcow2", "a.qcow2", NULL};
	static const char *const none[] = {"info", "-f", "qcow2", "none.qcow2", NULL};
	char *output = NULL;
	json_t *json = NULL;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	ASSERT_OK(mlimg_qemu_img(create, &output, &err), err);
	ASSERT_STR(output, "");
	free(output);
	ASSERT_OK(mlimg_qemu_img_json(info, &json, &err), err);
	ASSERT_EQ(json_integer_value(json_object_get(json, "virtual-size")), 16 << 20);
	json_decref(json);
	ASSERT_FAILS(mlimg_qemu_img(none, NULL, &err), err, -EIO,
		"qemu-img info: Could not open 'none.qcow2': Could not open 'none.qcow2': No such "
		"file or directory");
}

TEST(the_last_line_is_what_it_failed_of)
{
	static const char *const args[] = {"snapshot", "-c", "a b", NULL};
	char *output = NULL;

	fake("[ \"$#$3\" = '3a b' ] || exit 9; echo printed; echo said >&2");
	ASSERT_OK(mlimg_qemu_img(args, &output, &err), err);
	ASSERT_STR(output, "printed\nsaid\n");
	free(output);
	fake("echo qemu-img: first; echo; echo 'qemu-img: no room' >&2; echo >&2; exit 1");
	ASSERT_FAILS(mlimg_qemu_img(args, NULL, &err), err, -EIO, "qemu-img snapshot: no room");
	fake("exit 3");
	ASSERT_FAILS(mlimg_qemu_img(args, NULL, &err), err, -EIO,
		"qemu-img snapshot: ended with status 3");
	fake("kill -KILL $$");
	ASSERT_FAILS(mlimg_qemu_img(args, NULL, &err), err, -EIO,
		"qemu-img snapshot: killed by signal 9");
}

TEST(output_is_bounded)
{
	static const char *const args[] = {"info", NULL};

	fake("yes");
	ASSERT_FAILS(
		mlimg_qemu_img(args, NULL, &err), err, -EFBIG, "qemu-img info: File too large");
}

static void one_that_hangs(const char *script)
{
	static const char *const args[] = {"info", NULL};
	char *output = NULL;

	fake(script);
	ASSERT_EQ(mlimg_qemu_img_within(args, 1000, &output, &err), -ETIMEDOUT);
	ASSERT(strncmp(err.text, "qemu-img info: it has not ended after 1 s", 41) == 0);
	ASSERT(!output);
	/* It is not left behind. */
	ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1);
	ASSERT_EQ(errno, ECHILD);
}

TEST(one_that_hangs_is_given_up)
{
	static const char *const args[] = {"info", NULL};
	char *output = NULL;

	one_that_hangs("exec sleep 1000");
	one_that_hangs("trap '' TERM; echo a; while :; do sleep 1; done");
	/* All that it prints has been read, and yet it does not end. */
	one_that_hangs("exec >/dev/null 2>&1; exec sleep 1000");
	fake("echo in time");
	ASSERT_OK(mlimg_qemu_img_within(args, 60000, &output, &err), err);
	ASSERT_STR(output, "in time\n");
	free(output);
}

TEST(json_behind_warnings)
{
	static const char *const args[] = {"info", NULL};
	json_t *json = NULL;

	fake("echo 'qemu-img: warning: {} of age'; echo '{ \"a\": 1 }'; echo more");
	ASSERT_OK(mlimg_qemu_img_json(args, &json, &err), err);
	ASSERT_EQ(json_integer_value(json_object_get(json, "a")), 1);
	json_decref(json);
	fake("echo '[ 1 ]'");
	ASSERT_FAILS(
		mlimg_qemu_img_json(args, &json, &err), err, -EIO, "qemu-img info: no JSON object");
}
