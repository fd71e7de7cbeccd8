/* SPDX-License-Identifier: MIT */
#include "libmlimg/path-class.h"
#include "libmlimg/path-glob.h"

#include "tests/lib/test.h"

static struct mlimg_path_classes *fresh(void)
{
	struct mlimg_path_classes *classes = mlimg_path_classes_new();

	ASSERT(classes);
	return classes;
}

static void check(const struct mlimg_path_classes *classes, const char *path, const char *class)
{
	const char *got = mlimg_path_class_name(mlimg_path_class_of(classes, path));

	if (strcmp(got, class) != 0)
		FAIL("%s: %s instead of %s", path, got, class);
}

TEST(defaults)
{
	static const char *const expected[][2] = {
		{"etc", "config"},
		{"etc/hosts", "config"},
		{"etc/ssh/sshd_config", "config"},
		{"etc/systemd/system/multi-user.target.wants/ssh.service", "config"},
		{"etcetera", "data"},
		{"usr/bin/perl", "owned"},
		{"usr/local/bin/perl", "data"},
		{"usr/locale", "owned"},
		{"bin/sh", "owned"},
		{"lib", "owned"},
		{"lib64/ld.so", "owned"},
		{"boot/vmlinuz", "owned"},
		{"opt/x", "owned"},
		{"var/lib/mysql/ibdata1", "data"},
		{"home/me/x", "data"},
		{"root/.bashrc", "data"},
		{"srv/www", "data"},
		{"anything", "data"},
		{"etc/passwd", "accounts"},
		{"etc/group", "accounts"},
		{"etc/shadow", "accounts"},
		{"etc/gshadow", "accounts"},
		{"etc/subuid", "accounts"},
		{"etc/subgid", "accounts"},
		{"etc/passwd-", "keep"},
		{"var/lib/dpkg/status", "packages"},
		{"var/lib/dpkg/info/perl.list", "packages"},
		{"var/lib/dpkg/alternatives/awk", "packages"},
		{"var/lib/dpkg/status-old", "keep"},
		{"var/lib/apt/extended_states", "packages"},
		{"var/cache/debconf/config.dat", "packages"},
		{"var/cache/debconf/templates.dat", "packages"},
		{"var/cache/debconf/templates.dat-old", "keep"},
		{"var/cache/debconf/passwords.dat", "data"},
		{"etc/ld.so.cache", "derived"},
		{"usr/share/mime/mime.cache", "derived"},
		{"var/cache/man/index.db", "derived"},
		{"usr/share/icons/hicolor/icon-theme.cache", "derived"},
		{"etc/machine-id", "keep"},
		{"etc/hostname", "keep"},
		{"etc/resolv.conf", "keep"},
		{"etc/fstab", "keep"},
		{"etc/adjtime", "keep"},
		{"etc/ssh/ssh_host_ed25519_key", "keep"},
		{"etc/ssh/ssh_host_rsa_key.pub", "keep"},
	};
	struct mlimg_path_classes *classes = fresh();

	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		check(classes, expected[i][0], expected[i][1]);
	mlimg_path_classes_free(classes);
}

TEST(the_last_line_that_fits_decides)
{
	static const char first[] = "# mine\n\n/usr/share/x/ data\r\n\tusr/share/x/y   keep \n";
	static const char second[] = "usr/share/x/y/z owned\netc/ld.so.cache config\n";
	struct mlimg_path_classes *classes = fresh();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_path_classes_add(classes, "a", first, sizeof(first) - 1, &err), err);
	ASSERT_OK(mlimg_path_classes_add(classes, "b", second, sizeof(second) - 1, &err), err);
	check(classes, "usr/share/x", "data");
	check(classes, "usr/share/x/a", "data");
	check(classes, "usr/share/xx", "owned");
	check(classes, "usr/share/x/y", "keep");
	check(classes, "usr/share/x/y/q", "keep");
	check(classes, "usr/share/x/y/z", "owned");
	check(classes, "etc/ld.so.cache", "config");
	mlimg_path_classes_free(classes);
}

TEST(globs)
{
	static const struct {
		const char *glob, *path;
		bool is_in;
	} cases[] = {
		{"a", "a", true},
		{"a", "a/b", true},
		{"a", "ab", false},
		{"/a", "a", true},
		{"a/b", "a", false},
		{"*", "a", true},
		{"*", "a/b", true}, /* what is below it */
		{"*/b", "a/b", true},
		{"*/b", "a/c/b", false},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"a*c", "ab/c", false},
		{"a*b*c", "axbxbxc", true},
		{"a*b*c", "axbx", false},
		{"?", "a", true},
		{"a?b", "a/b", false},
		{"**", "a/b", true},
		{"**/c", "c", true},
		{"**/c", "a/c", true},
		{"**/c", "a/b/c/d", true},
		{"**/c", "a/bc", false},
		{"a/**", "a", false},
		{"a/**", "a/b", true},
		{"a/**/d", "a/d", true},
		{"a/**/d", "a/b/c/d", true},
		{"a/**/d", "a/b/cd", false},
		{"a/**/*.c", "a/x/y.h/z.c", true},
		{"**/b/**/*x", "a/b/c/b/d/yx", true},
		{"**/b/*x", "b/c/b/yx", true},
		{"[abc]", "b", true},
		{"[!abc]", "b", false},
		{"[!abc]", "d", true},
		{"[a-c]x", "bx", true},
		{"[a-c]x", "dx", false},
		{"[]]", "]", true},
		{"a[!x]b", "a/b", false},
		{"[\\]-]", "]", true},
		{"a\\*", "a*", true},
		{"a\\*", "ab", false},
		{"a\\ b", "a b", true},
		{"", "a", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (mlimg_path_is_in_glob(cases[i].path, cases[i].glob) != cases[i].is_in)
			FAIL("'%s' %s '%s'", cases[i].path, cases[i].is_in ? "not in" : "in",
				cases[i].glob);
}

/* By definition, and in exponential time: a star is nothing, or one byte and a star. */
static bool naive(const char *path, const char *glob)
{
	if (strncmp(glob, "**/", 3) == 0) {
		const char *slash = strchr(path, '/');

		return naive(path, glob + 3) || (slash && naive(slash + 1, glob));
	}
	if (strcmp(glob, "**") == 0)
		return *path;
	if (*glob == '*')
		return naive(path, glob + 1) || (*path && *path != '/' && naive(path + 1, glob));
	if (!*glob)
		return !*path || *path == '/';
	return *path && (*glob == '?' ? *path != '/' : *glob == *path) && naive(path + 1, glob + 1);
}

TEST(globs_as_defined)
{
	static const char *const parts[] = {"a", "b", "*", "?", "a*", "*b", "**", "*a*b"};

	test_seed();
	for (int i = 0; i < 20000; i++) {
		char glob[64] = "", path[64] = "";
		size_t n = 1 + test_random(4);

		for (size_t k = 0; k < n; k++) {
			strcat(glob, k ? "/" : "");
			strcat(glob, parts[test_random(8)]);
		}
		n = 1 + test_random(5);
		for (size_t k = 0; k < n; k++) {
			size_t size = 1 + test_random(4);

			strcat(path, k ? "/" : "");
			while (size--)
				strcat(path, test_random(2) ? "a" : "b");
		}
		if (mlimg_path_is_in_glob(path, glob) != naive(path, glob))
			FAIL("'%s' with '%s'", path, glob);
	}
}

static void check_refused(const char *text, size_t size, const char *why)
{
	struct mlimg_path_classes *classes = fresh();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(
		mlimg_path_classes_add(classes, "x.conf", text, size, &err), err, -EUCLEAN, why);
	check(classes, "good", "data");
	mlimg_path_classes_free(classes);
}

#define REFUSED(text, why) check_refused("good keep\n" text, sizeof("good keep\n" text) - 1, why)

TEST(what_is_refused)
{
	char *many = calloc(MLIMG_CLASS_LINES_MAX + 1, 8),
	     *large = calloc(1, MLIMG_CLASS_FILE_MAX + 1);

	REFUSED("a\n", "x.conf: line 2: no class");
	REFUSED("a bad\n", "x.conf: line 2: an unknown class");
	REFUSED("a keep data\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:.x\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:../x\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:x/y\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:x y\n", "x.conf: line 2: an unknown class");
	REFUSED("a merge:"
		"12345678901234567890123456789012345678901234567890123456789012345\n",
		"x.conf: line 2: an unknown class");
	REFUSED("a config:\n", "x.conf: line 2: an unknown class");
	REFUSED("a owned:alone\n", "x.conf: line 2: an unknown class");
	REFUSED("/ keep\n", "x.conf: line 2: an empty glob");
	REFUSED("a[b keep\n", "x.conf: line 2: a '[' without ']'");
	REFUSED("a** keep\n", "x.conf: line 2: a '**' that is not a whole component");
	REFUSED("**a keep\n", "x.conf: line 2: a '**' that is not a whole component");
	REFUSED("a\\", "x.conf: line 2: no class");
	REFUSED("a\0b keep\n", "x.conf: a NUL");
	ASSERT(many && large);
	for (int i = 0; i <= MLIMG_CLASS_LINES_MAX; i++)
		memcpy(many + 7 * i, "a keep\n", 7);
	check_refused(many, 7 * (MLIMG_CLASS_LINES_MAX + 1),
		"x.conf: line 257: more lines than all files may have");
	memset(large, '\n', MLIMG_CLASS_FILE_MAX + 1);
	check_refused(large, MLIMG_CLASS_FILE_MAX + 1, "x.conf: more than 65536 bytes");
	free(many);
	free(large);
}

static void check_beside(
	const struct mlimg_path_classes *classes, const char *path, enum mlimg_path_beside wanted)
{
	if (mlimg_path_class_beside(classes, path) != wanted)
		FAIL("%s: %d instead of %d", path, (int)mlimg_path_class_beside(classes, path),
			(int)wanted);
}

/* Of each of these directories Debian's programs read every name, but for dpkg's. */
TEST(directories_of_which_every_name_is_read)
{
	static const char *const dist[] = {"etc/NetworkManager/dispatcher.d/01-ifupdown",
		"etc/apparmor.d/usr.sbin.cupsd", "etc/apparmor.d/local/usr.sbin.cupsd",
		"etc/apt/apt.conf.d/20auto-upgrades", "etc/apt/sources.list.d/debian.sources",
		"etc/apt/preferences.d/backports", "etc/bash_completion.d/x", "etc/dnsmasq.d/x",
		"etc/grub.d/40_custom", "etc/init.d/ssh", "etc/initramfs-tools/conf.d/resume",
		"etc/logrotate.d/nginx"};
	static const char *const alone[] = {"etc/initramfs-tools/hooks/x",
		"etc/initramfs-tools/scripts/init-top/x", "etc/network/interfaces.d/setup",
		"etc/nginx/sites-enabled/default"};
	static const char *const plain[] = {"etc/logrotate.conf", "etc/apt/sources.list",
		"etc/cron.d/x", "etc/nginx/sites-available/default", "etc/network/interfaces",
		"etc/initramfs-tools/initramfs.conf", "usr/etc/grub.d/x", "srv/x"};
	struct mlimg_path_classes *classes = fresh();

	for (size_t i = 0; i < sizeof(dist) / sizeof(*dist); i++)
		check_beside(classes, dist[i], MLIMG_BESIDE_DPKG_DIST);
	for (size_t i = 0; i < sizeof(alone) / sizeof(*alone); i++)
		check_beside(classes, alone[i], MLIMG_BESIDE_NOWHERE);
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		check_beside(classes, plain[i], MLIMG_BESIDE_PLAIN);
	mlimg_path_classes_free(classes);
}

TEST(such_directories_that_are_declared)
{
	static const char text[] = "etc/monit.d config:dpkg-dist\netc/x config:alone\n"
				   "etc/logrotate.d/mine merge:x\netc/grub.d config\n";
	struct mlimg_path_classes *classes = fresh();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_path_classes_add(classes, "a", text, sizeof(text) - 1, &err), err);
	check(classes, "etc/monit.d/a", "config");
	check_beside(classes, "etc/monit.d/a", MLIMG_BESIDE_DPKG_DIST);
	check_beside(classes, "etc/x/a", MLIMG_BESIDE_NOWHERE);
	/* Who merges it is another question than where it may lie. */
	check(classes, "etc/logrotate.d/mine", "merge");
	check_beside(classes, "etc/logrotate.d/mine", MLIMG_BESIDE_DPKG_DIST);
	check_beside(classes, "etc/grub.d/a", MLIMG_BESIDE_PLAIN);
	mlimg_path_classes_free(classes);
}

TEST(hooks)
{
	static const char text[] = "srv merge:a.B_c-9\nsrv/x data\nsrv/y merge:y\n";
	struct mlimg_path_classes *classes = fresh();
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_path_classes_add(classes, "a", text, sizeof(text) - 1, &err), err);
	check(classes, "srv/a", "merge");
	check(classes, "srv/y", "merge");
	ASSERT_STR(mlimg_path_class_hook(classes, "srv/a"), "a.B_c-9");
	ASSERT_STR(mlimg_path_class_hook(classes, "srv/y"), "y");
	ASSERT(!mlimg_path_class_hook(classes, "srv/x"));
	ASSERT(!mlimg_path_class_hook(classes, "etc/x"));
	ASSERT(!mlimg_path_class_hook(classes, "etc/ld.so.cache"));
	mlimg_path_classes_free(classes);
}
