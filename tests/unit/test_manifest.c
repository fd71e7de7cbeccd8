/* SPDX-License-Identifier: MIT */
#include "libmlimg/manifest.h"

#include "libmlimg/cleanup.h"
#include "tests/lib/random-manifest.h"
#include "tests/lib/test.h"

static void collect(void *ctx, const char *data, size_t size)
{
	FILE *f = ctx;

	ASSERT_EQ(fwrite(data, 1, size, f), size);
}

static char *text_of(const struct mlimg_manifest *m)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	mlimg_manifest_put(m, collect, f);
	fclose(f);
	return text;
}

static char *line_of(const struct mlimg_entry *e)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	mlimg_manifest_put_entry(e, collect, f);
	fclose(f);
	return text;
}

static struct mlimg_manifest *parse(const char *text)
{
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_OK(mlimg_manifest_parse(text, strlen(text), &m, &err), err);
	return m;
}

#define ROOT "#mtree\n. type=dir mode=0755 uid=0 gid=0 time=0.000000000\n"
#define OF_FILE " type=file mode=0644 uid=0 gid=0 size=0 time=0.000000000"
#define OF_DIR " type=dir mode=0755 uid=0 gid=0 time=0.000000000"
#define OF_LINK " type=link mode=0777 uid=0 gid=0 time=0.000000000 link=x"
#define DIGEST "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

TEST(order)
{
	/* ascending, and each a neighbour that a plain comparison of bytes puts elsewhere */
	static const char *const paths[] = {"", "A", "a", "a/b", "a/b/c", "a/b-", "a/\377", "a!",
		"a-", "a.b", "a0", "aa", "b", "\200"};
	const size_t n = sizeof(paths) / sizeof(*paths);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			int c = mlimg_manifest_path_cmp(paths[i], paths[k]);

			if ((c > 0) - (c < 0) != (i > k) - (i < k))
				FAIL("'%s' and '%s': %d", paths[i], paths[k], c);
		}
}

TEST(canonical_lines)
{
	uint8_t value[] = {0, 1, 2, 255};
	struct mlimg_xattr xattrs[] = {{(char *)"user.a,b:c", value, 4},
		{(char *)"user.e", NULL, 0}, {(char *)"user.f", value, 1}};
	struct mlimg_entry e = {.path = (char *)"a b/#\\=*?[~\177\377\n",
		.type = MLIMG_FILE,
		.mode = 04755,
		.uid = 4294967294,
		.size_bytes = INT64_MAX,
		.mtime_s = INT64_MIN,
		.mtime_ns = 1,
		.hardlink = 3,
		.nlink = 2,
		.has_digest = true,
		.xattrs = xattrs,
		.n_xattrs = 3};
	mlimg_autofree char *file = NULL, *root = NULL, *link = NULL, *block = NULL;

	mlimg_sha256_of("abc", 3, e.digest);
	file = line_of(&e);
	ASSERT_STR(file,
		"./a\\040b/\\043\\134\\075\\052\\077\\133~\\177\\377\\012 type=file mode=4755 "
		"uid=4294967294 gid=0 size=9223372036854775807 "
		"time=-9223372036854775808.000000001 sha256digest=" DIGEST
		" tags=links:3:2,xattr:user.a\\054b\\072c:AAEC/w==,xattr:user.e:,"
		"xattr:user.f:AA==\n");
	e = (struct mlimg_entry){
		.path = (char *)"", .type = MLIMG_DIR, .mode = 01, .mtime_ns = 999999999};
	root = line_of(&e);
	ASSERT_STR(root, ". type=dir mode=0001 uid=0 gid=0 time=0.999999999\n");
	e = (struct mlimg_entry){
		.path = (char *)"l", .type = MLIMG_LINK, .link = (char *)"../a b,c"};
	link = line_of(&e);
	ASSERT_STR(
		link, "./l type=link mode=0000 uid=0 gid=0 time=0.000000000 link=../a\\040b,c\n");
	e = (struct mlimg_entry){
		.path = (char *)"b", .type = MLIMG_BLOCK, .dev_major = 4095, .dev_minor = 1048575};
	block = line_of(&e);
	ASSERT_STR(block,
		"./b type=block mode=0000 uid=0 gid=0 time=0.000000000 "
		"device=native,4095,1048575\n");
}

/* Pieces longer than the writer's buffer. */
TEST(long_pieces)
{
	static char target[MLIMG_LINK_MAX + 1];
	static uint8_t value[MLIMG_XATTR_VALUE_MAX];
	struct mlimg_xattr xattr = {(char *)"user.long", value, sizeof(value)};
	struct mlimg_entry e = {.path = (char *)"l",
		.type = MLIMG_LINK,
		.link = target,
		.xattrs = &xattr,
		.n_xattrs = 1};
	mlimg_autofree char *line = NULL, *text = NULL, *again = NULL;
	struct mlimg_manifest *m;

	memset(target, ' ', MLIMG_LINK_MAX);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7);
	line = line_of(&e);
	ASSERT(asprintf(&text, ROOT "%s", line) > 0);
	m = parse(text);
	ASSERT_STR(m->entries[1].link, target);
	ASSERT_EQ(m->entries[1].xattrs[0].size, sizeof(value));
	ASSERT_MEM(m->entries[1].xattrs[0].value, value, sizeof(value));
	again = text_of(m);
	ASSERT_STR(text, again);
	mlimg_manifest_free(m);
}

static void check_same(const struct mlimg_entry *a, const struct mlimg_entry *b)
{
	ASSERT_STR(a->path, b->path);
	ASSERT(mlimg_entry_has_same_attrs(a, b));
	ASSERT_EQ(a->mtime_s, b->mtime_s);
	ASSERT_EQ(a->mtime_ns, b->mtime_ns);
	ASSERT_EQ(a->hardlink, b->hardlink);
	ASSERT_EQ(a->nlink, b->nlink);
	ASSERT_EQ(a->n_xattrs, b->n_xattrs);
	ASSERT_EQ(a->has_digest, b->has_digest);
	ASSERT_MEM(a->digest, b->digest, sizeof(a->digest));
}

TEST(random_round_trip)
{
	test_seed();
	for (int i = 0; i < 200; i++) {
		struct mlimg_manifest *m = random_manifest(RANDOM_ANY_NAMES), *back;
		mlimg_autofree char *text = text_of(m), *again = NULL;

		back = parse(text);
		again = text_of(back);
		ASSERT_STR(text, again);
		ASSERT_EQ(m->n_entries, back->n_entries);
		for (size_t k = 0; k < m->n_entries; k++)
			check_same(&m->entries[k], &back->entries[k]);
		mlimg_manifest_free(m);
		mlimg_manifest_free(back);
	}
}

TEST(find_every_entry)
{
	struct mlimg_manifest *m;

	test_seed();
	m = random_manifest(RANDOM_ANY_NAMES);
	for (size_t i = 0; i < m->n_entries; i++)
		ASSERT(mlimg_manifest_find(m, m->entries[i].path) == &m->entries[i]);
	ASSERT(!mlimg_manifest_find(m, "no/such"));
	ASSERT(!mlimg_manifest_find(m, "\377\377\377"));
	mlimg_manifest_free(m);
}

/* Comments and empty lines go, keywords get into their order; the header stays. */
TEST(other_spellings)
{
	struct mlimg_manifest *m =
		parse("#mtree\n\n# mlimg-format 1\n# a comment\n# mlimg-\n"
		      ". time=0.000000000 gid=0 uid=0 mode=0755 type=dir\n#\n"
		      "./f tags=xattr:user.a: sha256digest=" DIGEST
		      " time=1.000000000 size=3 gid=0 uid=0 mode=0644 type=file\n");
	mlimg_autofree char *text = text_of(m);

	ASSERT_STR(text,
		"#mtree\n# mlimg-format 1\n# mlimg-\n"
		". type=dir mode=0755 uid=0 gid=0 time=0.000000000\n"
		"./f type=file mode=0644 uid=0 gid=0 size=3 time=1.000000000 "
		"sha256digest=" DIGEST " tags=xattr:user.a:\n");
	mlimg_manifest_free(m);
}

static void refused(const char *text, const char *message)
{
	struct mlimg_manifest *m = (struct mlimg_manifest *)0x1;
	struct mlimg_err err = MLIMG_ERR_INIT;

	ASSERT_FAILS(mlimg_manifest_parse(text, strlen(text), &m, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	ASSERT(m == (struct mlimg_manifest *)0x1);
}

TEST(refused_frame)
{
	refused("", "the manifest does not end with a newline");
	refused("#mtree", "the manifest does not end with a newline");
	refused("#mtree\n", "the manifest has no entries");
	refused("#MTREE\n. " OF_DIR "\n", "line 1: not '#mtree'");
	refused(". " OF_DIR "\n", "line 1: not '#mtree'");
	refused(ROOT "./f" OF_FILE, "the manifest does not end with a newline");
	refused(ROOT "# mlimg-format 1\n", "line 3: header line after the first entry");
	refused("#mtree\n./f" OF_FILE "\n", "line 2: the first entry is not the root '.'");
	refused("#mtree\n." OF_FILE "\n", "line 2: the root is no directory");
	refused(ROOT "." OF_DIR "\n", "line 3: '' is out of order");
}

TEST(refused_paths)
{
	refused(ROOT "f" OF_FILE "\n", "line 3: a path begins with './'");
	refused(ROOT "/f" OF_FILE "\n", "line 3: a path begins with './'");
	refused(ROOT "./" OF_FILE "\n", "line 3: a path begins with './'");
	refused(ROOT " " OF_FILE "\n", "line 3: a path begins with './'");
	refused(ROOT ".//f" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./." OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./.." OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a/../f" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a/" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a/./f" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\056\\056/f" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a\\057b" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\000" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\400" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\141" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\04" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\\s" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a\tb" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./\303\244" OF_FILE "\n", "line 3: malformed path");
	refused(ROOT "./a*" OF_FILE "\n", "line 3: malformed path");
}

TEST(refused_long_paths)
{
	char name[300], text[6000] = ROOT "./", path[5000] = "";

	memset(name, 'n', 256);
	name[256] = '\0';
	strcat(strcat(strcat(text, name), OF_FILE), "\n");
	refused(text, "line 3: malformed path");
	while (strlen(path) < MLIMG_PATH_MAX)
		strcat(path, "d/");
	path[MLIMG_PATH_MAX] = 'd';
	strcpy(text, ROOT "./");
	strcat(strcat(strcat(text, path), OF_FILE), "\n");
	refused(text, "line 3: malformed path");
}

TEST(refused_places)
{
	refused(ROOT "./b" OF_FILE "\n./a" OF_FILE "\n", "line 4: 'a' is out of order");
	refused(ROOT "./a" OF_FILE "\n./a" OF_FILE "\n", "line 4: 'a' is out of order");
	refused(ROOT "./a-" OF_DIR "\n./a/b" OF_FILE "\n", "line 4: 'a/b' is out of order");
	refused(ROOT "./a/b" OF_FILE "\n", "line 3: 'a/b' is in no directory");
	refused(ROOT "./a" OF_FILE "\n./a/b" OF_FILE "\n", "line 4: 'a/b' is in no directory");
	refused(ROOT "./a" OF_DIR "\n./a/b" OF_DIR "\n./a/c/d" OF_FILE "\n",
		"line 5: 'a/c/d' is in no directory");
	refused(ROOT "./a" OF_DIR "\n./b" OF_DIR "\n./bb/c" OF_FILE "\n",
		"line 5: 'bb/c' is in no directory");
}

TEST(refused_keywords)
{
	refused(ROOT "./f" OF_FILE " colour=red\n", "line 3: unknown keyword");
	refused(ROOT "./f" OF_FILE " \n", "line 3: unknown keyword");
	refused(ROOT "./f " OF_FILE "\n", "line 3: unknown keyword");
	refused(ROOT "./f" OF_FILE "\r\n", "line 3: malformed time");
	refused(ROOT "./f" OF_FILE " uid=0\n", "line 3: 'uid' is there twice");
	refused(ROOT "./f\n", "line 3: 'type' is missing");
	refused(ROOT "./f type=file mode=0644 uid=0 gid=0 time=0.000000000\n",
		"line 3: 'size' is missing");
	refused(ROOT "./l type=link mode=0777 uid=0 gid=0 time=0.000000000\n",
		"line 3: 'link' is missing");
	refused(ROOT "./c type=char mode=0777 uid=0 gid=0 time=0.000000000\n",
		"line 3: 'device' is missing");
	refused(ROOT "./d" OF_DIR " size=0\n", "line 3: 'size' with type=dir");
	refused(ROOT "./d" OF_DIR " link=x\n", "line 3: 'link' with type=dir");
	refused(ROOT "./d" OF_LINK " sha256digest=" DIGEST "\n",
		"line 3: 'sha256digest' with type=link");
	refused(ROOT "./f" OF_FILE " device=native,0,0\n", "line 3: 'device' with type=file");
}

/* An entry whose one keyword has this value. */
static void refused_value(const char *keyword, const char *value, const char *message)
{
	static const char *const good[][2] = {{"type", "file"}, {"mode", "0644"}, {"uid", "0"},
		{"gid", "0"}, {"size", "0"}, {"time", "0.000000000"}};
	char text[500] = ROOT "./f";
	bool is_among = false;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		bool is_this = strcmp(good[i][0], keyword) == 0;

		is_among |= is_this;
		strcat(strcat(strcat(text, " "), good[i][0]), "=");
		strcat(text, is_this ? value : good[i][1]);
	}
	if (!is_among)
		strcat(strcat(strcat(strcat(text, " "), keyword), "="), value);
	refused(strcat(text, "\n"), message);
}

TEST(refused_values)
{
	refused_value("type", "regular", "line 3: unknown type");
	refused_value("type", "", "line 3: unknown type");
	refused_value("mode", "644", "line 3: malformed mode");
	refused_value("mode", "00644", "line 3: malformed mode");
	refused_value("mode", "0648", "line 3: malformed mode");
	refused_value("uid", "4294967295", "line 3: malformed uid");
	refused_value("uid", "-1", "line 3: malformed uid");
	refused_value("uid", "00", "line 3: malformed uid");
	refused_value("gid", "18446744073709551616", "line 3: malformed gid");
	refused_value("gid", "", "line 3: malformed gid");
	refused_value("size", "9223372036854775808", "line 3: malformed size");
	refused_value("size", "1k", "line 3: malformed size");
	refused_value("time", "0", "line 3: malformed time");
	refused_value("time", "0.0", "line 3: malformed time");
	refused_value("time", "0.0000000000", "line 3: malformed time");
	refused_value("time", "-0.000000000", "line 3: malformed time");
	refused_value("time", "9223372036854775808.000000000", "line 3: malformed time");
	refused_value("time", "-9223372036854775809.000000000", "line 3: malformed time");
	refused_value("sha256digest", "abc", "line 3: malformed sha256digest");
	refused_value("sha256digest",
		"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
		"line 3: malformed sha256digest");
	refused_value("link", "", "line 3: malformed link");
	refused_value("device", "native,4096,0", "line 3: malformed device");
	refused_value("device", "native,0,1048576", "line 3: malformed device");
	refused_value("device", "native,0", "line 3: malformed device");
	refused_value("device", "native,0,0,0", "line 3: malformed device");
	refused_value("device", "linux,0,0", "line 3: malformed device");
}

TEST(refused_tags)
{
	refused_value("tags", "", "line 3: malformed tags");
	refused_value("tags", "red", "line 3: malformed tags");
	refused_value("tags", "xattr:user.a:,", "line 3: malformed tags");
	refused_value("tags", "xattr:user.a:,links:1:2", "line 3: malformed tags");
	refused_value("tags", "links:1:2,links:1:2", "line 3: malformed tags");
	refused_value("tags", "links:1", "line 3: malformed links");
	refused_value("tags", "links:0:2", "line 3: malformed links");
	refused_value("tags", "links:1:1", "line 3: malformed links");
	refused_value("tags", "links:1:2:3", "line 3: malformed links");
	refused_value("tags", "xattr:user.a", "line 3: malformed name of an xattr");
	refused_value("tags", "xattr::", "line 3: malformed name of an xattr");
	refused_value(
		"tags", "xattr:user.b:,xattr:user.a:", "line 3: xattr 'user.a' is out of order");
	refused_value(
		"tags", "xattr:user.a:,xattr:user.a:", "line 3: xattr 'user.a' is out of order");
	refused_value("tags", "xattr:user.a:A", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:AAAA=", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:A===", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:AB==", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:AAB=", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:AA==AAAA", "line 3: malformed value of xattr 'user.a'");
	refused_value("tags", "xattr:user.a:A-_A", "line 3: malformed value of xattr 'user.a'");
}

TEST(refused_hard_links)
{
	refused(ROOT "./d" OF_DIR " tags=links:1:2\n", "line 3: a directory has no hard links");
	refused(ROOT "./f" OF_FILE " tags=links:2:2\n", "line 3: hard link group 2 before group 1");
	refused(ROOT "./f" OF_FILE " tags=links:1:2\n./g" OF_FILE " tags=links:1:3\n",
		"line 4: 'g' differs from its hard link 'f'");
	refused(ROOT "./f" OF_FILE " tags=links:1:2\n./g" OF_LINK " tags=links:1:2\n",
		"line 4: 'g' differs from its hard link 'f'");
	refused(ROOT "./f" OF_FILE " tags=links:1:2\n./g" OF_FILE " sha256digest=" DIGEST
		     " tags=links:1:2\n",
		"line 4: 'g' differs from its hard link 'f'");
	refused(ROOT "./f" OF_FILE " tags=links:1:2\n./g" OF_FILE " tags=links:1:2\n./h" OF_FILE
		     " tags=links:1:2\n",
		"line 5: hard link group 1 has more than 2 names");
	/* a merged manifest may show fewer */
	mlimg_manifest_free(parse(ROOT "./f" OF_FILE " tags=links:1:3\n"));
}

TEST(refused_xattr_limits)
{
	size_t room = 200000;
	mlimg_autofree char *text = malloc(room);
	char *p = text + sprintf(text, ROOT "./f" OF_FILE " tags=");

	for (int i = 0; i <= MLIMG_XATTRS_MAX; i++)
		p += sprintf(p, "%sxattr:user.%04d:", i ? "," : "", i);
	strcpy(p, "\n");
	refused(text, "line 3: more than 1024 xattrs");
	p = text + sprintf(text, ROOT "./f" OF_FILE " tags=xattr:user.a:");
	memset(p, 'A', 87384); /* 65538 bytes */
	strcpy(p + 87384, "\n");
	refused(text, "line 3: malformed value of xattr 'user.a'");
	memset(p, 'A', 87388);
	strcpy(p + 87388, "\n");
	refused(text, "line 3: the value of xattr 'user.a' is too long");
}

TEST(refused_headers)
{
	char text[200000] = "#mtree\n", *p = text + strlen(text);

	for (int i = 0; i < 1025; i++)
		p += sprintf(p, "# mlimg-x\n");
	refused(text, "line 1026: header is too long");
	memset(text + 7, 'h', 2000);
	memcpy(text + 7, "# mlimg-", 8);
	strcpy(text + 2000, "\n");
	refused(text, "line 2: header is too long");
}

/*
 * Every prefix of a good manifest, and every single byte changed, is taken or refused, never worse.
 */
TEST(damaged)
{
	struct mlimg_manifest *m;
	struct mlimg_err err = MLIMG_ERR_INIT;

	test_seed();
	for (int i = 0; i < 2000; i++) {
		struct mlimg_manifest *good = random_manifest(RANDOM_ANY_NAMES);
		mlimg_autofree char *text = text_of(good);
		size_t size = strlen(text);

		for (uint64_t n = test_random(3); n > 0; n--)
			text[test_random(size)] ^= (char)(1 << test_random(8));
		if (test_random(2))
			size = test_random(size);
		if (mlimg_manifest_parse(text, size, &m, &err) == 0)
			mlimg_manifest_free(m);
		else
			ASSERT_EQ(err.code, -EUCLEAN);
		mlimg_manifest_free(good);
	}
}

/*
 * What a tool lists of a manifest must be its paths; escapes differ, so the names here have none.
 */
static void check_listing(const char *command, const struct mlimg_manifest *m)
{
	char line[300], expected[300];
	FILE *f;

	ASSERT_EQ(chdir(test_tmpdir()), 0);
	f = popen(command, "r");
	ASSERT(f);
	for (size_t i = 0; i < m->n_entries; i++) {
		const char *path = m->entries[i].path;

		if (!fgets(line, sizeof(line), f))
			FAIL("%s: ends before '%s'", command, path);
		snprintf(expected, sizeof(expected), "%s%s\n", *path ? "./" : ".", path);
		ASSERT_STR(line, expected);
	}
	ASSERT(!fgets(line, sizeof(line), f));
	ASSERT_EQ(pclose(f), 0);
}

TEST(ordinary_tools_read_it)
{
	struct mlimg_manifest *m;
	char path[300];
	FILE *f;

	test_seed();
	m = random_manifest(RANDOM_PLAIN_NAMES | RANDOM_NO_SOCKETS);
	snprintf(path, sizeof(path), "%s/m.mtree", test_tmpdir());
	f = fopen(path, "w");
	ASSERT(f);
	mlimg_manifest_put(m, collect, f);
	ASSERT_EQ(fclose(f), 0);
	check_listing("bsdtar -tf m.mtree", m);
	check_listing("mtree -C -k type -f m.mtree >list && cut -d' ' -f1 list", m);
	mlimg_manifest_free(m);
}
