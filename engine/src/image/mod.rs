//! The context file: header, page data, records, page checksums, index, footer.
//!
//! The container knows nothing of what it holds: records are any serde type that names the versions
//! of its record kinds ([`Schemas`]), page data are whole pages. `docs/context-file.md` describes
//! every byte.
//!
//! - [`Writer`] builds a file beside its final name and gives it that name only when it is whole.
//!   Many threads may append pages at once through [`PageSink`].
//! - [`Reader`] trusts nothing: arbitrary bytes give an [`Error`], never a panic or an allocation
//!   that the length of the file does not justify. Opening a file reads header, footer and index
//!   only.
//!
//! Invariants: nothing is ever rewritten, so the layout also suits a stream; frames tile the page
//! data without gaps, so that verifying them verifies every byte.

mod digest;
mod error;
mod layout;
mod location;
mod machine;
mod pending;
mod reader;
mod records;
mod stream;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use digest::{Absent, Digest, Extent};
pub use error::{Error, Section};
pub use layout::{Frame, FrameSum, Header, MAX_FRAME, Origin};
pub use location::Location;
pub use machine::Machine;
pub use pending::remove_partial;
pub use reader::Reader;
pub use records::Schemas;
pub use stream::Stream;
pub use writer::{Appended, PageSink, Sync, Writer, Written};

/// The newest format version that this program reads, and the one it writes.
pub const SUPPORTED_VERSION: u32 = 1;
