//! Three processes in a row stream records with checksums: a source, a filter, a sink.

use crate::framework::prelude::*;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pipeline of three processes in motion, every record checked",
    needs: &[],
    active: true,
    statik: false,
    run,
};

/// Bytes of the payload of record `n`: all sizes that matter to a pipe.
fn len_of(n: u64) -> usize {
    [1, 17, 4096, 4095, 5000, 64, 20_000, 333][(n % 8) as usize]
}

fn run(cx: &mut Ctx) -> Outcome {
    let (shared, seed) = (Shared::new()?, cx.seed);
    let (first_out, first_in) = fd::pipe(0)?;
    let (second_out, second_in) = fd::pipe(0)?;
    let source = fork("the source", || {
        let mut n = 0u64;
        while shared.cell(1).get() == 0 {
            fd::write_all(&first_in, &n.to_le_bytes())?;
            fd::write_all(&first_in, &pattern::bytes(len_of(n), seed ^ n))?;
            n += 1;
        }
        shared.number(1).store(n, SeqCst);
        fd::write_all(&first_in, &u64::MAX.to_le_bytes())
    })?;
    let record = |from: &std::os::fd::OwnedFd| {
        let bytes = fd::read_all(from, 8)?;
        anyhow::Ok(u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8])))
    };
    let filter = fork("the filter", || {
        loop {
            let n = record(&first_out)?;
            fd::write_all(&second_in, &n.to_le_bytes())?;
            if n == u64::MAX {
                return Ok(());
            }
            let flipped: Vec<u8> = fd::read_all(&first_out, len_of(n))?.iter().map(|b| !b).collect();
            fd::write_all(&second_in, &flipped)?;
        }
    })?;
    let sink = fork("the sink", || {
        let mut expected = 0;
        loop {
            let n = record(&second_out)?;
            if n == u64::MAX {
                return expect_eq("records", expected, shared.number(1).load(SeqCst));
            }
            expect_eq("running number", n, expected)?;
            let back: Vec<u8> = fd::read_all(&second_out, len_of(n))?.iter().map(|b| !b).collect();
            pattern::verify(&format!("record {n}"), &back, seed ^ n)?;
            expected += 1;
            shared.number(0).store(expected, SeqCst);
        }
    })?;
    drop((first_out, first_in, second_out, second_in));
    let arrived = |more| sync::wait_for_more("records to arrive", shared.number(0), more);
    arrived(16)?;

    cx.ready()?;

    arrived(16)?;
    shared.cell(1).set(1);
    [source, filter, sink].into_iter().try_for_each(Child::join)
}
