//! A process of the job that has libcr, and the connection to it.

use super::wire::{Kind, LONGEST, Message};
use cairn::error::Context;
use cairn::tree::Scope;
use cairn::tree::freeze::{Frozen, Waiting};
use cairn::tree::scope::threads;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The signal that libcr handles.
const SIGNAL: i32 = 64;

/// One process.
#[derive(Debug)]
pub struct Peer {
    pub pid: i32,
    pub connection: Option<OwnedFd>,
    /// Its connections to coordinators, as `/proc/PID/fd` has them.
    pub names: Vec<String>,
    /// All its callbacks have reached cr_checkpoint().
    pub is_ready: bool,
    /// It wants to be left out.
    pub is_omitted: bool,
}

/// What a process has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Hello {
        fds: Vec<i32>,
    },
    Ready,
    Cancelled {
        flags: i32,
    },
    Forward,
    Done,
    /// The connection has ended.
    Gone,
}

impl Peer {
    pub fn new(pid: i32) -> Peer {
        Peer { pid, connection: None, names: Vec::new(), is_ready: false, is_omitted: false }
    }

    /// Asks it to take part; it connects. Where it cannot be asked now (another checkpoint holds
    /// it, it has ended), that is seen the next time. A child does it, whose end lets go of what it
    /// holds.
    ///
    /// # Errors
    /// As fork(2).
    pub fn ask(&self) -> io::Result<()> {
        let own = std::process::id() as i32;
        cairn::sys::guard::in_child(|| u8::from(self.signal(own).is_err())).map(drop)
    }

    /// Sends the signal while the process is stopped, and where a thread takes it as soon as it
    /// runs: another program in its place would be killed by it.
    fn signal(&self, sender: i32) -> cairn::error::Result<()> {
        let _turn = turn(self.pid, FlockOperation::NonBlockingLockExclusive)
            .context(|| format!("pid {} is held by another checkpoint", self.pid))?;
        let waiting = Waiting { patience: Duration::from_secs(1), cancelled: &|| false };
        let frozen = Frozen::freeze(Scope::Process(self.pid), None, &waiting)?;
        let threads = threads(self.pid)?;
        let takes = |tid: &i32| !has_signal(&format!("{}/task/{tid}", self.pid), "SigBlk");
        let process = self.pid.to_string();
        // One that waits already is enough.
        let waits = has_signal(&process, "ShdPnd");
        if has_signal(&process, "SigCgt") && !waits && threads.iter().any(takes) {
            cairn::sys::signals::queue(self.pid, SIGNAL, sender)
                .context(|| format!("signal {}", self.pid))?;
        }
        frozen.thaw()
    }

    /// Waits until no other checkpoint stops it; none does as long as the result is there.
    ///
    /// # Errors
    /// It has ended.
    pub fn hold(&self) -> io::Result<File> {
        turn(self.pid, FlockOperation::LockExclusive)
    }

    pub fn send(&self, message: &Message<'_>) {
        let mut room = [0; LONGEST];
        let len = message.encode(&mut room);
        if let Some(connection) = &self.connection {
            // Whoever has ended needs no answer.
            let _ = rustix::net::send(connection, &room[..len], rustix::net::SendFlags::NOSIGNAL);
        }
    }

    /// What it has said, now that there is something.
    pub fn hear(&self) -> Said {
        let Some(connection) = &self.connection else { return Said::Gone };
        let mut room = [0; LONGEST];
        let received = rustix::net::recv(connection.as_fd(), &mut room[..], rustix::net::RecvFlags::DONTWAIT);
        let message = received.ok().and_then(|(len, _)| Message::decode(&room[..len]));
        match message {
            Some(Message { kind: Kind::Hello, text, .. }) => {
                let fds = text.chunks_exact(4).filter_map(|four| four.try_into().ok());
                Said::Hello { fds: fds.map(i32::from_ne_bytes).collect() }
            }
            Some(Message { kind: Kind::Ready, .. }) => Said::Ready,
            Some(Message { kind: Kind::Abort, value, .. }) => Said::Cancelled { flags: value },
            Some(Message { kind: Kind::Forward, .. }) => Said::Forward,
            Some(Message { kind: Kind::Done, .. }) => Said::Done,
            _ => Said::Gone,
        }
    }
}

/// Takes the lock of a process, on a file of it that only those can open who may stop it.
fn turn(pid: i32, how: FlockOperation) -> io::Result<File> {
    let file = File::open(format!("/proc/{pid}/environ"))?;
    rustix::fs::flock(&file, how)?;
    Ok(file)
}

/// Whether a process has libcr: it handles the signal, and has the library mapped.
pub fn has_libcr(pid: i32) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let is_library = |line: &str| {
        line.rsplit('/').next().is_some_and(|name| name.starts_with("libcr.so") || name.starts_with("libcr_"))
    };
    has_signal(&pid.to_string(), "SigCgt") && maps.lines().any(is_library)
}

/// Whether a process has ended.
pub fn has_ended(pid: i32) -> bool {
    status(&pid.to_string(), "State").is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// A field in the status of a process or thread, by its directory in /proc.
fn status(of: &str, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{of}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// Whether the signal is in one of the sets of a process or thread.
fn has_signal(of: &str, set: &str) -> bool {
    let mask = status(of, set).and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SIGNAL - 1) != 0)
}

/// The thread that traces a process, unless that is another checkpoint, which is over soon.
pub fn tracer(pid: i32) -> Option<i32> {
    let tracer: i32 = status(&pid.to_string(), "TracerPid")?.parse().ok()?;
    let program = |of: &str| std::fs::read_link(format!("/proc/{of}/exe")).ok();
    (tracer != 0 && program(&tracer.to_string()) != program("self")).then_some(tracer)
}
