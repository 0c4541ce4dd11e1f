//! Sixteen registers of four lanes each count up by their own steps in a loop without a system
//! call. At the end every lane must be its step times the number of rounds.

use crate::fp::helpers::{counted, spinning_threads};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "threads counting in all AVX registers all the time",
    needs: &[],
    active: true,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    if !std::is_x86_feature_detected!("avx2") {
        return skip("the processor has no AVX2");
    }
    spinning_threads(cx, 2, |spinning| {
        let mut rng = Rng::new(spinning.key);
        let steps: [u64; 64] = std::array::from_fn(|_| rng.word());
        let (mut sums, mut rounds) = ([0u64; 64], 0u64);
        // SAFETY: the processor has AVX2; both arrays have the 512 bytes that are read and written.
        unsafe { count(steps.as_ptr(), sums.as_mut_ptr(), spinning.start(), &mut rounds) };
        counted(
            &format!("AVX registers of thread {}", spinning.number),
            &sums,
            &[0; 64],
            |lane| steps[lane],
            rounds,
        )
    })
}

/// Adds the steps to ymm0–ymm15 until `*stop` is not 0; stores the sums and the number of rounds.
#[unsafe(naked)]
unsafe extern "C" fn count(steps: *const u64, sums: *mut u64, stop: *const u32, rounds: *mut u64) {
    std::arch::naked_asm!(
        "xor eax, eax",
        "vpxor ymm0, ymm0, ymm0",
        "vpxor ymm1, ymm1, ymm1",
        "vpxor ymm2, ymm2, ymm2",
        "vpxor ymm3, ymm3, ymm3",
        "vpxor ymm4, ymm4, ymm4",
        "vpxor ymm5, ymm5, ymm5",
        "vpxor ymm6, ymm6, ymm6",
        "vpxor ymm7, ymm7, ymm7",
        "vpxor ymm8, ymm8, ymm8",
        "vpxor ymm9, ymm9, ymm9",
        "vpxor ymm10, ymm10, ymm10",
        "vpxor ymm11, ymm11, ymm11",
        "vpxor ymm12, ymm12, ymm12",
        "vpxor ymm13, ymm13, ymm13",
        "vpxor ymm14, ymm14, ymm14",
        "vpxor ymm15, ymm15, ymm15",
        "2:",
        "vpaddq ymm0, ymm0, [rdi + 0]",
        "vpaddq ymm1, ymm1, [rdi + 32]",
        "vpaddq ymm2, ymm2, [rdi + 64]",
        "vpaddq ymm3, ymm3, [rdi + 96]",
        "vpaddq ymm4, ymm4, [rdi + 128]",
        "vpaddq ymm5, ymm5, [rdi + 160]",
        "vpaddq ymm6, ymm6, [rdi + 192]",
        "vpaddq ymm7, ymm7, [rdi + 224]",
        "vpaddq ymm8, ymm8, [rdi + 256]",
        "vpaddq ymm9, ymm9, [rdi + 288]",
        "vpaddq ymm10, ymm10, [rdi + 320]",
        "vpaddq ymm11, ymm11, [rdi + 352]",
        "vpaddq ymm12, ymm12, [rdi + 384]",
        "vpaddq ymm13, ymm13, [rdi + 416]",
        "vpaddq ymm14, ymm14, [rdi + 448]",
        "vpaddq ymm15, ymm15, [rdi + 480]",
        "inc rax",
        "cmp dword ptr [rdx], 0",
        "je 2b",
        "vmovdqu [rsi + 0], ymm0",
        "vmovdqu [rsi + 32], ymm1",
        "vmovdqu [rsi + 64], ymm2",
        "vmovdqu [rsi + 96], ymm3",
        "vmovdqu [rsi + 128], ymm4",
        "vmovdqu [rsi + 160], ymm5",
        "vmovdqu [rsi + 192], ymm6",
        "vmovdqu [rsi + 224], ymm7",
        "vmovdqu [rsi + 256], ymm8",
        "vmovdqu [rsi + 288], ymm9",
        "vmovdqu [rsi + 320], ymm10",
        "vmovdqu [rsi + 352], ymm11",
        "vmovdqu [rsi + 384], ymm12",
        "vmovdqu [rsi + 416], ymm13",
        "vmovdqu [rsi + 448], ymm14",
        "vmovdqu [rsi + 480], ymm15",
        "mov [rcx], rax",
        "vzeroupper",
        "ret",
    )
}
