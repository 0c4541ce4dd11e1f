//! xz compresses in several threads, another one decompresses, and nothing of the stream is lost.

use super::helpers::{command, exits};
use crate::framework::prelude::*;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;

pub const WORKLOAD: Workload = Workload {
    purpose: "a pipeline through xz and back, full of data",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

const BLOCK: usize = 1 << 16;

fn run(cx: &mut Ctx) -> Outcome {
    let mut packing = command("xz")?;
    packing.args(["-T2", "-1", "--block-size=131072", "--flush-timeout=5"]);
    let mut packing = packing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start xz")?;
    let packed = packing.stdout.take().context("a pipe")?;
    let mut unpacking = command("xz")?;
    let mut unpacking =
        unpacking.arg("-d").stdin(packed).stdout(Stdio::piped()).spawn().context("start xz")?;
    let (seed, rounds) = (cx.seed, Arc::new(Rounds::new()));
    let (mut into, mut out) = packing.stdin.take().zip(unpacking.stdout.take()).context("pipes")?;
    let block = move |number: u64| pattern::bytes(BLOCK, seed + number);
    let asked = Arc::clone(&rounds);
    let writer = thread::spawn(move || {
        let mut number = 0;
        while asked.wanted() {
            into.write_all(&block(number)).context("write to xz")?;
            number += 1;
        }
        Ok(())
    })?;
    let counted = Arc::clone(&rounds);
    let reader = thread::spawn(move || {
        let (mut number, mut got) = (0, vec![0; BLOCK]);
        loop {
            match out.read(&mut got[..1]).context("read from xz")? {
                0 => return Ok(()),
                _ => out.read_exact(&mut got[1..]).context("read from xz")?,
            }
            expect_bytes(&format!("block {number}"), &got, &block(number))?;
            number += 1;
            counted.bump();
        }
    })?;
    rounds.cross(cx, 4, 4)?;
    writer.join()?;
    exits(&mut packing)?;
    exits(&mut unpacking)?;
    reader.join()
}
