//! Memory that parent and children share, and words in it that they wait on.

use super::mapping::{Mapping, page_size};
use super::{Outcome, sync, sys};
use anyhow::Result;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Words in a [`Shared`] page.
const CELLS: usize = 256;

/// One page of shared anonymous memory, created before forking: 256 words to signal with and 256 to
/// pass numbers.
#[derive(Debug)]
pub struct Shared(Mapping);

impl Shared {
    pub fn new() -> Result<Self> {
        Ok(Self(Mapping::shared(page_size())?))
    }

    /// Word number `index`, below 256.
    pub fn cell(&self, index: usize) -> &Cell {
        assert!(index < CELLS, "cell {index} of {CELLS}");
        // SAFETY: the page is mapped as long as `self` lives, aligned, and only reached through
        // atomics; `Cell` is a transparent AtomicU32. The first KiB belongs to the cells.
        unsafe { &*self.0.ptr().cast::<Cell>().add(index) }
    }

    /// 64-bit number `index`, below 256; its memory is separate from the cells.
    pub fn number(&self, index: usize) -> &AtomicU64 {
        assert!(index < CELLS, "number {index} of {CELLS}");
        // SAFETY: as in `cell`; the numbers are bytes 1024..3072 of the page.
        unsafe { &*self.0.ptr().add(CELLS * 4).cast::<AtomicU64>().add(index) }
    }
}

/// A 32-bit word that threads and processes wait on with futex(2), starting as 0.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Cell(AtomicU32);

impl Cell {
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Stores `value` and wakes all waiters.
    pub fn set(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
        self.wake();
    }

    /// Adds one, wakes all waiters, returns the new value.
    pub fn bump(&self) -> u32 {
        let value = self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        self.wake();
        value
    }

    fn wake(&self) {
        // SAFETY: the word lives through the call; FUTEX_WAKE only uses its address. Not
        // FUTEX_PRIVATE: processes share it.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Blocks for ever in futex(2), without a timeout, until the word is at least `value`.
    pub fn block_until(&self, value: u32) {
        loop {
            let now = self.get();
            if now >= value {
                return;
            }
            // SAFETY: the word lives through the call; no timeout is passed.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.0.as_ptr(),
                    libc::FUTEX_WAIT,
                    now,
                    std::ptr::null::<libc::timespec>(),
                )
            };
        }
    }

    /// Waits until the word is at least `value`, not longer than the workload's deadline.
    ///
    /// # Errors
    /// `timed out waiting for WHAT`.
    pub fn wait(&self, what: &str, value: u32) -> Outcome {
        loop {
            let (now, left) = (self.get(), sync::time_left());
            if now >= value {
                return Ok(());
            }
            anyhow::ensure!(!left.is_zero(), "timed out waiting for {what}: at {now}, want {value}");
            let timeout =
                libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            // SAFETY: the word and the timeout live through the call.
            let rc =
                unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAIT, now, &timeout) };
            match sys::errno_of(rc) {
                None | Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => {}
                Some(errno) => anyhow::bail!("futex: {}", std::io::Error::from_raw_os_error(errno)),
            }
        }
    }
}
