//! A pseudo-terminal as programs have it open, whose master is in the job, or gone.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Reference, Verbs, Way, open_at, terminal, unlinked};
use crate::arch;
use crate::error::{Context, Error, Problem, Result};
use crate::resource::bytes::PathBytes;
use crate::sys::file::device_numbers;
use crate::sys::{guard, session, tty};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

/// Such a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PtySlave {
    /// N of /dev/pts/N.
    pub index: u32,
    /// How it was opened.
    pub name: Name,
    /// The open file description of its master; `None` if that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<usize>,
}

/// The name by which a terminal was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Its own.
    Path(PathBytes),
    /// /dev/tty, for whoever has it as controlling terminal.
    Controlling,
    /// It has hung up, and has no name any more.
    HungUp,
}

/// Major numbers of the devices in /dev/pts, Documentation/admin-guide/devices.txt.
const MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Number of minor numbers of each.
const MINORS: u32 = 256;

/// The name of a pseudo-terminal.
pub(super) fn path_of(index: u32) -> PathBuf {
    PathBuf::from(format!("/dev/pts/{index}"))
}

/// The number of a pseudo-terminal, if a device is one. `devpts` has one major number with 20 bits
/// of minor numbers; `UNIX98_PTY_MAJOR_COUNT` is 8.
fn index_of((major, minor): (u32, u32)) -> Option<u32> {
    MAJORS.contains(&major).then(|| (major - MAJORS.start()) * MINORS + minor)
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    if !seen.has_path() || !seen.meta.file_type().is_char_device() {
        return None;
    }
    let is_of_job = |index: u32| seen.job().is_some_and(|job| job.has_master(index));
    let device = device_numbers(seen.meta.rdev());
    let slave = |index, name| Some(Ok(Kind::PtySlave(PtySlave { index, name, master: None })));
    if device == terminal::DEV_TTY {
        // What it stands for; of one that has hung up, that is not shown.
        let device = match seen.borrow().and_then(|fd| tty::device(fd.as_fd())) {
            Err(err) if err.raw_os_error() == Some(libc::EIO) => {
                return Some(Err(seen.refuse("a terminal that has hung up; close it first")));
            }
            device => device.ok()?,
        };
        let index = index_of(device).filter(|index| is_of_job(*index))?;
        return slave(index, Name::Controlling);
    }
    let index = index_of(device)?;
    if seen.link.0.ends_with(b" (deleted)") {
        return slave(index, Name::HungUp);
    }
    let name = || Name::Path(seen.link.clone());
    is_of_job(index).then(|| slave(index, name()))?
}

impl PtySlave {
    fn is_hung_up(&self) -> bool {
        self.name == Name::HungUp
    }

    /// Whether it is open as a handle (`O_PATH`) only: then it was not captured.
    pub(super) fn is_handle_only(&self) -> bool {
        self.master.is_none() && !self.is_hung_up()
    }

    /// Whether it was opened as /dev/pts/N.
    pub(super) fn has_own_name(&self) -> bool {
        matches!(self.name, Name::Path(_))
    }
}

impl Verbs for PtySlave {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn title(&self, _index: usize) -> String {
        let name = path_of(self.index);
        match self.name {
            Name::Path(_) => name.display().to_string(),
            Name::Controlling => format!("{} as /dev/tty", name.display()),
            Name::HungUp => format!("{} (hung up)", name.display()),
        }
    }

    /// All terminals have the inode of /dev/tty.
    fn identity(&self) -> Identity {
        if self.name == Name::Controlling { Identity::Description } else { Identity::Inode }
    }

    /// One that has hung up has no state.
    fn is_shared_state(&self, _flags: i32) -> bool {
        !self.is_hung_up()
    }

    fn is_ours_alone(&self) -> bool {
        self.has_own_name()
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn refers_to(&self) -> Vec<Reference> {
        self.master.map(Reference::File).into_iter().collect()
    }

    fn opened_after(&self) -> Option<usize> {
        self.master
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        for descriptor in descriptors {
            let what = || format!("{}: read flags", descriptor.at());
            if tty::hides_cloexec(descriptor.duplicate()?.as_fd()).context(what)? {
                let why = " is a terminal that was opened with TIOCGPTPEER and O_CLOEXEC, for which the kernel hides what is closed on exec; open it by name";
                let at = descriptor.at().leading_to(descriptor.name());
                return Err(Error::unsupported(Problem::of(at, why)));
            }
        }
        if !self.is_hung_up() {
            self.master = all.pty(self.index).master;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.is_hung_up() == self.master.is_none() {
            return Ok(());
        }
        Err(format!("{}: a terminal without its master", path_of(self.index).display()))
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(match &self.name {
            Name::Path(path) => {
                Box::new(ByName { path: path.clone(), index: self.index, master: self.master })
            }
            Name::Controlling => Box::new(AsTty { index: self.index }),
            Name::HungUp => Box::new(HungUp::new().context(|| "make a terminal that hangs up")?),
        })
    }
}

/// Opens descriptions by the terminal's own name or, without `O_LARGEFILE`, by way of its master,
/// as openpty(3) does.
struct ByName {
    path: PathBytes,
    index: u32,
    master: Option<usize>,
}

impl Made for ByName {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let fd = match self.master {
            Some(master) if flags & (arch::O_LARGEFILE | libc::O_PATH) == 0 => {
                let opened = tty::open_peer(way.opened(master)?, unlinked::to_open(flags));
                opened.context(|| format!("open {} by way of its master", self.path))?
            }
            _ => open_at(self.path.as_path(), unlinked::to_open(flags))?,
        };
        let meta = rustix::fs::fstat(&fd).context(|| format!("stat {}", self.path))?;
        if index_of(device_numbers(meta.st_rdev)) != Some(self.index) {
            return Err(Error::Conflict(format!("{}: is another terminal by now", self.path)));
        }
        if flags & libc::O_PATH == 0 {
            unlinked::set_flags(&fd, flags)?;
        }
        Ok(fd)
    }
}

/// Opens descriptions by /dev/tty: in a process that has it as controlling terminal for a moment.
struct AsTty {
    index: u32,
}

impl Made for AsTty {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let what = || format!("open /dev/tty for {}", path_of(self.index).display());
        let terminal = open_at(&path_of(self.index), libc::O_RDWR)?;
        let fd = guard::opened_in_child(|| {
            session::begin()?;
            tty::take(terminal.as_fd())?;
            let wanted = OFlags::from_bits_retain(unlinked::to_open(flags) as u32) | OFlags::CLOEXEC;
            Ok(rustix::fs::open("/dev/tty", wanted, Mode::empty())?)
        });
        let fd = fd.context(what)?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }
}

/// Descriptions of a terminal whose master is closed when all of them are open.
struct HungUp {
    master: OwnedFd,
}

impl HungUp {
    fn new() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::open("/dev/ptmx", flags, Mode::empty())?;
        tty::set_locked(master.as_fd(), false)?;
        Ok(HungUp { master })
    }
}

impl Made for HungUp {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let what = || "open a terminal that hangs up";
        let fd = tty::open_peer(self.master.as_fd(), unlinked::to_open(flags)).context(what)?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];
