//! What modules for one kernel are built with: its headers, their dependencies, and the compiler.
//!
//! The packages are fetched and verified like kernels. They are not installed but unpacked: the
//! headers of some releases depend on a whole kernel image, and those of another architecture could
//! not be installed at all. kbuild's programs run on this machine, so that package is taken for
//! this machine's architecture.

use std::path::PathBuf;

use super::{Error, Target};
use crate::arch::Arch;
use crate::kernels::archive::Archive;
use crate::kernels::index::Package;
use crate::kernels::version::compare_debian;
use crate::kernels::{self, Matrix, Options, fetch, fetch_package, open_archive, package};

/// The packages for building modules for one kernel.
#[derive(Debug)]
pub struct Headers {
    /// The fetched packages to unpack.
    pub debs: Vec<PathBuf>,
    /// Packages that must be installed in the build root: the compiler, and the libraries of
    /// kbuild's programs.
    pub packages: Vec<String>,
}

/// Finds and fetches the packages for building modules for `target`.
///
/// # Errors
/// [`Error::NoHeaders`] when the suite does not serve them (any more).
pub fn find(matrix: &Matrix, target: &Target, suite: &str, options: &Options<'_>) -> Result<Headers, Error> {
    let host = Arch::host().ok_or_else(|| absent(target, "this machine's architecture is unknown"))?;
    let theirs = Options { arch: target.arch, ..options.clone() };
    let ours = Options { arch: host, ..options.clone() };
    let archive = open_archive(matrix, &theirs)?;
    let own_archive = open_archive(matrix, &ours)?;

    let name = format!("linux-headers-{}", target.release);
    let headers = newest(&archive, suite, &name, target)?;
    let fetch = |package: &Package, archive: &Archive<'_>, options: &Options<'_>| {
        fetch_package(package, archive.base(), options).map_err(|error| match error {
            // Archives may remove an architecture's packages before its index is updated.
            kernels::Error::Fetch(e @ fetch::Error::NotFound { .. }) => absent(target, &e.to_string()),
            other => other.into(),
        })
    };
    let deb = fetch(&headers, &archive, &theirs)?;
    let needs = needs(&package::about(&deb)?.depends).map_err(|what| absent(target, &what))?;

    let common = newest(&archive, suite, &needs.common, target)?;
    let kbuild = newest(&own_archive, suite, &needs.kbuild, target)?;
    let kbuild_deb = fetch(&kbuild, &own_archive, &ours)?;
    let mut packages = names(&package::about(&kbuild_deb)?.depends);
    packages.push(compiler_package(&needs.compiler, target.arch, host));
    let debs = vec![deb, fetch(&common, &archive, &theirs)?, kbuild_deb];
    Ok(Headers { debs, packages })
}

fn absent(target: &Target, reason: &str) -> Error {
    Error::NoHeaders { release: target.release.clone(), reason: reason.to_owned() }
}

/// The newest package of this name in the suite.
fn newest(archive: &Archive<'_>, suite: &str, name: &str, target: &Target) -> Result<Package, Error> {
    let packages = archive.packages(suite).map_err(kernels::Error::from)?;
    let of_name = packages.into_iter().filter(|package| package.name == name);
    of_name
        .max_by(|a, b| compare_debian(&a.version, &b.version))
        .ok_or_else(|| absent(target, &format!("{suite} serves no {name} (any more)")))
}

/// The dependencies of a package of headers.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    common: String,
    kbuild: String,
    /// Name of the compiler: `gcc-14`.
    compiler: String,
}

/// Parses the `Depends` field of a package of headers.
fn needs(depends: &str) -> Result<Needs, String> {
    let names = names(depends);
    let of = |test: &dyn Fn(&str) -> bool, what: &str| {
        let found = names.iter().find(|name| test(name));
        found.cloned().ok_or_else(|| format!("its package depends on no {what}"))
    };
    Ok(Needs {
        common: of(&|n| n.starts_with("linux-headers-") && n.ends_with("-common"), "common headers")?,
        kbuild: of(&|n| n.starts_with("linux-kbuild-"), "linux-kbuild")?,
        compiler: names.iter().find_map(|n| compiler(n)).ok_or("its package depends on no compiler")?,
    })
}

/// The compiler in a package name: `gcc-14`, `gcc-14-for-host` and `linux-compiler-gcc-12-x86`
/// contain one.
fn compiler(name: &str) -> Option<String> {
    let rest = name.strip_prefix("linux-compiler-").unwrap_or(name).strip_prefix("gcc-")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then(|| format!("gcc-{number}"))
}

/// The package with a compiler for `arch` that runs on `host`.
fn compiler_package(compiler: &str, arch: Arch, host: Arch) -> String {
    if arch == host {
        compiler.to_owned()
    } else {
        format!("{compiler}-{}", arch.gnu_triple().replace('_', "-"))
    }
}

/// The names in a dependency list; of alternatives only the first.
fn names(depends: &str) -> Vec<String> {
    depends
        .split(',')
        .filter_map(|one| one.split(['|', '(', ':']).next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "linux-headers-6.1.0-50-common (= 6.1.176-1), linux-kbuild-6.1 (>= 6.1.176-1), linux-compiler-gcc-12-x86",
        "linux-headers-6.1.0-50-common linux-kbuild-6.1 gcc-12"
    )]
    #[case(
        "linux-base (>= 4.12~), linux-headers-6.12.1-common (= 6.12.1-1), linux-image-6.12.1 (= 6.12.1-1) | \
         linux-image-6.12.1-unsigned (= 6.12.1-1), linux-kbuild-6.12.1, gcc-14",
        "linux-headers-6.12.1-common linux-kbuild-6.12.1 gcc-14"
    )]
    #[case(
        "gcc-14-for-host, linux-base-7.3-amd64 (= 7.3-1), linux-headers-7.3-common (= 7.3-1), linux-kbuild-7.3",
        "linux-headers-7.3-common linux-kbuild-7.3 gcc-14"
    )]
    fn dependencies(#[case] depends: &str, #[case] wanted: &str) {
        let Needs { common, kbuild, compiler } = needs(depends).unwrap();
        assert_eq!(format!("{common} {kbuild} {compiler}"), wanted);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(needs("linux-headers-1-common, gcc-14").unwrap_err().contains("linux-kbuild"));
        assert!(needs("linux-headers-1-common, linux-kbuild-1, gcc").unwrap_err().contains("compiler"));
    }

    #[test]
    fn compilers_for_another_architecture() {
        let of = |arch| compiler_package("gcc-12", arch, Arch::X86_64);
        assert_eq!(of(Arch::X86_64), "gcc-12");
        assert_eq!(of(Arch::Powerpc64le), "gcc-12-powerpc64le-linux-gnu");
        assert_eq!(compiler_package("gcc-12", Arch::X86_64, Arch::Aarch64), "gcc-12-x86-64-linux-gnu");
    }
}
