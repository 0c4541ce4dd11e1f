//! The kernels that a command runs on: flags, selection and preparation.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use cairn_qemu::accel::Accel;
use cairn_qemu::kernels::{self as found, Kernel, Located, Matrix, Selector, Unavailable};
use cairn_qemu::machine::Machine;
use cairn_qemu::setup::{self, Need};
use cairn_qemu::{Arch, Cache, probe, progress};
use cairn_testsuite::driver::guest::open_cache;
use cairn_testsuite::engine;
use cairn_testsuite::report::Absent;
use clap::Parser;

use crate::cross;
use crate::module;
use crate::places::{Guest, Spot};
use crate::programs::PerArch;
use crate::run::Plan;
use crate::source::{KernelSource, options};
use crate::usage::usage;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct KernelArgs {
    /// Kernel: 6.x, 6.12, 6.12-16k, 6.12.107, all, host, debug, a vmlinuz, a linux-image .deb, a
    /// build tree; repeatable
    #[arg(long, value_name = "KERNEL", default_value = "6.x")]
    pub kernel: Vec<Selector>,
    /// Architecture of the guests, or `all` of the matrix; repeatable. Default: this machine's own
    #[arg(long, value_name = "ARCH")]
    pub arch: Vec<ArchArg>,
    /// Run without requested kernels that are unavailable
    #[arg(long)]
    pub allow_missing: bool,
    #[command(flatten)]
    pub source: KernelSource,
}

/// One `--arch` argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchArg {
    /// Every architecture of the matrix.
    All,
    /// This one.
    One(Arch),
}

impl FromStr for ArchArg {
    type Err = <Arch as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(ArchArg::All) } else { text.parse().map(ArchArg::One) }
    }
}

/// Selected kernels, not yet prepared.
pub struct Choice {
    host: bool,
    matrix: Matrix,
    cache: Cache,
    guests: Vec<Located>,
    /// The architecture of each of `guests`.
    archs: Vec<Arch>,
    allow_missing: bool,
    /// Requested kernels that are unavailable.
    pub absent: Vec<Absent>,
}

/// The architectures selected by the flags, without duplicates.
pub fn architectures(given: &[ArchArg], matrix: &Matrix) -> Result<Vec<Arch>> {
    let mut archs: Vec<Arch> = Vec::new();
    for arg in given {
        match arg {
            ArchArg::All => archs.extend(matrix.architectures()),
            ArchArg::One(arch) => archs.push(*arch),
        }
    }
    if archs.is_empty() {
        archs.push(cross::host()?);
    }
    let mut seen = BTreeSet::new();
    archs.retain(|arch| seen.insert(*arch));
    Ok(archs)
}

/// The selectors that apply to this architecture. One that the matrix has only for others is
/// reported and dropped; one that it has for none is kept, and is an error later.
pub fn for_arch(matrix: &Matrix, selectors: &[Selector], archs: &[Arch], arch: Arch) -> Vec<Selector> {
    let speaks = |selector: &Selector| {
        let elsewhere = archs.iter().any(|&other| other != arch && matrix.covers(other, selector));
        let mine = matrix.covers(arch, selector) || !elsewhere;
        if !mine {
            eprintln!("the matrix has no {selector} for {arch}");
        }
        mine
    };
    selectors.iter().filter(|selector| speaks(selector)).cloned().collect()
}

/// Resolves the flags and installs what the machine lacks. Kernels that do not exist are an error
/// here, before anything is built.
pub fn choose(workspace: &Workspace, args: &KernelArgs) -> Result<Choice> {
    let matrix = Matrix::load(&workspace.root.join("matrix.toml"))?;
    let archs = architectures(&args.arch, &matrix)?;
    let (host, selectors): (Vec<Selector>, Vec<Selector>) =
        args.kernel.iter().cloned().partition(|selector| *selector == Selector::Host);
    let own = cross::host()?;
    if !host.is_empty() && !archs.contains(&own) {
        usage!("--kernel host runs on this machine, which is {own}");
    }
    let cache = open_cache().context("open the cache")?;
    let mut choice = Choice {
        host: !host.is_empty(),
        matrix,
        cache,
        guests: Vec::new(),
        archs: Vec::new(),
        allow_missing: args.allow_missing,
        absent: Vec::new(),
    };
    if selectors.is_empty() {
        return Ok(choice);
    }
    let progress = progress::Stderr::default();
    let mut needs = vec![Need::GPGV, Need::KEYRING];
    needs.extend(archs.iter().map(|&arch| Machine::of(arch).need()));
    needs.extend(archs.iter().flat_map(|&arch| Need::cross_compiler(arch)));
    setup::ensure(&needs, args.source.offline, &progress)?;
    let path = selectors.iter().find_map(|selector| match selector {
        Selector::Path(path) => Some(path),
        _ => None,
    });
    if let (Some(path), [_, _, ..]) = (path, archs.as_slice()) {
        usage!("{} is a kernel for one architecture: select it with --arch", path.display());
    }
    for &arch in &archs {
        let mine = for_arch(&choice.matrix, &selectors, &archs, arch);
        if mine.is_empty() {
            continue;
        }
        let options = options(arch, &args.source, &choice.cache, &progress);
        let located = found::locate(&choice.matrix, &mine, &options)?;
        choice.miss(arch, &located.unavailable);
        choice.guests.push(located);
        choice.archs.push(arch);
    }
    all_there(&choice.absent, choice.allow_missing)?;
    Ok(choice)
}

impl Choice {
    /// The architectures to run on, each of which needs programs.
    pub fn archs(&self) -> Result<Vec<Arch>> {
        let mut archs = self.archs.clone();
        if self.host && !archs.contains(&cross::host()?) {
            archs.insert(0, cross::host()?);
        }
        Ok(archs)
    }

    /// Whether anything runs in a guest.
    pub fn has_guests(&self) -> bool {
        !self.guests.is_empty()
    }

    fn miss(&mut self, arch: Arch, missing: &[Unavailable]) {
        let absent = |one: &Unavailable| Absent {
            kernel: one.kernel.clone(),
            arch: arch.to_string(),
            reason: one.reason.clone(),
        };
        self.absent.extend(missing.iter().map(absent));
        self.absent.sort();
        self.absent.dedup();
    }

    /// Fetches every selected kernel, by architecture, in order.
    pub fn obtain(&mut self, source: &KernelSource) -> Result<Vec<Kernel>> {
        let progress = progress::Stderr::default();
        let mut kernels = Vec::new();
        for (arch, located) in self.archs.clone().into_iter().zip(std::mem::take(&mut self.guests)) {
            let options = options(arch, source, &self.cache, &progress);
            let resolution = found::obtain_all(&self.matrix, &located, &options)?;
            kernels.extend(resolution.kernels);
            self.miss(arch, &resolution.unavailable);
        }
        all_there(&self.absent, self.allow_missing)?;
        Ok(kernels)
    }

    /// Prepares every selected kernel to run on.
    pub fn prepare(
        &mut self,
        workspace: &Workspace,
        source: &KernelSource,
        plan: &Plan,
        programs: &PerArch,
    ) -> Result<Vec<Spot>> {
        let mut spots = Vec::new();
        if self.host {
            spots.push(Spot::host()?);
        }
        let progress = progress::Stderr::default();
        let kernels = self.obtain(source)?;
        let mut machines: BTreeMap<Arch, (Accel, String)> = BTreeMap::new();
        let labels = labels(&kernels)?;
        for (kernel, label) in kernels.into_iter().zip(labels) {
            let arch = kernel.arch;
            let built = &programs[&arch];
            let (accel, qemu) = match machines.get(&arch) {
                Some(known) => known.clone(),
                None => {
                    let accel = probe::probe(&kernel, &built.init, &self.cache, &progress)?;
                    let qemu = probe::emulator(arch).context("ask QEMU for its version")?;
                    machines.entry(arch).insert_entry((accel, qemu)).get().clone()
                }
            };
            let mut engines = built.engines(&plan.engines)?;
            let mut absent = BTreeMap::new();
            let mut module = None;
            let needing: Vec<String> =
                engines.keys().filter(|name| engine::needs_module(name)).cloned().collect();
            if !needing.is_empty() {
                match module::for_kernel(workspace, &kernel, source)? {
                    Ok(data) => module = Some(data),
                    Err(reason) => {
                        engines.retain(|name, _| !engine::needs_module(name));
                        absent.extend(needing.into_iter().map(|name| (name, reason.clone())));
                    }
                }
            }
            let guest_programs = built.guest_programs(engines);
            let base = guest_programs.base(&kernel, &self.cache)?;
            spots.push(Spot::Guest(Box::new(Guest {
                label,
                time_scale: accel.time_scale(&kernel),
                accel,
                qemu,
                guest_programs,
                module,
                absent,
                base,
                kernel,
            })));
        }
        if spots.is_empty() {
            usage!("no kernel is selected");
        }
        Ok(spots)
    }
}

/// Fails if a requested kernel is unavailable and may not be missing.
fn all_there(absent: &[Absent], allow_missing: bool) -> Result<()> {
    if absent.is_empty() || allow_missing {
        return Ok(());
    }
    let lines = absent.iter().map(|one| format!("\n  {}/{}: {}", one.kernel, one.arch, one.reason));
    bail!(
        "requested kernels are unavailable (--allow-missing runs without them; those that no archive serves any more can be removed from matrix.toml):{}",
        lines.collect::<String>()
    )
}

/// The label of each kernel in cells: that of the matrix if the kernel is from an archive and the
/// label is unique, otherwise its release; the start of its digest is added to a user's kernel with
/// the same release as another.
fn labels(kernels: &[Kernel]) -> Result<Vec<String>> {
    let alone = |kernel: &Kernel, name: &dyn Fn(&Kernel) -> String| {
        kernels.iter().filter(|other| other.arch == kernel.arch && name(other) == name(kernel)).count() == 1
    };
    let release = |kernel: &Kernel| kernel.release.replace('/', "_");
    let of_the_archive =
        |kernel: &Kernel| if kernel.suite.is_some() { kernel.label() } else { String::new() };
    let label = |kernel: &Kernel| match &kernel.suite {
        Some(_) if alone(kernel, &of_the_archive) => kernel.label(),
        None if !alone(kernel, &release) => format!("{}@{}", release(kernel), &kernel.sha256[..8]),
        _ => release(kernel),
    };
    let labels: Vec<String> = kernels.iter().map(label).collect();
    let mut taken = BTreeMap::new();
    for (kernel, label) in kernels.iter().zip(&labels) {
        if let Some(other) = taken.insert((kernel.arch, label), kernel) {
            usage!("{} and {} are the same kernel, {label}", other.package, kernel.package);
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn matrix() -> Matrix {
        let text = "[[kernel]]\nseries='6.1'\narch=['x86_64','powerpc64le']\nsources=[{suite='a'}]\n\
                    [[kernel]]\nseries='6.2'\nvariant='16k'\narch=['aarch64']\nsources=[{suite='a'}]";
        Matrix::parse(Path::new("matrix.toml"), text).unwrap()
    }

    #[test]
    fn architectures_once_each() {
        let args = |words: &[&str]| words.iter().map(|w| w.parse().unwrap()).collect::<Vec<ArchArg>>();
        let of = |words: &[&str]| architectures(&args(words), &matrix()).unwrap();
        assert_eq!(of(&["arm64", "aarch64"]), [Arch::Aarch64]);
        assert_eq!(of(&["ppc64el", "all"]), [Arch::Powerpc64le, Arch::X86_64, Arch::Aarch64]);
        assert_eq!(of(&[]), [cross::host().unwrap()]);
        assert!("vax".parse::<ArchArg>().is_err());
    }

    fn kernel(release: &str, brought: bool, digest: &str) -> Kernel {
        Kernel {
            arch: Arch::X86_64,
            point: found::Version::new(6, 1, 7),
            variant: String::new(),
            release: release.into(),
            package: format!("{release} {digest}"),
            version: String::new(),
            suite: (!brought).then(|| "a".into()),
            sha256: digest.repeat(8),
            path: brought.then(|| "/k".into()),
            image: "/k".into(),
            modules: None,
            config: Default::default(),
        }
    }

    #[test]
    fn a_kernel_that_is_not_to_be_had_is_an_error_unless_it_may_be_missing() {
        let reason = "the index of the suite is not in the cache".to_owned();
        let absent = [Absent { kernel: "6.16".into(), arch: "x86_64".into(), reason }];
        assert!(all_there(&[], false).is_ok() && all_there(&absent, true).is_ok());
        let error = all_there(&absent, false).unwrap_err().to_string();
        assert!(error.contains("\n  6.16/x86_64: the index of the suite"), "{error}");
        assert!(error.contains("--allow-missing"), "{error}");
    }

    #[test]
    fn kernels_of_one_release_are_told_apart() {
        let archived = kernel("6.1.7-cloud", false, "a");
        let of = |brought: &[(&str, &str)]| {
            let brought = brought.iter().map(|(release, digest)| kernel(release, true, digest));
            labels(&std::iter::once(archived.clone()).chain(brought).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]).unwrap(), ["6.1"]);
        assert_eq!(of(&[("6.1.7-mine", "b")]).unwrap(), ["6.1", "6.1.7-mine"]);
        assert_eq!(of(&[("6.1.7-cloud", "b")]).unwrap(), ["6.1", "6.1.7-cloud@bbbbbbbb"]);
        let two = of(&[("6.1.7-mine", "b"), ("6.1.7-mine", "c")]).unwrap();
        assert_eq!(two, ["6.1", "6.1.7-mine@bbbbbbbb", "6.1.7-mine@cccccccc"]);
        let same = of(&[("6.1.7-mine", "b"), ("6.1.7-mine", "b")]).unwrap_err().to_string();
        assert!(same.contains("are the same kernel"), "{same}");
    }

    #[test]
    fn a_selector_counts_where_the_matrix_has_it() {
        let selectors: Vec<Selector> = ["6.1", "6.2-16k", "9.9"].map(|word| word.parse().unwrap()).into();
        let of = |arch| -> Vec<String> {
            for_arch(&matrix(), &selectors, &Arch::ALL, arch).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(Arch::X86_64), ["6.1", "9.9"]);
        assert_eq!(of(Arch::Aarch64), ["6.2-16k", "9.9"]);
    }
}
