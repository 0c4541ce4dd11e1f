//! A consistent cut: one process counts up, the other copies. The copy is never ahead and never
//! more than one behind.

use crate::framework::prelude::*;
use std::sync::atomic::Ordering;

pub const WORKLOAD: Workload = Workload {
    purpose: "two processes that answer each other through shared memory",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    let (asked, answered) = (shared.number(0), shared.number(1));
    let stop = shared.cell(0);
    let asking = fork("asking process", || {
        let mut count = 0;
        while stop.get() == 0 {
            count += 1;
            asked.store(count, Ordering::SeqCst);
            while answered.load(Ordering::SeqCst) != count {
                expect(answered.load(Ordering::SeqCst) + 1 >= count, || "an answer was taken back".into())?;
                std::thread::yield_now();
            }
        }
        // Releases the other one.
        asked.store(u64::MAX, Ordering::SeqCst);
        Ok(())
    })?;
    let answering = fork("answering process", || {
        let mut last = 0;
        loop {
            match asked.load(Ordering::SeqCst) {
                u64::MAX => return Ok(()),
                now if now == last => std::thread::yield_now(),
                now => {
                    expect_eq("next number", now, last + 1)?;
                    answered.store(now, Ordering::SeqCst);
                    last = now;
                }
            }
        }
    })?;
    sync::wait_until("the first answers", || Ok(answered.load(Ordering::SeqCst) > 10))?;

    cx.ready()?;

    let before = answered.load(Ordering::SeqCst);
    sync::wait_until("more answers", || Ok(answered.load(Ordering::SeqCst) > before + 10))?;
    stop.set(1);
    asking.join()?;
    answering.join()
}
