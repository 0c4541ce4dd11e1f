//! Shared memory, mapped here to be filled or read.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

/// A shared mapping; unmapped when dropped.
#[derive(Debug)]
pub struct SharedMapping {
    base: NonNull<u8>,
    len: usize,
}

impl SharedMapping {
    /// Maps `len` bytes, in huge pages of `huge` bytes when given.
    pub fn new(len: usize, huge: Option<u64>) -> io::Result<Self> {
        let size =
            huge.map_or(0, |page| libc::MAP_HUGETLB | (page.trailing_zeros() as i32) << libc::MAP_HUGE_SHIFT);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | size;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        Self::own(base, len)
    }

    /// Attaches System V shared memory of `len` bytes, in whole pages.
    pub fn attach(id: i32, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice.
        Self::own(unsafe { libc::shmat(id, ptr::null(), 0) }, len)
    }

    /// Maps a file of `len` bytes to be read, in whole pages.
    pub fn of_file(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let (fd, flags) = (file.as_raw_fd(), libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a new mapping at a place of the kernel's choice.
        Self::own(unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, flags, fd, 0) }, len)
    }

    /// Maps `len` bytes of a device from `offset` on, which the kernel may change meanwhile.
    pub fn of_device(device: BorrowedFd<'_>, offset: i64, len: usize) -> io::Result<Self> {
        let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, device.as_raw_fd());
        // SAFETY: a new mapping at a place of the kernel's choice.
        Self::own(unsafe { libc::mmap(ptr::null_mut(), len, prot, libc::MAP_SHARED, fd, offset) }, len)
    }

    fn own(base: *mut libc::c_void, len: usize) -> io::Result<Self> {
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(SharedMapping { base, len })
    }

    /// First address and one past the last.
    pub fn bounds(&self) -> (u64, u64) {
        let start = self.base.as_ptr() as u64;
        (start, start + self.len as u64)
    }

    /// A word of it, at an offset in bytes.
    ///
    /// # Panics
    /// If that is outside the mapping, or between words.
    pub fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.len, "{at} is outside");
        // SAFETY: inside the mapping and aligned; a shared borrow of it is used by atomics only.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// A part of it.
    ///
    /// # Panics
    /// If the range is outside the mapping.
    pub fn range(&mut self, start: usize, len: usize) -> &mut [u8] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "{start}+{len} is outside");
        // SAFETY: inside the mapping, which is initialised (zeros) and not used by another process
        // yet; the borrow of it is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(start), len) }
    }
}

// SAFETY: an address range; what is in it is accessed through `range`, an exclusive borrow.
unsafe impl Send for SharedMapping {}
// SAFETY: as above; a shared borrow accesses it by atomics only.
unsafe impl Sync for SharedMapping {}

/// System V shared memory of unknown size, attached to be read; detached when dropped.
#[derive(Debug)]
pub struct Attached(*const libc::c_void);

impl Attached {
    /// shmat(2) at a place of the kernel's choice.
    pub fn to_read(id: i32) -> io::Result<Self> {
        // SAFETY: a new mapping.
        let at = unsafe { libc::shmat(id, ptr::null(), libc::SHM_RDONLY) };
        if at as isize == -1 { Err(io::Error::last_os_error()) } else { Ok(Attached(at)) }
    }

    /// Its address.
    pub fn start(&self) -> u64 {
        self.0 as u64
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows it.
        unsafe { libc::shmdt(self.0) };
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no range of it outlives the borrow of it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
