//! The bytes of header, checksum table, section index and footer. Pure: bytes in, values out.
//!
//! `docs/context-file.md` is the reference for other readers; a test keeps its worked example true.
//! Every number is little-endian and of fixed size, so that nothing depends on the word size or
//! byte order of the machine.

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh64::xxh64;

use super::SUPPORTED_VERSION;
use super::error::{Error, Section};
use super::machine::Machine;

/// The first eight bytes. The first is no ASCII and the last two show a transfer that rewrote line
/// ends.
pub const MAGIC: [u8; 8] = *b"\x89CAIRN\r\n";
/// The last eight bytes.
pub const END_MAGIC: [u8; 8] = *b"CAIRNEND";
/// Feature bits that this program understands among those that a reader must understand.
pub const KNOWN_FEATURES: u64 = FEATURE_XXH64;
/// Required feature: page data are summed with XXH64, not with XXH3.
pub const FEATURE_XXH64: u64 = 1 << 0;
/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 4096;
/// Length of the footer, in bytes.
pub const FOOTER_LEN: usize = 64;
/// Length of one entry of the section index, in bytes.
pub const INDEX_ENTRY_LEN: usize = 32;
/// Length of one entry of the page checksum table, in bytes.
pub const FRAME_ENTRY_LEN: usize = 24;
/// The most bytes of page data that one checksum covers.
pub const MAX_FRAME: usize = 1 << 20;
/// The most sections an index may name.
pub const MAX_SECTIONS: u64 = 64;
/// Sections, checksum table and index begin at multiples of this.
pub const ALIGN: u64 = 8;

/// Section kinds as the index has them.
pub const KIND_PAGES: u32 = 1;
pub const KIND_RECORDS: u32 = 2;
pub const KIND_CHECKSUMS: u32 = 3;

const VERSION_TEXT: std::ops::Range<usize> = 64..128;
const RELEASE_TEXT: std::ops::Range<usize> = 128..256;
const HEADER_SUM: usize = HEADER_LEN - 8;

/// What a frame's checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSum {
    /// XXH3 with 64 bits: the fastest in user space.
    Xxh3,
    /// XXH64: the one that kernels have.
    Xxh64,
}

impl FrameSum {
    /// The checksum of a frame.
    pub fn of(self, bytes: &[u8]) -> u64 {
        match self {
            FrameSum::Xxh3 => xxh3_64(bytes),
            FrameSum::Xxh64 => xxh64(bytes, 0),
        }
    }

    fn feature(self) -> u64 {
        match self {
            FrameSum::Xxh3 => 0,
            FrameSum::Xxh64 => FEATURE_XXH64,
        }
    }
}

/// Where a context file comes from: what its header tells besides the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub machine: Machine,
    /// Bytes, a power of two
    pub page_size: u32,
    /// Nanoseconds since 1970-01-01 UTC
    pub created_ns: u64,
    /// Version of the program that writes; at most 64 bytes, longer ones are cut.
    pub cairn_version: String,
    /// `uname -r`; at most 128 bytes, longer ones are cut.
    pub kernel_release: String,
}

impl Origin {
    /// This machine, this kernel, now.
    pub fn here() -> Origin {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(std::time::Duration::ZERO);
        Origin {
            machine: Machine::here(),
            page_size: page_size_here(),
            created_ns: since.as_nanos().try_into().unwrap_or(u64::MAX),
            cairn_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

/// The page size of the running kernel, bytes.
pub(super) fn page_size_here() -> u32 {
    u32::try_from(rustix::param::page_size()).expect("a page size fits in 32 bits")
}

/// True for page sizes that the format admits: powers of two from 4 KiB up to a frame.
pub(super) fn page_size_is_valid(page_size: u32) -> bool {
    page_size.is_power_of_two() && (4096..=MAX_FRAME as u32).contains(&page_size)
}

/// The header of a context file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Format version of the file.
    pub version: u32,
    pub machine: Machine,
    /// Bytes
    pub page_size: u32,
    /// Nanoseconds since 1970-01-01 UTC
    pub created_ns: u64,
    pub cairn_version: String,
    pub kernel_release: String,
    /// Feature bits without which the file cannot be understood; a reader refuses unknown ones.
    pub required_features: u64,
    /// Feature bits that a reader may ignore.
    pub optional_features: u64,
}

impl Header {
    pub(super) fn new(origin: &Origin, sums: FrameSum) -> Header {
        Header {
            version: SUPPORTED_VERSION,
            machine: origin.machine,
            page_size: origin.page_size,
            created_ns: origin.created_ns,
            cairn_version: text(fitting(&origin.cairn_version, VERSION_TEXT.len())),
            kernel_release: text(fitting(&origin.kernel_release, RELEASE_TEXT.len())),
            required_features: sums.feature(),
            optional_features: 0,
        }
    }

    /// What the checksums of the page data are.
    pub fn frame_sum(&self) -> FrameSum {
        if self.required_features & FEATURE_XXH64 != 0 { FrameSum::Xxh64 } else { FrameSum::Xxh3 }
    }

    /// Offset of the page data: the first page boundary after the header.
    pub fn data_start(&self) -> u64 {
        (HEADER_LEN as u64).next_multiple_of(u64::from(self.page_size))
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut raw = [0u8; HEADER_LEN];
        raw[..8].copy_from_slice(&MAGIC);
        put_u32(&mut raw, 8, self.version);
        put_u32(&mut raw, 12, HEADER_LEN as u32);
        raw[16..18].copy_from_slice(&self.machine.e_machine.to_le_bytes());
        raw[18] = self.machine.class;
        raw[19] = self.machine.data;
        put_u32(&mut raw, 20, self.page_size);
        put_u64(&mut raw, 24, self.created_ns);
        put_u64(&mut raw, 32, self.required_features);
        put_u64(&mut raw, 40, self.optional_features);
        put_text(&mut raw[VERSION_TEXT], &self.cairn_version);
        put_text(&mut raw[RELEASE_TEXT], &self.kernel_release);
        let sum = xxh3_64(&raw[..HEADER_SUM]);
        put_u64(&mut raw, HEADER_SUM, sum);
        raw
    }

    /// Reads a header whose magic has been checked.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::FutureVersion`], [`Error::FutureFeatures`]. The place of magic,
    /// version and checksum is the same in every version, so a damaged version number is not
    /// mistaken for a future one.
    pub(super) fn decode(raw: &[u8; HEADER_LEN]) -> Result<Header, Error> {
        let damaged = |what: String| Error::damaged(Section::Header, 0, what);
        if get_u64(raw, HEADER_SUM) != xxh3_64(&raw[..HEADER_SUM]) {
            return Err(damaged("checksum does not match".into()));
        }
        let version = get_u32(raw, 8);
        if version > SUPPORTED_VERSION {
            return Err(Error::FutureVersion { found: version });
        }
        if version == 0 {
            return Err(damaged("format version is 0".into()));
        }
        let required_features = get_u64(raw, 32);
        if required_features & !KNOWN_FEATURES != 0 {
            return Err(Error::FutureFeatures { bits: required_features & !KNOWN_FEATURES });
        }
        if get_u32(raw, 12) as usize != HEADER_LEN {
            return Err(damaged(format!("header length is {}", get_u32(raw, 12))));
        }
        let page_size = get_u32(raw, 20);
        if !page_size_is_valid(page_size) {
            return Err(damaged(format!("page size is {page_size}")));
        }
        Ok(Header {
            version,
            machine: Machine {
                e_machine: u16::from_le_bytes([raw[16], raw[17]]),
                class: raw[18],
                data: raw[19],
            },
            page_size,
            created_ns: get_u64(raw, 24),
            cairn_version: text(&raw[VERSION_TEXT]),
            kernel_release: text(&raw[RELEASE_TEXT]),
            required_features,
            optional_features: get_u64(raw, 40),
        })
    }
}

/// The checksum that a header carries; the footer repeats it.
pub(super) fn header_sum(raw: &[u8; HEADER_LEN]) -> u64 {
    get_u64(raw, HEADER_SUM)
}

/// One checksummed stretch of page data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Bytes from the start of the file
    pub offset: u64,
    /// Bytes, at most [`MAX_FRAME`]
    pub len: u32,
    /// Of the bytes, see [`FrameSum`]
    pub sum: u64,
}

impl Frame {
    pub(super) fn encode(&self) -> [u8; FRAME_ENTRY_LEN] {
        let mut raw = [0; FRAME_ENTRY_LEN];
        put_u64(&mut raw, 0, self.offset);
        put_u32(&mut raw, 8, self.len);
        put_u64(&mut raw, 16, self.sum);
        raw
    }

    pub(super) fn decode(raw: &[u8; FRAME_ENTRY_LEN]) -> Frame {
        Frame { offset: get_u64(raw, 0), len: get_u32(raw, 8), sum: get_u64(raw, 16) }
    }
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: u32,
    /// Bytes from the start of the file
    pub offset: u64,
    /// Bytes
    pub len: u64,
    /// xxh3-64 of the section; 0 for the page data, which the checksum table covers.
    pub sum: u64,
}

impl Entry {
    pub(super) fn encode(&self) -> [u8; INDEX_ENTRY_LEN] {
        let mut raw = [0; INDEX_ENTRY_LEN];
        put_u32(&mut raw, 0, self.kind);
        put_u64(&mut raw, 8, self.offset);
        put_u64(&mut raw, 16, self.len);
        put_u64(&mut raw, 24, self.sum);
        raw
    }

    pub(super) fn decode(raw: &[u8; INDEX_ENTRY_LEN]) -> Entry {
        Entry { kind: get_u32(raw, 0), offset: get_u64(raw, 8), len: get_u64(raw, 16), sum: get_u64(raw, 24) }
    }

    /// One past the last byte; entries that a reader accepted cannot overflow.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// The last bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    pub index_offset: u64,
    pub index_len: u64,
    pub index_sum: u64,
    /// Length of the whole file, bytes
    pub total_len: u64,
    /// The header's checksum again: both ends belong to one file.
    pub header_sum: u64,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut raw = [0; FOOTER_LEN];
        put_u64(&mut raw, 0, self.index_offset);
        put_u64(&mut raw, 8, self.index_len);
        put_u64(&mut raw, 16, self.index_sum);
        put_u64(&mut raw, 24, self.total_len);
        put_u64(&mut raw, 32, self.header_sum);
        let sum = xxh3_64(&raw[..48]);
        put_u64(&mut raw, 48, sum);
        raw[56..].copy_from_slice(&END_MAGIC);
        raw
    }

    /// Reads the footer of a file of `len` bytes.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the end mark is not there, [`Error::Damaged`] otherwise.
    pub(super) fn decode(raw: &[u8; FOOTER_LEN], len: u64) -> Result<Footer, Error> {
        let damaged =
            |what: &str| Err(Error::damaged(Section::Footer, len.saturating_sub(FOOTER_LEN as u64), what));
        if raw[56..] != END_MAGIC {
            return Err(Error::Truncated { len, what: "the end marker is missing" });
        }
        if get_u64(raw, 48) != xxh3_64(&raw[..48]) {
            return damaged("checksum does not match");
        }
        let footer = Footer {
            index_offset: get_u64(raw, 0),
            index_len: get_u64(raw, 8),
            index_sum: get_u64(raw, 16),
            total_len: get_u64(raw, 24),
            header_sum: get_u64(raw, 32),
        };
        if footer.total_len > len {
            return Err(Error::Truncated { len, what: "it is shorter than its footer says" });
        }
        if footer.total_len < len {
            return damaged("the file is longer than its footer says");
        }
        Ok(footer)
    }
}

fn put_u32(raw: &mut [u8], at: usize, value: u32) {
    raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(raw: &mut [u8], at: usize, value: u64) {
    raw[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get_u32(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(raw[at..at + 4].try_into().expect("four bytes"))
}

fn get_u64(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes"))
}

/// As many whole characters of `value` as fit in `room` bytes.
fn fitting(value: &str, room: usize) -> &[u8] {
    &value.as_bytes()[..value.floor_char_boundary(room)]
}

fn put_text(field: &mut [u8], value: &str) {
    let bytes = fitting(value, field.len());
    field[..bytes.len()].copy_from_slice(bytes);
}

/// Text of a field: up to the first NUL. Bytes that are no UTF-8 become the replacement character.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
