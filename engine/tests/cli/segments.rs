//! System V shared memory, which outlives its users: left behind by a killed job, removed, or in
//! the way.

use super::python::{Afterwards, aside, said, start, up};
use super::*;
use cairn::resource::created::Created;
use cairn::resource::ipc::segment::Segment;
use cairn::sys::sysv;

/// A job with a segment, of which it says id and key. When there is a file `go`, it says what it
/// sees.
fn attached() -> Job {
    start(
        r#"
import time
C.shmat.restype = ctypes.c_void_p
key = 0x6c000000 | os.getpid()
id = call("shmget", key, 5000, 0o1640)
memory = (ctypes.c_char * 8192).from_address(C.shmat(id, None, 0))
memory[0:5] = b"start"
# Behind the end, but in its last page.
memory[6000:6003] = b"end"
say("up", f"{id} {key}")
while not os.path.exists("go"):
    time.sleep(0.01)
found = call("shmget", key, 0, 0)
say("seen", f"{found} {memory[0:5]} {memory[6000:6003]} {sum(map(bool, memory.raw))}")
"#,
    )
}

const REMOVE: &str = r#"plain("shmctl", int(open("up").read().split()[0]), 0, 0)"#;

fn identity(job: &Job) -> (i32, i32) {
    let text = up(job).expect("every kernel has it");
    let (id, key) = text.split_once(' ').expect("two numbers");
    (id.parse().expect("an id"), key.parse().expect("a key"))
}

fn saved_and_killed() -> (Job, i32, i32) {
    let job = attached();
    let (id, key) = identity(&job);
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    (job, id, key)
}

fn restart(job: &Job) -> Output {
    let context = job.path("context").display().to_string();
    cairn(["restart", "--detach", &context])
}

fn sees_what_was_saved(job: &Job, id: i32) {
    let output = restart(job);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("go"), "").expect("written");
    let seen = wait_for("what it sees", || said(job, "seen"));
    assert_eq!(seen, format!("{id} b'start' b'end' 8"));
}

#[test]
fn what_was_removed_comes_back_with_id_and_key() {
    let (job, id, key) = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    sysv::remove_segment(id).expect("it was left behind");
    sees_what_was_saved(&job, id);
    let stat = sysv::segment(id).expect("it is there");
    assert_eq!((stat.permissions.key, stat.permissions.mode & 0o777, stat.size), (key, 0o640, 5000));
}

#[test]
fn what_was_left_behind_is_used() {
    let (job, id, _) = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    let change = r#"
C.shmat.restype = ctypes.c_void_p
memory = (ctypes.c_char * 8192).from_address(C.shmat(int(open("up").read().split()[0]), None, 0))
memory[0:5000] = b"x" * 5000
"#;
    assert!(aside(&job, change).status.success());
    sees_what_was_saved(&job, id);
}

#[test]
fn what_somebody_else_has_attached_is_refused() {
    let job = attached();
    let (id, _) = identity(&job);
    let _afterwards = Afterwards(&job, REMOVE);
    let other = start(&format!(
        r#"
C.shmat.restype = ctypes.c_void_p
C.shmat({id}, None, 0)
say("up", "")
signal.pause()
"#
    ));
    up(&other).expect("it runs");
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let complaint = complaint(&output);
    assert!(complaint.contains(&format!("also mapped by process {}", other.pid)), "{complaint}");
    // A restart could not create it beside the other one.
    assert_eq!(exit_code(&job.checkpoint("context", &["--shared"])), 3);
    other.kill();
    wait_for("the end of the other", || other.is_gone().then_some(()));
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
}

#[test]
fn an_id_or_a_key_in_use_is_a_conflict() {
    let (job, id, key) = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    sysv::remove_segment(id).expect("it was left behind");
    let other = sysv::get_segment(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600).expect("a segment");
    let output = restart(&job);
    sysv::remove_segment(other).expect("it is there");
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let complaint = complaint(&output);
    assert!(complaint.contains("its key is in use"), "{complaint}");
    assert!(complaint.contains(&format!("ipcrm -m {other}")), "{complaint}");
    assert!(sysv::segment(id).is_err(), "it was created all the same");
    sees_what_was_saved(&job, id);
}

/// In another IPC namespace there may be one of the same id.
#[test]
fn that_of_another_namespace_is_refused() {
    let job = start(
        r#"
if plain("unshare", 0x08000000) == -1:
    skip("no IPC namespaces")
C.shmat.restype = ctypes.c_void_p
id = call("shmget", 0, 4096, 0o1600)
C.shmat(id, None, 0)
say("up", id)
signal.pause()
"#,
    );
    let Some(id) = up(&job) else { return };
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 3, "segment {id}: {}", complaint(&output));
    assert!(complaint(&output).contains("ipc namespace"), "{}", complaint(&output));
}

/// A part of one is where the whole of it has no room: below the first address.
#[test]
fn a_part_that_was_moved_is_refused() {
    let job = start(
        r#"
C.shmat.restype = ctypes.c_void_p
C.mremap.restype = ctypes.c_void_p
id = call("shmget", 0, 4096 * 64, 0o1600)
at = C.shmat(id, None, 0)
call("shmctl", id, 0, 0)
to = 0x20000
C.mremap(ctypes.c_void_p(at + 4096 * 63), 4096, 4096, 3, ctypes.c_void_p(to)) == to or skip("no low address")
say("up", "")
signal.pause()
"#,
    );
    if up(&job).is_none() {
        return;
    }
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let complaint = complaint(&output);
    assert!(complaint.contains("mapping 0x20000-") && complaint.contains("was moved"), "{complaint}");
}

#[test]
fn a_restart_that_fails_leaves_no_segment() {
    let id = sysv::get_segment(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o600).expect("a segment");
    let (segment, attached) = Segment::of(id, None).expect("it is there");
    assert_eq!(attached, 0);
    sysv::remove_segment(id).expect("it is there");
    for keep in [false, true] {
        let mut created = Created::default();
        segment.make(4096, &mut created).expect("it is created");
        segment.finish().expect("it gets its owner");
        if keep {
            created.keep();
        }
        drop(created);
        assert_eq!(sysv::segment(id).is_ok(), keep);
    }
    sysv::remove_segment(id).expect("it was kept");
}
