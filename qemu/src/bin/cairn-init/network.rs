//! The loopback interface.

use std::io::{Read, Write};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::Failure;

/// Brings `lo` up, by `RTM_NEWLINK` (rtnetlink(7)) with its flags and the mask of flags to change.
pub fn loopback_up() -> Result<(), Failure> {
    let failed = |e: std::io::Error| format!("switch the loopback interface on: {e}");
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        .map_err(|e| failed(e.into()))?;
    let mut socket = std::fs::File::from(socket);
    socket.write_all(&request()).map_err(failed)?;
    let mut answer = [0u8; 256];
    let length = socket.read(&mut answer).map_err(failed)?;
    // nlmsghdr (16 bytes), then nlmsgerr: a negated errno, 0 for an acknowledgement.
    match answer[..length].get(16..20) {
        Some(&[0, 0, 0, 0]) => Ok(()),
        Some(&[a, b, c, d]) => {
            let errno = i32::from_ne_bytes([a, b, c, d]);
            Err(failed(std::io::Error::from_raw_os_error(-errno)))
        }
        _ => Err(failed(std::io::Error::other("short answer"))),
    }
}

fn request() -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_ACK: u16 = 1 | 4;
    const LOOPBACK_INDEX: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    // struct nlmsghdr
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    // struct ifinfomsg
    message.extend([0u8; 4]);
    message.extend(LOOPBACK_INDEX.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message
}
