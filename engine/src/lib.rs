//! Checkpoint and restart of Linux processes: freezes a running, unmodified process tree into a
//! *context file*, and brings it back from there.
//!
//! ```no_run
//! use cairn::{CheckpointOptions, RestartOptions, Scope, Sync, Target, Then};
//!
//! # fn main() -> cairn::Result<()> {
//! let target = Target::of(Scope::Tree(4711));
//! match cairn::check(&target, &|| false) {
//!     Ok(found) => println!("{} threads can be saved by {}", found.tasks, found.source),
//!     Err(cairn::Error::Unsupported(problems)) => {
//!         for problem in &problems.reasons {
//!             println!("{problem}"); // pid, descriptor and kind are in problem.at as data
//!         }
//!     }
//!     Err(other) => return Err(other),
//! }
//! let saved = cairn::checkpoint(&CheckpointOptions {
//!     target,
//!     to: "job.ctx".into(),
//!     then: Then::Kill,
//!     sync: Sync::Full,
//!     progress: &|_done, _all| {},
//!     cancelled: &|| false,
//! })?;
//! println!("the job stood still for {} ns", saved.pause_ns);
//!
//! let prepared = cairn::prepare(&RestartOptions::of("job.ctx"))?;
//! println!("{}", prepared.plan.describe(&prepared.records));
//! cairn::restart(prepared)?;
//! # Ok(())
//! # }
//! ```
//!
//! A checkpoint leaves the target unharmed when it fails, whenever that is. It needs
//! CAP_CHECKPOINT_RESTORE, CAP_SYS_PTRACE and what the target has, or the kernel module.
//!
//! The caller stays as it is: signal mask, capabilities, RLIMIT_NOFILE and the subreaper attribute
//! are changed during an operation only, and those of the process are changed for all its threads.
//! [`restart`] makes the calling process the parent of what it restores; to adopt orphans of the
//! job later, make it a subreaper.
//!
//! The library alone, without the program and what that needs: `default-features = false`.
//!
//! Everything that is not re-exported here is the engine's own, and changes without notice.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[doc(hidden)]
pub mod activity;
#[doc(hidden)]
pub mod arch;
mod caller;
#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod error;
#[cfg(feature = "planted-faults")]
#[doc(hidden)]
pub mod fault;
#[doc(hidden)]
pub mod image;
#[doc(hidden)]
pub mod journal;
#[doc(hidden)]
pub mod phase;
#[doc(hidden)]
pub mod proc;
#[doc(hidden)]
pub mod remote;
#[doc(hidden)]
pub mod resource;
#[doc(hidden)]
pub mod restart;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod tree;

pub use checkpoint::{
    Checked, Options as CheckpointOptions, Report as CheckpointReport, Target, Then, check, checkpoint,
};
pub use error::{Error, External, Part, Problem, Problems, Result, Subject};
pub use image::{Location, Stream, Sync};
pub use resource::bytes::PathBytes;
pub use resource::fd::external::Replacement;
pub use restart::{
    Options as RestartOptions, Prepared, Report as RestartReport, Session, carry_out as restart, prepare,
};
pub use source::{Source, Wanted};
pub use tree::Scope;
