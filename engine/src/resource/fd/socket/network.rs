//! What the network namespace tells of its sockets, read once for all those of a job.

use super::Created;
use super::diag::UnixSockets;
use super::inet::{self, TcpSockets};
use super::ip::{self, Endpoint, Group};
use super::lock::Lock;
use super::options::New;
use crate::error::{Context, Result};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::rc::Rc;

/// The engine's network namespace, while the processes of a job are stopped.
#[derive(Default)]
pub struct Network {
    unix: OnceCell<UnixSockets>,
    tcp: OnceCell<TcpSockets>,
    netlink: OnceCell<HashMap<u64, NetlinkSocket>>,
    groups: OnceCell<BTreeSet<Group>>,
    halves: Tables<HashMap<u32, u8>>,
    peers: Tables<HashMap<u64, Endpoint>>,
    new: Tables<New>,
    lock: OnceCell<Lock>,
    noted: RefCell<HashMap<usize, [u32; 2]>>,
}

/// A table for each kind of socket.
type Tables<T> = RefCell<HashMap<Created, Rc<T>>>;

/// What a cell holds, read if it is empty.
fn once<T>(cell: &OnceCell<T>, read: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(known) => Ok(known),
        None => {
            let read = read()?;
            Ok(cell.get_or_init(|| read))
        }
    }
}

/// What a map has for a key, read if it has nothing.
fn once_for<K: Eq + Hash, V: Clone>(
    map: &RefCell<HashMap<K, V>>,
    key: K,
    read: impl FnOnce() -> Result<V>,
) -> Result<V> {
    if let Some(known) = map.borrow().get(&key) {
        return Ok(known.clone());
    }
    let read = read()?;
    map.borrow_mut().insert(key, read.clone());
    Ok(read)
}

impl Network {
    /// Its unix sockets.
    ///
    /// # Errors
    /// As [`UnixSockets::read`].
    pub fn unix(&self) -> Result<&UnixSockets> {
        once(&self.unix, UnixSockets::read)
    }

    /// Its TCP sockets.
    ///
    /// # Errors
    /// As [`TcpSockets::read`].
    pub fn tcp(&self) -> Result<&TcpSockets> {
        once(&self.tcp, TcpSockets::read)
    }

    /// The lock of TCP connections to outside, taken by the first one that asks.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn lock(&self, take: impl FnOnce() -> Result<Lock>) -> Result<&Lock> {
        once(&self.lock, take)
    }

    /// The lock, if somebody has asked for it.
    pub fn into_lock(self) -> Option<Lock> {
        self.lock.into_inner()
    }

    /// The netlink socket with this inode number; one is not listed before it is bound.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn netlink(&self, ino: u64) -> Result<Option<NetlinkSocket>> {
        let all = once(&self.netlink, || {
            let table = std::fs::read_to_string("/proc/thread-self/net/netlink");
            let table = table.context(|| "list netlink sockets")?;
            Ok(table.lines().filter_map(NetlinkSocket::parse).collect())
        })?;
        Ok(all.get(&ino).copied())
    }

    /// The multicast groups that its sockets are in.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn groups(&self) -> Result<&BTreeSet<Group>> {
        once(&self.groups, || ip::groups().context(|| "list multicast groups"))
    }

    /// Halves of a socket that are shut down, see [`inet::halves`].
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn halves(&self, created: Created, ino: u32) -> Result<Option<u8>> {
        let read =
            || inet::halves(created).map(Rc::new).context(|| "ask which halves of sockets are shut down");
        Ok(once_for(&self.halves, created, read)?.get(&ino).copied())
    }

    /// What a socket is connected to, see [`ip::peers`].
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn peer(&self, created: Created, ino: u64) -> Result<Option<Endpoint>> {
        let read = || ip::peers(created).map(Rc::new).context(|| "list what sockets are connected to");
        Ok(once_for(&self.peers, created, read)?.get(&ino).copied())
    }

    /// A new socket of this kind, to compare others with.
    ///
    /// # Errors
    /// As socket(2).
    pub fn new_socket(&self, created: Created) -> Result<Rc<New>> {
        let create = || New::create(created).map(Rc::new).context(|| "create a socket to compare with");
        once_for(&self.new, created, create)
    }

    /// What is true of an open file description for everyone who asks, though it may change: what
    /// `read` returned first.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn note(&self, file: usize, read: impl FnOnce() -> Result<[u32; 2]>) -> Result<[u32; 2]> {
        once_for(&self.noted, file, read)
    }
}

/// What /proc/net/netlink shows of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetlinkSocket {
    /// Bytes of memory that its queue takes.
    pub queued: u64,
    /// Whether it is in the middle of a dump.
    pub dumps: bool,
}

impl NetlinkSocket {
    /// `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode` (`netlink_native_seq_show`,
    /// net/netlink/af_netlink.c); with the inode number.
    fn parse(line: &str) -> Option<(u64, NetlinkSocket)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        Some((number(9)?, NetlinkSocket { queued: number(4)?, dumps: number(6)? != 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let line = "00000000aabbccdd 0   4711       00000001 832      0        1     2        0        2742";
        assert_eq!(NetlinkSocket::parse(line), Some((2742, NetlinkSocket { queued: 832, dumps: true })));
        assert_eq!(NetlinkSocket::parse("sk Eth Pid"), None);
    }

    #[test]
    fn what_was_read_once_is_not_read_again() {
        let network = Network::default();
        assert_eq!(network.note(3, || Ok([1, 2])).unwrap(), [1, 2]);
        assert_eq!(network.note(3, || unreachable!("it is noted")).unwrap(), [1, 2]);
        assert_eq!(network.note(4, || Ok([5, 6])).unwrap(), [5, 6]);
    }
}
