//! getsockopt(2) and setsockopt(2) of any option, and messages as they are in a queue.

use super::cvt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The value of an option, at most `room` bytes of it.
///
/// # Errors
/// ENOPROTOOPT where the kernel does not know it.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; room];
    exchange_option(fd, level, name, &mut value)?;
    Ok(value)
}

/// An option whose value says what is asked for; it is replaced by the answer.
///
/// # Errors
/// As [`option`].
pub fn exchange_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut Vec<u8>) -> io::Result<()> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the buffer is live and as long as it says.
    cvt(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &mut len) }.into())?;
    value.truncate(len as usize);
    Ok(())
}

/// An option whose value is an int.
///
/// # Errors
/// As [`option`].
pub fn int(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let value = option(fd, level, name, 4)?;
    let four = value.try_into().map_err(|_| io::Error::other("an option of another size"))?;
    Ok(i32::from_ne_bytes(four))
}

/// Sets an option.
///
/// # Errors
/// As setsockopt(2).
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the buffer is live and as long as it says.
    cvt(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) }.into()).map(drop)
}

/// Sets an option whose value is an int.
///
/// # Errors
/// As setsockopt(2).
pub fn set_int(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option(fd, level, name, &value.to_ne_bytes())
}

/// Ends the repair mode of a TCP socket, without a packet, and sets `SO_REUSEADDR`, which repair
/// mode has changed (net/ipv4/tcp.c, `TCP_REPAIR`).
///
/// # Errors
/// As setsockopt(2).
pub fn end_repair(fd: BorrowedFd<'_>, reuse: i32) -> io::Result<()> {
    /// `TCP_REPAIR_OFF_NO_WP`, include/uapi/linux/tcp.h; Linux 4.19.
    const OFF: i32 = -1;
    match set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, OFF) {
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) => {
            set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0)?;
        }
        off => off?,
    }
    set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, reuse)
}

/// A handle (`O_PATH`) to the file that a unix socket is bound to.
///
/// # Errors
/// ENOENT for one without; EPERM without CAP_NET_ADMIN.
pub fn bound_file(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `SIOCPROTOPRIVATE + 0`, include/uapi/linux/un.h.
    const SIOCUNIXFILE: libc::Ioctl = 0x89e0;
    // SAFETY: takes no argument; the descriptor is new.
    let fd = cvt(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCUNIXFILE) }.into())?;
    // SAFETY: the descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Bytes that were sent and not received yet (`SIOCOUTQ`).
///
/// # Errors
/// As ioctl(2).
pub fn outq(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes = 0i32;
    // SAFETY: the result is live.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) }.into())?;
    Ok(bytes as usize)
}

/// Of these, how many sequence numbers were not sent yet (`SIOCOUTQNSD`).
///
/// # Errors
/// As ioctl(2).
pub fn outq_unsent(fd: BorrowedFd<'_>) -> io::Result<usize> {
    /// include/uapi/linux/sockios.h
    const SIOCOUTQNSD: libc::Ioctl = 0x894b;
    let mut bytes = 0i32;
    // SAFETY: the result is live.
    cvt(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCOUTQNSD, &raw mut bytes) }.into())?;
    Ok(bytes as usize)
}

/// The classic filter of a socket: its instructions (`struct sock_filter`), none without one.
///
/// # Errors
/// EACCES for a program of another kind; as getsockopt(2).
pub fn filter(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    const SIZE: usize = size_of::<libc::sock_filter>();
    let read = |code: &mut [u8]| {
        // Counted in instructions (net/core/filter.c, `sk_get_filter`).
        let mut len = (code.len() / SIZE) as libc::socklen_t;
        // SAFETY: the kernel writes at most as many instructions as the buffer has room for, and
        // nothing where that is none.
        cvt(unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_GET_FILTER,
                code.as_mut_ptr().cast(),
                &mut len,
            )
        }
        .into())?;
        Ok::<_, io::Error>(len as usize)
    };
    let mut code = vec![0; read(&mut [])? * SIZE];
    if !code.is_empty() {
        read(&mut code)?;
    }
    Ok(code)
}

/// Sets it.
///
/// # Errors
/// EINVAL for an invalid one; EPERM if the filter is locked; as setsockopt(2).
pub fn set_filter(fd: BorrowedFd<'_>, code: &[u8]) -> io::Result<()> {
    let len = (code.len() / size_of::<libc::sock_filter>()) as u16;
    let program = libc::sock_fprog { len, filter: code.as_ptr().cast_mut().cast() };
    // SAFETY: the program is live, and the kernel copies it without a demand on its alignment.
    cvt(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as u32,
        )
    }
    .into())
    .map(drop)
}

/// A datagram as recvmsg(2) returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Its bytes that are in the buffer.
    pub len: usize,
    /// Its length.
    pub whole: usize,
    /// Address of the sender: a `struct sockaddr_*`, empty without one.
    pub from: Vec<u8>,
    /// What came with it: level, type and contents of each item.
    pub control: Vec<(i32, i32, Vec<u8>)>,
    /// Whether some of these had no room.
    pub is_cut: bool,
}

/// Looks at the next datagram in the queue of a socket, without waiting; `None` if there is none.
///
/// # Errors
/// As recvmsg(2).
pub fn peek(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Option<Received>> {
    let mut from = [0u8; size_of::<libc::sockaddr_storage>()];
    // Aligned as a cmsghdr has to be.
    let mut control = [0u64; 256];
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all zeros is a message header without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = from.as_mut_ptr().cast();
    message.msg_namelen = from.len() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: every buffer is live and as long as it says.
    let whole = match cvt(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) } as libc::c_long) {
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        whole => whole? as usize,
    };
    let mut received = Received {
        len: whole.min(buf.len()),
        whole,
        from: from[..(message.msg_namelen as usize).min(from.len())].to_vec(),
        control: Vec::new(),
        is_cut: message.msg_flags & libc::MSG_CTRUNC != 0,
    };
    // SAFETY: the kernel has filled in the header, and the buffer of control data is still live;
    // the macros stay inside of what the header says.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(header) = item.as_ref() {
            let data = libc::CMSG_DATA(item);
            // Not the same type with every C library.
            let whole: usize = header.cmsg_len as _;
            let len = whole.saturating_sub(data as usize - item as usize);
            let bytes = std::slice::from_raw_parts(data, len).to_vec();
            received.control.push((header.cmsg_level, header.cmsg_type, bytes));
            item = libc::CMSG_NXTHDR(&raw const message, item);
        }
    }
    Ok(Some(received))
}

/// The network namespace of a socket, by its inode number.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in it.
pub fn namespace(fd: BorrowedFd<'_>) -> io::Result<u64> {
    /// include/uapi/linux/sockios.h
    const SIOCGSKNS: libc::Ioctl = 0x894c;
    // SAFETY: takes no argument; the descriptor is new.
    let fd = cvt(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCGSKNS) }.into())?;
    // SAFETY: the descriptor is new.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Ok(rustix::fs::fstat(&fd)?.st_ino)
}

/// Looks (`MSG_PEEK`) at those messages of a stream that fit as a whole into `room` bytes, and
/// returns how long they are together. The memory after the buffer cannot be written, and a message
/// whose copy fails is not counted (`unix_stream_read_generic`, net/unix/af_unix.c).
///
/// # Errors
/// As recv(2).
pub fn peek_whole(fd: BorrowedFd<'_>, room: usize) -> io::Result<usize> {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
    let page = super::page_size() as usize;
    let writable = room.next_multiple_of(page);
    let (read, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: a new mapping at an address of the kernel's choice, unmapped below.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), writable + page, read, private)? };
    let guard = start.wrapping_byte_add(writable);
    // SAFETY: the page is ours, and nobody else knows of it.
    let guarded = unsafe { mprotect(guard, page, MprotectFlags::empty()) };
    let got = guarded.map_err(io::Error::from).and_then(|()| {
        let buffer = guard.wrapping_byte_sub(room);
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: `room` bytes are writable; where the kernel would write more, it fails.
        cvt(unsafe { libc::recv(fd.as_raw_fd(), buffer, room + 1, flags) } as libc::c_long)
    });
    // SAFETY: nothing refers to the mapping any more.
    unsafe { munmap(start, writable + page)? };
    match got {
        Err(err) if err.raw_os_error() == Some(libc::EFAULT) => Ok(0),
        got => got.map(|bytes| bytes as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        for part in [&b"one"[..], b"three", &[7; 10_000]] {
            sender.write_all(part).unwrap();
        }
        let peek = |room| peek_whole(receiver.as_fd(), room).unwrap();
        assert_eq!([0, 2, 3, 7, 8, 9, 10_007].map(peek), [0, 0, 3, 3, 8, 8, 8]);
        assert_eq!(peek(10_008), 10_008);
    }
}
