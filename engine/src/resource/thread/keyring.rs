//! Keys that only a thread or its process has, keyrings(7): in its thread keyring or its process
//! keyring. The kernel chooses the serial number of a key (security/keys/key.c,
//! `key_alloc_serial`), which programs keep: a thread with such keys is refused.
//!
//! The session keyring is nobody's own: children inherit it. To ask for the one of a process that
//! has none installs the default of its user (security/keys/process_keys.c, `lookup_user_key`).

use crate::error::{Problem, Problems};
use crate::remote::{Arg, CallId, Program, ProgramOutput, Stopped};

/// include/uapi/linux/keyctl.h
pub const KEYCTL_READ: i32 = 11;
/// include/uapi/linux/keyctl.h
pub const KEY_SPEC_THREAD_KEYRING: i32 = -1;
/// include/uapi/linux/keyctl.h
pub const KEY_SPEC_PROCESS_KEYRING: i32 = -2;

const KEYRINGS: [(&str, i32); 2] =
    [("thread", KEY_SPEC_THREAD_KEYRING), ("process", KEY_SPEC_PROCESS_KEYRING)];

/// Asks a thread whether it has such keys.
pub struct AskKeyrings([CallId; KEYRINGS.len()]);

impl AskKeyrings {
    /// Adds the calls, which return the number of bytes that a list of the keys takes.
    pub fn ask(program: &mut Program) -> Self {
        AskKeyrings(KEYRINGS.map(|(name, keyring)| {
            let args: [Arg; 4] = [KEYCTL_READ.into(), keyring.into(), Arg::Imm(0), Arg::Imm(0)];
            program.call_unchecked(libc::SYS_keyctl, &args, format!("look into {name} keyring"))
        }))
    }

    /// Adds the reasons to refuse the thread.
    pub fn answer(&self, outcome: &ProgramOutput, thread: &Stopped, problems: &mut Problems) {
        for ((name, _), call) in KEYRINGS.iter().zip(self.0) {
            let unreadable = -i64::from(libc::EACCES);
            if matches!(outcome.result(call), result if result > 0 || result == unreadable) {
                let what = format!(
                    "has keys in its {name} keyring, whose serial numbers cannot be restored; drop them first (keyctl clear), or keep them in a keyring that stays (user, user session)"
                );
                problems.push(Problem::of_thread(thread.pid(), thread.tid(), &what));
            }
        }
    }
}
