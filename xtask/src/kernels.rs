//! Which kernels a command runs on: the flags, and what follows from them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cairn_qemu::kernels::{self as found, Kernel, Located, Matrix, Options, Selector};
use cairn_qemu::machine::Machine;
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Arch, Cache, accel, progress};
use cairn_testsuite::driver::guest::{Luggage, open_cache};
use clap::Parser;

use crate::campaign::Plan;
use crate::places::{Guest, Spot};
use crate::programs::Programs;
use crate::room::Room;

#[derive(Parser)]
pub struct KernelArgs {
    /// Kernel: 6.x, 6.12, 6.12.107, all, host, a vmlinuz, a linux-image .deb, a build tree; repeatable
    #[arg(long, value_name = "KERNEL", default_value = "6.x")]
    pub kernel: Vec<Selector>,
    /// Architecture of the guests
    #[arg(long, default_value = std::env::consts::ARCH)]
    pub arch: String,
    #[command(flatten)]
    pub source: Source,
}

/// Where kernels come from.
#[derive(Parser, Clone)]
pub struct Source {
    /// Use only what is already here, nothing from the network
    #[arg(long)]
    pub offline: bool,
    /// Address of the package archive; otherwise CAIRN_MIRROR, otherwise the machine's apt sources
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// Kernels that were chosen and are not yet prepared.
pub struct Choice {
    host: bool,
    arch: Arch,
    cache: Cache,
    located: Located,
    paths: Vec<PathBuf>,
}

/// The architecture, if guests of it can be started.
pub fn supported_arch(text: &str) -> Result<Arch> {
    let arch: Arch = text.parse()?;
    Machine::of(arch)?;
    Ok(arch)
}

/// Resolves the flags and installs what the machine lacks; what does not exist is an error here, before anything is built.
pub fn choose(room: &Room, args: &KernelArgs) -> Result<Choice> {
    let arch = supported_arch(&args.arch)?;
    let (host, guests): (Vec<&Selector>, Vec<&Selector>) =
        args.kernel.iter().partition(|selector| **selector == Selector::Host);
    let mut choice = Choice {
        host: !host.is_empty(),
        arch,
        cache: open_cache().context("open the cache")?,
        located: Located::default(),
        paths: Vec::new(),
    };
    if guests.is_empty() {
        return Ok(choice);
    }
    let progress = progress::Stderr::default();
    let needs = [Need::qemu(Machine::of(arch)?), Need::GPGV, Need::KEYRING];
    setup::ensure(&needs, args.source.offline, &progress)?;
    let selectors: Vec<Selector> = guests.into_iter().cloned().collect();
    choice.paths = selectors
        .iter()
        .filter_map(|selector| match selector {
            Selector::Path(path) => Some(path.clone()),
            _ => None,
        })
        .collect();
    let matrix = Matrix::load(&room.root.join("matrix.toml"))?;
    let options = options(arch, &args.source, &choice.cache, &progress);
    choice.located = found::locate(&matrix, &selectors, &options)?;
    for unavailable in &choice.located.unavailable {
        eprintln!("not served today: {unavailable}");
    }
    Ok(choice)
}

/// The options of every look at the archive.
pub fn options<'a>(
    arch: Arch,
    source: &Source,
    cache: &'a Cache,
    progress: &'a dyn progress::Progress,
) -> Options<'a> {
    Options { arch, mirror: source.mirror.clone(), keyring: None, offline: source.offline, cache, progress }
}

impl Choice {
    /// Fetches every chosen kernel, in order.
    pub fn obtain(&self, source: &Source) -> Result<Vec<Kernel>> {
        let progress = progress::Stderr::default();
        let options = options(self.arch, source, &self.cache, &progress);
        let kernels = self.located.candidates.iter().map(|candidate| found::obtain(candidate, &options));
        Ok(kernels.collect::<Result<_, _>>()?)
    }

    /// Makes every chosen kernel ready to run on.
    pub fn prepare(self, source: &Source, plan: &Plan, programs: &Programs) -> Result<Vec<Spot>> {
        let mut spots = Vec::new();
        if self.host {
            spots.push(Spot::host()?);
        }
        let kernels = self.obtain(source)?;
        let Some(first) = kernels.first() else { return Ok(spots) };
        let accel = accel::probe(first, &programs.init, &self.cache, &progress::Stderr::default())?;
        let machine = Machine::of(self.arch)?;
        let luggage = Luggage {
            init: programs.init.clone(),
            runner: programs.runner.clone(),
            workloads: programs.workloads.clone(),
            engines: plan.engines.clone(),
        };
        let labels = labels(&kernels);
        for (kernel, label) in kernels.into_iter().zip(labels) {
            let base = luggage.base(&kernel, &self.cache)?;
            // A kernel that the user brought is no series of the matrix: only its path names it.
            let path = self.paths.iter().find(|path| kernel.suite.is_none() && path.exists()).cloned();
            spots.push(Spot::Guest(Box::new(Guest {
                label,
                time_scale: accel.time_scale(machine),
                accel: accel.clone(),
                luggage: luggage.clone(),
                base,
                path,
                kernel,
            })));
        }
        if spots.is_empty() {
            bail!("no kernel is chosen");
        }
        Ok(spots)
    }
}

/// What cells call each kernel: its series where that is clear and it came from an archive, otherwise its release.
fn labels(kernels: &[Kernel]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut labels = Vec::new();
    for kernel in kernels {
        let series = kernel.series().to_string();
        let alone = kernels.iter().filter(|other| other.series() == kernel.series()).count() == 1;
        let mut label =
            if alone && kernel.suite.is_some() { series } else { kernel.release.replace('/', "_") };
        while !taken.insert(label.clone()) {
            label.push('~');
        }
        labels.push(label);
    }
    labels
}
