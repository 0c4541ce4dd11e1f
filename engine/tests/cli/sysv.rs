//! System V objects that are used by their ids only, and saved on demand (`--sysv`).

use super::python::{Afterwards, aside, said, start, up};
use super::*;

/// A job with one object of each kind. When there is a file `go`, it says what it sees.
fn user_of_all() -> Job {
    start(
        r#"
import time
C.shmat.restype = ctypes.c_void_p
key = 0x6d000000 | os.getpid()
sem = call("semget", key, 3, 0o1620)
call("semctl", sem, 0, 17, struct.pack("HHH", 7, 0, 32767))
msg = call("msgget", key, 0o1604)
def send(kind, text):
    call("msgsnd", msg, struct.pack("l", kind) + text, len(text), 0)
send(3, b"third")
send(1, b"")
send(3, bytes(range(256)) * 10)
shm = call("shmget", key, 5000, 0o1600)
at = C.shmat(shm, None, 0)
ctypes.memmove(at + 6000, b"behind", 6)
call("shmdt", ctypes.c_void_p(at))
say("names", f"{shm} {sem} {msg} {key}")
say("up", f"shm:{shm} sem:{sem} msg:{msg}")
while not os.path.exists("go"):
    time.sleep(0.01)
values = ctypes.create_string_buffer(6)
call("semctl", call("semget", key, 3, 0), 0, 13, values)
seen = [sem == call("semget", key, 0, 0), struct.unpack("HHH", values.raw)]
room = ctypes.create_string_buffer(4096)
for kind in (1, 3, 3):
    got = call("msgrcv", call("msgget", key, 0), room, 4000, kind, 0o4000)
    seen.append((got, room.raw[8:8 + min(got, 5)]))
at = C.shmat(call("shmget", key, 0, 0), None, 0o10000)
seen.append(ctypes.string_at(at + 6000, 6))
say("seen", seen)
"#,
    )
}

const REMOVE: &str = r#"
shm, sem, msg, key = map(int, open("names").read().split())
plain("shmctl", shm, 0, 0)
plain("semctl", sem, 0, 0)
plain("msgctl", msg, 0, 0)
"#;

const SEEN: &str =
    "[True, (7, 0, 32767), (0, b''), (5, b'third'), (2560, b'\\x00\\x01\\x02\\x03\\x04'), b'behind']";

fn save(job: &Job, more: &[&str]) -> Output {
    let names = up(job).expect("every kernel has them");
    let mut args: Vec<&str> = names.split(' ').flat_map(|name| ["--sysv", name]).collect();
    args.extend(more);
    job.checkpoint("context", &args)
}

fn saved_and_killed() -> Job {
    let job = user_of_all();
    let output = save(&job, &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    job
}

fn restart(job: &Job) -> Output {
    cairn(["restart", "--detach", &job.path("context").display().to_string()])
}

fn sees_what_was_saved(job: &Job) {
    let output = restart(job);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("go"), "").expect("written");
    assert_eq!(wait_for("what it sees", || said(job, "seen")), SEEN);
}

#[test]
fn what_was_removed_is_created() {
    let job = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    assert!(aside(&job, REMOVE).status.success());
    let info = cairn(["info", &job.path("context").display().to_string()]);
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    for kind in ["System V shared memory", "System V semaphores", "System V message queue"] {
        assert!(info.contains(kind), "{info}");
    }
    sees_what_was_saved(&job);
    let modes = r#"
shm, sem, msg, key = map(int, open("names").read().split())
for kind, id in (("shm", shm), ("sem", sem), ("msg", msg)):
    lines = [line.split() for line in open("/proc/sysvipc/" + kind)]
    print([line[2] for line in lines if line[1] == str(id) and line[0] == str(key)])
"#;
    let found = aside(&job, modes);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "['600']\n['620']\n['604']\n");
}

#[test]
fn what_was_left_behind_is_set_back() {
    let job = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    let change = r#"
shm, sem, msg, key = map(int, open("names").read().split())
call("semctl", sem, 0, 17, struct.pack("HHH", 1, 2, 3))
call("msgsnd", msg, struct.pack("l", 1) + b"more", 4, 0)
C.shmat.restype = ctypes.c_void_p
ctypes.memmove(C.shmat(shm, None, 0), b"x" * 8192, 8192)
"#;
    assert!(aside(&job, change).status.success());
    sees_what_was_saved(&job);
}

/// Who is not told which objects are the job's says which ones may be.
#[test]
fn what_was_not_named_is_told() {
    let job = user_of_all();
    let _afterwards = Afterwards(&job, REMOVE);
    let names = up(&job).expect("every kernel has them");
    let output = job.checkpoint("context", &[]);
    let check = cairn(["check", &job.pid()]);
    assert_eq!((exit_code(&output), exit_code(&check)), (0, 0), "{}", complaint(&output));
    for name in names.split(' ') {
        let note = format!("note: System V object {name} was last used by the job");
        assert!(complaint(&output).contains(&note), "{}", complaint(&output));
        assert!(String::from_utf8_lossy(&check.stdout).contains(&note));
    }
    assert!(!complaint(&save(&job, &[])).contains("note: System V object"));
}

/// The job itself is not disturbed by being saved.
#[test]
fn a_checkpoint_takes_nothing_away() {
    let job = user_of_all();
    let _afterwards = Afterwards(&job, REMOVE);
    let output = save(&job, &[]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("go"), "").expect("written");
    assert_eq!(wait_for("what it sees", || said(&job, "seen")), SEEN);
}

#[test]
fn another_of_the_same_id_is_a_conflict() {
    let job = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    let exchange = r#"
shm, sem, msg, key = map(int, open("names").read().split())
call("semctl", sem, 0, 0)
open("/proc/sys/kernel/sem_next_id", "w").write(str(sem))
assert call("semget", 0, 5, 0o1600) == sem
"#;
    assert!(aside(&job, exchange).status.success());
    let output = restart(&job);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let complaint = complaint(&output);
    assert!(complaint.contains("its id is in use") && complaint.contains("ipcrm -s"), "{complaint}");
    assert!(
        aside(&job, &exchange.replace("assert call(\"semget\", 0, 5, 0o1600) == sem", "")).status.success()
    );
    sees_what_was_saved(&job);
}

/// It would pass with what the job had.
#[test]
fn who_waits_for_a_semaphore_is_a_conflict() {
    let job = saved_and_killed();
    let _afterwards = Afterwards(&job, REMOVE);
    let waiter = start(&format!(
        r#"
shm, sem, msg, key = map(int, open("{}").read().split())
say("up", "")
call("semop", sem, struct.pack("Hhh", 1, -1, 0), 1)
"#,
        job.path("names").display()
    ));
    up(&waiter).expect("it runs");
    let waits = || {
        let text = std::fs::read_to_string(format!("/proc/{}/wchan", waiter.pid)).unwrap_or_default();
        text.contains("semtimedop").then_some(())
    };
    wait_for("the waiter", waits);
    let output = restart(&job);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains("1 processes outside wait for"), "{}", complaint(&output));
    waiter.kill();
    wait_for("the end of the waiter", || waiter.is_gone().then_some(()));
    sees_what_was_saved(&job);
}

/// Somebody else was the last to use the semaphore.
#[test]
fn undoing_of_a_process_with_threads_is_refused() {
    let job = start(
        r#"
threading.Thread(target=lambda: None).start()
sem = call("semget", 0, 1, 0o1600)
call("semctl", sem, 0, 16, 1)
call("semop", sem, struct.pack("Hhh", 0, -1, 0x1000), 1)
say("names", f"-1 {sem} -1 0")
say("up", sem)
signal.pause()
"#,
    );
    let _afterwards = Afterwards(&job, REMOVE);
    let sem = up(&job).expect("every kernel has them");
    let touch = format!(r#"call("semop", {sem}, struct.pack("HhhHhh", 0, 1, 0, 0, -1, 0), 2)"#);
    assert!(aside(&job, &touch).status.success());
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("SEM_UNDO"), "{}", complaint(&output));
}

#[test]
fn what_is_not_there_is_refused() {
    let job = user_of_all();
    let _afterwards = Afterwards(&job, REMOVE);
    up(&job).expect("every kernel has them");
    for name in ["sem:2147483647", "shm:2147483647", "msg:2147483647"] {
        let output = job.checkpoint("context", &["--sysv", name]);
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        assert!(complaint(&output).contains(&format!("no System V object {name}")), "{}", complaint(&output));
    }
    let output = job.checkpoint("context", &["--sysv", "sem"]);
    assert_eq!(exit_code(&output), 2, "{}", complaint(&output));
    assert!(complaint(&output).contains("expected shm:ID, sem:ID or msg:ID"), "{}", complaint(&output));
}
