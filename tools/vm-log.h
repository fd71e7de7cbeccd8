/* SPDX-License-Identifier: MIT */
/**
 * @file vm-log.h
 * What a guest's serial console and QEMU itself print, written to files of bounded size. A guest
 * can print without end, and by default the files lie in memory (/run): one that reaches
 * MLIMG_VM_LOG_MAX bytes becomes FILE.1, in place of the former FILE.1.
 */
#ifndef MLIMG_VM_LOG_H
#define MLIMG_VM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libmlimg/err.h"

#define MLIMG_VM_LOG_MAX (8u << 20) /**< bytes of the file; with FILE.1 twice as many are kept */

/** A log that is being written. Initialise with MLIMG_VM_LOG_INIT. */
struct mlimg_vm_log {
	int in;         /**< where the text comes from, non-blocking; -1 while there is nothing */
	int out;        /**< the file */
	char *path;     /**< of the file; owned */
	bool is_file;   /**< a regular file, which can be renamed when it is full */
	uint64_t bytes; /**< copied so far */
	uint64_t size;  /**< of the file */
	/** told of what is copied, or NULL */
	void (*also)(void *ctx, const char *text, size_t size);
	void *also_ctx;
};

#define MLIMG_VM_LOG_INIT           \
	{                           \
		.in = -1, .out = -1 \
	}

/**
 * Create the file, empty; what is there already and no regular file (a FIFO, a terminal) is only
 * opened.
 *
 * @return 0 or -errno
 */
int mlimg_vm_log_open(
	struct mlimg_vm_log *log, const char *path, struct mlimg_err *err) MLIMG_MUST_CHECK;

/**
 * Copy once what has arrived, without waiting for more. What the file does not take (a full disk, a
 * FIFO that is not read) is lost, since a guest must not stop for its log.
 *
 * @return  whether something was copied; at its end `in` is closed and -1
 */
bool mlimg_vm_log_pump(struct mlimg_vm_log *log);

/**
 * Write what @p fd takes without waiting; the rest is lost. For a descriptor that others share,
 * such as stdout: O_NONBLOCK would be theirs too, so it is asked before each small piece whether it
 * takes one.
 */
void mlimg_vm_log_put(int fd, const char *text, size_t size);

/**
 * The last line that is not empty.
 *
 * @param log       open
 * @param ret_line  the line, cut at @p size; "" when there is none
 * @param size      its room
 */
void mlimg_vm_log_last_line(const struct mlimg_vm_log *log, char *ret_line, size_t size);

/** Close both ends; may be called on a closed one. */
void mlimg_vm_log_close(struct mlimg_vm_log *log);

#endif
