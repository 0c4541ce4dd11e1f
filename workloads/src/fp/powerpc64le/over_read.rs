//! Registers over a blocked system call, as `helpers::OverRead` says.

use std::arch::naked_asm;

/// r2, r13–r31, the link register and the condition register, eight bytes each, in this order.
/// `$call`: the instruction that makes the system call, `$failed`: what makes an error number of
/// its result a negative one.
macro_rules! general {
    ($(#[$doc:meta])* $name:ident, $call:literal, $failed:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
            naked_asm!(
                "mflr 0",
                "std 0, 16(1)",
                "mfcr 0",
                "stw 0, 8(1)",
                "stdu 1, -256(1)",
                "std 2, 24(1)",
                "std 6, 40(1)",
                ".irp n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                r"std \n, 96 + 8 * (\n - 13)(1)",
                ".endr",
                "ld 0, 160(5)",
                "mtlr 0",
                "ld 0, 168(5)",
                "mtcr 0",
                "ld 2, 0(5)",
                ".irp n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                r"ld \n, 8 * (\n - 12)(5)",
                ".endr",
                "li 5, 1",
                "li 0, 3",
                $call,
                "ld 6, 40(1)",
                "mfcr 0",
                "std 0, 168(6)",
                $failed,
                "mflr 0",
                "std 0, 160(6)",
                "std 2, 0(6)",
                ".irp n, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                r"std \n, 8 * (\n - 12)(6)",
                ".endr",
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
    };
}

general!(
    /// Through `sc`, which keeps all of them but the first field of the condition register.
    general,
    "sc",
    "bns 2f\nneg 3, 3\n2:"
);
general!(
    /// Through `scv 0`, which also changes the link register and the fields 0, 1 and 5 to 7. Needs
    /// `scv`.
    general_vectored,
    ".long 0x44000001",
    ""
);

/// One set of registers of which the C calling convention has some kept: `$kept` is done with a
/// register number and an offset for those, before with `$store` and after with `$load`, the set
/// with all 32 numbers.
macro_rules! thirty_two {
    ($(#[$doc:meta])* $name:ident, $load:literal, $store:literal, $size:literal, $kept:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
            naked_asm!(
                "stdu 1, -640(1)",
                "std 6, 40(1)",
                "addi 6, 1, 64",
                concat!(".irp n, ", $kept),
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($store, r" \n, 6, 9"),
                ".endr",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($load, r" \n, 5, 9"),
                ".endr",
                ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($load, r" \n, 5, 9"),
                ".endr",
                "li 5, 1",
                "li 0, 3",
                "sc",
                "bns 2f",
                "neg 3, 3",
                "2:",
                "ld 6, 40(1)",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($store, r" \n, 6, 9"),
                ".endr",
                ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($store, r" \n, 6, 9"),
                ".endr",
                "addi 6, 1, 64",
                concat!(".irp n, ", $kept),
                concat!(r"li 9, ", $size, r" * \n"),
                concat!($load, r" \n, 6, 9"),
                ".endr",
                "addi 1, 1, 640",
                "blr",
            )
        }
    };
}

thirty_two!(
    /// f0–f31, eight bytes each, with instructions that leave the vector registers alone.
    float,
    "lfdx",
    "stfdx",
    "8",
    "14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31"
);
thirty_two!(
    /// v0–v31, sixteen bytes each, with instructions that leave the floating-point registers alone.
    /// The stack is aligned.
    vector,
    "lvx",
    "stvx",
    "16",
    "20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31"
);

/// vs0–vs63, sixteen bytes each: the first half of them are the floating-point registers and their
/// extensions, the second half the vector registers.
#[unsafe(naked)]
pub unsafe extern "C" fn vsx(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "stdu 1, -640(1)",
        "std 6, 40(1)",
        "addi 6, 1, 64",
        ".irp n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"stfd \n, 8 * (\n - 14)(6)",
        ".endr",
        ".irp n, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"li 9, 16 * (\n - 10)",
        r"stvx \n, 6, 9",
        ".endr",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"li 9, 16 * \n",
        r"lxvd2x \n, 5, 9",
        r"li 9, 16 * (\n + 16)",
        r"lxvd2x \n + 16, 5, 9",
        r"li 9, 16 * (\n + 32)",
        r"lxvd2x \n + 32, 5, 9",
        r"li 9, 16 * (\n + 48)",
        r"lxvd2x \n + 48, 5, 9",
        ".endr",
        "li 5, 1",
        "li 0, 3",
        "sc",
        "bns 2f",
        "neg 3, 3",
        "2:",
        "ld 6, 40(1)",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        r"li 9, 16 * \n",
        r"stxvd2x \n, 6, 9",
        r"li 9, 16 * (\n + 16)",
        r"stxvd2x \n + 16, 6, 9",
        r"li 9, 16 * (\n + 32)",
        r"stxvd2x \n + 32, 6, 9",
        r"li 9, 16 * (\n + 48)",
        r"stxvd2x \n + 48, 6, 9",
        ".endr",
        "addi 6, 1, 64",
        ".irp n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"lfd \n, 8 * (\n - 14)(6)",
        ".endr",
        ".irp n, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
        r"li 9, 16 * (\n - 10)",
        r"lvx \n, 6, 9",
        ".endr",
        "addi 1, 1, 640",
        "blr",
    )
}

/// FPSCR from the first eight bytes; then, still under it, quotients of single precision numbers:
/// input words 2 / 3 and 4 / 3 go to output words 2 and 3, FPSCR as it was right after the call to
/// the first eight bytes.
#[unsafe(naked)]
pub unsafe extern "C" fn fpscr(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "std 6, -8(1)",
        "std 5, -16(1)",
        "mffs 0",
        "stfd 0, -24(1)",
        "lfd 1, 0(5)",
        "li 5, 1",
        "li 0, 3",
        "mtfsf 255, 1, 1, 0",
        "sc",
        "bns 2f",
        "neg 3, 3",
        "2:",
        "mffs 0",
        "ld 6, -8(1)",
        "ld 5, -16(1)",
        "stfd 0, 0(6)",
        "lfs 1, 8(5)",
        "lfs 2, 12(5)",
        "lfs 3, 16(5)",
        "fdivs 1, 1, 2",
        "fdivs 3, 3, 2",
        "stfs 1, 8(6)",
        "stfs 3, 12(6)",
        "lfd 0, -24(1)",
        "mtfsf 255, 0, 1, 0",
        "blr",
    )
}

/// VSCR, which is in the first four of sixteen bytes; the buffers are aligned.
#[unsafe(naked)]
pub unsafe extern "C" fn vscr(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
    naked_asm!(
        "std 6, -8(1)",
        "mfvscr 0",
        "addi 7, 1, -48",
        "stvx 0, 0, 7",
        "lvx 1, 0, 5",
        "li 5, 1",
        "li 0, 3",
        "mtvscr 1",
        "sc",
        "bns 2f",
        "neg 3, 3",
        "2:",
        "mfvscr 0",
        "ld 6, -8(1)",
        "stvx 0, 0, 6",
        "addi 7, 1, -48",
        "lvx 0, 0, 7",
        "mtvscr 0",
        "blr",
    )
}

/// One special purpose register by its number, eight bytes.
macro_rules! special {
    ($(#[$doc:meta])* $name:ident, $number:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name(fd: i32, byte: *mut u8, input: *const u8, output: *mut u8) -> isize {
            naked_asm!(
                "std 6, -8(1)",
                concat!("mfspr 7, ", $number),
                "std 7, -16(1)",
                "ld 7, 0(5)",
                "li 5, 1",
                "li 0, 3",
                "isync",
                concat!("mtspr ", $number, ", 7"),
                "isync",
                "sc",
                "bns 2f",
                "neg 3, 3",
                "2:",
                concat!("mfspr 8, ", $number),
                "ld 7, -16(1)",
                "isync",
                concat!("mtspr ", $number, ", 7"),
                "isync",
                "ld 6, -8(1)",
                "std 8, 0(6)",
                "blr",
            )
        }
    };
}

special!(
    /// The target address register. Needs `tar`.
    tar,
    "815"
);
special!(
    /// The data stream control register. Needs `dscr`.
    dscr,
    "3"
);
special!(
    /// VRSAVE, of which four bytes exist.
    vrsave,
    "256"
);
special!(
    /// The rights of the protection keys. The first key's rights, which all memory has, must stay.
    amr,
    "13"
);
