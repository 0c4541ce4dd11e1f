//! The side of who requests a checkpoint: a coordinator is started, which reports when it is done.

use crate::codes::{CHECKPOINT_ARGS_VERSION, ERESTARTED};
use crate::connections;
use crate::critical;
use crate::sys;
use crate::wire::{Kind, LONGEST, Message};
use libc::c_int;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// `cr_checkpoint_args_t`
#[repr(C)]
pub struct CheckpointArgs {
    pub version: c_int,
    pub scope: c_int,
    pub target: c_int,
    pub fd: c_int,
    pub signal: c_int,
    pub timeout: u32,
    pub flags: u32,
}

/// `CR_CHKPT_ASYNC_ERR`
const ASYNC_ERRORS: u32 = 0x10;
/// All that is defined, `CR_CHKPT_DUMP_ALL` among them.
const FLAGS: u32 = 0xe1f;

/// A request under way.
pub struct Handle {
    connection: c_int,
    started: u64,
    /// The error code, and what was logged.
    report: Option<(c_int, Vec<u8>)>,
}

/// The words of the command line for each scope (`cr_scope_t`).
const SCOPES: [&str; 4] = ["--pid", "--pgid", "--sid", "--tree"];

impl CheckpointArgs {
    /// `cr_initialize_checkpoint_args_t()`
    pub fn new() -> Self {
        let (version, scope) = (CHECKPOINT_ARGS_VERSION, 3);
        CheckpointArgs { version, scope, target: 0, fd: -1, signal: 0, timeout: 0, flags: 0 }
    }

    fn check(&self) -> Result<(&'static str, c_int), c_int> {
        let scope = usize::try_from(self.scope).ok().and_then(|at| SCOPES.get(at)).ok_or(libc::EINVAL)?;
        let is_known = (1..=CHECKPOINT_ARGS_VERSION).contains(&self.version) && self.flags & !FLAGS == 0;
        let traced = self.flags & 6;
        if !is_known || !(0..=64).contains(&self.signal) || self.target < 0 || traced == 6 {
            return Err(libc::EINVAL);
        }
        let target = match (self.target, self.scope) {
            (0, 1) => sys::own_group(false),
            (0, 2) => sys::own_group(true),
            (0, _) => sys::getpid(),
            (target, _) => target,
        };
        Ok((scope, target))
    }

    /// Starts it.
    ///
    /// # Errors
    /// EINVAL, EBADF, ESRCH, EPERM; ENOSYS where cairn is not installed.
    pub fn request(&self) -> Result<Handle, c_int> {
        let (scope, target) = self.check()?;
        let found = match (sys::is_writable(self.fd), self.scope) {
            (false, _) => Err(libc::EBADF),
            // Members of a session are looked for by the coordinator.
            (true, 2) => Ok(()),
            (true, 1) => sys::look_for(-target),
            (true, _) => sys::look_for(target),
        };
        match found {
            Err(code) if self.flags & ASYNC_ERRORS == 0 => return Err(code),
            Err(code) => return Ok(Handle::ended(code)),
            Ok(()) => {}
        }
        let numbers = [sys::getpid(), self.signal, self.timeout as i32, self.flags as i32];
        let mut args = vec!["cairn".to_owned(), "libcr-checkpoint".into(), scope.into(), target.to_string()];
        args.extend(numbers.map(|number| number.to_string()));
        let args: Vec<CString> = args.into_iter().filter_map(|arg| CString::new(arg).ok()).collect();
        let program = program()?;
        // What is shared with the coordinator while it is started is in no checkpoint.
        critical::atomically(|| self.start(&program, &args))
    }

    fn start(&self, program: &CStr, args: &[CString]) -> Result<Handle, c_int> {
        let [ours, theirs] = sys::pair()?;
        let handle = Handle { connection: ours, started: sys::start_time(), report: None };
        let started = match connections::add(ours) {
            true => sys::start(program, args, [theirs, self.fd]),
            false => Err(libc::EAGAIN),
        };
        sys::close(theirs);
        started?;
        sys::send(ours, &Message::new(Kind::Begin, 0));
        Ok(handle)
    }
}

/// Where the program `cairn` is: `CAIRN_PROGRAM`, or in the search path.
fn program() -> Result<CString, c_int> {
    let found = std::env::var_os("CAIRN_PROGRAM").map(PathBuf::from).or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        std::env::split_paths(&path).map(|dir| dir.join("cairn")).find(|file| file.is_file())
    });
    let found = found.ok_or(libc::ENOSYS)?;
    CString::new(OsStr::as_bytes(found.as_os_str())).map_err(|_| libc::ENOSYS)
}

impl Handle {
    /// A request that has failed before it began.
    fn ended(code: c_int) -> Handle {
        Handle { connection: -1, started: 0, report: Some((code, Vec::new())) }
    }

    /// Waits until it is done, or so many milliseconds, -1 without a limit: whether it is done.
    ///
    /// # Errors
    /// EINTR
    pub fn wait(&mut self, milliseconds: c_int) -> Result<bool, c_int> {
        if self.report.is_some() {
            return Ok(true);
        }
        match sys::await_readable(self.connection, milliseconds) {
            Ok(false) => return Ok(false),
            Err(libc::EINTR) => return Err(libc::EINTR),
            Ok(true) | Err(_) => {}
        }
        let mut room = [0; LONGEST];
        let received = sys::receive(self.connection, &mut room);
        let restarted = sys::start_time() != self.started;
        self.report = Some(match received.ok().and_then(|len| Message::decode(&room[..len])) {
            Some(Message { kind: Kind::Report, value, text, .. }) => (value, text.to_vec()),
            Some(Message { kind: Kind::Result, .. }) => (ERESTARTED, Vec::new()),
            _ if restarted => (ERESTARTED, Vec::new()),
            // The coordinator was killed.
            _ => (libc::EIO, b"the coordinator of the checkpoint was killed\n".to_vec()),
        });
        Ok(true)
    }

    /// What was logged, once it is done.
    pub fn log(&self) -> &[u8] {
        self.report.as_ref().map_or(&[], |(_, log)| log)
    }

    /// The error code, 0 if there is none; `None` while it is not done.
    pub fn code(&self) -> Option<c_int> {
        self.report.as_ref().map(|(code, _)| *code)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.connection >= 0 {
            connections::remove(self.connection);
            sys::close(self.connection);
        }
    }
}
