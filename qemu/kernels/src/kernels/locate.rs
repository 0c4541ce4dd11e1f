//! Resolves selectors: from selectors and the matrix to candidates, using the suites' indexes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apt_sources::{self, Mirror};
use super::archive::{self, Archive};
use super::candidate::{Asked, Candidate, Origin};
use super::index;
use super::local;
use super::matrix::{Entry, Matrix};
use super::selector::Selector;
use super::version::{Series, Version};
use super::{Error, Options, debug, unpack};

/// An entry of the matrix that is currently not available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The entry's label: the series, with its variant.
    pub kernel: String,
    /// The reason, as text.
    pub reason: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kernel, self.reason)
    }
}

/// The result of resolving selectors.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// Sorted by version, oldest first, without duplicates.
    pub candidates: Vec<Candidate>,
    /// Series that a wide selector covers and no suite serves.
    pub unavailable: Vec<Unavailable>,
}

/// The build tree of the debugging kernel.
fn debug_tree(options: &Options<'_>) -> Result<PathBuf, Error> {
    let none = |reason: &str| Error::NoPackage { wanted: debug::NAME.to_owned(), reason: reason.to_owned() };
    if !debug::is_for(options.arch) {
        return Err(none(&format!("the debugging kernel is not built for {}", options.arch)));
    }
    debug::find(options.cache)?
        .ok_or_else(|| none("build the debugging kernel first: cargo xtask kernel --debug"))
}

/// Resolves the selectors, reading the indexes of the relevant suites.
///
/// # Errors
/// When a selector matches no available kernel (the error lists what is available), or an index
/// cannot be read or verified.
pub fn locate(matrix: &Matrix, selectors: &[Selector], options: &Options<'_>) -> Result<Located, Error> {
    let mut archive: Option<Archive<'_>> = None;
    let mut found = BTreeMap::new();
    let mut unavailable: BTreeMap<(Series, String), Unavailable> = BTreeMap::new();
    // A kernel given by the user is never merged with another kernel of that release.
    let key = |c: &Candidate| (c.point, c.variant.clone(), c.release.clone(), c.path().map(Path::to_owned));
    for selector in selectors {
        if let Selector::Host = selector {
            return Err(Error::Host);
        }
        let path = match selector {
            Selector::Path(path) => Some(path.clone()),
            Selector::Debug => Some(debug_tree(options)?),
            _ => None,
        };
        if let Some(path) = path {
            let candidate = local::candidate(&path, options)?;
            found.insert(key(&candidate), candidate);
            continue;
        }
        let entries: Vec<&Entry> =
            matrix.of(options.arch).filter(|entry| entry.is_meant_by(selector)).collect();
        if entries.is_empty() {
            return Err(unknown(selector, "the matrix has none", matrix, options, &[]));
        }
        if archive.is_none() {
            archive = Some(open_archive(matrix, options)?);
        }
        let archive = archive.as_ref().expect("opened above");
        let wide = matches!(selector, Selector::All | Selector::Major(_));
        let mut hit = false;
        let mut reasons = Vec::new();
        for entry in entries {
            // Only a point release can be in another suite than the first one that serves the
            // series.
            let everywhere = matches!(selector, Selector::Release(..));
            let offers = offers(archive, entry, everywhere, options)?;
            let chosen = match selector {
                Selector::Release(version, _) => {
                    let served = offers.served.iter().find(|c| c.point == *version).cloned();
                    served.map_or_else(|| kept(entry, *version, options), |served| Ok(Some(served)))?
                }
                _ => offers.served.first().cloned(),
            };
            if let Some(candidate) = chosen {
                let asked = match selector {
                    Selector::Release(..) => Asked::Exactly,
                    _ if wide => Asked::Widely,
                    _ => Asked::BySeries,
                };
                let candidate = Candidate { asked, ..candidate };
                // Report that a suite other than the preferred one serves it.
                if !offers.reasons.is_empty() && !everywhere {
                    let word = format!("{} from elsewhere: {}", entry.label(), offers.reason());
                    options.progress.message(&word);
                }
                found.insert(key(&candidate), candidate);
                hit = true;
            } else if wide {
                let missing = Unavailable { kernel: entry.label(), reason: offers.reason() };
                options.progress.message(&format!("not served today: {missing}"));
                unavailable.insert((entry.series, entry.variant.clone()), missing);
            } else {
                let reason = match selector {
                    Selector::Release(..) if !offers.served.is_empty() => {
                        "no suite serves it today".to_owned()
                    }
                    _ => offers.reason(),
                };
                return Err(unknown(selector, &reason, matrix, options, &offers.served));
            }
            reasons.extend(offers.reasons);
        }
        if !hit {
            return Err(unknown(selector, &reasons.join("; "), matrix, options, &[]));
        }
    }
    Ok(Located {
        candidates: found.into_values().collect(),
        unavailable: unavailable.into_values().collect(),
    })
}

/// A point release that no suite serves any more, if it is still in the cache; it can only be
/// selected by its number.
fn kept(entry: &Entry, point: Version, options: &Options<'_>) -> Result<Option<Candidate>, Error> {
    let Some(kernel) = unpack::kept_release(point, &entry.variant, options)? else { return Ok(None) };
    options.progress.message(&format!("{point} is served by no suite today; the one in the cache is used"));
    Ok(Some(Candidate {
        point,
        variant: entry.variant.clone(),
        release: kernel.release.clone(),
        cached: true,
        asked: Asked::Exactly,
        origin: Origin::Kept(Box::new(kernel)),
    }))
}

/// Replacements for a candidate whose packages are listed in an index and missing from the archive,
/// as happens during an archive update. Other releases of its series, the preferred first; the same
/// release of another suite, if it was selected exactly.
///
/// # Errors
/// When an index cannot be read or verified.
pub(super) fn instead_of(
    candidate: &Candidate,
    matrix: &Matrix,
    options: &Options<'_>,
) -> Result<Vec<Candidate>, Error> {
    let Origin::Archive { build: missing, .. } = &candidate.origin else { return Ok(Vec::new()) };
    let is_entry = |entry: &&Entry| entry.series == candidate.series() && entry.variant == candidate.variant;
    let Some(entry) = matrix.of(options.arch).find(is_entry) else { return Ok(Vec::new()) };
    let mut others = offers(&open_archive(matrix, options)?, entry, true, options)?.served;
    others.retain(|other| {
        let Origin::Archive { build, .. } = &other.origin else { return false };
        build.image().sha256 != missing.image().sha256
            && (candidate.asked != Asked::Exactly || other.point == candidate.point)
    });
    Ok(others)
}

/// The kernels of the sources of one entry: the preferred source's newest first, then its older
/// ones, then those of the next source if that was read.
struct Offers {
    served: Vec<Candidate>,
    reasons: Vec<String>,
}

impl Offers {
    fn reason(&self) -> String {
        self.reasons.join("; ")
    }
}

fn offers(
    archive: &Archive<'_>,
    entry: &Entry,
    everywhere: bool,
    options: &Options<'_>,
) -> Result<Offers, Error> {
    let mut offers = Offers { served: Vec::new(), reasons: Vec::new() };
    for source in &entry.sources {
        if !everywhere && !offers.served.is_empty() {
            break;
        }
        let packages = match archive.packages(&source.suite) {
            Ok(packages) => packages,
            // A missing suite is information about the archive; an unreachable archive is an error.
            Err(e) if e.is_absence() => {
                offers.reasons.push(e.to_string());
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let flavour = entry.flavour(source, options.arch);
        let mut served = Vec::new();
        for build in index::builds(&packages, entry.series, &flavour) {
            served.push(Candidate {
                point: build.point,
                variant: entry.variant.clone(),
                release: build.release.clone(),
                cached: unpack::is_cached(&build, options)?,
                asked: Asked::BySeries,
                origin: Origin::Archive {
                    suite: source.suite.clone(),
                    base: archive.base().to_owned(),
                    build,
                },
            });
        }
        if served.is_empty() {
            offers.reasons.push(format!("{} serves no {} kernel of {flavour}", source.suite, entry.series));
        }
        if options.offline {
            let newest = served.first().map(ToString::to_string);
            served.retain(|candidate| candidate.cached);
            if let (Some(newest), true) = (newest, served.is_empty()) {
                offers.reasons.push(format!("{newest} is not in the cache (run once without --offline)"));
            }
        }
        offers.served.extend(served);
    }
    Ok(offers)
}

fn unknown(
    selector: &Selector,
    reason: &str,
    matrix: &Matrix,
    options: &Options<'_>,
    served: &[Candidate],
) -> Error {
    let mut offer =
        format!("series of the matrix for {}: {}", options.arch, matrix.labels(options.arch).join(", "));
    if !served.is_empty() {
        let releases: Vec<String> = served.iter().map(|c| format!("{} ({})", c.point, suite_of(c))).collect();
        offer.push_str(&format!(
            "\n{} of this series: {}",
            if options.offline { "cached" } else { "served" },
            releases.join(", ")
        ));
    }
    offer.push_str(
        "\nalso: 6.x, all, host, debug, or a path to a vmlinuz, a linux-image .deb or a build tree",
    );
    Error::Unknown { selector: selector.to_string(), arch: options.arch, reason: reason.to_owned(), offer }
}

fn suite_of(candidate: &Candidate) -> &str {
    match &candidate.origin {
        Origin::Archive { suite, .. } => suite,
        Origin::Kept(_) => "cache",
        Origin::Local(_) => "local",
    }
}

/// Debian's own keys, as installed by its `debian-archive-keyring` package.
pub(crate) const DEBIAN_KEYRINGS: &[&str] =
    &["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// The archive given by the options; its suites are read lazily.
pub(crate) fn open_archive<'a>(matrix: &Matrix, options: &Options<'a>) -> Result<Archive<'a>, Error> {
    let mirror = mirror(matrix, options)?;
    let env_keyring = std::env::var_os("CAIRN_KEYRING").filter(|v| !v.is_empty()).map(PathBuf::from);
    let keyrings = match options.keyring.clone().or(env_keyring) {
        Some(keyring) => vec![keyring],
        None => {
            let debian = DEBIAN_KEYRINGS.iter().map(PathBuf::from).find(|path| path.is_file());
            mirror.keyring.iter().cloned().chain(debian).filter(|path| path.is_file()).collect()
        }
    };
    if keyrings.is_empty() && !options.offline {
        return Err(archive::Error::Verifier(format!(
            "no keyring: neither {} nor CAIRN_KEYRING (install debian-archive-keyring)",
            DEBIAN_KEYRINGS[0]
        ))
        .into());
    }
    Ok(Archive::new(mirror, keyrings, options.arch, options.offline, options.cache, options.progress))
}

fn mirror(matrix: &Matrix, options: &Options<'_>) -> Result<Mirror, Error> {
    let set = std::env::var("CAIRN_MIRROR").ok().filter(|v| !v.is_empty());
    if let Some(base) = options.mirror.clone().or(set) {
        return Ok(Mirror { base: base.trim_end_matches('/').to_owned(), keyring: None });
    }
    let suites: Vec<&str> = matrix.suites().into_iter().collect();
    let mirrors = apt_sources::debian_mirrors(&apt_sources::read(Path::new("/etc/apt")), &suites);
    apt_sources::expand_mirror_lists(mirrors).into_iter().next().ok_or(Error::NoArchive)
}
