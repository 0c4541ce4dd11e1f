//! The unix sockets of the network namespace, as sock_diag(7) shows them.

use crate::error::{Context, Result};
use crate::sys::sock_diag;
use std::collections::HashMap;
use std::path::Path;

/// A unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixSocket {
    /// `SOCK_*`
    pub kind: u8,
    /// What it is bound to, or has of its listener: a path, or a 0 byte and an abstract name.
    pub name: Vec<u8>,
    /// Inode and device number of the file that it is bound to.
    pub file: Option<(u32, u32)>,
    /// Inode number of the socket that it is connected to; 0 if that is closed, or has not been
    /// accepted.
    pub peer: Option<u32>,
    /// Whether it listens.
    pub listens: bool,
    /// The clients whose connections wait to be accepted, the first one first.
    pub waiting: Vec<u32>,
    /// Length of the queue of connections that was asked for, of one that listens.
    pub backlog: u32,
    /// Halves that are shut down: `RCV_SHUTDOWN` 1, `SEND_SHUTDOWN` 2.
    pub shutdown: u8,
}

impl UnixSocket {
    /// Whether it is bound to the file at a path. The numbers that sock_diag shows have 32 bits.
    pub fn is_file(&self, path: &Path) -> bool {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        std::fs::symlink_metadata(path).is_ok_and(|meta| {
            meta.file_type().is_socket() && self.file.is_some_and(|(ino, _)| meta.ino() as u32 == ino)
        })
    }
}

/// `SOCK_*`, a name, and inode and device number of its file.
type Bound = (u8, Vec<u8>, Option<(u32, u32)>);

/// All of them.
#[derive(Debug, Default)]
pub struct UnixSockets {
    /// By inode number.
    pub by_ino: HashMap<u32, UnixSocket>,
    /// Inode numbers of those that listen, or get datagrams, by name and file.
    bound: HashMap<Bound, u32>,
    /// The same by name alone.
    by_name: HashMap<Vec<u8>, Vec<u32>>,
    /// The listener that each client waits for, by inode numbers.
    pub waits_for: HashMap<u32, u32>,
}

/// include/uapi/linux/unix_diag.h
mod uapi {
    pub const REQUEST: usize = 24;
    pub const ANSWER: usize = 16;
    /// `UDIAG_SHOW_NAME`, `_VFS`, `_PEER`, `_ICONS` and `_RQLEN`.
    pub const SHOW: u32 = 0x1f;
    pub const NAME: u16 = 0;
    pub const VFS: u16 = 1;
    pub const PEER: u16 = 2;
    pub const ICONS: u16 = 3;
    pub const RQLEN: u16 = 4;
    pub const SHUTDOWN: u16 = 6;
    /// include/net/tcp_states.h
    pub const TCP_LISTEN: u8 = 10;
}

impl UnixSockets {
    /// Asks for all of them.
    ///
    /// # Errors
    /// ENOENT without `CONFIG_UNIX_DIAG`.
    pub fn read() -> Result<UnixSockets> {
        let mut request = [0; uapi::REQUEST];
        request[0] = libc::AF_UNIX as u8;
        request[4..8].fill(0xff);
        request[12..16].copy_from_slice(&uapi::SHOW.to_ne_bytes());
        let mut all = UnixSockets::default();
        let dump = sock_diag::dump(&request, uapi::ANSWER, |entry| {
            let words = |kind: u16| {
                let bytes = entry.attribute(kind).unwrap_or_default();
                (0..bytes.len() / 4).filter_map(move |index| sock_diag::word(bytes, index * 4))
            };
            let mut name = entry.attribute(uapi::NAME).unwrap_or_default().to_vec();
            if name.first().is_some_and(|first| *first != 0) && name.last() == Some(&0) {
                name.pop();
            }
            let file = words(uapi::VFS).collect::<Vec<_>>();
            let listens = entry.fixed[2] == uapi::TCP_LISTEN;
            let socket = UnixSocket {
                kind: entry.fixed[1],
                name,
                file: file.get(..2).map(|pair| (pair[0], pair[1])),
                peer: words(uapi::PEER).next(),
                listens,
                waiting: words(uapi::ICONS).collect(),
                backlog: if listens { words(uapi::RQLEN).nth(1).unwrap_or_default() } else { 0 },
                shutdown: entry.attribute(uapi::SHUTDOWN).and_then(|b| b.first()).copied().unwrap_or(0),
            };
            let ino = entry.word(4);
            if !socket.name.is_empty() && (listens || i32::from(entry.fixed[1]) == libc::SOCK_DGRAM) {
                all.bound.insert((socket.kind, socket.name.clone(), socket.file), ino);
                all.by_name.entry(socket.name.clone()).or_default().push(ino);
            }
            all.waits_for.extend(socket.waiting.iter().map(|client| (*client, ino)));
            all.by_ino.insert(ino, socket);
        });
        dump.context(|| "list unix sockets (needs CONFIG_UNIX_DIAG)")?;
        Ok(all)
    }

    /// The listener whose name and file this is, by inode number.
    pub fn listener(&self, socket: &UnixSocket) -> Option<u32> {
        let ino = self.bound.get(&(socket.kind, socket.name.clone(), socket.file))?;
        self.by_ino[ino].listens.then_some(*ino)
    }

    /// Those that are bound to this name, which is not always one: a path is relative to anything.
    pub fn named(&self, name: &[u8]) -> impl Iterator<Item = u32> {
        self.by_name.get(name).into_iter().flatten().copied()
    }
}
