//! Kernels given by a path: a bare image, a package, a build tree.

use std::fs;
use std::path::{Path, PathBuf};

use super::candidate::{Asked, Candidate, Local, Origin};
use super::index::{self, Part};
use super::version::Version;
use super::{Error, Kernel, KernelConfig, Options, debug, fetch, image, package, unpack};

fn wrong(path: &Path, what: impl Into<String>) -> Error {
    Error::Path { path: path.to_owned(), what: what.into() }
}

/// Determines which kernel is at a path.
pub(super) fn candidate(path: &Path, options: &Options<'_>) -> Result<Candidate, Error> {
    let path = path.canonicalize().map_err(|e| wrong(path, e.to_string()))?;
    let (local, release, point) = if path.is_dir() {
        let release = tree_release(&path)?;
        let point = Version::prefix_of(&release);
        (Local::BuildTree(path.clone()), release, point)
    } else if path.extension().is_some_and(|e| e == "deb") {
        let about = package::about(&path)?;
        if about.arch != options.arch.debian() {
            return Err(wrong(&path, format!("a package for {}, not {}", about.arch, options.arch.debian())));
        }
        let release = match index::part_of(&about.name) {
            Some((Part::Whole | Part::Binary, release, _)) => release.to_owned(),
            _ => {
                let what = format!("the package is {}, not linux-image-… or linux-binary-…", about.name);
                return Err(wrong(&path, what));
            }
        };
        (Local::Package(path.clone()), release, Version::prefix_of(&about.version))
    } else {
        let image::About { arch, release } = image::about(&path).map_err(|what| wrong(&path, what))?;
        if arch != options.arch {
            return Err(wrong(&path, format!("a kernel for {arch}, not {}", options.arch)));
        }
        let point = Version::prefix_of(&release);
        (Local::Image(path.clone()), release, point)
    };
    let point = point.ok_or_else(|| wrong(&path, format!("no version can be told from {release:?}")))?;
    let variant = match &local {
        Local::BuildTree(tree) if debug::suite_of(tree).is_some() => debug::NAME,
        _ => "",
    };
    Ok(Candidate {
        point,
        variant: variant.to_owned(),
        release,
        origin: Origin::Local(local),
        cached: true,
        asked: Asked::Exactly,
    })
}

fn tree_release(tree: &Path) -> Result<String, Error> {
    let file = tree.join("include/config/kernel.release");
    let text = fs::read_to_string(file)
        .map_err(|e| wrong(tree, format!("not a built kernel tree: include/config/kernel.release: {e}")))?;
    Ok(text.trim().to_owned())
}

/// Prepares the kernel at a path for booting.
pub(super) fn kernel(local: &Local, candidate: &Candidate, options: &Options<'_>) -> Result<Kernel, Error> {
    let (image, config, modules) = match local {
        Local::Package(deb) => {
            let about = package::about(deb)?;
            let debs = with_siblings(deb, &candidate.release, &about.version);
            let digests =
                debs.iter().map(|deb| Ok(fetch::digest(deb)?.0)).collect::<Result<Vec<_>, Error>>()?;
            let facts = unpack::Facts {
                package: about.name,
                version: about.version,
                suite: None,
                sha256: digests[0].clone(),
                digests,
            };
            let kernel = unpack::unpacked(&debs, candidate, facts, options)?;
            return Ok(Kernel { path: Some(deb.clone()), ..kernel });
        }
        Local::Image(image) => {
            let dir = image.parent().unwrap_or(Path::new("/"));
            let modules = [dir.join("../lib/modules"), dir.join("modules"), PathBuf::from("/lib/modules")]
                .into_iter()
                .map(|dir| dir.join(&candidate.release))
                .find(|dir| dir.is_dir());
            let names = [dir.join(format!("config-{}", candidate.release)), dir.join("config")];
            (image.clone(), names.into_iter().find(|file| file.is_file()), modules)
        }
        Local::BuildTree(tree) => {
            let image = tree.join(options.arch.image_in_build_tree());
            if !image.is_file() {
                let what = format!("no {} (build the kernel first)", options.arch.image_in_build_tree());
                return Err(wrong(tree, what));
            }
            (image, Some(tree.join(".config")), Some(tree.clone()))
        }
    };
    let config = match config {
        Some(path) => {
            let text = fs::read_to_string(&path).map_err(|e| wrong(&path, e.to_string()))?;
            KernelConfig::parse(&text)
        }
        None => {
            options
                .progress
                .message(&format!("{}: no config file beside it; what it has is unknown", image.display()));
            KernelConfig::default()
        }
    };
    let (sha256, _) = fetch::digest(&image)?;
    Ok(Kernel {
        arch: options.arch,
        point: candidate.point,
        variant: candidate.variant.clone(),
        release: candidate.release.clone(),
        package: local.path().display().to_string(),
        version: candidate.release.clone(),
        suite: debug::suite_of(local.path()),
        sha256,
        path: Some(local.path().to_owned()),
        image,
        modules: modules.and_then(|dir| dir.canonicalize().ok()),
        config,
    })
}

/// A package and the other packages of the same kernel in its directory, for kernels that are split
/// into several packages.
fn with_siblings(deb: &Path, release: &str, version: &str) -> Vec<PathBuf> {
    let mut debs = vec![deb.to_owned()];
    let listed = deb.parent().and_then(|dir| fs::read_dir(dir).ok());
    let mut beside: Vec<PathBuf> =
        listed.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path != deb).collect();
    beside.sort();
    for path in beside {
        let Some(stem) = path.file_name().and_then(|name| name.to_str()).and_then(|n| n.strip_suffix(".deb"))
        else {
            continue;
        };
        let mut words = stem.split('_');
        let part = words.next().and_then(index::part_of);
        let same = part.is_some_and(|(part, of, unsigned)| part != Part::Whole && of == release && !unsigned);
        if same && words.next() == Some(version) {
            debs.push(path);
        }
    }
    debs
}
