//! What a planted fault is. Only in builds with the feature `planted-faults`.

use super::Records;

/// A fault.
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Commits it.
    pub commit: fn(&mut Records),
}
