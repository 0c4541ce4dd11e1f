//! `cargo xtask kernel`: builds a kernel that no archive has.

use anyhow::Result;
use cairn_qemu::kernels::Matrix;
use cairn_qemu::kmod::debug::{self, Built};
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Cache, progress};
use clap::Parser;

use crate::cross;
use crate::source::{KernelSource, options};
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// The debugging kernel, with lockdep, KASAN, kmemleak and the like; `--kernel debug` then
    /// selects it in every command
    #[arg(long, required = true)]
    debug: bool,
    #[command(flatten)]
    source: KernelSource,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    let progress = progress::Stderr::default();
    setup::ensure(&[Need::GPGV, Need::KEYRING], args.source.offline, &progress)?;
    let cache = Cache::from_env()?;
    let Built { tree, cached } =
        debug::obtain(&matrix, &options(cross::host()?, &args.source, &cache, &progress))?;
    println!("{} {}", if cached { "cached" } else { "built" }, tree.display());
    Ok(true)
}
