//! The grammar of the command line and its help.

use cairn::checkpoint::Target;
use cairn::image::Sync;
use cairn::resource::bytes::PathBytes;
use cairn::resource::fd::external::is_name;
use cairn::restart::Session;
use cairn::source::Wanted;
use cairn::tree::Scope;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  usage
  3  unsupported: the target has something that cannot be saved (nothing was changed)
  4  the context file is damaged, truncated, foreign or from a newer cairn
  5  denied by the kernel
  6  the target ended or changed meanwhile
  7  conflict at restart: a PID is in use, a path is gone or another file is there
`cairn restart` without --detach and `cairn run` end as the job ends: with its exit code, or 128 and the signal.";

/// Freeze a running job into a file, and bring it back later.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Save a running process and its descendants into a context file
    #[command(
        after_help = "Example: cairn checkpoint 4711 -o job.ctx\n\nThe job goes on running unless --kill or --stop is given."
    )]
    Checkpoint(CheckpointArgs),
    /// Bring a job back from its context file
    #[command(
        after_help = "Example: cairn restart context.4711\n\nStays as the parent of the job, passes signals on to it and ends as it ends."
    )]
    Restart(RestartArgs),
    /// Start a command so that it can be checkpointed: in a session of its own, away from the
    /// terminal
    #[command(after_help = "Example: cairn run -o job.log -- ./simulate --steps 1000000")]
    Run(RunArgs),
    /// Show what a context file holds
    Info(InfoArgs),
    /// Explain what would stop a checkpoint of a process, without making one
    Check(CheckArgs),
    /// Show the version of this program, and what the kernel module says of itself
    About(AboutArgs),
    /// Print a shell's completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// List the faults that this build can commit
    #[cfg(feature = "planted-faults")]
    Faults {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which processes a PID stands for.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct ScopeArgs {
    /// The process and all its descendants (default)
    #[arg(long)]
    tree: bool,
    /// This one process
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
    /// When it is on the disk
    File,
    /// When the kernel has it
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
    /// The kernel module when it is loaded and can tell everything, else ptrace
    Auto,
    /// ptrace and /proc
    Ptrace,
    /// The kernel module, or fail
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

/// Whom a checkpoint is of, and how it looks.
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
    /// Save it also when a debugger traces it, which takes the kernel module; the debugger is not
    /// told, and its breakpoints are saved as code
    #[arg(long)]
    pub traced: bool,
    /// Save it although processes outside share open files or memory with it; after a restart it
    /// has copies of its own
    #[arg(long)]
    pub shared: bool,
    /// Leave the file outside that descriptors with this name lead to (`ls -l /proc/PID/fd`):
    /// /dev/pts/3, pipe:[1234], socket:[1234]; a restart needs another in its place
    #[arg(long, value_name = "NAME", value_parser = external_name)]
    pub external: Vec<PathBytes>,
    /// How long to wait for what does not stop or answer
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
            external: args.external.clone(),
            patience: Duration::from_secs(args.time),
        }
    }
}

fn external_name(text: &str) -> Result<PathBytes, String> {
    let name = PathBytes(text.as_bytes().to_vec());
    if is_name(&name) {
        return Ok(name);
    }
    Err("give a name as `ls -l /proc/PID/fd` shows it: /dev/pts/3, pipe:[1234], socket:[1234]".into())
}

/// Where an external file is replaced from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A path.
    Path(PathBuf),
    /// A descriptor that we were started with.
    Fd(i32),
}

fn replacement(text: &str) -> Result<(PathBytes, Place), String> {
    let (name, place) = text.split_once('=').ok_or("give NAME=PATH or NAME=fd:N")?;
    let place = match place.strip_prefix("fd:") {
        Some(number) => Place::Fd(number.parse().map_err(|_| "a descriptor is a number: NAME=fd:N")?),
        None if place.is_empty() => return Err("give NAME=PATH or NAME=fd:N".into()),
        None => Place::Path(place.into()),
    };
    Ok((external_name(name)?, place))
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// The context file, or `-` for standard output [default: context.PID]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Kill the job once it is saved, and once it is certain that it could be restarted here
    #[arg(long)]
    pub kill: bool,
    /// Leave the job stopped once it is saved, as SIGSTOP does
    #[arg(long, conflicts_with = "kill")]
    pub stop: bool,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Wait for the disk, or not
    #[arg(long, value_enum, default_value_t = SyncArg::File)]
    pub sync: SyncArg,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Session and group of what had that of a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SessionArg {
    /// Those of whoever restarts
    Join,
    /// A session of its own
    New,
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
    /// Leave the job to itself once it runs
    #[arg(long)]
    pub detach: bool,
    /// Where processes go whose session and group were not saved, those of a shell for example
    /// [default: join; new with --detach]
    #[arg(long, value_enum)]
    pub session: Option<SessionArg>,
    /// How long to wait for PIDs of processes that have ended and that their parents have yet to
    /// wait for
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub time: u64,
    /// Restart also where the clocks that count from the start of the machine are behind those of
    /// the checkpoint
    #[arg(long)]
    pub ignore_clocks: bool,
    /// Cut files that the job has open for writing back to what they were when more has been
    /// appended since; without a path, all of them
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub truncate: Vec<OsString>,
    /// Go on with files that changed since, as they are now; without a path, all of them
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub ignore_changes: Vec<OsString>,
    /// Put another file in the place of one that the checkpoint left outside: the one at PATH, or
    /// that of descriptor N, as fd:N
    #[arg(long, value_name = "NAME=PATH", value_parser = replacement)]
    pub external: Vec<(PathBytes, Place)>,
    /// Print the steps instead of taking them
    #[arg(long, conflicts_with = "json")]
    pub plan: bool,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write `released` to this descriptor when the job runs
    #[arg(long, value_name = "N")]
    pub notify_fd: Option<i32>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Standard output and error are appended to this file [default: cairn.out]
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
    /// Everything, as JSON
    #[arg(long)]
    pub json: bool,
    /// Check the checksums of all pages, too
    #[arg(long)]
    pub verify: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AboutArgs {
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}
