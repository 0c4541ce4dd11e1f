//! Jobs on a terminal: a restart lends them that of its caller.

use super::{CAIRN, cairn, complaint, exit_code, pidns, status_field, wait_for};
use rstest::rstest;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

/// Reads lines from its terminal, without echo, and logs each with what it sees of the terminal.
const TALKER: &str = r#"
import fcntl, os, signal, struct, sys, termios
def log(word):
    size = struct.unpack('HHHH', fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    echo = 1 if termios.tcgetattr(0)[3] & termios.ECHO else 0
    front = os.tcgetpgrp(0) == os.getpgrp()
    print(word, os.ttyname(0), f'{size[0]}x{size[1]}', f'echo={echo}', f'front={front}', file=out, flush=True)
def ended(*_):
    log('interrupt')
    sys.exit(9)
out = open('log', 'a')
signal.signal(signal.SIGWINCH, lambda *_: log('size'))
signal.signal(signal.SIGINT, signal.SIG_DFL if 'plain' in sys.argv else ended)
if 'quiet' in sys.argv:
    now = termios.tcgetattr(0)
    now[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, now)
log(str(os.getpid()))
if 'wait' in sys.argv:
    while True: signal.pause()
for line in sys.stdin:
    log(line.strip())
"#;

/// A terminal of this size, and its name.
fn terminal((ws_row, ws_col): (u16, u16)) -> (nix::pty::OpenptyResult, String) {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    for end in [&pty.master, &pty.slave] {
        fcntl_setfd(end, FdFlags::CLOEXEC).expect("set");
    }
    tcsetwinsize(&pty.slave, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pty.slave));
    let name = std::fs::read_link(link).expect("it has a name").display().to_string();
    (pty, name)
}

/// A shell on a terminal; killed at the end.
struct Shell {
    child: Child,
    keys: File,
    name: String,
    /// What the terminal has shown, for failures.
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Shell {
    fn start(dir: &std::path::Path, size: (u16, u16)) -> Shell {
        Shell::run(dir, size, &["bash", "--norc", "--noprofile", "-i"])
    }

    fn run(dir: &std::path::Path, size: (u16, u16), program: &[&str]) -> Shell {
        let (pty, name) = terminal(size);
        let mut command = Command::new("setsid");
        command.args(["--ctty"]).args(program).current_dir(dir).env("CAIRN", CAIRN).env("TERM", "dumb");
        let same = || pty.slave.try_clone().expect("duplicated");
        command.stdin(same()).stdout(same()).stderr(same());
        let child = command.spawn().expect("it starts");
        let keys = File::from(pty.master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, kept) = (keys.try_clone().expect("duplicated"), shown.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = screen.read(&mut buf) {
                kept.lock().expect("not poisoned").extend_from_slice(&buf[..len]);
            }
        });
        Shell { child, keys, name, shown }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).expect("written");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = self.shown.lock().expect("not poisoned");
            eprintln!("{} has shown: {}", self.name, String::from_utf8_lossy(&shown));
            let columns = "pid,ppid,pgid,tpgid,stat,wchan:20,args";
            let there = duct::cmd!("ps", "-o", columns, "-t", self.name.trim_start_matches("/dev/"));
            eprintln!("there: {}", there.read().unwrap_or_default());
        }
        // What has ended already is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job on a terminal, and what it logs.
struct Talker {
    dir: tempfile::TempDir,
    pid: i32,
}

impl Talker {
    /// Typed into a shell; `{}` stands for the command.
    fn start(shell: &mut Shell, dir: tempfile::TempDir, how: &str) -> Talker {
        shell.types(&format!("{how}\n"));
        let mut talker = Talker { dir, pid: 0 };
        let pid = wait_for("the job", || talker.words().first()?.split(' ').next()?.parse().ok());
        talker.pid = pid;
        // It has called what it waits in: a signal that comes before would not end that call.
        talker.await_state(|state| state == 'S');
        talker
    }

    fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("talker.py"), TALKER).expect("written");
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn words(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a line of the log that begins so.
    fn await_word(&self, word: &str) -> String {
        let begin = format!("{word} ");
        wait_for(word, || self.words().into_iter().find(|line| line.starts_with(&begin)))
    }

    fn state(&self) -> char {
        status_field(self.pid, "State").and_then(|state| state.chars().next()).unwrap_or('-')
    }

    fn await_state(&self, is_wanted: impl Fn(char) -> bool) {
        wait_for("the state of the job", || is_wanted(self.state()).then_some(()));
    }

    /// Waits until a restart has released it.
    fn await_release(&self) {
        self.await_state(|state| state != '-' && state != 'Z');
        // Until then it is traced.
        wait_for("its name", || status_field(self.pid, "Name").filter(|name| name != "cairn"));
        wait_for("the job", || status_field(self.pid, "TracerPid").filter(|tracer| tracer == "0"));
    }

    /// Its number may be another outside its PID namespace.
    fn find_outside(&mut self) {
        let all = std::fs::read_dir("/proc").expect("it can be listed").flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = pids.find(|pid| pidns::number(*pid, "NSpid") == Some(self.pid));
        self.pid = found.expect("it lives");
    }

    fn save_and_kill(&self, more: &[&str]) {
        let output = self.checkpoint(&[&["--kill"], more].concat());
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        self.await_state(|state| state == '-' || state == 'Z');
    }

    fn checkpoint(&self, more: &[&str]) -> std::process::Output {
        let (pid, file) = (self.pid.to_string(), self.path("context").display().to_string());
        let mut args = vec!["checkpoint", &pid, "-o", &file];
        args.extend(more);
        duct::cmd(CAIRN, args)
            .stdin_null()
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()
            .expect("it starts")
    }

    fn text(&self, name: &str) -> String {
        let path = self.path(name);
        wait_for(name, || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

const RESTART: &str = "$CAIRN restart context; echo $? > code; stty -a > after\n";
/// In a PID namespace of its own, in which the groups of the shell have no numbers.
const IN_NEW_PIDNS: &str = "$CAIRN restart --new-pidns context; echo $? > code; stty -a > after\n";

/// Settings and foreground are those of the job while it runs, and the shell's when it has stopped
/// or ended.
#[rstest]
#[case::plain(RESTART)]
#[case::in_a_new_pidns(IN_NEW_PIDNS)]
fn a_job_continues_on_the_terminal_of_the_restart(#[case] restart: &str) {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let mut talker = Talker::start(&mut before, dir, "python3 talker.py quiet");
    before.types("one\n");
    assert_eq!(talker.await_word("one"), format!("one {} 24x80 echo=0 front=True", before.name));
    talker.save_and_kill(&[]);
    drop(before);

    let mut shell = Shell::start(talker.dir.path(), (30, 100));
    shell.types(restart);
    let seen = format!("{} 30x100 echo=0 front=True", shell.name);
    assert_eq!(talker.await_word("size"), format!("size {seen}"));
    talker.find_outside();
    shell.types("two\n");
    assert_eq!(talker.await_word("two"), format!("two {seen}"));

    for word in ["three", "four"] {
        shell.types("\x1a");
        talker.await_state(|state| state == 'T');
        shell.types(&format!("stty -a > {word}\n"));
        assert!(talker.text(word).contains(" echo "), "the job keeps the terminal: {}", talker.text(word));
        shell.types("fg\n");
        talker.await_state(|state| state != 'T');
        shell.types(&format!("{word}\n"));
        assert_eq!(talker.await_word(word), format!("{word} {seen}"));
    }

    shell.types("\x03");
    assert_eq!(talker.await_word("interrupt"), format!("interrupt {seen}"));
    // The shell went on with the rest of the line when the restart stopped.
    shell.types("echo $? > code; stty -a > after; echo > ended\n");
    talker.text("ended");
    assert_eq!(talker.text("code"), "9\n");
    assert!(talker.text("after").contains(" echo "), "{}", talker.text("after"));
}

/// Its terminal then shows the settings of the shell, which are not the job's.
#[test]
fn a_job_in_the_background_comes_into_the_foreground() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py wait &");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types(RESTART);
    assert_eq!(talker.await_word("size"), format!("size {} 24x80 echo=1 front=True", shell.name));
    shell.types("\x03");
    assert_eq!(talker.text("code"), "9\n");
}

/// As the key itself would have stopped a job in the group of the script.
#[test]
fn a_key_stops_the_script_that_restarts() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py quiet");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types("sh -c '$CAIRN restart context; echo $? > code'\n");
    talker.await_word("size");
    shell.types("\x1a");
    talker.await_state(|state| state == 'T');
    shell.types("echo > free\n");
    talker.text("free");
    shell.types("fg\n");
    talker.await_state(|state| state != 'T');
    shell.types("here\n");
    assert_eq!(talker.await_word("here"), format!("here {} 24x80 echo=0 front=True", shell.name));
    shell.types("\x03");
    assert_eq!(talker.text("code"), "9\n");
}

/// A script ends when what it waits for is interrupted.
#[test]
fn a_key_ends_the_script_that_restarts() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py plain");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types("bash -c '$CAIRN restart context; echo > next'\n");
    talker.await_word("size");
    shell.types("\x03");
    talker.await_state(|state| state == '-');
    shell.types("echo $? > code\n");
    assert_eq!(talker.text("code"), "130\n");
    assert!(!talker.path("next").exists());
}

/// A shell does not tell a running job that it is in the foreground now.
#[test]
fn a_key_reaches_all_of_a_job_that_came_into_the_foreground() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let mut talker = Talker::start(&mut before, dir, "sh -c 'python3 talker.py wait; exit 5'");
    talker.pid = status_field(talker.pid, "PPid").expect("it lives").parse().expect("a number");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types("$CAIRN restart context & echo > started\n");
    talker.text("started");
    talker.await_release();
    let front = || tcgetpgrp(&shell.keys).expect("the master side tells");
    let before = front();
    (&shell.keys).write_all(b"fg\n").expect("written");
    // The key would discard a command that has not been read.
    wait_for("the restart in the foreground", || (front() != before).then_some(()));
    shell.types("\x03");
    assert_eq!(talker.await_word("interrupt"), format!("interrupt {} 24x80 echo=1 front=True", shell.name));
}

/// It leaves the script the terminal.
#[test]
fn a_restart_that_a_script_runs_beside_itself_is_in_the_background() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py wait");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types("sh -c '$CAIRN restart context & read word; echo $word > word'\n");
    talker.await_release();
    shell.types("hello\n");
    assert_eq!(talker.text("word"), "hello\n");
}

/// It is lent as if nothing had been given.
#[test]
fn the_terminal_may_be_given_as_a_replacement() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py");
    talker.save_and_kill(&["--external", &before.name]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types(&format!("$CAIRN restart context --external {}=/dev/tty; echo $? > code\n", before.name));
    talker.await_state(|state| state != '-');
    shell.types("here\n");
    assert_eq!(talker.await_word("here"), "here /dev/tty 24x80 echo=1 front=True");
    shell.types("\x03");
    assert_eq!(talker.text("code"), "9\n");
}

/// It reads when it has the terminal, and stops until then.
#[test]
fn a_restart_in_the_background_waits_for_the_terminal() {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut before, dir, "python3 talker.py quiet");
    talker.save_and_kill(&[]);
    let mut shell = Shell::start(talker.dir.path(), (24, 80));
    shell.types("$CAIRN restart context &\n");
    talker.await_state(|state| state == 'T');
    // The shell continues what it knows to have stopped.
    shell.types("until jobs -s | grep -q .; do sleep .02; done; echo > free\n");
    talker.text("free");
    shell.types("fg\n");
    talker.await_state(|state| state != 'T' && state != '-');
    shell.types("here\n");
    assert_eq!(talker.await_word("here"), format!("here {} 24x80 echo=0 front=True", shell.name));
}

/// Its session is then that of a process of cairn, which gives it back when the job ends.
#[rstest]
#[case::plain(&[])]
#[case::in_a_new_pidns(&["--new-pidns"])]
fn a_job_gets_the_terminal_of_a_supervisor(#[case] more: &[&str]) {
    let dir = Talker::directory();
    let mut before = Shell::start(dir.path(), (24, 80));
    let mut talker = Talker::start(&mut before, dir, "python3 talker.py quiet");
    talker.save_and_kill(&[]);
    let file = talker.path("context").display().to_string();

    let (pty, name) = terminal((30, 100));
    let screen = pty.master.try_clone().expect("duplicated");
    std::thread::spawn(move || {
        let (mut screen, mut buf) = (File::from(screen), [0; 4096]);
        while let Ok(1..) = screen.read(&mut buf) {}
    });
    let args = ["restart", "--detach", "--pty", &name, &file].into_iter().chain(more.iter().copied());
    let run = duct::cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked();
    let output = run.run().expect("cairn starts");
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    talker.find_outside();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", talker.pid));

    let seen = format!("{name} 30x100 echo=0 front=True");
    assert_eq!(talker.await_word("size"), format!("size {seen}"));
    let mut keys = File::from(pty.master);
    keys.write_all(b"two\n").expect("written");
    assert_eq!(talker.await_word("two"), format!("two {seen}"));
    assert_eq!(
        tcgetpgrp(&keys).ok(),
        rustix::process::getpgid(rustix::process::Pid::from_raw(talker.pid)).ok()
    );
    // It is taken now.
    let output = cairn(["restart", "--detach", "--new-pidns", "--pty", &name, &file]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let expected = format!("--pty {name}: is the controlling terminal of another session");
    assert!(complaint(&output).contains(&expected), "{}", complaint(&output));
    // No shell is there, but whoever sends this signal continues the job, too.
    super::harm::kill(talker.pid, rustix::process::Signal::STOP);
    talker.await_state(|state| state == 'T');
    cairn(["check", &talker.pid.to_string()]);
    talker.await_state(|state| state == 'T');
    super::harm::kill(talker.pid, rustix::process::Signal::CONT);
    talker.await_state(|state| state == 'S');
    keys.write_all(b"\x03").expect("written");
    assert_eq!(talker.await_word("interrupt"), format!("interrupt {seen}"));
    talker.await_state(|state| state == '-' || state == 'Z');
}

#[test]
fn what_is_no_terminal_cannot_be_given_as_one() {
    let job = super::Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &["--kill"])), 0);
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let file = job.path("context").display().to_string();
    let (_pty, name) = terminal((24, 80));
    for (path, why) in [
        ("/nonexistent", "no such file"),
        ("/dev/null", "is not a terminal"),
        (&*file, "is not a terminal"),
        ("/dev/ptmx", "is the side of a terminal emulator"),
        (&*name, "the job had no terminal"),
    ] {
        let output = cairn(["restart", "--detach", "--pty", path, &file]);
        assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
        assert!(complaint(&output).contains(&format!("--pty {path}: {why}")), "{}", complaint(&output));
    }
    let output = cairn(["restart", "--pty", &name, &file]);
    assert_eq!(exit_code(&output), 2, "{}", complaint(&output));
}

#[test]
fn without_a_terminal_a_restart_says_what_it_needs() {
    let dir = Talker::directory();
    let mut shell = Shell::start(dir.path(), (24, 80));
    let talker = Talker::start(&mut shell, dir, "python3 talker.py");
    talker.save_and_kill(&[]);
    let file = talker.path("context").display().to_string();
    let advice =
        format!("{}: was the terminal of the job: restart it on a terminal, without --detach", shell.name);
    let output = cairn(["restart", "--detach", &file]);
    assert_eq!(exit_code(&output), 7);
    assert!(complaint(&output).contains(&advice), "{}", complaint(&output));
    shell.types(
        "$CAIRN restart --detach context 2> detached; $CAIRN restart --session new context 2> session\n",
    );
    for name in ["detached", "session"] {
        assert!(talker.text(name).contains(&advice), "{}", talker.text(name));
    }

    std::fs::write(talker.path("input"), "from a file\n").expect("written");
    let given = format!("{}={}", shell.name, talker.path("input").display());
    let output = cairn(["restart", "--detach", &file, "--external", &given]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    // It is no terminal, which the job does not expect.
    talker.await_state(|state| state == '-');
}

#[test]
fn the_terminal_of_a_session_in_the_job_is_refused() {
    let dir = Talker::directory();
    let mut shell = Shell::run(dir.path(), (24, 80), &["python3", "talker.py"]);
    let talker = Talker::start(&mut shell, dir, "hello");
    let output = talker.checkpoint(&[]);
    assert_eq!(exit_code(&output), 3);
    let expected = [
        format!(
            "fd 0 ({}) is the controlling terminal of session {}, which is in the job",
            shell.name, talker.pid
        ),
        "leave it outside with --external".into(),
    ];
    for part in expected {
        assert!(complaint(&output).contains(&part), "{}", complaint(&output));
    }
    shell.types("still here\n");
    talker.await_word("still here");
    talker.save_and_kill(&["--external", &shell.name]);
}
