//! Both lanes of the first half of the VSX registers count in double precision, both lanes of the
//! second half in integers, in a loop without a system call.

use crate::fp::helpers::{counted, spinning_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads counting in all VSX registers all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    spinning_threads(cx, 2, |spinning| {
        let mut rng = Rng::new(spinning.key);
        // Whole numbers, far from where a sum would be rounded.
        let mut doubles: [f64; 64] = std::array::from_fn(|lane| match lane {
            ..62 => rng.below(1 << 40) as f64,
            _ => (1 + rng.below(1 << 10)) as f64,
        });
        let mut integers: [u64; 64] = std::array::from_fn(|_| rng.word());
        let (doubles_start, integers_start, mut rounds) = (doubles, integers, 0u64);
        // SAFETY: both arrays have the 1024 bytes that are read and written.
        unsafe {
            count(doubles.as_mut_ptr(), integers.as_mut_ptr(), spinning.start(), &mut rounds);
        }
        counted(
            "VMX registers",
            &integers[..62],
            &integers_start[..62],
            |lane| integers[62 + lane % 2],
            rounds,
        )?;
        expect_eq("v31", &integers[62..], &integers_start[62..])?;
        expect(rounds < 1 << 40, || format!("too many rounds: {rounds}"))?;
        for lane in 0..62 {
            let want = doubles_start[lane] + doubles_start[62 + lane % 2] * rounds as f64;
            let what = format!("lane {} of vs{} after {rounds} rounds", lane % 2, lane / 2);
            expect_eq(&what, doubles[lane].to_bits(), want.to_bits())?;
        }
        expect_eq("vs31", doubles[62..].to_vec(), doubles_start[62..].to_vec())
    })
}

/// Loads all registers, adds vs31 to vs0–vs30 and vs63 to vs32–vs62 until `*stop` is not 0, stores
/// all registers and the number of rounds.
#[unsafe(naked)]
unsafe extern "C" fn count(doubles: *mut f64, integers: *mut u64, stop: *const u32, rounds: *mut u64) {
    std::arch::naked_asm!(
        "stdu 1, -640(1)",
        "addi 7, 1, 64",
        ".irp n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"stfd \n, 8 * (\n - 14)(7)",
        ".endr",
        ".irp n, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"li 9, 16 * (\n - 10)",
        r"stvx \n, 7, 9",
        ".endr",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"li 9, 16 * \n",
        r"lxvd2x \n, 3, 9",
        r"lxvd2x \n + 32, 4, 9",
        r"li 9, 16 * (\n + 16)",
        r"lxvd2x \n + 16, 3, 9",
        r"lxvd2x \n + 48, 4, 9",
        ".endr",
        "li 8, 0",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"xvadddp \n, \n, 31",
        r"vaddudm \n, \n, 31",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"xvadddp \n, \n, 31",
        r"vaddudm \n, \n, 31",
        ".endr",
        "addi 8, 8, 1",
        "lwz 9, 0(5)",
        "cmpwi 9, 0",
        "beq 2b",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"li 9, 16 * \n",
        r"stxvd2x \n, 3, 9",
        r"stxvd2x \n + 32, 4, 9",
        r"li 9, 16 * (\n + 16)",
        r"stxvd2x \n + 16, 3, 9",
        r"stxvd2x \n + 48, 4, 9",
        ".endr",
        "std 8, 0(6)",
        ".irp n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"lfd \n, 8 * (\n - 14)(7)",
        ".endr",
        ".irp n, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"li 9, 16 * (\n - 10)",
        r"lvx \n, 7, 9",
        ".endr",
        "addi 1, 1, 640",
        "blr",
    )
}
