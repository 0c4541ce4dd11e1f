/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Types and numbers of the interface of BLCR 0.8.6. */
#ifndef _BLCR_COMMON_H
#define _BLCR_COMMON_H 1

#include <features.h>
#include <sys/types.h>

__BEGIN_DECLS

#if defined(__GNUC__)
#define _CR_DEPRECATED __attribute__((__deprecated__))
#else
#define _CR_DEPRECATED
#endif

/* The signal that asks a process to take part in a checkpoint. */
#define CR_SIGNUM 64

#define CR_RELEASE_MAJOR 0
#define CR_RELEASE_MINOR 8
#define CR_RELEASE_PATCH 6
#define CR_RELEASE_VERSION "0.8.6"

/* Error codes beyond those of errno; cr_strerror() describes them. */
enum {
	CR_MIN_ERRCODE = 2353,
	CR_ETEMPFAIL,	/* a callback cancelled the checkpoint, which may be tried again */
	CR_EPERMFAIL,	/* a callback cancelled it for good; the processes are killed */
	CR_ENOSUPPORT,	/* a process cannot take part */
	CR_EVERSION,	/* the library does not know this version of a structure */
	CR_EOMITTED,	/* a callback left the process out */
	CR_EBADARCH,	/* the context file is of another architecture */
	CR_EPTRACED,	/* a process is traced */
	CR_EPTRACER,	/* a process traces others */
	CR_ERSTRTABRT,	/* the restart was cancelled */
	CR_ERESTARTED,	/* the request was answered by a restart */
	CR_ENOTCB,	/* not called from a callback */
	CR_ENOINIT,	/* the thread has not called cr_init() */
	CR_MAX_ERRCODE
};

/* Which processes a number stands for. */
typedef enum {
	CR_SCOPE_PROC,	/* one process */
	CR_SCOPE_PGRP,	/* the members of a process group */
	CR_SCOPE_SESS,	/* the members of a session */
	CR_SCOPE_TREE,	/* a process and all its descendants */
} cr_scope_t;

/* Arguments of cr_checkpoint(). */
enum {
	CR_CHECKPOINT_READY = 0,
	CR_CHECKPOINT_TEMP_FAILURE = 1,
	CR_CHECKPOINT_PERM_FAILURE = 2,
	CR_CHECKPOINT_OMIT = 4,
};
#define CR_CHECKPOINT_TEMP_FAILURE_CODE(_v) (CR_CHECKPOINT_TEMP_FAILURE | ((_v) << 16))
#define CR_CHECKPOINT_PERM_FAILURE_CODE(_v) (CR_CHECKPOINT_PERM_FAILURE | ((_v) << 16))

/* Members of cr_checkpoint_args_t.cr_flags. */
#define CR_CHKPT_PROHIBIT_SELF	0x00000001
#define CR_CHKPT_PTRACED_ALLOW	0x00000002
#define CR_CHKPT_PTRACED_SKIP	0x00000004
#define CR_CHKPT_PTRACER_SKIP	0x00000008
#define CR_CHKPT_ASYNC_ERR	0x00000010
#define CR_CHKPT_DUMP_EXEC	0x00000200
#define CR_CHKPT_DUMP_PRIVATE	0x00000400
#define CR_CHKPT_DUMP_SHARED	0x00000800
#define CR_CHKPT_DUMP_ALL	(CR_CHKPT_DUMP_EXEC | CR_CHKPT_DUMP_PRIVATE | CR_CHKPT_DUMP_SHARED)

/* Arguments of cr_hold_ctrl(). */
#define CR_HOLD_READ	(-1)
#define CR_HOLD_NONE	0
#define CR_HOLD_CONT	1
#define CR_HOLD_RSTRT	2
#define CR_HOLD_BOTH	(CR_HOLD_CONT | CR_HOLD_RSTRT)
#define CR_HOLD_DFLT	4

__END_DECLS

#endif
