//! io_uring(7): rings, looked at and made.

use super::cvt;
use super::mapping::SharedMapping;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of `struct io_uring_sqe`, include/uapi/linux/io_uring.h.
const SQE: usize = 64;
/// Bytes of `struct io_uring_cqe`.
const CQE: usize = 16;
/// Offsets to map, `IORING_OFF_SQ_RING` (with the completion queue, `IORING_FEAT_SINGLE_MMAP`) and
/// `IORING_OFF_SQES`.
const RINGS: i64 = 0;
const SQES: i64 = 0x1000_0000;

/// `IORING_SETUP_CQSIZE`
const CQSIZE: u32 = 1 << 3;
/// `IORING_SETUP_R_DISABLED`, Linux 5.10.
const R_DISABLED: u32 = 1 << 6;
/// `IORING_SETUP_SUBMIT_ALL`, Linux 5.18.
const SUBMIT_ALL: u32 = 1 << 7;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    rest: [u32; 7],
    submission: [u32; 10],
    completion: [u32; 10],
}

/// Where a ring has its words, in bytes: `struct io_sqring_offsets` and `struct io_cqring_offsets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// Head, tail, mask, entries, flags, dropped and array of the submission queue.
    pub submission: [u32; 7],
    /// Head, tail, mask, entries, overflow, entries' place and flags of the completion queue.
    pub completion: [u32; 7],
}

/// A ring, mapped here.
pub struct Ring {
    fd: OwnedFd,
    offsets: Offsets,
    /// Submission and completion queue.
    rings: SharedMapping,
    sqes: SharedMapping,
}

/// All words of a mapping.
fn read(mapping: &SharedMapping) -> Vec<u8> {
    let (start, end) = mapping.bounds();
    let words = (0..(end - start) as usize).step_by(4).map(|at| mapping.word(at).load(Ordering::Relaxed));
    words.flat_map(u32::to_ne_bytes).collect()
}

/// Sets the words of a mapping from `from` on.
fn write(mapping: &SharedMapping, from: usize, bytes: &[u8]) {
    for (at, word) in (from..).step_by(4).zip(bytes.chunks_exact(4)) {
        mapping.word(at).store(u32::from_ne_bytes(word.try_into().expect("four bytes")), Ordering::Relaxed);
    }
}

/// Numbers of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of the submission queue.
    pub submission: u32,
    /// Of the completion queue.
    pub completion: u32,
}

/// io_uring_setup(2).
fn setup(sizes: Sizes, flags: u32) -> io::Result<(OwnedFd, Params)> {
    let mut params = Params { cq_entries: sizes.completion, flags: flags | CQSIZE, ..Params::default() };
    // SAFETY: the struct is live and as the kernel lays it out.
    let fd = cvt(unsafe { libc::syscall(libc::SYS_io_uring_setup, sizes.submission, &raw mut params) })?;
    // SAFETY: the descriptor is new.
    Ok((unsafe { OwnedFd::from_raw_fd(fd as i32) }, params))
}

impl Params {
    fn offsets(&self) -> Offsets {
        let first = |all: [u32; 10]| all[..7].try_into().expect("seven of ten");
        Offsets { submission: first(self.submission), completion: first(self.completion) }
    }
}

/// The counters of both queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Requests that the kernel has taken.
    pub submitted: u32,
    /// Requests that a program has put into the queue.
    pub queued: u32,
    /// Completions that the kernel has put into the queue.
    pub completed: u32,
    /// Completions that a program has taken.
    pub seen: u32,
}

impl Ring {
    /// A new one. It submits all of a batch even after an error, where the kernel can do that: a
    /// program that does not expect this looks at how many were submitted. One that is not
    /// `enabled` cannot be [filled](Ring::fill) with completions.
    ///
    /// # Errors
    /// ENOMEM; EPERM where kernel.io_uring_disabled says so.
    pub fn new(sizes: Sizes, enabled: bool) -> io::Result<Self> {
        let flags = if enabled { 0 } else { R_DISABLED };
        let (fd, params) = match setup(sizes, flags | SUBMIT_ALL) {
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => setup(sizes, flags)?,
            made => made?,
        };
        let offsets = params.offsets();
        Ring::map(fd, offsets, sizes, true)
    }

    /// That of somebody else.
    ///
    /// # Errors
    /// [`is_elsewhere`] for one without memory of its own (`IORING_SETUP_NO_MMAP`); as
    /// [`Ring::new`].
    pub fn of(fd: OwnedFd) -> io::Result<(Self, Sizes)> {
        // Of this kernel; all but the array is in the same place in all rings.
        let (_, params) = setup(Sizes { submission: 1, completion: 2 }, 0)?;
        let Offsets { submission, completion } = params.offsets();
        let head = SharedMapping::of_device(fd.as_fd(), RINGS, completion[5] as usize)?;
        let count = |at: u32| head.word(at as usize).load(Ordering::Relaxed);
        let sizes = Sizes { submission: count(submission[3]), completion: count(completion[3]) };
        let offsets = setup(sizes, 0)?.1.offsets();
        match Ring::map(fd.try_clone()?, offsets, sizes, true) {
            // Without an array, it may be a page shorter (`IORING_SETUP_NO_SQARRAY`).
            Err(err) if is_elsewhere(&err) => Ok((Ring::map(fd, offsets, sizes, false)?, sizes)),
            ring => Ok((ring?, sizes)),
        }
    }

    fn map(fd: OwnedFd, offsets: Offsets, sizes: Sizes, array: bool) -> io::Result<Self> {
        let completions = offsets.completion[5] as usize + sizes.completion as usize * CQE;
        let indices = offsets.submission[6] as usize + sizes.submission as usize * 4;
        let len = if array { indices.max(completions) } else { completions };
        let rings = SharedMapping::of_device(fd.as_fd(), RINGS, len)?;
        let sqes = SharedMapping::of_device(fd.as_fd(), SQES, sizes.submission as usize * SQE)?;
        Ok(Ring { fd, offsets, rings, sqes })
    }

    /// Where it has its words.
    pub fn offsets(&self) -> Offsets {
        self.offsets
    }

    fn submission(&self, which: usize) -> &AtomicU32 {
        self.rings.word(self.offsets.submission[which] as usize)
    }

    fn completion(&self, which: usize) -> &AtomicU32 {
        self.rings.word(self.offsets.completion[which] as usize)
    }

    /// Its counters.
    pub fn counters(&self) -> Counters {
        let read = |word: &AtomicU32| word.load(Ordering::Acquire);
        Counters {
            submitted: read(self.submission(0)),
            queued: read(self.submission(1)),
            completed: read(self.completion(1)),
            seen: read(self.completion(0)),
        }
    }

    /// `IORING_SQ_*`: what the kernel tells programs.
    pub fn flags(&self) -> u32 {
        self.submission(4).load(Ordering::Acquire)
    }

    /// Submission and completion queue, and the entries of the former.
    pub fn contents(&self) -> (Vec<u8>, Vec<u8>) {
        (read(&self.rings), read(&self.sqes))
    }

    /// Sets the counters of a new ring, by requests that do nothing: the kernel has copies of its
    /// own. Then sets contents, of one with the same offsets.
    ///
    /// # Errors
    /// As io_uring_enter(2).
    pub fn fill(&self, to: Counters, rings: &[u8], sqes: &[u8]) -> io::Result<()> {
        let entries = self.submission(3).load(Ordering::Relaxed);
        let array = self.offsets.submission[6] as usize;
        for index in 0..entries {
            self.rings.word(array + 4 * index as usize).store(index, Ordering::Relaxed);
        }
        let unread = to.completed.wrapping_sub(to.seen);
        // Fewer than have to stay are possible only after an overflow of the counter.
        let around = if unread > to.submitted { 1 << 32 } else { 0 };
        let (all, mut done) = (u64::from(to.submitted) + around, 0);
        while done < all {
            let batch = (all - done).min(entries.into()) as u32;
            self.submission(1).store((done as u32).wrapping_add(batch), Ordering::Release);
            // SAFETY: the requests are in the ring, and refer to nothing: `IORING_OP_NOP` is 0.
            let got = cvt(unsafe {
                libc::syscall(
                    libc::SYS_io_uring_enter,
                    self.fd.as_raw_fd(),
                    batch,
                    0,
                    0,
                    ptr::null::<()>(),
                    0,
                )
            })?;
            if got != i64::from(batch) {
                return Err(io::Error::other("a ring does not take requests"));
            }
            done += u64::from(batch);
            // Never beyond what is to be left: the kernel counts on that.
            let seen = done.min(all - u64::from(unread));
            self.completion(0).store(seen as u32, Ordering::Release);
        }
        // `IORING_CQ_EVENTFD_DISABLED`, and completions that were lost.
        for which in [6, 4] {
            let at = self.offsets.completion[which] as usize;
            write(&self.rings, at, &rings[at..at + 4]);
        }
        let begin = self.offsets.completion[5] as usize;
        // A ring without an array has zeros there, or nothing; it means the same as this one.
        let has_array = rings.get(array..).is_some_and(|words| words.iter().any(|byte| *byte != 0));
        let end = if has_array { rings.len() } else { rings.len().min(array) };
        write(&self.rings, begin, &rings[begin..end]);
        write(&self.sqes, 0, sqes);
        self.submission(1).store(to.queued, Ordering::Release);
        Ok(())
    }

    /// Its descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

/// `IORING_REGISTER_EVENTFD`
pub const REGISTER_EVENTFD: u32 = 4;

/// Whether mmap(2) failed because a ring has less memory than that, or none of its own:
/// `io_uring_mmap` and `io_uring_get_unmapped_area`.
pub fn is_elsewhere(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM))
}

/// Whether a ring can be used (`IORING_SETUP_R_DISABLED`): enters it, without submitting or
/// waiting.
///
/// # Errors
/// What the kernel reports.
pub fn is_enabled(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no memory is involved.
    match cvt(unsafe {
        libc::syscall(libc::SYS_io_uring_enter, fd.as_raw_fd(), 0, 0, 0, ptr::null::<()>(), 0)
    }) {
        Err(err) if err.raw_os_error() == Some(libc::EBADFD) => Ok(false),
        other => other.map(|_| true),
    }
}
