/* SPDX-License-Identifier: MIT */
#include "tools/vm-print.h"

#include <stdio.h>
#include <string.h>

#include "libmlimg/boot.h"
#include "libmlimg/layer.h"
#include "tools/cli.h"
#include "tools/vm-watch.h"

/* One line of the stack; ids are shown as short as serials and kernel parameters have them. */
static void print_layer(const char *kind, const json_t *layer)
{
	const char *version = mlimg_json_text(layer, "version", "");
	char id[MLIMG_SHORT_ID + 1];

	mlimg_cli_put_safe(stdout, kind);
	printf("%*s", strlen(kind) < 10 ? (int)(10 - strlen(kind)) : 1, "");
	mlimg_cli_put_safe(stdout, mlimg_json_text(layer, "name", "?"));
	if (*version)
		putchar(' ');
	mlimg_cli_put_safe(stdout, version);
	snprintf(id, sizeof(id), "%s", mlimg_json_text(layer, "build_id", "?"));
	printf("  ");
	mlimg_cli_put_safe(stdout, id);
	putchar('\n');
}

static void print_boot(const json_t *boot)
{
	const char *mode = mlimg_json_text(boot, "mode", "normal");
	const json_t *layer, *counts = json_object_get(json_object_get(boot, "report"), "counts");
	const json_t *count;
	const char *verdict;
	size_t i;

	json_array_foreach(json_object_get(boot, "stack"), i, layer)
		print_layer(mlimg_json_text(layer, "kind", "?"), layer);
	if (json_is_object(json_object_get(boot, "user")))
		print_layer("user", json_object_get(boot, "user"));
	printf("union     ");
	mlimg_cli_put_safe(stdout, mlimg_json_text(boot, "union", "?"));
	printf("%s\nboot      generation %lld, change: ",
		strcmp(mlimg_json_text(boot, "disks", ""), "joined") == 0 ? ", joined disks" : "",
		(long long)json_integer_value(json_object_get(boot, "generation")));
	mlimg_cli_put_safe(stdout, mlimg_json_text(boot, "change", "?"));
	/* Where changes are kept, which is what one expects, nothing is said. */
	if (strcmp(mode, mlimg_boot_mode_name(MLIMG_BOOT_NORMAL)) != 0) {
		printf(", mode: ");
		mlimg_cli_put_safe(stdout, mode);
	}
	json_object_foreach((json_t *)counts, verdict, count)
	{
		printf(", ");
		mlimg_cli_put_safe(stdout, verdict);
		printf(" %lld", (long long)json_integer_value(count));
	}
	putchar('\n');
}

static void print_state(const json_t *status)
{
	printf("state     ");
	mlimg_cli_put_safe(stdout, mlimg_json_text(status, "system_state", "unknown"));
	printf(", default target %sreached, up %lld s\n",
		json_is_true(json_object_get(status, "default_target_reached")) ? "" : "not ",
		(long long)json_integer_value(json_object_get(status, "uptime_ms")) / 1000);
}

void mlimg_vm_print_status(const json_t *status)
{
	const json_t *boot = json_object_get(status, "boot");
	char units[2048];

	mlimg_status_failed_units(status, units, sizeof(units));
	print_state(status);
	if (json_is_object(boot))
		print_boot(boot);
	if (*units) {
		printf("failed    ");
		mlimg_cli_put_safe(stdout, units);
		putchar('\n');
	}
}
