//! Registers over a blocked system call, as `helpers::OverRead` says. The kernel changes no
//! register but x0 in a system call (Documentation/arch/arm64/elf_hwcaps.rst names the features
//! that the others here need).

use std::arch::naked_asm;

/// x3–x7 and x9–x30, eight bytes each, in this order. Stored after them: x1, x2, x8, the stack
/// pointer, and the stack pointer as it was before the call.
#[unsafe(naked)]
pub unsafe extern "C" fn general(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "stp x29, x30, [sp, #-128]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "str x3, [sp, #96]",
        "mov x4, sp",
        "str x4, [x3, #248]",
        "mov x30, x2",
        r".irp n, 3, 4, 5, 6, 7",
        r"ldr x\n, [x30, #8 * (\n - 3)]",
        ".endr",
        r".irp n, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"ldr x\n, [x30, #8 * (\n - 4)]",
        ".endr",
        "mov x2, #1",
        "mov x8, #63",
        "svc #0",
        "str x0, [sp, #104]",
        "ldr x0, [sp, #96]",
        r".irp n, 3, 4, 5, 6, 7",
        r"str x\n, [x0, #8 * (\n - 3)]",
        ".endr",
        r".irp n, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
        r"str x\n, [x0, #8 * (\n - 4)]",
        ".endr",
        "str x1, [x0, #216]",
        "str x2, [x0, #224]",
        "str x8, [x0, #232]",
        "mov x1, sp",
        "str x1, [x0, #240]",
        "ldr x0, [sp, #104]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp x29, x30, [sp], #128",
        "ret",
    )
}

/// v0–v31, 16 bytes each.
#[unsafe(naked)]
pub unsafe extern "C" fn simd(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "stp d8, d9, [sp, #-64]!",
        "stp d10, d11, [sp, #16]",
        "stp d12, d13, [sp, #32]",
        "stp d14, d15, [sp, #48]",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"ldr q\n, [x2, #16 * \n]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"ldr q\n, [x2, #16 * \n]",
        ".endr",
        "mov x2, #1",
        "mov x8, #63",
        "svc #0",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"str q\n, [x3, #16 * \n]",
        ".endr",
        ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"str q\n, [x3, #16 * \n]",
        ".endr",
        "ldp d10, d11, [sp, #16]",
        "ldp d12, d13, [sp, #32]",
        "ldp d14, d15, [sp, #48]",
        "ldp d8, d9, [sp], #64",
        "ret",
    )
}

/// One register that has a name for `msr` and `mrs`, eight bytes.
macro_rules! system_register {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
            naked_asm!(
                concat!("mrs x10, ", $register),
                "ldr x9, [x2]",
                "mov x2, #1",
                "mov x8, #63",
                concat!("msr ", $register, ", x9"),
                "svc #0",
                concat!("mrs x9, ", $register),
                concat!("msr ", $register, ", x10"),
                "str x9, [x3]",
                "ret",
            )
        }
    };
}

system_register!(
    /// The condition flags: bits 31 to 28.
    nzcv,
    "nzcv"
);
system_register!(
    /// Data independent timing: bit 24. Needs `dit`.
    dit,
    "s3_3_c4_c2_5"
);
system_register!(
    /// Speculative store bypassing is safe: bit 12. Needs `ssbs`.
    ssbs,
    "s3_3_c4_c2_6"
);
system_register!(
    /// Tag checks are overridden: bit 25. Needs `mte`.
    tco,
    "s3_3_c4_c2_7"
);
system_register!(
    /// The thread pointer. No signal handler may run meanwhile.
    tpidr,
    "tpidr_el0"
);
system_register!(
    /// The second thread pointer. Needs `sme`.
    tpidr2,
    "s3_3_c13_c0_5"
);

/// FPCR and FPSR from the first two words; then, still under them, quotients and products of single
/// precision numbers: input words 2 / 3, 4 / 3, 5 · 6 and 7 · 2 go to output words 2 to 5, FPCR and
/// FPSR as they were right after the call to words 0 and 1.
#[unsafe(naked)]
pub unsafe extern "C" fn fpcr(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "mrs x10, fpcr",
        "mrs x11, fpsr",
        "mov x13, x2",
        "ldp w14, w15, [x2]",
        "mov x2, #1",
        "mov x8, #63",
        "msr fpcr, x14",
        "msr fpsr, x15",
        "svc #0",
        "mrs x14, fpcr",
        "mrs x15, fpsr",
        "stp w14, w15, [x3]",
        "ldp s0, s1, [x13, #8]",
        "ldp s2, s3, [x13, #16]",
        "ldp s4, s5, [x13, #24]",
        "fdiv s6, s0, s1",
        "fdiv s7, s2, s1",
        "stp s6, s7, [x3, #8]",
        "fmul s6, s3, s4",
        "fmul s7, s5, s0",
        "stp s6, s7, [x3, #16]",
        "msr fpcr, x10",
        "msr fpsr, x11",
        "ret",
    )
}

/// No register, but 65 return addresses on the stack that are signed with key A where the processor
/// has pointer authentication. Reads and writes neither buffer.
#[unsafe(naked)]
pub unsafe extern "C" fn signed_returns(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "mov w4, #64",
        "2:",
        "hint #25", // paciasp
        "stp x29, x30, [sp, #-16]!",
        "cbz w4, 3f",
        "sub w4, w4, #1",
        "bl 2b",
        "b 4f",
        "3:",
        "mov x2, #1",
        "mov x8, #63",
        "svc #0",
        "4:",
        "ldp x29, x30, [sp], #16",
        "hint #29", // autiasp
        "ret",
    )
}

/// The array ZA, as many rows of as many bytes as the streaming vector length has. Needs `sme`.
/// Outside of streaming mode, in which no system call is made.
#[unsafe(naked)]
pub unsafe extern "C" fn za(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        ".arch_extension sme",
        "rdsvl x9, #1",
        "smstart za",
        "mov w12, #0",
        "2:",
        "ldr za[w12, 0], [x2]",
        "add x2, x2, x9",
        "add w12, w12, #1",
        "cmp w12, w9",
        "b.lo 2b",
        "mov x2, #1",
        "mov x8, #63",
        "svc #0",
        "rdsvl x9, #1",
        "mov w12, #0",
        "3:",
        "str za[w12, 0], [x3]",
        "add x3, x3, x9",
        "add w12, w12, #1",
        "cmp w12, w9",
        "b.lo 3b",
        "smstop za",
        "ret",
    )
}
