//! System V message queues (msgop(2)).

use super::{Object, Permissions};
use crate::error::{Context, Error, Result};
use crate::resource::bytes::Bytes;
use crate::sys::sysv::{self, QueueStat, Receive};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::io;

/// A message queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Id, owner and permissions.
    pub permissions: Permissions,
    /// How many bytes all messages may have (`msg_qbytes`).
    pub limit: u64,
    /// In order.
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its type, above 0.
    pub kind: i64,
    /// Its text.
    pub text: Bytes,
}

impl Queue {
    /// Reads a queue, in which all messages stay.
    ///
    /// # Errors
    /// As msgrcv(2): *denied* without read permission; *unsupported* while others use it.
    pub fn capture(id: i32) -> Result<Self> {
        // Nothing counts what is sent and received: whoever rotates a queue must be caught by what
        // is in it.
        let (first, second) = (Self::read(id)?, Self::read(id)?);
        if first != second || first.0.messages != first.1.messages.len() as u64 {
            return Err(Error::unsupported_now(format!(
                "System V message queue {id}: changes while the job is stopped: somebody outside uses it"
            )));
        }
        Ok(first.1)
    }

    fn read(id: i32) -> Result<(QueueStat, Self)> {
        let what = || format!("read System V message queue {id} (needs CONFIG_CHECKPOINT_RESTORE)");
        let stat = sysv::queue(id).context(what)?;
        let mut messages = Vec::new();
        // One that is longer than all were is new.
        let room = stat.bytes as usize;
        let copy = |index: usize| match sysv::receive(id, Receive::Copy(index as u64), room) {
            Err(err) if err.raw_os_error() == Some(libc::E2BIG) => Ok(None),
            other => other.context(what),
        };
        while let Some((kind, text)) = copy(messages.len())? {
            messages.push(Message { kind, text: Bytes(text) });
        }
        let permissions = Permissions::of(id, &stat.permissions);
        Ok((stat, Queue { permissions, limit: stat.limit, messages }))
    }

    fn bytes(&self) -> u64 {
        self.messages.iter().map(|message| message.text.0.len() as u64).sum()
    }
}

impl Object for Queue {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    fn kind(&self) -> (&'static str, &'static str) {
        ("message queue", "-q")
    }

    fn find(&self, id: i32) -> io::Result<(sysv::Permissions, Option<String>)> {
        sysv::queue(id).map(|queue| (queue.permissions, None))
    }

    fn fits(&self) -> Result<(), String> {
        let limit = |name: &str| -> u64 {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
            text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX)
        };
        let longest = self.messages.iter().map(|message| message.text.0.len() as u64).max();
        if longest > Some(limit("msgmax")) {
            let longest = longest.unwrap_or(0);
            return Err(format!("has a message of {longest} bytes; raise kernel.msgmax (sysctl(8)) to that"));
        }
        let room = self.limit.max(self.bytes());
        let own = rustix::thread::capabilities(None).map(|own| own.effective);
        let may_exceed = own.is_ok_and(|own| own.contains(CapabilitySet::SYS_RESOURCE));
        if room > limit("msgmnb") && !may_exceed {
            return Err(format!("holds up to {room} bytes; raise kernel.msgmnb (sysctl(8)) to that"));
        }
        Ok(())
    }

    fn of_key(&self, key: i32) -> io::Result<i32> {
        sysv::get_queue(key, 0)
    }

    fn create(&self, flags: i32) -> io::Result<i32> {
        sysv::get_queue(self.permissions.key, flags)
    }

    fn remove(&self) -> fn(i32) -> io::Result<()> {
        sysv::remove_queue
    }

    fn listed(&self) -> &'static str {
        "msg"
    }

    fn fill(&self) -> Result<()> {
        let Permissions { id, owner, mode, .. } = self.permissions;
        let what = || format!("fill System V message queue {id}");
        // A limit below what is in it was set after that had been sent.
        sysv::set_queue(id, owner, 0o600 | mode, self.limit.max(self.bytes())).context(what)?;
        // The job left some behind.
        let QueueStat { bytes, .. } = sysv::queue(id).context(what)?;
        while sysv::receive(id, Receive::First, bytes as usize).context(what)?.is_some() {}
        self.messages
            .iter()
            .try_for_each(|message| sysv::send(id, message.kind, &message.text.0))
            .context(what)?;
        let now = sysv::queue(id).context(what)?;
        if now.messages != self.messages.len() as u64 {
            return Err(Error::Conflict(format!(
                "System V message queue {id}: process {} outside has taken messages that were the job's; end it first",
                now.last_users[1]
            )));
        }
        sysv::set_queue(id, owner, mode, self.limit).context(what)
    }

    fn validate(&self) -> Result<(), String> {
        if self.messages.iter().all(|message| message.kind > 0) {
            Ok(())
        } else {
            Err("invalid message type".into())
        }
    }
}
