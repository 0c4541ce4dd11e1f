//! Reading a context file. Nothing in the file is trusted before it is checked.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::error::{Error, Section};
use super::layout::{self, Entry, FRAME_ENTRY_LEN, Footer, Frame, Header, INDEX_ENTRY_LEN, MAX_FRAME};
use super::location::Location;
use super::machine::Machine;
use super::records::{self, DecodeError, Schemas, Versions};
use super::stream::Stream;
use crate::sys::file::link_to;

/// Buffer between the file and the decoders, bytes.
const BUFFER: usize = 256 << 10;

/// How files begin that somebody has compressed, and what to do: a restart reads a context file
/// anywhere.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "it is compressed with gzip; unpack it first, with `gunzip`"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd; unpack it first, with `zstd -d`"),
    (b"\xfd7zXZ\0", "it is compressed with xz; unpack it first, with `unxz`"),
    (b"BZh", "it is compressed with bzip2; unpack it first, with `bunzip2`"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4; unpack it first, with `lz4 -d`"),
];

const NOT_OURS: &str = "its magic number does not match";

/// An open context file whose header, footer and index are sound. Records and page data are checked
/// when they are read ([`Reader::records`]) or on request ([`Reader::verify_pages`]).
pub struct Reader {
    file: File,
    path: PathBuf,
    header: Header,
    len: u64,
    pages: Entry,
    records: Entry,
    checksums: Entry,
}

impl Reader {
    /// Opens a file and checks header, footer and index.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotContextFile`], [`Error::Truncated`], [`Error::Damaged`],
    /// [`Error::FutureVersion`], [`Error::FutureFeatures`]. A file of a foreign machine opens; see
    /// [`Reader::check_here`].
    pub fn open(from: impl Into<Location>) -> Result<Reader, Error> {
        let from = from.into();
        let path = from.path();
        let file = match &from {
            Location::File(path) => open_regular(path, path)?,
            Location::Stream(stream) => open_stream(stream)?,
        };
        let len = file.metadata().map_err(|err| Error::io("stat", path, err))?.len();
        let (header, header_sum) = read_header(&file, path, len)?;

        let data_start = header.data_start();
        let footer_at = len
            .checked_sub(layout::FOOTER_LEN as u64)
            .filter(|&at| at >= data_start)
            .ok_or(Error::Truncated { len, what: "it ends before its footer" })?;
        let mut raw = [0; layout::FOOTER_LEN];
        read_exact(&file, path, &mut raw, footer_at, len)?;
        let footer = Footer::decode(&raw, len)?;
        if footer.header_sum != header_sum {
            return Err(Error::damaged(Section::Footer, footer_at, "it belongs to a different header"));
        }

        let index = read_index(&file, path, &footer, data_start, footer_at)?;
        let damaged = |what: String| Error::damaged(Section::Index, footer.index_offset, what);
        let find = |kind: u32, section: Section| {
            index
                .iter()
                .find(|entry| entry.kind == kind)
                .copied()
                .ok_or_else(|| damaged(format!("it does not list the {section}")))
        };
        let pages = find(layout::KIND_PAGES, Section::Pages)?;
        let records = find(layout::KIND_RECORDS, Section::Records)?;
        let checksums = find(layout::KIND_CHECKSUMS, Section::Checksums)?;
        let page_size = u64::from(header.page_size);
        if !pages.offset.is_multiple_of(page_size) || !pages.len.is_multiple_of(page_size) {
            return Err(damaged("the page data is not a multiple of the page size".into()));
        }
        if !checksums.len.is_multiple_of(FRAME_ENTRY_LEN as u64) {
            return Err(damaged("the page checksums are not a multiple of the entry size".into()));
        }
        Ok(Reader { file, path: path.to_owned(), header, len, pages, records, checksums })
    }

    /// Reads the header alone: version, machine and origin of a file whose rest may be missing or
    /// from the future.
    ///
    /// # Errors
    /// As [`Reader::open`], as far as they concern the header.
    pub fn open_header(path: &Path) -> Result<Header, Error> {
        let file = open_regular(path, path)?;
        let len = file.metadata().map_err(|err| Error::io("stat", path, err))?.len();
        Ok(read_header(&file, path, len)?.0)
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file itself, open for reading; its position is not used by the reader.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Length of the file, bytes.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// Where the page data lie in the file, half-open, bytes.
    pub fn page_range(&self) -> std::ops::Range<u64> {
        self.pages.offset..self.pages.end()
    }

    /// Can the file be restarted here, as far as the machine goes?
    ///
    /// # Errors
    /// [`Error::ForeignArch`], [`Error::ForeignPageSize`].
    pub fn check_here(&self) -> Result<(), Error> {
        self.check_machine(Machine::here(), layout::page_size_here())
    }

    pub(super) fn check_machine(&self, here: Machine, page_size: u32) -> Result<(), Error> {
        let header = &self.header;
        if header.machine != here {
            return Err(Error::ForeignArch { found: header.machine, here });
        }
        if header.page_size != page_size {
            return Err(Error::ForeignPageSize { found: header.page_size, here: page_size });
        }
        Ok(())
    }

    /// Decodes the records and verifies their checksum. Fields that `R` does not know are passed
    /// over.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::FutureSchema`], [`Error::Io`].
    pub fn records<R: DeserializeOwned + Schemas>(&self) -> Result<R, Error> {
        self.decode_records(|from| records::decode(from))
    }

    /// The kinds of records in the file with their schema versions.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn schemas(&self) -> Result<Versions, Error> {
        self.decode_records(|from| records::decode_versions(from))
    }

    fn decode_records<T>(
        &self,
        decode: impl FnOnce(&mut dyn Read) -> Result<T, DecodeError>,
    ) -> Result<T, Error> {
        let section = &self.records;
        let mut stream = BufReader::with_capacity(BUFFER, SectionStream::new(&self.file, section));
        let decoded = decode(&mut stream);
        let io_error = |err| Error::io("read records of", &self.path, err);
        if let Err(DecodeError::Io(err)) = decoded {
            return Err(io_error(err));
        }
        // A wrong checksum explains a failure to decode, so it comes first.
        if stream.into_inner().finish().map_err(io_error)? != section.sum {
            return Err(Error::damaged(Section::Records, section.offset, "checksum does not match"));
        }
        decoded.map_err(|err| match err {
            DecodeError::Io(err) => io_error(err),
            DecodeError::Future(err) => err,
            DecodeError::Malformed(what) => Error::damaged(Section::Records, section.offset, what),
        })
    }

    /// The checksummed stretches of the page data, ascending and without gaps.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn frames(&self) -> Result<Vec<Frame>, Error> {
        let section = &self.checksums;
        let damaged = |what: String| Error::damaged(Section::Checksums, section.offset, what);
        let io_error = |err| Error::io("read page checksums of", &self.path, err);
        let mut stream = BufReader::with_capacity(BUFFER, SectionStream::new(&self.file, section));
        let mut frames = Vec::new();
        let mut next = self.pages.offset;
        // Each entry is checked before the next is stored: what is held never exceeds what the page
        // data can have.
        for number in 0..section.len / FRAME_ENTRY_LEN as u64 {
            let mut raw = [0; FRAME_ENTRY_LEN];
            stream.read_exact(&mut raw).map_err(io_error)?;
            let frame = Frame::decode(&raw);
            let len = u64::from(frame.len);
            let fits = frame.offset == next
                && len > 0
                && len <= MAX_FRAME as u64
                && len.is_multiple_of(u64::from(self.header.page_size))
                && len <= self.pages.end() - next;
            if !fits {
                return Err(damaged(format!("entry {number} is invalid")));
            }
            next += len;
            frames.push(frame);
        }
        if stream.into_inner().finish().map_err(io_error)? != section.sum {
            return Err(damaged("checksum does not match".into()));
        }
        if next != self.pages.end() {
            return Err(damaged("some page data have no checksum".into()));
        }
        Ok(frames)
    }

    /// Fills `buf` with page data from `offset` of the file, any offset and length. Does not check
    /// checksums, see [`Reader::verify_pages`].
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a range outside the page data; [`Error::Io`].
    pub fn read_pages(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        let len = buf.len() as u64;
        let inside =
            offset >= self.pages.offset && offset.checked_add(len).is_some_and(|end| end <= self.pages.end());
        if !inside {
            return Err(Error::BadRequest { offset, len, what: "outside the page data of the file" });
        }
        read_exact(&self.file, &self.path, buf, offset, self.len)
    }
}

/// A regular file to which the stream leads, or a copy of what comes out of it.
fn open_stream(stream: &Stream) -> Result<File, Error> {
    let name = stream.path();
    let from = stream.duplicate()?;
    let meta = from.metadata().map_err(|err| Error::io("stat", name, err))?;
    if meta.is_file() {
        return open_regular(&link_to(&from), name);
    }
    if meta.is_dir() {
        return Err(Error::NotContextFile { path: name.to_owned(), what: "it is a directory" });
    }
    let mut piece = vec![0; 1 << 16];
    let mut copy = None;
    let mut len = 0;
    loop {
        let got = stream.read(&mut piece).map_err(|err| Error::io("read", name, err))?;
        // Before anything that is not one fills the disk.
        let begin = &piece[..got.min(layout::MAGIC.len())];
        if copy.is_none() && *begin != layout::MAGIC[..begin.len()] {
            return Err(not_ours(name, &piece[..got]));
        }
        let (file, directory) = match &mut copy {
            Some(copy) => copy,
            None => copy.insert(temporary_file()?),
        };
        if got == 0 {
            return open_regular(&link_to(file), name);
        }
        file.write_all(&piece[..got])
            .map_err(|err| Error::write("copy the stream to", directory, len, err))?;
        len += got as u64;
    }
}

/// An unnamed file, and the directory that it is in.
fn temporary_file() -> Result<(File, PathBuf), Error> {
    let directory = Some(std::env::temp_dir()).filter(|dir| !dir.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| "/tmp".into());
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Error::io("create a temporary file in", &directory, errno))?;
    Ok((file.into(), directory))
}

/// The error for a file that begins with these bytes.
fn not_ours(path: &Path, bytes: &[u8]) -> Error {
    let packed = PACKED.iter().find(|(begins, _)| bytes.starts_with(begins));
    let what = packed.map_or(NOT_OURS, |(_, what)| what);
    Error::NotContextFile { path: path.to_owned(), what }
}

/// Opens `path`, which messages call `name`.
fn open_regular(path: &Path, name: &Path) -> Result<File, Error> {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::io("open", name, errno))?,
    );
    let kind = file.metadata().map_err(|err| Error::io("stat", name, err))?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "it is a directory"
        } else {
            "it is not a regular file; pass a stream on standard input, as `-`"
        };
        return Err(Error::NotContextFile { path: name.to_owned(), what });
    }
    // The description may be inherited by restored tasks, which read pages from it: no flags of
    // ours on it.
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).map_err(|errno| Error::io("open", name, errno))?;
    Ok(file)
}

fn read_header(file: &File, path: &Path, len: u64) -> Result<(Header, u64), Error> {
    let strange = |what| Error::NotContextFile { path: path.to_owned(), what };
    if len == 0 {
        return Err(strange("it is empty"));
    }
    let mut raw = [0; layout::HEADER_LEN];
    let there = usize::try_from(len).unwrap_or(usize::MAX).min(raw.len());
    read_exact(file, path, &mut raw[..there], 0, len)?;
    let magic = there.min(layout::MAGIC.len());
    if raw[..magic] != layout::MAGIC[..magic] {
        return Err(not_ours(path, &raw[..there]));
    }
    if there < raw.len() {
        return Err(Error::Truncated { len, what: "it ends inside its header" });
    }
    Ok((Header::decode(&raw)?, layout::header_sum(&raw)))
}

/// Reads the entries of the index: ascending, disjoint, between the header and the index.
fn read_index(
    file: &File,
    path: &Path,
    footer: &Footer,
    data_start: u64,
    footer_at: u64,
) -> Result<Vec<Entry>, Error> {
    let in_footer = |what: &str| Error::damaged(Section::Footer, footer_at, what);
    let in_index = |what: String| Error::damaged(Section::Index, footer.index_offset, what);
    if footer.index_offset < data_start
        || footer.index_offset.checked_add(footer.index_len) != Some(footer_at)
        || !footer.index_len.is_multiple_of(INDEX_ENTRY_LEN as u64)
        || footer.index_len > layout::MAX_SECTIONS * INDEX_ENTRY_LEN as u64
    {
        return Err(in_footer("the index has an invalid offset or length"));
    }
    let mut raw = vec![0; footer.index_len as usize];
    read_exact(file, path, &mut raw, footer.index_offset, footer_at)?;
    if xxh3_64(&raw) != footer.index_sum {
        return Err(in_index("checksum does not match".into()));
    }
    let (chunks, _) = raw.as_chunks::<INDEX_ENTRY_LEN>();
    let mut entries: Vec<Entry> = Vec::with_capacity(chunks.len());
    let mut free = data_start;
    for (number, chunk) in chunks.iter().enumerate() {
        let entry = Entry::decode(chunk);
        let end = entry.offset.checked_add(entry.len).filter(|&end| end <= footer.index_offset);
        let Some(end) = end.filter(|_| entry.offset >= free) else {
            return Err(in_index(format!("section {number} has an invalid offset or length")));
        };
        if entries.iter().any(|other| other.kind == entry.kind) {
            return Err(in_index(format!("section kind {} is listed twice", entry.kind)));
        }
        free = end;
        entries.push(entry);
    }
    Ok(entries)
}

/// Reads exactly `buf.len()` bytes; a file that shrank since it was opened is [`Error::Truncated`].
fn read_exact(file: &File, path: &Path, buf: &mut [u8], offset: u64, len: u64) -> Result<(), Error> {
    file.read_exact_at(buf, offset).map_err(|err| match err.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated { len, what: "it shrank while being read" },
        _ => Error::io("read", path, err),
    })
}

/// The bytes of one section in order, hashed as they pass.
struct SectionStream<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    hasher: Xxh3,
}

impl<'a> SectionStream<'a> {
    fn new(file: &'a File, section: &Entry) -> SectionStream<'a> {
        SectionStream { file, position: section.offset, end: section.end(), hasher: Xxh3::new() }
    }

    /// Passes over what has not been read; returns the checksum of the whole section.
    fn finish(mut self) -> io::Result<u64> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.digest())
    }
}

impl Read for SectionStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(buf.len());
        let done = self.file.read_at(&mut buf[..wanted], self.position)?;
        self.hasher.update(&buf[..done]);
        self.position += done as u64;
        Ok(done)
    }
}
