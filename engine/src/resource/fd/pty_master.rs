//! The master of a pseudo-terminal (pty(7)), with the state of both sides.

use super::description::{Descriptions, Descriptor, Pty};
use super::inode::Observed;
use super::job::pty_index;
use super::pty_slave;
use super::{Identity, Kind, Made, Once, Verbs, Way};
use crate::error::{Context, Error, External, Problem, Problems, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::remote::Program;
use crate::resource::bytes::PathBytes;
use crate::resource::tty::Settings;
use crate::resource::tty::line::{InFlight, Pair};
use crate::sys::file::device_numbers;
use crate::sys::{guard, poll, tty};
use crate::tree::Task;
use rustix::event::PollFlags;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A pseudo-terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtyMaster {
    /// The path by which the master was opened: /dev/ptmx.
    pub path: PathBytes,
    /// N of /dev/pts/N.
    pub index: u32,
    /// User and group id of /dev/pts/N.
    pub owner: (u32, u32),
    /// Permission bits of /dev/pts/N.
    pub mode: u32,
    /// Whether it cannot be opened (`TIOCSPTLCK`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Whether only root can open it (`TIOCEXCL`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
    /// Whether the master reads packets (`TIOCPKT`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packet: bool,
    /// Settings and size.
    pub settings: Settings,
    /// What is on its way between both sides.
    pub in_flight: InFlight,
    /// The session whose controlling terminal it is, or 0.
    pub session: i32,
    /// The process group in its foreground, or 0.
    pub foreground: i32,
}

/// The device number of /dev/ptmx: each open(2) makes a new pseudo-terminal.
const DEV_PTMX: (u32, u32) = (5, 2);

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_one = seen.has_path()
        && seen.meta.file_type().is_char_device()
        && device_numbers(seen.meta.rdev()) == DEV_PTMX;
    is_one.then(|| Ok(Kind::PtyMaster(PtyMaster { path: seen.link.clone(), ..PtyMaster::default() })))
}

impl PtyMaster {
    /// A way to the other side: that of the job, or opened for the moment if nobody has it open any
    /// more.
    fn other_side(&self, master: &OwnedFd, at: &Subject, pty: Pty) -> Result<OwnedFd> {
        if let Some(descriptor) = pty.slave {
            return descriptor.duplicate();
        }
        let what = || format!("{at}: open the other side");
        if !pty.is_open && !poll::now(master.as_fd(), PollFlags::IN).context(what)?.contains(PollFlags::HUP) {
            let why = " is a pseudo-terminal whose other side has not been opened yet; open it, or close the master";
            return Err(Error::unsupported_now(Problem::of(at.clone(), why)));
        }
        let locked = self.locked;
        if locked {
            tty::set_locked(master.as_fd(), false).context(what)?;
        }
        let opened = tty::open_peer(master.as_fd(), libc::O_RDWR | libc::O_NONBLOCK);
        if locked {
            tty::set_locked(master.as_fd(), true).context(what)?;
        }
        opened.context(what)
    }

    /// What cannot be restored.
    fn refusal(&self, pair: Pair<'_>) -> io::Result<Option<&'static str>> {
        const N_TTY: i32 = 0;
        if tty::discipline(pair.master)? != N_TTY || tty::discipline(pair.slave)? != N_TTY {
            return Ok(Some(" has another line discipline than N_TTY; set that first"));
        }
        if self.settings.local & libc::EXTPROC != 0 {
            return Ok(Some(" is edited by the program at its master (EXTPROC); clear that first"));
        }
        if tty::has_locked_settings(pair.slave)? {
            return Ok(Some(" has locked settings (TIOCSLCKTRMIOS); unlock them first"));
        }
        Ok(None)
    }

    /// What may be over when it is looked at again.
    fn hindrance(&self, pair: Pair<'_>) -> io::Result<Option<String>> {
        if poll::now(pair.master, PollFlags::PRI)?.contains(PollFlags::PRI) {
            return Ok(Some(
                " has a status that its master has not read yet (TIOCPKT); let the program read it".into(),
            ));
        }
        if pair.is_full()? {
            let name = pty_slave::path_of(self.index);
            return Ok(Some(format!(
                " has more input than can be taken and given back; let the program at {} read it",
                name.display()
            )));
        }
        if pair.may_owe_echoes()? {
            let why = " is full, and what was typed may not be shown yet; let the program at the master read";
            return Ok(Some(why.into()));
        }
        let group = self.foreground;
        if group != 0 && !guard::group_exists(group) {
            return Ok(Some(format!(
                " has process group {group} in its foreground, which has ended; let the shell take the terminal back"
            )));
        }
        Ok(None)
    }

    /// Opens masters until one has the right number: the kernel takes the lowest that is free.
    fn open_numbered(&self) -> Result<OwnedFd> {
        let Self { path, index, .. } = self;
        let in_use = || {
            Error::Conflict(format!(
                "/dev/pts/{index}: another pseudo-terminal has this number; close it, or restart with a file system devpts of its own (unshare --mount)"
            ))
        };
        if std::fs::symlink_metadata(pty_slave::path_of(*index)).is_ok() {
            return Err(in_use());
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut others = Vec::new();
        loop {
            let master = match rustix::fs::open(path.as_path(), flags, Mode::empty()) {
                Err(rustix::io::Errno::NOSPC | rustix::io::Errno::IO) => {
                    return Err(Error::Conflict(format!(
                        "/dev/pts/{index}: there are as many pseudo-terminals as allowed; raise kernel.pty.max by sysctl(8) above {index}"
                    )));
                }
                master => master.context(|| format!("open {path}"))?,
            };
            let got = tty::index(master.as_fd()).context(|| format!("examine {path}"))?;
            match got.cmp(index) {
                std::cmp::Ordering::Equal => return Ok(master),
                std::cmp::Ordering::Less => others.push(master),
                std::cmp::Ordering::Greater => return Err(in_use()),
            }
        }
    }

    /// Sets the state of a new pseudo-terminal, but for what would be in the way of opening it.
    fn fill(&self, master: &OwnedFd) -> io::Result<()> {
        tty::set_locked(master.as_fd(), false)?;
        let slave = tty::open_peer(master.as_fd(), libc::O_RDWR | libc::O_NONBLOCK)?;
        let node = rustix::fs::fstat(&slave)?;
        let (uid, gid) = self.owner;
        if (node.st_uid, node.st_gid) != self.owner {
            rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        rustix::fs::fchmod(&slave, Mode::from_bits_retain(self.mode))?;
        self.settings.set_size(slave.as_fd())?;
        self.settings.set(slave.as_fd())?;
        let modes = rustix::fs::fcntl_getfl(master)?;
        rustix::fs::fcntl_setfl(master, modes | OFlags::NONBLOCK)?;
        let pair = Pair { master: master.as_fd(), slave: slave.as_fd() };
        pair.put(&tty::termios(slave.as_fd())?, &self.in_flight)?;
        Ok(rustix::fs::fcntl_setfl(master, modes)?)
    }
}

impl Verbs for PtyMaster {
    fn name(&self) -> &'static str {
        "pseudo-terminal"
    }

    fn title(&self, _index: usize) -> String {
        format!("pseudo-terminal {}", self.index)
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn look(&mut self, info: &FdInfo) {
        self.index = pty_index(info).unwrap_or(u32::MAX);
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let at = descriptor.at().leading_to(&self.path);
        let what = || format!("{at}: read the state of the pseudo-terminal");
        let master = descriptor.duplicate()?;
        self.index = tty::index(master.as_fd()).context(what)?;
        self.locked = tty::is_locked(master.as_fd()).context(what)?;
        self.packet = tty::is_packet(master.as_fd()).context(what)?;
        self.settings = Settings::of(master.as_fd()).context(what)?;
        self.session = tty::session(master.as_fd()).context(what)?;
        self.foreground = tty::foreground(master.as_fd()).context(what)?;
        let slave = self.other_side(&master, &at, all.pty(self.index))?;
        self.exclusive = tty::is_exclusive(slave.as_fd()).context(what)?;
        let node = rustix::fs::fstat(&slave).context(what)?;
        (self.owner, self.mode) = ((node.st_uid, node.st_gid), node.st_mode & 0o7777);
        let pair = Pair { master: master.as_fd(), slave: slave.as_fd() };
        if let Some(why) = self.refusal(pair).context(what)? {
            return Err(Error::unsupported(Problem::of(at.clone(), why)));
        }
        if let Some(why) = self.hindrance(pair).context(what)? {
            return Err(Error::unsupported_now(Problem::of(at.clone(), why)));
        }
        self.in_flight = pair.look().context(what)?;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let whole = self.mode <= 0o7777 && self.session >= 0 && self.foreground >= 0;
        self.settings.validate()?;
        if whole { Ok(()) } else { Err("invalid pseudo-terminal".into()) }
    }

    fn session(&self) -> Option<i32> {
        Some(self.session).filter(|session| *session != 0)
    }

    fn claim(&self, slot: i32, program: &mut Program) {
        let flags = libc::O_RDWR | libc::O_NOCTTY;
        let args = [slot.into(), tty::TIOCGPTPEER.into(), flags.into()];
        let opened = program.call_ok(libc::SYS_ioctl, &args, format!("open /dev/pts/{}", self.index));
        let args = [opened.into(), tty::TIOCSCTTY.into()];
        program.call_ok(libc::SYS_ioctl, &args, "make it the controlling terminal");
        program.call_ok(libc::SYS_close, &[opened.into()], "close it");
    }

    fn set_foreground(&self, slot: i32, program: &mut Program) {
        if ![0, self.session].contains(&self.foreground) {
            let group = program.bytes(self.foreground.to_ne_bytes());
            let args = [slot.into(), tty::TIOCSPGRP.into(), group.into()];
            let what = format!("put group {} into the foreground", self.foreground);
            program.call_ok(libc::SYS_ioctl, &args, what);
        }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let master = self.open_numbered()?;
        self.fill(&master).context(|| format!("set the state of pseudo-terminal {}", self.index))?;
        Ok(Box::new(Once::new(master)))
    }

    /// Until then, the other side has to be opened.
    fn is_finished_last(&self) -> bool {
        true
    }

    fn finish(&self, master: &OwnedFd, _opened: &dyn Fn(usize) -> Result<OwnedFd>) -> Result<()> {
        let finish = || -> io::Result<()> {
            if self.exclusive {
                tty::set_exclusive(tty::open_peer(master.as_fd(), libc::O_RDWR)?.as_fd())?;
            }
            if self.packet {
                tty::set_packet(master.as_fd(), true)?;
            }
            if self.locked { tty::set_locked(master.as_fd(), true) } else { Ok(()) }
        };
        finish().context(|| format!("set the modes of pseudo-terminal {}", self.index))
    }
}

/// Refuses a pseudo-terminal whose session, or the process group in its foreground, is not in the
/// job, and a process of such a session that has given up its controlling terminal.
pub fn settle<'a>(
    kinds: impl Iterator<Item = (&'a Kind, &'a Subject)>,
    groups: &HashSet<i32>,
    tasks: &[Task],
    problems: &mut Problems,
) {
    for (kind, user) in kinds {
        let mut refuse = |index: u32, why: String| {
            let at = user.leading_to(pty_slave::path_of(index).display().to_string());
            problems.push(Problem::external(at, External::Terminal, why));
        };
        let (index, session, foreground) = match kind {
            Kind::PtySlave(slave) if slave.is_handle_only() => {
                refuse(slave.index, " is open as a handle (O_PATH) only; close it first".into());
                continue;
            }
            Kind::PtyMaster(master) if master.session != 0 => {
                (master.index, master.session, master.foreground)
            }
            _ => continue,
        };
        const ADVICE: &str = "save a tree that contains both";
        if !tasks.iter().any(|task| task.pid == session) {
            refuse(
                index,
                format!(" is the controlling terminal of session {session} outside the job; {ADVICE}"),
            );
        } else if foreground != 0 && !groups.contains(&foreground) {
            let group = format!("process group {foreground}, outside the job");
            refuse(index, format!(" has {group}, in its foreground; {ADVICE}"));
        }
        let has_none = |task: &&Task| task.stat.session == session && task.stat.tty_nr == 0;
        for task in tasks.iter().filter(|task| !task.threads.is_empty()).filter(has_none) {
            let why = ": has given up its controlling terminal (TIOCNOTTY), which its session still has; end that process first";
            problems.push(Problem::of(Subject::process(task.pid), why));
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "pty-input-lost",
        what: "what was typed on pseudo-terminals is lost",
        commit: |r| each(r, |master| (master.in_flight.lines, master.in_flight.rest) = Default::default()),
    },
    crate::resource::fault::Fault {
        name: "pty-output-lost",
        what: "what was written to pseudo-terminals is lost",
        commit: |r| each(r, |master| master.in_flight.output = Default::default()),
    },
    crate::resource::fault::Fault {
        name: "pty-settings-lost",
        what: "pseudo-terminals have the settings of new ones",
        commit: |r| each(r, |master| master.settings.local = libc::ICANON | libc::ECHO | libc::ISIG),
    },
    crate::resource::fault::Fault {
        name: "pty-background",
        what: "the leaders of sessions are in the foreground of pseudo-terminals",
        commit: |r| each(r, |master| master.foreground = master.session),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut PtyMaster)) {
    for inode in &mut records.inodes {
        if let Kind::PtyMaster(master) = &mut inode.kind {
            change(master);
        }
    }
}
