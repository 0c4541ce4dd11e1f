//! TCP connections to processes outside the job: the test is the other end.

use super::harm::Victim;
use super::refused_descriptors::job_that;
use super::*;
use rstest::rstest;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// A job that does `text` with `s`, a connection to the other end that is returned.
fn connected(text: &str) -> Option<(Job, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("it has one").port();
    let text = format!("s = socket.create_connection(('127.0.0.1', {port}))\n{text}");
    let job = job_that(&text)?;
    let (stream, _) = listener.accept().expect("the job has connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    Some((job, stream))
}

/// Sends back whatever comes; says by files how it ends.
const ECHO: &str = "def echo():
    try:
        while True:
            got = s.recv(65536)
            if not got: break
            s.sendall(got)
        os.close(os.open('ended', os.O_CREAT))
    except OSError as err: open('error', 'w').write(str(err.errno) + '.')
threading.Thread(target=echo).start()";

fn talk(mut stream: &TcpStream, text: &[u8]) {
    stream.write_all(text).expect("sent");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, text);
}

fn succeeds(output: &Output) {
    assert_eq!(exit_code(output), 0, "{}", complaint(output));
}

fn with_file<const N: usize>(job: &Job, before: [&str; N], after: &[&str]) -> Output {
    let file = job.path("context");
    let file = file.to_str().expect("UTF-8");
    let args: Vec<&str> = before.into_iter().chain([file]).chain(after.iter().copied()).collect();
    let run = cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked().run();
    run.expect("cairn starts")
}

fn locks() -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    // Without it, a checkpoint with --kill is refused.
    socket_with(family, kind, SocketFlags::CLOEXEC, Some(netlink::NETFILTER)).is_ok()
}

/// What has been received must be all, and nothing else, of a sequence of numbers.
fn receive_all(mut from: &TcpStream, received: &AtomicU64) {
    let mut buf = vec![0; 1 << 16];
    let mut next = 0u64;
    let mut held = Vec::new();
    loop {
        let got = from.read(&mut buf).expect("no reset");
        if got == 0 {
            break;
        }
        held.extend(&buf[..got]);
        let (numbers, rest) = held.as_chunks::<8>();
        for number in numbers {
            assert_eq!(u64::from_le_bytes(*number), next, "after {next} numbers");
            next += 1;
        }
        held = rest.to_vec();
        received.store(next, SeqCst);
    }
    assert!(held.is_empty());
}

fn send_all(mut to: &TcpStream, stops: &AtomicBool, sent: &AtomicU64) {
    let mut next = 0u64;
    while !stops.load(SeqCst) {
        let block: Vec<u8> = (next..next + 4096).flat_map(u64::to_le_bytes).collect();
        to.write_all(&block).expect("no reset");
        next += 4096;
        sent.store(next, SeqCst);
    }
    to.shutdown(Shutdown::Write).expect("ended");
}

#[test]
fn streams_survive_twenty_restarts() {
    if !locks() {
        return;
    }
    let job = connected(
        "import array
def send():
    n = 0
    while not os.path.exists('stop'):
        s.sendall(array.array('Q', range(n, n + 4096)).tobytes()); n += 4096
    s.shutdown(socket.SHUT_WR)
    os.close(os.open('sent', os.O_CREAT))
def receive():
    n, held = 0, b''
    while True:
        got = s.recv(65536)
        if not got: break
        held += got
        whole = len(held) // 8
        if held[:8 * whole] != array.array('Q', range(n, n + whole)).tobytes():
            tell('wrong after %d' % n); os._exit(1)
        n += whole; held = held[8 * whole:]
    open('got.new', 'w').write(str(n)); os.rename('got.new', 'got')
threading.Thread(target=send).start()
threading.Thread(target=receive).start()",
    );
    let Some((job, stream)) = job else { return };
    let (stops, sent, received) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_all(&stream, &stops, &sent));
        let receiver = scope.spawn(|| receive_all(&stream, &received));
        let flow = || {
            let both = || (sent.load(SeqCst), received.load(SeqCst));
            let before = both();
            wait_for("streams to flow", || {
                assert!(!sender.is_finished() && !receiver.is_finished());
                (both().0 > before.0 && both().1 > before.1).then_some(())
            });
        };
        for _ in 0..20 {
            flow();
            succeeds(&job.checkpoint("context", &["--kill", "--tcp-established", "--sync", "none"]));
            succeeds(&with_file(&job, ["restart"], &["--detach"]));
        }
        flow();
        stops.store(true, SeqCst);
        std::fs::write(job.path("stop"), "").expect("written");
    });
    let got = wait_for("the job's word", || std::fs::read_to_string(job.path("got")).ok());
    assert_eq!(got, sent.load(SeqCst).to_string());
}

/// What is saved without being killed goes on, with its peers.
#[test]
fn a_connection_that_has_gone_on_can_only_be_closed() {
    let Some((job, stream)) = connected(ECHO) else { return };
    succeeds(&job.checkpoint("context", &["--tcp-established"]));
    talk(&stream, b"it goes on");
    job.kill();
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = with_file(&job, ["restart"], &["--detach"]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains("--tcp-close"), "{}", complaint(&output));
    succeeds(&with_file(&job, ["restart"], &["--detach", "--tcp-close"]));
    let error = wait_for("the job's error", || {
        std::fs::read_to_string(job.path("error")).ok().filter(|e| e.ends_with('.'))
    });
    assert_eq!(error, format!("{}.", rustix::io::Errno::CONNRESET.raw_os_error()));
}

/// A peer that waits gets an orderly end, and before that what was not sent yet.
#[test]
fn a_peer_that_waits_is_told_of_the_end() {
    if !locks() {
        return;
    }
    let Some((job, mut stream)) = connected(ECHO) else { return };
    talk(&stream, b"hello");
    succeeds(&job.checkpoint("context", &["--tcp-established", "--kill"]));
    stream.write_all(b"are you there?").expect("sent");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    assert_eq!(stream.read(&mut [0; 8]).expect_err("nothing comes").kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    succeeds(&with_file(&job, ["restart"], &["--detach", "--tcp-close"]));
    assert_eq!(stream.read(&mut [0; 8]).expect("an end"), 0);
    wait_for("the job's error", || job.path("error").exists().then_some(()));
}

#[test]
fn unlocked_connections_are_given_up() {
    if !locks() {
        return;
    }
    let Some((job, mut stream)) = connected(ECHO) else { return };
    talk(&stream, b"hello");
    let output = job.checkpoint("context", &["--tcp-established", "--kill"]);
    succeeds(&output);
    assert!(complaint(&output).contains("cairn unlock"), "{}", complaint(&output));
    stream.write_all(b"are you there?").expect("sent");
    for said in ["1 lock: removed", "no TCP connection was locked"] {
        let output = with_file(&job, ["unlock"], &[]);
        succeeds(&output);
        assert!(String::from_utf8_lossy(&output.stdout).contains(said), "{output:?}");
    }
    match stream.read(&mut [0; 8]) {
        Ok(0) => {}
        other => assert_eq!(other.expect_err("no answer").kind(), ErrorKind::ConnectionReset),
    }
}

/// A restart that fails leaves it locked, and another one goes on.
#[test]
fn a_failed_restart_leaves_it_locked() {
    if !locks() {
        return;
    }
    let Some((job, stream)) = connected(&format!("notes = open('notes', 'w')\n{ECHO}")) else { return };
    succeeds(&job.checkpoint("context", &["--tcp-established", "--kill"]));
    // It is one of the job's files, without which it cannot be restarted.
    let (ours, away) = (job.path("notes"), job.path("away"));
    std::fs::rename(&ours, &away).expect("the job has made it");
    for how in [&["--detach"][..], &["--detach", "--tcp-close"]] {
        let output = with_file(&job, ["restart"], how);
        assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    }
    (&stream).write_all(b"!").expect("sent");
    std::fs::rename(&away, &ours).expect("renamed");
    succeeds(&with_file(&job, ["restart"], &["--detach"]));
    let mut back = [0];
    (&stream).read_exact(&mut back).expect("what was sent meanwhile is there");
    talk(&stream, b"here again");
}

#[rstest]
#[case::front(Victim::Front)]
#[case::worker(Victim::Worker)]
#[case::both(Victim::Both)]
fn a_killed_checkpoint_leaves_no_lock(#[case] victim: Victim) {
    if !locks() {
        return;
    }
    let Some((job, stream)) = connected(ECHO) else { return };
    talk(&stream, b"hello");
    let file = job.path("context");
    let calm = Instant::now();
    succeeds(&job.checkpoint("context", &["--tcp-established"]));
    let whole = calm.elapsed();
    const MOMENTS: u32 = 40;
    for moment in 0..MOMENTS {
        // It may be complete from the time of the last one.
        let _ = std::fs::remove_file(&file);
        let front = std::process::Command::new(CAIRN)
            .args(["checkpoint", &job.pid(), "--tcp-established", "--kill", "-o"])
            .arg(&file)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("cairn starts");
        std::thread::sleep(whole * moment / MOMENTS);
        victim.kill(front);
        let text = format!("after {moment}");
        (&stream).write_all(text.as_bytes()).expect("sent");
        if !answers_before_it_ends(&job, &stream) {
            succeeds(&with_file(&job, ["restart"], &["--detach"]));
        }
        let mut back = vec![0; text.len()];
        let read = (&stream).read_exact(&mut back);
        let error = std::fs::read_to_string(job.path("error")).unwrap_or_default();
        read.unwrap_or_else(|err| panic!("{text}: {err}; the job: {error:?}"));
        assert_eq!(back, text.as_bytes());
    }
}

/// Whether a job that was killed or not sends something.
fn answers_before_it_ends(job: &Job, stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let Ok(ends) = pidfd_open(Pid::from_raw(job.pid).expect("positive"), PidfdFlags::empty()) else {
        return false;
    };
    let mut either = [PollFd::new(&ends, PollFlags::IN), PollFd::new(stream, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).expect("some seconds");
    assert!(poll(&mut either, Some(&patience)).expect("polled") > 0, "no answer, and no end");
    !either[1].revents().is_empty()
}
