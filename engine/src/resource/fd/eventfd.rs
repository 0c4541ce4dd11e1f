//! eventfd(2): a counter for event notification.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Once, Verbs, Way};
use crate::error::{Context, Error, Problem, Result};
use crate::sys::guard;
use rustix::event::EventfdFlags;
use rustix::io::ReadWriteFlags;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};

/// The state of an eventfd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eventfd {
    /// Counter value.
    pub count: u64,
    /// A read decrements by one (`EFD_SEMAPHORE`) instead of resetting to 0.
    pub semaphore: bool,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    // Not numbered as `anon_inode:[eventfd-ID]` in any kernel so far; the prefix allows for that.
    seen.link.0.starts_with(b"anon_inode:[eventfd").then(|| Ok(Kind::Eventfd(Eventfd::default())))
}

impl Verbs for Eventfd {
    fn name(&self) -> &'static str {
        "eventfd"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let info = descriptor.info()?;
        let unknown =
            || Error::unsupported(format!("{}: cannot read the state of an eventfd", descriptor.at()));
        self.count = info
            .field("eventfd-count")
            .and_then(|count| u64::from_str_radix(count, 16).ok())
            .ok_or_else(unknown)?;
        if self.count == u64::MAX {
            let why = " is an eventfd whose counter has overflowed; read it first";
            return Err(Error::unsupported(Problem::of(descriptor.at(), why)));
        }
        // Since Linux 6.5 (33d8b5d78264).
        self.semaphore = match info.field("eventfd-semaphore") {
            Some(flag) => flag != "0",
            None => {
                let fd = descriptor.duplicate()?;
                try_semaphore(fd.as_fd(), self.count)
                    .context(|| format!("{}: probe for semaphore mode", descriptor.at()))?
            }
        };
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        if self.count == u64::MAX { Err("an eventfd whose counter has overflowed".into()) } else { Ok(()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let mut flags = EventfdFlags::CLOEXEC;
        flags.set(EventfdFlags::SEMAPHORE, self.semaphore);
        let fd = rustix::event::eventfd(0, flags).context(|| "make eventfd")?;
        if self.count != 0 {
            rustix::io::write(&fd, &self.count.to_ne_bytes()).context(|| "set count of eventfd")?;
        }
        Ok(Box::new(Once::new(fd)))
    }
}

/// Probes by reading whether a read takes one or all. The counter is `count` again afterwards even
/// if we are killed, because a child does it.
fn try_semaphore(fd: BorrowedFd<'_>, count: u64) -> io::Result<bool> {
    const PLAIN: u8 = 0;
    const SEMAPHORE: u8 = 1;
    const FAILED: u8 = 2;
    let attempt = || match is_semaphore(fd, count) {
        Ok(true) => SEMAPHORE,
        Ok(false) => PLAIN,
        Err(_) => FAILED,
    };
    match guard::in_child(attempt)? {
        PLAIN => Ok(false),
        SEMAPHORE => Ok(true),
        _ => Err(io::Error::other("its counter does not change as expected")),
    }
}

fn is_semaphore(fd: BorrowedFd<'_>, count: u64) -> io::Result<bool> {
    let read = || -> io::Result<u64> {
        let mut word = [0; 8];
        // Current position: an eventfd has no file offset.
        rustix::io::preadv2(fd, &mut [IoSliceMut::new(&mut word)], u64::MAX, ReadWriteFlags::NOWAIT)?;
        Ok(u64::from_ne_bytes(word))
    };
    let write = |value: u64| rustix::io::write(fd, &value.to_ne_bytes()).map(drop);
    if count > 1 {
        let taken = read()?;
        write(taken)?;
        return Ok(taken == 1);
    }
    // Below two, one and all cannot be distinguished.
    if count == 1 {
        read()?;
    }
    write(2)?;
    let is_semaphore = read()? == 1;
    if is_semaphore {
        read()?;
    }
    if count == 1 {
        write(1)?;
    }
    Ok(is_semaphore)
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[crate::resource::fault::Fault {
    name: "eventfd-count-lost",
    what: "the counters of eventfds are 0",
    commit: |r| {
        for inode in &mut r.inodes {
            if let Kind::Eventfd(eventfd) = &mut inode.kind {
                eventfd.count = 0;
            }
        }
    },
}];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    fn a_semaphore_is_told_from_a_counter(
        #[values(0, 1, 2, 7, u64::MAX - 1)] count: u64,
        #[values(false, true)] semaphore: bool,
    ) {
        let eventfd = Eventfd { count, semaphore };
        let way = |_| -> Result<std::os::fd::OwnedFd> { unreachable!("it has no path") };
        let inode = super::super::inode::Inode {
            path: Default::default(),
            kind: Kind::Eventfd(eventfd.clone()),
            identity: None,
            unlinked: None,
        };
        let undo = std::cell::RefCell::default();
        let way = Way::new(&inode, &[], &undo, &way);
        let fd = eventfd.make(&way).unwrap().open(&way, libc::O_RDWR).unwrap();
        assert_eq!(try_semaphore(fd.as_fd(), count).unwrap(), semaphore);
        let mut left = [0; 8];
        rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::NONBLOCK).unwrap();
        let read = rustix::io::read(&fd, &mut left);
        let expected = if semaphore { count.min(1) } else { count };
        assert_eq!((read.is_ok(), u64::from_ne_bytes(left)), (count > 0, expected));
    }
}
