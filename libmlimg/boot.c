/* SPDX-License-Identifier: MIT */
#include "libmlimg/boot-impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libmlimg/printable.h"

static const char *const mode_names[] = {
	[MLIMG_BOOT_NORMAL] = "normal",
	[MLIMG_BOOT_VOLATILE] = "volatile",
	[MLIMG_BOOT_READONLY] = "readonly",
	[MLIMG_BOOT_RESCUE] = "rescue",
};

const char *mlimg_boot_mode_name(enum mlimg_boot_mode mode)
{
	return mode_names[mode];
}

bool mlimg_boot_mode_of(const char *name, enum mlimg_boot_mode *ret_mode)
{
	for (enum mlimg_boot_mode mode = MLIMG_BOOT_NORMAL; mode <= MLIMG_BOOT_RESCUE; mode++)
		if (strcmp(name, mode_names[mode]) == 0) {
			*ret_mode = mode;
			return true;
		}
	return false;
}

bool mlimg_boot_reset_is_valid(const char *word)
{
	static const char first[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t len = strlen(word);

	for (const char *c = word; *c; c++)
		if (!strchr(first, *c) && (c == word || !strchr("._-", *c)))
			return false;
	return len > 0 && len <= MLIMG_BOOT_RESET_MAX;
}

static bool is_overlayfs(const char *union_driver)
{
	return strcmp(union_driver, MLIMG_UNION_INDEX) == 0 ||
		strcmp(union_driver, MLIMG_UNION_OVERLAY) == 0;
}

bool mlimg_boot_is_same_upper(const char *union_driver, const char *other)
{
	return strcmp(union_driver, other) == 0 ||
		(is_overlayfs(union_driver) && is_overlayfs(other));
}

void mlimg_boot_stack_of(const struct mlimg_stack *stack, const char *union_driver,
	struct mlimg_boot_stack *ret_stack)
{
	memset(ret_stack, 0, sizeof(*ret_stack));
	strncpy(ret_stack->union_driver, union_driver, sizeof(ret_stack->union_driver) - 1);
	mlimg_stack_id(stack, ret_stack->stack_id);
	for (size_t i = 0; i < stack->n_layers; i++) {
		struct mlimg_boot_layer *layer = &ret_stack->layers[ret_stack->n_layers++];

		layer->kind = stack->layers[i]->kind;
		strcpy(layer->name, stack->layers[i]->name);
		strcpy(layer->version, stack->layers[i]->version);
		strcpy(layer->build_id, stack->layers[i]->build_id);
		strcpy(layer->result, stack->layers[i]->result);
	}
}

bool mlimg_boot_stack_shows_same(const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b)
{
	return strcmp(a->stack_id, b->stack_id) == 0 && strcmp(a->composed, b->composed) == 0;
}

bool mlimg_boot_stack_is_same(const struct mlimg_boot_stack *a, const struct mlimg_boot_stack *b)
{
	if (strcmp(a->union_driver, b->union_driver) != 0 || a->n_layers != b->n_layers)
		return false;
	for (size_t i = 0; i < a->n_layers; i++)
		if (strcmp(a->layers[i].build_id, b->layers[i].build_id) != 0)
			return false;
	return true;
}

static void add_note(
	char (*notes)[MLIMG_ERR_TEXT_SIZE], size_t *n, size_t max, const char *fmt, va_list ap)
{
	if (*n == max)
		return;
	vsnprintf(notes[*n], MLIMG_ERR_TEXT_SIZE, fmt, ap);
	/* A name in it is a stranger's, or was cut; boot.json is to be UTF-8. */
	mlimg_make_printable(notes[(*n)++]);
}

void mlimg_boot_add_note(
	char (*notes)[MLIMG_ERR_TEXT_SIZE], size_t *n, size_t max, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_note(notes, n, max, fmt, ap);
	va_end(ap);
}

void mlimg_boot_note(struct mlimg_boot *boot, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_note(boot->notes, &boot->n_notes, MLIMG_BOOT_NOTES_MAX, fmt, ap);
	va_end(ap);
}

void mlimg_boot_print_no_room(char ret_note[MLIMG_ERR_TEXT_SIZE], const char *what, bool is_changed)
{
	snprintf(ret_note, MLIMG_ERR_TEXT_SIZE,
		"no room in the user layer for %s: free some; %s the next boot", what,
		is_changed ? "the comparison is repeated at" : "the stack is recorded by");
}

void mlimg_boot_note_no_room(struct mlimg_boot *boot, const char *what)
{
	if (boot->n_notes < MLIMG_BOOT_NOTES_MAX)
		mlimg_boot_print_no_room(
			boot->notes[boot->n_notes++], what, boot->change == MLIMG_BOOT_CHANGED);
}
