//! Four processes write records into one pipe, each with one write; another process reads them.

use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "atomic records of four writers in motion in one pipe: whole, in order, none lost",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const WRITERS: u64 = 4;
const RECORD: usize = 512;

fn run(cx: &mut Ctx) -> Outcome {
    let (shared, seed) = (Shared::new()?, cx.seed);
    let (reader, writer) = fd::pipe(0)?;
    let mut children = Vec::new();
    for index in 0..WRITERS {
        children.push(fork("a writer", || {
            let mut n = 0u64;
            while shared.cell(1).get() == 0 {
                let mut record = pattern::bytes(RECORD, seed ^ (index << 32) ^ n);
                record[..8].copy_from_slice(&index.to_le_bytes());
                record[8..16].copy_from_slice(&n.to_le_bytes());
                expect_eq("bytes written at once", fd::write_some(&writer, &record)?, RECORD)?;
                n += 1;
            }
            Ok(())
        })?);
    }
    let write_end = writer.as_raw_fd();
    let sink = fork("the reader", || {
        // SAFETY: the copy of the parent's descriptor belongs to this process and is not used
        // again.
        unsafe { libc::close(write_end) };
        let mut next = [0u64; WRITERS as usize];
        let word =
            |record: &[u8], at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or([0; 8]));
        while let Some(first) = fd::read_some(&reader, 1)?.first() {
            let mut record = vec![*first];
            record.extend(fd::read_all(&reader, RECORD - 1)?);
            let (index, n) = (word(&record, 0), word(&record, 8));
            expect(index < WRITERS, || format!("record of writer {index}"))?;
            expect_eq(&format!("number from writer {index}"), n, next[index as usize])?;
            let want = pattern::bytes(RECORD, seed ^ (index << 32) ^ n);
            expect_bytes("rest of the record", &record[16..], &want[16..])?;
            next[index as usize] += 1;
            shared.number(index as usize).store(n + 1, SeqCst);
        }
        Ok(())
    })?;
    drop(writer);
    let arrived = |more: u64| {
        let count = |index| shared.number(index as usize).load(SeqCst);
        let goals: Vec<u64> = (0..WRITERS).map(|index| count(index) + more).collect();
        sync::wait_until("records of every writer", || {
            Ok((0..WRITERS).all(|index| count(index) >= goals[index as usize]))
        })
    };
    arrived(8)?;

    cx.ready()?;

    arrived(8)?;
    shared.cell(1).set(1);
    children.into_iter().try_for_each(Child::join)?;
    sink.join()
}
