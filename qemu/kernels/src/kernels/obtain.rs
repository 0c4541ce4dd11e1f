//! Prepares kernels for booting: fetched and unpacked in the cache, or at a path.

use super::candidate::{Asked, Candidate, Origin};
use super::locate::{self, Located, Unavailable};
use super::matrix::Matrix;
use super::unpack::{Facts, digests, fetch_package, kept, unpacked};
use super::{Error, Kernel, Options, Resolution, local};

/// Prepares located kernels for booting. If the archive lacks a file that its index lists, another
/// kernel of the series is used and a message reports it; a kernel selected as one of many may be
/// missing.
///
/// # Errors
/// When one cannot be fetched or differs from the index, or none is left; offline, when one is not
/// cached.
pub fn obtain_all(matrix: &Matrix, located: &Located, options: &Options<'_>) -> Result<Resolution, Error> {
    let mut all = Resolution { kernels: Vec::new(), unavailable: located.unavailable.clone() };
    let mut last = None;
    for candidate in &located.candidates {
        match obtain_or_another(matrix, candidate, options) {
            Ok(kernel) => all.kernels.push(kernel),
            Err(e) if e.is_absence() && candidate.asked == Asked::Widely => {
                let missing = Unavailable { kernel: candidate.label(), reason: e.to_string() };
                options.progress.message(&format!("not served today: {missing}"));
                all.unavailable.push(missing);
                last = Some(e);
            }
            Err(e) => return Err(e),
        }
    }
    match last {
        Some(absent) if all.kernels.is_empty() => Err(absent),
        _ => Ok(all),
    }
}

fn obtain_or_another(matrix: &Matrix, candidate: &Candidate, options: &Options<'_>) -> Result<Kernel, Error> {
    let absent = match obtain(candidate, options) {
        Err(e) if e.is_absence() => e,
        other => return other,
    };
    for other in locate::instead_of(candidate, matrix, options)? {
        match obtain(&other, options) {
            Err(e) if e.is_absence() => {}
            Ok(kernel) => {
                options.progress.message(&format!("{absent}; {other} instead"));
                return Ok(kernel);
            }
            Err(e) => return Err(e),
        }
    }
    Err(absent)
}

/// Prepares a candidate for booting: from the cache, or fetched, verified and unpacked.
///
/// # Errors
/// When it cannot be fetched or differs from the index; offline, when it is not cached.
pub(super) fn obtain(candidate: &Candidate, options: &Options<'_>) -> Result<Kernel, Error> {
    match &candidate.origin {
        Origin::Local(path) => local::kernel(path, candidate, options),
        Origin::Kept(kernel) => Ok((**kernel).clone()),
        Origin::Archive { suite, build, base } => {
            // The variant comes from the matrix, not from the cached packages.
            let named = |kernel| Kernel { variant: candidate.variant.clone(), ..kernel };
            if let Some(kernel) = kept(&digests(build), options)? {
                return Ok(named(kernel));
            }
            if !build.is_complete() {
                let what = "the archive serves its image, not its modules and configuration any more";
                options.progress.message(&format!("{}: {what}", candidate.point));
            }
            let debs = build
                .packages
                .iter()
                .map(|package| fetch_package(package, base, options))
                .collect::<Result<Vec<_>, _>>()?;
            let image = build.image();
            let facts = Facts {
                package: image.name.clone(),
                version: image.version.clone(),
                suite: Some(suite.clone()),
                sha256: image.sha256.clone(),
                digests: digests(build),
            };
            unpacked(&debs, candidate, facts, options).map(named)
        }
    }
}
