//! The records section: a CBOR sequence (RFC 8742) of two items, the versions of the record kinds
//! and the records.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;

/// Names the kinds of records inside a records type, each with its schema version.
///
/// A version rises when readers of the old one would misunderstand the new; a new field that may be
/// absent (`#[serde(default)]`) does not raise it. A file with a newer version, or with a kind that
/// is not listed here, is refused, because what cannot be read would silently be missing after a
/// restart.
pub trait Schemas {
    const SCHEMAS: &'static [(&'static str, u32)];
}

impl Schemas for () {
    const SCHEMAS: &'static [(&'static str, u32)] = &[];
}

/// Versions by kind, as the file has them.
pub(super) type Versions = BTreeMap<String, u32>;

/// Writes both items.
pub(super) fn encode<R: Serialize + Schemas>(records: &R, mut to: impl Write) -> Result<(), EncodeError> {
    let versions: BTreeMap<&str, u32> = R::SCHEMAS.iter().copied().collect();
    ciborium::into_writer(&versions, &mut to)?;
    ciborium::into_writer(records, &mut to)?;
    Ok(())
}

/// A failure to encode: either the stream's or the records type's.
pub(super) type EncodeError = ciborium::ser::Error<io::Error>;

/// Why the section was not understood.
pub(super) enum DecodeError {
    Io(io::Error),
    Future(Error),
    Malformed(String),
}

impl From<ciborium::de::Error<io::Error>> for DecodeError {
    fn from(err: ciborium::de::Error<io::Error>) -> DecodeError {
        match err {
            // The section ends in the middle of an item.
            ciborium::de::Error::Io(err) if err.kind() == io::ErrorKind::UnexpectedEof => {
                DecodeError::Malformed("a record is truncated".into())
            }
            ciborium::de::Error::Io(err) => DecodeError::Io(err),
            ciborium::de::Error::Syntax(at) => DecodeError::Malformed(format!("invalid CBOR at byte {at}")),
            ciborium::de::Error::Semantic(_, what) => DecodeError::Malformed(what),
            ciborium::de::Error::RecursionLimitExceeded => DecodeError::Malformed("nested too deeply".into()),
        }
    }
}

/// Reads the first item only.
pub(super) fn decode_versions(mut from: impl Read) -> Result<Versions, DecodeError> {
    Ok(ciborium::from_reader(&mut from)?)
}

/// Reads both items and the end of the section after them.
pub(super) fn decode<R: DeserializeOwned + Schemas>(mut from: impl Read) -> Result<R, DecodeError> {
    for (kind, found) in decode_versions(&mut from)? {
        let supported =
            R::SCHEMAS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, version)| *version);
        if found > supported {
            return Err(DecodeError::Future(Error::FutureSchema { kind, found, supported }));
        }
    }
    let records = ciborium::from_reader(&mut from)?;
    match from.read(&mut [0]) {
        Ok(0) => Ok(records),
        Ok(_) => Err(DecodeError::Malformed("trailing bytes after the records".into())),
        Err(err) => Err(DecodeError::Io(err)),
    }
}
