//! Memory mappings as values: created by mmap(2), used as byte slices, unmapped on drop.

use super::sys;
use anyhow::{Context as _, Result};
use libc::{
    MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ,
    PROT_WRITE,
};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// Bytes in a small page: 4 KiB, or 16 or 64 on arm64, or 64 on powerpc.
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    // SAFETY: sysconf has no preconditions.
    *SIZE.get_or_init(|| usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096))
}

/// A range of mapped memory that this value owns. Half-open, page aligned.
#[derive(Debug)]
pub struct Mapping {
    start: usize,
    len: usize,
}

impl Mapping {
    /// mmap(2) at an address of the kernel's choice.
    pub fn new(len: usize, prot: i32, flags: i32, file: Option<(BorrowedFd<'_>, i64)>) -> Result<Self> {
        Self::map(0, len, prot, flags, file)
    }

    /// mmap(2) at exactly `start`, where nothing may be mapped yet.
    pub fn at(
        start: usize,
        len: usize,
        prot: i32,
        flags: i32,
        file: Option<(BorrowedFd<'_>, i64)>,
    ) -> Result<Self> {
        Self::map(start, len, prot, flags | MAP_FIXED_NOREPLACE, file)
    }

    fn map(
        start: usize,
        len: usize,
        prot: i32,
        flags: i32,
        file: Option<(BorrowedFd<'_>, i64)>,
    ) -> Result<Self> {
        let (fd, offset) = file.map_or((-1, 0), |(fd, offset)| (fd.as_raw_fd(), offset));
        // SAFETY: without MAP_FIXED (the NOREPLACE form never replaces) a new mapping touches no
        // existing memory.
        let at = unsafe { libc::mmap(start as *mut _, len, prot, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(error)
                .with_context(|| format!("mmap of {len:#x} bytes, prot {prot:#x}, flags {flags:#x}"));
        }
        Ok(Self { start: at as usize, len })
    }

    /// Private anonymous memory, readable and writable.
    pub fn private(len: usize) -> Result<Self> {
        Self::new(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, None)
    }

    /// Shared anonymous memory, readable and writable.
    pub fn shared(len: usize) -> Result<Self> {
        Self::new(len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, None)
    }

    /// Address space without memory: PROT_NONE, nothing reserved.
    pub fn reserve(len: usize) -> Result<Self> {
        Self::new(len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, None)
    }

    /// Takes over a range that was mapped some other way (mremap, brk …) and may be unmapped on
    /// drop.
    pub fn adopt(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    pub fn start(&self) -> usize {
        self.start
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// One past the last byte.
    pub fn end(&self) -> usize {
        self.start + self.len
    }

    /// Base of the raw pointers into the mapping.
    pub fn ptr(&self) -> *mut u8 {
        self.start as *mut u8
    }

    /// The whole mapping; the caller ensures that it is readable.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped for as long as `self` lives; callers only use it while it
        // is readable, and what other processes write to shared memory meanwhile is plain bytes.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.len) }
    }

    /// The whole mapping; the caller ensures that it is writable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the exclusive borrow keeps other slices of this value away.
        unsafe { std::slice::from_raw_parts_mut(self.ptr(), self.len) }
    }

    /// Page number `index`; the caller ensures that it is readable.
    pub fn page(&self, index: usize) -> &[u8] {
        assert!((index + 1) * page_size() <= self.len, "page {index} is outside of the mapping");
        // SAFETY: inside of the mapping, as just checked; readable as in `bytes`.
        unsafe { std::slice::from_raw_parts(self.ptr().add(index * page_size()), page_size()) }
    }

    /// Page number `index`; the caller ensures that it is writable.
    pub fn page_mut(&mut self, index: usize) -> &mut [u8] {
        assert!((index + 1) * page_size() <= self.len, "page {index} is outside of the mapping");
        // SAFETY: inside of the mapping, as just checked; writable as in `bytes_mut`.
        unsafe { std::slice::from_raw_parts_mut(self.ptr().add(index * page_size()), page_size()) }
    }

    /// mprotect(2) on pages `first .. first + count`.
    pub fn protect(&self, first: usize, count: usize, prot: i32) -> Result<()> {
        assert!((first + count) * page_size() <= self.len, "pages outside of the mapping");
        // SAFETY: inside of the mapping; callers touch the pages only as the new protection allows.
        sys::check("mprotect", unsafe {
            libc::mprotect(self.ptr().add(first * page_size()).cast(), count * page_size(), prot)
        })?;
        Ok(())
    }

    /// madvise(2) on the whole mapping.
    pub fn advise(&self, advice: i32) -> Result<()> {
        self.advise_pages(0, self.len / page_size(), advice)
    }

    /// madvise(2) on pages `first .. first + count`.
    pub fn advise_pages(&self, first: usize, count: usize, advice: i32) -> Result<()> {
        assert!((first + count) * page_size() <= self.len, "pages outside of the mapping");
        // SAFETY: inside of the mapping; advice that drops contents drops plain bytes of ours.
        sys::check(&format!("madvise({advice})"), unsafe {
            libc::madvise(self.ptr().add(first * page_size()).cast(), count * page_size(), advice)
        })?;
        Ok(())
    }

    /// Unmaps pages `first .. first + count`, leaving a hole that this value still spans: callers
    /// keep away from it.
    pub fn punch(&self, first: usize, count: usize) -> Result<()> {
        assert!((first + count) * page_size() <= self.len, "pages outside of the mapping");
        // SAFETY: inside of the mapping; nothing borrows the pages, callers keep away from them.
        sys::check("munmap", unsafe {
            libc::munmap(self.ptr().add(first * page_size()).cast(), count * page_size())
        })?;
        Ok(())
    }

    /// Gives the range up without unmapping it.
    pub fn leak(self) -> usize {
        let start = self.start;
        std::mem::forget(self);
        start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours and nothing borrows it any more. munmap of a range with holes
        // is valid.
        unsafe { libc::munmap(self.ptr().cast(), self.len) };
    }
}
