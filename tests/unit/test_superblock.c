/* SPDX-License-Identifier: MIT */
#include "libmlimg/superblock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "guest-agent/identify.h"
#include "tests/lib/test.h"

#define UUID_TEXT "00112233-4455-8677-8899-aabbccddeeff"
#define UUID_HEX "00112233445586778899aabbccddeeff"

static const char *image(void)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/disk", test_tmpdir());
	return path;
}

/* A file system of @p blocks blocks made by mke2fs. */
static void make(const char *options, const char *blocks)
{
	char command[700];

	unlink(image());
	snprintf(command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -U " UUID_TEXT
		" %s '%s' %s >/dev/null 2>&1",
		options, image(), blocks);
	if (system(command) != 0)
		FAIL("%s", command);
}

static void put(uint64_t offset, const void *data, size_t size)
{
	int fd = open(image(), O_WRONLY | O_CREAT, 0600);

	ASSERT_EQ(pwrite(fd, data, size, (off_t)offset), size);
	close(fd);
}

static struct mlimg_disk probe(void)
{
	struct mlimg_disk disk;
	int fd = open(image(), O_RDONLY);

	mlimg_disk_probe(fd, &disk);
	if (fd >= 0)
		close(fd);
	return disk;
}

/* The line that identify prints, with the device's path left out. */
static void check_line(const char *serial, char *want, const char *expected)
{
	struct mlimg_device device = {.path = "", .disk = probe()};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	strcpy(device.serial, serial);
	mlimg_identify_apply_wants(&device, &want, want ? 1 : 0);
	mlimg_identify_print(&device, f);
	fclose(f);
	ASSERT_STR(text, expected);
	free(text);
}

TEST(sound_file_systems_of_all_shapes)
{
	static const char *const shapes[] = {"-t ext4", "-t ext4 -b 1024", "-t ext4 -b 2048",
		"-t ext4 -O ^64bit", "-t ext4 -O ^metadata_csum", "-t ext4 -O bigalloc", "-t ext2",
		"-t ext3", "-t ext4 -I 128", "-t ext4 -O sparse_super2 -E num_backup_sb=0",
		"-t ext4 -O metadata_csum_seed -N 50"};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct mlimg_disk disk;

		make(shapes[i], "20M");
		disk = probe();
		if (disk.state != MLIMG_DISK_EXT4)
			FAIL("%s: %s, %s", shapes[i], mlimg_disk_state_name(disk.state),
				disk.sb.flaw);
		ASSERT_EQ(disk.sb.size_bytes, 20 << 20);
		ASSERT_EQ(disk.size_bytes, 20 << 20);
	}
}

TEST(layers_by_their_label)
{
	make("-t ext4 -L mlimg-system", "8M");
	check_line("", NULL, "-\tlayer\tsystem\t" UUID_HEX "\t-\text4, 8.0 MiB\n");
	make("-t ext4 -L mlimg-software", "8M");
	check_line("0123456789abcdefabcd", NULL,
		"-\tlayer\tsoftware\t" UUID_HEX "\t0123456789abcdefabcd\text4, 8.0 MiB\n");
	make("-t ext4 -L mlimg-user", "8M");
	check_line("x", NULL, "-\tlayer\tuser\t" UUID_HEX "\tx\text4, 8.0 MiB\n");
	make("-t ext4 -L mlimg-users", "8M");
	check_line("", NULL, "-\text4\t-\t" UUID_HEX "\t-\text4, 8.0 MiB, label 'mlimg-users'\n");
	make("-t ext4 -L \"$(printf 'a\\tb\\nc\\303\\244')\"", "8M");
	check_line(
		"a\tb", NULL, "-\text4\t-\t" UUID_HEX "\ta?b\text4, 8.0 MiB, label 'a?b?c?\?'\n");
}

TEST(one_flipped_bit_is_damage)
{
	make("-t ext4 -L mlimg-system", "8M");
	for (int bit = 0; bit < 1024 * 8; bit += 37) {
		uint8_t byte, flipped;
		int fd = open(image(), O_RDONLY);

		ASSERT_EQ(pread(fd, &byte, 1, 1024 + bit / 8), 1);
		close(fd);
		flipped = byte ^ (uint8_t)(1 << bit % 8);
		put(1024 + (uint64_t)bit / 8, &flipped, 1);
		/*
		 * Without its magic number (bytes 0x38 and 0x39) it is no superblock, without the
		 * feature bit there is no checksum.
		 */
		if (bit / 8 != 0x38 && bit / 8 != 0x39 && probe().state != MLIMG_DISK_DAMAGED)
			FAIL("bit %d of byte %#x", bit % 8, bit / 8);
		put(1024 + (uint64_t)bit / 8, &byte, 1);
	}
	check_line("", NULL, "-\tlayer\tsystem\t" UUID_HEX "\t-\text4, 8.0 MiB\n");
	put(1024 + 0x3fc, "\0\0\0", 4);
	check_line("", NULL,
		"-\tdamaged\tsystem\t" UUID_HEX "\t-\text4, but superblock checksum is wrong\n");
}

/* Without a checksum only the geometry can tell. */
static void check_geometry(uint64_t field, const char *value, size_t size, const char *flaw)
{
	char expected[200];

	make("-t ext4 -O ^metadata_csum -L mlimg-user", "8M");
	put(1024 + field, value, size);
	snprintf(expected, sizeof(expected), "-\tdamaged\tuser\t" UUID_HEX "\t-\text4, but %s\n",
		flaw);
	check_line("", NULL, expected);
}

TEST(impossible_geometry)
{
	check_geometry(0x18, "\x07\0\0", 4, "impossible block size");
	check_geometry(0x18, "\xff\xff\xff\xff", 4, "impossible block size");
	check_geometry(0x4, "\0\0\0", 4, "impossible size");
	check_geometry(0x150, "\xff\xff\xff\xff", 4, "impossible size");
	check_geometry(0x58, "\xff", 1, "impossible inode size");
	check_geometry(0x58, "\0\0", 2, "impossible inode size");
	check_geometry(0xfe, "\0\0", 2, "impossible group descriptor size");
	check_geometry(0x20, "\0\0\0", 4, "impossible group size");
	check_geometry(0x20, "\xff\xff\xff\x7f", 4, "impossible group size");
	check_geometry(0x0, "\x01\0\0", 4, "inode count does not fit the size");
	check_geometry(0x28, "\xff\xff\xff\xff", 4, "inode count does not fit the size");
}

TEST(lost_primary_with_a_backup)
{
	static const char zero[4096];

	make("-t ext4 -b 4096 -L mlimg-user", "160M");
	put(0, zero, sizeof(zero));
	check_line("", NULL,
		"-\tdamaged\tuser\t" UUID_HEX "\t-\t"
		"no sound primary superblock, a backup at byte 134217728 has the label "
		"'mlimg-user'\n");
	make("-t ext4 -b 1024", "16M");
	put(1024, zero, 1024);
	check_line("", NULL,
		"-\tdamaged\t-\t" UUID_HEX "\t-\t"
		"no sound primary superblock, a backup at byte 8389632 has the label ''\n");
}

TEST(truncated)
{
	make("-t ext4 -L mlimg-system", "8M");
	ASSERT_EQ(truncate(image(), (8 << 20) - 1), 0);
	check_line("", NULL,
		"-\ttruncated\tsystem\t" UUID_HEX "\t-\t"
		"the file system has 8388608 bytes, the disk only 8388607\n");
	ASSERT_EQ(truncate(image(), 2048), 0);
	check_line("", NULL,
		"-\ttruncated\tsystem\t" UUID_HEX "\t-\t"
		"the file system has 8388608 bytes, the disk only 2048\n");
	ASSERT_EQ(truncate(image(), 2047), 0);
	check_line("", NULL, "-\tother\t-\t-\t-\tneither ext4 nor blank\n");
}

TEST(blank_and_other)
{
	put(MLIMG_DISK_BLANK_BYTES, "x", 1);
	check_line("", NULL, "-\tblank\t-\t-\t-\tthe first 128 KiB are zero\n");
	put(MLIMG_DISK_BLANK_BYTES - 1, "x", 1);
	check_line("", NULL, "-\tother\t-\t-\t-\tneither ext4 nor blank\n");
	ASSERT_EQ(truncate(image(), 0), 0);
	check_line("", NULL, "-\tblank\t-\t-\t-\tthe first 128 KiB are zero\n");
}

TEST(unreadable)
{
	check_line("", NULL, "-\tunreadable\t-\t-\t-\tBad file descriptor\n");
	ASSERT_EQ(mkfifo(image(), 0600), 0);
	unlink(image());
	ASSERT_EQ(mkdir(image(), 0700), 0);
	check_line("", NULL, "-\tunreadable\t-\t-\t-\tBlock device required\n");
	rmdir(image());
}

TEST(a_wanted_serial_makes_it_damaged)
{
	static char want[] = "0123456789ABCDEFABCD0000";
	static const char serial[] = "0123456789abcdefabcd";

	put(MLIMG_DISK_BLANK_BYTES, "x", 1);
	check_line(serial, want,
		"-\tdamaged\t-\t-\t0123456789abcdefabcd\t"
		"the serial is a wanted disk's, but no superblock of mlimg's is there\n");
	check_line("0123456789abcdefabce", want,
		"-\tblank\t-\t-\t0123456789abcdefabce\tthe first 128 KiB are zero\n");
	check_line("0123456789abcdef", want,
		"-\tblank\t-\t-\t0123456789abcdef\tthe first 128 KiB are zero\n");
	make("-t ext4", "8M");
	check_line(serial, want,
		"-\text4\t-\t" UUID_HEX "\t0123456789abcdefabcd\text4, 8.0 MiB, label ''\n");
}
