//! Sessions against a scripted place: which cell is blamed when a guest dies, and what stays red.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use rstest::rstest;

use super::*;
use crate::cell::{Mode, Userland};
use crate::event::PROTOCOL;

/// A place in which some workloads kill the guest, some always fail, some fail only the first time.
#[derive(Default)]
struct Scripted {
    /// Workloads that kill the guest.
    killers: Vec<&'static str>,
    /// A pair that kills the guest when run concurrently, never when run alone.
    pair: Option<(&'static str, &'static str)>,
    /// How often each workload fails.
    failing: BTreeMap<&'static str, u32>,
    never_boots: bool,
    /// Number of lives that end with an emulator failure while their first cell runs.
    emulator_failures: u32,
    forgets: Option<&'static str>,
    /// Kernel complaints after the last cell.
    complaints: Vec<&'static str>,
    /// Stops after the first batch, on request.
    stops: bool,
    lives: u32,
}

impl Place for Scripted {
    fn run(&mut self, job: &Job, _: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError> {
        self.lives += 1;
        if self.never_boots {
            return Ok(Ending::Died { verdict: Verdict::Boot, detail: "no PID 1".into() });
        }
        let dead = || Ok(Ending::Died { verdict: Verdict::Panic, detail: "it panicked".into() });
        for (number, batch) in job.cells.chunks(job.jobs).enumerate() {
            if self.stops && number > 0 {
                return Ok(Ending::Stopped);
            }
            if self.emulator_failures > 0 {
                self.emulator_failures -= 1;
                hear(Heard::Event(Event::Start { id: batch[0].id }));
                return Ok(Ending::Emulator { detail: "stale code".into() });
            }
            for cell in batch {
                if self.forgets != Some(cell.workload.as_str()) {
                    hear(Heard::Event(Event::Start { id: cell.id }));
                }
            }
            let names: Vec<&str> = batch.iter().map(|c| c.workload.as_str()).collect();
            if names.iter().any(|n| self.killers.contains(n))
                || self.pair.is_some_and(|(a, b)| names.contains(&a) && names.contains(&b))
            {
                return dead();
            }
            for cell in batch {
                let left = self.failing.get_mut(cell.workload.as_str());
                let outcome = match left {
                    Some(n) if *n > 0 => {
                        *n -= 1;
                        CellOutcome::new(Verdict::Fail, Some(Stage::Verify), "wrong")
                    }
                    _ => CellOutcome::new(Verdict::Pass, None, ""),
                };
                if self.forgets != Some(cell.workload.as_str()) {
                    hear(Heard::Event(Event::End { id: cell.id, outcome }));
                }
            }
        }
        hear(Heard::Event(Event::Done));
        self.complaints.iter().for_each(|text| hear(Heard::Splat((*text).to_owned())));
        Ok(Ending::Finished)
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

struct Silent;

impl Observer for Silent {
    fn started(&mut self, _: &Cell) {}
    fn ended(&mut self, _: &Cell, _: &CellOutcome) {}
    fn note(&mut self, _: &str) {}
}

fn run(place: &mut Scripted, names: &[&str], retries: u32, expectations: &str) -> Vec<(String, Verdict)> {
    let (_, results) = run_on_kernel(place, names, retries, expectations);
    results.into_iter().map(|r| (r.cell.workload, r.verdict)).collect()
}

fn run_on_kernel(
    place: &mut Scripted,
    names: &[&str],
    retries: u32,
    expectations: &str,
) -> (KernelInfo, Vec<CellResult>) {
    let dir = tempfile::tempdir().unwrap();
    let told = Mutex::new(Vec::new());
    let expectations = Expectations::parse(expectations).unwrap();
    let settings = Settings {
        job: Job {
            v: PROTOCOL,
            cells: Vec::new(),
            jobs: 2,
            time_scale: 1.0,
            cell_timeout_ms: 1,
            workdir: PathBuf::new(),
            keep: false,
            seed: 1,
            workloads: BTreeMap::new(),
            engines: BTreeMap::new(),
            fixed_addresses: false,
            engine_env: BTreeMap::new(),
            fail_fast: false,
            artifact_limit: 0,
        },
        retries,
        expectations: &expectations,
        today: jiff::civil::date(2026, 1, 1),
        bundles: Bundles::new(dir.path(), dir.path()),
        repro: &|cell| format!("repro {cell}"),
        journal: &|result| told.lock().unwrap().push((result.cell.workload.clone(), result.verdict)),
    };
    let kernel = KernelInfo {
        label: "6.12".into(),
        arch: "x86_64".into(),
        release: "6.12.1".into(),
        package: String::new(),
        suite: None,
        sha256: None,
        accel: "tcg".into(),
        no_kvm: None,
        qemu: None,
        time_scale: 1.0,
        engines: BTreeMap::new(),
        absent: BTreeMap::new(),
        module: None,
        complaints: Vec::new(),
        boots: 0,
        wall_ms: 0,
    };
    let cells = names
        .iter()
        .map(|name| {
            let cell = Cell {
                kernel: "6.12".into(),
                arch: "x86_64".into(),
                userland: Userland::Dynamic,
                engine: "cairn".into(),
                workload: (*name).into(),
                mode: Mode::Once,
            };
            (cell, false)
        })
        .collect();
    let session = Session::new(&settings, kernel, cells, StopFlag::default());
    let (kernel, results) = session.run(place, &mut Silent).unwrap();
    assert_eq!(kernel.boots, place.lives);
    // What a killed run would have recorded: cells that had started, and the final verdict of every
    // cell that had ended.
    let ended = told.into_inner().unwrap().into_iter().filter(|(_, verdict)| *verdict != Missing);
    for (workload, verdict) in ended {
        let last = results.iter().find(|result| result.cell.workload == workload).unwrap();
        assert!(
            last.attempts > 1 || last.verdict == verdict || verdict == Verdict::Pass,
            "{workload}: {verdict}"
        );
    }
    (kernel, results)
}

fn verdicts(results: &[(String, Verdict)]) -> Vec<Verdict> {
    results.iter().map(|(_, v)| *v).collect()
}

use Verdict::{Boot, Fail, Flaky, Missing, NotRun, Panic, Pass, Xfail};

#[test]
fn the_killer_among_several_is_found_and_the_rest_goes_on() {
    let mut place = Scripted { killers: vec!["g/b"], ..Default::default() };
    let results = run(&mut place, &["g/a", "g/b", "g/c", "g/d"], 0, "");
    assert_eq!(verdicts(&results), [Pass, Panic, Pass, Pass]);
}

#[test]
fn two_killers_are_both_found() {
    let mut place = Scripted { killers: vec!["g/a", "g/b", "g/e"], ..Default::default() };
    let results = run(&mut place, &["g/a", "g/b", "g/c", "g/d", "g/e"], 0, "");
    assert_eq!(verdicts(&results), [Panic, Panic, Pass, Pass, Panic]);
}

#[test]
fn a_death_that_nobody_repeats_alone_is_not_lost() {
    let mut place = Scripted { pair: Some(("g/a", "g/b")), ..Default::default() };
    let results = run(&mut place, &["g/a", "g/b", "g/c"], 0, "");
    assert_eq!(verdicts(&results), [Panic, Panic, Pass]);
}

#[test]
fn a_guest_that_never_boots_is_given_up() {
    let mut place = Scripted { never_boots: true, ..Default::default() };
    let results = run(&mut place, &["g/a", "g/b"], 0, "");
    assert_eq!(verdicts(&results), [Boot, Boot]);
    assert_eq!(place.lives, HOPELESS);
}

#[rstest]
#[case::happens(EMULATOR_FAILURES, [Pass, Pass, Pass])]
#[case::is_no_excuse_for_ever(EMULATOR_FAILURES + 1, [Panic, Pass, Pass])]
fn a_failure_of_the_emulator(#[case] emulator_failures: u32, #[case] wanted: [Verdict; 3]) {
    let mut place = Scripted { emulator_failures, ..Default::default() };
    assert_eq!(verdicts(&run(&mut place, &["g/a", "g/b", "g/c"], 0, "")), wanted);
}

/// A complaint after the last cell, such as a leak, belongs to no cell and still counts.
#[test]
fn a_complaint_while_no_cell_runs_is_kept() {
    let mut place = Scripted { complaints: vec!["unreferenced object"], ..Default::default() };
    let (kernel, results) = run_on_kernel(&mut place, &["g/a"], 0, "");
    let verdicts: Vec<Verdict> = results.iter().map(|r| r.verdict).collect();
    let [said] = kernel.complaints.as_slice() else { panic!("{:?}", kernel.complaints) };
    assert_eq!((said.text.as_str(), verdicts), ("unreferenced object", vec![Pass]));
    // It names the cell that it followed.
    assert_eq!(said.after, Some(results[0].cell.clone()));
    assert_eq!(said.repro.as_deref(), Some("repro 6.12/x86_64/dynamic/cairn/g/a/once"));
}

#[test]
fn silence_is_missing_never_pass() {
    let mut place = Scripted { forgets: Some("g/b"), ..Default::default() };
    assert_eq!(verdicts(&run(&mut place, &["g/a", "g/b"], 0, "")), [Pass, Missing]);
}

#[rstest]
#[case(0, Fail)]
#[case(1, Flaky)]
fn retrying(#[case] retries: u32, #[case] wanted: Verdict) {
    let mut place = Scripted { failing: BTreeMap::from([("g/b", 1)]), ..Default::default() };
    assert_eq!(verdicts(&run(&mut place, &["g/a", "g/b"], retries, "")), [Pass, wanted]);
}

/// The failed attempt of a flaky cell is the only evidence of the reason.
#[rstest]
#[case(0, "red/6.12_x86_64_dynamic_cairn_g_a_once.attempt-1")]
#[case::after_a_life_that_said_nothing(1, "red/6.12_x86_64_dynamic_cairn_g_a_once.attempt-2")]
fn a_flaky_cell_has_the_bundle_of_the_attempt_that_failed(
    #[case] emulator_failures: u32,
    #[case] wanted: &str,
) {
    let failing = BTreeMap::from([("g/a", 1)]);
    let mut place = Scripted { failing, emulator_failures, ..Default::default() };
    let (_, results) = run_on_kernel(&mut place, &["g/a"], 1, "");
    assert_eq!((results[0].verdict, results[0].bundle.as_deref()), (Flaky, Some(wanted)));
}

#[test]
fn expectations_have_the_last_word() {
    let known = r#"[[expect]]
        kernel = "6.12"
        workload = "g/b"
        stage = "verify"
        reason = "known"
        expires = "2026-02-01""#;
    let mut place = Scripted { failing: BTreeMap::from([("g/b", 9)]), ..Default::default() };
    assert_eq!(verdicts(&run(&mut place, &["g/a", "g/b"], 0, known)), [Pass, Xfail]);
}

/// After Ctrl-C, or after the first red cell of a run with fail-fast.
#[test]
fn what_was_not_run_is_told() {
    let mut place = Scripted { stops: true, ..Default::default() };
    let results = run(&mut place, &["g/a", "g/b", "g/c"], 0, "");
    assert_eq!(verdicts(&results), [Pass, Pass, NotRun]);
}
