//! The checks of a cell: how its processes exited, whether its state was restored, what was left
//! behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::Signal;

use super::cell::CellRun;
use super::failure::{EXIT_SKIP, Failure, StageResult, still_there, words};
use super::supervisor::End;
use crate::oracle::{fixpoint, leak};
use crate::verdict::Stage;

impl CellRun<'_> {
    /// Only for the first tree: the parent of a restarted one is its restart program, not the
    /// supervisor.
    pub(super) fn was_killed(&mut self, root: u32) -> StageResult<()> {
        let end = self.wait_for(root, Stage::Checkpoint, "the original to be killed")?;
        if end == End::Killed(Signal::SIGKILL as i32) {
            return Ok(());
        }
        Err(Failure::fail(
            Stage::Checkpoint,
            format!("the original ended with {end} instead of being killed"),
        ))
    }

    /// The fixpoint oracle.
    pub(super) fn compare(&mut self, a: u32, b: u32) -> StageResult<()> {
        if self.engine.info(&self.context(a)).is_none() {
            return Ok(());
        }
        let read = |n: u32| -> StageResult<serde_json::Value> {
            let unreadable =
                |e: &dyn std::fmt::Display| Failure::fail(Stage::Fixpoint, format!("record.{n}.json: {e}"));
            let text = fs::read(self.record(n)).map_err(|e| unreadable(&e))?;
            serde_json::from_slice(&text).map_err(|e| unreadable(&e))
        };
        let differences = fixpoint::compare(self.engine.records(), &read(a)?, &read(b)?, self.spec.active);
        if differences.is_empty() {
            return Ok(());
        }
        let reason = fixpoint::summary(&differences);
        let full: Vec<String> = differences.iter().map(ToString::to_string).collect();
        fs::write(self.dir.join("fixpoint.diff"), full.join("\n") + "\n")
            .map_err(|e| Failure::infra(Stage::Fixpoint, format!("write fixpoint.diff: {e}")))?;
        Err(Failure::fail(Stage::Fixpoint, reason))
    }

    /// Waits until `pid`, the workload or its restart program, exits, and judges its exit status.
    pub(super) fn verified(&mut self, pid: u32, engine_log: Option<&Path>) -> StageResult<()> {
        let end = self.wait_for(pid, Stage::Verify, "the workload to verify itself")?;
        let stderr = self.cwd().join("stderr");
        let said = words(&stderr);
        let engine_said = engine_log.map(words).unwrap_or_default();
        match end {
            End::Exited(0) => Ok(()),
            End::Exited(1) if !said.is_empty() => {
                Err(Failure::fail(Stage::Verify, said.trim_start_matches(": ")))
            }
            End::Exited(EXIT_SKIP) => Err(Failure::fail(
                Stage::Verify,
                format!("the workload reported a skip after its ready{said}"),
            )),
            End::Exited(status) if engine_log.is_some() && (129..=192).contains(&status) => {
                let name = Signal::try_from(status - 128).map_or("unknown signal", Signal::as_str);
                Err(Failure::fail(
                    Stage::Verify,
                    format!("the workload was killed by {name}{said}{engine_said}"),
                ))
            }
            end => {
                Err(Failure::fail(Stage::Verify, format!("the workload ended with {end}{said}{engine_said}")))
            }
        }
    }

    /// Every path below the workload's directory.
    pub(super) fn listing(&self) -> StageResult<BTreeSet<PathBuf>> {
        leak::listing(&self.cwd())
            .map_err(|e| Failure::infra(Stage::Leak, format!("list the workload's directory: {e}")))
    }

    /// The leak oracle before `go`: files that checkpoint and restart left in the workload's own
    /// directory; skipped for an active workload, which may create files itself.
    pub(super) fn nothing_new(&mut self) -> StageResult<()> {
        if self.spec.active {
            return Ok(());
        }
        let now = self.listing()?;
        let differ = leak::changes(&self.names, &now, |path| path.display().to_string());
        if differ.is_empty() {
            return Ok(());
        }
        Err(Failure::fail(Stage::Leak, format!("in the workload's directory: {}", differ.join(", "))))
    }

    /// The leak oracle at the end: processes, files, mounts.
    pub(super) fn nothing_left(&mut self) -> StageResult<()> {
        self.supervisor.spare(Vec::new());
        let left = self
            .supervisor
            .wait_empty(self.deadline.min(Instant::now() + self.grace()))
            .map_err(|stop| Failure::stopped(Stage::Leak, "stray processes to end", stop))?;
        if !left.is_empty() {
            return Err(Failure::fail(Stage::Leak, still_there("the cell", left)));
        }
        let infra = |e| Failure::infra(Stage::Leak, format!("look for leftovers: {e}"));
        let mut left = leak::files_and_mounts(self.dir).map_err(infra)?;
        left.extend(self.supervisor.changed_mounts().map_err(infra)?);
        if left.is_empty() {
            Ok(())
        } else {
            Err(Failure::fail(Stage::Leak, format!("left behind: {}", left.join(", "))))
        }
    }
}
