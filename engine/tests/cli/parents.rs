//! A restarted job gets another parent, and loses it when it is left alone.

use super::*;

#[test]
fn a_parent_death_signal_does_not_come_from_a_restart_that_leaves() {
    let job = python::start(
        r#"
while open("/proc/%d/comm" % os.getppid()).read() == "cairn\n": pass
call("prctl", 1, signal.SIGKILL, 0, 0, 0)
say("up", os.getpid())
count = 0
while True:
    got = ctypes.c_int(0)
    call("prctl", 2, ctypes.byref(got), 0, 0, 0)
    assert got.value == signal.SIGKILL
    count += 1
    say("count", count)
"#,
    );
    python::up(&job).expect("every kernel has this signal");
    job.await_progress();
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert!(!job.is_gone(), "it ended with the restart");
    job.await_progress();
    assert_eq!(python::said(&job, "trouble"), None);
}
