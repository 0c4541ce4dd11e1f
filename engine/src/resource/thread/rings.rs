//! What only its threads can tell of an io_uring(7): an eventfd that is registered with one that
//! answers one thread only, and rings that a thread has registered for itself
//! (`IORING_REGISTER_RING_FDS`, Linux 5.18).

use crate::error::{Problem, Problems, Subject};
use crate::remote::{CallId, Program, ProgramOutput};
use crate::sys::io_uring::REGISTER_EVENTFD;
use std::collections::BTreeMap;

/// `IO_RINGFD_REG_MAX`, include/linux/io_uring_types.h.
const MOST: u64 = 16;

/// `IORING_ENTER_REGISTERED_RING`
const ENTER_REGISTERED: u64 = 1 << 4;

/// `IORING_REGISTER_RESTRICTIONS`: EBADFD for a ring that is enabled; EACCES if it has some, unless
/// they allow this.
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
    eventfds: Vec<(Ring, CallId)>,
    restrictions: Vec<(Ring, CallId)>,
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
        let register = |ring: &Ring| {
            let none = program.bytes((-1i32).to_ne_bytes());
            let args = [ring.fd.into(), REGISTER_EVENTFD.into(), none.into(), 1u64.into()];
            let what = format!("look for an eventfd of fd {}", ring.fd);
            (*ring, program.call_unchecked(libc::SYS_io_uring_register, &args, what))
        };
        let eventfds = rings.iter().map(register).collect();
        let restrict = |ring: &Ring| {
            let args = [ring.fd.into(), REGISTER_RESTRICTIONS.into(), 0u64.into(), 0u64.into()];
            let what = format!("look for restrictions of fd {}", ring.fd);
            (*ring, program.call_unchecked(libc::SYS_io_uring_register, &args, what))
        };
        AskRings { numbers, eventfds, restrictions: rings.iter().map(restrict).collect() }
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
        let restricted = |ring: &Ring| {
            self.restrictions.iter().any(|(other, call)| other == ring && failed(call, &[libc::EACCES]))
        };
        for (ring, call) in &self.eventfds {
            let at = Subject::fd(pid, ring.fd);
            if failed(call, &[libc::EBUSY]) {
                let why = " is an io_uring that has registered an eventfd; unregister it first";
                problems.push(Problem::of(at.clone(), why));
            }
            if restricted(ring) {
                let why = " is an io_uring with restrictions (IORING_REGISTER_RESTRICTIONS), which are not shown; make it without them";
                problems.push(Problem::of(at.clone(), why));
            }
            answers.entry(ring.file).or_insert((at, false)).1 |= !failed(call, &[libc::EEXIST]);
        }
    }
}

/// Refuses rings that have answered no thread.
pub fn refuse_silent(answers: Answers, problems: &mut Problems) {
    for (at, _) in answers.into_values().filter(|(_, answered)| !answered) {
        let why = " is an io_uring for one thread only (IORING_SETUP_SINGLE_ISSUER), which is not in the job or has ended; close it first";
        problems.push(Problem::of(at, why));
    }
}
