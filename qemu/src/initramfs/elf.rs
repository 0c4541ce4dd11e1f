//! The dynamic linking information of an ELF file (`elf(5)`): its machine, its loader, and the
//! libraries it needs.

use std::path::Path;

use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};

use super::{Error, io_error};
use crate::arch::Arch;

/// The relevant parts of an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// Its architecture; `None` if it is not supported.
    pub arch: Option<Arch>,
    /// The loader it requests; `None` for a static program and for a library.
    pub interpreter: Option<String>,
    /// The libraries it requests (`DT_NEEDED`), in order.
    pub needed: Vec<String>,
}

impl Elf {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a 64-bit ELF file.
    pub(super) fn read(path: &Path) -> Result<Elf, Error> {
        let data = std::fs::read(path).map_err(io_error("read", path))?;
        Elf::parse(&data).map_err(|what| Error::Program { path: path.to_owned(), what })
    }

    fn parse(data: &[u8]) -> Result<Elf, String> {
        let header = elf::FileHeader64::<Endianness>::parse(data)
            .map_err(|_| "not a 64-bit ELF program".to_owned())?;
        let words = |e: object::read::Error| e.to_string();
        let endian = header.endian().map_err(words)?;
        let arch = match header.e_machine(endian) {
            elf::EM_X86_64 => Some(Arch::X86_64),
            elf::EM_AARCH64 if endian == Endianness::Little => Some(Arch::Aarch64),
            elf::EM_PPC64 if endian == Endianness::Little => Some(Arch::Powerpc64le),
            _ => None,
        };
        let mut found = Elf { arch, ..Elf::default() };
        for segment in header.program_headers(endian, data).map_err(words)? {
            if let Some(path) = segment.interpreter(endian, data).map_err(words)? {
                found.interpreter = Some(text(path)?);
            }
        }
        let sections = header.sections(endian, data).map_err(words)?;
        if let Some((entries, strings)) = sections.dynamic(endian, data).map_err(words)? {
            let strings = sections.strings(endian, data, strings).map_err(words)?;
            for entry in entries.iter().take_while(|entry| entry.d_tag(endian) != elf::DT_NULL) {
                if entry.d_tag(endian) == elf::DT_NEEDED {
                    found.needed.push(text(entry.string(endian, strings).map_err(words)?)?);
                }
            }
        }
        Ok(found)
    }

    /// The architecture, if it differs from this machine's.
    pub(super) fn foreign(&self) -> Option<Arch> {
        self.arch.filter(|&arch| Arch::host() != Some(arch))
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(elf.arch, Arch::host());
        assert_eq!(elf.foreign(), None);
        assert!(elf.interpreter.is_some_and(|path| path.starts_with("/lib")));
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{:?}", elf.needed);
    }

    #[test]
    fn rubbish() {
        assert!(Elf::parse(b"").is_err());
        assert!(Elf::parse(b"\x7fELF\x02\x01\x01").is_err());
    }
}
