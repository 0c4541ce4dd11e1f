//! A signal to the process is delivered to the only thread that does not block it.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const WORKLOAD: Workload = Workload {
    purpose: "delivery of a process signal to the one thread whose mask admits it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

static RAN_ON: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    RAN_ON.store(sys::gettid(), SeqCst);
}

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let signals = [libc::SIGUSR1, libc::SIGUSR2, 42, 43];
    signal::block(&signals)?;
    let mut threads = Vec::new();
    for number in signals {
        signal::handle(number, note, libc::SA_RESTART, &[])?;
        threads.push(thread::spawn(move || {
            signal::unblock(&[number])?;
            GO.block_until(1);
            Ok(())
        })?);
    }
    for thread in &threads {
        thread.wait_blocked_in(libc::SYS_futex)?;
    }

    cx.ready()?;

    for (number, thread) in signals.iter().zip(&threads).rev() {
        signal::kill(sys::getpid(), *number)?;
        sync::wait_until("a handler to run", || Ok(RAN_ON.load(SeqCst) == thread.tid))
            .with_context(|| format!("signal {number} ran on {}", RAN_ON.load(SeqCst)))?;
    }
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}
