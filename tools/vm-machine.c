/* SPDX-License-Identifier: MIT */
#include "tools/vm-machine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"

#define MEMORY_MIN (64ull << 20)
#define MEMORY_MAX (4ull << 40)
#define CPUS_MAX 255

int mlimg_vm_memory_of(const char *text, uint64_t *ret_bytes, struct mlimg_err *err)
{
	uint64_t bytes = 0;
	int ret = mlimg_cli_size(text, &bytes, err);

	if (ret < 0)
		return ret;
	if (bytes < MEMORY_MIN || bytes > MEMORY_MAX)
		return mlimg_err_usage(err, "'%s' is not from 64M to 4T", text);
	if (bytes % (1 << 20))
		return mlimg_err_usage(err, "'%s' is not a whole number of MiB", text);
	*ret_bytes = bytes;
	return 0;
}

static int number(const char *text, uint64_t max, unsigned *ret, struct mlimg_err *err)
{
	uint64_t n = 0;
	int r = mlimg_cli_number(text, 1, max, &n, err);

	if (r == 0)
		*ret = (unsigned)n;
	return r;
}

int mlimg_vm_cpus_of(const char *text, unsigned *ret_cpus, struct mlimg_err *err)
{
	return number(text, CPUS_MAX, ret_cpus, err);
}

int mlimg_vm_boot_timeout_of(const char *text, unsigned *ret_seconds, struct mlimg_err *err)
{
	return number(text, MLIMG_VM_BOOT_TIMEOUT_S_MAX, ret_seconds, err);
}

int mlimg_vm_forward_of(
	const char *text, struct mlimg_vm_forward *ret_forward, struct mlimg_err *err)
{
	struct mlimg_vm_forward f = {.address = "127.0.0.1"};
	char address[INET_ADDRSTRLEN], host[6], guest[6];
	unsigned host_port = 0, guest_port = 0;
	struct in_addr in;
	int end = 0, ret;

	if (sscanf(text, "%5[0-9]:%5[0-9]%n", host, guest, &end) != 2 || text[end]) {
		if (sscanf(text, "%15[0-9.]:%5[0-9]:%5[0-9]%n", address, host, guest, &end) != 3 ||
			text[end])
			return mlimg_err_usage(
				err, "'%s' is not [ADDRESS:]HOSTPORT:GUESTPORT", text);
		memcpy(f.address, address, sizeof(f.address));
	}
	if (inet_pton(AF_INET, f.address, &in) != 1)
		return mlimg_err_usage(err, "'%s' is no IPv4 address", f.address);
	ret = number(host, 65535, &host_port, err);
	if (ret == 0)
		ret = number(guest, 65535, &guest_port, err);
	if (ret < 0)
		return ret;
	f.host = (uint16_t)host_port;
	f.guest = (uint16_t)guest_port;
	*ret_forward = f;
	return 0;
}

const char *mlimg_vm_forward_text(
	const struct mlimg_vm_forward *forward, char ret_text[MLIMG_VM_FORWARD_TEXT])
{
	snprintf(ret_text, MLIMG_VM_FORWARD_TEXT, "%.15s:%u:%u", forward->address, forward->host,
		forward->guest);
	return ret_text;
}
