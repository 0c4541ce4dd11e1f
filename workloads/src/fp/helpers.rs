//! Threads that block in read(2), or compute without system calls, with their own values in
//! registers.

use crate::framework::prelude::*;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// A function that loads one set of registers, executes read(2) on one byte and stores the
/// registers, with nothing in between: the descriptor, where the byte goes, the registers before,
/// the registers after. Returns what read(2) returned.
pub type OverRead = unsafe extern "C" fn(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize;

/// The input of one thread.
pub struct Blocked {
    /// Its number, from 0.
    pub number: u64,
    /// For contents of its own.
    pub key: u64,
    fd: i32,
}

/// Bytes aligned to a cache line, enough for every instruction that stores registers.
#[repr(C, align(64))]
pub struct Aligned<const N: usize>(pub [u8; N]);

impl Blocked {
    /// The descriptor that the thread reads from: still in a register after the call where the
    /// result has another one.
    #[cfg(target_arch = "x86_64")]
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Runs `function` over the blocked read, from `input`. Returns what it stored.
    pub fn through<const N: usize>(
        &self,
        function: OverRead,
        input: &Aligned<N>,
    ) -> anyhow::Result<Aligned<N>> {
        let (mut output, mut byte) = (Aligned([0xdd; N]), 0u8);
        // SAFETY: `N` is the size that the function reads and writes, by its documentation and the
        // caller's choice; the processor has the feature, which the workload has checked; the
        // buffers live through the call.
        let got = unsafe { function(self.fd, &mut byte, input.0.as_ptr(), output.0.as_mut_ptr()) };
        expect_eq("bytes that read returned", got, 1)?;
        expect_eq("the byte", byte, 0x5a)?;
        Ok(output)
    }
}

/// Starts `count` threads that all run `body`, waits until each is blocked in read(2), passes the
/// gate, and wakes and joins them.
pub fn blocked_threads(cx: &mut Ctx, count: u64, body: fn(&Blocked) -> Outcome) -> Outcome {
    let mut threads = Vec::new();
    for number in 0..count {
        let (reader, writer) = std::io::pipe().context("pipe")?;
        let key = cx.seed + 1000 * number;
        let thread = thread::spawn(move || body(&Blocked { number, key, fd: reader.as_raw_fd() }))?;
        thread.wait_blocked_in(libc::SYS_read)?;
        threads.push((thread, writer));
    }

    cx.ready()?;

    for (thread, mut writer) in threads {
        writer.write_all(&[0x5a]).context("wake a thread")?;
        thread.join()?;
    }
    Ok(())
}

/// A set of registers filled with the stream of `key` comes back unchanged.
pub fn unchanged<const N: usize>(blocked: &Blocked, function: OverRead) -> Outcome {
    let mut input = Aligned([0; N]);
    pattern::fill(&mut input.0, blocked.key);
    let output = blocked.through(function, &input)?;
    expect_bytes(&format!("registers of thread {}", blocked.number), &output.0, &input.0)
}

/// The input of a thread without system calls.
pub struct Spinning {
    /// Its number, from 0.
    pub number: u64,
    /// For contents of its own.
    pub key: u64,
}

/// Becomes 1 when the threads must end.
static STOP: AtomicU32 = AtomicU32::new(0);
static STARTED: Cell = Cell::new();

impl Spinning {
    /// The word that becomes 1 when the thread must end, which its loop reads. Reports that the
    /// thread runs.
    pub fn start(&self) -> *const u32 {
        STARTED.bump();
        STOP.as_ptr()
    }
}

/// Starts `count` threads that all run `body`, passes the gate when all have reported to run, and
/// stops and joins them.
pub fn spinning_threads(cx: &mut Ctx, count: u64, body: fn(&Spinning) -> Outcome) -> Outcome {
    let mut threads = Vec::new();
    for number in 0..count {
        let key = cx.seed + 1000 * number;
        threads.push(thread::spawn(move || body(&Spinning { number, key }))?);
    }
    STARTED.wait("the threads", count as u32)?;

    cx.ready()?;

    std::thread::yield_now();
    STOP.store(1, Ordering::SeqCst);
    threads.into_iter().try_for_each(Thread::join)
}

/// Each lane must be its initial value plus its step times the number of rounds.
pub fn counted(what: &str, now: &[u64], start: &[u64], step: impl Fn(usize) -> u64, rounds: u64) -> Outcome {
    expect(rounds > 0, || "the loop did not run".into())?;
    for (lane, (now, start)) in now.iter().zip(start).enumerate() {
        let want = start.wrapping_add(step(lane).wrapping_mul(rounds));
        expect_eq(&format!("{what}, lane {lane}, after {rounds} rounds"), *now, want)?;
    }
    Ok(())
}
