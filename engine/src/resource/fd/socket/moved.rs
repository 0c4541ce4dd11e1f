//! Other addresses for the sockets of a job that is restarted elsewhere.

use super::ip::Endpoint;
use crate::error::{Error, Result};
use crate::resource::Records;
use crate::resource::fd::tcp::Link;
use crate::resource::fd::{Kind, Verbs};
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An address that is replaced by another one: `OLD=NEW`, both of them with a port or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    old: Place,
    new: Place,
}

/// An address, and a port if it is meant only with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    ip: IpAddr,
    port: Option<u16>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Place { ip, port: None });
        }
        let both: SocketAddr =
            text.parse().map_err(|_| format!("{text}: expected an IP address, IPV4:PORT or [IPV6]:PORT"))?;
        Ok(Place { ip: both.ip(), port: Some(both.port()) })
    }
}

impl FromStr for Moved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or("expected OLD=NEW")?;
        let (old, new): (Place, Place) = (old.parse()?, new.parse()?);
        if old.ip.is_ipv4() != new.ip.is_ipv4() {
            return Err("expected two addresses of the same IP version".into());
        }
        if old.port.is_some() != new.port.is_some() {
            return Err("expected a port with both addresses, or with none".into());
        }
        Ok(Moved { old, new })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl Moved {
    fn is_of(&self, at: Endpoint) -> bool {
        self.old.ip == at.canonical().ip && self.old.port.is_none_or(|port| port == at.port)
    }

    /// The new address in the form of the old one: an IPv6 socket has IPv4 addresses mapped.
    fn to(&self, at: Endpoint) -> Endpoint {
        let ip = match self.new.ip {
            IpAddr::V4(ip) if at.ip.is_ipv6() => ip.to_ipv6_mapped().into(),
            ip => ip,
        };
        let is_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let scope = if is_local { at.scope } else { 0 };
        Endpoint { ip, port: self.new.port.unwrap_or(at.port), scope, ..at }
    }
}

/// Replaces addresses of the sockets of a job, both own ones and those of other ends. One with a
/// port goes before one without.
///
/// # Errors
/// *conflict* for an address that no socket has, and one of a connection to outside.
pub fn apply(records: &mut Records, moved: &[Moved]) -> Result<()> {
    let mut used = vec![false; moved.len()];
    let mut find = |at: Endpoint| {
        let fitting = || moved.iter().enumerate().filter(|(_, moved)| moved.is_of(at));
        let (index, found) =
            fitting().find(|(_, moved)| moved.old.port.is_some()).or_else(|| fitting().next())?;
        used[index] = true;
        Some(found.to(at))
    };
    for (index, inode) in records.inodes.iter_mut().enumerate() {
        let mut endpoints: Vec<&mut Endpoint> = Vec::new();
        match &mut inode.kind {
            Kind::Tcp(tcp) => {
                if let (Link::Outside(outside), Some(own)) = (&tcp.link, tcp.name)
                    && [own, outside.to].into_iter().any(|end| find(end).is_some())
                {
                    return Err(Error::Conflict(format!(
                        "--map-ip: {} leads outside, where it is known by its address: pass --tcp-close, and the job finds it reset",
                        tcp.title(index)
                    )));
                }
                endpoints.extend(&mut tcp.name);
                match &mut tcp.link {
                    Link::Peer { connection, .. } | Link::Closed { connection } => {
                        endpoints.push(&mut connection.to);
                    }
                    Link::Waiting { to, .. } | Link::Connecting { to } => endpoints.push(to),
                    _ => {}
                }
            }
            Kind::Udp(udp) => {
                endpoints.extend(udp.name.iter_mut().chain(&mut udp.peer));
                for datagram in &mut udp.queue {
                    endpoints.push(&mut datagram.from);
                    endpoints.extend(&mut datagram.to);
                }
            }
            _ => {}
        }
        for endpoint in endpoints {
            if let Some(new) = find(*endpoint) {
                *endpoint = new;
            }
        }
    }
    match moved.iter().zip(used).find(|(_, used)| !used) {
        Some((Moved { old, .. }, _)) => {
            Err(Error::Conflict(format!("--map-ip {old}: no socket of the job has this address")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[rstest]
    #[case("10.0.0.1=10.0.0.2", "10.0.0.1:7", Some("10.0.0.2:7"))]
    #[case("10.0.0.1=10.0.0.2", "10.0.0.3:7", None)]
    #[case("10.0.0.1=10.0.0.2", "[::ffff:10.0.0.1]:7", Some("[::ffff:10.0.0.2]:7"))]
    #[case("10.0.0.1:7=10.0.0.2:8", "10.0.0.1:7", Some("10.0.0.2:8"))]
    #[case("10.0.0.1:7=10.0.0.2:8", "10.0.0.1:9", None)]
    #[case("fd00::1=fd00::2", "[fd00::1]:7", Some("[fd00::2]:7"))]
    #[case("[fd00::1]:7=[fd00::2]:8", "[fd00::1]:7", Some("[fd00::2]:8"))]
    fn an_address_is_replaced(#[case] moved: &str, #[case] at: &str, #[case] to: Option<&str>) {
        let (moved, at) = (moved.parse::<Moved>().unwrap(), endpoint(at));
        assert_eq!(moved.is_of(at).then(|| moved.to(at)), to.map(endpoint));
    }

    #[rstest]
    #[case("10.0.0.1")]
    #[case("10.0.0.1=")]
    #[case("10.0.0.1=::1")]
    #[case("10.0.0.1:7=10.0.0.2")]
    #[case("fd00::1:x=fd00::2")]
    fn what_is_no_pair_of_addresses_is_refused(#[case] text: &str) {
        assert!(text.parse::<Moved>().is_err(), "{text}");
    }
}
