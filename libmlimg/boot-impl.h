/* SPDX-License-Identifier: MIT */
/**
 * @file boot-impl.h
 * What the files of boot.h share.
 */
#ifndef MLIMG_BOOT_IMPL_H
#define MLIMG_BOOT_IMPL_H

#include "libmlimg/boot.h"
#include "libmlimg/json.h"

/** Put a stack into an object; with @p root its mounts are told. @return 0, -1 without memory */
int mlimg_boot_json_set_stack(json_t *json, const struct mlimg_boot_stack *stack, const char *root);

/** Write an object, or fail with -ENOMEM where there is none. @param what  its file, for @p err */
int mlimg_boot_json_dump(
	json_t *json, const char *what, char **ret_text, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * The note of mlimg_boot_note_no_room().
 * @param is_changed  the boot's change is MLIMG_BOOT_CHANGED
 */
void mlimg_boot_print_no_room(
	char ret_note[MLIMG_ERR_TEXT_SIZE], const char *what, bool is_changed);

#endif
