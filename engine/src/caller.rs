//! What an operation of the engine changes of the process and thread that call it.

use crate::error::{Context, Result};
use crate::sys;
use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySets, capabilities, set_capabilities};
use std::marker::PhantomData;

/// The state of the caller, restored when dropped: signal mask and capabilities of the thread,
/// RLIMIT_NOFILE and the subreaper attribute of the process.
pub struct CallerState {
    mask: SigSet,
    capabilities: CapabilitySets,
    descriptors: Rlimit,
    subreaper: bool,
    /// Half of it belongs to the thread.
    thread: PhantomData<*const ()>,
}

impl CallerState {
    /// Reads the state.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn save() -> Result<Self> {
        Ok(CallerState {
            mask: SigSet::thread_get_mask()
                .map_err(std::io::Error::from)
                .context(|| "read own signal mask")?,
            capabilities: capabilities(None).context(|| "read own capabilities")?,
            descriptors: getrlimit(Resource::Nofile),
            subreaper: sys::is_subreaper().context(|| "read own subreaper attribute")?,
            thread: PhantomData,
        })
    }
}

impl Drop for CallerState {
    fn drop(&mut self) {
        // A mask that the kernel returned is valid; the others only give up what was gained.
        let _ = self.mask.thread_set_mask();
        if capabilities(None).is_ok_and(|now| now != self.capabilities) {
            let _ = set_capabilities(None, self.capabilities);
        }
        if getrlimit(Resource::Nofile) != self.descriptors {
            let _ = setrlimit(Resource::Nofile, self.descriptors);
        }
        let _ = sys::set_subreaper(self.subreaper);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wait;

    #[test]
    fn the_caller_is_as_it_was() {
        let now = || {
            (SigSet::thread_get_mask().unwrap(), getrlimit(Resource::Nofile), sys::is_subreaper().unwrap())
        };
        let before = now();
        let state = CallerState::save().unwrap();
        wait::block_sigchld();
        sys::set_subreaper(true).unwrap();
        let lower = Rlimit { current: Some(64), ..before.1 };
        setrlimit(Resource::Nofile, lower).unwrap();
        assert_ne!(now().0, before.0);
        drop(state);
        assert_eq!(now(), before);
    }
}
