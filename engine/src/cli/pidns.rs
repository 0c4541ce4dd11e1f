//! `cairn restart --new-pidns`: the restart is done by the init of a new PID namespace, which the
//! kernel ends with everything in it when its init ends. The front end stays outside, with the
//! terminal and the signals of the caller.
//!
//! Until the front end knows that the job runs, its end is the end of the init. From then on each
//! of the two can be killed by itself: the job goes on without the front end, as that of a plain
//! restart does, and never without the init.

use anyhow::Context;
use cairn::error::Error;
use cairn::resource::tty::Settings;
use cairn::restart::Report;
use cairn::sys;
use cairn::sys::wait::{self, Stop};
use cairn::sys::{guard, session};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, UCred, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// What the init tells the front end.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The file is verified, and the restart begins. Whether the job is to have the caller's
    /// terminal, and its settings.
    Prepared { terminal: bool, settings: Option<Settings> },
    /// A process without a parent in the job; the root is the first. Its PID is in the credentials,
    /// where the kernel translates it (unix(7), SCM_CREDENTIALS).
    Top,
    /// The job runs.
    Released { tasks: usize, total_ns: u64 },
    /// The root has stopped by this signal.
    Stopped(i32),
    /// The job has ended; how the root has.
    Ended { code: u8, killed_by: Option<i32> },
    /// The init goes on by itself, and holds nothing of the caller's.
    Alone,
}

/// Enough for any message.
const ROOM: usize = 4096;
const LOOK: &str = "look for others in the new PID namespace";
const CREDENTIALS: usize = rustix::cmsg_space!(ScmCredentials(1));

/// The process in which [`enter`] returns.
pub enum Side {
    /// The front end, outside.
    Front(Front),
    /// The init.
    Init(Init),
}

/// Makes the namespace and its init, which has mounted its own /proc. The caller must be
/// single-threaded.
///
/// # Errors
/// *denied* without CAP_SYS_ADMIN, *unsupported* without `CONFIG_PID_NS`.
pub fn enter() -> anyhow::Result<Side> {
    const MAKE: &str = "make a new PID namespace";
    let own = std::fs::File::open("/proc/self/ns/pid").context("open own PID namespace")?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("make a socket pair")?;
    set_socket_passcred(&ours, true).context("receive credentials")?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|err| match err {
        nix::Error::EPERM => Error::Denied {
            what: format!("{MAKE}: run the command with `sudo` (it needs CAP_SYS_ADMIN)"),
            source: err.into(),
        },
        nix::Error::EINVAL => Error::unsupported(format!("{MAKE}: the kernel has none (CONFIG_PID_NS)")),
        _ => Error::Failed { what: MAKE.into(), source: err.into() },
    })?;
    if let Some(init) = guard::fork_bound().context("start the init of the new PID namespace")? {
        // Without this, we could not start threads (kernel/fork.c, `copy_process`).
        setns(&own, CloneFlags::CLONE_NEWPID).context("return to own PID namespace")?;
        return Ok(Side::Front(Front { init, socket: ours }));
    }
    drop(ours);
    // Had the front end ended before it bound us, nothing would end us.
    let mut state = [PollFd::new(&theirs, PollFlags::empty())];
    poll(&mut state, Some(&rustix::time::Timespec::default())).context("look for the front end")?;
    if state[0].revents().contains(PollFlags::HUP) {
        std::process::exit(1);
    }
    mount_proc()?;
    Ok(Side::Init(Init { socket: theirs }))
}

/// Only /proc differs from the caller's mount namespace; all others go on to be shared where they
/// are.
fn mount_proc() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("make a new mount namespace")?;
    mount_change("/proc", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("keep changes of /proc to ourselves")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).context("mount a /proc of the new PID namespace")
}

/// The front end.
pub struct Front {
    /// PID of the init.
    pub init: i32,
    socket: OwnedFd,
}

impl Front {
    /// The next message, with the PID in its credentials; `None` when the init has ended.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn hear(&self) -> anyhow::Result<Option<(Message, i32)>> {
        const WHAT: &str = "hear from the init of the new PID namespace";
        let mut buf = vec![0; ROOM];
        let mut room = [MaybeUninit::uninit(); CREDENTIALS];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut room);
            let mut parts = [IoSliceMut::new(&mut buf)];
            let got = match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => continue,
                Ok(got) if got.bytes == 0 => return Ok(None),
                other => other.context(WHAT)?,
            };
            let pid = control.drain().find_map(|part| match part {
                RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid),
                _ => None,
            });
            let pid = pid.map_or(0, |pid| pid.as_raw_nonzero().get());
            return Ok(Some((serde_json::from_slice(&buf[..got.bytes]).context(WHAT)?, pid)));
        }
    }

    /// Tells the init that we know of the job.
    ///
    /// # Errors
    /// EPIPE when it has ended.
    pub fn know(&self) -> io::Result<()> {
        rustix::net::send(&self.socket, b".", SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for the end of the init; its exit code, which is 128 plus the signal if one has killed
    /// it. It has reported its errors itself.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn end(&self) -> anyhow::Result<u8> {
        match wait::wait(self.init).context("wait for the init of the new PID namespace")? {
            Stop::Exited(code) => Ok(code as u8),
            Stop::Killed(signal) => {
                eprintln!("cairn: the init of the new PID namespace was killed by signal {signal}");
                Ok((128 + signal) as u8)
            }
            stop => anyhow::bail!("the init of the new PID namespace: unexpected {stop:?}"),
        }
    }
}

/// The init.
pub struct Init {
    socket: OwnedFd,
}

impl Init {
    /// Tells the front end, with a PID in the credentials.
    ///
    /// # Errors
    /// As sendmsg(2): EPIPE without a front end.
    pub fn tell(&self, message: &Message, pid: i32) -> anyhow::Result<()> {
        let what = || format!("tell {message:?}");
        let text = serde_json::to_vec(message).with_context(what)?;
        let mut room = [MaybeUninit::uninit(); CREDENTIALS];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let credentials = UCred {
            pid: Pid::from_raw(pid).with_context(what)?,
            uid: rustix::process::getuid(),
            gid: rustix::process::getgid(),
        };
        control.push(SendAncillaryMessage::ScmCredentials(credentials));
        sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
            .with_context(what)?;
        Ok(())
    }

    /// The same, about nobody.
    ///
    /// # Errors
    /// As [`Init::tell`].
    pub fn say(&self, message: &Message) -> anyhow::Result<()> {
        self.tell(message, std::process::id() as i32)
    }

    /// The job runs: stays until nothing is left in the namespace, and reaps orphans. Returns the
    /// exit code of the root, or 0 if `detach`. Tells of stops of the root if `stops`.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn attend(self, report: &Report, detach: bool, stops: bool) -> anyhow::Result<u8> {
        let others = report.tops.iter().filter(|pid| **pid != report.pid);
        for pid in std::iter::once(&report.pid).chain(others) {
            self.tell(&Message::Top, *pid)?;
        }
        self.say(&Message::Released { tasks: report.tasks, total_ns: report.total_ns })?;
        self.await_knowledge()?;
        // Not before: a front end that is killed has never told of the job.
        sys::prctl(libc::PR_SET_PDEATHSIG, [0; 4]).context("do without the front end")?;
        let mut code = 0;
        if !detach {
            let killed_by;
            (code, killed_by) = self.await_job(report, stops)?;
            // A front end that has been killed does not listen.
            let _ = self.say(&Message::Ended { code, killed_by });
        }
        if detach || !guests().context(LOOK)?.is_empty() {
            self.go_on()?;
        }
        Ok(code)
    }

    fn await_knowledge(&self) -> anyhow::Result<()> {
        let mut byte = [0; 1];
        loop {
            match rustix::net::recv(&self.socket, &mut byte[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((1, _)) => return Ok(()),
                // Its end has killed us, or is about to.
                other => anyhow::bail!("the front end has ended: {other:?}"),
            }
        }
    }

    /// Waits until all processes without a parent in the job have exited; exit code of the root,
    /// and the signal that killed it.
    fn await_job(&self, report: &Report, stops: bool) -> anyhow::Result<(u8, Option<i32>)> {
        let mut left: HashSet<i32> = report.tops.iter().copied().collect();
        let mut of_root = (0, None);
        while !left.is_empty() {
            let (pid, stop) = wait::wait_any(stops).context("wait for the job")?;
            let ended = match stop {
                Stop::Exited(status) => (status as u8, None),
                Stop::Killed(signal) => ((128 + signal) as u8, Some(signal)),
                Stop::Signal(signal) if pid == report.pid => {
                    // As above.
                    let _ = self.say(&Message::Stopped(signal));
                    continue;
                }
                _ => continue,
            };
            left.remove(&pid);
            if pid == report.pid {
                of_root = ended;
            }
        }
        Ok(of_root)
    }

    /// Stays, without anything of the caller's, until nothing is left in the namespace.
    fn go_on(self) -> anyhow::Result<()> {
        // Without a session of our own, we would keep that of the caller in use.
        session::begin().context("begin a session")?;
        rustix::process::chdir("/").context("leave the working directory")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .context("open /dev/null")?;
        rustix::stdio::dup2_stdin(&null).context("close standard input")?;
        rustix::stdio::dup2_stdout(&null).context("close standard output")?;
        rustix::stdio::dup2_stderr(&null).context("close standard error")?;
        drop(null);
        let _ = self.say(&Message::Alone);
        drop(self);
        loop {
            reap_all().context("wait for the rest of the job")?;
            // Our end is that of everybody here: also of who has come by nsenter(1), such as a
            // checkpoint that has just ended the job.
            let guests = guests().context(LOOK)?;
            if guests.is_empty() {
                return Ok(());
            }
            for guest in guests {
                let mut end = [PollFd::new(&guest, PollFlags::IN)];
                while poll(&mut end, None) == Err(Errno::INTR) {}
            }
        }
    }
}

/// Waits until we have no children.
fn reap_all() -> io::Result<()> {
    loop {
        match wait::wait_any(false) {
            Ok(_) => {}
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
            Err(err) => return Err(err),
        }
    }
}

/// All processes here but us that live.
fn guests() -> io::Result<Vec<OwnedFd>> {
    let own = std::process::id() as i32;
    let mut guests = Vec::new();
    for other in cairn::tree::outside::everybody().filter(|stat| stat.pid != own && stat.state != 'Z') {
        match Pid::from_raw(other.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(fd)) => guests.push(fd),
            None | Some(Err(Errno::SRCH)) => {}
            Some(Err(err)) => return Err(err.into()),
        }
    }
    Ok(guests)
}
