//! Memory policies: the NUMA nodes for the pages of a thread and of ranges of an address space
//! (numa(7)).

use crate::remote::{Arg, CallId, DataId, Program, ProgramOutput};
use crate::resource::bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bits of a node mask: no kernel has more (`MAX_NUMNODES`, include/linux/numa.h).
const NODES: usize = 1024;
/// Offset of the node mask, after the mode and padding.
const MASK_AT: usize = 8;
const MPOL_DEFAULT: i32 = 0;
const MPOL_F_ADDR: u64 = 1 << 1;

/// A policy that is not the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `MPOL_*` with its flags.
    pub mode: i32,
    /// Bit n for node n, without trailing zeros.
    pub nodes: Bytes,
}

impl Policy {
    fn decode(told: &[u8]) -> Option<Self> {
        let mode = i32::from_ne_bytes(told[..4].try_into().expect("four bytes"));
        let mask = &told[MASK_AT..];
        let len = mask.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        (mode != MPOL_DEFAULT).then(|| Policy { mode, nodes: Bytes(mask[..len].to_vec()) })
    }

    /// The node mask in the kernel's format, which ignores the last bit (mm/mempolicy.c,
    /// `get_nodes`).
    fn mask(&self, program: &mut Program) -> (DataId, Arg) {
        let mut mask = self.nodes.0.clone();
        mask.resize(NODES / 8, 0);
        (program.bytes(mask), Arg::from(NODES))
    }

    /// Sets it as the policy of the thread that runs the program.
    fn set(&self, program: &mut Program) {
        let (mask, size) = self.mask(program);
        program.call_ok(libc::SYS_set_mempolicy, &[self.mode.into(), mask.into(), size], "set memory policy");
    }

    /// Sets it as the policy of a range, before pages are populated.
    pub fn bind(&self, start: u64, len: u64, program: &mut Program) {
        let (mask, size) = self.mask(program);
        let args = [start.into(), len.into(), self.mode.into(), mask.into(), size, Arg::Imm(0)];
        program.call_ok(libc::SYS_mbind, &args, format!("set memory policy of {start:#x}"));
    }
}

fn ask(program: &mut Program, address: u64, flags: u64, what: String) -> (CallId, DataId) {
    let out = program.out(MASK_AT + NODES / 8);
    let args = [out.into(), Arg::Data(out, MASK_AT as u64), NODES.into(), address.into(), flags.into()];
    (program.call_unchecked(libc::SYS_get_mempolicy, &args, what), out)
}

fn told((call, out): (CallId, DataId), outcome: &ProgramOutput) -> Option<Policy> {
    // A kernel without NUMA returns ENOSYS.
    (outcome.result(call) == 0).then(|| Policy::decode(outcome.data(out))).flatten()
}

/// Reads a thread's own policy.
pub struct AskPolicy((CallId, DataId));

impl AskPolicy {
    /// Adds the call.
    pub fn ask(program: &mut Program) -> Self {
        AskPolicy(ask(program, 0, 0, "read memory policy".into()))
    }

    /// The policy; `None` for the default.
    pub fn answer(&self, outcome: &ProgramOutput) -> Option<Policy> {
        told(self.0, outcome)
    }
}

/// Sets the policy of the thread that runs the program; a new thread inherits that of its creator.
pub fn rebuild(policy: Option<&Policy>, program: &mut Program) {
    match policy {
        Some(policy) => policy.set(program),
        None => {
            let args = [MPOL_DEFAULT.into(), Arg::Imm(0), Arg::Imm(0)];
            program.call_unchecked(libc::SYS_set_mempolicy, &args, "set default memory policy");
        }
    }
}

/// Reads the policies of mappings.
pub struct AskPolicies(Vec<(CallId, DataId)>);

impl AskPolicies {
    /// Adds a call for each mapping, by its address. Pages are not touched.
    pub fn ask(program: &mut Program, mappings: impl Iterator<Item = u64>) -> Self {
        let what = |start| format!("read memory policy of {start:#x}");
        AskPolicies(mappings.map(|start| ask(program, start, MPOL_F_ADDR, what(start))).collect())
    }

    /// The policies of the mappings, in the same order.
    pub fn answer(self, outcome: &ProgramOutput) -> impl Iterator<Item = Option<Policy>> {
        self.0.into_iter().map(move |asked| told(asked, outcome))
    }
}

/// Whether this kernel has memory policies; the module depends on the same kernel.
pub fn available() -> bool {
    crate::sys::has_memory_policies()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_survives_its_encoding() {
        let mut bytes = vec![0; MASK_AT + NODES / 8];
        assert_eq!(Policy::decode(&bytes), None);
        (bytes[0], bytes[MASK_AT + 1]) = (3, 2);
        let policy = Policy::decode(&bytes).unwrap();
        assert_eq!(policy, Policy { mode: 3, nodes: Bytes(vec![0, 2]) });
        let mut program = Program::new();
        policy.bind(0x1000, 0x2000, &mut program);
        rebuild(Some(&policy), &mut program);
        rebuild(None, &mut program);
        insta::assert_debug_snapshot!(program.calls());
    }
}
