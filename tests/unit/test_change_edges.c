/* SPDX-License-Identifier: MIT */
/* What a change of the stack in a user layer must not stumble over, and must not hide: things in the way, disks that fail, logs that are too long. */
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "guest-agent/rebuild.h"
#include "tests/lib/change-user.h"

/* --- a disk that fails --- */

static const char *broken; /* a name that cannot be looked at, or NULL */

/* In the place of the C library's. */
int fstatat(int fd, const char *restrict name, struct stat *restrict st, int flags)
{
	const char *last = strrchr(name, '/');

	if (broken && strcmp(last ? last + 1 : name, broken) == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_newfstatat, fd, name, st, flags);
}

/* --- a file system with little room for the xattrs of a file --- */

static size_t xattrs_max; /* bytes of all of "user.", 0: no limit */

static size_t xattrs_size(const char *path, const char *but)
{
	char names[1024];
	ssize_t size = llistxattr(path, names, sizeof(names)), n = 0;

	for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1)
		if (strncmp(name, "user.", 5) == 0 && strcmp(name, but) != 0)
			n += lgetxattr(path, name, NULL, 0);
	return (size_t)n;
}

/* In the place of the C library's. */
int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
	if (xattrs_max && xattrs_size(path, name) + size > xattrs_max) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_lsetxattr, path, name, value, size, flags);
}

static void start(const char *dir, struct mlimg_plan *plan)
{
	is_unionfs = false;
	broken = NULL;
	xattrs_max = 0;
	steps_left = -1;
	told[0] = '\0';
	shell("rm -rf %s/start %s/lower", dir, dir);
	make_start(dir);
	ASSERT_OK(mlimg_plan_init(plan, &err), err);
	plan->generation = 6;
	memset(plan->from, 'a', MLIMG_SHA256_HEX_SIZE - 1);
	memset(plan->to, 'b', MLIMG_SHA256_HEX_SIZE - 1);
	again(dir, "start", "user");
}

/* @return what is in the user layer, without times */
static char *everything(const char *dir)
{
	char command[1024];
	mlimg_autofree char *text = NULL;
	size_t size;

	snprintf(command, sizeof(command),
		"cd %s/user && find . -printf '%%P %%y %%m %%l\\n' | sort >../all && "
		"find . -type f | sort | xargs sha256sum >>../all",
		dir);
	shell("%s", command);
	snprintf(command, sizeof(command), "%s/all", dir);
	ASSERT_OK(mlimg_read_file(AT_FDCWD, command, 1 << 20, &text, &size, &err), err);
	return mlimg_steal(&text);
}

/* While @name cannot be looked at, nothing is done, and nothing is taken for gone; then it ends as it would have. */
static void check_broken(const char *name, int (*call)(const char *dir, const struct mlimg_plan *p))
{
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;
	mlimg_autofree char *upper = NULL, *found = NULL;
	char path[300];

	start(dir, &plan);
	add(&plan, 'd', "etc/stale", NULL);
	add_file(&plan, 'p', "etc/both", "merged\n");
	ASSERT_OK(mlimg_plan_add_blob(&plan, "merged\n", 7, &(uint32_t){0}, &err), err);
	snprintf(path, sizeof(path), "user/upper");
	upper = list(dir, path);
	broken = name;
	ASSERT_EQ(call(dir, &plan), -EIO);
	broken = NULL;
	found = list(dir, path);
	ASSERT_STR(found, upper);
	ASSERT_OK(call(dir, &plan), err);
	shell("[ ! -e %s/user/upper/etc/stale ]", dir);
	mlimg_plan_done(&plan);
}

static int change_user(const char *dir, const struct mlimg_plan *plan)
{
	return change(dir, "user", plan);
}

TEST(a_thing_that_cannot_be_looked_at_is_not_taken_for_gone)
{
	check_broken("stale", change_user);
	check_broken("both", change_user);
}

TEST(a_line_of_decision_that_cannot_be_looked_at_is_not_taken_for_none)
{
	check_broken("reconcile.plan", change_user);
}

/* --- the way back --- */

static void go(const char *dir, struct mlimg_plan *plan)
{
	uint32_t blob;

	start(dir, plan);
	ASSERT_OK(mlimg_plan_add_blob(plan, "merged\n", 7, &blob, &err), err);
	add(plan, 'd', "etc/stale", NULL);
	add_file(plan, 'p', "etc/both", "merged\n");
	add(plan, 'h', "etc/newhidden", NULL);
	ASSERT_OK(change(dir, "user", plan), err);
}

TEST(on_the_way_back_too_what_cannot_be_looked_at_is_not_taken_for_gone)
{
	static const char *const names[] = {"stale", "both", "newhidden", "0", "1", "2", "3"};
	const char *dir = test_tmpdir();
	mlimg_autofree char *before = NULL;
	struct mlimg_plan plan;

	go(dir, &plan);
	before = upper_of(dir, "start");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		mlimg_autofree char *found = NULL;
		int r;

		again(dir, "user", "try");
		broken = names[i];
		r = back(dir, "try");
		broken = NULL;
		if (r != -EIO)
			FAIL("'%s': %d", names[i], r);
		ASSERT_OK(back(dir, "try"), err);
		found = upper_of(dir, "try");
		assert_same(names[i], (long)i, before, found);
	}
	mlimg_plan_done(&plan);
}

TEST(what_lies_in_aside_already_stays)
{
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;

	go(dir, &plan);
	shell("cd %s/user && echo since >upper/etc/both && mkdir -p mlimg/aside/7/etc && "
	      "echo precious >mlimg/aside/7/etc/both",
		dir);
	ASSERT_OK(back(dir, "user"), err);
	ASSERT_STR(told, "aside/7/etc/both;");
	shell("cd %s/user/mlimg/aside && [ \"$(cat 7/etc/both 7.1/etc/both)\" = 'mine "
	      "both\nprecious' ]",
		dir);
	mlimg_plan_done(&plan);
}

/* As when a stranger has made it between two boots. */
TEST(what_has_come_into_aside_meanwhile_stays)
{
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;
	long at = 0;
	int r;

	go(dir, &plan);
	shell("echo since >%s/user/upper/etc/both", dir);
	do {
		again(dir, "user", "try");
		steps_left = at++;
		r = back(dir, "try");
		steps_left = -1;
		if (r == 0)
			break;
		shell("cd %s/try/mlimg && [ ! -e reconcile.plan ] || [ -e aside/7/etc/both ] || "
		      "{ mkdir -p aside/7/etc && echo precious >aside/7/etc/both; }",
			dir);
		ASSERT_OK(back(dir, "try"), err);
		shell("cd %s/try/mlimg/aside/7/etc && cat both both.1 2>/dev/null | grep -qx 'mine "
		      "both' && "
		      "[ ! -e both.1 ] || [ \"$(cat both)\" = precious ]",
			dir);
	} while (r != 0);
	ASSERT(at > 4);
	mlimg_plan_done(&plan);
}

/* --- what is in the way --- */

TEST(what_has_the_name_of_a_new_file_was_set_aside_or_it_is_refused)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *before = NULL, *found = NULL;
	struct mlimg_plan plan;

	start(dir, &plan);
	add_beside(&plan, "etc/beside.mlimg-new", "etc/beside", "beside\n");
	ASSERT_EQ(change(dir, "user", &plan), -EUCLEAN);
	ASSERT_STR(err.text,
		"the plan does not fit: 'n' of '/etc/beside.mlimg-new', which is still there");
	mlimg_plan_done(&plan);
	start(dir, &plan);
	add(&plan, 'a', "etc/beside.mlimg-new", NULL);
	add_beside(&plan, "etc/beside.mlimg-new", "etc/beside", "beside\n");
	ASSERT_OK(change(dir, "user", &plan), err);
	shell("cd %s/user/upper/etc && [ \"$(cat beside beside.mlimg-new "
	      "../../mlimg/aside/6/etc/beside.mlimg-new)\" = 'mine beside\nbeside\nmine "
	      "beside.mlimg-new' ]",
		dir);
	ASSERT_OK(back(dir, "user"), err);
	before = upper_of(dir, "start");
	found = upper_of(dir, "user");
	assert_same("upper", 0, before, found);
	mlimg_plan_done(&plan);
}

/* --- what comes with the state --- */

static int change_with_list(const char *dir, const struct mlimg_plan *plan)
{
	mlimg_autoclose int user_fd = open_dir(dir, "try"), new_fd = -1, own_fd = -1;
	struct mlimg_change_call call = {.user_fd = user_fd, .step = step};
	struct mlimg_boot_state old = state_of(5), next = state_of(6);
	struct mlimg_lowers lowers = {.n = 0};
	struct mlimg_text list = {.data = NULL};
	int r = mlimg_change_stage(&call, plan, &lowers, false, &old, &next, &err);

	if (r < 0)
		return r;
	own_fd = open_dir(dir, "try/mlimg");
	new_fd = open_dir(dir, "try/mlimg/reconcile.new");
	mlimg_rebuild_collect(&list, "etc/ld.so.cache");
	ASSERT_OK(mlimg_rebuild_stage(own_fd, new_fd, &list, &err), err);
	free(list.data);
	return mlimg_change_decide(&call, false, 6, 5, &err);
}

TEST(a_list_of_caches_is_there_as_soon_as_the_state_is)
{
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;
	long at = 0;
	int r;

	start(dir, &plan);
	add(&plan, 'd', "etc/stale", NULL);
	do {
		again(dir, "start", "try");
		shell("echo etc/udev/hwdb.bin >%s/try/mlimg/rebuild", dir);
		steps_left = at++;
		r = change_with_list(dir, &plan);
		shell("cd %s/try/mlimg && ! grep -q '\"generation\": 6' state.json || "
		      "[ \"$(xargs <rebuild)\" = 'etc/udev/hwdb.bin etc/ld.so.cache' ]",
			dir);
	} while (r < 0);
	ASSERT(at > 5);
	shell("cd %s/try/mlimg && grep -q '\"generation\": 6' state.json && [ -e rebuild ]", dir);
	mlimg_plan_done(&plan);
}

/* --- the way back --- */

TEST(what_cannot_be_read_is_not_taken_for_no_change)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int own_fd = -1;
	struct mlimg_boot_state now = state_of(6), former;

	shell("mkdir -p %s/mlimg/undo/6", dir);
	own_fd = open_dir(dir, "mlimg");
	ASSERT_EQ(mlimg_change_find_former(own_fd, &now, &former, &err), 0);
	shell("echo nonsense >%s/mlimg/undo/6/state.json", dir);
	ASSERT_EQ(mlimg_change_find_former(own_fd, &now, &former, &err), 0);
	ASSERT_EQ(mlimg_change_find_former(-1, &now, &former, &err), -EBADF);
	ASSERT_STR(err.text, "read 'user/mlimg/undo/6/state.json': Bad file descriptor");
}

/* --- what is too long --- */

TEST(a_log_that_could_not_be_read_again_is_refused_before_anything_is_done)
{
	const char *dir = test_tmpdir();
	mlimg_autoclose int user_fd = -1;
	struct mlimg_change_call call = {.log_max = 20};
	struct mlimg_boot_state old = state_of(5), next = state_of(6);
	struct mlimg_lowers lowers = {.n = 0};
	mlimg_autofree char *before = NULL, *found = NULL;
	struct mlimg_plan plan;

	start(dir, &plan);
	add(&plan, 'd', "etc/stale", NULL);
	call.user_fd = user_fd = open_dir(dir, "user");
	shell("rm -r %s/user/mlimg/undo", dir);
	before = everything(dir);
	ASSERT_EQ(mlimg_change_stage(&call, &plan, &lowers, false, &old, &next, &err), -EFBIG);
	ASSERT_STR(err.text, "the list of its steps has 83 bytes, and 20 are read: File too large");
	found = everything(dir);
	ASSERT_STR(found, before);
	mlimg_plan_done(&plan);
}

/* --- plans that do not fit --- */

/* Nothing was done, and a plan that fits can be. */
static void check_refused(const char *dir, struct mlimg_plan *plan, const char *why)
{
	mlimg_autofree char *before = NULL, *found = NULL;
	struct mlimg_plan other;

	before = upper_of(dir, "user");
	ASSERT_EQ(change(dir, "user", plan), -EUCLEAN);
	ASSERT_STR(err.text, why);
	ASSERT(err.kind == MLIMG_ERR_REFUSED);
	shell("cd %s/user/mlimg && [ ! -e reconcile.plan ] && [ ! -e reconcile.new ]", dir);
	found = upper_of(dir, "user");
	ASSERT_STR(found, before);
	mlimg_plan_done(plan);
	ASSERT_OK(mlimg_plan_init(&other, &err), err);
	add(&other, 'd', "etc/stale", NULL);
	ASSERT_OK(change(dir, "user", &other), err);
	mlimg_plan_done(&other);
}

TEST(two_things_at_one_path_are_refused_before_anything_is_done)
{
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;

	for (int turn = 0; turn < 3; turn++) {
		start(dir, &plan);
		add_file(&plan, turn == 2 ? 'p' : 't', "etc/takes", "takes\n");
		if (turn == 0)
			add_file(&plan, 't', "etc/takes", "takes\n");
		else
			add(&plan, turn == 1 ? 'h' : 'm', "etc/takes",
				turn == 1 ? NULL
					  : "type=dir mode=0750 uid=0 gid=0 time=1.000000000");
		if (turn == 2)
			ASSERT_OK(mlimg_plan_add_blob(&plan, "takes\n", 6, &(uint32_t){0}, &err),
				err);
		check_refused(dir, &plan,
			turn == 0 ? "the plan does not fit: 't' of '/etc/takes', which an "
				    "operation before has put"
				: turn == 1
				? "the plan does not fit: 'h' of '/etc/takes', which an operation "
				  "before has put"
				: "the plan does not fit: 'm' of '/etc/takes', which an operation "
				  "before has put");
	}
}

TEST(what_has_no_directory_is_refused_before_anything_is_done)
{
	static const char why[] = "the plan does not fit: 'h' of '/etc/%s', which has no directory";
	static const char *const paths[] = {"none/x", "other/x", "takes/x", "asidedir/x"};
	const char *dir = test_tmpdir();
	struct mlimg_plan plan;

	for (size_t i = 0; i < 4; i++) {
		char path[64], text[128];

		start(dir, &plan);
		add(&plan, 'a', "etc/asidedir", NULL);
		add_file(&plan, 't', "etc/takes", "takes\n");
		snprintf(path, sizeof(path), "etc/%s", paths[i]);
		add(&plan, 'h', path, NULL);
		snprintf(text, sizeof(text), why, paths[i]);
		check_refused(dir, &plan, text);
	}
}

/* --- more xattrs than the file system takes --- */

/* etc/attr has so many bytes in user.a and user.b, and is to have others. */
static void start_xattrs(
	const char *dir, struct mlimg_plan *plan, int a, int b, int next_a, int next_b)
{
	char value_a[64], value_b[64];
	struct mlimg_xattr xattrs[] = {
		{(char *)(uintptr_t) "user.a", (uint8_t *)value_a, (size_t)next_a},
		{(char *)(uintptr_t) "user.b", (uint8_t *)value_b, (size_t)next_b}};
	struct mlimg_entry e;

	start(dir, plan);
	shell("cd %s/user/upper/etc && setfattr -n user.a -v %0*d attr && "
	      "setfattr -n user.b -v %0*d attr",
		dir, a, 0, b, 0);
	memset(value_a, 'x', sizeof(value_a));
	memset(value_b, 'x', sizeof(value_b));
	e = entry_of("./etc/attr type=file mode=0600 uid=0 gid=0 size=0 time=1.000000000");
	e.uid = geteuid();
	e.gid = getegid();
	e.xattrs = xattrs;
	e.n_xattrs = 2;
	ASSERT_OK(mlimg_plan_add(plan, MLIMG_PLAN_SET_ATTRS, "etc/attr", &e, 0, &err), err);
	xattrs_max = 60;
}

TEST(xattrs_that_a_file_cannot_have_are_refused_before_anything_is_done)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *before = NULL, *found = NULL;
	struct mlimg_plan plan;

	start_xattrs(dir, &plan, 10, 10, 40, 40);
	before = upper_of(dir, "user");
	ASSERT_EQ(change(dir, "user", &plan), -E2BIG);
	ASSERT_STR(err.text, "set the attributes of '/etc/attr': Argument list too long");
	shell("cd %s/user/mlimg && [ ! -e reconcile.plan ] && [ ! -e reconcile.new ]", dir);
	found = upper_of(dir, "user");
	ASSERT_STR(found, before);
	mlimg_plan_done(&plan);
}

/* Where the first one grows before the second one shrinks, there is no room. */
TEST(xattrs_that_shrink_are_set_before_those_that_grow_there_and_back)
{
	const char *dir = test_tmpdir();
	mlimg_autofree char *before = NULL, *found = NULL;
	struct mlimg_plan plan;

	for (int turn = 0; turn < 2; turn++) {
		start_xattrs(
			dir, &plan, turn ? 50 : 10, turn ? 10 : 50, turn ? 10 : 50, turn ? 50 : 10);
		before = upper_of(dir, "user");
		ASSERT_OK(change(dir, "user", &plan), err);
		shell("[ \"$(getfattr --only-values -n user.b %s/user/upper/etc/attr | wc -c)\" = "
		      "%d ]",
			dir, turn ? 50 : 10);
		ASSERT_OK(back(dir, "user"), err);
		found = upper_of(dir, "user");
		ASSERT_STR(found, before);
		free(mlimg_steal(&before));
		free(mlimg_steal(&found));
		mlimg_plan_done(&plan);
	}
}
