//! sock_diag(7): what the kernel knows of sockets that no descriptor shows, all of a family in one
//! dump (net/core/sock_diag.c).

use super::netlink::{self, ACK, DONE, DUMP, DUMP_INTR, HEADER, half, pieces};
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{RecvFlags, recvfrom};
use std::io;
use std::os::fd::OwnedFd;

pub use netlink::word;

/// `SOCK_DIAG_BY_FAMILY`, include/uapi/linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `SOCK_DESTROY`
const SOCK_DESTROY: u16 = 21;

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

/// Sends a message of this type.
fn ask(kind: u16, flags: u16, request: &[u8]) -> io::Result<OwnedFd> {
    netlink::send(SOCK_DIAG, &netlink::message(kind, flags, request))
}

/// Closes the socket that `request` (`struct inet_diag_req_v2`) names, from outside.
///
/// # Errors
/// ENOENT without such a socket; EOPNOTSUPP without `CONFIG_INET_DIAG_DESTROY`; EPERM without
/// CAP_NET_ADMIN.
pub fn destroy(request: &[u8]) -> io::Result<()> {
    netlink::acknowledged(&ask(SOCK_DESTROY, ACK, request)?)
}

/// Asks for all sockets that `request` (`struct inet_diag_req_v2`, `struct unix_diag_req` …)
/// selects; `fixed` is the length of the structure that each answer begins with.
///
/// # Errors
/// ENOENT where the kernel has no such family or the module that reports it; EAGAIN if sockets
/// changed during the dump, so that some may be missing.
pub fn dump(request: &[u8], fixed: usize, mut each: impl FnMut(Entry<'_>)) -> io::Result<()> {
    let fd = ask(SOCK_DIAG_BY_FAMILY, DUMP, request)?;
    let mut buf = vec![0u8; 1 << 16];
    loop {
        let (got, whole, _) = recvfrom(&fd, &mut buf, RecvFlags::TRUNC)?;
        if whole > got {
            return Err(io::Error::other("a message longer than 64 KiB"));
        }
        for piece in pieces(&buf[..got], HEADER) {
            if half(piece, 6).is_some_and(|flags| flags & DUMP_INTR != 0) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if let Some(error) = netlink::error(piece) {
                return error;
            }
            match half(piece, 4) {
                Some(DONE) => return Ok(()),
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
}
