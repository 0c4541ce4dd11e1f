//! `cargo xtask kernels`: lists the kernels that resolve today, and the cached ones.

use anyhow::Result;
use cairn_qemu::kernels::{self as found, Located, Matrix, Selector};
use cairn_qemu::machine::Machine;
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Arch, Cache, progress};
use clap::Parser;

use crate::kernels::{ArchArg, architectures, for_arch};
use crate::source::{KernelSource, options};
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// Kernels to look for [default: all in matrix.toml]
    #[arg(value_name = "KERNEL")]
    kernel: Vec<Selector>,
    /// Architecture of the guests, or `all` of the matrix; repeatable. Default: this machine's own
    #[arg(long, value_name = "ARCH")]
    arch: Vec<ArchArg>,
    /// Also fetch and unpack them
    #[arg(long)]
    fetch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: KernelSource,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    let archs = architectures(&args.arch, &matrix)?;
    let progress = progress::Stderr::default();
    let mut needs = vec![Need::GPGV, Need::KEYRING];
    needs.extend(archs.iter().map(|&arch| Machine::of(arch).need()));
    setup::ensure(&needs, args.source.offline, &progress)?;
    let cache = Cache::from_env()?;
    let selectors = if args.kernel.is_empty() { vec![Selector::All] } else { args.kernel.clone() };
    let mut all: Vec<(Arch, Located)> = Vec::new();
    for &arch in &archs {
        let mine = for_arch(&matrix, &selectors, &archs, arch);
        if mine.is_empty() {
            continue;
        }
        let options = options(arch, &args.source, &cache, &progress);
        let mut located = found::locate(&matrix, &mine, &options)?;
        if args.fetch {
            found::obtain_all(&matrix, &located, &options)?;
            located = found::locate(&matrix, &mine, &options)?;
        }
        all.push((arch, located));
    }
    if args.json {
        let values: Vec<_> = all
            .iter()
            .map(|(arch, located)| {
                serde_json::json!({
                    "arch": arch, "kernels": located.candidates, "unavailable": located.unavailable,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&values)?);
        return Ok(true);
    }
    for (arch, located) in &all {
        if archs.len() > 1 {
            println!("{arch}:");
        }
        for candidate in &located.candidates {
            let state = match candidate.bytes_to_fetch() {
                0 => "cached".to_owned(),
                bytes => format!("{:.0} MiB to fetch", bytes as f64 / f64::from(1 << 20)),
            };
            println!("{:9} {candidate}: {state}", candidate.label());
        }
        for unavailable in &located.unavailable {
            println!("currently unavailable: {unavailable}");
        }
    }
    Ok(true)
}
