//! The remote program: a table of system calls that a stopped task executes for us, with one stop for the whole table.
//!
//! `program` is the pure data, `code` what we borrow of the target's own, `tracee` a seized thread and its registers, `scratch` the page range inside the target that holds
//! stub, table and data. `held` answers the same programs for a thread in the kernel module; elsewhere nothing here knows what the calls are for.
//!
//! # Safety
//! No `unsafe` is needed for addresses in a target: they are [`RemoteAddr`], never pointers, and every access goes through `sys::vm`.

pub mod code;
pub mod held;
pub mod program;
pub mod scratch;
mod sleep;
pub mod stopped;
pub mod tracee;

use serde::{Deserialize, Serialize};
use std::fmt;

pub use code::Code;
pub use held::Held;
pub use program::{Arg, CallId, DataId, Outcome, Program};
pub use scratch::Scratch;
pub use stopped::Stopped;
pub use tracee::Tracee;

/// An address in a target's memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteAddr(pub u64);

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
