/* SPDX-License-Identifier: MIT */
#include "libmlimg/rebuild.h"

#include "tests/lib/test.h"

/* The file is listed as @listed, and that is rebuilt by @command. */
static void check(const char *path, const char *listed, const char *command)
{
	char found[MLIMG_LAYER_PATH_MAX + 1], by[MLIMG_REBUILD_COMMAND_MAX];

	if (!mlimg_rebuild_is_cache(path, found))
		FAIL("'%s' is no cache", path);
	ASSERT_STR(found, listed);
	if (!mlimg_rebuild_command(found, by))
		FAIL("nothing rebuilds '%s'", found);
	ASSERT_STR(by, command);
}

static void check_none(const char *path)
{
	char found[MLIMG_LAYER_PATH_MAX + 1];

	if (mlimg_rebuild_is_cache(path, found))
		FAIL("'%s' is a cache", path);
}

#define LIB "usr/lib/x86_64-linux-gnu/"

TEST(caches)
{
	check("etc/ld.so.cache", "etc/ld.so.cache", "ldconfig");
	check("var/cache/ldconfig/aux-cache", "etc/ld.so.cache", "ldconfig");
	check("usr/share/icons/hicolor/icon-theme.cache",
		"usr/share/icons/hicolor/icon-theme.cache",
		"update-icon-caches /usr/share/icons/hicolor");
	check("usr/share/mime/mime.cache", "usr/share/mime/mime.cache",
		"update-mime-database /usr/share/mime");
	check("usr/share/mime/globs2", "usr/share/mime/mime.cache",
		"update-mime-database /usr/share/mime");
	check("usr/share/applications/mimeinfo.cache", "usr/share/applications/mimeinfo.cache",
		"update-desktop-database /usr/share/applications");
	check("usr/share/glib-2.0/schemas/gschemas.compiled",
		"usr/share/glib-2.0/schemas/gschemas.compiled",
		"glib-compile-schemas /usr/share/glib-2.0/schemas");
	check("var/cache/fontconfig/0a-le64.cache-8", "var/cache/fontconfig",
		"fc-cache --system-only");
	check("var/cache/man/index.db", "var/cache/man", "mandb --quiet");
	check("var/cache/man/de/index.db", "var/cache/man", "mandb --quiet");
	check("var/cache/man/cat1/ls.1.gz", "var/cache/man", "mandb --quiet");
	check("var/cache/man/de/cat8/ld.so.8.gz", "var/cache/man", "mandb --quiet");
	check("usr/share/info/dir", "usr/share/info/dir", "update-info-dir");
	check("usr/share/info/dir.old", "usr/share/info/dir", "update-info-dir");
	check("usr/lib/udev/hwdb.bin", "usr/lib/udev/hwdb.bin", "systemd-hwdb --usr update");
	check("lib/udev/hwdb.bin", "lib/udev/hwdb.bin", "systemd-hwdb --usr update");
	check("etc/udev/hwdb.bin", "etc/udev/hwdb.bin", "systemd-hwdb update");
	check("var/lib/systemd/catalog/database", "var/lib/systemd/catalog/database",
		"journalctl --update-catalog");
	check("var/lib/plocate/plocate.db", "var/lib/plocate/plocate.db", "updatedb");
	check("var/lib/texmf/ls-R-TEXMFMAIN", "var/lib/texmf/ls-R", "mktexlsr");
}

TEST(caches_of_an_architecture_or_a_kernel)
{
	check(LIB "gdk-pixbuf-2.0/2.10.0/loaders.cache", LIB "gdk-pixbuf-2.0/2.10.0/loaders.cache",
		"/" LIB "gdk-pixbuf-2.0/gdk-pixbuf-query-loaders --update-cache");
	check(LIB "gtk-2.0/2.10.0/immodules.cache", LIB "gtk-2.0/2.10.0/immodules.cache",
		"/" LIB "libgtk2.0-0/gtk-query-immodules-2.0 --update-cache");
	check(LIB "gtk-3.0/3.0.0/immodules.cache", LIB "gtk-3.0/3.0.0/immodules.cache",
		"/" LIB "libgtk-3-0/gtk-query-immodules-3.0 --update-cache");
	check(LIB "gtk-4.0/4.0.0/immodules/giomodule.cache",
		LIB "gtk-4.0/4.0.0/immodules/giomodule.cache",
		"/" LIB "glib-2.0/gio-querymodules /" LIB "gtk-4.0/4.0.0/immodules");
	check(LIB "gio/modules/giomodule.cache", LIB "gio/modules/giomodule.cache",
		"/" LIB "glib-2.0/gio-querymodules /" LIB "gio/modules");
	check("usr/lib/modules/6.1.0-18-amd64/modules.symbols.bin",
		"usr/lib/modules/6.1.0-18-amd64/modules.dep", "depmod 6.1.0-18-amd64");
	check("usr/lib/modules/6.1/modules.alias", "usr/lib/modules/6.1/modules.dep", "depmod 6.1");
	check("usr/lib/modules/6.1/modules.builtin.alias.bin", "usr/lib/modules/6.1/modules.dep",
		"depmod 6.1");
	check("lib/modules/6.1/modules.devname", "lib/modules/6.1/modules.dep", "depmod 6.1");
	check("lib/modules/6.1/modules.softdep", "lib/modules/6.1/modules.dep", "depmod 6.1");
	check("lib/modules/6.1/modules.dep.bin", "lib/modules/6.1/modules.dep", "depmod 6.1");
	check("lib/modules/6.1/modules.dep", "lib/modules/6.1/modules.dep", "depmod 6.1");
}

TEST(what_is_no_cache)
{
	check_none("");
	check_none("etc/ld.so.cache.d");
	check_none("etc/ld.so.cach");
	check_none("x/etc/ld.so.cache");
	check_none("usr/lib/python3/dist-packages/__pycache__/a.cpython-311.pyc");
	check_none("usr/share/mime/packages/freedesktop.org.xml");
	check_none("usr/share/mime/text/plain.xml");
	check_none("usr/lib/modules/6.1/modules.order");
	check_none("usr/lib/modules/6.1/modules.builtin");
	check_none("usr/lib/modules/6.1/modules.builtin.modinfo");
	check_none("usr/lib/modules/6.1/kernel/x.ko");
	check_none("usr/share/icons/hicolor/16x16/icon-theme.cache");
	check_none("etc/ssl/certs/ca-certificates.crt");
	check_none("boot/initrd.img-6.1");
	check_none("etc/mailcap");
}

/* What lies where caches do, and no program makes. */
TEST(what_is_beside_caches_is_no_cache)
{
	check_none("usr/share/mime/mine.txt");
	check_none("usr/share/mime/globs.mine");
	check_none("usr/share/info/dir.mine");
	check_none("usr/lib/modules/6.1-mine/modules.alias.mine");
	check_none("lib/modules/6.1-mine/modules.softdep~");
	check_none("lib/modules/6.1-mine/modules.builtin.mine.bin");
	check_none("var/cache/man/notes");
	check_none("var/cache/man/de/notes");
	check_none("var/cache/fontconfig/notes");
	check_none("var/lib/texmf/ls-R-mine");
}

struct start {
	const char *path, *data;
	size_t size;
};

#define START(path, data)                    \
	{                                    \
		path, data, sizeof(data) - 1 \
	}

/* As the programs of Debian 12 begin them. */
static const struct start made[] = {START("etc/ld.so.cache", "glibc-ld.so.cache1.1c\0\0\0"),
	START("etc/udev/hwdb.bin", "KSLPHHRH\374\0"),
	START("lib/modules/6.1/modules.dep", "kernel/arch/x86/events/amd/power.ko:\nkernel/a"),
	START("usr/lib/modules/6.1/modules.alias",
		"# Aliases extracted from modules themselves.\nalias cpu:type:x86"),
	START("usr/lib/modules/6.1/modules.alias.bin", "\260\007\364W\0\002\0\001"),
	START("usr/lib/modules/6.1/modules.builtin.alias.bin", "\260\007\364W\0\002"),
	START("usr/lib/modules/6.1/modules.devname",
		"# Device nodes to trigger on-demand module loading.\nautofs4 "),
	START("usr/lib/modules/6.1/modules.softdep",
		"# Soft dependencies extracted from modules themselves.\nsoftd"),
	START("usr/lib/modules/6.1/modules.symbols",
		"# Aliases for symbols, used by symbol_request().\nalias symbo"),
	START(LIB "gdk-pixbuf-2.0/2.10.0/loaders.cache",
		"# GdkPixbuf Image Loader Modules file\n# Automatically generated file, "),
	START(LIB "gio/modules/giomodule.cache", "libdconfsettings.so: gsettings-backend\n"),
	START(LIB "gtk-3.0/3.0.0/immodules.cache",
		"# GTK+ Input Method Modules file\n# Automatically generated file, do no"),
	START("usr/share/applications/mimeinfo.cache", "[MIME Cache]\napplication/pdf=a.desktop"),
	START("usr/share/glib-2.0/schemas/gschemas.compiled", "GVariant\0\0\0\0"),
	START("usr/share/icons/Adwaita/icon-theme.cache", "\0\001\0\0\0\0\0\f"),
	START("usr/share/info/dir",
		"This is the file .../info/dir, which contains the\ntopmost node of "
		"the Info hierarchy, called (dir)Top.\nThe first time you invoke "
		"Info you start off looking at this node.\n\037\nFile: dir,\tNode: "
		"Top\tThis is the top of the INFO tree\n"),
	START("usr/share/info/dir.old",
		"C'est le fichier .../info/dir\n\037\nFile: dir,\tNode: Top\tThis"),
	/* base-files' initial one */
	START("usr/share/info/dir",
		"-*- Text -*-\nThis is the file .../info/dir, which contains the topmost node "
		"of\nthe Info hierarchy.  The first time you invoke Info you start off\n"
		"looking at that node, which is (dir)Top.\n\037\nFile: dir\tNode: Top\tThis"),
	START("usr/share/mime/mime.cache", "\0\001\0\002\0\0j\224"),
	START("usr/share/mime/XMLnamespaces",
		"http://schema.omg.org/spec/XMI/2.0 XMI text/x-xmi\nhttp://sch"),
	START("usr/share/mime/XMLnamespaces", "urn:x  text/x-xmi\n"),
	START("usr/share/mime/aliases", "application/acrobat application/pdf\napplication/bz"),
	START("usr/share/mime/generic-icons", "application/x-lrzip:package-x-generic\nappl"),
	START("usr/share/mime/globs",
		"# This file was automatically generated by the\n# update-mime-database"),
	START("usr/share/mime/icons", ""), START("usr/share/mime/magic", "MIME-Magic\0\n[90:app"),
	START("usr/share/mime/subclasses", "application/x-compressed-tar application/gzip\na"),
	START("usr/share/mime/treemagic", "MIME-TreeMagic\0\n[50:x-cont"),
	START("usr/share/mime/types", "application/andrew-inset\napplication/annodex\n"),
	START("usr/share/mime/version", "2.2\n"),
	START("var/cache/fontconfig/3830-le64.cache-8", "\004\374\002\374\b\0\0\0"),
	START("var/cache/fontconfig/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
	START("var/cache/ldconfig/aux-cache", "glibc-ld.so.auxcache-2.0Z\002"),
	START("var/cache/man/index.db", "\317\232W\023\0\020"),
	START("var/cache/man/cat1/ls.1.gz", "\037\213\b"),
	START("var/lib/mlocate/mlocate.db", "\0mlocate\0"),
	START("var/lib/plocate/plocate.db", "\0plocate\0"),
	START("var/lib/systemd/catalog/database", "RHHHKSLP\0\0"),
	START("var/lib/texmf/ls-R", "% ls-R -- filename database for kpathsea; do")};

/* What people write, by hand or with a program of theirs. */
static const struct start others[] = {START("etc/ld.so.cache", "mine\n"),
	START("etc/ld.so.cache", "glibc"), START("etc/ld.so.cache", "\177ELF\002\001"),
	START("usr/lib/modules/6.1/modules.dep", "notes on what my.ko: needs\n"),
	START("usr/lib/modules/6.1/modules.alias.bin", "alias a b\n"),
	START("usr/share/info/dir", "File: dir,\tNode: Top\n"),
	START("usr/share/info/dir", "This is the file .../info/dir, which I write by hand\n"),
	START("usr/share/info/dir.old", "notes on \037\nFile: dir,\tNode: Top\n"),
	START("usr/share/mime/types", "what I like: a/b\n"),
	START("usr/share/mime/types", "application/x-without-its-end"),
	START("usr/share/mime/aliases", "application/acrobat\n"),
	START("usr/share/mime/version", "of Tuesday\n"),
	START("usr/share/mime/icons", "a list of icons\n"),
	START("var/cache/man/index.db", "\317\232W"),
	START("var/cache/fontconfig/CACHEDIR.TAG", "Signature: mine\n")};

TEST(how_caches_begin)
{
	char listed[MLIMG_LAYER_PATH_MAX + 1];

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		if (!mlimg_rebuild_is_made(made[i].path, made[i].data, made[i].size))
			FAIL("'%s' is told to be no program's", made[i].path);
		ASSERT(mlimg_rebuild_is_cache(made[i].path, listed));
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (mlimg_rebuild_is_made(others[i].path, others[i].data, others[i].size))
			FAIL("'%s', number %zu, is told to be a program's", others[i].path, i);
	ASSERT(mlimg_rebuild_is_made("etc/ld.so.cache", NULL, 0));
	ASSERT(!mlimg_rebuild_is_made("etc/passwd", NULL, 0));
}

/* What a line has that never ends. */
TEST(how_a_cache_begins_without_an_end)
{
	char data[MLIMG_REBUILD_HEAD_SIZE];

	memset(data, '/', sizeof(data));
	ASSERT(!mlimg_rebuild_is_made("usr/share/mime/XMLnamespaces", data, sizeof(data)));
	ASSERT(!mlimg_rebuild_is_made("usr/share/mime/aliases", data, sizeof(data)));
}

/* Such a cache stays in the layer: nobody could be told to rebuild it. */
TEST(what_cannot_be_listed_is_no_cache)
{
	char path[300];

	check_none("usr/share/icons/a b/icon-theme.cache");
	check_none("usr/share/icons/\303\244/icon-theme.cache");
	snprintf(path, sizeof(path), "usr/share/icons/%0200d/icon-theme.cache", 0);
	check_none(path);
}

TEST(what_nothing_rebuilds)
{
	char by[MLIMG_REBUILD_COMMAND_MAX];

	ASSERT(!mlimg_rebuild_command("etc/passwd", by));
	ASSERT(!mlimg_rebuild_command("usr/share/mime/globs2", by));
	ASSERT(!mlimg_rebuild_command("usr/share/icons/../icon-theme.cache", by));
	ASSERT(!mlimg_rebuild_command("", by));
}

TEST(what_programs_need_and_what_people_do)
{
	ASSERT(mlimg_rebuild_is_needed("etc/ld.so.cache"));
	ASSERT(mlimg_rebuild_is_needed(LIB "gdk-pixbuf-2.0/2.10.0/loaders.cache"));
	ASSERT(mlimg_rebuild_is_needed("usr/lib/modules/6.1.0-1-amd64/modules.dep"));
	ASSERT(mlimg_rebuild_is_needed("usr/share/glib-2.0/schemas/gschemas.compiled"));
	ASSERT(!mlimg_rebuild_is_needed("var/cache/man"));
	ASSERT(!mlimg_rebuild_is_needed("usr/share/mime/mime.cache"));
	ASSERT(!mlimg_rebuild_is_needed("etc/passwd"));
}
