//! Context files through pipes: `-o -`, and `-` as the file to restart from.

use super::*;
use rstest::rstest;
use std::io::Read;
use std::process::{Command, Stdio};

fn shell(line: &str) -> Output {
    cmd!("sh", "-c", line)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .expect("sh starts")
}

#[test]
fn a_job_goes_through_a_pipe_and_comes_back_through_one() {
    let job = Job::counter();
    let file = job.path("context");
    let (pid, file) = (job.pid, file.display());
    let output = shell(&format!("{CAIRN} checkpoint {pid} --kill -o - | cat > {file}"));
    assert!(complaint(&output).contains("in standard output"), "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = shell(&format!("cat {file} | {CAIRN} info --verify -"));
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{pid} sh")));
    // Killed in the middle of a write, it left its file longer than the checkpoint has it.
    let restart = "cairn restart --detach --ignore-changes -";
    for from in [format!("cat FILE | {restart}"), format!("{restart} < FILE")] {
        let line = from.replace("FILE", &file.to_string()).replace("cairn", CAIRN);
        let output = shell(&line);
        assert_eq!(exit_code(&output), 0, "{line}: {}", complaint(&output));
        job.await_progress();
        job.kill();
        wait_for("the end of the job", || job.is_gone().then_some(()));
    }
}

#[test]
fn a_reader_that_goes_away_does_not_harm_the_job() {
    let job = Job::counter();
    let mut child = Command::new(CAIRN)
        .args(["checkpoint", &job.pid(), "--kill", "-o", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cairn starts");
    let mut first = [0; 16];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("the header comes first");
    let output = child.wait_with_output().expect("cairn ends");
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(complaint(&output).contains("standard output"), "{}", complaint(&output));
    job.await_progress();
}

/// What is closed when a program starts is /dev/null in it.
#[rstest]
#[case::appended_to(">> log", "is a file that is not empty")]
#[case::longer_than_the_context("1<> log", "is a file that is not empty")]
#[case::closed(">&-", "is a device, or closed")]
#[case::device("> /dev/null", "is a device, or closed")]
#[case::not_writable("1< log", "is not open for writing")]
fn an_output_that_cannot_hold_a_context_file_is_refused(#[case] to: &str, #[case] what: &str) {
    let job = Job::counter();
    std::fs::write(job.path("log"), "something").expect("written");
    let (pid, log) = (job.pid, job.path("log"));
    let to = to.replace("log", &log.display().to_string());
    let output = shell(&format!("{CAIRN} checkpoint {pid} --kill -o - {to}"));
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(complaint(&output).contains(what), "{}", complaint(&output));
    assert_eq!(std::fs::read(&log).expect("it is there"), b"something");
    job.await_progress();
}

/// For as long as `--time` allows.
#[test]
fn a_reader_that_does_not_read_is_not_waited_for_for_ever() {
    let job = Job::counter();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let args = ["checkpoint", &job.pid(), "--kill", "--time", "1", "-o", "-"].map(str::to_owned);
    let run = cmd(CAIRN, args).stdin_null().stdout_file(writer).stderr_capture().unchecked().run();
    let output = run.expect("cairn starts");
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(complaint(&output).contains("the other end read nothing for 1 s"), "{}", complaint(&output));
    job.await_progress();
    drop(reader);
}

#[test]
fn a_pipe_that_does_not_block_is_waited_for() {
    let job = Job::counter();
    let file = job.path("context").display().to_string();
    let nonblocking =
        "import os, sys; os.set_blocking(int(sys.argv[1]), False); os.execvp(sys.argv[2], sys.argv[2:])";
    let (pid, python) = (job.pid, format!("python3 -c '{nonblocking}'"));
    let output = shell(&format!("{python} 1 {CAIRN} checkpoint {pid} -o - | (sleep .1; cat > {file})"));
    assert!(complaint(&output).contains("in standard output"), "{}", complaint(&output));
    let output = shell(&format!("(sleep .1; cat {file}) | {python} 0 {CAIRN} info --verify -"));
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
}

#[test]
fn what_is_no_context_file_is_not_copied_first() {
    for command in ["info -", "restart -"] {
        let output = shell(&format!("yes | {CAIRN} {command}"));
        assert_eq!(exit_code(&output), 4, "{}", complaint(&output));
    }
    let output = shell(&format!("true | {CAIRN} info -"));
    assert_eq!(exit_code(&output), 4, "{}", complaint(&output));
}

/// Stopped, it would read nothing, and a full pipe would stop the checkpoint, too.
#[test]
fn a_job_is_not_written_into_a_pipe_that_it_reads() {
    let job = Job::script("mkfifo fifo; exec 3<>fifo; echo > ready; while :; do read line <&3; done");
    wait_for("the pipe", || job.path("ready").exists().then_some(()));
    let (pid, fifo) = (job.pid, job.path("fifo"));
    let output = shell(&format!("{CAIRN} checkpoint {pid} -o - > {}", fifo.display()));
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("cannot receive its own checkpoint"), "{}", complaint(&output));
}
