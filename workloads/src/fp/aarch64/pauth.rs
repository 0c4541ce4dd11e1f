//! Signing and authenticating pointers with each of the five keys of pointer authentication.

use super::{Feature, prctl};
use crate::framework::prelude::*;

/// linux/prctl.h: new random keys for the calling thread; which of its keys are enabled.
const PR_PAC_RESET_KEYS: i32 = 54;
const PR_PAC_SET_ENABLED_KEYS: i32 = 60;
const PR_PAC_GET_ENABLED_KEYS: i32 = 61;

/// A key's bit in the arguments of the calls, and the functions that use it. Authentication with a
/// key other than that of the signature returns an invalid pointer, or raises SIGILL.
pub struct Key {
    pub name: &'static str,
    pub bit: u64,
    pub sign: fn(u64, u64) -> u64,
    pub authenticate: fn(u64, u64) -> u64,
}

/// The four keys of pointers.
pub const KEYS: [Key; 4] = [
    Key { name: "APIA", bit: 1, sign: pacia, authenticate: autia },
    Key { name: "APIB", bit: 2, sign: pacib, authenticate: autib },
    Key { name: "APDA", bit: 4, sign: pacda, authenticate: autda },
    Key { name: "APDB", bit: 8, sign: pacdb, authenticate: autdb },
];

/// The bits of the generic key, which is not for pointers, and of all five.
pub const GENERIC: u64 = 16;

macro_rules! instruction {
    ($($name:ident)*) => { $(
        fn $name(mut pointer: u64, context: u64) -> u64 {
            // SAFETY: changes a register. Not `pure`: the key, of which the result depends, may be
            // another one each time.
            unsafe {
                std::arch::asm!(
                    ".arch_extension pauth",
                    concat!(stringify!($name), " {0}, {1}"),
                    inout(reg) pointer, in(reg) context, options(nomem, nostack, preserves_flags)
                );
            }
            pointer
        }
    )* };
}
instruction!(pacia pacib pacda pacdb autia autib autda autdb);

fn pacga(value: u64, context: u64) -> u64 {
    let code;
    // SAFETY: changes a register. Not `pure`, as above.
    unsafe {
        std::arch::asm!(
            ".arch_extension pauth",
            "pacga {0}, {1}, {2}",
            out(reg) code, in(reg) value, in(reg) context, options(nomem, nostack, preserves_flags)
        );
    }
    code
}

/// Pointers and contexts to sign.
fn samples(seed: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut rng = Rng::new(seed);
    std::iter::repeat_with(move || (rng.below(1 << 36), rng.word())).take(16)
}

/// Signatures of the calling thread with its present keys.
pub struct Signed {
    seed: u64,
    all: Vec<u64>,
}

impl Signed {
    /// Signs, with every key.
    pub fn now(seed: u64) -> Self {
        let pointers = KEYS.iter().flat_map(|key| samples(seed).map(|(p, context)| (key.sign)(p, context)));
        let mut all: Vec<u64> = pointers.collect();
        if Feature::Pacg.here() {
            all.extend(samples(seed).map(|(value, context)| pacga(value, context)));
        }
        Self { seed, all }
    }

    /// The signatures must be the same as before.
    pub fn same(&self, who: &str) -> Outcome {
        let now = Self::now(self.seed);
        for (index, (now, before)) in now.all.iter().zip(&self.all).enumerate() {
            let key = KEYS.get(index / 16).map_or("APGA", |key| key.name);
            expect_eq(&format!("signature {} of {who} with key {key}", index % 16), *now, *before)?;
        }
        Ok(())
    }

    /// Earlier signatures can be authenticated.
    pub fn authentic(&self, who: &str) -> Outcome {
        for (key, signed) in KEYS.iter().zip(self.all.chunks(16)) {
            for (signed, (pointer, context)) in signed.iter().zip(samples(self.seed)) {
                let got = (key.authenticate)(*signed, context);
                expect_eq(&format!("pointer of {who} signed with key {}", key.name), got, pointer)?;
            }
        }
        Ok(())
    }
}

/// Gives the calling thread new keys. It must have no signed return address on its stack: only the
/// code of this group signs.
pub fn reset(keys: u64) -> Outcome {
    prctl(PR_PAC_RESET_KEYS, keys, 0).map(drop)
}

/// Enables or disables the keys in `mask` in the calling thread.
pub fn enable(mask: u64, on: u64) -> Outcome {
    prctl(PR_PAC_SET_ENABLED_KEYS, mask, on).map(drop)
}

/// The keys that are enabled in the calling thread.
pub fn enabled() -> anyhow::Result<u64> {
    prctl(PR_PAC_GET_ENABLED_KEYS, 0, 0)
}

/// The program uses pointer authentication here.
pub fn required() -> Outcome {
    if Feature::Paca.here() { Ok(()) } else { skip("the processor has no pointer authentication") }
}
