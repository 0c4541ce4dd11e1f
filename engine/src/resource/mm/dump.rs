//! Copies page contents into the context file.

use super::Range;
use crate::error::{Context, Error, Result};
use crate::image::{self, Appended, Extent, PageSink};
use crate::remote::held::told;
use crate::sys::kmod::{self, Device};
use crate::sys::mapping::SharedMapping;
use crate::sys::{RemoteAddr, page_size, vm};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a range of memory is read from.
#[derive(Debug)]
pub enum DataSource {
    /// The memory of a process.
    Process {
        /// One of its threads.
        tid: i32,
        /// Not readable: use /proc/PID/mem, which overrides permissions.
        forced: bool,
    },
    /// The memory of a process held by the module, which writes it to the file itself.
    ModuleThread {
        /// Its PID.
        pid: i32,
        /// The module session that holds it.
        device: Arc<Device>,
    },
    /// An open file.
    File(File),
    /// Our own mapping of shared memory.
    Mapping(SharedMapping),
}

/// A range to save for an owner.
#[derive(Debug)]
pub struct CopyRange {
    /// Index of the source in the list of sources.
    pub source: usize,
    /// Index of the owner that gets the extents.
    pub owner: usize,
    /// Addresses or offsets; page-aligned.
    pub range: Range,
    /// Keep pages of zeros, because an absent page would not read as zeros.
    pub keep_zeros: bool,
}

/// Everything to copy in one run.
#[derive(Debug, Default)]
pub struct DumpPlan {
    sources: Vec<DataSource>,
    stretches: Vec<CopyRange>,
    owners: usize,
}

/// Claims the extents of one owner after the copy.
#[derive(Debug, Clone, Copy)]
pub struct Owner(usize);

impl Owner {
    /// Its index in the result of [`DumpPlan::run`].
    pub fn index(self) -> usize {
        self.0
    }
}

impl DumpPlan {
    /// The number of owners.
    pub fn owners(&self) -> usize {
        self.owners
    }

    /// Adds an owner of extents.
    pub fn owner(&mut self) -> Owner {
        self.owners += 1;
        Owner(self.owners - 1)
    }

    /// Adds a source and returns its index.
    pub fn source(&mut self, source: DataSource) -> usize {
        self.sources.push(source);
        self.sources.len() - 1
    }

    /// Adds ranges of a source.
    pub fn add(
        &mut self,
        owner: Owner,
        source: usize,
        ranges: impl IntoIterator<Item = Range>,
        keep_zeros: bool,
    ) {
        let to_stretch = |range| CopyRange { source, owner: owner.0, range, keep_zeros };
        self.stretches.extend(ranges.into_iter().map(to_stretch));
    }

    /// Bytes to read.
    pub fn bytes(&self) -> u64 {
        self.stretches.iter().map(|s| s.range.end - s.range.start).sum()
    }

    /// Reads all ranges and appends the pages that are not zero to the context file, with several
    /// threads if there is enough to copy. Returns the extents by owner, sorted; `progress` is
    /// called with the bytes of each frame.
    ///
    /// # Errors
    /// Memory that cannot be read, a context file that cannot be written.
    pub fn run(
        &self,
        sink: PageSink<'_>,
        progress: &(dyn Fn(u64) -> Result<()> + Sync),
    ) -> Result<Vec<Vec<Extent>>> {
        const WORTH_A_THREAD: u64 = 8 << 20;
        let frames = self.frames();
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get()) as u64;
        let threads = cpus.min(4).min(1 + self.bytes() / WORTH_A_THREAD);
        let all = Mutex::new(vec![Vec::new(); self.owners]);
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            let mut buf = vec![0u8; image::MAX_FRAME];
            let mut mine: Vec<(usize, Extent)> = Vec::new();
            while let Some(frame) = frames.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = self.copy_frame(frame, &mut buf, &sink, &mut mine)?;
                progress(done)?;
            }
            let mut all = all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            mine.into_iter().for_each(|(owner, extent)| all[owner].push(extent));
            Ok(())
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let theirs = helpers.into_iter().map(|h| h.join().expect("a copying thread does not panic"));
            theirs.fold(mine, Result::and)
        })?;
        let mut all = all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.iter_mut().for_each(coalesce);
        Ok(all)
    }

    /// Cuts the ranges into pieces and groups pieces of one source into frames.
    fn frames(&self) -> Vec<Frame> {
        const MAX_PIECES: usize = 512; // below IOV_MAX
        let mut frames: Vec<Frame> = Vec::new();
        let mut room = 0;
        for stretch in &self.stretches {
            let mut at = stretch.range.start;
            while at < stretch.range.end {
                let fits =
                    frames.last().is_some_and(|f| f.source == stretch.source && f.pieces.len() < MAX_PIECES);
                if room == 0 || !fits {
                    frames.push(Frame { source: stretch.source, pieces: Vec::new() });
                    room = image::MAX_FRAME as u64;
                }
                let end = stretch.range.end.min(at + room);
                let piece = Piece { owner: stretch.owner, range: at..end, keep_zeros: stretch.keep_zeros };
                frames.last_mut().expect("there is one").pieces.push(piece);
                room -= end - at;
                at = end;
            }
        }
        frames
    }

    fn copy_frame(
        &self,
        frame: &Frame,
        buf: &mut [u8],
        sink: &PageSink<'_>,
        extents: &mut Vec<(usize, Extent)>,
    ) -> Result<u64> {
        let first = extents.len();
        let (len, offset) = match &self.sources[frame.source] {
            DataSource::ModuleThread { pid, device } => {
                save_frame(*pid, device, &frame.pieces, sink, extents)?
            }
            source => copy_frame(source, &frame.pieces, buf, sink, extents)?,
        };
        extents[first..].iter_mut().for_each(|(_, extent)| extent.offset += offset);
        Ok(len)
    }
}

/// Reads the pieces and appends the pages that are not zero. Returns the bytes read, and the file
/// offset that the extents are relative to.
fn copy_frame(
    source: &DataSource,
    pieces: &[Piece],
    buf: &mut [u8],
    sink: &PageSink<'_>,
    extents: &mut Vec<(usize, Extent)>,
) -> Result<(u64, u64)> {
    let len: usize = pieces.iter().map(Piece::len).sum();
    let buf = &mut buf[..len];
    read_frame(source, pieces, buf)?;
    // Squeeze out the zero pages, in place.
    let page = page_size() as usize;
    let zeros = zero_page();
    let (mut from, mut to) = (0, 0);
    list(pieces, extents, |piece| {
        let kept = piece.keep_zeros || buf[from..from + page] != zeros[..page];
        if kept {
            if from != to {
                buf.copy_within(from..from + page, to);
            }
            to += page;
        }
        from += page;
        kept
    });
    let offset = sink.append(&buf[..to]).map_err(|err| Error::of_image(sink.path(), err))?;
    Ok((len as u64, offset))
}

/// Lets the module append the pieces, without copying them through our memory. Returns the same as
/// [`copy_frame`].
fn save_frame(
    pid: i32,
    device: &Device,
    pieces: &[Piece],
    sink: &PageSink<'_>,
    extents: &mut Vec<(usize, Extent)>,
) -> Result<(u64, u64)> {
    let ranges: Vec<_> = pieces.iter().map(Piece::to_save).collect();
    let len: usize = pieces.iter().map(Piece::len).sum();
    let mut saved = vec![0u64; (len / page_size() as usize).div_ceil(64)];
    let appended = sink.append_by(|file| {
        let save = device.save(pid, file, &ranges, &mut saved)?;
        Ok(Appended { offset: save.offset, len: save.len, sum: save.sum })
    });
    let appended = appended.or_else(|err: std::io::Error| match err.raw_os_error() {
        Some(libc::EFAULT | libc::ESRCH | libc::ESTALE) => {
            told(Err(err), pid, || format!("save memory of {pid}"))
        }
        _ => Err(Error::of_image(sink.path(), sink.failed(err))),
    })?;
    let mut number = 0;
    list(pieces, extents, |_| {
        let kept = saved[number / 64] >> (number % 64) & 1 != 0;
        number += 1;
        kept
    });
    Ok((len as u64, appended.offset))
}

/// Adds the extents of the pages for which `is_kept` is true; it is called once for each page, in
/// order. Offsets start at 0.
fn list(pieces: &[Piece], extents: &mut Vec<(usize, Extent)>, mut is_kept: impl FnMut(&Piece) -> bool) {
    let page = page_size();
    let first = extents.len();
    let mut offset = 0;
    for piece in pieces {
        for start in piece.range.clone().step_by(page as usize) {
            if !is_kept(piece) {
                continue;
            }
            match extents[first..].last_mut() {
                Some((owner, last)) if *owner == piece.owner && last.start + last.len == start => {
                    last.len += page;
                }
                _ => extents.push((piece.owner, Extent { start, len: page, offset })),
            }
            offset += page;
        }
    }
}

fn zero_page() -> &'static [u8] {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    &ZEROS
}

#[derive(Debug)]
struct Frame {
    source: usize,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    owner: usize,
    range: Range,
    keep_zeros: bool,
}

impl Piece {
    fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    fn to_save(&self) -> kmod::Range {
        let flags = if self.keep_zeros { kmod::RANGE_ZEROS } else { 0 };
        kmod::Range { from: self.range.start, len: self.len() as u32, flags }
    }
}

fn read_frame(source: &DataSource, pieces: &[Piece], buf: &mut [u8]) -> Result<()> {
    let each =
        |read: &dyn Fn(&mut [u8], u64) -> std::io::Result<()>, buf: &mut [u8]| -> std::io::Result<()> {
            let mut at = 0;
            for piece in pieces {
                read(&mut buf[at..at + piece.len()], piece.range.start)?;
                at += piece.len();
            }
            Ok(())
        };
    match source {
        DataSource::Process { tid, forced: false } => {
            let ranges: Vec<_> = pieces.iter().map(|p| (RemoteAddr(p.range.start), p.len())).collect();
            vm::read_ranges(*tid, &ranges, buf).context(|| format!("read memory of {tid}"))
        }
        DataSource::Process { tid, forced: true } => {
            let mem = File::open(format!("/proc/{tid}/mem")).context(|| format!("open memory of {tid}"))?;
            each(&|buf, at| mem.read_exact_at(buf, at), buf).context(|| format!("read memory of {tid}"))
        }
        DataSource::Mapping(mapping) => {
            // A page that is not readable is an error here, and no SIGBUS.
            let (start, _) = mapping.bounds();
            let ranges: Vec<_> =
                pieces.iter().map(|p| (RemoteAddr(start + p.range.start), p.len())).collect();
            vm::read_ranges(std::process::id() as i32, &ranges, buf).context(|| "read shared memory")
        }
        DataSource::ModuleThread { .. } => unreachable!("the module writes it itself"),
        DataSource::File(file) => {
            each(&|buf, at| read_to_end(file, buf, at), buf).context(|| "read shared or unlinked file")
        }
    }
}

/// Fills the buffer, with zeros past the end of the file.
fn read_to_end(file: &File, buf: &mut [u8], at: u64) -> std::io::Result<()> {
    let mut have = 0;
    while have < buf.len() {
        match file.read_at(&mut buf[have..], at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    buf[have..].fill(0);
    Ok(())
}

/// Sorts by start and merges extents that are adjacent both in memory and in the file.
pub fn coalesce(extents: &mut Vec<Extent>) {
    extents.sort_by_key(|e| e.start);
    extents.dedup_by(|next, last| {
        let joined = last.start + last.len == next.start && last.offset + last.len == next.offset;
        if joined {
            last.len += next.len;
        }
        joined
    });
}

/// Ranges of a file that are not holes (lseek(2), SEEK_DATA), extended to whole pages.
///
/// # Errors
/// As lseek(2).
pub fn data_ranges(file: &File, size: u64) -> std::io::Result<Vec<Range>> {
    use rustix::fs::{SeekFrom, seek};
    let page = page_size();
    let mut ranges: Vec<Range> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL) => {
                return Ok(std::iter::once(0..size.next_multiple_of(page)).collect());
            }
            Err(err) => return Err(err.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?;
        let (start, end) = (start / page * page, end.min(size).next_multiple_of(page));
        match ranges.last_mut() {
            Some(last) if last.end >= start => last.end = end.max(last.end),
            _ => ranges.push(start..end),
        }
        at = end;
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn kept_pages_are_listed_once_and_in_their_order(
            pieces in prop::collection::vec((0usize..3, 0u64..3, 1u64..6), 1..12),
            kept in prop::collection::vec(any::<bool>(), 60),
        ) {
            let page = page_size();
            let mut at = 0;
            let pieces: Vec<_> = pieces.into_iter().map(|(owner, gap, len)| {
                let start = at + gap * page;
                at = start + len * page;
                Piece { owner, range: start..at, keep_zeros: false }
            }).collect();
            // Extents of earlier frames.
            let mut extents = vec![(0, Extent { start: 0, len: page, offset: 0 })];
            let mut answers = kept.iter().copied();
            list(&pieces, &mut extents, |_| answers.next().expect("there are enough"));
            let pages = pieces.iter().flat_map(|p| p.range.clone().step_by(page as usize).map(|at| (p.owner, at)));
            let want: Vec<_> = pages.zip(&kept).filter(|(_, kept)| **kept).map(|(page, _)| page).collect();
            let listed = extents[1..].iter().flat_map(|(owner, e)| {
                (0..e.len / page).map(|n| (*owner, e.start + n * page, e.offset + n * page))
            });
            for ((number, want), (owner, start, offset)) in (0..).zip(&want).zip(listed.clone()) {
                prop_assert_eq!((*want, number * page), ((owner, start), offset));
            }
            prop_assert_eq!(listed.count(), want.len());
        }
    }
}
