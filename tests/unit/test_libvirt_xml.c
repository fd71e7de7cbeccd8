/* SPDX-License-Identifier: MIT */
#include "tests/lib/test.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "libmlimg/cleanup.h"
#include "tools/libvirt-conn.h"
#include "tools/libvirt-err.h"
#include "tools/libvirt-xml.h"

#define ID "0123456789abcdef0123456789abcdef"
#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static char ids[MLIMG_VM_DISKS_MAX + 1][MLIMG_SHA256_HEX_SIZE];

/* A guest with @n disks; the id of disk i is i in 64 digits. */
static struct mlimg_vm_spec guest(size_t n)
{
	struct mlimg_vm_spec spec = {.arch = mlimg_vm_arch_of("x86_64"),
		.accel = MLIMG_ACCEL_TCG,
		.name = "alice",
		.memory_bytes = 512 << 20,
		.cpus = 2,
		.kernel = "/k",
		.initrd = "/i",
		.n_disks = n};

	for (size_t i = 0; i <= MLIMG_VM_DISKS_MAX; i++)
		snprintf(ids[i], sizeof(ids[i]), "%020zx%044d", i, 0);
	for (size_t i = 0; i < n; i++)
		spec.disks[i] =
			(struct mlimg_vm_disk){.path = "/d", .id = ids[i], .is_qcow2 = i == n - 1};
	return spec;
}

static char *xml_of(const struct mlimg_libvirt_domain *d)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *xml = NULL;

	ASSERT_OK(mlimg_libvirt_xml(d, &xml, &err), err);
	return xml;
}

/* What libvirt has made of a domain that its schema allows; free() it. */
static char *defined(const char *xml)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	virConnectPtr conn;
	virDomainPtr domain;
	char *text;

	ASSERT_OK(mlimg_libvirt_connect("test:///default", &conn, &err), err);
	domain = virDomainDefineXMLFlags(conn, xml, VIR_DOMAIN_DEFINE_VALIDATE);
	if (!domain)
		FAIL("%s\n%s", virGetLastErrorMessage(), xml);
	text = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
	ASSERT(text);
	virDomainFree(domain);
	return text;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* The domain of alice, with an index on a block device: what it is, */
static const char machine[] =
	"<domain type='qemu'>\n"
	"  <name>alice</name>\n"
	"  <uuid>" UUID "</uuid>\n"
	"  <description>debian 12.1</description>\n"
	"  <metadata>\n"
	"    <mlimg:tenant xmlns:mlimg='urn:mlimg:tenant' id='" ID "'/>\n"
	"  </metadata>\n"
	"  <memory unit='MiB'>512</memory>\n"
	"  <vcpu>2</vcpu>\n"
	"  <os>\n"
	"    <type arch='x86_64' machine='q35'>hvm</type>\n"
	"    <kernel>/k</kernel>\n"
	"    <initrd>/i</initrd>\n"
	"    <cmdline>boot=mlimg mlimg.system=00000000000000000000 "
	"mlimg.user=00000000000000000001 mlimg.union=index "
	"mlimg.index=00000000000000000002 console=ttyS0 no_timer_check panic=-1 "
	"quiet</cmdline>\n"
	"  </os>\n"
	"  <features>\n"
	"    <acpi/>\n"
	"    <apic/>\n"
	"  </features>\n"
	"  <cpu mode='maximum'>\n"
	"    <feature policy='disable' name='erms'/>\n"
	"  </cpu>\n"
	"  <clock offset='utc'/>\n"
	"  <on_poweroff>destroy</on_poweroff>\n"
	"  <on_reboot>restart</on_reboot>\n"
	"  <on_crash>destroy</on_crash>\n";

/* its disks, */
static const char disks[] =
	"  <devices>\n"
	"    <disk type='file' device='disk' model='virtio-non-transitional'>\n"
	"      <driver name='qemu' type='raw'/>\n"
	"      <source file='/d'>\n"
	"        <seclabel model='dac' relabel='no'/>\n"
	"      </source>\n"
	"      <target dev='vda' bus='virtio'/>\n"
	"      <readonly/>\n"
	"      <shareable/>\n"
	"      <serial>00000000000000000000</serial>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x08' "
	"function='0x0' multifunction='on'/>\n"
	"    </disk>\n"
	"    <disk type='file' device='disk' model='virtio-non-transitional'>\n"
	"      <driver name='qemu' type='qcow2' discard='unmap' "
	"detect_zeroes='unmap'/>\n"
	"      <source file='/d'/>\n"
	"      <target dev='vdb' bus='virtio'/>\n"
	"      <serial>00000000000000000001</serial>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x08' "
	"function='0x1'/>\n"
	"    </disk>\n"
	"    <disk type='block' device='disk' model='virtio-non-transitional'>\n"
	"      <driver name='qemu' type='raw'/>\n"
	"      <source dev='/dev/index'>\n"
	"        <seclabel model='dac' relabel='no'/>\n"
	"      </source>\n"
	"      <target dev='vdc' bus='virtio'/>\n"
	"      <readonly/>\n"
	"      <shareable/>\n"
	"      <serial>00000000000000000002</serial>\n"
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x08' "
	"function='0x2'/>\n"
	"    </disk>\n";

/* and all else. */
static const char devices[] = "    <interface type='user'>\n"
			      "      <model type='virtio'/>\n"
			      "      <rom enabled='no'/>\n"
			      "      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' "
			      "function='0x0'/>\n"
			      "    </interface>\n"
			      "    <controller type='usb' model='none'/>\n"
			      "    <controller type='virtio-serial' index='0'>\n"
			      "      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' "
			      "function='0x0'/>\n"
			      "    </controller>\n"
			      "    <channel type='unix'>\n"
			      "      <target type='virtio' name='org.mlimg.agent.0'/>\n"
			      "    </channel>\n"
			      "    <serial type='pty'>\n"
			      "      <target port='0'/>\n"
			      "    </serial>\n"
			      "    <console type='pty'>\n"
			      "      <target type='serial' port='0'/>\n"
			      "    </console>\n"
			      "    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>\n"
			      "    <video>\n"
			      "      <model type='vga'/>\n"
			      "      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' "
			      "function='0x0'/>\n"
			      "    </video>\n"
			      "    <rng model='virtio'>\n"
			      "      <backend model='builtin'/>\n"
			      "      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' "
			      "function='0x0'/>\n"
			      "    </rng>\n"
			      "    <memballoon model='virtio'>\n"
			      "      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' "
			      "function='0x0'/>\n"
			      "    </memballoon>\n"
			      "  </devices>\n"
			      "</domain>\n";

TEST(a_whole_domain)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_libvirt_domain d = {
		.spec = &spec, .id = ID, .description = "debian 12.1", .has_dac = true};
	mlimg_autofree char *xml = NULL, *there = NULL, *wanted = NULL;

	spec.append = "quiet";
	spec.net = true;
	spec.index =
		(struct mlimg_vm_disk){.path = "/dev/index", .is_block_device = true, .id = ids[2]};
	xml = xml_of(&d);
	ASSERT(asprintf(&wanted, "%s%s%s", machine, disks, devices) > 0);
	ASSERT_STR(xml, wanted);
	there = defined(xml);
	ASSERT(strstr(there, "<uuid>" UUID "</uuid>"));
}

TEST(kvm_has_the_hosts_processor)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_libvirt_domain d = {.spec = &spec, .id = ID};
	mlimg_autofree char *xml = NULL;

	spec.accel = MLIMG_ACCEL_KVM;
	xml = xml_of(&d);
	ASSERT(strstr(xml, "<domain type='kvm'>"));
	ASSERT(strstr(xml, "<cpu mode='host-passthrough'/>"));
	/* Without that security model a host does not know its label. */
	ASSERT(!strstr(xml, "seclabel"));
	ASSERT(!strstr(xml, "<interface"));
	ASSERT_EQ(count(xml, "<disk "), 2);
}

TEST(as_many_disks_as_a_stack_can_have)
{
	struct mlimg_vm_spec spec = guest(MLIMG_VM_DISKS_MAX);
	struct mlimg_libvirt_domain d = {.spec = &spec, .id = ID, .has_dac = true};
	mlimg_autofree char *xml = NULL, *there = NULL;

	/* All build ids at once are more than x86 reads; the index names fewer. */
	spec.n_patches = MLIMG_STACK_PATCH_MAX;
	spec.index = (struct mlimg_vm_disk){.path = "/x", .id = ids[MLIMG_VM_DISKS_MAX]};
	xml = xml_of(&d);
	there = defined(xml);
	ASSERT_EQ(count(there, "<disk "), MLIMG_VM_DISKS_MAX + 1);
	ASSERT_EQ(count(there, "<shareable/>"), MLIMG_VM_DISKS_MAX);
	ASSERT_EQ(count(there, "<readonly/>"), MLIMG_VM_DISKS_MAX);
	ASSERT(strstr(there, "dev='vdz'") && strstr(there, "dev='vdaa'"));
}

TEST(a_read_only_guest_does_not_write_its_user_disk)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_libvirt_domain d = {.spec = &spec, .id = ID};
	mlimg_autofree char *xml = NULL, *there = NULL;

	spec.mode = MLIMG_BOOT_READONLY;
	xml = xml_of(&d);
	ASSERT_EQ(count(xml, "<readonly/>"), 2);
	ASSERT_EQ(count(xml, "discard="), 0);
	there = defined(xml);
}

TEST(names_cannot_climb_out_of_their_place)
{
	static const char hostile[] = "/a'/><disk \"&amp;.img";
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_libvirt_domain d = {.spec = &spec,
		.id = ID,
		.description = "</description><b>\x1b[2J",
		.network = "n'/>"};
	mlimg_autofree char *xml = NULL, *there = NULL;

	spec.net = true;
	spec.append = "a=<&>'\"";
	for (size_t i = 0; i < 2; i++)
		spec.disks[i].path = hostile;
	spec.kernel = spec.initrd = hostile;
	xml = xml_of(&d);
	there = defined(xml);
	ASSERT_EQ(count(there, "<disk "), 2);
	ASSERT_EQ(count(there, "file='/a&apos;/&gt;&lt;disk &quot;&amp;amp;.img'"), 2);
	ASSERT(strstr(there, "&lt;/description&gt;&lt;b&gt;?[2J</description>"));
	ASSERT(strstr(there, "a=&lt;&amp;&gt;"));
}

TEST(what_libvirt_cannot_be_told_is_refused)
{
	struct mlimg_vm_spec spec = guest(2);
	struct mlimg_libvirt_domain d = {.spec = &spec, .id = ID};
	struct mlimg_err err = MLIMG_ERR_INIT;
	char *xml = NULL;

	spec.kernel = "/a\nb";
	ASSERT_EQ(mlimg_libvirt_xml(&d, &xml, &err), -EILSEQ);
	ASSERT(strstr(err.text, "'/a?b' cannot be told to libvirt"));
	spec.kernel = "/k";
	spec.net = true;
	spec.n_forwards = 1;
	ASSERT_EQ(mlimg_libvirt_xml(&d, &xml, &err), -EINVAL);
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	ASSERT_STR(err.text, "libvirt forwards no ports to a guest: take a network of the host's");
	spec.n_forwards = 0;
	spec.index = (struct mlimg_vm_disk){.path = "/x", .is_vmdk = true, .id = ids[2]};
	ASSERT_EQ(mlimg_libvirt_xml(&d, &xml, &err), -EINVAL);
	ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	ASSERT_STR(
		err.text, "libvirt runs no guest whose layers are joined: take '--disks separate'");
	ASSERT(!xml);
}

TEST(errors_say_what_libvirt_says)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	virConnectPtr conn, again;

	ASSERT_OK(mlimg_libvirt_connect("test:///default", &conn, &err), err);
	ASSERT_OK(mlimg_libvirt_connect("test:///default", &again, &err), err);
	ASSERT(conn == again);
	ASSERT(!virDomainLookupByName(conn, "nobody"));
	ASSERT_EQ(mlimg_libvirt_code(), -ENOENT);
	ASSERT_EQ(mlimg_libvirt_fail(&err, "tenant '%s'", "nobody"), -ENOENT);
	ASSERT_EQ(err.code, -ENOENT);
	ASSERT(strncmp(err.text, "tenant 'nobody': Domain not found", 33) == 0);
	ASSERT_EQ(mlimg_libvirt_connect("qemu+unix:///system?socket=/nowhere/sock", &conn, &err),
		-EHOSTUNREACH);
	ASSERT(strstr(err.text, "host 'qemu+unix:///system?socket=/nowhere/sock': "));
	ASSERT(strstr(err.text, "No such file or directory"));
}

TEST(which_uris_are_this_machine)
{
	static const char *const here[] = {"qemu:///system", "qemu:///session", "test:///default"};
	static const char *const elsewhere[] = {"qemu+ssh://root@example.org/system",
		"qemu://example.org/system", "qemu+unix:///system?socket=/run/other",
		"qemu:///system?socket=/run/other", "qemu+tcp:///system"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
		ASSERT(mlimg_libvirt_is_local(here[i]));
		ASSERT_OK(mlimg_libvirt_check_uri(here[i], &err), err);
	}
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		ASSERT(!mlimg_libvirt_is_local(elsewhere[i]));
		ASSERT_OK(mlimg_libvirt_check_uri(elsewhere[i], &err), err);
	}
}

TEST(what_is_no_uri)
{
	static const char *const bad[] = {"", "qemu", "/run/sock", "qemu:/system", "QEMU:///system",
		"+qemu:///system", "qemu:///system\n", "qemu:///a b", "qemu:///'"};
	struct mlimg_err err = MLIMG_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (mlimg_libvirt_check_uri(bad[i], &err) != -EINVAL)
			FAIL("taken: '%s'", bad[i]);
		ASSERT_EQ(err.kind, MLIMG_ERR_USAGE);
	}
}
