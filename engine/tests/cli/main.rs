//! The program as its users meet it: real processes on the running kernel, and everything that can
//! go wrong around them. Needs root.

mod addresses;
mod blcr;
mod callers;
mod cgroups;
mod changed;
mod deaths;
mod descriptors;
mod external;
mod files;
mod harm;
mod looks;
mod mqueues;
mod output;
mod parents;
mod pidns;
mod ptys;
mod python;
mod refusals;
mod refused_descriptors;
mod refused_kinds;
mod refused_processes;
mod roots;
mod security;
mod segments;
mod shell;
mod sockets;
mod streams;
mod sysv;
mod tcp_outside;
mod terminals;
mod told;
mod waits;
mod zombies;

use duct::cmd;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

const CAIRN: &str = env!("CARGO_BIN_EXE_cairn");
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `cairn` with these arguments; what it printed and how it ended.
fn cairn<const N: usize>(args: [&str; N]) -> Output {
    let run = cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked().run();
    run.expect("cairn starts")
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().expect("cairn is not killed")
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `what` is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn status_field(pid: i32, field: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t").map(str::to_owned))
}

/// Addresses and permissions of a process's mappings, but for the heap.
fn mappings(pid: i32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
    text.lines().filter(|line| !line.ends_with("[heap]")).collect::<Vec<_>>().join("\n")
}

/// A job in a directory of its own, killed at the end.
struct Job {
    dir: tempfile::TempDir,
    pid: i32,
}

impl Job {
    /// A shell script under `cairn run`, in its directory.
    fn script(text: &str) -> Job {
        let dir = tempfile::tempdir().expect("a directory");
        let run = cmd(CAIRN, ["run", "--detach", "-o", "/dev/null", "--", "sh", "-c", text])
            .dir(dir.path())
            .stdin_null();
        let pid = run.read().expect("the job starts").trim().parse().expect("its number");
        Job { dir, pid }
    }

    /// An ignored test of this program, which is a job for others.
    fn helper(test: &str) -> Job {
        let program = std::env::current_exe().expect("this program has a path");
        Job::script(&format!("exec {} --exact {test} --ignored --nocapture", program.display()))
    }

    /// Writes ascending numbers to the file `count`, over and over, all by itself.
    fn counter() -> Job {
        let job = Job::script("i=0; while :; do i=$((i+1)); echo $i > count; done");
        job.await_progress();
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn count(&self) -> u64 {
        loop {
            let text = std::fs::read_to_string(self.path("count")).unwrap_or_else(|_| "0".to_owned());
            // Between being emptied and being written.
            if let Ok(count) = text.trim().parse() {
                return count;
            }
            std::thread::yield_now();
        }
    }

    /// Waits until the counter has advanced and no process traces it.
    fn await_progress(&self) {
        self.await_progress_of(self.pid);
    }

    /// The same of its like, by the number of that process.
    fn await_progress_of(&self, pid: i32) {
        let before = self.count();
        wait_for("progress of the job", || (self.count() > before + 5).then_some(()));
        assert_eq!(status_field(pid, "TracerPid").as_deref(), Some("0"));
    }

    /// Addresses and permissions of its mappings.
    fn mappings(&self) -> String {
        mappings(self.pid)
    }

    fn is_gone(&self) -> bool {
        !Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    fn pid(&self) -> String {
        self.pid.to_string()
    }

    /// Saves it as `name` in its directory.
    fn checkpoint(&self, name: &str, more: &[&str]) -> Output {
        let file = self.path(name);
        let mut args = vec!["checkpoint".to_owned(), self.pid(), "-o".into(), file.display().to_string()];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let run = cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked().run();
        run.expect("cairn starts")
    }
}

impl Job {
    fn kill(&self) {
        // `cairn run` made it a group of its own; what has ended already is as it should be.
        let group = rustix::process::Pid::from_raw(self.pid).expect("positive");
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill();
    }
}
