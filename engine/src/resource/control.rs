//! Settings of a thread that prctl(2) gives and takes by name: what the processor may do to it, what hardware errors do.
//!
//! A kernel or an architecture that has no such setting says so when it is asked; then there is nothing in the record.

use crate::remote::{Arg, CallId, DataId, Outcome, Program};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A setting, by what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Whether the time stamp counter may be read (`PR_SET_TSC`); x86.
    TimeStampCounter,
    /// What traps of floating point are (`PR_SET_FPEXC`); powerpc.
    FloatExceptions,
    /// What unaligned accesses do (`PR_SET_UNALIGN`); powerpc.
    Unaligned,
    /// When a memory failure kills (`PR_MCE_KILL`).
    MemoryFailure,
}

/// How to ask for a setting and how to make it.
struct Calls {
    control: Control,
    what: &'static str,
    get: i32,
    /// Whether the answer is written to memory; else it is what the call returns.
    by_pointer: bool,
    set: i32,
    /// What precedes the value.
    before_value: Option<i32>,
    /// What a new program has.
    default: u32,
}

const CALLS: [Calls; 4] = [
    Calls {
        control: Control::TimeStampCounter,
        what: "access to the time stamp counter",
        get: libc::PR_GET_TSC,
        by_pointer: true,
        set: libc::PR_SET_TSC,
        before_value: None,
        default: libc::PR_TSC_ENABLE as u32,
    },
    Calls {
        control: Control::FloatExceptions,
        what: "mode of floating point exceptions",
        get: libc::PR_GET_FPEXC,
        by_pointer: true,
        set: libc::PR_SET_FPEXC,
        before_value: None,
        default: libc::PR_FP_EXC_DISABLED as u32,
    },
    Calls {
        control: Control::Unaligned,
        what: "treatment of unaligned accesses",
        get: libc::PR_GET_UNALIGN,
        by_pointer: true,
        set: libc::PR_SET_UNALIGN,
        before_value: None,
        default: 0,
    },
    Calls {
        control: Control::MemoryFailure,
        what: "policy of memory failures",
        get: libc::PR_MCE_KILL_GET,
        by_pointer: false,
        set: libc::PR_MCE_KILL,
        before_value: Some(libc::PR_MCE_KILL_SET),
        default: libc::PR_MCE_KILL_DEFAULT as u32,
    },
];

/// The settings of a thread that are not a new program's.
pub type Controls = BTreeMap<Control, u32>;

/// The question for a thread's settings.
pub struct AskControls([(CallId, Option<DataId>); CALLS.len()]);

impl AskControls {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        AskControls(CALLS.map(|Calls { what, get, by_pointer, .. }| {
            let out = by_pointer.then(|| program.out(4));
            let args =
                [get.into(), out.map_or(Arg::Imm(0), Arg::from), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            (program.may(libc::SYS_prctl, &args, format!("read {what}")), out)
        }))
    }

    /// What is not as in a new program.
    pub fn answer(&self, outcome: &Outcome) -> Controls {
        let read = |(call, out): &(CallId, Option<DataId>)| {
            let result = u32::try_from(outcome.result(*call)).ok()?;
            Some(match out {
                Some(out) => u32::from_ne_bytes(outcome.data(*out).try_into().expect("four bytes")),
                None => result,
            })
        };
        let told = CALLS.iter().zip(&self.0).filter_map(|(calls, asked)| Some((calls, read(asked)?)));
        told.filter(|(calls, value)| *value != calls.default).map(|(c, value)| (c.control, value)).collect()
    }
}

/// Makes the settings of the thread that the program runs in. Those that are not named become a new program's, where the kernel has them: a
/// thread inherits them from the one that made it.
pub fn rebuild(controls: &Controls, program: &mut Program) {
    for Calls { control, what, set, before_value, default, .. } in CALLS {
        let wanted = controls.get(&control);
        let mut args = vec![Arg::from(set)];
        args.extend(before_value.map(Arg::from));
        args.push(wanted.copied().unwrap_or(default).into());
        args.resize(5, Arg::Imm(0));
        let what = format!("set {what}");
        match wanted {
            Some(_) => program.must(libc::SYS_prctl, &args, what),
            None => program.may(libc::SYS_prctl, &args, what),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_recorded_is_put_back_to_the_default_where_the_kernel_has_it() {
        let mut program = Program::new();
        rebuild(&Controls::from([(Control::FloatExceptions, 3)]), &mut program);
        insta::assert_debug_snapshot!(program.calls());
    }
}
