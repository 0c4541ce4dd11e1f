//! Programs and files that this machine lacks: detected, and installed or reported.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::arch::Arch;
use crate::kernels::fetch::{find_program, on_path};
use crate::progress::Progress;

/// One requirement on the machine that runs the harness.
#[derive(Clone, Debug)]
pub enum Need {
    /// A program on the path, and the Debian package that contains it.
    Program {
        /// The program.
        program: &'static str,
        /// The package.
        package: &'static str,
    },
    /// Alternative files, and the Debian package that contains them.
    File {
        /// The files; any one is sufficient.
        any_of: &'static [&'static str],
        /// The package.
        package: &'static str,
    },
}

impl Need {
    /// Verifies an archive's signature.
    pub const GPGV: Need = Need::Program { program: "gpgv", package: "gpgv" };

    /// The keys that Debian's archive is signed with.
    pub const KEYRING: Need =
        Need::File { any_of: crate::kernels::DEBIAN_KEYRINGS, package: "debian-archive-keyring" };

    /// Creates the build roots of kernel modules.
    pub const MMDEBSTRAP: Need = Need::Program { program: "mmdebstrap", package: "mmdebstrap" };

    /// Interpreter of the kernel's `checkpatch.pl`.
    pub const PERL: Need = Need::Program { program: "perl", package: "perl" };

    /// Creates the file systems of disks, as an ordinary user and without mounting them.
    pub const MKE2FS: Need = Need::Program { program: "mke2fs", package: "e2fsprogs" };

    /// A shell for interactive guests.
    pub const BUSYBOX: Need = Need::Program { program: "busybox", package: "busybox-static" };

    /// Links programs of another architecture: Debian's cross compiler and C library. Empty for
    /// this machine's own.
    pub fn cross_compiler(arch: Arch) -> Vec<Need> {
        if Arch::host() == Some(arch) {
            return Vec::new();
        }
        let (program, compiler, library, package) = match arch {
            Arch::X86_64 => (
                "x86_64-linux-gnu-gcc",
                "gcc-x86-64-linux-gnu",
                &["/usr/x86_64-linux-gnu/lib/libc.a"],
                "libc6-dev-amd64-cross",
            ),
            Arch::Aarch64 => (
                "aarch64-linux-gnu-gcc",
                "gcc-aarch64-linux-gnu",
                &["/usr/aarch64-linux-gnu/lib/libc.a"],
                "libc6-dev-arm64-cross",
            ),
            Arch::Powerpc64le => (
                "powerpc64le-linux-gnu-gcc",
                "gcc-powerpc64le-linux-gnu",
                &["/usr/powerpc64le-linux-gnu/lib/libc.a"],
                "libc6-dev-ppc64el-cross",
            ),
        };
        vec![Need::Program { program, package: compiler }, Need::File { any_of: library, package }]
    }

    fn is_met(&self) -> bool {
        match self {
            Need::Program { program, .. } => on_path(program),
            Need::File { any_of, .. } => any_of.iter().any(|file| Path::new(file).is_file()),
        }
    }

    fn package(&self) -> &'static str {
        match self {
            Need::Program { package, .. } | Need::File { package, .. } => package,
        }
    }
}

/// A requirement is not met, and the user has to install it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process lacks the privilege, or there is no apt; the command would install it.
    #[error("this machine lacks {}; run:\n    {command}", packages.join(", "))]
    Missing {
        /// The packages.
        packages: Vec<String>,
        /// The command to run.
        command: String,
    },
    /// The installation failed.
    #[error("install {}: {why}", packages.join(", "))]
    Failed {
        /// The packages.
        packages: Vec<String>,
        /// The error messages of apt.
        why: String,
    },
}

/// Ensures that all requirements are met: as root on a machine with apt by installing packages (and
/// reporting it), otherwise the error contains the one command to run. Does nothing if all are met.
/// With `offline` nothing is installed.
///
/// # Errors
/// When something is missing and was not installed.
pub fn ensure(needs: &[Need], offline: bool, progress: &dyn Progress) -> Result<(), Error> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let root = rustix::process::geteuid().is_root();
    let apt = find_program("apt-get");
    let (Some(apt), true, false) = (apt, root, offline) else {
        let sudo = if root { "" } else { "sudo " };
        let command = format!("{sudo}apt-get install -y --no-install-recommends {}", missing.join(" "));
        return Err(Error::Missing { packages: missing, command });
    };
    progress.message(&format!("installing {} with apt-get", missing.join(", ")));
    let run = |args: &[&str]| -> Result<(), String> {
        let output = Command::new(&apt)
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("run apt-get: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().filter(|line| line.starts_with("E:")).collect::<Vec<_>>().join("; "))
    };
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(missing.iter().map(String::as_str));
    // The package lists of a fresh machine are empty or old; they are updated only if the
    // installation fails.
    let result = run(&install).or_else(|_| {
        run(&["update", "-q"])?;
        run(&install)
    });
    result.map_err(|why| Error::Failed { packages: missing.clone(), why })?;
    let still: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if still.is_empty() {
        progress.message(&format!("installed {}", missing.join(", ")));
        Ok(())
    } else {
        Err(Error::Failed { packages: missing, why: format!("installed, and still missing: {still:?}") })
    }
}

/// The packages for the requirements that are not met, without duplicates.
pub fn missing(needs: &[Need]) -> Vec<String> {
    let mut packages: Vec<String> =
        needs.iter().filter(|need| !need.is_met()).map(|need| need.package().to_owned()).collect();
    packages.sort();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    const ABSENT: Need = Need::Program { program: "no-such-program-anywhere", package: "no-such-package" };

    #[test]
    fn what_is_there_is_not_missing() {
        let here = Need::File { any_of: &["/nowhere", "/etc/passwd"], package: "base-passwd" };
        assert_eq!(missing(&[here.clone(), ABSENT, ABSENT]), ["no-such-package"]);
        ensure(&[here], false, &Silent).unwrap();
    }

    #[test]
    fn only_other_architectures_need_a_cross_compiler() {
        for arch in Arch::ALL {
            let needs = Need::cross_compiler(arch);
            assert_eq!(needs.is_empty(), Arch::host() == Some(arch));
            let Some(Need::Program { program, .. }) = needs.first() else { continue };
            assert!(program.starts_with(arch.gnu_triple()), "{program}");
        }
    }

    #[test]
    fn offline_names_the_command() {
        let error = ensure(&[ABSENT], true, &Silent).unwrap_err().to_string();
        assert!(error.contains("apt-get install -y --no-install-recommends no-such-package"), "{error}");
    }
}
