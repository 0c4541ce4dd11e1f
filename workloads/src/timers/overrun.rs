//! A fast timer whose signal is blocked: expirations add up while one signal is pending.

use super::kit;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    name: "overrun",
    group: "timers",
    purpose: "the overrun of a periodic timer whose signal stays pending, and that it ticks on",
    needs: &[],
    moving: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let tick = Duration::from_millis(2);
    signal::block(&[49])?;
    let id = kit::create(libc::CLOCK_MONOTONIC, kit::Notify::Signal(49, 7))?;
    kit::set(id, (tick, tick), false)?;
    gate::wait_until("the first signal", || Ok(signal::pending()? != 0))?;
    std::thread::sleep(5 * tick);

    cx.ready()?;

    // What is pending since before may say little: nobody sees the overrun of a signal that is not taken yet. From
    // then on each signal counts what it stands for.
    std::thread::sleep(10 * tick);
    for round in 0..3 {
        let info = signal::take_soon(&[49]).with_context(|| format!("round {round}"))?;
        let got = (info.code(), info.timer(), info.value());
        expect_eq("code, timer, value", got, (libc::SI_TIMER, id, 7))?;
        expect(round == 0 || info.overrun() >= 3, || {
            format!("round {round}: overrun {}, want 3 or more", info.overrun())
        })?;
        expect_eq("interval", kit::get(id)?.1, tick)?;
        std::thread::sleep(10 * tick);
    }
    kit::delete(id)
}
