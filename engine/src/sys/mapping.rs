//! Shared anonymous memory, created here to be passed to another process.

use std::io;
use std::ptr::{self, NonNull};

/// A shared anonymous mapping; unmapped when dropped.
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

    /// A part of it.
    ///
    /// # Panics
    /// If the range is outside the mapping.
    pub fn range(&mut self, start: usize, len: usize) -> &mut [u8] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "{start}+{len} is outside");
        // SAFETY: inside the mapping, which is initialised (zeros) and not mapped by another
        // process; the borrow of it is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(start), len) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no range of it outlives the borrow of it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
