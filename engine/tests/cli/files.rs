//! Context files that are not what they should be, and places where none can be.

use super::*;
use rstest::rstest;

fn saved() -> (Job, PathBuf) {
    let job = Job::counter();
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let file = job.path("context");
    (job, file)
}

#[rstest]
#[case::damaged_records(|bytes: &mut Vec<u8>| { let at = bytes.len() - 3000; bytes[at] ^= 1; })]
#[case::damaged_pages(|bytes: &mut Vec<u8>| { let at = bytes.len() / 2; bytes[at] ^= 1; })]
#[case::truncated(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1))]
#[case::half(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2))]
#[case::empty(Vec::clear)]
#[case::something_else(|bytes: &mut Vec<u8>| *bytes = b"#!/bin/sh\necho hello\n".repeat(1000))]
fn what_is_no_whole_context_file_is_told_and_nothing_is_born(#[case] spoil: fn(&mut Vec<u8>)) {
    let (job, file) = saved();
    let mut bytes = std::fs::read(&file).expect("the file is there");
    spoil(&mut bytes);
    std::fs::write(&file, bytes).expect("written");
    let output = cairn(["restart", "--detach", file.to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 4, "{}", complaint(&output));
    assert!(complaint(&output).contains(file.to_str().expect("UTF-8")), "{}", complaint(&output));
    assert!(job.is_gone());
}

#[test]
fn a_file_that_is_not_there_is_no_malformed_one() {
    for command in ["restart", "info"] {
        let output = cairn([command, "/nonexistent/context"]);
        assert_eq!(exit_code(&output), 1);
        let said = complaint(&output);
        assert_eq!(said.matches("/nonexistent/context").count(), 1, "{said}");
        assert_eq!(said.matches("No such file").count(), 1, "{said}");
    }
}

#[test]
fn out_of_space_leaves_no_file_and_the_job_runs_on() {
    // In a mount namespace of its own, job and cairn together. A program that has only just begun
    // has so little memory of its own that there is space enough: the shell is waited for, until it
    // has let go of the FIFO.
    let text = r#"
        mount -t tmpfs -o size=64k none "$DIR" || exit 99
        cd "$DIR" && mkfifo up || exit 97
        pid=$("$CAIRN" run --detach -o /dev/null -- sh -c ': > up; while :; do read x < /dev/null; done') || exit 98
        cat up && rm up
        "$CAIRN" checkpoint "$pid" -o context
        echo "code $?"
        ls -A
        grep TracerPid "/proc/$pid/status"
        kill -KILL "$pid"
    "#;
    let dir = tempfile::tempdir().expect("a directory");
    let run = cmd!("unshare", "--mount", "sh", "-c", text).env("DIR", dir.path()).env("CAIRN", CAIRN);
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("unshare starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "code 1\nTracerPid:\t0\n", "{}", complaint(&output));
    assert!(complaint(&output).contains("out of space"), "{}", complaint(&output));
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_death() {
    let job = Job::counter();
    let file = job.path("context");
    let text = format!("ulimit -f 16; exec {CAIRN} checkpoint {} -o {}", job.pid, file.display());
    let output =
        cmd!("sh", "-c", text).stdout_capture().stderr_capture().unchecked().run().expect("sh starts");
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(complaint(&output).contains("File too large"), "{}", complaint(&output));
    assert!(!file.exists());
    job.await_progress();
}

#[test]
fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    let job = Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let first = std::fs::read(job.path("context")).expect("the file is there");
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let second = std::fs::read(job.path("context")).expect("the file is there");
    assert_ne!(first, second);
    let output = cairn(["info", "--verify", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
}

/// What it had locked is free once it is gone, and whoever takes it has it.
#[rstest]
#[case::whole("fcntl.flock(file, fcntl.LOCK_EX)", "exclusive flock(2) lock")]
#[case::of_the_process("fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)", "exclusive lock of bytes 5 to 14")]
#[case::of_the_description(
    "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 7, 0, 0))",
    "exclusive lock from byte 7"
)]
fn a_lock_that_another_process_has_is_a_conflict(#[case] lock: &str, #[case] what: &str) {
    let text = format!("file = os.open('data', os.O_RDWR | os.O_CREAT)\n{lock}");
    let job = refused_descriptors::job_that(&text).expect("it can be done everywhere");
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let rival = "import fcntl, os, struct, sys\nfile = os.open('data', os.O_RDWR)\n".to_owned()
        + lock
        + "\nprint(end='locked', flush=True)\nsys.stdin.read()";
    let mut rival = std::process::Command::new("python3")
        .args(["-c", &rival])
        .current_dir(job.path("."))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut said = [0; 6];
    std::io::Read::read_exact(&mut rival.stdout.take().expect("a pipe"), &mut said).expect("it locks");
    let restart = || cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    let output = restart();
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains("data") && said.contains(what), "{said}");
    if !lock.contains("37") {
        assert!(said.contains(&format!("process {}", rival.id())), "{said}");
    }
    assert!(job.is_gone());
    drop(rival.stdin.take());
    rival.wait().expect("it ends");
    let output = restart();
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.kill();
}
