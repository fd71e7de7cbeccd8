/* SPDX-License-Identifier: MIT */
#include "tools/dpkg-status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int mlimg_package_cmp(const struct mlimg_package *a, const struct mlimg_package *b)
{
	int order = strcmp(a->name, b->name);

	return order ? order : strcmp(a->architecture, b->architecture);
}

static int by_name(const void *a, const void *b)
{
	const struct mlimg_package *x = a, *y = b;
	int order = mlimg_package_cmp(x, y);

	return order ? order : strcmp(x->version, y->version);
}

/* A stanza on its way. */
struct stanza {
	struct mlimg_package package;
	const char *status;
};

/* The value when the line is that field, without blanks around it; names of fields know no case. */
static const char *field(char *line, const char *name)
{
	size_t length = strlen(name);
	char *end;

	if (strncasecmp(line, name, length) != 0 || line[length] != ':')
		return NULL;
	line += length + 1;
	line += strspn(line, " \t");
	for (end = line + strlen(line); end > line && strchr(" \t\r", end[-1]);)
		*--end = '\0';
	return line;
}

static void take_line(struct stanza *s, char *line)
{
	const char *value;

	if ((value = field(line, "Package")))
		s->package.name = value;
	else if ((value = field(line, "Version")))
		s->package.version = value;
	else if ((value = field(line, "Architecture")))
		s->package.architecture = value;
	else if ((value = field(line, "Status")))
		s->status = value;
}

/* Status: what is wanted, an error flag, and what is there. */
static int is_installed(const char *status)
{
	const char *state = status ? strrchr(status, ' ') : NULL;

	return state && strcmp(state, " not-installed") != 0 && strcmp(state, " config-files") != 0;
}

static int end_stanza(struct mlimg_packages *p, size_t *room, struct stanza *s)
{
	struct mlimg_package package = s->package;
	const char *status = s->status;

	*s = (struct stanza){.status = NULL};
	if (!package.name || !package.name[0] || !package.version || !is_installed(status))
		return 0;
	if (!package.architecture)
		package.architecture = "";
	if (p->n_packages == *room) {
		size_t new_room = *room ? 2 * *room : 256;
		void *packages = realloc(p->packages, new_room * sizeof(*p->packages));

		if (!packages)
			return -ENOMEM;
		p->packages = packages;
		*room = new_room;
	}
	p->packages[p->n_packages++] = package;
	return 0;
}

int mlimg_dpkg_status_parse(char *text, struct mlimg_packages *ret_packages)
{
	struct mlimg_packages p = {.packages = NULL};
	struct stanza stanza = {.status = NULL};
	size_t room = 0;
	int ret = 0;

	while (ret == 0 && text) {
		char *line = strsep(&text, "\n");

		if (line[strspn(line, " \t\r")] == '\0')
			ret = end_stanza(&p, &room, &stanza);
		else
			take_line(&stanza, line);
	}
	if (ret == 0)
		ret = end_stanza(&p, &room, &stanza);
	if (ret < 0) {
		free(p.packages);
		return ret;
	}
	if (p.n_packages)
		qsort(p.packages, p.n_packages, sizeof(*p.packages), by_name);
	*ret_packages = p;
	return 0;
}
