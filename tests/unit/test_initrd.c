/* SPDX-License-Identifier: MIT */
#include "tools/initrd.h"

#include "tests/lib/test.h"

static char image[65536];
static size_t size;

static void begin(void)
{
	memset(image, 0, sizeof(image));
	size = 0;
}

static void entry(const char *magic, const char *name, const char *data, size_t data_size)
{
	size_t name_size = strlen(name) + 1;

	size += (size_t)sprintf(image + size,
		"%s%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", magic, 1, 0x81a4, 0, 0,
		1, 0, data_size, 0, 0, 0, 0, name_size, 0);
	memcpy(image + size, name, name_size);
	size = (size + name_size + 3) & ~(size_t)3;
	memcpy(image + size, data, data_size);
	size = (size + data_size + 3) & ~(size_t)3;
}

static void text(const char *name, const char *data)
{
	entry("070701", name, data, strlen(data));
}

/* cpio pads its archives to 512 bytes. */
static void end(void)
{
	text("TRAILER!!!", "");
	size = (size + 511) & ~(size_t)511;
}

/* In pieces of every size the same. */
static void check(const char *unions)
{
	for (size_t piece = 1; piece < 700; piece += piece < 130 ? 1 : 97) {
		struct mlimg_initrd scan = {.unions = ""};

		for (size_t at = 0; at < size && !scan.is_done; at += piece)
			mlimg_initrd_take(&scan, image + at, piece < size - at ? piece : size - at);
		ASSERT_STR(scan.unions, unions);
	}
}

TEST(in_front)
{
	begin();
	text(".", "");
	text("mlimg-unions", "overlay index\n");
	end();
	check("overlay index");
}

TEST(behind_other_archives)
{
	static char microcode[5000];

	begin();
	text("kernel", "");
	entry("070702", "kernel/x86/microcode/GenuineIntel.bin", microcode, sizeof(microcode));
	end();
	text("mlimg-unions", "overlay");
	end();
	check("overlay");
}

TEST(not_there)
{
	begin();
	text("init", "#!/bin/sh\n");
	end();
	check("");
	/* Behind something compressed it is not looked for. */
	memcpy(image + size, "\x28\xb5\x2f\xfd", 4);
	size += 4;
	text("mlimg-unions", "overlay index\n");
	end();
	check("");
	begin();
	check("");
	size = sizeof(image);
	check("");
}

TEST(names_that_only_look_alike)
{
	begin();
	text("mlimg-union", "a");
	text("mlimg-unionss", "b");
	text("x/mlimg-unions", "c");
	entry("070701", "mlimg-unions\0", "d", 1);
	end();
	check("d");
}

TEST(a_long_or_empty_line)
{
	char line[200];

	memset(line, 'x', sizeof(line));
	begin();
	entry("070701", "mlimg-unions", line, sizeof(line));
	end();
	line[MLIMG_INITRD_UNIONS_SIZE - 1] = '\0';
	check(line);
	begin();
	text("mlimg-unions", "");
	end();
	check("");
}

/* Nothing of it may lead anywhere. */
TEST(malformed)
{
	begin();
	text("a", "");
	text("mlimg-unions", "overlay index\n");
	for (size_t i = 0; i < MLIMG_INITRD_HEADER; i++) {
		char byte = image[i];
		bool matters = i < 6 || (i >= 6 + 8 * 6 && i < 6 + 8 * 7) ||
			(i >= 6 + 8 * 11 && i < 6 + 8 * 12);

		image[i] = 'g';
		check(matters ? "" : "overlay index");
		image[i] = byte;
	}
	memcpy(image + 6 + 8 * 11, "00000000", 8);
	check("");
	memcpy(image + 6 + 8 * 11, "00001001", 8);
	check("");
	memcpy(image + 6 + 8 * 11, "FFFFFFFF", 8);
	check("");
	memcpy(image + 6 + 8 * 11, "00000002", 8);
	memcpy(image + 6 + 8 * 6, "FFFFFFFF", 8);
	check("");
}

TEST(words)
{
	struct mlimg_initrd scan = {.unions = "overlay index"};

	ASSERT(mlimg_initrd_knows(&scan, "overlay"));
	ASSERT(mlimg_initrd_knows(&scan, "index"));
	ASSERT(!mlimg_initrd_knows(&scan, "inde"));
	ASSERT(!mlimg_initrd_knows(&scan, "unionfs"));
	ASSERT(!mlimg_initrd_knows(&scan, "overlay index"));
	strcpy(scan.unions, "");
	ASSERT(!mlimg_initrd_knows(&scan, "overlay"));
}
