//! A process with several rings, two of which look the same.

use super::helpers::{Ring, require};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "several io_urings that one process has mapped, each at another point",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    require(0)?;
    let mut rings = (0..5).map(|_| Ring::new(4)).collect::<anyhow::Result<Vec<_>>>()?;
    let inode = |ring: &Ring| fd::stat(&ring.fd).map(|stat| stat.st_ino);
    if inode(&rings[0])? == inode(&rings[1])? {
        skip("rings do not have inodes of their own here (before Linux 5.16)")?;
    }
    // The first two have not been used.
    for (count, ring) in (2..).zip(&mut rings[2..]) {
        ring.spin(count * 3, count)?;
    }

    cx.ready()?;

    // One after the other: a mapping of another ring would show what that one does.
    for number in 0..rings.len() {
        let done = |at: u32| if at < 2 { 0 } else { at * 3 };
        for (at, ring) in (0..).zip(&rings[number..]).map(|(at, ring)| (at + number as u32, ring)) {
            expect_eq(&format!("done by ring {at}"), ring.done(), (done(at), done(at)))?;
        }
        let ring = &mut rings[number];
        let count = number as u32;
        for left in (0..count).filter(|_| count >= 2) {
            let word = u64::from(count * 2 + left);
            expect_eq(&format!("completion of ring {number}"), ring.take(), Some((word, 0)))?;
        }
        ring.spin(20, 0)?;
    }
    Ok(())
}
