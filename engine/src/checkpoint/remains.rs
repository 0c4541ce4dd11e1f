//! What the kernel would keep of a job that was killed, in the way of its restart.

use crate::error::Result;
use crate::resource::Records;
use crate::resource::fd::Verbs;
use crate::resource::fd::description::Descriptor;
use crate::tree::Frozen;
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

/// Descriptors of ours of the objects that outlive the job ([`Verbs::outlives_job`]): their last
/// ones, once it is killed.
pub struct Remains<'a>(Vec<(&'a dyn Verbs, OwnedFd)>);

impl<'a> Remains<'a> {
    /// Duplicates a descriptor of each object. Nothing is changed.
    ///
    /// # Errors
    /// As pidfd_getfd(2).
    pub fn hold(records: &'a Records, frozen: &Frozen) -> Result<Self> {
        let seen: HashMap<i32, _> = frozen.tasks.iter().map(|task| (task.pid, task.seen())).collect();
        let (mut held, mut known) = (Vec::new(), HashSet::new());
        for (process, alive) in records.alive() {
            for fd in &alive.fds {
                let file = &records.files[fd.file];
                let verbs = records.inodes[file.inode].kind.verbs();
                if verbs.outlives_job() && known.insert(file.inode) {
                    let descriptor = Descriptor { process: seen[&process.pid], fd: fd.fd, flags: file.flags };
                    held.push((verbs, descriptor.duplicate()?));
                }
            }
        }
        Ok(Remains(held))
    }

    /// Closes them, when nobody else has them any more.
    pub fn forget(self) {
        self.0.into_iter().for_each(|(verbs, fd)| verbs.forget(fd));
    }
}
