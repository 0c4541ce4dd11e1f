//! POSIX message queues, which outlive their users, and may have changed by the time of a restart.

use super::python::{Afterwards, aside, said, start, up};
use super::*;

/// A job with a queue. When there is a file `go`, it sends a message to itself.
fn user_of_a_queue() -> Job {
    start(
        r#"
import time
name = b"/cairn-mqueues-%d" % os.getpid()
queue = call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o640, struct.pack("8q", 0, 3, 50, 0, 0, 0, 0, 0), absent=[errno.ENOSYS])
say("name", name.decode())
say("up", "")
while not os.path.exists("go"):
    time.sleep(0.01)
call("mq_send", queue, b"message", 7, 4)
room, priority = ctypes.create_string_buffer(50), ctypes.c_uint()
size = call("mq_receive", queue, room, 50, ctypes.byref(priority))
attributes = ctypes.create_string_buffer(64)
call("mq_getattr", queue, attributes)
say("seen", f"{room.raw[:size]} {priority.value} {struct.unpack('8q', attributes.raw)[:4]}")
"#,
    )
}

const OPEN: &str = r#"queue = call("mq_open", open("name").read().encode(), os.O_RDWR)"#;
const REMOVE: &str = r#"plain("mq_unlink", open("name").read().encode())"#;

fn saved_and_killed() -> Option<Job> {
    let job = user_of_a_queue();
    up(&job)?;
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    Some(job)
}

fn restart(job: &Job) -> Output {
    cairn(["restart", "--detach", &job.path("context").display().to_string()])
}

fn works(job: &Job) {
    let output = restart(job);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("go"), "").expect("written");
    let seen = wait_for("what it sees", || said(job, "seen"));
    assert_eq!(seen, "b'message' 4 (0, 3, 50, 0)");
}

#[test]
fn an_empty_queue_that_is_gone_is_created() {
    let Some(job) = saved_and_killed() else { return };
    let _afterwards = Afterwards(&job, REMOVE);
    assert!(aside(&job, REMOVE).status.success());
    works(&job);
    let mode = aside(&job, &format!("{OPEN}\nprint(oct(os.fstat(queue).st_mode))"));
    assert_eq!(String::from_utf8_lossy(&mode.stdout), "0o100640\n");
}

#[test]
fn a_queue_that_has_changed_is_a_conflict() {
    let Some(job) = saved_and_killed() else { return };
    let _afterwards = Afterwards(&job, REMOVE);
    assert!(aside(&job, &format!("{OPEN}\ncall('mq_send', queue, b'more', 4, 0)")).status.success());
    let context = job.path("context").display().to_string();
    for output in [restart(&job), cairn(["restart", "--plan", &context])] {
        assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
        let complaint = complaint(&output);
        assert!(complaint.contains("1 messages of 3, 4 bytes, each up to 50, mode 640"), "{complaint}");
        assert!(complaint.contains("0 messages of 3, 0 bytes, each up to 50, mode 640"), "{complaint}");
    }
    let take = format!("{OPEN}\ncall('mq_receive', queue, ctypes.create_string_buffer(50), 50, None)");
    assert!(aside(&job, &take).status.success());
    works(&job);
}

/// It needs a name to be created, and the job has another queue of that.
#[test]
fn a_name_may_have_been_used_again() {
    let job = start(
        r#"
import time
name = b"/cairn-mqueues-%d" % os.getpid()
def queue():
    return call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, struct.pack("8q", 0, 3, 50, 0, 0, 0, 0, 0), absent=[errno.ENOSYS])
old = queue()
call("mq_unlink", name)
new = queue()
call("mq_send", new, b"new", 3, 0)
say("name", name.decode())
say("up", "")
while not os.path.exists("go"):
    time.sleep(0.01)
call("mq_send", old, b"old", 3, 0)
room, seen = ctypes.create_string_buffer(50), []
for fd in (old, new):
    size = call("mq_receive", fd, room, 50, None)
    seen.append((room.raw[:size], os.get_inheritable(fd)))
say("seen", seen)
"#,
    );
    let _afterwards = Afterwards(&job, REMOVE);
    if up(&job).is_none() {
        return;
    }
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = restart(&job);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    std::fs::write(job.path("go"), "").expect("written");
    assert_eq!(wait_for("what it sees", || said(&job, "seen")), "[(b'old', False), (b'new', False)]");
}

#[test]
fn one_that_was_opened_by_its_path_is_refused() {
    let job = start(
        r#"
name = b"/cairn-mqueues-%d" % os.getpid()
call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, None, absent=[errno.ENOSYS])
say("name", name.decode())
os.mkdir("mount")
call("mount", b"mqueue", b"mount", b"mqueue", 0, None)
kept = os.open(b"mount" + name, os.O_RDONLY)
say("up", kept)
signal.pause()
"#,
    );
    let _afterwards = Afterwards(
        &job,
        r#"plain("umount2", b"mount", 2); plain("mq_unlink", open("name").read().encode())"#,
    );
    let Some(fd) = up(&job) else { return };
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let complaint = complaint(&output);
    assert!(complaint.contains(&format!("fd {fd} (")) && complaint.contains("not by mq_open"), "{complaint}");
}
