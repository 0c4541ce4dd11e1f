//! Messages of netlink(7): put together and taken apart (include/uapi/linux/netlink.h).

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recvfrom, sendto, socket_with};
use std::io;
use std::os::fd::OwnedFd;

/// `NLM_F_REQUEST`: every message to the kernel has it.
pub const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: it is answered also where there is no error.
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: all of them are asked for.
pub const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: of an answer, that something has changed during the dump.
pub const DUMP_INTR: u16 = 0x10;
/// `NLMSG_ERROR`
pub const ERROR: u16 = 2;
/// `NLMSG_DONE`
pub const DONE: u16 = 3;
/// `struct nlmsghdr`: length, type, flags, sequence number, port.
pub const HEADER: usize = 16;

/// A message.
pub fn message(kind: u16, flags: u16, contents: &[u8]) -> Vec<u8> {
    let len = HEADER + contents.len();
    let mut message = Vec::with_capacity(len.next_multiple_of(4));
    message.extend((len as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(contents);
    message.resize(len.next_multiple_of(4), 0);
    message
}

/// Sends messages through a new socket of a protocol (`NETLINK_*`).
///
/// # Errors
/// As socket(2) and sendto(2).
pub fn send(protocol: Protocol, messages: &[u8]) -> io::Result<OwnedFd> {
    let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    sendto(&fd, messages, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    Ok(fd)
}

/// What the kernel answers to a message with [`ACK`].
///
/// # Errors
/// The one that it reports.
pub fn acknowledged(fd: &OwnedFd) -> io::Result<()> {
    let mut buf = vec![0u8; 1 << 14];
    let (got, _, _) = recvfrom(fd, &mut buf, RecvFlags::empty())?;
    error(&buf[..got]).unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::EPROTO)))
}

/// What a message says, if it is an acknowledgement or an error.
pub fn error(message: &[u8]) -> Option<io::Result<()>> {
    half(message, 4).filter(|kind| *kind == ERROR)?;
    Some(match word(message, HEADER) {
        Some(0) => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.map_or(libc::EPROTO, |code| -(code as i32)))),
    })
}

/// A number of four bytes.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_ne_bytes(four.try_into().expect("four bytes")))
}

/// A number of two bytes.
pub fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_ne_bytes(two.try_into().expect("two bytes")))
}

/// Cuts messages, whose length is a word of four bytes, or attributes, whose is one of two.
pub fn pieces(mut rest: &[u8], header: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = if header == HEADER { word(rest, 0)? as usize } else { half(rest, 0)?.into() };
        let piece = rest.get(..len).filter(|piece| piece.len() >= header)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_no_piece() {
        let bytes =
            [8u16.to_ne_bytes(), 1u16.to_ne_bytes(), [7; 2], [7; 2], 9u16.to_ne_bytes(), [0; 2]].concat();
        assert_eq!(pieces(&bytes, 4).collect::<Vec<_>>(), [&bytes[..8]]);
        assert_eq!(pieces(&3u16.to_ne_bytes(), 4).count(), 0);
    }

    #[test]
    fn messages_follow_each_other() {
        let both = [message(7, ACK, b"odd"), message(8, 0, b"")].concat();
        let cut: Vec<&[u8]> = pieces(&both, HEADER).collect();
        assert_eq!(cut.iter().map(|piece| half(piece, 4)).collect::<Vec<_>>(), [Some(7), Some(8)]);
        assert_eq!(&cut[0][HEADER..], b"odd");
        assert!(error(cut[0]).is_none());
        let answer = message(ERROR, 0, &(-libc::ENOENT).to_ne_bytes());
        assert_eq!(error(&answer).unwrap().unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
