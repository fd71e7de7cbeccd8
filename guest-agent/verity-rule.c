/* SPDX-License-Identifier: MIT */
/* What vouches for the layers: the value of mlimg.verity. */
#include <string.h>

#include "guest-agent/mounted.h"
#include "guest-agent/verity.h"

/* @return behind the item, or NULL */
static const char *take_item(const char *text, struct mlimg_verity_rule *rule)
{
	size_t id_len = strcspn(text, ":,"), max = sizeof(rule->hashes) / sizeof(rule->hashes[0]);
	const char *hash = text + id_len + 1;
	uint8_t digest[MLIMG_SHA256_SIZE];
	char id[MLIMG_SHA256_HEX_SIZE];

	if (text[id_len] != ':' || strcspn(hash, ",") != MLIMG_SHA256_HEX_SIZE - 1 ||
		id_len >= sizeof(id) || rule->n_hashes == max)
		return NULL;
	memcpy(id, text, id_len);
	id[id_len] = '\0';
	memcpy(rule->hashes[rule->n_hashes].hash, hash, MLIMG_SHA256_HEX_SIZE - 1);
	if (!mlimg_id_is_valid(id) ||
		!mlimg_sha256_is_hex(rule->hashes[rule->n_hashes].hash, digest))
		return NULL;
	memcpy(rule->hashes[rule->n_hashes++].id, id, MLIMG_SHORT_ID);
	return hash + MLIMG_SHA256_HEX_SIZE - 1;
}

bool mlimg_verity_rule_parse(const char *value, struct mlimg_verity_rule *ret_rule)
{
	struct mlimg_verity_rule rule = {.form = MLIMG_VERITY_HASHES};
	const char *stack = strncmp(value, "stack:", 6) == 0 ? value + 6 : NULL;
	uint8_t digest[MLIMG_SHA256_SIZE];

	if (stack) {
		rule.form = MLIMG_VERITY_STACK;
		if (!mlimg_sha256_is_hex(stack, digest))
			return false;
		memcpy(rule.stack_hash, stack, sizeof(rule.stack_hash));
		*ret_rule = rule;
		return true;
	}
	if (strcspn(value, ",") == 7 && strncmp(value, "require", 7) == 0) {
		rule.form = MLIMG_VERITY_REQUIRE;
		value += 7;
	} else {
		value = take_item(value, &rule);
	}
	while (value && *value == ',')
		value = take_item(value + 1, &rule);
	if (!value || *value)
		return false;
	*ret_rule = rule;
	return true;
}
