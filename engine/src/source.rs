//! Where the state of a target comes from: its threads, made to tell by ptrace, or the kernel module.

use crate::error::{Context, Error, Result};
use crate::sys::kmod::{DEVICE, Device, FEATURE_CONTINUE, FEATURE_HOLD};
use serde::Serialize;
use std::sync::Arc;

/// Which source is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The module where it is there and knows everything, ptrace elsewhere.
    #[default]
    Auto,
    /// ptrace
    Ptrace,
    /// The module
    Kmod,
}

/// Which source was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// ptrace and /proc
    Ptrace,
    /// The module and /proc
    Kmod,
}

impl Source {
    /// That of an attempt with this device, or with none.
    pub fn of(device: Option<&Arc<Device>>) -> Self {
        if device.is_some() { Source::Kmod } else { Source::Ptrace }
    }
}

impl Wanted {
    /// Makes an attempt with the module, when it is wanted and there, or with ptrace; with ptrace again, when the module is not insisted
    /// on and cannot tell everything. An attempt that fails must leave the target as it was.
    ///
    /// # Errors
    /// Those of the last attempt; when the module is insisted on, that it is not there or cannot hold threads.
    pub fn attempt<T>(self, mut attempt: impl FnMut(Option<Arc<Device>>) -> Result<T>) -> Result<T> {
        let module = || open(FEATURE_HOLD, "hold threads").map(Arc::new);
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

/// A session with the module, when that has a feature.
fn open(feature: u64, what: &str) -> Result<Device> {
    let device = Device::open().context(|| format!("open {DEVICE}"))?;
    let about = device.about().context(|| format!("ask {DEVICE}"))?;
    if !about.is_spoken() {
        return Err(Error::unsupported(format!(
            "the kernel module speaks ABI {}, which this cairn does not",
            about.abi_version
        )));
    }
    if about.features & feature == 0 {
        return Err(Error::unsupported(format!("the kernel module cannot {what} on this kernel")));
    }
    Ok(device)
}

/// The module, when it can have threads go on with a sleep.
pub fn continuing() -> Option<Device> {
    open(FEATURE_CONTINUE, "go on with sleeps").ok()
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
