//! The process of a restart that stays with the job, where that is not the one that the user has
//! called: it tells that one, the front end, what the job does.
//!
//! Until the front end knows that the job runs, its end is the end of the other. From then on it
//! can be killed by itself, and the job goes on, as that of a plain restart does.

use anyhow::Context;
use cairn::resource::tty::Settings;
use cairn::restart::Report;
use cairn::sys::wait::{self, Stop};
use cairn::sys::{self, guard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, UCred, recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// What a partner tells its front end.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The file is verified, and the restart begins. Whether the job is to have the caller's
    /// terminal, and its settings.
    Prepared { terminal: bool, settings: Option<Settings> },
    /// A process without a parent in the job; the root is the first. Its PID is in the credentials,
    /// where the kernel translates it (unix(7), SCM_CREDENTIALS).
    Top,
    /// The init of the job's own PID namespace, as well.
    Init,
    /// The job runs.
    Released { tasks: usize, total_ns: u64 },
    /// The root has stopped by this signal.
    Stopped(i32),
    /// The job has ended; how the root has.
    Ended { code: u8, killed_by: Option<i32> },
    /// The partner goes on by itself, and holds nothing of the caller's.
    Alone,
}

/// Enough for any message.
const ROOM: usize = 4096;
const CREDENTIALS: usize = rustix::cmsg_space!(ScmCredentials(1));

/// The process in which [`split`] returns.
pub enum Side {
    /// The front end.
    Front(Front),
    /// The partner.
    Partner(Partner),
}

/// Forks a partner of this name. The caller must be single-threaded.
///
/// # Errors
/// As fork(2).
pub fn split(name: &'static str) -> anyhow::Result<Side> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("make a socket pair")?;
    set_socket_passcred(&ours, true).context("receive credentials")?;
    if let Some(pid) = guard::fork_bound().with_context(|| format!("start {name}"))? {
        return Ok(Side::Front(Front { pid, name, socket: ours }));
    }
    drop(ours);
    // Had the front end ended before it bound us, nothing would end us.
    let mut state = [PollFd::new(&theirs, PollFlags::empty())];
    poll(&mut state, Some(&rustix::time::Timespec::default())).context("look for the front end")?;
    if state[0].revents().contains(PollFlags::HUP) {
        std::process::exit(1);
    }
    Ok(Side::Partner(Partner { socket: theirs }))
}

/// The front end.
pub struct Front {
    /// PID of the partner.
    pub pid: i32,
    /// In messages.
    name: &'static str,
    socket: OwnedFd,
}

impl Front {
    /// The next message, with the PID in its credentials; `None` when the partner has ended.
    ///
    /// # Errors
    /// As recvmsg(2).
    pub fn hear(&self) -> anyhow::Result<Option<(Message, i32)>> {
        let what = || format!("hear from {}", self.name);
        let mut buf = vec![0; ROOM];
        let mut room = [MaybeUninit::uninit(); CREDENTIALS];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut room);
            let mut parts = [IoSliceMut::new(&mut buf)];
            let got = match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => continue,
                Ok(got) if got.bytes == 0 => return Ok(None),
                // It has ended without a look at what we told it (`unix_release_sock`).
                Err(Errno::CONNRESET) => return Ok(None),
                other => other.with_context(what)?,
            };
            let pid = control.drain().find_map(|part| match part {
                RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid),
                _ => None,
            });
            let pid = pid.map_or(0, |pid| pid.as_raw_nonzero().get());
            return Ok(Some((serde_json::from_slice(&buf[..got.bytes]).with_context(what)?, pid)));
        }
    }

    /// Tells the partner that we know of the job.
    ///
    /// # Errors
    /// EPIPE when it has ended.
    fn know(&self) -> io::Result<()> {
        rustix::net::send(&self.socket, b".", SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for the end of the partner; its exit code, which is 128 plus the signal if one has
    /// killed it. It has reported its errors itself.
    ///
    /// # Errors
    /// As waitpid(2).
    pub fn end(&self) -> anyhow::Result<u8> {
        match wait::wait(self.pid).with_context(|| format!("wait for {}", self.name))? {
            Stop::Exited(code) => Ok(code as u8),
            Stop::Killed(signal) => {
                eprintln!("cairn: {} was killed by signal {signal}", self.name);
                Ok((128 + signal) as u8)
            }
            stop => anyhow::bail!("{}: unexpected {stop:?}", self.name),
        }
    }

    /// What the partner tells of a job that runs, and is told to be known; `None` when it has
    /// ended. `begins` is called for a job that begins.
    ///
    /// # Errors
    /// As [`Front::hear`].
    pub fn released(&self, mut begins: impl FnMut(bool, Option<Settings>)) -> anyhow::Result<Option<Report>> {
        let (mut tops, mut init) = (Vec::new(), None);
        loop {
            match self.hear()? {
                None => return Ok(None),
                Some((Message::Prepared { terminal, settings }, _)) => begins(terminal, settings),
                Some((Message::Top, pid)) => tops.push(pid),
                Some((Message::Init, pid)) => init = Some(pid),
                Some((Message::Released { tasks, total_ns }, _)) => {
                    let pid = *tops.first().context("a job without a root")?;
                    // A partner that has been killed is noticed when it is heard next.
                    let _ = self.know();
                    return Ok(Some(Report { pid, tops, tasks, total_ns, init }));
                }
                Some((other, _)) => anyhow::bail!("unexpected: {other:?}"),
            }
        }
    }

    /// Waits until the partner goes on by itself; its exit code if it does not.
    ///
    /// # Errors
    /// As [`Front::hear`].
    pub fn left(&self) -> anyhow::Result<Option<u8>> {
        match self.hear()? {
            Some((Message::Alone, _)) => Ok(None),
            Some((other, _)) => anyhow::bail!("unexpected: {other:?}"),
            None => self.end().map(Some),
        }
    }
}

/// The partner.
pub struct Partner {
    socket: OwnedFd,
}

impl Partner {
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
    /// As [`Partner::tell`].
    pub fn say(&self, message: &Message) -> anyhow::Result<()> {
        self.tell(message, std::process::id() as i32)
    }

    /// Tells of a job that runs, and waits until the front end knows.
    ///
    /// # Errors
    /// As [`Partner::tell`].
    pub fn release(&self, report: &Report) -> anyhow::Result<()> {
        let others = report.tops.iter().filter(|pid| **pid != report.pid);
        for pid in std::iter::once(&report.pid).chain(others) {
            self.tell(&Message::Top, *pid)?;
        }
        if let Some(init) = report.init {
            self.tell(&Message::Init, init)?;
        }
        self.say(&Message::Released { tasks: report.tasks, total_ns: report.total_ns })?;
        self.await_knowledge()?;
        // Not before: a front end that is killed has never told of the job.
        sys::prctl(libc::PR_SET_PDEATHSIG, [0; 4]).context("do without the front end").map(drop)
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

    /// Lets go of what is the caller's, and tells the front end that we go on by ourselves.
    ///
    /// # Errors
    /// As [`let_go`].
    pub fn go_on(self) -> anyhow::Result<()> {
        let_go()?;
        // A front end that has been killed does not listen.
        let _ = self.say(&Message::Alone);
        Ok(())
    }
}

/// Lets go of the caller's working directory, standard input, output and error: who reads the
/// output waits for its end.
///
/// # Errors
/// As open(2) and dup2(2).
pub fn let_go() -> anyhow::Result<()> {
    rustix::process::chdir("/").context("leave the working directory")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("close standard input")?;
    rustix::stdio::dup2_stdout(&null).context("close standard output")?;
    rustix::stdio::dup2_stderr(&null).context("close standard error")?;
    Ok(())
}
