//! A look changes nothing: calls that every stop ends with EINTR (signal(7), "Interruption of
//! system calls and library functions by stop signals") go on until what they wait for comes,
//! however often the process is looked at.

use super::python::Afterwards;
use super::*;
use rstest::rstest;

/// What the jobs have in common: one call without an end, and what it returns, its result or the
/// name of the error.
const PRELUDE: &str = r#"
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
usr1 = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR1 - 1))
os.mkfifo("wake")
wake = os.open("wake", os.O_RDONLY | os.O_NONBLOCK)
space = ctypes.create_string_buffer(64)

# Not by the interpreter's own wrapper, which would make it again.
def blocks(name, *args):
    say("up", os.getpid())
    done = plain(name, *args)
    say("ended", done if done != -1 else errno.errorcode[ctypes.get_errno()])

# The number of a call.
def number(x86_64, generic):
    return x86_64 if X86 else generic if MACHINE == "aarch64" else skip("its number is not known")
"#;

/// How often it is looked at.
const LOOKS: usize = 100;

/// How a call is made to end.
#[derive(Clone, Copy)]
enum Event {
    /// A byte into the FIFO `wake`.
    Byte,
    /// SIGUSR1, which is blocked.
    Signal,
    /// What another program does in its directory, and what it does when all is over.
    Program(&'static str, &'static str),
}

/// What the thread is blocked in: number and arguments of the call, stack and instruction pointer.
/// Nothing while it runs.
fn blocked(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    text.starts_with(|first: char| first.is_ascii_digit()).then_some(text)
}

/// Starts the job, looks at it, lets the call end; what it returned then, unless there is no such
/// call here.
fn looked_at(text: &str, event: Event, mut look: impl FnMut(&Job)) -> Option<String> {
    let job = python::start(&format!("{PRELUDE}\n{text}"));
    let afterwards =
        Afterwards(&job, if let Event::Program(_, afterwards) = event { afterwards } else { "" });
    python::up(&job)?;
    // In the call, not in one on the way to it: it stays where it is.
    let mut last = None;
    wait_for("the call", || {
        let before = std::mem::replace(&mut last, blocked(job.pid));
        std::thread::sleep(Duration::from_millis(20));
        (last.is_some() && last == before).then_some(())
    });
    for number in 0..LOOKS {
        look(&job);
        assert_eq!(python::said(&job, "ended"), None, "the call has ended at look {number}");
    }
    match event {
        Event::Byte => std::fs::write(job.path("wake"), "x").expect("somebody reads"),
        Event::Signal => {
            let pid = rustix::process::Pid::from_raw(job.pid).expect("positive");
            rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it lives");
        }
        Event::Program(text, _) => {
            let output = python::aside(&job, text);
            assert!(output.status.success(), "{:?}", python::said(&job, "trouble"));
        }
    }
    let ended = wait_for("the end of the call", || python::said(&job, "ended"));
    drop(afterwards);
    Some(ended)
}

const EPOLL: &str = r#"
poll = select.epoll()
poll.register(wake, select.EPOLLIN)
"#;

const REFUSED: &str = r#"
poll = select.epoll()
poll.register(wake, select.EPOLLIN)
import socket
held = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
"#;

const SEMAPHORE: &str = r#"
id = call("semget", 0, 1, 0o1600, absent=[errno.ENOSYS])
say("id", id)
"#;
/// Raises the semaphore, and waits until whoever waited for it has lowered it again.
const RAISED: Event = Event::Program(
    r#"
for change in 1, 0:
    call("semop", int(open("id").read()), struct.pack("Hhh", 0, change, 0), 1)
"#,
    r#"call("semctl", int(open("id").read()), 0, 0)"#,
);

const MESSAGES: &str = r#"
id = call("msgget", 0, 0o1600, absent=[errno.ENOSYS])
say("id", id)
"#;
const MESSAGE: Event = Event::Program(
    r#"call("msgsnd", int(open("id").read()), struct.pack("l8s", 1, b"12345678"), 8, 0)"#,
    r#"call("msgctl", int(open("id").read()), 0, None)"#,
);

/// IOCB_CMD_POLL of the FIFO.
const REQUEST: &str = r#"
context = ctypes.c_ulong(0)
call("syscall", number(206, 0), 1, ctypes.byref(context), absent=[errno.ENOSYS])
words = 0, 0, 0, 5, 0, wake, select.EPOLLIN, 0, 0, 0, 0, 0
request = ctypes.create_string_buffer(struct.pack("QIiHhIQQqQII", *words), 64)
one = (ctypes.c_void_p * 1)(ctypes.addressof(request))
call("syscall", number(209, 2), context, 1, one, absent=[errno.EINVAL])
"#;

/// Of which another process is at the other end.
const SOCKET: &str = r#"
one, other = socket.socketpair()
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 86400, 0))
if os.fork() == 0:
    select.select([wake], [], [])
    other.send(b"four")
    os._exit(0)
"#;

/// The same for one that takes no more than it has.
const FULL_SOCKET: &str = r#"
one, other = socket.socketpair()
one.setblocking(False)
try:
    while True: one.send(b"x" * 4096)
except BlockingIOError:
    one.setblocking(True)
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 86400, 0))
if os.fork() == 0:
    select.select([wake], [], [])
    while True: other.recv(1 << 16)
"#;

/// A message of `struct msghdr` for `space`.
const VECTOR: &str = r#"
vector = ctypes.create_string_buffer(struct.pack("PN", ctypes.addressof(space), LENGTH))
message = ctypes.create_string_buffer(struct.pack("PN5N", 0, 0, ctypes.addressof(vector), 1, 0, 0, 0))
"#;

/// A new descriptor has the number 20.
const LISTENING: &str = r#"
one = socket.socket(socket.AF_UNIX)
one.bind("address")
one.listen()
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 86400, 0))
if os.fork() == 0:
    select.select([wake], [], [])
    other = socket.socket(socket.AF_UNIX)
    other.connect("address")
    signal.pause()
while os.dup(wake) < 19: pass
"#;

/// Arguments of poll and pselect.
const WATCHED: &str = r#"
polled = ctypes.create_string_buffer(struct.pack("ihh", wake, select.POLLIN, 0))
selected = ctypes.create_string_buffer(struct.pack("16Q", 1 << wake, *[0] * 15))
"#;

/// With a message of so many bytes.
fn with_message(socket: &str, length: usize) -> String {
    format!("{socket}\nLENGTH = {length}{VECTOR}")
}

#[rstest]
#[case::sigwaitinfo("", r#""sigwaitinfo", usr1, None"#, Event::Signal, "10")]
#[case::sigtimedwait("", r#""sigtimedwait", usr1, None, None"#, Event::Signal, "10")]
#[case::epoll_wait(EPOLL, r#""epoll_wait", poll.fileno(), space, 1, -1"#, Event::Byte, "1")]
#[case::epoll_pwait(EPOLL, r#""epoll_pwait", poll.fileno(), space, 1, -1, usr1"#, Event::Byte, "1")]
#[case::epoll_pwait2(EPOLL, r#""syscall", 441, poll.fileno(), space, 1, None, usr1, 8"#, Event::Byte, "1")]
#[case::poll(WATCHED, r#""poll", polled, 1, -1"#, Event::Byte, "1")]
#[case::ppoll(WATCHED, r#""ppoll", polled, 1, None, usr1"#, Event::Byte, "1")]
#[case::pselect(WATCHED, r#""pselect", wake + 1, selected, None, None, None, usr1"#, Event::Byte, "1")]
#[case::semop(SEMAPHORE, r#""semop", id, struct.pack("Hhh", 0, -1, 0), 1"#, RAISED, "0")]
#[case::semtimedop(SEMAPHORE, r#""semtimedop", id, struct.pack("Hhh", 0, -1, 0), 1, None"#, RAISED, "0")]
#[case::msgrcv(MESSAGES, r#""msgrcv", id, space, 8, 0, 0"#, MESSAGE, "8")]
#[case::io_getevents(REQUEST, r#""syscall", number(208, 4), context, 1, 1, space, None"#, Event::Byte, "1")]
#[case::recv_with_a_limit(SOCKET, r#""recv", one.fileno(), space, 64, 0"#, Event::Byte, "4")]
#[case::recvmsg_with_a_limit(&with_message(SOCKET, 64), r#""recvmsg", one.fileno(), message, 0"#, Event::Byte, "4")]
#[case::sendto_with_a_limit(FULL_SOCKET, r#""sendto", one.fileno(), space, 4, 0, None, 0"#, Event::Byte, "4")]
#[case::sendmsg_with_a_limit(&with_message(FULL_SOCKET, 4), r#""sendmsg", one.fileno(), message, 0"#, Event::Byte, "4")]
#[case::accept_with_a_limit(LISTENING, r#""accept", one.fileno(), None, None"#, Event::Byte, "20")]
#[case::accept4_with_a_limit(LISTENING, r#""accept4", one.fileno(), None, None, 0"#, Event::Byte, "20")]
fn a_look_ends_no_call(#[case] before: &str, #[case] call: &str, #[case] event: Event, #[case] want: &str) {
    let ended = looked_at(&format!("{before}\nblocks({call})"), event, |job| {
        let output = cairn(["check", &job.pid()]);
        // Some of the descriptors and memory cannot be saved.
        assert!(matches!(exit_code(&output), 0 | 3), "{}", complaint(&output));
    });
    assert!(ended.as_deref().is_none_or(|ended| ended == want), "{ended:?}");
}

/// What is refused is let go as it was found; so is what is saved.
#[rstest]
#[case::refused(3, REFUSED, r#""epoll_wait", poll.fileno(), space, 1, -1"#, Event::Byte, "1")]
#[case::saved_poll(0, EPOLL, r#""epoll_wait", poll.fileno(), space, 1, -1"#, Event::Byte, "1")]
#[case::saved(0, "", r#""sigwaitinfo", usr1, None"#, Event::Signal, "10")]
fn a_checkpoint_ends_no_call(
    #[case] code: i32,
    #[case] before: &str,
    #[case] call: &str,
    #[case] event: Event,
    #[case] want: &str,
) {
    let ended = looked_at(&format!("{before}\nblocks({call})"), event, |job| {
        let output = job.checkpoint("context", &["--sync", "none"]);
        assert_eq!(exit_code(&output), code, "{}", complaint(&output));
    });
    assert!(ended.as_deref().is_none_or(|ended| ended == want), "{ended:?}");
}

/// What another thread has for a moment only is waited for: meanwhile all of them run.
#[test]
fn a_nap_ends_no_call() {
    let text = r#"
def others():
    while True:
        file = os.open("/proc/self/stat", os.O_RDONLY)
        time.sleep(0.001)
        os.close(file)
        time.sleep(0.001)
import time
threading.Thread(target=others, daemon=True).start()
blocks("sigwaitinfo", usr1, None)
"#;
    let mut saved = 0;
    let ended = looked_at(text, Event::Signal, |job| {
        let output = job.checkpoint("context", &["--sync", "none"]);
        let code = exit_code(&output);
        assert!(matches!(code, 0 | 3), "{}", complaint(&output));
        saved += usize::from(code == 0);
    });
    assert_eq!(ended.as_deref(), Some("10"));
    assert!(saved > LOOKS / 2, "of {LOOKS} only {saved} came about");
}
