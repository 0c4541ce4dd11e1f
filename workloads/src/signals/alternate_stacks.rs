//! Every thread has its own alternate stack, or none, and a handler runs on it afterwards.

use crate::framework::prelude::*;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

pub const WORKLOAD: Workload = Workload {
    purpose: "the alternate signal stack of each thread, SS_AUTODISARM among them",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// SS_AUTODISARM of <linux/signal.h>: the stack is unset while a handler runs on it.
const SS_AUTODISARM: i32 = 1 << 31;

static FROM: AtomicUsize = AtomicUsize::new(0);

extern "C" fn where_am_i(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let local = 0u8;
    FROM.store(&raw const local as usize, SeqCst);
}

/// Sets or reads the calling thread's alternate stack.
fn sigaltstack(new: Option<(usize, usize, i32)>) -> anyhow::Result<(usize, usize, i32)> {
    let new =
        new.map(|(sp, size, flags)| libc::stack_t { ss_sp: sp as *mut _, ss_flags: flags, ss_size: size });
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: both structs live through the call; the stacks that are set stay mapped.
    sys::check("sigaltstack", unsafe { libc::sigaltstack(new, &mut old) })?;
    Ok((old.ss_sp as usize, old.ss_size, old.ss_flags))
}

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    // Handlers one at a time: they share their result variables.
    static TURN: Mutex<()> = Mutex::new(());
    signal::handle(libc::SIGUSR1, where_am_i, libc::SA_ONSTACK, &[])?;
    let mut threads = Vec::new();
    for (index, flags) in [0, SS_AUTODISARM, 0, libc::SS_DISABLE].into_iter().enumerate() {
        let body = move || {
            let stack = Mapping::private((8 + index) * 4 * page_size())?;
            let set = (stack.start() + 16 * index, stack.len() - 4096, flags);
            sigaltstack(Some(if flags == libc::SS_DISABLE { (0, 0, flags) } else { set }))?;
            let want = sigaltstack(None)?;
            GO.block_until(1);
            expect_eq(&format!("alternate stack of thread {index}"), sigaltstack(None)?, want)?;
            let turn = TURN.lock().map_err(|_| anyhow!("another thread failed"))?;
            signal::tgkill(sys::getpid(), sys::gettid(), libc::SIGUSR1)?;
            let (at, range) = (FROM.load(SeqCst), set.0..set.0 + set.1);
            drop(turn);
            expect(range.contains(&at) == (flags != libc::SS_DISABLE), || {
                format!(
                    "thread {index}: handler ran at {at:#x}, alternate stack {range:x?}, flags {flags:#x}"
                )
            })?;
            expect_eq("alternate stack after the handler", sigaltstack(None)?, want)?;
            sigaltstack(Some((0, 0, libc::SS_DISABLE)))?;
            Ok(())
        };
        threads.push(thread::spawn(body)?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }
    let stack = Mapping::private(64 << 10)?;
    let old = sigaltstack(Some((stack.start(), stack.len(), 0)))?;

    cx.ready()?;

    expect_eq("alternate stack of the main thread", sigaltstack(None)?, (stack.start(), stack.len(), 0))?;
    sigaltstack(Some(old))?;
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
