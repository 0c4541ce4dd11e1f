//! `cargo xtask kernels`: what resolves today, and what is cached.

use anyhow::Result;
use cairn_qemu::kernels::{self as found, Matrix, Selector};
use cairn_qemu::machine::Machine;
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Cache, progress};
use clap::Parser;

use crate::kernels::{Source, options, supported_arch};
use crate::room::Room;

#[derive(Parser)]
pub struct Args {
    /// Kernels to look for; everything in matrix.toml when left out
    #[arg(value_name = "KERNEL")]
    kernel: Vec<Selector>,
    /// Architecture of the guests
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: String,
    /// Fetch and unpack them as well
    #[arg(long)]
    fetch: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub fn run(args: &Args) -> Result<bool> {
    let room = Room::find()?;
    let arch = supported_arch(&args.arch)?;
    let progress = progress::Stderr::default();
    let needs = [Need::qemu(Machine::of(arch)?), Need::GPGV, Need::KEYRING];
    setup::ensure(&needs, args.source.offline, &progress)?;
    let cache = Cache::from_env()?;
    let matrix = Matrix::load(&room.root.join("matrix.toml"))?;
    let selectors = if args.kernel.is_empty() { vec![Selector::All] } else { args.kernel.clone() };
    let options = options(arch, &args.source, &cache, &progress);
    let mut located = found::locate(&matrix, &selectors, &options)?;
    if args.fetch {
        for candidate in &located.candidates {
            found::obtain(candidate, &options)?;
        }
        located = found::locate(&matrix, &selectors, &options)?;
    }
    if args.json {
        let value = serde_json::json!({ "kernels": located.candidates, "unavailable": located.unavailable });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(true);
    }
    for candidate in &located.candidates {
        let state = match candidate.bytes_to_fetch() {
            0 => "cached".to_owned(),
            bytes => format!("{:.0} MiB to fetch", bytes as f64 / f64::from(1 << 20)),
        };
        println!("{:6} {candidate}: {state}", candidate.series().to_string());
    }
    for unavailable in &located.unavailable {
        println!("not served today: {unavailable}");
    }
    Ok(true)
}
