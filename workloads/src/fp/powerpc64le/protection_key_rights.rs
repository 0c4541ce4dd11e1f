//! AMR, two bits for each key, the first key's in the highest bits.

use super::over_read;
use crate::fp::helpers::{Aligned, blocked_threads};
use crate::fp::protection_keys;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the rights register of the protection keys, by thread",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: no memory arguments.
    let keys: Vec<_> = (0..3).map(|_| unsafe { libc::syscall(protection_keys::call::ALLOC, 0, 0) }).collect();
    let [Ok(first), Ok(second), Ok(third)] = [0, 1, 2].map(|index| u32::try_from(keys[index])) else {
        return skip("the machine has no protection keys");
    };
    // Linux grants no rights to keys that are not allocated. QEMU 7.2 keeps what programs write in
    // the register under its privileged number, and reads another one (`register_amr_sprs`,
    // target/ppc/cpu_init.c).
    if amr() == 0 {
        return skip("programs cannot read AMR here");
    }
    static KEYS: std::sync::OnceLock<[u32; 3]> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| [first, second, third]);
    blocked_threads(cx, 4, |blocked| {
        let keys = KEYS.get().context("no keys")?;
        // Only bits of keys that are allocated can be changed.
        let own = keys.iter().zip(0u64..).fold(0, |rights, (key, index)| {
            rights | ((blocked.number + index) % 4) << (62 - 2 * u64::from(*key))
        });
        let all = keys.iter().fold(0, |mask, key| mask | 3u64 << (62 - 2 * u64::from(*key)));
        let want = amr() & !all | own;
        let output = blocked.through(over_read::amr, &Aligned(want.to_ne_bytes()))?;
        expect_eq("AMR", u64::from_ne_bytes(output.0), want)
    })
}

fn amr() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mfspr {}, 13", out(reg) value, options(nomem, nostack)) };
    value
}
