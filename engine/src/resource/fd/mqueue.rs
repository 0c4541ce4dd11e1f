//! POSIX message queues (mq_overview(7)): files of a file system that each IPC namespace has.
//! Messages cannot be read without taking them, so they stay where they are.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Verbs, Way, unlinked};
use crate::error::{Context, Error, Problem, Result};
use crate::resource::bytes::PathBytes;
use crate::sys::mqueue::{self, Attributes};
use rustix::fs::{Gid, Mode, Uid};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

/// `MQUEUE_MAGIC`, ipc/mqueue.c.
pub(super) const MAGIC: i64 = 0x1980_0202;

/// A message queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageQueue {
    /// Its name, with the slash.
    pub name: PathBytes,
    /// It has no name any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlinked: bool,
    /// User and group id.
    pub owner: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// How many messages it can hold.
    pub most: u64,
    /// Size in bytes of the longest one.
    pub longest: u64,
    /// How many it holds.
    pub messages: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.file_system == MAGIC && seen.meta.is_file()).then(|| look(seen))
}

fn look(seen: &Observed<'_>) -> Result<Kind> {
    let what = || format!("{}: read", seen.at());
    let told = seen.reopen().and_then(|file| Told::read(&file)).context(what)?;
    if told.notified != 0 {
        let pid = told.notified;
        let why = format!(
            " is a message queue that notifies process {pid} (mq_notify), and the value that it sends along is not shown; cancel that first"
        );
        return Err(Error::unsupported(Problem::of(seen.at(), why)));
    }
    let unlinked = seen.meta.nlink() == 0;
    let name = if unlinked { seen.link.0.strip_suffix(b" (deleted)") } else { None };
    let name = name.unwrap_or(&seen.link.0);
    // Opened by way of a mount, it has a longer one.
    if name.iter().filter(|byte| **byte == b'/').count() != 1 {
        let why = " is a message queue that was opened by its path, and not by mq_open; close it first";
        return Err(Error::unsupported(Problem::of(seen.at(), why)));
    }
    Ok(Kind::MessageQueue(MessageQueue {
        name: PathBytes(name.to_vec()),
        unlinked,
        bytes: told.bytes,
        ..MessageQueue::of(&seen.meta)
    }))
}

/// What a queue tells when it is read as a file (`mqueue_read_file`).
struct Told {
    /// Bytes of all messages.
    bytes: u64,
    /// PID of the process that is to be notified, or 0.
    notified: i32,
}

impl Told {
    fn read(file: &File) -> io::Result<Self> {
        let mut text = [0; 256];
        let len = file.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..len]);
        let field = |name: &str| text.split_ascii_whitespace().find_map(|word| word.strip_prefix(name));
        let unknown = || io::Error::other(format!("unknown format: {text}"));
        Ok(Told {
            bytes: field("QSIZE:").and_then(|bytes| bytes.parse().ok()).ok_or_else(unknown)?,
            notified: field("NOTIFY_PID:").and_then(|pid| pid.parse().ok()).ok_or_else(unknown)?,
        })
    }
}

impl MessageQueue {
    fn of(meta: &Metadata) -> Self {
        let (owner, mode) = ((meta.uid(), meta.gid()), meta.mode() & 0o7777);
        MessageQueue { owner, mode, ..MessageQueue::default() }
    }

    fn set_attributes(&mut self, Attributes { most, longest, messages }: Attributes) {
        (self.most, self.longest, self.messages) = (most, longest, messages);
    }

    fn create(&self, name: &PathBytes) -> Result<OwnedFd> {
        let limit = |err: io::Error| match err.raw_os_error() {
            Some(libc::EEXIST) => {
                Error::Conflict(format!("message queue {name}: another has its name by now"))
            }
            Some(libc::EINVAL | libc::EMFILE | libc::ENOSPC | libc::ENOMEM) => Error::Conflict(format!(
                "message queue {name}: {} messages of {} bytes are more than allowed; raise fs.mqueue.* by sysctl(8), or RLIMIT_MSGQUEUE (`ulimit -q`)",
                self.most, self.longest
            )),
            _ => Error::Failed { what: format!("create message queue {name}"), source: err },
        };
        let made = mqueue::create(&name.0, self.most, self.longest).map_err(limit)?;
        let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        rustix::fs::fchown(&made, Some(uid), Some(gid)).context(|| format!("set owner of {name}"))?;
        rustix::fs::fchmod(&made, Mode::from_bits_retain(self.mode))
            .context(|| format!("set mode of {name}"))?;
        Ok(made)
    }

    /// The queue of this name, if it is as it was.
    fn find(&self) -> Result<Option<OwnedFd>> {
        let name = &self.name;
        let found = match mqueue::open(&name.0, libc::O_RDONLY) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.context(|| format!("open message queue {name}"))?,
        };
        let file = File::from(found);
        let meta = file.metadata().context(|| format!("stat message queue {name}"))?;
        let told = Told::read(&file).context(|| format!("read message queue {name}"))?;
        let mut now = MessageQueue { name: name.clone(), bytes: told.bytes, ..MessageQueue::of(&meta) };
        let attributes = mqueue::attributes(file.as_fd());
        now.set_attributes(attributes.context(|| format!("read attributes of message queue {name}"))?);
        if now == *self {
            return Ok(Some(file.into()));
        }
        let show = |queue: &MessageQueue| {
            let MessageQueue { owner: (uid, gid), mode, most, longest, messages, bytes, .. } = queue;
            format!(
                "{messages} messages of {most}, {bytes} bytes, each up to {longest}, mode {mode:o}, owner {uid}:{gid}"
            )
        };
        Err(Error::Conflict(format!(
            "message queue {name}: is not as it was: {} now, {} at the checkpoint",
            show(&now),
            show(self)
        )))
    }

    /// One that is gone can be created only if it was empty.
    fn or_empty(&self, found: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        if found.is_none() && self.messages > 0 {
            let MessageQueue { name, messages, .. } = self;
            let why = format!("message queue {name}: is gone, with its {messages} messages");
            return Err(Error::Conflict(why));
        }
        Ok(found)
    }
}

impl Verbs for MessageQueue {
    fn name(&self) -> &'static str {
        "message queue"
    }

    fn title(&self, _index: usize) -> String {
        format!("message queue {}", self.name)
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    /// Messages are found by name.
    fn is_shared_state(&self, _flags: i32) -> bool {
        self.unlinked
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let Some(first) = descriptors.first() else {
            return Err(Error::unsupported(format!(
                "message queue {}: has handles (O_PATH) only",
                self.name
            )));
        };
        let fd = first.duplicate()?;
        let attributes = mqueue::attributes(fd.as_fd());
        self.set_attributes(attributes.context(|| format!("{}: read attributes", first.at()))?);
        if self.unlinked && self.messages > 0 {
            let why = format!(
                ": is a message queue without a name, and its {} messages would be lost; receive them first",
                self.messages
            );
            return Err(Error::unsupported_now(Problem::of(first.at(), why)));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let name = &self.name.0;
        let named =
            name.len() > 1 && name[0] == b'/' && !name[1..].iter().any(|byte| [b'/', 0].contains(byte));
        let whole = self.mode <= 0o7777 && self.most > 0 && self.longest > 0 && self.messages <= self.most;
        if named && whole { Ok(()) } else { Err("invalid message queue".into()) }
    }

    fn examine(&self) -> Result<()> {
        if self.unlinked { Ok(()) } else { self.find().and_then(|found| self.or_empty(found)).map(drop) }
    }

    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let opener = |queue| Box::new(Opener { queue, name: self.name.clone(), unlink: false });
        if self.unlinked {
            // It needs a name for a moment; another queue may have its own since.
            let taken = mqueue::open(&self.name.0, libc::O_RDONLY).is_ok();
            // The PID is not enough: other PID namespaces have it, too.
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let name = format!("/cairn-{}-{}.{:09}", std::process::id(), now.tv_sec, now.tv_nsec);
            let name = if taken { PathBytes(name.into_bytes()) } else { self.name.clone() };
            return Ok(Box::new(Opener { queue: self.create(&name)?, name, unlink: true }));
        }
        if let Some(found) = self.or_empty(self.find()?)? {
            return Ok(opener(found));
        }
        let made = self.create(&self.name)?;
        let name = self.name.0.clone();
        way.undo(move || mqueue::unlink(&name));
        Ok(opener(made))
    }
}

/// Opens descriptions of a queue, by its name: open(2) would set `O_LARGEFILE`, unlike mq_open(3).
struct Opener {
    queue: OwnedFd,
    name: PathBytes,
    /// Whether the name is to be removed in the end.
    unlink: bool,
}

impl Made for Opener {
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let what = || format!("open message queue {}", self.name);
        let fd = mqueue::open(&self.name.0, flags & (libc::O_ACCMODE | libc::O_NONBLOCK)).context(what)?;
        let node = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_ino).context(what);
        if node(&fd)? != node(&self.queue)? {
            return Err(Error::Conflict(format!("message queue {}: another has its name by now", self.name)));
        }
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        if self.unlink {
            // If somebody else has removed it, it is as it should be.
            let _ = mqueue::unlink(&self.name.0);
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[crate::resource::fault::Fault {
    name: "message-queue-smaller",
    what: "POSIX message queues hold fewer messages",
    commit: |r| {
        for inode in &mut r.inodes {
            if let Kind::MessageQueue(queue) = &mut inode.kind {
                queue.most = 1;
            }
        }
    },
}];
