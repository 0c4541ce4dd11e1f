//! Every general register, the count register, the link register, the fixed-point exceptions and
//! the condition register, in a loop without a system call, which would change half of them.

use crate::fp::helpers::spinning_threads;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads counting in all general registers all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

/// Places behind the general registers, which are at their numbers.
const CTR: usize = 32;
const XER: usize = 33;
const LR: usize = 34;
const CR: usize = 35;

fn run(cx: &mut Ctx) -> Outcome {
    spinning_threads(cx, 2, |spinning| {
        let mut rng = Rng::new(spinning.key);
        let mut now: [u64; 36] = std::array::from_fn(|_| rng.word());
        // Summary overflow, overflow, carry.
        now[XER] = [0xa000_0000, 0xe000_0000][spinning.number as usize];
        now[LR] &= !3;
        now[CR] &= 0xffff_ffff;
        let start = now;
        let stop = spinning.start();
        // SAFETY: the array holds the registers at their places.
        unsafe { count(now.as_mut_ptr(), stop) };
        let rounds = start[CTR].wrapping_sub(now[CTR]);
        expect(rounds > 0, || "the loop did not run".into())?;
        let step = |register: usize| match register {
            0 => stop as u64,
            register => register as u64,
        };
        for register in [0].into_iter().chain(2..30) {
            let want = start[register].wrapping_add(step(register).wrapping_mul(rounds));
            expect_eq(&format!("r{register} after {rounds} rounds"), now[register], want)?;
        }
        expect_eq("r31", now[31], stop as u64)?;
        expect_eq("XER", now[XER], start[XER])?;
        expect_eq("LR", now[LR], start[LR])?;
        // Field 6 is the loop's.
        expect_eq("CR", now[CR] & 0xffff_ff0f, start[CR] & 0xffff_ff0f)
    })
}

/// Loads all registers, adds n to register n until `*stop` is not 0, stores all registers. To r0 it
/// adds r31, which is where `*stop` is; r30 gets what is there. The count register counts down.
#[unsafe(naked)]
unsafe extern "C" fn count(registers: *mut u64, stop: *const u32) {
    std::arch::naked_asm!(
        "mflr 0",
        "std 0, 16(1)",
        "mfcr 0",
        "stw 0, 8(1)",
        "stdu 1, -256(1)",
        "std 2, 24(1)",
        "std 3, 40(1)",
        ".irp n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"std \n, 96 + 8 * (\n - 13)(1)",
        ".endr",
        "std 4, 8 * 31(3)",
        "ld 0, 8 * 32(3)",
        "mtctr 0",
        "ld 0, 8 * 33(3)",
        "mtxer 0",
        "ld 0, 8 * 34(3)",
        "mtlr 0",
        "ld 0, 8 * 35(3)",
        "mtcr 0",
        ".irp n, 0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17",
        r"ld \n, 8 * \n(3)",
        ".endr",
        ".irp n, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 3",
        r"ld \n, 8 * \n(3)",
        ".endr",
        "2:",
        ".irp n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"addi \n, \n, \n",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29",
        r"addi \n, \n, \n",
        ".endr",
        "add 0, 0, 31",
        "bdnz 3f",
        "3:",
        "lwz 30, 0(31)",
        "cmpwi 6, 30, 0",
        "beq 6, 2b",
        "ld 30, 40(1)",
        ".irp n, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"std \n, 8 * \n(30)",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31",
        r"std \n, 8 * \n(30)",
        ".endr",
        "mfctr 0",
        "std 0, 8 * 32(30)",
        "mfxer 0",
        "std 0, 8 * 33(30)",
        "mflr 0",
        "std 0, 8 * 34(30)",
        "mfcr 0",
        "std 0, 8 * 35(30)",
        ".irp n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"ld \n, 96 + 8 * (\n - 13)(1)",
        ".endr",
        "ld 2, 24(1)",
        "addi 1, 1, 256",
        "lwz 0, 8(1)",
        "mtcr 0",
        "ld 0, 16(1)",
        "mtlr 0",
        "blr",
    )
}
