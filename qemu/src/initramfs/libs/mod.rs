//! The run-time dependencies of a dynamically linked program: its loader and its libraries, at the
//! paths where it looks for them.
//!
//! For a program that this machine can run, its own loader lists them (`ld.so --list`, `ld.so(8)`),
//! so that run paths, the cache and hardware-capability directories apply as they do here. For a
//! program of another architecture ([`foreign`]) the requested names are looked up in the
//! directories of that architecture's libraries.

mod foreign;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::elf::Elf;
use super::{Error, io_error};
use crate::arch::Arch;

/// The files a program loads: guest path to file of this machine. Empty for a static program.
///
/// # Errors
/// When the program cannot be read or is not an ELF file, or a library is missing.
pub fn needed(program: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let elf = Elf::read(program)?;
    let Some(loader) = elf.interpreter.clone() else { return Ok(BTreeMap::new()) };
    match elf.foreign() {
        Some(arch) => foreign::needed(program, &elf, &loader, arch),
        None => {
            let mut files = list(&loader, program)?;
            files.insert(loader.clone(), PathBuf::from(loader));
            Ok(files)
        }
    }
}

/// The files of a library that programs open by name at run time, with its dependencies. `like` is
/// a program whose loader determines where the library is.
pub(super) fn library(name: &str, like: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let elf = Elf::read(like)?;
    let Some(loader) = elf.interpreter.clone() else { return Ok(BTreeMap::new()) };
    if let Some(arch) = elf.foreign() {
        return foreign::library(name, arch);
    }
    // The loader lists only the dependencies of a file; preloading makes the library one of them.
    let output = Command::new(&loader)
        .args(["--preload", name, "--list"])
        .arg(like)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("run", Path::new(&loader)))?;
    let files =
        parse(&String::from_utf8_lossy(&output.stdout)).map_err(|_| Error::Library(name.to_owned()))?;
    let own = |path: &String| path.rsplit('/').next() == Some(name);
    if !output.status.success() || !files.keys().any(own) {
        return Err(Error::Library(name.to_owned()));
    }
    Ok(files)
}

fn list(loader: &str, program: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let output = Command::new(loader)
        .arg("--list")
        .arg(program)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("run", Path::new(loader)))?;
    let wrong = |what: String| Error::Program { path: program.to_owned(), what };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(wrong(said.lines().next().unwrap_or("its loader refuses it").to_owned()));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|name| wrong(format!("needs {name}, which is not installed")))
}

/// Parses `ld.so --list`: `name => /path (0x…)`, `/path (0x…)`, and the vDSO, which has no path.
/// The error is the name of a library that was not found.
fn parse(text: &str) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut files = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.rsplit_once(" (0x").map_or(line, |(line, _)| line);
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        if path == "not found" {
            return Err(name.to_owned());
        }
        if path.starts_with('/') {
            files.insert(path.to_owned(), PathBuf::from(path));
        }
    }
    Ok(files)
}

/// The architecture of a program, by its ELF header.
///
/// # Errors
/// When it cannot be read, or is not a 64-bit ELF file of a supported architecture.
pub fn arch_of(program: &Path) -> Result<Arch, Error> {
    let unknown = || Error::Program { path: program.to_owned(), what: "of an unknown architecture".into() };
    Elf::read(program)?.arch.ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list() {
        let files = parse(
            "\tlinux-vdso.so.1 (0x00007ffd4a5f2000)\n\
             \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f0000000000)\n\
             \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0000100000)\n\
             \t/lib64/ld-linux-x86-64.so.2 (0x00007f0000300000)\n",
        )
        .unwrap();
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert_eq!(parse("\tlibx.so => not found\n"), Err("libx.so".to_owned()));
        assert_eq!(parse("\tstatically linked\n"), Ok(BTreeMap::new()));
    }

    #[test]
    fn this_test_program_needs_libc() {
        let program = std::env::current_exe().unwrap();
        let files = needed(&program).unwrap();
        assert!(files.keys().any(|path| path.contains("libc.so")), "{files:?}");
        assert!(files.values().all(|path| path.is_file()), "{files:?}");
        assert_eq!(Some(arch_of(&program).unwrap()), Arch::host());
    }

    #[test]
    fn a_text_file_is_no_program() {
        assert!(matches!(needed(Path::new("/etc/passwd")), Err(Error::Program { .. })));
    }
}
