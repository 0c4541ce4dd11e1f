//! membarrier(2): for which barriers an address space is registered.

use crate::remote::{Arg, CallId, Outcome, Program};
use serde::{Deserialize, Serialize};

/// `MEMBARRIER_CMD_GET_REGISTRATIONS`, Linux 6.3 (include/uapi/linux/membarrier.h).
const GET_REGISTRATIONS: i32 = 1 << 9;
const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;

/// Kinds of barriers that fail with EPERM for who is not registered: the command, and the one that registers. The question is to make such a
/// barrier, which changes nothing.
const PROBED: [(i32, u32); 3] = [(1 << 3, 1 << 4), (1 << 5, 1 << 6), (1 << 7, 1 << 8)];

/// For which barriers an address space is registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// The commands that registered, as bits of their numbers.
    pub commands: u32,
    /// Before Linux 6.3 nothing tells whether a process takes part in global barriers: after a restart it does, which costs it an interrupt now and
    /// then where somebody makes them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub global_untold: bool,
}

/// The question for the registrations: every command that registered, as a bit of its number.
pub struct AskRegistrations {
    told: CallId,
    probed: Option<[(CallId, u32); PROBED.len()]>,
}

fn call(program: &mut Program, command: i32, what: &str) -> CallId {
    program.may(libc::SYS_membarrier, &[command.into(), Arg::Imm(0), Arg::Imm(0)], what)
}

impl AskRegistrations {
    /// Adds the calls. `told`: whoever answers knows all of it, whatever the kernel is.
    pub fn ask(program: &mut Program, told: bool) -> Self {
        AskRegistrations {
            told: call(program, GET_REGISTRATIONS, "read registrations for memory barriers"),
            probed: (!told).then(|| {
                PROBED.map(|(barrier, register)| (call(program, barrier, "probe membarrier"), register))
            }),
        }
    }

    /// The registrations.
    pub fn answer(&self, outcome: &Outcome) -> Registrations {
        let told = u32::try_from(outcome.result(self.told)).ok();
        let Some(probed) = &self.probed else {
            return Registrations { commands: told.unwrap_or(0), global_untold: false };
        };
        let registered = probed.iter().filter(|(barrier, _)| outcome.result(*barrier) == 0);
        let commands = registered.fold(0, |all, (_, register)| all | register);
        // Of the others, what the kernel tells says more than is so (`membarrier_get_registrations`).
        let global = told.unwrap_or(0) & REGISTER_GLOBAL_EXPEDITED;
        // A kernel without membarrier(2) has none of them.
        let has_none = probed.iter().all(|(call, _)| outcome.result(*call) == -i64::from(libc::ENOSYS));
        Registrations { commands: commands | global, global_untold: told.is_none() && !has_none }
    }
}

/// Registers again; cheapest while the process has one thread (kernel/sched/membarrier.c, `sync_runqueues_membarrier_state`).
pub fn rebuild(registrations: Registrations, program: &mut Program) {
    let Registrations { commands, global_untold } = registrations;
    let registrations = if global_untold { commands | REGISTER_GLOBAL_EXPEDITED } else { commands };
    for command in (0..u32::BITS).map(|bit| 1 << bit).filter(|command| registrations & command != 0) {
        let args = [Arg::from(command), Arg::Imm(0), Arg::Imm(0)];
        program.must(libc::SYS_membarrier, &args, format!("register for memory barriers ({command:#x})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registration_is_made_again() {
        let mut program = Program::new();
        rebuild(Registrations { commands: 1 << 4, global_untold: true }, &mut program);
        let commands: Vec<_> = program.calls().iter().map(|call| call.args[0]).collect();
        assert_eq!(commands, [Arg::Imm(1 << 2), Arg::Imm(1 << 4)]);
    }
}
