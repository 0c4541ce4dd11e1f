//! Checks that an engine's program responds before it is used for any cell.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use super::printed::Printed;
use super::{ENVIRONMENT, named};

/// Maximum length of a version, in characters.
const LONGEST: usize = 256;
/// Limit on each output stream, in bytes.
const MOST: u64 = 64 << 10;

/// The version of the engine of this name: the output of its program with `--version`, one line of
/// printable UTF-8 of at most 256 characters.
///
/// # Errors
/// Why the output is not a version, in one line that begins with the command.
pub fn probe(name: &str, program: &Path, limit: Duration) -> Result<String, String> {
    let Some(engine) = named(name, program.to_owned()) else {
        return Err(format!("{}: no adapter for this name", program.display()));
    };
    let mut command = engine.version();
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let words = words.join(" ".as_ref()).to_string_lossy().into_owned();
    answer(&mut command, limit).map_err(|why| format!("{words}: {why}"))
}

/// Runs a command in its own process group and kills the whole group afterwards.
fn answer(command: &mut Command, limit: Duration) -> Result<String, String> {
    command.env_clear().envs(ENVIRONMENT).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let heard = listen(&mut child, limit);
    // The PID cannot be reused before the child is reaped.
    let killed = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let status = child.wait().map_err(|e| e.to_string())?;
    let (stdout, stderr) = heard?;
    killed.map_err(|errno| format!("kill leftover processes: {errno}"))?;
    judge(status, &stdout, &stderr)
}

/// Reads both output streams of a program until it ends.
fn listen(child: &mut Child, limit: Duration) -> Result<(Vec<u8>, Vec<u8>), String> {
    let text = |error: std::io::Error| error.to_string();
    let deadline = Instant::now() + limit;
    let pid = rustix::process::Pid::from_child(child);
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| text(errno.into()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let mut stdout = Printed::new(stdout, Vec::new(), "it", "standard output", MOST).map_err(text)?;
    let mut stderr = Printed::new(stderr, Vec::new(), "it", "standard error", MOST).map_err(text)?;
    let (mut out, mut err) = (true, true);
    loop {
        let mut polled = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        // A closed stream would always poll as ready.
        polled.extend(out.then(|| PollFd::new(stdout.as_fd(), PollFlags::POLLIN)));
        polled.extend(err.then(|| PollFd::new(stderr.as_fd(), PollFlags::POLLIN)));
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, left) {
            Ok(0) => return Err(format!("it did not exit within {limit:.1?}")),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(text(errno.into())),
        }
        let over = polled[0].any().unwrap_or(true);
        out = stdout.drain().map_err(|e| e.to_string())?;
        err = stderr.drain().map_err(|e| e.to_string())?;
        if over {
            return Ok((stdout.into_inner(), stderr.into_inner()));
        }
    }
}

/// The version in a program's output.
fn judge(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Result<String, String> {
    if !status.success() {
        let said = String::from_utf8_lossy(stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let status = status.to_string().replacen("exit status: ", "exit status ", 1);
        return Err([&status, said]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(": "));
    }
    let text = str::from_utf8(stdout).map_err(|_| "the answer is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.trim().is_empty() {
        return Err("it printed nothing".to_owned());
    }
    if line.chars().any(char::is_control) {
        return Err("the answer is not one line of printable text".to_owned());
    }
    if line.chars().count() > LONGEST {
        return Err(format!("the answer has more than {LONGEST} characters"));
    }
    Ok(line.to_owned())
}
