/* SPDX-License-Identifier: MIT */
/**
 * @file calls.h
 * The calls of the command line, `mlimg-agent CALL …` (PROTOCOL.md, "mlimg-agent run once"). Each
 * parses its own options and returns the exit code of the program; what it has to say about a
 * failure it has printed.
 */
#ifndef MLIMG_CALLS_H
#define MLIMG_CALLS_H

#define MLIMG_AGENT_PROG "mlimg-agent" /**< name of the program in messages */
#define MLIMG_RUN_DIR "/run"           /**< where the guest keeps what lasts until shutdown */

/** A call. @param argv  argv[0] is the call's name. @return exit code */
typedef int mlimg_call_fn(int argc, char **argv);

mlimg_call_fn mlimg_call_daemon, mlimg_call_identify, mlimg_call_stage, mlimg_call_prepare,
	mlimg_call_commit, mlimg_call_check_index, mlimg_call_health, mlimg_call_unionfs,
	mlimg_call_convert, mlimg_call_format, mlimg_call_rebuild, mlimg_call_rollback,
	mlimg_call_verity;

/** Print the program's help. @return exit code */
int mlimg_call_help(void);

#endif
