//! What is refused: by which exit code, in which words, and that nothing was touched.

use super::*;

#[test]
fn a_socket_is_named_by_pid_and_descriptor() {
    let job = Job::script(
        "exec python3 -c 'import socket,time; s=socket.socket(); open(\"up\",\"w\"); time.sleep(600)'",
    );
    wait_for("the socket", || job.path("up").exists().then_some(()));
    let before = job.mappings();
    for output in [job.checkpoint("context", &[]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("pid {}: fd ", job.pid)), "{said}");
        assert!(said.contains("socket"), "{said}");
    }
    assert!(!job.path("context").exists());
    assert_eq!(job.mappings(), before);
}

/// The first looks meet the file open; they do not shorten the sleep.
#[test]
fn a_file_of_proc_that_is_just_being_read_is_waited_for() {
    let job = Job::script(
        r#"exec python3 -c '
import time
with open("/proc/self/stat"):
    open("up", "w").close()
    time.sleep(0.1)
count = 0
while True:
    count += 1
    with open("count", "w") as file: print(count, file=file)
'"#,
    );
    wait_for("the file", || job.path("up").exists().then_some(()));
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
}

#[test]
fn a_file_of_proc_that_stays_open_is_refused() {
    let job = Job::script("exec 5< /proc/self/stat; : > up; while :; do read x < /dev/null; done");
    wait_for("the file", || job.path("up").exists().then_some(()));
    for output in [job.checkpoint("context", &[]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("pid {}: fd 5 is a file of /proc", job.pid)), "{said}");
    }
    assert!(!job.path("context").exists());
}

#[test]
fn that_nothing_is_in_the_way_is_told_with_the_source() {
    let job = Job::counter();
    let output = cairn(["check", "--source", "ptrace", "--json", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected =
        serde_json::json!({ "pid": job.pid, "ok": true, "tasks": 1, "source": "ptrace", "problems": [] });
    assert_eq!(told, expected);
    job.await_progress();
}

#[test]
fn nobody_there_is_told() {
    let output = cairn(["checkpoint", "4194303", "-o", "/nonexistent"]);
    assert_ne!(exit_code(&output), 0);
    let output = cairn(["check", "4194303"]);
    assert_eq!(exit_code(&output), 6, "{}", complaint(&output));
    assert!(complaint(&output).contains("4194303"));
}

#[test]
fn a_kernel_thread_cannot_be_saved() {
    let output = cairn(["check", "2"]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
}

#[test]
fn a_pid_in_use_is_a_conflict() {
    let job = Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let output = cairn(["restart", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains(&job.pid()), "{}", complaint(&output));
    job.await_progress();
}

#[test]
fn a_path_that_is_gone_is_a_conflict_and_nothing_is_born() {
    let job = Job::script("exec 5<>data; while :; do read x < /dev/null; done");
    wait_for("the file", || job.path("data").exists().then_some(()));
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    std::fs::remove_file(job.path("data")).expect("it was there");
    let output = cairn(["restart", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains("data"), "{}", complaint(&output));
    assert!(job.is_gone());
}
