//! What only its threads can tell of an io_uring(7): an eventfd that is registered with one that
//! answers one thread only, and rings that a thread has registered for itself
//! (`IORING_REGISTER_RING_FDS`, Linux 5.18).

use crate::error::{Problem, Problems, Subject};
use crate::remote::{Arg, CallId, Program, ProgramOutput};
use crate::sys::io_uring::REGISTER_EVENTFD;
use std::collections::BTreeMap;

/// `IO_RINGFD_REG_MAX`, include/linux/io_uring_types.h.
const MOST: u64 = 16;

/// `IORING_ENTER_REGISTERED_RING`
const ENTER_REGISTERED: u64 = 1 << 4;

/// `IORING_REGISTER_RESTRICTIONS`: EBADFD for a ring that is enabled; EACCES if it has some, unless
/// they allow this. For one that is not enabled, EINVAL without an argument, before which EBUSY
/// tells that it has some.
const REGISTER_RESTRICTIONS: u32 = 11;

/// A ring, as a process has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// A descriptor of it.
    pub fd: i32,
    /// Index of the open file description.
    pub file: usize,
}

/// Whether each ring has answered a thread, by open file description; with a descriptor of it.
pub type Answers = BTreeMap<usize, (Subject, bool)>;

/// What one thread is asked.
pub struct AskRings {
    numbers: Vec<CallId>,
    rings: Vec<AskRing>,
}

/// What one thread is asked about one ring.
struct AskRing {
    ring: Ring,
    eventfd: CallId,
    restrictions: CallId,
}

impl AskRings {
    /// Adds the calls, which change nothing: they enter a ring without submitting or waiting, and
    /// register a descriptor that does not exist.
    pub fn ask(program: &mut Program, rings: &[Ring]) -> Self {
        let numbers = if rings.is_empty() { 0 } else { MOST };
        let enter = |number: u64, program: &mut Program| {
            let args = [number.into(), 0u64.into(), 0u64.into(), ENTER_REGISTERED.into()];
            let what = format!("look for registered ring {number}");
            program.call_unchecked(libc::SYS_io_uring_enter, &args, what)
        };
        let numbers = (0..numbers).map(|number| enter(number, program)).collect();
        let rings = rings.iter().map(|ring| AskRing::ask(*ring, program)).collect();
        AskRings { numbers, rings }
    }

    /// Adds the reasons to refuse it.
    pub fn answer(
        &self,
        told: &ProgramOutput,
        (pid, tid): (i32, i32),
        answers: &mut Answers,
        problems: &mut Problems,
    ) {
        let failed = |call: &CallId, errnos: &[i32]| errnos.contains(&-(told.result(*call) as i32));
        if self.numbers.iter().any(|call| !failed(call, &[libc::EINVAL, libc::EBADF])) {
            let why = "has registered an io_uring (IORING_REGISTER_RING_FDS); unregister it first";
            problems.push(Problem::of_thread(pid, tid, why));
        }
        for AskRing { ring, eventfd, restrictions } in &self.rings {
            let at = Subject::fd(pid, ring.fd);
            if failed(eventfd, &[libc::EBUSY]) {
                let why = " is an io_uring that has registered an eventfd; unregister it first";
                problems.push(Problem::of(at.clone(), why));
            }
            if failed(restrictions, &[libc::EACCES, libc::EBUSY]) {
                let why = " is an io_uring with restrictions (IORING_REGISTER_RESTRICTIONS), which are not shown; make it without them";
                problems.push(Problem::of(at.clone(), why));
            }
            answers.entry(ring.file).or_insert((at, false)).1 |= !failed(eventfd, &[libc::EEXIST]);
        }
    }
}

impl AskRing {
    fn ask(ring: Ring, program: &mut Program) -> Self {
        let none = program.bytes((-1i32).to_ne_bytes());
        let mut register = |opcode: u32, argument: Arg, count: u64, what: &str| {
            let args = [ring.fd.into(), opcode.into(), argument, count.into()];
            let what = format!("look for {what} of fd {}", ring.fd);
            program.call_unchecked(libc::SYS_io_uring_register, &args, what)
        };
        let eventfd = register(REGISTER_EVENTFD, none.into(), 1, "an eventfd");
        let restrictions = register(REGISTER_RESTRICTIONS, Arg::Imm(0), 0, "restrictions");
        AskRing { ring, eventfd, restrictions }
    }
}

/// Refuses rings that have answered no thread.
pub fn refuse_silent(answers: Answers, problems: &mut Problems) {
    for (at, _) in answers.into_values().filter(|(_, answered)| !answered) {
        let why = " is an io_uring for one thread only (IORING_SETUP_SINGLE_ISSUER), which is not in the job or has ended; close it first";
        problems.push(Problem::of(at, why));
    }
}
