/* SPDX-License-Identifier: MIT */
/**
 * @file disk-databases.h
 * Accounts and packages for the model of reconcile on the disk (disk-case.h): passwd, group and
 * shadow, dpkg's status and lists, and the packages' files (disk-packages.h). The system
 * layer of a stack has them, and the user changes them as useradd(8) and dpkg(1) do: a new file
 * takes the place of the old one. What they say must be what disk-records.h says.
 */
#ifndef MLIMG_TEST_DISK_DATABASES_H
#define MLIMG_TEST_DISK_DATABASES_H

#include "tests/lib/disk-packages.h"

#define RECORDS_MAX 32
#define SYSTEM_ID 100 /* the first of SYSTEM_IDS, so few that both sides often take the same */
#define SYSTEM_IDS 10

/** An account: of each value there are few. */
struct disk_account {
	char name[4];
	unsigned id, comment, shell, password;
};

struct databases {
	struct disk_account accounts[RECORDS_MAX];
	size_t n_accounts;
	struct disk_account groups[RECORDS_MAX]; /**< as they were read; or made for accounts */
	size_t n_groups;
	struct disk_package packages[RECORDS_MAX];
	size_t n_packages;
};

static bool has_databases; /**< whether the stacks of this process' cases have any */
/**
 * whether things are theirs: the user gives his to accounts, and what number 1 or 2 has in a layer
 * of the model is s1's or s2's
 */
static bool has_owners;

/** @return whether a path of a tree belongs to this, and not to the trees of the model */
TEST_UNUSED static bool is_of_databases(const char *path)
{
	static const char *const all[] = {
		"etc/passwd", "etc/group", "etc/shadow", "usr/share", "var/lib"};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (strncmp(path, all[i], strlen(all[i])) == 0)
			return true;
	return false;
}

TEST_UNUSED static struct disk_account *find_account(struct databases *d, const char *name)
{
	for (size_t i = 0; i < d->n_accounts; i++)
		if (strcmp(d->accounts[i].name, name) == 0)
			return &d->accounts[i];
	return NULL;
}

/** @return the user, or the group; by @p name, or with NULL by @p id */
TEST_UNUSED static const struct disk_account *find_owner(
	const struct databases *d, bool is_group, const char *name, unsigned id)
{
	const struct disk_account *all = is_group ? d->groups : d->accounts;

	for (size_t i = 0; i < (is_group ? d->n_groups : d->n_accounts); i++)
		if (name ? strcmp(all[i].name, name) == 0 : all[i].id == id)
			return &all[i];
	return NULL;
}

TEST_UNUSED static struct disk_account *find_id(struct databases *d, unsigned id)
{
	for (size_t i = 0; i < d->n_accounts; i++)
		if (d->accounts[i].id == id)
			return &d->accounts[i];
	return NULL;
}

TEST_UNUSED static struct disk_package *find_package(struct databases *d, const char *name)
{
	for (size_t i = 0; i < d->n_packages; i++)
		if (strcmp(d->packages[i].name, name) == 0)
			return &d->packages[i];
	return NULL;
}

TEST_UNUSED static void print_databases(const char *what, const struct databases *d)
{
	fprintf(stderr, "%s:", what);
	for (size_t i = 0; i < d->n_accounts; i++)
		fprintf(stderr, " %s=%u,c%u,s%u,p%u", d->accounts[i].name, d->accounts[i].id,
			d->accounts[i].comment, d->accounts[i].shell, d->accounts[i].password);
	for (size_t i = 0; i < d->n_packages; i++)
		fprintf(stderr, " %s=%u%s", d->packages[i].name, d->packages[i].version,
			d->packages[i].is_held ? ",held" : "");
	fputc('\n', stderr);
}

/* What number @id of the model is in a stack. */
TEST_UNUSED static uint32_t owner_of_model(struct databases *d, uint32_t id)
{
	char name[4] = {'s', (char)('0' + id), '\0'};
	const struct disk_account *a = has_owners && id ? find_account(d, name) : NULL;

	return a ? a->id : id;
}

/* --- random ones --- */

static void add_account(struct databases *d, char kind, unsigned first_id)
{
	struct disk_account a = {.comment = (unsigned)test_random(3),
		.shell = (unsigned)test_random(3),
		.password = (unsigned)test_random(3)};

	sprintf(a.name, "%c%u", kind, (unsigned)test_random(5));
	a.id = first_id + (unsigned)test_random(SYSTEM_IDS);
	if (!find_account(d, a.name) && !find_id(d, a.id) && d->n_accounts < RECORDS_MAX)
		d->accounts[d->n_accounts++] = a;
}

static void remove_account(struct databases *d)
{
	size_t last = d->n_accounts - 1;

	if (last == 0) /* root stays */
		return;
	d->accounts[1 + test_random(last)] = d->accounts[last];
	d->n_accounts = last;
}

static void change_account(struct databases *d)
{
	struct disk_account *a = &d->accounts[test_random(d->n_accounts)];

	switch (test_random(3)) {
	case 0: a->comment = (unsigned)test_random(3); break;
	case 1: a->shell = (unsigned)test_random(3); break;
	default: a->password = (unsigned)test_random(3);
	}
}

static void move_account(struct databases *d)
{
	unsigned id = SYSTEM_ID + (unsigned)test_random(SYSTEM_IDS);

	if (d->n_accounts > 1 && !find_id(d, id))
		d->accounts[1 + test_random(d->n_accounts - 1)].id = id;
}

static void set_package(struct databases *d, char kind)
{
	struct disk_package *there, p = {.version = 1 + (unsigned)test_random(4)};

	sprintf(p.name, "%c%u", kind, (unsigned)test_random(5));
	there = find_package(d, p.name);
	if (there)
		there->version = p.version;
	else if (d->n_packages < RECORDS_MAX)
		d->packages[d->n_packages++] = p;
}

static void remove_package(struct databases *d)
{
	size_t n = d->n_packages;

	if (n <= 1) /* dpkg does not remove itself */
		return;
	d->packages[test_random(n)] = d->packages[n - 1];
	d->n_packages = n - 1;
}

TEST_UNUSED static void change_system(struct databases *d)
{
	switch (test_random(7)) {
	case 0:
	case 1: add_account(d, 's', SYSTEM_ID); break;
	case 2: remove_account(d); break;
	case 3: change_account(d); break;
	case 4: move_account(d); break;
	case 5: remove_package(d); break;
	default: set_package(d, 'p');
	}
}

TEST_UNUSED static void random_databases(struct databases *d)
{
	*d = (struct databases){.accounts = {{.name = "r"}}, .n_accounts = 1};
	for (int i = 0; i < 8; i++) {
		add_account(d, 's', SYSTEM_ID);
		set_package(d, 'p');
	}
}

/** What a user does with them. */
TEST_UNUSED static void change_by_user(struct databases *d)
{
	switch (test_random(9)) {
	case 0: add_account(d, 'u', 1000); break;
	case 1: add_account(d, 't', SYSTEM_ID); break;
	case 2: add_account(d, 's', SYSTEM_ID); break;
	case 3: remove_account(d); break;
	case 4: change_account(d); break;
	case 5: remove_package(d); break;
	case 6:
		if (d->n_packages)
			d->packages[test_random(d->n_packages)].is_held = one_in(2);
		break;
	case 7: set_package(d, 'q'); break;
	default: set_package(d, 'p');
	}
}

/* --- on the disk --- */

TEST_UNUSED static bool has_text(const char *path, const char *text)
{
	mlimg_autofree char *there = NULL;
	size_t size;

	return mlimg_read_file(AT_FDCWD, path, 1 << 20, &there, &size, NULL) == 0 &&
		strcmp(there, text) == 0;
}

/*
 * Each account has a group of its name, and its number where that is free. A group whose account
 * there was not in @old may stay.
 */
static void fit_groups(struct databases *old, struct databases *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_groups; i++)
		if (find_account(d, d->groups[i].name) || !find_account(old, d->groups[i].name))
			d->groups[n++] = d->groups[i];
	d->n_groups = n;
	for (size_t i = 0; i < d->n_accounts; i++) {
		struct disk_account g = d->accounts[i];

		if (find_owner(d, true, g.name, 0))
			continue;
		while (find_owner(d, true, NULL, g.id))
			g.id += 100;
		ASSERT(d->n_groups < RECORDS_MAX);
		d->groups[d->n_groups++] = g;
	}
}

static void put_accounts(const char *root, const struct databases *d)
{
	char passwd[4096] = "", group[4096] = "", shadow[4096] = "";

	for (size_t i = 0; i < d->n_accounts; i++) {
		const struct disk_account *a = &d->accounts[i];

		sprintf(passwd + strlen(passwd), "%s:x:%u:%u:c%u:/:/bin/%u\n", a->name, a->id,
			find_owner(d, true, a->name, 0)->id, a->comment, a->shell);
		sprintf(shadow + strlen(shadow), "%s:$%u:19000:0:99999:7:::\n", a->name,
			a->password);
	}
	for (size_t i = 0; i < d->n_groups; i++)
		sprintf(group + strlen(group), "%s:x:%u:\n", d->groups[i].name, d->groups[i].id);
	put_text(root, "etc/passwd", "", passwd);
	put_text(root, "etc/group", "", group);
	put_text(root, "etc/shadow", "", shadow);
}

/* Files are written for another version alone, but all of them then, and the status always. */
static void put_packages(const char *root, struct databases *old, const struct databases *d)
{
	char status[8192] = "";

	for (size_t i = 0; i < d->n_packages; i++) {
		const struct disk_package *p = &d->packages[i],
					  *was = old ? find_package(old, p->name) : NULL;

		if (!was || was->version != p->version)
			put_package(root, p);
		sprintf(status + strlen(status),
			"Package: %s\nStatus: %s ok installed\nArchitecture: all\nVersion: %u\n\n",
			p->name, p->is_held ? "hold" : "install", p->version);
	}
	put_text(root, "var/lib/dpkg/status", "", status);
}

/** Write them into a root. @param old  what is there, or NULL: nothing, not even directories */
TEST_UNUSED static void write_databases(
	const char *root, struct databases *old, struct databases *d)
{
	static const char *const dirs[] = {
		"etc", "usr", "usr/share", FILE_DIR, "var", "var/lib", "var/lib/dpkg", LIST_DIR};

	for (size_t i = 0; !old && i < sizeof(dirs) / sizeof(*dirs); i++) {
		mlimg_autofree char *path = path_of(root, dirs[i], "");

		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			FAIL("%s: %s", path, strerror(errno));
	}
	if (!old || !has_owners)
		d->n_groups = 0;
	fit_groups(old ? old : d, d);
	if (!old || old->n_accounts != d->n_accounts ||
		memcmp(old->accounts, d->accounts, sizeof(d->accounts)) != 0)
		put_accounts(root, d);
	if (!old || old->n_packages != d->n_packages ||
		memcmp(old->packages, d->packages, sizeof(d->packages)) != 0)
		put_packages(root, old, d);
	for (size_t i = 0; old && i < old->n_packages; i++)
		if (!find_package(d, old->packages[i].name))
			remove_files_of(root, old->packages[i].name);
}

#endif
