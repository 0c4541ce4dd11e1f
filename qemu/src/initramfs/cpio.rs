//! A tree of files as a `newc` cpio archive, which is reproducible byte for byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cpio::newc::Builder;
use sha2::{Digest, Sha256};

use super::{Error, io_error};

/// The content of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A directory.
    Dir { mode: u32 },
    /// A file of the host, copied when the archive is written.
    File { host: PathBuf, mode: u32 },
    /// A file with this content.
    Bytes { data: Vec<u8>, mode: u32 },
    /// A symbolic link.
    Link { target: String },
    /// A character device.
    Device { mode: u32, major: u32, minor: u32 },
}

/// Paths without a leading slash, parents before children.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Node>);

/// Mount points of PID 1: files of an archive below them would be hidden.
const COVERED: &[&str] = &["dev", "proc", "run", "sys", "tmp"];

/// A write failure, and the file that caused it.
#[derive(Debug)]
pub(super) struct WriteError {
    source: io::Error,
    /// The input that cannot be read; absent if writing the output failed.
    input: Option<PathBuf>,
}

impl WriteError {
    pub(super) fn at(self, dest: &Path) -> Error {
        match self.input {
            Some(input) => io_error("read", &input)(self.source),
            None => io_error("write", dest)(self.source),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> Self {
        WriteError { source, input: None }
    }
}

impl Tree {
    /// Adds a node at an absolute guest path and creates its parents. Adding the same node twice is
    /// allowed.
    pub(super) fn put(&mut self, path: &str, node: Node) -> Result<(), Error> {
        let path = path.trim_matches('/').to_owned();
        if let Some((top, _)) = path.split_once('/')
            && COVERED.contains(&top)
            && !matches!(node, Node::Device { .. })
        {
            return Err(Error::Hidden(format!("/{path}")));
        }
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            let parent = &path[..at + slash];
            self.0.entry(parent.to_owned()).or_insert(Node::Dir { mode: 0o755 });
            at += slash + 1;
        }
        match self.0.get(&path) {
            Some(old) if *old == node => Ok(()),
            // A directory created implicitly gets the mode given now.
            Some(Node::Dir { .. }) if matches!(node, Node::Dir { .. }) => {
                self.0.insert(path, node);
                Ok(())
            }
            Some(_) => Err(Error::Conflict(format!("/{path}"))),
            None => {
                self.0.insert(path, node);
                Ok(())
            }
        }
    }

    /// Whether this absolute path exists.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path.trim_matches('/'))
    }

    /// The digest of paths, modes and contents, in hexadecimal. A host file is hashed by its
    /// content.
    pub(super) fn digest(&self) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        for (path, node) in &self.0 {
            hasher.update(format!("{path}\0"));
            match node {
                Node::Dir { mode } => hasher.update(format!("d{mode:o}\0")),
                Node::Link { target } => hasher.update(format!("l{target}\0")),
                Node::Device { mode, major, minor } => {
                    hasher.update(format!("c{mode:o} {major}:{minor}\0"));
                }
                Node::Bytes { data, mode } => {
                    hasher.update(format!("f{mode:o} {}\0", data.len()));
                    hasher.update(data);
                }
                Node::File { host, mode } => {
                    let mut file = File::open(host).map_err(io_error("open", host))?;
                    let size = file.metadata().map_err(io_error("stat", host))?.len();
                    hasher.update(format!("f{mode:o} {size}\0"));
                    io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(io_error("read", host))?;
                }
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Writes the archive. Owner, inode numbers and times do not depend on the host.
    pub(super) fn write(&self, mut out: impl Write) -> Result<(), WriteError> {
        const DIR: u32 = 0o040_000;
        const REG: u32 = 0o100_000;
        const LNK: u32 = 0o120_000;
        const CHR: u32 = 0o020_000;
        for (number, (path, node)) in (1u32..).zip(&self.0) {
            let mut entry = Builder::new(path).ino(number).nlink(1).mtime(0);
            let (mode, data) = match node {
                Node::Dir { mode } => (DIR | mode, Vec::new()),
                Node::Link { target } => (LNK | 0o777, target.clone().into_bytes()),
                Node::Device { mode, major, minor } => {
                    entry = entry.rdev_major(*major).rdev_minor(*minor);
                    (CHR | mode, Vec::new())
                }
                Node::Bytes { data, mode } => (REG | mode, data.clone()),
                Node::File { host, mode } => {
                    let data =
                        fs::read(host).map_err(|source| WriteError { source, input: Some(host.clone()) })?;
                    (REG | mode, data)
                }
            };
            let size = u32::try_from(data.len()).map_err(|_| io::Error::other("a file of over 4 GiB"))?;
            let mut writer = entry.mode(mode).write(&mut out, size);
            writer.write_all(&data)?;
            writer.finish()?;
        }
        cpio::newc::trailer(&mut out)?;
        out.flush()?;
        Ok(())
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn bytes(text: &str) -> Node {
        Node::Bytes { data: text.as_bytes().to_vec(), mode: 0o644 }
    }

    #[test]
    fn parents_come_first_and_content_survives() {
        let mut tree = Tree::default();
        tree.put("/usr/lib/x", bytes("hello")).unwrap();
        tree.put("/bin/sh", Node::Link { target: "busybox".into() }).unwrap();
        tree.put("/tmp", Node::Dir { mode: 0o1777 }).unwrap();
        let mut archive = Vec::new();
        tree.write(&mut archive).unwrap();
        let mut rest = &archive[..];
        let mut seen = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            seen.push(format!("{mode:o} {name} {content}"));
            rest = reader.finish().unwrap();
        }
        insta::assert_snapshot!(seen.join("\n"), @"
        40755 bin 
        120777 bin/sh busybox
        41777 tmp 
        40755 usr 
        40755 usr/lib 
        100644 usr/lib/x hello
        ");
        assert_eq!(archive.len() % 4, 0, "a second archive behind it must be aligned");
    }

    #[test]
    fn the_digest_follows_content() {
        let mut one = Tree::default();
        one.put("/a", bytes("1")).unwrap();
        let mut two = Tree::default();
        two.put("a", bytes("2")).unwrap();
        assert_ne!(one.digest().unwrap(), two.digest().unwrap());
        assert_eq!(one.digest().unwrap(), one.digest().unwrap());
    }

    #[test]
    fn what_nobody_could_see_is_refused() {
        let error = Tree::default().put("/tmp/x", bytes("1")).unwrap_err();
        assert!(matches!(error, Error::Hidden(_)), "{error}");
    }

    #[test]
    fn conflicts_are_told() {
        let mut tree = Tree::default();
        tree.put("/a", bytes("1")).unwrap();
        tree.put("/a", bytes("1")).unwrap();
        assert!(matches!(tree.put("/a", bytes("2")), Err(Error::Conflict(_))));
    }
}
