/* SPDX-License-Identifier: MIT */
/* Hosts in the store, who runs on them, and what has been put there. */
#include "tools/store-host.h"

#include "tests/lib/store-case.h"
#include "tools/libvirt-pool.h"
#include "tools/tenant.h"

static void create(struct mlimg_store *store, const char *name)
{
	const char *layers[] = {images[OLD].build_id};
	const struct mlimg_store_new tenant = {
		.name = name, .layers = layers, .n_layers = 1, .fill = fill_tenant};
	struct mlimg_store_tenant t;

	ASSERT_OK(mlimg_store_tenant_create(store, &tenant, &t, &err), err);
}

static struct mlimg_store *store_with_host(void)
{
	static const struct mlimg_store_host east = {.name = "east",
		.uri = "qemu+ssh://root@example.org/system",
		.pool_path = "/srv/mlimg",
		.network = "default"};
	struct mlimg_store *store;

	make_images();
	store = open_store(MLIMG_STORE_MAKE);
	ASSERT(add_image(store, OLD));
	ASSERT_OK(mlimg_store_host_add(store, &east, &err), err);
	return store;
}

static void set_host(struct mlimg_store *store, const char *tenant, const char *host)
{
	struct mlimg_store_tenant t;

	ASSERT_OK(mlimg_store_tenant_find(store, tenant, &t, &err), err);
	ASSERT_OK(mlimg_store_host_set(store, t.id, host, &err), err);
}

static int list(const struct mlimg_store_host *host, void *ctx, struct mlimg_err *e)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%s:%u ", host->name, host->n_tenants);
	return 0;
}

TEST(a_host_is_kept_as_it_was_added)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	struct mlimg_store_host host = {.name = ""};

	ASSERT_OK(mlimg_store_host_find(store, "east", &host, &err), err);
	ASSERT_STR(host.uri, "qemu+ssh://root@example.org/system");
	ASSERT_STR(host.pool_path, "/srv/mlimg");
	ASSERT_STR(host.network, "default");
	ASSERT(host.added_s > 0 && host.n_tenants == 0);
	ASSERT_EQ(mlimg_store_host_of_uri(store, host.uri, &host, &err), 1);
	ASSERT_EQ(mlimg_store_host_of_uri(store, "qemu:///system", &host, &err), 0);
	ASSERT_FAILS(
		mlimg_store_host_find(store, "west", &host, &err), err, -ENOENT, "no host 'west'");
}

TEST(name_and_uri_are_one_hosts)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	struct mlimg_store_host host = {.name = "east", .uri = "qemu:///system"};

	ASSERT_FAILS(mlimg_store_host_add(store, &host, &err), err, -EEXIST,
		"there is a host 'east' already: qemu+ssh://root@example.org/system");
	host = (struct mlimg_store_host){
		.name = "west", .uri = "qemu+ssh://root@example.org/system"};
	ASSERT_FAILS(mlimg_store_host_add(store, &host, &err), err, -EEXIST,
		"'qemu+ssh://root@example.org/system' is host 'east' already");
	host = (struct mlimg_store_host){.name = "-x", .uri = "qemu:///system"};
	ASSERT_FAILS(mlimg_store_host_add(store, &host, &err), err, -EINVAL,
		"'-x' cannot be a host's name (1 to 63 letters, digits and ._-, the first a letter "
		"or digit)");
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
}

TEST(a_host_that_runs_tenants_stays)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	char text[128] = "";

	create(store, "bob");
	create(store, "alice");
	set_host(store, "bob", "east");
	ASSERT_FAILS(mlimg_store_host_remove(store, "east", &err), err, -EBUSY,
		"host 'east' runs tenant 'bob'");
	set_host(store, "alice", "east");
	ASSERT_FAILS(mlimg_store_host_remove(store, "east", &err), err, -EBUSY,
		"host 'east' runs tenant 'alice' and 1 more");
	ASSERT_OK(mlimg_store_host_each(store, list, text, &err), err);
	ASSERT_STR(text, "east:2 ");
	set_host(store, "alice", NULL);
	set_host(store, "bob", NULL);
	ASSERT_OK(mlimg_store_host_remove(store, "east", &err), err);
	ASSERT_FAILS(mlimg_store_host_remove(store, "east", &err), err, -ENOENT, "no host 'east'");
}

TEST(a_tenant_knows_its_host)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};

	create(store, "alice");
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_STR(t.host, "");
	ASSERT_FAILS(mlimg_store_host_set(store, t.row.id, "west", &err), err, -ENOENT,
		"no host 'west'");
	set_host(store, "alice", "east");
	mlimg_tenant_done(&t);
	ASSERT_OK(mlimg_tenant_load(store, "alice", &t, &err), err);
	ASSERT_STR(t.host, "east");
	ASSERT_STR(t.uri, "qemu+ssh://root@example.org/system");
}

static int count(const struct mlimg_store_volume *volume, void *ctx, struct mlimg_err *e)
{
	++*(int *)ctx;
	return 0;
}

TEST(volumes_are_known_until_the_host_goes)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	struct mlimg_store_volume v = {.name = "x.img",
					  .size_bytes = UINT64_C(1) << 40,
					  .mark = "1"},
				  there;
	int n = 0;

	memset(v.digest, 'a', sizeof(v.digest) - 1);
	ASSERT_EQ(mlimg_store_volume_get(store, "east", "x.img", &there, &err), 0);
	ASSERT_OK(mlimg_store_volume_set(store, "east", &v, &err), err);
	strcpy(v.mark, "2");
	ASSERT_OK(mlimg_store_volume_set(store, "east", &v, &err), err);
	ASSERT_EQ(mlimg_store_volume_get(store, "east", "x.img", &there, &err), 1);
	ASSERT_STR(there.mark, "2");
	ASSERT_STR(there.digest, v.digest);
	ASSERT_EQ(there.size_bytes >> 40, 1);
	ASSERT_OK(mlimg_store_volume_each(store, "east", count, &n, &err), err);
	ASSERT_EQ(n, 1);
	ASSERT_OK(mlimg_store_volume_forget(store, "east", "x.img", &err), err);
	ASSERT_OK(mlimg_store_volume_forget(store, "east", "x.img", &err), err);
	ASSERT_EQ(mlimg_store_volume_get(store, "east", "x.img", &there, &err), 0);
	ASSERT_OK(mlimg_store_volume_set(store, "east", &v, &err), err);
	ASSERT_OK(mlimg_store_host_remove(store, "east", &err), err);
	ASSERT_EQ(mlimg_store_volume_get(store, "east", "x.img", &there, &err), 0);
}

static void put(struct mlimg_store *store, const char *host, const char *id, const char *suffix)
{
	struct mlimg_store_volume v = {.size_bytes = 7, .mark = "1"};

	memset(v.digest, 'a', sizeof(v.digest) - 1);
	snprintf(v.name, sizeof(v.name), "%s%s", id, suffix);
	ASSERT_OK(mlimg_store_volume_set(store, host, &v, &err), err);
}

/* How many volumes of @host nobody uses; the first of them must be @first. */
static size_t unused(struct mlimg_store *store, const char *host, const char *first)
{
	struct mlimg_store_volume *volumes = NULL;
	size_t n = 77;

	ASSERT_OK(mlimg_store_volume_unused(store, host, &volumes, &n, &err), err);
	if (first)
		ASSERT_STR(volumes[0].name, first);
	free(volumes);
	return n;
}

TEST(what_no_generation_of_a_host_has_is_unused)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	const struct mlimg_store_host west = {.name = "west", .uri = "qemu+ssh://west/system"};
	char layer[MLIMG_STORE_VOLUME_SIZE];

	ASSERT_OK(mlimg_store_host_add(store, &west, &err), err);
	create(store, "alice");
	set_host(store, "alice", "east");
	ASSERT_EQ(unused(store, "east", NULL), 0);
	for (const char *host = "east"; host; host = *host == 'e' ? "west" : NULL) {
		put(store, host, images[OLD].build_id, ".img");
		put(store, host, "zz", ".kernel");
		put(store, host, "00", ".qcow2");
	}
	snprintf(layer, sizeof(layer), "%s.img", images[OLD].build_id);
	/* Of a kernel nobody knows; a layer that tenants of another host have is of no use there. */
	ASSERT_EQ(unused(store, "east", "zz.kernel"), 1);
	ASSERT_EQ(unused(store, "west", layer), 2);
	set_host(store, "alice", "west");
	ASSERT_EQ(unused(store, "east", layer), 2);
	ASSERT_EQ(unused(store, "west", "zz.kernel"), 1);
}

TEST(nothing_goes_while_a_guest_is_started)
{
	mlimg_autostore struct mlimg_store *store = store_with_host();
	struct mlimg_libvirt_pool start = {.store = store, .host = {.name = "east"}}, other = start,
				  gc = start;

	ASSERT_OK(mlimg_libvirt_pool_hold(&start, false, &err), err);
	ASSERT_OK(mlimg_libvirt_pool_hold(&other, false, &err), err);
	ASSERT_EQ(mlimg_libvirt_pool_hold(&gc, true, &err), -EBUSY);
	ASSERT_STR(err.text, "host 'east': a guest is being started there; try again");
	mlimg_libvirt_pool_close(&start);
	ASSERT_EQ(mlimg_libvirt_pool_hold(&gc, true, &err), -EBUSY);
	mlimg_libvirt_pool_close(&other);
	strcpy(other.host.name, "west");
	ASSERT_OK(mlimg_libvirt_pool_hold(&other, false, &err), err);
	ASSERT_OK(mlimg_libvirt_pool_hold(&gc, true, &err), err);
	mlimg_libvirt_pool_close(&gc);
	mlimg_libvirt_pool_close(&other);
}
