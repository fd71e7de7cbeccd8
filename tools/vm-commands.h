/* SPDX-License-Identifier: MIT */
/**
 * @file vm-commands.h
 * The commands of mlimg-vm, which the table in mlimg-vm.c names. Each takes its own arguments, argv[0] being
 * the command's name, prints everything itself, and returns the program's exit code.
 */
#ifndef MLIMG_VM_COMMANDS_H
#define MLIMG_VM_COMMANDS_H

#define MLIMG_VM_PROG "mlimg-vm"

/** A command. @return the exit code */
typedef int mlimg_vm_command_fn(int argc, char **argv);

/* Guests of images. */
mlimg_vm_command_fn mlimg_vm_cmd_run; /**< `mlimg-vm run` */

/* Tenants. */
mlimg_vm_command_fn mlimg_vm_cmd_create;  /**< `mlimg-vm create` */
mlimg_vm_command_fn mlimg_vm_cmd_set;     /**< `mlimg-vm set` */
mlimg_vm_command_fn mlimg_vm_cmd_list;    /**< `mlimg-vm list` */
mlimg_vm_command_fn mlimg_vm_cmd_resize;  /**< `mlimg-vm resize` */
mlimg_vm_command_fn mlimg_vm_cmd_clone;   /**< `mlimg-vm clone` */
mlimg_vm_command_fn mlimg_vm_cmd_rename;  /**< `mlimg-vm rename` */
mlimg_vm_command_fn mlimg_vm_cmd_destroy; /**< `mlimg-vm destroy` */

/* Running tenants; status, stop and logs are for guests of `run` too. */
mlimg_vm_command_fn mlimg_vm_cmd_start;     /**< `mlimg-vm start` */
mlimg_vm_command_fn mlimg_vm_cmd_stop;      /**< `mlimg-vm stop` */
mlimg_vm_command_fn mlimg_vm_cmd_restart;   /**< `mlimg-vm restart` */
mlimg_vm_command_fn mlimg_vm_cmd_status;    /**< `mlimg-vm status` */
mlimg_vm_command_fn mlimg_vm_cmd_console;   /**< `mlimg-vm console` */
mlimg_vm_command_fn mlimg_vm_cmd_logs;      /**< `mlimg-vm logs` */
mlimg_vm_command_fn mlimg_vm_cmd_supervise; /**< what `start` starts (vm-supervise.h) */

/* Checkpoints. */
mlimg_vm_command_fn mlimg_vm_cmd_checkpoint;  /**< `mlimg-vm checkpoint` */
mlimg_vm_command_fn mlimg_vm_cmd_checkpoints; /**< `mlimg-vm checkpoints` */
mlimg_vm_command_fn mlimg_vm_cmd_restore;     /**< `mlimg-vm restore` */
mlimg_vm_command_fn mlimg_vm_cmd_delete;      /**< `mlimg-vm delete` */

/* Other hosts. */
mlimg_vm_command_fn mlimg_vm_cmd_host; /**< `mlimg-vm host` */
mlimg_vm_command_fn mlimg_vm_cmd_move; /**< `mlimg-vm move` */
mlimg_vm_command_fn mlimg_vm_cmd_xml;  /**< `mlimg-vm xml` */

#endif
