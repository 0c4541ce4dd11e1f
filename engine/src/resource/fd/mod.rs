//! Open files: one file per kind, listed in one table.
//!
//! A kind supplies five verbs:
//!
//! | verb | what it answers |
//! | --- | --- |
//! | *recognise* | is this descriptor of my kind, judging by what /proc and stat(2) say? |
//! | *identify* | what makes two descriptors lead to the same object, and what would be lost with a user outside? |
//! | *capture* | the object's state, read through descriptors of stopped processes |
//! | *make* | the object, and open file descriptions of it, at a restart |
//! | *late* | what has to wait until every descriptor table is in place |
//!
//! All of them but *recognise* have a default, which is that of an inode with a path and no state
//! of its own.

pub mod description;
pub mod inode;
pub mod table;
pub mod unlinked;

use crate::error::{Error, Problem, Result};
use crate::remote::Program;
use description::{Descriptor, OpenFile};
use inode::{Inode, Observed};
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use table::Fd;

/// One line for each kind: its module, its name in the records, and its state, if it has any. Kinds
/// are asked in this order whether they recognise a descriptor.
macro_rules! kinds {
    ($($module:ident: $name:ident $(($state:ident: $type:ty))?;)*) => {
        $(pub mod $module;)*

        /// What an open file description is open on.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $name $(($type))?,
            )*
        }

        /// *recognise*, of each kind.
        const RECOGNISE: &[fn(&Observed<'_>) -> Option<Result<Kind>>] = &[$($module::recognise),*];

        impl Kind {
            /// The other verbs.
            pub fn verbs(&self) -> &dyn Verbs {
                match self {
                    $(Kind::$name { $(0: $state,)? .. } => kinds!(@verbs $module $name $($state)?),)*
                }
            }

            fn verbs_mut(&mut self) -> Option<&mut dyn Verbs> {
                match self {
                    $(Kind::$name { $(0: $state,)? .. } => kinds!(@state $($state)?),)*
                }
            }
        }

        /// The planted faults of all kinds.
        #[cfg(feature = "planted-faults")]
        pub const FAULTS: &[&[crate::fault::Fault]] = &[$($module::FAULTS),*];
    };
    (@verbs $module:ident $name:ident) => { &$module::$name };
    (@verbs $module:ident $name:ident $state:ident) => { $state };
    (@state) => { None };
    (@state $state:ident) => { Some($state) };
}

kinds! {
    regular: Regular;
    directory: Directory;
    symlink: Symlink;
    device: Device(state: device::Device);
    fifo: Fifo(state: fifo::Fifo);
    pipe: Pipe(state: pipe::Pipe);
    eventfd: Eventfd(state: eventfd::Eventfd);
    timerfd: Timerfd(state: timerfd::Timerfd);
}

/// What two descriptors of the same object have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// An inode and, as long as it has one, the path by which it was opened.
    Path,
    /// An inode without a path, which several open file descriptions may be open on.
    Inode,
    /// The open file description itself: the object is made together with it.
    Description,
}

/// What an engine does with an open file, by its kind.
pub trait Verbs {
    /// What it is called in messages and plans.
    fn name(&self) -> &'static str;

    /// *identify*: what makes two descriptors lead to the same object.
    fn identity(&self) -> Identity {
        Identity::Path
    }

    /// *identify*: whether a process outside that has the same open file description, opened with
    /// `flags`, would miss something after a restart has made another one: a position, or what one
    /// of them leaves for the other.
    fn is_shared_state(&self, flags: i32) -> bool {
        let _ = flags;
        false
    }

    /// *capture*: fills in the state. `descriptors` is one for each open file description of the
    /// object that is in a table; those opened with `O_PATH` are left out.
    ///
    /// # Errors
    /// *unsupported* for a state that nothing can bring back; what the kernel says.
    fn capture(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        let _ = descriptors;
        Ok(())
    }

    /// Whether the state is one that the kernel could have had. A context file comes from whoever
    /// owned it.
    ///
    /// # Errors
    /// What is wrong with it.
    fn validate(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    /// `S_IFMT` of what its path has to lead to, for [`Identity::Path`].
    fn file_type(&self) -> u32 {
        0
    }

    /// Whether what the path leads to, which has the right file type, is the one that was saved.
    ///
    /// # Errors
    /// How it differs.
    fn check_path(&self, meta: &Metadata) -> std::result::Result<(), String> {
        let _ = meta;
        Ok(())
    }

    /// How one whose name is gone is made again.
    ///
    /// # Errors
    /// What it is, when it cannot be.
    fn unlinked(&self) -> std::result::Result<unlinked::Unnamed, &'static str> {
        Err("a file whose name was removed")
    }

    /// Whether *make* has something to do before the first open file description is opened.
    fn is_made(&self) -> bool {
        self.identity() != Identity::Path
    }

    /// *make*: what is needed to open descriptions of the object; for one without a path, the
    /// object itself.
    ///
    /// # Errors
    /// What the kernel says.
    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let _ = way;
        Ok(Box::new(ByPath))
    }

    /// The flags to open a description with, of those that it had.
    fn flags_to_open(&self, flags: i32) -> i32 {
        flags
    }

    /// *late*: adds calls to a program of a process that has the description as `fd`, once for each
    /// description. The process has its table and still the privileges of whoever restarts.
    fn late(&self, fd: &Fd, file: &OpenFile, program: &mut Program) {
        let _ = (fd, file, program);
    }
}

/// How an inode is opened at a restart: by its path, once it is sure to be what it was, or through
/// what was made in its place.
pub struct Way<'a> {
    /// The inode.
    pub inode: &'a Inode,
    open: &'a dyn Fn(i32) -> Result<OwnedFd>,
}

impl<'a> Way<'a> {
    /// By this function, which is given `O_*`.
    pub fn new(inode: &'a Inode, open: &'a dyn Fn(i32) -> Result<OwnedFd>) -> Self {
        Way { inode, open }
    }

    /// Opens it once more.
    ///
    /// # Errors
    /// *conflict* for a path that is gone or leads to something else.
    pub fn open(&self, flags: i32) -> Result<OwnedFd> {
        (self.open)(flags | libc::O_CLOEXEC | libc::O_NOCTTY)
    }
}

/// An object at a restart, as long as descriptions of it are being opened.
pub trait Made {
    /// A new open file description.
    ///
    /// # Errors
    /// What the kernel says.
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd>;

    /// Gives a description what open(2) could not, unless it was opened with `O_PATH`.
    ///
    /// # Errors
    /// What the kernel says.
    fn adjust(&self, way: &Way<'_>, fd: &OwnedFd, flags: i32) -> Result<()> {
        let _ = (way, fd, flags);
        Ok(())
    }
}

/// An object with one open file description, which was made together with it.
pub struct Once(Option<OwnedFd>);

impl Once {
    /// By this descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Once(Some(fd))
    }
}

impl Made for Once {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        let name = way.inode.kind.verbs().name();
        let fd = self.0.take().ok_or_else(|| Error::Conflict(format!("{name}: it is open twice")))?;
        unlinked::set_flags(&fd, flags)?;
        Ok(fd)
    }
}

/// Opened by its path, and nothing else to it.
struct ByPath;

impl Made for ByPath {
    fn open(&mut self, way: &Way<'_>, flags: i32) -> Result<OwnedFd> {
        way.open(flags)
    }
}

/// What its user can do about a kind of file.
const NOT_YET: &str = "which cannot be saved yet; it can be checkpointed once that is closed";

impl Kind {
    /// Finds out what a descriptor leads to.
    ///
    /// # Errors
    /// *unsupported*, with what it is.
    pub fn of(seen: &Observed<'_>) -> Result<Kind> {
        RECOGNISE
            .iter()
            .find_map(|recognise| recognise(seen))
            .unwrap_or_else(|| Err(seen.refuse_kind(unknown(seen))))
    }

    /// *capture*, of a kind that has a state.
    ///
    /// # Errors
    /// As [`Verbs::capture`].
    pub fn capture(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        self.verbs_mut().map_or(Ok(()), |verbs| verbs.capture(descriptors))
    }
}

/// What a descriptor leads to that no kind has recognised.
fn unknown(seen: &Observed<'_>) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if !seen.has_path() {
        return without_a_path(&seen.link.0);
    }
    if seen.meta.file_type().is_socket() { "a socket" } else { "a block device or something unknown" }
}

/// What a magic link means that is no path: `socket:[12]`, `anon_inode:[eventpoll]`
/// (anon_inode_getfile in the kernel's sources).
fn without_a_path(link: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"socket:", "a socket"),
        (b"anon_inode:[eventpoll]", "an epoll instance"),
        (b"anon_inode:[signalfd]", "a signalfd"),
        (b"anon_inode:inotify", "an inotify instance"),
        (b"anon_inode:[fanotify]", "a fanotify group"),
        (b"anon_inode:[io_uring]", "an io_uring"),
        (b"anon_inode:[userfaultfd]", "a userfaultfd"),
        (b"anon_inode:[perf_event]", "a performance event"),
        (b"anon_inode:[pidfd]", "a pidfd"),
        (b"pidfd:", "a pidfd"),
        (b"anon_inode:bpf", "a BPF object"),
        (b"anon_inode:kvm", "a virtual machine"),
    ];
    let known = KINDS.iter().find(|(prefix, _)| link.starts_with(prefix));
    known.map_or("a file without a path", |(_, what)| what)
}

impl Observed<'_> {
    /// A refusal of the descriptor, which says what it is.
    fn refuse(&self, what: &str) -> Error {
        Error::unsupported(Problem::of(self.at(), format!(" is {what}")))
    }

    /// A refusal of the descriptor for its kind.
    fn refuse_kind(&self, kind: &str) -> Error {
        self.refuse(&format!("{kind}, {NOT_YET}"))
    }
}
