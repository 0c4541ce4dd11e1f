//! Names of unix sockets.

use super::diag::UnixSocket;
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
use std::path::{Component, Path};

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
        let path = match socket::bound_file(fd) {
            Ok(handle) => {
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
                self.aside(|| bind(fd, &address(&self.address.0)?).context(what)).map(drop)
            };
        };
        let path = file.path.as_path();
        let is_there = file.is_there()?;
        if !is_there {
            let own = path.to_owned();
            way.undo(move || std::fs::remove_file(&own));
        }
        let relative = Path::new(OsStr::from_bytes(&self.address.0));
        let mut up = Path::new("/");
        if !relative.is_absolute() {
            let parts = relative.components().filter(|part| matches!(part, Component::Normal(_)));
            up = path.ancestors().nth(parts.count()).unwrap_or(up);
        }
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
        let meta = std::fs::symlink_metadata(path).ok();
        let is_socket = |meta: &std::fs::Metadata| FileType::from_raw_mode(meta.mode()) == FileType::Socket;
        if !meta.as_ref().is_some_and(is_socket) {
            return Err(Error::Conflict(format!(
                "{}: leads elsewhere than to {}, as it did at the checkpoint",
                self.describe(),
                path.display()
            )));
        }
        let (uid, gid) = file.owner;
        if meta.is_some_and(|meta| (meta.uid(), meta.gid()) != file.owner) {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .context(|| format!("set owner of {}", path.display()))?;
        }
        rustix::fs::chmod(path, Mode::from_raw_mode(file.mode))
            .context(|| format!("set mode of {}", path.display()))
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

    /// Binds a socket to it where nobody else sees that, and has another one connected to it, by a
    /// `client` to a `listener`.
    ///
    /// # Errors
    /// What the kernel reports: EADDRINUSE for an abstract name of another socket.
    pub fn meet(&self, sockets: [BorrowedFd<'_>; 2], [listener, client]: [&Deputy; 2]) -> Result<()> {
        let [listens, connects] = sockets;
        let what = || format!("connect a socket to {}", self.describe());
        let bind = || bind(listens, &address(&self.address.0)?).context(what);
        let directory = if self.is_abstract() { bind().map(|()| None) } else { self.aside(bind).map(Some) }?;
        listener.listen(listens, 1).context(what)?;
        let last = Path::new(OsStr::from_bytes(&self.address.0)).file_name().unwrap_or_default();
        let name = if self.is_abstract() { &self.address.0 } else { last.as_bytes() };
        client.connect(connects, directory.as_ref().map(AsFd::as_fd), name).context(what)
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
