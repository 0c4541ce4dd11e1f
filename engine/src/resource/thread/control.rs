//! Settings of a thread that prctl(2) and similar calls read and write: which processor features it
//! may use, how hardware errors are handled.
//!
//! A kernel or architecture without a setting returns an error when it is read; the record does not
//! have it then.

use crate::arch;
use crate::remote::{Arg, CallId, DataId, Program, ProgramOutput};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Whether the time stamp counter may be read (`PR_SET_TSC`); x86.
    TimeStampCounter,
    /// The floating point exception mode (`PR_SET_FPEXC`); powerpc.
    FloatExceptions,
    /// How unaligned accesses are handled (`PR_SET_UNALIGN`); powerpc.
    Unaligned,
    /// When a memory failure kills it (`PR_MCE_KILL`).
    MemoryFailure,
    /// Speculative store bypass (`PR_SPEC_STORE_BYPASS`).
    StoreBypass,
    /// Indirect branch speculation (`PR_SPEC_INDIRECT_BRANCH`); x86.
    IndirectBranches,
    /// Whether the L1 data cache is flushed on context switch (`PR_SPEC_L1D_FLUSH`); x86.
    FlushOnSwitch,
    /// Whether the CPUID instruction may be executed (`ARCH_SET_CPUID`); x86.
    Cpuid,
    /// The keyring for keys that request_key(2) makes (`KEYCTL_SET_REQKEY_KEYRING`).
    RequestedKeys,
}

/// Where the value is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In memory.
    ByPointer,
    /// As the result of the call.
    ByResult,
    /// As the result of the call, a speculation state; per-thread control is indicated by a bit.
    Speculation,
}

/// How to read and write a setting.
struct Calls {
    control: Control,
    what: &'static str,
    /// The system call; `None` where the architecture has no such setting.
    nr: Option<i64>,
    /// First arguments to read it.
    get: &'static [i32],
    told: Told,
    /// Arguments before the value to write it.
    set: &'static [i32],
    /// The value in a new program.
    default: u32,
}

// include/uapi/linux/prctl.h
const PR_GET_SPECULATION_CTRL: i32 = 52;
const PR_SET_SPECULATION_CTRL: i32 = 53;
const PR_SPEC_STORE_BYPASS: i32 = 0;
const PR_SPEC_INDIRECT_BRANCH: i32 = 1;
const PR_SPEC_L1D_FLUSH: i32 = 2;
const PR_SPEC_PRCTL: u32 = 1 << 0;
const PR_SPEC_ENABLE: u32 = 1 << 1;
const PR_SPEC_DISABLE: u32 = 1 << 2;
// arch/x86/include/uapi/asm/prctl.h
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;
/// include/uapi/linux/keyctl.h
pub const KEYCTL_SET_REQKEY_KEYRING: i32 = 14;
const KEY_REQKEY_DEFL_NO_CHANGE: i32 = -1;

const PRCTL: Option<i64> = Some(libc::SYS_prctl);

const CALLS: [Calls; 9] = [
    Calls {
        control: Control::TimeStampCounter,
        what: "access to the time stamp counter",
        nr: PRCTL,
        get: &[libc::PR_GET_TSC],
        told: Told::ByPointer,
        set: &[libc::PR_SET_TSC],
        default: libc::PR_TSC_ENABLE as u32,
    },
    Calls {
        control: Control::FloatExceptions,
        what: "mode of floating point exceptions",
        nr: PRCTL,
        get: &[libc::PR_GET_FPEXC],
        told: Told::ByPointer,
        set: &[libc::PR_SET_FPEXC],
        default: libc::PR_FP_EXC_DISABLED as u32,
    },
    Calls {
        control: Control::Unaligned,
        what: "treatment of unaligned accesses",
        nr: PRCTL,
        get: &[libc::PR_GET_UNALIGN],
        told: Told::ByPointer,
        set: &[libc::PR_SET_UNALIGN],
        default: 0,
    },
    Calls {
        control: Control::MemoryFailure,
        what: "policy of memory failures",
        nr: PRCTL,
        get: &[libc::PR_MCE_KILL_GET],
        told: Told::ByResult,
        set: &[libc::PR_MCE_KILL, libc::PR_MCE_KILL_SET],
        default: libc::PR_MCE_KILL_DEFAULT as u32,
    },
    Calls {
        control: Control::StoreBypass,
        what: "speculation past stores",
        nr: PRCTL,
        get: &[PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS],
        told: Told::Speculation,
        set: &[PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS],
        default: PR_SPEC_ENABLE,
    },
    Calls {
        control: Control::IndirectBranches,
        what: "speculation past indirect branches",
        nr: PRCTL,
        get: &[PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH],
        told: Told::Speculation,
        set: &[PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH],
        default: PR_SPEC_ENABLE,
    },
    Calls {
        control: Control::FlushOnSwitch,
        what: "flush of the data cache",
        nr: PRCTL,
        get: &[PR_GET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH],
        told: Told::Speculation,
        set: &[PR_SET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH],
        default: PR_SPEC_DISABLE,
    },
    Calls {
        control: Control::Cpuid,
        what: "access to CPUID",
        nr: arch::SYS_ARCH_PRCTL,
        get: &[ARCH_GET_CPUID],
        told: Told::ByResult,
        set: &[ARCH_SET_CPUID],
        default: 1,
    },
    Calls {
        control: Control::RequestedKeys,
        what: "keyring for requested keys",
        nr: Some(libc::SYS_keyctl),
        get: &[KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE],
        told: Told::ByResult,
        set: &[KEYCTL_SET_REQKEY_KEYRING],
        default: 0,
    },
];

/// The settings of a thread that differ from those of a new program.
pub type Controls = BTreeMap<Control, u32>;

/// Reads a thread's settings.
pub struct AskControls([Option<(CallId, Option<DataId>)>; CALLS.len()]);

fn arguments(first: &[i32], then: Option<Arg>) -> Vec<Arg> {
    let mut args: Vec<Arg> = first.iter().map(|arg| Arg::from(*arg)).chain(then).collect();
    args.resize(5, Arg::Imm(0));
    args
}

impl AskControls {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        AskControls(CALLS.map(|Calls { what, nr, get, told, .. }| {
            let out = (told == Told::ByPointer).then(|| program.out(4));
            let args = arguments(get, out.map(Arg::from));
            Some((program.call_unchecked(nr?, &args, format!("read {what}")), out))
        }))
    }

    /// The settings that differ from those of a new program.
    pub fn answer(&self, outcome: &ProgramOutput) -> Controls {
        let read = |told: Told, (call, out): (CallId, Option<DataId>)| {
            let result = u32::try_from(outcome.result(call)).ok()?;
            match (told, out) {
                (Told::ByPointer, Some(out)) => {
                    Some(u32::from_ne_bytes(outcome.data(out).try_into().expect("four bytes")))
                }
                (Told::Speculation, _) => (result & PR_SPEC_PRCTL != 0).then_some(result & !PR_SPEC_PRCTL),
                (Told::ByResult | Told::ByPointer, _) => Some(result),
            }
        };
        let told = CALLS.iter().zip(&self.0);
        let told = told.filter_map(|(calls, asked)| Some((calls, read(calls.told, (*asked)?)?)));
        told.filter(|(calls, value)| *value != calls.default).map(|(c, value)| (c.control, value)).collect()
    }
}

/// Sets the settings of the thread that runs the program. Those not recorded are set to the default
/// of a new program, where the kernel has them: a thread inherits them from its creator.
pub fn rebuild(controls: &Controls, program: &mut Program) {
    for Calls { control, what, nr, set, default, .. } in CALLS {
        let Some(nr) = nr else { continue };
        let wanted = controls.get(&control);
        let args = arguments(set, Some(wanted.copied().unwrap_or(default).into()));
        let what = format!("set {what}");
        match wanted {
            Some(_) => program.call_ok(nr, &args, what),
            None => program.call_unchecked(nr, &args, what),
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
