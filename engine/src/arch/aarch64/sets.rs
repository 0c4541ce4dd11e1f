//! The register sets beside the general ones: SIMD, SVE, SME, pointer authentication keys, memory
//! tags, and how a record keeps them.

#[cfg(feature = "planted-faults")]
use crate::arch::RegisterFault;

// include/uapi/linux/elf.h
const NT_PRFPREG: u32 = 2;
const NT_ARM_TLS: u32 = 0x401;
const NT_ARM_SVE: u32 = 0x405;
const NT_ARM_PACA_KEYS: u32 = 0x407;
const NT_ARM_PACG_KEYS: u32 = 0x408;
const NT_ARM_TAGGED_ADDR_CTRL: u32 = 0x409;
const NT_ARM_PAC_ENABLED_KEYS: u32 = 0x40a;
const NT_ARM_SSVE: u32 = 0x40b;
const NT_ARM_ZA: u32 = 0x40c;
const NT_ARM_ZT: u32 = 0x40d;
const NT_ARM_FPMR: u32 = 0x40e;
const NT_ARM_POE: u32 = 0x40f;

/// Note types of the extended register sets, in the order they are written back. A kernel or
/// machine need not have all. Streaming mode begins when its set is written. The SIMD registers
/// come last: since Linux 6.16 to write a set of SVE without registers zeroes them
/// (arch/arm64/kernel/ptrace.c, `sve_set_common`).
pub const EXTENDED_SETS: &[u32] = &[
    NT_ARM_TLS,
    NT_ARM_TAGGED_ADDR_CTRL,
    NT_ARM_PACA_KEYS,
    NT_ARM_PACG_KEYS,
    NT_ARM_PAC_ENABLED_KEYS,
    NT_ARM_SVE,
    NT_ARM_ZA,
    NT_ARM_ZT,
    NT_ARM_FPMR,
    NT_ARM_POE,
    NT_ARM_SSVE,
    NT_PRFPREG,
];
/// Sets that are part of others as long as these are live: to write them would take from the whole.
pub const PART_OF: &[(u32, &[u32])] = &[(NT_PRFPREG, &[NT_ARM_SVE, NT_ARM_SSVE])];
/// Sets that only a thread has that cannot be saved.
pub const REFUSED_SETS: &[(u32, &str)] = &[];
/// Those of [`EXTENDED_SETS`] that system calls change: they end streaming mode, and leave of SVE's
/// registers only what the SIMD registers are part of (Documentation/arch/arm64/sve.rst, sme.rst).
pub const LOST_IN_SYSCALLS: &[u32] = &[NT_ARM_SVE, NT_ARM_SSVE];
/// Those that a signal frame holds.
pub const SIGNAL_FRAME_SETS: &[u32] = &[NT_PRFPREG];
/// The one with the thread pointer.
pub const TLS_SET: Option<u32> = Some(NT_ARM_TLS);
/// No set is larger: that of ZA, with vectors of 256 bytes, and a header.
pub const EXTENDED_MAX: usize = 128 * 1024;

/// `struct user_sve_header`, which `user_za_header` shares (arch/arm64/include/uapi/asm/ptrace.h).
struct VectorHeader;

impl VectorHeader {
    const SIZE: usize = 16;
    const VL: usize = 8;
    const MAX_VL: usize = 10;
    const FLAGS: usize = 12;
    /// The registers are SVE's, not just the SIMD part of them.
    const IS_SVE: u16 = 1;

    /// Bytes of header and registers.
    fn size(data: &[u8]) -> usize {
        data.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize)
    }

    fn half(data: &[u8], at: usize) -> u16 {
        data.get(at..at + 2).map_or(0, |b| u16::from_le_bytes(b.try_into().expect("two bytes")))
    }
}

fn is_sve(note: u32) -> bool {
    [NT_ARM_SVE, NT_ARM_SSVE].contains(&note)
}

/// Whether a set that system calls change holds something to lose.
pub fn is_live(note: u32, data: &[u8]) -> bool {
    is_sve(note) && VectorHeader::half(data, VectorHeader::FLAGS) & VectorHeader::IS_SVE != 0
}

/// A set as it is kept in a record; nothing when it is as every thread has it at first. Of vector
/// registers that are not in use only the vector length is kept, and that of streaming mode is in
/// the set of ZA: to write a set without registers is EINVAL outside of that mode
/// (arch/arm64/kernel/ptrace.c, `sve_set_common`, Linux 6.16).
pub fn canonical(note: u32, mut data: Vec<u8>) -> Option<Vec<u8>> {
    if note == NT_ARM_SSVE && !is_live(note, &data) {
        return None;
    }
    if note == NT_ARM_ZT && data.iter().all(|byte| *byte == 0) {
        // To write it would turn on ZA.
        return None;
    }
    if note == NT_ARM_ZA {
        // Only what the header says: later kernels fill the rest of the set with zeros (seen on
        // Linux 6.16), and to write any of them would turn on ZA.
        data.truncate(VectorHeader::size(&data));
    }
    if is_sve(note) && !is_live(note, &data) && data.len() > VectorHeader::SIZE {
        data.truncate(VectorHeader::SIZE);
        data[..4].copy_from_slice(&(VectorHeader::SIZE as u32).to_le_bytes());
    }
    Some(data)
}

/// Checks that a saved extended set fits this machine, of which `here` is a sample.
///
/// # Errors
/// A text that names what is missing.
pub fn extended_fits(note: u32, saved: &[u8], here: &[u8]) -> Result<(), String> {
    if is_sve(note) || note == NT_ARM_ZA {
        let (vl, most) =
            (VectorHeader::half(saved, VectorHeader::VL), VectorHeader::half(here, VectorHeader::MAX_VL));
        return if vl > most {
            Err(format!("{vl}-byte vectors, but this machine supports at most {most} bytes"))
        } else {
            Ok(())
        };
    }
    if saved.len() > here.len() {
        return Err(format!("{} bytes, but {} on this machine", saved.len(), here.len()));
    }
    Ok(())
}

/// Where two register sets differ in what user code can see.
pub fn extended_difference(note: u32, want: &[u8], have: &[u8]) -> Option<usize> {
    let have = canonical(note, have.to_vec()).unwrap_or_default();
    // Of a header: sizes and the longest vectors are the machine's.
    let ignored = match note {
        NT_ARM_SVE | NT_ARM_SSVE | NT_ARM_ZA => 0..VectorHeader::VL,
        _ => 0..0,
    };
    let machine = VectorHeader::MAX_VL..VectorHeader::FLAGS;
    let counts = |at: &usize| !ignored.contains(at) && !(!ignored.is_empty() && machine.contains(at));
    (0..want.len().max(have.len())).find(|at| counts(at) && want.get(*at) != have.get(*at))
}

/// To be called after a register set was written: the vector registers that a caller may rely on
/// are used up. Linux 6.16 to 7.2 zeroes those of the writer when it is to zero those of the thread
/// (`sve_set_common` took `current` for `target`).
pub fn vectors_are_lost() {
    // SAFETY: no instruction; the registers named are saved and restored around it by the compiler.
    unsafe {
        std::arch::asm!("", out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            out("v14") _, out("v15") _, options(nomem, nostack, preserves_flags));
    }
}

/// Errors of the registers, for [`crate::fault`].
#[cfg(feature = "planted-faults")]
pub const FAULTS: &[RegisterFault] = &[
    RegisterFault {
        name: "simd-lost",
        what: "the SIMD registers of every thread are zero",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[..512].fill(0);
            }
        },
    },
    RegisterFault {
        name: "simd-upper-lost",
        what: "the upper halves of the SIMD registers are zero",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[..512].chunks_exact_mut(16).for_each(|register| register[8..].fill(0));
            }
        },
    },
    RegisterFault {
        name: "simd-swapped",
        what: "two SIMD registers are swapped",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                let (low, high) = data.split_at_mut(16 * 9);
                low[16 * 8..].swap_with_slice(&mut high[..16]);
            }
        },
    },
    RegisterFault {
        name: "simd-of-last-thread-lost",
        what: "the SIMD registers are zero in every thread but the first",
        spoil: |thread, _, note, data| {
            if note == NT_PRFPREG && thread > 0 {
                data[..512].fill(0);
            }
        },
    },
    RegisterFault {
        name: "fpcr-lost",
        what: "rounding and exception control are lost",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[516..520].fill(0);
            }
        },
    },
    RegisterFault {
        name: "fpsr-lost",
        what: "the sticky flags of floating point are lost",
        spoil: |_, _, note, data| {
            if note == NT_PRFPREG {
                data[512..516].fill(0);
            }
        },
    },
    RegisterFault {
        name: "sve-upper-lost",
        what: "only the low 128 bits of the SVE registers are kept",
        spoil: |_, _, note, data| {
            let vl = usize::from(VectorHeader::half(data, VectorHeader::VL));
            if note == NT_ARM_SVE && is_live(note, data) && vl > 16 {
                data[VectorHeader::SIZE..][..32 * vl].chunks_exact_mut(vl).for_each(|z| z[16..].fill(0));
            }
        },
    },
    RegisterFault {
        name: "sve-predicates-lost",
        what: "the SVE predicate registers are zero",
        spoil: |_, _, note, data| {
            let vl = usize::from(VectorHeader::half(data, VectorHeader::VL));
            if note == NT_ARM_SVE && is_live(note, data) {
                data[VectorHeader::SIZE + 32 * vl..][..16 * vl / 8].fill(0);
            }
        },
    },
    RegisterFault {
        name: "sve-length-lost",
        what: "every thread has 16-byte vectors",
        spoil: |_, _, note, data| {
            if note == NT_ARM_SVE && !is_live(note, data) && data.len() >= VectorHeader::SIZE {
                data[VectorHeader::VL..][..2].copy_from_slice(&16u16.to_le_bytes());
            }
        },
    },
    RegisterFault {
        name: "pointer-keys-lost",
        what: "one pointer authentication key for addresses differs",
        spoil: |_, _, note, data| {
            if note == NT_ARM_PACA_KEYS {
                data[0] ^= 1;
            }
        },
    },
    RegisterFault {
        name: "generic-key-lost",
        what: "the pointer authentication key for data differs",
        spoil: |_, _, note, data| {
            if note == NT_ARM_PACG_KEYS {
                data[0] ^= 1;
            }
        },
    },
    RegisterFault {
        name: "tag-checks-lost",
        what: "memory tags are not checked",
        spoil: |_, _, note, data| {
            if note == NT_ARM_TAGGED_ADDR_CTRL {
                data.fill(0);
            }
        },
    },
    RegisterFault {
        name: "thread-pointer-lost",
        what: "the thread pointer is 0",
        spoil: |thread, _, note, data| {
            if note == NT_ARM_TLS && thread > 0 {
                data[..8].fill(0);
            }
        },
    },
    RegisterFault {
        name: "flags-lost",
        what: "the condition flags are zero",
        spoil: |_, regs, _, _| regs.pstate &= !0xf000_0000,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_are_not_in_use_are_only_a_length() {
        let mut data = vec![0u8; 544];
        data[VectorHeader::VL] = 32;
        let kept = canonical(NT_ARM_SVE, data.clone()).unwrap();
        assert_eq!((kept.len(), kept[VectorHeader::VL]), (VectorHeader::SIZE, 32));
        assert_eq!(extended_difference(NT_ARM_SVE, &kept, &data), None);
        assert_eq!(canonical(NT_ARM_SSVE, data.clone()), None, "ZA's set has its length");
        data[0] = VectorHeader::SIZE as u8;
        assert_eq!(
            canonical(NT_ARM_ZA, data.clone()).unwrap().len(),
            VectorHeader::SIZE,
            "padding is not ZA"
        );
        data[VectorHeader::FLAGS] = 1;
        assert_eq!(canonical(NT_ARM_SVE, data.clone()), Some(data.clone()));
        assert_eq!(extended_difference(NT_ARM_SVE, &kept, &data), Some(VectorHeader::FLAGS));
    }
}
