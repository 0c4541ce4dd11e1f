//! sock_diag(7): what the kernel knows of sockets that no descriptor shows, all of a family in one
//! dump (net/core/sock_diag.c).

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with,
};
use std::io;
use std::os::fd::OwnedFd;

/// `SOCK_DIAG_BY_FAMILY`, include/uapi/linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `SOCK_DESTROY`
const SOCK_DESTROY: u16 = 21;
/// include/uapi/linux/netlink.h
const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

/// A message of a dump: what comes before the attributes, and these.
pub struct Entry<'a> {
    /// The family's own structure.
    pub fixed: &'a [u8],
    attributes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The contents of the attribute of this type.
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        pieces(self.attributes, 4)
            .find(|piece| half(piece, 2).is_some_and(|found| found & 0x3fff == kind))
            .map(|piece| &piece[4..])
    }

    /// A number in the family's own structure.
    pub fn word(&self, at: usize) -> u32 {
        word(self.fixed, at).unwrap_or_default()
    }
}

/// A number in an attribute.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_ne_bytes(four.try_into().expect("four bytes")))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_ne_bytes(two.try_into().expect("two bytes")))
}

/// Cuts messages, whose length is a word of four bytes, or attributes, whose is one of two.
fn pieces(mut rest: &[u8], header: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = if header == HEADER { word(rest, 0)? as usize } else { half(rest, 0)?.into() };
        let piece = rest.get(..len).filter(|piece| piece.len() >= header)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(piece)
    })
}

/// Sends a message of this type.
fn ask(kind: u16, flags: u16, request: &[u8]) -> io::Result<OwnedFd> {
    let fd: OwnedFd =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    let mut message = Vec::with_capacity(HEADER + request.len());
    message.extend(((HEADER + request.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    sendto(&fd, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    Ok(fd)
}

/// Closes the socket that `request` (`struct inet_diag_req_v2`) names, from outside.
///
/// # Errors
/// ENOENT without such a socket; EOPNOTSUPP without `CONFIG_INET_DIAG_DESTROY`; EPERM without
/// CAP_NET_ADMIN.
pub fn destroy(request: &[u8]) -> io::Result<()> {
    let fd = ask(SOCK_DESTROY, NLM_F_REQUEST_ACK, request)?;
    let mut buf = vec![0u8; 4096];
    let (got, _, _) = recvfrom(&fd, &mut buf, RecvFlags::empty())?;
    let code =
        half(&buf[..got], 4).filter(|kind| *kind == NLMSG_ERROR).and_then(|_| word(&buf[..got], HEADER));
    match code {
        Some(0) => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.map_or(libc::EPROTO, |code| -(code as i32)))),
    }
}

/// Asks for all sockets that `request` (`struct inet_diag_req_v2`, `struct unix_diag_req` …)
/// selects; `fixed` is the length of the structure that each answer begins with.
///
/// # Errors
/// ENOENT where the kernel has no such family or the module that reports it; EAGAIN if sockets
/// changed during the dump, so that some may be missing.
pub fn dump(request: &[u8], fixed: usize, mut each: impl FnMut(Entry<'_>)) -> io::Result<()> {
    let fd = ask(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, request)?;
    let mut buf = vec![0u8; 1 << 16];
    loop {
        let (got, whole, _) = recvfrom(&fd, &mut buf, RecvFlags::TRUNC)?;
        if whole > got {
            return Err(io::Error::other("a message longer than 64 KiB"));
        }
        for piece in pieces(&buf[..got], HEADER) {
            if half(piece, 6).is_some_and(|flags| flags & NLM_F_DUMP_INTR != 0) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match half(piece, 4) {
                Some(NLMSG_DONE) => return Ok(()),
                Some(NLMSG_ERROR) => {
                    let errno = word(piece, HEADER).map_or(libc::EPROTO, |code| -(code as i32));
                    return Err(io::Error::from_raw_os_error(errno));
                }
                Some(SOCK_DIAG_BY_FAMILY) if piece.len() >= HEADER + fixed => {
                    let (fixed, attributes) = piece[HEADER..].split_at(fixed);
                    each(Entry { fixed, attributes });
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_dump_has_every_socket() {
        let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
        let ino = |fd: &UnixStream| rustix::fs::fstat(fd.as_fd()).unwrap().st_ino as u32;
        let mut request = [0; 24];
        request[0] = libc::AF_UNIX as u8;
        request[4..8].fill(0xff);
        request[12] = 4;
        let mut peers = std::collections::HashMap::new();
        dump(&request, 16, |entry| {
            peers.insert(entry.word(4), entry.attribute(2).and_then(|peer| word(peer, 0)));
        })
        .unwrap();
        for (one, other) in &pairs {
            assert_eq!(peers[&ino(one)], Some(ino(other)));
        }
    }

    #[test]
    fn what_is_cut_off_is_no_piece() {
        let bytes =
            [8u16.to_ne_bytes(), 1u16.to_ne_bytes(), [7; 2], [7; 2], 9u16.to_ne_bytes(), [0; 2]].concat();
        assert_eq!(pieces(&bytes, 4).collect::<Vec<_>>(), [&bytes[..8]]);
        assert_eq!(pieces(&3u16.to_ne_bytes(), 4).count(), 0);
    }
}
