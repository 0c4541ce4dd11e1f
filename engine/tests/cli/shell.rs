//! The job of a living shell: saved and killed from there, and brought back to there or elsewhere.

use super::*;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::{Child, Command, Stdio};

/// Counts in the file `count` from the moment when it is up.
const JOB: &str = "
import os, time
number = 0
while True:
    number += 1
    with open('count.new', 'w') as file: print(number, file=file)
    os.rename('count.new', 'count')
    time.sleep(.001)
";

/// What begins a session and executes a program, with nothing open that this test was started with.
const APART: &str = r#"
    for link in /proc/self/fd/*; do
        number=${link##*/}
        [ $number -le 2 ] || eval "exec $number>&-"
    done
    exec setsid "$@"
"#;

fn apart<const N: usize>(program: [&str; N]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", APART, "apart"]).args(program);
    command
}

/// A job that cairn has not started, and who has. All that works in its directory is killed at the
/// end.
struct Started {
    job: Job,
    by: Child,
}

impl Started {
    /// By a shell that leads a session; it tells the number of the job by the function `tell`.
    fn shell(text: &str) -> Started {
        let text = format!("tell() {{ echo $1 > job.new; mv job.new job; }}\n{text}");
        let mut started = Started::by(apart(["bash", "-c", &text]));
        let tell = || std::fs::read_to_string(started.job.path("job")).ok();
        started.job.pid = wait_for("the number of the job", tell).trim().parse().expect("a number");
        started.job.await_progress();
        started
    }

    /// The job is what is started.
    fn by(mut command: Command) -> Started {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("job.py"), JOB).expect("written");
        command.current_dir(dir.path()).env("CAIRN", CAIRN);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let by = command.spawn().expect("it starts");
        Started { job: Job { dir, pid: by.id() as i32 }, by }
    }

    fn file(&self) -> String {
        self.job.path("context").display().to_string()
    }

    fn save_and_kill(&self) {
        let output = self.job.checkpoint("context", &["--kill"]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    }

    /// `cairn restart` of it, in the background, by this command.
    fn begin_restart<const N: usize>(&self, by: [&str; N]) -> Child {
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(self.file()).current_dir(self.job.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let works_here = |pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| cwd.starts_with(self.job.dir.path()))
        };
        // What is born meanwhile is met by the next look.
        for _ in 0..100 {
            let names = std::fs::read_dir("/proc").expect("/proc is there").flatten();
            let pids = names.filter_map(|name| name.file_name().to_str()?.parse::<i32>().ok());
            let ours: Vec<i32> = pids.filter(works_here).collect();
            ours.iter().for_each(|pid| harm::kill(*pid, Signal::KILL));
            if ours.is_empty() {
                break;
            }
        }
        // It may have been waited for.
        let _ = self.by.wait();
    }
}

/// Process group and session.
fn place(pid: i32) -> (i32, i32) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let fields: Vec<i32> = stat
        .rsplit_once(") ")
        .expect("a name")
        .1
        .split_ascii_whitespace()
        .skip(2)
        .map_while(|field| field.parse().ok())
        .collect();
    (fields[0], fields[1])
}

/// How a child ends that is not waited for by anybody else.
fn code_of(child: &mut Child) -> i32 {
    let status = wait_for("the end of a child", || child.try_wait().expect("it is our child"));
    status.code().expect("it is not killed")
}

#[rstest]
#[case::with_job_control("set -m", true)]
#[case::without("", false)]
fn a_job_of_a_living_shell_is_a_job_of_it_again(#[case] control: &str, #[case] own_group: bool) {
    let text = r#"
        python3 job.py < /dev/null > log 2>&1 & p=$!
        tell $p
        until [ -e go ]; do sleep .01; done
        "$CAIRN" checkpoint $p --kill && wait || exit
        "$CAIRN" restart context.$p & engine=$!
        echo $engine > engine
        wait $engine
        echo $? > ended
    "#;
    let started = Started::shell(&format!("{control}\n{text}"));
    let (job, shell) = (&started.job, started.by.id() as i32);
    assert_eq!(place(job.pid), (if own_group { job.pid } else { shell }, shell));
    std::fs::write(job.path("go"), "").expect("written");
    let said = |name: &str| std::fs::read_to_string(job.path(name)).ok()?.trim().parse::<i32>().ok();
    let engine = wait_for("the restart", || said("engine"));
    wait_for("the job", || status_field(job.pid, "PPid").filter(|parent| *parent == engine.to_string()));
    job.await_progress();
    let (group, session) = place(engine);
    assert_eq!(session, shell);
    assert_eq!(place(job.pid), (if own_group { job.pid } else { group }, session));
    assert_eq!(said("ended"), None);
    harm::kill(job.pid, Signal::KILL);
    assert_eq!(wait_for("the end of the restart", || said("ended")), 128 + 9);
}

/// The first example of the README: its commands of `cairn` print what stands there, but for
/// numbers and for the directory.
#[test]
fn the_first_example_for_users_is_true() {
    let readme = include_str!("../../../README.md").lines();
    let example: Vec<&str> = readme
        .skip_while(|line| !line.starts_with("    "))
        .map_while(|line| line.strip_prefix("    "))
        .collect();
    let mut script = "PATH=${CAIRN%/*}:$PATH".to_owned();
    let mut expected = String::new();
    let mut commands = example.split(|line| line.starts_with("$ ")).skip(1);
    for line in example.iter().filter_map(|line| line.strip_prefix("$ ")) {
        let output = commands.next().expect("one a command").join("\n");
        if line.starts_with("python3 ") {
            // The shell's user is slower than a program.
            script += &format!("\n{line}\ntell $!; until [ -e go ]; do sleep .01; done");
        } else if line.starts_with("cairn ") {
            script += &format!("\n{} >> said 2>&1", line.replace("context.2116", "context.$!"));
            expected += &format!("{output}\n");
        }
    }
    script += "\necho $? > ended; sleep infinity";
    let words = ["python3 job.py", "cairn check ", "cairn checkpoint ", "--kill", "cairn restart --detach "];
    assert!(words.iter().all(|word| script.contains(word)), "{script}");
    let started = Started::shell(&script);
    std::fs::write(started.job.path("go"), "").expect("written");
    let file = |name: &str| std::fs::read_to_string(started.job.path(name)).ok();
    let ended = || file("ended").filter(|text| text.ends_with('\n'));
    let code = wait_for("the end of the script", ended);
    let said = file("said").expect("written");
    assert_eq!(code, "0\n", "{said}");
    let said = said.replace(&*started.job.dir.path().to_string_lossy(), "/tmp/demo");
    assert_eq!(without_numbers(&said), without_numbers(&expected));
    started.job.await_progress();
}

/// A text with `N` for every number.
fn without_numbers(text: &str) -> String {
    let mut short = String::new();
    let mut last = ' ';
    for c in text.chars() {
        let c = if c.is_ascii_digit() || (c == '.' && last == 'N') { 'N' } else { c };
        if c != 'N' || last != 'N' {
            short.push(c);
        }
        last = c;
    }
    short
}

/// Which session is whose, by the options of a restart in a session of its own.
#[rstest]
#[case::stays(&["restart"], true)]
#[case::stays_apart(&["restart", "--session", "new"], false)]
#[case::stays_together(&["restart", "--session", "join"], true)]
#[case::leaves(&["restart", "--detach"], false)]
#[case::leaves_together(&["restart", "--detach", "--session", "join"], true)]
#[case::leaves_apart(&["restart", "--detach", "--session", "new"], false)]
fn a_job_comes_into_the_session_that_was_asked_for(#[case] options: &[&str], #[case] joins: bool) {
    let started = Started::shell("python3 job.py & tell $!; wait; exec sleep 600");
    started.save_and_kill();
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let text = r#""$0" "$@" & wait; exec sleep 600"#;
    let mut restarter = apart(["bash", "-c", text, CAIRN]);
    restarter.args(options).arg(started.file());
    restarter.current_dir(started.job.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let restarter = restarter.spawn().expect("it starts");
    let session = restarter.id() as i32;
    let _ended = Ended(restarter);
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    started.job.await_progress();
    let (group, of) = place(started.job.pid);
    assert_eq!((group == session, of == session), (joins, joins));
    assert_ne!(of, started.by.id() as i32);
}

/// Killed and waited for.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[rstest]
#[case::hangup(Signal::HUP)]
#[case::kill(Signal::KILL)]
fn a_job_that_was_left_to_itself_outlives_the_shell(#[case] signal: Signal) {
    let text = r#"
        python3 job.py < /dev/null > log 2>&1 & p=$!
        tell $p
        until [ -e go ]; do sleep .01; done
        "$CAIRN" checkpoint $p --kill && wait || exit
        "$CAIRN" restart --detach context.$p > again.new && mv again.new again
        sleep 600
    "#;
    let mut started = Started::shell(text);
    std::fs::write(started.job.path("go"), "").expect("written");
    wait_for("the restart", || started.job.path("again").exists().then_some(()));
    let shell = started.by.id() as i32;
    let (group, session) = place(started.job.pid);
    assert!(group != shell && session != shell, "{group} {session} of {shell}");
    kill_process_group(Pid::from_raw(shell).expect("positive"), signal).expect("it lives");
    wait_for("the end of the shell", || started.by.try_wait().expect("it is our child"));
    started.job.await_progress();
    assert_eq!(place(started.job.pid), (group, session));
}

/// Nobody but this test waits for the job, and it takes its time.
#[test]
fn a_number_that_nobody_has_waited_for_is_waited_for_and_told() {
    let mut started = Started::by(apart(["python3", "job.py"]));
    started.job.await_progress();
    started.save_and_kill();
    let pid = started.job.pid();
    let output = cairn(["restart", "--time", "0", &started.file()]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let said = complaint(&output);
    let whose = format!("the process is a zombie not yet reaped by {} (", std::process::id());
    assert!(said.contains(&format!("pid {pid} is in use: {whose}")), "{said}");
    assert!(!said.contains("waiting"), "{said}");
    let mut restart = started.begin_restart([CAIRN, "restart", "--detach"]);
    let mut told = String::new();
    let stderr = restart.stderr.take().expect("it was piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut told).expect("read");
    assert!(told.contains(&format!("pid {pid}: {whose}")), "{told}");
    assert!(told.ends_with("); waiting\n"), "{told}");
    assert!(restart.try_wait().expect("it is our child").is_none());
    started.by.wait().expect("it is our child");
    assert_eq!(code_of(&mut restart), 0);
    started.job.await_progress();
}

/// What cairn tells whoever asks for itself.
#[test]
fn a_shell_that_calls_cairn_is_saved_alone() {
    let text = r#"exec > log 2>&1; "$CAIRN" checkpoint --pid $$ --json -o context; echo $? > code.new
        mv code.new code; exec sleep 600"#;
    let started = Started::by(apart(["sh", "-c", text]));
    let code = || std::fs::read_to_string(started.job.path("code")).ok();
    let code = wait_for("the checkpoint", code);
    let log = std::fs::read_to_string(started.job.path("log")).expect("it is there");
    assert_eq!((code.trim(), log.contains("\"tasks\":1,")), ("0", true), "{log}");
}

fn state(pid: i32) -> char {
    status_field(pid, "State").and_then(|state| state.chars().next()).expect("the process is there")
}

#[rstest]
#[case::in_its_own_group("set -m;")]
#[case::in_the_group_of_the_restart("")]
fn a_restart_that_is_stopped_stops_the_job(#[case] control: &str) {
    let started = Started::shell(&format!("{control} python3 job.py & tell $!; wait; exec sleep 600"));
    started.save_and_kill();
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let mut restart = Ended(started.begin_restart([CAIRN, "restart"]));
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    started.job.await_progress();
    let both = [started.job.pid, restart.0.id() as i32];
    for _ in 0..3 {
        harm::kill(both[1], Signal::TSTP);
        wait_for("the stop of both", || both.iter().all(|pid| state(*pid) == 'T').then_some(()));
        harm::kill(both[1], Signal::CONT);
        started.job.await_progress();
        wait_for("the restart", || (state(both[1]) != 'T').then_some(()));
    }
    harm::kill(started.job.pid, Signal::KILL);
    assert_eq!(code_of(&mut restart.0), 128 + 9);
}

/// A program that leads the session of a terminal; what is typed there is written to its standard
/// input.
fn on_a_terminal<const N: usize>(started: &Started, program: [&str; N], output: Stdio) -> Ended {
    let mut command = apart(["python3", "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]);
    command.args(program).current_dir(started.job.dir.path()).env("CAIRN", CAIRN);
    Ended(command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null()).spawn().expect("it starts"))
}

/// Ctrl-Z and `fg` on a terminal, whose kernel part signals a whole group.
#[rstest]
#[case::in_its_own_group("set -m;")]
#[case::in_the_group_of_the_restart("")]
fn a_key_stops_a_restart_and_its_job_and_the_shell_continues_them(#[case] control: &str) {
    use std::io::Write;
    let started = Started::shell(&format!("{control} python3 job.py & tell $!; wait; exec sleep 600"));
    started.save_and_kill();
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let text = r#"set -m; "$CAIRN" restart context; echo $? > stopped
        until [ -e go ]; do sleep .01; done
        fg; echo $? > code.new; mv code.new code"#;
    let mut terminal = on_a_terminal(&started, ["bash", "-c", text], Stdio::null());
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    started.job.await_progress();
    let parent = status_field(started.job.pid, "PPid").expect("the job lives").parse().expect("a number");
    let both = [started.job.pid, parent];
    terminal.0.stdin.as_mut().expect("piped").write_all(b"\x1a").expect("written");
    wait_for("the stop of both", || both.iter().all(|pid| state(*pid) == 'T').then_some(()));
    wait_for("the shell", || started.job.path("stopped").exists().then_some(()));
    std::fs::write(started.job.path("go"), "").expect("written");
    started.job.await_progress();
    assert_ne!(state(parent), 'T');
    harm::kill(started.job.pid, Signal::KILL);
    let code = || std::fs::read_to_string(started.job.path("code")).ok();
    assert_eq!(wait_for("the end of the restart", code).trim(), "137");
}

/// There the key does nothing to any program.
#[test]
fn a_key_stops_no_restart_that_nobody_could_continue() {
    use std::io::{BufReader, Read, Write};
    let started = Started::shell("set -m; python3 job.py & tell $!; wait; exec sleep 600");
    started.save_and_kill();
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let mut terminal = on_a_terminal(&started, [CAIRN, "restart", "context"], Stdio::piped());
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    started.job.await_progress();
    let engine = status_field(started.job.pid, "PPid").expect("the job lives").parse().expect("a number");
    let mut keys = terminal.0.stdin.take().expect("piped");
    keys.write_all(b"\x1a").expect("written");
    // The terminal shows the key when its signal is there; and it has been heard when it waits no
    // more.
    let shown = BufReader::new(terminal.0.stdout.take().expect("piped"));
    assert!(shown.bytes().any(|byte| byte.expect("read") == b'Z'), "the terminal is gone");
    let waits = || {
        let set = status_field(engine, "ShdPnd").expect("the restart lives");
        u64::from_str_radix(&set, 16).expect("a number") & (1 << (libc::SIGTSTP - 1)) != 0
    };
    wait_for("an ear for the key", || (!waits()).then_some(()));
    // A restart that was stopped would not pass this on.
    keys.write_all(b"\x03").expect("written");
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let ended = || status_field(engine, "State").is_none_or(|state| state.starts_with('Z'));
    wait_for("the end of the restart", || ended().then_some(()));
}

#[test]
fn a_job_that_is_left_stopped_goes_on_when_it_is_told_to() {
    let job = Job::counter();
    let output = job.checkpoint("context", &["--stop"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    // It has the signal before it goes on, and sees it when it is given a processor.
    wait_for("the stop", || (state(job.pid) == 'T').then_some(()));
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
    harm::kill(job.pid, Signal::CONT);
    job.await_progress();
}

#[test]
fn orphans_of_a_restarted_job_leave_no_zombies() {
    let text = r#"
        i=0
        while :; do
            [ ! -e go ] || (sh -c 'sleep .01; read -r a b c parent d < /proc/self/stat; echo $parent > parent' &)
            i=$((i+1)); echo $i > count.new; mv count.new count
        done
    "#;
    let mut started = Started::by(apart(["sh", "-c", text]));
    started.job.await_progress();
    started.save_and_kill();
    started.by.wait().expect("it is our child");
    let restart = started.begin_restart([CAIRN, "restart"]);
    let mut restart = Ended(restart);
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    std::fs::write(started.job.path("go"), "").expect("written");
    let engine = restart.0.id();
    let parent = || std::fs::read_to_string(started.job.path("parent")).ok();
    wait_for("an orphan of the restart", || parent().filter(|text| text.trim() == engine.to_string()));
    let before = started.job.count();
    wait_for("many orphans", || (started.job.count() > before + 100).then_some(()));
    let zombies = || {
        let path = format!("/proc/{engine}/task/{engine}/children");
        let text = std::fs::read_to_string(path).expect("the restart lives");
        let is_zombie = |pid: &i32| status_field(*pid, "State").is_some_and(|state| state.starts_with('Z'));
        text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(is_zombie).count()
    };
    // One may just be on its way.
    wait_for("the end of the zombies", || (zombies() < 3).then_some(()));
    harm::kill(started.job.pid, Signal::KILL);
    assert_eq!(code_of(&mut restart.0), 128 + 9);
}

#[test]
fn a_group_without_its_leader_is_attended_to_its_end() {
    let text = "set -m; (python3 job.py & tell $!) & wait; exec sleep 600";
    let started = Started::shell(text);
    let (group, _) = place(started.job.pid);
    assert_ne!(group, started.job.pid);
    wait_for("the end of the leader", || (!Path::new(&format!("/proc/{group}")).exists()).then_some(()));
    let output = cairn(["checkpoint", "--pgid", &group.to_string(), "--kill", "-o", &started.file()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || started.job.is_gone().then_some(()));
    let mut restart = Ended(started.begin_restart([CAIRN, "restart"]));
    wait_for("the restarted job", || (!started.job.is_gone()).then_some(()));
    started.job.await_progress();
    started.job.await_progress();
    assert_eq!(place(started.job.pid).0, group);
    assert!(restart.0.try_wait().expect("it is our child").is_none(), "it has left the job alone");
    harm::kill(started.job.pid, Signal::KILL);
    assert_eq!(code_of(&mut restart.0), 128 + 9);
}

/// A process with children in its group, in its session, and in a session of their own.
#[rstest]
#[case::process("--pid", 1)]
#[case::group("--pgid", 2)]
#[case::session("--sid", 3)]
#[case::tree("--tree", 4)]
fn a_number_stands_for_what_was_asked_for(#[case] scope: &str, #[case] tasks: u64) {
    let text = r#"
        quiet() { exec "$@" < /dev/null > /dev/null 2>&1; }
        wait="open('up', 'a').write('.'); time.sleep(600)"
        quiet sleep 600 &
        quiet python3 -c "import os, time; os.setpgid(0, 0); $wait" &
        quiet python3 -c "import os, time; os.setsid(); $wait" &
        quiet python3 job.py
    "#;
    let started = Started::by(apart(["sh", "-c", text]));
    started.job.await_progress();
    let up = || std::fs::read_to_string(started.job.path("up")).ok();
    wait_for("the children", || up().filter(|text| text == ".."));
    let output = started.job.checkpoint("context", &[scope, "--json"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["tasks"], tasks);
    started.job.await_progress();
}
