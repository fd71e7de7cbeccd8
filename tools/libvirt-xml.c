/* SPDX-License-Identifier: MIT */
#include "tools/libvirt-xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "libmlimg/cleanup.h"

const char *mlimg_libvirt_uuid(const char *id, char ret_uuid[MLIMG_LIBVIRT_UUID_SIZE])
{
	snprintf(ret_uuid, MLIMG_LIBVIRT_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8,
		id + 12, id + 16, id + 20);
	return ret_uuid;
}

void mlimg_libvirt_escape(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&': fputs("&amp;", f); break;
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '"': fputs("&quot;", f); break;
		case '\'': fputs("&apos;", f); break;
		default: putc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, f);
		}
}

/* Of what it holds only %s is not ours: it is escaped. */
static void __attribute__((format(printf, 2, 3))) put(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (const char *p = fmt; *p; p++) {
		if (*p != '%') {
			putc(*p, f);
		} else if (*++p == 's') {
			mlimg_libvirt_escape(f, va_arg(ap, const char *));
		} else if (*p == 'u') {
			fprintf(f, "%u", va_arg(ap, unsigned));
		}
	}
	va_end(ap);
}

/*
 * As in vm-cmd.c: KVM has the host's processor, emulation all that it can do, but not erms.
 */
static void put_machine(FILE *f, const struct mlimg_libvirt_domain *d, const char *cmdline)
{
	const struct mlimg_vm_spec *spec = d->spec;
	char uuid[MLIMG_LIBVIRT_UUID_SIZE];
	bool kvm = spec->accel == MLIMG_ACCEL_KVM;

	put(f, "<domain type='%s'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n", kvm ? "kvm" : "qemu",
		spec->name, mlimg_libvirt_uuid(d->id, uuid));
	if (d->description)
		put(f, "  <description>%s</description>\n", d->description);
	put(f,
		"  <metadata>\n    <mlimg:tenant xmlns:mlimg='%s' id='%s'/>\n  </metadata>\n"
		"  <memory unit='MiB'>%u</memory>\n  <vcpu>%u</vcpu>\n",
		MLIMG_LIBVIRT_NAMESPACE, d->id, (unsigned)(spec->memory_bytes >> 20), spec->cpus);
	put(f,
		"  <os>\n    <type arch='%s' machine='%s'>hvm</type>\n    <kernel>%s</kernel>\n"
		"    <initrd>%s</initrd>\n    <cmdline>%s</cmdline>\n  </os>\n",
		spec->arch->name, spec->arch->machine, spec->kernel, spec->initrd, cmdline);
	fputs("  <features>\n    <acpi/>\n    <apic/>\n  </features>\n", f);
	fputs(kvm ? "  <cpu mode='host-passthrough'/>\n"
		  : "  <cpu mode='maximum'>\n    <feature policy='disable' name='erms'/>\n"
		    "  </cpu>\n",
		f);
	fputs("  <clock offset='utc'/>\n  <on_poweroff>destroy</on_poweroff>\n"
	      "  <on_reboot>restart</on_reboot>\n  <on_crash>destroy</on_crash>\n",
		f);
}

/* "vda" to "vdz", "vdaa" and so on, as the kernel counts. */
static const char *target_of(size_t i, char ret_target[8])
{
	if (i < 26)
		snprintf(ret_target, 8, "vd%c", (char)('a' + i));
	else
		snprintf(ret_target, 8, "vd%c%c", (char)('a' + i / 26 - 1), (char)('a' + i % 26));
	return ret_target;
}

static void put_address(FILE *f, unsigned slot, unsigned function)
{
	fprintf(f,
		"      <address type='pci' domain='0x0000' bus='0x00' slot='0x%02x' "
		"function='0x%x'%s/>\n",
		slot, function, function == 0 && slot >= 8 ? " multifunction='on'" : "");
}

/* Eight functions to a slot, from slot 8 on, as in vm-cmd.c. */
static void put_disk(FILE *f, const struct mlimg_libvirt_domain *d,
	const struct mlimg_vm_disk *disk, size_t position, bool is_user)
{
	bool is_written = is_user && d->spec->mode != MLIMG_BOOT_READONLY;
	char target[8];

	put(f, "    <disk type='%s' device='disk' model='virtio-non-transitional'>\n",
		disk->is_block_device ? "block" : "file");
	/* The format is said, never found out: the user's disk is a stranger's. */
	put(f, "      <driver name='qemu' type='%s'", disk->is_qcow2 ? "qcow2" : "raw");
	fputs(is_written ? " discard='unmap' detect_zeroes='unmap'/>\n" : "/>\n", f);
	put(f, "      <source %s='%s'", disk->is_block_device ? "dev" : "file", disk->path);
	if (!is_user && d->has_dac)
		fputs(">\n        <seclabel model='dac' relabel='no'/>\n      </source>\n", f);
	else
		fputs("/>\n", f);
	put(f, "      <target dev='%s' bus='virtio'/>\n", target_of(position, target));
	if (!is_written)
		fputs("      <readonly/>\n", f);
	if (!is_user)
		fputs("      <shareable/>\n", f);
	fprintf(f, "      <serial>%.*s</serial>\n", MLIMG_SHORT_ID, disk->id);
	put_address(f, (unsigned)(8 + position / 8), position % 8);
	fputs("    </disk>\n", f);
}

static void put_disks(FILE *f, const struct mlimg_libvirt_domain *d)
{
	const struct mlimg_vm_spec *spec = d->spec;
	size_t n = spec->n_disks;

	for (size_t i = 0; i < n; i++)
		put_disk(f, d, &spec->disks[i], i, i == n - 1);
	if (spec->index.path)
		put_disk(f, d, &spec->index, n, false);
}

static void put_net(FILE *f, const struct mlimg_libvirt_domain *d)
{
	const struct mlimg_vm_spec *spec = d->spec;

	if (!spec->net)
		return;
	put(f, "    <interface type='%s'>\n", d->network ? "network" : "user");
	if (d->network)
		put(f, "      <source network='%s'/>\n", d->network);
	fputs("      <model type='virtio'/>\n", f);
	fputs("      <rom enabled='no'/>\n", f);
	put_address(f, 4, 0);
	fputs("    </interface>\n", f);
}

static void put_devices(FILE *f)
{
	fputs("    <controller type='usb' model='none'/>\n"
	      "    <controller type='virtio-serial' index='0'>\n",
		f);
	put_address(f, 2, 0);
	fputs("    </controller>\n"
	      "    <channel type='unix'>\n      <target type='virtio' name='" MLIMG_LIBVIRT_CHANNEL
	      "'/>\n    </channel>\n"
	      "    <serial type='pty'>\n      <target port='0'/>\n    </serial>\n"
	      "    <console type='pty'>\n      <target type='serial' port='0'/>\n    </console>\n"
	      "    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>\n"
	      "    <video>\n      <model type='vga'/>\n",
		f);
	put_address(f, 1, 0);
	fputs("    </video>\n    <rng model='virtio'>\n      <backend model='builtin'/>\n", f);
	put_address(f, 3, 0);
	fputs("    </rng>\n    <memballoon model='virtio'>\n", f);
	put_address(f, 5, 0);
	fputs("    </memballoon>\n", f);
}

/* Others' names only; what comes out of the store is checked there. */
static int check_text(const char *text, struct mlimg_err *err)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			return mlimg_err_set(
				err, EILSEQ, "'%.200s' cannot be told to libvirt", text);
	return 0;
}

static int check(const struct mlimg_vm_spec *spec, struct mlimg_err *err)
{
	int ret = check_text(spec->kernel, err);

	if (ret == 0)
		ret = check_text(spec->initrd, err);
	if (ret == 0 && spec->append)
		ret = check_text(spec->append, err);
	for (size_t i = 0; ret == 0 && i < spec->n_disks; i++)
		ret = check_text(spec->disks[i].path, err);
	if (ret == 0 && spec->index.path)
		ret = check_text(spec->index.path, err);
	/* Only through passt, which libvirt 9.0, Debian 12's, does not know. */
	if (ret == 0 && spec->net && spec->n_forwards)
		ret = mlimg_err_usage(
			err, "libvirt forwards no ports to a guest: take a network of the host's");
	if (ret == 0 && spec->index.is_vmdk)
		ret = mlimg_err_usage(err,
			"libvirt runs no guest whose layers are joined: take '--disks separate'");
	return ret;
}

int mlimg_libvirt_xml(
	const struct mlimg_libvirt_domain *domain, char **ret_xml, struct mlimg_err *err)
{
	mlimg_autofree char *cmdline = NULL, *xml = NULL;
	size_t size = 0;
	FILE *f;
	int ret = check(domain->spec, err);

	if (ret == 0)
		ret = mlimg_vm_kernel_cmdline(domain->spec, &cmdline, err);
	if (ret < 0)
		return ret;
	f = open_memstream(&xml, &size);
	if (!f)
		return mlimg_err_set(err, ENOMEM, "domain");
	put_machine(f, domain, cmdline);
	fputs("  <devices>\n", f);
	put_disks(f, domain);
	put_net(f, domain);
	put_devices(f);
	fputs("  </devices>\n</domain>\n", f);
	if (fclose(f) != 0)
		return mlimg_err_set(err, ENOMEM, "domain");
	*ret_xml = mlimg_steal(&xml);
	return 0;
}
