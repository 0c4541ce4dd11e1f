//! One process waits for a message of a type that is not there, another for room.

use super::helpers::{Queue, claim};
use crate::framework::prelude::*;
use std::mem::ManuallyDrop;

pub const WORKLOAD: Workload = Workload {
    purpose: "processes that are blocked in msgrcv and msgsnd",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// What the C library calls: on POWER both by way of ipc(2).
#[cfg(target_arch = "powerpc64")]
const MSGRCV: libc::c_long = 117;
#[cfg(target_arch = "powerpc64")]
const MSGSND: libc::c_long = 117;
#[cfg(not(target_arch = "powerpc64"))]
use libc::{SYS_msgrcv as MSGRCV, SYS_msgsnd as MSGSND};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let (empty, full) = (Queue::new(0o600)?, Queue::new(0o600)?);
    claim(cx, &[format!("msg:{}", empty.0), format!("msg:{}", full.0)])?;
    empty.send(1, b"of another type")?;
    full.limit(100)?;
    full.send(5, &[5; 80])?;
    let (from, to) = (empty.0, full.0);
    let reader = fork("reader", || {
        let got = ManuallyDrop::new(Queue(from)).receive(4, 0)?;
        expect_eq("message", got, (4, b"four".to_vec()))
    })?;
    let writer = fork("writer", || ManuallyDrop::new(Queue(to)).send(6, &[6; 80]))?;
    stage.wait_in(&reader, MSGRCV)?;
    stage.wait_in(&writer, MSGSND)?;

    cx.ready()?;

    stage.wait_in(&reader, MSGRCV)?;
    stage.wait_in(&writer, MSGSND)?;
    empty.send(4, b"four")?;
    reader.join()?;
    expect_eq("what was there", full.receive(0, 0)?, (5, vec![5; 80]))?;
    writer.join()?;
    expect_eq("what the writer sent", full.receive(0, 0)?, (6, vec![6; 80]))?;
    expect_eq("message of another type", empty.receive(0, 0)?, (1, b"of another type".to_vec()))
}
