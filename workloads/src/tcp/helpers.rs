//! Shared by several workloads of this group: listeners on ports that the kernel chooses, and
//! connections.

use crate::framework::prelude::*;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// A listener on a loopback address; skips the workload without it.
pub fn listener(address: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((address, 0)) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            skip(format!("no address {address}"))
        }
        bound => bound.with_context(|| format!("bind to {address}")),
    }
}

/// A listener with room for the one connection that waits there: requests for more are dropped.
pub fn full_listener() -> anyhow::Result<(TcpListener, TcpStream)> {
    let listener = listener("127.0.0.1")?;
    // SAFETY: numbers only.
    sys::check("listen", unsafe { libc::listen(listener.as_raw_fd(), 0) })?;
    let client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    Ok((listener, client))
}

/// A socket for IPv4 with these flags (`SOCK_*`), and what connect(2) says, which the standard
/// library interprets.
pub fn connect(to: SocketAddr, flags: i32) -> anyhow::Result<(TcpStream, std::io::Result<()>)> {
    let SocketAddr::V4(to) = to else { bail!("not IPv4") };
    // SAFETY: numbers only; the descriptor is new and has no other owner.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0);
        OwnedFd::from_raw_fd(sys::check("socket", fd)?)
    };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    };
    let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is live, and as long as it says.
    let connected = match unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    Ok((socket.into(), connected))
}

/// A socket that connects without waiting.
pub fn begin_to_connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let (socket, begun) = connect(to, libc::SOCK_NONBLOCK)?;
    let error = begun.map_err(|error| error.raw_os_error());
    expect_eq("connect", error, Err(Some(libc::EINPROGRESS)))?;
    Ok(socket)
}

/// A connection through a listener: the end that connected, and the one that was accepted.
pub fn pair_of(listener: &TcpListener) -> anyhow::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?).context("connect")?;
    let (server, _) = listener.accept().context("accept")?;
    Ok((client, server))
}

/// A connection over IPv4, without its listener.
pub fn pair() -> anyhow::Result<(TcpStream, TcpStream)> {
    pair_of(&listener("127.0.0.1")?)
}

/// The addresses of both ends of a connection, from both.
pub type Names = [SocketAddr; 4];

/// See [`Names`].
pub fn names((one, other): (&TcpStream, &TcpStream)) -> anyhow::Result<Names> {
    Ok([one.local_addr()?, one.peer_addr()?, other.local_addr()?, other.peer_addr()?])
}

/// Sends a few bytes from one end to the other, and back.
pub fn talk((one, other): (&TcpStream, &TcpStream), seed: u64) -> Outcome {
    for (from, to, len) in [(one, other, 1), (other, one, 70_000), (one, other, 3000), (other, one, 1)] {
        let bytes = pattern::bytes(len, seed ^ len as u64);
        send(from, &bytes)?;
        pattern::verify("what was sent", &receive(to, len)?, seed ^ len as u64)?;
    }
    Ok(())
}

/// Sends everything.
pub fn send(mut to: &TcpStream, bytes: &[u8]) -> Outcome {
    to.write_all(bytes).context("send")
}

/// Receives this many bytes.
pub fn receive(mut from: &TcpStream, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).with_context(|| format!("receive {len} bytes"))?;
    Ok(bytes)
}

/// There must be nothing but the end of the stream.
pub fn expect_end(mut from: &TcpStream) -> Outcome {
    expect_eq("bytes before the end", from.read(&mut [0; 16]).context("receive")?, 0)
}

/// Sends until nothing more fits; returns how many bytes did, of [`pattern::bytes`] of `key`.
pub fn fill(mut to: &TcpStream, key: u64) -> anyhow::Result<usize> {
    let bytes = pattern::bytes(32 << 20, key);
    to.set_nonblocking(true)?;
    let mut sent = 0;
    let mut idle = 0;
    // What has arrived makes room for more.
    while idle < 5 {
        match to.write(&bytes[sent..]) {
            Ok(len) => (sent, idle) = (sent + len, 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(10));
                idle += 1;
            }
            Err(e) => return Err(e).context("send"),
        }
    }
    to.set_nonblocking(false)?;
    expect(sent < bytes.len(), || "more fits than there is".into())?;
    Ok(sent)
}

/// Receives what [`fill`] has sent.
pub fn drain(from: &TcpStream, len: usize, key: u64) -> Outcome {
    let want = pattern::bytes(32 << 20, key);
    expect_bytes("what was sent", &receive(from, len)?, &want[..len])
}

/// Ends the stream that this end sends.
pub fn end(stream: &TcpStream) -> Outcome {
    stream.shutdown(Shutdown::Write).context("shut down")
}

/// Waits until this many bytes can be read.
pub fn await_bytes(stream: &TcpStream, count: i32) -> Outcome {
    sync::wait_until("the bytes to arrive", || Ok(fd::available(stream)? >= count))
}

/// Waits until the end of the stream has arrived.
pub fn await_end(stream: &TcpStream) -> Outcome {
    let has_ended = || Ok(fd::ready_for(stream, libc::POLLRDHUP)? & libc::POLLRDHUP != 0);
    sync::wait_until("the end to arrive", has_ended)
}

/// The state of a connection (`TCP_INFO`): 1 is established.
pub fn state(stream: &TcpStream) -> anyhow::Result<i32> {
    Ok(option::get(stream, libc::IPPROTO_TCP, libc::TCP_INFO)?[0].into())
}
