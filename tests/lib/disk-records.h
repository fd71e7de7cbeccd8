/* SPDX-License-Identifier: MIT */
/**
 * @file disk-records.h
 * Reads the databases of disk-databases.h back, and says what must be in them after a change of the
 * stack: by the tables of libmlimg/accounts.h and libmlimg/packages.h, record by record, and apart
 * from the code that merges them.
 */
#ifndef MLIMG_TEST_DISK_RECORDS_H
#define MLIMG_TEST_DISK_RECORDS_H

#include <dirent.h>

#include "tests/lib/disk-databases.h"

/* --- reading --- */

static char *read_text(const char *root, const char *path)
{
	mlimg_autofree char *whole = path_of(root, path, "");
	char *text;
	size_t size;

	if (mlimg_read_file(AT_FDCWD, whole, 1 << 20, &text, &size, NULL) < 0)
		FAIL("'%s' cannot be read", whole);
	return text;
}

#define for_each_line(line, text)                                                 \
	for (char *line##_save, *line = strtok_r(text, "\n", &line##_save); line; \
		line = strtok_r(NULL, "\n", &line##_save))

static void read_accounts(const char *root, struct databases *d)
{
	mlimg_autofree char *passwd = read_text(root, "etc/passwd"),
			    *group = read_text(root, "etc/group"),
			    *shadow = read_text(root, "etc/shadow");
	size_t n_shadows = 0;

	for_each_line(line, passwd)
	{
		struct disk_account *a = &d->accounts[d->n_accounts++], read = {.id = 0};
		unsigned group_id;

		ASSERT(d->n_accounts < RECORDS_MAX);
		if (sscanf(line, "%3[^:]:x:%u:%u:c%u:/:/bin/%u", read.name, &read.id, &group_id,
			    &read.comment, &read.shell) != 5 ||
			(group_id != read.id && !has_owners))
			FAIL("passwd has '%s'", line);
		*a = read;
	}
	for_each_line(line, group)
	{
		struct disk_account g = {.id = 0}, *a;

		ASSERT(d->n_groups < RECORDS_MAX);
		if (sscanf(line, "%3[^:]:x:%u:", g.name, &g.id) != 2 ||
			((!(a = find_account(d, g.name)) || a->id != g.id) && !has_owners))
			FAIL("group has '%s'", line);
		d->groups[d->n_groups++] = g;
	}
	for_each_line(line, shadow)
	{
		char name[4];
		unsigned password;
		struct disk_account *a;

		if (sscanf(line, "%3[^:]:$%u:19000:0:99999:7:::", name, &password) != 2 ||
			!(a = find_account(d, name)))
			FAIL("shadow has '%s'", line);
		a->password = password;
		n_shadows++;
	}
	if (!has_owners)
		ASSERT_EQ(d->n_groups, d->n_accounts);
	ASSERT_EQ(n_shadows, d->n_accounts);
}

/* A whiteout in a directory that nothing shows in is listed by the kernel, and denied. */
static void check_dir_of(const char *root, const char *name)
{
	char path[PATH_SIZE], entry[PATH_SIZE + 300];
	mlimg_autoclosedir DIR *dir = opendir(dir_of(root, name, path));
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		snprintf(entry, sizeof(entry), "%s/%s", path, e->d_name);
		if (!user_type(entry))
			FAIL("'%s' is listed, and is not there", entry);
	}
}

/* Each is listed at the version whose files are there. */
static void check_files_of(const char *root, const char *name, const struct disk_package *p)
{
	char text[32], path[PATH_SIZE];

	sprintf(text, "%s %u\n", name, p ? p->version : 0);
	file_of(root, name, path);
	if (p ? !has_text(path, text) : user_type(path) != 0)
		FAIL("'%s' is not as it is listed: %s", path, p ? text : "not at all");
	odd_file_of(root, name, path);
	if (p && p->version % 2 ? !has_text(path, text) : user_type(path) != 0)
		FAIL("'%s' is not as it is listed: %s", path, p ? text : "not at all");
	if (!user_type(list_of(root, name, path)) != !p)
		FAIL("'%s' is not as it is listed: %s", path, p ? text : "not at all");
	check_dir_of(root, name);
}

static void read_packages(const char *root, struct databases *d)
{
	mlimg_autofree char *status = read_text(root, "var/lib/dpkg/status");
	struct disk_package p = {.version = 0};
	char want[16];

	for_each_line(line, status)
	{
		if (sscanf(line, "Package: %3s", p.name) == 1 ||
			strcmp(line, "Architecture: all") == 0)
			continue;
		if (sscanf(line, "Status: %15s ok installed", want) == 1) {
			p.is_held = strcmp(want, "hold") == 0;
			continue;
		}
		if (sscanf(line, "Version: %u", &p.version) != 1)
			FAIL("status has '%s'", line);
		ASSERT(d->n_packages < RECORDS_MAX);
		d->packages[d->n_packages++] = p;
	}
	for (int kind = 'p'; kind <= 'q'; kind++)
		for (int i = 0; i < 5; i++) {
			char name[] = {(char)kind, (char)('0' + i), '\0'};

			check_files_of(root, name, find_package(d, name));
		}
}

/** Read all that is in a root, which must be sound in itself. */
TEST_UNUSED static void read_databases(const char *root, struct databases *ret)
{
	*ret = (struct databases){.n_accounts = 0};
	read_accounts(root, ret);
	read_packages(root, ret);
	for (size_t i = 0; i < ret->n_accounts; i++)
		if (find_account(ret, ret->accounts[i].name) != &ret->accounts[i] ||
			find_id(ret, ret->accounts[i].id) != &ret->accounts[i])
			FAIL("'%s' or its number %u is there twice", ret->accounts[i].name,
				ret->accounts[i].id);
	for (size_t i = 0; i < ret->n_packages; i++)
		if (find_package(ret, ret->packages[i].name) != &ret->packages[i])
			FAIL("'%s' is listed twice", ret->packages[i].name);
}

/* --- what must be there --- */

/** The three sides and what came of them. */
struct records {
	struct databases *base, *next, *mine, *after;
};

#define WRONG(what, name)                                                                      \
	FAIL("%s '%s': base %d, next %d, mine %d, after %d", what, name, b ? 1 : 0, n ? 1 : 0, \
		m ? 1 : 0, a ? 1 : 0)

/* @return the value that only one changed, or mine. A value that is not there is like no other */
static unsigned value_of(const unsigned *base, const unsigned *next, const unsigned *mine)
{
	if (!mine || !next)
		return mine ? *mine : *next;
	return base && *mine == *base ? *next : *mine;
}

static bool is_changed(const struct disk_account *b, const struct disk_account *m)
{
	return b->comment != m->comment || b->shell != m->shell || b->password != m->password ||
		b->id != m->id;
}

/* @return whether another account of the user's has the number */
static bool is_taken(const struct records *r, unsigned id, const char *name)
{
	const struct disk_account *other = find_id(r->mine, id);

	return other && strcmp(other->name, name) != 0;
}

static void check_number(const struct records *r, const char *name)
{
	const struct disk_account *b = find_account(r->base, name),
				  *n = find_account(r->next, name),
				  *m = find_account(r->mine, name),
				  *a = find_account(r->after, name);

	if (m && !n) {
		/* One that the new stack has given up, and now has for another, may give way. */
		if (a->id != m->id && !(b && find_id(r->next, m->id)))
			WRONG("the user's number of", name);
	} else if (m && (!b || m->id != b->id)) {
		if (a->id != m->id)
			WRONG("the number that the user has given to", name);
	} else if (!is_taken(r, n->id, name)) {
		if (a->id != n->id)
			WRONG("the new number of", name);
	}
}

static void check_account(const struct records *r, const char *name)
{
	const struct disk_account *b = find_account(r->base, name),
				  *n = find_account(r->next, name),
				  *m = find_account(r->mine, name),
				  *a = find_account(r->after, name);
	bool is_wanted = m ? n || !b || is_changed(b, m) : n && !b;

	if (is_wanted != (a != NULL))
		WRONG(is_wanted ? "lost account" : "unwanted account", name);
	if (!a)
		return;
	if (a->comment !=
			value_of(b ? &b->comment : NULL, n ? &n->comment : NULL,
				m ? &m->comment : NULL) ||
		a->shell !=
			value_of(
				b ? &b->shell : NULL, n ? &n->shell : NULL, m ? &m->shell : NULL) ||
		a->password !=
			value_of(b ? &b->password : NULL, n ? &n->password : NULL,
				m ? &m->password : NULL))
		WRONG("fields of account", name);
	check_number(r, name);
}

/* @return the version that is to be there; 0: none */
static unsigned version_of(
	const struct disk_package *b, const struct disk_package *n, const struct disk_package *m)
{
	unsigned base = b ? b->version : 0, next = n ? n->version : 0, mine = m ? m->version : 0;

	if (mine == base)
		return next;
	if (!mine || !next || next == base || (m && m->is_held))
		return mine;
	return mine > next ? mine : next;
}

static void check_package(const struct records *r, const char *name)
{
	const struct disk_package *b = find_package(r->base, name),
				  *n = find_package(r->next, name),
				  *m = find_package(r->mine, name),
				  *a = find_package(r->after, name);

	if ((a ? a->version : 0) != version_of(b, n, m))
		WRONG("version of package", name);
	if (a && m && a->is_held != m->is_held)
		WRONG("hold of package", name);
}

/** Check what a change of the stack has made of the user's databases. */
TEST_UNUSED static void check_records(const struct records *r)
{
	struct databases *all[] = {r->base, r->next, r->mine, r->after};

	for (size_t t = 0; t < 4; t++) {
		for (size_t i = 0; i < all[t]->n_accounts; i++)
			check_account(r, all[t]->accounts[i].name);
		for (size_t i = 0; i < all[t]->n_packages; i++)
			check_package(r, all[t]->packages[i].name);
	}
}

#endif
