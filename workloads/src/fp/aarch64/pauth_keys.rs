//! The five keys of pointer authentication are random numbers that only the kernel can read: a
//! program sees signatures. A process gets new keys at exec, a thread on request.

use super::{over_read, pauth};
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the five keys of pointer authentication, of the process and of single threads",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// The keys that each thread replaces with its own. The last one replaces all.
const OWN: [u64; 6] = [0, 1 | 8, 2, 4, pauth::GENERIC, 1 | 2 | 4 | 8 | pauth::GENERIC];

fn run(cx: &mut Ctx) -> Outcome {
    pauth::required()?;
    let (seed, main) = (cx.seed, pauth::Signed::now(cx.seed));
    blocked_threads(cx, OWN.len() as u64, |blocked| {
        let own = OWN[blocked.number as usize];
        // The generic key needs another feature.
        let own = if super::Feature::Pacg.here() { own } else { own & !pauth::GENERIC };
        if own != 0 {
            pauth::reset(own)?;
        }
        let who = format!("thread {}", blocked.number);
        let signed = pauth::Signed::now(blocked.key);
        blocked.through(over_read::signed_returns, &Aligned([0; 8]))?;
        signed.same(&who)?;
        signed.authentic(&who)
    })?;
    main.same("the main thread")?;
    main.authentic("the main thread")?;
    let heir = thread::spawn(move || {
        let signed = pauth::Signed::now(seed);
        signed.authentic("a new thread")?;
        main.same("a new thread")
    })?;
    heir.join()
}
