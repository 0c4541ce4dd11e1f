//! `cargo xtask kmod`: builds the kernel module for kernels of the matrix.

use std::time::Instant;

use anyhow::{Result, bail};
use cairn_qemu::kernels::{self as found, Matrix, Selector};
use cairn_qemu::kmod::{self, Built, Sources, Target, checkpatch};
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Cache, progress};
use clap::Parser;

use crate::cross;
use crate::kernels::{KernelArgs, architectures, for_arch};
use crate::source::options;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    kernels: KernelArgs,
    /// Check the sources with sparse; warnings are errors
    #[arg(long)]
    sparse: bool,
    /// Check the style of the sources with the kernel's checkpatch.pl; findings are errors
    #[arg(long)]
    checkpatch: bool,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    let archs = architectures(&args.kernels.arch, &matrix)?;
    if args.kernels.kernel.contains(&Selector::Host) {
        bail!("for the running kernel: make -C kmod, with its headers installed");
    }
    let progress = progress::Stderr::default();
    let source = &args.kernels.source;
    setup::ensure(&[Need::GPGV, Need::KEYRING], source.offline, &progress)?;
    let cache = Cache::from_env()?;
    let sources = Sources::read(&workspace.root.join("kmod"))?;
    let mut good = true;
    let mut rows: Vec<[String; 5]> = Vec::new();
    for &arch in &archs {
        let mine = for_arch(&matrix, &args.kernels.kernel, &archs, arch);
        if mine.is_empty() {
            continue;
        }
        let options = options(arch, source, &cache, &progress);
        let located = found::locate(&matrix, &mine, &options)?;
        for candidate in &located.candidates {
            let target = Target::of(candidate, arch);
            let clock = Instant::now();
            let (word, what) = match kmod::obtain(&matrix, &target, &sources, args.sparse, &options) {
                Ok(Built { module, cached: true }) => ("cached", module.display().to_string()),
                Ok(Built { module, cached: false }) => {
                    let took = clock.elapsed().as_secs_f64();
                    ("built", format!("{} ({took:.1} s)", module.display()))
                }
                Err(error) if error.is_absence() => ("none", error.to_string()),
                Err(error) => {
                    good = false;
                    ("ERROR", format!("{:#}", anyhow::Error::new(error)))
                }
            };
            rows.push([candidate.label(), arch.to_string(), target.release, word.to_owned(), what]);
        }
        for unavailable in &located.unavailable {
            let nothing = ["-".to_owned(), "none".to_owned(), unavailable.reason.clone()];
            let [release, word, what] = nothing;
            rows.push([unavailable.kernel.clone(), arch.to_string(), release, word, what]);
        }
    }
    print!("{}", table(&rows));
    if args.checkpatch {
        let options = options(cross::host()?, source, &cache, &progress);
        let complaints = checkpatch::judge(&matrix, &sources, &options)?;
        complaints.iter().for_each(|complaint| println!("{complaint}"));
        println!("checkpatch: {} complaints", complaints.len());
        good &= complaints.is_empty();
    }
    Ok(good)
}

/// Aligns the columns of the rows.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for [kernel, arch, release, word, what] in rows {
        let [a, b, c, d] = widths;
        text.push_str(&format!("{kernel:a$}  {arch:b$}  {release:c$}  {word:d$}  {what}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |words: [&str; 5]| words.map(str::to_owned);
        let rows = [
            row(["6.1", "x86_64", "6.1.0-50", "built", "a"]),
            row(["6.12-16k", "aarch64", "-", "none", "b"]),
        ];
        assert_eq!(
            table(&rows),
            "6.1       x86_64   6.1.0-50  built  a\n6.12-16k  aarch64  -         none   b\n"
        );
    }
}
