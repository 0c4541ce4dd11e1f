//! What every workload is made with: its description, the gate between building and verifying,
//! children, threads, memory, and ways to say precisely what differs.
//!
//! Nothing here may leave a trace in the state between `ready` and `go`, unless the workload asked
//! for it.

pub mod arch;
pub mod census;
pub mod child;
pub mod entry;
pub mod expect;
pub mod fd;
pub mod gate;
pub mod helper;
pub mod mapping;
pub mod needs;
pub mod pattern;
pub mod procfs;
pub mod rounds;
pub mod runner;
pub mod shared;
pub mod signal;
pub mod stage;
pub mod sys;
pub mod thread;

pub use entry::Entry;
pub(crate) use entry::corpus;
use gate::Gate;
use needs::Need;

/// How a workload ends: `Ok` when everything is as it was built, otherwise what differs.
/// A [`needs::Skip`] inside the error means that the workload cannot run here at all.
pub type Outcome = anyhow::Result<()>;

/// One behaviour of the kernel, how to build it and how to prove it. Group and name come from the
/// path of the file.
pub struct Workload {
    /// One line that says which state is at stake.
    pub purpose: &'static str,
    /// What must be there; checked before `run` is called.
    pub needs: &'static [Need],
    /// Whether memory or anything else changes while the workload waits for `go`.
    pub moving: bool,
    /// Whether it also belongs to the selection that runs from the statically linked program.
    pub statik: bool,
    /// Builds, calls [`Ctx::ready`] exactly once, verifies.
    pub run: fn(&mut Ctx) -> Outcome,
}

/// What a running workload is given.
pub struct Ctx {
    /// Where pseudo-random contents start from. Same seed, same contents.
    pub seed: u64,
    /// The cell's directory, absolute: the current directory at start. Everything created lives
    /// below it.
    pub dir: std::path::PathBuf,
    /// The two FIFOs. A workload that changes its root directory repoints it.
    pub gate: Gate,
}

impl Ctx {
    /// Says `ready` and returns when the runner said `go`. A checkpoint and a restart may lie
    /// between.
    pub fn ready(&mut self) -> Outcome {
        self.gate.pass()
    }
}

/// What a workload imports.
pub mod prelude {
    pub use super::child::{Child, fork};
    pub use super::expect::{expect, expect_bytes, expect_eq};
    pub use super::mapping::{Mapping, page_size};
    pub use super::needs::{Need, skip};
    pub use super::pattern::{self, Rng};
    pub use super::rounds::Rounds;
    pub use super::shared::{Cell, Shared};
    pub use super::stage::Stage;
    pub use super::thread::{self, Thread};
    pub use super::{Ctx, Outcome, Workload, arch, child, fd, gate, helper, procfs, signal, sys};
    pub use anyhow::{Context as _, anyhow, bail};
}
