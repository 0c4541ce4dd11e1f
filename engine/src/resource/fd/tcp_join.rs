//! How TCP connections come back: both ends of one inside the job, one that waits to be accepted,
//! an attempt to connect, and what is left of one that is over.

use super::socket::connection::Connection;
use super::socket::inet;
use super::socket::ip::Endpoint;
use super::socket::repair::{self, Agreed, End};
use super::socket::{await_event, options, queue, reset};
use super::tcp::{Link, Tcp, set_reuse};
use super::{JoinStage, Joined};
use crate::error::{Context, Error, Result};
use crate::resource::bytes::Bytes;
use crate::sys::socket;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, bind, shutdown};
use std::os::fd::BorrowedFd;

impl Tcp {
    /// *join* of any of them.
    pub(super) fn come_back(&self, stage: JoinStage, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        match &self.link {
            Link::Waiting { to, .. } if stage == JoinStage::Connect => return self.wait(fd, *to),
            // When all that waits at a listener is there.
            Link::Connecting { to } if stage == JoinStage::Fill => return self.attempt(fd, *to),
            Link::Over { received } | Link::Reset { received } => {
                return self.finish(stage, fd, &received.0, job);
            }
            Link::Outside(outside) => return self.rejoin(stage, fd, outside),
            _ => {}
        }
        let Some(connection) = self.connection() else { return Ok(()) };
        let partner =
            || job.partner.ok_or_else(|| Error::Conflict("a connection without another end".into()));
        let peer = match self.link {
            Link::Peer { file, .. } => (job.opened)(file)?,
            _ => partner()?,
        };
        match stage {
            JoinStage::Connect => self.connect(fd, connection, job.partner),
            JoinStage::Fill => {
                repair::end(fd)?;
                job.partner.map_or(Ok(()), repair::end)
            }
            JoinStage::Finish => {
                queue::send_all(peer, &connection.on_its_way.0)?;
                if connection.ends {
                    shutdown(peer, Shutdown::Write).context(|| "end a TCP stream")?;
                }
                if self.deaf {
                    shutdown(fd, Shutdown::Read).context(|| "shut down a TCP socket")?;
                }
                options::apply(fd, &self.options)
            }
        }
    }

    /// Makes this end, and the other one if nobody has it.
    fn connect(
        &self,
        fd: BorrowedFd<'_>,
        connection: &Connection,
        partner: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let Connection { to, read, write, windows: (read_window, write_window), agreed, .. } = *connection;
        let own = self.own()?;
        options::apply(fd, &self.options)?;
        let received = &connection.received.0[..];
        let end = End { own, other: to, write, read, received, write_window, read_window, agreed };
        repair::connect(fd, &end, || inet::clear(own, Some(to)))?;
        let Some(partner) = partner else { return Ok(()) };
        let agreed = Agreed { scales: agreed.scales.map(|(send, receive)| (receive, send)), ..agreed };
        let end = End {
            own: to,
            other: own,
            write: read,
            read: write,
            received: &[],
            write_window: read_window,
            read_window: write_window,
            agreed,
        };
        repair::connect(partner, &end, || inet::clear(to, Some(own)))
    }

    /// Connects it to a listener that does not accept it yet.
    fn wait(&self, fd: BorrowedFd<'_>, to: Endpoint) -> Result<()> {
        let what = || format!("connect to {to}");
        self.begin_to_connect(fd, to, |mut connected| {
            if connected == Err(Errno::INPROGRESS) {
                await_event(fd, PollFlags::OUT).context(what)?;
                connected = rustix::net::sockopt::socket_error(fd).context(what)?;
            }
            connected.context(what)
        })
    }

    /// Begins an attempt to connect anew, whose end the program awaits.
    fn attempt(&self, fd: BorrowedFd<'_>, to: Endpoint) -> Result<()> {
        self.begin_to_connect(fd, to, |connected| match connected {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
            Err(err) => Err(Error::Conflict(format!(
                "the job is about to connect to {to}, which fails at once: {err}"
            ))),
        })
    }

    /// Begins to connect it without waiting; `go_on` takes over before it may block again.
    fn begin_to_connect(
        &self,
        fd: BorrowedFd<'_>,
        to: Endpoint,
        go_on: impl FnOnce(rustix::io::Result<()>) -> Result<()>,
    ) -> Result<()> {
        let own = self.own()?;
        let what = || format!("connect {own} to {to}");
        options::apply(fd, &self.options)?;
        set_reuse(fd)?;
        bind(fd, &own.address()).context(|| format!("bind a socket to {own}"))?;
        let blocks = !rustix::fs::fcntl_getfl(fd).context(what)?.contains(rustix::fs::OFlags::NONBLOCK);
        rustix::io::ioctl_fionbio(fd, true).context(what)?;
        let mut connected = rustix::net::connect(fd, &to.address());
        if connected == Err(Errno::ADDRNOTAVAIL) && inet::clear(own, Some(to))? {
            connected = rustix::net::connect(fd, &to.address());
        }
        go_on(connected)?;
        rustix::io::ioctl_fionbio(fd, !blocks).context(what)?;
        socket::set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 0).context(|| "set SO_REUSEADDR")?;
        options::apply(fd, &self.options)
    }

    /// Makes a connection that is over: with another end that nobody sees.
    fn finish(&self, stage: JoinStage, fd: BorrowedFd<'_>, received: &[u8], job: &Joined<'_>) -> Result<()> {
        let is_reset = matches!(self.link, Link::Reset { .. });
        let partner =
            job.partner.ok_or_else(|| Error::Conflict("a connection without another end".into()))?;
        match stage {
            JoinStage::Connect => {
                let own = self.own()?;
                let connection = Connection {
                    to: inet::free_address(own)?,
                    received: Bytes(received.to_vec()),
                    on_its_way: Bytes::default(),
                    ends: true,
                    read: 1 << 31,
                    write: 1 << 30,
                    windows: (u16::MAX.into(), u16::MAX.into()),
                    agreed: Agreed { mss: 536, scales: None, sack: false, timestamps: true },
                };
                let name =
                    if own.ip.is_unspecified() { Endpoint { port: own.port, ..connection.to } } else { own };
                Tcp { name: Some(name), ..self.clone() }.connect(fd, &connection, Some(partner))
            }
            JoinStage::Fill => {
                repair::end(fd)?;
                repair::end(partner)
            }
            JoinStage::Finish if is_reset => {
                options::apply(fd, &self.options)?;
                reset(fd, partner)
            }
            JoinStage::Finish => {
                shutdown(partner, Shutdown::Write).context(|| "end a TCP stream")?;
                shutdown(fd, Shutdown::Write).context(|| "end a TCP stream")?;
                options::apply(fd, &self.options)
            }
        }
    }
}
