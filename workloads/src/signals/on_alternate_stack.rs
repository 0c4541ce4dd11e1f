//! A process is blocked inside a handler, on its alternate stack, and returns through sigreturn.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "a handler that is blocked on the alternate stack and returns afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static PIPE: AtomicI32 = AtomicI32::new(-1);
static FLAGS: AtomicI32 = AtomicI32::new(-1);

extern "C" fn blocked(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    let mut byte = 0u8;
    // SAFETY: read and sigaltstack are async-signal-safe; what they write to lives through the
    // calls.
    unsafe {
        libc::read(PIPE.load(SeqCst), (&raw mut byte).cast(), 1);
        libc::sigaltstack(std::ptr::null(), &mut stack);
    }
    FLAGS.store(stack.ss_flags, SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let child = fork("the interrupted process", || {
        PIPE.store(reader.as_raw_fd(), SeqCst);
        let stack = Mapping::private(128 << 10)?;
        let set = libc::stack_t { ss_sp: stack.ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        // SAFETY: the stack stays mapped to the end of the process.
        sys::check("sigaltstack", unsafe { libc::sigaltstack(&set, std::ptr::null_mut()) })?;
        signal::handle(libc::SIGUSR1, blocked, libc::SA_ONSTACK, &[libc::SIGUSR2])?;
        let numbers: Vec<u64> = (0..64).map(|n| n * n).collect();
        signal::kill(sys::getpid(), libc::SIGUSR1)?;
        // The handler has returned to here.
        expect_eq("flags inside of the handler", FLAGS.load(SeqCst), libc::SS_ONSTACK)?;
        expect_eq("locals", numbers.iter().sum::<u64>(), 85_344u64)?;
        expect_eq("mask after the handler", signal::mask()?, 0u64)?;
        let mut now = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: the struct lives through the call.
        sys::check("sigaltstack", unsafe { libc::sigaltstack(std::ptr::null(), &mut now) })?;
        expect_eq("stack afterwards", (now.ss_sp as usize, now.ss_flags), (stack.start(), 0))?;
        Ok(())
    })?;
    stage.wait_in(&child, libc::SYS_read)?;

    cx.ready()?;

    fd::write_all(&writer, b"x")?;
    child.join()
}
