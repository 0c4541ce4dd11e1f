//! The grammar of the command line and its help.

use cairn::checkpoint::Target;
use cairn::image::Sync;
use cairn::resource::bytes::PathBytes;
use cairn::resource::cgroup::Policy;
use cairn::resource::fd::external::is_name;
use cairn::resource::fd::socket::moved::Moved;
use cairn::resource::ipc::Name;
use cairn::restart::Session;
use cairn::source::Wanted;
use cairn::tree::Scope;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  usage
  3  unsupported: the target has state that cannot be saved (nothing was changed)
  4  the context file is damaged, truncated, foreign or from a newer cairn
  5  denied by the kernel
  6  the target exited or changed in the meantime
  7  conflict at restart: a PID is in use, or a path is missing or leads to another file
`cairn restart` without --detach and `cairn run` exit as the job does: with its exit code, or 128 plus the signal number.";

/// Checkpoint a running job to a file, and restart it later.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Save a running process and its descendants into a context file
    #[command(
        after_help = "Example: cairn checkpoint 4711 -o job.ctx\n\nThe job continues to run unless --kill or --stop is given."
    )]
    Checkpoint(CheckpointArgs),
    /// Restart a job from its context file
    #[command(
        after_help = "Example: cairn restart context.4711\n\nStays the parent of the job, forwards signals to it and exits as it does.\nA job that was started on a terminal gets the one that this command is called from."
    )]
    Restart(RestartArgs),
    /// Give up the TCP connections to outside that a checkpoint with --kill has locked: their peers
    /// find them reset
    #[command(
        after_help = "For a job that is not to be restarted; a restart unlocks its connections by itself."
    )]
    Unlock(UnlockArgs),
    /// Start a command so that it can be checkpointed: in a session of its own, away from the
    /// terminal
    #[command(after_help = "Example: cairn run -o job.log -- ./simulate --steps 1000000")]
    Run(RunArgs),
    /// Show the contents of a context file
    Info(InfoArgs),
    /// Explain what would prevent a checkpoint of a process, without taking one
    Check(CheckArgs),
    /// Show the versions of this program and of the kernel module
    About(AboutArgs),
    /// Print a shell's completion script
    Completions {
        /// The shell to generate the script for
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// What libcr starts
    #[command(hide = true)]
    LibcrCheckpoint(super::blcr::RequestArgs),
    /// List the faults that this build can plant
    #[cfg(feature = "planted-faults")]
    Faults {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The processes to save, given a PID.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// The process and all its descendants (default)
    #[arg(long)]
    tree: bool,
    /// Only this process
    #[arg(long)]
    pid: bool,
    /// All members of the process group with this number
    #[arg(long)]
    pgid: bool,
    /// All members of the session with this number
    #[arg(long)]
    sid: bool,
}

impl ScopeArgs {
    /// The scope of number `id`.
    pub fn of(&self, id: i32) -> Scope {
        match self {
            ScopeArgs { pid: true, .. } => Scope::Process(id),
            ScopeArgs { pgid: true, .. } => Scope::Group(id),
            ScopeArgs { sid: true, .. } => Scope::Session(id),
            ScopeArgs { .. } => Scope::Tree(id),
        }
    }
}

/// When a file counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncArg {
    /// When it is on disk
    File,
    /// When it is in the page cache
    None,
}

impl From<SyncArg> for Sync {
    fn from(arg: SyncArg) -> Self {
        match arg {
            SyncArg::File => Sync::Full,
            SyncArg::None => Sync::None,
        }
    }
}

/// Where the state of the job comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceArg {
    /// The kernel module if it is loaded and provides everything needed, else ptrace
    Auto,
    /// ptrace and /proc
    Ptrace,
    /// The kernel module; fail without it
    Kmod,
}

impl From<SourceArg> for Wanted {
    fn from(arg: SourceArg) -> Self {
        match arg {
            SourceArg::Auto => Wanted::Auto,
            SourceArg::Ptrace => Wanted::Ptrace,
            SourceArg::Kmod => Wanted::Kmod,
        }
    }
}

/// The target of a checkpoint, and how its state is read.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The process
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub id: i32,
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Where the state comes from
    #[arg(long, value_enum, default_value_t = SourceArg::Auto)]
    pub source: SourceArg,
    /// Save it even if a debugger traces it (needs the kernel module); the debugger is not
    /// notified, and its breakpoints are saved as code
    #[arg(long)]
    pub traced: bool,
    /// Save it even if processes outside share open files or memory with it; after a restart it
    /// has its own copies
    #[arg(long)]
    pub shared: bool,
    /// Save TCP connections to processes outside, too. With --kill they are locked (nf_tables):
    /// their peers get no answer until the restart continues them, or `cairn unlock` gives them up.
    /// Without --kill, they can only be ended at a restart (--tcp-close)
    #[arg(long)]
    pub tcp_established: bool,
    /// Do not save the file that descriptors with this name refer to (`ls -l /proc/PID/fd`):
    /// /dev/pts/3, pipe:[1234], socket:[1234]; a restart needs a replacement for it. Bytes that the
    /// job has not read stay there, and are lost if it is killed and was the only reader
    #[arg(long, value_name = "NAME", value_parser = external_name)]
    pub external: Vec<PathBytes>,
    /// Save this System V object as well: shm:ID, sem:ID or msg:ID (`ipcs` shows the ids). Attached
    /// shared memory is always saved; nothing shows who uses the others
    #[arg(long, value_name = "KIND:ID")]
    pub sysv: Vec<Name>,
    /// How long to wait for a task that does not stop, or a call that does not return
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub time: u64,
}

impl From<&TargetArgs> for Target {
    fn from(args: &TargetArgs) -> Self {
        Target {
            scope: args.scope.of(args.id),
            source: args.source.into(),
            traced: args.traced,
            shared: args.shared,
            tcp_established: args.tcp_established,
            external: args.external.clone(),
            sysv: args.sysv.clone(),
            patience: Duration::from_secs(args.time),
        }
    }
}

fn external_name(text: &str) -> Result<PathBytes, String> {
    let name = PathBytes(text.as_bytes().to_vec());
    if is_name(&name) {
        return Ok(name);
    }
    Err("expected a name as shown by `ls -l /proc/PID/fd`: /dev/pts/3, pipe:[1234], socket:[1234]".into())
}

/// The replacement of an external file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path.
    Path(PathBuf),
    /// A descriptor inherited from the caller.
    Fd(i32),
}

fn replacement(text: &str) -> Result<(PathBytes, Place), String> {
    let (name, place) = text.split_once('=').ok_or("expected NAME=PATH or NAME=fd:N")?;
    let place = match place.strip_prefix("fd:") {
        Some(number) => Place::Fd(
            number.parse::<u16>().map(i32::from).map_err(|_| "expected a descriptor number: NAME=fd:N")?,
        ),
        None if place.is_empty() => return Err("expected NAME=PATH or NAME=fd:N".into()),
        None => Place::Path(place.into()),
    };
    Ok((external_name(name)?, place))
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// The context file, or `-` for standard output [default: context.PID]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Kill the job once it is saved and known to be restartable here
    #[arg(long)]
    pub kill: bool,
    /// Leave the job stopped once it is saved, as SIGSTOP does
    #[arg(long, conflicts_with = "kill")]
    pub stop: bool,
    #[command(flatten)]
    pub target: TargetArgs,
    /// When the context file counts as written
    #[arg(long, value_enum, default_value_t = SyncArg::File)]
    pub sync: SyncArg,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// The session and group of processes that were in those of a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SessionArg {
    /// Those of the `cairn restart` process
    Join,
    /// A session of its own
    New,
}

/// The control groups of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CgroupsArg {
    /// Those of the `cairn restart` process
    #[default]
    Leave,
    /// Those that it was in
    Join,
    /// Those that it was in; what is gone is created
    Create,
}

impl From<CgroupsArg> for Policy {
    fn from(arg: CgroupsArg) -> Self {
        match arg {
            CgroupsArg::Leave => Policy::Leave,
            CgroupsArg::Join => Policy::Join,
            CgroupsArg::Create => Policy::Create,
        }
    }
}

impl From<SessionArg> for Session {
    fn from(arg: SessionArg) -> Self {
        match arg {
            SessionArg::Join => Session::Join,
            SessionArg::New => Session::New,
        }
    }
}

#[derive(Debug, Args)]
pub struct RestartArgs {
    /// The context file, or `-` for standard input
    pub file: PathBuf,
    /// Exit once the job runs, instead of waiting for it. A job that was started on a terminal
    /// needs another then (--pty, or --external)
    #[arg(long)]
    pub detach: bool,
    /// Give a job that was started on a terminal the one at PATH, such as /dev/pts/7 of a
    /// supervisor, as the controlling terminal of a new session. A process of cairn stays to lead
    /// that, until the job ends
    #[arg(long, value_name = "PATH", requires = "detach", conflicts_with = "session")]
    pub pty: Option<PathBuf>,
    /// The session and group of processes whose own were not saved, for example those of a shell
    /// [default: join; new with --detach]
    #[arg(long, value_enum)]
    pub session: Option<SessionArg>,
    /// Restart in a new PID namespace, where all PIDs but 1 are free, with a /proc of its own. The
    /// PIDs that are printed are those outside
    #[arg(long)]
    pub new_pidns: bool,
    /// The control groups of the job: those of `cairn restart`, or those that it was in. The limits
    /// of groups that are created are those of the checkpoint
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub cgroups: CgroupsArg,
    /// How long to wait for PIDs that are in use by zombies
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub time: u64,
    /// Restart even if the clocks since boot are behind those of the checkpoint
    #[arg(long)]
    pub ignore_clocks: bool,
    /// Truncate files that the job has open for writing to their size at the checkpoint, if data
    /// was only appended since; without a path, all of them
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub truncate: Vec<OsString>,
    /// Use files that have changed since the checkpoint as they are; without a path, all of them
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub ignore_changes: Vec<OsString>,
    /// Do not continue TCP connections to outside: the job finds them reset, and peers that still
    /// wait find their streams ended
    #[arg(long)]
    pub tcp_close: bool,
    /// Give TCP and UDP sockets that have the address OLD, or whose other end in the job has it,
    /// the address NEW: IP=IP, or IP:PORT=IP:PORT for one port
    #[arg(long, value_name = "OLD=NEW")]
    pub map_ip: Vec<Moved>,
    /// Replace a file that the checkpoint left outside: by the one at PATH, or by descriptor N, as
    /// fd:N. A regular file at PATH is appended to; the job shares the position of a regular file
    /// given as descriptor, and a socket
    #[arg(long, value_name = "NAME=PATH", value_parser = replacement)]
    pub external: Vec<(PathBytes, Place)>,
    /// Print the steps instead of executing them
    #[arg(long, conflicts_with = "json")]
    pub plan: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write `released` to this descriptor once the job runs
    #[arg(long, value_name = "N")]
    pub notify_fd: Option<i32>,
}

#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// The context file, or `-` for standard input
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Append standard output and error to this file [default: cairn.out]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Do not wait for the command; print its PID
    #[arg(long)]
    pub detach: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The context file, or `-` for standard input
    pub file: PathBuf,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// Also verify the checksums of all pages
    #[arg(long)]
    pub verify: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AboutArgs {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}
