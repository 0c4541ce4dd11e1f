//! Pipes: capacity and contents, packet by packet in packet mode. Also used for FIFOs, see
//! [`super::fifo`].

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::unlinked::set_flags;
use super::{Identity, Kind, Made, Verbs, Way, external};
use crate::arch;
use crate::error::{Context, Error, External, Problem, Result};
use crate::resource::bytes::Bytes;
use crate::sys::file::link_to;
use crate::sys::poll;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, tee};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// The state of a pipe or FIFO.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipe {
    /// Capacity in bytes, F_GETPIPE_SZ.
    pub capacity: usize,
    /// Contents: one piece, or one for each packet in packet mode.
    pub data: Vec<Bytes>,
    /// Whether the pieces are packets.
    pub packets: bool,
    /// A FIFO that has had no writer since its reader opened it: poll(2) reports no hang-up.
    #[serde(default)]
    pub never_written: bool,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let is_ours = seen.link.0.starts_with(b"pipe:[") && seen.meta.file_type().is_fifo();
    is_ours.then(|| Ok(Kind::Pipe(Pipe::default())))
}

impl Verbs for Pipe {
    fn name(&self) -> &'static str {
        "pipe"
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        *self = capture_ends(descriptors)?;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let inside: usize = self.data.iter().map(|piece| piece.0.len()).sum();
        if self.capacity <= 1 << 31 && inside <= self.capacity {
            return Ok(());
        }
        Err("a pipe with more data than its capacity".into())
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let (reader, writer) = make()?;
        rebuild(self, writer.as_fd())?;
        Ok(Box::new(Ends { reader: Some(reader), writer: Some(writer) }))
    }

    fn enables_async_late(&self) -> bool {
        true
    }
}

/// Both ends, held until all descriptions are open.
struct Ends {
    reader: Option<OwnedFd>,
    writer: Option<OwnedFd>,
}

impl Made for Ends {
    /// Uses the ends of pipe2(2) first: what is opened through /proc has `O_LARGEFILE`.
    fn open(&mut self, _way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let (end, any) = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => (&mut self.reader, self.writer.as_ref()),
            libc::O_WRONLY => (&mut self.writer, self.reader.as_ref()),
            _ => (&mut None, self.reader.as_ref().or(self.writer.as_ref())),
        };
        if flags & (arch::O_LARGEFILE | libc::O_PATH) == 0
            && let Some(fd) = end.take()
        {
            // Keep an end to open later descriptions from.
            let access = flags & libc::O_ACCMODE;
            *end = Some(reopen(&fd, access | libc::O_NONBLOCK)?);
            set_flags(&fd, flags)?;
            return Ok(fd);
        }
        reopen(end.as_ref().or(any).expect("both ends are held until all are open"), flags)
    }
}

fn reopen(end: &OwnedFd, flags: i32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
    rustix::fs::open(link_to(end), flags, Mode::empty()).context(|| "open end of pipe")
}

/// Reads the state through the ends in the tree. Refuses a pipe with an end outside.
pub(super) fn capture_ends(ends: &[Descriptor]) -> Result<Pipe> {
    let reader = ends.iter().find(|end| end.flags & libc::O_ACCMODE != libc::O_WRONLY);
    let writer = ends.iter().find(|end| end.writes());
    let packets = ends.iter().any(|end| end.writes() && end.flags & libc::O_DIRECT != 0);
    let alone = match (reader, writer) {
        (Some(_), Some(_)) => None,
        (Some(end), None) => Some((end, "a pipe that a process outside the job writes to")),
        (None, Some(end)) => Some((end, "a pipe that a process outside the job reads from")),
        // Only O_PATH descriptors: the pipe cannot contain anything.
        (None, None) => return Ok(Pipe::default()),
    };
    let mut never_written = false;
    if let Some((end, what)) = alone {
        match other_side(end.duplicate()?.as_fd())? {
            OtherSide::Closed => {}
            OtherSide::NeverOpen => never_written = true,
            OtherSide::Open => {
                let why = format!(
                    " is {what}: save a tree that contains both, or start the job with files instead{}",
                    external::advice(&end.name())
                );
                let at = end.at().leading_to(end.name());
                return Err(Error::unsupported(Problem::external(at, External::PipeEnd, why)));
            }
        }
    }
    match (reader, writer) {
        (Some(reader), _) => Ok(Pipe { never_written, ..capture(reader.duplicate()?.as_fd(), packets)? }),
        (None, Some(writer)) => {
            // No process has the read end, but the contents are still accessible through /proc.
            let reader = reopen(&writer.duplicate()?, libc::O_RDONLY | libc::O_NONBLOCK)?;
            capture(reader.as_fd(), packets)
        }
        (None, None) => unreachable!("returned above"),
    }
}

/// Maximum bytes for one tee(2).
const MOST: usize = 1 << 30;

/// Reads a pipe's contents without consuming them, through a read end. Packet mode is a flag of the
/// write end.
///
/// # Errors
/// What the kernel reports; a capacity above our limit.
pub fn capture(reader: BorrowedFd<'_>, packets: bool) -> Result<Pipe> {
    let capacity = fcntl_getpipe_size(reader).context(|| "read capacity of pipe")?;
    let waiting = rustix::io::ioctl_fionread(reader).context(|| "read fill of pipe")?;
    let mut pipe = Pipe { capacity, data: Vec::new(), packets, never_written: false };
    if waiting == 0 {
        return Ok(pipe);
    }
    let (copy_out, copy_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).context(|| "make pipe")?;
    fcntl_setpipe_size(&copy_in, capacity).context(|| format!("make pipe of {capacity} bytes"))?;
    let copied = tee(reader, &copy_in, MOST, SpliceFlags::NONBLOCK).context(|| "copy pipe")? as u64;
    if copied != waiting {
        let source = std::io::Error::other(format!("{copied} of {waiting} bytes"));
        return Err(Error::Failed { what: "copy pipe".into(), source });
    }
    let mut buf = vec![0u8; waiting as usize];
    loop {
        match rustix::io::read(&copy_out, &mut buf) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(n) if packets => pipe.data.push(Bytes(buf[..n].to_vec())),
            Ok(n) => match pipe.data.first_mut() {
                Some(first) => first.0.extend_from_slice(&buf[..n]),
                None => pipe.data.push(Bytes(buf[..n].to_vec())),
            },
            Err(err) => return Err(err).context(|| "read copy of pipe"),
        }
    }
    Ok(pipe)
}

/// Sets the capacity, through either end.
///
/// # Errors
/// What the kernel reports: EPERM for a capacity above /proc/sys/fs/pipe-max-size.
pub fn set_capacity(pipe: &Pipe, end: BorrowedFd<'_>) -> Result<()> {
    // Unknown (0) if it was open with O_PATH only.
    if pipe.capacity != 0 && fcntl_getpipe_size(end).context(|| "read capacity of pipe")? != pipe.capacity {
        fcntl_setpipe_size(end, pipe.capacity)
            .context(|| format!("set capacity of pipe to {}", pipe.capacity))?;
    }
    Ok(())
}

/// Sets the capacity and writes the contents to the write end `writer`.
///
/// # Errors
/// What the kernel reports: EPERM for a capacity above /proc/sys/fs/pipe-max-size.
pub fn rebuild(pipe: &Pipe, writer: BorrowedFd<'_>) -> Result<()> {
    set_capacity(pipe, writer)?;
    let flags = rustix::fs::fcntl_getfl(writer).context(|| "read flags of pipe")?;
    let mode = if pipe.packets { OFlags::DIRECT } else { OFlags::empty() };
    let now = (flags - OFlags::DIRECT) | mode | OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(writer, now).context(|| "set flags of pipe")?;
    for piece in &pipe.data {
        let mut rest = &piece.0[..];
        while !rest.is_empty() {
            let n = rustix::io::write(writer, rest).context(|| "fill pipe")?;
            rest = &rest[n..];
        }
    }
    rustix::fs::fcntl_setfl(writer, flags).context(|| "set flags of pipe")
}

/// Creates a pipe; returns the read end and the write end.
///
/// # Errors
/// What the kernel reports.
pub fn make() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).context(|| "make pipe")
}

/// The state of the other side of a pipe, as seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSide {
    /// Open in some process.
    Open,
    /// Closed in all processes.
    Closed,
    /// A reader that has not had a writer yet.
    NeverOpen,
}

/// Determines the state of the other side of an end.
///
/// # Errors
/// As poll(2).
pub fn other_side(end: BorrowedFd<'_>) -> Result<OtherSide> {
    let events = poll::now(end, PollFlags::empty()).context(|| "poll pipe")?;
    if events.intersects(PollFlags::ERR | PollFlags::HUP) {
        return Ok(OtherSide::Closed);
    }
    // The reader of a FIFO that has never had a writer gets no hang-up. On an empty FIFO tee(2)
    // returns 0 without a writer, EAGAIN with one.
    let (_copy_out, copy_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).context(|| "make pipe")?;
    let reads =
        rustix::fs::fcntl_getfl(end).context(|| "read flags of pipe")? & OFlags::RWMODE == OFlags::RDONLY;
    let empty = reads && rustix::io::ioctl_fionread(end).context(|| "read fill of pipe")? == 0;
    let lonely = empty && tee(end, &copy_in, MOST, SpliceFlags::NONBLOCK) == Ok(0);
    Ok(if lonely { OtherSide::NeverOpen } else { OtherSide::Open })
}

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Pipe)) {
    for inode in &mut records.inodes {
        match &mut inode.kind {
            Kind::Pipe(pipe) => change(pipe),
            Kind::Fifo(fifo) => change(&mut fifo.0),
            _ => {}
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "pipe-byte-lost",
        what: "a pipe loses its last byte",
        commit: |r| {
            each(r, |p| {
                p.data.last_mut().map(|d| d.0.pop());
            });
        },
    },
    crate::resource::fault::Fault {
        name: "pipe-byte-changed",
        what: "a byte in a pipe changes",
        commit: |r| {
            each(r, |p| {
                if let Some(byte) = p.data.first_mut().and_then(|d| d.0.first_mut()) {
                    *byte ^= 1;
                }
            });
        },
    },
    crate::resource::fault::Fault {
        name: "pipe-packets-merged",
        what: "a packet pipe becomes a stream",
        commit: |r| each(r, |p| p.packets = false),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn around(packets: bool, capacity: usize, pieces: &[&[u8]]) -> Pipe {
        let (reader, writer) = make().unwrap();
        let data = pieces.iter().map(|p| Bytes(p.to_vec())).collect();
        let pipe = Pipe { capacity, data, packets, never_written: false };
        rebuild(&pipe, writer.as_fd()).unwrap();
        let got = capture(reader.as_fd(), packets).unwrap();
        assert_eq!(capture(reader.as_fd(), packets).unwrap(), got, "a look takes nothing out");
        assert_eq!(got, pipe);
        got
    }

    #[rstest]
    #[case::empty(false, 65536, &[])]
    #[case::bytes(false, 65536, &[b"hello".as_slice()])]
    #[case::full(false, 8192, &[[7u8; 8192].as_slice()])]
    #[case::packets(true, 16384, &[b"one".as_slice(), b"two", b"x"])]
    fn contents_go_around(#[case] packets: bool, #[case] capacity: usize, #[case] pieces: &[&[u8]]) {
        around(packets, capacity, pieces);
    }

    #[test]
    fn a_closed_side_is_seen() {
        let (reader, writer) = make().unwrap();
        assert_eq!(other_side(reader.as_fd()).unwrap(), OtherSide::Open);
        drop(writer);
        assert_eq!(other_side(reader.as_fd()).unwrap(), OtherSide::Closed);
    }

    #[test]
    fn what_was_opened_as_a_path_only_is_so_again() {
        let inode = super::super::inode::Inode {
            path: Default::default(),
            kind: Kind::Pipe(Pipe { capacity: 8192, data: vec![Bytes(b"x".to_vec())], ..Pipe::default() }),
            identity: None,
            unlinked: None,
        };
        let undo = std::cell::RefCell::default();
        let way = Way::new(&inode, &[], &undo, &|_| unreachable!("it has no path"));
        let mut made = inode.kind.verbs().make(&way).unwrap();
        let [path, reader, writer] =
            [libc::O_PATH, libc::O_RDONLY, libc::O_WRONLY].map(|flags| made.open(&way, flags).unwrap());
        let flags = |fd| rustix::fs::fcntl_getfl(fd).unwrap();
        assert!(flags(&path).contains(OFlags::PATH));
        assert_eq!(flags(&reader), OFlags::RDONLY);
        rustix::io::write(&writer, b"y").unwrap();
        let mut buf = [0; 4];
        assert_eq!(rustix::io::read(&reader, &mut buf), Ok(2));
    }
}
