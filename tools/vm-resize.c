/* SPDX-License-Identifier: MIT */
/* `mlimg-vm resize`: a larger user disk. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "tools/backend.h"
#include "tools/cli.h"
#include "tools/qemu-img.h"
#include "tools/tenant-options.h"
#include "tools/vm-agent.h"

#define QMP_MS 10000 /* QEMU itself answers at once, unless its machine is very busy */
#define NODE "user"  /* of the user disk, in QEMU (vm-cmd.c) */

static const char help[] =
	"Usage: mlimg-vm resize NAME SIZE [OPTION]...\n"
	"\n"
	"Make a tenant's disk larger: SIZE is what it has afterwards, 64M to 8T. Its file\n"
	"system grows at its next boot. A disk never becomes smaller.\n"
	"\n" MLIMG_TENANT_STORE_HELP;

static int grow_file(const char *path, uint64_t size_bytes, struct mlimg_err *err)
{
	char size[24];
	const char *const args[] = {"resize", "-f", "qcow2", path, size, NULL};
	int ret;

	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	ret = mlimg_qemu_img(args, NULL, err);
	return ret < 0 ? ret : mlimg_tenant_disk_sync(path, err);
}

/* QEMU has the disk open: it alone may change it, and the guest sees it at once. */
static int grow_running(const struct mlimg_tenant *t, uint64_t size_bytes, struct mlimg_err *err)
{
	const struct mlimg_backend *backend = mlimg_backend_of(t);
	struct mlimg_chan chan = MLIMG_CHAN_INIT;
	json_t *arguments;
	int ret;

	if (backend->grow)
		return backend->grow(t, size_bytes, err);
	ret = backend->monitor(t, &chan, err);
	if (ret < 0)
		return ret;
	arguments = json_pack("{s:s, s:I}", "node-name", NODE, "size", (json_int_t)size_bytes);
	ret = arguments ? mlimg_chan_ask(&chan, "block_resize", arguments, mlimg_now_ms() + QMP_MS,
				  NULL, err)
			: mlimg_err_set(err, ENOMEM, "resize");
	mlimg_chan_close(&chan);
	return ret < 0 ? mlimg_err_wrap(err, ret, "tenant '%s'", t->row.name) : 0;
}

static int grow(struct mlimg_store *store, struct mlimg_tenant *t, uint64_t size_bytes,
	enum mlimg_guest_state state, struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT];
	int ret = mlimg_guest_is_on(state) ? grow_running(t, size_bytes, err)
					   : grow_file(t->user_disk, size_bytes, err);

	if (ret < 0)
		return ret;
	mlimg_cli_format_size(size_bytes, size);
	printf("%s: disk of %s; its file system grows at the next boot\n", t->row.name, size);
	/* That it cannot be written down does not undo it. */
	(void)!mlimg_store_event_add(store, MLIMG_STORE_TENANT, t->row.id, "resized", size, NULL);
	return 0;
}

static int look_at_size(const struct mlimg_tenant *t, enum mlimg_guest_state state,
	uint64_t *ret_bytes, struct mlimg_err *err)
{
	struct mlimg_tenant_disk disk;
	int ret;

	if (mlimg_backend_has_disk_away(t) && mlimg_guest_is_on(state))
		return mlimg_backend_of(t)->disk_size(t, ret_bytes, err);
	if (mlimg_backend_has_disk_away(t))
		return mlimg_err_set(err, 0,
			"the disk of tenant '%s' is on host '%s', and can be resized only while it "
			"runs: "
			"'mlimg-vm start %s' first",
			t->row.name, t->host, t->row.name);
	ret = mlimg_tenant_disk_look(t->user_disk, &disk, err);
	if (ret == 0)
		*ret_bytes = disk.size_bytes;
	return ret;
}

static int resize(struct mlimg_store *store, struct mlimg_tenant *t, uint64_t size_bytes,
	struct mlimg_err *err)
{
	char size[MLIMG_CLI_SIZE_TEXT], why[MLIMG_GUEST_WHY_SIZE];
	enum mlimg_guest_state state;
	uint64_t was_bytes = 0;
	int ret = mlimg_backend_look(store, t, &state, why, err);

	if (ret == 0)
		ret = mlimg_backend_check_rest(t, err);
	if (ret == 0)
		ret = look_at_size(t, state, &was_bytes, err);
	if (ret < 0)
		return ret;
	mlimg_cli_format_size(was_bytes, size);
	if (size_bytes < was_bytes)
		return mlimg_err_set(err, 0,
			"the disk of tenant '%s' has %s: it can only become larger, what is in it "
			"would be cut off",
			t->row.name, size);
	if (size_bytes == was_bytes) {
		printf("%s: its disk has %s already\n", t->row.name, size);
		return 0;
	}
	return grow(store, t, size_bytes, state, err);
}

static int run(const char *dir, const char *name, uint64_t size_bytes, struct mlimg_err *err)
{
	mlimg_autostore struct mlimg_store *store = NULL;
	mlimg_autotenant struct mlimg_tenant t = {.run_s = 0};
	mlimg_autoclose int lock = -1;
	int ret = mlimg_store_open_given(dir, MLIMG_STORE_USE, &store, err);

	if (ret == 0)
		ret = mlimg_tenant_take(store, name, "resize", &t, &lock, err);
	return ret < 0 ? ret : resize(store, &t, size_bytes, err);
}

int mlimg_vm_cmd_resize(int argc, char **argv)
{
	static const char *const operands[] = {"the name of a tenant", "a size"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *dir;
	uint64_t size_bytes;
	int code = mlimg_tenant_parse(argc, argv, help, operands, 2, &dir, NULL);

	if (code >= 0)
		return code;
	signal(SIGXFSZ, SIG_IGN);
	if (mlimg_tenant_disk_size_of(argv[optind + 1], &size_bytes, &err) < 0 ||
		run(dir, argv[optind], size_bytes, &err) < 0)
		return mlimg_cli_fail(MLIMG_VM_PROG, &err);
	return mlimg_cli_close_stdout(MLIMG_VM_PROG);
}
