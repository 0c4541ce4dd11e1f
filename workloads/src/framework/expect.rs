//! Comparison of actual and expected values, with errors that show the difference.

use super::Outcome;
use anyhow::{anyhow, bail};
use std::fmt::Debug;
use std::panic::Location;

/// `what` must equal `want`.
///
/// # Errors
/// Both values, when they differ.
#[track_caller]
pub fn expect_eq<A: Debug + PartialEq<B>, B: Debug>(what: &str, got: A, want: B) -> Outcome {
    if got == want {
        return Ok(());
    }
    bail!("{what}: got {got:x?}, want {want:x?} ({})", Location::caller())
}

/// `holds` must be true; `what` describes the failure otherwise.
///
/// # Errors
/// `what`, and the line of the caller.
#[track_caller]
pub fn expect(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(anyhow!("{} ({})", what(), Location::caller())) }
}

/// Two byte strings must be equal.
///
/// # Errors
/// The lengths, the first offset that differs and how many do.
#[track_caller]
pub fn expect_bytes(what: &str, got: &[u8], want: &[u8]) -> Outcome {
    if got == want {
        return Ok(());
    }
    let at = Location::caller();
    if got.len() != want.len() {
        bail!("{what}: got {} bytes, want {} bytes ({at})", got.len(), want.len());
    }
    let differing = got.iter().zip(want).filter(|(a, b)| a != b).count();
    let first = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(0);
    let end = (first + 16).min(got.len());
    bail!(
        "{what}: {differing} of {} bytes differ, first at offset {first:#x}: got {:02x?}, want {:02x?} ({at})",
        got.len(),
        &got[first..end],
        &want[first..end]
    )
}
