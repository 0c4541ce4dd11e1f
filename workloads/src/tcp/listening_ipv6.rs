//! A listener for IPv6 only, and one for IPv4 on the same port.

use super::helpers::{pair_of, talk};
use crate::framework::prelude::*;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd as _, OwnedFd};

pub const WORKLOAD: Workload = Workload {
    purpose: "TCP listeners for IPv6 only and for IPv4 on one port, on all addresses",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    super::helpers::listener("::1")?;
    let v4 = TcpListener::bind("0.0.0.0:0")?;
    let port = v4.local_addr()?.port();
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let v6 = unsafe {
        OwnedFd::from_raw_fd(sys::check("socket", libc::socket(libc::AF_INET6, libc::SOCK_STREAM, 0))?)
    };
    option::set_int(&v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    // SAFETY: plain data; the kernel reads the address.
    unsafe {
        use std::os::fd::AsRawFd as _;
        let mut any: libc::sockaddr_in6 = std::mem::zeroed();
        any.sin6_family = libc::AF_INET6 as u16;
        any.sin6_port = port.to_be();
        let len = std::mem::size_of_val(&any) as u32;
        if libc::bind(v6.as_raw_fd(), (&raw const any).cast(), len) != 0 {
            return skip("the port is in use for IPv6");
        }
        sys::check("listen", libc::listen(v6.as_raw_fd(), 4))?;
    }
    let v6 = TcpListener::from(v6);
    let before = (v4.local_addr()?, v6.local_addr()?);

    cx.ready()?;

    expect_eq("addresses", (v4.local_addr()?, v6.local_addr()?), before)?;
    expect_eq("IPV6_V6ONLY", option::get_int(&v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?, 1)?;
    for listener in [&v4, &v6] {
        let (new, accepted) = pair_of(listener)?;
        talk((&new, &accepted), cx.seed)?;
    }
    let client = TcpStream::connect(("127.0.0.1", port))?;
    expect(v4.accept()?.1 == client.local_addr()?, || {
        "the listener for IPv4 is not the one that accepts".into()
    })
}
