//! The table of machines: everything QEMU needs to be told that depends on the architecture.
//!
//! An architecture joins with one entry in [`MACHINES`].

use crate::arch::Arch;

/// One architecture's machine.
#[derive(Debug)]
pub struct Machine {
    /// Which architecture.
    pub arch: Arch,
    /// The emulator's program name.
    pub qemu: &'static str,
    /// Debian's package with that program.
    pub package: &'static str,
    /// `-machine` without the accelerator.
    pub machine: &'static str,
    /// `-cpu` under emulation: the richest model that every kernel of the matrix boots on.
    pub cpu_tcg: &'static str,
    /// The kernel's name for the serial console.
    pub console: &'static str,
    /// The bus that virtio devices sit on (`virtio-serial-pci`, `virtio-rng-pci` …).
    pub virtio: &'static str,
    /// Further arguments to QEMU.
    pub args: &'static [&'static str],
    /// Further words on the kernel's command line.
    pub cmdline: &'static str,
    /// Modules the console, the result port and the clock need where the kernel does not have them built in.
    pub modules: &'static [&'static str],
    /// How much slower than hardware this machine is under emulation; timeouts are multiplied by it.
    pub tcg_scale: f64,
}

/// No guest of this architecture can be started yet.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("guests of {0} are not supported yet (supported: {supported})", supported = supported())]
pub struct NotYet(pub Arch);

fn supported() -> String {
    MACHINES.iter().map(|m| m.arch.name()).collect::<Vec<_>>().join(", ")
}

/// The machines there are.
pub static MACHINES: &[Machine] = &[Machine {
    arch: Arch::X86_64,
    qemu: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: "q35,vmport=off",
    // Five-level page tables of the plain `max` make kernels from 6.12 panic under QEMU 7.2. Its cmpxchg16b computes the
    // flags from stale state: an interrupt right behind one saves rubbish (the trap flag among it), and a kernel that
    // uses the instruction in its allocator dies within seconds of load. Without the feature bit the kernel has
    // another way.
    cpu_tcg: "max,la57=off,cx16=off",
    console: "ttyS0",
    virtio: "pci",
    args: &[],
    // TCG's time stamp counters of several CPUs agree, but the kernel cannot know that and would spend time on it.
    // Self-tests of ciphers cost a quarter of a second and nothing here needs them.
    cmdline: "tsc=reliable cryptomgr.notests",
    modules: &["virtio_pci", "virtio_console", "virtio_rng"],
    tcg_scale: 8.0,
}];

impl Machine {
    /// The machine for guests of `arch`.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn of(arch: Arch) -> Result<&'static Machine, NotYet> {
        MACHINES.iter().find(|m| m.arch == arch).ok_or(NotYet(arch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_an_architecture() {
        for arch in Arch::ALL {
            assert!(MACHINES.iter().filter(|m| m.arch == arch).count() <= 1, "{arch}");
        }
        assert_eq!(Machine::of(Arch::X86_64).unwrap().qemu, "qemu-system-x86_64");
    }

    #[test]
    fn an_absent_one_says_what_there_is() {
        let text = Machine::of(Arch::Ppc64le).unwrap_err().to_string();
        assert_eq!(text, "guests of ppc64le are not supported yet (supported: x86_64)");
    }
}
