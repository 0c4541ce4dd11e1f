//! A disabled key leaves pointers unchanged.

use super::{over_read, pauth};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "which keys of pointer authentication are on, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// The keys that are disabled in each thread. Not APIA, with which return addresses are signed.
const OFF: [u64; 5] = [0, 2, 4, 8, 2 | 4 | 8];

fn run(cx: &mut Ctx) -> Outcome {
    pauth::required()?;
    match pauth::enabled() {
        Err(e) if sys::errno_in(&e) == Some(libc::EINVAL) => {
            return skip("the kernel has no PR_PAC_GET_ENABLED_KEYS");
        }
        other => other?,
    };
    blocked_threads(cx, OFF.len() as u64, |blocked| {
        let off = OFF[blocked.number as usize];
        pauth::enable(15, 15 & !off)?;
        expect_eq("keys that are on, before", pauth::enabled()?, 15 & !off)?;
        let signed = pauth::Signed::now(blocked.key);
        blocked.through(over_read::signed_returns, &Aligned([0; 8]))?;
        expect_eq("keys that are on", pauth::enabled()?, 15 & !off)?;
        let who = format!("thread {}", blocked.number);
        signed.same(&who)?;
        signed.authentic(&who)?;
        let mut rng = Rng::new(blocked.key);
        for key in &pauth::KEYS {
            let changed = (0..32).any(|_| {
                let pointer = rng.below(1 << 36);
                (key.sign)(pointer, rng.word()) != pointer
            });
            expect_eq(&format!("key {} signs", key.name), changed, off & key.bit == 0)?;
        }
        Ok(())
    })
}
