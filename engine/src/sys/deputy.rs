//! A child that makes sockets as somebody else: for the other end the kernel notes the process that
//! calls socketpair(2), listen(2) or connect(2), and its credentials (net/unix/af_unix.c,
//! `init_peercred`).

use super::{clone, task};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What a process calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ids {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

/// The child, which has the descriptor table of ours. It ends when this is dropped, or we do.
#[derive(Debug)]
pub struct Deputy {
    pid: i32,
    ends: OwnedFd,
    /// Requests and answers: a pair of sockets, of which the child uses the other one.
    channel: [OwnedFd; 2],
}

/// Words before the address of a request: what is to be done, with which socket, and a number.
const HEAD: usize = 3;
/// Room for a request.
const ROOM: usize = 4 * HEAD + size_of::<libc::sockaddr_un>();

const PAIR: i32 = 1;
const LISTEN: i32 = 2;
const CONNECT: i32 = 3;

/// An error number, or 0 and the sockets that were made.
type Answer = [i32; 3];

impl Deputy {
    /// Starts it, with this PID if one is given, and with our own ids if none are.
    ///
    /// # Errors
    /// EEXIST: the PID is in use. EINVAL: there is no such PID. EPERM without the capabilities for
    /// the PID or the ids.
    pub fn start(pid: Option<i32>, ids: Option<&Ids>) -> io::Result<Deputy> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let parent = rustix::process::getpid();
        // SAFETY: the child makes nothing but system calls.
        let got = unsafe { clone::fork_as(pid, libc::CLONE_FILES, libc::SIGCHLD) }?;
        if got == 0 {
            // SAFETY: the channel is open; never returns.
            unsafe {
                serve(theirs.as_raw_fd(), ids, parent.as_raw_nonzero().get());
                libc::_exit(0)
            }
        }
        let pid = got;
        let deputy = task::pidfd(pid).map(|ends| Deputy { pid, ends, channel: [ours, theirs] });
        let deputy = deputy.inspect_err(|_| end(pid))?;
        deputy.answer().map(|_| deputy)
    }

    /// Makes a pair of sockets of the type `kind` (socketpair(2)).
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair(&self, kind: i32) -> io::Result<[OwnedFd; 2]> {
        let [_, a, b] = self.ask([PAIR, -1, kind], &[])?;
        // SAFETY: the child has just made them in the table that is also ours, and leaves them.
        Ok([a, b].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// As listen(2).
    ///
    /// # Errors
    /// As listen(2).
    pub fn listen(&self, fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
        self.ask([LISTEN, fd.as_raw_fd(), backlog], &[]).map(drop)
    }

    /// Connects a unix socket to `name`, a path, which may begin in a directory, or an abstract
    /// name after a 0 byte.
    ///
    /// # Errors
    /// As connect(2); ENAMETOOLONG.
    pub fn connect(
        &self,
        fd: BorrowedFd<'_>,
        directory: Option<BorrowedFd<'_>>,
        name: &[u8],
    ) -> io::Result<()> {
        let directory = directory.map_or(-1, |directory| directory.as_raw_fd());
        let address = [&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes(), name].concat();
        self.ask([CONNECT, fd.as_raw_fd(), directory], &address).map(drop)
    }

    fn ask(&self, head: [i32; HEAD], address: &[u8]) -> io::Result<Answer> {
        let request = [head.map(i32::to_ne_bytes).as_flattened(), address].concat();
        if request.len() > ROOM {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        rustix::net::send(&self.channel[0], &request, SendFlags::NOSIGNAL)?;
        self.answer()
    }

    /// Waits for its answer, or its end: that would close nothing, as its table is ours.
    fn answer(&self) -> io::Result<Answer> {
        let mut either =
            [PollFd::new(&self.channel[0], PollFlags::IN), PollFd::new(&self.ends, PollFlags::IN)];
        while matches!(poll(&mut either, None), Err(rustix::io::Errno::INTR)) {}
        if either[0].revents().is_empty() {
            return Err(io::Error::other("the process that makes sockets has ended"));
        }
        let mut room = [0; size_of::<Answer>()];
        rustix::net::recv(&self.channel[0], &mut room, RecvFlags::DONTWAIT)?;
        match words::<3>(&room) {
            answer @ [0, ..] => Ok(answer),
            [errno, ..] => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Deputy {
    fn drop(&mut self) {
        end(self.pid);
    }
}

/// Kills a child that nobody has waited for, and waits for it.
fn end(pid: i32) {
    // SAFETY: numbers only; the number is still its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [i32; N] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|at| i32::from_ne_bytes(words[at]))
}

/// The child: system calls only.
///
/// # Safety
/// `channel` is open.
unsafe fn serve(channel: RawFd, ids: Option<&Ids>, parent: i32) {
    /// `SECBIT_NO_SETUID_FIXUP`, include/uapi/linux/securebits.h
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: as `errno` is read only after a call that has failed.
    let failure = |got: libc::c_long| if got < 0 { unsafe { *libc::__errno_location() } } else { 0 };
    // SAFETY: all arguments are numbers, or live.
    unsafe {
        let mut answer: Answer = [0, -1, -1];
        if let Some(Ids { uid, gid, groups }) = ids {
            // What it may do stays what we may: a file may no longer let that user connect.
            libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP);
            // Not by the library's functions, which address threads that are not in this process.
            answer[0] = match failure(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr())) {
                0 => match failure(libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid)) {
                    0 => failure(libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid)),
                    errno => errno,
                },
                errno => errno,
            };
        }
        // Only now: it is forgotten when the ids change (kernel/cred.c, `commit_creds`).
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            return;
        }
        loop {
            libc::send(channel, (&raw const answer).cast(), size_of::<Answer>(), libc::MSG_NOSIGNAL);
            let mut room = [0u8; ROOM];
            let len = libc::recv(channel, room.as_mut_ptr().cast(), ROOM, 0);
            let Some(len) = usize::try_from(len).ok().and_then(|len| len.checked_sub(4 * HEAD)) else {
                return;
            };
            let [what, fd, number] = words(&room);
            let mut made = [-1; 2];
            let got = match what {
                PAIR => libc::socketpair(libc::AF_UNIX, number | libc::SOCK_CLOEXEC, 0, made.as_mut_ptr()),
                LISTEN => libc::listen(fd, number),
                _ if number >= 0 && libc::fchdir(number) != 0 => -1,
                _ => libc::connect(fd, room.as_ptr().add(4 * HEAD).cast(), len as libc::socklen_t),
            };
            answer = [failure(got.into()), made[0], made[1]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn named(fd: BorrowedFd<'_>) -> libc::pid_t {
        let shown = super::super::socket::option(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, 12).unwrap();
        words::<3>(&shown)[0]
    }

    #[test]
    fn the_other_end_is_named() {
        let deputy = Deputy::start(None, None).unwrap();
        for fd in deputy.pair(libc::SOCK_STREAM).unwrap() {
            assert_eq!(named(fd.as_fd()), deputy.pid);
        }
        let door = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(door.path().join("door")).unwrap();
        deputy.listen(listener.as_fd(), 1).unwrap();
        let new = || socket_of(SocketType::STREAM);
        let (client, directory) = (new(), std::fs::File::open(door.path()).unwrap());
        deputy.connect(client.as_fd(), Some(directory.as_fd()), b"door").unwrap();
        assert_eq!(named(client.as_fd()), deputy.pid);
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(named(accepted.as_fd()), deputy.pid);
        let nobody = deputy.connect(new().as_fd(), None, b"\0nobody has this name").unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(libc::ECONNREFUSED));
        let long = deputy.connect(new().as_fd(), None, &[b'x'; 200]).unwrap_err();
        assert_eq!(long.raw_os_error(), Some(libc::ENAMETOOLONG));
    }

    fn socket_of(kind: SocketType) -> OwnedFd {
        rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_deputy_that_has_ended_is_told() {
        let deputy = Deputy::start(None, None).unwrap();
        // SAFETY: numbers only.
        unsafe { libc::kill(deputy.pid, libc::SIGKILL) };
        assert!(deputy.pair(libc::SOCK_STREAM).is_err());
    }
}
