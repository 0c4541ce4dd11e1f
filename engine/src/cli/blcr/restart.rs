//! `cr_restart`: `cairn restart`, whose processes are told by whom they were restarted.

use super::wire::{Kind, LONGEST, Message};
use super::{RELEASE, USAGE, parse};
use anyhow::Context;
use cairn::error::Error;
use cairn::image::{Location, Reader};
use cairn::resource::Records;
use cairn::resource::fd::Kind as File;
use clap::Parser;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Restart processes from a context file
#[derive(Debug, Parser)]
#[command(name = "cr_restart", version = RELEASE, disable_version_flag = true)]
struct Args {
    /// Print version information
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Print no errors
    #[arg(short, long)]
    quiet: bool,
    /// Read the checkpoint from FILE
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["fd", "context"])]
    file: Option<PathBuf>,
    /// Read the checkpoint from an open descriptor
    #[arg(short = 'F', long, value_name = "FD", conflicts_with = "context")]
    fd: Option<u32>,
    /// Send no signal afterwards (default)
    #[arg(long)]
    run: bool,
    /// Restore the process ids (default)
    #[arg(long)]
    restore_pid: bool,
    /// The context file
    context: Option<PathBuf>,
}

pub fn main() -> u8 {
    let args: Args = match parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let file = match (&args.file, args.fd, &args.context) {
        (Some(file), None, None) | (None, None, Some(file)) => file.clone(),
        (None, Some(fd), None) => PathBuf::from(format!("/proc/self/fd/{fd}")),
        _ => {
            eprintln!("cr_restart: expected one context file; see cr_restart --help");
            return USAGE;
        }
    };
    match restart(&file) {
        Ok(never) => match never {},
        Err(err) => {
            if !args.quiet {
                eprintln!("Restart failed: {err:#}");
            }
            match err.downcast_ref::<Error>() {
                Some(err) => err.exit_code(),
                None => 1,
            }
        }
    }
}

/// Becomes `cairn restart`.
fn restart(file: &Path) -> anyhow::Result<std::convert::Infallible> {
    let failed = |source| Error::of_image(file, source);
    let reader = Reader::open(Location::from(file)).map_err(failed)?;
    let records: Records = reader.records().map_err(failed)?;
    let path = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let mut command = Command::new(std::env::current_exe().context("find the program")?);
    command.arg("restart").arg(file);
    // A program that saves itself has it open.
    if let Some(own) = records.inodes.iter().find(|inode| Path::new(OsStr::from_bytes(&inode.path.0)) == path)
    {
        command.arg(format!("--ignore-changes={}", own.path));
    }
    // Where libcr waits for the answer of its coordinator, there is another.
    let mut kept = Vec::new();
    for name in records.inodes.iter().filter_map(|inode| match &inode.kind {
        File::External(external) if external.name.0.starts_with(b"socket:[") => Some(&external.name),
        _ => None,
    }) {
        let theirs = answer(&path)?;
        command.arg("--external").arg(format!("{name}=fd:{}", theirs.as_raw_fd()));
        kept.push(theirs);
    }
    Err(command.exec()).context("run cairn")
}

/// A connection from which can be read who restarts the job. It has no other end any more.
fn answer(path: &Path) -> anyhow::Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None)?;
    let own = std::process::id() as i32;
    let mut room = [0; LONGEST];
    let text = path.as_os_str().as_bytes();
    let len = Message { text, ..Message::new(Kind::Result, own) }.encode(&mut room);
    send(&ours, &room[..len], SendFlags::NOSIGNAL).context("prepare the answer for libcr")?;
    Ok(theirs)
}
