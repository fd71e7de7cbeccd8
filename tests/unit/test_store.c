/* SPDX-License-Identifier: MIT */
/* The store: what is found, refused and told; that it stays so is test_store_model.c's. */
#include "tools/store.h"

#include "libmlimg/io.h"
#include "tests/lib/store-case.h"
#include "tools/store-copy.h"

static void put(const char *path, const char *text)
{
	ASSERT_OK(mlimg_replace_file(AT_FDCWD, path, text, strlen(text), 0644, &err), err);
}

/* @return "kind name version", or what the failure said */
static const char *found(struct mlimg_store *store, const char *text, unsigned kinds, size_t *ret_n)
{
	static char said[MLIMG_ERR_TEXT_SIZE + 32];
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};

	if (mlimg_store_layer_find(store, text, kinds, &layer, ret_n, &err) < 0)
		snprintf(said, sizeof(said), "%d: %s", err.code, err.text);
	else
		snprintf(said, sizeof(said), "%s %s %s", mlimg_kind_name(layer.info.kind),
			layer.info.name, layer.info.version);
	return said;
}

/* "system debian 12.1 (0123...)" */
static const char *text_of(enum image i)
{
	static char text[4][MLIMG_STORE_LAYER_TEXT];
	static unsigned n;

	return mlimg_store_layer_text(&images[i], text[n++ % 4]);
}

TEST(layers_by_name_version_and_build_id)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	char wanted[MLIMG_ERR_TEXT_SIZE], prefix[65];
	size_t n = 0;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, PATCH) && add_image(store, WEB));
	ASSERT(!add_image(store, OLD));
	ASSERT_STR(found(store, "debian:12.1", 0, &n), "system debian 12.1");
	ASSERT_EQ(n, 1);
	ASSERT_STR(found(store, "debian", 0, &n), "patch debian 12.2");
	ASSERT_EQ(n, 2);
	ASSERT_STR(
		found(store, "debian", MLIMG_STORE_KIND(MLIMG_SYSTEM), &n), "system debian 12.1");
	ASSERT_EQ(n, 1);
	ASSERT_STR(found(store, "nginx", 0, NULL), "software nginx 1.0");
	snprintf(prefix, sizeof(prefix), "%.8s", images[WEB].build_id);
	ASSERT_STR(found(store, prefix, 0, NULL), "software nginx 1.0");
	ASSERT_STR(found(store, images[WEB].build_id, 0, NULL), "software nginx 1.0");
	prefix[7] = '\0';
	snprintf(wanted, sizeof(wanted), "%d: no layer '%s'", -ENOENT, prefix);
	ASSERT_STR(found(store, prefix, 0, NULL), wanted);
	snprintf(wanted, sizeof(wanted), "%d: no layer 'debian:13'", -ENOENT);
	ASSERT_STR(found(store, "debian:13", 0, NULL), wanted);
	snprintf(wanted, sizeof(wanted), "%d: no layer 'nginx'", -ENOENT);
	ASSERT_STR(found(store, "nginx", MLIMG_STORE_KIND(MLIMG_SYSTEM), NULL), wanted);
	/* The same version, for another system: nobody can know which is meant. */
	ASSERT(add_image(store, NEW) && add_image(store, WEB2));
	snprintf(wanted, sizeof(wanted), "%d: 'nginx:1.0' may be %s, %s", -ENOTUNIQ, text_of(WEB2),
		text_of(WEB));
	ASSERT_STR(found(store, "nginx:1.0", 0, NULL), wanted);
	snprintf(wanted, sizeof(wanted), "%d: 'debian:12.2' may be %s, %s", -ENOTUNIQ, text_of(NEW),
		text_of(PATCH));
	ASSERT_STR(found(store, "debian:12.2", 0, NULL), wanted);
	check_agreement(store);
}

TEST(layers_that_cannot_be_added)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_added added;
	char wanted[MLIMG_ERR_TEXT_SIZE];
	static char zeros[8192];

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD));
	snprintf(wanted, sizeof(wanted),
		"'images/other.img' is build %.20s of system debian 12.1, and the store has build "
		"%.20s of it",
		images[OTHER].build_id, images[OLD].build_id);
	ASSERT_FAILS(mlimg_store_layer_add(store, "images/other.img", false, &added, &err), err,
		-EEXIST, wanted);
	ASSERT_EQ(err.kind, MLIMG_ERR_FAILED);
	ASSERT_FAILS(mlimg_store_layer_add(store, "images/none.img", true, &added, &err), err,
		-ENOENT, "open 'images/none.img': No such file or directory");
	ASSERT_FAILS(mlimg_store_layer_add(store, "images", true, &added, &err), err, -EINVAL,
		"'images' is no regular file");
	shell("mlimg-mkfs --quiet --kind user --name u --size 32M images/user.img");
	ASSERT_FAILS(mlimg_store_layer_add(store, "images/user.img", false, &added, &err), err,
		-EUCLEAN,
		"'images/user.img' is a user layer: the store has layers that several can share");
	/* Its description is sound, its contents are not: only the copy's verification tells. */
	shell("sed -z 's/^web\\n$/bad\\n/' images/free.img >images/bad.img");
	ASSERT_FAILS(mlimg_store_layer_add(store, "images/bad.img", true, &added, &err), err,
		-EUCLEAN, "images/bad.img: its tree differs from its manifest in 1 entry");
	ASSERT_EQ(access("images/bad.img", F_OK), 0);
	ASSERT_OK(mlimg_replace_file(AT_FDCWD, "zeros", zeros, sizeof(zeros), 0644, &err), err);
	ASSERT_EQ(mlimg_store_layer_add(store, "zeros", false, &added, &err), -EUCLEAN);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
	check_agreement(store);
	shell("[ \"$(ls store/layers)\" = %s.img ]", images[OLD].build_id);
}

TEST(what_a_layer_lies_over_is_told)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_added added;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT_OK(mlimg_store_layer_add(store, image_path(WEB2), false, &added, &err), err);
	ASSERT_STR(added.missing, images[NEW].build_id);
	mlimg_store_layer_done(&added.layer);
	ASSERT_OK(mlimg_store_layer_add(store, image_path(PATCH), false, &added, &err), err);
	ASSERT_STR(added.missing, images[OLD].build_id);
	mlimg_store_layer_done(&added.layer);
	ASSERT(add_image(store, OLD));
	/* Asked again, when the patch provides it. */
	ASSERT_OK(mlimg_store_layer_add(store, image_path(WEB2), false, &added, &err), err);
	ASSERT_STR(added.missing, "");
	ASSERT_EQ(added.layer.info.n_over, 1);
	mlimg_store_layer_done(&added.layer);
}

TEST(moved_images_are_gone_and_whole)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_added added;
	struct stat st, moved;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	shell("cp images/old.img alone.img && ln images/web.img second.img");
	ASSERT_EQ(stat("alone.img", &st), 0);
	ASSERT_OK(mlimg_store_layer_add(store, "alone.img", true, &added, &err), err);
	mlimg_store_layer_done(&added.layer);
	ASSERT_EQ(access("alone.img", F_OK), -1);
	{
		mlimg_autofree char *path = mlimg_store_layer_path(store, images[OLD].build_id);

		ASSERT_EQ(stat(path, &moved), 0);
	}
	ASSERT_EQ(moved.st_ino, st.st_ino);
	ASSERT_EQ(moved.st_mode & 07777, 0444);
	/* One with a second name is not the caller's alone. */
	ASSERT_OK(mlimg_store_layer_add(store, "second.img", true, &added, &err), err);
	mlimg_store_layer_done(&added.layer);
	ASSERT_EQ(access("second.img", F_OK), -1);
	ASSERT_EQ(stat("images/web.img", &st), 0);
	ASSERT_EQ(st.st_nlink, 1);
	/* What is there already is not looked into, so that what was given may be the better one. */
	ASSERT_OK(mlimg_store_layer_add(store, "images/web.img", true, &added, &err), err);
	ASSERT(!added.is_new);
	mlimg_store_layer_done(&added.layer);
	ASSERT_EQ(access("images/web.img", F_OK), 0);
	check_agreement(store);
}

TEST(copies_are_the_same_by_every_way)
{
	shell("cd %s && head -c 3000000 /dev/urandom >a && truncate -s 9000000 a && "
	      "printf end >>a",
		test_tmpdir());
	ASSERT_EQ(chdir(test_tmpdir()), 0);
	for (enum mlimg_copy_how how = MLIMG_COPY_SHARE; how <= MLIMG_COPY_BYTES; how++) {
		mlimg_autoclose int from = open("a", O_RDONLY | O_CLOEXEC);
		mlimg_autoclose int to = open("b", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		ASSERT_OK(mlimg_copy_file(from, to, 9000003, how, "a", &err), err);
		shell("cmp a b && [ $(stat -c %%b b) -le $(($(stat -c %%b a) + 64)) ]");
	}
}

TEST(images_that_are_lost_or_damaged)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autostorelayer struct mlimg_store_layer layer = {.size_bytes = 0};
	mlimg_autofree char *path = NULL;
	char wanted[1024];
	int code;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, FREE) && add_image(store, OLD));
	ASSERT_OK(mlimg_store_layer_get(store, images[FREE].build_id, &layer, &err), err);
	path = mlimg_store_layer_path(store, images[FREE].build_id);
	ASSERT_OK(mlimg_store_layer_verify(store, &layer, &err), err);

	shell("cp %s good && chmod u+w %s && sed -zi 's/^web\\n$/bad\\n/' %s", path, path, path);
	snprintf(wanted, sizeof(wanted), "%.200s: its tree differs from its manifest in 1 entry",
		path);
	ASSERT_FAILS(mlimg_store_layer_verify(store, &layer, &err), err, -EUCLEAN, wanted);

	shell("truncate -s 8192 %s", path);
	snprintf(wanted, sizeof(wanted), "%s: has 8192 bytes, not %llu", path,
		(unsigned long long)layer.size_bytes);
	ASSERT_FAILS(mlimg_store_layer_verify(store, &layer, &err), err, -EUCLEAN, wanted);
	ASSERT(add_image(store, FREE));
	check_agreement(store);

	shell("rm -f %s && mkdir %s", path, path);
	snprintf(wanted, sizeof(wanted), "%s: is no regular file", path);
	ASSERT_FAILS(mlimg_store_layer_verify(store, &layer, &err), err, -EUCLEAN, wanted);

	shell("rmdir %s", path);
	snprintf(wanted, sizeof(wanted), "%s: is not there", path);
	ASSERT_FAILS(mlimg_store_layer_verify(store, &layer, &err), err, -EUCLEAN, wanted);
	ASSERT(add_image(store, FREE));
	check_agreement(store);

	/* Another layer under its name. */
	shell("cp -f store/layers/%s.img %s", images[OLD].build_id, path);
	layer.size_bytes = 0;
	mlimg_store_layer_done(&layer);
	ASSERT_OK(mlimg_store_layer_get(store, images[FREE].build_id, &layer, &err), err);
	code = mlimg_store_layer_verify(store, &layer, &err);
	ASSERT_EQ(code, -EUCLEAN);
	if (strstr(err.text, "bytes") == NULL) {
		snprintf(wanted, sizeof(wanted), "%s: is another layer: debian 12.1, build %.20s",
			path, images[OLD].build_id);
		ASSERT_STR(err.text, wanted);
	}
}

static void create(struct mlimg_store *store, const char *name, enum image bottom, enum image top)
{
	const char *layers[] = {images[bottom].build_id, images[top].build_id};
	const struct mlimg_store_new tenant = {
		.name = name, .layers = layers, .n_layers = 2, .fill = fill_tenant};
	struct mlimg_store_tenant t;

	ASSERT_OK(mlimg_store_tenant_create(store, &tenant, &t, &err), err);
	ASSERT_STR(t.name, name);
	ASSERT_EQ(t.current, 1);
	shell("[ \"$(cat store/tenants/%s/user.qcow2)\" = disk ]", t.id);
}

TEST(layers_in_use_are_not_removed)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	char wanted[MLIMG_ERR_TEXT_SIZE];

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	snprintf(wanted, sizeof(wanted), "%s is used by %s", text_of(OLD), text_of(WEB));
	ASSERT_FAILS(
		mlimg_store_layer_remove(store, images[OLD].build_id, &err), err, -EBUSY, wanted);
	create(store, "alice", OLD, WEB);
	create(store, "bob", OLD, WEB);
	snprintf(wanted, sizeof(wanted), "%s is used by tenant 'alice' (generation 1) and 1 more",
		text_of(WEB));
	ASSERT_FAILS(
		mlimg_store_layer_remove(store, images[WEB].build_id, &err), err, -EBUSY, wanted);
	ASSERT_OK(mlimg_store_tenant_remove(store, "alice", &err), err);
	ASSERT_OK(mlimg_store_tenant_remove(store, "bob", &err), err);
	shell("[ \"$(cat store/removed/*/user.qcow2 | xargs)\" = 'disk disk' ]");
	ASSERT_OK(mlimg_store_layer_remove(store, images[WEB].build_id, &err), err);
	ASSERT_OK(mlimg_store_layer_remove(store, images[OLD].build_id, &err), err);
	snprintf(wanted, sizeof(wanted), "no layer '%s'", images[OLD].build_id);
	ASSERT_FAILS(
		mlimg_store_layer_remove(store, images[OLD].build_id, &err), err, -ENOENT, wanted);
	check_agreement(store);
}

TEST(names_of_tenants)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	char longest[MLIMG_STORE_NAME_SIZE + 1];

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ASSERT(!mlimg_store_name_is_valid(longest));
	ASSERT(!mlimg_store_name_is_valid(""));
	ASSERT(!mlimg_store_name_is_valid(".a") && !mlimg_store_name_is_valid("-a"));
	ASSERT(!mlimg_store_name_is_valid("a/b") && !mlimg_store_name_is_valid("a b"));
	longest[MLIMG_STORE_NAME_SIZE - 1] = '\0';
	create(store, longest, OLD, WEB);
	create(store, "A.b-c_9", OLD, WEB);
	ASSERT_FAILS(mlimg_store_tenant_rename(store, "A.b-c_9", "-", &err), err, -EINVAL,
		"'-' cannot be a tenant's name (1 to 63 letters, digits and ._-, the first a "
		"letter "
		"or digit)");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	ASSERT_FAILS(mlimg_store_tenant_rename(store, "none", "x", &err), err, -ENOENT,
		"no tenant 'none'");
	create(store, "b", OLD, WEB);
	ASSERT_FAILS(mlimg_store_tenant_rename(store, "b", "A.b-c_9", &err), err, -EEXIST,
		"there is a tenant 'A.b-c_9' already");
	ASSERT_OK(mlimg_store_tenant_rename(store, "b", "b", &err), err);
	check_agreement(store);
}

/* What others see of a transaction that is taken back: nothing. */
TEST(transactions_lie_within_each_other)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	struct mlimg_store_added added;
	struct mlimg_store_tenant t;
	const char *layers[] = {NULL, NULL};
	uint32_t number = 0;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice", OLD, WEB);
	ASSERT_OK(mlimg_store_tenant_find(store, "alice", &t, &err), err);
	layers[0] = images[OLD].build_id;
	layers[1] = images[OLD].build_id;
	ASSERT_OK(mlimg_store_begin(store, &err), err);
	ASSERT_OK(mlimg_store_generation_add(store, t.id, layers, 1, &number, &err), err);
	ASSERT_EQ(number, 2);
	/* One that fails takes back itself, not the one that it lies in. */
	ASSERT_EQ(mlimg_store_generation_add(store, t.id, layers, 2, &number, &err), -EUCLEAN);
	ASSERT_OK(mlimg_store_generation_set_pending(store, t.id, 2, &err), err);
	ASSERT_FAILS(mlimg_store_layer_add(store, image_path(FREE), false, &added, &err), err,
		-EBUSY, "add-layer: not within a transaction");
	ASSERT_OK(mlimg_store_end(store, 0, &err), err);
	ASSERT_OK(mlimg_store_tenant_find(store, "alice", &t, &err), err);
	ASSERT_EQ(t.current, 1);
	ASSERT_EQ(t.pending, 2);
	ASSERT_OK(mlimg_store_begin(store, &err), err);
	ASSERT_OK(mlimg_store_generation_set_current(store, t.id, 2, &err), err);
	ASSERT_EQ(mlimg_store_end(store, -ECANCELED, &err), -ECANCELED);
	ASSERT_OK(mlimg_store_tenant_find(store, "alice", &t, &err), err);
	ASSERT_EQ(t.current, 1);
}

static int count_event(const struct mlimg_store_event *event, void *ctx, struct mlimg_err *e)
{
	char *all = ctx;

	snprintf(all + strlen(all), 256 - strlen(all), "%s ", event->kind);
	return 0;
}

static int ignore_finding(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	return 0;
}

TEST(events_are_kept_as_long_as_they_are_the_newest)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	const struct mlimg_store_gc gc = {.kept_events = 2, .fn = ignore_finding};
	char said[256] = "";

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice", OLD, WEB);
	ASSERT_OK(mlimg_store_tenant_rename(store, "alice", "bob", &err), err);
	ASSERT_OK(mlimg_store_event_each(store, NULL, 3, count_event, said, &err), err);
	ASSERT_STR(said, "renamed created added ");
	said[0] = '\0';
	ASSERT_OK(mlimg_store_event_each(store, images[OLD].build_id, 3, count_event, said, &err),
		err);
	ASSERT_STR(said, "added ");
	ASSERT_OK(mlimg_store_gc(store, &gc, &err), err);
	said[0] = '\0';
	ASSERT_OK(mlimg_store_event_each(store, NULL, 9, count_event, said, &err), err);
	ASSERT_STR(said, "renamed created ");
}

/* Every step is one transaction, in order; a schema that is newer than the program is refused. */
TEST(schemas_follow_each_other)
{
	const char *all[16];
	const size_t n_known = mlimg_store_schema_n;
	struct mlimg_db *db = NULL;
	struct mlimg_store *store = NULL;
	enum mlimg_store_state state;
	char wanted[1024];
	int64_t n = 0;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD));
	mlimg_store_close(store);
	ASSERT(n_known + 3 <= 16);
	for (size_t i = 0; i < n_known; i++)
		all[i] = mlimg_store_schema[i];
	all[n_known] = "CREATE TABLE another (uri TEXT NOT NULL) STRICT;";
	all[n_known + 1] = "CREATE TABLE another (x);";
	all[n_known + 2] = "CREATE TABLE never (x);";
	/* A program that knows one more makes it, of a store with something in it. */
	ASSERT_OK(mlimg_store_open_schema("store", MLIMG_STORE_USE, all, n_known + 1, &store, &err),
		err);
	check_agreement(store);
	ASSERT(!add_image(store, OLD) && add_image(store, WEB));
	mlimg_store_close(store);
	ASSERT_OK(mlimg_db_open("store/store.db", MLIMG_DB_WRITE, &db, &err), err);
	ASSERT_OK(mlimg_store_schema_look(db, "x", n_known + 2, &state, &err), err);
	ASSERT_EQ(state, MLIMG_STORE_OLDER);
	/* The second after it fails: the first stays. */
	ASSERT_EQ(mlimg_store_schema_bring(db, all, n_known + 3, &err), -EIO);
	ASSERT_OK(mlimg_store_schema_look(db, "x", n_known + 1, &state, &err), err);
	ASSERT_EQ(state, MLIMG_STORE_READY);
	ASSERT_EQ(
		mlimg_db_get(db, "SELECT count(*) FROM another", MLIMG_DB_NO_VALUES, &n, &err), 1);
	ASSERT_EQ(mlimg_db_get(db, "SELECT count(*) FROM layer", MLIMG_DB_NO_VALUES, &n, &err), 1);
	ASSERT_EQ(n, 2);
	mlimg_db_close(db);
	snprintf(wanted, sizeof(wanted),
		"'%s/store/store.db' has schema %zu, this program knows %zu: use a newer one",
		test_tmpdir(), n_known + 1, n_known);
	ASSERT_FAILS(
		mlimg_store_open("store", MLIMG_STORE_MAKE, &store, &err), err, -EUCLEAN, wanted);
}

/* @return what opening it says */
static const char *refused(enum mlimg_store_access access)
{
	static char said[MLIMG_ERR_TEXT_SIZE + 32];
	struct mlimg_store *store = NULL;

	if (mlimg_store_open("store", access, &store, &err) == 0) {
		mlimg_store_close(store);
		return "nothing";
	}
	snprintf(said, sizeof(said), "%d %d: %s", err.code, err.kind, err.text);
	return said;
}

TEST(directories_that_are_no_store)
{
	char wanted[1024];
	const char *dir = test_tmpdir();

	ASSERT_EQ(chdir(dir), 0);
	snprintf(wanted, sizeof(wanted),
		"%d 0: '%s/store': no store is there; 'mlimg-store add' makes one", -ENOENT, dir);
	ASSERT_STR(refused(MLIMG_STORE_USE), wanted);
	shell("mkdir store store/lost+found");
	ASSERT_STR(refused(MLIMG_STORE_USE), wanted);
	ASSERT_EQ(access("store/lock", F_OK), -1);
	put("store/mine", "");
	snprintf(wanted, sizeof(wanted), "%d 2: '%s/store' is no store, and not empty", -EUCLEAN,
		dir);
	ASSERT_STR(refused(MLIMG_STORE_USE), wanted);
	ASSERT_STR(refused(MLIMG_STORE_MAKE), wanted);
	shell("[ \"$(ls store | xargs)\" = 'lost+found mine' ] && rm store/mine");
	put("store/store.db", "my own list of shops");
	snprintf(wanted, sizeof(wanted),
		"%d 2: database '%s/store/store.db' is damaged: file is not a database", -EUCLEAN,
		dir);
	ASSERT_STR(refused(MLIMG_STORE_MAKE), wanted);
	shell("rm store/store.db");
	ASSERT_STR(refused(MLIMG_STORE_MAKE), "nothing");
	ASSERT_STR(refused(MLIMG_STORE_USE), "nothing");
	shell("rm -r store && touch store");
	snprintf(wanted, sizeof(wanted), "%d 0: open '%s/store': Not a directory", -ENOTDIR, dir);
	ASSERT_STR(refused(MLIMG_STORE_USE), wanted);
}

static void make_foreign(const char *sql)
{
	struct mlimg_db *db = NULL;

	shell("rm -rf store && mkdir store");
	ASSERT_OK(mlimg_db_open("store/store.db", MLIMG_DB_CREATE, &db, &err), err);
	ASSERT_OK(mlimg_db_script(db, sql, &err), err);
	mlimg_db_close(db);
}

TEST(databases_of_others_and_damaged_ones)
{
	char wanted[1024], malformed[1024];
	const char *dir = test_tmpdir();
	struct mlimg_store *store;

	make_images();
	snprintf(wanted, sizeof(wanted), "%d 2: '%s/store/store.db' is no store's database",
		-EUCLEAN, dir);
	make_foreign("PRAGMA application_id = 7; CREATE TABLE x (y);");
	ASSERT_STR(refused(MLIMG_STORE_MAKE), wanted);
	ASSERT_EQ(access("store/lock", F_OK), -1);
	make_foreign("CREATE TABLE x (y);");
	ASSERT_STR(refused(MLIMG_STORE_MAKE), wanted);
	shell("rm -r store");
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	mlimg_store_close(store);
	shell("cp store/store.db good.db");
	/* Behind the header, and the table of tables. */
	shell("dd if=/dev/urandom of=store/store.db bs=1 seek=100 count=3996 conv=notrunc "
	      "status=none");
	snprintf(malformed, sizeof(malformed),
		"%d 2: database '%s/store/store.db' is damaged: database disk image is malformed",
		-EUCLEAN, dir);
	ASSERT_STR(refused(MLIMG_STORE_USE), malformed);
	shell("cp good.db store/store.db && truncate -s 9000 store/store.db");
	ASSERT_STR(refused(MLIMG_STORE_USE), malformed);
	/* Images are as they were; with the database put back nothing is lost. */
	shell("cp good.db store/store.db");
	store = open_store(MLIMG_STORE_USE);
	check_agreement(store);
	ASSERT(!add_image(store, OLD) && !add_image(store, WEB));
	mlimg_store_close(store);
}

static int tell(const struct mlimg_store_finding *f, void *ctx, struct mlimg_err *e)
{
	char *all = ctx;

	snprintf(all + strlen(all), 1024 - strlen(all), "%d %.15s\n", (int)f->found, f->what);
	return 0;
}

/* What no row tells of, and what a row tells of that is not there. */
TEST(files_without_rows_and_rows_without_files)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	const struct mlimg_store_gc gc = {.kept_events = 100, .fn = ignore_finding};
	struct mlimg_store_tenant t;
	char said[1024] = "", wanted[1024];

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD) && add_image(store, WEB));
	create(store, "alice", OLD, WEB);
	ASSERT_OK(mlimg_store_tenant_find(store, "alice", &t, &err), err);
	shell("cd store && rm -f layers/%s.img && mv tenants/%s x && echo >layers/%064d.img",
		images[OLD].build_id, t.id, 7);
	ASSERT_OK(mlimg_store_check(store, tell, said, &err), err);
	snprintf(wanted, sizeof(wanted), "%d layers/%.8s\n%d tenants/%.7s\n%d layers/00000000\n",
		MLIMG_STORE_LOST, images[OLD].build_id, MLIMG_STORE_LOST, t.id, MLIMG_STORE_ORPHAN);
	ASSERT_STR(said, wanted);
	shell("cd store && mv x tenants/%s && echo >layers/mine && mkdir tenants/%032d", t.id, 7);
	ASSERT_OK(mlimg_store_gc(store, &gc, &err), err);
	said[0] = '\0';
	ASSERT(add_image(store, OLD));
	ASSERT_OK(mlimg_store_check(store, tell, said, &err), err);
	snprintf(wanted, sizeof(wanted), "%d layers/mine\n%d tenants/0000000\n",
		MLIMG_STORE_FOREIGN, MLIMG_STORE_FOREIGN);
	ASSERT_STR(said, wanted);
}
