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

impl Wanted {
    /// Makes an attempt with the module, when it is wanted and there, or with ptrace; with ptrace again, when the module is not insisted
    /// on and cannot tell everything. An attempt that fails must leave the target as it was.
    ///
    /// # Errors
    /// Those of the last attempt; when the module is insisted on, that it is not there or cannot hold threads.
    pub fn attempt<T>(
        self,
        mut attempt: impl FnMut(Option<Arc<Device>>) -> Result<T>,
    ) -> Result<(T, Source)> {
        let by_ptrace = |attempt: &mut dyn FnMut(Option<Arc<Device>>) -> Result<T>| {
            attempt(None).map(|done| (done, Source::Ptrace))
        };
        match self {
            Wanted::Ptrace => by_ptrace(&mut attempt),
            Wanted::Kmod => attempt(Some(open()?)).map(|done| (done, Source::Kmod)),
            Wanted::Auto => match open().map(|device| attempt(Some(device))) {
                Ok(Ok(done)) => Ok((done, Source::Kmod)),
                Err(_) | Ok(Err(Error::Unsupported(_))) => by_ptrace(&mut attempt),
                Ok(Err(err)) => Err(err),
            },
        }
    }
}

/// A session with the module, when that can do all it has to.
fn open() -> Result<Arc<Device>> {
    let device = Device::open().context(|| format!("open {DEVICE}"))?;
    let about = device.about().context(|| format!("ask {DEVICE}"))?;
    if !about.is_spoken() {
        return Err(Error::unsupported(format!(
            "the kernel module speaks ABI {}, which this cairn does not",
            about.abi_version
        )));
    }
    if about.features & FEATURE_HOLD == 0 {
        return Err(Error::unsupported("the kernel module cannot hold threads on this kernel"));
    }
    Ok(Arc::new(device))
}

/// The module, when it can have threads go on with a sleep.
pub fn continuing() -> Option<Device> {
    let device = Device::open().ok()?;
    let about = device.about().ok()?;
    (about.is_spoken() && about.features & FEATURE_CONTINUE != 0).then_some(device)
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
            Ok(())
        };
        assert_eq!(Wanted::Auto.attempt(&mut attempt).unwrap(), ((), Source::Ptrace));
        assert_eq!(Wanted::Ptrace.attempt(&mut attempt).unwrap(), ((), Source::Ptrace));
        assert!(Wanted::Kmod.attempt(&mut attempt).is_err());
        assert_eq!(seen, [false, false]);
    }
}
