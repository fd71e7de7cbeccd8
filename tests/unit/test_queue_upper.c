/* SPDX-License-Identifier: MIT */
/* What is queued for an upper in which directories were renamed, or files have flags: on directories. */
#include "tests/lib/queue-case.h"

/* --- renamed directories --- */

static void make_renamed(const char *dir)
{
	struct mlimg_boot_state state;
	char upper[512];

	is_unionfs = false;
	state = state_of(5);
	/*
	 * mv /opt/old /opt/new; mv /a/b /a/c; mv /a /z; mv /srv/x /var/x; mv /taken /moved, and
	 * another one in its place.
	 */
	shell("cd %s && mkdir -p start/mlimg start/work start/upper/opt/new/sub "
	      "start/upper/z/c start/upper/var/x start/upper/srv start/upper/moved "
	      "start/upper/taken && "
	      "echo mine >start/upper/opt/new/mine",
		dir);
	snprintf(upper, sizeof(upper), "%s/start/upper", dir);
	hide(upper, "opt/old");
	hide(upper, "opt/unrelated");
	hide(upper, "a");
	hide(upper, "z/b");
	hide(upper, "srv/x");
	set_xattr(upper, "opt/new", MLIMG_XATTR_REDIRECT, "old");
	set_xattr(upper, "z", MLIMG_XATTR_REDIRECT, "a");
	set_xattr(upper, "z/c", MLIMG_XATTR_REDIRECT, "b");
	set_xattr(upper, "var/x", MLIMG_XATTR_REDIRECT, "/srv/x");
	set_xattr(upper, "moved", MLIMG_XATTR_REDIRECT, "taken");
	set_xattr(upper, "taken", MLIMG_XATTR_OPAQUE, "y");
	/* And mkdir /fresh; mv /deep/y /fresh/y; mv /fresh/y/sub /sub. */
	shell("mkdir -p %s/fresh/y %s/sub %s/deep", upper, upper, upper);
	hide(upper, "deep/y");
	hide(upper, "fresh/y/sub");
	set_xattr(upper, "fresh", MLIMG_XATTR_OPAQUE, "y");
	set_xattr(upper, "fresh/y", MLIMG_XATTR_REDIRECT, "/deep/y");
	set_xattr(upper, "sub", MLIMG_XATTR_REDIRECT, "/deep/y/sub");
	snprintf(upper, sizeof(upper), "%s/start", dir);
	write_state(upper, &state);
}

static void check_renamed(const char *path, const char *left, const char *why)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	shell("rm -rf %s/try", dir);
	again(dir, "start", "try");
	user_fd = open_dir(dir, "try");
	ADD(user_fd, RESET, path);
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT_EQ(ret.n_done, 1);
	shell("cd %s/try/upper && [ \"$(find . -type c | sort | xargs)\" = '%s' ] && ! [ -e %s ] "
	      "&& "
	      "[ -d ../mlimg/aside/queue-1/%s ] && "
	      "[ \"$(jq -r '.entries[0].why' ../mlimg/reports/queue-1.json)\" = '%s' ]",
		dir, left, path, path, why);
}

/* What @path hides shows elsewhere. */
static void check_refused(const char *path)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	again(dir, "start", "try");
	user_fd = open_dir(dir, "try");
	ADD(user_fd, RESET, path);
	ADD(user_fd, RESTORE, "opt/old");
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT_EQ(ret.n_left, 2);
	shell("cd %s/try/upper && [ \"$(find . -type c | sort | xargs)\" = "
	      "'./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./srv/x ./z/b' ] && [ -d "
	      "taken ] && "
	      "[ \"$(jq -r '.entries[].why' ../mlimg/reports/queue-1.json | uniq)\" = "
	      "'a directory was renamed from there, and is at its new name' ]",
		dir);
}

static void check_both(const char *path, const char *other, const char *left)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	again(dir, "start", "try");
	user_fd = open_dir(dir, "try");
	ADD(user_fd, RESET, path);
	ADD(user_fd, RESET, other);
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT_EQ(ret.n_left, 0);
	shell("cd %s/try/upper && [ \"$(find . -type c | sort | xargs)\" = '%s' ]", dir, left);
}

TEST(a_renamed_directory_that_is_reset_shows_at_its_former_name)
{
	static const char again_why[] = "a directory shows at its former name again",
			  used[] = "a directory was renamed, and its former name is in use";

	if (!can_trusted())
		return;
	make_renamed(test_tmpdir());
	check_renamed(
		"opt/new", "./a ./deep/y ./fresh/y/sub ./opt/unrelated ./srv/x ./z/b", again_why);
	check_renamed("z", "./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./srv/x", again_why);
	check_renamed(
		"z/c", "./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./srv/x", again_why);
	check_renamed(
		"var", "./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./z/b", again_why);
	check_renamed("moved", "./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./srv/x ./z/b",
		used);
	check_refused("srv");
	check_refused("srv/x");
	check_refused("a");
	check_refused("z/b");
	check_refused("taken");
	check_refused("fresh/y/sub");
	check_refused("fresh");
	check_both("srv", "var/x", "./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./z/b");
	check_both("taken", "moved",
		"./a ./deep/y ./fresh/y/sub ./opt/old ./opt/unrelated ./srv/x ./z/b");
	check_both("opt", "z", "./deep/y ./fresh/y/sub ./srv/x");
}

/* --- flags of files --- */

/* @return false where the file system of the tests knows no flags */
static bool can_flag(const char *dir)
{
	char command[512];

	snprintf(command, sizeof(command),
		"cd %s && : >flagged && chattr +i flagged 2>/dev/null && chattr -i flagged", dir);
	return can_trusted() && system(command) == 0;
}

static void check_flagged(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;
	char upper[512];

	is_unionfs = of_unionfs;
	make_user(dir);
	snprintf(upper, sizeof(upper), "%s/start/upper", dir);
	set_xattr(upper, "etc/kept", "trusted.overlay.origin", "x");
	shell("cd %s && chattr +i etc/kept etc/file etc/dir etc/dir/b/c && chattr +a etc srv && "
	      "chattr +i .",
		upper);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_STR(ret.bad, "");
	ASSERT_EQ(ret.n_done, 9);
	check_done(dir, "start");
	check_report(dir, "start");
	shell("cd %s && [ \"$(getfattr --only-values -n trusted.overlay.protattr etc etc/kept)\" = "
	      "ai ]",
		upper);
}

TEST(what_is_immutable_or_append_only_stops_nothing)
{
	if (!can_flag(test_tmpdir()))
		return;
	check_flagged(false);
	shell("rm -r %s/start", test_tmpdir());
	check_flagged(true);
}

/* Somebody sets flags when it is decided. */
static int flag_when_decided(void *ctx)
{
	const char *dir = ctx;
	char path[512];

	snprintf(path, sizeof(path), "%s/start/mlimg/queue.run", dir);
	if (access(path, F_OK) == 0)
		shell("chattr +i %s/start/upper/etc", dir);
	return 0;
}

/* The boot goes on, and the next one does not try again for ever. */
TEST(what_is_not_allowed_is_put_aside)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	if (!can_flag(dir))
		return;
	is_unionfs = true;
	make_user(dir);
	user_fd = open_dir(dir, "start");
	ret = (struct mlimg_queue_run){.user_fd = user_fd,
		.is_unionfs = true,
		.step = flag_when_decided,
		.ctx = (void *)dir};
	ASSERT_OK(mlimg_queue_run(&ret, &err), err);
	shell("chattr -i %s/start/upper/etc", dir);
	ASSERT(strstr(ret.bad, "Operation not permitted"));
	ASSERT_STR(ret.bad_name, "queue.bad");
	ASSERT(ret.is_bad_begun);
	shell("cd %s/start/mlimg && [ \"$(ls | xargs)\" = 'aside queue.bad reports state.json' ] "
	      "&& "
	      "[ -f ../upper/etc/kept ] && [ -f queue.bad/report.txt ]",
		dir);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_EQ(ret.number, 0);
}

/* What was begun and meets them later, the same boot begins anew. */
TEST(what_was_begun_and_is_not_allowed_any_more_is_begun_anew)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	if (!can_flag(dir))
		return;
	is_unionfs = true;
	make_user(dir);
	stop_when_begun(dir);
	shell("chattr +i %s/try/upper/etc", dir);
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT(strstr(ret.bad, "Operation not permitted"));
	ASSERT(ret.n_done > 0);
	shell("cd %s/try/mlimg && [ \"$(ls | xargs)\" = 'aside queue.bad reports state.json' ] && "
	      "[ \"$(ls ../upper/etc)\" = kept ]",
		dir);
}
