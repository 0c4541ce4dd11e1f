//! Prerequisites of workloads, and how a workload reports that it cannot run here.

use super::Outcome;
use anyhow::{Context as _, Result};
use std::fmt;

/// A prerequisite for building a workload's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Free huge pages of the default size: at least four.
    Hugepages,
    /// Effective user 0.
    Root,
    /// Transparent huge pages, in `always` or `madvise` mode.
    Thp,
    /// At least two online processors.
    Smp,
    /// The program must be linked dynamically.
    Dynamic,
    /// Programs of a distribution: not in guests that have nothing but the corpus.
    Installed,
}

/// The workload cannot run here. Not a failure.
#[derive(Debug)]
pub struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends the workload before `ready`, as not runnable here.
///
/// # Errors
/// Always a [`Skip`].
pub fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

impl Need {
    /// Returns when the need is met.
    ///
    /// # Errors
    /// A [`Skip`] with the reason.
    pub fn require(self) -> Outcome {
        let missing = match self {
            Need::Hugepages => (free_hugepages()? < 4).then_some("fewer than 4 free huge pages"),
            // SAFETY: geteuid has no preconditions.
            Need::Root => (unsafe { libc::geteuid() } != 0).then_some("not root"),
            Need::Thp => (!thp_on()).then_some("transparent huge pages are off or not built in"),
            Need::Smp => (online_cpus() < 2).then_some("only one processor"),
            // Each says itself which one it misses.
            Need::Installed => None,
            Need::Dynamic => cfg!(target_feature = "crt-static").then_some("linked statically"),
        };
        missing.map_or(Ok(()), skip)
    }
}

/// Free huge pages of the default size.
fn free_hugepages() -> Result<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = meminfo.lines().find_map(|l| l.strip_prefix("HugePages_Free:"));
    Ok(line.and_then(|n| n.trim().parse().ok()).unwrap_or(0))
}

fn thp_on() -> bool {
    std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .is_ok_and(|s| !s.contains("[never]"))
}

/// Processors that are online.
pub fn online_cpus() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1)
}
