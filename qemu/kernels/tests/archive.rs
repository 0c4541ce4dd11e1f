//! From an archive to a kernel in the cache, with a small archive in this directory that has its
//! own key. Needs `gpgv`.
//!
//! The archive serves suite `test` with one kernel, 6.99.7, in three packages that contain a line
//! of text each, and with the sources of a standard library, 1.2.3.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_kernels::kernels::{self, Error, Kernel, Matrix, Options, Selector, archive, extra};
use cairn_kernels::progress::Silent;
use cairn_kernels::{Arch, Cache};
use rstest::rstest;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive")
}

/// A copy of the archive that a test can modify, and an empty cache.
struct Place {
    dir: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        copy(&here(), &dir.path().join("archive"));
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        Place { dir, cache }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("archive").join(name)
    }

    fn package(&self, part: &str) -> PathBuf {
        self.file(&format!("pool/linux-{part}-6.99.7-cloud-amd64_6.99.7-1_amd64.deb"))
    }

    fn resolve(&self, selector: &str, offline: bool) -> Result<Vec<Kernel>, Error> {
        self.resolve_with("keyring.gpg", selector, offline)
    }

    fn resolve_with(&self, keyring: &str, selector: &str, offline: bool) -> Result<Vec<Kernel>, Error> {
        self.resolve_each(keyring, &[selector], offline)
    }

    fn resolve_all(&self, selectors: &[&str], offline: bool) -> Result<Vec<Kernel>, Error> {
        self.resolve_each("keyring.gpg", selectors, offline)
    }

    fn resolve_each(&self, keyring: &str, selectors: &[&str], offline: bool) -> Result<Vec<Kernel>, Error> {
        let text = "[[kernel]]\nseries = '6.99'\narch = ['x86_64']\nsources = [{ suite = 'test', flavour = 'cloud' }]\n\
                    [[kernel]]\nseries = '6.100'\narch = ['x86_64']\nsources = [{ suite = 'test', flavour = 'cloud' }]\n\
                    [[kernel]]\nseries = '7.0'\narch = ['x86_64']\nsources = [{ suite = 'gone', flavour = 'cloud' }]\n";
        let matrix = Matrix::parse(Path::new("matrix.toml"), text).unwrap();
        let selectors: Vec<Selector> = selectors.iter().map(|text| text.parse().unwrap()).collect();
        let options = self.options(keyring, offline);
        kernels::resolve(&matrix, &selectors, &options).map(|resolution| resolution.kernels)
    }

    fn options(&self, keyring: &str, offline: bool) -> Options<'_> {
        Options {
            arch: Arch::X86_64,
            mirror: Some(format!("file:{}", self.dir.path().join("archive").display())),
            keyring: Some(self.file(keyring)),
            offline,
            cache: &self.cache,
            progress: &Silent,
        }
    }

    fn rust_src(&self, version: &str, offline: bool) -> Result<PathBuf, Error> {
        let text = "kernel = []\n[toolchain]\nsuites = ['gone', 'test']";
        let matrix = Matrix::parse(Path::new("matrix.toml"), text).unwrap();
        extra::rust_src(&matrix, version, &self.options("keyring.gpg", offline))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_kernel_in_three_packages_is_laid_out() {
    let place = Place::new();
    let kernels = place.resolve("6.x", false).unwrap();
    let kernel = &kernels[0];
    assert_eq!(kernels.len(), 1);
    assert_eq!(kernel.point.to_string(), "6.99.7");
    assert_eq!(kernel.release, "6.99.7-cloud-amd64");
    assert_eq!(kernel.package, "linux-binary-6.99.7-cloud-amd64");
    assert_eq!(kernel.suite.as_deref(), Some("test"));
    assert_eq!(fs::read(&kernel.image).unwrap(), b"no kernel at all\n");
    assert!(kernel.config.enabled("CONFIG_TEST"));
    assert!(kernel.modules.as_ref().unwrap().join("kernel/a.ko.xz").is_file());
}

#[test]
fn once_cached_the_archive_is_not_needed() {
    let place = Place::new();
    let before = place.resolve("6.99.7", false).unwrap();
    fs::remove_dir_all(place.file("")).unwrap();
    let after = place.resolve("6.99", true).unwrap();
    assert_eq!(before[0].image, after[0].image);
}

#[test]
fn a_release_that_the_archive_serves_no_more_comes_from_the_cache() {
    let place = Place::new();
    let served = place.resolve("6.99.7", false).unwrap().remove(0);
    // As if that had been an earlier release than the one served now.
    let about = served.image.with_file_name("kernel.json");
    let mut kernel: serde_json::Value = serde_json::from_slice(&fs::read(&about).unwrap()).unwrap();
    kernel["point"] = "6.99.5".into();
    fs::write(&about, kernel.to_string()).unwrap();
    for offline in [false, true] {
        let kernel = place.resolve("6.99.5", offline).unwrap().remove(0);
        assert_eq!((kernel.point.to_string().as_str(), &kernel.image), ("6.99.5", &served.image));
        let error = place.resolve("6.99.4", offline).unwrap_err().to_string();
        assert!(error.contains("6.99.4"), "{error}");
    }
}

#[test]
fn an_empty_cache_offline_says_what_is_missing() {
    let error = Place::new().resolve("6.99", true).unwrap_err().to_string();
    assert!(error.contains("suite test is not in the cache"), "{error}");
}

#[test]
fn somebody_elses_signature_is_refused() {
    let error = Place::new().resolve_with("other.gpg", "6.99", false).unwrap_err();
    assert!(matches!(error, Error::Archive(archive::Error::Signature { .. })), "{error}");
}

#[test]
fn an_unsigned_release_file_is_refused() {
    let place = Place::new();
    let signed = fs::read_to_string(place.file("dists/test/InRelease")).unwrap();
    let start = signed.find("Suite:").unwrap();
    let end = signed.find("-----BEGIN PGP SIGNATURE").unwrap();
    fs::write(place.file("dists/test/InRelease"), &signed[start..end]).unwrap();
    let error = place.resolve("6.99", false).unwrap_err();
    assert!(matches!(error, Error::Archive(archive::Error::Signature { .. })), "{error}");
}

#[test]
fn text_outside_the_signature_does_not_count() {
    let place = Place::new();
    let path = place.file("dists/test/InRelease");
    let signed = fs::read_to_string(&path).unwrap();
    let forged = signed.replace("Suite: test", "Suite: tent");
    fs::write(&path, forged).unwrap();
    let error = place.resolve("6.99", false).unwrap_err();
    assert!(matches!(error, Error::Archive(archive::Error::Signature { .. })), "{error}");
}

#[rstest]
#[case::index("dists/test/main/binary-amd64/Packages.xz")]
#[case::image("pool/linux-binary-6.99.7-cloud-amd64_6.99.7-1_amd64.deb")]
#[case::modules("pool/linux-modules-6.99.7-cloud-amd64_6.99.7-1_amd64.deb")]
fn a_changed_file_is_refused_and_not_kept(#[case] file: &str) {
    let place = Place::new();
    let path = place.file(file);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&path, bad).unwrap();
    let error = place.resolve("6.99", false).unwrap_err().to_string();
    assert!(error.contains("the archive's index says"), "{error}");
    fs::write(&path, good).unwrap();
    assert_eq!(place.resolve("6.99", false).unwrap().len(), 1);
}

#[test]
fn a_series_nobody_serves() {
    let place = Place::new();
    let error = place.resolve("6.100", false).unwrap_err().to_string();
    assert!(error.contains("test serves no 6.100 kernel of cloud-amd64"), "{error}");
    let error = place.resolve("7.0", false).unwrap_err().to_string();
    assert!(error.contains("no such file there"), "{error}");
    // A wide selector continues with the available kernels.
    assert_eq!(place.resolve("all", false).unwrap().len(), 1);
    let error = place.resolve("7.x", false).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

#[rstest]
#[case::by_series("6.99")]
#[case::by_release("6.99.7")]
#[case::none_left("all")]
fn a_package_that_the_archive_promises_and_has_not_is_an_error(#[case] selector: &str) {
    let place = Place::new();
    fs::remove_file(place.package("binary")).unwrap();
    let error = place.resolve(selector, false).unwrap_err();
    assert!(error.is_absence(), "{error}");
}

#[test]
fn a_package_by_its_path_takes_its_neighbours_along() {
    let place = Place::new();
    let kernels = place.resolve(&place.package("binary").display().to_string(), false).unwrap();
    assert!(kernels[0].config.enabled("CONFIG_TEST"));
    assert_eq!(kernels[0].suite, None);
}

/// A rebuild of the archive's kernel with the same release: neither replaces the other.
#[test]
fn a_kernel_of_the_same_release_from_elsewhere_is_another_one() {
    let place = Place::new();
    let rebuild = place.dir.path().join("vmlinuz");
    let mut image = vec![0; 0x300];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
    image[0x280..0x280 + 22].copy_from_slice(b"6.99.7-cloud-amd64 (a)");
    fs::write(&rebuild, &image).unwrap();
    let copy = place.dir.path().join("other-vmlinuz");
    image.push(1);
    fs::write(&copy, &image).unwrap();
    let paths = [&rebuild, &copy].map(|path| path.display().to_string());
    let kernels = place.resolve_all(&["6.99", &paths[0], &paths[1], &paths[0]], false).unwrap();
    assert!(kernels.iter().all(|kernel| kernel.release == "6.99.7-cloud-amd64"), "{kernels:?}");
    let mut brought: Vec<_> = kernels.iter().map(|kernel| kernel.path.clone()).collect();
    brought.sort();
    assert_eq!(brought, [None, Some(copy), Some(rebuild)]);
    let digests: std::collections::BTreeSet<_> = kernels.iter().map(|kernel| &kernel.sha256).collect();
    assert_eq!(digests.len(), 3);
}

#[test]
fn the_sources_of_the_standard_library() {
    let place = Place::new();
    let library = place.rust_src("1.2.3", false).unwrap();
    assert!(library.ends_with("usr/src/rustc-1.2.3/library"), "{}", library.display());
    assert!(library.join("std/src/lib.rs").is_file());
    // The rest of the package is not kept.
    assert!(!library.parent().unwrap().join("compiler").exists());
    fs::remove_dir_all(place.file("")).unwrap();
    assert_eq!(place.rust_src("1.2.3", true).unwrap(), library);
}

#[rstest]
#[case("1.2.4")]
#[case("1.2")]
fn a_version_of_the_library_that_nobody_serves(#[case] version: &str) {
    let error = Place::new().rust_src(version, false).unwrap_err();
    assert!(matches!(error, Error::NoPackage { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("test has 1.2.3+dfsg1-1") && text.contains("no such file there"), "{text}");
}

#[test]
fn a_changed_library_is_refused() {
    let place = Place::new();
    let path = place.file("pool/rust-src_1.2.3+dfsg1-1_all.deb");
    let mut bad = fs::read(&path).unwrap();
    bad[100] ^= 1;
    fs::write(&path, bad).unwrap();
    let error = place.rust_src("1.2.3", false).unwrap_err().to_string();
    assert!(error.contains("the archive's index says"), "{error}");
}

#[test]
fn several_at_once_share_the_cache() {
    let place = Place::new();
    let images: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| place.resolve("6.99", false).unwrap()[0].image.clone())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(images.iter().all(|image| *image == images[0] && image.is_file()));
    let left: Vec<_> = fs::read_dir(place.cache.root().join("kernels")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
