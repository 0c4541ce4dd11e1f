//! What *make* and *late* work with: the objects and descriptions of a restart, and its processes.

use super::inode::Inode;
use super::socket::peer::Deputies;
use super::table::Fd;
use super::{Kind, Verbs, external, unlinked};
use crate::error::{Context, Error, Result};
use crate::remote::{Arg, Program};
use crate::resource::Records;
use crate::resource::created::Created;
use rustix::fs::{Mode, OFlags};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The job at a restart, once its processes have their descriptor tables.
pub struct Restored<'a> {
    /// The records.
    pub records: &'a Records,
    /// The processes that have each open file description, except with `O_PATH`.
    pub holders: Holders<'a>,
}

/// Who has each open file description; flat, as there may be very many.
pub struct Holders<'a>(Vec<Holder<'a>>);

impl<'a> Holders<'a> {
    /// Of each description its holders stay in their order.
    pub fn new(mut holders: Vec<Holder<'a>>) -> Self {
        holders.sort_by_key(|holder| holder.fd.file);
        Holders(holders)
    }

    /// Those of one description.
    pub fn of(&self, file: usize) -> &[Holder<'a>] {
        let first = self.0.partition_point(|holder| holder.fd.file < file);
        let count = self.0[first..].partition_point(|holder| holder.fd.file == file);
        &self.0[first..first + count]
    }
}

impl Restored<'_> {
    /// The operations on the object of an open file description.
    pub fn verbs(&self, file: usize) -> &dyn Verbs {
        self.records.kind(file).verbs()
    }
}

/// A process that has a description at a restart.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// Its PID.
    pub pid: i32,
    /// The first descriptor of it.
    pub fd: &'a Fd,
    /// Its descriptor table.
    pub table: &'a [Fd],
}

/// The programs of *late*, by PID.
#[derive(Debug, Default)]
pub struct Programs(HashMap<i32, Program>);

impl Programs {
    /// The program of a process.
    pub fn of(&mut self, pid: i32) -> &mut Program {
        self.0.entry(pid).or_default()
    }
}

/// Opens an inode at a restart: by its path, after checking that it is the recorded one, or through
/// the inode created in its place.
pub struct Way<'a> {
    /// The inode.
    pub inode: &'a Inode,
    /// What takes the place of external files.
    pub replacements: &'a external::Replacements,
    /// The file that was created in its place, if it is an unlinked one.
    pub created: Option<&'a File>,
    /// Other descriptions, while one is being opened.
    others: Option<Others<'a>>,
    /// Kept until everything is joined.
    partner: RefCell<Option<OwnedFd>>,
    undo: &'a RefCell<Created>,
    open: &'a dyn Fn(i32) -> Result<OwnedFd>,
}

impl<'a> Way<'a> {
    /// `open` takes `O_*` flags.
    pub fn new(
        inode: &'a Inode,
        replacements: &'a external::Replacements,
        undo: &'a RefCell<Created>,
        open: &'a dyn Fn(i32) -> Result<OwnedFd>,
    ) -> Self {
        let partner = RefCell::default();
        Way { inode, replacements, created: None, others: None, partner, undo, open }
    }

    /// Says how to remove something that was created and would stay, if the restart fails.
    pub fn undo(&self, remove: impl Fn() -> std::io::Result<()> + 'static) {
        self.undo.borrow_mut().add(remove);
    }

    /// The same, with a file that was created in place of the inode.
    pub fn with_created(self, created: Option<&'a File>) -> Self {
        Way { created, ..self }
    }

    /// The same, with what there is of other descriptions.
    pub fn among(self, others: Others<'a>) -> Self {
        Way { others: Some(others), ..self }
    }

    fn others(&self) -> Result<&Others<'a>> {
        self.others.as_ref().ok_or_else(|| Error::Conflict("no description is being opened".into()))
    }

    /// Leaves a description that came to be with this one: the other end of a pair.
    ///
    /// # Errors
    /// *conflict* outside of the opening of a description.
    pub fn leave(&self, file: usize, fd: OwnedFd) -> Result<()> {
        self.others()?.left.borrow_mut().insert(file, fd);
        Ok(())
    }

    /// The children that make sockets.
    ///
    /// # Errors
    /// As [`Way::leave`].
    pub fn deputies(&self) -> Result<&'a Deputies> {
        self.others().map(|others| others.deputies)
    }

    /// The object of an open file description.
    ///
    /// # Errors
    /// As [`Way::leave`].
    pub fn kind(&self, file: usize) -> Result<&'a Kind> {
        self.others().map(|others| others.records.kind(file))
    }

    /// Keeps what the description is connected to until everything is joined.
    pub fn keep_partner(&self, fd: OwnedFd) {
        *self.partner.borrow_mut() = Some(fd);
    }

    /// What is to be kept.
    pub fn into_partner(self) -> Option<OwnedFd> {
        self.partner.into_inner()
    }

    /// The open file description of this index.
    ///
    /// # Errors
    /// *conflict* if it is not open yet.
    pub fn opened(&self, file: usize) -> Result<BorrowedFd<'a>> {
        let found = self.others.as_ref().and_then(|others| (others.opened)(file));
        found.ok_or_else(|| Error::Conflict("a descriptor refers to another that is not open".into()))
    }

    /// Opens it again.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads to something else.
    pub fn open(&self, flags: i32) -> Result<OwnedFd> {
        (self.open)(flags | libc::O_CLOEXEC | libc::O_NOCTTY)
    }
}

/// Other descriptions, for one that is being opened.
pub struct Others<'a> {
    /// Returns one that is open already, by its index.
    pub opened: &'a dyn Fn(usize) -> Option<BorrowedFd<'a>>,
    /// What making one has left for others, by index.
    pub left: &'a RefCell<HashMap<usize, OwnedFd>>,
    /// The records.
    pub records: &'a Records,
    /// The children that make sockets.
    pub deputies: &'a Deputies,
}

/// The stages of *join*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStage {
    /// What refers to others by name or number is connected to them, before there is any process.
    Connect,
    /// Queues are filled.
    Fill,
    /// Directions are shut down, options set.
    Finish,
}

impl JoinStage {
    /// Those after the first one, in their order.
    pub const LATE: [JoinStage; 2] = [JoinStage::Fill, JoinStage::Finish];
}

/// What *join* works with.
pub struct Joined<'a> {
    /// The open file description of an index.
    pub opened: &'a dyn Fn(usize) -> Result<BorrowedFd<'a>>,
    /// What [`Way::keep_partner`] kept.
    pub partner: Option<BorrowedFd<'a>>,
    /// The records.
    pub records: &'a Records,
    /// The children that make sockets, while there is no other process.
    pub deputies: &'a Deputies,
}

/// An object at a restart, while descriptions of it are being opened.
pub trait Made {
    /// Opens a new open file description.
    ///
    /// # Errors
    /// What the kernel reports.
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd>;

    /// Sets what open(2) could not, unless the description was opened with `O_PATH`.
    ///
    /// # Errors
    /// What the kernel reports.
    fn adjust(&self, way: &Way<'_>, fd: &OwnedFd, flags: i32) -> Result<()> {
        let _ = (way, fd, flags);
        Ok(())
    }
}

/// An object with exactly one open file description, created together with it.
pub struct Once(Option<OwnedFd>);

impl Once {
    /// Wraps its descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Once(Some(fd))
    }
}

impl Made for Once {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let name = way.inode.kind.verbs().name();
        let fd = self
            .0
            .take()
            .ok_or_else(|| Error::Conflict(format!("{name}: has more than one open file description")))?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }
}

/// What is opened by a path of its own in /proc, whatever that leads to.
pub(super) struct At(pub PathBuf);

impl Made for At {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        open_at(&self.0, flags)
    }
}

pub(super) fn open_at(path: &Path, flags: i32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// An inode that is simply opened by its path.
pub(super) struct ByPath;

impl Made for ByPath {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        way.open(flags)
    }
}

/// Sets `O_ASYNC` through a descriptor of the process that runs the program: the signal carries its
/// number.
pub(super) fn signal_io(file: usize, job: &Restored<'_>, programs: &mut Programs) {
    let flags = job.records.files[file].flags;
    if flags & libc::O_ASYNC != 0 {
        let Holder { pid, fd, .. } = job.holders.of(file)[0];
        let program = programs.of(pid);
        let args: [Arg; 3] = [fd.fd.into(), libc::F_SETFL.into(), flags.into()];
        program.call_ok(libc::SYS_fcntl, &args, format!("enable async I/O on fd {}", fd.fd));
    }
}
