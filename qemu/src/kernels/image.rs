//! A kernel image without a package around it: which release it is. Reads the header of x86's boot protocol
//! (`Documentation/arch/x86/boot.rst`, 6.12).

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How much of an image is read; the header and its version string lie in the first sectors.
const HEAD: u64 = 64 * 1024;

/// The release (`uname -r`) that a bzImage says it is, or why none can be told.
///
/// # Errors
/// In words, when it cannot be read or is no bzImage.
pub fn release_of(path: &Path) -> Result<String, String> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|e| format!("read: {e}"))?;
    release_in(&head).map(str::to_owned).ok_or_else(|| "not an x86 bzImage".to_owned())
}

fn release_in(head: &[u8]) -> Option<&str> {
    // 0x202 "HdrS"; 0x20e: offset of the version string, counted from 0x200.
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = usize::from(u16::from_le_bytes(head.get(0x20e..0x210)?.try_into().ok()?));
    if offset == 0 {
        return None;
    }
    let text = head.get(offset + 0x200..)?;
    let text = &text[..text.iter().position(|&b| b == 0)?];
    std::str::from_utf8(text).ok()?.split(' ').next().filter(|release| !release.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 0x300];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
        head[0x280..0x280 + text.len()].copy_from_slice(text);
        head
    }

    #[test]
    fn the_release_is_the_first_word() {
        assert_eq!(release_in(&image(b"6.12.1-x (a@b) #1 SMP\0")), Some("6.12.1-x"));
    }

    #[test]
    fn rubbish() {
        assert_eq!(release_in(b""), None);
        assert_eq!(release_in(&[0; 0x400]), None);
        assert_eq!(release_in(&image(&[b'x'; 0x80])), None);
        assert_eq!(release_in(&image(b"\0")), None);
    }
}
