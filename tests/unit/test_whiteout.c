/* SPDX-License-Identifier: MIT */
#include "libmlimg/whiteout.h"
#include "tests/lib/test.h"

static struct mlimg_entry with_xattr(uint8_t type, struct mlimg_xattr *xattr)
{
	return (struct mlimg_entry){
		.path = (char *)"x", .type = type, .xattrs = xattr, .n_xattrs = 1};
}

TEST(whiteout_is_char_0_0)
{
	struct mlimg_entry e = {.path = (char *)"x", .type = MLIMG_CHAR};

	ASSERT(mlimg_entry_is_whiteout(&e));
	e.dev_minor = 1;
	ASSERT(!mlimg_entry_is_whiteout(&e));
	e.dev_minor = 0;
	e.dev_major = 1;
	ASSERT(!mlimg_entry_is_whiteout(&e));
	e.dev_major = 0;
	e.type = MLIMG_BLOCK;
	ASSERT(!mlimg_entry_is_whiteout(&e));
	e.type = MLIMG_FILE;
	ASSERT(!mlimg_entry_is_whiteout(&e));
}

TEST(opaque_is_a_directory_with_y)
{
	uint8_t yes[] = "y", both[] = "yy", no[] = "n";
	struct mlimg_xattr x = {(char *)MLIMG_XATTR_OPAQUE, yes, 1};
	struct mlimg_entry e = with_xattr(MLIMG_DIR, &x);

	ASSERT(mlimg_entry_is_opaque(&e));
	e.type = MLIMG_FILE;
	ASSERT(!mlimg_entry_is_opaque(&e));
	e.type = MLIMG_DIR;
	x.value = no;
	ASSERT(!mlimg_entry_is_opaque(&e));
	x = (struct mlimg_xattr){(char *)MLIMG_XATTR_OPAQUE, both, 2};
	ASSERT(!mlimg_entry_is_opaque(&e));
	x = (struct mlimg_xattr){(char *)"user.overlay.opaque", yes, 1};
	ASSERT(!mlimg_entry_is_opaque(&e));
	e.n_xattrs = 0;
	ASSERT(!mlimg_entry_is_opaque(&e));
}

TEST(overlay_prefixes)
{
	ASSERT(mlimg_xattr_is_overlay("trusted.overlay.origin"));
	ASSERT(mlimg_xattr_is_overlay("user.overlay.opaque"));
	ASSERT(!mlimg_xattr_is_overlay("trusted.overlay"));
	ASSERT(!mlimg_xattr_is_overlay("trusted.overlays.x"));
	ASSERT(!mlimg_xattr_is_overlay("user.mime_type"));
}
