/* SPDX-License-Identifier: MIT */
#include "tools/mkfs-rules.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/arena.h"
#include "libmlimg/cleanup.h"
#include "libmlimg/pattern.h"
#include "libmlimg/rebuild.h"
#include "libmlimg/records.h"
#include "tools/beneath.h"
#include "tools/cli.h"

#define MACHINE_ID "etc/machine-id"
#define MACHINE_ID_SIZE 32 /* digits; a newline may follow */

static const char *const names[] = {
	[MLIMG_RULE_CACHES] = "caches",
	[MLIMG_RULE_MACHINE_ID] = "machine-id",
	[MLIMG_RULE_SSH_HOST_KEYS] = "ssh-host-keys",
	[MLIMG_RULE_RANDOM_SEED] = "random-seed",
	[MLIMG_RULE_LOGS] = "logs",
	[MLIMG_RULE_APT_LISTS] = "apt-lists",
	[MLIMG_RULE_BACKUPS] = "backups",
	[MLIMG_RULE_DPKG_STATUS] = "dpkg-status",
	[MLIMG_RULE_ACCOUNTS] = "accounts",
	[MLIMG_RULE_OLDER_LIBRARY] = "older-library",
	[MLIMG_RULE_MASS_DELETION] = "mass-deletion",
};

static const struct {
	const char *pattern;
	enum mlimg_rule rule;
} places[] = {
	{MACHINE_ID, MLIMG_RULE_MACHINE_ID},
	{"var/lib/dbus/machine-id", MLIMG_RULE_MACHINE_ID},
	{"etc/ssh/ssh_host_*_key", MLIMG_RULE_SSH_HOST_KEYS},
	{"etc/ssh/ssh_host_*_key.pub", MLIMG_RULE_SSH_HOST_KEYS},
	{"etc/ssh/ssh_host_*_key-cert.pub", MLIMG_RULE_SSH_HOST_KEYS},
	{"etc/dropbear/dropbear_*_host_key", MLIMG_RULE_SSH_HOST_KEYS},
	{"var/lib/systemd/random-seed", MLIMG_RULE_RANDOM_SEED},
	{"var/lib/systemd/credential.secret", MLIMG_RULE_RANDOM_SEED},
	{"var/lib/urandom/random-seed", MLIMG_RULE_RANDOM_SEED},
	{"boot/loader/random-seed", MLIMG_RULE_RANDOM_SEED},
	{"boot/efi/loader/random-seed", MLIMG_RULE_RANDOM_SEED},
	{"efi/loader/random-seed", MLIMG_RULE_RANDOM_SEED},
	{"var/log/", MLIMG_RULE_LOGS},
	{"var/crash/", MLIMG_RULE_LOGS},
	{"var/lib/systemd/coredump/", MLIMG_RULE_LOGS},
	{"var/lib/systemd/pstore/", MLIMG_RULE_LOGS},
	{"var/lib/systemd/timers/", MLIMG_RULE_LOGS},
	{"var/lib/apt/lists/", MLIMG_RULE_APT_LISTS},
	{"var/cache/apt/", MLIMG_RULE_APT_LISTS},
	{"var/backups/", MLIMG_RULE_BACKUPS},
	{"var/lib/dpkg/*-old", MLIMG_RULE_BACKUPS},
	{"var/cache/debconf/*-old", MLIMG_RULE_BACKUPS},
	{"etc/passwd-", MLIMG_RULE_BACKUPS},
	{"etc/group-", MLIMG_RULE_BACKUPS},
	{"etc/shadow-", MLIMG_RULE_BACKUPS},
	{"etc/gshadow-", MLIMG_RULE_BACKUPS},
	{"etc/subuid-", MLIMG_RULE_BACKUPS},
	{"etc/subgid-", MLIMG_RULE_BACKUPS},
	{"etc/.pwd.lock", MLIMG_RULE_BACKUPS},
	{"var/lib/dpkg/lock", MLIMG_RULE_BACKUPS},
	{"var/lib/dpkg/lock-frontend", MLIMG_RULE_BACKUPS},
	{"var/lib/dpkg/triggers/Lock", MLIMG_RULE_BACKUPS},
};

/* Nearly all of a tree lies below these, and nothing of the table. */
static bool is_elsewhere(const char *path)
{
	return path[0] == 'u' || path[0] == 'l';
}

int mlimg_rules_allow(struct mlimg_rules *rules, const char *name, struct mlimg_err *err)
{
	char list[256] = "";

	for (enum mlimg_rule i = 0; i < MLIMG_N_RULES; i++) {
		if (strcmp(name, names[i]) == 0) {
			rules->allowed |= 1u << i;
			return 0;
		}
		strcat(list, i == 0 ? "" : i + 1 < MLIMG_N_RULES ? ", " : " or ");
		strcat(list, names[i]);
	}
	return mlimg_err_usage(err, "'%s' is no rule: %s", name, list);
}

const char *mlimg_rule_name(enum mlimg_rule rule)
{
	return names[rule];
}

enum mlimg_rule mlimg_rule_of_records(const char *path)
{
	return strncmp(path, "etc/", 4) == 0 ? MLIMG_RULE_ACCOUNTS : MLIMG_RULE_DPKG_STATUS;
}

bool mlimg_rules_has(const struct mlimg_rules *rules, enum mlimg_rule rule)
{
	static const unsigned for_system = 1u << MLIMG_RULE_MACHINE_ID |
		1u << MLIMG_RULE_SSH_HOST_KEYS | 1u << MLIMG_RULE_RANDOM_SEED |
		1u << MLIMG_RULE_LOGS | 1u << MLIMG_RULE_APT_LISTS;
	unsigned mask = rules->kind == MLIMG_SOFTWARE ? ~0u
		: rules->kind == MLIMG_SYSTEM         ? for_system
						      : 0;

	return mask & ~rules->allowed & 1u << rule;
}

static enum mlimg_rule find(const char *path)
{
	for (size_t i = 0; !is_elsewhere(path) && i < sizeof(places) / sizeof(places[0]); i++)
		if (mlimg_path_is_like(path, places[i].pattern))
			return places[i].rule;
	return MLIMG_N_RULES;
}

static enum mlimg_verdict judge(const struct mlimg_rules *rules, const struct mlimg_entry *entry,
	enum mlimg_rule *ret_rule, char listed[MLIMG_LAYER_PATH_MAX + 1])
{
	enum mlimg_rule rule;

	if (entry->type != MLIMG_FILE || rules->kind == MLIMG_USER)
		return MLIMG_TAKE;
	if (rules->is_compared && mlimg_records_form_of(entry->path) != MLIMG_RECORDS_NONE &&
		mlimg_rules_has(rules, mlimg_rule_of_records(entry->path))) {
		*ret_rule = mlimg_rule_of_records(entry->path);
		return entry->size_bytes > MLIMG_RECORDS_SIZE_MAX ? MLIMG_TAKE : MLIMG_CAPTURE;
	}
	rule = find(entry->path);
	if (rule == MLIMG_N_RULES && mlimg_rules_has(rules, MLIMG_RULE_CACHES) &&
		mlimg_rebuild_is_cache(entry->path, listed))
		rule = MLIMG_RULE_CACHES;
	if (rule == MLIMG_N_RULES || !mlimg_rules_has(rules, rule))
		return MLIMG_TAKE;
	*ret_rule = rule;
	if (rules->kind == MLIMG_SYSTEM && strcmp(entry->path, MACHINE_ID) == 0)
		return entry->size_bytes < MACHINE_ID_SIZE ? MLIMG_TAKE : MLIMG_EMPTY;
	return MLIMG_LEAVE_OUT;
}

enum mlimg_verdict mlimg_rules_judge(
	const struct mlimg_rules *rules, const struct mlimg_entry *entry, enum mlimg_rule *ret_rule)
{
	char listed[MLIMG_LAYER_PATH_MAX + 1];

	return judge(rules, entry, ret_rule, listed);
}

static void add_cache(struct mlimg_rules *rules, const char *listed)
{
	for (size_t i = 0; i < rules->n_caches; i++)
		if (strcmp(rules->caches[i], listed) == 0)
			return;
	rules->has_failed |= mlimg_buffer_reserve(&rules->caches, &rules->caches_room,
				     (rules->n_caches + 1) * sizeof(*rules->caches)) < 0;
	if (!rules->has_failed && (rules->caches[rules->n_caches] = strdup(listed)))
		rules->n_caches++;
	else
		rules->has_failed = true;
}

static bool is_as_beneath(const struct mlimg_rules *rules, const struct mlimg_entry *entry)
{
	const struct mlimg_entry *old =
		rules->beneath ? mlimg_beneath_find(rules->beneath, entry->path) : NULL;

	return old && old->type == MLIMG_FILE && old->size_bytes == entry->size_bytes &&
		old->mtime_s == entry->mtime_s && old->mtime_ns == entry->mtime_ns;
}

bool mlimg_rules_loses(const struct mlimg_rules *rules, const struct mlimg_layer_info *source)
{
	return rules->kind != MLIMG_SOFTWARE && source->n_rebuild &&
		!(rules->allowed & 1u << MLIMG_RULE_CACHES);
}

void mlimg_rules_carry(struct mlimg_rules *rules, const struct mlimg_layer_info *source)
{
	for (size_t i = 0; rules->kind == MLIMG_SOFTWARE && i < source->n_rebuild; i++)
		add_cache(rules, source->rebuild[i]);
}

enum mlimg_verdict mlimg_rules_take(void *ctx, const struct mlimg_entry *entry, bool is_asked)
{
	struct mlimg_rules *rules = ctx;
	char listed[MLIMG_LAYER_PATH_MAX + 1];
	enum mlimg_rule rule;
	enum mlimg_verdict verdict = judge(rules, entry, &rule, listed);

	if (is_asked)
		return verdict;
	if (verdict == MLIMG_EMPTY)
		rules->has_emptied = true;
	if (verdict != MLIMG_LEAVE_OUT || is_as_beneath(rules, entry))
		return verdict;
	rules->n_left_out[rule]++;
	if (rule == MLIMG_RULE_CACHES)
		add_cache(rules, listed);
	return verdict;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int mlimg_rules_finish(
	struct mlimg_rules *rules, struct mlimg_layer_info *info, struct mlimg_err *err)
{
	int r = 0;

	if (rules->has_failed)
		return mlimg_err_set(err, ENOMEM, "list of caches");
	if (rules->n_caches)
		qsort(rules->caches, rules->n_caches, sizeof(*rules->caches), by_text);
	for (size_t i = 0; r == 0 && i < rules->n_caches; i++)
		r = mlimg_layer_add_rebuild(info, rules->caches[i], err);
	return r;
}

void mlimg_rules_report(
	const struct mlimg_rules *rules, const struct mlimg_layer_info *info, FILE *f)
{
	char command[MLIMG_REBUILD_COMMAND_MAX];

	if (rules->has_emptied)
		fprintf(f, "rule machine-id: %s is empty in the layer\n", MACHINE_ID);
	for (enum mlimg_rule i = 0; i < MLIMG_N_RULES; i++)
		if (rules->n_left_out[i])
			fprintf(f, "rule %s: %" PRIu64 " %s left out\n", names[i],
				rules->n_left_out[i],
				mlimg_cli_noun(rules->n_left_out[i], "file", "files"));
	for (size_t i = 0; i < info->n_rebuild; i++)
		if (mlimg_rebuild_command(info->rebuild[i], command))
			fprintf(f, "to be rebuilt: %s: %s\n", info->rebuild[i], command);
}

void mlimg_rules_done(struct mlimg_rules *rules)
{
	for (size_t i = 0; i < rules->n_caches; i++)
		free(rules->caches[i]);
	free(rules->caches);
	rules->caches = NULL;
	rules->n_caches = rules->caches_room = 0;
}
