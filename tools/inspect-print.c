/* SPDX-License-Identifier: MIT */
#include "tools/inspect-print.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libmlimg/rebuild.h"
#include "libmlimg/json.h"
#include "tools/cli.h"
#include "tools/manifest-diff.h"

int mlimg_inspect_check_stdout(struct mlimg_err *err)
{
	return ferror(stdout) ? mlimg_err_set(err, errno, "write to standard output") : 0;
}

/* As ls(1) writes it: set-id and sticky bits over the execute bits. */
static void format_mode(const struct mlimg_entry *entry, char ret_text[11])
{
	static const char types[] = "?-dlcbps";
	static const char bits[] = "rwxrwxrwx";

	ret_text[0] = types[entry->type];
	for (int i = 0; i < 9; i++)
		ret_text[i + 1] = entry->mode & (0400 >> i) ? bits[i] : '-';
	if (entry->mode & 04000)
		ret_text[3] = entry->mode & 0100 ? 's' : 'S';
	if (entry->mode & 02000)
		ret_text[6] = entry->mode & 0010 ? 's' : 'S';
	if (entry->mode & 01000)
		ret_text[9] = entry->mode & 0001 ? 't' : 'T';
	ret_text[10] = '\0';
}

static void format_time(int64_t seconds, char ret_text[32])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret_text, 32, "@%" PRId64, seconds);
}

static bool is_device(const struct mlimg_entry *entry)
{
	return entry->type == MLIMG_CHAR || entry->type == MLIMG_BLOCK;
}

void mlimg_inspect_put_long(
	FILE *out, const struct mlimg_entry *entry, uint32_t nlink, const char *name)
{
	char mode[11], when[32], size[32], escaped[MLIMG_ESCAPED_SIZE];

	format_mode(entry, mode);
	format_time(entry->mtime_s, when);
	if (is_device(entry))
		snprintf(size, sizeof(size), "%u, %u", entry->dev_major, entry->dev_minor);
	else
		snprintf(size, sizeof(size), "%" PRIu64, entry->size_bytes);
	fprintf(out, "%s%c %3u %5u %5u %10s %s %s", mode, entry->n_xattrs ? '+' : ' ', nlink,
		entry->uid, entry->gid, size, when, mlimg_manifest_escape(name, escaped));
	if (entry->link)
		fprintf(out, " -> %s", mlimg_manifest_escape(entry->link, escaped));
	fputc('\n', out);
}

void mlimg_inspect_list_begin(struct mlimg_json_list *list, FILE *out)
{
	*list = (struct mlimg_json_list){.out = out};
	fputc('[', out);
}

void mlimg_inspect_list_end(struct mlimg_json_list *list)
{
	fputs(list->has_elements ? "\n]\n" : "]\n", list->out);
}

static char *base64(const uint8_t *data, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc((size + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; text && i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
			(n > 2 ? data[i + 2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = n > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[v & 63] : '=';
	}
	if (text)
		*out = '\0';
	return text;
}

static json_t *xattrs_of(const struct mlimg_entry *entry)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < entry->n_xattrs; i++) {
		const struct mlimg_xattr *x = &entry->xattrs[i];
		mlimg_autofree char *value = base64(x->value, x->size);
		char name[4 * (MLIMG_NAME_MAX + 32) + 1];

		/*
		 * json_string(NULL) is NULL, and setting NULL fails: so lack of memory shows in the
		 * end.
		 */
		if (json_object_set_new(
			    object, mlimg_manifest_escape(x->name, name), json_string(value)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

json_t *mlimg_inspect_entry_json(const struct mlimg_entry *entry, const char *path)
{
	char text[MLIMG_ESCAPED_SIZE], mode[8], mtime[40], hex[MLIMG_SHA256_HEX_SIZE];
	json_t *object = json_object();
	int failed = 0;

	snprintf(mode, sizeof(mode), "%04o", entry->mode);
	snprintf(mtime, sizeof(mtime), "%" PRId64 ".%09" PRIu32, entry->mtime_s, entry->mtime_ns);
	failed |=
		json_object_set_new(object, "path", json_string(mlimg_manifest_escape(path, text)));
	failed |= json_object_set_new(object, "type", json_string(mlimg_type_name(entry->type)));
	failed |= json_object_set_new(object, "mode", json_string(mode));
	failed |= json_object_set_new(object, "uid", json_integer(entry->uid));
	failed |= json_object_set_new(object, "gid", json_integer(entry->gid));
	if (entry->hardlink) {
		failed |= json_object_set_new(object, "nlink", json_integer(entry->nlink));
		failed |= json_object_set_new(object, "hardlink", json_integer(entry->hardlink));
	}
	if (entry->type == MLIMG_FILE)
		failed |= json_object_set_new(
			object, "size", json_integer((json_int_t)entry->size_bytes));
	failed |= json_object_set_new(object, "mtime", json_string(mtime));
	if (entry->has_digest) {
		mlimg_sha256_hex(entry->digest, hex);
		failed |= json_object_set_new(object, "sha256", json_string(hex));
	}
	if (entry->link)
		failed |= json_object_set_new(
			object, "link", json_string(mlimg_manifest_escape(entry->link, text)));
	if (is_device(entry))
		failed |= json_object_set_new(object, "device",
			json_pack("[ii]", (int)entry->dev_major, (int)entry->dev_minor));
	if (entry->n_xattrs)
		failed |= json_object_set_new(object, "xattrs", xattrs_of(entry));
	if (!failed)
		return object;
	json_decref(object);
	return NULL;
}

json_t *mlimg_inspect_changes_json(unsigned changes)
{
	json_t *array = json_array();

	for (unsigned bit = 0; array && bit < MLIMG_N_CHANGES; bit++) {
		if (changes & 1u << bit &&
			json_array_append_new(array, json_string(mlimg_change_name(bit))) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int mlimg_inspect_list_add(
	struct mlimg_json_list *list, const struct mlimg_entry *entry, const char *path)
{
	json_t *object = mlimg_inspect_entry_json(entry, path);
	mlimg_autofree char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (!text)
		return -ENOMEM;
	fprintf(list->out, "%s\n%s", list->has_elements ? "," : "", text);
	list->has_elements = true;
	return 0;
}

static void put_line(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%-12s %s\n", key, value);
}

static void put_size(FILE *out, const char *key, uint64_t bytes)
{
	char size[MLIMG_CLI_SIZE_TEXT];

	fprintf(out, "%-12s %s (%" PRIu64 " bytes)\n", key, mlimg_cli_format_size(bytes, size),
		bytes);
}

/* What the layer has beside its tree. */
static void put_lists(FILE *out, const struct mlimg_layer_info *info)
{
	char command[MLIMG_REBUILD_COMMAND_MAX];

	for (size_t i = 0; i < info->n_records; i++)
		put_line(out, i ? "" : "records", info->records[i].path);
	for (size_t i = 0; i < info->n_rebuild; i++) {
		bool is_known = mlimg_rebuild_command(info->rebuild[i], command);

		fprintf(out, "%-12s %s: %s\n", i ? "" : "rebuild", info->rebuild[i],
			is_known ? command : "unknown to this version");
	}
}

void mlimg_inspect_put_info(FILE *out, const struct mlimg_layer_info *info,
	const struct mlimg_ext4_super *super, const char *pending)
{
	char uuid[MLIMG_UUID_TEXT_SIZE], when[32];

	mlimg_uuid_format(super->uuid, uuid);
	format_time(info->time_s, when);
	put_line(out, "kind", mlimg_kind_name(info->kind));
	put_line(out, "name", info->name);
	put_line(out, "version", info->version);
	put_line(out, "build id", info->build_id);
	for (size_t i = 0; i < info->n_over; i++)
		put_line(out, i ? "" : "over", info->over[i]);
	if (info->kind == MLIMG_USER)
		put_line(out, "instance", info->instance);
	put_lists(out, info);
	if (info->kind == MLIMG_PATCH) {
		put_line(out, "base", info->base);
		put_line(out, "result", info->result);
	}
	put_line(out, "uuid", uuid);
	put_line(out, "time", when);
	fprintf(out, "%-12s %" PRIu64 "\n", "entries", info->entries);
	put_size(out, "contents", info->size_bytes);
	put_size(out, "file system", super->n_blocks * MLIMG_EXT4_BLOCK);
	if (super->is_dirty)
		put_line(out, "state",
			"in use or not cleanly unmounted; its journal holds changes not seen here");
	if (pending)
		fprintf(out, "%-12s %s was interrupted; the next boot ends it\n", "state", pending);
}

int mlimg_inspect_put_report(json_t *report, const char *what, struct mlimg_err *err)
{
	mlimg_autofree char *text = report ? json_dumps(report, JSON_INDENT(2)) : NULL;

	json_decref(report);
	if (!text)
		return mlimg_err_set(err, ENOMEM, "%s", what);
	puts(text);
	return 0;
}

int mlimg_inspect_put_info_json(FILE *out, const struct mlimg_layer_info *info,
	const struct mlimg_ext4_super *super, const char *pending, json_t *verity,
	struct mlimg_err *err)
{
	mlimg_autofree char *layer = NULL, *text = NULL;
	mlimg_autojson json_t *object = NULL, *taken = verity;
	char uuid[MLIMG_UUID_TEXT_SIZE];
	int ret = mlimg_layer_to_json(info, &layer, err);

	if (ret < 0)
		return ret;
	mlimg_uuid_format(super->uuid, uuid);
	object = json_loads(layer, 0, NULL);
	if (json_object_set_new(object, "uuid", json_string(uuid)) == 0 &&
		json_object_set_new(object, "label", json_string(mlimg_kind_label(info->kind))) ==
			0 &&
		json_object_set_new(object, "file_system_bytes",
			json_integer((json_int_t)(super->n_blocks * MLIMG_EXT4_BLOCK))) == 0 &&
		json_object_set_new(object, "needs_recovery", json_boolean(super->is_dirty)) == 0 &&
		(!pending || json_object_set_new(object, "pending", json_string(pending)) == 0) &&
		(json_is_null(taken) || json_object_set(object, "verity", taken) == 0))
		text = json_dumps(object, JSON_INDENT(2));
	if (!text)
		return mlimg_err_set(err, ENOMEM, "print the description");
	fprintf(out, "%s\n", text);
	return 0;
}
