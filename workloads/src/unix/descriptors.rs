//! Descriptors in flight: of a pipe, of a file whose offset is shared, and of the very socket that
//! will receive it.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "messages with descriptors (SCM_RIGHTS): a pipe, a file, and the receiving socket itself",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn send(to: &OwnedFd, text: &[u8], fds: &[&OwnedFd]) -> Outcome {
    let numbers: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    sendmsg::<()>(to.as_raw_fd(), &[IoSlice::new(text)], &rights, MsgFlags::empty(), None)
        .context("sendmsg")?;
    Ok(())
}

/// Of a stream only as much as was sent with a call: more would be glued to it.
fn receive(from: &OwnedFd, len: usize) -> anyhow::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut buf, mut control) = (vec![0; len], nix::cmsg_space!([i32; 10]));
    let mut parts = [IoSliceMut::new(&mut buf)];
    let got = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)
        .context("recvmsg")?;
    let mut fds = Vec::new();
    for message in got.cmsgs().context("control messages")? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the descriptors are new.
            fds.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    let len = got.bytes;
    buf.truncate(len);
    Ok((buf, fds))
}

fn run(cx: &mut Ctx) -> Outcome {
    let mut all = Vec::new();
    for kind in [SockType::Stream, SockType::Datagram, SockType::SeqPacket] {
        let (one, other) = helpers::pair(kind, SockFlag::empty())?;
        let (reader, writer) = fd::pipe(0)?;
        let file = fd::open(format!("{kind:?}"), libc::O_CREAT | libc::O_RDWR, 0o600)?;
        fd::write_all(&file, b"0123456789")?;
        fd::seek(&file, 3, libc::SEEK_SET)?;
        send(&one, b"plain", &[])?;
        send(&one, b"two", &[&reader, &file])?;
        send(&one, b"itself", &[&other])?;
        send(&one, b"end", &[])?;
        all.push((one, other, reader, writer, file));
    }

    cx.ready()?;

    for (one, other, _reader, writer, file) in all {
        expect_eq("first", receive(&other, 5)?.0, b"plain".to_vec())?;
        let (text, fds) = receive(&other, 3)?;
        expect_bytes("second", &text, b"two")?;
        expect_eq("descriptors", fds.len(), 2)?;
        fd::write_all(&writer, b"through the pipe")?;
        expect_bytes("the pipe", &fd::read_some(&fds[0], 100)?, b"through the pipe")?;
        expect(fd::share_offset(&fds[1], &file)?, || "the file has an offset of its own".into())?;
        expect_eq("offset", fd::offset(&fds[1])?, 3)?;
        let (text, fds) = receive(&other, 6)?;
        expect_bytes("third", &text, b"itself")?;
        expect_eq("descriptors", fds.len(), 1)?;
        drop(other);
        expect_eq("last, by the descriptor that was received", receive(&fds[0], 3)?.0, b"end".to_vec())?;
        helpers::send(&one, b"still connected")?;
        expect_bytes("afterwards", &helpers::receive(&fds[0])?, b"still connected")?;
    }
    Ok(())
}
