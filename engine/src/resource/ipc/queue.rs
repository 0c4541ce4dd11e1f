//! System V message queues (msgop(2)).

use super::{Object, Permissions};
use crate::error::{Context, Error, Result};
use crate::resource::bytes::Bytes;
use crate::sys::sysv::{self, QueueStat, Receive};
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
        let what = || format!("read System V message queue {id} (needs CONFIG_CHECKPOINT_RESTORE)");
        let before = sysv::queue(id).context(what)?;
        let mut messages = Vec::new();
        while let Some((kind, text)) =
            sysv::receive(id, Receive::Copy(messages.len() as u64), before.bytes as usize).context(what)?
        {
            messages.push(Message { kind, text: Bytes(text) });
        }
        if before != sysv::queue(id).context(what)? || before.messages != messages.len() as u64 {
            return Err(Error::unsupported_now(format!(
                "System V message queue {id}: changes while the job is stopped: somebody outside uses it"
            )));
        }
        Ok(Queue { permissions: Permissions::of(id, &before.permissions), limit: before.limit, messages })
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

    fn find(&self, id: i32) -> io::Result<(sysv::Permissions, bool)> {
        sysv::queue(id).map(|queue| (queue.permissions, true))
    }

    fn of_key(&self, key: i32) -> io::Result<i32> {
        sysv::get_queue(key, 0)
    }

    fn next_id(&self) -> &'static str {
        "/proc/sys/kernel/msg_next_id"
    }

    fn create(&self, flags: i32) -> io::Result<i32> {
        sysv::get_queue(self.permissions.key, flags)
    }

    fn remove(&self) -> fn(i32) -> io::Result<()> {
        sysv::remove_queue
    }

    fn fill(&self) -> io::Result<()> {
        let Permissions { id, owner, mode, .. } = self.permissions;
        // The job left some behind.
        let QueueStat { bytes, .. } = sysv::queue(id)?;
        while sysv::receive(id, Receive::First, bytes as usize)?.is_some() {}
        // A limit below what is in it was set after that had been sent.
        sysv::set_queue(id, owner, 0o600 | mode, self.limit.max(self.bytes()))?;
        self.messages.iter().try_for_each(|message| sysv::send(id, message.kind, &message.text.0))?;
        sysv::set_queue(id, owner, mode, self.limit)
    }

    fn validate(&self) -> Result<(), String> {
        if self.messages.iter().all(|message| message.kind > 0) {
            Ok(())
        } else {
            Err("invalid message type".into())
        }
    }
}
