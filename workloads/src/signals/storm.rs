//! Processes send each other numbered real-time signals as fast as they can.

use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "numbered real-time signals in motion between three processes: none lost, doubled or reordered",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const PROCESSES: usize = 3;
const NUMBER: i32 = 47;

/// Waits for number `n` from the left neighbour, sends `n + 1`-th to the right one, until the root
/// ends it. Word 1: stop. Words 10…: pids. Numbers 0…: progress.
fn member(shared: &Shared, index: usize) -> Outcome {
    let left = (index + PROCESSES - 1) % PROCESSES;
    let pid_of = |n: usize| shared.cell(10 + n).get().cast_signed();
    for other in 0..PROCESSES {
        shared.cell(10 + other).block_until(1);
    }
    let right = pid_of((index + 1) % PROCESSES);
    let mut sent = 0usize;
    // Four signals are in flight on each link at any time.
    while sent < 4 {
        signal::queue(right, NUMBER, sent)?;
        sent += 1;
    }
    let mut received = 0usize;
    loop {
        let info = signal::wait(&[NUMBER], sync::limit())?.context("timed out waiting for a signal")?;
        expect_eq("sender", info.pid(), pid_of(left))?;
        if info.value() == usize::MAX {
            break;
        }
        expect_eq("running number", info.value(), received)?;
        received += 1;
        shared.number(index).store(received as u64, SeqCst);
        if shared.cell(1).get() == 0 {
            signal::queue(right, NUMBER, sent)?;
            sent += 1;
        } else if sent != usize::MAX {
            signal::queue(right, NUMBER, usize::MAX)?;
            sent = usize::MAX;
        }
    }
    if sent != usize::MAX {
        signal::queue(right, NUMBER, usize::MAX)?;
    }
    // The last signal may arrive before the neighbour has stopped: none exits before all are done.
    shared.cell(2).bump();
    shared.cell(2).wait("the other members", PROCESSES as u32)
}

fn run(cx: &mut Ctx) -> Outcome {
    let shared = Shared::new()?;
    signal::block(&[NUMBER])?;
    let mut children = Vec::new();
    for index in 0..PROCESSES {
        let child = fork("a member of the ring", || member(&shared, index))?;
        shared.cell(10 + index).set(child.pid.cast_unsigned());
        children.push(child);
    }
    let progress = |more: u64| -> Outcome {
        let before: Vec<u64> = (0..PROCESSES).map(|n| shared.number(n).load(SeqCst)).collect();
        sync::wait_until("the signals to go round", || {
            Ok((0..PROCESSES).all(|n| shared.number(n).load(SeqCst) >= before[n] + more))
        })
    };
    progress(20)?;

    cx.ready()?;

    progress(20)?;
    shared.cell(1).set(1);
    children.into_iter().try_for_each(Child::join)
}
