//! Where the state of a target is read from: its threads, by ptrace(2), or the kernel module.

use crate::error::{Context, Error, Result};
use crate::image::FrameSum;
use crate::sys::kmod::{
    DEVICE, Device, FEATURE_CAPABILITY, FEATURE_CONTINUE, FEATURE_FREEZE, FEATURE_SAVE, FEATURE_SETTINGS,
};
use rustix::process::{dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, capabilities};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The source requested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The module if it is loaded and has all features, otherwise ptrace(2).
    #[default]
    Auto,
    /// ptrace
    Ptrace,
    /// The module
    Kmod,
}

/// The source used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// ptrace and /proc
    Ptrace,
    /// The module and /proc
    Kmod,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Ptrace => "ptrace",
            Source::Kmod => "the kernel module",
        })
    }
}

impl Source {
    /// The source of an attempt with this device, or without one.
    pub fn of(device: Option<&Arc<Device>>) -> Self {
        if device.is_some() { Source::Kmod } else { Source::Ptrace }
    }

    /// The checksum of page data; the module computes its own while it writes them.
    pub fn frame_sum(self) -> FrameSum {
        match self {
            Source::Ptrace => FrameSum::Xxh3,
            Source::Kmod => FrameSum::Xxh64,
        }
    }
}

impl Wanted {
    /// Makes an attempt with the requested source. [`Wanted::Auto`] tries the module first, and
    /// ptrace(2) if the module is not available or the attempt is refused as *unsupported*. A
    /// failed attempt must leave the target as it was.
    ///
    /// # Errors
    /// Those of the last attempt; with [`Wanted::Kmod`], that the module is not loaded or cannot
    /// hold threads.
    pub fn attempt<T>(self, mut attempt: impl FnMut(Option<Arc<Device>>) -> Result<T>) -> Result<T> {
        const ENOUGH: u64 = FEATURE_FREEZE | FEATURE_SAVE | FEATURE_SETTINGS;
        let module = || open(ENOUGH, "hold threads, read their settings and save memory").map(Arc::new);
        match self {
            Wanted::Ptrace => attempt(None),
            Wanted::Kmod => attempt(Some(module()?)),
            Wanted::Auto => match module().map(|device| attempt(Some(device))) {
                Err(_) | Ok(Err(Error::Unsupported(_))) => attempt(None),
                Ok(other) => other,
            },
        }
    }
}

/// Opens a session with the module, if that has the given features.
fn open(features: u64, what: &str) -> Result<Device> {
    let device = Device::open().context(|| format!("open {DEVICE}"))?;
    let about = device.info().context(|| format!("query {DEVICE}"))?;
    if !about.is_spoken() {
        return Err(Error::unsupported(format!(
            "the kernel module has ABI {}, which this cairn does not support",
            about.abi_version
        )));
    }
    if about.features & features != features {
        return Err(Error::unsupported(format!("the kernel module cannot {what} on this kernel")));
    }
    Ok(device)
}

/// The module, if it can resume sleeps.
pub fn continuing() -> Option<Device> {
    open(FEATURE_CONTINUE, "resume sleeps").ok()
}

/// Ensures that this thread, and those it starts, may choose PIDs and follow `/proc/PID/map_files`:
/// both take CAP_CHECKPOINT_RESTORE (capabilities(7)), which the module grants to those who may
/// open its device.
///
/// # Errors
/// *denied* when we neither have the privilege nor get it from the module.
pub fn acquire_checkpoint_capability() -> Result<()> {
    let enough = CapabilitySet::CHECKPOINT_RESTORE | CapabilitySet::SYS_ADMIN;
    let own = capabilities(None).context(|| "read own capabilities")?;
    if own.effective.intersects(enough) {
        return Ok(());
    }
    from_module().map_err(|why| {
        let what = format!(
            "choose PIDs and follow /proc/PID/map_files: run the command with `sudo` (it needs CAP_CHECKPOINT_RESTORE), or install the kernel module, which permits it to users who may open {DEVICE} ({why})"
        );
        Error::Denied { what, source: std::io::Error::from_raw_os_error(libc::EPERM) }
    })
}

fn from_module() -> Result<()> {
    let device = open(FEATURE_CAPABILITY, "let users restart")?;
    let before = dumpable_behavior().context(|| "read own dumpable attribute")?;
    device.acquire_checkpoint_capability().context(|| "get CAP_CHECKPOINT_RESTORE from the module")?;
    // An undumpable process can neither trace its children nor write to their /proc files.
    set_dumpable_behavior(before).context(|| "set own dumpable attribute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_module_ptrace_is_used_unless_it_is_insisted_on() {
        if std::path::Path::new(DEVICE).exists() {
            return;
        }
        let mut seen = Vec::new();
        let mut attempt = |device: Option<Arc<Device>>| {
            seen.push(device.is_some());
            Ok(Source::of(device.as_ref()))
        };
        assert_eq!(Wanted::Auto.attempt(&mut attempt).unwrap(), Source::Ptrace);
        assert_eq!(Wanted::Ptrace.attempt(&mut attempt).unwrap(), Source::Ptrace);
        assert!(Wanted::Kmod.attempt(&mut attempt).is_err());
        assert_eq!(seen, [false, false]);
    }
}
