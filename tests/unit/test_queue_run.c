/* SPDX-License-Identifier: MIT */
/* What is queued, done in a user layer: on directories. */
#include "guest-agent/queue-run.h"

#include "tests/lib/change-user.h"
#include "tests/lib/stop-at.h"

static void add_op(int user_fd, enum mlimg_queue_verb verb, const char *path)
{
	mlimg_autoclose int own_fd = openat(user_fd, "mlimg", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct mlimg_queue_op op = {verb, path};

	ASSERT_OK(mlimg_queue_add(own_fd, &op, 1, &err), err);
}

#define ADD(user_fd, verb, path) add_op(user_fd, MLIMG_QUEUE_##verb, path)

static int run(const char *dir, const char *user, struct mlimg_queue_run *ret)
{
	mlimg_autoclose int user_fd = open_dir(dir, user);

	*ret = (struct mlimg_queue_run){.user_fd = user_fd, .is_unionfs = is_unionfs};
	return mlimg_queue_run(ret, &err);
}

static void set_xattr(const char *dir, const char *path, const char *name, const char *value)
{
	char at[1024];

	snprintf(at, sizeof(at), "%s/%s", dir, path);
	ASSERT_EQ(setxattr(at, name, value, strlen(value), 0), 0);
}

/* In start/: a user layer of generation 5, and what its user has asked for. */
static void make_user(const char *dir)
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

static void check_done(const char *dir, const char *user)
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

static void check_report(const char *dir, const char *user)
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
static char *look_at(const char *dir, const char *user)
{
	shell("cd %s/%s && find . \\( -path . -o -path './mlimg*' -type d -o -path "
	      "'./mlimg/reports/*' "
	      "-o -path './upper/.unionfs-fuse*' -o -type c \\) -exec touch -h -d @0 {} +",
		dir, user);
	return list(dir, user);
}

static void check_run(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *once = NULL, *twice = NULL;
	struct mlimg_queue_run ret;

	is_unionfs = of_unionfs;
	make_user(dir);
	again(dir, "start", "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.number, 1);
	ASSERT_EQ(ret.n_done, 9);
	ASSERT_EQ(ret.n_left, 3);
	ASSERT_STR(ret.bad, "");
	check_done(dir, "done");
	check_report(dir, "done");
	once = look_at(dir, "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.number, 0);
	twice = look_at(dir, "done");
	assert_same("again", 0, once, twice);
}

TEST(each_operation_does_what_it_says)
{
	if (can_trusted())
		check_run(false);
}

TEST(with_marks_of_unionfs_too)
{
	check_run(true);
}

/* --- stopped --- */

static int run_apart(void *ctx)
{
	struct mlimg_queue_run ret;

	return run(ctx, "try", &ret) == 0 ? 0 : 1;
}

/* The disk is waited for often: in memory there is none. */
static const char *in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return test_tmpdir();
}

static void check_stops(bool of_unionfs)
{
	const char *dir = in_memory();
	mlimg_autofree char *wanted = NULL;
	struct mlimg_queue_run ret;
	uint64_t at = 0;
	int status;

	is_unionfs = of_unionfs;
	make_user(dir);
	again(dir, "start", "done");
	ASSERT_OK(run(dir, "done", &ret), err);
	wanted = look_at(dir, "done");
	do {
		mlimg_autofree char *found = NULL;

		again(dir, "start", "try");
		stop_at(at, run_apart, (void *)dir, &status);
		ASSERT(WIFSIGNALED(status) || status == 0);
		ASSERT_OK(run(dir, "try", &ret), err);
		found = look_at(dir, "try");
		assert_same("queue", (long)at++, wanted, found);
	} while (WIFSIGNALED(status));
	ASSERT(at > 60);
}

TEST(killed_anywhere_and_begun_again_it_ends_the_same)
{
	if (can_trusted())
		check_stops(false);
}

TEST(killed_anywhere_with_marks_of_unionfs)
{
	check_stops(true);
}

/* Of the queue in "start", in "try": queue.run is there, and nothing more. */
static void stop_when_begun(const char *dir)
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

/* A process of the guest may be killed, and its user go on. */
TEST(what_is_queued_while_another_one_is_stopped_is_done_after_it)
{
	const char *dir = in_memory();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	stop_when_begun(dir);
	user_fd = open_dir(dir, "try");
	ADD(user_fd, RESET, "etc/kept");
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT_EQ(ret.number, 2);
	ASSERT_EQ(ret.n_done, 1);
	shell("cd %s/try/mlimg && [ \"$(cat aside/queue-2/etc/kept)\" = 'mine etc/kept' ] && "
	      "[ -f aside/queue-1/etc/file ] && [ \"$(ls)\" = 'aside\nreports\nstate.json' ]",
		dir);
}

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

/* --- what is damaged, and what has no room --- */

TEST(a_damaged_queue_is_put_aside_and_told)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	for (int i = 0; i < 2; i++) {
		shell("cd %s/start/mlimg && echo rubbish %d >queue", dir, i);
		ASSERT_OK(run(dir, "start", &ret), err);
		ASSERT_STR(ret.bad, "queue: line 1: not of a known format");
		ASSERT_EQ(ret.number, 0);
	}
	shell("cd %s/start/mlimg && [ \"$(ls)\" = 'queue.bad\nqueue.bad-2\nstate.json' ] && "
	      "[ \"$(cat queue.bad queue.bad-2)\" = 'rubbish 0\nrubbish 1' ]",
		dir);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_STR(ret.bad, "");
}

static void check_bad_run(const char *damage)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	again(dir, "start", "try");
	shell("cd %s/try/mlimg && mkdir queue.run && cd queue.run && mkdir taken && echo 1 >number "
	      "&& "
	      "printf 'mlimg undo 1 unionfs\\n' >log && printf 'mlimg-queue 1\\nreset x\\n' "
	      ">operations && %s",
		dir, damage);
	ASSERT_OK(run(dir, "try", &ret), err);
	ASSERT(ret.bad[0]);
	/* What waits is done nevertheless. */
	ASSERT_EQ(ret.n_done, 9);
	shell("cd %s/try/mlimg && [ \"$(ls)\" = 'aside\nqueue.bad\nreports\nstate.json' ]", dir);
}

TEST(what_was_begun_and_is_damaged_is_put_aside_too)
{
	is_unionfs = true;
	make_user(test_tmpdir());
	check_bad_run("rm log");
	check_bad_run("echo x >log");
	check_bad_run("rm number");
	check_bad_run("echo 0 >number");
	check_bad_run("echo 1x >number");
	check_bad_run("rmdir taken");
	check_bad_run("rm operations");
	check_bad_run("echo x >operations");
	check_bad_run("cd .. && rm -r queue.run && echo x >queue.run");
	check_bad_run("mkdir aside && mkdir -p ../aside/queue-1/x");
	check_bad_run("printf 'a m no/such\\0' >>log && mkdir aside && rm number");
}

/* What was to be set aside by one that is damaged is where it was, or in queue.bad. */
TEST(what_waits_is_numbered_after_all_that_is_there)
{
	const char *dir = test_tmpdir();
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	shell("cd %s/start/mlimg && mkdir -p aside/queue-8 aside/9 aside/queue-x reports && "
	      ": >reports/queue-6.json && : >reports/queue-11x.json && : >reports/12.json",
		dir);
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_EQ(ret.number, 9);
	shell("cd %s/start/mlimg && [ -d aside/queue-9/etc ] && [ -f reports/queue-9.txt ]", dir);
}

TEST(marks_of_unionfs_are_not_to_be_reset)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;

	is_unionfs = true;
	make_user(dir);
	shell("rm %s/start/mlimg/queue", dir);
	user_fd = open_dir(dir, "start");
	ADD(user_fd, RESET, ".unionfs-fuse");
	ADD(user_fd, RESET, ".unionfs-fuse/etc");
	ASSERT_OK(run(dir, "start", &ret), err);
	ASSERT_EQ(ret.n_left, 2);
	shell("[ -f %s/start/upper/.unionfs-fuse/etc/gone_HIDDEN~ ]", dir);
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

/* --- the way back to the former stack --- */

/* A change, then a reset of what it has made, then the former stack again. */
static void check_back(bool of_unionfs)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_queue_run ret;
	struct mlimg_plan plan;

	is_unionfs = of_unionfs;
	make_start(dir);
	make_plan(&plan);
	again(dir, "start", "done");
	steps_left = -1;
	ASSERT_OK(change(dir, "done", &plan), err);
	user_fd = open_dir(dir, "done");
	ADD(user_fd, RESET, "etc/both");
	ADD(user_fd, RESET, "etc/other");
	ADD(user_fd, RESTORE, "etc/newhidden");
	ASSERT_OK(run(dir, "done", &ret), err);
	ASSERT_EQ(ret.n_done, 3);
	told[0] = '\0';
	ASSERT_OK(back(dir, "done"), err);
	/* What he has reset stays so: of the merged file his former one is kept aside. */
	ASSERT_STR(told, "aside/7/etc/both;");
	shell("cd %s/done && [ ! -e upper/etc/both ] && [ ! -e upper/etc/other ] && "
	      "[ \"$(cat mlimg/aside/7/etc/both)\" = 'mine both' ] && "
	      "[ \"$(cat mlimg/aside/queue-1/etc/both mlimg/aside/queue-1/etc/other)\" = "
	      "'merged\nmine other' ] && "
	      "[ \"$(cat upper/etc/stale upper/etc/takes upper/etc/asidefile)\" = "
	      "'mine stale\nmine takes\nmine asidefile' ]",
		dir);
	mlimg_plan_done(&plan);
}

TEST(the_former_stack_is_to_be_had_again)
{
	check_back(false);
}

TEST(the_former_stack_is_to_be_had_again_with_marks_of_unionfs)
{
	check_back(true);
}
