//! Sockets: what is refused, what is outside, and names in use.

use super::refused_descriptors::{is_refused, job_that};
use super::*;
use rstest::rstest;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

#[rstest]
#[case::urgent_byte(
    "a, b = socket.socketpair(); a.send(b'x', socket.MSG_OOB); os.dup2(b.fileno(), 9)",
    "urgent byte"
)]
#[case::descriptor_in_flight(
    "a, b = socket.socketpair(); r, w = os.pipe(); socket.send_fds(a, [b'x'], [r]); os.close(r); os.close(w)
os.dup2(b.fileno(), 9)",
    "that no process of the job has open"
)]
#[case::credentials_of_one_that_is_gone(
    "a, b = socket.socketpair(); b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
pid = os.fork()
if pid == 0:
    a.send(b'x')
    os._exit(0)
os.waitpid(pid, 0)
os.dup2(b.fileno(), 9)",
    "SO_PASSCRED"
)]
#[case::sent_before_it_was_accepted(
    "l = socket.socket(socket.AF_UNIX); l.bind('door'); l.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect('door'); c.send(b'x'); os.dup2(c.fileno(), 9)",
    "not accepted yet"
)]
#[case::waits_at_a_removed_file(
    "l = socket.socket(socket.AF_UNIX); l.bind('door'); l.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect('door'); os.unlink('door'); os.dup2(l.fileno(), 9)",
    "whose file was removed, with connections"
)]
#[case::hard_link(
    "l = socket.socket(socket.AF_UNIX); l.bind('door'); os.link('door', 'other'); os.dup2(l.fileno(), 9)",
    "hard links"
)]
#[case::linked_elsewhere(
    "l = socket.socket(socket.AF_UNIX); l.bind('door'); os.link('door', 'other'); os.unlink('door')
os.dup2(l.fileno(), 9)",
    "hard links"
)]
#[case::filter(
    &format!("code = ctypes.create_string_buffer(struct.pack('BBhiBBhi', 0xb7, 0, 0, 0, 0x95, 0, 0, 0), 16)
terms = ctypes.create_string_buffer(b'GPL')
load = struct.pack('IIQQ', 1, 2, ctypes.addressof(code), ctypes.addressof(terms)).ljust(128, b'\\0')
program = libc.syscall({}, 5, ctypes.create_string_buffer(load, 128), 128)
if program < 0: raise OSError(ctypes.get_errno(), 'bpf')
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 50, program)
os.close(program)
os.dup2(s.fileno(), 9)", libc::SYS_bpf),
    "SO_ATTACH_BPF"
)]
#[case::peer_without_its_file(
    "r = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); r.bind('box')
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect('box'); os.unlink('box')
os.dup2(s.fileno(), 9)",
    "whose file was removed"
)]
fn what_cannot_be_saved_is_refused(#[case] text: &str, #[case] word: &str) {
    let Some(job) = job_that(text) else { return };
    is_refused(&job, &["socket", word]);
}

/// A job that is connected to a process outside, in each direction.
#[test]
fn a_peer_outside_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("door");
    let listener = UnixListener::bind(&path).expect("bound");
    let text = format!("s = socket.socket(socket.AF_UNIX); s.connect({path:?}); hold(s.detach())");
    let Some(job) = job_that(&text) else { return };
    is_refused(&job, &["fd 9", "waits to be accepted by a process outside", "--external"]);
    let _served = listener.accept().expect("accepted");
    let own = format!("(pid {}, ", std::process::id());
    is_refused(&job, &["fd 9", "connected to a process outside the job", &own, "--external"]);

    let Some(job) = job_that("l = socket.socket(socket.AF_UNIX); l.bind('door'); l.listen(1)") else {
        return;
    };
    let _client = UnixStream::connect(job.path("door")).expect("connected");
    is_refused(&job, &["a connection that waits to be accepted, from outside the job"]);
}

/// A job that is connected to a process outside, and one that an error waits for.
#[test]
fn tcp_to_outside_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("it has one").port();
    let text = format!("s = socket.create_connection(('127.0.0.1', {port})); hold(s.detach())");
    let Some(job) = job_that(&text) else { return };
    let _served = listener.accept().expect("accepted");
    let own = format!("(pid {}, ", std::process::id());
    let to = format!("127.0.0.1:{port}");
    is_refused(&job, &["fd 9", "TCP connection to", &to, &own, "--tcp-established", "--external"]);

    let text = "l = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname())
s = l.accept()[0]; c.send(b'x', socket.MSG_OOB); time.sleep(0.1); os.dup2(s.fileno(), 9)";
    let Some(job) = job_that(text) else { return };
    is_refused(&job, &["urgent byte"]);
}

#[rstest]
#[case::corked("s.setsockopt(17, 1, 1); s.send(b'x')", "was not sent yet")]
#[case::error("s.send(b'x'); time.sleep(0.1)", "an error that was not received")]
fn udp_that_cannot_be_saved_is_refused(#[case] text: &str, #[case] word: &str) {
    let text = format!(
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))\n{text}\nhold(s.detach())"
    );
    let Some(job) = job_that(&text) else { return };
    is_refused(&job, &["fd 9", word]);
}

/// The file that a listener has left is replaced; one that another has made since is not.
#[test]
fn a_name_in_use_is_a_conflict() {
    let text = "l = socket.socket(socket.AF_UNIX); l.bind('door'); l.listen(1)
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.bind('\\0job%d' % os.getpid())";
    let Some(job) = job_that(text) else { return };
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let door = job.path("door");
    let context = job.path("context");
    let context = context.to_str().expect("UTF-8");
    let restart = |how: &str| cairn(["restart", how, context]);
    let is_conflict = |words: &[&str]| {
        for how in ["--plan", "--detach"] {
            let output = restart(how);
            assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
            for word in words {
                assert!(complaint(&output).contains(word), "{}", complaint(&output));
            }
        }
    };
    std::fs::remove_file(&door).expect("it was left");
    let name = door.to_str().expect("UTF-8");
    {
        let _other = UnixListener::bind(&door).expect("bound");
        is_conflict(&[name, "another socket has this name"]);
    }
    std::fs::remove_file(&door).expect("it was left");
    std::fs::write(&door, "a file").expect("written");
    is_conflict(&[name, "no longer a socket"]);
    std::fs::remove_file(&door).expect("it is there");
    {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("job{}", job.pid());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("short");
        let _other = UnixDatagram::bind_addr(&address).expect("bound");
        is_conflict(&[&format!("@{name}"), "another socket has this name"]);
    }
    let output = restart("--detach");
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    UnixStream::connect(&door).expect("it listens again");
}

/// Not every kernel can be told to forget them, and they would be in the way of the restart.
#[test]
fn a_killed_job_leaves_nothing_of_its_connections() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let text = format!(
        "l = socket.create_server(('127.0.0.1', {port}))
def pair():
    a = socket.create_connection(('127.0.0.1', {port}))
    return a, l.accept()[0]
idle, ended = pair(), pair()
ended[0].shutdown(socket.SHUT_WR)
waiting = socket.create_connection(('127.0.0.1', {port}))"
    );
    let Some(job) = job_that(&text) else { return };
    let is_left = || {
        let all = std::fs::read_to_string("/proc/net/tcp").expect("readable");
        all.contains(&format!("0100007F:{port:04X}"))
    };
    assert!(is_left());
    let output = job.checkpoint("context", &["--kill"]);
    if exit_code(&output) == 3 && complaint(&output).contains("CAP_NET_ADMIN") {
        eprintln!("skipped: needs CAP_NET_ADMIN");
        return;
    }
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert!(!is_left());
}

/// Of so many connections one is in repair mode most of the time.
#[test]
fn a_worker_killed_while_it_repairs_ends_that_first() {
    let text = "l = socket.create_server(('127.0.0.1', 0))
pairs = []
for _ in range(300):
    a = socket.create_connection(l.getsockname())
    pairs.append((a, l.accept()[0]))
def talk():
    try:
        while True:
            for a, b in pairs:
                a.sendall(b'ping')
                if b.recv(9) != b'ping': raise OSError(0, 'something else')
    except OSError as err: open('error', 'w').write(str(err) + '.')
threading.Thread(target=talk).start()";
    let Some(job) = job_that(text) else { return };
    let calm = Instant::now();
    let output = job.checkpoint("context", &[]);
    if exit_code(&output) == 3 && complaint(&output).contains("CAP_NET_ADMIN") {
        eprintln!("skipped: needs CAP_NET_ADMIN");
        return;
    }
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let whole = calm.elapsed();
    const MOMENTS: u32 = 40;
    for moment in 0..MOMENTS {
        let front = super::harm::begin_checkpoint(&job, &job.path("context"));
        std::thread::sleep(whole * moment / MOMENTS);
        super::harm::Victim::Worker.kill(front);
    }
    assert_eq!(std::fs::read_to_string(job.path("error")).unwrap_or_default(), "");
}
