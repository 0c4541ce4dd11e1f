//! Reads a `linux-image` package (`deb(5)`) and unpacks the files that a guest needs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::control;

/// Why a package cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a Debian package, or damaged.
    #[error("{}: not a kernel package: {what}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// The problem.
        what: String,
    },
    /// Reading or unpacking failed.
    #[error("{action} {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

/// The control fields of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Debian's name for its architecture.
    pub arch: String,
    /// Its `Depends` field; empty if there is none.
    pub depends: String,
}

/// Reads the package's control fields.
///
/// # Errors
/// When it is not a package.
pub fn about(deb: &Path) -> Result<About, Error> {
    let malformed = |what: &str| Error::Malformed { path: deb.to_owned(), what: what.to_owned() };
    let mut text = None;
    member(deb, "control.tar", |tar| {
        for entry in tar.entries()? {
            let mut entry = entry?;
            if entry.path()?.file_name().is_some_and(|name| name == "control") {
                let mut content = String::new();
                entry.read_to_string(&mut content)?;
                text = Some(content);
            }
        }
        Ok(())
    })?;
    let text = text.ok_or_else(|| malformed("it has no control file"))?;
    let stanza = control::stanzas(&text).next().ok_or_else(|| malformed("its control file is empty"))?;
    let field = |name: &str| {
        stanza
            .get(name)
            .map(str::to_owned)
            .ok_or_else(|| malformed(&format!("its control file has no {name}")))
    };
    Ok(About {
        name: field("Package")?,
        version: field("Version")?,
        arch: field("Architecture")?,
        depends: stanza.get("Depends").unwrap_or_default().to_owned(),
    })
}

/// Unpacks a kernel's packages in `dest`: `vmlinuz`, `config`, `modules/` (the contents of
/// `/lib/modules/RELEASE`). Returns the release name found in their paths. `config` and `modules/`
/// exist only if a package contains them.
///
/// # Errors
/// When the packages contain no kernel or two, or cannot be unpacked.
pub fn unpack(debs: &[PathBuf], dest: &Path) -> Result<String, Error> {
    let mut release: Option<String> = None;
    for deb in debs {
        unpack_one(deb, dest, &mut release)?;
    }
    let first = debs.first().cloned().unwrap_or_default();
    let malformed = |what: &str| Error::Malformed { path: first.clone(), what: what.to_owned() };
    if !dest.join("vmlinuz").is_file() {
        return Err(malformed(
            "it holds no vmlinuz (newer kernels come in several packages, linux-binary-… first)",
        ));
    }
    release.ok_or_else(|| malformed("no path in it carries a release name"))
}

fn unpack_one(deb: &Path, dest: &Path, release: &mut Option<String>) -> Result<(), Error> {
    member(deb, "data.tar", |tar| {
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let Some(place) = place(&path) else { continue };
            if let Some(name) = place.release {
                match release {
                    Some(known) if *known != name => {
                        return Err(io::Error::other(format!("two kernels: {known} and {name}")));
                    }
                    Some(_) => {}
                    None => *release = Some(name),
                }
            }
            if entry.header().entry_type().is_file() {
                let to = dest.join(place.to);
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                io::copy(&mut entry, &mut File::create(&to)?)?;
            }
        }
        Ok(())
    })
}

/// Unpacks in `dest` the regular files of a package that are in `places` or below one of them, with
/// their own paths.
///
/// # Errors
/// When it is not a package, contains no such file, or cannot be unpacked.
pub fn unpack_files(deb: &Path, places: &[&str], dest: &Path) -> Result<(), Error> {
    let mut count = 0;
    member(deb, "data.tar", |tar| {
        count = take(tar, places, dest, &|path| path)?;
        Ok(())
    })?;
    some(count, deb, places)
}

/// The same for `inner`, a `.tar.xz` in the package with one top-level directory, the format of
/// kernel sources. `places` are relative to that directory.
///
/// # Errors
/// When it is not a package, contains no such file, or cannot be unpacked.
pub fn unpack_inner_files(deb: &Path, inner: &str, places: &[&str], dest: &Path) -> Result<(), Error> {
    let mut count = 0;
    let below_top = |path: PathBuf| path.components().skip(1).collect();
    member(deb, "data.tar", |tar| {
        for entry in tar.entries()? {
            let entry = entry?;
            if plain(&entry.path()?).is_some_and(|path| path == Path::new(inner)) {
                let mut inner = tar::Archive::new(liblzma::read::XzDecoder::new_multi_decoder(entry));
                count = take(&mut inner, places, dest, &below_top)?;
            }
        }
        Ok(())
    })?;
    some(count, deb, places)
}

/// Unpacks the regular files of an archive that are in `places` or below one of them. `to` maps a
/// path of the archive to one in `dest`. Returns their number.
fn take(
    tar: &mut tar::Archive<impl Read>,
    places: &[&str],
    dest: &Path,
    to: &dyn Fn(PathBuf) -> PathBuf,
) -> io::Result<usize> {
    let mut count = 0;
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(path) = plain(&path).map(to) else { continue };
        if !entry.header().entry_type().is_file() || !places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let to = dest.join(path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        io::copy(&mut entry, &mut File::create(&to)?)?;
        count += 1;
    }
    Ok(count)
}

fn some(count: usize, deb: &Path, places: &[&str]) -> Result<(), Error> {
    if count > 0 {
        return Ok(());
    }
    let what = format!("it holds no {}", places.join(" or "));
    Err(Error::Malformed { path: deb.to_owned(), what })
}

/// Normalizes a path of the archive; `None` if it could lead out of the destination.
fn plain(path: &Path) -> Option<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(Some(name)),
        std::path::Component::CurDir | std::path::Component::RootDir => None,
        _ => Some(None),
    });
    parts.collect()
}

/// Destination of a file of the package.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    to: PathBuf,
    release: Option<String>,
}

fn place(path: &Path) -> Option<Place> {
    let path = plain(path)?;
    let parts: Vec<&str> = path.iter().map(|name| name.to_str()).collect::<Option<_>>()?;
    let parts = parts.strip_prefix(&["usr"]).unwrap_or(&parts);
    match parts {
        ["boot", file] => {
            let (kind, release) = file.split_once('-')?;
            let to = match kind {
                "vmlinuz" | "vmlinux" => "vmlinuz",
                "config" => "config",
                _ => return None,
            };
            Some(Place { to: PathBuf::from(to), release: Some(release.to_owned()) })
        }
        ["lib", "modules", release, file @ ("vmlinuz" | "config")] => {
            Some(Place { to: PathBuf::from(file), release: Some((*release).to_owned()) })
        }
        ["lib", "modules", release, rest @ ..] if !rest.is_empty() => {
            let mut to = PathBuf::from("modules");
            to.extend(rest);
            Some(Place { to, release: Some((*release).to_owned()) })
        }
        _ => None,
    }
}

/// Finds a member of the package by its name without the compression suffix, and passes it on
/// decompressed.
fn member(
    deb: &Path,
    name: &str,
    mut read: impl FnMut(&mut tar::Archive<Box<dyn Read + '_>>) -> io::Result<()>,
) -> Result<(), Error> {
    let malformed = |what: String| Error::Malformed { path: deb.to_owned(), what };
    let file = File::open(deb).map_err(io_error("open", deb))?;
    let mut archive = ar::Archive::new(io::BufReader::new(file));
    while let Some(entry) = archive.next_entry() {
        let entry = entry.map_err(|e| malformed(e.to_string()))?;
        let full = String::from_utf8_lossy(entry.header().identifier()).into_owned();
        let full = full.trim_end_matches('/');
        let Some(suffix) = full.strip_prefix(name) else { continue };
        let stream: Box<dyn Read + '_> = match suffix {
            "" => Box::new(entry),
            ".xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(entry)),
            ".zst" => Box::new(
                ruzstd::decoding::StreamingDecoder::new(entry).map_err(|e| malformed(e.to_string()))?,
            ),
            other => {
                return Err(malformed(format!(
                    "its {name} is compressed as {other}, which is not supported"
                )));
            }
        };
        return read(&mut tar::Archive::new(stream)).map_err(io_error("unpack", deb));
    }
    Err(malformed(format!("it has no {name}")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("./boot/vmlinuz-6.1.0-50-amd64", Some(("vmlinuz", "6.1.0-50-amd64")))]
    #[case("./boot/config-6.1.0-50-amd64", Some(("config", "6.1.0-50-amd64")))]
    #[case("./boot/System.map-6.1.0-50-amd64", None)]
    #[case("./lib/modules/6.1/kernel/fs/x.ko", Some(("modules/kernel/fs/x.ko", "6.1")))]
    #[case("./usr/lib/modules/6.1/modules.order", Some(("modules/modules.order", "6.1")))]
    #[case("./usr/lib/modules/7.3/vmlinuz", Some(("vmlinuz", "7.3")))]
    #[case("./usr/lib/modules/7.3/config", Some(("config", "7.3")))]
    #[case("./lib/modules/6.1/../../../etc/passwd", None)]
    #[case("./usr/share/doc/x", None)]
    fn places(#[case] path: &str, #[case] expect: Option<(&str, &str)>) {
        let found = place(Path::new(path));
        let expect = expect.map(|(to, release)| Place { to: to.into(), release: Some(release.to_owned()) });
        assert_eq!(found, expect);
    }

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, data) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn xz(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        liblzma::read::XzEncoder::new(data, 0).read_to_end(&mut out).unwrap();
        out
    }

    fn deb(path: &Path, data: &[(&str, &[u8])]) {
        let control = tar_of(&[(
            "./control",
            b"Package: linux-image-6.1-t\nVersion: 6.1.9-1\nArchitecture: amd64\nDescription: x\n y\n",
        )]);
        let mut builder = ar::Builder::new(File::create(path).unwrap());
        let data = xz(&tar_of(data));
        for (name, content) in
            [("debian-binary", b"2.0\n".to_vec()), ("control.tar", control), ("data.tar.xz", data)]
        {
            let header = ar::Header::new(name.into(), content.len() as u64);
            builder.append(&header, &content[..]).unwrap();
        }
    }

    #[test]
    fn takes_a_package_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        deb(
            &path,
            &[
                ("./boot/vmlinuz-6.1-t", b"kernel"),
                ("./boot/config-6.1-t", b"CONFIG_A=y"),
                ("./lib/modules/6.1-t/kernel/a.ko", b"module"),
                ("./usr/share/doc/x", b"not wanted"),
            ],
        );
        assert_eq!(about(&path).unwrap().version, "6.1.9-1");
        let out = dir.path().join("out");
        assert_eq!(unpack(std::slice::from_ref(&path), &out).unwrap(), "6.1-t");
        assert_eq!(fs::read(out.join("vmlinuz")).unwrap(), b"kernel");
        assert_eq!(fs::read(out.join("modules/kernel/a.ko")).unwrap(), b"module");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    }

    #[test]
    fn some_files_of_a_package() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        deb(&path, &[("./usr/src/l/a", b"a"), ("./usr/src/l/b/c", b"c"), ("./usr/src/lib", b"no")]);
        let out = dir.path().join("out");
        unpack_files(&path, &["usr/src/l"], &out).unwrap();
        assert_eq!(fs::read(out.join("usr/src/l/b/c")).unwrap(), b"c");
        assert!(out.join("usr/src/l/a").is_file() && !out.join("usr/src/lib").exists());
        let error = unpack_files(&path, &["bin/x"], &out).unwrap_err().to_string();
        assert!(error.contains("it holds no bin/x"), "{error}");
    }

    #[test]
    fn some_files_of_an_archive_in_a_package() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        let sources = xz(&tar_of(&[("l-6.1/scripts/a", b"a"), ("l-6.1/b", b"b")]));
        deb(&path, &[("./usr/src/l.tar.xz", &sources), ("./usr/src/scripts/a", b"no")]);
        let out = dir.path().join("out");
        unpack_inner_files(&path, "usr/src/l.tar.xz", &["scripts"], &out).unwrap();
        assert_eq!(fs::read(out.join("scripts/a")).unwrap(), b"a");
        assert!(!out.join("b").exists());
        let error = unpack_inner_files(&path, "usr/src/m.tar.xz", &["scripts"], &out).unwrap_err();
        assert!(error.to_string().contains("it holds no scripts"), "{error}");
    }

    #[test]
    fn parts_come_together() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("a.deb"), dir.path().join("b.deb")];
        deb(&paths[0], &[("./usr/lib/modules/7.3-t/vmlinuz", b"kernel")]);
        deb(&paths[1], &[("./usr/lib/modules/7.3-t/config", b"CONFIG_A=y")]);
        let out = dir.path().join("out");
        assert_eq!(unpack(&paths, &out).unwrap(), "7.3-t");
        assert!(out.join("vmlinuz").is_file() && out.join("config").is_file());
    }

    #[test]
    fn two_kernels_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        deb(&path, &[("./boot/vmlinuz-6.1-t", b"kernel"), ("./lib/modules/6.2-t/a.ko", b"module")]);
        let error = unpack(std::slice::from_ref(&path), &dir.path().join("out")).unwrap_err();
        assert!(format!("{:?}", error).contains("two kernels"), "{error:?}");
    }

    #[test]
    fn rubbish_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        fs::write(&path, b"!<arch>\nnonsense").unwrap();
        assert!(matches!(about(&path), Err(Error::Malformed { .. })));
        deb(&path, &[("./usr/share/doc/x", b"no kernel")]);
        assert!(matches!(
            unpack(std::slice::from_ref(&path), &dir.path().join("out")),
            Err(Error::Malformed { .. })
        ));
    }
}
