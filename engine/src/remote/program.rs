//! A program: calls and their data, independent of addresses until it is loaded.

use crate::arch;
use crate::sys::RemoteAddr;
use std::collections::{HashMap, HashSet};

/// Identifies a call of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(usize);

/// Identifies a buffer of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataId(usize);

/// An argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arg {
    /// An immediate value.
    Imm(u64),
    /// The result of an earlier call.
    Result(CallId),
    /// The address of a buffer, plus an offset in bytes.
    Data(DataId, u64),
    /// The eight bytes at an offset in a buffer, loaded when the call is made: what an earlier call
    /// has written there. A parameter that the kernel declares narrower, such as a descriptor, uses
    /// the lower part.
    Load(DataId, u64),
}

impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Arg::Imm(value)
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Arg::Imm(value as u64)
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Arg::Imm(value.into())
    }
}

impl From<i32> for Arg {
    fn from(value: i32) -> Self {
        Arg::Imm(value as i64 as u64)
    }
}

impl From<usize> for Arg {
    fn from(value: usize) -> Self {
        Arg::Imm(value as u64)
    }
}

impl From<RemoteAddr> for Arg {
    fn from(value: RemoteAddr) -> Self {
        Arg::Imm(value.0)
    }
}

impl From<CallId> for Arg {
    fn from(value: CallId) -> Self {
        Arg::Result(value)
    }
}

impl From<DataId> for Arg {
    fn from(value: DataId) -> Self {
        Arg::Data(value, 0)
    }
}

/// The result that a call must have for the program to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any; the caller checks the result.
    Any,
    /// No error.
    Success,
    /// Exactly this value.
    Value(u64),
}

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// System call number.
    pub nr: i64,
    /// Arguments, the missing ones 0.
    pub args: [Arg; 6],
    /// The result without which the program stops.
    pub expect: Expect,
    /// Name of the call in error messages.
    pub what: String,
}

/// A buffer that is loaded with the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buffer {
    /// Bytes for the kernel to read (it may write to them, too).
    In(Vec<u8>),
    /// Room for this many bytes of output, read back after the run.
    Out(usize),
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Buffer::In(bytes) => bytes.len(),
            Buffer::Out(len) => *len,
        }
    }
}

/// A table of system calls with their buffers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    calls: Vec<Call>,
    buffers: Vec<Buffer>,
    /// Addresses of buffers to write into other buffers at load time, by index of the buffer
    /// written to: (offset in it, buffer pointed to, offset in that).
    pointers: HashMap<usize, Vec<(u64, DataId, u64)>>,
}

impl Program {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// The calls, in order.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether the program has no calls.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Bytes that the kernel reads.
    pub fn bytes(&mut self, bytes: impl Into<Vec<u8>>) -> DataId {
        self.buffers.push(Buffer::In(bytes.into()));
        DataId(self.buffers.len() - 1)
    }

    /// A path or name: bytes with a terminating NUL.
    pub fn cstr(&mut self, text: &[u8]) -> DataId {
        let mut bytes = text.to_vec();
        bytes.push(0);
        self.bytes(bytes)
    }

    /// Room for `len` bytes of output.
    pub fn out(&mut self, len: usize) -> DataId {
        self.buffers.push(Buffer::Out(len));
        DataId(self.buffers.len() - 1)
    }

    /// Writes the address of `of` plus `plus` into `into` at offset `at`, for kernel structs that
    /// contain pointers.
    pub fn pointer_to(&mut self, into: DataId, at: u64, of: DataId, plus: u64) {
        self.pointers.entry(into.0).or_default().push((at, of, plus));
    }

    /// Adds a call.
    pub fn call(&mut self, nr: i64, args: &[Arg], expect: Expect, what: impl Into<String>) -> CallId {
        let mut all = [Arg::Imm(0); 6];
        all[..args.len()].copy_from_slice(args);
        self.calls.push(Call { nr, args: all, expect, what: what.into() });
        CallId(self.calls.len() - 1)
    }

    /// Adds a call that must not fail.
    pub fn call_ok(&mut self, nr: i64, args: &[Arg], what: impl Into<String>) -> CallId {
        self.call(nr, args, Expect::Success, what)
    }

    /// Adds a call that must return `value`.
    pub fn call_returning(&mut self, nr: i64, args: &[Arg], value: u64, what: impl Into<String>) -> CallId {
        self.call(nr, args, Expect::Value(value), what)
    }

    /// Adds a call whose result the caller checks.
    pub fn call_unchecked(&mut self, nr: i64, args: &[Arg], what: impl Into<String>) -> CallId {
        self.call(nr, args, Expect::Any, what)
    }

    /// The outcome if `answer` supplies the result of every call instead of the kernel.
    pub(super) fn answered<E>(
        &self,
        mut answer: impl FnMut(&Call) -> Result<Answer, E>,
    ) -> Result<ProgramOutput, E> {
        let room = |buffer: &Buffer| match buffer {
            Buffer::In(_) => Vec::new(),
            Buffer::Out(len) => vec![0; *len],
        };
        let mut outcome =
            ProgramOutput { results: Vec::new(), buffers: self.buffers.iter().map(room).collect() };
        for call in &self.calls {
            let Answer { result, written } = answer(call)?;
            outcome.results.push(result);
            if let Some((argument, bytes)) = written
                && let Arg::Data(id, plus) = call.args[argument]
            {
                outcome.buffers[id.0][plus as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(outcome)
    }
}

/// The result of a call, and the bytes it writes to the address in the argument of this number.
pub(super) struct Answer {
    pub result: i64,
    pub written: Option<(usize, Vec<u8>)>,
}

/// The outcome of a run: the result of each call, and the final buffers.
#[derive(Debug, Clone)]
pub struct ProgramOutput {
    results: Vec<i64>,
    buffers: Vec<Vec<u8>>,
}

impl ProgramOutput {
    /// The result of a call; negative values are errnos.
    pub fn result(&self, call: CallId) -> i64 {
        self.results[call.0]
    }

    /// The bytes of an `out` buffer.
    pub fn data(&self, id: DataId) -> &[u8] {
        &self.buffers[id.0]
    }
}

/// A part of a program that fits the scratch range, laid out for an address.
pub(super) struct Batch {
    /// Table and data, to be written at the table's address.
    pub image: Vec<u8>,
    /// Number of calls in this batch.
    pub count: usize,
    first: usize,
    /// Index of each of the batch's buffers, and its offset in `image`.
    placed: Vec<(usize, usize)>,
}

/// Runs a program batch by batch.
pub(super) struct Loader<'a> {
    program: &'a Program,
    next: usize,
    results: Vec<i64>,
    /// Contents after the last batch that used the buffer.
    buffers: Vec<Option<Vec<u8>>>,
}

fn align8(n: usize) -> usize {
    n.next_multiple_of(8)
}

impl<'a> Loader<'a> {
    pub fn new(program: &'a Program) -> Self {
        Loader { program, next: 0, results: Vec::new(), buffers: vec![None; program.buffers.len()] }
    }

    /// Buffers that a call needs in memory: its own and those they point to.
    fn needs(&self, call: &Call) -> Vec<usize> {
        let mut need: Vec<usize> = call
            .args
            .iter()
            .filter_map(|a| match a {
                Arg::Data(id, _) | Arg::Load(id, _) => Some(id.0),
                Arg::Imm(_) | Arg::Result(_) => None,
            })
            .collect();
        let mut at = 0;
        while at < need.len() {
            for (_, of, _) in self.program.pointers.get(&need[at]).into_iter().flatten() {
                if !need.contains(&of.0) {
                    need.push(of.0);
                }
            }
            at += 1;
        }
        need
    }

    /// The next calls that fit `room` bytes at `base`, or `None` when all are done.
    ///
    /// # Errors
    /// The name of a call that is too large by itself.
    pub fn batch(&mut self, base: RemoteAddr, room: usize) -> Result<Option<Batch>, String> {
        if self.next == self.program.calls.len() {
            return Ok(None);
        }
        let (mut count, mut data_len) = (0, 0);
        let mut wanted: Vec<usize> = Vec::new();
        let mut have = HashSet::new();
        for call in &self.program.calls[self.next..] {
            let fresh: Vec<usize> = self.needs(call).into_iter().filter(|b| !have.contains(b)).collect();
            let more: usize = fresh.iter().map(|b| align8(self.program.buffers[*b].len())).sum();
            if (count + 1) * arch::ENTRY_SIZE as usize + data_len + more + 8 > room {
                break;
            }
            count += 1;
            data_len += more;
            have.extend(fresh.iter().copied());
            wanted.extend(fresh);
        }
        if count == 0 {
            return Err(self.program.calls[self.next].what.clone());
        }
        Ok(Some(self.lay_out(base, count, &wanted)))
    }

    fn lay_out(&self, base: RemoteAddr, count: usize, wanted: &[usize]) -> Batch {
        let entry = arch::ENTRY_SIZE as usize;
        let mut image = vec![0u8; count * entry];
        let mut placed = Vec::new();
        for &id in wanted {
            placed.push((id, image.len()));
            match (&self.buffers[id], &self.program.buffers[id]) {
                // As an earlier batch left it.
                (Some(bytes), _) | (None, Buffer::In(bytes)) => image.extend_from_slice(bytes),
                (None, Buffer::Out(len)) => image.resize(image.len() + len, 0),
            }
            image.resize(align8(image.len()), 0);
        }
        if !wanted.is_empty() {
            // Eight bytes can be loaded at the very end of the last buffer, too.
            image.resize(image.len() + 8, 0);
        }
        let address: HashMap<usize, u64> = placed.iter().map(|(id, at)| (*id, base.0 + *at as u64)).collect();
        for (into, start) in &placed {
            for (at, of, plus) in self.program.pointers.get(into).into_iter().flatten() {
                let at = start + *at as usize;
                image[at..at + 8].copy_from_slice(&(address[&of.0] + plus).to_le_bytes());
            }
        }
        for (slot, call) in self.program.calls[self.next..self.next + count].iter().enumerate() {
            let mut words = [0u64; 10];
            words[0] = call.nr as u64;
            for (i, arg) in call.args.iter().enumerate() {
                words[i + 1] = match arg {
                    Arg::Imm(value) => *value,
                    Arg::Data(id, plus) => address[&id.0] + plus,
                    Arg::Load(id, plus) => {
                        words[7] |= 1 << i;
                        address[&id.0] + plus
                    }
                    Arg::Result(of) if of.0 < self.next => self.results[of.0] as u64,
                    Arg::Result(of) => {
                        words[7] |= 1 << i;
                        base.0 + (of.0 - self.next) as u64 * arch::ENTRY_SIZE + arch::ENTRY_RESULT
                    }
                };
            }
            match call.expect {
                Expect::Any => {}
                Expect::Success => words[7] |= 64,
                Expect::Value(value) => {
                    words[7] |= 128;
                    words[9] = value;
                }
            }
            for (i, word) in words.iter().enumerate() {
                let at = slot * entry + i * 8;
                image[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        Batch { image, count, first: self.next, placed }
    }

    /// Reads the results of a batch from its memory after the run; `left` calls were not completed.
    ///
    /// # Errors
    /// The call that stopped the program and its result.
    pub fn take(&mut self, batch: &Batch, memory: &[u8], left: usize) -> Result<(), Box<(Call, i64)>> {
        let entry = arch::ENTRY_SIZE as usize;
        let result = |slot: usize| {
            let at = slot * entry + arch::ENTRY_RESULT as usize;
            i64::from_le_bytes(memory[at..at + 8].try_into().expect("eight bytes"))
        };
        if left > 0 {
            let failed = batch.count - left;
            return Err(Box::new((self.program.calls[batch.first + failed].clone(), result(failed))));
        }
        self.results.extend((0..batch.count).map(result));
        for (id, at) in &batch.placed {
            let len = self.program.buffers[*id].len();
            self.buffers[*id] = Some(memory[*at..*at + len].to_vec());
        }
        self.next += batch.count;
        Ok(())
    }

    pub fn outcome(self) -> ProgramOutput {
        let buffers = self.buffers.into_iter().map(Option::unwrap_or_default);
        ProgramOutput { results: self.results, buffers: buffers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(image: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(image[at..at + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn results_are_reached_through_the_table() {
        let mut p = Program::new();
        let path = p.cstr(b"/x");
        let fd = p.call_ok(2, &[path.into()], "open");
        p.call_ok(3, &[fd.into()], "close");
        let mut loader = Loader::new(&p);
        let batch = loader.batch(RemoteAddr(0x1000), 4096).unwrap().unwrap();
        assert_eq!(batch.count, 2);
        assert_eq!(word(&batch.image, 8), 0x1000 + 160);
        assert_eq!(word(&batch.image, 80 + 8), 0x1000 + 64);
        assert_eq!(word(&batch.image, 80 + 56), 64 | 1);
        let mut memory = batch.image.clone();
        memory[64..72].copy_from_slice(&5u64.to_le_bytes());
        loader.take(&batch, &memory, 0).unwrap();
        assert!(loader.batch(RemoteAddr(0x1000), 4096).unwrap().is_none());
        assert_eq!(loader.outcome().result(fd), 5);
    }

    #[test]
    fn a_later_batch_gets_earlier_results_as_numbers() {
        let mut p = Program::new();
        let fd = p.call_ok(2, &[], "open");
        p.call_ok(3, &[fd.into()], "close");
        let mut loader = Loader::new(&p);
        let first = loader.batch(RemoteAddr(0), 100).unwrap().unwrap();
        assert_eq!(first.count, 1);
        let mut memory = first.image.clone();
        memory[64..72].copy_from_slice(&9u64.to_le_bytes());
        loader.take(&first, &memory, 0).unwrap();
        let second = loader.batch(RemoteAddr(0), 100).unwrap().unwrap();
        assert_eq!((word(&second.image, 8), word(&second.image, 56)), (9, 64));
    }

    #[test]
    fn a_failing_call_is_named() {
        let mut p = Program::new();
        p.call_ok(9, &[], "mmap");
        let mut loader = Loader::new(&p);
        let batch = loader.batch(RemoteAddr(0), 100).unwrap().unwrap();
        let mut memory = batch.image.clone();
        memory[64..72].copy_from_slice(&(-12i64).to_le_bytes());
        let (call, errno) = *loader.take(&batch, &memory, 1).unwrap_err();
        assert_eq!((call.what.as_str(), errno), ("mmap", -12));
    }

    #[test]
    fn an_answered_program_looks_like_one_that_was_run() {
        let mut p = Program::new();
        let out = p.out(8);
        let told = p.call_ok(1, &[Arg::Imm(7), out.into()], "ask");
        let refused = p.call_unchecked(2, &[], "ask more");
        let outcome = p.answered(|call| match call.nr {
            1 => Ok(Answer { result: 5, written: Some((1, vec![1, 2])) }),
            2 => Ok(Answer { result: -22, written: None }),
            _ => Err(()),
        });
        let outcome = outcome.unwrap();
        assert_eq!((outcome.result(told), outcome.result(refused)), (5, -22));
        assert_eq!(outcome.data(out), [1, 2, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_call_that_never_fits_is_refused() {
        let mut p = Program::new();
        let big = p.out(4096);
        p.call_ok(0, &[big.into()], "read");
        assert_eq!(Loader::new(&p).batch(RemoteAddr(0), 1000).err().as_deref(), Some("read"));
    }

    #[test]
    fn pointers_inside_buffers_are_filled_in() {
        let mut p = Program::new();
        let name = p.bytes(*b"abcdefgh");
        let iov = p.bytes(vec![0; 16]);
        p.pointer_to(iov, 8, name, 2);
        p.call_ok(20, &[iov.into()], "writev");
        let batch = Loader::new(&p).batch(RemoteAddr(0x2000), 4096).unwrap().unwrap();
        let (iov_at, name_at) = (80, 96);
        assert_eq!(word(&batch.image, 8), 0x2000 + iov_at);
        assert_eq!(word(&batch.image, iov_at as usize + 8), 0x2000 + name_at + 2);
    }

    #[test]
    fn what_a_call_has_written_can_be_an_argument() {
        let mut p = Program::new();
        let ends = p.out(8);
        p.call_ok(22, &[ends.into()], "make pipe");
        p.call_ok(3, &[Arg::Load(ends, 4)], "close write end");
        let mut loader = Loader::new(&p);
        let batch = loader.batch(RemoteAddr(0x1000), 4096).unwrap().unwrap();
        assert_eq!(word(&batch.image, 8), 0x1000 + 160);
        assert_eq!((word(&batch.image, 80 + 8), word(&batch.image, 80 + 56)), (0x1000 + 164, 64 | 1));
        assert!(batch.image.len() >= 160 + 4 + 8, "eight bytes are loaded");
    }

    #[test]
    fn a_buffer_is_in_a_later_batch_as_it_was_left() {
        let mut p = Program::new();
        let (out, given) = (p.out(4), p.bytes(*b"ask"));
        p.call_ok(1, &[out.into(), given.into()], "fill");
        p.call_ok(2, &[out.into(), given.into()], "use");
        let mut loader = Loader::new(&p);
        let room = 80 + 16 + 8;
        let first = loader.batch(RemoteAddr(0), room).unwrap().unwrap();
        assert_eq!(first.count, 1);
        let mut memory = first.image.clone();
        memory[80..84].copy_from_slice(b"told");
        memory[88..91].copy_from_slice(b"ASK");
        loader.take(&first, &memory, 0).unwrap();
        let second = loader.batch(RemoteAddr(0), room).unwrap().unwrap();
        assert_eq!((&second.image[80..84], &second.image[88..91]), (&b"told"[..], &b"ASK"[..]));
        loader.take(&second, &second.image.clone(), 0).unwrap();
        assert_eq!(loader.outcome().data(out), b"told");
    }
}
