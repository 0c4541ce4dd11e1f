//! Repair mode of TCP sockets (`TCP_REPAIR`, net/ipv4/tcp.c): reads what is in both queues and
//! makes connections without a packet. Needs CAP_NET_ADMIN.

use super::ip::Endpoint;
use super::queue;
use crate::error::{Context, Error, Problem, Result};
use crate::journal::{Change, Entry};
use crate::resource::fd::description::Descriptor;
use crate::sys::socket;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// include/uapi/linux/tcp.h
mod uapi {
    pub const NO_QUEUE: i32 = 0;
    pub const RECV_QUEUE: i32 = 1;
    pub const SEND_QUEUE: i32 = 2;
    pub const TIMESTAMP_CLOCK: i32 = 24;
    pub const REPAIR_WINDOW: i32 = 29;
    /// Codes of `struct tcp_repair_opt`, include/net/tcp.h.
    pub const MSS: u32 = 2;
    pub const WINDOW: u32 = 3;
    pub const SACK_PERMITTED: u32 = 4;
    pub const TIMESTAMP: u32 = 8;
    /// Bits of `tcpi_options`.
    pub const HAS_TIMESTAMPS: u8 = 1;
    pub const HAS_SACK: u8 = 2;
    pub const HAS_SCALES: u8 = 4;
}

/// What both ends agreed on when they connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The largest segment that the other end takes, in bytes.
    pub mss: u32,
    /// By how many bits windows are shifted that this end receives, and that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<(u8, u8)>,
    /// Whether segments are acknowledged selectively.
    pub sack: bool,
    /// Whether segments have timestamps.
    pub timestamps: bool,
}

impl Agreed {
    /// Whether two ends could have agreed on that.
    pub fn is_valid(self) -> bool {
        let scaled = self.scales.is_none_or(|(send, receive)| send.max(receive) <= 14);
        self.mss > 0 && self.mss <= u16::MAX.into() && scaled
    }
}

/// `TCP_INFO` in part: the state (`TCP_*`), and what was agreed on, without the segment size.
///
/// # Errors
/// As getsockopt(2).
pub fn info(fd: BorrowedFd<'_>) -> io::Result<(u8, Agreed)> {
    let info = socket::option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 8)?;
    let [state, _, _, _, _, options, scales, ..] = info[..] else {
        return Err(io::Error::other("TCP_INFO of another size"));
    };
    let has = |bit: u8| options & bit != 0;
    // Two fields of four bits, the first one where the architecture begins.
    let (low, high) = (scales & 15, scales >> 4);
    let scales = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
    let agreed = Agreed {
        mss: 0,
        scales: has(uapi::HAS_SCALES).then_some(scales),
        sack: has(uapi::HAS_SACK),
        timestamps: has(uapi::HAS_TIMESTAMPS),
    };
    Ok((state, agreed))
}

/// What a socket has received that was not read, and how many bytes the kernel says that to be.
///
/// # Errors
/// What the kernel reports.
pub fn received(fd: BorrowedFd<'_>) -> io::Result<(Vec<u8>, usize)> {
    let waiting = rustix::io::ioctl_fionread(fd)? as usize;
    if waiting == 0 {
        // Nothing to take an error from.
        return Ok((Vec::new(), 0));
    }
    let mut buf = vec![0; waiting];
    let (_, got) = rustix::net::recv(fd, &mut buf[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    buf.truncate(got);
    Ok((buf, waiting))
}

/// Whether nothing was ever sent or received through a connection (`tcpi_data_segs_in` and
/// `_out`, Linux 4.6).
///
/// # Errors
/// As getsockopt(2).
pub fn has_sent_nothing(fd: BorrowedFd<'_>) -> io::Result<bool> {
    /// Where the two are in `struct tcp_info`.
    const SEGMENTS: std::ops::Range<usize> = 152..160;
    let info = socket::option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, SEGMENTS.end)?;
    let unsent = socket::outq(fd)? == 0;
    Ok(unsent && info.get(SEGMENTS).is_some_and(|segments| segments.iter().all(|byte| *byte == 0)))
}

/// Whether a socket that asks for a connection sends data with that (`TCP_FASTOPEN`): more than one
/// segment is then not acknowledged (`tcpi_unacked`; `tcp_send_syn_data`).
///
/// # Errors
/// As getsockopt(2).
pub fn sends_with_request(fd: BorrowedFd<'_>) -> io::Result<bool> {
    /// Where it is in `struct tcp_info`.
    const UNACKED: std::ops::Range<usize> = 24..28;
    let info = socket::option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, UNACKED.end)?;
    let segments = info.get(UNACKED).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
    Ok(segments.is_none_or(|segments| segments > 1))
}

/// A socket of the target in repair mode, or one of the engine's own.
pub struct Repaired {
    fd: OwnedFd,
    entry: Entry,
}

impl Repaired {
    /// Begins it on a socket of a stopped process.
    ///
    /// # Errors
    /// *unsupported* without CAP_NET_ADMIN, and if it is in repair mode already.
    pub fn begin(descriptor: &Descriptor) -> Result<Repaired> {
        let fd = descriptor.duplicate()?;
        let at = descriptor.at().leading_to(descriptor.name());
        let read =
            |level, name| socket::int(fd.as_fd(), level, name).context(|| format!("{at}: read an option"));
        if read(libc::IPPROTO_TCP, libc::TCP_REPAIR)? != 0 {
            let why = " is a TCP socket in repair mode (TCP_REPAIR); end that first";
            return Err(Error::unsupported(Problem::of(at.clone(), why)));
        }
        let reuse = read(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
        let entry = Entry::record(Change::Repair { process: descriptor.process, fd: descriptor.fd, reuse })?;
        match begin(fd.as_fd()) {
            Err(err) if err.raw_os_error() == Some(libc::EPERM) => {
                let why =
                    " is a TCP connection, whose state only CAP_NET_ADMIN can read; checkpoint it as root";
                Err(Error::unsupported(Problem::of(at.clone(), why)))
            }
            begun => begun.map(|()| Repaired { fd, entry }).context(|| format!("{at}: begin repair")),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn end(self) -> Result<()> {
        self.entry.undo()
    }

    /// As [`info`].
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn info(&self) -> io::Result<(u8, Agreed)> {
        info(self.fd.as_fd())
    }

    /// The next byte that it will receive, and the right edge of the window that it has announced,
    /// as sequence numbers.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn receiving(&self) -> io::Result<[u32; 2]> {
        let next = sequence(self.fd.as_fd(), uapi::RECV_QUEUE)?;
        let [_, _, _, wnd, wup] = self.windows()?;
        Ok([next, wnd.wrapping_add(wup)])
    }

    /// How many bytes it may send, from the first one that was not acknowledged.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn send_window(&self) -> io::Result<u32> {
        self.windows().map(|[_, send, ..]| send)
    }

    /// `snd_wl1`, `snd_wnd`, `max_window`, `rcv_wnd`, `rcv_wup`.
    fn windows(&self) -> io::Result<[u32; 5]> {
        let window = socket::option(self.fd.as_fd(), libc::IPPROTO_TCP, uapi::REPAIR_WINDOW, 20)?;
        match window.as_chunks() {
            (words @ [_, _, _, _, _], []) => Ok(std::array::from_fn(|at| u32::from_ne_bytes(words[at]))),
            _ => Err(io::Error::other("TCP_REPAIR_WINDOW of another size")),
        }
    }

    /// Of what was written, how many sequence numbers were not acknowledged, and not sent either.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn unacknowledged(&self) -> io::Result<(usize, usize)> {
        let fd = self.fd.as_fd();
        Ok((socket::outq(fd)?, socket::outq_unsent(fd)?))
    }

    /// The clock of its timestamps (`TCP_TIMESTAMP`).
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn clock(&self) -> io::Result<u32> {
        socket::int(self.fd.as_fd(), libc::IPPROTO_TCP, uapi::TIMESTAMP_CLOCK).map(|clock| clock as u32)
    }

    /// The largest segment that the other end takes.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn mss(&self) -> io::Result<u32> {
        socket::int(self.fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_MAXSEG).map(|mss| mss as u32)
    }

    /// What was received and not read, and how many bytes the kernel says that to be.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn received(&self) -> io::Result<(Vec<u8>, usize)> {
        choose(self.fd.as_fd(), uapi::RECV_QUEUE)?;
        received(self.fd.as_fd())
    }

    /// What was sent and not acknowledged yet, and the sequence number after it, with an end of the
    /// stream that was sent.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn sent(&self) -> io::Result<(Vec<u8>, u32)> {
        let fd = self.fd.as_fd();
        let written = sequence(fd, uapi::SEND_QUEUE)?;
        let waiting = socket::outq(fd)?;
        if waiting == 0 {
            return Ok((Vec::new(), written));
        }
        // A first segment that was acknowledged in part is still there as a whole.
        let mut room = waiting + (1 << 20);
        loop {
            let mut buf = vec![0; room];
            match rustix::net::recv(fd, &mut buf[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::FAULT) if room < 1 << 31 => room *= 2,
                got => {
                    buf.truncate(got?.1);
                    choose(fd, uapi::NO_QUEUE)?;
                    return Ok((buf, written));
                }
            }
        }
    }
}

fn begin(fd: BorrowedFd<'_>) -> io::Result<()> {
    socket::set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)
}

fn choose(fd: BorrowedFd<'_>, queue: i32) -> io::Result<()> {
    socket::set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, queue)
}

/// The sequence number after a queue.
fn sequence(fd: BorrowedFd<'_>, queue: i32) -> io::Result<u32> {
    choose(fd, queue)?;
    Ok(socket::int(fd, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ)? as u32)
}

fn set_sequence(fd: BorrowedFd<'_>, queue: i32, to: u32) -> io::Result<()> {
    choose(fd, queue)?;
    socket::set_int(fd, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, to as i32)
}

/// An end of a connection, to be made.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The addresses.
    pub own: Endpoint,
    /// That of the other end.
    pub other: Endpoint,
    /// Sequence number of the next byte that it sends.
    pub write: u32,
    /// Sequence number of the next byte that it receives.
    pub read: u32,
    /// What it has received before that.
    pub received: &'a [u8],
    /// How many bytes it may send.
    pub write_window: u32,
    /// How many bytes it may receive.
    pub read_window: u32,
    /// What was agreed on.
    pub agreed: Agreed,
}

/// Begins the repair of a new socket, which may then be bound to any address that is there.
///
/// # Errors
/// *denied* without CAP_NET_ADMIN.
pub fn begin_new(fd: BorrowedFd<'_>) -> Result<()> {
    begin(fd).context(|| "repair a TCP connection (needs CAP_NET_ADMIN; restart it as root)")
}

/// Makes an end of a connection of a new socket, and leaves it in repair mode. `clear` removes what
/// is left of an earlier connection between the same addresses, and says whether there was any.
///
/// # Errors
/// *denied* without CAP_NET_ADMIN; what the kernel reports.
pub fn connect(fd: BorrowedFd<'_>, end: &End<'_>, clear: impl FnOnce() -> Result<bool>) -> Result<()> {
    let End { own, other, .. } = *end;
    let what = || format!("make the connection {own} to {other}");
    begin_new(fd)?;
    rustix::net::bind(fd, &own.address()).context(|| format!("bind a socket to {own}"))?;
    set_sequence(fd, uapi::SEND_QUEUE, end.write).context(what)?;
    set_sequence(fd, uapi::RECV_QUEUE, end.read.wrapping_sub(end.received.len() as u32)).context(what)?;
    match rustix::net::connect(fd, &other.address()) {
        Err(rustix::io::Errno::ADDRNOTAVAIL) if clear()? => {
            rustix::net::connect(fd, &other.address()).context(what)?;
        }
        connected => connected.context(what)?,
    }
    let mut options = vec![[uapi::MSS, end.agreed.mss]];
    if let Some((send, receive)) = end.agreed.scales {
        options.push([uapi::WINDOW, u32::from(receive) << 16 | u32::from(send)]);
    }
    options.extend(end.agreed.sack.then_some([uapi::SACK_PERMITTED, 0]));
    options.extend(end.agreed.timestamps.then_some([uapi::TIMESTAMP, 0]));
    let options: Vec<u8> = options.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect();
    socket::set_option(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR_OPTIONS, &options).context(what)?;
    receive(fd, end.received)?;
    let (send, read) = (end.write_window, end.read_window);
    // `snd_wl1`, `snd_wnd`, `max_window`, `rcv_wnd`, `rcv_wup`.
    let window = [end.read, send, send, read, end.read].map(u32::to_ne_bytes);
    socket::set_option(fd, libc::IPPROTO_TCP, uapi::REPAIR_WINDOW, window.as_flattened()).context(what)?;
    choose(fd, uapi::NO_QUEUE).context(what)
}

/// Puts bytes into the receive queue.
fn receive(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    queue::with_room_to_receive(fd, || put(fd, (uapi::RECV_QUEUE, "receive"), bytes))
}

/// Puts bytes into a queue, piece by piece.
fn put(fd: BorrowedFd<'_>, (queue, name): (i32, &str), bytes: &[u8]) -> Result<()> {
    let what = || format!("put {} bytes into the {name} queue of a TCP socket", bytes.len());
    choose(fd, queue).context(what)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(1 << 15)];
        let sent = rustix::net::send(fd, piece, SendFlags::NOSIGNAL).context(what)?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Puts bytes into the queue of a connection in repair as ones that were sent.
///
/// # Errors
/// What the kernel reports.
pub fn resend(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    queue::with_room(fd, || put(fd, (uapi::SEND_QUEUE, "send"), bytes))?;
    choose(fd, uapi::NO_QUEUE).context(|| "leave the queues of a TCP socket")
}

/// Sets the clock of the timestamps of a connection in repair.
///
/// # Errors
/// What the kernel reports.
pub fn set_clock(fd: BorrowedFd<'_>, clock: u32) -> Result<()> {
    socket::set_int(fd, libc::IPPROTO_TCP, uapi::TIMESTAMP_CLOCK, clock as i32)
        .context(|| "set the timestamps of a TCP connection")
}

/// Asks the other end of a connection to tell what it has received: ends a repair with a window
/// probe (`tcp_send_window_probe`).
///
/// # Errors
/// What the kernel reports.
pub fn probe(fd: BorrowedFd<'_>) -> Result<()> {
    let what = || "probe a TCP connection";
    let reuse = socket::int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR).context(what)?;
    begin(fd).context(what)?;
    socket::set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0).context(what)?;
    socket::set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, reuse).context(what)
}

/// Ends the repair of a socket that [`connect`] has connected.
///
/// # Errors
/// What the kernel reports.
pub fn end(fd: BorrowedFd<'_>) -> Result<()> {
    socket::end_repair(fd, 0).context(|| "end the repair of a TCP connection")
}

/// Closes the last descriptor of a socket, so that nothing of it waits for late packets
/// (net/ipv4/tcp.c, `__tcp_close`): without one of its own, or, if the other end is to be forgotten
/// with it, by a reset.
pub fn forget(fd: OwnedFd, with_other: bool) {
    // Where this fails the socket is closed as any is, and a restart has the kernel remove what is
    // left of it.
    let _ = if with_other { rustix::net::connect_unspec(&fd).map_err(Into::into) } else { begin(fd.as_fd()) };
}
