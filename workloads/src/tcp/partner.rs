//! The other end of a connection in a process outside the job, which is not saved and goes on
//! meanwhile.

use super::helpers::{listener, receive, send};
use crate::framework::prelude::*;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// Such a process.
pub struct Partner {
    verdict: PathBuf,
}

/// Connects to a new one, which plays the other end. The harness learns its PID by a file.
pub fn partner(
    cx: &Ctx,
    address: &str,
    play: impl FnOnce(TcpStream) -> Outcome,
) -> anyhow::Result<(TcpStream, Partner)> {
    let listener = listener(address)?;
    let to = listener.local_addr()?;
    let partner = Partner { verdict: cx.dir.join("verdict") };
    let between = fork("a process between", || {
        // SAFETY: setsid has no preconditions; the job's session is left.
        unsafe { libc::setsid() };
        // SAFETY: as in `child::fork`.
        let pid = sys::check("fork", unsafe { libc::fork() })?;
        if pid != 0 {
            return std::fs::write(cx.dir.join("partners"), format!("{pid}\n")).context("write partners");
        }
        keep_only(listener.as_raw_fd())?;
        let played = listener.accept().context("accept").and_then(|(stream, _)| {
            drop(listener);
            play(stream)
        });
        say(&partner.verdict, &played.map_or_else(|err| format!("{err:#}"), |()| RIGHT.into()))?;
        child::exit(0)
    })?;
    between.join()?;
    let stream = TcpStream::connect(to).context("connect")?;
    Ok((stream, partner))
}

const RIGHT: &str = "right";

/// Closes all descriptors but one: those that the job has, too, would be shared with it.
fn keep_only(kept: i32) -> Outcome {
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in numbers.into_iter().filter(|fd| *fd != kept) {
        // SAFETY: nothing of this process uses them any more.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Makes a file with this text, as a whole.
pub fn say(path: &Path, text: &str) -> Outcome {
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).context("write a file")
}

/// Sends bytes, and receives others in return.
pub fn ask(stream: &TcpStream, seed: u64) -> Outcome {
    for len in [1, 70_000, 3000] {
        send(stream, &pattern::bytes(len, seed ^ 1))?;
        pattern::verify("the answer", &receive(stream, len)?, seed ^ 2)?;
    }
    Ok(())
}

/// The other side of [`ask`].
pub fn answer(stream: &TcpStream, seed: u64) -> Outcome {
    for len in [1, 70_000, 3000] {
        pattern::verify("the question", &receive(stream, len)?, seed ^ 1)?;
        send(stream, &pattern::bytes(len, seed ^ 2))?;
    }
    Ok(())
}

impl Partner {
    /// Waits for its end, of which it has to say that all was right.
    pub fn join(self) -> Outcome {
        sync::wait_until("the partner's verdict", || Ok(self.verdict.exists()))?;
        expect_eq("the partner's verdict", std::fs::read_to_string(&self.verdict)?.as_str(), RIGHT)
    }
}
