//! signalfd(2): the pending signals of whoever reads it, from a set.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Once, Verbs, Way};
use crate::error::{Context, Error, Result};
use crate::sys::signals;
use serde::{Deserialize, Serialize};

/// The state of a signalfd. The signals that it returns are those of processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalfd {
    /// The set, signal n as bit n - 1.
    pub mask: u64,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == b"anon_inode:[signalfd]").then(|| Ok(Kind::Signalfd(Signalfd::default())))
}

impl Verbs for Signalfd {
    fn name(&self) -> &'static str {
        "signalfd"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let info = descriptor.info()?;
        let mask = info.field("sigmask").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        let unknown =
            || Error::unsupported(format!("{}: cannot read the set of a signalfd", descriptor.at()));
        self.mask = mask.ok_or_else(unknown)?;
        Ok(())
    }

    /// A watch waits for signals of the process that adds it (`signalfd_poll` in fs/signalfd.c).
    fn depends_on_watcher(&self) -> bool {
        true
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let fd = signals::signalfd(self.mask).context(|| "make signalfd")?;
        Ok(Box::new(Once::new(fd)))
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[crate::resource::fault::Fault {
    name: "signalfd-mask-lost",
    what: "signalfds return no signal",
    commit: |r| {
        for inode in &mut r.inodes {
            if let Kind::Signalfd(signalfd) = &mut inode.kind {
                signalfd.mask = 0;
            }
        }
    },
}];
