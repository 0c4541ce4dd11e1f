//! The engine's own part of a restart: every open file description once, so that sharing by dup(2) and fork(2) comes out right by
//! inheritance. What was made here is taken away again when the restart fails.

use crate::arch;
use crate::error::{Context, Error, Result};
use crate::image::Reader;
use crate::resource::inode::{self, Inode, InodeKind, Unlinked, stand_in};
use crate::resource::pages::Extent;
use crate::resource::pipe::{self, Pipe};
use crate::resource::shared::SharedMemory;
use crate::resource::{Records, file::OpenFile};
use crate::sys::{self, page_size};
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What the engine holds while it restarts something.
pub struct Opened<'a> {
    records: &'a Records,
    reader: &'a Reader,
    /// Descriptors at their slots; dropped when everybody has inherited them.
    slots: HashMap<i32, OwnedFd>,
    /// A pair of ends for each pipe, until all its descriptions are open.
    pipes: HashMap<usize, (Option<OwnedFd>, Option<OwnedFd>)>,
    /// Held open so that FIFOs keep their bytes.
    fifos: Vec<OwnedFd>,
    /// Names that are to go again, the newest last.
    names: Vec<Name>,
    /// Where an unlinked inode is, and its device and number there.
    places: HashMap<usize, (PathBuf, (u64, u64))>,
}

/// A name that was made, and will be removed.
struct Name {
    path: PathBuf,
    is_dir: bool,
    /// What it is of, and what that inode is to become once everything is open on it: owner and permissions may be such that nobody can open it.
    made: Option<(usize, OwnedFd)>,
}

impl Name {
    fn remove(&self) -> std::io::Result<()> {
        if self.is_dir { std::fs::remove_dir(&self.path) } else { std::fs::remove_file(&self.path) }
    }
}

impl<'a> Opened<'a> {
    /// Nothing yet.
    pub fn new(records: &'a Records, reader: &'a Reader) -> Self {
        Opened {
            records,
            reader,
            slots: HashMap::new(),
            pipes: HashMap::new(),
            fifos: Vec::new(),
            names: Vec::new(),
            places: HashMap::new(),
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

    /// Makes an unlinked file, a directory or a pipe, or opens a FIFO so that its bytes can go in.
    ///
    /// # Errors
    /// *conflict* for a path that is gone.
    pub fn make_inode(&mut self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        match (&inode.kind, &inode.unlinked) {
            (InodeKind::Pipe(state), _) => {
                let (reader, writer) = pipe::make()?;
                pipe::rebuild(state, writer.as_fd())?;
                self.pipes.insert(index, (Some(reader), Some(writer)));
                Ok(())
            }
            (kind, Some(unlinked)) => {
                let path = self.free_name(inode)?;
                let what = || format!("make {} (unlinked)", path.display());
                let made = match kind {
                    InodeKind::Directory => make_directory(&path).context(what)?,
                    InodeKind::Fifo(_) => make_fifo(&path).context(what)?,
                    InodeKind::Regular => self.make_regular(&path, unlinked).context(what)?,
                    InodeKind::Device { .. } | InodeKind::Symlink | InodeKind::Pipe(_) => {
                        return Err(Error::Conflict(format!(
                            "{}: an unlinked device or link cannot be made",
                            inode.path
                        )));
                    }
                };
                let is_dir = *kind == InodeKind::Directory;
                let meta = rustix::fs::fstat(&made).context(what)?;
                self.names.push(Name { path: path.clone(), is_dir, made: Some((index, made)) });
                self.places.insert(index, (path, (meta.st_dev, meta.st_ino)));
                self.hold_fifo(index)
            }
            (_, None) => self.hold_fifo(index),
        }
    }

    fn hold_fifo(&mut self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        // A writer, even one of ours, would show to its reader.
        if let InodeKind::Fifo(state @ Pipe { never_written: false, .. }) = &inode.kind {
            let fifo = self.open_inode(index, libc::O_RDWR | libc::O_NONBLOCK)?;
            pipe::rebuild(state, fifo.as_fd())?;
            self.fifos.push(fifo);
        }
        Ok(())
    }

    /// The inode's own path when it is free, else a name beside it. Directories on the way that are gone are made, until names are removed.
    fn free_name(&mut self, inode: &Inode) -> Result<PathBuf> {
        let own = inode.path.as_path();
        let mut missing: Vec<&Path> = own.ancestors().skip(1).take_while(|dir| !dir.exists()).collect();
        while let Some(dir) = missing.pop() {
            std::fs::create_dir(dir).context(|| format!("make directory {}", dir.display()))?;
            self.names.push(Name { path: dir.to_path_buf(), is_dir: true, made: None });
        }
        const ENOUGH: u32 = 1000;
        let mut names = std::iter::once(own.to_path_buf()).chain((0..ENOUGH).map(|n| stand_in(own, n)));
        let free = names.find(|name| std::fs::symlink_metadata(name).is_err());
        free.ok_or_else(|| Error::Conflict(format!("{}: no free name beside it", inode.path)))
    }

    fn make_regular(&self, path: &Path, unlinked: &Unlinked) -> std::io::Result<OwnedFd> {
        let file = File::create_new(path)?;
        file.set_len(unlinked.size)?;
        let mut buf = vec![0u8; crate::image::MAX_FRAME];
        for extent in &unlinked.content {
            let mut at = 0;
            while at < extent.len {
                let len = (extent.len - at).min(buf.len() as u64) as usize;
                self.read(extent, &mut buf[..len], at)?;
                // The last page goes past the end of the file.
                let inside = (unlinked.size - (extent.start + at)).min(len as u64) as usize;
                file.write_all_at(&buf[..inside], extent.start + at)?;
                at += len as u64;
            }
        }
        Ok(file.into())
    }

    /// Opens a file and puts it at its slot, with flags and position.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads to something else.
    pub fn open(&mut self, index: usize, slot: i32) -> Result<()> {
        let file = &self.records.files[index];
        let inode = &self.records.inodes[file.inode];
        if let InodeKind::Pipe(_) = inode.kind {
            let fd = self.open_pipe(file)?;
            return self.place(fd, slot);
        }
        // Opening a FIFO must not wait for its other end.
        let nonblock = if matches!(inode.kind, InodeKind::Fifo(_)) { libc::O_NONBLOCK } else { 0 };
        let fd = self.open_inode(file.inode, file.flags | nonblock | libc::O_NOCTTY)?;
        if file.flags & libc::O_PATH == 0 {
            if let InodeKind::Fifo(state) = &inode.kind {
                pipe::set_capacity(state, fd.as_fd())?;
                set_flags(&fd, file.flags)?;
            }
            if file.offset != 0 {
                let to = rustix::fs::SeekFrom::Start(file.offset);
                rustix::fs::seek(&fd, to).context(|| format!("seek {} to {}", inode.path, file.offset))?;
            }
        }
        self.place(fd, slot)
    }

    /// Opens what has a name, once it is sure to be what the records say. Looked at and opened is the same inode: between the two, somebody
    /// may put something else at its path.
    fn open_inode(&self, index: usize, flags: i32) -> Result<OwnedFd> {
        let inode = &self.records.inodes[index];
        let place = self.places.get(&index);
        let path = place.map_or(inode.path.as_path(), |(path, _)| path.as_path());
        let handle = open(path, libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC)?;
        let link = link_to(&handle);
        let meta = std::fs::metadata(&link).context(|| format!("stat {}", path.display()))?;
        judge(path, &meta, inode)?;
        let seen = (meta.dev(), meta.ino());
        let replaced = || Err(Error::Conflict(format!("{}: somebody replaces it meanwhile", path.display())));
        if place.is_some_and(|(_, made)| *made != seen) {
            return replaced();
        }
        if inode.kind == InodeKind::Symlink {
            return Ok(handle);
        }
        if flags & libc::O_NOFOLLOW == 0 {
            return open_as(&link, flags | libc::O_CLOEXEC, path);
        }
        // A magic link would not be followed. What it is shows only afterwards.
        let fd = open(path, flags | libc::O_CLOEXEC)?;
        let stat = rustix::fs::fstat(&fd).context(|| format!("stat {}", path.display()))?;
        if (stat.st_dev, stat.st_ino) == seen { Ok(fd) } else { replaced() }
    }

    /// The ends that pipe2(2) gave go first: what was opened through /proc bears `O_LARGEFILE`.
    fn open_pipe(&mut self, file: &OpenFile) -> Result<OwnedFd> {
        let ends = self.pipes.get_mut(&file.inode).expect("pipes are made before they are opened");
        let (end, any) = match file.flags & libc::O_ACCMODE {
            libc::O_RDONLY => (&mut ends.0, ends.1.as_ref()),
            libc::O_WRONLY => (&mut ends.1, ends.0.as_ref()),
            _ => (&mut None, ends.0.as_ref().or(ends.1.as_ref())),
        };
        if file.flags & arch::O_LARGEFILE == 0
            && let Some(fd) = end.take()
        {
            // Later descriptions still need a way in.
            let link = link_to(&fd);
            *end = Some(open(&link, (file.flags & libc::O_ACCMODE) | libc::O_CLOEXEC | libc::O_NONBLOCK)?);
            set_flags(&fd, file.flags)?;
            return Ok(fd);
        }
        let via = end.as_ref().or(any).expect("both ends are held until names are removed");
        let link = link_to(via);
        open(&link, file.flags | libc::O_CLOEXEC)
    }

    /// Everything is open: names that should not be there go, and so do ends of pipes that nobody has.
    ///
    /// # Errors
    /// What unlink(2) says.
    pub fn remove_names(&mut self) -> Result<()> {
        self.pipes.clear();
        self.fifos.clear();
        while let Some(name) = self.names.pop() {
            if let Some((index, made)) = &name.made {
                let unlinked = self.records.inodes[*index].unlinked.as_ref();
                let unlinked = unlinked.expect("only what was unlinked is made");
                dress(made, unlinked)
                    .context(|| format!("set owner and permissions of {}", name.path.display()))?;
            }
            name.remove().context(|| format!("remove {}", name.path.display()))?;
        }
        Ok(())
    }

    /// Sets the times of unlinked files once more: what was done to them since has moved them.
    ///
    /// # Errors
    /// What utimensat(2) says.
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
        Ok(())
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

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        // Only after a failure are there any left; the failure is what gets reported.
        while let Some(name) = self.names.pop() {
            let _ = name.remove();
        }
    }
}

fn make_directory(path: &Path) -> std::io::Result<OwnedFd> {
    std::fs::create_dir(path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn make_fifo(path: &Path) -> std::io::Result<OwnedFd> {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Does not wait for a writer, and is none.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// The magic link that leads to what a descriptor is of.
fn link_to(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn open(path: &Path, flags: i32) -> Result<OwnedFd> {
    open_as(path, flags, path)
}

/// Opens `link`, which messages call `name`.
fn open_as(link: &Path, flags: i32, name: &Path) -> Result<OwnedFd> {
    match rustix::fs::open(link, OFlags::from_bits_retain(flags as u32), Mode::empty()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(Error::Conflict(format!("{}: no such file", name.display())))
        }
        other => other.context(|| format!("open {}", name.display())),
    }
}

fn set_flags(fd: &OwnedFd, flags: i32) -> Result<()> {
    rustix::fs::fcntl_setfl(fd, OFlags::from_bits_retain(flags as u32)).context(|| "set flags of open file")
}

/// Owner and permissions of an unlinked file; by descriptor, for its name may lead elsewhere by now.
fn dress(made: &OwnedFd, unlinked: &Unlinked) -> std::io::Result<()> {
    std::os::unix::fs::fchown(made, Some(unlinked.owner.0), Some(unlinked.owner.1))?;
    rustix::fs::fchmod(made, Mode::from_raw_mode(unlinked.mode))?;
    Ok(())
}

/// Access and modification time, in nanoseconds since the epoch.
fn set_times(path: &Path, (accessed, modified): (i64, i64)) -> std::io::Result<()> {
    const NANOS: i64 = 1_000_000_000;
    let time = |ns: i64| rustix::fs::Timespec { tv_sec: ns.div_euclid(NANOS), tv_nsec: ns.rem_euclid(NANOS) };
    let times = rustix::fs::Timestamps { last_access: time(accessed), last_modification: time(modified) };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?;
    Ok(())
}

/// Checks that a path leads to what the records say.
///
/// # Errors
/// *conflict*
pub fn check_kind(path: &Path, inode: &Inode) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => judge(path, &meta, inode),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::Conflict(format!("{}: no such file", path.display())))
        }
        Err(err) => Err(err).context(|| format!("stat {}", path.display())),
    }
}

fn judge(path: &Path, meta: &Metadata, inode: &Inode) -> Result<()> {
    let conflict = |what: String| Err(Error::Conflict(format!("{}: {what}", path.display())));
    let format = meta.mode() & libc::S_IFMT;
    let want = match inode.kind {
        InodeKind::Regular => libc::S_IFREG,
        InodeKind::Directory => libc::S_IFDIR,
        InodeKind::Device { .. } => libc::S_IFCHR,
        InodeKind::Fifo(_) => libc::S_IFIFO,
        InodeKind::Symlink => libc::S_IFLNK,
        InodeKind::Pipe(_) => return Ok(()),
    };
    if format != want {
        return conflict(format!("of another type ({format:#o}) than at the checkpoint ({want:#o})"));
    }
    if let InodeKind::Device { rdev } = inode.kind {
        let here = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        if here != rdev {
            return conflict(format!("device {here:?}, at the checkpoint it was {rdev:?}"));
        }
    }
    match inode.identity {
        Some(identity) if identity != inode::identity(meta) => {
            conflict("has changed since the checkpoint, and private mappings need it as it was".into())
        }
        _ => Ok(()),
    }
}

/// Checks every path before anything is made.
///
/// # Errors
/// *conflict*
pub fn check_paths(records: &Records) -> Result<()> {
    let mut named =
        records.inodes.iter().filter(|i| i.unlinked.is_none() && !matches!(i.kind, InodeKind::Pipe(_)));
    named.try_for_each(|inode| check_kind(inode.path.as_path(), inode))
}
