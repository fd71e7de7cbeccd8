/* SPDX-License-Identifier: MIT */
#include "libmlimg/index.h"

#include <fcntl.h>

#include "guest-agent/identify.h"
#include "libmlimg/crc32c.h"
#include "libmlimg/erofs-format.h"
#include "tests/lib/test.h"
#include "tools/erofs-write.h"

#define SYSTEM_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SYSTEM_UUID "01234567-89ab-8def-8123-456789abcdef"
#define SOFTWARE_ID "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define SOFTWARE_UUID "ffffffff-ffff-8fff-bfff-ffffffffffff"
#define SEED "11111111-2222-3333-4444-555555555555"
#define STACK_ID "abababababababababababababababababababababababababababababababab"

static const uint8_t places[MLIMG_PLACES_SIZE] = {0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33,
	0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};

static const char *at(const char *name)
{
	static char path[4][300];
	static unsigned n;

	snprintf(path[n % 4], sizeof(path[0]), "%s/%s", test_tmpdir(), name);
	return path[n++ % 4];
}

static const struct mlimg_erofs_attr root = {.mode = 040755, .nlink = 2};

/*
 * An index as the tools write it, over @n layers of 512 blocks; @tags has one for each. @rooms: of
 * a joined one
 */
static void make(const char *const *tags, unsigned n, const char *label, const uint64_t *rooms)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_erofs *image;
	uint8_t uuid[MLIMG_UUID_SIZE];
	uint32_t ino;
	int fd = open(at("index"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	ASSERT(mlimg_layer_uuid(STACK_ID, uuid));
	ASSERT_OK(mlimg_erofs_new(&image, &err), err);
	for (unsigned i = 0; i < n; i++)
		ASSERT_EQ(mlimg_erofs_add_device(image, tags[i], places, 512, &err), (int)i + 1);
	if (rooms)
		ASSERT_OK(mlimg_erofs_join(image, rooms, &err), err);
	ASSERT_OK(mlimg_erofs_add_inode(image, &root, &ino, &err), err);
	ASSERT_OK(mlimg_erofs_write(image, fd, uuid, label, NULL, &err), err);
	mlimg_erofs_free(image);
	close(fd);
}

static void make_index(const char *const *tags, unsigned n, const char *label)
{
	make(tags, n, label, NULL);
}

static const char *const two[] = {SYSTEM_ID, SOFTWARE_ID};

static void put(const char *name, uint64_t offset, const void *data, size_t size)
{
	int fd = open(at(name), O_RDWR);

	ASSERT_EQ(pwrite(fd, data, size, (off_t)offset), size);
	close(fd);
}

/* Makes the checksum fit what was put. */
static void seal(void)
{
	uint8_t block[EROFS_BLOCK_SIZE];
	uint32_t crc = 0;
	int fd = open(at("index"), O_RDWR);

	put("index", EROFS_SB_OFFSET + 4, &crc, 4);
	ASSERT_EQ(pread(fd, block, sizeof(block), 0), sizeof(block));
	close(fd);
	crc = htole32(mlimg_crc32c(~0u, block + EROFS_SB_OFFSET, sizeof(block) - EROFS_SB_OFFSET));
	put("index", EROFS_SB_OFFSET + 4, &crc, 4);
}

/* The line that identify prints. */
static void check_line(const char *expected)
{
	struct mlimg_device device = {.path = ""};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int fd = open(at("index"), O_RDONLY);

	mlimg_disk_probe(fd, &device.disk);
	close(fd);
	mlimg_identify_print(&device, f);
	fclose(f);
	ASSERT_STR(text, expected);
	free(text);
}

static int read_index(struct mlimg_index *ret_index, struct mlimg_err *err)
{
	int fd = open(at("index"), O_RDONLY);
	int r = mlimg_index_read(fd, "vda", ret_index, err);

	close(fd);
	return r;
}

static void check_refused(const char *message)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;

	ASSERT_FAILS(read_index(&index, &err), err, -EUCLEAN, message);
	ASSERT_EQ(err.kind, MLIMG_ERR_REFUSED);
}

TEST(crc32c_of_the_standard)
{
	/* RFC 3720, appendix B.4: the standard inverts the result. */
	static const uint8_t zeros[32];

	ASSERT_EQ(~mlimg_crc32c(~0u, "123456789", 9), 0xe3069283u);
	ASSERT_EQ(~mlimg_crc32c(~0u, zeros, sizeof(zeros)), 0x8a9136aau);
}

TEST(an_index_is_what_was_written)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	const char *tags[81];
	struct mlimg_index index;
	uint8_t uuid[MLIMG_UUID_SIZE];

	/* 81 slots go on into the third block. */
	for (int i = 0; i < 81; i++)
		tags[i] = i == 80 ? SOFTWARE_ID : SYSTEM_ID;
	make_index(tags, 81, MLIMG_INDEX_LABEL);
	ASSERT_OK(read_index(&index, &err), err);
	ASSERT(mlimg_layer_uuid(STACK_ID, uuid));
	ASSERT_MEM(index.uuid, uuid, sizeof(uuid));
	ASSERT_EQ(index.n_layers, 81);
	ASSERT_STR(index.layers[0].tag, SYSTEM_ID);
	ASSERT_STR(index.layers[80].tag, SOFTWARE_ID);
	ASSERT_EQ(index.layers[80].n_blocks, 512);
	ASSERT_MEM(index.layers[80].places, places, sizeof(places));
	check_line("-\tlayer\tindex\tabababababab8babababababababab"
		   "ab\t-\tEROFS, 12.0 KiB, over 81 layers\n");
}

TEST(one_flipped_bit_is_damage)
{
	make_index(two, 2, MLIMG_INDEX_LABEL);
	for (unsigned bit = 0; bit < (EROFS_BLOCK_SIZE - EROFS_SB_OFFSET) * 8; bit += 13) {
		unsigned offset = EROFS_SB_OFFSET + bit / 8;
		/* Without magic number and label it is none of ours. */
		bool is_ours = bit / 8 >= 4 && (bit / 8 < 64 || bit / 8 >= 76);
		uint8_t byte, flipped;
		struct mlimg_disk disk;
		int fd = open(at("index"), O_RDONLY);

		ASSERT_EQ(pread(fd, &byte, 1, offset), 1);
		flipped = byte ^ (uint8_t)(1 << bit % 8);
		put("index", offset, &flipped, 1);
		mlimg_disk_probe(fd, &disk);
		close(fd);
		if (disk.state != (is_ours ? MLIMG_DISK_DAMAGED : MLIMG_DISK_OTHER) ||
			disk.is_index != is_ours)
			FAIL("bit %u of byte %#x: %s", bit % 8, bit / 8,
				mlimg_disk_state_name(disk.state));
		put("index", offset, &byte, 1);
	}
	check_line("-\tlayer\tindex\tabababababab8bababababababababab\t-\tEROFS, 4.0 KiB, over 2 "
		   "layers\n");
}

/*
 * A field of the superblock with another value, once with a wrong and once with a right checksum.
 */
static void check_field(uint64_t field, const char *value, size_t size, const char *flaw)
{
	char line[200], message[100];

	make_index(two, 2, MLIMG_INDEX_LABEL);
	put("index", EROFS_SB_OFFSET + field, value, size);
	seal();
	snprintf(line, sizeof(line),
		"-\tdamaged\tindex\tabababababab8bababababababababab\t-\tindex, but %s\n", flaw);
	check_line(line);
	snprintf(message, sizeof(message), "vda: damaged index: %s", flaw);
	check_refused(message);
}

TEST(impossible_superblocks)
{
	check_field(0xc, "\x09", 1, "blocks are not of 4096 bytes");
	check_field(0x8, "\x02", 1, "superblock has no checksum");
	check_field(0x50, "\x0e", 1, "unknown features");
	check_field(0x50, "\x0c\0\0\x01", 4, "unknown features");
	check_field(0x24, "\0\0\0\0", 4, "impossible size");
	check_field(0x56, "\xff\xff", 2, "device table lies outside");
	check_field(0x58, "\xff\xff", 2, "device table lies outside");
	check_field(0x58, "\x1f", 1, "device table lies outside");
	make_index(two, 2, MLIMG_INDEX_LABEL);
	put("index", EROFS_SB_OFFSET + 4, "\0\0\0", 4);
	check_refused("vda: damaged index: superblock checksum is wrong");
}

TEST(device_tables_that_are_refused)
{
	const char *tags[82];

	make_index(two, 0, MLIMG_INDEX_LABEL);
	check_refused("vda: an index is over 1 to 81 layers, not 0");
	make_index(two, 2, MLIMG_INDEX_LABEL);
	put("index", EROFS_SB_OFFSET + 0x50, "\x04", 1);
	seal();
	/* A joined one, then, whose layers lie nowhere. */
	check_refused("vda: damaged index: impossible size");
	for (int i = 0; i < 82; i++)
		tags[i] = SYSTEM_ID;
	make_index(tags, 82, MLIMG_INDEX_LABEL);
	check_refused("vda: an index is over 1 to 81 layers, not 82");
	/* Beyond what the checksum covers. */
	tags[40] = "no build id";
	make_index(tags, 81, MLIMG_INDEX_LABEL);
	check_refused("vda: damaged index: layer 40 has no build id in its device table");
}

TEST(truncated_and_others)
{
	make_index(two, 2, MLIMG_INDEX_LABEL);
	ASSERT_EQ(truncate(at("index"), 8192), 0);
	check_line("-\tlayer\tindex\tabababababab8bababababababababab\t-\tEROFS, 4.0 KiB, over 2 "
		   "layers\n");
	put("index", EROFS_SB_OFFSET + 0x24, "\3", 1);
	seal();
	check_line("-\ttruncated\tindex\tabababababab8bababababababababab\t-\t"
		   "the file system has 12288 bytes, the disk only 8192\n");
	check_refused("vda: truncated index: it has 12288 bytes, the disk only 8192");
	ASSERT_EQ(truncate(at("index"), 4095), 0);
	check_line("-\tother\t-\t-\t-\tneither ext4 nor blank\n");
	check_refused("vda: no index of mlimg-index");
	make_index(two, 2, "mlimg-indexes");
	check_line("-\tother\t-\t-\t-\tneither ext4 nor blank\n");
	check_refused("vda: no index of mlimg-index");
}

/*
 * ext4 wins only with a sound primary superblock: what lies further back is what was on the disk
 * before.
 */
TEST(an_index_over_an_old_ext4)
{
	char command[700];

	snprintf(command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -b 4096 -L mlimg-user '%s' 160M",
		at("old"));
	ASSERT_EQ(system(command), 0);
	make_index(two, 2, MLIMG_INDEX_LABEL);
	snprintf(command, sizeof(command),
		"dd if='%s' of='%s' conv=notrunc status=none && mv '%s' '%s'", at("index"),
		at("old"), at("old"), at("index"));
	ASSERT_EQ(system(command), 0);
	check_line("-\tlayer\tindex\tabababababab8bababababababababab\t-\tEROFS, 4.0 KiB, over 2 "
		   "layers\n");
}

TEST(unreadable)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;

	ASSERT_FAILS(mlimg_index_read(-1, "vda", &index, &err), err, -EBADF,
		"read vda: Bad file descriptor");
}

/* --- the layers --- */

static void make_layer(const char *name, const char *uuid, const char *options)
{
	char command[700];

	unlink(at(name));
	snprintf(command, sizeof(command),
		"PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -b 4096 -L mlimg-software -U %s "
		"-E hash_seed=" SEED " '%s' %s >/dev/null 2>&1",
		uuid, at(name), options);
	if (system(command) != 0)
		FAIL("%s", command);
}

static void check_layers(const char *const *names, size_t n, const char *message)
{
	struct mlimg_index_disk disks[3];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;
	int r;

	ASSERT_OK(read_index(&index, &err), err);
	for (size_t i = 0; i < n; i++)
		disks[i] = (struct mlimg_index_disk){
			.fd = open(at(names[i]), O_RDONLY), .name = names[i]};
	r = mlimg_index_check(&index, "vda", disks, n, &err);
	for (size_t i = 0; i < n; i++)
		close(disks[i].fd);
	if (!message)
		ASSERT_OK(r, err);
	else
		ASSERT_FAILS(r, err, -EUCLEAN, message);
}

static void make_all(void)
{
	make_index(two, 2, MLIMG_INDEX_LABEL);
	make_layer("vdb", SYSTEM_UUID, "2M");
	make_layer("vdc", SOFTWARE_UUID, "2M");
}

TEST(layers_that_fit)
{
	make_all();
	check_layers((const char *[]){"vdb", "vdc"}, 2, NULL);
	/* A disk may be larger than what is on it. */
	ASSERT_EQ(truncate(at("vdc"), 3 << 20), 0);
	check_layers((const char *[]){"vdb", "vdc"}, 2, NULL);
}

/* ---- on one disk ---- */

/* An index and two layers of 512 blocks, of which the first has two blocks of room behind it. */
static void make_joined(const char *uuid, const char *options)
{
	char command[1600];

	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){514, 512});
	make_layer("vdb", SYSTEM_UUID, "2M");
	make_layer("vdc", uuid, options);
	snprintf(command, sizeof(command), "cat '%s' '%s' >'%s'; head -c 8192 /dev/zero >>'%s'",
		at("index"), at("vdb"), at("disk"), at("disk"));
	ASSERT_EQ(system(command), 0);
	snprintf(command, sizeof(command), "cat '%s' >>'%s' && mv '%s' '%s'", at("vdc"), at("disk"),
		at("disk"), at("index"));
	ASSERT_EQ(system(command), 0);
}

static void check_joined(const char *message)
{
	struct mlimg_index_disk disk = {.fd = open(at("index"), O_RDONLY), .name = "vda"};
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;
	int r;

	ASSERT_OK(read_index(&index, &err), err);
	ASSERT(index.is_joined);
	r = mlimg_index_check_joined(&index, &disk, &err);
	close(disk.fd);
	if (!message)
		ASSERT_OK(r, err);
	else
		ASSERT_FAILS(r, err, -EUCLEAN, message);
}

TEST(a_joined_index_says_where_its_layers_lie)
{
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_index index;

	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){514, 512});
	check_line("-\tlayer\tjoined\tabababababab8bababababababababab\t-\tEROFS, 4.0 KiB, joined "
		   "with 2 layers\n");
	ASSERT_OK(read_index(&index, &err), err);
	ASSERT(index.is_joined);
	ASSERT_EQ(index.size_bytes, 4096);
	ASSERT_EQ(index.disk_blocks, 1 + 514 + 512);
	ASSERT_EQ(index.layers[0].first_block, 1);
	ASSERT_EQ(index.layers[1].first_block, 515);
	ASSERT_EQ(mlimg_index_room(&index, 0), 514);
	ASSERT_EQ(mlimg_index_room(&index, 1), 512);
	make_index(two, 2, MLIMG_INDEX_LABEL);
	ASSERT_OK(read_index(&index, &err), err);
	ASSERT(!index.is_joined);
	ASSERT_EQ(index.layers[1].first_block, 0);
}

TEST(a_joined_disk_that_fits)
{
	make_joined(SOFTWARE_UUID, "2M");
	check_joined(NULL);
	check_line("-\tlayer\tjoined\tabababababab8bababababababababab\t-\tEROFS, 4.0 KiB, joined "
		   "with 2 layers\n");
	ASSERT_EQ(truncate(at("index"), 8 << 20), 0);
	check_joined(NULL);
}

TEST(a_joined_disk_that_ends_too_early)
{
	make_joined(SOFTWARE_UUID, "2M");
	ASSERT_EQ(truncate(at("index"), 1026 * 4096), 0);
	check_joined("block 515 of vda is where the layer ffffffffffffffffffff of the joined index "
		     "there begins, but only 511 of its 512 blocks are there: attach the index and "
		     "all its layers as one disk");
	ASSERT_EQ(truncate(at("index"), 4096), 0);
	check_joined("block 1 of vda is where the layer 0123456789abcdef0123 of the joined index "
		     "there begins, but only 0 of its 514 blocks are there: attach the index and "
		     "all its layers as one disk");
	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){514, 512});
	put("index", 1024 + 128 + 68, "\3", 1);
	seal();
	check_line("-\ttruncated\tjoined\tabababababab8bababababababababab\t-\t"
		   "the file system has 12288 bytes, the disk only 4096\n");
}

TEST(a_joined_disk_with_other_layers)
{
	make_joined(SOFTWARE_UUID, "2M -E hash_seed=" SOFTWARE_UUID);
	check_joined("block 515 of vda holds the layer ffffffffffffffffffff, but its contents lie "
		     "elsewhere than in the image that the index on vda was compiled from: compile "
		     "it from this image");
	make_joined(SYSTEM_UUID, "2M");
	check_joined("block 515 of vda holds a layer with UUID 0123456789ab8def8123456789abcdef, "
		     "but layer 1 of the index on vda is ffffffffffffffffffff: compile the index "
		     "from these layers, in this order");
	/* One of more blocks has no room. */
	make_joined(SOFTWARE_UUID, "3M");
	check_joined("block 515 of vda is truncated: its file system has 3145728 bytes, the disk "
		     "only 2097152");
	make_joined(SOFTWARE_UUID, "2M");
	put("index", 515 * 4096 + 1024 + 4, "\xff", 1);
	check_joined("block 515 of vda should hold the layer ffffffffffffffffffff, but it holds a "
		     "damaged ext4");
	put("index", 4096 + 1024 + 0x38, "\0\0", 2);
	check_joined("block 1 of vda should hold the layer 0123456789abcdef0123, but it holds no "
		     "layer");
}

TEST(places_on_a_joined_disk_that_are_refused)
{
	const char *tags[40];
	uint64_t rooms[40];

	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){514, 512});
	put("index", 1024 + 128 + 68, "\0\0\0\0", 4);
	seal();
	check_refused("vda: damaged index: impossible size");
	put("index", 1024 + 128 + 68, "\0\0\1\0", 4);
	seal();
	check_refused("vda: damaged index: impossible size");
	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){514, 512});
	put("index", 1024 + 256 + 68, "\0\2", 2); /* 512: in layer 0 */
	seal();
	check_refused("vda: damaged index: layer 1 has no place on the disk");
	put("index", 1024 + 256 + 68, "\4\2", 2); /* 516: beyond the end by one block */
	seal();
	check_refused("vda: damaged index: layer 1 has no place on the disk");
	put("index", 1024 + 0x58, "\x1f", 1); /* the last slot that is covered is 30 */
	seal();
	check_refused("vda: damaged index: impossible size");
	put("index", 1024 + 0x58, "\x20", 1);
	seal();
	check_refused("vda: damaged index: device table lies outside");
	/* Beyond what the checksum covers. */
	for (int i = 0; i < 40; i++) {
		tags[i] = SYSTEM_ID;
		rooms[i] = 512;
	}
	make(tags, 40, MLIMG_INDEX_LABEL, rooms);
	put("index", 1024 + 128 + 128 * 30 + 64, "\1\2", 2);
	check_refused("vda: damaged index: layer 31 has no place on the disk");
}

TEST(images_for_a_joined_disk_have_its_rooms)
{
	make_all();
	make(two, 2, MLIMG_INDEX_LABEL, (const uint64_t[]){512, 513});
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdc has 512 blocks of 4096 bytes, but the joined index on vda has room for 513: "
		"compile it from this image");
	ASSERT_EQ(truncate(at("vdc"), (2 << 20) + 1), 0);
	check_layers((const char *[]){"vdb", "vdc"}, 2, NULL);
}

TEST(layers_too_few_too_many_exchanged)
{
	make_all();
	check_layers((const char *[]){"vdb"}, 1,
		"the index on vda is over 2 layers, but there is 1: compile it from these");
	check_layers((const char *[]){"vdb", "vdc", "vdc"}, 3,
		"the index on vda is over 2 layers, but there are 3: compile it from these");
	check_layers((const char *[]){"vdc", "vdb"}, 2,
		"vdc holds a layer with UUID ffffffffffff8fffbfffffffffffffff, but layer 0 of the "
		"index on vda is 0123456789abcdef0123: compile the index from these layers, in "
		"this order");
}

TEST(layers_of_another_size_or_layout)
{
	make_all();
	make_layer("vdc", SOFTWARE_UUID, "3M");
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdc holds the layer ffffffffffffffffffff in 768 blocks of 4096 bytes, but the "
		"index on vda was compiled from an image of 512 of 4096: compile it from this "
		"image");
	make_layer("vdc", SOFTWARE_UUID, "2M -b 1024");
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdc holds the layer ffffffffffffffffffff in 2048 blocks of 1024 bytes, but the "
		"index on vda was compiled from an image of 512 of 4096: compile it from this "
		"image");
	make_layer("vdc", SOFTWARE_UUID, "2M -E hash_seed=" SOFTWARE_UUID);
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdc holds the layer ffffffffffffffffffff, but its contents lie elsewhere than in "
		"the image that the index on vda was compiled from: compile it from this image");
}

TEST(disks_that_hold_no_sound_layer)
{
	make_all();
	ASSERT_EQ(truncate(at("vdc"), 1 << 20), 0);
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdc is truncated: its file system has 2097152 bytes, the disk only 1048576");
	put("vdb", 1024 + 4, "\xff", 1);
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdb should hold the layer 0123456789abcdef0123, but it holds a damaged ext4");
	ASSERT_EQ(truncate(at("vdb"), 0), 0);
	check_layers((const char *[]){"vdb", "vdc"}, 2,
		"vdb should hold the layer 0123456789abcdef0123, but it holds no layer");
	check_layers((const char *[]){"index", "vdc"}, 2,
		"index should hold the layer 0123456789abcdef0123, but it holds an index");
}

TEST(an_index_has_a_uuid_of_its_stack_and_of_its_own)
{
	static const struct mlimg_index_part parts[] = {{512, {1}}, {600, {2}}},
					     moved[] = {{512, {1}}, {600, {3}}},
					     longer[] = {{512, {1}}, {601, {2}}};
	uint8_t uuid[6][MLIMG_UUID_SIZE], layer[MLIMG_UUID_SIZE];
	struct mlimg_index index;

	ASSERT(mlimg_index_uuid(STACK_ID, 7, parts, 2, uuid[0]));
	ASSERT(mlimg_index_uuid(STACK_ID, 8, parts, 2, uuid[1]));
	ASSERT(mlimg_index_uuid(STACK_ID, 7, parts, 1, uuid[2]));
	ASSERT(mlimg_index_uuid(STACK_ID, 7, moved, 2, uuid[3]));
	ASSERT(mlimg_index_uuid(STACK_ID, 7, longer, 2, uuid[4]));
	ASSERT(mlimg_layer_uuid(STACK_ID, layer));
	for (int i = 0; i < 5; i++) {
		memcpy(index.uuid, uuid[i], sizeof(index.uuid));
		ASSERT(mlimg_index_is_of(&index, STACK_ID));
		ASSERT(!mlimg_index_is_of(&index, SYSTEM_ID));
		ASSERT_MEM(uuid[i], layer, 10);
		for (int k = 0; k < i; k++)
			ASSERT(memcmp(uuid[i], uuid[k], sizeof(uuid[i])) != 0);
	}
	ASSERT(mlimg_index_uuid(STACK_ID, 7, parts, 2, uuid[5]));
	ASSERT_MEM(uuid[5], uuid[0], sizeof(uuid[0]));
	ASSERT(!mlimg_index_uuid("ab", 7, parts, 2, uuid[5]));
}
