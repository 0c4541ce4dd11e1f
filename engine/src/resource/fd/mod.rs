//! Open files: one module per kind, listed in one table.
//!
//! A kind implements six verbs:
//!
//! | verb | purpose |
//! | --- | --- |
//! | *recognise* | whether a descriptor is of this kind, judging by /proc and stat(2) |
//! | *identify* | when two descriptors refer to the same object, and what else it refers to |
//! | *capture* | read the object's state through descriptors of stopped processes |
//! | *make* | recreate the object and its open file descriptions at a restart |
//! | *join* | connect objects that are all there, and give them what is on its way between them |
//! | *late* | do what has to wait until every descriptor table is in place |
//!
//! All of them but *recognise* have a default, that of an inode with a path and no other state.
//! What refers to a task is made when that is there, and moved into its processes; all else is made
//! before there are processes, which inherit it.

pub mod description;
pub mod inode;
pub mod job;
pub mod lock;
mod making;
mod marked;
mod other_name;
pub mod socket;
pub mod table;
mod tcp_join;
pub mod tcp_outside;
mod unix_join;
pub mod unlinked;

pub use making::{Holder, Holders, JoinStage, Joined, Made, Once, Others, Programs, Restored, Way};

use crate::error::{Error, External, Problem, Result, Subject};
use crate::proc::fdinfo::FdInfo;
use crate::remote::Program;
use crate::resource::bytes::PathBytes;
use crate::sys::nftables::LockId;
use description::{Descriptions, Descriptor};
use inode::Observed;
use making::{At, ByPath, open_at};
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::os::fd::{BorrowedFd, OwnedFd};

/// One line for each kind: its module, its name in the records, and the type of its state, if any.
/// *recognise* is tried in this order.
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

        /// *recognise* of each kind.
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
        pub const FAULTS: &[&[crate::resource::fault::Fault]] = &[lock::FAULTS, tcp_outside::FAULTS, $($module::FAULTS),*];
    };
    (@verbs $module:ident $name:ident) => { &$module::$name };
    (@verbs $module:ident $name:ident $state:ident) => { $state };
    (@state) => { None };
    (@state $state:ident) => { Some($state) };
}

kinds! {
    external: External(state: external::ExternalFile);
    pty_master: PtyMaster(state: pty_master::PtyMaster);
    pty_slave: PtySlave(state: pty_slave::PtySlave);
    terminal: Terminal(state: terminal::Terminal);
    memfd: Memfd(state: memfd::Memfd);
    namespace: Namespace(state: namespace::Namespace);
    procfs: ProcFile(state: procfs::ProcFile);
    mqueue: MessageQueue(state: mqueue::MessageQueue);
    regular: Regular;
    directory: Directory;
    symlink: Symlink;
    device: Device(state: device::Device);
    fifo: Fifo(state: fifo::Fifo);
    pipe: Pipe(state: pipe::Pipe);
    eventfd: Eventfd(state: eventfd::Eventfd);
    timerfd: Timerfd(state: timerfd::Timerfd);
    pidfd: Pidfd(state: pidfd::Pidfd);
    epoll: Epoll(state: epoll::Epoll);
    signalfd: Signalfd(state: signalfd::Signalfd);
    inotify: Inotify(state: inotify::Inotify);
    fanotify: Fanotify(state: fanotify::Fanotify);
    io_uring: IoUring(state: io_uring::IoUring);
    unix: Unix(state: unix::Unix);
    tcp: Tcp(state: tcp::Tcp);
    udp: Udp(state: udp::Udp);
    netlink: Netlink(state: netlink::Netlink);
}

/// When two descriptors refer to the same object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Same inode and, unless it is unlinked, same path.
    Path,
    /// Same inode, without a path; several open file descriptions may be open on it.
    Inode,
    /// Same open file description: the object is created together with it.
    Description,
}

/// What an object refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The process with this PID, alive or a zombie.
    Process(i32),
    /// The thread with this id.
    Thread(i32),
    /// The process group of this number.
    Group(i32),
    /// The open file description of this index.
    File(usize),
}

impl Reference {
    /// The id of the task, if it is one.
    pub fn task(self) -> Option<i32> {
        match self {
            Reference::Process(id) | Reference::Thread(id) => Some(id),
            Reference::Group(_) | Reference::File(_) => None,
        }
    }
}

/// The operations on an open file, by its kind.
pub trait Verbs {
    /// Its name in messages and plans.
    fn name(&self) -> &'static str;

    /// How a plan names the object without a path that has this index.
    fn title(&self, index: usize) -> String {
        format!("{} {index}", self.name())
    }

    /// *identify*: when two descriptors refer to the same object.
    fn identity(&self) -> Identity {
        Identity::Path
    }

    /// *identify*: whether sharing an open file description, opened with `flags`, with a process
    /// outside matters: after a restart has created another one, they would no longer share an
    /// offset, or data that one leaves for the other. What has no path holds state itself.
    fn is_shared_state(&self, flags: i32) -> bool {
        let _ = flags;
        self.identity() != Identity::Path
    }

    /// *identify*: whether no process outside may have the object open, by a description of its own
    /// either.
    fn is_ours_alone(&self) -> bool {
        false
    }

    /// *identify*: what else the object refers to, once its state is captured. A reference to
    /// something outside the job is refused. What refers to a task is made when all tasks are
    /// there, and moved into the processes that have a descriptor of it.
    fn refers_to(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// Whether it refers to a task: then a restart makes it when all tasks are there.
    fn refers_to_task(&self) -> bool {
        self.refers_to().iter().any(|to| to.task().is_some())
    }

    /// Whether programs usually close it soon: if it is in the way, it is looked at again.
    fn closes_soon(&self) -> bool {
        false
    }

    /// Descriptor numbers, not of the object itself, that *late* uses in passing.
    fn numbers(&self) -> Vec<i32> {
        Vec::new()
    }

    /// Whether the file offset of a description is part of its state.
    fn keeps_offset(&self) -> bool {
        true
    }

    /// *identify*: takes a first look at a description, before any state is captured.
    fn look(&mut self, info: &FdInfo) {
        let _ = info;
    }

    /// *identify*: handles (`O_PATH`) to files that are not open otherwise and that it refers to,
    /// by what the descriptor `at` shows. They become part of the job: [`Verbs::set_used`] gets the
    /// index of each.
    ///
    /// # Errors
    /// *unsupported* for a state that cannot be restored; what the kernel reports.
    fn uses(&mut self, info: &FdInfo, at: &Subject) -> Result<Vec<OwnedFd>> {
        let _ = (info, at);
        Ok(Vec::new())
    }

    /// *identify*: the indices of the files that [`Verbs::uses`] returned, in their order.
    fn set_used(&mut self, files: Vec<usize>) {
        let _ = files;
    }

    /// Indices of files that it reports to have been opened or read, themselves or, of a directory,
    /// what is in it.
    fn notices_reading(&self) -> Vec<usize> {
        Vec::new()
    }

    /// The name of a file that is left outside, for which a restart takes a replacement.
    fn external_name(&self) -> Option<&PathBytes> {
        None
    }

    /// *capture*: fills in the state. `descriptors` has one entry for each open file description of
    /// the object that is in a descriptor table, except those opened with `O_PATH`; `all` knows
    /// those of all objects.
    ///
    /// # Errors
    /// *unsupported* for a state that cannot be restored; what the kernel reports.
    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let _ = (descriptors, all);
        Ok(())
    }

    /// Checks that the state is one that the kernel could have had: context files are untrusted.
    ///
    /// # Errors
    /// What is wrong with it.
    fn validate(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Compares what is not a file with a path, before anything is created.
    ///
    /// # Errors
    /// *conflict* for what is not as it was at the checkpoint.
    fn examine(&self) -> Result<()> {
        Ok(())
    }

    /// The file type (`S_IFMT`) expected at its path, for [`Identity::Path`].
    fn file_type(&self) -> u32 {
        0
    }

    /// Checks that the inode at its path, which has the right file type, is the one that was saved.
    ///
    /// # Errors
    /// How it differs.
    fn check_path(&self, meta: &Metadata) -> std::result::Result<(), String> {
        let _ = meta;
        Ok(())
    }

    /// How to recreate an unlinked one.
    ///
    /// # Errors
    /// A description of the inode, if that is not possible.
    fn unlinked(&self) -> std::result::Result<unlinked::Unnamed, &'static str> {
        Err("an unlinked file")
    }

    /// Whether it is a file without a path whose contents are saved: [`Verbs::create`] recreates
    /// it.
    fn holds_content(&self) -> bool {
        false
    }

    /// *make*: creates an empty file, for one that holds its contents.
    ///
    /// # Errors
    /// What the kernel reports.
    fn create(&self) -> Result<File> {
        Err(Error::Conflict(format!("{}: has no contents", self.name())))
    }

    /// *make*: forbids further changes of a file that holds its contents, when all its descriptions
    /// are open.
    ///
    /// # Errors
    /// What the kernel reports.
    fn seal(&self, made: &File) -> Result<()> {
        let _ = made;
        Ok(())
    }

    /// Whether [`Verbs::seal`] has to wait until it is mapped everywhere.
    fn is_sealed_last(&self) -> bool {
        false
    }

    /// Whether *make* has to run before the first open file description is opened.
    fn is_made(&self) -> bool {
        self.identity() != Identity::Path
    }

    /// *make*: the open file description without which it cannot be made.
    fn opened_after(&self) -> Option<usize> {
        None
    }

    /// The session whose controlling terminal it is.
    fn session(&self) -> Option<i32> {
        None
    }

    /// Makes it that of the session of the process that runs the program, and its leader; `slot` is
    /// a descriptor of it.
    fn claim(&self, slot: i32, program: &mut Program) {
        let _ = (slot, program);
    }

    /// Puts the right process group into its foreground, in the leader of the session, when all
    /// groups are there.
    fn set_foreground(&self, slot: i32, program: &mut Program) {
        let _ = (slot, program);
    }

    /// *make*: creates what is needed to open descriptions of the object; without a path, the
    /// object itself.
    ///
    /// # Errors
    /// What the kernel reports.
    fn make(&self, way: &Way<'_>) -> Result<Box<dyn Made>> {
        let _ = way;
        Ok(Box::new(ByPath))
    }

    /// Whether `O_ASYNC` takes effect only when a process sets it on its own descriptor
    /// (`pipe_fasync` in fs/pipe.c, `sock_fasync` in net/socket.c). A description opened with the
    /// flag would have it but send no signal.
    fn enables_async_late(&self) -> bool {
        false
    }

    /// Whether it is a socket with a connection, as connect(2) makes one.
    fn is_connected(&self) -> bool {
        false
    }

    /// Whether the kernel keeps something of it when nobody has it open any more. That of a job
    /// that is killed is closed by [`Verbs::forget`].
    fn outlives_job(&self) -> bool {
        false
    }

    /// Closes the last descriptor of it, so that nothing is kept.
    fn forget(&self, fd: OwnedFd) {
        drop(fd);
    }

    /// The lock to be removed when all is done, of a connection to outside.
    fn lock(&self) -> Option<LockId> {
        None
    }

    /// Whether *make* leaves something that it is connected to ([`Way::keep_partner`]).
    fn has_partner(&self) -> bool {
        false
    }

    /// Whether there is something to *join*.
    fn joins(&self) -> bool {
        false
    }

    /// *join*: by the engine, once for each stage, when all processes and open file descriptions
    /// are there: each stage for all of them before the next one. `fd` is the description.
    ///
    /// # Errors
    /// What the kernel reports.
    fn join(&self, stage: JoinStage, fd: BorrowedFd<'_>, job: &Joined<'_>) -> Result<()> {
        let _ = (stage, fd, job);
        Ok(())
    }

    /// *late*: adds calls to programs of processes that have the open file description of this
    /// index, once for each description. They have their descriptor tables and still the engine's
    /// privileges.
    ///
    /// # Errors
    /// Why none of them can do it.
    fn late(
        &self,
        file: usize,
        job: &Restored<'_>,
        programs: &mut Programs,
    ) -> std::result::Result<(), String> {
        if self.enables_async_late() {
            making::signal_io(file, job, programs);
        }
        Ok(())
    }

    /// Whether it has to wait until the engine has closed its other files.
    fn is_finished_last(&self) -> bool {
        false
    }

    /// *late*, by the engine, which has closed all other files but handles; `opened` duplicates
    /// such a handle. Other files' use would disturb it.
    ///
    /// # Errors
    /// What the kernel reports.
    fn finish(&self, fd: &OwnedFd, opened: &dyn Fn(usize) -> Result<OwnedFd>) -> Result<()> {
        let _ = (fd, opened);
        Ok(())
    }

    /// Whether what it reports to a process that watches it depends on which process that is.
    fn depends_on_watcher(&self) -> bool {
        false
    }
}

/// What the user can do about an unsupported kind of file.
const NOT_YET: &str = "which cannot be saved yet; close it first";

impl Kind {
    /// Determines the kind of a descriptor.
    ///
    /// # Errors
    /// *unsupported*, with a description of the file.
    pub fn of(seen: &Observed<'_>) -> Result<Kind> {
        RECOGNISE.iter().find_map(|recognise| recognise(seen)).unwrap_or_else(|| match seen.socket() {
            Some(created) => Err(seen.refuse_kind(&created?.describe())),
            None => Err(seen.refuse_kind(unknown(seen))),
        })
    }

    /// *look* of a kind that has state.
    pub fn look(&mut self, info: &FdInfo) {
        if let Some(verbs) = self.verbs_mut() {
            verbs.look(info);
        }
    }

    /// *uses* of a kind that has state.
    ///
    /// # Errors
    /// As [`Verbs::uses`].
    pub fn uses(&mut self, info: &FdInfo, at: &Subject) -> Result<Vec<OwnedFd>> {
        self.verbs_mut().map_or(Ok(Vec::new()), |verbs| verbs.uses(info, at))
    }

    /// *set_used* of a kind that has state.
    pub fn set_used(&mut self, files: Vec<usize>) {
        if let Some(verbs) = self.verbs_mut() {
            verbs.set_used(files);
        }
    }

    /// *capture* of a kind that has state.
    ///
    /// # Errors
    /// As [`Verbs::capture`].
    pub fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        self.verbs_mut().map_or(Ok(()), |verbs| verbs.capture(descriptors, all))
    }
}

/// Describes a descriptor that no kind has recognised.
fn unknown(seen: &Observed<'_>) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if !seen.has_path() {
        return without_a_path(&seen.link.0);
    }
    if seen.meta.file_type().is_socket() { "a socket" } else { "a block device or an unknown kind of file" }
}

/// Describes a magic link that is no path: `socket:[12]`, `anon_inode:[eventpoll]`
/// (anon_inode_getfile in the kernel's sources).
fn without_a_path(link: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"socket:", "a socket"),
        (b"anon_inode:[userfaultfd]", "a userfaultfd"),
        (b"anon_inode:[perf_event]", "a performance event"),
        (b"anon_inode:bpf", "a BPF object"),
        (b"anon_inode:kvm", "a virtual machine"),
    ];
    let known = KINDS.iter().find(|(prefix, _)| link.starts_with(prefix));
    known.map_or("a file without a path", |(_, what)| what)
}

impl Observed<'_> {
    /// The error that refuses the descriptor, with a description.
    fn refuse(&self, what: &str) -> Error {
        Error::unsupported(Problem::of(self.at(), format!(" is {what}")))
    }

    /// The error that refuses the descriptor because of its kind.
    fn refuse_kind(&self, kind: &str) -> Error {
        self.refuse(&format!("{kind}, {NOT_YET}{}", external::advice(&self.link)))
    }

    /// The error that refuses what lies outside.
    fn refuse_external(&self, external: External, what: &str) -> Error {
        let why = format!(" is {what}{}", external::advice(&self.link));
        Error::unsupported(Problem::external(self.at(), external, why))
    }
}
