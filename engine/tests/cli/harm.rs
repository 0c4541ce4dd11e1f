//! Whatever happens to cairn, and whatever the job does meanwhile: the job is not harmed, and no
//! half file is left.

use super::*;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

pub fn kill(pid: i32, signal: Signal) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).expect("positive"), signal);
}

/// A checkpoint on its way.
pub fn begin_checkpoint(job: &Job, file: &Path) -> std::process::Child {
    std::process::Command::new(CAIRN)
        .args(["checkpoint", &job.pid(), "-o"])
        .arg(file)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("cairn starts")
}

/// The first child of a process, once there is one.
pub fn child_of(pid: u32) -> Option<i32> {
    children_of(pid).first().copied()
}

fn children_of(pid: u32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Who of cairn is killed.
#[derive(Clone, Copy)]
pub enum Victim {
    /// The process that the user sees.
    Front,
    /// The one that holds the job.
    Worker,
    /// First the one, then the other.
    Both,
}

impl Victim {
    /// Kills them, and waits until nobody of cairn is left. Their standard error is piped.
    pub fn kill(self, front: std::process::Child) {
        let (first, children) = (front.id() as i32, children_of(front.id()));
        let worker = children.first().copied();
        let whom = match self {
            Victim::Front => [Some(first), None],
            Victim::Worker => [worker, None],
            Victim::Both => [Some(first), worker],
        };
        whom.into_iter().flatten().for_each(|pid| kill(pid, Signal::KILL));
        // A worker that was only just forked has the same pipe.
        front.wait_with_output().expect("it was started");
        children.into_iter().for_each(await_end);
    }
}

/// Waits until a process of cairn's has let go of everything.
pub fn await_end(pid: i32) {
    let ended = || status_field(pid, "State").is_none_or(|state| state.starts_with(['Z', 'X']));
    wait_for("the end of cairn", || ended().then_some(()));
}

#[rstest]
#[case::front(Victim::Front)]
#[case::worker(Victim::Worker)]
#[case::both(Victim::Both)]
fn a_kill_at_any_moment_harms_nobody(#[case] victim: Victim) {
    let job = Job::counter();
    let file = job.path("context");
    let calm = Instant::now();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let whole = calm.elapsed();
    std::fs::remove_file(&file).expect("it was there");
    const MOMENTS: u32 = 60;
    for moment in 0..MOMENTS {
        let front = begin_checkpoint(&job, &file);
        std::thread::sleep(whole * moment / MOMENTS);
        victim.kill(front);
        job.await_progress();
        if file.exists() {
            let output = cairn(["info", "--verify", file.to_str().expect("UTF-8")]);
            assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
            std::fs::remove_file(&file).expect("it was there");
        }
        let names = std::fs::read_dir(job.dir.path()).expect("the directory is there").flatten();
        let names: Vec<_> =
            names.map(|entry| entry.file_name()).filter(|n| *n != "count" && *n != "count.new").collect();
        assert!(names.is_empty(), "left behind: {names:?}");
    }
}

/// Whether a process has a mapping to write and execute of which two pages are used: stub and
/// table.
fn uses_scratch(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| !line.contains(" rwxp "));
    let used =
        lines.find_map(|line| line.strip_prefix("Rss:")).and_then(|rest| rest.split_whitespace().next());
    used.is_some_and(|kib| kib.parse::<u64>().is_ok_and(|kib| kib * 1024 >= 2 * cairn::sys::page_size()))
}

/// While memory is copied, every process has a scratch range.
#[test]
fn what_a_killed_worker_left_mapped_is_unmapped() {
    let job =
        super::python::start("pages = bytearray(os.urandom(1 << 20)) * 128\nsay('up', '')\nsignal.pause()\n");
    assert!(super::python::up(&job).is_some());
    let before = job.mappings();
    let mut front = begin_checkpoint(&job, &job.path("context"));
    let worker = wait_for("the worker", || child_of(front.id()));
    wait_for("programs in the scratch range", || uses_scratch(job.pid).then_some(()));
    kill(worker, Signal::KILL);
    let output = front.wait().expect("it was started");
    assert_eq!(output.code(), Some(1), "the worker ended by itself");
    assert_eq!(job.mappings(), before);
    assert!(!job.path("context").exists());
}

#[test]
fn an_interrupt_lets_the_job_go_and_leaves_no_file() {
    let job = Job::counter();
    for delay in 0..20 {
        let file = job.path("context");
        let mut front = begin_checkpoint(&job, &file);
        std::thread::sleep(Duration::from_micros(delay * 300));
        kill(front.id() as i32, Signal::INT);
        let status = front.wait().expect("it was started");
        assert_eq!(file.exists(), status.success(), "{status}");
        if status.success() {
            std::fs::remove_file(&file).expect("it was there");
        }
        job.await_progress();
    }
}

#[rstest]
#[case::forks("while :; do /bin/true & wait; echo $((i+=1)) > count.new; mv count.new count; done")]
#[case::executes("echo ${i:=0} > count; i=$((i+1)) exec sh -c \"$0\" \"$0\"")]
#[case::family("while :; do (:) | (:) & (:); wait; echo $((i+=1)) > count.new; mv count.new count; done")]
fn a_job_that_changes_all_the_time_is_saved_or_let_alone(#[case] text: &str) {
    // `executes` is handed its own text, to begin again with.
    let text = format!("i=0; set --; exec sh -c '{0}' '{0}'", text.replace('\'', "'\\''"));
    let job = Job::script(&text);
    wait_for("the first round", || (job.count() > 0).then_some(()));
    let mut saved = 0;
    for _ in 0..40 {
        let before = job.count();
        let output = job.checkpoint("context", &[]);
        match exit_code(&output) {
            0 => saved += 1,
            // Vanished, or in the middle of an exec.
            1 | 6 => {}
            code => panic!("exit code {code}: {}", complaint(&output)),
        }
        wait_for("progress of the job", || (job.count() > before).then_some(()));
    }
    assert!(saved > 0, "not one of the checkpoints came about");
    let output = cairn(["info", "--verify", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
}

#[test]
#[ignore = "a job for another test"]
fn ticking_job() {
    use nix::sys::signal::{SigEvent, SigevNotify, Signal};
    use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let ticked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(libc::SIGUSR1, Arc::clone(&ticked)).expect("SIGUSR1 can be caught");
    let notify = SigevNotify::SigevSignal { signal: Signal::SIGUSR1, si_value: 0 };
    let mut timer = Timer::new(nix::time::ClockId::CLOCK_MONOTONIC, SigEvent::new(notify)).expect("a timer");
    let tick = Expiration::Interval(Duration::from_micros(50).into());
    timer.set(tick, TimerSetTimeFlags::empty()).expect("it is armed");
    for count in 1u64.. {
        std::fs::write("count.new", count.to_string())
            .and_then(|()| std::fs::rename("count.new", "count"))
            .expect("written");
        while !ticked.swap(false, Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}

/// A signal that is being delivered when the stop is asked for uses it up.
#[test]
fn a_job_that_gets_signals_all_the_time_is_saved() {
    let job = Job::helper("harm::ticking_job");
    wait_for("the first tick", || (job.count() > 0).then_some(()));
    for _ in 0..100 {
        let output = job.checkpoint("context", &["--sync", "none"]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    }
    job.await_progress();
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
}

#[test]
fn a_job_that_ends_meanwhile_is_told_and_leaves_no_file() {
    for delay in 0..20 {
        let job = Job::script("while :; do read x < /dev/null; done");
        let file = job.path("context");
        let front = begin_checkpoint(&job, &file);
        std::thread::sleep(Duration::from_micros(delay * 400));
        kill(job.pid, Signal::KILL);
        let output = front.wait_with_output().expect("it was started");
        match exit_code(&output) {
            0 => assert!(file.exists()),
            1 | 6 => assert!(!file.exists(), "{}", complaint(&output)),
            other => panic!("exit code {other}: {}", complaint(&output)),
        }
    }
}

#[test]
fn a_restarted_job_goes_on_where_it_was() {
    let job = Job::counter();
    let before = job.count();
    let output = job.checkpoint("context", &["--kill", "--json"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    // Empty when it was killed between emptying and writing.
    let left = std::fs::read_to_string(job.path("count")).expect("the file is there");
    let at = left.trim().parse().unwrap_or(before);
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let now = wait_for("the next number", || Some(job.count()).filter(|count| *count != at));
    assert!((at..at + 1_000_000).contains(&now), "{now} after {at}");
    job.await_progress();
}

/// A thread group ends with its last thread: who waits for the leader first waits for ever.
#[test]
fn a_restart_of_threads_that_fails_ends_and_leaves_nothing() {
    let program = std::env::current_exe().expect("this program has a path");
    let test = "--exact harm::ticking_job --ignored --nocapture";
    let job = Job::script(&format!("exec nice -n -3 {} {test}", program.display()));
    wait_for("the first tick", || (job.count() > 0).then_some(()));
    assert_ne!(status_field(job.pid, "Threads").as_deref(), Some("1"), "a test runs in a thread of its own");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", job.pid)).expect("the job lives");
    let nice =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(16).map(str::to_owned));
    if nice.as_deref() != Some("-3") {
        eprintln!("skipped: needs CAP_SYS_NICE");
        return;
    }
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    // What scheduling it had is given back last, when all its threads are there.
    let file = job.path("context");
    let without =
        ["60", "setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", CAIRN, "restart", "--detach"];
    let restart = cmd("timeout", without.iter().map(std::ffi::OsStr::new).chain([file.as_os_str()]));
    let output = restart.stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("it starts");
    assert_eq!(exit_code(&output), 5, "{}", complaint(&output));
    // It is nobody's child any more: init waits for it.
    wait_for("the end of what was made", || job.is_gone().then_some(()));
}

/// A process with several threads whose parent kills it as soon as both run again.
const KILLS_ITS_CHILD: &str = r#"
import time
child = os.fork()
if child == 0:
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(600)
say("up", "")
last = now = time.monotonic()
# Until it was stopped.
while now - last < 0.004:
    last, now = now, time.monotonic()
os.kill(child, 9)
say("reaped", os.waitpid(child, 0)[1])
time.sleep(600)
"#;

/// The end of its first thread is not told as long as the others are not waited for.
#[test]
fn a_process_with_threads_that_is_killed_at_the_end_is_no_hindrance() {
    for _ in 0..5 {
        let job = super::python::start(KILLS_ITS_CHILD);
        assert!(super::python::up(&job).is_some());
        let output = job.checkpoint("context", &[]);
        // On a busy machine it may be killed earlier, and end while it is looked at.
        // Another test of the same host may use semaphores meanwhile.
        let undoing = exit_code(&output) == 3 && complaint(&output).contains("SEM_UNDO");
        assert!(undoing || [0, 6].contains(&exit_code(&output)), "{}", complaint(&output));
        let reaped = wait_for("the end of the child", || super::python::said(&job, "reaped"));
        assert_eq!(reaped, "9");
    }
}
