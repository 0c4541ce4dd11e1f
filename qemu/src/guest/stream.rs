//! The QEMU process and the threads that read from it: bytes in, one channel of [`Raw`] events out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Error, io_error};
use crate::kernels::fetch::find_program;
use crate::splat::{Kind, Scanner, Splat};

/// A longer line is truncated, so that a faulty guest cannot exhaust the host's memory.
const MAX_LINE: u64 = 4 << 20;

/// An event of the reader threads.
#[derive(Debug)]
pub(super) enum Raw {
    /// A line from the result port.
    Line(String),
    /// A line from the console.
    Console(String),
    /// A complete splat on the console.
    Splat(Splat),
    /// The first line of a panic; the machine will stop soon.
    PanicBegins,
    /// QEMU has exited, and all its output and the guest's has been delivered.
    Exited {
        /// Its exit status, as text.
        status: String,
        /// The last lines of its standard error.
        said: String,
    },
}

/// A running QEMU. Dropping it kills the process and joins the threads.
pub(super) struct Running {
    events: Receiver<Raw>,
    /// A pidfd, so that a reused PID is never killed.
    handle: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(super) fn start(program: &Path, args: &[String], log: &Path) -> Result<Running, Error> {
        let pair = || UnixStream::pair().map_err(io_error("make a socket pair"));
        let (port, port_far) = pair()?;
        let (console, console_far) = pair()?;
        let log = File::create(log).map_err(io_error(format!("create {}", log.display())))?;
        let mut command = tied_to_us(program);
        command.args(args);
        command.stdin(Stdio::from(OwnedFd::from(port_far))).stdout(Stdio::from(OwnedFd::from(console_far)));
        command.stderr(Stdio::piped());

        let (events, receiver) = channel();
        let (started, start) = channel();
        let program: PathBuf = program.to_owned();
        let thread = std::thread::Builder::new()
            .name("guest".into())
            .spawn(move || run(command, &program, port, console, log, &started, &events))
            .map_err(io_error("start a thread"))?;
        let handle = start.recv().expect("the thread reports the start first")?;
        Ok(Running { events: receiver, handle, thread: Some(thread) })
    }

    /// The next event, or `None` after `patience`.
    pub(super) fn receive(&self, patience: Duration) -> Option<Raw> {
        match self.events.recv_timeout(patience) {
            Ok(raw) => Some(raw),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Raw::Exited { status: "its watcher stopped".into(), said: String::new() })
            }
        }
    }

    /// Sends SIGKILL to QEMU. Its exit arrives as an event.
    pub(super) fn kill(&self) {
        // It may have exited already.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened; it cannot be propagated from
            // here.
            let _ = thread.join();
        }
    }
}

/// A command for a program that is killed when this process dies, even by SIGKILL. The kernel ties
/// that signal to the *thread* that starts the program, so that thread must live as long as the
/// program.
pub(super) fn tied_to_us(program: &Path) -> Command {
    match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Thread of one QEMU process: starts it, reads its streams to the end, reaps it.
fn run(
    mut command: Command,
    program: &Path,
    port: UnixStream,
    console: UnixStream,
    log: File,
    started: &Sender<Result<OwnedFd, Error>>,
    events: &Sender<Raw>,
) {
    let spawned = command.spawn().map_err(io_error(format!("start {}", program.display())));
    // The command owns the far ends; the streams do not end while they are open here.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => {
            let _ = started.send(Err(e));
            return;
        }
    };
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let opened = handle.map_err(|e| io_error("watch QEMU")(e.into()));
    let fine = opened.is_ok();
    // The receiver waits for exactly this message.
    let _ = started.send(opened);
    if !fine {
        let _ = child.kill();
    }
    let mut stderr = child.stderr.take().expect("piped");
    let (status, said) = std::thread::scope(|scope| {
        scope.spawn(|| read_lines(port, |line| drop(events.send(Raw::Line(line)))));
        scope.spawn(|| read_console(console, log, events));
        let said = scope.spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        (child.wait(), said.join().unwrap_or_default())
    });
    let status = match status {
        Ok(status) => status.to_string(),
        Err(e) => format!("unknown: {e}"),
    };
    // There is no receiver if the guest was dropped.
    let _ = events.send(Raw::Exited { status, said });
}

/// Delivers lines until the stream ends. Invalid UTF-8 is replaced.
fn read_lines(stream: impl Read, mut deliver: impl FnMut(String)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                    line.pop();
                }
                deliver(String::from_utf8_lossy(&line).into_owned());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // ECONNRESET means that QEMU was killed.
            Err(_) => return,
        }
    }
}

fn read_console(stream: UnixStream, mut log: File, events: &Sender<Raw>) {
    let mut scanner = Scanner::new();
    read_lines(stream, |line| {
        if let Err(e) = writeln!(log, "{line}") {
            let _ = events.send(Raw::Console(format!("cairn: write the console log: {e}")));
        }
        let inside = scanner.inside();
        let done = scanner.push(&line);
        if scanner.inside() == Some(Kind::Panic) && inside != Some(Kind::Panic) {
            let _ = events.send(Raw::PanicBegins);
        }
        if let Some(splat) = done {
            let _ = events.send(Raw::Splat(splat));
        }
        let _ = events.send(Raw::Console(line));
    });
    if let Some(splat) = scanner.finish() {
        let _ = events.send(Raw::Splat(splat));
    }
}
