//! The action of every signal: handler, flags, mask and restorer, all different; handlers never
//! run.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "handler, flags, mask and restorer of all 62 signals that can be caught",
    needs: &[],
    active: false,
    statik: true,
    run,
};

/// Flags that any signal may have, with SA_RESTORER where the kernel requires one.
const FLAGS: [i32; 7] = [
    libc::SA_NOCLDSTOP,
    libc::SA_NOCLDWAIT,
    libc::SA_SIGINFO,
    libc::SA_ONSTACK,
    libc::SA_RESTART,
    libc::SA_NODEFER,
    libc::SA_RESETHAND,
];

const SA_RESTORER: libc::c_ulong = 0x0400_0000;

fn run(cx: &mut Ctx) -> Outcome {
    let mut rng = Rng::new(cx.seed);
    let mut want = Vec::new();
    for number in (1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP].contains(n)) {
        let flags = FLAGS.iter().filter(|_| rng.below(2) == 1).fold(0, |all, f| all | *f);
        let handler = match rng.below(8) {
            0 => libc::SIG_IGN,
            1 => libc::SIG_DFL,
            _ => rng.below(1 << 46) as usize & !0xf,
        };
        let action = signal::Action {
            handler,
            flags: flags as libc::c_ulong | SA_RESTORER,
            restorer: rng.below(1 << 46) as usize,
            mask: rng.word(),
        };
        signal::set_action(number, &action)?;
        // As the kernel keeps it: signals that cannot be blocked are not in the mask.
        want.push((number, signal::action(number)?));
    }

    // libc claims signal 33 when a thread is started.
    cx.gate.without_watchdog();
    cx.ready()?;

    for (number, action) in want {
        expect_eq(&format!("action of signal {number}"), signal::action(number)?, action)?;
    }
    Ok(())
}
