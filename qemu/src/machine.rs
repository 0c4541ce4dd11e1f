//! The table of machines: all QEMU parameters that depend on the architecture.
//!
//! A new architecture needs one entry here, and its names in [`Arch`].

use crate::arch::Arch;
use crate::kernels::Series;
use crate::setup::Need;

/// One architecture's machine.
#[derive(Debug)]
pub struct Machine {
    /// The architecture.
    pub arch: Arch,
    /// The emulator's program name.
    pub qemu: &'static str,
    /// The Debian package that contains that program.
    pub package: &'static str,
    /// `-machine` without the accelerator.
    pub machine: &'static str,
    /// `-cpu` under emulation: the richest model that every kernel of the matrix boots on.
    pub cpu_tcg: &'static str,
    /// The same for kernels older than this series, if those boot on a richer model.
    pub cpu_tcg_before: Option<(Series, &'static str)>,
    /// The kernel's name for the serial console.
    pub console: &'static str,
    /// The bus that virtio devices sit on (`virtio-serial-pci`, `virtio-rng-pci` …).
    pub virtio: &'static str,
    /// Further arguments to QEMU.
    pub args: &'static [&'static str],
    /// Additional kernel parameters.
    pub cmdline: &'static str,
    /// Modules that the console, the result port and the clock need if the kernel does not have
    /// them built in.
    pub modules: &'static [&'static str],
    /// Slowdown of this machine under emulation; timeouts are multiplied by it.
    pub tcg_scale: f64,
}

static X86_64: Machine = Machine {
    arch: Arch::X86_64,
    qemu: "qemu-system-x86_64",
    package: "qemu-system-x86",
    machine: "q35,vmport=off",
    // With the five-level page tables of plain `max`, kernels from 6.12 panic under QEMU 7.2. Its
    // cmpxchg16b computes the flags from stale state: an interrupt directly after it saves wrong
    // flags (among them the trap flag), and a kernel that uses the instruction in its allocator
    // dies within seconds of load. Without the feature bit the kernel uses a different
    // implementation.
    cpu_tcg: "max,la57=off,cx16=off",
    cpu_tcg_before: Some((Series { major: 6, minor: 12 }, "max,cx16=off")),
    console: "ttyS0",
    virtio: "pci",
    args: &[],
    // The time stamp counters of TCG's CPUs are synchronised, but the kernel cannot know that and
    // would spend time on checking. Self-tests of ciphers cost a quarter of a second and are not
    // needed here. Errors before the console is initialised, such as a damaged image, are printed
    // on the serial line only with earlyprintk (arch/x86/boot/compressed/early_serial_console.c).
    cmdline: "tsc=reliable cryptomgr.notests earlyprintk=ttyS0",
    modules: VIRTIO_PCI,
    tcg_scale: 8.0,
};

static AARCH64: Machine = Machine {
    arch: Arch::Aarch64,
    qemu: "qemu-system-aarch64",
    package: "qemu-system-arm",
    machine: "virt,gic-version=3,mte=on",
    // Pointer authentication with the architected cipher is slow in software.
    cpu_tcg: "max,pauth-impdef=on",
    cpu_tcg_before: None,
    console: "ttyAMA0",
    virtio: "pci",
    args: &[],
    cmdline: "cryptomgr.notests",
    modules: VIRTIO_PCI,
    tcg_scale: 8.0,
};

static POWERPC64LE: Machine = Machine {
    arch: Arch::Powerpc64le,
    qemu: "qemu-system-ppc64",
    package: "qemu-system-ppc",
    // The emulator implements none of the processor's mitigations, and would warn about each.
    // QEMU's own small open firmware (`x-vof`) replaces SLOF, which needs eight seconds.
    machine: "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
    cpu_tcg: "power10",
    cpu_tcg_before: None,
    console: "hvc0",
    virtio: "pci",
    args: &[],
    cmdline: "cryptomgr.notests",
    modules: VIRTIO_PCI,
    tcg_scale: 8.0,
};

const VIRTIO_PCI: &[&str] = &["virtio_pci", "virtio_console", "virtio_rng"];

impl Machine {
    /// `-cpu` under emulation, for a kernel of this series.
    pub fn cpu_tcg(&self, series: Series) -> &'static str {
        match self.cpu_tcg_before {
            Some((first, richer)) if series < first => richer,
            _ => self.cpu_tcg,
        }
    }

    /// Its emulator, as a requirement on the host.
    pub fn need(&self) -> Need {
        Need::Program { program: self.qemu, package: self.package }
    }

    /// The machine for guests of `arch`.
    pub fn of(arch: Arch) -> &'static Machine {
        match arch {
            Arch::X86_64 => &X86_64,
            Arch::Aarch64 => &AARCH64,
            Arch::Powerpc64le => &POWERPC64LE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_own() {
        for arch in Arch::ALL {
            assert_eq!(Machine::of(arch).arch, arch);
        }
    }
}
