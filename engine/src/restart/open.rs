//! The engine's own part of a restart: it opens every open file description once, so that sharing
//! by dup(2) and fork(2) comes back by inheritance. What was created here is removed again when the
//! restart fails.

use super::changes::{self, Accepted, Verdict};
use crate::error::{Context, Error, Result};
use crate::image::{Extent, Reader};
use crate::resource::Records;
use crate::resource::attributes::{self, Stage};
use crate::resource::created::Created;
use crate::resource::fd::description::OpenFile;
use crate::resource::fd::external::Replacements;
use crate::resource::fd::socket::peer::Deputies;
use crate::resource::fd::table;
use crate::resource::fd::unlinked::{self, Maker, Unlinked, Unnamed};
use crate::resource::fd::{JoinStage, Joined, Kind, Made, Others, Way};
use crate::resource::ipc;
use crate::resource::ipc::segment::Segment;
use crate::resource::mm::shared::SharedMemory;
use crate::sys::file::link_to;
use crate::sys::mapping::SharedMapping;
use crate::sys::{self, page_size};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the engine holds during a restart.
pub struct Opened<'a> {
    records: &'a Records,
    reader: &'a Reader,
    /// Named inodes accepted by [`changes::check`], by index.
    accepted: Vec<Option<Accepted>>,
    /// Descriptors by slot; closed when all processes have inherited them.
    slots: HashMap<i32, OwnedFd>,
    /// The slot of each open file description.
    file_slots: &'a [i32],
    /// Objects by inode, until all their descriptions are open.
    objects: HashMap<usize, Box<dyn Made>>,
    /// Unlinked files by inode, until all their descriptions are open.
    unlinked: HashMap<usize, File>,
    /// Descriptions that had to be opened while the file had a name, or came to be with another,
    /// by file.
    early: RefCell<HashMap<usize, OwnedFd>>,
    /// What descriptions are connected to until everything is joined, by file.
    partners: HashMap<usize, OwnedFd>,
    /// Children that make sockets, until everything is connected.
    deputies: Deputies,
    /// The end of the channel that descriptors are sent into.
    channel: Option<OwnedFd>,
    /// Descriptions opened when all tasks were there, by file.
    late: HashMap<usize, OwnedFd>,
    /// Files whose attributes (chattr(1)) or seals forbid further changes; these are set last.
    last: Vec<(usize, File)>,
    /// What takes the place of external files.
    replacements: &'a Replacements,
    maker: Maker,
    /// What was created and would stay.
    created: RefCell<Created>,
    /// Mappings without which removed System V shared memory would be gone.
    held: Vec<SharedMapping>,
}

impl<'a> Opened<'a> {
    /// Nothing opened yet; `accepted` is the result of [`changes::check`], `file_slots` of the
    /// plan.
    pub fn new(
        records: &'a Records,
        reader: &'a Reader,
        accepted: Vec<Option<Accepted>>,
        replacements: &'a Replacements,
        file_slots: &'a [i32],
    ) -> Self {
        Opened {
            records,
            reader,
            accepted,
            slots: HashMap::new(),
            file_slots,
            objects: HashMap::new(),
            unlinked: HashMap::new(),
            early: RefCell::default(),
            partners: HashMap::new(),
            deputies: Deputies::default(),
            channel: None,
            late: HashMap::new(),
            last: Vec::new(),
            replacements,
            maker: Maker::default(),
            created: RefCell::default(),
            held: Vec::new(),
        }
    }

    /// Duplicates a descriptor to a slot.
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

    /// Creates shared memory: mapped in the engine, opened through /proc/self/map_files, filled and
    /// unmapped; the descriptor keeps the object alive.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; ENOMEM, also when huge pages run
    /// out.
    pub fn make_shared(&mut self, object: usize, slot: i32) -> Result<()> {
        let SharedMemory { size, page, content, segment } = &self.records.shared[object];
        let what = || format!("make shared memory of {size} bytes");
        let huge = (*page != page_size()).then_some(*page);
        let mut mapping = match segment {
            Some(segment) => segment.make(*page, self.created.get_mut())?,
            None => SharedMapping::new(*size as usize, huge).context(what)?,
        };
        let (start, end) = mapping.bounds();
        let link = format!("/proc/self/map_files/{start:x}-{end:x}");
        let file = rustix::fs::open(&link, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context(what)?;
        if segment.is_some() {
            // It may have been left behind.
            let all = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&file, all, 0, end - start).context(|| "clear System V shared memory")?;
        }
        for extent in content {
            let target = mapping.range(extent.start as usize, extent.len as usize);
            self.read(extent, target, 0).context(what)?;
        }
        if segment.as_ref().is_some_and(|segment| segment.removed) {
            self.held.push(mapping);
        }
        self.place(file, slot)
    }

    /// Every process is attached to System V shared memory: sets owner and permissions.
    ///
    /// # Errors
    /// As shmctl(2).
    pub fn finish_shared(&mut self, object: usize) -> Result<()> {
        let segment = &self.records.shared[object].segment;
        segment.as_ref().map_or(Ok(()), Segment::finish)
    }

    /// Creates a System V object that is used by its id only, unless the job has left it behind.
    ///
    /// # Errors
    /// *conflict* if its id or key is another's.
    pub fn make_sysv(&mut self, object: usize) -> Result<()> {
        ipc::ensure(self.records.sysv[object].object(), self.created.get_mut())
    }

    /// Sets contents, owner and permissions of such an object.
    ///
    /// # Errors
    /// As semctl(2) and msgctl(2).
    pub fn fill_sysv(&self, object: usize) -> Result<()> {
        self.records.sysv[object].object().fill()
    }

    /// The restart has succeeded: what was created stays.
    pub fn keep(&mut self) {
        self.created.get_mut().keep();
    }

    fn read(&self, extent: &Extent, buf: &mut [u8], at: u64) -> std::io::Result<()> {
        self.reader.read_pages(extent.offset + at, buf).map_err(|err| std::io::Error::other(err.to_string()))
    }

    /// Recreates an unlinked inode with its contents, and whatever else must exist before the first
    /// description of an inode is opened.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads through a symbolic link.
    pub fn make_inode(&mut self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        if let Some(unlinked) = &inode.unlinked {
            let made = self.make_unlinked(index, unlinked)?;
            self.unlinked.insert(index, made);
        }
        let object =
            inode.kind.verbs().make(&Way::new(inode, self.replacements, &self.created, &|flags| {
                self.open_inode(index, flags)
            }))?;
        self.objects.insert(index, object);
        Ok(())
    }

    fn make_unlinked(&mut self, index: usize, unlinked: &Unlinked) -> Result<File> {
        let inode = &self.records.inodes[index];
        let path = &inode.label(index);
        if inode.kind.verbs().holds_content() {
            let made = inode.kind.verbs().create()?;
            return self.fill_new(made, unlinked, path);
        }
        // Refused at the checkpoint.
        let refuse = |what| Error::Conflict(format!("{}: is {what}", path.display()));
        let how = inode.kind.verbs().unlinked().map_err(refuse)?;
        let (records, early) = (self.records, self.early.get_mut());
        let made = self.maker.make(path, how, &mut |dir, name, made| {
            let meta = made.metadata().context(|| format!("stat {}", path.display()))?;
            // fcntl(2) cannot set O_NOFOLLOW, and a magic link cannot be opened with it.
            let only_by_name = |file: &OpenFile| file.inode == index && file.flags & libc::O_NOFOLLOW != 0;
            for (number, file) in records.files.iter().enumerate().filter(|(_, f)| only_by_name(f)) {
                let flags = file.flags | libc::O_NONBLOCK | libc::O_NOCTTY;
                early.insert(number, unlinked::open_by_name((dir, name), flags, &meta, path)?);
            }
            Ok(())
        })?;
        if how == Unnamed::Regular { self.fill_new(made, unlinked, path) } else { Ok(made) }
    }

    /// Writes the contents of an unlinked file into an empty one.
    fn fill_new(&self, made: File, unlinked: &Unlinked, path: &Path) -> Result<File> {
        unlinked::set_first_flags(&made, unlinked, path)?;
        self.fill(&made, unlinked).context(|| format!("fill {} (unlinked)", path.display()))?;
        Ok(made)
    }

    fn fill(&self, file: &File, unlinked: &Unlinked) -> std::io::Result<()> {
        file.set_len(unlinked.size)?;
        let mut buf = vec![0u8; crate::image::MAX_FRAME];
        for extent in &unlinked.content {
            let mut at = 0;
            while at < extent.len {
                let len = (extent.len - at).min(buf.len() as u64) as usize;
                self.read(extent, &mut buf[..len], at)?;
                // The last page extends past the end of the file.
                let inside = unlinked.size.saturating_sub(extent.start + at).min(len as u64) as usize;
                file.write_all_at(&buf[..inside], extent.start + at)?;
                at += len as u64;
            }
        }
        Ok(())
    }

    /// Removes the names of all unlinked directories, once all of them have been created.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove_directories(&mut self) -> Result<()> {
        self.maker.remove_directories()
    }

    /// Everything is open on a created inode: drops what the engine holds of it. An unlinked one
    /// gets its owner and mode, which may be such that it can no longer be opened.
    ///
    /// # Errors
    /// *denied* when it belongs to another user.
    pub fn finish_inode(&mut self, index: usize) -> Result<()> {
        self.objects.remove(&index);
        let inode = &self.records.inodes[index];
        let (Some(made), Some(unlinked)) = (self.unlinked.remove(&index), &inode.unlinked) else {
            return Ok(());
        };
        unlinked::set_attributes(&made, unlinked, &inode.label(index))?;
        let verbs = inode.kind.verbs();
        if !verbs.is_sealed_last() {
            verbs.seal(&made)?;
        }
        if unlinked.flags != 0 || verbs.is_sealed_last() {
            self.last.push((index, made));
        }
        Ok(())
    }

    /// Opens a file at its slot and sets flags and offset.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads to something else.
    pub fn open(&mut self, index: usize, slot: i32) -> Result<()> {
        let fd = self.open_description(index)?;
        self.place(fd, slot)
    }

    /// Opens a file that refers to a task, to be sent.
    ///
    /// # Errors
    /// As [`Opened::open`].
    pub fn open_late(&mut self, index: usize) -> Result<()> {
        let fd = self.open_description(index)?;
        self.late.insert(index, fd);
        Ok(())
    }

    /// Makes the channel; processes inherit the receiving end as `slot`.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn make_channel(&mut self, slot: i32) -> Result<()> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .context(|| "make a socket pair to move descriptors")?;
        self.channel = Some(ours);
        self.place(theirs, slot)
    }

    /// Sends descriptors of these files through the channel, in one message.
    ///
    /// # Errors
    /// As sendmsg(2): ETOOMANYREFS when too many are on their way.
    pub fn send(&self, files: &[usize]) -> Result<()> {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let channel = self.channel.as_ref().expect("the plan makes it first");
        let fds: Vec<_> = files.iter().map(|file| self.late[file].as_fd()).collect();
        let mut room =
            vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(table::MOST_AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)), "there is room for as many");
        sendmsg(channel, &[std::io::IoSlice::new(&[0])], &mut control, SendFlags::empty())
            .context(|| format!("send {} descriptors", fds.len()))?;
        Ok(())
    }

    /// *join* of all open file descriptions.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn join(&mut self, stage: JoinStage) -> Result<()> {
        let opened = |file: usize| {
            let in_slot = || self.slots.get(self.file_slots.get(file)?);
            let found = self.late.get(&file).or_else(in_slot).map(AsFd::as_fd);
            found.ok_or_else(|| Error::Conflict("a descriptor refers to another that is not open".into()))
        };
        for (index, file) in self.records.files.iter().enumerate().filter(|(_, file)| !file.is_path()) {
            let verbs = self.records.inodes[file.inode].kind.verbs();
            if verbs.joins() {
                let partner = self.partners.get(&index).map(AsFd::as_fd);
                let (records, deputies) = (self.records, &self.deputies);
                verbs.join(stage, opened(index)?, &Joined { opened: &opened, partner, records, deputies })?;
            }
        }
        if stage == JoinStage::Connect {
            self.deputies.dismiss();
        }
        if stage == JoinStage::Finish {
            self.partners.clear();
        }
        Ok(())
    }

    fn open_description(&mut self, index: usize) -> Result<OwnedFd> {
        let file = &self.records.files[index];
        let inode = &self.records.inodes[file.inode];
        let later = if inode.kind.verbs().enables_async_late() { libc::O_ASYNC } else { 0 };
        let flags = file.flags & !later;
        // Removed from the map because opening may need `self` to open the inode.
        let held = self.objects.remove(&file.inode);
        let early = self.early.get_mut().remove(&index);
        let way = &|flags| self.open_inode(file.inode, flags);
        let created = self.unlinked.get(&file.inode);
        let opened = |file: usize| self.slots.get(self.file_slots.get(file)?).map(AsFd::as_fd);
        let others =
            Others { opened: &opened, left: &self.early, records: self.records, deputies: &self.deputies };
        let way = Way::new(inode, self.replacements, &self.created, way).with_created(created).among(others);
        let was_held = held.is_some();
        let mut object = match held {
            Some(object) => object,
            None => inode.kind.verbs().make(&way)?,
        };
        let was_early = early.is_some();
        let fd = early.map_or_else(|| object.open(&way, flags), Ok)?;
        if !file.is_path() {
            if was_early {
                unlinked::set_flags(&fd, flags)?;
            }
            object.adjust(&way, &fd, flags)?;
            // A changed file that the user chose to ignore may be shorter: do not leave a hole up
            // to the old offset.
            let accepted = self.accepted[file.inode].as_ref();
            let end = accepted.filter(|a| a.verdict == Verdict::Ignored).and_then(Accepted::size);
            let offset = file.offset.min(end.unwrap_or(u64::MAX));
            if offset != 0 {
                let to = rustix::fs::SeekFrom::Start(offset);
                rustix::fs::seek(&fd, to).context(|| format!("seek {} to {offset}", inode.path))?;
            }
        }
        let partner = way.into_partner();
        self.partners.extend(partner.map(|partner| (index, partner)));
        if was_held {
            self.objects.insert(file.inode, object);
        }
        let name = || inode.label(file.inode).display().to_string();
        file.locks.iter().try_for_each(|lock| lock.take(&fd, &name()))?;
        Ok(fd)
    }

    /// Opens an inode after checking that it is the one examined before: its path may have been
    /// replaced in between.
    fn open_inode(&self, index: usize, flags: i32) -> Result<OwnedFd> {
        let inode = &self.records.inodes[index];
        let path = inode.path.as_path();
        if let Some(made) = self.unlinked.get(&index) {
            return open_as(&link_to(made), flags, path);
        }
        let handle = self.open_accepted(index)?;
        if inode.kind == Kind::Symlink {
            return Ok(handle.into());
        }
        if flags & libc::O_NOFOLLOW == 0 {
            return open_as(&link_to(&handle), flags, path);
        }
        // O_NOFOLLOW does not follow a magic link, so open by name and check the inode afterwards.
        let parent = changes::open_handle(path.parent().unwrap_or(Path::new("/")))?.into();
        let name = path.file_name().unwrap_or(path.as_os_str());
        let meta = handle.metadata().context(|| format!("stat {}", path.display()))?;
        unlinked::open_by_name((&parent, name), flags, &meta, path)
    }

    /// An O_PATH handle to a named inode.
    fn open_accepted(&self, index: usize) -> Result<File> {
        let path = self.records.inodes[index].path.as_path();
        let handle = changes::open_handle(path)?;
        let meta = handle.metadata().context(|| format!("stat {}", path.display()))?;
        let Some(accepted) = self.accepted[index].as_ref() else {
            return Err(Error::Conflict(format!(
                "{}: has no path",
                self.records.inodes[index].kind.verbs().name()
            )));
        };
        accepted.check(path, &meta)?;
        Ok(handle)
    }

    /// Truncates what was appended to a file since the checkpoint.
    ///
    /// # Errors
    /// *conflict* when the file is not the one examined before.
    pub fn cut_back(&self, index: usize) -> Result<()> {
        let inode = &self.records.inodes[index];
        let path = inode.path.as_path();
        let size = inode.identity.as_ref().map_or(0, |identity| identity.size);
        let handle = self.open_accepted(index)?;
        let file = open_as(&link_to(&handle), libc::O_WRONLY | libc::O_CLOEXEC, path)?;
        rustix::fs::ftruncate(&file, size).context(|| format!("truncate {} to {size} bytes", path.display()))
    }

    /// Sets the times of unlinked files again, since later steps have changed them, then the
    /// attributes and seals that forbid all further changes.
    ///
    /// # Errors
    /// As utimensat(2); *denied* without CAP_LINUX_IMMUTABLE.
    pub fn reset_times(&self) -> Result<()> {
        // Every inode in the records has at least one description open on it.
        let slots: HashMap<usize, i32> =
            self.records.files.iter().zip(self.file_slots).map(|(file, slot)| (file.inode, *slot)).collect();
        for (index, inode) in self.records.inodes.iter().enumerate() {
            if let Some(unlinked) = &inode.unlinked {
                let link = format!("/proc/self/fd/{}", slots[&index]);
                set_times(Path::new(&link), unlinked.times)
                    .context(|| format!("set times of {} (unlinked)", inode.label(index).display()))?;
            }
        }
        for (index, file) in &self.last {
            let inode = &self.records.inodes[*index];
            let flags = inode.unlinked.as_ref().map_or(0, |unlinked| unlinked.flags);
            inode.kind.verbs().seal(file)?;
            attributes::set_flags(flags, Stage::Last, file, &inode.label(*index))?;
        }
        Ok(())
    }

    /// Closes the engine's descriptors once every process has inherited its own: a pipe reader sees
    /// EOF only when the engine has closed its end, too. Then finishes what this would disturb.
    /// Returns connections that are still locked.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn close_slots(&mut self) -> Result<Vec<OwnedFd>> {
        let Records { files, inodes, .. } = self.records;
        let verbs = |file: &OpenFile| inodes[file.inode].kind.verbs();
        let is_last = |file: &OpenFile| !file.is_path() && verbs(file).is_finished_last();
        let mut kept = HashMap::new();
        let mut locked = Vec::new();
        for (index, (file, slot)) in files.iter().zip(self.file_slots).enumerate() {
            if file.is_path() || is_last(file) {
                kept.extend(self.slots.remove(slot).map(|fd| (index, fd)));
            } else if verbs(file).lock().is_some() {
                locked.extend(self.slots.remove(slot).or_else(|| self.late.remove(&index)));
            }
        }
        self.slots.clear();
        self.late.clear();
        self.channel = None;
        self.held.clear();
        self.last.clear();
        let opened = |file: usize| {
            let fd = kept.get(&file).ok_or_else(|| Error::Conflict("a watch of what is no handle".into()))?;
            fd.try_clone().context(|| "duplicate a handle")
        };
        for (index, file) in files.iter().enumerate().filter(|(_, file)| is_last(file)) {
            let fd = kept.get(&index).expect("it was kept");
            verbs(file).finish(fd, &opened)?;
        }
        Ok(locked)
    }

    /// Sets the owners that receive SIGIO; the processes must exist.
    ///
    /// # Errors
    /// ESRCH for an owner that does not exist.
    pub fn set_owners(&self) -> Result<()> {
        for (index, (file, slot)) in self.records.files.iter().zip(self.file_slots).enumerate() {
            let Some(owner) = file.owner else { continue };
            let fd = self.late.get(&index).unwrap_or_else(|| &self.slots[slot]);
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

/// Opens `link`, which error messages call `name`.
fn open_as(link: &Path, flags: i32, name: &Path) -> Result<OwnedFd> {
    match rustix::fs::open(link, OFlags::from_bits_retain(flags as u32), Mode::empty()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(Error::Conflict(format!("{}: no such file; put it back", name.display())))
        }
        other => other.context(|| format!("open {}", name.display())),
    }
}

/// Sets access and modification time, in nanoseconds since the epoch.
fn set_times(path: &Path, (accessed, modified): (i64, i64)) -> std::io::Result<()> {
    const NANOS: i64 = 1_000_000_000;
    let time = |ns: i64| rustix::fs::Timespec { tv_sec: ns.div_euclid(NANOS), tv_nsec: ns.rem_euclid(NANOS) };
    let times = rustix::fs::Timestamps { last_access: time(accessed), last_modification: time(modified) };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?;
    Ok(())
}
