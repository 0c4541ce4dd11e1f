//! Two threads read clocks through the vdso without pause, so that a checkpoint is likely to find
//! an instruction pointer in it. Time must never go back for either.

use super::vdso_symbols::Vdso;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads that are inside of the vdso most of the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static STOP: Cell = Cell::new();

fn run(cx: &mut Ctx) -> Outcome {
    let threads = [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME].map(|id| {
        thread::spawn(move || {
            let clock = Vdso::find()?.clock_gettime()?;
            let mut last = clock(id)?;
            while STOP.get() == 0 {
                let now = clock(id)?;
                expect(now >= last, || format!("clock {id} went back from {last} to {now}"))?;
                last = now;
            }
            Ok(())
        })
    });

    cx.ready()?;

    STOP.set(1);
    threads.into_iter().try_for_each(|thread| thread?.join())
}
