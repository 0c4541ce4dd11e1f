//! Pseudo-terminals whose masters are in the job.

use super::python::{said, start, up};
use super::refused_descriptors::{is_refused, job_that};
use super::*;
use rstest::rstest;

/// Runs a script with a file system `devpts` of its own, in which nobody else takes numbers.
fn apart(dir: &Path, text: &str) -> Output {
    const OWN: &str = "mount -t devpts -o ptmxmode=666,mode=620 devpts /dev/pts &&
        mount --bind /dev/pts/ptmx /dev/ptmx || exit 99\n";
    let run = cmd!("unshare", "--mount", "bash", "-euc", format!("{OWN}{text}")).env("CAIRN", CAIRN);
    run.dir(dir).stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("unshare starts")
}

/// The same, which must succeed.
fn works_apart(dir: &Path, text: &str) -> String {
    let output = apart(dir, text);
    assert_eq!(exit_code(&output), 0, "{}{}", String::from_utf8_lossy(&output.stdout), complaint(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// script(1) records all that its program writes to a terminal.
#[test]
fn a_recording_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().expect("a directory");
    let ticks = "i=0; until [ -e stop ]; do i=$((i+1)); echo tick $i; sleep 0.001; done";
    works_apart(
        dir.path(),
        &format!(
            r#"
            await() {{ for _ in $(seq 1000); do grep -qs "$1" typescript && return; sleep 0.01; done; exit 98; }}
            pid=$($CAIRN run --detach -- script --quiet --flush --command '{ticks}' typescript)
            await 'tick 50'
            for _ in 1 2 3; do
                $CAIRN checkpoint --kill -o context $pid
                now=$(grep -c tick typescript)
                [ $($CAIRN restart --detach context) = $pid ]
                await "tick $((now + 30))"
                rm context
            done
            touch stop
            while [ -e /proc/$pid ]; do sleep 0.01; done
            "#
        ),
    );
    let shown = std::fs::read_to_string(dir.path().join("typescript")).expect("recorded");
    let ticks: Vec<&str> = shown.lines().filter(|line| line.starts_with("tick ")).collect();
    let expected: Vec<String> = (1..=ticks.len()).map(|number| format!("tick {number}")).collect();
    assert_eq!(ticks, expected);
    assert!(ticks.len() > 140, "{}", ticks.len());
}

/// A job with pseudo-terminals 0 to 3, of which the context file keeps the last.
const THE_FOURTH: &str = r#"
    python3 -c '
import os, pty, time
pairs = [pty.openpty() for _ in range(4)]
[os.close(fd) for pair in pairs[:3] for fd in pair]
open("up", "w").close()
time.sleep(600)' < /dev/null > /dev/null 2>&1 &
    pid=$!
    for _ in $(seq 500); do [ -e up ] && break; sleep 0.01; done
    $CAIRN checkpoint --kill -o context $pid
    wait $pid || :
"#;

#[test]
fn a_number_in_use_is_a_conflict() {
    let dir = tempfile::tempdir().expect("a directory");
    let said = works_apart(
        dir.path(),
        &format!(
            r#"
            {THE_FOURTH}
            ls /dev/pts
            python3 -c '
import os, pty, subprocess, sys
pairs = [pty.openpty() for _ in range(4)]
sys.exit(subprocess.run([os.environ["CAIRN"], "restart", "--detach", "context"], stderr=subprocess.STDOUT).returncode != 7)'
            $CAIRN restart --detach context > pid
            ls /dev/pts
            kill -9 $(cat pid)
            "#
        ),
    );
    assert!(said.contains("/dev/pts/3: another pseudo-terminal has this number"), "{said}");
    assert!(said.contains("\n3\nptmx\n"), "{said}");
}

#[test]
fn too_many_pseudo_terminals_are_a_conflict() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = format!(
        "{THE_FOURTH}\nmount -o remount,max=2,ptmxmode=666 /dev/pts\n$CAIRN restart --detach context || echo code $?"
    );
    let output = apart(dir.path(), &text);
    let (said, printed) = (complaint(&output), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(printed.contains("code 7"), "{printed}{said}");
    assert!(said.contains("as many pseudo-terminals as allowed; raise kernel.pty.max"), "{said}");
}

#[rstest]
#[case::never_opened(
    "hold(os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY))",
    &["fd 9 (/dev/ptmx)", "whose other side has not been opened yet"]
)]
#[case::edited_elsewhere(
    "import pty, termios
ours, theirs = pty.openpty()
now = termios.tcgetattr(theirs)
now[3] |= 0o200000
termios.tcsetattr(theirs, termios.TCSANOW, now)
hold(ours)",
    &["fd 9 (/dev/ptmx)", "EXTPROC"]
)]
#[case::locked_settings(
    "import pty
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, 0x5457, b'\\xff' * 60)
hold(ours)",
    &["fd 9 (/dev/ptmx)", "TIOCSLCKTRMIOS"]
)]
#[case::a_status_not_read(
    "import pty, termios
ours, theirs = pty.openpty()
fcntl.ioctl(ours, termios.TIOCPKT, struct.pack('i', 1))
termios.tcflush(theirs, termios.TCIFLUSH)
hold(ours)",
    &["fd 9 (/dev/ptmx)", "a status that its master has not read yet"]
)]
#[case::full_of_lines(
    "import pty
ours, theirs = pty.openpty()
os.write(ours, b'x\\n' * 1900)
hold(ours)",
    &["fd 9 (/dev/ptmx)", "more input than can be taken and given back"]
)]
#[case::a_handle_only(
    "import pty
ours, theirs = pty.openpty()
hold(os.open(os.ttyname(theirs), os.O_PATH))
os.close(theirs)",
    &["as a handle (O_PATH) only"]
)]
fn what_cannot_be_saved_is_refused(#[case] text: &str, #[case] words: &[&str]) {
    if let Some(job) = job_that(text) {
        is_refused(&job, words);
    }
}

/// It would have another terminal after a restart, or none.
#[rstest]
#[case::the_master("os.close(theirs)", "fd 3 (/dev/ptmx) is shared with process")]
#[case::the_other_side("os.close(ours)", "is shared with process")]
fn what_a_process_outside_has_open_is_refused(#[case] text: &str, #[case] words: &str) {
    let job = start(&format!(
        r#"
import pty
ours, theirs = pty.openpty()
name = os.ttyname(theirs)
outsider = os.fork()
if outsider == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    say("outsider", os.getpid())
    {text}
    if {words:?}.startswith("is"):
        # Not the same open file.
        again = os.open(name, os.O_RDWR | os.O_NOCTTY)
        os.close(theirs)
    signal.pause()
os.waitpid(outsider, 0)
while not os.path.exists("outsider"):
    pass
say("up", "")
signal.pause()
"#
    ));
    if up(&job).is_none() {
        return;
    }
    let outsider: i32 = wait_for("the process outside", || said(&job, "outsider")).parse().expect("a number");
    let output = job.checkpoint("context", &["--kill"]);
    harm::kill(outsider, rustix::process::Signal::KILL);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains(words), "{}", complaint(&output));
    assert!(!job.is_gone());
}
