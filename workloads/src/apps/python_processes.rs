//! multiprocessing: a pool, and a sum in shared memory.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pool of processes with queues and a lock in shared memory",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "python3", &["-c", TEXT])
}

const TEXT: &str = r#"
import multiprocessing, sys
context = multiprocessing.get_context("fork")
total = context.Value("q", 0)
def add(number):
    with total.get_lock():
        total.value += number
        return total.value
with context.Pool(3) as pool:
    for line in sys.stdin:
        print(pool.apply(add, [int(line)]), flush=True)
"#;
