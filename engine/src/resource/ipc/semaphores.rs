//! System V semaphores, sem_overview(7)'s older kind: a set with an id (semop(2)).

use super::{Object, Permissions};
use crate::error::{Context, Result};
use crate::sys::sysv::{self, SemaphoresStat};
use serde::{Deserialize, Serialize};
use std::io;

/// A set of semaphores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Semaphores {
    /// Id, owner and permissions.
    pub permissions: Permissions,
    /// The value of each.
    pub values: Vec<u16>,
}

impl Semaphores {
    /// Reads a set.
    ///
    /// # Errors
    /// As semctl(2): *denied* without read permission.
    pub fn capture(id: i32) -> Result<Self> {
        let what = || format!("read System V semaphores {id}");
        let permissions = Permissions::of(id, &sysv::semaphores(id).context(what)?.permissions);
        Ok(Semaphores { permissions, values: sysv::values(id).context(what)? })
    }
}

impl Object for Semaphores {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    fn kind(&self) -> (&'static str, &'static str) {
        ("semaphores", "-s")
    }

    fn find(&self, id: i32) -> io::Result<(sysv::Permissions, Option<String>)> {
        let SemaphoresStat { permissions, count, .. } = sysv::semaphores(id)?;
        let wanted = self.values.len();
        if count != wanted {
            return Ok((permissions, Some(format!("has {count} semaphores, not {wanted}"))));
        }
        // They would pass with the values that the job had.
        let waiting = sysv::waiting(id, count)?;
        let difference = (waiting > 0).then(|| format!("{waiting} processes outside wait for"));
        Ok((permissions, difference))
    }

    fn of_key(&self, key: i32) -> io::Result<i32> {
        sysv::get_semaphores(key, 0, 0)
    }

    fn create(&self, flags: i32) -> io::Result<i32> {
        sysv::get_semaphores(self.permissions.key, self.values.len(), flags)
    }

    fn remove(&self) -> fn(i32) -> io::Result<()> {
        sysv::remove_semaphores
    }

    fn listed(&self) -> &'static str {
        "sem"
    }

    fn fill(&self) -> Result<()> {
        let Permissions { id, owner, mode, .. } = self.permissions;
        let what = || format!("set System V semaphores {id}");
        sysv::set_values(id, &self.values).context(what)?;
        sysv::set_semaphores(id, owner, mode).context(what)
    }

    fn validate(&self) -> Result<(), String> {
        /// `SEMVMX`
        const MOST: u16 = 32767;
        let whole = !self.values.is_empty() && self.values.iter().all(|value| *value <= MOST);
        if whole { Ok(()) } else { Err("invalid semaphores".into()) }
    }
}
