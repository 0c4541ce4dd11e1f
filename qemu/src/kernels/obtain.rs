//! Fetching one kernel and laying it out in the cache.

use std::fs;
use std::path::Path;

use super::fetch::{self, Request};
use super::index::Package;
use super::locate::{Candidate, Origin};
use super::{Error, Kernel, KernelConfig, Options, local, package};
use crate::cache;

/// The layout of an unpacked kernel; a change of what [`package::unpack`] leaves takes a new number.
const LAYOUT: &str = "v1";

/// Makes a candidate ready to boot: from the cache, or fetched, verified and unpacked.
///
/// # Errors
/// When it cannot be fetched or is not what the index promised; offline, when it is not cached.
pub fn obtain(candidate: &Candidate, options: &Options<'_>) -> Result<Kernel, Error> {
    match &candidate.origin {
        Origin::Local(path) => local::kernel(path, candidate, options),
        Origin::Archive { suite, package, url } => {
            if let Some(kernel) = kept(&package.sha256, options)? {
                return Ok(kernel);
            }
            let deb = options.cache.dir("pool")?.join(format!("{}.deb", package.sha256));
            {
                let _lock = options.cache.lock(&format!("pool-{}", &package.sha256[..16]))?;
                if !deb.is_file() {
                    if options.offline {
                        return Err(Error::NotCached { package: package.name.clone() });
                    }
                    let promised = Some((package.size, package.sha256.as_str()));
                    let request = Request { url, what: &package.name, promised };
                    fetch::download(&request, &deb, options.progress)?;
                }
            }
            let facts = Facts {
                package: package.name.clone(),
                version: package.version.clone(),
                suite: Some(suite.clone()),
                sha256: package.sha256.clone(),
            };
            unpacked(&deb, candidate, facts, options)
        }
    }
}

/// What is known about a package besides its content.
pub(super) struct Facts {
    pub package: String,
    pub version: String,
    pub suite: Option<String>,
    pub sha256: String,
}

/// Whether a package needs no fetching.
pub(super) fn is_cached(package: &Package, options: &Options<'_>) -> Result<bool, Error> {
    let deb = options.cache.root().join(format!("pool/{}.deb", package.sha256));
    Ok(deb.is_file() || kept(&package.sha256, options)?.is_some())
}

fn place(sha256: &str) -> String {
    format!("{}-{LAYOUT}", &sha256[..32])
}

/// The kernel of this package, when it was laid out before.
fn kept(sha256: &str, options: &Options<'_>) -> Result<Option<Kernel>, Error> {
    let dir = options.cache.dir("kernels")?.join(place(sha256));
    let Ok(bytes) = fs::read(dir.join("kernel.json")) else { return Ok(None) };
    let Ok(kernel) = serde_json::from_slice::<Kernel>(&bytes) else { return Ok(None) };
    Ok(Some(located_in(kernel, &dir)))
}

/// The paths of a kernel follow the cache wherever it was moved.
fn located_in(kernel: Kernel, dir: &Path) -> Kernel {
    let modules = dir.join("modules");
    Kernel { image: dir.join("vmlinuz"), modules: modules.is_dir().then_some(modules), ..kernel }
}

/// Lays a package out in the cache, unless it is there, and describes what it holds.
pub(super) fn unpacked(
    deb: &Path,
    candidate: &Candidate,
    facts: Facts,
    options: &Options<'_>,
) -> Result<Kernel, Error> {
    let _lock = options.cache.lock(&format!("kernel-{}", &facts.sha256[..16]))?;
    if let Some(kernel) = kept(&facts.sha256, options)? {
        return Ok(kernel);
    }
    let kernels = options.cache.dir("kernels")?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| cache::Error::Io { action, path, source }
    };
    let staging = tempfile::Builder::new()
        .suffix(".tmp")
        .tempdir_in(&kernels)
        .map_err(io("create a directory in", &kernels))?;
    let release = package::unpack(deb, staging.path())?;
    let config_path = staging.path().join("config");
    let config = fs::read_to_string(&config_path).map_err(io("read", &config_path))?;
    let kernel = Kernel {
        arch: options.arch,
        point: candidate.point,
        release,
        package: facts.package,
        version: facts.version,
        suite: facts.suite,
        image: staging.path().join("vmlinuz"),
        modules: None,
        config: KernelConfig::parse(&config),
        sha256: facts.sha256,
    };
    let json = serde_json::to_vec(&kernel).expect("plain data serialises");
    cache::write_atomically(&staging.path().join("kernel.json"), &json)?;
    let dir = kernels.join(place(&kernel.sha256));
    let staged = staging.keep();
    if let Err(source) = fs::rename(&staged, &dir) {
        // Nothing may stay under a passing name; that the rename failed is the error to tell.
        let _ = fs::remove_dir_all(&staged);
        return Err(io("rename into", &dir)(source).into());
    }
    Ok(located_in(kernel, &dir))
}
