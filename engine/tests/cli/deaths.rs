//! Processes that are killed while cairn has others in its hands, and cairn itself while it has
//! something of theirs: whoever is left is as before.

use super::*;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::process::{Child, Stdio};

fn begin(args: &[&str]) -> Child {
    let mut command = std::process::Command::new(CAIRN);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("cairn starts")
}

fn begin_checkpoint(job: &Job) -> Child {
    let file = job.path("context");
    begin(&["checkpoint", &job.pid(), "--sync", "none", "-o", file.to_str().expect("UTF-8")])
}

/// How long a checkpoint of it takes.
fn length_of_a_checkpoint(job: &Job) -> Duration {
    let calm = Instant::now();
    assert!(begin_checkpoint(job).wait().expect("it was started").success());
    calm.elapsed()
}

/// A parent and two children, which count in files of their own.
struct Family(Job);

const NAMES: [&str; 3] = ["root", "first", "second"];

impl Family {
    fn start() -> Family {
        let text = "c() { i=0; while :; do i=$((i+1)); echo $i > $1; done; }
            for child in first second; do c $child & echo $! > $child.pid; done; c root";
        let family = Family(Job::script(text));
        NAMES.iter().for_each(|name| family.await_progress(name));
        family
    }

    fn pid(&self, name: &str) -> i32 {
        let read = || std::fs::read_to_string(self.0.path(&format!("{name}.pid"))).ok()?.trim().parse().ok();
        if name == "root" { self.0.pid } else { wait_for("its number", read) }
    }

    fn count(&self, name: &str) -> Option<u64> {
        std::fs::read_to_string(self.0.path(name)).ok()?.trim().parse().ok()
    }

    fn await_progress(&self, name: &str) {
        let before = wait_for("a count", || self.count(name));
        wait_for("progress", || self.count(name).filter(|count| *count > before + 5));
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // A child whose parent was killed is in its group all the same.
        self.0.kill();
    }
}

#[test]
fn a_process_that_is_killed_leaves_nothing_in_the_others() {
    const MOMENTS: u32 = 40;
    let mut whole = None;
    for moment in 0..MOMENTS {
        let family = Family::start();
        let whole = *whole.get_or_insert_with(|| length_of_a_checkpoint(&family.0));
        let others = ["root", "second"].map(|name| (name, family.pid(name)));
        let before = others.map(|(_, pid)| mappings(pid));
        let victim = family.pid("first");
        let mut front = begin_checkpoint(&family.0);
        std::thread::sleep(whole * moment / MOMENTS);
        harm::kill(victim, Signal::KILL);
        front.wait().expect("it was started");
        for ((name, pid), before) in others.iter().zip(&before) {
            assert_eq!(&mappings(*pid), before, "of the {name} one at moment {moment}");
            assert_eq!(status_field(*pid, "TracerPid").as_deref(), Some("0"));
            family.await_progress(name);
        }
    }
}

#[rstest::rstest]
#[case::the_root("root")]
#[case::a_child("first")]
#[case::the_last_child("second")]
fn a_restart_of_which_one_is_killed_is_whole_or_nothing(#[case] victim: &str) {
    let family = Family::start();
    let pids = NAMES.map(|name| family.pid(name));
    let file = family.0.path("context").display().to_string();
    let output = family.0.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let is_gone = |pid: i32| !Path::new(&format!("/proc/{pid}")).exists();
    let all_gone = || pids.iter().all(|pid| is_gone(*pid)).then_some(());
    wait_for("the end of the job", all_gone);
    let victim_pid = family.pid(victim);
    let calm = Instant::now();
    assert!(begin(&["restart", "--detach", &file]).wait().expect("it was started").success());
    let whole = calm.elapsed();
    NAMES.iter().for_each(|name| family.await_progress(name));
    const MOMENTS: u32 = 40;
    let mut failed = 0;
    for moment in 0..MOMENTS {
        family.0.kill();
        wait_for("the end of the job", all_gone);
        let mut front = begin(&["restart", "--detach", &file]);
        // From its birth on.
        while is_gone(victim_pid) && front.try_wait().expect("it is our child").is_none() {
            std::hint::spin_loop();
        }
        std::thread::sleep(whole * moment / MOMENTS);
        harm::kill(victim_pid, Signal::KILL);
        if front.wait().expect("it was started").success() {
            // It may have been killed when all was done.
            for (name, pid) in NAMES.iter().zip(pids).filter(|(name, _)| **name != victim) {
                assert_eq!(status_field(pid, "TracerPid").as_deref(), Some("0"), "{name}");
                family.await_progress(name);
            }
        } else {
            failed += 1;
            wait_for("the end of all that was made", all_gone);
        }
    }
    assert!(failed > 0, "it has never been killed in time");
}

/// An end that the job closes as soon as it runs is closed then: cairn has it no longer.
#[test]
fn a_pipe_ends_with_its_last_end_from_the_first_moment_on() {
    let job = python::start(
        r#"
import collections
def both_ends():
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    return ends
# Let go after the first one, which runs by then.
for _ in range(150):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
pipes = collections.deque(both_ends() for _ in range(100))
count = 0
while True:
    for _ in range(200):
        reader, writer = pipes.popleft()
        os.close(reader)
        try:
            raise RuntimeError("%d bytes were taken" % os.write(writer, b"x"))
        except BrokenPipeError:
            os.close(writer)
        other, writer = pipes.popleft()
        os.close(writer)
        # Where there is a writer, there would be nothing to be read now: EAGAIN.
        assert os.read(other, 1) == b""
        os.close(other)
        pipes.extend([both_ends(), both_ends()])
    count += 1
    say("count", count)
"#,
    );
    wait_for("the first round", || job.path("count").exists().then_some(()));
    for _ in 0..5 {
        let output = job.checkpoint("context", &["--kill", "--sync", "none"]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        wait_for("the end of the job", || job.is_gone().then_some(()));
        let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        let before = job.count();
        wait_for("progress, or trouble", || {
            assert_eq!(python::said(&job, "trouble"), None);
            (job.count() > before + 2).then_some(())
        });
    }
}

/// A job at its limit of address space has no room for what cairn maps in it, unless the limit is
/// raised meanwhile.
#[test]
fn limits_that_were_raised_are_set_back_when_the_worker_is_killed() {
    let job = Job::counter();
    let pid = Pid::from_raw(job.pid);
    let size = status_field(job.pid, "VmSize").expect("it has memory");
    let size: u64 = size.trim_end_matches("kB").trim().parse().expect("a number");
    let low = Rlimit { current: Some((size + 128) << 10), maximum: None };
    prlimit(pid, Resource::As, low).expect("the limit can be set");
    let limits = || std::fs::read_to_string(format!("/proc/{}/limits", job.pid)).expect("the job lives");
    let before = limits();
    let soft = || {
        let text = limits();
        text.lines().find(|line| line.starts_with("Max address space")).map(str::to_owned)
    };
    let low_line = soft();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    assert_eq!(limits(), before);
    let whole = length_of_a_checkpoint(&job);
    for moment in 0..80 {
        let mut front = begin_checkpoint(&job);
        let worker = wait_for("the worker", || harm::child_of(front.id()));
        if moment % 2 == 0 {
            std::thread::sleep(whole * moment / 80);
        } else {
            // Just when they are raised.
            let raised = || soft() != low_line;
            while !raised() && front.try_wait().expect("it is our child").is_none() {}
        }
        harm::kill(worker, Signal::KILL);
        front.wait().expect("it was started");
        assert_eq!(limits(), before, "at moment {moment}");
        job.await_progress();
    }
}

/// The stack pointer of the main thread is in the middle of what the job has otherwise in use, as
/// that of a coroutine is.
#[test]
fn memory_beside_a_small_stack_stays_as_it_was_when_cairn_is_killed() {
    let job = python::start(
        r#"
size, start, length = 200000, 100000, 1024
pattern = bytes(i * 7 % 251 for i in range(size))
heap = ctypes.create_string_buffer(pattern, size)
context = ctypes.create_string_buffer(1 << 16)
if not hasattr(C, "makecontext"):
    skip("no makecontext")
def others():
    count = 0
    while True:
        count += 1
        now = heap.raw
        for part in slice(0, start), slice(start + length, size):
            assert now[part] == pattern[part], "memory has changed"
        say("count", count)
call("getcontext", context)
# What is in use of its stack is its last bytes.
struct.pack_into("PPiN", context, 8, 0, ctypes.addressof(heap) + start, 0, length)
pause = ctypes.cast(C.pause, ctypes.c_void_p)
C.makecontext(context, pause, 0)
threading.Thread(target=others, daemon=True).start()
say("up", os.getpid())
C.setcontext(context)
"#,
    );
    if python::up(&job).is_none() {
        return;
    }
    let goes_on = || {
        let before = job.count();
        wait_for("progress, or trouble", || {
            assert_eq!(python::said(&job, "trouble"), None);
            (job.count() > before + 2).then_some(())
        });
    };
    wait_for("the first round", || job.path("count").exists().then_some(()));
    goes_on();
    let whole = length_of_a_checkpoint(&job);
    goes_on();
    const MOMENTS: u32 = 60;
    for moment in 0..MOMENTS {
        let mut front = begin_checkpoint(&job);
        let worker = wait_for("the worker", || harm::child_of(front.id()));
        std::thread::sleep(whole * moment / MOMENTS);
        for pid in [worker, front.id() as i32] {
            harm::kill(pid, Signal::KILL);
        }
        front.wait().expect("it was started");
        // Nobody waits for it any more.
        harm::await_end(worker);
        goes_on();
    }
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
}

/// All of them are asked in turn, by code that they find in the same place.
#[test]
fn threads_go_on_where_they_were_when_cairn_is_killed() {
    let job = python::start(
        r#"
def counts(name):
    count = 0
    while True:
        count += 1
        say(name, count)
names = ["a", "b", "c", "d", "e", "count"]
for name in names[:-1]:
    threading.Thread(target=counts, args=(name,), daemon=True).start()
counts(names[-1])
"#,
    );
    let counts = || ["a", "b", "c", "d", "e", "count"].map(|name| python::said(&job, name));
    let all_go_on = || {
        let before = counts();
        wait_for("progress of all threads, or trouble", || {
            assert_eq!(python::said(&job, "trouble"), None);
            assert!(
                !status_field(job.pid, "State").is_some_and(|state| state.starts_with('Z')),
                "it has ended"
            );
            counts().iter().zip(&before).all(|(now, then)| now.is_some() && now != then).then_some(())
        });
    };
    all_go_on();
    let whole = length_of_a_checkpoint(&job);
    const MOMENTS: u32 = 60;
    for moment in 0..MOMENTS {
        let mut front = begin_checkpoint(&job);
        let worker = wait_for("the worker", || harm::child_of(front.id()));
        std::thread::sleep(whole * moment / MOMENTS);
        harm::kill(worker, Signal::KILL);
        front.wait().expect("it was started");
        all_go_on();
    }
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
}
