//! Datagrams whose receiver is told where they were sent to, and how.

use super::helpers::{bound, local, name, send};
use crate::framework::prelude::*;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "datagrams in a queue keep destination, time to live and type of service",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    const IP: i32 = libc::IPPROTO_IP;
    let (socket, sender) = (bound(Ipv4Addr::UNSPECIFIED)?, local()?);
    for option in [libc::IP_PKTINFO, libc::IP_RECVTTL, libc::IP_RECVTOS] {
        option::set_int(&socket, IP, option, 1)?;
    }
    let port = name(&socket)?.port();
    let mut wanted = Vec::new();
    for (host, ttl, tos) in [(1, 64, 0), (2, 9, 0x28), (3, 255, 0x10)] {
        option::set_int(&sender, IP, libc::IP_TTL, ttl)?;
        option::set_int(&sender, IP, libc::IP_TOS, tos)?;
        let to = Ipv4Addr::new(127, 0, 0, host);
        send(&sender, &[host], (to, port).into())?;
        wanted.push((to, 1, ttl, tos));
    }

    cx.ready()?;

    for (host, wanted) in (1..).zip(wanted) {
        expect_eq("destination, interface, TTL and TOS", told(&socket, host)?, wanted)?;
    }
    Ok(())
}

/// Receives a datagram of one byte.
fn told(socket: &UdpSocket, byte: u8) -> anyhow::Result<(Ipv4Addr, i32, i32, i32)> {
    let (mut data, mut control) = ([0u8; 10], [0u64; 32]);
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: all zeros is a header without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all buffers live through the call and are as long as the header says.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    expect_eq("bytes", sys::check("recvmsg", got)?, 1)?;
    expect_eq("contents", data[0], byte)?;
    let mut told = (Ipv4Addr::UNSPECIFIED, 0, 0, 0);
    // SAFETY: the kernel has filled in the header, whose items are what their types say; the
    // buffer is still there.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(header) = item.as_ref() {
            let data = libc::CMSG_DATA(item);
            match header.cmsg_type {
                libc::IP_PKTINFO => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    told.0 = u32::from_be(info.ipi_addr.s_addr).into();
                    told.1 = info.ipi_ifindex as i32;
                }
                libc::IP_TTL => told.2 = data.cast::<i32>().read_unaligned(),
                libc::IP_TOS => told.3 = (*data).into(),
                _ => {}
            }
            item = libc::CMSG_NXTHDR(&raw const message, item);
        }
    }
    Ok(told)
}
