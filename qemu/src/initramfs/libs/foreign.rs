//! Libraries of another architecture, which no loader of this machine can list.
//!
//! They are found where Debian's cross C library (`libc6-arm64-cross`) and its multiarch packages
//! install them, and are placed in the guest where a system of that architecture has them: the
//! loader at the path that programs request, libraries in `/lib/TRIPLE`, which is the first
//! directory that the loader searches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::initramfs::Error;
use crate::initramfs::elf::Elf;

/// Directories of the libraries of `arch` on this machine; first the one that a cross compiler
/// links against.
fn directories(arch: Arch) -> [PathBuf; 3] {
    let triple = arch.gnu_triple();
    [format!("/usr/{triple}/lib"), format!("/lib/{triple}"), format!("/usr/lib/{triple}")].map(PathBuf::from)
}

/// The loader and libraries of a program.
pub(super) fn needed(
    program: &Path,
    elf: &Elf,
    loader: &str,
    arch: Arch,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut walk = Walk { arch, directories: directories(arch).to_vec(), files: BTreeMap::new() };
    let missing = |name: String| Error::Program {
        path: program.to_owned(),
        what: format!("needs {name} for {arch}, which is not installed"),
    };
    let name = file_name(loader);
    let file = walk.find(name)?.ok_or_else(|| missing(name.to_owned()))?;
    // The C library requests the loader by name as well, and that is there already.
    walk.files.insert(name.to_owned(), file.clone());
    walk.follow(&elf.needed)?.map_or(Ok(()), |name| Err(missing(name)))?;
    walk.files.remove(name);
    let mut placed = walk.placed();
    placed.insert(loader.to_owned(), file);
    Ok(placed)
}

/// A library that is opened by name, with its dependencies, except for the loader, which every
/// program brings.
pub(super) fn library(name: &str, arch: Arch) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut walk = Walk { arch, directories: directories(arch).to_vec(), files: BTreeMap::new() };
    match walk.follow(&[name.to_owned()])? {
        Some(missing) => Err(Error::Library(format!("{missing} for {arch}"))),
        None => Ok(walk.placed()),
    }
}

/// Libraries found so far.
struct Walk {
    arch: Arch,
    directories: Vec<PathBuf>,
    /// Path of each library by its name.
    files: BTreeMap<String, PathBuf>,
}

impl Walk {
    /// The file of this name that has the right architecture.
    fn find(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        for file in self.directories.iter().map(|dir| dir.join(name)).filter(|file| file.is_file()) {
            if Elf::read(&file)?.arch == Some(self.arch) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Finds these libraries and their dependencies. Returns the first name that cannot be found.
    fn follow(&mut self, names: &[String]) -> Result<Option<String>, Error> {
        let mut wanted: Vec<String> = names.to_vec();
        while let Some(name) = wanted.pop() {
            if self.files.contains_key(&name) {
                continue;
            }
            let Some(file) = self.find(&name)? else { return Ok(Some(name)) };
            wanted.extend(Elf::read(&file)?.needed);
            self.files.insert(name, file);
        }
        Ok(None)
    }

    /// The files by guest path. A loader requested by a library is at the path that the program
    /// requests.
    fn placed(self) -> BTreeMap<String, PathBuf> {
        let triple = self.arch.gnu_triple();
        let libraries = self.files.into_iter().filter(|(name, _)| !name.starts_with("ld"));
        libraries.map(|(name, file)| (format!("/lib/{triple}/{name}"), file)).collect()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine's own libraries serve as the foreign ones.
    fn walk() -> (Walk, Elf) {
        let program = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        let arch = program.arch.unwrap();
        (Walk { arch, directories: directories(arch).to_vec(), files: BTreeMap::new() }, program)
    }

    #[test]
    fn names_are_followed() {
        let (mut walk, program) = walk();
        assert_eq!(walk.follow(&program.needed).unwrap(), None);
        let triple = walk.arch.gnu_triple();
        let placed = walk.placed();
        assert!(placed.contains_key(&format!("/lib/{triple}/libc.so.6")), "{placed:?}");
        assert!(placed.keys().all(|path| !path.contains("/ld")), "{placed:?}");
        assert!(placed.values().all(|file| file.is_file()), "{placed:?}");
    }

    #[test]
    fn a_name_that_leads_nowhere_is_told() {
        let (mut walk, _) = walk();
        assert_eq!(walk.follow(&["libnothing.so.7".into()]).unwrap().as_deref(), Some("libnothing.so.7"));
    }

    #[test]
    fn files_of_another_architecture_do_not_count() {
        let (mut walk, program) = walk();
        walk.arch = Arch::ALL.into_iter().find(|arch| Some(*arch) != program.arch).unwrap();
        assert_eq!(walk.find("libc.so.6").unwrap(), None);
    }
}
