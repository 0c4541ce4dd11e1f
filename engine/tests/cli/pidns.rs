//! Restarts in a new PID namespace, where the job has its PIDs whoever has them outside.

use super::*;
use std::process::{Child, Command, Stdio};

/// A number in /proc/PID/status, or the last of several.
pub fn number(pid: i32, field: &str) -> Option<i32> {
    status_field(pid, field)?.split_ascii_whitespace().last()?.parse().ok()
}

fn is_gone(pid: i32) -> bool {
    status_field(pid, "State").is_none_or(|state| state.starts_with('Z'))
}

fn await_end(pid: i32) {
    wait_for("its end", || is_gone(pid).then_some(()));
}

fn kill(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("positive"), signal)
        .expect("it is there");
}

/// The one child of a process.
fn child_of(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// A restarted job with its init, by their numbers outside; both end with it.
struct Inside {
    pid: i32,
    init: i32,
}

impl Inside {
    fn detached(job: &Job, name: &str) -> Inside {
        let output =
            cairn(["restart", "--new-pidns", "--detach", "--json", &job.path(name).display().to_string()]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let number = |name: &str| told[name].as_i64().expect("a number") as i32;
        Inside { pid: number("pid"), init: number("init") }
    }

    /// Of a restart that stays, once the job runs.
    fn attended(front: &Child) -> Inside {
        let front = front.id() as i32;
        let init = wait_for("the init", || child_of(front));
        let pid = wait_for("the job", || {
            let pid = child_of(init)?;
            let is_free = number(pid, "TracerPid") == Some(0)
                && status_field(pid, "Name").is_some_and(|name| name != "cairn");
            is_free.then_some(pid)
        });
        // Until then, a signal ends it, and the job with it.
        wait_for("the front end", || {
            let mask = u64::from_str_radix(&status_field(front, "SigBlk")?, 16).expect("a mask");
            (mask & 1 << (libc::SIGTERM - 1) != 0).then_some(())
        });
        Inside { pid, init }
    }

    /// cairn in the namespace.
    fn cairn(&self, args: &[&str]) -> Output {
        nsenter(self.pid, args)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.init).expect("positive");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn nsenter(pid: i32, args: &[&str]) -> Output {
    let target = pid.to_string();
    let all = ["--target", &target, "--pid", "--mount", CAIRN].into_iter().chain(args.iter().copied());
    let run = cmd("nsenter", all).stdin_null().stdout_capture().stderr_capture().unchecked().run();
    run.expect("nsenter starts")
}

/// A restart that stays.
fn start(job: &Job, name: &str) -> Child {
    let mut command = Command::new(CAIRN);
    command.args(["restart", "--new-pidns"]).arg(job.path(name)).stdin(Stdio::null());
    command.stderr(Stdio::piped()).spawn().expect("cairn starts")
}

fn ended(front: Child) -> (i32, String) {
    let output = front.wait_with_output().expect("it ends");
    (exit_code(&output), complaint(&output))
}

/// Adds a line to the file `beats` for each SIGUSR1.
fn beating() -> Job {
    let job = Job::script("trap 'echo beat >> beats' USR1; echo > up; while :; do sleep 0.01; done");
    wait_for("the job", || job.path("up").exists().then_some(()));
    job
}

/// The job, or one like it, runs.
fn beats(job: &Job, pid: i32) {
    let count = || std::fs::read_to_string(job.path("beats")).unwrap_or_default().lines().count();
    let before = count();
    kill(pid, rustix::process::Signal::USR1);
    wait_for("a beat of the job", || (count() > before).then_some(()));
}

#[test]
fn a_job_whose_pids_are_taken_runs_beside_itself_twice() {
    let job = beating();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let context = job.path("context").display().to_string();
    let output = cairn(["restart", "--detach", &context]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains("--new-pidns"), "{}", complaint(&output));

    let both = [Inside::detached(&job, "context"), Inside::detached(&job, "context")];
    for one in &both {
        beats(&job, one.pid);
        assert_eq!((number(one.pid, "NSpid"), number(one.init, "NSpid")), (Some(job.pid), Some(1)));
        assert_eq!(number(one.pid, "PPid"), Some(one.init));
    }
    for one in &both {
        kill(one.pid, rustix::process::Signal::KILL);
        await_end(one.init);
    }
    beats(&job, job.pid);
}

/// The signal goes to the job, and its exit code comes back.
#[test]
fn a_restart_that_stays_ends_as_the_job_does() {
    let job = Job::script("trap 'exit 7' USR1; echo > up; while :; do sleep 0.01; done");
    wait_for("the job", || job.path("up").exists().then_some(()));
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let front = start(&job, "context");
    let inside = Inside::attended(&front);
    kill(front.id() as i32, rustix::process::Signal::USR1);
    assert_eq!(ended(front), (7, String::new()));
    await_end(inside.init);

    let front = start(&job, "context");
    let inside = Inside::attended(&front);
    kill(inside.pid, rustix::process::Signal::TERM);
    assert_eq!(ended(front).0, 128 + libc::SIGTERM);
    await_end(inside.init);
}

/// They are reparented to the init, which stays for them.
#[test]
fn what_the_root_leaves_behind_goes_on() {
    let text = "(trap '' HUP; while [ ! -e go ]; do sleep 0.01; done; echo > done) & \
                trap 'exit 3' USR1; echo > up; while :; do sleep 0.01; done";
    let job = Job::script(text);
    wait_for("the job", || job.path("up").exists().then_some(()));
    assert_eq!(exit_code(&job.checkpoint("context", &["--kill"])), 0);
    let front = start(&job, "context");
    let inside = Inside::attended(&front);
    kill(front.id() as i32, rustix::process::Signal::USR1);
    assert_eq!(ended(front).0, 3);
    assert!(!is_gone(inside.init), "the rest has been killed");
    std::fs::write(job.path("go"), "").expect("written");
    wait_for("the rest of the job", || job.path("done").exists().then_some(()));
    await_end(inside.init);
}

#[test]
fn a_front_end_that_is_killed_leaves_all_of_the_job_or_nothing() {
    let job = Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &["--kill"])), 0);
    wait_for("the end of the job", || job.is_gone().then_some(()));

    // It waits for the file.
    let mut command = Command::new(CAIRN);
    let command = command.args(["restart", "--new-pidns", "-"]).stdin(Stdio::piped());
    let mut front = command.spawn().expect("cairn starts");
    let init = wait_for("the init", || child_of(front.id() as i32));
    wait_for("its /proc", || {
        let mounts = std::fs::read_to_string(format!("/proc/{init}/mounts")).ok()?;
        (mounts.lines().filter(|line| line.contains(" /proc proc ")).count() > 1).then_some(())
    });
    front.kill().expect("killed");
    front.wait().expect("it ends");
    await_end(init);

    let mut front = start(&job, "context");
    let inside = Inside::attended(&front);
    job.await_progress_of(inside.pid);
    front.kill().expect("killed");
    front.wait().expect("it ends");
    job.await_progress_of(inside.pid);
    kill(inside.pid, rustix::process::Signal::KILL);
    await_end(inside.init);
}

#[test]
fn an_init_that_is_killed_takes_the_job_with_it() {
    let job = Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &["--kill"])), 0);
    let front = start(&job, "context");
    let inside = Inside::attended(&front);
    kill(inside.init, rustix::process::Signal::KILL);
    let (code, said) = ended(front);
    assert_eq!(code, 128 + libc::SIGKILL, "{said}");
    assert!(said.contains("the init of the new PID namespace was killed by signal 9"), "{said}");
    await_end(inside.pid);
}

/// By cairn in its namespace; and restarted from there once more.
#[test]
fn a_job_in_a_namespace_is_saved_in_it() {
    let job = beating();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let inside = Inside::detached(&job, "context");
    let refused = job.path("refused").display().to_string();
    let output = cairn(["checkpoint", &inside.pid.to_string(), "-o", &refused]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let advice = format!("nsenter --all --target {}), where it is process {}", inside.pid, job.pid);
    assert!(complaint(&output).contains(&advice), "{}", complaint(&output));

    let again = job.path("again").display().to_string();
    let output = inside.cairn(&["checkpoint", &job.pid(), "--kill", "-o", &again]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    await_end(inside.init);
    let inside = Inside::detached(&job, "again");
    beats(&job, inside.pid);
    assert_eq!(number(inside.pid, "NSpid"), Some(job.pid));
}

/// Numbers that cairn itself would have had in a new namespace are left to the job, but for that of
/// the init.
#[test]
fn a_job_with_the_first_numbers_of_a_namespace() {
    let text = "exec 3>&- 4>&-; echo > up; \
                sh -c 'i=0; while :; do i=$((i+1)); echo $i > count; done' & \
                sh -c 'while :; do sleep 0.01; done' & wait";
    let outer = format!(
        "exec unshare --pid --mount --fork --mount-proc --kill-child sh -c \"{}\"",
        text.replace('$', "\\$")
    );
    let job = Job::script(&outer);
    job.await_progress_of(job.pid);
    let init = wait_for("the init", || child_of(job.pid));
    let context = |name: &str| job.path(name).display().to_string();
    let output = nsenter(init, &["checkpoint", "1", "--kill", "-o", &context("first")]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("pid 1 is the init"), "{}", complaint(&output));
    let output = nsenter(init, &["checkpoint", "2", "--kill", "-o", &context("second")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.kill();
    await_end(init);
    let inside = Inside::detached(&job, "second");
    assert_eq!(number(inside.pid, "NSpid"), Some(2));
    // Its session is one of ours: a number that it can be restarted with anywhere.
    assert!(number(inside.pid, "NSsid").is_some_and(|number| number < 32768));
    job.await_progress_of(inside.pid);
}

#[test]
fn without_the_privilege_it_is_denied() {
    let args = ["--bounding-set=-sys_admin", CAIRN, "restart", "--new-pidns", "/nonexistent"];
    let run = cmd("setpriv", args).stdin_null().stdout_capture().stderr_capture().unchecked();
    let output = run.run().expect("setpriv starts");
    assert_eq!(exit_code(&output), 5, "{}", complaint(&output));
    assert!(complaint(&output).contains("it needs CAP_SYS_ADMIN"), "{}", complaint(&output));
}
