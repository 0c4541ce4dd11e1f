//! `cargo xtask dkms`: tests the documented installation of the kernel module by DKMS, in guests
//! that run a suite's kernel with that suite's own system: its `dkms`, compiler and headers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_qemu::guest::Boot;
use cairn_qemu::initramfs::Builder;
use cairn_qemu::job::GuestJob;
use cairn_qemu::kernels::{Kernel, Matrix, Selector};
use cairn_qemu::kmod::{self, Sources, disk};
use cairn_qemu::{Cache, probe, progress};
use cairn_testsuite::driver::StopFlag;
use clap::Parser;

use crate::cross::{self, Toolchain};
use crate::kernels::{self, KernelArgs};
use crate::places::{CPUS, MEMORY_MIB};
use crate::programs::{self, Standalone, Wanted};
use crate::source;
use crate::trial::{self, Trial};
use crate::workspace::Workspace;

/// The test that runs in a guest, a script for the suite's shell, as users would type it.
const SCRIPT: &str = include_str!("guest.sh");

/// Paths of script and engine on the disk.
const SCRIPT_PATH: &str = "/srv/cairn/guest.sh";
const ENGINE_PATH: &str = "/usr/local/bin/cairn";

/// The package that users install, and a recommended one that apt adds by default: with it, DKMS
/// signs the module.
const PACKAGES: &[&str] = &["dkms", "openssl"];

/// On older kernels, ext4's checksum is in a module that is found only by its name.
const CHECKSUMS: &[&str] = &["crc32c_generic"];

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    kernels: KernelArgs,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    if args.kernels.kernel.contains(&Selector::Host) {
        bail!("DKMS is tested in guests only");
    }
    let source = &args.kernels.source;
    let mut choice = kernels::choose(&workspace, &args.kernels)?;
    let arch = cross::host()?;
    if choice.archs()? != [arch] {
        bail!("DKMS is tested only with systems of this machine's architecture, {arch}");
    }
    let toolchain = Toolchain::find(&workspace, arch, source)?;
    let wanted = Wanted { offline: source.offline, ..Wanted::default() };
    let conf = workspace.root.join("kmod/dkms.conf");
    let conf = fs::read_to_string(&conf).with_context(|| format!("read {}", conf.display()))?;
    let plan = Plan {
        args,
        matrix: Matrix::load(&workspace.root.join("matrix.toml"))?,
        cache: Cache::from_env()?,
        sources: Sources::read(&workspace.root.join("kmod"))?,
        version: version(&conf).context("dkms.conf has no version")?.to_owned(),
        programs: programs::build_standalone(&workspace, &toolchain, wanted)?,
    };
    let mut good = true;
    let mut rows = Vec::new();
    for kernel in choice.obtain(source)? {
        let name = format!("{}/{}", kernel.label(), kernel.arch);
        eprintln!("{name}: {}", kernel.release);
        let mut say = |line: &str| eprintln!("  {line}");
        match trial::again_if_emulator_fails(&mut say, |say| plan.carry_out(&kernel, say))
            .with_context(|| name.clone())
        {
            Ok(report) => {
                good &= report.failures().next().is_none();
                rows.extend(trial::rows(&name, &report));
            }
            Err(error) => match error.downcast_ref::<kmod::Error>() {
                Some(absence) if absence.is_absence() => rows.push(format!("{name}: skipped: {absence}")),
                _ => return Err(error),
            },
        }
    }
    println!();
    rows.iter().for_each(|row| println!("{row}"));
    Ok(good)
}

/// State shared by all kernels.
struct Plan<'a> {
    args: &'a Args,
    matrix: Matrix,
    cache: Cache,
    sources: Sources,
    version: String,
    programs: Standalone,
}

impl Plan<'_> {
    /// One guest, with its own disk.
    fn carry_out(&self, kernel: &Kernel, say: &mut dyn FnMut(&str)) -> Result<Trial> {
        let progress = progress::Stderr::default();
        let options = source::options(kernel.arch, &self.args.kernels.source, &self.cache, &progress);
        let dir = tempfile::Builder::new().prefix("cairn-dkms-").tempdir().context("make a directory")?;
        let script = dir.path().join("guest.sh");
        fs::write(&script, SCRIPT).context("write the script")?;
        let wanted = disk::Wanted {
            packages: PACKAGES,
            sources: &self.sources,
            programs: &[(&script, SCRIPT_PATH), (&self.programs.cairn, ENGINE_PATH)],
        };
        let disk = disk::make(&self.matrix, kernel, &wanted, &options)?;
        let base = Builder::new(kernel, &self.programs.init)?
            .optional_modules(CHECKSUMS)?
            .modules(["virtio_blk", "ext4"])?
            .build(&self.cache)?;
        let accel = probe::probe(kernel, &self.programs.init, &self.cache, &progress)?;
        let scale = accel.time_scale(kernel);
        let job = GuestJob {
            command: [SCRIPT_PATH, disk::SOURCES, &self.version, &self.sources.digest].map(Into::into).into(),
            root: Some("/dev/vda".to_owned()),
            ..GuestJob::default()
        };
        let image = disk.image();
        let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel);
        (boot.cpus, boot.memory_mib, boot.disk) = (CPUS, MEMORY_MIB, Some(image.as_path()));
        // There is no output while the module is built.
        boot.idle_timeout = Duration::from_secs(180);
        boot.total_timeout = Duration::from_secs(600);
        trial::listen(&boot.scaled(scale), &StopFlag::default(), say)
    }
}

/// The version of the module in DKMS.
fn version(conf: &str) -> Option<&str> {
    let value = conf.lines().find_map(|line| line.strip_prefix("PACKAGE_VERSION="))?;
    Some(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dkms_calls_it() {
        assert_eq!(version("PACKAGE_NAME=\"cairn\"\nPACKAGE_VERSION=\"0.1.0\"\n"), Some("0.1.0"));
        assert_eq!(version("PACKAGE_NAME=cairn\n"), None);
    }
}
