/* SPDX-License-Identifier: MIT */
/**
 * @file vm-print.h
 * What a guest's agent says of it, for people. Nothing of it reaches a terminal unescaped.
 */
#ifndef MLIMG_VM_PRINT_H
#define MLIMG_VM_PRINT_H

#include <jansson.h>

/** Print a guest-status (guest-agent/PROTOCOL.md) on stdout: state, stack, boot, failed units. */
void mlimg_vm_print_status(const json_t *status);

#endif
