//! Shared by several memory workloads.

use crate::framework::prelude::*;
use anyhow::Result;
use std::path::PathBuf;

/// For `advise(MADV_NOHUGEPAGE).or_else(…)`: a kernel without transparent huge pages refuses the
/// advice, which it does not need.
pub fn without_thp(error: anyhow::Error) -> Outcome {
    if sys::errno_in(&error) == Some(libc::EINVAL) { Ok(()) } else { Err(error) }
}

/// Start, end and protection of everything mapped between two addresses, cut to that range.
pub fn layout(start: usize, end: usize) -> Result<Vec<(usize, usize, String)>> {
    let all = procfs::maps_in(start, end)?.into_iter();
    Ok(all.map(|v| (v.start.max(start), v.end.min(end), v.perms)).collect())
}

/// Name, offset and inode of each mapping.
pub fn shape(mappings: &[Mapping]) -> Result<Vec<(String, u64, u64)>> {
    mappings.iter().map(|m| procfs::vma_at(m.start()).map(|v| (v.name, v.offset, v.inode))).collect()
}

/// How many pages of the mapping are in memory or swapped out.
pub fn populated(memory: &Mapping) -> Result<usize> {
    Ok(procfs::pagemap(memory.start(), memory.len() / page_size())?
        .iter()
        .filter(|page| *page >> 62 != 0)
        .count())
}

/// mremap(2) to a new place, whatever the size.
pub fn remap(memory: Mapping, len: usize) -> Result<Mapping> {
    let old_len = memory.len();
    // An address that is certainly free: found by mapping it first.
    let target = Mapping::reserve(len)?.leak();
    let start = memory.leak();
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: both ranges are ours and nothing borrows them; the target is a reservation made for
    // this.
    let at = unsafe { libc::mremap(start as *mut _, old_len, len, flags, target as *mut libc::c_void) };
    anyhow::ensure!(at != libc::MAP_FAILED, "mremap: {}", std::io::Error::last_os_error());
    Ok(Mapping::adopt(at as usize, len))
}

/// A child that reads the byte at `address` must die of `signal`.
pub fn dies_reading(address: usize, signal: i32) -> Outcome {
    dies(signal, move || {
        // SAFETY: any fault only affects a child that exits in any case.
        std::hint::black_box(unsafe { std::ptr::read_volatile(address as *const u8) });
    })
    .with_context(|| format!("read of {address:#x}"))
}

/// A child that writes the byte at `address` must die of `signal`.
pub fn dies_writing(address: usize, signal: i32) -> Outcome {
    // SAFETY: any fault only affects a child that exits in any case.
    dies(signal, move || unsafe { std::ptr::write_volatile(address as *mut u8, 1) })
        .with_context(|| format!("write to {address:#x}"))
}

fn dies(signal: i32, touch: impl FnOnce()) -> Outcome {
    let child = fork("touching child", || {
        // SAFETY: the default action replaces the handler of the Rust runtime, in this child only;
        // no core dumps.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
        }
        touch();
        Ok(())
    })?;
    child.join_killed(signal)
}

/// Bytes in a huge page of the default size.
pub fn huge_page() -> Result<usize> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = meminfo.lines().find_map(|l| l.strip_prefix("Hugepagesize:")).context("no Hugepagesize")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}

/// Where a hugetlbfs of the default page size is mounted.
pub fn hugetlbfs() -> Result<Option<PathBuf>> {
    let size = huge_page()? >> 20;
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("read mounts")?;
    Ok(mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind, options) = (words.next()?, words.next()?, words.next()?);
        let fits = kind == "hugetlbfs" && options.split(',').any(|o| o == format!("pagesize={size}M"));
        fits.then(|| PathBuf::from(path))
    }))
}

/// Writes 64 recognisable bytes into every small page of a huge one.
pub fn mark(page: &mut [u8], key: u64) {
    for (index, part) in page.chunks_exact_mut(page_size()).enumerate() {
        pattern::fill(&mut part[..64], key * 1000 + index as u64);
    }
}

/// What [`mark`] wrote must be there, and zeros between.
pub fn verify_marks(what: &str, page: &[u8], key: u64) -> Outcome {
    for (index, part) in page.chunks_exact(page_size()).enumerate() {
        pattern::verify(&format!("{what}, part {index}"), &part[..64], key * 1000 + index as u64)?;
        pattern::verify_zero(&format!("{what}, behind part {index}"), &part[64..])?;
    }
    Ok(())
}

/// Removes a file outside the cell's directory when it goes out of scope, whatever the outcome.
pub struct Remove(pub PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}
