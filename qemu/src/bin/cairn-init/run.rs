//! Runs the command: starts it, waits for it, and reaps every orphan as soon as it exits.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use cairn_qemu::job::{Console, GuestJob, InitEnd};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

use crate::{Failure, terminal};

/// Runs the job's command until it exits. Returns its exit status and the processes left over; the
/// caller adds the taint masks.
pub fn run(job: &GuestJob, port: &File) -> Result<InitEnd, Failure> {
    let (program, args) = job.command.split_first().ok_or("the job has no command")?;
    let mut command = match job.console {
        Console::Log => {
            let output = port.try_clone().map_err(|e| format!("duplicate the result port: {e}"))?;
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(output);
            command
        }
        Console::Interactive => {
            let mut command = Command::new("/init");
            command.arg(terminal::FLAG).arg(program).args(args);
            command
        }
    };
    command
        .env_clear()
        .env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin")
        .env("HOME", "/root")
        .env("TERM", "linux");
    command.envs(&job.env);
    if let Some(cwd) = &job.cwd {
        fs::create_dir_all(cwd).map_err(|e| format!("create {cwd}: {e}"))?;
        command.current_dir(cwd);
    }
    let child = command.spawn().map_err(|e| format!("start {program}: {e}"))?;
    let main = Pid::from_child(&child);
    let mut end = InitEnd::default();
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => {
                end.code = status.exit_status();
                end.signal = status.terminating_signal();
                break;
            }
            Ok(Some(_)) => end.reaped += 1,
            Ok(None) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("wait for {program}: {e}")),
        }
    }
    // Zombies are not strays.
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {
        end.reaped += 1;
    }
    end.strays = strays();
    Ok(end)
}

/// `PID (name)` of every process except PID 1 and kernel threads.
fn strays() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != 1)
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stray(&stat)
        })
        .collect();
    found.sort();
    found
}

/// The process of a `/proc/PID/stat` line, unless it is a kernel thread (`PF_KTHREAD` in its
/// flags).
fn stray(stat: &str) -> Option<String> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let (head, tail) = stat.rsplit_once(')')?;
    let flags: u64 = tail.split_whitespace().nth(6)?.parse().ok()?;
    (flags & PF_KTHREAD == 0).then(|| format!("{head})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_are_no_strays() {
        assert_eq!(stray("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0"), None);
        assert_eq!(stray("71 (a) b) S 1 71 71 0 -1 4194560 0 0 0 0").as_deref(), Some("71 (a) b)"));
        assert_eq!(stray(""), None);
    }
}
