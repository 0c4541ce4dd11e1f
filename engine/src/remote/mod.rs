//! The remote program: a table of system calls that a stopped task executes for us, with one stop
//! for the whole table.
//!
//! `program` is pure data, `code` finds instructions of the target to borrow, `tracee` is a seized
//! thread and its registers, `scratch` the page range inside the target that holds stub, table and
//! data. `held` evaluates the same programs for a thread held by the kernel module. Apart from
//! that, nothing here knows what the calls are for.
//!
//! # Safety
//! No `unsafe` is needed for addresses in a target: they are
//! [`RemoteAddr`](crate::sys::RemoteAddr), never pointers, and every access goes through `sys::vm`.

pub mod code;
pub mod held;
pub mod program;
pub mod scratch;
mod sleep;
pub mod stopped;
pub mod tracee;

pub use code::{Code, is_at_syscall};
pub use held::ModuleThread;
pub use program::{Arg, CallId, DataId, Program, ProgramOutput};
pub use scratch::Scratch;
pub use stopped::Stopped;
pub use tracee::Tracee;
