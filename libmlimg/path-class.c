/* SPDX-License-Identifier: MIT */
#include "libmlimg/path-class.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/manifest-lex.h"
#include "libmlimg/manifest.h"
#include "libmlimg/path-glob.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/whiteout.h"

struct rule {
	const char *glob;
	const char *hook; /* of class merge; else NULL */
	enum mlimg_path_class class;
	enum mlimg_path_beside beside; /* of class config */
};

struct mlimg_path_classes {
	struct rule *rules; /* the last one that fits decides */
	size_t n_rules, rules_room;
	size_t n_defaults;
	struct mlimg_arena *arena;
};

/*
 * The directories of parts that are read whatever the names in them are. Where a line says alone,
 * the program takes dpkg's names as well: ifupdown's and nginx' globs are a mere "*".
 *
 * What dpkg, debconf and shadow keep beside their databases (NAME-, NAME-old) they make anew
 * themselves, and nothing reads it: a conflict there would be noise.
 */
static const char defaults[] = "** data\n"
			       "etc config\n"
			       "etc/NetworkManager/dispatcher.d config:dpkg-dist\n"
			       "etc/apparmor.d config:dpkg-dist\n"
			       "etc/apt/*.d config:dpkg-dist\n"
			       "etc/bash_completion.d config:dpkg-dist\n"
			       "etc/dnsmasq.d config:dpkg-dist\n"
			       "etc/grub.d config:dpkg-dist\n"
			       "etc/init.d config:dpkg-dist\n"
			       "etc/initramfs-tools/conf.d config:dpkg-dist\n"
			       "etc/initramfs-tools/hooks config:alone\n"
			       "etc/initramfs-tools/scripts config:alone\n"
			       "etc/logrotate.d config:dpkg-dist\n"
			       "etc/network/interfaces.d config:alone\n"
			       "etc/nginx/sites-enabled config:alone\n"
			       "usr owned\n"
			       "usr/local data\n"
			       "bin owned\n"
			       "sbin owned\n"
			       "lib* owned\n"
			       "boot owned\n"
			       "opt owned\n"
			       "etc/adjtime keep\n"
			       "etc/fstab keep\n"
			       "etc/hostname keep\n"
			       "etc/machine-id keep\n"
			       "etc/mtab keep\n"
			       "etc/resolv.conf keep\n"
			       "etc/ssh/ssh_host_*_key keep\n"
			       "etc/ssh/ssh_host_*_key.pub keep\n"
			       "var/lib/dbus/machine-id keep\n"
			       "var/lib/systemd/random-seed keep\n"
			       "etc/passwd accounts\n"
			       "etc/group accounts\n"
			       "etc/shadow accounts\n"
			       "etc/gshadow accounts\n"
			       "etc/subuid accounts\n"
			       "etc/subgid accounts\n"
			       "etc/passwd- keep\n"
			       "etc/group- keep\n"
			       "etc/shadow- keep\n"
			       "etc/gshadow- keep\n"
			       "etc/subuid- keep\n"
			       "etc/subgid- keep\n"
			       "etc/.pwd.lock keep\n"
			       "var/lib/dpkg packages\n"
			       "var/lib/dpkg/*-old keep\n"
			       "var/lib/dpkg/lock* keep\n"
			       "var/lib/apt/extended_states packages\n"
			       "var/cache/debconf/config.dat packages\n"
			       "var/cache/debconf/templates.dat packages\n"
			       "var/cache/debconf/*.dat-old keep\n";

const char *mlimg_path_class_name(enum mlimg_path_class class)
{
	static const char *const names[MLIMG_N_CLASSES] = {
		[MLIMG_CLASS_CONFIG] = "config",
		[MLIMG_CLASS_OWNED] = "owned",
		[MLIMG_CLASS_DATA] = "data",
		[MLIMG_CLASS_ACCOUNTS] = "accounts",
		[MLIMG_CLASS_PACKAGES] = "packages",
		[MLIMG_CLASS_DERIVED] = "derived",
		[MLIMG_CLASS_KEEP] = "keep",
		[MLIMG_CLASS_MERGE] = "merge",
	};

	return names[class];
}

const char *mlimg_path_class_defaults(void)
{
	return defaults;
}

/* --- files --- */

static bool is_hook_name(struct mlimg_span name)
{
	static const char other[] = "._-";

	for (size_t i = 0; i < name.size; i++) {
		char c = name.at[i], lower = (char)(c | 0x20);

		if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
			    (i && c && strchr(other, c))))
			return false;
	}
	return name.size > 0 && name.size <= MLIMG_CLASS_HOOK_MAX;
}

static const char *const besides[] = {
	[MLIMG_BESIDE_PLAIN] = "config",
	[MLIMG_BESIDE_DPKG_DIST] = "config:dpkg-dist",
	[MLIMG_BESIDE_NOWHERE] = "config:alone",
};

/* @return 0 when it is none; @ret_hook: of class merge, else empty; @ret_beside: of class config */
static enum mlimg_path_class class_of_name(
	struct mlimg_span name, struct mlimg_span *ret_hook, enum mlimg_path_beside *ret_beside)
{
	static const char prefix[] = "merge:";
	size_t size = sizeof(prefix) - 1;

	*ret_hook = (struct mlimg_span){NULL, 0};
	if (name.size > size && memcmp(name.at, prefix, size) == 0) {
		*ret_hook = (struct mlimg_span){name.at + size, name.size - size};
		return is_hook_name(*ret_hook) ? MLIMG_CLASS_MERGE : 0;
	}
	for (size_t i = 0; i < sizeof(besides) / sizeof(*besides); i++)
		if (mlimg_span_is(name, besides[i])) {
			*ret_beside = (enum mlimg_path_beside)i;
			return MLIMG_CLASS_CONFIG;
		}
	for (enum mlimg_path_class c = MLIMG_CLASS_OWNED; c < MLIMG_CLASS_MERGE; c++)
		if (mlimg_span_is(name, mlimg_path_class_name(c)))
			return c;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct mlimg_span trim(struct mlimg_span s)
{
	while (s.size && is_blank(s.at[0]))
		s.at++, s.size--;
	while (s.size && (is_blank(s.at[s.size - 1]) || s.at[s.size - 1] == '\r'))
		s.size--;
	return s;
}

/* The bytes of a glob up to the first blank that is not escaped. */
static size_t glob_size(struct mlimg_span s)
{
	size_t i = 0;

	while (i < s.size && !is_blank(s.at[i]))
		i += s.at[i] == '\\' ? 2 : 1;
	return i < s.size ? i : s.size;
}

static int add_line(
	struct mlimg_path_classes *classes, struct mlimg_span line, const char **ret_why)
{
	size_t size = glob_size(line);
	struct mlimg_span glob = {line.at, size};
	struct mlimg_span class = trim((struct mlimg_span){line.at + size, line.size - size});
	struct mlimg_span hook;
	struct rule rule = {.beside = MLIMG_BESIDE_PLAIN};

	rule.class = class_of_name(class, &hook, &rule.beside);
	while (glob.size && glob.at[0] == '/')
		glob.at++, glob.size--;
	/* A directory may be written as one. */
	while (glob.size > 1 && glob.at[glob.size - 1] == '/')
		glob.size--;
	if (!class.size)
		*ret_why = "no class";
	else if (!rule.class)
		*ret_why = "an unknown class";
	else if (!glob.size)
		*ret_why = "an empty glob";
	if (*ret_why)
		return 0;
	rule.glob = mlimg_arena_strndup(classes->arena, glob.at, glob.size);
	if (hook.size)
		rule.hook = mlimg_arena_strndup(classes->arena, hook.at, hook.size);
	if (!rule.glob || (hook.size && !rule.hook) ||
		mlimg_buffer_reserve(&classes->rules, &classes->rules_room,
			(classes->n_rules + 1) * sizeof(rule)) < 0)
		return -ENOMEM;
	*ret_why = mlimg_path_glob_flaw(rule.glob);
	if (!*ret_why)
		classes->rules[classes->n_rules++] = rule;
	return 0;
}

int mlimg_path_classes_add(struct mlimg_path_classes *classes, const char *name, const char *text,
	size_t size, struct mlimg_err *err)
{
	struct mlimg_span rest = {text, size};
	size_t before = classes->n_rules, n = 0;
	const char *why = NULL;
	int r = 0;

	if (size > MLIMG_CLASS_FILE_MAX)
		return mlimg_err_refuse(err, "%s: more than %d bytes", name, MLIMG_CLASS_FILE_MAX);
	if (size && memchr(text, '\0', size))
		return mlimg_err_refuse(err, "%s: a NUL", name);
	while (rest.size && r == 0 && !why) {
		struct mlimg_span line = trim(mlimg_span_cut(&rest, '\n'));

		n++;
		if (!line.size || line.at[0] == '#')
			continue;
		if (classes->n_rules - classes->n_defaults >= MLIMG_CLASS_LINES_MAX)
			why = "more lines than all files may have";
		else
			r = add_line(classes, line, &why);
	}
	if (r == 0 && !why)
		return 0;
	classes->n_rules = before;
	return r < 0 ? mlimg_err_set(err, r, "%s", name)
		     : mlimg_err_refuse(err, "%s: line %zu: %s", name, n, why);
}

/* --- the table --- */

struct mlimg_path_classes *mlimg_path_classes_new(void)
{
	struct mlimg_path_classes *classes = calloc(1, sizeof(*classes));

	if (!classes)
		return NULL;
	classes->arena = mlimg_arena_new();
	if (!classes->arena ||
		mlimg_path_classes_add(classes, "defaults", defaults, sizeof(defaults) - 1, NULL) <
			0) {
		mlimg_path_classes_free(classes);
		return NULL;
	}
	classes->n_defaults = classes->n_rules;
	return classes;
}

void mlimg_path_classes_free(struct mlimg_path_classes *classes)
{
	if (!classes)
		return;
	free(classes->rules);
	mlimg_arena_free(classes->arena);
	free(classes);
}

/* @may_be_cache: what lies there is what a program makes there. @return the line that decides */
static const struct rule *rule_of(
	const struct mlimg_path_classes *classes, const char *path, bool may_be_cache)
{
	static const struct rule cache = {.class = MLIMG_CLASS_DERIVED},
				 none = {.class = MLIMG_CLASS_DATA};
	char listed[MLIMG_LAYER_PATH_MAX + 1];

	for (size_t i = classes->n_rules; i-- > 0;) {
		if (may_be_cache && i + 1 == classes->n_defaults &&
			mlimg_rebuild_is_cache(path, listed))
			return &cache;
		if (mlimg_path_is_in_glob(path, classes->rules[i].glob))
			return &classes->rules[i];
	}
	return &none;
}

enum mlimg_path_class mlimg_path_class_of(
	const struct mlimg_path_classes *classes, const char *path)
{
	return rule_of(classes, path, true)->class;
}

enum mlimg_path_class mlimg_path_class_of_entry(
	const struct mlimg_path_classes *classes, const struct mlimg_entry *entry)
{
	return rule_of(
		classes, entry->path, entry->type == MLIMG_FILE || mlimg_entry_is_whiteout(entry))
		->class;
}

const char *mlimg_path_class_hook(const struct mlimg_path_classes *classes, const char *path)
{
	return rule_of(classes, path, true)->hook;
}

enum mlimg_path_beside mlimg_path_class_beside(
	const struct mlimg_path_classes *classes, const char *path)
{
	for (size_t i = classes->n_rules; i-- > 0;)
		if (classes->rules[i].class == MLIMG_CLASS_CONFIG &&
			mlimg_path_is_in_glob(path, classes->rules[i].glob))
			return classes->rules[i].beside;
	return MLIMG_BESIDE_PLAIN;
}
