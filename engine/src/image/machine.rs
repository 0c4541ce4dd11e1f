//! The architecture that a context file names.

use serde::{Serialize, Serializer};

/// An architecture as ELF files name it. The machine number alone would not do: big- and
/// little-endian PowerPC share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `e_machine`
    pub e_machine: u16,
    /// `e_ident[EI_CLASS]`: 1 = 32 bit, 2 = 64 bit
    pub class: u8,
    /// `e_ident[EI_DATA]`: 1 = little-endian, 2 = big-endian
    pub data: u8,
}

impl Machine {
    /// The machine this program was built for.
    pub const fn here() -> Machine {
        Machine {
            e_machine: crate::arch::E_MACHINE,
            class: if cfg!(target_pointer_width = "64") { 2 } else { 1 },
            data: if cfg!(target_endian = "little") { 1 } else { 2 },
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match (self.e_machine, self.class, self.data) {
            (62, 2, 1) => "x86_64",
            (62, 1, 1) => "x32",
            (3, 1, 1) => "i386",
            (183, 2, 1) => "aarch64",
            (40, 1, 1) => "arm",
            (21, 2, 1) => "powerpc64le",
            (21, 2, 2) => "powerpc64",
            (20, 1, 2) => "powerpc",
            (22, 2, 2) => "s390x",
            (243, 2, 1) => "riscv64",
            (243, 1, 1) => "riscv32",
            (258, 2, 1) => "loongarch64",
            (machine, class, data) => {
                return write!(f, "ELF machine {machine} (class {class}, data {data})");
            }
        };
        f.write_str(name)
    }
}

impl Serialize for Machine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
