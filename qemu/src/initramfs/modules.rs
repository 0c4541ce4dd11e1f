//! Kernel modules for the guest: found by name, in load order, decompressed.
//!
//! Packages do not contain `modules.dep` (it is generated at installation), so each module's own
//! `depends=` is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::Error;
use crate::kernels::Kernel;

/// A module to be placed in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// The decompressed ELF file.
    pub data: Vec<u8>,
}

/// The modules of one kernel.
pub(super) struct Store {
    release: String,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl Store {
    /// Reads the lists of a kernel's modules.
    pub(super) fn open(kernel: &Kernel) -> Result<Store, Error> {
        let mut store =
            Store { release: kernel.release.clone(), files: BTreeMap::new(), builtin: BTreeSet::new() };
        let Some(dir) = &kernel.modules else { return Ok(store) };
        if let Ok(text) = fs::read_to_string(dir.join("modules.builtin")) {
            store.builtin = text.lines().map(name_of).collect();
        }
        let order = dir.join("modules.order");
        let text = fs::read_to_string(&order).map_err(super::io_error("read", &order))?;
        for line in text.lines() {
            // A build tree lists objects (`fs/x.o`, older: `kernel/fs/x.ko`), an installed tree
            // `kernel/fs/x.ko`.
            let listed = line.strip_suffix(".o").map_or(line.to_owned(), |stem| format!("{stem}.ko"));
            let places = [listed.as_str(), listed.strip_prefix("kernel/").unwrap_or(&listed)];
            let file = places.iter().flat_map(|place| {
                ["", ".xz", ".zst"].into_iter().map(move |suffix| dir.join(format!("{place}{suffix}")))
            });
            if let Some(file) = file.into_iter().find(|file| file.is_file()) {
                store.files.insert(name_of(line), file);
            }
        }
        Ok(store)
    }

    /// A module and its dependencies, dependencies first. Empty if it is built in.
    pub(super) fn closure(&self, name: &str) -> Result<Vec<Module>, Error> {
        let mut done = Vec::new();
        self.visit(&name.replace('-', "_"), &mut BTreeSet::new(), &mut done)?;
        Ok(done)
    }

    fn visit(&self, name: &str, seen: &mut BTreeSet<String>, done: &mut Vec<Module>) -> Result<(), Error> {
        if self.builtin.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .ok_or_else(|| Error::Module { release: self.release.clone(), module: name.to_owned() })?;
        let data = read(path)?;
        for dependency in depends(&data).map_err(|what| Error::BadModule { path: path.clone(), what })? {
            self.visit(&dependency, seen, done)?;
        }
        done.push(Module { name: name.to_owned(), data });
        Ok(())
    }
}

/// A module's name from a path: `kernel/fs/fat/vfat.ko.xz` and `fs/fat/vfat.o` are `vfat`; dashes
/// are underscores.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(super::io_error("open", path))?;
    let mut data = Vec::new();
    let result = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => liblzma::read::XzDecoder::new_multi_decoder(file).read_to_end(&mut data),
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(file)
            .map_err(std::io::Error::other)
            .and_then(|mut stream| stream.read_to_end(&mut data)),
        _ => { file }.read_to_end(&mut data),
    };
    result.map_err(super::io_error("read", path))?;
    Ok(data)
}

/// The dependencies in a module's `depends=`.
fn depends(data: &[u8]) -> Result<Vec<String>, String> {
    let file = object::File::parse(data).map_err(|e| e.to_string())?;
    let section = file.section_by_name(".modinfo").ok_or("it has no .modinfo section")?;
    let info = section.data().map_err(|e| e.to_string())?;
    Ok(depends_in(info))
}

fn depends_in(modinfo: &[u8]) -> Vec<String> {
    modinfo
        .split(|&b| b == 0)
        .filter_map(|field| std::str::from_utf8(field).ok()?.strip_prefix("depends="))
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kernel/fs/fat/vfat.ko.xz", "vfat")]
    #[case("drivers/char/hw_random/virtio-rng.o", "virtio_rng")]
    #[case("x.ko", "x")]
    fn names(#[case] path: &str, #[case] name: &str) {
        assert_eq!(name_of(path), name);
    }

    #[test]
    fn dependencies() {
        assert_eq!(
            depends_in(b"license=GPL\0depends=virtio,virtio-ring\0name=x\0"),
            ["virtio", "virtio_ring"]
        );
        assert_eq!(depends_in(b"depends=\0"), [""; 0]);
        assert_eq!(depends_in(b""), [""; 0]);
    }
}
