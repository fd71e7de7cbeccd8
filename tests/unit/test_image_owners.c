/* SPDX-License-Identifier: MIT */
/* Numbers that things in carve-outs have, in an image and in a directory. */
#include "tools/image-owners.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include "guest-agent/carve-owners.h"
#include "tests/lib/ext4-base.h"
#include "tests/lib/test.h"

/* user::6, user:1000:4, group::4, group:1001:4, mask::4, other::4 (linux/posix_acl_xattr.h) */
static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0,
	4, 0, 4, 0, 255, 255, 255, 255, 8, 0, 4, 0, 0xe9, 3, 0, 0, 16, 0, 4, 0, 255, 255, 255, 255,
	32, 0, 4, 0, 255, 255, 255, 255};

static const char carved_script[] =
	"mkdir -p $d/t/etc\n"
	"printf '\\2\\0\\0\\0\\1\\0\\6\\0\\377\\377\\377\\377\\2\\0\\4\\0\\350\\3\\0\\0"
	"\\4\\0\\4\\0\\377\\377\\377\\377\\10\\0\\4\\0\\351\\3\\0\\0\\20\\0\\4\\0\\377\\377\\377\\3"
	"77"
	"\\40\\0\\4\\0\\377\\377\\377\\377' >$d/acl\n"
	"cat >$d/script <<END\n"
	"mkdir /carve-outs\n"
	"mkdir /carve-outs/srv\n"
	"mkdir /carve-outs/srv/deep\n"
	"write $d/acl /carve-outs/srv/deep/file\n"
	"set_inode_field /upper/etc uid 77\n"
	"set_inode_field /carve-outs/srv uid 105\n"
	"set_inode_field /carve-outs/srv/deep gid 106\n"
	"set_inode_field /carve-outs/srv/deep/file $2\n"
	"ea_set -f $d/acl /carve-outs/srv/deep/file system.posix_acl_access\n"
	"END\n"
	"handmade-layer -k user -s 1M -d $d/script $d/t $1 -N 256 -O ^has_journal,^resize_inode\n";

static struct mlimg_ext4 *open_image(const char *script, const char *argument)
{
	char path[512];
	struct mlimg_err err = MLIMG_ERR_INIT;
	struct mlimg_ext4 *fs;

	snprintf(path, sizeof(path), "%s/image.XXXXXX", test_tmpdir());
	base_run(script, path, argument);
	ASSERT_OK(mlimg_ext4_open(path, &fs, &err), err);
	unlink(path);
	return fs;
}

TEST(owners_and_acls_in_an_image)
{
	struct mlimg_image_owners owners = {.fs = open_image(carved_script, "uid 107")};

	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 105), 1);
	ASSERT_EQ(mlimg_image_owners_has(&owners, true, 105), 0);
	ASSERT_EQ(mlimg_image_owners_has(&owners, true, 106), 1);
	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 107), 1);
	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 1000), 1);
	ASSERT_EQ(mlimg_image_owners_has(&owners, true, 1000), 0);
	ASSERT_EQ(mlimg_image_owners_has(&owners, true, 1001), 1);
	/* The upper is no carve-out. */
	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 77), 0);
	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 70000), 0);
	mlimg_image_owners_done(&owners);
	mlimg_ext4_close(owners.fs);
}

TEST(large_numbers_and_what_is_not_sound)
{
	struct mlimg_image_owners owners = {.fs = open_image(carved_script, "uid 70000")},
				  none = {.fs = open_image(user_script, "metadata_csum")},
				  damaged = {.fs = open_image(carved_script, "links_count 0")};

	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 70000), -1);
	ASSERT_EQ(mlimg_image_owners_has(&owners, false, 107), 0);
	ASSERT_EQ(mlimg_image_owners_has(&none, false, 0), 0);
	/* Any number may be its. */
	ASSERT_EQ(mlimg_image_owners_has(&damaged, false, 107), -1);
	ASSERT_EQ(mlimg_image_owners_has(&damaged, false, 105), 1);
	mlimg_image_owners_done(&owners);
	mlimg_image_owners_done(&none);
	mlimg_image_owners_done(&damaged);
	mlimg_ext4_close(owners.fs);
	mlimg_ext4_close(none.fs);
	mlimg_ext4_close(damaged.fs);
}

/* Without root's rights only one's own files can be had. */
TEST(acls_in_a_directory)
{
	char dir[512];
	struct mlimg_carve_owners owners = {0};
	int fd;

	snprintf(dir, sizeof(dir), "%s/user", test_tmpdir());
	ASSERT_EQ(mkdir(dir, 0755), 0);
	owners.user_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT(owners.user_fd >= 0);
	ASSERT_EQ(mkdirat(owners.user_fd, "carve-outs", 0700), 0);
	ASSERT_EQ(mkdirat(owners.user_fd, "carve-outs/srv", 0700), 0);
	fd = openat(owners.user_fd, "carve-outs/srv/file", O_CREAT | O_WRONLY, 0600);
	ASSERT(fd >= 0);
	if (fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
		ASSERT_EQ(errno, ENOTSUP);
	else
		ASSERT_EQ(mlimg_carve_owners_has(&owners, false, 1000), 1);
	ASSERT_EQ(mlimg_carve_owners_has(&owners, true, 1000), 0);
	ASSERT_EQ(mlimg_carve_owners_has(&owners, false, getuid()), 1);
	mlimg_carve_owners_done(&owners);
	close(fd);
	close(owners.user_fd);
}
