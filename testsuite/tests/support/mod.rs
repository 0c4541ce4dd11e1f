//! Shared by the tests of the runner: starts it as a program, with a scripted corpus and a scripted
//! engine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cairn_testsuite::cell::{Mode, Userland};
use cairn_testsuite::event::{CellSpec, Event, Job, PROTOCOL};

/// A time limit that no cell here reaches, in milliseconds.
pub const LONG: u64 = 30_000;

/// One of the engines of `wrong-engines/`.
pub fn engine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wrong-engines").join(name)
}

/// A job in `dir` for the engine `cairn`, whose program is one of `wrong-engines/`.
pub fn job(dir: &Path, program: &str, workloads: &[&str], mode: Mode, timeout_ms: u64) -> Job {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/corpus");
    let cells = workloads.iter().enumerate().map(|(id, name)| CellSpec {
        id: id as u32,
        userland: Userland::Dynamic,
        engine: "cairn".into(),
        workload: format!("g/{name}"),
        mode,
        active: false,
    });
    Job {
        v: PROTOCOL,
        cells: cells.collect(),
        jobs: 2,
        time_scale: 1.0,
        cell_timeout_ms: timeout_ms,
        workdir: dir.join("work"),
        keep: false,
        seed: 1,
        workloads: BTreeMap::from([(Userland::Dynamic, corpus)]),
        engines: BTreeMap::from([("cairn".to_owned(), engine(program))]),
        fixed_addresses: false,
        engine_env: BTreeMap::new(),
        fail_fast: false,
        artifact_limit: 1 << 20,
    }
}

/// The command line `words`, which is the runner itself or a program that executes the runner, with
/// a job.
pub fn runner(words: &[&OsStr], dir: &Path, job: &Job) -> Command {
    let file = dir.join("job.json");
    fs::write(&file, serde_json::to_string(job).unwrap()).unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["run", "--watch-stdin", "--job"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a job to completion and returns all events.
pub fn events(mut runner: Command) -> Vec<Event> {
    let mut child = runner.spawn().unwrap();
    // Kept open until the end: the runner stops when it closes.
    let stdin = child.stdin.take();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = lines.map(|line| Event::from_line(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    events
}
