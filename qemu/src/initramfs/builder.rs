//! Builds a base file system.

use std::fs;
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cpio::{Node, Tree};
use super::modules::Store;
use super::{Error, io_error, label, libs};
use crate::cache::Cache;
use crate::job::MODULES_PATH;
use crate::kernels::Kernel;
use crate::machine::Machine;

/// Collects the contents of the guest's file system. Guest paths are absolute.
pub struct Builder<'a> {
    kernel: &'a Kernel,
    tree: Tree,
    store: Store,
    /// Modules in load order.
    load: Vec<String>,
    /// A dynamically linked program of the guest, whose loader finds further libraries.
    like: Option<PathBuf>,
}

/// Modules that the kernel asks modprobe(8) for, which guests do not have: sock_diag(7), nf_tables,
/// and the checksum that its dependency libcrc32c asks for by the algorithm's name.
const ON_DEMAND: &[&str] = &[
    "unix_diag",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "raw_diag",
    "netlink_diag",
    "af_packet_diag",
    "crc32c_generic",
    "nf_tables",
];

impl<'a> Builder<'a> {
    /// A file system with PID 1, its mount points, and the modules that the machine's console,
    /// result port and entropy source need. `init` is the program `cairn-init` on this machine.
    ///
    /// # Errors
    /// When `init` or a module cannot be read.
    pub fn new(kernel: &'a Kernel, init: &Path) -> Result<Builder<'a>, Error> {
        let store = Store::open(kernel)?;
        let mut builder = Builder { kernel, tree: Tree::default(), store, load: Vec::new(), like: None };
        for (dir, mode) in [
            ("/dev", 0o755),
            ("/proc", 0o555),
            ("/sys", 0o555),
            ("/run", 0o755),
            ("/tmp", 0o1777),
            ("/root", 0o700),
            ("/etc", 0o755),
            ("/bin", 0o755),
            ("/var/tmp", 0o1777),
        ] {
            builder.tree.put(dir, Node::Dir { mode })?;
        }
        // The kernel opens the console for PID 1 before devtmpfs is mounted, and a program without
        // descriptors 0 to 2 opens the null device at startup.
        builder.tree.put("/dev/console", Node::Device { mode: 0o600, major: 5, minor: 1 })?;
        builder.tree.put("/dev/null", Node::Device { mode: 0o666, major: 1, minor: 3 })?;
        builder.tree.put(
            "/etc/passwd",
            text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        )?;
        builder.tree.put("/etc/group", text("root:x:0:\nnogroup:x:65534:\n"))?;
        builder.tree.put("/etc/hosts", text("127.0.0.1 localhost\n::1 localhost\n"))?;
        builder = builder.program(init, "/init")?;
        builder.optional_modules(Machine::of(kernel.arch).modules)?.optional_modules(ON_DEMAND)
    }

    /// Adds a program, and its loader and libraries if it is dynamically linked.
    ///
    /// # Errors
    /// When it cannot be read, is for another architecture than the kernel, or a library it needs
    /// is missing.
    pub fn program(mut self, host: &Path, guest: &str) -> Result<Self, Error> {
        let arch = libs::arch_of(host)?;
        if arch != self.kernel.arch {
            let what = format!("a program for {arch}; the guest is {}", self.kernel.arch);
            return Err(Error::Program { path: host.to_owned(), what });
        }
        let files = libs::needed(host)?;
        if !files.is_empty() && self.like.is_none() {
            self.like = Some(host.to_owned());
        }
        self.put_files(files)?;
        self.tree.put(guest, Node::File { host: host.to_owned(), mode: 0o755 })?;
        Ok(self)
    }

    /// Adds a library that programs open by name at run time (`libgcc_s.so.1`), with its
    /// dependencies. Does nothing as long as no dynamically linked program has been added.
    ///
    /// # Errors
    /// When the library is not on this machine.
    pub fn library(mut self, name: &str) -> Result<Self, Error> {
        if let Some(like) = &self.like {
            let files = libs::library(name, like)?;
            self.put_files(files)?;
        }
        Ok(self)
    }

    /// Adds a file of this machine, with its permission bits.
    ///
    /// # Errors
    /// When it cannot be read, or the path is taken.
    pub fn file(mut self, host: &Path, guest: &str) -> Result<Self, Error> {
        let mode = fs::metadata(host).map_err(io_error("stat", host))?.permissions().mode() & 0o7777;
        self.tree.put(guest, Node::File { host: host.to_owned(), mode })?;
        Ok(self)
    }

    /// Adds a file with this content.
    ///
    /// # Errors
    /// When the path is taken.
    pub fn bytes(mut self, guest: &str, data: Vec<u8>, mode: u32) -> Result<Self, Error> {
        self.tree.put(guest, Node::Bytes { data, mode })?;
        Ok(self)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// When the path is taken.
    pub fn symlink(mut self, guest: &str, target: &str) -> Result<Self, Error> {
        self.tree.put(guest, Node::Link { target: target.to_owned() })?;
        Ok(self)
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// When the path is taken.
    pub fn dir(mut self, guest: &str, mode: u32) -> Result<Self, Error> {
        self.tree.put(guest, Node::Dir { mode })?;
        Ok(self)
    }

    /// Whether this guest path exists.
    pub fn has(&self, guest: &str) -> bool {
        self.tree.has(guest)
    }

    /// Adds modules and their dependencies; PID 1 loads them in this order. Built-in modules are
    /// skipped.
    ///
    /// # Errors
    /// When the kernel has no such module.
    pub fn modules<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        for name in names {
            self.module(name.as_ref())?;
        }
        Ok(self)
    }

    /// The same for optional modules; missing ones are skipped.
    ///
    /// # Errors
    /// When a module's file cannot be read.
    pub fn optional_modules<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        for name in names {
            match self.module(name.as_ref()) {
                Ok(()) | Err(Error::Module { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(self)
    }

    fn module(&mut self, name: &str) -> Result<(), Error> {
        for module in self.store.closure(name)? {
            let path = format!("/lib/modules/{}/{}.ko", self.kernel.release, module.name);
            if !self.load.contains(&path) {
                self.tree.put(&path, Node::Bytes { data: module.data, mode: 0o644 })?;
                self.load.push(path);
            }
        }
        Ok(())
    }

    fn put_files(&mut self, files: std::collections::BTreeMap<String, PathBuf>) -> Result<(), Error> {
        for (guest, host) in files {
            self.tree.put(&guest, Node::File { host, mode: 0o755 })?;
        }
        Ok(())
    }

    /// Writes the base into the cache, unless one of the same content is there. Returns its path.
    ///
    /// # Errors
    /// When a file cannot be read, or the archive cannot be written.
    pub fn build(mut self, cache: &Cache) -> Result<PathBuf, Error> {
        let list: String = self.load.iter().map(|path| format!("{path}\n")).collect();
        self.tree.put(MODULES_PATH, text(&list))?;
        let dir = cache.dir("initramfs")?;
        let dest = dir.join(format!("{}-{}.cpio", label(self.kernel), &self.tree.digest()?[..24]));
        // Excludes other processes, which could otherwise remove a new base as an old one.
        let _lock = cache.lock("initramfs")?;
        if let Ok(file) = fs::File::options().append(true).open(&dest) {
            file.set_modified(SystemTime::now()).map_err(io_error("touch", &dest))?;
            return Ok(dest);
        }
        let mut staging = tempfile::Builder::new()
            .suffix(".tmp")
            .tempfile_in(&dir)
            .map_err(io_error("create a file in", &dir))?;
        self.tree.write(BufWriter::new(staging.as_file_mut())).map_err(|e| e.at(&dest))?;
        staging.persist(&dest).map_err(|e| io_error("rename into", &dest)(e.error))?;
        forget_old(&dir)?;
        Ok(dest)
    }
}

/// A base that was not used for this long is removed; it is rebuilt when needed.
const KEEP: Duration = Duration::from_secs(6 * 3600);

/// Removes old bases, which would otherwise accumulate with every change of a program.
fn forget_old(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        let modified = path.metadata().and_then(|about| about.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEEP));
        if old && path.extension().is_some_and(|e| e == "cpio" || e == "tmp") {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

fn text(content: &str) -> Node {
    Node::Bytes { data: content.as_bytes().to_vec(), mode: 0o644 }
}
