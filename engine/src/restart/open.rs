//! The engine's own part of a restart: every open file description once, so that sharing by dup(2) and fork(2) comes out right by
//! inheritance. What was made here is taken away again when the restart fails.

use super::changes::{self, Accepted, Verdict};
use super::nameless::{self, Maker};
use crate::arch;
use crate::error::{Context, Error, Result};
use crate::image::Reader;
use crate::resource::attributes::{self, Stage};
use crate::resource::inode::{InodeKind, Unlinked};
use crate::resource::pages::Extent;
use crate::resource::pipe::{self, Pipe};
use crate::resource::shared::SharedMemory;
use crate::resource::{Records, file::OpenFile};
use crate::sys::file::link_to;
use crate::sys::{self, page_size};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the engine holds while it restarts something.
pub struct Opened<'a> {
    records: &'a Records,
    reader: &'a Reader,
    /// Named inodes that were looked at before.
    accepted: Vec<Option<Accepted>>,
    /// Descriptors at their slots; dropped when everybody has inherited them.
    slots: HashMap<i32, OwnedFd>,
    /// A pair of ends for each pipe, until all its descriptions are open.
    pipes: HashMap<usize, (Option<OwnedFd>, Option<OwnedFd>)>,
    /// Held open so that FIFOs keep their bytes, until all their descriptions are open.
    fifos: HashMap<usize, OwnedFd>,
    /// What has no name, until all its descriptions are open.
    made: HashMap<usize, File>,
    /// Descriptions that had to be opened while there was a name, by file.
    early: HashMap<usize, OwnedFd>,
    /// Files that nobody may change any more once they are done.
    last: Vec<(usize, File)>,
    maker: Maker,
}

impl<'a> Opened<'a> {
    /// Nothing yet; `accepted` is what [`changes::check`] found.
    pub fn new(records: &'a Records, reader: &'a Reader, accepted: Vec<Option<Accepted>>) -> Self {
        Opened {
            records,
            reader,
            accepted,
            slots: HashMap::new(),
            pipes: HashMap::new(),
            fifos: HashMap::new(),
            made: HashMap::new(),
            early: HashMap::new(),
            last: Vec::new(),
            maker: Maker::default(),
        }
    }

    /// Puts a duplicate of a descriptor at a slot.
    ///
    /// # Errors
    /// EMFILE above the limit of open files.
    pub fn place(&mut self, fd: impl AsFd, slot: i32) -> Result<()> {
        let got = rustix::io::fcntl_dupfd_cloexec(fd, slot)
            .context(|| format!("duplicate descriptor to {slot}"))?;
        if got.as_raw_fd() != slot {
            return Err(Error::Failed {
                what: format!("duplicate descriptor to {slot}"),
                source: std::io::Error::other("the slot is in use"),
            });
        }
        self.slots.insert(slot, got);
        Ok(())
    }

    /// Makes shared anonymous memory: mapped in the engine, opened through /proc/self/map_files, filled, and unmapped; the object lives
    /// on behind the descriptor.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; ENOMEM, also for too few huge pages.
    pub fn make_shared(&mut self, object: usize, slot: i32) -> Result<()> {
        let SharedMemory { size, page, content } = &self.records.shared[object];
        let what = || format!("make shared memory of {size} bytes");
        let huge = (*page != page_size()).then_some(*page);
        let mut mapping = sys::mapping::SharedMapping::new(*size as usize, huge).context(what)?;
        for extent in content {
            let target = mapping.range(extent.start as usize, extent.len as usize);
            self.read(extent, target, 0).context(what)?;
        }
        let (start, end) = mapping.bounds();
        let link = format!("/proc/self/map_files/{start:x}-{end:x}");
        let file = rustix::fs::open(&link, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context(what)?;
        self.place(file, slot)
    }

    fn read(&self, extent: &Extent, buf: &mut [u8], at: u64) -> std::io::Result<()> {
        self.reader.read_pages(extent.offset + at, buf).map_err(|err| std::io::Error::other(err.to_string()))
    }

    /// Makes a pipe or what had lost its name, with its contents, or opens a FIFO so that its bytes can go in.
    ///
    /// # Errors
    /// *conflict* for a path that is gone, or leads through a link.
    pub fn make_inode(&mut self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        if let InodeKind::Pipe(state) = &inode.kind {
            let (reader, writer) = pipe::make()?;
            pipe::rebuild(state, writer.as_fd())?;
            self.pipes.insert(index, (Some(reader), Some(writer)));
            return Ok(());
        }
        if let Some(unlinked) = &inode.unlinked {
            let path = inode.path.as_path();
            let (records, early) = (self.records, &mut self.early);
            let made = self.maker.make(inode, &mut |dir, name, made| {
                let meta = made.metadata().context(|| format!("stat {}", path.display()))?;
                // fcntl(2) cannot set this one, and a magic link cannot be opened with it.
                let only_by_name =
                    |file: &OpenFile| file.inode == index && file.flags & libc::O_NOFOLLOW != 0;
                for (number, file) in records.files.iter().enumerate().filter(|(_, f)| only_by_name(f)) {
                    let flags = file.flags | libc::O_NONBLOCK | libc::O_NOCTTY;
                    early.insert(number, nameless::open_by_name((dir, name), flags, &meta, path)?);
                }
                Ok(())
            })?;
            if inode.kind == InodeKind::Regular {
                nameless::set_first_flags(&made, unlinked, path)?;
                self.fill(&made, unlinked).context(|| format!("fill {} (unlinked)", path.display()))?;
            }
            self.made.insert(index, made);
        }
        self.hold_fifo(index)
    }

    fn hold_fifo(&mut self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        // A writer, even one of ours, would show to its reader.
        if let InodeKind::Fifo(state @ Pipe { never_written: false, .. }) = &inode.kind {
            let fifo = self.open_inode(index, libc::O_RDWR | libc::O_NONBLOCK)?;
            pipe::rebuild(state, fifo.as_fd())?;
            self.fifos.insert(index, fifo);
        }
        Ok(())
    }

    fn fill(&self, file: &File, unlinked: &Unlinked) -> std::io::Result<()> {
        file.set_len(unlinked.size)?;
        let mut buf = vec![0u8; crate::image::MAX_FRAME];
        for extent in &unlinked.content {
            let mut at = 0;
            while at < extent.len {
                let len = (extent.len - at).min(buf.len() as u64) as usize;
                self.read(extent, &mut buf[..len], at)?;
                // The last page goes past the end of the file.
                let inside = unlinked.size.saturating_sub(extent.start + at).min(len as u64) as usize;
                file.write_all_at(&buf[..inside], extent.start + at)?;
                at += len as u64;
            }
        }
        Ok(())
    }

    /// All unlinked directories are made: their names go.
    ///
    /// # Errors
    /// What unlinkat(2) says.
    pub fn remove_directories(&mut self) -> Result<()> {
        self.maker.remove_directories()
    }

    /// Everything is open on an inode that was made: it gets owner and permissions, which may be such that nobody can open it, and the
    /// engine's own ends of pipes go.
    ///
    /// # Errors
    /// *denied* for an owner who is not us.
    pub fn finish_inode(&mut self, index: usize) -> Result<()> {
        self.pipes.remove(&index);
        self.fifos.remove(&index);
        let inode = &self.records.inodes[index];
        let (Some(made), Some(unlinked)) = (self.made.remove(&index), &inode.unlinked) else { return Ok(()) };
        let path = inode.path.as_path();
        nameless::dress(&made, unlinked, path)?;
        if unlinked.flags != 0 {
            self.last.push((index, made));
        }
        Ok(())
    }

    /// Opens a file and puts it at its slot, with flags and position.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads to something else.
    pub fn open(&mut self, index: usize, slot: i32) -> Result<()> {
        let file = &self.records.files[index];
        let inode = &self.records.inodes[file.inode];
        if let InodeKind::Pipe(_) = inode.kind {
            let fd = self.open_pipe(file.inode, file.flags_to_open(inode))?;
            return self.place(fd, slot);
        }
        // Opening a FIFO must not wait for its other end.
        let nonblock = if matches!(inode.kind, InodeKind::Fifo(_)) { libc::O_NONBLOCK } else { 0 };
        let early = self.early.remove(&index);
        let was_early = early.is_some();
        let fd = match early {
            Some(fd) => fd,
            None => self.open_inode(file.inode, file.flags_to_open(inode) | nonblock | libc::O_NOCTTY)?,
        };
        if file.flags & libc::O_PATH == 0 {
            if let InodeKind::Fifo(state) = &inode.kind {
                pipe::set_capacity(state, fd.as_fd())?;
            }
            if was_early || nonblock != 0 {
                set_flags(&fd, file.flags_to_open(inode))?;
            }
            // A file that is another one by now, with the user's consent, may be shorter: a hole up to the old place is nobody's wish.
            let accepted = self.accepted[file.inode].as_ref();
            let end = accepted.filter(|a| a.verdict == Verdict::Ignored).and_then(Accepted::size);
            let offset = file.offset.min(end.unwrap_or(u64::MAX));
            if offset != 0 {
                let to = rustix::fs::SeekFrom::Start(offset);
                rustix::fs::seek(&fd, to).context(|| format!("seek {} to {offset}", inode.path))?;
            }
        }
        self.place(fd, slot)
    }

    /// Opens an inode, once it is sure to be what was looked at before: between the two, somebody may put something else at its path.
    fn open_inode(&self, index: usize, flags: i32) -> Result<OwnedFd> {
        let inode = &self.records.inodes[index];
        let path = inode.path.as_path();
        if let Some(made) = self.made.get(&index) {
            return open_as(&link_to(made), flags | libc::O_CLOEXEC, path);
        }
        let handle = self.open_accepted(index)?;
        if inode.kind == InodeKind::Symlink {
            return Ok(handle.into());
        }
        if flags & libc::O_NOFOLLOW == 0 {
            return open_as(&link_to(&handle), flags | libc::O_CLOEXEC, path);
        }
        // A magic link would not be followed. What it is shows only afterwards.
        let parent = changes::open_handle(path.parent().unwrap_or(Path::new("/")))?.into();
        let name = path.file_name().unwrap_or(path.as_os_str());
        let meta = handle.metadata().context(|| format!("stat {}", path.display()))?;
        nameless::open_by_name((&parent, name), flags, &meta, path)
    }

    /// A handle to a named inode.
    fn open_accepted(&self, index: usize) -> Result<File> {
        let path = self.records.inodes[index].path.as_path();
        let handle = changes::open_handle(path)?;
        let meta = handle.metadata().context(|| format!("stat {}", path.display()))?;
        let accepted = self.accepted[index].as_ref().expect("all named inodes were looked at");
        accepted.check(path, &meta)?;
        Ok(handle)
    }

    /// Cuts what was appended to a file since the checkpoint.
    ///
    /// # Errors
    /// *conflict* when the file is another one than was looked at.
    pub fn cut_back(&self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        let path = inode.path.as_path();
        let size = inode.identity.as_ref().map_or(0, |identity| identity.size);
        let handle = self.open_accepted(index)?;
        let file = open_as(&link_to(&handle), libc::O_WRONLY | libc::O_CLOEXEC, path)?;
        rustix::fs::ftruncate(&file, size).context(|| format!("cut {} back to {size} bytes", path.display()))
    }

    /// The ends that pipe2(2) gave go first: what was opened through /proc bears `O_LARGEFILE`.
    fn open_pipe(&mut self, inode: usize, flags: i32) -> Result<OwnedFd> {
        let ends = self.pipes.get_mut(&inode).expect("pipes are made before they are opened");
        let (end, any) = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => (&mut ends.0, ends.1.as_ref()),
            libc::O_WRONLY => (&mut ends.1, ends.0.as_ref()),
            _ => (&mut None, ends.0.as_ref().or(ends.1.as_ref())),
        };
        if flags & arch::O_LARGEFILE == 0
            && let Some(fd) = end.take()
        {
            // Later descriptions still need a way in.
            let link = link_to(&fd);
            *end = Some(open(&link, (flags & libc::O_ACCMODE) | libc::O_CLOEXEC | libc::O_NONBLOCK)?);
            set_flags(&fd, flags)?;
            return Ok(fd);
        }
        let via = end.as_ref().or(any).expect("both ends are held until all are open");
        let link = link_to(via);
        open(&link, flags | libc::O_CLOEXEC)
    }

    /// Sets the times of unlinked files once more: what was done to them since has moved them. Then come the flags that forbid all further
    /// changes.
    ///
    /// # Errors
    /// What utimensat(2) says; *denied* without CAP_LINUX_IMMUTABLE.
    pub fn reset_times(&self, file_slots: &[i32]) -> Result<()> {
        // An inode is in the records because something is open on it.
        let slots: HashMap<usize, i32> =
            self.records.files.iter().zip(file_slots).map(|(file, slot)| (file.inode, *slot)).collect();
        for (index, inode) in self.records.inodes.iter().enumerate() {
            if let Some(unlinked) = &inode.unlinked {
                let link = format!("/proc/self/fd/{}", slots[&index]);
                set_times(Path::new(&link), unlinked.times)
                    .context(|| format!("set times of {} (unlinked)", inode.path))?;
            }
        }
        for (index, file) in &self.last {
            let inode = &self.records.inodes[*index];
            let flags = inode.unlinked.as_ref().map_or(0, |unlinked| unlinked.flags);
            attributes::set_flags(flags, Stage::Last, file, inode.path.as_path())?;
        }
        Ok(())
    }

    /// Everybody has inherited what they need: a reader sees the end of a pipe only when the engine does not hold it either.
    pub fn close_slots(&mut self) {
        self.slots.clear();
        self.last.clear();
    }

    /// Sets who is signalled of I/O; the processes must exist.
    ///
    /// # Errors
    /// ESRCH for an owner that is not there.
    pub fn set_owners(&self, file_slots: &[i32]) -> Result<()> {
        for (file, slot) in self.records.files.iter().zip(file_slots) {
            let Some(owner) = file.owner else { continue };
            let fd = &self.slots[slot];
            let what = || format!("set owner {} of fd {slot}", owner.id);
            if owner.id != 0 {
                sys::file::set_owner(fd.as_fd(), owner.kind, owner.id).context(what)?;
            }
            if owner.signal != 0 {
                sys::file::set_signal(fd.as_fd(), owner.signal).context(what)?;
            }
        }
        Ok(())
    }
}

fn open(path: &Path, flags: i32) -> Result<OwnedFd> {
    open_as(path, flags, path)
}

/// Opens `link`, which messages call `name`.
fn open_as(link: &Path, flags: i32, name: &Path) -> Result<OwnedFd> {
    match rustix::fs::open(link, OFlags::from_bits_retain(flags as u32), Mode::empty()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(Error::Conflict(format!("{}: no such file; put it back", name.display())))
        }
        other => other.context(|| format!("open {}", name.display())),
    }
}

fn set_flags(fd: &OwnedFd, flags: i32) -> Result<()> {
    rustix::fs::fcntl_setfl(fd, OFlags::from_bits_retain(flags as u32)).context(|| "set flags of open file")
}

/// Access and modification time, in nanoseconds since the epoch.
fn set_times(path: &Path, (accessed, modified): (i64, i64)) -> std::io::Result<()> {
    const NANOS: i64 = 1_000_000_000;
    let time = |ns: i64| rustix::fs::Timespec { tv_sec: ns.div_euclid(NANOS), tv_nsec: ns.rem_euclid(NANOS) };
    let times = rustix::fs::Timestamps { last_access: time(accessed), last_modification: time(modified) };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?;
    Ok(())
}
