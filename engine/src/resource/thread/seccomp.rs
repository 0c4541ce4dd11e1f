//! seccomp(2): strict mode, and filters, which a thread gets in addition to those of its creator.
//!
//! A tracer reads filters as classic BPF, the oldest first (`PTRACE_SECCOMP_GET_FILTER`, kernel/
//! seccomp.c, `get_nth_filter`). System calls that the engine makes in a thread pass none while
//! `PTRACE_O_SUSPEND_SECCOMP` is set. Both take CAP_SYS_ADMIN and CONFIG_CHECKPOINT_RESTORE.

use super::Thread;
use crate::error::{Context, Error, Result};
use crate::remote::{Arg, Program, Stopped};
use crate::resource::bytes::Bytes;
use crate::sys::ptrace;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// Its program: an array of `struct sock_filter`.
    pub program: Bytes,
    /// Whether what it forbids is logged (`SECCOMP_FILTER_FLAG_LOG`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
}

/// What a thread is restricted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// read(2), write(2), _exit(2) and sigreturn(2) only.
    Strict,
    /// Indices of filters of its process, the oldest first.
    Filters(Vec<usize>),
}

/// A `struct sock_filter`: code (16 bits), two jump offsets (8 bits), operand (32 bits).
const INSTRUCTION: usize = size_of::<libc::sock_filter>();
/// `BPF_MAXINSNS`, include/uapi/linux/bpf_common.h
const MOST_INSTRUCTIONS: usize = 4096;
/// `BPF_RET` with a constant, and with the accumulator.
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;

impl Filter {
    /// Whether the program asks another process, which a restart would not have: the kernel does
    /// not show the listener (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
    fn may_notify(&self) -> bool {
        self.program.0.chunks_exact(INSTRUCTION).any(|instruction| {
            let code = u16::from_ne_bytes([instruction[0], instruction[1]]);
            let operand = u32::from_ne_bytes(instruction[4..].try_into().expect("four bytes"));
            code == RETURN_A
                || code == RETURN && operand & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_USER_NOTIF
        })
    }

    /// Checks its length.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let len = self.program.0.len();
        let whole = len.is_multiple_of(INSTRUCTION) && (1..=MOST_INSTRUCTIONS).contains(&(len / INSTRUCTION));
        if whole { Ok(()) } else { Err("an invalid seccomp filter".into()) }
    }

    fn install(&self, program: &mut Program) {
        use libc::{SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_SET_MODE_FILTER};
        let code = program.bytes(self.program.0.clone());
        // struct sock_fprog: the number of instructions, and where they are.
        let mut fprog = [0u8; 16];
        fprog[..2].copy_from_slice(&((self.program.0.len() / INSTRUCTION) as u16).to_ne_bytes());
        let fprog = program.bytes(fprog);
        program.pointer_to(fprog, 8, code, 0);
        // Speculation settings are restored by themselves.
        let log = if self.log { SECCOMP_FILTER_FLAG_LOG } else { 0 };
        let flags = log | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        let args = [SECCOMP_SET_MODE_FILTER.into(), flags.into(), fprog.into()];
        program.call_ok(libc::SYS_seccomp, &args, "install seccomp filter");
    }
}

/// Reads the filters of a stopped thread.
fn filters_of(tid: i32) -> Result<Vec<Filter>> {
    let what = || format!("read seccomp filters of {tid}");
    let mut filters = Vec::new();
    while let Some(program) = ptrace::seccomp_filter(tid, filters.len()).context(what)? {
        let log = ptrace::seccomp_logs(tid, filters.len()).context(what)?;
        filters.push(Filter { program: Bytes(program), log });
    }
    Ok(filters)
}

/// Suspends the restrictions of a thread, for as long as it is traced; `mode` is that of
/// /proc/PID/status, 0 for none.
///
/// # Errors
/// What it has that cannot be restored, or that we may not suspend it; as a predicate.
pub fn suspend(thread: &Stopped, mode: u32) -> std::result::Result<(), &'static str> {
    let Some(seccomp) = of_mode(mode) else { return Ok(()) };
    let Stopped::Traced(tracee) = thread else {
        return Err("is restricted by seccomp, which only ptrace can read; use --source ptrace");
    };
    let suspended = ptrace::set_options(tracee.tid, ptrace::SYSGOOD | ptrace::SUSPEND_SECCOMP);
    suspended.map_err(
        |_| "is restricted by seccomp, which takes CAP_SYS_ADMIN to read (and CONFIG_CHECKPOINT_RESTORE); run cairn as root",
    )?;
    if seccomp == Seccomp::Strict {
        return Ok(());
    }
    let filters = filters_of(tracee.tid)
        .map_err(|_| "has seccomp filters that cannot be read; start the job without them")?;
    if filters.iter().any(Filter::may_notify) {
        return Err(
            "has a seccomp filter that may notify another process (SECCOMP_RET_USER_NOTIF), or returns what it computes; start the job without it",
        );
    }
    Ok(())
}

/// The mode of /proc/PID/status, without filters yet.
pub(super) fn of_mode(mode: u32) -> Option<Seccomp> {
    match mode {
        0 => None,
        1 => Some(Seccomp::Strict),
        _ => Some(Seccomp::Filters(Vec::new())),
    }
}

/// Reads the filters of the threads of one process, each different one once.
///
/// # Errors
/// What ptrace(2) reports.
pub fn capture(threads: &mut [Thread]) -> Result<Vec<Filter>> {
    let mut known: HashMap<Filter, usize> = HashMap::new();
    for thread in threads {
        let Some(Seccomp::Filters(indices)) = &mut thread.seccomp else { continue };
        for filter in filters_of(thread.tid)? {
            let next = known.len();
            indices.push(*known.entry(filter).or_insert(next));
        }
        if indices.is_empty() {
            return Err(Error::Vanished(format!("thread {}: its seccomp filters are gone", thread.tid)));
        }
    }
    let mut filters: Vec<_> = known.into_iter().collect();
    filters.sort_by_key(|(_, index)| *index);
    Ok(filters.into_iter().map(|(filter, _)| filter).collect())
}

fn chain(thread: &Thread) -> &[usize] {
    match &thread.seccomp {
        Some(Seccomp::Filters(indices)) => indices,
        Some(Seccomp::Strict) | None => &[],
    }
}

/// How many filters all threads have in common. The leader installs these before it creates the
/// others: only a thread that has inherited them can be synchronized later
/// (`SECCOMP_FILTER_FLAG_TSYNC`).
pub fn common(threads: &[Thread]) -> usize {
    let first = chain(&threads[0]);
    let same = |thread: &Thread| first.iter().zip(chain(thread)).take_while(|(a, b)| a == b).count();
    threads.iter().map(same).min().unwrap_or(0)
}

/// Installs the first `common` filters, in the leader.
pub fn rebuild_common(filters: &[Filter], leader: &Thread, common: usize, program: &mut Program) {
    chain(leader)[..common].iter().for_each(|index| filters[*index].install(program));
}

/// Installs the others, in the thread itself, while it has the engine's privileges.
pub fn rebuild(filters: &[Filter], thread: &Thread, common: usize, program: &mut Program) {
    chain(thread)[common..].iter().for_each(|index| filters[*index].install(program));
    if thread.seccomp == Some(Seccomp::Strict) {
        let args: [Arg; 2] = [libc::PR_SET_SECCOMP.into(), libc::SECCOMP_MODE_STRICT.into()];
        program.call_ok(libc::SYS_prctl, &args, "enter seccomp strict mode");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn filter(instructions: &[(u16, u32)]) -> Filter {
        let bytes = |(code, operand): &(u16, u32)| {
            let mut bytes = code.to_ne_bytes().to_vec();
            bytes.extend([0, 0]);
            bytes.extend(operand.to_ne_bytes());
            bytes
        };
        Filter { program: Bytes(instructions.iter().flat_map(bytes).collect()), log: false }
    }

    #[rstest]
    #[case(&[(0x20, 0), (RETURN, 0x7fff_0000)], false)]
    #[case(&[(0x15, 0x7fc0_0000), (RETURN, 0x0005_0026)], false)]
    #[case(&[(RETURN, 0x7fc0_0003)], true)]
    #[case(&[(RETURN_A, 0)], true)]
    fn filters_that_ask_another_process(#[case] instructions: &[(u16, u32)], #[case] wanted: bool) {
        assert_eq!(filter(instructions).may_notify(), wanted);
    }

    #[rstest]
    #[case(0, false)]
    #[case(1, true)]
    #[case(4096, true)]
    #[case(4097, false)]
    fn lengths(#[case] instructions: usize, #[case] valid: bool) {
        assert_eq!(filter(&vec![(RETURN, 0); instructions]).validate().is_ok(), valid);
    }
}
