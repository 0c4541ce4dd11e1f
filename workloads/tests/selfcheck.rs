//! Every workload must pass when nothing happens between `ready` and `go`: one test a workload, no
//! engine.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn-workloads");

/// Longer than the workloads' own deadline, so that their message comes first.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let listed = Command::new(PROGRAM).args(["list", "--json"]).output().expect("list the workloads");
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).expect("parse the list");
    let mut trials: Vec<Trial> = listed
        .iter()
        .map(|w| {
            let name = w["name"].as_str().expect("a name").to_owned();
            Trial::test(name.clone(), move || drive(&name))
        })
        .collect();
    let count = trials.len();
    trials.push(Trial::test("names_are_unique", move || {
        let mut names: Vec<_> = listed.iter().map(|w| w["name"].to_string()).collect();
        names.sort();
        names.dedup();
        if names.len() == count { Ok(()) } else { Err(Failed::from("two workloads share a name")) }
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// ready, go, exit 0. A workload that skips has run its checks of what is needed, which is all it
/// can do here.
fn drive(name: &str) -> Result<(), Failed> {
    let cell = tempfile::tempdir().map_err(|e| format!("cell directory: {e}"))?;
    for fifo in ["ready", "go"] {
        nix::unistd::mkfifo(&cell.path().join(fifo), nix::sys::stat::Mode::from_bits_truncate(0o600))
            .map_err(|e| format!("mkfifo {fifo}: {e}"))?;
    }
    let output = |file: &str| {
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(cell.path().join(file))
            .expect("an output file")
    };
    let mut command = Command::new(PROGRAM);
    command.args(["run", name]).current_dir(cell.path());
    command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
    let session = || nix::unistd::setsid().map(drop).map_err(std::io::Error::from);
    // SAFETY: setsid is async-signal-safe and needs nothing of the parent.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, session) };
    let mut child = command.spawn().map_err(|e| format!("start {name}: {e}"))?;
    let end = Instant::now() + PATIENCE;

    // Opened without blocking: a workload that ends early must not leave the test waiting for a
    // writer.
    let mut ready = open_nonblocking(&cell.path().join("ready"), libc::O_RDONLY)?;
    let mut said: Vec<u8> = Vec::new();
    let mut gone = None;
    while gone.is_none() && said != b"ready\n" {
        gone = child.try_wait().map_err(|e| format!("wait: {e}"))?;
        let mut part = [0; 64];
        match std::io::Read::read(&mut ready, &mut part) {
            Ok(n) => said.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(finish(&mut child, cell.path(), &format!("ready: {e}")).into()),
        }
        if Instant::now() > end {
            return Err(finish(&mut child, cell.path(), "never said ready").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let stderr = || std::fs::read_to_string(cell.path().join("stderr")).unwrap_or_default();
    if let Some(status) = gone {
        return match status.code() {
            Some(77) if stderr().starts_with("skip: ") && said.is_empty() => Ok(()),
            _ => Err(format!("ended before ready with {status}: {}", stderr()).into()),
        };
    }
    drop(ready);
    let _go = loop {
        match open_nonblocking(&cell.path().join("go"), libc::O_WRONLY) {
            Ok(go) => break go,
            Err(e) if Instant::now() > end => return Err(finish(&mut child, cell.path(), &e).into()),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    loop {
        if let Some(status) = child.try_wait().map_err(|e| format!("wait: {e}"))? {
            return if status.success() { Ok(()) } else { Err(format!("{status}: {}", stderr()).into()) };
        }
        if Instant::now() > end {
            return Err(finish(&mut child, cell.path(), "never ended").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn open_nonblocking(path: &Path, access: i32) -> Result<std::fs::File, String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let (read, write) = (access == libc::O_RDONLY, access == libc::O_WRONLY);
    let file = std::fs::File::options().read(read).write(write).custom_flags(libc::O_NONBLOCK).open(path);
    file.map_err(|e| format!("open {}: {e}", path.display()))
}

/// Kills a workload that hangs; `what` and what it printed as the message.
fn finish(child: &mut std::process::Child, cell: &Path, what: &str) -> String {
    let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let killed = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    let reaped = child.wait();
    let stderr = std::fs::read_to_string(cell.join("stderr")).unwrap_or_default();
    format!("{what} (kill: {killed:?}, {reaped:?}): {stderr}")
}
