/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "tools/cli.h"
#include "tools/outfile.h"

/* What a call prints on stderr. */
#define CAPTURE(text, call)                                        \
	do {                                                       \
		FILE *test_f = tmpfile();                          \
		int test_saved = dup(2);                           \
		size_t test_n;                                     \
                                                                   \
		fflush(stderr);                                    \
		dup2(fileno(test_f), 2);                           \
		call;                                              \
		fflush(stderr);                                    \
		dup2(test_saved, 2);                               \
		close(test_saved);                                 \
		rewind(test_f);                                    \
		test_n = fread(text, 1, sizeof(text) - 1, test_f); \
		text[test_n] = '\0';                               \
		fclose(test_f);                                    \
	} while (0)

TEST(sizes_are_read)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0}, {"4096", 4096}, {"1K", 1024}, {"3m", 3145728}, {"2G", 2147483648u},
		{"1t", 1099511627776u}, {"18446744073709551615", UINT64_MAX},
		{"16777215T", 16777215ull << 40}};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ASSERT_OK(mlimg_cli_size(good[i].text, &bytes, &err), err);
		ASSERT(bytes == good[i].bytes);
	}
}

TEST(what_is_no_size_is_refused)
{
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 ", "1KB", "1X", "1.5G", "0x10"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t bytes = 7;
	char message[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(message, sizeof(message),
			"'%s' is not a size (a whole number, then K, M, G or T if wanted)", bad[i]);
		ASSERT_FAILS(mlimg_cli_size(bad[i], &bytes, &err), err, -EINVAL, message);
		ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	}
	ASSERT_EQ(bytes, 7);
}

TEST(a_size_that_does_not_fit_is_refused)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t bytes;

	ASSERT_FAILS(mlimg_cli_size("16777216T", &bytes, &err), err, -EINVAL,
		"size '16777216T' is too large");
	ASSERT_FAILS(mlimg_cli_size("18446744073709551616", &bytes, &err), err, -EINVAL,
		"size '18446744073709551616' is too large");
}

TEST(numbers_have_bounds)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	uint64_t n;

	ASSERT_OK(mlimg_cli_number("1", 1, 64, &n, &err), err);
	ASSERT_EQ(n, 1);
	ASSERT_OK(mlimg_cli_number("64", 1, 64, &n, &err), err);
	ASSERT_EQ(n, 64);
	ASSERT_FAILS(mlimg_cli_number("0", 1, 64, &n, &err), err, -EINVAL,
		"'0' is not a number from 1 to 64");
	ASSERT_FAILS(mlimg_cli_number("65", 1, 64, &n, &err), err, -EINVAL,
		"'65' is not a number from 1 to 64");
	ASSERT_FAILS(mlimg_cli_number("6K", 1, 64, &n, &err), err, -EINVAL,
		"'6K' is not a number from 1 to 64");
}

TEST(sizes_are_shown)
{
	char text[MLIMG_CLI_SIZE_TEXT];

	ASSERT_STR(mlimg_cli_format_size(0, text), "0 B");
	ASSERT_STR(mlimg_cli_format_size(1023, text), "1023 B");
	ASSERT_STR(mlimg_cli_format_size(1024, text), "1.0 KiB");
	ASSERT_STR(mlimg_cli_format_size(102348, text), "99.9 KiB");
	ASSERT_STR(mlimg_cli_format_size(102400, text), "100 KiB");
	ASSERT_STR(mlimg_cli_format_size(1048575, text), "1.0 MiB");
	ASSERT_STR(mlimg_cli_format_size(UINT64_MAX, text), "16.0 EiB");
}

static int parse(int argc, char **argv)
{
	static const struct option longs[] = {{"size", required_argument, NULL, 's'},
		{"name", required_argument, NULL, 'n'}, {"names", no_argument, NULL, 300},
		{"nameless", no_argument, NULL, 302}, {"json", no_argument, NULL, 301}, {0}};
	int opt;

	optind = 0;
	do
		opt = mlimg_cli_getopt("prog", argc, argv, "s:j", longs);
	while (opt != -1 && opt != '?');
	return opt;
}

TEST(each_mistake_in_options_has_its_line)
{
	static const struct {
		const char *word, *message;
	} cases[] = {
		{"--nonsense", "unknown option '--nonsense'"},
		{"--nonsense=x", "unknown option '--nonsense'"},
		{"-x", "unknown option '-x'"},
		{"-jx", "unknown option '-x'"},
		{"--si", "option '--si' needs an argument"},
		{"--size", "option '--size' needs an argument"},
		{"-s", "option '-s' needs an argument"},
		{"-js", "option '-s' needs an argument"},
		{"--json=yes", "option '--json' takes no argument"},
		{"--nam", "option '--nam' is ambiguous"},
		{"--name", "option '--name' needs an argument"},
		{"--n\033[2J", "unknown option '--n\\033[2J'"},
	};
	char text[1024], wanted[1024];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char word[64], name[] = "prog";
		char *argv[] = {name, word, NULL};
		int opt;

		snprintf(word, sizeof(word), "%s", cases[i].word);
		CAPTURE(text, opt = parse(2, argv));
		snprintf(wanted, sizeof(wanted),
			"prog: %s\nTry 'prog --help' for more information.\n", cases[i].message);
		ASSERT_EQ(opt, '?');
		ASSERT_STR(text, wanted);
	}
}

TEST(options_may_follow_operands)
{
	char words[5][16] = {"prog", "image", "--name", "x", "-j"};
	char *argv[] = {words[0], words[1], words[2], words[3], words[4], NULL};
	char text[256];
	int opt;

	CAPTURE(text, opt = parse(5, argv));
	ASSERT_EQ(opt, -1);
	ASSERT_STR(text, "");
	ASSERT_EQ(optind, 4);
	ASSERT_STR(argv[4], "image");
}

TEST(errors_become_exit_codes)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char text[1024];
	int code, ret;

	ret = mlimg_err_refuse(&err, "a.img: damaged");
	CAPTURE(text, code = mlimg_cli_fail("prog", &err));
	ASSERT_EQ(code, 3);
	ASSERT_STR(text, "prog: a.img: damaged\n");
	ret = mlimg_err_set(&err, ENOENT, "open '%s'", "x");
	CAPTURE(text, code = mlimg_cli_fail("prog", &err));
	ASSERT_EQ(code, 1);
	ASSERT_STR(text, "prog: open 'x': No such file or directory\n");
	ret = mlimg_err_usage(&err, "too much");
	CAPTURE(text, code = mlimg_cli_fail("prog", &err));
	ASSERT_EQ(code, 2);
	ASSERT_STR(text, "prog: too much\nTry 'prog --help' for more information.\n");
	ASSERT(ret < 0);
}

TEST(messages_cannot_steer_a_terminal)
{
	static const struct {
		const char *given, *shown;
	} cases[] = {
		{"caf\303\251 \342\202\254 \360\237\230\200",
			"caf\303\251 \342\202\254 \360\237\230\200"},
		{"a\nb\tc\033[31m\177", "a\\012b\\011c\\033[31m\\177"},
		{"\302\233x", "\\302\\233x"},          /* C1: CSI */
		{"\342\200\256x", "\\342\\200\\256x"}, /* right-to-left override */
		{"\303", "\\303"},                     /* cut off */
		{"\300\257 \355\240\200 \377",
			"\\300\\257 \\355\\240\\200 \\377"}, /* overlong, surrogate */
	};
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CAPTURE(text, mlimg_cli_put_safe(stderr, cases[i].given));
		ASSERT_STR(text, cases[i].shown);
	}
}

static const char *in_tmpdir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	return path;
}

static size_t count_files(void)
{
	DIR *d = opendir(test_tmpdir());
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

TEST(an_output_file_appears_when_it_is_whole)
{
	mlimg_autooutfile struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *path = in_tmpdir("out");
	struct stat st;

	umask(027);
	ASSERT_OK(mlimg_outfile_open(&out, path, false, &err), err);
	ASSERT_EQ(write(out.fd, "whole", 5), 5);
	ASSERT(access(path, F_OK) < 0);
	ASSERT_OK(mlimg_outfile_commit(&out, &err), err);
	ASSERT_EQ(stat(path, &st), 0);
	ASSERT_EQ(st.st_size, 5);
	ASSERT_EQ(st.st_mode & 07777, 0640);
	ASSERT_EQ(count_files(), 1);
}

TEST(an_aborted_output_file_leaves_nothing)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;

	mlimg_outfile_abort(&out);
	ASSERT_OK(mlimg_outfile_open(&out, in_tmpdir("out"), false, &err), err);
	ASSERT_EQ(count_files(), 1);
	mlimg_outfile_abort(&out);
	ASSERT_EQ(count_files(), 0);
}

TEST(an_existing_file_is_replaced_only_on_demand)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *path = in_tmpdir("out");
	char message[600];

	ASSERT_OK(mlimg_outfile_open(&out, path, false, &err), err);
	close(open(path, O_WRONLY | O_CREAT, 0600)); /* it has come into being meanwhile */
	snprintf(message, sizeof(message), "write '%s': File exists", path);
	ASSERT_FAILS(mlimg_outfile_commit(&out, &err), err, -EEXIST, message);
	ASSERT_EQ(count_files(), 1);
	snprintf(message, sizeof(message), "write '%s' without --force: File exists", path);
	ASSERT_FAILS(mlimg_outfile_open(&out, path, false, &err), err, -EEXIST, message);
	ASSERT_OK(mlimg_outfile_open(&out, path, true, &err), err);
	ASSERT_EQ(write(out.fd, "new", 3), 3);
	ASSERT_OK(mlimg_outfile_commit(&out, &err), err);
	ASSERT_EQ(count_files(), 1);
	ASSERT_EQ(access(path, R_OK), 0);
}

TEST(what_is_no_file_is_never_replaced)
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	char message[600];

	snprintf(message, sizeof(message), "write '%s': Is a directory", test_tmpdir());
	ASSERT_FAILS(mlimg_outfile_open(&out, test_tmpdir(), true, &err), err, -EISDIR, message);
	ASSERT_FAILS(mlimg_outfile_open(&out, "/dev/null", true, &err), err, -EEXIST,
		"write '/dev/null', which is not a regular file: File exists");
}

/* A child with an open output file is sent the signal; @handler is what it had set before. */
static int die_by(int sig, void (*handler)(int))
{
	struct mlimg_outfile out = MLIMG_OUTFILE_INIT;
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *path = in_tmpdir("out");
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		signal(sig, handler);
		if (mlimg_outfile_open(&out, path, false, &err) < 0)
			_exit(9);
		raise(sig);
		_exit(mlimg_outfile_commit(&out, &err) == 0 ? 7 : 8);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(a_signal_removes_the_output_file)
{
	ASSERT_EQ(die_by(SIGTERM, SIG_DFL), 128 + SIGTERM);
	ASSERT_EQ(count_files(), 0);
	ASSERT_EQ(die_by(SIGINT, SIG_DFL), 128 + SIGINT);
	ASSERT_EQ(count_files(), 0);
}

TEST(an_ignored_signal_stays_ignored)
{
	ASSERT_EQ(die_by(SIGHUP, SIG_IGN), 7);
	ASSERT_EQ(count_files(), 1);
}
