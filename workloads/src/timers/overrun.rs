//! A fast timer whose signal is blocked: overruns accumulate while one signal is pending.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "the overrun of a periodic timer whose signal stays pending, and that it ticks on",
    needs: &[],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let tick = Duration::from_millis(2);
    signal::block(&[49])?;
    let id = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(49, 7))?;
    helpers::set(id, (tick, tick), false)?;
    sync::wait_until("the first signal", || Ok(signal::pending()? != 0))?;
    std::thread::sleep(5 * tick);

    cx.ready()?;

    // A signal pending since before does not count the time since: the overrun of a signal that is
    // still pending is not visible. Each restart may leave one such signal; later ones have their
    // own overrun counts.
    std::thread::sleep(10 * tick);
    let (mut stale, mut full) = (0, 0);
    while full < 3 {
        let info =
            signal::take_soon(&[49]).with_context(|| format!("after {stale} stale and {full} full ones"))?;
        let got = (info.code(), info.timer(), info.value());
        expect_eq("code, timer, value", got, (libc::SI_TIMER, id, 7))?;
        if info.overrun() >= 3 {
            full += 1;
        } else {
            stale += 1;
            let overrun = info.overrun();
            expect(full == 0 && stale <= 2, || {
                format!("overrun {overrun} after {stale} stale and {full} full ones")
            })?;
        }
        expect_eq("interval", helpers::get(id)?.1, tick)?;
        std::thread::sleep(10 * tick);
    }
    helpers::delete(id)
}
