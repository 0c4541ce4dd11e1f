//! Names of unix sockets.

use super::diag::UnixSocket;
use super::peer::{Deputies, Peer};
use super::queue::{self, Message, address};
use crate::error::{Context, Error, Problem, Result, Subject};
use crate::resource::bytes::{Bytes, PathBytes};
use crate::resource::fd::Way;
use crate::sys::deputy::Deputy;
use crate::sys::file::{link_to, with_directory};
use crate::sys::guard;
use crate::sys::socket;
use crate::sys::task::Seen;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, sendmsg_addr, socket_with,
};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What a socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// As given to bind(2): a path, or a 0 byte and an abstract name.
    pub address: Bytes,
    /// Its file, unless that is gone from its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<BoundFile>,
}

/// The file that a socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundFile {
    /// Its path, whatever the working directory was when it was bound.
    pub path: PathBytes,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

impl Name {
    /// What a socket of a process is bound to, or has the name of its listener of.
    ///
    /// # Errors
    /// *unsupported* where its file cannot be found; what the kernel reports.
    pub fn capture(
        fd: BorrowedFd<'_>,
        shown: &UnixSocket,
        process: Seen,
        at: &Subject,
    ) -> Result<Option<Name>> {
        let address = Bytes(shown.name.clone());
        if matches!(shown.name.first(), None | Some(0)) {
            return Ok((!shown.name.is_empty()).then_some(Name { address, file: None }));
        }
        let mut left = false;
        let path = match socket::bound_file(fd) {
            Ok(handle) => {
                left = rustix::fs::fstat(&handle).context(|| format!("{at}: stat its file"))?.st_nlink > 0;
                let link = std::fs::read_link(link_to(&handle)).context(|| format!("{at}: find its file"))?;
                PathBytes::from(link.as_path())
            }
            // As an ordinary user: by its name, perhaps relative to where the process still is.
            Err(err) if err.raw_os_error() == Some(libc::EPERM) => {
                let name = Path::new(OsStr::from_bytes(&shown.name));
                let here = std::fs::read_link(format!("/proc/{}/cwd", process.by)).unwrap_or_default();
                let path = if name.is_absolute() { name.to_owned() } else { here.join(name) };
                if !name.is_absolute() && !shown.is_file(&path) {
                    let why = " is a socket bound to a path relative to where the process is no longer, whose file only CAP_NET_ADMIN can find; checkpoint it as root";
                    return Err(Error::unsupported(Problem::of(at.clone(), why)));
                }
                PathBytes::from(path.as_path())
            }
            Err(err) => return Err(err).context(|| format!("{at}: find its file")),
        };
        let meta = std::fs::symlink_metadata(path.as_path()).ok();
        let meta = meta.filter(|_| shown.is_file(path.as_path()));
        if meta.as_ref().map_or(left, |meta| meta.nlink() > 1) {
            let why = " is a socket whose file has other names (hard links), which would lead to a socket that is gone; remove them first";
            return Err(Error::unsupported(Problem::of(at.clone(), why)));
        }
        let file = meta.map(|meta| {
            let owner = (meta.uid(), meta.gid());
            BoundFile { path: path.clone(), mode: meta.mode() & 0o7777, owner }
        });
        Ok(Some(Name { address, file }))
    }

    /// Whether it is an abstract one.
    pub fn is_abstract(&self) -> bool {
        self.address.0.first() == Some(&0)
    }

    /// Whether a socket can be connected to it.
    pub fn is_reachable(&self) -> bool {
        self.is_abstract() || self.file.is_some()
    }

    /// Checks that it is one that the kernel could have had.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let Name { address, file } = self;
        let whole = (1..=108).contains(&address.0.len()) && (self.is_abstract() || !address.0.contains(&0));
        let placed = file.as_ref().is_none_or(|file| {
            file.path.0.starts_with(b"/") && !file.path.0.contains(&0) && file.mode <= 0o7777
        });
        if whole && placed { Ok(()) } else { Err("a unix socket with an invalid name".into()) }
    }

    /// Compares it with what is there, before anything is created. Each kind of sockets has
    /// abstract names of its own.
    ///
    /// # Errors
    /// *conflict* if it is in use, or its directory is gone.
    pub fn examine(&self, kind: SocketType) -> Result<()> {
        if self.is_abstract() {
            let probe = new(kind)?;
            return match bind(&probe, &address(&self.address.0)?) {
                Err(Errno::ADDRINUSE) => Err(Error::Conflict(format!(
                    "{}: another socket has this name; end the program that has it",
                    self.describe()
                ))),
                bound => bound.context(|| format!("bind to {}", self.describe())),
            };
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.is_there()?;
        let up = file.path.as_path().parent().unwrap_or(Path::new("/"));
        match std::fs::metadata(up) {
            Ok(meta) if meta.is_dir() => Ok(()),
            _ => Err(Error::Conflict(format!("{}: no such directory; put it back", up.display()))),
        }
    }

    /// As `ss` shows it.
    pub fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.address.0);
        match text.strip_prefix('\0') {
            Some(name) => format!("@{name}"),
            None => text.into_owned(),
        }
    }

    /// Binds a socket to it; a file that a socket which is gone has left there is replaced.
    ///
    /// # Errors
    /// *conflict* if it is in use.
    pub fn bind(&self, fd: BorrowedFd<'_>, way: &Way<'_>) -> Result<()> {
        let what = || format!("bind a socket to {}", self.describe());
        let Some(file) = self.file.as_ref().filter(|_| !self.is_abstract()) else {
            return if self.is_abstract() {
                bind(fd, &address(&self.address.0)?).context(what)
            } else {
                let up = self.aside(|| bind(fd, &address(&self.address.0)?).context(what))?;
                self.remove_from(&up)
            };
        };
        let path = file.path.as_path();
        let is_there = file.is_there()?;
        if !is_there {
            let own = path.to_owned();
            way.undo(move || std::fs::remove_file(&own));
        }
        let Some(up) = self.bound_from(path) else { return self.bind_aside(fd, path, file) };
        let (directory, address) = (open_directory(up)?, address(&self.address.0)?);
        let stale = CString::new(&file.path.0[..]).map_err(std::io::Error::from).context(what)?;
        // If we are killed in between, the child still puts another file in the place of the one
        // that it removes. After a failure there is again one whose socket is gone.
        let replace = || -> std::io::Result<()> {
            rustix::process::fchdir(&directory)?;
            if is_there {
                rustix::fs::unlink(&*stale)?;
            }
            Ok(bind(fd, &address)?)
        };
        guard::try_in_child(replace).context(what)?;
        file.set_attributes()
    }

    /// The directory in which the address leads to that path, which it need not do any more.
    fn bound_from<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let own = Path::new(OsStr::from_bytes(&self.address.0));
        let parts = own.components().filter(|part| matches!(part, Component::Normal(_))).count();
        let up = if own.is_absolute() { Path::new("/") } else { path.ancestors().nth(parts)? };
        let leads_to = std::fs::canonicalize(up.join(own).parent()?).ok()?.join(own.file_name()?);
        (leads_to == path).then_some(up)
    }

    /// Binds a socket where its address leads into a hidden directory beside `path`, and gives its
    /// file that name. A child completes that if we are killed.
    fn bind_aside(&self, fd: BorrowedFd<'_>, path: &Path, file: &BoundFile) -> Result<()> {
        let what = || format!("bind a socket to {}, whose file is {}", self.describe(), path.display());
        let c_string = |text: &Path| {
            CString::new(text.as_os_str().as_bytes()).map_err(std::io::Error::from).context(what)
        };
        // What the parts of the address before its last one are with this directory as the root.
        let (mut at, mut directories) = (PathBuf::new(), Vec::new());
        let own = Path::new(OsStr::from_bytes(&self.address.0));
        for part in own.parent().into_iter().flat_map(Path::components) {
            match part {
                Component::Normal(name) => {
                    at.push(name);
                    directories.push(c_string(&at)?);
                }
                Component::ParentDir => drop(at.pop()),
                _ => {}
            }
        }
        let (made, address) =
            (c_string(&at.join(own.file_name().unwrap_or_default()))?, address(&self.address.0)?);
        let up = open_directory(path.parent().unwrap_or(Path::new("/")))?;
        let last = c_string(Path::new(path.file_name().unwrap_or_default()))?;
        let hidden = c_string(Path::new(&format!(".cairn-{}", std::process::id())))?;
        let make = || -> std::io::Result<()> {
            rustix::fs::mkdirat(&up, &*hidden, Mode::RWXU)?;
            let root = rustix::fs::openat(&up, &*hidden, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            let bind = || -> rustix::io::Result<()> {
                rustix::process::fchdir(&root)?;
                rustix::process::chroot(c".")?;
                for directory in &directories {
                    match rustix::fs::mkdirat(&root, &**directory, Mode::RWXU) {
                        Err(Errno::EXIST) => {}
                        made => made?,
                    }
                }
                bind(fd, &address)?;
                rustix::fs::renameat(&root, &*made, &up, &*last)
            };
            let bound = bind();
            // One that was there twice is gone the second time.
            for directory in directories.iter().rev() {
                let _ = rustix::fs::unlinkat(&root, &**directory, AtFlags::REMOVEDIR);
            }
            rustix::fs::unlinkat(&up, &*hidden, AtFlags::REMOVEDIR)?;
            Ok(bound?)
        };
        guard::try_in_child(make).context(what)?;
        file.set_attributes()
    }

    /// Has a socket connected to the one that is bound to it.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn connect(&self, fd: BorrowedFd<'_>, deputy: &Deputy) -> Result<()> {
        let what = || format!("connect a socket to {}", self.describe());
        let Some(file) = self.file.as_ref().filter(|_| !self.is_abstract()) else {
            return deputy.connect(fd, None, &self.address.0).context(what);
        };
        let path = file.path.as_path();
        let directory = open_directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or_default().as_bytes();
        deputy.connect(fd, Some(directory.as_fd()), name).context(what)
    }

    /// Binds a socket to it where nobody else sees that, and has another one connected to it: as
    /// the one that listens, and the one that connects.
    ///
    /// # Errors
    /// What the kernel reports: EADDRINUSE for an abstract name of another socket.
    pub fn meet(
        &self,
        [listens, connects]: [BorrowedFd<'_>; 2],
        deputies: &Deputies,
        [listener, client]: [Option<&Peer>; 2],
    ) -> Result<()> {
        let what = || format!("connect a socket to {}", self.describe());
        let bind = || bind(listens, &address(&self.address.0)?).context(what);
        let directory = if self.is_abstract() { bind().map(|()| None) } else { self.aside(bind).map(Some) }?;
        deputies.of(listener)?.listen(listens, 1).context(what)?;
        let last = Path::new(OsStr::from_bytes(&self.address.0)).file_name().unwrap_or_default();
        let name = if self.is_abstract() { &self.address.0 } else { last.as_bytes() };
        deputies.of(client)?.connect(connects, directory.as_ref().map(AsFd::as_fd), name).context(what)?;
        directory.map_or(Ok(()), |directory| self.remove_from(&directory))
    }

    /// Removes its file from the directory of [`Self::aside`]: it is gone.
    fn remove_from(&self, directory: &OwnedFd) -> Result<()> {
        let last = Path::new(OsStr::from_bytes(&self.address.0)).file_name().unwrap_or_default();
        rustix::fs::unlinkat(directory, last, AtFlags::empty())
            .context(|| format!("remove {} again", self.describe()))
    }

    /// Binds a socket to it for a moment; one with a path where nobody else sees it.
    ///
    /// # Errors
    /// What the kernel reports: EADDRINUSE for an abstract name of another socket.
    pub fn bind_anywhere(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let make = || {
            bind(fd, &address(&self.address.0)?).context(|| format!("bind a socket to {}", self.describe()))
        };
        if self.is_abstract() { make() } else { self.aside(make).map(drop) }
    }

    /// Sends a datagram to the socket that is bound to it.
    ///
    /// # Errors
    /// As [`queue::send_by`].
    pub fn send_to(&self, from: BorrowedFd<'_>, message: &Message, files: &[BorrowedFd<'_>]) -> Result<()> {
        let send = |address: SocketAddrUnix| {
            queue::send_by(message, files, |parts, control, flags| {
                sendmsg_addr(from, &address, parts, control, flags)
            })
        };
        let Some(file) = self.file.as_ref().filter(|_| !self.is_abstract()) else {
            return send(address(&self.address.0)?);
        };
        let path = file.path.as_path();
        let directory = open_directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = address(path.file_name().unwrap_or_default().as_bytes())?;
        with_directory(directory.as_fd(), false, || send(name))
            .context(|| format!("send to {}", self.describe()))?
    }

    /// Runs `act` where the path of the name leads to a directory that nobody else sees, which is
    /// returned.
    ///
    /// # Errors
    /// *denied* without CAP_SYS_ADMIN.
    fn aside(&self, act: impl FnOnce() -> Result<()> + Send) -> Result<OwnedFd> {
        let what = || format!("make a file system for {}, which is gone", self.describe());
        let make = || -> rustix::io::Result<OwnedFd> {
            let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        let root = make().context(what)?;
        let path = Path::new(OsStr::from_bytes(&self.address.0));
        let mut up = root.try_clone().context(what)?;
        let parts = path.parent().into_iter().flat_map(Path::components);
        for part in parts.filter(|part| matches!(part, Component::Normal(_))) {
            rustix::fs::mkdirat(&up, part.as_os_str(), Mode::RWXU).context(what)?;
            up =
                rustix::fs::openat(&up, part.as_os_str(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .context(what)?;
        }
        with_directory(root.as_fd(), true, act).context(what)??;
        Ok(up)
    }
}

impl BoundFile {
    fn set_attributes(&self) -> Result<()> {
        let path = self.path.as_path();
        let meta = std::fs::symlink_metadata(path).ok();
        let is_socket = |meta: &std::fs::Metadata| FileType::from_raw_mode(meta.mode()) == FileType::Socket;
        let Some(meta) = meta.filter(is_socket) else {
            return Err(Error::Conflict(format!(
                "{}: no socket is there after one was bound; do not change its directory meanwhile",
                path.display()
            )));
        };
        if (meta.uid(), meta.gid()) != self.owner {
            let (uid, gid) = (Some(Uid::from_raw(self.owner.0)), Some(Gid::from_raw(self.owner.1)));
            rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .context(|| format!("set owner of {}", path.display()))?;
        }
        rustix::fs::chmod(path, Mode::from_raw_mode(self.mode))
            .context(|| format!("set mode of {}", path.display()))
    }

    /// Whether there is a socket that is gone in its place.
    ///
    /// # Errors
    /// *conflict* for anything else.
    fn is_there(&self) -> Result<bool> {
        let path = self.path.as_path();
        let taken = |what: &str| Err(Error::Conflict(format!("{}: {what}", path.display())));
        let meta = match std::fs::symlink_metadata(path) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            meta => meta.context(|| format!("stat {}", path.display()))?,
        };
        if FileType::from_raw_mode(meta.mode()) != FileType::Socket {
            return taken("is no longer a socket; move it away");
        }
        if meta.uid() != self.owner.0 {
            return taken("is a socket of another user; move it away");
        }
        let probe = new(SocketType::DGRAM)?;
        let directory = open_directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = address(path.file_name().unwrap_or_default().as_bytes())?;
        let what = || format!("look whether {} is in use", path.display());
        match with_directory(directory.as_fd(), false, || connect(&probe, &name)).context(what)? {
            Err(Errno::CONNREFUSED) => Ok(true),
            Ok(()) | Err(Errno::PROTOTYPE) => {
                taken("another socket has this name; end the program that has it")
            }
            Err(err) => Err(err).context(what),
        }
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// A new unix socket.
///
/// # Errors
/// As socket(2).
pub fn new(kind: SocketType) -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).context(|| "create a socket")
}
