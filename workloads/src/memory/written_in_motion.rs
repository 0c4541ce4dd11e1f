//! One writer gives every word of a page a new number, page after page, with a memory barrier
//! between; afterwards every page but the current one must hold one number, and the numbers must
//! decrease by at most one over the pages.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread that writes whole pages while others read them",
    needs: &[],
    active: true,
    statik: false,
    run,
};

const PAGES: usize = 64;
static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let memory = Mapping::private(PAGES * page_size())?;
    // SAFETY: mapped until the end of this function, which joins the writer first; aligned; only
    // used as atomics.
    let words: &'static [AtomicU64] =
        unsafe { std::slice::from_raw_parts(memory.ptr().cast::<AtomicU64>(), PAGES * page_size() / 8) };
    let writer = thread::spawn(move || {
        let mut number = 0;
        while ROUNDS.wanted() {
            number += 1;
            for (index, word) in words.iter().enumerate() {
                let old = word.swap(number, Ordering::SeqCst);
                expect(old == number - 1, || format!("word {index} was {old}, want {}", number - 1))?;
            }
            ROUNDS.bump();
        }
        Ok(())
    })?;
    ROUNDS.cross(cx, 2, 2)?;
    let outcome = writer.join();
    let last = words[0].load(Ordering::SeqCst);
    outcome?;
    match words.iter().position(|word| word.load(Ordering::SeqCst) != last) {
        Some(index) => bail!("word {index} differs from the first, {last}"),
        None => Ok(()),
    }
}
