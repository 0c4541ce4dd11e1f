//! A kernel image without a package: its architecture and release.
//!
//! x86's boot protocol has a header with the release (`Documentation/arch/x86/boot.rst`, 6.12). The
//! images of the other architectures are the uncompressed kernel (arm64's has a header of its own,
//! `Documentation/arch/arm64/booting.rst`; POWER's is the ELF file), so they contain the banner
//! that the kernel prints at boot (`init/version-timestamp.c`).

use std::fs;
use std::path::Path;

use crate::arch::Arch;

/// Architecture and release of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its architecture.
    pub arch: Arch,
    /// `uname -r`.
    pub release: String,
}

/// Reads an image.
///
/// # Errors
/// A message, when it cannot be read or has an unknown format.
pub fn about(path: &Path) -> Result<About, String> {
    let image = fs::read(path).map_err(|e| format!("read: {e}"))?;
    parse(&image).map_err(str::to_owned)
}

fn parse(image: &[u8]) -> Result<About, &'static str> {
    let at = |offset: usize, magic: &[u8]| image.get(offset..offset + magic.len()) == Some(magic);
    let (arch, release) = if at(0x202, b"HdrS") {
        (Arch::X86_64, x86_release(image))
    } else if at(0x38, b"ARM\x64") {
        (Arch::Aarch64, banner_release(image))
    } else if at(0, b"\x7fELF\x02\x01") && at(0x12, &[21, 0]) {
        // 64-bit, little-endian, EM_PPC64.
        (Arch::Powerpc64le, banner_release(image))
    } else if at(4, b"zimg") || at(0, &[0x1f, 0x8b]) {
        return Err("a compressed image, which QEMU's direct boot does not take: give the Image itself");
    } else {
        return Err("neither an x86 bzImage, an arm64 Image nor a powerpc64le vmlinux");
    };
    let release = release.ok_or("it does not say which release it is")?.to_owned();
    Ok(About { arch, release })
}

fn x86_release(image: &[u8]) -> Option<&str> {
    // 0x20e: offset of the version string, counted from 0x200.
    let offset = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?));
    if offset == 0 {
        return None;
    }
    first_word(image.get(offset + 0x200..)?)
}

fn banner_release(image: &[u8]) -> Option<&str> {
    const BANNER: &[u8] = b"Linux version ";
    let starts = image.windows(BANNER.len()).enumerate().filter(|(_, window)| *window == BANNER);
    starts.map(|(at, _)| &image[at + BANNER.len()..]).find_map(|rest| {
        // The format string of /proc/version has the same prefix, followed by a percent sign.
        first_word(rest).filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn first_word(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|&b| b == 0 || b == b' ')?;
    std::str::from_utf8(&text[..end]).ok().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn x86(text: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 0x300];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
        head[0x280..0x280 + text.len()].copy_from_slice(text);
        head
    }

    fn with_banner(magics: &[(usize, &[u8])]) -> Vec<u8> {
        let mut image = vec![0; 0x100];
        for (at, magic) in magics {
            image[*at..at + magic.len()].copy_from_slice(magic);
        }
        image.extend(b"Linux version %s (%s)\n\0Linux version 6.12.1-x (a@b) #1 SMP\0");
        image
    }

    #[rstest]
    #[case(x86(b"6.12.1-x (a@b) #1 SMP\0"), Arch::X86_64)]
    #[case(with_banner(&[(0, b"MZ"), (0x38, b"ARM\x64")]), Arch::Aarch64)]
    #[case(with_banner(&[(0, b"\x7fELF\x02\x01\x01"), (0x12, &[21, 0])]), Arch::Powerpc64le)]
    fn architecture_and_release(#[case] image: Vec<u8>, #[case] arch: Arch) {
        assert_eq!(parse(&image), Ok(About { arch, release: "6.12.1-x".to_owned() }));
    }

    #[rstest]
    #[case(Vec::new(), "neither")]
    #[case(vec![0; 0x400], "neither")]
    #[case(with_banner(&[(0, b"\x7fELF\x02\x01\x01"), (0x12, &[62, 0])]), "neither")]
    #[case(with_banner(&[(0, b"MZ"), (4, b"zimg")]), "compressed")]
    #[case(x86(&[b'x'; 0x80]), "does not say")]
    #[case(x86(b"\0"), "does not say")]
    fn rubbish(#[case] image: Vec<u8>, #[case] why: &str) {
        let error = parse(&image).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
