//! `cr_checkpoint`

use super::coordinator::{Request, code, coordinate};
use super::{RELEASE, USAGE, parse};
use anyhow::{Context, bail};
use cairn::tree::Scope;
use clap::{ArgAction, Parser};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Checkpoint processes
#[derive(Debug, Parser)]
#[command(name = "cr_checkpoint", version = RELEASE)]
struct Args {
    /// Print progress messages
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Print no errors or warnings
    #[arg(short, long)]
    quiet: bool,
    /// ID is a process; it and all its descendants are saved (default)
    #[arg(short = 'T', long, overrides_with_all = ["pid", "pgid", "sid"])]
    tree: bool,
    /// ID is a process, which alone is saved
    #[arg(short, long, visible_alias = "process", overrides_with_all = ["tree", "pgid", "sid"])]
    pid: bool,
    /// ID is a process group
    #[arg(short = 'g', long, visible_alias = "group", overrides_with_all = ["tree", "pid", "sid"])]
    pgid: bool,
    /// ID is a session
    #[arg(short, long, visible_alias = "session", overrides_with_all = ["tree", "pid", "pgid"])]
    sid: bool,
    /// Save to context.ID in the working directory (default)
    #[arg(short, long, conflicts_with_all = ["file", "fd"])]
    cwd: bool,
    /// Save to FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "fd")]
    file: Option<PathBuf>,
    /// Save to an open descriptor
    #[arg(short = 'F', long, value_name = "FD")]
    fd: Option<i32>,
    /// Create or replace the file atomically (default)
    #[arg(long, overrides_with_all = ["backup", "clobber", "noclobber"])]
    atomic: bool,
    /// The same, and keep an existing one as NAME, or FILE.~1~, FILE.~2~ …
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    backup: Option<String>,
    /// Write to the file itself
    #[arg(long, overrides_with_all = ["atomic", "backup", "noclobber"])]
    clobber: bool,
    /// Fail if the file exists
    #[arg(long, overrides_with_all = ["atomic", "backup", "clobber"])]
    noclobber: bool,
    /// Send no signal afterwards (default)
    #[arg(long)]
    run: bool,
    /// Send this signal to all processes afterwards
    #[arg(short = 'S', long, value_name = "NUM", value_parser = clap::value_parser!(i32).range(1..=64))]
    signal: Option<i32>,
    /// Send SIGSTOP
    #[arg(long)]
    stop: bool,
    /// Send SIGTERM
    #[arg(long)]
    term: bool,
    /// Send SIGABRT
    #[arg(long)]
    abort: bool,
    /// Send SIGKILL
    #[arg(long)]
    kill: bool,
    /// Send SIGCONT
    #[arg(long)]
    cont: bool,
    /// Write the file to the disk (default)
    #[arg(long)]
    sync: bool,
    /// Leave the file in the page cache
    #[arg(long, overrides_with = "sync")]
    nosync: bool,
    /// Save processes that are traced, too
    #[arg(long)]
    ptraced_allow: bool,
    /// How many seconds the processes may take; 0 without a limit
    #[arg(short, long, value_name = "SEC", default_value_t = 0)]
    time: u64,
    /// What is to be saved
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    id: i32,
}

impl Args {
    fn scope(&self) -> Scope {
        match self {
            Args { pid: true, .. } => Scope::Process(self.id),
            Args { pgid: true, .. } => Scope::Group(self.id),
            Args { sid: true, .. } => Scope::Session(self.id),
            _ => Scope::Tree(self.id),
        }
    }

    fn signal(&self) -> i32 {
        match self {
            Args { stop: true, .. } => libc::SIGSTOP,
            Args { term: true, .. } => libc::SIGTERM,
            Args { abort: true, .. } => libc::SIGABRT,
            Args { kill: true, .. } => libc::SIGKILL,
            Args { cont: true, .. } => libc::SIGCONT,
            _ => self.signal.unwrap_or(0),
        }
    }
}

/// What happens with the file when the checkpoint is complete.
struct Target {
    fd: OwnedFd,
    /// Where it is until then, and where it goes.
    paths: Option<(PathBuf, PathBuf)>,
}

impl Target {
    fn open(args: &Args) -> anyhow::Result<Target> {
        if let Some(fd) = args.fd {
            let fd = cairn::sys::session::duplicate(fd).with_context(|| format!("descriptor {fd}"))?;
            return Ok(Target { fd, paths: None });
        }
        let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("context.{}", args.id)));
        if file.is_dir() {
            bail!(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let in_place = args.clobber || args.noclobber;
        let path = if in_place { file.clone() } else { hidden(&file) };
        let mut options = OpenOptions::new();
        options.write(true).mode(0o400).create_new(args.noclobber).create(true).truncate(!args.noclobber);
        let fd = match options.open(&path) {
            // One that may only be read is replaced.
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied && !args.noclobber => {
                std::fs::remove_file(&path)?;
                options.open(&path)?
            }
            other => other?,
        };
        Ok(Target { fd: fd.into(), paths: Some((path, file)) })
    }

    /// Gives the file its name.
    fn keep(&self, args: &Args) -> io::Result<()> {
        let Some((path, file)) = &self.paths else { return Ok(()) };
        if let Some(name) = args.backup.as_ref().filter(|_| file.exists()) {
            let numbered = || {
                let name = |number: u32| PathBuf::from(format!("{}.~{number}~", file.display()));
                (1..).map(name).find(|name| !name.exists()).expect("there are many numbers")
            };
            let name = if name.is_empty() { numbered() } else { PathBuf::from(name) };
            std::fs::rename(file, name)?;
        }
        if path != file {
            std::fs::rename(path, file)?;
        }
        if !args.nosync {
            let file = File::from(self.fd.try_clone()?);
            file.sync_all()?;
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn remove(&self) {
        if let Some((path, _)) = &self.paths {
            // It is incomplete; what cannot be removed is recognised as such.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// `.NAME.tmp` beside a file.
fn hidden(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.tmp"))
}

pub fn main() -> u8 {
    let args: Args = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let complain = |text: &str| {
        if !args.quiet {
            eprint!("{text}");
        }
    };
    let target = match Target::open(&args) {
        Ok(target) => target,
        Err(err) => {
            complain(&format!("Failed to open checkpoint file: {err:#}\n"));
            let code = err.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            return code.map_or(USAGE, |code| code as u8);
        }
    };
    let request = |destination| Request {
        scope: args.scope(),
        signal: args.signal(),
        limit: Duration::from_secs(args.time),
        flags: if args.ptraced_allow { 2 } else { 0 },
        requester: std::process::id() as i32,
        destination,
    };
    let outcome = match target.fd.try_clone() {
        Ok(destination) => coordinate(&request(destination)),
        Err(err) => {
            complain(&format!("Failed to open checkpoint file: {err}\n"));
            return USAGE;
        }
    };
    if outcome.code == 0 {
        if args.verbose > 0 {
            complain(&outcome.log);
        }
        if let Err(err) = target.keep(&args) {
            complain(&format!("Failed to complete the checkpoint file: {err}\n"));
            return err.raw_os_error().map_or(USAGE, |code| code as u8);
        }
        return 0;
    }
    target.remove();
    let why = match outcome.code {
        code::ETEMPFAIL => "Checkpoint cancelled by application: try again later".to_owned(),
        code::EPERMFAIL => "Checkpoint cancelled by application: unable to checkpoint".into(),
        libc::ESRCH => "Checkpoint failed: no processes checkpointed".into(),
        code::EPTRACED => "Checkpoint failed: a process is traced".into(),
        other if outcome.is_cancelled => format!("Checkpoint cancelled by application: code {other}"),
        other => format!("Checkpoint failed: {}", io::Error::from_raw_os_error(other)),
    };
    complain(&format!("{}{why}\n", outcome.log));
    outcome.code as u8
}
