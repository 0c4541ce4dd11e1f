//! Pipes and FIFOs: capacity and the bytes inside, packet by packet where they are packets.

use super::bytes::Bytes;
use crate::error::{Context, Error, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, tee};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The state of a pipe, whatever its ends are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipe {
    /// Capacity in bytes, F_GETPIPE_SZ.
    pub capacity: usize,
    /// What is inside: one piece, or one for each packet of a pipe in packet mode.
    pub data: Vec<Bytes>,
    /// The pieces are packets.
    pub packets: bool,
    /// A FIFO that has had no writer since its reader came: poll(2) shows no hang-up.
    #[serde(default)]
    pub never_written: bool,
}

/// A pipe moves at most this much in one call.
const MOST: usize = 1 << 30;

/// Reads a pipe's contents without taking them out: `reader` is a read end. Packet mode is a flag of the write end.
///
/// # Errors
/// What the kernel says; a capacity above what we may ask for.
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

/// Sets the capacity, by either end.
///
/// # Errors
/// What the kernel says: EPERM for a capacity above /proc/sys/fs/pipe-max-size.
pub fn set_capacity(pipe: &Pipe, end: BorrowedFd<'_>) -> Result<()> {
    if fcntl_getpipe_size(end).context(|| "read capacity of pipe")? != pipe.capacity {
        fcntl_setpipe_size(end, pipe.capacity)
            .context(|| format!("set capacity of pipe to {}", pipe.capacity))?;
    }
    Ok(())
}

/// Sets the capacity and puts the contents in; `writer` is a write end.
///
/// # Errors
/// What the kernel says: EPERM for a capacity above /proc/sys/fs/pipe-max-size.
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

/// A pipe for a read end and a write end of our own.
///
/// # Errors
/// What the kernel says.
pub fn make() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).context(|| "make pipe")
}

/// What an end sees of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSide {
    /// Somebody has it.
    Open,
    /// It was closed everywhere.
    Closed,
    /// A reader that came first and has had no writer yet.
    NeverOpen,
}

/// Looks at the other side of an end.
///
/// # Errors
/// What poll(2) says.
pub fn other_side(end: BorrowedFd<'_>) -> Result<OtherSide> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::empty())];
    let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&zero)).context(|| "poll pipe")?;
    if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        return Ok(OtherSide::Closed);
    }
    // The reader of a FIFO that has never had a writer sees no hang-up; tee(2) of nothing says 0 without a writer, EAGAIN with one.
    let (_copy_out, copy_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).context(|| "make pipe")?;
    let reads =
        rustix::fs::fcntl_getfl(end).context(|| "read flags of pipe")? & OFlags::RWMODE == OFlags::RDONLY;
    let empty = reads && rustix::io::ioctl_fionread(end).context(|| "read fill of pipe")? == 0;
    let lonely = empty && tee(end, &copy_in, MOST, SpliceFlags::NONBLOCK) == Ok(0);
    Ok(if lonely { OtherSide::NeverOpen } else { OtherSide::Open })
}

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
}
