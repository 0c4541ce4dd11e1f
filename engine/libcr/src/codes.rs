//! Numbers of the interface (BLCR 0.8.6, `blcr_common.h` and `blcr_errcodes.h`).

use libc::c_int;

/// The signal that asks for a checkpoint.
pub const SIGNAL: c_int = 64;

pub const STATE_IDLE: c_int = 0;
pub const STATE_PENDING: c_int = 1;
pub const STATE_ACTIVE: c_int = 2;

pub const THREAD_CONTEXT: c_int = 0x400_0000;
pub const SIGNAL_CONTEXT: c_int = 0x200_0000;
pub const CONTEXTS: c_int = THREAD_CONTEXT | SIGNAL_CONTEXT;
pub const MAX_CALLBACKS: usize = 0x1ff_ffff;

pub const TEMP_FAILURE: c_int = 1;
pub const PERM_FAILURE: c_int = 2;
pub const OMIT: c_int = 4;
/// Any of these ends the run of a thread's callbacks.
pub const ABORTS: c_int = TEMP_FAILURE | PERM_FAILURE | OMIT;

pub const HOLD_READ: c_int = -1;
pub const HOLD_CONT: c_int = 1;
pub const HOLD_RSTRT: c_int = 2;
pub const HOLD_BOTH: c_int = HOLD_CONT | HOLD_RSTRT;
pub const HOLD_DFLT: c_int = 4;

pub const HOLD_SCOPE_THREAD: c_int = 0;
pub const HOLD_SCOPE_INIT: c_int = 1;
pub const HOLD_SCOPE_UNINIT: c_int = 2;

/// The number of events that a hook can be registered for.
pub const HOOKS: usize = 6;
/// The events in a thread with signal context, a thread with thread context, one without callbacks:
/// after a checkpoint; three more are those after a restart.
pub const HOOK_SIGNAL: usize = 0;
pub const HOOK_THREAD: usize = 1;
pub const HOOK_NONE: usize = 2;
pub const HOOK_RESTART: usize = 3;

pub const CHECKPOINT_ARGS_VERSION: c_int = 1;

/// Below the first error code.
pub const MIN_ERROR: c_int = 2353;
pub const ETEMPFAIL: c_int = 2354;
pub const EPERMFAIL: c_int = 2355;
pub const EVERSION: c_int = 2357;
pub const EOMITTED: c_int = 2358;
pub const ERESTARTED: c_int = 2363;
pub const ENOTCB: c_int = 2364;
pub const ENOINIT: c_int = 2365;

/// What the codes after [`MIN_ERROR`] mean.
pub const ERRORS: [&std::ffi::CStr; 12] = [
    c"Checkpoint cancelled for now by a callback",
    c"Checkpoint cancelled for good by a callback, the processes were killed",
    c"A process cannot take part in a checkpoint",
    c"Version of the interface not supported",
    c"Process left out of the checkpoint by a callback",
    c"Context file of another architecture",
    c"A process to be saved is traced",
    c"A process to be saved traces others",
    c"Restart cancelled, the processes were killed",
    c"The request ended by a restart",
    c"Not called from a callback",
    c"The thread has not called cr_init()",
];
