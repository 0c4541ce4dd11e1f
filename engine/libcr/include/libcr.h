/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Callbacks around checkpoints, critical sections, and requests for checkpoints: the interface of
 * BLCR 0.8.6. Functions that return an int return -1 and set errno if they fail, unless said
 * otherwise.
 */
#ifndef _CRLIB_H
#define _CRLIB_H 1

#include <errno.h>
#include <features.h>
#include <sys/select.h>

#include <blcr_common.h>

__BEGIN_DECLS

typedef int cr_version_t;
#define CR_CHECKPOINT_ARGS_VERSION 1

/* How many callbacks there may be. */
#define CR_MAX_CALLBACKS 0x1FFFFFF

typedef int (*cr_callback_t)(void *);
typedef int cr_client_id_t;
typedef int cr_callback_id_t;
typedef unsigned int cr_spinlock_t;

struct cr_checkpoint_info {
	int signal;		/* that follows the checkpoint, or 0 */
	const char *dest;	/* the context file */
	pid_t requester;
	pid_t target;
	cr_scope_t scope;
};

struct cr_restart_info {
	pid_t requester;	/* who restarted the job */
	const char *src;	/* the context file */
};

/* What cr_status() returns. */
enum {
	CR_STATE_IDLE,
	CR_STATE_PENDING,
	CR_STATE_ACTIVE
};

typedef struct cr_checkpoint_args {
	cr_version_t cr_version;
	cr_scope_t cr_scope;
	pid_t cr_target;	/* 0: the caller, its group or its session */
	int cr_fd;		/* where the checkpoint goes */
	int cr_signal;		/* sent to the processes afterwards, or 0 */
	unsigned int cr_timeout;	/* seconds, 0 without a limit */
	unsigned int cr_flags;	/* CR_CHKPT_* */
} cr_checkpoint_args_t;

typedef unsigned long cr_checkpoint_handle_t;

/* Where a callback runs: in a thread of the library, or in the thread that registered it. */
#define CR_THREAD_CONTEXT 0x4000000
#define CR_SIGNAL_CONTEXT 0x2000000

/* The client of a critical section in a callback. */
#define CR_ID_CALLBACK ((cr_client_id_t)(-1))

#define CR_SPINLOCK_INITIALIZER 0U

/* When a hook is called: after a checkpoint or a restart, in a thread of each kind. */
typedef enum {
	CR_HOOK_CONT_SIGNAL_CONTEXT = 0,
	CR_HOOK_CONT_THREAD_CONTEXT,
	CR_HOOK_CONT_NO_CALLBACKS,
	CR_HOOK_RSTRT_SIGNAL_CONTEXT,
	CR_HOOK_RSTRT_THREAD_CONTEXT,
	CR_HOOK_RSTRT_NO_CALLBACKS,
	CR_NUM_HOOKS
} cr_hook_event_t;

typedef void (*cr_hook_fn_t)(cr_hook_event_t);
#define CR_HOOK_FN_ERROR ((cr_hook_fn_t)(~0UL))

/* The first argument of cr_hold_ctrl(). */
enum {
	CR_HOLD_SCOPE_THREAD,
	CR_HOLD_SCOPE_INIT,
	CR_HOLD_SCOPE_UNINIT
};

/* Each thread calls this once before any other function. Returns its client. */
extern cr_client_id_t cr_init(void);

/*
 * Has func(arg) called at each checkpoint. Callbacks in thread context run first; those in signal
 * context, in the thread that registered them and perhaps in a signal handler, the last one first.
 * Returns an id. ENOINIT, EINVAL, ENOSPC, ENOMEM; EBUSY in a callback.
 */
extern cr_callback_id_t cr_register_callback(cr_callback_t func, void *arg, int flags);

/* Replaces a callback; NULL is not called. The context must be the same. */
extern int cr_replace_callback(cr_callback_id_t id, cr_callback_t func, void *arg, int flags);
extern int cr_replace_self(cr_callback_t func, void *arg, int flags);

/*
 * In a callback: go on. Runs the callbacks that are left, and takes the checkpoint. Returns 0 when
 * that is done, a positive number after a restart, or minus an error code. A callback that does not
 * call it has it called when it returns.
 */
extern int cr_checkpoint(int flags);

/* In a callback: who asks for what; NULL elsewhere. Valid until the callback returns. */
extern const struct cr_checkpoint_info *cr_get_checkpoint_info(void);
extern const struct cr_restart_info *cr_get_restart_info(void);

/* In a callback, before cr_checkpoint(): more processes for this checkpoint. */
extern int cr_forward_checkpoint(cr_scope_t scope, pid_t target);

/*
 * Critical sections, in which no callback runs in any thread. cr_tryenter_cs() returns a positive
 * number instead of waiting for a checkpoint.
 */
extern int cr_enter_cs(cr_client_id_t id);
extern int cr_tryenter_cs(cr_client_id_t id);
extern int cr_leave_cs(cr_client_id_t id);
extern int cr_status(void);

/* Requests a checkpoint; the handle is to be reaped. */
#define cr_initialize_checkpoint_args_t(_args) \
	cri_init_checkpoint_args_t(CR_CHECKPOINT_ARGS_VERSION, (_args))
extern int cri_init_checkpoint_args_t(cr_version_t, cr_checkpoint_args_t *);
extern int cr_request_checkpoint(cr_checkpoint_args_t *args, cr_checkpoint_handle_t *handle);

/* Waits for the end of a request: positive at its end, 0 when the time is over. */
extern int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);

/* Copies what was logged; returns the bytes that takes, with the zero, or 0 if there is nothing. */
extern int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int len, char *msg);

/* How the request ended: positive, or the errno of its failure; EAGAIN if it has not. */
extern int cr_reap_checkpoint(cr_checkpoint_handle_t *handle);

/* All three. */
#define CR_POLL_CHKPT_ERR_PRE (-1)
#define CR_POLL_CHKPT_ERR_POST (-2)
#define CR_POLL_CHKPT_ERR_LOG (-3)
extern int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle, struct timeval *timeout, char **msg);
extern int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);

/* Locks that a signal handler may take. */
extern void cr_spinlock_init(cr_spinlock_t *);
extern void cr_spinlock_lock(cr_spinlock_t *);
extern void cr_spinlock_unlock(cr_spinlock_t *);
extern int cr_spinlock_trylock(cr_spinlock_t *);

extern const char *cr_strerror(int errnum);

/* Has a function called at an event; returns the one before. */
extern cr_hook_fn_t cr_register_hook(cr_hook_event_t event, cr_hook_fn_t func);

/* Whether threads wait after a checkpoint or a restart until all callbacks have returned. */
extern int cr_hold_ctrl(int scope, int flags);

/* Keeps what is known of this thread until it has ended all destructors. */
extern int cr_inc_persist(void);
extern int cr_dec_persist(void);

__END_DECLS

#endif
