//! Options of a connection and of a listener.

use super::helpers::{listener, pair_of, talk};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "options of TCP, IP and of sockets, and which ones a new connection gets",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// Level, name, value.
const OF_CONNECTION: &[(i32, i32, i32)] = &[
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 7),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 54_321),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, 9),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 16_384),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, 1),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, 1),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 3),
    (libc::SOL_SOCKET, libc::SO_MARK, 5),
    (libc::IPPROTO_IP, libc::IP_TOS, 0x10),
    (libc::IPPROTO_IP, libc::IP_TTL, 33),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
];

const OF_LISTENER: &[(i32, i32, i32)] = &[
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 3),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG, 1000),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, 4),
    (libc::IPPROTO_IP, libc::IP_TTL, 44),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT, 1),
];

fn run(cx: &mut Ctx) -> Outcome {
    let (first, second) = (listener("127.0.0.1")?, listener("127.0.0.1")?);
    let (one, other) = pair_of(&first)?;
    for &(level, name, value) in OF_CONNECTION {
        option::set_int(&one, level, name, value)?;
    }
    for &(level, name, value) in OF_LISTENER {
        option::set_int(&second, level, name, value)?;
    }
    // Twice of it is read; a size that was set no longer adapts.
    option::set_int(&one, libc::SOL_SOCKET, libc::SO_SNDBUF, 50_000)?;
    let sizes = |socket| {
        Ok::<_, anyhow::Error>((
            option::get_int(socket, libc::SOL_SOCKET, libc::SO_SNDBUF)?,
            option::get_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF)?,
        ))
    };
    let untouched = || {
        [libc::TCP_NODELAY, libc::TCP_KEEPIDLE, libc::TCP_CORK, libc::TCP_USER_TIMEOUT]
            .map(|name| option::get_int(&other, libc::IPPROTO_TCP, name).unwrap_or(-1))
    };
    let before = (sizes(&one)?, sizes(&other)?, untouched());

    cx.ready()?;

    for &(level, name, value) in OF_CONNECTION {
        expect_eq(&format!("option {name} of level {level}"), option::get_int(&one, level, name)?, value)?;
    }
    for &(level, name, value) in OF_LISTENER {
        expect_eq(&format!("option {name} of level {level}"), option::get_int(&second, level, name)?, value)?;
    }
    expect_eq("sizes, and options of the other end", (sizes(&one)?, sizes(&other)?, untouched()), before)?;
    let client = std::net::TcpStream::connect(second.local_addr()?).context("connect")?;
    super::helpers::send(&client, b"hello")?;
    let (accepted, _) = second.accept()?;
    expect_eq("the TTL of what it accepts", option::get_int(&accepted, libc::IPPROTO_IP, libc::IP_TTL)?, 44)?;
    option::set_int(&one, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1)?;
    talk((&one, &other), cx.seed)
}
