//! What a dynamically linked program needs at run time: its loader and its libraries, at the paths it will look for.
//!
//! The program's own loader is asked (`ld.so --list`, `ld.so(8)`), so run paths, the cache and hardware-capability
//! directories come out as they do on this machine. That works for programs that this machine can run; a program for
//! another architecture has to be linked statically.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

use super::{Error, io_error};

/// The files a program loads: guest path to file of this machine. Empty for a static program.
///
/// # Errors
/// When the program cannot be read or is no ELF file, or a library is missing.
pub fn needed(program: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let Some(loader) = interpreter(program)? else { return Ok(BTreeMap::new()) };
    let mut files = list(&loader, program)?;
    files.insert(loader.clone(), PathBuf::from(loader));
    Ok(files)
}

/// The files that a library, which programs open by name while they run, needs: itself first of all.
/// `like` is a program whose loader decides where the library is.
pub(super) fn library(name: &str, like: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let Some(loader) = interpreter(like)? else { return Ok(BTreeMap::new()) };
    // The loader lists dependencies of a file; the library itself is found as a dependency by preloading it.
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

/// The loader that a program asks for; none for a static one.
fn interpreter(program: &Path) -> Result<Option<String>, Error> {
    let data = std::fs::read(program).map_err(io_error("read", program))?;
    let wrong = |what: String| Error::Program { path: program.to_owned(), what };
    let header = elf::FileHeader64::<Endianness>::parse(&*data)
        .map_err(|_| wrong("not a 64-bit ELF program".to_owned()))?;
    let endian = header.endian().map_err(|e| wrong(e.to_string()))?;
    for segment in header.program_headers(endian, &*data).map_err(|e| wrong(e.to_string()))? {
        if let Some(path) = segment.interpreter(endian, &*data).map_err(|e| wrong(e.to_string()))? {
            let path = std::str::from_utf8(path).map_err(|e| wrong(e.to_string()))?;
            return Ok(Some(path.to_owned()));
        }
    }
    Ok(None)
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

/// Reads `ld.so --list`: `name => /path (0x…)`, `/path (0x…)`, and the vDSO, which has no path.
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
        let files = needed(&std::env::current_exe().unwrap()).unwrap();
        assert!(files.keys().any(|path| path.contains("libc.so")), "{files:?}");
        assert!(files.values().all(|path| path.is_file()), "{files:?}");
    }

    #[test]
    fn a_text_file_is_no_program() {
        assert!(matches!(needed(Path::new("/etc/passwd")), Err(Error::Program { .. })));
    }
}
