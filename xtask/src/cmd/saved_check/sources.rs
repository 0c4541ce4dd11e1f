//! Files of a kernel's sources that create their own kind of descriptors: they call
//! `anon_inode_getfd()` or the like, or implement /proc/PID/fdinfo.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cairn_qemu::kernels::extra;
use tempfile::TempDir;

use super::from_archive;
use crate::source::KernelSource;
use crate::workspace::Workspace;

const WORDS: &[&str] = &["anon_inode_getf", "anon_inode_create_getf", ".show_fdinfo"];
/// Files that define those functions, and files used only by tests.
const OTHER: &[&str] =
    &["fs/anon_inodes.c", "samples/", "tools/", "drivers/iommu/iommufd/selftest.c", "io_uring/mock_file.c"];

/// The C files of the newest sources in the archive.
pub fn fetch(workspace: &Workspace, source: &KernelSource) -> Result<TempDir> {
    let found = from_archive(workspace, source, extra::newest_kernel_source)?;
    eprintln!("unpacking the sources of {}", found.version);
    let dir = TempDir::new().context("make a directory for the sources")?;
    let mut tar = Command::new("tar");
    // The directory must come first: files named before it are unpacked into the current one.
    tar.arg("--extract").arg("--file").arg(&found.tarball).arg("--directory").arg(dir.path());
    let status = tar.args(["--strip-components=1", "--wildcards", "*.c"]).status().context("start tar")?;
    ensure!(status.success(), "unpack {}: {status}", found.tarball.display());
    Ok(dir)
}

/// The files, relative to the sources.
pub fn descriptor_makers(top: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let entry = entry.with_context(|| format!("read {}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|end| end == "c") {
                let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let text = String::from_utf8_lossy(&text);
                let name = path.strip_prefix(top)?.to_string_lossy().into_owned();
                let other = OTHER.iter().any(|other| name.starts_with(other)) || name.contains("/tests/");
                if !other && WORDS.iter().any(|word| text.contains(word)) {
                    found.insert(name);
                }
            }
        }
    }
    ensure!(!found.is_empty(), "{}: no file creates descriptors: not kernel sources", top.display());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_that_make_descriptors_count() {
        let top = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("fs/eventfd.c", "fd = anon_inode_getfd(\"[eventfd]\", 0);"),
            ("fs/pipe.c", "int x;"),
            ("net/socket.c", "\t.show_fdinfo =\tsock_show_fdinfo,"),
            ("samples/x.c", ".show_fdinfo"),
            ("fs/readme.txt", ".show_fdinfo"),
        ] {
            let path = top.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = descriptor_makers(top.path()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["fs/eventfd.c", "net/socket.c"]);
        assert!(descriptor_makers(tempfile::tempdir().unwrap().path()).is_err(), "an empty list is an error");
    }
}
