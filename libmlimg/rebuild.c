/* SPDX-License-Identifier: MIT */
#include "libmlimg/rebuild.h"

#include <stdio.h>
#include <string.h>

#include "libmlimg/path.h"
#include "libmlimg/pattern.h"

/*
 * In what is listed and in commands '@' is the directory of the file (of what is listed), '%' what
 * the first '*' stands for. Names are given as exactly as programs choose them: what is like one of
 * these is dropped with no copy.
 */
struct cache {
	const char *pattern;
	const char *listed;  /* NULL: the file */
	const char *command; /* NULL: that of what is listed */
};

static const struct cache caches[] = {
	{"etc/ld.so.cache", NULL, "ldconfig"},
	{"etc/udev/hwdb.bin", NULL, "systemd-hwdb update"},
	{"lib/modules/*/modules.dep", NULL, "depmod %"},
	{"lib/modules/*/modules.alias", "@/modules.dep", NULL},
	{"lib/modules/*/modules.alias.bin", "@/modules.dep", NULL},
	{"lib/modules/*/modules.builtin.alias.bin", "@/modules.dep", NULL},
	{"lib/modules/*/modules.builtin.bin", "@/modules.dep", NULL},
	{"lib/modules/*/modules.dep.bin", "@/modules.dep", NULL},
	{"lib/modules/*/modules.devname", "@/modules.dep", NULL},
	{"lib/modules/*/modules.softdep", "@/modules.dep", NULL},
	{"lib/modules/*/modules.symbols", "@/modules.dep", NULL},
	{"lib/modules/*/modules.symbols.bin", "@/modules.dep", NULL},
	{"lib/modules/*/modules.weakdep", "@/modules.dep", NULL},
	{"lib/udev/hwdb.bin", NULL, "systemd-hwdb --usr update"},
	{"usr/lib/*/gdk-pixbuf-2.0/*/loaders.cache", NULL,
		"/usr/lib/%/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders --update-cache"},
	{"usr/lib/*/gio/modules/giomodule.cache", NULL, "/usr/lib/%/glib-2.0/gio-querymodules @"},
	{"usr/lib/*/gtk-2.0/*/immodules.cache", NULL,
		"/usr/lib/%/libgtk2.0-0/gtk-query-immodules-2.0 --update-cache"},
	{"usr/lib/*/gtk-3.0/*/immodules.cache", NULL,
		"/usr/lib/%/libgtk-3-0/gtk-query-immodules-3.0 --update-cache"},
	{"usr/lib/*/gtk-4.0/*/*/giomodule.cache", NULL, "/usr/lib/%/glib-2.0/gio-querymodules @"},
	{"usr/lib/modules/*/modules.dep", NULL, "depmod %"},
	{"usr/lib/modules/*/modules.alias", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.alias.bin", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.builtin.alias.bin", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.builtin.bin", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.dep.bin", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.devname", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.softdep", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.symbols", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.symbols.bin", "@/modules.dep", NULL},
	{"usr/lib/modules/*/modules.weakdep", "@/modules.dep", NULL},
	{"usr/lib/udev/hwdb.bin", NULL, "systemd-hwdb --usr update"},
	{"usr/share/applications/mimeinfo.cache", NULL, "update-desktop-database @"},
	{"usr/share/glib-2.0/schemas/gschemas.compiled", NULL, "glib-compile-schemas @"},
	{"usr/share/icons/*/icon-theme.cache", NULL, "update-icon-caches @"},
	{"usr/share/info/dir", NULL, "update-info-dir"},
	{"usr/share/info/dir.old", "@/dir", NULL},
	{"usr/share/mime/mime.cache", NULL, "update-mime-database @"},
	{"usr/share/mime/XMLnamespaces", "@/mime.cache", NULL},
	{"usr/share/mime/aliases", "@/mime.cache", NULL},
	{"usr/share/mime/generic-icons", "@/mime.cache", NULL},
	{"usr/share/mime/globs", "@/mime.cache", NULL},
	{"usr/share/mime/globs2", "@/mime.cache", NULL},
	{"usr/share/mime/icons", "@/mime.cache", NULL},
	{"usr/share/mime/magic", "@/mime.cache", NULL},
	{"usr/share/mime/subclasses", "@/mime.cache", NULL},
	{"usr/share/mime/treemagic", "@/mime.cache", NULL},
	{"usr/share/mime/types", "@/mime.cache", NULL},
	{"usr/share/mime/version", "@/mime.cache", NULL},
	{"var/cache/fontconfig/CACHEDIR.TAG", "var/cache/fontconfig", NULL},
	{"var/cache/fontconfig/*.cache-*", "var/cache/fontconfig", "fc-cache --system-only"},
	{"var/cache/ldconfig/aux-cache", "etc/ld.so.cache", NULL},
	{"var/cache/man/CACHEDIR.TAG", "var/cache/man", NULL},
	{"var/cache/man/cat*/*", "var/cache/man", NULL},
	{"var/cache/man/*/cat*/*", "var/cache/man", NULL},
	{"var/cache/man/*/index.db", "var/cache/man", NULL},
	{"var/cache/man/index.db", "var/cache/man", "mandb --quiet"},
	{"var/lib/mlocate/mlocate.db", NULL, "updatedb"},
	{"var/lib/plocate/plocate.db", NULL, "updatedb"},
	{"var/lib/systemd/catalog/database", NULL, "journalctl --update-catalog"},
	{"var/lib/texmf/ls-R", NULL, "mktexlsr"},
	{"var/lib/texmf/ls-R-TEX*", "@/ls-R", NULL},
};

static bool append(char *to, size_t room, const char *text, size_t size)
{
	size_t used = strlen(to);

	if (size >= room - used)
		return false;
	memcpy(to + used, text, size);
	to[used + size] = '\0';
	return true;
}

/* @return false when there is not enough room */
static bool expand(const struct cache *c, const char *template, const char *path, bool is_absolute,
	char *ret, size_t room)
{
	const char *slash = strrchr(path, '/'), *star = path + strcspn(c->pattern, "*");
	bool fits = true;

	ret[0] = '\0';
	for (; *template && fits; template ++) {
		if (*template == '@') {
			fits = !is_absolute || append(ret, room, "/", 1);
			fits = fits && append(ret, room, path, slash ? (size_t)(slash - path) : 0);
		} else if (*template == '%') {
			fits = append(ret, room, star, strcspn(star, "/"));
		} else {
			fits = append(ret, room, template, 1);
		}
	}
	return fits;
}

bool mlimg_rebuild_is_cache(const char *path, char ret_listed[MLIMG_LAYER_PATH_MAX + 1])
{
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		const struct cache *c = &caches[i];

		if (!mlimg_path_is_like(path, c->pattern))
			continue;
		if (strlen(path) > MLIMG_LAYER_PATH_MAX)
			return false;
		if (!c->listed)
			strcpy(ret_listed, path);
		else if (!expand(c, c->listed, path, false, ret_listed, MLIMG_LAYER_PATH_MAX + 1))
			return false;
		return mlimg_layer_path_is_valid(ret_listed);
	}
	return false;
}

bool mlimg_rebuild_command(const char *listed, char ret_command[MLIMG_REBUILD_COMMAND_MAX])
{
	if (!mlimg_layer_path_is_valid(listed))
		return false;
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		const struct cache *c = &caches[i];

		/* Something that is listed for others is in the table itself, or is a directory. */
		if (c->listed ? strcmp(c->listed, listed) == 0 && c->command
			      : mlimg_path_is_like(listed, c->pattern))
			return expand(c, c->command, listed, true, ret_command,
				MLIMG_REBUILD_COMMAND_MAX);
	}
	return false;
}

bool mlimg_rebuild_is_needed(const char *listed)
{
	static const char *const programs[] = {"depmod", "gdk-pixbuf-query-loaders",
		"gio-querymodules", "glib-compile-schemas", "gtk-query-immodules-2.0",
		"gtk-query-immodules-3.0", "ldconfig", "systemd-hwdb"};
	char command[MLIMG_REBUILD_COMMAND_MAX];

	if (!mlimg_rebuild_command(listed, command))
		return false;
	command[strcspn(command, " ")] = '\0';
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(mlimg_path_name(command), programs[i]) == 0)
			return true;
	return false;
}
