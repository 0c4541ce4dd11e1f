//! The interactive console: a session whose controlling terminal is the serial line.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The argument that selects this role.
pub const FLAG: &str = "--console";

/// Becomes a session leader with the console as its controlling terminal, and executes the command.
/// Returns only on failure, with a message.
pub fn take(command: Vec<OsString>) -> String {
    match try_take(command) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn try_take(command: Vec<OsString>) -> Result<std::convert::Infallible, String> {
    let (program, args) = command.split_first().ok_or("no command for the console")?;
    // /dev/console itself can never be a controlling terminal; this names the device behind it.
    let active =
        fs::read_to_string("/sys/class/tty/console/active").map_err(|e| format!("find the console: {e}"))?;
    let name = active.split_whitespace().next_back().ok_or("there is no console")?;
    rustix::process::setsid().map_err(|e| format!("start a session: {e}"))?;
    let path = format!("/dev/{name}");
    let tty = File::options().read(true).write(true).open(&path).map_err(|e| format!("open {path}: {e}"))?;
    rustix::process::ioctl_tiocsctty(&tty).map_err(|e| format!("take {path} as the terminal: {e}"))?;
    let end = |e: rustix::io::Errno| format!("use {path}: {e}");
    rustix::stdio::dup2_stdin(&tty).map_err(end)?;
    rustix::stdio::dup2_stdout(&tty).map_err(end)?;
    rustix::stdio::dup2_stderr(&tty).map_err(end)?;
    let error = Command::new(program).args(args).exec();
    Err(format!("start {}: {error}", program.display()))
}
