//! The architectures a guest can have, and what each is called elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A guest's architecture. Whether guests of it can be started yet is [`crate::machine::Machine::of`]'s answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm, little-endian.
    Aarch64,
    /// 64-bit POWER, little-endian.
    Ppc64le,
}

impl Arch {
    /// Every architecture with a name here.
    pub const ALL: [Arch; 3] = [Arch::X86_64, Arch::Aarch64, Arch::Ppc64le];

    /// The architecture this program was built for.
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::X86_64),
            "aarch64" => Some(Arch::Aarch64),
            "powerpc64" if cfg!(target_endian = "little") => Some(Arch::Ppc64le),
            _ => None,
        }
    }

    /// The name used on command lines and in results; `uname -m` says the same.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Ppc64le => "ppc64le",
        }
    }

    /// Debian's name, as in `binary-amd64` and `linux-image-…-amd64`.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
            Arch::Ppc64le => "ppc64el",
        }
    }

    /// Where a kernel build tree leaves the image that a boot loader takes.
    pub fn image_in_build_tree(self) -> &'static str {
        match self {
            Arch::X86_64 => "arch/x86/boot/bzImage",
            Arch::Aarch64 => "arch/arm64/boot/Image",
            Arch::Ppc64le => "vmlinux",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no architecture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown architecture {0:?} (known: x86_64, aarch64, ppc64le)")]
pub struct UnknownArch(String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == s || arch.debian() == s)
            .ok_or_else(|| UnknownArch(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for arch in Arch::ALL {
            assert_eq!(arch.name().parse(), Ok(arch));
            assert_eq!(arch.debian().parse(), Ok(arch));
        }
        assert!("vax".parse::<Arch>().is_err());
    }
}
