//! The mode in which the engine is killed: at moments spread over its checkpoints and restarts, and
//! neither the workload nor what is left of a restart may show it.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::cell::{CellRun, TICK};
use super::failure::{Failure, StageResult, still_there};
use super::proc;
use super::supervisor::{Stop, Supervisor};
use crate::engine::{After, RECORDS_LIMIT, REPORT_LIMIT, RESTART_LIMIT};
use crate::verdict::Stage;

/// How often the checkpoints of a cell are killed, and how often its restarts.
const ROUNDS: u32 = 10;

/// The tag of the output of killed programs, and the number of the context file of a checkpoint
/// that is killed.
const KILLED: u32 = 0;

impl CellRun<'_> {
    /// Checkpoints that are killed, one that is not; restarts that are killed, one that is not.
    pub(super) fn killed(&mut self) -> StageResult<()> {
        let root = self.start()?;
        // An engine that is killed may leave an extra mapping: what is compared comes after.
        let began = Instant::now();
        self.checkpoint(root, 1, After::Run)?;
        let whole = began.elapsed();
        for round in 0..ROUNDS {
            self.settle(root, root, Stage::Checkpoint)?;
            self.kill_checkpoint(root, round, whole)?;
        }
        self.settle(root, root, Stage::Checkpoint)?;
        self.checkpoint(root, 2, After::Kill)?;
        self.was_killed(root)?;
        let began = Instant::now();
        self.restart(root, 2)?;
        let whole = began.elapsed();
        self.again(root)?;
        for round in 0..ROUNDS {
            self.kill_restart(root, round, whole)?;
        }
        let last = self.restart(root, 2)?;
        self.nothing_new()?;
        self.let_go(last.pid)?;
        self.verified(last.pid, Some(&last.stderr))?;
        self.nothing_left()
    }

    /// Begins a checkpoint and kills a process of it.
    fn kill_checkpoint(&mut self, root: u32, round: u32, whole: Duration) -> StageResult<()> {
        let file = self.context(KILLED);
        let command = self.engine.checkpoint(root, &file, After::Run, &self.sysv());
        let tag = format!("checkpoint.{KILLED}");
        self.begin_and_kill(Stage::Checkpoint, &tag, command, REPORT_LIMIT, (round, whole))?;
        self.nothing_new()?;
        if !file.exists() {
            return Ok(());
        }
        // It was complete by then.
        if let Some(command) = self.engine.info(&file) {
            let tag = format!("info.{KILLED}");
            let read = self.engine_run(Stage::Checkpoint, &tag, command, RECORDS_LIMIT);
            let checked = read.and_then(|records| {
                let right = self.engine.check_records(&records, root);
                right.map_err(|why| Failure::fail(Stage::Checkpoint, why))
            });
            checked.map_err(|failure| failure.with("the context file of a killed checkpoint"))?;
        }
        self.remove(file)
    }

    /// Begins a restart and kills it. What it has made is gone after that, unless the tree was
    /// whole: then it is saved, and the next round begins with that.
    fn kill_restart(&mut self, root: u32, round: u32, whole: Duration) -> StageResult<()> {
        let command = self.engine.restart(&self.context(2));
        let tag = format!("restart.{KILLED}");
        self.begin_and_kill(Stage::Restart, &tag, command, RESTART_LIMIT, (round, whole))?;
        let limit = self.deadline.min(Instant::now() + self.grace());
        let left = self.supervisor.wait(limit, Some(TICK), &[], |sup| {
            let left = sup.left();
            (left.is_empty() || proc::waits_in_open(root)).then_some(left)
        });
        match left {
            Ok(left) if left.is_empty() => self.nothing_new(),
            Ok(_) => self.again(root),
            Err(Stop::Deadline) => {
                Err(Failure::fail(Stage::Restart, still_there("a killed restart", self.supervisor.left())))
            }
            Err(stop) => Err(Failure::stopped(Stage::Restart, "what a killed restart left to be gone", stop)),
        }
    }

    /// Saves the restarted tree, kills it, and puts the new context file in the place of the old.
    fn again(&mut self, root: u32) -> StageResult<()> {
        self.checkpoint(root, 3, After::Kill)?;
        self.compare(2, 3)?;
        fs::rename(self.context(3), self.context(2))
            .and_then(|()| match self.engine.info(&self.context(2)) {
                Some(_) => fs::rename(self.record(3), self.record(2)),
                None => Ok(()),
            })
            .map_err(|error| Failure::infra(Stage::Checkpoint, format!("rename the context file: {error}")))
    }

    /// Starts an engine's program, kills one of its processes at the moment of this round, and
    /// waits until all of them have ended.
    fn begin_and_kill(
        &mut self,
        stage: Stage,
        tag: &str,
        command: Command,
        most: u64,
        (round, whole): (u32, Duration),
    ) -> StageResult<()> {
        let front = self.engine_start(stage, tag, command, most)?;
        // Only the time says when this moment has come.
        thread::sleep(moment(round, whole, self.chance(round)));
        let all = proc::descendants(front);
        // What a restart program has below it are the processes of the workload.
        let worker = (stage == Stage::Checkpoint && round % 2 == 1).then(|| proc::children(front));
        let victim = worker.and_then(|children| children.first().copied()).unwrap_or(front);
        match proc::signal_descendant(std::process::id(), victim, Signal::SIGKILL) {
            // It has ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            other => other.map_err(|e| Failure::infra(stage, format!("kill the engine: {e}")))?,
        }
        self.wait_for(front, stage, "a killed engine to end")?;
        if stage == Stage::Restart {
            return Ok(());
        }
        let limit = self.deadline.min(Instant::now() + self.grace());
        let ended = |_: &Supervisor| all.iter().all(|pid| proc::is_dead(*pid)).then_some(());
        self.supervisor
            .wait(limit, Some(TICK), &[], ended)
            .map_err(|stop| Failure::stopped(stage, "the processes of a killed engine to end", stop))
    }

    /// A number that only seed, workload and round decide.
    fn chance(&self, round: u32) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.job.seed, &self.spec.workload, round).hash(&mut hasher);
        hasher.finish()
    }

    fn remove(&self, file: PathBuf) -> StageResult<()> {
        fs::remove_file(&file)
            .map_err(|error| Failure::infra(Stage::Checkpoint, format!("remove {}: {error}", file.display())))
    }
}

/// The moment of a round in a run of this length: each round has its own part of the run, and
/// chance says where in that.
fn moment(round: u32, whole: Duration, chance: u64) -> Duration {
    let part = whole / ROUNDS;
    let within = f64::from((chance >> 32) as u32) / f64::from(u32::MAX);
    part * (round % ROUNDS) + part.mul_f64(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_round_has_its_own_part(round in 0..ROUNDS, millis in 10_u64..1000, chance: u64) {
            let whole = Duration::from_millis(millis);
            let at = moment(round, whole, chance);
            prop_assert!(at >= whole / ROUNDS * round, "{at:?}");
            prop_assert!(at <= whole / ROUNDS * (round + 1) + Duration::from_nanos(1), "{at:?}");
        }
    }
}
