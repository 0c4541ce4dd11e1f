//! The runner as a program, on this host, against a scripted corpus and a scripted engine.
//!
//! The scripts can save nothing, so most cells here run in mode `continue`, in which the original goes on; what matters
//! is that every way of going wrong gets its own verdict and that nothing is ever left behind. Every checkpoint of the
//! scripted engine fails when the harness has one of the workload's files open.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_testsuite::cell::{Mode, Userland};
use cairn_testsuite::event::{CellSpec, Event, Job, Outcome, PROTOCOL};
use cairn_testsuite::verdict::{Stage, Verdict};
use rstest::rstest;

/// `run g/NAME --seed N`; blocks where the contract says: in opening `go`.
const CORPUS: &str = r#"#!/bin/sh
ready() { echo ready > ready; : < go; }
case "$2" in
g/pass) ready ;;
g/wrong) ready; echo "byte 3: 1 is not 2" >&2; exit 1 ;;
g/skip) echo "skip: needs a frobnicator" >&2; exit 77 ;;
g/early) echo "cannot build" >&2; exit 1 ;;
g/crash) ready; kill -SEGV $$ ;;
g/hang) ready; while :; do read line < never 2>/dev/null || read line < go; done ;;
g/fds) for fd in /proc/$$/fd/*; do test -S "$fd" && echo "has $fd" >&2 && bad=1; done
    ready; exit ${bad:-0} ;;
g/mute) read line < go ;;
g/stray) sleep 1000 & ready ;;
g/file) : > data; ready ;;
g/family) set -- $(cat /proc/$$/stat)
    whose() { case $1 in $$) echo own ;; $PPID) echo "the shell's" ;; *) echo $1 ;; esac; }
    echo "group: $(whose $5), session: $(whose $6)" >&2; exit 1 ;;
esac
"#;

/// Speaks like the engine. CAIRN_FAULT chooses how it misbehaves.
const ENGINE: &str = r#"#!/bin/sh
case "$1" in
--version) echo "cairn 0 (scripted)" ;;
checkpoint)
    above=$(cut -d' ' -f4 /proc/$PPID/stat)
    ls -l /proc/$PPID/fd /proc/$above/fd | grep "$PWD/cwd/" >&2 && exit 1
    test "$CAIRN_FAULT" = unsupported && { echo "fd 3 of $2 (socket): not supported" >&2; exit 3; }
    test "$CAIRN_FAULT" = silent && exit 0
    test "$CAIRN_FAULT" = litters && : > cwd/litter
    test "$CAIRN_FAULT" = half-file && : > context.1.tmp
    case "$*" in *--kill*) kill -KILL $2 ;; esac
    echo "$4 $2" > "$7"
    echo '{"file":"f","pid":1,"tasks":1,"bytes":8,"pause_ns":1000,"total_ns":2000}' ;;
info)
    n=1; test "$CAIRN_FAULT" = drifts && n=${2##*.}
    source=any; test "$CAIRN_FAULT" = sources-differ && read source pid < "$2"
    echo "{\"header\":{\"when\":\"$2\"},\"records\":{\"value\":$n,\"source\":\"$source\"}}" ;;
restart) read source pid < "$2"
    state=$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null)
    while test -e "/proc/$pid"; do sleep 0.1; done
    echo "mmap 0x1000: no memory; the target was ${state:-gone}" >&2; exit 1 ;;
esac
"#;

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn job(dir: &Path, workloads: &[&str], mode: Mode, fault: &str, timeout_ms: u64) -> Job {
    script(&dir.join("corpus"), CORPUS);
    script(&dir.join("engine"), ENGINE);
    let cells = workloads.iter().enumerate().map(|(id, name)| CellSpec {
        id: id as u32,
        userland: Userland::Dynamic,
        engine: "cairn".into(),
        workload: format!("g/{name}"),
        mode,
        moving: false,
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
        workloads: BTreeMap::from([(Userland::Dynamic, dir.join("corpus"))]),
        engines: BTreeMap::from([("cairn".to_owned(), dir.join("engine"))]),
        fixed_addresses: false,
        engine_env: BTreeMap::from([("CAIRN_FAULT".to_owned(), fault.to_owned())]),
        fail_fast: false,
        artifact_limit: 1 << 20,
    }
}

fn runner(dir: &Path, job: &Job) -> Command {
    let file = dir.join("job.json");
    fs::write(&file, serde_json::to_string(job).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn-runner"));
    command.args(["run", "--watch-stdin", "--job"]).arg(file).stdin(Stdio::piped());
    command
}

/// Runs a job to its end and gives all events.
fn events(dir: &Path, job: &Job) -> Vec<Event> {
    let mut child = runner(dir, job).stdout(Stdio::piped()).spawn().unwrap();
    // Held open until the end, which is what lets the runner live.
    let stdin = child.stdin.take();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = lines.map(|line| Event::from_line(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    events
}

fn outcome(workload: &str, mode: Mode, fault: &str, timeout_ms: u64) -> (Outcome, Vec<String>) {
    outcome_of("cairn", workload, mode, fault, timeout_ms)
}

fn outcome_of(
    engine: &str,
    workload: &str,
    mode: Mode,
    fault: &str,
    timeout_ms: u64,
) -> (Outcome, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), &[workload], mode, fault, timeout_ms);
    job.engines = BTreeMap::from([(engine.to_owned(), dir.path().join("engine"))]);
    job.cells.iter_mut().for_each(|cell| cell.engine = engine.to_owned());
    let events = events(dir.path(), &job);
    assert!(matches!(events.first(), Some(Event::Hello { .. })));
    assert_eq!(events.last(), Some(&Event::Done));
    let left: Vec<_> = fs::read_dir(dir.path().join("work")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let mut files = Vec::new();
    let mut found = None;
    for event in events {
        match event {
            Event::Artifact { name, .. } => files.push(name),
            Event::End { outcome, .. } => found = Some(outcome),
            _ => {}
        }
    }
    (found.unwrap(), files)
}

const LONG: u64 = 30_000;

#[rstest]
#[case::one_source("cairn", Verdict::Pass, None)]
#[case::two_sources("cairn-kmod", Verdict::Fail, Some(Stage::Fixpoint))]
fn two_sources_have_to_come_to_the_same_records(
    #[case] engine: &str,
    #[case] verdict: Verdict,
    #[case] stage: Option<Stage>,
) {
    let (outcome, _) = outcome_of(engine, "pass", Mode::Continue, "sources-differ", LONG);
    assert_eq!((outcome.verdict, outcome.stage), (verdict, stage), "{}", outcome.reason);
}

#[rstest]
#[case("pass", "", Verdict::Pass, None, "")]
#[case("skip", "", Verdict::Skip, None, "needs a frobnicator")]
#[case("wrong", "", Verdict::Fail, Some(Stage::Verify), "byte 3: 1 is not 2")]
#[case("early", "", Verdict::Fail, Some(Stage::Ready), "exit status 1: cannot build")]
#[case("crash", "", Verdict::Fail, Some(Stage::Verify), "SIGSEGV")]
#[case("stray", "", Verdict::Fail, Some(Stage::Leak), "sleep")]
#[case("file", "", Verdict::Pass, None, "")]
#[case("pass", "litters", Verdict::Fail, Some(Stage::Leak), "new: litter")]
#[case("pass", "half-file", Verdict::Fail, Some(Stage::Leak), "context.1.tmp")]
#[case("pass", "unsupported", Verdict::Fail, Some(Stage::Checkpoint), "unsupported (exit status 3): fd 3 of")]
#[case("pass", "silent", Verdict::Fail, Some(Stage::Checkpoint), "left no context.1")]
#[case("pass", "drifts", Verdict::Fail, Some(Stage::Fixpoint), "records.value: 1 → 2")]
fn continue_verdicts(
    #[case] workload: &str,
    #[case] fault: &str,
    #[case] verdict: Verdict,
    #[case] stage: Option<Stage>,
    #[case] words: &str,
) {
    let (outcome, files) = outcome(workload, Mode::Continue, fault, LONG);
    assert_eq!((outcome.verdict, outcome.stage), (verdict, stage), "{}", outcome.reason);
    assert!(outcome.reason.contains(words), "{}", outcome.reason);
    // Only files with something in them travel, and an engine that does nothing leaves none.
    assert_eq!(files.is_empty(), !verdict.is_red() || fault == "silent", "{files:?}");
}

#[rstest]
#[case("mute", Stage::Ready, "the workload's ready")]
#[case("hang", Stage::Verify, "the workload to verify itself")]
fn timeouts(#[case] workload: &str, #[case] stage: Stage, #[case] what: &str) {
    let (outcome, _) = outcome(workload, Mode::Continue, "", 1500);
    assert_eq!((outcome.verdict, outcome.stage), (Verdict::Timeout, Some(stage)), "{}", outcome.reason);
    assert_eq!(outcome.reason, format!("timed out waiting for {what}"));
}

#[rstest]
#[case::leader(Mode::Once, "gone")]
#[case::member(Mode::Script, "gone")]
#[case::job_of_a_busy_shell(Mode::Job, "Z")]
fn a_failing_restart_is_told_from_a_failing_workload(#[case] mode: Mode, #[case] target: &str) {
    let (outcome, files) = outcome("pass", mode, "", LONG);
    assert_eq!((outcome.verdict, outcome.stage), (Verdict::Fail, Some(Stage::Restart)));
    let reason = format!("failed (exit status 1): mmap 0x1000: no memory; the target was {target}");
    assert_eq!(outcome.reason, reason);
    for file in ["context.1", "record.1.json", "restart.1.stderr"] {
        assert!(files.iter().any(|name| name == file), "{files:?}");
    }
}

#[rstest]
#[case(Mode::Once, "group: own, session: own")]
#[case(Mode::Twice, "group: own, session: own")]
#[case(Mode::Continue, "group: own, session: own")]
#[case(Mode::Job, "group: own, session: the shell's")]
#[case(Mode::Script, "group: the shell's, session: the shell's")]
fn where_a_workload_stands(#[case] mode: Mode, #[case] wanted: &str) {
    let (outcome, _) = outcome("family", mode, "", LONG);
    assert_eq!((outcome.verdict, outcome.stage), (Verdict::Fail, Some(Stage::Ready)), "{}", outcome.reason);
    assert!(outcome.reason.ends_with(wanted), "{}", outcome.reason);
}

#[test]
fn descriptors_of_our_own_caller_reach_no_workload() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &["fds"], Mode::Continue, "", LONG);
    let (theirs, _ours) = std::os::unix::net::UnixStream::pair().unwrap();
    nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let events = events(dir.path(), &job);
    let outcome = events.iter().find_map(|e| match e {
        Event::End { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome.map(|o| (o.verdict, o.reason)), Some((Verdict::Pass, String::new())));
}

#[test]
fn figures_travel() {
    let (outcome, _) = outcome("pass", Mode::Continue, "", LONG);
    assert_eq!(outcome.measured.len(), 2);
    assert_eq!(outcome.measured[0].pause_ns, Some(1000));
}

#[test]
fn fail_fast_stops_after_the_first_red_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), &["pass", "wrong", "pass", "pass"], Mode::Continue, "", LONG);
    (job.fail_fast, job.jobs) = (true, 1);
    let events = events(dir.path(), &job);
    let ended = events.iter().filter(|e| matches!(e, Event::End { .. })).count();
    assert_eq!((ended, events.last()), (2, Some(&Event::Done)));
}

/// Pids of all processes whose working directory lies below `dir`.
fn below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[rstest]
#[case::asked(false)]
#[case::killed(true)]
fn letting_go_of_the_runner_leaves_nothing(#[case] kill: bool) {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &["hang", "stray", "hang"], Mode::Continue, "", 600_000);
    let mut child = runner(dir.path(), &job).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Hello, and the starts of three cells, of which the second has left a stray behind by its end.
    let mut starts = 0;
    while starts < 3 {
        let event = Event::from_line(&lines.next().unwrap().unwrap()).unwrap();
        starts += usize::from(matches!(event, Event::Start { .. }));
    }
    assert!(!below(dir.path()).is_empty());
    if kill {
        child.kill().unwrap();
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    // A killed runner cannot wait for its supervisors, which need a moment of their own.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !below(dir.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "still there: {:?}", below(dir.path()));
        std::thread::yield_now();
    }
}
