/* SPDX-License-Identifier: MIT */
/**
 * @file io.h
 * Reading and writing of small files, safely: bounded reads, whole writes, atomic replacement, and
 * opening of untrusted paths beneath a directory.
 */
#ifndef MLIMG_IO_H
#define MLIMG_IO_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "libmlimg/err.h"

/** Write all of it, whatever write(2) takes at a time. @return 0 or -errno */
int mlimg_write_all(int fd, const void *data, size_t size) MLIMG_MUST_CHECK;

/**
 * Read until @p size bytes are there or the file ends, whatever read(2) gives at a time.
 *
 * @return bytes, fewer than @p size at the end; -errno
 */
ssize_t mlimg_read_full(int fd, void *data, size_t size) MLIMG_MUST_CHECK;

/**
 * Read all that is left of an open file into memory.
 *
 * @param fd        readable
 * @param name      what it is called in messages
 * @param max       more bytes than this are an error (-EFBIG), so that nobody is made to read
 * without end
 * @param ret_data  NUL-terminated (the NUL is not counted); free() it
 * @param ret_size  bytes
 * @param err       names the file
 * @return          0 or -errno
 */
int mlimg_read_fd(int fd, const char *name, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Read a whole regular file into memory; anything else (a FIFO, a device) is an error. Symbolic
 * links are followed: for a stranger's tree, mlimg_read_beneath() is the way.
 *
 * @param dirfd     directory that @p path is relative to, or AT_FDCWD
 * @param path      the file
 * @param max       more bytes than this are an error (-EFBIG), so that nobody is made to read
 * without end
 * @param ret_data  NUL-terminated (the NUL is not counted); free() it
 * @param ret_size  bytes
 * @param err       names the file
 * @return          0 or -errno
 */
int mlimg_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Begin to read a directory, whose own descriptor keeps its position.
 *
 * @param dirfd  directory that @p path is relative to
 * @param path   the directory; "." is @p dirfd itself. A symbolic link is an error
 * @return       closedir() it; NULL with errno
 */
DIR *mlimg_dir_open(int dirfd, const char *path);

/** Whether a directory has entries; parameters as of mlimg_dir_open(). @return 1, 0 or -errno */
int mlimg_dir_has_entries(int dirfd, const char *path) MLIMG_MUST_CHECK;

#define MLIMG_TEMPORARY_SIZE 32 /**< of a temporary file's name, NUL included */

/** Think of a name for a temporary file: ".mlimg-<16 hex>". @return 0, -errno */
int mlimg_temporary_name(char ret_name[MLIMG_TEMPORARY_SIZE]) MLIMG_MUST_CHECK;

/**
 * Replace a file's content durably: temporary file beside it, fsync, rename, fsync of the
 * directory. After a crash at any moment the file has either its old or its new content (and a file
 * ".mlimg-<16 hex>" may lie beside it). On return with 0 it is on stable storage. A symbolic link
 * at @p path is replaced, not followed.
 *
 * @param dirfd  directory that @p path is relative to, or AT_FDCWD
 * @param path   the file; may not exist yet
 * @param data   new content
 * @param size   bytes of @p data
 * @param mode   permission bits of the new file, whatever the umask
 * @param err    names the file
 * @return       0 or -errno; on failure no temporary is left
 */
int mlimg_replace_file(int dirfd, const char *path, const void *data, size_t size, mode_t mode,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Open @p path beneath @p rootfd: neither "..", nor an absolute path, nor a symbolic link can lead
 * out of it. openat2(2) with RESOLVE_BENEATH; where the kernel has no openat2, or MLIMG_NO_OPENAT2
 * is set in the environment (for tests), component by component with O_NOFOLLOW. The latter refuses
 * ".." altogether
 * (-EXDEV) and every symbolic link, the last component included (-ELOOP); who wants the same from
 * both gives neither, and O_NOFOLLOW.
 *
 * @param rootfd  the directory
 * @param path    relative
 * @param flags   open(2)'s; O_CLOEXEC is added; a file that O_CREAT makes has mode 0600
 * @return        a file descriptor, or -errno (-EXDEV or -ELOOP: it leads out)
 */
int mlimg_open_beneath(int rootfd, const char *path, int flags);

/**
 * As mlimg_open_beneath(), and no symbolic link is followed at all (-ELOOP), not even one that
 * stays beneath @p rootfd: for places where a stranger may have put one.
 */
int mlimg_open_beneath_strict(int rootfd, const char *path, int flags);

/**
 * As mlimg_open_beneath_strict(), the directory that holds @p path, which itself need not be there.
 *
 * @param rootfd    the directory
 * @param path      as manifests have them; of "" it is @p rootfd's own directory that is opened
 * @param flags     O_RDONLY or O_PATH; O_DIRECTORY and O_CLOEXEC are added
 * @param ret_name  gets the last component, within @p path; "" of the root. NULL: not wanted
 * @return          a file descriptor, or -errno
 */
int mlimg_open_parent_strict(int rootfd, const char *path, int flags, const char **ret_name);

/**
 * Look at what is at @p path beneath a directory. No symbolic link is followed; one that is there
 * is what is told of.
 *
 * @param rootfd  the directory
 * @param path    as manifests have them; "" is @p rootfd's own directory
 * @param ret     what is there
 * @return        0, or -errno
 */
int mlimg_stat_beneath(int rootfd, const char *path, struct stat *ret);

/**
 * As mlimg_read_file(), of a directory that a stranger may have written: no symbolic link is
 * followed (-ELOOP), and nothing above @p rootfd is reached. Parameters as there.
 */
int mlimg_read_beneath(int rootfd, const char *path, size_t max, char **ret_data, size_t *ret_size,
	struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * As mlimg_read_beneath(), but of a longer file only the beginning.
 *
 * @param max  bytes that are read at most
 */
int mlimg_read_beneath_head(int rootfd, const char *path, size_t max, char **ret_data,
	size_t *ret_size, struct mlimg_err *err) MLIMG_MUST_CHECK;

/** Compare what is left of two open files. @return 1 when it is the same, 0, -errno */
int mlimg_files_are_same(int a, int b) MLIMG_MUST_CHECK;

/** @return whether all bytes are 0; so are none */
static inline bool mlimg_is_zero(const void *data, size_t size)
{
	const char *bytes = data;

	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/** @return whether a + b fits, and the sum */
static inline bool mlimg_add_fits(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	return !__builtin_add_overflow(a, b, ret_sum);
}

/** @return whether a * b fits, and the product */
static inline bool mlimg_mul_fits(uint64_t a, uint64_t b, uint64_t *ret_product)
{
	return !__builtin_mul_overflow(a, b, ret_product);
}

#endif
