/* SPDX-License-Identifier: MIT */
/* The steps of a change, in a user layer: what is read and written again is read as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "guest-agent/undo-log.h"
#include "libmlimg/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* @return the text of @log, whose last byte is followed by a NUL */
static struct mlimg_text write_log(struct mlimg_undo_log *log)
{
	struct mlimg_text text = {0};
	struct mlimg_undo_record record;
	struct mlimg_err err = MLIMG_ERR_INIT;

	mlimg_undo_log_put_head(log->is_unionfs, mlimg_text_put, &text);
	for (size_t n = 0; n < log->n_records; n++) {
		if (mlimg_undo_log_get(log, n, &record, &err) < 0)
			abort();
		mlimg_undo_log_put(&record, mlimg_text_put, &text);
	}
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_undo_log log, again;
	char *copy = malloc(size + 1);
	struct mlimg_text first, second;

	memcpy(copy, data, size);
	copy[size] = '\0';
	if (mlimg_undo_log_parse(copy, size, &log, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	first = write_log(&log);
	copy = malloc(first.size + 1);
	memcpy(copy, first.data, first.size + 1);
	if (mlimg_undo_log_parse(copy, first.size, &again, &err) < 0)
		abort();
	second = write_log(&again);
	if (first.size != second.size || memcmp(first.data, second.data, first.size) != 0 ||
		again.n_records != log.n_records)
		abort();
	mlimg_undo_log_done(&log);
	mlimg_undo_log_done(&again);
	free(first.data);
	free(second.data);
	return 0;
}
