//! The building blocks of workloads: the description, the gate between building and verifying,
//! children, threads, memory, and precise comparison.
//!
//! Nothing here may leave a trace in the state between `ready` and `go`, unless the workload asked
//! for it.

pub mod arch;
pub mod child;
pub mod descendants;
pub mod entry;
pub mod expect;
pub mod fd;
pub mod hang_report;
pub mod helper;
pub mod mapping;
pub mod needs;
pub mod option;
pub mod pattern;
pub mod ping_pong;
pub mod procfs;
pub mod rounds;
pub mod runner;
pub mod shared;
pub mod signal;
pub mod stage;
pub mod sync;
pub mod sys;
pub mod thread;

pub use entry::Entry;
pub(crate) use entry::corpus;
use needs::Need;
use sync::Gate;

/// The result of a workload: `Ok` if everything is as it was built, otherwise the difference.
/// A [`needs::Skip`] inside the error means that the workload cannot run here at all.
pub type Outcome = anyhow::Result<()>;

/// One behaviour of the kernel, how to build it and how to verify it. Group and name are taken from
/// the path of the file.
pub struct Workload {
    /// One line that says which state is tested.
    pub purpose: &'static str,
    /// Prerequisites; checked before `run` is called.
    pub needs: &'static [Need],
    /// Whether memory or anything else changes while the workload waits for `go`.
    pub active: bool,
    /// Whether it also belongs to the selection that runs from the statically linked program.
    pub statik: bool,
    /// Builds, calls [`Ctx::ready`] exactly once, verifies.
    pub run: fn(&mut Ctx) -> Outcome,
}

/// The context of a running workload.
pub struct Ctx {
    /// Seed of pseudo-random contents. Same seed, same contents.
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
    pub use super::{Ctx, Outcome, Workload, arch, child, fd, helper, option, procfs, signal, sync, sys};
    pub use anyhow::{Context as _, anyhow, bail};
}
