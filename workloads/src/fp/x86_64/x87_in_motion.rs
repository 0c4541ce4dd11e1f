//! The logistic map on the x87 stack, whose upper bits no other state holds.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread computing with 80-bit numbers all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let start = (cx.seed % 1000) as f64 / 1001.0 + 0.0001;
    let want = orbit(start);
    let thread = thread::spawn(move || {
        while ROUNDS.wanted() {
            expect_eq("bits of the result", orbit(std::hint::black_box(start)), want)?;
            ROUNDS.bump();
        }
        Ok(())
    })?;
    ROUNDS.cross(cx, 3, 6)?;
    thread.join()
}

/// x ← r · x · (1 − x), 5000 times, with x, r and 1 on the stack. Returns the ten bytes of the
/// result.
fn orbit(start: f64) -> [u8; 10] {
    let (rate, mut result) = (3.97f64, [0u8; 10]);
    // SAFETY: the stack is as deep after as before: three loads, two pops by fstp st(0) and one by
    // the store. Reads two doubles and writes ten bytes that live through it. All x87 registers are
    // declared clobbered.
    unsafe {
        std::arch::asm!(
            "fld qword ptr [{rate}]",
            "fld1",
            "fld qword ptr [{start}]",
            "2:",
            "fld st(0)",
            "fsubr st(0), st(2)",
            "fmulp st(1), st(0)",
            "fmul st(0), st(2)",
            "dec {count:e}",
            "jnz 2b",
            "fstp tbyte ptr [{result}]",
            "fstp st(0)",
            "fstp st(0)",
            rate = in(reg) &rate,
            start = in(reg) &start,
            result = in(reg) result.as_mut_ptr(),
            count = inout(reg) 5000 => _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            options(nostack),
        );
    }
    result
}
