//! The inside of a run: the program `cairn-runner`, which executes cells where it finds itself, a
//! host or a guest.
//!
//! Two kinds of process: the *runner* ([`pool`]) hands out cells and speaks to the host; a
//! *supervisor* ([`supervisor`], [`cell`](mod@cell)) stands above each cell, so that whatever a
//! cell starts has exactly one ancestor that can find and end it. When the runner dies, its
//! supervisors see their standard input close and take everything down with them.

mod cell;
mod failure;
mod judge;
mod pool;
mod proc;
mod supervisor;
mod sys;

pub use cell::supervise;
pub use pool::{Options, RunnerError, run};
pub use sys::close_inherited;
