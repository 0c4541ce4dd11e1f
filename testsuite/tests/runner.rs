//! The runner as a program, on this host, with a scripted corpus and a scripted engine.
//!
//! The scripts cannot save anything, so most cells here run in mode `continue`, in which the
//! original keeps running; the tests check that every kind of failure gets its own verdict and that
//! nothing is left behind. The engine is a correct one; the others are in `wrong_engines.rs`.

mod support;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cairn_testsuite::cell::Mode;
use cairn_testsuite::event::{CellOutcome, Event, Job};
use cairn_testsuite::verdict::{Stage, Verdict};
use rstest::rstest;
use support::{LONG, engine, events};

const RUNNER: &str = env!("CARGO_BIN_EXE_cairn-runner");

fn job(dir: &Path, workloads: &[&str], mode: Mode, timeout_ms: u64) -> Job {
    support::job(dir, "good", workloads, mode, timeout_ms)
}

fn runner(dir: &Path, job: &Job) -> Command {
    support::runner(&[OsStr::new(RUNNER)], dir, job)
}

fn outcome(workload: &str, mode: Mode, timeout_ms: u64) -> (CellOutcome, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &[workload], mode, timeout_ms);
    let events = events(runner(dir.path(), &job));
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

#[rstest]
#[case("pass", Verdict::Pass, None, "")]
#[case("skip", Verdict::Skip, None, "needs a frobnicator")]
#[case("wrong", Verdict::Fail, Some(Stage::Verify), "byte 3: 1 is not 2")]
#[case("early", Verdict::Fail, Some(Stage::Ready), "exit status 1: cannot build")]
#[case("crash", Verdict::Fail, Some(Stage::Verify), "SIGSEGV")]
#[case("stray", Verdict::Fail, Some(Stage::Leak), "sleep")]
#[case("file", Verdict::Pass, None, "")]
fn continue_verdicts(
    #[case] workload: &str,
    #[case] verdict: Verdict,
    #[case] stage: Option<Stage>,
    #[case] words: &str,
) {
    let (outcome, files) = outcome(workload, Mode::Continue, LONG);
    assert_eq!((outcome.verdict, outcome.stage), (verdict, stage), "{}", outcome.reason);
    assert!(outcome.reason.contains(words), "{}", outcome.reason);
    // Only non-empty files are sent.
    assert_eq!(files.is_empty(), !verdict.is_red(), "{files:?}");
}

#[rstest]
#[case("mute", Stage::Ready, "the workload's ready")]
#[case("hang", Stage::Verify, "the workload to verify itself")]
fn timeouts(#[case] workload: &str, #[case] stage: Stage, #[case] what: &str) {
    let (outcome, _) = outcome(workload, Mode::Continue, 1500);
    assert_eq!((outcome.verdict, outcome.stage), (Verdict::Timeout, Some(stage)), "{}", outcome.reason);
    assert_eq!(outcome.reason, format!("timed out waiting for {what}"));
}

#[rstest]
#[case::leader(Mode::Once, "gone")]
#[case::member(Mode::Script, "gone")]
#[case::job_of_a_busy_shell(Mode::Job, "Z")]
fn a_failing_restart_is_told_from_a_failing_workload(#[case] mode: Mode, #[case] target: &str) {
    let (outcome, files) = outcome("pass", mode, LONG);
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
    let (outcome, _) = outcome("family", mode, LONG);
    assert_eq!((outcome.verdict, outcome.stage), (Verdict::Fail, Some(Stage::Ready)), "{}", outcome.reason);
    assert!(outcome.reason.ends_with(wanted), "{}", outcome.reason);
}

#[test]
fn descriptors_of_our_own_caller_reach_no_workload() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &["fds"], Mode::Continue, LONG);
    let (theirs, _ours) = std::os::unix::net::UnixStream::pair().unwrap();
    nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let events = events(runner(dir.path(), &job));
    let outcome = events.iter().find_map(|e| match e {
        Event::End { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome.map(|o| (o.verdict, o.reason)), Some((Verdict::Pass, String::new())));
}

#[test]
fn figures_travel() {
    let (outcome, _) = outcome("pass", Mode::Continue, LONG);
    assert_eq!(outcome.measured.len(), 2);
    assert_eq!(outcome.measured[0].pause_ns, Some(1000));
}

#[test]
fn fail_fast_stops_after_the_first_red_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), &["pass", "wrong", "pass", "pass"], Mode::Continue, LONG);
    (job.fail_fast, job.jobs) = (true, 1);
    let events = events(runner(dir.path(), &job));
    let ended = events.iter().filter(|e| matches!(e, Event::End { .. })).count();
    assert_eq!((ended, events.last()), (2, Some(&Event::Done)));
}

/// PIDs of all processes whose working directory is below `dir`.
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
    let job = job(dir.path(), &["hang", "stray", "hang"], Mode::Continue, 600_000);
    let mut child = runner(dir.path(), &job).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Hello, and the starts of three cells, the second of which has left a stray process behind
    // when it ends.
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
    // A killed runner cannot wait for its supervisors, which need some time to clean up.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !below(dir.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "still there: {:?}", below(dir.path()));
        std::thread::yield_now();
    }
}

/// A runner started by `sh` after the commands in `shell`.
fn under(shell: &str, dir: &Path, job: &Job) -> Command {
    let shell = format!("{shell}; exec \"$0\" \"$@\"");
    support::runner(&["sh", "-c", &shell, RUNNER].map(OsStr::new), dir, job)
}

fn verdicts(events: &[Event]) -> Vec<(Verdict, &str)> {
    let ends = events.iter().filter_map(|event| match event {
        Event::End { outcome, .. } => Some((outcome.verdict, outcome.reason.as_str())),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_limit_of_the_size_of_files_is_refused_before_any_cell() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &["pass"], Mode::Continue, LONG);
    let output = under("ulimit -f 8", dir.path(), &job).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("files are limited to 4096 bytes (ulimit -f)"), "{said}");
    assert!(!output.status.success() && output.stdout.is_empty());
}

#[test]
fn a_limit_of_the_size_of_files_that_can_be_lifted_is() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), &["file-size"], Mode::Continue, LONG);
    let events = events(under("ulimit -S -f 8", dir.path(), &job));
    assert_eq!(verdicts(&events), [(Verdict::Fail, "the limit is unlimited")]);
}

#[rstest]
#[case::removed(None)]
#[case::replaced(Some("#!/bin/sh\nexit 3\n"))]
fn a_runner_whose_file_is_gone_runs_on(#[case] instead: Option<&str>) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("runner");
    fs::copy(RUNNER, &copy).unwrap();
    let mut job = job(dir.path(), &["shell", "pass", "pass"], Mode::Continue, LONG);
    job.jobs = 1;
    let command = support::runner(&[copy.as_os_str()], dir.path(), &job);
    // It waits for its job; by then its executable file has been replaced.
    fs::remove_file(dir.path().join("job.json")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("job.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let told = std::thread::spawn(move || events(command));
    let mut fifo = fs::OpenOptions::new().write(true).open(dir.path().join("job.json")).unwrap();
    fs::remove_file(&copy).unwrap();
    if let Some(text) = instead {
        fs::write(&copy, text).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    std::io::Write::write_all(&mut fifo, serde_json::to_string(&job).unwrap().as_bytes()).unwrap();
    drop(fifo);
    let events = told.join().unwrap();
    let wanted = [(Verdict::Fail, "the shell is cairn-runner"), (Verdict::Pass, ""), (Verdict::Pass, "")];
    assert_eq!(verdicts(&events), wanted);
}

#[test]
fn an_engine_is_asked_before_any_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), &["pass"], Mode::Continue, LONG);
    job.engines.insert("cairn-kmod".to_owned(), engine("version-silent"));
    let events = events(runner(dir.path(), &job));
    let reason = format!("{} --version: it printed nothing", engine("version-silent").display());
    let refused = Event::Refused { engine: "cairn-kmod".to_owned(), reason };
    assert!(
        matches!(&events[..], [Event::Hello { engines, .. }, event, Event::Done]
            if engines.len() == 1 && *event == refused),
        "{events:?}"
    );
}
