//! The architectures of guests, and their names in other projects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A guest's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm, little-endian.
    Aarch64,
    /// 64-bit POWER, little-endian.
    Powerpc64le,
}

impl Arch {
    /// All supported architectures.
    pub const ALL: [Arch; 3] = [Arch::X86_64, Arch::Aarch64, Arch::Powerpc64le];

    /// The architecture this program was built for.
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::X86_64),
            "aarch64" => Some(Arch::Aarch64),
            "powerpc64" if cfg!(target_endian = "little") => Some(Arch::Powerpc64le),
            _ => None,
        }
    }

    /// The name used on command lines, in the matrix and in results.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Powerpc64le => "powerpc64le",
        }
    }

    /// Other names, used by the kernel (`uname -m`) and Debian. Accepted on command lines, never
    /// printed.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => &["amd64"],
            Arch::Aarch64 => &["arm64"],
            Arch::Powerpc64le => &["ppc64le", "ppc64el"],
        }
    }

    /// The GNU triple without the vendor: `aarch64-linux-gnu`, as used in the names of Debian's
    /// cross compilers and library directories.
    pub fn gnu_triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-linux-gnu",
            Arch::Aarch64 => "aarch64-linux-gnu",
            Arch::Powerpc64le => "powerpc64le-linux-gnu",
        }
    }

    /// Debian's name, as in `binary-amd64`.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
            Arch::Powerpc64le => "ppc64el",
        }
    }

    /// The name of Debian's generic kernel, as in `linux-image-…-amd64`.
    pub fn debian_kernel(self) -> &'static str {
        match self {
            Arch::Powerpc64le => "powerpc64le",
            other => other.debian(),
        }
    }

    /// Path of the bootable image in a kernel build tree.
    pub fn image_in_build_tree(self) -> &'static str {
        match self {
            Arch::X86_64 => "arch/x86/boot/bzImage",
            Arch::Aarch64 => "arch/arm64/boot/Image",
            Arch::Powerpc64le => "vmlinux",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not a known architecture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown architecture {0:?} (known: x86_64, aarch64, powerpc64le)")]
pub struct UnknownArch(String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == s || arch.aliases().contains(&s))
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
            assert!(arch.aliases().iter().all(|alias| alias.parse() == Ok(arch)));
            assert_eq!(serde_json::to_value(arch).unwrap(), arch.name());
        }
        assert_eq!("ppc64le".parse(), Ok(Arch::Powerpc64le));
        assert!("vax".parse::<Arch>().is_err());
    }
}
