/* SPDX-License-Identifier: MIT */
/*
 * usage: fsprobe tree DIR FILES LAYERS LAYER            make the part of the tree that is layer LAYER of LAYERS
 *        fsprobe tar FILES LAYERS LAYER                 the same to stdout as a tar, files of one block at most
 *        fsprobe time OPERATION DIR FILES COUNT SEED    print "COLD WARM", nanoseconds an operation
 *        fsprobe mount TYPE SOURCE DIR OPTIONS          mount(2) as it is: its options may fill a page
 *        fsprobe umount DIR
 *        fsprobe partition DEVICE NUMBER START BYTES    tell the kernel of a partition
 *
 * What the depth benchmark does on the host and in a guest that has no other programs than this and
 * busybox; statically linked.
 *
 * The tree has FILES files, 50 in a directory, 20 directories in a directory, and follows from the
 * numbers alone. Every layer has every directory; each file is in one layer, chosen at random, so
 * all depths show the same merged tree.
 *
 * Operations: stat, missing (lstat of names that no layer has), list (of directories), read (open,
 * read to the end, close). Each is done COUNT times at most, in an order that follows from SEED, on
 * the file system as it was just mounted, and once more after that. What is found is checked: a
 * benchmark of errors is fast.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_PER_DIR 50
#define DIRS_PER_DIR 20
#define SIZE_MAX_BYTES 8192
#define PATH_SIZE 96
#define EPOCH 1600000000

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die(const char *format, ...)
{
	va_list args;

	fputs("fsprobe: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

/* splitmix64 (public domain, Vigna 2015) */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* ---- the tree ---- */

static unsigned n_dirs(unsigned files)
{
	return (files + FILES_PER_DIR - 1) / FILES_PER_DIR;
}

static void dir_path(char *path, unsigned dir)
{
	snprintf(path, PATH_SIZE, "package-%03u/component-%02u", dir / DIRS_PER_DIR,
		dir % DIRS_PER_DIR);
}

static void file_path(char *path, unsigned file)
{
	char dir[PATH_SIZE / 2];

	dir_path(dir, file / FILES_PER_DIR);
	snprintf(path, PATH_SIZE, "%.40s/some-file-%02u.conf", dir, file % FILES_PER_DIR);
}

static size_t file_size(unsigned file)
{
	return 1 + mix(file) % SIZE_MAX_BYTES;
}

/* Times differ from directory to directory as those of packages do. */
static void set_time(const char *path, unsigned dir)
{
	struct timespec t = {.tv_sec = EPOCH + (time_t)(dir % 97) * 86400};

	if (utimensat(AT_FDCWD, path, (struct timespec[]){t, t}, 0) < 0)
		die("%s", path);
}

static void make_file(unsigned file)
{
	uint64_t data[SIZE_MAX_BYTES / sizeof(uint64_t)];
	char path[PATH_SIZE];
	int fd;

	file_path(path, file);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
		data[i] = mix((uint64_t)file << 32 | i);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, data, file_size(file)) != (ssize_t)file_size(file))
		die("%s", path);
	close(fd);
	set_time(path, file / FILES_PER_DIR);
}

static void make_tree(unsigned files, unsigned layers, unsigned layer)
{
	char path[PATH_SIZE];

	for (unsigned dir = 0; dir < n_dirs(files); dir++) {
		dir_path(path, dir);
		*strchr(path, '/') = '\0';
		if (dir % DIRS_PER_DIR == 0 && mkdir(path, 0755) < 0)
			die("%s", path);
		dir_path(path, dir);
		if (mkdir(path, 0755) < 0)
			die("%s", path);
	}
	for (unsigned file = 0; file < files; file++)
		if (mix(file) / SIZE_MAX_BYTES % layers == layer)
			make_file(file);
	for (unsigned dir = n_dirs(files); dir-- > 0;) {
		dir_path(path, dir);
		set_time(path, dir);
		*strchr(path, '/') = '\0';
		if (dir % DIRS_PER_DIR == 0)
			set_time(path, dir);
	}
	set_time(".", 0);
}

/* A header of POSIX ustar and the contents, a byte that is not a zero. */
static void put_member(const char *path, unsigned mode, char type, size_t size, unsigned dir)
{
	static const char data[4096] = {1};
	char header[512] = "";
	unsigned sum = 0;

	snprintf(header, 100, "%s", path);
	snprintf(header + 100, 8, "%07o", mode & 07777);
	snprintf(header + 108, 8, "%07o", 0);
	snprintf(header + 116, 8, "%07o", 0);
	snprintf(header + 124, 12, "%011o", (unsigned)size);
	snprintf(header + 136, 12, "%011o", EPOCH + dir % 97 * 86400);
	memset(header + 148, ' ', 8);
	header[156] = type;
	memcpy(header + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(header); i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum & 0777777);
	fwrite(header, 1, sizeof(header), stdout);
	fwrite(data, 1, (size + 511) / 512 * 512, stdout);
}

static void put_tar(unsigned files, unsigned layers, unsigned layer)
{
	char path[PATH_SIZE];

	for (unsigned file = 0; file < files; file++) {
		unsigned dir = file / FILES_PER_DIR;

		dir_path(path, dir);
		*strchr(path, '/') = '\0';
		if (file % (FILES_PER_DIR * DIRS_PER_DIR) == 0)
			put_member(path, 0755, '5', 0, dir);
		dir_path(path, dir);
		if (file % FILES_PER_DIR == 0)
			put_member(path, 0755, '5', 0, dir);
		if (mix(file) / SIZE_MAX_BYTES % layers != layer)
			continue;
		file_path(path, file);
		put_member(path, 0644, '0', (file_size(file) + 1) / 2, dir);
	}
	memset(path, 0, sizeof(path));
	for (int i = 0; i < 1024; i += 64)
		fwrite(path, 1, 64, stdout);
	if (fflush(stdout) != 0)
		die("write");
}

/* ---- operations ---- */

static char buffer[1 << 16];

static void do_stat(const char *path, unsigned file)
{
	struct stat st;

	if (lstat(path, &st) < 0 || (size_t)st.st_size != file_size(file))
		die("stat '%s'", path);
}

static void do_missing(const char *path, unsigned file)
{
	struct stat st;

	if (lstat(path, &st) == 0 || errno != ENOENT)
		die("'%s' is there", path);
}

static void do_list(const char *path, unsigned dir)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	if (!d)
		die("%s", path);
	while (readdir(d))
		n++;
	closedir(d);
	if (n != FILES_PER_DIR + 2)
		die("'%s' has %u names", path, n);
}

static void do_read(const char *path, unsigned file)
{
	int fd = open(path, O_RDONLY);
	uint64_t first = mix((uint64_t)file << 32);
	size_t size = 0, known = file_size(file) < 8 ? file_size(file) : 8;
	ssize_t n;

	if (fd < 0)
		die("%s", path);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		size += (size_t)n;
	close(fd);
	/* All files fit into the buffer, and the last read moved nothing. */
	if (n < 0 || size != file_size(file) || memcmp(buffer, &first, known))
		die("contents of '%s'", path);
}

static const struct operation {
	const char *name;
	void (*run)(const char *path, unsigned number);
} operations[] = {
	{"stat", do_stat},
	{"missing", do_missing},
	{"list", do_list},
	{"read", do_read},
};

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	errno = EINVAL;
	die("operation '%s'", name);
}

static unsigned *shuffled(unsigned n, uint64_t seed)
{
	unsigned *numbers = calloc(n + 1, sizeof(*numbers));

	if (!numbers)
		die("memory");
	for (unsigned i = 0; i < n; i++) {
		unsigned j = (unsigned)(mix(seed ^ mix(i)) % (i + 1));

		numbers[i] = numbers[j];
		numbers[j] = i;
	}
	return numbers;
}

static void time_operation(
	const struct operation *op, unsigned files, unsigned count, uint64_t seed)
{
	unsigned n = op->run == do_list ? files / FILES_PER_DIR : files;
	unsigned *numbers = shuffled(n, seed);
	char(*paths)[PATH_SIZE];

	n = count < n ? count : n;
	paths = calloc(n + 1, sizeof(*paths));
	if (!paths || !n)
		die("nothing to do");
	for (unsigned i = 0; i < n; i++) {
		if (op->run == do_list)
			dir_path(paths[i], numbers[i]);
		else
			file_path(paths[i], numbers[i]);
		if (op->run == do_missing)
			strcat(paths[i], ".d");
	}
	for (int is_warm = 0; is_warm < 2; is_warm++) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (unsigned i = 0; i < n; i++)
			op->run(paths[i], numbers[i]);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%" PRId64 "%c",
			((end.tv_sec - begin.tv_sec) * (int64_t)1000000000 + end.tv_nsec -
				begin.tv_nsec) /
				n,
			is_warm ? '\n' : ' ');
	}
	free(paths);
	free(numbers);
}

/* ---- mounting ---- */

static void do_mount(const char *type, const char *source, const char *dir, const char *options)
{
	unsigned long flags = 0;

	if (!strncmp(options, "ro", 2) && (!options[2] || options[2] == ',')) {
		flags = MS_RDONLY;
		options += options[2] ? 3 : 2;
	}
	if (mount(source, dir, type, flags, options) < 0)
		die("mount -t %s -o %s %s %s", type, options, source, dir);
}

static void add_partition(const char *device, int number, long long start, long long bytes)
{
	struct blkpg_partition part = {.start = start, .length = bytes, .pno = number};
	struct blkpg_ioctl_arg arg = {
		.op = BLKPG_ADD_PARTITION, .datalen = sizeof(part), .data = &part};
	int fd = open(device, O_RDONLY);

	if (fd < 0 || ioctl(fd, BLKPG, &arg) < 0)
		die("partition %d of %s", number, device);
	close(fd);
}

static void enter(const char *dir)
{
	if (chdir(dir) < 0)
		die("%s", dir);
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "tree") && argc == 6) {
		enter(argv[2]);
		make_tree(number(argv[3]), number(argv[4]), number(argv[5]));
	} else if (!strcmp(command, "tar") && argc == 5) {
		put_tar(number(argv[2]), number(argv[3]), number(argv[4]));
	} else if (!strcmp(command, "time") && argc == 7) {
		enter(argv[3]);
		time_operation(
			find_operation(argv[2]), number(argv[4]), number(argv[5]), number(argv[6]));
	} else if (!strcmp(command, "mount") && argc == 6) {
		do_mount(argv[2], argv[3], argv[4], argv[5]);
	} else if (!strcmp(command, "umount") && argc == 3) {
		if (umount(argv[2]) < 0)
			die("unmount '%s'", argv[2]);
	} else if (!strcmp(command, "partition") && argc == 6) {
		add_partition(argv[2], (int)number(argv[3]), atoll(argv[4]), atoll(argv[5]));
	} else {
		fputs("fsprobe: wrong usage\n", stderr);
		return 2;
	}
	return 0;
}
