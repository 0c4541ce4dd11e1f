//! Writing a context file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{SeekFrom, seek};
use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::error::Error;
use super::layout::{self, Entry, Footer, Frame, FrameSum, Header, MAX_FRAME, Origin};
use super::location::Location;
use super::pending::Pending;
use super::records::{self, EncodeError, Schemas};
use super::stream::Stream;

/// Buffer between the encoders and the file, bytes.
const BUFFER: usize = 256 << 10;

/// What a finished file must have survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// File and directory are on the disk: the file survives a loss of power.
    Full,
    /// They are with the kernel: the file survives the end of this process.
    None,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length of the file
    pub bytes: u64,
    /// Bytes of page data
    pub page_bytes: u64,
    /// Bytes of encoded records
    pub record_bytes: u64,
    /// Number of checksummed stretches of page data
    pub frames: u64,
}

/// What is written to.
enum Output {
    Named(Pending),
    Stream(Arc<Stream>),
}

impl Output {
    fn path(&self) -> &Path {
        match self {
            Output::Named(pending) => pending.path(),
            Output::Stream(stream) => stream.path(),
        }
    }
}

/// A context file in the making. Its final name appears in [`Writer::finish`] and not before;
/// dropped earlier, nothing stays behind.
pub struct Writer {
    output: Output,
    page_size: u32,
    sums: FrameSum,
    header_sum: u64,
    /// The next frame goes to where the file is positioned, which is this at first.
    data_start: u64,
    /// A frame was reserved but not written: the file has a hole and must not be finished.
    broken: AtomicBool,
    frames: Mutex<Vec<Frame>>,
}

impl Writer {
    /// Begins a file whose pages are summed with `sums`. A file of that name is replaced at the
    /// end.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`]; [`Error::BadRequest`] for a page size that the format
    /// does not admit.
    pub fn create(to: impl Into<Location>, origin: Origin, sums: FrameSum) -> Result<Writer, Error> {
        if !layout::page_size_is_valid(origin.page_size) {
            let what = "page size must be a power of two from 4 KiB to 1 MiB";
            return Err(Error::BadRequest { offset: 0, len: u64::from(origin.page_size), what });
        }
        let header = Header::new(&origin, sums);
        let raw = header.encode();
        let data_start = header.data_start();
        let output = match to.into() {
            Location::File(path) => {
                let pending = Pending::create(&path)?;
                pending.file().write_all_at(&raw, 0).map_err(|err| Error::write("write", &path, 0, err))?;
                seek(pending.file(), SeekFrom::Start(data_start))
                    .map_err(|errno| Error::io("seek in", &path, errno))?;
                Output::Named(pending)
            }
            Location::Stream(stream) => {
                stream.begin(&raw, data_start)?;
                Output::Stream(stream)
            }
        };
        Ok(Writer {
            output,
            page_size: origin.page_size,
            sums,
            header_sum: layout::header_sum(&raw),
            data_start,
            broken: AtomicBool::new(false),
            frames: Mutex::new(Vec::new()),
        })
    }

    /// The place to append pages to; may be used by many threads.
    pub fn pages(&self) -> PageSink<'_> {
        PageSink { writer: self }
    }

    /// Moves the file's position on by `len` bytes; returns where it was.
    fn move_on(&self, pending: &Pending, len: u64) -> Result<u64, Error> {
        let failed = |errno| Error::io("seek in", pending.path(), errno);
        let len = i64::try_from(len).expect("no longer than a frame");
        let end = seek(pending.file(), SeekFrom::Current(len)).map_err(failed)?;
        // A device (`/dev/full`, in tests) has no position.
        Ok(end.saturating_sub(len as u64).max(self.data_start))
    }

    /// Where the next frame goes.
    fn position(&self) -> Result<u64, Error> {
        match &self.output {
            Output::Named(pending) => self.move_on(pending, 0),
            Output::Stream(stream) => Ok(stream.len()),
        }
    }

    /// Writes records, page checksums, index and footer, and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::NoSpace`], [`Error::Io`], also when an earlier append had
    /// failed. No file of the final name was then made or changed, unless it was the last step that
    /// failed: syncing the directory.
    pub fn finish<R: Serialize + Schemas>(self, records: &R, sync: Sync) -> Result<Written, Error> {
        let path = self.output.path();
        let pages_end = self.position()?;
        if self.broken.into_inner() {
            let source = io::Error::other("page data is incomplete after an earlier failure");
            return Err(Error::io("finish", path, source));
        }
        let mut frames = self.frames.into_inner().expect("no append panicked");
        frames.sort_unstable();
        let pages = Entry {
            kind: layout::KIND_PAGES,
            offset: self.data_start,
            len: pages_end - self.data_start,
            sum: 0,
        };

        let mut tail = Tail { output: &self.output, position: pages_end, hasher: Xxh3::new() };
        let failed = |err, position| Error::write("write", path, position, err);
        let mut buffered = BufWriter::with_capacity(BUFFER, &mut tail);
        let encoded = records::encode(records, &mut buffered).and_then(|()| Ok(buffered.flush()?));
        // Taken apart without another flush: after an error there is nothing left to try.
        drop(buffered.into_parts());
        encoded.map_err(|err| match err {
            EncodeError::Io(err) => failed(err, tail.position),
            EncodeError::Value(what) => Error::Encode { what },
        })?;
        let records = tail.end_section(layout::KIND_RECORDS, pages_end);

        let start = tail.align().map_err(|err| failed(err, records.end()))?;
        let mut buffered = BufWriter::with_capacity(BUFFER, &mut tail);
        let listed = frames.iter().try_for_each(|frame| buffered.write_all(&frame.encode()));
        let listed = listed.and_then(|()| buffered.flush());
        drop(buffered.into_parts());
        listed.map_err(|err| failed(err, tail.position))?;
        let checksums = tail.end_section(layout::KIND_CHECKSUMS, start);

        let index_offset = tail.align().map_err(|err| failed(err, checksums.end()))?;
        let mut last: Vec<u8> = [pages, records, checksums].iter().flat_map(Entry::encode).collect();
        let index_len = last.len() as u64;
        let total_len = index_offset + index_len + layout::FOOTER_LEN as u64;
        let footer = Footer {
            index_offset,
            index_len,
            index_sum: xxh3_64(&last),
            total_len,
            header_sum: self.header_sum,
        };
        last.extend_from_slice(&footer.encode());
        tail.write_all(&last).map_err(|err| failed(err, index_offset))?;

        match self.output {
            Output::Named(pending) => pending.publish(sync == Sync::Full)?,
            Output::Stream(stream) if sync == Sync::Full => stream.sync()?,
            Output::Stream(_) => {}
        }
        Ok(Written {
            bytes: total_len,
            page_bytes: pages.len,
            record_bytes: records.len,
            frames: frames.len() as u64,
        })
    }
}

/// What somebody else has appended for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Bytes from the start of the file
    pub offset: u64,
    /// Bytes
    pub len: u64,
    /// Their checksum
    pub sum: u64,
}

/// Appends page data to a [`Writer`].
#[derive(Clone, Copy)]
pub struct PageSink<'a> {
    writer: &'a Writer,
}

impl PageSink<'_> {
    /// The file that is being written, for messages.
    pub fn path(&self) -> &Path {
        self.writer.output.path()
    }

    /// Appends `pages`, a whole number of pages and at most [`MAX_FRAME`] bytes, as one contiguous
    /// stretch. Returns its offset in the file, a multiple of the page size. Appending nothing is
    /// allowed and writes nothing.
    ///
    /// The larger the piece, the fewer system calls and checksums: pass a full frame where there is
    /// one.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`]: the file cannot be finished any more.
    /// [`Error::BadRequest`] for a length that is not allowed.
    pub fn append(&self, pages: &[u8]) -> Result<u64, Error> {
        let writer = self.writer;
        let len = pages.len() as u64;
        if pages.len() > MAX_FRAME || !len.is_multiple_of(u64::from(writer.page_size)) {
            let what = "appended page data must be whole pages, at most a frame";
            return Err(Error::BadRequest { offset: 0, len, what });
        }
        if pages.is_empty() {
            return writer.position();
        }
        let (offset, written) = match &writer.output {
            Output::Named(pending) => {
                let offset = writer.move_on(pending, len)?;
                (offset, pending.file().write_all_at(pages, offset))
            }
            Output::Stream(stream) => match stream.append(pages) {
                Ok(offset) => (offset, Ok(())),
                Err(err) => (stream.len(), Err(err)),
            },
        };
        if let Err(err) = written {
            writer.broken.store(true, Ordering::Relaxed);
            return Err(Error::write("write page data to", self.path(), offset, err));
        }
        self.add(Appended { offset, len, sum: writer.sums.of(pages) });
        Ok(offset)
    }

    /// Has somebody else append up to a frame: `append` is given a file, writes from where that is
    /// positioned, moving the position on by as much at the same time, and sums what it writes as
    /// the context file wants it. For a stream the file is one in memory, copied afterwards.
    ///
    /// # Errors
    /// That of `append`. The context file cannot be finished any more.
    pub fn append_by(
        &self,
        append: impl FnOnce(BorrowedFd<'_>) -> io::Result<Appended>,
    ) -> io::Result<Appended> {
        let done = match &self.writer.output {
            Output::Named(pending) => append(pending.file().as_fd()),
            Output::Stream(stream) => by_way_of_memory(stream, append),
        };
        match &done {
            Ok(appended) if appended.len > 0 => self.add(*appended),
            Ok(_) => {}
            Err(_) => self.writer.broken.store(true, Ordering::Relaxed),
        }
        done
    }

    /// The error of a write that [`PageSink::append_by`] had made.
    pub fn failed(&self, err: io::Error) -> Error {
        match self.writer.position() {
            Ok(offset) => Error::write("write page data to", self.path(), offset, err),
            Err(other) => other,
        }
    }

    fn add(&self, Appended { offset, len, sum }: Appended) {
        let frame = Frame { offset, len: len as u32, sum };
        self.writer.frames.lock().expect("no append panicked").push(frame);
    }
}

fn by_way_of_memory(
    stream: &Stream,
    append: impl FnOnce(BorrowedFd<'_>) -> io::Result<Appended>,
) -> io::Result<Appended> {
    let memory =
        rustix::fs::memfd_create("frame", rustix::fs::MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
    let memory = File::from(memory);
    let appended = append(memory.as_fd())?;
    let mut frame = vec![0; appended.len as usize];
    memory.read_exact_at(&mut frame, appended.offset)?;
    let offset = if frame.is_empty() { stream.len() } else { stream.append(&frame)? };
    Ok(Appended { offset, ..appended })
}

/// The sequential end of the file: sections are hashed as they pass.
struct Tail<'a> {
    output: &'a Output,
    position: u64,
    hasher: Xxh3,
}

impl Tail<'_> {
    /// Closes the section that began at `start`.
    fn end_section(&mut self, kind: u32, start: u64) -> Entry {
        let sum = self.hasher.digest();
        self.hasher.reset();
        Entry { kind, offset: start, len: self.position - start, sum }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.output {
            Output::Named(pending) => pending.file().write_all_at(bytes, self.position)?,
            Output::Stream(stream) => drop(stream.append(bytes)?),
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Pads with zeros, which belong to no section; returns the new position.
    fn align(&mut self) -> io::Result<u64> {
        let aligned = self.position.next_multiple_of(layout::ALIGN);
        let zeros = [0; layout::ALIGN as usize];
        let padding = &zeros[..(aligned - self.position) as usize];
        self.put(padding)?;
        Ok(aligned)
    }
}

impl Write for Tail<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_writer(path: &Path) -> Writer {
        let mut writer = Writer::create(path, Origin::here(), FrameSum::Xxh3).unwrap();
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let Output::Named(pending) = &mut writer.output else { unreachable!("it has a name") };
        pending.stand_in(full);
        writer
    }

    #[test]
    fn a_full_disk_is_named_and_spoils_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let writer = full_writer(&path);
        let page = vec![1; writer.page_size as usize];
        let err = writer.pages().append(&page).unwrap_err();
        assert!(matches!(err, Error::NoSpace { .. }), "{err:?}");
        assert_eq!(err.errno(), Some(libc::ENOSPC));
        let text =
            format!("write page data to {}: out of space, 4096 bytes had been written", path.display());
        assert_eq!(err.to_string(), text);
        // Room may be found again, the lost page is not.
        let err = writer.finish(&(), Sync::None).unwrap_err();
        assert!(err.to_string().starts_with("finish"), "{err}");
        assert!(!path.exists());
    }

    #[test]
    fn a_disk_that_is_full_at_the_end_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let err = full_writer(&path).finish(&(), Sync::None).unwrap_err();
        assert!(matches!(err, Error::NoSpace { action: "write", .. }), "{err:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn page_sizes_that_cannot_be_are_refused() {
        for page_size in [0, 512, 4097, 2 << 20] {
            let origin = Origin { page_size, ..Origin::here() };
            let refused = Writer::create("context.1", origin, FrameSum::Xxh3);
            assert!(matches!(refused, Err(Error::BadRequest { .. })), "{page_size}");
        }
    }

    #[test]
    fn frames_are_listed_in_the_order_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.1");
        let writer = Writer::create(&path, Origin::here(), FrameSum::Xxh3).unwrap();
        let page = vec![1; writer.page_size as usize];
        for _ in 0..5 {
            writer.pages().append(&page).unwrap();
        }
        // Threads that are overtaken between writing and listing.
        writer.frames.lock().unwrap().reverse();
        writer.finish(&(), Sync::None).unwrap();
        super::super::Reader::open(&path).unwrap().verify_pages(1, &|_| ()).unwrap();
    }
}
