//! A checkpoint in which the processes take part: those with libcr are asked, their callbacks run,
//! and when all wait, `cairn checkpoint` saves the job. Then they are told how it went.

use super::peer::{Peer, Said, has_ended, has_libcr, tracer};
use super::wire::{self, Kind, Message, VERSION};
use cairn::error::Error;
use cairn::tree::Scope;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Error codes of the interface that are no errno (`libcr.h`).
pub mod code {
    pub const ETEMPFAIL: i32 = 2354;
    pub const EPERMFAIL: i32 = 2355;
    pub const EOMITTED: i32 = 2358;
    pub const EPTRACED: i32 = 2360;
}

/// `CR_CHECKPOINT_*`
const PERMANENT: i32 = 2;
const OMIT: i32 = 4;
/// `CR_CHKPT_PROHIBIT_SELF`, `CR_CHKPT_PTRACED_ALLOW`
const PROHIBIT_SELF: u32 = 1;
const ALLOW_TRACED: u32 = 2;

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    pub scope: Scope,
    /// Sent to the processes afterwards; 0 for none.
    pub signal: i32,
    /// How long the processes may take; without a limit if it is zero.
    pub limit: Duration,
    /// `CR_CHKPT_*`
    pub flags: u32,
    /// Whoever asks.
    pub requester: i32,
    /// Where the checkpoint goes.
    pub destination: OwnedFd,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// An error code; 0 for success.
    pub code: i32,
    /// What there is to be said.
    pub log: String,
    /// Whether the error code is that of a callback.
    pub is_cancelled: bool,
}

/// Why there is no checkpoint.
struct Failure {
    /// An error code.
    code: i32,
    log: String,
    /// Whether a callback has cancelled it.
    is_cancelled: bool,
    /// Whether that wants the processes to be killed.
    kills: bool,
}

impl Failure {
    fn new(code: i32, log: String) -> Failure {
        Failure { code, log, is_cancelled: false, kills: false }
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> Failure {
    move |err| Failure::new(err.raw_os_error().unwrap_or(libc::EIO), format!("{what}: {err}\n"))
}

/// Carries it out.
pub fn coordinate(request: &Request) -> Outcome {
    let mut peers = Vec::new();
    let done = gather(request, &mut peers).and_then(|()| save(request, &peers));
    let Failure { code, log, is_cancelled, kills } = match done {
        Ok(log) => Failure::new(0, log),
        Err(failure) => failure,
    };
    let signal = match (code, kills) {
        (0, _) => request.signal,
        (_, true) => libc::SIGKILL,
        (_, false) => 0,
    };
    for peer in &peers {
        let code = if peer.is_omitted { code::EOMITTED } else { code };
        peer.send(&Message::new(Kind::Result, -code));
    }
    let processes = request.scope.pids().unwrap_or_default();
    // The engine stops and kills by itself what it has saved.
    if signal != 0 && (code != 0 || ![libc::SIGKILL, libc::SIGSTOP].contains(&signal)) {
        // Whoever has ended gets none.
        processes.into_iter().for_each(|pid| drop(cairn::sys::guard::kill(pid, signal)));
    }
    Outcome { code, log, is_cancelled }
}

fn listen() -> io::Result<OwnedFd> {
    let (name, len) = wire::address(std::process::id() as i32);
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    net::bind(&socket, &SocketAddrUnix::new_abstract_name(&name[..len])?)?;
    net::listen(&socket, 128)?;
    Ok(socket)
}

/// The path of the destination, if it has one.
fn path_of(fd: BorrowedFd<'_>) -> Vec<u8> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
    if path.is_absolute() { path.as_os_str().as_bytes().to_vec() } else { Vec::new() }
}

/// Waits until all processes with libcr are ready, also those that are made meanwhile.
fn gather(request: &Request, peers: &mut Vec<Peer>) -> Result<(), Failure> {
    /// How long a process that is busy with another request is left alone.
    const AGAIN: Duration = Duration::from_millis(100);
    let listener = listen().map_err(failed("listen for the processes"))?;
    let destination = path_of(request.destination.as_fd());
    let begin = Instant::now();
    loop {
        if find(request, peers)? == 0 && peers.iter().all(|peer| peer.is_ready || peer.is_omitted) {
            return Ok(());
        }
        if !request.limit.is_zero() && begin.elapsed() > request.limit {
            let late: Vec<String> =
                peers.iter().filter(|peer| !peer.is_ready).map(|peer| peer.pid.to_string()).collect();
            return Err(Failure::new(
                libc::ETIME,
                format!("process {}: its callbacks take too long\n", late.join(", ")),
            ));
        }
        // What has ended is gone, and what was replaced by another program is asked nothing.
        peers.retain(|peer| peer.connection.is_some() || peer.is_omitted || has_libcr(peer.pid));
        for peer in peers.iter().filter(|peer| peer.connection.is_none()) {
            peer.ask().map_err(failed("ask the processes"))?;
        }
        let is_open = |peer: &&mut Peer| peer.connection.is_some();
        let mut heard: Vec<&mut Peer> = peers.iter_mut().filter(is_open).collect();
        let connections = heard.iter().filter_map(|peer| peer.connection.as_ref());
        let mut fds: Vec<PollFd<'_>> =
            std::iter::once(&listener).chain(connections).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let patience = Timespec::try_from(AGAIN).ok();
        if let Err(err) = poll(&mut fds, patience.as_ref()) {
            if err != rustix::io::Errno::INTR {
                return Err(failed("wait for the processes")(err.into()));
            }
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for peer in heard.iter_mut().zip(&ready[1..]).filter(|(_, ready)| **ready).map(|(peer, _)| peer) {
            answer(peer)?;
        }
        if ready[0] {
            accept(request, &listener, &destination, peers);
        }
    }
}

/// Adds processes that are new; how many.
fn find(request: &Request, peers: &mut Vec<Peer>) -> Result<usize, Failure> {
    let pids = request.scope.pids().map_err(|err| match err {
        Error::Vanished(_) => Failure::new(libc::ESRCH, format!("{err}\n")),
        _ => Failure::new(libc::EIO, format!("{err}\n")),
    })?;
    let pids: Vec<i32> = pids.into_iter().filter(|pid| !has_ended(*pid)).collect();
    if pids.is_empty() {
        return Err(Failure::new(
            libc::ESRCH,
            format!("{} {}: no such process\n", request.scope.word(), request.scope.id()),
        ));
    }
    if request.flags & PROHIBIT_SELF != 0 && pids.contains(&request.requester) {
        let why = "would save itself, which CR_CHKPT_PROHIBIT_SELF rules out";
        return Err(Failure::new(libc::EDEADLK, format!("process {} {why}\n", request.requester)));
    }
    let mut traced = pids.iter().filter(|_| request.flags & ALLOW_TRACED == 0);
    if let Some((pid, tracer)) = traced.find_map(|pid| Some((pid, tracer(*pid)?))) {
        return Err(Failure::new(code::EPTRACED, format!("process {pid} is traced by {tracer}\n")));
    }
    let is_new = |pid: &i32| peers.iter().all(|peer| peer.pid != *pid) && has_libcr(*pid);
    let new: Vec<Peer> = pids.into_iter().filter(is_new).map(Peer::new).collect();
    let count = new.len();
    peers.extend(new);
    Ok(count)
}

fn accept(request: &Request, listener: &OwnedFd, destination: &[u8], peers: &mut [Peer]) {
    let Ok(connection) = net::accept_with(listener, SocketFlags::CLOEXEC) else { return };
    let Ok(who) = net::sockopt::socket_peercred(&connection) else { return };
    let pid = who.pid.as_raw_nonzero().get();
    if let Some(peer) = peers.iter_mut().find(|peer| peer.pid == pid && peer.connection.is_none()) {
        peer.connection = Some(connection);
        // `cr_scope_t`
        let scope = match request.scope {
            Scope::Process(_) => 0,
            Scope::Group(_) => 1,
            Scope::Session(_) => 2,
            Scope::Tree(_) => 3,
        };
        let rest = [request.requester, request.scope.id(), scope, VERSION];
        peer.send(&Message { kind: Kind::Request, value: request.signal, rest, text: destination });
    }
}

/// Reacts to what a process has said.
fn answer(peer: &mut Peer) -> Result<(), Failure> {
    match peer.hear() {
        Said::Hello { fds } => {
            let name = |fd: i32| std::fs::read_link(format!("/proc/{}/fd/{fd}", peer.pid)).ok();
            let names = fds.into_iter().filter_map(name);
            peer.names = names.filter_map(|name| name.to_str().map(str::to_owned)).collect();
        }
        Said::Ready => peer.is_ready = true,
        Said::Cancelled { flags } if flags & OMIT != 0 => {
            peer.is_omitted = true;
            let why = "wants to be left out of the checkpoint, which is not possible";
            return Err(Failure::new(libc::ENOSYS, format!("process {} {why}\n", peer.pid)));
        }
        Said::Cancelled { flags } => {
            let code = match (flags >> 16 & 0xffff, flags & PERMANENT) {
                (0, 0) => code::ETEMPFAIL,
                (0, _) => code::EPERMFAIL,
                (code, _) => code,
            };
            let log = format!("process {}: a callback has cancelled the checkpoint\n", peer.pid);
            return Err(Failure { code, log, is_cancelled: true, kills: flags & PERMANENT != 0 });
        }
        Said::Forward => peer.send(&Message::new(Kind::Result, -libc::ENOSYS)),
        // It is looked for again.
        Said::Gone | Said::Done => {
            peer.connection = None;
            peer.is_ready = false;
            peer.names.clear();
        }
    }
    Ok(())
}

/// Where the checkpoint of a job is written that has its destination open itself, if that is a
/// file: it is to be saved as it is now.
fn aside(destination: &OwnedFd, is_open: bool) -> io::Result<Option<OwnedFd>> {
    let file = File::from(destination.try_clone()?);
    if !is_open || !file.metadata()?.is_file() {
        return Ok(None);
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(path_of(destination.as_fd())));
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    Ok(Some(rustix::fs::open(dir, flags, mode)?))
}

/// Saves the job; what the engine had to say.
fn save(request: &Request, peers: &[Peer]) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(failed("find the program"))?;
    let mut command = Command::new(program);
    let scope = match request.scope {
        Scope::Process(_) => "--pid",
        Scope::Group(_) => "--pgid",
        Scope::Session(_) => "--sid",
        Scope::Tree(_) => "--tree",
    };
    command.args(["checkpoint", &request.scope.id().to_string(), scope, "--output", "-", "--sync", "none"]);
    for name in peers.iter().flat_map(|peer| &peer.names) {
        command.args(["--external", name]);
    }
    if request.flags & ALLOW_TRACED != 0 {
        command.arg("--traced");
    }
    match request.signal {
        libc::SIGKILL => drop(command.arg("--kill")),
        libc::SIGSTOP => drop(command.arg("--stop")),
        _ => {}
    }
    // Who has ended meanwhile is not to be asked by anybody.
    let _turns: Vec<File> = peers.iter().filter_map(|peer| peer.hold().ok()).collect();
    let to = request.destination.try_clone().map_err(failed("duplicate the destination"))?;
    let apart = aside(&to, peers.iter().any(|peer| peer.pid == request.requester))
        .map_err(failed("make a temporary file"))?;
    let output = apart.as_ref().unwrap_or(&to).try_clone().map_err(failed("duplicate the destination"))?;
    let ran = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).output();
    let ran = ran.map_err(failed("run cairn"))?;
    let log = String::from_utf8_lossy(&ran.stderr).into_owned();
    let code = match ran.status.code() {
        Some(0) => {
            if let Some(mut apart) = apart.map(File::from) {
                let copied = apart.rewind().and_then(|()| io::copy(&mut apart, &mut File::from(to)));
                copied.map_err(failed("write the checkpoint"))?;
            }
            return Ok(log);
        }
        _ if log.contains("No space left on device") => libc::ENOSPC,
        Some(3) => libc::EOPNOTSUPP,
        Some(5) => libc::EPERM,
        Some(6) => libc::ESRCH,
        Some(7) => libc::EBUSY,
        _ => libc::EIO,
    };
    Err(Failure::new(code, log))
}
