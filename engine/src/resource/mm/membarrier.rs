//! membarrier(2): the registrations of an address space.

use crate::remote::{Arg, CallId, Program, ProgramOutput};
use serde::{Deserialize, Serialize};

/// `MEMBARRIER_CMD_GET_REGISTRATIONS`, Linux 6.3 (include/uapi/linux/membarrier.h).
const GET_REGISTRATIONS: i32 = 1 << 9;
const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;

/// Commands that fail with EPERM without a registration, and the command that registers. Issuing
/// the barrier is the probe; it changes nothing.
const PROBED: [(i32, u32); 3] = [(1 << 3, 1 << 4), (1 << 5, 1 << 6), (1 << 7, 1 << 8)];

/// The membarrier(2) registrations of an address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// The registration commands, as bits; includes the one for global barriers only in older
    /// files.
    pub commands: u32,
    /// Whether the process takes part in global barriers. `None` if unknown, before Linux 6.3
    /// without the module: it is registered at a restart then, which costs it an interrupt when
    /// another process issues such a barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<bool>,
}

impl Default for Registrations {
    fn default() -> Self {
        Registrations { commands: 0, global: Some(false) }
    }
}

/// Reads or probes the registrations.
pub struct AskRegistrations {
    told: CallId,
    probed: Option<[(CallId, u32); PROBED.len()]>,
}

fn call(program: &mut Program, command: i32, what: &str) -> CallId {
    program.call_unchecked(libc::SYS_membarrier, &[command.into(), Arg::Imm(0), Arg::Imm(0)], what)
}

impl AskRegistrations {
    /// Adds the calls. `told`: the module evaluates them and reports all registrations on any
    /// kernel.
    pub fn ask(program: &mut Program, told: bool) -> Self {
        AskRegistrations {
            told: call(program, GET_REGISTRATIONS, "read registrations for memory barriers"),
            probed: (!told).then(|| {
                PROBED.map(|(barrier, register)| (call(program, barrier, "probe membarrier"), register))
            }),
        }
    }

    /// The registrations.
    pub fn answer(&self, outcome: &ProgramOutput) -> Registrations {
        let told = u32::try_from(outcome.result(self.told)).ok();
        let global = told.map(|told| told & REGISTER_GLOBAL_EXPEDITED != 0);
        let Some(probed) = &self.probed else {
            let commands = told.unwrap_or(0) & !REGISTER_GLOBAL_EXPEDITED;
            return Registrations { commands, global: global.or(Some(false)) };
        };
        // For the other commands, the kernel reports more than is registered
        // (`membarrier_get_registrations`).
        let registered = probed.iter().filter(|(barrier, _)| outcome.result(*barrier) == 0);
        let commands = registered.fold(0, |all, (_, register)| all | register);
        // A kernel without membarrier(2) has no registrations.
        let has_none = probed.iter().all(|(call, _)| outcome.result(*call) == -i64::from(libc::ENOSYS));
        Registrations { commands, global: global.or(has_none.then_some(false)) }
    }
}

/// Registers again; cheapest while the process has one thread (kernel/sched/membarrier.c,
/// `sync_runqueues_membarrier_state`).
pub fn rebuild(registrations: Registrations, program: &mut Program) {
    let Registrations { commands, global } = registrations;
    let registrations = if global.unwrap_or(true) { commands | REGISTER_GLOBAL_EXPEDITED } else { commands };
    for command in (0..u32::BITS).map(|bit| 1 << bit).filter(|command| registrations & command != 0) {
        let args = [Arg::from(command), Arg::Imm(0), Arg::Imm(0)];
        program.call_ok(libc::SYS_membarrier, &args, format!("register for memory barriers ({command:#x})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registration_is_made_again() {
        let made = |registrations: Registrations| -> Vec<Arg> {
            let mut program = Program::new();
            rebuild(registrations, &mut program);
            program.calls().iter().map(|call| call.args[0]).collect()
        };
        let both = [Arg::Imm(1 << 2), Arg::Imm(1 << 4)];
        assert_eq!(made(Registrations { commands: 1 << 4, global: None }), both);
        assert_eq!(made(Registrations { commands: 1 << 4, global: Some(true) }), both);
        assert_eq!(made(Registrations { commands: 1 << 4, global: Some(false) }), both[1..]);
        assert_eq!(made(Registrations::default()), []);
    }
}
