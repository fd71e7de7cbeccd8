/* SPDX-License-Identifier: MIT */
/* How the machines of tenants are made, as the store keeps it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/text.h"
#include "tools/store-impl.h"
#include "tools/tenant.h"
#include "tools/vm-machine.h"

void mlimg_tenant_settings_init(struct mlimg_tenant_settings *ret_settings)
{
	*ret_settings = (struct mlimg_tenant_settings){.memory_bytes = MLIMG_VM_MEMORY,
		.cpus = 1,
		.disks = MLIMG_DISKS_SEPARATE,
		.net = true,
		.boot_timeout_s = MLIMG_VM_BOOT_TIMEOUT_S};
}

void mlimg_tenant_settings_done(struct mlimg_tenant_settings *settings)
{
	free(settings->append);
	settings->append = NULL;
}

static int read_forwards(
	const char *text, struct mlimg_tenant_settings *settings, struct mlimg_err *err)
{
	char one[MLIMG_VM_FORWARD_TEXT];
	int ret = 0;

	while (ret == 0 && *text) {
		size_t size = strcspn(text, " ");

		if (size >= sizeof(one) || settings->n_forwards == MLIMG_VM_FORWARDS_MAX)
			return mlimg_err_usage(err, "too many or too long forwards");
		memcpy(one, text, size);
		one[size] = '\0';
		ret = mlimg_vm_forward_of(one, &settings->forwards[settings->n_forwards++], err);
		text += size + (text[size] == ' ');
	}
	return ret;
}

/* The words are those of the command line; what the database does not allow is not there. */
static int read_words(const struct mlimg_db_rows *rows, struct mlimg_tenant_settings *settings,
	struct mlimg_err *err)
{
	int ret = mlimg_accel_of(mlimg_db_text(rows, 2), &settings->accel, err);

	if (ret == 0)
		ret = mlimg_union_of(mlimg_db_text(rows, 3), &settings->union_driver, err);
	if (ret == 0)
		ret = mlimg_disks_of(mlimg_db_text(rows, 4), &settings->disks, err);
	if (ret == 0)
		ret = mlimg_vm_verity_of(mlimg_db_text(rows, 5), &settings->verity, err);
	if (ret == 0)
		ret = read_forwards(mlimg_db_text(rows, 7), settings, err);
	return ret;
}

static int read_settings(const struct mlimg_db_rows *rows, const char *id,
	struct mlimg_tenant_settings *ret_settings, int64_t *ret_run_s, struct mlimg_err *err)
{
	struct mlimg_tenant_settings s = {.memory_bytes = (uint64_t)mlimg_db_number(rows, 0),
		.cpus = (unsigned)mlimg_db_number(rows, 1),
		.net = strcmp(mlimg_db_text(rows, 6), "user") == 0,
		.boot_timeout_s = (unsigned)mlimg_db_number(rows, 9),
		.autostart = strcmp(mlimg_db_text(rows, 11), "yes") == 0};
	const char *append = mlimg_db_text(rows, 8);

	/* Not wrong usage: nobody who reads it has written it. */
	if (read_words(rows, &s, err) < 0)
		return mlimg_err_refuse(err,
			"database is damaged: settings of tenant %s: no program writes these", id);
	if (*append && !(s.append = strdup(append)))
		return mlimg_err_set(err, ENOMEM, "settings of tenant %s", id);
	*ret_settings = s;
	*ret_run_s = mlimg_db_number(rows, 10);
	return 0;
}

int mlimg_tenant_settings_get(struct mlimg_store *s, const char *id,
	struct mlimg_tenant_settings *ret_settings, int64_t *ret_run_s, struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(s->db,
		"SELECT memory_bytes, cpus, accel, union_driver, disks, verity, net, forwards, "
		"append, boot_timeout_s, run_s, autostart FROM tenant WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : read_settings(&rows, id, ret_settings, ret_run_s, err);
}

static int check_append(const char *append, struct mlimg_err *err)
{
	if (strlen(append) > MLIMG_TENANT_APPEND_MAX)
		return mlimg_err_usage(
			err, "--append: more than %d bytes", MLIMG_TENANT_APPEND_MAX);
	for (const char *p = append; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return mlimg_err_usage(err, "--append: a control character is in it");
	return 0;
}

/* Two of one port, of which QEMU would tell only when the guest is started. */
static int check_forwards(const struct mlimg_tenant_settings *s, struct mlimg_err *err)
{
	for (size_t i = 0; i < s->n_forwards; i++)
		for (size_t k = 0; k < i; k++)
			if (s->forwards[i].host == s->forwards[k].host &&
				strcmp(s->forwards[i].address, s->forwards[k].address) == 0)
				return mlimg_err_usage(err,
					"--forward: port %u of %s is given twice",
					s->forwards[i].host, s->forwards[i].address);
	return 0;
}

int mlimg_tenant_settings_check(const struct mlimg_tenant_settings *s, struct mlimg_err *err)
{
	if (!s->net && s->n_forwards)
		return mlimg_err_usage(err, "--forward needs --net user");
	if (s->disks == MLIMG_DISKS_JOINED && s->union_driver > MLIMG_UNION_OF_INDEX)
		return mlimg_err_usage(err, "--disks joined and --union %s exclude each other",
			mlimg_union_name(s->union_driver));
	if (s->append && check_append(s->append, err) < 0)
		return err->code;
	return check_forwards(s, err);
}

static void put_forwards(const struct mlimg_tenant_settings *s, struct mlimg_text *text)
{
	char one[MLIMG_VM_FORWARD_TEXT];

	mlimg_text_put(text, "", 0);
	for (size_t i = 0; i < s->n_forwards; i++) {
		if (i)
			mlimg_text_put(text, " ", 1);
		mlimg_vm_forward_text(&s->forwards[i], one);
		mlimg_text_put(text, one, strlen(one));
	}
}

static int write_settings(struct mlimg_store *store, const char *id,
	const struct mlimg_tenant_settings *s, const char *forwards, struct mlimg_err *err)
{
	int ret = mlimg_db_run(store->db,
		"UPDATE tenant SET memory_bytes = ?2, cpus = ?3, accel = ?4, union_driver = ?5, "
		"disks = ?6, verity = ?7, net = ?8, forwards = ?9, append = ?10, "
		"boot_timeout_s = ?11, autostart = ?12 WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(s->memory_bytes),
			MLIMG_DB_NUMBER(s->cpus), MLIMG_DB_TEXT(mlimg_accel_name(s->accel)),
			MLIMG_DB_TEXT(mlimg_union_name(s->union_driver)),
			MLIMG_DB_TEXT(mlimg_disks_name(s->disks)),
			MLIMG_DB_TEXT(mlimg_vm_verity_name(s->verity)),
			MLIMG_DB_TEXT(s->net ? "user" : "none"), MLIMG_DB_TEXT(forwards),
			MLIMG_DB_TEXT(s->append ? s->append : ""),
			MLIMG_DB_NUMBER(s->boot_timeout_s),
			MLIMG_DB_TEXT(s->autostart ? "yes" : "no")),
		err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : 0;
}

int mlimg_tenant_settings_set(struct mlimg_store *store, const char *id,
	const struct mlimg_tenant_settings *settings, struct mlimg_err *err)
{
	struct mlimg_text forwards = {.data = NULL};
	int ret = mlimg_tenant_settings_check(settings, err);

	if (ret < 0)
		return ret;
	put_forwards(settings, &forwards);
	ret = forwards.has_failed ? mlimg_err_set(err, ENOMEM, "settings of tenant %s", id)
				  : write_settings(store, id, settings, forwards.data, err);
	free(forwards.data);
	return ret;
}

int mlimg_tenant_run_set(
	struct mlimg_store *store, const char *id, int64_t run_s, struct mlimg_err *err)
{
	int ret = mlimg_db_run(store->db, "UPDATE tenant SET run_s = nullif(?2, 0) WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_NUMBER(run_s)), err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : 0;
}

int mlimg_tenant_identity_get(struct mlimg_store *store, const char *id,
	char ret_word[MLIMG_STORE_ID_SIZE], struct mlimg_err *err)
{
	mlimg_autorows struct mlimg_db_rows rows = {.db = NULL};
	int ret = mlimg_db_query(store->db, "SELECT identity FROM tenant WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id)), &rows, err);

	if (ret == 0)
		ret = mlimg_db_next(&rows, err);
	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : mlimg_db_copy(&rows, 0, ret_word, MLIMG_STORE_ID_SIZE, err);
}

int mlimg_tenant_identity_set(
	struct mlimg_store *store, const char *id, const char *word, struct mlimg_err *err)
{
	int ret = mlimg_db_run(store->db, "UPDATE tenant SET identity = ?2 WHERE id = ?1",
		MLIMG_DB_VALUES(MLIMG_DB_TEXT(id), MLIMG_DB_TEXT(word)), err);

	if (ret == 0)
		return mlimg_store_fail(err, ENOENT, "no tenant %s", id);
	return ret < 0 ? ret : 0;
}
