//! io_uring(7) by its system calls.

use crate::framework::prelude::*;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// `IORING_OP_*`, include/uapi/linux/io_uring.h.
pub const NOP: u8 = 0;
pub const READ: u8 = 22;
pub const WRITE: u8 = 23;

/// `IORING_SETUP_R_DISABLED`, Linux 5.10.
pub const R_DISABLED: u32 = 1 << 6;
/// `IORING_REGISTER_ENABLE_RINGS`
const ENABLE: u32 = 12;

/// `IORING_SETUP_SINGLE_ISSUER`, Linux 6.0, and `IORING_SETUP_DEFER_TASKRUN`, Linux 6.1.
pub const SINGLE_ISSUER: u32 = 1 << 12;
pub const DEFER_TASKRUN: u32 = 1 << 13;

/// `IORING_ENTER_GETEVENTS`
const GETEVENTS: u32 = 1;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    rest: [u32; 7],
    /// Head, tail, mask, entries, flags, dropped, array.
    sq: [u32; 10],
    /// Head, tail, mask, entries, overflow, entries' place, flags.
    cq: [u32; 10],
}

/// A ring, and how far this program has got with it, as liburing keeps it.
pub struct Ring {
    pub fd: OwnedFd,
    params: Params,
    rings: usize,
    sqes: usize,
    /// Requests that were put into the queue.
    pub queued: u32,
}

/// A request.
#[derive(Clone, Copy, Default)]
pub struct Request {
    pub opcode: u8,
    pub flags: u8,
    pub fd: i32,
    pub address: u64,
    pub len: u32,
    pub offset: u64,
    pub word: u64,
}

/// Skips where no ring with these flags can be made; for workloads whose children make them.
pub fn require(flags: u32) -> Outcome {
    let params = Params { flags, ..Params::default() };
    setup(2, params).map(drop)
}

/// io_uring_setup(2).
fn setup(entries: u32, mut params: Params) -> anyhow::Result<(OwnedFd, Params)> {
    // SAFETY: the struct is live and as the kernel lays it out.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, &raw mut params) };
    if fd == -1 && [libc::ENOSYS, libc::EPERM].contains(&sys::errno()) {
        skip("this kernel has no io_uring")?;
    }
    if fd == -1 && params.flags != 0 && sys::errno() == libc::EINVAL {
        skip("this kernel has no such io_uring")?;
    }
    let fd = i32::try_from(sys::check("io_uring_setup", fd)?)?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, params))
}

fn map(fd: &OwnedFd, len: u32, offset: i64) -> anyhow::Result<usize> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
    // SAFETY: a new mapping at a place of the kernel's choice.
    let got = unsafe { libc::mmap(std::ptr::null_mut(), len as usize, prot, flags, fd.as_raw_fd(), offset) };
    anyhow::ensure!(got != libc::MAP_FAILED, "mmap of a ring: {}", std::io::Error::last_os_error());
    Ok(got.addr())
}

impl Ring {
    /// With this many entries for requests, and twice as many for completions.
    pub fn new(entries: u32) -> anyhow::Result<Self> {
        Self::with_flags(entries, 0)
    }

    /// The same, with `IORING_SETUP_*`.
    pub fn with_flags(entries: u32, flags: u32) -> anyhow::Result<Self> {
        Self::made(entries, Params { flags, ..Params::default() })
    }

    /// With this many entries for requests and for completions (`IORING_SETUP_CQSIZE`).
    pub fn with_sizes(entries: u32, completions: u32) -> anyhow::Result<Self> {
        Self::made(entries, Params { flags: 1 << 3, cq_entries: completions, ..Params::default() })
    }

    fn made(entries: u32, params: Params) -> anyhow::Result<Self> {
        let (fd, params) = setup(entries, params)?;
        let len = (params.sq[6] + params.sq_entries * 4).max(params.cq[5] + params.cq_entries * 16);
        let (rings, sqes) = (map(&fd, len, 0)?, map(&fd, params.sq_entries * 64, 0x1000_0000)?);
        let ring = Ring { fd, params, rings, sqes, queued: 0 };
        (0..ring.params.sq_entries)
            .for_each(|index| ring.word(ring.params.sq[6] + 4 * index).store(index, Ordering::Relaxed));
        Ok(ring)
    }

    fn word(&self, at: u32) -> &AtomicU32 {
        // SAFETY: inside the mapping, which lives as long as the program.
        unsafe { AtomicU32::from_ptr((self.rings + at as usize) as *mut u32) }
    }

    /// MADV_DONTFORK of both mappings.
    pub fn keep_from_children(&self) -> Outcome {
        for at in [self.rings, self.sqes] {
            // SAFETY: advice for a mapping of ours.
            sys::check("madvise", unsafe {
                libc::madvise(at as *mut libc::c_void, page_size(), libc::MADV_DONTFORK)
            })?;
        }
        Ok(())
    }

    /// What the kernel has taken, and what it has completed.
    pub fn done(&self) -> (u32, u32) {
        (
            self.word(self.params.sq[0]).load(Ordering::Acquire),
            self.word(self.params.cq[1]).load(Ordering::Acquire),
        )
    }

    /// Puts a request into the queue.
    pub fn queue(&mut self, request: Request) -> Outcome {
        let Request { opcode, flags, fd, address, len, offset, word } = request;
        anyhow::ensure!(
            self.queued.wrapping_sub(self.done().0) < self.params.sq_entries,
            "the queue is full"
        );
        let mut sqe = [0u8; 64];
        sqe[0] = opcode;
        sqe[1] = flags;
        sqe[4..8].copy_from_slice(&fd.to_ne_bytes());
        sqe[8..16].copy_from_slice(&offset.to_ne_bytes());
        sqe[16..24].copy_from_slice(&address.to_ne_bytes());
        sqe[24..28].copy_from_slice(&len.to_ne_bytes());
        sqe[32..40].copy_from_slice(&word.to_ne_bytes());
        let index = (self.queued & (self.params.sq_entries - 1)) as usize;
        // SAFETY: inside the mapping; the kernel does not read this entry yet.
        unsafe { std::ptr::copy_nonoverlapping(sqe.as_ptr(), (self.sqes + 64 * index) as *mut u8, 64) };
        self.queued = self.queued.wrapping_add(1);
        self.word(self.params.sq[1]).store(self.queued, Ordering::Release);
        Ok(())
    }

    /// Submits `count`, and waits for `wanted` completions.
    pub fn enter(&self, count: u32, wanted: u32) -> anyhow::Result<u32> {
        let flags = if wanted > 0 { GETEVENTS } else { 0 };
        loop {
            // SAFETY: requests refer to memory that lives until they are complete.
            let got = unsafe {
                libc::syscall(
                    libc::SYS_io_uring_enter,
                    self.fd.as_raw_fd(),
                    count,
                    wanted,
                    flags,
                    0usize,
                    0usize,
                )
            };
            match sys::check("io_uring_enter", got) {
                Err(err) if sys::errno_in(&err) == Some(libc::EINTR) => {}
                got => return Ok(u32::try_from(got?)?),
            }
        }
    }

    /// Enables a ring that is not (`R_DISABLED`).
    pub fn enable(&self) -> Outcome {
        // SAFETY: no memory is involved.
        let got =
            unsafe { libc::syscall(libc::SYS_io_uring_register, self.fd.as_raw_fd(), ENABLE, 0usize, 0) };
        sys::check("io_uring_register", got).map(drop)
    }

    /// Takes a completion: its word and result.
    pub fn take(&self) -> Option<(u64, i32)> {
        let head = self.word(self.params.cq[0]);
        let seen = head.load(Ordering::Relaxed);
        if seen == self.done().1 {
            return None;
        }
        let at = self.params.cq[5] + 16 * (seen & (self.params.cq_entries - 1));
        let word = |at: u32| self.word(at).load(Ordering::Relaxed);
        let (low, high, result) = (word(at), word(at + 4), word(at + 8));
        head.store(seen.wrapping_add(1), Ordering::Release);
        let word = if cfg!(target_endian = "little") {
            u64::from(high) << 32 | u64::from(low)
        } else {
            u64::from(low) << 32 | u64::from(high)
        };
        Some((word, result.cast_signed()))
    }

    /// Does a request, and returns its result.
    pub fn call(&mut self, request: Request) -> anyhow::Result<i32> {
        self.queue(request)?;
        expect_eq("submitted", self.enter(1, 1)?, 1)?;
        let (word, result) = self.take().context("there is no completion")?;
        expect_eq("word", word, request.word)?;
        Ok(result)
    }

    /// Does `count` requests that do nothing, and takes their completions but for the last `left`.
    pub fn spin(&mut self, count: u32, left: u32) -> Outcome {
        for number in 0..count {
            self.queue(Request { opcode: NOP, word: number.into(), ..Request::default() })?;
            expect_eq("submitted", self.enter(1, 0)?, 1)?;
            if number < count - left {
                expect_eq("completion", self.take(), Some((number.into(), 0)))?;
            }
        }
        Ok(())
    }
}
