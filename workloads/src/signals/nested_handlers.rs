//! Three handlers have interrupted each other; the innermost is blocked. All return, in order.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "three nested signal frames, unwound through sigreturn afterwards",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static PIPE: AtomicI32 = AtomicI32::new(-1);
static TRACE: AtomicU64 = AtomicU64::new(0);
static MASKS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

extern "C" fn nest(number: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let (depth, next) = match number {
        libc::SIGUSR1 => (0, Some(libc::SIGUSR2)),
        libc::SIGUSR2 => (1, Some(libc::SIGHUP)),
        _ => (2, None),
    };
    // A value in this frame, checked when the handlers above it have returned.
    let local = std::hint::black_box(0x1111 * (depth + 1) as u64);
    // SAFETY: raise and read are async-signal-safe; the byte lives through the call.
    unsafe {
        match next {
            Some(next) => _ = libc::raise(next),
            None => {
                let mut byte = 0u8;
                libc::read(PIPE.load(SeqCst), (&raw mut byte).cast(), 1);
            }
        }
    }
    MASKS[depth].store(signal::mask().unwrap_or(0), SeqCst);
    TRACE.store((TRACE.load(SeqCst) << 16) | std::hint::black_box(local), SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (reader, writer) = fd::pipe(0)?;
    let child = fork("the interrupted process", || {
        PIPE.store(reader.as_raw_fd(), SeqCst);
        signal::handle(libc::SIGUSR1, nest, 0, &[libc::SIGTERM])?;
        signal::handle(libc::SIGUSR2, nest, 0, &[])?;
        signal::handle(libc::SIGHUP, nest, libc::SA_NODEFER, &[libc::SIGINT])?;
        signal::kill(sys::getpid(), libc::SIGUSR1)?;
        expect_eq("returns, innermost first", TRACE.load(SeqCst), 0x3333_2222_1111u64)?;
        let one = signal::bits(&[libc::SIGUSR1, libc::SIGTERM]);
        let two = one | signal::bit(libc::SIGUSR2);
        let masks = MASKS.each_ref().map(|m| m.load(SeqCst));
        expect_eq("masks by depth", masks, [one, two, two | signal::bit(libc::SIGINT)])?;
        expect_eq("mask at the end", signal::mask()?, 0u64)
    })?;
    stage.wait_in(&child, libc::SYS_read)?;

    cx.ready()?;

    fd::write_all(&writer, b"x")?;
    child.join()
}
