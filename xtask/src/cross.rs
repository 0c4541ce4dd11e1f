//! Toolchains for each architecture.
//!
//! For this machine's own, plain cargo does. For another one cargo needs a linker, which is
//! Debian's cross compiler, and a standard library: the one that rustup installed for that target
//! where there is one; otherwise it is built with our programs (`-Z build-std`) from the `rust-src`
//! package of exactly this compiler's version, which the distribution's archive has for all
//! architectures. Nothing is ever written into the toolchain.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cairn_qemu::kernels::{self, Matrix, extra};
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Arch, Cache, progress};

use crate::source::{KernelSource, options};
use crate::workspace::Workspace;

/// How to build for one architecture.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The architecture.
    pub arch: Arch,
    /// Whether it differs from this machine's.
    pub foreign: bool,
    /// Additional arguments of `cargo build`.
    pub args: Vec<String>,
    /// Additional environment variables of cargo.
    pub env: Vec<(String, OsString)>,
    /// Cargo's target directory, if not the default.
    pub target_dir: Option<PathBuf>,
}

/// Cargo's name of an architecture's target.
pub fn triple(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-gnu",
        Arch::Aarch64 => "aarch64-unknown-linux-gnu",
        Arch::Powerpc64le => "powerpc64le-unknown-linux-gnu",
    }
}

/// An environment variable for one target: `CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER`.
pub fn target_variable(arch: Arch, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", triple(arch).to_uppercase().replace('-', "_"))
}

/// This machine's architecture.
pub fn host() -> Result<Arch> {
    Arch::host()
        .with_context(|| format!("{} is not an architecture supported by cairn", std::env::consts::ARCH))
}

impl Toolchain {
    /// This machine's own.
    pub fn native() -> Result<Toolchain> {
        Ok(Toolchain { arch: host()?, foreign: false, args: Vec::new(), env: Vec::new(), target_dir: None })
    }

    /// Finds or fetches the toolchain for `arch`.
    pub fn find(workspace: &Workspace, arch: Arch, source: &KernelSource) -> Result<Toolchain> {
        let host = host()?;
        if arch == host {
            return Toolchain::native();
        }
        let progress = progress::Stderr::default();
        setup::ensure(&Need::cross_compiler(arch), source.offline, &progress)?;
        let linker = format!("{}-gcc", arch.gnu_triple());
        let mut found = Toolchain {
            arch,
            foreign: true,
            args: vec!["--target".into(), triple(arch).into()],
            env: Vec::new(),
            target_dir: None,
        };
        let variable = target_variable(arch, "LINKER");
        if std::env::var_os(&variable).is_none() {
            found.env.push((variable, linker.into()));
        }
        let rustc = Rustc::ask()?;
        if !rustc.has_library_for(arch) {
            let library = rustc.sources(workspace, host, arch, source)?;
            found.args.extend(["-Z".into(), "build-std=std,panic_abort".into()]);
            found.env.push(("RUSTC_BOOTSTRAP".into(), "1".into()));
            found.env.push(("__CARGO_TESTS_ONLY_SRC_ROOT".into(), library.into()));
            // Build scripts depend on that variable, and would be rerun whenever it changes.
            found.target_dir = Some(workspace.ours().join("cross"));
        }
        Ok(found)
    }
}

/// The compiler that cargo uses.
struct Rustc {
    version: String,
    sysroot: PathBuf,
}

impl Rustc {
    fn ask() -> Result<Rustc> {
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let say = |args: &[&str]| -> Result<String> {
            let name = Path::new(&program).display();
            let output =
                Command::new(&program).args(args).output().with_context(|| format!("start {name}"))?;
            if !output.status.success() {
                bail!("{name} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let about = say(&["-vV"])?;
        let version = release(&about).context("rustc -vV prints no release")?.to_owned();
        Ok(Rustc { version, sysroot: say(&["--print", "sysroot"])?.trim().into() })
    }

    /// Whether rustup has installed the standard library for a target.
    fn has_library_for(&self, arch: Arch) -> bool {
        self.sysroot.join("lib/rustlib").join(triple(arch)).join("lib").is_dir()
    }

    /// The sources of its standard library.
    fn sources(
        &self,
        workspace: &Workspace,
        host: Arch,
        arch: Arch,
        source: &KernelSource,
    ) -> Result<PathBuf> {
        let progress = progress::Stderr::default();
        setup::ensure(&[Need::GPGV, Need::KEYRING], source.offline, &progress)?;
        let cache = Cache::from_env()?;
        let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
        let found = extra::rust_src(&matrix, &self.version, &options(host, source, &cache, &progress));
        found.map_err(|error| match error {
            kernels::Error::NoPackage { .. } | kernels::Error::NoArchive => anyhow::Error::new(error).context(format!(
                "programs for {arch} need a standard library: either `rustup target add {}`, or a rust-src package of version {}, which no suite in [toolchain] of matrix.toml provides",
                triple(arch),
                self.version
            )),
            other => other.into(),
        })
    }
}

/// The version in the output of `rustc -vV`: `1.95.0`.
fn release(about: &str) -> Option<&str> {
    about.lines().find_map(|line| line.strip_prefix("release:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_version() {
        let about = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x\nrelease: 1.95.0\nLLVM version: 22\n";
        assert_eq!(release(about), Some("1.95.0"));
        assert_eq!(release("rustc 1.95.0"), None);
    }

    #[test]
    fn variables_of_a_target() {
        let name = target_variable(Arch::Powerpc64le, "RUSTFLAGS");
        assert_eq!(name, "CARGO_TARGET_POWERPC64LE_UNKNOWN_LINUX_GNU_RUSTFLAGS");
    }

    #[test]
    fn the_native_one_is_plain_cargo() {
        let native = Toolchain::native().unwrap();
        assert!(native.args.is_empty() && native.env.is_empty() && !native.foreign);
        assert!(Rustc::ask().unwrap().has_library_for(native.arch));
    }
}
