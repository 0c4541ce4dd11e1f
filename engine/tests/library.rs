//! The engine as a library: what its callers keep. Needs root.

use cairn::{CheckpointOptions, Error, RestartOptions, Scope, Sync, Target, Then};
use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::capabilities;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Appends to `log` in its directory for ever.
fn job(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("created");
    // It would inherit what we were started with.
    cairn::sys::session::keep_descriptors_to_ourselves().expect("ours");
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", "while :; do echo tick; done"]).current_dir(dir).stdin(Stdio::null());
    command.stderr(Stdio::null()).stdout(log);
    command.spawn().expect("sh starts")
}

fn await_growth(dir: &Path) {
    let len = || std::fs::metadata(dir.join("log")).expect("it is there").len();
    let (begin, before) = (Instant::now(), len());
    while len() == before {
        assert!(begin.elapsed() < Duration::from_secs(20), "the job does not run");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_job_is_saved_and_restarted_and_the_caller_stays_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = job(dir.path());
    let pid = child.id() as i32;
    // Lower than the hard limit, so that it would show.
    let limit = Rlimit { current: Some(256), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("lower");
    let now = || {
        let mask = SigSet::thread_get_mask().expect("ours");
        let subreaper = cairn::sys::is_subreaper().expect("ours");
        (mask, capabilities(None).expect("ours"), getrlimit(Resource::Nofile), subreaper)
    };
    let before = now();
    await_growth(dir.path());

    let target = Target::of(Scope::Tree(pid));
    let found = cairn::check(&target, &|| false).expect("it can be saved");
    assert_eq!((found.tasks, now()), (1, before));

    let file = dir.path().join("context");
    let saved = cairn::checkpoint(&CheckpointOptions {
        target: target.clone(),
        to: (&file).into(),
        then: Then::Kill,
        sync: Sync::None,
        progress: &|_, _| {},
        cancelled: &|| false,
    });
    assert_eq!(saved.expect("it is saved").pid, pid);
    assert_eq!(now(), before);
    // With ptrace(2), the tracer is the one to wait for its end.
    let waited = child.try_wait();
    assert!(waited.is_err() || waited.is_ok_and(|status| status.is_some()), "it was killed");

    let prepared = cairn::prepare(&RestartOptions::of(&file)).expect("it can be restarted");
    drop(prepared);
    assert_eq!(now(), before, "what is prepared and not carried out leaves nothing");

    let prepared = cairn::prepare(&RestartOptions::of(&file)).expect("it can be restarted");
    let report = cairn::restart(prepared).expect("it is restarted");
    assert_eq!((report.pid, now()), (pid, before));
    await_growth(dir.path());
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).expect("positive"),
        rustix::process::Signal::KILL,
    )
    .expect("it lives");
    // It is a child of ours.
    rustix::process::waitpid(rustix::process::Pid::from_raw(pid), rustix::process::WaitOptions::empty())
        .expect("it is waited for");
}

#[test]
fn a_reason_to_refuse_is_data() {
    let dir = tempfile::tempdir().expect("a directory");
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut command = Command::new("sh");
    command.args(["-c", "read line"]).current_dir(dir.path()).stdin(std::os::fd::OwnedFd::from(socket));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh starts");
    let pid = child.id() as i32;
    let refused = cairn::check(&Target::of(Scope::Tree(pid)), &|| false);
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    let Err(Error::Unsupported(problems)) = refused else { panic!("{refused:?}") };
    let at = problems.reasons.iter().filter_map(|reason| reason.at.as_ref());
    let fd = at.filter(|at| at.part == Some(cairn::Part::Fd(0))).map(|at| at.pid);
    assert_eq!(fd.collect::<Vec<_>>(), [pid]);
}
