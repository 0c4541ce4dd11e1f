//! All cells of one kernel until each has a verdict: several lives of one place, guests that die,
//! retries, expectations.
//!
//! If only one cell was running when a guest died, it is to blame, and the next guest continues
//! after it. If several were running, they are suspects: the next guest runs them one at a time,
//! and the one that kills the guest again is to blame. If none does, all of them stay red, so that
//! a death is never lost. If the emulator is known to have failed, no cell is blamed, and the same
//! cells are rerun.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use jiff::civil::Date;

use super::place::{Ending, Heard, Place, PlaceError, StopFlag};
use crate::bundle::Bundles;
use crate::cell::Cell;
use crate::event::{CellOutcome, CellSpec, Event, Job};
use crate::expectations::Expectations;
use crate::report::{CellResult, Complaint, KernelInfo};
use crate::verdict::{Stage, Verdict};

/// Consecutive lives without a single verdict after which a place is given up.
const HOPELESS: u32 = 2;

/// Emulator failures tolerated before they count as the guest's.
const EMULATOR_FAILURES: u32 = 3;

/// Settings shared by all lives.
pub struct Settings<'a> {
    /// The job without its cells.
    pub job: Job,
    /// How often a red cell is retried.
    pub retries: u32,
    /// The known failures.
    pub expectations: &'a Expectations,
    /// The date against which expectations expire.
    pub today: Date,
    /// Where the files of red cells are stored.
    pub bundles: Bundles,
    /// Builds the command that reruns a cell.
    pub repro: &'a (dyn Fn(&Cell) -> String + Sync),
    /// Records a result, possibly not the final one, in case this process is killed.
    pub journal: &'a (dyn Fn(&CellResult) + Sync),
}

/// Receives progress of a run.
pub trait Observer {
    /// A cell has started.
    fn started(&mut self, cell: &Cell);
    /// A cell has ended; the verdict is not final.
    fn ended(&mut self, cell: &Cell, outcome: &CellOutcome);
    /// A message for the user.
    fn note(&mut self, text: &str);
}

/// The cells of one kernel; see the module documentation.
pub struct Session<'a> {
    settings: &'a Settings<'a>,
    cells: Vec<(Cell, bool)>,
    kernel: KernelInfo,
    stop: StopFlag,
    outcomes: BTreeMap<u32, CellOutcome>,
    attempts: BTreeMap<u32, u32>,
    /// For a cell being retried: the attempt that was red, and the reason.
    first_failure: BTreeMap<u32, (u32, String)>,
    /// The cell that ended most recently.
    last: Option<u32>,
    /// The suspects of each guest death, with its verdict and detail.
    groups: Vec<(BTreeSet<u32>, Verdict, String)>,
}

/// Result of one life.
struct Life {
    ending: Ending,
    running: BTreeSet<u32>,
    heard_verdict: bool,
}

impl<'a> Session<'a> {
    /// A session over cells, each with whether it moves, on the kernel described by `kernel`.
    pub fn new(
        settings: &'a Settings<'a>,
        kernel: KernelInfo,
        cells: Vec<(Cell, bool)>,
        stop: StopFlag,
    ) -> Self {
        Session {
            settings,
            cells,
            kernel,
            stop,
            outcomes: BTreeMap::new(),
            attempts: BTreeMap::new(),
            first_failure: BTreeMap::new(),
            last: None,
            groups: Vec::new(),
        }
    }

    /// Runs all cells.
    ///
    /// # Errors
    /// [`PlaceError`] when the place cannot be used at all.
    pub fn run(
        mut self,
        place: &mut dyn Place,
        observer: &mut dyn Observer,
    ) -> Result<(KernelInfo, Vec<CellResult>), PlaceError> {
        let started = Instant::now();
        let all: VecDeque<u32> = (0..self.cells.len() as u32).collect();
        self.round(all, place, observer)?;
        self.blame_groups();
        for _ in 0..self.settings.retries {
            let newly_red = |(id, outcome): &(&u32, &CellOutcome)| self.judge(**id, outcome).0.is_red();
            let red: VecDeque<u32> = self.outcomes.iter().filter(newly_red).map(|(id, _)| *id).collect();
            if red.is_empty() || self.stop.raised() {
                break;
            }
            for id in &red {
                let attempt = self.attempts.get(id).copied().unwrap_or(0);
                self.first_failure.entry(*id).or_insert((attempt, self.outcomes[id].reason.clone()));
            }
            observer.note(&format!("{}: retrying {} red cells", self.kernel.label, red.len()));
            self.round(red, place, observer)?;
            self.blame_groups();
        }
        self.kernel.wall_ms = started.elapsed().as_millis() as u64;
        let results = self.results(place, observer);
        Ok((self.kernel, results))
    }

    /// Runs these cells until each has a verdict, over as many lives as needed.
    fn round(
        &mut self,
        mut pending: VecDeque<u32>,
        place: &mut dyn Place,
        observer: &mut dyn Observer,
    ) -> Result<(), PlaceError> {
        let mut alone: VecDeque<u32> = VecDeque::new();
        let mut fruitless = 0;
        let mut emulator_failures = 0;
        while !self.stop.raised() && (!pending.is_empty() || !alone.is_empty()) {
            let one_at_a_time = !alone.is_empty();
            let batch: Vec<u32> = if one_at_a_time { alone.drain(..) } else { pending.drain(..) }.collect();
            let jobs = if one_at_a_time { 1 } else { self.settings.job.jobs };
            let life = self.live(&batch, jobs, place, observer)?;
            let left: VecDeque<u32> =
                batch.iter().copied().filter(|id| !self.outcomes.contains_key(id)).collect();
            let (verdict, detail) = match life.ending {
                Ending::Stopped => return Ok(()),
                Ending::Finished if self.settings.job.fail_fast => return Ok(()),
                Ending::Finished => {
                    for id in left {
                        self.settle(id, Verdict::Missing, "the runner finished without reporting it");
                    }
                    continue;
                }
                Ending::Emulator { detail } if emulator_failures < EMULATOR_FAILURES => {
                    emulator_failures += 1;
                    observer.note(&format!("{}: the emulator failed, retrying: {detail}", self.kernel.label));
                    if one_at_a_time {
                        alone.extend(left)
                    } else {
                        pending.extend(left)
                    }
                    continue;
                }
                Ending::Emulator { detail } => (Verdict::Panic, detail),
                Ending::Died { verdict, detail } => (verdict, detail),
            };
            observer.note(&format!("{}: {verdict}: {detail}", self.kernel.label));
            fruitless = if life.heard_verdict || !life.running.is_empty() { 0 } else { fruitless + 1 };
            if fruitless >= HOPELESS {
                let verdict = if verdict == Verdict::Missing { Verdict::Missing } else { Verdict::Boot };
                for id in left.into_iter().chain(pending.drain(..)) {
                    self.settle(id, verdict, &detail);
                }
                return Ok(());
            }
            let suspects = life.running;
            let rest = left.into_iter().filter(|id| !suspects.contains(id));
            if one_at_a_time {
                alone.extend(rest)
            } else {
                pending.extend(rest)
            }
            match suspects.len() {
                0 => {}
                1 => {
                    for id in &suspects {
                        self.settle(*id, verdict, &detail);
                    }
                    // The culprit is found: the other suspects are cleared.
                    self.groups.retain(|(group, _, _)| group.is_disjoint(&suspects));
                }
                _ => {
                    alone.extend(&suspects);
                    self.groups.push((suspects, verdict, detail));
                }
            }
        }
        Ok(())
    }

    /// One life of the place.
    fn live(
        &mut self,
        batch: &[u32],
        jobs: usize,
        place: &mut dyn Place,
        observer: &mut dyn Observer,
    ) -> Result<Life, PlaceError> {
        for id in batch {
            // A retry starts without an earlier outcome.
            self.outcomes.remove(id);
        }
        let cells = batch.iter().map(|&id| self.spec(id)).collect();
        let job = Job { cells, jobs, ..self.settings.job.clone() };
        self.kernel.boots += 1;
        let mut running = BTreeSet::new();
        let mut heard_verdict = false;
        let mut splats: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut complaints = Vec::new();
        let stop = self.stop.clone();
        let ending = place.run(&job, &stop, &mut |heard| match heard {
            Heard::Note(text) => observer.note(&text),
            Heard::Splat(text) => {
                if running.is_empty() {
                    let after = self.last.map(|id| self.cells[id as usize].0.clone());
                    let repro = after.as_ref().map(|cell| (self.settings.repro)(cell));
                    complaints.push(Complaint { text: text.clone(), after, repro });
                }
                for id in &running {
                    splats.entry(*id).or_default().push(text.clone());
                }
            }
            Heard::Event(Event::Hello { release, engines, .. }) => {
                self.kernel.release = release;
                for (name, version) in engines {
                    self.kernel.engines.entry(name).or_default().version = version;
                }
            }
            Heard::Event(Event::Start { id }) => {
                let Some((cell, _)) = self.cells.get(id as usize) else { return };
                running.insert(id);
                let attempt = self.attempts.entry(id).or_insert(0);
                *attempt += 1;
                if let Err(error) = self.settings.bundles.begin(cell, *attempt) {
                    observer.note(&error.to_string());
                }
                let attempt = *attempt;
                (self.settings.journal)(&CellResult::begun(
                    cell.clone(),
                    attempt,
                    (self.settings.repro)(cell),
                ));
                observer.started(cell);
            }
            Heard::Event(Event::Artifact { id, name, offset, data }) => {
                let Some((cell, _)) = self.cells.get(id as usize) else { return };
                if let Err(error) = self.settings.bundles.piece(cell, &name, offset, &data) {
                    observer.note(&error.to_string());
                }
            }
            Heard::Event(Event::End { id, mut outcome }) => {
                let Some((cell, _)) = self.cells.get(id as usize) else { return };
                running.remove(&id);
                heard_verdict = true;
                if let Some(texts) = splats.remove(&id)
                    && outcome.verdict != Verdict::Splat
                {
                    outcome.reason =
                        format!("{} (and {}: {})", texts.join(" | "), outcome.verdict, outcome.reason);
                    outcome.verdict = Verdict::Splat;
                    outcome.stage = Some(Stage::Log);
                }
                let verdict = self.judge(id, &outcome).0;
                observer.ended(cell, &CellOutcome { verdict, ..outcome.clone() });
                (self.settings.journal)(&self.result(id, &outcome));
                self.outcomes.insert(id, outcome);
                self.last = Some(id);
            }
            // The place converts the last two.
            Heard::Event(Event::Done | Event::Refused { .. } | Event::Left { .. }) => {}
        })?;
        if !matches!(ending, Ending::Emulator { .. }) {
            // A complaint already attributed to a finished cell may arrive again, late, from the
            // console.
            complaints
                .retain(|said: &Complaint| !self.outcomes.values().any(|o| o.reason.contains(&said.text)));
            self.kernel.complaints.extend(complaints);
        }
        Ok(Life { ending, running, heard_verdict })
    }

    fn spec(&self, id: u32) -> CellSpec {
        let (cell, active) = &self.cells[id as usize];
        CellSpec {
            id,
            userland: cell.userland,
            engine: cell.engine.clone(),
            workload: cell.workload.clone(),
            mode: cell.mode,
            active: *active,
        }
    }

    fn settle(&mut self, id: u32, verdict: Verdict, reason: &str) {
        self.outcomes.insert(id, CellOutcome::new(verdict, None, reason));
    }

    /// Suspects of a death that did not recur in isolation keep the death as their verdict.
    fn blame_groups(&mut self) {
        if self.stop.raised() {
            return;
        }
        for (group, verdict, detail) in std::mem::take(&mut self.groups) {
            for id in group {
                let passed = self.outcomes.get(&id).is_some_and(|o| !o.verdict.is_red());
                if passed {
                    let reason = format!("{detail} (while running together with others; it passed alone)");
                    self.settle(id, verdict, &reason);
                }
            }
        }
    }

    /// The verdict after expectations are applied, and the reason.
    fn judge(&self, id: u32, outcome: &CellOutcome) -> (Verdict, Option<String>) {
        let Settings { expectations, today, .. } = self.settings;
        let (cell, _) = &self.cells[id as usize];
        expectations.judge(cell, self.kernel.release(), (outcome.verdict, outcome.stage), *today)
    }

    /// The result of a cell, from expectations and its first attempt.
    fn result(&self, id: u32, outcome: &CellOutcome) -> CellResult {
        let (cell, _) = &self.cells[id as usize];
        let (mut verdict, why) = self.judge(id, outcome);
        let mut reason = outcome.reason.clone();
        let mut bundle = verdict.is_red().then(|| Bundles::relative(cell));
        if verdict == Verdict::Pass
            && let Some((attempt, first)) = self.first_failure.get(&id)
        {
            verdict = Verdict::Flaky;
            reason = format!("at first: {first}");
            bundle = Some(Bundles::aside(cell, *attempt));
        }
        if let Some(why) = why {
            reason = if reason.is_empty() { why } else { format!("{reason}; {why}") };
        }
        CellResult {
            cell: cell.clone(),
            verdict,
            stage: outcome.stage,
            reason,
            duration_ms: outcome.duration_ms,
            attempts: self.attempts.get(&id).copied().unwrap_or(0),
            measured: outcome.measured.clone(),
            notes: outcome.notes.clone(),
            bundle,
            repro: (self.settings.repro)(cell),
        }
    }

    /// The final result of every cell, and the bundles of the red ones.
    fn results(&self, place: &dyn Place, observer: &mut dyn Observer) -> Vec<CellResult> {
        let mut results = Vec::new();
        for (id, (cell, _)) in (0..).zip(&self.cells) {
            let Some(outcome) = self.outcomes.get(&id) else {
                results.push(CellResult::not_run(cell.clone(), (self.settings.repro)(cell)));
                continue;
            };
            let mut result = self.result(id, outcome);
            if result.bundle.is_some() {
                let files = place.files();
                if let Err(error) =
                    self.settings.bundles.finish(&result, &self.kernel, self.settings.job.seed, &files)
                {
                    observer.note(&error.to_string());
                    result.notes.push(error.to_string());
                }
            }
            results.push(result);
        }
        results
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
