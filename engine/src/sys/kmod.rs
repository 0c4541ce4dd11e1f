//! The kernel module's device: the mirror of `kmod/uapi/cairn.h`, and its ioctls.
//!
//! Every structure and constant of that header has its counterpart here and a line in [`layout`]. `cargo xtask
//! header-check` compares that with what a C compiler makes of the header. The rules of the ABI stand in the header.

use super::cvt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `CAIRN_ABI_VERSION`: what this program was written for.
pub const ABI_VERSION: u32 = 1;
/// `CAIRN_DEVICE`
pub const DEVICE: &str = "/dev/cairn";
/// `CAIRN_IOC_TYPE`
pub const IOC_TYPE: u32 = 0xC7;
/// `CAIRN_FEATURE_ACCESS`: the module can judge whether the caller may reach into another task.
pub const FEATURE_ACCESS: u64 = 1 << 0;
/// `CAIRN_IOC_ABOUT`
pub const IOC_ABOUT: libc::Ioctl = libc::_IO(IOC_TYPE, 0x00);

/// What features are called, bit by bit.
const FEATURES: &[(u64, &str)] = &[(FEATURE_ACCESS, "access")];

/// `struct cairn_about`: what the loaded module is and can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct About {
    /// Bytes of this structure.
    pub size: u32,
    /// `CAIRN_ABI_VERSION` of the module.
    pub abi_version: u32,
    /// `FEATURE_*`
    pub features: u64,
    /// Its version, ended by a zero byte.
    pub version: [u8; 32],
    /// SHA-256 of its sources in hexadecimal digits, ended by a zero byte.
    pub source: [u8; 72],
}

impl About {
    /// The module's version.
    pub fn version(&self) -> String {
        text(&self.version)
    }

    /// The digest of its sources; empty when its build did not know it.
    pub fn source(&self) -> String {
        text(&self.source)
    }

    /// The names of its features; of one that this program does not know the bit.
    pub fn features(&self) -> Vec<String> {
        let bits = (0..u64::BITS).map(|bit| 1 << bit).filter(|bit| self.features & bit != 0);
        bits.map(|bit| match FEATURES.iter().find(|(known, _)| *known == bit) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{bit:#x}"),
        })
        .collect()
    }

    /// Whether this program speaks the module's ABI.
    pub fn is_spoken(&self) -> bool {
        self.abi_version == ABI_VERSION
    }
}

/// The text before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The open device.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Opens it.
    ///
    /// # Errors
    /// ENOENT when the module is not loaded, EACCES when the device is not for us.
    pub fn open() -> io::Result<Device> {
        File::options().read(true).write(true).open(DEVICE).map(Device)
    }

    /// Asks the module what it is.
    ///
    /// # Errors
    /// ENOTTY when the device is somebody else's.
    pub fn about(&self) -> io::Result<About> {
        let mut about = About {
            size: size_of::<About>() as u32,
            abi_version: 0,
            features: 0,
            version: [0; 32],
            source: [0; 72],
        };
        // SAFETY: `about` is live and exclusive for the call, and tells its own size, beyond which nothing is written.
        cvt(unsafe { libc::ioctl(self.0.as_raw_fd(), IOC_ABOUT, &mut about) }.into())?;
        Ok(about)
    }
}

/// One line for everything in the header, as `cargo xtask header-check` reads it: `struct NAME SIZE`,
/// `field STRUCT.NAME OFFSET SIZE`, `const NAME VALUE`.
pub fn layout() -> Vec<String> {
    macro_rules! constants {
        ($lines:ident: $($name:literal = $value:expr),* $(,)?) => {
            $($lines.push(format!("const {} {}", $name, $value));)*
        };
    }
    macro_rules! structure {
        ($lines:ident: $name:literal = $rust:ident { $($field:ident),* $(,)? }) => {
            $lines.push(format!("struct {} {}", $name, size_of::<$rust>()));
            $($lines.push(format!(
                "field {}.{} {} {}",
                $name,
                stringify!($field),
                std::mem::offset_of!($rust, $field),
                size_of_field(|s: &$rust| &raw const s.$field),
            ));)*
        };
    }
    let mut lines = Vec::new();
    constants!(lines:
        "CAIRN_ABI_VERSION" = ABI_VERSION,
        "CAIRN_DEVICE" = DEVICE,
        "CAIRN_IOC_TYPE" = IOC_TYPE,
        "CAIRN_FEATURE_ACCESS" = FEATURE_ACCESS,
        "CAIRN_IOC_ABOUT" = IOC_ABOUT,
    );
    structure!(lines: "cairn_about" = About { size, abi_version, features, version, source });
    lines
}

/// The size of what a projection leads to.
fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
    size_of::<F>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_bits() {
        let mut about =
            About { size: 120, abi_version: 1, features: 1 | 1 << 40, version: [b'1'; 32], source: [0; 72] };
        assert_eq!(about.features(), ["access", "0x10000000000"]);
        assert_eq!((about.version().len(), about.source()), (32, String::new()));
        assert!(about.is_spoken());
        about.abi_version = 2;
        assert!(!about.is_spoken());
    }

    #[test]
    fn the_layout_tells_every_field() {
        let lines = layout();
        assert!(lines.contains(&"struct cairn_about 120".to_owned()), "{lines:?}");
        assert!(lines.contains(&"field cairn_about.source 48 72".to_owned()), "{lines:?}");
        assert!(lines.contains(&"const CAIRN_ABI_VERSION 1".to_owned()), "{lines:?}");
    }
}
