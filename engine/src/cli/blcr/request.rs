//! The request of a program by `cr_request_checkpoint()`: libcr starts this.

use super::coordinator::{Request, coordinate};
use super::wire::{Kind, LONGEST, Message};
use anyhow::{Context, bail};
use cairn::tree::Scope;
use clap::Args;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// What libcr passes. Standard input is the connection to it, standard output the destination.
#[derive(Debug, Args)]
pub struct RequestArgs {
    /// `--pid`, `--pgid`, `--sid` or `--tree`
    #[arg(allow_hyphen_values = true)]
    scope: String,
    /// Of whom
    target: i32,
    /// Who asks
    requester: i32,
    /// The signal afterwards
    signal: i32,
    /// How many seconds the processes may take
    timeout: u64,
    /// `CR_CHKPT_*`
    flags: u32,
}

pub fn run(args: &RequestArgs) -> anyhow::Result<u8> {
    let scope = match args.scope.as_str() {
        "--pid" => Scope::Process(args.target),
        "--pgid" => Scope::Group(args.target),
        "--sid" => Scope::Session(args.target),
        _ => Scope::Tree(args.target),
    };
    let connection = std::io::stdin().as_fd().try_clone_to_owned().context("duplicate standard input")?;
    let destination = own_destination().context("open the destination")?;
    // A signal to the group of whoever asks is not for us.
    cairn::sys::session::begin().context("begin a session")?;
    let request = Request {
        scope,
        signal: args.signal,
        limit: Duration::from_secs(args.timeout),
        flags: args.flags,
        requester: args.requester,
        destination,
    };
    let mut room = [0; LONGEST];
    let (said, _) = rustix::net::recv(&connection, &mut room[..], rustix::net::RecvFlags::empty())?;
    if !matches!(Message::decode(&room[..said]), Some(Message { kind: Kind::Begin, .. })) {
        bail!("whoever asked has ended");
    }
    let outcome = coordinate(&request);
    let text = outcome.log.as_bytes();
    let len = Message { text, ..Message::new(Kind::Report, outcome.code) }.encode(&mut room);
    // Whoever has ended is not interested.
    let _ = rustix::net::send(connection, &room[..len], rustix::net::SendFlags::NOSIGNAL);
    Ok(0)
}

/// The destination on standard output. A file is opened again: the job, which may have the
/// requester in it, shares nothing with us.
fn own_destination() -> std::io::Result<OwnedFd> {
    let given = std::io::stdout().as_fd().try_clone_to_owned()?;
    let mut file = File::from(given.try_clone()?);
    if !file.metadata()?.is_file() {
        return Ok(given);
    }
    let mut own = File::options().write(true).open(format!("/proc/self/fd/{}", given.as_raw_fd()))?;
    own.seek(SeekFrom::Start(file.stream_position()?))?;
    // What is left of the old one is standard output itself.
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(own.into())
}
