//! The inside of a run: the program `cairn-runner`, which executes cells on the machine it is
//! started on, a host or a guest.
//!
//! There are two kinds of process: the *runner* ([`pool`]) distributes cells and talks to the host;
//! a *supervisor* ([`supervisor`], [`cell`](mod@cell)) is the ancestor of everything that its cell
//! starts, and can find and kill it. When the runner dies, its supervisors see their standard input
//! close, kill their cells and exit.

mod cell;
mod failure;
mod judge;
mod kill;
mod pool;
mod proc;
mod supervisor;
mod sys;

pub use cell::supervise;
pub use pool::{Options, RunnerError, run};
pub use sys::close_inherited;
