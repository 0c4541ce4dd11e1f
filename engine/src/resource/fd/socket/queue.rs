//! Messages in the queue of a unix socket: read without taking them out, and sent again.

use super::options::{SO_BUF_LOCK, set_size};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::journal::{Change, Entry};
use crate::resource::bytes::Bytes;
use crate::resource::fd::description::Descriptor;
use crate::resource::is_default;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, UCred, recvmsg, sendmsg,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// A message in a queue; of a stream, a piece that one read(2) returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its contents.
    pub data: Bytes,
    /// The address of the sender of a datagram, as in `sun_path`; empty without one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Bytes,
    /// The open file description of the sender of a datagram, if it has an address and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<usize>,
    /// PID, user and group of the sender; `None` if the receiver is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<(i32, u32, u32)>,
    /// Open file descriptions whose descriptors it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<usize>,
}

/// A message as it was read, with the descriptors that it carries.
pub struct Looked {
    /// The message, without its files.
    pub message: Message,
    /// Duplicates of the descriptors that it carries.
    pub descriptors: Vec<OwnedFd>,
}

/// The longest message that is read.
const LONGEST: usize = 16 << 20;
thread_local! {
    /// Room for a message, made once.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// `SCM_MAX_FD`, include/net/scm.h.
const MOST_FILES: usize = 253;
/// Bytes for control messages of other kinds: time stamps, security labels.
const OTHER_CONTROL: usize = 1024;

/// Where looks into the queue of a socket begin (`SO_PEEK_OFF`), while an engine's begin elsewhere
/// than those of the process that has it.
pub struct PeekOffset<'a> {
    fd: BorrowedFd<'a>,
    at: Subject,
    entry: Entry,
}

impl<'a> PeekOffset<'a> {
    /// That of the process.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn of(fd: BorrowedFd<'_>, at: &Subject) -> Result<i32> {
        socket::int(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF).context(|| format!("{at}: read SO_PEEK_OFF"))
    }

    /// Records it before it is changed; `fd` is a duplicate of `descriptor`.
    ///
    /// # Errors
    /// ENOSPC with too many changes at a time.
    pub fn begin(fd: BorrowedFd<'a>, descriptor: &Descriptor, before: i32) -> Result<PeekOffset<'a>> {
        let Descriptor { process, fd: number, .. } = *descriptor;
        let entry = Entry::record(Change::PeekOffset { process, fd: number, before })?;
        Ok(PeekOffset { fd, at: descriptor.at(), entry })
    }

    /// Moves it; -1 is the head of the queue, and stays there.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn set(&self, to: i32) -> Result<()> {
        socket::set_int(self.fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, to)
            .context(|| format!("{}: set SO_PEEK_OFF", self.at))
    }

    /// Puts it back.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn end(self) -> Result<()> {
        self.entry.undo()
    }
}

/// A socket whose queue is read: a duplicate of a descriptor of a process.
pub struct Queue<'a> {
    /// The duplicate.
    pub fd: BorrowedFd<'a>,
    /// The descriptor.
    pub descriptor: &'a Descriptor,
    /// `SOCK_*`
    pub kind: i32,
    /// What poll(2) shows.
    pub state: PollFlags,
}

impl Queue<'_> {
    fn is_stream(&self) -> bool {
        self.kind == libc::SOCK_STREAM
    }

    fn at(&self) -> Subject {
        self.descriptor.at()
    }

    /// Reads it without changing it. A pending error, which every recvmsg(2) on an empty queue
    /// takes, is left alone (`sock_error` in net/unix/af_unix.c and net/core/datagram.c).
    ///
    /// # Errors
    /// *unsupported* for a message that is too long, and for datagrams with an error before them;
    /// what the kernel reports.
    pub fn look(&self) -> Result<Vec<Looked>> {
        let at = self.at();
        let waiting = rustix::io::ioctl_fionread(self.fd).context(|| format!("{at}: read fill of queue"))?;
        let waiting = waiting as usize;
        if self.state.contains(PollFlags::ERR) && !self.is_stream() {
            let why = " has an error to report, which a look into its queue would take; receive first";
            return Err(Error::unsupported_now(Problem::of(at, why)));
        }
        if !self.state.contains(PollFlags::IN) || self.is_stream() && waiting == 0 {
            return Ok(Vec::new());
        }
        BUFFER.with_borrow_mut(|buf| {
            buf.resize(LONGEST, 0);
            self.look_into(buf, waiting)
        })
    }

    fn look_into(&self, buf: &mut [u8], waiting: usize) -> Result<Vec<Looked>> {
        let at = self.at();
        let before = PeekOffset::of(self.fd, &at)?;
        if self.is_stream() && before == -1 {
            let first = self.peek(buf)?;
            let is_all = |first: &Looked| {
                let plain = first.descriptors.is_empty() && first.message.credentials.is_none();
                plain && first.message.data.0.len() == waiting
            };
            if let Some(first) = first.filter(is_all) {
                return Ok(vec![first]);
            }
        }
        let offset = PeekOffset::begin(self.fd, self.descriptor, before)?;
        let all = self.look_at_offsets(&offset, buf, waiting);
        offset.end()?;
        all
    }

    /// Reads message by message, each from where the one before ended.
    fn look_at_offsets(
        &self,
        offset: &PeekOffset<'_>,
        buf: &mut [u8],
        waiting: usize,
    ) -> Result<Vec<Looked>> {
        let mut all: Vec<Looked> = Vec::new();
        if !self.is_stream() {
            // An empty message at the head is passed over below, once it has been looked at.
            offset.set(-1)?;
            all.extend(self.peek(buf)?.filter(|head| head.message.data.0.is_empty()));
        }
        offset.set(0)?;
        let mut end = 0;
        while let Some(next) = self.peek(buf)? {
            let len = next.message.data.0.len();
            // The end of sequenced packets, or an empty one.
            if len == 0 && self.kind == libc::SOCK_SEQPACKET && end >= waiting && self.has_ended()? {
                break;
            }
            end += len;
            all.push(next);
        }
        if !self.is_stream() {
            return Ok(all);
        }
        let (mut pieces, mut start) = (Vec::new(), 0);
        for piece in all {
            let len = piece.message.data.0.len();
            let plain = if piece.descriptors.is_empty() { 0 } else { self.plain_part(offset, start, len)? };
            start += len;
            pieces.extend(piece.split_at(plain));
        }
        Ok(pieces)
    }

    /// How much of what one recvmsg(2) returned came before the message that carries descriptors:
    /// these come with its first byte. A look does not tell; but one into a buffer that is a byte
    /// too short, and followed by nothing, ends before the message that does not fit.
    fn plain_part(&self, offset: &PeekOffset<'_>, start: usize, len: usize) -> Result<usize> {
        offset.set(start as i32)?;
        socket::peek_whole(self.fd, len - 1).context(|| format!("{}: look into queue", self.at()))
    }

    /// Whether it can receive nothing more.
    fn has_ended(&self) -> Result<bool> {
        let state = super::poll(self.fd).context(|| format!("{}: poll", self.at()))?;
        Ok(state.intersects(PollFlags::RDHUP | PollFlags::HUP))
    }

    /// The next message; `None` if there is none.
    fn peek(&self, buf: &mut [u8]) -> Result<Option<Looked>> {
        let at = self.at();
        let space = rustix::cmsg_space!(ScmRights(MOST_FILES), ScmCredentials(1)) + OTHER_CONTROL;
        let mut room = vec![MaybeUninit::uninit(); space];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::TRUNC | RecvFlags::CMSG_CLOEXEC;
        let mut parts = [IoSliceMut::new(buf)];
        let got = match recvmsg(self.fd, &mut parts, &mut control, flags) {
            Err(Errno::AGAIN) => return Ok(None),
            got => got.context(|| format!("{at}: look into queue"))?,
        };
        // The end of a stream.
        if self.is_stream() && got.bytes == 0 {
            return Ok(None);
        }
        if got.bytes > buf.len() || got.flags.bits() & libc::MSG_CTRUNC as u32 != 0 {
            let why = " has a message that is too long in its queue; receive it first";
            return Err(Error::unsupported_now(Problem::of(at, why)));
        }
        let mut looked = Looked { message: Message::default(), descriptors: Vec::new() };
        for item in control.drain() {
            match item {
                RecvAncillaryMessage::ScmRights(fds) => looked.descriptors.extend(fds),
                RecvAncillaryMessage::ScmCredentials(UCred { pid, uid, gid }) => {
                    let pid = pid.as_raw_nonzero().get();
                    looked.message.credentials = Some((pid, uid.as_raw(), gid.as_raw()));
                }
                _ => {}
            }
        }
        if self.kind == libc::SOCK_DGRAM {
            let from = got.address.and_then(|from| SocketAddrUnix::try_from(from).ok());
            looked.message.from = Bytes(from.map(|from| address_of(&from)).unwrap_or_default());
        }
        looked.message.data = Bytes(buf[..got.bytes].to_vec());
        Ok(Some(looked))
    }
}

impl Looked {
    /// The part without descriptors, if it is not empty, and the rest.
    fn split_at(mut self, plain: usize) -> impl Iterator<Item = Looked> {
        let rest = self.message.data.0.split_off(plain);
        let before =
            Message { data: std::mem::replace(&mut self.message.data, Bytes(rest)), ..self.message.clone() };
        let before = (plain != 0).then_some(Looked { message: before, descriptors: Vec::new() });
        before.into_iter().chain([self])
    }
}

/// A path, or a 0 byte and an abstract name; empty for none.
fn address_of(address: &SocketAddrUnix) -> Vec<u8> {
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => path.to_vec(),
        // An empty abstract name stands for none, too.
        (None, Some(name)) if !name.is_empty() => [&[0], name].concat(),
        _ => Vec::new(),
    }
}

/// An address from its bytes.
///
/// # Errors
/// ENAMETOOLONG
pub fn address(bytes: &[u8]) -> Result<SocketAddrUnix> {
    let address = match bytes.split_first() {
        Some((0, name)) => SocketAddrUnix::new_abstract_name(name),
        _ => SocketAddrUnix::new(bytes),
    };
    address.context(|| "make the address of a unix socket")
}

/// The name of what a socket is connected to; empty without one.
///
/// # Errors
/// As getpeername(2).
pub fn peer_name(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let name = rustix::net::getpeername(fd)?.and_then(|name| SocketAddrUnix::try_from(name).ok());
    Ok(name.map(|name| address_of(&name)).unwrap_or_default())
}

/// Sends a message to what `sender` is connected to.
///
/// # Errors
/// As [`send_by`].
pub fn send(sender: BorrowedFd<'_>, message: &Message, files: &[BorrowedFd<'_>]) -> Result<()> {
    send_by(message, files, |parts, control, flags| sendmsg(sender, parts, control, flags))
}

/// Sends a message by one call or, a stream's, by several.
///
/// # Errors
/// EAGAIN if there is no room; ESRCH if the process of the credentials is gone.
pub fn send_by(
    message: &Message,
    files: &[BorrowedFd<'_>],
    mut call: impl FnMut(
        &[IoSlice<'_>],
        &mut SendAncillaryBuffer<'_, '_, '_>,
        SendFlags,
    ) -> rustix::io::Result<usize>,
) -> Result<()> {
    let what = || format!("put a message of {} bytes into the queue of a socket", message.data.0.len());
    let too_many = || Error::Conflict("a message with too many descriptors".into());
    let credentials = message.credentials.map(|(pid, uid, gid)| {
        let pid = Pid::from_raw(pid).ok_or_else(|| Error::Conflict("a message of no process".into()))?;
        Ok(UCred { pid, uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) })
    });
    let credentials = credentials.transpose()?;
    let mut rest = &message.data.0[..];
    let mut carried = files;
    loop {
        let mut room =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES), ScmCredentials(1))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let told = credentials
            .is_none_or(|credentials| control.push(SendAncillaryMessage::ScmCredentials(credentials)));
        let carries = carried.is_empty() || control.push(SendAncillaryMessage::ScmRights(carried));
        if !told || !carries {
            return Err(too_many());
        }
        let parts = [IoSlice::new(rest)];
        let sent = call(&parts, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).context(what)?;
        rest = &rest[sent..];
        carried = &[];
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Sends bytes through a TCP connection whose other end has not received them yet.
///
/// # Errors
/// What the kernel reports.
pub fn send_all(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    let mut step = |most: usize| -> rustix::io::Result<bool> {
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(most)];
            match rustix::net::send(fd, piece, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return Ok(false),
                sent => rest = &rest[sent?..],
            }
        }
        Ok(true)
    };
    let what = || format!("send {} bytes through a TCP connection", bytes.len());
    if step(usize::MAX).context(what)? {
        return Ok(());
    }
    with_room(fd, || if step(1 << 20).context(what)? { Ok(()) } else { Err(Errno::AGAIN).context(what) })
}

/// Runs `fill` while a socket may send as much as there is memory.
///
/// # Errors
/// Those of `fill`; what the kernel reports.
pub fn with_room(sender: BorrowedFd<'_>, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    with_buffer(sender, libc::SO_SNDBUF, fill)
}

/// Runs `fill` while a socket may receive as much as there is memory.
///
/// # Errors
/// Those of `fill`; what the kernel reports.
pub fn with_room_to_receive(receiver: BorrowedFd<'_>, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    with_buffer(receiver, libc::SO_RCVBUF, fill)
}

fn with_buffer(fd: BorrowedFd<'_>, name: i32, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    const PLENTY: i32 = 1 << 29;
    let what = || "change the size of a socket's buffer";
    let before = socket::int(fd, libc::SOL_SOCKET, name).context(what)?;
    let lock = socket::int(fd, libc::SOL_SOCKET, SO_BUF_LOCK).ok();
    set_size(fd, name, PLENTY).context(what)?;
    let filled = fill();
    set_size(fd, name, before / 2).context(what)?;
    if let Some(lock) = lock {
        socket::set_int(fd, libc::SOL_SOCKET, SO_BUF_LOCK, lock).context(what)?;
    }
    filled
}
