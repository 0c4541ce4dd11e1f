//! Descriptor tables: numbers, and the open file description that each refers to.

use crate::error::{Context, Error, Result};
use crate::remote::{Arg, Program};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fd {
    /// Its number.
    pub fd: i32,
    /// Index of the open file description.
    pub file: usize,
    /// `FD_CLOEXEC`
    pub cloexec: bool,
}

/// The descriptor numbers of a thread, sorted.
///
/// # Errors
/// *vanished*
pub fn numbers(tid: i32) -> Result<Vec<i32>> {
    let dir = format!("/proc/{tid}/fd");
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(&dir).context(|| format!("read {dir}"))? {
        let name = entry.context(|| format!("read {dir}"))?.file_name();
        let number = name.to_str().and_then(|n| n.parse().ok());
        numbers.push(number.ok_or_else(|| Error::unsupported(format!("{dir}: odd entry {name:?}")))?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Descriptor numbers that the engine uses for what new processes inherit.
#[derive(Debug)]
pub struct Slots {
    /// Numbers used in some descriptor table.
    wanted: HashSet<i32>,
    next: i32,
    /// One past the highest number chosen.
    end: i32,
}

impl Slots {
    /// Chooses numbers from `first` on.
    pub fn new<'a>(tables: impl Iterator<Item = &'a [Fd]>, first: i32) -> Self {
        Slots { wanted: tables.flatten().map(|fd| fd.fd).collect(), next: first, end: first }
    }

    /// The lowest number that no table uses and that was not chosen yet. A table may have its
    /// highest numbers just below the hard limit, so gaps are used first.
    pub fn free(&mut self) -> i32 {
        while self.wanted.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.end = self.end.max(self.next);
        self.next - 1
    }

    /// Chooses a slot for every open file: its number in some descriptor table, if not below the
    /// first slot, so that a table of any size needs hardly more numbers than it has; otherwise a
    /// free one.
    pub fn of_files<'a>(&mut self, files: usize, tables: impl Iterator<Item = &'a [Fd]>) -> Vec<i32> {
        let first = self.next;
        let mut slots = vec![None; files];
        let mut taken = HashSet::new();
        for fd in tables.flatten() {
            if fd.fd >= first && slots[fd.file].is_none() && taken.insert(fd.fd) {
                slots[fd.file] = Some(fd.fd);
                self.end = self.end.max(fd.fd + 1);
            }
        }
        slots.into_iter().map(|slot| slot.unwrap_or_else(|| self.free())).collect()
    }

    /// One past the highest number chosen.
    pub fn end(&self) -> i32 {
        self.end
    }
}

/// The descriptor with this number in a table, which is sorted.
pub fn find(table: &[Fd], number: i32) -> Option<&Fd> {
    table.binary_search_by_key(&number, |fd| fd.fd).ok().map(|at| &table[at])
}

/// The lowest number that a table, which is sorted, does not use.
pub fn lowest_free(table: &[Fd]) -> i32 {
    (0..).zip(table).find(|(number, fd)| fd.fd != *number).map_or(table.len() as i32, |(number, _)| number)
}

/// Duplicates the descriptor `from` to `number`, whatever that was before.
pub fn place(from: impl Into<Arg>, number: i32, cloexec: bool, program: &mut Program) {
    let flags = if cloexec { libc::O_CLOEXEC } else { 0 };
    let args: [Arg; 3] = [from.into(), number.into(), flags.into()];
    program.call_returning(libc::SYS_dup3, &args, number as u64, format!("place fd {number}"));
}

/// Arranges the descriptor table: moves each file from its slot to its numbers and closes all else.
/// A number that is another file's slot is overwritten once that file has been moved; a cycle is
/// broken by way of `spare`.
pub fn rebuild_table(fds: &[Fd], slots: &[i32], spare: i32, program: &mut Program) {
    let in_place = |fd: &&Fd| slots[fd.file] == fd.fd;
    for fd in fds.iter().filter(in_place).filter(|fd| !fd.cloexec) {
        let args: [Arg; 3] = [fd.fd.into(), libc::F_SETFD.into(), Arg::Imm(0)];
        program.call_ok(libc::SYS_fcntl, &args, format!("keep fd {} on exec", fd.fd));
    }
    // Pending moves by target number, and how many of them still need the file at a number.
    let mut moves: BTreeMap<i32, (&Fd, i32)> =
        fds.iter().filter(|fd| !in_place(fd)).map(|fd| (fd.fd, (fd, slots[fd.file]))).collect();
    let mut needs: HashMap<i32, usize> = HashMap::new();
    moves.values().for_each(|(_, from)| *needs.entry(*from).or_default() += 1);
    let mut ready: Vec<i32> = moves.keys().rev().copied().filter(|fd| !needs.contains_key(fd)).collect();
    loop {
        while let Some(number) = ready.pop() {
            let Some((fd, from)) = moves.remove(&number) else { continue };
            place(from, number, fd.cloexec, program);
            let left = needs.get_mut(&from).expect("it was counted");
            *left -= 1;
            if *left == 0 {
                needs.remove(&from);
                ready.push(from);
            }
        }
        let Some(number) = moves.keys().next().copied() else { break };
        let args: [Arg; 3] = [number.into(), spare.into(), Arg::Imm(0)];
        program.call_returning(libc::SYS_dup3, &args, spare as u64, format!("make room at fd {number}"));
        let waiting = needs.remove(&number).expect("else it would have been ready");
        needs.insert(spare, waiting);
        moves.values_mut().filter(|(_, from)| *from == number).for_each(|(_, from)| *from = spare);
        ready.push(number);
    }
    let mut next = 0;
    for fd in fds {
        close_range(next, fd.fd - 1, program);
        next = fd.fd + 1;
    }
    close_range(next, i32::MAX, program);
}

/// Descriptors that one message can carry: less than `SCM_MAX_FD`, include/net/scm.h.
pub const MOST_AT_ONCE: usize = 250;

/// Receives descriptors that the engine has sent in one message (unix(7), `SCM_RIGHTS`), in this
/// order, and puts each at its number. Until then all these numbers are descriptors of the socket
/// to receive from, so that no descriptor arrives at one of them.
pub fn receive(fds: &[&Fd], program: &mut Program) {
    let Some(first) = fds.first() else { return };
    assert!(fds.len() <= MOST_AT_ONCE, "it is one message");
    // struct msghdr, iovec and cmsghdr of 64-bit systems.
    const IOV: u64 = 16;
    const IOV_COUNT: usize = 24;
    const CONTROL: u64 = 32;
    const CONTROL_LEN: usize = 40;
    let control_len = CMSG_HEADER + (fds.len() * 4).next_multiple_of(8);
    // No descriptor is -1: one that has not arrived cannot be mistaken for another.
    let control = program.bytes(vec![0xff; control_len]);
    let byte = program.bytes([0]);
    let mut iov = [0; 16];
    iov[8..].copy_from_slice(&1u64.to_ne_bytes());
    let iov = program.bytes(iov);
    program.pointer_to(iov, 0, byte, 0);
    let mut message = [0; 56];
    message[IOV_COUNT..][..8].copy_from_slice(&1u64.to_ne_bytes());
    message[CONTROL_LEN..][..8].copy_from_slice(&(control_len as u64).to_ne_bytes());
    let message = program.bytes(message);
    program.pointer_to(message, IOV, iov, 0);
    program.pointer_to(message, CONTROL, control, 0);
    let args: [Arg; 3] = [first.fd.into(), message.into(), libc::MSG_CMSG_CLOEXEC.into()];
    program.call_returning(libc::SYS_recvmsg, &args, 1, format!("receive {} descriptors", fds.len()));
    for (nth, fd) in fds.iter().enumerate() {
        let received = Arg::Load(control, (CMSG_HEADER + 4 * nth) as u64);
        place(received, fd.fd, fd.cloexec, program);
        program.call_ok(libc::SYS_close, &[received], format!("close where fd {} arrived", fd.fd));
    }
}

/// Bytes of `struct cmsghdr`.
const CMSG_HEADER: usize = 16;

fn close_range(first: i32, last: i32, program: &mut Program) {
    if first <= last {
        let what = format!("close fds {first} to {last}");
        program.call_ok(libc::SYS_close_range, &[first.into(), last.into(), Arg::Imm(0)], what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_table_with_gaps_is_closed_around_its_descriptors() {
        let fd = |fd, file| Fd { fd, file, cloexec: fd == 5 };
        let mut program = Program::new();
        rebuild_table(&[fd(0, 0), fd(1, 0), fd(5, 1)], &[100, 101], 102, &mut program);
        let what: Vec<_> = program.calls().iter().map(|c| c.what.as_str()).collect();
        let want =
            ["place fd 0", "place fd 1", "place fd 5", "close fds 2 to 4", "close fds 6 to 2147483647"];
        assert_eq!(what, want);
    }

    #[test]
    fn a_table_is_searched_by_number() {
        let table: Vec<Fd> = [0, 1, 3].map(|fd| Fd { fd, file: 7, cloexec: false }).into();
        assert_eq!((find(&table, 3), find(&table, 2)), (Some(&table[2]), None));
        let lowest = [0, 1, 2, 3].map(|len| lowest_free(&table[..len]));
        assert_eq!(lowest, [0, 1, 2, 2]);
    }

    /// Simulates the calls on a table of (file, close on exec).
    fn play(program: &Program, table: &mut BTreeMap<i32, (usize, bool)>) {
        let imm = |arg: Arg| match arg {
            Arg::Imm(value) => value as i32,
            other => panic!("{other:?}"),
        };
        for call in program.calls() {
            let args = call.args.map(imm);
            match call.nr {
                libc::SYS_dup3 => {
                    assert_ne!(args[0], args[1], "dup3 onto itself is EINVAL");
                    let (file, _) = table[&args[0]];
                    table.insert(args[1], (file, args[2] & libc::O_CLOEXEC != 0));
                }
                libc::SYS_fcntl => table.get_mut(&args[0]).expect("it is open").1 = args[2] != 0,
                libc::SYS_close_range => table.retain(|fd, _| !(args[0]..=args[1]).contains(fd)),
                other => panic!("call {other}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_table_comes_out_as_it_was(
            tables in prop::collection::vec(prop::collection::btree_map(0i32..40, (0usize..12, any::<bool>()), 0..20), 1..4),
            first in 1i32..30,
        ) {
            let to_fd = |(fd, (file, cloexec)): (&i32, &(usize, bool))| Fd { fd: *fd, file: *file, cloexec: *cloexec };
            let fds: Vec<Vec<Fd>> = tables.iter().map(|table| table.iter().map(to_fd).collect()).collect();
            let tables_of = || fds.iter().map(Vec::as_slice);
            let mut choice = Slots::new(tables_of(), first);
            let slots = choice.of_files(12, tables_of());
            let spare = choice.free();
            prop_assert_eq!(slots.iter().chain([&spare]).collect::<HashSet<_>>().len(), slots.len() + 1);
            prop_assert!(slots.iter().chain([&spare]).all(|slot| (first..choice.end()).contains(slot)));
            // Gaps are used before higher numbers.
            let highest = fds.iter().flatten().map(|fd| fd.fd + 1).max().unwrap_or(0);
            let numbers: HashSet<i32> = fds.iter().flatten().map(|fd| fd.fd).collect();
            let gaps = (first..highest).filter(|number| !numbers.contains(number)).count() as i32;
            prop_assert!(choice.end() <= highest.max(first) + (13 - gaps).max(0));
            for (table, fds) in tables.iter().zip(&fds) {
                let mut now: BTreeMap<i32, (usize, bool)> = slots.iter().enumerate().map(|(file, slot)| (*slot, (file, true))).collect();
                now.insert(0, (99, false)); // the engine's own
                let mut program = Program::new();
                rebuild_table(fds, &slots, spare, &mut program);
                play(&program, &mut now);
                prop_assert_eq!(&now, table);
            }
        }
    }
}
