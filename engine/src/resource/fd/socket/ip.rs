//! What sockets of the Internet protocols have in common: addresses, options, and memberships in
//! multicast groups.

use super::Created;
use super::options::Entry;
use crate::error::{Context, Error, Result, Subject};
use crate::resource::is_default;
use crate::sys::socket;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, getpeername, getsockname, socket_with,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::BorrowedFd;

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Of IPv6, also as IPv4 mapped into it.
    pub ip: IpAddr,
    /// In the byte order of the machine; 0 for none.
    pub port: u16,
    /// Number of the interface of a link-local address, 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: u32,
    /// `sin6_flowinfo`, in network byte order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flow: u32,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let (scope, flow) = match address {
            SocketAddr::V4(_) => (0, 0),
            SocketAddr::V6(address) => (address.scope_id(), address.flowinfo()),
        };
        Endpoint { ip: address.ip(), port: address.port(), scope, flow }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl Endpoint {
    /// As system calls take it.
    pub fn address(&self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, self.port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, self.flow, self.scope).into(),
        }
    }

    /// From the bytes of a `struct sockaddr_in` or `sockaddr_in6`.
    pub fn parse(bytes: &[u8]) -> Option<Endpoint> {
        let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        match i32::from(family) {
            libc::AF_INET => {
                let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                Some(Endpoint { ip: ip.into(), port: half(2)?, scope: 0, flow: 0 })
            }
            libc::AF_INET6 => {
                let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                Some(Endpoint { ip: ip.into(), port: half(2)?, scope: word(24)?, flow: word(4)? })
            }
            _ => None,
        }
    }

    /// As a `struct sockaddr_storage`.
    pub fn bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[2..4].copy_from_slice(&self.port.to_be_bytes());
        let family = match self.ip {
            IpAddr::V4(ip) => {
                bytes[4..8].copy_from_slice(&ip.octets());
                libc::AF_INET
            }
            IpAddr::V6(ip) => {
                bytes[4..8].copy_from_slice(&self.flow.to_ne_bytes());
                bytes[8..24].copy_from_slice(&ip.octets());
                bytes[24..28].copy_from_slice(&self.scope.to_ne_bytes());
                libc::AF_INET6
            }
        };
        bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        bytes
    }

    /// Whether it is one of this address family.
    pub fn is_of(&self, family: i32) -> bool {
        self.ip.is_ipv4() == (family == libc::AF_INET)
    }

    /// The same, with an IPv4 address where it is a mapped one.
    pub fn canonical(self) -> Endpoint {
        Endpoint { ip: self.ip.to_canonical(), scope: 0, flow: 0, ..self }
    }

    /// As an IPv6 socket has it.
    pub fn mapped(self) -> Endpoint {
        match self.ip {
            IpAddr::V4(ip) => Endpoint { ip: ip.to_ipv6_mapped().into(), ..self },
            IpAddr::V6(_) => self,
        }
    }

    /// Whether it is an address of this machine, in this network namespace.
    ///
    /// # Errors
    /// As bind(2).
    pub fn is_own(self) -> Result<bool> {
        let family = if self.ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let what = || format!("look whether {} is an address of this machine", self.ip);
        let probe = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
        match bind(&probe, &Endpoint { port: 0, ..self }.address()) {
            Err(Errno::ADDRNOTAVAIL | Errno::INVAL | Errno::NODEV) => Ok(false),
            bound => bound.map(|()| true).context(what),
        }
    }

    /// What a socket is bound to; `None` for neither an address nor a port.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn of_socket(fd: BorrowedFd<'_>) -> io::Result<Option<Endpoint>> {
        let name = endpoint(&getsockname(fd)?)?;
        Ok((name.port != 0 || !name.ip.is_unspecified()).then_some(name))
    }

    /// What a socket is connected to.
    ///
    /// # Errors
    /// As getpeername(2), but for ENOTCONN.
    pub fn of_peer(fd: BorrowedFd<'_>) -> io::Result<Option<Endpoint>> {
        match getpeername(fd) {
            Ok(name) => name.as_ref().map(endpoint).transpose(),
            Err(rustix::io::Errno::NOTCONN) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }
}

fn endpoint(address: &SocketAddrAny) -> io::Result<Endpoint> {
    let address = SocketAddr::try_from(address.clone())?;
    Ok(address.into())
}

const fn v4(name: i32, room: usize, called: &'static str) -> Entry {
    (libc::IPPROTO_IP, name, room, called)
}

const fn v6(name: i32, room: usize, called: &'static str) -> Entry {
    (libc::IPPROTO_IPV6, name, room, called)
}

// include/uapi/linux/in.h and in6.h; what libc does not have.
const IP_CHECKSUM: i32 = 23;
const IP_RECVFRAGSIZE: i32 = 25;
const IP_RECVERR_RFC4884: i32 = 26;
const IP_UNICAST_IF: i32 = 50;
const IP_LOCAL_PORT_RANGE: i32 = 51;
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPOPTS: i32 = 3;
const IPV6_2292DSTOPTS: i32 = 4;
const IPV6_2292RTHDR: i32 = 5;
const IPV6_2292HOPLIMIT: i32 = 8;
const IPV6_FLOWINFO: i32 = 11;
const IPV6_MULTICAST_ALL: i32 = 29;
const IPV6_RECVERR_RFC4884: i32 = 31;
const IPV6_FLOWINFO_SEND: i32 = 33;
const IPV6_RECVRTHDR: i32 = 56;
const IPV6_RECVHOPOPTS: i32 = 53;
const IPV6_HOPOPTS: i32 = 54;
const IPV6_RTHDRDSTOPTS: i32 = 55;
const IPV6_RTHDR: i32 = 57;
const IPV6_RECVDSTOPTS: i32 = 58;
const IPV6_DSTOPTS: i32 = 59;
const IPV6_AUTOFLOWLABEL: i32 = 70;
const IPV6_ADDR_PREFERENCES: i32 = 72;
pub const IPV6_MINHOPCOUNT: i32 = 73;
const IPV6_ORIGDSTADDR: i32 = 74;
pub const IPV6_TRANSPARENT: i32 = 75;
const IPV6_UNICAST_IF: i32 = 76;
const IPV6_RECVFRAGSIZE: i32 = 77;
pub const IPV6_FREEBIND: i32 = 78;

/// Options of IPv4, which a socket of IPv6 has, too. `IP_MTU_DISCOVER` and what bind(2) minds are
/// first.
const IPV4: &[Entry] = &[
    v4(libc::IP_FREEBIND, 4, "IP_FREEBIND"),
    v4(libc::IP_TRANSPARENT, 4, "IP_TRANSPARENT"),
    v4(libc::IP_BIND_ADDRESS_NO_PORT, 4, "IP_BIND_ADDRESS_NO_PORT"),
    v4(IP_LOCAL_PORT_RANGE, 4, "IP_LOCAL_PORT_RANGE"),
    v4(libc::IP_MTU_DISCOVER, 4, "IP_MTU_DISCOVER"),
    v4(libc::IP_OPTIONS, 40, "IP_OPTIONS"),
    v4(libc::IP_TOS, 4, "IP_TOS"),
    v4(libc::IP_TTL, 4, "IP_TTL"),
    v4(libc::IP_MINTTL, 4, "IP_MINTTL"),
    v4(libc::IP_NODEFRAG, 4, "IP_NODEFRAG"),
    v4(libc::IP_RECVERR, 4, "IP_RECVERR"),
    v4(IP_RECVERR_RFC4884, 4, "IP_RECVERR_RFC4884"),
    v4(libc::IP_PKTINFO, 4, "IP_PKTINFO"),
    v4(libc::IP_RECVTTL, 4, "IP_RECVTTL"),
    v4(libc::IP_RECVTOS, 4, "IP_RECVTOS"),
    v4(libc::IP_RECVOPTS, 4, "IP_RECVOPTS"),
    v4(libc::IP_RETOPTS, 4, "IP_RETOPTS"),
    v4(libc::IP_PASSSEC, 4, "IP_PASSSEC"),
    v4(libc::IP_RECVORIGDSTADDR, 4, "IP_RECVORIGDSTADDR"),
    v4(IP_CHECKSUM, 4, "IP_CHECKSUM"),
    v4(IP_RECVFRAGSIZE, 4, "IP_RECVFRAGSIZE"),
    v4(IP_UNICAST_IF, 4, "IP_UNICAST_IF"),
];

/// Those of multicast, which a stream has not.
const IPV4_MULTICAST: &[Entry] = &[
    v4(libc::IP_MULTICAST_IF, 4, "IP_MULTICAST_IF"),
    v4(libc::IP_MULTICAST_TTL, 4, "IP_MULTICAST_TTL"),
    v4(libc::IP_MULTICAST_LOOP, 4, "IP_MULTICAST_LOOP"),
    v4(libc::IP_MULTICAST_ALL, 4, "IP_MULTICAST_ALL"),
];

/// Options of IPv6.
const IPV6: &[Entry] = &[
    v6(libc::IPV6_V6ONLY, 4, "IPV6_V6ONLY"),
    v6(IPV6_FREEBIND, 4, "IPV6_FREEBIND"),
    v6(IPV6_TRANSPARENT, 4, "IPV6_TRANSPARENT"),
    v6(libc::IPV6_MTU_DISCOVER, 4, "IPV6_MTU_DISCOVER"),
    v6(libc::IPV6_DONTFRAG, 4, "IPV6_DONTFRAG"),
    v6(libc::IPV6_TCLASS, 4, "IPV6_TCLASS"),
    v6(libc::IPV6_UNICAST_HOPS, 4, "IPV6_UNICAST_HOPS"),
    v6(IPV6_MINHOPCOUNT, 4, "IPV6_MINHOPCOUNT"),
    v6(IPV6_AUTOFLOWLABEL, 4, "IPV6_AUTOFLOWLABEL"),
    v6(IPV6_FLOWINFO_SEND, 4, "IPV6_FLOWINFO_SEND"),
    v6(IPV6_ADDR_PREFERENCES, 4, "IPV6_ADDR_PREFERENCES"),
    v6(IPV6_HOPOPTS, 2048, "IPV6_HOPOPTS"),
    v6(IPV6_RTHDR, 2048, "IPV6_RTHDR"),
    v6(IPV6_RTHDRDSTOPTS, 2048, "IPV6_RTHDRDSTOPTS"),
    v6(IPV6_DSTOPTS, 2048, "IPV6_DSTOPTS"),
    v6(libc::IPV6_RECVERR, 4, "IPV6_RECVERR"),
    v6(IPV6_RECVERR_RFC4884, 4, "IPV6_RECVERR_RFC4884"),
    v6(libc::IPV6_RECVPKTINFO, 4, "IPV6_RECVPKTINFO"),
    v6(libc::IPV6_RECVHOPLIMIT, 4, "IPV6_RECVHOPLIMIT"),
    v6(libc::IPV6_RECVTCLASS, 4, "IPV6_RECVTCLASS"),
    v6(IPV6_RECVRTHDR, 4, "IPV6_RECVRTHDR"),
    v6(IPV6_RECVHOPOPTS, 4, "IPV6_RECVHOPOPTS"),
    v6(IPV6_RECVDSTOPTS, 4, "IPV6_RECVDSTOPTS"),
    v6(IPV6_2292PKTINFO, 4, "IPV6_2292PKTINFO"),
    v6(IPV6_2292HOPLIMIT, 4, "IPV6_2292HOPLIMIT"),
    v6(IPV6_2292RTHDR, 4, "IPV6_2292RTHDR"),
    v6(IPV6_2292HOPOPTS, 4, "IPV6_2292HOPOPTS"),
    v6(IPV6_2292DSTOPTS, 4, "IPV6_2292DSTOPTS"),
    v6(IPV6_FLOWINFO, 4, "IPV6_FLOWINFO"),
    v6(libc::IPV6_RECVPATHMTU, 4, "IPV6_RECVPATHMTU"),
    v6(IPV6_ORIGDSTADDR, 4, "IPV6_RECVORIGDSTADDR"),
    v6(IPV6_RECVFRAGSIZE, 4, "IPV6_RECVFRAGSIZE"),
    v6(IPV6_UNICAST_IF, 4, "IPV6_UNICAST_IF"),
];

/// Those of multicast.
const IPV6_MULTICAST: &[Entry] = &[
    v6(libc::IPV6_MULTICAST_IF, 4, "IPV6_MULTICAST_IF"),
    v6(libc::IPV6_MULTICAST_HOPS, 4, "IPV6_MULTICAST_HOPS"),
    v6(libc::IPV6_MULTICAST_LOOP, 4, "IPV6_MULTICAST_LOOP"),
    v6(IPV6_MULTICAST_ALL, 4, "IPV6_MULTICAST_ALL"),
];

/// The tables of options that a stream of this family has.
pub fn tables(family: i32) -> &'static [&'static [Entry]] {
    if family == libc::AF_INET6 { &[IPV6, IPV4] } else { &[IPV4] }
}

/// The tables of options that a socket for datagrams has besides.
pub fn multicast_tables(family: i32) -> &'static [&'static [Entry]] {
    if family == libc::AF_INET6 { &[IPV6_MULTICAST, IPV4_MULTICAST] } else { &[IPV4_MULTICAST] }
}

/// What sockets are connected to, by inode number, as /proc/net/udp and the like have it: also a
/// peer without a port, which getpeername(2) does not tell (`inet_getname`, net/ipv4/af_inet.c).
///
/// # Errors
/// What the kernel reports.
pub fn peers(created: Created) -> io::Result<HashMap<u64, Endpoint>> {
    let name = match created.protocol {
        libc::IPPROTO_UDP => "udp",
        libc::IPPROTO_UDPLITE => "udplite",
        _ => "icmp",
    };
    let version = if created.family == libc::AF_INET6 { "6" } else { "" };
    match std::fs::read_to_string(format!("/proc/thread-self/net/{name}{version}")) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        table => Ok(table?.lines().filter_map(parse_connected).collect()),
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode …`
/// (`udp4_format_sock`, net/ipv4/udp.c); an address in words of four bytes, as the machine reads
/// them.
fn parse_connected(line: &str) -> Option<(u64, Endpoint)> {
    /// include/net/tcp_states.h
    const TCP_ESTABLISHED: &str = "01";
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_connected = *words.get(3)? == TCP_ESTABLISHED;
    let (ip, port) = words.get(2).filter(|_| is_connected)?.split_once(':')?;
    let parts = ip.as_bytes().chunks(8).map(|part| u32::from_str_radix(str::from_utf8(part).ok()?, 16).ok());
    let bytes = parts.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect::<Vec<_>>();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((words.get(9)?.parse().ok()?, Endpoint { ip, port, scope: 0, flow: 0 }))
}

/// A multicast group that a socket has joined on an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its address.
    pub group: IpAddr,
    /// Name of the interface.
    pub interface: String,
    /// Whether only `sources` are received, not all but them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub include: bool,
    /// Addresses of senders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<IpAddr>,
}

// include/uapi/linux/in.h; the same for both families.
const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_MSFILTER: i32 = 48;
/// `struct group_filter`: interface, group, mode and number of sources, each at the alignment of a
/// `sockaddr_storage`, which is that of a pointer.
const GROUP: usize = size_of::<usize>();
const MODE: usize = GROUP + 128;
const COUNT: usize = MODE + 4;
const SOURCES: usize = COUNT + 4;
const MCAST_EXCLUDE: u32 = 0;
const MCAST_INCLUDE: u32 = 1;
/// An interface, by number and name, and the address of a group that sockets have joined there.
pub type Group = (u32, String, IpAddr);

/// Which of the groups of all sockets one has joined: it is asked for its filter of each
/// (`ip_mc_gsfget`, `ip6_mc_msfget`).
///
/// # Errors
/// What the kernel reports.
pub fn memberships(
    fd: BorrowedFd<'_>,
    family: i32,
    groups: &BTreeSet<Group>,
    at: &Subject,
) -> Result<Vec<Membership>> {
    let mut all = Vec::new();
    for (index, interface, group) in groups {
        if group.is_ipv6() && family == libc::AF_INET {
            continue;
        }
        match read_filter(fd, *index, *group) {
            Ok((include, sources)) => {
                all.push(Membership { group: *group, interface: interface.clone(), include, sources });
            }
            Err(err) if err.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {}
            Err(err) => return Err(err).context(|| format!("{at}: read its membership in {group}")),
        }
    }
    Ok(all)
}

/// Whether only some sources are received, and which, or which are not.
fn read_filter(fd: BorrowedFd<'_>, index: u32, group: IpAddr) -> io::Result<(bool, Vec<IpAddr>)> {
    let mut count = 0;
    loop {
        let mut value = filter(index, group, MCAST_EXCLUDE, count, &[]);
        value.resize(SOURCES + 128 * count as usize, 0);
        socket::exchange_option(fd, level_of(group), MCAST_MSFILTER, &mut value)?;
        let word = |at: usize| u32::from_ne_bytes(value[at..at + 4].try_into().expect("four bytes"));
        // It says how many there are, and gives as many as there is room for.
        if word(COUNT) > count {
            count = word(COUNT);
            continue;
        }
        let sources = value[SOURCES..].chunks_exact(128).take(word(COUNT) as usize);
        let sources = sources.filter_map(|bytes| Some(Endpoint::parse(bytes)?.ip)).collect();
        return Ok((word(MODE) == MCAST_INCLUDE, sources));
    }
}

fn level_of(group: IpAddr) -> i32 {
    if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 }
}

/// Joins groups.
///
/// # Errors
/// *conflict* without the interface; what the kernel reports.
pub fn join(fd: BorrowedFd<'_>, memberships: &[Membership]) -> Result<()> {
    for Membership { group, interface, include, sources } in memberships {
        let level = level_of(*group);
        let index = rustix::net::netdevice::name_to_index(fd, interface).map_err(|_| {
            Error::Conflict(format!("{interface}: no such network interface, for multicast group {group}"))
        })?;
        let what = || format!("join multicast group {group} on {interface}");
        let (mode, count) = (if *include { MCAST_INCLUDE } else { MCAST_EXCLUDE }, sources.len() as u32);
        let filter = filter(index, *group, mode, count, sources);
        socket::set_option(fd, level, MCAST_JOIN_GROUP, &filter[..MODE]).context(what)?;
        if *include || !sources.is_empty() {
            socket::set_option(fd, level, MCAST_MSFILTER, &filter).context(what)?;
        }
    }
    Ok(())
}

/// A `struct group_filter`, whose beginning is a `struct group_req`.
fn filter(index: u32, group: IpAddr, mode: u32, count: u32, sources: &[IpAddr]) -> Vec<u8> {
    let plain = |ip: IpAddr| Endpoint { ip, port: 0, scope: 0, flow: 0 }.bytes();
    let mut bytes = vec![0; GROUP];
    bytes[..4].copy_from_slice(&index.to_ne_bytes());
    bytes.extend(plain(group));
    bytes.extend(mode.to_ne_bytes());
    bytes.extend(count.to_ne_bytes());
    sources.iter().for_each(|source| bytes.extend(plain(*source)));
    bytes
}

/// The groups that sockets of the namespace have joined, by /proc/net/igmp and igmp6.
///
/// # Errors
/// What the kernel reports.
pub fn groups() -> io::Result<BTreeSet<Group>> {
    let read = |path: &str| match std::fs::read_to_string(path) {
        // Without multicast, or IPv6.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text,
    };
    let mut all = parse_igmp(&read("/proc/thread-self/net/igmp")?);
    all.extend(read("/proc/thread-self/net/igmp6")?.lines().filter_map(parse_igmp6));
    Ok(all)
}

/// A line for each interface, not indented, and below it one for each group (`igmp_mc_seq_show`).
fn parse_igmp(text: &str) -> BTreeSet<Group> {
    let mut all = BTreeSet::new();
    let mut interface = None;
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if line.starts_with(char::is_numeric) {
            let name = words.next().map(|name| name.trim_end_matches(':').to_owned());
            interface = first.parse().ok().zip(name);
        } else if let (Some((index, name)), Ok(group)) = (&interface, u32::from_str_radix(first, 16)) {
            all.insert((*index, name.clone(), Ipv4Addr::from(group.to_ne_bytes()).into()));
        }
    }
    all
}

/// Number and name of the interface, and the group (`igmp6_mc_seq_show`).
fn parse_igmp6(line: &str) -> Option<Group> {
    let mut words = line.split_whitespace();
    let (index, name, group) = (words.next()?, words.next()?, words.next()?);
    let group = u128::from_str_radix(group, 16).ok()?;
    Some((index.parse().ok()?, name.to_owned(), Ipv6Addr::from(group).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_around() {
        for text in ["127.0.0.1:80", "[::ffff:10.0.0.1]:53", "[fe80::1%3]:9"] {
            let endpoint = Endpoint::from(text.parse::<SocketAddr>().unwrap());
            assert_eq!(Endpoint::parse(&endpoint.bytes()), Some(endpoint));
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!(Endpoint::parse(&[1, 0, 0]), None);
    }

    #[test]
    fn mapped_addresses_are_canonical() {
        let v4 = Endpoint::from("127.0.0.1:7".parse::<SocketAddr>().unwrap());
        let mapped = Endpoint::from("[::ffff:127.0.0.1]:7".parse::<SocketAddr>().unwrap());
        assert_eq!((mapped.canonical(), v4.canonical()), (v4, v4));
        assert!(!mapped.is_of(libc::AF_INET) && v4.is_of(libc::AF_INET));
    }

    #[test]
    fn a_peer_without_a_port_is_read() {
        let word = u32::from_ne_bytes([127, 0, 0, 1]);
        let line =
            format!("  7: 0100007F:B1C2 {word:08X}:0000 01 00000000:00000000 00:00000000 0 0 0 4711 2 0 0");
        let peer = Endpoint::from("127.0.0.1:0".parse::<SocketAddr>().unwrap());
        assert_eq!(parse_connected(&line), Some((4711, peer)));
        assert_eq!(parse_connected(&line.replace(" 01 ", " 07 ")), None);
    }

    #[test]
    fn groups_are_read() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let little = "224.0.0.1".parse::<IpAddr>().unwrap();
        let group = if cfg!(target_endian = "little") { little } else { "1.0.0.224".parse().unwrap() };
        assert_eq!(parse_igmp(text), [(1, "lo".to_owned(), group)].into());
        let line = "4    eth0            ff020000000000000000000000000001     1 0000000C 0";
        assert_eq!(parse_igmp6(line), Some((4, "eth0".to_owned(), "ff02::1".parse().unwrap())));
        assert_eq!(parse_igmp6("4 eth0"), None);
    }
}
