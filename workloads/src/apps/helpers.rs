//! Programs of a distribution, unmodified and with their default settings, and what talks to them.

use crate::framework::prelude::*;
use crate::terminals::helpers::Pty;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// Where programs are, besides in PATH.
const ELSEWHERE: [&str; 2] = ["/usr/sbin", "/usr/lib/postgresql/15/bin"];

/// A command for an installed program; without it the workload cannot run.
pub fn command(name: &str) -> anyhow::Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from));
    match places.map(|place| place.join(name)).find(|program| program.is_file()) {
        Some(program) => Ok(Command::new(program)),
        None => skip(format!("{name} is not installed")),
    }
}

/// A program that answers each line with one. It ends with what it reads, and is waited for, when
/// this is dropped.
pub struct Talk {
    child: Child,
    /// Until it is to end.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    /// What it is told last, if it does not see the end of what it reads.
    pub goodbye: Option<&'static str>,
}

impl Talk {
    /// Starts it.
    pub fn with(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start it")?;
        let from = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Talk { to: child.stdin.take(), child, from, goodbye: None })
    }

    /// Sends a line.
    pub fn say(&mut self, line: &str) -> Outcome {
        let to = self.to.as_mut().context("it is to end")?;
        to.write_all(format!("{line}\n").as_bytes()).context("write to it")
    }

    /// Its next line.
    pub fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line).context("read from it")?;
        anyhow::ensure!(line.ends_with('\n'), "it has ended, after {line:?}");
        line.pop();
        Ok(line)
    }

    /// Ends what it reads; it must exit with 0.
    pub fn end(mut self) -> Outcome {
        self.to = None;
        exits(&mut self.child)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Whether it was lost is told by its answers, or by `end`.
        let _ = self.goodbye.map(|goodbye| self.say(goodbye));
        self.to = None;
        let _ = self.child.wait();
    }
}

/// Waits for the end of a program, which must succeed.
pub fn exits(child: &mut Child) -> Outcome {
    let status = child.wait().context("wait for it")?;
    expect(status.success(), || format!("it ended with {status}"))
}

/// The sum of the numbers up to this one: what a program says that adds what it is told.
pub fn sum(number: u64) -> String {
    (number * (number + 1) / 2).to_string()
}

/// Runs a program that adds up what it is told, and compares each sum, across [`Ctx::ready`].
pub fn adds(cx: &mut Ctx, program: &str, args: &[&str]) -> Outcome {
    let mut adding = command(program)?;
    adding.args(args);
    converse(cx, adding, sum)
}

/// Tells a program one number after the other, across [`Ctx::ready`], and compares its answers.
pub fn converse(cx: &mut Ctx, command: Command, answer: fn(u64) -> String) -> Outcome {
    let mut talk = Talk::with(command)?;
    keep_asking(cx, move |number| {
        talk.say(&number.to_string())?;
        expect_eq("answer", talk.hear()?, answer(number))
    })
}

/// Asks again and again in a thread of its own, across [`Ctx::ready`]; each time with a number.
pub fn keep_asking(cx: &mut Ctx, mut ask: impl FnMut(u64) -> Outcome + Send + 'static) -> Outcome {
    let rounds = Arc::new(Rounds::new());
    let asked = Arc::clone(&rounds);
    let thread = thread::spawn(move || {
        let mut number = 0;
        while asked.wanted() {
            ask(number)?;
            asked.bump();
            number += 1;
        }
        Ok(())
    })?;
    let crossed = rounds.cross(cx, 5, 5);
    // Why there were no more is what the thread says.
    if crossed.is_ok() { thread.join() } else { crossed }
}

/// A server that is killed at the end.
pub struct Server(Child);

impl Server {
    /// Starts it, quiet.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Server(quiet.spawn().context("start the server")?))
    }

    /// Has it end, by a signal.
    pub fn end(mut self, signal: i32) -> Outcome {
        // SAFETY: kill has no memory arguments; the pid is our unreaped child.
        sys::check("kill", unsafe { libc::kill(self.0.id() as i32, signal) })?;
        self.0.wait().context("wait for the server")?;
        Ok(())
    }
}

/// Connects as soon as that is possible.
pub fn connected<T>(mut connect: impl FnMut() -> std::io::Result<T>) -> anyhow::Result<T> {
    let mut stream = None;
    sync::wait_until("the server to listen", || {
        stream = connect().ok();
        Ok(stream.is_some())
    })?;
    stream.context("a connection")
}

/// A port that nobody uses.
pub fn free_port() -> anyhow::Result<u16> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").context("bind")?;
    Ok(probe.local_addr().context("its address")?.port())
}

/// Reads exactly these bytes.
pub fn expect_said(from: &mut impl Read, said: &str) -> Outcome {
    let mut got = vec![0; said.len()];
    from.read_exact(&mut got).with_context(|| format!("read {said:?}"))?;
    expect_bytes("answer", &got, said.as_bytes())
}

/// Bytes that are read from a terminal at once.
const ROOM: usize = 4096;

/// A program on a terminal of its own, which it controls.
pub struct OnTerminal {
    pub pty: Pty,
    child: Child,
    seen: String,
}

impl OnTerminal {
    /// Starts it.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let pty = Pty::new()?;
        let slave = || pty.slave.try_clone().context("dup");
        command.stdin(slave()?).stdout(slave()?).stderr(slave()?).env("TERM", "vt100");
        // SAFETY: both calls may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().context("start it")?;
        Ok(OnTerminal { pty, child, seen: String::new() })
    }

    /// Types something.
    pub fn types(&self, keys: &str) -> Outcome {
        fd::write_all(&self.pty.master, keys.as_bytes())
    }

    /// Waits until it shows this.
    pub fn shows(&mut self, what: &str) -> Outcome {
        while !self.seen.contains(what) {
            let got =
                fd::read_some(&self.pty.master, ROOM).with_context(|| format!("after {:?}", self.seen))?;
            self.seen.push_str(&String::from_utf8_lossy(&got));
        }
        let end = self.seen.find(what).map_or(0, |at| at + what.len());
        self.seen.drain(..end);
        Ok(())
    }

    /// Has a shell that prompts with `> ` keep a number across [`Ctx::ready`], and ends it.
    pub fn keeps_number(mut self, cx: &mut Ctx) -> Outcome {
        self.shows("> ")?;
        self.types("n=41\r")?;
        self.shows("n=41")?;
        self.shows("> ")?;

        cx.ready()?;

        self.types("echo is $((n + 1))\r")?;
        self.shows("is 42")?;
        self.types("exit\r")?;
        self.ends()
    }

    /// Waits for its end, in which it must succeed.
    pub fn ends(self) -> Outcome {
        let OnTerminal { pty, mut child, .. } = self;
        // What it still writes has to go somewhere.
        drop(pty.slave);
        let reader = thread::spawn(move || {
            // EIO: nobody has the other side any more.
            while fd::read_some(&pty.master, ROOM).is_ok_and(|got| !got.is_empty()) {}
            Ok(())
        })?;
        exits(&mut child)?;
        reader.join()
    }
}

/// Waits until a file has these contents.
pub fn await_contents(path: &Path, contents: &str) -> Outcome {
    sync::wait_until(&format!("{} to be written", path.display()), || {
        Ok(std::fs::read_to_string(path).is_ok_and(|found| found == contents))
    })
}
