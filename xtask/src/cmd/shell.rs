//! `cargo xtask shell`: a prompt in a guest, with engine and corpus on the PATH.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_qemu::kernels::{Matrix, Selector, extra};
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Arch, Cache, guest, initramfs, job, probe, progress};
use cairn_testsuite::driver::guest::HUGE_MIB;
use clap::Parser;

use crate::cross::{self, Toolchain};
use crate::kernels::{self, ArchArg, KernelArgs};
use crate::places::{CPUS, MEMORY_MIB};
use crate::programs::{self, Wanted};
use crate::source::{self, KernelSource};
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// Kernel of the guest
    #[arg(long, value_name = "KERNEL")]
    kernel: Selector,
    /// Architecture of the guest [default: this machine's own]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// Build the kernel module and load it in the guest
    #[arg(long)]
    kmod: bool,
    /// Parameters of the module
    #[arg(long, value_name = "NAME=VALUE", requires = "kmod")]
    kmod_param: Vec<String>,
    #[command(flatten)]
    source: KernelSource,
    /// A command to run instead of the shell
    #[arg(last = true)]
    command: Vec<String>,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    if args.kernel == Selector::Host {
        bail!("shell runs in a guest only; select its kernel with --kernel");
    }
    if args.command.is_empty() && !std::io::stdin().is_terminal() {
        bail!("standard input is not a terminal: give a command after --");
    }
    let own = cross::host()?;
    let arch = args.arch.unwrap_or(own);
    let progress = progress::Stderr::default();
    if arch == own {
        setup::ensure(&[Need::BUSYBOX], args.source.offline, &progress)?;
    }
    let flags = KernelArgs {
        kernel: vec![args.kernel.clone()],
        arch: vec![ArchArg::One(arch)],
        allow_missing: false,
        source: args.source.clone(),
    };
    let found = kernels::choose(&workspace, &flags)?.obtain(&args.source)?;
    let [kernel] = found.as_slice() else {
        bail!("--kernel {} selects {} kernels, expected one", args.kernel, found.len());
    };
    let toolchain = Toolchain::find(&workspace, arch, &args.source)?;
    let wanted = Wanted { offline: args.source.offline, ..Wanted::default() };
    let programs = programs::build(&workspace, &toolchain, wanted)?;
    let cache = Cache::from_env()?;
    let cairn = programs.cairn.clone().context("the engine was not built")?;
    let guest_programs = programs.guest_programs([("cairn".to_owned(), cairn)].into());
    // A shell for another architecture comes from the archive; for this machine's own, the
    // installed one is used.
    let busybox = if arch == own {
        None
    } else {
        let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
        Some(extra::busybox(&matrix, &source::options(arch, &args.source, &cache, &progress))?)
    };
    let (builder, shell) = initramfs::add_shell(guest_programs.pack(kernel)?, busybox.as_deref())?;
    let base = builder.build(&cache)?;
    let accel = probe::probe(kernel, &programs.init, &cache, &progress)?;
    let command = if args.command.is_empty() { shell } else { args.command.clone() };
    let mut job = job::GuestJob {
        command,
        cwd: Some("/tmp".to_owned()),
        huge_mib: HUGE_MIB,
        console: job::Console::Interactive,
        ..job::GuestJob::default()
    };
    if args.kmod {
        let data =
            crate::module::for_kernel(&workspace, kernel, &args.source)?.map_err(anyhow::Error::msg)?;
        job.load("cairn", data, &args.kmod_param.join(" "));
    }
    let dir = tempfile::Builder::new().prefix("cairn-shell-").tempdir()?;
    let mut boot = guest::Boot::new(kernel, &base, &job, dir.path(), accel);
    (boot.cpus, boot.memory_mib) = (CPUS, MEMORY_MIB);
    boot.total_timeout = Duration::from_secs(24 * 3600);
    eprintln!("{}: `exit` or Ctrl-D powers the guest off", kernel.release);
    Ok(guest::interactive(&boot)? == 0)
}
