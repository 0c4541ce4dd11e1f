//! The target of the benchmarks: a process tree of a given size that then idles.

use crate::events::helpers as events;
use crate::framework::prelude::*;
use crate::ipc::helpers::Segment;
use crate::tcp::helpers as tcp;
use anyhow::ensure;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// How much of everything to build.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Private anonymous memory, filled with incompressible data, in MiB
    #[arg(long, default_value_t = 0)]
    mib: usize,
    /// Threads of the root process, the main thread among them
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Open descriptors on /dev/null in the root process
    #[arg(long, default_value_t = 0)]
    fds: usize,
    /// Files in an epoll instance of the root process
    #[arg(long, default_value_t = 0)]
    watches: usize,
    /// Removed System V shared memory of one page each that the root process has attached
    #[arg(long, default_value_t = 0)]
    segments: usize,
    /// Connected unix sockets of the root process, the ends of pairs
    #[arg(long, default_value_t = 0)]
    sockets: usize,
    /// Ends of TCP connections of the root process
    #[arg(long, default_value_t = 0)]
    connections: usize,
    /// Additional mappings of one page in the root process
    #[arg(long, default_value_t = 0)]
    vmas: usize,
    /// Processes, the root among them
    #[arg(long, default_value_t = 1)]
    procs: usize,
}

/// Builds, prints `ready PID`, waits for a signal.
pub fn run(size: &Size) -> ExitCode {
    match build(size) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("bench-target: {error:#}");
            crate::framework::descendants::kill_all();
            ExitCode::FAILURE
        }
    }
}

fn build(size: &Size) -> anyhow::Result<std::convert::Infallible> {
    ensure!(size.threads >= 1 && size.procs >= 1, "there is at least one thread and one process");
    let up = Shared::new()?;
    // Children first: they must not inherit the memory, and fork is cheap while the process is
    // small.
    for _ in 1..size.procs {
        fork("process", || {
            up.cell(0).bump();
            pause()
        })?;
    }
    up.cell(0).wait("the processes", size.procs as u32 - 1)?;

    let mut memory = Mapping::private((size.mib << 20).max(page_size()))?;
    if size.mib > 0 {
        pattern::fill(memory.bytes_mut(), 1);
    }
    raise_fd_limit((size.fds + size.watches + size.sockets + size.connections) as u64 + 64)?;
    let mut files = Vec::new();
    for _ in 0..size.fds {
        files.push(std::fs::File::open("/dev/null").context("open /dev/null")?);
    }
    let poll = events::epoll()?;
    let mut watched = Vec::new();
    for number in 0..size.watches {
        let file = events::eventfd(0, 0)?;
        events::watch(&poll, &file, libc::EPOLLIN, number as u64)?;
        watched.push(file);
    }
    let mut pairs = Vec::new();
    for _ in 0..size.sockets / 2 {
        pairs.push(UnixStream::pair().context("socketpair")?);
    }
    let mut connections = Vec::new();
    for _ in 0..size.connections / 2 {
        connections.push(tcp::pair()?);
    }
    let mut segments = Vec::new();
    for _ in 0..size.segments {
        // Removed when it goes out of scope; its mapping stays.
        let segment = Segment::private(page_size(), 0o600)?;
        let mut memory = segment.attach(0)?;
        pattern::fill(memory.page_mut(0), 2);
        segments.push(memory);
    }
    // Every second page stays read-only, so that neighbours do not merge.
    let pages = Mapping::private((2 * size.vmas).max(1) * page_size())?;
    for index in 0..size.vmas / 2 {
        pages.protect(2 * index, 1, libc::PROT_READ)?;
    }
    let mut threads = Vec::new();
    for _ in 1..size.threads {
        threads.push(thread::spawn(pause)?);
    }
    println!("ready {}", sys::getpid());
    std::io::stdout().flush().context("stdout")?;
    loop {
        pause()?;
    }
}

/// Waits for signals for ever.
fn pause() -> Outcome {
    loop {
        // SAFETY: pause has no preconditions.
        unsafe { libc::pause() };
    }
}

fn raise_fd_limit(want: u64) -> Outcome {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if want > soft {
        setrlimit(Resource::RLIMIT_NOFILE, want, hard.max(want)).context("raise the limit of open files")?;
    }
    Ok(())
}
