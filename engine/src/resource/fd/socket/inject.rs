//! Datagrams put into the queue of a new UDP socket, from whatever address they came, and the end
//! of a stream into that of a TCP socket.
//!
//! The socket is bound to a port that nobody knows, and each datagram is sent to it over loopback
//! as a packet with a header of our own (raw(7)): the kernel does not check the source address of
//! what it has routed on the way out (`ip_rcv_finish_core`, net/ipv4/ip_input.c). After that the
//! socket loses the port again by being disconnected, as it was not asked for by number, and keeps
//! its queue (`__udp_disconnect`, net/ipv4/udp.c).

use super::ip::Endpoint;
use super::options::{SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW};
use super::queue::{self, PeekOffset};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::resource::bytes::Bytes;
use crate::resource::fd::description::Descriptor;
use crate::sys::socket::{self, Received};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect_unspec, sendto, socket_with,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A datagram in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// Its contents.
    pub data: Bytes,
    /// Who has sent it.
    pub from: Endpoint,
    /// The address that it was sent to, if the receiver is told (`IP_PKTINFO`); without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Endpoint>,
    /// Time to live or hop limit, if the receiver is told (`IP_RECVTTL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Type of service or traffic class, if the receiver is told (`IP_RECVTOS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos: Option<u8>,
}

/// Longer than any datagram.
const LONGEST: usize = 1 << 16;

/// Reads the queue of `fd`, which is a duplicate of a descriptor of a process, without taking
/// anything out. It must have no pending error, which would be taken.
///
/// An empty datagram is marked when it is looked at, and looks by `SO_PEEK_OFF` pass over marked
/// ones (`__skb_try_recv_from_queue`, net/core/datagram.c). A look without it sees the first in any
/// case.
///
/// # Errors
/// *unsupported* for a datagram that cannot be sent again as it came; what the kernel reports.
pub fn look(fd: BorrowedFd<'_>, descriptor: &Descriptor) -> Result<Vec<Datagram>> {
    let at = &descriptor.at();
    let mut buf = vec![0u8; LONGEST];
    let mut peek = || -> Result<Option<(Received, Vec<u8>)>> {
        let found = socket::peek(fd, &mut buf).context(|| format!("{at}: look into queue"))?;
        Ok(found.map(|found| {
            let data = buf[..found.len].to_vec();
            (found, data)
        }))
    };
    let offset = PeekOffset::begin(fd, descriptor, PeekOffset::of(fd, at)?)?;
    offset.set(-1)?;
    let mut all = Vec::new();
    if let Some(first) = peek()? {
        if first.1.is_empty() {
            all.push(first);
        }
        offset.set(0)?;
        while let Some(next) = peek()? {
            all.push(next);
        }
    }
    offset.end()?;
    all.into_iter().map(|(received, data)| Datagram::of(received, data, at)).collect()
}

impl Datagram {
    fn of(received: Received, data: Vec<u8>, at: &Subject) -> Result<Datagram> {
        let refuse = |what: &str| {
            let why = format!(" is a socket with a datagram in its queue {what}; receive it first");
            Err(Error::unsupported(Problem::of(at.clone(), why)))
        };
        if received.whole > data.len() || received.is_cut {
            return refuse("that is too long");
        }
        let Some(from) = Endpoint::parse(&received.from) else {
            return refuse("whose sender is not known");
        };
        let mut datagram = Datagram { data: Bytes(data), from, to: None, ttl: None, tos: None };
        for (level, kind, value) in received.control {
            let to = |ip: IpAddr, index: &[u8]| {
                let index = index.try_into().map_or(0, u32::from_ne_bytes);
                let is_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
                Some(Endpoint { ip, port: 0, scope: if is_local { index } else { 0 }, flow: 0 })
            };
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL | libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS) => {}
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING | SO_TIMESTAMP_NEW..=SO_TIMESTAMPING_NEW) => {}
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if value.len() == 12 => {
                    let ip: [u8; 4] = value[8..].try_into().expect("four bytes");
                    datagram.to = to(ip.into(), &value[..4]);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO | 2) if value.len() == 20 => {
                    let ip: [u8; 16] = value[..16].try_into().expect("sixteen bytes");
                    datagram.to = to(IpAddr::from(ip).to_canonical(), &value[16..]);
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT | 8) => {
                    datagram.ttl = number(&value);
                }
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    datagram.tos = number(&value);
                }
                _ => {
                    return refuse(&format!(
                        "that shows more about itself than can be restored (item {kind} of level {level})"
                    ));
                }
            }
        }
        if let Some(to) = datagram.to
            && !is_ours_alone(to)?
        {
            return refuse(&format!("that came to {}, not an address of this machine alone", to.ip));
        }
        Ok(datagram)
    }
}

/// A number of one byte or four.
fn number(value: &[u8]) -> Option<u8> {
    match value {
        [byte] => Some(*byte),
        value => value.try_into().ok().and_then(|four| u8::try_from(i32::from_ne_bytes(four)).ok()),
    }
}

/// Whether an address is one of this machine, and neither multicast nor broadcast.
fn is_ours_alone(to: Endpoint) -> Result<bool> {
    let is_multicast = to.ip.is_multicast() || to.ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let family = if to.ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let what = || format!("look whether {} is an address of this machine", to.ip);
    let probe = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None).context(what)?;
    // To a broadcast address EACCES.
    let address = Endpoint { port: 9, ..to }.address();
    let is_shared = is_multicast || rustix::net::connect(&probe, &address) == Err(Errno::ACCESS);
    Ok(!is_shared && to.is_own()?)
}

/// Puts datagrams into the queue of a new socket, which is not bound before and afterwards.
///
/// # Errors
/// *denied* without CAP_NET_RAW; *conflict* if one does not arrive; what the kernel reports.
pub fn fill(fd: BorrowedFd<'_>, protocol: i32, datagrams: &[Datagram]) -> Result<()> {
    if datagrams.is_empty() {
        return Ok(());
    }
    queue::with_room_to_receive(fd, || put_back(fd, protocol, datagrams))
}

fn put_back(fd: BorrowedFd<'_>, protocol: i32, datagrams: &[Datagram]) -> Result<()> {
    let what = || "bind a new socket to any port";
    let any: SocketAddr = match socket::int(fd, libc::SOL_SOCKET, libc::SO_DOMAIN).context(what)? {
        libc::AF_INET => (Ipv4Addr::UNSPECIFIED, 0).into(),
        _ => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    bind(fd, &any).context(what)?;
    let port = Endpoint::of_socket(fd).context(what)?.map_or(0, |own| own.port);
    let mut senders = [const { None }; 2];
    for (index, datagram) in datagrams.iter().enumerate() {
        let before = filled(fd)?;
        let packet = Packet::of(datagram, protocol, port, index)?;
        let sender = &mut senders[usize::from(packet.to.is_ipv6())];
        let sender = match sender {
            Some(sender) => sender,
            None => sender.insert(raw(packet.to)?),
        };
        packet.send(sender)?;
        let patience = Instant::now() + Duration::from_secs(5);
        while filled(fd)? <= before {
            if Instant::now() > patience {
                return Err(Error::Conflict(format!(
                    "a datagram from {} to {} did not arrive over loopback: is lo up, and does no firewall drop it?",
                    datagram.from, packet.to
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    connect_unspec(fd).context(|| "take the port from a socket")
}

/// Sends the end of a stream to a TCP socket, as if by the other end of its connection: a segment
/// of this sequence number that acknowledges `acknowledged`. It has a mark (`SO_MARK`).
///
/// # Errors
/// *denied* without CAP_NET_RAW and CAP_NET_ADMIN; what the kernel reports.
pub fn end_stream(
    (from, to): (Endpoint, Endpoint),
    [sequence, acknowledged]: [u32; 2],
    window: u16,
    mark: u32,
) -> Result<()> {
    const FIN_ACK: u16 = 0x11;
    const WORDS: u16 = 5;
    let mut segment = Vec::with_capacity(20);
    segment.extend([from.port, to.port].map(u16::to_be_bytes).as_flattened());
    segment.extend([sequence, acknowledged].map(u32::to_be_bytes).as_flattened());
    segment.extend([WORDS << 12 | FIN_ACK, window, 0, 0].map(u16::to_be_bytes).as_flattened());
    let ips = (from.ip.to_canonical(), to.ip.to_canonical());
    let packet = Packet::new(ips, to.scope, libc::IPPROTO_TCP, segment, 16)?;
    let sender = raw(packet.to)?;
    socket::set_option(sender.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes())
        .context(|| "mark a packet (needs CAP_NET_ADMIN)")?;
    packet.send(&sender)
}

/// Bytes of memory that the queue of a socket takes (`SK_MEMINFO_RMEM_ALLOC`).
fn filled(fd: BorrowedFd<'_>) -> Result<u32> {
    const SO_MEMINFO: i32 = 55;
    let info = socket::option(fd, libc::SOL_SOCKET, SO_MEMINFO, 4 * 9).context(|| "read fill of a socket")?;
    Ok(info.get(..4).map_or(0, |first| u32::from_ne_bytes(first.try_into().expect("four bytes"))))
}

/// A socket that sends packets with their headers.
fn raw(to: IpAddr) -> Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(rustix::net::ipproto::RAW))
        .context(|| "open a raw socket, to put into queues what came (needs CAP_NET_RAW)")
}

/// A datagram of UDP or UDP-Lite, or a segment of TCP, with what goes into the header before it.
struct Packet {
    from: IpAddr,
    to: IpAddr,
    /// Number of the interface, if `to` is link-local.
    scope: u32,
    protocol: u8,
    ttl: u8,
    tos: u8,
    /// Not the same as that of another packet that may be in pieces.
    id: u16,
    payload: Vec<u8>,
}

/// Bytes of a piece of a packet that is longer than the interface takes; a multiple of 8.
const PIECE: usize = 1232;

impl Packet {
    fn of(datagram: &Datagram, protocol: i32, port: u16, index: usize) -> Result<Packet> {
        let from = datagram.from.ip.to_canonical();
        let (to, scope) = match datagram.to {
            Some(to) => (to.ip, to.scope),
            None if from.is_ipv4() => (Ipv4Addr::LOCALHOST.into(), 0),
            None if datagram.from.scope != 0 => {
                (address_on(datagram.from.scope)?.into(), datagram.from.scope)
            }
            None => (Ipv6Addr::LOCALHOST.into(), 0),
        };
        let data = &datagram.data.0;
        let length = u16::try_from(data.len() + 8).unwrap_or_default();
        // Of UDP-Lite how much the checksum covers; 0 is all.
        let third = if protocol == libc::IPPROTO_UDP { length } else { 0 };
        let mut payload = Vec::with_capacity(data.len() + 8);
        for half in [datagram.from.port, port, third, 0] {
            payload.extend(half.to_be_bytes());
        }
        payload.extend(data);
        let made = Packet::new((from, to), scope, protocol, payload, 6)?;
        let (ttl, tos) = (datagram.ttl.unwrap_or(64), datagram.tos.unwrap_or(0));
        Ok(Packet { ttl, tos, id: (index as u16).wrapping_mul(2) | 1, ..made })
    }

    /// A packet whose payload has its checksum at `sum_at`.
    fn new(
        (from, to): (IpAddr, IpAddr),
        scope: u32,
        protocol: i32,
        mut payload: Vec<u8>,
        sum_at: usize,
    ) -> Result<Packet> {
        let mut pseudo = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [from.octets(), to.octets()].concat(),
            _ => return Err(Error::Conflict("a packet of two address families".into())),
        };
        pseudo.extend((payload.len() as u32).to_be_bytes());
        pseudo.extend((protocol as u32).to_be_bytes());
        let sum = match checksum([&pseudo[..], &payload]) {
            0 => 0xffff,
            sum => sum,
        };
        payload[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(Packet { from, to, scope, protocol: protocol as u8, ttl: 64, tos: 0, id: 1, payload })
    }

    fn send(&self, sender: &OwnedFd) -> Result<()> {
        let send = |packet: &[u8]| match self.to {
            IpAddr::V4(to) => sendto(sender, packet, SendFlags::empty(), &SocketAddr::from((to, 0))),
            IpAddr::V6(to) => {
                sendto(sender, packet, SendFlags::empty(), &SocketAddrV6::new(to, 0, 0, self.scope))
            }
        };
        let whole = self.bytes(&self.payload, 0, false);
        let sent = match whole.map(|whole| send(&whole)) {
            None | Some(Err(Errno::MSGSIZE)) => {
                let pieces = self.payload.chunks(PIECE).enumerate();
                let last = self.payload.len().div_ceil(PIECE) - 1;
                let mut pieces = pieces.filter_map(|(n, piece)| self.bytes(piece, n * PIECE, n < last));
                pieces.try_for_each(|piece| send(&piece).map(drop))
            }
            Some(sent) => sent.map(drop),
        };
        sent.context(|| format!("send a packet from {} to {}", self.from, self.to))
    }

    /// A packet with a part of the payload that begins at `offset`; `None` if it would be too long.
    fn bytes(&self, part: &[u8], offset: usize, more: bool) -> Option<Vec<u8>> {
        let is_piece = more || offset != 0;
        let mut packet = Vec::with_capacity(part.len() + 48);
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                packet.extend([0x45, self.tos]);
                packet.extend(u16::try_from(part.len() + 20).ok()?.to_be_bytes());
                packet.extend(self.id.to_be_bytes());
                packet.extend(((offset / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
                // The kernel fills in the checksum.
                packet.extend([self.ttl, self.protocol, 0, 0]);
                packet.extend([from.octets(), to.octets()].concat());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                const FRAGMENT: u8 = 44;
                let header = if is_piece { 8 } else { 0 };
                packet.extend((0x6000_0000 | u32::from(self.tos) << 20).to_be_bytes());
                packet.extend(u16::try_from(part.len() + header).ok()?.to_be_bytes());
                packet.extend([if is_piece { FRAGMENT } else { self.protocol }, self.ttl]);
                packet.extend([from.octets(), to.octets()].concat());
                if is_piece {
                    packet.extend([self.protocol, 0]);
                    packet.extend((offset as u16 | u16::from(more)).to_be_bytes());
                    packet.extend(u32::from(self.id).to_be_bytes());
                }
            }
            _ => return None,
        }
        packet.extend(part);
        Some(packet)
    }
}

/// The checksum of the Internet protocols (RFC 1071) of parts that follow each other; each but the
/// last has an even length.
fn checksum(parts: [&[u8]; 2]) -> u16 {
    let pairs = parts.into_iter().flat_map(|part| part.chunks(2));
    let sum: u64 =
        pairs.map(|pair| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from)).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv6 address of an interface: what comes to it has the interface's number with the address
/// of its sender. Lines of /proc/net/if_inet6 have the address, and the interface's number in
/// hexadecimal (`if6_seq_show`, net/ipv6/addrconf.c).
fn address_on(interface: u32) -> Result<Ipv6Addr> {
    let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6").context(|| "list IPv6 addresses")?;
    let mut addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        (u32::from_str_radix(words.next()?, 16).ok()? == interface).then_some(Ipv6Addr::from(address))
    });
    addresses.next().ok_or_else(|| {
        Error::Conflict(format!(
            "interface {interface} has no IPv6 address any more, and a datagram in a queue came from there"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::fd::socket::Created;
    use crate::resource::fd::socket::options::create;

    #[test]
    fn datagrams_come_from_where_they_came() {
        let datagram = |data: &[u8], from: &str| Datagram {
            data: Bytes(data.to_vec()),
            from: from.parse::<SocketAddr>().unwrap().into(),
            to: None,
            ttl: None,
            tos: None,
        };
        let all = [
            datagram(b"", "192.0.2.1:53"),
            datagram(b"odd", "127.0.0.1:1"),
            datagram(&[7; 65507], "198.51.100.200:65535"),
            datagram(b"", "127.0.0.1:1"),
        ];
        let created = Created { family: libc::AF_INET, kind: libc::SOCK_DGRAM, protocol: libc::IPPROTO_UDP };
        let fd = create(created).unwrap();
        match fill(fd.as_fd(), libc::IPPROTO_UDP, &all) {
            // Not as an ordinary user.
            Err(Error::Denied { .. }) => return,
            filled => filled.unwrap(),
        }
        assert_eq!(Endpoint::of_socket(fd.as_fd()).unwrap(), None);
        let mut buf = vec![0; LONGEST];
        for datagram in all {
            let got = rustix::net::recvfrom(&fd, &mut buf, rustix::net::RecvFlags::DONTWAIT).unwrap();
            assert_eq!(&buf[..got.0], datagram.data.0);
            assert_eq!(SocketAddr::try_from(got.2.unwrap()).unwrap(), datagram.from.address());
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(checksum([&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], &[]]), !0xddf2);
    }
}
