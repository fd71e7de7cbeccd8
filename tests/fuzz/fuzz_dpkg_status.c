/* SPDX-License-Identifier: MIT */
/*
 * Databases of records. The first byte is the form, the rest two databases with a line "%%" between
 * them. A difference must compose to what has no difference; the list of packages comes from the
 * same text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/records.h"
#include "tools/dpkg-status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_records(enum mlimg_records_form form, struct mlimg_records_text old,
	struct mlimg_records_text fresh)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_records_text records, composed;
	char *text, *whole, *rest;
	size_t rest_size;
	int r = mlimg_records_diff(form, old, fresh, &text, &records.size, NULL, &err);

	if (r < 0) {
		if (!err.text[0] || err.kind != MLIMG_ERR_REFUSED)
			abort();
		return;
	}
	records.text = text;
	if (mlimg_records_compose(form, old, &records, 1, &whole, &composed.size, &err) < 0)
		abort();
	composed.text = whole;
	if (mlimg_records_diff(form, composed, fresh, &rest, &rest_size, NULL, &err) < 0 ||
		rest_size)
		abort();
	free(text);
	free(whole);
	free(rest);
}

static void check_packages(const char *text, size_t size)
{
	struct mlimg_packages packages;
	char *copy = malloc(size + 1);

	if (!copy)
		abort();
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (mlimg_dpkg_status_parse(copy, &packages) < 0)
		abort();
	for (size_t i = 1; i < packages.n_packages; i++)
		if (mlimg_package_cmp(&packages.packages[i - 1], &packages.packages[i]) > 0)
			abort();
	free(packages.packages);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *middle;
	struct mlimg_records_text old, fresh;

	if (size < 1)
		return 0;
	text++;
	size--;
	check_packages(text, size);
	middle = memmem(text, size, "%%\n", 3);
	old = (struct mlimg_records_text){text, middle ? (size_t)(middle - text) : size};
	fresh = (struct mlimg_records_text){
		text + old.size + (middle ? 3 : 0), middle ? size - old.size - 3 : 0};
	check_records(MLIMG_RECORDS_STANZAS +
			(enum mlimg_records_form)(
				(uint8_t)(data[0] - '0') % MLIMG_RECORDS_FORM_LAST),
		old, fresh);
	return 0;
}
