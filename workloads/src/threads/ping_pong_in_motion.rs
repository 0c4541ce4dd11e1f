//! A mutex and a condition variable in constant use: no wakeup may be lost.

use crate::framework::prelude::*;
use std::sync::{Condvar, Mutex, PoisonError};

pub const WORKLOAD: Workload = Workload {
    purpose: "two threads handing a counter back and forth",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static TURN: Mutex<u64> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();
static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let mut threads = Vec::new();
    for parity in 0..2 {
        threads.push(thread::spawn(move || {
            let mut mine = parity;
            loop {
                let mut turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
                while *turn != mine {
                    turn = CHANGED.wait(turn).unwrap_or_else(PoisonError::into_inner);
                }
                *turn += 1;
                // Read while the lock is held: the next thread then sees it, too, and none is
                // left waiting.
                let last = !ROUNDS.wanted();
                drop(turn);
                CHANGED.notify_one();
                if last {
                    return Ok(());
                }
                mine += 2;
                ROUNDS.bump();
            }
        })?);
    }
    ROUNDS.cross(cx, 10, 10)?;
    threads.into_iter().try_for_each(Thread::join)
}
