//! Messages that say whose they are: the process itself's and its child's.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "messages of several processes, with their PIDs, users and groups (SO_PASSCRED)",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn receive(from: &OwnedFd) -> anyhow::Result<(Vec<u8>, Option<i32>)> {
    let (mut buf, mut control) = (vec![0; 1000], nix::cmsg_space!(libc::ucred));
    let mut parts = [IoSliceMut::new(&mut buf)];
    let got = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)
        .context("recvmsg")?;
    let pid = got.cmsgs().context("control messages")?.find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
        _ => None,
    });
    let len = got.bytes;
    buf.truncate(len);
    Ok((buf, pid))
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let pairs = [SockType::Stream, SockType::Datagram].map(|kind| helpers::pair(kind, SockFlag::empty()));
    let [stream, datagram] = pairs;
    let pairs = [stream?, datagram?];
    for (_, receiver) in &pairs {
        option::set(receiver, libc::SOL_SOCKET, libc::SO_PASSCRED, &1i32.to_ne_bytes())?;
        helpers::nothing_left("before", receiver)?;
    }
    for (sender, _) in &pairs {
        helpers::send(sender, b"parent")?;
    }
    let child = stage.fork("the other sender", |stage| {
        for (sender, _) in &pairs {
            helpers::send(sender, b"child")?;
        }
        stage.hold();
        Ok(())
    })?;
    stage.wait_held(&child)?;
    for (sender, _) in &pairs {
        helpers::send(sender, b"again")?;
    }
    let own = std::process::id() as i32;

    cx.ready()?;

    for (_, receiver) in &pairs {
        expect_eq("first", receive(receiver)?, (b"parent".to_vec(), Some(own)))?;
        expect_eq("second", receive(receiver)?, (b"child".to_vec(), Some(child.pid)))?;
        expect_eq("third", receive(receiver)?, (b"again".to_vec(), Some(own)))?;
    }
    stage.release();
    child.join()
}
