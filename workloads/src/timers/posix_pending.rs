//! A POSIX timer has expired and its signal is pending; another was created without notification.

use super::helpers;
use crate::framework::prelude::*;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "the pending signal of an expired timer: SI_TIMER, its id and its value",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGALRM, 48])?;
    let first = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(48, 0x4848))?;
    let second = helpers::create(libc::CLOCK_MONOTONIC, helpers::Notify::Signal(libc::SIGALRM, 0x1414))?;
    for id in [first, second] {
        helpers::set(id, (Duration::from_nanos(1), Duration::ZERO), false)?;
    }
    let both = signal::bits(&[libc::SIGALRM, 48]);
    sync::wait_until("both timers to expire", || Ok(signal::pending()? == both))?;

    cx.ready()?;

    expect_eq("pending", signal::pending()?, both)?;
    for (number, id, value) in [(libc::SIGALRM, second, 0x1414), (48, first, 0x4848)] {
        let info = signal::take(&[libc::SIGALRM, 48])?.context("nothing is pending")?;
        let got = (info.signal(), info.code(), info.timer(), info.value());
        expect_eq("signal, code, timer, value", got, (number, libc::SI_TIMER, id, value))?;
    }
    expect_eq(
        "timers afterwards",
        (helpers::get(first)?.0, helpers::get(second)?.0),
        (Duration::ZERO, Duration::ZERO),
    )
}
