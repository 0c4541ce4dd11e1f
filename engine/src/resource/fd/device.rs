//! Character devices without state: null, zero, full, random and urandom.

use super::inode::Observed;
use super::terminal::REFUSAL;
use super::unlinked::Unnamed;
use super::{Kind, Verbs};
use crate::error::{External, Result};
use crate::sys::file::device_numbers;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Identifies the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Major and minor number.
    pub rdev: (u32, u32),
}

impl Device {
    fn of(meta: &Metadata) -> Self {
        Device { rdev: device_numbers(meta.rdev()) }
    }
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    if !seen.has_path() || !seen.meta.file_type().is_char_device() {
        return None;
    }
    let device = Device::of(&seen.meta);
    // Documentation/admin-guide/devices.txt: major 1 is memory devices; these five have no state.
    Some(match device.rdev {
        (1, 3 | 5 | 7 | 8 | 9) => Ok(Kind::Device(device)),
        // The master of a pseudo-terminal, the console.
        (5, _) => Err(seen.refuse_external(External::Terminal, REFUSAL)),
        _ => Err(seen.refuse_kind("a character device")),
    })
}

impl Verbs for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn file_type(&self) -> u32 {
        libc::S_IFCHR
    }

    fn check_path(&self, meta: &Metadata) -> Result<(), String> {
        let (was, here) = (self.rdev, Device::of(meta).rdev);
        if here == was {
            return Ok(());
        }
        Err(format!("is now device {}:{}, but was {}:{}", here.0, here.1, was.0, was.1))
    }

    fn unlinked(&self) -> Result<Unnamed, &'static str> {
        Err("an unlinked device node")
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[];
