//! The cache: packages, and the kernels unpacked from them.

use std::fs;
use std::path::{Path, PathBuf};

use super::candidate::Candidate;
use super::fetch::{self, Request};
use super::index::{Build, Package};
use super::version::Version;
use super::{Error, Kernel, KernelConfig, Options, package};
use crate::cache;

/// Version of the layout of an unpacked kernel; to be incremented when the output of
/// [`package::unpack`] changes.
const LAYOUT: &str = "v2";

/// Fetches one package into the pool, unless it is there.
pub(crate) fn fetch_package(package: &Package, base: &str, options: &Options<'_>) -> Result<PathBuf, Error> {
    let deb = pooled(package, options);
    options.cache.dir("pool")?;
    let _lock = options.cache.lock(&format!("pool-{}", &package.sha256[..16]))?;
    if !deb.is_file() {
        if options.offline {
            return Err(Error::NotCached { package: package.name.clone() });
        }
        let url = format!("{base}/{}", package.filename);
        let promised = Some((package.size, package.sha256.as_str()));
        fetch::download(&Request { url: &url, what: &package.name, promised }, &deb, options.progress)?;
    }
    Ok(deb)
}

fn pooled(package: &Package, options: &Options<'_>) -> PathBuf {
    options.cache.root().join(format!("pool/{}.deb", package.sha256))
}

/// What is known about a kernel apart from its packages' content.
pub(super) struct Facts {
    pub package: String,
    pub version: String,
    pub suite: Option<String>,
    /// SHA-256 of the package with the image.
    pub sha256: String,
    /// SHA-256 of all its packages.
    pub digests: Vec<String>,
}

pub(super) fn digests(build: &Build) -> Vec<String> {
    build.packages.iter().map(|package| package.sha256.clone()).collect()
}

/// Whether a kernel is complete in the cache.
pub(super) fn is_cached(build: &Build, options: &Options<'_>) -> Result<bool, Error> {
    let pool = build.packages.iter().all(|package| pooled(package, options).is_file());
    Ok(pool || kept(&digests(build), options)?.is_some())
}

/// The name of a kernel's directory: a digest of the digests of its packages.
fn place(digests: &[String]) -> String {
    format!("{}-{LAYOUT}", &fetch::sha256_hex(digests.join(" ").as_bytes())[..32])
}

/// The kernel of these packages, if it is unpacked in the cache.
pub(super) fn kept(digests: &[String], options: &Options<'_>) -> Result<Option<Kernel>, Error> {
    let dir = options.cache.dir("kernels")?.join(place(digests));
    let Ok(bytes) = fs::read(dir.join("kernel.json")) else { return Ok(None) };
    let Ok(kernel) = serde_json::from_slice::<Kernel>(&bytes) else { return Ok(None) };
    Ok(Some(located_in(kernel, &dir)))
}

/// An unpacked kernel of an archive, by its point release and its variant in the matrix.
pub(super) fn kept_release(
    point: Version,
    variant: &str,
    options: &Options<'_>,
) -> Result<Option<Kernel>, Error> {
    let dir = options.cache.dir("kernels")?;
    let entries = fs::read_dir(&dir).map_err(|source| cache::Error::Io {
        action: "list",
        path: dir.clone(),
        source,
    })?;
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    dirs.retain(|dir| dir.to_string_lossy().ends_with(LAYOUT));
    dirs.sort();
    let kernels = dirs.iter().filter_map(|dir| {
        let kernel = serde_json::from_slice::<Kernel>(&fs::read(dir.join("kernel.json")).ok()?).ok()?;
        Some(located_in(kernel, dir))
    });
    let mut fitting = kernels.filter(|kernel| {
        kernel.arch == options.arch
            && kernel.point == point
            && kernel.suite.is_some()
            && kernel.variant == variant
    });
    Ok(fitting.next())
}

/// Sets a kernel's paths to the current location of the cache.
fn located_in(kernel: Kernel, dir: &Path) -> Kernel {
    let modules = dir.join("modules");
    Kernel { image: dir.join("vmlinuz"), modules: modules.is_dir().then_some(modules), ..kernel }
}

/// Unpacks packages in the cache, unless they are there, and describes their contents.
pub(super) fn unpacked(
    debs: &[PathBuf],
    candidate: &Candidate,
    facts: Facts,
    options: &Options<'_>,
) -> Result<Kernel, Error> {
    let _lock = options.cache.lock(&format!("kernel-{}", &place(&facts.digests)[..16]))?;
    if let Some(kernel) = kept(&facts.digests, options)? {
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
    let release = package::unpack(debs, staging.path())?;
    let config_path = staging.path().join("config");
    let config = match fs::read_to_string(&config_path) {
        Ok(text) => KernelConfig::parse(&text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => KernelConfig::default(),
        Err(e) => return Err(io("read", &config_path)(e).into()),
    };
    let kernel = Kernel {
        arch: options.arch,
        point: candidate.point,
        variant: candidate.variant.clone(),
        release,
        package: facts.package,
        version: facts.version,
        suite: facts.suite,
        image: staging.path().join("vmlinuz"),
        modules: None,
        config,
        sha256: facts.sha256,
        path: None,
    };
    let json = serde_json::to_vec(&kernel).expect("plain data serialises");
    cache::write_atomically(&staging.path().join("kernel.json"), &json)?;
    let dir = kernels.join(place(&facts.digests));
    let staged = staging.keep();
    if let Err(source) = fs::rename(&staged, &dir) {
        // Remove the staging directory; the error to report is that of the rename.
        let _ = fs::remove_dir_all(&staged);
        return Err(io("rename into", &dir)(source).into());
    }
    Ok(located_in(kernel, &dir))
}
