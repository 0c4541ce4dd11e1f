//! Files that a job leaves outside at the checkpoint, and gets others for at the restart.

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// Answers every line that it reads on standard input.
struct Echo {
    dir: tempfile::TempDir,
    child: Child,
}

impl Echo {
    fn start(input: OwnedFd, output: OwnedFd) -> Echo {
        let dir = tempfile::tempdir().expect("a directory");
        // It would inherit what we were started with.
        cairn::sys::session::keep_descriptors_to_ourselves().expect("ours");
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", "while read line; do echo got $line; done"]).current_dir(dir.path());
        command.stdin(input).stdout(output).stderr(Stdio::null());
        Echo { child: command.spawn().expect("setsid starts"), dir }
    }

    /// What a descriptor of it leads to.
    fn name(&self, fd: i32) -> String {
        let link = std::fs::read_link(format!("/proc/{}/fd/{fd}", self.child.id())).expect("it is open");
        link.to_str().expect("UTF-8").to_owned()
    }

    fn context(&self) -> String {
        self.dir.path().join("context").display().to_string()
    }

    fn save_and_kill(&mut self, external: &[&str]) {
        let (pid, context) = (self.child.id().to_string(), self.context());
        let mut args = vec!["checkpoint", &pid, "--kill", "-o", &context];
        external.iter().for_each(|name| args.extend(["--external", name]));
        let output = cmd(CAIRN, args).stderr_capture().stdout_capture().unchecked().run().expect("it starts");
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        self.child.wait().expect("it was killed");
    }

    /// Restarts it with this standard input for cairn itself.
    fn restart(&self, stdin: OwnedFd, external: &[String]) -> Output {
        let mut command = Command::new(CAIRN);
        command.args(["restart", "--detach", &self.context()]).stdin(stdin);
        for one in external {
            command.args(["--external", one]);
        }
        command.output().expect("cairn starts")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // The child itself or what was restarted in its place; either may have ended.
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("positive");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").expect("opened").into()
}

fn ask(mut to: impl Write, from: impl std::io::Read, word: &str) {
    writeln!(to, "{word}").expect("written");
    let expected = format!("got {word}");
    let mut lines = BufReader::new(from).lines().map(|line| line.expect("read"));
    assert!(lines.any(|line| line.trim_end() == expected));
}

fn terminal() -> (File, OwnedFd) {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    (pty.master.into(), pty.slave)
}

#[test]
fn a_terminal_is_replaced_by_another() {
    let (ours, theirs) = terminal();
    let mut echo = Echo::start(theirs.try_clone().expect("duplicated"), theirs);
    ask(&ours, &ours, "one");
    let name = echo.name(0);
    echo.save_and_kill(&[&name]);

    let output = echo.restart(null(), &[]);
    assert_eq!(exit_code(&output), 7);
    let advice = format!(
        "{name}: was left outside at the checkpoint: supply a replacement with --external {name}=PATH"
    );
    assert!(complaint(&output).contains(&advice), "{}", complaint(&output));

    let (ours, theirs) = terminal();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", theirs.as_raw_fd()));
    let by_path = format!("{name}={}", link.expect("a terminal has a name").display());
    for (stdin, place) in [(null(), by_path), (theirs, format!("{name}=fd:0"))] {
        let output = echo.restart(stdin, &[place]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        ask(&ours, &ours, "two");
        let pid = rustix::process::Pid::from_raw(echo.child.id() as i32).expect("positive");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
        let path = format!("/proc/{}", echo.child.id());
        wait_for("the end of the job", || (!Path::new(&path).exists()).then_some(()));
    }
}

#[test]
fn a_socket_is_replaced_by_another() {
    let pair = || UnixStream::pair().expect("a pair");
    let (ours, theirs) = pair();
    let mut echo = Echo::start(theirs.try_clone().expect("duplicated").into(), theirs.into());
    ask(&ours, &ours, "one");
    let name = echo.name(0);
    echo.save_and_kill(&[&name]);
    let (ours, theirs) = pair();
    let output = echo.restart(theirs.into(), &[format!("{name}=fd:0")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    ask(&ours, &ours, "two");
}

/// What the job wrote before is read by whoever reads the old pipe, and what it writes afterwards
/// is in the file: no byte is lost, none is there twice.
#[test]
fn a_file_takes_the_place_of_a_pipe_to_another_program() {
    let (input, numbers) = rustix::pipe::pipe().expect("a pipe");
    let (lines, output) = rustix::pipe::pipe().expect("a pipe");
    let mut echo = Echo::start(input, output);
    let mut to = File::from(numbers);
    (0..1000).for_each(|number| writeln!(to, "{number}").expect("it fits"));
    let names = [echo.name(0), echo.name(1)];
    let (pid, context) = (echo.child.id().to_string(), echo.context());

    let refused = cairn(["checkpoint", &pid, "-o", &context]);
    assert_eq!(exit_code(&refused), 3);
    for name in &names {
        assert!(complaint(&refused).contains(&format!("({name})")), "{}", complaint(&refused));
    }
    assert!(complaint(&refused).contains("--external"), "{}", complaint(&refused));
    let unknown = cairn(["checkpoint", &pid, "-o", &context, "--external", "pipe:[1]"]);
    assert_eq!(exit_code(&unknown), 3);
    assert!(complaint(&unknown).contains("pipe:[1]: no descriptor of the job refers to it"));

    echo.save_and_kill(&[&names[0], &names[1]]);
    let log = echo.dir.path().join("log");
    let places = |input: &str| [format!("{}={input}", names[0]), format!("{}={}", names[1], log.display())];
    let missing = echo.restart(null(), &places("fd:0"));
    assert_eq!(exit_code(&missing), 7, "{}", complaint(&missing));
    assert!(complaint(&missing).contains("log: no such file"), "{}", complaint(&missing));
    std::fs::write(&log, "").expect("made");
    // What the job has not read yet is still in the pipe.
    let rest = File::open(format!("/proc/self/fd/{}", to.as_raw_fd()));
    let restarted = echo.restart(rest.expect("a read end").into(), &places("fd:0"));
    assert_eq!(exit_code(&restarted), 0, "{}", complaint(&restarted));
    // The end of its input.
    drop(to);
    let path = format!("/proc/{}", echo.child.id());
    wait_for("the end of the job", || (!Path::new(&path).exists()).then_some(()));
    let before = BufReader::new(File::from(lines)).lines().map(|line| line.expect("read"));
    let after = std::fs::read_to_string(&log).expect("written");
    let all: Vec<String> = before.chain(after.lines().map(str::to_owned)).collect();
    let expected: Vec<String> = (0..1000).map(|number| format!("got {number}")).collect();
    assert_eq!(all, expected);
}

/// Neither what would be read and written against the descriptor's own mode, nor the file that the
/// job comes from.
#[test]
fn what_cannot_replace_is_refused_before_anything_is_created() {
    let (input, _words) = rustix::pipe::pipe().expect("a pipe");
    let (_lines, output) = rustix::pipe::pipe().expect("a pipe");
    let mut echo = Echo::start(input, output);
    let (input, name, context) = (echo.name(0), echo.name(1), echo.context());
    echo.save_and_kill(&[&input, &name]);
    let refused = |stdin: OwnedFd, places: &[&str], why: &str| {
        let output_to = places.iter().map(|place| format!("{name}={place}"));
        let places: Vec<String> = output_to.chain([format!("{input}=/dev/null")]).collect();
        let output = echo.restart(stdin, &places);
        assert_eq!(exit_code(&output), 7, "{places:?}: {}", complaint(&output));
        assert!(complaint(&output).contains(why), "{places:?}: {}", complaint(&output));
    };
    refused(null(), &["fd:0"], "is open for reading; it cannot replace");
    refused(null(), &[&context], "is the context file");
    refused(null(), &["/tmp"], "is a directory");
    refused(null(), &["/dev/null", "/dev/zero"], "is given more than once");
    assert_eq!(exit_code(&cairn(["info", "--verify", &context])), 0);
}

#[test]
fn what_has_state_is_not_left_outside() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("regular");
    std::fs::write(&file, "").expect("made");
    let reader = Job::script(&format!("exec 6<{}; sleep 600", file.display()));
    let leads = || std::fs::read_link(format!("/proc/{}/fd/6", reader.pid)).is_ok();
    wait_for("the descriptor", || leads().then_some(()));
    let output = reader.checkpoint("context", &["--external", file.to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("omit --external"), "{}", complaint(&output));
}

#[test]
fn a_pipe_within_the_job_does_not_lie_outside() {
    let job = Job::script("sleep 600 | sleep 600");
    let children = format!("/proc/{0}/task/{0}/children", job.pid);
    let of_children = || std::fs::read_to_string(&children).ok().filter(|text| text.split(' ').count() > 2);
    let first: i32 = wait_for("both", of_children).split(' ').next().unwrap().parse().unwrap();
    let name = || std::fs::read_link(format!("/proc/{first}/fd/1")).ok()?.to_str().map(str::to_owned);
    let name = wait_for("the pipe", || name().filter(|name| name.starts_with("pipe:")));
    let output = job.checkpoint("context", &["--external", &name]);
    assert_eq!(exit_code(&output), 3);
    assert!(complaint(&output).contains("both of its ends are in the job"), "{}", complaint(&output));
}

#[test]
fn a_name_that_is_none_is_an_error_of_usage() {
    for (command, word) in [
        ("checkpoint", "anon_inode:[eventpoll]"),
        ("checkpoint", "/tmp/a=b"),
        ("restart", "pipe:[1]=fd:-1"),
        ("restart", "/dev/pts/0"),
        ("restart", "pipe:[1]=fd:x"),
    ] {
        let output = cairn([command, "1", "--external", word]);
        assert_eq!(exit_code(&output), 2, "{command} {word}: {}", complaint(&output));
    }
}
