//! What can be wrong with a context file, told apart by kind: the program maps kinds to exit codes.

use std::io;
use std::path::{Path, PathBuf};

use super::SUPPORTED_VERSION;
use super::machine::Machine;

/// A part of the file, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Header,
    Pages,
    Records,
    Checksums,
    Index,
    Footer,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Section::Header => "header",
            Section::Pages => "page data",
            Section::Records => "records",
            Section::Checksums => "page checksums",
            Section::Index => "section index",
            Section::Footer => "footer",
        })
    }
}

/// Why a context file cannot be written, read or used here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is something else altogether.
    #[error("{} is not a context file: {what}", path.display())]
    NotContextFile { path: PathBuf, what: &'static str },

    /// It begins as a context file, but its end is missing: copied halfway, or never finished.
    #[error("context file is truncated: {what} ({len} bytes present)")]
    Truncated { len: u64, what: &'static str },

    /// Bytes are not what was written. `offset` counts from the start of the file and names the
    /// place where the damaged unit (header, frame of pages, section) begins.
    #[error("context file is damaged in its {section} at offset {offset}: {what}")]
    Damaged { section: Section, offset: u64, what: String },

    /// Written in a format that came after this program.
    #[error("context file has format version {found}, but this cairn reads up to {SUPPORTED_VERSION}")]
    FutureVersion { found: u32 },

    /// The format version is known, but the file asks for abilities that came after this program.
    #[error("context file needs format features {bits:#x} that this cairn does not support")]
    FutureFeatures { bits: u64 },

    /// A kind of record is newer than this program, or unknown to it (`supported` is then 0).
    #[error(
        "context file has records of kind '{kind}' in version {found}, but this cairn reads up to {supported}"
    )]
    FutureSchema { kind: String, found: u32, supported: u32 },

    /// Taken on another architecture.
    #[error("context file was written on {found}, but this machine is {here}")]
    ForeignArch { found: Machine, here: Machine },

    /// Taken under a kernel with another page size.
    #[error("context file was written with {found}-byte pages, but this kernel has {here}-byte pages")]
    ForeignPageSize { found: u32, here: u32 },

    /// The file system is full, or the quota is used up.
    #[error("{action} {}: out of space, {written} bytes had been written", path.display())]
    NoSpace { action: &'static str, path: PathBuf, written: u64, source: io::Error },

    /// Any other failing system call; the errno is the source.
    #[error("{action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    /// Something is there that no context file may take the place of.
    #[error("{} is {what}, which a context file does not replace: {advice}", path.display())]
    Taken { path: PathBuf, what: &'static str, advice: &'static str },

    /// A record type that has no form in CBOR; an error of the program, not of the file.
    #[error("encode the records: {what}")]
    Encode { what: String },

    /// A caller's mistake: a length that is no multiple of the page size, a range outside the page
    /// data.
    #[error("page data request of {len} bytes at {offset}: {what}")]
    BadRequest { offset: u64, len: u64, what: &'static str },
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Like [`Error::io`], for calls that allocate space in the file system.
    pub(super) fn write(
        action: &'static str,
        path: &Path,
        written: u64,
        source: impl Into<io::Error>,
    ) -> Error {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { action, path: path.to_owned(), written, source }
            }
            _ => Error::io(action, path, source),
        }
    }

    pub(super) fn damaged(section: Section, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged { section, offset, what: what.into() }
    }

    /// The errno of a failed system call.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::NoSpace { source, .. } | Error::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
