//! What is refused: by which exit code, in which words, and that nothing was touched.

use super::*;

#[test]
fn a_socket_is_named_by_pid_and_descriptor() {
    let job = Job::script(
        "exec python3 -c 'import socket,time; s=socket.socket(socket.AF_PACKET, socket.SOCK_RAW); open(\"up\",\"w\"); time.sleep(600)'",
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
with open("/proc/1/stat"):
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
fn a_file_of_proc_about_a_process_outside_is_refused() {
    let job = Job::script("exec 5< /proc/1/stat; : > up; while :; do read x < /dev/null; done");
    wait_for("the file", || job.path("up").exists().then_some(()));
    for output in [job.checkpoint("context", &[]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(&format!("pid {}: fd 5 is a file of /proc of process 1 outside", job.pid)),
            "{said}"
        );
    }
    assert!(!job.path("context").exists());
}

#[test]
fn that_nothing_is_in_the_way_is_told_with_the_source() {
    let job = Job::counter();
    let output = cairn(["check", "--source", "ptrace", "--json", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = serde_json::json!({ "pid": job.pid, "ok": true, "tasks": 1, "source": "ptrace", "problems": [], "reasons": [], "notices": [] });
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

/// Also where it is no ancestor of cairn: entered by nsenter(1).
#[test]
fn the_init_of_a_namespace_cannot_be_saved() {
    let output = cairn(["check", "--pid", "1"]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("pid 1 is the init of this PID namespace"), "{said}");
}

#[test]
fn a_pid_in_use_is_a_conflict() {
    let job = Job::counter();
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    let output = cairn(["restart", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains(&format!("pid {} is in use: it is the process sh, ", job.pid)), "{said}");
    assert!(said.contains("restart in a new PID namespace (--new-pidns)"), "{said}");
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

/// Checkpoint and check refuse it, by pid, descriptor and kind, and nothing is left or changed.
fn expect_refused(job: &Job, words: &[&str]) {
    wait_for("the job", || job.path("up").exists().then_some(()));
    let before = job.mappings();
    for output in [job.checkpoint("context", &["--kill"]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("pid {}: ", job.pid)), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
    assert!(!job.path("context").exists());
    assert_eq!(job.mappings(), before);
}

const WAIT: &str = ": > up; while :; do read x < /dev/null; done";

/// Saved and killed it could not come back.
#[test]
fn a_device_node_without_a_name_is_refused() {
    let job = Job::script(&format!("mknod null c 1 3; exec 5< null; rm null; {WAIT}"));
    expect_refused(&job, &["fd 5", "an unlinked device node"]);
}

#[test]
fn a_symbolic_link_without_a_name_is_refused() {
    let job = Job::script(
        "exec python3 -c '
import os, time
os.symlink(\"/etc\", \"link\"); fd = os.open(\"link\", os.O_PATH | os.O_NOFOLLOW); os.unlink(\"link\")
open(\"up\", \"w\").close(); time.sleep(600)'",
    );
    expect_refused(&job, &["fd 3", "an unlinked symbolic link"]);
}

#[test]
fn secret_memory_is_refused_as_such() {
    let job = Job::script(
        "exec python3 -c '
import ctypes, mmap, os, time
fd = ctypes.CDLL(None).syscall(447, 0)
if fd >= 0:
    os.ftruncate(fd, 4096); m = mmap.mmap(fd, 4096); m[0] = 1
open(\"up\" if fd >= 0 else \"none\", \"w\").close(); time.sleep(600)'",
    );
    wait_for("the job", || (job.path("up").exists() || job.path("none").exists()).then_some(()));
    if job.path("none").exists() {
        eprintln!("skipped: no memfd_secret here");
        return;
    }
    expect_refused(&job, &["fd 3", "secret memory (memfd_secret)", "mapping"]);
}

#[test]
fn a_terminal_is_refused_with_the_way_out() {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let name = nix::unistd::ttyname(&pty.slave).expect("it has a name");
    let job = Job::script(&format!(
        "exec python3 -c '
import os, time
os.open(\"{}\", os.O_RDWR | os.O_NOCTTY); open(\"up\", \"w\").close(); time.sleep(600)'",
        name.display()
    ));
    expect_refused(&job, &["fd 3 (/dev/pts/", "is a terminal", "`cairn run`", "`</dev/null >file 2>&1`"]);
}

#[test]
fn a_pipe_to_a_process_outside_is_refused_with_both_and_the_way_out() {
    let job = Job::script("sleep 600 | { exec 5<&0 < /dev/null; : > up; while :; do read x; done; }");
    wait_for("the job", || job.path("up").exists().then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", job.pid);
    let text = std::fs::read_to_string(children).expect("the job lives");
    let holds_it = |pid: &&str| Path::new(&format!("/proc/{pid}/fd/5")).exists();
    let reader = text.split_ascii_whitespace().find(holds_it).expect("the reader lives");
    let file = job.path("context").display().to_string();
    let way_out = "save a tree that contains both, or start the job with files instead";
    let name = std::fs::read_link(format!("/proc/{reader}/fd/5")).expect("it is open");
    let name = name.display();
    let told =
        format!("pid {reader}: fd 5 ({name}) is a pipe that a process outside the job writes to: {way_out}");
    for output in [cairn(["checkpoint", reader, "--kill", "-o", &file]), cairn(["check", reader])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&told), "{said}");
    }
    assert!(!job.path("context").exists() && Path::new(&format!("/proc/{reader}")).exists());
}

/// Somebody whose parent has ended, in the job's session: its number would stay in use.
#[test]
fn a_number_that_would_stay_in_use_is_refused_before_anybody_is_killed() {
    let job = Job::script(
        "(sleep 600 & echo $! > orphan.new; mv orphan.new orphan); i=0; while :; do i=$((i+1)); echo $i > count; done",
    );
    let orphan = wait_for("the orphan", || std::fs::read_to_string(job.path("orphan")).ok());
    let orphan: i32 = orphan.trim().parse().expect("a number");
    job.await_progress();
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let said = complaint(&output);
    let words = [
        format!("pid {}: leads", job.pid),
        format!("process {orphan} (sleep) outside the job"),
        "--sid".into(),
    ];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert!(!job.path("context").exists());
    job.await_progress();
    // Whoever lives on may be gone when this file is restarted.
    assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    harm::kill(orphan, rustix::process::Signal::KILL);
    wait_for("the end of the orphan", || {
        status_field(orphan, "State").is_none_or(|s| s.starts_with('Z')).then_some(())
    });
    assert_eq!(exit_code(&job.checkpoint("context", &["--kill"])), 0);
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
}
