//! Tables of nf_tables that drop the packets of some TCP connections, made and removed by netlink
//! (include/uapi/linux/netfilter/nf_tables.h). A change is a batch, of which all takes effect at
//! once or nothing (net/netfilter/nfnetlink.c, `nfnetlink_rcv_batch`).

use super::netlink::{self, ACK};
use rustix::net::netlink::NETFILTER;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::IpAddr;

/// include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h
mod uapi {
    pub const BATCH_BEGIN: u16 = 0x10;
    pub const BATCH_END: u16 = 0x11;
    pub const SUBSYS_NFTABLES: u16 = 10;
    pub const NEWTABLE: u16 = 0;
    pub const DELTABLE: u16 = 2;
    pub const NEWCHAIN: u16 = 3;
    pub const NEWRULE: u16 = 6;
    pub const NEWSET: u16 = 9;
    pub const NEWSETELEM: u16 = 12;
    /// `NLM_F_EXCL`, `NLM_F_CREATE`, `NLM_F_APPEND`
    pub const EXCL: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
    pub const NFPROTO_UNSPEC: u8 = 0;
    pub const NFPROTO_INET: u8 = 1;
    pub const NFPROTO_IPV4: u8 = 2;
    pub const NFPROTO_IPV6: u8 = 10;
    pub const LOCAL_IN: u32 = 1;
    pub const LOCAL_OUT: u32 = 3;
    /// `NF_IP_PRI_RAW`: before connections are tracked.
    pub const PRIORITY: i32 = -300;
    pub const NF_DROP: u32 = 0;
    pub const NF_ACCEPT: u32 = 1;
    pub const REG_VERDICT: u32 = 0;
    pub const REG32_00: u32 = 8;
    pub const META_MARK: u32 = 3;
    pub const META_NFPROTO: u32 = 15;
    pub const META_L4PROTO: u32 = 16;
    pub const NETWORK_HEADER: u32 = 1;
    pub const TRANSPORT_HEADER: u32 = 2;
    pub const NESTED: u16 = 0x8000;
}

/// What tells a table from others: the number in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LockId(pub u64);

impl Display for LockId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "cairn-{:016x}", self.0)
    }
}

impl LockId {
    /// The mark (`SO_MARK`) of packets that it lets in.
    pub fn mark(self) -> u32 {
        self.0 as u32 | 1
    }
}

/// What makes a connection in a set: address and port of the other end and of the own one.
pub type Key = Vec<u8>;

/// The key of a connection by both ends, whose addresses are of the same version.
pub fn key(other: (IpAddr, u16), own: (IpAddr, u16)) -> Key {
    let mut key = Vec::new();
    for (ip, port) in [other, own] {
        match ip {
            IpAddr::V4(ip) => key.extend(ip.octets()),
            IpAddr::V6(ip) => key.extend(ip.octets()),
        }
        key.extend(port.to_be_bytes());
        key.extend([0; 2]);
    }
    key
}

/// A set of connections of an IP version, and where their addresses are in packets.
struct Version {
    protocol: u8,
    set: &'static str,
    address: u32,
    source: u32,
    destination: u32,
}

const VERSIONS: [Version; 2] = [
    Version { protocol: uapi::NFPROTO_IPV4, set: "ipv4", address: 4, source: 12, destination: 16 },
    Version { protocol: uapi::NFPROTO_IPV6, set: "ipv6", address: 16, source: 8, destination: 24 },
];

impl Version {
    fn key_len(&self) -> u32 {
        2 * (self.address + 4)
    }
}

/// Makes a table that drops packets of connections in both directions, except those that arrive
/// with its mark.
///
/// # Errors
/// EEXIST if there is one of this name; EPROTONOSUPPORT, EOPNOTSUPP or EAFNOSUPPORT without
/// `CONFIG_NF_TABLES_INET`; EPERM without CAP_NET_ADMIN.
pub fn drop_packets(id: LockId, keys: &[Key]) -> io::Result<()> {
    let table = &id.to_string();
    let of_table = string(1, table);
    let flags = uapi::CREATE | uapi::EXCL;
    let mut messages = vec![message(uapi::NEWTABLE, flags, &of_table)];
    for (hook, chain) in [(uapi::LOCAL_IN, "in"), (uapi::LOCAL_OUT, "out")] {
        let hook = [number(1, hook), number(2, uapi::PRIORITY as u32)].concat();
        let chain = [&of_table[..], &string(3, chain), &nested(4, &hook), &string(7, "filter")].concat();
        messages.push(message(uapi::NEWCHAIN, uapi::CREATE, &chain));
    }
    let is_marked = equal(uapi::META_MARK, &id.mark().to_ne_bytes());
    messages.push(rule(table, "in", &[&is_marked[..], &verdict(uapi::NF_ACCEPT)].concat()));
    for (id, version) in VERSIONS.iter().enumerate() {
        let of_set = [&of_table[..], &string(2, version.set)].concat();
        let set = [&of_set[..], &number(4, 0), &number(5, version.key_len()), &number(10, id as u32)];
        messages.push(message(uapi::NEWSET, uapi::CREATE, &set.concat()));
        // A list is an attribute, which is at most 64 KiB long.
        let keys: Vec<&Key> = keys.iter().filter(|key| key.len() == version.key_len() as usize).collect();
        for some in keys.chunks(500) {
            let elements = some.iter().flat_map(|key| nested(1, &nested(1, &attribute(1, key))));
            let elements = nested(3, &elements.collect::<Vec<u8>>());
            messages.push(message(uapi::NEWSETELEM, uapi::CREATE, &[&of_set[..], &elements].concat()));
        }
        for (chain, other, own) in [
            ("in", (version.source, 0), (version.destination, 2)),
            ("out", (version.destination, 2), (version.source, 0)),
        ] {
            let mut expressions = equal(uapi::META_NFPROTO, &[version.protocol]);
            expressions.extend(equal(uapi::META_L4PROTO, &[libc::IPPROTO_TCP as u8]));
            let mut register = uapi::REG32_00;
            for (address, port) in [other, own] {
                expressions.extend(load(uapi::NETWORK_HEADER, address, version.address, register));
                register += version.address / 4;
                expressions.extend(load(uapi::TRANSPORT_HEADER, port, 2, register));
                register += 1;
            }
            let lookup = [string(1, version.set), number(2, uapi::REG32_00), number(4, id as u32)];
            expressions.extend(expression("lookup", &lookup.concat()));
            expressions.extend(verdict(uapi::NF_DROP));
            messages.push(rule(table, chain, &expressions));
        }
    }
    batch(&messages)
}

/// Removes a table with everything in it; false if there was none.
///
/// # Errors
/// As [`drop_packets`].
pub fn remove(id: LockId) -> io::Result<bool> {
    match batch(&[message(uapi::DELTABLE, 0, &string(1, &id.to_string()))]) {
        Err(err) if err.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Sends messages as a batch, the last of which is acknowledged.
fn batch(messages: &[Vec<u8>]) -> io::Result<()> {
    let bound = |kind| netlink::message(kind, 0, &head(uapi::NFPROTO_UNSPEC, uapi::SUBSYS_NFTABLES));
    let (last, first) = messages.split_last().expect("there is something to do");
    let mut last = last.clone();
    let flags = netlink::half(&last, 6).expect("it has a header") | ACK;
    last[6..8].copy_from_slice(&flags.to_ne_bytes());
    let all = [bound(uapi::BATCH_BEGIN), first.concat(), last, bound(uapi::BATCH_END)].concat();
    // Errors are told in the order of the messages (`nfnl_err_deliver`).
    netlink::acknowledged(&netlink::send(NETFILTER, &all)?)
}

/// `struct nfgenmsg`
fn head(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// A message about a table.
fn message(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let contents = [&head(uapi::NFPROTO_INET, 0), attributes].concat();
    netlink::message(uapi::SUBSYS_NFTABLES << 8 | kind, flags, &contents)
}

fn rule(table: &str, chain: &str, expressions: &[u8]) -> Vec<u8> {
    let rule = [string(1, table), string(2, chain), nested(4, expressions)].concat();
    message(uapi::NEWRULE, uapi::CREATE | uapi::APPEND, &rule)
}

fn attribute(kind: u16, contents: &[u8]) -> Vec<u8> {
    let len = 4 + contents.len();
    let mut attribute = [&(len as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), contents].concat();
    attribute.resize(len.next_multiple_of(4), 0);
    attribute
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(kind | uapi::NESTED, attributes)
}

fn string(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

/// An item of the list of a rule's expressions.
fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    nested(1, &[string(1, name), nested(2, data)].concat())
}

/// Goes on if what is known of a packet is this.
fn equal(meta: u32, value: &[u8]) -> Vec<u8> {
    let load = [number(1, uapi::REG32_00), number(2, meta)].concat();
    let compare = [number(1, uapi::REG32_00), number(2, 0), nested(3, &attribute(1, value))].concat();
    [expression("meta", &load), expression("cmp", &compare)].concat()
}

/// Loads bytes of a packet into registers of four bytes each.
fn load(base: u32, offset: u32, len: u32, register: u32) -> Vec<u8> {
    let load = [number(1, register), number(2, base), number(3, offset), number(4, len)];
    expression("payload", &load.concat())
}

fn verdict(verdict: u32) -> Vec<u8> {
    let data = nested(2, &nested(2, &number(1, verdict)));
    expression("immediate", &[number(1, uapi::REG_VERDICT), data].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn packets_of_a_connection_are_dropped_until_the_table_is_removed() {
        let table = LockId(std::process::id().into());
        let pairs = ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| {
            let listener = TcpListener::bind(address).ok()?;
            let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            Some((one, listener.accept().unwrap().0))
        });
        let pairs: Vec<(TcpStream, TcpStream)> = pairs.collect();
        let keys = pairs.iter().map(|(one, _)| {
            let [other, own] = [one.peer_addr(), one.local_addr()].map(Result::unwrap);
            key((other.ip(), other.port()), (own.ip(), own.port()))
        });
        // Of others too, more than one message has.
        let others = (1..2000).map(|port| key(([10, 0, 0, 1].into(), port), ([10, 0, 0, 2].into(), 7)));
        let keys: Vec<Key> = keys.chain(others).collect();
        match drop_packets(table, &keys) {
            Err(err) if err.kind() == ErrorKind::PermissionDenied => return,
            dropped => dropped.unwrap(),
        }
        assert_eq!(drop_packets(table, &keys).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        for (one, other) in &pairs {
            for (mut from, mut to) in [(one, other), (other, one)] {
                from.write_all(b"x").unwrap();
                to.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                assert_eq!(to.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            }
        }
        assert!(remove(table).unwrap());
        assert!(!remove(table).unwrap());
        for (one, other) in &pairs {
            for mut to in [one, other] {
                to.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                to.read_exact(&mut [0]).unwrap();
            }
        }
    }
}
