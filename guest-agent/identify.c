/* SPDX-License-Identifier: MIT */
#include "guest-agent/identify.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest-agent/calls.h"
#include "guest-agent/dm.h"
#include "guest-agent/mounted.h"
#include "libmlimg/cleanup.h"
#include "tools/cli.h"

#define DETAIL_SIZE 160

void mlimg_identify_apply_wants(struct mlimg_device *device, char *const *wants, size_t n_wants)
{
	enum mlimg_disk_state state = device->disk.state;

	if (state != MLIMG_DISK_BLANK && state != MLIMG_DISK_OTHER)
		return;
	for (size_t i = 0; i < n_wants; i++)
		if (strlen(device->serial) == MLIMG_SHORT_ID &&
			strncasecmp(device->serial, wants[i], MLIMG_SHORT_ID) == 0)
			device->disk.state = MLIMG_DISK_DAMAGED;
}

static void describe_damage(const struct mlimg_disk *disk, char text[DETAIL_SIZE])
{
	if (disk->is_index)
		snprintf(text, DETAIL_SIZE, "index, but %s", disk->index.flaw);
	else if (disk->backup_offset)
		snprintf(text, DETAIL_SIZE,
			"no sound primary superblock, a backup at byte %" PRIu64
			" has the label '%s'",
			disk->backup_offset, disk->sb.label);
	else if (disk->sb.flaw)
		snprintf(text, DETAIL_SIZE, "ext4, but %s", disk->sb.flaw);
	else
		snprintf(text, DETAIL_SIZE,
			"the serial is a wanted disk's, but no superblock of mlimg's is there");
}

static void describe(const struct mlimg_disk *disk, char text[DETAIL_SIZE])
{
	uint64_t size_bytes = disk->is_index ? disk->index.size_bytes : disk->sb.size_bytes;
	char size[MLIMG_CLI_SIZE_TEXT];

	mlimg_cli_format_size(size_bytes, size);
	switch (disk->state) {
	case MLIMG_DISK_LAYER:
		if (disk->is_index)
			snprintf(text, DETAIL_SIZE, "EROFS, %s, %s %u %s", size,
				disk->index.is_joined ? "joined with" : "over",
				disk->index.n_devices,
				mlimg_cli_noun(disk->index.n_devices, "layer", "layers"));
		else
			snprintf(text, DETAIL_SIZE, "ext4, %s", size);
		break;
	case MLIMG_DISK_EXT4:
		snprintf(text, DETAIL_SIZE, "ext4, %s, label '%s'", size, disk->sb.label);
		break;
	case MLIMG_DISK_DAMAGED: describe_damage(disk, text); break;
	case MLIMG_DISK_TRUNCATED:
		snprintf(text, DETAIL_SIZE,
			"the file system has %" PRIu64 " bytes, the disk only %" PRIu64, size_bytes,
			disk->size_bytes);
		break;
	case MLIMG_DISK_BLANK:
		snprintf(text, DETAIL_SIZE,
			disk->is_unfinished ? "formatting it was cut off"
					    : "the first 128 KiB are zero");
		break;
	case MLIMG_DISK_OTHER: snprintf(text, DETAIL_SIZE, "neither ext4 nor blank"); break;
	case MLIMG_DISK_UNREADABLE: snprintf(text, DETAIL_SIZE, "%s", strerror(disk->error)); break;
	}
}

static void put_field(const char *text, char end, FILE *f)
{
	if (!text[0])
		fputc('-', f);
	for (; *text; text++)
		fputc(*text >= 0x20 && *text < 0x7f ? *text : '?', f);
	fputc(end, f);
}

/* A damaged one may have been anything. */
static bool is_joined(const struct mlimg_disk *disk)
{
	return disk->is_index && disk->index.is_joined &&
		disk->index.state == MLIMG_SUPERBLOCK_SOUND;
}

void mlimg_identify_print(const struct mlimg_device *device, FILE *f)
{
	const struct mlimg_disk *disk = &device->disk;
	char detail[DETAIL_SIZE], uuid[2 * MLIMG_UUID_SIZE + 1] = "";

	describe(disk, detail);
	if (disk->is_index || disk->sb.state != MLIMG_SUPERBLOCK_NONE)
		for (size_t i = 0; i < MLIMG_UUID_SIZE; i++)
			sprintf(uuid + 2 * i, "%02x",
				disk->is_index ? disk->index.uuid[i] : disk->sb.uuid[i]);
	put_field(device->path, '\t', f);
	put_field(mlimg_disk_state_name(disk->state), '\t', f);
	put_field(is_joined(disk)        ? "joined"
			: disk->is_index ? "index"
			: disk->kind     ? mlimg_kind_name(disk->kind)
					 : "",
		'\t', f);
	put_field(uuid, '\t', f);
	put_field(device->serial, '\t', f);
	put_field(detail, '\n', f);
}

/* virtio-blk has it on the disk, NVMe and SCSI on the device beneath. */
void mlimg_identify_serial(const char *path, char ret_serial[MLIMG_SERIAL_SIZE])
{
	static const char *const places[] = {"serial", "device/serial"};
	struct stat st;
	char file[64];
	ssize_t n = 0;

	ret_serial[0] = '\0';
	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
		return;
	for (size_t i = 0; i < 2 && n <= 0; i++) {
		mlimg_autoclose int fd = -1;

		snprintf(file, sizeof(file), "/sys/dev/block/%u:%u/%s", major(st.st_rdev),
			minor(st.st_rdev), places[i]);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : read(fd, ret_serial, MLIMG_SERIAL_SIZE - 1);
	}
	ret_serial[n > 0 ? n : 0] = '\0';
	ret_serial[strcspn(ret_serial, " \n")] = '\0';
}

static void look_at(const char *path, char *const *wants, size_t n_wants)
{
	struct mlimg_device device = {.path = path, .disk.state = MLIMG_DISK_UNREADABLE};
	/* O_NONBLOCK: a drive without a medium, or a FIFO given by mistake, must not stop us. */
	mlimg_autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		device.disk.error = errno;
	else
		mlimg_disk_probe(fd, &device.disk);
	mlimg_identify_serial(path, device.serial);
	mlimg_identify_apply_wants(&device, wants, n_wants);
	mlimg_identify_print(&device, stdout);
}

/*
 * A device over a disk that an earlier attempt made: what it shows is on that disk, not there
 * twice.
 */
static bool is_ours(const char *name)
{
	char file[sizeof("/sys/block//dm/uuid") + NAME_MAX];
	char uuid[sizeof(MLIMG_DM_UUID_PREFIX) - 1];
	mlimg_autoclose int fd = -1;

	snprintf(file, sizeof(file), "/sys/block/%s/dm/uuid", name);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, uuid, sizeof(uuid)) == (ssize_t)sizeof(uuid) &&
		memcmp(uuid, MLIMG_DM_UUID_PREFIX, sizeof(uuid)) == 0;
}

static int is_disk(const struct dirent *entry)
{
	static const char *const not_disks[] = {".", "ram", "loop", "zram"};

	for (size_t i = 0; i < 4; i++)
		if (strncmp(entry->d_name, not_disks[i], strlen(not_disks[i])) == 0)
			return 0;
	return !is_ours(entry->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int look_at_all(char *const *wants, size_t n_wants)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct dirent **disks;
	int n = scandir("/sys/block", &disks, is_disk, by_name);

	if (n < 0) {
		int r = mlimg_err_set(&err, errno, "list /sys/block");

		return r < 0 ? mlimg_cli_fail(MLIMG_AGENT_PROG, &err) : MLIMG_EXIT_FAILED;
	}
	for (int i = 0; i < n; i++) {
		char path[sizeof("/dev/") + sizeof(disks[i]->d_name)];

		snprintf(path, sizeof(path), "/dev/%s", disks[i]->d_name);
		/* sysfs writes '!' where a name has '/' ("cciss!c0d0"). */
		for (char *c = path; *c; c++)
			if (*c == '!')
				*c = '/';
		look_at(path, wants, n_wants);
		free(disks[i]);
	}
	free(disks);
	return MLIMG_EXIT_DONE;
}

int mlimg_call_identify(int argc, char **argv)
{
	static const struct option options[] = {{"want", required_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	mlimg_autofree char **wants = calloc((size_t)argc, sizeof(*wants));
	size_t n_wants = 0;
	int opt, r = MLIMG_EXIT_DONE;

	while (wants && (opt = mlimg_cli_getopt(MLIMG_AGENT_PROG, argc, argv, "h", options)) != -1)
		switch (opt) {
		case 'w':
			if (!mlimg_id_is_valid(optarg))
				return mlimg_cli_usage(MLIMG_AGENT_PROG,
					"identify: '%s' is no id (20 to 64 hex digits)", optarg);
			wants[n_wants++] = optarg;
			break;
		case 'h': return mlimg_call_help();
		default: return MLIMG_EXIT_USAGE;
		}
	if (optind == argc)
		r = look_at_all(wants, n_wants);
	for (int i = optind; i < argc; i++)
		look_at(argv[i], wants, n_wants);
	return r == MLIMG_EXIT_DONE ? mlimg_cli_close_stdout(MLIMG_AGENT_PROG) : r;
}
