//! memfd_create(2): a file in memory that never had a name in a directory. Its contents, owner,
//! mode, times and attributes are those of [`super::unlinked::Unlinked`].

use super::inode::Observed;
use super::unlinked::set_flags;
use super::{Identity, Kind, Made, Verbs, Way};
use crate::error::{Context, Result};
use crate::resource::bytes::PathBytes;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// What a memfd has beyond an unlinked file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memfd {
    /// Name given to memfd_create(2), without the `memfd:` that /proc puts before it.
    pub name: PathBytes,
    /// `F_SEAL_*`
    pub seals: u32,
}

/// `F_SEAL_EXEC`, include/uapi/linux/fcntl.h (Linux 6.3): the executable bits stay as they are.
const SEAL_EXEC: SealFlags = SealFlags::from_bits_retain(0x20);
/// include/uapi/linux/memfd.h (Linux 6.3)
const NOEXEC_SEAL: MemfdFlags = MemfdFlags::from_bits_retain(0x8);
const EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
/// include/uapi/linux/magic.h
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;
/// The longest name, MFD_NAME_MAX_LEN in mm/memfd.c.
const LONGEST: usize = 249;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    let name = seen.link.0.strip_prefix(b"/memfd:")?.strip_suffix(b" (deleted)")?;
    // A file may have had such a name in the root directory, but is on another file system.
    let device = match seen.file_system {
        HUGETLBFS_MAGIC => return Some(Err(seen.refuse_kind("a memfd in huge pages"))),
        _ => own_device(),
    };
    let is_ours = device.map(|device| seen.meta.dev() == device);
    let read = || {
        let file = seen.borrow().context(|| format!("{}: open the memfd", seen.at()))?;
        let seals = rustix::fs::fcntl_get_seals(&file).context(|| format!("{}: read seals", seen.at()))?;
        Ok(Kind::Memfd(Memfd { name: PathBytes(name.to_vec()), seals: seals.bits() }))
    };
    match is_ours {
        Ok(true) => Some(read()),
        Ok(false) => None,
        Err(err) => Some(Err(err)),
    }
}

/// Device number of the kernel's own tmpfs, which every memfd is in.
fn own_device() -> Result<u64> {
    let own = create(c"cairn", MemfdFlags::empty()).context(|| "make a memfd")?;
    Ok(own.metadata().context(|| "stat a memfd")?.dev())
}

fn create(name: &std::ffi::CStr, flags: MemfdFlags) -> Result<File, Errno> {
    rustix::fs::memfd_create(name, flags | MemfdFlags::CLOEXEC).map(File::from)
}

impl Memfd {
    fn seals(&self) -> SealFlags {
        SealFlags::from_bits_retain(self.seals)
    }
}

impl Verbs for Memfd {
    fn name(&self) -> &'static str {
        "memfd"
    }

    fn title(&self, index: usize) -> String {
        format!("memfd {index} ({})", self.name)
    }

    fn identity(&self) -> Identity {
        Identity::Inode
    }

    fn holds_content(&self) -> bool {
        true
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let fits = self.name.0.len() <= LONGEST && !self.name.0.contains(&0);
        if fits { Ok(()) } else { Err("an invalid name of a memfd".into()) }
    }

    fn create(&self) -> Result<File> {
        let what = || format!("make memfd ({})", self.name);
        let name = CString::new(self.name.0.clone()).context(what)?;
        // The mode and the recorded seals follow.
        let made = match create(&name, MemfdFlags::ALLOW_SEALING | EXEC) {
            // Before Linux 6.3 (105ff5339f49) there was no such choice.
            Err(Errno::INVAL) => create(&name, MemfdFlags::ALLOW_SEALING),
            // By the sysctl vm.memfd_noexec.
            Err(Errno::ACCESS) if self.seals().contains(SEAL_EXEC) => {
                create(&name, MemfdFlags::ALLOW_SEALING | NOEXEC_SEAL)
            }
            made => made,
        };
        made.context(what)
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        Ok(Box::new(Descriptions { has_first: false }))
    }

    /// A seal against future writes does not affect mappings that exist; every other one can be set
    /// as soon as the contents are there.
    fn is_sealed_last(&self) -> bool {
        let seals = self.seals();
        seals.contains(SealFlags::FUTURE_WRITE) && !seals.contains(SealFlags::WRITE)
    }

    fn seal(&self, made: &File) -> Result<()> {
        let what = || format!("seal memfd ({})", self.name);
        let now = rustix::fs::fcntl_get_seals(made).context(what)?;
        let missing = self.seals() - now;
        if missing.is_empty() {
            return Ok(());
        }
        rustix::fs::fcntl_add_seals(made, missing).context(what)
    }
}

/// The description that memfd_create(2) returns does not keep the file from being executed, as one
/// that was opened for writing does (`i_writecount`; `alloc_file_pseudo` in fs/file_table.c). So it
/// becomes the first one for reading and writing.
struct Descriptions {
    has_first: bool,
}

impl Made for Descriptions {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let is_like_first = flags & (libc::O_ACCMODE | libc::O_PATH) == libc::O_RDWR;
        match way.created.filter(|_| is_like_first && !self.has_first) {
            None => way.open(flags),
            Some(created) => {
                self.has_first = true;
                let fd = OwnedFd::from(created.try_clone().context(|| "duplicate a memfd")?);
                set_flags(&fd, flags)?;
                Ok(fd)
            }
        }
    }
}

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Memfd)) {
    for inode in &mut records.inodes {
        if let Kind::Memfd(memfd) = &mut inode.kind {
            change(memfd);
        }
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "memfd-seals-lost",
        what: "a memfd can be written, though it was sealed",
        commit: |r| each(r, |memfd| memfd.seals = 0),
    },
    crate::resource::fault::Fault {
        name: "memfd-name-lost",
        what: "a memfd loses its name",
        commit: |r| each(r, |memfd| memfd.name.0.clear()),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::io::Write;

    #[rstest]
    #[case::none(SealFlags::empty())]
    #[case::no_more(SealFlags::SEAL)]
    #[case::size(SealFlags::GROW | SealFlags::SHRINK)]
    #[case::everything(SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)]
    #[case::future(SealFlags::FUTURE_WRITE)]
    fn seals_come_after_the_contents(#[case] seals: SealFlags) {
        let memfd = Memfd { name: PathBytes(b"a name".to_vec()), seals: seals.bits() };
        let mut made = memfd.create().unwrap();
        made.write_all(b"contents").unwrap();
        memfd.seal(&made).unwrap();
        memfd.seal(&made).unwrap();
        assert_eq!(rustix::fs::fcntl_get_seals(&made).unwrap(), seals);
        let link = std::fs::read_link(crate::sys::file::link_to(&made)).unwrap();
        assert_eq!(link.as_os_str(), "/memfd:a name (deleted)");
        assert_eq!(made.metadata().unwrap().dev(), own_device().unwrap());
        let writable = !seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE);
        assert_eq!(made.write_all(b"!").is_ok(), writable && !seals.contains(SealFlags::GROW));
    }
}
