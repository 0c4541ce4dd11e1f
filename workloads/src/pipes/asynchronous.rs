//! Both ends of pipes signal their process when they are ready (O_ASYNC): by SIGIO, and by
//! real-time signals.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "O_ASYNC, its owner and its signal at the ends of pipes, and that the signals come",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// Signals of the reader and the writer of each pipe.
const SIGNALS: [(i32, i32); 3] = [(40, 41), (0, 42), (43, 0)];

fn run(cx: &mut Ctx) -> Outcome {
    signal::block(&[libc::SIGIO, 40, 41, 42, 43])?;
    let mut pipes = Vec::new();
    for (reading, writing) in SIGNALS {
        let (reader, writer) = fd::pipe(libc::O_NONBLOCK)?;
        helpers::make_asynchronous(&reader, reading)?;
        helpers::make_asynchronous(&writer, writing)?;
        pipes.push(((reader, reading), (writer, writing)));
    }
    let all = || {
        let ends = pipes.iter().flat_map(|((reader, _), (writer, _))| [reader, writer]);
        ends.map(helpers::notification).collect::<anyhow::Result<Vec<_>>>()
    };
    for ((reader, reading), (writer, writing)) in &pipes {
        helpers::notified((reader, *reading), (writer, *writing)).context("before")?;
    }
    let want = all()?;
    expect_eq("pending before", signal::pending()?, 0)?;

    cx.ready()?;

    expect_eq("owner, signal and O_ASYNC of each end", all()?, want)?;
    expect_eq("pending", signal::pending()?, 0)?;
    for ((reader, reading), (writer, writing)) in &pipes {
        helpers::notified((reader, *reading), (writer, *writing))?;
    }
    expect_eq("pending at the end", signal::pending()?, 0)
}
